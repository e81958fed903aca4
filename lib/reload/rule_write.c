/* What all files of the three-way rule do: writes with what takes them back, variables of the main block (rule.h). */
#include "model/prototype.h"
#include "model/snapshot.h"
#include "model/undo.h"
#include "reload/reload_state.h"
#include "reload/rule.h"

enum { MAX_UPVALUES = 255 }; /* Lua's own limit */

/* --- what is written, with the step that takes it back --- */

LS_RAISES void ls__rule_put(struct ls_rule *rule, int container, int key, int value)
{
    ls__put(rule->run->session, rule->L, container, key, value);
}

LS_RAISES void ls__rule_put_meta(struct ls_rule *rule, int container, int value)
{
    lua_State *L = rule->L;
    lua_pushlightuserdata(L, LS_UNDO_METATABLE);
    ls__undo_field(rule->run->session, L, container, lua_gettop(L));
    lua_pop(L, 1);
    lua_pushvalue(L, value);
    ls__set_metatable(L, container);
}

bool ls__rule_made(const struct ls_rule *rule, int idx)
{
    return rule->new_things && ls__walk_seen(&rule->walk, idx) && ls__rule_is_new(rule, idx);
}

const struct ls_syntax_function *ls__rule_function(lua_State *L, int idx, const struct ls_syntax *syntax)
{
    const char *names[MAX_UPVALUES];
    lua_Debug info;
    if (!syntax || lua_iscfunction(L, idx)) return NULL;
    lua_pushvalue(L, idx);
    lua_getinfo(L, ">Su", &info);
    for (int i = 0; i < info.nups; i++) {
        names[i] = lua_getupvalue(L, idx, i + 1); /* lives as long as the function */
        lua_pop(L, 1);
    }
    return ls_syntax_function(syntax, info.linedefined, info.lastlinedefined, info.nups, names);
}

const struct ls_proto *ls__rule_proto(const struct ls_rule *rule, uint32_t at)
{
    struct ls_session *session = rule->run->session;
    const struct ls_proto *proto = at >= rule->protos ? session->model->protos[at] : NULL;
    if (proto) ls__ref_push(session, rule->L, proto->table);
    return proto;
}

bool ls__rule_new_variable(struct ls_rule *rule, unsigned var)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    if (!rule->ids[var] || rule->ids[var] == LS_MANY) return false;
    lua_rawgeti(L, rule->vars, (lua_Integer)var + 1);
    ls__triples_push(L, top + 1, 1);
    lua_remove(L, top + 1);
    lua_settop(L, top + 2);
    return true;
}

LS_RAISES bool ls__rule_old_variable(struct ls_rule *rule, const char *name)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    lua_pushstring(L, name);
    if (ls__raw_get(L, rule->old_holders, top + 1) == LUA_TTABLE) {
        lua_rawgeti(L, top + 2, 1);
        lua_rawgeti(L, top + 2, 2);
        lua_remove(L, top + 1);
        lua_remove(L, top + 1);
        if (lua_getupvalue(L, top + 1, (int)lua_tointeger(L, top + 2))) return true;
    }
    lua_settop(L, top);
    return false;
}
