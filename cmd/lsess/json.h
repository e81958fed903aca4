/* Looking things up in JSON answers, by name, without building a tree. All texts are borrowed. */
#ifndef LSESS_JSON_H
#define LSESS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* A piece of JSON text. */
struct json {
    const char *text;
    size_t len;
};

/** The member of that name; {NULL, 0} if absent. */
struct json json_member(struct json object, const char *name);
/** A string's content replaces what `out` held; "" if it is no string. @return ls_buf_text(out) */
const char *json_string(struct json value, struct ls_buf *out);
/** The same for people to read: ls_text_show. */
const char *json_shown(struct json value, struct ls_buf *out);
/** A number without its fraction; `otherwise` if it is none. */
int64_t json_int(struct json value, int64_t otherwise);
/** Is it the word `true`? */
bool json_true(struct json value);
/** Walk an array: start with *at = 0; false at its end. */
bool json_item(struct json array, size_t *at, struct json *item);
/** Items of an array, 0 if it is none. */
size_t json_count(struct json array);
/** Items of an array of strings, joined for people to read: "a, b, c". */
void json_join(struct json array, struct ls_buf *out);

#endif
