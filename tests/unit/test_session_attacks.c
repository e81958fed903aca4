/* Code and data that could end the process, or hold its session for ever: each row ends by itself or by a limit, and
 * the session answers afterwards (L4, L5, L12, L15, Q2). */
#include "session_site.h"

struct attack {
    const char *code;
    const char
        *error; /* part of the error, which may be the time limit as well; NULL = there is none; "" = one or none */
};

#define ENDLESS "while true do end"
#define CLOSER  "local x <close> = setmetatable({}, {__close = function() " ENDLESS " end}) "

static const struct attack attacks[] = {
    /* --- memory and C stack --- */
    {"return ('x'):rep(1 << 40)", "resulting string too large"},
    {"return ('x'):rep(1 << 30)", "--memory-limit"},
    {"local s = 'x' while true do s = s .. s end", "--memory-limit"},
    {"local function f() return ('x'):gsub('x', f) end return f()", "C stack overflow"},
    {"local function f() return pcall(f) end return f()", ""},
    {"local function f() return (xpcall(f, f)) end return f()", ""},
    {"local t = {} for _ = 1, 3000 do t = setmetatable({}, {__index = t}) end return t.x", "'__index' chain too long"},
    {"local t = {} for _ = 1, 3000 do t = setmetatable({}, {__newindex = t}) end t.x = 1",
     "'__newindex' chain too long"},
    {"local f = print for _ = 1, 300 do f = setmetatable({}, {__call = f}) end return f()", ""},
    {"local t = {} for i = 1, 1000 do t[i] = i end table.sort(t, function(a, b) t[#t] = nil return a < b end)", ""},
    {"assert(load(('('):rep(100000) .. '1' .. (')'):rep(100000)))", "overflow"},
    {"assert(load('x=' .. ('not '):rep(100000) .. '1'))", "overflow"},
    {"assert(load(('do '):rep(100000) .. ('end '):rep(100000)))", "overflow"},
    {"assert(load('return ' .. ('a..'):rep(100000) .. 'a'))", "overflow"},
    {"local function f(n) return coroutine.wrap(function() return f(n + 1) end)() end return f(1)", "C stack overflow"},
    {"return table.unpack({}, 1, 1e7)", "too many results"},
    {"return table.unpack({}, 1, 1e5)", ""},
    {"return ('x'):rep(1e6):byte(1, -1)", "string slice too long"},
    {"collectgarbage('stop') local t = {} while true do t[#t + 1] = {} end", "--memory-limit"},

    /* --- values as errors, and what describes them --- */
    {"local t t = setmetatable({}, {__tostring = function() error(t) end}) error(t)", "table value"},
    {"local t t = setmetatable({}, {__tostring = function() return tostring(t) end}) error(t)", "table value"},
    {"error(setmetatable({}, {__tostring = function() " ENDLESS " end}))", "table value"},
    {"error(setmetatable({}, {__name = {}}))", "{"},
    {"error(coroutine.create(print))", "thread"},
    {"error()", "nil"},
    {"return setmetatable({}, {__name = {}})", NULL},
    {"xpcall(error, error)", NULL},
    {"local function h() return h() end xpcall(error, h)", ""},

    /* --- where Lua turns hooks off: message handlers, finalizers, closing --- */
    {"xpcall(function() " ENDLESS " end, function() " ENDLESS " end)", ""},
    {"xpcall(function() " ENDLESS " end, function() while true do pcall(print) end end)", ""},
    {"xpcall(function() " ENDLESS " end, function() for _ = 1, 1e9 do coroutine.wrap(function() " ENDLESS
     " end)() end end)",
     ""},
    {"debug.sethook(function() error('h') end, 'l') xpcall(function() local x = 1 end, function() " ENDLESS " end)",
     ""},
    {"coroutine.wrap(function() " CLOSER ENDLESS " end)()", "--time-limit"},
    {"local c = coroutine.create(function() " CLOSER ENDLESS " end) coroutine.resume(c) coroutine.close(c)",
     "--time-limit"},
    {CLOSER ENDLESS, "--time-limit"},
    {"setmetatable({}, {__gc = function() " CLOSER ENDLESS " end}) collectgarbage()", ""},
    {"setmetatable({}, {__gc = function() error(setmetatable({}, {__tostring = function() " ENDLESS
     " end})) end}) collectgarbage()",
     ""},
    {"setmetatable({}, {__gc = function() error({}) end}) collectgarbage()", NULL},
    {"setmetatable({}, {__gc = function(o) setmetatable(o, getmetatable(o)) end}) for _ = 1, 5 do collectgarbage() end",
     NULL},
    {"getmetatable(io.stdout).__gc = function() " ENDLESS " end io.open('/dev/null') collectgarbage()", NULL},
    {"debug.getmetatable(io.stdout).__gc = function() " ENDLESS " end io.open('/dev/null') collectgarbage()", NULL},

    /* --- hooks of site code --- */
    {"debug.sethook(function() " ENDLESS " end, 'c') print()", "--time-limit"},
    {"debug.sethook(function() " ENDLESS " end, '', 1) for _ = 1, 100 do end", "--time-limit"},
    {"debug.sethook() " ENDLESS, "--time-limit"},
    {"debug.sethook(function() end, 'crl', 1) " ENDLESS, "--time-limit"},
    {"coroutine.wrap(function() debug.sethook() " ENDLESS " end)()", "--time-limit"},
    {"local c = coroutine.create(function() " ENDLESS " end) debug.sethook(c, function() end, 'l') coroutine.resume(c)",
     ""},
    {"debug.sethook(function() debug.sethook() error('timeout') end, '', 100) " ENDLESS, "timeout"},
    {"debug.sethook(function() debug.sethook() coroutine.yield() end, 'c') print()", "attempt to yield"},

    /* --- what the debug library could break --- */
    {"debug.getregistry()", "debug.getregistry is not available"},
    {"debug.setuservalue(io.stdout, 1)", "debug.setuservalue is not available"},
    {"debug.setmetatable(io.stdout, {})", "the metatable of a userdata"},
    {"debug.setupvalue(load, 1, 1)", "what C functions hold"},
    {"for i = 1, 9 do debug.setlocal(1, i, nil) end for i = 1, 3 do debug.setlocal(1, 3, nil) end", "(for state)"},
    {"for l = 0, 20 do for i = -5, 20 do pcall(debug.setlocal, l, i, nil) pcall(debug.getlocal, l, i) end end", ""},
    {"table.sort({3, 2, 1}, function(a, b) for i = 1, 20 do debug.setlocal(2, i, nil) end return a < b end)", NULL},
    {"return ('abc'):gsub('.', function(c) for i = 1, 20 do debug.setlocal(2, i, 7) end return c end)", NULL},
    {"local g = ('x'):gmatch('.') for i = 1, 3 do pcall(debug.setupvalue, g, i, 1) end assert(g() == 'x')", NULL},
    {"local w = coroutine.wrap(function() return 5 end) pcall(debug.setupvalue, w, 1, 1) assert(w() == 5)", NULL},
    {"assert(debug.getupvalue(load, 1) == nil and debug.getuservalue(io.stdout, 1) == nil)", NULL},
    {"for _, at in ipairs{1, 1.0, '1', '0x1'} do assert(not debug.getupvalue(load, at)) assert(not debug.getupvalue(debug.getinfo, at)) end",
     NULL},
    {"for _, v in ipairs({1, true, 'x', print}) do debug.setmetatable(v, {__index = function() return 1 end}) end",
     NULL},
    {"for l = 0, 20 do local i = debug.getinfo(l, 'f') if i and i.func and debug.getinfo(i.func, 'S').what == 'C' then pcall(i.func, 1) end end",
     ""},
    {"local m = coroutine.running() setmetatable({}, {__gc = function() pcall(debug.getinfo(m, 0, 'f').func, 1) end}) collectgarbage()",
     NULL},

    /* --- data --- */
    {"local t = {} for i = 62, 0, -1 do t[1 << i] = true end return t", NULL},
    {"local t = {} for i = 62, 0, -1 do t[1 << i] = true end table.sort(t)", ""},
    {"local t = {} for i = 62, 0, -1 do t[1 << i] = true end session:createAppVariable({rows = t})", NULL},
    {"local t = {} for _ = 1, 100000 do t = {t} end return t", NULL},
    {"local t = {} t[t] = t return t", NULL},
    {"return ui.json_encode(setmetatable({}, {__pairs = error, __len = error, __index = error, __name = {}}))", NULL},
};

