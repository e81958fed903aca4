/* The generated table behind base/embed.h; for embed.c and the generator's output only. */
#ifndef LS_BASE_EMBED_TABLE_H
#define LS_BASE_EMBED_TABLE_H

#include "base/embed.h"

extern const struct ls_embed ls_embed_table[]; /* sorted by name, ends with an entry without name */
extern const size_t ls_embed_count;

#endif
