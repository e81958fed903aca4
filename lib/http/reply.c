/* Answers: a head that every answer has, and a body (P19, P22a, Q3).
 *
 * Threads: civetweb's workers. */
#include "http/http.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Bytes of a body that are copied to go with the head. */
enum { TOGETHER = 65536 };

static const char *status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {{200, "OK"},
                 {204, "No Content"},
                 {206, "Partial Content"},
                 {301, "Moved Permanently"},
                 {302, "Found"},
                 {304, "Not Modified"},
                 {400, "Bad Request"},
                 {401, "Unauthorized"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {413, "Content Too Large"},
                 {414, "URI Too Long"},
                 {416, "Range Not Satisfiable"},
                 {426, "Upgrade Required"},
                 {429, "Too Many Requests"},
                 {431, "Request Header Fields Too Large"},
                 {500, "Internal Server Error"},
                 {501, "Not Implemented"},
                 {503, "Service Unavailable"},
                 {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].status == status) return texts[i].text;
    return "Status";
}

void ls_reply_init(struct ls_reply *reply, int status, const char *type)
{
    *reply = (struct ls_reply){.status = status, .type = type, .fd = -1};
    ls_buf_init(&reply->headers);
}

void ls_reply_header(struct ls_reply *reply, const char *name, const char *format, ...)
{
    va_list args;
    ls_buf_printf(&reply->headers, "%s: ", name);
    va_start(args, format);
    ls_buf_vprintf(&reply->headers, format, args);
    va_end(args);
    ls_buf_str(&reply->headers, "\r\n");
}

/* Who may embed a page (Q3): the list has been checked to hold nothing but origins. */
static void add_frame_ancestors(const struct ls_web *web, struct ls_buf *out)
{
    ls_buf_str(out, "Content-Security-Policy: frame-ancestors 'self'");
    for (const char *const *allowed = web->embedders; allowed && *allowed; allowed++)
        ls_buf_printf(out, " %s", *allowed);
    ls_buf_str(out, "\r\n");
}

void ls__reply_date(struct ls_buf *out, int64_t seconds)
{
    time_t when = (time_t)seconds;
    struct tm parts;
    char date[40];
    gmtime_r(&when, &parts);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    ls_buf_str(out, date);
}

/* Says the body why, so that a page may show it? */
static bool is_refusal(int status)
{
    static const int refusals[] = {400, 401, 403, 426, 429, 431, 503};
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (refusals[i] == status) return true;
    return false;
}

static void format_status(struct ls_buf *out, int status)
{
    ls_buf_printf(out, "HTTP/1.1 %d %s\r\n", status, status_text(status));
}

/* The header, but for the body's length. Also decides whether the connection ends with this answer. */
static void format_lines(struct ls_buf *out, const struct ls_reply *reply, struct mg_connection *http)
{
    const struct ls_web *web = mg_get_user_data(mg_get_context(http));
    ls_buf_str(out, "Date: ");
    ls__reply_date(out, time(NULL));
    /* Addresses hold session ids, so they do not travel to other sites (PX14); types are ours to tell, not the
     * browser's to guess (P19); what is ours is no part of other sites' pages, unless --allow-origin names them (Q3).
     * */
    ls_buf_str(out,
               "\r\nReferrer-Policy: same-origin\r\nX-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: ");
    ls_buf_str(out, ls__request_is_listed(web, mg_get_request_info(http)) ? "cross-origin\r\n" : "same-origin\r\n");
    if (reply->type && strncmp(reply->type, "text/html", 9) == 0) add_frame_ancestors(web, out);
    if (reply->type) ls_buf_printf(out, "Content-Type: %s\r\n", reply->type);
    /* A body that an early answer leaves is not read on, so the connection cannot be used again (P22a). */
    bool close = ls__request_is_last() || reply->status == 503 || reply->status == 400 ||
                 2 * atomic_load(&web->held) > web->workers;
    if (close) mg_disable_connection_keep_alive(http);
    /* Less than an idle connection lives (N4): clients that know so do not send a request into its end. */
    if (close)
        ls_buf_str(out, "Connection: close\r\n");
    else
        ls_buf_printf(out, "Connection: keep-alive\r\nKeep-Alive: timeout=%d\r\n", LS_KEEP_ALIVE_S);
    ls__login_header(out);
    if (is_refusal(reply->status)) ls_buf_str(out, LS_MARK ": refused\r\n");
    if (reply->headers.len > 0) ls_buf_add(out, reply->headers.data, reply->headers.len);
}

static void format_length(struct ls_buf *out, int status, size_t len)
{
    if (status != 304 && status != 204) ls_buf_printf(out, "Content-Length: %zu\r\n", len);
    ls_buf_str(out, "\r\n");
}

