/* Random trees: files, folders, links to both and chains of them are written, renamed, exchanged, swapped, removed and
 * mounted over at random, and what the hot loader has said is compared with what `require` would find now, and what a
 * fresh walk of viewdefs/ gives (H9, H13, H14, H17, H18, H80, H81, H85, H87).
 *
 * A program of its own, a process for each way and file system, for they mostly wait; of inotify's library a process
 * has one. Each way takes a part of the steps:
 *   events   as they come
 *   poll     without events
 *   overflow the kernel's queue overflows in each batch
 *   stopped  the process is stopped while the steps are taken
 * LSESS_TREE_STEPS (10000) and LSESS_TREE_SEED (1) say how many and which; LSESS_TREE_ONLY=poll/disk runs one of them;
 * LSESS_TREE_TRACE=1 tells each step. Some steps mount, where that is allowed.
 * The choices are those of the seed, what threads see in between is the machine's. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "files/fspath.h"
#include "hotload/hotload_internal.h"

enum {
    MOST_ENTRIES = 160, /* more are not made */
    ENOUGH = 24,        /* files; fewer are planted */
    MOST_MOUNTS = 3,
    BATCH = 12,    /* steps between two comparisons, at most */
    SETTLE_S = 30, /* so long a comparison may have to be waited for */
    DEPTH = 12,    /* folders above the tree */
    DEEPEST = 10,  /* and in it, at most */
    FLOOD = 6000,  /* files made and removed: more records than the kernel's queue holds */
    TEXT = 64,
};

enum way { EVENTS, POLL, OVERFLOW, STOPPED, WAYS };
static const char *const way_names[WAYS] = {"events", "poll", "overflow", "stopped"};

/* What a process that takes the steps while this one is stopped hands back. */
struct shared {
    uint64_t random;
    unsigned serial;                    /* of texts: no two are alike */
    char mounts[MOST_MOUNTS][PATH_MAX]; /* "" = free */
    char last[32768];                   /* the steps of this batch, in words */
    size_t last_len;
};

static struct {
    enum way way;
    const char *disk;
    uint64_t seed;
    char base[256], place[300];
    bool may_mount;
    struct shared *shared;
    struct ls_hotload *hotload;
    pthread_mutex_t lock;
    struct ls_burst *bursts[512];
    size_t count;
    int batch;
    size_t compared; /* files that were there */
} run;

/* A request path, and what the session that asked for it has. */
struct asked {
    char path[400];
    char key[512];    /* "" = not loaded */
    char wanted[512]; /* then: under which key it is waited for */
    char text[TEXT];
};
static struct asked asked[64];
static size_t asked_count;
static struct ls_map *views; /* request path -> text */

static void __attribute__((noreturn, format(printf, 1, 2))) wrong(const char *format, ...)
{
    va_list args;
    printf("not ok random trees, %s on %s, seed %llu, batch %d: ", way_names[run.way], run.disk,
           (unsigned long long)run.seed, run.batch);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\nthe last steps:\n%s", run.shared->last);
    struct ls_buf state = LS_BUF_INIT;
    if (run.hotload && getenv("LSESS_TREE_STATE") && ls_hotload_state_json(run.hotload, &state) == 0)
        printf("%s\n", ls_buf_text(&state));
    fflush(stdout);
    _exit(1);
}

/* --- chance --- */

static uint64_t draw(void)
{
    uint64_t x = run.shared->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return run.shared->random = x;
}

static unsigned below(unsigned limit)
{
    return (unsigned)((draw() >> 11) % limit);
}

static void __attribute__((format(printf, 1, 2))) note(const char *format, ...)
{
    struct shared *s = run.shared;
    va_list args;
    va_start(args, format);
    if (s->last_len + 600 < sizeof s->last) {
        int len = vsnprintf(s->last + s->last_len, 600, format, args);
        if (getenv("LSESS_TREE_TRACE")) fputs(s->last + s->last_len, stderr);
        s->last_len += len < 600 ? (size_t)len : 599;
    }
    va_end(args);
}

/* --- what is there --- */

