/* A session's count of bytes. Refuses to know what they are kept for. */
#include "base/budget.h"

#include <malloc.h>
#include <string.h>

#include "base/alloc.h"

size_t ls_budget_size(const void *block)
{
    return block ? malloc_usable_size((void *)block) + LS_BLOCK_HEAD : 0;
}

static void count(struct ls_budget *budget, size_t less, size_t more)
{
    ls_budget_set(&budget->kept, ls_budget_get(&budget->kept) - less + more);
}

static bool refuses(struct ls_budget *budget, size_t had, size_t size, size_t extra)
{
    return budget->hit = size + LS_BLOCK_HEAD > had && !ls_budget_fits(budget, size + LS_BLOCK_HEAD - had, extra);
}

void *ls_budget_resize(struct ls_budget *budget, void *block, size_t size, size_t extra)
{
    if (!budget) return ls_realloc(block, size);
    size_t had = ls_budget_size(block);
    void *moved = refuses(budget, had, size, extra) ? NULL : ls_realloc(block, size);
    if (moved) count(budget, had, ls_budget_size(moved));
    return moved;
}

void *ls_budget_zalloc(struct ls_budget *budget, size_t size)
{
    void *block = budget && refuses(budget, 0, size, 0) ? NULL : ls_zalloc(size);
    if (block && budget) count(budget, 0, ls_budget_size(block));
    return block;
}

char *ls_budget_strndup(struct ls_budget *budget, const char *text, size_t len)
{
    char *copy = ls_budget_resize(budget, NULL, len + 1, 0);
    if (!copy) return NULL;
    if (len) memcpy(copy, text, len);
    copy[len] = 0;
    return copy;
}

void ls_budget_hand_over(struct ls_budget *budget, const void *block)
{
    if (budget) count(budget, ls_budget_size(block), 0);
}

void ls_budget_free(struct ls_budget *budget, void *block)
{
    ls_budget_hand_over(budget, block);
    ls_free(block);
}

bool ls_budget_queue(struct ls_budget *budget, size_t size)
{
    size_t limit = ls_budget_get(&budget->limit), queued = atomic_fetch_add(&budget->queued, size) + size;
    if (!limit || queued + ls_budget_get(&budget->kept) <= limit + LS_BUDGET_SPARE) return true;
    ls_budget_unqueue(budget, size);
    return false;
}

void ls_budget_unqueue(struct ls_budget *budget, size_t size)
{
    atomic_fetch_sub(&budget->queued, size);
}
