/* The growing byte buffer. Refuses to abort: a failed allocation sticks, and the owner asks once at the end. */
#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"

void ls_buf_init(struct ls_buf *buf)
{
    *buf = (struct ls_buf)LS_BUF_INIT;
}

void ls_buf_release(struct ls_buf *buf)
{
    ls_budget_free(buf->budget, buf->data);
    *buf = (struct ls_buf){.extra = buf->extra, .budget = buf->budget};
}

void ls_buf_clear(struct ls_buf *buf)
{
    buf->len = 0;
    buf->failed = false;
    if (buf->data) buf->data[0] = 0;
}

bool ls_buf_reserve(struct ls_buf *buf, size_t more)
{
    if (buf->failed) return false;
    if (more >= SIZE_MAX - buf->len - 1) {
        buf->failed = true;
        return false;
    }
    size_t need = buf->len + more + 1;
    if (need <= buf->cap) return true;
    if (!LS_RESERVE_IN(buf->budget, buf->extra, buf->data, need, buf->cap)) {
        buf->failed = true;
        return false;
    }
    buf->data[buf->len] = 0;
    return true;
}

void ls_buf_add(struct ls_buf *buf, const void *bytes, size_t len)
{
    if (!ls_buf_reserve(buf, len)) return;
    if (len) memcpy(buf->data + buf->len, bytes, len);
    buf->len += len;
    buf->data[buf->len] = 0;
}

void ls_buf_str(struct ls_buf *buf, const char *text)
{
    ls_buf_add(buf, text, strlen(text));
}

void ls_buf_char(struct ls_buf *buf, char c)
{
    if (buf->len + 1 >= buf->cap && !ls_buf_reserve(buf, 1)) return;
    if (buf->failed) return;
    buf->data[buf->len++] = c;
    buf->data[buf->len] = 0;
}

void ls_buf_vprintf(struct ls_buf *buf, const char *format, va_list args)
{
    if (!ls_buf_reserve(buf, 64)) return;
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(buf->data + buf->len, buf->cap - buf->len, format, args);
    if (len < 0) {
        buf->data[buf->len] = 0;
    } else if ((size_t)len < buf->cap - buf->len) {
        buf->len += (size_t)len;
    } else if (ls_buf_reserve(buf, (size_t)len)) {
        vsnprintf(buf->data + buf->len, buf->cap - buf->len, format, again);
        buf->len += (size_t)len;
    } else {
        buf->data[buf->len] = 0;
    }
    va_end(again);
}

void ls_buf_printf(struct ls_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ls_buf_vprintf(buf, format, args);
    va_end(args);
}

const char *ls_buf_text(const struct ls_buf *buf)
{
    return buf->data ? buf->data : "";
}

char *ls_buf_detach(struct ls_buf *buf, size_t *len)
{
    if (!ls_buf_reserve(buf, 0)) {
        ls_buf_release(buf);
        if (len) *len = 0;
        return NULL;
    }
    char *data = buf->data;
    if (len) *len = buf->len;
    ls_budget_hand_over(buf->budget, data);
    *buf = (struct ls_buf){.extra = buf->extra, .budget = buf->budget};
    return data;
}

void ls_buf_cut(struct ls_buf *buf, size_t len)
{
    if (len < buf->len) {
        buf->len = len;
        buf->data[len] = 0;
    }
}

void ls_buf_shift(struct ls_buf *buf, size_t count)
{
    if (count >= buf->len) {
        ls_buf_cut(buf, 0);
    } else if (count) {
        memmove(buf->data, buf->data + count, buf->len - count + 1);
        buf->len -= count;
    }
}
