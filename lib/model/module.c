/* Module records, the stack of those whose chunk runs, keep values and dispose hooks (LuaSession card: modules,
 * moduleDirectories, currentModule, setCurrentModule, clearCurrentModule, reloading). Rules L44, L46 to L50, L62,
 * H37, H43 to H46, H67, H68.
 *
 * moduleDirectories is no structure of its own: a key begins with its directory, so that none can remain empty (L51).
 * Owner thread: the session's. Refuses to: read files, run chunks. */
#include "model/module.h"

#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "model/globals.h"

struct ls_module *ls__module_find(const struct ls_session *session, const char *key)
{
    for (size_t i = 0; i < session->model->module_count; i++)
        if (strcmp(session->model->modules[i]->key, key) == 0) return session->model->modules[i];
    return NULL;
}

struct ls_module *ls__module_named(const struct ls_session *session, const char *name)
{
    struct ls_module *module = ls__module_find(session, name);
    for (size_t i = 0; !module && i < session->model->module_count; i++)
        if (ls_names_has(&session->model->modules[i]->names, name)) module = session->model->modules[i];
    return module;
}

struct ls_module *ls__module_current(const struct ls_session *session)
{
    if (session->model->running_count == 0) return NULL;
    const struct ls_running *running = &session->model->running[session->model->running_count - 1];
    struct ls_module *module = ls__module_find(session, running->key);
    return module && module->serial == running->serial ? module : NULL;
}

static void free_module(struct ls_session *session, struct ls_module *module)
{
    if (!module) return;
    ls__ref_drop(session, &module->keep);
    ls__ref_drop(session, &module->dispose);
    ls__ref_drop(session, &module->record);
    ls_names_release(&module->names);
    ls_names_release(&module->paths);
    for (int i = 0; i < LS_MODULE_LISTS; i++)
        ls_names_release(&module->lists[i]);
    ls_free(module->error);
    ls_free(module->name);
    ls_free(module->key);
    ls_free(module);
}

struct ls_module *ls__module_make(struct ls_session *session, const char *key, const char *name)
{
    struct ls_module *module = ls__module_find(session, key);
    if (module) return module;
    if (!LS_RESERVE(session->model->modules, session->model->module_count + 1, session->model->module_cap)) return NULL;
    module = ls_zalloc(sizeof *module);
    if (!module) return NULL;
    module->keep = module->dispose = module->record = LUA_NOREF;
    module->key = ls_strdup(key);
    module->name = ls_strdup(name);
    if (!module->key || !module->name) {
        free_module(session, module);
        return NULL;
    }
    module->serial = ++session->model->module_serial;
    session->model->modules[session->model->module_count++] = module;
    return module;
}

void ls__module_forget(struct ls_session *session, struct ls_module *module)
{
    for (size_t i = 0; i < session->model->module_count; i++)
        if (session->model->modules[i] == module) {
            memmove(session->model->modules + i, session->model->modules + i + 1,
                    (session->model->module_count - i - 1) * sizeof *session->model->modules);
            session->model->module_count--;
            break;
        }
    free_module(session, module);
}

/* [-0, +0, m] */
static LS_RAISES int put_reloading(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    ls__ref_push(session, L, session->vm.ref_session);
    lua_pushliteral(L, "reloading");
    lua_pushboolean(L, session->model->reloading);
    lua_rawset(L, -3);
    return 0;
}

void ls__set_reloading(struct ls_session *session, bool reloading)
{
    session->model->reloading = reloading;
    LS_ERR(err);
    if (ls__lrun(session, put_reloading, NULL, 0, &err) != 0) ls__report(session, "session.reloading", &err);
}

/* --- the stack of running chunks --- */

int ls__module_enter(struct ls_session *session, struct ls_module *module, uint64_t hash, bool first_load,
                     struct ls_err *err)
{
    char *key = LS_RESERVE(session->model->running, session->model->running_count + 1, session->model->running_cap)
                    ? ls_strdup(module->key)
                    : NULL;
    if (!key) return ls_fail(err, LS_ENOMEM, "out of memory while loading '%s'", module->key);
    session->model->running[session->model->running_count++] = (struct ls_running){
        .key = key,
        .serial = module->serial,
        .hash = hash,
        .reloading_before = session->model->reloading,
    };
    module->execution++;
    if (first_load && session->model->reloading) ls__set_reloading(session, false);
    return 0;
}

void ls__module_leave(struct ls_session *session)
{
    assert(session->model->running_count > 0);
    struct ls_running running = session->model->running[--session->model->running_count];
    if (running.reloading_before != session->model->reloading) ls__set_reloading(session, running.reloading_before);
    ls_free(running.key);
}

/* --- the order of a burst (H37): recorded edges only, never the order of events --- */

static size_t place_of(const struct ls_session *session, const char *key)
{
    for (size_t i = 0; i < session->model->module_count; i++)
        if (strcmp(session->model->modules[i]->key, key) == 0) return i;
    return SIZE_MAX;
}

/* Mark everything that module `from` required, directly or through others. */
static void mark_required(const struct ls_session *session, size_t from, bool *seen)
{
    const struct ls_module *module = session->model->modules[from];
    for (uint32_t i = 0; i < module->requires.count; i++) {
        size_t place = place_of(session, module->requires.items[i]);
        if (place == SIZE_MAX || seen[place]) continue;
        seen[place] = true;
        mark_required(session, place, seen);
    }
}

/* needs[i * count + j]: keys[i] required keys[j]. */
static bool fill_needs(const struct ls_session *session, const size_t *places, size_t count, bool *needs)
{
    bool *seen = ls_array(session->model->module_count + 1, sizeof *seen);
    if (!seen) return false;
    for (size_t i = 0; i < count; i++) {
        if (places[i] == SIZE_MAX) continue;
        memset(seen, 0, session->model->module_count * sizeof *seen);
        mark_required(session, places[i], seen);
        for (size_t j = 0; j < count; j++)
            needs[i * count + j] = i != j && places[j] != SIZE_MAX && seen[places[j]];
    }
    ls_free(seen);
    return true;
}

