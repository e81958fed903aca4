/* After a chunk has run: the three-way rule gets what it needs of the session, and its result becomes the module's
 * value and record (H48, H49).
 *
 * Owner thread: the session's. */
#include "reload/reload_state.h"

#include <string.h>

#include "base/text.h"
#include "model/prototype.h"

LS_RAISES int ls__push_field(struct ls_session *session, lua_State *L, int ref, const char *name)
{
    ls__ref_push(session, L, ref);
    lua_pushstring(L, name);
    int type = lua_rawget(L, -2);
    lua_remove(L, -2);
    return type;
}

/* [-0, +0, m] what the reference holds, if anything, goes into the set */
static LS_RAISES void add_held(struct ls_session *session, lua_State *L, int set, int ref)
{
    if (ls__ref_push(session, L, ref) == LUA_TNIL)
        lua_pop(L, 1);
    else
        ls__set_add(L, set);
}

/* Is the value of package.loaded under this name there because the chunk has put its own new value in, as files do that
 * require each other? Then its value is no table of an identity of its own yet (H48). The name is at -2, the value at
 * -1. [-0, +0, -] */
static bool is_own_value(lua_State *L, const struct ls_module *module, int loaded, int own)
{
    if (!module || !own || lua_type(L, -2) != LUA_TSTRING || !lua_rawequal(L, -1, own)) return false;
    const char *name = lua_tostring(L, -2);
    if (strcmp(name, module->name) != 0 && !ls_names_has(&module->names, name)) return false;
    lua_pushstring(L, module->key);
    lua_rawget(L, loaded);
    bool old = lua_rawequal(L, -1, own) != 0;
    lua_pop(L, 1);
    return !old;
}

LS_RAISES void ls__push_known(struct ls_session *session, lua_State *L, const struct ls_module *module, int own)
{
    lua_newtable(L);
    int known = lua_gettop(L);
    const int refs[] = {session->vm.ref_session, session->vm.ref_ui, session->model->ref_empty,
                        session->model->ref_loaded, session->model->ref_app};
    for (size_t i = 0; i < sizeof refs / sizeof *refs; i++)
        add_held(session, L, known, refs[i]);
    lua_pushglobaltable(L);
    ls__set_add(L, known);
    for (uint32_t i = 0; i < session->model->proto_count; i++)
        if (session->model->protos[i]) add_held(session, L, known, session->model->protos[i]->table);
    const int sets[] = {session->reload->libraries, session->model->ref_loaded};
    for (size_t i = 0; i < 2; i++) {
        ls__ref_push(session, L, sets[i]);
        lua_pushnil(L);
        while (lua_next(L, known + 1)) { /* libraries are keys, module values are values */
            int at = i == 0 ? -2 : -1;
            if (lua_type(L, at) == LUA_TTABLE && !(i == 1 && is_own_value(L, module, known + 1, own))) {
                lua_pushvalue(L, at);
                ls__set_add(L, known);
            }
            lua_pop(L, 1);
        }
        lua_settop(L, known);
    }
}

/* Registered prototypes from `from` on with their declared fields, and which of them the module has declared in this
 * run. [-0, +2, m] */
static LS_RAISES void push_prototypes(const struct ls_run *run, lua_State *L, const struct ls_module *module,
                                      uint32_t from)
{
    struct ls_session *session = run->session;
    lua_newtable(L);
    lua_newtable(L); /* prototypes redeclared */
    int prototypes = lua_gettop(L) - 1;
    for (uint32_t i = from; i < session->model->proto_count; i++) {
        const struct ls_proto *proto = session->model->protos[i];
        if (!proto) continue;
        ls__ref_push(session, L, proto->table);
        if (ls__ref_push(session, L, proto->record) != LUA_TTABLE) {
            lua_pop(L, 1);
            lua_pushboolean(L, 1);
        }
        /* `session:prototype(name)` gives back a registered one and leaves no trace in the list (L81): look for the
         * name. */
        bool named = ls_names_has(&run->old[LS_PROTOTYPES], proto->name) &&
                     ls_find_word(run->text, run->len, proto->name, strlen(proto->name));
        if (named || (module && ls_names_has(&module->prototypes, proto->name))) {
            lua_pushvalue(L, -2);
            ls__set_add(L, prototypes + 1);
        }
        lua_rawset(L, prototypes);
    }
}

