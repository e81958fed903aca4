/* Heap memory of the C side. Everything is taken through these functions, so that test builds can fail the n-th
 * allocation and sizes computed from a peer's, file's or script's numbers are checked for overflow.
 * Thread: any. */
#ifndef LS_BASE_ALLOC_H
#define LS_BASE_ALLOC_H

#include <stddef.h>

/** NULL when memory is exhausted. A size of 0 gives a block that may be freed. */
void *ls_malloc(size_t size) __attribute__((malloc, warn_unused_result));
/** Zeroed. */
void *ls_zalloc(size_t size) __attribute__((malloc, warn_unused_result));
/** Zeroed array; NULL when count * size overflows. */
void *ls_array(size_t count, size_t size) __attribute__((malloc, warn_unused_result));
/** Resize; the old block stays valid on failure (NULL). */
void *ls_realloc(void *block, size_t size) __attribute__((warn_unused_result));
/** Copies; owned by the caller. ls_strndup adds the terminating NUL. */
char *ls_strdup(const char *text) __attribute__((malloc, warn_unused_result));
/** As ls_strdup, of `len` bytes. */
char *ls_strndup(const char *text, size_t len) __attribute__((malloc, warn_unused_result));
/** NULL is accepted. */
void ls_free(void *block);

/** For who divides a block himself: counts an allocation. @return is it to fail */
int ls_alloc_fails(void);
/** Test builds: let the n-th allocation from now on fail (1 = the next one), 0 = never. Per thread.
 * @return how many allocations this thread has made since the last call */
long ls_alloc_fail_at(long n);

#endif