void ls_reply_hold(struct ls_reply *reply, struct mg_connection *http, struct ls_buf *lines)
{
    ls_request_end();
    format_lines(lines, reply, http);
    ls_buf_release(&reply->headers);
}

void ls_reply_later(struct ls_buf *out, int status, const struct ls_buf *lines, const char *body, size_t len)
{
    format_status(out, status);
    if (lines->len > 0) ls_buf_add(out, lines->data, lines->len);
    format_length(out, status, len);
    ls_buf_add(out, body, len);
}

/* What cannot be read is left to be written. */
static void add_file(struct ls_buf *out, struct ls_reply *reply)
{
    size_t len = reply->len < TOGETHER ? reply->len : TOGETHER;
    ssize_t n = ls_buf_reserve(out, len) ? pread(reply->fd, out->data + out->len, len, reply->from) : 0;
    if (n <= 0) return;
    out->data[out->len += (size_t)n] = '\0';
    reply->from += n;
    reply->len -= (size_t)n;
}

int ls_reply_send(struct ls_reply *reply, struct mg_connection *http)
{
    struct ls_buf out = LS_BUF_INIT;
    const struct mg_request_info *info = mg_get_request_info(http);
    format_status(&out, reply->status);
    format_lines(&out, reply, http);
    format_length(&out, reply->status, reply->len);
    /* A small body goes in the same packet as its head: that spares whoever carries or reads it a turn (N2). */
    bool content =
        reply->len > 0 && reply->status != 304 && (!info->request_method || strcmp(info->request_method, "HEAD") != 0);
    bool body = content && reply->body, together = body && reply->len <= TOGETHER;
    if (content && reply->fd >= 0) add_file(&out, reply);
    if (together) ls_buf_add(&out, reply->body, reply->len);
    bool sent = !ls_buf_failed(&out) && mg_write(http, out.data, out.len) == (int)out.len;
    if (sent && body && !together) mg_write(http, reply->body, reply->len);
    if (!sent && reply->fd >= 0) {
        mg_disable_connection_keep_alive(http);
        reply->len = 0;
    }
    ls_buf_release(&out);
    ls_buf_release(&reply->headers);
    return reply->status;
}

int ls_reply_text(struct mg_connection *http, int status, const char *format, ...)
{
    struct ls_buf text = LS_BUF_INIT;
    va_list args;
    va_start(args, format);
    ls_buf_vprintf(&text, format, args);
    va_end(args);
    struct ls_reply reply;
    ls_reply_init(&reply, status, "text/plain; charset=utf-8");
    reply.body = ls_buf_text(&text);
    reply.len = text.len;
    ls_reply_header(&reply, "Cache-Control", "no-store");
    ls_reply_send(&reply, http);
    ls_buf_release(&text);
    return status;
}

int ls_reply_gone(struct mg_connection *http)
{
    static const char text[] = "There is no such session.\n";
    struct ls_reply reply;
    ls_reply_init(&reply, 404, "text/plain; charset=utf-8");
    ls_reply_header(&reply, LS_MARK, LS_MARK_GONE);
    reply.body = text;
    reply.len = sizeof text - 1;
    return ls_reply_send(&reply, http);
}

int ls_reply_allow(struct mg_connection *http, int status, const char *methods)
{
    struct ls_reply reply;
    ls_reply_init(&reply, status, NULL);
    ls_reply_header(&reply, "Allow", "%s", methods);
    return ls_reply_send(&reply, http);
}

int ls_reply_not_allowed(const struct ls_request *request)
{
    return ls_reply_allow(request->http, 405, ls_request_methods(request->path));
}

int ls__reply_moved(const struct ls_request *request, const char *to)
{
    struct ls_reply reply;
    ls_reply_init(&reply, 301, NULL);
    ls_reply_header(&reply, "Location", "%s", to);
    ls_reply_header(&reply, "Cache-Control", "no-cache");
    return ls_reply_send(&reply, request->http);
}

int ls_reply_redirect(const struct ls_request *request, const char *path)
{
    struct ls_buf to = LS_BUF_INIT;
    ls_buf_str(&to, request->sender.prefix);
    for (const char *at = path; *at != '\0'; at++) {
        if (ls_is_word(*at) || strchr("/-.~!$&'()*+,;=:@", *at))
            ls_buf_char(&to, *at);
        else
            ls_buf_printf(&to, "%%%02X", (unsigned char)*at);
    }
    if (request->info->query_string) ls_buf_printf(&to, "?%s", request->info->query_string);
    int status = ls__reply_moved(request, ls_buf_text(&to));
    ls_buf_release(&to);
    return status;
}
