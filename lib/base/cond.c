/* Timed waits by the monotonic clock. */
#include "base/cond.h"

#include <time.h>

bool ls_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_ns)
{
    struct timespec at = {.tv_sec = (time_t)(until_ns / 1000000000), .tv_nsec = (long)(until_ns % 1000000000)};
    return pthread_cond_clockwait(cond, lock, CLOCK_MONOTONIC, &at) == 0;
}
