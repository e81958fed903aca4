/* What is watched, and directories that come and go (hotload.md sections 2, 14, 17). */
#include "hotload_site.h"

static void test_from_the_start(void **state) /* H6: the three trees with sub-directories; H94: in place on return */
{
    (void)state;
    dirs("lua/a/b");
    dirs("apps/x/y");
    dirs("viewdefs/p/q");
    start();
    put("lua/a/b/m.lua", "1");
    put("apps/x/y/m.lua", "2");
    put("viewdefs/p/q/T.D.html", "3");
    expect("apps/x/y/m.lua=2 lua/a/b/m.lua=1 @viewdefs/p/q/T.D.html=3");
}

static void test_missing_trees(void **state) /* H8: directories of H6 that appear later, the root itself included */
{
    (void)state;
    remove_tree(site.root);
    start();
    settle();
    dirs("lua");
    put("lua/a.lua", "1");
    expect("lua/a.lua=1");
    dirs("apps/new/deep");
    put("apps/new/deep/b.lua", "2");
    expect("apps/new/deep/b.lua=2");
    dirs("viewdefs");
    put("viewdefs/T.D.html", "3");
    expect("@viewdefs/T.D.html=3");
}

static void test_new_directory(void **state) /* H9: files that arrived before the watch are found */
{
    (void)state;
    start();
    dirs("../stage/pkg/sub");
    put("../stage/pkg/a.lua", "a");
    put("../stage/pkg/sub/b.lua", "b");
    move("../stage/pkg", "lua/pkg");
    expect("lua/pkg/a.lua=a lua/pkg/sub/b.lua=b");
    put("lua/pkg/sub/b.lua", "c");
    expect("lua/pkg/sub/b.lua=c");
    for (int i = 0; i < 20; i++) {
        char name[64];
        snprintf(name, sizeof name, "lua/quick%d/x/y", i);
        dirs(name);
        snprintf(name, sizeof name, "lua/quick%d/x/y/m.lua", i);
        put(name, "q");
    }
    settle();
    size_t found = 0;
    for (; site.looked < bursts(); site.looked++)
        found += site.bursts[site.looked]->file_count;
    assert_true(found >= 20);
}

static void test_not_descended(void **state) /* H10 */
{
    (void)state;
    dirs("lua/.git/x");
    dirs("apps/node_modules/x");
    start();
    dirs("lua/.cache");
    dirs("lua/node_modules/y");
    put("lua/.git/x/a.lua", "1");
    put("lua/.cache/a.lua", "1");
    put("apps/node_modules/x/a.lua", "1");
    put("lua/node_modules/y/a.lua", "1");
    expect("");
    assert_int_equal(uses_of("lua/.git"), 0);
    assert_int_equal(uses_of("lua/node_modules"), 0);
}

static void test_deleted_and_recreated(
    void **state) /* H13, HX3: also when the new directory gets the inode of the old one */
{
    (void)state;
    dirs("apps/a/sub");
    put("apps/a/sub/m.lua", "0");
    start();
    loaded(1, "apps/a/sub/m.lua", "apps/a/sub/m.lua");
    settle();
    for (int i = 1; i <= 5; i++) {
        char text[16], wanted_text[64];
        snprintf(text, sizeof text, "%d", i);
        remove_tree(at("apps/a"));
        dirs("apps/a/sub");
        put("apps/a/sub/m.lua", text);
        snprintf(wanted_text, sizeof wanted_text, "apps/a/sub/m.lua=%s", text);
        settle();
        assert_non_null(strstr(news(), wanted_text) ? "" : NULL);
        put("apps/a/sub/m.lua", "saved");
        expect("apps/a/sub/m.lua=saved");
    }
}

static void test_gone_then_back(void **state) /* H13: with time between */
{
    (void)state;
    dirs("apps/a");
    put("apps/a/m.lua", "1");
    start();
    loaded(1, "apps/a/m.lua", "apps/a/m.lua");
    settle();
    remove_tree(at("apps"));
    expect("apps/a/m.lua=-");
    dirs("apps/a");
    put("apps/a/m.lua", "2");
    expect("apps/a/m.lua=2");
    put("apps/a/m.lua", "3");
    expect("apps/a/m.lua=3");
}

static void test_renamed_and_back(void **state) /* section 14: directory of loaded files renamed and renamed back */
{
    (void)state;
    dirs("apps/a/in");
    put("apps/a/in/m.lua", "1");
    start();
    loaded(1, "apps/a/in/m.lua", "apps/a/in/m.lua");
    settle();
    move("apps/a", "apps/b");
    assert_non_null(strstr(news(), "apps/b/in/m.lua=1"));
    put("apps/b/in/m.lua", "2");
    assert_non_null(strstr(news(), "apps/b/in/m.lua=2"));
    move("apps/b", "apps/a");
    assert_non_null(strstr(news(), "apps/a/in/m.lua=2"));
    put("apps/a/in/m.lua", "3");
    expect("apps/a/in/m.lua=3");
}

static void test_swapped(
    void **state) /* H13: a whole tree replaced by rename is one burst, and its successor is watched */
{
    (void)state;
    dirs("apps/a");
    put("apps/a/m.lua", "1");
    put("apps/a/n.lua", "1");
    dirs("next/a");
    put("next/a/m.lua", "2");
    put("next/a/n.lua", "2");
    start();
    loaded(1, "apps/a/m.lua", "apps/a/m.lua");
    loaded(1, "apps/a/n.lua", "apps/a/n.lua");
    settle();
    move("apps", "apps.old");
    move("next", "apps");
    expect("apps/a/m.lua=2 apps/a/n.lua=2");
    put("apps/a/m.lua", "3");
    expect("apps/a/m.lua=3");
    put("apps.old/a/m.lua", "unwatched");
    expect("");
}

