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

/** Wait for `events` of watch->fd (EPOLLET may be among them). @return 0, or LS_EIO and err. Any thread; the first
 * event may be handled before this returns. */
int ls__loop_watch(struct ls__loop *loop, struct ls__watch *watch, uint32_t events, struct ls_err *err);
/** Wait for others from now on; 0 = for none. On the loop's thread. */
void ls__loop_rewatch(struct ls__loop *loop, struct ls__watch *watch, uint32_t events);
/** Before the descriptor is closed. What has been fetched for it is dropped: called in an `fn` of the loop's (but a
 * WebSocket's), the owner may be freed at once; else it may in a note. */
void ls__loop_unwatch(struct ls__loop *loop, struct ls__watch *watch);
/** Have it done. Any thread. @return false: the loop has stopped; it is not done */
bool ls__loop_post(struct ls__loop *loop, struct ls__note *note);
/** The same, of what takes some tenths of a millisecond and many may want at once: in their order, in each round for as
 * long as 1 ms has not gone by with them. Any thread. */
bool ls__loop_post_long(struct ls__loop *loop, struct ls__note *note);
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
/** Is this thread leading, with one that would lead on for it, and has it less than 1 ms of this round behind it? */
bool ls__loop_has_time(const struct ls__loop *loop);
/** A buffer of LS_READ_SIZE bytes of the calling thread. What is in it lasts until the caller returns to the loop.
 * NULL: the thread is none of a loop's, but one that stops a loop. */
char *ls__loop_scratch(void);
enum { LS_READ_SIZE = 16384 };

/* --- frames.c: frames as bytes. No state but what is given; any thread --- */

/* One frame while its bytes come; all zero before the first one. */
struct ls__frame {
    /* -- of its head, once that is whole */
    bool fin, compressed; /* `compressed`: reserved bit 1 (N6) */
    uint8_t opcode;
    uint64_t left;         /* bytes of its payload still to come */
    unsigned char mask[4]; /* as it applies to the next byte */
    /* -- until then */
    uint8_t have;
    unsigned char head[14];
};

/** Take bytes of a head that a client sends; `data` and `len` move on.
 * @param deflate  may reserved bit 1 be set (in the first frame of a message)
 * @return 1: it is whole; 0: more are needed, all have been taken; -1: it is malformed (1002) */
int ls__frame_head(struct ls__frame *frame, char **data, size_t *len, bool deflate);
/** Unmask the next `len` bytes of the payload (at most `left`), in place. */
void ls__frame_unmask(struct ls__frame *frame, char *data, size_t len);
/** Write the head of a frame to be sent, all in one, unmasked. @return its bytes, at most 10 */
size_t ls__frame_write(unsigned char *head, int opcode, bool compressed, size_t len);
/** May a peer close with it? */
bool ls__close_code_valid(int code);

/* UTF-8 that comes in pieces; all zero before the first one. */
struct ls__utf8 {
    uint8_t need;      /* bytes of a character still to come: 0 at the end of a text */
    uint8_t low, high; /* what the next one may be */
};

/** @return false: it is not UTF-8, whatever comes */
bool ls__utf8_feed(struct ls__utf8 *state, const char *data, size_t len);

/* --- deflate.c: compressed messages (N6) --- */

/* Streams of zlib that are kept, since to make one costs more than a small message. */
struct ls__deflater;

/** @return one use, ls__deflater_unref(); NULL without memory */
struct ls__deflater *ls__deflater_new(void);
/** One use more. @return the argument */
struct ls__deflater *ls__deflater_ref(struct ls__deflater *deflater);
/** One use less. NULL accepted. */
void ls__deflater_unref(struct ls__deflater *deflater);
/** Compress a message. @param bits  of the window, 9..15
 * @return one use; NULL without memory, or when it would not be smaller: it is sent as it is. Any thread. */
struct ls_bytes *ls__deflate(struct ls__deflater *deflater, int bits, const char *data, size_t len);
/** Expand a message into `out`, which is empty, by steps for which `grow(ctx, out, more)` makes room.
 * @param max  bytes, 0 = no limit
 * @return 0; LS_ELIMIT: beyond `max`; LS_ENOMEM: grow has refused; LS_EINVAL: it is malformed. Any thread. */
