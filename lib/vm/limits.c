/* How long an entry may run (L5): the count hook, its deadline, and what is raised when the time is over or somebody
 * has interrupted.
 * Owner thread: the session's; ls_session_interrupt from any. Refuses to: count memory (vm.c). */
#include "vm/vm_internal.h"

#include "base/clock.h"
#include "vm/libs.h"

void ls__hook_set(lua_State *L)
{
    lua_sethook(L, ls__hook, LUA_MASKCOUNT, LS_HOOK_COUNT);
}

/* Is the entry over its time, or is it to be stopped? Sets session->vm.stop. */
static void look_at_clock(struct ls_session *session)
{
    if (atomic_load_explicit(&session->vm.interrupted, memory_order_relaxed) != LS_INTERRUPT_NONE) {
        session->vm.stop = LS_STOP_INTERRUPT;
        return;
    }
    if (session->vm.config.time_limit_ms <= 0) return;
    int64_t now = ls_now_ns() - session->vm.waited_ns;
    if (session->vm.deadline_ns == 0)
        session->vm.deadline_ns = now + ls_ms(session->vm.config.time_limit_ms);
    else if (now >= session->vm.deadline_ns)
        session->vm.stop = LS_STOP_TIME;
}

void ls__stop_text(const struct ls_session *session, struct ls_err *err)
{
    if (session->vm.stop == LS_STOP_INTERRUPT)
        ls_fail(err, LS_EINTERRUPTED, "interrupted");
    else
        ls_fail(err, LS_ELIMIT, "the time limit of %lld ms has been exceeded (--time-limit)",
                (long long)session->vm.config.time_limit_ms);
}

/* End the entry: from here on every instruction raises, so that a pcall around the loop does not save it (L5).
 * [-0, +0, e] */
static LS_RAISES void raise_stop(struct ls_session *session, lua_State *L, int level)
{
    LS_LTOP(L);
    if (session->vm.graced && session->vm.grace) {
        session->vm.grace--;
        return;
    }
    ls__hook_stop(L);
    ls__hook_stop(session->vm.main);
    luaL_where(L, level);
    ls__stop_text(session, &session->vm.raised);
    lua_pushstring(L, ls_err_text(&session->vm.raised));
    lua_concat(L, 2);
    lua_error(L);
    LS_LTOP_CHECK(L, 0);
}

/* [-0, +0, e] runs on whatever coroutine is executing */
LS_RAISES void ls__hook(lua_State *L, lua_Debug *ar)
{
    struct ls_session *session = ls__session_of(L);
    if (ar->event != LUA_HOOKCOUNT) {
        ls__user_hook(L, ar);
        return;
    }
    if (session->vm.stop == LS_STOP_NONE) look_at_clock(session);
    if (session->vm.stop == LS_STOP_NONE)
        ls__user_hook(L, ar);
    else
        raise_stop(session, L, 0); /* a hook has no level of its own: the function that was running */
}

/* [-0, +0, e] */
LS_RAISES void ls__hook_stopped(lua_State *L, lua_Debug *ar)
{
    struct ls_session *session = ls__session_of(L);
    (void)ar;
    if (session->vm.stop == LS_STOP_NONE) look_at_clock(session);
    if (session->vm.stop == LS_STOP_NONE)
        /* this thread was stopped in an earlier entry and lives on, or a hook of site code has failed */
        ls__user_hook_restore(L);
    else
        raise_stop(session, L, 0);
}

bool ls__stopped(struct ls_session *session)
{
    if (session->vm.depth > 0 && session->vm.stop == LS_STOP_NONE) look_at_clock(session);
    return session->vm.stop != LS_STOP_NONE;
}

LS_RAISES void ls__budget_check(lua_State *L)
{
    LS_LTOP(L);
    struct ls_session *session = ls__session_of(L);
    if (ls__stopped(session)) raise_stop(session, L, 1);
    LS_LTOP_CHECK(L, 0);
}

void ls_session_interrupt(struct ls_session *session)
{
    int none = LS_INTERRUPT_NONE;
    atomic_compare_exchange_strong(&session->vm.interrupted, &none, LS_INTERRUPT_ENTRY);
}

void ls_session_halt(struct ls_session *session)
{
    atomic_store(&session->vm.interrupted, LS_INTERRUPT_ALL);
}

bool ls_session_halted(const struct ls_session *session)
{
    return atomic_load_explicit(&session->vm.interrupted, memory_order_relaxed) == LS_INTERRUPT_ALL;
}
