/* Limits where the count hook alone does not reach: finalizers, long work in C, nesting; and what is left of a session
 * that is being closed (L5, L7, L145). */
#include "session_site.h"

#include <pthread.h>

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("'%s' does not contain '%s'", text, part);
}

static void open_limited(struct place *place, int time_limit_ms, uint64_t memory_limit)
{
    LS_ERR(err);
    place_make(place);
    place->config.time_limit_ms = time_limit_ms;
    place->config.memory_limit = memory_limit;
    if (place_open(place, &err) != 0) fail_msg("%s", ls_err_text(&err));
}

/* The code must end by the limit that `option` names, and the session answer afterwards. */
static void assert_limited(struct place *place, const char *code, const char *option)
{
    struct ls_eval eval;
    LS_ERR(err);
    int64_t start = ls_now_ns();
    int result = place_eval(place, code, false, &eval, &err);
    ls_buf_release(&eval.json);
    if (result == 0) fail_msg("no error from: %s", code);
    assert_has(ls_err_text(&err), option);
    assert_true(ls_now_ns() - start < ls_ms(30000)); /* what is not limited takes hours */
    assert_string_equal(place_show(place, "1 + 1"), "2");
}

static void l5_finalizers_end_too(void **state)
{
    (void)state;
    struct place place;
    open_limited(&place, 30, 64 << 20);
    static const char *const endless[] = {
        "setmetatable({}, {__gc = function() while true do end end}) collectgarbage() while true do end",
        "setmetatable({}, {__gc = function() while true do pcall(error) end end}) collectgarbage() while true do end",
        "debug.setmetatable({}, {__gc = function() while true do end end}) collectgarbage() while true do end",
        "session:create({__gc = function() while true do end end}) collectgarbage() while true do end",
        "local m = {__gc = true} setmetatable({}, m) m.__gc = function() while true do end end collectgarbage() while true do end",
    };
    for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
        char code[256], expected[64];
        snprintf(code, sizeof code, "%.*s%s", (int)i, "\n\n\n\n\n\n",
                 endless[i]); /* lines differ: equal errors are withheld for a second */
        assert_limited(&place, code, "--time-limit");
        snprintf(expected, sizeof expected, "finalizer: test:%zu: the time limit of 30 ms", i + 1);
        assert_has(ls_buf_text(&place.log), expected);
        place_do(&place, "collectgarbage()");
    }
    /* One that is left to the end of the session does not hold it up either. */
    place_do(&place, "LEFT = setmetatable({}, {__gc = function() while true do end end})");
    place_remove(&place);
}

static void l145_errors_of_finalizers_and_warnings_are_told(void **state)
{
    (void)state;
    struct place place;
    open_limited(&place, 5000, 0);
    place_do(&place, "setmetatable({}, {__gc = function() error('lost?') end}) collectgarbage()");
    assert_has(ls_buf_text(&place.log), "0 7 finalizer: test:1: lost?\nstack traceback:");
    place_do(&place, "setmetatable({}, {__gc = coroutine.yield}) collectgarbage()");
    assert_has(ls_buf_text(&place.log), "attempt to yield from a finalizer");
    place_do(&place, "warn('a ', 'warning') warn('@off') warn('silent') warn('@on')");
    assert_has(ls_buf_text(&place.log), "0 7 warning: a warning\n");
    assert_null(strstr(ls_buf_text(&place.log), "silent"));
    place_remove(&place);
}

static void note_due(void *ctx, int64_t due_ns)
{
    *(int64_t *)ctx = due_ns;
}

/* @return false when the test has been held up for a second, so that what was to be withheld is not */
static bool withhold(void)
{
    struct place place;
    int64_t begun = ls_now_ns(), due_ns = 0;
    ls_log_fold_timer(note_due, &due_ns);
    open_limited(&place, 5000, 0);
    place_do(&place, "for i = 1, 4 do session:setImmediate(function() error('same') end) end");
    ls_buf_clear(&place.log);
    assert_int_equal(place.timer_count, 4);
    for (int i = 0; i < 4; i++)
        place_run_timer(&place);
    if (ls_now_ns() - begun >= ls_ms(1000)) {
        place_remove(&place);
        return false;
    }
    assert_null(strstr(ls_buf_text(&place.log), "more times"));
    int64_t first_ns = due_ns;
    assert_true(first_ns > begun);
    ls_log_unfold(NULL); /* whoever comes too early is asked again */
    assert_null(strstr(ls_buf_text(&place.log), "more times"));
    assert_int_equal(due_ns, first_ns);
    while (ls_now_ns() < due_ns)
        usleep(1000);
    begun = ls_now_ns();
    ls_log_unfold(NULL);
    assert_has(ls_buf_text(&place.log), "0 7 timer: test:1: same (3 more times)\n");
    /* That record counts for the next second; what comes in it is told after it, or when the session ends. */
    ls_buf_clear(&place.log);
    place_do(&place, "session:setImmediate(function() error('same') end)\n");
    place_run_timer(&place);
    if (ls_now_ns() - begun >= ls_ms(1000)) {
        place_remove(&place);
        return false;
    }
    assert_string_equal(ls_buf_text(&place.log), "");
    assert_true(due_ns > first_ns);
    ls_session_close(place.session);
    place.session = NULL;
    assert_has(ls_buf_text(&place.log), "same (1 more times)");
    place_remove(&place);
    ls_log_fold_timer(NULL, NULL);
    return true;
}

