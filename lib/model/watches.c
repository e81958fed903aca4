/* watchVariable, watchProperty, unwatch, and the calls (LuaSession card: NotifyPropertyChange). Rules L70, L71.
 *
 * Ended watches stay in the array as holes while callbacks run, so that the walk over it stays valid.
 * Owner thread: the session's. */
#include "model/model_internal.h"

#include <string.h>

#include "base/array.h"
#include "model/globals.h"
#include "model/module.h"
#include "tracker/tracker.h"

static void release_watch(struct ls_session *session, struct ls_watch *watch)
{
    ls__ref_drop(session, &watch->name);
    ls__ref_drop(session, &watch->fn);
    watch->handle = 0;
}

static void close_holes(struct ls_session *session)
{
    if (session->model->notifying) return;
    size_t kept = 0;
    for (size_t i = 0; i < session->model->watch_count; i++)
        if (session->model->watches[i].handle)
            session->model->watches[kept++] = session->model->watches[i];
        else
            release_watch(session, &session->model->watches[i]);
    session->model->watch_count = kept;
}

void ls__watch_end(struct ls_session *session, uint64_t handle)
{
    for (size_t i = 0; handle && i < session->model->watch_count; i++)
        if (session->model->watches[i].handle == handle) release_watch(session, &session->model->watches[i]);
    close_holes(session);
}

unsigned ls__watches_drop_module(struct ls_session *session, uint64_t module, uint32_t execution)
{
    unsigned dropped = 0;
    for (size_t i = 0; i < session->model->watch_count; i++) {
        const struct ls_watch *watch = &session->model->watches[i];
        if (watch->handle && watch->module == module && (!execution || watch->execution == execution)) {
            release_watch(session, &session->model->watches[i]);
            dropped++;
        }
    }
    close_holes(session);
    return dropped;
}

unsigned ls__watches_of_module(const struct ls_session *session, uint64_t module, uint32_t before_execution)
{
    unsigned count = 0;
    for (size_t i = 0; i < session->model->watch_count; i++) {
        const struct ls_watch *watch = &session->model->watches[i];
        count += watch->handle && watch->module == module && watch->execution < before_execution;
    }
    return count;
}

void ls__watches_release(struct ls_session *session)
{
    for (size_t i = 0; i < session->model->watch_count; i++)
        release_watch(session, &session->model->watches[i]);
    ls_budget_free(session->vm.budget, session->model->watches);
    session->model->watches = NULL;
    session->model->watch_count = session->model->watch_cap = 0;
}

/* --- registering --- */

/* [-0, +1, e] the name at `name_arg` (0 = none) and the function at `fn_arg` */
static LS_RAISES int add_watch(lua_State *L, const char *function, int name_arg, int fn_arg)
{
    struct ls_session *session = ls__open_session_of(L);
    int is_integer;
    lua_Integer id = lua_tointegerx(L, 2, &is_integer);
    if (!is_integer) ls__ltype(L, 2, function, "integer");
    if (name_arg && lua_type(L, name_arg) != LUA_TSTRING) ls__ltype(L, name_arg, function, "string");
    if (lua_type(L, fn_arg) != LUA_TFUNCTION) ls__ltype(L, fn_arg, function, "function");
    if (!session->model->tracker || !ls_tracker_find(session->model->tracker, id)) {
        lua_pushnil(L); /* nothing to watch */
        return 1;
    }
    if (!LS_RESERVE_IN(session->vm.budget, 0, session->model->watches, session->model->watch_count + 1,
                       session->model->watch_cap))
        return ls__lno_memory(L, "adding a watch");
    const struct ls_module *module = ls__module_current(session);
    struct ls_watch watch = {
        .id = id,
        .name = LUA_NOREF,
        .fn = LUA_NOREF,
        .module = module ? module->serial : 0,
        .execution = module ? module->execution : 0,
    };
    lua_pushvalue(L, fn_arg);
    watch.fn = ls__ref_take(session, L);
    size_t at = session->model->watch_count++;
    session->model->watches[at] = watch; /* a hole, owning its references, until it is whole */
    if (name_arg) {
        lua_pushvalue(L, name_arg);
        int name = ls__ref_take(session, L);
        session->model->watches[at].name = name;
    }
    session->model->watches[at].handle = ++session->model->watch_handle;
    lua_pushinteger(L, (lua_Integer)session->model->watch_handle);
    return 1;
}

