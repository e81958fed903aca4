/* Unit tests of lib/backend: what pages are told of a save that has replaced something (H49), and that it is over with a
 * restart, as the failures of saves are (H69, H99). */
/* Messages are put together from macros, which clang-format takes for calls. */
/* clang-format off */
#include "backend_site.h"

#include "backend/backend_internal.h"

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

/* A save that has run, and what it is said to have replaced. */
static void save_with_losses(const char *key, const char *lines)
{
    struct ls_reload_result result = {.key = (char *)key, .outcome = LS_RELOAD_OK, .losses = (char *)lines};
    struct ls_reload_report report = {.results = &result, .count = 1, .ran = true};
    ls__begin(t.backend);
    ls__set_reload_losses(t.backend, &report);
    ls_backend_after_batch(t.backend, true);
}

static void H49_pages_hear_what_gave_way_to_an_edit(void **state)
{
    (void)state;
    serve(harbor);
    struct page *page = connect_page(0);
    receive(page, WATCH(1));
    fire_flush();
    forget_frames(page);
    save_with_losses("lua/a.lua", NULL);
    expect_frames(page, ""); /* who has lost nothing does not hear of the property */
    save_with_losses("lua/a.lua", "3 rows of \"items\" gave way\n\"limit\" gave way\n");
    const char *text = ls_buf_text(&page->frames);
    assert_int_equal(page->count, 1);
    assert_non_null(strstr(text, "\"reload-losses\":\"[{"));
    assert_non_null(strstr(text, "{\\\"key\\\":\\\"lua/a.lua\\\",\\\"text\\\":\\\"3 rows of "));
    assert_non_null(strstr(text, "},{\\\"key\\\":\\\"lua/a.lua\\\",\\\"text\\\":\\\"\\\\\\\"limit"));
    forget_frames(page);
    /* the same again is news: its time is another one */
    save_with_losses("lua/a.lua", "3 rows of \"items\" gave way\n\"limit\" gave way");
    assert_int_equal(page->count, 1);
    assert_true(t.backend->losses.count == 2 && t.backend->losses.items[0].time_ms == t.backend->losses.items[1].time_ms);
    int64_t first_ms = t.backend->losses.items[0].time_ms;
    /* that of other files stays, with the older time, also for a page that comes now */
    save_with_losses("lua/b.lua", "5 rows gave way");
    assert_true(t.backend->losses.count == 3 && t.backend->losses.items[2].time_ms > first_ms);
    struct page *late = connect_page(1);
    receive(late, WATCH(1));
    fire_flush();
    assert_non_null(strstr(ls_buf_text(&late->frames), "5 rows gave way"));
    assert_non_null(strstr(ls_buf_text(&late->frames), "3 rows of"));
    /* a file that runs again has lost what it has lost this time */
    save_with_losses("lua/a.lua", NULL);
    assert_int_equal(t.backend->losses.count, 1);
    forget_frames(page);
    save_with_losses("lua/b.lua", NULL);
    expect_frames(page, PROPS(1, "\"reload-losses\":\"\"") "\n");
    save_with_losses("lua/b.lua", "5 rows gave way");
    forget_frames(page);
    assert_int_equal(ls_backend_restart(t.backend, &t.err), 0); /* all is new */
    assert_int_equal(t.backend->losses.count, 0);
    assert_null(strstr(ls_buf_text(&page->frames), "gave way"));
    assert_non_null(strstr(ls_buf_text(&page->frames), "\"reload-losses\":\"\""));
}

/* However much it is, and whatever is in it. */
static void H49_losses_are_told_in_little_room(void **state)
{
    (void)state;
    serve(harbor);
    struct page *page = connect_page(0);
    receive(page, WATCH(1));
    fire_flush();
    struct ls_buf lines = LS_BUF_INIT;
    for (int i = 0; i < 1000; i++) {
        ls_buf_printf(&lines, "%d: ", i);
        for (int k = 0; k < 100; k++)
            ls_buf_str(&lines, i % 2 ? "\xc3\xa9\x01" : "abcdef");
        ls_buf_char(&lines, '\n');
    }
    for (int i = 0; i < 30; i++) {
        char key[600];
        snprintf(key, sizeof key, "lua/%0*d.lua", 20 * i, i);
        forget_frames(page);
        save_with_losses(key, ls_buf_text(&lines));
        assert_int_equal(page->count, 1);
        assert_true(page->frames.len < 8000);
        assert_non_null(strstr(ls_buf_text(&page->frames), "999: "));
        assert_null(strstr(ls_buf_text(&page->frames), "\xef\xbf\xbd")); /* no half characters */
    }
    ls_buf_release(&lines);
}

/* What the page was told of files before is over. */
static void H69_H99_restart_after_a_failed_save(void **state)
{
    (void)state;
    serve(harbor);
    struct page *page = connect_page(0);
    receive(page, WATCH(1));
    fire_flush();
    reload_main("local A = = 3\n");
    forget_frames(page);
    site_file("lua/main.lua", harbor);
    assert_int_equal(ls_backend_restart(t.backend, &t.err), 0);
    assert_non_null(strstr(ls_buf_text(&page->frames), "\"reload-error\":\"\""));
    forget_frames(page);
    assert_int_equal(ls_backend_restart(t.backend, &t.err), 0);
    assert_null(strstr(ls_buf_text(&page->frames), "reload-error")); /* once is enough */
}

int main(void)
{
#define LS_T(name) cmocka_unit_test_setup_teardown(name, site_set_up, site_tear_down)
    const struct CMUnitTest tests[] = {
        LS_T(H49_pages_hear_what_gave_way_to_an_edit),
        LS_T(H49_losses_are_told_in_little_room),
        LS_T(H69_H99_restart_after_a_failed_save),
#undef LS_T
    };
    return cmocka_run_group_tests_name("backend-saves", tests, NULL, NULL);
}