int ls__inflate(struct ls__deflater *deflater, const char *data, size_t len, uint64_t max, struct ls_buf *out,
                bool (*grow)(void *ctx, struct ls_buf *out, size_t more), void *ctx);

/* --- ws.c, ws_read.c, ws_send.c: WebSockets; front.c: all of them --- */

/* The front as a whole. */
struct ls_front {
    /* -- immutable after open */
    struct ls_front_config config;
    struct ls__deflater *deflater;
    struct ls__loop **loops;
    int loop_count;
    /* -- atomic */
    atomic_uint turn; /* whose the next connection is */
    /* -- protected by lock */
    pthread_mutex_t lock;
    struct ls_ws *open;
    struct ls_held *held;
    struct ls__listener *listeners;
    struct ls__relay *relays;
    struct ls__relay **by_port; /* 65536 places, by the inner connection's own port; NULL before the first listener */
    int relay_count;
    bool closing;
};

/* The loop for a new connection: each in turn. Any thread. */
static inline struct ls__loop *ls__front_loop(struct ls_front *front)
{
    return front->loops[atomic_fetch_add(&front->turn, 1) % (unsigned)front->loop_count];
}

struct ls__out;

struct ls_ws {
    struct ls__watch watch; /* first; its fd is for the loop alone */
    /* -- immutable after new */
    struct ls_front *front; /* borrowed; used only while `fd` is there */
    struct ls__loop *loop;
    const struct ls_ws_hooks *hooks;
    void *owner;
    uint8_t deflate;               /* bits of the window of what is sent; 0 = none */
    struct ls__deflater *deflater; /* counted; NULL = none */
    /* -- atomic */
    atomic_int refs;
    atomic_uint work;   /* WORK_*: who handles it, and what is to be done */
    atomic_bool paused; /* P40b */
    atomic_bool kicked; /* `kick` is posted */
    atomic_bool backlog;
    atomic_llong last_in_ns, last_out_ns;
    atomic_llong close_due_ns; /* 0 = no close frame has been sent */
    /* -- the loop's */
    struct ls__timer timer;
    struct ls__note kick, end;
    /* -- its timer's */
    int64_t heard_ns; /* last_in_ns when it was looked at last */
    int unanswered;   /* pings since then */
    /* -- who handles it only (WORK_BUSY) */
    struct ls__frame frame;
    struct ls__utf8 utf8;
    uint8_t message_opcode, control_len; /* message_opcode: 0 = none begun */
    bool in_frame;                       /* `frame` has its head */
    bool message_compressed;
    bool skipping; /* the rest of the frame goes nowhere */
    bool hung_up;  /* the peer sends no more: read to the end */
    bool discard;  /* what comes is thrown away until the peer ends, too */
    bool is_over, finished;
    bool ended_well;
    char control[125];
    struct ls_buf message; /* what has come of it; counted beyond LS_READ_SIZE */
    struct ls_buf rest;    /* received, and not looked at since it was paused; at most LS_READ_SIZE */
    /* -- protected by send_lock */
    pthread_mutex_t send_lock; /* held while `fd` is written to, and while a loop is asked for something */
    int fd;                    /* -1 = finished */
    bool begun;                /* the loop has its use and watches; before that it is asked for nothing */
    bool close_sent;
    bool cut;        /* it is to end, whatever has come */
    bool mute;       /* nothing can be sent any more: cut, or the peer is gone, of which the rest is read still */
    bool shut_after; /* nothing more comes behind what waits */
    struct ls__out *out_head, *out_tail;
    uint64_t out_bytes; /* behind the frame being sent */
    /* -- protected by the front's lock */
    struct ls_ws *prev, *next;
    bool listed;
};

enum { LS_WORK_BUSY = 1, LS_WORK_READ = 2, LS_WORK_HUNG_UP = 4, LS_WORK_NEW = 8 };

