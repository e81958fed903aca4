/* Small questions about text. */
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

size_t ls_utf8_step(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    if (len == 0) return 0;
    if (s[0] < 0x80) return 1;
    if (s[0] < 0xc2) return 0;
    size_t need = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    if (need == 0 || len < need) return 0;
    for (size_t i = 1; i < need; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if (s[0] == 0xe0 && s[1] < 0xa0) return 0; /* overlong */
    if (s[0] == 0xed && s[1] > 0x9f) return 0; /* surrogates */
    if (s[0] == 0xf0 && s[1] < 0x90) return 0; /* overlong */
    if (s[0] == 0xf4 && s[1] > 0x8f) return 0; /* beyond U+10FFFF */
    return need;
}

uint32_t ls_utf8_code(const char *text, size_t step)
{
    uint32_t code = (unsigned char)text[0] & (step > 1 ? 0xffu >> (step + 1) : 0xffu);
    for (size_t i = 1; i < step; i++)
        code = code << 6 | (text[i] & 0x3f);
    return code;
}

size_t ls_utf8_cut(const char *text, size_t len)
{
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        unsigned char c = (unsigned char)text[len - back];
        if ((c & 0xc0) != 0x80) return (c < 0xc0 ? 1u : c < 0xe0 ? 2u : c < 0xf0 ? 3u : 4u) > back ? len - back : len;
    }
    return len;
}

void ls_utf8_add(struct ls_buf *buf, uint32_t code)
{
    unsigned more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    ls_buf_char(buf, (char)(more ? 0xff00u >> (more + 1) | code >> 6 * more : code));
    while (more--)
        ls_buf_char(buf, (char)(0x80 | (code >> 6 * more & 0x3f)));
}

bool ls_text_blank(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] != ' ' && (text[i] < '\t' || text[i] > '\r')) return false;
    return true;
}

bool ls_utf8_valid(const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        if (len - at >= 8) { /* eight ASCII bytes at once: what texts mostly are */
            uint64_t word;
            memcpy(&word, text + at, 8);
            if (!(word & UINT64_C(0x8080808080808080))) {
                at += 8;
                continue;
            }
        }
        size_t step = ls_utf8_step(text + at, len - at);
        if (!step) return false;
        at += step;
    }
    return true;
}

void ls_format_duration(struct ls_buf *buf, int64_t ns)
{
    if (ns < 1000)
        ls_buf_printf(buf, "%lldns", (long long)ns);
    else if (ns < 1000000)
        ls_buf_printf(buf, "%.1fus", (double)ns / 1e3);
    else if (ns < 1000000000)
        ls_buf_printf(buf, "%.2fms", (double)ns / 1e6);
    else
        ls_buf_printf(buf, "%.3fs", (double)ns / 1e9);
}

/* Digits only: no sign, no blanks, no other base. */
static const char *parse_digits(const char *text, uint64_t *number)
{
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return NULL;
    }
    if (at == text) return NULL;
    *number = value;
    return at;
}

bool ls_parse_duration(const char *text, int64_t *ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    uint64_t number, product;
    const char *rest = parse_digits(text, &number);
    if (!rest) return false;
    if (!*rest) {
        if (number) return false; /* only 0 goes without a unit */
        *ms = 0;
        return true;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(rest, units[i].unit)) continue;
        if (__builtin_mul_overflow(number, units[i].ms, &product) || product > INT64_MAX / 1000000) return false;
        *ms = (int64_t)product;
        return true;
    }
    return false;
}

bool ls_parse_size(const char *text, uint64_t *bytes)
{
    uint64_t number;
    const char *rest = parse_digits(text, &number);
    if (!rest) return false;
    uint64_t factor = 1;
    if (*rest) {
        if (rest[1]) return false;
        switch (*rest) {
        case 'K':
        case 'k': factor = UINT64_C(1) << 10; break;
        case 'M':
        case 'm': factor = UINT64_C(1) << 20; break;
        case 'G':
        case 'g': factor = UINT64_C(1) << 30; break;
        default: return false;
        }
    }
    uint64_t product;
    if (__builtin_mul_overflow(number, factor, &product) || product > INT64_MAX) return false;
    *bytes = product;
    return true;
}

