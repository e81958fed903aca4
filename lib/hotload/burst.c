/* Bursts: immutable, counted, the same object for every session (H38); the stable read that fills them (H29); and the
 * burst that `lsess reload` asks for (C1, H2). Thread: any; a burst is filled by one thread and read only afterwards.
 * */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "files/fspath.h"
#include "hotload/hotload_internal.h"

struct ls_burst *ls__burst_new(void)
{
    struct ls_burst *burst = ls_zalloc(sizeof *burst);
    if (burst) atomic_init(&burst->refs, 1);
    return burst;
}

struct ls_burst *ls_burst_ref(struct ls_burst *burst)
{
    if (burst) atomic_fetch_add_explicit(&burst->refs, 1, memory_order_relaxed);
    return burst;
}

static void release_file(struct ls_reload_file *file)
{
    ls_free((char *)file->key);
    ls_free((char *)file->old_key);
    ls_free((char *)file->path);
    ls_bytes_unref(file->text);
}

void ls_burst_unref(struct ls_burst *burst)
{
    if (!burst || atomic_fetch_sub_explicit(&burst->refs, 1, memory_order_acq_rel) != 1) return;
    for (size_t i = 0; i < burst->file_count; i++)
        release_file(&burst->files[i]);
    for (size_t i = 0; i < burst->view_count; i++) {
        ls_free((char *)burst->views[i].path);
        ls_bytes_unref(burst->views[i].text);
    }
    ls_free(burst->files);
    ls_free(burst->views);
    ls_free(burst);
}

bool ls__burst_add_lua(struct ls_burst *burst, const char *key, const char *old_key, const char *path,
                       struct ls_bytes *text)
{
    struct ls_reload_file file = {.key = ls_strdup(key),
                                  .old_key = old_key ? ls_strdup(old_key) : NULL,
                                  .path = ls_strdup(path),
                                  .text = ls_bytes_ref(text),
                                  .hash = ls_hash(ls_bytes_data(text), ls_bytes_len(text))};
    if (file.key && file.path && (!old_key || file.old_key) &&
        LS_PUSH(burst->files, burst->file_count, burst->file_cap, file))
        return true;
    release_file(&file);
    return false;
}

void ls__burst_remove(struct ls_burst *burst, size_t index)
{
    release_file(&burst->files[index]);
    memmove(&burst->files[index], &burst->files[index + 1], (--burst->file_count - index) * sizeof *burst->files);
}

bool ls__burst_add_view(struct ls_burst *burst, const char *path, struct ls_bytes *text)
{
    char *copy = ls_strdup(path);
    if (copy && LS_PUSH(burst->views, burst->view_count, burst->view_cap,
                        (struct ls_view_file){.path = copy, .text = ls_bytes_ref(text)}))
        return true;
    ls_free(copy);
    return false;
}

static int by_key(const void *a, const void *b)
{
    const struct ls_reload_file *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : strcmp(x->path, y->path);
}

/* What went comes first: a view file that moved must not seem to be there twice (H80). */
static int by_path(const void *a, const void *b)
{
    const struct ls_view_file *x = a, *y = b;
    return !x->text == !y->text ? strcmp(x->path, y->path) : x->text ? 1 : -1;
}

void ls__burst_sort(struct ls_burst *burst)
{
    if (burst->file_count) qsort(burst->files, burst->file_count, sizeof *burst->files, by_key);
    if (burst->view_count) qsort(burst->views, burst->view_count, sizeof *burst->views, by_path);
}

/* --- reading --- */

static bool same_version(const struct stat *a, const struct stat *b)
{
    struct ls__stamp x, y;
    ls__stamp_of(&x, a);
    ls__stamp_of(&y, b);
    return ls__stamp_equal(&x, &y);
}

