/* The log: undivided records with a level, to standard error or a file, as text or as one JSON object a line.
 * Level 0 errors and what people must see, 1 connections and reloads, 2 messages by type, 3 variable operations, 4
 * payloads (PX51). Thread: any; a record is written by one write(2). */
#ifndef LS_BASE_LOG_H
#define LS_BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ls_log_config {
    int verbosity;    /* 0..4: records up to this level are written */
    bool json;        /* one JSON object a record: {"time":…,"level":…,"session":…,"text":…} */
    bool color;       /* text records may use colour */
    const char *file; /* NULL = standard error; else appended to (borrowed during the call) */
};

struct ls_err;
/** Set once before threads start; a second call replaces the settings. @return 0 or LS_EIO */
int ls_log_open(const struct ls_log_config *config, struct ls_err *err);
void ls_log_close(void); /* back to standard error */
/** Would a record of this level be written? Lets callers skip costly formatting. */
bool ls_log_on(int level);
/** A record, as printf; below level 0 it is always written. */
void ls_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** A record about a session. @param session  vended id, NULL for none (L22) */
void ls_log_session(int level, const char *session, const char *format, ...) __attribute__((format(printf, 3, 4)));
/** A record of which floods come: it is written at once, and of those that follow within a second and equal it from
 * byte `differs` on, only how many they were, when the second is over; of more than 32 that differ, only how many.
 * @param scope  those of one scope are compared, such as a session's vended id; NULL = one for all */
void ls_log_folded(int level, const char *session, const char *scope, size_t differs, const char *text, size_t len);
/** Tell how many have been left out. @param scope  its end: all of it; NULL = those that are due */
void ls_log_unfold(const char *scope);
/** Who is to call ls_log_unfold(NULL) at `due_ns` (monotonic) or soon after; `set` must not log. NULL: nobody any more;
 * what has been left out is told now. */
void ls_log_fold_timer(void (*set)(void *ctx, int64_t due_ns), void *ctx);
/** Text as it is (print of Lua, L20): written whatever the verbosity when level < 0. */
void ls_log_text(int level, const char *session, const char *text, size_t len);
/** One line that is JSON already (events of --json-log); in text mode nothing is written. */
void ls_log_event(const char *json, size_t len);
/** Is --json-log on? */
bool ls_log_is_json(void);
/** A tap for tests and `lsess` clients that watch: called for each record written, after it, on the writing thread,
 * without the log's lock. NULL removes it. */
void ls_log_tap(void (*tap)(void *ctx, int level, const char *session, const char *text, size_t len), void *ctx);

#endif
