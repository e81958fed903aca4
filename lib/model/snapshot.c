/* Snapshots (snapshot.h): for the roll-back of a failed load (L43, H59), and for telling which globals and prototype
 * fields a chunk has assigned (H49).
 *
 * A snapshot is a Lua table: table → record. It is proportional to what the tables themselves hold, never to the heap
 * behind them. Every session takes one at every save, so a record is what costs least to make: a C function whose
 * upvalues are the metatable or false, then keys and values in turn, as a traversal gives them. Of a table with too
 * many fields for that it has two, the metatable and a copy. Refuses to follow references: contents of other tables are
 * beyond roll-back (H60). */
#include "model/snapshot.h"

enum { META = 1, FIELDS, MANY = 120 }; /* a C function has 255 upvalues at most */

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

LS_RAISES void ls__triples_add(lua_State *L, int list, int a, int b, int c)
{
    const int values[] = {a, b, c};
    lua_createtable(L, 3, 0);
    for (int i = 0; i < 3; i++) {
        lua_pushvalue(L, values[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1);
}

void ls__triples_push(lua_State *L, int list, lua_Integer index)
{
    lua_rawgeti(L, list, index);
    for (int i = 1; i <= 3; i++)
        lua_rawgeti(L, -i, i);
    lua_remove(L, -4);
}

LS_RAISES void ls__array_add(lua_State *L, int list, int idx)
{
    lua_pushvalue(L, idx);
    lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1);
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
    lua_createtable(L, 0, 16);
}

/* Is never called: its upvalues are the record. [-0, +0, -] */
static int l_record(lua_State *L)
{
    (void)L;
    return 0;
}

LS_RAISES void ls__snapshot_add(lua_State *L, int snapshot, int idx)
{
    LS_LTOP(L);
    idx = lua_absindex(L, idx);
    snapshot = lua_absindex(L, snapshot);
    luaL_checkstack(L, 8, "snapshot");
    if (ls__has_key(L, snapshot, idx)) return;
    lua_pushvalue(L, idx);
    if (!lua_getmetatable(L, idx)) lua_pushboolean(L, 0);
    int meta = lua_gettop(L), n = META;
    for (lua_pushnil(L); n <= 2 * MANY && lua_next(L, idx); n += 2) { /* meta, key value … key */
        luaL_checkstack(L, 8, "snapshot");
        lua_pushvalue(L, -2);
    }
    if (n > 2 * MANY) {
        lua_settop(L, meta);
        ls__raw_copy(L, idx);
        n = FIELDS;
    }
    lua_pushcclosure(L, l_record, n);
    lua_rawset(L, snapshot);
    LS_LTOP_CHECK(L, 0);
}

bool ls__snapshot_record(lua_State *L, int snapshot, int idx)
{
    return ls__raw_get(L, snapshot, idx) != LUA_TNIL;
}

bool ls__snapshot_same(lua_State *L, int record, int table)
{
    int top = lua_gettop(L), at = FIELDS;
    bool same = lua_isfunction(L, record);
    for (lua_pushnil(L); same && lua_next(L, table); at += 2) {
        same = lua_getupvalue(L, record, at) && lua_rawequal(L, -1, top + 1) && lua_getupvalue(L, record, at + 1) &&
               lua_rawequal(L, -1, top + 2);
        lua_settop(L, top + 1);
    }
    same = same && !lua_getupvalue(L, record, at);
    lua_settop(L, top);
    return same;
}

/* Push a table of the fields in the record at `record`. [-0, +1, m] */
static LS_RAISES void push_fields(lua_State *L, int record)
{
    LS_LTOP(L);
    if (lua_getupvalue(L, record, FIELDS)) {
        if (!lua_getupvalue(L, record, FIELDS + 1)) return; /* a copy */
        lua_pop(L, 2);
    }
    lua_newtable(L);
    for (int at = FIELDS; lua_getupvalue(L, record, at); at += 2) {
        lua_getupvalue(L, record, at + 1);
        lua_rawset(L, -3);
    }
    LS_LTOP_CHECK(L, 1);
}

LS_RAISES void ls__snapshot_was(lua_State *L, int record, int key, int *at)
{
    if (lua_isfunction(L, record)) {
        if (lua_getupvalue(L, record, FIELDS + *at)) {
            bool found = lua_rawequal(L, -1, key) != 0;
            lua_pop(L, 1);
            if (found) {
                lua_getupvalue(L, record, FIELDS + *at + 1);
                *at += 2;
                return;
            }
        }
        push_fields(L, record);
        lua_replace(L, record);
    }
    ls__raw_get(L, record, key);
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
    int table = lua_gettop(L) + 1, record = table + 1;
    for (lua_pushnil(L); lua_next(L, snapshot); lua_settop(L, table)) {
        lua_getupvalue(L, record, META);
        if (!lua_toboolean(L, -1)) lua_pushnil(L);
        ls__set_metatable(L, table);
        lua_settop(L, record);
        if (ls__snapshot_same(L, record, table)) continue;
        push_fields(L, record);
        apply_differences(L, record + 1, table, table);
    }
    LS_LTOP_CHECK(L, 0);
}

LS_RAISES void ls__snapshot_amend(lua_State *L, int outer, int inner)
{
    LS_LTOP(L);
    outer = lua_absindex(L, outer);
    inner = lua_absindex(L, inner);
    luaL_checkstack(L, 16, "snapshot");
    int table = lua_gettop(L) + 1, record = table + 1, kept = record + 1;
    for (lua_pushnil(L); lua_next(L, inner); lua_settop(L, table)) {
        if (!ls__snapshot_record(L, outer, table)) { /* known to the inner one only: as it is now is as it was */
            ls__snapshot_add(L, outer, table);
            continue;
        }
        if (!lua_getmetatable(L, table)) lua_pushboolean(L, 0);
        lua_getupvalue(L, record, META);
        bool changed = !lua_rawequal(L, -1, -2);
        lua_pop(L, 1);
        if (changed) lua_setupvalue(L, kept, META);
        lua_settop(L, kept);
        if (ls__snapshot_same(L, record, table)) continue;
        lua_getupvalue(L, kept, META);
        push_fields(L, kept);
        push_fields(L, record);
        apply_differences(L, table, kept + 3, kept + 2);
        lua_settop(L, kept + 2);
        lua_pushcclosure(L, l_record, FIELDS);
        ls__raw_set(L, outer, table, kept + 1);
    }
    LS_LTOP_CHECK(L, 0);
}
