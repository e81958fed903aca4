/* The functions of the standard libraries that a session has its own of or watches (L5, L12, P40a): they must do what
 * those of Lua do, word for word. The same code runs in a session and in a plain state with Lua's own libraries, and
 * both must say the same. */
#include "session_site.h"

#include <pthread.h>
#include <sched.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "base/json.h"

/* Prints what each call gives, or its error, as one text. */
static const char prelude[] =
    "function show(fine, ...)\n"
    "  local t = {...}\n"
    "  for i = 1, select('#', ...) do t[i] = type(t[i]) == 'string' and ('%q'):format(t[i]) or tostring(t[i]):gsub('0x%x+', '') end\n"
    "  return (fine and 'ok ' or 'error ') .. table.concat(t, ',')\n"
    "end\n"
    "function out(text) OUT[#OUT + 1] = text end\n"
    "OUT = {}\n";

static const char fixed_calls[] =
    "local lists = {{}, {1}, {1, 2, 3, 4, 5}, {1, nil, 3}, setmetatable({}, {__len = function() return 3 end, __index = function(_, k) return k * 10 end})}\n"
    "local function list_text(t) local s = {} for i = -3, 12 do s[#s + 1] = tostring(rawget(t, i)) end return table.concat(s, ' ') end\n"
    "for n, list in ipairs(lists) do for i = -2, 8 do\n"
    "  local function copy() local t = {} for k, v in next, list do t[k] = v end return setmetatable(t, getmetatable(list)) end\n"
    "  local t = copy() out(show(pcall(table.insert, t, i, 'new')) .. list_text(t))\n"
    "  t = copy() out(show(pcall(table.remove, t, i)) .. list_text(t))\n"
    "  t = copy() out(show(pcall(table.insert, t, i)) .. list_text(t))\n"
    "  for j = -1, 6 do t = copy() table.move(t, i, j, 2) out(list_text(t)) local u = {7, 8} table.move(t, 1, j, i, u) out(list_text(u)) end\n"
    "end end\n"
    "for _, f in ipairs {table.insert, table.remove, table.move, table.sort, table.concat, string.find, string.match, string.gmatch, string.gsub, string.rep, os.execute, io.stdout.read, io.stdout.close, pcall, xpcall, coroutine.resume} do\n"
    "  for _, args in ipairs {{n = 0}, {5, n = 1}, {'a', n = 1}, {{}, n = 1}, {'a', {}, n = 2}, {{}, 'x', n = 2}, {'a', 'a', {}, n = 3}, {'a', 'a', nil, n = 3},\n"
    "                         {{}, 1, 2, 3, n = 4}, {{}, 1, 2, n = 3}, {{}, math.mininteger, math.maxinteger, 1, n = 4}, {{}, 1, math.maxinteger, 2, n = 4},\n"
    "                         {print, n = 1}, {error, error, 5, n = 3}, {nil, n = 1}, {'x', -1, n = 2}, {'x', 3, 'ab', n = 3}, {{}, 1, 1, 1, 'x', n = 5}} do\n"
    "    if f ~= pcall or args[1] ~= print then out(show(pcall(f, table.unpack(args, 1, args.n)))) end\n"
    "  end\n"
    "end\n"
    "for _, p in ipairs {'', 'a', 'a*', '()', '(a)(b)', '^a', '%', '('} do for _, init in ipairs {1, 2, -1, 9} do\n"
    "  out(show(pcall(function() local t = {} for a, b in string.gmatch('aab a', p, init) do t[#t + 1] = tostring(a) .. tostring(b) end return table.concat(t, '|') end)))\n"
    "end end\n"
    "for _, case in ipairs {{('('):rep(40)}, {('()'):rep(40)}, {('a?'):rep(250)}, {('(a'):rep(20)}, {('.-'):rep(250)}, {'()'}, {'(a*(.)%w(%s*))'}, {'%b((', '(()'},\n"
    "                       {'^a', 'aab'}, {'^', 'ab'}, {'$', 'ab'}, {'', 'ab'}, {'a$', 'aab'}, {'[^\\0]+', 'a\\0b'}, {'%f[%z]', 'ab'}} do\n"
    "  local text = case[2] or ('a'):rep(300)\n"
    "  for _, f in ipairs {string.find, string.match, string.gsub} do out(show(pcall(f, text, case[1], 'r'))) out(show(pcall(f, text, case[1]))) end\n"
    "end\n"
    "out(show(pcall(pcall))) out(show(pcall(xpcall, error))) out(show(xpcall(error, function(e) return e .. '!' end, 'x', 0))) out(show(xpcall(select, error, 2, 3, 4)))\n"
    "out(show(pcall(error, nil))) out(show(pcall(error, {}))) out(show(pcall(error, 'level', 0))) out(show(pcall(pcall, error)))\n"
    "local co = coroutine.create(function(...) local ok, a = pcall(coroutine.yield, ...) local b, c = xpcall(function(x) return coroutine.yield(x) end, print, a) error {c} end)\n"
    "out(show(coroutine.resume(co, 1, 2))) out(show(coroutine.resume(co, 'a'))) out(show(coroutine.resume(co, 'c'))) out(show(coroutine.resume(co)))\n"
    "out(show(coroutine.resume(coroutine.running()))) out(show(coroutine.resume(coroutine.create(error), 'e'))) out(show(coroutine.resume(coroutine.create(function() end))))\n"
    "out(show(pcall(coroutine.wrap(function() pcall(coroutine.yield) error('after', 0) end))))\n";

