/* Modules: what the loader knows of each file a session has loaded (lua-api.md sections 5 to 9). Owner thread: the
 * session's. */
#ifndef LS_MODEL_MODULE_H
#define LS_MODEL_MODULE_H

#include "model/model.h"
#include "model/model_internal.h"
#include "vm/source.h"

/* The places of a module's lists in `lists`. */
enum { LS_PROTOTYPES, LS_PRESENTERS, LS_WRAPPERS, LS_REQUIRES, LS_MISSING, LS_MODULE_LISTS };

/* A module record (L46). Pointers to records do not survive a call into Lua: look the key up again, compare the serial.
 * */
struct ls_module {
    char *key;             /* owned: tracking key (L26) */
    char *name;            /* owned: the name given to the chunk as first argument (L40) */
    uint64_t serial;       /* unique in the session */
    uint32_t execution;    /* 1 for the first run, +1 for each reload (H57) */
    struct ls_names names; /* under which it was required */
    struct ls_names paths; /* absolute request paths, links unresolved (H7) */
    union {                /* what its execution gives, one by one or as an array */
        struct {
            struct ls_names prototypes, presenters, wrappers; /* registered at its load time (L48) */
            struct ls_names requires;                         /* keys it required: the edges of H37 */
            struct ls_names missing;                          /* names it tried to require in vain (H63) */
        };
        struct ls_names lists[LS_MODULE_LISTS];
    };
    int keep;        /* ref: `keep` values by name (H67); LUA_NOREF = none */
    int dispose;     /* ref: array of dispose hooks (H68); LUA_NOREF = none */
    int record;      /* ref: what the reload transaction keeps of its last execution; LUA_NOREF = nothing */
    uint64_t hash;   /* ls_hash of the text last executed successfully (H35) */
    bool loaded;     /* the first load has come to its end */
    bool ok;         /* the last execution succeeded */
    char *error;     /* owned: text of the last failure, NULL if ok */
    int64_t time_ms; /* wall clock of the last execution, ms since 1970 */
};

/* A file whose last execution, or last first load, failed (H99). */
struct ls_failure {
    char *key;             /* owned; NULL = a first load for which no file was found */
    char *name;            /* owned: as it was required; NULL = a module that is loaded and failed to reload */
    char *message;         /* owned: first line, `key:line: text`, without absolute paths (H100) */
    char *excerpt;         /* owned: the source around the line; "" = unknown */
    int line;              /* 0 = unknown */
    struct ls_names paths; /* of a failed first load: where its file would be seen (H36) */
    struct ls_names needs; /* keys and names that the failed text required (H63) */
    bool asked;            /* a file asked for it while it ran: when none of them does so any more, it is over */
    bool named;            /* the name is one that code requires it by, so a retry adds it (L37) */
    uint64_t hash;         /* of the text that failed */
};

/* --- module.c --- */

/** The record of a key, NULL if there is none. */
struct ls_module *ls__module_find(const struct ls_session *session, const char *key);
/** By key, else by a name under which it was required (L53). */
struct ls_module *ls__module_named(const struct ls_session *session, const char *name);
/** currentModule: the record of the innermost running chunk, NULL if none runs or it has been unloaded (L47, L57). */
struct ls_module *ls__module_current(const struct ls_session *session);
/** The record for `key`, made if there is none. NULL without memory. */
struct ls_module *ls__module_make(struct ls_session *session, const char *key, const char *name);
/** Free a record and take it off the list: the last step of L52. Names, timers and so on are the caller's business. */
void ls__module_forget(struct ls_session *session, struct ls_module *module);
/** session.reloading (H43, L62). Safe. */
void ls__set_reloading(struct ls_session *session, bool reloading);
/** Call the dispose hooks of a module, protected, in order of registration, and forget them (H68). @return how many
 * failed */
unsigned ls__module_dispose(struct ls_session *session, const char *key, bool reload);
/** The session ends: all dispose hooks are called with false, those of later modules first (H68). */
void ls__modules_dispose_all(struct ls_session *session);
/** Frees all records, after their hooks. */
void ls__modules_release(struct ls_session *session);

/** setCurrentModule / clearCurrentModule: push before the protected call that runs a chunk, pop on both outcomes (L47).
 * `hash` is ls_hash of its text; `first_load` sets session.reloading to false for its duration (L44). @return 0 or
 * LS_ENOMEM */
