/* Bump allocation for batches. Owner thread: the one that parses, later the one that handles the batch; never both at
 * once. It refuses to free single pieces: a batch lives for one item of a queue. */
#include "protocol/arena.h"

#include <stdint.h>

#include "base/alloc.h"
#include "base/err.h"

struct ls__arena_block {
    struct ls__arena_block *next;
    max_align_t bytes[];
};

/* Large enough that a page's first batch of creates takes a handful of blocks, small enough to be reused by malloc at
 * once. */
#define LS_ARENA_BLOCK ((size_t)64 * 1024)
/* A frame of many tiny elements grows forty-fold as a tree; this is where that ends (P120). Room for 64 MiB of text
 * twice over and its tree. */
#define LS_ARENA_MAX   ((size_t)512 * 1024 * 1024)
#define LS_ARENA_ALIGN (sizeof(max_align_t))

static int add_block(struct ls__arena *arena, size_t size)
{
    size_t whole = sizeof(struct ls__arena_block) + size;
    if (whole > LS_ARENA_MAX - arena->total || (arena->budget && !ls_budget_queue(arena->budget, whole)))
        return LS_ENOMEM;
    arena->total += whole;
    struct ls__arena_block *block = ls_malloc(whole);
    if (!block) return LS_ENOMEM;
    block->next = arena->blocks;
    arena->blocks = block;
    arena->at = (char *)block->bytes;
    arena->left = size;
    return 0;
}

int ls__arena_init(struct ls__arena *arena, size_t first, struct ls_budget *budget)
{
    arena->blocks = NULL;
    arena->at = NULL;
    arena->left = 0;
    arena->total = 0;
    arena->full = false;
    arena->budget = budget;
    if (add_block(arena, first) == 0) return 0;
    ls__arena_release(arena);
    return LS_ENOMEM;
}

void ls__arena_release(struct ls__arena *arena)
{
    struct ls__arena_block *block = arena->blocks;
    while (block) {
        struct ls__arena_block *next = block->next;
        ls_free(block);
        block = next;
    }
    if (arena->budget) ls_budget_unqueue(arena->budget, arena->total);
    arena->blocks = NULL;
    arena->at = NULL;
    arena->left = arena->total = 0;
}

void *ls__arena_take(struct ls__arena *arena, size_t size)
{
    if (size > SIZE_MAX - LS_ARENA_ALIGN) return NULL;
    size = (size + LS_ARENA_ALIGN - 1) / LS_ARENA_ALIGN * LS_ARENA_ALIGN;
    if (size > arena->left && add_block(arena, size > LS_ARENA_BLOCK ? size : LS_ARENA_BLOCK) != 0) {
        arena->full = true;
        return NULL;
    }
    char *piece = arena->at;
    arena->at += size;
    arena->left -= size;
    return piece;
}
