/* Growing arrays, and sets of names, which are such.
 *
 * Of an array the owner has the elements, how many are in use (`count`) and for how many there is room (`cap`), each a
 * field or variable, all zero while the array is empty. `cap` is a uint32_t or a size_t. The elements are freed
 * with ls_free, or with ls_budget_free if they were counted. Growing doubles the room at least, so n pushes cost n
 * copies; the first room is of 24 bytes, the least that malloc gives, or of one element.
 *
 * Arguments are evaluated more than once, so they must have no effects; nor may the value of LS_PUSH name `count`.
 * Thread: the array's owner. */
#ifndef LS_BASE_ARRAY_H
#define LS_BASE_ARRAY_H

#include <stdint.h>

#include "base/budget.h"

/** Room for `need` elements in all. @return false without memory, or when `cap` cannot count so many; the array is as
 * it was */
#define LS_RESERVE(items, need, cap) ls__array_reserve(&(items), LS__KINDS(items, cap), need, &(cap))
/** The same; the bytes are counted in a budget, up to `extra` beyond its limit. What has room already costs one
 * comparison. */
#define LS_RESERVE_IN(budget, extra, items, need, cap)                                                                 \
    ((size_t)(need) <= (cap) || ls__array_grow(budget, extra, &(items), LS__KINDS(items, cap), need, &(cap)))

/** One element more, at the end. @return false as above: the value is not evaluated then */
#define LS_PUSH(items, count, cap, ...)                                                                                \
    (LS_RESERVE(items, (size_t)(count) + 1, cap) && ((items)[(count)++] = __VA_ARGS__, true))
#define LS_PUSH_IN(budget, extra, items, count, cap, ...)                                                              \
    (LS_RESERVE_IN(budget, extra, items, (size_t)(count) + 1, cap) && ((items)[(count)++] = __VA_ARGS__, true))

/* What the macros call: `items` and `cap` point to the array's fields; `kinds` is the size of an element and that of
 * `cap`. */
#define LS__KINDS(items, cap) (sizeof *(items) << 4 | sizeof(cap))
bool ls__array_reserve(void *items, size_t kinds, size_t need, void *cap); /* LS_RESERVE */
/** LS_RESERVE_IN where there is no room */
bool ls__array_grow(struct ls_budget *budget, size_t extra, void *items, size_t kinds, size_t need, void *cap);

/* A small ordered set of strings: names of a module, keys it required. Linear, since such sets hold a handful. */
struct ls_names {
    char **items; /* owned, each item too */
    uint32_t count, cap;
};

/** Is the name in the set afterwards? False only without memory. Copies. */
bool ls_names_add(struct ls_names *names, const char *name);
bool ls_names_has(const struct ls_names *names, const char *name); /* is it in the set? */
/** @return was it there */
bool ls_names_drop(struct ls_names *names, const char *name);
/** Add all of `from`. False without memory: some may be in. */
bool ls_names_copy(struct ls_names *into, const struct ls_names *from);
void ls_names_release(struct ls_names *names); /* frees the names; the set is empty */

#endif
