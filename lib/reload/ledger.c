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
#include "reload/threeway_text.h"
#include "resolver/slots.h"
#include "vm/chunks.h"

struct take {
    struct ls_session *session;
    const char *key;
    const struct ls_load *load;
    int ledger; /* out: ref */
};

/* [-0, +0, m] the table behind a reference, if it is one, goes into the snapshot */
static LS_RAISES void add_ref(struct ls_session *session, lua_State *L, int snapshot, int ref)
{
    if (ls__ref_push(session, L, ref) == LUA_TTABLE) ls__snapshot_add(L, snapshot, -1);
    lua_pop(L, 1);
}

/* What only a transaction needs, into the ledger at 1 and the snapshot at 2. [-0, +0, m] */
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
    for (uint32_t id = 1; id <= session->model->proto_count; id++) {
        const struct ls_proto *proto = ls__proto_at(session, id);
        if (proto) add_ref(session, L, 2, proto->table);
    }
    if (!take->load->first && ls__push_field(session, L, session->reload->records, take->key) == LUA_TNIL) {
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
    if (take->load->full) take_full(take, L);
    lua_pushvalue(L, 2);
    ls__undo_snapshot(take->session, L, take->load->full);
    lua_rawseti(L, 1, LS_LEDGER_SNAPSHOT);
    ls__undo_push(take->session, L);
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

int ls__load_push(struct ls_session *session, const char *key, int chunk, const char *text, size_t len, bool first,
                  struct ls_err *err)
{
    struct ls_reload_state *state = session->reload;
    if (!LS_RESERVE(state->loads, state->load_count + 1, state->load_cap))
        return ls_fail(err, LS_ENOMEM, "out of memory while loading %s", key);
    if (!lua_checkstack(session->vm.L, 4)) return ls_fail(err, LS_ELUA, "stack overflow");
    struct ls_load load = {.ledger = LUA_NOREF,
                           .first = first,
                           .full = state->running,
                           .protos = session->model->proto_count,
                           .undo = ls__undo_begin(session)};
    load.give = !load.full && ls__given_wanted(session, key, text, len, &load.hash);
    if (load.full || load.give || session->vm.config.hot) {
        struct take take = {.session = session, .key = key, .load = &load, .ledger = LUA_NOREF};
        chunk = lua_absindex(session->vm.L, chunk);
        int code = ls__lrun(session, l_take, &take, 0, err);
        if (code != 0) {
            ls__undo_commit(session, load.undo);
            return code;
        }
        load.ledger = take.ledger;
        load.scope = parse_scope(session, key, chunk, text, len);
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
    int ledger = load.ledger;
    ls__ref_drop(session, &ledger);
    ls__scope_free(load.scope);
}

/* --- first loads, for the loader --- */

int ls__load_begin(struct ls_session *session, const char *key, int chunk, const char *text, size_t len,
                   struct ls_err *err)
{
    return ls__load_push(session, key, chunk, text, len, true, err);
}

void ls__load_done(struct ls_session *session, const char *key, const char *text, size_t len)
{
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
    }
}
