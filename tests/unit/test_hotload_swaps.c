/* Names that change places in one step, links made again, file systems mounted over and away (H13, H17, H87, H88). */
#include <linux/fs.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "hotload_site.h"
#include "hotload/hotload_internal.h"

static void exchange(const char *one, const char *other)
{
    if (syscall(SYS_renameat2, AT_FDCWD, at("%s", one), AT_FDCWD, at("%s", other), RENAME_EXCHANGE))
        fail_msg("exchange %s and %s: %s", one, other, strerror(errno));
}

static void exchange_all(void)
{
    dirs("apps/a");
    dirs("apps/b");
    dirs("viewdefs/a");
    dirs("viewdefs/b");
    put("lua/a.lua", "1");
    put("lua/b.lua", "2");
    put("apps/a/m.lua", "3");
    put("apps/b/m.lua", "4");
    put("viewdefs/a/A.D.html", "5");
    put("viewdefs/b/A.D.html", "6");
    linked("../apps/a/m.lua", "lua/one.lua");
    linked("../apps/b/m.lua", "lua/two.lua");
    start();
    loaded(1, "lua/a.lua", "lua/a.lua");
    loaded(1, "lua/b.lua", "lua/b.lua");
    loaded(1, "apps/a/m.lua", "lua/one.lua");
    loaded(1, "apps/b/m.lua", "lua/two.lua");
    settle();
    exchange("lua/a.lua", "lua/b.lua");
    expect("lua/a.lua=2 lua/b.lua=1");
    exchange("apps/a", "apps/b");
    expect("apps/a/m.lua=4 apps/b/m.lua=3");
    exchange("viewdefs/a", "viewdefs/b");
    expect("@viewdefs/a/A.D.html=6 @viewdefs/b/A.D.html=5");
    exchange("lua/one.lua", "lua/two.lua");
    expect("apps/b/m.lua>apps/a/m.lua=4 apps/a/m.lua>apps/b/m.lua=3");
    put("apps/a/m.lua", "7");
    expect("apps/a/m.lua=7");
    put("lua/b.lua", "8");
    expect("lua/b.lua=8");
    put("viewdefs/b/A.D.html", "9");
    expect("@viewdefs/b/A.D.html=9");
}

static void test_exchanged(void **state) /* H13, H17: both names of an exchange have changed */
{
    (void)state;
    exchange_all();
}

static void test_exchanged_polled(void **state) /* H87 */
{
    (void)state;
    site.poll_ms = 600000;
    exchange_all();
}

/* A file and a folder, a folder and a link to it: what was one is the other. */
static void exchange_kinds(void)
{
    dirs("apps/a");
    dirs("../far/b");
    put("apps/a/m.lua", "1");
    put("../far/b/m.lua", "2");
    linked("../../far/b", "apps/b");
    put("lua/x.lua", "3");
    dirs("lua/y.lua");
    put("lua/y.lua/z.lua", "4");
    start();
    loaded(1, "apps/a/m.lua", "apps/a/m.lua");
    loaded(1, "../far/b/m.lua", "apps/b/m.lua");
    loaded(1, "lua/x.lua", "lua/x.lua");
    loaded(1, "lua/y.lua/z.lua", "lua/y.lua/z.lua");
    settle();
    exchange("apps/a", "apps/b");
    const char *told = news();
    assert_non_null(strstr(told, "apps/a/m.lua>../far/b/m.lua=2"));
    assert_non_null(strstr(told, "../far/b/m.lua>apps/b/m.lua=1"));
    put("../far/b/m.lua", "22");
    expect("../far/b/m.lua=22");
    exchange("lua/x.lua", "lua/y.lua");
    expect("lua/x.lua/z.lua=4 lua/y.lua=3 lua/y.lua/z.lua=-");
    exchange("lua/x.lua", "lua/y.lua");
    expect("lua/x.lua=3 lua/y.lua/z.lua=4");
}

static void test_kinds_exchanged(void **state)
{
    (void)state;
    exchange_kinds();
}

static void test_kinds_exchanged_polled(void **state)
{
    (void)state;
    site.poll_ms = 600000;
    exchange_kinds();
}

/* H17, H87: a link that was made again between two looks may have the number, the length and the time of the one
 * before; what it says is compared */
static void test_link_made_again_polled(void **state)
{
    (void)state;
    const struct timespec same[2] = {{1, 0}, {1, 0}};
    site.poll_ms = 600000;
    dirs("../one");
    dirs("../two");
    put("../one/x.lua", "1");
    put("../two/x.lua", "2");
    put("../one/y.lua", "1");
    put("../two/y.lua", "2");
    put("../one/V.D.html", "1");
    put("../two/V.D.html", "2");
    linked("../../one/x.lua", "lua/x.lua");
    linked("../../one/V.D.html", "viewdefs/V.D.html");
    linked("../../one", "apps/one");
    start();
    loaded(1, "../one/x.lua", "lua/x.lua");
    loaded(1, "../one/y.lua", "apps/one/y.lua");
    settle();
    for (int round = 0; round < 4; round++) {
        const char *target = round % 2 ? "one" : "two";
        gone("lua/x.lua");
        linked(round % 2 ? "../../one/x.lua" : "../../two/x.lua", "lua/x.lua");
        utimensat(AT_FDCWD, at("lua/x.lua"), same, AT_SYMLINK_NOFOLLOW);
        char text[64];
        snprintf(text, sizeof text, "../%s/x.lua>../%s/x.lua=%d", round % 2 ? "two" : "one", target, 2 - round % 2);
        expect(text);
        gone("viewdefs/V.D.html");
        linked(round % 2 ? "../../one/V.D.html" : "../../two/V.D.html", "viewdefs/V.D.html");
        utimensat(AT_FDCWD, at("viewdefs/V.D.html"), same, AT_SYMLINK_NOFOLLOW);
        snprintf(text, sizeof text, "@viewdefs/V.D.html=%d", 2 - round % 2);
        expect(text);
        gone("apps/one");
        linked(round % 2 ? "../../one" : "../../two", "apps/one");
        utimensat(AT_FDCWD, at("apps/one"), same, AT_SYMLINK_NOFOLLOW);
        snprintf(text, sizeof text, "../%s/y.lua>../%s/y.lua=%d", round % 2 ? "two" : "one", target, 2 - round % 2);
        const char *told = news();
        if (!strstr(told, text)) fail_msg("%s instead of %s", told, text);
    }
}

