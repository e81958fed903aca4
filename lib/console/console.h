/* What a person asks of a session: evaluation, completion, what its objects hold. Owner thread: the session's; nothing
 * raises. */
#ifndef LS_CONSOLE_CONSOLE_H
#define LS_CONSOLE_CONSOLE_H

#include "vm/vm.h"

/** The `lua` property of variable 1 (L139): inline code or the name of a file. */
int ls_session_run_lua_property(struct ls_session *session, const char *text, size_t len, struct ls_err *err);
struct ls_eval {
    const char *code; /* borrowed */
    size_t len;
    const char *name;   /* shown as chunk name */
    bool repl;          /* an expression needs no `return`; values are pretty-printed; `_` is set (C4) */
    size_t max_output;  /* cut longer results, 0 = no limit */
    size_t width;       /* columns of the terminal: wider tables are broken into lines; 0 = never */
    struct ls_buf text; /* out: the values as people read them, tab-separated (repl) */
    struct ls_buf json; /* out: the first value as L124, "null" if it has none */
    bool incomplete;    /* out: the chunk is not finished, more lines are needed */
};
/** L141. @return 0, LS_ESYNTAX, LS_ELUA (text with traceback), LS_EINTERRUPTED, LS_ELIMIT */
int ls_session_eval(struct ls_session *session, struct ls_eval *eval, struct ls_err *err);
/** Completions of the name that ends `line`, which may begin with further lines of the same entry (C4): a JSON array of
 * strings appended to `out`. Runs no site code. */
int ls_session_complete(struct ls_session *session, const char *line, size_t len, struct ls_buf *out,
                        struct ls_err *err);
/** getObjects (P117): Value JSON of an object's own public fields appended to `out`. LS_ENOTFOUND if unknown or
 * collected. */
int ls_session_object_json(struct ls_session *session, int64_t object_id, struct ls_buf *out, struct ls_err *err);
/** Native type name of a variable's value for the listing (P12 goType, PX40). Borrowed, static or valid until the next
 * call. */
const char *ls_session_native_type(struct ls_session *session, const struct ls_var *var);

#endif
