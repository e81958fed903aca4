/* Finalizers of site code (`__gc` of a table's metatable) under the session's limits, and warnings.
 *
 * Lua runs a finalizer with hooks turned off, so that one which does not end by itself could never be ended (L5), and
 * makes a warning of its error, which nobody sees (L145). So no table is marked for finalization itself. A table that
 * gets a metatable with `__gc` gets a guard instead: a userdata that holds the table and that only the table keeps
 * alive, by a table with weak keys. Both become garbage together, in the order that Lua promises, and the guard's
 * finalizer calls what `__gc` is by then, on a thread of its own (ls__call_aside).
 *
 * Owner thread: the session's. Refuses to: guard userdata, whose finalizers are C functions. Rules: L7; Lua 5.4 manual
 * 2.5.3. */
#include "vm/libs.h"

#include <string.h>

#include "base/log.h"

#define GUARDS_KEY "lsess.guards"    /* registry: weak keys, table → guard */
#define GUARD_TYPE "lsess.finalizer" /* metatable of guards */

/* [-2, +0, -] report the error below the traceback on top, which a finalizer has ended with */
static void report_error(struct ls_session *session, lua_State *L, int status)
{
    /* A collection may happen while another error is being described: its traceback is put aside. */
    struct ls_buf trace = session->vm.trace;
    const void *trace_of = session->vm.trace_of;
    ls_buf_init(&session->vm.trace);
    session->vm.trace_of = NULL;
    if (status != LUA_ERRMEM) ls_buf_str(&session->vm.trace, lua_tostring(L, -1));
    lua_pop(L, 1);
    LS_ERR(err);
    lua_State *before = ls__swap_thread(session, L);
    ls__lfail(session, status, &err);
    ls__swap_thread(session, before);
    ls_buf_release(&session->vm.trace);
    session->vm.trace = trace;
    session->vm.trace_of = trace_of;
    ls__report(session, "finalizer", &err);
}

/* The finalizer of a guard. [-1, +0, m] */
static LS_RAISES int run_guarded(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    luaL_checkudata(L, 1, GUARD_TYPE);
    lua_settop(L, 1);
    if (lua_getiuservalue(L, 1, 1) != LUA_TTABLE) return 0; /* a guard that was never finished */
    if (lua_getfield(L, LUA_REGISTRYINDEX, GUARDS_KEY) == LUA_TTABLE) {
        lua_pushvalue(L, 2);
        lua_pushnil(L);
        lua_rawset(L, 3); /* the finalizer may give the table a metatable again, and with it a new guard */
    }
    lua_settop(L, 2);
    if (luaL_getmetafield(L, 2, "__gc") == LUA_TNIL || lua_isboolean(L, 3))
        return 0; /* taken away meanwhile; a boolean is what people write to have the table marked */
    lua_pushvalue(L, 2);
    int status = ls__call_aside(L, 1, 0, "finalizer", NULL, 0);
    if (status != LUA_OK) report_error(session, L, status);
    return 0;
}

/* [-0, +0, m] */
static LS_RAISES void add_guard(lua_State *L, int table)
{
    LS_LTOP(L);
    ls__weak_table(L, GUARDS_KEY);
    lua_pushvalue(L, table);
    if (lua_rawget(L, -2) == LUA_TNIL) {
        lua_pushvalue(L, table);
        lua_newuserdatauv(L, 0, 1);
        lua_pushvalue(L, table);
        lua_setiuservalue(L, -2, 1);
        if (luaL_newmetatable(L, GUARD_TYPE)) {
            lua_pushcfunction(L, run_guarded);
            lua_setfield(L, -2, "__gc");
        }
        lua_setmetatable(L, -2);
        lua_rawset(L, -4);
    }
    lua_pop(L, 2);
    LS_LTOP_CHECK(L, 0);
}

LS_RAISES void ls__set_metatable(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    if (!lua_istable(L, index) || !lua_istable(L, -1)) {
        lua_setmetatable(L, index);
        return;
    }
    luaL_checkstack(L, 8, NULL);
    int metatable = lua_gettop(L);
    lua_pushliteral(L, "__gc"); /* pushed once and copied: making a string could collect, and raise, half way */
    lua_pushvalue(L, -1);
    if (lua_rawget(L, metatable) == LUA_TNIL) {
        lua_settop(L, metatable);
        lua_setmetatable(L, index);
        return;
    }
    add_guard(L, index);
    /* While the field is away Lua does not mark the table. Taking it off and putting it back allocates nothing. */
    lua_pushvalue(L, metatable + 1);
    lua_pushnil(L);
    lua_rawset(L, metatable);
    lua_pushvalue(L, metatable);
    lua_setmetatable(L, index);
    lua_rawset(L, metatable);
    lua_settop(L, metatable - 1);
}

LS_RAISES int ls__l_setmetatable(lua_State *L)
{
    int type = lua_type(L, 2);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) return luaL_error(L, "cannot change a protected metatable");
    lua_settop(L, 2);
    ls__set_metatable(L, 1);
    return 1;
}

LS_RAISES int ls__l_debug_setmetatable(lua_State *L)
{
    int type = lua_type(L, 2);
    luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
    if (lua_isuserdata(L, 1))
        return luaL_error(L, "debug.setmetatable: the metatable of a userdata cannot be exchanged");
    lua_settop(L, 2);
    ls__set_metatable(L, 1);
    return 1;
}

/* --- warnings: warn() of site code, and those that Lua makes itself --- */

void ls__warn(void *ud, const char *text, int to_be_continued)
{
    struct ls_session *session = ud;
    bool begins = session->vm.warning.len == 0;
    if (begins && !to_be_continued && text[0] == '@') {
        if (strcmp(text, "@off") == 0)
            session->vm.warnings_off = true;
        else if (strcmp(text, "@on") == 0)
            session->vm.warnings_off = false;
        return;
    }
    ls_buf_str(&session->vm.warning, text);
    if (to_be_continued) return;
    if (!session->vm.warnings_off) ls_log_session(0, session->vm.id, "warning: %s", ls_buf_text(&session->vm.warning));
    ls_buf_clear(&session->vm.warning);
}