/* The count of withheld errors is told by a timer when the second is over, also if nothing else happens in the session.
 * */
static void l145_the_count_of_withheld_errors_comes_by_itself(void **state)
{
    (void)state;
    int tries = 0;
    while (!withhold())
        assert_true(++tries < 10);
}

static void l7_finalizers_find_no_session_any_more(void **state)
{
    (void)state;
    struct place place;
    open_limited(&place, 5000, 0);
    place_do(
        &place,
        "session:createAppVariable({}) local v = session:getVariable(1) local P = session:prototype('P', {})\n"
        "local function try(name, ...) print(name, select(2, pcall(session[name], session, ...))) end\n"
        "LEFT = setmetatable({}, {__gc = function()\n"
        "  try('create', P) try('prototype', 'Q', {}) try('removePrototype', 'P') try('createAppVariable', {}) try('getApp')\n"
        "  try('createVariable', 1, {}) try('destroyVariable', 5) try('getVariable', 1) try('getAppVariable') try('unwatch', 1)\n"
        "  try('watchVariable', 1, print) try('watchProperty', 1, 'value', print) try('unloadModule', 'x') try('unloadDirectory', 'x')\n"
        "  try('setImmediate', print) try('setTimeout', print, 1) try('setInterval', print, 1) try('clearTimeout', 1)\n"
        "  try('registerStandardVariable', '@x', 1) try('keep', 'x') try('onDispose', print)\n"
        "  print('ui', pcall(ui.registerPresenter, 'x', {})) print('ui', pcall(ui.registerWrapper, 'x', {}))\n"
        "  print('require', pcall(require, 'x')) print('diag', pcall(diag, 1, 'x'))\n"
        "  print('value', v.getValue(), v.update(5), ui.json_encode({1}), session.newVersion())\n"
        "end})");
    place_shut(&place);
    const char *log = ls_buf_text(&place.log);
    unsigned refused = 0;
    for (const char *at = log; (at = strstr(at, "the session has ended")) != NULL; at++)
        refused++;
    assert_int_equal(refused, 25);
    assert_has(log, "value\tnil\tnil\t[1]\t1");
    place_remove(&place);
}

static void finalizers_work_as_the_manual_says(void **state)
{
    (void)state;
    struct place place;
    open_limited(&place, 5000, 0);
    place_do(&place, "ORDER = {} local m = {__gc = function(o) table.insert(ORDER, o.name) end}\n"
                     "for i = 1, 3 do setmetatable({name = i}, m) end collectgarbage()");
    assert_string_equal(place_show(&place, "table.concat(ORDER, ' ')"), "3 2 1");
    /* Called once, and again only when it has been given a metatable again. */
    place_do(
        &place,
        "COUNT = 0 local m m = {__gc = function(o) COUNT = COUNT + 1 SAVED = o if COUNT == 1 then setmetatable(o, m) end end}\n"
        "setmetatable({}, m) collectgarbage() SAVED = nil collectgarbage() SAVED = nil collectgarbage()");
    assert_string_equal(place_show(&place, "COUNT"), "2");
    /* Code sees its own metatable as it made it. */
    assert_string_equal(
        place_show(&place,
                   "(function() local f, n = function() end, 0 local m = {__gc = f} local o = setmetatable({}, m)\n"
                   "for _ in pairs(m) do n = n + 1 end return getmetatable(o) == m, m.__gc == f, n end)()"),
        "true\ttrue\t1");
    assert_has(place_show(&place, "setmetatable(setmetatable({}, {__metatable = 1}), {})"),
               "cannot change a protected metatable");
    assert_has(place_show(&place, "setmetatable({}, 5)"), "nil or table expected");
    assert_has(place_show(&place, "setmetatable(5, {})"), "table expected, got number");
    /* A table that has no finalizer any more has none. */
    place_do(
        &place,
        "COUNT = 0 local m = {__gc = function() COUNT = 1 end} setmetatable(setmetatable({}, m), nil) collectgarbage()");
    assert_string_equal(place_show(&place, "COUNT"), "0");
    place_do(&place, "for i = 1, 1000 do setmetatable({}, {__gc = function() COUNT = COUNT + 1 end}) end");
    place_shut(&place);
    place_remove(&place);
}

