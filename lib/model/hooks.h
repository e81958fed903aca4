/* What the model calls in the rooms above it, through tables that these fill in when the session is opened. Owner thread: the session's. */
#ifndef LS_MODEL_HOOKS_H
#define LS_MODEL_HOOKS_H

#include "tracker/resolver.h"
#include "vm/vm_internal.h"

/* What the loader tells the reload transaction: without these calls there would be nothing to compare the next version of a file with (H49), no retry
 * of what failed (H36), and a roll-back would take away what a nested first load has done (H59). The loader calls them around the protected call of a first load,
 * in the order begin, then done or failed. Safe functions; what they push they pop. */
struct ls_load_hooks {
    /** A chunk is about to run as a first load; it lies on the stack at `chunk` as a function. @return 0 or a code: then nothing has begun */
    int (*begin)(struct ls_session *session, const char *key, int chunk, const char *text, size_t len, struct ls_err *err);
    /** The innermost load has succeeded; its value (nil is true already) is on top of session->L and stays there. [-0, +0, -] */
    void (*done)(struct ls_session *session, const char *key, const char *text, size_t len);
    /** The innermost load has failed, also when it began and never ran. */
    void (*failed)(struct ls_session *session);
    /** A first load of `name` is given up (H36): remember it, so that a change of its file tries it again. Before the module's record goes.
     * @param named    code requires it by this name, so the retry adds it
     * @param key      NULL = no file was found
     * @param paths    request paths, absolute
     * @param text     content, NULL if there is none
     * @param message  the error */
    void (*wanted)(struct ls_session *session, const char *name, bool named, const char *key, const struct ls_names *paths, struct ls_bytes *text,
                   const char *message);
    /** It has been loaded after all: forget that it was wanted. `name` may be NULL. */
    void (*unwanted)(struct ls_session *session, const char *key, const char *name);
    /** A standard variable is about to be named, or its name taken away: what it stood for is put back if the running chunk fails (H59). */
    void (*naming)(struct ls_session *session, const char *name);
};

/* The Lua values that variables remember, each in a slot of the resolver. */
struct ls_slot_hooks {
    /** Push the value that a slot names; slot 0 is nil. [-0, +1, -] */
    void (*push)(struct ls_session *session, lua_State *L, ls_slot slot);
    /** Pop the value into a new slot; nil gives 0. Owned: hand it to the tracker, or free it. [-1, +0, m] */
    LS_RAISES ls_slot (*take)(struct ls_session *session, lua_State *L);
    /** 0 is accepted. [-0, +0, -] */
    void (*free)(struct ls_session *session, ls_slot slot);
    /** Ids of the variables whose value is the object at `index` (T104, T105), at most `max`, in order of creation; looked up by object id.
     * Safe. @return how many there are. [-0, +0, -] */
    size_t (*variables)(struct ls_session *session, lua_State *L, int index, int64_t *ids, size_t max);
};

#endif
