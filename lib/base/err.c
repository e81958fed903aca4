/* Errors as values: filling a caller's struct ls_err. Refuses to log or to exit; that is cmd/'s business. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD, for a NUL: the text is read as a C string and must not end there */
static const char ellipsis[] = "\xe2\x80\xa6";

/* A text that was cut says so; the cut never splits a UTF-8 sequence. */
static void mark_cut(char *text, size_t room)
{
    memcpy(text + ls_utf8_cut(text, room - sizeof ellipsis), ellipsis, sizeof ellipsis);
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
        size_t kept = 0, read = 0;
        if (!memchr(text, '\0', len)) {
            read = kept = len < sizeof err->text ? len : sizeof err->text - 1;
            memmove(err->text, text, kept);
        }
        for (; read < len && kept + sizeof replacement <= sizeof err->text; read++) {
            if (text[read]) {
                err->text[kept++] = text[read];
            } else {
                memcpy(err->text + kept, replacement, sizeof replacement - 1);
                kept += sizeof replacement - 1;
            }
        }
        err->text[kept] = 0;
        if (read < len) mark_cut(err->text, kept + 1);
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
