/* Unit tests of lib/backend with several pages and what happens around them: id spaces (P115, P56, P57), the end of connections and the grace period
 * (P111 to P114), view definitions (P104 to P110, F132, L52a), reload and its reports (H70 to H77, H99, H100), restart (H69), the listing (P12 to P16),
 * the API (P24, P118, P119), and running out of memory. */
/* Messages are put together from macros, which clang-format takes for calls. */
/* clang-format off */
#include "backend_site.h"

#include "backend/backend_internal.h"
#include "base/alloc.h"
#include "base/json.h"

static void leave_and_expect_nothing(int index)
{
    leave(index, false);
    expect_frames(&t.pages[index], "");
}

/* --- several pages --- */

static void P115_P56_each_page_has_ids_of_its_own(void **state)
{
    (void)state;
    serve(harbor);
    struct page *a = connect_page(0), *b = connect_page(1);
    say(a, CREATE(2, 1, PATH("name")), VALUE(2, "\"North\""));
    say(b, CREATE(2, 1, PATH("boats.0.name")), VALUE(2, "\"Gull\""));
    say(b, CREATE(3, 1, PATH("name")), VALUE(3, "\"North\""));
    say(a, CREATE(3, 1, PATH("boats.0")), BOTH(3, "{\"obj\":3}", "\"type\":\"Boat\""));
    expect_frames(b, "");
    say(a, VALUE(2, "\"South\""), ""); /* no echo to the writer … */
    expect_frames(b, VALUE(3, "\"South\"") "\n"); /* … and the other tab follows */
    say(b, VALUE(2, "\"Tern\""), "");
    say(a, CREATE(4, 3, PATH("name")), VALUE(4, "\"Tern\""));
    say(b, CREATE(9, 4, PATH("x")), "{\"type\":\"error\",\"data\":{\"varId\":9,\"code\":\"bad-parent\",\"description\":\"no variable 4 to be the parent\"}}");
    say(b, VALUE(4, "1"), ERROR(4, "not-found", "no variable 4"));
    say(b, DESTROY(4), "");
    say(b, DESTROY(2), DESTROY(2));
    expect_frames(a, "");
    say(b, CREATE(2, 1, PATH("name")), VALUE(2, "\"South\""));
    run_lua("app.name = 'East'");
    expect_frames(a, VALUE(2, "\"East\"") "\n");
    expect_frames(b, "[" VALUE(3, "\"East\"") "," VALUE(2, "\"East\"") "]\n");
}

static void P55_properties_of_variable_1_reach_all(void **state)
{
    (void)state;
    serve(harbor);
    struct page *a = connect_page(0), *b = connect_page(1);
    say(a, WATCH(1), BOTH(1, "{\"obj\":2}", "\"type\":\"Harbor\""));
    say(b, WATCH(1), BOTH(1, "{\"obj\":2}", "\"type\":\"Harbor\""));
    expect_frames(a, ""); /* the answer to a watch is for the one who asked */
    say(a, PROPS(1, "\"url\":\"/x\""), PROPS(1, "\"url\":\"/x\""));
    expect_frames(b, PROPS(1, "\"url\":\"/x\"") "\n");
    say(b, UNWATCH(1), "");
    say(a, PROPS(1, "\"url\":\"/y\""), PROPS(1, "\"url\":\"/y\""));
    expect_frames(b, "");
}

static void P96_shared_variables_are_known_to_all(void **state)
{
    (void)state;
    serve(harbor);
    run_lua("id = session:createVariable(1, { type = 'Crane' })");
    struct page *a = connect_page(0), *b = connect_page(1);
    say(a, WATCH(-1), BOTH(-1, "{\"obj\":3}", "\"type\":\"Crane\""));
    say(b, CREATE(2, -1, PATH("type")), VALUE(2, "\"Crane\""));
    run_lua("session:destroyVariable(id)");
    expect_frames(a, DESTROY(-1) "\n");
    expect_frames(b, DESTROY(2) "\n");
    say(a, WATCH(-1), ERROR(-1, "not-found", "no variable -1"));
}

static void reload_main(const char *text)
{
    char path[128];
    struct ls_reload_report report;
    snprintf(path, sizeof path, "%s/lua/main.lua", t.root);
    site_file("lua/main.lua", text);
    struct ls_reload_file file = {"lua/main.lua", NULL, path, ls_bytes_new(text, strlen(text)), ls_hash(text, strlen(text))};
    ls_reload_report_init(&report);
    ls_backend_reload(t.backend, &file, 1, &report);
    assert_int_equal(report.count, 1);
    ls_reload_report_release(&report);
    ls_bytes_unref(file.text);
}

static void P57_updates_without_variable_1(void **state)
{
    (void)state;
    serve("other = { type = 'A', n = 1 }\n");
    struct page *page = connect_page(0);
    run_lua("session:createAppVariable(other)");
    say(page, CREATE(2, 1, PATH("n")), VALUE(2, "1")); /* its page has not watched 1 */
    run_lua("other.n = 2");
    expect_frames(page, VALUE(2, "2") "\n");
}

