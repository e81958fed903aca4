/* The trees of H6: lua/, apps/ and viewdefs/ with everything below, links to directories followed, each real directory
 * once in a tree. A tree is walked as a whole whenever its folders or links may have changed; what it used before is
 * let go afterwards, so what is still there keeps its watch. A tree that does not exist is a route that leads nowhere.
 * Settling thread (the opening one at start).
 * Rules: H8, H9, H10, H13, H14, H15. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/log.h"
#include "files/fspath.h"
#include "hotload/hotload_internal.h"

const char *const ls__tree_names[LS__TREES] = {"lua", "apps", "viewdefs"};

static char *join(const char *dir, const char *name)
{
    struct ls_buf path = LS_BUF_INIT;
    ls_path_join(&path, dir, name);
    return ls_buf_detach(&path, NULL);
}

/* The directory now at `real` is a place of the tree, unless it has one already. */
static void add_folder(struct ls_hotload *h, struct ls__tree *tree, const char *path, const char *real,
                       const struct stat *info)
{
    const struct ls__dir *there = ls__dir_find(h, info);
    for (const struct ls__node *node = there ? there->nodes : NULL; node; node = node->next)
        if (node->tree == tree) return;
    struct ls__node *node = ls_zalloc(sizeof *node);
    char *copy = ls_strdup(path);
    struct ls__dir *dir = node && copy ? ls__dir_use(h, real, info, LS__CONTENT, NULL) : NULL;
    if (dir && LS_PUSH(tree->places.nodes, tree->places.node_count, tree->places.node_cap, node)) {
        *node = (struct ls__node){.tree = tree, .path = copy, .dir = dir};
        LL_PREPEND(dir->nodes, node);
        return;
    }
    if (dir) ls__dir_unuse(h, dir, LS__CONTENT);
    ls_free(copy);
    ls_free(node);
}

bool ls__view_there(struct ls_hotload *h, const char *path)
{
    struct stat info;
    bool placed = false, elsewhere = false;
    char *parent = ls_path_dir(path);
    const struct ls__dir *dir = parent ? ls__dir_at(h, parent) : NULL;
    for (const struct ls__node *node = dir ? dir->nodes : NULL; node; node = node->next)
        if (node->tree && node->tree->views) *(strcmp(node->path, parent) ? &elsewhere : &placed) = true;
    ls_free(parent);
    char *real = placed || !elsewhere ? ls_path_within(h->within, path, NULL) : NULL;
    bool there = real && ls__look(real, &info) && !S_ISDIR(info.st_mode);
    ls_free(real);
    return there;
}

/* The directory that a route leads to. */
static void add_target(struct ls_hotload *h, struct ls__tree *tree, const struct ls__route *route)
{
    struct stat info;
    if (stat(route->real, &info) == 0 && S_ISDIR(info.st_mode)) add_folder(h, tree, route->path, route->real, &info);
}

static void found_file(struct ls_hotload *h, const char *path, const char *real, const struct ls__stamp *stamp,
                       bool view)
{
    const char *before = view ? ls_map_get(h->views, path, strlen(path)) : NULL;
    bool fresh = view && (!before || strcmp(before, real) != 0);
    if (fresh && h->opening) ls__view_know(h, path, real);
    ls__pend_found(h, real, stamp, fresh);
}

static void found_link(struct ls_hotload *h, struct ls__tree *tree, const char *path, bool view, bool descend)
{
    struct ls__route *route = ls__route_ref(h, path);
    bool fresh = route && !route->tree;
    if (!route || !LS_PUSH(tree->places.links, tree->places.link_count, tree->places.link_cap, route)) {
        ls__route_unref(h, route);
        return;
    }
    route->tree = tree;
    if (fresh && !h->opening) ls__route_tell_refused(route);
    if (route->is_dir && descend)
        add_target(h, tree, route);
    else if (route->real && ls__route_counts(route) && h->opening)
        found_file(h, path, route->real, &route->stamp, view);
    else if (route->real && ls__route_counts(route) && fresh)
        ls__pend(h, path);
}

static void found_name(struct ls_hotload *h, const struct ls__node *node, const char *name)
{
    struct stat info;
    struct ls__stamp stamp;
    bool view = node->tree->views && ls_has_suffix(name, ".html"), descend = strcmp(name, "node_modules") != 0;
    char *path = join(node->path, name), *real = join(node->dir->path, name);
    if (!path || !real || !ls__look(real, &info)) {
        /* it is gone, or there is no memory */
    } else if (S_ISDIR(info.st_mode) && descend) {
        add_folder(h, node->tree, path, real, &info);
    } else if (S_ISLNK(info.st_mode) && !ls__name_ignored(name)) {
        found_link(h, node->tree, path, view, descend);
    } else if (S_ISREG(info.st_mode) && !ls__name_ignored(name) && (view || ls_has_suffix(name, ".lua"))) {
        ls__stamp_of(&stamp, &info);
        found_file(h, path, real, &stamp, view);
    }
    ls_free(path);
    ls_free(real);
}

