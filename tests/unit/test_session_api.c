/* What a host sees of a session: limits, logs, evaluation, unloading, the end. */
#include "session_site.h"

#include <pthread.h>

#define OPEN(name)                                                                                                     \
    struct place name;                                                                                                 \
    open_place(&name)

static void open_place(struct place *place)
{
    LS_ERR(err);
    place_make(place);
    if (place_open(place, &err) != 0) fail_msg("%s", ls_err_text(&err));
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("'%s' does not contain '%s'", text, part);
}

static void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part)) fail_msg("'%s' contains '%s'", text, part);
}

static unsigned occurrences(const char *text, const char *part)
{
    unsigned count = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        count++;
    return count;
}

static void l1_sessions_share_nothing(void **state)
{
    (void)state;
    OPEN(a);
    struct place b = a;
    LS_ERR(err);
    b.config.vended_id = "8";
    assert_int_equal(place_open(&b, &err), 0);
    place_do(&a, "mine = 5 string.mine = 6 package.loaded.x = 7");
    assert_string_equal(place_show(&b, "mine, string.mine, package.loaded.x"), "nil\tnil\tnil");
    assert_string_equal(place_show(&b, "session._sessionID"), "8");
    assert_ptr_equal(ls_session_get(a.session, "7"), a.session);
    assert_null(ls_session_get(a.session, "8"));
    place_shut(&b);
    place_remove(&a);
}

static void l5_time_limit_ends_every_loop(void **state)
{
    (void)state;
    struct place place;
    LS_ERR(err);
    place_make(&place);
    place.config.time_limit_ms = 30;
    assert_int_equal(place_open(&place, &err), 0);
    static const char *const loops[] = {
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "while true do coroutine.wrap(function() while true do end end)() end",
        "while true do pcall(coroutine.wrap(function() while true do pcall(error) end end)) end",
        "debug.sethook() while true do end",
        "repeat xpcall(error, function() end) until false",
    };
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++) {
        struct ls_eval eval;
        int64_t start = ls_now_ns();
        assert_int_equal(place_eval(&place, loops[i], false, &eval, &err), LS_ELIMIT);
        assert_has(ls_err_text(&err), "--time-limit");
        assert_int_equal(strncmp(ls_err_text(&err), "test:1:", 7), 0);
        assert_true(ls_now_ns() - start < ls_ms(20000)); /* they would go on for ever */
        ls_buf_release(&eval.json);
        assert_string_equal(place_show(&place, "1 + 1"), "2");
    }
    /* A coroutine that was stopped with its entry lives on in the next one. */
    place_do(&place, "co = coroutine.create(function() while true do coroutine.yield(1) end end) coroutine.resume(co)");
    struct ls_eval eval;
    assert_int_equal(place_eval(&place, "while true do coroutine.resume(co) end", false, &eval, &err), LS_ELIMIT);
    ls_buf_release(&eval.json);
    assert_string_equal(place_show(&place, "select('#', coroutine.resume(coroutine.create(function() return 1 end)))"),
                        "2");
    place_remove(&place);
}

static void l5_memory_limit(void **state)
{
    (void)state;
    struct place place;
    LS_ERR(err);
    place_make(&place);
    place.config.memory_limit = 2 << 20;
    assert_int_equal(place_open(&place, &err), 0);
    struct ls_eval eval;
    assert_int_equal(place_eval(&place, "local t = {} for i = 1, 1e9 do t[i] = {} end", false, &eval, &err), LS_ELIMIT);
    assert_has(ls_err_text(&err), "--memory-limit");
    ls_buf_release(&eval.json);
    assert_string_equal(place_show(&place, "#('x'):rep(1000)"), "1000");
    assert_true(ls_session_memory(place.session) < 1 << 20);
    place_remove(&place);
}

static void *interrupt_soon(void *arg)
{
    struct place *place = arg;
    /* Until the evaluation says that it runs there is nothing to interrupt. */
    while (!__atomic_load_n(&place->order, __ATOMIC_ACQUIRE))
        ;
    ls_session_interrupt(place->session);
    return NULL;
}

