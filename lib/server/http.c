/* The HTTP endpoint's front: what a request's head must be, decoding and canonical form of the address, routing, replies (P1, P2, P22–P24).
 *
 * Every request comes through civetweb's begin_request callback, so none of civetweb's own file handlers is ever reached. The only thing that is left
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

/* Of the request that this thread answers: no other may follow on its connection; not all of its body has been read (P22a). */
static _Thread_local bool is_last, body_left;

/* --- replies --- */

static const char *status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {{200, "OK"}, {204, "No Content"}, {206, "Partial Content"}, {301, "Moved Permanently"}, {302, "Found"}, {304, "Not Modified"},
                 {400, "Bad Request"}, {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"}, {413, "Content Too Large"},
                 {414, "URI Too Long"}, {416, "Range Not Satisfiable"}, {426, "Upgrade Required"},
                 {500, "Internal Server Error"}, {503, "Service Unavailable"}, {505, "HTTP Version Not Supported"}};
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

/* Who may frame a page (Q3): the list has been checked to hold nothing but origins. */
static void add_frame_ancestors(const struct ls_server *server, struct ls_buf *out)
{
    ls_buf_str(out, "Content-Security-Policy: frame-ancestors 'self'");
    for (const char *const *allowed = server->config.allow_frames; allowed != NULL && *allowed != NULL; allowed++)
        ls_buf_printf(out, " %s", *allowed);
    ls_buf_str(out, "\r\n");
}

/* Also decides whether the connection ends with this answer. */
static void format_head(struct ls_buf *out, const struct reply *reply, struct mg_connection *http, uint64_t len)
{
    const struct ls_server *server = mg_get_user_data(mg_get_context(http));
    time_t now = time(NULL);
    struct tm parts;
    char date[40];
    gmtime_r(&now, &parts);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    ls_buf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", reply->status, status_text(reply->status), date);
    /* Addresses hold session ids, so they do not travel to other sites (PX14); types are ours to tell, not the browser's to guess (P19); what is ours is
     * no part of other sites' pages, unless --allow-origin names them (Q3). */
    ls_buf_str(out, "Referrer-Policy: same-origin\r\nX-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: ");
    ls_buf_str(out, request_is_listed(server, mg_get_request_info(http)) ? "cross-origin\r\n" : "same-origin\r\n");
    if (reply->type != NULL && strncmp(reply->type, "text/html", 9) == 0)
        add_frame_ancestors(server, out);
    if (reply->type != NULL)
        ls_buf_printf(out, "Content-Type: %s\r\n", reply->type);
    if (reply->status != 304)
        ls_buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)len);
    /* A body that an early answer leaves is not read on, so the connection cannot be used again (P22a). */
    bool close = is_last || body_left || reply->status == 503 || reply->status == 400;
    if (close)
        mg_disable_connection_keep_alive(http);
    /* An idle connection lives for half a second (P22a); clients that know so do not send a request into its end. */
    ls_buf_str(out, close ? "Connection: close\r\n" : "Connection: keep-alive\r\nKeep-Alive: timeout=1\r\n");
    if (reply->headers.len > 0)
        ls_buf_add(out, reply->headers.data, reply->headers.len);
    ls_buf_str(out, "\r\n");
}