static void every_attack_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
        const struct attack *attack = &attacks[i];
        struct place place;
        struct ls_eval eval;
        LS_ERR(err);
        place_make(&place);
        place.config.time_limit_ms = attack->error ? 200 : 10000;
        place.config.memory_limit = 32 << 20;
        if (place_open(&place, &err) != 0) fail_msg("%s", ls_err_text(&err));
        int64_t start = ls_now_ns();
        int code = place_eval(&place, attack->code, true, &eval, &err);
        ls_buf_release(&eval.json);
        ls_buf_release(&eval.text);
        bool told = attack->error &&
                    (code == 0 ? *attack->error == 0
                               : strstr(ls_err_text(&err), attack->error) || strstr(ls_err_text(&err), "--time-limit"));
        if (attack->error ? !told : code != 0)
            fail_msg("%s: '%s'", attack->code, code ? ls_err_text(&err) : "no error");
        if (ls_now_ns() - start > ls_ms(20000))
            fail_msg("%s: took %lld ms", attack->code, (long long)((ls_now_ns() - start) / 1000000));
        assert_string_equal(place_show(&place, "1 + 1"), "2");
        place_remove(&place);
    }
}

/* Levels are told as if a hook ran on the thread that it was called on, as in the reference manual. */
static void hooks_tell_levels_as_the_manual_says(void **state)
{
    (void)state;
    struct place place;
    LS_ERR(err);
    place_make(&place);
    assert_int_equal(place_open(&place, &err), 0);
    place_do(
        &place,
        "local function hooked(a) local b = a return b end "
        "local function hook(event, line) if not seen then seen = debug.getinfo(2, 'Slfn') name, value = debug.getlocal(2, 1) "
        "own = debug.getinfo(1, 'f').func debug.setlocal(2, 1, 'set') trace = debug.traceback('in hook') end end "
        "debug.sethook(hook, 'c') result = hooked(7) debug.sethook() assert(own == hook)");
    assert_string_equal(place_show(&place, "seen.what .. name .. value"), "Luaa7");
    assert_string_equal(place_show(&place, "result"), "set");
    assert_string_equal(
        place_show(
            &place,
            "trace:find('in hook\\nstack traceback:', 1, true) == 1 and trace:find('main chunk', 1, true) ~= nil"),
        "true");
    assert_string_equal(place_show(&place, "debug.gethook() == nil"), "true");
    /* The state of a `for` and a message handler's stack are there to be read. */
    place_do(
        &place,
        "for i = 1, 1 do local n = {} for k = 1, 9 do n[#n + 1] = debug.getlocal(1, k) end assert(table.concat(n, ' '):find('(for state)', 1, true)) end");
    place_do(
        &place,
        "local counts = {} local function deep() error('x') end for level = 1, 3 do "
        "local _, e = xpcall(deep, function(e) local i = debug.getinfo(3, 'f') assert(i.func == deep) return debug.traceback(e, level) end) "
        "local lines = select(2, e:gsub(string.char(10), '')) + level counts[#counts + 1] = lines assert(not e:find('[C]: in ?', 1, true), e) end assert(counts[1] == counts[2] and counts[2] == counts[3])");
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_attack_ends),
        cmocka_unit_test(hooks_tell_levels_as_the_manual_says),
    };
    return cmocka_run_group_tests_name("L4, L5, L12, Q2: what could end the process", tests, NULL, NULL);
}
