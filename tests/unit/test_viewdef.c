/* Unit tests of lib/viewdef: loading and keys (P104, H73), what is due to a connection (P105, P107, H76, H82), new
 * files (P106, P108), refused texts (H78), files that go (H79), files of one key (H80), built-in list views (F132),
 * withdrawn apps (L52a). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "viewdef/viewdef.h"

static char root[64];
static struct ls_err err;

static void write_file(const char *rel, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, rel);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int put(struct ls_viewdefs *views, const char *rel, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/viewdefs/%s", root, rel);
    struct ls_bytes *bytes = text ? ls_bytes_new(text, strlen(text)) : NULL;
    int rc = ls_viewdefs_put(views, path, bytes, &err);
    ls_bytes_unref(bytes);
    return rc;
}

static struct ls_viewdefs *open_views(void)
{
    char dir[128];
    snprintf(dir, sizeof dir, "%s/viewdefs", root);
    struct ls_viewdefs *views = ls_viewdefs_open(NULL, dir, NULL, &err);
    assert_non_null(views);
    return views;
}

/* The keys and texts due, as they would be sent. */
static const char *due_types(struct ls_viewdefs *views, struct ls_map *sent, const char *const *types, size_t count)
{
    static struct ls_buf json;
    ls_buf_clear(&json);
    int rc = ls_viewdefs_due(views, sent, types, count, NULL, NULL, &json);
    assert_true(rc >= 0);
    assert_int_equal(rc == 0, json.len == 0);
    return ls_buf_text(&json);
}

