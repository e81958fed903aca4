/* Queues and the pool of worker threads (P40, P40a; lib/README.md, rules 1, 3 and 6).
 *
 * A queue is idle, ready (in the executor's list of queues that wait for a worker) or running (one thread runs its
 * items). Whoever takes it from idle or ready to running owns it until it gives it back, which is the whole of rule 1:
 * nothing that items touch needs a lock. A turn is bounded in items and time; what is left goes to the end of the ready
 * list, so that a busy session does not keep a worker for itself.
 *
 * The pool grows when work waits and every worker has been in its present item for more than 20 ms; the timer thread
 * looks at that, and only while work waits, so an idle server has no wake-ups (Q1).
 *
 * While items run, the timer thread moves the stepped clock on (base/clock.h), and tells of an item that runs for more
 * than LS_SLOW_NS.
 *
 * Threads: any. Lock order: executor->lock and queue->lock are never held together, and neither while an item runs.
 * Refuses to know what items do; a failure inside one is the poster's matter (P42). */
#include "executor/executor.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "executor/executor_internal.h"

enum { NAME_SIZE = 24, SPOT_ITEMS = 16, TURN_ITEMS = 64 };
#define SPOT_NS       ls_ms(1) /* the poster's own thread has a socket to read */
#define QUICK_NS      ls_ms(1) /* N3 */
#define TURN_NS       ls_ms(5)
#define STUCK_NS      ls_ms(20) /* P40a */
#define EXTRA_IDLE_NS ls_ms(3000)

#define LOOK_STEPS 5 /* of the stepped clock, between two looks for items that run long */

enum queue_state { IDLE, READY, RUNNING };

struct ls_queue {
    /* -- immutable after new */
    struct ls_executor *executor; /* counted */
    /* -- atomic */
    atomic_int refs;
    atomic_llong since_ns;      /* when its present item began; 0 = none runs */
    atomic_llong took_ns;       /* its last item */
    _Atomic(const char *) what; /* that is */
    _Atomic(const char *) inside;
    atomic_int eager; /* such items among those below; changes with the lock held */
    /* -- protected by executor->lock */
    struct ls_queue *next_ready;
    int64_t ready_ns;             /* when it began to wait for a worker */
    struct ls_queue *prev, *next; /* of all queues */
    char name[NAME_SIZE];
    int64_t told_ns; /* since_ns of the item that has been told of */
    /* -- protected by lock */
    pthread_mutex_t lock;
    pthread_cond_t settled; /* somebody may wait until the queue is idle */
    struct ls_item *head, *tail;
    struct ls_item *last; /* of ls_queue_end, runs after all others */
    enum queue_state state;
    int waiters;
    bool closed;
};

struct worker {
    struct worker *next;
    struct ls_executor *executor;
    pthread_t thread;
    atomic_llong since_ns; /* when its present item began; 0 = between items */
};

struct ls_executor {
    /* -- immutable after open */
    int workers_min, workers_max;
    struct timers timers; /* has its own lock */
    /* -- atomic */
    atomic_int refs;
    atomic_bool closing;
    atomic_int spot_runs; /* threads that run a queue on the spot just now */
    atomic_bool stepping; /* the timer of the stepped clock is set */
    /* -- protected by lock */
    pthread_mutex_t lock;
    pthread_cond_t work;  /* a queue became ready, or closing */
    pthread_cond_t quiet; /* a worker or an on-the-spot run has ended while closing */
    struct ls_queue *ready_head, *ready_tail;
    struct worker *workers;
    int worker_count, idle_count;
    struct ls_executor_waits waits;
    bool check_armed; /* the timer that looks for stuck workers is set */
    struct ls_queue *queues;
    unsigned steps; /* of the stepped clock since something has been running all the time */
};

static void executor_unref(struct ls_executor *executor)
{
    if (atomic_fetch_sub(&executor->refs, 1) != 1) return;
    pthread_cond_destroy(&executor->work);
    pthread_cond_destroy(&executor->quiet);
    pthread_mutex_destroy(&executor->lock);
    ls_free(executor);
}

struct timers *ls__executor_timers(struct ls_executor *executor)
{
    return &executor->timers;
}

static void drop_items(struct ls_item *item)
{
    while (item) {
        struct ls_item *next = item->next;
        item->run(item, false);
        item = next;
    }
}

/* --- the pool --- */

static void *run_worker(void *ctx);

