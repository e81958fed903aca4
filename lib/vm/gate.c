/* The gate between C and Lua: protected calls with traceback, budget and a restored global `session` (L4 to L6, L143).
 *
 * The budget is lazy: entering costs no system call. The count hook (vm.c) asks the clock first after LS_HOOK_COUNT
 * instructions of an entry and sets the deadline then, so that short calls, of which detection makes a hundred
 * thousand, pay nothing.
 *
 * Owner thread: the session's. Refuses to: print, raise to its callers. */
#include "vm/vm_internal.h"

#include <string.h>

#include "base/clock.h"
#include "vm/libs.h"
#include "vm/lua_json.h"

/* [-0, +0, m] the global `session` is the session table again (L6) */
static LS_RAISES int restore_global(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    ls__ref_push(session, L, session->vm.ref_session_key);
    ls__ref_push(session, L, session->vm.ref_session);
    lua_rawset(L, -3);
    return 0;
}

/* [-0, +0, -] */
static bool global_is_intact(struct ls_session *session, lua_State *L)
{
    LS_LTOP(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_rawgeti(L, LUA_REGISTRYINDEX, session->vm.ref_session_key);
    lua_rawget(L, -2);
    lua_rawgeti(L, LUA_REGISTRYINDEX, session->vm.ref_session);
    bool intact = lua_rawequal(L, -1, -2);
    lua_pop(L, 3);
    LS_LTOP_CHECK(L, 0);
    return intact;
}

void ls__enter(struct ls_session *session)
{
    if (session->vm.depth++ != 0) return;
    session->vm.stop = LS_STOP_NONE;
    session->vm.deadline_ns = 0;
    session->vm.waited_before = session->vm.waited_ns;
    session->vm.grace = LS_GRACE;
    session->vm.memory_hit = false;
    ls__left_calls(session);
    int once = LS_INTERRUPT_ENTRY;
    if (atomic_load_explicit(&session->vm.interrupted, memory_order_relaxed) == once)
        atomic_compare_exchange_strong(&session->vm.interrupted, &once, LS_INTERRUPT_NONE);
    lua_State *L = session->vm.L;
    /* While the session is being opened there is no session table yet. */
    if (session->vm.ref_session != LUA_NOREF && lua_checkstack(L, 8) && !global_is_intact(session, L)) {
        lua_pushcfunction(L, restore_global);
        if (lua_pcall(L, 0, 0, 0) != LUA_OK)
            lua_pop(L, 1); /* without memory for one table slot the entry itself will say so */
    }
}

void ls__leave(struct ls_session *session)
{
    assert(session->vm.depth > 0);
    if (--session->vm.depth != 0) return;
    if (session->vm.stop != LS_STOP_NONE) {
        session->vm.stop = LS_STOP_NONE;
        ls__hook_set(session->vm.main);
    }
}

int ls__traceback(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    /* An error that a require raises again has its traceback from where it happened, which tells more than from here.
     * */
    if (session->vm.trace_of && lua_topointer(L, -1) == session->vm.trace_of && session->vm.trace.len) return 1;
    session->vm.trace_of = NULL;
    ls_buf_clear(&session->vm.trace);
    if (!lua_checkstack(L, LUA_MINSTACK)) return 1;
    luaL_traceback(L, L, NULL, 1);
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    ls_buf_add(&session->vm.trace, text, len);
    lua_pop(L, 1);
    return 1;
}

/* [-0, +1, e] argument: the error value; result: its text by __tostring, JSON or type name (L143) */
static LS_RAISES int describe_error(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TTABLE && luaL_getmetafield(L, 1, "__tostring") == LUA_TNIL) {
        const char *problem = NULL;
        struct ls_buf *json = lua_touserdata(L, 2);
        if (ls__json_write(L, 1, json, &problem)) {
            lua_pushlstring(L, ls_buf_text(json), json->len);
            return 1;
        }
        lua_pushfstring(L, "(error object is a table: %s)", problem);
        return 1;
    }
    luaL_tolstring(L, 1, NULL);
    return 1;
}

/* The same, with hooks on also where the error is one of a finalizer and they are off: `__tostring` is bounded as
 * everything is. [-2, +1, e] */
static LS_RAISES int describe_bounded(lua_State *L)
{
    lua_pushcfunction(L, describe_error);
    lua_insert(L, 1);
    if (ls__call_aside(L, 2, 1, "metamethod", L, 0) != LUA_OK) return lua_error(L);
    return 1;
}

/* Text for people of the error value on top of the stack (L143), without traceback; appended to `out`. Runs __tostring
 * protected. [-0, +0, -] */
static void write_error_text(struct ls_session *session, struct ls_buf *out)
{
    lua_State *L = session->vm.L;
    LS_LTOP(L);
    size_t len;
    if (lua_type(L, -1) == LUA_TSTRING) {
        const char *text = lua_tolstring(L, -1, &len);
        ls_buf_add(out, text, len);
        return;
    }
    struct ls_buf scratch = LS_BUF_INIT;
    if (lua_checkstack(L, 4)) {
        lua_pushcfunction(L, describe_bounded);
        lua_pushvalue(L, -2);
        lua_pushlightuserdata(L, &scratch);
        if (lua_pcall(L, 2, 1, 0) == LUA_OK && lua_type(L, -1) == LUA_TSTRING) {
            const char *text = lua_tolstring(L, -1, &len);
            ls_buf_add(out, text, len);
        } else {
            ls_buf_printf(out, "(error object is a %s value)", luaL_typename(L, -2));
        }
        lua_pop(L, 1);
    }
    ls_buf_release(&scratch);
    LS_LTOP_CHECK(L, 0);
}

