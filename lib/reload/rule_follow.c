/* Step 5 of the three-way rule (rule.h): what refers to what has given way refers to what has stayed.
 *
 * Owner thread: the session's. Neither follows weak references differently nor enters functions of other files: who
 * else holds a table that gave way is asked of the collector (escape.c). Rules: H48, H49. */
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

enum { AT_ONCE = 100000 }; /* keys that are looked at before the frames are out */

/* [-0, +0, m] */
static LS_RAISES void reach_ref(struct ls_reach *reach, int ref)
{
    ls__ref_push(reach->session, reach->L, ref);
    ls__reach(reach);
}

/* What another file than that of the key has left; NULL = nothing, or it is this one. [-0, +0, -] */
static struct ls_record *record_of(struct ls_session *session, const char *key, const struct ls_module *module)
{
    lua_State *L = session->vm.L;
    if (strcmp(module->key, key) == 0) return NULL;
    ls__ref_push(session, L, module->record);
    struct ls_record *record = lua_touserdata(L, -1); /* the reference holds it */
    lua_pop(L, 1);
    return record;
}

/* Has a file given the global whose name is at `name`?
 * @param but  key of the file that does not count [-0, +0, -] */
static bool is_global_given(const struct ls_reach *reach, int name, const char *but)
{
    const struct ls_model *model = reach->session->model;
    size_t len;
    const char *text = lua_type(reach->L, name) == LUA_TSTRING ? lua_tolstring(reach->L, name, &len) : NULL;
    if (!text) return false;
    uint64_t path = ls__path_root(LS_ROOT_GLOBAL, text, len);
    for (size_t i = 0; i < model->module_count; i++) {
        const struct ls_record *record = record_of(reach->session, but, model->modules[i]);
        if (record && ls__record_find(record->given, path, NULL)) return true;
    }
    return false;
}

/* Globals of the files; what else is in _G is the run's. Those of the file itself have their successors, but not all
 * that is in long lists below. [-0, +0, m] */
static LS_RAISES void reach_globals(struct ls_reach *reach)
{
    lua_State *L = reach->L;
    int top = lua_gettop(L), name = top + 2, value = top + 3;
    lua_pushglobaltable(L);
    for (lua_pushnil(L); lua_next(L, top + 1); lua_settop(L, name)) {
        bool copy = lua_isfunction(L, value) && !lua_iscfunction(L, value) && ls__has_key(L, reach->replaced, value);
        bool enter = lua_istable(L, value) && !ls_idmap_get(reach->seen, ls__address(L, value));
        if ((!copy && !enter) || !is_global_given(reach, name, copy ? reach->key : "")) continue;
        if (ls__reach_replaced(reach)) ls__put(reach->session, L, top + 1, name, value);
        ls__reach(reach);
    }
    lua_settop(L, top);
}

/* Variables of the main blocks of the other files. [-0, +0, m] */
static LS_RAISES void reach_holders(struct ls_reach *reach)
{
    lua_State *L = reach->L;
    int top = lua_gettop(L), holders = top + 2, f = top + 5;
    const struct ls_model *model = reach->session->model;
    for (size_t i = 0; i < model->module_count; i++, lua_settop(L, top)) {
        bool own = strcmp(model->modules[i]->key, reach->key) == 0;
        if (ls__ref_push(reach->session, L, model->modules[i]->record) == LUA_TNIL) continue;
        lua_getiuservalue(L, top + 1, LS_RECORD_HOLDERS);
        for (lua_pushnil(L); lua_next(L, holders); lua_settop(L, holders + 1)) { /* holders name {f, up} */
            lua_rawgeti(L, holders + 2, 1);
            lua_rawgeti(L, holders + 2, 2);
            if (!lua_getupvalue(L, f, (int)lua_tointeger(L, f + 1))) continue;
            if (!own && ls__reach_replaced(reach)) ls__put(reach->session, L, f, f + 1, f + 2);
            ls__reach(reach);
        }
    }
    lua_settop(L, top);
}

/* Look through the governed places of the other files. [-0, +0, m] */
static LS_RAISES void follow_copies(struct ls_reach *reach)
{
    lua_State *L = reach->L;
    struct ls_session *session = reach->session;
    const struct ls_model *model = session->model;
    int top = lua_gettop(L);
    lua_createtable(L, 64, 0);
    reach->queue = top + 1;
    ls__ref_push(session, L, session->reload->libraries);
    for (lua_pushnil(L); lua_next(L, top + 2); lua_settop(L, top + 3)) { /* they are not looked through */
        lua_pop(L, 1);
        if (!ls_idmap_put(reach->seen, ls__address(L, top + 3), reach, NULL))
            luaL_error(L, "out of memory while reloading");
    }
    lua_settop(L, top + 1);
    reach_globals(reach);
    const int refs[] = {model->ref_loaded, model->ref_app, model->ref_presenters, model->ref_wrappers};
    for (size_t i = 0; i < sizeof refs / sizeof *refs; i++)
        reach_ref(reach, refs[i]);
    for (uint32_t i = 0; i < model->proto_count; i++)
        if (model->protos[i]) reach_ref(reach, model->protos[i]->table);
    for (size_t i = 0; i < model->module_count; i++)
        reach_ref(reach, model->modules[i]->keep);
    reach_holders(reach);
    ls__reach_all(reach);
    lua_settop(L, top);
}

