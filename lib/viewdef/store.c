/* The texts of a site's view files (protocol.md section 14, hotload.md section 13), shared by all sessions.
 *
 * Files are kept in bytewise order of their path below the folder; of several with one key the first one counts and the
 * others wait (H80). A text is read, checked, and encoded once, into an immutable `struct ls__view`; readers take
 * references under the lock and work outside of it.
 *
 * Threads: any; one mutex for the file list, the generation is atomic. It refuses to judge HTML: that is the client's
 * (H78). It looks at the disk when opened and when asked to pick up, never otherwise (P109). Rules: P104 to P108, H73
 * to H77, H79, F132. */
#include "viewdef/viewdef.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "files/embed.h"
#include "files/fspath.h"
#include "viewdef/viewdef_internal.h"

#define LS_BUILTIN_VIEWS     "templates/viewdefs/"
/* Time stamps of folders come from a clock that ticks every few milliseconds: one that is younger than this when it is
 * looked at may hide a file that arrives in the same tick. */
#define LS_FOLDER_SETTLED_NS ((int64_t)1000000000)

struct folder {
    char *path; /* owned */
    dev_t dev;
    ino_t ino;
    struct timespec modified;
    bool fresh; /* changed so shortly before the look that it counts as changed again */
};

struct ls_viewdefs {
    /* -- immutable after open */
    const char *within; /* borrowed; as ls_path_within's (L13) */
    char *dir;          /* absolute; NULL for the built-in site */
    /* -- atomic */
    _Atomic uint64_t generation;
    /* -- protected by lock */
    pthread_mutex_t lock;
    struct ls__view **files; /* owned; sorted by rel */
    size_t count, room;
    struct ls__view **builtin; /* the list views of F132 */
    size_t builtin_count;
    struct folder *folders; /* of the last walk, for pick_up */
    size_t folder_count;
    /* paths below `dir` that have appeared and belong to no type asked for yet; value = itself */
    struct ls_map *waiting;
};

/* --- one view --- */

static void unref_view(struct ls__view *view)
{
    if (!view || atomic_fetch_sub(&view->uses, 1) != 1) return;
    ls_bytes_unref(view->member);
    ls_free(view->rel);
    ls_free(view->key);
    ls_free(view->real);
    ls_free(view);
}

void ls__views_release(struct ls__view **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        unref_view(list[i]);
    ls_free(list);
}

/* @return owned, use count 1; NULL and err: LS_EINVAL for a text that must not be used (H78) */
static struct ls__view *make_view(const char *rel, const char *real, const struct ls_bytes *bytes, struct ls_err *err)
{
    const char *text = ls_bytes_data(bytes);
    size_t len = ls_bytes_len(bytes);
    const char *base = ls_path_base(rel);
    const char *refusal = ls_text_blank(text, len)    ? "the file is empty"
                          : !ls_utf8_valid(text, len) ? "the text is not valid UTF-8"
                                                      : NULL;
    struct ls__view *view = refusal ? NULL : ls_zalloc(sizeof *view);
    if (view) {
        struct ls_buf member = LS_BUF_INIT;
        atomic_init(&view->uses, 1);
        view->rel = ls_strdup(rel);
        view->key = ls_strndup(base, strlen(base) - strlen(".html"));
        view->real = real ? ls_strdup(real) : NULL;
        view->stamp = ls_hash(text, len);
        if (!view->stamp) view->stamp = 1;
        if (view->key) ls_json_put_string(&member, view->key, text, len);
        view->member = ls_buf_failed(&member) ? NULL : ls_bytes_new(ls_buf_text(&member), member.len);
        ls_buf_release(&member);
        if (view->rel && view->key && (!real || view->real) && view->member) return view;
        unref_view(view);
    }
    if (refusal)
        ls_fail(err, LS_EINVAL, "%s", refusal);
    else
        ls_fail(err, LS_ENOMEM, "Out of memory while reading view %s.", base);
    return NULL;
}

