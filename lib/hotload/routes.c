/* Routes: how a path resolves just now, link by link. Each directory on the way is used (dirs.c), those that hold a
 * link, or lack a name, with attention to their names; so whatever can make the path lead elsewhere is noticed: links
 * of a chain re-pointed, directories swapped, things missing that appear (H7, H8, H13–H18). Settling thread. Refuses to
 * decide what a change means. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/log.h"
#include "files/fspath.h"
#include "hotload/hotload_internal.h"

enum {
    MAX_LINKS = 40, /* as the kernel: more is a loop (H18) */
    MAX_WALKS = 8,  /* a path that changes under each look is looked at again by its events */
};

struct walk {
    struct ls_hotload *h;
    struct ls__route *route;
    struct ls_buf at; /* real path so far, "" = the top */
    struct stat at_info;
    struct ls_buf rest; /* what is left to resolve */
    unsigned links;
    struct ls__hop *hops;
    size_t count, cap;
    bool fresh;   /* a watch was set on the way: look again */
    bool broken;  /* out of memory, or something vanished under the walk */
    bool closed;  /* a folder on the way cannot be looked into */
    bool refused; /* it has left `within` (files/fspath.h): nothing is looked at there */
    char *real;
    struct stat info; /* of `real` */
};

static void add_hop(struct walk *walk, const char *name, enum ls__level level)
{
    const char *path = walk->at.len ? ls_buf_text(&walk->at) : "/";
    if (level == LS__SELF && !walk->at.len) return; /* the top cannot move */
    bool fits = LS_RESERVE(walk->hops, walk->count + 1, walk->cap);
    char *copy = name ? ls_strdup(name) : NULL;
    struct ls__dir *dir =
        fits && (copy || !name) ? ls__dir_use(walk->h, path, &walk->at_info, level, &walk->fresh) : NULL;
    if (!dir) {
        ls_free(copy);
        walk->broken = true;
        return;
    }
    walk->hops[walk->count++] = (struct ls__hop){.dir = dir, .name = copy, .level = level};
}

static bool go_to(struct walk *walk, size_t len)
{
    ls_buf_cut(&walk->at, len);
    return stat(len ? ls_buf_text(&walk->at) : "/", &walk->at_info) == 0;
}

/* The next component is a link: what it says takes its place. */
static bool follow_link(struct walk *walk, const char *path, const char *name)
{
    char target[PATH_MAX];
    ssize_t len = readlink(path, target, sizeof target - 1);
    add_hop(walk, name, LS__NAMES);
    if (len <= 0 || ++walk->links > MAX_LINKS) return false;
    target[len] = 0;
    struct ls_buf rest = LS_BUF_INIT;
    ls_buf_add(&rest, target, (size_t)len);
    ls_buf_char(&rest, '/');
    ls_buf_str(&rest, ls_buf_text(&walk->rest));
    ls_buf_release(&walk->rest);
    walk->rest = rest;
    return target[0] != '/' || go_to(walk, 0);
}

/* One component. @return does the walk go on? */
static bool step(struct walk *walk)
{
    char *rest = walk->rest.data, name[NAME_MAX + 1];
    if (ls_buf_failed(&walk->at) || ls_buf_failed(&walk->rest)) { /* what is left of the path would be another one */
        walk->broken = true;
        return false;
    }
    size_t skip = rest ? strspn(rest, "/") : 0, len = rest ? strcspn(rest + skip, "/") : 0;
    size_t before = walk->at.len;
    if (!len || len > NAME_MAX) {
        if (!len && (walk->real = ls_strdup(before ? ls_buf_text(&walk->at) : "/"))) walk->info = walk->at_info;
        return false;
    }
    memcpy(name, rest + skip, len);
    name[len] = 0;
    ls_buf_shift(&walk->rest, skip + len);
    bool last = strspn(ls_buf_text(&walk->rest), "/") == walk->rest.len;
    if (strcmp(name, ".") == 0) return true;
    if (strcmp(name, "..") == 0) {
        const char *slash = before ? strrchr(ls_buf_text(&walk->at), '/') : NULL;
        return go_to(walk, slash ? (size_t)(slash - walk->at.data) : 0);
    }
    struct stat info;
    ls_buf_char(&walk->at, '/');
    ls_buf_str(&walk->at, name);
    char *path = ls_strdup(ls_buf_text(&walk->at));
    ls_buf_cut(&walk->at, before);
    const char *within = walk->h->within;
    if (!path || ls_buf_failed(&walk->at))
        walk->broken = true;
    else if (within && !ls_path_below(within, path) && !ls_path_below(path, within))
        walk->refused = true;
    else if (!ls__look(path, &info)) {
        walk->closed = errno == EACCES;
        if (walk->closed) ls__note_closed(walk->h, before ? ls_buf_text(&walk->at) : "/", errno);
        add_hop(walk, name, last ? LS__CONTENT : LS__NAMES);
    } else if (S_ISLNK(info.st_mode)) {
        bool on = follow_link(walk, path, name);
        ls_free(path);
        return on && !walk->broken;
    } else if (S_ISDIR(info.st_mode) && !last) {
        /* Its end is told by its own watch, but late where a program works in it; the names may be watched for others.
         */
        add_hop(walk, name, LS__SELF);
        ls_buf_char(&walk->at, '/');
        ls_buf_str(&walk->at, name);
        walk->at_info = info;
        ls_free(path);
        return !walk->broken;
    } else {
        add_hop(walk, name, last && !S_ISDIR(info.st_mode) ? LS__CONTENT : LS__NAMES);
        if (last) {
            walk->real = path;
            walk->info = info;
            return false;
        }
    }
    ls_free(path);
    return false;
}

