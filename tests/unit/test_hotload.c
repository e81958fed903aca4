/* The hot loader's core: events, windows, bursts, the stable read (hotload.md sections 4, 5, 13, 14). */
#include "hotload_site.h"

#include "hotload/hotload_internal.h"

static void test_save(void **state) /* H21, H33: a save in place, one burst with the final text */
{
    (void)state;
    put("lua/a.lua", "one");
    start();
    put("lua/a.lua", "two");
    expect("lua/a.lua=two");
    put("lua/a.lua", "three");
    expect("lua/a.lua=three");
}

static void test_rename_over(void **state) /* H21 MOVED_TO */
{
    (void)state;
    put("apps/x.lua", "one");
    start();
    put("apps/x.tmp", "two");
    move("apps/x.tmp", "apps/x.lua");
    expect("apps/x.lua=two");
}

static void test_other_names(void **state) /* H4, H20 */
{
    (void)state;
    static const char *const names[] = {"lua/x.txt",
                                        "lua/.x.lua",
                                        "lua/#x.lua#",
                                        "lua/#x.lua",
                                        "lua/x.lua~",
                                        "lua/x.lua___jb_tmp___",
                                        "lua/x___jb_old___.lua",
                                        "lua/x.html",
                                        "apps/x.html",
                                        "viewdefs/.A.B.html",
                                        "viewdefs/A.B.html~"};
    start();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        put(names[i], "x");
    dirs("html");
    put("html/y.html", "x");
    expect("");
    assert_string_equal(site.log, "");
}

static void test_odd_names(void **state) /* spaces, newlines, quotes, bytes that are not UTF-8 */
{
    (void)state;
    dirs("lua/a b");
    dirs("lua/n\nl");
    dirs("lua/\xff\xfe");
    start();
    put("lua/a b/c d.lua", "1");
    expect("lua/a b/c d.lua=1");
    put("lua/n\nl/q\"\n.lua", "2");
    expect("lua/n\nl/q\"\n.lua=2");
    put("lua/\xff\xfe/\x80.lua", "3");
    expect("lua/\xff\xfe/\x80.lua=3");
    put("viewdefs/T y.DE\nF.html", "4");
    expect("@viewdefs/T y.DE\nF.html=4");
}

static void test_many_changes_one_reload(void **state) /* H25 */
{
    (void)state;
    char text[32];
    site.debounce_ms = 80; /* the writer may be kept waiting by others on the machine */
    start();
    for (int i = 0; i < 50; i++) {
        snprintf(text, sizeof text, "%d", i);
        put("lua/a.lua", text);
    }
    expect("lua/a.lua=49");
}

static void test_burst(void **state) /* H27, H37: files saved together are one burst in one order, Lua and views */
{
    (void)state;
    site.debounce_ms = 80;
    start();
    put("lua/c.lua", "c");
    put("viewdefs/T.D.html", "<b>");
    put("lua/a.lua", "a");
    put("apps/b.lua", "b");
    expect("apps/b.lua=b lua/a.lua=a lua/c.lua=c @viewdefs/T.D.html=<b>");
}

static void test_window(void **state) /* H23, H24: 5 ms alone, 20 ms together, measured from the last event */
{
    (void)state;
    site.debounce_ms = -1;
    start();
    /* Each at least, and the best of some in time: how many it takes depends on who else needs the processor. */
    int64_t best_alone = INT64_MAX, best_together = INT64_MAX;
    for (int i = 0; i < 10 || (best_alone >= 20 * 1000000 && i < 300); i++) {
        size_t before = bursts();
        int64_t begin = ls_now_ns();
        put("lua/a.lua", i % 2 ? "1" : "2");
        wait_bursts(before + 1);
        int64_t took = site.at_ns[before] - begin;
        assert_true(took >= 5 * 1000000);
        if (took < best_alone) best_alone = took;
        settle();
    }
    assert_true(best_alone < 20 * 1000000);
    for (int i = 0; i < 5 || (best_together >= 40 * 1000000 && i < 300); i++) {
        size_t before = bursts();
        put("lua/a.lua", i % 2 ? "1" : "2");
        int64_t begin = ls_now_ns();
        put("lua/b.lua", i % 2 ? "1" : "2");
        wait_bursts(before + 1);
        int64_t took = site.at_ns[before] - begin;
        if (site.bursts[before]->file_count == 2) {
            assert_true(took >= 20 * 1000000);
            if (took < best_together) best_together = took;
        }
        settle();
    }
    assert_true(best_together < 40 * 1000000);
}

