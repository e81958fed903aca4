/* What detection has had to end is not called again until its file is saved or an action calls it (R17), and what runs
 * is ended for a save that waits. */
#include "resolver_rig.h"

#include "base/clock.h"

enum { LIMIT_MS = 60 };

static int setup(void **state)
{
    rig_setup(state);
    rig->session->vm.config.time_limit_ms = LIMIT_MS;
    return 0;
}

/* Run the text of a file. */
static void load(const char *key, const char *text)
{
    LS_ERR(err);
    char name[64];
    lua_State *L = rig->session->vm.L;
    snprintf(name, sizeof name, "@%s", key);
    if (luaL_loadbuffer(L, text, strlen(text), name) != LUA_OK) fail_msg("%s", lua_tostring(L, -1));
    if (ls__lcall(rig->session, 0, 0, &err)) fail_msg("%s", ls_err_text(&err));
}

static int tries(void)
{
    rig_run("return tries or 0", 1);
    int count = (int)lua_tointeger(rig->session->vm.L, -1);
    lua_pop(rig->session->vm.L, 1);
    return count;
}

static void assert_ended(int64_t id)
{
    if (!strstr(rig_fault_text(id), "it is not called again until its file is saved"))
        fail_msg("variable %lld: '%s'", (long long)id, rig_fault_text(id));
}

/* What ends once is the text of its kind; `spin` counts and does not end while `mended` is not set. */
static const char SPIN[] =
    "function spin() if mended then return 'fine' end tries = (tries or 0) + 1 while true do end end";

struct kind {
    const char *name, *text;
    const char *bad[3], *good[2]; /* paths of the root `holder` */
    const char *renew;            /* wrappers are looked at when their value changes (T66) */
};

static const struct kind kinds[] = {
    {"a method of a prototype",
     "local P = {} P.__index = P function P:bad() return spin() end function P:good() return 'good' end "
     "holder = {} for i, name in ipairs{'a', 'b', 'c'} do holder[name] = setmetatable({}, P) end",
     {"a.bad()", "b.bad()", "c.bad()"},
     {"a.good()", "b.good()"},
     NULL},
    {"a closure of each row",
     "holder = {} for i, name in ipairs{'a', 'b', 'c'} do local row = {n = i} "
     "row.bad = function() local n = row.n return spin() end row.good = function() return row.n end holder[name] = row end",
     {"a.bad()", "b.bad()", "c.bad()"},
     {"a.good()", "b.good()"},
     NULL},
    {"a function that calls what it was given",
     "local function lazy(fn) return function(self) return fn(self) end end "
     "holder = {bad = lazy(function() return spin() end), good = lazy(function() return 1 end)}",
     {"bad()", "bad()?note=1", "bad()?note=2"},
     {"good()", "good()?note=1"},
     NULL},
    {"a field that a function gives",
     "local meta = {__index = function(t, name) if name == 'bad' then return spin() end return name end} "
     "holder = {a = setmetatable({}, meta), b = setmetatable({}, {__index = setmetatable({}, meta)})}",
     {"a.bad", "b.bad", "a.bad?note=1"},
     {"a.good", "b.good"},
     NULL},
    {"a method that a function gives",
     "local methods = {bad = function() return spin() end, good = function() return 1 end} "
     "local meta = {__index = function(t, name) return methods[name] end} "
     "holder = {a = setmetatable({}, meta), b = setmetatable({}, meta)}",
     {"a.bad()", "b.bad()", "a.bad().more"},
     {"a.good()", "b.good()"},
     NULL},
    {"a constructor of a wrapper",
     "Bad = session:prototype('Bad', {}) function Bad:new(v) return spin() and session:create(Bad, {}) end "
     "Good = session:prototype('Good', {}) function Good:new(v) return session:create(Good, {}) end holder = {v = 1}",
     {"v?wrapper=Bad", "v?wrapper=Bad&note=1", "v?wrapper=Bad&note=2"},
     {"v?wrapper=Good", "v"},
     "holder.v = holder.v + 1"},
    {"a constructor of cards",
     "Bad = session:prototype('Bad', {}) function Bad:new(item) return spin() and session:create(Bad, {}) end "
     "Good = session:prototype('Good', {}) function Good:new(v) return session:create(Good, {}) end "
     "holder = {list = {{}, {}, {}, {}}}",
     {"list?wrapper=lua.ViewList&itemWrapper=Bad", "list?wrapper=lua.ViewList&itemWrapper=Bad&note=1",
      "list?wrapper=lua.ViewList&itemWrapper=Bad&note=2"},
     {"list?wrapper=lua.ViewList&itemWrapper=Good", "list"},
     "holder.list[#holder.list + 1] = {}"},
};

