/* What one connection has been sent (P105, P107), and what is due to it.
 * Owner thread: that of the session to which the connection belongs; the store below has its own lock. It refuses to
 * send: the caller puts the text into the `viewdefs` property of variable 1. */
#include <string.h>

#include "viewdef/viewdef_internal.h"

void ls_viewdefs_sent_clear(struct ls_map *sent)
{
    struct ls_map_item *item = ls_map_first(sent);
    while (item) {
        struct ls_map_item *next = ls_map_next(item);
        size_t len;
        const char *key = ls_map_key(item, &len);
        ls_map_take(sent, key, len);
        item = next;
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
static int write_due(struct ls_map *sent, const struct ls__view *view, struct ls_buf *json, bool first)
{
    void *stamp = (void *)(uintptr_t)view->stamp;
    size_t len = strlen(view->key);
    if (ls_map_get(sent, view->key, len) == stamp) return 0;
    if (!ls_map_put(sent, view->key, len, stamp, NULL)) return LS_ENOMEM;
    ls_buf_char(json, first ? '{' : ',');
    ls_buf_add(json, ls_bytes_data(view->member), ls_bytes_len(view->member));
    return 1;
}

int ls_viewdefs_due(struct ls_viewdefs *views, struct ls_map *sent, const char *const *types, size_t type_count,
                    bool (*withheld)(void *ctx, const char *real_path), void *ctx, struct ls_buf *json)
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
                /* it counts as not sent when it comes back */
                ls_map_take(sent, view->key, strlen(view->key));
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
