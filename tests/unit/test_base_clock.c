/* Unit test of lib/base: what a tick takes is measured rightly also where the thread is held up in the middle of it
 * (T94). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

static int held_call; /* the call of clock_gettime, from now on, before which its thread is held up; 0 = none */

/* In place of the C library's. */
int clock_gettime(clockid_t id, struct timespec *time)
{
    if (held_call > 0 && --held_call == 0) usleep(300000);
    return (int)syscall(SYS_clock_gettime, id, time);
}

/* Is a stretch as long in ticks as it is by the clock? One that is itself torn is measured again. */
static int stretches_agree(void)
{
    for (int tries = 0; tries < 20; tries++) {
        int64_t begun = ls_now_ns();
        uint64_t ticks = ls_ticks();
        usleep(20000);
        int64_t in_ticks = ls_ticks_ns(ls_ticks() - ticks), ns = ls_now_ns() - begun;
        if (in_ticks > ns - ns / 5 && in_ticks < ns + ns / 5) return 1;
    }
    return 0;
}

static void t94_a_thread_that_is_held_up_measures_ticks_rightly(void **state)
{
    (void)state;
    for (int call = 1; call <= 3; call++) {
        pid_t child = fork(); /* the measure is taken once a process */
        if (child == 0) {
            held_call = call;
            (void)ls_ticks_ns(1);
            held_call = 0;
            _exit(stretches_agree() ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (status != 0) fail_msg("held up before call %d", call);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(t94_a_thread_that_is_held_up_measures_ticks_rightly)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
