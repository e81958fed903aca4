/* Puts the tables `session` and `ui` and the globals EMPTY, diag and print together (L3, L8 to L11, L59, L62, L119, L120).
 * Owner thread: the session's. */
#include "session/api.h"

const luaL_Reg ls__session_functions[] = {
    {"createAppVariable", l_session_createAppVariable},
    {"getApp", l_session_getApp},
    {"createVariable", l_session_createVariable},
    {"destroyVariable", l_session_destroyVariable},
    {"getVariable", l_session_getVariable},
    {"getAppVariable", l_session_getAppVariable},
    {"watchVariable", l_session_watchVariable},
    {"watchProperty", l_session_watchProperty},
    {"unwatch", l_session_unwatch},
    {"prototype", l_session_prototype},
    {"create", l_session_create},
    {"removePrototype", l_session_removePrototype},
    {"unloadModule", l_session_unloadModule},
    {"unloadDirectory", l_session_unloadDirectory},
    {"setImmediate", l_session_setImmediate},
    {"setTimeout", l_session_setTimeout},
    {"setInterval", l_session_setInterval},
    {"clearImmediate", l_session_clearImmediate},
    {"clearTimeout", l_session_clearTimeout},
    {"clearInterval", l_session_clearInterval},
    {"log", l_session_log},
    {"newVersion", l_session_newVersion},
    {"getVersion", l_session_getVersion},
    {"needsMutation", l_session_needsMutation},
    {"registerStandardVariable", l_session_registerStandardVariable},
    {"keep", l_session_keep},
    {"onDispose", l_session_onDispose},
    {NULL, NULL},
};

const luaL_Reg ls__ui_functions[] = {
    {"registerPresenter", l_ui_registerPresenter},
    {"registerWrapper", l_ui_registerWrapper},
    {"log", l_ui_log},
    {"json_encode", l_ui_json_encode},
    {"json_decode", l_ui_json_decode},
    {NULL, NULL},
};

LS_RAISES int l_session_newVersion(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)++ls__session_of(L)->version);
    return 1;
}

LS_RAISES int l_session_getVersion(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)ls__session_of(L)->version);
    return 1;
}

LS_RAISES int l_session_needsMutation(lua_State *L)
{
    luaL_checkany(L, 2);
    lua_Number seen = 0;
    if (lua_type(L, 2) == LUA_TTABLE && lua_getfield(L, 2, "_mutationVersion") == LUA_TNUMBER)
        seen = lua_tonumber(L, -1);
    lua_pushboolean(L, seen < (lua_Number)ls__session_of(L)->version);
    return 1;
}

LS_RAISES void ls__open_ui(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    lua_createtable(L, 0, sizeof ls__ui_functions / sizeof *ls__ui_functions - 1);
    luaL_setfuncs(L, ls__ui_functions, 0);
    lua_pushvalue(L, -1);
    session->ref_ui = ls__ref_take(session, L);
    lua_setglobal(L, "ui");
}

static LS_RAISES int refuse_field(lua_State *L)
{
    return luaL_error(L, "EMPTY is a marker and takes no fields");
}

LS_RAISES void ls__open_globals(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    lua_createtable(L, 0, 0);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, refuse_field);
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    session->ref_empty = ls__ref_take(session, L);
    lua_setglobal(L, "EMPTY");
    lua_register(L, "diag", l_diag);
    lua_register(L, "print", l_print);
}

LS_RAISES void ls__open_session_table(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    lua_createtable(L, 0, sizeof ls__session_functions / sizeof *ls__session_functions + 1);
    luaL_setfuncs(L, ls__session_functions, 0);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "reloading");
    lua_pushstring(L, session->id);
    lua_setfield(L, -2, "_sessionID");
    lua_pushvalue(L, -1);
    session->ref_session = ls__ref_take(session, L);
    lua_setglobal(L, "session");
}