/* Of the list LS_PRESENTERS or LS_WRAPPERS. */
static int registry_of(const struct ls_session *session, int list)
{
    return list == LS_WRAPPERS ? session->model->ref_wrappers : session->model->ref_presenters;
}

/* Callbacks and tables that this execution has registered: through them functions of the file are found that nothing
 * else refers to. [-0, +1, m] */
static LS_RAISES void push_roots(struct ls_session *session, lua_State *L, const struct ls_module *module)
{
    lua_newtable(L);
    if (!module) return;
    lua_Integer count = 0;
    for (size_t i = 0; i < session->model->timer_count; i++)
        if (session->model->timers[i].module == module->serial &&
            session->model->timers[i].execution == module->execution) {
            ls__ref_push(session, L, session->model->timers[i].fn);
            lua_rawseti(L, -2, ++count);
        }
    for (size_t i = 0; i < session->model->watch_count; i++)
        if (session->model->watches[i].module == module->serial &&
            session->model->watches[i].execution == module->execution) {
            ls__ref_push(session, L, session->model->watches[i].fn);
            lua_rawseti(L, -2, ++count);
        }
    for (int list = LS_PRESENTERS; list <= LS_WRAPPERS; list++)
        for (uint32_t i = 0; i < module->lists[list].count; i++) {
            ls__push_field(session, L, registry_of(session, list), module->lists[list].items[i]);
            lua_rawseti(L, -2, ++count);
        }
    if (ls__ref_push(session, L, module->dispose) == LUA_TTABLE)
        lua_rawseti(L, -2, ++count);
    else
        lua_pop(L, 1);
}

/* Presenter types (or wrappers) that the new text no longer registers go, unless another module has them too (H52,
 * L49). The registry is in the snapshot. [-0, +0, m] */
static LS_RAISES void drop_stale(const struct ls_run *run, lua_State *L, int list)
{
    const struct ls_model *model = run->session->model;
    for (uint32_t i = 0; i < run->old[list].count; i++) {
        bool kept = false;
        for (size_t m = 0; m < model->module_count && !kept; m++)
            kept = ls_names_has(&model->modules[m]->lists[list], run->old[list].items[i]);
        if (kept) continue;
        ls__ref_push(run->session, L, registry_of(run->session, list));
        lua_pushnil(L);
        lua_setfield(L, -2, run->old[list].items[i]);
        lua_pop(L, 1);
    }
}

/* [-0, +0, -] how many keys of the table at `a` the one at `b` has not */
static unsigned count_missing(lua_State *L, int a, int b)
{
    unsigned count = 0;
    for (lua_pushnil(L); lua_next(L, a); lua_pop(L, 1))
        count += !ls__has_key(L, b, lua_gettop(L) - 1);
    return count;
}

static void write_fields(struct ls_buf *out, const char *name, unsigned added, unsigned removed)
{
    ls_buf_printf(out, "%s%s", out->len ? ", " : "", name);
    if (added) ls_buf_printf(out, " +%u", added);
    if (removed) ls_buf_printf(out, " -%u", removed);
    ls_buf_str(out, !added && !removed ? ": defaults changed" : added + removed == 1 ? " field" : " fields");
}

/* What has become of declared fields, for the report: `Ship +1 -1 fields` (H97). [-0, +0, m] */
static LS_RAISES void count_fields(struct ls_run *run, lua_State *L)
{
    struct ls_session *session = run->session;
    int top = lua_gettop(L);
    ls__undo_records(session, L, ls__load_innermost(session)->undo);
    for (uint32_t id = 1; id <= session->model->proto_count; id++) {
        const struct ls_proto *proto = ls__proto_at(session, id);
        if (proto && lua_rawgeti(L, top + 1, id) == LUA_TTABLE &&
            ls__ref_push(session, L, proto->record) == LUA_TTABLE && !lua_rawequal(L, top + 2, top + 3))
            write_fields(&run->fields, proto->name, count_missing(L, top + 3, top + 2),
                         count_missing(L, top + 2, top + 3));
        lua_settop(L, top + 1);
    }
    lua_settop(L, top);
}

