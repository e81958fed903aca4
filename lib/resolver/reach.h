/* What a session reaches, looked through to put what has taken the place of something where that stood.
 * Owner thread: the session's. Nothing in here calls a metamethod. Rule: H49. */
#ifndef LS_RESOLVER_REACH_H
#define LS_RESOLVER_REACH_H

#include "vm/vm_internal.h"

/* One such walk. The caller releases what it owns, also after a raise. */
struct ls_reach {
    struct ls_session *session;
    lua_State *L;
    int kind;                /* LUA_TTABLE: all is entered, LUA_TFUNCTION: tables and what is their metatable */
    int replaced;            /* index of a table: what is gone, of that kind → what takes its place */
    int queue;               /* index of an array: what waits */
    lua_Integer first, last; /* of it */
    lua_Integer looked;      /* keys */
    lua_Integer most;        /* keys that are looked at; 0 = all */
    bool cut;                /* there were more */
    const char *key;         /* of the file whose functions they are */
    struct ls_idmap *seen;   /* owned: addresses */
    /* owned: hash of what is gone, where it was met → that of what takes its place; NULL = that is not noted */
    struct ls_idmap *followed;
};

/** The value on top is to be looked through, once, if it is of what the walk enters. [-1, +0, m] */
LS_RAISES void ls__reach(struct ls_reach *reach);
/** Look through all that waits. [-0, +0, e] */
LS_RAISES void ls__reach_all(struct ls_reach *reach);
/** Is the value on top gone? Then what takes its place replaces it on the stack. [-1, +1, m] */
LS_RAISES bool ls__reach_replaced(struct ls_reach *reach);

/** The key of a table or upvalue in a map of addresses. [-0, +0, -] */
static inline int64_t ls__address(lua_State *L, int idx)
{
    return (int64_t)(intptr_t)lua_topointer(L, idx);
}
/** Write the value at `value` (nil too) under the key at `key` of the table at `container`, or into the upvalue of that
 * number of the function there; what was there goes into the undo log of the load, if there is one. [-0, +0, m] */
LS_RAISES void ls__put(struct ls_session *session, lua_State *L, int container, int key, int value);

#endif
