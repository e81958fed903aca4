/* Watcher thread of the hot loader; the only place that includes inotifytools.
 *
 * A private directory is watched beside those of the site. Making a file in it wakes the thread, which sits in the
 * library's blocking call and cannot be reached otherwise: `ask` for a request, `mark-N` to learn that everything
 * before has been read, `end` to stop.
 *
 * Refuses to look at the file system beyond setting watches, to keep times, or to interpret records. Rules: H11 (by
 * device and inode), H86, H95. */
#include "hotload/watcher.h"

#include <errno.h>
#include <fcntl.h>
#include <inotifytools/inotify.h>
#include <inotifytools/inotifytools.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

enum { ANSWER_MS = 5000 }; /* a request that takes longer has failed: its directory is polled */

enum request_kind { REQUEST_NONE, REQUEST_ADD, REQUEST_REMOVE };

struct ls__watcher {
    /* -- immutable after open */
    void (*forward)(void *ctx, const struct ls__record *record);
    void *ctx;
    pthread_t thread;
    bool started;
    int inotify; /* the library's descriptor */
    /* -- protected by private_lock */
    pthread_mutex_t private_lock;
    char *private_dir; /* owned: the wake-up directory */
    /* -- watcher thread only (any before start) */
    int private_wd;
    unsigned long serial; /* makes each name in the library's table unique */
    /* -- protected by lock: one request at a time */
    pthread_mutex_t lock;
    pthread_cond_t answered;
    enum request_kind kind;
    int wd;
    uint32_t mask;
    bool failed; /* the thread has given up: requests fail at once */
    /* -- atomic */
    atomic_bool ending;
};

/* The library is one per process, and so is its user. */
static atomic_flag claimed = ATOMIC_FLAG_INIT;
static atomic_ulong openings;

/* Make the file and remove it: its creation is the event. By path, never through a descriptor: an open one would keep
 * the directory alive when it is removed, and the watcher from learning of it; and there may be none left.
 * @return 0 or an errno; ENOENT: the directory has been taken, which wakes the watcher by itself */
static int touch(struct ls__watcher *watcher, const char *name)
{
    char path[600];
    pthread_mutex_lock(&watcher->private_lock);
    snprintf(path, sizeof path, "%s/%s", watcher->private_dir ? watcher->private_dir : "", name);
    int error = mknod(path, S_IFREG | 0600, 0) ? errno : 0;
    if (!error) unlink(path);
    pthread_mutex_unlock(&watcher->private_lock);
    return error;
}

/* A path by which this very directory can be named and that no earlier watch had: the library finds a watch's number by
 * its name, and keeps the names of directories that are gone. The kernel reads `//` and `/./` alike, so the bits of a
 * serial number can be spelled with them. */
static void spell_path(char *out, size_t size, int fd, unsigned long serial)
{
    int length = snprintf(out, size, "/proc/self/fd/%d", fd);
    size_t at = (size_t)length;
    do {
        const char *bit = serial & 1 ? "/./" : "//";
        size_t more = strlen(bit);
        if (at + more >= size) break;
        memcpy(out + at, bit, more + 1);
        at += more;
        serial >>= 1;
    } while (serial);
}

static int add_watch_fd(struct ls__watcher *watcher, int fd, uint32_t mask)
{
    char name[256];
    spell_path(name, sizeof name, fd, ++watcher->serial);
    if (!inotifytools_watch_file(name, (int)mask)) return inotifytools_error() > 0 ? -inotifytools_error() : -EIO;
    int wd = inotifytools_wd_from_filename(name);
    return wd > 0 ? wd : -EIO;
}

static void serve_request(struct ls__watcher *watcher)
{
    pthread_mutex_lock(&watcher->lock);
    if (watcher->kind == REQUEST_ADD) {
        int fd = watcher->wd;
        watcher->wd = add_watch_fd(watcher, fd, watcher->mask);
    } else if (watcher->kind == REQUEST_REMOVE)
        inotifytools_remove_watch_by_wd(watcher->wd);
    if (watcher->kind != REQUEST_NONE) {
        watcher->kind = REQUEST_NONE;
        pthread_cond_broadcast(&watcher->answered);
    }
    pthread_mutex_unlock(&watcher->lock);
}