static char entries[MOST_ENTRIES * 2][256];
static mode_t types[MOST_ENTRIES * 2];
static size_t entry_count;

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void list(const char *dir, int depth)
{
    DIR *stream = opendir(dir);
    char names[64][NAME_MAX + 1];
    size_t count = 0;
    for (const struct dirent *found; stream && (found = readdir(stream)) && count < 64;)
        if (found->d_name[0] != '.') strcpy(names[count++], found->d_name);
    if (stream) closedir(stream);
    qsort(names, count, sizeof *names, by_text);
    for (size_t i = 0; i < count && entry_count < MOST_ENTRIES * 2; i++) {
        struct stat info;
        char *path = entries[entry_count];
        if (snprintf(path, sizeof *entries, "%s/%s", dir, names[i]) >= (int)sizeof *entries || lstat(path, &info))
            continue;
        types[entry_count++] = info.st_mode & S_IFMT;
        if (S_ISDIR(info.st_mode) && depth < DEEPEST) list(entries[entry_count - 1], depth + 1);
    }
}

/* An entry of the type, 0 = of any; NULL if there is none. */
static const char *pick(mode_t type)
{
    size_t fit[MOST_ENTRIES * 2], count = 0;
    for (size_t i = 0; i < entry_count; i++)
        if ((!type || types[i] == type) && strcmp(entries[i], run.place) != 0) fit[count++] = i;
    return count ? entries[fit[below((unsigned)count)]] : NULL;
}

/* A name in some folder, there or not: such as is asked for, mostly. */
static void name_in(char *out, size_t size, bool folder)
{
    static const char *const files[] = {"m.lua", "n.lua", "main.lua", "V.D.html", "W.D.html"};
    static const char *const folders[] = {"a", "b", "x", "y", "lua", "viewdefs", "m.lua"};
    const char *dir = pick(S_IFDIR);
    snprintf(out, size, "%s/%s", dir ? dir : run.base, folder ? folders[below(7)] : files[below(5)]);
}

/* --- steps --- */

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    (void)remove(path);
    return 0;
}

static bool write_text(const char *path, int flags)
{
    char text[TEXT];
    int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0644);
    if (fd < 0) return false;
    unsigned serial = ++run.shared->serial;
    int len = snprintf(text, sizeof text, "return %u --%.*s", serial, (int)(serial % 7), "------");
    bool ok = write(fd, text, (size_t)len) == len;
    close(fd);
    return ok;
}

static void step_write(void)
{
    char name[512];
    const char *path = below(3) ? pick(S_IFREG) : NULL;
    if (!path || entry_count < 12) {
        name_in(name, sizeof name, false);
        path = name;
    }
    note("write %s: %d\n", path, write_text(path, O_TRUNC));
}

static void step_replace(void)
{
    char temporary[512], name[512];
    const char *path = below(2) ? pick(S_IFREG) : NULL;
    if (!path) {
        name_in(name, sizeof name, false);
        path = name;
    }
    snprintf(temporary, sizeof temporary, "%s/.new", run.base);
    if (!write_text(temporary, O_EXCL)) return;
    struct timespec times[2] = {{1000000 + run.shared->serial, 0}, {1000000 + run.shared->serial, 0}};
    if (below(4) == 0) (void)utimensat(AT_FDCWD, temporary, times, 0); /* H76: older */
    bool ok = rename(temporary, path) == 0;
    note("replace %s: %d\n", path, ok);
    if (!ok) (void)unlink(temporary);
}

static void step_unlink(void)
{
    const char *path = pick(below(2) ? S_IFREG : S_IFLNK);
    if (path) note("unlink %s: %d\n", path, unlink(path) == 0);
}

static void step_folder(void)
{
    char name[512];
    name_in(name, sizeof name, true);
    note("mkdir %s: %d\n", name, mkdir(name, 0755) == 0);
}

static void step_clear(void)
{
    const char *path = pick(S_IFDIR);
    if (!path) return;
    note("rm -r %s\n", path);
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void step_rename(void)
{
    char name[512];
    const char *from = pick(0);
    if (!from) return;
    if (below(2)) {
        const char *to = pick(0);
        snprintf(name, sizeof name, "%s", to ? to : from);
    } else
        name_in(name, sizeof name, below(2));
    note("mv %s %s: %d\n", from, name, rename(from, name) == 0);
}

static void step_exchange(void)
{
    const char *one = below(12) ? pick(0) : run.place, *other = pick(0);
    if (!one || !other || strcmp(one, other) == 0) return;
    note("exchange %s %s: %d\n", one, other,
         syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) == 0);
}

