/* LuaSession: one Lua VM with the globals a site uses (lua-api.md), its prototypes, modules and timers, and the resolver through which
 * the tracker sees its values. This header names no Lua type: lua.h stays inside this room.
 *
 * Owner thread: whoever runs the session's queue just now; every function is to be called there, except where it says "any thread".
 * Nothing below raises: Lua errors come back in `err`. */
#ifndef LS_SESSION_SESSION_H
#define LS_SESSION_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "tracker/tracker.h"

struct ls_session;
struct ls_chunks; /* session/chunks.h */

/* Where a site lives: canonical, shared by all sessions, immutable (L24, L25). */
struct ls_site {
    char *root;     /* canonical root; NULL = the built-in demo (files of `bundle` below) */
    char *lua_dir;  /* <root>/lua */
    char *bundle;   /* prefix in base/embed.h, e.g. "templates/sites/contacts"; NULL if the site is on disk */
};

struct ls_session_config {
    const char *vended_id;        /* copied (P27) */
    const struct ls_site *site;   /* borrowed for the session's life */
    struct ls_chunks *chunks;     /* compiled code shared by all sessions; borrowed for the session's life */
    uint64_t memory_limit;        /* bytes that the session keeps, 0 = off (L5); of no effect with a budget */
    struct ls_budget *budget;     /* where they are counted; borrowed for the session's life. NULL: the session has one for itself */
    int64_t time_limit_ms;        /* one entry, 0 = off (L5) */
    size_t max_timers;            /* L116 */
    bool sandbox;                 /* L13 */
    const char *const *env;       /* names that os.getenv answers with `sandbox`, NULL-terminated; may be NULL; borrowed for the session's life */
    bool hot;                     /* hot reload is on: L79 warnings, snapshots for H49 */
    bool keep_removed_methods;    /* H51 */
    int diag_level;
};

/* What the session asks of those above it. All calls come from the owner thread, outside of any Lua stack discipline: they must
 * not raise and must not enter this session again. Any may be NULL. */
struct ls_session_host {
    void *ctx;
    /** Post an item at `due_ns` (monotonic, 0 = behind the items queued now) that calls ls_session_run_timer(handle) (L108–L111). */
    int (*timer_set)(void *ctx, uint64_t handle, int64_t due_ns);
    void (*timer_clear)(void *ctx, uint64_t handle);
    /** A module has been loaded (first time or again), failed to load, or was unloaded. `paths`: the request paths with links unresolved,
     * and for a failed search every place that was tried (H7, H14, H36); absolute. */
    void (*module_loaded)(void *ctx, const char *key, const char *const *paths, size_t count);
    void (*module_wanted)(void *ctx, const char *key, const char *const *paths, size_t count);
    void (*module_unloaded)(void *ctx, const char *key);      /* hotLoaderCleanup (H90) */
    void (*directory_unloaded)(void *ctx, const char *dir);   /* H91 */
    /** `text` printed by Lua while an evaluation runs is copied here as well (C4). */
    void (*print)(void *ctx, const char *text, size_t len);
};

/** VariableStore: how Lua code makes and destroys variables; the backend implements it (it keeps watches and notices). */
struct ls_variable_store {
    void *ctx;
    int64_t (*create)(void *ctx, const struct ls_var_spec *spec, struct ls_fault *fault); /* id, or 0 and fault */
    void (*destroy)(void *ctx, int64_t id);                                                /* subtree, notices as P96 */
};

/** Make the VM and its globals (L3, L8), everything but main.lua. @return owned, ls_session_close(); NULL and err */
struct ls_session *ls_session_open(const struct ls_session_config *config, const struct ls_session_host *host, struct ls_err *err);
/** Cancel timers, call dispose hooks with false (H68), close the state (L7). NULL accepted. */
void ls_session_close(struct ls_session *session);
/** The resolver for the tracker of this session; valid as long as the session. */
struct ls_resolver ls_session_resolver(struct ls_session *session);
/** Bind tracker and store; once, before main.lua (P30.6). Both borrowed. */
void ls_session_bind(struct ls_session *session, struct ls_tracker *tracker, const struct ls_variable_store *store);
const char *ls_session_id(const struct ls_session *session); /* vended id */
/** GetLuaSession: `session` itself if the vended id is its own, else NULL. */
struct ls_session *ls_session_get(struct ls_session *session, const char *vended_id);
/** Bytes that count against the memory limit: the Lua heap and all else that is counted in the same budget. */
uint64_t ls_session_memory(const struct ls_session *session);
/** A full garbage collection. */
void ls_session_collect(struct ls_session *session);

