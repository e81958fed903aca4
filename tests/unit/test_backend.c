/* Unit tests of lib/backend with one page: the transcripts of section 18, batches (P51 to P69), watching (P70 to P77), create (P78 to P85), update (P86
 * to P91a), inactive (P92 to P95), destroy (P96, P97), errors (P98 to P103), get and getObjects (P116, P117). */
/* Messages are put together from macros, which clang-format takes for calls. */
/* clang-format off */
#include "backend_site.h"

/* --- section 18 --- */

static void section_18_bootstrapping(void **state)
{
    (void)state;
    site_file("viewdefs/Harbor.DEFAULT.html", "<template><b ui-value=\"name\"></b></template>");
    serve(harbor);
    struct page *page = connect_page(0);
    expect_frames(page, ""); /* P39 */
    receive(page, CALM(WATCH(1)));
    expect_frames(page, ""); /* P62: not before the timer */
    assert_true(t.flush_due > 0);
    fire_flush();
    expect_frames(page, "[" PROPS(1, "\"viewdefs\":\"{\\\"Harbor.DEFAULT\\\":\\\"<template><b ui-value=\\\\\\\"name\\\\\\\"></b></template>\\\"}\"") ","
                            BOTH(1, "{\"obj\":2}", "\"type\":\"Harbor\"") "]\n");
    say(page, CALM(CREATE(2, 1, PATH("name")) "," CREATE(3, 1, PATH("boats")) "," CREATE(4, 1, PATH("rename(_)") ",\"access\":\"action\"") ","
                       CREATE(5, 1, PATH("launch()") ",\"access\":\"action\"")),
        "[" VALUE(2, "\"North\"") "," VALUE(3, "[{\"obj\":3}]") "]");
}

static struct page *harbor_page(void)
{
    serve(harbor);
    struct page *page = connect_page(0);
    receive(page, CALM(WATCH(1) "," CREATE(2, 1, PATH("name")) "," CREATE(3, 1, PATH("boats")) ","
                           CREATE(4, 1, PATH("rename(_)") ",\"access\":\"action\"") "," CREATE(5, 1, PATH("launch()") ",\"access\":\"action\"")));
    fire_flush();
    forget_frames(page);
    return page;
}

static void section_18_actions_an_error_and_a_destroy(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    receive(page, USER(VALUE(4, "\"South\"")));
    expect_frames(page, VALUE(2, "\"South\"") "\n"); /* at once, bare object */
    receive(page, USER(VALUE(5, "null")));
    expect_frames(page, VALUE(3, "[{\"obj\":3},{\"obj\":4}]") "\n");
    say(page, VALUE(99, "1"), ERROR(99, "not-found", "no variable 99"));
    say(page, "[" DESTROY(3) "," DESTROY(2) "]", "[" DESTROY(3) "," DESTROY(2) "]");
    say(page, "{\"type\":\"update\",\"id\":2,\"value\":\"x\"}", ERROR(2, "not-found", "no variable 2"));
}

/* --- batches --- */

static void P52_a_failing_message_does_not_stop_the_batch(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    receive(page, "[7," WATCH(77) "," CREATE(9, 1, PATH("a..b")) "," CREATE(10, 1, PATH("x") ",\"access\":\"magic\"") "," VALUE(2, "\"East\"") "]");
    fire_flush();
    const char *codes[] = {"\"code\":\"bad-message\"", "\"varId\":77,\"code\":\"not-found\"", "\"varId\":9,\"code\":\"bad-path\"",
                           "\"varId\":10,\"code\":\"bad-access\""};
    const char *at = ls_buf_text(&page->frames);
    for (size_t i = 0; i < COUNT(codes); i++) /* each in its turn */
        assert_non_null(at = strstr(at, codes[i]));
    run_lua("assert(app.name == 'East')");
}

static void P53_detection_runs_after_empty_and_failed_batches(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    run_lua("sneak = function() app.name = 'A' end session:setImmediate(function() app.name = 'B' end)");
    forget_frames(page);
    say(page, "[]", "");
    ls_backend_timer(t.backend, t.timer); /* P54 */
    assert_true(t.flush_due > 0);
    fire_flush();
    expect_frames(page, VALUE(2, "\"B\"") "\n");
}

static void P54_H71_without_a_connection_changes_wait(void **state)
{
    (void)state;
    serve("app = { type = 'A', n = 0 } function app:count() self.n = self.n + 1 return self.n end session:createAppVariable(app)\n");
    struct page *page = connect_page(0);
    receive(page, CALM(WATCH(1) "," CREATE(2, 1, PATH("count()") ",\"access\":\"r\"")));
    leave(0, true); /* its variables wait, but nobody is there */
    run_lua("before = app.n");
    run_lua("assert(app.n == before, 'detection ran')");
    (void)page;
}

