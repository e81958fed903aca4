/* The app object and variables made by Lua code (LuaSession card: createAppVariable, appVariableID, appObject, getApp,
 * createVariable, destroyVariable, variableStore, HandleFrontendCreate and HandleFrontendUpdate by way of the
 * resolver). Rules L63 to L67, T103 to T106.
 *
 * Owner thread: the session's. Refuses to: report changes (detection finds them, L68). */
#include "model/model_internal.h"

#include <string.h>

#include "base/alloc.h"
#include "model/globals.h"
#include "model/undo.h"
#include "tracker/tracker.h"

#define SHOWN_MAX 64 /* variables of one object that destroyVariable looks at in one go */

/* [-0, +0, v] */
static LS_RAISES void check_bound(struct ls_session *session, lua_State *L)
{
    if (!session->model->tracker || !session->model->store) luaL_error(L, "there are no variables in this session yet");
}

/* Properties of a Lua table as an array; it and its strings stay on the stack (L63): values by tostring, other than
 * string keys ignored. [-0, +2, e] */
static LS_RAISES struct ls_prop *push_props(lua_State *L, int arg, const char *function, size_t *count)
{
    *count = 0;
    if (!lua_isnoneornil(L, arg) && !lua_istable(L, arg)) ls__ltype(L, arg, function, "table or nil");
    size_t room = 0;
    if (lua_istable(L, arg))
        for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1))
            room++;
    struct ls_prop *props = lua_newuserdatauv(L, room * sizeof *props, 0);
    lua_newtable(L); /* keeps the texts alive */
    int anchor = lua_gettop(L);
    if (!room) return props;
    for (lua_pushnil(L); lua_next(L, arg); lua_settop(L, anchor + 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || *count == room) continue;
        struct ls_prop *prop = &props[*count];
        prop->name = lua_tolstring(L, -2, &prop->name_len);
        prop->value = luaL_tolstring(L, -1, &prop->value_len);
        lua_pushvalue(L, anchor + 1);
        lua_rawseti(L, anchor, (lua_Integer)(2 * *count + 1));
        lua_rawseti(L, anchor, (lua_Integer)(2 * *count + 2));
        ++*count;
    }
    return props;
}

/* [-0, +1, e] session:getApp() */
LS_RAISES int ls__l_session_getApp(lua_State *L)
{
    struct ls_session *session = ls__open_session_of(L);
    ls__ref_push(session, L, session->model->ref_app);
    return 1;
}

/* A variable whose value is the object at `object`. @return the id, or 0 and fault [-0, +0, m] */
static LS_RAISES int64_t create_in_store(struct ls_session *session, lua_State *L, int object, struct ls_var_spec *spec,
                                         struct ls_fault *fault)
{
    LS_LTOP(L);
    lua_pushvalue(L, object);
    spec->has_value = true;
    spec->value = session->model->slots->take(session, L);
    lua_State *before = ls__swap_thread(session, L);
    int64_t id = session->model->store->create(session->model->store->ctx, spec, fault);
    if (id == 0) session->model->slots->free(session, spec->value);
    ls__swap_thread(session, before);
    LS_LTOP_CHECK(L, 0);
    return id;
}

/* The app object is replaced: variable 1 keeps id, watchers and children (L64). [-0, +0, e] */
static LS_RAISES void replace_app(struct ls_session *session, lua_State *L, const struct ls_prop *props, size_t count)
{
    struct ls_fault fault = {0};
    struct ls_var *var = ls_tracker_find(session->model->tracker, session->model->app_variable_id);
    bool typed = false;
    if (!var) luaL_error(L, "the app variable is gone");
    for (size_t i = 0; i < count; i++) {
        var = ls_tracker_find(session->model->tracker, session->model->app_variable_id);
        if (!var || ls_tracker_set_property(session->model->tracker, var, &props[i], &fault) < 0)
            luaL_error(L, "createAppVariable: %s", fault.text);
        typed |= props[i].value_len && ls_prop_is(&props[i], "type");
    }
    ls__ref_push(session, L, session->model->ref_app);
    bool same = lua_rawequal(L, -1, 2);
    lua_pop(L, 1);
    if (same) return;
    ls__undo_app(session, L);
    if (!typed) ls_tracker_free_type(var);
    lua_pushvalue(L, 2);
    ls_slot slot = session->model->slots->take(session, L);
    lua_State *before = ls__swap_thread(session, L);
    int code = ls_tracker_set_value(session->model->tracker, var, slot, &fault);
    ls__swap_thread(session, before);
    if (code < 0) luaL_error(L, "createAppVariable: %s", fault.text);
    lua_pushvalue(L, 2);
    ls__ref_set(session, L, &session->model->ref_app);
}

