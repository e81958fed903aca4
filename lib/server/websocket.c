/* The WebSocket endpoint: a handshake among requests, then messages of pages on their way to a session's queue (P22,
 * P36–P41, P111; S6).
 *
 * civetweb reads the request; when it is accepted, the connection is taken from civetweb (http/handover.c) and belongs
 * to the front, which reads frames, checks and joins them, and calls the hooks below. A message is parsed, posted, and
 * run on the spot where the session is idle and known to be quick.
 *
 * Threads: civetweb's workers for the handshake; the front's for its hooks; `conn` belongs to the session's owner
 * thread. The list of sockets has a lock. */
#include "server/server_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utlist.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "protocol/message.h"

enum { MAX_WAITING_FRAMES = 256 };
#define MAX_WAITING_BYTES ((size_t)16 << 20) /* P40b */

/* --- items on the session's queue --- */

static void send_text(void *ctx, struct ls_bytes *frame)
{
    struct socket *socket = ctx;
    ls_ws_send(socket->ws, LS_WS_TEXT, frame);
}

static struct socket *use(struct socket *socket)
{
    ls_ws_ref(socket->ws);
    return socket;
}

static void drop(void *arg)
{
    struct socket *socket = arg;
    ls_ws_unref(socket->ws);
}

static void run_connect(struct ls_hosted *session, void *arg)
{
    struct socket *socket = arg;
    struct ls_outlet outlet = {.ctx = socket, .send = send_text, .rights = socket->rights};
    socket->conn = ls_backend_connect(session->backend, &outlet);
    if (!socket->conn) {
        ls_ws_close(socket->ws, 1011, "internal error");
        return;
    }
    use(socket);
    LL_PREPEND2(session->connected, socket, session_next);
}

/* May an item of the session run on this thread, a loop's? */
static bool may_run(const struct socket *socket)
{
    return ls_queue_is_quick(socket->session->queue) && ls_ws_may_run(socket->ws);
}

/* It is in the list while it has a connection of the backend. */
static void disconnect(struct ls_hosted *session, struct socket *socket, bool abnormal)
{
    if (!socket->conn) return;
    LL_DELETE2(session->connected, socket, session_next);
    ls_backend_disconnect(session->backend, socket->conn, abnormal);
    socket->conn = NULL;
    drop(socket);
}

static void run_disconnect(struct ls_hosted *session, void *arg)
{
    struct socket *socket = arg;
    disconnect(session, socket, !socket->ended_well);
    ls__server_trim_later(session->server);
}

void ls__websocket_disconnect_session(struct ls_hosted *session)
{
    while (session->connected)
        disconnect(session, session->connected, false);
}

struct frame_item {
    struct ls_item item;   /* first */
    struct socket *socket; /* counted */
    struct ls_batch *batch;
    size_t len;
};

static bool is_full(const struct socket *socket)
{
    return socket->waiting_frames >= MAX_WAITING_FRAMES || socket->waiting_bytes >= MAX_WAITING_BYTES;
}

static void free_room(struct socket *socket, size_t len)
{
    pthread_mutex_lock(&socket->flow_lock);
    socket->waiting_frames--;
    socket->waiting_bytes -= len;
    bool resume = socket->paused && !is_full(socket);
    if (resume) socket->paused = false;
    pthread_mutex_unlock(&socket->flow_lock);
    if (resume) ls_ws_resume(socket->ws);
}

static void run_frame(struct ls_item *item, bool turn)
{
    struct frame_item *frame = (struct frame_item *)item;
    struct socket *socket = frame->socket;
    if (turn && socket->conn)
        ls_backend_frame(socket->session->backend, socket->conn, frame->batch);
    else
        ls_batch_free(frame->batch);
    free_room(socket, frame->len);
    ls_free(frame);
    drop(socket);
}

/* P40b: while too much of this connection waits in the queue, nothing more is read from it. */
static void take_room(struct socket *socket, size_t len)
{
    pthread_mutex_lock(&socket->flow_lock);
    socket->waiting_frames++;
    socket->waiting_bytes += len;
    socket->paused = is_full(socket);
    if (socket->paused) ls_ws_pause(socket->ws);
    pthread_mutex_unlock(&socket->flow_lock);
}