static void P62_P63_the_timer_and_user_events(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    receive(page, CALM(VALUE(4, "\"one\"")));
    int64_t due = t.flush_due;
    assert_true(due > 0);
    receive(page, CALM(VALUE(4, "\"two\"")));
    assert_int_equal(t.flush_due, due); /* later entries do not extend it */
    expect_frames(page, "");
    receive(page, USER(VALUE(4, "\"three\""))); /* everything that waits goes along, in order */
    assert_int_equal(t.flush_due, 0);
    expect_frames(page, "[" VALUE(2, "\"one\"") "," VALUE(2, "\"two\"") "," VALUE(2, "\"three\"") "]\n");
}

static void P64_errors_and_notices_arm_the_timer(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    receive(page, CALM(WATCH(50)));
    assert_true(t.flush_due > 0);
    fire_flush();
    forget_frames(page);
    assert_int_equal(t.flush_due, 0);
    receive(page, CALM(DESTROY(2)));
    assert_true(t.flush_due > 0);
    receive(page, USER());
    expect_frames(page, DESTROY(2) "\n");
}

static void P59_P60_P61_order(void **state)
{
    (void)state;
    serve("app = { type = 'A', a = { type = 'B', b = 1, c = 2 }, z = 0 } session:createAppVariable(app)\n");
    struct page *page = connect_page(0);
    receive(page, CALM(CREATE(2, 1, PATH("z") ",\"priority\":\"low\"") "," CREATE(9, 1, PATH("a")) "," CREATE(4, 9, PATH("c") ",\"priority\":\"high\"") ","
                           CREATE(3, 9, PATH("b"))));
    fire_flush();
    forget_frames(page);
    /* Answers first, then high, medium, low; in a class parents before children, siblings as they were made; value and properties of one class together. */
    say(page, CALM(PROPS(2, "\"hint:high\":\"1\",\"tone\":\"2\",\"memo:low\":\"3\"") "," DESTROY(77) "," WATCH(78) ","
                       PROPS(1, "\"lua\":\"app.z = 5; app.a = { type = 'B', b = 7, c = 8 }\"")),
        "[" ERROR(78, "not-found", "no variable 78") "," PROPS(2, "\"hint\":\"1\"") "," VALUE(4, "8") "," PROPS(2, "\"tone\":\"2\"") "," VALUE(9, "{\"obj\":4}") ","
            VALUE(3, "7") "," BOTH(2, "5", "\"memo\":\"3\"") "]");
}

/* --- watching --- */

static void P71_P74_tallies(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    say(page, CALM(WATCH(2)), BOTH(2, "\"North\"", "\"path\":\"name\"")); /* P72 */
    say(page, CALM(UNWATCH(2)), "");
    receive(page, USER(VALUE(4, "\"x\"")));
    expect_frames(page, VALUE(2, "\"x\"") "\n"); /* one tally is left */
    say(page, CALM(UNWATCH(2) "," UNWATCH(2) "," UNWATCH(98)), "");
    receive(page, USER(VALUE(4, "\"y\"")));
    expect_frames(page, ""); /* P66 */
    say(page, CALM(WATCH(2)), BOTH(2, "\"y\"", "\"path\":\"name\""));
}

static void P72_watch_of_null_answers(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    receive(page, CALM("{\"type\":\"create\",\"id\":8,\"parentId\":1,\"nowatch\":true,\"properties\":{\"path\":\"missing\",\"tone\":\"2\",\"hint:high\":\"1\"}}"));
    fire_flush();
    expect_frames(page, "");
    say(page, CALM(WATCH(8)), "[" PROPS(8, "\"hint\":\"1\"") "," BOTH(8, "null", "\"path\":\"missing\",\"tone\":\"2\"") "]");
    say(page, CALM(WATCH(4)), ""); /* an action shows nothing */
}

static void P73_watch_of_an_unknown_id_leaves_no_tally(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    say(page, CALM(WATCH(8)), ERROR(8, "not-found", "no variable 8"));
    receive(page, CALM("{\"type\":\"create\",\"id\":8,\"parentId\":1,\"nowatch\":true,\"properties\":{\"path\":\"name\"}}"));
    fire_flush();
    expect_frames(page, "");
}