/** Read what has come, until nothing more has, or it is paused, or it is another's turn. Who handles it. */
void ls__ws_read(struct ls_ws *ws);
/** Have it handled again by the loop, for what has come. With send_lock held. */
void ls__ws_kick_locked(struct ls_ws *ws);
/** It is over: `over`, and nothing more is sent. Once counts. Who handles it. */
void ls__ws_over(struct ls_ws *ws);
/** The descriptor is closed, all is given back but the record. Who handles it, and is the last to. */
void ls__ws_finish(struct ls_ws *ws);
/** Give back the loop's use of one that is finished; the caller touches it no more without a use of its own. */
void ls__ws_bury(struct ls_ws *ws);
/** Room for `more` bytes and a NUL; counted by `reserve`. @return false: there is none. Any thread. */
bool ls__ws_grow(void *ws, struct ls_buf *buf, size_t more);
/** Give it back. Any thread. */
void ls__ws_drop(struct ls_ws *ws, struct ls_buf *buf);
/** Send a ping and a text behind it (NULL = none), in one write, as ls_ws_send does. Any thread. */
void ls__ws_ping(struct ls_ws *ws, struct ls_bytes *text);
/** Send as much of what waits as the socket takes. Any thread. */
void ls__ws_flush(struct ls_ws *ws);
/** Put bytes into the outbox as they are, before anything else. @return false without memory */
bool ls__ws_put_raw(struct ls_ws *ws, struct ls_bytes *bytes);
/** Give back what waits. With nobody left who sends. */
void ls__ws_drop_outbox(struct ls_ws *ws);
/** Send a close frame; nothing is sent behind it. NULL: only that. Any thread. */
void ls__ws_send_close(struct ls_ws *ws, struct ls_bytes *payload);
/** Nothing is sent behind what waits: then the peer hears that it is the end. Any thread. */
void ls__ws_shut(struct ls_ws *ws);

/* --- held.c --- */

/** End what waits for an answer or is being sent one. When the loops have stopped. */
void ls__held_end_all(struct ls_front *front);

/* --- listen.c, relay.c: connections that are carried (N2) --- */

/* Give what one has accepted numbers that the HTTP server's own do not get (http/handover.c looks through those). */
enum { LS_NUMBERS_FROM = 512 };

/** Carry a connection. @param fd  taken, also on failure: then it is closed. On a loop's thread. */
void ls__relay_begin(struct ls_front *front, int fd, const struct ls_relay_config *config);
/** A descriptor with a number of at least LS_NUMBERS_FROM in its place, or the same. */
int ls__relay_lift(int fd);
/** Wait, for half a second at most, until what the HTTP server has said before it ended is on its way. Not a loop's
 * thread. */
void ls__relay_settle(struct ls_front *front);
/** End all of them. When the loops have stopped. */
void ls__relay_end_all(struct ls_front *front);
/** Listen no more. When the loops have stopped. */
void ls__listen_end_all(struct ls_front *front);

/* --- tls.c: one connection's TLS; its loop's thread --- */

struct ssl_st;

enum { LS_TLS_LATER = -1, LS_TLS_BROKEN = -2 };

/** @return owned, ls__tls_end(); NULL without memory */
struct ssl_st *ls__tls_begin(struct ls_tls *tls, int fd);
/** A step of the handshake. @param wants  EPOLLIN or EPOLLOUT is set for what it waits for
 * @return 1: done, LS_TLS_LATER, LS_TLS_BROKEN */
int ls__tls_shake(struct ssl_st *ssl, uint32_t *wants);
/** @return bytes; 0: the peer sends no more; LS_TLS_LATER, LS_TLS_BROKEN */
int ls__tls_read(struct ssl_st *ssl, char *data, size_t size, uint32_t *wants);
/** @return bytes; LS_TLS_LATER: to be called with the same ones again; LS_TLS_BROKEN */
int ls__tls_write(struct ssl_st *ssl, const char *data, size_t len, uint32_t *wants);
/** Say that nothing more comes. */
void ls__tls_shut(struct ssl_st *ssl);
/** NULL accepted. */
void ls__tls_end(struct ssl_st *ssl);

/* --- certificate.c --- */

enum { LS_CERTIFICATE_DAYS = 365, LS_CERTIFICATE_SPARE_DAYS = 30 };

/** See that `path` has a self-signed certificate for `names`, and its key, that does not end soon. One that is damaged
 * is set aside as `PATH.damaged`, which the log says. OpenSSL is loaded.
 * @return 0, or LS_EIO, LS_ENOMEM and err. Any thread, one at a time. */
int ls__certificate_keep(const char *path, const char *const *names, struct ls_err *err);

#endif
