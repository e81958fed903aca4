/* Monotonic time. Thread: any. */
#ifndef LS_BASE_CLOCK_H
#define LS_BASE_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>

/** Nanoseconds of the monotonic clock. */
int64_t ls_now_ns(void);
/** Milliseconds to nanoseconds. */
static inline int64_t ls_ms(int64_t ms) { return ms * 1000000; }

extern _Atomic int64_t ls_clock_step; /* written by executors only */
/** The monotonic clock in steps of LS_STEP_NS, for whoever asks very often: it costs a load. It stands still while no executor runs an item. */
static inline int64_t ls_stepped_ns(void) { return atomic_load_explicit(&ls_clock_step, memory_order_relaxed); }
#define LS_STEP_NS ls_ms(200)
#define LS_SLOW_NS ls_ms(5000) /* what runs longer is told of (P40a) */

/** A cheap counter for measuring short stretches (T94): the processor's invariant time stamp where there is one, else ls_now_ns. */
uint64_t ls_ticks(void);
/** Ticks to nanoseconds. */
int64_t ls_ticks_ns(uint64_t ticks);

#endif
