/* A session with a tracker and nothing above it, for tests of the resolver: site code runs, variables are made and read
 * by path. */
#ifndef TESTS_RESOLVER_RIG_H
#define TESTS_RESOLVER_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "vm/chunks.h"
#include "session/session.h"
#include "vm/vm_internal.h"
#include "resolver/slots.h"
#include "tracker/tracker.h"

struct rig {
    struct ls_chunks *chunks;
    struct ls_site site;
    struct ls_session *session;
    struct ls_tracker *tracker;
    struct ls_variable_store store;
};

static struct rig *rig;

static int64_t rig_store_create(void *ctx, const struct ls_var_spec *spec, struct ls_fault *fault)
{
    struct rig *r = ctx;
    struct ls_var *var = NULL;
    return ls_tracker_create(r->tracker, spec, &var, fault) ? 0 : ls_var_id(var);
}

static void rig_store_destroy(void *ctx, int64_t id)
{
    struct rig *r = ctx;
    ls_tracker_destroy(r->tracker, id, NULL, NULL);
}

static void rig_open_limits(uint64_t memory_limit, int64_t time_limit_ms)
{
    LS_ERR(err);
    rig = calloc(1, sizeof *rig);
    rig->chunks = ls_chunks_new(&err);
    rig->site = (struct ls_site){.root = "/nonexistent", .lua_dir = "/nonexistent/lua"};
    struct ls_session_config config = {.vended_id = "1",
                                       .site = &rig->site,
                                       .chunks = rig->chunks,
                                       .memory_limit = memory_limit,
                                       .time_limit_ms = time_limit_ms,
                                       .max_timers = 10};
    rig->session = ls_session_open(&config, NULL, &err);
    if (!rig->session) fail_msg("%s", ls_err_text(&err));
    struct ls_tracker_config tracker = {.resolver = ls_session_resolver(rig->session), .diag_level = 1};
    rig->tracker = ls_tracker_new(&tracker, &err);
    assert_non_null(rig->tracker);
    rig->store = (struct ls_variable_store){rig, rig_store_create, rig_store_destroy};
    ls_session_bind(rig->session, rig->tracker, &rig->store);
}

static int rig_setup(void **state)
{
    (void)state;
    rig_open_limits(0, 5000);
    return 0;
}

static int rig_teardown(void **state)
{
    (void)state;
    assert_int_equal(lua_gettop(rig->session->vm.L), 0); /* T7: the stack is balanced */
    ls_tracker_free(rig->tracker);
    ls_session_close(rig->session);
    ls_chunks_free(rig->chunks);
    free(rig);
    rig = NULL;
    return 0;
}

/* Run code; `nresults` stay on the stack. */
static void rig_run(const char *code, int nresults)
{
    LS_ERR(err);
    lua_State *L = rig->session->vm.L;
    if (luaL_loadstring(L, code) != LUA_OK) fail_msg("%s", lua_tostring(L, -1));
    if (ls__lcall(rig->session, 0, nresults, &err)) fail_msg("%s", ls_err_text(&err));
}

static void rig_do(const char *code)
{
    rig_run(code, 0);
}

/* Does a Lua condition hold? */
static __attribute__((unused)) bool rig_is(const char *expression)
{
    char code[512];
    snprintf(code, sizeof code, "return not not (%s)", expression);
    rig_run(code, 1);
    bool yes = lua_toboolean(rig->session->vm.L, -1);
    lua_pop(rig->session->vm.L, 1);
    return yes;
}

/* [-0, +0, m] pops a value into a slot under protection */
static LS_RAISES int rig_take_slot(lua_State *L)
{
    ls_slot *slot = lua_touserdata(L, 2);
    lua_settop(L, 1);
    *slot = ls__slot_take(ls__session_of(L), L);
    return 0;
}

static ls_slot rig_slot(const char *expression)
{
    char code[512];
    ls_slot slot = 0;
    snprintf(code, sizeof code, "return %s", expression);
    lua_State *L = rig->session->vm.L;
    lua_pushcfunction(L, rig_take_slot);
    rig_run(code, 1);
    lua_pushlightuserdata(L, &slot);
    assert_int_equal(ls__lcall(rig->session, 2, 0, NULL), 0);
    return slot;
}

static int64_t rig_root(const char *expression)
{
    struct ls_var_spec spec = {.has_value = true, .value = rig_slot(expression)};
    struct ls_var *var = NULL;
    assert_int_equal(ls_tracker_create(rig->tracker, &spec, &var, NULL), 0);
    return ls_var_id(var);
}

static int rig_try(int64_t id, int64_t parent, const char *path, struct ls_fault *fault)
{
    struct ls_var_spec spec = {.id = id, .parent = parent, .path = path, .path_len = strlen(path)};
    return ls_tracker_create(rig->tracker, &spec, NULL, fault);
}

static void rig_create(int64_t id, int64_t parent, const char *path)
{
    struct ls_fault fault;
    if (rig_try(id, parent, path, &fault)) fail_msg("%s: %s", path, fault.text);
    assert_int_equal(lua_gettop(rig->session->vm.L), 0);
}

static struct ls_var *rig_var(int64_t id)
{
    struct ls_var *var = ls_tracker_find(rig->tracker, id);
    assert_non_null(var);
    return var;
}

static const char *rig_json(int64_t id)
{
    return ls_var_json(rig->tracker, rig_var(id), NULL);
}

static __attribute__((unused)) const char *rig_base(int64_t id)
{
    return ls_var_base_json(rig->tracker, rig_var(id), NULL);
}

static __attribute__((unused)) const char *rig_type(int64_t id)
{
    const char *type = ls_var_property(rig_var(id), "type");
    return type ? type : "";
}

static __attribute__((unused)) const char *rig_fault(int64_t id)
{
    const struct ls_fault *fault = ls_var_fault(rig_var(id));
    return fault ? ls_fault_kind_text(fault->kind) : "";
}

static __attribute__((unused)) const char *rig_fault_text(int64_t id)
{
    const struct ls_fault *fault = ls_var_fault(rig_var(id));
    return fault ? fault->text : "";
}

static int rig_write(int64_t id, const char *json, struct ls_fault *fault)
{
    int rc = ls_tracker_write(rig->tracker, rig_var(id), json, strlen(json), fault);
    assert_int_equal(lua_gettop(rig->session->vm.L), 0);
    return rc;
}

static bool rig_detect(void)
{
    ls_tracker_begin_batch(rig->tracker);
    bool changed = ls_tracker_detect(rig->tracker);
    assert_int_equal(lua_gettop(rig->session->vm.L), 0);
    return changed;
}

/* The change list as text: `4h=v; 5m=v,type(Ship)`. */
static __attribute__((unused)) const char *rig_changes(void)
{
    static char text[4096];
    size_t len = 0;
    const struct ls_change *list;
    int count = ls_tracker_changes(rig->tracker, &list);
    text[0] = '\0';
    for (int i = 0; i < count; i++) {
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%lld%c=%s", i ? "; " : "",
                                (long long)ls_var_id(list[i].var), "hml"[list[i].priority], list[i].value ? "v" : "");
        for (size_t p = 0; p < list[i].prop_count; p++) {
            const char *value = ls_var_property(list[i].var, list[i].props[p]);
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%s(%s)", p || list[i].value ? "," : "",
                                    list[i].props[p], value ? value : "");
        }
    }
    return text;
}

#endif
