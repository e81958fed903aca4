/* The trees of H6: lua/, apps/ and viewdefs/ with everything below, links to directories followed, each real directory
 * once in a tree. A tree that does not exist is a route that leads nowhere, taken up when it does (H8). Settling thread
 * (the opening one at start).
 * Rules: H6, H8, H9, H10, H13, H14, H15. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/alloc.h"
#include "base/log.h"
#include "files/fspath.h"
#include "hotload/hotload_internal.h"

static bool not_descended(const char *name)
{
    return name[0] == '.' || strcmp(name, "node_modules") == 0;
}

static char *join(const char *dir, const char *name)
{
    struct ls_buf path = LS_BUF_INIT;
    ls_path_join(&path, dir, name);
    return ls_buf_detach(&path, NULL);
}

static void *child_of(struct ls_map *map, const char *name)
{
    return map ? ls_map_get(map, name, strlen(name)) : NULL;
}

/* All view files known below a place are looked at again: they went with it. */
static void views_gone(struct ls_hotload *h, const struct ls__node *node)
{
    size_t len = strlen(node->path);
    if (!node->tree->views) return;
    for (struct ls_map_entry *entry = ls_map_first(h->views); entry; entry = ls_map_next(entry)) {
        const char *path = ls_map_key(entry, NULL);
        if (strncmp(path, node->path, len) == 0 && path[len] == '/') ls__pend_absent(h, path);
    }
}

static void remove_link(struct ls_hotload *h, struct ls__node *node, const char *name)
{
    struct ls__route *route = node->links ? ls_map_take(node->links, name, strlen(name)) : NULL;
    if (!route) return;
    ls_map_take(h->symlinkTargets, route->path, strlen(route->path));
    route->holder = NULL;
    ls__route_unref(h, route);
}

static void free_node(struct ls_hotload *h, struct ls__node *node)
{
    struct ls_map_entry *entry, *next;
    for (entry = node->children ? ls_map_first(node->children) : NULL; entry; entry = ls_map_next(entry))
        free_node(h, ls_map_value(entry));
    for (entry = node->links ? ls_map_first(node->links) : NULL; entry; entry = next) {
        next = ls_map_next(entry);
        char *name = ls_strdup(ls_map_key(entry, NULL));
        if (name) remove_link(h, node, name);
        ls_free(name);
    }
    ls_map_free(node->children, NULL);
    ls_map_free(node->links, NULL);
    DL_DELETE2(node->dir->nodes, node, dir_prev, dir_next);
    ls__dir_unuse(h, node->dir, LS__CONTENT);
    ls_free(node->path);
    ls_free(node);
}

static void remove_node(struct ls_hotload *h, struct ls__node *node)
{
    if (node->tree->skipped) h->rewalk = true;
    views_gone(h, node);
    if (node->parent) {
        const char *name = ls_path_base(node->path);
        ls_map_take(node->parent->children, name, strlen(name));
    } else
        node->tree->top = NULL;
    free_node(h, node);
}

/* A place for the directory now at `real`. @return NULL if it is none, or hangs in this tree already */
static struct ls__node *add_node(struct ls_hotload *h, struct ls__tree *tree, struct ls__node *parent, const char *path,
                                 const char *real)
{
    struct stat info;
    if (stat(real, &info) || !S_ISDIR(info.st_mode)) return NULL;
    const struct ls__dir *there = ls__dir_find(h, &info);
    for (const struct ls__node *node = there ? there->nodes : NULL; node; node = node->dir_next)
        if (node->tree == tree) {
            tree->skipped = true;
            return NULL;
        }
    struct ls__node *node = ls_zalloc(sizeof *node);
    char *copy = ls_strdup(path);
    struct ls__dir *dir = node && copy ? ls__dir_use(h, real, &info, LS__CONTENT, NULL) : NULL;
    const char *name = ls_path_base(path);
    if (dir && parent && !parent->children) parent->children = ls_map_new();
    if (!dir || (parent && (!parent->children || !ls_map_put(parent->children, name, strlen(name), node, NULL)))) {
        if (dir) ls__dir_unuse(h, dir, LS__CONTENT);
        ls_free(copy);
        ls_free(node);
        return NULL;
    }
    *node = (struct ls__node){.tree = tree, .parent = parent, .path = copy, .dir = dir};
    DL_PREPEND2(dir->nodes, node, dir_prev, dir_next);
    if (!parent) tree->top = node;
    return node;
}

static void note_view(struct ls_hotload *h, const char *path)
{
    if (!ls_map_get(h->views, path, strlen(path))) ls_map_put(h->views, path, strlen(path), h->views, NULL);
}

