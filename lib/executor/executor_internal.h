/* What executor.c (queues and pool) and timer.c (the timer thread) of this room share. Not for other rooms. */
#ifndef LS_EXECUTOR_EXECUTOR_INTERNAL_H
#define LS_EXECUTOR_EXECUTOR_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "executor/executor.h"

struct timer {
    int64_t due_ns;
    int64_t handle;
    size_t at; /* its place in the heap */
    void (*fn)(void *ctx, int64_t handle);
    void *ctx;
};

/* The timer thread and its heap; embedded in the executor. */
struct timers {
    /* -- immutable after open */
    pthread_t thread;
    bool started;
    /* -- protected by lock */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a nearer due time, or stopping */
    struct timer **heap;    /* binary heap, the next one first */
    size_t count, cap;
    struct ls_idmap *by_handle;
    int64_t last_handle;
    bool stopping;
};

/** Starts the thread. @return 0; LS_ENOMEM, LS_EIO and err: close it all the same */
int ls__timers_open(struct timers *timers, struct ls_err *err);
/** No callback runs after it returns; what is pending is forgotten. Not from the timer thread. */
void ls__timers_close(struct timers *timers);
/** The timers of an executor. */
struct timers *ls__executor_timers(struct ls_executor *executor);

#endif