bool ls_parse_int(const char *text, int64_t min, int64_t max, int64_t *number)
{
    bool negative = *text == '-';
    uint64_t value;
    const char *rest = parse_digits(text + negative, &value);
    if (!rest || *rest || value > INT64_MAX) return false;
    int64_t signed_value = negative ? -(int64_t)value : (int64_t)value;
    if (signed_value < min || signed_value > max) return false;
    *number = signed_value;
    return true;
}

uint64_t ls_hash(const void *bytes, size_t len)
{
    /* FNV-1a over eight bytes at a time with a final mix: fast enough to be nothing beside reading the file. */
    const unsigned char *at = bytes;
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ len;
    const uint64_t prime = UINT64_C(0x100000001b3);
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    for (; len; at++, len--)
        hash = (hash ^ *at) * prime;
    hash ^= hash >> 33;
    hash *= UINT64_C(0xff51afd7ed558ccd);
    return hash ^ (hash >> 33);
}

/* Of characters of two bytes and more. */
static bool is_hidden(unsigned code)
{
    return code < 0xa0 || code == 0x61c || code == 0x200e || code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069);
}

void ls_text_show(struct ls_buf *out, const char *text, size_t len, const char *indent)
{
    size_t from = 0, at = 0;
    while (at < len) {
        size_t step = ls_utf8_step(text + at, len - at);
        uint32_t code = ls_utf8_code(text + at, step);
        if (step == 1 ? (code >= 32 && code != 127) || code == '\t' : step && !is_hidden(code)) {
            at += step;
            continue;
        }
        ls_buf_add(out, text + from, at - from);
        if (code == '\n' && indent) {
            ls_buf_char(out, '\n');
            ls_buf_str(out, at + 1 < len ? indent : "");
        } else {
            ls_buf_printf(out, step > 1 ? "\\u{%x}" : "\\x%02x", code);
        }
        from = at += step ? step : 1;
    }
    ls_buf_add(out, text + from, len - from);
}

void ls_text_without_nul(struct ls_buf *out, const char *text, size_t len)
{
    for (const char *nul; (nul = memchr(text, '\0', len)); text = nul + 1) {
        ls_buf_add(out, text, (size_t)(nul - text));
        ls_buf_str(out, LS_REPLACEMENT);
        len -= (size_t)(nul - text) + 1;
    }
    ls_buf_add(out, text, len);
}

void ls_html_escape(struct ls_buf *buf, const char *text, size_t len)
{
    size_t from = 0;
    for (size_t i = 0; i < len; i++) {
        const char *reference;
        switch (text[i]) {
        case '&': reference = "&amp;"; break;
        case '<': reference = "&lt;"; break;
        case '>': reference = "&gt;"; break;
        case '"': reference = "&quot;"; break;
        case '\'': reference = "&#39;"; break;
        default: continue;
        }
        ls_buf_add(buf, text + from, i - from);
        ls_buf_str(buf, reference);
        from = i + 1;
    }
    ls_buf_add(buf, text + from, len - from);
}

/* Distance with insertions, deletions, replacements and swaps of neighbours, each counted once. */
bool ls_text_near(const char *word, const char *candidate)
{
    enum { LONGEST = 48 };
    size_t n = strlen(word), m = strlen(candidate);
    if (n == 0 || n > LONGEST || m > LONGEST) return false;
    unsigned rows[3][LONGEST + 1]; /* the present one and the two before, by turns */
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned best = above[j - 1] + (word[i - 1] != candidate[j - 1]);
            if (above[j] + 1 < best) best = above[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && word[i - 1] == candidate[j - 2] && word[i - 2] == candidate[j - 1];
            if (swapped && two_above[j - 2] + 1 < best) best = two_above[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[n % 3][m] <= (m < 5 ? 1u : 2u) || (n >= 3 && strncmp(word, candidate, n) == 0);
}

int ls_random_id(char *id, struct ls_err *err)
{
    unsigned char bytes[LS_RANDOM_ID / 2];
    size_t got = 0;
    while (got < sizeof bytes) {
        ssize_t n = getrandom(bytes + got, sizeof bytes - got, 0);
        if (n < 0 && errno != EINTR) return ls_fail(err, LS_EIO, "No random bytes for an id: %s.", strerror(errno));
        got += n > 0 ? (size_t)n : 0;
    }
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}