/* Called with the lock held. */
static int start_worker(struct ls_executor *executor)
{
    struct worker *worker = ls_zalloc(sizeof *worker);
    if (!worker) return LS_ENOMEM;
    worker->executor = executor;
    if (ls_thread_start(&worker->thread, "ls-worker", LS_STACK_BYTES, run_worker, worker) != 0) {
        ls_free(worker);
        return LS_EIO;
    }
    LL_PREPEND(executor->workers, worker);
    executor->worker_count++;
    return 0;
}

/* When the last of the workers will have been in its item for 20 ms. Called with the lock held. */
static int64_t stuck_at(const struct ls_executor *executor)
{
    int64_t latest = 0;
    for (const struct worker *worker = executor->workers; worker; worker = worker->next) {
        int64_t since = atomic_load(&worker->since_ns);
        if (since == 0) since = ls_now_ns();
        if (since > latest) latest = since;
    }
    return latest + STUCK_NS;
}

static void check_stuck(void *ctx, int64_t handle);

/* Called with the lock held, whenever work waits. */
static void arm_check(struct ls_executor *executor)
{
    if (executor->check_armed || executor->idle_count > 0 || executor->worker_count >= executor->workers_max) return;
    executor->check_armed = ls_timer_set(executor, stuck_at(executor), check_stuck, executor) > 0;
}

static void check_stuck(void *ctx, int64_t handle)
{
    (void)handle;
    struct ls_executor *executor = ctx;
    pthread_mutex_lock(&executor->lock);
    executor->check_armed = false;
    if (executor->ready_head && !atomic_load(&executor->closing)) {
        if (executor->idle_count == 0 && executor->worker_count < executor->workers_max &&
            stuck_at(executor) <= ls_now_ns())
            start_worker(executor);
        arm_check(executor);
    }
    pthread_mutex_unlock(&executor->lock);
}

/* --- time, while items run --- */

/* Called with the lock held. */
static bool is_busy(struct ls_executor *executor)
{
    return atomic_load(&executor->spot_runs) > 0 || executor->ready_head ||
           executor->idle_count < executor->worker_count;
}

/* Say of one item that it runs for too long, if there is one of which it has not been said. */
static bool tell_slow(struct ls_executor *executor, int64_t now)
{
    char name[NAME_SIZE];
    const char *what = NULL, *inside = NULL;
    bool any = false;
    pthread_mutex_lock(&executor->lock);
    for (struct ls_queue *queue = executor->queues; queue && !any; queue = queue->next) {
        int64_t since = atomic_load(&queue->since_ns);
        any = since != 0 && now - since >= LS_SLOW_NS && since != queue->told_ns;
        if (!any) continue;
        queue->told_ns = since;
        memcpy(name, queue->name, sizeof name);
        what = atomic_load(&queue->what);
        inside = atomic_load(&queue->inside);
    }
    pthread_mutex_unlock(&executor->lock);
    if (any)
        ls_log_session(0, name, "%s has been running for %d s%s%s", what ? what : "an item",
                       (int)(LS_SLOW_NS / 1000000000), inside ? ", and is in " : "", inside ? inside : "");
    return any;
}

static void step(void *ctx, int64_t handle);

/* Called with the lock held. */
static void set_step(struct ls_executor *executor, int64_t now)
{
    atomic_store(&ls_clock_step, now);
    atomic_store(&executor->stepping, ls_timer_set(executor, now + LS_STEP_NS, step, executor) > 0);
}

static void step(void *ctx, int64_t handle)
{
    (void)handle;
    struct ls_executor *executor = ctx;
    int64_t now = ls_now_ns();
    pthread_mutex_lock(&executor->lock);
    /* Cleared before it looks: who begins to run something later sees that the clock has to be started. */
    atomic_store(&executor->stepping, false);
    bool busy = is_busy(executor) && !atomic_load(&executor->closing),
         look = busy && ++executor->steps % LOOK_STEPS == 0;
    atomic_store(&ls_clock_step, now);
    if (busy)
        set_step(executor, now);
    else
        executor->steps = 0;
    pthread_mutex_unlock(&executor->lock);
    while (look && tell_slow(executor, now))
        continue;
}

/* An item is about to run, and the stepped clock stands still. */
static void start_steps(struct ls_executor *executor, int64_t now)
{
    pthread_mutex_lock(&executor->lock);
    if (!atomic_load(&executor->stepping) && !atomic_load(&executor->closing)) set_step(executor, now);
    pthread_mutex_unlock(&executor->lock);
}

