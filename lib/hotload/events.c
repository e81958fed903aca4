/* What events mean. Settling thread. An event says no more than "look at this name again": what is true now is asked of
 * the file system, so records that come late, twice or in another order do no harm. A file's event makes it pending;
 * whatever may have changed folders or links of a tree, or the way to one, makes everything be looked at again.
 * Rules: H13, H16–H18, H20, H21, H85. */
#include <errno.h>
#include <string.h>
#include <sys/inotify.h>

#include "base/alloc.h"
#include "base/log.h"
#include "files/fspath.h"
#include "hotload/hotload_internal.h"

enum {
    STRUCTURAL = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO,
    MAX_LOOKS = 8, /* what changes under each look is looked at again with the next event */
};

static bool ends_at(const struct ls__route *route, const struct ls__dir *dir, const char *name)
{
    const struct ls__hop *last = route->hop_count ? &route->hops[route->hop_count - 1] : NULL;
    return last && last->dir == dir && last->name && name && strcmp(last->name, name) == 0;
}

/* Look at a route again because something happened to `name` in `dir`; NULL: whatever happened. A path that ended at
 * this name and still does is the business of the file itself, which has a window of its own. */
static void check_route(struct ls_hotload *h, struct ls__route *route, const struct ls__dir *dir, const char *name)
{
    bool ended = ends_at(route, dir, name);
    bool counted = ls__route_counts(route);
    bool changed = ls__route_resolve(h, route);
    if (changed && route->tree) ls__route_tell_refused(route);
    if (!changed || (ended && ends_at(route, dir, name)) || !(counted || ls__route_counts(route))) return;
    if (route->real)
        ls__pend(h, route->path);
    else
        ls__pend_absent(h, route->path);
}

/* The routes that look this name up. @return may the trees have changed with them? */
static bool check_routes(struct ls_hotload *h, const struct ls__dir *dir, const char *name)
{
    bool structure = false;
    if (ls__route_looks_at(h->trees[0].route, dir, name)) ls__root_look(h);
    for (struct ls_map_item *item = ls_map_first(h->routes); item; item = ls_map_next(item)) {
        struct ls__route *route = ls_map_value(item);
        if (!ls__route_looks_at(route, dir, name)) continue;
        bool was_dir = route->is_dir, ended = ends_at(route, dir, name);
        size_t hops = route->hop_count;
        check_route(h, route, dir, name);
        /* A link whose target is saved by a rename leads on to the same place, and the tree is what it was. */
        bool same = ended && ends_at(route, dir, name) && hops == route->hop_count;
        structure |= was_dir || route->is_dir || (route->tree && !same);
    }
    return structure;
}

/* Does a route end here for want of this name? A placeholder becomes what it should be without a new name. */
static bool is_missing(struct ls_hotload *h, const struct ls__dir *dir, const char *name)
{
    for (struct ls_map_item *item = ls_map_first(h->routes); item; item = ls_map_next(item)) {
        const struct ls__route *route = ls_map_value(item);
        if (!route->real && ends_at(route, dir, name)) return true;
    }
    return false;
}

/* Is there a folder or a link of this name in a tree now, or was there a folder? */
static bool is_structure(const struct ls__dir *dir, uint32_t mask, const char *name)
{
    struct stat info;
    struct ls_buf path = LS_BUF_INIT;
    if (!dir->nodes || name[0] == '.') return false;
    if (mask & IN_ISDIR) return true;
    ls_path_join(&path, dir->path, name);
    bool other = lstat(ls_buf_text(&path), &info) == 0 && !S_ISREG(info.st_mode);
    ls_buf_release(&path);
    return other;
}

/* Does the file `name` of this directory take part (H4, H20)? What a request path leads to does, whatever it is called.
 */
static bool file_counts(struct ls_hotload *h, const struct ls__dir *dir, const char *name)
{
    if (!ls__name_ignored(name) && dir->uses[LS__CONTENT]) {
        if (ls_has_suffix(name, ".lua")) return true;
        bool html = ls_has_suffix(name, ".html");
        for (const struct ls__node *node = html ? dir->nodes : NULL; node; node = node->next)
            if (node->tree && node->tree->views) return true;
    }
    for (struct ls_map_item *item = ls_map_first(h->routes); item; item = ls_map_next(item)) {
        const struct ls__route *route = ls_map_value(item);
        if (ls__route_looks_at(route, dir, name) && ls__route_counts(route)) return true;
    }
    return false;
}

