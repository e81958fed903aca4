/* Small questions about text: UTF-8, durations and sizes as people write them, content hashes. Thread: any. */
#ifndef LS_BASE_TEXT_H
#define LS_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/** Length of the valid UTF-8 sequence at `text`, 0 if the first byte does not begin one (surrogates and overlong forms
 * are not valid). */
size_t ls_utf8_step(const char *text, size_t len);
/** The same for walking over whatever text: 1 for a byte that is no part of a character. */
static inline size_t ls_utf8_next(const char *text, size_t len)
{
    size_t bytes = ls_utf8_step(text, len);
    return bytes ? bytes : 1;
}
/** The character at `text`, which is a valid sequence of `step` bytes. */
uint32_t ls_utf8_code(const char *text, size_t step);
/** How much of the first `len` bytes to keep so that the last character is whole. */
size_t ls_utf8_cut(const char *text, size_t len);
/** Append a character. */
void ls_utf8_add(struct ls_buf *buf, uint32_t code);
bool ls_utf8_valid(const char *text, size_t len); /* is all of it UTF-8? */
bool ls_text_blank(const char *text, size_t len); /* nothing but white space? */
/** What a hexadecimal digit stands for; -1 if it is none. */
static inline int ls_hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}
/** Is it a letter, a digit or `_`, which names of Lua consist of? */
static inline bool ls_is_word(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}
/** `870ns`, `12.4us`, `3.07ms`, `1.250s` (P14). */
void ls_format_duration(struct ls_buf *buf, int64_t ns);
/** A number with `ms`, `s`, `m`, `h`, or `0` (C2) to milliseconds; false if it is not one or out of range. */
bool ls_parse_duration(const char *text, int64_t *ms);
/** A number of bytes, or with K, M, G (powers of 1024) (C2). */
bool ls_parse_size(const char *text, uint64_t *bytes);
/** A whole decimal number in [min, max]. */
bool ls_parse_int(const char *text, int64_t min, int64_t max, int64_t *number);
/** 64-bit content hash (not for secrets): equal texts give equal hashes; used where bytes are compared afterwards or a
 * clash only costs a skipped reload with probability 2^-64. */
uint64_t ls_hash(const void *bytes, size_t len);
/** Append a text that is to be read as a C string: a NUL in it becomes U+FFFD, so that nothing behind it is lost. */
void ls_text_without_nul(struct ls_buf *out, const char *text, size_t len);
#define LS_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
/** Text for people, in a terminal or a log, from wherever it came: control characters (below U+0020 but for tab, U+007F
 * to U+009F), marks of writing direction, separators of lines and what is no UTF-8 are written as `\x1b` or `\u{9b}`.
 * Appends.
 * @param indent  what a further line begins with, so that it passes for none of ours; NULL = there are none, a newline
 * is written as `\x0a` */
void ls_text_show(struct ls_buf *out, const char *text, size_t len, const char *indent);
#define LS_INDENT    "    "
#define LS_RANDOM_ID 32 /* hex digits of an id that nobody can guess */
/** So many random hex digits and a NUL. @return 0, LS_EIO */
int ls_random_id(char *id, struct ls_err *err);
/** Text with & < > " ' replaced by character references. */
void ls_html_escape(struct ls_buf *buf, const char *text, size_t len);
/** Edit distance is small enough to suggest `candidate` for `word` ("did you mean"). */
bool ls_text_near(const char *word, const char *candidate);

#endif
