/* Maps from strings (any bytes; map.c, on uthash) or 64-bit integers (idmap.c) to pointers. Keys are copied; values
 * belong to the caller. Iteration is in order of insertion. Not thread-safe. */
#ifndef LS_BASE_MAP_H
#define LS_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"

struct ls_map; /* string keys */

struct ls_map *ls_map_new(void);                        /* NULL without memory */
struct ls_map *ls_map_new_in(struct ls_budget *budget); /* what it takes is counted there */
/** @param drop  called for each value left, may be NULL */
void ls_map_free(struct ls_map *map, void (*drop)(void *value));
/** Replaces an item; *old (may be NULL) gets the value that was there, or NULL. False without memory, map unchanged.
 * */
bool ls_map_put(struct ls_map *map, const char *key, size_t len, void *value, void **old);
void *ls_map_get(const struct ls_map *map, const char *key, size_t len); /* NULL if absent */
void *ls_map_take(struct ls_map *map, const char *key, size_t len);      /* removes and returns it, NULL if absent */
size_t ls_map_count(const struct ls_map *map);                           /* how many items */

struct ls_map_item;
/** Walk: `for (struct ls_map_item *e = ls_map_first(m); e; e = ls_map_next(e))`. The current item may be taken out
 * only after its successor has been fetched. */
struct ls_map_item *ls_map_first(const struct ls_map *map);
struct ls_map_item *ls_map_next(const struct ls_map_item *item);     /* the one after it, NULL at the end */
const char *ls_map_key(const struct ls_map_item *item, size_t *len); /* NUL-terminated, borrowed */
void *ls_map_value(const struct ls_map_item *item);                  /* what was put */

struct ls_idmap; /* int64_t keys. An item is borrowed until the next call that puts or takes */

struct ls_idmap *ls_idmap_new(void);                                          /* NULL without memory */
struct ls_idmap *ls_idmap_new_in(struct ls_budget *budget);                   /* what it takes is counted there */
void ls_idmap_free(struct ls_idmap *map, void (*drop)(void *value));          /* as ls_map_free */
bool ls_idmap_put(struct ls_idmap *map, int64_t id, void *value, void **old); /* as ls_map_put */
void *ls_idmap_get(const struct ls_idmap *map, int64_t id);                   /* NULL if absent */
void *ls_idmap_take(struct ls_idmap *map, int64_t id); /* removes and returns it, NULL if absent */
/** Give back the room of many items that were taken. Items fetched before are no more. */
void ls_idmap_shrink(struct ls_idmap *map);
size_t ls_idmap_count(const struct ls_idmap *map); /* how many items */
struct ls_idmap_item;
struct ls_idmap_item *ls_idmap_first(const struct ls_idmap *map);      /* walk as with ls_map_first */
struct ls_idmap_item *ls_idmap_next(const struct ls_idmap_item *item); /* the one after it, NULL at the end */
int64_t ls_idmap_id(const struct ls_idmap_item *item);                 /* its key */
void *ls_idmap_value(const struct ls_idmap_item *item);                /* what was put */

#endif
