/* A small ordered set of strings: names of a module, keys it required. Linear, since such sets hold a handful.
 * Not thread-safe; the owner is whoever embeds it. */
#ifndef LS_BASE_NAMES_H
#define LS_BASE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
