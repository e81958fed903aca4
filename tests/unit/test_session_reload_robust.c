/* Reloads of what a site may hold beside plain tables: other files' tables, deep chains, finalizers that change things
 * meanwhile, and of large files (H49, H58). */
#include "session_reload.h"
#include "vm/vm_internal.h"

static void robust_open(struct site *site, const char *main, const char *module)
{
    site_open(site);
    site->config.time_limit_ms = 60000;
    site->config.memory_limit = (size_t)1 << 30;
    site_write(site, "main.lua", main);
    site_write(site, "lua/m.lua", module);
    site_start(site);
}

static void save(struct site *site, const char *text)
{
    struct ls_reload_report report;
    site_write(site, "lua/m.lua", text);
    site_reload(site, &report, "lua/m.lua", NULL);
    const struct ls_reload_result *result = site_result(&report, "lua/m.lua");
    if (result->outcome != LS_RELOAD_OK) fail_msg("%d %s", (int)result->outcome, result->text);
    ls_reload_report_release(&report);
}

/* What the file refers to but has not made is nobody's to replace. */
static void h49_tables_of_others_keep_their_identity(void **state)
{
    (void)state;
    struct site site;
    robust_open(&site, "S = {items = {{name = 'a'}, {name = 'b'}}} m = require('m') m.selected = S.items[2]",
                "local M = {selected = S.items[1]} function M.f() return 1 end return M");
    save(&site, "local M = {selected = S.items[1]} function M.f() return 2 end return M");
    site_check(&site, "return m.f() == 2 and S.items[1].name == 'a' and S.items[2].name == 'b'");
    site_check(&site, "return S.items[1] ~= S.items[2] and m.selected == S.items[2]");
    save(&site, "local M = {selected = S.items[1], x = {}} M.x[S.items[1]] = 1 function M.f() return 3 end return M");
    site_check(&site, "return S.items[1].name == 'a' and m.selected == S.items[2] and m.x[S.items[1]] == 1");
    save(&site, "local M = {selected = S.items[#S.items - 1], x = {}} return M");
    site_check(&site, "return S.items[1].name == 'a' and S.items[2].name == 'b' and m.selected == S.items[1]");
    site_close(&site);
}

/* So it is with the inner variables of functions and with the module's value. */
static void h49_tables_of_others_behind_variables(void **state)
{
    (void)state;
    struct site site;
    robust_open(
        &site, "S = {{name = 'a'}, {name = 'b'}} m = require('m') m.set(S[2])",
        "local M = {} do local at = S[1] function M.get() return at end\n function M.set(x) at = x end end return M");
    save(&site, "local M = {} do local at = S[1] function M.get() return at end\n function M.set(x) at = x end end"
                " function M.more() end return M");
    site_check(&site, "return m.more and m.get() == S[2] and S[1] ~= S[2] and S[1].name == 'a' and S[2].name == 'b'");
    save(&site, "return S[1]");
    site_check(&site, "return require('m') == S[1] and S[1].name == 'a' and S[2].name == 'b'");
    site_close(&site);
}

static void h49_chains_longer_than_the_stack(void **state)
{
    (void)state;
    struct site site;
    char text[300];
    static const char form[] =
        "local M = {} local head for i = 1, 600000 do head = {next = head, i = %s} end M.head = head"
        " function M.f() return %d end return M";
    snprintf(text, sizeof text, form, "i", 1);
    robust_open(&site, "m = require('m') first = m.head m.head.x = 1", text);
    snprintf(text, sizeof text, form, "i", 2);
    save(&site, text);
    site_check(&site, "return m.f() == 2 and m.head == first and m.head.x == 1 and m.head.next.i == 599999");
    site_close(&site);
}

/* Functions are found and followed also at the end of a chain. */
static void h49_functions_deep_below(void **state)
{
    (void)state;
    struct site site;
    char text[300];
    static const char form[] =
        "local n = 0 local M = {} local t = M for i = 1, 30000 do t.x = setmetatable({}, {}) t = t.x end"
        " t.f = function() n = n + %d return n end return M";
    snprintf(text, sizeof text, form, 1);
    robust_open(&site, "m = require('m') last = m while last.x do last = last.x end last.f()", text);
    snprintf(text, sizeof text, form, 10);
    save(&site, text);
    site_check(&site, "return last.f() == 11");
    site_close(&site);
}

