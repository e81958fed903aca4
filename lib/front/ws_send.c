/* The outbox of a WebSocket: frames leave at once while the socket takes them, else they wait until it takes more (P38,
 * P69; lib/README.md, rule 4). The limit of max_outbox counts what waits behind the frame being sent, so that one large
 * value reaches a page that reads.
 *
 * Threads: any may send. send_lock is held while writing, and keeps `fd` alive; a write never waits. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "front/front_internal.h"

enum { DEFLATE_FROM = 1024 /* N6 */ };

struct ls__out {
    struct ls__out *next;
    struct ls_bytes *bytes; /* counted; payload */
    unsigned char head[12]; /* a ping may stand before the frame's own */
    size_t head_len, done;  /* bytes written of head and payload together */
};

/* --- writing --- */

/* One write. @return bytes taken, 0 when the socket is full, -1 when it is broken. Called with send_lock held. */
static ssize_t write_some(struct ls_ws *ws, const struct ls__out *frame)
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
        n = sendmsg(ws->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : n;
}

/* Write on with a frame. When the socket is full, the loop hears when it takes more: it looks at `backlog` then, which
 * is set before the attempt that counts. @return 1 done, 0 the socket is full, -1 it is broken. With send_lock held. */
static int write_frame(struct ls_ws *ws, struct ls__out *frame)
{
    size_t total = frame->head_len + ls_bytes_len(frame->bytes);
    while (frame->done < total) {
        ssize_t n = write_some(ws, frame);
        if (n == 0 && !atomic_exchange(&ws->backlog, true)) n = write_some(ws, frame);
        if (n <= 0) return (int)n;
        frame->done += (size_t)n;
    }
    return 1;
}

/* Who reads sees the end and does the rest. Called with send_lock held. */
static void cut_locked(struct ls_ws *ws)
{
    if (ws->cut) return;
    ws->cut = ws->mute = true;
    if (ws->fd < 0) return;
    shutdown(ws->fd, SHUT_RDWR);
    ls__ws_kick_locked(ws);
}

static void tell(struct ls_ws *ws, enum ls_ws_trouble kind, const char *reason)
{
    if (ws->hooks->trouble) ws->hooks->trouble(ws->owner, kind, 0, reason);
}

/* --- what waits --- */

static size_t frame_bytes(const struct ls__out *frame)
{
    return sizeof *frame + ls_bytes_len(frame->bytes);
}

static void free_frame(struct ls_ws *ws, struct ls__out *frame)
{
    if (ws->hooks->unreserve) ws->hooks->unreserve(ws->owner, frame_bytes(frame));
    ls_bytes_unref(frame->bytes);
    ls_free(frame);
}

/* Called with send_lock held. */
static bool append(struct ls_ws *ws, const struct ls__out *frame)
{
    size_t bytes = frame_bytes(frame);
    if (ws->hooks->reserve && !ws->hooks->reserve(ws->owner, bytes)) return false;
    struct ls__out *kept = ls_malloc(sizeof *kept);
    if (!kept) {
        if (ws->hooks->unreserve) ws->hooks->unreserve(ws->owner, bytes);
        return false;
    }
    *kept = *frame;
    kept->next = NULL;
    ls_bytes_ref(kept->bytes);
    if (ws->out_tail) {
        ws->out_tail->next = kept;
        ws->out_bytes += bytes;
    } else {
        ws->out_head = kept;
    }
    ws->out_tail = kept;
    return true;
}

void ls__ws_flush(struct ls_ws *ws)
{
    pthread_mutex_lock(&ws->send_lock);
    while (!ws->mute && ws->fd >= 0 && ws->out_head) {
        struct ls__out *frame = ws->out_head;
        int rc = write_frame(ws, frame);
        if (rc < 0) ws->mute = true;
        if (rc <= 0) break;
        atomic_store_explicit(&ws->last_out_ns, ls_now_ns(), memory_order_relaxed);
        ws->out_head = frame->next;
        if (!ws->out_head)
            ws->out_tail = NULL;
        else
            ws->out_bytes -= frame_bytes(ws->out_head);
        free_frame(ws, frame);
    }
    if (!ws->out_head) {
        atomic_store(&ws->backlog, false);
        if (ws->shut_after && ws->fd >= 0) shutdown(ws->fd, SHUT_WR);
    }
    pthread_mutex_unlock(&ws->send_lock);
}