static void tell_running(void *ctx, const char *text, size_t len)
{
    (void)text;
    (void)len;
    __atomic_store_n(&((struct place *)ctx)->order, 1, __ATOMIC_RELEASE);
}

static void c4_interrupt_from_another_thread(void **state)
{
    (void)state;
    struct place place;
    LS_ERR(err);
    place_make(&place);
    struct ls_session_host host = {.ctx = &place, .print = tell_running};
    place.session = ls_session_open(&place.config, &host, &err);
    assert_non_null(place.session);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, interrupt_soon, &place), 0);
    struct ls_eval eval;
    assert_int_equal(place_eval(&place, "print('here') while true do pcall(error) end", true, &eval, &err),
                     LS_EINTERRUPTED);
    pthread_join(thread, NULL);
    ls_buf_release(&eval.json);
    assert_string_equal(place_show(&place, "'alive'"), "alive");
    place_remove(&place);
}

static void l6_session_is_put_back(void **state)
{
    (void)state;
    OPEN(place);
    place_do(&place, "original = session session = 5");
    assert_string_equal(place_show(&place, "session == original"), "true");
    place_do(&place, "_G.session = nil");
    assert_string_equal(place_show(&place, "session == original"), "true");
    place_do(&place, "EMPTY = nil P = session:prototype('P', {})");
    place_remove(&place);
}

static void l20_print_is_one_record(void **state)
{
    (void)state;
    OPEN(place);
    ls_buf_clear(&place.log);
    place_do(&place, "print(1, nil, setmetatable({}, {__tostring = function() return 'two' end}), 2.0) print()");
    assert_string_equal(ls_buf_text(&place.log), "-1 7 1\tnil\ttwo\t2.0\n-1 7 \n");
    ls_buf_clear(&place.printed);
    place_do(&place, "io.write('a', 1) io.stdout:write('b\\n', 'rest')");
    assert_string_equal(ls_buf_text(&place.printed), "a1b\nrest");
    ls_buf_clear(&place.log);
    place_do(&place, "session:log(2, 'hidden') ui.log('shown')");
    assert_string_equal(ls_buf_text(&place.log), "0 7 [lua] shown\n");
    place_remove(&place);
}

static void l13_sandbox(void **state)
{
    (void)state;
    struct place place;
    LS_ERR(err);
    place_make(&place);
    place.config.sandbox = true;
    assert_int_equal(place_open(&place, &err), 0);
    static const char *const calls[] = {"io.open('x')",
                                        "io.popen('ls')",
                                        "os.execute('ls')",
                                        "os.remove('x')",
                                        "os.rename('x', 'y')",
                                        "os.tmpname()",
                                        "debug.getinfo(1)",
                                        "dofile('/etc/hostname')",
                                        "loadfile('/etc/hostname')",
                                        "io.stdin:read()",
                                        "io.stdout",
                                        "io.stderr:write('x')"};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        assert_has(place_show(&place, calls[i]), "--sandbox");
    assert_string_equal(place_show(&place, "type(os.time()), io.other, #('x'):rep(3)"), "number\tnil\t3");
    assert_has(place_show(&place, "io.stderr"), "io.stderr is turned off by --sandbox");
    char path[256];
    snprintf(path, sizeof path, "%s/lua/out.lua", place.root);
    assert_int_equal(symlink("/etc/hostname", path), 0);
    assert_has(place_show(&place, "require('out')"), "--sandbox");
    place_write(&place, "lua/in.lua", "return 'in'");
    assert_string_equal(place_show(&place, "require('in')"), "in");
    place_remove(&place);
}

