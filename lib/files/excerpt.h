/* The line of source that an error message is about, and a mark `^~~~` below the place in it, as compilers show them
 * (H98, H100). Lua knows the line only. The place is where the text stops to be Lua if the message says `near`, else
 * the first token that is a word which it quotes (a field, a method or a variable where it says so), else the line's
 * beginning. Thread: any; pure. */
#ifndef LS_FILES_EXCERPT_H
#define LS_FILES_EXCERPT_H

#include <stddef.h>

#include "base/buf.h"

/** Two lines of source and a caret line below the place that the message is about (C2); nothing when the text has no
 * such line. @param message  Lua's */
void ls_excerpt_write(struct ls_buf *out, const char *source, size_t len, int line, const char *message);

/** Append the lines around that of an error with their numbers, the mark below it (H98); nothing where `line` is 0.
 * @param text  NULL = there is none */
void ls_excerpt_around(struct ls_buf *out, const char *text, size_t len, int line, const char *message);

#endif
