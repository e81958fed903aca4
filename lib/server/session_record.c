/* The server's record of a session: its life, work on its queue, questions to many sessions at once (P26, P40).
 *
 * A session is counted: the manager's map has one use, whoever found it another, and each item in its queue one more,
 * so that a session that ends while its queue runs finishes the item and then goes.
 *
 * Threads: any. */
#include "server/server_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "base/clock.h"

enum { UNLIMITED_PATIENCE_MS = 60000 };

/* --- life --- */

/* 16 bytes of the kernel's random source (P27). Look-ups go by hash, so their time tells nothing about how much of a
 * guess was right. */
struct session *ls__session_new(struct ls_executor *executor, uint64_t memory_limit, struct ls_err *err)
{
    struct session *session = ls_zalloc(sizeof *session);
    if (!session) {
        ls_fail(err, LS_ENOMEM, "Out of memory while making a session.");
        return NULL;
    }
    atomic_store(&session->refs, 1);
    pthread_mutex_init(&session->lock, NULL);
    ls_budget_init(&session->budget, memory_limit);
    session->created_ns = ls_now_ns();
    session->timers = ls_idmap_new();
    session->keys = ls_map_new_in(&session->budget);
    session->queue = ls_queue_new(executor, err);
    if (!session->timers || !session->keys) ls_fail(err, LS_ENOMEM, "Out of memory while making a session.");
    if (!session->queue || !session->timers || !session->keys || ls_random_id(session->id, err) < 0) {
        ls__session_unref(session);
        return NULL;
    }
    return session;
}

struct session *ls__session_ref(struct session *session)
{
    atomic_fetch_add(&session->refs, 1);
    return session;
}

void ls__session_unref(struct session *session)
{
    if (!session || atomic_fetch_sub(&session->refs, 1) != 1) return;
    ls_idmap_free(session->timers, NULL); /* empty, since each timer holds a use */
    ls_map_free(session->keys, NULL);
    ls_queue_unref(session->queue);
    pthread_mutex_destroy(&session->lock);
    ls_free(session);
}

void ls__session_unref_all(struct session **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ls__session_unref(list[i]);
    ls_free(list);
}

void ls__session_touch(struct session *session)
{
    atomic_store(&session->active_ns, ls_now_ns());
}

/* --- work on its queue --- */

struct closure {
    struct ls_item item;     /* first */
    struct session *session; /* counted */
    void (*fn)(struct session *session, void *arg);
    void (*release)(void *arg);
    void *arg;
};

static void run_closure(struct ls_item *item, bool turn)
{
    struct closure *closure = (struct closure *)item;
    if (turn && closure->session->backend) closure->fn(closure->session, closure->arg);
    if (closure->release) closure->release(closure->arg);
    ls__session_unref(closure->session);
    ls_free(closure);
}

int ls__session_post(struct session *session, void (*fn)(struct session *session, void *arg), void *arg,
                     void (*release)(void *arg), bool here, const void *eager)
{
    struct closure *closure = ls_malloc(sizeof *closure);
    if (!closure) {
        if (release) release(arg);
        return LS_ENOMEM;
    }
    *closure =
        (struct closure){.item = {.run = run_closure, .what = "a reload, or a page that came or went", .eager = eager},
                         .session = ls__session_ref(session),
                         .fn = fn,
                         .release = release,
                         .arg = arg};
    return ls_queue_post(session->queue, &closure->item, here);
}

struct call {
    struct session *session;
    void (*fn)(struct session *session, void *arg);
    void *arg;
    bool ran;
};

static void run_call(void *ctx)
{
    struct call *call = ctx;
    call->ran = call->session->backend;
    if (call->ran) call->fn(call->session, call->arg);
}

int ls__session_call(struct session *session, void (*fn)(struct session *session, void *arg), void *arg,
                     int64_t patience_ms)
{
    struct call call = {.session = session, .fn = fn, .arg = arg};
    int rc = ls_queue_call(session->queue, run_call, &call, patience_ms);
    return rc == 0 && !call.ran ? LS_ECLOSED : rc;
}

int64_t ls__session_patience(const struct ls_server *server)
{
    int64_t limit = server->config.time_limit_ms, least = LS_SLOW_NS / 1000000;
    return limit <= 0 ? UNLIMITED_PATIENCE_MS : limit + 1000 > least ? limit + 1000 : least;
}

/* --- timers --- */

struct session_timer {
    struct ls_item item; /* first */
    /* -- immutable after it has been set */
    struct session *session; /* counted */
    session_timer_fn run;
    uint64_t number;
    void *arg;
    /* -- atomic */
    atomic_int refs; /* one of whoever set it, one of the executor and then of the queue */
    /* -- owner thread only */
    int64_t set; /* the executor's; 0 = it went to the queue at once */
    bool ended;
};