static void run_plain(lua_State *L, const char *code)
{
    if (luaL_loadbufferx(L, code, strlen(code), "=test", "t") != LUA_OK || lua_pcall(L, 0, 0, 0) != LUA_OK)
        fail_msg("%s", lua_tostring(L, -1));
}

static void compare(const char *code)
{
    struct place place;
    LS_ERR(err);
    place_make(&place);
    assert_int_equal(place_open(&place, &err), 0);
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    run_plain(L, prelude);
    run_plain(L, code);
    place_do(&place, prelude);
    place_do(&place, code);
    lua_getglobal(L, "OUT");
    lua_Integer count = luaL_len(L, -1);
    assert_true(count > 100);
    char buffer[64];
    snprintf(buffer, sizeof buffer, "%lld", (long long)count);
    assert_string_equal(place_show(&place, "#OUT"), buffer);
    unsigned different = 0;
    for (lua_Integer i = 1; i <= count && different < 5; i++) {
        snprintf(buffer, sizeof buffer, "ui.json_encode(OUT[%lld])", (long long)i);
        lua_getglobal(L, "OUT");
        lua_geti(L, -1, i);
        struct ls_buf want = LS_BUF_INIT;
        size_t len;
        const char *text = lua_tolstring(L, -1, &len);
        ls_json_string(&want, text, len);
        const char *got = place_show(&place, buffer);
        if (strcmp(got, ls_buf_text(&want)) != 0) {
            print_error("%lld: got %s, want %s\n", (long long)i, got, ls_buf_text(&want));
            different++;
        }
        ls_buf_release(&want);
        lua_pop(L, 2);
    }
    assert_int_equal(different, 0);
    lua_close(L);
    place_remove(&place);
}

static void l12_arguments_lists_and_protected_calls_as_those_of_lua(void **state)
{
    (void)state;
    compare(fixed_calls);
}

static void assert_limited(struct place *place, const char *code, const char *option)
{
    struct ls_eval eval;
    LS_ERR(err);
    int64_t start = ls_now_ns();
    int result = place_eval(place, code, false, &eval, &err);
    ls_buf_release(&eval.json);
    if (result == 0 || !strstr(ls_err_text(&err), option))
        fail_msg("%s: %s", code, result == 0 ? "no error" : ls_err_text(&err));
    assert_true(ls_now_ns() - start < ls_ms(20000));
    assert_string_equal(place_show(place, "1 + 1"), "2");
}

static void l5_loops_without_end(void **state)
{
    (void)state;
    struct place place;
    LS_ERR(err);
    place_make(&place);
    place.config.time_limit_ms = 50;
    place.config.memory_limit = 64 << 20;
    assert_int_equal(place_open(&place, &err), 0);
    static const char *const endless[] = {
        "return setmetatable({}, {__index = function() while true do end end}).x",
        "return setmetatable({}, {__concat = function() while true do pcall(error) end end}) .. 'x'",
        "do local x <close> = setmetatable({}, {__close = function() while true do end end}) end",
        "table.sort({3, 2, 1}, function() while true do end end)",
        "('a'):gsub('.', function() while true do end end)",
        "load(function() return ' ' end)",
        "for _ in function() return 1 end do end",
        "return tostring(setmetatable({}, {__tostring = function() while true do end end}))",
    };
    for (size_t i = 0; i < sizeof endless / sizeof *endless; i++)
        assert_limited(&place, endless[i], "--time-limit");
    place_remove(&place);
}

