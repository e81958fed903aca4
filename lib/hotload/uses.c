/* What the sessions need (section 17): which request paths each session's modules, loaded or wanted, were asked for
 * under. Hot-loader state is shared: a route lives as long as any session, or a tree, needs it (H90). Settling thread.
 * Rules: H7, H36, H91–H93. */
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "files/fspath.h"
#include "hotload/hotload_internal.h"

struct use {
    struct ls__route **routes;
    size_t count, cap;
    bool wanted;
};

static bool same_key(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static struct ls__known_as *known_as(const struct ls__route *route, const char *key)
{
    for (size_t i = 0; i < route->known_count; i++)
        if (strcmp(route->known_as[i].key, key) == 0) return &route->known_as[i];
    return NULL;
}

/* The same, made when there is none. NULL without memory. */
static struct ls__known_as *know_as(struct ls__route *route, const char *key)
{
    struct ls__known_as *known = known_as(route, key);
    char *copy = known ? NULL : ls_strdup(key);
    if (copy && LS_PUSH(route->known_as, route->known_count, route->known_cap, ((struct ls__known_as){.key = copy})))
        return &route->known_as[route->known_count - 1];
    ls_free(copy);
    return known;
}

static void unknow(struct ls__route *route, const char *key)
{
    struct ls__known_as *known = known_as(route, key);
    if (!known || --known->uses) return;
    ls_free(known->key);
    *known = route->known_as[--route->known_count];
}

/* `key`: that of its session's table. */
static void free_use(struct ls_hotload *h, const char *key, struct use *use)
{
    if (!use) return;
    for (size_t i = 0; i < use->count; i++) {
        if (!use->wanted) unknow(use->routes[i], key);
        use->routes[i]->uses--;
        use->routes[i]->wanted -= use->wanted;
        ls__route_unref(h, use->routes[i]);
    }
    ls_free(use->routes);
    ls_free(use);
}

static struct ls_map *keys_of(struct ls_hotload *h, int64_t session, bool make)
{
    struct ls_map *keys = ls_idmap_get(h->sessions, session);
    if (keys || !make) return keys;
    keys = ls_map_new();
    if (keys && ls_idmap_put(h->sessions, session, keys, NULL)) return keys;
    ls_map_free(keys, NULL);
    return NULL;
}

static void drop_use(struct ls_hotload *h, struct ls_map *keys, const char *key, size_t len)
{
    free_use(h, key, keys ? ls_map_get(keys, key, len) : NULL);
    if (keys) ls_map_take(keys, key, len);
}

/* The session has loaded it by this path, which may have been re-pointed before or after that. */
static void heed_key(struct ls_hotload *h, struct ls__route *route, const char *key)
{
    struct ls__known_as *known = know_as(route, key);
    if (known) known->left = false;
    if (route->real && !same_key(route->key, key)) ls__pend_unasked(h, route->path);
}

static void add_path(struct ls_hotload *h, struct use *use, const char *key, const char *path)
{
    for (size_t i = 0; i < use->count; i++)
        if (strcmp(use->routes[i]->path, path) == 0) {
            if (!use->wanted) heed_key(h, use->routes[i], key);
            return;
        }
    if (!LS_RESERVE(use->routes, use->count + 1, use->cap)) return;
    const struct ls__dir *content = NULL;
    char *dir = ls_path_dir(path);
    if (dir) content = ls__dir_at(h, dir);
    ls_free(dir);
    bool watched = ls_map_get(h->routes, path, strlen(path)) || (content && content->uses[LS__CONTENT]);
    struct ls__route *route = ls__route_ref(h, path);
    if (!route) return;
    use->routes[use->count++] = route;
    route->uses++;
    route->wanted += use->wanted;
    /* known by how it looked, so that a rescan can tell what has changed */
    if (route->real && !route->is_dir && !ls_map_get(h->known, route->real, strlen(route->real)))
        ls__know(h, route->real, &route->stamp);
    const char *as = use->wanted ? route->key : key;
    if (!route->burst_key && as) route->burst_key = ls_strdup(as);
    /* It may have changed between its being read and its directory being watched: the session compares the texts. */
    if (route->real && !watched) ls__pend_unasked(h, route->path);
    if (use->wanted) return;
    heed_key(h, route, key);
    struct ls__known_as *known = known_as(route, key);
    if (known) known->uses++;
}

void ls__uses_loaded(struct ls_hotload *h, int64_t session, const char *key, char *const *paths, size_t count,
                     bool wanted)
{
    struct ls_map *keys = keys_of(h, session, true);
    size_t len = strlen(key);
    struct use *use = keys ? ls_map_get(keys, key, len) : NULL, *stale = NULL;
    if (!keys) return;
    /* the places that were tried do not matter once it is loaded, and the reverse */
    if (use && use->wanted != wanted) {
        stale = ls_map_take(keys, key, len);
        use = NULL;
    }
    if (!use) {
        use = ls_zalloc(sizeof *use);
        if (use) use->wanted = wanted;
        if (use && !ls_map_put(keys, key, len, use, NULL)) {
            ls_free(use);
            use = NULL;
        }
    }
    for (size_t i = 0; use && i < count; i++)
        add_path(h, use, key, paths[i]);
    free_use(h, key, stale);
}

void ls__uses_unloaded(struct ls_hotload *h, int64_t session, const char *key)
{
    struct ls_map *keys = keys_of(h, session, false);
    drop_use(h, keys, key, strlen(key));
}

void ls__uses_directory(struct ls_hotload *h, int64_t session, const char *dir)
{
    struct ls_map *keys = keys_of(h, session, false);
    char *name = NULL;
    if (dir[0] == '/') {
        char *real = ls_path_real_lenient(h->within, dir, NULL);
        if (real) name = ls_path_relative(h->root, real);
        ls_free(real);
    } else
        name = ls_strdup(dir);
    for (size_t len = name ? strlen(name) : 0; len > 1 && name[len - 1] == '/'; len--)
        name[len - 1] = 0;
    for (struct ls_map_item *item = keys && name ? ls_map_first(keys) : NULL, *next; item; item = next) {
        size_t len;
        next = ls_map_next(item);
        const char *key = ls_map_key(item, &len);
        char *here = ls_path_dir(key);
        if (here && strcmp(here, name) == 0) drop_use(h, keys, key, len);
        ls_free(here);
    }
    ls_free(name);
}

static void free_keys(struct ls_hotload *h, struct ls_map *keys)
{
    for (struct ls_map_item *item = keys ? ls_map_first(keys) : NULL; item; item = ls_map_next(item))
        free_use(h, ls_map_key(item, NULL), ls_map_value(item));
    ls_map_free(keys, NULL);
}

void ls__uses_ended(struct ls_hotload *h, int64_t session)
{
    free_keys(h, ls_idmap_take(h->sessions, session));
}

void ls__uses_free(struct ls_hotload *h)
{
    for (struct ls_idmap_item *item = ls_idmap_first(h->sessions); item; item = ls_idmap_next(item))
        free_keys(h, ls_idmap_value(item));
    ls_idmap_free(h->sessions, NULL);
    h->sessions = NULL;
}
