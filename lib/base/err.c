/* Errors as values: filling a caller's struct ls_err. Refuses to log or to exit; that is cmd/'s business. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char ellipsis[] = "\xe2\x80\xa6";

/* A text that was cut says so; the cut never splits a UTF-8 sequence. */
static void mark_cut(char *text, size_t room)
{
    size_t at = room - sizeof ellipsis;
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80) at--;
    memcpy(text + at, ellipsis, sizeof ellipsis);
}

int ls_fail(struct ls_err *err, int code, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        int len = vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        if (len < 0) err->text[0] = 0;
        else if ((size_t)len >= sizeof err->text) mark_cut(err->text, sizeof err->text);
        err->code = code;
    }
    return code;
}

int ls_fail_text(struct ls_err *err, int code, const char *text, size_t len)
{
    if (err) {
        size_t kept = len < sizeof err->text ? len : sizeof err->text - 1;
        memmove(err->text, text, kept);
        err->text[kept] = 0;
        if (kept < len) mark_cut(err->text, sizeof err->text);
        err->code = code;
    }
    return code;
}

const char *ls_error_name(int code)
{
    switch (code) {
#define LS_X(name, value, text) case name: return text;
        LS_ERRORS(LS_X)
#undef LS_X
        default: return code >= 0 ? "ok" : "unknown";
    }
}
