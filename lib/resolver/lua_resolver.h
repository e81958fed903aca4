/* The resolver of a session, through which its tracker sees the values of its VM. Owner thread: the session's. */
#ifndef LS_RESOLVER_LUA_RESOLVER_H
#define LS_RESOLVER_LUA_RESOLVER_H

#include "tracker/resolver.h"
#include "vm/vm.h"

/** The resolver for the tracker of this session; valid as long as the session. */
struct ls_resolver ls_session_resolver(struct ls_session *session);

#endif
