/* Look-up in the generated table of embedded files. */
#include "files/embed.h"

#include <string.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/bytes.h"

const struct ls_embed *ls_embed_all(size_t *count)
{
    *count = ls_embed_count;
    return ls_embed_table;
}

const struct ls_embed *ls_embed_find(const char *name)
{
    size_t low = 0, high = ls_embed_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, ls_embed_table[middle].name);
        if (order == 0) return &ls_embed_table[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

struct ls_bytes *ls_embed_read(const struct ls_embed *file)
{
    size_t len = file->offset + file->len;
    unsigned char *plain = ls_malloc(len + 1); /* room beyond the end, so that the end is reached */
    if (!plain) return NULL;
    z_stream z = {0};
    struct ls_bytes *bytes = NULL;
    if (inflateInit2(&z, 15 + 16) == Z_OK) {
        z.next_in = (unsigned char *)file->stored;
        z.avail_in = (uInt)file->stored_len;
        z.next_out = plain;
        z.avail_out = (uInt)len + 1;
        inflate(&z, Z_SYNC_FLUSH); /* files behind this one stay packed */
        if (z.total_out >= len) bytes = ls_bytes_new(plain + file->offset, file->len);
        inflateEnd(&z);
    }
    ls_free(plain);
    return bytes;
}
