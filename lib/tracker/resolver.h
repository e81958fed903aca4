/* How the tracker reaches values: the table of functions that session/ fills in with Lua, and tests with a fake.
 *
 * The tracker never holds a value. It holds a `struct ls_value`: the slot under which the resolver keeps the value seen
 * last, and the little that detection asks about it. The resolver alone writes into it.
 *
 * All calls come from the owner thread. None of them may leave by a jump: errors come back as faults (T7). Those marked
 * RUNS may run Lua code, which may call the tracker again; the tracker keeps variables alive until the outermost such
 * call is over (T93a), so the `struct ls_value` that was passed stays valid, but its content may have changed
 * meanwhile. */
#ifndef LS_TRACKER_RESOLVER_H
#define LS_TRACKER_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "tracker/fault.h"

typedef uint32_t ls_slot; /* names a value held by the resolver; 0 = null/none */

struct ls_path;

enum ls_shape {
    LS_SHAPE_NULL,   /* Value JSON null */
    LS_SHAPE_PLAIN,  /* boolean, number, string */
    LS_SHAPE_ARRAY,  /* array of primitives and references (T32, T34) */
    LS_SHAPE_OBJECT, /* reference {"obj":object} */
};

enum {
    LS_VALUE_NOT_FINITE = 1, /* NaN or an infinity is, or is in, the value: JSON null and an error (T31) */
    /* of an array that has changed: nothing of what it held before has left its order, so all of it is still there */
    LS_VALUE_GREW = 2,
};

/* What a variable remembers of a value seen. All zero = null. */
struct ls_value {
    ls_slot slot;  /* owned by the variable, given back by drop */
    uint8_t shape; /* enum ls_shape */
    uint8_t flags;
    uint16_t nil_step; /* 1 + the step before which a null stood (T51) at the last check, 0 = none */
    int64_t object;    /* LS_SHAPE_OBJECT: the object id (T38) */
    const char *type;  /* LS_SHAPE_OBJECT: its type (T93), NULL = none. Valid while the value is held */
};

/* Results of check, bits */
enum {
    LS_CHECK_CHANGED = 1, /* the Value JSON differs from the one before */
    LS_CHECK_TYPE = 2,    /* the type of the object differs (T92) */
    /* the value holds, and `fault` says what is wrong all the same: null on the way, not finite */
    LS_CHECK_FAULT = 4,
    LS_CHECK_FAULT_SAME = 8, /* as FAULT, with the same text as at the last check: not written again */
    LS_CHECK_RAN = 16,       /* following the path has run Lua code */
    /* it was much to compare: look at `stopped`. Where that is so, what was seen need not be all that has changed */
    LS_CHECK_LONG = 64,
    LS_CHECK_MOVED = 32, /* the Value JSON is the same, but it stands for another object now: that of a key (R4) */
};

/* A wrapper that is wanted for a variable (T66, T67). Borrowed during the call. */
struct ls_wrap {
    int64_t id;            /* the variable */
    const char *type;      /* value of its `wrapper` property */
    const char *item_type; /* value of its `itemWrapper` property, NULL = none */
    const struct ls_value *value;
    bool keyed;      /* it has a `keyed` property: a list's items follow their elements (R3) */
    const char *key; /* and `key`: the field by which elements are told apart (R4), NULL = they themselves */
};

