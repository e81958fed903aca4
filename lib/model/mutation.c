/* The mutation queue (LuaSession card: mutationQueue, processMutationQueue). Rules L79, L85, L88, L95 to L103, R18.
 *
 * Owner thread: the session's. Refuses to: fail; errors of `mutate` are reported and their instances kept for the next
 * load (L100). */
#include "model/prototype.h"

#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/log.h"
#include "model/module.h"
#include "model/snapshot.h"
#include "model/undo.h"

#define MAX_MUTATIONS 1000 /* in one pass (L101) */

static void drop_mutation(struct ls_session *session, size_t at)
{
    ls__ref_drop(session, &session->model->queue[at].removed);
    ls__ref_drop(session, &session->model->queue[at].retry);
    memmove(session->model->queue + at, session->model->queue + at + 1,
            (session->model->queue_count - at - 1) * sizeof *session->model->queue);
    session->model->queue_count--;
}

/* Add the mutation, with the table of removed fields that is on top. [-1, +0, m] @return its place */
static LS_RAISES size_t add_mutation(struct ls_session *session, lua_State *L, struct ls_mutation mutation)
{
    LS_LTOP(L);
    if (!LS_RESERVE(session->model->queue, session->model->queue_count + 1, session->model->queue_cap))
        ls__lno_memory(L, "queueing a mutation");
    mutation.removed = ls__ref_take(session, L);
    session->model->queue[session->model->queue_count] = mutation;
    LS_LTOP_CHECK(L, -1);
    return session->model->queue_count++;
}

LS_RAISES void ls__mutation_queue(struct ls_session *session, lua_State *L, uint32_t id)
{
    for (size_t i = 0; i < session->model->queue_count; i++) {
        if (session->model->queue[i].id != id || session->model->queue[i].retry != LUA_NOREF) continue;
        /* Merged: the position of the first, all removed keys. Those declared again are left out when the mutation is
         * processed. */
        ls__ref_push(session, L, session->model->queue[i].removed);
        ls__undo_mutation(session, L, session->model->queue[i].number, lua_gettop(L));
        for (lua_pushnil(L); lua_next(L, -3); lua_pop(L, 1))
            ls__raw_set(L, lua_gettop(L) - 2, lua_gettop(L) - 1, lua_gettop(L));
        lua_pop(L, 2);
        return;
    }
    uint64_t number = ++session->model->mutation_number;
    ls__undo_mutation(session, L, number, 0);
    const struct ls_module *module = ls__module_current(session);
    add_mutation(
        session, L,
        (struct ls_mutation){.id = id, .number = number, .serial = module ? module->serial : 0, .retry = LUA_NOREF});
}

/* Mutations that the next run would process? Those that wait by L100 do not count. */
static bool mutations_due(const struct ls_session *session)
{
    for (size_t i = 0; i < session->model->queue_count; i++)
        if (!session->model->queue[i].waiting) return true;
    return false;
}

void ls__mutations_wake(struct ls_session *session, uint32_t id)
{
    for (size_t i = 0; i < session->model->queue_count; i++)
        if (session->model->queue[i].id == id) session->model->queue[i].waiting = false;
}

void ls__mutations_sweep(struct ls_session *session)
{
    for (size_t i = session->model->undo_frames ? 0 : session->model->queue_count; i-- > 0;)
        if (!ls__proto_at(session, session->model->queue[i].id)) drop_mutation(session, i);
}

void ls__mutation_drop(struct ls_session *session, uint64_t number)
{
    for (size_t i = session->model->queue_count; i-- > 0;)
        if (session->model->queue[i].number == number) drop_mutation(session, i);
}

void ls__mutations_release(struct ls_session *session)
{
    while (session->model->queue_count)
        drop_mutation(session, session->model->queue_count - 1);
    ls_free(session->model->queue);
    session->model->queue = NULL;
    session->model->queue_cap = 0;
}

/* --- the pass --- */

/* Stack of run_pass. DONE: id and removed fields of each processed mutation. MUTATED: instance → true, false if its
 * mutate failed. */
enum { DONE = 1, MUTATED, REMOVED, RETRY, INSTANCES, FAILED, INSTANCE };

