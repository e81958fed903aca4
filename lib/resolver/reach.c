/* The walk over what a session reaches (reach.h). */
#include "resolver/reach.h"

#include "base/map.h"
#include "model/snapshot.h"
#include "model/undo.h"
#include "resolver/record.h"

LS_RAISES void ls__put(struct ls_session *session, lua_State *L, int container, int key, int value)
{
    if (lua_type(L, container) == LUA_TFUNCTION) {
        int top = lua_gettop(L), upvalue = (int)lua_tointeger(L, key);
        ls__undo_upvalue(session, L, container, upvalue);
        lua_pushvalue(L, value);
        lua_setupvalue(L, container, upvalue);
        lua_settop(L, top);
    } else {
        ls__undo_field(session, L, container, key);
        ls__raw_set(L, container, key, value);
    }
}

enum { EACH = 10000 }; /* keys of one table that a walk with a limit looks at */

/* [-1, +0, m] */
LS_RAISES void ls__reach(struct ls_reach *reach)
{
    lua_State *L = reach->L;
    int type = lua_type(L, -1);
    void *was = NULL;
    bool holds = type == LUA_TTABLE || (reach->kind == LUA_TTABLE && (type == LUA_TFUNCTION || type >= LUA_TUSERDATA));
    if (holds && !ls_idmap_put(reach->seen, ls__address(L, -1), reach, &was))
        luaL_error(L, "out of memory while looking for holders of what was replaced");
    if (holds && !was)
        lua_rawseti(L, reach->queue, ++reach->last);
    else
        lua_pop(L, 1);
}

/* [-1, +1, m] */
LS_RAISES bool ls__reach_replaced(struct ls_reach *reach)
{
    lua_State *L = reach->L;
    if (lua_type(L, -1) != reach->kind) return false;
    if (ls__raw_get(L, reach->replaced, lua_gettop(L)) == LUA_TNIL) {
        lua_pop(L, 1);
        return false;
    }
    if (reach->followed && !ls_idmap_put(reach->followed, (int64_t)ls__hash_identity(L, -2),
                                         (void *)(uintptr_t)ls__hash_identity(L, -1), NULL))
        luaL_error(L, "out of memory while reloading");
    lua_remove(L, -2);
    return true;
}

/* [-0, +0, m] */
static LS_RAISES void search_table(struct ls_reach *reach, int table)
{
    lua_State *L = reach->L;
    int key = table + 1, value = table + 2;
    size_t keys = 0;
    if (lua_getmetatable(L, table)) {
        if (ls__reach_replaced(reach)) {
            lua_pushvalue(L, -1);
            ls__set_metatable(L, table);
        }
        ls__reach(reach);
    }
    if (reach->most && lua_rawlen(L, table) > EACH) keys = EACH;
    for (lua_pushnil(L); lua_next(L, table); lua_settop(L, key)) {
        if (reach->most && (++keys > EACH || reach->looked >= reach->most)) {
            reach->cut = true;
            return;
        }
        ls__look(L, ++reach->looked);
        const int type = lua_type(L, value);
        if (type == reach->kind && ls__reach_replaced(reach)) ls__put(reach->session, L, table, key, value);
        if (type == LUA_TTABLE || (type > LUA_TTABLE && reach->kind == LUA_TTABLE)) ls__reach(reach);
        if (reach->kind != LUA_TTABLE || lua_type(L, key) < LUA_TTABLE) continue;
        lua_pushvalue(L, key);
        ls__reach(reach);
    }
}

/* Values on the stack of a coroutine. [-0, +0, m] */
static LS_RAISES void search_thread(struct ls_reach *reach, lua_State *thread)
{
    lua_State *L = reach->L;
    lua_Debug info;
    if (thread == L || !lua_checkstack(thread, 4)) return;
    for (int level = 0; lua_getstack(thread, level, &info); level++) {
        for (int direction = 1; direction >= -1; direction -= 2) /* negative numbers are extra arguments */
            for (int i = direction; lua_getlocal(thread, &info, i); i += direction) {
                lua_xmove(thread, L, 1);
                if (ls__reach_replaced(reach)) {
                    lua_pushvalue(L, -1);
                    lua_xmove(L, thread, 1);
                    lua_setlocal(thread, &info, i);
                }
                ls__reach(reach);
            }
        lua_getinfo(thread, "f", &info);
        lua_xmove(thread, L, 1);
        ls__reach(reach);
    }
    for (int i = lua_gettop(thread); i > 0; i--) { /* what waits to be passed */
        lua_pushvalue(thread, i);
        lua_xmove(thread, L, 1);
        if (ls__reach_replaced(reach)) {
            lua_pushvalue(L, -1);
            lua_xmove(L, thread, 1);
            lua_replace(thread, i);
        }
        ls__reach(reach);
    }
}

/* [-0, +0, m] the value at `value` */
static LS_RAISES void search_value(struct ls_reach *reach, int value)
{
    lua_State *L = reach->L;
    int type = lua_type(L, value);
    if (type == LUA_TTABLE) search_table(reach, value);
    if (type == LUA_TTHREAD) search_thread(reach, lua_tothread(L, value));
    for (int i = 1; type == LUA_TFUNCTION && lua_getupvalue(L, value, i); i++) {
        if (ls__reach_replaced(reach)) {
            lua_pushvalue(L, -1);
            lua_setupvalue(L, value, i);
        }
        ls__reach(reach);
    }
    if (type != LUA_TUSERDATA) return;
    if (lua_getmetatable(L, value)) ls__reach(reach);
    for (int i = 1; lua_getiuservalue(L, value, i) != LUA_TNONE; i++) {
        if (ls__reach_replaced(reach)) {
            lua_pushvalue(L, -1);
            lua_setiuservalue(L, value, i);
        }
        ls__reach(reach);
    }
    lua_pop(L, 1); /* the nil of the uservalue that there is not */
}

/* What waits is looked through, with a limit in the order in which it came: what is near to the roots comes first. */
LS_RAISES void ls__reach_all(struct ls_reach *reach)
{
    lua_State *L = reach->L;
    int value = lua_gettop(L) + 1;
    while (reach->first < reach->last) {
        lua_Integer at = reach->most ? ++reach->first : reach->last--;
        lua_rawgeti(L, reach->queue, at);
        lua_pushnil(L);
        lua_rawseti(L, reach->queue, at);
        search_value(reach, value);
        lua_settop(L, value - 1);
    }
}
