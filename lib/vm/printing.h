/* Where text written by Lua code goes (lua-api.md sections 4, 19). Owner thread: the session's. */
#ifndef LS_VM_PRINTING_H
#define LS_VM_PRINTING_H

#include "vm/vm_internal.h"

#define LS_LEVEL_MAX 1000000 /* bounds the log levels that come from scripts */

/** Bytes written to standard output by Lua code: whole lines become log records, an evaluation sees them as they come
 * (C4). Safe. */
void ls__print_raw(struct ls_session *session, const char *bytes, size_t len);
/** Hand on what io.write has buffered: at the end of an evaluation. Safe. */
void ls__output_flush(struct ls_session *session);

/** print of sites: one record whatever the number of arguments, so that sessions do not mix (L20). [-0, +0, e] */
LS_RAISES int ls__l_print(lua_State *L);
LS_RAISES int ls__l_session_log(lua_State *L); /* session:log([level,] text) [-0, +0, e] */
LS_RAISES int ls__l_ui_log(lua_State *L);      /* ui.log([level,] text) [-0, +0, e] */

#endif
