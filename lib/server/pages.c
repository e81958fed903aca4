/* Pages of sessions: creating one, the index page with its session's id, the variable browser and its listing, the page
 * of a session that is gone (P3–P16, F8, F9, F219, PX46; L34 and H36 for a start that failed).
 *
 * Threads: civetweb's workers; the listing is taken on the session's queue. */
#include "server/server_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "files/fspath.h"

enum { START_AGAIN = 3 };

static const char HTML[] = "text/html; charset=utf-8";

static int send_page(struct ls_request *request, int status, struct ls_bytes *page)
{
    struct ls_reply reply;
    ls_reply_init(&reply, status, HTML);
    if (status == 404) ls_reply_header(&reply, LS_MARK, LS_MARK_GONE);
    ls_reply_header(&reply, "Cache-Control", "no-store");
    reply.body = ls_bytes_data(page);
    reply.len = ls_bytes_len(page);
    ls_reply_send(&reply, request->http);
    ls_bytes_unref(page);
    return status;
}

/* --- GET / (P3–P6) --- */

/* P4: no trace is left; with hot reload the page shows what went wrong and waits for the next save (L34, H36). */
static int start_failed(struct ls_request *request, const struct ls_err *err)
{
    if (err->code == LS_ECLOSED || err->code == LS_EBUSY ||
        (err->code == LS_ELIMIT && strstr(ls_err_text(err), "--max-sessions")))
        return ls_reply_refused(request->http, 503, LS_REFUSED_LIMIT, "%s\n", ls_err_text(err));
    size_t first = strcspn(ls_err_text(err), "\n");
    if (request->web->server->config.watch) {
        char message[LS_ERR_TEXT], generation[32];
        snprintf(message, sizeof message, "%.*s", (int)first, ls_err_text(err));
        snprintf(generation, sizeof generation, "%lu", atomic_load(&request->web->generation));
        const char *const pairs[] = {
            "message",    message,    "traceback", ls_err_text(err)[first] == '\n' ? ls_err_text(err) + first + 1 : "",
            "generation", generation, NULL};
        struct ls_bytes *page = ls_http_page_fill("templates/pages/start-error.html", pairs);
        if (page) return send_page(request, 500, page);
    }
    return ls_reply_text(request->http, 500, "The session could not be started: %.*s\n", (int)first, ls_err_text(err));
}

int ls__pages_root(struct ls_request *request)
{
    struct ls_reply reply;
    if (!request->get) return ls_reply_not_allowed(request);
    if (request->head) {
        ls_reply_init(&reply, 200, HTML);
        return ls_reply_send(&reply, request->http);
    }
    if (!ls_request_is_navigation(request->web, request->info))
        return ls_reply_text(
            request->http, 403,
            "A session begins when a browser goes to this address, not with a part of a page or a page fetched in advance. --allow-frame lets a "
            "page of another origin show it in a frame.\n");
    LS_ERR(err);
    struct ls_hosted *session = ls_manager_create(request->web->server->manager, &err);
    /* ended for the save of what it was loading, which is there now (R17) */
    for (int again = 0; !session && err.code == LS_EINTERRUPTED && again < START_AGAIN; again++) {
        ls_err_release(&err);
        session = ls_manager_create(request->web->server->manager, &err);
    }
    if (!session) return start_failed(request, &err);
    ls_reply_init(&reply, 302, NULL);
    /* A browser that came by a prefix of which nobody told us finds the way by a relative address (N21). */
    const char *accept = mg_get_header(request->http, "Accept"), *prefix = request->sender.prefix;
    bool relative = *prefix == '\0' && accept && strcasestr(accept, "text/html");
    ls_reply_header(&reply, "Location", "%s/%s", relative ? "." : prefix, session->id);
    ls_http_origin_grant(request, &reply.headers);
    ls_reply_header(&reply, "Cache-Control", "no-store");
    ls_hosted_unref(session);
    return ls_reply_send(&reply, request->http);
}

/* --- /ID (P8, P9, PX46) --- */

static void set_cookie(struct ls_request *request, const struct ls_hosted *session, struct ls_reply *reply)
{
    /* The plain name is what sites' client reads; the other one is not overwritten by servers on other ports of the
     * host. */
    const char *secure = request->sender.secure ? "; Secure" : "", *prefix = request->sender.prefix;
    ls_reply_header(reply, "Set-Cookie", "ui-session=%s; Path=%s/; SameSite=Lax%s", session->id, prefix, secure);
    ls_reply_header(reply, "Set-Cookie", "ui-session-%d=%s; Path=%s/; SameSite=Lax%s", request->web->port, session->id,
                    prefix, secure);
}