static const char *due(struct ls_viewdefs *views, struct ls_map *sent)
{
    return due_types(views, sent, NULL, 0);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(root, "/tmp/lsess-viewdef-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static void P104_P105_all_files_once(void **state)
{
    (void)state;
    write_file("viewdefs/Boat.DEFAULT.html", "<template><b ui-value=\"name\"></b></template>");
    write_file("viewdefs/parts/deep/Fleet.Ship.list-item.html", "<i>\n</i>");
    write_file("viewdefs/.hidden/X.DEFAULT.html", "x");
    write_file("viewdefs/.#Boat.COMPACT.html", "x");
    write_file("viewdefs/Boat.DEFAULT.html~", "x");
    write_file("viewdefs/notes.txt", "x");
    struct ls_viewdefs *views = open_views();
    struct ls_map *sent = ls_map_new(), *other = ls_map_new();
    assert_int_equal(ls_viewdefs_count(views), 2);
    const char *all =
        "{\"Boat.DEFAULT\":\"<template><b ui-value=\\\"name\\\"></b></template>\",\"Fleet.Ship.list-item\":\"<i>\\n</i>\"}";
    assert_string_equal(due(views, sent), all);
    assert_string_equal(due(views, sent), "");
    assert_string_equal(due(views, other), all); /* books are kept per connection */
    ls_viewdefs_sent_clear(sent);
    assert_string_equal(due(views, sent), all);
    ls_map_free(sent, NULL);
    ls_map_free(other, NULL);
    ls_viewdefs_close(views);
}

static void a_missing_folder_is_an_empty_store(void **state)
{
    (void)state;
    struct ls_viewdefs *views = open_views();
    assert_int_equal(ls_viewdefs_count(views), 0);
    ls_viewdefs_close(views);
}

static void H76_content_decides(void **state)
{
    (void)state;
    write_file("viewdefs/A.DEFAULT.html", "one");
    struct ls_viewdefs *views = open_views();
    struct ls_map *sent = ls_map_new();
    due(views, sent);
    uint64_t generation = ls_viewdefs_generation(views), stamp = ls_viewdefs_stamp(views, "A.DEFAULT");
    assert_int_equal(put(views, "A.DEFAULT.html", "one"), 0);
    assert_int_equal(ls_viewdefs_generation(views), generation);
    assert_string_equal(due(views, sent), "");
    assert_int_equal(put(views, "A.DEFAULT.html", "two"), 1);
    assert_true(ls_viewdefs_generation(views) > generation);
    assert_true(ls_viewdefs_stamp(views, "A.DEFAULT") != stamp);
    assert_string_equal(due(views, sent), "{\"A.DEFAULT\":\"two\"}");
    assert_int_equal(put(views, "B.DEFAULT.html", "new"), 1); /* H77 */
    assert_string_equal(due(views, sent), "{\"B.DEFAULT\":\"new\"}");
    assert_int_equal(put(views, "notes.txt", "new"), 0);
    ls_map_free(sent, NULL);
    ls_viewdefs_close(views);
}

static void H78_unusable_texts_are_refused(void **state)
{
    (void)state;
    write_file("viewdefs/A.DEFAULT.html", "one");
    write_file("viewdefs/B.DEFAULT.html", " \n\t ");
    write_file("viewdefs/C.DEFAULT.html", "\xff\xfe");
    struct ls_viewdefs *views = open_views();
    struct ls_map *sent = ls_map_new();
    assert_int_equal(ls_viewdefs_count(views), 1);
    assert_int_equal(put(views, "A.DEFAULT.html", ""), LS_EINVAL);
    assert_non_null(strstr(ls_err_text(&err), "the file is empty"));
    assert_int_equal(put(views, "A.DEFAULT.html", "a\xc3"), LS_EINVAL);
    assert_non_null(strstr(ls_err_text(&err), "UTF-8"));
    assert_null(strstr(ls_err_text(&err), root)); /* H100 */
    assert_string_equal(due(views, sent), "{\"A.DEFAULT\":\"one\"}");
    ls_map_free(sent, NULL);
    ls_viewdefs_close(views);
}

static void H79_deleted_files_are_forgotten(void **state)
{
    (void)state;
    write_file("viewdefs/A.DEFAULT.html", "one");
    struct ls_viewdefs *views = open_views();
    struct ls_map *sent = ls_map_new(), *later = ls_map_new();
    due(views, sent);
    assert_int_equal(put(views, "A.DEFAULT.html", NULL), 0);
    assert_string_equal(due(views, later), "");
    assert_int_equal(put(views, "A.DEFAULT.html", "one"), 1);
    assert_string_equal(due(views, sent), ""); /* it has that text */
    assert_string_equal(due(views, later), "{\"A.DEFAULT\":\"one\"}");
    ls_map_free(sent, NULL);
    ls_map_free(later, NULL);
    ls_viewdefs_close(views);
}

static char logged[1024];

static void tap(void *ctx, int level, const char *session, const char *text, size_t len)
{
    (void)ctx;
    (void)session;
    if (level == 0) snprintf(logged, sizeof logged, "%.*s", (int)len, text);
}

static void H80_first_path_wins(void **state)
{
    (void)state;
    write_file("viewdefs/b/A.DEFAULT.html", "second");
    write_file("viewdefs/a/A.DEFAULT.html", "first");
    ls_log_tap(tap, NULL);
    struct ls_viewdefs *views = open_views();
    ls_log_tap(NULL, NULL);
    assert_non_null(strstr(logged, "a/A.DEFAULT.html"));
    assert_non_null(strstr(logged, "b/A.DEFAULT.html"));
    struct ls_map *sent = ls_map_new();
    assert_int_equal(ls_viewdefs_count(views), 1);
    assert_string_equal(due(views, sent), "{\"A.DEFAULT\":\"first\"}");
    assert_int_equal(put(views, "b/A.DEFAULT.html", "other"), 0); /* the loser's text is nobody's news */
    assert_string_equal(due(views, sent), "");
    assert_int_equal(put(views, "a/A.DEFAULT.html", NULL), 1);
    assert_string_equal(due(views, sent), "{\"A.DEFAULT\":\"other\"}");
    ls_map_free(sent, NULL);
    ls_viewdefs_close(views);
}

static void P106_files_that_appear(void **state)
{
    (void)state;
    write_file("viewdefs/A.DEFAULT.html", "a");
    struct ls_viewdefs *views = open_views();
    struct ls_map *sent = ls_map_new();
    due(views, sent);
    write_file("viewdefs/Ship.COMPACT.html", "c");
    write_file("viewdefs/new/Ship.DEFAULT.html", "d");
    write_file("viewdefs/Shipyard.DEFAULT.html", "y");
    assert_string_equal(due(views, sent), ""); /* nobody has asked the disk */
    assert_int_equal(ls_viewdefs_pick_up(views, "Tug", &err), 0);
    assert_int_equal(ls_viewdefs_pick_up(views, "Ship", &err), 1);
    assert_string_equal(due(views, sent), "{\"Ship.COMPACT\":\"c\",\"Ship.DEFAULT\":\"d\"}");
    assert_int_equal(ls_viewdefs_pick_up(views, "Ship", &err), 0);
    assert_int_equal(ls_viewdefs_pick_up(views, "Shipyard", &err), 1);
    assert_string_equal(due(views, sent), "{\"Shipyard.DEFAULT\":\"y\"}");
    ls_map_free(sent, NULL);
    ls_viewdefs_close(views);
}

static void P106_the_folder_itself_appears(void **state)
{
    (void)state;
    struct ls_viewdefs *views = open_views();
    write_file("viewdefs/A.DEFAULT.html", "a");
    assert_int_equal(ls_viewdefs_pick_up(views, "A", &err), 1);
    assert_int_equal(ls_viewdefs_count(views), 1);
    ls_viewdefs_close(views);
}

static void P108_types_are_literals(void **state)
{
    (void)state;
    struct ls_viewdefs *views = open_views();
    write_file("viewdefs/A.DEFAULT.html", "a");
    write_file("secret.DEFAULT.html", "s");
    static const char *const types[] = {"*", "?", "[A]", "../secret",      "/etc/passwd",
                                        "",  ".", "..",  "A.DEFAULT.html", "A/"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        assert_int_equal(ls_viewdefs_pick_up(views, types[i], &err), 0);
    assert_int_equal(ls_viewdefs_count(views), 0);
    ls_viewdefs_close(views);
}

static void F132_builtin_list_views(void **state)
{
    (void)state;
    static const char *const both[] = {"lua.ViewList", "lua.ViewListItem"};
    write_file("viewdefs/lua.ViewListItem.DEFAULT.html", "mine");
    struct ls_viewdefs *views = open_views();
    struct ls_map *sent = ls_map_new();
    assert_string_equal(due(views, sent), "{\"lua.ViewListItem.DEFAULT\":\"mine\"}"); /* built-in ones: never before */
    const char *json = due_types(views, sent, both, 2);
    assert_non_null(strstr(json, "\"lua.ViewList.list-item\":"));
    assert_non_null(strstr(json, "\"lua.ViewList.DEFAULT\":"));
    assert_null(strstr(json, "lua.ViewListItem."));
    assert_string_equal(due_types(views, sent, both, 2), "");
    ls_map_free(sent, NULL);
    ls_viewdefs_close(views);
}

static bool withhold_all;
static char asked[512];

static bool withheld(void *ctx, const char *real_path)
{
    assert_ptr_equal(ctx, root);
    snprintf(asked, sizeof asked, "%s", real_path);
    return withhold_all;
}

static void L52a_withdrawn_keys_count_as_not_sent(void **state)
{
    (void)state;
    char link[128], target[128];
    write_file("apps/fleet/viewdefs/A.DEFAULT.html", "a");
    write_file("viewdefs/keep", "");
    snprintf(link, sizeof link, "%s/viewdefs/A.DEFAULT.html", root);
    snprintf(target, sizeof target, "%s/apps/fleet/viewdefs/A.DEFAULT.html", root);
    assert_int_equal(symlink("../apps/fleet/viewdefs/A.DEFAULT.html", link), 0);
    struct ls_viewdefs *views = open_views();
    struct ls_map *sent = ls_map_new();
    struct ls_buf json = LS_BUF_INIT;
    withhold_all = false;
    assert_int_equal(ls_viewdefs_due(views, sent, NULL, 0, withheld, root, &json), 1);
    assert_string_equal(asked, target); /* links resolved */
    withhold_all = true;
    assert_int_equal(ls_viewdefs_due(views, sent, NULL, 0, withheld, root, &json), 0);
    withhold_all = false;
    assert_int_equal(ls_viewdefs_due(views, sent, NULL, 0, withheld, root, &json), 1);
    ls_buf_release(&json);
    ls_map_free(sent, NULL);
    ls_viewdefs_close(views);
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    char dir[128];
    write_file("viewdefs/A.DEFAULT.html", "a");
    write_file("viewdefs/sub/A.COMPACT.html", "b");
    write_file("viewdefs/sub/A.WIDE.html", "c");
    snprintf(dir, sizeof dir, "%s/viewdefs", root);
    bool done = false;
    int refused = 0;
    for (long n = 1; !done; n++) {
        struct ls_buf json = LS_BUF_INIT;
        int rc = -1;
        ls_alloc_fail_at(n);
        struct ls_viewdefs *views = ls_viewdefs_open(NULL, dir, NULL, &err);
        struct ls_map *sent = views ? ls_map_new() : NULL;
        if (sent) rc = ls_viewdefs_due(views, sent, NULL, 0, NULL, NULL, &json);
        done = ls_alloc_fail_at(0) < n;
        refused += rc < 0;
        if (done)
            assert_int_equal(rc, 3);
        else if (rc >= 0)
            assert_true(rc <= 3);
        ls_map_free(sent, NULL);
        ls_viewdefs_close(views);
        ls_buf_release(&json);
    }
    assert_true(refused > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define LS_T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        LS_T(P104_P105_all_files_once),
        LS_T(a_missing_folder_is_an_empty_store),
        LS_T(H76_content_decides),
        LS_T(H78_unusable_texts_are_refused),
        LS_T(H79_deleted_files_are_forgotten),
        LS_T(H80_first_path_wins),
        LS_T(P106_files_that_appear),
        LS_T(P106_the_folder_itself_appears),
        LS_T(P108_types_are_literals),
        LS_T(F132_builtin_list_views),
        LS_T(L52a_withdrawn_keys_count_as_not_sent),
        LS_T(every_failed_allocation_is_survived),
#undef LS_T
    };
    return cmocka_run_group_tests_name("viewdef", tests, NULL, NULL);
}
