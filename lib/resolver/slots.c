/* Slots: the Lua values that variables remember. Owner thread: the session's. Rules: T7, L4. */
#include "resolver/slots.h"

#include "resolver/resolver_internal.h"

LS_RAISES ls_slot ls__slot_reserve(struct ls_resolver_state *rs, lua_State *L)
{
    static const enum ls__place places[] = {LS_AT_TYPES, LS_AT_SNAPS, LS_AT_VALUES};
    ls_slot slot = rs->free_slot;
    if (slot) {
        ls__at_push(rs, L, LS_AT_VALUES);
        lua_rawgeti(L, -1, slot);
        rs->free_slot = (uint32_t)lua_tointeger(L, -1);
        lua_pushboolean(L, 0);
        lua_rawseti(L, -3, slot);
        ls__at_push(rs, L, LS_AT_TYPES);
        lua_pushboolean(L, 0);
        lua_rawseti(L, -2, slot);
        lua_pop(L, 3);
        return slot;
    }
    slot = rs->slot_count + 1;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        ls__at_push(rs, L, places[i]);
        lua_pushboolean(L, 0);
        lua_rawseti(L, -2, slot);
        lua_pop(L, 1);
    }
    rs->slot_count = slot;
    return slot;
}

/* Every place of a slot holds something already, so this allocates nothing. */
void ls__slot_free(struct ls_session *session, ls_slot slot)
{
    struct ls_resolver_state *rs = session->resolver;
    lua_State *L = session->vm.L;
    if (!slot || !rs || !lua_checkstack(L, 8)) return;
    rs->cache_from = 0;
    ls__slot_renew(rs, L, slot);
    ls__keyed_drop(rs, L, slot);
    for (enum ls__place place = LS_AT_TYPES; place <= LS_AT_SNAPS; place++) {
        ls__at_push(rs, L, place);
        lua_pushboolean(L, place == LS_AT_TYPES);
        lua_rawseti(L, -2, slot);
        lua_pop(L, 1);
    }
    ls__at_push(rs, L, LS_AT_VALUES);
    lua_pushinteger(L, rs->free_slot);
    lua_rawseti(L, -2, slot);
    lua_pop(L, 1);
    rs->free_slot = slot;
}

void ls__slot_push(struct ls_session *session, lua_State *L, ls_slot slot)
{
    if (!slot) {
        lua_pushnil(L);
        return;
    }
    ls__at_push(session->resolver, L, LS_AT_VALUES);
    ls__slot_look(session->resolver, L, slot, lua_rawgeti(L, -1, slot));
    lua_remove(L, -2);
}

LS_RAISES ls_slot ls__slot_take(struct ls_session *session, lua_State *L)
{
    struct ls_resolver_state *rs = session->resolver;
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return 0;
    }
    luaL_checkstack(L, 3, NULL);
    ls_slot slot = ls__slot_reserve(rs, L);
    ls__at_push(rs, L, LS_AT_VALUES);
    lua_insert(L, -2);
    lua_rawseti(L, -2, slot);
    lua_pop(L, 1);
    return slot;
}

/* [-2, +0, m] value, where its slot goes */
static LS_RAISES int l_keep(lua_State *L)
{
    ls_slot *slot = lua_touserdata(L, 2);
    lua_settop(L, 1);
    *slot = ls__slot_take(ls__session_of(L), L);
    return 0;
}

int ls__slot_keep(struct ls_resolver_state *rs, ls_slot *slot, struct ls_fault *fault)
{
    lua_pushcfunction(rs->L, l_keep);
    lua_insert(rs->L, -2);
    lua_pushlightuserdata(rs->L, slot);
    return ls__resolver_run(rs, 2, 0, LS_FAULT_INTERNAL, fault);
}