static int send_index(struct ls_request *request, struct ls_hosted *session)
{
    struct ls_bytes *index = ls_http_static_index(request->web);
    const char *text = ls_bytes_data(index);
    struct ls_buf page = LS_BUF_INIT, to_root = LS_BUF_INIT;
    size_t place = ls_http_page_head(text, ls_bytes_len(index));
    ls_http_page_base(request->path, &to_root);
    const char *base = ls_http_static_is_client(request->web, text) ? ls_buf_text(&to_root) : NULL;
    ls_http_page_add(&page, text, place, base);
    ls_buf_printf(&page, "<meta name=\"ui-session\" content=\"%s\">", session->id);
    int64_t heartbeat_ms = request->web->server->config.page_heartbeat_ms;
    if (heartbeat_ms != LS_PAGE_HEARTBEAT_MS)
        ls_buf_printf(&page, "<meta name=\"ui-heartbeat\" content=\"%" PRId64 "\">", heartbeat_ms);
    if (base) ls_http_static_preloads(text, base, &page);
    ls_http_page_add(&page, text + place, ls_bytes_len(index) - place, base);
    ls_bytes_unref(index);
    ls_buf_release(&to_root);
    char etag[32];
    snprintf(etag, sizeof etag, "\"%016" PRIx64 "\"", ls_hash(ls_buf_text(&page), page.len));
    struct ls_reply reply;
    bool same = ls_http_static_not_modified(request, etag, 0);
    ls_reply_init(&reply, same ? 304 : 200, HTML);
    set_cookie(request, session, &reply);
    ls_reply_header(&reply, "Cache-Control", "no-cache");
    ls_reply_header(&reply, "ETag", "%s", etag);
    reply.body = ls_buf_text(&page);
    reply.len = page.len;
    int status = ls_reply_send(&reply, request->http);
    ls_buf_release(&page);
    return status;
}

/* --- the listing (P12–P17) --- */

struct listing {
    int diag, rc;
    struct ls_buf json;
    uint64_t changes;
};

static void take_listing(struct ls_hosted *session, void *arg)
{
    struct listing *listing = arg;
    listing->rc = ls_backend_listing(session->backend, listing->diag, &listing->json, &listing->changes);
}

static int send_listing(struct ls_request *request, struct ls_hosted *session)
{
    char diag[16];
    int64_t level = -1;
    int given = ls_request_param(request, "diag", diag, sizeof diag);
    if (given != LS_PARAM_MISSING && (given < 0 || !ls_parse_int(diag, 0, 100, &level)))
        return ls_reply_text(request->http, 400, "diag is a whole number.\n");
    struct listing listing = {.diag = (int)level, .json = LS_BUF_INIT};
    int rc = ls_hosted_call(session, take_listing, &listing, ls__server_patience(request->web->server)), status;
    if (rc < 0 || listing.rc < 0) {
        status = ls__api_fail(request, rc == LS_EBUSY ? 503 : 500,
                              rc == LS_EBUSY            ? SESSION_BUSY_TEXT
                              : listing.rc == LS_ELIMIT ? "The listing is too large; --max-outbox allows more."
                                                        : "The session has no tracker.");
    } else {
        struct ls_reply reply;
        ls_reply_init(&reply, 200, "application/json");
        ls_reply_header(&reply, "X-Change-Count", "%" PRIu64, listing.changes);
        ls_reply_header(&reply, "Cache-Control", "no-store");
        reply.body = ls_buf_text(&listing.json);
        reply.len = listing.json.len;
        status = ls_reply_send(&reply, request->http);
    }
    ls_buf_release(&listing.json);
    return status;
}

static int send_variable_browser(struct ls_request *request)
{
    static const char *const none[] = {NULL};
    struct ls_bytes *page = ls_http_page_fill("templates/pages/variables.html", none);
    return page ? send_page(request, 200, page)
                : ls_reply_text(request->http, 404, "This build has no variable browser.\n");
}

int ls__pages_session(struct ls_request *request, struct ls_hosted *session, const char *rest)
{
    if (!request->get) return ls_reply_not_allowed(request);
    if (strcmp(rest, "/variables") == 0) return send_variable_browser(request);
    if (strcmp(rest, "/variables.json") == 0) return send_listing(request, session);
    return send_index(request, session);
}

int ls__pages_gone(struct ls_request *request)
{
    struct ls_buf base = LS_BUF_INIT;
    ls_http_page_base(request->path, &base);
    const char *const pairs[] = {"base", ls_buf_text(&base), NULL};
    struct ls_bytes *page = ls_http_page_fill("templates/pages/session-gone.html", pairs);
    ls_buf_release(&base);
    if (!page) {
        static const char plain[] = "<!doctype html><title>Session gone</title><p>This session is gone.";
        page = ls_bytes_new(plain, sizeof plain - 1);
    }
    return send_page(request, 404, page);
}
