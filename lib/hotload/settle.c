/* From pendingReloads to bursts: changed files wait for their quiet windows, and what is due together becomes one burst
 * (section 5). Settling thread; the deadlines are those of its timer (H24). Refuses to judge contents: whether a text
 * is new is for sessions and the view store (H35, H76).
 * Rules: H16, H17, H23–H32, H79, H84. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "files/fspath.h"
#include "hotload/hotload_internal.h"

enum {
    ALONE_MS = 5,      /* H23: while one file is pending */
    TOGETHER_MS = 20,  /* H23: once a second has joined */
    POLLED_MS = 100,   /* H22: no CLOSE_WRITE is known */
    OPEN_MS = 500,     /* H21, H29: for a CLOSE_WRITE that does not come */
    WRITER_MS = 20,    /* how often a file that is being written is looked at, as long as its burst waits for it */
    EMPTY_MS = 250,    /* H30 */
    ABSENT_MS = 100,   /* a deleted file may be on its way back: editors rename, then write */
    LONGEST_MS = 1000, /* H27, H28 */
    GIT_MS = 2000,     /* H84 */
    GIT_LOOK_MS = 5,   /* how often a lock is looked at while it holds a burst back */
};

/* --- when --- */

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}
static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t window_of(struct ls_hotload *h, int64_t now)
{
    size_t count = 0;
    if (h->debounce_ns >= 0) return h->debounce_ns;
    for (struct ls_map_item *e = ls_map_first(h->pendingReloads); e && count < 2; e = ls_map_next(e)) {
        const struct ls__pending *pending = ls_map_value(e);
        /* A second file that is being written this very moment has joined as well. */
        if (pending->waiting ? !pending->absent : now - pending->dirty_ns < ls_ms(TOGETHER_MS)) count++;
    }
    return ls_ms(count > 1 ? TOGETHER_MS : ALONE_MS);
}

/* When this file may be read. */
static int64_t readable_at(const struct ls__pending *pending, int64_t window)
{
    int64_t due = pending->last_ns + (pending->polled ? later(window, ls_ms(POLLED_MS)) : window);
    if (pending->dirty_ns) due = later(due, pending->dirty_ns + ls_ms(OPEN_MS));
    return later(due, pending->hold_ns);
}

struct schedule {
    int64_t window;
    int64_t due;  /* of the burst; INT64_MAX = nothing is pending */
    int64_t cap;  /* H27: at the latest */
    int64_t wake; /* when something is to be done at all */
};

static struct schedule plan(struct ls_hotload *h, int64_t now)
{
    struct schedule s = {.window = window_of(h, now), .due = INT64_MAX, .cap = INT64_MAX, .wake = INT64_MAX};
    int64_t settled = 0, vanished = 0, first = INT64_MAX;
    for (struct ls_map_item *e = ls_map_first(h->pendingReloads); e; e = ls_map_next(e)) {
        const struct ls__pending *pending = ls_map_value(e);
        if (!pending->waiting) {
            s.wake = sooner(s.wake, pending->dirty_ns + ls_ms(OPEN_MS));
            /* A file that is being written holds the others back for as long as it might take to join them. */
            if (now - pending->dirty_ns < s.window)
                settled = settled ? later(settled, pending->dirty_ns + s.window) : 0;
        } else if (pending->absent)
            vanished = later(vanished, pending->last_ns);
        else {
            settled = later(settled, readable_at(pending, s.window));
            first = sooner(first, pending->first_ns);
        }
    }
    if (first != INT64_MAX) {
        s.cap = first + ls_ms(LONGEST_MS);
        s.due = sooner(vanished ? later(settled, vanished + s.window) : settled, s.cap);
    } else if (vanished)
        s.due = s.cap = vanished + later(s.window, ls_ms(ABSENT_MS));
    s.wake = sooner(s.wake, s.due);
    return s;
}

