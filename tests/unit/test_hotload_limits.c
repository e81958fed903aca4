/* Overflow, limits, other file systems, start and stop, and stress (hotload.md sections 16, 18). */
#include "hotload_site.h"

#include <dirent.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/json.h"
#include "hotload/hotload_internal.h"

static int limits_teardown(void **state)
{
    memset(&ls__hotload_seams, 0, sizeof ls__hotload_seams);
    return site_teardown(state);
}

static void inject_overflow(void)
{
    ls__record_push(site.hotload, &(struct ls__record){.wd = -1, .mask = IN_Q_OVERFLOW, .name = ""});
}

static _Atomic int forced_error;
static int fail_watch(void)
{
    return forced_error;
}

static void test_overflow_record(void **state) /* H85: nothing differs: nothing is handed over; said at level 0 */
{
    (void)state;
    put("lua/a.lua", "1");
    put("viewdefs/T.D.html", "1");
    start();
    loaded(1, "lua/a.lua", "lua/a.lua");
    settle();
    const struct ls__dir *dir = site.hotload->trees[0].places.nodes[0]->dir;
    int wd = dir->wd;
    inject_overflow();
    expect("");
    assert_true(logged("overflowed"));
    assert_int_equal(dir->wd, wd); /* the kernel still has it */
    put("lua/a.lua", "2");
    expect("lua/a.lua=2");
}

/* What the watcher forwards while events are lost: nothing. */
static void test_overflow_finds_changes(
    void **state) /* H85: changed, new, deleted files and new directories are found without their events */
{
    (void)state;
    dirs("apps/old");
    dirs("other");
    put("other/m.lua", "1");
    put("apps/old/gone.lua", "1");
    put("lua/same.lua", "1");
    put("viewdefs/T.D.html", "1");
    start();
    loaded(1, "apps/old/gone.lua", "apps/old/gone.lua");
    loaded(1, "other/m.lua", "other/m.lua");
    news();
    pthread_mutex_lock(&site.hotload->lock);
    site.hotload->queued = SIZE_MAX / 2; /* the queue counts as full: records are dropped, as the kernel drops them */
    pthread_mutex_unlock(&site.hotload->lock);
    put("other/m.lua", "2");
    remove_tree(at("apps/old"));
    dirs("apps/new");
    put("apps/new/n.lua", "n");
    put("viewdefs/T.D.html", "2");
    expect("apps/new/n.lua=n apps/old/gone.lua=- other/m.lua=2 @viewdefs/T.D.html=2");
    put("apps/new/n.lua", "watched");
    expect("apps/new/n.lua=watched");
}

static void test_overflow_same_number(
    void **state) /* H85: a directory made again meanwhile is watched, also where it got the number of the one before */
{
    (void)state;
    struct stat first, again;
    dirs("apps/a");
    put("apps/a/m.lua", "1");
    start();
    loaded(1, "apps/a/m.lua", "apps/a/m.lua");
    news();
    assert_int_equal(stat(at("apps/a"), &first), 0);
    pthread_mutex_lock(&site.hotload->lock);
    site.hotload->queued = SIZE_MAX / 2;
    pthread_mutex_unlock(&site.hotload->lock);
    for (int i = 0; i < 50; i++) { /* file systems differ in when they give a number again */
        remove_tree(at("apps/a"));
        dirs("apps/a");
        if (stat(at("apps/a"), &again) == 0 && again.st_ino == first.st_ino) break;
    }
    put("apps/a/m.lua", "2");
    expect("apps/a/m.lua=2");
    put("apps/a/m.lua", "3");
    expect("apps/a/m.lua=3");
}

static void test_real_overflow(void **state) /* H85: more events than the kernel's queue holds */
{
    (void)state;
    long limit = 0;
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    if (!file || fscanf(file, "%ld", &limit) != 1) limit = 16384;
    if (file) fclose(file);
    if (limit > 70000) {
        print_message("[  NOTE  ] the kernel's queue is too long to be filled: skipped\n");
        skip();
    }
    dirs("lua/busy");
    put("lua/a.lua", "1");
    start();
    loaded(1, "lua/a.lua", "lua/a.lua");
    settle();
    /* The watcher stands still while somebody holds the lock of its queue. */
    pthread_mutex_lock(&site.hotload->lock);
    for (long i = 0; i < limit / 2 + 1000; i++) {
        char name[64];
        snprintf(name, sizeof name, "lua/busy/%ld", i % 50);
        put(name, "x");
        gone(name);
    }
    put("lua/a.lua", "2");
    dirs("lua/late");
    put("lua/late/b.lua", "b");
    pthread_mutex_unlock(&site.hotload->lock);
    const char *text = news();
    assert_non_null(strstr(text, "lua/a.lua=2"));
    assert_non_null(strstr(text, "lua/late/b.lua=b"));
    assert_true(logged("overflowed"));
    put("lua/late/b.lua", "c");
    expect("lua/late/b.lua=c");
}

