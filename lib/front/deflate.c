/* Compressed messages (N6; RFC 7692): each by itself, since no context is taken over, so a stream of zlib can serve any
 * WebSocket. One for each way is kept; who finds it in use makes one for the moment. Thread: any. */
#include <string.h>
#include <zlib.h>

#include "base/alloc.h"
#include "front/front_internal.h"

enum { LEVEL = 3, WINDOW = 15, MEMORY = 8, STEP = 16384 };

static const unsigned char tail[4] = {0x00, 0x00, 0xff, 0xff}; /* of a flush: left out by the sender */

struct ls__deflater {
    atomic_int refs;
    /* -- protected by the lock of each */
    pthread_mutex_t out_lock, in_lock;
    z_stream out, in;
    bool out_made, in_made;
};

struct ls__deflater *ls__deflater_new(void)
{
    struct ls__deflater *deflater = ls_zalloc(sizeof *deflater);
    if (!deflater) return NULL;
    atomic_store(&deflater->refs, 1);
    pthread_mutex_init(&deflater->out_lock, NULL);
    pthread_mutex_init(&deflater->in_lock, NULL);
    return deflater;
}

struct ls__deflater *ls__deflater_ref(struct ls__deflater *deflater)
{
    atomic_fetch_add(&deflater->refs, 1);
    return deflater;
}

void ls__deflater_unref(struct ls__deflater *deflater)
{
    if (!deflater || atomic_fetch_sub(&deflater->refs, 1) != 1) return;
    if (deflater->out_made) deflateEnd(&deflater->out);
    if (deflater->in_made) inflateEnd(&deflater->in);
    pthread_mutex_destroy(&deflater->out_lock);
    pthread_mutex_destroy(&deflater->in_lock);
    ls_free(deflater);
}

static struct ls_bytes *compress_with(z_stream *stream, const char *data, size_t len)
{
    struct ls_bytes *bytes = NULL;
    unsigned char *out = ls_malloc(len);
    if (!out) return NULL;
    /* No more room than what it has to be smaller than. */
    stream->next_in = (unsigned char *)data;
    stream->avail_in = (uInt)len;
    stream->next_out = out;
    stream->avail_out = (uInt)len;
    if (deflate(stream, Z_SYNC_FLUSH) == Z_OK && stream->avail_out > 0 && stream->total_out > sizeof tail)
        bytes = ls_bytes_new(out, stream->total_out - sizeof tail);
    ls_free(out);
    return bytes;
}

static bool make_out(z_stream *stream, int bits)
{
    memset(stream, 0, sizeof *stream);
    return deflateInit2(stream, LEVEL, Z_DEFLATED, -bits, MEMORY, Z_DEFAULT_STRATEGY) == Z_OK;
}

struct ls_bytes *ls__deflate(struct ls__deflater *deflater, int bits, const char *data, size_t len)
{
    struct ls_bytes *bytes = NULL;
    if (len >= UINT32_MAX) return NULL;
    if (bits == WINDOW && pthread_mutex_trylock(&deflater->out_lock) == 0) {
        bool ready = deflater->out_made ? deflateReset(&deflater->out) == Z_OK : make_out(&deflater->out, bits);
        deflater->out_made = deflater->out_made || ready;
        if (ready) bytes = compress_with(&deflater->out, data, len);
        pthread_mutex_unlock(&deflater->out_lock);
        return bytes;
    }
    z_stream stream;
    if (!make_out(&stream, bits)) return NULL;
    bytes = compress_with(&stream, data, len);
    deflateEnd(&stream);
    return bytes;
}

/* Go on with what is in the stream until it wants more. @return as ls__inflate */
static int expand(z_stream *stream, uint64_t max, struct ls_buf *out,
                  bool (*grow)(void *ctx, struct ls_buf *out, size_t more), void *ctx)
{
    for (;;) {
        if (max > 0 && out->len > max) return LS_ELIMIT;
        if (out->cap < out->len + 2 && !grow(ctx, out, out->len > STEP ? out->len : STEP)) return LS_ENOMEM;
        size_t room = out->cap - out->len - 1;
        stream->next_out = (unsigned char *)out->data + out->len;
        stream->avail_out = (uInt)(room < UINT32_MAX ? room : UINT32_MAX);
        uInt before = stream->avail_out;
        int rc = inflate(stream, Z_SYNC_FLUSH);
        out->len += before - stream->avail_out;
        /* A sender may end its stream; a further block would be another one, which there is not in a message. */
        if (rc == Z_STREAM_END) return max > 0 && out->len > max ? LS_ELIMIT : 0;
        if (rc != Z_OK && rc != Z_BUF_ERROR) return LS_EINVAL;
        if (stream->avail_out > 0) return max > 0 && out->len > max ? LS_ELIMIT : 0;
    }
}

static int expand_with(z_stream *stream, const char *data, size_t len, uint64_t max, struct ls_buf *out,
                       bool (*grow)(void *ctx, struct ls_buf *out, size_t more), void *ctx)
{
    stream->next_in = (unsigned char *)data;
    stream->avail_in = (uInt)len;
    int rc = expand(stream, max, out, grow, ctx);
    if (rc < 0) return rc;
    stream->next_in = (unsigned char *)tail;
    stream->avail_in = sizeof tail;
    rc = expand(stream, max, out, grow, ctx);
    if (rc == 0 && out->data) out->data[out->len] = '\0';
    return rc;
}

static bool make_in(z_stream *stream)
{
    memset(stream, 0, sizeof *stream);
    return inflateInit2(stream, -WINDOW) == Z_OK;
}

int ls__inflate(struct ls__deflater *deflater, const char *data, size_t len, uint64_t max, struct ls_buf *out,
                bool (*grow)(void *ctx, struct ls_buf *out, size_t more), void *ctx)
{
    int rc = LS_ENOMEM;
    if (len >= UINT32_MAX) return LS_ELIMIT;
    if (pthread_mutex_trylock(&deflater->in_lock) == 0) {
        bool ready = deflater->in_made ? inflateReset(&deflater->in) == Z_OK : make_in(&deflater->in);
        deflater->in_made = deflater->in_made || ready;
        if (ready) rc = expand_with(&deflater->in, data, len, max, out, grow, ctx);
        pthread_mutex_unlock(&deflater->in_lock);
        return rc;
    }
    z_stream stream;
    if (!make_in(&stream)) return rc;
    rc = expand_with(&stream, data, len, max, out, grow, ctx);
    inflateEnd(&stream);
    return rc;
}