bool ls__ws_put_raw(struct ls_ws *ws, struct ls_bytes *bytes)
{
    pthread_mutex_lock(&ws->send_lock);
    bool put = append(ws, &(struct ls__out){.bytes = bytes});
    pthread_mutex_unlock(&ws->send_lock);
    return put;
}

void ls__ws_drop_outbox(struct ls_ws *ws)
{
    pthread_mutex_lock(&ws->send_lock);
    struct ls__out *frame = ws->out_head;
    ws->out_head = ws->out_tail = NULL;
    pthread_mutex_unlock(&ws->send_lock);
    while (frame) {
        struct ls__out *next = frame->next;
        free_frame(ws, frame);
        frame = next;
    }
}

/* --- sending --- */

/* Called with send_lock held. */
static void send_locked(struct ls_ws *ws, int opcode, bool compressed, struct ls_bytes *payload, bool pinged)
{
    uint64_t max = ws->front->config.max_outbox;
    struct ls__out frame = {.bytes = payload};
    if (pinged) frame.head_len = ls__frame_write(frame.head, LS_WS_PING, false, 0);
    frame.head_len += ls__frame_write(frame.head + frame.head_len, opcode, compressed, ls_bytes_len(payload));
    if (max > 0 && ws->out_head && ws->out_bytes + frame_bytes(&frame) > max) {
        tell(ws, LS_WS_NOT_READ, "more waits for it than the limit allows");
        cut_locked(ws);
        return;
    }
    if (!ws->out_head) {
        int rc = write_frame(ws, &frame);
        if (rc < 0) ws->mute = true;
        if (rc != 0) return;
    }
    if (append(ws, &frame)) return;
    tell(ws, LS_WS_NO_MEMORY, "there is no memory for what waits to be sent");
    cut_locked(ws);
}

static void send_frame(struct ls_ws *ws, int opcode, struct ls_bytes *payload, bool pinged)
{
    struct ls_bytes *smaller = NULL;
    bool data = opcode == LS_WS_TEXT || opcode == LS_WS_BINARY;
    if (ws->deflate != 0 && data && ls_bytes_len(payload) > DEFLATE_FROM)
        smaller = ls__deflate(ws->deflater, ws->deflate, ls_bytes_data(payload), ls_bytes_len(payload));
    pthread_mutex_lock(&ws->send_lock);
    if (ws->fd >= 0 && !ws->close_sent && !ws->mute) {
        send_locked(ws, opcode, smaller, smaller ? smaller : payload, pinged);
        atomic_store_explicit(&ws->last_out_ns, ls_now_ns(), memory_order_relaxed);
    }
    pthread_mutex_unlock(&ws->send_lock);
    ls_bytes_unref(smaller);
}

void ls_ws_send(struct ls_ws *ws, int opcode, struct ls_bytes *payload)
{
    send_frame(ws, opcode, payload, false);
}

void ls__ws_ping(struct ls_ws *ws, struct ls_bytes *text)
{
    send_frame(ws, text ? LS_WS_TEXT : LS_WS_PING, text, text);
}

void ls__ws_send_close(struct ls_ws *ws, struct ls_bytes *payload)
{
    pthread_mutex_lock(&ws->send_lock);
    if (ws->fd >= 0 && !ws->close_sent && !ws->mute && payload) send_locked(ws, LS_WS_CLOSE, false, payload, false);
    ws->close_sent = true;
    pthread_mutex_unlock(&ws->send_lock);
}

void ls__ws_shut(struct ls_ws *ws)
{
    pthread_mutex_lock(&ws->send_lock);
    ws->shut_after = true;
    if (!ws->out_head && ws->fd >= 0) shutdown(ws->fd, SHUT_WR);
    pthread_mutex_unlock(&ws->send_lock);
}

void ls_ws_cut(struct ls_ws *ws)
{
    pthread_mutex_lock(&ws->send_lock);
    cut_locked(ws);
    pthread_mutex_unlock(&ws->send_lock);
}
