/* JSON text: writer and pull reader. The reader keeps the grammar in one byte and one bit a level, so it needs no
 * memory and no recursion, and 1,000 levels of brackets from a peer cost 1,000 steps (P section 17). */
#include "base/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* --- writing --- */

void ls_json_string(struct ls_buf *buf, const char *text, size_t len)
{
    if (!ls_buf_reserve(buf, len + 2)) return; /* a text for which there is no room is not looked through first */
    ls_buf_char(buf, '"');
    ls_json_piece(buf, text, len);
    ls_buf_char(buf, '"');
}

void ls_json_piece(struct ls_buf *buf, const char *text, size_t len)
{
    size_t from = 0, at = 0;
    while (at < len) {
        unsigned char c = (unsigned char)text[at];
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            at++;
            continue;
        }
        size_t step = ls_utf8_step(text + at, len - at);
        if (c >= 0x80 && step) {
            at += step;
            continue;
        }
        ls_buf_add(buf, text + from, at - from);
        switch (c) {
        case '"': ls_buf_str(buf, "\\\""); break;
        case '\\': ls_buf_str(buf, "\\\\"); break;
        case '\n': ls_buf_str(buf, "\\n"); break;
        case '\r': ls_buf_str(buf, "\\r"); break;
        case '\t': ls_buf_str(buf, "\\t"); break;
        default:
            if (c < 0x20)
                ls_buf_printf(buf, "\\u%04x", c);
            else
                ls_buf_str(buf, LS_REPLACEMENT);
        }
        from = ++at;
    }
    ls_buf_add(buf, text + from, len - from);
}

void ls_json_str(struct ls_buf *buf, const char *text)
{
    ls_json_string(buf, text, strlen(text));
}

void ls_json_int(struct ls_buf *buf, int64_t number)
{
    char digits[24], *at = digits + sizeof digits;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0) *--at = '-';
    ls_buf_add(buf, at, (size_t)(digits + sizeof digits - at));
}

bool ls_json_double(struct ls_buf *buf, double number)
{
    if (!isfinite(number)) {
        ls_buf_str(buf, "null");
        return false;
    }
    if (fabs(number) <= 9007199254740992.0 && number == floor(number)) {
        ls_json_int(buf, (int64_t)number);
        return true;
    }
    char text[40];
    for (int digits = 15; digits <= 17; digits++) { /* the shortest that reads back equal */
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number) break;
    }
    ls_buf_str(buf, text);
    return true;
}

void ls_json_key(struct ls_buf *buf, const char *name)
{
    char before = buf->len ? buf->data[buf->len - 1] : '\n';
    if (before != '{' && before != '[' && before != ',' && before != ':' && before != '\n') ls_buf_char(buf, ',');
    if (!name) return;
    ls_json_str(buf, name);
    ls_buf_char(buf, ':');
}

void ls_json_open(struct ls_buf *buf, const char *name, char bracket)
{
    ls_json_key(buf, name);
    ls_buf_char(buf, bracket);
}

void ls_json_put_str(struct ls_buf *buf, const char *name, const char *text)
{
    if (text)
        ls_json_put_string(buf, name, text, strlen(text));
    else
        ls_json_put_raw(buf, name, "null", 4);
}

void ls_json_put_string(struct ls_buf *buf, const char *name, const char *text, size_t len)
{
    ls_json_key(buf, name);
    ls_json_string(buf, text, len);
}

void ls_json_put_int(struct ls_buf *buf, const char *name, int64_t number)
{
    ls_json_key(buf, name);
    ls_json_int(buf, number);
}

void ls_json_put_bool(struct ls_buf *buf, const char *name, bool value)
{
    ls_json_key(buf, name);
    ls_buf_str(buf, value ? "true" : "false");
}

void ls_json_put_raw(struct ls_buf *buf, const char *name, const char *json, size_t len)
{
    ls_json_key(buf, name);
    ls_buf_add(buf, json, len);
}

/* --- reading --- */