/* A call of a library function that takes as long as the test wants: it reads a FIFO. Meanwhile the stepped clock,
 * which stood six seconds behind, goes on. */
struct slow_call {
    char fifo[160];
    _Atomic(const char *) inside;
    const char *seen;
};

static void *end_slow_call(void *arg)
{
    struct slow_call *call = arg;
    FILE *to = fopen(call->fifo, "w");
    while ((call->seen = atomic_load(&call->inside)) == NULL)
        sched_yield();
    atomic_store(&ls_clock_step, ls_now_ns());
    fputs("line\n", to);
    fclose(to);
    return NULL;
}

static int call_slowly(struct place *place, struct slow_call *call, const char *code, struct ls_err *err)
{
    struct ls_eval eval;
    pthread_t thread;
    atomic_store(&ls_clock_step, ls_now_ns() - ls_ms(6000));
    assert_int_equal(pthread_create(&thread, NULL, end_slow_call, call), 0);
    int code_of = place_eval(place, code, false, &eval, err);
    ls_buf_release(&eval.json);
    pthread_join(thread, NULL);
    return code_of;
}

static void l5_p40a_a_long_call_is_seen_ends_its_entry_and_is_told_of(void **state)
{
    (void)state;
    struct slow_call call = {.seen = NULL};
    struct place place;
    LS_ERR(err);
    place_make(&place);
    place.config.inside = &call.inside;
    place.config.time_limit_ms = 500;
    snprintf(call.fifo, sizeof call.fifo, "%s/fifo", place.root);
    assert_int_equal(mkfifo(call.fifo, 0600), 0);
    assert_int_equal(place_open(&place, &err), 0);
    char code[400];
    snprintf(code, sizeof code, "local f = io.open('%s') AFTER = f:read('l') AFTER = 'went on'", call.fifo);
    assert_true(call_slowly(&place, &call, code, &err) < 0);
    assert_string_equal(call.seen, "file.read");
    assert_non_null(strstr(ls_err_text(&err), "test:1: the time limit of 500 ms has been exceeded (--time-limit)"));
    assert_non_null(strstr(ls_err_text(&err), "in method 'read'"));
    assert_non_null(strstr(ls_buf_text(&place.log), "test:1: file.read has returned after 6."));
    assert_string_equal(place_show(&place, "AFTER"), "nil");
    /* Protected calls do not save the entry. */
    snprintf(code, sizeof code, "local f = io.open('%s') pcall(f.read, f, 'l') AFTER = 'went on' while true do end",
             call.fifo);
    assert_true(call_slowly(&place, &call, code, &err) < 0);
    assert_non_null(strstr(ls_err_text(&err), "--time-limit"));
    place_shut(&place);
    /* Without a limit it goes on, and is told of. */
    ls_buf_clear(&place.log);
    place.config.time_limit_ms = 0;
    assert_int_equal(place_open(&place, &err), 0);
    snprintf(code, sizeof code, "local f = io.open('%s') AFTER = f:read('l')", call.fifo);
    assert_int_equal(call_slowly(&place, &call, code, &err), 0);
    assert_string_equal(place_show(&place, "AFTER"), "line");
    assert_non_null(strstr(ls_buf_text(&place.log), "test:1: file.read has returned after 6."));
    place_remove(&place);
}

static void tap_inside(void *ctx, int level, const char *session, const char *text, size_t len)
{
    (void)level;
    (void)session;
    (void)text;
    (void)len;
    struct slow_call *call = ctx;
    call->seen = atomic_load(&call->inside);
}

/* What runs is known at any time, also around what calls back. */

