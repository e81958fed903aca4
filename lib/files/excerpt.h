/* Where in a line of source an error message points, and the mark below it, as compilers show them (H98, H100). Lua
 * knows the line only; the column is that of the word which the message quotes. Thread: any. */
#ifndef LS_FILES_EXCERPT_H
#define LS_FILES_EXCERPT_H

#include <stddef.h>

#include "base/buf.h"

/** The place in a line that a message means: behind `near` for syntax errors, else the first quoted word that the line
 * has, else its beginning.
 * @param text   borrowed: the line without its end, `len` bytes
 * @param width  out: bytes of the word, 1 where there is none
 * @return offset in bytes, below or equal to `len` */
size_t ls_excerpt_column(const char *text, size_t len, const char *message, size_t *width);

/** Append the mark `^~~~` as it stands below the line when that is shown from the byte `from` on: one column a
 * character, tabs kept.
 * @param column, width  of ls_excerpt_column(), in bytes */
void ls_excerpt_caret(struct ls_buf *out, const char *text, size_t len, size_t from, size_t column, size_t width);

/** Two lines of source and a caret line below the place that the message is about (C2); nothing when the text has no
 * such line.
 * @param message  Lua's, whose quoted words say where on the line */
void ls_excerpt_write(struct ls_buf *out, const char *source, size_t len, int line, const char *message);

/** Append the lines around that of an error with their numbers, the mark below it (H98); nothing where `line` is 0.
 * @param text  NULL = there is none */
void ls_excerpt_around(struct ls_buf *out, const char *text, size_t len, int line, const char *message);

#endif