static void test_watch_limit(void **state) /* H86: the message names the limit, the directories are polled */
{
    (void)state;
    put("lua/a.lua", "1");
    forced_error = ENOSPC;
    ls__hotload_seams.watch_error = fail_watch;
    start();
    assert_true(logged("fs.inotify.max_user_watches"));
    put("lua/a.lua", "2");
    expect("lua/a.lua=2");
    forced_error = 0;
    dirs("lua/later");
    put("lua/later/b.lua", "b");
    expect("lua/later/b.lua=b");
}

static const char *remote(const char *path)
{
    return strstr(path, "/remote") ? "NFS" : NULL;
}

static void test_remote_file_system(void **state) /* H88: noticed, said once, polled as well; the rest is watched */
{
    (void)state;
    dirs("../remote/x");
    put("../remote/x/a.lua", "1");
    linked("../../remote/x", "lua/far");
    ls__hotload_seams.remote_fs = remote;
    start();
    assert_true(logged("NFS"));
    put("../remote/x/a.lua", "2");
    expect("../remote/x/a.lua=2");
    put("lua/near.lua", "n");
    expect("lua/near.lua=n");
    struct ls_buf text = LS_BUF_INIT;
    ls_hotload_state_json(site.hotload, &text);
    assert_non_null(strstr(ls_buf_text(&text), "\"polled\":true"));
    assert_non_null(strstr(ls_buf_text(&text), "\"polled\":false"));
    ls_buf_release(&text);
}

/* H88: what is changed here is told by an event, without waiting for a poll, and once */
static void test_remote_events(void **state)
{
    (void)state;
    dirs("../remote/x");
    put("../remote/x/a.lua", "1");
    put("../remote/x/b.lua", "1");
    linked("../../remote/x", "lua/far");
    ls__hotload_seams.remote_fs = remote;
    ls__hotload_seams.poll_ms = 3600 * 1000; /* only events tell */
    start();
    loaded(1, "../remote/x/a.lua", "lua/far/a.lua");
    settle();
    size_t before = bursts();
    int64_t saved = ls_now_ns();
    put("../remote/x/a.lua", "2");
    wait_bursts(before + 1);
    assert_true(ls_now_ns() - saved < DEADLINE_NS); /* a look has an hour */
    expect("../remote/x/a.lua=2");
    settle();
    expect("");
    move("../remote/x/a.lua", "../remote/x/c.lua");
    move("../remote/x/b.lua", "../remote/x/a.lua");
    expect("../remote/x/a.lua=1 ../remote/x/c.lua=2");
    move("../remote/x", "../remote/y");
    expect("../remote/x/a.lua=-");
    move("../remote/y", "../remote/x");
    expect("../remote/x/a.lua=1 ../remote/x/c.lua=2");
    put("../remote/x/a.lua", "3");
    expect("../remote/x/a.lua=3");
}

static void test_polling(void **state) /* H87: by option; all other rules apply */
{
    (void)state;
    dirs("apps/a");
    dirs("../shared");
    put("../shared/s.lua", "1");
    put("lua/a.lua", "1");
    put("apps/a/m.lua", "1");
    put("viewdefs/T.D.html", "1");
    linked("../../shared/s.lua", "lua/s.lua");
    site.poll_ms = 20;
    start();
    loaded(1, "apps/a/m.lua", "apps/a/m.lua");
    loaded(1, "../shared/s.lua", "lua/s.lua");
    settle();
    put("lua/a.lua", "22");
    put("viewdefs/T.D.html", "22");
    expect("lua/a.lua=22 @viewdefs/T.D.html=22");
    remove_tree(at("apps/a"));
    expect("apps/a/m.lua=-");
    dirs("apps/a/b");
    put("apps/a/m.lua", "back");
    put("apps/a/b/n.lua", "n");
    expect("apps/a/b/n.lua=n apps/a/m.lua=back");
    put("apps/other.lua", "other");
    news();
    linked("../apps/other.lua", "lua/.t");
    move("lua/.t", "lua/s.lua");
    expect("../shared/s.lua>apps/other.lua=other");
    put("lua/.hidden.lua", "x");
    expect("");
    int64_t saved = ls_now_ns();
    size_t before = bursts();
    put("lua/a.lua", "333");
    wait_bursts(before + 1); /* found by the timer alone */
    assert_true(ls_now_ns() - saved >= ls_ms(100));
    settle();
}

