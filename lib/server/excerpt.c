/* The source lines of an error with a caret below the place, as compilers show them (C2, H98). Any thread.
 *
 * Lua knows the line only. The column is that of the word which the message quotes; an error at the end of the file is shown behind the last
 * thing that was written. Refuses to hand control characters of a source to a terminal. */
#include <ctype.h>
#include <string.h>

#include "base/fspath.h"
#include "base/text.h"
#include "server/saves.h"

enum {
    WIDEST = 140,  /* bytes of a line that are shown */
    MARGIN = 40,   /* bytes before the place when the line is longer than that */
};

struct line {
    const char *text;
    size_t len;
    int number;
};

static size_t trimmed(const char *text, size_t len)
{
    while (len > 0 && strchr(" \t\r", text[len - 1]) != NULL)
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
        struct line line = {source, trimmed(source, (size_t)((stop != NULL ? stop : end) - source)), n};
        if (at->text != NULL && at->len > 0)
            *before = *at;
        *at = line;
        source = stop != NULL ? stop + 1 : end;
    }
    return at->text != NULL;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* A quoted word as a whole: `end` is not found in `append`. */
static const char *find_word(const struct line *line, const char *word, size_t len)
{
    const char *end = line->text + line->len;
    for (const char *at = line->text; len > 0 && (at = memmem(at, (size_t)(end - at), word, len)) != NULL; at++) {
        bool open = is_word(word[0]) && at > line->text && is_word(at[-1]);
        bool close = is_word(word[len - 1]) && at + len < end && is_word(at[len]);
        if (!open && !close)
            return at;
    }
    return NULL;
}

/* Where the message points: behind `near` for syntax errors, else the first quoted word that the line has. */
static size_t find_column(const struct line *line, const char *message, size_t *width)
{
    const char *near = strstr(message, " near '");
    const char *from = near != NULL ? near : message;
    *width = 1;
    for (const char *open = strchr(from, '\''); open != NULL; open = strchr(open, '\'')) {
        size_t len = strcspn(open + 1, "'\n");
        if (open[1 + len] != '\'')
            break;
        const char *at = find_word(line, open + 1, len);
        if (at != NULL) {
            *width = len;
            return (size_t)(at - line->text);
        }
        open += len + 2;
    }
    return strspn(line->text, " \t") < line->len ? strspn(line->text, " \t") : 0;
}

/* Bytes of a character of valid UTF-8, 1 for anything else. */
static size_t step(const char *text, size_t len)
{
    size_t bytes = ls_utf8_step(text, len);
    return bytes > 0 ? bytes : 1;
}

static void write_text(struct ls_buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t bytes = step(text + i, len - i);
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
    size_t at = 0;
    while (at < len) {
        size_t bytes = step(text + at, len - at);
        if (at + bytes > most)
            break;
        at += bytes;
    }
    return at;
}

static void write_line(struct ls_buf *out, const struct line *line, size_t from)
{
    ls_buf_printf(out, "\n  %5d | ", line->number);
    if (from > line->len)
        return;
    size_t shown = cut(line->text + from, line->len - from, WIDEST);
    write_text(out, line->text + from, shown);
    if (from + shown < line->len)
        ls_buf_str(out, "…");
}

void excerpt_write(struct ls_buf *out, const char *source, size_t len, int number, const char *message)
{
    struct line before, at;
    if (!find_lines(source, len, number, &before, &at))
        return;
    size_t width = 1, column = at.len;
    bool at_end = at.len == 0 || number > at.number || ls_has_suffix(message, "near <eof>");
    if (at.len == 0 && before.text != NULL) { /* nothing can be seen on a blank line: the last thing written is what matters */
        at = before;
        find_lines(source, len, at.number, &before, &at);
    }
    column = at_end ? at.len : find_column(&at, message, &width);
    size_t from = column > WIDEST - MARGIN ? cut(at.text, at.len, column - MARGIN) : 0;
    if (before.text != NULL)
        write_line(out, &before, from);
    write_line(out, &at, from);
    ls_buf_str(out, "\n        | ");
    for (size_t i = from; i < column; i += step(at.text + i, at.len - i))
        ls_buf_char(out, at.text[i] == '\t' ? '\t' : ' ');
    for (size_t i = 0; i < width; i += i < width && column + i < at.len ? step(at.text + column + i, at.len - column - i) : 1)
        ls_buf_char(out, i == 0 ? '^' : '~');
}
