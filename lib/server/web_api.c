/* The REST interface: one message a request, as a batch of one under a client identity (P24, P25, P116–P119).
 *
 * An identity is a connection of the backend without a socket; its messages wait until they are polled. It is found,
 * made and ended on the session's owner thread; a poll that waits does so on its HTTP thread, outside of the queue, and
 * is woken by the identity's flag.
 *
 * Threads: requests on civetweb's workers. */
#include "server/server_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "protocol/message.h"

enum { TOKEN_SIZE = 128, MAX_POLLS = 16, MAX_WAIT_MS = 60000 };

struct identity {
    /* -- immutable */
    char token[TOKEN_SIZE];  /* "" = for one request only */
    struct ls_rights rights; /* of all its requests: what waits for it is read by none that may do less */
    /* -- atomic */
    atomic_int refs;
    /* -- owner thread only */
    struct identity *next;
    struct session *session;     /* borrowed while it is in the session's list */
    struct ls_conn *conn;        /* NULL when the identity has ended */
    struct session_timer *timer; /* looks whether it has expired; NULL = not set */
    int64_t used_ns;             /* last request */
    bool dropping;               /* too much waits for it: its end has been posted */
    /* -- protected by lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ready; /* messages are waiting, or the identity has ended */
};

static void identity_unref(void *arg)
{
    struct identity *identity = arg;
    if (!identity || atomic_fetch_sub(&identity->refs, 1) != 1) return;
    pthread_mutex_destroy(&identity->lock);
    pthread_cond_destroy(&identity->changed);
    ls_free(identity);
}

static void wake_polls(struct identity *identity)
{
    pthread_mutex_lock(&identity->lock);
    identity->ready = true;
    pthread_cond_broadcast(&identity->changed);
    pthread_mutex_unlock(&identity->lock);
}

static void end_identity(struct session *session, struct identity *identity);

static void run_drop(struct session *session, void *arg)
{
    struct identity *identity = arg;
    identity->dropping = false;
    uint64_t max = session->server->config.max_outbox;
    if (identity->conn && ls_backend_waiting(identity->conn) > max) { /* it may have polled meanwhile */
        ls_log_session(
            0, session->vended,
            "An API client does not poll: more than %llu bytes wait for it, the limit of --max-outbox. It is forgotten.",
            (unsigned long long)max);
        end_identity(session, identity);
    }
}

/* Messages are waiting. Like a page that does not read (P69), a client that does not poll may not let them grow without
 * end. */
static void on_ready(void *ctx)
{
    struct identity *identity = ctx;
    wake_polls(identity);
    uint64_t max = identity->session ? identity->session->server->config.max_outbox : 0;
    if (max == 0 || identity->dropping || !identity->conn || ls_backend_waiting(identity->conn) <= max) return;
    identity->dropping = true;
    atomic_fetch_add(&identity->refs, 1);
    ls__session_post(identity->session, run_drop, identity, identity_unref, false, NULL);
}

/* --- life of an identity; owner thread --- */

static struct identity *identity_new(struct session *session, const char *token, struct ls_rights rights)
{
    struct identity *identity = ls_zalloc(sizeof *identity);
    if (!identity) return NULL;
    atomic_store(&identity->refs, 1);
    strcpy(identity->token, token);
    identity->rights = rights;
    pthread_mutex_init(&identity->lock, NULL);
    pthread_cond_init(&identity->changed, NULL);
    struct ls_outlet outlet = {.ctx = identity, .ready = on_ready, .rights = rights};
    identity->conn = ls_backend_connect(session->backend, &outlet);
    if (!identity->conn) {
        identity_unref(identity);
        return NULL;
    }
    session->tokens += token[0] != '\0';
    identity->session = session;
    LL_PREPEND(session->identities, identity);
    return identity;
}

static void end_identity(struct session *session, struct identity *identity)
{
    if (!identity->conn) return;
    LL_DELETE(session->identities, identity);
    session->tokens -= identity->token[0] != '\0';
    ls__session_timer_end(identity->timer);
    identity->timer = NULL;
    ls_backend_disconnect(session->backend, identity->conn, false);
    if (identity->token[0] != '\0') ls__server_trim_later(session->server);
    identity->conn = NULL;
    wake_polls(identity);
    identity_unref(identity);
}

void ls__api_release_session(struct session *session)
{
    while (session->identities)
        end_identity(session, session->identities);
}

static void look_for_expiry(struct session *session, uint64_t number, void *arg);

/* Does nothing without memory: the next request tries again. */
static void look_again(struct session *session, struct identity *identity)
{
    int64_t due = identity->used_ns + ls_ms(session->server->config.identity_ms);
    ls__session_timer_end(identity->timer);
    identity->timer = ls__session_timer_set(session, due, look_for_expiry, 0, identity);
}

