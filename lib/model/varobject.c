/* Variable objects: what getVariable, watchers and wrappers get (L69, T72).
 *
 * A table with its id and functions bound to it, so that `v.getValue()` and `v:getValue()` both work. After the
 * variable's end the getters answer nil and the setters do nothing. Owner thread: the session's. */
#include "model/model_internal.h"

#include <string.h>

#include "model/globals.h"
#include "model/model.h"
#include "model/undo.h"
#include "tracker/tracker.h"

/* The variable of the running method, NULL if it is gone. A client may use its id again (T10), and that is another
 * variable. Upvalue 1: the id, 2: the object, 3: the variable's serial number. [-0, +0, -] */
static struct ls_var *own_variable(lua_State *L)
{
    const struct ls_session *session = ls__session_of(L);
    if (!session->model->tracker || session->vm.closing) return NULL;
    struct ls_var *var = ls_tracker_find(session->model->tracker, lua_tointeger(L, lua_upvalueindex(1)));
    return var && ls_var_serial(var) == (uint64_t)lua_tointeger(L, lua_upvalueindex(3)) ? var : NULL;
}

/* The same; a `self` of the colon call is taken off the stack. [-0|1, +0, -] */
static struct ls_var *method_variable(lua_State *L)
{
    if (lua_gettop(L) > 0 && lua_rawequal(L, 1, lua_upvalueindex(2))) lua_remove(L, 1);
    return own_variable(L);
}

/* [-0, +1, e] variable.getId() */
static LS_RAISES int l_variable_getId(lua_State *L)
{
    if (method_variable(L))
        lua_pushvalue(L, lua_upvalueindex(1));
    else
        lua_pushnil(L); /* and not nothing, which functions like tostring do not accept */
    return 1;
}

/* [-0, +1, e] variable.getValue() */
static LS_RAISES int l_variable_getValue(lua_State *L)
{
    const struct ls_var *var = method_variable(L);
    if (var)
        ls__session_of(L)->model->slots->push(ls__session_of(L), L, ls_var_value(var));
    else
        lua_pushnil(L);
    return 1;
}

/* [-0, +1, e] variable.getWrapper() */
static LS_RAISES int l_variable_getWrapper(lua_State *L)
{
    const struct ls_var *var = method_variable(L);
    if (var)
        ls__session_of(L)->model->slots->push(ls__session_of(L), L, ls_var_wrapper(var));
    else
        lua_pushnil(L);
    return 1;
}

/* [-0, +1, e] variable.getProperty(name) */
static LS_RAISES int l_variable_getProperty(lua_State *L)
{
    const struct ls_var *var = method_variable(L);
    if (lua_type(L, 1) != LUA_TSTRING) ls__ltype(L, 1, "getProperty", "string");
    const char *name = ls__name_arg(L, 1);
    lua_pushstring(L, var && name ? ls_var_property(var, name) : NULL); /* nil for NULL */
    return 1;
}

/* [-0, +0, e] properties of the table at `arg`; a value is made a string, false removes the property (T22, T25) */
static LS_RAISES void set_properties(lua_State *L, int arg, const char *function)
{
    LS_LTOP(L);
    struct ls_session *session = ls__session_of(L);
    if (!lua_istable(L, arg)) ls__ltype(L, arg, function, "table");
    int top = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, arg); lua_settop(L, top + 1)) {
        struct ls_prop prop;
        if (lua_type(L, top + 1) != LUA_TSTRING) continue;
        prop.name = lua_tolstring(L, top + 1, &prop.name_len);
        prop.value = luaL_tolstring(L, top + 2, &prop.value_len);
        struct ls_var *var = own_variable(L);
        struct ls_fault fault = {0};
        if (!var) break;
        lua_State *before = ls__swap_thread(session, L);
        int code = ls_tracker_set_property(session->model->tracker, var, &prop, &fault);
        ls__swap_thread(session, before);
        if (code < 0) luaL_error(L, "%s: %s", function, fault.text);
    }
    lua_settop(L, top);
    LS_LTOP_CHECK(L, 0);
}