/* Every page begins with a watch of variable 1, and main.lua may make it later (P31). */
static void P31_P71_a_page_waits_for_variable_1(void **state)
{
    (void)state;
    static const char app[] = BOTH(1, "{\"obj\":2}", "\"type\":\"A\"");
    serve("other = { type = 'A', n = 1 }\n");
    struct page *page = connect_page(0), *lost = connect_page(1), *gone = connect_page(2);
    say(page, WATCH(1), ERROR(1, "not-found", "no variable 1"));
    say(page, WATCH(1), ERROR(1, "not-found", "no variable 1")); /* asked again: it waits once */
    say(lost, WATCH(1), ERROR(1, "not-found", "no variable 1"));
    say(gone, "[" WATCH(1) ",{\"type\":\"unwatch\",\"data\":{\"varId\":1}}]", ERROR(1, "not-found", "no variable 1"));
    forget_frames(page);
    leave(1, true);
    run_lua("session:createAppVariable(other)");
    assert_non_null(strstr(ls_buf_text(&page->frames), app));
    expect_frames(gone, "");
    assert_int_equal(ls_var_watchers(ls_tracker_find(ls_backend_tracker(t.backend), 1)), 1);
    struct page *next = connect_page(3); /* it goes on where the lost one stopped (P114) */
    receive(next, "[]");
    receive(next, "{\"type\":\"get\",\"data\":{\"varIds\":[]}}");
    fire_flush();
    assert_non_null(strstr(ls_buf_text(&next->frames), app));
}

/* What came with a first load that failed goes with it, the app object too: it would hold to prototypes that are taken back (L43). */
static void L43_an_app_object_of_a_file_that_failed(void **state)
{
    (void)state;
    static const char text[] = "local A = session:prototype('A', { n = %d })\nfunction A:get() return %d end\n"
                               "if not session:getApp() then session:createAppVariable(A:new()) end\n%s";
    char main[256];
    t.config.session.hot = true;
    t.backend = open_backend();
    assert_non_null(t.backend);
    struct page *page = connect_page(0);
    say(page, WATCH(1), ERROR(1, "not-found", "no variable 1"));
    snprintf(main, sizeof main, text, 1, 1, "error('not yet')");
    reload_main(main);
    assert_null(ls_tracker_find(ls_backend_tracker(t.backend), 1));
    run_lua("assert(session:getApp() == nil)");
    forget_frames(page);
    snprintf(main, sizeof main, text, 2, 2, "");
    reload_main(main);
    forget_frames(page);
    say(page, CREATE(2, 1, PATH("get()") ",\"access\":\"r\""), VALUE(2, "2"));
    snprintf(main, sizeof main, text, 3, 3, "");
    reload_main(main);
    assert_non_null(strstr(ls_buf_text(&page->frames), VALUE(2, "3")));
}

/* --- the end of a connection --- */

static void P111_P112_a_closed_connection_leaves_nothing(void **state)
{
    (void)state;
    serve(harbor);
    run_lua("session:createVariable(1, { type = 'Crane' })");
    struct page *a = connect_page(0);
    connect_page(1);
    size_t before = ls_tracker_count(ls_backend_tracker(t.backend));
    receive(a, CALM(WATCH(1) "," CREATE(2, 1, PATH("boats")) "," CREATE(3, 2, PATH("0")) "," CREATE(4, -1, PATH("type"))));
    receive(&t.pages[1], CREATE(2, 1, PATH("name")));
    leave(0, false);
    assert_int_equal(ls_tracker_count(ls_backend_tracker(t.backend)), before + 1);
    struct page *again = connect_page(2);
    forget_frames(again);
    say(again, CALM(WATCH(1) "," CREATE(2, 1, PATH("name"))),
        "[" BOTH(1, "{\"obj\":2}", "\"type\":\"Harbor\"") "," VALUE(2, "\"North\"") "]");
    expect_frames(a, ""); /* P111: without notices to it, and what waited for it is dropped (P68) */
    forget_frames(&t.pages[1]);
    leave_and_expect_nothing(1);
}

static void P111_tallies_go_with_the_connection(void **state)
{
    (void)state;
    serve(harbor);
    struct page *page = connect_page(0);
    struct ls_tracker *tracker = ls_backend_tracker(t.backend);
    receive(page, CALM(WATCH(1) "," WATCH(1) "," WATCH(1)));
    assert_int_equal(ls_var_watchers(ls_tracker_find(tracker, 1)), 3);
    leave(0, false);
    assert_int_equal(ls_var_watchers(ls_tracker_find(tracker, 1)), 0);
    assert_false(ls_var_active(ls_tracker_find(tracker, 1)));
}

static void P114_a_lost_connection_is_continued(void **state)
{
    (void)state;
    serve(harbor);
    struct page *a = connect_page(0), *other = connect_page(1);
    receive(a, CALM(WATCH(1) "," CREATE(2, 1, PATH("name")) "," CREATE(3, 1, PATH("rename(_)") ",\"access\":\"action\"")));
    receive(other, CREATE(2, 1, PATH("rename(_)") ",\"access\":\"action\""));
    fire_flush();
    leave(0, true);
    assert_true(t.grace_due > 0);
    receive(other, USER(VALUE(2, "\"missed\"")));
    forget_frames(a);
    struct page *b = connect_page(2);
    receive(b, USER(VALUE(3, "\"South\""))); /* no watch of 1: it goes on for the lost one */
    expect_frames(b, VALUE(2, "\"South\"") "\n");
    leave_and_expect_nothing(2);
}

static void P114_what_changed_meanwhile_is_sent(void **state)
{
    (void)state;
    serve(harbor);
    struct page *a = connect_page(0), *other = connect_page(1);
    receive(a, CALM(WATCH(1) "," CREATE(2, 1, PATH("name")) "," CREATE(3, 1, PATH("boats"))));
    receive(other, CREATE(2, 1, PATH("rename(_)") ",\"access\":\"action\""));
    fire_flush();
    leave(0, true);
    receive(other, USER(VALUE(2, "\"missed\"")));
    struct page *b = connect_page(2);
    receive(b, USER());
    expect_frames(b, ""); /* an empty batch decides nothing */
    receive(b, USER(WATCH(3)));
    expect_frames(b, "[" VALUE(2, "\"missed\"") "," BOTH(3, "[{\"obj\":3}]", "\"path\":\"boats\"") "]\n");
}