int ls__lfail(struct ls_session *session, int status, struct ls_err *err)
{
    lua_State *L = session->vm.L;
    int code = LS_ELUA;
    struct ls_buf text = LS_BUF_INIT;
    if (status == LUA_ERRMEM) {
        code = session->vm.memory_hit ? LS_ELIMIT : LS_ENOMEM;
        if (session->vm.memory_hit)
            ls_buf_printf(&text, LS_MEMORY_LIMIT_TEXT, (unsigned long long)session->vm.budget->stated);
        else
            ls_buf_str(&text, "not enough memory");
    } else {
        write_error_text(session, &text);
        if (session->vm.stop == LS_STOP_TIME)
            code = LS_ELIMIT;
        else if (session->vm.stop != LS_STOP_NONE)
            code = LS_EINTERRUPTED;
        if (session->vm.trace.len) {
            ls_buf_char(&text, '\n');
            ls_buf_add(&text, session->vm.trace.data, session->vm.trace.len);
        }
    }
    lua_pop(L, 1);
    ls_buf_clear(&session->vm.trace);
    if (ls_buf_failed(&text))
        code = ls_fail(err, code, "out of memory while describing an error");
    else
        ls_fail_text(err, code, ls_buf_text(&text), text.len);
    ls_buf_release(&text);
    if (status == LUA_ERRMEM) lua_gc(L, LUA_GCCOLLECT); /* the session that failed still answers (Q2) */
    return code;
}

int ls__lcall(struct ls_session *session, int nargs, int nresults, struct ls_err *err)
{
    lua_State *L = session->vm.L;
    int at = lua_gettop(L) - nargs;
    LS_LTOP(L);
    if (!lua_checkstack(L, LUA_MINSTACK)) {
        lua_settop(L, at - 1);
        return ls_fail(err, LS_ELUA, "stack overflow");
    }
    ls__enter(session);
    lua_pushcfunction(L, ls__traceback);
    lua_insert(L, at); /* handler, function, arguments */
    int status = lua_pcall(L, nargs, nresults, at);
    lua_remove(L, at);
    session->vm.epoch++;
    int code = 0;
    if (status != LUA_OK) code = ls__lfail(session, status, err);
    ls__leave(session);
    if (code != 0 || nresults >= 0) LS_LTOP_CHECK(L, -nargs - 1 + (code == 0 ? nresults : 0));
    return code;
}

int ls__lcall_own(struct ls_session *session, int nargs, int nresults, struct ls_err *err)
{
    if (session->vm.depth == 0 || session->vm.stop != LS_STOP_NONE) return ls__lcall(session, nargs, nresults, err);
    int64_t outer = session->vm.deadline_ns;
    session->vm.deadline_ns = 0;
    int code = ls__lcall(session, nargs, nresults, err);
    session->vm.deadline_ns = outer;
    if (session->vm.stop == LS_STOP_TIME) { /* that call's time was over, not the time of those around it */
        session->vm.stop = LS_STOP_NONE;
        ls__hook_set(session->vm.main);
        ls__hook_set(session->vm.L);
    }
    return code;
}

int ls__lrun(struct ls_session *session, lua_CFunction fn, void *data, int nresults, struct ls_err *err)
{
    lua_State *L = session->vm.L;
    if (!lua_checkstack(L, 3)) return ls_fail(err, LS_ELUA, "stack overflow");
    lua_pushcfunction(L, fn);
    lua_pushlightuserdata(L, data);
    return ls__lcall(session, 1, nresults, err);
}

/* [-0, +0, v] */
LS_RAISES int ls__larg(lua_State *L, int arg, const char *function, const char *problem)
{
    lua_Debug ar;
    if (lua_getstack(L, 0, &ar)) {
        lua_getinfo(L, "n", &ar);
        if (strcmp(ar.namewhat, "method") == 0 && --arg == 0)
            return luaL_error(L, "calling '%s' on bad self (%s)", function, problem);
    }
    return luaL_error(L, "bad argument #%d to '%s' (%s)", arg, function, problem);
}

/* [-0, +0, v] */
LS_RAISES int ls__ltype(lua_State *L, int arg, const char *function, const char *expected)
{
    const char *got = lua_isnone(L, arg) ? "no value" : luaL_typename(L, arg);
    return ls__larg(L, arg, function, lua_pushfstring(L, "%s expected, got %s", expected, got));
}

const char *ls__name_arg(lua_State *L, int arg)
{
    size_t len;
    const char *name = lua_tolstring(L, arg, &len);
    return strlen(name) == len ? name : NULL;
}

/* [-0, +0, v] */
LS_RAISES int ls__lno_memory(lua_State *L, const char *doing, ...)
{
    struct ls_session *session = ls__session_of(L);
    va_list args;
    luaL_where(L, 1);
    lua_pushliteral(L, "out of memory while ");
    va_start(args, doing);
    lua_pushvfstring(L, doing, args);
    va_end(args);
    bool limit = session->vm.budget->hit && session->vm.ref_memory_text != LUA_NOREF;
    lua_pushstring(L, limit ? ": " : "");
    if (limit)
        ls__ref_push(session, L, session->vm.ref_memory_text);
    else
        lua_pushliteral(L, "");
    lua_concat(L, 5);
    return lua_error(L);
}
