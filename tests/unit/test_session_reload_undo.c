/* What a failed reload gives back when variables are involved (H59), and that no single failed allocation can break a
 * session (H58, H65). */
#include "session_reload.h"

#include "session/session.h"
#include "vm/vm_internal.h"
#include "model/model_internal.h"
#include "model/prototype.h"
#include "model/undo.h"
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

/* The folder is there. */
static void world_start(struct world *world, const char *main, const char *module)
{
    LS_ERR(err);
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

static void world_open(struct world *world, const char *main, const char *module)
{
    site_open(&world->site);
    world_start(world, main, module);
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

/* What ended with a function of the module on the stack is asked again when its link leads to another file. */
static void r17_a_repointed_link_is_a_save_of_the_file_before(void **state)
{
    (void)state;
    struct world world;
    struct ls_reload_report report;
    site_open(&world.site);
    world.site.config.time_limit_ms = 60;
    site_write(&world.site, "apps/a.lua", "");
    site_write(&world.site, "apps/b.lua", "return {get = function() return 'fine' end}");
    site_point(&world.site, "lua/m.lua", "../apps/a.lua");
    world_start(
        &world,
        "local m = require('m') holder = {get = function() return m.get() end}\nsession:createAppVariable(holder)",
        "return {get = function() tries = (tries or 0) + 1 while true do end end}");
    struct ls_var_spec spec = {.id = 2, .parent = 1, .path = "get()", .path_len = 5};
    assert_int_equal(ls_tracker_create(world.tracker, &spec, NULL, NULL), 0);
    ls_tracker_begin_batch(world.tracker);
    ls_tracker_detect(world.tracker);
    site_check(&world.site, "return tries == 1");
    site_point(&world.site, "lua/m.lua", "../apps/b.lua");
    site_reload_link(&world.site, &report, "apps/b.lua", "apps/a.lua", "lua/m.lua");
    assert_int_equal(report.results[0].outcome, LS_RELOAD_OK);
    ls_reload_report_release(&report);
    ls_tracker_begin_batch(world.tracker);
    ls_tracker_detect(world.tracker);
    assert_string_equal(json_of(&world, 2), "\"fine\"");
    world_close(&world);
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

/* A table of few fields is kept in another form than one of many. */
static void h59_tables_of_any_size_are_put_back(void **state)
{
    (void)state;
    static const int sizes[] = {0, 1, 77, 119, 120, 121, 400};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct world world;
        char text[512];
        site_open(&world.site);
        site_write(&world.site, "lua/n1.lua", "nested = 'n'");
        site_write(&world.site, "lua/n2.lua", "nested = nil");
        snprintf(text, sizeof text, "local M = {} for i = 1, %d do M['k' .. i] = i _G['k' .. i] = i end m = M return M",
                 sizes[i]);
        world_start(&world, "require('m')", text);
        for (int n = 1; n <= 2; n++) { /* what another file has done that has succeeded stays */
            snprintf(text, sizeof text,
                     "for _, t in ipairs{m, _G} do t.k1 = 'x' t.new = 'x' t.k2 = nil setmetatable(t, {}) "
                     "if t == _G then require('n%d') end t.k3 = 'x' t.newer = t end error('x')",
                     n);
            assert_int_equal(save(&world, text), LS_RELOAD_FAILED);
            snprintf(text, sizeof text,
                     "for _, t in ipairs{m, _G} do local n = 0 for i = 1, %d do assert(t['k' .. i] == i) end "
                     "for key in pairs(t) do n = n + (key:find('^k%%d+$') and 1 or 0) end assert(n == %d) "
                     "assert(not t.new and not t.newer and not getmetatable(t)) end return nested == %s",
                     sizes[i], sizes[i], n == 1 ? "'n'" : "nil");
            site_check(&world.site, text);
        }
        world_close(&world);
    }
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

/* --- loads in loads --- */

/* What a load may do to what is shared; `n` tells who has done it. */
#define DEEDS                                                                                                          \
    "G[n] = true _G['g' .. n] = n\n"                                                                                   \
    "Ship = session:prototype('Ship', {['f' .. n] = n}) Ship['go' .. n] = function() return n end\n"                   \
    "session:prototype('Own' .. n, {x = n})\n"                                                                         \
    "ui.registerPresenter('P', {by = n}) ui.registerPresenter('P' .. n, {by = n})\n"                                   \
    "ui.registerWrapper('W', {by = n})\n"                                                                              \
    "session:createAppVariable({n = n})\n"                                                                             \
    "v[n] = session:createVariable(1, {n = n})\n"                                                                      \
    "session:registerStandardVariable('@v', v[n]) session:registerStandardVariable('@v' .. n, v[n])\n"

/* Who has made the variable of that id, -1 = it is gone. */
static int maker_of(struct world *world, int64_t id)
{
    char code[128];
    snprintf(code, sizeof code, "for n, id in pairs(v) do if id == %d then return n end end return -1", (int)id);
    return ls_tracker_find(world->tracker, id) ? site_number(&world->site, code) : -1;
}

/* Who has registered a presenter or wrapper, -1 = nobody. */
static int registrar_of(struct world *world, int registry, const char *name)
{
    lua_State *L = world->site.session->vm.L;
    int top = lua_gettop(L), by = -1;
    ls__ref_push(world->site.session, L, registry);
    if (lua_getfield(L, -1, name) == LUA_TTABLE && lua_getfield(L, -1, "by") == LUA_TNUMBER)
        by = (int)lua_tointeger(L, -1);
    lua_settop(L, top);
    return by;
}

static void put(struct ls_buf *out, const char *what, int n, bool there)
{
    if (there) ls_buf_printf(out, " %s%d", what, n);
}

/* Whose deeds are in force; and nothing is noted any more. */
static void check_deeds(struct world *world, const char *expected)
{
    const struct ls_model *model = world->site.session->model;
    struct ls_buf out = LS_BUF_INIT;
    char name[64];
    for (int n = 0; n < 5; n++) {
        snprintf(name, sizeof name, "return rawget(session:prototype('Ship'), 'go%d') and 1 or 0", n);
        put(&out, "go", n, site_number(&world->site, name));
        snprintf(name, sizeof name, "return rawget(_G, 'g%d') and 1 or 0", n);
        put(&out, "g", n, site_number(&world->site, name));
        snprintf(name, sizeof name, "Own%d", n);
        put(&out, "own", n, ls__proto_find(world->site.session, name));
        snprintf(name, sizeof name, "P%d", n);
        put(&out, "P", n, registrar_of(world, model->ref_presenters, name) == n);
        snprintf(name, sizeof name, "@v%d", n);
        put(&out, "@", n, maker_of(world, ls_tracker_named(world->tracker, name)) == n);
        snprintf(name, sizeof name, "return v[%d] or 0", n);
        put(&out, "v", n, ls_tracker_find(world->tracker, site_number(&world->site, name)));
    }
    for (int n = 0; n < 5; n++) {
        snprintf(name, sizeof name, "return rawget(session:prototype('Ship'), 'f%d') and 1 or 0", n);
        put(&out, "f", n, site_number(&world->site, name));
    }
    put(&out, "p", registrar_of(world, model->ref_presenters, "P"), true);
    put(&out, "w", registrar_of(world, model->ref_wrappers, "W"), true);
    put(&out, "app", site_number(&world->site, "return session:getApp().n"), true);
    put(&out, "shown", site_number(&world->site, "return session:getVariable(1).getValue().n"), true);
    put(&out, "@v", maker_of(world, ls_tracker_named(world->tracker, "@v")), true);
    if (strcmp(ls_buf_text(&out) + 1, expected) != 0)
        fail_msg("\ngot      %s\nexpected  %s", ls_buf_text(&out), expected);
    ls_buf_release(&out);
    assert_int_equal(model->undo_frames, 0);
    assert_int_equal(model->ref_undo, LUA_NOREF);
}

/* The file does its deeds with code before and after them. */
static void write_deeds(struct world *world, const char *key, int n, const char *before, const char *after)
{
    char text[2048];
    snprintf(text, sizeof text, "local n = %d %s\n%s %s", n, before, DEEDS, after);
    site_write(&world->site, key, text);
}

static enum ls_reload_outcome save_deeds(struct world *world, int n, const char *before, const char *after)
{
    struct ls_reload_report report;
    write_deeds(world, "lua/m.lua", n, before, after);
    site_reload(&world->site, &report, "lua/m.lua", NULL);
    enum ls_reload_outcome outcome = report.results[0].outcome;
    ls_reload_report_release(&report);
    return outcome;
}

/* main.lua does its deeds as 0, then `rest`. */
static void deeds_open(struct world *world, bool hot, const char *rest)
{
    char main[2048];
    site_open(&world->site);
    world->site.config.hot = hot;
    write_deeds(world, "lua/n.lua", 2, "", "");
    write_deeds(world, "lua/bad.lua", 3, "", "error('bad')");
    snprintf(main, sizeof main, "G = {} v = {} local n = 0 %s require('m') %s", DEEDS, rest);
    world_start(world, main, "");
}

#define OF(n)     "go" #n " g" #n " own" #n " P" #n " @" #n " v" #n
#define MAIN      OF(0)
#define SHARED(n) " f" #n " p" #n " w" #n " app" #n " shown" #n " @v" #n

static void h59_a_failed_reload_leaves_what_was(void **state)
{
    (void)state;
    struct world world;
    deeds_open(&world, true, "");
    check_deeds(&world, MAIN SHARED(0));
    assert_int_equal(save_deeds(&world, 1, "", "error('x')"), LS_RELOAD_FAILED);
    check_deeds(&world, MAIN SHARED(0));
    assert_int_equal(save_deeds(&world, 1, DEEDS, "error('x')"), LS_RELOAD_FAILED);
    check_deeds(&world, MAIN SHARED(0));
    assert_int_equal(save_deeds(&world, 1, "", ""), LS_RELOAD_OK);
    check_deeds(&world, MAIN " " OF(1) SHARED(1));
    world_close(&world);
}

/* All that a nested load has done counts as before, whatever the one around it did before and after it. */
static void h59_a_nested_load_that_succeeds_stays(void **state)
{
    (void)state;
    struct world world;
    for (int order = 0; order < 4; order++) {
        deeds_open(&world, true, "");
        assert_int_equal(save_deeds(&world, 1, order & 1 ? "require('n')" DEEDS : DEEDS "require('n')",
                                    order & 2 ? "error('x')" : "require('n') error('x')"),
                         LS_RELOAD_FAILED);
        check_deeds(&world, MAIN " " OF(2) SHARED(2));
        site_check(&world.site, "local before = G[2] G[2] = nil require('n') return before and not G[2]");
        assert_int_equal(save_deeds(&world, 1, "", ""), LS_RELOAD_OK);
        check_deeds(&world, MAIN " " OF(1) " " OF(2) SHARED(1));
        world_close(&world);
    }
}

/* A nested load that fails and is caught, in a reload that fails or succeeds. */
static void l43_h59_a_nested_load_that_fails_leaves_nothing(void **state)
{
    (void)state;
    struct world world;
    deeds_open(&world, true, "");
    assert_int_equal(save_deeds(&world, 1, "pcall(require, 'bad')", "error('x')"), LS_RELOAD_FAILED);
    check_deeds(&world, MAIN SHARED(0));
    assert_int_equal(save_deeds(&world, 1, "", "pcall(require, 'bad') error('x')"), LS_RELOAD_FAILED);
    check_deeds(&world, MAIN SHARED(0));
    assert_int_equal(save_deeds(&world, 1, "pcall(require, 'bad')", ""), LS_RELOAD_OK);
    /* globals, objects and variables are not undone by a first load that fails */
    check_deeds(&world, MAIN " " OF(1) " g3 @3 v3" SHARED(1));
    world_close(&world);
}

/* Three deep: the one in the middle stays, what it caught is gone, what is around it is gone. */
static void l43_h59_loads_three_deep(void **state)
{
    (void)state;
    struct world world;
    deeds_open(&world, true, "");
    write_deeds(&world, "lua/n.lua", 2, "pcall(require, 'bad')", "");
    assert_int_equal(save_deeds(&world, 1, DEEDS "require('n')", "error('x')"), LS_RELOAD_FAILED);
    check_deeds(&world, MAIN " " OF(2) " g3 @3 v3" SHARED(2));
    world_close(&world);
}

/* First loads alone, also where nothing is watched: globals, objects and variables are not undone. */
static void l43_first_loads_in_first_loads(void **state)
{
    (void)state;
    for (int hot = 0; hot < 2; hot++) {
        struct world world;
        deeds_open(&world, hot, "pcall(require, 'bad')");
        check_deeds(&world, MAIN " g3 @3 v3 f0 p0 w0 app3 shown3 @v3");
        write_deeds(&world, "lua/bad.lua", 3, "require('n')", "error('bad')");
        site_eval(&world.site, "pcall(require, 'bad')");
        check_deeds(&world, MAIN " " OF(2) " g3 @3 v3 f2 p2 w2 app3 shown3 @v3");
        world_close(&world);
    }
}

static void l102_what_a_failed_chunk_has_queued_goes(void **state)
{
    (void)state;
    struct world world;
    world_open(
        &world,
        "R = {} Ship = session:prototype('Ship', {a = 1, b = 2}) function Ship:mutate() R[#R + 1] = self.name end\n"
        "Boat = session:prototype('Boat', {a = 1}) Boat.mutate = Ship.mutate\n"
        "s = Ship:new{name = 's', a = 5, b = 6} t = Boat:new{name = 't'} require('m')",
        "local x = 1");
    site_write(&world.site, "lua/n.lua", "session:prototype('Boat', {b = 1})");
    site_write(&world.site, "lua/bad.lua", "session:prototype('Ship', {}) error('x')");
    assert_int_equal(save(&world, "session:prototype('Ship', {c = 1}) error('x')"), LS_RELOAD_FAILED);
    site_check(&world.site, "return #R == 0 and s.a == 5 and s.b == 6");
    /* merged into what the chunk has queued itself, and taken out of it again */
    assert_int_equal(save(&world, "session:prototype('Ship', {a = 1, c = 1}) pcall(require, 'bad')"), LS_RELOAD_OK);
    site_check(&world.site, "return #R == 1 and R[1] == 's' and s.a == 5 and rawget(s, 'b') == nil");
    /* what a nested load has queued is done */
    assert_int_equal(save(&world, "session:prototype('Ship', {d = 1}) require('n') error('x')"), LS_RELOAD_FAILED);
    site_check(&world.site, "return #R == 2 and R[2] == 't' and s.a == 5");
    world_close(&world);
}

static void h59_prototypes_that_the_failed_chunk_removed_come_back(void **state)
{
    (void)state;
    struct world world;
    world_open(&world,
               "R = {} Ship = session:prototype('Ship', {a = 1}) function Ship:mutate() error(R) end\n"
               "s = Ship:new{name = 's', a = 5} require('m')",
               "local x = 1");
    assert_int_equal(save(&world, "session:prototype('Ship', {c = 1})"), LS_RELOAD_OK); /* waits for s, which failed */
    const struct ls_model *model = world.site.session->model;
    assert_int_equal(model->queue_count, 1);
    assert_int_equal(save(&world, "session:removePrototype('Ship') session:prototype('Ship', {d = 1}) error('x')"),
                     LS_RELOAD_FAILED);
    assert_int_equal(model->queue_count, 1);
    site_check(&world.site, "return session:prototype('Ship') == Ship and Ship.c == 1 and Ship.d == nil");
    site_eval(&world.site, "Ship.mutate = nil");
    assert_int_equal(save(&world, "session:prototype('Ship', {c = 2})"), LS_RELOAD_OK);
    assert_int_equal(model->queue_count, 0);
    site_check(&world.site, "return rawget(s, 'a') == nil and s.c == 2");
    assert_int_equal(save(&world, "session:prototype('Ship', {e = 2}) session:removePrototype('Ship')"), LS_RELOAD_OK);
    assert_int_equal(model->queue_count, 0); /* L106 */
    world_close(&world);
}

/* Objects that become garbage while a load fails declare and remove prototypes when they are finalized. */
static void l43_h59_finalizers_run_after_the_roll_back(void **state)
{
    (void)state;
    for (int n = 0; n < 40; n++) {
        struct world world;
        char text[512];
        world_open(&world,
                   "for i = 1, 20 do session:prototype('P' .. i, {x = i}) end\n"
                   "function drop(i) return setmetatable({}, {__gc = function()\n"
                   "  session:removePrototype('P' .. i) session:prototype('Q' .. i, {x = i}) end}) end\n"
                   "require('m')",
                   "local x = 1");
        snprintf(text, sizeof text,
                 "collectgarbage('incremental', 20, 1000) for i = 1, 20 do session:prototype('P' .. i, {y = i}) drop(i)"
                 " session:prototype('R' .. i, {}) end pad = ('x'):rep(%d) error('x')",
                 n * 97);
        if (n % 2) {
            site_write(&world.site, "lua/bad.lua", text);
            site_eval(&world.site, "pcall(require, 'bad')");
        } else {
            assert_int_equal(save(&world, text), LS_RELOAD_FAILED);
        }
        struct ls_session *session = world.site.session;
        for (int i = 1; i <= 20; i++) {
            snprintf(text, sizeof text, "R%d", i);
            assert_null(ls__proto_find(session, text));
            snprintf(text, sizeof text, "P%d", i);
            if (!ls__proto_find(session, text)) continue; /* finalized afterwards */
            snprintf(text, sizeof text, "return session:prototype('P%d').x == %d and not session:prototype('P%d').y", i,
                     i, i);
            site_check(&world.site, text);
        }
        world_close(&world);
    }
}

/* [-1, +0, e] sets an upvalue, fields and a metatable, each noted before */
static int l_write(lua_State *L)
{
    struct ls_session *session = lua_touserdata(L, 1);
    lua_getglobal(L, "f"); /* 2 */
    lua_getglobal(L, "t"); /* 3 */
    lua_pushliteral(L, "a");
    for (int i = 0; i < 2; i++) {
        ls__undo_upvalue(session, L, 2, 1);
        lua_pushinteger(L, 10 + i);
        lua_setupvalue(L, 2, 1);
        ls__undo_field(session, L, 3, 4);
        lua_pushinteger(L, 20 + i);
        lua_setfield(L, 3, "a");
    }
    lua_pushliteral(L, "new");
    ls__undo_field(session, L, 3, 5);
    lua_pushboolean(L, 1);
    lua_setfield(L, 3, "new");
    lua_pushlightuserdata(L, LS_UNDO_METATABLE);
    ls__undo_field(session, L, 3, 6);
    lua_newtable(L);
    lua_setmetatable(L, 3);
    return 0;
}

static void h59_what_the_rule_writes_is_put_back(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, "local x = 1 function f() return x end m = {} t = setmetatable({a = 2}, m) require('m')", "");
    struct ls_session *session = world.site.session;
    LS_ERR(err);
    size_t mark = ls__undo_begin(session);
    assert_int_equal(ls__lrun(session, l_write, session, 0, &err), 0);
    site_check(&world.site, "return f() == 11 and t.a == 21 and t.new and getmetatable(t) ~= m");
    ls__undo_roll_back(session, mark, true);
    site_check(&world.site, "return f() == 1 and t.a == 2 and t.new == nil and getmetatable(t) == m");
    /* outside of a load nothing is noted */
    assert_int_equal(ls__lrun(session, l_write, session, 0, &err), 0);
    assert_int_equal(session->model->ref_undo, LUA_NOREF);
    world_close(&world);
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
        cmocka_unit_test(r17_a_repointed_link_is_a_save_of_the_file_before),
        cmocka_unit_test(h59_variables_made_by_the_failed_chunk_go),
        cmocka_unit_test(h59_their_wrappers_may_load_files_when_they_go),
        cmocka_unit_test(h59_the_app_object_and_variable_1_are_put_back),
        cmocka_unit_test(h59_tables_of_any_size_are_put_back),
        cmocka_unit_test(h59_an_app_made_by_the_failed_chunk_goes),
        cmocka_unit_test(h59_standard_variables_are_put_back),
        cmocka_unit_test(h59_timers_and_watches_of_the_failed_chunk_go),
        cmocka_unit_test(h59_finalizers_may_remove_prototypes_while_they_are_saved),
        cmocka_unit_test(h52_registrations_follow_the_file),
        cmocka_unit_test(h59_a_failed_reload_leaves_what_was),
        cmocka_unit_test(h59_a_nested_load_that_succeeds_stays),
        cmocka_unit_test(l43_h59_a_nested_load_that_fails_leaves_nothing),
        cmocka_unit_test(l43_h59_loads_three_deep),
        cmocka_unit_test(l43_first_loads_in_first_loads),
        cmocka_unit_test(l102_what_a_failed_chunk_has_queued_goes),
        cmocka_unit_test(h59_prototypes_that_the_failed_chunk_removed_come_back),
        cmocka_unit_test(l43_h59_finalizers_run_after_the_roll_back),
        cmocka_unit_test(h59_what_the_rule_writes_is_put_back),
        cmocka_unit_test(h58_h65_any_failed_allocation_leaves_old_or_new),
    };
    return cmocka_run_group_tests_name("reload: undo", tests, NULL, NULL);
}