static void P75_unwatching_a_parent_does_not_freeze_its_children(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    receive(page, CALM(CREATE(6, 3, PATH("0")) "," CREATE(7, 6, PATH("name")) "," UNWATCH(3) "," UNWATCH(6)));
    fire_flush();
    forget_frames(page);
    run_lua("app.boats[1].name = 'Tern'");
    expect_frames(page, VALUE(7, "\"Tern\"") "\n");
}

/* --- create --- */

static void P78_P80_refused_creates_leave_nothing(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    static const struct { const char *create, *code; } rows[] = {
        {CREATE(2, 1, PATH("name")), "\"id-in-use\""}, {CREATE(1, 1, PATH("name")), "\"id-in-use\""}, {CREATE(-3, 1, PATH("name")), "\"bad-message\""},
        {CREATE(0, 1, PATH("name")), "\"bad-message\""}, {CREATE(20, 99, PATH("name")), "\"bad-parent\""}, {CREATE(20, 20, PATH("name")), "\"bad-parent\""},
        {CREATE(20, 0, PATH("name")), "\"bad-parent\""}, {"{\"type\":\"create\",\"id\":20,\"properties\":{\"path\":\"name\"}}", "\"bad-parent\""},
        {"{\"type\":\"create\",\"id\":20,\"parentId\":1}", "\"bad-path\""}, {CREATE(20, 1, "\"path\":\"\""), "\"bad-path\""},
        {CREATE(20, 1, PATH("x(_).y")), "\"bad-path\""}, {CREATE(20, 1, PATH("x(_)")), "\"bad-access\""}, {CREATE(20, 1, PATH("x") ",\"access\":\"rx\""), "\"bad-access\""},
    };
    size_t before = ls_tracker_count(ls_backend_tracker(t.backend));
    for (size_t i = 0; i < COUNT(rows); i++) {
        receive(page, rows[i].create);
        fire_flush();
        assert_int_equal(page->count, 1);
        assert_non_null(strstr(ls_buf_text(&page->frames), "\"type\":\"error\""));
        assert_non_null(strstr(ls_buf_text(&page->frames), rows[i].code));
        forget_frames(page);
        assert_int_equal(ls_tracker_count(ls_backend_tracker(t.backend)), before);
    }
    say(page, CREATE(20, 1, PATH("name")), VALUE(20, "\"North\"")); /* the id is as good as new */
}

static void P82_what_a_create_sends(void **state)
{
    (void)state;
    serve("app = { type = 'A', s = 'x', n = 5, f = 0.5, b = false, arr = { 1, 'a' }, obj = { type = 'B' }, plain = {} , secret = 's' }\n"
          "function app:act() end session:createAppVariable(app)\n");
    struct page *page = connect_page(0);
    say(page, CREATE(2, 1, PATH("s") ",\"elementId\":\"ui-1\""), VALUE(2, "\"x\""));
    say(page, CREATE(3, 1, PATH("n")), VALUE(3, "5"));
    say(page, CREATE(4, 1, PATH("f")), VALUE(4, "0.5"));
    say(page, CREATE(5, 1, PATH("b")), VALUE(5, "false"));
    say(page, CREATE(6, 1, PATH("arr")), VALUE(6, "[1,\"a\"]"));
    say(page, CREATE(7, 1, PATH("obj")), BOTH(7, "{\"obj\":3}", "\"type\":\"B\""));
    say(page, CREATE(8, 1, PATH("plain")), VALUE(8, "{\"obj\":4}"));
    say(page, CREATE(9, 1, PATH("arr") ",\"wrapper\":\"lua.ViewList\""),
        "[" PROPS(9, "\"fallbackNamespace\":\"list-item\"") "," BOTH(9, "{\"obj\":5}", "\"type\":\"lua.ViewList\"") "]");
    say(page, CREATE(10, 1, PATH("nothing")), VALUE(10, "null"));
    say(page, CREATE(11, 1, PATH("nothing.at.all")), VALUE(11, "null"));
    say(page, CREATE(12, 1, PATH("secret") ",\"access\":\"w\""), "");
    say(page, CREATE(13, 1, PATH("act()") ",\"access\":\"action\""), "");
}