static void l32_main(void **state)
{
    (void)state;
    OPEN(place);
    LS_ERR(err);
    assert_int_equal(ls_session_run_main(place.session, &err), 0); /* its absence is no error */
    assert_has(ls_buf_text(&place.wanted), "lua/main.lua,");
    place_shut(&place);
    place_write(&place, "lua/main.lua",
                "local name, key = ...\nNAME, KEY = name, key\nAPP = session:getApp() ID = session._sessionID\n"
                "session:createAppVariable({})");
    assert_int_equal(place_open(&place, &err), 0);
    assert_int_equal(ls_session_run_main(place.session, &err), 0);
    assert_string_equal(place_show(&place, "NAME, KEY, APP, ID, session.reloading"),
                        "main\tlua/main.lua\tnil\t7\tfalse");
    assert_true(ls_session_is_loaded(place.session, "lua/main.lua"));
    assert_has(ls_buf_text(&place.loaded), "lua/main.lua,");
    place_shut(&place);
    place_write(&place, "lua/main.lua", "local function deep() error('boom') end\ndeep()");
    assert_int_equal(place_open(&place, &err), 0);
    ls_buf_clear(&place.log);
    assert_int_equal(ls_session_run_main(place.session, &err), LS_ELUA);
    assert_int_equal(strncmp(ls_err_text(&err), "lua/main.lua:1: boom", 20), 0);
    assert_has(ls_err_text(&err), "stack traceback:");
    assert_has(ls_err_text(&err), "deep");
    assert_has(ls_buf_text(&place.log), "0 7 main.lua: lua/main.lua:1: boom");
    assert_false(ls_session_is_loaded(place.session, "lua/main.lua"));
    place_remove(&place);
}

static void l42_traceback_comes_from_where_it_happened(void **state)
{
    (void)state;
    OPEN(place);
    place_write(&place, "lua/outer.lua", "require('inner')");
    place_write(&place, "lua/inner.lua", "local function culprit() error('boom') end\nculprit()");
    LS_ERR(err);
    assert_int_equal(ls_session_require_file(place.session, "outer.lua", &err), LS_ELUA);
    assert_has(ls_err_text(&err), "lua/outer.lua:1: cannot load module 'inner': lua/inner.lua:1: boom");
    assert_has(ls_err_text(&err), "culprit");
    place_remove(&place);
}

static void l45_l45a_host_loads(void **state)
{
    (void)state;
    OPEN(place);
    LS_ERR(err);
    place_write(&place, "lua/one.lua", "N = (N or 0) + 1 return 'v'");
    place_write(&place, "apps/x/init.lua", "M = (M or 0) + 1");
    assert_int_equal(ls_session_require_file(place.session, "one.lua", &err), 0);
    assert_int_equal(ls_session_require_file(place.session, "one.lua", &err), 0);
    assert_int_equal(ls_session_load_direct(place.session, "apps/x/init.lua", &err), 0);
    assert_int_equal(ls_session_load_direct(place.session, "apps/x/init.lua", &err), 0);
    assert_string_equal(place_show(&place, "N, M, require('one'), package.loaded['apps/x/init.lua']"), "1\t1\tv\ttrue");
    assert_true(ls_session_is_loaded(place.session, "apps/x/init.lua"));
    assert_int_equal(ls_session_load_direct(place.session, "apps/none.lua", &err), LS_ELUA);
    assert_has(ls_err_text(&err), "apps/none.lua");
    assert_int_equal(ls_session_module_count(place.session), 2);
    struct ls_buf json = LS_BUF_INIT;
    assert_int_equal(ls_session_modules_json(place.session, &json), 0);
    assert_has(ls_buf_text(&json), "\"key\":\"lua/one.lua\"");
    assert_has(ls_buf_text(&json), "\"ok\":true");
    ls_buf_release(&json);
    place_remove(&place);
}

static void l139_lua_property(void **state)
{
    (void)state;
    OPEN(place);
    LS_ERR(err);
    place_write(&place, "lua/file.lua", "N = (N or 0) + 1");
    assert_int_equal(ls_session_run_lua_property(place.session, "  file.lua \n", 12, &err), 0);
    assert_int_equal(ls_session_run_lua_property(place.session, "file.lua", 8, &err), 0);
    assert_int_equal(ls_session_run_lua_property(place.session, "X = (X or 0) + 1", 16, &err), 0);
    assert_int_equal(ls_session_run_lua_property(place.session, "X = (X or 0) + 1", 16, &err), 0);
    assert_int_equal(ls_session_run_lua_property(place.session, " ", 1, &err), 0);
    assert_string_equal(place_show(&place, "N, X"), "1\t2");
    assert_int_equal(ls_session_run_lua_property(place.session, "../x.lua", 8, &err), LS_EINVAL);
    assert_int_equal(ls_session_run_lua_property(place.session, "error('e')", 10, &err), LS_ELUA);
    assert_int_equal(strncmp(ls_err_text(&err), "inline:1: e", 11), 0);
    assert_int_equal(ls_session_run_lua_property(place.session, "x x", 3, &err), LS_ESYNTAX);
    place_remove(&place);
}