/* A file system over the folder. @return false: it may not be mounted here, and the test is left out */
static bool mounted(const char *rel)
{
    if (mount("none", at("%s", rel), "tmpfs", 0, NULL) == 0) return true;
    if (errno != EPERM && errno != EACCES) fail_msg("mount %s: %s", rel, strerror(errno));
    print_message("[  NOTE  ] no right to mount: left out\n");
    return false;
}

static void unmounted(const char *rel, int how)
{
    if (umount2(at("%s", rel), how)) fail_msg("umount %s: %s", rel, strerror(errno));
}

static void mount_over(void)
{
    dirs("apps/a");
    put("lua/a.lua", "1");
    put("apps/a/m.lua", "2");
    put("viewdefs/V.D.html", "3");
    start();
    loaded(1, "lua/a.lua", "lua/a.lua");
    loaded(1, "apps/a/m.lua", "apps/a/m.lua");
    settle();
    if (!mounted("lua")) return;
    expect("lua/a.lua=-");
    put("lua/a.lua", "over");
    expect("lua/a.lua=over");
    unmounted("lua", 0);
    expect("lua/a.lua=1");
    assert_true(mounted("lua")); /* its root has the numbers of the one before */
    put("lua/a.lua", "again");
    expect("lua/a.lua=again");
    unmounted("lua", MNT_DETACH);
    expect("lua/a.lua=1");
    put("lua/a.lua", "below");
    expect("lua/a.lua=below");
    assert_true(mounted("../site"));
    expect("apps/a/m.lua=- lua/a.lua=- @viewdefs/V.D.html=-");
    dirs("lua");
    put("lua/a.lua", "in");
    expect("lua/a.lua=in");
    unmounted("../site", 0);
    expect("apps/a/m.lua=2 lua/a.lua=below @viewdefs/V.D.html=3");
    put("apps/a/m.lua", "22");
    expect("apps/a/m.lua=22");
    put("../over", "bound");
    assert_int_equal(mount(at("../over"), at("lua/a.lua"), NULL, MS_BIND, NULL), 0);
    expect("lua/a.lua=bound");
    unmounted("lua/a.lua", 0);
    expect("lua/a.lua=below");
    dirs("../other");
    put("../other/m.lua", "other");
    assert_int_equal(mount(at("../other"), at("apps/a"), NULL, MS_BIND, NULL), 0);
    expect("apps/a/m.lua=other");
    put("../other/m.lua", "saved");
    expect("apps/a/m.lua=saved");
    unmounted("apps/a", 0);
    expect("apps/a/m.lua=22");
}

static void test_mounted(void **state) /* H13: over a watched folder, under the whole site, a single file, and away */
{
    (void)state;
    mount_over();
}

static void test_mounted_polled(void **state)
{
    (void)state;
    site.poll_ms = 600000;
    mount_over();
}

static void test_mount_wakes(void **state) /* H13: without any event, and nothing asks */
{
    (void)state;
    put("lua/a.lua", "1");
    dirs("../under");
    put("../under/a.lua", "2");
    start();
    loaded(1, "lua/a.lua", "lua/a.lua");
    settle();
    if (mount(at("../under"), at("lua"), NULL, MS_BIND, NULL)) {
        print_message("[  NOTE  ] no right to mount: left out\n");
        return;
    }
    wait_bursts(1);
    expect("lua/a.lua=2");
    unmounted("lua", MNT_DETACH);
    wait_bursts(2);
    expect("lua/a.lua=1");
}

/* What a failed test has left mounted would keep its folder. */
static int unmount_all(void **state)
{
    static const char *const places[] = {"lua/a.lua", "lua", "apps/a", "../site"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        while (umount2(at("%s", places[i]), MNT_DETACH) == 0)
            continue;
    return site_teardown(state);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, site_setup, site_teardown)
    const struct CMUnitTest tests[] = {
        T(test_exchanged),
        T(test_exchanged_polled),
        T(test_kinds_exchanged),
        T(test_kinds_exchanged_polled),
        T(test_link_made_again_polled),
        cmocka_unit_test_setup_teardown(test_mounted, site_setup, unmount_all),
        cmocka_unit_test_setup_teardown(test_mounted_polled, site_setup, unmount_all),
        cmocka_unit_test_setup_teardown(test_mount_wakes, site_setup, unmount_all),
    };
    return cmocka_run_group_tests_name("hotload: swaps", tests, NULL, NULL);
}
