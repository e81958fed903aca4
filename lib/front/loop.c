/* A loop: one thread at a time, the leader, waits with epoll for all descriptors, and handles what happens on
 * them (N1).
 *
 * What the leader calls is short, except for hooks of WebSockets, which may run a session's item (N3). So these
 * stand between ls__loop_enter and ls__loop_leave, and a standby thread looks each millisecond whether the leader
 * is inside of the same call still: then it leads on, and the other thread, when it comes back, stands by. The
 * standby looks only while calls come and go; the first call after that wakes it, so that an idle server has no
 * wake-ups (Q1).
 *
 * What a round still has to do (events, notes, timers) lies in the loop and not on the leader's stack, so that
 * whoever leads goes on with it. A round is: events that epoll gave, notes, long notes for a millisecond, timers.
 *
 * Threads: ls-loop, two at first, up to THREADS_MAX while some are inside of long calls. Lock: `lock`, never held
 * while something of others is called. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "executor/executor.h"
#include "front/front_internal.h"

enum { EVENTS = 32, THREADS_MAX = 4 };
#define LOOK_NS   ls_ms(1) /* N3 */
#define BUDGET_NS ls_ms(1)

struct ls__thread {
    struct ls__loop *loop;
    pthread_t thread;
    atomic_uint calls; /* entered and left; odd = inside of one */
    char scratch[LS_READ_SIZE];
};

struct ls__loop {
    /* -- immutable after new */
    int epoll, wake; /* `wake`: an eventfd, edge-triggered, so that it is never read */
    /* -- atomic */
    _Atomic(struct ls__thread *) leader; /* changes with the lock held */
    _Atomic(struct ls__thread *) looker; /* the standby that looks; likewise */
    _Atomic int64_t now_ns;
    atomic_bool asleep; /* the looker waits until there is a call to look at */
    /* -- protected by lock */
    pthread_mutex_t lock;
    pthread_cond_t look, spare;
    struct ls__thread *threads[THREADS_MAX];
    int thread_count, spares; /* spares: those that neither lead nor look */
    unsigned calls_seen;      /* of the leader, at the last look */
    struct epoll_event batch[EVENTS];
    int batch_at, batch_count;
    struct ls__note *notes, **notes_end; /* for the next round */
    struct ls__note *turn;               /* of this one */
    struct ls__note *longs, **longs_end; /* in their order */
    int64_t longs_ns;                    /* when this round began with these; 0 = it has not */
    struct ls__wheel wheel;
    int64_t wait_tick; /* until when the leader waits; INT64_MIN = it does not */
    bool turned;       /* the round has taken its notes */
    bool stopping, stopped;
};

static _Thread_local struct ls__thread *self;

static int64_t tick_of(int64_t ns)
{
    return ns / ls_ms(LS_TICK_MS);
}

/* Called with the lock held. */
static void wake_leader(struct ls__loop *loop)
{
    loop->wait_tick = INT64_MIN;
    (void)eventfd_write(loop->wake, 1);
}

/* --- a round --- */

/* Called with the lock held; not while it waits. */
static void wait_events(struct ls__loop *loop)
{
    bool notes = loop->notes || loop->longs;
    int64_t now = ls_now_ns(), until = notes ? tick_of(now) : ls__wheel_next(&loop->wheel);
    int64_t left = until == INT64_MAX ? -1 : until * LS_TICK_MS - now / 1000000;
    loop->wait_tick = notes ? INT64_MIN : until;
    pthread_mutex_unlock(&loop->lock);
    int count = epoll_wait(loop->epoll, loop->batch, EVENTS, until == INT64_MAX ? -1 : left > 0 ? (int)left : 0);
    now = ls_now_ns();
    pthread_mutex_lock(&loop->lock);
    loop->wait_tick = INT64_MIN;
    loop->turned = false;
    loop->longs_ns = 0;
    loop->batch_at = 0;
    loop->batch_count = count > 0 ? count : 0;
    atomic_store_explicit(&loop->now_ns, now, memory_order_relaxed);
}

/* One at least in each round, so that they come to an end however much else there is. Called with the lock held. */
static struct ls__note *take_long(struct ls__loop *loop)
{
    struct ls__note *note = loop->longs;
    if (!note) return NULL;
    int64_t now = ls_now_ns();
    if (loop->longs_ns == 0) loop->longs_ns = now;
    if (now - loop->longs_ns >= BUDGET_NS) return NULL;
    loop->longs = note->next;
    if (!loop->longs) loop->longs_end = &loop->longs;
    return note;
}

