/* Errors as values. A function that can fail returns 0 (or a positive result) on success and a negative LS_E* code on
 * failure; its last parameter `err` (may be NULL) is untouched on success and holds a whole sentence on failure. */
#ifndef LS_BASE_ERR_H
#define LS_BASE_ERR_H

#include <stddef.h>

/* code, value, name shown to people and in JSON */
#define LS_ERRORS(X) \
    X(LS_ENOMEM, -1, "out-of-memory")    /* the process or the session's heap is exhausted */ \
    X(LS_EINVAL, -2, "invalid")          /* the caller's or the peer's input is not acceptable */ \
    X(LS_ENOTFOUND, -3, "not-found")     /* what was named does not exist */ \
    X(LS_EEXISTS, -4, "exists")          /* what was to be made is there already */ \
    X(LS_EIO, -5, "io")                  /* a system call failed; the text carries its reason */ \
    X(LS_ELUA, -6, "lua-error")          /* Lua code raised; the text begins with key:line: where Lua knows it */ \
    X(LS_ESYNTAX, -7, "syntax")          /* Lua text did not compile */ \
    X(LS_ELIMIT, -8, "limit")            /* a limit was reached; the text names it and its option */ \
    X(LS_ECLOSED, -9, "closed")          /* the object is closing or closed */ \
    X(LS_EACCESS, -10, "refused")        /* not allowed */ \
    X(LS_EBUSY, -11, "busy")             /* somebody else holds it */ \
    X(LS_EINTERRUPTED, -12, "interrupted") /* stopped on request */ \
    X(LS_EINTERNAL, -13, "internal")     /* a promise inside the program was broken */

enum ls_error_code {
    LS_OK = 0,
#define LS_X(code, value, name) code = value,
    LS_ERRORS(LS_X)
#undef LS_X
};

/* Room for a sentence and a traceback; longer texts are cut with an ellipsis. */
#define LS_ERR_TEXT 4096

struct ls_err {
    int code;               /* 0 or an LS_E* code */
    char text[LS_ERR_TEXT]; /* a sentence without a final newline; further lines are a traceback */
};

/** Fill `err` and return `code`, so that a failure is one statement: `return ls_fail(err, LS_EIO, "…")`.
 * @param err  may be NULL: then only the code travels
 * Thread: any. */
int ls_fail(struct ls_err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/** As ls_fail, for a text of known length that is not a format (error texts of Lua, of peers). */
int ls_fail_text(struct ls_err *err, int code, const char *text, size_t len);

/** The short name of a code (`not-found`), as used in JSON answers; "ok" for 0. Borrowed, static. */
const char *ls_error_name(int code);

#endif