static void P83_P103_an_unreadable_path_is_an_error_once(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    receive(page, CALM(CREATE(8, 1, PATH("name.first"))));
    fire_flush();
    assert_int_equal(page->count, 1);
    assert_non_null(strstr(ls_buf_text(&page->frames), "{\"type\":\"error\",\"data\":{\"varId\":8,\"code\":\"path-failure\""));
    forget_frames(page);
    say(page, "[]", ""); /* once, not once a batch */
    run_lua("app.name = { first = 'Ada' }"); /* the value arrives when the path becomes valid */
    assert_non_null(strstr(ls_buf_text(&page->frames), VALUE(8, "\"Ada\"")));
    forget_frames(page);
    receive(page, CALM(CREATE(9, 1, PATH("boom()") ",\"access\":\"r\"")));
    fire_flush();
    assert_non_null(strstr(ls_buf_text(&page->frames), "\"varId\":9,\"code\":\"lua-error\""));
    assert_non_null(strstr(ls_buf_text(&page->frames), "lua/main.lua:4: kaputt"));
    assert_null(strstr(ls_buf_text(&page->frames), "traceback"));
}

static void P85_create_and_watch_in_one_batch_is_one_value(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    say(page, CALM(CREATE(8, 1, PATH("name")) "," WATCH(8)), BOTH(8, "\"North\"", "\"path\":\"name\""));
}

/* --- update --- */

static void P88_properties_are_echoed_when_they_change(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    say(page, PROPS(1, "\"url\":\"/boats\""), PROPS(1, "\"url\":\"/boats\""));
    say(page, PROPS(1, "\"url\":\"/boats\""), "");
    say(page, PROPS(1, "\"url\":\"\""), PROPS(1, "\"url\":\"\""));
    say(page, PROPS(2, "\"a:high\":\"1\",\"b:LOW\":\"2\""), "[" PROPS(2, "\"a\":\"1\"") "," PROPS(2, "\"b\":\"2\"") "]");
}

static void P55_P89_writes(void **state)
{
    (void)state;
    serve("app = { type = 'A', plain = 'p' }\n"
          "function app:get(...) if select('#', ...) > 0 then self._v = string.upper((...)) end return self._v end\n"
          "session:createAppVariable(app)\n");
    struct page *page = connect_page(0);
    receive(page, CALM(CREATE(2, 1, PATH("plain")) "," CREATE(3, 1, PATH("get()")) "," CREATE(4, 1, PATH("captain.name")) "," CREATE(5, 1, PATH("plain") ",\"access\":\"r\"")));
    fire_flush();
    forget_frames(page);
    say(page, VALUE(2, "\"q\""), VALUE(5, "\"q\"")); /* no echo to 2 */
    say(page, VALUE(3, "\"loud\""), VALUE(3, "\"LOUD\"")); /* normalised by Lua: the difference is reported */
    receive(page, VALUE(4, "\"Nemo\""));
    fire_flush();
    assert_true(ls_has_prefix(ls_buf_text(&page->frames), "[" VALUE(4, "null") ",{\"type\":\"error\",\"data\":{\"varId\":4,\"code\":\"path-failure\""));
    forget_frames(page);
    receive(page, VALUE(5, "\"z\""));
    fire_flush();
    assert_true(ls_has_prefix(ls_buf_text(&page->frames), "[" VALUE(5, "\"q\"") ",{\"type\":\"error\",\"data\":{\"varId\":5,\"code\":\"bad-access\""));
}

/* The page keeps its mark: an update that the same batch causes must not come behind the error (P89). */
static void P89_the_mark_survives_the_echo_of_a_property(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    receive(page, CALM(CREATE(8, 1, PATH("captain.name"))));
    fire_flush();
    forget_frames(page);
    receive(page, BOTH(8, "\"Nemo\"", "\"tone\":\"1\""));
    fire_flush();
    assert_true(ls_has_prefix(ls_buf_text(&page->frames), "[" VALUE(8, "null") "," PROPS(8, "\"tone\":\"1\"") ",{\"type\":\"error\",\"data\":{\"varId\":8,"));
}

static void P90_an_action_runs_every_time(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    for (int i = 0; i < 3; i++)
        receive(page, USER(VALUE(5, "null") "," VALUE(5, "null")));
    run_lua("assert(#app.boats == 7)");
    receive(page, CALM(CREATE(8, 1, PATH("boom()") ",\"access\":\"action\"")));
    fire_flush();
    forget_frames(page);
    receive(page, USER(VALUE(8, "null")));
    assert_true(ls_has_prefix(ls_buf_text(&page->frames), "{\"type\":\"error\",\"data\":{\"varId\":8,\"code\":\"lua-error\""));
}

static void P91_variable_1_cannot_be_written(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    receive(page, VALUE(1, "5"));
    fire_flush();
    assert_true(ls_has_prefix(ls_buf_text(&page->frames), "[" VALUE(1, "{\"obj\":2}") ",{\"type\":\"error\",\"data\":{\"varId\":1,\"code\":\"bad-access\""));
    run_lua("assert(session:getApp() == app)");
}