static void P114_a_fresh_page_adopts_nothing(void **state)
{
    (void)state;
    serve(harbor);
    struct page *a = connect_page(0);
    receive(a, CALM(WATCH(1) "," CREATE(2, 1, PATH("name"))));
    fire_flush();
    leave(0, true);
    struct page *b = connect_page(1);
    say(b, WATCH(1), BOTH(1, "{\"obj\":2}", "\"type\":\"Harbor\""));
    say(b, VALUE(2, "\"x\""), ERROR(2, "not-found", "no variable 2"));
    say(b, CREATE(2, 1, PATH("name")), VALUE(2, "\"North\""));
}

static void P114_two_lost_connections_are_not_mixed_up(void **state)
{
    (void)state;
    serve(harbor);
    for (int i = 0; i < 2; i++) {
        receive(connect_page(i), CALM(WATCH(1) "," CREATE(2, 1, PATH("name"))));
        fire_flush();
    }
    leave(0, true);
    leave(1, true);
    struct page *page = connect_page(2);
    say(page, VALUE(2, "\"x\""), ERROR(2, "not-found", "no variable 2"));
    run_lua("assert(app.name == 'North')");
}

/* The clock is put forward by hand. */
static void P114_time_decides_too(void **state)
{
    (void)state;
    serve(harbor);
    struct page *a = connect_page(0), *other = connect_page(1);
    receive(a, CALM(WATCH(1) "," CREATE(2, 1, PATH("name"))));
    receive(other, CREATE(2, 1, PATH("rename(_)") ",\"access\":\"action\""));
    fire_flush();
    leave(0, true);
    receive(other, USER(VALUE(2, "\"missed\"")));
    struct page *b = connect_page(2);
    ls_backend_grace(t.backend); /* too early: nothing happens, and the timer is armed again */
    expect_frames(b, "");
    assert_true(t.grace_due > 0);
    b->conn->decide_ns = 1;
    ls_backend_grace(t.backend); /* a second without a frame: the connection goes on for the lost one */
    expect_frames(b, VALUE(2, "\"missed\"") "\n");
    leave(2, true);
    size_t before = ls_tracker_count(ls_backend_tracker(t.backend));
    for (struct ls__space *space = t.backend->spaces; space; space = space->next)
        if (!space->conn)
            space->expires_ns = 1;
    t.grace_due = 0; /* it has fired */
    ls_backend_grace(t.backend); /* nobody came */
    assert_int_equal(ls_tracker_count(ls_backend_tracker(t.backend)), before - 1);
    assert_int_equal(t.grace_due, 0);
    struct page *late = connect_page(3);
    say(late, VALUE(2, "\"x\""), ERROR(2, "not-found", "no variable 2"));
}

static void P114_what_was_destroyed_meanwhile_is_told(void **state)
{
    (void)state;
    serve(harbor);
    run_lua("id = session:createVariable(1, { type = 'Crane' })");
    struct page *a = connect_page(0);
    connect_page(1);
    receive(a, CALM(WATCH(1) "," CREATE(2, -1, PATH("type"))));
    fire_flush();
    leave(0, true);
    run_lua("session:destroyVariable(id)");
    struct page *b = connect_page(2);
    say(b, USER(PROPS(1, "\"a\":\"1\"")), "[" DESTROY(2) "," PROPS(1, "\"a\":\"1\"") "]");
}

/* --- view definitions --- */

static void P104_P105_P110_viewdefs(void **state)
{
    (void)state;
    site_file("viewdefs/A.DEFAULT.html", "a");
    serve(harbor);
    struct page *page = connect_page(0);
    say(page, CREATE(2, 1, PATH("name")), VALUE(2, "\"North\"")); /* P107: not watching variable 1 */
    say(page, WATCH(1), "[" PROPS(1, "\"viewdefs\":\"{\\\"A.DEFAULT\\\":\\\"a\\\"}\"") "," BOTH(1, "{\"obj\":2}", "\"type\":\"Harbor\"") "]");
    say(page, WATCH(1), BOTH(1, "{\"obj\":2}", "\"type\":\"Harbor\"")); /* repeated: nothing is due */
    say(page, CALM(UNWATCH(1) "," UNWATCH(1) "," WATCH(1) "," PROPS(1, "\"url:high\":\"/\"")),
        "[" PROPS(1, "\"url\":\"/\",\"viewdefs\":\"{\\\"A.DEFAULT\\\":\\\"a\\\"}\"") "," BOTH(1, "{\"obj\":2}", "\"type\":\"Harbor\"") "]");
    say(page, PROPS(1, "\"viewdefs\":\"{}\""), ""); /* the server's own */
}

static void P106_a_new_type_brings_its_new_files(void **state)
{
    (void)state;
    serve(harbor);
    struct page *page = connect_page(0);
    receive(page, CALM(WATCH(1)));
    fire_flush();
    forget_frames(page);
    site_file("viewdefs/Boat.DEFAULT.html", "b");
    say(page, "[]", "");
    say(page, CREATE(2, 1, PATH("boats.0")), "[" PROPS(1, "\"viewdefs\":\"{\\\"Boat.DEFAULT\\\":\\\"b\\\"}\"") "," BOTH(2, "{\"obj\":3}", "\"type\":\"Boat\"") "]");
}

static void F132_list_views_come_with_the_first_list(void **state)
{
    (void)state;
    serve(harbor);
    struct page *page = connect_page(0);
    receive(page, CALM(WATCH(1)));
    fire_flush();
    assert_null(strstr(ls_buf_text(&page->frames), "viewdefs"));
    forget_frames(page);
    receive(page, CREATE(2, 1, PATH("boats") ",\"wrapper\":\"lua.ViewList\""));
    fire_flush();
    const char *text = ls_buf_text(&page->frames);
    assert_true(ls_has_prefix(text, "[{\"type\":\"update\",\"data\":{\"varId\":1,\"properties\":{\"viewdefs\":\""));
    assert_non_null(strstr(text, "lua.ViewList.list-item"));
    assert_null(strstr(text, "lua.ViewListItem."));
}

