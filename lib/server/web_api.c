/* The REST interface: one message a request, as a batch of one under a client identity (P24, P25, P116–P119).
 *
 * An identity is a connection of the backend without a socket; its messages wait until they are polled. It is found,
 * made and ended on the session's owner thread. A poll that waits holds no thread: the front has its connection, and
 * an item of the session answers it when messages are there (P118). Whoever takes it out of the identity's list answers
 * it.
 *
 * Threads: requests on civetweb's workers; the end of a poll's time on the front's. */
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

enum { TOKEN_SIZE = 128, MAX_WAIT_MS = 60000 };

struct identity {
    /* -- immutable */
    char token[TOKEN_SIZE];  /* "" = for one request only */
    struct ls_rights rights; /* of all its requests: what waits for it is read by none that may do less */
    /* -- atomic */
    atomic_int refs;
    /* -- owner thread only */
    struct identity *next;
    struct ls_hosted *session;     /* borrowed while it is in the session's list */
    struct ls_conn *conn;          /* NULL when the identity has ended */
    struct ls_hosted_timer *timer; /* looks whether it has expired; NULL = not set */
    int64_t used_ns;               /* last request */
    bool dropping;                 /* too much waits for it: its end has been posted */
    bool ready;                    /* messages are waiting */
    bool answering;                /* run_answer has been posted */
    /* -- protected by lock */
    pthread_mutex_t lock;
    struct waiting *waiting; /* polls, the first one first */
};

/* A poll that waits. Its connection is the front's. */
struct waiting {
    /* -- immutable while it waits */
    struct identity *identity; /* counted */
    struct ls_hosted *session; /* counted */
    struct ls_held *held;
    struct ls_buf lines; /* of the answer's header */
    /* -- whoever answers */
    size_t bytes; /* of the session's budget */
    /* -- protected by identity->lock */
    struct waiting *prev, *next;
    bool listed;
};

static void identity_unref(void *arg)
{
    struct identity *identity = arg;
    if (!identity || atomic_fetch_sub(&identity->refs, 1) != 1) return;
    pthread_mutex_destroy(&identity->lock);
    ls_free(identity);
}

static struct identity *identity_ref(struct identity *identity)
{
    atomic_fetch_add(&identity->refs, 1);
    return identity;
}

static void write_error(struct ls_buf *out, const char *message)
{
    ls_buf_clear(out);
    ls_json_open(out, NULL, '{');
    ls_json_put_str(out, "error", message);
    ls_buf_char(out, '}');
}

/* A request, or its answer, for which the session has no room (L5). */
static void write_full(struct ls_buf *out, const struct ls_server *server)
{
    char text[160];
    snprintf(text, sizeof text, "There is no room for the request or its answer: " LS_MEMORY_LIMIT_TEXT ".",
             (unsigned long long)server->config.memory_limit);
    write_error(out, text);
}

/* --- polls that wait (P118) --- */

static void free_waiting(void *owner)
{
    struct waiting *waiting = owner;
    ls_budget_unqueue(&waiting->session->budget, waiting->bytes);
    ls_buf_release(&waiting->lines);
    identity_unref(waiting->identity);
    ls_hosted_unref(waiting->session);
    ls_free(waiting);
}

/* Take one out of the list; NULL: the first. @return it is the caller's to answer; NULL = another's, or none waits */
static struct waiting *take_waiting(struct identity *identity, struct waiting *waiting)
{
    pthread_mutex_lock(&identity->lock);
    if (!waiting) waiting = identity->waiting;
    bool taken = waiting && waiting->listed;
    if (taken) DL_DELETE(identity->waiting, waiting);
    if (taken) waiting->listed = false;
    pthread_mutex_unlock(&identity->lock);
    return taken ? waiting : NULL;
}

/* What an identity has been told, as the answer to a poll. @return how many messages; 0 without `conn` */
static size_t write_messages(struct ls_buf *out, struct ls_conn *conn)
{
    ls_buf_clear(out);
    ls_json_open(out, NULL, '{');
    ls_json_key(out, "result");
    size_t before = out->len, count = conn ? ls_backend_poll(conn, out) : 0;
    if (out->len == before) ls_buf_str(out, "[]");
    ls_buf_char(out, '}');
    return count;
}