/* [-0, +1, e] session:createAppVariable(object [, properties]) */
LS_RAISES int ls__l_session_createAppVariable(lua_State *L)
{
    struct ls_session *session = ls__open_session_of(L);
    if (!lua_istable(L, 2)) ls__ltype(L, 2, "createAppVariable", "table");
    lua_settop(L, 3);
    check_bound(session, L);
    size_t count;
    struct ls_prop *props = push_props(L, 3, "createAppVariable", &count);
    if (session->model->app_variable_id) {
        replace_app(session, L, props, count);
        lua_pushinteger(L, session->model->app_variable_id);
        return 1;
    }
    struct ls_var_spec spec = {.id = session->model->app_counted ? 1 : 0, .props = props, .prop_count = count};
    struct ls_fault fault = {0};
    ls__undo_app(session, L);
    int64_t id = create_in_store(session, L, 2, &spec, &fault);
    if (id == 0) return luaL_error(L, "createAppVariable: %s", fault.text);
    session->model->app_variable_id = id;
    session->model->app_counted = true;
    lua_pushvalue(L, 2);
    ls__ref_set(session, L, &session->model->ref_app);
    lua_pushinteger(L, id);
    return 1;
}

/* [-0, +0, e] the parent's id from argument 2 (L66) */
static LS_RAISES int64_t check_parent(struct ls_session *session, lua_State *L)
{
    if (lua_istable(L, 2)) {
        int64_t id = 0;
        if (session->model->slots->variables(session, L, 2, &id, 1) == 0)
            ls__larg(L, 2, "createVariable", "the table is no variable's value");
        return id;
    }
    lua_Integer id;
    if (!ls__integer_arg(L, 2, &id)) ls__ltype(L, 2, "createVariable", "variable id or table");
    if (id == 0 && !session->model->app_variable_id)
        luaL_error(L, "createVariable: a root variable needs the app variable first (createAppVariable)");
    return id;
}

/* [-0, +1, e] session:createVariable(parent, object [, properties]) */
LS_RAISES int ls__l_session_createVariable(lua_State *L)
{
    struct ls_session *session = ls__open_session_of(L);
    if (!lua_istable(L, 3)) ls__ltype(L, 3, "createVariable", "table");
    lua_settop(L, 4);
    check_bound(session, L);
    int64_t parent = check_parent(session, L);
    size_t count;
    struct ls_prop *props = push_props(L, 4, "createVariable", &count);
    struct ls_var_spec spec = {.parent = parent, .props = props, .prop_count = count};
    struct ls_fault fault = {0};
    ls__undo_making(session, L, true);
    int64_t id = create_in_store(session, L, 3, &spec, &fault);
    ls__undo_made(L, id);
    if (id != 0) {
        lua_pushinteger(L, id);
        return 1;
    }
    if (fault.kind == LS_FAULT_BAD_PARENT) {
        lua_pushnil(L); /* a parent that does not exist */
        return 1;
    }
    return luaL_error(L, "createVariable: %s", fault.text);
}

/* [-0, +0, e] */
static LS_RAISES void destroy_one(struct ls_session *session, lua_State *L, int64_t id)
{
    if (id == session->model->app_variable_id && id != 0)
        luaL_error(L, "destroyVariable: the app variable cannot be destroyed");
    if (!ls_tracker_find(session->model->tracker, id)) return;
    lua_State *before = ls__swap_thread(session, L);
    session->model->store->destroy(session->model->store->ctx, id);
    ls__swap_thread(session, before);
}

/* [-0, +0, e] session:destroyVariable(id or object) */
LS_RAISES int ls__l_session_destroyVariable(lua_State *L)
{
    struct ls_session *session = ls__open_session_of(L);
    lua_Integer id;
    bool is_integer = ls__integer_arg(L, 2, &id);
    if (!is_integer && !lua_istable(L, 2)) ls__ltype(L, 2, "destroyVariable", "variable id or table");
    check_bound(session, L);
    if (is_integer) {
        destroy_one(session, L, id);
        return 0;
    }
    int64_t ids[SHOWN_MAX];
    for (;;) {
        size_t count = session->model->slots->variables(session, L, 2, ids, SHOWN_MAX),
               filled = count < SHOWN_MAX ? count : SHOWN_MAX;
        for (size_t i = 0; i < filled; i++)
            destroy_one(session, L, ids[i]);
        /* While a pass runs destroying is put off, so the same variables would be found again: one round has marked
         * them. */
        if (count <= SHOWN_MAX || session->model->slots->variables(session, L, 2, ids, SHOWN_MAX) >= count) return 0;
    }
}

/* [-0, +0, e] session:registerStandardVariable(name, id or object) */
LS_RAISES int ls__l_session_registerStandardVariable(lua_State *L)
{
    struct ls_session *session = ls__open_session_of(L);
    if (lua_type(L, 2) != LUA_TSTRING) ls__ltype(L, 2, "registerStandardVariable", "string");
    lua_Integer number;
    if (!ls__integer_arg(L, 3, &number) && !lua_istable(L, 3) && !lua_isnoneornil(L, 3))
        ls__ltype(L, 3, "registerStandardVariable", "variable id or table");
    check_bound(session, L);
    int64_t id = number;
    if (lua_istable(L, 3) && session->model->slots->variables(session, L, 3, &id, 1) == 0)
        ls__larg(L, 3, "registerStandardVariable", "the table is no variable's value");
    struct ls_fault fault = {0};
    const char *name = ls__name_arg(L, 2);
    if (!name) return ls__larg(L, 2, "registerStandardVariable", "a name must not hold U+0000");
    ls__undo_name(session, L, name);
    if (ls_tracker_name(session->model->tracker, name, id, &fault) < 0)
        return luaL_error(L, "registerStandardVariable: %s", fault.text);
    return 0;
}
