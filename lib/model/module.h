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
    uint64_t hash;   /* ls_hash of the text last executed successfully (H35) */
    bool loaded;     /* the first load has come to its end */
    bool ok;         /* the last execution succeeded */
    char *error;     /* owned: text of the last failure, NULL if ok */
    int64_t time_ms; /* wall clock of the last execution, ms since 1970 */
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

/* --- module_run.c --- */

/** setCurrentModule / clearCurrentModule: push before the protected call that runs a chunk, pop on both outcomes (L47).
 * `hash` is ls_hash of its text; `first_load` sets session.reloading to false for its duration (L44). @return 0 or
 * LS_ENOMEM */
int ls__module_enter(struct ls_session *session, struct ls_module *module, uint64_t hash, bool first_load,
                     struct ls_err *err);
/** After the chunk: the outer module is current again. */
void ls__module_leave(struct ls_session *session);
/** Remember how an execution ended: hash, success, error text, time. After a success, instances of its prototypes whose
 * mutate has failed before are due again (L100). */
void ls__module_ran(struct ls_session *session, const char *key, uint64_t hash, const struct ls_err *failure);

/* --- loader.c (sections 6, 7) --- */

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

/* --- unload.c (section 9) --- */

#endif
