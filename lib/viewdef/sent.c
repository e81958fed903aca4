/* What one connection has been sent (P105, P107), and what is due to it.
 * Owner thread: that of the session to which the connection belongs; the store below has its own lock. It refuses to
 * send: the caller puts the text into the `viewdefs` property of variable 1. */
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "viewdef/viewdef_internal.h"

struct ls_viewdef_sent {
    struct ls_map *stamps; /* key -> content hash of the text that was sent, as the pointer itself */
};

struct ls_viewdef_sent *ls_viewdef_sent_new(struct ls_budget *budget)
{
    struct ls_viewdef_sent *sent = ls_zalloc(sizeof *sent);
    if (sent && !(sent->stamps = ls_map_new_in(budget))) {
        ls_free(sent);
        return NULL;
    }
    return sent;
}

void ls_viewdef_sent_free(struct ls_viewdef_sent *sent)
{
    if (!sent) return;
    ls_map_free(sent->stamps, NULL);
    ls_free(sent);
}

void ls_viewdef_sent_clear(struct ls_viewdef_sent *sent)
{
    struct ls_map_entry *entry = ls_map_first(sent->stamps);
    while (entry) {
        struct ls_map_entry *next = ls_map_next(entry);
        size_t len;
        const char *key = ls_map_key(entry, &len);
        ls_map_take(sent->stamps, key, len);
        entry = next;
    }
}

static bool has_type(const struct ls__view *view, const char *const *types, size_t count)
{
    size_t len = (size_t)(strrchr(view->key, '.') - view->key);
    for (size_t i = 0; i < count; i++)
        if (strlen(types[i]) == len && memcmp(types[i], view->key, len) == 0) return true;
    return false;
}

/* @return 1 written, 0 not due, LS_ENOMEM */
static int write_due(struct ls_viewdef_sent *sent, const struct ls__view *view, struct ls_buf *json, bool first)
{
    void *stamp = (void *)(uintptr_t)view->stamp;
    size_t len = strlen(view->key);
    if (ls_map_get(sent->stamps, view->key, len) == stamp) return 0;
    if (!ls_map_put(sent->stamps, view->key, len, stamp, NULL)) return LS_ENOMEM;
    ls_buf_char(json, first ? '{' : ',');
    ls_buf_add(json, ls_bytes_data(view->member), ls_bytes_len(view->member));
    return 1;
}

int ls_viewdefs_due(struct ls_viewdefs *views, struct ls_viewdef_sent *sent, const char *const *types,
                    size_t type_count, bool (*withheld)(void *ctx, const char *real_path), void *ctx,
                    struct ls_buf *json)
{
    int written = 0;
    for (int builtin = 0; builtin < 2; builtin++) {
        if (builtin && type_count == 0) break;
        struct ls__view **list;
        int count = ls__viewdefs_snapshot(views, builtin, &list), rc = 0;
        if (count < 0) return count;
        for (int i = 0; i < count && rc >= 0; i++) {
            const struct ls__view *view = list[i];
            if (builtin && !has_type(view, types, type_count)) continue;
            if (!builtin && withheld && view->real && withheld(ctx, view->real)) {
                /* it counts as not sent when it comes back (L52a) */
                ls_map_take(sent->stamps, view->key, strlen(view->key));
                continue;
            }
            rc = write_due(sent, view, json, written == 0);
            written += rc > 0;
        }
        ls__views_release(list, (size_t)count);
        if (rc < 0) return rc;
    }
    if (written) ls_buf_char(json, '}');
    return ls_buf_failed(json) ? LS_ENOMEM : written;
}
