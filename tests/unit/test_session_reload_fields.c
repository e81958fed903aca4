/* Fields that a declaration has lost and names again: what instances held in them is set aside and comes back
 * (page.md R18). */
#include "session_reload.h"

/* The file under test declares P; `all` are its instances, made by the run. */
static void begin(struct site *site, const char *text)
{
    site_open(site);
    site_write(site, "lua/main.lua", "all = {} require('m')");
    site_write(site, "lua/m.lua", text);
    site_start(site);
}

/* One save of lua/m.lua. @return its result; the report is released with the next one or by end() */
static struct ls_reload_report report;
static const struct ls_reload_result *save(struct site *site, const char *text)
{
    ls_reload_report_release(&report);
    site_write(site, "lua/m.lua", text);
    site_reload(site, &report, "lua/m.lua", NULL);
    return site_result(&report, "lua/m.lua");
}

static void end(struct site *site)
{
    ls_reload_report_release(&report);
    site_close(site);
}

/* @param text  part of the details; NULL = nothing of values is told */
static void check_told(const struct ls_reload_result *result, unsigned set_aside, unsigned restored, const char *text)
{
    if (result->outcome != LS_RELOAD_OK) fail_msg("did not run: %s", result->text);
    assert_int_equal(result->set_aside, set_aside);
    assert_int_equal(result->restored, restored);
    const char *details = result->details ? result->details : "";
    if (text && !strstr(details, text)) fail_msg("'%s' is not in '%s'", text, details);
    if (!text && strstr(details, "values of")) fail_msg("%s", details);
}

static void lost_and_named_again(void **state)
{
    (void)state;
    struct site site;
    begin(&site, "P = session:prototype('P', {count = 0, name = 'a'})");
    site_eval(&site, "for i = 1, 7 do all[i] = P:new{count = i} end all[7].count = nil all[6].count = {deep = {6}}");
    const struct ls_reload_result *lost = save(&site, "P = session:prototype('P', {name = 'a'})");
    check_told(lost, 1, 0, "values of \"count\" set aside in 6 instances");
    assert_int_equal(lost->kept, 0); /* its default goes with the declaration */
    site_check(&site,
               "for i = 1, 7 do if rawget(all[i], 'count') then return false end end return all[1].count == nil");
    check_told(save(&site, "P = session:prototype('P', {name = 'b'})"), 0, 0, NULL);
    check_told(save(&site, "P = session:prototype('P', {name = 'b', count = 9})"), 0, 1,
               "values of \"count\" restored in 6 instances");
    site_check(&site,
               "return all[1].count == 1 and all[5].count == 5 and all[6].count.deep[1] == 6 and all[7].count == 9 "
               "and rawget(all[7], 'count') == nil");
    check_told(save(&site, "P = session:prototype('P', {count = 9})"), 0, 0, NULL);
    /* once more, with the values of now */
    site_eval(&site, "all[1].count = 11");
    check_told(save(&site, "P = session:prototype('P', {name = ''})"), 1, 0, "set aside in 6 instances");
    check_told(save(&site, "P = session:prototype('P', {name = '', count = EMPTY})"), 0, 1, "restored in 6 instances");
    site_check(&site, "return all[1].count == 11 and all[7].count == nil");
    end(&site);
}

static void renamed_and_renamed_back(void **state)
{
    (void)state;
    struct site site;
    begin(&site, "P = session:prototype('P', {count = 0})");
    site_eval(&site, "all[1] = P:new{count = 5} all[2] = P:new{count = 6}");
    check_told(save(&site, "P = session:prototype('P', {total = 0}) "
                           "function P:mutate() self.total = rawget(self, 'count') or self.total end"),
               1, 0, "values of \"count\" set aside in 2 instances");
    site_check(&site, "return all[1].total == 5 and all[2].total == 6");
    site_eval(&site, "all[1].total = 50");
    /* without a mutate the values of before the renaming are there; with one, what it says is so */
    const struct ls_reload_result *result =
        save(&site, "P = session:prototype('P', {count = 0}) "
                    "function P:mutate() if rawget(self, 'total') == 50 then self.count = 50 end end");
    check_told(result, 1, 1, "values of \"count\" restored in 2 instances");
    check_told(result, 1, 1, "values of \"total\" set aside in 2 instances");
    site_check(&site, "return all[1].count == 50 and all[2].count == 6 and all[1].total == nil");
    end(&site);
}

