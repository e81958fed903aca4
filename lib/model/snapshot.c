/* Snapshots (snapshot.h): for the roll-back of a failed load (L43, H59), and for telling which globals and prototype
 * fields a chunk has assigned (H49).
 *
 * A snapshot is a Lua table: table → {fields, metatable or false}. It is proportional to what the tables themselves
 * hold, never to the heap behind them. Refuses to follow references: contents of other tables are beyond roll-back
 * (H60). */
#include "model/snapshot.h"

enum { SLOT_FIELDS = 1, SLOT_META = 2 };

int ls__raw_get(lua_State *L, int table, int key)
{
    if (lua_type(L, table) != LUA_TTABLE) {
        lua_pushnil(L);
        return LUA_TNIL;
    }
    table = lua_absindex(L, table);
    lua_pushvalue(L, key);
    return lua_rawget(L, table);
}

LS_RAISES void ls__raw_set(lua_State *L, int table, int key, int value)
{
    table = lua_absindex(L, table);
    value = lua_absindex(L, value);
    lua_pushvalue(L, key);
    lua_pushvalue(L, value);
    lua_rawset(L, table);
}

LS_RAISES int ls__push_field(struct ls_session *session, lua_State *L, int ref, const char *name)
{
    ls__ref_push(session, L, ref);
    lua_pushstring(L, name);
    int type = lua_rawget(L, -2);
    lua_remove(L, -2);
    return type;
}

bool ls__has_key(lua_State *L, int table, int key)
{
    bool found = ls__raw_get(L, table, key) != LUA_TNIL;
    lua_pop(L, 1);
    return found;
}

LS_RAISES void ls__set_add(lua_State *L, int table)
{
    table = lua_absindex(L, table);
    lua_pushboolean(L, 1);
    lua_rawset(L, table);
}

LS_RAISES void ls__raw_copy(lua_State *L, int table)
{
    LS_LTOP(L);
    int count = 0;
    table = lua_absindex(L, table);
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1))
        count++;
    lua_createtable(L, 0, count);
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) /* copy key value */
        ls__raw_set(L, -3, -2, -1);
    LS_LTOP_CHECK(L, 1);
}

LS_RAISES void ls__snapshot_new(lua_State *L)
{
    lua_newtable(L);
}

LS_RAISES void ls__snapshot_add(lua_State *L, int snapshot, int idx)
{
    idx = lua_absindex(L, idx);
    snapshot = lua_absindex(L, snapshot);
    luaL_checkstack(L, 8, "snapshot");
    if (ls__has_key(L, snapshot, idx)) return;
    lua_createtable(L, 2, 0);
    ls__raw_copy(L, idx);
    lua_rawseti(L, -2, SLOT_FIELDS);
    if (!lua_getmetatable(L, idx)) lua_pushboolean(L, 0);
    lua_rawseti(L, -2, SLOT_META);
    ls__raw_set(L, snapshot, idx, -1);
    lua_pop(L, 1);
}

void ls__snapshot_fields(lua_State *L, int snapshot, int idx)
{
    if (ls__raw_get(L, snapshot, idx) != LUA_TTABLE) return;
    lua_rawgeti(L, -1, SLOT_FIELDS);
    lua_remove(L, -2);
}

/* Do to the fields of `target` what leads from `before` to `now`. `target` may be `before`. [-0, +0, m] */
static LS_RAISES void apply_differences(lua_State *L, int now, int before, int target)
{
    LS_LTOP(L);
    for (lua_pushnil(L); lua_next(L, now); lua_pop(L, 1)) { /* key value */
        ls__raw_get(L, before, -2);
        bool same = lua_rawequal(L, -1, -2) != 0;
        lua_pop(L, 1);
        if (!same) ls__raw_set(L, target, -2, -1);
    }
    /* assigning nil to a present key is allowed during a traversal */
    for (lua_pushnil(L); lua_next(L, before);) { /* key value */
        lua_pop(L, 1);
        if (ls__has_key(L, now, lua_gettop(L))) continue;
        lua_pushnil(L);
        ls__raw_set(L, target, -2, -1);
        lua_pop(L, 1);
    }
    LS_LTOP_CHECK(L, 0);
}

LS_RAISES void ls__snapshot_restore(lua_State *L, int snapshot)
{
    LS_LTOP(L);
    snapshot = lua_absindex(L, snapshot);
    luaL_checkstack(L, 12, "snapshot");
    for (lua_pushnil(L); lua_next(L, snapshot); lua_pop(L, 1)) { /* table record */
        int table = lua_gettop(L) - 1;
        lua_rawgeti(L, table + 1, SLOT_FIELDS);
        apply_differences(L, table + 2, table, table);
        if (lua_rawgeti(L, table + 1, SLOT_META) != LUA_TTABLE) {
            lua_pop(L, 1);
            lua_pushnil(L);
        }
        ls__set_metatable(L, table);
        lua_pop(L, 1);
    }
    LS_LTOP_CHECK(L, 0);
}

LS_RAISES void ls__snapshot_amend(lua_State *L, int outer, int inner)
{
    LS_LTOP(L);
    outer = lua_absindex(L, outer);
    inner = lua_absindex(L, inner);
    luaL_checkstack(L, 16, "snapshot");
    for (lua_pushnil(L); lua_next(L, inner); lua_pop(L, 1)) { /* table record */
        int table = lua_gettop(L) - 1, record = table + 1, kept = table + 2;
        if (ls__raw_get(L, outer, table) != LUA_TTABLE) { /* known to the inner one only: as it is now is as it was */
            ls__snapshot_add(L, outer, table);
        } else {
            lua_rawgeti(L, record, SLOT_FIELDS);
            lua_rawgeti(L, kept, SLOT_FIELDS);
            apply_differences(L, table, kept + 1, kept + 2);
            lua_rawgeti(L, record, SLOT_META);
            if (!lua_getmetatable(L, table)) lua_pushboolean(L, 0);
            if (!lua_rawequal(L, -1, -2)) lua_rawseti(L, kept, SLOT_META);
        }
        lua_settop(L, record);
    }
    LS_LTOP_CHECK(L, 0);
}
