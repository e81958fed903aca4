/* The HTTP endpoint's front: canonical form of the address, who may ask at all, routing (P1, P2, P22–P24).
 *
 * Every request comes through civetweb's begin_request callback, so none of civetweb's own file handlers is ever
 * reached. The only thing that is left to civetweb is the WebSocket handshake.
 *
 * Threads: civetweb's workers. */
#include "server/server_internal.h"

#include <stdio.h>
#include <string.h>

enum { MAX_PATH = 4096 };

/* --- routing (P1) --- */

static bool is_id(const char *text, size_t len)
{
    return len == LS_RANDOM_ID && strspn(text, "0123456789abcdef") >= len;
}

static int route_rest(struct ls_request *request)
{
    const char *first = request->path + 1;
    size_t len = strcspn(first, "/");
    struct ls_hosted *session = ls_manager_find(request->web->server->manager, first, len);
    if (session) {
        int status = ls__pages_session(request, session, first + len);
        ls_hosted_unref(session);
        return status;
    }
    /* P18: the two listings of a session that is gone are static paths, which do not exist. */
    if (is_id(first, len) && request->get) return ls__pages_gone(request);
    return ls_http_static_serve(request);
}

static int route(struct ls_request *request)
{
    const char *path = request->path;
    if (strcmp(path, "/") == 0) return ls__pages_root(request);
    if (strcmp(path, "/metrics") == 0) return ls__metrics_send(request);
    if (strcmp(path, "/api") == 0) return ls_reply_redirect(request, "/api/");
    if (strcmp(path, "/ws") == 0) return ls_reply_redirect(request, "/ws/");
    if (strcmp(path, "/api/open") == 0) return ls__editor_open(request);
    if (strncmp(path, "/api/", 5) == 0) return ls__api_handle(request, path + 5);
    if (strncmp(path, "/ws/", 4) == 0) return ls__websocket_begin(request);
    return route_rest(request);
}

/* --- requests --- */

/* Whoever asks, by whatever name (N23). */
static int send_health(const struct ls_request *request)
{
    static const char ok[] = "ok";
    if (strcmp(request->info->request_method, "OPTIONS") == 0)
        return ls_reply_allow(request->http, 204, ls_request_methods(request->path));
    if (!request->get) return ls_reply_not_allowed(request);
    struct ls_reply reply;
    ls_reply_init(&reply, 200, "text/plain; charset=utf-8");
    ls_reply_header(&reply, "Cache-Control", "no-store");
    reply.body = ok;
    reply.len = sizeof ok - 1;
    return ls_reply_send(&reply, request->http);
}

static int answer(struct mg_connection *http)
{
    struct ls_web *web = mg_get_user_data(mg_get_context(http));
    struct ls_server *server = web->server;
    const struct mg_request_info *info = mg_get_request_info(http);
    char decoded[MAX_PATH], canonical[MAX_PATH + 2];
    const char *fault = ls_request_begin(info);
    if (fault) return ls_reply_text(http, 400, "%s", fault);
    if (!ls__server_await_start(server)) return ls_reply_text(http, 503, "The server is stopping.\n");
    struct ls_relay_peer peer;
    if (!ls_http_peer(web, info, &peer)) return ls_reply_text(http, 403, "This port is for the server itself.\n");
    const char *raw = info->local_uri_raw;
    if (!raw || raw[0] != '/') return ls_reply_text(http, 400, "The address is not one of this server.\n");
    if (strlen(raw) >= sizeof decoded) return ls_reply_text(http, 414, "The address is too long.\n");
    if (ls_http_percent_decode(raw, strlen(raw), decoded, sizeof decoded, false) < 0)
        return ls_reply_text(http, 400, "The address is not well formed.\n");
    bool upgrade = mg_get_header(http, "Upgrade");
    bool get = strcmp(info->request_method, "GET") == 0, head = strcmp(info->request_method, "HEAD") == 0;
    struct ls_request request = {.web = web, .http = http, .info = info, .head = head, .get = get || head};
    ls_sender_read(web, info, &request.sender);
    ls_request_canonical(decoded, canonical);
    request.path = ls_sender_below(&request.sender, canonical);
    if (strcmp(request.path, "/healthz") == 0) return send_health(&request);
    struct ls_buf text = LS_BUF_INIT;
    enum ls_refusal refusal = ls_http_origin_refusal(web, info, &request.sender, upgrade || !(get || head), &text);
    if (refusal != LS_REFUSED_NOT) {
        ls_reply_refused(http, 403, refusal, "%s", ls_buf_text(&text));
        ls_buf_release(&text);
        return 403;
    }
    int status = ls_login_check(&request);
    if (status != 0) return status;
    if (strcmp(info->request_method, "OPTIONS") == 0)
        return ls_reply_allow(http, 204, ls_request_methods(request.path));
    if (strcmp(decoded, canonical) != 0 || *request.path == '\0')
        return ls_reply_redirect(&request, *request.path == '\0' ? "/" : request.path);
    return route(&request);
}

int ls__http_begin_request(struct mg_connection *http)
{
    int status = answer(http);
    ls_login_forget();
    /* With 101 the connection is no longer civetweb's. */
    if (status > 0 && status != 101 && ls_request_body_left()) ls_http_end_early(http);
    return status;
}
