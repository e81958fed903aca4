/* The growing step of arrays and buffers. The fields are read and written as bytes, so that an array of whatever type
 * may pass. */
#include "base/array.h"

#include <stdint.h>
#include <string.h>

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
