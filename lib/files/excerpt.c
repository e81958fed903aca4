/* Where in a line of source an error message points, and the mark below it (excerpt.h). Thread: any. Pure. */
#include "files/excerpt.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/text.h"
#include "files/fspath.h"

size_t ls_excerpt_column(const char *text, size_t len, const char *message, size_t *width)
{
    const char *near = strstr(message, " near '");
    *width = 1;
    for (const char *open = strchr(near ? near : message, '\''); open; open = strchr(open, '\'')) {
        size_t quoted = strcspn(open + 1, "'\n");
        if (open[1 + quoted] != '\'') break;
        const char *at = ls_find_word(text, len, open + 1, quoted);
        if (at) {
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
    for (size_t i = 0; i < width;
         i += i < width && column + i < len ? ls_utf8_next(text + column + i, len - column - i) : 1)
        ls_buf_char(out, i == 0 ? '^' : '~');
}

/* --- for a terminal --- */

enum {
    WIDEST = 140, /* bytes of a line that are shown */
    MARGIN = 40,  /* bytes before the place when the line is longer than that */
};

struct line {
    const char *text;
    size_t len;
    int number;
};

static size_t trimmed(const char *text, size_t len)
{
    while (len > 0 && strchr(" \t\r", text[len - 1]))
        len--;
    return len;
}

/* The line of that number, and the one before it that is not blank. @return false when there is none such */
static bool find_lines(const char *source, size_t len, int number, struct line *before, struct line *at)
{
    const char *end = source + len;
    *before = *at = (struct line){0};
    for (int n = 1; n <= number && source < end; n++) {
        const char *stop = memchr(source, '\n', (size_t)(end - source));
        struct line line = {source, trimmed(source, (size_t)((stop ? stop : end) - source)), n};
        if (at->text && at->len > 0) *before = *at;
        *at = line;
        source = stop ? stop + 1 : end;
    }
    return at->text;
}

static void write_text(struct ls_buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t bytes = ls_utf8_next(text + i, len - i);
        unsigned char c = (unsigned char)text[i];
        if (bytes > 1)
            ls_buf_add(out, text + i, bytes);
        else
            ls_buf_char(out, c == '\t' || (c >= ' ' && c < 0x7f) ? (char)c : '?');
        i += bytes;
    }
}

/* Never cuts a character in two. */
static size_t cut(const char *text, size_t len, size_t most)
{
    return len <= most ? len : ls_utf8_cut(text, most);
}

static void write_line(struct ls_buf *out, const struct line *line, size_t from)
{
    ls_buf_printf(out, "\n  %5d | ", line->number);
    if (from > line->len) return;
    size_t shown = cut(line->text + from, line->len - from, WIDEST);
    write_text(out, line->text + from, shown);
    if (from + shown < line->len) ls_buf_str(out, "…");
}

void ls_excerpt_write(struct ls_buf *out, const char *source, size_t len, int number, const char *message)
{
    struct line before, at;
    if (!find_lines(source, len, number, &before, &at)) return;
    size_t width = 1, column = at.len;
    bool at_end = at.len == 0 || number > at.number || ls_has_suffix(message, "near <eof>");
    if (at.len == 0 && before.text) { /* nothing can be seen on a blank line: the last thing written is what matters */
        at = before;
        find_lines(source, len, at.number, &before, &at);
    }
    column = at_end ? at.len : ls_excerpt_column(at.text, at.len, message, &width);
    size_t from = column > WIDEST - MARGIN ? cut(at.text, at.len, column - MARGIN) : 0;
    if (before.text) write_line(out, &before, from);
    write_line(out, &at, from);
    ls_buf_str(out, "\n        | ");
    ls_excerpt_caret(out, at.text, at.len, from, column, width);
}

/* --- for a page --- */

enum {
    AROUND = 2,         /* lines before and after that of the error */
    WIDEST_SHOWN = 400, /* bytes that are shown of a line */
};

/* The mark below the line of the error. At the end of the file the place is behind what is there. */
static void add_caret(struct ls_buf *out, const char *line, size_t len, const char *message)
{
    size_t width = 1;
    len = trimmed(line, len);
    size_t column = ls_has_suffix(message, "near <eof>") ? len : ls_excerpt_column(line, len, message, &width);
    if (column > WIDEST_SHOWN) return;
    ls_buf_str(out, "\n     | ");
    ls_excerpt_caret(out, line, len, 0, column, width > WIDEST_SHOWN - column ? 1 : width);
}

/* The end of the file is an empty line mostly: nothing can be seen there, and the last thing written is what matters.
 * */
static int last_written_line(const char *text, size_t len)
{
    int number = 1;
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    for (const char *at = text; (at = memchr(at, '\n', (size_t)(text + len - at))); at++)
        number++;
    return number;
}

void ls_excerpt_around(struct ls_buf *out, const char *text, size_t len, int line, const char *message)
{
    bool any = false;
    const char *end = text + len;
    if (!text || line <= 0) return;
    if (ls_has_suffix(message, "near <eof>")) line = last_written_line(text, len);
    for (int number = 1; text < end && number <= line + AROUND; number++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t line_len = (size_t)((stop ? stop : end) - text);
        if (number >= line - AROUND) {
            ls_buf_printf(out, "%s%4d | %.*s", any ? "\n" : "", number,
                          (int)(line_len > WIDEST_SHOWN ? WIDEST_SHOWN : line_len), text);
            any = true;
            if (number == line) add_caret(out, text, line_len, message);
        }
        text = stop ? stop + 1 : end;
    }
}
