/* Symlinks (hotload.md section 3, H81). */
#include "hotload_site.h"

static void test_file_link(void **state) /* H14, H16: one change, one key, seen at the target and through the link */
{
    (void)state;
    dirs("../elsewhere");
    put("../elsewhere/app.lua", "1");
    linked("../../elsewhere/app.lua", "lua/app.lua");
    start();
    loaded(1, "../elsewhere/app.lua", "lua/app.lua");
    settle();
    put("../elsewhere/app.lua", "2");
    expect("../elsewhere/app.lua=2");
    put("lua/app.lua", "3");
    expect("../elsewhere/app.lua=3");
    put("../elsewhere/tmp", "4");
    move("../elsewhere/tmp", "../elsewhere/app.lua");
    expect("../elsewhere/app.lua=4");
}

static void test_link_inside(void **state) /* H16: the target is in a tree too: still one reload */
{
    (void)state;
    dirs("apps/fleet");
    put("apps/fleet/app.lua", "1");
    linked("../apps/fleet/app.lua", "lua/fleet.lua");
    start();
    loaded(1, "apps/fleet/app.lua", "lua/fleet.lua");
    settle();
    put("apps/fleet/app.lua", "2");
    expect("apps/fleet/app.lua=2");
}

static void test_directory_link(void **state) /* H14: lua/fleet → ../shared/fleet, with what appears below it */
{
    (void)state;
    dirs("../shared/fleet");
    put("../shared/fleet/a.lua", "1");
    linked("../../shared/fleet", "lua/fleet");
    start();
    put("../shared/fleet/a.lua", "2");
    expect("../shared/fleet/a.lua=2");
    dirs("../shared/fleet/sub");
    put("../shared/fleet/sub/b.lua", "3");
    expect("../shared/fleet/sub/b.lua=3");
    gone("lua/fleet");
    settle();
    put("../shared/fleet/a.lua", "4");
    expect("");
}

static void test_view_links(
    void **state) /* H73, H81: the link's own name counts, whatever the target is called; re-pointed = changed */
{
    (void)state;
    dirs("../theme");
    put("../theme/boat.tpl", "1");
    put("../theme/other.tpl", "other");
    linked("../../theme/boat.tpl", "viewdefs/Boat.D.html");
    linked("../../theme", "viewdefs/theme");
    start();
    put("../theme/boat.tpl", "2");
    expect("@viewdefs/Boat.D.html=2");
    put("../theme/Ship.D.html", "s");
    expect("@viewdefs/theme/Ship.D.html=s");
    linked("../../theme/other.tpl", "viewdefs/tmp");
    move("viewdefs/tmp", "viewdefs/Boat.D.html");
    expect("@viewdefs/Boat.D.html=other");
    put("../theme/boat.tpl", "unused");
    expect("");
    gone("viewdefs/Boat.D.html");
    expect("@viewdefs/Boat.D.html=-");
    gone("viewdefs/theme");
    expect("@viewdefs/theme/Ship.D.html=-");
}

static void test_chain(void **state) /* H14: every intermediate link of a chain */
{
    (void)state;
    dirs("../one");
    dirs("../two");
    put("../two/x.lua", "1");
    put("../two/y.lua", "y");
    linked("../two/x.lua", "../one/x.lua");
    linked("../../one/x.lua", "lua/x.lua");
    start();
    loaded(1, "../two/x.lua", "lua/x.lua");
    settle();
    put("../two/x.lua", "2");
    expect("../two/x.lua=2");
    linked("../two/y.lua", "../one/tmp");
    move("../one/tmp", "../one/x.lua");
    expect("../two/x.lua>../two/y.lua=y");
    put("../two/y.lua", "yy");
    expect("../two/y.lua=yy");
}

