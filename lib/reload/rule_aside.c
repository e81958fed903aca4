/* What was set aside when the text lost its place (rule.h): a table path → {value, hash of its giver, execution}, kept
 * with the file's record. A place that the run had changed stays where it is; then there is only the giver, so that its
 * coming back is no edit. Owner thread: the session's. Rule: R18. */
#include "model/snapshot.h"
#include "reload/rule.h"

enum { VALUE = 1, GIVER, SAVE };
enum { SAVES = 20 }; /* executions that a value is kept for */

LS_RAISES void ls__aside_put(struct ls_rule *rule, uint64_t path, const struct ls_place *place, int value)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    lua_pushinteger(L, (lua_Integer)path);
    lua_createtable(L, SAVE, 0);
    lua_pushvalue(L, value);
    lua_rawseti(L, top + 2, VALUE);
    lua_pushinteger(L, (lua_Integer)place->given_before);
    lua_rawseti(L, top + 2, GIVER);
    lua_pushinteger(L, rule->saves);
    lua_rawseti(L, top + 2, SAVE);
    ls__rule_put(rule, rule->aside, top + 1, top + 2);
    lua_settop(L, top);
}

LS_RAISES bool ls__aside_take(struct ls_rule *rule, uint64_t path, const struct ls_place *place, bool *same)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    lua_pushinteger(L, (lua_Integer)path);
    lua_pushnil(L);
    if (ls__raw_get(L, rule->aside, top + 1) != LUA_TTABLE) {
        lua_settop(L, top);
        return false;
    }
    ls__rule_put(rule, rule->aside, top + 1, top + 2);
    lua_rawgeti(L, top + 3, GIVER);
    *same = (uint64_t)lua_tointeger(L, -1) == place->given_now;
    lua_rawgeti(L, top + 3, VALUE);
    lua_copy(L, -1, top + 1);
    lua_settop(L, top + 1);
    return true;
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
