/* A growing byte buffer. Invariant: data[len] == 0 whenever data is not NULL, so `data` is a C string.
 * Running out of memory is sticky: further appends do nothing, and ls_buf_failed tells at the end; so writers need one
 * check and not one a line. Not thread-safe; the owner is whoever embeds it. */
#ifndef LS_BASE_BUF_H
#define LS_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"

struct ls_buf {
    char *data;     /* owned; NULL while empty and never grown */
    size_t len;     /* bytes in use, without the NUL */
    size_t cap;     /* bytes allocated */
    bool failed;    /* an allocation has failed since init/clear */
    uint32_t extra; /* bytes by which it may go beyond the budget's limit */
    /* where the bytes are counted, NULL = nowhere; whoever sets it does so while the buffer is empty */
    struct ls_budget *budget;
};

#define LS_BUF_INIT                                                                                                    \
    {                                                                                                                  \
        NULL, 0, 0, false, 0, NULL                                                                                     \
    }

void ls_buf_init(struct ls_buf *buf); /* empty, counted nowhere; as LS_BUF_INIT */
/** Frees the bytes and leaves an empty buffer of the same budget. */
void ls_buf_release(struct ls_buf *buf);
/** Empties, keeps the memory for re-use, forgets a failure. */
void ls_buf_clear(struct ls_buf *buf);
/** Room for `more` further bytes. False (and sticky) when memory is exhausted. */
bool ls_buf_reserve(struct ls_buf *buf, size_t more);
void ls_buf_add(struct ls_buf *buf, const void *bytes, size_t len); /* append bytes */
void ls_buf_str(struct ls_buf *buf, const char *text);              /* append a C string */
void ls_buf_char(struct ls_buf *buf, char c);                       /* append one byte */
/** Append formatted text. */
void ls_buf_printf(struct ls_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** The same, with a list of arguments. */
void ls_buf_vprintf(struct ls_buf *buf, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
/** The text, "" when empty. Borrowed until the next change. */
const char *ls_buf_text(const struct ls_buf *buf);
/** Has memory run out since the buffer was last empty? */
static inline bool ls_buf_failed(const struct ls_buf *buf)
{
    return buf->failed;
}
/** Moves the bytes out: you now own them (ls_free); the buffer is empty again. NULL after a failure. */
char *ls_buf_detach(struct ls_buf *buf, size_t *len);
/** Cut to `len` bytes (no-op if shorter). */
void ls_buf_cut(struct ls_buf *buf, size_t len);
/** Remove `count` bytes at the front. */
void ls_buf_shift(struct ls_buf *buf, size_t count);

#endif
