/* require, package.loaded, main.lua and the host's ways to load a file (LuaSession card: registerRequire,
 * loadedModules, RequireLuaFile, DirectRequireLuaFile, IsFileLoaded). Rules L32 to L45a, L100, H36.
 *
 * Owner thread: the session's. Refuses to: run a file a second time (that is a reload's business). */
#include "model/module.h"

#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/text.h"
#include "files/fspath.h"
#include "model/globals.h"
#include "model/model_internal.h"
#include "model/prototype.h"
#include "vm/libs.h"

/* What a load holds in C. It lives in a userdata, so that a raise at any point gives it back. */
struct load {
    struct ls_source source;
    struct ls_names tried; /* absolute paths that were looked for */
    struct ls_buf file;    /* the name turned into a file name */
    struct ls_err err;
    uint64_t serial; /* of the module, 0 = it has no record yet */
    uint64_t hash;   /* ls_hash of the text, once it is compiled */
};

/* [-0, +0, -] __gc of a load */
static int release_load(lua_State *L)
{
    struct load *load = lua_touserdata(L, 1);
    ls__source_release(&load->source);
    ls_names_release(&load->tried);
    ls_buf_release(&load->file);
    ls_err_release(&load->err);
    return 0;
}

/* [-0, +1, m] */
static LS_RAISES struct load *push_load(lua_State *L)
{
    return ls__push_owner(L, sizeof(struct load), "lsess.load", release_load);
}

/* --- package.loaded --- */

/* [-1, +0, m] loadedModules[name] = value on top */
static LS_RAISES void set_loaded(struct ls_session *session, lua_State *L, const char *name)
{
    LS_LTOP(L);
    ls__ref_push(session, L, session->model->ref_loaded);
    lua_pushstring(L, name);
    lua_pushvalue(L, -3);
    lua_rawset(L, -3);
    lua_pop(L, 2);
    LS_LTOP_CHECK(L, -1);
}

/* [-0, +1, m] @return is there a value */
static LS_RAISES bool push_loaded(struct ls_session *session, lua_State *L, const char *name)
{
    ls__ref_push(session, L, session->model->ref_loaded);
    lua_pushstring(L, name);
    lua_rawget(L, -2);
    lua_remove(L, -2);
    return !lua_isnil(L, -1);
}

LS_RAISES void ls__module_set_value(struct ls_session *session, lua_State *L, const char *key)
{
    LS_LTOP(L);
    int value = lua_gettop(L);
    lua_pushvalue(L, value);
    set_loaded(session, L, key);
    struct ls_module *module = ls__module_find(session, key);
    for (uint32_t i = 0; module && i < module->names.count; i++) {
        lua_pushvalue(L, value);
        set_loaded(session, L, module->names.items[i]);
    }
    lua_settop(L, value - 1);
    LS_LTOP_CHECK(L, -1);
}

/* --- telling the host --- */

static void tell_loaded(struct ls_session *session, const char *key)
{
    struct ls_module *module = ls__module_find(session, key);
    if (module && session->vm.host.module_loaded)
        session->vm.host.module_loaded(session->vm.host.ctx, key, (const char *const *)module->paths.items,
                                       module->paths.count);
}

static void tell_begins(struct ls_session *session, const struct load *load)
{
    const struct ls_session_host *host = &session->vm.host;
    if (host->module_begins) {
        const char *path = load->source.path;
        host->module_begins(host->ctx, load->source.key, &path, path != NULL);
    }
}

static void tell_wanted(struct ls_session *session, const char *key, const struct ls_names *paths)
{
    if (key && session->vm.host.module_wanted)
        session->vm.host.module_wanted(session->vm.host.ctx, key, (const char *const *)paths->items, paths->count);
}

