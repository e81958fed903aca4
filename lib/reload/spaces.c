/* Name spaces: tables that a chunk takes up again, as in `Tool = Tool or {}`, and writes into. They are no new
 * tables, so what was in them is known from the snapshot alone: those that the text gives go into it before the chunk
 * runs, and what differs afterwards is a change like that of a global (rule.h, step 1).
 *
 * Owner thread: the session's. Looks where the texts' places are, never at the tables' own keys. Rule: H49. */
#include "model/prototype.h"
#include "model/snapshot.h"
#include "reload/reload_state.h"
#include "reload/rule.h"

enum { DEEPEST = 32 }; /* places one below the other */

/* What is done at each table, which is at `table`; `path` is that of its keys. @return are its children of interest? */
typedef bool (*visit_table)(void *ctx, lua_State *L, int table, uint64_t path);

/* The value on top stands at that place. [-1, +0, m] */
static LS_RAISES void visit_place(lua_State *L, const struct ls_place *place, uint64_t path, int depth,
                                  visit_table visit, void *ctx)
{
    int table = lua_gettop(L);
    if (lua_istable(L, table) && place->first && depth < DEEPEST && visit(ctx, L, table, path)) {
        luaL_checkstack(L, 8, "reload");
        for (const struct ls_place *child = place->first; child; child = child->next) {
            if (child->key.kind == LS_KEY_METATABLE || !child->first || !child->now) continue;
            ls__place_key_push(L, &child->key);
            uint64_t below = ls__path_child(L, path, table + 1);
            lua_rawget(L, table);
            visit_place(L, child, below, depth + 1, visit, ctx);
        }
    }
    lua_settop(L, table - 1);
}

/* [-0, +0, m] */
static LS_RAISES void visit_globals(lua_State *L, const struct ls_places *places, visit_table visit, void *ctx)
{
    int top = lua_gettop(L);
    lua_pushglobaltable(L);
    for (const struct ls_place *place = ls_places_first(places, LS_PLACE_GLOBAL); place; place = place->next) {
        const struct ls_syntax_string name = place->key.string;
        if (!name.text || !place->now) continue; /* _G itself, or a table of another file */
        lua_pushlstring(L, name.text, name.len);
        lua_rawget(L, top + 1);
        visit_place(L, place, ls__path_root(LS_ROOT_GLOBAL, name.text, name.len), 0, visit, ctx);
    }
    lua_settop(L, top);
}

struct protecting {
    int snapshot, libraries; /* stack indexes */
};

/* [-0, +0, m] */
static LS_RAISES bool protect(void *ctx, lua_State *L, int table, uint64_t path)
{
    const struct protecting *protecting = ctx;
    (void)path;
    if (ls__has_key(L, protecting->libraries, table)) return false;
    ls__snapshot_add(L, protecting->snapshot, table);
    return true;
}

LS_RAISES void ls__spaces_protect(struct ls_session *session, lua_State *L, int snapshot,
                                  const struct ls_places *places)
{
    ls__ref_push(session, L, session->reload->libraries);
    struct protecting protecting = {snapshot, lua_gettop(L)};
    visit_globals(L, places, protect, &protecting);
    lua_pop(L, 1);
}

/* [-0, +0, m] */
static LS_RAISES bool note_space(void *ctx, lua_State *L, int table, uint64_t path)
{
    struct ls_rule *rule = ctx;
    int top = lua_gettop(L);
    bool lives_on = ls__snapshot_record(L, rule->snapshot, table) && !ls__has_key(L, rule->known, table) &&
                    !ls__has_key(L, rule->spaces, table);
    lua_pushinteger(L, (lua_Integer)path);
    if (lives_on) ls__raw_set(L, rule->spaces, table, top + 2);
    lua_settop(L, top);
    return lives_on;
}

LS_RAISES void ls__rule_spaces(struct ls_rule *rule)
{
    if (rule->places) visit_globals(rule->L, rule->places, note_space, rule);
}

/* What the text gives in the table at `container`, which lives on, is what the execution gave, also where it stood
 * there before. [-0, +0, m] */
static LS_RAISES void walk_given(struct ls_rule *rule, int container, int declared)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    for (const struct ls_binding *b = ls__binding_first(rule, container); b; b = ls__binding_next(rule, b))
        for (const struct ls_place *child = b->place->first; child; child = child->next) {
            if (!child->now || child->key.kind == LS_KEY_METATABLE) continue;
            ls__place_key_push(L, &child->key);
            bool own = !declared || !lua_istable(L, declared) || !ls__has_key(L, declared, top + 1);
            if (own && ls__raw_get(L, container, top + 1) != LUA_TNIL)
                ls__walk_value(&rule->walk, top + 2, ls__rule_path(rule, container, top + 1));
            lua_settop(L, top);
        }
}

LS_RAISES void ls__rule_walk_given(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    if (!rule->places) return;
    lua_pushglobaltable(L);
    for (const struct ls_place *place = ls_places_first(rule->places, LS_PLACE_GLOBAL); place; place = place->next) {
        const struct ls_syntax_string name = place->key.string;
        if (!name.text || !place->now) continue;
        lua_pushlstring(L, name.text, name.len);
        if (ls__raw_get(L, top + 1, top + 2) != LUA_TNIL)
            ls__walk_value(&rule->walk, top + 3, ls__path_root(LS_ROOT_GLOBAL, name.text, name.len));
        lua_settop(L, top + 1);
    }
    for (lua_pushnil(L); lua_next(L, rule->spaces); lua_settop(L, top + 2))
        walk_given(rule, top + 2, 0);
    lua_settop(L, top);
    for (uint32_t i = 0; i < rule->run->session->model->proto_count; i++, lua_settop(L, top)) {
        const struct ls_proto *proto = ls__rule_proto(rule, i);
        if (!proto) continue;
        ls__ref_push(rule->run->session, L, proto->record);
        walk_given(rule, top + 1, top + 2);
    }
    if (lua_istable(L, rule->value) && lua_rawequal(L, rule->value, rule->old_value)) walk_given(rule, rule->value, 0);
}