static void step_link(void)
{
    char name[512], target[600], temporary[512];
    const char *to = pick(below(3) ? S_IFDIR : 0), *over = below(2) ? pick(S_IFLNK) : NULL;
    if (!to) return;
    if (over)
        snprintf(name, sizeof name, "%s", over);
    else
        name_in(name, sizeof name, below(2));
    char *dir = ls_path_dir(name), *relative = ls_path_relative(dir, to);
    snprintf(target, sizeof target, "%s", below(2) ? relative : to);
    ls_free(dir);
    ls_free(relative);
    if (below(10) == 0) strcat(target, "-nowhere");
    if (below(2)) {
        bool went = unlink(name) == 0;
        note("ln -s %s %s: %d %d\n", target, name, went, symlink(target, name) == 0);
        return;
    }
    snprintf(temporary, sizeof temporary, "%s/.link", run.base);
    bool made = symlink(target, temporary) == 0, over_it = rename(temporary, name) == 0;
    note("ln -sT %s %s: %d %d\n", target, name, made, over_it);
    if (!over_it) (void)unlink(temporary);
}

/* The site's own path (H17). */
static void step_root(void)
{
    char link[512];
    snprintf(link, sizeof link, "%s/.link", run.base);
    const char *target = below(2) ? "r1" : "r2";
    bool made = symlink(target, link) == 0, over = rename(link, run.place) == 0;
    note("ln -sT %s %s: %d %d\n", target, run.place, made, over);
    if (!over) (void)unlink(link);
}

static void step_mount(void)
{
    const char *path = pick(S_IFDIR), *from = pick(S_IFDIR);
    for (size_t i = 0; run.may_mount && path && i < MOST_MOUNTS; i++) {
        char *slot = run.shared->mounts[i];
        if (*slot) {
            if (below(2)) continue;
            note("umount %s: %d\n", slot, umount2(slot, below(2) ? 0 : MNT_DETACH) == 0);
            /* renamed with the folder it lies in, it is found under no name any more: it stays */
            *slot = 0;
            return;
        }
        bool bind = getenv("LSESS_TREE_BINDS") && below(2);
        bool ok = mount(bind ? from : "none", path, bind ? NULL : "tmpfs", bind ? MS_BIND : 0, NULL) == 0;
        note("mount %s %s: %d\n", bind ? from : "tmpfs", path, ok);
        if (ok) strcpy(slot, path);
        return;
    }
}

/* What keeps the tree worth looking at: a site is there most of the time, and files where they are asked for. */
static void step_plant(void)
{
    static const char *const places[] = {"r1",          "r1/lua",        "r1/lua/a", "r1/lua/b", "r1/apps",
                                         "r1/apps/x",   "r1/viewdefs",   "r2",       "r2/lua",   "r2/lua/a",
                                         "r2/viewdefs", "r1/viewdefs/a", "far",      "far/a"};
    char path[512];
    struct stat info;
    /* an exchange may have left a link to itself, or folders no site can lead to */
    for (const char *const *top = (const char *const[]){"r1", "r2", NULL}; *top; top++) {
        snprintf(path, sizeof path, "%s/%s", run.base, *top);
        if (lstat(path, &info) == 0 && !S_ISDIR(info.st_mode)) (void)unlink(path);
    }
    if (stat(run.place, &info) || !S_ISDIR(info.st_mode)) (void)unlink(run.place);
    (void)(symlink("r1", run.place) == 0);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%s/%s", run.base, places[i]);
        if (mkdir(path, 0755) && below(3)) continue;
        strcat(path, strstr(places[i], "viewdefs") ? "/V.D.html" : below(2) ? "/m.lua" : "/n.lua");
        if (access(path, F_OK)) (void)write_text(path, O_EXCL);
    }
    note("plant\n");
}