static void H74_H75_changed_views_are_pushed(void **state)
{
    (void)state;
    site_file("viewdefs/A.DEFAULT.html", "a");
    t.config.session.hot = true;
    serve(harbor);
    struct page *a = connect_page(0), *b = connect_page(1);
    receive(a, CALM(WATCH(1)));
    fire_flush();
    forget_frames(a);
    char path[128];
    snprintf(path, sizeof path, "%s/A.DEFAULT.html", t.views_dir);
    struct ls_bytes *text = ls_bytes_new("new", 3);
    assert_int_equal(ls_viewdefs_put(t.views, path, text, &t.err), 1);
    ls_bytes_unref(text);
    ls_backend_views_changed(t.backend);
    expect_frames(a, PROPS(1, "\"viewdefs\":\"{\\\"A.DEFAULT\\\":\\\"new\\\"}\"") "\n");
    expect_frames(b, "");
    ls_backend_views_changed(t.backend);
    expect_frames(a, "");
}

static void H78_problems_of_views_are_shown(void **state)
{
    (void)state;
    site_file("viewdefs/A.DEFAULT.html", "a");
    serve(harbor);
    struct page *page = connect_page(0);
    receive(page, CALM(WATCH(1)));
    fire_flush();
    forget_frames(page);
    say(page, "{\"type\":\"error\",\"data\":{\"varId\":1,\"code\":\"bad-viewdef\",\"description\":\"A.DEFAULT: no template element\"}}",
        PROPS(1, "\"reload-error\":\"A.DEFAULT.html: no template element\""));
    char path[128];
    snprintf(path, sizeof path, "%s/A.DEFAULT.html", t.views_dir);
    struct ls_bytes *text = ls_bytes_new("new", 3);
    ls_viewdefs_put(t.views, path, text, &t.err);
    ls_bytes_unref(text);
    ls_backend_views_changed(t.backend);
    expect_frames(page, PROPS(1, "\"reload-error\":\"\",\"viewdefs\":\"{\\\"A.DEFAULT\\\":\\\"new\\\"}\"") "\n");
    ls_backend_view_problem(t.backend, "A.DEFAULT", "the file is empty");
    ls_backend_views_changed(t.backend);
    expect_frames(page, "[{\"type\":\"error\",\"data\":{\"code\":\"bad-viewdef\",\"description\":\"reload A.DEFAULT.html: the file is empty\"}},"
                        PROPS(1, "\"reload-error\":\"A.DEFAULT.html: the file is empty\"") "]\n");
    ls_backend_view_problem(t.backend, "A.DEFAULT", NULL);
    ls_backend_views_changed(t.backend);
    expect_frames(page, PROPS(1, "\"reload-error\":\"\"") "\n");
}

static void L52a_views_of_an_app_go_with_its_last_module(void **state)
{
    (void)state;
    site_file("apps/fleet/app.lua", "Fleet = { type = 'Fleet' }");
    site_file("apps/fleet/viewdefs/Fleet.DEFAULT.html", "f");
    char path[128];
    snprintf(path, sizeof path, "%s/viewdefs/Fleet.DEFAULT.html", t.root);
    assert_int_equal(symlink("../apps/fleet/viewdefs/Fleet.DEFAULT.html", path), 0);
    serve("require('apps.fleet.app') app = { type = 'A' } session:createAppVariable(app)\n");
    struct page *page = connect_page(0);
    receive(page, WATCH(1));
    fire_flush();
    assert_non_null(strstr(ls_buf_text(&page->frames), "Fleet.DEFAULT"));
    forget_frames(page);
    for (int dry = 1; dry >= 0; dry--) {
        struct ls_unload_report report;
        ls_unload_report_init(&report);
        assert_int_equal(ls_backend_unload(t.backend, "apps/fleet", dry, &report, &t.err), 1);
        assert_string_equal(ls_buf_text(&report.viewdefs), "[\"Fleet.DEFAULT\"]");
        ls_unload_report_release(&report);
    }
    struct page *late = connect_page(1);
    say(late, WATCH(1), BOTH(1, "{\"obj\":2}", "\"type\":\"A\""));
    run_lua("require('apps.fleet.app')");
    expect_frames(late, PROPS(1, "\"viewdefs\":\"{\\\"Fleet.DEFAULT\\\":\\\"f\\\"}\"") "\n");
}

/* --- reload and restart --- */

