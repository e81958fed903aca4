/* Monotonic time, and waiting by it: a change of the date wakes nobody early or late. Thread: any. */
#ifndef LS_BASE_CLOCK_H
#define LS_BASE_CLOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/** Nanoseconds of the monotonic clock. */
int64_t ls_now_ns(void);
/** Milliseconds to nanoseconds. */
static inline int64_t ls_ms(int64_t ms)
{
    return ms * 1000000;
}

extern _Atomic int64_t ls_clock_step; /* written by executors only */
/** The monotonic clock in steps of LS_STEP_NS, for whoever asks very often: it costs a load. It stands still while no
 * executor runs an item. */
static inline int64_t ls_stepped_ns(void)
{
    return atomic_load_explicit(&ls_clock_step, memory_order_relaxed);
}
#define LS_STEP_NS ls_ms(200)
#define LS_SLOW_NS ls_ms(5000) /* what runs longer is told of (P40a) */

/** A cheap counter for measuring short stretches (T94): the processor's invariant time stamp where there is one, else
 * ls_now_ns. */
uint64_t ls_ticks(void);
/** Ticks to nanoseconds. */
int64_t ls_ticks_ns(uint64_t ticks);

/** Wait until the condition, set up with whatever clock, is signalled, at most until `until_ns` of ls_now_ns(). May
 * return early, as pthread_cond_wait may: ask in a loop.
 * @param lock  held by the caller, and again on return
 * @return false when the time is over
 * Thread: any. */
bool ls_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_ns);

#endif
