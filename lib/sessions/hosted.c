/* The record of a session: its life, work on its queue, questions to many sessions at once (P26, P40).
 *
 * A session is counted: the manager's map has one use, whoever found it another, and each item in its queue one more,
 * so that a session that ends while its queue runs finishes the item and then goes.
 *
 * Threads: any. */
#include "sessions/sessions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "base/clock.h"

/* --- life --- */

/* 16 bytes of the kernel's random source (P27). Look-ups go by hash, so their time tells nothing about how much of a
 * guess was right. */
struct ls_hosted *ls__hosted_new(const struct ls_manager_config *config, struct ls_err *err)
{
    struct ls_hosted *session = ls_zalloc(sizeof *session);
    if (!session) {
        ls_fail(err, LS_ENOMEM, "Out of memory while making a session.");
        return NULL;
    }
    session->config = config;
    atomic_store(&session->refs, 1);
    pthread_mutex_init(&session->lock, NULL);
    ls_budget_init(&session->budget, config->memory_limit);
    session->created_ns = ls_now_ns();
    session->timers = ls_idmap_new();
    session->keys = ls_map_new_in(&session->budget);
    session->queue = ls_queue_new(config->executor, err);
    if (!session->timers || !session->keys) ls_fail(err, LS_ENOMEM, "Out of memory while making a session.");
    if (!session->queue || !session->timers || !session->keys || ls_random_id(session->id, err) < 0) {
        ls_hosted_unref(session);
        return NULL;
    }
    return session;
}

struct ls_hosted *ls_hosted_ref(struct ls_hosted *session)
{
    atomic_fetch_add(&session->refs, 1);
    return session;
}

void ls_hosted_unref(struct ls_hosted *session)
{
    if (!session || atomic_fetch_sub(&session->refs, 1) != 1) return;
    ls_idmap_free(session->timers, NULL); /* empty, since each timer holds a use */
    ls_map_free(session->keys, NULL);
    ls_queue_unref(session->queue);
    pthread_mutex_destroy(&session->lock);
    ls_free(session);
}

void ls_hosted_unref_all(struct ls_hosted **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ls_hosted_unref(list[i]);
    ls_free(list);
}

void ls_hosted_touch(struct ls_hosted *session)
{
    atomic_store(&session->active_ns, ls_now_ns());
}

/* --- work on its queue --- */

struct closure {
    struct ls_item item;       /* first */
    struct ls_hosted *session; /* counted */
    void (*fn)(struct ls_hosted *session, void *arg);
    void (*release)(void *arg);
    void *arg;
};

static void run_closure(struct ls_item *item, bool turn)
{
    struct closure *closure = (struct closure *)item;
    if (turn && closure->session->backend) closure->fn(closure->session, closure->arg);
    if (closure->release) closure->release(closure->arg);
    ls_hosted_unref(closure->session);
    ls_free(closure);
}

int ls_hosted_post(struct ls_hosted *session, void (*fn)(struct ls_hosted *session, void *arg), void *arg,
                   void (*release)(void *arg), bool here, const void *eager)
{
    struct closure *closure = ls_malloc(sizeof *closure);
    if (!closure) {
        if (release) release(arg);
        return LS_ENOMEM;
    }
    *closure =
        (struct closure){.item = {.run = run_closure, .what = "a reload, or a page that came or went", .eager = eager},
                         .session = ls_hosted_ref(session),
                         .fn = fn,
                         .release = release,
                         .arg = arg};
    return ls_queue_post(session->queue, &closure->item, here);
}

struct call {
    struct ls_hosted *session;
    void (*fn)(struct ls_hosted *session, void *arg);
    void *arg;
    bool ran;
};

static void run_call(void *ctx)
{
    struct call *call = ctx;
    call->ran = call->session->backend;
    if (call->ran) call->fn(call->session, call->arg);
}

int ls_hosted_call(struct ls_hosted *session, void (*fn)(struct ls_hosted *session, void *arg), void *arg,
                   int64_t patience_ms)
{
    struct call call = {.session = session, .fn = fn, .arg = arg};
    int rc = ls_queue_call(session->queue, run_call, &call, patience_ms);
    return rc == 0 && !call.ran ? LS_ECLOSED : rc;
}

/* --- timers --- */

struct ls_hosted_timer {
    struct ls_item item; /* first */
    /* -- immutable after it has been set */
    struct ls_hosted *session; /* counted */
    ls_hosted_timer_fn run;
    uint64_t number;
    void *arg;
    /* -- atomic */
    atomic_int refs; /* one of whoever set it, one of the executor and then of the queue */
    /* -- owner thread only */
    int64_t set; /* the executor's; 0 = it went to the queue at once */
    bool ended;
};

static void unref_timer(struct ls_hosted_timer *timer)
{
    if (atomic_fetch_sub(&timer->refs, 1) != 1) return;
    ls_hosted_unref(timer->session);
    ls_free(timer);
}