static void H70_H99_H100_reload(void **state)
{
    (void)state;
    static const char first[] = "local A = session:prototype('A', { n = 1 }) function A:get() return 'old' end\n"
                                "if not session:getApp() then app = A:new() session:createAppVariable(app) end\n";
    static const char second[] = "local A = session:prototype('A', { n = 1 }) function A:get() return 'new' end\n"
                                 "if not session:getApp() then app = A:new() session:createAppVariable(app) end\n";
    t.rights.source = true;
    t.config.session.hot = true;
    serve(first);
    struct page *page = connect_page(0);
    receive(page, CALM(WATCH(1) "," CREATE(2, 1, PATH("get()") ",\"access\":\"r\"")));
    fire_flush();
    forget_frames(page);
    reload_main(second);
    expect_frames(page, VALUE(2, "\"new\"") "\n"); /* one frame, at once, without a message from the page */
    reload_main("local A = = 3\n");
    assert_int_equal(page->count, 1);
    const char *text = ls_buf_text(&page->frames);
    assert_non_null(strstr(text, "{\"type\":\"error\",\"data\":{\"code\":\"lua-error\",\"description\":\"reload lua/main.lua: "));
    assert_non_null(strstr(text, "\"reload-error\":\""));
    assert_non_null(strstr(text, "\"reload-detail\":\"[{"));
    assert_null(strstr(text, t.root));
    forget_frames(page);
    struct page *late = connect_page(1);
    receive(late, WATCH(1)); /* a page that comes later sees it too */
    fire_flush();
    assert_non_null(strstr(ls_buf_text(&late->frames), "\"reload-error\":\"lua/main.lua"));
    forget_frames(late);
    t.rights.source = false;
    struct page *stranger = connect_page(2);
    receive(stranger, WATCH(1));
    fire_flush();
    assert_non_null(strstr(ls_buf_text(&stranger->frames), "\"reload-error\":\"lua/main.lua"));
    receive(stranger, "{\"type\":\"get\",\"data\":{\"varIds\":[1]}}");
    fire_flush();
    assert_null(strstr(ls_buf_text(&stranger->frames), "reload-detail")); /* source lines are not for everybody */
    forget_frames(stranger);
    reload_main(second);
    expect_frames(page, PROPS(1, "\"reload-detail\":\"\",\"reload-error\":\"\"") "\n");
    expect_frames(late, PROPS(1, "\"reload-detail\":\"\",\"reload-error\":\"\"") "\n");
    expect_frames(stranger, PROPS(1, "\"reload-error\":\"\"") "\n");
}

/* What a lost page was owed is not given to a page that may see less, nor to it when it may (P114). */
static void H100_excerpts_and_a_page_that_comes_back(void **state)
{
    (void)state;
    static const char main[] = "A = session:prototype('A', { n = 1 })\nif not session:getApp() then app = A:new() session:createAppVariable(app) end\n";
    for (int may = 0; may < 2; may++) {
        t.rights.source = true;
        if (!may)
            serve(main);
        struct page *page = connect_page(may);
        receive(page, CALM(WATCH(1) "," CREATE(2, 1, PATH("n"))));
        fire_flush();
        connect_page(4 + may); /* somebody is always there */
        leave(may, true);
        reload_main("local A = = 3\n");
        t.rights.source = may;
        struct page *next = connect_page(2 + may);
        receive(next, VALUE(2, "5"));
        fire_flush();
        assert_non_null(strstr(ls_buf_text(&next->frames), "\"reload-error\":\"lua/main.lua"));
        assert_int_equal(strstr(ls_buf_text(&next->frames), "reload-detail") != NULL, may);
        reload_main(main);
    }
}

static void H69_restart(void **state)
{
    (void)state;
    serve(harbor);
    struct page *page = connect_page(0), *other = connect_page(1);
    receive(page, CALM(WATCH(1) "," CREATE(2, 1, PATH("name")) "," CREATE(3, 1, PATH("boats")) "," CREATE(4, 3, PATH("0")) "," CREATE(5, 4, PATH("name")) ","
                           CREATE(6, 1, PATH("rename(_)") ",\"access\":\"action\"")));
    receive(other, CREATE(2, 1, PATH("boats.0.name")));
    fire_flush();
    run_lua("app.name = 'South' app.boats[2] = { type = 'Boat' }");
    forget_frames(page);
    forget_frames(other);
    site_file("lua/main.lua", "error('not now')");
    assert_true(ls_backend_restart(t.backend, &t.err) < 0);
    assert_non_null(strstr(ls_err_text(&t.err), "not now"));
    run_lua("assert(app.name == 'South')"); /* as it was */
    expect_frames(page, "");
    site_file("lua/main.lua", harbor);
    assert_int_equal(ls_backend_restart(t.backend, &t.err), 0);
    expect_frames(page, "[" BOTH(1, "{\"obj\":2}", "\"type\":\"Harbor\"") "," VALUE(2, "\"North\"") "," VALUE(3, "[{\"obj\":3}]") "]\n");
    expect_frames(other, "");
    receive(page, USER(VALUE(6, "\"again\"")));
    expect_frames(page, VALUE(2, "\"again\"") "\n");
    say(other, VALUE(2, "\"Tern\""), "");
    expect_frames(page, VALUE(5, "\"Tern\"") "\n");
}

/* What the restart owes to a lost connection must wait for it, and go with it. */
static void H69_P114_restart_while_nobody_is_there(void **state)
{
    (void)state;
    serve("app = { type = 'A', n = 1 } session:createAppVariable(app)\n");
    for (int comes_back = 0; comes_back < 2; comes_back++) {
        struct page *page = connect_page(comes_back);
        receive(page, CALM(WATCH(1) "," CREATE(2, 1, PATH("n"))));
        fire_flush();
        leave(comes_back, true);
        site_file("lua/main.lua", comes_back ? "app = { type = 'A', n = 3 } session:createAppVariable(app)\n"
                                             : "app = { type = 'A', n = 2 } session:createAppVariable(app)\n");
        assert_int_equal(ls_backend_restart(t.backend, &t.err), 0);
        if (!comes_back) {
            t.backend->spaces->expires_ns = 1;
            ls_backend_grace(t.backend);
        }
    }
    struct page *again = connect_page(2);
    receive(again, USER(PROPS(2, "\"a\":\"1\"")));
    assert_non_null(strstr(ls_buf_text(&again->frames), BOTH(2, "3", "\"a\":\"1\"")));
}

