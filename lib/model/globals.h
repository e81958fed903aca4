/* The tables of functions that Lua code calls: `session`, `ui` and a few globals (lua-api.md sections 2, 4, 10, 19,
 * 20). Every file owns the functions of its subject. Owner thread: the session's. */
#ifndef LS_MODEL_GLOBALS_H
#define LS_MODEL_GLOBALS_H

#include "model/model_internal.h"

/* [-0, +0, m] tables in the registry: what the server keeps is never a global (L11) */
LS_RAISES void ls__open_registries(lua_State *L);
LS_RAISES void ls__open_ui(lua_State *L);            /* [-0, +0, m] `ui` */
LS_RAISES void ls__open_globals(lua_State *L);       /* [-0, +0, m] EMPTY, diag */
LS_RAISES void ls__open_session_table(lua_State *L); /* [-0, +0, m] `session` */

/* Functions of `session` and `ui`, each X(name); the functions are `ls__l_session_<name>` and `ls__l_ui_<name>`. */
/* clang-format off */
#define LS_SESSION_FUNCTIONS(X) \
    /* variables.c */ X(createAppVariable) X(getApp) X(createVariable) X(destroyVariable) X(registerStandardVariable) \
    /* varobject.c */ X(getVariable) X(getAppVariable) \
    /* watches.c */ X(watchVariable) X(watchProperty) X(unwatch) \
    /* prototype.c */ X(prototype) X(removePrototype) /* instances.c */ X(create) \
    /* unload.c */ X(unloadModule) X(unloadDirectory) \
    /* timers.c */ X(setImmediate) X(setTimeout) X(setInterval) X(clearImmediate) X(clearTimeout) X(clearInterval) \
    /* globals.c */ X(newVersion) X(getVersion) X(needsMutation) \
    /* module.c */ X(keep) X(onDispose) /* vm/printing.c */ X(log)
#define LS_UI_FUNCTIONS(X) \
    /* types.c */ X(registerPresenter) X(registerWrapper) \
    /* vm/printing.c */ X(log) /* vm/lua_json.c */ X(json_encode) X(json_decode)
/* clang-format on */

#define LS_DECLARE(name) LS_RAISES int ls__l_session_##name(lua_State *L);
LS_SESSION_FUNCTIONS(LS_DECLARE)
#undef LS_DECLARE
#define LS_DECLARE(name) LS_RAISES int ls__l_ui_##name(lua_State *L);
LS_UI_FUNCTIONS(LS_DECLARE)
#undef LS_DECLARE

/** The chunk of that key has run: say when it has replaced a function of `session` all too often (LX36). Safe. */
void ls__look_for_replaced(struct ls_session *session, const char *key);

#endif
