/* What is kept of a session while one chunk runs, the ledger of its load: enough to put back what Lua code has written
 * raw, and to tell what it has assigned.
 *
 * Loads are a stack, since a chunk may load other modules; each is a frame of the undo log (model/undo.h).
 *
 * What a ledger holds is proportional to the prototypes, globals and registrations of the session, one level deep;
 * never to its heap. Owner thread: the session's. Rules: H49, H59. */
#include "reload/reload_state.h"

#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/text.h"
#include "model/model_internal.h"
#include "model/prototype.h"
#include "model/snapshot.h"
#include "reload/rule.h"
#include "resolver/slots.h"
#include "vm/chunks.h"

struct take {
    struct ls_session *session;
    const char *key;
    const struct ls_load *load;
    int snapshot; /* out: ref */
    struct ls_walk walk;
    struct ls_comparison *comparison; /* a use, released by the caller */
};

/* [-0, +0, m] the table behind a reference, if it is one, goes into the snapshot */
static LS_RAISES void add_ref(struct ls_session *session, lua_State *L, int snapshot, int ref)
{
    if (ls__ref_push(session, L, ref) == LUA_TTABLE) ls__snapshot_add(L, snapshot, -1);
    lua_pop(L, 1);
}

/* What only a transaction needs, into the snapshot at 1. [-0, +0, m] */
static LS_RAISES void take_full(struct take *take, lua_State *L)
{
    struct ls_session *session = take->session;
    const struct ls_module *module = ls__module_find(session, take->key);
    const int refs[] = {session->vm.ref_session,      session->vm.ref_ui,
                        session->model->ref_loaded,   session->model->ref_presenters,
                        session->model->ref_wrappers, module ? module->keep : LUA_NOREF};
    for (size_t i = 0; i < sizeof refs / sizeof *refs; i++)
        add_ref(session, L, 1, refs[i]);
    if (ls__push_field(session, L, session->model->ref_loaded, take->key) == LUA_TTABLE) ls__snapshot_add(L, 1, 2);
    lua_settop(L, 1);
    for (uint32_t id = 1; id <= session->model->proto_count; id++) {
        const struct ls_proto *proto = ls__proto_at(session, id);
        if (proto) add_ref(session, L, 1, proto->table);
    }
    if (!take->load->first) {
        struct ls_text *before = NULL;
        if (module && ls__ref_push(session, L, module->record) == LUA_TUSERDATA)
            before = ((const struct ls_record *)lua_touserdata(L, -1))->text;
        lua_settop(L, 1);
        take->comparison = ls_text_compare(before, take->load->text);
        if (take->comparison) ls__spaces_protect(session, L, 1, ls_comparison_places(take->comparison));
    }
    if (!take->load->first && module && module->record == LUA_NOREF) {
        ls__push_holders(session, L, take->key, &take->walk);
        ls__record_holders(session, L, take->key);
    }
}

/* [-1, +0, m] */
static LS_RAISES int l_take(lua_State *L)
{
    struct take *take = lua_touserdata(L, 1);
    lua_settop(L, 0);
    ls__snapshot_new(L);
    lua_pushglobaltable(L);
    ls__snapshot_add(L, 1, 2);
    lua_settop(L, 1);
    if (take->load->full) take_full(take, L);
    lua_pushvalue(L, 1);
    ls__undo_snapshot(take->session, L, take->load->full);
    take->snapshot = ls__ref_take(take->session, L);
    return 0;
}

/* The texts that all sessions share. */
static struct ls_texts *texts_of(const struct ls_session *session)
{
    return session->reload->texts ? session->reload->texts : ls__chunks_texts(session->vm.chunks);
}

int ls__load_push(struct ls_session *session, const char *key, const char *text, size_t len, bool first,
                  struct ls_err *err)
{
    struct ls_reload_state *state = session->reload;
    if (!LS_RESERVE(state->loads, state->load_count + 1, state->load_cap))
        return ls_fail(err, LS_ENOMEM, "out of memory while loading %s", key);
    if (!lua_checkstack(session->vm.L, 4)) return ls_fail(err, LS_ELUA, "stack overflow");
    struct ls_load load = {.snapshot = LUA_NOREF,
                           .first = first,
                           .full = state->running,
                           .protos = session->model->proto_count,
                           .undo = ls__undo_begin(session)};
    if (load.full || session->vm.config.hot) {
        struct take take = {.session = session, .key = key, .load = &load, .snapshot = LUA_NOREF};
        ls__ref_push(session, session->vm.L, session->model->ref_app);
        load.app = lua_topointer(session->vm.L, -1);
        lua_pop(session->vm.L, 1);
        load.text = ls_text_get(texts_of(session), text, len,
                                session->vm.hashed == text ? session->vm.hash : ls_hash(text, len));
        int code = load.text ? ls__lrun(session, l_take, &take, 0, err)
                             : ls_fail(err, LS_ENOMEM, "out of memory while loading %s", key);
        ls__walk_release(&take.walk);
        ls_comparison_unref(take.comparison);
        if (code != 0) {
            ls_text_unref(load.text);
            ls__undo_commit(session, load.undo);
            return code;
        }
        load.snapshot = take.snapshot;
    }
    state->loads[state->load_count++] = load;
    return 0;
}

void ls__load_end(struct ls_session *session, bool succeeded)
{
    struct ls_reload_state *state = session->reload;
    assert(state->load_count > 0);
    const struct ls_load load = *ls__load_innermost(session); /* code that is told of a variable's end may load files */
    if (succeeded)
        ls__undo_commit(session, load.undo);
    else
        ls__undo_roll_back(session, load.undo, !load.first);
    state->load_count--;
    int snapshot = load.snapshot;
    ls__ref_drop(session, &snapshot);
    ls_text_unref(load.text);
}

/* --- first loads, for the loader --- */

int ls__load_begin(struct ls_session *session, const char *key, const char *text, size_t len, struct ls_err *err)
{
    return ls__load_push(session, key, text, len, true, err);
}

void ls__load_done(struct ls_session *session, const char *key, const char *text, size_t len)
{
    lua_State *L = session->vm.L;
    if (ls__load_innermost(session)->snapshot != LUA_NOREF && lua_checkstack(L, 8)) {
        LS_ERR(err);
        struct ls_run run = {.session = session, .key = key, .text = text, .len = len};
        lua_pushvalue(L, -1);
        if (ls__run_apply(&run, &err) == 0) {
            lua_pop(L, 1);
        } else {
            ls__report(session, key, &err); /* it runs; a reload will find no record and keep the run's data */
        }
        ls__run_release(&run);
    }
}