static void test_debounce_option(void **state) /* H23: --debounce sets both */
{
    (void)state;
    site.debounce_ms = 80;
    start();
    int64_t begin = ls_now_ns();
    put("lua/a.lua", "1");
    wait_bursts(1);
    assert_true(site.at_ns[0] - begin >= 80 * 1000000);
    expect("lua/a.lua=1");
}

/* Writes something every few ms until another burst has come. @return false if this thread did not get its turn for so
 * long that the writer was rightly taken to have ended */
static bool keep_writing(void (*write_once)(void), size_t before)
{
    int64_t until = ls_now_ns() + DEADLINE_NS, last = ls_now_ns(), longest = 0, now;
    do {
        write_once();
        now = ls_now_ns();
        if (now - last > longest) longest = now - last;
        last = now;
        while (ls_now_ns() < last + 2 * 1000000)
            sched_yield();
    } while (bursts() == before && now < until);
    now = ls_now_ns();
    return longest < ls_ms(400) && now - last < ls_ms(400);
}

static void save_again(void)
{
    static unsigned count;
    char text[32];
    snprintf(text, sizeof text, "%u", count++);
    put("lua/a.lua", text);
}

static void test_cap(void **state) /* H27, H28: a file that is saved without end is handled 1 s after its first event */
{
    (void)state;
    site.debounce_ms = 600; /* so that a test thread that does not get its turn for some time does not end the window */
    start();
    for (int tries = 0; tries < 20; tries++) {
        settle();
        size_t before = bursts();
        int64_t begin = ls_now_ns();
        bool in_time = keep_writing(save_again, before);
        assert_true(
            bursts() >
            before); /* while the saves went on; how soon after the second depends on who else needs the processor */
        assert_int_equal(site.bursts[before]->file_count, 1);
        if (!in_time) continue;
        assert_true(site.at_ns[before] - begin >= ls_ms(1000) && site.at_ns[before] - begin < ls_ms(8000));
        return;
    }
    fail_msg("this thread never got its turn in time");
}

static int writing;
static void write_on(void)
{
    write_all(writing, ".");
}

static void test_cap_leaves_out(
    void **
        /* H27, H28: what is still being written at the cap is left out, said once, and taken up when it has settled */
        state)
{
    (void)state;
    site.debounce_ms = 600;
    start();
    for (int tries = 0; tries < 20; tries++) {
        settle();
        size_t before = bursts();
        int64_t begin = ls_now_ns();
        put("lua/a.lua", "complete");
        put("lua/b.lua", "b");
        writing = open(at("lua/a.lua"), O_WRONLY | O_APPEND);
        bool in_time = ls_now_ns() - begin < ls_ms(400) && keep_writing(write_on, before);
        int64_t written = ls_now_ns();
        close(writing);
        if (!in_time || ls_now_ns() - written >= ls_ms(90)) continue;
        assert_true(site.at_ns[before] - begin >= ls_ms(1000) && site.at_ns[before] - begin < ls_ms(8000));
        assert_int_equal(site.bursts[before]->file_count, 1);
        assert_string_equal(site.bursts[before]->files[0].key, "lua/b.lua");
        assert_true(logged("a.lua keeps changing"));
        settle();
        assert_int_equal(bursts(), before + 2);
        assert_string_equal(site.bursts[before + 1]->files[0].key, "lua/a.lua");
        assert_true(ls_has_prefix(ls_bytes_data(site.bursts[before + 1]->files[0].text), "complete."));
        return;
    }
    fail_msg("this thread never got its turn in time");
}

/* @return false if this thread did not get its turn for so long that the half was rightly taken for the whole (H29: 500
 * ms) */
static bool pause_in_the_middle(void)
{
    size_t before = bursts();
    int64_t begin = ls_now_ns();
    int fd = open(at("lua/a.lua"), O_WRONLY | O_TRUNC);
    write_all(fd, "first half, ");
    while (ls_now_ns() < begin + ls_ms(300)) {
        bool idle = ls_hotload_idle(site.hotload);
        if (ls_now_ns() - begin < ls_ms(480)) assert_false(idle);
    }
    size_t seen = bursts() - before;
    write_all(fd, "second half");
    bool in_time = ls_now_ns() - begin < ls_ms(480);
    close(fd);
    if (in_time) assert_int_equal(seen, 0);
    return in_time;
}

