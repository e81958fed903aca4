/* Compiled code shared by all sessions: a text is compiled once per process and loaded into each VM as byte code (L23,
 * L1, H38).
 * Thread: any; one mutex, held for look-ups only, never while compiling. */
#ifndef LS_VM_CHUNKS_H
#define LS_VM_CHUNKS_H

#include "base/bytes.h"
#include "base/err.h"

struct ls_chunks;

/** An empty cache. @return owned, ls_chunks_free(); NULL and err: LS_ENOMEM */
struct ls_chunks *ls_chunks_new(struct ls_err *err);
/** Frees the cache, when no session uses it any more. NULL accepted. */
void ls_chunks_free(struct ls_chunks *chunks);

#endif
