/* A site in a temporary folder with a hot loader on it, for tests/unit/test_hotload*.c. Waits are on conditions:
 * `settle` returns when the hot loader has read every event of what happened before and nothing is pending any more. */
#ifndef TESTS_UNIT_HOTLOAD_SITE_H
#define TESTS_UNIT_HOTLOAD_SITE_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "files/fspath.h"
#include "base/log.h"
#include "hotload/hotload.h"

#define DEADLINE_NS (60LL * 1000000000)
#define MAX_BURSTS  4096

struct site {
    char base[64];  /* temporary folder */
    char root[128]; /* the site in it */
    struct ls_hotload *hotload;
    int64_t debounce_ms, poll_ms;
    pthread_mutex_t lock;
    struct ls_burst *bursts[MAX_BURSTS];
    int64_t at_ns[MAX_BURSTS]; /* when each arrived */
    size_t count;
    size_t looked;     /* bursts that an expectation has seen */
    int64_t looked_ns; /* when it had */
    char log[16384];   /* records of level 0 and 1 */
    size_t log_len;
};

static struct site site;

__attribute__((unused)) static void on_burst(void *ctx, struct ls_burst *burst)
{
    struct site *s = ctx;
    pthread_mutex_lock(&s->lock);
    if (s->count < MAX_BURSTS) {
        s->at_ns[s->count] = ls_now_ns();
        s->bursts[s->count++] = ls_burst_ref(burst);
    }
    pthread_mutex_unlock(&s->lock);
}

__attribute__((unused)) static void on_log(void *ctx, int level, const char *session, const char *text, size_t len)
{
    struct site *s = ctx;
    (void)session;
    if (level > 1) return;
    pthread_mutex_lock(&s->lock);
    if (s->log_len + len + 2 < sizeof s->log) {
        memcpy(s->log + s->log_len, text, len);
        s->log_len += len;
        s->log[s->log_len++] = '\n';
        s->log[s->log_len] = 0;
    }
    pthread_mutex_unlock(&s->lock);
}

/* What has been logged so far counts no more. */
__attribute__((unused)) static void forget_log(void)
{
    pthread_mutex_lock(&site.lock);
    site.log_len = 0;
    site.log[0] = 0;
    pthread_mutex_unlock(&site.lock);
}

/* --- files: paths are below the site's root unless absolute --- */

__attribute__((unused, format(printf, 1, 2))) static const char *at(const char *format, ...)
{
    static char ring[16][4096];
    static unsigned next;
    char *out = ring[next++ % 16], rel[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(rel, sizeof rel, format, args);
    va_end(args);
    if (rel[0] == '/')
        snprintf(out, sizeof ring[0], "%s", rel);
    else
        snprintf(out, sizeof ring[0], "%s/%s", site.root, rel);
    return out;
}

__attribute__((unused)) static void dirs(const char *rel)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", at("%s", rel));
    for (char *p = path + 1; *p; p++)
        if (*p == '/') {
            *p = 0;
            if (mkdir(path, 0755) && errno != EEXIST) fail_msg("mkdir %s: %s", path, strerror(errno));
            *p = '/';
        }
    if (mkdir(path, 0755) && errno != EEXIST) fail_msg("mkdir %s: %s", path, strerror(errno));
}

__attribute__((unused)) static void write_all(int fd, const char *text)
{
    size_t len = strlen(text);
    if (write(fd, text, len) != (ssize_t)len) fail_msg("write: %s", strerror(errno));
}

/* Truncate and write in place. */
__attribute__((unused)) static void put(const char *rel, const char *text)
{
    int fd = open(at("%s", rel), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) fail_msg("open %s: %s", rel, strerror(errno));
    if (*text) write_all(fd, text);
    close(fd);
}

__attribute__((unused)) static void move(const char *from, const char *to)
{
    if (rename(at("%s", from), at("%s", to))) fail_msg("rename %s: %s", from, strerror(errno));
}

