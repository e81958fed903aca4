/* LuaSession: one Lua VM with the globals a site uses (lua-api.md), its prototypes, modules and timers, and the
 * resolver through which the tracker sees its values. Opens and closes the rooms from vm/ to console/; whoever includes
 * this header has what they offer to those above.
 *
 * Owner thread: whoever runs the session's queue just now. Nothing raises: Lua errors come back in `err`. */
#ifndef LS_SESSION_SESSION_H
#define LS_SESSION_SESSION_H

#include "console/console.h"
#include "model/model.h"
#include "resolver/lua_resolver.h"
#include "vm/vm.h"

/** Make the VM and its globals (L3, L8), everything but main.lua. @return owned, ls_session_close(); NULL and err */
struct ls_session *ls_session_open(const struct ls_session_config *config, const struct ls_session_host *host,
                                   struct ls_err *err);
/** Cancel timers, call dispose hooks with false (H68), close the state (L7). NULL accepted. */
void ls_session_close(struct ls_session *session);
/** A full garbage collection, after which also the room of what has become few is given back. */
void ls_session_shrink(struct ls_session *session);
/** GetLuaSession: `session` itself if the vended id is its own, else NULL. */
struct ls_session *ls_session_get(struct ls_session *session, const char *vended_id);

#endif