static void test_counts(
    void **state) /* H15: two links into one directory count 2, after removal of one 1, still watched */
{
    (void)state;
    dirs("../shared");
    put("../shared/a.lua", "1");
    put("../shared/b.lua", "1");
    linked("../../shared/a.lua", "lua/a.lua");
    start();
    linked("../../shared/b.lua", "lua/b.lua");
    expect("../shared/b.lua=1");
    char shared[160];
    snprintf(shared, sizeof shared, "%s/shared", site.base);
    assert_int_equal(uses_of(shared), 2);
    gone("lua/b.lua");
    settle();
    assert_int_equal(uses_of(shared), 1);
    put("../shared/a.lua", "2");
    expect("../shared/a.lua=2");
    gone("lua/a.lua");
    settle();
    assert_int_equal(uses_of(shared), 0);
    put("../shared/a.lua", "3");
    expect("");
}

static void test_same_directory_spelled_twice(void **state) /* H11: one watch by device and inode */
{
    (void)state;
    dirs("apps/x");
    put("apps/x/a.lua", "1");
    linked("../apps/x", "lua/x");
    linked("../apps/../apps/x", "lua/y");
    start();
    put("apps/x/a.lua", "2");
    expect("apps/x/a.lua=2");
    gone("lua/x");
    settle();
    put("apps/x/a.lua", "3");
    expect("apps/x/a.lua=3");
}

static void test_reachable_twice(
    void **state) /* H15, H80: when the place that had a folder goes, the other one gets it, with its views */
{
    (void)state;
    dirs("../theme");
    put("../theme/T.D.html", "1");
    linked("../../theme", "viewdefs/a");
    linked("../../theme", "viewdefs/b");
    start();
    put("../theme/T.D.html", "2");
    expect("@viewdefs/a/T.D.html=2");
    gone("viewdefs/a");
    expect("@viewdefs/a/T.D.html=- @viewdefs/b/T.D.html=2");
    put("../theme/T.D.html", "3");
    expect("@viewdefs/b/T.D.html=3");
}

static void repoint_by_rename(const char *target, const char *link_path)
{
    linked(target, "lua/.tmp-link");
    move("lua/.tmp-link", link_path);
}

static void test_repointed(
    void **state) /* H17: `ln -sfn` in either of its two ways: new key with the old one beside it */
{
    (void)state;
    put("apps/one.lua", "one");
    put("apps/two.lua", "two");
    linked("../apps/one.lua", "lua/x.lua");
    start();
    loaded(1, "apps/one.lua", "lua/x.lua");
    settle();
    repoint_by_rename("../apps/two.lua", "lua/x.lua");
    expect("apps/one.lua>apps/two.lua=two");
    gone("lua/x.lua");
    linked("../apps/one.lua", "lua/x.lua");
    expect("apps/two.lua>apps/one.lua=one");
    put("apps/one.lua", "one!");
    expect("apps/one.lua=one!");
}

static void test_repointed_directory(void **state) /* H17: a link in the middle of the request path */
{
    (void)state;
    dirs("../v1");
    dirs("../v2");
    put("../v1/m.lua", "1");
    put("../v2/m.lua", "2");
    linked("../../v1", "lua/lib");
    start();
    loaded(1, "../v1/m.lua", "lua/lib/m.lua");
    settle();
    repoint_by_rename("../../v2", "lua/lib");
    const char *text = news();
    assert_string_equal(text, "../v1/m.lua>../v2/m.lua=2");
    put("../v1/m.lua", "unused");
    expect("");
    put("../v2/m.lua", "3");
    expect("../v2/m.lua=3");
}

static void test_two_paths_repointed(void **state) /* H17: each path that moves is told, for the names of both move */
{
    (void)state;
    put("apps/one.lua", "one");
    put("apps/two.lua", "two");
    linked("../apps/one.lua", "lua/x.lua");
    linked("x.lua", "lua/y.lua");
    start();
    loaded(1, "apps/one.lua", "lua/x.lua");
    loaded(1, "apps/one.lua", "lua/y.lua");
    settle();
    repoint_by_rename("../apps/two.lua", "lua/x.lua");
    expect("apps/one.lua>apps/two.lua=two apps/one.lua>apps/two.lua=two");
    assert_string_equal(site.bursts[0]->files[0].path, at("lua/x.lua"));
    assert_string_equal(site.bursts[0]->files[1].path, at("lua/y.lua"));
}

