/* What a site's code works with: the part of a session that the model keeps, what it calls in the rooms above it, and
 * what its files share that is no matter of modules (module.h) or prototypes (prototype.h). Owner thread: the
 * session's. */
#ifndef LS_MODEL_MODEL_INTERNAL_H
#define LS_MODEL_MODEL_INTERNAL_H

#include "base/array.h"
#include "model/model.h"
#include "tracker/resolver.h"
#include "vm/vm_internal.h"

struct ls_proto;
struct ls_module;
struct ls_failure;
struct ls_mutation;
struct ls_aside;

/* One chunk that is running now (L47). Kept as indices and names, never as a pointer to a record across a call into
 * Lua: the record may be unloaded meanwhile. */
struct ls_running {
    char *key;             /* owned: the current module */
    uint64_t serial;       /* ls_module.serial of its record, to notice that it was unloaded (L57) */
    uint64_t hash;         /* ls_hash of the text that runs */
    bool reloading_before; /* value of the flag to put back (L44) */
};

struct ls_timer {
    uint64_t handle;     /* 1, 2, 3 … (L107) */
    int fn;              /* ref */
    int64_t interval_ns; /* 0 = runs once */
    int64_t due_ns;      /* monotonic */
    int64_t variable;    /* being computed when it was set (T97a, L114), 0 = none */
    uint64_t module;     /* serial of the module at whose load time it was set, 0 = none (L46) */
    uint32_t execution;  /* of that module (H57) */
};

struct ls_watch {
    uint64_t handle;    /* 0 = ended while callbacks run, taken off afterwards */
    int64_t id;         /* variable */
    int name;           /* ref: property name; LUA_NOREF = every change (watchVariable) */
    int fn;             /* ref */
    uint64_t module;    /* serial of the module at whose load time it was made, 0 = none */
    uint32_t execution; /* of that module (H57) */
};

struct ls_model {
    /* Registry references. */
    int ref_empty;      /* EMPTY (L9) */
    int ref_loaded;     /* package.loaded = loadedModules (L37) */
    int ref_proto_ids;  /* name → id and prototype table → id of registered prototypes */
    int ref_instances;  /* instanceRegistry: weak keys, instance → id << 40 | sequence (L91–L93) */
    int ref_presenters; /* presenterTypes: name → table (L121) */
    int ref_wrappers;   /* wrapperRegistry: name → table (L122) */
    int ref_app;        /* appObject, LUA_NOREF before createAppVariable (L65) */
    int ref_variables;  /* id → variable object (L69) */
    /* name of a session method → function it was seen to be replaced by, name .. "#" → how often (LX36); LUA_NOREF
     * before */
    int ref_replaced;

    /* Prototypes, instances, mutation (prototype.h). */
    struct ls_proto **protos; /* prototypeRegistry, by id - 1; NULL = removed */
    uint32_t proto_count, proto_cap;
    uint64_t instance_seq;
    struct ls_mutation *queue; /* mutationQueue */
    size_t queue_count, queue_cap;
    bool mutating;
    struct ls_aside *aside; /* fields that a declaration has lost, with the values that instances had (R18) */
    size_t aside_count, aside_cap, aside_hint;
    uint64_t mutation_number; /* last one given to an element of the queue */
    uint64_t migrated;        /* instances visited by mutation passes so far, for reports (H97) */

    /* The undo log (undo.h). */
    int ref_undo;         /* LUA_NOREF while there are no steps */
    unsigned undo_frames; /* loads that are open: 0 = nothing is noted */
    bool undoing;         /* a load is taken back: nothing either */

    /* Modules (module.h). */
    struct ls_module **modules; /* in the order of first load */
    size_t module_count, module_cap;
    uint64_t module_serial;
    struct ls_running *running; /* the stack of running chunks; the last one's module is current */
    size_t running_count, running_cap;
    bool reloading;              /* what session.reloading says */
    struct ls_failure *failures; /* in order of appearance */
    size_t failure_count, failure_cap;
    struct ls_names app_dirs; /* apps/NAME/ below which a module has been loaded at some time (L52a) */

    /* Timers and watches. */
    struct ls_timer *timers; /* array, handles ascending */
    size_t timer_count, timer_cap;
    uint64_t timer_handle;    /* last handle given out */
    struct ls_watch *watches; /* array, registration order */
    size_t watch_count, watch_cap;
    uint64_t watch_handle;
    unsigned notifying; /* callbacks running: ended watches are kept as holes meanwhile */

    /* Variables. */
    struct ls_tracker *tracker;            /* borrowed; NULL until bound */
    const struct ls_variable_store *store; /* borrowed; NULL until bound */
    const struct ls_load_hooks *loads;     /* of the rooms above, see below */
    const struct ls_slot_hooks *slots;
    const luaL_Reg *functions; /* of the session table, as they were made */
    int64_t app_variable_id;   /* appVariableID: 0 or 1 */
    bool app_counted;          /* id 1 has been taken from the counter (T8) */
    uint64_t version;          /* newVersion (L119) */
};

