/* File paths as text and the few file system questions that several rooms ask. */
#include "files/fspath.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/log.h"

void ls_path_join(struct ls_buf *out, const char *dir, const char *name)
{
    ls_buf_clear(out);
    if (name[0] == '/' || !dir[0]) {
        ls_buf_str(out, name);
        return;
    }
    ls_buf_str(out, dir);
    if (name[0] && dir[strlen(dir) - 1] != '/') ls_buf_char(out, '/');
    ls_buf_str(out, name);
}

/* A system call about the path has failed. */
static int fail_at(struct ls_err *err, const char *path)
{
    int code = errno == ENOENT || errno == ENOTDIR ? LS_ENOTFOUND : errno == ENOMEM ? LS_ENOMEM : LS_EIO;
    return ls_fail(err, code, "%s: %s.", path, strerror(errno));
}

char *ls_path_real(const char *path, struct ls_err *err)
{
    char *real = realpath(path, NULL), *text = real ? ls_strdup(real) : NULL; /* it allocates with malloc itself */
    if (!real)
        fail_at(err, path);
    else if (!text)
        ls_fail(err, LS_ENOMEM, "Out of memory while resolving a path.");
    free(real);
    return text;
}

/* --- below a root (L13) --- */

enum { MAX_LINKS = 40 }; /* as the kernel: more is a loop */

static int outside(struct ls_err *err, const char *path)
{
    return ls_fail(err, LS_EACCESS, "'%s' leads outside of the site, which is turned off by --sandbox", path);
}

/* `first`, which a link gives, and then what is left. */
static void put_before(struct ls_buf *rest, const char *first)
{
    struct ls_buf both = LS_BUF_INIT;
    ls_buf_printf(&both, "%s/%s", first, ls_buf_text(rest));
    ls_buf_release(rest);
    *rest = both;
}

/* Resolved component by component, so that nothing is asked about a place that is neither below the root nor on the way
 * to it. `lenient`: parts from the first on that cannot be looked at are kept as they are written. @return 0 and the
 * real path in `at`, or a code */
static int resolve_within(const char *within, const char *path, bool lenient, struct ls_buf *at, struct ls_err *err)
{
    char target[PATH_MAX];
    struct ls_buf rest = LS_BUF_INIT;
    int code = 0, links = 0;
    bool missing = false;
    ls_buf_str(&rest, path);
    if (path[0] == '/')
        ;
    else if (getcwd(target, sizeof target))
        put_before(&rest, target);
    else
        code = ls_fail(err, LS_EIO, "The working directory cannot be read: %s.", strerror(errno));
    /* each part takes the time of all of the rest */
    if (strnlen(path, PATH_MAX) == PATH_MAX) code = ls_fail(err, LS_EIO, "%.40s…: %s.", path, strerror(ENAMETOOLONG));
    while (code == 0 && rest.len && !ls_buf_failed(&rest) && !ls_buf_failed(at)) {
        size_t len = strcspn(rest.data, "/"), before = at->len;
        if (len == 2 && memcmp(rest.data, "..", 2) == 0) {
            const char *slash = strrchr(ls_buf_text(at), '/');
            ls_buf_cut(at, slash ? (size_t)(slash - at->data) : 0);
        } else if (len && !(len == 1 && rest.data[0] == '.')) {
            ls_buf_char(at, '/');
            ls_buf_add(at, rest.data, len);
        }
        ls_buf_shift(&rest, len + (rest.len > len));
        if (at->len <= before || ls_buf_failed(at)) continue;
        if (!ls_path_below(within, at->data) && !ls_path_below(at->data, within)) {
            code = outside(err, path);
            break;
        }
        ssize_t size = missing ? 0 : readlink(at->data, target, sizeof target - 1);
        if (size > 0) {
            target[size] = 0;
            ls_buf_cut(at, target[0] == '/' ? 0 : before);
            put_before(&rest, target);
            if (++links > MAX_LINKS) code = ls_fail(err, LS_EIO, "%s: %s.", path, strerror(ELOOP));
        } else if (size < 0 && errno != EINVAL) {
            missing = lenient;
            if (!missing) code = fail_at(err, path);
        }
    }
    if (!at->len) ls_buf_char(at, '/');
    if (code == 0 && (ls_buf_failed(at) || ls_buf_failed(&rest)))
        code = ls_fail(err, LS_ENOMEM, "Out of memory while resolving a path.");
    if (code == 0 && !ls_path_below(within, ls_buf_text(at))) code = outside(err, path);
    ls_buf_release(&rest);
    return code;
}

