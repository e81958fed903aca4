/* The tables of functions that Lua code calls: `session`, `ui` and a few globals (lua-api.md sections 2, 4, 10, 19,
 * 20). Each function is `l_<table>_<name>`; every file owns those of its subject, globals.c puts them together. Owner
 * thread: the session's. */
#ifndef LS_MODEL_GLOBALS_H
#define LS_MODEL_GLOBALS_H

#include "model/model_internal.h"

/* [-0, +0, m] tables in the registry: what the server keeps is never a global (L11) */
LS_RAISES void ls__open_registries(lua_State *L);
LS_RAISES void ls__open_ui(lua_State *L);            /* [-0, +0, m] `ui` */
LS_RAISES void ls__open_globals(lua_State *L);       /* [-0, +0, m] EMPTY, diag, print */
LS_RAISES void ls__open_session_table(lua_State *L); /* [-0, +0, m] `session` */

/* variables.c */
LS_RAISES int l_session_createAppVariable(lua_State *L);
LS_RAISES int l_session_getApp(lua_State *L);
LS_RAISES int l_session_createVariable(lua_State *L);
LS_RAISES int l_session_destroyVariable(lua_State *L);
LS_RAISES int l_session_registerStandardVariable(lua_State *L);
/* varobject.c */
LS_RAISES int l_session_getVariable(lua_State *L);
LS_RAISES int l_session_getAppVariable(lua_State *L);
/* watches.c */
LS_RAISES int l_session_watchVariable(lua_State *L);
LS_RAISES int l_session_watchProperty(lua_State *L);
LS_RAISES int l_session_unwatch(lua_State *L);
/* prototype.c, instances.c */
LS_RAISES int l_session_prototype(lua_State *L);
LS_RAISES int l_session_create(lua_State *L);
LS_RAISES int l_session_removePrototype(lua_State *L);
/* unload.c */
LS_RAISES int l_session_unloadModule(lua_State *L);
LS_RAISES int l_session_unloadDirectory(lua_State *L);
/* timers.c */
LS_RAISES int l_session_setImmediate(lua_State *L);
LS_RAISES int l_session_setTimeout(lua_State *L);
LS_RAISES int l_session_setInterval(lua_State *L);
LS_RAISES int l_session_clearImmediate(lua_State *L);
LS_RAISES int l_session_clearTimeout(lua_State *L);
LS_RAISES int l_session_clearInterval(lua_State *L);
/* globals.c */
LS_RAISES int l_session_newVersion(lua_State *L);
LS_RAISES int l_session_getVersion(lua_State *L);
LS_RAISES int l_session_needsMutation(lua_State *L);
/* module.c */
LS_RAISES int l_session_keep(lua_State *L);
LS_RAISES int l_session_onDispose(lua_State *L);
/* types.c */
LS_RAISES int l_ui_registerPresenter(lua_State *L);
LS_RAISES int l_ui_registerWrapper(lua_State *L);

#endif