static void l145_equal_errors_once_a_second(void **state)
{
    (void)state;
    OPEN(place);
    place_do(&place, "session:setInterval(function() error('same') end, 1)");
    ls_buf_clear(&place.log);
    for (int i = 0; i < 20; i++)
        place_run_timer(&place);
    assert_int_equal(occurrences(ls_buf_text(&place.log), "same"), 1);
    assert_has(ls_session_last_error(place.session), "test:1: same");
    place_shut(&place);
    assert_has(ls_buf_text(&place.log), "(19 more times)");
    place_remove(&place);
}

static void l143_error_objects(void **state)
{
    (void)state;
    OPEN(place);
    assert_int_equal(strncmp(place_show(&place, "error({code = 5})"), "{\"code\":5}", 10), 0);
    assert_int_equal(
        strncmp(place_show(&place, "error(setmetatable({}, {__tostring = function() return 'shown' end}))"), "shown",
                5),
        0);
    assert_has(place_show(&place, "error()"), "nil");
    assert_has(place_show(&place, "error(print)"), "function");
    assert_has(place_show(&place, "error(setmetatable({}, {__tostring = error}))"), "table");
    place_remove(&place);
}

static void c4_eval(void **state)
{
    (void)state;
    OPEN(place);
    place_do(
        &place,
        "P = session:prototype('Contact', {}) c = P:new{firstName = 'Alice', tags = {1, {2, {3}}}, n = 1.5} c.me = c");
    assert_string_equal(place_show(&place, "c"),
                        "Contact {firstName = \"Alice\", me = Contact <cycle>, n = 1.5, tags = {1, {…}}}");
    assert_string_equal(place_show(&place, "1, nil, 'x'"), "1\tnil\tx");
    assert_string_equal(place_show(&place, "_"), "1");
    assert_string_equal(place_show(&place, "x = 5"), "");
    assert_string_equal(place_show(&place, "x"), "5");
    assert_string_equal(place_show(&place, "_"), "5");
    assert_string_equal(place_show(&place, "{}, {[1.5] = true, ['a b'] = 1}"), "{}\t{[\"a b\"] = 1, [1.5] = true}");
    assert_has(place_show(&place, "(function() local t = {} for i = 1, 30 do t[i] = i end return t end)()"),
               ", 20, … (10 more)}");
    struct ls_eval eval;
    LS_ERR(err);
    assert_int_equal(place_eval(&place, "for i = 1, 2 do", true, &eval, &err), LS_ESYNTAX);
    assert_true(eval.incomplete);
    ls_buf_release(&eval.json);
    assert_int_equal(place_eval(&place, "x x", true, &eval, &err), LS_ESYNTAX);
    assert_false(eval.incomplete);
    ls_buf_release(&eval.json);
    assert_int_equal(place_eval(&place, "return {b = 1, a = {1}}", false, &eval, &err), 0);
    assert_string_equal(ls_buf_text(&eval.json), "{\"a\":[1],\"b\":1}");
    ls_buf_release(&eval.json);
    const char *error = place_show(&place, "local function f() error('x') end f()");
    assert_int_equal(strncmp(error, "test:1: x\nstack traceback:", 26), 0);
    eval = (struct ls_eval){.code = "('ä'):rep(100)", .len = 15, .name = "t", .repl = true, .max_output = 11};
    assert_int_equal(ls_session_eval(place.session, &eval, &err), 0);
    assert_int_equal(strncmp(eval.text.data, "äääää… (", 13), 0);
    ls_buf_release(&eval.text);
    ls_buf_release(&eval.json);
    place_remove(&place);
}

