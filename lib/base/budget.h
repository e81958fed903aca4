/* What one session keeps in memory, counted together against one limit (L5, Q2): its Lua heap, what the C side keeps
 * for it, and what waits between threads. Asked before anything is allocated, so that going over the limit is a failure
 * like want of memory, and `hit` tells the two apart.
 *
 * Lua counts the sizes that it asks for. The C side counts what the allocator gives for a block and LS_BLOCK_HEAD of
 * its own, so giving back needs no size and the count is that of a recount. Two of the counters are the owner thread's
 * and cost a plain addition; others only read them. */
#ifndef LS_BASE_BUDGET_H
#define LS_BASE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define LS_BLOCK_HEAD        8 /* bytes of the allocator before each block */
/* beyond the limit, for saying that it has been reached, and for what a page sends to let go */
#define LS_BUDGET_SPARE      ((size_t)64 * 1024)
#define LS_MEMORY_LIMIT_TEXT "the session has reached its memory limit of %llu bytes (--memory-limit)"

/* All zero = no limit, nothing kept. */
struct ls_budget {
    /* -- atomic, written by the owner thread */
    atomic_size_t limit; /* in force now; 0 = none */
    atomic_size_t heap;  /* Lua's */
    atomic_size_t kept;  /* the C side's */
    /* -- atomic, written by any thread */
    atomic_size_t queued; /* frames not handled yet, and answers that a page has not taken */
    /* -- owner thread only */
    size_t stated; /* the limit as texts name it */
    bool hit;      /* the last refusal was the limit's */
};

/** Nothing kept. `limit` in bytes, 0 = none. */
static inline void ls_budget_init(struct ls_budget *budget, size_t limit)
{
    *budget = (struct ls_budget){.limit = limit, .stated = limit};
}

/** Read a counter. Thread: any. */
static inline size_t ls_budget_get(const atomic_size_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}
/** Set a counter of the owner thread. */
static inline void ls_budget_set(atomic_size_t *counter, size_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}
/** All that counts. Thread: any. */
static inline size_t ls_budget_total(const struct ls_budget *budget)
{
    return ls_budget_get(&budget->heap) + ls_budget_get(&budget->kept) + ls_budget_get(&budget->queued);
}
/** May so many bytes more be kept, if the limit were `extra` higher? Thread: any. */
static inline bool ls_budget_fits(const struct ls_budget *budget, size_t more, size_t extra)
{
    size_t limit = ls_budget_get(&budget->limit), total = ls_budget_total(budget);
    return !limit || (more <= limit + extra && total <= limit + extra - more);
}

/** As realloc; NULL budget: nothing is counted. The block stays as it was on failure. Owner thread. */
void *ls_budget_resize(struct ls_budget *budget, void *block, size_t size, size_t extra)
    __attribute__((warn_unused_result));
/** Zeroed. Owner thread. */
void *ls_budget_zalloc(struct ls_budget *budget, size_t size) __attribute__((malloc, warn_unused_result));
/** A copy with a NUL. Owner thread. */
char *ls_budget_strndup(struct ls_budget *budget, const char *text, size_t len)
    __attribute__((malloc, warn_unused_result));
/** NULL is accepted. Owner thread. */
void ls_budget_free(struct ls_budget *budget, void *block);
/** A block that was counted is given to somebody who does not count it. */
void ls_budget_hand_over(struct ls_budget *budget, const void *block);
/** What a block counts. */
size_t ls_budget_size(const void *block);

/** Count what waits between threads. Garbage of the Lua heap is no reason to refuse it: the owner collects it. Thread:
 * any.
 * @return false: over the limit, not counted */
bool ls_budget_queue(struct ls_budget *budget, size_t size);
/** Take back what ls_budget_queue has counted. Thread: any. */
void ls_budget_unqueue(struct ls_budget *budget, size_t size);

#endif
