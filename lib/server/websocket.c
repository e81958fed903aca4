/* The WebSocket endpoint: handshake, reading, reassembly, back-pressure, heartbeat (P22, P22a, P36–P41, P111; S6).
 *
 * civetweb does the handshake and lends its worker thread for the life of the connection. That thread only waits: its
 * stack of 100 KiB is too small for Lua, so a reader thread of our own reads the descriptor, parses, posts on the
 * session's queue, and runs that queue on the spot when it is idle. A blocking recv has no wake-ups while nothing
 * happens (Q1: idle pages cost nothing), and a frame that announces more than --max-frame is refused before its bytes
 * are read (P37).
 *
 * Threads: a reader thread (ls-page) a connection; `conn` belongs to the session's owner thread; the list of sockets
 * has a lock. */
#include "server/server_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "protocol/message.h"

enum { KEEP_BUFFER = 65536, MAX_WAITING_FRAMES = 256, DRAIN_MS = 2000, MISSED_PINGS = 2 };
#define MAX_WAITING_BYTES ((size_t)16 << 20) /* P40b */

/* --- items on the session's queue --- */

static void send_text(void *ctx, struct ls_bytes *frame)
{
    ls__outbox_send(ctx, LS_WS_TEXT, frame);
}

static void drop_socket(void *arg)
{
    ls__socket_unref(arg);
}

static void run_connect(struct session *session, void *arg)
{
    struct socket *socket = arg;
    struct ls_outlet outlet = {.ctx = socket, .send = send_text, .rights = socket->rights};
    socket->conn = ls_backend_connect(session->backend, &outlet);
    if (!socket->conn) {
        ls__outbox_close(socket, 1011, "internal error");
        return;
    }
    ls__socket_ref(socket);
    LL_PREPEND2(session->connected, socket, session_next);
}

/* It is in the list while it has a connection of the backend. */
static void disconnect(struct session *session, struct socket *socket, bool abnormal)
{
    if (!socket->conn) return;
    LL_DELETE2(session->connected, socket, session_next);
    ls_backend_disconnect(session->backend, socket->conn, abnormal);
    socket->conn = NULL;
    ls__socket_unref(socket);
}

static void run_disconnect(struct session *session, void *arg)
{
    struct socket *socket = arg;
    disconnect(session, socket, !socket->ended_well);
    ls__server_trim_later(session->server);
}

void ls__websocket_disconnect_session(struct session *session)
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

static void free_room(struct socket *socket, size_t len)
{
    pthread_mutex_lock(&socket->flow_lock);
    socket->waiting_frames--;
    socket->waiting_bytes -= len;
    if (socket->reader_waits) pthread_cond_signal(&socket->flow_free);
    pthread_mutex_unlock(&socket->flow_lock);
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
    ls__socket_unref(socket);
}

/* P40b: while too much of this connection waits in the queue, nothing more is read from it. */
static void wait_for_room(struct socket *socket, size_t len)
{
    pthread_mutex_lock(&socket->flow_lock);
    socket->reader_waits = true;
    while (socket->waiting_frames >= MAX_WAITING_FRAMES ||
           (socket->waiting_frames > 0 && socket->waiting_bytes >= MAX_WAITING_BYTES))
        pthread_cond_wait(&socket->flow_free, &socket->flow_lock);
    socket->reader_waits = false;
    socket->waiting_frames++;
    socket->waiting_bytes += len;
    pthread_mutex_unlock(&socket->flow_lock);
}

/* --- messages --- */

static bool fail_socket(struct socket *socket, int code, const char *reason)
{
    ls_log_session(1, socket->session->vended, "connection closed with %d: %s", code, reason);
    ls__outbox_close(socket, code, reason);
    return false;
}

