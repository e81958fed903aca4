/* Where text written by Lua code goes (lua-api.md sections 4, 19). Owner thread: the session's. */
#ifndef LS_SESSION_PRINTING_H
#define LS_SESSION_PRINTING_H

#include "session/internal.h"

/** Bytes written to standard output by Lua code: whole lines become log records, an evaluation sees them as they come (C4). Safe. */
void ls__print_raw(struct ls_session *session, const char *bytes, size_t len);
/** Hand on what io.write has buffered: at the end of an evaluation. Safe. */
void ls__output_flush(struct ls_session *session);

#endif
