/* The standard libraries as sites see them: complete, but for what could end or seize the process (L12 to L19, L135).
 *
 * Owner thread: the session's. Refuses to: load binary chunks, read standard input, change the locale or exit. */
#include "vm/libs.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "files/fspath.h"
#include "vm/chunks.h"
#include "vm/printing.h"
#include "vm/source.h"
#include "vm/vm_internal.h"

/* --- chunks as text only (L16) --- */

/* [-0, +0, v] does the mode at `arg`, which may be absent, admit text */
static bool mode_allows_text(lua_State *L, int arg)
{
    const char *mode = luaL_optstring(L, arg, "t");
    return strchr(mode, 't');
}

/* [-0, +n, e] load(chunk [, name [, mode [, env]]]); upvalue 1: the library's own */
static LS_RAISES int l_load(lua_State *L)
{
    if (!mode_allows_text(L, 3)) {
        lua_pushnil(L);
        lua_pushliteral(L, "binary chunks are refused");
        return 2;
    }
    if (lua_gettop(L) < 3) lua_settop(L, 3);
    lua_pushliteral(L, "t");
    lua_replace(L, 3);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* As luaL_loadfilex, of a regular file inside of the site. [-0, +1, e] raises if the sandbox forbids the file */
static LS_RAISES int load_inside(struct ls_session *session, lua_State *L, const char *path)
{
    struct ls_err *err = &session->vm.raised;
    const char *name = lua_pushfstring(L, "@%s", path);
    struct ls_bytes *text = ls_file_read(ls__within(session), path, 0, err);
    int code = text ? 0 : err->code;
    if (text) {
        lua_State *before = ls__swap_thread(session, L);
        code = ls__chunk_push(session, name, ls_bytes_data(text), ls_bytes_len(text), false, err);
        ls__swap_thread(session, before);
        ls_bytes_unref(text);
    } else if (code == LS_EACCESS) {
        luaL_error(L, "'%s' lies outside of the site, which is turned off by --sandbox", path);
    }
    if (code != 0) lua_pushfstring(L, text ? "%s" : "cannot open %s", ls_err_text(err));
    lua_remove(L, -2);
    return code == 0 ? LUA_OK : LUA_ERRSYNTAX;
}

/* Push the chunk of a file, or of standard input, which is at its end (L15). [-0, +1, e] @return status of lua_load */
static LS_RAISES int load_text_file(lua_State *L, const char *path)
{
    struct ls_session *session = ls__session_of(L);
    if (!path) return luaL_loadbufferx(L, "", 0, "=stdin", "t");
    return session->vm.config.sandbox ? load_inside(session, L, path) : luaL_loadfilex(L, path, "t");
}

/* [-0, +(1|2), e] loadfile([name [, mode [, env]]]) */
static LS_RAISES int l_loadfile(lua_State *L)
{
    const char *path = luaL_optstring(L, 1, NULL);
    bool has_env = !lua_isnone(L, 3);
    if (!mode_allows_text(L, 2)) {
        lua_pushnil(L);
        lua_pushliteral(L, "binary chunks are refused");
        return 2;
    }
    if (load_text_file(L, path) != LUA_OK) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    if (has_env) {
        lua_pushvalue(L, 3);
        if (!lua_setupvalue(L, -2, 1)) lua_pop(L, 1);
    }
    return 1;
}

/* [-0, +0, -] the results of the file lie above its name */
static LS_RAISES int after_dofile(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    return lua_gettop(L) - 1;
}

/* [-0, +n, e] dofile([name]) */
static LS_RAISES int l_dofile(lua_State *L)
{
    const char *path = luaL_optstring(L, 1, NULL);
    lua_settop(L, 1);
    if (load_text_file(L, path) != LUA_OK) return lua_error(L);
    lua_callk(L, 0, LUA_MULTRET, 0, after_dofile);
    return after_dofile(L, LUA_OK, 0);
}

/* --- os --- */

/* The locale is C and stays so; only asking for it succeeds (L15). [-0, +1, e] */
static LS_RAISES int l_os_setlocale(lua_State *L)
{
    const char *wanted = luaL_optstring(L, 1, NULL);
    if (!wanted || !*wanted || strcmp(wanted, "C") == 0 || strcmp(wanted, "POSIX") == 0)
        lua_pushliteral(L, "C");
    else
        lua_pushnil(L);
    return 1;
}

/* --- standard streams --- */

static pthread_once_t null_once = PTHREAD_ONCE_INIT;
static FILE *null_input; /* opened once per process and never closed: reading it is at its end at once */

static void open_null_input(void)
{
    null_input = fopen("/dev/null", "re");
}

/* [-0, +2, -] as the library does for its standard files */
static int keep_open(lua_State *L)
{
    luaL_Stream *stream = luaL_checkudata(L, 1, LUA_FILEHANDLE);
    stream->closef = keep_open;
    lua_pushnil(L);
    lua_pushliteral(L, "cannot close standard file");
    return 2;
}

/* The output stream belongs to the VM and goes with it, so only the collector closes it, when the session is closing.
 * [-0, +(0|2), e] */
static int close_output(lua_State *L)
{
    luaL_Stream *stream = luaL_checkudata(L, 1, LUA_FILEHANDLE);
    if (!ls__session_of(L)->vm.closing) {
        stream->closef = close_output;
        lua_pushnil(L);
        lua_pushliteral(L, "cannot close standard file");
        return 2;
    }
    FILE *file = stream->f;
    stream->f = NULL;
    fclose(file);
    return 0;
}

static ssize_t write_output(void *cookie, const char *bytes, size_t len)
{
    ls__print_raw(cookie, bytes, len);
    return (ssize_t)len;
}

/* Files have a metatable that Lua runs finalizers of, with hooks turned off (finalizers.c), and by which C functions
 * know files. Sites get a stand-in with the same `__index`, which they may add methods to. [-0, +0, m] */
static LS_RAISES void shield_files(lua_State *L)
{
    LS_LTOP(L);
    luaL_getmetatable(L, LUA_FILEHANDLE);
    lua_createtable(L, 0, 2);
    lua_pushliteral(L, LUA_FILEHANDLE);
    lua_setfield(L, -2, "__name");
    lua_getfield(L, -2, "__index");
    lua_setfield(L, -2, "__index");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    LS_LTOP_CHECK(L, 0);
}

/* Standard input is empty, standard output goes where print goes and never to the stream that belongs to protocol data
 * (L15, L21, C4). [-0, +0, m] the io table is on top */
static LS_RAISES void replace_streams(lua_State *L)
{
    LS_LTOP(L);
    pthread_once(&null_once, open_null_input);
    if (null_input) {
        luaL_Stream *in = lua_newuserdatauv(L, sizeof *in, 0);
        in->closef = NULL;
        luaL_setmetatable(L, LUA_FILEHANDLE);
        in->f = null_input;
        in->closef = keep_open;
        lua_pushvalue(L, -1);
        lua_setfield(L, LUA_REGISTRYINDEX, "_IO_input");
        lua_setfield(L, -2, "stdin");
    }
    luaL_Stream *out = lua_newuserdatauv(L, sizeof *out, 0);
    out->closef = NULL; /* marked closed until it is whole */
    luaL_setmetatable(L, LUA_FILEHANDLE);
    out->f = fopencookie(ls__session_of(L), "w", (cookie_io_functions_t){.write = write_output});
    if (!out->f) ls__lno_memory(L, "opening standard output");
    out->closef = close_output;
    setvbuf(out->f, NULL, _IOLBF, BUFSIZ);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "_IO_output");
    lua_setfield(L, -2, "stdout");
    LS_LTOP_CHECK(L, 0);
}