int64_t ls__pending_due(struct ls_hotload *h, int64_t now)
{
    if (!ls_map_count(h->pendingReloads)) return INT64_MAX;
    struct schedule s = plan(h, now);
    if (h->lock_since_ns && s.wake <= now) return now + ls_ms(GIT_LOOK_MS);
    return s.wake;
}

/* --- git (H84) --- */

/* The lock of the repository whose top is `dir`, if one is there. A worktree's .git is a file that names the real
 * place, which with --sandbox is not for the site to say. */
static bool locked_at(const struct ls_hotload *h, const char *dir, struct stat *info)
{
    struct ls_buf path = LS_BUF_INIT;
    struct stat git;
    bool locked = false;
    ls_path_join(&path, dir, ".git");
    if (!h->within && stat(ls_buf_text(&path), &git) == 0 && S_ISREG(git.st_mode)) {
        struct ls_bytes *text = ls_file_read(NULL, ls_buf_text(&path), PATH_MAX + 16, NULL);
        if (text && ls_has_prefix(ls_bytes_data(text), "gitdir: ")) {
            char *where = ls_strdup(ls_bytes_data(text) + 8);
            if (where) {
                where[strcspn(where, "\r\n")] = 0;
                ls_path_join(&path, dir, where);
            }
            ls_free(where);
        }
        ls_bytes_unref(text);
    }
    ls_buf_str(&path, "/index.lock");
    char *real = ls_buf_failed(&path) ? NULL : ls_path_within(h->within, ls_buf_text(&path), NULL);
    locked = real && lstat(real, info) == 0;
    ls_free(real);
    ls_buf_release(&path);
    return locked;
}

/* A lock that has outlived its 2 s belongs to a git that has died; it does not hold anything back again. */
static bool git_locked(struct ls_hotload *h, struct ls__stamp *stamp)
{
    struct ls_buf dir = LS_BUF_INIT;
    struct stat info;
    bool locked = false;
    ls_buf_str(&dir, h->root);
    while (!locked && dir.len && !ls_buf_failed(&dir)) {
        if (locked_at(h, ls_buf_text(&dir), &info)) {
            ls__stamp_of(stamp, &info);
            locked = !ls__stamp_equal(stamp, &h->stale_lock);
        }
        const char *slash = strrchr(ls_buf_text(&dir), '/');
        ls_buf_cut(&dir, (size_t)(slash - ls_buf_text(&dir)));
    }
    ls_buf_release(&dir);
    return locked;
}

static bool held_back(struct ls_hotload *h, int64_t now)
{
    struct ls__stamp stamp;
    if (!git_locked(h, &stamp)) {
        bool was = h->lock_since_ns != 0;
        h->lock_since_ns = 0;
        /* Events of its last moment may still be unread: a window for all from here on. */
        for (struct ls_map_item *e = was ? ls_map_first(h->pendingReloads) : NULL; e; e = ls_map_next(e)) {
            struct ls__pending *pending = ls_map_value(e);
            pending->last_ns = pending->first_ns = now;
        }
        return was;
    }
    if (!h->lock_since_ns) h->lock_since_ns = now;
    if (now - h->lock_since_ns < ls_ms(GIT_MS)) return true;
    h->stale_lock = stamp;
    h->lock_since_ns = 0;
    return false;
}

/* --- gathering a burst --- */

struct found {
    enum ls__read result;
    struct ls_bytes *text;
    struct ls__stamp stamp;
};

struct gather {
    struct ls_hotload *h;
    struct ls_burst *burst;
    struct ls_map *texts; /* real path -> struct found: each file is read once (H38) */
    struct ls_map *seen;  /* what is in the burst */
    int64_t now;
    struct ls__pending *pending; /* in hand */
    bool unfit;                  /* something of it cannot be read yet */
};

static void free_found(void *value)
{
    struct found *found = value;
    ls_bytes_unref(found->text);
    ls_free(found);
}

