/* Immutable bytes with a use count, shared between threads: a file's text, compiled code, an encoded frame that goes to
 * many sockets. */
#ifndef LS_BASE_BYTES_H
#define LS_BASE_BYTES_H

#include <stddef.h>

struct ls_bytes; /* opaque; data is followed by a NUL that does not count */

/** Copies `len` bytes. @return use count 1, or NULL without memory. */
struct ls_bytes *ls_bytes_new(const void *data, size_t len);
struct ls_bytes *ls_bytes_ref(struct ls_bytes *bytes);   /* atomic; returns its argument; NULL passes */
void ls_bytes_unref(struct ls_bytes *bytes);             /* atomic; NULL passes */
const char *ls_bytes_data(const struct ls_bytes *bytes); /* borrowed while the use lasts; "" for NULL */
size_t ls_bytes_len(const struct ls_bytes *bytes);       /* 0 for NULL */

#endif