/* --- messages; hooks of the front --- */

static bool fail_socket(struct socket *socket, int code, const char *reason)
{
    ls_log_session(1, socket->session->vended, "connection closed with %d: %s", code, reason);
    ls_ws_close(socket->ws, code, reason);
    return false;
}

/* There is no room for a message: nothing of it has happened, and its page is told (L5). One that comes in pieces ends
 * the connection: those to come would have to be told from others. */
static bool refuse_unkept(struct ls_ws *ws, void *owner, bool pieces)
{
    struct socket *socket = owner;
    uint64_t limit = socket->server->config.memory_limit;
    struct ls_buf text = LS_BUF_INIT;
    char reason[160];
    if (pieces) return fail_socket(socket, 1009, "a message in pieces goes beyond --memory-limit");
    snprintf(reason, sizeof reason, "a message was not taken: " LS_MEMORY_LIMIT_TEXT, (unsigned long long)limit);
    ls_write_error(&text, 0, "internal", reason);
    struct ls_bytes *frame = limit == 0 || ls_buf_failed(&text) ? NULL : ls_bytes_new(text.data, text.len);
    ls_buf_release(&text);
    if (!frame) return fail_socket(socket, 1011, "out of memory");
    ls_log_session(1, socket->session->vended, "%s", reason);
    ls_ws_send(ws, LS_WS_TEXT, frame);
    ls_bytes_unref(frame);
    return true;
}

/* R53: a page asks whether the server is there. The answer needs neither queue nor detection. */
static bool is_heartbeat(const char *text, size_t len)
{
    static const char ping[] = "{\"type\":\"ping\"}";
    return len == sizeof ping - 1 && memcmp(text, ping, len) == 0;
}

/* S6: a page that has been silent, or was told nothing, hears something. */
static struct ls_bytes *break_silence(void *owner)
{
    (void)owner;
    return ls_bytes_new("[]", 2);
}

/* Its first item; on the loop's thread, which is awake for it anyway, so that no other has to be woken. */
static void connect_page(struct ls_ws *ws, void *owner)
{
    (void)ws;
    struct socket *socket = owner;
    ls_hosted_post(socket->session, run_connect, use(socket), drop, may_run(socket), NULL);
}

static bool take_message(struct ls_ws *ws, void *owner, int opcode, const char *text, size_t len)
{
    struct socket *socket = owner;
    struct ls_hosted *session = socket->session;
    if (is_heartbeat(text, len)) {
        struct ls_bytes *nothing = break_silence(owner);
        if (nothing) ls_ws_send(ws, LS_WS_TEXT, nothing);
        ls_bytes_unref(nothing);
        return true;
    }
    if (opcode == LS_WS_BINARY && !ls_utf8_valid(text, len))
        return fail_socket(socket, 1007, "a message is not valid UTF-8");
    ls_hosted_touch(session);
    struct frame_item *frame = ls_malloc(sizeof *frame);
    struct ls_batch *batch =
        frame ? ls_batch_parse(&session->budget, NULL, text, len, socket->server->config.max_messages, NULL) : NULL;
    if (!batch) {
        ls_free(frame);
        return refuse_unkept(ws, socket, false);
    }
    *frame = (struct frame_item){
        .item = {.run = run_frame, .what = "a frame of a page"}, .socket = use(socket), .batch = batch, .len = len};
    take_room(socket, len);
    return ls_queue_post(session->queue, &frame->item, may_run(socket)) == 0;
}

static bool reserve_bytes(void *owner, size_t bytes)
{
    struct socket *socket = owner;
    return ls_budget_queue(&socket->session->budget, bytes);
}

static void unreserve_bytes(void *owner, size_t bytes)
{
    struct socket *socket = owner;
    ls_budget_unqueue(&socket->session->budget, bytes);
}

