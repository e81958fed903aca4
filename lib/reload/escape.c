/* Step 6 of the three-way rule (rule.h): who holds a table that gave way? They go into a weak table; what survives a
 * full collection is looked for in all that the session can reach, and only if the text may have given a table away.
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

/* --- the search --- */

struct search {
    struct ls_session *session;
    lua_State *L;
    int displaced, queue; /* stack indexes */
    lua_Integer count;
    struct ls_idmap *seen; /* owned */
};

/* The value on top is to be looked through, once; it is popped. [-1, +0, m] */
static LS_RAISES void reach(struct search *search)
{
    lua_State *L = search->L;
    int type = lua_type(L, -1);
    void *was = NULL;
    bool holds = type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TUSERDATA || type == LUA_TTHREAD;
    if (holds && !ls_idmap_put(search->seen, (int64_t)(intptr_t)lua_topointer(L, -1), search, &was))
        luaL_error(L, "out of memory while looking for holders of replaced tables");
    if (holds && !was)
        lua_rawseti(L, search->queue, ++search->count);
    else
        lua_pop(L, 1);
}

/* Is the value on top a table that gave way? Then the one that stayed takes its place there. [-1, +1, -] */
static bool replaced(struct search *search)
{
    lua_State *L = search->L;
    if (!lua_istable(L, -1)) return false;
    lua_pushvalue(L, -1);
    if (lua_rawget(L, search->displaced) == LUA_TNIL) {
        lua_pop(L, 1);
        return false;
    }
    lua_remove(L, -2);
    return true;
}

/* [-0, +0, m] */
static LS_RAISES void search_table(struct search *search, int table)
{
    lua_State *L = search->L;
    if (lua_getmetatable(L, table)) {
        if (replaced(search)) {
            lua_pushvalue(L, -1);
            ls__set_metatable(L, table);
        }
        reach(search);
    }
    for (lua_pushnil(L); lua_next(L, table);) { /* key value */
        if (replaced(search)) {
            lua_pushvalue(L, -2);
            lua_pushvalue(L, -2);
            lua_rawset(L, table);
        }
        reach(search);
        if (lua_type(L, -1) < LUA_TTABLE) continue;
        lua_pushvalue(L, -1);
        reach(search);
    }
}

/* Values on the stack of a coroutine. [-0, +0, m] */
static LS_RAISES void search_thread(struct search *search, lua_State *thread)
{
    lua_State *L = search->L;
    lua_Debug info;
    if (thread == L || !lua_checkstack(thread, 4)) return;
    for (int level = 0; lua_getstack(thread, level, &info); level++) {
        for (int direction = 1; direction >= -1; direction -= 2) /* negative numbers are extra arguments */
            for (int i = direction; lua_getlocal(thread, &info, i); i += direction) {
                lua_xmove(thread, L, 1);
                if (replaced(search)) {
                    lua_pushvalue(L, -1);
                    lua_xmove(L, thread, 1);
                    lua_setlocal(thread, &info, i);
                }
                reach(search);
            }
        lua_getinfo(thread, "f", &info);
        lua_xmove(thread, L, 1);
        reach(search);
    }
    for (int i = lua_gettop(thread); i > 0; i--) { /* what waits to be passed */
        lua_pushvalue(thread, i);
        lua_xmove(thread, L, 1);
        if (replaced(search)) {
            lua_pushvalue(L, -1);
            lua_xmove(L, thread, 1);
            lua_replace(thread, i);
        }
        reach(search);
    }
}

/* [-0, +0, m] the value at `value` */
static LS_RAISES void search_value(struct search *search, int value)
{
    lua_State *L = search->L;
    int type = lua_type(L, value);
    if (type == LUA_TTABLE) search_table(search, value);
    if (type == LUA_TTHREAD) search_thread(search, lua_tothread(L, value));
    for (int i = 1; type == LUA_TFUNCTION && lua_getupvalue(L, value, i); i++) {
        if (replaced(search)) {
            lua_pushvalue(L, -1);
            lua_setupvalue(L, value, i);
        }
        reach(search);
    }
    if (type != LUA_TUSERDATA) return;
    if (lua_getmetatable(L, value)) reach(search);
    for (int i = 1; lua_getiuservalue(L, value, i) != LUA_TNONE; i++) {
        if (replaced(search)) {
            lua_pushvalue(L, -1);
            lua_setiuservalue(L, value, i);
        }
        reach(search);
    }
    lua_pop(L, 1); /* the nil of the uservalue that there is not */
}

/* [-1, +0, m] argument: the search */
static LS_RAISES int l_search(lua_State *L)
{
    struct search *search = lua_touserdata(L, 1);
    search->L = L;
    luaL_checkstack(L, 20, "reload");
    lua_settop(L, 0);
    ls__ref_push(search->session, L, search->session->reload->displaced);
    search->displaced = 1;
    lua_pushnil(L);
    if (!lua_next(L, 1)) return 0;
    lua_settop(L, 1);
    lua_newtable(L);
    search->queue = 2;
    for (int i = 1; i <= 2; i++) /* our own tables are not looked through */
        if (!ls_idmap_put(search->seen, (int64_t)(intptr_t)lua_topointer(L, i), search, NULL))
            luaL_error(L, "out of memory while looking for holders of replaced tables");
    lua_pushvalue(L, LUA_REGISTRYINDEX);
    reach(search);
    while (search->count) {
        lua_rawgeti(L, search->queue, search->count);
        lua_pushnil(L);
        lua_rawseti(L, search->queue, search->count--);
        search_value(search, 3);
        lua_settop(L, 2);
    }
    return 0;
}

bool ls_session_reload_unsettled(const struct ls_session *session)
{
    return session->reload->displaced != LUA_NOREF;
}

void ls_session_reload_settle(struct ls_session *session)
{
    LS_ERR(err);
    struct search search = {.session = session};
    if (session->reload->displaced == LUA_NOREF) return;
    lua_gc(session->vm.L, LUA_GCCOLLECT);
    if (session->reload->displaced == LUA_NOREF) return; /* a finalizer may run anything */
    search.seen = ls_idmap_new();
    if (search.seen && ls__lrun(session, l_search, &search, 0, &err) != 0)
        ls__report(session, "replacing tables that gave way to their present ones", &err);
    ls_idmap_free(search.seen, NULL);
    ls__ref_drop(session, &session->reload->displaced);
}
