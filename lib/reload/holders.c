/* Variables of a version that left no record (H2): they are found through its functions, which lie where its code and
 * the session keep them. A name that belongs to two variables is left alone.
 *
 * Owner thread: the session's. */
#include <string.h>

#include "model/prototype.h"
#include "model/snapshot.h"
#include "reload/reload_state.h"
#include "reload/rule.h"

/* The module's value, functions on prototypes, in globals, and timers lead to the functions of the file. [-0, +0, m] */
static LS_RAISES void walk_roots(struct ls_session *session, struct ls_walk *walk, const struct ls_module *module)
{
    lua_State *L = walk->L;
    int top = lua_gettop(L);
    ls__push_field(session, L, session->model->ref_loaded, module->key);
    if (lua_istable(L, top + 1)) { /* known like every module's value, but this one is to be entered */
        lua_pushnil(L);
        ls__raw_set(L, walk->known, top + 1, top + 2);
    }
    ls__walk_value(walk, top + 1, 0);
    lua_settop(L, top);
    for (uint32_t i = 0; i < module->prototypes.count; i++, lua_settop(L, top)) {
        const struct ls_proto *proto = ls__proto_find(session, module->prototypes.items[i]);
        if (!proto) continue;
        ls__ref_push(session, L, proto->table);
        ls__walk_functions(walk, top + 1, 0);
    }
    for (size_t i = 0; i < session->model->timer_count; i++, lua_settop(L, top)) {
        if (session->model->timers[i].module != module->serial) continue;
        ls__ref_push(session, L, session->model->timers[i].fn);
        ls__walk_value(walk, top + 1, 0);
    }
    lua_pushglobaltable(L);
    ls__walk_functions(walk, top + 1, 0);
    ls__walk_globals(walk);
    lua_settop(L, top);
}

/* The function at `function` uses a variable of this name: note it, or that the name has two. [-0, +0, m] */
static LS_RAISES void note_upvalue(lua_State *L, int holders, int function, const char *name, int upvalue)
{
    int top = lua_gettop(L);
    lua_pushstring(L, name);
    if (ls__raw_get(L, holders, top + 1) == LUA_TTABLE) {
        lua_rawgeti(L, top + 2, 1);
        lua_rawgeti(L, top + 2, 2);
        void *id = lua_upvalueid(L, top + 3, (int)lua_tointeger(L, top + 4));
        lua_pushboolean(L, 0);
        if (id != lua_upvalueid(L, function, upvalue)) ls__raw_set(L, holders, top + 1, top + 5);
    } else if (lua_isnil(L, top + 2)) {
        lua_createtable(L, 2, 0);
        lua_pushvalue(L, function);
        lua_rawseti(L, top + 3, 1);
        lua_pushinteger(L, upvalue);
        lua_rawseti(L, top + 3, 2);
        ls__raw_set(L, holders, top + 1, top + 3);
    }
    lua_settop(L, top);
}

LS_RAISES void ls__push_holders(struct ls_session *session, lua_State *L, const char *key, struct ls_walk *walk)
{
    const struct ls_module *module = ls__module_find(session, key);
    luaL_checkstack(L, 20, "reload");
    lua_newtable(L);
    int holders = lua_gettop(L);
    const char *source = lua_pushfstring(L, "@%s", key);
    ls__push_known(session, L, NULL, 0);
    lua_newtable(L);
    int functions = holders + 3, function = holders + 4;
    if (!ls__walk_init(walk, L, source, holders + 2, functions, false)) luaL_error(L, "out of memory while reloading");
    walk_roots(session, walk, module);
    for (lua_Integer i = 1; i <= walk->function_count; i++) {
        lua_rawgeti(L, functions, i);
        const char *name;
        for (int up = 1; (name = lua_getupvalue(L, function, up)); up++) {
            ls__walk_value(walk, function + 1, 0);
            if (*name && strcmp(name, "_ENV") != 0) note_upvalue(L, holders, function, name, up);
            lua_settop(L, function);
        }
        lua_settop(L, functions);
    }
    lua_settop(L, holders);
}
