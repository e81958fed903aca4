/* The order of the three-way rule's steps, and the first two of them (rule.h). */
#include "reload/rule.h"

#include <string.h>

#include "base/alloc.h"
#include "model/prototype.h"
#include "model/snapshot.h"
#include "reload/reload_state.h"

/* --- 1: what the chunk has assigned --- */

/* Fields that the server itself keeps on a prototype are no statics (L73, the default constructor of L75), nor are
 * declared ones (L82 to L89), but a table that instances share has what the run has put into it. [-0, +0, -] */
static bool is_ungoverned(lua_State *L, int declared, int key, int value, int was)
{
    if (lua_type(L, key) == LUA_TSTRING) {
        const char *name = lua_tostring(L, key);
        if (strcmp(name, "type") == 0 || strcmp(name, "__index") == 0 ||
            (strcmp(name, "new") == 0 && lua_iscfunction(L, value)))
            return true;
    }
    bool shared = lua_istable(L, value) && lua_istable(L, was);
    return !shared && lua_istable(L, declared) && ls__has_key(L, declared, key);
}

/* @param declared  index of a prototype's declared fields; 0 = the container is no prototype [-0, +0, m] */
static LS_RAISES void collect_changes(struct ls_rule *rule, int container, int declared)
{
    lua_State *L = rule->L;
    ls__snapshot_record(L, rule->snapshot, container);
    int before = lua_gettop(L), key = before + 1, value = before + 2, at = 0;
    bool same = ls__snapshot_same(L, before, container);
    for (lua_pushnil(L); !same && lua_next(L, container); lua_settop(L, key)) {
        ls__snapshot_was(L, before, key, &at); /* before key value was */
        if (!lua_rawequal(L, value, value + 1) && !(declared && is_ungoverned(L, declared, key, value, value + 1)))
            ls__triples_add(L, rule->changes, container, key, value + 1);
    }
    lua_settop(L, before - 1);
}

static LS_RAISES void collect_all_changes(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    lua_pushglobaltable(L);
    collect_changes(rule, top + 1, 0);
    lua_settop(L, top);
    if (!rule->first && lua_istable(L, rule->value) && lua_rawequal(L, rule->value, rule->old_value) &&
        !ls__proto_of(rule->run->session, L, rule->value))
        collect_changes(rule, rule->value, 0);
    ls__rule_spaces(rule);
    for (lua_pushnil(L); lua_next(L, rule->spaces); lua_settop(L, top + 1))
        collect_changes(rule, top + 1, 0);
    for (uint32_t i = 0; i < rule->run->session->model->proto_count; i++, lua_settop(L, top)) {
        const struct ls_proto *proto = ls__rule_proto(rule, i);
        if (!proto) continue;
        ls__ref_push(rule->run->session, L, proto->record);
        collect_changes(rule, top + 1, top + 2);
    }
}

/* Where the text gives something and the chunk has taken away what was there, it gives nil: `current = nil`.
 * @param place  the first of the places in the table at `container` [-0, +0, m] */
static LS_RAISES void collect_erased(struct ls_rule *rule, int container, int declared, const struct ls_place *place)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L), before = top + 1, key = top + 2, was = top + 3, at = 0;
    ls__snapshot_record(L, rule->snapshot, container);
    for (; place; place = place->next, lua_settop(L, before)) {
        if (!place->now || place->key.kind == LS_KEY_METATABLE) continue;
        ls__place_key_push(L, &place->key);
        if (lua_isnil(L, key) || ls__has_key(L, container, key)) continue;
        ls__snapshot_was(L, before, key, &at);
        lua_pushnil(L);
        if (!lua_isnil(L, was) && !(declared && is_ungoverned(L, declared, key, was + 1, was)))
            ls__triples_add(L, rule->changes, container, key, was);
    }
    lua_settop(L, top);
}

/* Of one that lives on. [-0, +0, m] */
static LS_RAISES void collect_erased_below(struct ls_rule *rule, int container, int declared)
{
    for (const struct ls_binding *b = ls__binding_first(rule, container); b; b = ls__binding_next(rule, b))
        collect_erased(rule, container, declared, b->place->first);
}