__attribute__((unused)) static void gone(const char *rel)
{
    if (unlink(at("%s", rel))) fail_msg("unlink %s: %s", rel, strerror(errno));
}

__attribute__((unused)) static void linked(const char *target, const char *rel)
{
    if (symlink(target, at("%s", rel))) fail_msg("symlink %s: %s", rel, strerror(errno));
}

__attribute__((unused)) static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(path);
}

__attribute__((unused)) static void remove_tree(const char *path)
{
    nftw(path, remove_entry, 32, FTW_DEPTH | FTW_PHYS);
}

/* --- the hot loader --- */

__attribute__((unused)) static void start(void)
{
    LS_ERR(err);
    struct ls_hotload_config config = {.root = site.root,
                                       .debounce_ms = site.debounce_ms,
                                       .poll_ms = site.poll_ms,
                                       .ctx = &site,
                                       .on_burst = on_burst};
    site.hotload = ls_hotload_open(&config, &err);
    if (!site.hotload) fail_msg("%s", ls_err_text(&err));
}

__attribute__((unused)) static void stop(void)
{
    ls_hotload_close(site.hotload);
    site.hotload = NULL;
}

__attribute__((unused)) static int site_setup(void **state)
{
    (void)state;
    memset(&site, 0, sizeof site);
    pthread_mutex_init(&site.lock, NULL);
    strcpy(site.base, "/tmp/lsess-hotload-XXXXXX");
    if (!mkdtemp(site.base)) return -1;
    snprintf(site.root, sizeof site.root, "%s/site", site.base);
    site.debounce_ms =
        /* threads that wait for their turn do not tear apart what belongs together; tests of the usual windows (H23)
         * set -1 */
        40;
    ls_log_open(&(struct ls_log_config){.verbosity = 1, .file = "/dev/null"}, NULL);
    ls_log_tap(on_log, &site);
    dirs("lua");
    dirs("apps");
    dirs("viewdefs");
    return 0;
}

__attribute__((unused)) static int site_teardown(void **state)
{
    (void)state;
    stop();
    ls_log_tap(NULL, NULL);
    ls_log_close();
    for (size_t i = 0; i < site.count; i++)
        ls_burst_unref(site.bursts[i]);
    remove_tree(site.base);
    pthread_mutex_destroy(&site.lock);
    return 0;
}

__attribute__((unused)) static size_t bursts(void)
{
    pthread_mutex_lock(&site.lock);
    size_t count = site.count;
    pthread_mutex_unlock(&site.lock);
    return count;
}

/* Everything that happened so far has been handed over or dropped. */
__attribute__((unused)) static void settle(void)
{
    int64_t until = ls_now_ns() + DEADLINE_NS;
    while (!ls_hotload_idle(site.hotload)) {
        if (ls_now_ns() > until) {
            struct ls_buf text = LS_BUF_INIT;
            ls_hotload_state_json(site.hotload, &text);
            fail_msg("does not settle: %s", ls_buf_text(&text));
        }
        sched_yield();
    }
}

__attribute__((unused)) static void wait_bursts(size_t count)
{
    int64_t until = ls_now_ns() + DEADLINE_NS;
    while (bursts() < count) {
        if (ls_now_ns() > until) fail_msg("%zu bursts instead of %zu", bursts(), count);
        sched_yield();
    }
}

/* What the log says so far contains `text`. */
__attribute__((unused)) static bool logged(const char *text)
{
    pthread_mutex_lock(&site.lock);
    bool found = strstr(site.log, text) != NULL;
    pthread_mutex_unlock(&site.lock);
    return found;
}

/* --- expectations about the bursts since the last one --- */

#define MAX_NEWS 4096

struct news {
    char key[4200];
    const char *text;
    bool view;
};

__attribute__((unused)) static int by_key(const void *a, const void *b)
{
    const struct news *x = a, *y = b;
    return x->view != y->view ? x->view - y->view : strcmp(x->key, y->key);
}

