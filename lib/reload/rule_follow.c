/* Step 5 of the three-way rule (rule.h): what refers to what has given way refers to what has stayed.
 *
 * Owner thread: the session's. Neither follows weak references differently nor enters functions of other files: who
 * else holds a table that gave way is asked of the collector (holders.c). Rules: H48, H49. */
#include "reload/rule.h"

#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "model/prototype.h"
#include "model/snapshot.h"
#include "reload/reload_state.h"

/* New functions with an inner variable that goes on get that of their predecessors, also those that have no predecessor
 * but share it. [-0, +0, -] */
static void join_inner(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    if (ls_idmap_count(rule->joins) == 0) return;
    for (lua_Integer i = 1; i <= rule->walk.function_count; i++) {
        lua_rawgeti(L, rule->functions, i);
        for (int up = 1; lua_getupvalue(L, top + 1, up); up++) {
            void *id = lua_upvalueid(L, top + 1, up);
            uintptr_t at = (uintptr_t)ls_idmap_get(rule->joins, (int64_t)(intptr_t)id);
            lua_settop(L, top + 1);
            if (!at) continue;
            lua_rawgeti(L, rule->joined, (lua_Integer)(at >> 8));
            lua_upvaluejoin(L, top + 1, up, top + 2, (int)(at & 255));
            lua_settop(L, top + 1);
        }
        lua_settop(L, top);
    }
}

/* --- new tables that gave way --- */

/* A new table that stays: it is to be looked through. [-0, +0, m] */
static LS_RAISES void look_through(struct ls_rule *rule, int table)
{
    if (ls__walk_seen(&rule->walk, table)) ls__array_add(rule->L, rule->taken, table);
}

/* The value at `value` of the table at `table` under the key at `key`: what stays for it. [-0, +0, m] */
static LS_RAISES void substitute_field(struct ls_rule *rule, int table, int key, int value, bool fresh)
{
    lua_State *L = rule->L;
    if (ls__rule_mapped(rule, value)) {
        if (fresh)
            ls__raw_set(L, table, key, lua_gettop(L));
        else
            ls__rule_put(rule, table, key, lua_gettop(L));
        lua_pop(L, 1);
    } else {
        look_through(rule, value);
    }
}

/* Tables that stay and that the chunk has made, or has put into such. The list grows meanwhile. [-0, +0, m] */
static LS_RAISES void substitute_taken(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L), table = top + 1;
    for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, rule->taken); i++) {
        lua_rawgeti(L, rule->taken, i);
        int64_t address = (int64_t)(intptr_t)lua_topointer(L, table);
        bool done = ls_idmap_get(rule->looked, address) || ls_idmap_get(rule->mapped, address);
        if (!done && !ls_idmap_put(rule->looked, address, rule, NULL)) luaL_error(L, "out of memory while reloading");
        const bool fresh = ls__rule_made(rule, table);
        if (!done && lua_getmetatable(L, table)) {
            if (!ls__rule_mapped(rule, table + 1))
                look_through(rule, table + 1);
            else if (fresh)
                ls__set_metatable(L, table);
            else
                ls__rule_put_meta(rule, table, table + 2);
        }
        lua_settop(L, table);
        for (lua_pushnil(L); !done && lua_next(L, table); lua_settop(L, table + 1))
            if (lua_istable(L, table + 2)) substitute_field(rule, table, table + 1, table + 2, fresh);
        lua_settop(L, top);
    }
}

static LS_RAISES void substitute_upvalues(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    for (lua_Integer i = 1; i <= rule->walk.function_count; i++) {
        lua_rawgeti(L, rule->functions, i);
        for (int up = 1; lua_getupvalue(L, top + 1, up); up++) {
            if (ls__rule_mapped(rule, top + 2))
                lua_setupvalue(L, top + 1, up);
            else
                look_through(rule, top + 2);
            lua_settop(L, top + 1);
        }
        lua_settop(L, top);
    }
}

/* A table of the session's, one level deep. [-0, +0, m] */
static LS_RAISES void substitute_in(struct ls_rule *rule, int table)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    if (!lua_istable(L, table)) return;
    for (lua_pushnil(L); lua_next(L, table); lua_settop(L, top + 1))
        if (lua_istable(L, top + 2)) substitute_field(rule, table, top + 1, top + 2, false);
}

/* --- copies of functions elsewhere --- */

struct elsewhere {
    struct ls_rule *rule;
    int queue; /* index of an array */
    lua_Integer count;
};