static void make(const struct kind *kind)
{
    load("lua/util.lua", SPIN);
    load("lua/site.lua", kind->text);
    rig_root("holder");
    for (int64_t i = 0; i < 3; i++)
        rig_create(10 + i, 1, kind->bad[i]);
    for (int64_t i = 0; i < 2; i++)
        rig_create(20 + i, 1, kind->good[i]);
    rig_detect();
}

static void assert_mended(const char *kind)
{
    rig_detect();
    rig_detect();
    for (int64_t id = 10; id < 13; id++)
        if (*rig_fault(id)) fail_msg("%s: variable %lld: %s", kind, (long long)id, rig_fault_text(id));
}

static void r17_it_is_called_once_and_again_when_a_file_of_its_stack_is_saved(void **state)
{
    static const char *const files[] = {"lua/site.lua", "lua/util.lua"};
    for (size_t i = 0; i < 2 * sizeof kinds / sizeof *kinds; i++) {
        const struct kind *kind = &kinds[i / 2];
        if (i) setup(state);
        make(kind);
        if (tries() != 1) fail_msg("%s: called %d times", kind->name, tries());
        for (int64_t id = 10; id < 13; id++)
            assert_ended(id);
        for (int64_t id = 20; id < 22; id++)
            if (*rig_fault(id)) fail_msg("%s: %s", kind->name, rig_fault_text(id));
        if (kind->renew) rig_do(kind->renew);
        rig_detect();
        ls__resolver_saved(rig->session, "lua/another.lua");
        if (kind->renew) rig_do(kind->renew);
        rig_detect();
        assert_int_equal(tries(), 1);
        rig_do("mended = true");
        rig_detect();
        assert_ended(10);
        ls__resolver_saved(rig->session, files[i % 2]);
        if (kind->renew) rig_do(kind->renew);
        if (strcmp(kind->bad[2], "a.bad().more") == 0)
            ls_tracker_destroy(rig->tracker, 12, NULL, NULL), rig_create(12, 1, "a.good()");
        assert_mended(kind->name);
        if (i + 1 < 2 * sizeof kinds / sizeof *kinds) rig_teardown(NULL);
    }
}

static void r17_a_save_that_mends_nothing_costs_one_time_limit_more(void **state)
{
    (void)state;
    make(&kinds[0]);
    ls__resolver_saved(rig->session, "lua/site.lua");
    rig_detect();
    rig_detect();
    assert_int_equal(tries(), 2);
    assert_ended(11);
}

static void r17_an_action_that_comes_back_asks_for_it(void **state)
{
    (void)state;
    struct ls_fault fault;
    make(&kinds[0]);
    rig_create(30, 1, "b.bad()?access=action");
    assert_int_equal(rig_write(30, "null", &fault), -1);
    assert_int_equal(tries(), 2); /* an action is not refused */
    rig_detect();
    rig_detect();
    assert_int_equal(tries(), 2);
    assert_ended(10);
    rig_do("mended = true");
    assert_int_equal(rig_write(30, "null", &fault), 0);
    assert_mended("an action");
}

static void r17_an_action_is_not_refused_on_its_way(void **state)
{
    (void)state;
    struct ls_fault fault;
    make(&kinds[0]);
    rig_do("mended = true function string:act() acted = self end");
    load("lua/site2.lua", "holder.d = {bad = holder.a.bad, n = 1}");
    rig_create(30, 1, "d.bad().act()?access=action");
    rig_do("local get = spin function spin() return {act = function() acted = true end} end");
    assert_int_equal(rig_write(30, "null", &fault), 0);
    assert_true(rig_is("acted"));
    rig_do("function spin() return 'fine' end");
    assert_mended("the way of an action");
}

