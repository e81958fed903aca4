/* What events mean (section 4). Settling thread. An event says no more than "look at this name again": what is true now
 * is asked of the file system, so records that come late, twice or in another order do no harm.
 * Rules: H13, H16–H18, H20, H21, H85. */
#include <string.h>
#include <sys/inotify.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/log.h"
#include "files/fspath.h"
#include "hotload/hotload_internal.h"

enum { STRUCTURAL = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO };

/* References to the routes that a look may change while it goes on. */
struct held_routes {
    struct ls__route **routes;
    size_t count, cap;
};

static void hold_route(struct held_routes *held, struct ls__route *route, bool repeats)
{
    for (size_t i = repeats ? held->count : 0; i-- > 0;)
        if (held->routes[i] == route) return;
    if (LS_PUSH(held->routes, held->count, held->cap, route)) route->refs++;
}

static bool ends_at(const struct ls__route *route, const struct ls__dir *dir, const char *name)
{
    const struct ls__hop *last = route->hop_count ? &route->hops[route->hop_count - 1] : NULL;
    return last && last->dir == dir && last->name && name && strcmp(last->name, name) == 0;
}

/* Look at a route again because something happened to `name` in `dir` (NULL: to a directory on its way). A path that
 * ended at this entry and still does is the business of the entry itself, which has a window of its own. */
static void check_route(struct ls_hotload *h, struct ls__route *route, const struct ls__dir *dir, const char *name)
{
    bool ended = ends_at(route, dir, name);
    bool counted = ls__route_counts(route);
    bool changed = ls__route_resolve(h, route);
    for (size_t i = 0; i < sizeof h->trees / sizeof *h->trees; i++)
        if (h->trees[i].route == route) ls__tree_check(h, &h->trees[i], LS__SCAN_CHANGED);
    if (route->holder) ls__node_look(h, route->holder, ls_path_base(route->path), LS__SCAN_CHANGED);
    if (!changed || (ended && ends_at(route, dir, name)) || !(counted || ls__route_counts(route))) return;
    if (route->real)
        ls__pend(h, route->path);
    else
        ls__pend_absent(h, route->path);
}

static void check_routes(struct ls_hotload *h, struct held_routes *held, const struct ls__dir *dir, const char *name)
{
    for (size_t i = 0; i < held->count; i++)
        check_route(h, held->routes[i], dir, name);
    for (size_t i = 0; i < held->count; i++)
        ls__route_unref(h, held->routes[i]);
    ls_free(held->routes);
}

/* Does the file `name` of this directory take part (H4, H20)? What a request path leads to does, whatever it is called.
 * */
static bool file_counts(struct ls_hotload *h, const struct ls__dir *dir, const char *name)
{
    for (const struct ls__hop *hop = ls__hops_at(h, dir, name); hop; hop = hop->name_next)
        if (ls__route_counts(hop->route)) return true;
    if (ls__name_ignored(name) || !dir->uses[LS__CONTENT]) return false;
    if (ls_has_suffix(name, ".lua")) return true;
    if (!ls_has_suffix(name, ".html")) return false;
    for (const struct ls__node *node = dir->nodes; node; node = node->dir_next)
        if (node->tree->views) return true;
    return false;
}

/* H21 for a file. */
static void file_event(struct ls_hotload *h, struct ls__dir *dir, uint32_t mask, const char *path)
{
    struct stat info;
    struct ls__pending *entry = NULL;
    if (mask & (IN_CLOSE_WRITE | IN_MOVED_TO))
        entry = ls__pend(h, path);
    else if (mask & IN_CREATE) {
        if (lstat(path, &info)) return;
        if (S_ISLNK(info.st_mode) || info.st_nlink > 1)
            entry = ls__pend(h, path);
        else
            ls__pend_dirty(h, path);
    } else if (mask & IN_MODIFY)
        ls__pend_dirty(h, path);
    else if (mask & (IN_DELETE | IN_MOVED_FROM))
        ls__pend_absent(h, path);
    /* `chmod` does not reload, but a change that could not be read is waiting for it (section 14). */
    else if (mask & IN_ATTRIB && ls_map_get(h->unreadable, path, strlen(path)))
        entry = ls__pend(h, path);
    if (!entry) return;
    entry->dirty_ns = 0;
    entry->hold_ns = 0;
    entry->polled = dir->polled;
}

