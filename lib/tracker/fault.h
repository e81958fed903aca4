/* What went wrong with one variable or message (tracker.md section 23): kind and text. A value, embedded by callers.
 */
#ifndef LS_TRACKER_FAULT_H
#define LS_TRACKER_FAULT_H

#include <stddef.h>

/* kind, text form (T98), client code (T99, P98) */
#define LS_FAULTS(X)                                                                                                   \
    X(NONE, "", "")                                                                                                    \
    X(PATH_ERROR, "path-error", "path-failure")                                                                        \
    X(NIL_PATH, "nil-path", "path-failure")                                                                            \
    X(NOT_FOUND, "not-found", "not-found")                                                                             \
    X(BAD_PARENT, "bad-parent", "bad-parent")                                                                          \
    X(BAD_INDEX, "bad-index", "path-failure")                                                                          \
    X(BAD_SETTER_CALL, "bad-setter-call", "bad-path")                                                                  \
    X(BAD_PATH, "bad-path", "bad-path")                                                                                \
    X(BAD_ACCESS, "bad-access", "bad-access")                                                                          \
    X(BAD_REFERENCE, "bad-reference", "not-found")                                                                     \
    X(GONE, "gone", "gone")                                                                                            \
    X(BAD_CALL_MISSING, "bad-call", "path-failure")                                                                    \
    X(BAD_CALL, "bad-call", "lua-error")                                                                               \
    X(DEFERRED_CODE, "deferred-code", "lua-error")                                                                     \
    X(WRAPPER, "wrapper", "lua-error")                                                                                 \
    X(KEY, "key", "path-failure")                                                                                      \
    X(ID_IN_USE, "id-in-use", "id-in-use")                                                                             \
    X(BAD_MESSAGE, "bad-message", "bad-message")                                                                       \
    X(UNKNOWN_TYPE, "unknown-type", "unknown-type")                                                                    \
    X(UNAUTHORIZED, "unauthorized", "unauthorized")                                                                    \
    X(REPLACED, "replaced", "replaced")                                                                                \
    X(LUA_ERROR, "lua-error", "lua-error")                                                                             \
    X(TOO_LARGE, "too-large", "too-large")                                                                             \
    X(INTERNAL, "internal", "internal")

enum ls_fault_kind {
#define LS_X(kind, text, code) LS_FAULT_##kind,
    LS_FAULTS(LS_X)
#undef LS_X
};

#define LS_FAULT_TEXT 1024

struct ls_fault {
    enum ls_fault_kind kind; /* LS_FAULT_NONE = no fault */
    /* message for people: for Lua errors it begins with key:line: and has no traceback (L133) */
    char text[LS_FAULT_TEXT];
};

/** Fill `fault` (may be NULL), return -1, so that a failure is one statement. */
int ls_fault_set(struct ls_fault *fault, enum ls_fault_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/** `path-error`, … (T98). Static. */
const char *ls_fault_kind_text(enum ls_fault_kind kind);
/** The code that clients see (P98). Static. */
const char *ls_fault_code(enum ls_fault_kind kind);

#endif
