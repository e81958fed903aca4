/* Errors as values: filling a caller's struct ls_err. Refuses to log or to exit; that is cmd/'s business. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"

static const char ellipsis[] = "\xe2\x80\xa6";

void ls_err_release(struct ls_err *err)
{
    ls_free(err->longer);
    ls_err_init(err);
}

void ls_err_move(struct ls_err *to, struct ls_err *from)
{
    if (!to) {
        ls_err_release(from);
        return;
    }
    ls_free(to->longer);
    *to = *from;
    ls_err_init(from);
}

/* A text that was cut says so; the cut never splits a UTF-8 sequence. `text` may be the one that `err` has. */
static int keep(struct ls_err *err, int code, const char *text, size_t len)
{
    size_t room = len < sizeof err->brief ? sizeof err->brief : len < LS_ERR_TEXT ? len + 1 : LS_ERR_TEXT;
    char *longer = room > sizeof err->brief ? ls_malloc(room) : NULL;
    if (!longer) room = sizeof err->brief;
    char *to = longer ? longer : err->brief;
    size_t kept = len < room ? len : ls_utf8_cut(text, room - sizeof ellipsis);
    memmove(to, text, kept);
    memcpy(to + kept, ellipsis, kept < len ? sizeof ellipsis : 0);
    to[kept < len ? kept + sizeof ellipsis - 1 : len] = 0;
    ls_free(err->longer);
    err->longer = longer;
    return err->code = code;
}

int ls_fail(struct ls_err *err, int code, const char *format, ...)
{
    if (!err) return code;
    char text[LS_ERR_TEXT + 4]; /* more than is kept, so that a cut is seen */
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return keep(err, code, text, len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
}

int ls_fail_text(struct ls_err *err, int code, const char *text, size_t len)
{
    if (!err) return code;
    if (!memchr(text, '\0', len)) return keep(err, code, text, len);
    struct ls_buf whole = LS_BUF_INIT;
    ls_text_without_nul(&whole, text, len < LS_ERR_TEXT ? len : LS_ERR_TEXT);
    keep(err, code, ls_buf_text(&whole), whole.len);
    ls_buf_release(&whole);
    return code;
}

const char *ls_error_name(int code)
{
    switch (code) {
#define LS_X(name, value, text)                                                                                        \
    case name: return text;
        LS_ERRORS(LS_X)
#undef LS_X
    default: return code >= 0 ? "ok" : "unknown";
    }
}