/* @param conn  NULL: with nothing */
static void answer_waiting(struct waiting *waiting, struct ls_conn *conn)
{
    struct ls_server *server = waiting->session->server;
    struct ls_buf json = LS_BUF_INIT, text = LS_BUF_INIT;
    int status = 200;
    write_messages(&json, conn);
    if (!ls_buf_failed(&json) && ls_budget_queue(&waiting->session->budget, json.cap)) {
        waiting->bytes = json.cap;
    } else {
        status = 500;
        ls_buf_release(&json);
        write_full(&json, server);
    }
    ls_reply_later(&text, status, &waiting->lines, ls_buf_text(&json), json.len);
    ls_buf_release(&json);
    if (ls_buf_failed(&text)) ls_buf_release(&text); /* the connection ends without an answer */
    atomic_fetch_sub(&server->polls_waiting, 1);
    ls_held_answer(waiting->held, &text);
}

static void answer_all(struct identity *identity)
{
    struct waiting *waiting;
    while ((waiting = take_waiting(identity, NULL)))
        answer_waiting(waiting, NULL);
}

/* Its time is over, or its client may have gone, for which no messages are to be lost. */
static void end_waiting(struct ls_held *held, void *owner)
{
    (void)held;
    struct waiting *waiting = owner;
    if (take_waiting(waiting->identity, waiting)) answer_waiting(waiting, NULL);
}

static const struct ls_held_hooks hooks = {.over = end_waiting, .gone = free_waiting};

static void run_answer(struct ls_hosted *session, void *arg)
{
    (void)session;
    struct identity *identity = arg;
    struct waiting *waiting;
    identity->answering = false;
    while ((identity->ready || !identity->conn) && (waiting = take_waiting(identity, NULL))) {
        identity->ready = false; /* what arrives while the queue is emptied raises it again */
        answer_waiting(waiting, identity->conn);
    }
}

static void end_identity(struct ls_hosted *session, struct identity *identity);

static void run_drop(struct ls_hosted *session, void *arg)
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
    identity->ready = true;
    if (!identity->answering && identity->session && identity->token[0] != '\0')
        identity->answering =
            ls_hosted_post(identity->session, run_answer, identity_ref(identity), identity_unref, false, NULL) == 0;
    uint64_t max = identity->session ? identity->session->server->config.max_outbox : 0;
    if (max == 0 || identity->dropping || !identity->conn || ls_backend_waiting(identity->conn) <= max) return;
    identity->dropping = true;
    ls_hosted_post(identity->session, run_drop, identity_ref(identity), identity_unref, false, NULL);
}

/* --- life of an identity; owner thread --- */