/* What the grammar allows next. */
enum { WANT_VALUE, WANT_VALUE_OR_END, WANT_KEY, WANT_KEY_OR_END, WANT_COMMA_OR_END, WANT_NOTHING, BROKEN };

void ls_json_read(struct ls_json_reader *reader, const char *text, size_t len)
{
    reader->at = text;
    reader->end = text + len;
    reader->start = text;
    reader->problem = NULL;
    reader->text = NULL;
    reader->len = 0;
    reader->escaped = false;
    reader->integer = 0;
    reader->number = 0;
    reader->depth = 0;
    reader->expect = WANT_VALUE;
}

static enum ls_json_token fail(struct ls_json_reader *reader, const char *problem)
{
    reader->expect = BROKEN;
    reader->problem = problem;
    return LS_JSON_ERROR;
}

static bool in_object(const struct ls_json_reader *reader)
{
    unsigned level = reader->depth - 1;
    return reader->stack[level / 8] >> (level % 8) & 1;
}

static enum ls_json_token open_level(struct ls_json_reader *reader, bool object)
{
    if (reader->depth >= LS_JSON_DEPTH) return fail(reader, "nested too deeply");
    unsigned level = reader->depth++;
    uint8_t bit = (uint8_t)(1u << (level % 8));
    reader->stack[level / 8] = object ? reader->stack[level / 8] | bit : reader->stack[level / 8] & (uint8_t)~bit;
    reader->at++;
    reader->expect = object ? WANT_KEY_OR_END : WANT_VALUE_OR_END;
    return object ? LS_JSON_OBJECT : LS_JSON_ARRAY;
}

static void value_done(struct ls_json_reader *reader)
{
    reader->expect = reader->depth ? WANT_COMMA_OR_END : WANT_NOTHING;
}

static enum ls_json_token close_level(struct ls_json_reader *reader, bool object)
{
    if (!reader->depth || in_object(reader) != object) return fail(reader, "bracket does not match");
    reader->depth--;
    reader->at++;
    value_done(reader);
    return object ? LS_JSON_OBJECT_END : LS_JSON_ARRAY_END;
}

/* The opening quote has been seen. Leaves the raw span in text/len. */
static bool scan_string(struct ls_json_reader *reader)
{
    const char *at = reader->at + 1;
    reader->text = at;
    reader->escaped = false;
    for (;; at++) {
        if (at >= reader->end) break;
        unsigned char c = (unsigned char)*at;
        if (c == '"') {
            reader->len = (size_t)(at - reader->text);
            reader->at = at + 1;
            return true;
        }
        if (c < 0x20) {
            fail(reader, "control character in a string");
            return false;
        }
        if (c != '\\') continue;
        reader->escaped = true;
        if (++at >= reader->end) break;
        if (*at == 'u') {
            for (int i = 0; i < 4; i++) {
                if (++at >= reader->end) break;
                if (ls_hex_digit(*at) < 0) {
                    fail(reader, "bad \\u escape");
                    return false;
                }
            }
        } else if (!strchr("\"\\/bfnrt", *at) || !*at) {
            fail(reader, "unknown escape");
            return false;
        }
    }
    fail(reader, "string without end");
    return false;
}