/* [-0, +1, e] session:watchVariable(id, function) */
LS_RAISES int ls__l_session_watchVariable(lua_State *L)
{
    return add_watch(L, "watchVariable", 0, 3);
}

/* [-0, +1, e] session:watchProperty(id, name, function) */
LS_RAISES int ls__l_session_watchProperty(lua_State *L)
{
    return add_watch(L, "watchProperty", 3, 4);
}

/* [-0, +0, e] session:unwatch(handle) */
LS_RAISES int ls__l_session_unwatch(lua_State *L)
{
    if (lua_isnoneornil(L, 2)) return 0;
    if (lua_type(L, 2) != LUA_TNUMBER) ls__ltype(L, 2, "unwatch", "number");
    lua_Integer handle = lua_tointeger(L, 2);
    if (handle > 0) ls__watch_end(ls__open_session_of(L), (uint64_t)handle);
    return 0;
}

/* --- calling --- */

bool ls_session_has_watchers(const struct ls_session *session)
{
    return session->model->watch_count > 0;
}

/* Push the new content of `property`: the live value, or a string, or nil when removed. [-0, +1, m] */
static LS_RAISES void push_content(struct ls_session *session, lua_State *L, int64_t id, const char *property)
{
    LS_LTOP(L);
    struct ls_var *var = ls_tracker_find(session->model->tracker, id);
    if (!var) {
        lua_pushnil(L);
    } else if (strcmp(property, "value") == 0) {
        session->model->slots->push(session, L, ls_var_value(var));
    } else {
        const char *text = ls_var_property(var, property);
        if (text && *text)
            lua_pushstring(L, text);
        else
            lua_pushnil(L);
    }
    LS_LTOP_CHECK(L, 1);
}

struct notice {
    size_t watch;
    const char *property;
};

/* [-1, +0, e] argument: struct notice. Calls fn(value) of a property watch, fn(value, name) of a variable watch. */
static LS_RAISES int call_watch(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    const struct notice *notice = lua_touserdata(L, 1);
    const struct ls_watch *watch = &session->model->watches[notice->watch];
    bool named = watch->name != LUA_NOREF;
    ls__ref_push(session, L, watch->fn);
    push_content(session, L, watch->id, notice->property);
    if (!named) lua_pushstring(L, notice->property);
    lua_call(L, named ? 1 : 2, 0);
    return 0;
}

/* [-0, +0, -] strings are interned or compared by content: no allocation */
static bool watches_property(struct ls_session *session, const struct ls_watch *watch, const char *property)
{
    if (watch->name == LUA_NOREF) return true;
    ls__ref_push(session, session->vm.L, watch->name);
    bool same = strcmp(lua_tostring(session->vm.L, -1), property) == 0;
    lua_pop(session->vm.L, 1);
    return same;
}

bool ls_session_notify(struct ls_session *session, int64_t id, const char *property)
{
    bool called = false;
    size_t count = session->model->watch_count; /* those registered by a callback wait for the next change (L71) */
    if (!count || !session->model->tracker || !lua_checkstack(session->vm.L, 4)) return false;
    session->model->notifying++;
    for (size_t i = 0; i < count; i++) {
        const struct ls_watch *watch = &session->model->watches[i];
        if (!watch->handle || watch->id != id || !watches_property(session, watch, property)) continue;
        called = true;
        struct notice notice = {.watch = i, .property = property};
        LS_ERR(err);
        if (ls__lrun(session, call_watch, &notice, 0, &err) != 0) ls__report(session, "watch callback", &err);
    }
    session->model->notifying--;
    close_holes(session);
    return called;
}
