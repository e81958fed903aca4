/* What a save came to in all sessions together, told once (server/saves.h): figures and losses (H49), in the terminal's
 * line. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/map.h"
#include "server/saves.h"
#include "server/server_internal.h"

/* The reports of one burst, and what was printed of it. */
static struct {
    struct ls_server server;
    struct saves saves;
    struct ls_reload_file files[8];
    struct ls_burst burst;
    char line[2000], losses[4000];
} t;

static void keep_report(void *ctx, const struct ls_save_report *report)
{
    (void)ctx;
    snprintf(t.line, sizeof t.line, "%s  %s%s", report->files, report->outcome, report->more);
    snprintf(t.losses, sizeof t.losses, "%s", report->losses);
}

static int setup(void **state)
{
    (void)state;
    memset(&t, 0, sizeof t);
    pthread_mutex_init(&t.server.reports_lock, NULL);
    t.server.failures = ls_map_new();
    t.server.config.on_report = keep_report;
    t.server.config.reports_shown = true;
    t.burst.files = t.files;
    return t.server.failures ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    ls__saves_release(&t.saves);
    ls_map_free(t.server.failures, NULL);
    pthread_mutex_destroy(&t.server.reports_lock);
    return 0;
}

static void save_of(const char *key)
{
    t.files[t.burst.file_count++] = (struct ls_reload_file){.key = key, .path = key};
}

/* What one session reports of a file. */
static void add(const char *key, struct ls_reload_result result)
{
    struct ls_reload_report report = {.results = &result, .count = 1, .ran = true};
    result.key = (char *)key;
    ls__saves_add(&t.saves, &report);
}

static void tell(const char *line, const char *losses)
{
    ls__saves_tell(&t.server, &t.burst, &t.saves);
    assert_string_equal(t.line, line);
    assert_string_equal(t.losses, losses);
}

static void nothing_about_data(void **state)
{
    (void)state;
    save_of("lua/a.lua");
    add("lua/a.lua", (struct ls_reload_result){0});
    tell("lua/a.lua  1 session", "");
}

static void one_session(void **state)
{
    (void)state;
    save_of("lua/a.lua");
    add("lua/a.lua", (struct ls_reload_result){.details = "A +1 field",
                                               .kept = 3,
                                               .set_aside = 2,
                                               .gave_way = 1,
                                               .losses = "3 run-time rows of \"items\" gave way to your edit\n"});
    tell("lua/a.lua  1 session  A +1 field, data: 3 kept, 2 set aside, 1 gave way",
         "  lua/a.lua: 3 run-time rows of \"items\" gave way to your edit\n");
}

static void several_sessions_are_counted_by_the_one_with_most(void **state)
{
    (void)state;
    save_of("lua/a.lua");
    add("lua/a.lua", (struct ls_reload_result){.kept = 3, .taken = 1, .losses = "x gave way"});
    add("lua/a.lua",
        (struct ls_reload_result){.kept = 1, .taken = 1, .restored = 1, .losses = "x gave way\ny gave way"});
    add("lua/a.lua", (struct ls_reload_result){.kept = 2, .losses = "x gave way"});
    add("lua/a.lua", (struct ls_reload_result){.outcome = LS_RELOAD_SKIPPED, .kept = 9});
    tell("lua/a.lua  3 sessions  data: 3 kept, 1 taken, 1 restored",
         "  lua/a.lua: x gave way, in all sessions\n  lua/a.lua: y gave way, in 1 of 3 sessions\n");
}

static void several_files_have_lines_of_their_own(void **state)
{
    (void)state;
    save_of("lua/a.lua");
    save_of("lua/b.lua");
    save_of("lua/c.lua");
    add("lua/a.lua", (struct ls_reload_result){.kept = 1});
    add("lua/b.lua", (struct ls_reload_result){0});
    add("lua/c.lua", (struct ls_reload_result){.details = "more", .gave_way = 1, .losses = "c gave way"});
    ls__saves_tell(&t.server, &t.burst, &t.saves);
    assert_non_null(strstr(t.line, "\n  lua/a.lua: data: 1 kept\n  lua/c.lua: more, data: 1 gave way"));
    assert_null(strstr(t.line, "\n  lua/b.lua"));
    assert_non_null(strstr(t.losses, "  lua/c.lua: c gave way"));
}

/* A file that was renamed is two: of the old name there is nothing to say but where it is all. */
static void what_is_gone_is_named_alone_only(void **state)
{
    (void)state;
    save_of("lua/old.lua");
    save_of("lua/new.lua");
    tell("lua/old.lua, lua/new.lua  deleted, its code stays", "");
    struct ls_bytes *text = ls_bytes_new("x", 1);
    t.files[1].text = text;
    add("lua/new.lua", (struct ls_reload_result){.outcome = LS_RELOAD_SKIPPED, .text = (char *)"unchanged"});
    t.saves.sessions = 0;
    tell("lua/new.lua  unchanged", "");
    ls_bytes_unref(text);
}

/* A thousand sessions that have lost different things are a few lines. */
static void many_are_a_few_lines(void **state)
{
    (void)state;
    save_of("lua/a.lua");
    for (int i = 0; i < 1000; i++) {
        char text[64];
        snprintf(text, sizeof text, "%d rows gave way\n", i);
        add("lua/a.lua", (struct ls_reload_result){.gave_way = 1, .losses = text});
    }
    ls__saves_tell(&t.server, &t.burst, &t.saves);
    assert_string_equal(t.line, "lua/a.lua  1000 sessions  data: 1 gave way");
    size_t lines = 0;
    for (const char *at = t.losses; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, 6);
    assert_non_null(strstr(t.losses, "  lua/a.lua: 0 rows gave way, in 1 of 1000 sessions\n"));
    assert_non_null(strstr(t.losses, "  and 995 losses more\n"));
}

/* Names in it are the site's: nothing of them reaches the terminal's controls. */
static void control_characters_are_shown(void **state)
{
    (void)state;
    save_of("lua/a.lua");
    add("lua/a.lua", (struct ls_reload_result){.gave_way = 1, .losses = "rows of \"\x1b[2J\" gave way"});
    tell("lua/a.lua  1 session  data: 1 gave way", "  lua/a.lua: rows of \"\\x1b[2J\" gave way\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_about_data, setup, teardown),
        cmocka_unit_test_setup_teardown(one_session, setup, teardown),
        cmocka_unit_test_setup_teardown(several_sessions_are_counted_by_the_one_with_most, setup, teardown),
        cmocka_unit_test_setup_teardown(several_files_have_lines_of_their_own, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_gone_is_named_alone_only, setup, teardown),
        cmocka_unit_test_setup_teardown(many_are_a_few_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(control_characters_are_shown, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
