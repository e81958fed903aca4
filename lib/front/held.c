/* Answers that are waited for (P118): a request whose answer comes later holds a connection here, and no thread. All
 * that is done is: hear that the time is over or that the peer sends no more, write the answer, and close in such a way
 * that the peer gets it.
 *
 * Threads: a loop's for all of it; ls_held_new and ls_held_answer: any. Refuses to know what is asked or answered. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/alloc.h"
#include "front/front_internal.h"

/* WRITE_MS: of a peer that takes nothing of its answer; LINGER_MS: of one that does not end behind it */
enum { WRITE_MS = 30000, LINGER_MS = 500 };

enum held_state { WAITING, WRITING, LINGERING };

/* The loop's, but for what ls_held_answer puts in before it posts `answered`. */
struct ls_held {
    struct ls__watch watch; /* first */
    struct ls__timer timer;
    struct ls__note answered;
    struct ls_front *front;
    struct ls__loop *loop;
    const struct ls_held_hooks *hooks;
    void *owner;
    enum held_state state;
    bool watched;
    struct ls_buf text;
    size_t done;
    struct ls_held *prev, *next; /* protected by the front's lock */
};

static void stop_watching(struct ls_held *held)
{
    if (held->watched) ls__loop_unwatch(held->loop, &held->watch);
    held->watched = false;
}

static void watch(struct ls_held *held, uint32_t events)
{
    if (held->watched)
        ls__loop_rewatch(held->loop, &held->watch, events);
    else
        held->watched = ls__loop_watch(held->loop, &held->watch, events, NULL) == 0;
}

/* Into the list of all. */
static bool enlist(struct ls_front *front, struct ls_held *held)
{
    pthread_mutex_lock(&front->lock);
    bool open = !front->closing;
    if (open) DL_PREPEND(front->held, held);
    pthread_mutex_unlock(&front->lock);
    return open;
}

static void delist(struct ls_front *front, struct ls_held *held)
{
    pthread_mutex_lock(&front->lock);
    DL_DELETE(front->held, held);
    pthread_mutex_unlock(&front->lock);
}

static void end(struct ls_held *held)
{
    stop_watching(held);
    ls__loop_timer_clear(held->loop, &held->timer);
    delist(held->front, held);
    close(held->watch.fd);
    ls_buf_release(&held->text);
    if (held->hooks->gone) held->hooks->gone(held->owner);
    ls_free(held);
}

/* Nobody may be there to hear of it, or it is time. */
static void end_waiting(struct ls_held *held)
{
    stop_watching(held);
    held->hooks->over(held, held->owner);
}

/* Closing on bytes that are unread would reset the connection under the answer. Not all of them at once: a peer may
 * send them faster than they are read. */
static void linger(struct ls_held *held)
{
    char nothing[4096];
    ssize_t n = recv(held->watch.fd, nothing, sizeof nothing, MSG_DONTWAIT);
    if (n > 0) return;
    if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) end(held);
}

static void write_on(struct ls_held *held)
{
    while (held->done < held->text.len) {
        ssize_t n = send(held->watch.fd, held->text.data + held->done, held->text.len - held->done,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            watch(held, EPOLLOUT);
            ls__loop_timer(held->loop, &held->timer, WRITE_MS);
            return;
        }
        if (n < 0) {
            end(held);
            return;
        }
        held->done += (size_t)n;
    }
    held->state = LINGERING;
    shutdown(held->watch.fd, SHUT_WR);
    watch(held, EPOLLIN | EPOLLRDHUP);
    ls__loop_timer(held->loop, &held->timer, LINGER_MS);
}

static void on_events(struct ls__watch *watched, uint32_t events)
{
    (void)events;
    struct ls_held *held = (struct ls_held *)watched;
    if (held->state == WAITING)
        end_waiting(held);
    else if (held->state == WRITING)
        write_on(held);
    else
        linger(held);
}

static void on_timer(struct ls__timer *timer)
{
    struct ls_held *held = (struct ls_held *)(void *)((char *)timer - offsetof(struct ls_held, timer));
    if (held->state == WAITING)
        end_waiting(held);
    else
        end(held);
}

static void on_answered(struct ls__note *note)
{
    struct ls_held *held = (struct ls_held *)(void *)((char *)note - offsetof(struct ls_held, answered));
    held->state = WRITING;
    write_on(held);
}

struct ls_held *ls_held_new(struct ls_front *front, int fd, int64_t ms, const struct ls_held_hooks *hooks, void *owner,
                            struct ls_err *err)
{
    struct ls_held *held = ls_zalloc(sizeof *held);
    if (!held) {
        ls_fail(err, LS_ENOMEM, "Out of memory while holding a request.");
        close(fd);
        return NULL;
    }
    *held = (struct ls_held){.watch = {.fd = fd, .fn = on_events},
                             .timer = {.fn = on_timer},
                             .answered = {.fn = on_answered},
                             .front = front,
                             .loop = ls__front_loop(front),
                             .hooks = hooks,
                             .owner = owner};
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    held->watched = true;
    if (!enlist(front, held)) {
        ls_fail(err, LS_ECLOSED, "The server is stopping.");
    } else {
        ls__loop_timer(held->loop, &held->timer, ms);
        if (ls__loop_watch(held->loop, &held->watch, EPOLLRDHUP, err) == 0) return held;
        ls__loop_timer_clear(held->loop, &held->timer);
        delist(front, held);
    }
    close(fd);
    ls_free(held);
    return NULL;
}

void ls_held_answer(struct ls_held *held, struct ls_buf *text)
{
    held->text = *text;
    ls_buf_init(text);
    ls__loop_post(held->loop, &held->answered); /* what a stopped loop holds is ended with the front */
}

void ls__held_end_all(struct ls_front *front)
{
    while (front->held)
        end(front->held);
}
