/* Look-ups that run no code of a site and allocate nothing, and the one that may. Owner thread: the session's.
 * Rule T62. */
#include "resolver/resolver_internal.h"

#define CHAIN_MAX 100 /* tables along __index before the walk leaves the rest, and finding loops, to Lua */

bool ls__raw_index(lua_State *L, int index_name, int at, int key)
{
    int top = lua_gettop(L);
    lua_pushvalue(L, at);
    for (int i = 0; i < CHAIN_MAX; i++) {
        /* [.., table] */
        lua_pushvalue(L, key);
        if (lua_rawget(L, -2) != LUA_TNIL) break;
        if (!lua_getmetatable(L, -2)) break; /* the nil is the answer */
        lua_pushvalue(L, index_name);
        int type = lua_rawget(L, -2);
        if (type == LUA_TNIL) break;
        if (type != LUA_TTABLE || i == CHAIN_MAX - 1) {
            lua_settop(L, top);
            return false;
        }
        lua_replace(L, top + 1);
        lua_settop(L, top + 1);
    }
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
    return true;
}

LS_RAISES int ls__l_index(lua_State *L)
{
    lua_gettable(L, 1);
    return 1;
}

bool ls__object_push(struct ls_session *session, lua_State *L, int64_t id)
{
    ls__at_push(session->resolver, L, LS_AT_OBJECTS);
    lua_rawgeti(L, -1, id);
    lua_remove(L, -2);
    return !lua_isnil(L, -1);
}

/* Of a table with holes any border may be its length, also one that no memory could hold: {[1] = …, [2] = …, [4] = …,
 * [2^62] = …}. */
lua_Integer ls__array_length(lua_State *L, int at)
{
    lua_Unsigned border = lua_rawlen(L, at);
    if (border <= ls_budget_get(&ls__session_of(L)->vm.budget->heap) / sizeof(lua_Integer)) return (lua_Integer)border;
    for (lua_Integer i = 1;; i++) {
        int type = lua_rawgeti(L, at, i);
        lua_pop(L, 1);
        if (type == LUA_TNIL) return i - 1;
    }
}