/** main.lua, if there is one (L32–L35), then the mutation queue. */
int ls_session_run_main(struct ls_session *session, struct ls_err *err);
/** RequireLuaFile: load once by file name (L45). DirectRequireLuaFile: by path below the root (L45a). */
int ls_session_require_file(struct ls_session *session, const char *name, struct ls_err *err);
int ls_session_load_direct(struct ls_session *session, const char *path, struct ls_err *err);
/** IsFileLoaded: by tracking key. */
bool ls_session_is_loaded(const struct ls_session *session, const char *key);
/** The `lua` property of variable 1 (L139): inline code or the name of a file. */
int ls_session_run_lua_property(struct ls_session *session, const char *text, size_t len, struct ls_err *err);
/** Run a due timer (L108): an unknown handle does nothing. */
void ls_session_run_timer(struct ls_session *session, uint64_t handle);
/** End of an item that ran Lua: process the mutation queue if code has queued entries (L95). */
void ls_session_settle(struct ls_session *session);
/** NotifyPropertyChange: run the callbacks of watchProperty/watchVariable for one change (L70, L71). @return did any callback run */
bool ls_session_notify(struct ls_session *session, int64_t id, const char *property);
bool ls_session_has_watchers(const struct ls_session *session);
/** The variable is gone: variable objects answer nil, watches end (L69, L71). */
void ls_session_variable_gone(struct ls_session *session, int64_t id);
/** getObjects (P117): Value JSON of an object's own public fields appended to `out`. LS_ENOTFOUND if unknown or collected. */
int ls_session_object_json(struct ls_session *session, int64_t object_id, struct ls_buf *out, struct ls_err *err);
/** Native type name of a variable's value for the listing (P12 goType, PX40). Borrowed, static or valid until the next call. */
const char *ls_session_native_type(struct ls_session *session, const struct ls_var *var);

/* --- administrator --- */

struct ls_eval {
    const char *code;   /* borrowed */
    size_t len;
    const char *name;   /* shown as chunk name */
    bool repl;          /* an expression needs no `return`; values are pretty-printed; `_` is set (C4) */
    size_t max_output;  /* cut longer results, 0 = no limit */
    size_t width;       /* columns of the terminal: wider tables are broken into lines; 0 = never */
    struct ls_buf text; /* out: the values as people read them, tab-separated (repl) */
    struct ls_buf json; /* out: the first value as L124, "null" if it has none */
    bool incomplete;    /* out: the chunk is not finished, more lines are needed */
};
/** L141. @return 0, LS_ESYNTAX, LS_ELUA (text with traceback), LS_EINTERRUPTED, LS_ELIMIT */
int ls_session_eval(struct ls_session *session, struct ls_eval *eval, struct ls_err *err);
/** Stop the running entry with an error as soon as it executes Lua again. Any thread. */
void ls_session_interrupt(struct ls_session *session);
/** Completions of the last name in `line` (C4): a JSON array of strings appended to `out`. Runs no site code. */
int ls_session_complete(struct ls_session *session, const char *line, size_t len, struct ls_buf *out, struct ls_err *err);

/* --- unloading --- */

struct ls_unload_report {          /* names that went, and what still refers to them; JSON array texts */
    struct ls_buf modules, prototypes, presenters, wrappers, viewdefs; /* JSON arrays of strings */
    unsigned timers, watches;
    unsigned instances, variables;  /* alive instances of removed prototypes, variables that show them */
    struct ls_buf importers;        /* JSON array: loaded modules that required what went */
    int64_t heap_bytes;             /* freed, after a collection; 0 in a dry run */
};
void ls_unload_report_init(struct ls_unload_report *report);
void ls_unload_report_release(struct ls_unload_report *report);
/** Unload by tracking key, required name, or directory with all below it (C5, L52, L58). `dry_run` changes nothing.
 * @return number of modules, 0 = nothing matched, or an LS_E* code */
int ls_session_unload(struct ls_session *session, const char *name, bool dry_run, struct ls_unload_report *report, struct ls_err *err);
/** Is a module below apps/NAME/ loaded, or has none ever been (then views of it are delivered all the same) (L52a)? */
bool ls_session_app_withdrawn(const struct ls_session *session, const char *app_dir);

/* --- listing (C1 sessions, H101) --- */

/** Loaded modules for `state`: JSON array of {"key","hash","time","ok","error","requires":[…]} appended to `out`. */
int ls_session_modules_json(struct ls_session *session, struct ls_buf *out);
size_t ls_session_module_count(const struct ls_session *session);
/** The last error of site code, "" if none. Borrowed until the next entry. */
const char *ls_session_last_error(const struct ls_session *session);

#endif