/* The table at `idx` is to be looked through, once. [-0, +0, m] */
static LS_RAISES void visit(struct elsewhere *walk, int idx)
{
    lua_State *L = walk->rule->L;
    if (!lua_istable(L, idx)) return;
    void *was = NULL;
    if (!ls_idmap_put(walk->rule->visited, (int64_t)(intptr_t)lua_topointer(L, idx), walk, &was))
        luaL_error(L, "out of memory while reloading");
    if (was) return;
    lua_pushvalue(L, idx);
    lua_rawseti(L, walk->queue, ++walk->count);
}

/* [-0, +0, m] */
static LS_RAISES void visit_ref(struct elsewhere *walk, int ref)
{
    lua_State *L = walk->rule->L;
    ls__ref_push(walk->rule->run->session, L, ref);
    visit(walk, lua_gettop(L));
    lua_pop(L, 1);
}

/* The successor at `to` is to stand where the copy at `copy` stands. [-0, +0, m] */
static LS_RAISES void follow_copy(struct ls_rule *rule, int container, int key, int copy, int to)
{
    lua_State *L = rule->L;
    int64_t was = (int64_t)ls__hash_identity(L, copy);
    ls__rule_put(rule, container, key, to);
    if (!ls_idmap_put(rule->followed, was, (void *)(uintptr_t)ls__hash_identity(L, to), NULL))
        luaL_error(L, "out of memory while reloading");
}

/* What another file has left; NULL = nothing, or it is this one. [-0, +0, -] */
static struct ls_record *record_of(const struct ls_rule *rule, const struct ls_module *module)
{
    lua_State *L = rule->L;
    if (strcmp(module->key, rule->run->key) == 0) return NULL;
    ls__ref_push(rule->run->session, L, module->record);
    struct ls_record *record = lua_touserdata(L, -1); /* the reference holds it */
    lua_pop(L, 1);
    return record;
}

/* Has another file given the global whose name is at `key`? [-0, +0, -] */
static bool is_global_elsewhere(const struct ls_rule *rule, int key)
{
    const struct ls_model *model = rule->run->session->model;
    size_t len;
    const char *name = lua_type(rule->L, key) == LUA_TSTRING ? lua_tolstring(rule->L, key, &len) : NULL;
    if (!name) return false;
    uint64_t path = ls__path_root(LS_ROOT_GLOBAL, name, len);
    for (size_t i = 0; i < model->module_count; i++) {
        const struct ls_record *record = record_of(rule, model->modules[i]);
        if (record && ls__record_find(record->given, path, NULL)) return true;
    }
    return false;
}

/* Globals of the other files; what else is in _G is the run's. [-0, +0, m] */
static LS_RAISES void follow_globals(struct elsewhere *walk)
{
    struct ls_rule *rule = walk->rule;
    lua_State *L = rule->L;
    int top = lua_gettop(L), key = top + 2, value = top + 3;
    lua_pushglobaltable(L);
    for (lua_pushnil(L); lua_next(L, top + 1); lua_settop(L, key)) {
        bool copy = lua_isfunction(L, value) && ls__raw_get(L, rule->successor, value) != LUA_TNIL;
        if ((!copy && !lua_istable(L, value)) || !is_global_elsewhere(rule, key)) continue;
        if (copy)
            follow_copy(rule, top + 1, key, value, value + 1);
        else
            visit(walk, value);
    }
    lua_settop(L, top);
}

/* Variables of the main blocks of the other files. [-0, +0, m] */
static LS_RAISES void follow_holders(struct elsewhere *walk)
{
    struct ls_rule *rule = walk->rule;
    lua_State *L = rule->L;
    int top = lua_gettop(L), holders = top + 2, f = top + 5;
    const struct ls_model *model = rule->run->session->model;
    for (size_t i = 0; i < model->module_count; i++, lua_settop(L, top)) {
        bool own = strcmp(model->modules[i]->key, rule->run->key) == 0;
        if (ls__ref_push(rule->run->session, L, model->modules[i]->record) == LUA_TNIL) continue;
        lua_getiuservalue(L, top + 1, LS_RECORD_HOLDERS);
        for (lua_pushnil(L); lua_next(L, holders); lua_settop(L, holders + 1)) { /* holders name {f, up} */
            lua_rawgeti(L, holders + 2, 1);
            lua_rawgeti(L, holders + 2, 2);
            if (!lua_getupvalue(L, f, (int)lua_tointeger(L, f + 1))) continue;
            visit(walk, f + 2);
            if (!own && lua_isfunction(L, f + 2) && ls__raw_get(L, rule->successor, f + 2) != LUA_TNIL)
                follow_copy(rule, f, f + 1, f + 2, f + 3);
        }
    }
    lua_settop(L, top);
}

