/* What the files of the backend room share. Owner thread of everything here: whoever runs the session's queue just now.
 * */
#ifndef LS_BACKEND_BACKEND_INTERNAL_H
#define LS_BACKEND_BACKEND_INTERNAL_H

#include "backend/backend.h"
#include "base/array.h"
#include "base/map.h"
#include "protocol/message.h"
#include "protocol/outgoing.h"

/* A growing list, LS__PUSH. */
#define LS__LIST(type)                                                                                                 \
    struct {                                                                                                           \
        type *items;                                                                                                   \
        size_t count, room;                                                                                            \
    }

/* One VM with its tracker. A restart (H69) makes a second one beside the first for a moment. */
struct ls__engine {
    struct ls_backend *backend;
    struct ls_session *session;
    struct ls_tracker *tracker;
    struct ls_variable_store store;
    unsigned generation; /* timers of an engine that is gone must not fire in the next one */
    bool muted;          /* being taken down: nobody above hears of it */
};

/* One id space (P115): the variables, watches and notes of a connection. It outlives the connection by the grace period
 * of P114. */
struct ls__space {
    struct ls__space *next;
    struct ls_conn *conn;    /* NULL: waiting to be adopted */
    unsigned number;         /* of its connection (P12) */
    struct ls_idmap *remap;  /* client id → internal id, where they differ */
    struct ls_idmap *shared; /* internal id of a variable that all know (1, Lua-made) → tally (P70) */
    struct ls_idmap *told;   /* internal id → which error the client has (P101, P103), see ls__told */
    struct ls_idmap *held;   /* internal id → struct ls__held *: what was not sent (P95) */
    /* internal id → number of the last write handled, see ls__seq_note (R8); NULL until our client writes */
    struct ls_idmap *seqs;
    struct ls_map *sent;       /* ls_viewdefs_due: what the connection has of the views */
    uint64_t views_generation; /* of the store, when views were delivered last */
    bool views_due;
    bool awaits_app;        /* it watches variable 1, which does not exist yet */
    bool used;              /* something has been created or watched: worth waiting for */
    int64_t expires_ns;     /* while waiting */
    LS__LIST(int64_t) gone; /* client ids destroyed while waiting */
};

struct ls_conn {
    struct ls_conn *next;
    struct ls_outlet outlet;
    unsigned number;
    struct ls__space *space; /* owned */
    struct ls_outgoing out;
    struct ls_buf views; /* viewdefs of this batch: the JSON object */
    bool marked;         /* our client is at the other end: what page.md adds is for it alone (R8) */
    /* another connection has taken its tab over: it has no variables until it begins anew */
    bool replaced;
    char tab[LS_TAB_DIGITS]; /* token of the marked connection's tab */
    /* when it adopts a waiting space if it has sent nothing until then (P114); 0 = decided */
    int64_t decide_ns;
};

/* Changes of one variable that one space has not been told. */
struct ls__held {
    struct ls_budget *budget;
    bool value;
    bool snapshot; /* `hash` is that of the value that was sent last */
    uint64_t hash;
    char **names; /* property names; owned */
    size_t count, cap;
};

/* What a space is owed besides the change list: the answer to a watch (P72), an update that lets an error clear (P101).
 * */
struct ls__due {
    struct ls__space *space;
    int64_t id; /* internal */
    bool props; /* all properties too */
};

/* One piece of an update: the value (name NULL), one property of a variable, or the object that holds its place (name
 * empty, R8), for one space. */
struct ls__atom {
    uint32_t order; /* of the variable in the tree (T88) */
    uint8_t class_; /* enum ls_priority */
    int64_t id;
    struct ls__space *space;
    const char *name;
};

struct ls__refused { /* an error of this batch whose mark must stay (P89) */
    struct ls_conn *conn;
    int64_t id;   /* internal */
    size_t index; /* of the error in the connection's queue */
    bool again;   /* an update for it has been queued since */
};

struct ls__problem {  /* a view file that cannot be used (H78) */
    char *key, *text; /* owned */
    uint64_t stamp;   /* reported by a page: of this text; 0 = reported by the server */
};

struct ls__loss {     /* something that the run had made and an edit has replaced (H49) */
    char *key, *text; /* owned */
    int64_t time_ms;  /* wall clock of the save, since 1970; of a later save it is greater */
};

