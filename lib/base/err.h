/* Errors as values. A function that can fail returns 0 (or a positive result) on success and a negative LS_E* code on
 * failure; its last parameter `err` (may be NULL) is untouched on success and holds a whole sentence on failure. */
#ifndef LS_BASE_ERR_H
#define LS_BASE_ERR_H

#include <stddef.h>

/* code, value, name shown to people and in JSON */
#define LS_ERRORS(X)                                                                                                   \
    X(LS_ENOMEM, -1, "out-of-memory")      /* the process or the session's heap is exhausted */                        \
    X(LS_EINVAL, -2, "invalid")            /* the caller's or the peer's input is not acceptable */                    \
    X(LS_ENOTFOUND, -3, "not-found")       /* what was named does not exist */                                         \
    X(LS_EEXISTS, -4, "exists")            /* what was to be made is there already */                                  \
    X(LS_EIO, -5, "io")                    /* a system call failed; the text carries its reason */                     \
    X(LS_ELUA, -6, "lua-error")            /* Lua code raised; the text begins with key:line: where Lua knows it */    \
    X(LS_ESYNTAX, -7, "syntax")            /* Lua text did not compile */                                              \
    X(LS_ELIMIT, -8, "limit")              /* a limit was reached; the text names it and its option */                 \
    X(LS_ECLOSED, -9, "closed")            /* the object is closing or closed */                                       \
    X(LS_EACCESS, -10, "refused")          /* not allowed */                                                           \
    X(LS_EBUSY, -11, "busy")               /* somebody else holds it */                                                \
    X(LS_EINTERRUPTED, -12, "interrupted") /* stopped on request */                                                    \
    X(LS_EINTERNAL, -13, "internal")       /* a promise inside the program was broken */

enum ls_error_code {
    LS_OK = 0,
#define LS_X(code, value, name) code = value,
    LS_ERRORS(LS_X)
#undef LS_X
};

#define LS_ERR_TEXT 4096 /* bytes of the longest text, its end included; what goes beyond is cut, with an ellipsis */

/* A sentence without a final newline; further lines are a traceback. Most are short and lie inside; longer ones are a
 * block that the struct owns. So each is empty before it is filled for the first time, and released: LS_ERR sees to
 * both for a variable of a function. A function that may leave by a Lua error (LS_RAISES) has none of its own, since
 * nobody would release it; it uses the session's (`raised`). */
struct ls_err {
    int code;     /* 0 or an LS_E* code */
    char *longer; /* owned: the text, where it does not fit below; else NULL */
    char brief[112];
};

/** Declare an empty one that is released where its block ends. */
#define LS_ERR(name)                                                                                                   \
    struct ls_err name __attribute__((cleanup(ls_err_release)));                                                       \
    ls_err_init(&name)

/** Empty, whatever was in it. */
static inline void ls_err_init(struct ls_err *err)
{
    err->code = 0;
    err->longer = NULL;
    err->brief[0] = 0;
}

/** Give back what it owns, and leave it empty. */
void ls_err_release(struct ls_err *err);
/** "" where there is none. Borrowed until the next change. */
static inline const char *ls_err_text(const struct ls_err *err)
{
    return err->longer ? err->longer : err->brief;
}
/** The error of one to another (NULL = to nobody), which loses what it had; `from` is empty then. */
void ls_err_move(struct ls_err *to, struct ls_err *from);

/** Fill `err` and return `code`, so that a failure is one statement: `return ls_fail(err, LS_EIO, "…")`. The text that
 * it had may be an argument. Without memory for a long text its beginning is kept.
 * @param err  may be NULL: then only the code travels
 * Thread: any. */
int ls_fail(struct ls_err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/** As ls_fail, for a text of known length that is not a format (error texts of Lua, of peers). A NUL in it becomes
 * U+FFFD, for it is read as a C string. */
int ls_fail_text(struct ls_err *err, int code, const char *text, size_t len);

/** The short name of a code (`not-found`), as used in JSON answers; "ok" for 0. Borrowed, static. */
const char *ls_error_name(int code);

#endif
