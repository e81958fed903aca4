/* Executors: a FIFO of work items per session, run by one thread at a time (P40), a small pool that grows while its
 * workers are stuck (P40a), and timers that post items. Knows nothing of sessions.
 *
 * Thread: any for every function here. */
#ifndef LS_EXECUTOR_EXECUTOR_H
#define LS_EXECUTOR_EXECUTOR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct ls_executor;
struct ls_queue;

/* Stack of a thread that runs items: Lua may nest 200 C calls, each of which may unload, mutate or load: 0.4 MiB were
 * measured. Only what is used takes memory. */
#define LS_STACK_BYTES ((size_t)4 << 20)

/* What a pending timer takes: its record, its places in the heap and among the handles. */
#define LS_TIMER_BYTES 128

/* One unit of work; embedded in the poster's struct. `run` is called once; with `turn` false when the queue was closed
 * before its turn: then it only gives back what the item holds. */
struct ls_item {
    struct ls_item *next; /* internal */
    void (*run)(struct ls_item *item, bool turn);
    const char *what; /* what it is, for people, a text that lives for ever; may be NULL */
    /* not NULL: what runs looks whether such items wait, and may let them go first, by what it is (ls_queue_advance) */
    const void *eager;
};

/** @param workers  pool threads; 0 = number of processors, at least 2
 * @param extra  as many more while all are stuck (P40a)
 * @return owned, ls_executor_close(); NULL and err (LS_ENOMEM, LS_EIO when no thread can be made) */
struct ls_executor *ls_executor_open(int workers, int extra, struct ls_err *err);
/** Waits for running items, drops the rest, forgets all timers, joins all threads. Queues that are still referred to
 * stay valid and refuse items. NULL accepted. */
void ls_executor_close(struct ls_executor *executor);
/** Before closing: wait until nothing runs or waits.
 * @return false: at `until_ns` (monotonic) or later, an item had been running for `stuck_ns`, so that closing might
 * wait for it for ever (P35) */
bool ls_executor_settle(struct ls_executor *executor, int64_t until_ns, int64_t stuck_ns);
/** Pool threads that exist now, the extra ones included (P40a). */
int ls_executor_workers(struct ls_executor *executor);

/* How often queues have waited for a pool thread, and how long together. */
struct ls_executor_waits {
    uint64_t count, ns;
};
void ls_executor_waits(struct ls_executor *executor, struct ls_executor_waits *waits); /* from the start on */

/** @return use count 1; NULL without memory */
struct ls_queue *ls_queue_new(struct ls_executor *executor, struct ls_err *err);
/** One use less; the last one drops what still waits. NULL accepted. */
void ls_queue_unref(struct ls_queue *queue);
/** Whose queue it is, in the log: at most 23 bytes are copied. Before its first item. */
void ls_queue_name(struct ls_queue *queue, const char *name);
/** Where what runs on the queue may write the function that it is inside of, a text that lives for ever, or NULL: said
 * of an item that runs for longer than LS_SLOW_NS (P40a). Borrowed: valid as long as the queue. */
_Atomic(const char *) *ls_queue_inside(struct ls_queue *queue);
/** How many eager items wait. Borrowed: valid as long as the queue. */
const atomic_int *ls_queue_eager(struct ls_queue *queue);
/** If `match` says yes to one of the eager items that wait, all of these go before the others, in their order. For what
 * runs on the queue, in its middle. `match` is called with the queue's lock held: it posts nothing.
 * @return did one match */
bool ls_queue_advance(struct ls_queue *queue, bool (*match)(const void *eager, void *ctx), void *ctx);
/** How long the present item has been running, in nanoseconds; 0 = none runs. */
int64_t ls_queue_running_ns(struct ls_queue *queue);
/** Did its last item take less than a millisecond? Then the next one may be expected to. */
bool ls_queue_is_quick(const struct ls_queue *queue);
/** Put an item at the end. With `here`, the caller runs it on the spot if the queue is idle, bounded in items and time,
 * and hands what is left to the pool (lib/README.md, rule 3): its stack must be fit for what items do
 * (LS_STACK_BYTES); without, it only enqueues. @return 0, or LS_ECLOSED and the item has been dropped */
int ls_queue_post(struct ls_queue *queue, struct ls_item *item, bool here);
/** Post and wait until a pool thread has run the item. Not from inside an item of the same queue.
 * @param patience_ms  when its turn has not come after so long, it is taken back; at once when what runs has been
 *                     running for so long. 0 = wait for ever
 * @return 0; LS_ECLOSED; LS_EBUSY: taken back */
int ls_queue_call(struct ls_queue *queue, void (*fn)(void *ctx), void *ctx, int64_t patience_ms);
/** No more items: waiting ones are dropped, a running one finishes (L7). `last` runs after the item that runs now, as
 * the queue's last one, on a pool thread or the one that runs. So what items use can be taken apart in their own order
 * (P33). With a queue that is closed already `last` is dropped. @return 0, LS_ECLOSED */
int ls_queue_end(struct ls_queue *queue, struct ls_item *last);
/** Wait until nothing is queued or running, at most `ms`. */
bool ls_queue_drain(struct ls_queue *queue, int64_t ms);

/** Timers: call `fn(ctx)` on the timer thread at `due_ns`; it must be short (post an item). One thread, a heap,
 * monotonic clock.
 * @return a handle > 0, never used again, or LS_ENOMEM, LS_ECLOSED */
int64_t ls_timer_set(struct ls_executor *executor, int64_t due_ns, void (*fn)(void *ctx, int64_t handle), void *ctx);
/** @return true: it will not be called (any more). False: unknown, or it is being called right now. */
bool ls_timer_clear(struct ls_executor *executor, int64_t handle);

/* A timer of which one at most is pending. Embedded in its owner. */
struct ls_alarm {
    /* -- immutable after init */
    struct ls_executor *executor;
    void (*fn)(void *ctx);
    void *ctx;
    /* -- protected by lock */
    pthread_mutex_t lock;
    int64_t timer; /* 0 = none is pending */
    bool off;
};

/** @param fn  called on the timer thread, when it may be set again; must be short */
void ls_alarm_init(struct ls_alarm *alarm, struct ls_executor *executor, void (*fn)(void *ctx), void *ctx);
/** Nothing happens when one is pending already, whatever its time, or when the alarm is off, or without memory. */
void ls_alarm_set(struct ls_alarm *alarm, int64_t due_ns);
/** From now on it is not set, nor called any more but by a call that is under way. */
void ls_alarm_off(struct ls_alarm *alarm);
/** When nobody uses it any more: ls_executor_close has waited for a call that was under way. */
void ls_alarm_release(struct ls_alarm *alarm);

#endif