/* There is no room for a message: nothing of it has happened, and its page is told (L5). */
static bool refuse_unkept(struct socket *socket)
{
    struct ls_buf text = LS_BUF_INIT;
    char reason[160];
    snprintf(reason, sizeof reason, "a message was not taken: " LS_MEMORY_LIMIT_TEXT,
             (unsigned long long)socket->server->config.memory_limit);
    ls_write_error(&text, 0, "internal", reason);
    struct ls_bytes *frame =
        socket->server->config.memory_limit == 0 || ls_buf_failed(&text) ? NULL : ls_bytes_new(text.data, text.len);
    ls_buf_release(&text);
    if (!frame) return fail_socket(socket, 1011, "out of memory");
    ls_log_session(1, socket->session->vended, "%s", reason);
    ls__outbox_send(socket, LS_WS_TEXT, frame);
    ls_bytes_unref(frame);
    return true;
}

/* The same for one that comes in pieces, of which those to come would have to be told from others. */
static bool refuse_pieces(struct socket *socket)
{
    return fail_socket(socket, 1009, "a message in pieces goes beyond --memory-limit");
}

/* R53: a page asks whether the server is there. The answer needs neither queue nor detection. */
static bool answer_heartbeat(struct socket *socket, const char *text, size_t len)
{
    static const char ping[] = "{\"type\":\"ping\"}";
    if (len != sizeof ping - 1 || memcmp(text, ping, len) != 0) return false;
    struct ls_bytes *nothing = ls_bytes_new("[]", 2);
    if (nothing) ls__outbox_send(socket, LS_WS_TEXT, nothing);
    ls_bytes_unref(nothing);
    return true;
}

/* A whole message. @return false when the connection is to end */
static bool take_message(struct socket *socket, const char *text, size_t len)
{
    if (answer_heartbeat(socket, text, len)) return true;
    if (!ls_utf8_valid(text, len)) return fail_socket(socket, 1007, "a message is not valid UTF-8");
    ls__session_touch(socket->session);
    wait_for_room(socket, len);
    struct frame_item *frame = ls_malloc(sizeof *frame);
    struct ls_batch *batch =
        frame ? ls_batch_parse(&socket->session->budget, NULL, text, len, socket->server->config.max_messages, NULL)
              : NULL;
    if (!batch) {
        ls_free(frame);
        free_room(socket, len);
        return refuse_unkept(socket);
    }
    *frame = (struct frame_item){.item = {.run = run_frame, .what = "a frame of a page"},
                                 .socket = ls__socket_ref(socket),
                                 .batch = batch,
                                 .len = len};
    return ls_queue_post(socket->session->queue, &frame->item, true) == 0;
}

/* P111 asks whether the end was abnormal: 1000 and 1001 are not, and neither is a close frame without a code, which is
 * what `close()` of a page's script sends. */
static bool take_close(struct socket *socket, const char *data, size_t len)
{
    int code = len >= 2 ? (unsigned char)data[0] << 8 | (unsigned char)data[1] : 0;
    if (len == 1 || (len >= 2 && (code < 1000 || code == 1004 || code == 1005 || code == 1006 || code > 4999)))
        return fail_socket(socket, 1002, "bad close frame");
    socket->ended_well = code == 0 || code == 1000 || code == 1001;
    ls__outbox_close(socket, code, "");
    return false;
}

static bool take_control(struct socket *socket, int opcode, const char *data, size_t len)
{
    if (opcode == LS_WS_CLOSE) return take_close(socket, data, len);
    if (opcode == LS_WS_PING) {
        struct ls_bytes *payload = ls_bytes_new(data, len);
        if (payload) ls__outbox_send(socket, LS_WS_PONG, payload);
        ls_bytes_unref(payload);
        return true;
    }
    return opcode == LS_WS_PONG ? true : fail_socket(socket, 1002, "unknown opcode");
}

