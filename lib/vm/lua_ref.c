/* References into the registry, counted, so that a lost one is noticed when the state closes, weak tables, and
 * userdata that own C resources. The only file that calls luaL_ref.
 * Owner thread: the session's. */
#include "vm/vm_internal.h"

#include <string.h>

LS_RAISES int ls__ref_take(struct ls_session *session, lua_State *L)
{
    LS_LTOP(L);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    if (ref != LUA_REFNIL) session->vm.refs++;
    LS_LTOP_CHECK(L, -1);
    return ref;
}

LS_RAISES void ls__ref_set(struct ls_session *session, lua_State *L, int *ref)
{
    LS_LTOP(L);
    int fresh = LUA_NOREF;
    if (lua_toboolean(L, -1))
        fresh = ls__ref_take(session, L);
    else
        lua_pop(L, 1);
    ls__ref_drop(session, ref);
    *ref = fresh;
    LS_LTOP_CHECK(L, -1);
}

int ls__ref_push(struct ls_session *session, lua_State *L, int ref)
{
    (void)session;
    if (ref < 0) {
        lua_pushnil(L);
        return LUA_TNIL;
    }
    return lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
}

void ls__ref_drop(struct ls_session *session, int *ref)
{
    if (*ref >= 0) {
        /* The slot exists already, so putting it on the free list allocates nothing and cannot raise. */
        luaL_unref(session->vm.L, LUA_REGISTRYINDEX, *ref);
        assert(session->vm.refs > 0);
        session->vm.refs--;
    }
    *ref = LUA_NOREF;
}

LS_RAISES void ls__weak_table(lua_State *L, const char *key)
{
    LS_LTOP(L);
    if (key && lua_getfield(L, LUA_REGISTRYINDEX, key) == LUA_TTABLE) return;
    if (key) lua_pop(L, 1);
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    if (key) {
        lua_pushvalue(L, -1);
        lua_setfield(L, LUA_REGISTRYINDEX, key);
    }
    LS_LTOP_CHECK(L, 1);
}

LS_RAISES void *ls__push_owner(lua_State *L, size_t size, const char *type, lua_CFunction release)
{
    LS_LTOP(L);
    void *owner = memset(lua_newuserdatauv(L, size, 0), 0, size);
    if (luaL_newmetatable(L, type)) {
        lua_pushcfunction(L, release);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    LS_LTOP_CHECK(L, 1);
    return owner;
}
