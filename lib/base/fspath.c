/* File paths as text and the few file system questions that several rooms ask. */
#include "base/fspath.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

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

/* realpath allocates with malloc itself; hand out memory of ours only. */
static char *adopt(char *system_text, struct ls_err *err)
{
    char *text = ls_strdup(system_text);
    free(system_text);
    if (!text) ls_fail(err, LS_ENOMEM, "Out of memory for a path.");
    return text;
}

char *ls_path_real(const char *path, struct ls_err *err)
{
    char *real = realpath(path, NULL);
    if (real) return adopt(real, err);
    int code = errno == ENOENT || errno == ENOTDIR ? LS_ENOTFOUND : errno == ENOMEM ? LS_ENOMEM : LS_EIO;
    ls_fail(err, code, "%s: %s.", path, strerror(errno));
    return NULL;
}

char *ls_path_real_lenient(const char *path, struct ls_err *err)
{
    char *real = ls_path_real(path, NULL);
    if (real) return real;
    struct ls_buf text = LS_BUF_INIT, clean = LS_BUF_INIT, joined = LS_BUF_INIT;
    if (path[0] != '/') {
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here)) {
            ls_fail(err, LS_EIO, "The working directory cannot be read: %s.", strerror(errno));
            return NULL;
        }
        ls_path_join(&text, here, path);
    } else {
        ls_buf_str(&text, path);
    }
    /* Cut parts off the end until what is left exists, resolve that, and put the parts back. */
    char *result = NULL;
    size_t cut = text.len;
    while (!ls_buf_failed(&text) && cut > 0) {
        while (cut > 1 && text.data[cut - 1] != '/') cut--;
        char *head = ls_strndup(text.data, cut > 1 ? cut - 1 : 1);
        if (!head) break;
        char *real_head = ls_path_real(head, NULL);
        ls_free(head);
        if (real_head) {
            ls_path_join(&joined, real_head, text.data + cut);
            ls_free(real_head);
            if (ls_path_clean(&clean, ls_buf_text(&joined))) result = ls_buf_detach(&clean, NULL);
            break;
        }
        if (cut == 1) break;
        cut--;
    }
    ls_buf_release(&text);
    ls_buf_release(&clean);
    ls_buf_release(&joined);
    if (!result) ls_fail(err, LS_EIO, "The path %s cannot be resolved.", path);
    return result;
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
    while (*tail == '/') tail++;
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

bool ls_has_prefix(const char *text, const char *prefix) { return strncmp(text, prefix, strlen(prefix)) == 0; }

bool ls_path_clean(struct ls_buf *out, const char *path)
{
    ls_buf_clear(out);
    bool absolute = path[0] == '/';
    if (absolute) ls_buf_char(out, '/');
    size_t floor = out->len;
    for (const char *at = path; *at;) {
        while (*at == '/') at++;
        size_t len = strcspn(at, "/");
        if (len == 2 && at[0] == '.' && at[1] == '.') {
            if (out->len == floor) return false;
            size_t cut = out->len;
            while (cut > floor && out->data[cut - 1] != '/') cut--;
            if (cut > floor) cut--;
            ls_buf_cut(out, cut);
        } else if (len && !(len == 1 && at[0] == '.')) {
            if (out->len > floor) ls_buf_char(out, '/');
            ls_buf_add(out, at, len);
        }
        at += len;
    }
    return !ls_buf_failed(out);
}

struct ls_bytes *ls_file_read(const char *path, size_t max, struct ls_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        ls_fail(err, errno == ENOENT || errno == ENOTDIR ? LS_ENOTFOUND : LS_EIO, "%s: %s.", path, strerror(errno));
        return NULL;
    }
    struct ls_buf text = LS_BUF_INIT;
    struct ls_bytes *bytes = NULL;
    struct stat info;
    if (fstat(fd, &info) || !S_ISREG(info.st_mode)) {
        ls_fail(err, LS_EIO, "%s is not a regular file.", path);
        goto out;
    }
    ls_buf_reserve(&text, (size_t)info.st_size);
    for (;;) {
        if (!ls_buf_reserve(&text, 4096)) break;
        ssize_t n = read(fd, text.data + text.len, text.cap - text.len - 1);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            ls_fail(err, LS_EIO, "%s: %s.", path, strerror(errno));
            goto out;
        }
        if (n == 0) break;
        text.len += (size_t)n;
        if (max && text.len > max) {
            ls_fail(err, LS_ELIMIT, "%s is larger than %zu bytes.", path, max);
            goto out;
        }
    }
    if (!ls_buf_failed(&text)) bytes = ls_bytes_new(text.data, text.len);
    if (!bytes) ls_fail(err, LS_ENOMEM, "Out of memory while reading %s.", path);
