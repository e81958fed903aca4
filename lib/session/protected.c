/* pcall, xpcall, coroutine.resume and coroutine.close as sites see them: the library's own, but that an error for want of memory names the limit that was reached (L5). Lua's own words
 * for it are a string made when the state was, and code that catches the error would hand nothing else on to people.
 *
 * Owner thread: the session's. Refuses to: change any other error. */
#include "session/libs.h"

#include <stdio.h>

LS_RAISES void ls__open_memory_text(struct ls_session *session, lua_State *L)
{
    if (!session->config.memory_limit)
        return;
    char text[sizeof LS_MEMORY_LIMIT_TEXT + 20];
    snprintf(text, sizeof text, LS_MEMORY_LIMIT_TEXT, (unsigned long long)session->config.memory_limit);
    lua_pushstring(L, text);
    session->ref_memory_text = ls__ref_take(session, L);
}

void ls__name_memory_limit(struct ls_session *session, lua_State *L, int status)
{
    if (status != LUA_ERRMEM || !session->memory_hit || session->ref_memory_text == LUA_NOREF)
        return;
    lua_pop(L, 1);
    ls__ref_push(session, L, session->ref_memory_text);
}

/* The results of a protected call: all above the first `below` values, or false and the error. Also called when a call that has yielded goes on. [-n, +m, -] */
static int finish_call(lua_State *L, int status, lua_KContext below)
{
    if (status == LUA_OK || status == LUA_YIELD)
        return lua_gettop(L) - (int)below;
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    ls__name_memory_limit(ls__session_of(L), L, status);
    return 2;
}

/* [-0, +n, e] pcall(function, ...) */
LS_RAISES int l_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1); /* the first result, if all goes well */
    lua_insert(L, 1);
    return finish_call(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, finish_call), 0);
}

/* [-0, +n, e] xpcall(function, handler, ...) */
LS_RAISES int l_xpcall(lua_State *L)
{
    int args = lua_gettop(L) - 2;
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2); /* function, handler, true, function, arguments */
    return finish_call(L, lua_pcallk(L, args, LUA_MULTRET, 2, 2, finish_call), 2);
}

/* [-0, +2, m] */
static int refuse_resume(lua_State *L, const char *why)
{
    lua_pushboolean(L, 0);
    lua_pushstring(L, why);
    return 2;
}

/* [-0, +n, e] coroutine.resume(thread, ...) */
LS_RAISES int l_coroutine_resume(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "thread");
    int args = lua_gettop(L) - 1, results = 0;
    if (!lua_checkstack(co, args))
        return refuse_resume(L, "too many arguments to resume");
    lua_xmove(L, co, args);
    int status = lua_resume(co, L, args, &results);
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1); /* before anything is pushed: a coroutine that resumes itself is the same stack */
        lua_pushboolean(L, 0);
        lua_insert(L, -2);
        ls__name_memory_limit(ls__session_of(L), L, status);
        return 2;
    }
    if (!lua_checkstack(L, results + 1)) {
        lua_pop(co, results);
        return refuse_resume(L, "too many results to resume");
    }
    lua_pushboolean(L, 1);
    lua_xmove(co, L, results);
    return results + 1;
}

/* What a coroutine that cannot be closed is called, or NULL: it waits or has ended. [-0, +0, -] */
static const char *busy_name(lua_State *L, lua_State *co)
{
    lua_Debug ar;
    if (co == L)
        return "running";
    return lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar) ? "normal" : NULL;
}

/* [-0, +n, e] coroutine.close(co) */
LS_RAISES int l_coroutine_close(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "thread");
    const char *busy = busy_name(L, co);
    if (busy)
        return luaL_error(L, "cannot close a %s coroutine", busy);
    int status = lua_resetthread(co);
    lua_pushboolean(L, status == LUA_OK);
    if (status == LUA_OK)
        return 1;
    lua_xmove(co, L, 1);
    ls__name_memory_limit(ls__session_of(L), L, status);
    return 2;
}