struct ls_resolver_ops {
    /** Bracket many calls that follow each other, so that they share what the resolver has set up. May be NULL.
     * @return 1: `leave` is due at the end; 0: nothing to undo (a bracket is open already); -1: no memory */
    int (*enter)(void *ctx);
    void (*leave)(void *ctx);
    /** Between these two: is the time for what goes on over, or is it to be stopped (L5)? Tells the log. NULL: never.
     * */
    bool (*stopped)(void *ctx);
    /** A path is new: give its steps keys. @return 0 or -1 and fault. `forget` is its end. Both may be NULL. */
    int (*prepare)(void *ctx, struct ls_path *path, struct ls_fault *fault);
    void (*forget)(void *ctx, struct ls_path *path);
    /** RUNS. Read: start at slot `from`, follow all steps (`path` NULL = none), compare with `value` and bring it up to
     * date (T45–T54, T62, T82). `from` may be value->slot itself.
     * @return LS_CHECK_… bits, or -1 and fault: then *value is as it was */
    int (*check)(void *ctx, ls_slot from, const struct ls_path *path, struct ls_value *value, struct ls_fault *fault);
    /** RUNS. Let `value` hold what `slot` names (T37, T59): the old slot is dropped. The slot is taken, also on
     * failure.
     * @return as check */
    int (*adopt)(void *ctx, ls_slot slot, struct ls_value *value, struct ls_fault *fault);
    /** RUNS. As check, and *object becomes the id of what the last step is taken on, 0 if that is no object; unchanged
     * where it is not reached (R8). */
    int (*check_in)(void *ctx, ls_slot from, const struct ls_path *path, struct ls_value *value, int64_t *object,
                    struct ls_fault *fault);
    /** RUNS. That id without the last step. @return 0, or -1 and fault: the way there has failed */
    int (*place)(void *ctx, ls_slot from, const struct ls_path *path, int64_t *object, struct ls_fault *fault);
    void (*drop)(void *ctx, struct ls_value *value);
    /** A second slot for the same value. 0 for 0. @return 0 or -1 and fault */
    int (*copy)(void *ctx, ls_slot slot, ls_slot *copy, struct ls_fault *fault);
    void (*free_slot)(void *ctx, ls_slot slot);
    /** JSON text to a value (T37). @return 0 and *slot (owned), or -1 and fault (BAD_REFERENCE, BAD_MESSAGE, INTERNAL)
     * */
    int (*decode)(void *ctx, const char *json, size_t len, ls_slot *slot, struct ls_fault *fault);
    /** RUNS. Follow all steps but the last, act with the last (T57, T58). `access` is an enum ls_access. The slot stays
     * the caller's. `into` not 0: act on the object of that id instead (R8; GONE). */
    int (*store)(void *ctx, ls_slot from, const struct ls_path *path, int64_t into, int access, ls_slot value,
                 struct ls_fault *fault);
    /** RUNS. Build a wrapper (*wrapper is empty), or keep and synchronise the one there (T67, T68, T78).
     * @return 0 with wrapper->slot set, or 0 with no wrapper where none is due (T67a); -1 and fault: a new one was not
     * made, a kept one stays */
    int (*wrap)(void *ctx, const struct ls_wrap *want, struct ls_value *wrapper, struct ls_fault *fault);
    /** RUNS. T70: call its `destroy`, let go. */
    void (*unwrap)(void *ctx, int64_t id, struct ls_value *wrapper);
    /** RUNS. T74: an object for the `create` property. @return 0, *made = 0 if there is no such factory or it failed
     * (fault says why) */
    int (*make)(void *ctx, const char *type, ls_slot *made, struct ls_fault *fault);
    /** RUNS. R4: the elements of the array that `value` of variable `id` holds get ids by what their field `key` holds.
     * The variable's keys keep their ids also while its value is no array. NULL: elements go by themselves again, and
     * nothing is remembered.
     * @return 0 the ids are those of before, 1 they are not, -1 without memory. fault->kind is set too where keys are
     * missing or equal: these elements have ids by their place. NULL: none have keys */
    int (*rekey)(void *ctx, int64_t id, const struct ls_value *value, const char *key, struct ls_fault *fault);
    /** R2: is the object with that id an element of the list in slot `list`, as that was seen last? NULL: nothing is.
     * @return 1, 0; -1 without memory */
    int (*element)(void *ctx, ls_slot list, int64_t object);
    /** R2: from now on the slot's value lives only as long as the object does: the slot keeps neither alive. Looking at
     * the slot undoes it. */
    void (*loosen)(void *ctx, int64_t object, ls_slot slot);
    /** RUNS. R2: does the object live? `collect`: throw away first what nothing holds. */
    bool (*alive)(void *ctx, int64_t object, bool collect);
    /** Append the Value JSON. @return 0, LS_ENOMEM; LS_EINTERRUPTED only between enter and leave: `stopped` has become
     * true in its middle */
    int (*json)(void *ctx, const struct ls_value *value, struct ls_buf *out);
};

struct ls_resolver {
    const struct ls_resolver_ops *ops;
    void *ctx;
    /* Moves whenever code may have run that changes what paths lead to. Between two equal readings a value that was
     * read, without such code running on the way, is still the same (TX32). Borrowed; NULL = values may change at any
     * time. */
    const uint64_t *epoch;
};

#endif
