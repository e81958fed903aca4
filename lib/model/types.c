/* Presenter types and wrappers, and from a type name to an object (LuaSession card: presenterTypes, wrapperRegistry).
 * Rules L121, L122, L129, L130, T67, T74.
 *
 * Owner thread: the session's. Refuses to: know the built-in native types (the resolver's). */
#include "model/model_internal.h"

#include <string.h>

#include "model/globals.h"
#include "model/module.h"
#include "model/prototype.h"
#include "model/undo.h"

/* --- registering --- */

/* A name belongs to the module that registered it last, so that unloading an earlier one does not take it away (L50 for
 * prototypes). [-0, +0, v] */
static void note_registration(struct ls_session *session, lua_State *L, bool wrapper, const char *name)
{
    struct ls_module *current = ls__module_current(session);
    for (size_t i = 0; i < session->model->module_count; i++) {
        struct ls_module *module = session->model->modules[i];
        if (module != current) ls_names_drop(wrapper ? &module->wrappers : &module->presenters, name);
    }
    if (current && !ls_names_add(wrapper ? &current->wrappers : &current->presenters, name))
        ls__lno_memory(L, "registering '%s'", name);
}

/* [-0, +0, e] arguments: name, table */
static LS_RAISES int register_type(lua_State *L, int registry, bool wrapper, const char *function)
{
    struct ls_session *session = ls__open_session_of(L);
    if (lua_type(L, 1) != LUA_TSTRING) ls__ltype(L, 1, function, "string");
    if (!lua_istable(L, 2)) ls__ltype(L, 2, function, "table");
    lua_settop(L, 2);
    ls__undo_type(session, L, 1, wrapper);
    ls__ref_push(session, L, registry);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_rawset(L, 3);
    note_registration(session, L, wrapper, lua_tostring(L, 1));
    return 0;
}

/* [-0, +0, e] ui.registerPresenter(name, table) */
LS_RAISES int ls__l_ui_registerPresenter(lua_State *L)
{
    return register_type(L, ls__session_of(L)->model->ref_presenters, false, "registerPresenter");
}

/* [-0, +0, e] ui.registerWrapper(name, table) */
LS_RAISES int ls__l_ui_registerWrapper(lua_State *L)
{
    return register_type(L, ls__session_of(L)->model->ref_wrappers, true, "registerWrapper");
}

/* [-0, +0, m] */
static LS_RAISES void drop_names(struct ls_session *session, lua_State *L, int registry, struct ls_names *names)
{
    LS_LTOP(L);
    ls__ref_push(session, L, registry);
    for (uint32_t i = 0; i < names->count; i++) {
        lua_pushstring(L, names->items[i]);
        lua_pushnil(L);
        lua_rawset(L, -3);
    }
    lua_pop(L, 1);
    ls_names_release(names);
    LS_LTOP_CHECK(L, 0);
}

/* [-0, +0, m] */
LS_RAISES void ls__module_drop_types(struct ls_session *session, lua_State *L, struct ls_module *module)
{
    drop_names(session, L, session->model->ref_presenters, &module->presenters);
    drop_names(session, L, session->model->ref_wrappers, &module->wrappers);
}

/* --- finding --- */

struct search {
    const char *name;
    size_t len;
    bool wrapper, presenter;
};

/* [-0, +(1|0), m] a table in the registry under the name on top of the stack */
static LS_RAISES bool find_in(struct ls_session *session, lua_State *L, int registry)
{
    ls__ref_push(session, L, registry);
    lua_pushvalue(L, -2);
    lua_rawget(L, -2);
    lua_remove(L, -2);
    if (lua_istable(L, -1)) return true;
    lua_pop(L, 1);
    return false;
}

/* [-0, +(1|0), m] the global reached by splitting at dots, own fields only */
static LS_RAISES bool find_dotted(lua_State *L, const char *name, size_t len)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    for (const char *part = name, *end = name + len; part <= end;) {
        const char *dot = memchr(part, '.', (size_t)(end - part));
        size_t part_len = dot ? (size_t)(dot - part) : (size_t)(end - part);
        lua_pushlstring(L, part, part_len);
        lua_rawget(L, -2);
        lua_remove(L, -2);
        if (!lua_istable(L, -1)) {
            lua_pop(L, 1);
            return false;
        }
        part += part_len + 1;
    }
    return true;
}

/* [-1, +1, m] argument: struct search; result: the table, or nil */
static LS_RAISES int find_type(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    struct search *search = lua_touserdata(L, 1);
    lua_pushlstring(L, search->name, search->len);
    if (search->wrapper && find_in(session, L, session->model->ref_wrappers)) return 1;
    const struct ls_proto *proto = ls__proto_of(session, L, -1);
    if (proto) {
        ls__ref_push(session, L, proto->table);
        return 1;
    }
    if (find_in(session, L, session->model->ref_presenters)) {
        search->presenter = true;
        return 1;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_pushvalue(L, -2);
    lua_rawget(L, -2);
    if (lua_istable(L, -1) || find_dotted(L, search->name, search->len)) return 1;
    lua_pushnil(L);
    return 1;
}

bool ls__find_type(struct ls_session *session, const char *name, size_t len, bool wrapper, bool *presenter)
{
    struct search search = {.name = name, .len = len, .wrapper = wrapper};
    LS_ERR(err);
    if (presenter) *presenter = false;
    if (ls__lrun(session, find_type, &search, 1, &err) != 0) {
        ls__report(session, "looking up a type", &err);
        return false;
    }
    if (lua_isnil(session->vm.L, -1)) {
        lua_pop(session->vm.L, 1);
        return false;
    }
    if (presenter) *presenter = search.presenter;
    return true;
}

/* --- making (L130) --- */

/* [-0, +0, e] an object of a presenter without `new`: at 1 the presenter, at 2 the argument, at 4 "is it for a list
 * item" */
static LS_RAISES int make_from_presenter(lua_State *L)
{
    lua_newtable(L);
    int object = lua_gettop(L);
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, object);
    if (lua_toboolean(L, 4)) {
        lua_pushvalue(L, 2);
        lua_setfield(L, object, "viewListItem");
    }
    if (lua_getfield(L, object, "init") == LUA_TFUNCTION) {
        lua_pushvalue(L, object);
        lua_call(L, 1, 0);
    }
    lua_settop(L, object);
    return 1;
}

/* [-4, +1, e] arguments: type table, argument, is presenter, is item; result: the object, or nil */
static LS_RAISES int construct(lua_State *L)
{
    if (lua_getfield(L, 1, "new") == LUA_TFUNCTION) {
        lua_pushvalue(L, 1);
        lua_pushvalue(L, 2);
        lua_call(L, 2, 1);
        return 1;
    }
    if (lua_toboolean(L, 3)) return make_from_presenter(L);
    return 0;
}

int ls__construct(struct ls_session *session, bool presenter, bool item, struct ls_err *err)
{
    lua_State *L = session->vm.L;
    if (!lua_checkstack(L, 4)) {
        lua_pop(L, 2);
        return ls_fail(err, LS_ELUA, "stack overflow");
    }
    lua_pushcfunction(L, construct);
    lua_insert(L, -3);
    lua_pushboolean(L, presenter);
    lua_pushboolean(L, item);
    int code = ls__lcall(session, 4, 1, err);
    if (code != 0) return code;
    if (!lua_istable(L, -1)) {
        const char *what = luaL_typename(L, -1);
        lua_pop(L, 1);
        return ls_fail(err, LS_ENOTFOUND, "the type has no function `new` that gives a table (got %s)", what);
    }
    return 0;
}
