/* References into the registry, counted, so that a lost one is noticed when the state closes. The only file that calls
 * luaL_ref.
 * Owner thread: the session's. */
#include "vm/vm_internal.h"

LS_RAISES int ls__ref_take(struct ls_session *session, lua_State *L)
{
    LS_LTOP(L);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    if (ref != LUA_REFNIL) session->vm.refs++;
    LS_LTOP_CHECK(L, -1);
    return ref;
}

int ls__ref_push(struct ls_session *session, lua_State *L, int ref)
{
    (void)session;
    if (ref < 0) {
        lua_pushnil(L);
        return LUA_TNIL;
    }
    return lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
}

void ls__ref_drop(struct ls_session *session, int *ref)
{
    if (*ref >= 0) {
        /* The slot exists already, so putting it on the free list allocates nothing and cannot raise. */
        luaL_unref(session->vm.L, LUA_REGISTRYINDEX, *ref);
        assert(session->vm.refs > 0);
        session->vm.refs--;
    }
    *ref = LUA_NOREF;
}
