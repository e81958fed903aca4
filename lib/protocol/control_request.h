/* Requests of the control socket (cli.md C3): newline-delimited JSON, one object a line each way. Parsing lives here;
 * what the commands do lives in server/.
 *
 * Request:  {"id":7,"cmd":"eval", …}            id: any JSON number or string, echoed
 * Answer:   {"id":7,"ok":true, …} or {"id":7,"ok":false,"error":{"code":"no-session","message":"a whole sentence"}}
 * Event:    {"id":7,"event":"print", …}          before the answer of the request with that id (or, for watch, until
 * the connection ends)
 *
 * SESSION is a vended id ("1"), a unique prefix of the internal id (at least 4 characters), or absent: the only
 * session, else the one active last. Fields by command (-> fields of the answer beside id and ok):
 *   ping                                            -> version, pid, dir, url, watching
 *   sessions                                        -> sessions:
 *   [{session, url, key (first 8 characters of the internal id), age_ms, idle_ms, connections,
 *                                                      variables, memory, modules, last_error}]; of one that is busy
 *                                                      for more than a second, busy: true instead of the last four
 *   eval      session ("new" makes a headless one), code, name?, repl?: bool, max_output?, width?
 *                                                   -> session, text (repl: values as people read them), json (first
 *                                                   value), incomplete: bool, ns
 *                                                      events: print {text}.   errors: no-session syntax lua-error
 *                                                      interrupted limit
 *   complete  session, line                         -> completions: [string]
 *   interrupt session                               -> (nothing)
 *   unload    names: [string], sessions?: [SESSION], dry_run?: bool
 *                                                   -> results:
 *                                                   [{session, name, count, modules, prototypes, presenters, wrappers,
 *                                                   viewdefs, timers, watches,
 *                                                      instances, variables, importers, heap_bytes}]; a session in
 *                                                      which nothing matched is left out
 *   reload    files?: [string]                      -> results:
 *   [{session, key, outcome: ok|skipped|failed|first, text?, details?, ms}]
 *   restart   session                               -> session
 *   state     session?                              -> sessions: [{session, modules, failures}], hotload: {…} or null
 *   (H101); a busy session as above
 *   watch                                           -> (at once); events: reload {…as in reload's results, time, file},
 *   error {session, text},
 *                                                      log {level, text, session?} for each record of the server's log
 * Error codes besides the above: bad-request unknown-command too-long busy internal. */
#ifndef LS_PROTOCOL_CONTROL_REQUEST_H
#define LS_PROTOCOL_CONTROL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define LS_CONTROL_MAX_LINE ((size_t)1 << 20) /* a longer request is answered with too-long (C3) */

struct ls_control;

/** Parse one line. `text` is copied. @return owned; NULL and err: LS_EINVAL (not a JSON object, no command), LS_ENOMEM.
 * Thread: any. */
struct ls_control *ls_control_parse(const char *text, size_t len, struct ls_err *err);
void ls_control_free(struct ls_control *request); /* NULL accepted */
/** The id as JSON text, "null" when there is none. Borrowed. NULL is accepted and gives "null". */
const char *ls_control_id(const struct ls_control *request);
/** The command's name. Borrowed. */
const char *ls_control_cmd(const struct ls_control *request);
/** A string member, all its bytes. *len (may be NULL) is its length. Borrowed, NUL-terminated; NULL when absent or not
 * a string. Without `len` a NUL inside reads as U+FFFD, so that nothing is cut. */
const char *ls_control_text(struct ls_control *request, const char *name, size_t *len);
bool ls_control_flag(struct ls_control *request, const char *name); /* false when absent */
/** A whole number; 0 when absent, or no integer of 64 bits. */
int64_t ls_control_int(struct ls_control *request, const char *name);
/** An array of strings; what is not a string in it is left out, a NUL inside reads as U+FFFD. *names is owned by the
 * request. @return how many; 0 when absent */
size_t ls_control_list(struct ls_control *request, const char *name, const char *const **names);
/** Is a member there that is neither null nor what its name promises: an array of strings with `list`, else text?
 */
bool ls_control_is_odd(const struct ls_control *request, const char *name, bool list);

#endif