static LS_RAISES void collect_all_erased(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    if (!rule->places) return;
    lua_pushglobaltable(L);
    collect_erased(rule, top + 1, 0, ls_places_first(rule->places, LS_PLACE_GLOBAL));
    for (lua_pushnil(L); lua_next(L, rule->spaces); lua_settop(L, top + 2))
        collect_erased_below(rule, top + 2, 0);
    lua_settop(L, top);
    if (lua_istable(L, rule->value) && lua_rawequal(L, rule->value, rule->old_value) &&
        !ls__proto_of(rule->run->session, L, rule->value))
        collect_erased_below(rule, rule->value, 0);
    for (uint32_t i = 0; i < rule->run->session->model->proto_count; i++, lua_settop(L, top)) {
        const struct ls_proto *proto = ls__rule_proto(rule, i);
        if (!proto) continue;
        ls__ref_push(rule->run->session, L, proto->record);
        collect_erased_below(rule, top + 1, top + 2);
    }
}

/* --- 2: what the chunk has made --- */

/* Note that upvalue `upvalue` of the function at `function` is the variable `var`. [-0, +0, m] */
static LS_RAISES void note_variable(struct ls_rule *rule, unsigned var, int function, int upvalue)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    void *id = lua_upvalueid(L, function, upvalue);
    if (!rule->ids[var])
        rule->ids[var] = id;
    else if (rule->ids[var] != id)
        rule->ids[var] = LS_MANY;
    if (lua_rawgeti(L, rule->vars, (lua_Integer)var + 1) != LUA_TTABLE) {
        lua_settop(L, top);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawseti(L, rule->vars, (lua_Integer)var + 1);
    }
    lua_pushinteger(L, upvalue);
    lua_pushnil(L); /* list upvalue nil */
    ls__triples_add(L, top + 1, function, top + 2, top + 3);
    lua_settop(L, top);
}

static bool is_governed(const struct ls_syntax_variable *variable)
{
    return variable && variable->main >= 0 && variable->once;
}

/* The syntax is read when a function with a variable is met: data has no use for it. [-0, +0, m] */
static LS_RAISES void read_text(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    if (rule->now) return;
    rule->now = ls_text_syntax(rule->now_text);
    if (!rule->now && ls_text_is_lua(rule->now_text)) luaL_error(L, "out of memory while reloading");
    if (!rule->now) return;
    rule->ids = ls_zalloc((rule->now->variable_count + 1) * sizeof *rule->ids);
    if (!rule->ids) luaL_error(L, "out of memory while reloading");
}

/* Follow the upvalues of the function at `function`. [-0, +0, m] */
static LS_RAISES void walk_function(struct ls_rule *rule, int function)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    bool variables = false;
    const char *name;
    if (!ls__rule_is_new(rule, function)) return; /* of an earlier version, met in a table that outlives versions */
    for (int up = 1; !variables && (name = lua_getupvalue(L, function, up)); up++) {
        variables = strcmp(name, "_ENV") != 0;
        lua_settop(L, top);
    }
    if (!variables) return;
    read_text(rule);
    const struct ls_syntax_function *what = ls__rule_function(L, function, rule->now);
    for (int up = 1; (name = lua_getupvalue(L, function, up)); up++) {
        const struct ls_syntax_variable *variable =
            what && up <= (int)what->upvalue_count ? what->upvalues[up - 1].variable : NULL;
        uint64_t path = 0;
        if (is_governed(variable)) {
            note_variable(rule, (unsigned)variable->main, function, up);
            path = ls__path_root(LS_ROOT_LOCAL, variable->name.text, variable->name.len);
        }
        ls__walk_value(&rule->walk, top + 1, path);
        lua_settop(L, top);
    }
}

/* What a reference holds was made by the chunk, too; a field of it where there is a name. [-0, +0, m] */
static LS_RAISES void walk_ref(struct ls_rule *rule, int ref, const char *field)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    if (field)
        ls__push_field(rule->run->session, L, ref, field);
    else
        ls__ref_push(rule->run->session, L, ref);
    ls__walk_value(&rule->walk, top + 1, field ? ls__path_root(LS_ROOT_REGISTERED, field, strlen(field)) : 0);
    lua_settop(L, top);
}

