/* The HTTP endpoint's front: decoding and canonical form of the address, routing, replies (P1, P2, P22–P24).
 *
 * Every request comes through civetweb's begin_request callback, so none of civetweb's own file handlers is ever reached (N7). The only thing that is left
 * to civetweb is the WebSocket handshake.
 *
 * Threads: civetweb's workers. */
#include "server/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/alloc.h"
#include "base/log.h"

enum { MAX_PATH = 4096 };

/* --- replies --- */

static const char *status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {{200, "OK"}, {204, "No Content"}, {206, "Partial Content"}, {301, "Moved Permanently"}, {302, "Found"}, {304, "Not Modified"},
                 {400, "Bad Request"}, {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"}, {413, "Content Too Large"},
                 {414, "URI Too Long"}, {416, "Range Not Satisfiable"}, {426, "Upgrade Required"}, {500, "Internal Server Error"},
                 {503, "Service Unavailable"}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Status";
}

void reply_init(struct reply *reply, int status, const char *type)
{
    *reply = (struct reply){.status = status, .type = type};
    ls_buf_init(&reply->headers);
}

void reply_header(struct reply *reply, const char *name, const char *format, ...)
{
    va_list args;
    ls_buf_printf(&reply->headers, "%s: ", name);
    va_start(args, format);
    ls_buf_vprintf(&reply->headers, format, args);
    va_end(args);
    ls_buf_str(&reply->headers, "\r\n");
}

static void format_head(struct ls_buf *out, const struct reply *reply, uint64_t len)
{
    time_t now = time(NULL);
    struct tm parts;
    char date[40];
    gmtime_r(&now, &parts);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    ls_buf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", reply->status, status_text(reply->status), date);
    /* Addresses hold session ids, so they do not travel to other sites (PX14); types are ours to tell, not the browser's to guess (P19). */
    ls_buf_str(out, "Referrer-Policy: same-origin\r\nX-Content-Type-Options: nosniff\r\n");
    if (reply->type != NULL)
        ls_buf_printf(out, "Content-Type: %s\r\n", reply->type);
    if (reply->status != 304)
        ls_buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)len);
    /* What came with a refused request is not read, so its connection cannot be used again. */
    bool close = reply->status == 413 || reply->status == 503 || reply->status == 400;
    /* An idle connection lives for half a second (P22a); clients that know so do not send a request into its end. */
    ls_buf_str(out, close ? "Connection: close\r\n" : "Connection: keep-alive\r\nKeep-Alive: timeout=1\r\n");
    if (reply->headers.len > 0)
        ls_buf_add(out, reply->headers.data, reply->headers.len);
    ls_buf_str(out, "\r\n");
}

int reply_head(struct reply *reply, struct mg_connection *http, uint64_t len)
{
    struct ls_buf out = LS_BUF_INIT;
    format_head(&out, reply, len);
    if (!ls_buf_failed(&out))
        mg_write(http, out.data, out.len);
    ls_buf_release(&out);
    ls_buf_release(&reply->headers);
    return reply->status;
}

int reply_send(struct reply *reply, struct mg_connection *http)
{
    struct ls_buf out = LS_BUF_INIT;
    const struct mg_request_info *info = mg_get_request_info(http);
    format_head(&out, reply, reply->len);
    /* A small body goes in the same packet as its head. */
    bool body = reply->len > 0 && reply->status != 304 && strcmp(info->request_method, "HEAD") != 0;
    bool together = body && reply->len <= 65536;
    if (together)
        ls_buf_add(&out, reply->body, reply->len);
    if (!ls_buf_failed(&out)) {
        mg_write(http, out.data, out.len);
        if (body && !together)
            mg_write(http, reply->body, reply->len);
    }
    ls_buf_release(&out);
    ls_buf_release(&reply->headers);
    return reply->status;
}

int reply_text(struct mg_connection *http, int status, const char *format, ...)
{
    struct ls_buf text = LS_BUF_INIT;
    va_list args;
    va_start(args, format);
    ls_buf_vprintf(&text, format, args);
    va_end(args);
    struct reply reply;
    reply_init(&reply, status, "text/plain; charset=utf-8");
    reply.body = ls_buf_text(&text);
    reply.len = text.len;
    reply_header(&reply, "Cache-Control", "no-store");
    reply_send(&reply, http);
    ls_buf_release(&text);
    return status;
}

