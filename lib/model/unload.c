/* Unloading (LuaSession card: unloadModule, unloadDirectory, hotLoaderCleanup). Rules L52 to L58, C5.
 *
 * Owner thread: the session's. Refuses to: touch globals, instances, variables or importers (L55). */
#include "model/module.h"

#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "files/fspath.h"
#include "model/globals.h"
#include "model/model_internal.h"
#include "model/prototype.h"
#include "tracker/tracker.h"

/* A prototype with several owners goes with its last one (L54). [-0, +0, m] */
static LS_RAISES void drop_prototypes(struct ls_session *session, lua_State *L, const char *key)
{
    LS_LTOP(L);
    for (uint32_t id = 1; id <= session->model->proto_count; id++) {
        struct ls_proto *proto = session->model->protos[id - 1];
        if (proto && ls_names_drop(&proto->owners, key) && proto->owners.count == 0) ls__proto_remove(session, L, id);
    }
    LS_LTOP_CHECK(L, 0);
}

/* [-1, +0, m] argument: the key. Everything of L52 between the hooks and the record */
static LS_RAISES int drop_registrations(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    const char *key = lua_touserdata(L, 1);
    struct ls_module *module = ls__module_find(session, key);
    if (!module) return 0;
    drop_prototypes(session, L, key);
    ls__module_drop_types(session, L, module);
    ls__timers_drop_module(session, module->serial, 0);
    ls__watches_drop_module(session, module->serial, 0);
    ls__ref_drop(session, &module->keep);
    lua_pushnil(L);
    ls__module_set_value(session, L, key);
    return 0;
}

/* unloadModule by record key; no-op if unknown. Safe. @return was there one */
static bool unload_module(struct ls_session *session, const char *given)
{
    if (!ls__module_find(session, given)) return false;
    char *key = ls_strdup(given); /* the caller's may be the record's own */
    if (!key) return false;
    ls__module_dispose(session, key, false);
    LS_ERR(err);
    if (ls__lrun(session, drop_registrations, key, 0, &err) != 0) ls__report(session, "unloading", &err);
    struct ls_module *module = ls__module_find(session, key);
    if (module) {
        if (session->vm.host.module_unloaded) session->vm.host.module_unloaded(session->vm.host.ctx, key);
        ls__module_forget(session, module);
    }
    ls_free(key);
    return true;
}

/* [-0, +0, e] session:unloadModule(key) */
LS_RAISES int ls__l_session_unloadModule(lua_State *L)
{
    struct ls_session *session = ls__open_session_of(L);
    if (lua_type(L, 2) != LUA_TSTRING) ls__ltype(L, 2, "unloadModule", "string");
    const char *name = ls__name_arg(L, 2);
    const struct ls_module *module = name ? ls__module_named(session, name) : NULL;
    if (!module) return 0;
    lua_State *before = ls__swap_thread(session, L);
    unload_module(session, module->key);
    ls__swap_thread(session, before);
    return 0;
}

/* Does the module lie in the directory, `len` bytes of `dir`, or below it? Keys without a '/' lie in ".". */
static bool in_directory(const struct ls_module *module, const char *dir, size_t len, bool below)
{
    const char *end = strrchr(module->key, '/'), *own = end ? module->key : ".";
    size_t own_len = end ? (size_t)(end - own) : 1;
    if (below && len == 1 && *dir == '.') return true;
    return own_len >= len && memcmp(own, dir, len) == 0 && (own_len == len || (below && own[len] == '/'));
}

/* The length of a name without slashes at its end. */
static size_t trimmed(const char *name)
{
    size_t len = strlen(name);
    while (len > 1 && name[len - 1] == '/')
        len--;
    return len;
}

/* Unload what matches, latest first; a hook may unload others, so the list is looked at anew. @return how many */
static int unload_directory(struct ls_session *session, const char *dir, bool below)
{
    size_t len = trimmed(dir);
    int unloaded = 0;
    for (bool found = true; found;) {
        found = false;
        for (size_t i = session->model->module_count; i-- > 0 && !found;)
            if (in_directory(session->model->modules[i], dir, len, below))
                found = unload_module(session, session->model->modules[i]->key);
        unloaded += found;
    }
    char *name = unloaded ? ls_strndup(dir, len) : NULL;
    if (name && session->vm.host.directory_unloaded) session->vm.host.directory_unloaded(session->vm.host.ctx, name);
    ls_free(name);
    return unloaded;
}