/* A place that another name stands for has the edits of that one. */
static void h49_a_table_filled_under_another_name(void **state)
{
    (void)state;
    struct site site;
    robust_open(&site, "m = require('m')", "local M = {} local t = {} M.t = t for i = 1, 10 do t[i] = i end return M");
    save(&site, "local M = {} local t = {} M.t = t for i = 1, 10 do t[i] = -i end return M");
    site_check(&site, "return m.t[1] == -1 and m.t[10] == -10");
    save(&site, "local M = {} local t = {} M.t = t M.self = M M.self.self = M t.up = M for i = 1, 10 do t[i] = -i end"
                " return M");
    site_check(&site, "return m.self == m and m.t.up == m");
    site_close(&site);
}

/* A table that stands in a list and elsewhere goes on as one, and nothing of the run is said to be lost. */
static void h49_an_edited_table_that_also_stands_in_a_list(void **state)
{
    (void)state;
    const char *const forms[] = {
        "local RED = {v = 1} local BLUE = {v = 2} local M = {red = RED, colors = {RED, BLUE}} return M",
        "local RED = {v = 1} local BLUE = {v = 2} local M = {colors = {RED, BLUE}, red = RED} return M",
        "local RED = {v = 1} local M = {} M.colors = {RED} M.red = RED function M.f() return RED end return M"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct site site;
        struct ls_reload_report report;
        char text[200];
        robust_open(&site, "m = require('m') red = m.red colors = m.colors", forms[i]);
        snprintf(text, sizeof text, "%s", forms[i]);
        *strchr(text, '1') = '7';
        site_write(&site, "lua/m.lua", text);
        site_reload(&site, &report, "lua/m.lua", NULL);
        assert_int_equal(report.results[0].outcome, LS_RELOAD_OK);
        assert_int_equal(report.results[0].gave_way, 0);
        assert_null(report.results[0].losses);
        ls_reload_report_release(&report);
        site_check(&site, "return red.v == 7 and m.red == red and m.colors == colors and colors[1] == red");
        site_close(&site);
    }
}

/* Places of data are counted, each once; functions follow the file and are not. */
static void h49_r18_each_place_of_data_is_counted_once(void **state)
{
    (void)state;
    static const struct {
        const char *run, *text;
        unsigned kept, taken, set_aside;
    } steps[] = {
        {NULL, "local M = {a = 1, t = 1} function M.f() return M.a end function M.g() end return M", 0, 0, 0},
        {NULL, "local M = {a = 1, t = 1} function M.f() return M.a + 1 end return M", 0, 0, 0},
        {NULL, "local M = {a = 1, t = 1, u = 1} function M.f() return M.a end return M", 0, 1, 0},
        {NULL, "local M = {a = 1, t = 1} function M.f() return M.a end return M", 0, 0, 1},
        {"m.t = 5", "local M = {a = 1} function M.f() return M.a end return M", 1, 0, 0},
    };
    struct site site;
    robust_open(&site, "m = require('m')", "local M = {a = 1, t = 1} function M.f() return M.a end return M");
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct ls_reload_report report;
        if (steps[i].run) site_eval(&site, steps[i].run);
        site_write(&site, "lua/m.lua", steps[i].text);
        site_reload(&site, &report, "lua/m.lua", NULL);
        const struct ls_reload_result *result = site_result(&report, "lua/m.lua");
        if (result->kept != steps[i].kept || result->taken != steps[i].taken || result->set_aside != steps[i].set_aside)
            fail_msg("%s: %u kept, %u taken, %u set aside", steps[i].text, result->kept, result->taken,
                     result->set_aside);
        ls_reload_report_release(&report);
    }
    site_close(&site);
}

/* Finalizers run code of the site wherever something is allocated; here that is nearly everywhere. */
#define EAGER "collectgarbage('incremental', 1, 1000, 1) "