/* No file was found for a name, or none that can be read: where one is looked for first, it may come (H36). */
static void note_absent(struct ls_session *session, const struct load *load, const char *name, bool named)
{
    const char *root = session->vm.site->root;
    char *real =
        load->tried.count && root ? ls_path_real_lenient(ls__within(session), load->tried.items[0], NULL) : NULL;
    char *key = real ? ls_path_key(root, real) : NULL;
    tell_wanted(session, key, &load->tried);
    ls_free(key);
    ls_free(real);
    if (load->err.code == LS_ENOTFOUND)
        ls__failure_first(session, name, named, NULL, &load->tried, NULL, "module not found");
}

/* --- the end of an execution --- */

void ls__module_ran(struct ls_session *session, const char *key, uint64_t hash, const struct ls_err *failure)
{
    struct ls_module *module = ls__module_find(session, key);
    if (!module) return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    module->time_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    ls_free(module->error);
    module->error = failure ? ls_strdup(ls_err_text(failure)) : NULL;
    module->ok = !failure;
    if (failure) return;
    module->hash = hash;
    ls__look_for_replaced(session, key);
    for (uint32_t i = 0; i < module->prototypes.count; i++) {
        const struct ls_proto *proto = ls__proto_find(session, module->prototypes.items[i]);
        if (proto) ls__mutations_wake(session, proto->id);
    }
}

/* --- running a chunk for the first time --- */

int ls__module_push_chunk(struct ls_session *session, const char *key, const char *text, size_t len, struct ls_err *err)
{
    struct ls_buf chunk_name = LS_BUF_INIT;
    ls_buf_printf(&chunk_name, "@%s", key);
    int code = ls_buf_failed(&chunk_name) ? ls_fail(err, LS_ENOMEM, "out of memory while loading '%s'", key)
                                          : ls__chunk_push(session, chunk_name.data, text, len, true, err);
    ls_buf_release(&chunk_name);
    return code;
}

static void log_circle(struct ls_session *session, const char *key)
{
    struct ls_buf chain = LS_BUF_INIT;
    bool inside = false;
    for (size_t i = 0; i < session->model->running_count; i++) {
        inside = inside || strcmp(session->model->running[i].key, key) == 0;
        if (inside) ls_buf_printf(&chain, "%s -> ", session->model->running[i].key);
    }
    if (inside) ls_log_session(1, session->vm.id, "circular require: %s%s", ls_buf_text(&chain), key);
    ls_buf_release(&chain);
}

/* Remember that the running module has required `key` (H37), or has tried `name` in vain (H63). Losing one costs order
 * in a burst only. */
static void note_edge(struct ls_session *session, const char *key, const char *missing_name)
{
    struct ls_module *importer = ls__module_current(session);
    if (!importer) return;
    if (key && strcmp(key, importer->key) != 0) ls_names_add(&importer->requires, key);
    if (missing_name)
        ls_names_add(&importer->missing, missing_name);
    else if (importer->missing.count && key) {
        struct ls_module *module = ls__module_find(session, key);
        for (uint32_t i = 0; module && i < module->names.count; i++)
            ls_names_drop(&importer->missing, module->names.items[i]);
    }
}

static void note_app_directory(struct ls_session *session, const char *key)
{
    if (!ls_has_prefix(key, "apps/")) return;
    const char *end = strchr(key + 5, '/');
    char *dir = end ? ls_strndup(key, (size_t)(end - key)) : NULL;
    if (dir) ls_names_add(&session->model->app_dirs, dir);
    ls_free(dir);
}

/* A failed first load leaves nothing behind (L43). What it declared and registered is gone already. [-0, +0, m] */
static LS_RAISES void take_back(struct ls_session *session, lua_State *L, const char *key, uint64_t serial)
{
    ls__timers_drop_module(session, serial, 0);
    ls__watches_drop_module(session, serial, 0);
    struct ls_module *module = ls__module_find(session, key);
    if (!module || module->serial != serial) return;
    ls__module_dispose(session, key, false);
    module = ls__module_find(session, key);
    if (!module || module->serial != serial) return;
    lua_pushnil(L);
    ls__module_set_value(session, L, key);
    module = ls__module_find(session, key);
    if (module) ls__module_forget(session, module);
}

