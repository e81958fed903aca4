/* Variables as Lua code sees them (lua-api.md sections 11, 12). Owner thread: the session's. */
#ifndef LS_MODEL_VARIABLES_H
#define LS_MODEL_VARIABLES_H

#include "vm/vm_internal.h"

/** Push the variable object for an id (L69, T72): the same one while the variable lives; nil for an unknown id. Every method works with `.`
 * and with `:`. [-0, +1, m] */
LS_RAISES void ls__variable_object_push(struct ls_session *session, lua_State *L, int64_t id);
/** Put the app object back (roll-back of H59): the table or nil on top of the stack, popped. [-1, +0, m] */
LS_RAISES void ls__app_set(struct ls_session *session, lua_State *L);

/** The first load of a file has failed: an app object that the file has made goes with it, and its variable (L43). */
void ls__app_drop_module(struct ls_session *session, uint64_t serial);

#endif