/* They see what was before the rule and what is after it, and nothing between. */
static void h58_finalizers_wait_while_the_rule_is_applied(void **state)
{
    (void)state;
    struct site site;
    char text[1000];
    static const char form[] = "local M = {} local n = 0 for i = 1, 20 do local k = i"
                               " setmetatable({}, {__gc = function() for j = 1, 3 do"
                               "  _G['g' .. k .. j] = nil _G['h' .. k * 7 + j + %d] = 1 end"
                               "  if m then m.list[#m.list + 1] = k m['x' .. k] = {} m['y' .. k] = nil end"
                               "  session:unloadModule('other') pcall(require, 'other') end}) end"
                               " for i = 1, 20 do _G['g' .. i .. 1] = {i} _G['g' .. i .. 2] = i + %d end"
                               " M.list = {} for i = 1, 50 do M['f' .. i] = function() n = n + 1 return %d end end"
                               " for i = 1, 50 do M['y' .. i] = {i} end return M";
    snprintf(text, sizeof text, form, 0, 0, 0);
    site_open(&site);
    site.config.time_limit_ms = 60000;
    site_write(&site, "main.lua",
               "m = require('m') require('other') seen = 0 "
               "local function look() seen = seen + 1 local first = m.f1() "
               "for i = 2, 50 do half = half or m['f' .. i]() ~= first end "
               "if looking then setmetatable({}, {__gc = look}) end end "
               "function begin() seen = 0 looking = true look() end");
    site_write(&site, "lua/m.lua", text);
    site_write(&site, "lua/other.lua", "O = session:prototype('O', {}) return {a = {}, f = function() end}");
    site_start(&site);
    site_eval(&site, EAGER);
    for (int i = 1; i < 6; i++) {
        snprintf(text, sizeof text, form, i, i / 2, i);
        site_eval(&site, "begin()");
        save(&site, text);
        site_check(&site, "looking = false return seen > 2 and not half and m.f1() > 0 "
                          "and collectgarbage('isrunning')");
    }
    site_close(&site);
}

/* A collection for want of memory does not let those run that wait, and they do run afterwards. */
static void h58_finalizers_wait_also_without_memory(void **state)
{
    (void)state;
    struct site site;
    robust_open(&site, "collectgarbage('incremental', 100, 1000, 30)", "return {}");
    lua_State *L = site.session->vm.L;
    bool held = ls__collector_hold(site.session), nested = ls__collector_hold(site.session);
    assert_true(held && nested);
    site_eval(&site, "n = 0 setmetatable({}, {__gc = function() n = n + 1 end})");
    (void)ls_alloc_fail_at(1);
    lua_newtable(L);
    assert_true(ls_alloc_fail_at(0) > 1);
    lua_pop(L, 1);
    site_check(&site, "for i = 1, 100000 do local t = {i} end return n == 0");
    ls__collector_go(site.session, nested);
    site_check(&site, "for i = 1, 100000 do local t = {i} end return n == 0");
    ls__collector_go(site.session, held);
    site_check(&site, "for i = 1, 100000 do local t = {i} end return n == 1 and collectgarbage('isrunning')");
    site_close(&site);
}

/* When they may run again the load is taken back, and the limits are what they were. So many globals come and go that
 * taking them back allocates enough to begin a collection where the roll-back lets the collector go. */
static void h58_finalizers_after_a_roll_back_have_limits(void **state)
{
    (void)state;
    struct site site;
    struct ls_reload_report report;
    site_open(&site);
    site_write(&site, "main.lua",
               "m = require('m') R = {n = 0} names = {} for i = 1, 2500 do names[i] = 'g' .. i end "
               "for i = 1, 2000 do _G[names[i]] = 1 end");
    site_write(&site, "lua/m.lua", "return {}");
    site_start(&site);
    site_write(&site, "lua/m.lua",
               "for i = 1, 2000 do _G[names[i]] = nil end for i = 2001, 2500 do _G[names[i]] = 1 end "
               "local keep = {} for i = 1, 20 do "
               "keep[i] = setmetatable({}, {__gc = function() R.n = R.n + 1 R.late = R.late or not g1 or g2500 "
               "if R.n == 10 then R.big = pcall(string.rep, 'x', 80 << 20) end end}) end "
               "collectgarbage('incremental', 110, 1000) collectgarbage() error('no')");
    site_reload(&site, &report, "lua/m.lua", NULL);
    assert_int_equal(site_result(&report, "lua/m.lua")->outcome, LS_RELOAD_FAILED);
    ls_reload_report_release(&report);
    site_check(&site, "collectgarbage() return R.n == 20 and R.big == false and R.late == nil");
    site_close(&site);
}

