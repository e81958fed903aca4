/* Monotonic time. Thread: any. */
#ifndef LS_BASE_CLOCK_H
#define LS_BASE_CLOCK_H

#include <stdint.h>

/** Nanoseconds of the monotonic clock. */
int64_t ls_now_ns(void);
/** Milliseconds to nanoseconds. */
static inline int64_t ls_ms(int64_t ms) { return ms * 1000000; }

/** A cheap counter for measuring short stretches (T94): the processor's invariant time stamp where there is one, else ls_now_ns. */
uint64_t ls_ticks(void);
/** Ticks to nanoseconds. */
int64_t ls_ticks_ns(uint64_t ticks);

#endif
