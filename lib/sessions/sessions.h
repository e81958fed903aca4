/* The sessions of a server: the manager that makes, finds and ends them, the record of each by which the rooms above
 * know it (a hosted session), work on its queue, its timers, and questions to many sessions at once. Knows no HTTP and
 * no server: what a session consists of is made and taken apart by two functions of struct ls_manager_config.
 *
 * Threads: any, where nothing else is said. Lock order: manager, gather, session. */
#ifndef LS_SESSIONS_SESSIONS_H
#define LS_SESSIONS_SESSIONS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"
#include "base/budget.h"
#include "base/map.h"
#include "base/text.h"
#include "executor/executor.h"
#include "hotload/hotload.h"

struct ls_server;
struct ls_manager;
struct socket;
struct identity;

/* --- hosted.c: one browser session (P27–P33) --- */

/* Where the text goes that Lua prints while an administrator's evaluation runs (C4). */
struct ls_capture {
    void *ctx;
    void (*print)(void *ctx, const char *text, size_t len);
};

struct ls_hosted {
    struct ls_item end_item; /* first: the queue's last item, so that ending needs no memory */
    /* -- immutable once it has been created */
    struct ls_manager *manager;
    const struct ls_manager_config *config; /* the manager's */
    struct ls_server *server;               /* for the room above, whose on_session_created() sets it */
    struct ls_hotload *hotload;             /* the same; NULL = files are not watched */
    struct ls_queue *queue;
    char id[LS_RANDOM_ID + 1];
    char vended[24];
    int64_t vended_number, number;
    int64_t created_ns;
    /* -- atomic */
    atomic_int refs;
    atomic_int connections;  /* WebSockets, from the handshake on (Q2) */
    atomic_llong active_ns;  /* P29 */
    atomic_bool ended;       /* no longer in the maps */
    struct ls_budget budget; /* all that is kept for it (L5); frames and answers that wait outlive the backend */
    /* -- owner thread only (whoever runs the queue) */
    struct ls_backend *backend;                        /* NULL before it is made and after the end */
    struct ls_hosted_timer *flush_timer, *grace_timer; /* NULL = not set */
    struct ls_idmap *timers;                           /* Lua timer handle → struct ls_hosted_timer */
    struct socket *connected;    /* of the room above: WebSockets that the backend knows, each counted */
    struct identity *identities; /* of the room above: P25, each counted */
    int tokens;                  /* how many of them are for more than one request */
    struct ls_capture *capture;  /* where print goes while an evaluation runs (C4) */
    /* -- protected by lock */
    pthread_mutex_t lock;
    struct ls_map *keys; /* files that a burst may concern this session with */
    /* its LuaSession while that may be told to stop; NULL when there is none, or it is being replaced */
    struct ls_session *interruptible;
    /* -- protected by the manager's lock */
    bool joined; /* by a page, an API client or a tool, at some time */
    struct ls_hosted *making_next;
};

/** A record without backend. @param config  borrowed as long as the record lives
 * @return a use, or NULL and err: LS_ENOMEM, LS_EIO */
struct ls_hosted *ls__hosted_new(const struct ls_manager_config *config, struct ls_err *err);
/** One more use. @return the session */
struct ls_hosted *ls_hosted_ref(struct ls_hosted *session);
/** One use less; the last one frees it. NULL accepted. Any thread. */
void ls_hosted_unref(struct ls_hosted *session);
/** Give back the uses of a list, and the list. */
void ls_hosted_unref_all(struct ls_hosted **list, size_t count);
/** Something happens in the session: it does not expire (P29), and tools without a name mean it (C4). Any thread. */
void ls_hosted_touch(struct ls_hosted *session);

/** A closure on the session's queue: `fn(session, arg)` runs when its turn comes and the session has its backend still;
 * `release(arg)` (may be NULL) follows, and is called also when the turn never comes. Any thread.
 * @param here  as in ls_queue_post
 * @param eager  of the item (executor.h)
 * @return 0; LS_ECLOSED or LS_ENOMEM when `arg` has been released already */
int ls_hosted_post(struct ls_hosted *session, void (*fn)(struct ls_hosted *session, void *arg), void *arg,
                   void (*release)(void *arg), bool here, const void *eager);
/** The same, and wait for it. Not from an item of the same session.
 * @param patience_ms  as in ls_queue_call
 * @return 0; LS_ECLOSED when it has not run because the session has ended; LS_EBUSY when its turn has not come */
int ls_hosted_call(struct ls_hosted *session, void (*fn)(struct ls_hosted *session, void *arg), void *arg,
                   int64_t patience_ms);

/* A timer: `run(session, number, arg)` is called once, on the session's queue, if the session has its backend then. */
struct ls_hosted_timer;
typedef void (*ls_hosted_timer_fn)(struct ls_hosted *session, uint64_t number, void *arg);
/** @param due_ns  0 = behind the items queued now
 * @return owned, ls_hosted_timer_end(), also after it has run; NULL without memory, or when the server stops. Owner
 * thread. */
struct ls_hosted_timer *ls_hosted_timer_set(struct ls_hosted *session, int64_t due_ns, ls_hosted_timer_fn run,
                                            uint64_t number, void *arg);
/** From now on it does not run (any more). NULL accepted. Owner thread. */
void ls_hosted_timer_end(struct ls_hosted_timer *timer);

/** Tell what runs in the session to stop, if Lua runs there at all; `for_good`: and all that is still to run there. Any
 * thread. */
