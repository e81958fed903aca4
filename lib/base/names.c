/* Ordered sets of strings. Knows no Lua. */
#include "base/names.h"

#include <string.h>

#include "base/alloc.h"
#include "base/array.h"

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