/* H17: one session has looked before its link was re-pointed, another after, and then it goes back */
static void test_loaded_while_repointed(void **state)
{
    (void)state;
    put("apps/one.lua", "one");
    put("apps/two.lua", "two");
    linked("../apps/one.lua", "lua/x.lua");
    start();
    loaded(1, "apps/one.lua", "lua/x.lua");
    settle();
    loaded(2, "apps/two.lua", "lua/x.lua");
    expect("apps/two.lua>apps/one.lua=one");
    loaded(2, "apps/two.lua", "lua/x.lua"); /* it was late, and says so again */
    expect("apps/two.lua>apps/one.lua=one");
    ls_hotload_unloaded(site.hotload, 2, "apps/two.lua");
    put("apps/one.lua", "one!");
    expect("apps/one.lua=one!");
}

/* H16, section 14: a file changes while one of two ways to it goes */
static void test_changed_as_a_way_goes(void **state)
{
    (void)state;
    put("apps/one.lua", "one");
    linked("../apps/one.lua", "lua/x.lua");
    start();
    loaded(1, "apps/one.lua", "lua/x.lua");
    settle();
    gone("lua/x.lua");
    put("apps/one.lua", "one!");
    expect("apps/one.lua=one!");
}

static void test_link_and_file_swap(void **state) /* section 14: link replaced by a plain file, and the reverse */
{
    (void)state;
    put("apps/one.lua", "one");
    linked("../apps/one.lua", "lua/x.lua");
    start();
    loaded(1, "apps/one.lua", "lua/x.lua");
    settle();
    put("lua/plain.tmp", "plain");
    move("lua/plain.tmp", "lua/x.lua");
    expect("apps/one.lua>lua/x.lua=plain");
    repoint_by_rename("../apps/one.lua", "lua/x.lua");
    expect("lua/x.lua>apps/one.lua=one");
}

static void test_dangling(
    void **state) /* H18: a link without target counts as deleted and is watched for its return; loops harm nothing */
{
    (void)state;
    put("apps/one.lua", "one");
    linked("../apps/one.lua", "lua/x.lua");
    linked("loop.lua", "lua/loop.lua");
    linked("b.lua", "lua/a.lua");
    linked("a.lua", "lua/b.lua");
    linked(".", "lua/self");
    start();
    loaded(1, "apps/one.lua", "lua/x.lua");
    settle();
    gone("apps/one.lua");
    expect("apps/one.lua=-");
    assert_string_equal(
        site.log,
        "Hot reload: apps/one.lua was deleted; its code stays as it is.\n"); /* section 14: level 1, no error */
    forget_log();
    put("apps/one.lua", "back");
    expect("apps/one.lua=back");
    linked("../nowhere/deep/y.lua", "lua/y.lua");
    expect("");
    dirs("nowhere/deep");
    put("nowhere/deep/y.lua", "arrived");
    expect("nowhere/deep/y.lua=arrived");
    assert_string_equal(site.log, "");
}

static void test_outside_root(void **state) /* H19: keys that start with ../ */
{
    (void)state;
    dirs("../a/b");
    put("../a/b/x.lua", "1");
    linked(at("%s/a/b/x.lua", site.base), "lua/x.lua");
    start();
    put("../a/b/x.lua", "2");
    expect("../a/b/x.lua=2");
}

static void test_hidden_chain(
    void **state) /* a configuration volume: every file leads through a link of a hidden name, which is flipped */
{
    (void)state;
    dirs("lua/..v1");
    dirs("lua/..v2");
    put("lua/..v1/m.lua", "1");
    put("lua/..v2/m.lua", "2");
    linked("..v1", "lua/..data");
    linked("..data/m.lua", "lua/m.lua");
    start();
    loaded(1, "lua/..v1/m.lua", "lua/m.lua");
    settle();
    linked("..v2", "lua/..tmp");
    move("lua/..tmp", "lua/..data");
    expect("lua/..v1/m.lua>lua/..v2/m.lua=2");
}

static void test_links_of_locks(void **state) /* H20: a lock that is a dangling link of a hidden name */
{
    (void)state;
    start();
    linked("user@host.1:2", "lua/.#x.lua");
    gone("lua/.#x.lua");
    expect("");
    assert_string_equal(site.log, "");
}

