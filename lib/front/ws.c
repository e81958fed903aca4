/* One WebSocket: its life, who handles it, pings and the close handshake (N10, N11).
 *
 * It is watched edge-triggered from its beginning to its end, so nothing is asked of the kernel between two events. An
 * event sets a bit of `work`; who sets WORK_BUSY handles the WebSocket, alone, until no bit is left. That is the loop's
 * leader, which may lose the lead meanwhile and is then beside the others (loop.c).
 *
 * Threads: a loop's; sending, closing, cutting and resuming: any. Locks: send_lock, then the loop's or the front's. The
 * record is freed by its last use; the loop's own one is given back in a note, when no event of it is left. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "front/front_internal.h"

enum { CLOSE_MS = 2000 /* N10 */, PING_SHARES = 32 /* of the ping time: those due within one share a wake-up */ };

/* --- who handles it --- */

static void call_begins(struct ls_ws *ws)
{
    ls__loop_enter(ws->loop);
    ws->hooks->begins(ws, ws->owner);
    ls__loop_leave(ws->loop);
}

static void handle(struct ls_ws *ws, unsigned bits)
{
    if (atomic_fetch_or(&ws->work, LS_WORK_BUSY | bits) & LS_WORK_BUSY) return;
    unsigned idle = LS_WORK_BUSY;
    do {
        bits = atomic_exchange(&ws->work, LS_WORK_BUSY);
        if (bits & LS_WORK_HUNG_UP) ws->hung_up = true;
        if (bits & LS_WORK_NEW && ws->hooks->begins) call_begins(ws);
        if (bits & LS_WORK_READ) ls__ws_read(ws);
        if (ws->finished) {
            ls__ws_bury(ws);
            return; /* it may be gone; as long as it is not, it stays busy */
        }
        idle = LS_WORK_BUSY;
    } while (!atomic_compare_exchange_strong(&ws->work, &idle, 0));
}

static void on_events(struct ls__watch *watch, uint32_t events)
{
    struct ls_ws *ws = (struct ls_ws *)watch;
    if (events & EPOLLOUT && atomic_load(&ws->backlog)) ls__ws_flush(ws);
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        handle(ws, LS_WORK_READ | LS_WORK_HUNG_UP);
    else if (events & EPOLLIN)
        handle(ws, LS_WORK_READ);
    else if (atomic_load(&ws->work) & LS_WORK_NEW) /* the first event: it takes what is sent */
        handle(ws, 0);
}

static struct ls_ws *of_kick(struct ls__note *note)
{
    return (struct ls_ws *)(void *)((char *)note - offsetof(struct ls_ws, kick));
}

static void on_kick(struct ls__note *note)
{
    struct ls_ws *ws = of_kick(note);
    atomic_store(&ws->kicked, false);
    if (ls__loop_scratch()) handle(ws, LS_WORK_READ); /* else the front is being closed, and ends it */
    ls_ws_unref(ws);
}

void ls__ws_kick_locked(struct ls_ws *ws)
{
    if (ws->fd < 0 || atomic_exchange(&ws->kicked, true) || !ws->begun) return;
    ls_ws_ref(ws);
    if (!ls__loop_post(ws->loop, &ws->kick)) ls_ws_unref(ws); /* never the last use: it is listed */
}

/* --- its timer: pings, and the end of what does not end --- */

/* When to look again, in nanoseconds; INT64_MAX = no more. Pings are counted, not the time: who has been asked nothing,
 * since the program or the machine stood still, has not failed to answer. */
static int64_t beat(struct ls_ws *ws, int64_t now)
{
    int64_t ping = ls_ms(ws->front->config.ping_ms), most = ws->front->config.missed_pings;
    int64_t in = atomic_load(&ws->last_in_ns), out = atomic_load(&ws->last_out_ns);
    if (ping <= 0) return INT64_MAX;
    /* While a session computes, or is behind, its page's answers lie unread, which is no fault of the page. */
    if (atomic_load(&ws->paused) || atomic_load(&ws->work) & LS_WORK_BUSY) in = now;
    if (in != ws->heard_ns) ws->unanswered = 0;
    ws->heard_ns = in;
    int64_t since = in < out ? in : out;
    if (now - since >= ping) {
        if (most > 0 && ws->unanswered >= most) {
            if (ws->hooks->trouble) ws->hooks->trouble(ws->owner, LS_WS_SILENT, 0, "no answer to pings");
            ls_ws_cut(ws);
            return INT64_MAX;
        }
        struct ls_bytes *more = ws->hooks->silent ? ws->hooks->silent(ws->owner) : NULL;
        ls__ws_ping(ws, more);
        ls_bytes_unref(more);
        ws->unanswered++;
        since = now;
    }
    return (since + ping) / (ping / PING_SHARES + 1) * (ping / PING_SHARES + 1) + ping / PING_SHARES;
}