static void take_step(void)
{
    static void (*const steps[])(void) = {
        step_write,  step_write,    step_write,    step_replace, step_replace, step_unlink, step_folder, step_rename,
        step_rename, step_exchange, step_exchange, step_link,    step_link,    step_link,   step_mount,  step_plant,
    };
    entry_count = 0;
    list(run.base, 0);
    struct stat info;
    size_t files = 0;
    for (size_t i = 0; i < entry_count; i++)
        files += types[i] == S_IFREG;
    if (entry_count > MOST_ENTRIES || below(60) == 0)
        step_clear();
    else if ((files < ENOUGH || stat(run.place, &info)) && below(3) == 0)
        step_plant();
    else if (below(60) == 0)
        step_root();
    else
        steps[below(sizeof steps / sizeof *steps)]();
    if (run.way != OVERFLOW && below(4) == 0) usleep(below(12) * 1000);
}

/* --- the model --- */

/* What is at the path now: key and text as `require` would take them. False: nothing. */
static bool find_now(const char *path, char *key, char *text)
{
    struct stat info;
    char *real = ls_path_real(path, NULL), *name = NULL;
    bool found = real && stat(real, &info) == 0 && S_ISREG(info.st_mode);
    int fd = found ? open(real, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t len = fd >= 0 ? read(fd, text, TEXT - 1) : -1;
    if (fd >= 0) close(fd);
    if (len >= 0) text[len] = 0;
    found = found && len >= 0 && (name = ls_path_key(run.place, real));
    if (found) snprintf(key, sizeof asked->key, "%s", name);
    ls_free(name);
    ls_free(real);
    return found;
}

static void use(struct asked *one, bool found)
{
    const char *paths[] = {one->path};
    if (found) {
        ls_hotload_loaded(run.hotload, 1, one->key, paths, 1);
        return;
    }
    char *real = ls_path_real_lenient(NULL, one->path, NULL), *key = real ? ls_path_key(run.place, real) : NULL;
    one->key[0] = one->text[0] = 0;
    snprintf(one->wanted, sizeof one->wanted, "%s", key ? key : "");
    ls_hotload_wanted(run.hotload, 1, one->wanted, paths, 1);
    ls_free(key);
    ls_free(real);
}

static void ask(const char *format, ...)
{
    struct asked *one = &asked[asked_count++];
    va_list args;
    va_start(args, format);
    vsnprintf(one->path, sizeof one->path, format, args);
    va_end(args);
    use(one, find_now(one->path, one->key, one->text));
}

/* A burst as a session takes it. */
static void take_file(const struct ls_reload_file *file)
{
    char text[TEXT] = "";
    note("told %s%s%s %s%s\n", file->old_key ? file->old_key : "", file->old_key ? ">" : "", file->key, file->path,
         file->text ? "" : " gone");
    if (file->text) snprintf(text, sizeof text, "%.*s", (int)ls_bytes_len(file->text), ls_bytes_data(file->text));
    for (size_t i = 0; i < asked_count; i++) {
        struct asked *one = &asked[i];
        bool moved = file->old_key && strcmp(one->key, file->old_key) == 0 && strcmp(one->path, file->path) == 0;
        if (!one->key[0]) {
            if (strcmp(file->path, one->path) != 0 && strcmp(file->key, one->wanted) != 0) continue;
            if (find_now(one->path, one->key, one->text)) use(one, true);
            continue;
        }
        if (moved) {
            ls_hotload_unloaded(run.hotload, 1, one->key);
            snprintf(one->key, sizeof one->key, "%s", file->key);
            for (size_t j = 0; j < asked_count; j++) /* that of the others still counts */
                if (asked[j].key[0]) use(&asked[j], true);
        }
        if (file->text && strcmp(one->key, file->key) == 0) strcpy(one->text, text);
    }
}

static void take_bursts(void)
{
    pthread_mutex_lock(&run.lock);
    size_t count = run.count;
    struct ls_burst *taken[512];
    memcpy(taken, run.bursts, count * sizeof *taken);
    run.count = 0;
    pthread_mutex_unlock(&run.lock);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < taken[i]->file_count; j++)
            take_file(&taken[i]->files[j]);
        for (size_t j = 0; j < taken[i]->view_count; j++) {
            const struct ls_view_file *view = &taken[i]->views[j];
            void *old = NULL;
            note("told %s%s\n", view->path, view->text ? "" : " gone");
            if (view->text)
                ls_map_put(views, view->path, strlen(view->path), ls_strdup(ls_bytes_data(view->text)), &old);
            else
                old = ls_map_take(views, view->path, strlen(view->path));
            ls_free(old);
        }
        ls_burst_unref(taken[i]);
    }
}