/* H30: an empty file that had content gets a quarter of a second to be filled. */
static bool hold_empty(struct gather *gather, const char *real)
{
    const struct ls__stamp *before = ls_map_get(gather->h->known, real, strlen(real));
    struct ls__pending *pending = gather->pending;
    if (before && !before->size) return false;
    if (!pending->empty_ns) pending->empty_ns = gather->now;
    if (gather->now - pending->empty_ns >= ls_ms(EMPTY_MS)) return false;
    pending->hold_ns = pending->empty_ns + ls_ms(EMPTY_MS);
    return true;
}

static bool being_written(struct ls_hotload *h, const char *real, int64_t now)
{
    const struct ls__pending *pending = ls_map_get(h->pendingReloads, real, strlen(real));
    return pending && pending->dirty_ns && now - pending->dirty_ns < ls_ms(OPEN_MS);
}

static void tell_unreadable(struct ls_hotload *h, const char *path, const struct ls_err *err)
{
    if (ls_map_get(h->unreadable, path, strlen(path))) return;
    ls_log(0, "%s", ls_err_text(err));
    ls_map_put(h->unreadable, path, strlen(path), h->unreadable, NULL);
}

static struct found *read_once(struct gather *gather, const char *real)
{
    LS_ERR(err);
    struct found *found = ls_map_get(gather->texts, real, strlen(real));
    if (found) return found;
    found = ls_zalloc(sizeof *found);
    if (!found || !ls_map_put(gather->texts, real, strlen(real), found, NULL)) {
        ls_free(found);
        return NULL;
    }
    found->result = being_written(gather->h, real, gather->now)
                        ? LS__READ_UNSTABLE
                        : ls__read_stable(gather->h->within, real, &found->text, &found->stamp, &err);
    if (found->result == LS__READ_STARVED && !gather->h->starved) ls_log(0, "%s", ls_err_text(&err));
    gather->h->starved = found->result == LS__READ_STARVED || (gather->h->starved && found->result != LS__READ_OK);
    if (found->result == LS__READ_FAILED)
        tell_unreadable(gather->h, real, &err);
    else if (found->result == LS__READ_OK)
        ls_map_take(gather->h->unreadable, real, strlen(real));
    return found;
}

/* The text behind a path. NULL: gone, unfit (gather->unfit), or not readable. */
static const struct found *read_path(struct gather *gather, const char *path)
{
    char *real = ls_path_within(gather->h->within, path, NULL);
    char *dir = !real && errno == EACCES ? ls_path_dir(path) : NULL;
    if (dir) ls__note_closed(gather->h, dir, EACCES);
    ls_free(dir);
    const struct found *found = real ? read_once(gather, real) : NULL;
    bool fit = found && found->result == LS__READ_OK;
    if (found &&
        (found->result == LS__READ_UNSTABLE || found->result == LS__READ_OPEN || found->result == LS__READ_STARVED))
        gather->unfit = true;
    if (found && found->result == LS__READ_STARVED) gather->pending->told = true;
    if (found && found->result == LS__READ_OPEN) {
        gather->pending->open = true;
        gather->pending->hold_ns = gather->now + ls_ms(WRITER_MS);
    }
    if (fit && !found->stamp.size && hold_empty(gather, real)) {
        gather->unfit = true;
        fit = false;
    }
    ls_free(real);
    return fit ? found : NULL;
}

static bool target_changed(struct gather *gather, const char *path)
{
    char *real = ls_path_within(gather->h->within, path, NULL);
    const struct found *found = real ? ls_map_get(gather->texts, real, strlen(real)) : NULL;
    const struct ls__stamp *before = real ? ls_map_get(gather->h->known, real, strlen(real)) : NULL;
    bool changed = found && before && !ls__stamp_equal(&found->stamp, before);
    ls_free(real);
    return changed;
}

