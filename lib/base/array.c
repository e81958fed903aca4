/* The growing step of arrays and buffers, and ordered sets of strings. An array's fields are read and written as bytes,
 * so that one of whatever type may pass. */
#include "base/array.h"

#include <string.h>

#include "base/alloc.h"

static size_t room_of(const void *cap, bool wide)
{
    return wide ? *(const size_t *)cap : *(const uint32_t *)cap;
}

bool ls__array_grow(struct ls_budget *budget, size_t extra, void *items, size_t kinds, size_t need, void *cap)
{
    bool wide = (kinds & 15) == sizeof(size_t);
    size_t size = kinds >> 4, had = room_of(cap, wide), most = (wide ? SIZE_MAX : UINT32_MAX) / size;
    size_t room = had > most / 2 ? most : had ? had * 2 : size < 24 ? 24 / size : 1;
    if (room < need) room = need;
    void *block;
    memcpy(&block, items, sizeof block);
    block = room > most ? NULL : ls_budget_resize(budget, block, room * size, extra);
    if (!block) return false;
    memcpy(items, &block, sizeof block);
    if (wide)
        *(size_t *)cap = room;
    else
        *(uint32_t *)cap = (uint32_t)room;
    return true;
}

bool ls__array_reserve(void *items, size_t kinds, size_t need, void *cap)
{
    return need <= room_of(cap, (kinds & 15) == sizeof(size_t)) || ls__array_grow(NULL, 0, items, kinds, need, cap);
}

static uint32_t find(const struct ls_names *names, const char *name)
{
    for (uint32_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], name) == 0) return i;
    return names->count;
}

bool ls_names_has(const struct ls_names *names, const char *name)
{
    return find(names, name) < names->count;
}

bool ls_names_add(struct ls_names *names, const char *name)
{
    if (ls_names_has(names, name)) return true;
    char *copy = ls_strdup(name);
    if (copy && LS_PUSH(names->items, names->count, names->cap, copy)) return true;
    ls_free(copy);
    return false;
}

bool ls_names_drop(struct ls_names *names, const char *name)
{
    uint32_t i = find(names, name);
    if (i == names->count) return false;
    ls_free(names->items[i]);
    memmove(names->items + i, names->items + i + 1, (names->count - i - 1) * sizeof *names->items);
    names->count--;
    return true;
}

bool ls_names_copy(struct ls_names *into, const struct ls_names *from)
{
    for (uint32_t i = 0; i < from->count; i++)
        if (!ls_names_add(into, from->items[i])) return false;
    return true;
}

void ls_names_release(struct ls_names *names)
{
    for (uint32_t i = 0; i < names->count; i++)
        ls_free(names->items[i]);
    ls_free(names->items);
    *names = (struct ls_names){0};
}
