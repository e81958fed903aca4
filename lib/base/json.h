/* JSON text: writing into a buffer, and a pull reader over a span.
 * Numbers keep their 64 bits and the difference between 1 and 1.0, strings a NUL inside of them.
 * Nothing here allocates but the buffers. Thread: any. */
#ifndef LS_BASE_JSON_H
#define LS_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/** A quoted string; bytes that are not UTF-8 become U+FFFD, control characters are escaped, NUL is \u0000 (T31, L124).
 * */
void ls_json_string(struct ls_buf *buf, const char *text, size_t len);
/** A piece of such a string, without quotes. No character may be cut between two pieces. */
void ls_json_piece(struct ls_buf *buf, const char *text, size_t len);
/** As ls_json_string for a C string. */
void ls_json_str(struct ls_buf *buf, const char *text);
void ls_json_int(struct ls_buf *buf, int64_t number); /* decimal digits, all 64 bits (T31) */
/** Integral values up to 2^53 without fraction, others in the shortest form that reads back equal, NaN and infinities
 * `null` (T31). @return false for NaN and infinities. */
bool ls_json_double(struct ls_buf *buf, double number);

/* Members of objects and elements of arrays. What comes before is in the buffer, so its last byte tells whether a comma
 * is due: after an opening bracket, a comma, a line's end or nothing at all there is none. So there is no writer to
 * keep, and a text may be put together from pieces. `name` NULL = an element. Closing brackets are ls_buf_char's. */

/** The comma, the name and the colon: the value follows, by whatever function writes it. */
void ls_json_key(struct ls_buf *buf, const char *name);
/** @param bracket  `{` or `[` */
void ls_json_open(struct ls_buf *buf, const char *name, char bracket);
/** A string; NULL = `null`. */
void ls_json_put_str(struct ls_buf *buf, const char *name, const char *text);
/** The same, of known length. */
void ls_json_put_string(struct ls_buf *buf, const char *name, const char *text, size_t len);
/** A number. */
void ls_json_put_int(struct ls_buf *buf, const char *name, int64_t number);
/** `true` or `false`. */
void ls_json_put_bool(struct ls_buf *buf, const char *name, bool value);
/** A value that is JSON already. */
void ls_json_put_raw(struct ls_buf *buf, const char *name, const char *json, size_t len);

enum ls_json_token {
    LS_JSON_ERROR, /* not JSON; reader->problem says why, reader->at where */
    LS_JSON_END,   /* the text is over, nothing but white space was left */
    LS_JSON_NULL,
    LS_JSON_TRUE,
    LS_JSON_FALSE,
    LS_JSON_INT,    /* integral number in 64-bit range: reader->integer (T37: 5.0 and 5e0 too) */
    LS_JSON_DOUBLE, /* any other number: reader->number */
    LS_JSON_STRING, /* reader->text/len is the raw span between the quotes, reader->escaped tells if it has escapes */
    LS_JSON_KEY,    /* as STRING; the member's value follows */
    LS_JSON_ARRAY,
    LS_JSON_ARRAY_END,
    LS_JSON_OBJECT,
    LS_JSON_OBJECT_END,
};

#define LS_JSON_DEPTH 1000 /* levels of nesting; more is an error (P 17, L127) */

struct ls_json_reader {
    const char *at, *end; /* what is left to read */
    const char *start;    /* first byte of the token returned last */
    const char *problem;  /* static text after LS_JSON_ERROR */
    const char *text;     /* span of STRING and KEY, quotes excluded, escapes unresolved */
    size_t len;
    bool escaped;
    int64_t integer;
    double number;
    unsigned depth;                       /* open arrays and objects */
    uint8_t expect;                       /* internal: what the grammar allows next */
    uint8_t stack[LS_JSON_DEPTH / 8 + 1]; /* internal: one bit a level, 1 = object */
};

/** Begin to read; the text is borrowed. */
void ls_json_read(struct ls_json_reader *reader, const char *text, size_t len);
/** The next token. After ERROR or END it returns the same again. Strings are checked to be well-formed (escapes, no raw
 * control characters); UTF-8 is not judged. */
enum ls_json_token ls_json_next(struct ls_json_reader *reader);
/** Having read the first token of a value (or a KEY: then the member's value), read to its end.
 * @return true and the span of the value's text in *text, *len; false on an error */
bool ls_json_skip(struct ls_json_reader *reader, enum ls_json_token first, const char **text, size_t *len);
/** Append the string that a raw span stands for (escapes resolved to UTF-8, lone surrogates to U+FFFD). */
void ls_json_unescape(struct ls_buf *buf, const char *raw, size_t len);
#define LS_JSON_NAME 64 /* bytes of the longest name that is asked for */
/** Does the key or string token just read equal `name`? Resolves escapes only if there are any. */
bool ls_json_equals(const struct ls_json_reader *reader, const char *name);
/** Find a member of the object whose text is given; the last one of that name wins. False if absent or not an object.
 * */
bool ls_json_member(const char *text, size_t len, const char *name, const char **value, size_t *value_len);

#endif
