/* Waiting on a condition variable by the monotonic clock, whatever clock it was set up with: a change of the date wakes nobody early or late. */
#ifndef LS_BASE_COND_H
#define LS_BASE_COND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/** Wait until the condition is signalled, at most until `until_ns` of ls_now_ns(). May return early, as pthread_cond_wait may: ask in a loop.
 * @param lock  held by the caller, and again on return
 * @return false when the time is over
 * Thread: any. */
bool ls_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_ns);

#endif
