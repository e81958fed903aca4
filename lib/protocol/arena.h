/* Memory of one batch: many small pieces that are all freed together. A piece cannot be given back by itself.
 * Not thread-safe; the owner is whoever embeds it. Inside the protocol room only. */
#ifndef LS_PROTOCOL_ARENA_H
#define LS_PROTOCOL_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/budget.h"

struct ls__arena_block;

struct ls__arena {
    struct ls__arena_block *blocks; /* owned; newest first */
    char *at;                       /* free part of the newest block */
    size_t left;
    size_t total;             /* bytes of all blocks */
    bool full;                /* there was no memory for a piece */
    struct ls_budget *budget; /* where they wait to be handled, NULL = not counted */
};

/** @param first  bytes that the first block shall hold; taken at once. @return 0 or LS_ENOMEM */
int ls__arena_init(struct ls__arena *arena, size_t first, struct ls_budget *budget);
/** All pieces go at once, and the budget has its bytes back. */
void ls__arena_release(struct ls__arena *arena);
/** Borrowed until release; aligned for any type; not zeroed. NULL without memory. */
void *ls__arena_take(struct ls__arena *arena, size_t size);

#endif