/* For a time of beat(), or that of the close handshake, if there is one. */
static void set_timer(struct ls_ws *ws, int64_t next)
{
    pthread_mutex_lock(&ws->send_lock);
    int64_t close_due = atomic_load(&ws->close_due_ns), ms = 0;
    if (close_due != 0) next = close_due;
    if (next != INT64_MAX && next > ls_now_ns()) ms = (next - ls_now_ns()) / 1000000;
    if (next != INT64_MAX && ws->fd >= 0) ls__loop_timer(ws->loop, &ws->timer, ms);
    pthread_mutex_unlock(&ws->send_lock);
}

static void on_timer(struct ls__timer *timer)
{
    struct ls_ws *ws = (struct ls_ws *)(void *)((char *)timer - offsetof(struct ls_ws, timer));
    int64_t now = ls_now_ns(), close_due = atomic_load(&ws->close_due_ns);
    if (close_due != 0 && now >= close_due) {
        ls_ws_cut(ws);
        return;
    }
    set_timer(ws, close_due != 0 ? INT64_MAX : beat(ws, now));
}

/* --- its life --- */

/* @return false: the front is being closed */
static bool enlist(struct ls_front *front, struct ls_ws *ws)
{
    pthread_mutex_lock(&front->lock);
    ws->listed = !front->closing;
    if (ws->listed) DL_PREPEND(front->open, ws);
    pthread_mutex_unlock(&front->lock);
    return ws->listed;
}

static void delist(struct ls_front *front, struct ls_ws *ws)
{
    pthread_mutex_lock(&front->lock);
    if (ws->listed) DL_DELETE(front->open, ws);
    ws->listed = false;
    pthread_mutex_unlock(&front->lock);
}

/* No event of it is left in the loop, and its timer is not being called. */
static void on_end(struct ls__note *note)
{
    struct ls_ws *ws = (struct ls_ws *)(void *)((char *)note - offsetof(struct ls_ws, end));
    ls__loop_timer_clear(ws->loop, &ws->timer);
    ls_ws_unref(ws);
}

/* From now on nothing is sent, and the loop is asked for nothing. */
static int take_fd(struct ls_ws *ws)
{
    pthread_mutex_lock(&ws->send_lock);
    int fd = ws->fd;
    ws->fd = -1;
    pthread_mutex_unlock(&ws->send_lock);
    return fd;
}

struct ls_ws *ls_ws_new(struct ls_front *front, int fd, const struct ls_ws_start *start,
                        const struct ls_ws_hooks *hooks, void *owner, struct ls_err *err)
{
    static const struct ls_ws_hooks none;
    struct ls_ws *ws = ls_zalloc(sizeof *ws);
    struct ls_bytes *answer = start->answer ? ls_bytes_new(start->answer, start->answer_len) : NULL;
    bool made = ws && (answer || !start->answer);
    if (ws) {
        *ws = (struct ls_ws){.watch = {.fd = fd, .fn = on_events},
                             .front = front,
                             .loop = ls__front_loop(front),
                             .hooks = hooks,
                             .owner = owner,
                             .deflate = (uint8_t)start->deflate,
                             .deflater = start->deflate != 0 ? ls__deflater_ref(front->deflater) : NULL,
                             .timer = {.fn = on_timer},
                             .kick = {.fn = on_kick},
                             .end = {.fn = on_end},
                             .fd = fd};
        atomic_store(&ws->refs, 1);
        atomic_store(&ws->work, LS_WORK_NEW);
        pthread_mutex_init(&ws->send_lock, NULL);
        if (start->first_len > 0) ls_buf_add(&ws->rest, start->first, start->first_len);
        made = made && !ls_buf_failed(&ws->rest) && (!answer || ls__ws_put_raw(ws, answer));
    }
    ls_bytes_unref(answer);
    if (made) {
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        return ws;
    }
    ls_fail(err, LS_ENOMEM, "Out of memory while taking over a WebSocket.");
    if (!ws) close(fd);
    if (ws) ws->hooks = &none;
    ls_ws_unref(ws);
    return NULL;
}

int ls_ws_begin(struct ls_ws *ws, struct ls_err *err)
{
    int64_t now = ls_now_ns();
    atomic_store(&ws->last_in_ns, now);
    atomic_store(&ws->last_out_ns, now);
    bool first = ws->rest.len > 0;
    ls__ws_flush(ws);
    int rc = enlist(ws->front, ws) ? 0 : ls_fail(err, LS_ECLOSED, "The server is stopping.");
    ls_ws_ref(ws); /* the loop's */
    if (rc == 0) rc = ls__loop_watch(ws->loop, &ws->watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, err);
    if (rc < 0) {
        close(take_fd(ws));
        delist(ws->front, ws);
        ls_ws_unref(ws);
        return rc;
    }
    pthread_mutex_lock(&ws->send_lock);
    ws->begun = true;
    if (atomic_exchange(&ws->kicked, false) || first) ls__ws_kick_locked(ws);
    pthread_mutex_unlock(&ws->send_lock);
    set_timer(ws, beat(ws, now));
    return 0;
}