/* --- the address --- */

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* @return length, -1 for a bad escape, a NUL, or no room */
static int percent_decode(const char *from, size_t len, char *out, size_t cap, bool plus)
{
    size_t at = 0;
    for (size_t i = 0; i < len; i++, at++) {
        if (at + 1 >= cap)
            return -1;
        char byte = plus && from[i] == '+' ? ' ' : from[i];
        if (byte == '%') {
            int high = i + 2 < len ? hex_value(from[i + 1]) : -1, low = high >= 0 ? hex_value(from[i + 2]) : -1;
            if (low < 0)
                return -1;
            byte = (char)(high * 16 + low);
            i += 2;
        }
        out[at] = byte;
        if (out[at] == '\0')
            return -1;
    }
    out[at] = '\0';
    return (int)at;
}

/* The canonical form (P2): no empty, `.` or `..` components; a slash at the end stays. `out` holds at least as much as `path`. */
static size_t canonical_path(const char *path, char *out)
{
    size_t len = 0;
    out[len++] = '/';
    const char *at = path;
    while (*at != '\0') {
        at += strspn(at, "/");
        size_t step = strcspn(at, "/");
        if (step == 0)
            break;
        bool dot = step == 1 && at[0] == '.', up = step == 2 && at[0] == '.' && at[1] == '.';
        if (up && len > 1) {
            len--; /* the slash at the end, then the component before it */
            while (out[len - 1] != '/')
                len--;
        } else if (!dot && !up) {
            memcpy(out + len, at, step);
            len += step;
            if (at[step] == '/')
                out[len++] = '/';
        }
        at += step;
    }
    out[len] = '\0';
    return len;
}

static int redirect_to(struct request *request, const char *path)
{
    struct ls_buf to = LS_BUF_INIT;
    for (const char *at = path; *at != '\0'; at++) {
        bool plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') || strchr("/-_.~!$&'()*+,;=:@", *at) != NULL;
        if (plain)
            ls_buf_char(&to, *at);
        else
            ls_buf_printf(&to, "%%%02X", (unsigned char)*at);
    }
    if (request->info->query_string != NULL)
        ls_buf_printf(&to, "?%s", request->info->query_string);
    struct reply reply;
    reply_init(&reply, 301, NULL);
    reply_header(&reply, "Location", "%s", ls_buf_text(&to));
    reply_header(&reply, "Cache-Control", "no-cache");
    ls_buf_release(&to);
    return reply_send(&reply, request->http);
}

int request_param(const struct request *request, const char *name, char *out, size_t cap)
{
    size_t name_len = strlen(name);
    for (const char *at = request->info->query_string; at != NULL && *at != '\0';) {
        size_t step = strcspn(at, "&");
        if (step > name_len && strncmp(at, name, name_len) == 0 && at[name_len] == '=')
            return percent_decode(at + name_len + 1, step - name_len - 1, out, cap, true) < 0 ? PARAM_MALFORMED : (int)strlen(out);
        at += step + (at[step] == '&');
    }
    return PARAM_MISSING;
}

int request_cookie(const struct mg_request_info *info, const char *name, char *out, size_t cap)
{
    size_t name_len = strlen(name);
    for (int i = 0; i < info->num_headers; i++) {
        if (strcasecmp(info->http_headers[i].name, "Cookie") != 0)
            continue;
        for (const char *at = info->http_headers[i].value; *at != '\0';) {
            at += strspn(at, " ;");
            size_t step = strcspn(at, ";");
            if (step > name_len && strncmp(at, name, name_len) == 0 && at[name_len] == '=' && step - name_len - 1 < cap) {
                size_t len = step - name_len - 1;
                memcpy(out, at + name_len + 1, len);
                out[len] = '\0';
                return (int)len;
            }
            at += step;
        }
    }
    return -1;
}

