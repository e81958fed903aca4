/* Bump allocation for batches and requests. Owner thread: the one that parses, later the one that handles what was
 * parsed; never both at once. It refuses to free single pieces. */
#include "protocol/arena.h"

#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"

struct ls__arena_block {
    struct ls__arena_block *next;
    max_align_t bytes[];
};

enum {
    BLOCK = 64 * 1024, /* at least: a page's first batch of creates takes a handful of them */
    ALIGN = sizeof(max_align_t),
};
#define MOST ((size_t)512 * 1024 * 1024) /* what a frame may become; room for several times the largest one (P120) */

static bool add_block(struct ls__arena *arena, size_t size)
{
    size_t whole = sizeof(struct ls__arena_block) + size;
    if (whole > MOST - arena->total || (arena->budget && !ls_budget_queue(arena->budget, whole))) return false;
    struct ls__arena_block *block = ls_malloc(whole);
    if (!block) {
        if (arena->budget) ls_budget_unqueue(arena->budget, whole);
        return false;
    }
    block->next = arena->blocks;
    arena->blocks = block;
    arena->total += whole;
    arena->at = (char *)block->bytes;
    arena->left = size;
    return true;
}

struct ls__arena *ls__arena_new(size_t first, struct ls_budget *budget)
{
    struct ls__arena arena = {.budget = budget}, *kept;
    if (first > MOST || !add_block(&arena, first + sizeof arena + 2 * ALIGN)) return NULL;
    kept = ls__arena_take(&arena, 1, sizeof arena);
    *kept = arena;
    return kept;
}

void ls__arena_free(struct ls__arena *arena)
{
    if (!arena) return;
    struct ls_budget *budget = arena->budget;
    size_t total = arena->total;
    for (struct ls__arena_block *block = arena->blocks, *next; block; block = next) {
        next = block->next;
        ls_free(block);
    }
    if (budget) ls_budget_unqueue(budget, total);
}

void *ls__arena_take(struct ls__arena *arena, size_t count, size_t size)
{
    size_t bytes = count > MOST / size ? MOST : (count * size + ALIGN - 1) / ALIGN * ALIGN;
    if (bytes > arena->left && !add_block(arena, bytes > BLOCK ? bytes : BLOCK)) {
        arena->full = true;
        return NULL;
    }
    char *piece = arena->at;
    arena->at += bytes;
    arena->left -= bytes;
    return memset(piece, 0, bytes);
}

const char *ls__arena_string(struct ls__arena *arena, const char *raw, size_t len, size_t *text_len)
{
    struct ls_buf text = {.data = ls__arena_take(arena, len + 1, 1), .cap = len + 1};
    if (!text.data) return NULL;
    ls_json_unescape(&text, raw, len); /* has room: no escape is shorter than what it stands for */
    if (text_len) {
        *text_len = text.len;
    } else if (memchr(text.data, '\0', text.len)) {
        struct ls_buf whole = {.data = ls__arena_take(arena, len + 1, 3), .cap = 3 * (len + 1)};
        if (!whole.data) return NULL;
        ls_text_without_nul(&whole, text.data, text.len);
        return whole.data;
    }
    return text.data;
}