enum ls__read ls__read_stable(const char *within, const char *path, struct ls_bytes **text, struct ls__stamp *stamp,
                              struct ls_err *err)
{
    struct stat before, after, at_path;
    LS_ERR(why);
    int fd = ls_file_open(within, path, &before, &why);
    *text = NULL;
    if (fd == LS_ENOTFOUND || (fd < 0 && errno == ELOOP)) return LS__READ_GONE;
    if (fd < 0 && ls__is_starved(errno, err)) return LS__READ_STARVED;
    if (fd >= 0 && ls__has_writer(fd)) {
        close(fd);
        return LS__READ_OPEN;
    }
    if (fd >= 0) *text = ls_file_read_open(fd, path, 0, &why);
    if (!*text) ls_fail(err, why.code, "Hot reload: a file cannot be read. %s", ls_err_text(&why));
    enum ls__read result = *text ? LS__READ_OK : LS__READ_FAILED;
    if (*text &&
        (fstat(fd, &after) || stat(path, &at_path) || !same_version(&before, &after) ||
         !same_version(&after, &at_path) || ls_bytes_len(*text) != (size_t)after.st_size || ls__has_writer(fd))) {
        ls_bytes_unref(*text);
        *text = NULL;
        result = LS__READ_UNSTABLE;
    }
    if (result == LS__READ_OK) ls__stamp_of(stamp, &after);
    if (fd >= 0) close(fd);
    return result;
}

/* --- lsess reload --- */

struct collect {
    const char *within, *root;
    const char *dir; /* absolute: what is walked */
    struct ls_burst *burst;
    struct ls_map *seen; /* keys that are in */
    struct ls_err *err;
};

/* A file that is just being written is waited for a little; a person has asked for it. */
static int read_named(const char *within, const char *path, struct ls_bytes **text, struct ls_err *err)
{
    struct ls__stamp stamp;
    struct timespec pause = {0, 5 * 1000000};
    enum ls__read result = LS__READ_UNSTABLE;
    for (int tries = 0; (result == LS__READ_UNSTABLE || result == LS__READ_OPEN) && tries < 100; tries++) {
        if (tries) nanosleep(&pause, NULL);
        result = ls__read_stable(within, path, text, &stamp, err);
    }
    if (result == LS__READ_OK) return 0;
    if (result == LS__READ_GONE) return ls_fail(err, LS_ENOTFOUND, "There is no file %s.", path);
    if (result == LS__READ_UNSTABLE) return ls_fail(err, LS_EBUSY, "%s keeps changing while it is read.", path);
    if (result == LS__READ_OPEN)
        return ls_fail(err, LS_EBUSY, "%s is still open for writing in another program.", path);
    return LS_EIO;
}

static int collect_file(struct collect *collect, const char *path, bool view)
{
    struct ls_bytes *text = NULL;
    char *real = ls_path_within(collect->within, path, collect->err);
    char *key = !real ? NULL : view ? ls_strdup(path) : ls_path_key(collect->root, real);
    int result = !real ? collect->err->code : key ? 0 : LS_ENOMEM;
    char *plain = key ? ls_path_relative(collect->root, path) : NULL;
    /* by a link, which sessions may have followed when it led elsewhere: each one for itself (H17) */
    bool linked = plain && !view && strcmp(plain, key) != 0;
    const char *known = linked ? plain : key;
    if (!result && !ls_map_get(collect->seen, known, strlen(known))) {
        result = read_named(collect->within, path, &text, collect->err);
        if (!result && !(view ? ls__burst_add_view(collect->burst, path, text)
                              : ls__burst_add_lua(collect->burst, key, linked ? "" : NULL, path, text)))
            result = LS_ENOMEM;
        if (!result) ls_map_put(collect->seen, known, strlen(known), collect, NULL);
        if (!result) ls_map_put(collect->seen, key, strlen(key), collect, NULL);
    }
    ls_free(plain);
    if (result == LS_ENOMEM) ls_fail(collect->err, LS_ENOMEM, "Out of memory while reading the files to reload.");
    ls_bytes_unref(text);
    ls_free(key);
    ls_free(real);
    return result;
}

