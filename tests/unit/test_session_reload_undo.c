/* What a failed reload gives back when variables are involved (H59), and that no single failed allocation can break a
 * session (H58, H65). */
#include "session_reload.h"

#include "session/session.h"
#include "vm/vm_internal.h"
#include "model/model_internal.h"
#include "tracker/tracker.h"

struct world {
    struct site site;
    struct ls_tracker *tracker;
    struct ls_variable_store store;
};

static int64_t store_create(void *ctx, const struct ls_var_spec *spec, struct ls_fault *fault)
{
    struct world *world = ctx;
    struct ls_var *var = NULL;
    return ls_tracker_create(world->tracker, spec, &var, fault) == 0 ? ls_var_id(var) : 0;
}

static void store_destroy(void *ctx, int64_t id)
{
    struct world *world = ctx;
    ls_tracker_destroy(world->tracker, id, NULL, NULL);
}

static void world_open(struct world *world, const char *main, const char *module)
{
    LS_ERR(err);
    site_open(&world->site);
    site_write(&world->site, "lua/main.lua", main);
    site_write(&world->site, "lua/m.lua", module);
    world->site.session = ls_session_open(&world->site.config, NULL, &err);
    assert_non_null(world->site.session);
    struct ls_tracker_config config = {.resolver = ls_session_resolver(world->site.session)};
    world->tracker = ls_tracker_new(&config, &err);
    assert_non_null(world->tracker);
    world->store = (struct ls_variable_store){world, store_create, store_destroy};
    ls_session_bind(world->site.session, world->tracker, &world->store);
    if (ls_session_run_main(world->site.session, &err) != 0) fail_msg("%s", ls_err_text(&err));
}

static void world_close(struct world *world)
{
    ls_tracker_free(world->tracker);
    site_close(&world->site);
}

static enum ls_reload_outcome save(struct world *world, const char *text)
{
    struct ls_reload_report report;
    site_write(&world->site, "lua/m.lua", text);
    site_reload(&world->site, &report, "lua/m.lua", NULL);
    enum ls_reload_outcome outcome = report.results[0].outcome;
    ls_reload_report_release(&report);
    return outcome;
}

static const char *json_of(struct world *world, int64_t id)
{
    size_t len;
    struct ls_var *var = ls_tracker_find(world->tracker, id);
    return var ? ls_var_json(world->tracker, var, &len) : "none";
}

static void h59_variables_made_by_the_failed_chunk_go(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, "session:createAppVariable({n = 1}) require('m')", "local x = 1");
    size_t before = ls_tracker_count(world.tracker);
    assert_int_equal(save(&world, "session:createVariable(1, {}) session:createVariable(1, {}) error('x')"),
                     LS_RELOAD_FAILED);
    assert_int_equal(ls_tracker_count(world.tracker), before);
    assert_int_equal(save(&world, "session:createVariable(1, {})"), LS_RELOAD_OK);
    assert_int_equal(ls_tracker_count(world.tracker), before + 1);
    world_close(&world);
}

/* What is told of their end may load a file, while the failed load is being undone. */
static void h59_their_wrappers_may_load_files_when_they_go(void **state)
{
    (void)state;
    struct world world;
    world_open(&world,
               "session:createAppVariable({n = 1}) LOADED = 0\n"
               "W = {type = 'W'} W.__index = W ui.registerWrapper('W', W)\n"
               "function W.new(_, variable) return setmetatable({}, W) end\n"
               "function W:destroy() LOADED = LOADED + 1 require('n' .. LOADED) end\n"
               "require('m')",
               "local x = 1");
    size_t before = ls_tracker_count(world.tracker);
    site_write(&world.site, "lua/n1.lua", "require('n2')");
    site_write(&world.site, "lua/n2.lua", "return 2");
    assert_int_equal(save(&world, "for i = 1, 2 do session:createVariable(1, {}, {wrapper = 'W'}) end error('x')"),
                     LS_RELOAD_FAILED);
    assert_int_equal(ls_tracker_count(world.tracker), before);
    assert_int_equal(ls_session_module_count(world.site.session), 4);
    world_close(&world);
}