/* Other files have given the successors of copies that followed: put them into these files' records. */
static void follow_records(struct ls_session *session, const char *key, const struct ls_idmap *followed)
{
    const struct ls_model *model = session->model;
    if (!followed || ls_idmap_count(followed) == 0) return;
    for (size_t i = 0; i < model->module_count; i++) {
        struct ls_record *record = record_of(session, key, model->modules[i]);
        size_t len = record ? ls_bytes_len(record->given) : 0, changed = 0;
        uint64_t *words = len ? ls_malloc(len) : NULL; /* pairs of path and hash; without memory it stays as it is */
        if (!words) continue;
        memcpy(words, ls_bytes_data(record->given), len);
        for (size_t at = 1; at < len / sizeof *words; at += 2) {
            uint64_t now = (uintptr_t)ls_idmap_get(followed, (int64_t)words[at]);
            if (now && ++changed) words[at] = now;
        }
        struct ls_bytes *given = changed ? ls_bytes_new(words, len) : NULL;
        ls_free(words);
        if (!given) continue;
        ls_bytes_unref(record->given);
        record->given = given;
    }
}

void ls__rule_follow_records(struct ls_rule *rule)
{
    follow_records(rule->run->session, rule->run->key, rule->reach.followed);
}

/* Follow the functions that `replaced` has at once, or begin and leave what is large for later.
 * @param most  keys; 0 = all at once [-0, +0, m] */
static LS_RAISES void follow_functions(struct ls_reach *reach, const char *key, int replaced, lua_Integer most)
{
    ls_idmap_free(reach->seen, NULL);
    reach->seen = ls_idmap_new();
    if (!reach->followed) reach->followed = ls_idmap_new();
    if (!reach->seen || !reach->followed) luaL_error(reach->L, "out of memory while reloading");
    reach->key = key;
    reach->replaced = replaced;
    reach->most = most;
    reach->looked = reach->first = reach->last = 0;
    reach->cut = false;
    follow_copies(reach);
}

/* [-1, +0, m] argument: the walk */
LS_RAISES int ls__reach_l_copies(lua_State *L)
{
    struct ls_reach *reach = lua_touserdata(L, 1);
    reach->L = L;
    luaL_checkstack(L, 20, "reload");
    ls__ref_push(reach->session, L, reach->session->reload->copies);
    for (lua_pushnil(L); lua_next(L, 2); lua_settop(L, 3)) {
        follow_functions(reach, lua_tostring(L, 3), 4, 0);
        follow_records(reach->session, reach->key, reach->followed);
    }
    return 0;
}

/* What an earlier save of the file has left to be done is done first. [-0, +0, m] */
static LS_RAISES void follow_elsewhere(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    struct ls_session *session = rule->run->session;
    int top = lua_gettop(L), copies = top + 1, key = top + 2, left = top + 3;
    if (lua_rawlen(L, rule->successions) == 0) return;
    rule->reach = (struct ls_reach){.session = session, .L = L, .kind = LUA_TFUNCTION};
    bool any = ls__ref_push(session, L, session->reload->copies) == LUA_TTABLE;
    lua_pushstring(L, rule->run->key);
    if (ls__raw_get(L, copies, key) == LUA_TTABLE) follow_functions(&rule->reach, rule->run->key, left, 0);
    follow_functions(&rule->reach, rule->run->key, rule->successor, AT_ONCE);
    if (rule->reach.cut && !any) {
        lua_newtable(L);
        lua_copy(L, -1, copies);
        session->reload->copies = ls__ref_take(session, L);
    }
    lua_pushnil(L);
    if (any || rule->reach.cut) ls__put(session, L, copies, key, rule->reach.cut ? rule->successor : lua_gettop(L));
    lua_settop(L, top);
}

LS_RAISES void ls__rule_follow(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    struct ls_session *session = rule->run->session;
    const struct ls_module *module = ls__module_find(session, rule->run->key);
    int top = lua_gettop(L);
    if (!(rule->looked = ls_idmap_new())) luaL_error(L, "out of memory while reloading");
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