void ls__output_flush(struct ls_session *session)
{
    lua_State *L = session->vm.L;
    if (!lua_checkstack(L, 1)) return;
    if (lua_getfield(L, LUA_REGISTRYINDEX, "_IO_output") == LUA_TUSERDATA) {
        luaL_Stream *stream = lua_touserdata(L, -1);
        if (stream->closef && stream->f) fflush(stream->f);
    }
    lua_pop(L, 1);
}

/* --- what is not there --- */

/* [-0, +0, v] in place of a function; upvalue 1: what is said */
static LS_RAISES int refuse(lua_State *L)
{
    return luaL_error(L, "%s", lua_tostring(L, lua_upvalueindex(1)));
}

struct refusal {
    const char *library;
    const char *name; /* NULL = all functions of the library */
    const char *why;
};

static const struct refusal always[] = {
    {"os", "exit", "not available: the process belongs to the server"},
    {"debug", "getregistry", "not available: the registry belongs to the server"},
    {"debug", "setuservalue", "not available: what userdata hold belongs to the server"},
};

static const struct refusal sandboxed[] = {
    {"os", "execute", "turned off by --sandbox"}, {"os", "remove", "turned off by --sandbox"},
    {"os", "rename", "turned off by --sandbox"},  {"os", "tmpname", "turned off by --sandbox"},
    {"io", NULL, "turned off by --sandbox"},      {"debug", NULL, "turned off by --sandbox"},
};

/* [-0, +0, e] */
static LS_RAISES void refuse_functions(lua_State *L, const struct refusal *list, size_t count)
{
    LS_LTOP(L);
    for (; count; count--, list++) {
        lua_getglobal(L, list->library);
        for (lua_pushnil(L); lua_next(L, -2);) {
            bool is_meant = lua_isfunction(L, -1) && (!list->name || strcmp(lua_tostring(L, -2), list->name) == 0);
            lua_pop(L, 1);
            if (!is_meant) continue;
            lua_pushvalue(L, -1);
            lua_pushfstring(L, "%s.%s is %s", list->library, lua_tostring(L, -1), list->why);
            lua_pushcclosure(L, refuse, 1);
            lua_rawset(L, -4); /* an existing key: allowed while the table is walked */
        }
        lua_pop(L, 1);
    }
    LS_LTOP_CHECK(L, 0);
}