struct ls_backend {
    struct ls_backend_config config; /* strings of `session` are copies */
    struct ls_budget *budget;        /* of the session: both VMs of a restart, connections, answers; borrowed, or: */
    struct ls_budget own_budget;
    size_t collected; /* Lua's heap after the last collection by ls__collect */
    size_t settled;   /* the same, when a page last ended */
    char *vended_id;
    struct ls_backend_host host;
    struct ls__engine *engine;
    unsigned generations;

    struct ls_conn *conns; /* in order of number */
    size_t conn_count;
    struct ls__space *spaces; /* in order of number; the waiting ones included */
    unsigned numbers;         /* given so far */
    int64_t next_internal;    /* for client variables whose own id is taken */

    /* the batch */
    bool in_batch;
    struct ls_conn *destroyer; /* who gets all notices of the present destroy */
    bool app_awaited;          /* by a space: looked at when a batch ends */
    bool force_views;          /* modules came or went: what is withheld may have changed (L52a) */
    LS__LIST(struct ls__due) dues;
    LS__LIST(struct ls__due) answers; /* numbered writes (R8) */
    LS__LIST(struct ls__atom) atoms;
    LS__LIST(struct ls__due) errors; /* faults of detection to be sent */
    LS__LIST(struct ls__refused) refused;
    LS__LIST(char *) names; /* property names that must outlive the change list; owned */
    LS__LIST(const char *) update_names;
    LS__LIST(const char *) update_values;
    struct ls_buf scratch;      /* a message for several */
    struct ls_map *batch_types; /* types that appeared in this batch (P106); NULL until one does */
    const char *list_types[2];  /* of F132, as far as they have appeared */
    size_t list_type_count;

    bool flush_armed;          /* the debounce timer runs (P62) */
    int64_t grace_due_ns;      /* the grace timer runs, 0 = not */
    struct ls_idmap *inactive; /* variables with an `inactive` property (P92) */
    bool release;              /* one of them has lost it: look at what is held */
    uint32_t written;          /* updates so far, for looking at the clock now and then */
    /* the messages of this batch have been stopped (L5): the rest is held until the next one */
    bool cut;
    LS__LIST(struct ls__problem) problems;
    LS__LIST(struct ls__loss) losses; /* the oldest first */
    bool losses_told;                 /* the property has been set at some time */
    /* property ls__detail of variable 1: told to those who may see it, and not stored where all can read it (H100) */
    struct ls_buf detail;
};

/** Put one more item at the end of a list. @return false without memory */
#define LS__PUSH(list, ...)       LS_PUSH((list).items, (list).count, (list).room, __VA_ARGS__)
/** The same for a list of the backend `b`, which the session's budget counts. */
#define LS__PUSH_IN(b, list, ...) LS_PUSH_IN((b)->budget, 0, (list).items, (list).count, (list).room, __VA_ARGS__)

/* --- space.c --- */
/** An empty space, the last of the backend's list. @return owned by the backend, ls__space_free(); NULL without memory
 * */
struct ls__space *ls__space_new(struct ls_backend *b, unsigned number);
/** Frees a space whose variables and watches have been taken down (ls__space_end). What it is owed is dropped. */
void ls__space_free(struct ls_backend *b, struct ls__space *space);
/** The variable that a client means by `id`, NULL if it does not exist for it (P115). */
struct ls_var *ls__space_find(struct ls_backend *b, struct ls__space *space, int64_t id);
/** The id under which a space knows a variable, 0 if it does not. */
int64_t ls__space_id(const struct ls__space *space, const struct ls_var *var);
/** How often the space watches the variable (P70). */
size_t ls__space_tally(const struct ls__space *space, const struct ls_var *var);
/** Add `delta` to its tally and to the variable's watchers (P70, P71, P74). @return 0, or LS_ENOMEM: nothing has
 * changed */
int ls__space_watch(struct ls_backend *b, struct ls__space *space, struct ls_var *var, int delta);
/** An internal id for a client's variable; entered in `remap` if it differs. `again`: the client has just had another
 * variable of that id, and what this batch has noted of that one by its internal id must not be taken for the new one's
 * (P97). 0 without memory. */
int64_t ls__space_assign(struct ls_backend *b, struct ls__space *space, int64_t id, bool again);
/** Forget a variable that goes. */
void ls__space_forget(struct ls__space *space, const struct ls_var *var);