static void note_known(struct ls_hotload *h, const char *real, const struct stat *info)
{
    struct ls__stamp *stamp = ls_malloc(sizeof *stamp);
    void *old = NULL;
    if (!stamp) return;
    ls__stamp_of(stamp, info);
    if (ls_map_put(h->known, real, strlen(real), stamp, &old))
        ls_free(old);
    else
        ls_free(stamp);
}

static void found_file(struct ls_hotload *h, const struct ls__node *node, const char *name, const struct stat *info,
                       enum ls__scan scan)
{
    bool view = node->tree->views && ls_has_suffix(name, ".html");
    if (ls__name_ignored(name) || !(view || ls_has_suffix(name, ".lua"))) return;
    char *path = join(node->path, name), *real = join(node->dir->path, name);
    if (path && real) {
        struct ls__stamp now, *before = ls_map_get(h->known, real, strlen(real));
        ls__stamp_of(&now, info);
        if (view && scan == LS__SCAN_START) note_view(h, path);
        if (scan == LS__SCAN_START)
            note_known(h, real, info);
        else if (scan == LS__SCAN_CHANGED || !before || !ls__stamp_equal(before, &now))
            ls__pend(h, real);
    }
    ls_free(path);
    ls_free(real);
}

static void scan_node(struct ls_hotload *h, struct ls__node *node, enum ls__scan scan);

static void remove_child(struct ls_hotload *h, struct ls__node *node, const char *name)
{
    struct ls__node *child = child_of(node->children, name);
    if (child) remove_node(h, child);
}

/* The place `name` hangs at the directory `real` (a plain sub-directory, or where a link leads). */
static struct ls__node *hang(struct ls_hotload *h, struct ls__node *node, const char *name, const char *real)
{
    struct stat info;
    struct ls__node *child = child_of(node->children, name);
    bool there = stat(real, &info) == 0 && S_ISDIR(info.st_mode);
    if (child && there && !child->dir->dead && child->dir->dev == info.st_dev && child->dir->ino == info.st_ino)
        return NULL;
    if (child) remove_node(h, child);
    char *path = there ? join(node->path, name) : NULL;
    child = path ? add_node(h, node->tree, node, path, real) : NULL;
    ls_free(path);
    return child;
}

static struct ls__route *add_link(struct ls_hotload *h, struct ls__node *node, const char *name)
{
    char *path = join(node->path, name);
    struct ls__route *route = path ? ls__route_ref(h, path) : NULL;
    ls_free(path);
    if (!route) return NULL;
    if (!node->links) node->links = ls_map_new();
    if (!node->links || !ls_map_put(node->links, name, strlen(name), route, NULL)) {
        ls__route_unref(h, route);
        return NULL;
    }
    route->holder = node;
    ls_map_put(h->symlinkTargets, route->path, strlen(route->path), route, NULL);
    return route;
}

/* A symlink in a tree (H14). @return the new place of a directory that it leads to, not yet scanned; NULL */
static struct ls__node *found_link(struct ls_hotload *h, struct ls__node *node, const char *name, enum ls__scan scan)
{
    struct ls__route *route = child_of(node->links, name);
    bool fresh = !route;
    if (ls__name_ignored(name)) return NULL;
    if (!route) route = add_link(h, node, name);
    if (!route) return NULL;
    if (route->refused && scan == LS__SCAN_CHANGED)
        ls_log(0, "Hot reload: '%s' leads outside of the site, which is turned off by --sandbox; it is left out.",
               route->path);
    if (!fresh && scan == LS__SCAN_COMPARE && ls__route_resolve(h, route) && ls__route_counts(route))
        ls__pend(h, route->path);
    if (route->is_dir && !not_descended(name)) return hang(h, node, name, route->real);
    remove_child(h, node, name);
    if (!ls__route_counts(route) || !route->real) return NULL;
    bool view = node->tree->views && ls_has_suffix(name, ".html");
    if (scan == LS__SCAN_START) {
        struct stat info;
        if (view) note_view(h, route->path);
        if (stat(route->real, &info) == 0) note_known(h, route->real, &info);
    } else if (fresh)
        ls__pend(h, route->path);
    return NULL;
}