static char *real_within(const char *within, const char *path, bool lenient, struct ls_err *err)
{
    struct ls_buf at = LS_BUF_INIT;
    char *real = resolve_within(within, path, lenient, &at, err) == 0 ? ls_buf_detach(&at, NULL) : NULL;
    ls_buf_release(&at);
    return real;
}

char *ls_path_within(const char *within, const char *path, struct ls_err *err)
{
    return within ? real_within(within, path, false, err) : ls_path_real(path, err);
}

char *ls_path_real_lenient(const char *within, const char *path, struct ls_err *err)
{
    return real_within(within ? within : "/", path, true, err);
}

char *ls_path_relative(const char *root, const char *path)
{
    if (strcmp(root, path) == 0) return ls_strdup(".");
    size_t common = 0, at = 0;
    /* The last place where both texts are at the end of an equal component. */
    for (;; at++) {
        bool root_end = !root[at] || root[at] == '/', path_end = !path[at] || path[at] == '/';
        if (root_end && path_end) common = at;
        if (!root[at] || root[at] != path[at]) break;
    }
    struct ls_buf out = LS_BUF_INIT;
    if (strcmp(root, "/") == 0) {
        common = 0;
    } else {
        for (const char *rest = root + common; *rest; rest++)
            if (*rest == '/' && rest[1]) ls_buf_str(&out, "../");
    }
    const char *tail = path + common;
    while (*tail == '/')
        tail++;
    ls_buf_str(&out, tail);
    if (!*tail && out.len) ls_buf_cut(&out, out.len - 1);
    return ls_buf_detach(&out, NULL);
}

bool ls_path_below(const char *root, const char *path)
{
    size_t len = strlen(root);
    if (len == 1 && root[0] == '/') return path[0] == '/';
    return strncmp(root, path, len) == 0 && (!path[len] || path[len] == '/');
}

/* Where a real path begins with the place's own text, no link is in that. @return owned where `place` leads now; NULL:
 * nothing else than it says */
static char *led_to(const char *place, const char *real)
{
    return ls_path_below(place, real) ? NULL : ls_path_real(place, NULL);
}

char *ls_path_key(const char *place, const char *real)
{
    char *root = led_to(place, real), *key = ls_path_relative(root ? root : place, real);
    ls_free(root);
    return key;
}

const char *ls_path_rest(const char *place, const char *real)
{
    char *root = led_to(place, real);
    const char *base = root ? root : place;
    const char *rest = ls_path_below(base, real) ? real + strlen(base) : NULL;
    ls_free(root);
    return rest && *rest == '/' ? rest + 1 : rest;
}

static bool goes_back(const char *dir)
{
    for (const char *at = strstr(dir, ".."); at; at = strstr(at + 1, ".."))
        if ((at == dir || at[-1] == '/') && (!at[2] || at[2] == '/')) return true;
    return false;
}

char *ls_path_place(const char *dir, struct ls_err *err)
{
    struct ls_buf place = LS_BUF_INIT;
    char *real = ls_path_real(dir, err), *here = dir[0] == '/' ? ls_strdup("") : ls_path_real(".", err);
    if (!real || goes_back(dir)) {
        ls_free(here);
        return real;
    }
    if (here && strcmp(here, "/") != 0) ls_buf_str(&place, here);
    for (const char *part = dir; *part;) {
        size_t len = strcspn(part, "/");
        if (len && !(len == 1 && *part == '.')) {
            ls_buf_char(&place, '/');
            ls_buf_add(&place, part, len);
        }
        part += len + (part[len] == '/');
    }
    if (!place.len) ls_buf_char(&place, '/');
    ls_free(real);
    real = here ? ls_buf_detach(&place, NULL) : NULL;
    if (here && !real) ls_fail(err, LS_ENOMEM, "Out of memory while resolving a path.");
    ls_buf_release(&place);
    ls_free(here);
    return real;
}

