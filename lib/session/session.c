/* A session from opening to closing (LuaSession card: CreateLuaSession, Shutdown): the order in which the rooms from
 * vm/ to reload/ begin and end, and in which globals are made (L3).
 *
 * Owner thread: the session's. Refuses to: read main.lua (loader.c). Rules: L1, L7, P28. */
#include "session/session.h"

#include <string.h>

#include "model/globals.h"
#include "model/model_internal.h"
#include "reload/reload_state.h"
#include "resolver/slots.h"
#include "vm/libs.h"

/* [-1, +0, e] argument: the session */
static LS_RAISES int set_up(lua_State *L)
{
    struct ls_session *session = lua_touserdata(L, 1);
    lua_settop(L, 0);
    ls__open_registries(L);
    ls__open_memory_text(session, L);
    ls__open_libs(L);
    ls__open_require(L);
    ls__open_ui(L);
    ls__open_globals(L);
    ls__open_session_table(L);
    return 0;
}

struct ls_session *ls_session_open(const struct ls_session_config *config, const struct ls_session_host *host,
                                   struct ls_err *err)
{
    struct ls_session *session = ls__vm_new(config, host, err);
    if (!session) return NULL;
    /* Nothing made while opening is garbage, so the collector would only cost time. */
    lua_gc(session->vm.main, LUA_GCSTOP);
    if (ls__model_new(session, err) != 0 || ls__lrun(session, set_up, session, 0, err) != 0 ||
        ls__resolver_new(session, err) != 0 || ls__reload_new(session, err) != 0) {
        ls_session_close(session);
        return NULL;
    }
    lua_gc(session->vm.main, LUA_GCRESTART);
    return session;
}

void ls_session_close(struct ls_session *session)
{
    if (!session) return;
    assert(session->vm.depth == 0);
    session->vm.L = session->vm.main;
    atomic_store(&session->vm.interrupted, LS_INTERRUPT_NONE); /* dispose hooks run also in a session that was halted */
    if (session->model) ls__model_close(session);
    ls__reload_free(session);
    ls__resolver_free(session);
    ls__vm_close(session);
    ls__model_free(session); /* finalizers may have asked it until now */
    ls__vm_free(session);
}

/* Of garbage that is worth another collection: Lua halves its table of strings at most once in each. */
#define WORTH_ANOTHER ((size_t)64 << 10)

void ls_session_shrink(struct ls_session *session)
{
    size_t before;
    do {
        before = ls_budget_get(&session->vm.budget->heap);
        ls_session_collect(session);
    } while (ls__resolver_shrink(session) || ls_budget_get(&session->vm.budget->heap) + WORTH_ANOTHER < before);
}

struct ls_session *ls_session_get(struct ls_session *session, const char *vended_id)
{
    return session && strcmp(session->vm.id, vended_id) == 0 ? session : NULL;
}