/* Is this one in the burst already? A second path that was re-pointed is one more, for its names move as well (H17). */
static bool seen(struct gather *gather, const char *key, const char *old_key, const char *path)
{
    const char *const parts[] = {key, old_key ? old_key : "", old_key ? path : ""};
    struct ls_buf all = LS_BUF_INIT;
    for (size_t i = 0; i < 3; i++)
        ls_buf_add(&all, parts[i], strlen(parts[i]) + 1);
    bool repeated = ls_map_get(gather->seen, ls_buf_text(&all), all.len);
    if (!repeated) ls_map_put(gather->seen, ls_buf_text(&all), all.len, gather, NULL);
    ls_buf_release(&all);
    return repeated;
}

/* Who wants a file knows it by its path alone (H36). */
static bool is_wanted(const struct gather *gather, const char *path)
{
    const struct ls__route *route = ls_map_get(gather->h->routes, path, strlen(path));
    return route && route->wanted;
}

/* @return is it in the burst? */
static bool add_lua(struct gather *gather, const char *key, const char *old_key, const char *path, bool gone)
{
    const struct found *found = gone ? NULL : read_path(gather, path);
    if (!gone && !found) return false;
    bool repeated = seen(gather, key, gone ? "gone" : old_key, gone ? "" : path);
    if (!old_key && is_wanted(gather, path) && !seen(gather, key, "wanted", path)) repeated = false;
    if (repeated) return true;
    if (gone) ls_log(1, "Hot reload: %s was deleted; its code stays as it is.", key);
    return ls__burst_add_lua(gather->burst, key, old_key, path, found ? found->text : NULL);
}

static void add_view(struct gather *gather, const char *path)
{
    bool known = ls_map_get(gather->h->views, path, strlen(path));
    if (ls__view_there(gather->h, path)) {
        const struct found *found = read_path(gather, path);
        if (found && !seen(gather, path, "view", "")) ls__burst_add_view(gather->burst, path, found->text);
    } else if ((gather->pending->absent || ls__is_there(gather->h, path)) && known && !seen(gather, path, "view", ""))
        ls__burst_add_view(gather->burst, path, NULL);
}

/* What a request path leads to now. */
static void add_route(struct gather *gather, struct ls__route *route)
{
    if (!ls__route_counts(route)) return;
    if (route->tree && route->tree->views && ls_has_suffix(route->path, ".html")) add_view(gather, route->path);
    if (!route->uses && !ls_has_suffix(route->path, ".lua")) return;
    if (!route->key) {
        if (gather->pending->absent && route->uses && route->burst_key)
            add_lua(gather, route->burst_key, NULL, route->path, true);
        return;
    }
    bool moved = route->uses && route->burst_key && strcmp(route->burst_key, route->key) != 0;
    bool told = add_lua(gather, route->key, moved ? route->burst_key : NULL, route->path, false);
    for (size_t i = 0; i < route->known_count; i++) {
        const char *known = route->known_as[i].left ? route->key : route->known_as[i].key;
        if (strcmp(known, route->key) == 0 || (moved && strcmp(known, route->burst_key) == 0)) continue;
        moved = true;
        told = told && add_lua(gather, route->key, known, route->path, false);
    }
    route->renamed |= told && route->uses && (moved || !route->burst_key);
}