static int ask(struct ls__watcher *watcher, enum request_kind kind, int number, uint32_t mask)
{
    int result, error = 0;
    pthread_mutex_lock(&watcher->lock);
    watcher->kind = kind;
    watcher->wd = number;
    watcher->mask = mask;
    if (!watcher->started) {
        pthread_mutex_unlock(&watcher->lock);
        serve_request(watcher);
        pthread_mutex_lock(&watcher->lock);
    } else if (!watcher->failed) {
        pthread_mutex_unlock(&watcher->lock);
        error = touch(watcher, "ask");
        pthread_mutex_lock(&watcher->lock);
        /* the wake-up directory was taken: the watcher makes another one and serves this then */
        if (error == ENOENT) error = 0;
    }
    int64_t until = ls_now_ns() + ls_ms(ANSWER_MS);
    while (watcher->kind != REQUEST_NONE && !watcher->failed && !error &&
           ls_cond_wait_until(&watcher->answered, &watcher->lock, until))
        continue;
    result = watcher->kind != REQUEST_NONE || watcher->failed ? -EIO : watcher->wd;
    watcher->kind = REQUEST_NONE;
    pthread_mutex_unlock(&watcher->lock);
    return result;
}

int ls__watcher_add(struct ls__watcher *watcher, const char *path, dev_t dev, ino_t ino, uint32_t mask)
{
    struct stat info;
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), result;
    if (fd < 0) return -errno;
    if (fstat(fd, &info))
        result = -errno;
    else if (info.st_dev != dev || info.st_ino != ino)
        result = -ENOENT;
    else
        result = ask(watcher, REQUEST_ADD, fd, mask | IN_ONLYDIR);
    close(fd);
    return result;
}

void ls__watcher_remove(struct ls__watcher *watcher, int wd)
{
    ask(watcher, REQUEST_REMOVE, wd, 0);
}

struct ls_idmap *ls__watcher_alive(const struct ls__watcher *watcher)
{
    char line[512];
    unsigned wd;
    snprintf(line, sizeof line, "/proc/self/fdinfo/%d", watcher->inotify);
    FILE *info = fopen(line, "re");
    struct ls_idmap *alive = info ? ls_idmap_new() : NULL;
    bool whole = alive;
    while (whole && fgets(line, sizeof line, info))
        if (sscanf(line, "inotify wd:%x ", &wd) == 1) whole = ls_idmap_put(alive, (int64_t)wd, alive, NULL);
    whole = whole && !ferror(info) && ls_idmap_count(alive);
    if (info) fclose(info);
    if (whole) return alive;
    ls_idmap_free(alive, NULL);
    return NULL;
}

void ls__watcher_mark(struct ls__watcher *watcher, uint64_t mark)
{
    char name[32];
    snprintf(name, sizeof name, "mark-%llu", (unsigned long long)mark);
    touch(watcher, name);
}

static int make_private(struct ls__watcher *watcher, struct ls_err *err)
{
    const char *places[] = {getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp", "/dev/shm", "/var/tmp"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char name[512];
        if (!places[i] || !*places[i]) continue;
        if ((size_t)snprintf(name, sizeof name, "%s/lsess-watch-XXXXXX", places[i]) >= sizeof name || !mkdtemp(name))
            continue;
        int fd = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        int wd = fd < 0 ? -errno : add_watch_fd(watcher, fd, IN_CREATE | IN_ONLYDIR);
        char *copy = ls_strdup(name);
        if (wd > 0 && copy) {
            pthread_mutex_lock(&watcher->private_lock);
            watcher->private_dir = copy;
            watcher->private_wd = wd;
            pthread_mutex_unlock(&watcher->private_lock);
            close(fd);
            return 0;
        }
        ls_free(copy);
        if (fd >= 0) close(fd);
        rmdir(name);
        if (wd == -ENOSPC)
            return ls_fail(err, LS_ELIMIT, "No directory can be watched: the limit fs.inotify.max_user_watches is %ld.",
                           ls__watcher_limit());
        return ls_fail(err, LS_EIO, "The wake-up directory %s cannot be watched: %s.", name,
                       strerror(wd < 0 ? -wd : ENOMEM));
    }
    return ls_fail(err, LS_EIO, "No temporary directory is writable, and watching needs one to be woken up.");
}

