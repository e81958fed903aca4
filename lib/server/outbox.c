/* The outbox of a WebSocket: frames leave at once while the socket takes them, else they wait for the writer thread
 * (P38, P69; lib/README.md, rule 4).
 *
 * Frames are built here and written to civetweb's descriptor directly, without blocking; mg_websocket_write would block
 * for up to a time-out a call and tear the frame. The limit of --max-outbox counts what waits behind the frame being
 * sent, so that one large value reaches a page that reads.
 *
 * Threads: any may send. send_lock is held while writing, which is what keeps `fd` alive: the reader empties it under
 * the lock before civetweb closes the connection. */
#include "server/server_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

enum { CLOSE_WAIT_MS = 2000 };

/* Immutable after open. */
struct writer {
    pthread_t thread;
    int epoll; /* sockets with a backlog, each counted, and `stop`, which has no socket */
    int stop;  /* eventfd */
};

struct out_frame {
    struct out_frame *next;
    struct ls_bytes *bytes; /* counted; payload */
    unsigned char head[10];
    size_t head_len, done; /* bytes written of head and payload together */
};

/* --- writing one frame --- */

/* One write. @return bytes taken, 0 when the socket is full, -1 when it is broken */
static ssize_t write_some(struct socket *socket, const struct out_frame *frame)
{
    const char *data = ls_bytes_data(frame->bytes);
    size_t len = ls_bytes_len(frame->bytes);
    struct iovec parts[2];
    int count = 0;
    if (frame->done < frame->head_len)
        parts[count++] = (struct iovec){(void *)(frame->head + frame->done), frame->head_len - frame->done};
    size_t from = frame->done > frame->head_len ? frame->done - frame->head_len : 0;
    if (from < len) parts[count++] = (struct iovec){(void *)(data + from), len - from};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
    ssize_t n;
    do {
        n = sendmsg(socket->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : n;
}

/* Write on with a frame. @return 1 done, 0 the socket is full, -1 it is broken. Called with send_lock held. */
static int write_frame(struct socket *socket, struct out_frame *frame)
{
    size_t total = frame->head_len + ls_bytes_len(frame->bytes);
    while (frame->done < total) {
        ssize_t n = write_some(socket, frame);
        if (n <= 0) return (int)n;
        frame->done += (size_t)n;
    }
    return 1;
}

static size_t frame_bytes(const struct out_frame *frame)
{
    return sizeof *frame + ls_bytes_len(frame->bytes);
}

static void free_frame(struct socket *socket, struct out_frame *frame)
{
    ls_budget_unqueue(&socket->session->budget, frame_bytes(frame));
    ls_bytes_unref(frame->bytes);
    ls_free(frame);
}

/* Nothing more can be sent; the reader sees the end and does the rest. Called with send_lock held. */
static void cut_locked(struct socket *socket)
{
    socket->cut = true;
    if (socket->fd >= 0) shutdown(socket->fd, SHUT_RDWR);
}

/* --- the writer thread --- */

/* The writer keeps the socket until nothing is left to do for it. Called with send_lock held. */
static bool give_to_writer(struct socket *socket)
{
    if (socket->with_writer) return true;
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = ls__socket_ref(socket)};
    socket->with_writer = epoll_ctl(socket->server->writer->epoll, EPOLL_CTL_ADD, socket->fd, &event) == 0;
    if (!socket->with_writer) ls__socket_unref(socket); /* never the last use: the caller has one */
    return socket->with_writer;
}

/* Send what the socket takes; with nothing left to do for it the writer lets it go. */
static void flush_backlog(struct writer *writer, struct socket *socket)
{
    pthread_mutex_lock(&socket->send_lock);
    while (!socket->cut && socket->out_head) {
        struct out_frame *frame = socket->out_head;
        int rc = write_frame(socket, frame);
        if (rc == 0) break;
        if (rc < 0) {
            cut_locked(socket);
            break;
        }
        atomic_store(&socket->last_out_ns, ls_now_ns());
        socket->out_head = frame->next;
        if (!socket->out_head)
            socket->out_tail = NULL;
        else
            socket->out_bytes -= ls_bytes_len(socket->out_head->bytes);
        free_frame(socket, frame);
    }
    bool done = socket->cut || !socket->out_head;
    if (done) {
        epoll_ctl(writer->epoll, EPOLL_CTL_DEL, socket->fd, NULL);
        socket->with_writer = false;
        pthread_cond_signal(&socket->without_writer);
    }
    pthread_mutex_unlock(&socket->send_lock);
    if (done) ls__socket_unref(socket);
}

static void *run_writer(void *ctx)
{
    struct writer *writer = ctx;
    struct epoll_event event;
    int count;
    while ((count = epoll_wait(writer->epoll, &event, 1, -1)) > 0 || (count < 0 && errno == EINTR)) {
        if (count < 0) continue;
        if (!event.data.ptr) break;
        flush_backlog(writer, event.data.ptr);
    }
    return NULL;
}

static void free_writer(struct writer *writer)
{
    if (writer->epoll >= 0) close(writer->epoll);
    if (writer->stop >= 0) close(writer->stop);
    ls_free(writer);
}

struct writer *ls__writer_open(struct ls_err *err)
{
    struct writer *writer = ls_zalloc(sizeof *writer);
    if (!writer) {
        ls_fail(err, LS_ENOMEM, "Out of memory while starting the writer thread.");
        return NULL;
    }
    struct epoll_event stop = {.events = EPOLLIN};
    writer->epoll = epoll_create1(EPOLL_CLOEXEC);
    writer->stop = eventfd(0, EFD_CLOEXEC);
    int rc = writer->epoll < 0 || writer->stop < 0 || epoll_ctl(writer->epoll, EPOLL_CTL_ADD, writer->stop, &stop) < 0
                 ? errno
                 : pthread_create(&writer->thread, NULL, run_writer, writer);
    if (rc == 0) {
        pthread_setname_np(writer->thread, "ls-writer");
        return writer;
    }
    ls_fail(err, LS_EIO, "The writer thread cannot be started: %s.", strerror(rc));
    free_writer(writer);
    return NULL;
}

void ls__writer_close(struct writer *writer)
{
    if (!writer) return;
    (void)eventfd_write(writer->stop, 1);
    pthread_join(writer->thread, NULL);
    free_writer(writer);
}

/* --- sending --- */

static bool is_over_limit(const struct socket *socket, size_t len)
{
    uint64_t max = socket->server->config.max_outbox;
    return max > 0 && socket->out_head && socket->out_bytes + len > max;
}

/* Put a frame that could not be written (or not wholly) into the list. Called with send_lock held. */
static void queue_frame(struct socket *socket, const struct out_frame *frame)
{
    struct ls_budget *budget = &socket->session->budget;
    if (!ls_budget_queue(budget, frame_bytes(frame))) {
        ls_log_session(
            0, socket->session->vended,
            "A page does not read, and there is no memory for what waits for it (--memory-limit). Its connection is closed.");
        cut_locked(socket);
        return;
    }
    struct out_frame *kept = ls_malloc(sizeof *kept);
    if (!kept) {
        ls_budget_unqueue(budget, frame_bytes(frame));
        cut_locked(socket);
        return;
    }
    *kept = *frame;
    kept->next = NULL;
    ls_bytes_ref(kept->bytes);
    if (socket->out_tail) {
        socket->out_tail->next = kept;
        socket->out_bytes += ls_bytes_len(kept->bytes);
    } else {
        socket->out_head = kept;
    }
    socket->out_tail = kept;
    if (!give_to_writer(socket)) cut_locked(socket);
}

/* Called with send_lock held. */
static void send_locked(struct socket *socket, int opcode, struct ls_bytes *payload)
{
    struct out_frame frame = {.bytes = payload};
    frame.head_len = ls_http_ws_frame_head(frame.head, opcode, ls_bytes_len(payload));
    if (is_over_limit(socket, ls_bytes_len(payload))) {
        ls_log_session(
            0, socket->session->vended,
            "A page does not read: more than %llu bytes wait for it, the limit of --max-outbox. Its connection is closed.",
            (unsigned long long)socket->server->config.max_outbox);
        cut_locked(socket);
        return;
    }
    if (!socket->out_head) {
        int rc = write_frame(socket, &frame);
        if (rc < 0) cut_locked(socket);
        if (rc != 0) return;
    }
    queue_frame(socket, &frame);
}

void ls__outbox_send(struct socket *socket, int opcode, struct ls_bytes *payload)
{
    pthread_mutex_lock(&socket->send_lock);
    if (socket->fd >= 0 && !socket->close_sent && !socket->cut) {
        send_locked(socket, opcode, payload);
        atomic_store(&socket->last_out_ns, ls_now_ns());
    }
    pthread_mutex_unlock(&socket->send_lock);
}

static void end_close_wait(void *ctx, int64_t handle)
{
    (void)handle;
    ls__outbox_cut(ctx);
    ls__socket_unref(ctx);
}

/* A peer that does not answer the close frame must not hold a thread for ever. Called with send_lock held. */
static void arm_close_wait(struct socket *socket)
{
    ls__socket_ref(socket);
    socket->close_timer =
        ls_timer_set(socket->server->executor, ls_now_ns() + ls_ms(CLOSE_WAIT_MS), end_close_wait, socket);
    if (socket->close_timer < 0) {
        socket->close_timer = 0;
        cut_locked(socket);
        ls__socket_unref(socket);
    }
}

void ls__outbox_close(struct socket *socket, int code, const char *reason)
{
    char text[125];
    size_t len = 2 + strlen(reason);
    if (len > sizeof text) len = sizeof text;
    text[0] = (char)(code >> 8);
    text[1] = (char)(code & 0xff);
    memcpy(text + 2, reason, len - 2);
    struct ls_bytes *payload = ls_bytes_new(text, code == 0 ? 0 : len);
    pthread_mutex_lock(&socket->send_lock);
    bool first = socket->fd >= 0 && !socket->close_sent && !socket->cut;
    if (first && payload) send_locked(socket, LS_WS_CLOSE, payload);
    if (first) arm_close_wait(socket);
    socket->close_sent = true;
    pthread_mutex_unlock(&socket->send_lock);
    ls_bytes_unref(payload);
}

void ls__outbox_cut(struct socket *socket)
{
    pthread_mutex_lock(&socket->send_lock);
    if (!socket->cut) cut_locked(socket);
    pthread_mutex_unlock(&socket->send_lock);
}

void ls__outbox_release(struct socket *socket)
{
    pthread_mutex_lock(&socket->send_lock);
    if (socket->with_writer) cut_locked(socket); /* which wakes the writer */
    while (socket->with_writer)
        pthread_cond_wait(&socket->without_writer, &socket->send_lock);
    socket->fd = -1;
    struct out_frame *frame = socket->out_head;
    socket->out_head = socket->out_tail = NULL;
    int64_t close_timer = socket->close_timer;
    pthread_mutex_unlock(&socket->send_lock);
    if (close_timer > 0 && ls_timer_clear(socket->server->executor, close_timer))
        ls__socket_unref(socket); /* never the last use: the caller has one */
    while (frame) {
        struct out_frame *next = frame->next;
        free_frame(socket, frame);
        frame = next;
    }
}