static void c4_complete(void **state)
{
    (void)state;
    OPEN(place);
    place_do(&place, "Base = session:prototype('Base', {shared = 1}) function Base:inherited() end "
                     "thing = Base:new{alpha = 1, alps = 2, _x = 3} list = {thing, {['a key'] = {deep = {thing}}}} "
                     "trap = setmetatable({}, {__index = function() CALLED = true end})");
    static const struct {
        const char *line, *want;
    } cases[] = {
        {"thin", "[\"thing\"]"},
        {"print(thing.al", "[\"alpha\",\"alps\"]"},
        {"thing:inh", "[\"inherited\"]"},
        {"thing:al", "[]"},
        {"thing.sha", "[\"shared\"]"},
        {"x = string.gs", "[\"gsub\"]"},
        {"('x'):", "[]"},
        {"list[1].al", "[\"alpha\",\"alps\"]"},
        {"f(list[1]:inh", "[\"inherited\"]"},
        {"list[2]['a key'].de", "[\"deep\"]"},
        {"list[2][\"a key\"].deep[1].sha", "[\"shared\"]"},
        {"list[1]", "[]"},
        {"list[1].alpha[1].x", "[]"},
        {"list[9].al", "[]"},
        {"list[x].al", "[]"},
        {"list['it\\'s'].al", "[]"},
        {"t[thing.al", "[\"alpha\",\"alps\"]"},
        {"[1].", "[]"},
        {"trap.any.thing", "[]"},
        {"nothing.at.all", "[]"},
        {"f(x):me", "[]"},
        {"f(thin", "[\"thing\"]"},
        {"f 'x'.al", "[]"},
        {"f(x).thin", "[]"},
        {"list [ 1 ] . al", "[\"alpha\",\"alps\"]"},
        {"list[0x1].al", "[\"alpha\",\"alps\"]"},
        {"list[2]['a\\32key'].de", "[\"deep\"]"},
        {"list[ [[x]] ].al", "[]"},
        {"list[2][ [[a key]] ].de", "[\"deep\"]"},
        {"print('thin", "[]"},
        {"print('a') thin", "[\"thing\"]"},
        {"print('it\\'s', thing.al", "[\"alpha\",\"alps\"]"},
        {"x = [[ thin", "[]"},
        {"-- thin", "[]"},
        {"--[[ x ]] thin", "[\"thing\"]"},
        {"-- x\nthin", "[\"thing\"]"},
        {"-- x\nprint(thing.\nal", "[\"alpha\",\"alps\"]"},
        {"x = 'thing'", "[]"},
        {"x = 12", "[]"},
        {"f(thing)", "[]"},
        {"a..thin", "[\"thing\"]"},
        {"thing:inherited.sha", "[]"},
        {"local thinner = 1\nprint(thin", "[\"thing\",\"thinner\"]"},
        {"local thinner = thin", "[\"thing\"]"},
        {"local thing = {}\nprint(thing.al", "[]"},
        {"do local thing = {} end\nprint(thing.al", "[\"alpha\",\"alps\"]"},
        {"for i, thinner in ipairs(list) do f(thing.sha", "[\"shared\"]"},
        {"for i, thinner in ipairs(list) do thinn", "[\"thinner\"]"},
        {"function thing:go(thinner) sel", "[\"select\",\"self\"]"},
        {"'thing' thing thin", "[\"thing\"]"}, /* what is wrong before does not matter */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ls_buf out = LS_BUF_INIT;
        LS_ERR(err);
        assert_int_equal(ls_session_complete(place.session, cases[i].line, strlen(cases[i].line), &out, &err), 0);
        if (strcmp(ls_buf_text(&out), cases[i].want) != 0) fail_msg("%s: %s", cases[i].line, ls_buf_text(&out));
        ls_buf_release(&out);
    }
    assert_string_equal(place_show(&place, "CALLED"), "nil");
    place_remove(&place);
}

