/* pendingReloads: files that have changed and wait (section 5); what becomes of them is settle.c's. Settling thread.
 * Rules: H21, H23. */
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "files/fspath.h"
#include "hotload/hotload_internal.h"

static struct ls__pending *entry_of(struct ls_hotload *h, const char *path)
{
    struct ls__pending *entry = ls_map_get(h->pendingReloads, path, strlen(path));
    if (entry) return entry;
    entry = ls_zalloc(sizeof *entry);
    char *copy = ls_strdup(path);
    if (entry && copy && ls_map_put(h->pendingReloads, path, strlen(path), entry, NULL)) {
        entry->path = copy;
        entry->first_ns = ls_now_ns();
        return entry;
    }
    ls_free(copy);
    ls_free(entry);
    return NULL;
}

static void free_entry(void *value)
{
    struct ls__pending *entry = value;
    if (entry) ls_free(entry->path);
    ls_free(entry);
}

void ls__pending_free(struct ls_hotload *h)
{
    ls_map_free(h->pendingReloads, free_entry);
    h->pendingReloads = NULL;
}

void ls__pending_drop(struct ls_hotload *h, struct ls__pending *entry)
{
    ls_map_take(h->pendingReloads, entry->path, strlen(entry->path));
    free_entry(entry);
}

struct ls__pending *ls__pend(struct ls_hotload *h, const char *path)
{
    struct ls__pending *entry = entry_of(h, path);
    if (!entry) return NULL;
    entry->last_ns = ls_now_ns();
    if (!entry->waiting || entry->absent) entry->first_ns = entry->last_ns;
    entry->waiting = true;
    entry->absent = entry->unasked = false;
    return entry;
}

void ls__pend_unasked(struct ls_hotload *h, const char *path)
{
    bool known = ls_map_get(h->pendingReloads, path, strlen(path));
    struct ls__pending *entry = ls__pend(h, path);
    if (entry) entry->unasked = !known;
}

void ls__pend_dirty(struct ls_hotload *h, const char *path)
{
    struct ls__pending *entry = entry_of(h, path);
    if (!entry) return;
    entry->dirty_ns = ls_now_ns();
    entry->unasked = false;
    if (entry->absent) entry->waiting = entry->absent = false;
    if (entry->waiting) entry->last_ns = entry->dirty_ns;
}

void ls__pend_absent(struct ls_hotload *h, const char *path)
{
    struct ls__pending *entry = entry_of(h, path);
    if (!entry) return;
    entry->dirty_ns = 0;
    entry->hold_ns = 0;
    entry->unasked = false;
    if (!entry->absent) entry->first_ns = entry->last_ns = ls_now_ns();
    entry->waiting = entry->absent = true;
}

void ls__know(struct ls_hotload *h, const char *real, const struct ls__stamp *stamp)
{
    struct ls__stamp *copy = ls_malloc(sizeof *copy);
    void *old = NULL;
    if (copy) *copy = *stamp;
    if (copy && !ls_map_put(h->known, real, strlen(real), copy, &old)) old = copy;
    ls_free(old);
}

void ls__pend_found(struct ls_hotload *h, const char *real, const struct ls__stamp *stamp, bool fresh)
{
    const struct ls__stamp *before = ls_map_get(h->known, real, strlen(real));
    const struct ls__pending *entry = ls_map_get(h->pendingReloads, real, strlen(real));
    if (h->opening)
        ls__know(h, real, stamp);
    else if ((fresh || !before || !ls__stamp_equal(before, stamp)) && (!entry || entry->absent))
        ls__pend(h, real);
}

bool ls__is_there(const struct ls_hotload *h, const char *path)
{
    char *real = ls_path_within(h->within, path, NULL);
    ls_free(real);
    return real;
}