/* One frame, unmasked. @return false when the connection is to end */
static bool take_frame(struct socket *socket, bool fin, int opcode, const char *data, size_t len)
{
    if (opcode >= 8) return take_control(socket, opcode, data, len);
    if (opcode > LS_WS_BINARY || (opcode == 0) != (socket->message_opcode != 0))
        return fail_socket(socket, 1002, "a frame is out of order");
    if (fin && opcode != 0) return take_message(socket, data, len);
    if (opcode != 0) socket->message_opcode = opcode;
    struct ls_buf *message = &socket->message;
    size_t more = fin || len > message->len ? len : message->len; /* of many small pieces twice as much each time */
    if (message->len + len >= message->cap && !ls__socket_reserve(socket, message, more)) return refuse_pieces(socket);
    ls_buf_add(message, data, len);
    if (!fin) return true;
    bool go_on = take_message(socket, ls_buf_text(message), message->len);
    socket->message_opcode = 0;
    ls__socket_drop_buffer(socket, message);
    return go_on;
}

static bool is_too_large(const struct socket *socket, int opcode, uint64_t len)
{
    uint64_t max = socket->server->config.max_frame;
    return max > 0 && opcode < 8 && (len > max || socket->message.len > max - len);
}

static bool refuse_too_large(struct socket *socket)
{
    ls_log_session(0, socket->session->vended,
                   "A page sent a message of more than %llu bytes, the limit of --max-frame. Its connection is closed.",
                   (unsigned long long)socket->server->config.max_frame);
    return fail_socket(socket, 1009, "larger than --max-frame");
}

/* --- reading --- */

/* Take one frame off the buffer. @return 1 taken, 0 more bytes are needed (*need in all), -1 the connection ends */
static int take_one(struct socket *socket, char *data, size_t len, size_t *used, size_t *need)
{
    const unsigned char *head = (const unsigned char *)data;
    *need = 2;
    if (len < 2) return 0;
    int opcode = head[0] & 0x0f, width = (head[1] & 0x7f) == 126 ? 2 : (head[1] & 0x7f) == 127 ? 8 : 0;
    bool fin = (head[0] & 0x80) != 0;
    if ((head[0] & 0x70) != 0 || (head[1] & 0x80) == 0 || (opcode >= 8 && (!fin || width != 0)))
        return fail_socket(socket, 1002, "a frame is malformed") ? 1 : -1;
    size_t head_len = 2 + (size_t)width + 4;
    *need = head_len;
    if (len < head_len) return 0;
    uint64_t payload = head[1] & 0x7f;
    if (width > 0) payload = 0;
    for (int i = 0; i < width; i++)
        payload = payload << 8 | head[2 + i];
    if (is_too_large(socket, opcode, payload) || payload > SIZE_MAX / 2) return refuse_too_large(socket) ? 1 : -1;
    *need = head_len + (size_t)payload;
    if (len < *need) return 0;
    ls_http_ws_unmask(data + head_len, (size_t)payload, head + 2 + width);
    *used = *need;
    return take_frame(socket, fin, opcode, data + head_len, (size_t)payload) ? 1 : -1;
}

/* There is no room for the frame that begins in the buffer: what is there of it goes, and what comes of it. */
static bool skip_frame(struct socket *socket, size_t need)
{
    unsigned char head = (unsigned char)socket->in.data[0];
    if ((head & 0x80) == 0 || (head & 0x0f) == 0) return refuse_pieces(socket);
    socket->skip = need - socket->in.len;
    ls_buf_cut(&socket->in, 0);
    return refuse_unkept(socket);
}

/* Handle all whole frames in the buffer. @return false when the connection ends */
static bool take_buffered(struct socket *socket)
{
    struct ls_buf *in = &socket->in;
    size_t at = socket->skip < in->len ? socket->skip : in->len, need = 0;
    int rc = 1;
    socket->skip -= at;
    while (rc > 0 && at < in->len) {
        size_t used = 0;
        rc = take_one(socket, in->data + at, in->len - at, &used, &need);
        at += used;
    }
    ls_buf_shift(in, at);
    if (rc < 0) return false;
    if (in->len == 0 && in->cap > KEEP_BUFFER) ls__socket_drop_buffer(socket, in);
    if (in->len > 0 && need > in->len && !ls__socket_reserve(socket, in, need - in->len) && !skip_frame(socket, need))
        return false;
    return in->cap > in->len + 1 || ls__socket_reserve(socket, in, SOCKET_READ_SIZE)
               ? true
               : fail_socket(socket, 1011, "out of memory");
}