const char *ls_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *ls_path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return ls_strdup(".");
    return slash == path ? ls_strdup("/") : ls_strndup(path, (size_t)(slash - path));
}

bool ls_has_suffix(const char *text, const char *suffix)
{
    size_t len = strlen(text), tail = strlen(suffix);
    return len >= tail && memcmp(text + len - tail, suffix, tail) == 0;
}

bool ls_has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* What was opened, however the names on the way may have changed since they were looked at. */
static bool opened_within(const char *within, int fd)
{
    char name[32], real[PATH_MAX];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(name, real, sizeof real - 1);
    real[len > 0 ? len : 0] = 0;
    return ls_path_below(within, real);
}

bool ls_is_placeholder(const struct stat *info)
{
    return S_ISREG(info->st_mode) && info->st_size == 0 && (info->st_mode & 07777) == 0;
}

int ls_file_open(const char *within, const char *path, struct stat *info, struct ls_err *err)
{
    char *real = within ? ls_path_within(within, path, err) : NULL;
    if (within && !real) return err->code;
    int fd = open(real ? real : path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (real ? O_NOFOLLOW : 0)),
        code = fd;
    if (fd < 0 && errno == EACCES && stat(real ? real : path, info) == 0 && ls_is_placeholder(info)) errno = ENOENT;
    ls_free(real);
    if (fd < 0) return fail_at(err, path);
    if (within && !opened_within(within, fd))
        code = outside(err, path);
    else if (fstat(fd, info) || !S_ISREG(info->st_mode))
        code = ls_fail(err, LS_EIO, "%s is not a regular file.", path);
    else if (ls_is_placeholder(info)) {
        errno = ENOENT;
        code = fail_at(err, path);
    }
    if (code < 0) close(fd);
    return code;
}

struct ls_bytes *ls_file_read_open(int fd, const char *path, size_t max, struct ls_err *err)
{
    struct stat info;
    struct ls_buf text = LS_BUF_INIT;
    struct ls_bytes *bytes = NULL;
    ssize_t n = 1;
    if (!max) max = LS_FILE_MAX;
    /* a file of holes costs its site nothing */
    ls_buf_reserve(&text, fstat(fd, &info) == 0 && (size_t)info.st_size <= max ? (size_t)info.st_size : 0);
    while (n && text.len <= max && ls_buf_reserve(&text, 4096)) {
        n = read(fd, text.data + text.len, text.cap - text.len - 1);
        if (n > 0) text.len += (size_t)n;
        if (n < 0 && errno != EINTR) break;
    }
    if (n < 0)
        ls_fail(err, LS_EIO, "%s: %s.", path, strerror(errno));
    else if (text.len > max)
        ls_fail(err, LS_ELIMIT, "%s is larger than %zu bytes.", path, max);
    else if (ls_buf_failed(&text) || !(bytes = ls_bytes_new(text.data, text.len)))
        ls_fail(err, LS_ENOMEM, "Out of memory while reading %s.", path);
    ls_buf_release(&text);
    return bytes;
}

struct ls_bytes *ls_file_read(const char *within, const char *path, size_t max, struct ls_err *err)
{
    LS_ERR(own);
    struct stat info;
    int fd = ls_file_open(within, path, &info, err ? err : &own);
    struct ls_bytes *bytes = fd >= 0 ? ls_file_read_open(fd, path, max, err) : NULL;
    if (fd >= 0) close(fd);
    return bytes;
}