static void H69_what_cannot_be_made_again_goes(void **state)
{
    (void)state;
    serve(harbor);
    run_lua("session:createVariable(1, { type = 'Crane', n = 1 })");
    struct page *page = connect_page(0);
    receive(page, CALM(WATCH(1) "," WATCH(-1) "," CREATE(2, -1, PATH("n")) "," CREATE(3, 1, PATH("name"))));
    fire_flush();
    forget_frames(page);
    assert_int_equal(ls_backend_restart(t.backend, &t.err), 0);
    expect_frames(page, "[" DESTROY(-1) "," DESTROY(2) "," BOTH(1, "{\"obj\":2}", "\"type\":\"Harbor\"") "]\n");
    say(page, VALUE(2, "1"), ERROR(2, "not-found", "no variable 2"));
}

static void timers_of_an_engine_that_is_gone_do_not_fire(void **state)
{
    (void)state;
    serve("n = 0 app = { type = 'A' } session:createAppVariable(app) session:setTimeout(function() n = n + 1 end, 0)\n");
    uint64_t old = t.timer;
    assert_int_equal(ls_backend_restart(t.backend, &t.err), 0);
    assert_true(t.timer != old);
    ls_backend_timer(t.backend, old);
    run_lua("assert(n == 0)");
    ls_backend_timer(t.backend, t.timer);
    run_lua("assert(n == 1)");
}

/* --- the listing --- */

static void P12_P13_listing(void **state)
{
    (void)state;
    serve(harbor);
    run_lua("session:createVariable(1, { type = 'Crane' })");
    connect_page(0);
    receive(connect_page(1), CALM(CREATE(2, 1, PATH("name") ",\"elementId\":\"ui-1\",\"access\":\"r\"")));
    receive(&t.pages[0], CALM(CREATE(2, 1, PATH("boats")) "," CREATE(3, 2, PATH("0")) "," CREATE(4, 1, PATH("name.x"))));
    struct ls_buf out = LS_BUF_INIT;
    uint64_t changes;
    assert_int_equal(ls_backend_listing(t.backend, -1, &out, &changes), 0);
    static const struct { int64_t id, parent, depth; const char *has; } rows[] = {
        {1, 0, 0, "\"childIds\":[-1,2000000002,2,4]"}, {-1, 1, 1, "\"type\":\"Crane\",\"goType\":\"Crane\""},
        {2000000002, 1, 1, "\"access\":\"r\",\"changeCount\":1,\"depth\":1,\"elementId\":\"ui-1\",\"conn\":2,\"clientId\":2}"},
        {2, 1, 1, "\"path\":\"boats\",\"value\":[{\"obj\":4}],\"baseValue\":[{\"obj\":4}]"}, {4, 1, 1, "\"error\":\"path-error error: "},
        {3, 2, 2, "\"active\":true"},
    };
    struct ls_json_reader reader;
    ls_json_read(&reader, out.data, out.len);
    assert_int_equal(ls_json_next(&reader), LS_JSON_ARRAY);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *row, *value;
        size_t len, value_len;
        assert_true(ls_json_skip(&reader, ls_json_next(&reader), &row, &len));
        char text[2048];
        snprintf(text, sizeof text, "%.*s", (int)len, row);
        const char *names[] = {"id", "parentId", "depth"};
        const int64_t numbers[] = {rows[i].id, rows[i].parent, rows[i].depth};
        for (int n = 0; n < 3; n++) {
            assert_true(ls_json_member(row, len, names[n], &value, &value_len));
            assert_int_equal(strtoll(value, NULL, 10), numbers[n]);
        }
        if (!strstr(text, rows[i].has))
            fail_msg("row %zu: %s has no %s", i, text, rows[i].has);
    }
    assert_int_equal(ls_json_next(&reader), LS_JSON_ARRAY_END);
    assert_int_equal(changes, ls_tracker_change_count(ls_backend_tracker(t.backend)));
    ls_buf_release(&out);
}

static void P15_diagnostics_of_one_collection(void **state)
{
    (void)state;
    serve("app = { type = 'A' } function app:get() diag(2, 'looked') return 1 end session:createAppVariable(app)\n");
    receive(connect_page(0), CREATE(2, 1, PATH("get()") ",\"access\":\"r\""));
    struct ls_buf out = LS_BUF_INIT;
    uint64_t changes;
    ls_backend_listing(t.backend, 2, &out, &changes);
    assert_non_null(strstr(out.data, "\"diags\":[\"looked\"]"));
    assert_int_equal(ls_tracker_diag_level(ls_backend_tracker(t.backend)), 0);
    ls_buf_clear(&out);
    ls_backend_listing(t.backend, 1, &out, &changes);
    assert_null(strstr(out.data, "diags"));
    ls_buf_release(&out);
}

/* T101, TX24: a listing is no batch of its own, so what the last write came to is seen in it; the next batch wipes it (T80). Text form of T98. */
static void T98_T101_errors_in_the_listing(void **state)
{
    (void)state;
    serve(harbor);
    receive(connect_page(0), CALM(WATCH(1) "," CREATE(2, 1, PATH("captain.name")) "," CREATE(3, 1, PATH("name"))));
    receive(&t.pages[0], CALM(VALUE(3, "{\"obj\":99}")));
    struct ls_buf out = LS_BUF_INIT;
    uint64_t changes;
    for (int i = 0; i < 2; i++) {
        ls_buf_clear(&out);
        assert_int_equal(ls_backend_listing(t.backend, -1, &out, &changes), 0);
        assert_non_null(strstr(out.data, "\"error\":\"bad-reference error: there is no object 99\""));
        assert_non_null(strstr(out.data, "\"error\":\"nil-path error: ")); /* never sent, always listed */
    }
    struct ls_fault fault;
    struct ls_tracker *tracker = ls_backend_tracker(t.backend);
    ls_fault_set(&fault, LS_FAULT_DEFERRED_CODE, "boom");
    ls_var_set_fault(tracker, ls_tracker_find(tracker, 3), &fault);
    ls_buf_clear(&out);
    assert_int_equal(ls_backend_listing(t.backend, -1, &out, &changes), 0);
    assert_non_null(strstr(out.data, "\"error\":\"deferred-code error: boom\""));
    run_lua("");
    ls_buf_clear(&out);
    assert_int_equal(ls_backend_listing(t.backend, -1, &out, &changes), 0);
    assert_null(strstr(out.data, "deferred-code"));
    ls_buf_release(&out);
}