static void tell_trouble(void *owner, enum ls_ws_trouble kind, int code, const char *reason)
{
    const struct socket *socket = owner;
    const struct ls_server_config *config = &socket->server->config;
    const char *session = socket->session->vended;
    if (kind == LS_WS_TOO_LARGE)
        ls_log_session(
            0, session,
            "A page sent a message of more than %llu bytes, the limit of --max-frame. Its connection is closed.",
            (unsigned long long)config->max_frame);
    else if (kind == LS_WS_NOT_READ)
        ls_log_session(
            0, session,
            "A page does not read: more than %llu bytes wait for it, the limit of --max-outbox. Its connection is closed.",
            (unsigned long long)config->max_outbox);
    else if (kind == LS_WS_NO_MEMORY && code == 0)
        ls_log_session(
            0, session,
            "A page does not read, and there is no memory for what waits for it (--memory-limit). Its connection is closed.");
    else if (kind == LS_WS_SILENT)
        ls_log_session(1, session, "A page answers no pings; its connection is closed.");
    else
        ls_log_session(1, session, "connection closed with %d: %s", code, reason);
}

static void leave(struct ls_server *server, struct ls_hosted *session)
{
    atomic_fetch_sub(&session->connections, 1);
    atomic_fetch_sub(&server->sockets_open, 1);
}

/* In the list of open ones from here on, unless it is over already. */
static void enlist(struct socket *socket)
{
    pthread_mutex_lock(&socket->server->sockets_lock);
    if (!socket->over) DL_PREPEND(socket->server->sockets, socket);
    socket->listed = !socket->over;
    pthread_mutex_unlock(&socket->server->sockets_lock);
}

static void end_socket(struct ls_ws *ws, void *owner, bool ended_well)
{
    (void)ws;
    struct socket *socket = owner;
    struct ls_hosted *session = socket->session;
    pthread_mutex_lock(&socket->server->sockets_lock);
    socket->over = true;
    if (socket->listed) DL_DELETE(socket->server->sockets, socket);
    pthread_mutex_unlock(&socket->server->sockets_lock);
    socket->ended_well = ended_well;
    ls_hosted_touch(session);
    ls_hosted_post(session, run_disconnect, use(socket), drop, false, NULL);
    ls_log_session(1, session->vended, "page disconnected");
    leave(socket->server, session);
}

static void free_socket(void *owner)
{
    struct socket *socket = owner;
    pthread_mutex_destroy(&socket->flow_lock);
    ls_hosted_unref(socket->session);
    ls_free(socket);
}

static const struct ls_ws_hooks hooks = {.begins = connect_page,
                                         .message = take_message,
                                         .unkept = refuse_unkept,
                                         .reserve = reserve_bytes,
                                         .unreserve = unreserve_bytes,
                                         .trouble = tell_trouble,
                                         .silent = break_silence,
                                         .over = end_socket,
                                         .gone = free_socket};

/* --- handshake --- */

/* The session that a path below /ws/ names. @return a use, or NULL */
static struct ls_hosted *find_target(struct ls_server *server, const char *path)
{
    const char *id = path + strlen("/ws/");
    return ls_manager_find(server->manager, id, strcspn(id, "/"));
}

static int refuse_full(struct mg_connection *http, const char *limit, const char *option, int max)
{
    return ls_reply_refused(http, 503, LS_REFUSED_LIMIT, "%s has %d connections, the limit of %s.\n", limit, max,
                            option);
}

/* Count one more, if the limit (0 = none) allows. */
static bool reserve(atomic_int *count, int max)
{
    if (atomic_fetch_add(count, 1) < max || max == 0) return true;
    atomic_fetch_sub(count, 1);
    return false;
}

/* From here on it is read. */
static void begin_socket(struct socket *socket)
{
    struct ls_hosted *session = socket->session;
    LS_ERR(err);
    ls_hosted_touch(session);
    ls_log_session(1, session->vended, "page connected");
    if (ls_ws_begin(socket->ws, &err) < 0) {
        ls_log(0, "A page is refused: %s", ls_err_text(&err));
        end_socket(socket->ws, socket, false);
    } else {
        enlist(socket);
        /* A session may have ended, and closed its sockets, just before this one was in the list. */
        if (atomic_load(&session->ended) || atomic_load(&socket->server->phase) != PHASE_RUNNING)
            ls_ws_close(socket->ws, 1001, "");
    }
    drop(socket);
}

