/* Tokens of Lua 5.4. Follows Lua's own reader, in which a token's line is that of its last character. */
#include "syntax/syntax_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"

/* From TK_EOF on; the keywords are first. */
static const char *const token_names[] = {
    "<eof>", "and",   "break", "do",        "else",     "elseif", "end",     "false",  "for",    "function",
    "goto",  "if",    "in",    "local",     "nil",      "not",    "or",      "repeat", "return", "then",
    "true",  "until", "while", "//",        "..",       "...",    "==",      ">=",     "<=",     "~=",
    "<<",    ">>",    "::",    "<integer>", "<number>", "<name>", "<string>"};

const char *ls__token_name(int kind, char brief[2])
{
    if (kind >= TK_EOF) return token_names[kind - TK_EOF];
    brief[0] = (char)kind;
    brief[1] = '\0';
    return brief;
}

void ls__lex_no_memory(struct ls__lexer *lex)
{
    ls__lex_fail(lex, 0, "not enough memory");
}

void ls__lex_fail(struct ls__lexer *lex, int line, const char *format, ...)
{
    if (lex->error) {
        va_list args;
        va_start(args, format);
        lex->error->line = line;
        lex->error->start = lex->now.start;
        lex->error->end = lex->now.end;
        vsnprintf(lex->error->message, sizeof lex->error->message, format, args);
        va_end(args);
    }
    longjmp(lex->failed, 1);
}

void ls__lex_fail_near(struct ls__lexer *lex, const char *message)
{
    if (lex->now.kind == TK_EOF) ls__lex_fail(lex, lex->line, "%s near <eof>", message);
    size_t len = ls_utf8_cut(lex->text + lex->now.start, lex->now.end - lex->now.start);
    ls__lex_fail(lex, lex->line, "%s near '%.*s'", message, (int)(len < 40 ? len : 40), lex->text + lex->now.start);
}

void *ls__lex_take(struct ls__lexer *lex, size_t count, size_t size)
{
    void *piece = ls__pool_take(&lex->pool, count, size);
    if (!piece) ls__lex_no_memory(lex);
    return piece;
}

struct ls__word *ls__lex_word(struct ls__lexer *lex, const char *text, size_t len)
{
    const uint64_t hash = ls_hash(text, len);
    uint64_t at = hash; /* and behind it, in case of another word with the same hash */
    for (struct ls__word *word; (word = ls_idmap_get(lex->words, (int64_t)at)); at++)
        if (word->string.len == len && memcmp(word->string.text, text, len) == 0) return word;
    struct ls__word *word = ls__lex_take(lex, 1, sizeof *word);
    char *copy = ls__lex_take(lex, len + 1, 1);
    memcpy(copy, text, len);
    word->string = (struct ls_syntax_string){copy, (uint32_t)len};
    word->hash = hash;
    if (!ls_idmap_put(lex->words, (int64_t)at, word, NULL)) ls__lex_no_memory(lex);
    return word;
}

void ls__lexer_init(struct ls__lexer *lex, const char *text, size_t len)
{
    char *copy = ls__lex_take(lex, len + 3, 1); /* what looks ahead stops at the NUL */
    memcpy(copy, text, len);
    lex->text = lex->at = copy;
    lex->end = copy + len;
    lex->line = 1;
    lex->words = ls_idmap_new();
    if (!lex->words) ls__lex_no_memory(lex);
    for (int kind = TK_AND; kind <= TK_WHILE; kind++)
        ls__lex_word(lex, token_names[kind - TK_EOF], strlen(token_names[kind - TK_EOF]))->keyword = kind;
    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) lex->at += 3;
    if (*lex->at == '#') {
        const char *line_end = memchr(lex->at, '\n', (size_t)(lex->end - lex->at));
        lex->at = line_end ? line_end : lex->end;
    }
    ls__lex_next(lex);
}

void ls__lexer_release(struct ls__lexer *lex)
{
    ls_idmap_free(lex->words, NULL);
    ls__pool_release(&lex->pool);
}

/* The token that is being read reaches to here, for messages. */
static _Noreturn void fail_here(struct ls__lexer *lex, const char *message)
{
    lex->now = (struct ls__token){
        .kind = lex->at < lex->end ? 0 : TK_EOF, .start = lex->start, .end = (uint32_t)(lex->at - lex->text)};
    ls__lex_fail_near(lex, message);
}

static bool is_break(char c)
{
    return c == '\n' || c == '\r';
}

/* \r\n and \n\r are one. */
static void line_break(struct ls__lexer *lex)
{
    char first = *lex->at++;
    if (is_break(*lex->at) && *lex->at != first) lex->at++;
    lex->line++;
}

/* Past one character of white space, if there is any. */
static bool skip_white(struct ls__lexer *lex)
{
    if (is_break(*lex->at))
        line_break(lex);
    else if (*lex->at == ' ' || *lex->at == '\t' || *lex->at == '\f' || *lex->at == '\v')
        lex->at++;
    else
        return false;
    return true;
}