void ls_hosted_interrupt(struct ls_hosted *session, bool for_good);
/** Around the replacement of a session's VM, and at its end: which LuaSession may be interrupted. Owner thread. */
void ls_hosted_set_interruptible(struct ls_hosted *session, struct ls_session *target);

/* One question to many sessions. Embedded in what holds the answers; each session answers in an item of its queue.
 * Counted: a session that is busy for long answers when nobody waits any more. */
struct ls_gather {
    /* -- immutable after init */
    /* owner thread; the backend is there */
    void (*answer)(struct ls_gather *gather, struct ls_hosted *session, size_t number);
    /* all have answered or never will: on the thread of the last one; may be NULL */
    void (*over)(struct ls_gather *gather);
    void (*release)(struct ls_gather *gather); /* frees it */
    const void *eager;                         /* of its items (executor.h) */
    /* -- atomic */
    atomic_int refs;
    atomic_int pending; /* questions that have not ended, and one for whoever asks */
    /* -- protected by lock */
    pthread_mutex_t lock; /* the answers' too */
    pthread_cond_t ended;
    bool complete; /* `over` has been called */
    bool closed;   /* the answers are being read without the lock: nothing may be added */
};

/** With one use, which ls_gather_end(), or ls_gather_wait() and ls_gather_unref(), give back. */
void ls_gather_init(struct ls_gather *gather, void (*answer)(struct ls_gather *, struct ls_hosted *, size_t),
                    void (*over)(struct ls_gather *), void (*release)(struct ls_gather *));
/** Ask one session; `number` tells it from others. Without memory it is not asked. Never waits. */
void ls_gather_ask(struct ls_gather *gather, struct ls_hosted *session, size_t number);
/** All have been asked, and nobody waits for them. */
void ls_gather_end(struct ls_gather *gather);
/** All have been asked: wait for them, at most `wait_ms`; then nothing is added to the answers. @return false when some
 * have not ended */
bool ls_gather_wait(struct ls_gather *gather, int64_t wait_ms);
/** One use less; the last one calls `release`. */
void ls_gather_unref(struct ls_gather *gather);

/* --- manager.c: the SessionManager --- */

struct ls_manager_config {
    struct ls_executor *executor;
    uint64_t memory_limit; /* bytes a session; 0 = none */
    size_t max_sessions;   /* 0 = any number */
    int64_t timeout_ms;    /* 0 = never (P32) */
    int64_t visit_ms;      /* a session ends that nobody has joined so long after it began */
    const char *root;      /* borrowed; the site's folder, as ls_path_place; NULL for a site inside the program */
    void *ctx;             /* of the callbacks */
    /** Make what the session consists of (P30 steps 3 to 8), before anybody can find it. On the thread that asked for
     * the session.
     * @return 0; an error and err: the session ends, as any does */
    int (*on_session_created)(void *ctx, struct ls_hosted *session, struct ls_err *err);
    /** Take it apart, as far as it was made (P33): the last item of its queue, on the owner thread. */
    void (*on_session_ended)(void *ctx, struct ls_hosted *session);
    /** What was kept for pages that have not come back has gone (P114). Owner thread. */
    void (*on_grace_over)(void *ctx);
};

/** @return owned, ls_manager_close(); NULL and err: LS_ENOMEM */
struct ls_manager *ls_manager_open(const struct ls_manager_config *config, struct ls_err *err);
/** From now on no session is made, and none times out. */
void ls_manager_stop(struct ls_manager *manager);
/** Wait until each session that was ever made has been taken apart. */
void ls_manager_wait(struct ls_manager *manager);
/** After ls_manager_wait(), when the executor is closed. NULL accepted. */
void ls_manager_close(struct ls_manager *manager);
/** P30. With --max-sessions reached the oldest session that no page ever joined ends (Q2). @return a use of the
 * session, or NULL: LS_ELIMIT (--max-sessions), LS_ECLOSED, what main.lua raised */
struct ls_hosted *ls_manager_create(struct ls_manager *manager, struct ls_err *err);
/** A page, an API client or a tool joins: from now on the session does not make room for others (Q2). @return false
 * when it has ended. Any thread. */
bool ls_manager_join(struct ls_manager *manager, struct ls_hosted *session);
/** By internal id. @return a use, or NULL */
struct ls_hosted *ls_manager_find(struct ls_manager *manager, const char *id, size_t len);
/** By vended id, or by a unique prefix of the internal id (C4). @return a use, or NULL and err */
struct ls_hosted *ls_manager_find_named(struct ls_manager *manager, const char *name, struct ls_err *err);
/** Called by on_session_created() before any file is read: ls_manager_list_all() has the session from now on. */
void ls_manager_making(struct ls_manager *manager, struct ls_hosted *session);
/** All live sessions in order of their making; each counted. @return how many; *list is owned, ls_hosted_unref_all() */
size_t ls_manager_list(struct ls_manager *manager, struct ls_hosted ***list);
/** The same, and those that are being made: what a save is told to, since they may have read the old text. */
size_t ls_manager_list_all(struct ls_manager *manager, struct ls_hosted ***list);
/** P33, of all that are there. Does not wait. */
void ls_manager_destroy_all(struct ls_manager *manager);

/* --- host.c: what a backend asks of its host --- */

/** The callbacks of a session's backend; `detected` is left out. */
void ls_hosted_fill(struct ls_hosted *session, struct ls_backend_host *host);
/** Cancel all timers of a session that ends. Owner thread. */
void ls_hosted_cancel_timers(struct ls_hosted *session);
/** May a burst with these files concern the session? Any thread. */
bool ls_hosted_may_want(struct ls_hosted *session, const struct ls_reload_file *files, size_t count);

#endif
