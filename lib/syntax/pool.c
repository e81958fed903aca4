/* Memory of one result: pieces of large blocks, freed together. */
#include "base/alloc.h"
#include "syntax/syntax_internal.h"

enum { FIRST_BLOCK = 8 * 1024, LARGEST_BLOCK = 1024 * 1024 };

void *ls__pool_take(struct ls__pool *pool, size_t count, size_t size)
{
    const size_t align = sizeof(void *);
    if (count > SIZE_MAX / 4 / size) return NULL;
    size_t bytes = (count * size + align - 1) / align * align;
    if (bytes > pool->left) {
        size_t room = pool->size ? pool->size * 2 : FIRST_BLOCK;
        if (room > LARGEST_BLOCK) room = LARGEST_BLOCK;
        pool->size = room;
        if (room < bytes) room = bytes;
        struct ls__block *block = ls_zalloc(sizeof *block + room);
        if (!block) return NULL;
        block->next = pool->blocks;
        pool->blocks = block;
        pool->at = (char *)block->bytes;
        pool->left = room;
    }
    char *piece = pool->at;
    pool->at += bytes;
    pool->left -= bytes;
    return piece;
}

void ls__pool_release(struct ls__pool *pool)
{
    for (struct ls__block *block = pool->blocks, *next; block; block = next) {
        next = block->next;
        ls_free(block);
    }
    *pool = (struct ls__pool){0};
}