/** The write `seq` of a variable has been handled and is owed an answer (R8). False without memory. */
bool ls__seq_note(struct ls_backend *b, struct ls__space *space, int64_t id, int64_t seq);
/** The number that goes with the variable's value, 0 = none; the answer is given by it. */
int64_t ls__seq_tell(struct ls__space *space, int64_t id);
/** Is an answer owed still? */
bool ls__seq_owed(const struct ls__space *space, int64_t id);
/** What the variable is known by has changed (H69); `to` 0 = it is gone. */
void ls__seq_move(struct ls__space *space, int64_t from, int64_t to);

enum { LS__TOLD_NOT, LS__TOLD_READ, LS__TOLD_WRITE };
/** Which error of a variable the client has (P101, P103): one of these, and its ls__fault_hash in *hash (may be NULL).
 * */
int ls__told(const struct ls__space *space, int64_t id, uint64_t *hash);
/** The client has been told that error, or (LS__TOLD_NOT) that there is none. */
void ls__tell(struct ls__space *space, int64_t id, int kind, uint64_t hash);
/** A hash of kind and text whose two lowest bits are 0. */
uint64_t ls__fault_hash(const struct ls_fault *fault);

/** Frees a struct ls__held, as maps call it. NULL accepted. */
void ls__held_free(void *held);
/** Note a piece that was not sent. */
void ls__hold(struct ls_backend *b, struct ls__space *space, int64_t id, const char *name);
/** Remember what was sent last of the watched variables below `id`, before they fall silent (P95). */
void ls__hold_snapshot(struct ls_backend *b, int64_t id);
/** A value was sent in spite of the silence: what is held is measured against that. */
void ls__held_shown(struct ls__space *space, int64_t id, const char *json, size_t len);
/** Has `var` or an ancestor a non-empty `inactive` property (P92)? */
bool ls__is_inactive(struct ls_backend *b, const struct ls_var *var);

/** Object ids as they stand in `of` (R8), and back: those of a VM before a restart (H69) mean nothing in the new one,
 * so each but the first has a range of its own. 0 = no object, either way; an id of another VM becomes -1. */
int64_t ls__of_told(const struct ls_backend *b, int64_t object);
/** The object that a client means by `of`. */
int64_t ls__of_meant(const struct ls_backend *b, int64_t of);

/* --- owe.c --- */
/** A property of variable 1 that the tracker does not have (H100). */
extern const char ls__detail[];
/** Is this property it? `name` may be NULL. */
bool ls__is_detail(int64_t id, const char *name);
/** The start of each item that may end in ls_backend_after_batch. */
void ls__begin(struct ls_backend *b);
/** Queue the error of a client's variable, 0 = of none (P98). */
void ls__send_error(struct ls_conn *conn, int64_t id, const struct ls_fault *fault);
/** Queue the notice that a client's variable is no more. */
void ls__send_destroy(struct ls_conn *conn, int64_t id);
/** The client is to be told at the end of the batch what is wrong with the variable. */
void ls__due_error(struct ls_backend *b, struct ls__space *space, int64_t id);
/** The client is owed the value, or with `props` everything, at the end of the batch. Without memory its connection is
 * lost. */
void ls__due(struct ls_backend *b, struct ls__space *space, int64_t id, bool props);
/** Updates could not be made for want of memory: every connection is told to reload, instead of what waits. */
void ls__lose_all(struct ls_backend *b);
/** A copy of a name that lives until the end of the batch. NULL without memory, and all connections are lost. */
const char *ls__keep_name(struct ls_backend *b, const char *name);
/** This space is to be told, at the end of the batch, the value (name NULL) or a property of a variable. `name` must
 * live until then. Without memory all connections are lost. */
void ls__owe(struct ls_backend *b, struct ls__space *space, int64_t id, enum ls_priority class_, const char *name);
/** The same for a name that is copied. */
void ls__owe_named(struct ls_backend *b, struct ls__space *space, int64_t id, enum ls_priority class_,
                   const char *name);

/* --- lifetime.c --- */
/** A variable of that type has appeared in this batch: new files of it are looked for (P106), built-in views count
 * (F132). */
