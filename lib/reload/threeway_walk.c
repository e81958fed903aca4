/* Two walks over Lua values. The first follows what a chunk has just made, to find the functions compiled from the file
 * and the tables they and the module's content consist of (H48, H56). The second looks through everything the session
 * can reach for holders of tables that the first execution's twin would replace (H49); it is made only when such a
 * table exists, and is bounded.
 * Owner thread: the session's. Neither calls a metamethod nor changes anything. */
#include "reload/threeway.h"

#include <stdint.h>
#include <string.h>

enum { HELD_BUDGET = 100000 }; /* fields (H49) */

/* --- sets of addresses --- */

struct ls_address_set {
    size_t cap, count; /* cap is a power of 2, at most three quarters are used */
    const void *slot[];
};

/* [-0, +1, m] */
static struct ls_address_set *new_set(lua_State *L, size_t cap)
{
    struct ls_address_set *set = lua_newuserdatauv(L, sizeof *set + cap * sizeof set->slot[0], 0);
    set->cap = cap;
    set->count = 0;
    memset(set->slot, 0, cap * sizeof set->slot[0]);
    return set;
}

/* [-0, +1, m] */
struct ls_address_set *ls__address_set(lua_State *L)
{
    return new_set(L, 256);
}

static bool insert(struct ls_address_set *set, const void *address)
{
    size_t at = (size_t)(((uintptr_t)address >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 20) & (set->cap - 1);
    while (set->slot[at]) {
        if (set->slot[at] == address) return false;
        at = (at + 1) & (set->cap - 1);
    }
    set->slot[at] = address;
    set->count++;
    return true;
}

/* Add; the set at `*slot` may be replaced on the stack when it grows. @return was it new [-0, +0, m] */
static bool add_address(lua_State *L, int slot, const void *address)
{
    struct ls_address_set *set = lua_touserdata(L, slot);
    if (set->count * 4 >= set->cap * 3) {
        struct ls_address_set *grown = new_set(L, set->cap * 2);
        for (size_t i = 0; i < set->cap; i++)
            if (set->slot[i]) insert(grown, set->slot[i]);
        lua_replace(L, slot);
        set = grown;
    }
    return insert(set, address);
}

/* --- fresh content --- */

/* Is the table at `idx`, or its metatable, one with an identity of its own? Instances of registered prototypes belong
 * to the run. */
static bool is_settled(struct ls_fresh *walk, int idx)
{
    lua_State *L = walk->L;
    lua_pushvalue(L, idx);
    bool settled = lua_rawget(L, walk->known) != LUA_TNIL;
    lua_pop(L, 1);
    if (settled || !lua_getmetatable(L, idx)) return settled;
    settled = lua_rawget(L, walk->known) != LUA_TNIL;
    lua_pop(L, 1);
    return settled;
}

static bool is_of_file(struct ls_fresh *walk, int idx)
{
    if (lua_iscfunction(walk->L, idx)) return false;
    lua_Debug ar;
    lua_pushvalue(walk->L, idx);
    lua_getinfo(walk->L, ">S", &ar);
    return ar.source == walk->source || strcmp(ar.source, walk->source) == 0;
}

void ls__fresh_add(struct ls_fresh *walk)
{
    lua_State *L = walk->L;
    int type = lua_type(L, -1), at = lua_gettop(L);
    if (type == LUA_TTABLE && !is_settled(walk, at) && add_address(L, walk->seen, lua_topointer(L, at))) {
        lua_rawseti(L, walk->tables, ++walk->table_count);
        return;
    }
    if (type == LUA_TFUNCTION && is_of_file(walk, at) && add_address(L, walk->seen, lua_topointer(L, at))) {
        lua_rawseti(L, walk->functions, ++walk->function_count);
        return;
    }
    lua_pop(L, 1);
}

void ls__fresh_add_functions(struct ls_fresh *walk, int table)
{
    lua_State *L = walk->L;
    lua_pushnil(L);
    while (lua_next(L, table)) {
        if (lua_type(L, -1) == LUA_TFUNCTION)
            ls__fresh_add(walk);
        else
            lua_pop(L, 1);
    }
}

void ls__fresh_add_globals(struct ls_fresh *walk)
{
    lua_State *L = walk->L;
    lua_pushglobaltable(L);
    int globals = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, globals)) { /* _G name value */
        if (lua_type(L, -1) == LUA_TTABLE && !ls__has_key(L, walk->known, globals + 2))
            ls__fresh_add_functions(walk, globals + 2);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void enter_table(struct ls_fresh *walk, lua_Integer index)
{
    lua_State *L = walk->L;
    lua_rawgeti(L, walk->tables, index);
    int table = lua_gettop(L);
    if (lua_getmetatable(L, table)) ls__fresh_add(walk);
    lua_pushnil(L);
    while (lua_next(L, table)) { /* table key value */
        if (walk->budget == 0) {
            lua_pop(L, 2);
            break;
        }
        walk->budget--;
        int type = lua_type(L, -1);
        if (type == LUA_TTABLE || type == LUA_TFUNCTION)
            ls__fresh_add(walk);
        else
            lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void enter_function(struct ls_fresh *walk, lua_Integer index)
{
    lua_State *L = walk->L;
    lua_rawgeti(L, walk->functions, index);
    int function = lua_gettop(L);
    for (int i = 1; lua_getupvalue(L, function, i); i++)
        ls__fresh_add(walk);
    lua_pop(L, 1);
}

void ls__fresh_run(struct ls_fresh *walk)
{
    luaL_checkstack(walk->L, 12, "reload");
    lua_Integer table = 1, function = 1;
    while (walk->budget && (table <= walk->table_count || function <= walk->function_count)) {
        if (function <= walk->function_count)
            enter_function(walk, function++);
        else
            enter_table(walk, table++);
    }
}

/* --- holders --- */

struct held {
    lua_State *L;
    int candidates, held, seen, pending; /* stack indexes */
    lua_Integer pending_count;
    size_t budget;
    size_t left; /* root tables not yet found to be held */
};

/* Note a value that has been reached; it is on top of the stack and stays. [-0, +0, m] */
static void reach(struct held *walk)
{
    lua_State *L = walk->L;
    int type = lua_type(L, -1);
    if (type != LUA_TTABLE && type != LUA_TFUNCTION && type != LUA_TUSERDATA && type != LUA_TTHREAD) return;
    if (type == LUA_TFUNCTION && lua_iscfunction(L, -1)) { /* those of the libraries hold nothing, and are many */
        if (!lua_getupvalue(L, -1, 1)) return;
        lua_pop(L, 1);
    }
    if (!add_address(L, walk->seen, lua_topointer(L, -1))) return;
    lua_pushvalue(L, -1);
    lua_rawseti(L, walk->pending, ++walk->pending_count);
    if (type != LUA_TTABLE) return;
    lua_pushvalue(L, -1);
    if (ls__value_group(L, walk->candidates)) { /* value root */
        lua_pushvalue(L, -1);
        bool new = lua_rawget(L, walk->held) == LUA_TNIL;
        lua_pop(L, 1);
        if (new) {
            lua_pushvalue(L, -1);
            lua_pushboolean(L, 1);
            lua_rawset(L, walk->held);
            walk->left--;
        }
    }
    lua_pop(L, 1);
}

/* A weak table keeps nothing, so what it shows is not held by it. [-0, +0, m] */
static bool is_weak(lua_State *L, int table)
{
    if (!lua_getmetatable(L, table)) return false;
    lua_pushliteral(L, "__mode");
    bool weak = lua_rawget(L, -2) == LUA_TSTRING;
    lua_pop(L, 2);
    return weak;
}

static bool spend(struct held *walk)
{
    if (walk->budget) walk->budget--;
    return walk->budget != 0;
}

static void follow_table(struct held *walk, int table)
{
    lua_State *L = walk->L;
    if (lua_getmetatable(L, table)) {
        reach(walk);
        lua_pop(L, 1);
        if (is_weak(L, table)) return;
    }
    lua_pushnil(L);
    while (lua_next(L, table)) { /* key value */
        if (!spend(walk)) {
            lua_pop(L, 2);
            return;
        }
        reach(walk);
        lua_pop(L, 1);
        if (lua_type(L, -1) >= LUA_TTABLE) reach(walk);
    }
}

/* Values on the stack of a coroutine: of each level its locals and temporaries, and what waits to be passed.
 * [-0, +0, m] */
static void follow_thread(struct held *walk, lua_State *thread)
{
    lua_State *L = walk->L;
    if (thread == L || !lua_checkstack(thread, 2)) return;
    lua_Debug ar;
    for (int level = 0; lua_getstack(thread, level, &ar); level++) {
        for (int direction = 1; direction >= -1; direction -= 2) { /* negative numbers are extra arguments */
            for (int i = direction; spend(walk) && lua_getlocal(thread, &ar, i); i += direction) {
                lua_xmove(thread, L, 1);
                reach(walk);
                lua_pop(L, 1);
            }
        }
        lua_getinfo(thread, "f", &ar);
        lua_xmove(thread, L, 1);
        reach(walk);
        lua_pop(L, 1);
    }
    for (int i = lua_gettop(thread); i > 0 && spend(walk); i--) {
        lua_pushvalue(thread, i);
        lua_xmove(thread, L, 1);
        reach(walk);
        lua_pop(L, 1);
    }
}

static void follow(struct held *walk, int value)
{
    lua_State *L = walk->L;
    switch (lua_type(L, value)) {
    case LUA_TTABLE: follow_table(walk, value); break;
    case LUA_TFUNCTION:
        for (int i = 1; spend(walk) && lua_getupvalue(L, value, i); i++) {
            reach(walk);
            lua_pop(L, 1);
        }
        break;
    case LUA_TUSERDATA:
        if (lua_getmetatable(L, value)) {
            reach(walk);
            lua_pop(L, 1);
        }
        for (int i = 1; spend(walk) && lua_getiuservalue(L, value, i) != LUA_TNONE; i++) {
            reach(walk);
            lua_pop(L, 1);
        }
        lua_settop(L, value);
        break;
    case LUA_TTHREAD: follow_thread(walk, lua_tothread(L, value)); break;
    default: break;
    }
}

/* [-0, +0, m] */
static void add_keys(struct held *walk, int table)
{
    lua_pushnil(walk->L);
    while (lua_next(walk->L, table)) {
        lua_pop(walk->L, 1);
        add_address(walk->L, walk->seen, lua_topointer(walk->L, -1));
    }
}

/* Count the different roots, or set all of them held. [-0, +0, m] */
static size_t each_root(lua_State *L, int candidates, int held)
{
    size_t roots = 0;
    lua_pushnil(L);
    while (lua_next(L, candidates)) { /* table root */
        if (lua_rawequal(L, -1, -2)) roots++;
        if (held) {
            lua_pushboolean(L, 1);
            lua_rawset(L, held);
        } else {
            lua_pop(L, 1);
        }
    }
    return roots;
}

void ls__find_held(lua_State *L, int candidates, int held, int skip)
{
    luaL_checkstack(L, 16, "reload");
    int top = lua_gettop(L);
    struct held walk = {.L = L, .candidates = candidates, .held = held, .budget = HELD_BUDGET};
    walk.left = each_root(L, candidates, 0);
    ls__address_set(L);
    walk.seen = lua_gettop(L);
    lua_newtable(L);
    walk.pending = lua_gettop(L);
    add_address(L, walk.seen, lua_topointer(L, skip));
    add_address(L, walk.seen, lua_topointer(L, candidates));
    add_address(L, walk.seen, lua_topointer(L, held));
    add_address(L, walk.seen, lua_topointer(L, walk.pending));
    add_keys(&walk, skip);
    lua_pushvalue(L, LUA_REGISTRYINDEX);
    reach(&walk);
    lua_pop(L, 1);
    while (walk.pending_count && walk.left && walk.budget) {
        lua_rawgeti(L, walk.pending, walk.pending_count);
        lua_pushnil(L);
        lua_rawseti(L, walk.pending, walk.pending_count--);
        follow(&walk, lua_gettop(L));
        lua_settop(L, walk.pending);
    }
    if (walk.left && !walk.budget) each_root(L, candidates, held);
    lua_settop(L, top);
}
