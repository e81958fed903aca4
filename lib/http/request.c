/* What a request says: its head, and whether another may follow it; parameters, cookies, its body (P22a–P24).
 *
 * Threads: civetweb's workers. Nothing is answered here. */
#include "http/http.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Of the request that this thread answers: no other may follow on its connection; not all of its body has been read
 * (P22a). */
static _Thread_local bool is_last, body_left;

static _Thread_local const char *start; /* of civetweb's buffer, which is the thread's */

void ls_request_end(void)
{
    is_last = true;
}

bool ls__request_is_last(void)
{
    return is_last || body_left;
}

bool ls_request_body_left(void)
{
    return body_left;
}

/* --- the head (P22a) --- */

bool ls_http_header_has(const char *list, const char *token)
{
    size_t len = strlen(token);
    for (const char *at = list; at && *at != '\0';) {
        at += strspn(at, " \t,");
        size_t step = strcspn(at, " \t,");
        if (step == len && strncasecmp(at, token, len) == 0) return true;
        at += step;
    }
    return false;
}

/* Does the connection end with this request? civetweb ends it also where its first Connection header does not ask to
 * keep it, and with every upgrade. */
static bool asks_for_end(const struct mg_request_info *info)
{
    bool keep = strcmp(info->http_version, "1.0") != 0, first = true;
    for (int i = 0; i < info->num_headers; i++) {
        const char *value = info->http_headers[i].value;
        if (strcasecmp(info->http_headers[i].name, "Connection") != 0) continue;
        if (ls_http_header_has(value, "close") || ls_http_header_has(value, "upgrade")) return true;
        keep = first ? ls_http_header_has(value, "keep-alive") : keep;
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

/* Did civetweb stop before the end of the head: at a line that is no header, or because its table is full? It ends
 * names and values in place, so behind the last value are the NUL of its CR, that of its LF, and the empty line.
 * Likewise a blank between a name and its colon can be told. */
static bool is_head_whole(const struct mg_request_info *info)
{
    for (int i = 0; i < info->num_headers; i++) {
        const char *behind = info->http_headers[i].name + strlen(info->http_headers[i].name) + 1;
        if (*behind == '\0' && behind != info->http_headers[i].value) return false;
    }
    const char *last = info->num_headers > 0 ? info->http_headers[info->num_headers - 1].value : NULL;
    const char *end = last ? last + strlen(last) : NULL;
    return !end || (info->num_headers < MG_MAX_HEADERS && end[1] == '\0' && end[2] == '\r');
}

/* A head that begins with empty lines ends there for civetweb, which then looks for the request in what its buffer held
 * before: another client's. The buffer is allocated, so it begins where a value of any type may. One CR LF, which some
 * send behind a body, does no harm. */
static bool begins_at_start(const struct mg_request_info *info)
{
    const char *method = info->request_method;
    if (!start) start = method - (uintptr_t)method % _Alignof(max_align_t);
    return method == start || (method == start + 2 && start[0] == '\r' && start[1] == '\n');
}

/* Two readers of a head that others understand differently could take one request for two. */
const char *ls_request_begin(const struct mg_request_info *info)
{
    int hosts = 0, lengths = 0, codings = 0;
    ls__head_read(info);
    is_last = asks_for_end(info);
    body_left = true; /* where the head is wrong, whatever comes is not read as a request */
    if (!begins_at_start(info)) return "The request does not begin with its first line.\n";
    if (!is_head_whole(info))
        return "The header has a line that is not well formed, or more lines than are taken (63).\n";
    bool body = false;
    for (int i = 0; i < info->num_headers; i++) {
        const char *name = info->http_headers[i].name, *value = info->http_headers[i].value;
        bool length = strcasecmp(name, "Content-Length") == 0, coding = strcasecmp(name, "Transfer-Encoding") == 0;
        hosts += strcasecmp(name, "Host") == 0;
        lengths += length;
        codings += coding;
        body |= coding || (length && strspn(value, "0 \t") != strlen(value));
        if ((length && !is_length(value)) || (coding && strcasecmp(value, "chunked") != 0))
            return "The length of the body is not well formed.\n";
    }
    if (hosts > 1) return "The request has more than one Host.\n";
    if (lengths + codings > 1 || (codings > 0 && strcmp(info->http_version, "1.0") == 0))
        return "The request has more than one length of its body.\n";
    body_left = body;
    ls__handover_request(info, start, codings > 0);
    return NULL;
}

const char *ls_request_methods(const char *path)
{
    return strncmp(path, "/api/", 5) == 0  ? "OPTIONS, POST"
           : strncmp(path, "/ws/", 4) == 0 ? "GET, OPTIONS, POST"
                                           : "GET, HEAD, OPTIONS";
}

/* --- parameters and cookies --- */

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

int ls_http_percent_decode(const char *from, size_t len, char *out, size_t cap, bool plus)
{
    size_t at = 0;
    for (size_t i = 0; i < len; i++, at++) {
        if (at + 1 >= cap) return -1;
        char byte = plus && from[i] == '+' ? ' ' : from[i];
        if (byte == '%') {
            int high = i + 2 < len ? hex_value(from[i + 1]) : -1, low = high >= 0 ? hex_value(from[i + 2]) : -1;
            if (low < 0) return -1;
            byte = (char)(high * 16 + low);
            i += 2;
        }
        out[at] = byte;
        if (out[at] == '\0') return -1;
    }
    out[at] = '\0';
    return (int)at;
}

int ls_request_param(const struct ls_request *request, const char *name, char *out, size_t cap)
{
    size_t name_len = strlen(name);
    for (const char *at = request->info->query_string; at && *at != '\0';) {
        size_t step = strcspn(at, "&");
        if (step > name_len && strncmp(at, name, name_len) == 0 && at[name_len] == '=')
            return ls_http_percent_decode(at + name_len + 1, step - name_len - 1, out, cap, true) < 0
                       ? LS_PARAM_MALFORMED
                       : (int)strlen(out);
        at += step + (at[step] == '&');
    }
    return LS_PARAM_MISSING;
}

int ls__request_cookie(const struct mg_request_info *info, const char *name, char *out, size_t cap)
{
    size_t name_len = strlen(name);
    for (int i = 0; i < info->num_headers; i++) {
        if (strcasecmp(info->http_headers[i].name, "Cookie") != 0) continue;
        for (const char *at = info->http_headers[i].value; *at != '\0';) {
            at += strspn(at, " ;");
            size_t step = strcspn(at, ";");
            if (step > name_len && strncmp(at, name, name_len) == 0 && at[name_len] == '=' &&
                step - name_len - 1 < cap) {
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
int ls_request_cookie_session(const struct ls_request *request, char *out, size_t cap)
{
    char name[32];
    snprintf(name, sizeof name, "ui-session-%d", request->web->port);
    int len = ls__request_cookie(request->info, name, out, cap);
    return len >= 0 ? len : ls__request_cookie(request->info, "ui-session", out, cap);
}

static const char GO_ON[] = "HTTP/1.1 100 Continue\r\n\r\n";

int ls_request_body(const struct ls_request *request, uint64_t max, struct ls_buf *body)
{
    long long announced = request->info->content_length;
    if (max > 0 && announced > 0 && (uint64_t)announced > max) return LS_ELIMIT;
    char chunk[8192];
    int n, rc = 0;
    struct ls__body reading;
    /* who asks for it waits before it sends the body */
    const char *expect =
        strcmp(request->info->http_version, "1.1") == 0 ? mg_get_header(request->http, "Expect") : NULL;
    if (expect && strcasecmp(expect, "100-continue") == 0) mg_write(request->http, GO_ON, sizeof GO_ON - 1);
    ls__body_begin(request->web, &reading, request->info);
    while (rc == 0 && (n = mg_read(request->http, chunk, sizeof chunk)) != 0) {
        if (n < 0 || (max > 0 && body->len + (size_t)n > max)) {
            rc = n < 0 ? LS_EIO : LS_ELIMIT;
        } else {
            ls_buf_add(body, chunk, (size_t)n);
            rc = ls_buf_failed(body) ? LS_ENOMEM : 0;
            atomic_store(&reading.received, body->len);
        }
    }
    bool in_time = ls__body_end(request->web, &reading);
    if (rc == 0 && (!in_time || (announced >= 0 && body->len < (size_t)announced))) rc = LS_EIO;
    body_left = rc != 0;
    return rc;
}

void ls_request_canonical(const char *path, char *out)
{
    size_t len = 0;
    out[len++] = '/';
    const char *at = path;
    while (*at != '\0') {
        at += strspn(at, "/");
        size_t step = strcspn(at, "/");
        if (step == 0) break;
        bool dot = step == 1 && at[0] == '.', up = step == 2 && at[0] == '.' && at[1] == '.';
        if (up && len > 1) {
            len--; /* the slash at the end, then the component before it */
            while (out[len - 1] != '/')
                len--;
        } else if (!dot && !up) {
            memcpy(out + len, at, step);
            len += step;
            if (at[step] == '/') out[len++] = '/';
        }
        at += step;
    }
    out[len] = '\0';
}
