/* table.sort: a stable merge sort that accepts any comparison function (L137). The library's quicksort raises "invalid
 * order function" for comparisons that contradict themselves, of which older sites have many; here they only give some
 * order.
 *
 * The elements are sorted in a scratch table and written back at the end, so that an error in a comparison leaves the
 * list as it was.
 * Owner thread: the session's. */
#include "vm/libs.h"

/* Stack of ls__l_table_sort. */
enum { LIST = 1, LESS = 2, FROM = 3, INTO = 4 };

/* The length of LIST: of a table, or of what can be read, written and counted as one. [-0, +0, e] */
static LS_RAISES lua_Integer list_length(lua_State *L)
{
    static const char *const needed[] = {"__index", "__newindex", "__len"};
    for (size_t i = 0; i < sizeof needed / sizeof *needed && !lua_istable(L, LIST); i++) {
        if (luaL_getmetafield(L, LIST, needed[i]) == LUA_TNIL) luaL_checktype(L, LIST, LUA_TTABLE); /* raises */
        lua_pop(L, 1);
    }
    return luaL_len(L, LIST);
}

/* Comparing may take long without running Lua code: strings, and very many numbers. [-0, +0, e] */
static LS_RAISES void look(lua_State *L, lua_Integer step)
{
    if (step % 256 == 0) ls__budget_check(L);
}

/* Is the value on top less than the one below it? Neither is popped. [-0, +0, e] */
static LS_RAISES bool top_is_less(lua_State *L)
{
    if (lua_isnil(L, LESS)) return lua_compare(L, -1, -2, LUA_OPLT);
    lua_pushvalue(L, LESS);
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -4);
    lua_call(L, 2, 1);
    bool less = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return less;
}

/* [-0, +0, e] into[at…] = from[low..high] */
static LS_RAISES void copy_range(lua_State *L, int from, lua_Integer low, lua_Integer high, int into, lua_Integer at)
{
    LS_LTOP(L);
    for (; low <= high; low++, at++) {
        look(L, low);
        lua_rawgeti(L, from, low);
        lua_rawseti(L, into, at);
    }
    LS_LTOP_CHECK(L, 0);
}

/* [-0, +0, e] merge from[low..mid] and from[mid+1..high] into into[low..high]; ties take the left one */
static LS_RAISES void merge(lua_State *L, int from, int into, lua_Integer low, lua_Integer mid, lua_Integer high)
{
    lua_Integer left = low, right = mid + 1, out = low;
    if (right <= high) {
        lua_rawgeti(L, from, mid);
        lua_rawgeti(L, from, right);
        bool mixed = top_is_less(L);
        lua_pop(L, 2);
        if (!mixed) { /* already in order, the usual case for lists sorted before */
            copy_range(L, from, low, high, into, low);
            return;
        }
    }
    while (left <= mid && right <= high) {
        look(L, out);
        lua_rawgeti(L, from, left);
        lua_rawgeti(L, from, right);
        if (top_is_less(L)) {
            lua_rawseti(L, into, out++);
            lua_pop(L, 1);
            right++;
        } else {
            lua_pop(L, 1);
            lua_rawseti(L, into, out++);
            left++;
        }
    }
    copy_range(L, from, left, mid, into, out); /* of one of them nothing is left */
    copy_range(L, from, right, high, into, out);
}

LS_RAISES int ls__l_table_sort(lua_State *L)
{
    lua_Integer count = list_length(L);
    if (count < 2) return 0;
    luaL_argcheck(L, count < INT32_MAX, LIST, "array too big");
    if (!lua_isnoneornil(L, LESS)) luaL_checktype(L, LESS, LUA_TFUNCTION);
    lua_settop(L, 2);
    luaL_checkstack(L, 12, NULL);
    lua_createtable(L, (int)count, 0);
    lua_createtable(L, (int)count, 0);
    for (lua_Integer i = 1; i <= count; i++) {
        look(L, i);
        lua_geti(L, LIST, i);
        lua_rawseti(L, FROM, i);
    }
    int from = FROM, into = INTO;
    for (lua_Integer width = 1; width < count; width *= 2) {
        for (lua_Integer low = 1; low <= count; low += 2 * width) {
            lua_Integer mid = low + width - 1 < count ? low + width - 1 : count;
            lua_Integer high = low + 2 * width - 1 < count ? low + 2 * width - 1 : count;
            merge(L, from, into, low, mid, high);
        }
        int swap = from;
        from = into;
        into = swap;
    }
    for (lua_Integer i = 1; i <= count; i++) { /* without a look: half of it written back, elements would be lost */
        lua_rawgeti(L, from, i);
        lua_seti(L, LIST, i);
    }
    return 0;
}