static void P91a_L139_the_lua_property(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    site_file("lua/helpers.lua", "app.name = app.name .. '!'");
    say(page, "{\"type\":\"update\",\"id\":1,\"properties\":{\"lua\":\"app.name = 'ahoy'\"}}", VALUE(2, "\"ahoy\""));
    say(page, "{\"type\":\"update\",\"data\":{\"varId\":1,\"properties\":{\"lua\":\"helpers.lua\"}}}", VALUE(2, "\"ahoy!\""));
    say(page, PROPS(1, "\"lua:high\":\"app.name = app.name .. '?'\",\"a\":\"1\""), "[" PROPS(1, "\"a\":\"1\"") "," VALUE(2, "\"ahoy!?\"") "]");
    say(page, PROPS(1, "\"lua:high\":\"app.name = app.name .. '?'\",\"a\":\"1\""), VALUE(2, "\"ahoy!??\"")); /* equal text runs again */
    /* of one name given twice the last one counts, and runs once */
    say(page, PROPS(1, "\"lua\":\"app.name = app.name .. 1\",\"lua:low\":\"app.name = app.name .. 2\""), VALUE(2, "\"ahoy!??2\""));
    receive(page, PROPS(1, "\"lua\":\"error('no')\""));
    fire_flush();
    assert_true(ls_has_prefix(ls_buf_text(&page->frames), "{\"type\":\"error\",\"data\":{\"varId\":1,\"code\":\"lua-error\""));
    forget_frames(page);
    say(page, PROPS(2, "\"lua\":\"app.name = 'no'\""), PROPS(2, "\"lua\":\"app.name = 'no'\"")); /* plain data elsewhere */
}

static void L140_the_lua_property_where_it_is_not_allowed(void **state)
{
    (void)state;
    t.rights.lua = false;
    struct page *page = harbor_page();
    receive(page, PROPS(1, "\"lua\":\"app.name = 'no'\",\"a\":\"1\""));
    fire_flush();
    assert_non_null(strstr(ls_buf_text(&page->frames), "\"varId\":1,\"code\":\"unauthorized\""));
    assert_non_null(strstr(ls_buf_text(&page->frames), PROPS(1, "\"a\":\"1\""))); /* the rest of the message counts */
    run_lua("assert(app.name == 'North')");
}

/* --- inactive --- */

static void P92_P95_inactive(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    receive(page, CALM(CREATE(6, 3, PATH("0")) "," CREATE(7, 6, PATH("name"))));
    fire_flush();
    forget_frames(page);
    say(page, PROPS(3, "\"inactive\":\"1\""), "");
    say(page, VALUE(7, "\"ignored\""), ""); /* P93 */
    run_lua("assert(app.boats[1].name == 'Gull') app.boats[1].name = 'Tern' app.name = 'East'");
    expect_frames(page, VALUE(2, "\"East\"") "\n"); /* others go on */
    say(page, PROPS(7, "\"tone\":\"2\""), "");
    run_lua("app.boats[2] = { type = 'Boat' }");
    expect_frames(page, "");
    say(page, PROPS(3, "\"inactive\":\"\""), "[" BOTH(3, "[{\"obj\":3},{\"obj\":4}]", "\"inactive\":\"\"") "," BOTH(7, "\"Tern\"", "\"tone\":\"2\"") "]"); /* P94 */
    say(page, VALUE(7, "\"heard\""), "");
    run_lua("assert(app.boats[1].name == 'heard')");
}

static void P95_what_is_as_it_was_sent_is_not_sent(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    say(page, PROPS(2, "\"inactive\":\"1\""), "");
    run_lua("app.name = 'West'");
    run_lua("app.name = 'North'");
    say(page, PROPS(2, "\"inactive\":\"\""), PROPS(2, "\"inactive\":\"\""));
}

static void P94_inactive_in_create_counts(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    say(page, CREATE(8, 1, PATH("name") ",\"inactive\":\"1\""), "");
    say(page, VALUE(8, "\"x\""), "");
    run_lua("assert(app.name == 'North')");
    say(page, BOTH(8, "\"South\"", "\"inactive\":\"\""), "[" VALUE(2, "\"South\"") "," BOTH(8, "\"South\"", "\"inactive\":\"\"") "]");
}

/* --- destroy --- */