/* Without memory to read the texts an edit is no less an edit: the save fails, or takes it. */
static void h58_any_failed_allocation_leaves_no_edit_untold(void **state)
{
    (void)state;
    for (long n = 1, made = 1; made >= n; n++) {
        struct site site;
        struct ls_reload_report report;
        robust_open(&site, "m = require('m') m.rows[3] = 3",
                    "local K = {} local M = {k = K, rows = {1, 2}} function M.f() return K end return M");
        site_write(&site, "lua/m.lua",
                   "local K = {z = 1} local M = {k = K, rows = {1, 5}} function M.f() return K end return M");
        char path[256];
        snprintf(path, sizeof path, "%s/lua/m.lua", site.root);
        struct ls_bytes *bytes = ls_file_read(NULL, path, 0, NULL);
        struct ls_reload_file file = {.key = "lua/m.lua",
                                      .path = path,
                                      .text = bytes,
                                      .hash = ls_hash(ls_bytes_data(bytes), ls_bytes_len(bytes))};
        LS_ERR(err);
        ls_reload_report_init(&report);
        (void)ls_alloc_fail_at(n);
        (void)ls_session_reload(site.session, &file, 1, &report, &err);
        made = ls_alloc_fail_at(0);
        ls_bytes_unref(bytes);
        if (report.count && report.results[0].outcome == LS_RELOAD_OK)
            site_check(&site, "return #m.rows == 2 and m.rows[2] == 5 and m.k.z == 1 and m.f() == m.k");
        else
            site_check(&site, "return #m.rows == 3 and m.rows[2] == 2 and m.k.z == nil and m.f() == m.k");
        ls_reload_report_release(&report);
        site_close(&site);
    }
}

/* Save, and say how many places were kept, taken and gave way. */
static void save_and_count(struct site *site, const char *text, unsigned kept, unsigned taken, unsigned gave_way)
{
    struct ls_reload_report report;
    site_write(site, "lua/m.lua", text);
    site_reload(site, &report, "lua/m.lua", NULL);
    const struct ls_reload_result *result = site_result(&report, "lua/m.lua");
    if (result->outcome != LS_RELOAD_OK) fail_msg("%d %s", (int)result->outcome, result->text);
    assert_int_equal(result->kept, kept);
    assert_int_equal(result->taken, taken);
    assert_int_equal(result->gave_way, gave_way);
    ls_reload_report_release(&report);
}

/* What is not edited need not be read, however long: the run's stays, an edit is taken, and what the run had is told,
 * also after saves that have not read it. */
static void h49_long_lists_that_are_not_edited(void **state)
{
    (void)state;
#define LONG_LIST(each, n)                                                                                             \
    "local M = {rows = {}, list = {}} for i = 1, 24000 do M.rows[i] = {i} M.list[i] = " each                           \
    " end function M.f() return " #n " end return M"
    struct site site;
    robust_open(&site, "m = require('m') rows = m.rows", LONG_LIST("i", 1));
    save_and_count(&site, LONG_LIST("i", 2), 0, 0, 0);
    site_check(&site, "return m.f() == 2 and m.rows == rows and #rows == 24000 and m.list[24000] == 24000");
    site_check(&site, "m.list[7] = 'run' rows[8][1] = 'run' rows[24001] = {'run'} return true");
    save_and_count(&site, LONG_LIST("i", 3), 2, 0, 0);
    save_and_count(&site, LONG_LIST("i", 4), 2, 0, 0);
    site_check(&site, "return m.f() == 4 and m.list[7] == 'run' and rows[8][1] == 'run' and #rows == 24001");
    save_and_count(&site, LONG_LIST("i * 2", 4), 1, 1, 1);
    site_check(&site, "return m.list[7] == 14 and m.list[24000] == 48000 and rows[8][1] == 'run'");
    save_and_count(&site, LONG_LIST("i * 2", 5), 1, 0, 0);
    save_and_count(&site, LONG_LIST("i * 3", 5), 1, 1, 0);
    site_check(&site, "return m.f() == 5 and m.list[7] == 21 and m.rows == rows and #rows == 24001");
#undef LONG_LIST
    site_close(&site);
}