static void read_socket(struct socket *socket, int fd)
{
    struct ls_buf *in = &socket->in;
    if (!ls__socket_reserve(socket, in, SOCKET_READ_SIZE)) return;
    for (;;) {
        atomic_store(&socket->busy, false);
        ssize_t n = recv(fd, in->data + in->len, in->cap - in->len - 1, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        atomic_store(&socket->busy, true);
        in->len += (size_t)n;
        in->data[in->len] = '\0';
        if (!take_buffered(socket)) break;
        atomic_store(&socket->last_in_ns, ls_now_ns());
        atomic_store(&socket->pings_unanswered, 0);
    }
    /* What the peer still sends is thrown away until it has seen the close frame. */
    ls_http_linger(fd, DRAIN_MS);
}

/* --- handshake --- */

/* The session that a path below /ws/ names. @return a use, or NULL */
static struct session *find_target(struct ls_server *server, const char *path)
{
    const char *id = path + strlen("/ws/");
    return strncmp(path, "/ws/", 4) == 0 ? ls__manager_find(server->manager, id, strcspn(id, "/")) : NULL;
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

static void leave(struct ls_server *server, struct session *session)
{
    atomic_fetch_sub(&session->connections, 1);
    atomic_fetch_sub(&server->sockets_open, 1);
}

/* A page whose WebSocket has failed asks whether the server would take it: what it then hears of a browser is nothing
 * (R54). */
static int answer_asked(struct ls_request *request, struct session *session)
{
    const struct ls_server *server = request->web->server;
    int most = server->config.max_connections, of_session = server->config.max_session_connections;
    if (!ls__manager_join(server->manager, session)) return ls_reply_gone(request->http);
    if (atomic_load(&server->sockets_open) >= most)
        return refuse_full(request->http, "The server", "--max-connections", most);
    if (of_session > 0 && atomic_load(&session->connections) >= of_session)
        return refuse_full(request->http, "The session", "--max-session-connections", of_session);
    struct ls_reply reply;
    ls_reply_init(&reply, 204, NULL);
    ls_reply_header(&reply, LS_MARK, "ready");
    return ls_reply_send(&reply, request->http);
}

/* @return 0 when civetweb is to go on with the upgrade */
static int begin_in(struct ls_request *request, struct session *session)
{
    struct mg_connection *http = request->http;
    const char *key = mg_get_header(http, "Sec-WebSocket-Key"), *version = mg_get_header(http, "Sec-WebSocket-Version");
    bool upgrade = ls_http_header_has(mg_get_header(http, "Connection"), "upgrade") &&
                   ls_http_header_has(mg_get_header(http, "Upgrade"), "websocket");
    if (!upgrade && strcmp(request->info->request_method, "POST") == 0) return answer_asked(request, session);
    if (!upgrade && request->get)
        return ls_reply_refused(
            http, 400, LS_REFUSED_UPGRADE,
            "A WebSocket came without Upgrade: the proxy before this server has to pass Upgrade and Connection on.\n");
    if (strcmp(request->info->request_method, "GET") != 0 || !upgrade || !ls_http_ws_is_key(key))
        return ls_reply_text(http, 400, "This address takes WebSocket upgrades only.\n");
    if (version && strcmp(version, "13") == 0) return 0;
    struct ls_reply reply;
    ls_reply_init(&reply, 426, "text/plain; charset=utf-8");
    ls_reply_header(&reply, "Sec-WebSocket-Version", "13");
    return ls_reply_send(&reply, http);
}

int ls__websocket_begin(struct ls_request *request)
{
    struct session *session = find_target(request->web->server, request->path);
    int status = session ? begin_in(request, session) : ls_reply_gone(request->http);
    ls__session_unref(session);
    return status;
}

/* The refusal is written here, before the upgrade. */
static int on_connect(const struct mg_connection *const_http, void *ctx)
{
    struct ls_server *server = ctx;
    struct mg_connection *http = (struct mg_connection *)const_http;
    const struct mg_request_info *info = mg_get_request_info(http);
    struct session *session = find_target(server, info->local_uri_raw);
    if (!session || !ls__manager_join(server->manager, session)) {
        ls__session_unref(session);
        ls_reply_gone(http);
        return 1;
    }
    const struct ls_server_config *config = &server->config;
    if (!reserve(&server->sockets_open, config->max_connections)) {
        refuse_full(http, "The server", "--max-connections", config->max_connections);
    } else if (!reserve(&session->connections, config->max_session_connections)) {
        atomic_fetch_sub(&server->sockets_open, 1);
        refuse_full(http, "The session", "--max-session-connections", config->max_session_connections);
    } else {
        int fd = ls_http_descriptor(info);
        struct socket *socket =
            fd >= 0 ? ls__socket_new(server, session, fd, ls_request_rights(&server->web, info)) : NULL;
        if (socket) {
            mg_set_user_connection_data(http, socket);
            ls__session_unref(session);
            return 0;
        }
        leave(server, session);
        ls_reply_text(http, 503, "The connection cannot be served.\n");
    }
    ls__session_unref(session);
    return 1;
}

/* A connection ends. One whose handshake was accepted above and then failed in civetweb has never had a reader. */
void ls__websocket_abandon(const struct mg_connection *http)
{
    struct socket *socket = mg_get_user_connection_data(http);
    if (!socket) return;
    mg_set_user_connection_data((struct mg_connection *)http, NULL);
    leave(socket->server, socket->session);
    ls__socket_unref(socket);
}

static void arm_heartbeat(struct ls_server *server, int64_t due_ns)
{
    if (server->config.heartbeat_ms > 0) ls_alarm_set(&server->heartbeat, due_ns);
}

static void begin_connection(struct socket *socket)
{
    struct session *session = socket->session;
    ls__session_touch(session);
    ls__socket_enlist(socket);
    arm_heartbeat(socket->server, ls_now_ns() + ls_ms(socket->server->config.heartbeat_ms));
    ls_log_session(1, session->vended, "page connected");
    ls__session_post(session, run_connect, ls__socket_ref(socket), drop_socket, true, NULL);
    /* A session may have ended, and closed its sockets, just before this one was in the list. */
    if (atomic_load(&session->ended) || atomic_load(&socket->server->phase) != PHASE_RUNNING)
        ls__outbox_close(socket, 1001, "");
}

static void end_connection(struct socket *socket)
{
    struct session *session = socket->session;
    struct ls_server *server = socket->server;
    ls__outbox_release(socket);
    ls__socket_delist(socket);
    ls__session_touch(session);
    ls__session_post(session, run_disconnect, ls__socket_ref(socket), drop_socket, true, NULL);
    ls_log_session(1, session->vended, "page disconnected");
    leave(server, session);
    ls__socket_unref(socket);
}

static void *serve_socket(void *ctx)
{
    struct socket *socket = ctx;
    begin_connection(socket);
    read_socket(socket, socket->fd);
    end_connection(socket);
    return NULL;
}

static void on_ready(struct mg_connection *http, void *ctx)
{
    (void)ctx;
    struct socket *socket = mg_get_user_connection_data(http);
    int fd = socket->fd, flags = fcntl(fd, F_GETFL);
    mg_set_user_connection_data(http, NULL);
    fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    pthread_t reader;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, LS_STACK_BYTES);
    if (pthread_create(&reader, &attr, serve_socket, socket) == 0) {
        pthread_setname_np(reader, "ls-page");
        pthread_join(reader, NULL);
    } else {
        ls_log(0, "A page is refused: no thread can be started for it.");
        leave(socket->server, socket->session);
        ls__socket_unref(socket);
    }
    pthread_attr_destroy(&attr);
    /* civetweb's own loop, which follows, is to find nothing. */
    shutdown(fd, SHUT_RDWR);
    fcntl(fd, F_SETFL, flags);
}

/* All reading is over when civetweb begins to; what it may still find is not looked at. */
static int on_data(struct mg_connection *http, int bits, char *data, size_t len, void *ctx)
{
    (void)http;
    (void)bits;
    (void)data;
    (void)len;
    (void)ctx;
    return 0;
}

void ls__websocket_install(struct ls_server *server)
{
    /* None is spoken (P22). Without a list of its own civetweb accepts whichever is asked for first. */
    static struct mg_websocket_subprotocols none;
    mg_set_websocket_handler_with_subprotocols(server->civetweb, "/ws", &none, on_connect, on_ready, on_data, NULL,
                                               server);
}

/* --- closing and heartbeat --- */

void ls__websocket_close(struct ls_server *server, const struct session *session)
{
    struct socket **list;
    size_t count = ls__socket_list(server, session, &list);
    for (size_t i = 0; i < count; i++) {
        ls__outbox_close(list[i], 1001, "");
        ls__socket_unref(list[i]);
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
    size_t count = ls__socket_list(server, NULL, &list);
    for (size_t i = 0; i < count; i++) {
        ls__outbox_cut(list[i]);
        ls__socket_unref(list[i]);
    }
    ls_free(list);
}

/* What is due for one socket. @return when to look again */
static int64_t beat(struct socket *socket, struct ls_bytes *empty_array, int64_t now, int64_t period)
{
    /* A session that computes keeps its page's answers from being read, which is no fault of the page. */
    int64_t in = atomic_load(&socket->busy) ? now : atomic_load(&socket->last_in_ns);
    if (now - in >= period * (1 + atomic_load(&socket->pings_unanswered))) {
        if (atomic_fetch_add(&socket->pings_unanswered, 1) >= MISSED_PINGS) {
            ls_log_session(1, socket->session->vended, "A page answers no pings; its connection is closed.");
            ls__outbox_cut(socket);
            return now + period;
        }
        struct ls_bytes *nothing = ls_bytes_new("", 0);
        if (nothing) ls__outbox_send(socket, LS_WS_PING, nothing);
        ls_bytes_unref(nothing);
        ls__outbox_send(socket, LS_WS_TEXT, empty_array);
    } else if (now - atomic_load(&socket->last_out_ns) >= period) {
        ls__outbox_send(socket, LS_WS_TEXT, empty_array);
    }
    int64_t next_in = in + period * (1 + atomic_load(&socket->pings_unanswered)),
            next_out = atomic_load(&socket->last_out_ns) + period;
    return next_in < next_out ? next_in : next_out;
}

/* S6: `[]` after a period without other traffic, and pings that a live browser answers by itself. */
void ls__websocket_beat(void *ctx)
{
    struct ls_server *server = ctx;
    struct socket **list;
    size_t count = ls__socket_list(server, NULL, &list);
    int64_t now = ls_now_ns(), period = ls_ms(server->config.heartbeat_ms), next = now + period;
    struct ls_bytes *empty_array = ls_bytes_new("[]", 2);
    for (size_t i = 0; i < count; i++) {
        int64_t due = empty_array ? beat(list[i], empty_array, now, period) : next;
        if (due < next) next = due;
        ls__socket_unref(list[i]);
    }
    ls_bytes_unref(empty_array);
    ls_free(list);
    /* Pages that connected at about the same time share a wake-up. */
    if (count > 0) arm_heartbeat(server, next > now + period / 30 ? next : now + period / 30);
}