static const char *const streams[] = {"stdin", "stdout", "stderr"};
#define STREAM_COUNT (sizeof streams / sizeof *streams)

/* [-0, +1, e] __index of io: nil, but for the streams that are gone */
static LS_RAISES int stream_turned_off(lua_State *L)
{
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    for (size_t i = 0; i < STREAM_COUNT; i++)
        if (strcmp(name, streams[i]) == 0) return luaL_error(L, "io.%s is turned off by --sandbox", name);
    lua_pushnil(L);
    return 1;
}

/* os.getenv(name): only what --env passes. [-0, +1, e] */
static LS_RAISES int l_os_getenv(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1), *value = NULL;
    for (const char *const *passed = ls__session_of(L)->vm.config.env; passed && *passed && !value; passed++)
        if (strcmp(*passed, name) == 0) value = getenv(name);
    lua_pushstring(L, value);
    return 1;
}

/* --sandbox (L13). [-0, +0, e] */
static LS_RAISES void close_sandbox(lua_State *L)
{
    LS_LTOP(L);
    refuse_functions(L, sandboxed, sizeof sandboxed / sizeof *sandboxed);
    lua_getglobal(L, "os");
    lua_pushcfunction(L, l_os_getenv);
    lua_setfield(L, -2, "getenv");
    lua_getglobal(L, "io");
    for (size_t i = 0; i < STREAM_COUNT; i++) {
        lua_pushnil(L);
        lua_setfield(L, -2, streams[i]);
    }
    lua_createtable(L, 0, 1); /* the streams are values, so that reading them must raise */
    lua_pushcfunction(L, stream_turned_off);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_pop(L, 2);
    LS_LTOP_CHECK(L, 0);
}

/* --- putting it together --- */

/* Functions in place of the libraries' own. */
static const luaL_Reg base[] = {
    {"loadfile", l_loadfile},
    {"dofile", l_dofile},
    {"setmetatable", ls__l_setmetatable},
    {"pcall", ls__l_pcall},
    {"xpcall", ls__l_xpcall},
    {"print", ls__l_print},
    {NULL, NULL},
};
static const luaL_Reg coroutine[] = {
    {"resume", ls__l_coroutine_resume}, {"close", ls__l_coroutine_close}, {"wrap", ls__l_coroutine_wrap}, {NULL, NULL}};
static const luaL_Reg debug[] = {{"setmetatable", ls__l_debug_setmetatable}, {NULL, NULL}};
static const luaL_Reg table[] = {{"sort", ls__l_table_sort}, {NULL, NULL}};
static const luaL_Reg io[] = {{"popen", ls__l_io_popen}, {NULL, NULL}};
static const luaL_Reg os[] = {{"execute", ls__l_os_execute}, {"setlocale", l_os_setlocale}, {NULL, NULL}};

static const struct {
    const char *name;
    lua_CFunction open;
    const luaL_Reg *ours; /* may be NULL */
} libraries[] = {
    {LUA_GNAME, luaopen_base, base},        {LUA_COLIBNAME, luaopen_coroutine, coroutine},
    {LUA_TABLIBNAME, luaopen_table, table}, {LUA_IOLIBNAME, luaopen_io, io},
    {LUA_OSLIBNAME, luaopen_os, os},        {LUA_STRLIBNAME, luaopen_string, NULL},
    {LUA_MATHLIBNAME, luaopen_math, NULL},  {LUA_UTF8LIBNAME, luaopen_utf8, NULL},
    {LUA_DBLIBNAME, luaopen_debug, debug},
};

LS_RAISES void ls__open_libs(lua_State *L)
{
    LS_LTOP(L);
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        luaL_requiref(L, libraries[i].name, libraries[i].open, 1);
        if (libraries[i].ours) luaL_setfuncs(L, libraries[i].ours, 0);
        lua_pop(L, 1);
    }
    ls__open_calls(L);
    ls__open_debug(L);
    refuse_functions(L, always, sizeof always / sizeof *always);
    lua_getglobal(L, "load");
    lua_pushcclosure(L, l_load, 1);
    lua_pushvalue(L, -1);
    lua_setglobal(L, "load");
    lua_setglobal(L, "loadstring");
    lua_getglobal(L, "table");
    lua_getfield(L, -1, "unpack");
    lua_setglobal(L, "unpack");
    lua_getglobal(L, "io");
    replace_streams(L);
    lua_pop(L, 2);
    shield_files(L);
    if (ls__session_of(L)->vm.config.sandbox) close_sandbox(L);
    LS_LTOP_CHECK(L, 0);
}