static void P96_P97_destroy(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    receive(page, CALM(CREATE(6, 3, PATH("0")) "," CREATE(7, 6, PATH("name")) "," CREATE(8, 6, PATH("name"))));
    fire_flush();
    forget_frames(page);
    receive(page, DESTROY(3));
    fire_flush();
    assert_int_equal(page->count, 1);
    const char *text = ls_buf_text(&page->frames);
    assert_true(strstr(text, DESTROY(7)) < strstr(text, DESTROY(6)) && strstr(text, DESTROY(8)) < strstr(text, DESTROY(6)) && strstr(text, DESTROY(6)) < strstr(text, DESTROY(3)));
    forget_frames(page);
    say(page, DESTROY(3), "");
    receive(page, DESTROY(1));
    fire_flush();
    assert_true(ls_has_prefix(ls_buf_text(&page->frames), "{\"type\":\"error\",\"data\":{\"varId\":1,\"code\":\"bad-access\""));
}

static void P97_a_destroyed_id_may_be_created_again_in_the_same_batch(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    say(page, CALM(DESTROY(2) "," CREATE(2, 1, PATH("boats.0.name"))), "[" DESTROY(2) "," VALUE(2, "\"Gull\"") "]");
    receive(page, CALM(VALUE(4, "\"x\"") "," PROPS(2, "\"a\":\"b\"")));
    receive(page, CALM(DESTROY(2))); /* the update waits, the notice too */
    receive(page, CALM(CREATE(2, 1, PATH("name"))));
    fire_flush();
    expect_frames(page, "[" PROPS(2, "\"a\":\"b\"") "," DESTROY(2) "," VALUE(2, "\"x\"") "]\n");
    /* One life after the other, in the order of the page. */
    say(page, CALM(DESTROY(2) "," CREATE(2, 1, PATH("boats.0.name")) "," DESTROY(2) "," CREATE(2, 1, PATH("name"))), "[" DESTROY(2) "," DESTROY(2) "," VALUE(2, "\"x\"") "]");
    say(page, CALM(CREATE(9, 1, PATH("name")) "," DESTROY(9) "," CREATE(9, 1, PATH("boats.0.name")) "," DESTROY(9)), "[" DESTROY(9) "," DESTROY(9) "]");
}

/* What a batch has noted of the old life (the answer to a watch, a refused write) is not taken for the new one's. */
static void P97_notes_of_the_old_life_end_with_it(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    say(page, CALM(WATCH(2) "," DESTROY(2) "," CREATE(2, 1, PATH("boats.0.name") ",\"label\":\"l\"")), "[" DESTROY(2) "," VALUE(2, "\"Gull\"") "]");
    say(page, CALM(VALUE(2, "{\"obj\":999}") "," DESTROY(2) "," CREATE(2, 1, PATH("name"))),
        "[" VALUE(2, "\"Gull\"") "," ERROR(2, "not-found", "there is no object 999") "," DESTROY(2) "," VALUE(2, "\"North\"") "]");
    say(page, CALM(VALUE(2, "{\"obj\":999}") "," DESTROY(2) "," CREATE(2, 1, PATH("name")) "," VALUE(2, "\"East\"")),
        "[" VALUE(2, "\"North\"") "," ERROR(2, "not-found", "there is no object 999") "," DESTROY(2) "," VALUE(2, "\"East\"") "]");
    /* Inactivity, too, was the old one's. */
    say(page, CALM(PROPS(2, "\"inactive\":\"1\"") "," DESTROY(2) "," CREATE(2, 1, PATH("name"))), "[" DESTROY(2) "," VALUE(2, "\"East\"") "]");
    say(page, CALM(VALUE(4, "\"West\"")), VALUE(2, "\"West\""));
}

static void P105_create_and_destroy_of_100000_in_one_frame(void **state)
{
    (void)state;
    ls_budget_init(&t.budget, 256 << 20); /* the frame alone takes 80 MB */
    struct page *page = harbor_page();
    struct ls_buf frame = LS_BUF_INIT;
    const int count = 100000;
    ls_buf_str(&frame, "[");
    for (int i = 0; i < count; i++)
        ls_buf_printf(&frame, "%s{\"type\":\"create\",\"data\":{\"id\":%d,\"parentId\":1,\"properties\":{\"path\":\"name\"}}}", i ? "," : "", 10 + i);
    for (int i = 0; i < count; i++)
        ls_buf_printf(&frame, ",{\"type\":\"destroy\",\"data\":{\"varId\":%d}}", 10 + i);
    ls_buf_str(&frame, "]");
    size_t before = ls_tracker_count(ls_backend_tracker(t.backend));
    receive(page, frame.data);
    fire_flush();
    assert_int_equal(ls_tracker_count(ls_backend_tracker(t.backend)), before);
    assert_int_equal(page->count, 1);
    size_t notices = 0;
    /* Not by strstr: the address sanitizer's looks for the end of the text at each call, for minutes. */
    for (const char *at = ls_buf_text(&page->frames); (at = strchr(at, '"')); at++)
        notices += strncmp(at, "\"destroy\"", 9) == 0;
    assert_int_equal(notices, count);
    assert_null(strstr(ls_buf_text(&page->frames), "\"update\""));
    ls_buf_release(&frame);
}

