/* The undo log: what has been changed in a session since loads of the site's code began, step by step, so that a load
 * that fails can be taken back (L43, H59).
 *
 * Loads nest, and each is a frame of the log: it begins at a mark and ends by a commit or a roll-back. Whoever changes
 * something notes the step first, so that a raise in between leaves a step that does nothing; while nothing is loaded
 * nothing is noted. A roll-back takes the steps of the frame back, last first. What a nested load has done that
 * succeeded counts as having been so before: its steps are dropped at its commit, and so are the earlier ones of the
 * loads around it that concern the same things, for they would put back what was there before it; a prototype's are
 * made anew.
 *
 * The log is a Lua array, its steps arrays too: {kind, key, what was there, …}. A step whose first element is a
 * function is {function, index of an upvalue, value}; one whose first element is a table is {table, key, raw value},
 * the key LS_UNDO_METATABLE standing for the metatable.
 * Owner thread: the session's. */
#ifndef LS_MODEL_UNDO_H
#define LS_MODEL_UNDO_H

#include "base/buf.h"
#include "vm/vm_internal.h"

/* As a light userdata, the key of a table's metatable in a step. */
#define LS_UNDO_METATABLE ((void *)&ls__undo_metatable_key)
extern const char ls__undo_metatable_key;

/** Begin a frame; uses one slot of the stack. @return its mark, for the function that ends it. [-0, +0, -] */
size_t ls__undo_begin(struct ls_session *session);
/** End the innermost frame: its load has succeeded. Without memory for the steps around it, a roll-back of those takes
 * more back than it should; that is reported. Safe. [-0, +0, -] */
void ls__undo_commit(struct ls_session *session, size_t mark);
/** End the innermost frame: its load has failed. Variables go first, and site code that is told of their end may load
 * files; then finalizers wait until all is done. Memory is not limited meanwhile. Safe. [-0, +0, -]
 * @param all  everything is put back (H59); else prototypes, presenter types, wrappers, mutations and an app variable
 *             that was made (L43), and the other steps are left to the frame around it */
void ls__undo_roll_back(struct ls_session *session, size_t mark, bool all);

/** Append what has become of declared fields since the mark, for the report: `Ship +1 -1 fields` (H97). [-0, +0, m] */
LS_RAISES void ls__undo_fields(struct ls_session *session, lua_State *L, size_t mark, struct ls_buf *out);

/* --- notes: before the change, and nothing while nothing is loaded --- */

/** The snapshot on top is put back: the first step of its frame. At the commit of a nested frame it takes over the
 * changes that one's snapshot shows; with `prototypes` also the tables of prototypes that were declared there.
 * [-1, +0, m] */
LS_RAISES void ls__undo_snapshot(struct ls_session *session, lua_State *L, bool prototypes);
/** A prototype is about to be declared again or removed. [-0, +0, m] */
LS_RAISES void ls__undo_proto(struct ls_session *session, lua_State *L, uint32_t id);
/** A prototype or (`variable`) a variable is about to be made: pushes what ls__undo_made takes. [-0, +1, m] */
LS_RAISES void ls__undo_making(struct ls_session *session, lua_State *L, bool variable);
/** It has been made, under this id. [-1, +0, -] */
void ls__undo_made(lua_State *L, int64_t id);
/** The presenter type or wrapper whose name is at `name` is about to be registered. [-0, +0, m] */
LS_RAISES void ls__undo_type(struct ls_session *session, lua_State *L, int name, bool wrapper);
/** The mutation of that number is about to be queued, or its table of removed fields, at index `removed`, to be
 * changed; 0 = it is new. [-0, +0, m] */
LS_RAISES void ls__undo_mutation(struct ls_session *session, lua_State *L, uint64_t number, int removed);
/** The app object is about to be set, and its variable made where there is none. [-0, +0, m] */
LS_RAISES void ls__undo_app(struct ls_session *session, lua_State *L);
/** The object on top takes the place of the app object; what stood there before is in the log, or not to come back.
 * [-1, +0, m] */
LS_RAISES void ls__app_replace(struct ls_session *session, lua_State *L);
/** A standard variable is about to be named, or its name taken away. [-0, +0, m] */
LS_RAISES void ls__undo_name(struct ls_session *session, lua_State *L, const char *name);
/** table[value at `key`] is about to be set raw; the key may be the light userdata LS_UNDO_METATABLE. [-0, +0, m] */
LS_RAISES void ls__undo_field(struct ls_session *session, lua_State *L, int table, int key);
/** An upvalue of the function is about to be set. [-0, +0, m] */
LS_RAISES void ls__undo_upvalue(struct ls_session *session, lua_State *L, int function, int upvalue);

#endif