static void c5_unload(void **state)
{
    (void)state;
    OPEN(place);
    LS_ERR(err);
    place_write(&place, "apps/a/app.lua",
                "P = session:prototype('A', {}) ui.registerPresenter('AP', {}) obj = P:new()\n"
                "session:setInterval(function() end, 1000) session:createAppVariable(obj)\n"
                "session:watchVariable(1, print)");
    place_write(&place, "apps/a/part.lua", "");
    place_write(&place, "lua/user.lua", "require('apps.a.app') require('apps.a.part')");
    place_do(&place, "require('user')");
    assert_false(ls_session_app_withdrawn(place.session, "apps/a"));
    for (int dry = 1; dry >= 0; dry--) {
        struct ls_unload_report report;
        ls_unload_report_init(&report);
        assert_int_equal(ls_session_unload(place.session, "apps/a/", dry, &report, &err), 2);
        assert_string_equal(ls_buf_text(&report.modules), "[\"apps/a/app.lua\",\"apps/a/part.lua\"]");
        assert_string_equal(ls_buf_text(&report.prototypes), "[\"A\"]");
        assert_string_equal(ls_buf_text(&report.presenters), "[\"AP\"]");
        assert_string_equal(ls_buf_text(&report.wrappers), "[]");
        assert_string_equal(ls_buf_text(&report.importers), "[\"lua/user.lua\"]");
        assert_int_equal(report.timers, 1);
        assert_int_equal(report.watches, 1);
        assert_int_equal(report.instances, 1);
        assert_int_equal(report.variables, 1);
        ls_unload_report_release(&report);
        assert_int_equal(ls_session_is_loaded(place.session, "apps/a/app.lua"), dry);
    }
    assert_has(ls_buf_text(&place.unloaded), "apps/a/app.lua,");
    assert_int_equal(place.timer_count, 0);
    assert_true(ls_session_app_withdrawn(place.session, "apps/a"));
    assert_false(ls_session_app_withdrawn(place.session, "apps/other"));
    struct ls_unload_report report;
    ls_unload_report_init(&report);
    assert_int_equal(ls_session_unload(place.session, "nothing", false, &report, &err), 0);
    ls_unload_report_release(&report);
    place_do(&place, "package.loaded.user = nil package.loaded['lua/user.lua'] = nil require('user')");
    assert_false(ls_session_app_withdrawn(place.session, "apps/a"));
    place_remove(&place);
}

static void l7_the_end_of_a_session(void **state)
{
    (void)state;
    OPEN(place);
    place_write(&place, "lua/d.lua",
                "session:onDispose(function(reload) print('disposed', reload) error('and failed') end)");
    place_do(
        &place,
        "require('d') session:setTimeout(print, 0) held = setmetatable({}, {__gc = function() print('collected') end})");
    assert_int_equal(place.timer_count, 1);
    ls_buf_clear(&place.log);
    ls_tracker_free(place.tracker);
    place.tracker = NULL;
    ls_session_close(place.session);
    place.session = NULL;
    assert_int_equal(place.timer_count, 0);
    assert_has(ls_buf_text(&place.log), "disposed\tfalse");
    assert_has(ls_buf_text(&place.log), "and failed");
    assert_has(ls_buf_text(&place.log), "collected");
    ls_session_close(NULL);
    place_remove(&place);
}

static void l41_l79_warnings(void **state)
{
    (void)state;
    OPEN(place);
    place_write(&place, "lua/shared.lua",
                "P = session:prototype('Shared', {list = {}}) a, b = P:new(), P:new() table.insert(a.list, 1)");
    ls_buf_clear(&place.log);
    place_do(&place, "require('shared')");
    assert_has(ls_buf_text(&place.log), "'list' of prototype Shared");
    place_write(&place, "lua/later.lua", "");
    ls_buf_clear(&place.log);
    place_do(&place, "require('later')");
    assert_lacks(ls_buf_text(&place.log), "Shared");
    place_remove(&place);
}

/* All globals are there in the first line of main.lua, and the tracker too (L3). */
static void lx36_methods_wrapped_again_and_again(void **state)
{
    (void)state;
    OPEN(place);
    place_write(
        &place, "lua/wraps.lua",
        "local before = session.prototype session.prototype = function(...) return before(...) end session.log = session.log");
    for (int i = 0; i < 20; i++)
        place_do(&place, "require('wraps') session:unloadModule('wraps')");
    assert_lacks(ls_buf_text(&place.log), "hint:");
    for (int i = 0; i < 5; i++)
        place_do(&place, "require('wraps') session:unloadModule('wraps')");
    assert_int_equal(occurrences(ls_buf_text(&place.log),
                                 "hint: session.prototype has been replaced more than 20 times, last by lua/wraps.lua"),
                     1);
    assert_int_equal(occurrences(ls_buf_text(&place.log), "hint:"), 1);
    place_do(&place, "session.log = 5"); /* no function: nothing to count, and no trouble */
    place_do(&place, "require('wraps')");
    place_remove(&place);
}

