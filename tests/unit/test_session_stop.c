/* Long work in C is stopped in its middle, at moments that differ each time; the batch behind it makes good what is
 * missing (L5). Owner thread: the session's; the interruption comes from a signal. */
#include "resolver_rig.h"

#include <signal.h>
#include <sys/time.h>

#include "base/clock.h"

static volatile sig_atomic_t armed;

static void on_alarm(int number)
{
    (void)number;
    if (armed) ls_session_interrupt(rig->session);
}

static void interrupt_in(int64_t us)
{
    struct itimerval when = {.it_value = {.tv_sec = us / 1000000, .tv_usec = us % 1000000}};
    signal(SIGALRM, on_alarm);
    armed = us > 0;
    setitimer(ITIMER_REAL, &when, NULL);
}

/* --- what a page shows of variables 2 to 9: texts of the changes that were reported --- */

enum { LAST = 9 };
static char *shown[LAST + 1];

static void show_changes(void)
{
    const struct ls_change *list;
    int count = ls_tracker_changes(rig->tracker, &list);
    for (int i = 0; i < count; i++) {
        int64_t id = ls_var_id(list[i].var);
        if (!list[i].value || id > LAST) continue;
        free(shown[id]);
        shown[id] = strdup(rig_json(id));
    }
}

/* Equal to what a variable made now would show. */
static void assert_right(int64_t id, const char *path)
{
    rig_create(50, 1, path);
    if (strcmp(rig_json(50), rig_json(id)) != 0 || strcmp(shown[id], rig_json(id)) != 0)
        fail_msg("variable %lld (%s) is not what the page shows", (long long)id, path);
    ls_tracker_destroy(rig->tracker, 50, NULL, NULL);
    assert_string_equal(rig_fault(id), "");
}

/* Detect, stopped after `us` at latest. @return was it stopped */
static bool detect_cut(int64_t us)
{
    ls_buf_clear(&rig->session->vm.error);
    interrupt_in(us);
    rig_detect();
    interrupt_in(0);
    show_changes();
    return strstr(ls_session_last_error(rig->session), "interrupted") != NULL;
}

static void detect_in_peace(void)
{
    rig_detect();
    show_changes();
}

/* What a list holds after a stop is what it held before or what it is to hold, nothing between. */
static bool list_cut(int64_t us)
{
    if (!ls_tracker_find(rig->tracker, 3)) return detect_cut(us);
    char *before = strdup(rig_json(3));
    bool cut = detect_cut(us);
    char *then = strdup(rig_json(3));
    detect_in_peace();
    assert_true(strcmp(then, before) == 0 || strcmp(then, rig_json(3)) == 0);
    free(before);
    free(then);
    return cut;
}

/* Each edit with stops that come later and later, until one comes behind the end. */
static void sweep(const char *const edits[], void (*check)(void))
{
    int cuts = 0;
    for (int64_t us = 1; us < 2000000; us += us / 2 + 50) {
        bool cut = false;
        for (size_t i = 0; edits[i]; i++) {
            rig_do(edits[i]);
            cut |= list_cut(us);
            detect_in_peace();
            check();
        }
        cuts += cut;
        if (!cut && cuts && us > 1000) break;
    }
    assert_true(cuts > 0);
}

static int teardown(void **state)
{
    for (size_t i = 0; i <= LAST; i++) {
        free(shown[i]);
        shown[i] = NULL;
    }
    return rig_teardown(state);
}

/* --- arrays --- */

static const char *const edits[] = {
    "o.a[#o.a + 1] = new()",
    "table.remove(o.a, 1)",
    "o.a[#o.a] = new()",
    "for i = 1, #o.a do o.a[i] = new() end",
    "o.a = {table.unpack(o.a, 1, 10)} fill()",
    "local a, n = o.a, #o.a for i = 1, n // 2 do a[i], a[n + 1 - i] = a[n + 1 - i], a[i] end",
    "for i = 1, 4500 do o.a[#o.a] = nil end",
    "fill()",
    NULL,
};

static void check_array(void)
{
    assert_right(2, "a");
}

static void sweep_array(const char *new)
{
    char code[256];
    snprintf(
        code, sizeof code,
        "n = 0 function new() n = n + 1 return %s end o = {a = {}} function fill() for i = 1, 5000 do o.a[i] = o.a[i] or new() end end fill()",
        new);
    rig_do(code);
    rig_root("o");
    rig_create(2, 1, "a?access=r");
    ls_var_unreport(rig_var(2), true);
    rig_detect();
    show_changes();
    sweep(edits, check_array);
}

static void l5_an_array_of_numbers(void **state)
{
    (void)state;
    sweep_array("n");
}