static void test_symlinked_root(void **state) /* H3, L24: the root is made canonical */
{
    (void)state;
    char alias[96], real[128];
    snprintf(alias, sizeof alias, "%s/alias", site.base);
    assert_int_equal(symlink(site.root, alias), 0);
    snprintf(real, sizeof real, "%s", site.root);
    snprintf(site.root, sizeof site.root, "%s", alias);
    start();
    snprintf(site.root, sizeof site.root, "%s", real);
    put("lua/x.lua", "1");
    expect("lua/x.lua=1");
}

static void point(const char *target, const char *rel) /* ln -sfn, as it is done without a moment of absence */
{
    linked(target, "../.link");
    move("../.link", rel);
}

/* The two folders of a release. */
static void release(const char *name, const char *text)
{
    char rel[64];
    snprintf(rel, sizeof rel, "../%s/lua", name);
    dirs(rel);
    snprintf(rel, sizeof rel, "../%s/lua/x.lua", name);
    put(rel, text);
    snprintf(rel, sizeof rel, "../%s/viewdefs", name);
    dirs(rel);
    snprintf(rel, sizeof rel, "../%s/viewdefs/V.D.html", name);
    put(rel, text);
}

/* H17, L26: the site's own path is a link, or leads through one: keys and the paths of views stay what they are */
static void repoint_root(const char *link, const char *below)
{
    char place[128], path[160];
    release("one/site", "1");
    release("two/site", "2");
    linked("one", at("../%s", link));
    snprintf(place, sizeof place, "%s/%s%s", site.base, link, below);
    snprintf(site.root, sizeof site.root, "%s", place);
    start();
    snprintf(path, sizeof path, "%s/lua/x.lua", place);
    loaded(1, "lua/x.lua", path);
    settle();
    snprintf(path, sizeof path, "%s/%s", site.base, link);
    put(at("%s/one/site/lua/x.lua", site.base), "11");
    expect("lua/x.lua=11");
    if (symlink("two", at("%s/.link", site.base)) || rename(at("%s/.link", site.base), path)) fail();
    expect("lua/x.lua=2 @viewdefs/V.D.html=2");
    assert_true(logged("leads to"));
    put(at("%s/two/site/lua/x.lua", site.base), "22");
    expect("lua/x.lua=22");
    put(at("%s/one/site/lua/x.lua", site.base), "unused");
    expect("");
    if (unlink(path) || symlink("one", path)) fail();
    expect("lua/x.lua=unused @viewdefs/V.D.html=1");
}

static void test_root_repointed(void **state)
{
    (void)state;
    repoint_root("current", "/site");
}

static void test_root_repointed_polled(void **state)
{
    (void)state;
    site.poll_ms = 600000;
    repoint_root("current", "/site");
}

static void test_trees_repointed(void **state) /* H17: lua/ and viewdefs/ themselves are links */
{
    (void)state;
    release("one", "1");
    release("two", "2");
    remove_tree(at("lua"));
    remove_tree(at("viewdefs"));
    linked("../one/lua", "lua");
    linked("../one/viewdefs", "viewdefs");
    start();
    loaded(1, "../one/lua/x.lua", "lua/x.lua");
    settle();
    point("../two/lua", "lua");
    point("../two/viewdefs", "viewdefs");
    expect("../one/lua/x.lua>../two/lua/x.lua=2 @viewdefs/V.D.html=2");
    put("../two/lua/x.lua", "22");
    expect("../two/lua/x.lua=22");
    put("../two/viewdefs/V.D.html", "22");
    expect("@viewdefs/V.D.html=22");
}

static void test_wanted_by_two_paths(
    void **state) /* H36: one file has come, and whoever asked for it knows another path */
{
    (void)state;
    dirs("far");
    put("far/m.lua", "1");
    start();
    wanted(1, "lua/p/m.lua", "lua/p/m.lua");
    wanted(2, "lua/q/m.lua", "lua/q/m.lua");
    settle();
    linked("../far", "lua/p");
    linked("../far", "lua/q");
    expect("far/m.lua=1 far/m.lua=1");
    put("far/m.lua", "2");
    settle();
    assert_non_null(strstr(news(), "far/m.lua=2"));
}