/* What the variables of a page used is given back when it has left; those of others stay, between them and behind them. */
static void P111_a_page_that_leaves_gives_back_what_it_used(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    const int count = 3000;
    for (int round = 0; round < 3; round++) {
        struct page *other = connect_page(1);
        struct ls_buf frame = LS_BUF_INIT;
        ls_buf_str(&frame, "[" WATCH(1));
        for (int i = 0; i < count; i++)
            ls_buf_printf(&frame, ",{\"type\":\"create\",\"data\":{\"id\":%d,\"parentId\":1,\"properties\":{\"path\":\"name\"}}}", 10 + i);
        ls_buf_str(&frame, "]");
        receive(other, frame.data);
        fire_flush();
        ls_buf_release(&frame);
        size_t before = ls_tracker_count(ls_backend_tracker(t.backend));
        leave(1, false);
        assert_int_equal(ls_tracker_count(ls_backend_tracker(t.backend)), before - (size_t)count);
        fire_flush();
        forget_frames(page);
        receive(page, CALM(VALUE(2, "\"East\"") "," CREATE(50, 1, PATH("name"))));
        fire_flush();
        assert_non_null(strstr(ls_buf_text(&page->frames), VALUE(50, "\"East\"")));
        forget_frames(page);
        say(page, CALM(DESTROY(50)), DESTROY(50));
    }
}

/* --- errors --- */

static void P101_an_error_clears_with_the_next_success(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    receive(page, CALM(CREATE(8, 1, PATH("captain.name")) "," CREATE(9, 1, PATH("captain.name") ",\"access\":\"w\"") ","
                           CREATE(10, 1, PATH("captain.go()") ",\"access\":\"action\"")));
    fire_flush();
    forget_frames(page);
    receive(page, USER(VALUE(8, "\"Nemo\"") "," VALUE(9, "1") "," VALUE(10, "null")));
    assert_non_null(strstr(ls_buf_text(&page->frames), "\"varId\":10,\"code\":\"path-failure\""));
    forget_frames(page);
    run_lua("app.captain = { type = 'Captain', go = function() end }"); /* the name still reads as null: nothing to send */
    expect_frames(page, "");
    /* The values are what the page shows: without the clearing updates the marks would stay for ever. */
    receive(page, USER(VALUE(8, "\"Nemo\"") "," VALUE(9, "\"Nemo\"") "," VALUE(10, "null")));
    expect_frames(page, "[" VALUE(8, "\"Nemo\"") "," VALUE(9, "null") "," VALUE(10, "null") "]\n");
    receive(page, USER(VALUE(8, "\"Nemo\"") "," VALUE(10, "null")));
    expect_frames(page, "");
}

static void P101_a_failed_read_that_recovers_without_a_new_value(void **state)
{
    (void)state;
    serve("bad = false app = { type = 'A' } function app:get() if bad then error('bad') end return 7 end session:createAppVariable(app)\n");
    struct page *page = connect_page(0);
    say(page, CREATE(2, 1, PATH("get()") ",\"access\":\"r\""), VALUE(2, "7"));
    run_lua("bad = true");
    assert_non_null(strstr(ls_buf_text(&page->frames), "\"code\":\"lua-error\""));
    forget_frames(page);
    run_lua("local x = 1");
    expect_frames(page, "");
    run_lua("bad = false");
    expect_frames(page, VALUE(2, "7") "\n");
}

static void P102_errors_of_pages_are_not_answered(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    say(page, "{\"type\":\"error\",\"data\":{\"varId\":3,\"code\":\"odd\",\"description\":\"x\"}}", "");
    say(page, "{\"type\":\"error\"}", "");
}

static void P103_each_failed_write_has_its_own_error(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    say(page, "[" VALUE(99, "1") "," VALUE(99, "1") "]", "[" ERROR(99, "not-found", "no variable 99") "," ERROR(99, "not-found", "no variable 99") "]");
}

