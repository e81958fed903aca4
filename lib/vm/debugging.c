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

/* [-0, +0, v] */
static LS_RAISES int int_arg(lua_State *L, int arg)
{
    lua_Integer number = luaL_checkinteger(L, arg);
    return number > INT_MAX ? INT_MAX : number < -INT_MAX ? -INT_MAX : (int)number;
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

/* The activation record at the level that argument `arg` + 1 names. Those of a hook come first, then those of the
 * thread that it was called on. @return the thread, with room for three values; NULL = there is no such level
 * [-0, +0, v] */
static LS_RAISES lua_State *level_arg(lua_State *L, int arg, lua_Debug *ar)
{
    const struct ls_session *session = ls__session_of(L);
    int level = int_arg(L, arg + 1);
    lua_State *thread = arg ? lua_tothread(L, 1) : L;
    if (level < 0) return NULL;
    luaL_checkstack(L, 3, NULL);
    if (!arg && level < INT_MAX && level >= hidden_level(L)) level++;
    if (!lua_getstack(thread, level, ar)) {
        if (arg || session->vm.aside != L) return NULL;
        level += session->vm.aside_skip - count_levels(L);
        thread = session->vm.aside_of;
        if (!lua_getstack(thread, level, ar)) return NULL;
    }
    if (thread != L && !lua_checkstack(thread, 3)) luaL_error(L, "stack overflow");
    return thread;
}

/* [-0, +0, -] */
static bool is_lua(lua_State *thread, lua_Debug *ar)
{
    return lua_getinfo(thread, "S", ar) && *ar->what != 'C';
}

/* --- what is told of functions --- */

/* [-0, +0, m] the table of results is on top */
static LS_RAISES void set_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

/* [-0, +0, m] */
static LS_RAISES void set_integer(lua_State *L, const char *name, int value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

/* [-0, +0, m] */
static LS_RAISES void set_flag(lua_State *L, const char *name, bool value)
{
    lua_pushboolean(L, value);
    lua_setfield(L, -2, name);
}

/* Fields of the record, but for those that are values. [-0, +0, m] */
static LS_RAISES void set_fields(lua_State *L, const char *options, const lua_Debug *ar)
{
    if (strchr(options, 'S')) {
        lua_pushlstring(L, ar->source, ar->srclen);
        lua_setfield(L, -2, "source");
        set_text(L, "short_src", ar->short_src);
        set_integer(L, "linedefined", ar->linedefined);
        set_integer(L, "lastlinedefined", ar->lastlinedefined);
        set_text(L, "what", ar->what);
    }
    if (strchr(options, 'l')) set_integer(L, "currentline", ar->currentline);
    if (strchr(options, 'u')) {
        set_integer(L, "nups", ar->nups);
        set_integer(L, "nparams", ar->nparams);
        set_flag(L, "isvararg", ar->isvararg);
    }
    if (strchr(options, 'n')) {
        set_text(L, "name", ar->name);
        set_text(L, "namewhat", ar->namewhat);
    }
    if (strchr(options, 'r')) {
        set_integer(L, "ftransfer", ar->ftransfer);
        set_integer(L, "ntransfer", ar->ntransfer);
    }
    if (strchr(options, 't')) set_flag(L, "istailcall", ar->istailcall);
}

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
    thread_arg(L, &arg);
    const char *options = luaL_optstring(L, arg + 2, "flnSrtu");
    luaL_argcheck(L, *options != '>', arg + 2, "invalid option '>'");
    luaL_argcheck(L, options[strspn(options, "SlnrutLf")] == '\0', arg + 2, "invalid option");
    lua_Debug ar;
    lua_State *thread = L;
    bool function = lua_isfunction(L, arg + 1), shown = true;
    luaL_checkstack(L, 6, NULL);
    if (function) {
        lua_pushvalue(L, arg + 1);
        lua_getinfo(L, ">Slnrut", &ar);
    } else {
        thread = level_arg(L, arg, &ar);
        if (!thread) {
            lua_pushnil(L);
            return 1;
        }
        shown = !strchr(options, 'f') || may_be_shown(thread, &ar);
        lua_getinfo(thread, "Slnrut", &ar);
    }
    lua_newtable(L);
    set_fields(L, options, &ar);
    if (strchr(options, 'L')) {
        if (function) {
            lua_pushvalue(L, arg + 1);
            lua_getinfo(L, ">L", &ar);
        } else {
            lua_getinfo(thread, "L", &ar);
            lua_xmove(thread, L, 1);
        }
        lua_setfield(L, -2, "activelines");
    }
    if (strchr(options, 'f') && shown) {
        if (function) {
            lua_pushvalue(L, arg + 1);
        } else {
            lua_getinfo(thread, "f", &ar);
            lua_xmove(thread, L, 1);
        }
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
    int number = int_arg(L, arg + 2);
    if (lua_isfunction(L, arg + 1)) {
        lua_pushvalue(L, arg + 1);
        lua_pushstring(L, lua_getlocal(L, NULL, number));
        return 1;
    }
    lua_State *thread = level_arg(L, arg, &ar);
    luaL_argcheck(L, thread, arg + 1, "level out of range");
    const char *name = is_lua(thread, &ar) ? lua_getlocal(thread, &ar, number) : NULL;
    if (!name) {
        lua_pushnil(L);
        return 1;
    }
    lua_xmove(thread, L, 1);
    lua_pushstring(L, name);
    lua_insert(L, -2);
    return 2;
}

/* [-0, +1, e] debug.setlocal([thread,] level, number, value) */
static LS_RAISES int l_debug_setlocal(lua_State *L)
{
    int arg;
    lua_Debug ar;
    thread_arg(L, &arg);
    int number = int_arg(L, arg + 2);
    lua_State *thread = level_arg(L, arg, &ar);
    luaL_argcheck(L, thread, arg + 1, "level out of range");
    luaL_checkany(L, arg + 3);
    lua_settop(L, arg + 3);
    const char *name = is_lua(thread, &ar) ? lua_getlocal(thread, &ar, number) : NULL;
    if (!name) {
        lua_pushnil(L);
        return 1;
    }
    lua_pop(thread, 1);
    if (*name == '(' && strcmp(name, "(vararg)") != 0)
        return luaL_error(L, "debug.setlocal: %s is no variable of the code, and cannot be set", name);
    lua_pushvalue(L, arg + 3);
    lua_xmove(L, thread, 1);
    lua_setlocal(thread, &ar, number);
    lua_pushstring(L, name);
    return 1;
}

/* [-0, +(0|2), e] debug.getupvalue(function, number) */
static LS_RAISES int l_debug_getupvalue(lua_State *L)
{
    int number = int_arg(L, 2);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    const char *name = lua_iscfunction(L, 1) ? NULL : lua_getupvalue(L, 1, number);
    if (!name) return 0;
    lua_pushstring(L, name);
    lua_insert(L, -2);
    return 2;
}

/* [-0, +(0|1), e] debug.setupvalue(function, number, value) */
static LS_RAISES int l_debug_setupvalue(lua_State *L)
{
    int number = int_arg(L, 2);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    luaL_checkany(L, 3);
    lua_settop(L, 3);
    if (lua_iscfunction(L, 1)) return luaL_error(L, "debug.setupvalue: what C functions hold cannot be set");
    const char *name = lua_setupvalue(L, 1, number);
    lua_pushstring(L, name);
    return name != NULL;
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

/* [-0, +0, v] debug.setuservalue(userdata, value [, number]) */
static LS_RAISES int l_debug_setuservalue(lua_State *L)
{
    return luaL_error(L, "debug.setuservalue is not available: what userdata hold belongs to the server");
}

/* [-0, +0, v] debug.getregistry() */
static LS_RAISES int l_debug_getregistry(lua_State *L)
{
    return luaL_error(L, "debug.getregistry is not available: the registry belongs to the server");
}

/* debug.debug reads standard input, which is at its end. [-0, +0, -] */
static LS_RAISES int l_debug_debug(lua_State *L)
{
    (void)L;
    return 0;
}

/* --- hooks --- */

/* Push the entry of thread L1. [-0, +(1|0), -] */
static bool push_hook_entry(lua_State *L)
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
    if (lua_checkstack(L, 3) && push_hook_entry(L)) {
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
    if (ls__session_of(L)->vm.stop != LS_STOP_NONE || !lua_checkstack(L, 6) || !push_hook_entry(L)) return;
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

/* [-0, +1, m] the table of entries */
static LS_RAISES void push_hooks(lua_State *L)
{
    if (lua_getfield(L, LUA_REGISTRYINDEX, HOOKS_KEY) == LUA_TTABLE) return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, HOOKS_KEY);
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
    push_hooks(L);
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
    push_hooks(L);
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
    static const luaL_Reg functions[] = {
        {"debug", l_debug_debug},
        {"gethook", l_debug_gethook},
        {"getinfo", l_debug_getinfo},
        {"getlocal", l_debug_getlocal},
        {"getmetatable", l_debug_getmetatable},
        {"getregistry", l_debug_getregistry},
        {"getupvalue", l_debug_getupvalue},
        {"getuservalue", l_debug_getuservalue},
        {"sethook", l_debug_sethook},
        {"setlocal", l_debug_setlocal},
        {"setupvalue", l_debug_setupvalue},
        {"setuservalue", l_debug_setuservalue},
        {"traceback", l_debug_traceback},
        {NULL, NULL},
    };
    lua_getglobal(L, "debug");
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
    LS_LTOP_CHECK(L, 0);
}