/* What the loader tells the reload transaction: without these calls there would be nothing to compare the next version
 * of a file with (H49), and a roll-back would take away what a nested first load has
 * done (H59). The loader calls them around the protected call of a first load, in the order begin, done where it has
 * succeeded, ended. Safe functions; what they push they pop. */
struct ls_load_hooks {
    /** A chunk is about to run as a first load; it lies on the stack at `chunk` as a function. @return 0 or a code:
     * then nothing has begun */
    int (*begin)(struct ls_session *session, const char *key, const char *text, size_t len, struct ls_err *err);
    /** The innermost load has succeeded; its value (nil is true already) is on top of session->vm.L and stays there.
     * [-0, +0, -] */
    void (*done)(struct ls_session *session, const char *key, const char *text, size_t len);
    /** The innermost load has ended: its value is in package.loaded, or it has unloaded itself; or it has failed, also
     * when it began and never ran, and what it has declared and replaced is taken back (L43). */
    void (*ended)(struct ls_session *session, bool succeeded);
    /** The mutation queue has taken the values of a field that is no longer declared out of that many instances and set
     * them aside, or has put them back (R18).
     * @param serial  of the module that has declared it so, 0 = none */
    void (*set_aside)(struct ls_session *session, uint64_t serial, const char *field, unsigned instances,
                      bool restored);
};

/* The Lua values that variables remember, each in a slot of the resolver. */
struct ls_slot_hooks {
    /** Push the value that a slot names; slot 0 is nil. [-0, +1, -] */
    void (*push)(struct ls_session *session, lua_State *L, ls_slot slot);
    /** Pop the value into a new slot; nil gives 0. Owned: hand it to the tracker, or free it. [-1, +0, m] */
    LS_RAISES ls_slot (*take)(struct ls_session *session, lua_State *L);
    /** 0 is accepted. [-0, +0, -] */
    void (*free)(struct ls_session *session, ls_slot slot);
    /** Ids of the variables whose value is the object at `index` (T104, T105), at most `max`, in order of creation;
     * looked up by object id. Safe. @return how many there are. [-0, +0, -] */
    size_t (*variables)(struct ls_session *session, lua_State *L, int index, int64_t *ids, size_t max);
};

/* --- model.c --- */

/** Make the session's model. @return 0; LS_ENOMEM */
int ls__model_new(struct ls_session *session, struct ls_err *err);
/** The session ends: timers and watches go, dispose hooks are called with false (H68), then all records are released.
 * After it no function of the site that needs more than the VM works. */
void ls__model_close(struct ls_session *session);
/** Free it; the Lua state is closed. */
void ls__model_free(struct ls_session *session);

/* --- timers.c (section 18) --- */

/** Cancel the load-time timers of a module, all executions (execution 0) or one. @return how many */
unsigned ls__timers_drop_module(struct ls_session *session, uint64_t module, uint32_t execution);
/** How many of a module's load-time timers of earlier executions are pending; `intervals` counts intervals only (H57).
 * */
unsigned ls__timers_of_module(const struct ls_session *session, uint64_t module, uint32_t before_execution,
                              bool intervals);
/** Cancel all timers: the session ends. */
void ls__timers_release(struct ls_session *session);

/* --- watches.c (section 12) --- */

/** End one watch; an unknown handle is nothing. */
void ls__watch_end(struct ls_session *session, uint64_t handle);
/** End the watches that a module has made at load time, in that execution or (0) in any. @return how many */
unsigned ls__watches_drop_module(struct ls_session *session, uint64_t module, uint32_t execution);
/** How many watches a module's executions before that one have made and not ended (H57). */
unsigned ls__watches_of_module(const struct ls_session *session, uint64_t module, uint32_t before_execution);
/** End all: the session ends. */
void ls__watches_release(struct ls_session *session);

/* --- types.c (L129, L130, T67, T74) --- */

/** Push the table that `name` stands for: registered wrappers (with `wrapper` only), prototypes, presenters, the
 * global of that name, the global reached by splitting at dots. Built-in native types are the resolver's and come
 * before. Nothing found: nothing pushed, false. *presenter (may be NULL) tells whether it came from registerPresenter,
 * and so may lack `new`. Safe: looks at raw fields only. [-0, +(1|0), -] */
bool ls__find_type(struct ls_session *session, const char *name, size_t len, bool wrapper, bool *presenter);
/** Make an object (L130): the type table is on top of the stack with its argument above it; both are popped, the object
 * is pushed. `item` sets viewListItem for a presenter without `new`. @return 0; LS_ENOTFOUND: no `new`, or it gave no
 * table; or as ls__lcall [-2, +(1|0), -] */
int ls__construct(struct ls_session *session, bool presenter, bool item, struct ls_err *err);

/** Take the presenter types and wrappers of a module out of their registries (L52). [-0, +0, m] */
LS_RAISES void ls__module_drop_types(struct ls_session *session, lua_State *L, struct ls_module *module);

/* --- variables.c, varobject.c (sections 11, 12) --- */

/** Push the variable object for an id (L69, T72): the same one while the variable lives; nil for an unknown id. Every
 * method works with `.` and with `:`. [-0, +1, m] */
LS_RAISES void ls__variable_object_push(struct ls_session *session, lua_State *L, int64_t id);

#endif