/* A mutate that fills in what is missing finds what was there. */
static void is_back_before_mutate_looks(void **state)
{
    (void)state;
    struct site site;
    begin(&site, "A = session:prototype('A', {x = 1}) P = session:prototype('P', {hull = EMPTY}, A)");
    site_eval(&site, "all[1] = P:new{hull = 73}");
    save(&site, "A = session:prototype('A', {x = 1}) P = session:prototype('P', {}, A)");
    check_told(save(&site, "A = session:prototype('A', {x = 2}) P = session:prototype('P', {hull = EMPTY}, A) "
                           "function A:mutate() if self.hull == nil then self.hull = 100 end end"),
               0, 1, "values of \"hull\" restored in 1 instance");
    site_check(&site, "return all[1].hull == 73");
    end(&site);
}

static void what_has_been_set_since_stays(void **state)
{
    (void)state;
    struct site site;
    begin(&site, "P = session:prototype('P', {count = 0})");
    site_eval(&site, "for i = 1, 3 do all[i] = P:new{count = i} end");
    save(&site, "P = session:prototype('P', {}) function P:mutate() if self == all[2] then mutated = true end end");
    site_eval(&site, "all[1].count = 'set by code'");
    save(
        &site,
        "P = session:prototype('P', {z = 1}) function P:mutate() if self == all[2] then self.count = 'mutated' end end");
    check_told(save(&site, "P = session:prototype('P', {z = 1, count = 0})"), 0, 1,
               "values of \"count\" restored in 1 instance");
    site_check(&site, "return all[1].count == 'set by code' and all[2].count == 'mutated' and all[3].count == 3");
    end(&site);
}

static void data_only(void **state)
{
    (void)state;
    struct site site;
    begin(&site, "P = session:prototype('P', {v = 0})");
    site_eval(&site, "local v = {print, coroutine.create(print), io.stdout, false, 'text', 1.5} "
                     "for i, x in ipairs(v) do all[i] = P:new{v = x} end");
    check_told(save(&site, "P = session:prototype('P', {})"), 1, 0, "values of \"v\" set aside in 3 instances");
    check_told(save(&site, "P = session:prototype('P', {v = 0})"), 0, 1, "values of \"v\" restored in 3 instances");
    site_check(&site, "return all[1].v == 0 and all[2].v == 0 and all[3].v == 0 and all[4].v == false and "
                      "all[5].v == 'text' and all[6].v == 1.5");
    end(&site);
}

static void kept_for_twenty_saves(void **state)
{
    (void)state;
    for (int saves = 20; saves <= 21; saves++) {
        struct site site;
        char text[128];
        begin(&site, "P = session:prototype('P', {count = 0})");
        site_eval(&site, "all[1] = P:new{count = 5}");
        check_told(save(&site, "P = session:prototype('P', {})"), 1, 0, "in 1 instance");
        for (int i = 1; i < saves; i++) {
            snprintf(text, sizeof text, "P = session:prototype('P', {}) -- %d", i);
            check_told(save(&site, text), 0, 0, NULL);
        }
        check_told(save(&site, "P = session:prototype('P', {count = 0})"), 0, saves == 20,
                   saves == 20 ? "restored" : NULL);
        assert_int_equal(site_number(&site, "return all[1].count"), saves == 20 ? 5 : 0);
        end(&site);
    }
}

static void a_failed_save_sets_nothing_aside(void **state)
{
    (void)state;
    struct site site;
    begin(&site, "P = session:prototype('P', {count = 0, kept = 1})");
    site_eval(&site, "all[1] = P:new{count = 5, kept = 6} old = P");
    const struct ls_reload_result *result = save(&site, "P = session:prototype('P', {kept = 1}) error('x')");
    assert_int_equal(result->outcome, LS_RELOAD_FAILED);
    assert_int_equal(result->set_aside, 0);
    site_check(&site, "return rawget(all[1], 'count') == 5");
    check_told(save(&site, "P = session:prototype('P', {kept = 1, count = 1})"), 0, 0, NULL);
    site_check(&site, "return all[1].count == 5");
    check_told(save(&site, "P = session:prototype('P', {count = 1})"), 1, 0, "\"kept\" set aside in 1 instance");
    /* what is waiting outlives failures, and prototypes that come back with the roll-back */
    result = save(&site, "session:removePrototype('P') P = session:prototype('P', {kept = 3}) error('x')");
    assert_int_equal(result->outcome, LS_RELOAD_FAILED);
    result = save(&site, "P = session:prototype('P', {kept = 3, count = 1}) error('x')");
    assert_int_equal(result->outcome, LS_RELOAD_FAILED);
    assert_int_equal(result->restored, 0);
    site_check(&site, "return rawget(all[1], 'kept') == nil and P == old");
    check_told(save(&site, "P = session:prototype('P', {kept = 3, count = 1})"), 0, 1, "\"kept\" restored");
    site_check(&site, "return all[1].kept == 6 and all[1].count == 5");
    end(&site);
}

