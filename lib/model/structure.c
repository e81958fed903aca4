/* Structural copies and comparison of table defaults (L78, L83). Owner thread: the session's. Runs no metamethod. */
#include "model/prototype.h"

#define MAX_DEPTH  8
#define MAX_FIELDS 10000

struct walk {
    const void *path[MAX_DEPTH]; /* tables being copied, to notice cycles */
    int depth;
    int fields;
};

/* [-0, +0, -] */
static bool has_metatable(lua_State *L, int index)
{
    if (!lua_getmetatable(L, index)) return false;
    lua_pop(L, 1);
    return true;
}

/* [-0, +(1|0), m] @return false, nothing pushed, beyond the limits */
static LS_RAISES bool copy_table(lua_State *L, int index, struct walk *walk)
{
    if (walk->depth == MAX_DEPTH || has_metatable(L, index)) return false;
    const void *self = lua_topointer(L, index);
    for (int i = 0; i < walk->depth; i++)
        if (walk->path[i] == self) return false;
    luaL_checkstack(L, 6, NULL);
    walk->path[walk->depth++] = self;
    lua_newtable(L);
    int copy = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, index);) {
        if (++walk->fields > MAX_FIELDS || (lua_istable(L, -1) && !copy_table(L, copy + 2, walk))) {
            lua_settop(L, copy - 1);
            return false;
        }
        lua_pushvalue(L, copy + 1); /* key, value [, copied value], key: the one below is what the copy gets */
        lua_pushvalue(L, -2);
        lua_rawset(L, copy);
        lua_settop(L, copy + 1);
    }
    walk->depth--;
    return true;
}

LS_RAISES void ls__copy_structure(lua_State *L, int index)
{
    struct walk walk = {.depth = 0};
    if (!copy_table(L, lua_absindex(L, index), &walk)) lua_pushnil(L);
}

/* [-0, +0, -] */
static bool is_nan(lua_State *L, int index)
{
    lua_Number number = lua_tonumber(L, index);
    return lua_type(L, index) == LUA_TNUMBER && number != number;
}

static LS_RAISES bool same_structure(lua_State *L, int left, int right, int depth);

/* [-0, +0, m] */
static LS_RAISES bool same_value(lua_State *L, int left, int right, int depth)
{
    if (lua_rawequal(L, left, right) || (is_nan(L, left) && is_nan(L, right))) return true;
    return lua_istable(L, left) && lua_istable(L, right) && same_structure(L, left, right, depth);
}

/* The left one is a copy made above, so it is finite and without cycles. [-0, +0, e] */
static LS_RAISES bool same_structure(lua_State *L, int left, int right, int depth)
{
    if (depth == MAX_DEPTH || has_metatable(L, right)) return false;
    luaL_checkstack(L, 6, NULL);
    int top = lua_gettop(L);
    lua_Integer count = 0;
    for (lua_pushnil(L); lua_next(L, left); lua_settop(L, top + 1), count++) {
        lua_pushvalue(L, top + 1);
        lua_rawget(L, right);
        if (!same_value(L, top + 2, top + 3, depth + 1)) {
            lua_settop(L, top);
            return false;
        }
    }
    for (lua_pushnil(L); lua_next(L, right); lua_pop(L, 1))
        if (--count < 0) {
            lua_settop(L, top);
            return false;
        }
    return true;
}

LS_RAISES bool ls__declared_equal(lua_State *L, int old_index, int copy_index, int new_index)
{
    if (lua_rawequal(L, old_index, new_index) || (is_nan(L, old_index) && is_nan(L, new_index))) return true;
    if (!copy_index || !lua_istable(L, copy_index) || !lua_istable(L, new_index)) return false;
    return same_structure(L, copy_index, new_index, 0);
}