struct look {
    struct ls_map *seen;
    bool compare;
    char dir[400];
};

static int look_at_view(void *ctx, const char *rel, bool is_dir)
{
    struct look *look = ctx;
    char path[512], key[512], text[TEXT];
    if (is_dir || !ls_has_suffix(rel, ".html")) return 0;
    snprintf(path, sizeof path, "%s/%s", look->dir, rel);
    if (!find_now(path, key, text)) return 0;
    ls_map_put(look->seen, path, strlen(path), look, NULL);
    run.compared++;
    const char *have = ls_map_get(views, path, strlen(path));
    if (!look->compare) {
        ls_map_put(views, path, strlen(path), ls_strdup(text), NULL);
        return 0;
    }
    if (!have || strcmp(have, text) != 0)
        wrong("the view %s is \"%s\", told was \"%s\"", path, text, have ? have : "nothing");
    return 0;
}

static void look_at_views(bool compare)
{
    struct look look = {.seen = ls_map_new(), .compare = compare};
    snprintf(look.dir, sizeof look.dir, "%s/viewdefs", run.place);
    ls_tree_walk(NULL, false, look.dir, look_at_view, &look, NULL);
    for (struct ls_map_item *item = compare ? ls_map_first(views) : NULL; item; item = ls_map_next(item)) {
        size_t len;
        const char *path = ls_map_key(item, &len);
        if (!ls_map_get(look.seen, path, len))
            wrong("the view %s is not there, told was \"%s\"", path, (char *)ls_map_value(item));
    }
    ls_map_free(look.seen, NULL);
}

static void compare(void)
{
    char key[512], text[TEXT];
    struct stat info;
    if (stat(run.place, &info)) return; /* no site: nothing can be asked for */
    for (size_t i = 0; i < asked_count; i++) {
        const struct asked *one = &asked[i];
        if (!find_now(one->path, key, text)) continue;
        run.compared++;
        if (strcmp(one->key, key) != 0 || strcmp(one->text, text) != 0)
            wrong("%s is %s with \"%s\", the session has %s with \"%s\"", one->path, key, text,
                  one->key[0] ? one->key : "nothing", one->text);
    }
    look_at_views(true);
}

/* --- the run --- */

static void on_burst(void *ctx, struct ls_burst *burst)
{
    (void)ctx;
    pthread_mutex_lock(&run.lock);
    if (run.count < 512) run.bursts[run.count++] = ls_burst_ref(burst);
    pthread_mutex_unlock(&run.lock);
}

static void settle(void)
{
    int64_t until = ls_now_ns() + SETTLE_S * INT64_C(1000000000);
    size_t left;
    do {
        while (!ls_hotload_idle(run.hotload)) {
            if (ls_now_ns() > until) wrong("it does not settle");
            usleep(1000);
        }
        pthread_mutex_lock(&run.lock);
        left = run.count;
        pthread_mutex_unlock(&run.lock);
        take_bursts();
    } while (left); /* what is used now may have changed before that was known */
}

static void flood(void)
{
    char path[400];
    snprintf(path, sizeof path, "%s/lua/.flood", run.place);
    for (int i = 0; i < FLOOD; i++) {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0) return;
        close(fd);
        (void)unlink(path);
    }
}

static void take_steps(int count)
{
    int first = (int)below((unsigned)count + 1);
    for (int i = 0; i < count; i++) {
        if (i == first && run.way == OVERFLOW) flood();
        take_step();
    }
}

static void take_batch(int count)
{
    run.shared->last[run.shared->last_len = 0] = 0;
    if (run.way == OVERFLOW) {
        /* with the lock held, the watcher's thread cannot read on */
        pthread_mutex_lock(&run.hotload->lock);
        take_steps(count);
        pthread_mutex_unlock(&run.hotload->lock);
        usleep(20000); /* a mark would be lost as well */
    } else if (run.way == STOPPED) {
        pid_t process = getpid(), child = fork();
        if (child == 0) {
            kill(process, SIGSTOP);
            take_steps(count);
            kill(process, SIGCONT);
            _exit(0);
        }
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            continue;
    } else
        take_steps(count);
}