static void h59_the_app_object_and_variable_1_are_put_back(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, "app = {n = 1} session:createAppVariable(app) require('m')", "local x = 1");
    char before[128];
    snprintf(before, sizeof before, "%s", json_of(&world, 1));
    assert_int_equal(save(&world, "session:createAppVariable({n = 2}) error('x')"), LS_RELOAD_FAILED);
    site_check(&world.site, "return session:getApp() == app");
    assert_string_equal(json_of(&world, 1), before);
    world_close(&world);
}

static void h59_an_app_made_by_the_failed_chunk_goes(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, "require('m')", "local x = 1");
    assert_int_equal(save(&world, "session:createAppVariable({n = 2}) error('x')"), LS_RELOAD_FAILED);
    site_check(&world.site, "return session:getApp() == nil");
    assert_int_equal(ls_tracker_count(world.tracker), 0);
    world_close(&world);
}

static void h59_standard_variables_are_put_back(void **state)
{
    (void)state;
    struct world world;
    world_open(&world,
               "session:createAppVariable({}) a = session:createVariable(1, {}) b = session:createVariable(1, {})"
               " session:registerStandardVariable('@a', a) require('m')",
               "local x = 1");
    int64_t a = ls_tracker_named(world.tracker, "@a");
    assert_int_not_equal(a, 0);
    assert_int_equal(save(&world, "session:registerStandardVariable('@a', b) session:registerStandardVariable('@a')"
                                  " session:registerStandardVariable('@b', b) error('x')"),
                     LS_RELOAD_FAILED);
    assert_int_equal(ls_tracker_named(world.tracker, "@a"), a);
    assert_int_equal(ls_tracker_named(world.tracker, "@b"), 0);
    world_close(&world);
}

static void h59_timers_and_watches_of_the_failed_chunk_go(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, "session:createAppVariable({}) require('m')",
               "session:setInterval(function() end, 60000) session:watchVariable(1, function() end)");
    struct ls_session *session = world.site.session;
    assert_int_equal(session->model->timer_count, 1);
    assert_int_equal(session->model->watch_count, 1);
    assert_int_equal(
        save(&world, "session:setInterval(function() end, 1) session:watchVariable(1, function() end) error('x')"),
        LS_RELOAD_FAILED);
    assert_int_equal(session->model->timer_count, 1); /* that of the running version goes on (H57) */
    assert_int_equal(session->model->watch_count, 1);
    world_close(&world);
}

static void h52_registrations_follow_the_file(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, "require('m')",
               "ui.registerPresenter('P1', {v = 1}) ui.registerPresenter('P2', {}) ui.registerWrapper('W1', {})");
    struct ls_session *session = world.site.session;
    assert_int_equal(save(&world, "ui.registerPresenter('P1', {v = 2}) error('x')"), LS_RELOAD_FAILED);
    lua_State *L = session->vm.L;
    ls__ref_push(session, L, session->model->ref_presenters);
    lua_getfield(L, -1, "P1");
    lua_getfield(L, -1, "v");
    assert_int_equal(lua_tointeger(L, -1), 1);
    lua_pop(L, 2);
    assert_int_equal(save(&world, "ui.registerPresenter('P1', {v = 3})"), LS_RELOAD_OK);
    assert_int_equal(lua_getfield(L, -1, "P1"), LUA_TTABLE);
    assert_int_equal(lua_getfield(L, -2, "P2"), LUA_TNIL);
    lua_pop(L, 3);
    ls__ref_push(session, L, session->model->ref_wrappers);
    assert_int_equal(lua_getfield(L, -1, "W1"), LUA_TNIL);
    lua_pop(L, 2);
    world_close(&world);
}

/* A finalizer may run wherever memory is taken, also while prototypes are saved, and may remove them. */
static void h59_finalizers_may_remove_prototypes_while_they_are_saved(void **state)
{
    (void)state;
    for (int n = 0; n < 60; n++) {
        struct world world;
        char text[512];
        world_open(
            &world,
            "for i = 1, 40 do session:prototype('P' .. i, {x = i}) end\n"
            "function drop(i) return setmetatable({}, {__gc = function() session:removePrototype('P' .. i) end}) end\n"
            "require('m')",
            "local x = 1");
        for (int i = 0; i < 3; i++) {
            snprintf(
                text, sizeof text,
                "collectgarbage('incremental', 20, 1000) for i = 1, 40 do drop(i) end pad = ('x'):rep(%d) error('x')",
                n * 97 + i);
            assert_int_equal(save(&world, text), LS_RELOAD_FAILED);
            snprintf(text, sizeof text,
                     "for i = 1, 40 do session:prototype('P' .. i, {x = i}) drop(i) end pad = ('x'):rep(%d)",
                     n * 97 + i);
            save(&world, text);
        }
        world_close(&world);
    }
}

