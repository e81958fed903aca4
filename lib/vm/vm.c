/* The life of a session's VM (LuaSession card: State): counting allocator with a limit, count hook with a deadline.
 *
 * Owner thread: the session's. Refuses to: know what globals it has (libs.c and the rooms above), or the host's threads. Rules: L1, L4, L5, P27. */
#include "vm/vm_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
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

/* --- time --- */

void ls__hook_set(lua_State *L, int count)
{
    lua_sethook(L, ls__hook, LUA_MASKCOUNT, count);
}

/* Is the entry over its time, or is it to be stopped? Sets session->stop. */
static void look_at_clock(struct ls_session *session)
{
    if (atomic_load_explicit(&session->interrupted, memory_order_relaxed)) {
        session->stop = LS_STOP_INTERRUPT;
        return;
    }
    if (session->config.time_limit_ms <= 0)
        return;
    int64_t now = ls_now_ns() - session->waited_ns;
    if (session->deadline_ns == 0)
        session->deadline_ns = now + ls_ms(session->config.time_limit_ms);
    else if (now >= session->deadline_ns)
        session->stop = LS_STOP_TIME;
}

void ls__stop_text(const struct ls_session *session, struct ls_err *err)
{
    if (session->stop == LS_STOP_INTERRUPT)
        ls_fail(err, LS_EINTERRUPTED, "interrupted");
    else
        ls_fail(err, LS_ELIMIT, "the time limit of %lld ms has been exceeded (--time-limit)", (long long)session->config.time_limit_ms);
}

/* End the entry: from here on every instruction raises, so that a pcall around the loop does not save it (L5). [-0, +0, e] */
static LS_RAISES void raise_stop(struct ls_session *session, lua_State *L, int level)
{
    LS_LTOP(L);
    if (session->graced && session->grace) {
        session->grace--;
        return;
    }
    ls__hook_stop(L);
    ls__hook_stop(session->main);
    luaL_where(L, level);
    struct ls_err err;
    ls__stop_text(session, &err);
    lua_pushstring(L, err.text);
    lua_concat(L, 2);
    lua_error(L);
    LS_LTOP_CHECK(L, 0);
}

/* [-0, +0, e] runs on whatever coroutine is executing */
LS_RAISES void ls__hook(lua_State *L, lua_Debug *ar)
{
    struct ls_session *session = ls__session_of(L);
    if (ar->event != LUA_HOOKCOUNT) {
        ls__user_hook(L, ar);
        return;
    }
    if (session->stop == LS_STOP_NONE)
        look_at_clock(session);
    if (session->stop == LS_STOP_NONE)
        ls__user_hook(L, ar);
    else
        raise_stop(session, L, 0); /* a hook has no level of its own: the function that was running */
}

/* [-0, +0, e] */
LS_RAISES void ls__hook_stopped(lua_State *L, lua_Debug *ar)
{
    struct ls_session *session = ls__session_of(L);
    (void)ar;
    if (session->stop == LS_STOP_NONE)
        look_at_clock(session);
    if (session->stop == LS_STOP_NONE)
        ls__user_hook_restore(L); /* this thread was stopped in an earlier entry and lives on, or a hook of site code has failed */
    else
        raise_stop(session, L, 0);
}

bool ls__stopped(struct ls_session *session)
{
    if (session->depth > 0 && session->stop == LS_STOP_NONE)
        look_at_clock(session);
    return session->stop != LS_STOP_NONE;
}

LS_RAISES void ls__budget_check(lua_State *L)
{
    LS_LTOP(L);
    struct ls_session *session = ls__session_of(L);
    if (session == NULL) {
        lua_gethook(L)(L, NULL); /* a state of no session: its own hook judges (site_config.c) */
        return;
    }
    if (ls__stopped(session))
        raise_stop(session, L, 1);
    LS_LTOP_CHECK(L, 0);
}

void ls_session_interrupt(struct ls_session *session)
{
    atomic_store_explicit(&session->interrupted, true, memory_order_relaxed);
}

/* --- opening --- */

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
    if (host)
        session->host = *host;
    session->site = config->site;
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
    ls__report_release(session);
    ls_buf_release(&session->trace);
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
