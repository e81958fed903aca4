/* The outbox of a WebSocket: frames leave at once while the socket takes them, else they wait for the writer thread
 * (P38, P69; lib/README.md, rule 4).
 *
 * Frames are built here and written to civetweb's descriptor directly, without blocking; mg_websocket_write would block
 * for up to a time-out a call and tear the frame. The limit of --max-outbox counts what waits behind the frame being
 * sent, so that one large value reaches a page that reads.
 *
 * Threads: any may send. send_lock is held while writing, which is what keeps `fd` alive: the reader empties it under
 * the lock before civetweb closes the connection. Lock order: send_lock, then the writer's lock. */
#include "server/server_internal.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/log.h"

enum { CLOSE_WAIT_MS = 2000 };

struct writer {
    pthread_t thread;
    int wake; /* eventfd: the list has grown, or stopping */
    /* -- protected by lock */
    pthread_mutex_t lock;
    struct socket **list; /* sockets with a backlog, each counted */
    size_t count, cap;
    bool stopping;
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

static void wake_writer(struct writer *writer)
{
    uint64_t one = 1;
    while (write(writer->wake, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

/* Called with send_lock held. */
static bool give_to_writer(struct socket *socket)
{
    struct writer *writer = socket->server->writer;
    if (socket->with_writer) return true;
    pthread_mutex_lock(&writer->lock);
    bool ok = !writer->stopping && LS_PUSH(writer->list, writer->count, writer->cap, socket_ref(socket));
    pthread_mutex_unlock(&writer->lock);
    socket->with_writer = ok;
    if (ok) wake_writer(writer);
    return ok;
}

/* Send what the socket takes. @return true when nothing is left to do for the writer */
static bool flush_backlog(struct socket *socket)
{
    pthread_mutex_lock(&socket->send_lock);
    bool over = socket->fd < 0 || socket->cut;
    while (!over && socket->out_head) {
        struct out_frame *frame = socket->out_head;
        int rc = write_frame(socket, frame);
        if (rc == 0) break;
        if (rc < 0) {
            cut_locked(socket);
            over = true;
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
    bool done = over || !socket->out_head;
    if (done) socket->with_writer = false;
    pthread_mutex_unlock(&socket->send_lock);
    return done;
}

static void forget_socket(struct writer *writer, struct socket *socket)
{
    pthread_mutex_lock(&writer->lock);
    for (size_t i = 0; i < writer->count; i++)
        if (writer->list[i] == socket) {
            writer->list[i] = writer->list[--writer->count];
            break;
        }
    pthread_mutex_unlock(&writer->lock);
    socket_unref(socket);
}

/* A snapshot of the list for one poll; each socket counted. @return how many, -1 to stop */
static ssize_t take_snapshot(struct writer *writer, struct socket ***sockets, struct pollfd **polls, size_t *cap)
{
    pthread_mutex_lock(&writer->lock);
    size_t count = writer->count;
    bool stop = writer->stopping;
    if (!stop && count + 1 > *cap) {
        struct socket **more = ls_rearray(*sockets, count + 16, sizeof *more);
        struct pollfd *more_polls = more ? ls_rearray(*polls, count + 16, sizeof *more_polls) : NULL;
        if (more) *sockets = more;
        if (more_polls) {
            *polls = more_polls;
            *cap = count + 16;
        } else {
            count = *cap > 0 ? *cap - 1 : 0;
        }
    }
    for (size_t i = 0; !stop && i < count; i++)
        (*sockets)[i] = socket_ref(writer->list[i]);
    pthread_mutex_unlock(&writer->lock);
    return stop ? -1 : (ssize_t)count;
}

static void *run_writer(void *ctx)
{
    struct writer *writer = ctx;
    struct socket **sockets = NULL;
    struct pollfd *polls = NULL, first;
    size_t cap = 0;
    ssize_t count;
    while ((count = take_snapshot(writer, &sockets, &polls, &cap)) >= 0) {
        struct pollfd *list = polls ? polls : &first;
        list[0] = (struct pollfd){.fd = writer->wake, .events = POLLIN};
        for (ssize_t i = 0; i < count; i++) {
            pthread_mutex_lock(&sockets[i]->send_lock);
            list[i + 1] = (struct pollfd){.fd = sockets[i]->fd, .events = POLLOUT};
            pthread_mutex_unlock(&sockets[i]->send_lock);
        }
        poll(list, (nfds_t)count + 1, -1);
        uint64_t wakes;
        if ((list[0].revents & POLLIN) != 0 && read(writer->wake, &wakes, sizeof wakes) < 0) wakes = 0;
        for (ssize_t i = 0; i < count; i++) {
            if ((list[i + 1].revents != 0 || list[i + 1].fd < 0) && flush_backlog(sockets[i]))
                forget_socket(writer, sockets[i]);
            socket_unref(sockets[i]);
        }
    }
    ls_free(sockets);
    ls_free(polls);
    return NULL;
}

struct writer *writer_open(struct ls_err *err)
{
    struct writer *writer = ls_zalloc(sizeof *writer);
    if (!writer) {
        ls_fail(err, LS_ENOMEM, "Not enough memory for the writer thread.");
        return NULL;
    }
    pthread_mutex_init(&writer->lock, NULL);
    writer->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = writer->wake < 0 ? errno : pthread_create(&writer->thread, NULL, run_writer, writer);
    if (rc != 0) {
        ls_fail(err, LS_EIO, "The writer thread cannot be started: %s.", strerror(rc));
        if (writer->wake >= 0) close(writer->wake);
        ls_free(writer);
        return NULL;
    }
    pthread_setname_np(writer->thread, "ls-writer");
    return writer;
}

void writer_close(struct writer *writer)
{
    if (!writer) return;
    pthread_mutex_lock(&writer->lock);
    writer->stopping = true;
    pthread_mutex_unlock(&writer->lock);
    wake_writer(writer);
    pthread_join(writer->thread, NULL);
    for (size_t i = 0; i < writer->count; i++)
        socket_unref(writer->list[i]);
    ls_free(writer->list);
    close(writer->wake);
    pthread_mutex_destroy(&writer->lock);
    ls_free(writer);
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
    frame.head_len = ws_frame_head(frame.head, opcode, ls_bytes_len(payload));
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

void outbox_send(struct socket *socket, int opcode, struct ls_bytes *payload)
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
    outbox_cut(ctx);
    socket_unref(ctx);
}

/* A peer that does not answer the close frame must not hold a thread for ever. Called with send_lock held. */
static void arm_close_wait(struct socket *socket)
{
    socket_ref(socket);
    socket->close_timer =
        ls_timer_set(socket->server->executor, ls_now_ns() + ls_ms(CLOSE_WAIT_MS), end_close_wait, socket);
    if (socket->close_timer < 0) {
        socket->close_timer = 0;
        cut_locked(socket);
        socket_unref(socket);
    }
}

void outbox_close(struct socket *socket, int code, const char *reason)
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
    if (first && payload) send_locked(socket, WS_CLOSE, payload);
    if (first) arm_close_wait(socket);
    socket->close_sent = true;
    pthread_mutex_unlock(&socket->send_lock);
    ls_bytes_unref(payload);
}

void outbox_cut(struct socket *socket)
{
    pthread_mutex_lock(&socket->send_lock);
    if (!socket->cut) cut_locked(socket);
    pthread_mutex_unlock(&socket->send_lock);
}

void outbox_release(struct socket *socket)
{
    pthread_mutex_lock(&socket->send_lock);
    socket->fd = -1;
    struct out_frame *frame = socket->out_head;
    socket->out_head = socket->out_tail = NULL;
    bool with_writer = socket->with_writer;
    int64_t close_timer = socket->close_timer;
    pthread_mutex_unlock(&socket->send_lock);
    if (close_timer > 0 && ls_timer_clear(socket->server->executor, close_timer))
        socket_unref(socket); /* never the last use: the caller has one */
    while (frame) {
        struct out_frame *next = frame->next;
        free_frame(socket, frame);
        frame = next;
    }
    if (with_writer) wake_writer(socket->server->writer);
}
