/* The standard libraries as sites see them (lua-api.md section 3, 23). Owner thread: the session's. */
#ifndef LS_VM_LIBS_H
#define LS_VM_LIBS_H

#include "vm/vm_internal.h"

/** Open the libraries with what this room has in place of theirs, and without what --sandbox turns off. [-0, +0, e] */
LS_RAISES void ls__open_libs(lua_State *L);

/* Functions of the libraries that this room has its own of, by the names that sites know. Each [-0, +n, e] */
LS_RAISES int ls__l_table_sort(lua_State *L);         /* stable, never raises of itself (L137) */
LS_RAISES int ls__l_os_execute(lua_State *L);         /* processes.c */
LS_RAISES int ls__l_io_popen(lua_State *L);           /* the same */
LS_RAISES int ls__l_pcall(lua_State *L);              /* protected.c */
LS_RAISES int ls__l_xpcall(lua_State *L);             /* the same */
LS_RAISES int ls__l_coroutine_resume(lua_State *L);   /* the same */
LS_RAISES int ls__l_coroutine_close(lua_State *L);    /* the same */
LS_RAISES int ls__l_coroutine_wrap(lua_State *L);     /* the same */
LS_RAISES int ls__l_setmetatable(lua_State *L);       /* finalizers.c */
LS_RAISES int ls__l_debug_setmetatable(lua_State *L); /* the same */

/** Make the text for the memory limit while there is memory for it. [-0, +0, m] */
LS_RAISES void ls__open_memory_text(struct ls_session *session, lua_State *L);
/** The error on top, of a call that has ended with `status`: if the memory limit was the reason, its text takes the
 * place. [-1, +1, -] */
void ls__name_memory_limit(struct ls_session *session, lua_State *L, int status);

/* --- calls.c --- */

/** Watch those functions of the libraries that may work long without executing an instruction. [-0, +0, e] */
LS_RAISES void ls__open_calls(lua_State *L);

/* --- debugging.c --- */

/** Put what this room has of its own into the debug library. [-0, +0, e] */
LS_RAISES void ls__open_debug(lua_State *L);
/** Run the hook that Lua code has set with debug.sethook on this thread, if any. [-0, +0, e] */
LS_RAISES void ls__user_hook(lua_State *L, lua_Debug *ar);
/** Put the thread's hook back to what Lua code has asked for, or the plain count hook. [-0, +0, -] */
void ls__user_hook_restore(lua_State *L);
/** Is the value debug.traceback of sites? [-0, +0, -] */
bool ls__is_traceback(lua_State *L, int index);

/* --- protected.c --- */

/** Call the function below its `nargs` arguments, few, on a thread of its own: where Lua calls something with the hooks
 * of L turned off (a hook, a finalizer, the message handler of an error in a hook), those of the new thread are on, so
 * that the limits hold. @return a status; unless it is LUA_OK, the error is the one result. What such a thread has
 * still to close when it fails is left to the collector.
 * @param of    the thread that the stack goes on with below, as the debug library tells it; NULL = it begins here, and
 * a traceback is pushed above the error
 * @param skip  levels of that one to be left out
 * [-(nargs+1), +(nresults|1|2), m] */
LS_RAISES int ls__call_aside(lua_State *L, int nargs, int nresults, const char *what, lua_State *of, int skip);

/** Is the value what stands between Lua and a message handler of sites? [-0, +0, -] */
bool ls__is_handler(lua_State *L, int index);

#endif