static void run_timer(struct ls_item *item, bool turn)
{
    struct ls_hosted_timer *timer = (struct ls_hosted_timer *)item;
    if (turn && !timer->ended && timer->session->backend) timer->run(timer->session, timer->number, timer->arg);
    unref_timer(timer);
}

/* Timer thread, which runs no Lua. */
static void fire_timer(void *ctx, int64_t handle)
{
    (void)handle;
    struct ls_hosted_timer *timer = ctx;
    ls_queue_post(timer->session->queue, &timer->item, false);
}

struct ls_hosted_timer *ls_hosted_timer_set(struct ls_hosted *session, int64_t due_ns, ls_hosted_timer_fn run,
                                            uint64_t number, void *arg)
{
    struct ls_hosted_timer *timer = ls_malloc(sizeof *timer);
    if (!timer) return NULL;
    *timer = (struct ls_hosted_timer){.item = {.run = run_timer, .what = "a timer"},
                                      .session = ls_hosted_ref(session),
                                      .run = run,
                                      .number = number,
                                      .arg = arg,
                                      .refs = 2};
    if (due_ns == 0)
        ls_queue_post(session->queue, &timer->item, false);
    else
        timer->set = ls_timer_set(session->config->executor, due_ns, fire_timer, timer);
    if (timer->set >= 0) return timer;
    unref_timer(timer);
    unref_timer(timer);
    return NULL;
}

void ls_hosted_timer_end(struct ls_hosted_timer *timer)
{
    if (!timer) return;
    timer->ended = true;
    if (timer->set > 0 && ls_timer_clear(timer->session->config->executor, timer->set)) unref_timer(timer);
    unref_timer(timer);
}

/* --- interrupting --- */

/* The lock keeps the VM alive while another thread flags it; the flag itself is what ls_session_interrupt allows from
 * any thread. */
void ls_hosted_interrupt(struct ls_hosted *session, bool for_good)
{
    pthread_mutex_lock(&session->lock);
    if (session->interruptible && for_good)
        ls_session_halt(session->interruptible);
    else if (session->interruptible)
        ls_session_interrupt(session->interruptible);
    pthread_mutex_unlock(&session->lock);
}

void ls_hosted_set_interruptible(struct ls_hosted *session, struct ls_session *target)
{
    pthread_mutex_lock(&session->lock);
    session->interruptible = target;
    pthread_mutex_unlock(&session->lock);
}

/* --- questions to many --- */

struct question {
    struct ls_gather *gather; /* counted */
    size_t number;
};

void ls_gather_init(struct ls_gather *gather, void (*answer)(struct ls_gather *, struct ls_hosted *, size_t),
                    void (*over)(struct ls_gather *), void (*release)(struct ls_gather *))
{
    *gather = (struct ls_gather){.answer = answer, .over = over, .release = release};
    atomic_store(&gather->refs, 1);
    atomic_store(&gather->pending, 1);
    pthread_mutex_init(&gather->lock, NULL);
    pthread_cond_init(&gather->ended, NULL);
}

void ls_gather_unref(struct ls_gather *gather)
{
    if (atomic_fetch_sub(&gather->refs, 1) != 1) return;
    pthread_mutex_destroy(&gather->lock);
    pthread_cond_destroy(&gather->ended);
    gather->release(gather);
}

/* One that was asked has ended, or the asking itself: the last one says so. */
void ls_gather_end(struct ls_gather *gather)
{
    if (atomic_fetch_sub(&gather->pending, 1) == 1) {
        if (gather->over) gather->over(gather);
        pthread_mutex_lock(&gather->lock);
        gather->complete = true;
        pthread_cond_broadcast(&gather->ended);
        pthread_mutex_unlock(&gather->lock);
    }
    ls_gather_unref(gather);
}

static void run_question(struct ls_hosted *session, void *arg)
{
    struct question *question = arg;
    question->gather->answer(question->gather, session, question->number);
}

static void end_question(void *arg)
{
    struct question *question = arg;
    ls_gather_end(question->gather);
    ls_free(question);
}

void ls_gather_ask(struct ls_gather *gather, struct ls_hosted *session, size_t number)
{
    struct question *question = ls_malloc(sizeof *question);
    if (!question) return;
    *question = (struct question){gather, number};
    atomic_fetch_add(&gather->refs, 1);
    atomic_fetch_add(&gather->pending, 1);
    ls_hosted_post(session, run_question, question, end_question, false, gather->eager);
}

bool ls_gather_wait(struct ls_gather *gather, int64_t wait_ms)
{
    int64_t until = ls_now_ns() + ls_ms(wait_ms);
    atomic_fetch_add(&gather->refs, 1);
    ls_gather_end(gather);
    pthread_mutex_lock(&gather->lock);
    while (!gather->complete && wait_ms > 0 && ls_cond_wait_until(&gather->ended, &gather->lock, until))
        continue;
    bool complete = gather->complete;
    gather->closed = true;
    pthread_mutex_unlock(&gather->lock);
    return complete;
}
