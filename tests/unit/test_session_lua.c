/* Runs the suites of tests/lua inside real sessions: each file on a site and session of its own. */
#include "session_site.h"

#include <glob.h>

static void notify_changes(struct place *place)
{
    for (int pass = 0; pass < 4; pass++) {
        bool called = false;
        const struct ls_change *list;
        int count = ls_tracker_changes(place->tracker, &list);
        struct {
            int64_t id;
            char name[32];
        } told[64];
        size_t n = 0;
        for (int i = 0; i < count; i++) {
            if (list[i].value && n < 64) {
                told[n].id = ls_var_id(list[i].var);
                strcpy(told[n++].name, "value");
            }
            for (size_t k = 0; k < list[i].prop_count && n < 64; k++) {
                told[n].id = ls_var_id(list[i].var);
                snprintf(told[n++].name, sizeof told[0].name, "%s", list[i].props[k]);
            }
        }
        for (size_t i = 0; i < n; i++)
            called = ls_session_notify(place->session, told[i].id, told[i].name) || called;
        if (!called || !ls_tracker_detect_again(place->tracker)) return;
    }
}

/* One step as one item, then what follows an item: timers, detection, callbacks. */
static void run_step(struct place *place, int step)
{
    char code[64];
    snprintf(code, sizeof code, "T.run(%d)", step);
    place_do(place, code);
    for (int i = 0; i < 50 && place_run_timer(place); i++)
        ;
    ls_tracker_begin_batch(place->tracker);
    ls_tracker_detect(place->tracker);
    notify_changes(place);
}

static void run_suite(const char *path)
{
    struct place place;
    LS_ERR(err);
    place_make(&place);
    if (place_open(&place, &err) != 0) fail_msg("%s", ls_err_text(&err));
    char code[512];
    place_do(&place, "dofile('tests/lua/harness.lua')");
    snprintf(code, sizeof code, "T.site = '%s' dofile('%s')", place.root, path);
    place_do(&place, code);
    int steps = atoi(place_show(&place, "#T.steps"));
    assert_true(steps > 0);
    for (int i = 1; i <= steps; i++)
        run_step(&place, i);
    if (strcmp(place_show(&place, "#T.failures"), "0") != 0)
        fail_msg("%s", place_show(&place, "table.concat(T.failures, '\\n')"));
    assert_true(atoi(place_show(&place, "T.checks")) > 0);
    place_remove(&place);
}

static void run_named(void **state)
{
    run_suite(*state);
}

int main(void)
{
    glob_t files;
    assert_int_equal(glob("tests/lua/*.lua", 0, NULL, &files), 0);
    struct CMUnitTest tests[64] = {{0}};
    size_t count = 0;
    for (size_t i = 0; i < files.gl_pathc && count < 64; i++) {
        if (strstr(files.gl_pathv[i], "harness.lua")) continue;
        tests[count++] =
            (struct CMUnitTest){.name = files.gl_pathv[i], .test_func = run_named, .initial_state = files.gl_pathv[i]};
    }
    int failed = _cmocka_run_group_tests("lua suites", tests, count, NULL, NULL);
    globfree(&files);
    return failed;
}
