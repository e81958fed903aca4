/* Lua makes a table longer and never shorter: what is numbered or keyed here is made anew where little of much room is
 * in use, so that what the variables of a page took is given back when they are gone.
 * Owner thread: the session's. Refuses to: move a slot or a name that is in use to another number. */
#include "resolver/resolver_internal.h"
#include "resolver/slots.h"

#define LONG 1024 /* places that a table may have to spare */

/* A table that was numbered further than `count`, anew. [-0, +0, m] @return was it too long */
static LS_RAISES bool cut_row(struct ls_resolver_state *rs, lua_State *L, enum ls__place place, uint32_t count)
{
    LS_LTOP(L);
    ls__at_push(rs, L, place);
    bool cut = lua_rawlen(L, -1) > (lua_Unsigned)count * 2 + LONG;
    if (cut) {
        lua_createtable(L, (int)count, 0);
        for (lua_Integer i = 1; i <= count; i++) {
            lua_rawgeti(L, -2, i);
            lua_rawseti(L, -2, i);
        }
        lua_rawseti(L, LUA_REGISTRYINDEX, rs->refs[place]);
    }
    lua_pop(L, 1);
    LS_LTOP_CHECK(L, 0);
    return cut;
}

/* Any other, anew with what it holds; `false` stands for nothing. [-0, +0, m] */
static LS_RAISES void cut_map(struct ls_resolver_state *rs, lua_State *L, enum ls__place place)
{
    LS_LTOP(L);
    ls__at_push(rs, L, place);
    int old = lua_gettop(L);
    lua_newtable(L);
    if (lua_getmetatable(L, old)) lua_setmetatable(L, -2);
    for (lua_pushnil(L); lua_next(L, old); lua_settop(L, old + 2)) {
        if (!lua_toboolean(L, -1)) continue;
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, old + 1);
    }
    lua_rawseti(L, LUA_REGISTRYINDEX, rs->refs[place]);
    lua_settop(L, old - 1);
    LS_LTOP_CHECK(L, 0);
}

/* Numbers behind the last one in use are no more; those before it are given out from the lowest. Allocates nothing.
 * [-0, +0, -] */
static void cut_slots(struct ls_resolver_state *rs, lua_State *L)
{
    LS_LTOP(L);
    uint32_t slot = rs->slot_count;
    ls__at_push(rs, L, LS_AT_VALUES);
    ls__at_push(rs, L, LS_AT_TYPES);
    rs->slot_count = rs->free_slot = 0;
    for (; slot; slot--, lua_pop(L, 1)) {
        lua_rawgeti(L, -1, slot);
        bool is_free = lua_isboolean(L, -1) && lua_toboolean(L, -1);
        if (!is_free && !rs->slot_count) rs->slot_count = slot;
        if (!is_free || !rs->slot_count) continue;
        lua_pushinteger(L, rs->free_slot);
        lua_rawseti(L, -4, slot);
        rs->free_slot = slot;
    }
    lua_pop(L, 2);
    LS_LTOP_CHECK(L, 0);
}

/* The same for the numbers of names. [-0, +0, -] */
static void cut_keys(struct ls_resolver_state *rs, lua_State *L)
{
    LS_LTOP(L);
    uint32_t key = rs->key_count;
    ls__at_push(rs, L, LS_AT_KEYS);
    rs->key_count = rs->free_key = 0;
    for (; key; key--, lua_pop(L, 1)) {
        bool is_free = lua_rawgeti(L, -1, key) != LUA_TSTRING;
        if (!is_free && !rs->key_count) rs->key_count = key;
        if (!is_free || !rs->key_count) continue;
        rs->key_uses[key - 1] = rs->free_key;
        rs->free_key = key;
    }
    lua_pop(L, 1);
    LS_LTOP_CHECK(L, 0);
    uint32_t *uses = rs->key_cap > rs->key_count * 2 + LONG
                         ? ls_budget_resize(rs->session->vm.budget, rs->key_uses, (rs->key_count + 1) * sizeof *uses, 0)
                         : NULL;
    if (uses) {
        rs->key_uses = uses;
        rs->key_cap = rs->key_count + 1;
    }
}

/* [-0, +0, -] are there few objects with an id, for so many that got one? */
static bool few_live(struct ls_resolver_state *rs, lua_State *L)
{
    uint32_t live = 0, many = rs->registered / 4;
    if (rs->registered < LONG) return false;
    ls__at_push(rs, L, LS_AT_IDS);
    for (lua_pushnil(L); live <= many && lua_next(L, -2); lua_pop(L, 1))
        live++;
    bool few = live <= many;
    lua_pop(L, few ? 1 : 2);
    rs->registered = few ? live : rs->registered;
    return few;
}

/* [-1, +1, m] was anything cut */
static LS_RAISES int l_cut(lua_State *L)
{
    struct ls_resolver_state *rs = lua_touserdata(L, 1);
    static const enum ls__place rows[] = {LS_AT_VALUES, LS_AT_TYPES, LS_AT_SNAPS, LS_AT_KEYS};
    static const enum ls__place maps[] = {LS_AT_NAMES,  LS_REF_KEYED, LS_REF_NAMED, LS_REF_ATTACHED,
                                          LS_REF_LOOSE, LS_AT_IDS,    LS_AT_OBJECTS};
    bool few = few_live(rs, L), cut = few;
    cut_slots(rs, L);
    cut_keys(rs, L);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cut |= cut_row(rs, L, rows[i], rows[i] == LS_AT_KEYS ? rs->key_count : rs->slot_count);
    for (size_t i = cut ? 0 : 7; i < (few ? 7 : 5); i++)
        cut_map(rs, L, maps[i]);
    if (cut && !rs->members_slot) cut_map(rs, L, LS_REF_MEMBERS);
    lua_pushboolean(L, cut);
    return 1;
}

bool ls__resolver_shrink(struct ls_session *session)
{
    struct ls_resolver_state *rs = session->resolver;
    LS_ERR(err);
    bool cut = false;
    if (rs && !rs->open && ls__lrun(session, l_cut, rs, 1, &err) == 0) {
        cut = lua_toboolean(session->vm.L, -1);
        lua_pop(session->vm.L, 1);
    }
    return cut;
}