/* [-0, +1, m] the first result, on top: what package.loaded gets (L39). A chunk that has set its own value and returns
 * nothing keeps it. */
static LS_RAISES void settle_value(struct ls_session *session, lua_State *L, const char *key)
{
    if (!lua_isnil(L, -1)) return;
    lua_pop(L, 1);
    struct ls_module *module = ls__module_find(session, key);
    for (uint32_t i = 0; module && i < module->names.count; i++) {
        if (push_loaded(session, L, module->names.items[i]) && !(lua_isboolean(L, -1) && lua_toboolean(L, -1))) return;
        lua_pop(L, 1);
    }
    if (push_loaded(session, L, key)) return;
    lua_pop(L, 1);
    lua_pushboolean(L, 1);
}

/* The record, with name and path, of a file that is about to run. [-0, +0, m] */
static LS_RAISES struct ls_module *begin_record(struct ls_session *session, lua_State *L, const struct load *load,
                                                const char *name, bool named)
{
    LS_LTOP(L);
    struct ls_module *module = ls__module_make(session, load->source.key, name);
    if (!module || (named && !ls_names_add(&module->names, name)) ||
        (load->source.path && !ls_names_add(&module->paths, load->source.path))) {
        if (module) ls__module_forget(session, module);
        ls__lno_memory(L, "loading '%s'", name);
    }
    LS_LTOP_CHECK(L, 0);
    return module;
}

/* The file is being loaded: who requires it again gets `true`. The snapshots of the load are older than that.
 * [-1, +0, m] argument: struct load */
static LS_RAISES int l_mark(lua_State *L)
{
    const struct load *load = lua_touserdata(L, 1);
    lua_pushboolean(L, 1);
    ls__module_set_value(ls__session_of(L), L, load->source.key);
    return 0;
}

/* Runs the chunk with its two arguments, which are on the stack, under the record of its module.
 * @return 0 with the first result on top; or a code, with the error value on top where load->err is not set
 * [-3, +1, m] */
static LS_RAISES int run_chunk(struct ls_session *session, lua_State *L, struct load *load)
{
    int code = ls__lrun(session, l_mark, load, 0, &load->err);
    if (code == 0)
        code = ls__module_enter(session, ls__module_find(session, load->source.key), load->hash, true, &load->err);
    if (code != 0) return code;
    int at = lua_gettop(L) - 2;
    lua_pushcfunction(L, ls__traceback);
    lua_insert(L, at);
    int status = lua_pcall(L, 2, 1, at);
    lua_remove(L, at);
    ls__module_leave(session);
    return status == LUA_OK ? 0 : status == LUA_ERRMEM ? LS_ENOMEM : LS_ELUA;
}

/* The chunk has come to its end: its value becomes that of the module, unless that has unloaded itself: then it ran on
 * and is not marked as loaded (L57). [-2, +1, m] arguments: struct load, the value; result: the value */
static LS_RAISES int l_finish(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    const struct load *load = lua_touserdata(L, 1);
    struct ls_module *module = ls__module_find(session, load->source.key);
    if (!module || module->serial != load->serial) return 1;
    module->loaded = true;
    settle_value(session, L, load->source.key);
    session->model->loads->done(session, load->source.key, ls_bytes_data(load->source.text),
                                ls_bytes_len(load->source.text));
    lua_pushvalue(L, -1);
    ls__module_set_value(session, L, load->source.key);
    return 1;
}

/* [-1, +1, -] l_finish with the value on top; it raises for want of memory only */
static int finish(lua_State *L, struct load *load)
{
    lua_pushcfunction(L, l_finish);
    lua_insert(L, -2);
    lua_pushlightuserdata(L, load);
    lua_insert(L, -2);
    return lua_pcall(L, 2, 1, 0) == LUA_OK ? 0 : LS_ENOMEM;
}