/* [-0, +0, e] session:unloadDirectory(directory [, recursive]) */
LS_RAISES int ls__l_session_unloadDirectory(lua_State *L)
{
    struct ls_session *session = ls__open_session_of(L);
    if (lua_type(L, 2) != LUA_TSTRING) ls__ltype(L, 2, "unloadDirectory", "string");
    const char *dir = ls__name_arg(L, 2);
    if (!dir) return 0;
    lua_State *before = ls__swap_thread(session, L);
    unload_directory(session, dir, lua_toboolean(L, 3));
    ls__swap_thread(session, before);
    return 0;
}

bool ls_session_app_withdrawn(const struct ls_session *session, const char *app_dir)
{
    size_t len = trimmed(app_dir);
    bool was_loaded = false;
    for (uint32_t i = 0; i < session->model->app_dirs.count; i++)
        was_loaded = was_loaded || (strncmp(session->model->app_dirs.items[i], app_dir, len) == 0 &&
                                    session->model->app_dirs.items[i][len] == '\0');
    for (size_t i = 0; i < session->model->module_count; i++)
        if (in_directory(session->model->modules[i], app_dir, len, true)) return false;
    return was_loaded;
}

/* --- the administrator's way in, with a report (C5) --- */

void ls_unload_report_init(struct ls_unload_report *report)
{
    *report = (struct ls_unload_report){.heap_bytes = 0};
}

void ls_unload_report_release(struct ls_unload_report *report)
{
    struct ls_buf *const all[] = {&report->modules,  &report->prototypes, &report->presenters,
                                  &report->wrappers, &report->viewdefs,   &report->importers};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ls_buf_release(all[i]);
}

static void add_name(struct ls_buf *array, const char *name)
{
    if (!array->len) ls_buf_char(array, '[');
    ls_json_put_str(array, NULL, name);
}

static void end_array(struct ls_buf *array)
{
    ls_buf_str(array, array->len ? "]" : "[]");
}

/* Is the prototype owned by nobody but modules that go? */
static bool goes_with(const struct ls_proto *proto, const struct ls_names *keys)
{
    for (uint32_t i = 0; i < proto->owners.count; i++)
        if (!ls_names_has(keys, proto->owners.items[i])) return false;
    return proto->owners.count > 0;
}

struct count_shown {
    struct ls_session *session;
    const struct ls_names *keys;
    unsigned shown;
};

/* Does the variable show an instance of a prototype that goes? Runs no Lua code: raw reads only. */
static void count_variable(void *ctx, struct ls_var *var, unsigned depth)
{
    (void)depth;
    struct count_shown *count = ctx;
    lua_State *L = count->session->vm.L;
    if (!lua_checkstack(L, 6)) return;
    count->session->model->slots->push(count->session, L, ls_var_value(var));
    if (lua_istable(L, -1)) {
        ls__ref_push(count->session, L, count->session->model->ref_instances);
        lua_pushvalue(L, -2);
        lua_rawget(L, -2);
        const struct ls_proto *proto =
            ls__proto_at(count->session, (uint32_t)(lua_tointeger(L, -1) >> LS_INSTANCE_SEQ_BITS));
        count->shown += proto && goes_with(proto, count->keys);
        lua_pop(L, 2);
    }
    lua_pop(L, 1);
}

static void report_modules(struct ls_session *session, const struct ls_names *keys, struct ls_unload_report *report)
{
    for (size_t i = 0; i < session->model->module_count; i++) {
        const struct ls_module *module = session->model->modules[i];
        if (!ls_names_has(keys, module->key)) {
            for (uint32_t k = 0; k < module->requires.count; k++)
                if (ls_names_has(keys, module->requires.items[k])) {
                    add_name(&report->importers, module->key);
                    break;
                }
            continue;
        }
        add_name(&report->modules, module->key);
        for (uint32_t k = 0; k < module->presenters.count; k++)
            add_name(&report->presenters, module->presenters.items[k]);
        for (uint32_t k = 0; k < module->wrappers.count; k++)
            add_name(&report->wrappers, module->wrappers.items[k]);
        report->timers += ls__timers_of_module(session, module->serial, UINT32_MAX, false);
        report->watches += ls__watches_of_module(session, module->serial, UINT32_MAX);
    }
}