static void remove_private(struct ls__watcher *watcher)
{
    pthread_mutex_lock(&watcher->private_lock);
    if (watcher->private_dir) rmdir(watcher->private_dir);
    ls_free(watcher->private_dir);
    watcher->private_dir = NULL;
    pthread_mutex_unlock(&watcher->private_lock);
}

static void give_up(struct ls__watcher *watcher, const char *why)
{
    struct ls__record record = {.name = "", .broken = true};
    ls_log(0, "Hot reload: watching has failed, changes are found by polling from now on. %s", why);
    pthread_mutex_lock(&watcher->lock);
    watcher->failed = true;
    pthread_cond_broadcast(&watcher->answered);
    pthread_mutex_unlock(&watcher->lock);
    watcher->forward(watcher->ctx, &record);
}

/* A record of the private directory. @return false at the end */
static bool read_private(struct ls__watcher *watcher, const struct inotify_event *event)
{
    const char *name = event->len ? event->name : "";
    /* Somebody who cleans temporary directories has taken it: without another one nothing could end this thread. */
    if (event->mask & IN_IGNORED) {
        LS_ERR(err);
        remove_private(watcher);
        if (make_private(watcher, &err)) {
            give_up(watcher, ls_err_text(&err));
            return false;
        }
    }
    serve_request(watcher);
    if (strncmp(name, "mark-", 5) == 0) {
        struct ls__record record = {.mark = strtoull(name + 5, NULL, 10), .name = ""};
        watcher->forward(watcher->ctx, &record);
    }
    return !atomic_load(&watcher->ending);
}

static void *watcher_main(void *arg)
{
    struct ls__watcher *watcher = arg;
    for (bool go = true; go;) {
        struct inotify_event *event = inotifytools_next_event(-1);
        if (!event) {
            int error = inotifytools_error();
            if (error == EINTR || error == EAGAIN || error == 0) {
                go = !atomic_load(&watcher->ending);
                continue;
            }
            give_up(watcher, strerror(error));
            break;
        }
        if (event->wd == watcher->private_wd)
            go = read_private(watcher, event);
        else {
            struct ls__record record = {.wd = event->wd, .mask = event->mask, .name = event->len ? event->name : ""};
            watcher->forward(watcher->ctx, &record);
            /* A full queue swallows wake-ups as well: whatever they were for is served here. */
            if (event->mask & IN_Q_OVERFLOW) {
                serve_request(watcher);
                go = !atomic_load(&watcher->ending);
            }
        }
    }
    return NULL;
}

/* The library keeps records that were read but not asked for in a static buffer, also across clean-up and set-up: read
 * until a mark of this opening comes by. */
static bool skip_stale(struct ls__watcher *watcher)
{
    char name[48];
    bool found = false;
    snprintf(name, sizeof name, "open-%lu", atomic_fetch_add(&openings, 1) + 1);
    for (bool more = touch(watcher, name) == 0; more && !found;) {
        struct inotify_event *event = inotifytools_next_event(2);
        more = event;
        found = event && event->len && strcmp(event->name, name) == 0;
    }
    return found;
}

/* The library's descriptor would be inherited by every program that is started from here, and keep the watches alive.
 * */