/* [-0, +0, e] variable.updateProperties(table) */
static LS_RAISES int l_variable_updateProperties(lua_State *L)
{
    if (method_variable(L)) set_properties(L, 1, "updateProperties");
    return 0;
}

/* Writes as a client would (T57); a variable without path gets its stored value replaced. [-0, +0, e] */
static LS_RAISES int l_variable_update(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    struct ls_var *var = method_variable(L);
    if (!var) return 0;
    lua_settop(L, 2); /* value, properties */
    struct ls_fault fault = {0};
    bool app = lua_tointeger(L, lua_upvalueindex(1)) == session->model->app_variable_id && lua_istable(L, 1);
    if (app) ls__undo_app(session, L);
    lua_pushvalue(L, 1);
    ls_slot slot = session->model->slots->take(session, L);
    lua_State *before = ls__swap_thread(session, L);
    int code;
    if (ls_var_has_path(var)) {
        code = ls_tracker_write_slot(session->model->tracker, var, slot, &fault);
        session->model->slots->free(session, slot);
    } else {
        code = ls_tracker_set_value(session->model->tracker, var, slot, &fault);
    }
    ls__swap_thread(session, before);
    if (code < 0) return luaL_error(L, "update: %s", fault.text);
    if (app) {
        lua_pushvalue(L, 1);
        ls__ref_set(session, L, &session->model->ref_app);
    }
    if (!lua_isnil(L, 2)) set_properties(L, 2, "update");
    return 0;
}

LS_RAISES void ls__variable_object_push(struct ls_session *session, lua_State *L, int64_t id)
{
    static const luaL_Reg methods[] = {
        {"getId", l_variable_getId},
        {"getID", l_variable_getId},
        {"getValue", l_variable_getValue},
        {"getWrapper", l_variable_getWrapper},
        {"getProperty", l_variable_getProperty},
        {"update", l_variable_update},
        {"updateProperties", l_variable_updateProperties},
        {NULL, NULL},
    };
    luaL_checkstack(L, 6, NULL);
    const struct ls_var *var = session->model->tracker ? ls_tracker_find(session->model->tracker, id) : NULL;
    if (!var) {
        lua_pushnil(L);
        return;
    }
    uint64_t serial = ls_var_serial(var);
    ls__ref_push(session, L, session->model->ref_variables);
    if (lua_rawgeti(L, -1, id) == LUA_TTABLE) {
        lua_remove(L, -2);
        return;
    }
    lua_pop(L, 1);
    lua_createtable(L, 0, sizeof methods / sizeof *methods);
    lua_pushinteger(L, id);
    lua_setfield(L, -2, "_id");
    lua_pushinteger(L, id);
    lua_pushvalue(L, -2);
    lua_pushinteger(L, (lua_Integer)serial);
    luaL_setfuncs(L, methods, 3);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, id);
    lua_remove(L, -2);
}

/* [-0, +1, e] session:getVariable(id) */
LS_RAISES int ls__l_session_getVariable(lua_State *L)
{
    lua_Integer id;
    if (!ls__integer_arg(L, 2, &id)) ls__ltype(L, 2, "getVariable", "integer");
    ls__variable_object_push(ls__open_session_of(L), L, id);
    return 1;
}

/* [-0, +1, e] session:getAppVariable() */
LS_RAISES int ls__l_session_getAppVariable(lua_State *L)
{
    struct ls_session *session = ls__open_session_of(L);
    /* nil before createAppVariable: no variable has id 0 */
    ls__variable_object_push(session, L, session->model->app_variable_id);
    return 1;
}

void ls_session_variable_gone(struct ls_session *session, int64_t id)
{
    for (size_t i = session->model->watch_count; i-- > 0;)
        if (i < session->model->watch_count && session->model->watches[i].handle && session->model->watches[i].id == id)
            ls__watch_end(session, session->model->watches[i].handle);
    lua_State *L = session->vm.L;
    if (!lua_checkstack(L, 2)) return;
    ls__ref_push(session, L, session->model->ref_variables);
    if (lua_rawgeti(L, -1, id) == LUA_TTABLE) {
        lua_pushnil(L);
        lua_rawseti(L, -3, id); /* a field that exists: nothing is allocated */
    }
    lua_pop(L, 2);
}