/* The level of the long bracket that opens at `at`; -1 = `[` alone, -2 = `[=` without the second bracket. */
static int bracket_level(const char *at, char bracket)
{
    int level = 0;
    while (at[1 + level] == '=')
        level++;
    return at[1 + level] == bracket ? level : level ? -2 : -1;
}

static struct ls_syntax_string long_string(struct ls__lexer *lex, int level, const char *what)
{
    int first_line = lex->line;
    lex->at += level + 2;
    if (is_break(*lex->at)) line_break(lex);
    const char *start = lex->at;
    while (*lex->at != ']' || bracket_level(lex->at, ']') != level) {
        if (lex->at >= lex->end) {
            lex->now.kind = TK_EOF;
            ls__lex_fail(lex, lex->line, "unfinished long %s (starting at line %d) near '<eof>'", what, first_line);
        }
        if (is_break(*lex->at))
            line_break(lex);
        else
            lex->at++;
    }
    struct ls_syntax_string string = {start, (uint32_t)(lex->at - start)};
    lex->at += level + 2;
    if (*what == 'c' || !memchr(start, '\r', string.len)) return string;
    char *copy = ls__lex_take(lex, string.len + 1, 1), *out = copy; /* whatever breaks a line, it is \n */
    for (const char *at = start, *end = start + string.len; at < end; at++) {
        *out++ = is_break(*at) ? '\n' : *at;
        if (is_break(*at) && at + 1 < end && is_break(at[1]) && at[1] != *at) at++;
    }
    return (struct ls_syntax_string){copy, (uint32_t)(out - copy)};
}

static unsigned hex_digit(struct ls__lexer *lex)
{
    int digit = lex->at < lex->end ? ls_hex_digit(*lex->at) : -1;
    if (digit < 0) fail_here(lex, "hexadecimal digit expected");
    lex->at++;
    return (unsigned)digit;
}

/* \u{…}, up to 2^31; the six-byte form that Lua writes. */
static char *unicode_escape(struct ls__lexer *lex, char *out)
{
    if (*lex->at++ != '{') fail_here(lex, "missing '{' in \\u{xxxx}");
    uint32_t code = hex_digit(lex);
    while (ls_hex_digit(*lex->at) >= 0) {
        if (code > 0x7FFFFFFFu >> 4) fail_here(lex, "UTF-8 value too large");
        code = code << 4 | hex_digit(lex);
    }
    if (*lex->at++ != '}') fail_here(lex, "missing '}' in \\u{xxxx}");
    int more = (code >= 0x80) + (code >= 0x800) + (code >= 0x10000) + (code >= 0x200000) + (code >= 0x4000000);
    *out++ = (char)((more ? 0xff80 >> more : 0) | (int)(code >> 6 * more));
    while (more-- > 0)
        *out++ = (char)(0x80 | (code >> 6 * more & 0x3f));
    return out;
}

static char *escape(struct ls__lexer *lex, char *out)
{
    static const char names[] = "abfnrtv\\\"'", values[] = "\a\b\f\n\r\t\v\\\"'";
    char c = lex->at < lex->end ? *lex->at : '\0';
    const char *name = c ? strchr(names, c) : NULL;
    if (name) {
        lex->at++;
        *out++ = values[name - names];
    } else if (is_break(c)) {
        line_break(lex);
        *out++ = '\n';
    } else if (c == 'x') {
        lex->at++;
        unsigned high = hex_digit(lex);
        *out++ = (char)(high << 4 | hex_digit(lex));
    } else if (c == 'u') {
        lex->at++;
        out = unicode_escape(lex, out);
    } else if (c == 'z') {
        lex->at++;
        while (skip_white(lex)) {
        }
    } else {
        int value = 0, digits = 0;
        for (; digits < 3 && *lex->at >= '0' && *lex->at <= '9'; digits++)
            value = value * 10 + (*lex->at++ - '0');
        if (digits == 0) fail_here(lex, lex->at < lex->end ? "invalid escape sequence" : "unfinished string");
        if (value > 255) fail_here(lex, "decimal escape too large");
        *out++ = (char)value;
    }
    return out;
}

static struct ls_syntax_string short_string(struct ls__lexer *lex)
{
    const char quote = *lex->at++, *start = lex->at;
    while (lex->at < lex->end && *lex->at != quote && *lex->at != '\\' && !is_break(*lex->at))
        lex->at++;
    if (lex->at < lex->end && *lex->at == quote) return (struct ls_syntax_string){start, (uint32_t)(lex->at++ - start)};
    /* An escape is never shorter than what it stands for; the string ends where its quote stands without one. */
    const char *close = lex->at;
    while (close < lex->end && *close != quote)
        close += *close == '\\' ? 2 : 1;
    char *copy = ls__lex_take(lex, (size_t)(close - start) + 2, 1), *out = copy + (lex->at - start);
    memcpy(copy, start, (size_t)(lex->at - start));
    for (;;) {
        if (lex->at >= lex->end || is_break(*lex->at)) fail_here(lex, "unfinished string");
        if (*lex->at == quote) break;
        if (*lex->at == '\\') {
            lex->at++;
            out = escape(lex, out);
        } else {
            *out++ = *lex->at++;
        }
    }
    lex->at++;
    return (struct ls_syntax_string){copy, (uint32_t)(out - copy)};
}

