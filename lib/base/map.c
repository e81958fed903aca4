/* Maps with string keys, on uthash. Keys live inside the items; a failed allocation leaves the map as it was. */
#include "base/map.h"

#include <string.h>

/* uthash reports a failed allocation of its own tables through this hook: the item is then not added. */
#define HASH_NONFATAL_OOM         1
#define uthash_malloc(size)       ls_budget_resize(map->budget, NULL, size, 0)
#define uthash_free(block, size)  ls_budget_free(map->budget, block)
#define uthash_nonfatal_oom(item) ((item)->lost = true)
#include <uthash.h>

/* A session has a dozen maps of few items each: tables begin small and double as they fill. */
#undef HASH_INITIAL_NUM_BUCKETS
#undef HASH_INITIAL_NUM_BUCKETS_LOG2
#define HASH_INITIAL_NUM_BUCKETS      4U
#define HASH_INITIAL_NUM_BUCKETS_LOG2 2U

struct ls_map_item {
    UT_hash_handle hh;
    void *value;
    size_t len;
    bool lost; /* uthash could not add it */
    char key[];
};

struct ls_map {
    struct ls_map_item *head;
    struct ls_budget *budget; /* NULL = not counted */
};

struct ls_map *ls_map_new_in(struct ls_budget *budget)
{
    struct ls_map *map = ls_budget_zalloc(budget, sizeof *map);
    if (map) map->budget = budget;
    return map;
}

struct ls_map *ls_map_new(void)
{
    return ls_map_new_in(NULL);
}

void ls_map_free(struct ls_map *map, void (*drop)(void *value))
{
    if (!map) return;
    struct ls_map_item *item, *next;
    HASH_ITER(hh, map->head, item, next)
    {
        HASH_DEL(map->head, item);
        if (drop) drop(item->value);
        ls_budget_free(map->budget, item);
    }
    ls_budget_free(map->budget, map);
}

static struct ls_map_item *find(const struct ls_map *map, const char *key, size_t len)
{
    struct ls_map_item *item;
    HASH_FIND(hh, map->head, key, len, item);
    return item;
}

bool ls_map_put(struct ls_map *map, const char *key, size_t len, void *value, void **old)
{
    if (old) *old = NULL;
    struct ls_map_item *item = find(map, key, len);
    if (item) {
        if (old) *old = item->value;
        item->value = value;
        return true;
    }
    item = ls_budget_zalloc(map->budget, sizeof *item + len + 1);
    if (!item) return false;
    if (len) memcpy(item->key, key, len);
    item->len = len;
    item->value = value;
    HASH_ADD_KEYPTR(hh, map->head, item->key, len, item);
    if (!item->lost) return true;
    ls_budget_free(map->budget, item);
    return false;
}

void *ls_map_get(const struct ls_map *map, const char *key, size_t len)
{
    struct ls_map_item *item = find(map, key, len);
    return item ? item->value : NULL;
}

void *ls_map_take(struct ls_map *map, const char *key, size_t len)
{
    struct ls_map_item *item = find(map, key, len);
    if (!item) return NULL;
    void *value = item->value;
    HASH_DEL(map->head, item);
    ls_budget_free(map->budget, item);
    return value;
}

size_t ls_map_count(const struct ls_map *map)
{
    return HASH_COUNT(map->head);
}

struct ls_map_item *ls_map_first(const struct ls_map *map)
{
    return map->head;
}

struct ls_map_item *ls_map_next(const struct ls_map_item *item)
{
    return item->hh.next;
}

const char *ls_map_key(const struct ls_map_item *item, size_t *len)
{
    if (len) *len = item->len;
    return item->key;
}

void *ls_map_value(const struct ls_map_item *item)
{
    return item->value;
}