static void Q2_the_limit_of_variables_is_named(void **state)
{
    (void)state;
    t.config.max_variables = 6;
    struct page *page = harbor_page();
    receive(page, CALM(CREATE(8, 1, PATH("name")) "," CREATE(9, 1, PATH("name"))));
    fire_flush();
    assert_non_null(strstr(ls_buf_text(&page->frames), "\"varId\":9,\"code\":\"internal\""));
    assert_non_null(strstr(ls_buf_text(&page->frames), "--max-variables"));
    assert_non_null(strstr(ls_buf_text(&page->frames), VALUE(8, "\"North\"")));
}

/* --- get, getObjects --- */

static void P116_get(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    say(page, "{\"type\":\"get\",\"data\":{\"varIds\":[2,99,1]}}",
        "[" ERROR(99, "not-found", "no variable 99") ",{\"type\":\"get\",\"data\":{\"variables\":[{\"id\":2,\"value\":\"North\",\"properties\":{\"path\":\"name\"}},"
        "{\"id\":1,\"value\":{\"obj\":2},\"properties\":{\"type\":\"Harbor\"}}]}}]");
}

static void P117_get_objects(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    say(page, "{\"type\":\"getObjects\",\"objIds\":[3,77]}",
        "[{\"type\":\"error\",\"data\":{\"code\":\"not-found\",\"description\":\"no object 77\"}},"
        "{\"type\":\"getObjects\",\"data\":{\"objects\":[{\"obj\":3,\"value\":{\"name\":\"Gull\",\"type\":\"Boat\"}}]}}]");
}

/* --- callbacks --- */

static void L70_L71_callbacks_join_the_batch(void **state)
{
    (void)state;
    struct page *page = harbor_page();
    run_lua("session:watchProperty(1, 'tone', function(v) app.name = 'tone ' .. tostring(v) end)");
    receive(page, USER(PROPS(1, "\"tone\":\"blue\"")));
    expect_frames(page, "[" PROPS(1, "\"tone\":\"blue\"") "," VALUE(2, "\"tone blue\"") "]\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define LS_T(name) cmocka_unit_test_setup_teardown(name, site_set_up, site_tear_down)
        LS_T(section_18_bootstrapping), LS_T(section_18_actions_an_error_and_a_destroy), LS_T(P52_a_failing_message_does_not_stop_the_batch),
        LS_T(P53_detection_runs_after_empty_and_failed_batches), LS_T(P54_H71_without_a_connection_changes_wait), LS_T(P62_P63_the_timer_and_user_events),
        LS_T(P64_errors_and_notices_arm_the_timer), LS_T(P59_P60_P61_order), LS_T(P71_P74_tallies), LS_T(P72_watch_of_null_answers),
        LS_T(P73_watch_of_an_unknown_id_leaves_no_tally), LS_T(P75_unwatching_a_parent_does_not_freeze_its_children),
        LS_T(P78_P80_refused_creates_leave_nothing), LS_T(P82_what_a_create_sends), LS_T(P83_P103_an_unreadable_path_is_an_error_once),
        LS_T(P85_create_and_watch_in_one_batch_is_one_value), LS_T(P88_properties_are_echoed_when_they_change), LS_T(P55_P89_writes),
        LS_T(P89_the_mark_survives_the_echo_of_a_property), LS_T(P90_an_action_runs_every_time), LS_T(P91_variable_1_cannot_be_written),
        LS_T(P91a_L139_the_lua_property), LS_T(L140_the_lua_property_where_it_is_not_allowed), LS_T(P92_P95_inactive),
        LS_T(P95_what_is_as_it_was_sent_is_not_sent), LS_T(P94_inactive_in_create_counts), LS_T(P96_P97_destroy),
        LS_T(P97_a_destroyed_id_may_be_created_again_in_the_same_batch), LS_T(P97_notes_of_the_old_life_end_with_it), LS_T(P105_create_and_destroy_of_100000_in_one_frame),
        LS_T(P111_a_page_that_leaves_gives_back_what_it_used),
        LS_T(P101_an_error_clears_with_the_next_success), LS_T(P101_a_failed_read_that_recovers_without_a_new_value),
        LS_T(P102_errors_of_pages_are_not_answered), LS_T(P103_each_failed_write_has_its_own_error), LS_T(Q2_the_limit_of_variables_is_named),
        LS_T(P116_get), LS_T(P117_get_objects), LS_T(L70_L71_callbacks_join_the_batch),
#undef LS_T
    };
    return cmocka_run_group_tests_name("backend", tests, NULL, NULL);
}