/* An integer if it looks like one and fits, as Lua's luaO_str2num decides; it begins with a digit, or a point before
 * one. */
static int number(struct ls__lexer *lex, struct ls__token *token)
{
    const char *start = lex->at, *digits = start;
    const bool hex = *start == '0' && (start[1] | 32) == 'x';
    if (hex) digits = lex->at += 2;
    for (;; lex->at++) { /* whatever a number may be written with */
        if ((*lex->at | 32) == (hex ? 'p' : 'e'))
            lex->at += lex->at[1] == '+' || lex->at[1] == '-';
        else if (ls_hex_digit(*lex->at) < 0 && *lex->at != '.')
            break;
    }
    if (ls_is_word(*lex->at)) lex->at++; /* is no number then */
    bool integer = lex->at > digits;
    uint64_t value = 0;
    for (const char *at = digits; at < lex->at && integer; at++) {
        const int digit = ls_hex_digit(*at);
        integer = hex ? digit >= 0
                      : digit >= 0 && digit <= 9 && (value < INT64_MAX / 10 || (value == INT64_MAX / 10 && digit <= 7));
        value = value * (hex ? 16 : 10) + (unsigned)digit;
    }
    token->integer = (int64_t)value;
    if (integer) return TK_INTEGER;
    char *end;
    token->number = strtod(start, &end);
    if (end != lex->at) fail_here(lex, "malformed number");
    return TK_FLOAT;
}

/* Past white space and comments. */
static void skip_space(struct ls__lexer *lex)
{
    for (;;) {
        while (skip_white(lex)) {
        }
        if (*lex->at != '-' || lex->at[1] != '-') return;
        lex->at += 2;
        int level = *lex->at == '[' ? bracket_level(lex->at, '[') : -1;
        if (level >= 0) long_string(lex, level, "comment");
        while (level < 0 && lex->at < lex->end && !is_break(*lex->at))
            lex->at++;
    }
}

/* A token of one character, or of that and `second`. */
static int one_or_two(struct ls__lexer *lex, char second, int kind)
{
    int one = (unsigned char)*lex->at++;
    if (*lex->at != second) return one;
    lex->at++;
    return kind;
}

static int read_token(struct ls__lexer *lex, struct ls__token *token)
{
    const char *start = lex->at;
    char c = *start;
    if (start >= lex->end) return TK_EOF;
    if (c >= '0' && c <= '9') return number(lex, token);
    if (ls_is_word(c)) {
        while (ls_is_word(*lex->at))
            lex->at++;
        token->word = ls__lex_word(lex, start, (size_t)(lex->at - start));
        return token->word->keyword ? token->word->keyword : TK_NAME;
    }
    switch (c) {
    case '[': {
        int level = bracket_level(start, '[');
        if (level == -2) fail_here(lex, "invalid long string delimiter");
        if (level == -1) break;
        token->string = long_string(lex, level, "string");
        return TK_STRING;
    }
    case '"':
    case '\'': token->string = short_string(lex); return TK_STRING;
    case '=': return one_or_two(lex, '=', TK_EQ);
    case '~': return one_or_two(lex, '=', TK_NE);
    case '/': return one_or_two(lex, '/', TK_IDIV);
    case ':': return one_or_two(lex, ':', TK_DBCOLON);
    case '<': return start[1] == '<' ? one_or_two(lex, '<', TK_SHL) : one_or_two(lex, '=', TK_LE);
    case '>': return start[1] == '>' ? one_or_two(lex, '>', TK_SHR) : one_or_two(lex, '=', TK_GE);
    case '.':
        if (start[1] >= '0' && start[1] <= '9') return number(lex, token);
        if (one_or_two(lex, '.', TK_CONCAT) == '.') return '.';
        if (*lex->at != '.') return TK_CONCAT;
        lex->at++;
        return TK_DOTS;
    default: break;
    }
    lex->at++;
    return (unsigned char)c;
}

static void read_into(struct ls__lexer *lex, struct ls__token *token)
{
    skip_space(lex);
    token->line = lex->line;
    token->start = (uint32_t)(lex->at - lex->text);
    lex->start = token->start;
    token->kind = read_token(lex, token);
    token->end = (uint32_t)(lex->at - lex->text);
    token->last_line = lex->line;
}

void ls__lex_next(struct ls__lexer *lex)
{
    lex->last_end = lex->now.end;
    if (lex->has_ahead) {
        lex->now = lex->ahead;
        lex->has_ahead = false;
    } else {
        read_into(lex, &lex->now);
    }
}

int ls__lex_ahead(struct ls__lexer *lex)
{
    if (!lex->has_ahead) read_into(lex, &lex->ahead);
    lex->has_ahead = true;
    return lex->ahead.kind;
}