/* Hand a queue to the pool; its state is READY already, and the list takes over a use of it. */
static void push_ready(struct ls_queue *queue)
{
    struct ls_executor *executor = queue->executor;
    atomic_fetch_add(&executor->refs, 1); /* the queue may be gone before the worker has been woken */
    pthread_mutex_lock(&executor->lock);
    queue->next_ready = NULL;
    queue->ready_ns = ls_now_ns();
    if (executor->ready_tail)
        executor->ready_tail->next_ready = queue;
    else
        executor->ready_head = queue;
    executor->ready_tail = queue;
    bool idle = executor->idle_count > 0;
    if (!idle) arm_check(executor);
    pthread_mutex_unlock(&executor->lock);
    if (idle) pthread_cond_signal(&executor->work); /* not with the lock, which the worker would run into at once */
    executor_unref(executor);
}

/* --- running a queue --- */

/* An item comes to wait, or waits no more. Called with the queue's lock held. */
static void count_eager(struct ls_queue *queue, const struct ls_item *item, int delta)
{
    if (item->eager) atomic_fetch_add_explicit(&queue->eager, delta, memory_order_relaxed);
}

/* The next item, or NULL. Called with the queue's lock held. */
static struct ls_item *next_item(struct ls_queue *queue)
{
    struct ls_item *item = queue->head;
    if (item) {
        queue->head = item->next;
        if (!queue->head) queue->tail = NULL;
        count_eager(queue, item, -1);
    } else if (queue->last) {
        item = queue->last;
        queue->last = NULL;
    }
    return item;
}

/* Run a queue whose state is RUNNING and owned by this thread, until it is empty or the turn is over; consumes one use
 * of it. */
static void run_turn(struct ls_queue *queue, int max_items, int64_t max_ns, atomic_llong *since)
{
    int64_t begun = ls_now_ns(), now = begun;
    if (!atomic_load(&queue->executor->stepping)) start_steps(queue->executor, now);
    pthread_mutex_lock(&queue->lock);
    for (int count = 0;; count++) {
        bool over = count >= max_items || now - begun >= max_ns;
        struct ls_item *item = over && count > 0 ? NULL : next_item(queue);
        if (!item) break;
        pthread_mutex_unlock(&queue->lock);
        if (since) atomic_store(since, now);
        atomic_store_explicit(&queue->what, item->what, memory_order_relaxed);
        atomic_store_explicit(&queue->since_ns, now, memory_order_relaxed);
        int64_t before = now;
        item->run(item, true);
        now = ls_now_ns();
        atomic_store_explicit(&queue->took_ns, now - before, memory_order_relaxed);
        pthread_mutex_lock(&queue->lock);
    }
    atomic_store_explicit(&queue->since_ns, 0, memory_order_relaxed);
    bool more = queue->head || queue->last;
    queue->state = more ? READY : IDLE;
    if (!more && queue->waiters > 0) pthread_cond_broadcast(&queue->settled);
    pthread_mutex_unlock(&queue->lock);
    if (since) atomic_store(since, 0);
    if (more)
        push_ready(queue);
    else
        ls_queue_unref(queue);
}

/* Around whatever may run a queue on a thread that is not the pool's: ls_executor_close waits for it. Entered before
 * `closing` is looked at, so that one of the two sees the other. */
static void enter_spot(struct ls_executor *executor)
{
    atomic_fetch_add(&executor->refs, 1);
    atomic_fetch_add(&executor->spot_runs, 1);
}

static void leave_spot(struct ls_executor *executor)
{
    if (atomic_fetch_sub(&executor->spot_runs, 1) == 1 && atomic_load(&executor->closing)) {
        pthread_mutex_lock(&executor->lock);
        pthread_cond_broadcast(&executor->quiet);
        pthread_mutex_unlock(&executor->lock);
    }
    executor_unref(executor);
}

/* Wait for a ready queue. NULL: this worker is to end. Called with the lock held. */
static struct ls_queue *wait_ready(struct ls_executor *executor)
{
    int64_t extra_until = 0;
    while (!executor->ready_head && !atomic_load(&executor->closing)) {
        if (executor->worker_count <= executor->workers_min)
            extra_until = 0;
        else if (extra_until == 0)
            extra_until = ls_now_ns() + EXTRA_IDLE_NS;
        executor->idle_count++;
        bool in_time = ls_cond_wait_until(&executor->work, &executor->lock, extra_until != 0 ? extra_until : INT64_MAX);
        executor->idle_count--;
        if (!in_time && !executor->ready_head && executor->worker_count > executor->workers_min) return NULL;
    }
    if (atomic_load(&executor->closing)) return NULL;
    struct ls_queue *queue = executor->ready_head;
    executor->ready_head = queue->next_ready;
    executor->waits.count++;
    executor->waits.ns += (uint64_t)(ls_now_ns() - queue->ready_ns);
    if (!executor->ready_head)
        executor->ready_tail = NULL;
    else if (executor->idle_count == 0)
        arm_check(executor);
    return queue;
}

