/* Benchmark of the hot loader alone, without sessions and sockets: rows as JSON lines.
 *
 *     hotload [RUNS]
 *
 * "save" is close(2) of a written file until on_burst is called, the quiet window of 5 ms included; "burst" the last of
 * 30 files written in a row until the burst with all of them, the window of 20 ms included (H23). "walk" is what
 * opening takes for a tree of 1,000 folders. */
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "hotload/hotload.h"

enum { BURST_FILES = 30, FOLDERS = 1000, FILE_BYTES = 5000 };

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    size_t files;  /* handed over since the last reset */
    int64_t at_ns; /* when the last of them came */
};

static void on_burst(void *ctx, struct ls_burst *burst)
{
    struct waiter *waiter = ctx;
    int64_t now = ls_now_ns();
    pthread_mutex_lock(&waiter->lock);
    waiter->files += burst->file_count;
    waiter->at_ns = now;
    pthread_cond_signal(&waiter->arrived);
    pthread_mutex_unlock(&waiter->lock);
}

/* @return when the last of `files` files was handed over; 0 = not within 5 s */
static int64_t wait_for(struct waiter *waiter, size_t files)
{
    struct timespec until;
    int64_t at_ns;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 5;
    pthread_mutex_lock(&waiter->lock);
    int error = 0;
    while (waiter->files < files && !error)
        error = pthread_cond_timedwait(&waiter->arrived, &waiter->lock, &until);
    at_ns = waiter->files >= files ? waiter->at_ns : 0;
    waiter->files = 0;
    pthread_mutex_unlock(&waiter->lock);
    return at_ns;
}

/* @return when it was closed; 0 on failure */
static int64_t save(const char *path, unsigned number)
{
    char text[FILE_BYTES];
    memset(text, '-', sizeof text);
    snprintf(text, 32, "return %u --", number);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return 0;
    bool ok = write(fd, text, sizeof text) == sizeof text;
    close(fd);
    return ok ? ls_now_ns() : 0;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void row(const char *name, double value)
{
    printf("{\"name\":\"%s\",\"value\":%.3f,\"unit\":\"ms\"}\n", name, value);
}

static void rows(const char *name, int64_t *times, size_t count)
{
    char text[96];
    if (!count) return;
    qsort(times, count, sizeof *times, by_value);
    snprintf(text, sizeof text, "%s p50", name);
    row(text, (double)times[count / 2] / 1e6);
    snprintf(text, sizeof text, "%s p95", name);
    row(text, (double)times[count * 95 / 100] / 1e6);
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void measure(const char *root, struct waiter *waiter, struct ls_hotload *hotload, size_t runs)
{
    int64_t *times = calloc(runs, sizeof *times);
    char path[256];
    size_t count = 0;
    for (size_t run = 0; times && run < runs; run++) {
        snprintf(path, sizeof path, "%s/lua/one.lua", root);
        int64_t closed = save(path, (unsigned)run), handed = wait_for(waiter, 1);
        if (closed && handed) times[count++] = handed - closed;
        while (!ls_hotload_idle(hotload)) {
        }
    }
    rows("hotload: save to burst", times, count);
    count = 0;
    for (size_t run = 0; times && run < runs / 4 + 1 && run < runs; run++) {
        int64_t closed = 0;
        for (unsigned i = 0; i < BURST_FILES; i++) {
            snprintf(path, sizeof path, "%s/lua/m%u.lua", root, i);
            closed = save(path, (unsigned)run);
        }
        int64_t handed = wait_for(waiter, BURST_FILES);
        if (closed && handed) times[count++] = handed - closed;
        while (!ls_hotload_idle(hotload)) {
        }
    }
    rows("hotload: last of 30 saves to burst", times, count);
    free(times);
}

int main(int argc, char **argv)
{
    char root[] = "/tmp/lsess-bench-XXXXXX", path[256];
    struct waiter waiter = {.lock = PTHREAD_MUTEX_INITIALIZER, .arrived = PTHREAD_COND_INITIALIZER};
    struct ls_hotload_config config = {.root = root, .debounce_ms = -1, .ctx = &waiter, .on_burst = on_burst};
    LS_ERR(err);
    long runs = argc > 1 ? atol(argv[1]) : 200;
    if (runs < 1 || !mkdtemp(root)) return 2;
    snprintf(path, sizeof path, "%s/lua", root);
    mkdir(path, 0755);
    for (int i = 0; i < FOLDERS; i++) {
        snprintf(path, sizeof path, "%s/lua/d%d", root, i);
        mkdir(path, 0755);
    }
    int64_t begin = ls_now_ns();
    struct ls_hotload *hotload = ls_hotload_open(&config, &err);
    if (hotload) {
        row("hotload: open, 1,000 folders", (double)(ls_now_ns() - begin) / 1e6);
        measure(root, &waiter, hotload, (size_t)runs);
    } else
        fprintf(stderr, "hotload: %s\n", ls_err_text(&err));
    ls_hotload_close(hotload);
    nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return hotload ? 0 : 1;
}