/* H17, H87: what is re-pointed in a polled folder just before that is looked at more closely */
static void test_polled_more_closely(void **state)
{
    (void)state;
    site.poll_ms = 600000;
    dirs("out");
    dirs("other");
    put("other/a.lua", "1");
    put("other/b.lua", "2");
    put("out/z.lua", "3");
    linked("../other/a.lua", "out/l.lua");
    linked("../out/l.lua", "lua/x.lua");
    start();
    loaded(1, "other/a.lua", "lua/x.lua");
    settle();
    gone("out/l.lua");
    linked("../other/b.lua", "out/l.lua");
    loaded(1, "out/z.lua", "out/z.lua");
    settle();
    assert_non_null(strstr(news(), "other/a.lua>other/b.lua=2"));
}

static void test_second_loader(void **state) /* H96: a second start is refused and harmless */
{
    (void)state;
    LS_ERR(err);
    struct ls_hotload_config config = {.root = site.root, .debounce_ms = -1, .on_burst = on_burst, .ctx = &site};
    start();
    assert_null(ls_hotload_open(&config, &err));
    assert_int_equal(err.code, LS_EBUSY);
    put("lua/a.lua", "1");
    expect("lua/a.lua=1");
    ls_hotload_close(NULL);
    stop();
    start();
    put("lua/a.lua", "2");
    expect("lua/a.lua=2");
}

static void test_stop_discards(void **state) /* H95: pending files are discarded, at once */
{
    (void)state;
    site.debounce_ms = 5000;
    for (int tries = 0; tries < 20; tries++) {
        size_t before = bursts();
        start();
        int64_t begin = ls_now_ns();
        put("lua/a.lua", "1");
        while (ls_hotload_idle(site.hotload)) {
        }
        stop();
        if (ls_now_ns() - begin >= ls_ms(1000)) continue; /* it has become due (H28) before this thread got its turn */
        assert_int_equal(bursts(), before);
        return;
    }
    fail_msg("it never stops within a second");
}

static void test_stale_records(void **state) /* the library hands the records of an earlier opening to the next one */
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        start();
        for (int j = 0; j < 20; j++)
            put("lua/a.lua", "x");
        stop();
    }
    start();
    site.looked = bursts();
    expect("");
    put("lua/a.lua", "y");
    expect("lua/a.lua=y");
}