/* "key=text key=text @view=text …" of the new bursts, bursts separated by " || "; a file that is gone has "-" as text.
 * `joined` is as one burst would have told it. */
__attribute__((unused)) static const char *print_news(size_t from, size_t to, bool joined)
{
    static char out[65536];
    static struct news all[MAX_NEWS];
    size_t len = 0, count = 0;
    out[0] = 0;
    for (size_t at = from; at < to; at++) {
        const struct ls_burst *burst = site.bursts[at];
        size_t first = joined ? 0 : count, before = count;
        for (size_t i = 0; i < burst->file_count + burst->view_count && count < MAX_NEWS; i++) {
            struct news one = {.view = i >= burst->file_count};
            const struct ls_reload_file *file = &burst->files[i];
            const struct ls_view_file *view = one.view ? &burst->views[i - burst->file_count] : NULL;
            const struct ls_bytes *text = view ? view->text : file->text;
            if (view)
                snprintf(one.key, sizeof one.key, "@%s", view->path + strlen(site.root) + 1);
            else
                snprintf(one.key, sizeof one.key, "%s%s%s", file->old_key ? file->old_key : "",
                         file->old_key ? ">" : "", file->key);
            one.text = text ? ls_bytes_data(text) : "-";
            size_t same = first; /* told by an earlier burst: the newer text counts */
            while (same < before && strcmp(all[same].key, one.key) != 0)
                same++;
            if (same == before) same = count++;
            all[same] = one;
        }
        if (joined && at + 1 < to) continue;
        if (joined) qsort(all, count, sizeof *all, by_key);
        if (len) len += (size_t)snprintf(out + len, sizeof out - len, " || ");
        for (size_t i = first; i < count && len < sizeof out - 1; i++)
            len +=
                (size_t)snprintf(out + len, sizeof out - len, "%s%s=%s", i > first ? " " : "", all[i].key, all[i].text);
    }
    return out;
}

__attribute__((unused)) static const char *news(void)
{
    settle();
    size_t from = site.looked;
    site.looked = bursts();
    site.looked_ns = ls_now_ns();
    return print_news(from, site.looked, false);
}

/* The news, to be compared with `wanted`. What would be one burst may come as several where the test itself was kept
 * waiting between its writes for longer than a file takes to settle (H23); they are joined then. */
__attribute__((unused)) static const char *news_as(const char *wanted)
{
    int64_t settles_ms = site.debounce_ms >= 0 ? site.debounce_ms : 5;
    bool late = ls_now_ns() - site.looked_ns >= settles_ms * 1000000;
    size_t from = site.looked;
    const char *told = news();
    if (late && strcmp(told, wanted) != 0 && !strstr(wanted, " || ")) told = print_news(from, site.looked, true);
    return told;
}

#define expect(text) assert_string_equal(news_as(text), text)

/* --- uses --- */

__attribute__((unused)) static void loaded(int64_t session, const char *key, const char *path)
{
    const char *paths[] = {at("%s", path)};
    ls_hotload_loaded(site.hotload, session, key, paths, 1);
}

__attribute__((unused)) static void wanted(int64_t session, const char *key, const char *path)
{
    const char *paths[] = {at("%s", path)};
    ls_hotload_wanted(site.hotload, session, key, paths, 1);
}

/* Use count of a watched directory as the state lists it (H101), 0 if it is not watched. */
__attribute__((unused)) static long uses_of(const char *rel)
{
    struct ls_buf text = LS_BUF_INIT;
    char wanted_text[4200];
    long uses = 0;
    assert_int_equal(ls_hotload_state_json(site.hotload, &text), 0);
    snprintf(wanted_text, sizeof wanted_text, "{\"path\":\"%s\",\"uses\":", at("%s", rel));
    const char *found = strstr(ls_buf_text(&text), wanted_text);
    if (found) uses = strtol(found + strlen(wanted_text), NULL, 10);
    ls_buf_release(&text);
    return uses;
}

#endif
