/* What is kept of a session while one chunk runs, the ledger of its load: enough to put back what a failed chunk has
 * changed, and to tell what it has assigned.
 *
 * Loads are a stack, since a chunk may load other modules. A module first loaded by a chunk that fails later stays
 * loaded with all that its load did; so when a nested load succeeds, what it changed becomes "as before" in the ledgers
 * of all loads around it.
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
#include "reload/threeway_text.h"
#include "resolver/slots.h"
#include "vm/chunks.h"

struct take {
    struct ls_session *session;
    const char *key;
    bool full;
    int ledger; /* out: ref */
};

/* [-0, +0, m] the table behind a reference, if it is one, goes into the snapshot */
static LS_RAISES void add_ref(struct ls_session *session, lua_State *L, int snapshot, int ref)
{
    if (ls__ref_push(session, L, ref) == LUA_TTABLE) ls__snapshot_add(L, snapshot, -1);
    lua_pop(L, 1);
}

/* What only a reload needs, into the ledger at 1 and the snapshot at 2. [-0, +0, m] */
static LS_RAISES void take_full(struct take *take, lua_State *L)
{
    struct ls_session *session = take->session;
    const struct ls_module *module = ls__module_find(session, take->key);
    const int refs[] = {session->vm.ref_session,      session->vm.ref_ui,
                        session->model->ref_loaded,   session->model->ref_presenters,
                        session->model->ref_wrappers, module ? module->keep : LUA_NOREF};
    for (size_t i = 0; i < sizeof refs / sizeof *refs; i++)
        add_ref(session, L, 2, refs[i]);
    if (ls__push_field(session, L, session->model->ref_loaded, take->key) == LUA_TTABLE) ls__snapshot_add(L, 2, 3);
    lua_settop(L, 2);
    lua_newtable(L);
    for (uint32_t id = 1; id <= session->model->proto_count; id++) {
        const struct ls_proto *proto = ls__proto_at(session, id);
        if (!proto) continue;
        add_ref(session, L, 2, proto->table);
        ls__proto_save(session, L, id, false);
        lua_rawseti(L, 3, id);
    }
    lua_rawseti(L, 1, LS_LEDGER_SAVED);
    ls__mutations_save(session, L);
    lua_rawseti(L, 1, LS_LEDGER_QUEUE);
    ls__ref_push(session, L, session->model->ref_app);
    lua_rawseti(L, 1, LS_LEDGER_APP);
    if (module && ls__push_field(session, L, session->reload->records, take->key) == LUA_TNIL) {
        ls__push_base(session, L, take->key);
        lua_rawseti(L, 1, LS_LEDGER_BASE);
    }
    lua_settop(L, 2);
}

/* [-1, +0, m] */
static LS_RAISES int l_take(lua_State *L)
{
    struct take *take = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_createtable(L, LS_LEDGER_BASE, 0);
    ls__snapshot_new(L); /* ledger snapshot */
    lua_pushglobaltable(L);
    ls__snapshot_add(L, 2, 3);
    lua_settop(L, 2);
    if (take->full) take_full(take, L);
    lua_rawseti(L, 1, LS_LEDGER_SNAPSHOT);
    lua_newtable(L);
    lua_rawseti(L, 1, LS_LEDGER_UNDO);
    take->ledger = ls__ref_take(take->session, L);
    return 0;
}

/* [-0, +0, -] the writer of lua_dump */
static int append_code(lua_State *L, const void *bytes, size_t len, void *buf)
{
    (void)L;
    ls_buf_add(buf, bytes, len);
    return ls_buf_failed(buf);
}

/* The byte code is in the shared cache, unless another version of the file has replaced it there meanwhile. Without a
 * scope no local is governed, which costs state and nothing else. */
static struct ls_scope *parse_scope(struct ls_session *session, const char *key, int chunk, const char *text,
                                    size_t len)
{
    lua_State *L = session->vm.L;
    struct ls_buf name = LS_BUF_INIT, code = LS_BUF_INIT;
    ls_buf_printf(&name, "@%s", key);
    struct ls_bytes *kept = ls__chunks_code(session->vm.chunks, ls_buf_text(&name), ls_hash(text, len), len);
    struct ls_scope *scope = NULL;
    if (kept) {
        scope = ls__scope_parse(ls_bytes_data(kept), ls_bytes_len(kept));
    } else {
        lua_pushvalue(L, chunk);
        lua_dump(L, append_code, &code, 0);
        lua_pop(L, 1);
        scope = ls_buf_failed(&code) ? NULL : ls__scope_parse(ls_buf_text(&code), code.len);
    }
    ls_bytes_unref(kept);
    ls_buf_release(&name);
    ls_buf_release(&code);
    return scope;
}