static LS_RAISES void follow_elsewhere(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    struct ls_session *session = rule->run->session;
    const struct ls_model *model = session->model;
    int top = lua_gettop(L);
    if (lua_rawlen(L, rule->successions) == 0) return;
    struct elsewhere walk = {.rule = rule};
    lua_newtable(L);
    walk.queue = top + 1;
    ls__ref_push(session, L, session->reload->libraries);
    for (lua_pushnil(L); lua_next(L, top + 2); lua_settop(L, top + 3)) { /* they are not looked through */
        lua_pop(L, 1);
        if (!ls_idmap_put(rule->visited, (int64_t)(intptr_t)lua_topointer(L, top + 3), rule, NULL))
            luaL_error(L, "out of memory while reloading");
    }
    lua_settop(L, top + 1);
    follow_globals(&walk);
    const int refs[] = {model->ref_loaded, model->ref_app, model->ref_presenters, model->ref_wrappers};
    for (size_t i = 0; i < sizeof refs / sizeof *refs; i++)
        visit_ref(&walk, refs[i]);
    for (uint32_t i = 0; i < model->proto_count; i++)
        if (model->protos[i]) visit_ref(&walk, model->protos[i]->table);
    for (size_t i = 0; i < model->module_count; i++)
        visit_ref(&walk, model->modules[i]->keep);
    follow_holders(&walk);
    lua_settop(L, top + 1);
    for (; walk.count; lua_settop(L, top + 1)) {
        int table = top + 2, key = top + 3, value = top + 4;
        lua_rawgeti(L, walk.queue, walk.count);
        lua_pushnil(L);
        lua_rawseti(L, walk.queue, walk.count--);
        if (lua_getmetatable(L, table)) visit(&walk, key);
        lua_settop(L, table);
        for (lua_pushnil(L); lua_next(L, table); lua_settop(L, key)) {
            int type = lua_type(L, value);
            if (type == LUA_TTABLE)
                visit(&walk, value);
            else if (type == LUA_TFUNCTION && ls__raw_get(L, rule->successor, value) != LUA_TNIL)
                follow_copy(rule, table, key, value, value + 1);
        }
    }
    lua_settop(L, top);
}

LS_RAISES void ls__rule_follow(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    struct ls_session *session = rule->run->session;
    const struct ls_module *module = ls__module_find(session, rule->run->key);
    int top = lua_gettop(L);
    if (!(rule->looked = ls_idmap_new()) || !(rule->visited = ls_idmap_new()) || !(rule->followed = ls_idmap_new()))
        luaL_error(L, "out of memory while reloading");
    join_inner(rule);
    if (rule->pair_count) {
        substitute_upvalues(rule);
        substitute_taken(rule);
        const int refs[] = {session->model->ref_app, session->model->ref_presenters, session->model->ref_wrappers,
                            session->model->ref_loaded, module ? module->keep : LUA_NOREF};
        for (size_t i = 0; i < sizeof refs / sizeof *refs; i++) {
            ls__ref_push(session, L, refs[i]);
            substitute_in(rule, top + 1);
            lua_settop(L, top);
        }
        ls__ref_push(session, L, session->model->ref_app);
        if (ls__rule_mapped(rule, top + 1)) ls__app_replace(session, L);
        lua_settop(L, top);
    }
    follow_elsewhere(rule);
    lua_pushvalue(L, rule->value);
    rule->run->taken_over = ls__rule_mapped(rule, top + 1);
    if (rule->run->taken_over) lua_replace(L, rule->value);
    lua_settop(L, top);
}

void ls__rule_follow_records(struct ls_rule *rule)
{
    const struct ls_model *model = rule->run->session->model;
    if (!rule->followed || ls_idmap_count(rule->followed) == 0) return;
    for (size_t i = 0; i < model->module_count; i++) {
        struct ls_record *record = record_of(rule, model->modules[i]);
        size_t len = record ? ls_bytes_len(record->given) : 0, changed = 0;
        uint64_t *words = len ? ls_malloc(len) : NULL; /* pairs of path and hash; without memory it stays as it is */
        if (!words) continue;
        memcpy(words, ls_bytes_data(record->given), len);
        for (size_t at = 1; at < len / sizeof *words; at += 2) {
            uint64_t now = (uintptr_t)ls_idmap_get(rule->followed, (int64_t)words[at]);
            if (now && ++changed) words[at] = now;
        }
        struct ls_bytes *given = changed ? ls_bytes_new(words, len) : NULL;
        ls_free(words);
        if (!given) continue;
        ls_bytes_unref(record->given);
        record->given = given;
    }
}