/* Callbacks and tables that this execution has registered: through them functions of the file are found that nothing
 * else refers to. [-0, +0, m] */
static LS_RAISES void walk_registered(struct ls_rule *rule)
{
    const struct ls_model *model = rule->run->session->model;
    const struct ls_module *module = ls__module_find(rule->run->session, rule->run->key);
    if (!module) return;
    uint64_t serial = module->serial;
    uint32_t execution = module->execution;
    for (int list = LS_PRESENTERS; list <= LS_WRAPPERS; list++)
        for (uint32_t i = 0; i < module->lists[list].count; i++)
            walk_ref(rule, list == LS_WRAPPERS ? model->ref_wrappers : model->ref_presenters,
                     module->lists[list].items[i]);
    walk_ref(rule, module->dispose, NULL);
    for (size_t i = 0; i < model->timer_count; i++)
        if (model->timers[i].module == serial && model->timers[i].execution == execution)
            walk_ref(rule, model->timers[i].fn, NULL);
    for (size_t i = 0; i < model->watch_count; i++)
        if (model->watches[i].module == serial && model->watches[i].execution == execution)
            walk_ref(rule, model->watches[i].fn, NULL);
}

static LS_RAISES void walk_made(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    struct ls_session *session = rule->run->session;
    int top = lua_gettop(L);
    ls__walk_value(&rule->walk, rule->value, ls__path_root(LS_ROOT_VALUE, "", 0));
    for (lua_Integer i = 1, count = (lua_Integer)lua_rawlen(L, rule->changes); i <= count; i++) {
        ls__triples_push(L, rule->changes, i);
        ls__raw_get(L, top + 1, top + 2);
        ls__walk_value(&rule->walk, top + 4, ls__rule_path(rule, top + 1, top + 2));
        lua_settop(L, top);
    }
    walk_registered(rule);
    lua_pushglobaltable(L); /* its metatable is nobody's place, but what is in it is the file's */
    if (!rule->first && lua_getmetatable(L, top + 1) && ls__rule_is_new(rule, top + 2)) {
        ls__walk_value(&rule->walk, top + 2, 0);
        ls__array_add(L, rule->taken, top + 2);
    }
    lua_settop(L, top);
    if (ls__ref_push(session, L, session->model->ref_app) == LUA_TTABLE) ls__walk_functions(&rule->walk, top + 1, 0);
    lua_settop(L, top);
    ls__walk_globals(&rule->walk);
    const struct ls_module *module = ls__module_find(session, rule->run->key);
    bool gives = lua_istable(L, rule->value) || lua_isfunction(L, rule->value); /* else it may be a plugin of another */
    for (uint32_t i = 0; !gives && module && i < module->lists[LS_REQUIRES].count; i++, lua_settop(L, top))
        if (ls__push_field(session, L, session->model->ref_loaded, module->lists[LS_REQUIRES].items[i]) == LUA_TTABLE)
            ls__walk_functions(&rule->walk, top + 1, 2);
    for (lua_Integer i = 1; i <= rule->walk.function_count; i++) { /* the list grows meanwhile */
        lua_rawgeti(L, rule->functions, i);
        walk_function(rule, top + 1);
        lua_settop(L, top);
    }
    if (rule->walk.failed) luaL_error(L, "out of memory while reloading");
}

/* --- variables --- */

/* Fill `holders`: a function and an upvalue for each variable. One that no function of this text has, but only what
 * goes on of earlier ones, may be wanted again. [-0, +0, m] */
static LS_RAISES void note_holders(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    if (rule->places && lua_istable(L, rule->old_holders))
        for (lua_pushnil(L); lua_next(L, rule->old_holders); lua_settop(L, top + 1)) {
            size_t len;
            const char *name = lua_tolstring(L, top + 1, &len);
            const struct ls_place *place = ls_places_root(rule->places, LS_PLACE_LOCAL, name, len);
            if (place && place->before && place->now && place->edit == LS_EDIT_NONE)
                ls__raw_set(L, rule->holders, top + 1, top + 2);
        }
    lua_settop(L, top);
    for (unsigned var = 0; rule->now && var < rule->now->variable_count; var++) {
        if (!ls__rule_new_variable(rule, var)) continue;
        lua_createtable(L, 2, 0);
        lua_insert(L, top + 1);
        lua_rawseti(L, top + 1, 2);
        lua_rawseti(L, top + 1, 1);
        lua_setfield(L, rule->holders, rule->now->variables[var]->name.text);
        lua_settop(L, top);
    }
}

