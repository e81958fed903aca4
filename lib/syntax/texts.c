/* Shared texts (texts.h). A text goes with its last use; a comparison uses both of its texts, so only the last few are
 * kept here. Refuses to: keep a text that nobody runs. */
#include "syntax/texts.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"

enum { KEPT = 8 }; /* comparisons: the files of a burst, of which most sessions have the same versions */

struct ls_text {
    struct ls_texts *texts;
    size_t uses; /* -- protected by texts->lock */
    uint64_t hash;
    pthread_mutex_t lock;
    bool read;                /* -- protected by lock, as is: */
    struct ls_syntax *syntax; /* owned */
    size_t len;
    char bytes[];
};

struct ls_comparison {
    atomic_size_t uses;
    struct ls_text *before, *now; /* uses */
    struct ls_places *places;     /* owned */
};

struct ls_texts {
    pthread_mutex_t lock;
    struct ls_idmap *by_hash; /* of texts in use; one whose hash belongs to another text stands alone */
    struct ls_comparison *kept[KEPT];
    unsigned next;      /* of `kept`, to be replaced */
    atomic_size_t uses; /* its owner's, and those of its texts, which a session that is closing may hold longer */
};

struct ls_texts *ls_texts_new(void)
{
    struct ls_texts *texts = ls_zalloc(sizeof *texts);
    if (!texts) return NULL;
    pthread_mutex_init(&texts->lock, NULL);
    texts->uses = 1;
    texts->by_hash = ls_idmap_new();
    if (texts->by_hash) return texts;
    ls_texts_free(texts);
    return NULL;
}

static void drop_texts(struct ls_texts *texts)
{
    if (--texts->uses) return;
    ls_idmap_free(texts->by_hash, NULL);
    pthread_mutex_destroy(&texts->lock);
    ls_free(texts);
}

void ls_texts_free(struct ls_texts *texts)
{
    if (!texts) return;
    for (unsigned i = 0; i < KEPT; i++)
        ls_comparison_unref(texts->kept[i]);
    drop_texts(texts);
}

struct ls_text *ls_text_get(struct ls_texts *texts, const char *bytes, size_t len, uint64_t hash)
{
    pthread_mutex_lock(&texts->lock);
    struct ls_text *text = ls_idmap_get(texts->by_hash, (int64_t)hash);
    if (text && text->len == len && memcmp(text->bytes, bytes, len) == 0) {
        text->uses++;
    } else {
        bool taken = text;
        text = ls_zalloc(sizeof *text + len + 1);
        if (text && !taken && !ls_idmap_put(texts->by_hash, (int64_t)hash, text, NULL)) {
            ls_free(text);
            text = NULL;
        }
        if (text) {
            text->texts = texts;
            texts->uses++;
            text->uses = 1;
            text->hash = hash;
            text->len = len;
            memcpy(text->bytes, bytes, len);
            pthread_mutex_init(&text->lock, NULL);
        }
    }
    pthread_mutex_unlock(&texts->lock);
    return text;
}

struct ls_text *ls_text_ref(struct ls_text *text)
{
    if (!text) return NULL;
    pthread_mutex_lock(&text->texts->lock);
    text->uses++;
    pthread_mutex_unlock(&text->texts->lock);
    return text;
}

void ls_text_unref(struct ls_text *text)
{
    if (!text) return;
    struct ls_texts *texts = text->texts;
    pthread_mutex_lock(&texts->lock);
    bool last = --text->uses == 0;
    if (last && ls_idmap_get(texts->by_hash, (int64_t)text->hash) == text)
        ls_idmap_take(texts->by_hash, (int64_t)text->hash);
    pthread_mutex_unlock(&texts->lock);
    if (!last) return;
    ls_syntax_free(text->syntax);
    pthread_mutex_destroy(&text->lock);
    ls_free(text);
    drop_texts(texts);
}

const struct ls_syntax *ls_text_syntax(struct ls_text *text)
{
    if (!text) return NULL;
    pthread_mutex_lock(&text->lock);
    struct ls_syntax_error error = {0};
    if (!text->read) text->syntax = ls_syntax_parse(text->bytes, text->len, &error);
    text->read = text->read || text->syntax || error.line; /* without memory it is read again the next time */
    const struct ls_syntax *syntax = text->syntax;
    pthread_mutex_unlock(&text->lock);
    return syntax;
}

bool ls_text_is_lua(struct ls_text *text)
{
    pthread_mutex_lock(&text->lock);
    bool refused = text->read && !text->syntax;
    pthread_mutex_unlock(&text->lock);
    return !refused;
}

/* The lock is held. */
static struct ls_comparison *find(struct ls_texts *texts, const struct ls_text *before, const struct ls_text *now)
{
    for (unsigned i = 0; i < KEPT; i++) {
        struct ls_comparison *kept = texts->kept[i];
        if (kept && kept->before == before && kept->now == now) {
            kept->uses++;
            return kept;
        }
    }
    return NULL;
}

static struct ls_comparison *compare(struct ls_text *before, struct ls_text *now)
{
    const struct ls_syntax *old = ls_text_syntax(before), *new = ls_text_syntax(now);
    struct ls_comparison *made = new && (old || !before) ? ls_zalloc(sizeof *made) : NULL;
    struct ls_places *places = made ? ls_places_compare(old, new) : NULL;
    if (!places) {
        ls_free(made);
        return NULL;
    }
    made->uses = 1;
    made->before = ls_text_ref(before);
    made->now = ls_text_ref(now);
    made->places = places;
    return made;
}

struct ls_comparison *ls_text_compare(struct ls_text *before, struct ls_text *now)
{
    struct ls_texts *texts = now->texts;
    pthread_mutex_lock(&texts->lock);
    struct ls_comparison *found = find(texts, before, now);
    pthread_mutex_unlock(&texts->lock);
    if (found) return found;
    struct ls_comparison *made = compare(before, now), *dropped = NULL;
    if (!made) return NULL;
    pthread_mutex_lock(&texts->lock);
    found = find(texts, before, now); /* another session may have been faster */
    if (!found) {
        made->uses++;
        dropped = texts->kept[texts->next];
        texts->kept[texts->next++ % KEPT] = made;
        texts->next %= KEPT;
        found = made;
        made = NULL;
    }
    pthread_mutex_unlock(&texts->lock);
    ls_comparison_unref(made);
    ls_comparison_unref(dropped);
    return found;
}

void ls_comparison_unref(struct ls_comparison *comparison)
{
    if (!comparison || --comparison->uses) return;
    ls_places_free(comparison->places);
    ls_text_unref(comparison->before);
    ls_text_unref(comparison->now);
    ls_free(comparison);
}

const struct ls_places *ls_comparison_places(const struct ls_comparison *comparison)
{
    return comparison->places;
}
