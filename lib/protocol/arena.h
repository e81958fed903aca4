/* Memory of one batch or request: many small pieces that are all freed together. A piece cannot be given back by
 * itself. Not thread-safe. Inside the protocol room only. */
#ifndef LS_PROTOCOL_ARENA_H
#define LS_PROTOCOL_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/budget.h"

struct ls__arena_block;

struct ls__arena {                  /* lies in its own first block */
    struct ls__arena_block *blocks; /* owned; newest first */
    char *at;                       /* free part of the newest block */
    size_t left;
    size_t total;             /* bytes of all blocks */
    bool full;                /* there was no memory for a piece */
    struct ls_budget *budget; /* where they wait to be handled, NULL = not counted */
};

/** @param first  bytes of pieces that the first block shall hold; taken at once
 * @return owned, ls__arena_free(); NULL without memory, or at the budget's limit */
struct ls__arena *ls__arena_new(size_t first, struct ls_budget *budget);
/** All pieces go at once, and the budget has its bytes back. NULL accepted. */
void ls__arena_free(struct ls__arena *arena);
/** Borrowed until the arena goes; aligned for any type; zeroed. NULL without memory. */
void *ls__arena_take(struct ls__arena *arena, size_t count, size_t size);
/** The string that the raw span of a JSON string stands for, with a NUL behind it. Borrowed until the arena goes.
 * @param text_len  its length; NULL: it is read as a C string, so a NUL inside reads as U+FFFD and nothing is cut
 * @return NULL without memory */
const char *ls__arena_string(struct ls__arena *arena, const char *raw, size_t len, size_t *text_len);

#endif