static void test_root_deleted_and_back(
    void **state) /* H13: the root itself, by deletion and by rename of it and of what it lies in */
{
    (void)state;
    put("lua/m.lua", "1");
    start();
    loaded(1, "lua/m.lua", "lua/m.lua");
    settle();
    remove_tree(site.root);
    expect("lua/m.lua=-");
    dirs("lua");
    put("lua/m.lua", "2");
    expect("lua/m.lua=2");
    move("../site", "../old");
    expect("lua/m.lua=-");
    dirs("lua");
    put("lua/m.lua", "3");
    expect("lua/m.lua=3");
    put("lua/m.lua", "4");
    expect("lua/m.lua=4");
    char aside[80];
    snprintf(aside, sizeof aside, "%s.aside", site.base);
    assert_int_equal(rename(site.base, aside), 0);
    expect("lua/m.lua=-");
    assert_int_equal(rename(aside, site.base), 0);
    assert_non_null(strstr(news(), "lua/m.lua=4"));
    put("lua/m.lua", "5");
    expect("lua/m.lua=5");
}

static void test_loaded_elsewhere(
    void **state) /* H7: a module outside the trees is watched from its loading on; H12: its directory, not the file */
{
    (void)state;
    dirs("other/deep");
    put("other/deep/m.lua", "1");
    start();
    put("other/deep/m.lua", "2");
    expect("");
    loaded(1, "other/deep/m.lua", "other/deep/m.lua");
    expect("other/deep/m.lua=2"); /* it may have changed before the watch was there: the session compares */
    put("other/deep/tmp", "3");
    move("other/deep/tmp", "other/deep/m.lua");
    expect("other/deep/m.lua=3");
    put("other/deep/tmp", "4");
    move("other/deep/tmp", "other/deep/m.lua");
    expect("other/deep/m.lua=4");
}

static void test_wanted(void **state) /* H36: the places that were tried; below directories that do not exist */
{
    (void)state;
    start();
    wanted(1, "late", "lua/late.lua");
    wanted(1, "deep.init", "other/deep/init.lua");
    settle();
    put("lua/late.lua", "1");
    expect("lua/late.lua=1");
    dirs("other/deep");
    put("other/deep/init.lua", "2");
    expect("other/deep/init.lua=2");
    put("other/deep/init.lua", "3");
    expect("other/deep/init.lua=3");
}

static void test_uses_are_shared(void **state) /* H90, H92, H93: state stays as long as another session needs it */
{
    (void)state;
    dirs("other");
    put("other/m.lua", "1");
    start();
    loaded(1, "other/m.lua", "other/m.lua");
    loaded(2, "other/m.lua", "other/m.lua");
    loaded(3, "other/m.lua", "other/m.lua");
    news();
    ls_hotload_unloaded(site.hotload, 1, "other/m.lua");
    put("other/m.lua", "2");
    expect("other/m.lua=2");
    ls_hotload_session_ended(site.hotload, 2);
    put("other/m.lua", "3");
    expect("other/m.lua=3");
    ls_hotload_directory_unloaded(site.hotload, 3, at("other/"));
    settle();
    assert_int_equal(uses_of("other"), 0);
    put("other/m.lua", "4");
    expect("");
    loaded(3, "other/m.lua", "other/m.lua");
    expect("other/m.lua=4");
    ls_hotload_directory_unloaded(site.hotload, 3, "elsewhere");
    put("other/m.lua", "5");
    expect("other/m.lua=5");
    ls_hotload_directory_unloaded(site.hotload, 3, "other");
    ls_hotload_unloaded(site.hotload, 3, "never.loaded");
    ls_hotload_session_ended(site.hotload, 99);
    put("other/m.lua", "6");
    expect("");
}

static void test_ten_thousand_folders(void **state) /* H89: the number of watches grows with directories */
{
    (void)state;
    for (int i = 0; i < 100; i++)
        for (int j = 0; j < 100; j++) {
            char name[64];
            snprintf(name, sizeof name, "lua/d%02d/e%02d", i, j);
            if (j == 0)
                dirs(name);
            else
                assert_int_equal(mkdir(at("%s", name), 0755), 0);
        }
    int64_t begin = ls_now_ns();
    start();
    print_message("[  NOTE  ] 10,100 folders watched in %.0f ms\n", (double)(ls_now_ns() - begin) / 1e6);
    put("lua/d00/e00/a.lua", "a");
    put("lua/d99/e99/b.lua", "b");
    expect("lua/d00/e00/a.lua=a lua/d99/e99/b.lua=b");
    begin = ls_now_ns();
    move("lua", "lua2");
    settle();
    move("lua2", "lua");
    settle();
    print_message("[  NOTE  ] moved away and back in %.0f ms\n", (double)(ls_now_ns() - begin) / 1e6);
    news();
    put("lua/d99/e99/b.lua", "c");
    expect("lua/d99/e99/b.lua=c");
    begin = ls_now_ns();
    stop();
    assert_true(ls_now_ns() - begin < ls_ms(10000)); /* H95 */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, site_setup, site_teardown)
    const struct CMUnitTest tests[] = {
        T(test_from_the_start),        T(test_missing_trees),    T(test_new_directory),    T(test_not_descended),
        T(test_deleted_and_recreated), T(test_gone_then_back),   T(test_renamed_and_back), T(test_swapped),
        T(test_root_deleted_and_back), T(test_loaded_elsewhere), T(test_wanted),           T(test_uses_are_shared),
        T(test_ten_thousand_folders),
    };
    return cmocka_run_group_tests_name("hotload: trees", tests, NULL, NULL);
}
