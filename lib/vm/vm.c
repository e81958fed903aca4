/* The Lua state of a session, from opening to closing (LuaSession card: State), and its allocator, which counts.
 *
 * Owner thread: the session's. Refuses to: know what globals it has (libs.c and the rooms above), or the host's threads. Rules: L1, L4, L5, P27. */
#include "vm/vm_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "vm/finalizers.h"
#include "vm/libs.h"

/* --- memory --- */

static void *allocate(void *ud, void *block, size_t old_size, size_t size)
{
    struct ls_session *session = ud;
    atomic_size_t *heap = &session->budget->heap;
    size_t had = block ? old_size : 0; /* without a block old_size is a kind of object */
    if (size == 0) {
        ls_budget_set(heap, ls_budget_get(heap) - had);
        free(block);
        return NULL;
    }
    if (size > had && !ls_budget_fits(session->budget, size - had, 0)) {
        session->memory_hit = true;
        return NULL;
    }
    void *moved = ls_rearray(block, size, 1);
    if (!moved)
        return size <= had ? block : NULL; /* Lua counts on shrinking to succeed */
    ls_budget_set(heap, ls_budget_get(heap) + size - had);
    return moved;
}

uint64_t ls_session_memory(const struct ls_session *session)
{
    return ls_budget_total(session->budget);
}

void ls_session_collect(struct ls_session *session)
{
    ls__enter(session);
    lua_gc(session->L, LUA_GCCOLLECT);
    ls__leave(session);
}

/* --- opening and closing --- */

/* [-0, +0, -] */
static int on_panic(lua_State *L)
{
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "no message";
    ls_log_session(0, ls_session_id(ls__session_of(L)), "Lua error outside of any protected call: %s", text);
    return 0; /* Lua aborts: a promise inside the program was broken */
}

static void init_refs(struct ls_session *session)
{
    int *const all[] = {
        &session->ref_session_key, &session->ref_session, &session->ref_ui, &session->ref_empty, &session->ref_loaded,
        &session->ref_proto_ids, &session->ref_instances, &session->ref_presenters, &session->ref_wrappers,
        &session->ref_app, &session->ref_variables, &session->ref_replaced, &session->ref_memory_text,
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        *all[i] = LUA_NOREF;
}

static void drop_refs(struct ls_session *session)
{
    int *const all[] = {
        &session->ref_session_key, &session->ref_session, &session->ref_ui, &session->ref_empty, &session->ref_loaded,
        &session->ref_proto_ids, &session->ref_instances, &session->ref_presenters, &session->ref_wrappers,
        &session->ref_app, &session->ref_variables, &session->ref_replaced, &session->ref_memory_text,
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ls__ref_drop(session, all[i]);
}

struct ls_session *ls__vm_new(const struct ls_session_config *config, const struct ls_session_host *host, struct ls_err *err)
{
    struct ls_session *session = ls_zalloc(sizeof *session);
    if (!session) {
        ls_fail(err, LS_ENOMEM, "not enough memory for a session");
        return NULL;
    }
    session->config = *config;
    ls_budget_init(&session->own_budget, config->memory_limit);
    session->budget = config->budget ? config->budget : &session->own_budget;
    session->trace.budget = session->error.budget = session->warning.budget = session->budget;
    session->trace.extra = session->error.extra = session->warning.extra = LS_BUDGET_SPARE; /* they are to say that the limit was reached */
    if (host)
        session->host = *host;
    session->site = config->site;
    session->inside = config->inside ? config->inside : &session->own_inside;
    session->chunks = config->chunks;
    init_refs(session);
    session->id = ls_strdup(config->vended_id ? config->vended_id : "");
    session->config.vended_id = session->id;
    session->main = session->L = session->id ? lua_newstate(allocate, session) : NULL;
    if (!session->main) {
        ls_fail(err, LS_ENOMEM, "not enough memory for the Lua state of a session");
        ls__vm_free(session);
        return NULL;
    }
    *(struct ls_session **)lua_getextraspace(session->main) = session;
    lua_atpanic(session->main, on_panic);
    lua_setwarnf(session->main, ls__warn, session);
    ls__hook_set(session->main, LS_HOOK_COUNT);
    return session;
}

void ls__vm_free(struct ls_session *session)
{
    if (session->main) {
        drop_refs(session);
        assert(session->refs == 0);
        ls__enter(session);
        lua_close(session->main);
        session->depth = 0;
    }
    if (session->id)
        ls_log_unfold(session->id);
    ls_buf_release(&session->trace);
    ls_err_release(&session->raised);
    ls_buf_release(&session->warning);
    ls_buf_release(&session->error);
    ls_free(session->id);
    ls_free(session);
}

const char *ls_session_id(const struct ls_session *session)
{
    return session->id;
}

const char *ls_session_last_error(const struct ls_session *session)
{
    return ls_buf_text(&session->error);
}