static void a_removed_prototype_is_another_one(void **state)
{
    (void)state;
    struct site site;
    begin(&site, "P = session:prototype('P', {count = 0})");
    site_eval(&site, "all[1] = P:new{count = 5}");
    save(&site, "P = session:prototype('P', {})");
    save(&site, "session:removePrototype('P') P = session:prototype('P', {})");
    check_told(save(&site, "P = session:prototype('P', {count = 0})"), 0, 0, NULL);
    site_check(&site, "return rawget(all[1], 'count') == nil");
    end(&site);
}

static void mutate_that_fails_keeps_the_field(void **state)
{
    (void)state;
    struct site site;
    begin(&site, "P = session:prototype('P', {count = 0})");
    site_eval(&site, "all[1] = P:new{count = 5} all[2] = P:new{count = 6}");
    check_told(
        save(&site, "P = session:prototype('P', {}) function P:mutate() if self == all[1] then error('x') end end"), 1,
        0, "set aside in 1 instance");
    site_check(&site, "return rawget(all[1], 'count') == 5 and rawget(all[2], 'count') == nil");
    check_told(save(&site, "P = session:prototype('P', {}) function P:mutate() end"), 1, 0, "set aside in 1 instance");
    check_told(save(&site, "P = session:prototype('P', {count = 0})"), 0, 1, "restored in 2 instances");
    site_check(&site, "return all[1].count == 5 and all[2].count == 6");
    end(&site);
}

static void by_prototype_and_its_heirs(void **state)
{
    (void)state;
    struct site site;
    begin(&site,
          "A = session:prototype('A', {n = 0}) B = session:prototype('B', {}, A) C = session:prototype('C', {n = 0})");
    site_eval(&site, "all[1] = A:new{n = 1} all[2] = B:new{n = 2} all[3] = C:new{n = 3}");
    check_told(
        save(&site,
             "A = session:prototype('A', {}) B = session:prototype('B', {}, A) C = session:prototype('C', {n = 0})"),
        1, 0, "in 2 instances");
    site_check(&site, "return all[3].n == 3");
    /* another prototype that has the field does not take them; one that an instance has been given to neither */
    check_told(
        save(&site,
             "A = session:prototype('A', {}) B = session:prototype('B', {}, A) D = session:prototype('D', {n = 0})"),
        0, 0, NULL);
    site_eval(&site, "session:create(D, all[2])");
    check_told(save(&site, "A = session:prototype('A', {n = 0}) B = session:prototype('B', {}, A)"), 0, 1,
               "in 1 instance");
    site_check(&site, "return all[1].n == 1 and all[2].n == 0 and rawget(all[2], 'n') == nil");
    check_told(save(&site, "A = session:prototype('A', {}) B = session:prototype('B', {}, A)"), 1, 0, "in 1 instance");
    end(&site);
}

static void holds_no_instance(void **state)
{
    (void)state;
    struct site site;
    begin(&site, "P = session:prototype('P', {peer = 0})");
    site_eval(&site, "gone = setmetatable({}, {__mode = 'k'}) "
                     "do local a, b = P:new{}, P:new{} a.peer, b.peer = {b}, {a} gone[a], gone[b] = true, true end "
                     "all[1] = P:new{peer = {('x'):rep(1e6)}}");
    check_told(save(&site, "P = session:prototype('P', {})"), 1, 0, "instance");
    site_eval(&site, "collectgarbage() collectgarbage()");
    site_check(&site, "return next(gone) == nil and collectgarbage('count') > 1000");
    site_eval(&site, "all[1] = nil collectgarbage() collectgarbage()");
    site_check(&site, "return collectgarbage('count') < 1000");
    check_told(save(&site, "P = session:prototype('P', {peer = 0})"), 0, 0, NULL);
    end(&site);
}