/* Mounts are made in a name space of the process's own. */
static bool may_mount(void)
{
    if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS)) return false;
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL)) return false;
    char path[400];
    snprintf(path, sizeof path, "%s/probe", run.base);
    bool ok = mkdir(path, 0755) == 0 && mount("none", path, "tmpfs", 0, NULL) == 0 && umount2(path, 0) == 0;
    (void)rmdir(path);
    return ok;
}

static void run_way(enum way way, const char *disk, const char *folder, int steps)
{
    LS_ERR(err);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    run.way = way;
    run.disk = disk;
    run.shared = mmap(NULL, sizeof *run.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    run.shared->random = run.seed * 0x9E3779B97F4A7C15u + 1;
    pthread_mutex_init(&run.lock, NULL);
    /* so deep that no link that was moved can lead out */
    char *real = ls_path_real(folder, NULL);
    size_t len = (size_t)snprintf(run.base, sizeof run.base, "%s", real);
    ls_free(real);
    for (int i = 0; i < DEPTH; i++) {
        strcpy(run.base + len, "/d");
        len += 2;
        if (mkdir(run.base, 0755)) wrong("%s: %s", run.base, strerror(errno));
    }
    snprintf(run.place, sizeof run.place, "%s/site", run.base);
    run.may_mount = may_mount();
    step_plant();
    ls_log_open(&(struct ls_log_config){.verbosity = 0,
                                        .file = getenv("LSESS_TREE_LOG") ? getenv("LSESS_TREE_LOG") : "/dev/null"},
                NULL);
    struct ls_hotload_config config = {
        .root = run.place, .debounce_ms = 3, .poll_ms = way == POLL ? 40 : 0, .on_burst = on_burst};
    run.hotload = ls_hotload_open(&config, &err);
    if (!run.hotload) wrong("%s", ls_err_text(&err));
    views = ls_map_new();
    look_at_views(false);
    static const char *const names[] = {"m.lua",   "n.lua",     "a/m.lua", "a/n.lua",
                                        "b/m.lua", "a/b/m.lua", "x/m.lua", "main.lua"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ask("%s/lua/%s", run.place, names[i]);
        ask("%s/apps/%s", run.place, names[i]);
        if (i < 4) ask("%s/far/%s", run.base, names[i]);
    }
    settle();
    for (run.batch = 0; steps > 0; run.batch++) {
        int count = 1 + (int)below(way == EVENTS || way == STOPPED ? BATCH : BATCH * 3);
        if (count > steps) count = steps;
        take_batch(count);
        steps -= count;
        settle();
        compare();
    }
    ls_hotload_close(run.hotload);
    printf("ok random trees, %s on %s: %d comparisons of %zu files%s\n", way_names[way], disk, run.batch, run.compared,
           run.may_mount ? "" : " (# SKIP steps that mount)");
    fflush(stdout);
    _exit(0);
}

int main(void)
{
    const char *steps_text = getenv("LSESS_TREE_STEPS"), *seed_text = getenv("LSESS_TREE_SEED");
    const char *only = getenv("LSESS_TREE_ONLY");
    const struct {
        const char *name, *folder;
    } disks[] = {{"disk", access("build", W_OK) == 0 ? "build" : "/tmp"}, {"tmpfs", "/dev/shm"}};
    long steps = steps_text ? atol(steps_text) : 10000;
    char folders[WAYS * 2][64] = {{0}};
    int failed = 0, status;
    run.seed = seed_text ? strtoull(seed_text, NULL, 10) : 1;
    for (int way = 0; way < WAYS; way++)
        for (size_t disk = 0; disk < 2; disk++) {
            char name[32], *folder = folders[way * 2 + (int)disk];
            snprintf(name, sizeof name, "%s/%s", way_names[way], disks[disk].name);
            if (only && strcmp(only, name) != 0) continue;
            snprintf(folder, sizeof *folders, "%s/lsess-trees-XXXXXX", disks[disk].folder);
            if (!mkdtemp(folder)) {
                printf("not ok random trees: no folder %s: %s\n", folder, strerror(errno));
                return 1;
            }
            fflush(stdout);
            if (fork() == 0) run_way((enum way)way, disks[disk].name, folder, (int)(only ? steps : steps / 8));
        }
    while (wait(&status) > 0)
        failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    /* what was mounted has gone with the processes */
    for (size_t i = 0; i < WAYS * 2; i++)
        if (folders[i][0]) nftw(folders[i], remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    return failed != 0;
}