static void unref_timer(struct session_timer *timer)
{
    if (atomic_fetch_sub(&timer->refs, 1) != 1) return;
    ls__session_unref(timer->session);
    ls_free(timer);
}

static void run_timer(struct ls_item *item, bool turn)
{
    struct session_timer *timer = (struct session_timer *)item;
    if (turn && !timer->ended && timer->session->backend) timer->run(timer->session, timer->number, timer->arg);
    unref_timer(timer);
}

/* Timer thread, which runs no Lua. */
static void fire_timer(void *ctx, int64_t handle)
{
    (void)handle;
    struct session_timer *timer = ctx;
    ls_queue_post(timer->session->queue, &timer->item, false);
}

struct session_timer *ls__session_timer_set(struct session *session, int64_t due_ns, session_timer_fn run,
                                            uint64_t number, void *arg)
{
    struct session_timer *timer = ls_malloc(sizeof *timer);
    if (!timer) return NULL;
    *timer = (struct session_timer){.item = {.run = run_timer, .what = "a timer"},
                                    .session = ls__session_ref(session),
                                    .run = run,
                                    .number = number,
                                    .arg = arg,
                                    .refs = 2};
    if (due_ns == 0)
        ls_queue_post(session->queue, &timer->item, false);
    else
        timer->set = ls_timer_set(session->server->executor, due_ns, fire_timer, timer);
    if (timer->set >= 0) return timer;
    unref_timer(timer);
    unref_timer(timer);
    return NULL;
}

void ls__session_timer_end(struct session_timer *timer)
{
    if (!timer) return;
    timer->ended = true;
    if (timer->set > 0 && ls_timer_clear(timer->session->server->executor, timer->set)) unref_timer(timer);
    unref_timer(timer);
}

/* --- interrupting --- */

/* The lock keeps the VM alive while another thread flags it; the flag itself is what ls_session_interrupt allows from
 * any thread. */
void ls__session_interrupt(struct session *session, bool for_good)
{
    pthread_mutex_lock(&session->lock);
    if (session->interruptible && for_good)
        ls_session_halt(session->interruptible);
    else if (session->interruptible)
        ls_session_interrupt(session->interruptible);
    pthread_mutex_unlock(&session->lock);
}

void ls__session_set_interruptible(struct session *session, struct ls_session *target)
{
    pthread_mutex_lock(&session->lock);
    session->interruptible = target;
    pthread_mutex_unlock(&session->lock);
}

/* --- questions to many --- */

struct question {
    struct gather *gather; /* counted */
    size_t number;
};

void ls__gather_init(struct gather *gather, void (*answer)(struct gather *, struct session *, size_t),
                     void (*over)(struct gather *), void (*release)(struct gather *))
{
    *gather = (struct gather){.answer = answer, .over = over, .release = release};
    atomic_store(&gather->refs, 1);
    atomic_store(&gather->pending, 1);
    pthread_mutex_init(&gather->lock, NULL);
    pthread_cond_init(&gather->ended, NULL);
}

void ls__gather_unref(struct gather *gather)
{
    if (atomic_fetch_sub(&gather->refs, 1) != 1) return;
    pthread_mutex_destroy(&gather->lock);
    pthread_cond_destroy(&gather->ended);
    gather->release(gather);
}

/* One that was asked has ended, or the asking itself: the last one says so. */
void ls__gather_end(struct gather *gather)
{
    if (atomic_fetch_sub(&gather->pending, 1) == 1) {
        if (gather->over) gather->over(gather);
        pthread_mutex_lock(&gather->lock);
        gather->complete = true;
        pthread_cond_broadcast(&gather->ended);
        pthread_mutex_unlock(&gather->lock);
    }
    ls__gather_unref(gather);
}

static void run_question(struct session *session, void *arg)
{
    struct question *question = arg;
    question->gather->answer(question->gather, session, question->number);
}

static void end_question(void *arg)
{
    struct question *question = arg;
    ls__gather_end(question->gather);
    ls_free(question);
}

void ls__gather_ask(struct gather *gather, struct session *session, size_t number)
{
    struct question *question = ls_malloc(sizeof *question);
    if (!question) return;
    *question = (struct question){gather, number};
    atomic_fetch_add(&gather->refs, 1);
    atomic_fetch_add(&gather->pending, 1);
    ls__session_post(session, run_question, question, end_question, false, gather->eager);
}

bool ls__gather_wait(struct gather *gather, int64_t wait_ms)
{
    int64_t until = ls_now_ns() + ls_ms(wait_ms);
    atomic_fetch_add(&gather->refs, 1);
    ls__gather_end(gather);
    pthread_mutex_lock(&gather->lock);
    while (!gather->complete && wait_ms > 0 && ls_cond_wait_until(&gather->ended, &gather->lock, until))
        continue;
    bool complete = gather->complete;
    gather->closed = true;
    pthread_mutex_unlock(&gather->lock);
    return complete;
}
