/* Does a Lua text still define a function of that name, and for whom (H51)? It is looked at as text: what a guard keeps
 * from running has left no other trace.
 *
 * A definition is `function X:name`, `X.name =`, `X["name"] =`, `rawset(X, "name", …)`, or a field of a table
 * constructor. Whose it is, is the caller's judgement about X. Comments count for nothing. Owner thread: any. Refuses
 * to know the VM. */
#include "reload/threeway_text.h"

#include <ctype.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"

/* A text without its comments, in which one may look back. */
struct source {
    char *text; /* owned; comments are blanks */
    size_t len;
};

static bool open_source(struct source *source, const char *text, size_t len)
{
    *source = (struct source){ls_strndup(text, len), len};
    if (!source->text) return false;
    const char *string;
    size_t string_len;
    for (size_t at = 0; at < len;) {
        const char *next = ls_lua_skip(text + at, text + len, &string, &string_len);
        size_t end = next ? (size_t)(next - text) : at + 1;
        if (next && !string) memset(source->text + at, ' ', end - at); /* short strings may be keys */
        at = end;
    }
    return true;
}

/* The place behind the last character before `at` that is no blank. */
static size_t back(const struct source *s, size_t at)
{
    while (at > 0 && isspace((unsigned char)s->text[at - 1]))
        at--;
    return at;
}

static char before(const struct source *s, size_t at)
{
    at = back(s, at);
    return at > 0 ? s->text[at - 1] : '\0';
}

static size_t forth(const struct source *s, size_t at)
{
    while (at < s->len && isspace((unsigned char)s->text[at]))
        at++;
    return at;
}

/* Is what stands at `at` given a value: `=`, or `,` as one of several? */
static bool is_given(const struct source *s, size_t at)
{
    at = forth(s, at);
    return at < s->len && (s->text[at] == ',' || (s->text[at] == '=' && (at + 1 == s->len || s->text[at + 1] != '=')));
}

static bool ends_with_word(const struct source *s, size_t end, const char *word)
{
    size_t len = strlen(word);
    return end >= len && memcmp(s->text + end - len, word, len) == 0 &&
           (end == len || !ls_is_word(s->text[end - len - 1]));
}

/* The names with dots that end at `end`; *start = where they begin. */
static bool chain(const struct source *s, size_t end, size_t *start)
{
    size_t at = end;
    while (at > 0 && (ls_is_word(s->text[at - 1]) || s->text[at - 1] == '.'))
        at--;
    *start = at;
    return at < end && s->text[at] != '.';
}

/* Whose is a field of the constructor around `at`? */
static bool in_constructor(const struct source *s, size_t at, ls__owner_judge judge, void *ctx)
{
    int depth = 0;
    while (at > 0 && (depth > 0 || s->text[at - 1] != '{')) {
        char c = s->text[--at];
        depth += (c == '}' || c == ')' || c == ']') - (c == '{' || c == '(' || c == '[');
        if (depth < 0) return false; /* an argument, no field */
    }
    if (at == 0) return false;
    size_t end = back(s, at - 1), start;
    char c = end > 0 ? s->text[end - 1] : '\0';
    if (ends_with_word(s, end, "return")) return judge(ctx, LS_OWNER_RETURNED, "", 0);
    if (c == '=' && chain(s, back(s, end - 1), &start))
        return judge(ctx, LS_OWNER_CHAIN, s->text + start, back(s, end - 1) - start);
    if (c != ',') return false;
    /* `prototype("Name", {`: the text before the comma. */
    end = back(s, end - 1);
    char quote = end > 1 ? s->text[end - 1] : '\0';
    if (quote != '"' && quote != '\'') return true; /* made in some other way, which may be the owner's */
    for (start = end - 1; start > 0 && s->text[start - 1] != quote;)
        start--;
    return start > 0 && judge(ctx, LS_OWNER_NAMED, s->text + start, end - 1 - start);
}

static bool defines_at(const struct source *s, size_t at, size_t end, ls__owner_judge judge, void *ctx)
{
    size_t start, open = at;
    char c = before(s, at);
    if ((c == '.' || c == ':') && chain(s, back(s, back(s, at) - 1), &start)) {
        bool method = ends_with_word(s, back(s, start), "function");
        return (method || (c == '.' && is_given(s, end))) &&
               judge(ctx, LS_OWNER_CHAIN, s->text + start, back(s, back(s, at) - 1) - start);
    }
    if (at > 0 && (s->text[at - 1] == '"' || s->text[at - 1] == '\'')) {
        open = at - 1;
        end++;
        c = before(s, open);
        if (c == ',' && chain(s, back(s, back(s, open) - 1), &start) && before(s, start) == '(' &&
            ends_with_word(s, back(s, back(s, start) - 1), "rawset"))
            return judge(ctx, LS_OWNER_CHAIN, s->text + start, back(s, back(s, open) - 1) - start);
        size_t close = forth(s, end);
        if (c != '[' || close >= s->len || s->text[close] != ']' || !is_given(s, close + 1)) return false;
        open = back(s, open) - 1;
        if (chain(s, back(s, open), &start) && !ends_with_word(s, back(s, open), "return"))
            return judge(ctx, LS_OWNER_CHAIN, s->text + start, back(s, open) - start);
        return in_constructor(s, open, judge, ctx);
    }
    end = forth(s, end);
    return end < s->len && s->text[end] == '=' && is_given(s, end) && in_constructor(s, open, judge, ctx);
}

bool ls__text_defines(const char *text, size_t len, const char *name, size_t name_len, ls__owner_judge judge, void *ctx)
{
    struct source source;
    bool defined = false;
    if (!ls_find_word(text, len, name, name_len)) return false;
    if (!open_source(&source, text, len)) return true; /* without memory nothing is taken away */
    const char *at = source.text, *end = source.text + len;
    while (!defined && (at = ls_find_word(at, (size_t)(end - at), name, name_len))) {
        defined = defines_at(&source, (size_t)(at - source.text), (size_t)(at - source.text) + name_len, judge, ctx);
        at += name_len;
    }
    ls_free(source.text);
    return defined;
}

bool ls__text_names(const char *text, size_t len, const char *name, size_t name_len, const char **made,
                    size_t *made_len)
{
    struct source source;
    bool found = false;
    *made = NULL;
    if (!open_source(&source, text, len)) return false;
    const char *at = source.text, *end = source.text + len;
    while (!found && (at = ls_find_word(at, (size_t)(end - at), name, name_len))) {
        size_t place = forth(&source, (size_t)(at - source.text) + name_len);
        at += name_len;
        if (place >= len || !is_given(&source, place) || source.text[place] != '=') continue;
        found = true;
        size_t line = place;
        while (line < len && source.text[line] != '\n' && source.text[line] != '{')
            line++;
        const char *call = memmem(source.text + place, line - place, "prototype", 9);
        const char *quote = call ? strpbrk(call, "\"'") : NULL;
        const char *close = quote && (size_t)(quote - source.text) < line
                                ? memchr(quote + 1, *quote, (size_t)(source.text + len - quote - 1))
                                : NULL;
        if (close) {
            *made = text + (quote + 1 - source.text);
            *made_len = (size_t)(close - quote - 1);
        }
    }
    ls_free(source.text);
    return found;
}
