/* Maps with integer keys. Every message of a page asks several of them for an id, so a look-up must not cost more than
 * two lines of cache: the items stand in one array in order of insertion, as ids that are counted upwards are asked
 * for, and a table of their numbers, twice as long, is searched from where the id's hash points. An item that was
 * taken leaves a gap in the array until that is full; the table has none. A failed allocation leaves the map as it
 * was. Refuses to: know what values are. */
#include <string.h>
#include <sys/random.h>

#include "base/map.h"

#define FIRST_CAP 4U   /* a session has a dozen maps of few items each */
#define KEPT_CAP  256U /* an empty map of more gives its memory back */

struct ls_idmap_item {
    int64_t id;
    void *value; /* or one of the two marks below */
};

/* Marks in the items, known by their addresses. */
static char gap_mark, end_mark;
#define GAP ((void *)&gap_mark) /* was taken */
#define END ((void *)&end_mark) /* behind the last item, so that a walk needs no map */

struct ls_idmap {
    struct ls_idmap_item *items; /* `cap` + 1 of them; NULL while nothing was ever put */
    uint32_t *table;             /* of 2 * cap: 1 + number in the items, 0 = free */
    uint32_t cap;                /* a power of two */
    uint32_t used;               /* of the items, gaps included */
    uint32_t count;
    uint32_t head;            /* the first item that is no gap, or `used` */
    unsigned shift;           /* 64 - log2 of the table's length */
    struct ls_budget *budget; /* NULL = not counted */
};

struct ls_idmap *ls_idmap_new_in(struct ls_budget *budget)
{
    struct ls_idmap *map = ls_budget_zalloc(budget, sizeof *map);
    if (map) map->budget = budget;
    return map;
}

struct ls_idmap *ls_idmap_new(void)
{
    return ls_idmap_new_in(NULL);
}

static void forget_all(struct ls_idmap *map)
{
    ls_budget_free(map->budget, map->items);
    ls_budget_free(map->budget, map->table);
    *map = (struct ls_idmap){.budget = map->budget};
}

void ls_idmap_free(struct ls_idmap *map, void (*drop)(void *value))
{
    if (!map) return;
    for (struct ls_idmap_item *item = drop ? ls_idmap_first(map) : NULL; item; item = ls_idmap_next(item))
        drop(item->value);
    forget_all(map);
    ls_budget_free(map->budget, map);
}

/* Pages choose ids: which of them have one home is nothing that they can work out. */
static uint64_t seed;

__attribute__((constructor)) static void draw_seed(void)
{
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) < 0) seed = (uintptr_t)&seed;
}

/* Ids that follow each other are spread evenly by one multiplication with the golden ratio. */
static inline uint32_t home(const struct ls_idmap *map, int64_t id)
{
    return (uint32_t)((((uint64_t)id ^ seed) * 0x9E3779B97F4A7C15u) >> map->shift);
}

/* Place in the table of the id's item, or the free place where its search ends. The table is never more than half
 * full. */
static inline uint32_t seek(const struct ls_idmap *map, int64_t id)
{
    uint32_t mask = map->cap * 2 - 1, at = home(map, id);
    while (map->table[at] && map->items[map->table[at] - 1].id != id)
        at = (at + 1) & mask;
    return at;
}

static struct ls_idmap_item *find(const struct ls_idmap *map, int64_t id)
{
    uint32_t number = map->count ? map->table[seek(map, id)] : 0;
    return number ? &map->items[number - 1] : NULL;
}

static bool rebuild(struct ls_idmap *map, uint32_t cap)
{
    struct ls_idmap next = {.cap = cap, .budget = map->budget};
    if (next.cap > UINT32_MAX / 4) return false;
    next.items = ls_budget_zalloc(map->budget, ((size_t)next.cap + 1) * sizeof *next.items);
    next.table = ls_budget_zalloc(map->budget, (size_t)next.cap * 2 * sizeof *next.table);
    if (!next.items || !next.table) {
        forget_all(&next);
        return false;
    }
    next.shift = 64 - (unsigned)__builtin_ctz(next.cap * 2);
    for (uint32_t i = map->head; i < map->used; i++) {
        if (map->items[i].value == GAP) continue;
        next.items[next.used++] = map->items[i];
        next.table[seek(&next, map->items[i].id)] = next.used;
    }
    next.count = next.used;
    next.items[next.used].value = END;
    forget_all(map);
    *map = next;
    return true;
}

/* The array is full: close its gaps where they are many, else make it twice as long. */
static bool make_room(struct ls_idmap *map)
{
    return rebuild(map, !map->cap ? FIRST_CAP : map->count >= map->cap - map->cap / 4 ? map->cap * 2 : map->cap);
}

void ls_idmap_shrink(struct ls_idmap *map)
{
    uint32_t cap = map->cap;
    while (cap > KEPT_CAP && map->count < cap / 8)
        cap /= 2;
    if (cap < map->cap) (void)rebuild(map, cap);
}

bool ls_idmap_put(struct ls_idmap *map, int64_t id, void *value, void **old)
{
    if (old) *old = NULL;
    struct ls_idmap_item *item = find(map, id);
    if (item) {
        if (old) *old = item->value;
        item->value = value;
        return true;
    }
    if (map->used == map->cap && !make_room(map)) return false;
    map->items[map->used] = (struct ls_idmap_item){id, value};
    map->table[seek(map, id)] = ++map->used;
    map->items[map->used].value = END;
    map->count++;
    return true;
}

void *ls_idmap_get(const struct ls_idmap *map, int64_t id)
{
    const struct ls_idmap_item *item = find(map, id);
    return item ? item->value : NULL;
}

/* Free a place of the table: items behind it whose search passes by move up, so that no search ends too early. */
static void close_up(struct ls_idmap *map, uint32_t at)
{
    uint32_t mask = map->cap * 2 - 1;
    for (uint32_t next = (at + 1) & mask; map->table[next]; next = (next + 1) & mask) {
        uint32_t from = home(map, map->items[map->table[next] - 1].id);
        if (((next - from) & mask) < ((next - at) & mask)) continue; /* its search begins behind the free place */
        map->table[at] = map->table[next];
        at = next;
    }
    map->table[at] = 0;
}

void *ls_idmap_take(struct ls_idmap *map, int64_t id)
{
    uint32_t at = map->count ? seek(map, id) : 0, number = map->count ? map->table[at] : 0;
    if (!number) return NULL;
    void *value = map->items[number - 1].value;
    close_up(map, at);
    map->items[number - 1].value = GAP;
    map->count--;
    while (map->head < map->used && map->items[map->head].value == GAP)
        map->head++;
    while (map->used > map->head && map->items[map->used - 1].value == GAP)
        map->items[--map->used].value = END;
    if (map->count == 0 && map->cap > KEPT_CAP) {
        forget_all(map);
    } else if (map->count == 0) {
        map->head = map->used = 0;
        map->items[0].value = END;
    }
    return value;
}

size_t ls_idmap_count(const struct ls_idmap *map)
{
    return map->count;
}

struct ls_idmap_item *ls_idmap_first(const struct ls_idmap *map)
{
    return map->count ? &map->items[map->head] : NULL;
}

struct ls_idmap_item *ls_idmap_next(const struct ls_idmap_item *item)
{
    do
        item++;
    while (item->value == GAP);
    return item->value == END ? NULL : (struct ls_idmap_item *)item;
}

int64_t ls_idmap_id(const struct ls_idmap_item *item)
{
    return item->id;
}

void *ls_idmap_value(const struct ls_idmap_item *item)
{
    return item->value;
}