static bool is_ready(const bool *needs, const bool *done, size_t count, size_t i)
{
    for (size_t j = 0; j < count; j++)
        /* members of a cycle do not wait for each other */
        if (!done[j] && needs[i * count + j] && !needs[j * count + i]) return false;
    return true;
}

bool ls__modules_order(const struct ls_session *session, const char *const *keys, size_t count, size_t *order)
{
    bool ok = false;
    size_t *places = ls_array(count + 1, sizeof *places);
    bool *needs = ls_array(count * count + 1, sizeof *needs);
    bool *done = ls_array(count + 1, sizeof *done);
    if (!places || !needs || !done) goto out;
    for (size_t i = 0; i < count; i++)
        places[i] = place_of(session, keys[i]);
    if (!fill_needs(session, places, count, needs)) goto out;
    for (size_t filled = 0; filled < count; filled++) {
        size_t best = SIZE_MAX;
        for (size_t i = 0; i < count; i++)
            if (!done[i] && is_ready(needs, done, count, i) && (best == SIZE_MAX || places[i] < places[best])) best = i;
        assert(best != SIZE_MAX); /* waiting is a partial order once cycles are left out */
        done[best] = true;
        order[filled] = best;
    }
    ok = true;
out:
    ls_free(places);
    ls_free(needs);
    ls_free(done);
    return ok;
}

/* --- keep (H67) and dispose hooks (H68) --- */

/* [-0, +0, e] the module whose chunk runs; raises outside load time */
static LS_RAISES struct ls_module *check_current(lua_State *L, const char *function)
{
    LS_LTOP(L);
    struct ls_module *module = ls__module_current(ls__session_of(L));
    if (!module) luaL_error(L, "'%s' must be called while a module is being loaded", function);
    LS_LTOP_CHECK(L, 0);
    return module;
}

/* [-0, +1, e] session:keep(name [, default [, anew]]) */
LS_RAISES int ls__l_session_keep(lua_State *L)
{
    struct ls_session *session = ls__open_session_of(L);
    if (lua_type(L, 2) != LUA_TSTRING) ls__ltype(L, 2, "keep", "string");
    struct ls_module *module = check_current(L, "keep");
    lua_settop(L, 4); /* session, name, default, anew */
    if (module->keep == LUA_NOREF) {
        lua_newtable(L);
        module->keep = ls__ref_take(session, L);
    }
    ls__ref_push(session, L, module->keep);
    lua_pushvalue(L, 2);
    if (lua_toboolean(L, 4) || lua_rawget(L, 5) == LUA_TNIL) {
        lua_settop(L, 5);
        lua_pushvalue(L, 2);
        lua_pushvalue(L, 3);
        lua_rawset(L, 5);
        lua_pushvalue(L, 3);
    }
    return 1;
}

/* [-0, +0, e] session:onDispose(function) */
LS_RAISES int ls__l_session_onDispose(lua_State *L)
{
    struct ls_session *session = ls__open_session_of(L);
    if (lua_type(L, 2) != LUA_TFUNCTION) ls__ltype(L, 2, "onDispose", "function");
    struct ls_module *module = check_current(L, "onDispose");
    if (module->dispose == LUA_NOREF) {
        lua_newtable(L);
        module->dispose = ls__ref_take(session, L);
    }
    ls__ref_push(session, L, module->dispose);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    return 0;
}

unsigned ls__module_dispose(struct ls_session *session, const char *key, bool reload)
{
    struct ls_module *module = ls__module_find(session, key);
    lua_State *L = session->vm.L;
    if (!module || module->dispose == LUA_NOREF || !lua_checkstack(L, 4)) return 0;
    /* The list leaves the record first: a hook may unload the module, or register a hook of the next version. */
    ls__ref_push(session, L, module->dispose);
    ls__ref_drop(session, &module->dispose);
    int list = lua_gettop(L);
    unsigned failed = 0;
    size_t count = lua_rawlen(L, list);
    char where[256];
    snprintf(where, sizeof where, "dispose hook of %s", key);
    for (size_t i = 1; i <= count; i++) {
        LS_ERR(err);
        lua_rawgeti(L, list, (lua_Integer)i);
        lua_pushboolean(L, reload);
        if (ls__lcall(session, 1, 0, &err) != 0) {
            failed++;
            ls__report(session, where, &err);
        }
    }
    lua_settop(L, list - 1);
    return failed;
}

void ls__modules_dispose_all(struct ls_session *session)
{
    /* Latest first, since later modules use earlier ones. A hook may unload modules, so the list is looked at anew each
     * time. */
    for (bool found = true; found;) {
        found = false;
        for (size_t i = session->model->module_count; i-- > 0 && !found;)
            if (session->model->modules[i]->dispose != LUA_NOREF) {
                found = true;
                char *key = ls_strdup(session->model->modules[i]->key);
                if (key)
                    ls__module_dispose(session, key, false);
                else
                    ls__ref_drop(session, &session->model->modules[i]->dispose);
                ls_free(key);
            }
    }
}

void ls__modules_release(struct ls_session *session)
{
    for (size_t i = 0; i < session->model->module_count; i++)
        free_module(session, session->model->modules[i]);
    ls_free(session->model->modules);
    session->model->modules = NULL;
    session->model->module_count = session->model->module_cap = 0;
    ls_free(session->model->running);
    session->model->running = NULL;
    session->model->running_cap = 0;
    ls_names_release(&session->model->app_dirs);
}
