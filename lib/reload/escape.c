/* What of the three-way rule (rule.h) is done after the frames are out: copies of functions that step 5 has left, and
 * step 6: who holds a table that gave way? They go into a weak table; what survives a full collection is looked for in
 * all that the session can reach, and only if the text may have given a table away. Much garbage is collected here too.
 * Owner thread: the session's. Calls no metamethod. Rule: H49 4. */
#include <string.h>

#include "reload/reload_state.h"
#include "reload/rule.h"

/* --- may one have escaped? --- */

static bool is_any(const char *const *words, struct ls_syntax_string name)
{
    for (; *words; words++)
        if (strlen(*words) == name.len && memcmp(*words, name.text, name.len) == 0) return true;
    return false;
}

/* What the text names reaches nothing that could keep a table, or only what the rule looks through anyway: functions
 * and tables of the text itself, the libraries, the session's registrations? What a call has given may be anybody's. */
static bool stays_inside(const struct ls_syntax_expr *at)
{
    static const char *const ours[] = {
        "_ENV",     "_G",       "assert",  "error",  "getmetatable", "io",           "ipairs",   "math",
        "next",     "os",       "pairs",   "pcall",  "print",        "package",      "rawequal", "rawget",
        "rawlen",   "rawset",   "require", "select", "session",      "setmetatable", "string",   "table",
        "tonumber", "tostring", "type",    "ui",     "utf8",         "xpcall",       NULL};
    while (at->kind == LS_EXPR_INDEX)
        at = at->left;
    if (!at->variable) return is_any(ours, at->string);
    static const char *const setmetatable[] = {"setmetatable", NULL};
    const struct ls_syntax_expr *value = at->variable->value;
    return !value || value->kind != LS_EXPR_CALL ||
           (value->left->kind == LS_EXPR_NAME && is_any(setmetatable, value->left->string));
}

LS_RAISES void ls__rule_note_escapes(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    struct ls_session *session = rule->run->session;
    int top = lua_gettop(L);
    bool inside = rule->now;
    for (unsigned i = 0; inside && i < rule->now->mention_count; i++)
        inside = stays_inside(rule->now->mentions[i].expr);
    if (inside || !rule->pair_count) return;
    if (ls__ref_push(session, L, session->reload->displaced) != LUA_TTABLE) {
        lua_settop(L, top);
        lua_newtable(L);
        lua_createtable(L, 0, 1);
        lua_pushliteral(L, "k");
        lua_setfield(L, -2, "__mode");
        lua_setmetatable(L, -2);
        lua_pushvalue(L, -1);
        session->reload->displaced = ls__ref_take(session, L);
    }
    for (lua_Integer i = 1; i <= (lua_Integer)rule->pair_count; i++) {
        lua_rawgeti(L, rule->made, i);
        lua_rawgeti(L, rule->present, i);
        lua_rawset(L, top + 1);
    }
    lua_settop(L, top);
}

/* --- what is left to be done when the frames are out --- */

/* [-1, +0, m] argument: the walk */
static LS_RAISES int l_search(lua_State *L)
{
    struct ls_reach *reach = lua_touserdata(L, 1);
    reach->L = L;
    luaL_checkstack(L, 20, "reload");
    lua_settop(L, 0);
    ls__ref_push(reach->session, L, reach->session->reload->displaced);
    reach->replaced = 1;
    lua_pushnil(L);
    if (!lua_next(L, 1)) return 0;
    lua_settop(L, 1);
    lua_newtable(L);
    reach->queue = 2;
    for (int i = 1; i <= 2; i++) /* our own tables are not looked through */
        if (!ls_idmap_put(reach->seen, ls__address(L, i), reach, NULL))
            luaL_error(L, "out of memory while looking for holders of what was replaced");
    lua_pushvalue(L, LUA_REGISTRYINDEX);
    ls__reach(reach);
    ls__reach_all(reach);
    return 0;
}

bool ls_session_reload_unsettled(const struct ls_session *session)
{
    const struct ls_reload_state *state = session->reload;
    return state->displaced != LUA_NOREF || state->copies != LUA_NOREF || state->garbage;
}

static void settle(struct ls_session *session, lua_CFunction fn, struct ls_reach reach, const char *what)
{
    LS_ERR(err);
    reach.seen = ls_idmap_new();
    if (reach.seen && ls__lrun(session, fn, &reach, 0, &err) != 0) ls__report(session, what, &err);
    ls_idmap_free(reach.seen, NULL);
    ls_idmap_free(reach.followed, NULL);
}

void ls_session_reload_settle(struct ls_session *session)
{
    struct ls_reload_state *state = session->reload;
    if (state->copies != LUA_NOREF) {
        settle(session, ls__reach_l_copies, (struct ls_reach){.session = session, .kind = LUA_TFUNCTION},
               "replacing copies of functions by their successors");
        ls__ref_drop(session, &state->copies);
    }
    if (state->displaced == LUA_NOREF && !state->garbage) return;
    state->garbage = false;
    ls_session_collect(session);               /* in an entry of its own, since finalizers run */
    if (state->displaced == LUA_NOREF) return; /* a finalizer may run anything */
    settle(session, l_search, (struct ls_reach){.session = session, .kind = LUA_TTABLE},
           "replacing tables that gave way to their present ones");
    ls__ref_drop(session, &state->displaced);
}
