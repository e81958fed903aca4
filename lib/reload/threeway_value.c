/* Records of values: what an execution of a file gave at a place, kept for comparison with the next execution's (H49,
 * limits of L78).
 *
 * Primitives and functions are their own record. The record of a table is an array {table, metatable or false, content
 * or false}; content maps the table's keys to records. Since every table inside a record is such an array, the two
 * cannot be confused.
 * Owner thread: the session's. Everything raises only for want of memory. */
#include "reload/threeway.h"

enum { MAX_DEPTH = 8, MAX_FIELDS = 10000 }; /* L78 */

struct recorder {
    lua_State *L;
    int known;
    int visited; /* index of table → record */
    size_t fields;
    bool over; /* a limit was exceeded: only the identity of the outermost table counts */
};

LS_RAISES void ls__value_identity(lua_State *L, int idx)
{
    lua_createtable(L, LS_VALUE_CONTENT, 0);
    if (idx)
        lua_pushvalue(L, idx);
    else
        lua_pushboolean(L, 0);
    for (int slot = LS_VALUE_TABLE; slot <= LS_VALUE_CONTENT; slot++) {
        lua_rawseti(L, -2, slot);
        lua_pushboolean(L, 0);
    }
    lua_pop(L, 1);
}

static void push_record(struct recorder *rec, int idx, int depth);

/* Fill the content of the record on top from the table at `idx`. [-0, +0, m] */
static void record_content(struct recorder *rec, int idx, int depth)
{
    lua_State *L = rec->L;
    if (lua_getmetatable(L, idx)) lua_rawseti(L, -2, LS_VALUE_META);
    lua_newtable(L); /* record content */
    lua_pushnil(L);
    while (lua_next(L, idx)) { /* record content key value */
        if (++rec->fields > MAX_FIELDS) rec->over = true;
        if (rec->over) { /* here, or below the field before */
            lua_pop(L, 2);
            break;
        }
        lua_pushvalue(L, -2);
        push_record(rec, lua_absindex(L, -2), depth + 1); /* record content key value key r */
        lua_rawset(L, -5);
        lua_pop(L, 1);
    }
    lua_rawseti(L, -2, LS_VALUE_CONTENT);
}

/* [-0, +1, m] */
static void push_record(struct recorder *rec, int idx, int depth)
{
    lua_State *L = rec->L;
    luaL_checkstack(L, 10, "record of a value");
    if (lua_type(L, idx) != LUA_TTABLE) {
        lua_pushvalue(L, idx);
        return;
    }
    if (rec->known && ls__has_key(L, rec->known, idx)) {
        ls__value_identity(L, idx);
        return;
    }
    if (depth > MAX_DEPTH) rec->over = true;
    if (rec->over) {
        lua_pushboolean(L, 0);
        return;
    }
    lua_pushvalue(L, idx);
    if (lua_rawget(L, rec->visited) == LUA_TTABLE) return;
    lua_pop(L, 1);
    ls__value_identity(L, idx);
    lua_pushvalue(L, idx);
    lua_pushvalue(L, -2);
    lua_rawset(L, rec->visited);
    record_content(rec, idx, depth);
}

void ls__value_record(lua_State *L, int idx, int known)
{
    idx = lua_absindex(L, idx);
    if (lua_type(L, idx) != LUA_TTABLE) {
        lua_pushvalue(L, idx);
        return;
    }
    struct recorder rec = {.L = L, .known = known};
    lua_newtable(L);
    rec.visited = lua_gettop(L);
    push_record(&rec, idx, 1);
    if (rec.over) {
        lua_pop(L, 1);
        ls__value_identity(L, idx);
    }
    lua_remove(L, rec.visited);
}

void ls__value_record_fields(lua_State *L, int idx, int known)
{
    idx = lua_absindex(L, idx);
    ls__value_identity(L, idx);
    if (lua_getmetatable(L, idx)) lua_rawseti(L, -2, LS_VALUE_META);
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, idx)) { /* record content key value */
        lua_pushvalue(L, -2);
        ls__value_record(L, -2, known);
        lua_rawset(L, -5);
        lua_pop(L, 1);
    }
    lua_rawseti(L, -2, LS_VALUE_CONTENT);
}

void ls__value_content(lua_State *L, int record)
{
    if (lua_type(L, record) != LUA_TTABLE) {
        lua_pushnil(L);
        return;
    }
    if (lua_rawgeti(L, record, LS_VALUE_CONTENT) == LUA_TTABLE) return;
    lua_pop(L, 1);
    lua_pushnil(L);
}

/* --- comparison --- */

static bool equal(lua_State *L, int idx, int record, int visited, int depth);

