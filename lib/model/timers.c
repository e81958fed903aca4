/* setImmediate, setTimeout, setInterval and their clearing (lua-api.md section 18).
 *
 * The clock is the host's: a timer is a struct here, and an item that the host posts when it is due. An item whose
 * timer is gone does nothing, which is how clearing works. Timers lie in the order of their handles, since handles only
 * grow.
 * Owner thread: the session's. Refuses to: run callbacks inside the item that set them (L108). */
#include "model/model_internal.h"

#include <math.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "model/globals.h"
#include "model/module.h"
#include "tracker/tracker.h"

#define LONGEST_MS 9.0e12 /* about 285 years, so that nanoseconds fit */

static struct ls_timer *find_timer(struct ls_session *session, uint64_t handle)
{
    size_t low = 0, high = session->model->timer_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (session->model->timers[middle].handle < handle)
            low = middle + 1;
        else
            high = middle;
    }
    return low < session->model->timer_count && session->model->timers[low].handle == handle
               ? &session->model->timers[low]
               : NULL;
}

static void drop_timer(struct ls_session *session, struct ls_timer *timer)
{
    size_t at = (size_t)(timer - session->model->timers);
    ls__ref_drop(session, &timer->fn);
    memmove(timer, timer + 1, (session->model->timer_count - at - 1) * sizeof *timer);
    if (--session->model->timer_count == 0) {
        /* fired and cancelled timers occupy no memory (L115) */
        ls_budget_free(session->vm.budget, session->model->timers);
        session->model->timers = NULL;
        session->model->timer_cap = 0;
    }
}

/* Cancel a timer; unknown handles do nothing (L112). Safe. */
static void cancel_timer(struct ls_session *session, uint64_t handle)
{
    struct ls_timer *timer = find_timer(session, handle);
    if (!timer) return;
    if (session->vm.host.timer_clear) session->vm.host.timer_clear(session->vm.host.ctx, handle);
    drop_timer(session, timer);
}

/* --- setting --- */

/* [-0, +0, e] room for one more, or an error */
static LS_RAISES void check_room(struct ls_session *session, lua_State *L)
{
    if (session->vm.config.max_timers && session->model->timer_count >= session->vm.config.max_timers)
        luaL_error(L, "more than %I timers are pending (--max-timers)", (LUAI_UACINT)session->vm.config.max_timers);
    if (!LS_RESERVE_IN(session->vm.budget, 0, session->model->timers, session->model->timer_count + 1,
                       session->model->timer_cap))
        ls__lno_memory(L, "setting a timer");
}

/* [-0, +1, e] `delay_ns` 0 posts behind the items queued now (L109) */
static LS_RAISES int add_timer(lua_State *L, int64_t delay_ns, int64_t interval_ns)
{
    struct ls_session *session = ls__open_session_of(L);
    check_room(session, L);
    lua_pushvalue(L, 2);
    const struct ls_module *module = ls__module_current(session);
    struct ls_timer timer = {
        .handle = session->model->timer_handle + 1,
        .fn = ls__ref_take(session, L),
        .interval_ns = interval_ns,
        .due_ns = delay_ns ? ls_now_ns() + delay_ns : 0,
        .variable = session->model->tracker ? ls_tracker_computing(session->model->tracker) : 0,
        .module = module ? module->serial : 0,
        .execution = module ? module->execution : 0,
    };
    if (session->vm.host.timer_set &&
        session->vm.host.timer_set(session->vm.host.ctx, timer.handle, timer.due_ns) != 0) {
        ls__ref_drop(session, &timer.fn);
        return ls__lno_memory(L, "setting a timer");
    }
    session->model->timer_handle = timer.handle;
    session->model->timers[session->model->timer_count++] = timer;
    lua_pushinteger(L, (lua_Integer)timer.handle);
    return 1;
}

/* [-0, +0, v] */
static LS_RAISES void check_callback(lua_State *L, const char *function)
{
    if (lua_type(L, 2) != LUA_TFUNCTION) ls__ltype(L, 2, function, "function");
}

/* Milliseconds of argument 3: fraction dropped, below 0 = 0 (L107). [-0, +0, e] */
static LS_RAISES int64_t check_ms(lua_State *L, const char *function)
{
    if (lua_type(L, 3) != LUA_TNUMBER) ls__ltype(L, 3, function, "number");
    lua_Number ms = lua_tonumber(L, 3);
    if (!(ms > 0)) return 0;
    return ms > LONGEST_MS ? (int64_t)LONGEST_MS : (int64_t)floor(ms);
}

/* [-0, +1, e] session:setImmediate(function) */
LS_RAISES int ls__l_session_setImmediate(lua_State *L)
{
    check_callback(L, "setImmediate");
    return add_timer(L, 0, 0);
}

