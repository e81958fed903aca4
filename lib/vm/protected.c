/* pcall, xpcall, coroutine.resume, wrap and close as sites see them: the library's own, but that an error for want of
 * memory names the limit that was reached (L5). Lua's own words for it are a string made when the state was, and code
 * that catches the error would hand nothing else on to people. And where Lua would run code with hooks turned off,
 * which the time limit could not end, that code runs on a thread of its own.
 *
 * Owner thread: the session's. Refuses to: change any other error. */
#include "vm/libs.h"

#include <stdio.h>

LS_RAISES void ls__open_memory_text(struct ls_session *session, lua_State *L)
{
    if (!session->vm.budget->stated) return;
    char text[sizeof LS_MEMORY_LIMIT_TEXT + 20];
    snprintf(text, sizeof text, LS_MEMORY_LIMIT_TEXT, (unsigned long long)session->vm.budget->stated);
    lua_pushstring(L, text);
    session->vm.ref_memory_text = ls__ref_take(session, L);
}

void ls__name_memory_limit(struct ls_session *session, lua_State *L, int status)
{
    if (status != LUA_ERRMEM || !session->vm.memory_hit || session->vm.ref_memory_text == LUA_NOREF) return;
    lua_pop(L, 1);
    ls__ref_push(session, L, session->vm.ref_memory_text);
}

/* The results of a protected call: all above the first `below` values, or false and the error. Also called when a call
 * that has yielded goes on. [-n, +m, -] */
static int finish_call(lua_State *L, int status, lua_KContext below)
{
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - (int)below;
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    ls__left_calls(ls__session_of(L));
    ls__name_memory_limit(ls__session_of(L), L, status);
    return 2;
}

/* [-0, +n, e] pcall(function, ...) */
LS_RAISES int ls__l_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1); /* the first result, if all goes well */
    lua_insert(L, 1);
    return finish_call(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, finish_call), 0);
}

LS_RAISES int ls__call_aside(lua_State *L, int nargs, int nresults, const char *what, lua_State *of, int skip)
{
    struct ls_session *session = ls__session_of(L);
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    lua_State *thread = lua_newthread(L), *aside = session->vm.aside, *aside_of = session->vm.aside_of;
    int at = lua_gettop(L) - nargs - 1, aside_skip = session->vm.aside_skip, results;
    lua_insert(L, at);
    ls__hook_set(thread);
    lua_xmove(L, thread, nargs + 1);
    session->vm.aside = of ? thread : NULL;
    session->vm.aside_of = of;
    session->vm.aside_skip = skip;
    int status = lua_resume(thread, L, nargs, &results);
    session->vm.aside = aside;
    session->vm.aside_of = aside_of;
    session->vm.aside_skip = aside_skip;
    if (status == LUA_YIELD) {
        lua_settop(thread, 0);
        lua_pushfstring(L, "attempt to yield from a %s", what);
        status = LUA_ERRRUN;
    } else if (status != LUA_OK) {
        lua_xmove(thread, L, 1);
    } else {
        lua_settop(thread, nresults);
        lua_xmove(thread, L, nresults);
    }
    if (status != LUA_OK && !of) luaL_traceback(L, thread, NULL, 0);
    lua_remove(L, at);
    return status;
}

/* The message handler that Lua sees; upvalue 1: the site's. [-1, +1, e] */
static LS_RAISES int handle_message(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    if (!ls__hook_has_stopped(L) || ls__is_traceback(L, 1)) {
        lua_call(L, 1, 1);
        return 1;
    }
    bool graced = session->vm.graced; /* of a stopped entry, the handler may still do a little (L5) */
    session->vm.graced = true;
    ls__call_aside(L, 1, 1, "message handler", L, 1);
    session->vm.graced = graced;
    return 1;
}

bool ls__is_handler(lua_State *L, int index)
{
    return lua_tocfunction(L, index) == handle_message;
}

/* [-0, +n, e] xpcall(function, handler, ...) */
LS_RAISES int ls__l_xpcall(lua_State *L)
{
    int args = lua_gettop(L) - 2;
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, handle_message, 1);
    lua_replace(L, 2);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2); /* function, handler, true, function, arguments */
    return finish_call(L, lua_pcallk(L, args, LUA_MULTRET, 2, 2, finish_call), 2);
}

/* Resume the coroutine with the `args` values on top. @return how many results are on top; -1 = the error is
 * [-args, +n, -] */
static int resume(lua_State *L, lua_State *co, int args)
{
    int results = 0;
    if (!lua_checkstack(co, args)) {
        lua_pop(L, args);
        lua_pushliteral(L, "too many arguments to resume");
        return -1;
    }
    lua_xmove(L, co, args);
    int status = lua_resume(co, L, args, &results);
    if (status != LUA_OK && status != LUA_YIELD) {
        ls__left_calls(ls__session_of(L));
        lua_xmove(co, L, 1); /* before anything is pushed: a coroutine that resumes itself is the same stack */
        ls__name_memory_limit(ls__session_of(L), L, status);
        return -1;
    }
    if (!lua_checkstack(L, results + 1)) {
        lua_pop(co, results);
        lua_pushliteral(L, "too many results to resume");
        return -1;
    }
    lua_xmove(co, L, results);
    return results;
}

/* [-0, +n, e] coroutine.resume(thread, ...) */
LS_RAISES int ls__l_coroutine_resume(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "thread");
    int results = resume(L, co, lua_gettop(L) - 1);
    lua_pushboolean(L, results >= 0);
    lua_insert(L, results >= 0 ? -results - 1 : -2);
    return results >= 0 ? results + 1 : 2;
}

/* A coroutine that has failed in a hook closes its variables with hooks turned off, where nothing could end an endless
 * `__close`. [-0, +0, -] */
static bool may_close(lua_State *co)
{
    return lua_status(co) == LUA_OK || lua_status(co) == LUA_YIELD || !ls__hook_has_stopped(co);
}

/* Upvalue 1: the coroutine. [-0, +n, e] */
static LS_RAISES int resume_wrapped(lua_State *L)
{
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int results = resume(L, co, lua_gettop(L));
    if (results >= 0) return results;
    int status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD && may_close(co)) {
        status = lua_resetthread(co); /* closes its variables */
        lua_xmove(co, L, 1);
        ls__name_memory_limit(ls__session_of(L), L, status);
    }
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

/* [-0, +1, e] coroutine.wrap(function) */
LS_RAISES int ls__l_coroutine_wrap(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, resume_wrapped, 1);
    return 1;
}

/* What a coroutine that cannot be closed is called, or NULL: it waits or has ended. [-0, +0, -] */
static const char *busy_name(lua_State *L, lua_State *co)
{
    lua_Debug ar;
    if (co == L) return "running";
    return lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar) ? "normal" : NULL;
}

/* [-0, +n, e] coroutine.close(co) */
LS_RAISES int ls__l_coroutine_close(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "thread");
    const char *busy = busy_name(L, co);
    if (busy) return luaL_error(L, "cannot close a %s coroutine", busy);
    if (!may_close(co)) {
        lua_pushboolean(L, 0);
        lua_pushliteral(L, "the coroutine was stopped in a hook");
        return 2;
    }
    int status = lua_resetthread(co);
    lua_pushboolean(L, status == LUA_OK);
    if (status == LUA_OK) return 1;
    lua_xmove(co, L, 1);
    ls__name_memory_limit(ls__session_of(L), L, status);
    return 2;
}