static void l3_globals_precede_main(void **state)
{
    (void)state;
    OPEN(place);
    LS_ERR(err);
    place_write(
        &place, "lua/main.lua",
        "for _, n in ipairs{'session', 'ui', 'EMPTY', 'diag', 'require', 'package', 'print'} do assert(_G[n] ~= nil, n) end\n"
        "ID = session:createAppVariable({})");
    if (ls_session_run_main(place.session, &err) != 0) fail_msg("%s", ls_err_text(&err));
    assert_string_equal(place_show(&place, "ID"), "1");
    place_remove(&place);
}

/* Failures of every kind leave the stack as it was: ten thousand of them would overflow it. */
static void l4_l144_errors_end_their_entry_only(void **state)
{
    (void)state;
    struct place place;
    LS_ERR(err);
    place_make(&place);
    place.config.memory_limit = 256 << 20; /* the default: room for Lua's own limit of the stack */
    assert_int_equal(place_open(&place, &err), 0);
    for (int i = 0; i < 10000; i++) {
        struct ls_eval eval;
        assert_int_equal(place_eval(&place, i % 2 ? "local function f() return f() + 1 end return error({})" : "x x",
                                    true, &eval, &err),
                         i % 2 ? LS_ELUA : LS_ESYNTAX);
        ls_buf_release(&eval.text);
        ls_buf_release(&eval.json);
    }
    assert_has(place_show(&place, "(function() local function f() return f() + 1 end return f() end)()"),
               "stack overflow");
    ls_session_run_timer(place.session, 12345);
    assert_string_equal(place_show(&place, "1"), "1");
    place_remove(&place);
}

/* Records carry the vended id and a level; texts of several lines stay one record; print is not filtered. */
static void l21_l22_l23_records(void **state)
{
    (void)state;
    OPEN(place);
    int out = dup(1), pipes[2];
    assert_int_equal(pipe(pipes), 0);
    fflush(stdout);
    dup2(pipes[1], 1);
    ls_buf_clear(&place.log);
    place_do(&place, "print('two\\nlines') session:log(4, 'too detailed') io.write('written\\n')");
    fflush(stdout);
    dup2(out, 1);
    close(pipes[1]);
    char bytes[16];
    assert_int_equal(read(pipes[0], bytes, sizeof bytes),
                     0); /* nothing on standard output, which belongs to protocol data */
    close(pipes[0]);
    close(out);
    assert_string_equal(ls_buf_text(&place.log), "-1 7 two\nlines\n-1 7 written\n");
    place_remove(&place);
}

/* Host and inline code belong to no module, compile errors are told from run errors, results follow L124. */
static void l141_l142_host_code(void **state)
{
    (void)state;
    OPEN(place);
    LS_ERR(err);
    struct ls_eval eval;
    place_do(&place, "session:prototype('Mine', {}) ui.registerPresenter('Mine', {})");
    assert_int_equal(ls_session_module_count(place.session), 0);
    assert_int_equal(place_eval(&place, "return 1, 2", false, &eval, &err), 0);
    assert_string_equal(ls_buf_text(&eval.json), "1");
    ls_buf_release(&eval.json);
    assert_int_equal(place_eval(&place, "return print", false, &eval, &err), 0);
    assert_string_equal(ls_buf_text(&eval.json), "null");
    ls_buf_release(&eval.json);
    assert_int_equal(place_eval(&place, "return +", false, &eval, &err), LS_ESYNTAX);
    ls_buf_release(&eval.json);
    assert_int_equal(place_eval(&place, "return nil + 1", false, &eval, &err), LS_ELUA);
    ls_buf_release(&eval.json);
    place_do(&place, "P = session:prototype('Q', {a = 1}) q = P:new() function P:mutate() ran = true end");
    place_do(&place, "session:prototype('Q', {a = 2})");
    assert_string_equal(place_show(&place, "ran"), "true");
    place_remove(&place);
}

