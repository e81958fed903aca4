/* From a name to a file, its tracking key and its text (lua-api.md section 5). Owner thread: the session's. */
#ifndef LS_VM_SOURCE_H
#define LS_VM_SOURCE_H

#include "base/array.h"
#include "vm/vm_internal.h"

/* A file found by the search of L28. */
struct ls_source {
    char *key;             /* owned: tracking key */
    char *path;            /* owned: absolute path asked for; NULL for files of the bundle and built-in modules */
    struct ls_bytes *text; /* owned use */
};
/** Release what it holds, and empty it. */
void ls__source_release(struct ls_source *source);

/** The path as texts tell it, which pages may see (L42, H100): from the site's folder on, or as it is where it lies
 * elsewhere. Borrowed from `path`. */
const char *ls__shown_path(const struct ls_session *session, const char *path);
/** Search as L28. @return 0; LS_ENOTFOUND with the places tried in `tried` (absolute paths, request paths of H36);
 * other failures in err */
int ls__source_search(struct ls_session *session, const char *file, struct ls_source *source, struct ls_names *tried,
                      struct ls_err *err);
/** One file below the root (or absolute), no search (L45a, L29). */
int ls__source_direct(struct ls_session *session, const char *path, struct ls_source *source, struct ls_err *err);
/** Where files may be read from: `within` of files/fspath.h; NULL without --sandbox (L13). Borrowed. */
const char *ls__within(const struct ls_session *session);
/** Names from Lua code: relative, no empty, `.` or `..` parts (L29). */
bool ls__name_is_safe(const char *name);

#endif
