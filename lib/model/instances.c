/* Instances (LuaSession card: create, instanceRegistry). Rules L90 to L94, L97.
 *
 * One table with weak keys for the whole session: instance → prototype id in the upper bits, number of its first create
 * in the lower ones. So an instance is tracked once, moving it to another prototype is one write, dead ones vanish by
 * themselves, and visiting sorts by one number. Owner thread: the session's. */
#include "model/prototype.h"

#include <stdlib.h>

#include "model/globals.h"
#include "vm/vm_internal.h"

#define SEQ_MASK (((lua_Integer)1 << LS_INSTANCE_SEQ_BITS) - 1)

/* [-0, +1, e] create(self, proto [, inst]) */
LS_RAISES int ls__l_session_create(lua_State *L)
{
    struct ls_session *session = ls__open_session_of(L);
    if (!lua_istable(L, 2)) ls__ltype(L, 2, "create", "table");
    if (lua_isnoneornil(L, 3)) {
        lua_settop(L, 2);
        lua_newtable(L);
    } else if (!lua_istable(L, 3)) {
        ls__ltype(L, 3, "create", "table or nil");
    }
    lua_settop(L, 3);
    lua_pushvalue(L, 2);
    ls__set_metatable(L, 3);
    const struct ls_proto *proto = ls__proto_of(session, L, 2);
    if (!proto) return 1; /* the metatable is all that an unregistered prototype gives (L92) */
    ls__ref_push(session, L, session->model->ref_instances);
    lua_pushvalue(L, 3);
    lua_Integer old = lua_rawget(L, 4) == LUA_TNUMBER ? lua_tointeger(L, -1) : 0;
    lua_Integer packed = (lua_Integer)proto->id << LS_INSTANCE_SEQ_BITS |
                         (old ? old & SEQ_MASK : (lua_Integer)++session->model->instance_seq);
    if (packed != old) {
        lua_pushvalue(L, 3);
        lua_pushinteger(L, packed);
        lua_rawset(L, 4);
    }
    lua_settop(L, 3);
    return 1;
}

static bool is_wanted(lua_Integer packed, const uint32_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (packed >> LS_INSTANCE_SEQ_BITS == (lua_Integer)ids[i]) return true;
    return false;
}

static int compare_sequence(const void *a, const void *b)
{
    lua_Integer left = *(const lua_Integer *)a, right = *(const lua_Integer *)b;
    return (left > right) - (left < right);
}

LS_RAISES void ls__instances_push(struct ls_session *session, lua_State *L, const uint32_t *ids, size_t count)
{
    LS_LTOP(L);
    luaL_checkstack(L, 8, NULL);
    ls__ref_push(session, L, session->model->ref_instances);
    int all = lua_gettop(L);
    lua_newtable(L); /* sequence → instance, sparse */
    int sparse = all + 1;
    size_t found = 0;
    for (lua_pushnil(L); lua_next(L, all); lua_pop(L, 1)) {
        lua_Integer packed = lua_tointeger(L, -1);
        if (!is_wanted(packed, ids, count)) continue;
        lua_pushvalue(L, -2);
        lua_rawseti(L, sparse, packed & SEQ_MASK);
        found++;
    }
    lua_Integer *order = lua_newuserdatauv(L, found * sizeof *order, 0);
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, sparse); lua_pop(L, 1))
        order[n++] = lua_tointeger(L, -2);
    qsort(order, n, sizeof *order, compare_sequence);
    lua_createtable(L, n < INT32_MAX ? (int)n : 0, 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, sparse, order[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_replace(L, all);
    lua_settop(L, all);
    LS_LTOP_CHECK(L, 1);
}

size_t ls__instances_count(struct ls_session *session, uint32_t id)
{
    lua_State *L = session->vm.L;
    if (!lua_checkstack(L, 4)) return 0;
    size_t count = 0;
    ls__ref_push(session, L, session->model->ref_instances);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        count += is_wanted(lua_tointeger(L, -1), &id, 1);
    lua_pop(L, 1);
    return count;
}