/* [-0, +0, -] twenty seconds go by, as far as limits know */
static int l_pass(lua_State *L)
{
    (void)L;
    rig->session->vm.waited_ns -= ls_ms(20000);
    return 0;
}

/* Each call is within its limit, all together are far beyond it. */
static void r17_what_is_slow_and_ends_is_called_always(void **state)
{
    (void)state;
    rig->session->vm.config.time_limit_ms = 60000;
    lua_register(rig->session->vm.L, "pass", l_pass);
    rig_do("n = 0 function work() for i = 1, 30000 do end end "
           "local function slow() work() pass() work() n = n + 1 return n end "
           "holder = {} for i = 2, 51 do holder['row' .. i] = {slow = slow} end");
    rig_root("holder");
    char path[32];
    for (int64_t id = 2; id < 52; id++) {
        snprintf(path, sizeof path, "row%d.slow()", (int)id);
        rig_create(id, 1, path);
    }
    for (int64_t id = 2; id < 52; id++)
        assert_string_equal(rig_fault(id), "");
    rig_do("n = 0");
    rig_detect();
    assert_true(rig_is("n >= 50"));
    for (int64_t id = 2; id < 52; id++)
        assert_string_equal(rig_fault(id), "");
    rig->session->vm.config.time_limit_ms = 10000;
    rig_detect();
    for (int64_t id = 2; id < 52; id++)
        assert_ended(id);
}

static void r17_many_of_them(void **state)
{
    (void)state;
    rig_teardown(NULL);
    rig_open_limits(0, 5000);
    load("lua/site.lua",
         "holder = {} for i = 1, 70 do holder['f' .. i] = load('return function() calls = (calls or 0) + 1 "
         "while true do end end --' .. i, '@lua/f' .. i .. '.lua')() end");
    rig_root("holder");
    rig->session->vm.config.time_limit_ms = 2;
    char path[32];
    for (int i = 1; i <= 70; i++) {
        snprintf(path, sizeof path, "f%d()", i);
        rig_create(100 + i, 1, path);
    }
    rig_do("calls = 0");
    ls__resolver_saved(rig->session, "lua/f70.lua");
    rig_create(200, 1, "f69()");
    assert_true(rig_is("calls == 0"));
    rig_create(201, 1, "f70()");
    assert_true(rig_is("calls == 1"));
}

/* --- a save that waits --- */

static atomic_int waiting;
static struct {
    const char *wanted;
    char seen[1024];
    int asked;
    int64_t waited_ns;
} save;

static bool save_ends(void *ctx, struct ls_stack_files *files, int64_t waited_ns)
{
    (void)ctx;
    assert_ptr_equal(files->session, rig->session);
    bool found = false;
    save.asked++;
    save.waited_ns = waited_ns;
    save.seen[0] = '\0';
    for (size_t i = 0; i < files->count; i++) {
        snprintf(save.seen + strlen(save.seen), sizeof save.seen - strlen(save.seen), "%s ", files->keys[i]);
        found = found || strcmp(files->keys[i], save.wanted) == 0;
    }
    if (found) snprintf(files->saved, sizeof files->saved, "%s", save.wanted);
    return found;
}

static int setup_save(void **state)
{
    setup(state);
    memset(&save, 0, sizeof save);
    save.wanted = "lua/a.lua";
    rig->session->vm.host.save_ends = save_ends;
    rig->session->vm.config.saves = &waiting;
    rig->session->vm.config.time_limit_ms = 60000;
    atomic_store(&waiting, 1);
    return 0;
}

/* @return its error, "" if none */
static const char *run(const char *code)
{
    static char text[512];
    LS_ERR(err);
    lua_State *L = rig->session->vm.L;
    if (luaL_loadstring(L, code) != LUA_OK) fail_msg("%s", lua_tostring(L, -1));
    text[0] = '\0';
    if (ls__lcall(rig->session, 0, 0, &err)) snprintf(text, sizeof text, "%.500s", ls_err_text(&err));
    return text;
}

