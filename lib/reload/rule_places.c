/* Step 3 of the three-way rule (rule.h): places of the texts are bound to the new tables that stand there, and what the
 * texts say of a key of such a table.
 *
 * Owner thread: the session's. Calls no metamethod. Rule: H49. */
#include "reload/rule.h"

#include <string.h>

#include "base/array.h"
#include "model/prototype.h"
#include "model/snapshot.h"
#include "reload/reload_state.h"

const struct ls_binding *ls__binding_at(const struct ls_rule *rule, const void *table)
{
    size_t at = (size_t)(uintptr_t)ls_idmap_get(rule->bound, (int64_t)(intptr_t)table);
    return at ? &rule->bindings[at - 1] : NULL;
}

const struct ls_binding *ls__binding_next(const struct ls_rule *rule, const struct ls_binding *binding)
{
    return binding->next ? &rule->bindings[binding->next - 1] : NULL;
}

/* @return can a text name the key at `idx`? [-0, +0, -] */
bool ls__place_key(lua_State *L, int idx, struct ls_place_key *key)
{
    size_t len;
    switch (lua_type(L, idx)) {
    case LUA_TSTRING:
        key->kind = LS_KEY_STRING;
        key->string.text = lua_tolstring(L, idx, &len);
        key->string.len = (uint32_t)len;
        return true;
    case LUA_TNUMBER:
        key->kind = lua_isinteger(L, idx) ? LS_KEY_INTEGER : LS_KEY_FLOAT;
        if (key->kind == LS_KEY_INTEGER)
            key->integer = lua_tointeger(L, idx);
        else
            key->number = lua_tonumber(L, idx);
        return true;
    case LUA_TBOOLEAN:
        key->kind = LS_KEY_BOOLEAN;
        key->boolean = lua_toboolean(L, idx);
        return true;
    default: return false;
    }
}

/* [-0, +1, m] */
LS_RAISES void ls__place_key_push(lua_State *L, const struct ls_place_key *key)
{
    switch (key->kind) {
    case LS_KEY_STRING: lua_pushlstring(L, key->string.text, key->string.len); break;
    case LS_KEY_INTEGER: lua_pushinteger(L, key->integer); break;
    case LS_KEY_FLOAT: lua_pushnumber(L, key->number); break;
    case LS_KEY_BOOLEAN: lua_pushboolean(L, key->boolean); break;
    case LS_KEY_METATABLE: lua_pushnil(L); break;
    }
}

LS_RAISES struct ls_spot ls__spot_of_root(struct ls_rule *rule, enum ls_place_kind kind, const char *name)
{
    const struct ls_place *place =
        rule->places ? ls_places_root(rule->places, kind, name, name ? strlen(name) : 0) : NULL;
    /* What no statement of either text can be told to give is edited where the values differ. */
    enum ls_edit none = rule->given ? LS_EDIT_UNKNOWN : LS_EDIT_NONE;
    return place ? ls__aside_spot(rule, place, 0) : (struct ls_spot){.edit = none, .rest = none};
}

/* Of a key of the new table at `table`; NULL = its metatable. */
LS_RAISES struct ls_spot ls__spot_of(struct ls_rule *rule, int table, const struct ls_place_key *key, enum ls_edit rest)
{
    struct ls_spot own = {.edit = LS_EDIT_NONE}, others = {.edit = LS_EDIT_NONE, .version = LS_VERSION_ABOVE};
    const struct ls_binding *binding = ls__binding_first(rule, table);
    if (!binding) return (struct ls_spot){.edit = rest, .rest = rest, .version = LS_VERSION_ABOVE};
    for (; binding; binding = ls__binding_next(rule, binding)) {
        const struct ls_places *places = rule->versions[binding->version].places;
        const struct ls_place *child = key ? ls_place_child(places, binding->place, key) : NULL;
        others.edit = others.rest = ls__stronger(others.edit, binding->place->rest);
        if (!child) continue;
        struct ls_spot spot = ls__aside_spot(rule, child, binding->version);
        spot.edit = ls__stronger(own.edit, spot.edit);
        spot.rest = ls__stronger(own.rest, spot.rest);
        bool better = !own.place || spot.aside || child->now != child->before;
        own.edit = spot.edit;
        own.rest = spot.rest;
        if (better) own = spot;
    }
    return own.place ? own : others;
}

