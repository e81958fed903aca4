/* Shared immutable bytes: one block, the count in front. */
#include "base/bytes.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"

struct ls_bytes {
    atomic_size_t uses;
    size_t len;
    char data[];
};

struct ls_bytes *ls_bytes_new(const void *data, size_t len)
{
    if (len > SIZE_MAX - sizeof(struct ls_bytes) - 1) return NULL;
    struct ls_bytes *bytes = ls_malloc(sizeof *bytes + len + 1);
    if (!bytes) return NULL;
    atomic_init(&bytes->uses, 1);
    bytes->len = len;
    if (len) memcpy(bytes->data, data, len);
    bytes->data[len] = 0;
    return bytes;
}

struct ls_bytes *ls_bytes_ref(struct ls_bytes *bytes)
{
    if (bytes) atomic_fetch_add_explicit(&bytes->uses, 1, memory_order_relaxed);
    return bytes;
}

void ls_bytes_unref(struct ls_bytes *bytes)
{
    if (bytes && atomic_fetch_sub_explicit(&bytes->uses, 1, memory_order_acq_rel) == 1) ls_free(bytes);
}

const char *ls_bytes_data(const struct ls_bytes *bytes)
{
    return bytes ? bytes->data : "";
}

size_t ls_bytes_len(const struct ls_bytes *bytes)
{
    return bytes ? bytes->len : 0;
}
