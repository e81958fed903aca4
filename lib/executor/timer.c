/* Timers: one thread with a binary heap over the monotonic clock. It calls each callback without holding the lock, so a
 * callback may set and clear timers. It sleeps without a time-out while nothing is pending, so that an idle server
 * costs nothing (Q1).
 *
 * Owning thread: the timer thread runs callbacks; the heap is under the lock. Refuses to run work itself: a callback
 * posts an item. */
#include "executor/executor_internal.h"

#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/thread.h"

/* Equal due times fire in the order in which they were set. */
static bool is_before(const struct timer *a, const struct timer *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->handle < b->handle;
}

static void put_at(struct timers *timers, size_t at, struct timer *timer)
{
    timers->heap[at] = timer;
    timer->at = at;
}

static void sift_up(struct timers *timers, struct timer *timer)
{
    size_t at = timer->at;
    while (at > 0 && is_before(timer, timers->heap[(at - 1) / 2])) {
        put_at(timers, at, timers->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put_at(timers, at, timer);
}

static void sift_down(struct timers *timers, struct timer *timer)
{
    size_t at = timer->at;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= timers->count) break;
        if (child + 1 < timers->count && is_before(timers->heap[child + 1], timers->heap[child])) child++;
        if (!is_before(timers->heap[child], timer)) break;
        put_at(timers, at, timers->heap[child]);
        at = child;
    }
    put_at(timers, at, timer);
}

static void take_out(struct timers *timers, struct timer *timer)
{
    ls_idmap_take(timers->by_handle, timer->handle);
    struct timer *last = timers->heap[--timers->count];
    if (last == timer) return;
    put_at(timers, timer->at, last);
    sift_up(timers, last);
    sift_down(timers, last);
}

static void *run_timers(void *ctx)
{
    struct timers *timers = ctx;
    pthread_mutex_lock(&timers->lock);
    while (!timers->stopping) {
        struct timer *first = timers->count > 0 ? timers->heap[0] : NULL;
        if (!first || first->due_ns > ls_now_ns()) {
            ls_cond_wait_until(&timers->changed, &timers->lock, first ? first->due_ns : INT64_MAX);
            continue;
        }
        take_out(timers, first);
        pthread_mutex_unlock(&timers->lock);
        first->fn(first->ctx, first->handle);
        ls_free(first);
        pthread_mutex_lock(&timers->lock);
    }
    pthread_mutex_unlock(&timers->lock);
    return NULL;
}

int ls__timers_open(struct timers *timers, struct ls_err *err)
{
    pthread_mutex_init(&timers->lock, NULL);
    pthread_cond_init(&timers->changed, NULL);
    timers->by_handle = ls_idmap_new();
    if (!timers->by_handle) return ls_fail(err, LS_ENOMEM, "Out of memory while starting the timers.");
    int rc = ls_thread_start(&timers->thread, "ls-timer", 0, run_timers, timers);
    if (rc != 0) return ls_fail(err, LS_EIO, "The timer thread cannot be started: %s.", strerror(rc));
    timers->started = true;
    return 0;
}

void ls__timers_close(struct timers *timers)
{
    if (timers->started) {
        pthread_mutex_lock(&timers->lock);
        timers->stopping = true;
        pthread_cond_signal(&timers->changed);
        pthread_mutex_unlock(&timers->lock);
        pthread_join(timers->thread, NULL);
    }
    for (size_t i = 0; i < timers->count; i++)
        ls_free(timers->heap[i]);
    timers->count = 0;
    ls_free(timers->heap);
    ls_idmap_free(timers->by_handle, NULL);
    timers->by_handle = NULL; /* those who set or clear one still may: the executor is refused to them */
    timers->stopping = true;
}

int64_t ls_timer_set(struct ls_executor *executor, int64_t due_ns, void (*fn)(void *ctx, int64_t handle), void *ctx)
{
    struct timers *timers = ls__executor_timers(executor);
    struct timer *timer = ls_malloc(sizeof *timer);
    if (!timer) return LS_ENOMEM;
    pthread_mutex_lock(&timers->lock);
    *timer =
        (struct timer){.due_ns = due_ns, .handle = ++timers->last_handle, .at = timers->count, .fn = fn, .ctx = ctx};
    if (timers->stopping || !LS_RESERVE(timers->heap, timers->count + 1, timers->cap) ||
        !ls_idmap_put(timers->by_handle, timer->handle, timer, NULL)) {
        int code = timers->stopping ? LS_ECLOSED : LS_ENOMEM;
        pthread_mutex_unlock(&timers->lock);
        ls_free(timer);
        return code;
    }
    timers->count++;
    sift_up(timers, timer);
    int64_t handle = timer->handle;
    if (timer->at == 0) pthread_cond_signal(&timers->changed);
    pthread_mutex_unlock(&timers->lock);
    return handle;
}

bool ls_timer_clear(struct ls_executor *executor, int64_t handle)
{
    struct timers *timers = ls__executor_timers(executor);
    pthread_mutex_lock(&timers->lock);
    struct timer *timer = timers->by_handle ? ls_idmap_get(timers->by_handle, handle) : NULL;
    if (timer) take_out(timers, timer);
    pthread_mutex_unlock(&timers->lock);
    ls_free(timer);
    return timer;
}

/* --- alarms --- */

void ls_alarm_init(struct ls_alarm *alarm, struct ls_executor *executor, void (*fn)(void *ctx), void *ctx)
{
    *alarm = (struct ls_alarm){.executor = executor, .fn = fn, .ctx = ctx};
    pthread_mutex_init(&alarm->lock, NULL);
}

static void fire_alarm(void *ctx, int64_t handle)
{
    (void)handle;
    struct ls_alarm *alarm = ctx;
    pthread_mutex_lock(&alarm->lock);
    alarm->timer = 0;
    pthread_mutex_unlock(&alarm->lock);
    alarm->fn(alarm->ctx);
}

void ls_alarm_set(struct ls_alarm *alarm, int64_t due_ns)
{
    pthread_mutex_lock(&alarm->lock);
    if (alarm->timer <= 0 && !alarm->off) alarm->timer = ls_timer_set(alarm->executor, due_ns, fire_alarm, alarm);
    pthread_mutex_unlock(&alarm->lock);
}

void ls_alarm_off(struct ls_alarm *alarm)
{
    pthread_mutex_lock(&alarm->lock);
    alarm->off = true;
    int64_t timer = alarm->timer;
    pthread_mutex_unlock(&alarm->lock);
    if (timer > 0) ls_timer_clear(alarm->executor, timer);
}

void ls_alarm_release(struct ls_alarm *alarm)
{
    pthread_mutex_destroy(&alarm->lock);
}
