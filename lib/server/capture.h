/* Where the text goes that Lua prints while an administrator's evaluation runs (C4). Owner thread of the session's
 * queue. */
#ifndef LS_SERVER_CAPTURE_H
#define LS_SERVER_CAPTURE_H

#include <stddef.h>

struct eval_capture {
    void *ctx;
    void (*print)(void *ctx, const char *text, size_t len);
};

#endif