/* --- the whole --- */

/* Steps 2 and 3.
 * @param whole  also what is large and perhaps not edited is read */
static LS_RAISES void examine(struct ls_rule *rule, bool whole)
{
    lua_State *L = rule->L;
    int *const own[] = {&rule->functions, &rule->vars};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        lua_newtable(L);
        lua_replace(L, *own[i]);
    }
    ls__walk_release(&rule->walk);
    ls_idmap_free(rule->bound, NULL);
    rule->binding_count = 0;
    if (!(rule->bound = ls_idmap_new()) ||
        !ls__walk_init(&rule->walk, L, rule->source, rule->known, rule->functions, true))
        luaL_error(L, "out of memory while reloading");
    for (unsigned var = 0; rule->now && var < rule->now->variable_count; var++)
        rule->ids[var] = NULL;
    if (!whole && rule->places) rule->walk.before = rule->given;
    rule->walk.made = rule->new_things;
    walk_made(rule);
    rule->walk.before = NULL;
    if (!rule->first) ls__rule_bind(rule);
}

/* May what was not read count as not edited, and without functions of the file? [-0, +0, -] */
static bool is_examined(const struct ls_rule *rule)
{
    if (rule->walk.unread_count && rule->walk.met != rule->run->made_functions) return false;
    for (size_t i = 0; i < rule->walk.unread_count; i++) {
        const struct ls_binding *b = ls__binding_at(rule, rule->walk.unread[i]);
        if (!b) return false;
        for (; b; b = ls__binding_next(rule, b))
            if (b->version || b->place->within != LS_EDIT_NONE) return false;
    }
    return true;
}

LS_RAISES void ls__rule_apply(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    luaL_checkstack(L, 60, "reload");
    rule->value = lua_gettop(L);
    int *const own[] = {&rule->holders,  &rule->spaces,  &rule->changes,   &rule->functions, &rule->vars,
                        &rule->made,     &rule->present, &rule->successor, &rule->joined,    &rule->successions,
                        &rule->deferred, &rule->taken,   &rule->records};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        lua_newtable(L);
        *own[i] = lua_gettop(L);
    }
    if (!ls__walk_init(&rule->scratch, L, NULL, rule->known, 0, false) || !(rule->mapped = ls_idmap_new()) ||
        !(rule->present_of = ls_idmap_new()) || !(rule->joins = ls_idmap_new()))
        luaL_error(L, "out of memory while reloading");
    collect_all_changes(rule);
    if (!rule->first) read_text(rule);
    examine(rule, false);
    if (!is_examined(rule)) examine(rule, true);
    if (!rule->first) {
        ls__rule_walk_given(rule);
        collect_all_erased(rule);
        ls__rule_decide(rule);
        ls__rule_follow(rule);
        ls__rule_note_escapes(rule);
        ls__aside_age(rule);
    }
    note_holders(rule);
    lua_settop(L, rule->holders);
}

void ls__rule_release(struct ls_rule *rule)
{
    ls_comparison_unref(rule->comparison);
    for (size_t i = 0; i < rule->version_count; i++)
        ls_comparison_unref(rule->versions[i].comparison);
    ls_free(rule->versions);
    ls__walk_release(&rule->walk);
    ls__walk_release(&rule->scratch);
    ls_idmap_free(rule->mapped, NULL);
    ls_idmap_free(rule->present_of, NULL);
    ls_idmap_free(rule->bound, NULL);
    ls_idmap_free(rule->joins, NULL);
    ls_idmap_free(rule->looked, NULL);
    ls_idmap_free(rule->reach.seen, NULL);
    ls_idmap_free(rule->reach.followed, NULL);
    ls_free(rule->ids);
    ls_free(rule->pairs);
    ls_free(rule->bindings);
    ls_free(rule->above);
}