/* Everything a session does, with each allocation of C and Lua failing in turn. */
static void work_through(struct place *place)
{
    LS_ERR(err);
    if (place_open(place, &err) == 0 && ls_session_run_main(place->session, &err) == 0) {
        struct ls_eval eval;
        place_eval(place,
                   "return require('mod').x, session:prototype('P', {a = 1, c = 2}), ui.json_decode('{\"a\":[1]}')",
                   true, &eval, &err);
        ls_buf_release(&eval.text);
        ls_buf_release(&eval.json);
        struct ls_buf out = LS_BUF_INIT;
        ls_session_complete(place->session, "str", 3, &out, &err);
        ls_buf_release(&out);
        place_run_timer(place);
        struct ls_unload_report report;
        ls_unload_report_init(&report);
        ls_session_unload(place->session, "mod", false, &report, &err);
        ls_unload_report_release(&report);
    }
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct place place;
    place_make(&place);
    place_write(
        &place, "lua/main.lua",
        "app = {list = {}} session:createAppVariable(app, {a = 1}) local P = session:prototype('P', {a = 1, b = {1}})\n"
        "p = P:new{a = 2} function P:mutate() self.m = 1 end session:setTimeout(function() x = {} end, 0)\n"
        "session:createVariable(1, p) session:watchVariable(1, print)");
    place_write(&place, "lua/mod.lua",
                "session:prototype('P', {b = {1, 2}}) ui.registerPresenter('Q', {}) return {x = 1}");
    ls_alloc_fail_at(0);
    work_through(&place);
    long total = ls_alloc_fail_at(0);
    place_shut(&place);
    assert_true(total > 500);
    for (long n = 1; n <= total; n++) {
        place.timer_count = 0;
        ls_alloc_fail_at(n);
        work_through(&place);
        ls_alloc_fail_at(0);
        ls_buf_clear(&place.log);
        place_shut(&place);
    }
    place_remove(&place);
}

static void a_hundred_sessions_leave_nothing(void **state)
{
    (void)state;
    struct place place;
    LS_ERR(err);
    place_make(&place);
    place_write(&place, "lua/main.lua",
                "session:createAppVariable({}) session:setInterval(print, 5) session:prototype('P', {x = {}})");
    for (int i = 0; i < 100; i++) {
        assert_int_equal(place_open(&place, &err), 0);
        assert_int_equal(ls_session_run_main(place.session, &err), 0);
        place_shut(&place); /* asserts that no reference is left */
    }
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(l1_sessions_share_nothing),
        cmocka_unit_test(l5_time_limit_ends_every_loop),
        cmocka_unit_test(l5_memory_limit),
        cmocka_unit_test(c4_interrupt_from_another_thread),
        cmocka_unit_test(l6_session_is_put_back),
        cmocka_unit_test(l20_print_is_one_record),
        cmocka_unit_test(l13_sandbox),
        cmocka_unit_test(l32_main),
        cmocka_unit_test(l42_traceback_comes_from_where_it_happened),
        cmocka_unit_test(l45_l45a_host_loads),
        cmocka_unit_test(l139_lua_property),
        cmocka_unit_test(l145_equal_errors_once_a_second),
        cmocka_unit_test(l143_error_objects),
        cmocka_unit_test(c4_eval),
        cmocka_unit_test(c4_complete),
        cmocka_unit_test(c5_unload),
        cmocka_unit_test(l7_the_end_of_a_session),
        cmocka_unit_test(l41_l79_warnings),
        cmocka_unit_test(lx36_methods_wrapped_again_and_again),
        cmocka_unit_test(l3_globals_precede_main),
        cmocka_unit_test(l4_l144_errors_end_their_entry_only),
        cmocka_unit_test(l21_l22_l23_records),
        cmocka_unit_test(l141_l142_host_code),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_hundred_sessions_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
