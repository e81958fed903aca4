/* After a chunk has run: the three-way rule gets what it needs of the session, and its result becomes the module's
 * value and record (H48, H49).
 *
 * Owner thread: the session's. */
#include "reload/reload_state.h"

#include <string.h>

#include "model/prototype.h"
#include "model/snapshot.h"
#include "reload/rule.h"

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
    lua_createtable(L, 0, 32);
    int known = lua_gettop(L); /* among the libraries are _G, `session` and `ui` */
    add_held(session, L, known, session->model->ref_loaded);
    add_held(session, L, known, session->model->ref_app);
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

/* Of the list LS_PRESENTERS or LS_WRAPPERS. */
static int registry_of(const struct ls_session *session, int list)
{
    return list == LS_WRAPPERS ? session->model->ref_wrappers : session->model->ref_presenters;
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

/* --- the record of an execution: a userdata with the holders of variables, and what was set aside --- */

enum { HOLDERS = LS_RECORD_HOLDERS, ASIDE };

/* [-0, +0, -] */
static int l_record_gc(lua_State *L)
{
    struct ls_record *record = lua_touserdata(L, 1);
    ls_text_unref(record->text);
    ls_bytes_unref(record->given);
    *record = (struct ls_record){0};
    return 0;
}

/* Push one that has nothing yet. [-2, +1, m] the holders and what was set aside are on top */
static LS_RAISES struct ls_record *push_record(lua_State *L)
{
    struct ls_record *record = lua_newuserdatauv(L, sizeof *record, ASIDE);
    *record = (struct ls_record){0};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, l_record_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_insert(L, -3);
    lua_setiuservalue(L, -3, ASIDE);
    lua_setiuservalue(L, -2, HOLDERS);
    return record;
}

/* The record on top takes the place of the module's. [-1, +0, m] */
static LS_RAISES void keep_record(struct ls_session *session, lua_State *L, const char *key)
{
    int ref = ls__ref_take(session, L), before = ref;
    struct ls_module *module = ls__module_find(session, key); /* a finalizer may have unloaded it */
    if (module) {
        before = module->record;
        module->record = ref;
    }
    ls__ref_drop(session, &before);
}

LS_RAISES void ls__record_holders(struct ls_session *session, lua_State *L, const char *key)
{
    lua_newtable(L);
    push_record(L);
    keep_record(session, L, key);
}

/* --- the whole --- */

/* A chunk that returned nothing may have put its value into package.loaded; else its value is true (H48). The nil at
 * `value` becomes that. [-0, +0, m] */
static LS_RAISES void settle_value(const struct ls_run *run, lua_State *L, const struct ls_module *module, int value)
{
    struct ls_session *session = run->session;
    int top = lua_gettop(L);
    ls__push_field(session, L, session->model->ref_loaded, run->key);
    bool own =
        lua_istable(L, top + 1) && ls_tokens_find(run->text, run->len, "loaded", LS_TOKEN_NAME | LS_TOKEN_STRING);
    lua_pushboolean(L, 1);
    lua_copy(L, own ? top + 1 : top + 2, value);
    for (uint32_t i = 0; module && i < module->names.count; i++) {
        ls__push_field(session, L, session->model->ref_loaded, module->names.items[i]);
        bool set = !lua_isnil(L, -1) && !lua_rawequal(L, -1, top + 1);
        if (set) lua_copy(L, -1, value);
        lua_settop(L, top + 2);
        if (set) break;
    }
    lua_settop(L, top);
}

/* Stack of l_apply: arguments, then what the rule looks at. */
enum { RULE = 1, GIVEN, SOURCE, SNAPSHOT, KNOWN, OLD_VALUE, RECORD, HOLDERS_BEFORE, SET_ASIDE, VALUE, NEXT };

/* [-0, +SET_ASIDE - GIVEN, m] */
static LS_RAISES void prepare(struct ls_rule *rule, lua_State *L)
{
    struct ls_run *run = rule->run;
    struct ls_session *session = run->session;
    const struct ls_load load = *ls__load_innermost(session); /* finalizers may load files: the stack moves */
    const struct ls_module *module = ls__module_find(session, run->key);
    lua_pushfstring(L, "@%s", run->key);
    ls__ref_push(session, L, load.snapshot);
    ls__push_known(session, L, module, GIVEN);
    ls__ref_push(session, L, session->model->ref_app);
    lua_pushnil(L);
    /* One that this chunk has made is a value of the file. */
    if (lua_istable(L, KNOWN + 1) && lua_topointer(L, KNOWN + 1) != load.app)
        ls__raw_set(L, KNOWN, KNOWN + 1, KNOWN + 2);
    lua_settop(L, KNOWN);
    *rule = (struct ls_rule){.L = L,
                             .run = run,
                             .source = lua_tostring(L, SOURCE),
                             .now_text = load.text,
                             .new_things = run->made,
                             .first = !run->result,
                             .snapshot = SNAPSHOT,
                             .known = KNOWN,
                             .protos = load.full ? 0 : load.protos,
                             .old_value = OLD_VALUE,
                             .old_holders = HOLDERS_BEFORE,
                             .aside = SET_ASIDE,
                             .record = RECORD,
                             .saves = 1};
    module = ls__module_find(session, run->key);
    if (rule->first || !module || module->record == LUA_NOREF) {
        lua_settop(L, HOLDERS_BEFORE);
        lua_newtable(L);
        return;
    }
    ls__push_field(session, L, session->model->ref_loaded, run->key);
    ls__ref_push(session, L, module->record);
    const struct ls_record *before = lua_touserdata(L, RECORD);
    lua_getiuservalue(L, RECORD, HOLDERS);
    lua_getiuservalue(L, RECORD, ASIDE);
    rule->given = before->given;
    rule->saves = before->saves + 1;
    rule->comparison = ls_text_compare(before->text, load.text);
    if (!rule->comparison && ls_text_is_lua(load.text) && (!before->text || ls_text_is_lua(before->text)))
        luaL_error(L, "out of memory while reloading %s", run->key);
    if (rule->comparison) rule->places = ls_comparison_places(rule->comparison);
    if (before->text) rule->before = ls_text_syntax(before->text);
}

/* The record of this execution takes the place of the one before. [-0, +0, m] */
static LS_RAISES void record_execution(struct ls_rule *rule, lua_State *L, int holders)
{
    struct ls_session *session = rule->run->session;
    lua_pushvalue(L, holders);
    lua_pushvalue(L, rule->aside);
    struct ls_record *record = push_record(L);
    record->text = ls_text_ref(rule->now_text);
    record->saves = rule->saves;
    record->given = ls__walk_record(&rule->walk);
    if (session->vm.chunks) record->given = ls__chunks_share(session->vm.chunks, rule->run->key, record->given);
    keep_record(session, L, rule->run->key);
    for (int i = HOLDERS; i <= ASIDE && lua_isuserdata(L, RECORD); i++) { /* what was set aside may keep the old one */
        lua_pushnil(L);
        lua_setiuservalue(L, RECORD, i);
    }
}

/* [-2, +1, m] arguments: the rule, the value of the chunk; result: the value of the module */
static LS_RAISES int l_apply(lua_State *L)
{
    struct ls_rule *rule = lua_touserdata(L, RULE);
    struct ls_run *run = rule->run;
    struct ls_session *session = run->session;
    luaL_checkstack(L, 40, "reload");
    if (lua_isnil(L, GIVEN)) settle_value(run, L, ls__module_find(session, run->key), GIVEN);
    prepare(rule, L);
    lua_pushvalue(L, GIVEN);
    ls__rule_apply(rule);
    if (!rule->first) {
        run->value_changed = !lua_rawequal(L, VALUE, OLD_VALUE);
        ls__undo_fields(session, L, ls__load_innermost(session)->undo, &run->fields);
        drop_stale(run, L, LS_PRESENTERS);
        drop_stale(run, L, LS_WRAPPERS);
    }
    if (ls_buf_failed(&run->removed) || ls_buf_failed(&run->notes) || ls_buf_failed(&run->losses) ||
        ls_buf_failed(&run->fields))
        return luaL_error(L, "out of memory while reloading %s", run->key);
    if (run->value_changed || run->taken_over) { /* the chunk itself may have put the new table there */
        lua_pushvalue(L, VALUE);
        ls__module_set_value(session, L, run->key);
    }
    /* Last, because a raise after it would leave a record of what has been rolled back. */
    if (session->vm.config.hot) record_execution(rule, L, NEXT);
    ls__rule_follow_records(rule);
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
    struct ls_rule rule = {.run = run};
    lua_pushcfunction(L, l_apply);
    lua_insert(L, -2);
    lua_pushlightuserdata(L, &rule);
    lua_insert(L, -2);
    /* Finalizers wait: what they change, unload or load is not to move under the hands of the rule. */
    bool held = ls__collector_hold(run->session);
    int code = ls__lcall(run->session, 2, 1, err);
    ls__rule_release(&rule);
    ls__collector_go(run->session, held);
    return code;
}

void ls__run_release(struct ls_run *run)
{
    for (int list = 0; list < LS_MODULE_LISTS; list++)
        ls_names_release(&run->old[list]);
    ls_idmap_free(run->made, NULL);
    ls_buf_release(&run->removed);
    ls_buf_release(&run->notes);
    ls_buf_release(&run->losses);
    ls_buf_release(&run->fields);
}