/* The next thing to do. Called with the lock held, by the leader. */
static void do_next(struct ls__loop *loop)
{
    struct ls__watch *watch = NULL;
    struct ls__note *note = NULL;
    struct ls__timer *timer = NULL;
    uint32_t events = 0;
    if (loop->batch_at < loop->batch_count) {
        events = loop->batch[loop->batch_at].events;
        watch = loop->batch[loop->batch_at++].data.ptr;
        if (!watch) return; /* `wake`, or no longer watched */
    } else {
        if (!loop->turned) {
            loop->turned = true;
            loop->turn = loop->notes;
            loop->notes = NULL;
            loop->notes_end = &loop->notes;
        }
        note = loop->turn;
        if (note)
            loop->turn = note->next;
        else
            note = take_long(loop);
        if (!note)
            timer = ls__wheel_due(&loop->wheel, tick_of(atomic_load_explicit(&loop->now_ns, memory_order_relaxed)));
        if (!note && !timer) {
            wait_events(loop);
            return;
        }
    }
    pthread_mutex_unlock(&loop->lock);
    if (watch)
        watch->fn(watch, events);
    else if (note)
        note->fn(note);
    else
        timer->fn(timer);
    pthread_mutex_lock(&loop->lock);
}

/* --- threads --- */

static int start_thread(struct ls__loop *loop);

/* Called with the lock held. */
static void take_lead(struct ls__loop *loop, struct ls__thread *thread)
{
    atomic_store(&loop->leader, thread);
    atomic_store(&loop->looker, NULL);
    if (loop->spares > 0)
        pthread_cond_signal(&loop->spare);
    else if (loop->thread_count < THREADS_MAX)
        start_thread(loop); /* without it the next long call holds up the others until one is over */
}

/* Called with the lock held, by the looker. */
static void look_once(struct ls__loop *loop, struct ls__thread *thread)
{
    struct ls__thread *leader = atomic_load(&loop->leader);
    unsigned calls = atomic_load(&leader->calls), since = calls - loop->calls_seen;
    loop->calls_seen = calls;
    if ((calls & 1) == 0 && since <= 2) {
        atomic_store(&loop->asleep, true);
        /* The leader counts first and looks at `asleep` then, so one of the two sees the other. */
        if (atomic_load(&leader->calls) == calls) pthread_cond_wait(&loop->look, &loop->lock);
        atomic_store(&loop->asleep, false);
        return;
    }
    ls_cond_wait_until(&loop->look, &loop->lock, ls_now_ns() + LOOK_NS);
    if ((calls & 1) != 0 && !loop->stopping && atomic_load(&leader->calls) == calls) take_lead(loop, thread);
}

/* Until this thread leads. Called with the lock held. */
static void stand_by(struct ls__loop *loop, struct ls__thread *thread)
{
    while (atomic_load(&loop->leader) != thread && !loop->stopping) {
        struct ls__thread *looker = atomic_load(&loop->looker);
        if (!looker || looker == thread) {
            atomic_store(&loop->looker, thread);
            look_once(loop, thread);
        } else {
            loop->spares++;
            pthread_cond_wait(&loop->spare, &loop->lock);
            loop->spares--;
        }
    }
}

static void *run_thread(void *ctx)
{
    self = ctx;
    struct ls__loop *loop = self->loop;
    pthread_mutex_lock(&loop->lock);
    while (!loop->stopping) {
        if (atomic_load(&loop->leader) == self)
            do_next(loop);
        else
            stand_by(loop, self);
    }
    pthread_mutex_unlock(&loop->lock);
    return NULL;
}

/* Called with the lock held. */
static int start_thread(struct ls__loop *loop)
{
    struct ls__thread *thread = ls_zalloc(sizeof *thread);
    if (!thread) return ENOMEM;
    thread->loop = loop;
    if (!atomic_load(&loop->leader)) atomic_store(&loop->leader, thread);
    int rc = ls_thread_start(&thread->thread, "ls-loop", LS_STACK_BYTES, run_thread, thread);
    if (rc != 0) {
        ls_free(thread);
        return rc;
    }
    loop->threads[loop->thread_count++] = thread;
    return 0;
}

struct ls__loop *ls__loop_new(struct ls_err *err)
{
    struct ls__loop *loop = ls_zalloc(sizeof *loop);
    if (!loop) {
        ls_fail(err, LS_ENOMEM, "Out of memory while starting the loop of connections.");
        return NULL;
    }
    pthread_mutex_init(&loop->lock, NULL);
    pthread_cond_init(&loop->look, NULL);
    pthread_cond_init(&loop->spare, NULL);
    loop->notes_end = &loop->notes;
    loop->longs_end = &loop->longs;
    loop->wait_tick = INT64_MIN;
    loop->wheel.done = tick_of(ls_now_ns());
    atomic_store(&loop->now_ns, ls_now_ns());
    struct epoll_event wake = {.events = EPOLLIN | EPOLLET};
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_lock(&loop->lock);
    int rc = loop->epoll < 0 || loop->wake < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake, &wake) < 0
                 ? errno
                 : start_thread(loop);
    if (rc == 0) rc = start_thread(loop);
    pthread_mutex_unlock(&loop->lock);
    if (rc == 0) return loop;
    ls_fail(err, LS_EIO, "The loop of connections cannot be started: %s.", strerror(rc));
    ls__loop_stop(loop);
    ls__loop_free(loop);
    return NULL;
}

