/* The start of a thread. Thread: any. */
#ifndef LS_BASE_THREAD_H
#define LS_BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

/** Start `run(ctx)` on a thread of its own, to be joined or detached.
 * @param name  at most 15 bytes, for debuggers and `ps`
 * @param stack  bytes, of which only what is used takes memory; 0 = as many as the system gives
 * @return 0, or an errno */
static inline int ls_thread_start(pthread_t *thread, const char *name, size_t stack, void *(*run)(void *ctx), void *ctx)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    if (stack > 0) pthread_attr_setstacksize(&attr, stack);
    int rc = pthread_create(thread, &attr, run, ctx);
    pthread_attr_destroy(&attr);
    if (rc == 0) pthread_setname_np(*thread, name);
    return rc;
}

#endif
