/* The resolver seen by the Lua rooms: slots, that is Lua values that variables remember, and the object registry.
 * Owner thread: the session's. */
#ifndef LS_RESOLVER_SLOTS_H
#define LS_RESOLVER_SLOTS_H

#include "tracker/resolver.h"
#include "vm/vm_internal.h"

/** Make the resolver of a session, and fill in what the model calls. @return 0; LS_ENOMEM */
int ls__resolver_new(struct ls_session *session, struct ls_err *err);
/** Release it; slots are not to be had any more. */
void ls__resolver_free(struct ls_session *session);
/** Give back the room of many slots, names and ids that are in use no more; nothing happens while the resolver's window
 * is open.
 * @return did tables become garbage? [-0, +0, -] */
bool ls__resolver_shrink(struct ls_session *session);

/** The file has been run anew: what was ended with a function of it on the stack is called again by detection (R17).
 * [-0, +0, -] */
void ls__resolver_saved(struct ls_session *session, const char *key);

/** Push the value that a slot names; slot 0 is nil. [-0, +1, -] */
void ls__slot_push(struct ls_session *session, lua_State *L, ls_slot slot);
/** Pop the value into a new slot; nil gives 0. Owned: hand it to the tracker, or ls__slot_free. [-1, +0, m] */
LS_RAISES ls_slot ls__slot_take(struct ls_session *session, lua_State *L);
/** 0 is accepted. [-0, +0, -] */
void ls__slot_free(struct ls_session *session, ls_slot slot);

/** The object id of the value at `index` (T39a), 0 if it has none. [-0, +0, -] */
int64_t ls__object_id(struct ls_session *session, lua_State *L, int index);
/** The same, giving it an id if it has none (T38). Primitives have none: 0. [-0, +0, m] */
LS_RAISES int64_t ls__object_register(struct ls_session *session, lua_State *L, int index);
/** Push the object of that id; nil and false if it is unknown or collected. [-0, +1, -] */
bool ls__object_push(struct ls_session *session, lua_State *L, int64_t id);
/** Ids of the variables whose value is the object at `index` (T104, T105), at most `max`, in order of creation; looked
 * up by object id. Safe. @return how many there are. [-0, +0, -] */
size_t ls__object_variables(struct ls_session *session, lua_State *L, int index, int64_t *ids, size_t max);
/** Push the type of the value at `index` (T93), or nil. [-0, +1, e] */
LS_RAISES void ls__type_push(struct ls_session *session, lua_State *L, int index);
/** Append the Value JSON of the value at `index` (T31–T34), objects registered on the way. [-0, +0, m] */
LS_RAISES void ls__value_json(struct ls_session *session, lua_State *L, int index, struct ls_buf *out);
/** Elements of the array at the absolute index `at`: its length as Lua tells it, or up to its first hole where that is
 * longer than the session's memory. [-0, +0, -] */
lua_Integer ls__array_length(lua_State *L, int at);
/** Is the table at `index` shown as an array (T32, T93)? [-0, +0, e] */
LS_RAISES bool ls__is_array(struct ls_session *session, lua_State *L, int index);

/** `lua.ViewList`, `lua.ViewListItem`, NULL for anything else. Static. [-0, +0, -] */
const char *ls__native_type(struct ls_session *session, lua_State *L, int index);

#endif
