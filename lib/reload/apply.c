/* After a chunk has run: the three-way rule gets what it needs of the session, and its result becomes the module's
 * value and record (H48, H49).
 *
 * Owner thread: the session's. */
#include "reload/reload_state.h"

#include <string.h>

#include "base/text.h"
#include "model/prototype.h"
#include "model/snapshot.h"
#include "reload/rule.h"

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

/* Registered prototypes from `from` on: with their declared fields, with their names, and which of them the module has
 * declared in this run. [-0, +3, m] */
static LS_RAISES void push_prototypes(const struct ls_run *run, lua_State *L, const struct ls_module *module,
                                      uint32_t from)
{
    struct ls_session *session = run->session;
    lua_newtable(L);
    lua_newtable(L);
    lua_newtable(L); /* prototypes names redeclared */
    int prototypes = lua_gettop(L) - 2, table = prototypes + 3;
    for (uint32_t i = from; i < session->model->proto_count; i++, lua_settop(L, table - 1)) {
        const struct ls_proto *proto = session->model->protos[i];
        if (!proto) continue;
        ls__ref_push(session, L, proto->table);
        lua_pushstring(L, proto->name);
        ls__raw_set(L, prototypes + 1, table, table + 1);
        /* `session:prototype(name)` gives back a registered one and leaves no trace in the list (L81): look for the
         * name. */
        bool named = ls_names_has(&run->old[LS_PROTOTYPES], proto->name) &&
                     ls_find_word(run->text, run->len, proto->name, strlen(proto->name));
        lua_pushboolean(L, 1);
        if (named || (module && ls_names_has(&module->prototypes, proto->name)))
            ls__raw_set(L, prototypes + 2, table, table + 2);
        if (ls__ref_push(session, L, proto->record) != LUA_TTABLE) lua_pop(L, 1); /* true stands for it */
        ls__raw_set(L, prototypes, table, lua_gettop(L));
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

/* --- the record of an execution: a userdata with the holders of variables, and what was set aside --- */

struct record {
    struct ls_text *text;   /* a use */
    struct ls_bytes *given; /* a use */
    lua_Integer saves;      /* executions */
};

enum { HOLDERS = LS_RECORD_HOLDERS, ASIDE };

/* [-0, +0, -] */
static int l_record_gc(lua_State *L)
{
    struct record *record = lua_touserdata(L, 1);
    ls_text_unref(record->text);
    ls_bytes_unref(record->given);
    *record = (struct record){0};
    return 0;
}

/* [-0, +1, m] */
static LS_RAISES struct record *push_record(lua_State *L)
{
    struct record *record = lua_newuserdatauv(L, sizeof *record, ASIDE);
    *record = (struct record){0};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, l_record_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    return record;
}

/* --- the whole --- */

/* A chunk that returned nothing may have put its value into package.loaded; else its value is true (H48). The nil at
 * `value` becomes that. [-0, +0, m] */
static LS_RAISES void settle_value(const struct ls_run *run, lua_State *L, const struct ls_module *module, int value)
{
    struct ls_session *session = run->session;
    int top = lua_gettop(L);
    ls__push_field(session, L, session->model->ref_loaded, run->key);
    bool own = lua_istable(L, top + 1) && ls_find_word(run->text, run->len, "loaded", strlen("loaded"));
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

/* What outlives a raise while the rule is applied. */
struct applying {
    struct ls_run *run;
    struct ls_rule rule;
    struct ls_comparison *comparison; /* a use */
    struct ls_bytes *given;           /* of this execution: a use */
};

/* The record of this execution takes the place of the one before. [-0, +0, m] */
static LS_RAISES void keep_record(struct applying *applying, lua_State *L, int holders)
{
    struct ls_session *session = applying->run->session;
    struct record *record = push_record(L);
    lua_pushvalue(L, holders);
    lua_setiuservalue(L, -2, HOLDERS);
    lua_pushvalue(L, applying->rule.aside);
    lua_setiuservalue(L, -2, ASIDE);
    *record = (struct record){ls_text_ref(applying->rule.now_text), applying->given, applying->rule.saves};
    applying->given = NULL;
    int ref = ls__ref_take(session, L), before = ref;
    struct ls_module *module = ls__module_find(session, applying->run->key); /* a finalizer may have unloaded it */
    if (module) {
        before = module->record;
        module->record = ref;
    }
    ls__ref_drop(session, &before);
}

/* [-2, +1, m] arguments: what is applied, the value of the chunk; result: the value of the module */
static LS_RAISES int l_apply(lua_State *L)
{
    struct applying *applying = lua_touserdata(L, 1);
    struct ls_run *run = applying->run;
    struct ls_session *session = run->session;
    const struct ls_load load = *ls__load_innermost(session); /* finalizers may load files: the stack moves */
    const struct ls_module *module = ls__module_find(session, run->key);
    bool first = !run->result;
    enum {
        SOURCE = 3,
        LEDGER,
        RECORD,
        HOLDERS_BEFORE,
        SET_ASIDE,
        SNAPSHOT,
        KNOWN,
        PROTOTYPES,
        NAMES,
        REDECLARED,
        ROOTS,
        APP,
        OLD_VALUE,
        UNDO,
        VALUE,
        NEXT
    };
    luaL_checkstack(L, 40, "reload");
    if (lua_isnil(L, 2)) settle_value(run, L, module, 2);
    lua_pushfstring(L, "@%s", run->key);
    ls__ref_push(session, L, load.ledger);
    ls__ref_push(session, L, module ? module->record : LUA_NOREF);
    const struct record *before = lua_touserdata(L, RECORD);
    if (before && !first) {
        lua_getiuservalue(L, RECORD, HOLDERS);
        lua_getiuservalue(L, RECORD, ASIDE);
    } else {
        lua_rawgeti(L, LEDGER, LS_LEDGER_HOLDERS);
        lua_newtable(L);
    }
    struct ls_rule *rule = &applying->rule;
    *rule = (struct ls_rule){
        .L = L,
        .run = run,
        .source = lua_tostring(L, SOURCE),
        .now_text = load.text,
        .given = before && !first ? before->given : NULL,
        .first = first,
        .snapshot = SNAPSHOT,
        .known = KNOWN,
        .prototypes = PROTOTYPES,
        .names = NAMES,
        .redeclared = REDECLARED,
        .roots = ROOTS,
        .app = APP,
        .old_value = OLD_VALUE,
        .old_holders = HOLDERS_BEFORE,
        .aside = SET_ASIDE,
        .undo = UNDO,
        .saves = before && !first ? before->saves + 1 : 1,
    };
    if (!first) {
        applying->comparison = ls_text_compare(before ? before->text : NULL, load.text);
        if (applying->comparison) rule->places = ls_comparison_places(applying->comparison);
        if (before) rule->before = ls_text_syntax(before->text);
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
    lua_rawgeti(L, LEDGER, LS_LEDGER_UNDO);
    lua_pushvalue(L, 2);
    ls__rule_apply(rule);
    run->value_changed = !first && !lua_rawequal(L, VALUE, OLD_VALUE);
    if (!first) {
        count_fields(run, L);
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
    if (session->vm.config.hot) {
        applying->given = ls__walk_record(&rule->walk);
        if (session->vm.chunks) applying->given = ls__chunks_share(session->vm.chunks, run->key, applying->given);
        keep_record(applying, L, NEXT);
    }
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
    struct applying applying = {.run = run};
    lua_pushcfunction(L, l_apply);
    lua_insert(L, -2);
    lua_pushlightuserdata(L, &applying);
    lua_insert(L, -2);
    int code = ls__lcall(run->session, 2, 1, err);
    ls__rule_release(&applying.rule);
    ls_comparison_unref(applying.comparison);
    ls_bytes_unref(applying.given);
    return code;
}

void ls__run_release(struct ls_run *run)
{
    for (int list = 0; list < LS_MODULE_LISTS; list++)
        ls_names_release(&run->old[list]);
    ls_buf_release(&run->removed);
    ls_buf_release(&run->notes);
    ls_buf_release(&run->losses);
    ls_buf_release(&run->fields);
}
