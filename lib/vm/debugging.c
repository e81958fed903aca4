/* The debug library as sites see it: complete, but for what could make the process end (L5, L12, Q2).
 *
 *   the registry; user values and metatables of userdata; variables of C functions: belong to the server. Refused, or
 *   not there.
 *   C functions that were called by C: not told, since those of the server trust their arguments.
 *   what Lua itself keeps beside local variables, such as the state of a `for`: can be read, not set.
 *   hooks: Lua runs a hook with hooks turned off, so that one which does not end by itself could never be ended. They
 *   run on a thread of their own; levels of
 *   the stack are told as if they did not.
 *
 * Owner thread: the session's. Refuses to: replace the count hook of the budget. */
#include "vm/libs.h"

#include <limits.h>
#include <string.h>

#define HOOKS_KEY "lsess.hooks" /* registry: weak table thread → {function, mask text, count, counted} */

/* --- threads and levels --- */

/* The thread that a function of the library is about; *arg: how many arguments say so. In a hook it is the one that the
 * hook was called on. [-0, +0, -] */
static lua_State *thread_arg(lua_State *L, int *arg)
{
    const struct ls_session *session = ls__session_of(L);
    *arg = lua_isthread(L, 1) ? 1 : 0;
    return *arg ? lua_tothread(L, 1) : session->vm.aside == L ? session->vm.aside_of : L;
}

/* [-0, +1, m] */
static LS_RAISES void push_thread(lua_State *L, lua_State *thread)
{
    luaL_checkstack(L, 1, NULL);
    if (L != thread && !lua_checkstack(thread, 1)) luaL_error(L, "stack overflow");
    lua_pushthread(thread);
    lua_xmove(thread, L, 1); /* nothing where both are the same */
}

/* The integer at `arg`, brought into the range that the library can negate. [-0, +0, e] */
static LS_RAISES int int_arg(lua_State *L, int arg)
{
    lua_Integer number = luaL_checkinteger(L, arg);
    int bounded = number > INT_MAX ? INT_MAX : number < -INT_MAX ? -INT_MAX : (int)number;
    lua_pushinteger(L, bounded);
    lua_replace(L, arg);
    return bounded;
}

#define HANDLER_DEPTH 10 /* levels of a message handler in which its caller, which is ours, is looked for */

/* The level of the running thread that is not told, as it stands between a message handler and what raised the error;
 * INT_MAX = there is none. [-0, +0, -] */
static int hidden_level(lua_State *L)
{
    lua_Debug ar;
    for (int level = 1; level < HANDLER_DEPTH && lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "f", &ar);
        bool hidden = ls__is_handler(L, -1);
        lua_pop(L, 1);
        if (hidden) return level;
    }
    return INT_MAX;
}

/* Levels of the running thread. [-0, +0, -] */
static int count_levels(lua_State *L)
{
    lua_Debug ar;
    int count = 0;
    while (lua_getstack(L, count, &ar))
        count++;
    return count;
}

/* Make the level at argument *arg + 1 the one that the library is to look at. Levels of a hook come first, then those
 * of the thread that it was called on, which is then put before the other arguments; *arg counts it.
 * @return the thread, its activation record in *ar; NULL = there is no such level [-0, +(0|1), e] */
static LS_RAISES lua_State *level_arg(lua_State *L, int *arg, lua_Debug *ar)
{
    const struct ls_session *session = ls__session_of(L);
    int level = int_arg(L, *arg + 1);
    lua_State *thread = *arg ? lua_tothread(L, 1) : L;
    luaL_checkstack(L, 3, NULL);
    if (!*arg && level >= 0) {
        if (level < INT_MAX && level >= hidden_level(L)) level++;
        if (session->vm.aside == L && !lua_getstack(L, level, ar)) {
            level += session->vm.aside_skip - count_levels(L);
            thread = session->vm.aside_of;
            push_thread(L, thread);
            lua_insert(L, 1);
            *arg = 1;
        }
        lua_pushinteger(L, level);
        lua_replace(L, *arg + 1);
    }
    return lua_getstack(thread, level, ar) ? thread : NULL;
}

