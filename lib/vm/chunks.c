/* Compiled code shared by all sessions (chunks.h): chunk name → byte code of the text seen last under that name.
 *
 * One version a name is kept: a reload replaces it, so that the cache does not grow with the number of saves. Byte code
 * is never stripped: tracebacks need lines, the reload transaction needs names of locals (H56). It is never taken from
 * outside, only made here by lua_dump of a text that luaL_loadbufferx has accepted in text mode (L16).
 *
 * Thread: any; the mutex is private and held for look-ups only. */
#include "vm/chunks.h"

#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/text.h"
#include "files/embed.h"
#include "syntax/texts.h"
#include "vm/vm_internal.h"

struct chunk {
    uint64_t hash;
    size_t len;            /* of the text */
    struct ls_bytes *code; /* owned use */
};

struct ls_chunks {
    pthread_mutex_t lock;
    struct ls_map *by_name;  /* -- protected by lock: struct chunk */
    struct ls_map *embedded; /* -- protected by lock: texts of files that travel inside the program, struct ls_bytes */
    struct ls_map *records;  /* -- protected by lock: key → what an execution gave last, struct ls_bytes */
    struct ls_texts *texts;
};

struct ls_chunks *ls_chunks_new(struct ls_err *err)
{
    struct ls_chunks *chunks = ls_zalloc(sizeof *chunks);
    if (chunks) {
        chunks->by_name = ls_map_new();
        chunks->embedded = ls_map_new();
        chunks->records = ls_map_new();
        chunks->texts = ls_texts_new();
        pthread_mutex_init(&chunks->lock, NULL);
    }
    if (!chunks || !chunks->by_name || !chunks->embedded || !chunks->records || !chunks->texts) {
        ls_chunks_free(chunks);
        ls_fail(err, LS_ENOMEM, "Out of memory while making the cache of compiled code.");
        return NULL;
    }
    return chunks;
}

static void free_chunk(void *value)
{
    struct chunk *chunk = value;
    if (chunk) ls_bytes_unref(chunk->code);
    ls_free(chunk);
}

static void unref_text(void *value)
{
    ls_bytes_unref(value);
}

void ls_chunks_free(struct ls_chunks *chunks)
{
    if (!chunks) return;
    ls_map_free(chunks->embedded, unref_text);
    ls_map_free(chunks->records, unref_text);
    ls_texts_free(chunks->texts);
    ls_map_free(chunks->by_name, free_chunk);
    pthread_mutex_destroy(&chunks->lock);
    ls_free(chunks);
}

/* @return a use, or NULL */
static struct ls_bytes *find(struct ls_chunks *chunks, const struct ls_map *map, const char *key, size_t len)
{
    pthread_mutex_lock(&chunks->lock);
    struct ls_bytes *bytes = ls_bytes_ref(ls_map_get(map, key, len));
    pthread_mutex_unlock(&chunks->lock);
    return bytes;
}

struct ls_bytes *ls__chunks_embedded(struct ls_chunks *chunks, const struct ls_embed *embed)
{
    if (!chunks) return ls_embed_read(embed);
    size_t len = strlen(embed->name);
    struct ls_bytes *text = find(chunks, chunks->embedded, embed->name, len);
    if (text) return text;
    text = ls_embed_read(embed);
    if (!text) return NULL;
    pthread_mutex_lock(&chunks->lock);
    void *old = NULL;
    if (ls_map_put(chunks->embedded, embed->name, len, text, &old))
        ls_bytes_ref(text); /* the map's use beside the caller's */
    pthread_mutex_unlock(&chunks->lock);
    ls_bytes_unref(old); /* another thread has unpacked it meanwhile */
    return text;
}

struct ls_texts *ls__chunks_texts(struct ls_chunks *chunks)
{
    return chunks->texts;
}

struct ls_bytes *ls__chunks_share(struct ls_chunks *chunks, const char *key, struct ls_bytes *record)
{
    size_t len = ls_bytes_len(record);
    void *old = NULL;
    if (!record) return NULL;
    pthread_mutex_lock(&chunks->lock);
    struct ls_bytes *kept = ls_map_get(chunks->records, key, strlen(key));
    if (kept && ls_bytes_len(kept) == len && memcmp(ls_bytes_data(kept), ls_bytes_data(record), len) == 0) {
        old = record;
        record = ls_bytes_ref(kept);
    } else if (ls_map_put(chunks->records, key, strlen(key), record, &old)) {
        ls_bytes_ref(record);
    }
    pthread_mutex_unlock(&chunks->lock);
    ls_bytes_unref(old);
    return record;
}