/* Does the prototype `id` inherit from the table at `base` through registered or other metatables? [-0, +0, -] */
static bool inherits(struct ls_session *session, lua_State *L, uint32_t id, const void *base)
{
    LS_LTOP(L);
    int top = lua_gettop(L);
    ls__ref_push(session, L, session->model->protos[id - 1]->table);
    bool found = false;
    for (int hops = 0; hops < 100 && !found && lua_getmetatable(L, -1); hops++) {
        found = lua_topointer(L, -1) == base;
        lua_replace(L, top + 1);
    }
    lua_settop(L, top);
    LS_LTOP_CHECK(L, 0);
    return found;
}

/* [-0, +1, m] live instances of the prototype and of those that inherit from it (L97) */
static LS_RAISES void push_affected(struct ls_session *session, lua_State *L, uint32_t id)
{
    LS_LTOP(L);
    ls__ref_push(session, L, session->model->protos[id - 1]->table);
    const void *base = lua_topointer(L, -1);
    lua_pop(L, 1);
    uint32_t *ids = lua_newuserdatauv(L, session->model->proto_count * sizeof *ids, 0);
    size_t count = 0;
    for (uint32_t i = 1; i <= session->model->proto_count; i++)
        if (session->model->protos[i - 1] && (i == id || inherits(session, L, i, base))) ids[count++] = i;
    ls__instances_push(session, L, ids, count);
    lua_remove(L, -2);
    LS_LTOP_CHECK(L, 1);
}

/* [-1, +0, e] argument: the instance */
static LS_RAISES int call_mutate(lua_State *L)
{
    if (lua_getfield(L, 1, "mutate") == LUA_TFUNCTION) {
        lua_pushvalue(L, 1);
        lua_call(L, 1, 0);
    }
    return 0;
}

/* The limits count for each mutate (H41): one that has run out of time must not take the others of its pass with it. A
 * pass inside an entry of site code shares that entry's budget, and an interruption is meant for all. */
static void renew_budget(struct ls_session *session)
{
    if (session->vm.depth != 1) return;
    if (session->vm.stop == LS_STOP_TIME) {
        session->vm.stop = LS_STOP_NONE;
        ls__hook_set(session->vm.main);
    }
    ls__rearm(session);
}

/* [-0, +0, m] call mutate once a pass (L98). @return false if it failed, now or before in this pass */
static LS_RAISES bool mutate_once(struct ls_session *session, lua_State *L, uint32_t id)
{
    lua_pushvalue(L, INSTANCE);
    if (lua_rawget(L, MUTATED) != LUA_TNIL) {
        bool fine = lua_toboolean(L, -1);
        lua_pop(L, 1);
        return fine;
    }
    lua_pop(L, 1);
    renew_budget(session);
    lua_pushcfunction(L, call_mutate);
    lua_pushvalue(L, INSTANCE);
    bool fine = ls__lcall_own(session, 1, 0, &session->vm.raised) == 0;
    if (!fine) {
        const struct ls_proto *proto = ls__proto_at(session, id);
        char where[200];
        snprintf(where, sizeof where, "mutate of %s", proto ? proto->name : "a removed prototype");
        ls__report(session, where, &session->vm.raised);
    }
    session->model->migrated += fine;
    lua_pushvalue(L, INSTANCE);
    lua_pushboolean(L, fine);
    lua_rawset(L, MUTATED);
    return fine;
}

/* Raw removal of the mutation's keys (L99), but for those that have been declared again: they may have moved from a
 * prototype to its base, or a derived prototype may have them too, and then what the instance holds is no left-over.
 * What goes is set aside. [-0, +0, m] */
static LS_RAISES void clear_removed(struct ls_session *session, lua_State *L, const struct ls_mutation *mutation)
{
    LS_LTOP(L);
    luaL_checkstack(L, 12, NULL);
    for (lua_pushnil(L); lua_next(L, REMOVED); lua_pop(L, 1)) {
        const char *field = lua_tostring(L, -2);
        if (ls__instance_declares(session, L, INSTANCE, 0, field)) continue;
        ls__aside_keep(session, L, mutation, INSTANCE, field);
        lua_pushvalue(L, -2);
        lua_pushnil(L);
        lua_rawset(L, INSTANCE);
    }
    LS_LTOP_CHECK(L, 0);
}