int ls__load_push(struct ls_session *session, const char *key, int chunk, const char *text, size_t len, bool full,
                  struct ls_err *err)
{
    struct ls_reload_state *state = session->reload;
    if (!LS_RESERVE(state->loads, state->load_count + 1, state->load_cap))
        return ls_fail(err, LS_ENOMEM, "out of memory while loading %s", key);
    struct take take = {.session = session, .key = key, .full = full, .ledger = LUA_NOREF};
    struct ls_load load = {.ledger = LUA_NOREF,
                           .full = full,
                           .protos = session->model->proto_count,
                           .app_variable = session->model->app_variable_id};
    load.give = !full && ls__given_wanted(session, key, text, len, &load.hash);
    if (full || load.give || session->vm.config.hot) {
        chunk = lua_absindex(session->vm.L, chunk);
        int code = ls__lrun(session, l_take, &take, 0, err);
        if (code != 0) return code;
        load.ledger = take.ledger;
        load.scope = parse_scope(session, key, chunk, text, len);
    }
    state->loads[state->load_count++] = load;
    return 0;
}

void ls__load_pop(struct ls_session *session)
{
    struct ls_reload_state *state = session->reload;
    assert(state->load_count > 0);
    struct ls_load *load = &state->loads[--state->load_count];
    ls__ref_drop(session, &load->ledger);
    ls__scope_free(load->scope);
    for (size_t i = 0; i < load->undo_count; i++)
        ls_free(load->undo[i].name);
    ls_free(load->undo);
}

/* Without memory for the note, a failure of the chunk would leave the variable as it is then, which is less harm than
 * refusing it. */
void ls__load_made(struct ls_session *session, int64_t id)
{
    struct ls_load *load = ls__load_innermost(session);
    if (load && load->full)
        (void)LS_PUSH(load->undo, load->undo_count, load->undo_cap, (struct ls_step_back){NULL, id});
}

void ls__load_naming(struct ls_session *session, const char *name)
{
    struct ls_load *load = ls__load_innermost(session);
    char *copy = load && load->full ? ls_strdup(name) : NULL;
    if (copy && !LS_PUSH(load->undo, load->undo_count, load->undo_cap,
                         (struct ls_step_back){copy, ls_tracker_named(session->model->tracker, name)}))
        ls_free(copy);
}

/* --- nested loads --- */

/* What the load of the ledger at `inner` declared, or declared again, is as it was for that of the one at `outer`.
 * [-0, +0, m] */
static LS_RAISES void keep_prototypes(struct ls_session *session, lua_State *L, int outer, int inner)
{
    int top = lua_gettop(L);
    lua_rawgeti(L, outer, LS_LEDGER_SNAPSHOT);
    lua_rawgeti(L, outer, LS_LEDGER_SAVED);
    lua_rawgeti(L, inner, LS_LEDGER_SAVED); /* snapshot saved inner-saved */
    for (uint32_t id = 1; id <= session->model->proto_count; id++) {
        const struct ls_proto *proto = ls__proto_at(session, id);
        bool same = false;
        if (proto && lua_rawgeti(L, top + 3, id) == LUA_TTABLE) {
            ls__proto_saved_record(L, top + 4);
            ls__ref_push(session, L, proto->record);
            same = lua_rawequal(L, top + 5, top + 6) != 0;
        }
        lua_settop(L, top + 3);
        if (!proto || same) continue;
        add_ref(session, L, top + 1, proto->table);
        ls__proto_save(session, L, id, false);
        lua_rawseti(L, top + 2, id);
    }
    lua_settop(L, top);
}

/* [-2, +0, m] arguments: the run, the value of the module, which package.loaded gets first: it is part of what
 * stays */
static LS_RAISES int l_amend(lua_State *L)
{
    const struct ls_run *run = lua_touserdata(L, 1);
    struct ls_session *session = run->session;
    struct ls_reload_state *state = session->reload;
    ls__module_set_value(session, L, run->key);
    lua_settop(L, 0);
    ls__ref_push(session, L, ls__load_innermost(session)->ledger);
    lua_rawgeti(L, 1, LS_LEDGER_SNAPSHOT); /* inner snapshot */
    for (size_t i = state->load_count - 1; i-- > 0;) {
        if (ls__ref_push(session, L, state->loads[i].ledger) == LUA_TTABLE) {
            lua_rawgeti(L, 3, LS_LEDGER_SNAPSHOT);
            ls__snapshot_amend(L, 4, 2);
            if (state->loads[i].full) keep_prototypes(session, L, 3, 1);
        }
        lua_settop(L, 2);
    }
    return 0;
}

/* The value is on top and stays. Without memory the roll-back of the outer chunk, if it comes to that, takes more back
 * than it should. */
static void amend_outer(struct ls_run *run)
{
    lua_State *L = run->session->vm.L;
    LS_ERR(err);
    lua_pushcfunction(L, l_amend);
    lua_pushlightuserdata(L, run);
    lua_pushvalue(L, -3);
    if (ls__lcall(run->session, 2, 0, &err) != 0) ls__report(run->session, run->key, &err);
}

int ls__load_begin(struct ls_session *session, const char *key, int chunk, const char *text, size_t len,
                   struct ls_err *err)
{
    return ls__load_push(session, key, chunk, text, len, session->reload->running, err);
}