void ls__loop_stop(struct ls__loop *loop)
{
    if (!loop) return;
    pthread_mutex_lock(&loop->lock);
    loop->stopping = true;
    if (loop->wake >= 0) wake_leader(loop);
    pthread_cond_broadcast(&loop->look);
    pthread_cond_broadcast(&loop->spare);
    int count = loop->thread_count;
    pthread_mutex_unlock(&loop->lock);
    for (int i = 0; i < count; i++)
        pthread_join(loop->threads[i]->thread, NULL);
    pthread_mutex_lock(&loop->lock);
    for (;;) {
        loop->longs_ns = 0;
        struct ls__note *note = loop->turn ? loop->turn : loop->notes ? loop->notes : take_long(loop);
        if (!note) break;
        if (note == loop->turn) {
            loop->turn = note->next;
        } else if (note == loop->notes) {
            loop->notes = note->next;
            if (!loop->notes) loop->notes_end = &loop->notes;
        }
        pthread_mutex_unlock(&loop->lock);
        note->fn(note);
        pthread_mutex_lock(&loop->lock);
    }
    loop->stopped = true;
    pthread_mutex_unlock(&loop->lock);
}

void ls__loop_free(struct ls__loop *loop)
{
    if (!loop) return;
    for (int i = 0; i < loop->thread_count; i++)
        ls_free(loop->threads[i]);
    if (loop->epoll >= 0) close(loop->epoll);
    if (loop->wake >= 0) close(loop->wake);
    pthread_cond_destroy(&loop->look);
    pthread_cond_destroy(&loop->spare);
    pthread_mutex_destroy(&loop->lock);
    ls_free(loop);
}

int ls__loop_threads(struct ls__loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    int count = loop->thread_count;
    pthread_mutex_unlock(&loop->lock);
    return count;
}

/* --- what others ask of it --- */

int ls__loop_watch(struct ls__loop *loop, struct ls__watch *watch, uint32_t events, struct ls_err *err)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, watch->fd, &event) == 0) return 0;
    return ls_fail(err, LS_EIO, "A connection cannot be waited for: %s.", strerror(errno));
}

void ls__loop_rewatch(struct ls__loop *loop, struct ls__watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    epoll_ctl(loop->epoll, EPOLL_CTL_MOD, watch->fd, &event);
}

void ls__loop_unwatch(struct ls__loop *loop, struct ls__watch *watch)
{
    epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    pthread_mutex_lock(&loop->lock);
    for (int i = loop->batch_at; i < loop->batch_count; i++)
        if (loop->batch[i].data.ptr == watch) loop->batch[i].data.ptr = NULL;
    pthread_mutex_unlock(&loop->lock);
}

static bool post(struct ls__loop *loop, struct ls__note *note, struct ls__note ***end)
{
    note->next = NULL;
    pthread_mutex_lock(&loop->lock);
    bool taken = !loop->stopped;
    if (taken) {
        **end = note;
        *end = &note->next;
        if (loop->wait_tick != INT64_MIN) wake_leader(loop);
    }
    pthread_mutex_unlock(&loop->lock);
    return taken;
}

bool ls__loop_post(struct ls__loop *loop, struct ls__note *note)
{
    return post(loop, note, &loop->notes_end);
}

bool ls__loop_post_long(struct ls__loop *loop, struct ls__note *note)
{
    return post(loop, note, &loop->longs_end);
}

void ls__loop_timer(struct ls__loop *loop, struct ls__timer *timer, int64_t ms)
{
    int64_t due = tick_of(ls_now_ns() + ls_ms(ms)) + 1;
    pthread_mutex_lock(&loop->lock);
    ls__wheel_put(&loop->wheel, timer, due);
    if (timer->due < loop->wait_tick) wake_leader(loop);
    pthread_mutex_unlock(&loop->lock);
}

bool ls__loop_timer_clear(struct ls__loop *loop, struct ls__timer *timer)
{
    pthread_mutex_lock(&loop->lock);
    bool was_set = ls__wheel_take(&loop->wheel, timer);
    pthread_mutex_unlock(&loop->lock);
    return was_set;
}

int64_t ls__loop_now(const struct ls__loop *loop)
{
    return atomic_load_explicit(&loop->now_ns, memory_order_relaxed);
}

void ls__loop_enter(struct ls__loop *loop)
{
    if (!self) return; /* the front is being closed */
    atomic_fetch_add(&self->calls, 1);
    if (!atomic_load(&loop->asleep)) return;
    pthread_mutex_lock(&loop->lock);
    pthread_cond_signal(&loop->look);
    pthread_mutex_unlock(&loop->lock);
}

void ls__loop_leave(struct ls__loop *loop)
{
    (void)loop;
    if (self) atomic_fetch_add(&self->calls, 1);
}

bool ls__loop_has_time(const struct ls__loop *loop)
{
    return self && atomic_load(&loop->leader) == self && atomic_load(&loop->looker) &&
           ls_now_ns() - ls__loop_now(loop) < BUDGET_NS;
}

char *ls__loop_scratch(void)
{
    return self ? self->scratch : NULL;
}