static int all_but_dots(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int bytewise(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static struct ls__node *found(struct ls_hotload *h, struct ls__node *node, const char *name, enum ls__scan scan)
{
    struct stat info;
    struct ls__node *fresh = NULL;
    char *real = join(node->dir->path, name);
    if (!real) return NULL;
    if (lstat(real, &info)) {
        remove_child(h, node, name);
        remove_link(h, node, name);
    } else if (S_ISLNK(info.st_mode))
        fresh = found_link(h, node, name, scan);
    else {
        remove_link(h, node, name);
        if (S_ISDIR(info.st_mode) && !not_descended(name))
            fresh = hang(h, node, name, real);
        else
            remove_child(h, node, name);
        if (S_ISREG(info.st_mode)) found_file(h, node, name, &info, scan);
    }
    ls_free(real);
    return fresh;
}

/* What was here and is not any more. */
static void remove_missing(struct ls_hotload *h, struct ls__node *node, struct ls_map *map)
{
    for (struct ls_map_entry *entry = map ? ls_map_first(map) : NULL, *next; entry; entry = next) {
        next = ls_map_next(entry);
        struct stat info;
        char *name = ls_strdup(ls_map_key(entry, NULL));
        char *real = name ? join(node->dir->path, name) : NULL;
        if (real && lstat(real, &info)) found(h, node, name, LS__SCAN_COMPARE);
        ls_free(real);
        ls_free(name);
    }
}

static void scan_node(struct ls_hotload *h, struct ls__node *node, enum ls__scan scan)
{
    struct dirent **entries = NULL;
    int count = scandir(node->dir->path, &entries, all_but_dots, bytewise);
    for (int i = 0; i < count; i++) {
        found(h, node, entries[i]->d_name, scan);
        free(entries[i]);
    }
    free(entries);
    if (scan == LS__SCAN_COMPARE) {
        remove_missing(h, node, node->children);
        remove_missing(h, node, node->links);
    }
    for (struct ls_map_entry *entry = node->children ? ls_map_first(node->children) : NULL; entry;
         entry = ls_map_next(entry))
        scan_node(h, ls_map_value(entry), scan);
}

void ls__node_look(struct ls_hotload *h, struct ls__node *node, const char *name, enum ls__scan scan)
{
    if (name[0] == '.') return;
    bool link = child_of(node->links, name);
    struct stat info;
    char *real = join(node->dir->path, name);
    bool file = real && lstat(real, &info) == 0 && S_ISREG(info.st_mode);
    ls_free(real);
    if (file) { /* files have events of their own; here only what the name was before goes */
        remove_child(h, node, name);
        if (link) remove_link(h, node, name);
        return;
    }
    struct ls__node *fresh = found(h, node, name, scan);
    if (fresh) scan_node(h, fresh, scan);
}

void ls__node_check(struct ls_hotload *h, struct ls__node *node)
{
    if (!node->parent) {
        ls__route_resolve(h, node->tree->route);
        ls__tree_check(h, node->tree, LS__SCAN_CHANGED);
        return;
    }
    char *name = ls_strdup(ls_path_base(node->path));
    struct ls__node *parent = node->parent;
    struct ls__route *link = name ? child_of(parent->links, name) : NULL;
    if (link) ls__route_resolve(h, link);
    if (name) ls__node_look(h, parent, name, LS__SCAN_CHANGED);
    ls_free(name);
}

void ls__tree_check(struct ls_hotload *h, struct ls__tree *tree, enum ls__scan scan)
{
    struct stat info;
    const struct ls__route *route = tree->route;
    bool there = route->real && route->is_dir && stat(route->real, &info) == 0;
    struct ls__node *top = tree->top;
    if (top && there && !top->dir->dead && top->dir->dev == info.st_dev && top->dir->ino == info.st_ino) return;
    if (top) remove_node(h, top);
    if (there && (top = add_node(h, tree, NULL, tree->path, route->real))) scan_node(h, top, scan);
}

void ls__trees_rescan(struct ls_hotload *h, enum ls__scan scan)
{
    for (size_t i = 0; i < sizeof h->trees / sizeof *h->trees; i++) {
        struct ls__tree *tree = &h->trees[i];
        ls__route_resolve(h, tree->route);
        ls__tree_check(h, tree, scan);
        if (tree->top) scan_node(h, tree->top, scan);
    }
}

int ls__trees_open(struct ls_hotload *h, struct ls_err *err)
{
    static const char *const names[] = {"lua", "apps", "viewdefs"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct ls__tree *tree = &h->trees[i];
        tree->path = join(h->root, names[i]);
        tree->views = i == 2;
        tree->route = tree->path ? ls__route_ref(h, tree->path) : NULL;
        if (!tree->route) return ls_fail(err, LS_ENOMEM, "Out of memory while starting hot reload.");
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ls__tree_check(h, &h->trees[i], LS__SCAN_START);
    return 0;
}

void ls__trees_close(struct ls_hotload *h)
{
    for (size_t i = 0; i < sizeof h->trees / sizeof *h->trees; i++) {
        struct ls__tree *tree = &h->trees[i];
        if (tree->top) free_node(h, tree->top);
        tree->top = NULL;
        ls__route_unref(h, tree->route);
        ls_free(tree->path);
    }
}
