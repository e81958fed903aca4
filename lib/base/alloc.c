/* Heap memory, with a seam for tests: the n-th allocation of a thread can be made to fail. The counters are
 * thread-local, so the seam costs no lock and one thread's test does not disturb another. */
#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local long made, fail_at;

long ls_alloc_fail_at(long n)
{
    long before = made;
    made = 0;
    fail_at = n;
    return before;
}

int ls_alloc_fails(void)
{
    made++;
    return fail_at > 0 && made == fail_at;
}

void *ls_malloc(size_t size)
{
    return ls_alloc_fails() ? NULL : malloc(size ? size : 1);
}

void *ls_zalloc(size_t size)
{
    return ls_alloc_fails() ? NULL : calloc(1, size ? size : 1);
}

void *ls_array(size_t count, size_t size)
{
    if (ls_alloc_fails() || (size && count > SIZE_MAX / size)) return NULL;
    return count && size ? calloc(count, size) : calloc(1, 1);
}

void *ls_realloc(void *block, size_t size)
{
    return ls_alloc_fails() ? NULL : realloc(block, size ? size : 1);
}

char *ls_strndup(const char *text, size_t len)
{
    if (len == SIZE_MAX) return NULL;
    char *copy = ls_malloc(len + 1);
    if (copy) {
        if (len) memcpy(copy, text, len);
        copy[len] = 0;
    }
    return copy;
}

char *ls_strdup(const char *text)
{
    return ls_strndup(text, strlen(text));
}

void ls_free(void *block)
{
    free(block);
}