static void look_for_expiry(struct session *session, uint64_t number, void *arg)
{
    (void)number;
    struct identity *identity = arg;
    if (ls_now_ns() >= identity->used_ns + ls_ms(session->server->config.identity_ms))
        end_identity(session, identity);
    else
        look_again(session, identity);
}

/* --- one request --- */

struct api_call {
    const char *token;
    struct ls_rights rights;
    const char *type;
    const struct ls_buf *body;
    struct ls_batch *batch; /* taken by the item that handles it */
    bool bad_json;
    int status;
    struct ls_buf answer;
    struct identity *identity; /* of a poll: a use */
    size_t polled;
};

static void write_error(struct ls_buf *out, const char *message)
{
    ls_buf_clear(out);
    ls_json_open(out, NULL, '{');
    ls_json_put_str(out, "error", message);
    ls_buf_char(out, '}');
}

static void fail_call(struct api_call *call, bool busy)
{
    call->status = busy ? 503 : 500;
    write_error(&call->answer, busy ? SESSION_BUSY_TEXT : "The request cannot be handled now.");
}

/* Run a part of a request in the session. */
static int run_part(struct session *session, void (*fn)(struct session *session, void *arg), struct api_call *call)
{
    int rc = ls__session_call(session, fn, call, ls__session_patience(session->server));
    if (rc < 0) fail_call(call, rc == LS_EBUSY);
    return rc;
}

static bool is_identity_of(const struct identity *identity, const struct api_call *call)
{
    return strcmp(identity->token, call->token) == 0 && identity->rights.lua == call->rights.lua &&
           identity->rights.source == call->rights.source && strcmp(identity->rights.user, call->rights.user) == 0;
}

/* The identity of a token, made at its first request (P25); so many may be at once as connections of a session.
 * Borrowed; NULL when the call has been answered. */
static struct identity *find_identity(struct session *session, struct api_call *call)
{
    const char *token = call->token;
    int max = session->server->config.max_session_connections;
    struct identity *identity = token[0] != '\0' ? session->identities : NULL;
    while (identity && !is_identity_of(identity, call))
        identity = identity->next;
    if (!identity && token[0] != '\0' && max > 0 && session->tokens >= max) {
        char text[96];
        snprintf(text, sizeof text, "The session has %d API clients, the limit of --max-session-connections.", max);
        call->status = 503;
        write_error(&call->answer, text);
        return NULL;
    }
    if (!identity) identity = identity_new(session, token, call->rights);
    if (!identity) {
        fail_call(call, false);
        return NULL;
    }
    identity->used_ns = ls_now_ns();
    if (token[0] != '\0' && !identity->timer) look_again(session, identity);
    return identity;
}

/* In the session's turn: where it does not come, because the session hangs, the request is refused unread. */
static void run_parse(struct session *session, void *arg)
{
    struct api_call *call = arg;
    const struct ls_buf *body = call->body;
    call->batch = ls_batch_parse(&session->budget, call->type, ls_buf_text(body), body->len,
                                 session->server->config.max_messages, &call->bad_json);
}

static void run_message(struct session *session, void *arg)
{
    struct api_call *call = arg;
    struct identity *identity = find_identity(session, call);
    if (!identity) return;
    call->status = ls_backend_api(session->backend, identity->conn, call->batch, &call->answer);
    call->batch = NULL;
    if (call->token[0] == '\0') end_identity(session, identity);
}

/* The flag is taken down first: what arrives while the queue is emptied raises it again. */
static void run_poll(struct session *session, void *arg)
{
    struct api_call *call = arg;
    struct identity *identity = find_identity(session, call);
    if (!identity) return;
    pthread_mutex_lock(&identity->lock);
    identity->ready = false;
    pthread_mutex_unlock(&identity->lock);
    ls_buf_clear(&call->answer);
    ls_json_open(&call->answer, NULL, '{');
    ls_json_key(&call->answer, "result");
    size_t before = call->answer.len;
    call->polled = ls_backend_poll(identity->conn, &call->answer);
    if (call->answer.len == before) ls_buf_str(&call->answer, "[]");
    ls_buf_char(&call->answer, '}');
    call->status = 200;
    if (!call->identity) {
        atomic_fetch_add(&identity->refs, 1);
        call->identity = identity;
    }
    if (call->token[0] == '\0') end_identity(session, identity);
}

/* @return false when the time is over */
static bool wait_ready(struct identity *identity, int64_t until)
{
    pthread_mutex_lock(&identity->lock);
    while (!identity->ready && ls_cond_wait_until(&identity->changed, &identity->lock, until))
        continue;
    bool ready = identity->ready;
    pthread_mutex_unlock(&identity->lock);
    return ready;
}