/* The connection is taken from civetweb. @return false: the answer is civetweb's to give */
static bool take_over(struct ls_request *request, struct ls_hosted *session, struct ls_ws_start *start)
{
    struct ls_server *server = request->web->server;
    struct ls_buf early = LS_BUF_INIT;
    struct socket *socket = ls_zalloc(sizeof *socket);
    int fd = socket ? ls_http_take(request->http, &early) : -ENOMEM;
    if (fd < 0) {
        if (fd == -ENOENT)
            ls_log_session(1, session->vended, "page gone before its handshake was answered");
        else
            ls_log(0, "A page is refused: %s.", strerror(-fd));
        ls_free(socket);
        return false;
    }
    *socket =
        (struct socket){.server = server, .session = ls_hosted_ref(session), .rights = ls_request_rights(request)};
    pthread_mutex_init(&socket->flow_lock, NULL);
    start->first = early.data;
    start->first_len = early.len;
    LS_ERR(err);
    socket->ws = ls_ws_new(server->front, fd, start, &hooks, socket, &err);
    ls_buf_release(&early);
    if (socket->ws) {
        begin_socket(socket);
    } else {
        ls_log(0, "A page is refused: %s", ls_err_text(&err));
        leave(server, session);
        free_socket(socket);
    }
    return true;
}

/* Who comes from this machine has no line that is slow (N6). */
static bool may_deflate(const struct ls_request *request)
{
    const char *from = request->sender.address;
    return !request->web->server->config.no_deflate && strncmp(from, "127.", 4) != 0 && strcmp(from, "::1") != 0;
}

/* The handshake is right. */
static int accept_page(struct ls_request *request, struct ls_hosted *session, struct ls_ws_start *start)
{
    struct ls_server *server = request->web->server;
    const struct ls_server_config *config = &server->config;
    if (!ls_manager_join(server->manager, session)) return ls_reply_gone(request->http);
    if (!reserve(&server->sockets_open, config->max_connections))
        return refuse_full(request->http, "The server", "--max-connections", config->max_connections);
    if (!reserve(&session->connections, config->max_session_connections)) {
        atomic_fetch_sub(&server->sockets_open, 1);
        return refuse_full(request->http, "The session", "--max-session-connections", config->max_session_connections);
    }
    if (take_over(request, session, start)) return 101;
    leave(server, session);
    return ls_reply_text(request->http, 503, "The connection cannot be served.\n");
}

/* A page whose WebSocket has failed asks whether the server would take it: what it then hears of a browser is nothing
 * (R54). */
static int answer_asked(struct ls_request *request, struct ls_hosted *session)
{
    const struct ls_server *server = request->web->server;
    int most = server->config.max_connections, of_session = server->config.max_session_connections;
    if (!ls_manager_join(server->manager, session)) return ls_reply_gone(request->http);
    if (atomic_load(&server->sockets_open) >= most)
        return refuse_full(request->http, "The server", "--max-connections", most);
    if (of_session > 0 && atomic_load(&session->connections) >= of_session)
        return refuse_full(request->http, "The session", "--max-session-connections", of_session);
    struct ls_reply reply;
    ls_reply_init(&reply, 204, NULL);
    ls_reply_header(&reply, LS_MARK, "ready");
    return ls_reply_send(&reply, request->http);
}

/* All lines of a list that may stand in several (RFC 9110, section 5.3), as one. @return NULL = there is none */
static const char *read_list(const struct mg_request_info *info, const char *name, struct ls_buf *list)
{
    for (int i = 0; i < info->num_headers; i++)
        if (strcasecmp(info->http_headers[i].name, name) == 0)
            ls_buf_printf(list, "%s%s", list->len > 0 ? "," : "", info->http_headers[i].value);
    return list->len > 0 ? ls_buf_text(list) : NULL;
}