/* What has been seen of it when it is stopped must not pass for what the page shows. */
static void l5_an_array_that_has_become_what_was_seen_of_it(void **state)
{
    (void)state;
    rig_do("o = {a = {}} function set(from, add) for i = from, 20000 do o.a[i] = i + add end end set(1, 0)");
    rig_root("o");
    rig_create(2, 1, "a?access=r");
    ls_var_unreport(rig_var(2), true);
    detect_in_peace();
    for (int64_t us = 50; us < 4000; us += 25) {
        rig_do("set(1, 1)");
        detect_cut(us);
        for (int at = 16384; at >= 4096; at -= 4096) {
            char code[32];
            snprintf(code, sizeof code, "set(%d, 0)", at);
            rig_do(code);
            detect_in_peace();
            check_array();
        }
        rig_do("set(1, 0)");
        detect_in_peace();
    }
}

static void l5_an_array_of_objects(void **state)
{
    (void)state;
    sweep_array("{n = n}");
}

/* The ids are those of the keys (R4): each leads to the element that has its key now. */
static void check_keys(void)
{
    lua_State *L = rig->session->vm.L;
    assert_string_equal(shown[2], rig_json(2));
    assert_string_equal(rig_fault(2), "");
    rig_run("return o.a", 1);
    lua_Integer i = 0;
    for (const char *at = strstr(shown[2], "{\"obj\":"); at; at = strstr(at + 1, "{\"obj\":")) {
        lua_rawgeti(L, 1, ++i);
        assert_true(ls__object_push(rig->session, L, atoll(at + strlen("{\"obj\":"))) && lua_rawequal(L, -1, -2));
        lua_settop(L, 1);
    }
    assert_int_equal(i, lua_rawlen(L, 1));
    lua_settop(L, 0);
}

static void l5_an_array_whose_elements_have_keys(void **state)
{
    (void)state;
    rig_do(
        "n = 0 function new() n = n + 1 return {n = n} end o = {a = {}} function fill() for i = 1, 5000 do o.a[i] = o.a[i] or new() end end fill()");
    rig_root("o");
    rig_create(2, 1, "a?access=r&keyed=true&key=n");
    ls_var_unreport(rig_var(2), true);
    rig_detect();
    show_changes();
    sweep(edits, check_keys);
}

/* --- lists --- */

static void check_list(void)
{
    rig_run("return #o.a", 1);
    int count = (int)lua_tointeger(rig->session->vm.L, -1);
    lua_pop(rig->session->vm.L, 1);
    char path[64], want[64];
    assert_string_equal(shown[3], rig_json(3));
    for (int i = 0; i <= 6; i++) {
        int at = i * (count - 1) / 6;
        snprintf(path, sizeof path, "items.%d.baseItem.n", at);
        rig_create(50, 2, path);
        rig_run("return o.a", 1);
        lua_rawgeti(rig->session->vm.L, -1, at + 1);
        lua_getfield(rig->session->vm.L, -1, "n");
        snprintf(want, sizeof want, "%d", (int)lua_tointeger(rig->session->vm.L, -1));
        lua_settop(rig->session->vm.L, 0);
        assert_string_equal(rig_json(50), want);
        ls_tracker_destroy(rig->tracker, 50, NULL, NULL);
    }
    snprintf(path, sizeof path, "items.%d", count);
    struct ls_fault fault = {.kind = LS_FAULT_NONE};
    rig_try(50, 2, path, &fault);
    assert_string_equal(rig_json(50), "null"); /* no item is left over behind the end */
    ls_tracker_destroy(rig->tracker, 50, NULL, NULL);
}

static void sweep_list(const char *properties)
{
    char path[128];
    rig_do(
        "Card = {type = 'Card'} Card.__index = Card\n"
        "function Card.new(_, li) local e = li.baseItem e.made = (e.made or 0) + 1 return setmetatable({element = e}, Card) end\n"
        "n = 0 function new() n = n + 1 return {n = n} end\n"
        "o = {a = {}} function fill() for i = 1, 5000 do o.a[i] = o.a[i] or new() end end fill()");
    rig_root("o");
    snprintf(path, sizeof path, "a?access=r&wrapper=lua.ViewList%s", properties);
    rig_create(2, 1, path);
    rig_create(3, 2, "items");
    for (int64_t id = 2; id <= 3; id++)
        ls_var_unreport(rig_var(id), true);
    rig_detect();
    show_changes();
    sweep(edits, check_list);
}

static void l5_a_list(void **state)
{
    (void)state;
    sweep_list("");
}

static void l5_a_keyed_list(void **state)
{
    (void)state;
    sweep_list("&keyed=true");
}

static void l5_a_list_with_a_key(void **state)
{
    (void)state;
    sweep_list("&keyed=true&key=n");
}