#define FIRST                                                                                                            \
    "local n = 0 count = 1 Ship = session:prototype('Ship', {name = '', captain = 'c'}) function Ship:go() return 1 end" \
    " return {v = 1, inc = function() n = n + 1 return n end}"
#define SECOND                                                                                                          \
    "local n = 0 count = 2 Ship = session:prototype('Ship', {name = '', master = 'm'}) function Ship:go() return 2 end" \
    " ui.registerPresenter('P', {}) part = require('part')"                                                             \
    " return {v = 2, inc = function() n = n + 10 return n end, more = {}}"

/* Every allocation of a reload fails once. Whatever that one hits, the session has either all of the old code or all of
 * the new. */
static void h58_h65_any_failed_allocation_leaves_old_or_new(void **state)
{
    (void)state;
    unsigned failed = 0;
    for (long n = 1;; n++) {
        struct world world;
        world_open(&world, "m = require('m') s = Ship:new{} m.inc()", FIRST);
        site_write(&world.site, "lua/part.lua", "Part = session:prototype('Part', {}) return {v = 1}");
        site_write(&world.site, "lua/m.lua", SECOND);
        char path[256];
        snprintf(path, sizeof path, "%s/lua/m.lua", world.site.root);
        struct ls_bytes *text = ls_file_read(NULL, path, 0, NULL);
        struct ls_reload_file file = {
            .key = "lua/m.lua", .path = path, .text = text, .hash = ls_hash(ls_bytes_data(text), ls_bytes_len(text))};
        struct ls_reload_report report;
        LS_ERR(err);
        ls_reload_report_init(&report);
        (void)ls_alloc_fail_at(n);
        int code = ls_session_reload(world.site.session, &file, 1, &report, &err);
        long made = ls_alloc_fail_at(0);
        if (code != 0 || report.count == 0 || report.results[0].outcome != LS_RELOAD_OK) {
            failed++;
            site_check(
                &world.site,
                "return m.v == 1 and count == 1 and s:go() == 1 and s.captain == 'c' and s.master == nil and m.inc() == 2");
        } else {
            site_check(&world.site,
                       "return m.v == 2 and count == 2 and s:go() == 2 and s.master == 'm' and m.inc() >= 10");
        }
        site_check(&world.site, "return session.reloading == false and require('m') == m");
        ls_reload_report_release(&report);
        /* And it can still be reloaded. */
        ls_reload_report_init(&report);
        assert_int_equal(ls_session_reload(world.site.session, &file, 1, &report, &err), 0);
        assert_int_not_equal(report.results[0].outcome, LS_RELOAD_FAILED);
        site_check(&world.site, "return m.v == 2 and s:go() == 2");
        ls_reload_report_release(&report);
        ls_bytes_unref(text);
        world_close(&world);
        if (made < n) break;
    }
    assert_true(failed > 10); /* the sweep has met real failures */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(h59_variables_made_by_the_failed_chunk_go),
        cmocka_unit_test(h59_their_wrappers_may_load_files_when_they_go),
        cmocka_unit_test(h59_the_app_object_and_variable_1_are_put_back),
        cmocka_unit_test(h59_an_app_made_by_the_failed_chunk_goes),
        cmocka_unit_test(h59_standard_variables_are_put_back),
        cmocka_unit_test(h59_timers_and_watches_of_the_failed_chunk_go),
        cmocka_unit_test(h59_finalizers_may_remove_prototypes_while_they_are_saved),
        cmocka_unit_test(h52_registrations_follow_the_file),
        cmocka_unit_test(h58_h65_any_failed_allocation_leaves_old_or_new),
    };
    return cmocka_run_group_tests_name("reload: undo", tests, NULL, NULL);
}
