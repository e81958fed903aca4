/* Pages as text: the built-in ones with their blanks filled in, and where something is added to a site's own.
 *
 * Threads: any. */
#include "http/http.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "files/embed.h"

struct ls_bytes *ls_http_page_fill(const char *name, const char *const *pairs)
{
    const struct ls_embed *embed = ls_embed_find(name);
    struct ls_bytes *page = embed ? ls_embed_read(embed) : NULL;
    struct ls_buf out = LS_BUF_INIT;
    const char *at = ls_bytes_data(page), *end = at + ls_bytes_len(page);
    while (at < end) {
        const char *open = strstr(at, "{{"), *close = open ? strstr(open, "}}") : NULL;
        if (!close) break;
        ls_buf_add(&out, at, (size_t)(open - at));
        bool known = false;
        for (size_t i = 0; !known && pairs[i]; i += 2)
            if (strlen(pairs[i]) == (size_t)(close - open - 2) && strncmp(pairs[i], open + 2, strlen(pairs[i])) == 0) {
                ls_html_escape(&out, pairs[i + 1], strlen(pairs[i + 1]));
                known = true;
            }
        if (!known) ls_buf_add(&out, open, (size_t)(close + 2 - open));
        at = close + 2;
    }
    ls_buf_add(&out, at, (size_t)(end - at));
    struct ls_bytes *filled = page && !ls_buf_failed(&out) ? ls_bytes_new(ls_buf_text(&out), out.len) : NULL;
    ls_buf_release(&out);
    ls_bytes_unref(page);
    return filled;
}

void ls_http_page_base(const char *path, struct ls_buf *base)
{
    const char *slash = strchr(path + 1, '/');
    if (!slash) ls_buf_str(base, "./");
    for (; slash; slash = strchr(slash + 1, '/'))
        ls_buf_str(base, "../");
}

void ls_http_page_add(struct ls_buf *out, const char *part, size_t len, const char *base)
{
    static const char *const starts[] = {LS_CLIENT_ENTRY, " href=\"/lsess-client/"};
    for (const char *end = part + len; base && part < end;) {
        const char *next = NULL;
        for (size_t i = 0; i < 2; i++) {
            const char *found = memmem(part, (size_t)(end - part), starts[i], strlen(starts[i]));
            if (found && (!next || found < next)) next = found;
        }
        if (!next) break;
        next = strchr(next, '/');
        ls_buf_add(out, part, (size_t)(next - part));
        ls_buf_str(out, base);
        part = next + 1;
        len = (size_t)(end - part);
    }
    ls_buf_add(out, part, len);
}

size_t ls_http_page_head(const char *page, size_t len)
{
    const char *head = strcasestr(page, "<head");
    while (head && !strchr(" \t\r\n>", head[5]))
        head = strcasestr(head + 5, "<head");
    const char *place = head ? head : strcasestr(page, "<html");
    if (!place) place = strcasestr(page, "<!doctype");
    const char *end = place ? strchr(place, '>') : NULL;
    return end && (size_t)(end + 1 - page) <= len ? (size_t)(end + 1 - page) : 0;
}
