/* Prototypes, their declared fields, tracked instances, and the mutation queue (lua-api.md sections 13 to 17).
 * Owner thread: the session's. */
#ifndef LS_MODEL_PROTOTYPE_H
#define LS_MODEL_PROTOTYPE_H

#include "model/model_internal.h"

/* One registered prototype (prototypeRegistry). Its id is its place in session->model->protos plus 1 and is never given
 * out again, so that whoever remembers an id can tell whether the prototype is still registered. */
struct ls_proto {
    char *name; /* owned; may hold any byte but NUL */
    uint32_t id;
    int table; /* ref: the prototype itself */
    /* ref: declared field → declared value, or EMPTY; never changed once made, replaced as a whole (L77, L88) */
    int record;
    int copies; /* ref: declared field → structural copy of its table default (L78); LUA_NOREF if there is none */
    struct ls_names owners; /* keys of the modules that have declared it (L50) */
    bool owners_warned;
    struct ls_names defaults_warned; /* fields whose shared table has changed and was warned about (L79) */
};

/* One element of the mutationQueue (L88). */
struct ls_mutation {
    uint32_t id;     /* of the prototype */
    uint64_t number; /* by which a roll-back finds it; 0 = it waits by L100 */
    uint64_t serial; /* of the module that queued it, 0 = none */
    int removed;     /* ref: removed field → the default that was declared for it */
    int retry;       /* ref: set of instances whose mutate failed (L100), LUA_NOREF where it is not for these alone */
    bool waiting;    /* kept for the next load that declares the prototype */
};

/* A field that the declaration of a prototype has lost, and what its instances held in it (R18). That a prototype is
 * registered is looked up when it matters, so a roll-back has nothing to put back here. */
struct ls_aside {
    uint32_t id;        /* of the prototype */
    char *field;        /* owned, counted in the budget */
    int values;         /* ref: weak keys, instance → value */
    uint64_t serial;    /* of the module whose declaration lost it, 0 = none */
    uint32_t execution; /* of that module then */
    unsigned fresh;     /* instances that have come since ls__aside_tell */
};

/** The registered prototype of that name, NULL if none. */
struct ls_proto *ls__proto_find(struct ls_session *session, const char *name);
/** The registered prototype of that id, NULL if none. */
struct ls_proto *ls__proto_at(struct ls_session *session, uint32_t id);
/** The prototype whose table or name is at `index`, NULL if that is none. [-0, +0, -] */
struct ls_proto *ls__proto_of(struct ls_session *session, lua_State *L, int index);

/** Is `name` in the record of declared fields? [-0, +0, -] */
bool ls__proto_declares(struct ls_session *session, lua_State *L, const struct ls_proto *proto, const char *name);
/** Forget all prototypes: the session ends. */
void ls__protos_release(struct ls_session *session);

/* --- protos.c: for those who make and remove them --- */

/** A struct in its place, references unset; `id` 0 = the next one. Raises without memory. [-0, +0, m] */
LS_RAISES struct ls_proto *ls__proto_add(struct ls_session *session, lua_State *L, const char *name, uint32_t id);
/** Map the value on top, a name or a prototype's table, to an id; 0 takes it out. [-1, +0, m] */
LS_RAISES void ls__proto_set_id(struct ls_session *session, lua_State *L, uint32_t id);
/** NULL is accepted. */
void ls__proto_free(struct ls_session *session, struct ls_proto *proto);

/* --- prototype.c --- */

/** Take a prototype out of the registry: L104 for one name. [-0, +0, m] */
LS_RAISES void ls__proto_remove(struct ls_session *session, lua_State *L, uint32_t id);

/* copies and comparison of table defaults */

/** Equality of declared values (L83): primitives by value, NaN equal to NaN, tables of which `copy_index` (0 = none) is
 * the structural copy. [-0, +0, m] */
LS_RAISES bool ls__declared_equal(lua_State *L, int old_index, int copy_index, int new_index);
/** Push a structural copy of the table at `index`, or nil beyond the limits of L78. [-0, +1, m] */
LS_RAISES void ls__copy_structure(lua_State *L, int index);

/* --- instances.c --- */

#define LS_INSTANCE_SEQ_BITS 40
/** Live instances of the prototypes in the set `ids` (array of ids), in order of their first create (L93). Pushes an
 * array. [-0, +1, m] */
LS_RAISES void ls__instances_push(struct ls_session *session, lua_State *L, const uint32_t *ids, size_t count);
/** How many instances of one prototype are alive. [-0, +0, -] */
size_t ls__instances_count(struct ls_session *session, uint32_t id);
/** Does a prototype that the instance at `index` inherits from declare the field now?
 * @param id  only that prototype counts; 0 = any. [-0, +0, -] */
bool ls__instance_declares(struct ls_session *session, lua_State *L, int index, uint32_t id, const char *field);

/* Values set aside (R18): called by the pass of the mutation queue only. */

/** The field is about to leave the instance at `instance`: keep its value if that is data, which functions, coroutines
 * and userdata are not. [-0, +0, m] */
LS_RAISES void ls__aside_keep(struct ls_session *session, lua_State *L, const struct ls_mutation *mutation,
                              int instance, const char *field);
/** Fields of the prototype that are declared again get their values back, in instances that have none now, and are
 * forgotten. [-0, +0, m] */
LS_RAISES void ls__aside_restore(struct ls_session *session, lua_State *L, const struct ls_mutation *mutation);
/** Tell how many values ls__aside_keep has taken since the last call. */
void ls__aside_tell(struct ls_session *session);
/** Forget what was set aside more than 20 executions of its file ago, or whose prototype or file is gone. */
void ls__aside_sweep(struct ls_session *session);
/** Forget all: the session ends. */
void ls__aside_release(struct ls_session *session);

/* --- mutation.c --- */

/** Append or merge (L88): the table of removed fields is on top of the stack and popped. [-1, +0, m] */
LS_RAISES void ls__mutation_queue(struct ls_session *session, lua_State *L, uint32_t id);
/** processMutationQueue (L95–L103). Errors of mutate are reported and kept (L100); never fails. Safe. [-0, +0, -] */
void ls__mutations_run(struct ls_session *session);
/** A module has been loaded that declares the prototype: its failed instances are tried again (L100). */
void ls__mutations_wake(struct ls_session *session, uint32_t id);
/** Drop the mutations of prototypes that are gone (L106). While something is loaded they stay, since a roll-back may
 * bring the prototypes back. */
void ls__mutations_sweep(struct ls_session *session);
/** Drop the mutation of that number, if it is still there: the chunk that queued it has failed (L102). */
void ls__mutation_drop(struct ls_session *session, uint64_t number);
/** Drop all mutations: the session ends. */
void ls__mutations_release(struct ls_session *session);

#endif
