/* Where in a line of source an error message points, and the mark below it (excerpt.h). Thread: any. Pure. */
#include "files/excerpt.h"

#include <string.h>

#include "base/text.h"

size_t ls_excerpt_column(const char *text, size_t len, const char *message, size_t *width)
{
    const char *near = strstr(message, " near '");
    *width = 1;
    for (const char *open = strchr(near != NULL ? near : message, '\''); open != NULL; open = strchr(open, '\'')) {
        size_t quoted = strcspn(open + 1, "'\n");
        if (open[1 + quoted] != '\'')
            break;
        const char *at = ls_find_word(text, len, open + 1, quoted);
        if (at != NULL) {
            *width = quoted;
            return (size_t)(at - text);
        }
        open += quoted + 2;
    }
    size_t indent = 0;
    while (indent < len && (text[indent] == ' ' || text[indent] == '\t'))
        indent++;
    return indent < len ? indent : 0;
}

void ls_excerpt_caret(struct ls_buf *out, const char *text, size_t len, size_t from, size_t column, size_t width)
{
    for (size_t i = from; i < column; i += ls_utf8_next(text + i, len - i))
        ls_buf_char(out, text[i] == '\t' ? '\t' : ' ');
    for (size_t i = 0; i < width; i += i < width && column + i < len ? ls_utf8_next(text + column + i, len - column - i) : 1)
        ls_buf_char(out, i == 0 ? '^' : '~');
}