static int begin_as(struct ls_request *request, struct ls_hosted *session, const struct ls_ws_request *asked)
{
    struct mg_connection *http = request->http;
    bool upgrade = ls_http_header_has(asked->connection, "upgrade") && ls_http_header_has(asked->upgrade, "websocket");
    if (!upgrade && strcmp(asked->method, "POST") == 0) return answer_asked(request, session);
    if (!upgrade && request->get)
        return ls_reply_refused(
            http, 400, LS_REFUSED_UPGRADE,
            "A WebSocket came without Upgrade: the proxy before this server has to pass Upgrade and Connection on.\n");
    struct ls_buf answer = LS_BUF_INIT;
    struct ls_ws_start start = {.deflate = may_deflate(request)};
    int status = ls_ws_handshake(asked, &start.deflate, &answer);
    start.answer = ls_buf_text(&answer);
    start.answer_len = answer.len;
    if (status == 101 && !ls_buf_failed(&answer)) {
        status = accept_page(request, session, &start);
    } else if (status == 426) {
        struct ls_reply reply;
        ls_reply_init(&reply, 426, "text/plain; charset=utf-8");
        ls_reply_header(&reply, "Sec-WebSocket-Version", "13");
        ls_reply_send(&reply, http);
    } else {
        status = ls_reply_text(http, status == 101 ? 503 : 400, "This address takes WebSocket upgrades only.\n");
    }
    ls_buf_release(&answer);
    return status;
}

static int begin_in(struct ls_request *request, struct ls_hosted *session)
{
    const struct mg_request_info *info = request->info;
    struct ls_buf connection = LS_BUF_INIT, upgrade = LS_BUF_INIT, extensions = LS_BUF_INIT;
    struct ls_ws_request asked = {.method = info->request_method,
                                  .connection = read_list(info, "Connection", &connection),
                                  .upgrade = read_list(info, "Upgrade", &upgrade),
                                  .key = mg_get_header(request->http, "Sec-WebSocket-Key"),
                                  .version = mg_get_header(request->http, "Sec-WebSocket-Version"),
                                  .extensions = read_list(info, "Sec-WebSocket-Extensions", &extensions)};
    int status = begin_as(request, session, &asked);
    ls_buf_release(&connection);
    ls_buf_release(&upgrade);
    ls_buf_release(&extensions);
    return status;
}

int ls__websocket_begin(struct ls_request *request)
{
    struct ls_hosted *session = find_target(request->web->server, request->path);
    int status = session ? begin_in(request, session) : ls_reply_gone(request->http);
    ls_hosted_unref(session);
    return status;
}

/* --- closing --- */

/* All in the list (of one session, or NULL for every one), each counted. @return how many; *list is owned */
static size_t list_sockets(struct ls_server *server, const struct ls_hosted *session, struct socket ***list)
{
    size_t count = 0, room = 1;
    pthread_mutex_lock(&server->sockets_lock);
    for (struct socket *socket = server->sockets; socket; socket = socket->next)
        room++;
    *list = ls_array(room, sizeof **list);
    for (struct socket *socket = server->sockets; socket; socket = socket->next)
        if (*list && (!session || socket->session == session)) (*list)[count++] = use(socket);
    pthread_mutex_unlock(&server->sockets_lock);
    return count;
}

void ls__websocket_close(struct ls_server *server, const struct ls_hosted *session)
{
    struct socket **list;
    size_t count = list_sockets(server, session, &list);
    for (size_t i = 0; i < count; i++) {
        ls_ws_close(list[i]->ws, 1001, "");
        drop(list[i]);
    }
    ls_free(list);
}

void ls__websocket_wait_all(struct ls_server *server, int64_t ms)
{
    int64_t until = ls_now_ns() + ls_ms(ms);
    struct timespec moment = {.tv_nsec = 2000000};
    while (atomic_load(&server->sockets_open) > 0 && ls_now_ns() < until)
        nanosleep(&moment, NULL);
    struct socket **list;
    size_t count = list_sockets(server, NULL, &list);
    for (size_t i = 0; i < count; i++) {
        ls_ws_cut(list[i]->ws);
        drop(list[i]);
    }
    ls_free(list);
}