static void many_fields_are_counted(void **state)
{
    (void)state;
    struct site site;
    struct ls_buf text = LS_BUF_INIT;
    for (int i = 0; i < 100; i++)
        ls_buf_printf(&text, "%sf%d = 1", i ? ", " : "P = session:prototype('P', {", i);
    ls_buf_str(&text, "})");
    begin(&site, ls_buf_text(&text));
    site_eval(&site, "for i = 1, 100 do all[i] = P:new{} for k = 0, 99 do all[i]['f' .. k] = i * k end end");
    const struct ls_reload_result *result = save(&site, "P = session:prototype('P', {})");
    check_told(result, 100, 0, "values of more fields set aside");
    assert_true(strlen(result->details) < 1000);
    check_told(save(&site, ls_buf_text(&text)), 0, 100, "values of more fields restored");
    site_check(
        &site,
        "for i = 1, 100 do for k = 0, 99 do if all[i]['f' .. k] ~= i * k then return false end end end return true");
    ls_buf_release(&text);
    end(&site);
}

static void of_two_files_each_tells_its_own(void **state)
{
    (void)state;
    struct site site;
    begin(&site, "P = session:prototype('P', {a = 0})");
    site_write(&site, "lua/n.lua", "Q = session:prototype('Q', {b = 0})");
    site_eval(&site, "require('n') all[1] = P:new{a = 1} all[2] = Q:new{b = 2}");
    ls_reload_report_release(&report);
    site_write(&site, "lua/m.lua", "P = session:prototype('P', {})");
    site_write(&site, "lua/n.lua", "Q = session:prototype('Q', {})");
    site_reload(&site, &report, "lua/m.lua", "lua/n.lua", NULL);
    check_told(site_result(&report, "lua/m.lua"), 1, 0, "\"a\" set aside in 1 instance");
    check_told(site_result(&report, "lua/n.lua"), 1, 0, "\"b\" set aside in 1 instance");
    end(&site);
}

/* A pass that finds no memory reports it; nothing leaks, and what an instance has lost is set aside. */
static void without_memory_nothing_is_lost(void **state)
{
    (void)state;
    bool done = false;
    for (long n = 1; !done; n += 1 + n / 40) {
        struct site site;
        begin(&site, "P = session:prototype('P', {a = 0, b = 0})");
        site_eval(&site, "for i = 1, 3 do all[i] = P:new{a = i, b = i} end");
        site_write(&site, "lua/m.lua", "P = session:prototype('P', {})");
        site_eval(&site, "session:prototype('P', {b = 0})"); /* of no file */
        ls_alloc_fail_at(n);
        LS_ERR(err);
        struct ls_eval eval = {.code = "session:prototype('P', {})", .len = 26, .name = "test"};
        (void)ls_session_eval(site.session, &eval, &err);
        done = ls_alloc_fail_at(0) < n;
        ls_buf_release(&eval.text);
        ls_buf_release(&eval.json);
        site_eval(&site, "session:prototype('P', {c = 0})");
        site_eval(&site, "session:prototype('P', {a = 0, b = 0})");
        site_check(&site, "for i = 1, 3 do if all[i].a ~= i or all[i].b ~= i then return false end end return true");
        end(&site);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_and_named_again),
        cmocka_unit_test(renamed_and_renamed_back),
        cmocka_unit_test(is_back_before_mutate_looks),
        cmocka_unit_test(what_has_been_set_since_stays),
        cmocka_unit_test(data_only),
        cmocka_unit_test(kept_for_twenty_saves),
        cmocka_unit_test(a_failed_save_sets_nothing_aside),
        cmocka_unit_test(a_removed_prototype_is_another_one),
        cmocka_unit_test(mutate_that_fails_keeps_the_field),
        cmocka_unit_test(by_prototype_and_its_heirs),
        cmocka_unit_test(holds_no_instance),
        cmocka_unit_test(many_fields_are_counted),
        cmocka_unit_test(of_two_files_each_tells_its_own),
        cmocka_unit_test(without_memory_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