static void *run_worker(void *ctx)
{
    struct worker *self = ctx;
    struct ls_executor *executor = self->executor;
    struct ls_queue *queue;
    pthread_mutex_lock(&executor->lock);
    while ((queue = wait_ready(executor))) {
        atomic_store(&self->since_ns, ls_now_ns());
        pthread_mutex_unlock(&executor->lock);
        pthread_mutex_lock(&queue->lock);
        queue->state = RUNNING;
        pthread_mutex_unlock(&queue->lock);
        run_turn(queue, TURN_ITEMS, TURN_NS, &self->since_ns);
        pthread_mutex_lock(&executor->lock);
    }
    /* At closing time the closer joins; an extra worker that was idle too long goes by itself. */
    if (!atomic_load(&executor->closing)) {
        LL_DELETE(executor->workers, self);
        executor->worker_count--;
        pthread_detach(self->thread);
        ls_free(self);
    }
    pthread_mutex_unlock(&executor->lock);
    return NULL;
}

/* --- opening and closing --- */

struct ls_executor *ls_executor_open(int workers, int extra, struct ls_err *err)
{
    struct ls_executor *executor = ls_zalloc(sizeof *executor);
    if (!executor) {
        ls_fail(err, LS_ENOMEM, "Out of memory while starting the worker threads.");
        return NULL;
    }
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    executor->workers_min = workers > 0 ? workers : cpus > 2 ? (int)cpus : 2;
    executor->workers_max = executor->workers_min + extra;
    atomic_store(&executor->refs, 1);
    pthread_mutex_init(&executor->lock, NULL);
    pthread_cond_init(&executor->work, NULL);
    pthread_cond_init(&executor->quiet, NULL);
    if (ls__timers_open(&executor->timers, err) < 0) {
        ls_executor_close(executor);
        return NULL;
    }
    pthread_mutex_lock(&executor->lock);
    int rc = 0;
    while (rc == 0 && executor->worker_count < executor->workers_min)
        rc = start_worker(executor);
    pthread_mutex_unlock(&executor->lock);
    if (rc < 0) {
        ls_fail(err, rc, "The worker threads of --workers cannot be started.");
        ls_executor_close(executor);
        return NULL;
    }
    return executor;
}

/* No more items; what waits is handed back to be dropped by the caller, outside the lock. */
static struct ls_item *close_queue(struct ls_queue *queue)
{
    struct ls_item *items = queue->head;
    if (queue->tail)
        queue->tail->next = queue->last;
    else
        items = queue->last;
    queue->head = queue->tail = queue->last = NULL;
    atomic_store(&queue->eager, 0);
    queue->closed = true;
    return items;
}

void ls_executor_close(struct ls_executor *executor)
{
    if (!executor) return;
    ls__timers_close(&executor->timers);
    pthread_mutex_lock(&executor->lock);
    atomic_store(&executor->closing, true);
    struct ls_queue *ready = executor->ready_head;
    executor->ready_head = executor->ready_tail = NULL;
    pthread_cond_broadcast(&executor->work);
    while (atomic_load(&executor->spot_runs) > 0)
        pthread_cond_wait(&executor->quiet, &executor->lock);
    struct worker *workers = executor->workers;
    executor->workers = NULL;
    pthread_mutex_unlock(&executor->lock);
    while (workers) {
        struct worker *next = workers->next;
        pthread_join(workers->thread, NULL);
        ls_free(workers);
        workers = next;
    }
    /* A turn that ended after the list was taken has put its queue there again. */
    for (int pass = 0; pass < 2; pass++, ready = executor->ready_head)
        while (ready) {
            struct ls_queue *queue = ready;
            ready = queue->next_ready;
            pthread_mutex_lock(&queue->lock);
            struct ls_item *items = close_queue(queue);
            queue->state = IDLE;
            pthread_cond_broadcast(&queue->settled);
            pthread_mutex_unlock(&queue->lock);
            drop_items(items);
            ls_queue_unref(queue);
        }
    executor_unref(executor);
}

