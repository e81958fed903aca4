/* The standard libraries as sites see them (lua-api.md section 3, 23). Owner thread: the session's. */
#ifndef LS_SESSION_LIBS_H
#define LS_SESSION_LIBS_H

#include "session/internal.h"

LS_RAISES void ls__open_libs(lua_State *L);        /* [-0, +0, e] */
/** Run the hook that Lua code has set with debug.sethook on this thread, if any. [-0, +0, e] */
LS_RAISES void ls__user_hook(lua_State *L, lua_Debug *ar);
/** Put the thread's hook back to what Lua code has asked for, or the plain count hook. [-0, +0, -] */
void ls__user_hook_restore(lua_State *L);
/** table.sort of sites: stable, never raises of itself (L137). [-0, +0, e] */
LS_RAISES int l_table_sort(lua_State *L);

#endif