/* Functions in them follow the file, also where others are found first. */
static void h49_functions_in_long_lists(void **state)
{
    (void)state;
#define HANDLERS(n, helper)                                                                                            \
    helper "local M = {list = {}} for i = 1, 30000 do M.list[i] = {i} end "                                            \
           "M.list[29999].f = function() return " #n " end function M.g() return " #n " end return M"
    struct site site;
    robust_open(&site, "m = require('m') list = m.list", HANDLERS(1, ""));
    save(&site, HANDLERS(2, ""));
    site_check(&site, "return m.g() == 2 and m.list == list and list[29999].f() == 2 and list[3][1] == 3");
    site_check(&site, "list[3][1] = 'run' return true");
    save(&site, HANDLERS(3, "local function gone() return 3 end gone() "));
    site_check(&site, "return m.g() == 3 and m.list == list and list[29999].f() == 3 and list[3][1] == 'run'");
#undef HANDLERS
    site_close(&site);
}

/* So they do where only a global leads to the list. */
static void h49_functions_in_long_lists_of_globals(void **state)
{
    (void)state;
#define HANDLERS(n)                                                                                                    \
    "local function f() return " #n " end function get() return f end handlers = {} "                                  \
    "for i = 1, 30000 do handlers[i] = f end return {}"
    struct site site;
    robust_open(&site, "m = require('m') list = handlers", HANDLERS(1));
    save(&site, HANDLERS(2));
    site_check(&site, "return get()() == 2 and handlers == list and list[1]() == 2 and list[30000]() == 2");
#undef HANDLERS
    site_close(&site);
}

/* Save without what follows the frames. */
static void save_only(struct site *site, const char *text, enum ls_reload_outcome outcome)
{
    struct ls_reload_report report;
    site_write(site, "lua/m.lua", text);
    site_reload_link(site, &report, "lua/m.lua", NULL, "lua/m.lua");
    assert_int_equal(site_result(&report, "lua/m.lua")->outcome, outcome);
    ls_reload_report_release(&report);
}

/* One that never ends is stopped where what follows the frames collects, and leaves nothing behind. */
static void h58_finalizers_behind_the_frames_are_stopped(void **state)
{
    (void)state;
    struct site site;
    site_open(&site);
    site.config.time_limit_ms = 200;
    site_write(&site, "main.lua", "function Keep(t) kept = t end m = require('m')");
    site_write(&site, "lua/m.lua", "local M = {t = {}} Keep(M.t) return M");
    site_start(&site);
    site_eval(&site, "held = setmetatable({}, {__gc = function() ran = true while true do end end})");
    save_only(&site, "local M = {t = {}, x = 1} Keep(M.t) return M", LS_RELOAD_OK);
    assert_true(ls_session_reload_unsettled(site.session));
    lua_pushnil(site.session->vm.L);
    lua_setglobal(site.session->vm.L, "held");
    ls_session_reload_settle(site.session);
    assert_int_equal(lua_gethookcount(site.session->vm.main), LS_HOOK_COUNT);
    site_check(&site, "return ran and kept == m.t and m.x == 1");
    site_close(&site);
}

