/* The part of the shared cache that only this room uses. Thread: any. */
#ifndef LS_VM_CHUNKS_INTERNAL_H
#define LS_VM_CHUNKS_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "files/embed.h"
#include "vm/chunks.h"

/** The text of an embedded file, unpacked once per process. `chunks` may be NULL: then it is unpacked each time.
 * @return a use, or NULL without memory */
struct ls_bytes *ls__chunks_embedded(struct ls_chunks *chunks, const struct ls_embed *embed);

/** The byte code kept for a chunk name (`@key`) and text. @return a use, NULL if there is none */
struct ls_bytes *ls__chunks_code(struct ls_chunks *chunks, const char *name, uint64_t hash, size_t len);

/** What the first execution of a text has given, as reload_given.c writes it. @return a use, NULL if nobody has kept it */
struct ls_bytes *ls__chunks_given(struct ls_chunks *chunks, const char *key, uint64_t hash);
/** Keep it, unless somebody has. @param given  borrowed */
void ls__chunks_give(struct ls_chunks *chunks, const char *key, uint64_t hash, struct ls_bytes *given);

#endif