/* JSON's own number grammar, then the value: integral numbers in 64-bit range are exact integers (T37). */
static enum ls_json_token scan_number(struct ls_json_reader *reader)
{
    const char *at = reader->at, *end = reader->end, *digits;
    bool integral = true;
    if (at < end && *at == '-') at++;
    digits = at;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    if (at == digits || (*digits == '0' && at - digits > 1)) return fail(reader, "bad number");
    if (at < end && *at == '.') {
        integral = false;
        const char *fraction = ++at;
        while (at < end && *at >= '0' && *at <= '9')
            at++;
        if (at == fraction) return fail(reader, "bad number");
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        integral = false;
        if (++at < end && (*at == '+' || *at == '-')) at++;
        const char *exponent = at;
        while (at < end && *at >= '0' && *at <= '9')
            at++;
        if (at == exponent) return fail(reader, "bad number");
    }
    char copy[64];
    const char *text = copy;
    size_t len = (size_t)(at - reader->at);
    struct ls_buf long_text = LS_BUF_INIT;
    if (len < sizeof copy) {
        memcpy(copy, reader->at, len);
        copy[len] = 0;
    } else if (at < end) { /* thousands of digits are legal; what follows ends them for strtod, too */
        text = reader->at;
    } else if (reader->depth) {
        return fail(reader, "text ends early");
    } else { /* nothing may be read behind them */
        ls_buf_add(&long_text, reader->at, len);
        if (ls_buf_failed(&long_text)) return fail(reader, "out of memory while reading a number");
        text = long_text.data;
    }
    enum ls_json_token token = LS_JSON_DOUBLE;
    errno = 0;
    if (integral) {
        long long whole = strtoll(text, NULL, 10);
        if (errno != ERANGE) {
            reader->integer = whole;
            reader->number = (double)whole;
            token = LS_JSON_INT;
        }
    }
    if (token == LS_JSON_DOUBLE) {
        reader->number = strtod(text, NULL);
        /* -9223372036854775809 has an integral value and reads as -2^63 in a double, but it is not in the range. */
        if (!integral && reader->number == floor(reader->number) && reader->number >= -9223372036854775808.0 &&
            reader->number < 9223372036854775808.0) {
            reader->integer = (int64_t)reader->number;
            token = LS_JSON_INT;
        }
    }
    ls_buf_release(&long_text);
    if (!isfinite(reader->number)) return fail(reader, "number out of range");
    reader->at = at;
    value_done(reader);
    return token;
}

static enum ls_json_token scan_word(struct ls_json_reader *reader, const char *word, enum ls_json_token token)
{
    size_t len = strlen(word);
    if ((size_t)(reader->end - reader->at) < len || memcmp(reader->at, word, len)) return fail(reader, "unknown word");
    reader->at += len;
    value_done(reader);
    return token;
}

static enum ls_json_token scan_value(struct ls_json_reader *reader)
{
    switch (*reader->at) {
    case '{': return open_level(reader, true);
    case '[': return open_level(reader, false);
    case '"':
        if (!scan_string(reader)) return LS_JSON_ERROR;
        value_done(reader);
        return LS_JSON_STRING;
    case 't': return scan_word(reader, "true", LS_JSON_TRUE);
    case 'f': return scan_word(reader, "false", LS_JSON_FALSE);
    case 'n': return scan_word(reader, "null", LS_JSON_NULL);
    default: return scan_number(reader);
    }
}

static void skip_blanks(struct ls_json_reader *reader)
{
    while (reader->at < reader->end &&
           (*reader->at == ' ' || *reader->at == '\n' || *reader->at == '\t' || *reader->at == '\r'))
        reader->at++;
}

static enum ls_json_token scan_key(struct ls_json_reader *reader)
{
    if (*reader->at != '"') return fail(reader, "member name expected");
    if (!scan_string(reader)) return LS_JSON_ERROR;
    skip_blanks(reader);
    if (reader->at >= reader->end || *reader->at != ':') return fail(reader, "colon expected");
    reader->at++;
    reader->expect = WANT_VALUE;
    return LS_JSON_KEY;
}

enum ls_json_token ls_json_next(struct ls_json_reader *reader)
{
    if (reader->expect == BROKEN) return LS_JSON_ERROR;
    skip_blanks(reader);
    reader->start = reader->at;
    if (reader->at >= reader->end)
        return reader->expect == WANT_NOTHING ? LS_JSON_END : fail(reader, "text ends early");
    char c = *reader->at;
    if (reader->expect == WANT_COMMA_OR_END) {
        if (c == '}') return close_level(reader, true);
        if (c == ']') return close_level(reader, false);
        if (c != ',') return fail(reader, "comma expected");
        reader->at++;
        skip_blanks(reader);
        reader->start = reader->at;
        if (reader->at >= reader->end) return fail(reader, "text ends early");
        c = *reader->at;
        reader->expect = in_object(reader) ? WANT_KEY : WANT_VALUE;
    }
    switch (reader->expect) {
    case WANT_NOTHING: return fail(reader, "something follows the value");
    case WANT_KEY_OR_END:
        if (c == '}') return close_level(reader, true);
        return scan_key(reader);
    case WANT_KEY: return scan_key(reader);
    case WANT_VALUE_OR_END:
        if (c == ']') return close_level(reader, false);
        return scan_value(reader);
    default: return scan_value(reader);
    }
}