static void test_half_written(void **state) /* H29: a writer that pauses; nothing of the first half */
{
    (void)state;
    put("lua/a.lua", "old");
    start();
    bool in_time = pause_in_the_middle();
    for (int tries = 0; !in_time && tries < 20; tries++) {
        news();
        in_time = pause_in_the_middle();
    }
    assert_true(in_time);
    expect("lua/a.lua=first half, second half");
}

static void test_never_closed(
    void *
        *state) /* H21: where nothing is known of writers, what stays open is taken up after 500 ms without a change */
{
    (void)state;
    ls__hotload_seams.no_leases = true;
    start();
    int fd = open(at("lua/a.lua"), O_WRONLY | O_CREAT, 0644);
    int64_t begin = ls_now_ns();
    write_all(fd, "open");
    expect("lua/a.lua=open");
    assert_true(site.at_ns[bursts() - 1] - begin >= ls_ms(500));
    close(fd);
    settle();
    ls__hotload_seams.no_leases = false;
}

/* @return false if this thread did not get its turn for so long that the file rightly counted as empty */
static bool empty_for_some_time(void)
{
    size_t before = bursts();
    int64_t begin = ls_now_ns();
    put("lua/a.lua", "");
    while (ls_now_ns() < begin + ls_ms(120)) {
        bool idle = ls_hotload_idle(site.hotload);
        if (ls_now_ns() - begin < ls_ms(240)) assert_false(idle);
    }
    size_t seen = bursts() - before;
    put("lua/a.lua", "new");
    bool in_time = ls_now_ns() - begin < ls_ms(240);
    if (in_time) assert_int_equal(seen, 0);
    return in_time;
}

static void test_emptied(void **state) /* H30: length 0 waits 250 ms for its content, then counts */
{
    (void)state;
    put("lua/a.lua", "content");
    put("lua/b.lua", "content");
    start();
    bool in_time = empty_for_some_time();
    for (int tries = 0; !in_time && tries < 20; tries++) {
        news();
        in_time = empty_for_some_time();
    }
    assert_true(in_time);
    expect("lua/a.lua=new");
    int64_t begin = ls_now_ns();
    put("lua/b.lua", "");
    expect("lua/b.lua=");
    assert_true(site.at_ns[bursts() - 1] - begin >= ls_ms(250));
}

static void test_deleted(
    void **state) /* section 14, H31: no reload, told once for a file in use; back within the window: one reload */
{
    (void)state;
    put("lua/a.lua", "1");
    put("lua/unused.lua", "1");
    start();
    loaded(1, "lua/a.lua", "lua/a.lua");
    settle();
    gone("lua/a.lua");
    gone("lua/unused.lua");
    expect("lua/a.lua=-");
    put("lua/a.lua", "2");
    expect("lua/a.lua=2");
    gone("lua/a.lua");
    put("lua/a.lua", "3");
    expect("lua/a.lua=3");
}

static void test_absent_waits(
    void **
        /* H24: a file that is gone is told of after the window, and waiting for that takes no time of a processor
         * */
        state)
{
    (void)state;
    struct timespec used, pause = {0, 10 * 1000000};
    clockid_t clock;
    site.debounce_ms = 1000;
    put("lua/a.lua", "1");
    start();
    loaded(1, "lua/a.lua", "lua/a.lua");
    settle();
    assert_int_equal(pthread_getcpuclockid(site.hotload->thread, &clock), 0);
    clock_gettime(clock, &used);
    int64_t before = ls_ms(1000) * used.tv_sec + used.tv_nsec, begin = ls_now_ns();
    gone("lua/a.lua");
    while (!bursts() && ls_now_ns() < begin + DEADLINE_NS)
        nanosleep(&pause, NULL);
    clock_gettime(clock, &used);
    assert_true(ls_ms(1000) * used.tv_sec + used.tv_nsec - before < ls_ms(50));
    assert_true(site.at_ns[0] - begin >= ls_ms(1000));
    expect("lua/a.lua=-");
}

static void test_vanishes_while_pending(void **state) /* H31: the others of the burst go on */
{
    (void)state;
    site.debounce_ms = 400; /* it is gone before it is looked at, also where this thread is kept waiting */
    start();
    put("lua/a.lua", "a");
    put("lua/b.lua", "b");
    gone("lua/a.lua");
    expect("lua/b.lua=b");
}

