/* What the files of the reload transaction share: the state it keeps in a session between transactions, and one running
 * chunk.
 * Owner thread: the session's. */
#ifndef LS_RELOAD_RELOAD_STATE_H
#define LS_RELOAD_RELOAD_STATE_H

#include "base/array.h"
#include "model/model_internal.h"
#include "model/module.h"
#include "model/undo.h"
#include "reload/reload.h"
#include "syntax/texts.h"
#include "syntax/tokens.h"

/* One chunk that runs now, as the loader's struct ls_running but with what a roll-back and the three-way rule need. */
struct ls_load {
    int snapshot;         /* ref (model/snapshot.h), the first step of its frame, too; LUA_NOREF = none is recorded */
    bool first;           /* not a reload: it fails as L43 says, else as H59 does */
    bool full;            /* a transaction runs: the snapshot holds all of H59, else only what H49 needs */
    uint32_t protos;      /* session->model->proto_count at its begin: later ones are new */
    size_t undo;          /* mark of its frame in the undo log */
    struct ls_text *text; /* a use; only with a snapshot */
    const void *app;      /* address of the app object before */
};

/* The record of a module's last execution (struct ls_module): a userdata with the user values LS_RECORD_HOLDERS, which
 * is what ls__push_holders gives, and one for what was set aside (rule_aside.c). */
struct ls_record {
    struct ls_text *text;   /* a use; NULL = it was not watched */
    struct ls_bytes *given; /* a use: what it gave (record.h); NULL = unknown */
    lua_Integer saves;      /* executions */
};
enum { LS_RECORD_HOLDERS = 1 };

struct ls_reload_state {
    int displaced; /* ref: new table → the one that took its place, weak (escape.c) */
    int copies;    /* ref: key → old functions of it → successors, whose copies are not all found (rule_follow.c) */
    int libraries; /* ref: tables that were there before any site code */
    struct ls_load *loads; /* stack */
    size_t load_count, load_cap;
    bool running;                    /* a transaction */
    bool garbage;                    /* one has left so much that it is collected behind the frames */
    struct ls_reload_report *report; /* borrowed: of the transaction, NULL outside of one */
    struct ls_texts *texts;          /* owned; NULL = those that all sessions share are used */
    struct ls_names undeclared;      /* `key name` of prototypes reported as no longer declared (H52) */
};

/** Make what a session keeps between transactions, and fill in what the loader calls. @return 0; LS_ENOMEM */
int ls__reload_new(struct ls_session *session, struct ls_err *err);
/** Release it; nothing is recorded any more. */
void ls__reload_free(struct ls_session *session);

/* --- ledger.c --- */

/** `begin` of struct ls_load_hooks. */
int ls__load_begin(struct ls_session *session, const char *key, const char *text, size_t len, struct ls_err *err);
/** `done` of struct ls_load_hooks. */
void ls__load_done(struct ls_session *session, const char *key, const char *text, size_t len);
/** Push a load of that text: begin its frame in the undo log, take its snapshot. @return 0 or a code: then there is
 * none */
int ls__load_push(struct ls_session *session, const char *key, const char *text, size_t len, bool first,
                  struct ls_err *err);
/** The load that began last; NULL = nothing is being loaded. Loading moves it. */
static inline struct ls_load *ls__load_innermost(const struct ls_session *session)
{
    const struct ls_reload_state *state = session->reload;
    return state->load_count ? &state->loads[state->load_count - 1] : NULL;
}
/** End the innermost load, also as `ended` of struct ls_load_hooks: its frame is committed or rolled back, and it is
 * taken off and freed. Safe. */
void ls__load_end(struct ls_session *session, bool succeeded);

/** Push a table of all tables that have an identity of their own, whoever refers to them.
 * @param module, own  NULL and 0, or the module that runs and the stack index of the value it gives [-0, +1, m] */
LS_RAISES void ls__push_known(struct ls_session *session, lua_State *L, const struct ls_module *module, int own);

/* --- holders.c --- */

struct ls_walk;
/** Push a table of the variables of the running version of a module, each with a function that refers to it: name →
 * {function, upvalue}. It is for a version that left no record, because nothing was watched when it was loaded (H2).
 * @param walk  zeroed, released by the caller [-0, +1, m] */
LS_RAISES void ls__push_holders(struct ls_session *session, lua_State *L, const char *key, struct ls_walk *walk);
/* --- apply.c: the three-way rule and the innermost load --- */

/** Give a module that has no record one with the holders on top and nothing else. [-1, +0, m] */
LS_RAISES void ls__record_holders(struct ls_session *session, lua_State *L, const char *key);

/* One execution of a module's text: what it is, what it replaces, and what has come of it. */
struct ls_run {
    struct ls_session *session;
    const char *key, *text; /* borrowed */
    size_t len;
    uint64_t hash; /* only with a result */
    bool again;    /* for the sake of another module; its own text has not changed (H50, H63) */
    /* what is told of it, borrowed; NULL = a first load */
    struct ls_reload_result *result;
    /* owned: what the module had registered and required before; after a failure, what the failed text has */
    struct ls_names old[LS_MODULE_LISTS];
    struct ls_idmap *made; /* owned: what the chunk has made (struct ls_vm); NULL = a first load */
    size_t made_functions; /* how many functions are there */
    /* Results of the rule. */
    unsigned methods_removed;
    struct ls_buf removed, fields, notes, losses; /* owned */
    bool taken_over;                              /* the module's value is still the old table */
    bool value_changed;                           /* importers still hold the old one (H50) */
};
/** The value of the chunk is on top; afterwards the module's value is. Sets package.loaded and the record.
 * @return 0 or a code: then the caller rolls back. [-1, +(1|0), -] */
int ls__run_apply(struct ls_run *run, struct ls_err *err);
/** Does its text have the name as a string, as it has where it declares a prototype or requires a module?
 * `session:prototype(name)` gives back a registered one and leaves no trace in the module's lists (L81). */
static inline bool ls__run_names(const struct ls_run *run, const char *name)
{
    return ls_tokens_find(run->text, run->len, name, LS_TOKEN_STRING);
}
/** Free what it owns. */
void ls__run_release(struct ls_run *run);

/* --- reload_run.c --- */

/** Run the text of a loaded module as a reload; its compiled chunk is on top of session->vm.L and popped. The caller
 * releases the run. @return did it succeed; the result says it all [-1, +0, -] */
bool ls__reload_run(struct ls_run *run);
/** Fill a result with a failure. */
void ls__reload_fail(struct ls_session *session, struct ls_reload_result *result, const struct ls_err *err);
/** Append to the details of a result, after a comma if there are some. */
void ls__reload_detail(struct ls_reload_result *result, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