/* A view file by its name: *.html, and not an editor's lock or back-up (H4, H20). */
static bool is_view_name(const char *rel)
{
    const char *base = ls_path_base(rel);
    return *base != '.' && *base != '#' && strlen(base) > strlen(".html") && ls_has_suffix(base, ".html") &&
           !strstr(base, "___jb_");
}

/* --- the file list; the lock is held, or nobody else knows the store yet --- */

/* Index of the file with this path, or of the place where it belongs. */
static size_t find_rel(const struct ls_viewdefs *views, const char *rel, bool *found)
{
    size_t low = 0, high = views->count;
    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(views->files[middle]->rel, rel);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct ls__view *find_key(const struct ls_viewdefs *views, const char *key)
{
    for (size_t i = 0; i < views->count; i++)
        if (strcmp(views->files[i]->key, key) == 0) return views->files[i];
    return NULL;
}

/* Enter or replace; takes the view on success. Names the loser if two files have one key (H80). */
static int put_file(struct ls_viewdefs *views, struct ls__view *view, struct ls_err *err)
{
    bool found;
    size_t at = find_rel(views, view->rel, &found);
    if (found) {
        unref_view(views->files[at]);
        views->files[at] = view;
        return 0;
    }
    if (!LS_RESERVE(views->files, views->count + 1, views->room))
        return ls_fail(err, LS_ENOMEM, "Out of memory while listing views.");
    struct ls__view *other = find_key(views, view->key);
    memmove(views->files + at + 1, views->files + at, (views->count - at) * sizeof *views->files);
    views->files[at] = view;
    views->count++;
    if (other) {
        bool first = strcmp(view->rel, other->rel) < 0;
        ls_log(0, "Two view files have the key %s: %s is used, %s is not.", view->key, first ? view->rel : other->rel,
               first ? other->rel : view->rel);
    }
    return 0;
}

/* Read one file of the folder and enter it. What must not be used is reported and left out. */
static int load_file(struct ls_viewdefs *views, const char *rel, struct ls_err *err)
{
    int rc = 0;
    LS_ERR(problem);
    struct ls_buf path = LS_BUF_INIT;
    ls_path_join(&path, views->dir, rel);
    if (ls_buf_failed(&path)) {
        ls_buf_release(&path);
        return ls_fail(err, LS_ENOMEM, "Out of memory while reading view %s.", rel);
    }
    struct ls_bytes *text = ls_file_read(views->within, path.data, 0, &problem);
    char *real = text ? ls_path_within(views->within, path.data, &problem) : NULL;
    struct ls__view *view = real ? make_view(rel, real, text, &problem) : NULL;
    if (!view)
        rc = problem.code;
    else
        rc = put_file(views, view, &problem);
    if (rc != 0) unref_view(view);
    if (rc == LS_ENOMEM)
        ls_fail(err, rc, "%s", ls_err_text(&problem));
    else if (rc != 0 && rc != LS_ENOTFOUND) /* a dangling link is a file that is not there (H18) */
        ls_log(0, "view %s: %s", rel, ls_err_text(&problem));
    ls_free(real);
    ls_bytes_unref(text);
    ls_buf_release(&path);
    return rc == LS_ENOMEM ? rc : 0;
}

/* --- walking the folder --- */

struct walk {
    struct ls_viewdefs *views;
    struct folder *folders;
    size_t count, room;
    bool first; /* at start: load everything; later: only note what is new */
    struct ls_err *err;
};

static void free_folders(struct folder *folders, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ls_free(folders[i].path);
    ls_free(folders);
}

static int note_folder(struct walk *walk, const char *rel)
{
    struct folder folder = {0};
    struct stat st;
    struct timespec now;
    struct ls_buf path = LS_BUF_INIT;
    ls_path_join(&path, walk->views->dir, rel);
    folder.path = ls_buf_detach(&path, NULL);
    ls_buf_release(&path);
    if (!folder.path) return LS_ENOMEM;
    clock_gettime(CLOCK_REALTIME, &now);
    if (stat(folder.path, &st) == 0) {
        folder.dev = st.st_dev;
        folder.ino = st.st_ino;
        folder.modified = st.st_mtim;
        folder.fresh = (int64_t)(now.tv_sec - st.st_mtim.tv_sec) * 1000000000 + (now.tv_nsec - st.st_mtim.tv_nsec) <
                       LS_FOLDER_SETTLED_NS;
    }
    if (LS_PUSH(walk->folders, walk->count, walk->room, folder)) return 0;
    ls_free(folder.path);
    return LS_ENOMEM;
}

static int visit(void *ctx, const char *rel, bool is_dir)
{
    struct walk *walk = ctx;
    struct ls_viewdefs *views = walk->views;
    if (is_dir) return note_folder(walk, rel);
    if (!is_view_name(rel)) return 0;
    if (walk->first) return load_file(views, rel, walk->err);
    bool known;
    find_rel(views, rel, &known);
    if (!known && !ls_map_put(views->waiting, rel, strlen(rel), views, NULL)) return LS_ENOMEM;
    return 0;
}

/* Folders are noted before they are read, so that what arrives in between makes the note stale and not the reading. */
static int walk_folder(struct ls_viewdefs *views, bool first, struct ls_err *err)
{
    struct walk walk = {.views = views, .first = first, .err = err};
    int rc = note_folder(&walk, "");
    if (rc == 0) rc = ls_tree_walk(views->within, first, views->dir, visit, &walk, err);
    if (rc < 0) {
        free_folders(walk.folders, walk.count);
        return rc == LS_ENOMEM ? ls_fail(err, rc, "Out of memory while reading the views in %s.", views->dir) : rc;
    }
    free_folders(views->folders, views->folder_count);
    views->folders = walk.folders;
    views->folder_count = walk.count;
    return 0;
}

static bool folders_changed(const struct ls_viewdefs *views)
{
    for (size_t i = 0; i < views->folder_count; i++) {
        const struct folder *folder = &views->folders[i];
        struct stat st;
        if (stat(folder->path, &st) != 0) {
            if (folder->ino) return true;
        } else if (folder->fresh || st.st_dev != folder->dev || st.st_ino != folder->ino ||
                   st.st_mtim.tv_sec != folder->modified.tv_sec || st.st_mtim.tv_nsec != folder->modified.tv_nsec) {
            return true;
        }
    }
    return false;
}

/* --- built-in files --- */

static int load_embedded(struct ls_viewdefs *views, const char *prefix, struct ls_err *err)
{
    size_t count;
    const struct ls_embed *all = ls_embed_all(&count);
    for (size_t i = 0; i < count; i++) {
        if (!ls_has_prefix(all[i].name, prefix) || !is_view_name(all[i].name)) continue;
        struct ls_bytes *text = ls_embed_read(&all[i]);
        if (!text) return ls_fail(err, LS_ENOMEM, "Out of memory while reading the built-in view %s.", all[i].name);
        struct ls__view *view = make_view(all[i].name + strlen(prefix), NULL, text, err);
        ls_bytes_unref(text);
        int rc = view ? put_file(views, view, err) : LS_ENOMEM;
        if (rc != 0) {
            unref_view(view);
            return rc;
        }
    }
    return 0;
}

/* --- public --- */

struct ls_viewdefs *ls_viewdefs_open(const char *within, const char *dir, const char *bundle, struct ls_err *err)
{
    struct ls_viewdefs *views = ls_zalloc(sizeof *views);
    if (!views) {
        ls_fail(err, LS_ENOMEM, "Out of memory while reading view definitions.");
        return NULL;
    }
    pthread_mutex_init(&views->lock, NULL);
    atomic_init(&views->generation, 1);
    views->waiting = ls_map_new();
    int rc = views->waiting ? load_embedded(views, LS_BUILTIN_VIEWS, err)
                            : ls_fail(err, LS_ENOMEM, "Out of memory while reading view definitions.");
    views->builtin = views->files;
    views->builtin_count = views->count;
    views->files = NULL;
    views->count = views->room = 0;
    if (rc == 0 && bundle) {
        struct ls_buf prefix = LS_BUF_INIT;
        ls_buf_printf(&prefix, "%s/viewdefs/", bundle);
        rc = ls_buf_failed(&prefix) ? ls_fail(err, LS_ENOMEM, "Out of memory while reading view definitions.")
                                    : load_embedded(views, prefix.data, err);
        ls_buf_release(&prefix);
    }
    views->within = within;
    if (rc == 0 && dir) {
        views->dir = ls_strdup(dir);
        rc = views->dir ? walk_folder(views, true, err)
                        : ls_fail(err, LS_ENOMEM, "Out of memory while reading view definitions.");
    }
    if (rc != 0) {
        ls_viewdefs_close(views);
        return NULL;
    }
    return views;
}

void ls_viewdefs_close(struct ls_viewdefs *views)
{
    if (!views) return;
    ls__views_release(views->files, views->count);
    ls__views_release(views->builtin, views->builtin_count);
    free_folders(views->folders, views->folder_count);
    ls_map_free(views->waiting, NULL);
    pthread_mutex_destroy(&views->lock);
    ls_free(views->dir);
    ls_free(views);
}

/* A file that is gone is forgotten; if it was the one in use, the next of its key takes over (H79, H80). */
static int drop_file(struct ls_viewdefs *views, const char *rel)
{
    bool found;
    size_t at = find_rel(views, rel, &found);
    if (!found) return 0;
    struct ls__view *gone = views->files[at];
    bool winner = find_key(views, gone->key) == gone;
    views->count--;
    memmove(views->files + at, views->files + at + 1, (views->count - at) * sizeof *views->files);
    struct ls__view *heir = find_key(views, gone->key);
    if (winner && heir) ls_log(1, "View %s is now taken from %s.", heir->key, heir->rel);
    bool news = winner && heir && heir->stamp != gone->stamp;
    unref_view(gone);
    return news;
}

int ls_viewdefs_put(struct ls_viewdefs *views, const char *path, struct ls_bytes *text, struct ls_err *err)
{
    const char *rel = views->dir && ls_path_below(views->dir, path) && strlen(path) > strlen(views->dir) + 1
                          ? path + strlen(views->dir) + 1
                          : ls_path_base(path);
    if (!is_view_name(rel)) return 0;
    int rc;
    if (!text) {
        pthread_mutex_lock(&views->lock);
        rc = drop_file(views, rel);
        pthread_mutex_unlock(&views->lock);
    } else {
        char *real = ls_path_real_lenient(views->within, path, err);
        struct ls__view *view = real ? make_view(rel, real, text, err) : NULL;
        ls_free(real);
        if (!view) return err->code;
        pthread_mutex_lock(&views->lock);
        struct ls__view *before = find_key(views, view->key);
        uint64_t old = before ? before->stamp : 0;
        rc = put_file(views, view, err);
        if (rc == 0)
            rc = find_key(views, view->key)->stamp != old;
        else
            unref_view(view);
        pthread_mutex_unlock(&views->lock);
    }
    if (rc > 0) atomic_fetch_add(&views->generation, 1);
    return rc;
}

uint64_t ls_viewdefs_generation(const struct ls_viewdefs *views)
{
    return atomic_load(&((struct ls_viewdefs *)views)->generation);
}

size_t ls_viewdefs_count(const struct ls_viewdefs *views)
{
    struct ls__view **list;
    int count = ls__viewdefs_snapshot((struct ls_viewdefs *)views, false, &list);
    if (count < 0) return 0;
    ls__views_release(list, (size_t)count);
    return (size_t)count;
}

uint64_t ls_viewdefs_stamp(struct ls_viewdefs *views, const char *key)
{
    pthread_mutex_lock(&views->lock);
    const struct ls__view *view = find_key(views, key);
    uint64_t stamp = view ? view->stamp : 0;
    pthread_mutex_unlock(&views->lock);
    return stamp;
}

/* Is the file of this path TYPE.NAMESPACE.html? The type is compared as it is, so no text from a page reaches the file
 * system (P108). */
static bool is_of_type(const char *rel, const char *type, size_t len)
{
    const char *base = ls_path_base(rel);
    return strncmp(base, type, len) == 0 && base[len] == '.' && strchr(base + len + 1, '.');
}

int ls_viewdefs_pick_up(struct ls_viewdefs *views, const char *type, struct ls_err *err)
{
    size_t len = strlen(type), before;
    int rc = 0;
    if (!views->dir || !len) return 0;
    pthread_mutex_lock(&views->lock);
    before = views->count;
    if (folders_changed(views)) rc = walk_folder(views, false, err);
    struct ls_map_item *item = rc == 0 ? ls_map_first(views->waiting) : NULL;
    while (item && rc == 0) {
        struct ls_map_item *next = ls_map_next(item);
        size_t rel_len;
        const char *rel = ls_map_key(item, &rel_len);
        if (is_of_type(rel, type, len)) {
            rc = load_file(views, rel, err);
            if (rc == 0) ls_map_take(views->waiting, rel, rel_len);
        }
        item = next;
    }
    bool more = views->count != before;
    pthread_mutex_unlock(&views->lock);
    if (more) atomic_fetch_add(&views->generation, 1);
    return rc < 0 ? rc : more;
}

/* --- snapshots --- */

static int by_key(const void *a, const void *b)
{
    const struct ls__view *const *left = a, *const *right = b;
    int order = strcmp((*left)->key, (*right)->key);
    return order ? order : strcmp((*left)->rel, (*right)->rel);
}

/* Has the site a view of its own that takes the place of this built-in one (F132)? */
static bool is_replaced(struct ls__view **mine, size_t count, const struct ls__view *builtin)
{
    size_t type_len = (size_t)(strrchr(builtin->key, '.') - builtin->key);
    for (size_t i = 0; i < count; i++) {
        const char *key = mine[i]->key;
        if (strncmp(key, builtin->key, type_len) == 0 &&
            (strcmp(key + type_len, ".DEFAULT") == 0 || strcmp(key + type_len, ".list-item") == 0))
            return true;
    }
    return false;
}

int ls__viewdefs_snapshot(struct ls_viewdefs *views, bool builtin, struct ls__view ***list)
{
    *list = NULL;
    pthread_mutex_lock(&views->lock);
    struct ls__view **source = builtin ? views->builtin : views->files;
    size_t room = builtin ? views->builtin_count : views->count, count = 0;
    struct ls__view **copy = ls_array(room ? room : 1, sizeof(struct ls__view *));
    for (size_t i = 0; copy && i < room; i++)
        if (!builtin || !is_replaced(views->files, views->count, source[i])) {
            copy[count++] = source[i];
            atomic_fetch_add(&source[i]->uses, 1);
        }
    pthread_mutex_unlock(&views->lock);
    if (!copy) return LS_ENOMEM;
    if (count) qsort(copy, count, sizeof *copy, by_key);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) { /* of one key the first path counts */
        if (kept && strcmp(copy[kept - 1]->key, copy[i]->key) == 0)
            unref_view(copy[i]);
        else
            copy[kept++] = copy[i];
    }
    *list = copy;
    return (int)kept;
}

int ls_viewdefs_each(struct ls_viewdefs *views, void (*fn)(void *ctx, const char *key, const char *real_path),
                     void *ctx)
{
    struct ls__view **list;
    int count = ls__viewdefs_snapshot(views, false, &list);
    if (count < 0) return count;
    for (int i = 0; i < count; i++)
        fn(ctx, list[i]->key, list[i]->real);
    ls__views_release(list, (size_t)count);
    return 0;
}