/* What is pending has a path; everything that is asked for through it is in the burst. */
static void add_pending(struct gather *gather)
{
    const struct ls__pending *pending = gather->pending;
    struct ls_hotload *h = gather->h;
    const char *path = pending->path, *name = ls_path_base(path);
    struct ls__route *route = ls_map_get(h->routes, path, strlen(path));
    struct stat info;
    bool is_view = ls_map_get(h->views, path, strlen(path));
    /* it has come back: its return is an event of its own */
    if (pending->absent && (is_view ? ls__view_there(h, path) : ls__is_there(h, path))) return;
    if (pending->absent)
        ls_free(ls_map_take(h->known, path, strlen(path)));
    else if (lstat(path, &info))
        ls_log(2, "Hot reload: %s skipped: it is no longer there.", path);
    if (route) add_route(gather, route);
    if (is_view) add_view(gather, path);
    char *parent = ls_path_dir(path);
    const struct ls__dir *dir = parent ? ls__dir_at(h, parent) : NULL;
    ls_free(parent);
    if (!dir) return;
    for (struct ls_map_item *e = ls_map_first(h->routes); e; e = ls_map_next(e)) {
        struct ls__route *other = ls_map_value(e);
        if (other != route && ls__route_looks_at(other, dir, name)) add_route(gather, other);
    }
    if (ls__name_ignored(name)) return;
    for (const struct ls__node *node = ls_has_suffix(name, ".html") ? dir->nodes : NULL; node; node = node->next) {
        struct ls_buf view = LS_BUF_INIT;
        ls_path_join(&view, node->path, name);
        if (node->tree->views && !ls_buf_failed(&view)) add_view(gather, ls_buf_text(&view));
        ls_buf_release(&view);
    }
    if (pending->absent || !ls_has_suffix(name, ".lua") || !dir->uses[LS__CONTENT]) return;
    char *real = ls_path_within(h->within, path, NULL), *key = real ? ls_path_relative(h->root, real) : NULL;
    if (key) add_lua(gather, key, NULL, path, false);
    ls_free(key);
    ls_free(real);
}

/* A path that was re-pointed to a file brings that file's own key along, because its tree was scanned or its name
 * looked at. Unless the file itself has changed since it was known, what names the old key says it all (H17).
 * */
static void drop_repeats(struct gather *gather)
{
    struct ls_burst *burst = gather->burst;
    for (size_t i = 0; i < burst->file_count; i++) {
        /* only one way to that file has gone */
        for (size_t j = 0; burst->files[i].text && j < burst->file_count; j++)
            if (!burst->files[j].text && strcmp(burst->files[j].key, burst->files[i].key) == 0) {
                ls__burst_remove(burst, j);
                if (j < i) i--;
                break;
            }
        for (size_t j = 0; burst->files[i].old_key && j < burst->file_count; j++) {
            if (burst->files[j].old_key || strcmp(burst->files[j].key, burst->files[i].key) ||
                target_changed(gather, burst->files[j].path) || is_wanted(gather, burst->files[j].path))
                continue;
            ls__burst_remove(burst, j);
            if (j < i) i--;
            break;
        }
    }
}

/* The burst is on its way: remember what was handed over. */
static void commit(struct gather *gather)
{
    struct ls_hotload *h = gather->h;
    for (struct ls_map_item *e = ls_map_first(gather->texts); e; e = ls_map_next(e)) {
        const struct found *found = ls_map_value(e);
        if (found->result != LS__READ_OK) continue;
        struct ls__stamp stamp = found->stamp;
        stamp.hash = stamp.young ? ls_hash(ls_bytes_data(found->text), ls_bytes_len(found->text)) : 0;
        ls__know(h, ls_map_key(e, NULL), &stamp);
    }
    for (struct ls_map_item *e = ls_map_first(h->routes); e; e = ls_map_next(e)) {
        struct ls__route *route = ls_map_value(e);
        char *key = route->renamed ? ls_strdup(route->key) : NULL;
        if (!key) continue;
        for (size_t i = 0; i < route->known_count; i++)
            route->known_as[i].left = strcmp(route->known_as[i].key, key) != 0;
        ls_free(route->burst_key);
        route->burst_key = key;
    }
    for (size_t i = 0; i < gather->burst->view_count; i++) {
        const struct ls_view_file *view = &gather->burst->views[i];
        char *real = view->text ? ls_path_within(h->within, view->path, NULL) : NULL;
        ls__view_know(h, view->path, real ? real : view->text ? "" : NULL);
        ls_free(real);
    }
}

static void release_gather(struct gather *gather)
{
    for (struct ls_map_item *e = ls_map_first(gather->h->routes); e; e = ls_map_next(e))
        ((struct ls__route *)ls_map_value(e))->renamed = false;
    ls_map_free(gather->texts, free_found);
    ls_map_free(gather->seen, NULL);
    ls_burst_unref(gather->burst);
}

