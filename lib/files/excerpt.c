/* Where in a line of source an error message points, and the mark below it (excerpt.h). Thread: any. Pure. */
#include "files/excerpt.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/text.h"
#include "files/fspath.h"
#include "syntax/tokens.h"

enum { MOST_WORDS = 8 }; /* of a message that are looked for */

/* Is it what Lua calls by the words that end at `quote`: a field, a method, a variable? */
static bool is_meant(const char *message, const char *quote, char before, enum ls_token_kind kind)
{
    static const struct {
        const char *what;
        bool member;
    } kinds[] = {{"field ", true}, {"method ", true}, {"global ", false}, {"local ", false}, {"upvalue ", false}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t len = strlen(kinds[i].what);
        if ((size_t)(quote - message) < len || memcmp(quote - len, kinds[i].what, len) != 0) continue;
        bool member = before == '.' || before == ':' || (before == '[' && kind == LS_TOKEN_STRING);
        return kind == LS_TOKEN_NAME ? member == kinds[i].member : member && kinds[i].member;
    }
    return true;
}

/* The first token of the line that is the quoted word, or begins with it where that is more than a token. */
static bool find_word(const char *text, size_t len, const char *line, size_t line_len, const char *message,
                      const char *quote, struct ls_token *found)
{
    const char *word = quote + 1;
    size_t word_len = strcspn(word, "'\n"), from = (size_t)(line - text);
    struct ls_tokens *tokens = word_len > 0 ? ls_tokens_open(text, len) : NULL;
    bool is = false;
    for (char before = '\0'; tokens && !is && ls_tokens_next(tokens, found); before = found->symbol) {
        if (found->start >= from + line_len) break;
        if (found->start < from || !is_meant(message, quote, before, found->kind)) continue;
        const char *at = text + found->start, *end = at + word_len;
        if (found->kind == LS_TOKEN_STRING) {
            is = found->string.len == word_len && memcmp(found->string.text, word, word_len) == 0;
        } else {
            is = word_len <= line_len - (found->start - from) && memcmp(at, word, word_len) == 0 &&
                 (!ls_is_word(end[-1]) || end == text + len || !ls_is_word(*end));
            found->end = found->start + (uint32_t)word_len;
        }
    }
    ls_tokens_close(tokens);
    return is;
}

/* The place in a line that a message means. @return offset in bytes, at most `line_len`
 * @param width  out: bytes of the token, 1 where there is none */
static size_t find_column(const char *text, size_t len, const char *line, size_t line_len, const char *message,
                          size_t *width)
{
    size_t from = (size_t)(line - text), indent = 0;
    struct ls_token at = {0};
    struct ls_syntax_error error = {0};
    if (strstr(message, " near ")) ls_syntax_free(ls_syntax_parse(text, len, &error));
    bool found = error.line > 0 && error.start >= from && error.start < from + line_len;
    if (found) {
        at.start = error.start;
        at.end = error.end;
    }
    const char *open = strchr(message, '\'');
    for (int i = 0; !found && open && open[1 + strcspn(open + 1, "'\n")] == '\'' && i < MOST_WORDS; i++) {
        found = find_word(text, len, line, line_len, message, open, &at);
        open = strchr(open + strcspn(open + 1, "'") + 2, '\'');
    }
    *width = 1;
    if (found) {
        size_t end = at.end < from + line_len ? at.end : from + line_len;
        if (end > at.start) *width = end - at.start;
        return at.start - from;
    }
    while (indent < line_len && (line[indent] == ' ' || line[indent] == '\t'))
        indent++;
    return indent < line_len ? indent : 0;
}

/* The mark below the line when that is shown from the byte `from` on: one column a character, tabs kept. */
static void write_mark(struct ls_buf *out, const char *text, size_t len, size_t from, size_t column, size_t width)
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
    column = at_end ? at.len : find_column(source, len, at.text, at.len, message, &width);
    size_t from = column > WIDEST - MARGIN ? cut(at.text, at.len, column - MARGIN) : 0;
    if (before.text) write_line(out, &before, from);
    write_line(out, &at, from);
    ls_buf_str(out, "\n        | ");
    write_mark(out, at.text, at.len, from, column, width);
}

/* --- for a page --- */

enum {
    AROUND = 2,         /* lines before and after that of the error */
    WIDEST_SHOWN = 400, /* bytes that are shown of a line */
};

/* The mark below the line of the error. At the end of the file the place is behind what is there. */
static void add_caret(struct ls_buf *out, const char *text, size_t text_len, const char *line, size_t len,
                      const char *message)
{
    size_t width = 1, column = len = trimmed(line, len);
    if (!ls_has_suffix(message, "near <eof>")) column = find_column(text, text_len, line, len, message, &width);
    if (column > WIDEST_SHOWN) return;
    ls_buf_str(out, "\n     | ");
    write_mark(out, line, len, 0, column, width > WIDEST_SHOWN - column ? 1 : width);
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
    if (!text || line <= 0) return;
    const char *at = text, *end = text + len;
    if (ls_has_suffix(message, "near <eof>")) line = last_written_line(text, len);
    for (int number = 1; at < end && number <= line + AROUND; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t line_len = (size_t)((stop ? stop : end) - at);
        if (number >= line - AROUND) {
            ls_buf_printf(out, "%s%4d | %.*s", any ? "\n" : "", number,
                          (int)(line_len > WIDEST_SHOWN ? WIDEST_SHOWN : line_len), at);
            any = true;
            if (number == line) add_caret(out, text, len, at, line_len, message);
        }
        at = stop ? stop + 1 : end;
    }
}