/* P118: a waiting poll holds a thread of the HTTP server, so only some may. */
static void poll_messages(struct ls_request *request, struct session *session, struct api_call *call, int64_t wait_ms)
{
    struct ls_server *server = request->web->server;
    if (wait_ms > MAX_WAIT_MS) wait_ms = MAX_WAIT_MS;
    int64_t until = ls_now_ns() + ls_ms(wait_ms > 0 ? wait_ms : 0);
    bool may_wait = atomic_fetch_add(&server->polls_waiting, 1) < MAX_POLLS && wait_ms > 0 && call->token[0] != '\0';
    for (;;) {
        (void)run_part(session, run_poll, call);
        if (call->polled > 0 || call->status != 200 || !may_wait || !wait_ready(call->identity, until)) break;
        if (atomic_load(&session->ended) || atomic_load(&server->phase) != PHASE_RUNNING) break;
    }
    atomic_fetch_sub(&server->polls_waiting, 1);
    identity_unref(call->identity);
    call->identity = NULL;
}

static int send_json(struct ls_request *request, int status, const char *text, size_t len)
{
    struct ls_reply reply;
    ls_reply_init(&reply, status, "application/json");
    ls_reply_header(&reply, "Cache-Control", "no-store");
    if (status == 404) ls_reply_header(&reply, LS_MARK, LS_MARK_GONE);
    if (status == 405) ls_reply_header(&reply, "Allow", "%s", ls_request_methods("/api/"));
    reply.body = text;
    reply.len = len;
    return ls_reply_send(&reply, request->http);
}

int ls__api_fail(struct ls_request *request, int status, const char *message)
{
    struct ls_buf text = LS_BUF_INIT;
    write_error(&text, message);
    send_json(request, status, ls_buf_text(&text), text.len);
    ls_buf_release(&text);
    return status;
}

/* A request, or its answer, for which the session has no room (L5). */
static int send_full(struct ls_request *request)
{
    char text[160];
    snprintf(text, sizeof text, "There is no room for the request or its answer: " LS_MEMORY_LIMIT_TEXT ".",
             (unsigned long long)request->web->server->config.memory_limit);
    return ls__api_fail(request, 500, text);
}

/* P25: the parameter, else the cookie. */
static struct session *find_session(struct ls_request *request)
{
    char id[256];
    int len = ls_request_param(request, "session", id, sizeof id);
    if (len == LS_PARAM_MISSING) len = ls_request_cookie_session(request, id, sizeof id);
    struct session *session = len > 0 ? ls__manager_find(request->web->server->manager, id, (size_t)len) : NULL;
    if (session && !ls__manager_join(request->web->server->manager, session)) {
        ls__session_unref(session);
        session = NULL;
    }
    return session;
}

static int handle_body(struct ls_request *request, struct session *session, const char *type, const struct ls_buf *body)
{
    char token[TOKEN_SIZE] = "";
    if (ls_request_param(request, "client", token, sizeof token) == LS_PARAM_MALFORMED)
        return ls__api_fail(request, 400, "The parameter client is too long or not well formed.");
    struct api_call call = {
        .token = token, .rights = ls_request_rights(request), .type = type, .body = body, .answer = LS_BUF_INIT};
    int rc = run_part(session, run_parse, &call);
    if (rc == LS_EBUSY) return ls__api_fail(request, 503, SESSION_BUSY_TEXT);
    if (rc < 0) return ls__api_fail(request, 404, "There is no such session.");
    if (call.bad_json || !call.batch) {
        ls_batch_free(call.batch);
        return call.bad_json ? ls__api_fail(request, 400, "The body is not JSON.") : send_full(request);
    }
    ls__session_touch(session);
    if (call.batch->count == 1 && call.batch->messages[0].type == LS_MSG_POLL)
        poll_messages(request, session, &call, call.batch->messages[0].wait_ms);
    else
        (void)run_part(session, run_message, &call);
    ls_batch_free(call.batch);
    if (ls_budget_queue(&session->budget, call.answer.cap)) {
        send_json(request, call.status, ls_buf_text(&call.answer), call.answer.len);
        ls_budget_unqueue(&session->budget, call.answer.cap);
    } else {
        call.status = send_full(request);
    }
    ls_buf_release(&call.answer);
    return call.status;
}

int ls__api_handle(struct ls_request *request, const char *type)
{
    if (strcmp(request->info->request_method, "POST") != 0)
        return ls__api_fail(request, 405, "This address takes POST only.");
    struct session *session = find_session(request);
    if (!session) return ls__api_fail(request, 404, "There is no such session.");
    struct ls_buf body = LS_BUF_INIT;
    int rc = ls_request_body(request, request->web->server->config.max_frame, &body), status;
    if (rc == LS_ELIMIT)
        status = ls__api_fail(request, 413, "The body is larger than --max-frame allows.");
    else if (rc < 0)
        status = ls__api_fail(request, 400, "The body cannot be read.");
    else if (!ls_budget_queue(&session->budget, body.cap))
        status = send_full(request);
    else {
        status = handle_body(request, session, type, &body);
        ls_budget_unqueue(&session->budget, body.cap);
    }
    ls_buf_release(&body);
    ls__session_unref(session);
    return status;
}