bool ls_executor_settle(struct ls_executor *executor, int64_t until_ns, int64_t stuck_ns)
{
    static const struct timespec nap = {.tv_nsec = 2000000};
    for (;;) {
        pthread_mutex_lock(&executor->lock);
        int64_t now = ls_now_ns();
        bool spot = atomic_load(&executor->spot_runs) > 0, busy = is_busy(executor), stuck = spot;
        for (const struct worker *worker = executor->workers; worker; worker = worker->next) {
            int64_t since = atomic_load(&worker->since_ns);
            stuck = stuck || (since != 0 && now - since >= stuck_ns);
        }
        pthread_mutex_unlock(&executor->lock);
        if (!busy || (stuck && now >= until_ns)) return !busy;
        nanosleep(&nap, NULL);
    }
}

int ls_executor_workers(struct ls_executor *executor)
{
    pthread_mutex_lock(&executor->lock);
    int count = executor->worker_count;
    pthread_mutex_unlock(&executor->lock);
    return count;
}

/* --- queues --- */

struct ls_queue *ls_queue_new(struct ls_executor *executor, struct ls_err *err)
{
    struct ls_queue *queue = ls_zalloc(sizeof *queue);
    if (!queue) {
        ls_fail(err, LS_ENOMEM, "Out of memory while making a session's queue.");
        return NULL;
    }
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->settled, NULL);
    atomic_store(&queue->refs, 1);
    queue->executor = executor;
    atomic_fetch_add(&executor->refs, 1);
    pthread_mutex_lock(&executor->lock);
    DL_PREPEND(executor->queues, queue);
    pthread_mutex_unlock(&executor->lock);
    return queue;
}

void ls_queue_name(struct ls_queue *queue, const char *name)
{
    pthread_mutex_lock(&queue->executor->lock);
    snprintf(queue->name, sizeof queue->name, "%s", name);
    pthread_mutex_unlock(&queue->executor->lock);
}

_Atomic(const char *) *ls_queue_inside(struct ls_queue *queue)
{
    return &queue->inside;
}

void ls_executor_waits(struct ls_executor *executor, struct ls_executor_waits *waits)
{
    pthread_mutex_lock(&executor->lock);
    *waits = executor->waits;
    pthread_mutex_unlock(&executor->lock);
}

const atomic_int *ls_queue_eager(struct ls_queue *queue)
{
    return &queue->eager;
}

int64_t ls_queue_running_ns(struct ls_queue *queue)
{
    int64_t since = atomic_load_explicit(&queue->since_ns, memory_order_relaxed);
    return since != 0 ? ls_now_ns() - since : 0;
}

bool ls_queue_is_quick(const struct ls_queue *queue)
{
    return atomic_load_explicit(&queue->took_ns, memory_order_relaxed) < QUICK_NS;
}

/* Two lists, the eager items and the others, and the second behind the first. Called with the lock held. */
static void eager_first(struct ls_queue *queue)
{
    struct ls_item *eager = NULL, *others = NULL, **eager_end = &eager, **others_end = &others, *tail = NULL;
    for (struct ls_item *item = queue->head; item; item = item->next) {
        struct ls_item ***end = item->eager ? &eager_end : &others_end;
        if (!item->eager || !others) tail = item;
        **end = item;
        *end = &item->next;
    }
    *others_end = NULL;
    *eager_end = others;
    queue->head = eager;
    queue->tail = tail;
}

bool ls_queue_advance(struct ls_queue *queue, bool (*match)(const void *eager, void *ctx), void *ctx)
{
    bool found = false;
    pthread_mutex_lock(&queue->lock);
    for (const struct ls_item *item = queue->head; item && !found; item = item->next)
        found = item->eager && match(item->eager, ctx);
    if (found) eager_first(queue);
    pthread_mutex_unlock(&queue->lock);
    return found;
}

void ls_queue_unref(struct ls_queue *queue)
{
    if (!queue || atomic_fetch_sub(&queue->refs, 1) != 1) return;
    /* Items hold no use of their queue: those that still wait when nobody can reach it any more are dropped. */
    drop_items(close_queue(queue));
    pthread_mutex_lock(&queue->executor->lock);
    DL_DELETE(queue->executor->queues, queue);
    pthread_mutex_unlock(&queue->executor->lock);
    executor_unref(queue->executor);
    pthread_cond_destroy(&queue->settled);
    pthread_mutex_destroy(&queue->lock);
    ls_free(queue);
}

/* Take the queue from idle to `state`, if it is idle. Called with its lock held. */
static bool wake(struct ls_queue *queue, enum queue_state state)
{
    if (queue->state != IDLE) return false;
    queue->state = state;
    atomic_fetch_add(&queue->refs, 1);
    return true;
}

