/* The window of tables that detection asks over and over (resolver_internal.h), and protected calls from it.
 * Owner thread: the session's. Rules: T5, T102, L4, L5. */
#include "resolver/resolver_internal.h"

#include <string.h>

/* Space for a path with a value a step, and for what a look-up needs above it. A session keeps the largest stack that
 * it has had for a long time, so that room for the longest path is made only for such a one. */
#define WINDOW_STACK (LS_WINDOW_SIZE + LS_WINDOW_STEPS + 48)

bool ls__window_room(struct ls_resolver_state *rs, uint32_t steps, struct ls_fault *fault)
{
    if (lua_checkstack(rs->open ? rs->L : rs->session->vm.L, WINDOW_STACK + (int)steps)) return true;
    ls_fault_set(fault, LS_FAULT_INTERNAL, "the Lua stack is full");
    return false;
}

int ls__window_make(struct ls_resolver_state *rs, struct ls_fault *fault)
{
    lua_State *L = rs->session->vm.L;
    if (!lua_checkstack(L, WINDOW_STACK)) return ls_fault_set(fault, LS_FAULT_INTERNAL, "the Lua stack is full");
    ls__enter(rs->session);
    rs->L = L;
    rs->base = lua_gettop(L);
    rs->open = true;
    for (int place = 1; place <= LS_WINDOW_REFS; place++)
        lua_rawgeti(L, LUA_REGISTRYINDEX, rs->refs[place]);
    lua_settop(L, rs->base + LS_WINDOW_SIZE);
    rs->cache_from = 0;
    return 1;
}

void ls__window_done(struct ls_resolver_state *rs, int opened)
{
    lua_settop(rs->L, rs->base + (opened ? 0 : LS_WINDOW_SIZE));
    if (!opened) return;
    rs->open = false;
    ls__leave(rs->session);
}

int ls__fault_from(struct ls_resolver_state *rs, enum ls_fault_kind kind, const char *where, const struct ls_err *err,
                   struct ls_fault *fault)
{
    const char *trace = strstr(ls_err_text(err), "\nstack traceback:");
    int len = trace ? (int)(trace - ls_err_text(err)) : (int)strlen(ls_err_text(err));
    ls__report(rs->session, where, err);
    return ls_fault_set(fault, kind, "%.*s", len, ls_err_text(err));
}

/* A stopped entry goes on raising until it ends (L5). Each computation of a pass is an entry of its own in this
 * respect: one runaway method must not take the others with it (T102). Where a save waits, all do (R17). */
void ls__resolver_relieve(struct ls_session *session)
{
    if (session->vm.stop == LS_STOP_NONE || session->vm.stop == LS_STOP_SAVE || session->vm.depth != 1) return;
    ls__leave(session);
    ls__enter(session);
}

int ls__resolver_call(struct ls_resolver_state *rs, int nargs, int nresults, enum ls_fault_kind kind,
                      struct ls_fault *fault)
{
    int rc = ls__resolver_run(rs, nargs, nresults, kind, fault);
    rs->session->vm.epoch++; /* what ran may have changed anything */
    return rc;
}

int ls__resolver_run(struct ls_resolver_state *rs, int nargs, int nresults, enum ls_fault_kind kind,
                     struct ls_fault *fault)
{
    struct ls_session *session = rs->session;
    lua_State *L = rs->L;
    int base = rs->base;
    rs->open = false;
    ls__rearm(session);
    int status = lua_pcall(L, nargs, nresults, base + LS_AT_HANDLER);
    ls__window_back(rs, L, base);
    rs->did |= LS_CHECK_RAN;
    if (status == LUA_OK) return 0;
    LS_ERR(err);
    ls__lfail(session, status, &err);
    /* asked the clock since ls__rearm: it is this call that took too long */
    rs->over = session->vm.stop == LS_STOP_TIME && session->vm.deadline_ns != 0;
    ls__resolver_relieve(session);
    return ls__fault_from(rs, kind, "path", &err, fault);
}

int ls__resolver_job(struct ls_resolver_state *rs, lua_CFunction fn, void *job, struct ls_fault *fault)
{
    int opened = ls__window_open(rs, fault);
    if (opened < 0) return -1;
    lua_pushcfunction(rs->L, fn);
    lua_pushlightuserdata(rs->L, job);
    int rc = ls__resolver_run(rs, 1, 0, LS_FAULT_INTERNAL, fault);
    ls__window_done(rs, opened);
    return rc;
}