/* [-0, +0, m] the mutation comes back for the instances of FAILED, to wait for the next load (L100) */
static LS_RAISES void keep_failed(struct ls_session *session, lua_State *L, const struct ls_mutation *tried)
{
    if (lua_isnil(L, FAILED) || !ls__proto_at(session, tried->id)) return;
    lua_pushvalue(L, REMOVED);
    size_t at = add_mutation(
        session, L,
        (struct ls_mutation){.id = tried->id, .serial = tried->serial, .waiting = true, .retry = LUA_NOREF});
    lua_pushvalue(L, FAILED);
    int retry = ls__ref_take(session, L);
    session->model->queue[at].retry = retry;
}

/* [-0, +0, m] FAILED[INSTANCE] = true, a set with weak keys made on first need */
static LS_RAISES void note_failed(lua_State *L)
{
    LS_LTOP(L);
    if (lua_isnil(L, FAILED)) {
        ls__weak_table(L, NULL);
        lua_replace(L, FAILED);
    }
    lua_pushvalue(L, INSTANCE);
    lua_pushboolean(L, 1);
    lua_rawset(L, FAILED);
    LS_LTOP_CHECK(L, 0);
}

/* Take the first mutation that does not wait: its tables go to REMOVED and RETRY, the rest to *mutation. @return false:
 * none left [-n, +(2|0), -] */
static bool take_mutation(struct ls_session *session, lua_State *L, struct ls_mutation *mutation)
{
    for (size_t i = 0; i < session->model->queue_count; i++) {
        if (session->model->queue[i].waiting) continue;
        *mutation = session->model->queue[i];
        lua_settop(L, MUTATED);
        ls__ref_push(session, L, mutation->removed);
        ls__ref_push(session, L, mutation->retry);
        drop_mutation(session, i);
        return true;
    }
    return false;
}

/* [-0, +2, e] the mutation whose tables are at REMOVED and RETRY; INSTANCES and FAILED stay */
static LS_RAISES void process_mutation(struct ls_session *session, lua_State *L, const struct ls_mutation *mutation)
{
    LS_LTOP(L);
    uint32_t id = mutation->id;
    ls__aside_restore(session, L, mutation);
    push_affected(session, L, id);
    lua_pushnil(L); /* FAILED */
    lua_Integer count = (lua_Integer)lua_rawlen(L, INSTANCES);
    for (lua_Integer i = 1; i <= count; i++) {
        lua_settop(L, FAILED);
        lua_rawgeti(L, INSTANCES, i);
        if (lua_istable(L, RETRY)) {
            lua_pushvalue(L, INSTANCE);
            bool due = lua_rawget(L, RETRY) != LUA_TNIL;
            lua_pop(L, 1);
            if (!due) continue;
        }
        if (mutate_once(session, L, id))
            clear_removed(session, L, mutation);
        else
            note_failed(L);
    }
    lua_settop(L, FAILED);
    ls__aside_tell(session);
    keep_failed(session, L, mutation);
    lua_Integer done = (lua_Integer)lua_rawlen(L, DONE);
    lua_pushinteger(L, id);
    lua_rawseti(L, DONE, done + 1);
    lua_pushvalue(L, REMOVED);
    lua_rawseti(L, DONE, done + 2);
    LS_LTOP_CHECK(L, 2);
}

/* The defaults of removed fields leave the prototypes at the end, so that mutate could read them (L85). [-n, +0, m] all
 * above MUTATED */