/* The byte code kept for a chunk name (`@key`) and text. @return a use, NULL if there is none */
static struct ls_bytes *kept_code(struct ls_chunks *chunks, const char *name, uint64_t hash, size_t len)
{
    if (!chunks) return NULL;
    pthread_mutex_lock(&chunks->lock);
    struct chunk *chunk = ls_map_get(chunks->by_name, name, strlen(name));
    struct ls_bytes *code = chunk && chunk->hash == hash && chunk->len == len ? ls_bytes_ref(chunk->code) : NULL;
    pthread_mutex_unlock(&chunks->lock);
    return code;
}

/* Failing to keep the code costs time later and nothing else, so it is no error. */
static void keep_code(struct ls_chunks *chunks, const char *name, uint64_t hash, size_t len, const struct ls_buf *code)
{
    struct chunk *chunk = ls_zalloc(sizeof *chunk);
    struct ls_bytes *bytes = ls_bytes_new(ls_buf_text(code), code->len);
    void *old = NULL;
    if (chunk && bytes) {
        *chunk = (struct chunk){.hash = hash, .len = len, .code = bytes};
        pthread_mutex_lock(&chunks->lock);
        if (ls_map_put(chunks->by_name, name, strlen(name), chunk, &old)) {
            chunk = NULL;
            bytes = NULL;
        }
        pthread_mutex_unlock(&chunks->lock);
    }
    free_chunk(old);
    ls_bytes_unref(bytes);
    ls_free(chunk);
}

/* [-0, +0, -] the writer of lua_dump */
static int append_code(lua_State *L, const void *bytes, size_t len, void *buf)
{
    (void)L;
    ls_buf_add(buf, bytes, len);
    return ls_buf_failed(buf);
}

/* A byte order mark and a first line that starts with # do not count as code; the line break stays, so that lines keep
 * their numbers (L31). */
static void skip_head(const char **text, size_t *len)
{
    if (*len >= 3 && memcmp(*text, "\xEF\xBB\xBF", 3) == 0) {
        *text += 3;
        *len -= 3;
    }
    while (*len > 0 && **text == '#') {
        const char *end = memchr(*text, '\n', *len);
        size_t skip = end ? (size_t)(end - *text) : *len;
        *text += skip;
        *len -= skip;
    }
}

int ls__chunk_push(struct ls_session *session, const char *name, const char *text, size_t len, bool cache,
                   struct ls_err *err)
{
    lua_State *L = session->vm.L;
    if (!lua_checkstack(L, 2)) return ls_fail(err, LS_ELUA, "stack overflow");
    uint64_t hash = 0;
    if (cache && session->vm.chunks) {
        hash = ls_hash(text, len);
        session->vm.hashed = text;
        session->vm.hash = hash;
        struct ls_bytes *code = kept_code(session->vm.chunks, name, hash, len);
        if (code) {
            int status = luaL_loadbufferx(L, ls_bytes_data(code), ls_bytes_len(code), name, "b");
            ls_bytes_unref(code);
            return status == LUA_OK ? 0 : ls__lfail(session, status, err);
        }
    }
    const char *source = text;
    size_t source_len = len;
    skip_head(&source, &source_len);
    if (source_len > 0 && *source == *LUA_SIGNATURE && *name == '@') /* Lua's own words for it do not name the file */
        return ls_fail(err, LS_ESYNTAX, "%s:1: a compiled chunk stands where Lua text is wanted", name + 1);
    int status = luaL_loadbufferx(L, source, source_len, name, "t");
    if (status != LUA_OK) {
        int code = ls__lfail(session, status, err);
        if (code == LS_ELUA) {
            code = LS_ESYNTAX;
            if (err) err->code = code;
        }
        return code;
    }
    if (cache && session->vm.chunks) {
        struct ls_buf code = LS_BUF_INIT;
        lua_dump(L, append_code, &code, 0);
        if (!ls_buf_failed(&code)) keep_code(session->vm.chunks, name, hash, len, &code);
        ls_buf_release(&code);
    }
    return 0;
}