static void close_on_exec(struct ls__watcher *watcher)
{
    for (int fd = 0; fd < FD_SETSIZE; fd++) {
        char name[40], target[64];
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        ssize_t len = readlink(name, target, sizeof target - 1);
        if (len <= 0) continue;
        target[len] = 0;
        if ((strcmp(target, "anon_inode:inotify") && strcmp(target, "inotify")) || fcntl(fd, F_GETFD) & FD_CLOEXEC)
            continue;
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        watcher->inotify = fd;
    }
}

static int set_up(struct ls__watcher *watcher, struct ls_err *err)
{
    /* The library waits with select(2), and gives no access to its descriptor: make sure that it will be a small
     * number. */
    int probe = open("/proc/self/fd", O_PATH | O_CLOEXEC);
    if (probe < 0) return ls_fail(err, LS_EIO, "/proc is not there, and watching needs it: %s.", strerror(errno));
    close(probe);
    if (probe >= FD_SETSIZE) return ls_fail(err, LS_EIO, "Too many files are open to start watching.");
    int result;
    errno = 0;
    if (!inotifytools_initialize()) {
        int error = inotifytools_error() > 0 ? inotifytools_error() : errno;
        if (error == EMFILE || error == ENFILE)
            return ls_fail(err, LS_ELIMIT,
                           "No further inotify instance can be made: the limit fs.inotify.max_user_instances is %d.",
                           inotifytools_get_max_user_instances());
        return ls_fail(err, LS_EIO, "inotify cannot be used: %s.", strerror(error));
    }
    close_on_exec(watcher);
    result = make_private(watcher, err);
    if (!result && !skip_stale(watcher))
        result = ls_fail(err, LS_EIO, "inotify reports nothing about the wake-up directory.");
    if (result) inotifytools_cleanup();
    return result;
}

static void free_watcher(struct ls__watcher *watcher)
{
    remove_private(watcher);
    pthread_cond_destroy(&watcher->answered);
    pthread_mutex_destroy(&watcher->lock);
    pthread_mutex_destroy(&watcher->private_lock);
    ls_free(watcher);
    atomic_flag_clear(&claimed);
}

struct ls__watcher *ls__watcher_open(void (*forward)(void *ctx, const struct ls__record *record), void *ctx,
                                     struct ls_err *err)
{
    if (atomic_flag_test_and_set(&claimed)) {
        ls_fail(err, LS_EBUSY, "Another hot loader of this process is watching.");
        return NULL;
    }
    struct ls__watcher *watcher = ls_zalloc(sizeof *watcher);
    if (!watcher) {
        ls_fail(err, LS_ENOMEM, "Out of memory while starting the watcher.");
        atomic_flag_clear(&claimed);
        return NULL;
    }
    watcher->forward = forward;
    watcher->ctx = ctx;
    pthread_mutex_init(&watcher->lock, NULL);
    pthread_mutex_init(&watcher->private_lock, NULL);
    pthread_cond_init(&watcher->answered, NULL);
    if (set_up(watcher, err) == 0) return watcher;
    free_watcher(watcher);
    return NULL;
}

int ls__thread_start(pthread_t *thread, const char *name, void *(*fn)(void *ctx), void *ctx, struct ls_err *err)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = ls_thread_start(thread, name, 0, fn, ctx);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error) return ls_fail(err, LS_EIO, "The thread %s of hot reload cannot be started: %s.", name, strerror(error));
    return 0;
}

int ls__watcher_start(struct ls__watcher *watcher, struct ls_err *err)
{
    watcher->started = true;
    if (ls__thread_start(&watcher->thread, "ls-watch", watcher_main, watcher, err) == 0) return 0;
    watcher->started = false;
    return LS_EIO;
}

void ls__watcher_close(struct ls__watcher *watcher)
{
    if (!watcher) return;
    if (watcher->started) {
        atomic_store(&watcher->ending, true);
        touch(watcher, "end");
        pthread_join(watcher->thread, NULL);
    }
    inotifytools_cleanup();
    free_watcher(watcher);
}

long ls__watcher_limit(void)
{
    return inotifytools_get_max_user_watches();
}