static void test_renamed(void **state) /* section 14: a.lua → b.lua is a deletion of a */
{
    (void)state;
    put("lua/a.lua", "1");
    start();
    loaded(1, "lua/a.lua", "lua/a.lua");
    settle();
    move("lua/a.lua", "lua/b.lua");
    expect("lua/a.lua=- lua/b.lua=1");
    put("lua/c.lua", "2");
    expect("lua/c.lua=2");
    move("lua/c.lua", "lua/a.lua");
    expect("lua/a.lua=2");
}

static void test_hard_link(void **state) /* H21: CREATE of a name with link count above 1 */
{
    (void)state;
    put("src.txt", "linked");
    start();
    assert_int_equal(link(at("src.txt"), at("lua/a.lua")), 0);
    expect("lua/a.lua=linked");
}

static void test_attributes(void **state) /* touch, chmod, chown: nothing */
{
    (void)state;
    put("lua/a.lua", "1");
    start();
    loaded(1, "lua/a.lua", "lua/a.lua");
    settle();
    assert_int_equal(utimensat(AT_FDCWD, at("lua/a.lua"), NULL, 0), 0);
    assert_int_equal(chmod(at("lua/a.lua"), 0600), 0);
    assert_int_equal(chown(at("lua/a.lua"), getuid(), getgid()), 0);
    expect("");
}

static void test_unreadable(void **state) /* H32: reported once; taken up when it can be read */
{
    (void)state;
    start();
    /* Root may read everything; what nobody can read is a file that is too large. */
    int fd = open(at("lua/big.lua"), O_WRONLY | O_CREAT, 0644);
    assert_int_equal(ftruncate(fd, (65 << 20)), 0);
    close(fd);
    put("lua/ok.lua", "ok");
    expect("lua/ok.lua=ok");
    assert_true(logged("big.lua is larger"));
    forget_log();
    fd = open(at("lua/big.lua"), O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, 0), 1);
    close(fd);
    expect("");
    assert_string_equal(site.log, "");
    assert_int_equal(truncate(at("lua/big.lua"), 1), 0);
    assert_int_equal(chmod(at("lua/big.lua"), 0600), 0);
    expect("lua/big.lua=x");
}

/* H32, section 14: made unreadable, changed, then readable */
static void made_readable(int64_t poll_ms)
{
    site.poll_ms = poll_ms;
    if (geteuid() == 0) {
        print_message("[  NOTE  ] permission of files: skipped, root may read everything\n");
        skip();
    }
    put("lua/a.lua", "1");
    start();
    put("lua/b.tmp", "2");
    chmod(at("lua/b.tmp"), 0);
    move("lua/b.tmp", "lua/a.lua");
    expect("");
    assert_true(logged("cannot be read"));
    chmod(at("lua/a.lua"), 0644);
    expect("lua/a.lua=2");
}

static void test_unreadable_permission(void **state)
{
    (void)state;
    made_readable(0);
}

static void test_unreadable_permission_polled(void **state)
{
    (void)state;
    made_readable(600000);
}

static void test_views(void **state) /* H73, H74, H77, H79: request paths, new, deleted and returning */
{
    (void)state;
    dirs("viewdefs/deep/er");
    put("viewdefs/deep/er/T.D.html", "1");
    start();
    put("viewdefs/deep/er/T.D.html", "2");
    expect("@viewdefs/deep/er/T.D.html=2");
    put("viewdefs/New.D.html", "n");
    expect("@viewdefs/New.D.html=n");
    gone("viewdefs/deep/er/T.D.html");
    expect("@viewdefs/deep/er/T.D.html=-");
    put("viewdefs/deep/er/T.D.html", "3");
    expect("@viewdefs/deep/er/T.D.html=3");
    remove_tree(at("viewdefs/deep"));
    expect("@viewdefs/deep/er/T.D.html=-");
}

static void test_view_moved(void **state) /* H80: what went comes before what came */
{
    (void)state;
    dirs("viewdefs/a");
    dirs("viewdefs/b");
    put("viewdefs/b/T.D.html", "1");
    start();
    move("viewdefs/b/T.D.html", "viewdefs/a/T.D.html");
    expect("@viewdefs/b/T.D.html=- @viewdefs/a/T.D.html=1");
}