int ls__module_enter(struct ls_session *session, struct ls_module *module, uint64_t hash, bool first_load,
                     struct ls_err *err);
/** After the chunk: the outer module is current again. */
void ls__module_leave(struct ls_session *session);
/** Bring the keys of loaded modules into the order of H37: what was required comes first, then the order of first load.
 * @param order  gets the places of the keys in the new order. @return false without memory */
bool ls__modules_order(const struct ls_session *session, const char *const *keys, size_t count, size_t *order);

/* --- relink.c --- */

/** The module that was loaded through `path` under another key than `key`: under `old_key`, or if that is "" under
 * whichever. @return borrowed; NULL = none, or `old_key` is NULL */
struct ls_module *ls__module_before(const struct ls_session *session, const char *old_key, const char *key,
                                    const char *path);
/** A link was re-pointed: the module known as `old_key` (as ls__module_before's) through `path` takes the new key, or
 * gives its names away (H17).
 * @return the name under which the new target has to be loaded for the first time, owned, else NULL */
char *ls__module_relink(struct ls_session *session, const char *old_key, const char *key, const char *path);

/* --- loader.c (sections 6, 7) --- */

/** Remember how an execution ended: hash, success, error text, time. After a success, instances of its prototypes whose
 * mutate has failed before are due again (L100). */
void ls__module_ran(struct ls_session *session, const char *key, uint64_t hash, const struct ls_err *failure);
/** Load a text as the first load of its file: what was to happen when it failed, or when a link leads to it now (H36,
 * H17). Called by the transaction, so the mutation queue is left to it.
 * @param path  NULL for files of the bundle */
int ls__load_first(struct ls_session *session, const char *key, const char *path, struct ls_bytes *text,
                   const char *name, bool named, struct ls_err *err);
LS_RAISES void ls__open_require(lua_State *L); /* [-0, +0, m] require, package */
/** Push the compiled chunk of a file, chunk name `@key` (L30). It is to be called with the record's name and key (L40).
 * @return 0 or a code. [-0, +(1|0), -] */
int ls__module_push_chunk(struct ls_session *session, const char *key, const char *text, size_t len,
                          struct ls_err *err);
/** Set package.loaded for the key and every name of the module to the value on top, which is popped. [-1, +0, m] */
LS_RAISES void ls__module_set_value(struct ls_session *session, lua_State *L, const char *key);

/* --- failures.c --- */

/** A first load of `name` is given up (H36): remember it, so that a change of its file tries it again. Before the
 * module's record goes. Safe.
 * @param named    code requires it by this name, so the retry adds it
 * @param key      NULL = no file was found
 * @param paths    request paths, absolute
 * @param text     content, NULL if there is none
 * @param message  the error */
void ls__failure_first(struct ls_session *session, const char *name, bool named, const char *key,
                       const struct ls_names *paths, struct ls_bytes *text, const char *message);
/** It has been loaded after all: forget that it was wanted. `name` may be NULL. Safe. */
void ls__failure_over(struct ls_session *session, const char *key, const char *name);

/** Remember a failure, replacing one of the same key and name. Without memory it is lost, which the log has seen.
 * @return it, or NULL */
struct ls_failure *ls__failure_set(struct ls_session *session, const char *key, const char *name,
                                   const struct ls_err *cause, const char *text, size_t len);
/** Add what the failed text has required, with success or in vain; `lists` are a module's. */
void ls__failure_needs(struct ls_failure *failure, const struct ls_names *lists);
/** Forget the failures of a key: it has run, or its text is the one that runs (H35, H63). */
void ls__failure_clear(struct ls_session *session, const char *key);
/** Forget the failure at that place. */
void ls__failure_drop(struct ls_session *session, size_t index);
/** Is it a failed first load that a changed file of this key and path concerns (H36)? */
bool ls__failure_is_of(const struct ls_failure *failure, const char *key, const char *path);
/** The first such, NULL if none. */
struct ls_failure *ls__failure_wanted(const struct ls_session *session, const char *key, const char *path);
/** Forget failed first loads that only files have asked for which do so no longer: their text was undone or edited. */
void ls__failures_unasked(struct ls_session *session);
/** First line of an error text with the absolute root taken out, begun with the file's key where it has no position;
 * owned. *line is that of the position, 0 = none. `key` may be NULL. */
char *ls__failure_message(const struct ls_session *session, const char *key, const char *text, int *line);
/** Forget all: the session ends. */
void ls__failures_release(struct ls_session *session);

#endif