/* [-0, +1, m] Compile the found file and run it as the first load of its module. @return 0 with the value on top, or a
 * code with the error value. Between begin and end of the load nothing is raised. */
static LS_RAISES int run_first(struct ls_session *session, lua_State *L, struct load *load, const char *name,
                               bool named)
{
    int top = lua_gettop(L);
    const char *key = load->source.key, *text = ls_bytes_data(load->source.text);
    size_t len = ls_bytes_len(load->source.text);
    ls_err_release(&load->err); /* of a search in vain */
    lua_State *before = ls__swap_thread(session, L);
    int code = ls__module_push_chunk(session, key, text, len, &load->err);
    load->hash = session->vm.hashed == text ? session->vm.hash : ls_hash(text, len);
    ls__swap_thread(session, before);
    if (code == 0) {
        load->serial = begin_record(session, L, load, name, named)->serial;
        lua_pushstring(L, name);
        lua_pushstring(L, key);
        before = ls__swap_thread(session, L);
        code = session->model->loads->begin(session, key, text, len, &load->err);
        if (code == 0) {
            tell_begins(session, load);
            code = run_chunk(session, L, load);
            if (code == 0) code = finish(L, load);
            session->model->loads->ended(session, code == 0);
        }
        ls__swap_thread(session, before);
    }
    if (load->err.code != 0) {
        lua_settop(L, top);
        lua_pushstring(L, ls_err_text(&load->err));
    }
    return code;
}

/* [-1, +0, e] The load has ended with `code` and the error value on top: take it back, remember it, raise the error:
 * with the position of the caller and the name for require (L42), as it is for the host. */
static LS_RAISES int raise_failed(struct ls_session *session, lua_State *L, struct load *load, const char *name,
                                  bool named, bool from_lua, int code)
{
    ls__name_memory_limit(session, L, code == LS_ENOMEM ? LUA_ERRMEM : LUA_ERRRUN);
    if (load->source.path) ls_names_add(&load->tried, load->source.path);
    lua_State *before = ls__swap_thread(session, L);
    ls__failure_first(session, name, named, load->source.key, &load->tried, load->source.text,
                      lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "the error is no string");
    if (load->serial) take_back(session, L, load->source.key, load->serial);
    ls__swap_thread(session, before);
    tell_wanted(session, load->source.key, &load->tried);
    note_edge(session, NULL, name);
    if (from_lua && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_pushfstring(L, "cannot load module '%s': %s", name, lua_tostring(L, -2));
        lua_concat(L, 2);
    }
    session->vm.trace_of = lua_topointer(L, -1);
    return lua_error(L);
}

/* [-0, +1, e] Load the found file (load->source); the module's value is pushed, or the error raised. */
static LS_RAISES int load_found(struct ls_session *session, lua_State *L, struct load *load, const char *name,
                                bool named, bool from_lua)
{
    luaL_checkstack(L, LUA_MINSTACK, "require");
    const char *key = load->source.key, *text = ls_bytes_data(load->source.text);
    size_t len = ls_bytes_len(load->source.text);
    int code = run_first(session, L, load, name, named);
    if (code != 0) return raise_failed(session, L, load, name, named, from_lua, code);
    const struct ls_module *module = ls__module_find(session, key);
    if (!module || module->serial != load->serial) return 1;
    lua_State *before = ls__swap_thread(session, L);
    ls__failure_over(session, key, name);
    ls__swap_thread(session, before);
    ls__module_ran(session, key, ls_hash(text, len), NULL);
    note_app_directory(session, key);
    note_edge(session, key, NULL);
    tell_loaded(session, key);
    return 1;
}

/* After the outermost load the queue is processed (L95). [-0, +0, -] */
static void after_load(struct ls_session *session, lua_State *L)
{
    if (session->model->running_count != 0) return;
    lua_State *before = ls__swap_thread(session, L);
    ls__mutations_run(session);
    ls__swap_thread(session, before);
}