static void p40a_the_running_function_is_known(void **state)
{
    (void)state;
    struct slow_call call = {.seen = NULL};
    struct place place;
    LS_ERR(err);
    place_make(&place);
    place.config.inside = &call.inside;
    assert_int_equal(place_open(&place, &err), 0);
    ls_log_tap(tap_inside, &call);
    static const struct {
        const char *code, *inside;
    } cases[] = {
        {"print()", ""},
        {"('a'):gsub('.', print)", "string.gsub"},
        {"('a'):gsub('.', function() ('x'):rep(3) print() end)", "string.gsub"},
        {"table.sort({2, 1}, function(a, b) print() return a < b end)", "table.sort"},
        {"pcall(string.gsub, 'a', '.', error) print()", ""},
        {"coroutine.resume(coroutine.create(string.gsub), 'a', '.', error) print()", ""},
        {"pcall(coroutine.wrap(string.gsub), 'a', '.', error) print()", ""},
        {"for w in string.gmatch('ab', '.') do print() end", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        call.seen = "no print";
        place_do(&place, cases[i].code);
        if (strcmp(call.seen ? call.seen : "", cases[i].inside) != 0)
            fail_msg("%s: %s", cases[i].code, call.seen ? call.seen : "none");
    }
    place_remove(&place);
}

static void tap_slowly(void *ctx, int level, const char *session, const char *text, size_t len)
{
    (void)ctx;
    (void)level;
    (void)session;
    (void)text;
    (void)len;
    static const struct timespec moment = {.tv_nsec = 1000000};
    nanosleep(&moment, NULL);
    atomic_store(&ls_clock_step, ls_now_ns());
}

/* The count hook, which looks at the clock once in ten thousand instructions, would let a thousand of them pass. */
static void l5_many_calls_of_which_none_is_long_are_limited_as_well(void **state)
{
    (void)state;
    struct place place;
    LS_ERR(err);
    place_make(&place);
    place.config.time_limit_ms = 20;
    assert_int_equal(place_open(&place, &err), 0);
    ls_log_tap(tap_slowly, NULL);
    assert_limited(&place, "CALLS = 0 while true do CALLS = CALLS + 1 pcall(string.gsub, 'a', '.', print) end",
                   "--time-limit");
    assert_string_equal(place_show(&place, "CALLS < 500"), "true");
    place_remove(&place);
}

/* Waiting does not count: neither for a command, nor for what a pipe gives. */
static void l5_time_in_blocking_calls_does_not_count(void **state)
{
    (void)state;
    struct place place;
    LS_ERR(err);
    place_make(&place);
    place.config.time_limit_ms = 200;
    assert_int_equal(place_open(&place, &err), 0);
    assert_string_equal(
        place_show(
            &place,
            "(function() local function work() for i = 1, 1e5 do end end\n"
            "work() os.execute('sleep 0.3') work() local pipe = io.popen('sleep 0.3; echo done') work() local line = pipe:read('l')\n"
            "pipe:close() work() return line end)()"),
        "done");
    assert_limited(&place, "os.execute('sleep 0.1') while true do end", "--time-limit");
    place_remove(&place);
}

static void l13_commands_and_pipes(void **state)
{
    (void)state;
    struct place place;
    LS_ERR(err);
    place_make(&place);
    assert_int_equal(place_open(&place, &err), 0);
    static const struct {
        const char *code, *want;
    } cases[] = {
        {"os.execute('exit 3')", "nil\texit\t3"},
        {"os.execute('kill -9 $$')", "nil\tsignal\t9"},
        {"os.execute()", "true"},
        {"io.popen('printf \"a\\\\nb\\\\n1.5 x\"'):read('l', 'L', 'n', 'a')", "a\tb\n\t1.5\t x"},
        {"io.popen('exit 3'):close()", "nil\texit\t3"},
        {"(function() local t = {} for line in io.popen('seq 3'):lines() do t[#t + 1] = line end return table.concat(t, ' ') end)()",
         "1 2 3"},
        {"(function() local p = io.popen('cat > ' .. FILE, 'w') p:write('to ', 'cat') return p:close() end)()",
         "true\texit\t0"},
        {"io.open(FILE):read('a')", "to cat"},
        {"io.type(io.popen('true')), tostring(io.popen('true')):match('^file %(0x') ~= nil", "file\ttrue"},
        {"(function() local p = io.popen('true') p:close() return io.type(p) end)()", "closed file"},
        {"(function() local p = io.popen('true') p:close() return pcall(p.read, p) end)()",
         "false\tattempt to use a closed file"},
        {"#io.popen('head -c 1000000 /dev/zero'):read('a')", "1000000"},
        {"select('#', io.popen('true'):read('a', 'l'))", "2"},
        {"pcall(io.popen, 'true', 'rw')", "false\tbad argument #2 to 'io.popen' (invalid mode)"},
        {"io.popen('seq 3'):seek('set', 2)", "nil\tIllegal seek\t29"},
        {"io.popen('sleep 0.01; echo \"$(cat)\"', 'w'):setvbuf('no')", "true"},
    };
    place_do(&place, "FILE = os.tmpname()");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(place_show(&place, cases[i].code), cases[i].want);
    place_do(&place,
             "os.remove(FILE) LEFT = io.popen('exec sleep 1000') ALSO = io.popen('trap \"\" TERM; exec sleep 1000')");
    int64_t start = ls_now_ns();
    place_shut(&place);
    assert_true(ls_now_ns() - start < ls_ms(10000)); /* L7 */
    place_remove(&place);
}

/* Code that catches the error for want of memory is told which limit it was, and so are those who read what it makes of
 * it. */
static void l5_a_caught_memory_error_names_its_limit(void **state)
{
    (void)state;
    struct place place;
    LS_ERR(err);
    place_make(&place);
    place.config.memory_limit = 4 << 20;
    assert_int_equal(place_open(&place, &err), 0);
    place_do(&place, "function bomb() local t = {} for i = 1, 1e9 do t[i] = {} end end");
    static const char *const limit = "the session has reached its memory limit of 4194304 bytes (--memory-limit)";
    static const char *const catching[] = {
        "select(2, pcall(bomb))",
        "select(2, xpcall(bomb, print))",
        "select(2, pcall(pcall(bomb) and bomb or bomb))",
        "select(2, coroutine.resume(coroutine.create(bomb)))",
        "(function() local co = coroutine.create(bomb) coroutine.resume(co) return select(2, coroutine.close(co)) end)()",
        "(function() local co = coroutine.create(function() local b <close> = setmetatable({}, {__close = bomb}) coroutine.yield() end)\n"
        "coroutine.resume(co) return select(2, coroutine.close(co)) end)()",
        "select(2, pcall(coroutine.wrap(bomb)))",
        "select(2, pcall(coroutine.wrap(function() return pcall(bomb) and error('none') or bomb() end)))",
        "select(2, coroutine.wrap(function() return pcall(bomb) end)())",
    };
    for (size_t i = 0; i < sizeof catching / sizeof *catching; i++)
        assert_string_equal(place_show(&place, catching[i]), limit);
    assert_string_equal(place_show(&place, "pcall(string.rep, 'x', 1e9)"),
                        "false\tthe session has reached its memory limit of 4194304 bytes (--memory-limit)");
    struct ls_buf *log = &place.log;
    ls_buf_clear(log);
    place_do(
        &place,
        "session:setImmediate(function() local fine, problem = pcall(bomb) if not fine then error('settings: ' .. problem) end end)");
    place_run_timer(&place);
    assert_non_null(strstr(ls_buf_text(log),
                           "settings: the session has reached its memory limit of 4194304 bytes (--memory-limit)"));
    /* Other errors keep their texts. */
    place_do(
        &place,
        "function closed(f, ...) local co = coroutine.create(f) coroutine.resume(co, ...) return coroutine.close(co) end");
    assert_string_equal(place_show(&place, "closed(error, 'own', 0)"), "false\town");
    assert_string_equal(place_show(&place, "closed(print)"), "true");
    assert_string_equal(place_show(&place, "closed(coroutine.yield)"), "true");
    assert_string_equal(place_show(&place, "coroutine.close(coroutine.create(print))"), "true");
    assert_non_null(
        strstr(place_show(&place, "coroutine.close(coroutine.running())"), "cannot close a running coroutine"));
    assert_string_equal(
        place_show(&place,
                   "(function() local main = coroutine.running()\n"
                   "return coroutine.wrap(function() return select(2, pcall(coroutine.close, main)) end)() end)()"),
        "cannot close a normal coroutine");
    assert_non_null(strstr(place_show(&place, "coroutine.close({})"), "bad argument #1 to 'close' (thread expected"));
    assert_string_equal(place_show(&place, "pcall(error, 'not enough memory at all', 0)"),
                        "false\tnot enough memory at all");
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(l12_arguments_lists_and_protected_calls_as_those_of_lua),
        cmocka_unit_test(l5_loops_without_end),
        cmocka_unit_test(l5_p40a_a_long_call_is_seen_ends_its_entry_and_is_told_of),
        cmocka_unit_test(p40a_the_running_function_is_known),
        cmocka_unit_test(l5_many_calls_of_which_none_is_long_are_limited_as_well),
        cmocka_unit_test(l5_time_in_blocking_calls_does_not_count),
        cmocka_unit_test(l13_commands_and_pipes),
        cmocka_unit_test(l5_a_caught_memory_error_names_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
