/* What those above ask of a session's modules, timers, watches and prototypes. Owner thread: the session's; nothing
 * raises. */
#ifndef LS_MODEL_MODEL_H
#define LS_MODEL_MODEL_H

#include "vm/vm.h"

/** Bind tracker and store; once, before main.lua (P30.6). Both borrowed. */
void ls_session_bind(struct ls_session *session, struct ls_tracker *tracker, const struct ls_variable_store *store);
/** main.lua, if there is one (L32–L35), then the mutation queue. */
int ls_session_run_main(struct ls_session *session, struct ls_err *err);
/** RequireLuaFile: load once by file name (L45). DirectRequireLuaFile: by path below the root (L45a). */
int ls_session_require_file(struct ls_session *session, const char *name, struct ls_err *err);
/** The host's way to load a path below the root, without search and names (L45a). @return 0 or a code and err */
int ls_session_load_direct(struct ls_session *session, const char *path, struct ls_err *err);
/** IsFileLoaded: by tracking key. */
bool ls_session_is_loaded(const struct ls_session *session, const char *key);
/** Run a due timer (L108): an unknown handle does nothing. */
void ls_session_run_timer(struct ls_session *session, uint64_t handle);
/** End of an item that ran Lua: process the mutation queue if code has queued mutations (L95). */
void ls_session_settle(struct ls_session *session);
/** NotifyPropertyChange: run the callbacks of watchProperty/watchVariable for one change (L70). @return did any
 * callback run */
bool ls_session_notify(struct ls_session *session, int64_t id, const char *property);
/** Does any Lua code watch a variable (L70)? */
bool ls_session_has_watchers(const struct ls_session *session);
/** The variable is gone: variable objects answer nil, watches end (L69, L71). */
void ls_session_variable_gone(struct ls_session *session, int64_t id);

/* --- unloading --- */

struct ls_unload_report { /* names that went, and what still refers to them; JSON array texts */
    struct ls_buf modules, prototypes, presenters, wrappers, viewdefs; /* JSON arrays of strings */
    unsigned timers, watches;
    unsigned instances, variables; /* alive instances of removed prototypes, variables that show them */
    struct ls_buf importers;       /* JSON array: loaded modules that required what went */
    int64_t heap_bytes;            /* freed, after a collection; 0 in a dry run */
};
/** All empty; needs no memory. */
void ls_unload_report_init(struct ls_unload_report *report);
/** Frees its texts. */
void ls_unload_report_release(struct ls_unload_report *report);
/** Unload by tracking key, required name, or directory with all below it (C5, L52, L58). `dry_run` changes nothing.
 * @return number of modules, 0 = nothing matched, or an LS_E* code */
int ls_session_unload(struct ls_session *session, const char *name, bool dry_run, struct ls_unload_report *report,
                      struct ls_err *err);
/** Is a module below apps/NAME/ loaded, or has none ever been (then views of it are delivered all the same) (L52a)? */
bool ls_session_app_withdrawn(const struct ls_session *session, const char *app_dir);

/* --- listing (C1 sessions, H101) --- */

/** Loaded modules for `state`: JSON array of {"key","hash","time","ok","error","requires":[…]} appended to `out`. */
int ls_session_modules_json(struct ls_session *session, struct ls_buf *out);
/** Modules that have a record now. */
size_t ls_session_module_count(const struct ls_session *session);

/** Present failures (H99): one line each for `reload-error`, and the JSON array for `reload-detail` (H100). Empty when
 * none. */
int ls_session_failures(struct ls_session *session, struct ls_buf *lines, struct ls_buf *detail_json);

#endif