static void free_hops(struct ls_hotload *h, struct ls__hop *hops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ls_free(hops[i].name);
        ls__dir_unuse(h, hops[i].dir, hops[i].level);
    }
    ls_free(hops);
}

/* --- routes --- */

static void walk_path(struct walk *walk)
{
    ls_buf_str(&walk->rest, walk->route->path);
    if (go_to(walk, 0))
        while (!walk->broken && step(walk)) {
        }
    /* it has stopped on the way to the root */
    if (walk->real && walk->h->within && !ls_path_below(walk->h->within, walk->real)) walk->refused = true;
    if (walk->broken || walk->refused) {
        ls_free(walk->real);
        walk->real = NULL;
    }
    ls_buf_release(&walk->at);
    ls_buf_release(&walk->rest);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* The directory's number is compared as well as the path: a directory swapped for another of the same name holds other
 * files (H13). */
static bool adopt(struct ls_hotload *h, struct walk *walk)
{
    struct ls__route *route = walk->route;
    const struct ls__dir *old = route->hop_count ? route->hops[route->hop_count - 1].dir : NULL;
    const struct ls__dir *now = walk->count ? walk->hops[walk->count - 1].dir : NULL;
    char *key = walk->real && !S_ISDIR(walk->info.st_mode) ? ls_path_relative(h->root, walk->real) : NULL;
    bool changed = !same_text(route->real, walk->real) || !same_text(route->key, key) || (walk->real && old != now);
    free_hops(h, route->hops, route->hop_count);
    route->hops = walk->hops;
    route->hop_count = walk->count;
    ls_free(route->real);
    ls_free(route->key);
    route->real = walk->real;
    route->refused = walk->refused;
    route->is_dir = walk->real && S_ISDIR(walk->info.st_mode);
    route->key = key;
    if (walk->real) ls__stamp_of(&route->stamp, &walk->info);
    return changed;
}

void ls__root_look(struct ls_hotload *h)
{
    char *root = h->within ? NULL : ls_path_real(h->place, NULL); /* what may be read does not move (L13) */
    if (!root || strcmp(root, h->root) == 0) {                    /* what is gone may come back as it was */
        ls_free(root);
        return;
    }
    ls_log(0, "Hot reload: %s leads to %s now, and is served from there.", h->place, root);
    ls_free(h->root);
    h->root = root;
    h->rescan = true;
}

bool ls__route_resolve(struct ls_hotload *h, struct ls__route *route)
{
    bool changed = false;
    for (int tries = 0; tries < MAX_WALKS; tries++) {
        struct walk walk = {.h = h, .route = route, .at = LS_BUF_INIT, .rest = LS_BUF_INIT};
        walk_path(&walk);
        if (walk.closed && route->real) { /* it leads where it led, as far as can be told */
            struct stat info;
            free_hops(h, walk.hops, walk.count);
            if (stat(route->real, &info) == 0) ls__stamp_of(&route->stamp, &info);
            break;
        }
        changed |= adopt(h, &walk);
        /* A watch was set after that directory had been looked at: something may have happened before it was in place.
         * */
        if (!walk.fresh && !walk.broken) break;
    }
    return changed;
}

bool ls__route_counts(const struct ls__route *route)
{
    if (route->uses) return true;
    if (!route->tree || route->is_dir) return false;
    return ls_has_suffix(route->path, ".lua") || (route->tree->views && ls_has_suffix(route->path, ".html"));
}

bool ls__route_looks_at(const struct ls__route *route, const struct ls__dir *dir, const char *name)
{
    for (size_t i = route->hop_count; i-- > 0;)
        if (route->hops[i].dir == dir && route->hops[i].name && strcmp(route->hops[i].name, name) == 0) return true;
    return false;
}

void ls__route_tell_refused(const struct ls__route *route)
{
    if (route->refused)
        ls_log(0, "Hot reload: '%s' leads outside of the site, which is turned off by --sandbox; it is left out.",
               route->path);
}

struct ls__route *ls__route_ref(struct ls_hotload *h, const char *path)
{
    struct ls__route *route = ls_map_get(h->routes, path, strlen(path));
    if (!route) {
        route = ls_zalloc(sizeof *route);
        if (!route) return NULL;
        route->path = ls_strdup(path);
        if (!route->path || !ls_map_put(h->routes, path, strlen(path), route, NULL)) {
            ls_free(route->path);
            ls_free(route);
            return NULL;
        }
        ls__route_resolve(h, route);
    }
    route->refs++;
    return route;
}

void ls__route_unref(struct ls_hotload *h, struct ls__route *route)
{
    if (!route || --route->refs) return;
    ls_map_take(h->routes, route->path, strlen(route->path));
    free_hops(h, route->hops, route->hop_count);
    ls_free(route->path);
    ls_free(route->real);
    ls_free(route->key);
    ls_free(route->burst_key);
    for (size_t i = 0; i < route->known_count; i++)
        ls_free(route->known_as[i].key);
    ls_free(route->known_as);
    ls_free(route);
}