/* What a computation has scheduled runs in its name, in a batch of its own. */
static void T97a_timers_run_in_the_name_of_their_variable(void **state)
{
    (void)state;
    serve("app = { type = 'A', n = 0 } session:createAppVariable(app)\n"
          "function app:get() if self.later then local f = self.later self.later = nil session:setTimeout(f, 1) end return 1 end\n");
    struct ls_tracker *tracker = ls_backend_tracker(t.backend);
    struct page *page = connect_page(0);
    receive(page, CALM(WATCH(1) "," CREATE(2, 1, PATH("get()") ",\"access\":\"r\"")));
    run_lua("function app.later() error('late', 0) end");
    receive(page, UNWATCH(2)); /* so that no reading replaces what the timer leaves */
    uint64_t handle = t.timer;
    assert_true(handle != 0);
    ls_backend_timer(t.backend, handle);
    const struct ls_fault *fault = ls_var_fault(ls_tracker_find(tracker, 2));
    assert_non_null(fault);
    assert_int_equal(fault->kind, LS_FAULT_DEFERRED_CODE);
    assert_string_equal(fault->text, "late");
    run_lua(""); /* it was of that batch */
    assert_null(ls_var_fault(ls_tracker_find(tracker, 2)));

    ls_tracker_set_diag_level(tracker, 1);
    receive(page, WATCH(2));
    run_lua("function app.later() diag(1, 'from later') end");
    receive(page, UNWATCH(2));
    ls_backend_timer(t.backend, t.timer);
    assert_int_equal(ls_var_diag_count(ls_tracker_find(tracker, 2)), 1);
    assert_string_equal(ls_var_diag_at(ls_tracker_find(tracker, 2), 0), "from later");
    assert_int_equal(ls_tracker_computing(tracker), 0);

    receive(page, WATCH(2));
    run_lua("function app.later() app.n = app.n + 1 diag(1, 'nobody') end");
    receive(page, DESTROY(2)); /* destroyed since: it runs all the same, in nobody's name */
    ls_backend_timer(t.backend, t.timer);
    run_lua("assert(app.n == 1)");
}

/* --- the API --- */

static int ready;
static void note_ready(void *ctx) { (void)ctx; ready++; }

static void call_api(struct ls_conn *conn, const char *type, const char *body, int status, const char *answer)
{
    struct ls_buf out = LS_BUF_INIT;
    bool bad_json;
    struct ls_batch *batch = ls_batch_parse(NULL, type, body, strlen(body), 10000, &bad_json);
    assert_int_equal(ls_backend_api(t.backend, conn, batch, &out), status);
    assert_string_equal(ls_buf_text(&out), answer);
    ls_buf_release(&out);
}

static void P24_P25_P118_P119_api(void **state)
{
    (void)state;
    serve(harbor);
    const struct ls_outlet outlet = {.ready = note_ready};
    struct ls_conn *conn = ls_backend_connect(t.backend, &outlet);
    ready = 0;
    call_api(conn, "create", "{\"id\":2,\"parentId\":1,\"properties\":{\"path\":\"name\"}}", 200, "{}");
    assert_int_equal(ready, 1);
    call_api(conn, "poll", "{}", 200, "{\"result\":[" VALUE(2, "\"North\"") "]}");
    call_api(conn, "poll", "{}", 200, "{\"result\":[]}"); /* a drained message is not returned again */
    call_api(conn, "update", "{\"varId\":9,\"value\":1}", 200, "{\"error\":\"no variable 9\"}");
    call_api(conn, "get", "{\"varIds\":[2]}", 200, "{\"result\":{\"variables\":[{\"id\":2,\"value\":\"North\",\"properties\":{\"path\":\"name\"}}]}}");
    call_api(conn, "dance", "{}", 500, "{\"error\":\"unknown message type: dance\"}");
    call_api(conn, "watch", "[]", 200, "{\"error\":\"the frame is not a JSON object or array of messages\"}");
    call_api(conn, "poll", "{}", 200, "{\"result\":[]}");
    struct page *page = connect_page(0);
    say(page, CREATE(2, 1, PATH("name")), VALUE(2, "\"North\""));
    call_api(conn, "update", "{\"varId\":2,\"value\":\"South\"}", 200, "{}");
    expect_frames(page, VALUE(2, "\"South\"") "\n"); /* P25: a user event */
    ls_backend_disconnect(t.backend, conn, false);
}

/* --- main.lua, the end, memory --- */

static char logged[256];

static void tap(void *ctx, int level, const char *session, const char *text, size_t len)
{
    (void)ctx;
    (void)level;
    (void)session;
    if (len >= 8 && memcmp(text, "disposed", 8) == 0)
        snprintf(logged, sizeof logged, "%.*s", (int)(text[len - 1] == '\n' ? len - 1 : len), text);
}

static void P4_a_failing_main_leaves_nothing(void **state)
{
    (void)state;
    site_file("lua/main.lua", "session:createAppVariable({ type = 'A' }) error('broken')");
    assert_null(open_backend());
    assert_non_null(strstr(ls_err_text(&t.err), "lua/main.lua:1: broken"));
}