/* [-0, +1, m] tables of ours that no search for holders may enter */
static LS_RAISES void push_skip(struct ls_session *session, lua_State *L)
{
    lua_newtable(L);
    int skip = lua_gettop(L);
    add_held(session, L, skip, session->reload->records);
    add_held(session, L, skip, session->model->ref_undo);
    for (size_t i = 0; i < session->reload->load_count; i++)
        add_held(session, L, skip, session->reload->loads[i].ledger);
}

/* [-2, +1, m] arguments: the run, the value of the chunk; result: the value of the module */
static LS_RAISES int l_apply(lua_State *L)
{
    struct ls_run *run = lua_touserdata(L, 1);
    struct ls_session *session = run->session;
    struct ls_reload_state *state = session->reload;
    const struct ls_load load = *ls__load_innermost(session); /* finalizers may load files: the stack moves */
    const struct ls_module *module = ls__module_find(session, run->key);
    bool first = !run->result;
    enum {
        SOURCE = 3,
        LEDGER,
        RECORD,
        SNAPSHOT,
        KNOWN,
        PROTOTYPES,
        REDECLARED,
        ROOTS,
        APP,
        OLD_VALUE,
        SKIP,
        UNDO,
        VALUE,
        NEXT
    };
    luaL_checkstack(L, 40, "reload");
    lua_pushfstring(L, "@%s", run->key);
    struct ls_threeway rule = {
        .L = L,
        .run = run,
        .source = lua_tostring(L, SOURCE),
        .scope = load.scope,
        .record = RECORD,
        .snapshot = SNAPSHOT,
        .known = KNOWN,
        .prototypes = PROTOTYPES,
        .redeclared = REDECLARED,
        .roots = ROOTS,
        .app = APP,
        .old_value = OLD_VALUE,
        .skip = SKIP,
        .undo = UNDO,
    };
    ls__ref_push(session, L, load.ledger);
    if (first) {
        lua_pushnil(L);
    } else if (ls__push_field(session, L, state->records, run->key) == LUA_TNIL) {
        rule.no_base = true;
        lua_settop(L, LEDGER);
        lua_rawgeti(L, LEDGER, LS_LEDGER_BASE);
    }
    lua_rawgeti(L, LEDGER, LS_LEDGER_SNAPSHOT);
    ls__push_known(session, L, module, 2);
    push_prototypes(run, L, module, load.full ? 0 : load.protos);
    push_roots(session, L, module);
    ls__ref_push(session, L, session->model->ref_app);
    if (first)
        lua_pushnil(L);
    else
        ls__push_field(session, L, session->model->ref_loaded, run->key);
    push_skip(session, L);
    lua_rawgeti(L, LEDGER, LS_LEDGER_UNDO);
    lua_pushvalue(L, 2);
    ls__threeway(&rule);
    run->value_changed = !first && !lua_rawequal(L, VALUE, OLD_VALUE);
    if (!first) {
        count_fields(run, L);
        drop_stale(run, L, LS_PRESENTERS);
        drop_stale(run, L, LS_WRAPPERS);
    }
    if (ls_buf_failed(&run->removed) || ls_buf_failed(&run->notes) || ls_buf_failed(&run->fields))
        return luaL_error(L, "out of memory while reloading %s", run->key);
    if (run->value_changed || run->taken_over) { /* the chunk itself may have put the new table there */
        lua_pushvalue(L, VALUE);
        ls__module_set_value(session, L, run->key);
    }
    /* Last, because a raise after it would leave a record of what has been rolled back. */
    ls__ref_push(session, L, state->records);
    lua_pushvalue(L, NEXT);
    lua_setfield(L, -2, run->key);
    lua_settop(L, VALUE);
    return 1;
}

int ls__run_apply(struct ls_run *run, struct ls_err *err)
{
    lua_State *L = run->session->vm.L;
    if (!lua_checkstack(L, 4)) {
        lua_pop(L, 1);
        return ls_fail(err, LS_ELUA, "stack overflow");
    }
    lua_pushcfunction(L, l_apply);
    lua_insert(L, -2);
    lua_pushlightuserdata(L, run);
    lua_insert(L, -2);
    return ls__lcall(run->session, 2, 1, err);
}

void ls__run_release(struct ls_run *run)
{
    for (int list = 0; list < LS_MODULE_LISTS; list++)
        ls_names_release(&run->old[list]);
    ls_buf_release(&run->removed);
    ls_buf_release(&run->notes);
    ls_buf_release(&run->fields);
}