/* A file known under its key: the same value, and one more name for it (L38). [-0, +(1|0), e] @return was it loaded */
static LS_RAISES bool push_known(struct ls_session *session, lua_State *L, const struct load *load, const char *name,
                                 bool named)
{
    const char *key = load->source.key;
    if (!push_loaded(session, L, key)) {
        lua_pop(L, 1);
        return false;
    }
    struct ls_module *module = ls__module_find(session, key);
    if (module) {
        if (!module->loaded) log_circle(session, key);
        if ((named && !ls_names_add(&module->names, name)) ||
            (load->source.path && !ls_names_add(&module->paths, load->source.path)))
            ls__lno_memory(L, "loading '%s'", name);
        if (load->source.path) tell_loaded(session, key);
    }
    if (named) {
        lua_pushvalue(L, -1);
        set_loaded(session, L, name);
    }
    note_edge(session, key, NULL);
    return true;
}

/* --- require (L36 to L42) --- */

/* Search the file whose name is `len` bytes of load->file and the suffix. @return 0 or a code and load->err */
static int search(struct ls_session *session, struct load *load, size_t len, const char *suffix)
{
    ls_buf_cut(&load->file, len);
    ls_buf_str(&load->file, suffix);
    if (ls_buf_failed(&load->file)) return ls_fail(&load->err, LS_ENOMEM, "out of memory while searching a file");
    return ls__source_search(session, load->file.data, &load->source, &load->tried, &load->err);
}

/* [-0, +0, v] nothing was found, or it could not be read (L42) */
static LS_RAISES int raise_missing(struct ls_session *session, lua_State *L, struct load *load, const char *name,
                                   bool named)
{
    note_absent(session, load, name, named);
    note_edge(session, NULL, name);
    if (load->err.code != LS_ENOTFOUND)
        return luaL_error(L, "cannot load module '%s': %s", name, ls_err_text(&load->err));
    luaL_Buffer text;
    luaL_where(L, 1);
    luaL_buffinit(L, &text);
    luaL_addstring(&text, "module '");
    luaL_addstring(&text, name);
    luaL_addstring(&text, "' not found:");
    for (uint32_t i = 0; i < load->tried.count; i++) {
        luaL_addstring(&text, "\n\tno file '");
        luaL_addstring(&text, ls__shown_path(session, load->tried.items[i]));
        luaL_addchar(&text, '\'');
    }
    luaL_addstring(&text, "\n\tno built-in module");
    luaL_pushresult(&text);
    lua_concat(L, 2);
    return lua_error(L);
}

/* [-0, +1, e] require(name) */
static LS_RAISES int l_require(lua_State *L)
{
    struct ls_session *session = ls__open_session_of(L);
    luaL_checkstring(L, 1);
    lua_settop(L, 1);
    const char *name = ls__name_arg(L, 1);
    if (!name) return luaL_error(L, "module name contains a zero byte");
    if (push_loaded(session, L, name)) {
        struct ls_module *module = ls__module_named(session, name);
        if (module && !module->loaded) log_circle(session, module->key);
        if (module) note_edge(session, module->key, NULL);
        return 1;
    }
    lua_pop(L, 1);
    struct load *load = push_load(L);
    for (const char *c = name; *c; c++) /* dots become slashes (L36) */
        ls_buf_char(&load->file, *c == '.' ? '/' : *c);
    size_t len = load->file.len;
    if (!ls__name_is_safe(ls_buf_text(&load->file)))
        return luaL_error(L, "module name '%s' must be relative, without empty, '.' or '..' parts", name);
    int code = search(session, load, len, ".lua");
    if (code == LS_ENOTFOUND) code = search(session, load, len, "/init.lua");
    if (code != 0) return raise_missing(session, L, load, name, true);
    if (push_known(session, L, load, name, true)) return 1;
    load_found(session, L, load, name, true, true);
    after_load(session, L);
    return 1;
}