/* Cards keep their elements, and what was made once is not made again, however often it is stopped. */
static void l5_a_list_of_cards(void **state)
{
    (void)state;
    static const char *const moves[] = {
        "table.insert(o.a, 1, table.remove(o.a))",
        "local a, n = o.a, #o.a for i = 1, n // 2 do a[i], a[n + 1 - i] = a[n + 1 - i], a[i] end",
        NULL,
    };
    rig_do(
        "Card = {type = 'Card'} Card.__index = Card\n"
        "function Card.new(_, li) local e = li.baseItem e.made = (e.made or 0) + 1 return setmetatable({element = e}, Card) end\n"
        "o = {a = {}} for i = 1, 5000 do o.a[i] = {n = i} end");
    rig_root("o");
    rig_create(2, 1, "a?access=r&wrapper=lua.ViewList&itemWrapper=Card");
    rig_create(3, 2, "items");
    for (int64_t id = 2; id <= 3; id++)
        ls_var_unreport(rig_var(id), true);
    rig_detect();
    show_changes();
    sweep(moves, check_list);
    rig_do("for _, e in ipairs(o.a) do assert(e.made == 1) end");
}

/* --- what a page writes --- */

static void l5_a_value_that_a_page_writes_is_taken_whole_or_not_at_all(void **state)
{
    (void)state;
    struct ls_buf text = LS_BUF_INIT;
    struct ls_fault fault;
    int cuts = 0;
    rig_do("o = {}");
    rig_root("o");
    rig_create(2, 1, "a");
    ls_buf_char(&text, '[');
    for (int i = 1; i <= 50000; i++)
        ls_buf_printf(&text, "%d,", i);
    ls_buf_str(&text, "0]");
    for (int64_t us = 20;; us += us / 3) {
        rig_do("o.a = nil");
        interrupt_in(us);
        int rc = rig_write(2, text.data, &fault);
        interrupt_in(0);
        if (rc == 0 && (cuts > 0 || us > 1000000)) break;
        if (rc == 0) continue; /* the signal came before it began */
        assert_non_null(strstr(fault.text, "interrupted"));
        assert_true(rig_is("o.a == nil or #o.a == 50001")); /* where reading it back was stopped, it has been taken */
        cuts++;
    }
    assert_true(cuts > 0 && rig_is("#o.a == 50001"));
    ls_buf_release(&text);
}

/* --- without end in sight --- */

/* Code that stops as soon as it looks, within `ms`: the error says so, and what was there is there. */
static void assert_stops(const char *code)
{
    LS_ERR(err);
    lua_State *L = rig->session->vm.L;
    if (luaL_loadstring(L, code) != LUA_OK) fail_msg("%s", lua_tostring(L, -1));
    for (int64_t us = 1000;; us *= 2) {
        assert_true(us < 100000000);
        lua_pushvalue(L, -1);
        interrupt_in(us);
        int rc = ls__lcall(rig->session, 0, 0, &err);
        interrupt_in(0);
        if (rc == 0) break; /* it has come to its end before */
        assert_int_equal(rc, LS_EINTERRUPTED);
    }
    lua_settop(L, 0);
}

static void l5_what_lua_code_calls(void **state)
{
    (void)state;
    rig_do(
        "numbers, names = {}, {} for i = 1, 60000 do numbers[i] = i * 7919 % 60013 names['k' .. numbers[i]] = i end text = ui.json_encode(names)");
    assert_stops(
        "local t = table.move(numbers, 1, #numbers, 1, {}) table.sort(t) for i = 2, #t do assert(t[i - 1] <= t[i]) end");
    assert_stops("assert(ui.json_encode(names) == text)");
    assert_stops("assert(#ui.json_encode(numbers) > #numbers)");
    assert_stops("assert(ui.json_decode(text).k1 == names.k1)");
    rig_do(
        "local before, s = nil, text for key in s:gmatch('\"(k%d+)\"') do assert(not before or before < key) before = key end");
}

/* Once a session is halted every entry ends at its first look; short ones do their work, and so do the hooks at its
 * end. */
static void l5_a_halted_session(void **state)
{
    (void)state;
    LS_ERR(err);
    lua_State *L = rig->session->vm.L;
    ls_session_halt(rig->session);
    ls_session_interrupt(rig->session);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(luaL_loadstring(L, "while true do end"), LUA_OK);
        assert_int_equal(ls__lcall(rig->session, 0, 0, &err), LS_EINTERRUPTED);
        rig_do("o = {n = 1}");
    }
    rig_root("o");
    rig_create(2, 1, "n");
    assert_string_equal(rig_json(2), "1");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, teardown)
    const struct CMUnitTest tests[] = {
        T(l5_an_array_of_numbers),
        T(l5_an_array_that_has_become_what_was_seen_of_it),
        T(l5_an_array_of_objects),
        T(l5_an_array_whose_elements_have_keys),
        T(l5_a_list),
        T(l5_a_keyed_list),
        T(l5_a_list_with_a_key),
        T(l5_a_list_of_cards),
        T(l5_a_value_that_a_page_writes_is_taken_whole_or_not_at_all),
        T(l5_what_lua_code_calls),
        T(l5_a_halted_session),
    };
    return cmocka_run_group_tests_name("L5: what is stopped in its middle", tests, NULL, NULL);
}
