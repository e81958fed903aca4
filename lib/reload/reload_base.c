/* The base of a module's first reload in a session that does not watch files (H2): nothing was recorded when the module
 * was loaded, since records cost memory that only a watching session has a use for. Its file-level variables can be
 * found all the same, through the functions of the running version; what the file gave at first is known from the
 * session that loaded this text first (reload_given.c). Data of which nothing is known keeps the value of the run.
 *
 * Owner thread: the session's. Looks at names of upvalues only: a name that belongs to two variables is left alone
 * (H56). */
#include "reload/reload_state.h"

#include <string.h>

#include "model/prototype.h"

enum { BASE_BUDGET = 20000 }; /* fields of the module's content */

/* The module's value, functions on prototypes, in globals, and timers lead to the functions of the file. [-0, +0, m] */
static LS_RAISES void add_roots(struct ls_session *session, struct ls_fresh *walk, const struct ls_module *module)
{
    lua_State *L = walk->L;
    if (ls__push_field(session, L, session->model->ref_loaded, module->key) == LUA_TTABLE) {
        /* known like every module's value, but this one is to be entered */
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, walk->known);
    }
    ls__fresh_add(walk);
    for (uint32_t i = 0; i < module->prototypes.count; i++) {
        const struct ls_proto *proto = ls__proto_find(session, module->prototypes.items[i]);
        if (!proto) continue;
        ls__ref_push(session, L, proto->table);
        ls__fresh_add_functions(walk, lua_gettop(L));
        lua_pop(L, 1);
    }
    for (size_t i = 0; i < session->model->timer_count; i++)
        if (session->model->timers[i].module == module->serial) {
            ls__ref_push(session, L, session->model->timers[i].fn);
            ls__fresh_add(walk);
        }
    lua_pushglobaltable(L);
    ls__fresh_add_functions(walk, lua_gettop(L));
    lua_pop(L, 1);
    ls__fresh_add_globals(walk);
    ls__fresh_run(walk);
}

/* The function on top uses a variable of this name: note it, or that the name has two. [-0, +0, m] */
static LS_RAISES void note_upvalue(lua_State *L, int locals, int ids, const char *name, int upvalue)
{
    int function = lua_gettop(L);
    lua_pushlightuserdata(L, lua_upvalueid(L, function, upvalue));
    lua_pushinteger(L, upvalue);
    if (lua_getfield(L, ids, name) == LUA_TNIL) { /* id upvalue nil */
        lua_pushvalue(L, function + 1);
        lua_setfield(L, ids, name);
        ls__triple_new(L, function, function + 2, function + 3);
        lua_setfield(L, locals, name);
    } else if (!lua_rawequal(L, function + 1, function + 3)) {
        lua_pushboolean(L, 0);
        lua_setfield(L, locals, name);
    }
    lua_settop(L, function);
}

LS_RAISES void ls__push_base(struct ls_session *session, lua_State *L, const char *key)
{
    const struct ls_module *module = ls__module_find(session, key);
    luaL_checkstack(L, 20, "reload");
    lua_newtable(L);
    int base = lua_gettop(L);
    lua_newtable(L);
    lua_newtable(L); /* base locals ids */
    struct ls_fresh walk = {.L = L, .source = lua_pushfstring(L, "@%s", key), .budget = BASE_BUDGET};
    ls__push_known(session, L, NULL, 0);
    walk.known = lua_gettop(L);
    ls__address_set(L);
    walk.seen = lua_gettop(L);
    lua_newtable(L);
    walk.tables = lua_gettop(L);
    lua_newtable(L);
    walk.functions = lua_gettop(L);
    add_roots(session, &walk, module);
    for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, walk.functions); i++) {
        lua_rawgeti(L, walk.functions, i);
        const char *name;
        for (int up = 1; (name = lua_getupvalue(L, -1, up)); up++) {
            lua_pop(L, 1);
            if (*name && strcmp(name, "_ENV") != 0) note_upvalue(L, base + 1, base + 2, name, up);
        }
        lua_pop(L, 1);
    }
    lua_pushvalue(L, base + 1);
    lua_setfield(L, base, LS_RECORD_LOCALS);
    lua_settop(L, base);
    ls__given_push(session, L, base, module);
}