static LS_RAISES void take_off_defaults(struct ls_session *session, lua_State *L)
{
    lua_settop(L, MUTATED);
    for (lua_Integer i = 1; lua_rawgeti(L, DONE, i) == LUA_TNUMBER; i += 2, lua_settop(L, MUTATED)) {
        const struct ls_proto *proto = ls__proto_at(session, (uint32_t)lua_tointeger(L, -1));
        if (!proto) continue;
        lua_rawgeti(L, DONE, i + 1);            /* 4: removed */
        ls__ref_push(session, L, proto->table); /* 5 */
        for (lua_pushnil(L); lua_next(L, 4); lua_settop(L, 6)) {
            const char *key = lua_tostring(L, 6);
            if (ls__proto_declares(session, L, proto, key)) continue;
            lua_pushvalue(L, 6);
            if (lua_rawget(L, 5) == LUA_TNIL) continue;
            if (!lua_rawequal(L, 7, 8)) {
                ls_log_session(
                    2, session->vm.id,
                    "'%s' is no longer a declared field of %s, but something else has been stored there: kept", key,
                    proto->name);
                continue;
            }
            lua_pushvalue(L, 6);
            lua_pushnil(L);
            lua_rawset(L, 5);
        }
    }
    lua_settop(L, MUTATED);
}

/* [-0, +0, e] */
static LS_RAISES int run_pass(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    lua_settop(L, 0);
    lua_newtable(L); /* DONE */
    lua_newtable(L); /* MUTATED */
    unsigned processed = 0;
    struct ls_mutation mutation;
    /* All of them before the first mutate, which may look at an instance with fields of several prototypes. */
    for (size_t i = 0; i < session->model->queue_count && session->model->aside_count > 0; i++) {
        mutation = session->model->queue[i];
        if (!mutation.waiting) ls__aside_restore(session, L, &mutation);
    }
    while (take_mutation(session, L, &mutation)) {
        if (++processed > MAX_MUTATIONS) {
            ls__mutations_release(session);
            take_off_defaults(session, L);
            return luaL_error(
                L, "the mutation queue has processed %d mutations in one pass; code called by mutate keeps adding some",
                MAX_MUTATIONS);
        }
        if (ls__proto_at(session, mutation.id)) process_mutation(session, L, &mutation);
    }
    take_off_defaults(session, L);
    return 0;
}

/* --- shared defaults that have changed (L79) --- */

/* [-n, +3, e] takes the whole stack for itself (L79) */
static LS_RAISES void check_defaults(struct ls_session *session, lua_State *L, struct ls_proto *proto)
{
    lua_settop(L, 0);
    ls__ref_push(session, L, proto->copies); /* 1 */
    ls__ref_push(session, L, proto->table);  /* 2 */
    ls__ref_push(session, L, proto->record); /* 3 */
    for (lua_pushnil(L); lua_next(L, 1); lua_settop(L, 4)) {
        lua_pushvalue(L, 4);
        lua_rawget(L, 2); /* 6: the value now */
        lua_pushvalue(L, 4);
        lua_rawget(L, 3); /* 7: the declared table */
        const char *field = lua_tostring(L, 4);
        lua_pushnil(L); /* 8: no identity to short-cut the comparison with the copy */
        if (!lua_rawequal(L, 6, 7) || ls_names_has(&proto->defaults_warned, field) || ls__declared_equal(L, 8, 5, 6) ||
            ls__instances_count(session, proto->id) < 2)
            continue;
        ls_names_add(&proto->defaults_warned, field);
        ls_log_session(
            0, session->vm.id,
            "warning: the table in field '%s' of prototype %s is shared by all its instances and has changed; "
            "make one in `new`: inst.%s = inst.%s or {}",
            field, proto->name, field, field);
    }
}

/* [-0, +0, e] */
static LS_RAISES int check_all_defaults(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    for (uint32_t i = 0; i < session->model->proto_count; i++)
        if (session->model->protos[i] && session->model->protos[i]->copies != LUA_NOREF)
            check_defaults(session, L, session->model->protos[i]);
    return 0;
}

void ls__mutations_run(struct ls_session *session)
{
    if (session->model->mutating) return;
    LS_ERR(err);
    ls__aside_sweep(session);
    if (mutations_due(session)) {
        session->model->mutating = true;
        if (ls__lrun(session, run_pass, NULL, 0, &err) != 0) ls__report(session, "mutation queue", &err);
        session->model->mutating = false;
    }
    if (session->vm.config.hot && ls__lrun(session, check_all_defaults, NULL, 0, &err) != 0)
        ls__report(session, "shared defaults", &err);
}

void ls_session_settle(struct ls_session *session)
{
    if (session->model->running_count == 0 && mutations_due(session)) ls__mutations_run(session);
}
