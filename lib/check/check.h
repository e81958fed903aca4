/* Checking a site without serving it (`lsess check`, cli.md C1): Lua that does not compile, requires that find nothing,
 * view files whose grammar is wrong, paths that name no field or method of their type once main.lua has run, views
 * nobody can reach, two files with one key. Opens no port and starts no thread. Thread: any; everything happens during
 * the call. */
#ifndef LS_CHECK_CHECK_H
#define LS_CHECK_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "session/session.h"

/* One thing that is wrong. Texts are borrowed during the call. */
struct ls_finding {
    const char *file;       /* tracking key: lua/main.lua, viewdefs/App.DEFAULT.html */
    int line;               /* 1-based; 0 = the file as a whole */
    const char *message;    /* a sentence without place */
    const char *other_file; /* a second place, such as where the type is declared; NULL */
    int other_line;
};

struct ls_check_config {
    const struct ls_site *site; /* borrowed; on disk (root is set) */
    uint64_t memory_limit;      /* of the session that runs main.lua, as in ls_session_config */
    int64_t time_limit_ms;
    void *ctx;
    void (*found)(void *ctx, const struct ls_finding *finding);
};

struct ls_check_counts {
    size_t lua_files, views, findings;
};

/** Runs main.lua once, in a session of its own. @return 0 (findings or not), LS_ENOMEM, LS_EIO */
int ls_check_site(const struct ls_check_config *config, struct ls_check_counts *counts, struct ls_err *err);

#endif