static int collect_walked(void *ctx, const char *rel, bool is_dir)
{
    struct collect *collect = ctx;
    bool view = ls_has_suffix(collect->dir, "/viewdefs");
    if (is_dir || ls__name_ignored(ls_path_base(rel)) || !ls_has_suffix(rel, view ? ".html" : ".lua")) return 0;
    struct ls_buf path = LS_BUF_INIT;
    ls_path_join(&path, collect->dir, rel);
    int result = ls_buf_failed(&path) ? LS_ENOMEM : collect_file(collect, ls_buf_text(&path), view);
    ls_buf_release(&path);
    if (result == LS_ENOMEM) return result;
    /* Nobody named this file: that it cannot be read is said, and the others go on (H32). It may also have gone
     * meanwhile. */
    if (result && result != LS_ENOTFOUND) ls_log(0, "%s", ls_err_text(collect->err));
    return 0;
}

static int collect_all(struct collect *collect)
{
    int result = 0;
    for (size_t i = 0; i < LS__TREES && !result; i++) {
        struct ls_buf dir = LS_BUF_INIT;
        ls_path_join(&dir, collect->root, ls__tree_names[i]);
        collect->dir = ls_buf_text(&dir);
        result = ls_buf_failed(&dir)
                     ? ls_fail(collect->err, LS_ENOMEM, "Out of memory while reading the files to reload.")
                     : ls_tree_walk(collect->within, true, collect->dir, collect_walked, collect, collect->err);
        ls_buf_release(&dir);
    }
    return result;
}

/* A name as people give it: a path, a key, or a file below lua/ (as L28 searches). */
static int collect_name(struct collect *collect, const char *name)
{
    static const char *const places[] = {"", "lua", "viewdefs"};
    struct ls_buf path = LS_BUF_INIT, dir = LS_BUF_INIT;
    int result = LS_ENOTFOUND;
    for (size_t i = 0; i < sizeof places / sizeof *places && result == LS_ENOTFOUND; i++) {
        ls_path_join(&dir, collect->root, places[i]);
        ls_path_join(&path, ls_buf_text(&dir), name);
        LS_ERR(why);
        char *real = ls_buf_failed(&dir) || ls_buf_failed(&path)
                         ? NULL
                         : ls_path_within(collect->within, ls_buf_text(&path), &why);
        bool wanted = real ? ls_is_file(real) : why.code == LS_EACCESS; /* the latter for what is said of it */
        ls_free(real);
        if (!wanted) continue;
        ls_path_join(&dir, collect->root, "viewdefs");
        bool view = ls_has_suffix(name, ".html") && ls_path_below(ls_buf_text(&dir), ls_buf_text(&path));
        result = collect_file(collect, ls_buf_text(&path), view);
    }
    ls_buf_release(&path);
    ls_buf_release(&dir);
    return result == LS_ENOTFOUND ? ls_fail(collect->err, LS_ENOTFOUND, "There is no file %s in this site.", name)
                                  : result;
}

struct ls_burst *ls_burst_of(const char *within, const char *root, bool all, const char *const *names, size_t count,
                             struct ls_err *err)
{
    LS_ERR(unused);
    if (!err) err = &unused;
    struct collect collect = {
        .within = within, .root = root, .burst = ls__burst_new(), .seen = ls_map_new(), .err = err};
    int result =
        collect.burst && collect.seen ? 0 : ls_fail(err, LS_ENOMEM, "Out of memory while reading the files to reload.");
    if (!result && all) result = collect_all(&collect);
    for (size_t i = 0; i < count && !result; i++) {
        result = collect_name(&collect, names[i]);
        if (!result || !all || result == LS_ENOMEM) continue;
        if (result != LS_ENOTFOUND) ls_log(0, "%s", ls_err_text(err)); /* H32 */
        result = 0;
    }
    ls_map_free(collect.seen, NULL);
    if (result) {
        ls_burst_unref(collect.burst);
        return NULL;
    }
    collect.burst->first_event_ns = ls_now_ns();
    collect.burst->whole = all;
    ls__burst_sort(collect.burst);
    return collect.burst;
}
