/* What a session's VM is opened with, what it asks of those above it, and what they ask of it. No Lua type is named
 * here: lua.h stays inside of the rooms from vm/ to session/.
 *
 * Owner thread: whoever runs the session's queue just now; every function is to be called there, except where it says
 * "any thread". Nothing below raises: Lua errors come back in `err`. */
#ifndef LS_VM_VM_H
#define LS_VM_VM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "tracker/tracker.h"

struct ls_session;
struct ls_chunks; /* vm/chunks.h */

/* Where a site lives: shared by all sessions, immutable (L24, L25). Links on the way are followed as they lead at each
 * time: keys are what ls_path_key makes of a real path. */
struct ls_site {
    char *root;    /* as ls_path_place; NULL = the built-in demo (files of `bundle` below). With --sandbox canonical */
    char *lua_dir; /* <root>/lua, which may be a link */
    char *bundle;  /* prefix in files/embed.h, e.g. "templates/sites/contacts"; NULL if the site is on disk */
};

struct ls_session_config {
    const char *vended_id;      /* copied (P27) */
    const struct ls_site *site; /* borrowed for the session's life */
    struct ls_chunks *chunks;   /* compiled code shared by all sessions; borrowed for the session's life */
    uint64_t memory_limit;      /* bytes that the session keeps, 0 = off (L5); of no effect with a budget */
    /* where they are counted; borrowed for the session's life. NULL: the session has one for itself */
    struct ls_budget *budget;
    int64_t time_limit_ms; /* one entry, 0 = off (L5) */
    /* where the session writes which function of the libraries runs, a text that lives for ever; may be NULL; borrowed
     * likewise */
    _Atomic(const char *) *inside;
    /* above 0 while saves wait for what runs to end: then host.save_ends is asked (R17); may be NULL; borrowed likewise
     */
    const atomic_int *saves;
    size_t max_timers; /* L116 */
    bool sandbox;      /* L13 */
    /* names that os.getenv answers with `sandbox`, NULL-terminated; may be NULL; borrowed for the session's life */
    const char *const *env;
    bool hot;                  /* hot reload is on: L79 warnings, snapshots for H49 */
    bool keep_removed_methods; /* H51 */
    int diag_level;
};

/* Files with functions on the running stack of a session. */
struct ls_stack_files {
    struct ls_session *session;
    const char *keys[64]; /* borrowed from functions that run */
    size_t count;
    char saved[128]; /* cut to that */
};

/* What the session asks of those above it. All calls come from the owner thread, outside of any Lua stack discipline:
 * they must not raise and must not enter this session again. Any may be NULL. */
struct ls_session_host {
    void *ctx;
    /** Post an item at `due_ns` (monotonic, 0 = behind the items queued now) that calls ls_session_run_timer(handle)
     * (L108–L111). */
    int (*timer_set)(void *ctx, uint64_t handle, int64_t due_ns);
    void (*timer_clear)(void *ctx, uint64_t handle);
    /** A module has been loaded (first time or again), failed to load, or was unloaded. `paths`: the request paths with
     * links unresolved, and for a failed search every place that was tried (H7, H14, H36); absolute. */
    void (*module_loaded)(void *ctx, const char *key, const char *const *paths, size_t count);
    void (*module_wanted)(void *ctx, const char *key, const char *const *paths, size_t count);
    void (*module_unloaded)(void *ctx, const char *key);    /* hotLoaderCleanup (H90) */
    void (*directory_unloaded)(void *ctx, const char *dir); /* H91 */
    /** `text` printed by Lua while an evaluation runs is copied here as well (C4). */
    void (*print)(void *ctx, const char *text, size_t len);
    /** A file is about to be run for the first time: from now on a save of it concerns the session. As above. */
    void (*module_begins)(void *ctx, const char *key, const char *const *paths, size_t count);
    /** Lua is running, for commands it has waited for `waited_ns` of the time: is it to be ended for the save of one of
     * these files (R17)? files->saved becomes what people call that one. Called again and again while config.saves says
     * so. */
    bool (*save_ends)(void *ctx, struct ls_stack_files *files, int64_t waited_ns);
};

/** VariableStore: how Lua code makes and destroys variables; the backend implements it (it keeps watches and notices).
 * */
struct ls_variable_store {
    void *ctx;
    int64_t (*create)(void *ctx, const struct ls_var_spec *spec, struct ls_fault *fault); /* id, or 0 and fault */
    void (*destroy)(void *ctx, int64_t id);                                               /* subtree, notices as P96 */
};

/** Bytes that count against the memory limit: the Lua heap and all else that is counted in the same budget. */
uint64_t ls_session_memory(const struct ls_session *session);
/** A full garbage collection. */
void ls_session_collect(struct ls_session *session);
/** Stop the running entry with an error as soon as it executes Lua again. Any thread. */
void ls_session_interrupt(struct ls_session *session);
/** The same for all entries from now on: each ends at its first look. Only closing the session undoes it. Any
 * thread. */
void ls_session_halt(struct ls_session *session);
/** Has it been halted? Any thread. */
bool ls_session_halted(const struct ls_session *session);
/** The last error of site code, "" if none. Borrowed until the next entry. */
const char *ls_session_last_error(const struct ls_session *session);

#endif
