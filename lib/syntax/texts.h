/* The texts that sessions run, shared by all of them: each is kept and read once, and two versions of a file are
 * compared once.
 * Thread: any. One mutex, held for look-ups only; reading and comparing hold the text's own. */
#ifndef LS_SYNTAX_TEXTS_H
#define LS_SYNTAX_TEXTS_H

#include <stddef.h>
#include <stdint.h>

#include "syntax/places.h"

struct ls_texts;
struct ls_text;       /* a text in use; counted */
struct ls_comparison; /* of two texts; counted */

/** @return owned, ls_texts_free(); NULL without memory */
struct ls_texts *ls_texts_new(void);
/** Gives it up; it goes with the last text that is in use. NULL accepted. */
void ls_texts_free(struct ls_texts *texts);

/** The text with these bytes, which are copied if nobody has it yet.
 * @param hash  ls_hash of it @return a use, ls_text_unref(); NULL without memory */
struct ls_text *ls_text_get(struct ls_texts *texts, const char *bytes, size_t len, uint64_t hash);
struct ls_text *ls_text_ref(struct ls_text *text); /* returns its argument; NULL passes */
void ls_text_unref(struct ls_text *text);          /* NULL passes */
/** What it says, read when it is asked for first. @return borrowed while the use lasts; NULL: it is no Lua text, or no
 * memory */
const struct ls_syntax *ls_text_syntax(struct ls_text *text);
/** Where nothing was given for want of memory this is true, and asking again may help.
 * @return false: the text was read, and is no Lua text */
bool ls_text_is_lua(struct ls_text *text);

/** Compare a text with the one before, as ls_places_compare. The last few comparisons are kept.
 * @param before  NULL = unknown @return a use, ls_comparison_unref(); NULL: one is no Lua text, or no memory */
struct ls_comparison *ls_text_compare(struct ls_text *before, struct ls_text *now);
void ls_comparison_unref(struct ls_comparison *comparison); /* NULL passes */
/** Borrowed while the use lasts. */
const struct ls_places *ls_comparison_places(const struct ls_comparison *comparison);

#endif