/* [-0, +0, m] */
LS_RAISES void ls__open_require(lua_State *L)
{
    LS_LTOP(L);
    struct ls_session *session = ls__session_of(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_createtable(L, 0, 1); /* package: nothing but `loaded` (L17) */
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "loaded");
    lua_pushvalue(L, -1);
    lua_setglobal(L, "package");
    lua_setfield(L, -2, "package");
    session->model->ref_loaded = ls__ref_take(session, L);
    lua_register(L, "require", l_require);
    LS_LTOP_CHECK(L, 0);
}

/* --- the host's ways in --- */

struct host_load {
    const char *file; /* what to search for, or the path of a direct load */
    const char *name;
    bool direct;
    bool named;
    bool may_be_absent; /* main.lua (L32) */
    const char *key;    /* of a text that is given and not read (H36): then neither is searched for */
    struct ls_bytes *text;
};

/* [-0, +0, e] argument: struct host_load */
static LS_RAISES int load_for_host(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    const struct host_load *want = lua_touserdata(L, 1);
    struct load *load = push_load(L);
    if (want->named && push_loaded(session, L, want->name)) return 0;
    if (want->text) {
        load->source = (struct ls_source){.key = ls_strdup(want->key),
                                          .path = want->file ? ls_strdup(want->file) : NULL,
                                          .text = ls_bytes_ref(want->text)};
        if (!load->source.key || (want->file && !load->source.path))
            return ls__lno_memory(L, "loading '%s'", want->name);
        load_found(session, L, load, want->name, want->named, false);
        return 0;
    }
    int code = want->direct ? ls__source_direct(session, want->file, &load->source, &load->err)
                            : ls__source_search(session, want->file, &load->source, &load->tried, &load->err);
    if (code == LS_ENOTFOUND && want->may_be_absent) {
        note_absent(session, load, want->name, want->named);
        return 0;
    }
    if (code != 0) return raise_missing(session, L, load, want->name, want->named);
    if (!push_known(session, L, load, want->name, want->named))
        load_found(session, L, load, want->name, want->named, false);
    return 0;
}

static int run_host_load(struct ls_session *session, struct host_load *want, struct ls_err *err)
{
    ls__enter(session);
    int code = ls__lrun(session, load_for_host, want, 0, err);
    if (code == 0) after_load(session, session->vm.L);
    ls__leave(session);
    return code;
}

int ls__load_first(struct ls_session *session, const char *key, const char *path, struct ls_bytes *text,
                   const char *name, bool named, struct ls_err *err)
{
    struct host_load want = {.file = path, .name = name, .named = named, .key = key, .text = text};
    return ls__lrun(session, load_for_host, &want, 0, err);
}

int ls_session_run_main(struct ls_session *session, struct ls_err *err)
{
    struct host_load want = {.file = "main.lua", .name = "main", .named = true, .may_be_absent = true};
    LS_ERR(own);
    int code = run_host_load(session, &want, err ? err : &own);
    if (code != 0)
        ls__report(session, "main.lua", err ? err : &own);
    else
        /* what loading has left behind is a third of the heap, and most sessions then idle */
        ls_session_collect(session);
    return code;
}

int ls_session_require_file(struct ls_session *session, const char *name, struct ls_err *err)
{
    struct host_load want = {.file = name, .name = name, .named = true};
    return run_host_load(session, &want, err);
}

int ls_session_load_direct(struct ls_session *session, const char *path, struct ls_err *err)
{
    struct host_load want = {.file = path, .name = path, .direct = true};
    return run_host_load(session, &want, err);
}

bool ls_session_is_loaded(const struct ls_session *session, const char *key)
{
    const struct ls_module *module = ls__module_find(session, key);
    return module && module->loaded;
}