static struct identity *identity_new(struct ls_hosted *session, const char *token, struct ls_rights rights)
{
    struct identity *identity = ls_zalloc(sizeof *identity);
    if (!identity) return NULL;
    atomic_store(&identity->refs, 1);
    strcpy(identity->token, token);
    identity->rights = rights;
    pthread_mutex_init(&identity->lock, NULL);
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

static void end_identity(struct ls_hosted *session, struct identity *identity)
{
    if (!identity->conn) return;
    LL_DELETE(session->identities, identity);
    session->tokens -= identity->token[0] != '\0';
    ls_hosted_timer_end(identity->timer);
    identity->timer = NULL;
    ls_backend_disconnect(session->backend, identity->conn, false);
    if (identity->token[0] != '\0') ls__server_trim_later(session->server);
    identity->conn = NULL;
    answer_all(identity);
    identity_unref(identity);
}

void ls__api_release_session(struct ls_hosted *session)
{
    while (session->identities)
        end_identity(session, session->identities);
}

static void look_for_expiry(struct ls_hosted *session, uint64_t number, void *arg);

/* Does nothing without memory: the next request tries again. */
static void look_again(struct ls_hosted *session, struct identity *identity)
{
    int64_t due = identity->used_ns + ls_ms(session->server->config.identity_ms);
    ls_hosted_timer_end(identity->timer);
    identity->timer = ls_hosted_timer_set(session, due, look_for_expiry, 0, identity);
}

static void look_for_expiry(struct ls_hosted *session, uint64_t number, void *arg)
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

static void fail_call(struct api_call *call, bool busy)
{
    call->status = busy ? 503 : 500;
    write_error(&call->answer, busy ? SESSION_BUSY_TEXT : "The request cannot be handled now.");
}

/* Run a part of a request in the session. */
static int run_part(struct ls_hosted *session, void (*fn)(struct ls_hosted *session, void *arg), struct api_call *call)
{
    int rc = ls_hosted_call(session, fn, call, ls__server_patience(session->server));
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
static struct identity *find_identity(struct ls_hosted *session, struct api_call *call)
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
static void run_parse(struct ls_hosted *session, void *arg)
{
    struct api_call *call = arg;
    const struct ls_buf *body = call->body;
    call->batch = ls_batch_parse(&session->budget, call->type, ls_buf_text(body), body->len,
                                 session->server->config.max_messages, &call->bad_json);
}

static void run_message(struct ls_hosted *session, void *arg)
{
    struct api_call *call = arg;
    struct identity *identity = find_identity(session, call);
    if (!identity) return;
    call->status = ls_backend_api(session->backend, identity->conn, call->batch, &call->answer);
    call->batch = NULL;
    if (call->token[0] == '\0') end_identity(session, identity);
}

static void run_poll(struct ls_hosted *session, void *arg)
{
    struct api_call *call = arg;
    struct identity *identity = find_identity(session, call);
    if (!identity) return;
    identity->ready = false;
    call->polled = write_messages(&call->answer, identity->conn);
    call->status = 200;
    call->identity = identity_ref(identity);
    if (call->token[0] == '\0') end_identity(session, identity);
}

/* @return false: it cannot wait */
static bool hold_poll(struct ls_request *request, struct ls_hosted *session, struct identity *identity, int64_t wait_ms)
{
    struct ls_server *server = request->web->server;
    struct waiting *waiting = ls_zalloc(sizeof *waiting);
    if (!waiting) return false;
    struct ls_reply reply;
    ls_reply_init(&reply, 200, "application/json");
    ls_reply_header(&reply, "Cache-Control", "no-store");
    ls_reply_hold(&reply, request->http, &waiting->lines);
    int fd = ls_buf_failed(&waiting->lines) ? -1 : ls_http_take(request->http, NULL);
    waiting->identity = identity_ref(identity);
    waiting->session = ls_hosted_ref(session);
    if (fd < 0) {
        free_waiting(waiting);
        return false;
    }
    LS_ERR(err);
    pthread_mutex_lock(&identity->lock);
    bool held = (waiting->held = ls_held_new(server->front, fd, wait_ms, &hooks, waiting, &err));
    waiting->listed = held;
    if (held) DL_APPEND(identity->waiting, waiting);
    if (held) atomic_fetch_add(&server->polls_waiting, 1);
    pthread_mutex_unlock(&identity->lock); /* from now on it may be answered and freed at any time */
    if (!held)
        free_waiting(waiting);
    else if (ls_hosted_post(session, run_answer, identity_ref(identity), identity_unref, false, NULL) < 0)
        answer_all(identity); /* else it answers what came before the poll was in the list */
    return true;
}

/* @return false: it is answered later */
static bool poll_messages(struct ls_request *request, struct ls_hosted *session, struct api_call *call, int64_t wait_ms)
{
    (void)run_part(session, run_poll, call);
    bool wait = call->status == 200 && call->polled == 0 && wait_ms > 0 && call->token[0] != '\0' &&
                atomic_load(&request->web->server->polls_waiting) < request->web->server->max_polls;
    bool held =
        wait && hold_poll(request, session, call->identity, wait_ms < MAX_WAIT_MS ? wait_ms : (int64_t)MAX_WAIT_MS);
    identity_unref(call->identity);
    call->identity = NULL;
    return !held;
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

static int send_full(struct ls_request *request)
{
    struct ls_buf text = LS_BUF_INIT;
    write_full(&text, request->web->server);
    send_json(request, 500, ls_buf_text(&text), text.len);
    ls_buf_release(&text);
    return 500;
}

/* P25: the parameter, else the cookie. */
static struct ls_hosted *find_session(struct ls_request *request)
{
    char id[256];
    int len = ls_request_param(request, "session", id, sizeof id);
    if (len == LS_PARAM_MISSING) len = ls_request_cookie_session(request, id, sizeof id);
    struct ls_hosted *session = len > 0 ? ls_manager_find(request->web->server->manager, id, (size_t)len) : NULL;
    if (session && !ls_manager_join(request->web->server->manager, session)) {
        ls_hosted_unref(session);
        session = NULL;
    }
    return session;
}

static int handle_body(struct ls_request *request, struct ls_hosted *session, const char *type,
                       const struct ls_buf *body)
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
    ls_hosted_touch(session);
    bool now = true;
    if (call.batch->count == 1 && call.batch->messages[0].type == LS_MSG_POLL)
        now = poll_messages(request, session, &call, call.batch->messages[0].wait_ms);
    else
        (void)run_part(session, run_message, &call);
    ls_batch_free(call.batch);
    if (!now) {
        /* nothing is written to it here */
    } else if (ls_budget_queue(&session->budget, call.answer.cap)) {
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
    struct ls_hosted *session = find_session(request);
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
    ls_hosted_unref(session);
    return status;
}