/* H13: a folder in which a program works tells of its end when that has left it; its name tells at once */
static void test_folder_held_open(void **state)
{
    (void)state;
    dirs("../far");
    put("../far/x.lua", "1");
    linked("far", "../alias");
    start();
    char path[128];
    snprintf(path, sizeof path, "%s/alias/x.lua", site.base);
    loaded(1, "../far/x.lua", path);
    settle();
    int held = open(at("../far"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    remove_tree(at("../far"));
    dirs("../far");
    put("../far/x.lua", "2");
    expect("../far/x.lua=2");
    put("../far/x.lua", "3");
    expect("../far/x.lua=3");
    close(held);
}

/* H80: a folder of view files that gets a second place, before its first one, is told with that place alone, as a fresh
 * start would find it; and what was saved meanwhile is told when the first one is back */
static void test_view_folder_changes_its_place(void **state)
{
    (void)state;
    dirs("out");
    put("out/T.D.html", "1");
    linked("../out", "viewdefs/b");
    start();
    linked("../out", "viewdefs/a");
    expect("@viewdefs/b/T.D.html=- @viewdefs/a/T.D.html=1");
    put("out/T.D.html", "2");
    expect("@viewdefs/a/T.D.html=2");
    gone("viewdefs/a");
    expect("@viewdefs/a/T.D.html=- @viewdefs/b/T.D.html=2");
    put("out/T.D.html", "3");
    expect("@viewdefs/b/T.D.html=3");
}

static void test_folder_in_place_of_a_view(void **state) /* H79: the view file is gone, whatever its name leads to */
{
    (void)state;
    dirs("out");
    put("viewdefs/T.D.html", "1");
    put("viewdefs/U.D.html", "2");
    start();
    linked("../out", "viewdefs/tmp");
    move("viewdefs/tmp", "viewdefs/T.D.html");
    expect("@viewdefs/T.D.html=-");
    gone("viewdefs/U.D.html");
    dirs("viewdefs/U.D.html");
    expect("@viewdefs/U.D.html=-");
    gone("viewdefs/T.D.html");
    put("viewdefs/T.D.html", "3");
    expect("@viewdefs/T.D.html=3");
}

/* H14, H18: saves by rename through a link, and its target gone and back, leave the link watched */
static void test_renamed_onto_target(void **state)
{
    (void)state;
    put("apps/app.lua", "1");
    put("apps/next", "2");
    linked("../apps/app.lua", "lua/x.lua");
    start();
    loaded(1, "apps/app.lua", "lua/x.lua");
    settle();
    move("apps/next", "apps/app.lua");
    expect("apps/app.lua=2");
    gone("apps/app.lua");
    expect("apps/app.lua=-");
    dirs("apps/app.lua");
    put("apps/app.lua/y.lua", "3");
    expect("apps/app.lua/y.lua=3");
    put("apps/app.lua/y.lua", "4");
    expect("apps/app.lua/y.lua=4");
    gone("apps/app.lua/y.lua");
    settle();
    remove_tree(at("apps/app.lua"));
    news();
    put("apps/app.lua", "5");
    expect("apps/app.lua=5");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, site_setup, site_teardown)
    const struct CMUnitTest tests[] = {
        T(test_file_link),
        T(test_link_inside),
        T(test_directory_link),
        T(test_view_links),
        T(test_chain),
        T(test_counts),
        T(test_same_directory_spelled_twice),
        T(test_reachable_twice),
        T(test_repointed),
        T(test_repointed_directory),
        T(test_two_paths_repointed),
        T(test_loaded_while_repointed),
        T(test_changed_as_a_way_goes),
        T(test_link_and_file_swap),
        T(test_dangling),
        T(test_outside_root),
        T(test_hidden_chain),
        T(test_links_of_locks),
        T(test_symlinked_root),
        T(test_root_repointed),
        T(test_root_repointed_polled),
        T(test_trees_repointed),
        T(test_wanted_by_two_paths),
        T(test_folder_held_open),
        T(test_view_folder_changes_its_place),
        T(test_folder_in_place_of_a_view),
        T(test_renamed_onto_target),
    };
    return cmocka_run_group_tests_name("hotload: links", tests, NULL, NULL);
}