static void r17_functions_of_the_file_are_found_wherever_they_wait(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "A()",
        "pcall(A) A() pcall(A)",
        "local c = coroutine.wrap(A) c()",
        "assert(coroutine.resume(coroutine.create(A)))",
        "A = nil THROUGH(coroutine.wrap(LOOP))",
        "THROUGH(function() assert(coroutine.resume(coroutine.create(function() coroutine.wrap(LOOP)() end))) end)",
        "THROUGH(function() local function deep(n) if n == 0 then LOOP() end deep(n - 1) return n end deep(30000) end)",
        "THROUGH(function() xpcall(LOOP, function(m) return m end) end)",
        "THROUGH(function() table.sort({1, 2, 3}, LOOP) end)",
        "THROUGH(function() string.gsub('a', 'a', LOOP) end)",
        "THROUGH(function() setmetatable({}, {__index = LOOP}).x = setmetatable({}, {__index = LOOP}).x end)",
        "THROUGH(function() local l = {} for i = 1, 200000 do l[i] = i end while true do table.concat(l) end end)",
        "setmetatable({}, {__gc = A}) collectgarbage() return 1",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        load("lua/a.lua", "function A() while true do end end function THROUGH(f) f() return 1 end");
        load("lua/b.lua", "function LOOP() while true do end end");
        rig->session->vm.saves_ns = 0;
        const char *text = run(rows[i]);
        char wanted[100];
        snprintf(wanted, sizeof wanted, "interrupted by the save of %s", save.wanted);
        if (!strstr(text, wanted)) fail_msg("%s: '%s', seen: %s", rows[i], text, save.seen);
    }
}

static void r17_others_are_not_ended(void **state)
{
    (void)state;
    load("lua/b.lua", "function LOOP() local n = 0 for i = 1, 2000000 do n = n + 1 end end");
    save.wanted = "lua/b.lua";
    atomic_store(&waiting, 0);
    assert_string_equal(run("LOOP()"), "");
    assert_int_equal(save.asked, 0); /* while nothing waits nobody asks */
    save.wanted = "lua/a.lua";
    atomic_store(&waiting, 1);
    assert_string_equal(run("LOOP()"), "");
    assert_true(save.asked > 0);
    assert_string_equal(save.seen, "lua/b.lua ");
}

static void r17_the_rest_of_a_pass_goes_with_it(void **state)
{
    (void)state;
    load("lua/a.lua", "holder = {bad = function() tries = (tries or 0) + 1 while not mended do end return 1 end, "
                      "good = function() return 2 end}");
    rig_root("holder");
    rig_do("mended = true");
    rig_create(2, 1, "bad()");
    rig_create(3, 1, "good()");
    rig_create(4, 1, "bad()?note=1");
    rig_do("mended = false tries = 0 holder.good = function() return 3 end");
    rig_detect();
    assert_int_equal(tries(), 1);
    assert_non_null(strstr(rig_fault_text(2), "interrupted by the save of lua/a.lua"));
    assert_string_equal(rig_fault(3), "");
    assert_string_equal(rig_json(3), "2");
    rig_do("mended = true");
    rig_detect();
    for (int64_t id = 2; id < 5; id++)
        assert_string_equal(rig_fault(id), "");
    assert_string_equal(rig_json(3), "3");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)
#define S(name) cmocka_unit_test_setup_teardown(name, setup_save, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(r17_it_is_called_once_and_again_when_a_file_of_its_stack_is_saved),
        T(r17_a_save_that_mends_nothing_costs_one_time_limit_more),
        T(r17_an_action_that_comes_back_asks_for_it),
        T(r17_an_action_is_not_refused_on_its_way),
        T(r17_what_is_slow_and_ends_is_called_always),
        T(r17_many_of_them),
        S(r17_functions_of_the_file_are_found_wherever_they_wait),
        S(r17_others_are_not_ended),
        S(r17_the_rest_of_a_pass_goes_with_it),
    };
    return cmocka_run_group_tests_name("R17: an endless loop does not hide its own fix", tests, NULL, NULL);
}