static void fill_report(struct ls_session *session, const struct ls_names *keys, struct ls_unload_report *report)
{
    report_modules(session, keys, report);
    for (uint32_t i = 0; i < session->model->proto_count; i++) {
        const struct ls_proto *proto = session->model->protos[i];
        if (!proto || !goes_with(proto, keys)) continue;
        add_name(&report->prototypes, proto->name);
        report->instances += (unsigned)ls__instances_count(session, proto->id);
    }
    if (session->model->tracker) {
        struct count_shown count = {.session = session, .keys = keys};
        ls_tracker_each(session->model->tracker, count_variable, &count);
        report->variables = count.shown;
    }
    struct ls_buf *const arrays[] = {&report->modules,  &report->prototypes, &report->presenters,
                                     &report->wrappers, &report->viewdefs,   &report->importers};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        end_array(arrays[i]);
}

/* The keys that `name` stands for: a key, a required name, or a directory with all below it (L53, L58). False without
 * memory. */
static bool match_modules(const struct ls_session *session, const char *name, struct ls_names *keys)
{
    const struct ls_module *module = ls__module_named(session, name);
    if (module) return ls_names_add(keys, module->key);
    size_t len = trimmed(name);
    for (size_t i = 0; i < session->model->module_count; i++)
        if (in_directory(session->model->modules[i], name, len, true) &&
            !ls_names_add(keys, session->model->modules[i]->key))
            return false;
    return true;
}

int ls_session_unload(struct ls_session *session, const char *name, bool dry_run, struct ls_unload_report *report,
                      struct ls_err *err)
{
    struct ls_names keys = {0};
    if (!match_modules(session, name, &keys)) {
        ls_names_release(&keys);
        return ls_fail(err, LS_ENOMEM, "Out of memory while unloading '%s'.", name);
    }
    int count = (int)keys.count;
    fill_report(session, &keys, report);
    if (count && !dry_run) {
        ls__enter(session);
        bool single = ls__module_named(session, name);
        lua_gc(session->vm.L, LUA_GCCOLLECT);
        uint64_t before = ls_budget_get(&session->vm.budget->heap);
        if (single)
            unload_module(session, keys.items[0]);
        else
            unload_directory(session, name, true);
        lua_gc(session->vm.L, LUA_GCCOLLECT);
        lua_gc(session->vm.L, LUA_GCCOLLECT); /* what finalizers of the first one let go */
        report->heap_bytes = (int64_t)before - (int64_t)ls_budget_get(&session->vm.budget->heap);
        ls__leave(session);
    }
    ls_names_release(&keys);
    return count;
}

/* --- listing (C1, H101) --- */

size_t ls_session_module_count(const struct ls_session *session)
{
    return session->model->module_count;
}

int ls_session_modules_json(struct ls_session *session, struct ls_buf *out)
{
    ls_buf_char(out, '[');
    for (size_t i = 0; i < session->model->module_count; i++) {
        const struct ls_module *module = session->model->modules[i];
        ls_json_open(out, NULL, '{');
        ls_json_put_str(out, "key", module->key);
        ls_json_key(out, "hash");
        ls_buf_printf(out, "\"%016llx\"", (unsigned long long)module->hash);
        ls_json_put_int(out, "time", module->time_ms);
        ls_json_put_bool(out, "ok", module->ok);
        ls_json_put_str(out, "error", module->error);
        ls_json_open(out, "requires", '[');
        for (uint32_t k = 0; k < module->requires.count; k++)
            ls_json_put_str(out, NULL, module->requires.items[k]);
        ls_buf_str(out, "]}");
    }
    ls_buf_char(out, ']');
    return ls_buf_failed(out) ? LS_ENOMEM : 0;
}