/* It waits on, and its burst with it; for what is late no other file waits any more (H28). */
static void put_back(const struct gather *gather, struct ls__pending *pending, bool late)
{
    if (pending->hold_ns <= gather->now) pending->last_ns = gather->now;
    if (!late && !pending->told) return;
    if (!pending->told && pending->open)
        ls_log(1, "Hot reload: %s is still open for writing; it is taken up when it has been closed.", pending->path);
    else if (!pending->told)
        ls_log(1, "Hot reload: %s keeps changing; it is taken up when it has settled.", pending->path);
    pending->told = true;
    pending->waiting = false;
    if (!pending->dirty_ns) pending->dirty_ns = gather->now;
}

/* @return was it handled? If not it stays, and while it is `waiting` the burst waits for it unless it is late */
static bool take_pending(struct gather *gather, struct ls__pending *pending, bool late)
{
    gather->pending = pending;
    gather->unfit =
        (pending->dirty_ns && gather->now - pending->dirty_ns < ls_ms(OPEN_MS)) || pending->hold_ns > gather->now;
    if (!gather->unfit) {
        pending->open = false;
        add_pending(gather);
    }
    if (!gather->unfit) return true;
    put_back(gather, pending, late);
    return false;
}

/* Everything that is pending. @return false: the burst has to wait for a file of it */
static bool gather_all(struct gather *gather, const struct schedule *s, bool late)
{
    bool complete = true;
    gather->burst->first_event_ns = gather->now;
    gather->burst->unasked = true;
    for (struct ls_map_item *e = ls_map_first(gather->h->pendingReloads); e; e = ls_map_next(e)) {
        struct ls__pending *pending = ls_map_value(e);
        if (!pending->waiting || (pending->absent && gather->now - pending->last_ns < s->window)) continue;
        int64_t first = pending->first_ns;
        pending->handled = take_pending(gather, pending, late);
        gather->burst->unasked = gather->burst->unasked && (pending->unasked || !pending->handled);
        if (pending->handled)
            gather->burst->first_event_ns = sooner(gather->burst->first_event_ns, first);
        else if (pending->waiting)
            complete = false;
    }
    return complete || late;
}

/* Forget what was handled, or let it wait on. */
static void finish_pending(struct ls_hotload *h, bool handed_over)
{
    for (struct ls_map_item *e = ls_map_first(h->pendingReloads), *next; e; e = next) {
        struct ls__pending *pending = ls_map_value(e);
        next = ls_map_next(e);
        if (pending->handled && handed_over)
            ls__pending_drop(h, pending);
        else
            pending->handled = false;
    }
}

void ls__pending_settle(struct ls_hotload *h, int64_t now)
{
    for (struct ls_map_item *e = ls_map_first(h->pendingReloads); e; e = ls_map_next(e)) {
        struct ls__pending *pending = ls_map_value(e);
        if (!pending->dirty_ns || now - pending->dirty_ns < ls_ms(OPEN_MS)) continue;
        /* No CLOSE_WRITE is coming: the stability check alone decides (H21). */
        if (!pending->waiting) pending->first_ns = pending->last_ns = pending->dirty_ns;
        pending->waiting = true;
        pending->dirty_ns = 0;
    }
    struct schedule s = plan(h, now);
    if (s.due > now || held_back(h, now)) return;
    bool late = now >= s.cap;
    struct gather gather = {.h = h, .burst = ls__burst_new(), .texts = ls_map_new(), .seen = ls_map_new(), .now = now};
    if (gather.burst && gather.texts && gather.seen) {
        bool go = gather_all(&gather, &s, late);
        if (go) drop_repeats(&gather);
        finish_pending(h, go);
        if (go) commit(&gather);
        if (go && gather.burst->file_count + gather.burst->view_count) {
            ls__burst_sort(gather.burst);
            h->on_burst(h->ctx, gather.burst);
        }
    }
    release_gather(&gather);
}
