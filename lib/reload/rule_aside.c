/* What was set aside when the text lost its place (rule.h): a table from the place's key → {value, record of the
 * execution that gave it last, execution}, kept with the file's record. A place that the run had changed stays where it
 * is; then there is no value. When the place comes back, the new text and what it gives are compared with those of that
 * record.
 * Owner thread: the session's. Rule: R18. */
#include "base/array.h"
#include "model/snapshot.h"
#include "reload/reload_state.h"
#include "reload/rule.h"

enum { VALUE = 1, RECORD, SAVE };
enum { SAVES = 20 }; /* executions that a value is kept for */

/* [-0, +0, m] */
static LS_RAISES uint64_t key_of(lua_State *L, const struct ls_place *place)
{
    if (!place->parent) return ls__path_root((int)place->kind, place->key.string.text, place->key.string.len);
    if (place->key.kind == LS_KEY_METATABLE) return ls__path_meta(key_of(L, place->parent));
    uint64_t above = key_of(L, place->parent);
    ls__place_key_push(L, &place->key);
    uint64_t key = ls__path_child(L, above, lua_gettop(L));
    lua_pop(L, 1);
    return key;
}

LS_RAISES void ls__aside_put(struct ls_rule *rule, const struct ls_place *place, unsigned version, int value)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    lua_pushinteger(L, (lua_Integer)key_of(L, place));
    lua_createtable(L, SAVE, 0);
    lua_pushvalue(L, value);
    lua_rawseti(L, top + 2, VALUE);
    if (version)
        lua_rawgeti(L, rule->records, (lua_Integer)version);
    else
        lua_pushvalue(L, rule->record);
    lua_rawseti(L, top + 2, RECORD);
    lua_pushinteger(L, rule->saves);
    lua_rawseti(L, top + 2, SAVE);
    ls__rule_put(rule, rule->aside, top + 1, top + 2);
    lua_settop(L, top);
}

/* The version of the record at `idx`. [-0, +0, m] */
static LS_RAISES unsigned version_of(struct ls_rule *rule, int idx)
{
    const struct ls_record *record = lua_touserdata(rule->L, idx);
    for (unsigned i = 1; i < rule->version_count; i++)
        if (rule->versions[i].record == record) return i;
    struct ls_comparison *comparison = record && record->text ? ls_text_compare(record->text, rule->now_text) : NULL;
    struct ls_version version = {record, comparison, NULL, record ? record->given : NULL};
    if (comparison) version.places = ls_comparison_places(comparison);
    if (!LS_PUSH(rule->versions, rule->version_count, rule->version_cap, version)) {
        ls_comparison_unref(comparison);
        luaL_error(rule->L, "out of memory while reloading");
    }
    lua_pushvalue(rule->L, idx);
    lua_rawseti(rule->L, rule->records, (lua_Integer)rule->version_count - 1);
    return (unsigned)rule->version_count - 1;
}

/* The place of the same name in another comparison, or else the nearest one above it that is there: that one tells for
 * all below. NULL = there is none. */
static const struct ls_place *same_place(const struct ls_places *places, const struct ls_place *place, bool *exact)
{
    *exact = true;
    if (!place->parent) return ls_places_root(places, place->kind, place->key.string.text, place->key.string.len);
    const struct ls_place *above = same_place(places, place->parent, exact);
    const struct ls_place *own = above && *exact ? ls_place_child(places, above, &place->key) : NULL;
    *exact = own;
    return own ? own : above;
}

/* Has that place come back, too, which the one of that key is in both texts? [-0, +0, m] */
static LS_RAISES bool came_back(struct ls_rule *rule, const struct ls_place *place, uint64_t key)
{
    lua_State *L = rule->L;
    uint64_t own = key_of(L, place);
    lua_pushinteger(L, (lua_Integer)own);
    bool known = own == key || ls__has_key(L, rule->aside, lua_gettop(L));
    lua_pop(L, 1);
    return known;
}

LS_RAISES struct ls_spot ls__aside_spot(struct ls_rule *rule, const struct ls_place *place, unsigned version)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    struct ls_spot spot = {place->edit, place->rest, place, version, 0, true};
    if (!place->now || place->before || !rule->before) return spot;
    uint64_t key = key_of(L, place);
    lua_pushinteger(L, (lua_Integer)key);
    if (ls__raw_get(L, rule->aside, top + 1) == LUA_TTABLE) {
        lua_rawgeti(L, top + 2, RECORD);
        version = version_of(rule, top + 3);
        bool exact = false;
        const struct ls_places *places = rule->versions[version].places;
        const struct ls_place *old = places ? same_place(places, place, &exact) : NULL;
        if (old && exact && !came_back(rule, old, key)) /* another name of what the text has had all along */
            spot = (struct ls_spot){LS_EDIT_NONE, LS_EDIT_NONE, place, version, key, false};
        else if (old && exact)
            spot = (struct ls_spot){old->edit, old->rest, old, version, key, true};
        else if (old)
            spot = (struct ls_spot){old->rest, old->rest, place, version, key, false};
    }
    lua_settop(L, top);
    return spot;
}

LS_RAISES void ls__aside_take(struct ls_rule *rule, uint64_t key)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    lua_pushinteger(L, (lua_Integer)key);
    lua_pushnil(L);
    if (ls__raw_get(L, rule->aside, top + 1) == LUA_TTABLE) {
        ls__rule_put(rule, rule->aside, top + 1, top + 2);
        lua_rawgeti(L, top + 3, VALUE);
        lua_replace(L, top + 2);
    }
    lua_settop(L, top + 2);
    lua_remove(L, top + 1);
}

LS_RAISES void ls__aside_age(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, rule->aside); lua_settop(L, top + 1)) { /* path kept */
        lua_rawgeti(L, top + 2, SAVE);
        if (rule->saves - lua_tointeger(L, -1) < SAVES) continue;
        lua_pushnil(L);
        ls__rule_put(rule, rule->aside, top + 1, top + 4);
    }
    lua_settop(L, top);
}