/* [-0, +1, e] session:setTimeout(function, ms) */
LS_RAISES int ls__l_session_setTimeout(lua_State *L)
{
    check_callback(L, "setTimeout");
    return add_timer(L, ls_ms(check_ms(L, "setTimeout")), 0);
}

/* [-0, +1, e] session:setInterval(function, ms) */
LS_RAISES int ls__l_session_setInterval(lua_State *L)
{
    check_callback(L, "setInterval");
    int64_t ms = check_ms(L, "setInterval");
    if (ms < 1) ms = 1; /* L111 */
    return add_timer(L, ls_ms(ms), ls_ms(ms));
}

/* session:clear…(handle): a handle says which of them it is. [-0, +0, e] */
static LS_RAISES int clear_timer(lua_State *L, const char *function)
{
    if (lua_isnoneornil(L, 2)) return 0;
    if (lua_type(L, 2) != LUA_TNUMBER) ls__ltype(L, 2, function, "number");
    int is_integer;
    lua_Integer handle = lua_tointegerx(L, 2, &is_integer);
    if (is_integer && handle > 0) cancel_timer(ls__open_session_of(L), (uint64_t)handle);
    return 0;
}

#define CLEAR(name)                                                                                                    \
    LS_RAISES int ls__l_session_##name(lua_State *L)                                                                   \
    {                                                                                                                  \
        return clear_timer(L, #name);                                                                                  \
    }
CLEAR(clearImmediate)
CLEAR(clearTimeout)
CLEAR(clearInterval)

/* --- running --- */

/* The variable of an error of deferred code (T97a); it may be gone by now. */
static void set_fault(struct ls_session *session, int64_t id, const struct ls_err *err)
{
    struct ls_var *var = session->model->tracker && id ? ls_tracker_find(session->model->tracker, id) : NULL;
    if (!var) return;
    char line[LS_FAULT_TEXT];
    snprintf(line, sizeof line, "%.*s", (int)strcspn(ls_err_text(err), "\n"), ls_err_text(err));
    struct ls_fault fault = {0};
    ls_fault_set(&fault, LS_FAULT_DEFERRED_CODE, "%s", line);
    ls_var_set_fault(session->model->tracker, var, &fault);
}

void ls_session_run_timer(struct ls_session *session, uint64_t handle)
{
    struct ls_timer *timer = find_timer(session, handle);
    if (!timer || !lua_checkstack(session->vm.L, 4)) return;
    int64_t variable = timer->variable, interval = timer->interval_ns, before = 0;
    struct ls_var *var =
        variable && session->model->tracker ? ls_tracker_find(session->model->tracker, variable) : NULL;
    bool known = var;
    lua_State *L = session->vm.L;
    ls__ref_push(session, L, timer->fn);
    if (!interval) drop_timer(session, timer); /* before it runs: clearing it from inside is a no-op */
    if (known) {
        before = ls_tracker_set_computing(session->model->tracker, variable);
        ls_tracker_clear_diags(session->model->tracker, variable);
    }
    LS_ERR(err);
    int code = ls__lcall(session, 0, 0, &err);
    if (known) ls_tracker_set_computing(session->model->tracker, before);
    if (code != 0) {
        ls__report(session, "timer", &err);
        set_fault(session, variable, &err);
    }
    timer = interval ? find_timer(session, handle) : NULL;
    if (!timer) return;
    /* Posted anew only now, so at most one run is ever waiting and missed ticks are not made up for; the grid of the
     * first run is kept (L111). */
    int64_t now = ls_now_ns();
    timer->due_ns += interval;
    if (timer->due_ns <= now) timer->due_ns += (now - timer->due_ns) / interval * interval + interval;
    if (session->vm.host.timer_set && session->vm.host.timer_set(session->vm.host.ctx, handle, timer->due_ns) != 0)
        drop_timer(session, timer);
}

/* --- dropping many --- */

unsigned ls__timers_drop_module(struct ls_session *session, uint64_t module, uint32_t execution)
{
    unsigned dropped = 0;
    for (size_t i = session->model->timer_count; i-- > 0;)
        if (session->model->timers[i].module == module &&
            (!execution || session->model->timers[i].execution == execution)) {
            cancel_timer(session, session->model->timers[i].handle);
            dropped++;
        }
    return dropped;
}

unsigned ls__timers_of_module(const struct ls_session *session, uint64_t module, uint32_t before_execution,
                              bool intervals)
{
    unsigned count = 0;
    for (size_t i = 0; i < session->model->timer_count; i++) {
        const struct ls_timer *timer = &session->model->timers[i];
        count += timer->module == module && timer->execution < before_execution && (!intervals || timer->interval_ns);
    }
    return count;
}

void ls__timers_release(struct ls_session *session)
{
    while (session->model->timer_count)
        cancel_timer(session, session->model->timers[session->model->timer_count - 1].handle);
}