bool ls_is_dir(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool ls_is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* --- walking a tree --- */

struct place {
    dev_t dev;
    ino_t ino;
};

struct walk {
    int (*fn)(void *ctx, const char *rel, bool is_dir);
    void *ctx;
    const char *within, *dir;
    bool say;
    struct place *seen; /* real directories entered so far: a link may not lead around for ever */
    size_t seen_count, seen_cap;
    char **todo; /* directories still to be read, paths below `dir`, last in first out */
    size_t todo_count, todo_cap;
};

static bool walk_enter(struct walk *walk, const struct stat *info)
{
    for (size_t i = 0; i < walk->seen_count; i++)
        if (walk->seen[i].dev == info->st_dev && walk->seen[i].ino == info->st_ino) return false;
    return LS_PUSH(walk->seen, walk->seen_count, walk->seen_cap, (struct place){info->st_dev, info->st_ino});
}

static int is_wanted(const struct dirent *name)
{
    return name->d_name[0] != '.' && strcmp(name->d_name, "node_modules") != 0;
}

static int bytewise(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* One directory: files are told at once, sub-directories remembered. */
static int walk_directory(struct walk *walk, const char *rel, struct ls_err *err)
{
    struct ls_buf path = LS_BUF_INIT, name = LS_BUF_INIT;
    struct dirent **names = NULL;
    int result = 0, count;
    size_t first_dir = walk->todo_count;
    ls_path_join(&path, walk->dir, rel);
    count = ls_buf_failed(&path) ? -1 : scandir(ls_buf_text(&path), &names, is_wanted, bytewise);
    if (count < 0 && errno != ENOENT && errno != ENOTDIR && errno != EACCES)
        result = ls_fail(err, LS_EIO, "%s: %s.", ls_buf_text(&path), strerror(errno));
    for (int i = 0; i < count && result == 0; i++) {
        struct stat info;
        LS_ERR(why);
        ls_path_join(&name, rel, names[i]->d_name);
        ls_path_join(&path, walk->dir, ls_buf_text(&name));
        char *real =
            walk->within && !ls_buf_failed(&path) ? ls_path_within(walk->within, ls_buf_text(&path), &why) : NULL;
        if (ls_buf_failed(&path) || ls_buf_failed(&name))
            result = ls_fail(err, LS_ENOMEM, "Out of memory while walking a folder.");
        else if (walk->within && !real) {
            if (walk->say && why.code == LS_EACCESS) ls_log(0, "%s.", ls_err_text(&why));
        } else if (stat(real ? real : ls_buf_text(&path), &info)) {
            /* a link that leads nowhere, or gone meanwhile */
            /* who reads it says that it is no regular file */
        } else if (!S_ISDIR(info.st_mode))
            result = walk->fn(walk->ctx, ls_buf_text(&name), false);
        else if (walk_enter(walk, &info)) {
            result = walk->fn(walk->ctx, ls_buf_text(&name), true);
            char *copy = result ? NULL : ls_strdup(ls_buf_text(&name));
            if (!result && !(copy && LS_PUSH(walk->todo, walk->todo_count, walk->todo_cap, copy))) {
                ls_free(copy);
                result = ls_fail(err, LS_ENOMEM, "Out of memory while walking a folder.");
            }
        }
        ls_free(real);
    }
    /* Last in, first out: turn this folder's children around so that they come in order. */
    for (size_t a = first_dir, b = walk->todo_count; a + 1 < b; a++) {
        char *swap = walk->todo[a];
        walk->todo[a] = walk->todo[--b];
        walk->todo[b] = swap;
    }
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    ls_buf_release(&path);
    ls_buf_release(&name);
    return result;
}

int ls_tree_walk(const char *within, bool say, const char *dir, int (*fn)(void *ctx, const char *rel, bool is_dir),
                 void *ctx, struct ls_err *err)
{
    struct walk walk = {.fn = fn, .ctx = ctx, .within = within, .say = say, .dir = dir};
    struct stat info;
    LS_ERR(why);
    char *real = ls_path_within(within, dir, &why);
    bool there = real && stat(real, &info) == 0 && S_ISDIR(info.st_mode);
    ls_free(real);
    if (say && why.code == LS_EACCESS) ls_log(0, "%s.", ls_err_text(&why));
    if (!there) return 0;
    walk_enter(&walk, &info);
    int result = walk_directory(&walk, "", err);
    while (result == 0 && walk.todo_count) {
        char *rel = walk.todo[--walk.todo_count];
        result = walk_directory(&walk, rel, err);
        ls_free(rel);
    }
    while (walk.todo_count)
        ls_free(walk.todo[--walk.todo_count]);
    ls_free(walk.todo);
    ls_free(walk.seen);
    return result;
}
