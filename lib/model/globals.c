/* Puts the tables `session` and `ui` and the globals EMPTY and diag together (L3, L8 to L11, L59, L62, LX36, L119,
 * L120).
 * Owner thread: the session's. */
#include "model/globals.h"

#include "base/log.h"
#include "model/model.h"
#include "tracker/tracker.h"
#include "vm/lua_json.h"
#include "vm/printing.h"

#define SESSION_ROW(name) {#name, ls__l_session_##name},
#define UI_ROW(name)      {#name, ls__l_ui_##name},
static const luaL_Reg session_functions[] = {LS_SESSION_FUNCTIONS(SESSION_ROW){NULL, NULL}};
static const luaL_Reg ui_functions[] = {LS_UI_FUNCTIONS(UI_ROW){NULL, NULL}};

/* [-0, +1, -] session:newVersion() */
LS_RAISES int ls__l_session_newVersion(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)++ls__session_of(L)->model->version);
    return 1;
}

/* [-0, +1, -] session:getVersion() */
LS_RAISES int ls__l_session_getVersion(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)ls__session_of(L)->model->version);
    return 1;
}

/* [-0, +1, e] session:needsMutation(object) */
LS_RAISES int ls__l_session_needsMutation(lua_State *L)
{
    luaL_checkany(L, 2);
    lua_Number seen = 0;
    if (lua_type(L, 2) == LUA_TTABLE && lua_getfield(L, 2, "_mutationVersion") == LUA_TNUMBER)
        seen = lua_tonumber(L, -1);
    lua_pushboolean(L, seen < (lua_Number)ls__session_of(L)->model->version);
    return 1;
}

/* [-0, +0, e] diag(level, text) */
static LS_RAISES int l_diag(lua_State *L)
{
    int is_integer;
    lua_Integer level = lua_tointegerx(L, 1, &is_integer);
    if (!is_integer) ls__ltype(L, 1, "diag", "integer");
    if (!lua_isstring(L, 2)) ls__ltype(L, 2, "diag", "string");
    size_t len;
    const char *text = lua_tolstring(L, 2, &len);
    struct ls_session *session = ls__open_session_of(L);
    if (session->model->tracker)
        ls_tracker_diag(session->model->tracker,
                        level > LS_LEVEL_MAX ? LS_LEVEL_MAX
                        : level < -1         ? -1
                                             : (int)level,
                        text, len);
    return 0;
}

LS_RAISES void ls__open_registries(lua_State *L)
{
    LS_LTOP(L);
    struct ls_session *session = ls__session_of(L);
    lua_pushliteral(L, "session");
    session->vm.ref_session_key = ls__ref_take(session, L);
    int *const plain[] = {&session->model->ref_proto_ids, &session->model->ref_presenters,
                          &session->model->ref_wrappers, &session->model->ref_variables};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        lua_newtable(L);
        *plain[i] = ls__ref_take(session, L);
    }
    ls__weak_table(L, NULL);
    session->model->ref_instances = ls__ref_take(session, L);
    LS_LTOP_CHECK(L, 0);
}

/* [-0, +0, m] */
LS_RAISES void ls__open_ui(lua_State *L)
{
    LS_LTOP(L);
    struct ls_session *session = ls__session_of(L);
    lua_createtable(L, 0, sizeof ui_functions / sizeof *ui_functions - 1);
    luaL_setfuncs(L, ui_functions, 0);
    lua_pushvalue(L, -1);
    session->vm.ref_ui = ls__ref_take(session, L);
    lua_setglobal(L, "ui");
    LS_LTOP_CHECK(L, 0);
}

/* [-0, +0, v] __newindex of EMPTY */
static LS_RAISES int refuse_field(lua_State *L)
{
    return luaL_error(L, "EMPTY is a marker and takes no fields");
}

/* [-0, +0, m] */
LS_RAISES void ls__open_globals(lua_State *L)
{
    LS_LTOP(L);
    struct ls_session *session = ls__session_of(L);
    lua_createtable(L, 0, 0);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, refuse_field);
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    session->model->ref_empty = ls__ref_take(session, L);
    lua_setglobal(L, "EMPTY");
    lua_register(L, "diag", l_diag);
    LS_LTOP_CHECK(L, 0);
}

/* [-0, +0, m] */
LS_RAISES void ls__open_session_table(lua_State *L)
{
    LS_LTOP(L);
    struct ls_session *session = ls__session_of(L);
    lua_createtable(L, 0, sizeof session_functions / sizeof *session_functions + 1);
    luaL_setfuncs(L, session_functions, 0);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "reloading");
    lua_pushstring(L, session->vm.id);
    lua_setfield(L, -2, "_sessionID");
    lua_pushvalue(L, -1);
    session->vm.ref_session = ls__ref_take(session, L);
    session->model->functions = session_functions;
    lua_setglobal(L, "session");
    LS_LTOP_CHECK(L, 0);
}

/* --- session methods that are wrapped again and again (LX36) --- */

#define REPLACED_MAX 20 /* wrappers around one method before the hint */

/* [-0, +0, m] the function on top is no original: count it if it is another one than last time. Stack: key, session
 * table, replaced, function */
static LS_RAISES void count_replaced(struct ls_session *session, lua_State *L, const char *name)
{
    if (lua_getfield(L, 3, name) != LUA_TNIL && lua_rawequal(L, -1, 4)) return;
    lua_pushvalue(L, 4);
    lua_setfield(L, 3, name);
    lua_pushfstring(L, "%s#", name);
    lua_pushvalue(L, -1);
    lua_rawget(L, 3);
    lua_Integer times = lua_tointeger(L, -1) + 1;
    lua_pop(L, 1);
    lua_pushinteger(L, times);
    lua_rawset(L, 3);
    if (times == REPLACED_MAX + 1)
        ls_log_session(
            0, session->vm.id,
            "hint: session.%s has been replaced more than %d times, last by %s; if each replacement calls the one before, "
            "calls nest deeper with each reload: replace it in `if not session.reloading then ... end`",
            name, REPLACED_MAX, (const char *)lua_touserdata(L, 1));
}

/* [-1, +0, m] argument: the key of the module that has run */
static LS_RAISES int check_replaced(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    ls__ref_push(session, L, session->vm.ref_session);
    for (const luaL_Reg *method = session->model->functions; method->name; method++, lua_settop(L, 2)) {
        lua_pushstring(L, method->name);
        if (lua_rawget(L, 2) != LUA_TFUNCTION || lua_tocfunction(L, 3) == method->func) continue;
        if (session->model->ref_replaced == LUA_NOREF) {
            lua_newtable(L);
            session->model->ref_replaced = ls__ref_take(session, L);
        }
        ls__ref_push(session, L, session->model->ref_replaced);
        lua_insert(L, 3);
        count_replaced(session, L, method->name);
    }
    return 0;
}

void ls__look_for_replaced(struct ls_session *session, const char *key)
{
    LS_ERR(err);
    union {
        const char *text;
        void *data;
    } argument = {.text = key};
    if (ls__lrun(session, check_replaced, argument.data, 0, &err) != 0)
        ls__report(session, "looking at replaced session methods", &err);
}
