/* table.insert, table.remove and table.move of sites. They work as the library's own, but look at the clock: a table may claim any length, by __len or by a few elements far
 * apart, and the library would then move elements for years without executing an instruction that the count hook sees (L5).
 *
 * Owner thread: the session's. */
#include "vm/libs.h"

#define MOVES_PER_LOOK 20000 /* elements moved between two looks at the clock, well below a millisecond */

enum { READS = 1, WRITES = 2, COUNTS = 4 };

/* Something that can be used as a list in these ways: a table, or what has the metamethods. [-0, +0, e] */
static LS_RAISES void check_list(lua_State *L, int arg, int uses)
{
    static const struct { int use; const char *event; } needed[] = {{READS, "__index"}, {WRITES, "__newindex"}, {COUNTS, "__len"}};
    if (lua_istable(L, arg))
        return;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if ((uses & needed[i].use) && luaL_getmetafield(L, arg, needed[i].event) == LUA_TNIL)
            luaL_checktype(L, arg, LUA_TTABLE); /* raises */
        else if (uses & needed[i].use)
            lua_pop(L, 1);
}

LS_RAISES lua_Integer ls__list_length(lua_State *L, int arg)
{
    check_list(L, arg, READS | WRITES | COUNTS);
    return luaL_len(L, arg);
}

/* [-0, +0, e] to[into] = from[at] */
static LS_RAISES void move_one(lua_State *L, int from, lua_Integer at, int to, lua_Integer into, unsigned *moved)
{
    LS_LTOP(L);
    if (++*moved % MOVES_PER_LOOK == 0)
        ls__budget_check(L);
    lua_geti(L, from, at);
    lua_seti(L, to, into);
    LS_LTOP_CHECK(L, 0);
}

LS_RAISES int l_table_insert(lua_State *L)
{
    lua_Unsigned end = (lua_Unsigned)ls__list_length(L, 1) + 1;
    unsigned moved = 0;
    lua_Integer at = (lua_Integer)end;
    switch (lua_gettop(L)) {
    case 2:
        break;
    case 3:
        at = luaL_checkinteger(L, 2);
        luaL_argcheck(L, (lua_Unsigned)at - 1 < end, 2, "position out of bounds");
        for (lua_Integer i = (lua_Integer)end; i > at; i--)
            move_one(L, 1, i - 1, 1, i, &moved);
        break;
    default:
        return luaL_error(L, "wrong number of arguments to 'insert'");
    }
    lua_seti(L, 1, at);
    return 0;
}

/* [-0, +1, e] table.remove(list [, position]) */
LS_RAISES int l_table_remove(lua_State *L)
{
    lua_Integer count = ls__list_length(L, 1), at = luaL_optinteger(L, 2, count);
    unsigned moved = 0;
    /* One behind the end may be named as well, and where the list is empty also 0. */
    luaL_argcheck(L, (lua_Unsigned)at - 1 <= (lua_Unsigned)count || at == count, 2, "position out of bounds");
    lua_geti(L, 1, at);
    for (; at < count; at++)
        move_one(L, 1, at + 1, 1, at, &moved);
    lua_pushnil(L);
    lua_seti(L, 1, at);
    return 1;
}

/* [-0, +1, e] table.move(list, first, last, into [, to]) */
LS_RAISES int l_table_move(lua_State *L)
{
    lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3), into = luaL_checkinteger(L, 4);
    int to = lua_isnoneornil(L, 5) ? 1 : 5;
    unsigned moved = 0;
    check_list(L, 1, READS);
    check_list(L, to, WRITES);
    if (last >= first) {
        luaL_argcheck(L, first > 0 || last < LUA_MAXINTEGER + first, 3, "too many elements to move");
        lua_Integer count = last - first + 1;
        luaL_argcheck(L, into <= LUA_MAXINTEGER - count + 1, 4, "destination wrap around");
        bool forward = into > last || into <= first || (to != 1 && !lua_compare(L, 1, to, LUA_OPEQ));
        for (lua_Integer i = 0; i < count; i++) {
            lua_Integer step = forward ? i : count - 1 - i;
            move_one(L, 1, first + step, to, into + step, &moved);
        }
    }
    lua_pushvalue(L, to);
    return 1;
}
