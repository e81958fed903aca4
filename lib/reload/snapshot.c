/* Snapshots: raw copies, one level deep, of the tables that a chunk may change and that a failure must put back (H59).
 * The same copies tell afterwards which globals and prototype fields the chunk has assigned (H49).
 *
 * A snapshot is a Lua table: table → {fields, metatable or false}. It is proportional to what the tables themselves
 * hold, never to the heap behind them. Owner thread: the session's. Refuses to follow references: contents of other
 * tables are beyond roll-back (H60). */
#include <lauxlib.h>

#include "reload/threeway.h"
#include "vm/vm_internal.h"

enum { SLOT_FIELDS = 1, SLOT_META = 2 };

void ls__snapshot_new(lua_State *L)
{
    lua_newtable(L);
}

/* Push a raw copy of the table at `idx`. [-0, +1, m] */
static void push_copy(lua_State *L, int idx)
{
    LS_LTOP(L);
    int count = 0;
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        count++;
        lua_pop(L, 1);
    }
    lua_createtable(L, 0, count);
    lua_pushnil(L);
    while (lua_next(L, idx)) { /* copy key value */
        lua_pushvalue(L, -2);
        lua_insert(L, -2); /* copy key key value */
        lua_rawset(L, -4);
    }
    LS_LTOP_CHECK(L, 1);
}

void ls__snapshot_add(lua_State *L, int snapshot, int idx)
{
    idx = lua_absindex(L, idx);
    snapshot = lua_absindex(L, snapshot);
    luaL_checkstack(L, 8, "snapshot");
    lua_pushvalue(L, idx);
    bool there = lua_rawget(L, snapshot) != LUA_TNIL;
    lua_pop(L, 1);
    if (there) return;
    lua_pushvalue(L, idx);
    lua_createtable(L, 2, 0); /* table entry */
    push_copy(L, idx);
    lua_rawseti(L, -2, SLOT_FIELDS);
    if (!lua_getmetatable(L, idx)) lua_pushboolean(L, 0);
    lua_rawseti(L, -2, SLOT_META);
    lua_rawset(L, snapshot);
}

void ls__snapshot_fields(lua_State *L, int snapshot, int idx)
{
    LS_LTOP(L);
    idx = lua_absindex(L, idx);
    snapshot = lua_absindex(L, snapshot);
    lua_pushvalue(L, idx);
    if (lua_rawget(L, snapshot) == LUA_TTABLE) {
        lua_rawgeti(L, -1, SLOT_FIELDS);
        lua_remove(L, -2);
    }
    LS_LTOP_CHECK(L, 1);
}

/* [-0, +0, m] */
static void restore_table(lua_State *L, int table, int fields)
{
    LS_LTOP(L);
    lua_pushnil(L);
    while (lua_next(L, table)) { /* key value: assigning nil to a present key is allowed during a traversal */
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        bool was = lua_rawget(L, fields) != LUA_TNIL;
        lua_pop(L, 1);
        if (was) continue;
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, table);
    }
    lua_pushnil(L);
    while (lua_next(L, fields)) { /* key before */
        lua_pushvalue(L, -2);
        lua_rawget(L, table); /* key before now */
        bool same = lua_rawequal(L, -1, -2) != 0;
        lua_pop(L, 1);
        if (same) {
            lua_pop(L, 1);
            continue;
        }
        lua_pushvalue(L, -2);
        lua_insert(L, -2); /* key key before */
        lua_rawset(L, table);
    }
    LS_LTOP_CHECK(L, 0);
}

void ls__snapshot_restore(lua_State *L, int snapshot)
{
    LS_LTOP(L);
    snapshot = lua_absindex(L, snapshot);
    luaL_checkstack(L, 12, "snapshot");
    lua_pushnil(L);
    while (lua_next(L, snapshot)) { /* table entry */
        int table = lua_absindex(L, -2);
        lua_rawgeti(L, -1, SLOT_FIELDS);
        restore_table(L, table, lua_gettop(L));
        lua_pop(L, 1);
        if (lua_rawgeti(L, -1, SLOT_META) != LUA_TTABLE) {
            lua_pop(L, 1);
            lua_pushnil(L);
        }
        ls__set_metatable(L, table);
        lua_pop(L, 1);
    }
    LS_LTOP_CHECK(L, 0);
}

/* Copy into `target` the fields of `now` that differ from `before`. [-0, +0, m] */
static void copy_differences(lua_State *L, int now, int before, int target)
{
    LS_LTOP(L);
    lua_pushnil(L);
    while (lua_next(L, now)) { /* key value */
        lua_pushvalue(L, -2);
        lua_rawget(L, before);
        bool same = lua_rawequal(L, -1, -2) != 0;
        lua_pop(L, 1);
        if (same) {
            lua_pop(L, 1);
            continue;
        }
        lua_pushvalue(L, -2);
        lua_insert(L, -2); /* key key value */
        lua_rawset(L, target);
    }
    lua_pushnil(L);
    while (lua_next(L, before)) { /* key value */
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        bool gone = lua_rawget(L, now) == LUA_TNIL;
        lua_pop(L, 1);
        if (!gone) continue;
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, target);
    }
    LS_LTOP_CHECK(L, 0);
}

void ls__snapshot_amend(lua_State *L, int outer, int inner)
{
    LS_LTOP(L);
    outer = lua_absindex(L, outer);
    inner = lua_absindex(L, inner);
    luaL_checkstack(L, 16, "snapshot");
    lua_pushnil(L);
    while (lua_next(L, inner)) { /* table entry */
        int table = lua_absindex(L, -2), entry = lua_gettop(L);
        lua_pushvalue(L, table);
        if (lua_rawget(L, outer) != LUA_TTABLE) { /* known to the inner one only: as it is now is as it was */
            lua_pop(L, 1);
            ls__snapshot_add(L, outer, table);
            lua_pop(L, 1);
            continue;
        }
        int kept = lua_gettop(L); /* table entry kept */
        lua_rawgeti(L, entry, SLOT_FIELDS);
        lua_rawgeti(L, kept, SLOT_FIELDS);
        copy_differences(L, table, kept + 1, kept + 2);
        if (!lua_getmetatable(L, table)) lua_pushboolean(L, 0);
        lua_rawgeti(L, entry, SLOT_META);
        bool same = lua_rawequal(L, -1, -2) != 0;
        lua_pop(L, 1);
        if (same)
            lua_pop(L, 1);
        else
            lua_rawseti(L, kept, SLOT_META);
        lua_settop(L, entry);
        lua_pop(L, 1);
    }
    LS_LTOP_CHECK(L, 0);
}