/* A file that makes much data anew leaves it behind; the next save does not pay for that before its frame. */
static void h49_data_made_in_vain_is_collected_behind_the_frames(void **state)
{
    (void)state;
#define VERSION(n)                                                                                                     \
    "local M = {rows = {}} for i = 1, " n " do M.rows[i] = {i, i} end function M.f() return " #n " end return M"
    struct site site;
    robust_open(&site, "m = require('m') rows = m.rows", VERSION("60000"));
    site_eval(&site, "collectgarbage()");
    uint64_t before = ls_session_memory(site.session);
    save_only(&site, VERSION("60000 "), LS_RELOAD_OK);
    assert_true(ls_session_memory(site.session) > before + before / 2);
    assert_true(ls_session_reload_unsettled(site.session));
    ls_session_reload_settle(site.session);
    assert_false(ls_session_reload_unsettled(site.session));
    assert_true(ls_session_memory(site.session) < before + before / 4);
    site_check(&site, "return rows == m.rows and #rows == 60000");
    site_eval(&site, "collectgarbage('stop')");
    save_only(&site, VERSION("60000  "), LS_RELOAD_OK);
    ls_session_reload_settle(site.session);
    assert_true(ls_session_memory(site.session) > before + before / 2); /* whoever has stopped it wants no collector */
    site_close(&site);
    robust_open(&site, "m = require('m') rows = m.rows", VERSION("100"));
    save_only(&site, VERSION("100 "), LS_RELOAD_OK);
    assert_false(ls_session_reload_unsettled(site.session)); /* little is left to Lua */
#undef VERSION
    site_close(&site);
}

/* Copies of functions in what is large elsewhere follow after the frames are out, whatever has been saved until then.
 */
static void h49_copies_in_large_tables_follow_later(void **state)
{
    (void)state;
#define VERSION(n) "local M = {} function M.f() return " #n " end return M"
    struct site site;
    robust_open(&site,
                "m = require('m') local o = {list = {}, map = {}, one = m.f} package.loaded.o = o o = require('o') "
                "local list, map = o.list, o.map "
                "for i = 1, 30000 do list[i] = i == 7 and m.f or {m.f} map['k' .. i] = m.f end",
                VERSION(1));
    site_check(&site, "function all(n) local o = require('o') for i = 1, 30000 do local each = o.list[i] "
                      "if (i == 7 and each or each[1])() ~= n or o.map['k' .. i]() ~= n then return false end end "
                      "return o.one() == n end return all(1)");
    save_only(&site, VERSION(2), LS_RELOAD_OK);
    site_check(&site, "return require('o').one() == 2 and m.f() == 2");
    assert_true(ls_session_reload_unsettled(site.session));
    ls_session_reload_settle(site.session);
    assert_false(ls_session_reload_unsettled(site.session));
    site_check(&site, "return all(2)");
    save_only(&site, VERSION(3), LS_RELOAD_OK);
    save_only(&site, VERSION(4), LS_RELOAD_OK);
    save_only(&site, "error('no')", LS_RELOAD_FAILED);
    assert_true(ls_session_reload_unsettled(site.session));
    ls_session_reload_settle(site.session);
    site_check(&site, "return all(4)");
#undef VERSION
    site_close(&site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(h49_tables_of_others_keep_their_identity),
        cmocka_unit_test(h49_tables_of_others_behind_variables),
        cmocka_unit_test(h49_chains_longer_than_the_stack),
        cmocka_unit_test(h49_functions_deep_below),
        cmocka_unit_test(h49_a_table_filled_under_another_name),
        cmocka_unit_test(h49_an_edited_table_that_also_stands_in_a_list),
        cmocka_unit_test(h49_long_lists_that_are_not_edited),
        cmocka_unit_test(h49_functions_in_long_lists),
        cmocka_unit_test(h49_functions_in_long_lists_of_globals),
        cmocka_unit_test(h49_r18_each_place_of_data_is_counted_once),
        cmocka_unit_test(h49_data_made_in_vain_is_collected_behind_the_frames),
        cmocka_unit_test(h49_copies_in_large_tables_follow_later),
        cmocka_unit_test(h58_any_failed_allocation_leaves_no_edit_untold),
        cmocka_unit_test(h58_finalizers_wait_while_the_rule_is_applied),
        cmocka_unit_test(h58_finalizers_wait_also_without_memory),
        cmocka_unit_test(h58_finalizers_behind_the_frames_are_stopped),
        cmocka_unit_test(h58_finalizers_after_a_roll_back_have_limits),
    };
    return cmocka_run_group_tests_name("reload: robust", tests, NULL, NULL);
}
