/* What the files of this room share: one view text, and the store's way to hand texts out. Inside the viewdef room
 * only. */
#ifndef LS_VIEWDEF_VIEWDEF_INTERNAL_H
#define LS_VIEWDEF_VIEWDEF_INTERNAL_H

#include <stdatomic.h>

#include "viewdef/viewdef.h"

/* One file's text under its key; immutable, shared between threads. */
struct ls__view {
    atomic_uint uses;
    char *rel;      /* path below the folder: decides between files of one key (H80); owned */
    char *key;      /* base name without .html (P104, H73); owned */
    char *real;     /* links resolved (L52a); NULL for a built-in one; owned */
    uint64_t stamp; /* content hash, never 0 (H76) */
    /* `"KEY":"text"`: a member of the JSON object that is sent, encoded once for all connections */
    struct ls_bytes *member;
};

/* References to the views that readers see, one a key, sorted by key. With `builtin`, the list views of F132 instead,
 * as far as the site has none of that type. @return number, or LS_ENOMEM; *list is owned (ls__views_release) */
int ls__viewdefs_snapshot(struct ls_viewdefs *views, bool builtin, struct ls__view ***list);
/** Gives back one use of each view and frees the list. */
void ls__views_release(struct ls__view **list, size_t count);

#endif
