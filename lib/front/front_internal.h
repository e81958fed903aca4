/* What the files of this room share. Not for other rooms. */
#ifndef LS_FRONT_FRONT_INTERNAL_H
#define LS_FRONT_FRONT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "front/front.h"

struct ls__loop;
struct ls__thread; /* of a loop */

/* --- wheel.c: coarse timers --- */

enum { LS_TICK_MS = 100, LS_WHEEL_SLOTS = 512 };

/* Embedded in its owner; all zero before it is first set. */
struct ls__timer {
    /* -- immutable while it is set */
    void (*fn)(struct ls__timer *timer); /* called by the loop, once a setting; may set it again */
    /* -- protected by the loop's lock */
    struct ls__timer *prev, *next;
    int64_t due;   /* tick */
    uint16_t slot; /* LS_WHEEL_SLOTS: among those that are due */
    bool set;
};

/* One a loop. All of it is protected by the loop's lock. */
struct ls__wheel {
    struct ls__timer *slots[LS_WHEEL_SLOTS + 1]; /* the last one: those that are due and have not been called */
    uint64_t used[LS_WHEEL_SLOTS / 64];          /* a bit a slot that is not empty */
    int64_t done;                                /* all up to this tick have been moved to the last slot */
    size_t count;                                /* timers that are set */
};

/** Set, or set anew. A timer is never called before its time, and up to two ticks after it. */
void ls__wheel_put(struct ls__wheel *wheel, struct ls__timer *timer, int64_t due_tick);
/** @return was it set */
bool ls__wheel_take(struct ls__wheel *wheel, struct ls__timer *timer);
/** The next one that is due by the tick `now`, taken out; NULL = none. */
struct ls__timer *ls__wheel_due(struct ls__wheel *wheel, int64_t now);
/** The tick at which to look again, not later than the nearest one is due; INT64_MAX = no timer is set. */
int64_t ls__wheel_next(const struct ls__wheel *wheel);

/* --- loop.c: waiting for descriptors --- */

/* A descriptor that a loop waits for. Embedded in its owner. `fn` is called on the loop's leading thread, so never two
 * watches of one loop at a time; only a WebSocket's hooks may be going on elsewhere. It must not wait and be short. */
struct ls__watch {
    int fd;
    void (*fn)(struct ls__watch *watch, uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLHUP … */
};

/* Something to be done by a loop, between two rounds: no event that was fetched earlier is about to be handled then, so
 * that is when what had been watched is freed. Embedded in its owner; belongs to the loop until it runs. */
struct ls__note {
    struct ls__note *next;
    void (*fn)(struct ls__note *note);
};

/** Start a loop and its threads. @return owned, ls__loop_stop() and ls__loop_free(); NULL and err: LS_ENOMEM, LS_EIO */
struct ls__loop *ls__loop_new(struct ls_err *err);
/** Joins its threads; no `fn` is called any more, except those of notes, here. NULL accepted. */
void ls__loop_stop(struct ls__loop *loop);
/** What is watched still is not closed. NULL accepted. */
void ls__loop_free(struct ls__loop *loop);
/** Its threads now. Any thread. */
int ls__loop_threads(struct ls__loop *loop);

/** Wait for `events` of watch->fd (EPOLLET may be among them). @return 0, or LS_EIO and err. Any thread; the first event
 * may be handled before this returns. */
int ls__loop_watch(struct ls__loop *loop, struct ls__watch *watch, uint32_t events, struct ls_err *err);
/** Wait for others from now on; 0 = for none. On the loop's thread. */
void ls__loop_rewatch(struct ls__loop *loop, struct ls__watch *watch, uint32_t events);
/** Before the descriptor is closed. What has been fetched for it is dropped: called in an `fn` of the loop's (but a
 * WebSocket's), the owner may be freed at once; else it may in a note. */
void ls__loop_unwatch(struct ls__loop *loop, struct ls__watch *watch);
/** Have it done. Any thread. @return false: the loop has stopped; it is not done */
bool ls__loop_post(struct ls__loop *loop, struct ls__note *note);
/** Call timer->fn in `ms` milliseconds or up to two ticks later, between two rounds; set anew if it is set. Any thread.
 */
void ls__loop_timer(struct ls__loop *loop, struct ls__timer *timer, int64_t ms);
/** @return true: it will not be called. False: it was not set, or is being called. Any thread. */
bool ls__loop_timer_clear(struct ls__loop *loop, struct ls__timer *timer);
/** The time when the present round began, in nanoseconds (ls_now_ns, not older than a round). Any thread. */
int64_t ls__loop_now(const struct ls__loop *loop);
/** Around what may take long, on a thread of the loop: another thread leads on when it does. */
void ls__loop_enter(struct ls__loop *loop);
void ls__loop_leave(struct ls__loop *loop); /* the end of it */
/** Is this thread leading, and has it less than 1 ms of this round behind it? */
bool ls__loop_has_time(const struct ls__loop *loop);
/** A buffer of LS_READ_SIZE bytes of the calling thread, which is one of a loop's. What is in it lasts until the caller
 * returns to the loop. */
char *ls__loop_scratch(void);
enum { LS_READ_SIZE = 16384 };

/** The loop for a new connection: each in turn. Any thread. */
struct ls__loop *ls__front_loop(struct ls_front *front);

#endif