static int all_but_dots(const struct dirent *found)
{
    return found->d_name[0] != '.';
}

static int bytewise(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* All names of a folder before what is below it, as ls_tree_walk goes: so a directory that is reachable twice has the
 * same place for both. */
/* The folder cannot be looked into: what was found below it before is there still. */
static void keep_below(struct ls_hotload *h, struct ls__tree *tree, const char *path, const struct ls__places *old)
{
    for (size_t i = 0; i < old->node_count; i++) {
        const struct ls__node *node = old->nodes[i];
        struct stat info = {.st_dev = node->dir->dev, .st_ino = node->dir->ino};
        if (!node->dir->dead && strcmp(path, node->path) && ls_path_below(path, node->path))
            add_folder(h, tree, node->path, node->dir->path, &info);
    }
    for (size_t i = 0; i < old->link_count; i++) {
        struct ls__route *link = old->links[i];
        if (!ls_path_below(path, link->path)) continue;
        link->refs++;
        if (!LS_PUSH(tree->places.links, tree->places.link_count, tree->places.link_cap, link))
            ls__route_unref(h, link);
    }
}

static void walk_from(struct ls_hotload *h, struct ls__tree *tree, size_t first, const struct ls__places *old)
{
    for (size_t end = tree->places.node_count; first < end; first++) {
        struct dirent **names = NULL;
        const struct ls__node *node = tree->places.nodes[first];
        size_t below = tree->places.node_count;
        int count = scandir(node->dir->path, &names, all_but_dots, bytewise);
        for (int i = 0; i < count; i++) {
            found_name(h, node, names[i]->d_name);
            free(names[i]);
        }
        free(names);
        if (count < 0 && (errno == EACCES || errno == EMFILE || errno == ENFILE)) {
            ls__note_closed(h, node->dir->path, errno);
            keep_below(h, tree, node->path, old);
            below = tree->places.node_count;
        }
        walk_from(h, tree, below, old);
    }
}

static void release_places(struct ls_hotload *h, struct ls__places *places)
{
    for (size_t i = 0; i < places->link_count; i++)
        ls__route_unref(h, places->links[i]);
    for (size_t i = 0; i < places->node_count; i++) {
        struct ls__node *node = places->nodes[i];
        LL_DELETE(node->dir->nodes, node);
        ls__dir_unuse(h, node->dir, LS__CONTENT);
        ls_free(node->path);
        ls_free(node);
    }
    ls_free(places->links);
    ls_free(places->nodes);
}

void ls__tree_walk(struct ls_hotload *h, struct ls__tree *tree)
{
    struct stat info;
    /* Behind a folder that is closed it stays as it is. */
    if (tree->route->is_dir && stat(tree->route->real, &info) && errno == EACCES) return;
    struct ls__places old = tree->places;
    tree->places = (struct ls__places){0};
    for (size_t i = 0; i < old.node_count; i++)
        old.nodes[i]->tree = NULL;
    if (tree->route->is_dir) add_target(h, tree, tree->route);
    walk_from(h, tree, 0, &old);
    for (size_t i = 0; i < old.link_count; i++)
        old.links[i]->tree = NULL;
    for (size_t i = 0; i < tree->places.link_count; i++)
        tree->places.links[i]->tree = tree;
    release_places(h, &old);
}

int ls__trees_open(struct ls_hotload *h, struct ls_err *err)
{
    for (size_t i = 0; i < LS__TREES; i++) {
        struct ls__tree *tree = &h->trees[i];
        tree->path = join(h->place, ls__tree_names[i]);
        tree->views = i == 2;
        tree->route = tree->path ? ls__route_ref(h, tree->path) : NULL;
        if (!tree->route) return ls_fail(err, LS_ENOMEM, "Out of memory while starting hot reload.");
    }
    h->opening = h->rescan = true;
    ls__look_again(h);
    h->opening = false;
    return 0;
}

void ls__trees_close(struct ls_hotload *h)
{
    for (size_t i = 0; i < LS__TREES; i++) {
        struct ls__tree *tree = &h->trees[i];
        release_places(h, &tree->places);
        ls__route_unref(h, tree->route);
        ls_free(tree->path);
    }
}