out:
    close(fd);
    ls_buf_release(&text);
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

struct place { dev_t dev; ino_t ino; };

struct walk {
    int (*fn)(void *ctx, const char *rel, bool is_dir);
    void *ctx;
    const char *dir;
    struct place *seen; /* real directories entered so far: a link may not lead around for ever */
    size_t seen_count;
    char **todo;        /* directories still to be read, paths below `dir`, last in first out */
    size_t todo_count;
};

static bool walk_enter(struct walk *walk, const struct stat *info)
{
    for (size_t i = 0; i < walk->seen_count; i++)
        if (walk->seen[i].dev == info->st_dev && walk->seen[i].ino == info->st_ino) return false;
    struct place *seen = ls_rearray(walk->seen, walk->seen_count + 1, sizeof *seen);
    if (!seen) return false;
    walk->seen = seen;
    walk->seen[walk->seen_count++] = (struct place){info->st_dev, info->st_ino};
    return true;
}

static bool walk_later(struct walk *walk, char *rel)
{
    char **todo = ls_rearray(walk->todo, walk->todo_count + 1, sizeof *todo);
    if (!todo) {
        ls_free(rel);
        return false;
    }
    walk->todo = todo;
    walk->todo[walk->todo_count++] = rel;
    return true;
}

static int wanted_entry(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && strcmp(entry->d_name, "node_modules") != 0;
}

static int bytewise(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

/* One directory: files are told at once, sub-directories remembered. */
static int walk_directory(struct walk *walk, const char *rel, struct ls_err *err)
{
    struct ls_buf path = LS_BUF_INIT, name = LS_BUF_INIT;
    struct dirent **entries = NULL;
    int result = 0, count;
    size_t first_dir = walk->todo_count;
    ls_path_join(&path, walk->dir, rel);
    count = ls_buf_failed(&path) ? -1 : scandir(ls_buf_text(&path), &entries, wanted_entry, bytewise);
    if (count < 0 && errno != ENOENT && errno != ENOTDIR && errno != EACCES)
        result = ls_fail(err, LS_EIO, "%s: %s.", ls_buf_text(&path), strerror(errno));
    for (int i = 0; i < count && result == 0; i++) {
        struct stat info;
        ls_path_join(&name, rel, entries[i]->d_name);
        ls_path_join(&path, walk->dir, ls_buf_text(&name));
        if (ls_buf_failed(&path) || ls_buf_failed(&name)) result = ls_fail(err, LS_ENOMEM, "Out of memory while walking a folder.");
        else if (stat(ls_buf_text(&path), &info)) continue;
        else if (S_ISREG(info.st_mode)) result = walk->fn(walk->ctx, ls_buf_text(&name), false);
        else if (S_ISDIR(info.st_mode) && walk_enter(walk, &info)) {
            result = walk->fn(walk->ctx, ls_buf_text(&name), true);
            char *copy = result ? NULL : ls_strdup(ls_buf_text(&name));
            if (!result && (!copy || !walk_later(walk, copy))) result = ls_fail(err, LS_ENOMEM, "Out of memory while walking a folder.");
        }
    }
    /* Last in, first out: turn this folder's children around so that they come in order. */
    for (size_t a = first_dir, b = walk->todo_count; a + 1 < b; a++) {
        char *swap = walk->todo[a];
        walk->todo[a] = walk->todo[--b];
        walk->todo[b] = swap;
    }
    for (int i = 0; i < count; i++) free(entries[i]);
    free(entries);
    ls_buf_release(&path);
    ls_buf_release(&name);
    return result;
}

int ls_tree_walk(const char *dir, int (*fn)(void *ctx, const char *rel, bool is_dir), void *ctx, struct ls_err *err)
{
    struct walk walk = {.fn = fn, .ctx = ctx, .dir = dir};
    struct stat info;
    if (stat(dir, &info) || !S_ISDIR(info.st_mode)) return 0;
    walk_enter(&walk, &info);
    int result = walk_directory(&walk, "", err);
    while (result == 0 && walk.todo_count) {
        char *rel = walk.todo[--walk.todo_count];
        result = walk_directory(&walk, rel, err);
        ls_free(rel);
    }
    while (walk.todo_count) ls_free(walk.todo[--walk.todo_count]);
    ls_free(walk.todo);
    ls_free(walk.seen);
    return result;
}