int ls_queue_post(struct ls_queue *queue, struct ls_item *item, bool here)
{
    struct ls_executor *executor = queue->executor;
    item->next = NULL;
    enter_spot(executor);
    pthread_mutex_lock(&queue->lock);
    if (queue->closed || atomic_load(&executor->closing)) {
        pthread_mutex_unlock(&queue->lock);
        item->run(item, false);
        leave_spot(executor);
        return LS_ECLOSED;
    }
    if (queue->tail)
        queue->tail->next = item;
    else
        queue->head = item;
    queue->tail = item;
    count_eager(queue, item, 1);
    bool mine = wake(queue, here ? RUNNING : READY);
    pthread_mutex_unlock(&queue->lock);
    if (mine && here)
        run_turn(queue, SPOT_ITEMS, SPOT_NS, NULL);
    else if (mine)
        push_ready(queue);
    leave_spot(executor);
    return 0;
}

int ls_queue_end(struct ls_queue *queue, struct ls_item *last)
{
    last->next = NULL;
    pthread_mutex_lock(&queue->lock);
    if (queue->closed) {
        pthread_mutex_unlock(&queue->lock);
        last->run(last, false);
        return LS_ECLOSED;
    }
    struct ls_item *items = close_queue(queue);
    queue->last = last;
    bool mine = wake(queue, READY);
    pthread_mutex_unlock(&queue->lock);
    drop_items(items);
    if (mine) push_ready(queue);
    return 0;
}

struct call {
    struct ls_item item; /* first: the item is the call */
    void (*fn)(void *ctx);
    void *ctx;
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool done;
    int rc;
};

static void run_call(struct ls_item *item, bool turn)
{
    struct call *call = (struct call *)item;
    if (turn) call->fn(call->ctx);
    pthread_mutex_lock(&call->lock);
    call->rc = turn ? 0 : LS_ECLOSED;
    call->done = true;
    pthread_cond_signal(&call->over);
    pthread_mutex_unlock(&call->lock);
}

/* Take an item out of a queue again. @return false: its turn has come, or the queue has been closed */
static bool take_back(struct ls_queue *queue, struct ls_item *item)
{
    pthread_mutex_lock(&queue->lock);
    struct ls_item **at = &queue->head, *before = NULL;
    while (*at && *at != item) {
        before = *at;
        at = &before->next;
    }
    bool found = *at;
    if (found) {
        *at = item->next;
        if (queue->tail == item) queue->tail = before;
        count_eager(queue, item, -1);
    }
    pthread_mutex_unlock(&queue->lock);
    return found;
}

int ls_queue_call(struct ls_queue *queue, void (*fn)(void *ctx), void *ctx, int64_t patience_ms)
{
    if (patience_ms > 0 && ls_queue_running_ns(queue) >= ls_ms(patience_ms)) return LS_EBUSY;
    struct call call = {.item = {.run = run_call, .what = "a command or a request"}, .fn = fn, .ctx = ctx};
    pthread_mutex_init(&call.lock, NULL);
    pthread_cond_init(&call.over, NULL);
    ls_queue_post(queue, &call.item, false);
    int64_t until = patience_ms > 0 ? ls_now_ns() + ls_ms(patience_ms) : INT64_MAX;
    pthread_mutex_lock(&call.lock);
    while (!call.done) {
        if (ls_cond_wait_until(&call.over, &call.lock, until) || call.done) continue;
        pthread_mutex_unlock(&call.lock);
        bool taken = take_back(queue, &call.item);
        pthread_mutex_lock(&call.lock);
        until = INT64_MAX; /* its turn has come, or it is over */
        if (taken) {
            call.rc = LS_EBUSY;
            call.done = true;
        }
    }
    pthread_mutex_unlock(&call.lock);
    pthread_cond_destroy(&call.over);
    pthread_mutex_destroy(&call.lock);
    return call.rc;
}

bool ls_queue_drain(struct ls_queue *queue, int64_t ms)
{
    int64_t until = ls_now_ns() + ls_ms(ms);
    pthread_mutex_lock(&queue->lock);
    queue->waiters++;
    bool in_time = true;
    while (queue->state != IDLE && in_time)
        in_time = ls_cond_wait_until(&queue->settled, &queue->lock, until);
    bool idle = queue->state == IDLE;
    queue->waiters--;
    pthread_mutex_unlock(&queue->lock);
    return idle;
}