static void l5_long_work_in_c(void **state)
{
    (void)state;
    struct place place;
    open_limited(&place, 100, 64 << 20);
    /* Tables that share tables: a text of 2^60 numbers. */
    assert_limited(&place, "local t = {1} for i = 1, 60 do t = {t, t} end ui.json_encode(t)", "--time-limit");
    assert_limited(&place, "local t = {1} for i = 1, 60 do t = {t, t} end error(t)", "table");
    assert_string_equal(place_show(&place, "('ab'):rep(3, '-'), ('x'):rep(-1), ('x'):rep(1), ('').rep('', 3, ',')"),
                        "ab-ab-ab\t\tx\t,,");
    assert_has(place_show(&place, "('x'):rep(1 << 62, 'xx')"), "test:1: resulting string too large");
    assert_has(place_show(&place, "('x'):rep('y')"), "number expected");
    place_remove(&place);
    open_limited(&place, 60000, 8 << 20);
    assert_string_equal(
        place_show(
            &place,
            "(function() local s, t = ('x'):rep(1 << 20), {} for i = 1, 100 do t[i] = s end return ui.json_encode(t) end)()"),
        "nil\tthe text is longer than a session's memory may be (--memory-limit)");
    static const char *const bombs[] = {
        "('x'):rep(1e9)",
        "table.concat({('x'):rep(1 << 20)}, '', 1, 1) ; local t = {} for i = 1, 100 do t[i] = ('x'):rep(1 << 20) end",
        "local s = ('x'):rep(1 << 18) s:gsub('x', ('y'):rep(1 << 10))",
        "local function f() return f() + 1 end f()",
        "local s = 'x' while true do s = s .. s end",
        "local s = ('x'):rep(1 << 20) string.format(('%s'):rep(12), s, s, s, s, s, s, s, s, s, s, s, s)",
    };
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++)
        assert_limited(&place, bombs[i], "--memory-limit");
    place_write(&place, "lua/bomb.lua", "local t = {} for i = 1, 1e9 do t[i] = {} end");
    assert_limited(&place, "require('bomb')", "--memory-limit");
    place_remove(&place);
}

/* Small objects lie in a block of the session's: they keep what they hold while others of all sizes come and go, grow
 * and shrink, and all is counted down again in the end. */
static void objects_of_all_sizes_come_and_go(void **state)
{
    (void)state;
    struct place place;
    open_limited(&place, 60000, 0);
    assert_string_equal(
        place_show(&place,
                   "(function()\n"
                   "  local function count() collectgarbage() collectgarbage() return collectgarbage('count') end\n"
                   "  local before, kept = count(), {}\n"
                   "  for i = 1, 20000 do\n"
                   "    local at, n = math.random(500), math.random(0, 300)\n"
                   "    local old = kept[at]\n"
                   "    if old and i % 3 == 0 then\n"
                   "      for j = #old.list, old.n, -1 do old.list[j] = nil end\n"
                   "      for j = #old.list + 1, n do old.list[j] = j end\n"
                   "      old.n = n\n"
                   "    end\n"
                   "    if old then\n"
                   "      assert(#old.text == old.length and old.text == old.sign:rep(old.length))\n"
                   "      for j = 1, old.n do assert(old.list[j] == j) end\n"
                   "      assert(old.call() == old.sign)\n"
                   "    end\n"
                   "    local sign = string.char(97 + i % 26)\n"
                   "    local new = {sign = sign, length = n, text = sign:rep(n), n = i % 12, list = {}}\n"
                   "    for j = 1, new.n do new.list[j] = j end\n"
                   "    new.call = function() return sign end\n"
                   "    kept[at] = i % 5 > 0 and new or nil\n"
                   "  end\n"
                   "  kept = nil\n"
                   "  return count() - before < 4\n"
                   "end)()"),
        "true");
    place_remove(&place);
}

static void *unload_on_a_small_stack(void *arg)
{
    place_do(arg, "session:unloadModule('m1')");
    return NULL;
}

/* Nesting is bounded by Lua's count of C levels, so it must fit into the stack of a worker (lib/executor). */
static void l4_nesting_fits_the_stack(void **state)
{
    (void)state;
    struct place place;
    open_limited(&place, 60000, 0);
    char name[64], text[128];
    for (int i = 1; i <= 250; i++) {
        snprintf(name, sizeof name, "lua/m%d.lua", i);
        snprintf(text, sizeof text, "session:onDispose(function() session:unloadModule('m%d') end)", i + 1);
        place_write(&place, name, text);
        snprintf(name, sizeof name, "lua/n%d.lua", i);
        snprintf(text, sizeof text, "require('n%d')", i + 1);
        place_write(&place, name, text);
    }
    place_do(&place, "for i = 1, 250 do require('m' .. i) end");
    assert_string_equal(place_show(&place, "select(2, pcall(require, 'n1')):find('overflow') ~= nil"), "true");
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 4u << 20); /* LS_STACK_BYTES */
    assert_int_equal(pthread_create(&thread, &attributes, unload_on_a_small_stack, &place), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    assert_has(ls_buf_text(&place.log), "dispose hook of lua/m");
    assert_string_equal(place_show(&place, "package.loaded.m1"), "nil");
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(l5_finalizers_end_too),
        cmocka_unit_test(l145_errors_of_finalizers_and_warnings_are_told),
        cmocka_unit_test(l145_the_count_of_withheld_errors_comes_by_itself),
        cmocka_unit_test(l7_finalizers_find_no_session_any_more),
        cmocka_unit_test(finalizers_work_as_the_manual_says),
        cmocka_unit_test(l5_long_work_in_c),
        cmocka_unit_test(objects_of_all_sizes_come_and_go),
        cmocka_unit_test(l4_nesting_fits_the_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
