/* Who is still writing (hotload.md sections 4, 5, 16): files that are open for writing, in every way in which they can
 * be met, and what only looks like a write. */
#include "hotload_site.h"

#include <sys/inotify.h>
#include <sys/resource.h>

#include "hotload/hotload_internal.h"

static int writers_teardown(void **state)
{
    if (getuid() == 0 && seteuid(0)) return -1;
    memset(&ls__hotload_seams, 0, sizeof ls__hotload_seams);
    return site_teardown(state);
}

static void wait_logged(const char *text)
{
    int64_t until = ls_now_ns() + DEADLINE_NS;
    while (!logged(text))
        if (ls_now_ns() > until)
            fail_msg("the log does not say: %s\n%s", text, site.log);
        else
            sched_yield();
}

static void pass(int64_t ms)
{
    int64_t until = ls_now_ns() + ls_ms(ms);
    while (ls_now_ns() < until)
        ls_hotload_idle(site.hotload);
}

static int open_to_write(const char *rel, int flags, const char *text)
{
    int fd = open(at("%s", rel), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    if (fd < 0) fail_msg("open %s: %s", rel, strerror(errno));
    if (*text) write_all(fd, text);
    return fd;
}

/* Until it is said that the file waits for its writer; nothing of it was handed over. */
static void expect_waiting(size_t before)
{
    wait_logged("lua/a.lua is still open for writing");
    pass(600); /* longer than a CLOSE_WRITE that does not come is waited for */
    assert_int_equal(bursts(), before);
}

static void test_emptied_and_open(
    void **state) /* H30: length 0 counts when the file is closed, however long it takes */
{
    (void)state;
    put("lua/a.lua", "old");
    start();
    int fd = open_to_write("lua/a.lua", O_TRUNC, "");
    expect_waiting(0);
    write_all(fd, "new");
    close(fd);
    expect("lua/a.lua=new");
}

static void test_half_and_open(void **state) /* H29: nor is a half taken for the whole, and others go on meanwhile */
{
    (void)state;
    put("lua/a.lua", "old");
    start();
    int fd = open_to_write("lua/a.lua", O_TRUNC, "first half, ");
    expect_waiting(0);
    int64_t soonest = INT64_MAX; /* of eight: a busy machine may be late with one */
    for (int i = 0; i < 8; i++) {
        char text[16], told[32];
        int64_t begin = ls_now_ns();
        snprintf(text, sizeof text, "%d", i);
        snprintf(told, sizeof told, "lua/b.lua=%d", i);
        put("lua/b.lua", text);
        wait_bursts((size_t)i + 1);
        if (site.at_ns[i] - begin < soonest) soonest = site.at_ns[i] - begin;
        assert_string_equal(print_news((size_t)i, (size_t)i + 1, false), told);
    }
    if (soonest >= ls_ms(700)) fail_msg("%ld ms", (long)(soonest / 1000000));
    site.looked = bursts();
    write_all(fd, "second half");
    close(fd);
    expect("lua/a.lua=first half, second half");
}

static void test_renamed_over_and_open(void **state) /* H29: a rename over it while the writer is at work */
{
    (void)state;
    put("lua/a.lua", "old");
    start();
    int fd = open_to_write("lua/.new", O_TRUNC, "first half, ");
    move("lua/.new", "lua/a.lua");
    expect_waiting(0);
    write_all(fd, "second half");
    close(fd);
    expect("lua/a.lua=first half, second half");
}

static void test_polled_and_open(void **state) /* H29, H87: where no event tells of the end */
{
    (void)state;
    put("lua/a.lua", "old");
    site.poll_ms = 20;
    start();
    int fd = open_to_write("lua/a.lua", O_TRUNC, "half");
    expect_waiting(0);
    close(fd); /* nothing is written any more: neither size nor time tell */
    expect("lua/a.lua=half");
}

static void test_new_folder_and_open(void **state) /* H9, H29: a file in a folder that is moved in */
{
    (void)state;
    start();
    wanted(1, "x.a", "lua/x/lua/a.lua");
    dirs("../elsewhere/lua");
    int fd = open_to_write("../elsewhere/lua/a.lua", 0, "first half, ");
    settle();
    move("../elsewhere", "lua/x");
    expect_waiting(0);
    write_all(fd, "second half");
    close(fd);
    expect("lua/x/lua/a.lua=first half, second half");
}

static void test_overflow_and_open(void **state) /* H85, H29: its events were lost */
{
    (void)state;
    put("lua/a.lua", "old");
    start();
    loaded(1, "lua/a.lua", "lua/a.lua");
    settle();
    pthread_mutex_lock(&site.hotload->lock); /* the watcher cannot forward, and what it reads is taken away */
    int fd = open_to_write("lua/a.lua", O_TRUNC, "first half, ");
    pthread_mutex_unlock(&site.hotload->lock);
    ls__record_push(site.hotload, &(struct ls__record){.wd = -1, .mask = IN_Q_OVERFLOW, .name = ""});
    expect_waiting(0);
    write_all(fd, "second half");
    close(fd);
    expect("lua/a.lua=first half, second half");
}

static void test_asked_for_and_open(void **state) /* C1, H29: `lsess reload` takes no half either */
{
    (void)state;
    LS_ERR(err);
    const char *names[] = {"lua/a.lua"};
    int fd = open_to_write("lua/a.lua", 0, "half");
    assert_null(ls_burst_of(NULL, site.root, false, names, 1, &err));
    assert_int_equal(err.code, LS_EBUSY);
    assert_non_null(strstr(ls_err_text(&err), "still open for writing"));
    close(fd);
    ls_burst_unref(ls_burst_of(NULL, site.root, false, names, 1, &err));
}

static void test_lease_breaks(void **state) /* H29: whoever opens a file while it is looked at is not held up, nor is
                                             * the process told by a signal that would end it */
{
    (void)state;
    start();
    put("lua/a.lua", "x");
    for (int64_t until = ls_now_ns() + ls_ms(500); ls_now_ns() < until;) {
        int64_t begin = ls_now_ns();
        put("lua/a.lua", "y");
        if (ls_now_ns() - begin > ls_ms(20000)) /* the system's own wait is 45 s */
            fail_msg("a writer had to wait for %ld ms", (long)((ls_now_ns() - begin) / 1000000));
        int fd = open(at("lua/a.lua"), O_RDONLY | O_CLOEXEC);
        ls__has_writer(fd);
        close(fd);
    }
    settle();
}

static void test_times_of_a_link(void **state) /* H24: tar sets the times of links; that is no write to their targets */
{
    (void)state;
    struct timespec times[2] = {{1000000000, 0}, {1000000000, 0}};
    dirs("apps/x");
    put("apps/x/a.lua", "1");
    linked("../apps/x/a.lua", "lua/a.lua");
    linked("../apps/x", "lua/x");
    start();
    loaded(1, "apps/x/a.lua", "lua/a.lua");
    loaded(1, "apps/x/a.lua", "lua/x/a.lua");
    settle();
    for (int tries = 0;; tries++) {
        char text[16], told[64];
        size_t before = bursts();
        snprintf(text, sizeof text, "%d", tries);
        snprintf(told, sizeof told, "apps/x/a.lua=%s", text);
        int64_t begin = ls_now_ns();
        put("apps/x/a.lua", text);
        utimensat(AT_FDCWD, at("lua/a.lua"), times, AT_SYMLINK_NOFOLLOW);
        utimensat(AT_FDCWD, at("lua/x"), times, AT_SYMLINK_NOFOLLOW);
        expect(told);
        if (site.at_ns[before] - begin < ls_ms(400)) return;
        if (tries == 5) fail_msg("taken up after %ld ms", (long)((site.at_ns[before] - begin) / 1000000));
    }
}

static void placeholder(const char *rel)
{
    int fd = open(at("%s", rel), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
    if (fd < 0) fail_msg("open %s: %s", rel, strerror(errno));
    close(fd);
}

/* Section 15, row tar: it makes links at its end, and keeps their places with empty files that nobody may read. They
 * are told of as deletions are. */
static void test_placeholder(void **state)
{
    (void)state;
    dirs("apps/x");
    put("apps/x/a.lua", "1");
    put("apps/x/v.html", "1");
    linked("../apps/x/a.lua", "lua/a.lua");
    linked("../apps/x/v.html", "viewdefs/T.D.html");
    start();
    loaded(1, "apps/x/a.lua", "lua/a.lua");
    wanted(1, "b", "lua/b.lua");
    settle();
    gone("lua/a.lua");
    placeholder("lua/a.lua");
    gone("viewdefs/T.D.html");
    placeholder("viewdefs/T.D.html");
    placeholder("lua/b.lua");
    expect("apps/x/a.lua=- @viewdefs/T.D.html=-");
    put("apps/x/a.lua", "2");
    put("apps/x/v.html", "2");
    expect("apps/x/a.lua=2");
    gone("lua/a.lua");
    linked("../apps/x/a.lua", "lua/a.lua");
    gone("viewdefs/T.D.html");
    linked("../apps/x/v.html", "viewdefs/T.D.html");
    expect("apps/x/a.lua=2 @viewdefs/T.D.html=2");
    chmod(at("lua/b.lua"), 0644); /* what it should be is an empty file */
    expect("lua/b.lua=");
}

/* As a file system of whole seconds stamps it: this second's, whatever a fraction of it has passed. */
static void put_in_second(const char *rel, const char *text, time_t second)
{
    struct timespec times[2] = {{second, 0}, {second, 0}};
    int fd = open(at("%s", rel), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) fail_msg("open %s: %s", rel, strerror(errno));
    write_all(fd, text);
    futimens(fd, times);
    close(fd);
}

static void save_both(const char *text, time_t second, bool lose)
{
    pthread_mutex_lock(&site.hotload->lock);
    for (size_t i = 0; i < LS__TREES && lose; i++) /* whatever comes of these folders is of no directory */
        for (size_t k = 0; k < site.hotload->trees[i].places.node_count; k++)
            ls_idmap_take(site.hotload->wds, site.hotload->trees[i].places.nodes[k]->dir->wd);
    pthread_mutex_unlock(&site.hotload->lock);
    put_in_second("lua/a.lua", text, second);
    put_in_second("viewdefs/T.D.html", text, second);
    if (lose) ls__record_push(site.hotload, &(struct ls__record){.wd = -1, .mask = IN_Q_OVERFLOW, .name = ""});
    settle();
}

static void save_in_one_second(bool lose)
{
    for (int tries = 0; tries < 20; tries++) {
        time_t second = time(NULL);
        save_both("B", second, lose);
        bool in_time = time(NULL) - second < 2;
        size_t before = bursts();
        save_both("C", second, lose);
        if (!in_time) continue;
        assert_string_equal(print_news(before, bursts(), true), "lua/a.lua=C @viewdefs/T.D.html=C");
        before = bursts();
        for (int i = 0; i < 3; i++) {
            if (lose) ls__record_push(site.hotload, &(struct ls__record){.wd = -1, .mask = IN_Q_OVERFLOW, .name = ""});
            pass(100);
        }
        assert_int_equal(bursts(), before); /* the same texts are nothing new */
        return;
    }
    fail_msg("this thread never got its turn in time");
}

static void test_same_second(void **state) /* H87: a time younger than the clock's step proves nothing */
{
    (void)state;
    put("lua/a.lua", "A");
    put("viewdefs/T.D.html", "A");
    site.poll_ms = 20;
    start();
    save_in_one_second(false);
}

static void test_overflow_in_same_second(void **state) /* H85: nor does it when events were lost */
{
    (void)state;
    put("lua/a.lua", "A");
    put("viewdefs/T.D.html", "A");
    start();
    save_in_one_second(true);
}

static void test_second_name(void **state) /* H12, H87: a write by a hard link outside tells nothing: it is polled */
{
    (void)state;
    dirs("../elsewhere");
    put("../elsewhere/a", "1");
    put("../elsewhere/v", "1");
    put("../elsewhere/m", "1");
    if (link(at("../elsewhere/a"), at("lua/a.lua")) || link(at("../elsewhere/v"), at("viewdefs/T.D.html"))) fail();
    dirs("../other");
    if (link(at("../elsewhere/m"), at("../other/m.lua"))) fail();
    start();
    assert_true(logged("has another name"));
    loaded(1, "../other/m.lua", "../other/m.lua");
    settle();
    expect("../other/m.lua=1"); /* nobody had watched it */
    put("../elsewhere/a", "2");
    put("../elsewhere/v", "2");
    put("../elsewhere/m", "2");
    expect("../other/m.lua=2 lua/a.lua=2 @viewdefs/T.D.html=2");
    put("../elsewhere/a", "3"); /* as soon as that, and as long */
    expect("lua/a.lua=3");
    gone("../elsewhere/a");
    gone("../elsewhere/v");
    gone("../elsewhere/m");
    settle();
    assert_int_equal(ls_map_count(site.hotload->linked), 0); /* nothing is polled any more */
    put("lua/a.lua", "4");
    expect("lua/a.lua=4");
}

static void test_no_descriptors(void **state) /* H32: what could not be read for want of descriptors is read later */
{
    (void)state;
    struct rlimit old, none;
    put("lua/a.lua", "1");
    start();
    int fd = open_to_write("lua/a.lua", O_TRUNC, "2");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &none);
    close(fd);
    wait_logged("no file can be opened");
    forget_log();
    pass(1200);
    assert_int_equal(bursts(), 0);
    setrlimit(RLIMIT_NOFILE, &old);
    expect("lua/a.lua=2");
    assert_false(logged("\n")); /* said once */
}

static _Atomic int refusal;
static int refuse(void)
{
    return refusal;
}

static void test_watch_refused_for_a_while(void **state) /* H86: what may pass is tried again; polled meanwhile */
{
    (void)state;
    ls__hotload_seams.watch_error = refuse;
    refusal = EMFILE;
    put("lua/a.lua", "1");
    start();
    assert_true(logged("lua cannot be watched (Too many open files)"));
    site.hotload->poll_ns = ls_ms(20);
    put("lua/a.lua", "2");
    expect("lua/a.lua=2");
    refusal = 0;
    settle();
    for (int64_t until = ls_now_ns() + DEADLINE_NS; site.hotload->polled && ls_now_ns() < until;)
        settle();
    assert_int_equal(site.hotload->polled, 0);
    put("lua/a.lua", "3");
    expect("lua/a.lua=3");
}

static int give(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return lchown(path, 65534, 65534);
}

static void look_again(void)
{
    ls__record_push(site.hotload, &(struct ls__record){.wd = -1, .mask = IN_Q_OVERFLOW, .name = ""});
    settle();
}

/* Section 14: a folder that is closed has not gone, nor what it holds; it is looked at again when it is opened. */
static void test_closed_folder(void **state)
{
    (void)state;
    uid_t user = geteuid();
    dirs("lua/x/y");
    dirs("../elsewhere/z");
    put("lua/x/y/a.lua", "1");
    put("../elsewhere/z/b.lua", "1");
    dirs("viewdefs/v");
    put("viewdefs/v/T.D.html", "1");
    linked("../../../elsewhere/z/b.lua", "lua/x/b.lua");
    if (!user && (nftw(site.base, give, 32, FTW_PHYS) || seteuid(65534))) fail();
    start();
    loaded(1, "lua/x/y/a.lua", "lua/x/y/a.lua");
    loaded(1, "../elsewhere/z/b.lua", "lua/x/b.lua");
    settle();
    long uses = uses_of("lua/x/y");
    static const char *const folders[] = {"lua/x", "viewdefs/v", "../elsewhere", "viewdefs", "lua", ""};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char text[8], told[128];
        if (chmod(at("%s", folders[i]), 0)) fail();
        look_again();
        expect("");
        assert_false(logged("was deleted"));
        assert_true(logged("cannot be looked into"));
        assert_true(logged("chmod u+rx"));
        look_again();
        if (chmod(at("%s", folders[i]), 0755)) fail();
        settle();
        assert_int_equal(ls_map_count(site.hotload->closed), 0);
        expect("");
        assert_int_equal(uses_of("lua/x/y"), uses);
        snprintf(text, sizeof text, "%zu", i + 2);
        snprintf(told, sizeof told, "../elsewhere/z/b.lua=%s lua/x/y/a.lua=%s @viewdefs/v/T.D.html=%s", text, text,
                 text);
        put("lua/x/y/a.lua", text);
        put("../elsewhere/z/b.lua", text);
        put("viewdefs/v/T.D.html", text);
        expect(told);
        forget_log();
    }
    int fd = open_to_write("lua/x/y/a.lua", O_TRUNC, "closed meanwhile"); /* saved in a closed folder */
    if (chmod(at("lua/x/y"), 0)) fail();
    close(fd);
    expect("");
    if (chmod(at("lua/x/y"), 0755)) fail();
    expect("lua/x/y/a.lua=closed meanwhile");
    if (seteuid(user)) fail();
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, site_setup, writers_teardown)
    const struct CMUnitTest tests[] = {
        T(test_emptied_and_open),   T(test_half_and_open),       T(test_renamed_over_and_open),
        T(test_polled_and_open),    T(test_new_folder_and_open), T(test_overflow_and_open),
        T(test_asked_for_and_open), T(test_lease_breaks),        T(test_times_of_a_link),
        T(test_placeholder),        T(test_same_second),         T(test_overflow_in_same_second),
        T(test_second_name),        T(test_no_descriptors),      T(test_watch_refused_for_a_while),
        T(test_closed_folder),
    };
    return cmocka_run_group_tests_name("hotload: writers", tests, NULL, NULL);
}
