/* How long an entry may run (L5): the count hook, its deadline, and what is raised when the time is over, somebody has
 * interrupted, or what runs hides its own fix (R17).
 * Owner thread: the session's; ls_session_interrupt from any. Refuses to: count memory (vm.c). */
#include "vm/vm_internal.h"

#include <string.h>

#include "base/clock.h"
#include "vm/libs.h"

void ls__hook_set(lua_State *L)
{
    lua_sethook(L, ls__hook, LUA_MASKCOUNT, LS_HOOK_COUNT);
}

/* --- files on the running stack --- */

/* Lua counts its way to each level from the top, so of a deep recursion only the ends are looked at. */
enum { TOP_LEVELS = 200, BOTTOM_LEVELS = 40, NESTED_THREADS = 200, RESUMER_VALUES = 8 };
#define SAVES_LOOK_NS ls_ms(20) /* between two looks whether what runs hides its own fix */

/* [-0, +0, -] */
static void note_level(struct ls_stack_files *files, lua_State *L, lua_Debug *ar)
{
    lua_getinfo(L, "S", ar);
    if (ar->source[0] != '@') return;
    const char *key = ar->source + 1;
    for (size_t i = 0; i < files->count; i++)
        if (files->keys[i] == key || strcmp(files->keys[i], key) == 0) return;
    if (files->count < sizeof files->keys / sizeof *files->keys) files->keys[files->count++] = key;
}

/* [-0, +0, -] */
static int count_levels(lua_State *L)
{
    lua_Debug ar;
    int below = 0, beyond = 1;
    while (lua_getstack(L, beyond, &ar)) {
        below = beyond;
        beyond *= 2;
    }
    while (below + 1 < beyond) {
        int middle = below + (beyond - below) / 2;
        if (lua_getstack(L, middle, &ar))
            below = middle;
        else
            beyond = middle;
    }
    return beyond;
}

/* [-0, +0, -] */
static void note_thread(struct ls_stack_files *files, lua_State *L)
{
    lua_Debug ar;
    int level = 0;
    for (; level < TOP_LEVELS && lua_getstack(L, level, &ar); level++)
        note_level(files, L, &ar);
    if (level < TOP_LEVELS) return;
    int count = count_levels(L);
    for (level = count - BOTTOM_LEVELS > level ? count - BOTTOM_LEVELS : level; level < count; level++)
        if (lua_getstack(L, level, &ar)) note_level(files, L, &ar);
}

/* The thread that L has resumed and waits for: the function on top is one of the library's, and holds it as an argument
 * or an upvalue. NULL = none. [-0, +0, -] */
static lua_State *resumed_by(lua_State *L)
{
    lua_Debug ar;
    lua_State *thread = NULL;
    int top = lua_gettop(L);
    if (!lua_checkstack(L, 2) || !lua_getstack(L, 0, &ar)) return NULL;
    lua_getinfo(L, "f", &ar);
    if (lua_iscfunction(L, -1) && lua_getupvalue(L, -1, 1)) thread = lua_tothread(L, -1);
    bool library = lua_iscfunction(L, top + 1);
    lua_settop(L, top);
    for (int n = 1; library && !thread && n <= RESUMER_VALUES && lua_getlocal(L, &ar, n); n++) {
        thread = lua_tothread(L, -1);
        lua_settop(L, top);
    }
    return thread;
}

/* All threads that wait for each other, from the main one to the one that runs. [-0, +0, -] */
static void note_stack(struct ls_stack_files *files, struct ls_session *session, lua_State *L)
{
    files->session = session;
    files->count = 0;
    note_thread(files, L);
    if (session->vm.aside_of && session->vm.aside_of != L) note_thread(files, session->vm.aside_of);
    lua_State *thread = session->vm.main;
    for (int i = 0; thread && thread != L && i < NESTED_THREADS; i++) {
        note_thread(files, thread);
        thread = resumed_by(thread);
    }
}

/* --- looking --- */

/* Does what runs hide its own fix (R17)? [-0, +0, -] */
static bool save_ends(struct ls_session *session, lua_State *L)
{
    const struct ls_session_host *host = &session->vm.host;
    struct ls_stack_files files;
    int64_t now = ls_now_ns();
    if (!host->save_ends || session->vm.closing || now - session->vm.saves_ns < SAVES_LOOK_NS) return false;
    session->vm.saves_ns = now;
    note_stack(&files, session, L);
    if (files.count == 0 || !host->save_ends(host->ctx, &files, session->vm.waited_ns - session->vm.waited_before))
        return false;
    memcpy(session->vm.saved, files.saved, sizeof session->vm.saved);
    return true;
}

/* [-0, +0, -] */
static void note_over(struct ls_session *session, lua_State *L)
{
    struct ls_stack_files files;
    note_stack(&files, session, L);
    ls_names_release(&session->vm.over_in);
    for (size_t i = 0; i < files.count; i++)
        (void)ls_names_add(&session->vm.over_in, files.keys[i]);
}

/* Is the entry over its time, or is it to be stopped? Sets session->vm.stop. [-0, +0, -] */
static void look_at_clock(struct ls_session *session, lua_State *L)
{
    const atomic_int *saves = session->vm.config.saves;
    if (saves && atomic_load_explicit(saves, memory_order_relaxed) > 0 && save_ends(session, L)) {
        session->vm.stop = LS_STOP_SAVE;
        return;
    }
    if (atomic_load_explicit(&session->vm.interrupted, memory_order_relaxed) != LS_INTERRUPT_NONE) {
        session->vm.stop = LS_STOP_INTERRUPT;
        return;
    }
    if (session->vm.config.time_limit_ms <= 0) return;
    int64_t now = ls_now_ns() - session->vm.waited_ns;
    if (session->vm.deadline_ns == 0) {
        session->vm.deadline_ns = now + ls_ms(session->vm.config.time_limit_ms);
    } else if (now >= session->vm.deadline_ns) {
        session->vm.stop = LS_STOP_TIME;
        note_over(session, L);
    }
}

void ls__stop_text(const struct ls_session *session, struct ls_err *err)
{
    if (session->vm.stop == LS_STOP_INTERRUPT)
        ls_fail(err, LS_EINTERRUPTED, "interrupted");
    else if (session->vm.stop == LS_STOP_SAVE)
        ls_fail(err, LS_EINTERRUPTED, "interrupted by the save of %s", session->vm.saved);
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
    if (session->vm.stop == LS_STOP_NONE) look_at_clock(session, L);
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
    if (session->vm.stop == LS_STOP_NONE) look_at_clock(session, L);
    if (session->vm.stop == LS_STOP_NONE)
        /* this thread was stopped in an earlier entry and lives on, or a hook of site code has failed */
        ls__user_hook_restore(L);
    else
        raise_stop(session, L, 0);
}

/* [-0, +0, -] */
static bool is_stopped(struct ls_session *session, lua_State *L)
{
    if (session->vm.depth > 0 && session->vm.stop == LS_STOP_NONE) look_at_clock(session, L);
    return session->vm.stop != LS_STOP_NONE;
}

bool ls__stopped(struct ls_session *session)
{
    return is_stopped(session, session->vm.L);
}

LS_RAISES void ls__budget_check(lua_State *L)
{
    LS_LTOP(L);
    struct ls_session *session = ls__session_of(L);
    if (is_stopped(session, L)) raise_stop(session, L, 1);
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