void ls__note_type(struct ls_backend *b, const char *type);
/** Note the `type` and `inactive` that a variable was created with. */
void ls__note_created(struct ls_backend *b, struct ls_var *var);
/** Destroy a variable with its subtree; of the notices `requester` (may be NULL) gets all, others those of what they
 * watched (P96). */
void ls__remove_variable(struct ls_backend *b, struct ls__engine *engine, int64_t id, struct ls_conn *requester);

/* --- problems.c --- */
/** Note a problem with a view file; NULL text clears. Of one key there is one at a time. @param stamp  of the text that
 * a page has reported, or 0 */
void ls__problem_set(struct ls_backend *b, const char *key, const char *text, uint64_t stamp);
/** Properties `reload-error` and `reload-detail` of variable 1 say what has failed and not been put right (H99, H100).
 * */
void ls__set_reload_error(struct ls_backend *b);
/** A page has reported `KEY: what is wrong` with a view file (F131, H78): it stands until the file's text is another
 * one. */
void ls__page_problem(struct ls_backend *b, const char *description);
/** Reports about texts that are used no more go. */
void ls__drop_old_problems(struct ls_backend *b);
/** Property `reload-losses` of variable 1 says what the files' last executions have replaced of what the run had made
 * (H49): a JSON array of at most about 4 KiB, the oldest first. Reports nothing that a page has to mend.
 * @param report  of a save that has run; NULL = all is new, and nothing is lost */
void ls__set_reload_losses(struct ls_backend *b, const struct ls_reload_report *report);
/** Frees what has been reported, at the backend's end. */
void ls__problems_free(struct ls_backend *b);
/** Which app does a file belong to? @return length of "apps/NAME" at the start of *rel, its path below the root; 0 if
 * none */
size_t ls__app_of(const struct ls_backend *b, const char *real_path, const char **rel);
/** For ls_viewdefs_due: is the file one of an app of which no module is loaded any more (L52a)? `ctx`: the backend. */
bool ls__view_withheld(void *ctx, const char *real_path);

/* --- grace.c --- */
/** The space's connection has been lost: it waits for the next one (P114). */
void ls__grace_wait(struct ls_backend *b, struct ls__space *space);
/** A connection is new: does it have something to decide about (P114)? */
void ls__grace_connect(struct ls_backend *b, struct ls_conn *conn);
/** The first frame decides (P114). */
void ls__grace_frame(struct ls_backend *b, struct ls_conn *conn, const struct ls_batch *batch);
/** The timer has fired: decide for those that have said nothing, end what has waited long enough. @return has a
 * connection got something to send? */
bool ls__grace_due(struct ls_backend *b);
/** A connection says that it is the tab `tab`: the variables of the one that said so before end with it (P114, R8).
 * @return 0, or LS_ENOMEM */
int ls__tab_begins(struct ls_backend *b, struct ls_conn *conn, const char *tab);
/** Collect Lua's garbage if the heap has grown by more than `grown` bytes since that was done last. */
void ls__collect(struct ls_backend *b, size_t grown);
/** Take down a space: watches, variables (P111). */
void ls__space_end(struct ls_backend *b, struct ls__space *space);

/* --- engine.c --- */
/** A VM with its tracker, `main.lua` run (L3, P30). @return owned, ls__engine_close(); NULL and err: it has failed, and
 * nothing is left */
struct ls__engine *ls__engine_open(struct ls_backend *b, struct ls_err *err);
/** The tracker goes first, since its slots are the VM's: dispose hooks that run later find none. NULL accepted. */
void ls__engine_close(struct ls__engine *engine);
/** Begin a batch and run a timer by its outer handle. @return false: it was one of an engine that is gone */
bool ls__engine_timer(struct ls_backend *b, uint64_t handle);

/* --- handler.c --- */
/** The messages of a batch in their order (P51, P52): what fails is answered with an error. */
void ls__handle(struct ls_backend *b, struct ls_conn *conn, struct ls_batch *batch);
/** Variable 1 may exist now: those who wait for it watch it (P31, P71). */
void ls__app_arrives(struct ls_backend *b);

/* --- compose.c --- */
/** The end of a batch: detection, then view definitions and updates by priority go into the connections' queues (P51,
 * P59, P104). */
void ls__compose(struct ls_backend *b);
/** The same while nobody is there: changes wait in the tracker, and what a restart owes to lost connections waits with
 * them (P54, P114). */
void ls__compose_nothing(struct ls_backend *b);

#endif