int reply_head(struct reply *reply, struct mg_connection *http, uint64_t len)
{
    struct ls_buf out = LS_BUF_INIT;
    format_head(&out, reply, http, len);
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
    format_head(&out, reply, http, reply->len);
    /* A small body goes in the same packet as its head. */
    bool body = reply->len > 0 && reply->status != 304 && (info->request_method == NULL || strcmp(info->request_method, "HEAD") != 0);
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

/* Browsers share cookies among the ports of a host, so the plain one may be another server's. */
int request_cookie_session(const struct request *request, char *out, size_t cap)
{
    char name[32];
    snprintf(name, sizeof name, "ui-session-%d", request->server->port);
    int len = request_cookie(request->info, name, out, cap);
    return len >= 0 ? len : request_cookie(request->info, "ui-session", out, cap);
}

int request_body(const struct request *request, uint64_t max, struct ls_buf *body)
{
    long long announced = request->info->content_length;
    if (max > 0 && announced > 0 && (uint64_t)announced > max)
        return LS_ELIMIT;
    char chunk[8192];
    int n, rc = 0;
    struct body reading;
    body_begin(request->server, &reading, request->info);
    while (rc == 0 && (n = mg_read(request->http, chunk, sizeof chunk)) != 0) {
        if (n < 0 || (max > 0 && body->len + (size_t)n > max)) {
            rc = n < 0 ? LS_EIO : LS_ELIMIT;
        } else {
            ls_buf_add(body, chunk, (size_t)n);
            rc = ls_buf_failed(body) ? LS_ENOMEM : 0;
            atomic_store(&reading.received, body->len);
        }
    }
    bool in_time = body_end(request->server, &reading);
    if (rc == 0 && (!in_time || (announced >= 0 && body->len < (size_t)announced)))
        rc = LS_EIO;
    body_left = rc != 0;
    return rc;
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

/* --- the head of a request (P22a) --- */

bool header_has(const char *list, const char *token)
{
    size_t len = strlen(token);
    for (const char *at = list; at != NULL && *at != '\0';) {
        at += strspn(at, " \t,");
        size_t step = strcspn(at, " \t,");
        if (step == len && strncasecmp(at, token, len) == 0)
            return true;
        at += step;
    }
    return false;
}

/* Does the connection end with this request? civetweb ends it also where its first Connection header does not ask to keep it, and with every upgrade. */
static bool asks_for_end(const struct mg_request_info *info)
{
    bool keep = strcmp(info->http_version, "1.0") != 0, first = true;
    for (int i = 0; i < info->num_headers; i++) {
        const char *value = info->http_headers[i].value;
        if (strcasecmp(info->http_headers[i].name, "Connection") != 0)
            continue;
        if (header_has(value, "close") || header_has(value, "upgrade"))
            return true;
        keep = first ? header_has(value, "keep-alive") : keep;
        first = false;
    }
    return !keep;
}

/* Digits and nothing else, so that whoever passed the request on has read the same number. */
static bool is_length(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits < 19 && text[digits + strspn(text + digits, " \t")] == '\0';
}

/* Did civetweb stop before the end of the head: at a line that is no header, or because its table is full? It ends names and values in place, so behind
 * the last value are the NUL of its CR, that of its LF, and the empty line. Likewise a blank between a name and its colon can be told. */
static bool is_head_whole(const struct mg_request_info *info)
{
    for (int i = 0; i < info->num_headers; i++) {
        const char *behind = info->http_headers[i].name + strlen(info->http_headers[i].name) + 1;
        if (*behind == '\0' && behind != info->http_headers[i].value)
            return false;
    }
    const char *last = info->num_headers > 0 ? info->http_headers[info->num_headers - 1].value : NULL;
    const char *end = last != NULL ? last + strlen(last) : NULL;
    return end == NULL || (info->num_headers < MG_MAX_HEADERS && end[1] == '\0' && end[2] == '\r');
}

/* A head that begins with empty lines ends there for civetweb, which then looks for the request in what its buffer held before: another client's. The buffer
 * is the thread's, so where requests begin is known from its first one. One CR LF, which some send behind a body, does no harm. */
static bool begins_at_start(const struct mg_request_info *info)
{
    static _Thread_local const char *start;
    const char *method = info->request_method;
    if (start == NULL || method < start)
        start = method;
    return method == start || (method == start + 2 && start[0] == '\r' && start[1] == '\n');
}

/* Two readers of a head that others understand differently could take one request for two. @return what is wrong with it, or NULL */
static const char *head_fault(const struct mg_request_info *info)
{
    int hosts = 0, lengths = 0, codings = 0;
    if (!begins_at_start(info))
        return "The request does not begin with its first line.\n";
    if (!is_head_whole(info))
        return "The header has a line that is not well formed, or more lines than are taken (63).\n";
    for (int i = 0; i < info->num_headers; i++) {
        const char *name = info->http_headers[i].name, *value = info->http_headers[i].value;
        bool length = strcasecmp(name, "Content-Length") == 0, coding = strcasecmp(name, "Transfer-Encoding") == 0;
        hosts += strcasecmp(name, "Host") == 0;
        lengths += length;
        codings += coding;
        body_left |= coding || (length && strspn(value, "0 \t") != strlen(value));
        if ((length && !is_length(value)) || (coding && strcasecmp(value, "chunked") != 0))
            return "The length of the body is not well formed.\n";
    }
    if (hosts > 1)
        return "The request has more than one Host.\n";
    if (lengths + codings > 1 || (codings > 0 && strcmp(info->http_version, "1.0") == 0))
        return "The request has more than one length of its body.\n";
    return NULL;
}

/* Before civetweb closes the connection of a request that may still be on its way. */
static void end_early(struct mg_connection *http)
{
    int fd = descriptor_find(mg_get_request_info(http));
    if (fd >= 0)
        descriptor_linger(fd, LINGER_MS);
}

int http_error(struct mg_connection *http, int status, const char *message)
{
    (void)message;
    is_last = true;
    reply_text(http, status < 500 ? 400 : status, "The request is not well formed, has a header of more than 16 KiB, or did not come in time.\n");
    end_early(http);
    return 0;
}

static int answer(struct mg_connection *http)
{
    struct ls_server *server = mg_get_user_data(mg_get_context(http));
    const struct mg_request_info *info = mg_get_request_info(http);
    char decoded[MAX_PATH], canonical[MAX_PATH + 2];
    is_last = asks_for_end(info);
    body_left = false;
    const char *fault = head_fault(info);
    if (fault != NULL) {
        body_left = true; /* whatever comes is not read as a request */
        return reply_text(http, 400, "%s", fault);
    }
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

int http_begin_request(struct mg_connection *http)
{
    int status = answer(http);
    if (status > 0 && body_left)
        end_early(http);
    return status;
}
