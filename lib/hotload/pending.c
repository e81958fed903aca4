/* pendingReloads: files that have changed and wait (section 5); what becomes of them is settle.c's. Settling thread.
 * Rules: H21, H23. */
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "files/fspath.h"
#include "hotload/hotload_internal.h"

static struct ls__pending *pending_of(struct ls_hotload *h, const char *path)
{
    struct ls__pending *pending = ls_map_get(h->pendingReloads, path, strlen(path));
    if (pending) return pending;
    pending = ls_zalloc(sizeof *pending);
    char *copy = ls_strdup(path);
    if (pending && copy && ls_map_put(h->pendingReloads, path, strlen(path), pending, NULL)) {
        pending->path = copy;
        pending->first_ns = ls_now_ns();
        return pending;
    }
    ls_free(copy);
    ls_free(pending);
    return NULL;
}

static void free_pending(void *value)
{
    struct ls__pending *pending = value;
    if (pending) ls_free(pending->path);
    ls_free(pending);
}

void ls__pending_free(struct ls_hotload *h)
{
    ls_map_free(h->pendingReloads, free_pending);
    h->pendingReloads = NULL;
}

void ls__pending_drop(struct ls_hotload *h, struct ls__pending *pending)
{
    ls_map_take(h->pendingReloads, pending->path, strlen(pending->path));
    free_pending(pending);
}

struct ls__pending *ls__pend(struct ls_hotload *h, const char *path)
{
    struct ls__pending *pending = pending_of(h, path);
    if (!pending) return NULL;
    pending->last_ns = ls_now_ns();
    if (!pending->waiting || pending->absent) pending->first_ns = pending->last_ns;
    pending->waiting = true;
    pending->absent = pending->unasked = false;
    return pending;
}

void ls__pend_unasked(struct ls_hotload *h, const char *path)
{
    bool known = ls_map_get(h->pendingReloads, path, strlen(path));
    struct ls__pending *pending = ls__pend(h, path);
    if (pending) pending->unasked = !known;
}

void ls__pend_dirty(struct ls_hotload *h, const char *path)
{
    struct ls__pending *pending = pending_of(h, path);
    if (!pending) return;
    pending->dirty_ns = ls_now_ns();
    pending->unasked = false;
    if (pending->absent) pending->waiting = pending->absent = false;
    if (pending->waiting) pending->last_ns = pending->dirty_ns;
}

void ls__pend_absent(struct ls_hotload *h, const char *path)
{
    struct ls__pending *pending = pending_of(h, path);
    if (!pending) return;
    pending->dirty_ns = 0;
    pending->hold_ns = 0;
    pending->unasked = false;
    if (!pending->absent) pending->first_ns = pending->last_ns = ls_now_ns();
    pending->waiting = pending->absent = true;
}

static void note_links(struct ls_hotload *h, const char *real)
{
    if (!h->told_linked)
        ls_log(
            1,
            "Hot reload: %s has another name, as a hard link. What is written by that name gives no event here; such files are polled every %lld ms.",
            real, (long long)(h->poll_ns / ls_ms(1)));
    h->told_linked = true;
    ls_map_put(h->linked, real, strlen(real), h->linked, NULL);
}

void ls__know(struct ls_hotload *h, const char *real, const struct ls__stamp *stamp)
{
    struct ls__stamp *copy = ls_malloc(sizeof *copy);
    void *old = NULL;
    if (copy) *copy = *stamp;
    if (copy && copy->young && !copy->hash) copy->hash = ls__hash_text(h->within, real);
    if (S_ISREG(stamp->type) && stamp->links > 1) note_links(h, real);
    if (copy && !ls_map_put(h->known, real, strlen(real), copy, &old)) old = copy;
    ls_free(old);
}

void ls__view_know(struct ls_hotload *h, const char *path, const char *real)
{
    char *copy = real ? ls_strdup(real) : NULL;
    void *old = NULL;
    if (!copy)
        old = ls_map_take(h->views, path, strlen(path));
    else if (!ls_map_put(h->views, path, strlen(path), copy, &old))
        old = copy;
    ls_free(old);
}

void ls__pend_found(struct ls_hotload *h, const char *real, const struct ls__stamp *stamp, bool fresh)
{
    const struct ls__stamp *before = ls_map_get(h->known, real, strlen(real));
    const struct ls__pending *pending = ls_map_get(h->pendingReloads, real, strlen(real));
    if (h->opening)
        ls__know(h, real, stamp);
    else if (pending && !pending->absent)
        ;
    else if (fresh || !before || !ls__stamp_equal(before, stamp) ||
             (before->young && ls__hash_text(h->within, real) != before->hash))
        ls__pend(h, real);
    else if (before->young) /* it was the same; what comes has another time */
        ls__know(h, real, stamp);
}

bool ls__is_there(const struct ls_hotload *h, const char *path)
{
    struct stat info;
    char *real = ls_path_within(h->within, path, NULL);
    bool there = real && ls__look(real, &info);
    ls_free(real);
    return there;
}
