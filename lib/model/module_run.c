/* A module's chunk while it runs, and how its execution ended (LuaSession card: setCurrentModule, clearCurrentModule).
 * Rules L44, L47, L100, LX36.
 *
 * Owner thread: the session's. Refuses to: run chunks itself (loader.c and the reload do). */
#include "model/module.h"

#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/log.h"
#include "model/globals.h"
#include "model/prototype.h"

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

/* --- session methods that are wrapped again and again (LX36) --- */

#define REPLACED_MAX 20 /* wrappers around one method before the hint */

/* [-0, +0, m] the function on top is no original: count it if it is another one than last time. Stack: key, session
 * table, replaced, function */
static LS_RAISES void count_replaced(struct ls_session *session, lua_State *L, const char *name)
{
    if (lua_getfield(L, 3, name) != LUA_TNIL && lua_rawequal(L, -1, 4)) return;
    lua_pushvalue(L, 4);
    lua_setfield(L, 3, name);
    lua_pushfstring(L, "%s#", name);
    lua_pushvalue(L, -1);
    lua_rawget(L, 3);
    lua_Integer times = lua_tointeger(L, -1) + 1;
    lua_pop(L, 1);
    lua_pushinteger(L, times);
    lua_rawset(L, 3);
    if (times == REPLACED_MAX + 1)
        ls_log_session(
            0, session->vm.id,
            "hint: session.%s has been replaced more than %d times, last by %s; if each replacement calls the one before, "
            "calls nest deeper with each reload: replace it in `if not session.reloading then ... end`",
            name, REPLACED_MAX, (const char *)lua_touserdata(L, 1));
}

/* [-1, +0, m] argument: the key of the module that has run */
static LS_RAISES int check_replaced(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    ls__ref_push(session, L, session->vm.ref_session);
    for (const luaL_Reg *method = session->model->functions; method->name; method++, lua_settop(L, 2)) {
        lua_pushstring(L, method->name);
        if (lua_rawget(L, 2) != LUA_TFUNCTION || lua_tocfunction(L, 3) == method->func) continue;
        if (session->model->ref_replaced == LUA_NOREF) {
            lua_newtable(L);
            session->model->ref_replaced = ls__ref_take(session, L);
        }
        ls__ref_push(session, L, session->model->ref_replaced);
        lua_insert(L, 3);
        count_replaced(session, L, method->name);
    }
    return 0;
}

static void look_for_replaced(struct ls_session *session, const char *key)
{
    LS_ERR(err);
    union {
        const char *text;
        void *data;
    } argument = {.text = key};
    if (ls__lrun(session, check_replaced, argument.data, 0, &err) != 0)
        ls__report(session, "looking at replaced session methods", &err);
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
    look_for_replaced(session, key);
    for (uint32_t i = 0; i < module->prototypes.count; i++) {
        const struct ls_proto *proto = ls__proto_find(session, module->prototypes.items[i]);
        if (proto) ls__mutations_wake(session, proto->id);
    }
}