void ls__event_name(struct ls_hotload *h, struct ls__dir *dir, uint32_t mask, const char *name)
{
    dir->uses[LS__SELF]++; /* keep it while looking */
    if (mask & STRUCTURAL) {
        struct held_routes held = {0};
        for (struct ls__hop *hop = ls__hops_at(h, dir, name); hop; hop = hop->name_next)
            hold_route(&held, hop->route, true);
        check_routes(h, &held, dir, name);
        for (struct ls__node *node = dir->nodes, *next; node; node = next) {
            next = node->dir_next;
            ls__node_look(h, node, name, LS__SCAN_CHANGED);
        }
    }
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

static bool still_there(const struct ls__node *node)
{
    struct stat info;
    return !node->dir->dead && stat(node->path, &info) == 0 && info.st_dev == node->dir->dev &&
           info.st_ino == node->dir->ino;
}

void ls__dir_gone(struct ls_hotload *h, struct ls__dir *dir)
{
    struct held_routes held = {0};
    dir->uses[LS__SELF]++;
    for (struct ls__hop *hop = dir->hops; hop; hop = hop->dir_next)
        hold_route(&held, hop->route, true);
    check_routes(h, &held, dir, NULL);
    /* Checking one place may free others, so the search starts again; a place whose directory is gone never survives
     * its check. */
    for (struct ls__node *node = dir->nodes; node;) {
        if (still_there(node))
            node = node->dir_next;
        else {
            ls__node_check(h, node);
            struct ls__node *first = dir->nodes;
            if (first == node) break;
            node = first;
        }
    }
    ls__dir_unuse(h, dir, LS__SELF);
}

/* Known files that are not there any more. */
static void find_missing(struct ls_hotload *h)
{
    struct stat info;
    for (struct ls_map_entry *entry = ls_map_first(h->known); entry; entry = ls_map_next(entry)) {
        const char *path = ls_map_key(entry, NULL);
        if (lstat(path, &info)) ls__pend_absent(h, path);
    }
    for (struct ls_map_entry *entry = ls_map_first(h->views); entry; entry = ls_map_next(entry))
        if (!ls__is_there(h, ls_map_key(entry, NULL))) ls__pend_absent(h, ls_map_key(entry, NULL));
}

/* Events were lost (H85): everything is walked again, watches that are missing are set, and what differs from what is
 * known counts as changed. */
static void rescan(struct ls_hotload *h)
{
    struct held_routes held = {0};
    struct stat info;
    struct ls_map_entry *entry, *next;
    for (entry = ls_map_first(h->dirs); entry; entry = next) {
        struct ls__dir *dir = ls_map_value(entry);
        next = ls_map_next(entry);
        /* The record of its end may be among those that were lost. */
        if (stat(dir->path, &info) == 0 && info.st_dev == dir->dev && info.st_ino == dir->ino && ls__dir_renew(h, dir))
            continue;
        dir->uses[LS__SELF]++;
        ls__dir_kill(h, dir);
        ls__dir_unuse(h, dir, LS__SELF);
    }
    for (entry = ls_map_first(h->routes); entry; entry = ls_map_next(entry))
        hold_route(&held, ls_map_value(entry), false);
    check_routes(h, &held, NULL, NULL);
    ls__trees_rescan(h, LS__SCAN_COMPARE);
    for (entry = ls_map_first(h->routes); entry; entry = ls_map_next(entry)) {
        const struct ls__route *route = ls_map_value(entry);
        const struct ls__stamp *known = route->real ? ls_map_get(h->known, route->real, strlen(route->real)) : NULL;
        struct ls__stamp now;
        if (!route->real || !ls__route_counts(route) || stat(route->real, &info)) continue;
        ls__stamp_of(&now, &info);
        if (!known || !ls__stamp_equal(known, &now)) ls__pend(h, route->real);
    }
    find_missing(h);
}

static struct ls__dir *flagged(struct ls_hotload *h)
{
    for (struct ls_map_entry *entry = ls_map_first(h->dirs); entry; entry = ls_map_next(entry))
        if (((struct ls__dir *)ls_map_value(entry))->recheck) return ls_map_value(entry);
    return NULL;
}

void ls__second_look(struct ls_hotload *h)
{
    struct ls__dir *dir;
    while (h->recheck) {
        h->recheck = false;
        while ((dir = flagged(h))) {
            dir->recheck = false;
            ls__dir_gone(h, dir);
        }
    }
    if (h->rescan) {
        h->rescan = h->rewalk = false;
        rescan(h);
    } else if (h->rewalk) {
        h->rewalk = false;
        ls__trees_rescan(h, LS__SCAN_COMPARE);
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
        rescan(h);
        return;
    }
    struct ls__dir *dir = ls_idmap_get(h->wds, record->wd);
    if (!dir) return;
    if (record->mask & (IN_IGNORED | IN_UNMOUNT | IN_DELETE_SELF)) {
        dir->uses[LS__SELF]++;
        ls__dir_kill(h, dir);
        ls__dir_gone(h, dir);
        ls__dir_unuse(h, dir, LS__SELF);
    } else if (record->mask & IN_MOVE_SELF)
        ls__dir_gone(h, dir);
    else if (record->name[0])
        ls__event_name(h, dir, record->mask, record->name);
}