/* H21 for a file. */
static void file_event(struct ls_hotload *h, const struct ls__dir *dir, uint32_t mask, const char *path)
{
    struct stat info;
    struct ls__pending *pending = NULL;
    /* Of two names that were exchanged each one went and came; the records tell that in any order. */
    bool went = mask & (IN_DELETE | IN_MOVED_FROM);
    if (mask & (IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO) && !ls__look(path, &info)) {
        if (errno == EACCES) ls__note_closed(h, dir->path, EACCES);
        return;
    }
    if (mask & (IN_CLOSE_WRITE | IN_MOVED_TO) || (went && ls__look(path, &info) && !S_ISDIR(info.st_mode)))
        pending = ls__pend(h, path);
    else if (mask & IN_CREATE) {
        if (S_ISLNK(info.st_mode) || info.st_nlink > 1)
            pending = ls__pend(h, path);
        else
            ls__pend_dirty(h, path);
    } else if (mask & IN_MODIFY) {
        /* of a link it means its times, which is no write to its target */
        if (lstat(path, &info) || !S_ISLNK(info.st_mode)) ls__pend_dirty(h, path);
    } else if (went)
        ls__pend_absent(h, path);
    /* `chmod` does not reload, but a change that could not be read is waiting for it (section 14). */
    else if (mask & IN_ATTRIB && ls_map_get(h->unreadable, path, strlen(path)))
        pending = ls__pend(h, path);
    if (!pending) return;
    pending->dirty_ns = 0;
    pending->hold_ns = 0;
    pending->polled = h->polling;
}

void ls__event_name(struct ls_hotload *h, struct ls__dir *dir, uint32_t mask, const char *name)
{
    dir->uses[LS__SELF]++; /* keep it while looking */
    if (mask & (IN_CLOSE_WRITE | IN_ATTRIB) && is_missing(h, dir, name)) mask |= IN_MOVED_TO; /* it has come */
    if (mask & STRUCTURAL && (check_routes(h, dir, name) | is_structure(dir, mask, name))) h->rescan = true;
    bool counts = !(mask & IN_ISDIR) && file_counts(h, dir, name);
    if (!counts && mask & (IN_CLOSE_WRITE | IN_MOVED_TO) && ls__name_ignored(name) &&
        (ls_has_suffix(name, ".lua") || ls_has_suffix(name, ".html")))
        ls_log(2, "Hot reload: %s/%s skipped: the name is that of a lock, a back-up or a temporary file.", dir->path,
               name);
    if (counts) {
        struct ls_buf path = LS_BUF_INIT;
        ls_path_join(&path, dir->path, name);
        if (!ls_buf_failed(&path)) file_event(h, dir, mask, ls_buf_text(&path));
        ls_buf_release(&path);
    }
    ls__dir_unuse(h, dir, LS__SELF);
}

/* Does a closed folder hide what is there? */
static bool is_closed(const struct ls_hotload *h, const char *path)
{
    struct stat info;
    return (h->within ? lstat(path, &info) : stat(path, &info)) && errno == EACCES;
}

/* Known files that are not there any more. */
static void find_missing(struct ls_hotload *h)
{
    struct stat info;
    for (struct ls_map_item *item = ls_map_first(h->known); item; item = ls_map_next(item)) {
        const char *path = ls_map_key(item, NULL);
        if (!ls__look(path, &info) && errno != EACCES) ls__pend_absent(h, path);
    }
    for (struct ls_map_item *item = ls_map_first(h->views); item; item = ls_map_next(item)) {
        const char *path = ls_map_key(item, NULL);
        const struct ls__pending *pending = ls_map_get(h->pendingReloads, path, strlen(path));
        if (ls__view_there(h, path) || is_closed(h, path)) continue;
        if (!ls__is_there(h, path))
            ls__pend_absent(h, path);
        else if (!pending || pending->absent) /* its folder has another place now */
            ls__pend(h, path);
    }
}

void ls__look_again(struct ls_hotload *h)
{
    for (int looks = 0; (h->rescan || h->renew) && looks < MAX_LOOKS; looks++) {
        if (h->renew) ls__dirs_renew(h);
        h->rescan = h->renew = false;
        ls__root_look(h);
        for (struct ls_map_item *item = ls_map_first(h->routes); item; item = ls_map_next(item)) {
            struct ls__route *route = ls_map_value(item);
            check_route(h, route, NULL, NULL);
            if (route->real && !route->is_dir && ls__route_counts(route))
                ls__pend_found(h, route->real, &route->stamp, false);
        }
        for (size_t i = 0; i < LS__TREES; i++)
            ls__tree_walk(h, &h->trees[i]);
        find_missing(h);
    }
}

void ls__event(struct ls_hotload *h, const struct ls__record *record)
{
    if (record->broken) {
        ls__dirs_poll_all(h);
        return;
    }
    if (record->mask & IN_Q_OVERFLOW || record->wd < 0) { /* before any look-up: it has no directory */
        ls_log(0, "Hot reload: the kernel's event queue has overflowed; looking at all files again.");
        h->renew = true;
        return;
    }
    struct ls__dir *dir = ls_idmap_get(h->wds, record->wd);
    if (!dir) return;
    if (record->mask & (IN_IGNORED | IN_UNMOUNT | IN_DELETE_SELF))
        ls__dir_kill(h, dir);
    else if (record->mask & IN_MOVE_SELF)
        h->rescan = true;
    else if (record->name[0])
        ls__event_name(h, dir, record->mask, record->name);
}