/* Same metatable, by identity. [-0, +0, -] */
static bool same_metatable(lua_State *L, int idx, int record)
{
    bool has = lua_getmetatable(L, idx) != 0;
    if (!has) lua_pushboolean(L, 0);
    lua_rawgeti(L, record, LS_VALUE_META);
    bool same = lua_rawequal(L, -1, -2) != 0;
    lua_pop(L, 2);
    return same;
}

/* [-0, +0, m] */
static bool equal_content(lua_State *L, int idx, int content, int visited, int depth)
{
    size_t count = 0, recorded = 0;
    bool same = true;
    lua_pushnil(L);
    while (lua_next(L, idx)) { /* key value */
        count++;
        lua_pushvalue(L, -2);
        lua_rawget(L, content); /* key value record */
        int top = lua_gettop(L);
        same = equal(L, top - 1, top, visited, depth + 1);
        lua_pop(L, 2);
        if (!same) {
            lua_pop(L, 1);
            return false;
        }
    }
    lua_pushnil(L);
    while (lua_next(L, content)) {
        recorded++;
        lua_pop(L, 1);
    }
    return count == recorded;
}

/* [-0, +0, e] */
static bool equal(lua_State *L, int idx, int record, int visited, int depth)
{
    luaL_checkstack(L, 10, "comparison of values");
    if (lua_type(L, idx) != LUA_TTABLE || lua_type(L, record) != LUA_TTABLE) {
        /* NaN is the same value as NaN here: a place that holds it has not been edited. */
        if (lua_type(L, idx) == LUA_TNUMBER && !lua_rawequal(L, idx, idx))
            return lua_type(L, record) == LUA_TNUMBER && !lua_rawequal(L, record, record);
        return lua_type(L, idx) != LUA_TTABLE && lua_type(L, record) != LUA_TTABLE && lua_rawequal(L, idx, record);
    }
    lua_rawgeti(L, record, LS_VALUE_TABLE);
    bool same = lua_rawequal(L, -1, idx) != 0;
    lua_pop(L, 1);
    if (same) return true;
    if (depth > MAX_DEPTH || !same_metatable(L, idx, record)) return false;
    lua_pushvalue(L, idx);
    /* a cycle, or a table met twice: it must stand where the recorded one stood */
    if (lua_rawget(L, visited) != LUA_TNIL) {
        same = lua_rawequal(L, -1, record) != 0;
        lua_pop(L, 1);
        return same;
    }
    lua_pop(L, 1);
    ls__value_content(L, record);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return false;
    }
    lua_pushvalue(L, idx);
    lua_pushvalue(L, record);
    lua_rawset(L, visited);
    same = equal_content(L, idx, lua_gettop(L), visited, depth);
    lua_pop(L, 1);
    return same;
}

/* Groups that share a table become one: the root of the later one points to that of the earlier. [-0, +0, m] */
static void add_parts(lua_State *L, int root, int visited, int parts)
{
    lua_pushvalue(L, root);
    if (lua_rawget(L, parts) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushvalue(L, root);
    }
    int group = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, visited)) { /* group part record */
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, parts) == LUA_TNIL) { /* group part nil */
            lua_pushvalue(L, -2);
            lua_pushvalue(L, root);
            lua_rawset(L, parts);
            lua_pop(L, 1);
        } else if (lua_rawequal(L, group, root)) {
            lua_replace(L, group);
        } else {
            lua_pop(L, 1);
        }
    }
    lua_pushvalue(L, root);
    lua_pushvalue(L, group);
    lua_rawset(L, parts);
    lua_pop(L, 1);
}

bool ls__value_equal(lua_State *L, int idx, int record, int parts)
{
    idx = lua_absindex(L, idx);
    record = lua_absindex(L, record);
    if (lua_type(L, idx) != LUA_TTABLE || lua_type(L, record) != LUA_TTABLE) return equal(L, idx, record, 0, 1);
    lua_newtable(L);
    int visited = lua_gettop(L);
    bool same = equal(L, idx, record, visited, 1);
    if (same && parts) add_parts(L, idx, visited, lua_absindex(L, parts));
    lua_pop(L, 1);
    return same;
}

bool ls__value_group(lua_State *L, int parts)
{
    parts = lua_absindex(L, parts);
    for (bool any = false;; any = true) { /* value: climb until a root that is its own */
        lua_pushvalue(L, -1);
        if (lua_rawget(L, parts) == LUA_TNIL) {
            lua_pop(L, 1);
            return any;
        }
        bool own = lua_rawequal(L, -1, -2) != 0;
        lua_remove(L, -2);
        if (own) return true;
    }
}