int request_body(const struct request *request, uint64_t max, struct ls_buf *body)
{
    long long announced = request->info->content_length;
    if (max > 0 && announced > 0 && (uint64_t)announced > max)
        return LS_ELIMIT;
    char chunk[8192];
    int n;
    while ((n = mg_read(request->http, chunk, sizeof chunk)) > 0) {
        if (max > 0 && body->len + (size_t)n > max)
            return LS_ELIMIT;
        ls_buf_add(body, chunk, (size_t)n);
        if (ls_buf_failed(body))
            return LS_ENOMEM;
    }
    return n < 0 || (announced >= 0 && body->len < (size_t)announced) ? LS_EIO : 0;
}

/* --- routing (P1) --- */

static bool is_id(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (hex_value(text[i]) < 0 || (text[i] >= 'A' && text[i] <= 'F'))
            return false;
    return len == LS_ID_LEN;
}

static int route_rest(struct request *request)
{
    const char *first = request->path + 1;
    size_t len = strcspn(first, "/");
    struct session *session = manager_find(request->server, first, len);
    if (session != NULL) {
        int status = pages_session(request, session, first + len);
        session_unref(session);
        return status;
    }
    /* P18: the two listings of a session that is gone are static paths, which do not exist. */
    if (is_id(first, len) && request->get)
        return pages_gone(request);
    return static_serve(request);
}

static int route(struct request *request)
{
    const char *path = request->path;
    if (strcmp(path, "/") == 0)
        return pages_root(request);
    if (strcmp(path, "/api") == 0)
        return redirect_to(request, "/api/");
    if (strcmp(path, "/ws") == 0)
        return redirect_to(request, "/ws/");
    if (strcmp(path, "/api/open") == 0)
        return editor_open(request);
    if (strncmp(path, "/api/", 5) == 0)
        return api_handle(request, path + 5);
    if (strncmp(path, "/ws/", 4) == 0)
        return websocket_begin(request);
    return route_rest(request);
}

bool server_gate(struct ls_server *server)
{
    if (atomic_load(&server->phase) == PHASE_RUNNING)
        return true;
    pthread_mutex_lock(&server->gate_lock);
    while (atomic_load(&server->phase) == PHASE_OPENING)
        pthread_cond_wait(&server->gate_open, &server->gate_lock);
    pthread_mutex_unlock(&server->gate_lock);
    return atomic_load(&server->phase) == PHASE_RUNNING;
}

int http_begin_request(struct mg_connection *http)
{
    struct ls_server *server = mg_get_user_data(mg_get_context(http));
    const struct mg_request_info *info = mg_get_request_info(http);
    char decoded[MAX_PATH], canonical[MAX_PATH + 2];
    if (!server_gate(server))
        return reply_text(http, 503, "The server is stopping.\n");
    if (server->tls != NULL && !tls_is_ours(server->tls, info->remote_port))
        return reply_text(http, 403, "This port belongs to the TLS port of the same server.\n");
    const char *raw = info->local_uri_raw;
    if (raw == NULL || raw[0] != '/')
        return reply_text(http, 400, "The address is not one of this server.\n");
    if (strlen(raw) >= sizeof decoded)
        return reply_text(http, 414, "The address is too long.\n");
    if (percent_decode(raw, strlen(raw), decoded, sizeof decoded, false) < 0)
        return reply_text(http, 400, "The address is not well formed.\n");
    bool upgrade = mg_get_header(http, "Upgrade") != NULL;
    bool get = strcmp(info->request_method, "GET") == 0, head = strcmp(info->request_method, "HEAD") == 0;
    struct ls_buf text = LS_BUF_INIT;
    const char *refusal = origin_refusal(server, info, upgrade || !(get || head), &text);
    if (refusal != NULL) {
        int status = reply_text(http, 403, "%s", refusal);
        ls_buf_release(&text);
        return status;
    }
    struct request request = {.server = server, .http = http, .info = info, .path = canonical, .head = head, .get = get || head};
    request.path_len = canonical_path(decoded, canonical);
    if (strcmp(decoded, canonical) != 0)
        return redirect_to(&request, canonical);
    return route(&request);
}