void ls__load_done(struct ls_session *session, const char *key, const char *text, size_t len)
{
    struct ls_reload_state *state = session->reload;
    lua_State *L = session->vm.L;
    if (ls__load_innermost(session)->ledger != LUA_NOREF && lua_checkstack(L, 8)) {
        LS_ERR(err);
        struct ls_run run = {.session = session, .key = key, .text = text, .len = len};
        lua_pushvalue(L, -1);
        if (ls__run_apply(&run, &err) == 0) {
            lua_pop(L, 1);
            if (ls__load_innermost(session)->give) ls__given_keep(session, key, ls__load_innermost(session)->hash);
        } else {
            ls__report(session, key, &err); /* it runs; a reload will find no record and keep the run's data */
        }
        ls__run_release(&run);
        if (state->load_count > 1 && state->loads[state->load_count - 2].ledger != LUA_NOREF) amend_outer(&run);
    }
    ls__load_pop(session);
}

void ls__load_failed(struct ls_session *session)
{
    ls__load_pop(session);
}

/* --- roll-back --- */

/* Of the prototypes those that nobody has saved are the failed chunk's own. The ledger is at 1. [-0, +0, m] */
static LS_RAISES void restore_prototypes(struct ls_session *session, lua_State *L, uint32_t mark)
{
    if (lua_rawgeti(L, 1, LS_LEDGER_SAVED) == LUA_TTABLE) {
        for (uint32_t id = mark + 1; id <= session->model->proto_count; id++) {
            bool kept = lua_rawgeti(L, 2, id) != LUA_TNIL;
            lua_pop(L, 1);
            if (!kept) ls__proto_remove(session, L, id);
        }
        for (lua_pushnil(L); lua_next(L, 2);) /* id saved */
            ls__proto_restore(session, L, (uint32_t)lua_tointeger(L, -2));
    }
    lua_settop(L, 1);
}

/* [-0, +0, m] the app object and what variable 1 shows; ledger at 1 */
static LS_RAISES void restore_app(struct ls_session *session, lua_State *L)
{
    lua_rawgeti(L, 1, LS_LEDGER_APP);
    ls__ref_push(session, L, session->model->ref_app);
    bool same = lua_rawequal(L, -1, -2) != 0;
    lua_pop(L, 1);
    if (same) return;
    struct ls_var *var = session->model->tracker && session->model->app_variable_id
                             ? ls_tracker_find(session->model->tracker, session->model->app_variable_id)
                             : NULL;
    if (var) {
        struct ls_fault fault;
        lua_pushvalue(L, -1);
        ls_tracker_set_value(session->model->tracker, var, ls__slot_take(session, L), &fault);
    }
    ls__app_set(session, L);
}

/* [-1, +0, m] */
static LS_RAISES int l_roll_back(lua_State *L)
{
    struct ls_session *session = lua_touserdata(L, 1);
    const struct ls_load *load = ls__load_innermost(session);
    uint32_t mark = load->protos;
    lua_settop(L, 0);
    ls__ref_push(session, L, load->ledger);
    lua_rawgeti(L, 1, LS_LEDGER_UNDO);
    ls__threeway_undo(L, 2);
    lua_pop(L, 1);
    restore_prototypes(session, L, mark);
    lua_rawgeti(L, 1, LS_LEDGER_SNAPSHOT);
    ls__snapshot_restore(L, 2);
    lua_pop(L, 1);
    if (lua_rawgeti(L, 1, LS_LEDGER_QUEUE) != LUA_TNIL) ls__mutations_restore(session, L);
    lua_settop(L, 1);
    restore_app(session, L);
    return 0;
}

/* Variables that the chunk made go, and standard variables stand for what they stood for. Code that is told of their
 * end may load files: the stack of loads moves. */
static void restore_variables(struct ls_session *session)
{
    const struct ls_reload_state *state = session->reload;
    size_t at = state->load_count - 1;
    struct ls_fault fault;
    for (size_t i = state->loads[at].undo_count; i-- > 0;) {
        const struct ls_step_back step = state->loads[at].undo[i];
        if (step.name)
            ls_tracker_name(session->model->tracker, step.name, step.id, &fault);
        else
            session->model->store->destroy(session->model->store->ctx, step.id);
    }
    session->model->app_variable_id = state->loads[at].app_variable;
}

void ls__load_roll_back(struct ls_session *session)
{
    LS_ERR(err);
    /* A chunk that failed because memory is at its limit must still be undone: giving back needs a little for itself.
     * */
    size_t limit = ls_budget_get(&session->vm.budget->limit);
    ls_budget_set(&session->vm.budget->limit, 0);
    restore_variables(session);
    /* Finalizers wait: what they remove or declare is not to change under the hands of the roll-back. */
    bool collects = lua_gc(session->vm.L, LUA_GCISRUNNING) == 1;
    lua_gc(session->vm.L, LUA_GCSTOP);
    if (ls__load_innermost(session)->ledger != LUA_NOREF && ls__lrun(session, l_roll_back, session, 0, &err) != 0)
        ls__report(session, "roll-back of a reload", &err);
    if (collects) lua_gc(session->vm.L, LUA_GCRESTART);
    ls_budget_set(&session->vm.budget->limit, limit);
}
