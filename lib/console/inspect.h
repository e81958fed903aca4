/* Questions about a session's types and files that run no site code, for `lsess check` (cli.md C1). Owner thread: the
 * session's. */
#ifndef LS_CONSOLE_INSPECT_H
#define LS_CONSOLE_INSPECT_H

#include <stdbool.h>
#include <stddef.h>

#include "vm/vm.h"

/** Is there a prototype, presenter or global table of that type name (L129)? */
bool ls_session_type_exists(struct ls_session *session, const char *type);
/** Does the type, its base, or a live instance of it have the member `name` (declared fields included)? Raw look-ups
 * only. */
bool ls_session_type_has(struct ls_session *session, const char *type, const char *name);
/** Tracking key of the module that owns the type, NULL if none does. Borrowed until the next load. */
const char *ls_session_type_module(struct ls_session *session, const char *type);
/** Would `require(name)` find a file (L28, L36)? */
bool ls_session_can_require(struct ls_session *session, const char *name);
/** Compile `text` under `key` without running it. @return 0, LS_ESYNTAX with key:line: message, LS_ENOMEM */
int ls_session_compile(struct ls_session *session, const char *key, const char *text, size_t len, struct ls_err *err);

#endif