static size_t open_files(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static _Atomic bool storming;

static void *storm(void *arg)
{
    unsigned seed = 1;
    (void)arg;
    while (storming) {
        int n = rand_r(&seed) % 8;
        char a[256], b[300];
        snprintf(a, sizeof a, "%s/lua/d%d", site.root, n);
        snprintf(b, sizeof b, "%s/lua/d%d", site.root, rand_r(&seed) % 8);
        switch (rand_r(&seed) % 6) {
        case 0: mkdir(a, 0755); break;
        case 1: rename(a, b); break;
        case 2: remove_tree(a); break;
        case 3:
            if (symlink(b, a)) break;
            break;
        default:
            snprintf(b, sizeof b, "%s/m.lua", a);
            int fd = open(b, O_WRONLY | O_CREAT, 0644);
            if (fd >= 0) close(fd);
        }
    }
    return NULL;
}

static void test_open_close_under_storm(
    void **state) /* 100 openings and closings while trees are made, renamed and deleted: nothing is left */
{
    (void)state;
    pthread_t thread;
    storming = true;
    assert_int_equal(pthread_create(&thread, NULL, storm, NULL), 0);
    start();
    stop();
    size_t before = open_files();
    for (int i = 0; i < 100; i++) {
        start();
        loaded(i, "lua/d1/m.lua", "lua/d1/m.lua");
        wanted(i, "lua/d2/m.lua", "lua/d2/m.lua");
        if (i % 3 == 0) ls_hotload_idle(site.hotload);
        stop();
    }
    storming = false;
    pthread_join(thread, NULL);
    /* The storm's own descriptor may have been open at the first count. */
    assert_in_range(open_files(), before - 1, before);
    for (size_t i = 0; i < site.count; i++)
        ls_burst_unref(site.bursts[i]);
    site.count = site.looked = 0;
    start();
    remove_tree(at("lua"));
    dirs("lua");
    settle();
    news();
    put("lua/after.lua", "1");
    expect("lua/after.lua=1");
}

static void test_storm(void **state) /* a rename storm; afterwards everything is watched as if it had not been */
{
    (void)state;
    pthread_t thread;
    start();
    loaded(1, "lua/d1/m.lua", "lua/d1/m.lua");
    storming = true;
    assert_int_equal(pthread_create(&thread, NULL, storm, NULL), 0);
    int64_t until = ls_now_ns() + ls_ms(1500);
    while (ls_now_ns() < until)
        ls_hotload_idle(site.hotload);
    storming = false;
    pthread_join(thread, NULL);
    settle();
    for (int i = 0; i < 8; i++) {
        char name[64], wanted_text[80];
        snprintf(name, sizeof name, "lua/d%d", i);
        remove_tree(at("%s", name));
        dirs(name);
        news();
        snprintf(name, sizeof name, "lua/d%d/m.lua", i);
        put(name, "calm");
        snprintf(wanted_text, sizeof wanted_text, "%s=calm", name);
        const char *text =
            news(); /* a path in use may have been a link in the storm: then its old key stands before it */
        if (!ls_has_suffix(text, wanted_text) || strstr(text, "||"))
            fail_msg("\"%s\" instead of \"%s\"", text, wanted_text);
    }
}

static void test_out_of_memory(
    void **state) /* each allocation of an opening fails once: refused, or working as far as it goes; nothing leaks */
{
    (void)state;
    dirs("apps/a/b");
    dirs("../shared");
    put("../shared/s.lua", "1");
    linked("../../shared/s.lua", "lua/s.lua");
    linked("../apps/a", "lua/a");
    put("apps/a/b/m.lua", "1");
    bool failed = true;
    long n = 1;
    for (; failed; n++) {
        LS_ERR(err);
        struct ls_hotload_config config = {.root = site.root, .debounce_ms = -1, .on_burst = on_burst, .ctx = &site};
        ls_alloc_fail_at(n);
        struct ls_hotload *hotload = ls_hotload_open(&config, &err);
        failed = ls_alloc_fail_at(0) >= n;
        if (!hotload) assert_int_equal(err.code, LS_ENOMEM);
        ls_hotload_close(hotload);
    }
    assert_true(n > 50);
}

static void test_wake_up_directory_taken(
    void **state) /* somebody cleans temporary directories: watching goes on, and can be stopped */
{
    (void)state;
    char name[512];
    struct dirent *entry;
    setenv("XDG_RUNTIME_DIR", site.base, 1);
    start();
    for (int round = 0; round < 3; round++) {
        DIR *base = opendir(site.base);
        size_t taken = 0;
        while ((entry = readdir(base)))
            if (ls_has_prefix(entry->d_name, "lsess-watch-")) {
                snprintf(name, sizeof name, "%s/%s", site.base, entry->d_name);
                remove_tree(name);
                taken++;
            }
        closedir(base);
        assert_int_equal(taken, 1);
        dirs("lua/new");
        put("lua/new/a.lua", "1");
        settle();
        expect("lua/new/a.lua=1");
        remove_tree(at("lua/new"));
        settle();
    }
    stop();
    unsetenv("XDG_RUNTIME_DIR");
}

static void test_state(void **state) /* H101 */
{
    (void)state;
    struct ls_buf text = LS_BUF_INIT;
    put("apps/a.lua", "1");
    linked("../apps/a.lua", "lua/\"a\".lua");
    linked("nowhere", "lua/b.lua");
    site.debounce_ms = 5000;
    start();
    put("apps/a.lua", "2");
    while (ls_hotload_idle(site.hotload)) {
    }
    assert_int_equal(ls_hotload_state_json(site.hotload, &text), 0);
    const char *json = ls_buf_text(&text), *value;
    size_t len;
    struct ls_json_reader reader;
    ls_json_read(&reader, json, text.len);
    assert_true(ls_json_skip(&reader, ls_json_next(&reader), &value, &len));
    assert_int_equal(ls_json_next(&reader), LS_JSON_END);
    assert_non_null(strstr(json, "\"pendingReloads\":[\""));
    assert_non_null(strstr(json, "/lua/\\\"a\\\".lua\",\"target\":\""));
    assert_non_null(strstr(json, "/lua/b.lua\",\"target\":null}"));
    ls_buf_release(&text);
}

static void test_many_sessions(void **state) /* uses from several threads at once */
{
    (void)state;
    start();
    put("lua/a.lua", "1");
    news();
    for (int64_t i = 0; i < 2000; i++)
        loaded(i, "lua/a.lua", "lua/a.lua");
    settle();
    long uses = uses_of("lua");
    for (int64_t i = 0; i < 1999; i++)
        ls_hotload_session_ended(site.hotload, i);
    settle();
    assert_int_equal(uses_of("lua"), uses); /* one path is one use, however many sessions */
    put("lua/a.lua", "2");
    expect("lua/a.lua=2");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, site_setup, limits_teardown)
    const struct CMUnitTest tests[] = {
        T(test_overflow_record),
        T(test_overflow_finds_changes),
        T(test_overflow_same_number),
        T(test_real_overflow),
        T(test_watch_limit),
        T(test_remote_file_system),
        T(test_remote_events),
        T(test_polling),
        T(test_polled_more_closely),
        T(test_second_loader),
        T(test_stop_discards),
        T(test_stale_records),
        T(test_open_close_under_storm),
        T(test_storm),
        T(test_out_of_memory),
        T(test_wake_up_directory_taken),
        T(test_state),
        T(test_many_sessions),
    };
    return cmocka_run_group_tests_name("hotload: limits", tests, NULL, NULL);
}
