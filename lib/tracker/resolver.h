/* How the tracker reaches values: the table of functions that session/ fills in with Lua, and tests with a fake.
 * All calls come from the owner thread. None of them may leave by a jump: errors come back as faults (T7). */
#ifndef LS_TRACKER_RESOLVER_H
#define LS_TRACKER_RESOLVER_H

#include <stddef.h>
#include <stdint.h>

typedef uint32_t ls_slot; /* names a value held by the resolver; 0 = null/none */

/* The engine's own contract with the session room: see the comments in resolver.h's owner, tracker/. */
struct ls_resolver_ops;

struct ls_resolver {
    const struct ls_resolver_ops *ops;
    void *ctx;
};

#endif