struct ls_ws *ls_ws_ref(struct ls_ws *ws)
{
    atomic_fetch_add(&ws->refs, 1);
    return ws;
}

void ls_ws_unref(struct ls_ws *ws)
{
    if (!ws || atomic_fetch_sub(&ws->refs, 1) != 1) return;
    if (ws->fd >= 0) close(ws->fd); /* it has never been begun */
    ls__ws_drop_outbox(ws);
    ls__ws_drop(ws, &ws->message);
    ls_buf_release(&ws->rest);
    ls__deflater_unref(ws->deflater);
    pthread_mutex_destroy(&ws->send_lock);
    if (ws->hooks->gone) ws->hooks->gone(ws->owner);
    ls_free(ws);
}

void ls__ws_over(struct ls_ws *ws)
{
    if (ws->is_over) return;
    ws->is_over = true;
    ls__loop_enter(ws->loop);
    ws->hooks->over(ws, ws->owner, ws->ended_well);
    ls__loop_leave(ws->loop);
}

void ls__ws_finish(struct ls_ws *ws)
{
    ws->finished = true;
    ls__loop_unwatch(ws->loop, &ws->watch);
    close(take_fd(ws));
    ls__ws_drop_outbox(ws);
    ls__ws_drop(ws, &ws->message);
    ls_buf_release(&ws->rest);
    ls__ws_over(ws);
    delist(ws->front, ws);
}

void ls__ws_bury(struct ls_ws *ws)
{
    if (!ls__loop_post(ws->loop, &ws->end)) on_end(&ws->end);
}

bool ls__ws_grow(void *ctx, struct ls_buf *buf, size_t more)
{
    struct ls_ws *ws = ctx;
    size_t cap = buf->len + more + 1, before = buf->cap > LS_READ_SIZE ? buf->cap - LS_READ_SIZE : 0;
    if (cap <= buf->cap) return true;
    size_t bytes = (cap > LS_READ_SIZE ? cap - LS_READ_SIZE : 0) - before;
    if (bytes > 0 && ws->hooks->reserve && !ws->hooks->reserve(ws->owner, bytes)) return false;
    char *data = ls_realloc(buf->data, cap);
    if (!data) {
        if (bytes > 0 && ws->hooks->unreserve) ws->hooks->unreserve(ws->owner, bytes);
        return false;
    }
    data[buf->len] = '\0';
    buf->data = data;
    buf->cap = cap;
    return true;
}

void ls__ws_drop(struct ls_ws *ws, struct ls_buf *buf)
{
    if (buf->cap > LS_READ_SIZE && ws->hooks->unreserve) ws->hooks->unreserve(ws->owner, buf->cap - LS_READ_SIZE);
    ls_buf_release(buf);
}

/* --- what those above ask for --- */

void ls_ws_pause(struct ls_ws *ws)
{
    atomic_store(&ws->paused, true);
}

void ls_ws_resume(struct ls_ws *ws)
{
    if (!atomic_exchange(&ws->paused, false)) return;
    pthread_mutex_lock(&ws->send_lock);
    ls__ws_kick_locked(ws);
    pthread_mutex_unlock(&ws->send_lock);
}

bool ls_ws_may_run(const struct ls_ws *ws)
{
    return ls__loop_has_time(ws->loop);
}

void ls_ws_close(struct ls_ws *ws, int code, const char *reason)
{
    char text[125];
    size_t len = 2 + strlen(reason);
    if (len > sizeof text) len = sizeof text;
    text[0] = (char)(code >> 8);
    text[1] = (char)(code & 0xff);
    memcpy(text + 2, reason, len - 2);
    struct ls_bytes *payload = ls_bytes_new(text, code == 0 ? 0 : len);
    ls__ws_send_close(ws, payload);
    ls_bytes_unref(payload);
    pthread_mutex_lock(&ws->send_lock);
    if (ws->fd >= 0 && atomic_load(&ws->close_due_ns) == 0) {
        atomic_store(&ws->close_due_ns, ls_now_ns() + ls_ms(CLOSE_MS));
        if (ws->begun) ls__loop_timer(ws->loop, &ws->timer, CLOSE_MS);
    }
    pthread_mutex_unlock(&ws->send_lock);
}