static void test_git_lock(
    void **state) /* H84: held back while the lock is there, at most 2 s; a stale lock holds back once */
{
    (void)state;
    dirs("../.git");
    start();
    int64_t begin = ls_now_ns();
    put("../.git/index.lock", "");
    put("lua/a.lua", "a");
    while (ls_now_ns() < begin + ls_ms(200)) {
        bool idle = ls_hotload_idle(site.hotload);
        if (ls_now_ns() - begin < ls_ms(2000)) assert_false(idle);
    }
    put("lua/b.lua", "b");
    size_t seen = bursts();
    if (ls_now_ns() - begin < ls_ms(2000)) assert_int_equal(seen, 0);
    gone("../.git/index.lock");
    expect("lua/a.lua=a lua/b.lua=b");
    put("../.git/index.lock", "");
    begin = ls_now_ns();
    put("lua/a.lua", "c");
    expect("lua/a.lua=c");
    assert_true(site.at_ns[bursts() - 1] - begin >= ls_ms(2000));
    int64_t took = ls_ms(2000);
    for (int tries = 0; took >= ls_ms(1000) && tries < 5; tries++) {
        begin = ls_now_ns();
        put("lua/a.lua", "d");
        expect("lua/a.lua=d");
        took = site.at_ns[bursts() - 1] - begin;
    }
    assert_true(took < ls_ms(1000));
}

static void test_worktree_lock(void **state) /* H84: .git of a worktree is a file that names the real place */
{
    (void)state;
    dirs("../repo/worktrees/w");
    put(".git", "gitdir: ../repo/worktrees/w\n");
    start();
    int64_t begin = ls_now_ns();
    put("../repo/worktrees/w/index.lock", "");
    put("lua/a.lua", "a");
    while (ls_now_ns() < begin + ls_ms(120)) {
        bool idle = ls_hotload_idle(site.hotload);
        if (ls_now_ns() - begin < ls_ms(2000)) assert_false(idle);
    }
    gone("../repo/worktrees/w/index.lock");
    expect("lua/a.lua=a");
}

static void test_two_files_apart(void **state) /* H26: 20 ms apart, both reload, in one burst or two */
{
    (void)state;
    start();
    put("lua/a.lua", "a");
    int64_t until = ls_now_ns() + ls_ms(20);
    while (ls_now_ns() < until)
        sched_yield();
    put("lua/b.lua", "b");
    const char *text = news();
    assert_non_null(strstr(text, "lua/a.lua=a"));
    assert_non_null(strstr(text, "lua/b.lua=b"));
}

static void test_named_files(void **state) /* C1, H2: `lsess reload` with and without names, without watching */
{
    (void)state;
    LS_ERR(err);
    put("apps/app.lua", "app");
    linked("../apps/app.lua", "lua/app.lua");
    put("lua/m.lua", "m");
    put("viewdefs/T.D.html", "t");
    put("lua/.hidden.lua", "x");
    const char *names[] = {"lua/app.lua", "m.lua", at("viewdefs/T.D.html"), "apps/app.lua"};
    struct ls_burst *burst = ls_burst_of(NULL, site.root, false, names, 4, &err);
    assert_non_null(burst);
    assert_int_equal(burst->file_count, 2);
    assert_string_equal(burst->files[0].key, "apps/app.lua");
    assert_string_equal(ls_bytes_data(burst->files[1].text), "m");
    assert_int_equal(burst->view_count, 1);
    ls_burst_unref(burst);
    burst = ls_burst_of(NULL, site.root, true, NULL, 0, &err);
    assert_int_equal(burst->file_count, 2);
    assert_int_equal(burst->view_count, 1);
    ls_burst_unref(burst);
    const char *missing[] = {"lua/none.lua"};
    assert_null(ls_burst_of(NULL, site.root, false, missing, 1, &err));
    assert_int_equal(err.code, LS_ENOTFOUND);
    assert_non_null(strstr(ls_err_text(&err), "lua/none.lua"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, site_setup, site_teardown)
    const struct CMUnitTest tests[] = {
        T(test_save),
        T(test_rename_over),
        T(test_other_names),
        T(test_odd_names),
        T(test_many_changes_one_reload),
        T(test_burst),
        T(test_window),
        T(test_debounce_option),
        T(test_cap),
        T(test_cap_leaves_out),
        T(test_half_written),
        T(test_never_closed),
        T(test_emptied),
        T(test_deleted),
        T(test_absent_waits),
        T(test_vanishes_while_pending),
        T(test_renamed),
        T(test_hard_link),
        T(test_attributes),
        T(test_unreadable),
        T(test_unreadable_permission),
        T(test_unreadable_permission_polled),
        T(test_views),
        T(test_view_moved),
        T(test_git_lock),
        T(test_worktree_lock),
        T(test_two_files_apart),
        T(test_named_files),
    };
    return cmocka_run_group_tests_name("hotload", tests, NULL, NULL);
}
