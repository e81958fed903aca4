/* Monotonic time, and a cheap tick counter for stretches too short for a system call's cost. */
#include "base/clock.h"

#include <time.h>

_Atomic int64_t ls_clock_step;

int64_t ls_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#if defined(__x86_64__)
#include <pthread.h>
#include <x86intrin.h>

/* Nanoseconds per tick. The program measures it over the time it has been running: the longer, the better, and the
 * first question comes with the first page, milliseconds after the start. */
static uint64_t first_ticks;
static int64_t first_ns;
static pthread_once_t started = PTHREAD_ONCE_INIT;

/* Both clocks at one moment. Where the thread was held up between the two they tell different ones, and are asked
 * again. */
static void read_both(uint64_t *ticks, int64_t *ns)
{
    int tries = 0;
    do {
        *ns = ls_now_ns();
        *ticks = __rdtsc();
    } while (ls_now_ns() - *ns > 10000 && ++tries < 100);
}

static void start(void)
{
    read_both(&first_ticks, &first_ns);
}

__attribute__((constructor)) static void start_early(void)
{
    pthread_once(&started, start);
}

uint64_t ls_ticks(void)
{
    return __rdtsc();
}

int64_t ls_ticks_ns(uint64_t ticks)
{
    /* Settled once enough time has passed to know it well: equal stretches must come out equal however far apart they
     * are asked for. */
    static _Atomic double settled;
    double rate = settled;
    if (rate == 0) {
        pthread_once(&started, start);
        uint64_t passed;
        int64_t ns;
        read_both(&passed, &ns);
        passed -= first_ticks;
        ns -= first_ns;
        if (passed == 0 || ns <= 0) return (int64_t)ticks;
        rate = (double)ns / (double)passed;
        if (ns > 100000000) settled = rate;
    }
    return (int64_t)((double)ticks * rate);
}
#else
uint64_t ls_ticks(void)
{
    return (uint64_t)ls_now_ns();
}

int64_t ls_ticks_ns(uint64_t ticks)
{
    return (int64_t)ticks;
}
#endif

bool ls_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_ns)
{
    struct timespec at = {.tv_sec = (time_t)(until_ns / 1000000000), .tv_nsec = (long)(until_ns % 1000000000)};
    return pthread_cond_clockwait(cond, lock, CLOCK_MONOTONIC, &at) == 0;
}