/* The table at `table` stands at that place; other values pass. [-0, +0, m] */
static LS_RAISES void bind(struct ls_rule *rule, int table, unsigned version, const struct ls_place *place)
{
    lua_State *L = rule->L;
    if (!place || !lua_istable(L, table)) return;
    const struct ls_spot spot = ls__aside_spot(rule, place, version);
    if (!spot.exact) return; /* nothing is edited differently from the rest of the place above */
    place = spot.place;
    size_t first = (size_t)(uintptr_t)ls_idmap_get(rule->bound, ls__address(L, table));
    for (const struct ls_binding *b = ls__binding_first(rule, table); b; b = ls__binding_next(rule, b))
        if (b->place == place) return;
    if (!LS_PUSH(rule->bindings, rule->binding_count, rule->binding_cap,
                 (struct ls_binding){place, spot.version, first}) ||
        !ls_idmap_put(rule->bound, ls__address(L, table), (void *)(uintptr_t)rule->binding_count, NULL))
        luaL_error(L, "out of memory while reloading");
    lua_pushvalue(L, table);
    lua_rawseti(L, rule->bound_tables, (lua_Integer)rule->binding_count);
}

/* What stands below the places that are bound; the list of bindings grows meanwhile. One place that is another in both
 * texts may lead back to where it stands. [-0, +0, m] */
static LS_RAISES void bind_below(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    for (size_t i = 0; i < rule->binding_count; i++) {
        const struct ls_place *place = rule->bindings[i].place;
        unsigned version = rule->bindings[i].version;
        lua_rawgeti(L, rule->bound_tables, (lua_Integer)i + 1);
        for (const struct ls_place *child = place->first; child; child = child->next) {
            if (child->key.kind == LS_KEY_METATABLE) {
                if (!lua_getmetatable(L, top + 1)) continue;
            } else {
                ls__place_key_push(L, &child->key);
                lua_rawget(L, top + 1);
            }
            bind(rule, top + 2, version, ls_place_child(rule->versions[version].places, place, &child->key));
            lua_settop(L, top + 1);
        }
        lua_settop(L, top);
    }
}

LS_RAISES void ls__rule_bind(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    struct ls_version before = {NULL, NULL, rule->places, rule->given};
    if (!rule->version_count && !LS_PUSH(rule->versions, rule->version_count, rule->version_cap, before))
        luaL_error(L, "out of memory while reloading");
    if (!rule->places) return;
    lua_newtable(L);
    int tables = rule->bound_tables = lua_gettop(L), top = tables + 1;
    bind(rule, rule->value, 0, ls_places_root(rule->places, LS_PLACE_VALUE, NULL, 0));
    for (unsigned var = 0; rule->now && var < rule->now->variable_count; var++) {
        const struct ls_syntax_variable *variable = rule->now->variables[var];
        if (!ls__rule_new_variable(rule, var)) continue;
        lua_getupvalue(L, -2, (int)lua_tointeger(L, -1));
        bind(rule, lua_gettop(L), 0,
             ls_places_root(rule->places, LS_PLACE_LOCAL, variable->name.text, variable->name.len));
        lua_settop(L, tables);
    }
    lua_pushglobaltable(L);
    const struct ls_place *place = ls_places_first(rule->places, LS_PLACE_GLOBAL);
    for (; place; place = place->next) {
        const struct ls_syntax_string name = place->key.string;
        if (!name.text) continue; /* _G itself */
        lua_pushlstring(L, name.text, name.len);
        lua_rawget(L, top);
        bind(rule, top + 1, 0, ls_places_root(rule->places, LS_PLACE_GLOBAL, name.text, name.len));
        lua_settop(L, top);
    }
    for (uint32_t i = 0; i < rule->run->session->model->proto_count; i++, lua_settop(L, top)) { /* _G prototype */
        const struct ls_proto *proto = ls__rule_proto(rule, i);
        if (!proto) continue;
        const char *name = proto->name;
        size_t len = strlen(name);
        bind(rule, top + 1, 0, ls_places_root(rule->places, LS_PLACE_MADE, name, len));
        for (unsigned var = 0; rule->now && var < rule->now->variable_count; var++) {
            const struct ls_syntax_variable *variable = rule->now->variables[var];
            const struct ls_syntax_expr *value = variable->value;
            bool made = value && value->kind == LS_EXPR_CALL && value->list && value->list->kind == LS_EXPR_STRING &&
                        value->list->string.len == len && memcmp(value->list->string.text, name, len) == 0;
            if (made) /* that is found even if no function refers to the variable */
                bind(rule, top + 1, 0,
                     ls_places_root(rule->places, LS_PLACE_LOCAL, variable->name.text, variable->name.len));
        }
    }
    bind_below(rule);
    lua_settop(L, tables - 1);
}