/* L7, H68: site code that runs last must find a session that answers, not one that is half gone. */
static void P33_hooks_of_a_session_that_ends(void **state)
{
    (void)state;
    site_file("lua/ends.lua", "session:onDispose(function(again)\n"
                              "  pcall(function() session:createVariable(1, { type = 'Late' }) end)\n"
                              "  pcall(function() session:createAppVariable({ type = 'Late' }) end)\n"
                              "  pcall(function() session:destroyVariable(-1) end)\n"
                              "  pcall(function() local v = session:getVariable(1) if v then v:update({}) v:updateProperties({ a = '1' }) end end)\n"
                              "  pcall(function() held:update({}) held:getValue() held:getProperty('type') end)\n"
                              "  pcall(function() session:registerStandardVariable('@x', 1) end)\n"
                              "  pcall(function() session:watchVariable(1, print) session:setTimeout(print, 1) end)\n"
                              "  print('disposed ' .. tostring(again))\n"
                              "end)\nreturn {}\n");
    serve("require('ends') app = { type = 'A', list = { 1, 2 } } session:createAppVariable(app) session:createVariable(1, { type = 'Crane' })\n"
          "held = session:getVariable(1)\n"
          "W = { new = function(class, v) return { type = 'W', destroy = function()\n"
          "  pcall(function() session:createVariable(1, { type = 'Late' }) session:destroyVariable(-1) end) end } end }\n"
          "ui.registerWrapper('W', W)\n");
    struct page *page = connect_page(0);
    receive(page, CALM(WATCH(1) "," CREATE(2, 1, PATH("list") ",\"wrapper\":\"W\"") "," CREATE(3, 2, PATH("type"))));
    fire_flush();
    assert_non_null(strstr(ls_buf_text(&page->frames), "\"type\":\"W\""));
    logged[0] = '\0';
    ls_log_tap(tap, NULL);
    ls_backend_close(t.backend); /* with the connection still open */
    ls_log_tap(NULL, NULL);
    t.backend = NULL;
    page->conn = NULL;
    assert_string_equal(logged, "disposed false");
}

/* With the n-th allocation failing, a frame either does what it should or says that it could not; nothing leaks and nothing is torn. */
static void survive_failed_allocations(bool watcher)
{
    serve(harbor);
    if (watcher) /* changes take the long way to the page, past a callback (L70) */
        run_lua("session:watchVariable(1, function() app.heard = true end)");
    bool done = false;
    int lost = 0;
    for (long n = 1; !done; n++) {
        struct page *page = connect_page(0);
        static const char frame[] = USER(WATCH(1) "," CREATE(2, 1, PATH("name")) "," CREATE(3, 1, PATH("boats")) "," CREATE(4, 3, PATH("0")) ","
                                         VALUE(2, "\"North\"") "," WATCH(99) "," DESTROY(3));
        struct ls_batch *batch = ls_batch_parse(NULL, NULL, frame, sizeof frame - 1, 10000, NULL);
        assert_non_null(batch);
        ls_alloc_fail_at(n);
        ls_backend_frame(t.backend, page->conn, batch);
        done = ls_alloc_fail_at(0) < n;
        const char *text = ls_buf_text(&page->frames);
        lost += strstr(text, "\"code\":\"internal\"") != NULL;
        if (done) {
            assert_non_null(strstr(text, VALUE(2, "\"North\"")));
            assert_null(strstr(text, "\"code\":\"internal\""));
        }
        leave(0, false);
        forget_frames(page);
        assert_int_equal(ls_tracker_count(ls_backend_tracker(t.backend)), 1);
    }
    assert_true(lost > 0);
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    survive_failed_allocations(false);
}

static void every_failed_allocation_is_survived_with_a_watcher(void **state)
{
    (void)state;
    survive_failed_allocations(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define LS_T(name) cmocka_unit_test_setup_teardown(name, site_set_up, site_tear_down)
        LS_T(P115_P56_each_page_has_ids_of_its_own), LS_T(P55_properties_of_variable_1_reach_all), LS_T(P96_shared_variables_are_known_to_all),
        LS_T(P57_updates_without_variable_1), LS_T(P31_P71_a_page_waits_for_variable_1), LS_T(L43_an_app_object_of_a_file_that_failed),
        LS_T(P111_P112_a_closed_connection_leaves_nothing), LS_T(P111_tallies_go_with_the_connection),
        LS_T(P114_a_lost_connection_is_continued), LS_T(P114_what_changed_meanwhile_is_sent), LS_T(P114_a_fresh_page_adopts_nothing),
        LS_T(P114_two_lost_connections_are_not_mixed_up), LS_T(P114_time_decides_too), LS_T(P114_what_was_destroyed_meanwhile_is_told), LS_T(P104_P105_P110_viewdefs), LS_T(P106_a_new_type_brings_its_new_files),
        LS_T(F132_list_views_come_with_the_first_list), LS_T(H74_H75_changed_views_are_pushed), LS_T(H78_problems_of_views_are_shown),
        LS_T(L52a_views_of_an_app_go_with_its_last_module), LS_T(H70_H99_H100_reload), LS_T(H100_excerpts_and_a_page_that_comes_back),
        LS_T(H69_restart), LS_T(H69_P114_restart_while_nobody_is_there), LS_T(H69_what_cannot_be_made_again_goes),
        LS_T(timers_of_an_engine_that_is_gone_do_not_fire), LS_T(P12_P13_listing), LS_T(P15_diagnostics_of_one_collection),
        LS_T(T98_T101_errors_in_the_listing), LS_T(T97a_timers_run_in_the_name_of_their_variable),
        LS_T(P24_P25_P118_P119_api), LS_T(P4_a_failing_main_leaves_nothing), LS_T(P33_hooks_of_a_session_that_ends), LS_T(every_failed_allocation_is_survived),
        LS_T(every_failed_allocation_is_survived_with_a_watcher),
#undef LS_T
    };
    return cmocka_run_group_tests_name("backend-pages", tests, NULL, NULL);
}
