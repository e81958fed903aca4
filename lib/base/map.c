/* Maps with string keys, on uthash. Keys live inside the entries; a failed allocation leaves the map as it was. */
#include "base/map.h"

#include <string.h>

/* uthash reports a failed allocation of its own tables through this hook: the entry is then not added. */
#define HASH_NONFATAL_OOM          1
#define uthash_malloc(size)        ls_budget_resize(map->budget, NULL, size, 0)
#define uthash_free(block, size)   ls_budget_free(map->budget, block)
#define uthash_nonfatal_oom(entry) ((entry)->lost = true)
#include <uthash.h>

/* A session has a dozen maps of few entries each: tables begin small and double as they fill. */
#undef HASH_INITIAL_NUM_BUCKETS
#undef HASH_INITIAL_NUM_BUCKETS_LOG2
#define HASH_INITIAL_NUM_BUCKETS      4U
#define HASH_INITIAL_NUM_BUCKETS_LOG2 2U

struct ls_map_entry {
    UT_hash_handle hh;
    void *value;
    size_t len;
    bool lost; /* uthash could not add it */
    char key[];
};

struct ls_map {
    struct ls_map_entry *head;
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
    struct ls_map_entry *entry, *next;
    HASH_ITER(hh, map->head, entry, next)
    {
        HASH_DEL(map->head, entry);
        if (drop) drop(entry->value);
        ls_budget_free(map->budget, entry);
    }
    ls_budget_free(map->budget, map);
}

static struct ls_map_entry *find(const struct ls_map *map, const char *key, size_t len)
{
    struct ls_map_entry *entry;
    HASH_FIND(hh, map->head, key, len, entry);
    return entry;
}

bool ls_map_put(struct ls_map *map, const char *key, size_t len, void *value, void **old)
{
    if (old) *old = NULL;
    struct ls_map_entry *entry = find(map, key, len);
    if (entry) {
        if (old) *old = entry->value;
        entry->value = value;
        return true;
    }
    entry = ls_budget_zalloc(map->budget, sizeof *entry + len + 1);
    if (!entry) return false;
    if (len) memcpy(entry->key, key, len);
    entry->len = len;
    entry->value = value;
    HASH_ADD_KEYPTR(hh, map->head, entry->key, len, entry);
    if (!entry->lost) return true;
    ls_budget_free(map->budget, entry);
    return false;
}

void *ls_map_get(const struct ls_map *map, const char *key, size_t len)
{
    struct ls_map_entry *entry = find(map, key, len);
    return entry ? entry->value : NULL;
}

void *ls_map_take(struct ls_map *map, const char *key, size_t len)
{
    struct ls_map_entry *entry = find(map, key, len);
    if (!entry) return NULL;
    void *value = entry->value;
    HASH_DEL(map->head, entry);
    ls_budget_free(map->budget, entry);
    return value;
}

size_t ls_map_count(const struct ls_map *map)
{
    return HASH_COUNT(map->head);
}

struct ls_map_entry *ls_map_first(const struct ls_map *map)
{
    return map->head;
}

struct ls_map_entry *ls_map_next(const struct ls_map_entry *entry)
{
    return entry->hh.next;
}

const char *ls_map_key(const struct ls_map_entry *entry, size_t *len)
{
    if (len) *len = entry->len;
    return entry->key;
}

void *ls_map_value(const struct ls_map_entry *entry)
{
    return entry->value;
}