/* What the library's own function, upvalue 1, makes of the arguments. [-n, +m, e] */
static LS_RAISES int ask_library(lua_State *L)
{
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* [-0, +0, -] */
static bool is_lua(lua_State *thread, lua_Debug *ar)
{
    return lua_getinfo(thread, "S", ar) && *ar->what != 'C';
}

/* --- what is told of functions --- */

/* A C function that C has called may be the server's own. [-0, +0, -] */
static bool may_be_shown(lua_State *thread, lua_Debug *ar)
{
    lua_Debug caller;
    if (is_lua(thread, ar)) return true;
    for (int level = 0; lua_getstack(thread, level, &caller); level++)
        if (caller.i_ci == ar->i_ci) return lua_getstack(thread, level + 1, &caller) && is_lua(thread, &caller);
    return false;
}

/* [-0, +1, e] debug.getinfo([thread,] function or level [, options]) */
static LS_RAISES int l_debug_getinfo(lua_State *L)
{
    int arg;
    lua_Debug ar;
    thread_arg(L, &arg);
    if (lua_isfunction(L, arg + 1)) return ask_library(L);
    lua_State *thread = level_arg(L, &arg, &ar);
    bool shown = !thread || may_be_shown(thread, &ar);
    ask_library(L);
    if (!shown && lua_istable(L, -1)) {
        lua_pushnil(L);
        lua_setfield(L, -2, "func");
    }
    return 1;
}

/* Take line `line` off the traceback on top; its first line begins after `from` bytes. [-1, +1, m] */
static LS_RAISES void take_off_line(lua_State *L, size_t from, int line)
{
    size_t len;
    const char *text = lua_tolstring(L, -1, &len), *begin = text + from, *end = text + len;
    if (from && *begin == '\n') begin++;
    for (int i = 0; i < line && begin; i++)
        begin = memchr(begin + (i > 0), '\n', (size_t)(end - begin - (i > 0)));
    if (!begin) return;
    const char *next = memchr(begin + 1, '\n', (size_t)(end - begin - 1));
    lua_pushlstring(L, text, (size_t)(begin - text));
    lua_pushlstring(L, next ? next : end, (size_t)(next ? end - next : 0));
    lua_concat(L, 2);
    lua_remove(L, -2);
}

/* [-0, +1, e] debug.traceback([thread,] [message [, level]]) */
static LS_RAISES int l_debug_traceback(lua_State *L)
{
    const struct ls_session *session = ls__session_of(L);
    int arg;
    thread_arg(L, &arg);
    lua_State *thread = arg ? lua_tothread(L, 1) : L;
    if (!lua_isnoneornil(L, arg + 1) && !lua_isstring(L, arg + 1)) {
        lua_pushvalue(L, arg + 1); /* not a text: handed on untouched */
        return 1;
    }
    int level = lua_isnoneornil(L, arg + 2) ? thread == L : int_arg(L, arg + 2);
    lua_settop(L, arg + 1);
    const char *message = lua_tostring(L, arg + 1);
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    int hidden = arg ? INT_MAX : hidden_level(L);
    if (level >= hidden) level++;
    luaL_traceback(L, thread, message, level < 0 ? INT_MAX : level);
    if (hidden < INT_MAX && level >= 0 && level <= hidden)
        take_off_line(L, message ? lua_rawlen(L, arg + 1) : 0, hidden - level + 1);
    if (arg == 0 && session->vm.aside == L) {
        int left = level - count_levels(L), skip = session->vm.aside_skip;
        static const char head[] = "stack traceback:";
        luaL_traceback(L, session->vm.aside_of, NULL, left > 0 ? left + skip : skip);
        const char *rest = lua_tostring(L, -1);
        lua_pushstring(L, strncmp(rest, head, sizeof head - 1) == 0 ? rest + sizeof head - 1 : rest);
        lua_remove(L, -2);
        lua_concat(L, 2);
    }
    return 1;
}

bool ls__is_traceback(lua_State *L, int index)
{
    return lua_tocfunction(L, index) == l_debug_traceback;
}

/* --- variables --- */

/* [-0, +(1|2), e] debug.getlocal([thread,] function or level, number) */
static LS_RAISES int l_debug_getlocal(lua_State *L)
{
    int arg;
    lua_Debug ar;
    thread_arg(L, &arg);
    int_arg(L, arg + 2);
    lua_State *thread = lua_isfunction(L, arg + 1) ? NULL : level_arg(L, &arg, &ar);
    if (!thread || is_lua(thread, &ar)) return ask_library(L);
    lua_pushnil(L);
    return 1;
}

/* [-0, +1, e] debug.setlocal([thread,] level, number, value) */
static LS_RAISES int l_debug_setlocal(lua_State *L)
{
    int arg;
    lua_Debug ar;
    thread_arg(L, &arg);
    int number = int_arg(L, arg + 2);
    lua_State *thread = level_arg(L, &arg, &ar);
    if (!thread) return ask_library(L); /* which says so */
    if (thread != L && !lua_checkstack(thread, 1)) luaL_error(L, "stack overflow");
    const char *name = is_lua(thread, &ar) ? lua_getlocal(thread, &ar, number) : NULL;
    if (!name) {
        lua_pushnil(L);
        return 1;
    }
    lua_pop(thread, 1);
    if (*name == '(' && strcmp(name, "(vararg)") != 0)
        return luaL_error(L, "debug.setlocal: %s is no variable of the code, and cannot be set", name);
    return ask_library(L);
}

/* [-0, +(0|2), e] debug.getupvalue(function, number) */
static LS_RAISES int l_debug_getupvalue(lua_State *L)
{
    int_arg(L, 2);
    return lua_iscfunction(L, 1) ? 0 : ask_library(L);
}

/* [-0, +(0|1), e] debug.setupvalue(function, number, value) */
static LS_RAISES int l_debug_setupvalue(lua_State *L)
{
    if (lua_iscfunction(L, 1)) return luaL_error(L, "debug.setupvalue: what C functions hold cannot be set");
    return ask_library(L);
}

/* --- what belongs to the server --- */

/* [-0, +1, e] debug.getmetatable(value) */
static LS_RAISES int l_debug_getmetatable(lua_State *L)
{
    luaL_checkany(L, 1);
    bool userdata = lua_isuserdata(L, 1) && luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL;
    if (!userdata && !lua_getmetatable(L, 1)) lua_pushnil(L);
    return 1;
}

/* [-0, +1, -] debug.getuservalue(value [, number]) */
static LS_RAISES int l_debug_getuservalue(lua_State *L)
{
    lua_pushnil(L);
    return 1;
}

/* debug.debug reads standard input, which is at its end. [-0, +0, -] */
static LS_RAISES int l_debug_debug(lua_State *L)
{
    (void)L;
    return 0;
}

/* --- hooks --- */

/* What Lua code has set on thread L, as a table. [-0, +(1|0), -] @return is there anything */
static bool push_hook(lua_State *L)
{
    if (lua_getfield(L, LUA_REGISTRYINDEX, HOOKS_KEY) != LUA_TTABLE) {
        lua_pop(L, 1);
        return false;
    }
    lua_pushthread(L);
    if (lua_rawget(L, -2) != LUA_TTABLE) {
        lua_pop(L, 2);
        return false;
    }
    lua_remove(L, -2);
    return true;
}

static int mask_of(const char *text)
{
    return (strchr(text, 'c') ? LUA_MASKCALL : 0) | (strchr(text, 'r') ? LUA_MASKRET : 0) |
           (strchr(text, 'l') ? LUA_MASKLINE : 0);
}

/* [-0, +0, -] `count` is what Lua code has asked for, 0 = nothing */
static void arm_hook(lua_State *L, int mask, lua_Integer count)
{
    int step = count > 0 && count < LS_HOOK_COUNT ? (int)count : LS_HOOK_COUNT;
    lua_sethook(L, ls__hook, mask | LUA_MASKCOUNT, step);
}

void ls__user_hook_restore(lua_State *L)
{
    LS_LTOP(L);
    int mask = 0;
    lua_Integer count = 0;
    if (lua_checkstack(L, 3) && push_hook(L)) {
        if (lua_rawgeti(L, -1, 2) == LUA_TSTRING) mask = mask_of(lua_tostring(L, -1));
        lua_rawgeti(L, -2, 3);
        count = lua_tointeger(L, -1);
        lua_pop(L, 3);
    }
    arm_hook(L, mask, count);
    LS_LTOP_CHECK(L, 0);
}

LS_RAISES void ls__user_hook(lua_State *L, lua_Debug *ar)
{
    static const char *const names[] = {"call", "return", "line", "count", "tail call"};
    if (ls__session_of(L)->vm.stop != LS_STOP_NONE || !lua_checkstack(L, 6) || !push_hook(L)) return;
    if (ar->event == LUA_HOOKCOUNT) {
        lua_rawgeti(L, -1, 3);
        lua_rawgeti(L, -2, 4);
        lua_Integer count = lua_tointeger(L, -2), counted = lua_tointeger(L, -1) + lua_gethookcount(L);
        lua_pop(L, 2);
        lua_pushinteger(L, counted >= count ? 0 : counted);
        lua_rawseti(L, -2, 4);
        if (count <= 0 || counted < count) {
            lua_pop(L, 1);
            return;
        }
    }
    lua_rawgeti(L, -1, 1);
    lua_remove(L, -2);
    lua_pushstring(L, names[ar->event]);
    if (ar->currentline >= 0 && ar->event == LUA_HOOKLINE)
        lua_pushinteger(L, ar->currentline);
    else
        lua_pushnil(L);
    if (ls__call_aside(L, 2, 0, "hook", L, 0) == LUA_OK) return;
    ls__hook_stop(L);
    lua_error(L);
}

/* [-0, +0, e] debug.sethook([thread,] [function, mask [, count]]) */
static LS_RAISES int l_debug_sethook(lua_State *L)
{
    int arg;
    lua_State *thread = thread_arg(L, &arg);
    bool clear = lua_isnoneornil(L, arg + 1);
    const char *mask = clear ? "" : luaL_checkstring(L, arg + 2);
    lua_Integer count = clear ? 0 : luaL_optinteger(L, arg + 3, 0);
    if (!clear) luaL_checktype(L, arg + 1, LUA_TFUNCTION);
    ls__weak_table(L, HOOKS_KEY);
    push_thread(L, thread);
    if (clear) {
        lua_pushnil(L);
    } else {
        lua_createtable(L, 4, 0);
        lua_pushvalue(L, arg + 1);
        lua_rawseti(L, -2, 1);
        lua_pushvalue(L, arg + 2);
        lua_rawseti(L, -2, 2);
        lua_pushinteger(L, count);
        lua_rawseti(L, -2, 3);
    }
    lua_rawset(L, -3);
    if (!ls__hook_has_stopped(thread)) arm_hook(thread, mask_of(mask), count);
    return 0;
}

/* [-0, +3, m] debug.gethook([thread]) */
static LS_RAISES int l_debug_gethook(lua_State *L)
{
    int arg;
    lua_State *thread = thread_arg(L, &arg);
    ls__weak_table(L, HOOKS_KEY);
    push_thread(L, thread);
    if (lua_rawget(L, -2) == LUA_TTABLE) {
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        lua_rawgeti(L, -3, 3);
        return 3;
    }
    lua_pushnil(L);
    lua_pushliteral(L, "");
    lua_pushinteger(L, 0);
    return 3;
}

LS_RAISES void ls__open_debug(lua_State *L)
{
    LS_LTOP(L);
    static const luaL_Reg functions[] = {{"debug", l_debug_debug},
                                         {"gethook", l_debug_gethook},
                                         {"getmetatable", l_debug_getmetatable},
                                         {"sethook", l_debug_sethook},
                                         {"traceback", l_debug_traceback},
                                         {"getuservalue", l_debug_getuservalue},
                                         {NULL, NULL}};
    static const luaL_Reg around[] = {{"getinfo", l_debug_getinfo},       {"getlocal", l_debug_getlocal},
                                      {"getupvalue", l_debug_getupvalue}, {"setlocal", l_debug_setlocal},
                                      {"setupvalue", l_debug_setupvalue}, {NULL, NULL}};
    lua_getglobal(L, "debug");
    luaL_setfuncs(L, functions, 0);
    for (const luaL_Reg *row = around; row->name; row++) {
        lua_getfield(L, -1, row->name);
        lua_pushcclosure(L, row->func, 1);
        lua_setfield(L, -2, row->name);
    }
    lua_pop(L, 1);
    LS_LTOP_CHECK(L, 0);
}