bool ls_json_skip(struct ls_json_reader *reader, enum ls_json_token first, const char **text, size_t *len)
{
    if (first == LS_JSON_KEY) first = ls_json_next(reader);
    if (first == LS_JSON_ERROR || first == LS_JSON_END || first == LS_JSON_ARRAY_END || first == LS_JSON_OBJECT_END)
        return false;
    const char *start = reader->start;
    if (first == LS_JSON_ARRAY || first == LS_JSON_OBJECT) {
        unsigned outside = reader->depth - 1;
        while (reader->depth > outside)
            if (ls_json_next(reader) == LS_JSON_ERROR) return false;
    }
    if (text) *text = start;
    if (len) *len = (size_t)(reader->at - start);
    return true;
}

static unsigned read_hex4(const char *at)
{
    return (unsigned)(ls_hex_digit(at[0]) << 12 | ls_hex_digit(at[1]) << 8 | ls_hex_digit(at[2]) << 4 |
                      ls_hex_digit(at[3]));
}

/* `at` stands on the u of a \u escape; returns the position after it (and after a second one, if both form a pair). */
static const char *unescape_code(struct ls_buf *buf, const char *at, const char *end)
{
    unsigned code = read_hex4(at + 1);
    at += 5;
    if (code >= 0xd800 && code < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
        unsigned low = read_hex4(at + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            ls_utf8_add(buf, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
            return at + 6;
        }
    }
    if (code >= 0xd800 && code < 0xe000)
        ls_buf_str(buf, LS_REPLACEMENT);
    else
        ls_utf8_add(buf, code);
    return at;
}

static char named_escape(char c)
{
    switch (c) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return c;
    }
}

void ls_json_unescape(struct ls_buf *buf, const char *raw, size_t len)
{
    const char *at = raw, *end = raw + len;
    while (at < end) {
        const char *slash = memchr(at, '\\', (size_t)(end - at));
        if (!slash) slash = end;
        ls_buf_add(buf, at, (size_t)(slash - at));
        if (slash + 1 >= end) return;
        at = slash + 1;
        if (*at == 'u')
            at = unescape_code(buf, at, end);
        else
            ls_buf_char(buf, named_escape(*at++));
    }
}

/* Wants no memory, so that the answer is the same each time. */
bool ls_json_equals(const struct ls_json_reader *reader, const char *name)
{
    size_t len = strlen(name);
    if (!reader->escaped) return reader->len == len && memcmp(reader->text, name, len) == 0;
    char bytes[6 * LS_JSON_NAME + 1]; /* room for the raw span: no escape is shorter than what it stands for */
    struct ls_buf plain = {.data = bytes, .cap = sizeof bytes};
    if (len > LS_JSON_NAME || reader->len > 6 * len) return false;
    ls_json_unescape(&plain, reader->text, reader->len);
    return plain.len == len && memcmp(plain.data, name, len) == 0;
}

bool ls_json_member(const char *text, size_t len, const char *name, const char **value, size_t *value_len)
{
    struct ls_json_reader reader;
    ls_json_read(&reader, text, len);
    if (ls_json_next(&reader) != LS_JSON_OBJECT) return false;
    bool found = false;
    for (;;) {
        enum ls_json_token token = ls_json_next(&reader);
        if (token != LS_JSON_KEY) return found && token == LS_JSON_OBJECT_END;
        bool wanted = ls_json_equals(&reader, name);
        const char *span;
        size_t span_len;
        if (!ls_json_skip(&reader, token, &span, &span_len)) return false;
        if (wanted) {
            *value = span;
            *value_len = span_len;
            found = true;
        }
    }
}
