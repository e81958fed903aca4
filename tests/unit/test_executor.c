/* The executor: order, ownership, growth of the pool, closing, timers (P40, P40a). */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "executor/executor.h"

#define DEADLINE_NS ls_ms(30000)

/* Wait for a condition; fails the test when the deadline passes. */
#define WAIT_FOR(condition)                                                                                            \
    do {                                                                                                               \
        int64_t until_ = ls_now_ns() + DEADLINE_NS;                                                                    \
        while (!(condition)) {                                                                                         \
            if (ls_now_ns() > until_) fail_msg("never came true: %s", #condition);                                     \
            sched_yield();                                                                                             \
        }                                                                                                              \
    } while (0)

static struct ls_executor *open_executor(int workers, int extra)
{
    LS_ERR(err);
    struct ls_executor *executor = ls_executor_open(workers, extra, &err);
    assert_non_null(executor);
    return executor;
}

/* A gate that items wait at, so that a test decides when a worker goes on. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool open;
    atomic_int inside;
};

static void gate_init(struct gate *gate)
{
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->opened, NULL);
    gate->open = false;
    atomic_store(&gate->inside, 0);
}

static void gate_pass(struct gate *gate)
{
    atomic_fetch_add(&gate->inside, 1);
    pthread_mutex_lock(&gate->lock);
    while (!gate->open)
        pthread_cond_wait(&gate->opened, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

static void gate_open(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->opened);
    pthread_mutex_unlock(&gate->lock);
}

struct record {
    int order[64]; /* written only by items of one queue */
    atomic_int count, dropped;
    pthread_t ran_on;
};

struct probe {
    struct ls_item item; /* first */
    struct record *record;
    struct gate *gate; /* NULL = does not wait */
    int number;
};

static void run_probe(struct ls_item *item, bool turn)
{
    struct probe *probe = (struct probe *)item;
    if (!turn) {
        atomic_fetch_add(&probe->record->dropped, 1);
        return;
    }
    if (probe->gate != NULL) gate_pass(probe->gate);
    probe->record->ran_on = pthread_self();
    probe->record->order[atomic_load(&probe->record->count)] = probe->number;
    atomic_fetch_add(&probe->record->count, 1);
}

static struct probe make_probe(struct record *record, struct gate *gate, int number)
{
    return (struct probe){.item = {.run = run_probe}, .record = record, .gate = gate, .number = number};
}

static void test_items_run_in_order(void **state)
{
    (void)state;
    struct ls_executor *executor = open_executor(3, 0);
    struct ls_queue *queue = ls_queue_new(executor, NULL);
    struct record record = {0};
    struct gate gate;
    gate_init(&gate);
    struct probe probes[50];
    for (int i = 0; i < 50; i++) {
        probes[i] = make_probe(&record, i == 0 ? &gate : NULL, i);
        assert_int_equal(ls_queue_post(queue, &probes[i].item, false), 0);
    }
    WAIT_FOR(atomic_load(&gate.inside) == 1);
    assert_false(ls_queue_drain(queue, 1));
    gate_open(&gate);
    assert_true(ls_queue_drain(queue, 30000));
    for (int i = 0; i < 50; i++)
        assert_int_equal(record.order[i], i);
    ls_queue_unref(queue);
    ls_executor_close(executor);
}

static bool is_number(const void *eager, void *ctx)
{
    return ((const struct probe *)eager)->number == *(int *)ctx;
}

struct advance {
    struct ls_item item; /* first */
    struct ls_queue *queue;
    struct gate *gate;
    int wanted;
    bool found;
    int eager;
    int64_t ran_ns;
};

static void run_advance(struct ls_item *item, bool turn)
{
    struct advance *advance = (struct advance *)item;
    assert_true(turn);
    gate_pass(advance->gate);
    advance->eager = atomic_load(ls_queue_eager(advance->queue));
    advance->ran_ns = ls_queue_running_ns(advance->queue);
    advance->found = ls_queue_advance(advance->queue, is_number, &advance->wanted);
}

/* What `wanted` matches, of items 1 to 6 whose eager ones are in `eager`, and the order in which they run then. */
static void check_advance(const char *eager, int wanted, bool found, const char *order)
{
    struct ls_executor *executor = open_executor(2, 0);
    struct ls_queue *queue = ls_queue_new(executor, NULL);
    struct record record = {0};
    struct gate gate;
    gate_init(&gate);
    assert_true(ls_queue_running_ns(queue) == 0);
    struct advance first = {.item = {.run = run_advance}, .queue = queue, .gate = &gate, .wanted = wanted};
    ls_queue_post(queue, &first.item, false);
    WAIT_FOR(atomic_load(&gate.inside) == 1);
    struct probe probes[7];
    for (int i = 1; i <= 6; i++) {
        probes[i] = make_probe(&record, NULL, i);
        probes[i].item.eager = strchr(eager, '0' + i) ? &probes[i] : NULL;
        ls_queue_post(queue, &probes[i].item, false);
    }
    gate_open(&gate);
    assert_true(ls_queue_drain(queue, 30000));
    assert_int_equal(first.eager, strlen(eager));
    assert_int_equal(first.found, found);
    assert_true(first.ran_ns > 0);
    for (int i = 0; i < 6; i++)
        assert_int_equal(record.order[i], order[i] - '0');
    assert_int_equal(atomic_load(ls_queue_eager(queue)), 0);
    struct probe last = make_probe(&record, NULL, 7); /* the list's end is where it should be */
    ls_queue_post(queue, &last.item, false);
    assert_true(ls_queue_drain(queue, 30000));
    assert_int_equal(record.order[6], 7);
    ls_queue_unref(queue);
    ls_executor_close(executor);
}

static void test_eager_items_go_first_where_one_is_wanted_R17(void **state)
{
    (void)state;
    check_advance("35", 5, true, "351246");
    check_advance("36", 3, true, "361245");
    check_advance("12", 1, true, "123456");
    check_advance("123456", 4, true, "123456");
    check_advance("6", 6, true, "612345");
    check_advance("35", 4, false, "123456"); /* that one is not eager */
    check_advance("35", 9, false, "123456");
    check_advance("", 1, false, "123456");
}

static void test_idle_queue_runs_on_the_spot_P40(void **state)
{
    (void)state;
    struct ls_executor *executor = open_executor(2, 0);
    struct ls_queue *queue = ls_queue_new(executor, NULL);
    struct record record = {0};
    struct probe probe = make_probe(&record, NULL, 1);
    ls_queue_post(queue, &probe.item, true);
    assert_int_equal(atomic_load(&record.count), 1);
    assert_true(pthread_equal(record.ran_on, pthread_self()));
    ls_queue_unref(queue);
    ls_executor_close(executor);
}

/* An item that posts its successor on the same queue, with `here`: it must not run inside its poster, and the poster's
 * thread gets its turn back. */
struct chain {
    struct ls_item item;
    struct ls_queue *queue;
    pthread_t first_thread;
    atomic_int left, here, nested;
    int depth;
};

static void run_chain(struct ls_item *item, bool turn)
{
    struct chain *chain = (struct chain *)item;
    if (!turn) return;
    if (chain->depth++ > 0) atomic_fetch_add(&chain->nested, 1);
    if (pthread_equal(chain->first_thread, pthread_self())) atomic_fetch_add(&chain->here, 1);
    int left = atomic_fetch_sub(&chain->left, 1) - 1;
    if (left > 0) ls_queue_post(chain->queue, &chain->item, true);
    chain->depth--;
}

static void test_the_spot_is_bounded(void **state)
{
    (void)state;
    struct ls_executor *executor = open_executor(2, 0);
    struct ls_queue *queue = ls_queue_new(executor, NULL);
    struct chain chain = {.item = {.run = run_chain}, .queue = queue, .first_thread = pthread_self()};
    atomic_store(&chain.left, 1000);
    ls_queue_post(queue, &chain.item, true);
    WAIT_FOR(atomic_load(&chain.left) == 0);
    assert_true(ls_queue_drain(queue, 30000));
    assert_int_equal(atomic_load(&chain.nested), 0);
    assert_in_range(atomic_load(&chain.here), 1, 16);
    ls_queue_unref(queue);
    ls_executor_close(executor);
}

static void test_pool_grows_while_stuck_P40a(void **state)
{
    (void)state;
    struct ls_executor *executor = open_executor(2, 3);
    struct gate gate;
    gate_init(&gate);
    struct record records[6] = {0};
    struct probe probes[6];
    struct ls_queue *queues[6];
    for (int i = 0; i < 6; i++) {
        queues[i] = ls_queue_new(executor, NULL);
        probes[i] = make_probe(&records[i], &gate, i);
        ls_queue_post(queues[i], &probes[i].item, false);
    }
    /* Two workers and three extra ones are all stuck; the sixth session has to wait: the growth is bounded. */
    WAIT_FOR(atomic_load(&gate.inside) == 5);
    assert_int_equal(ls_executor_workers(executor), 5);
    gate_open(&gate);
    for (int i = 0; i < 6; i++) {
        assert_true(ls_queue_drain(queues[i], 10000));
        assert_int_equal(atomic_load(&records[i].count), 1);
        ls_queue_unref(queues[i]);
    }
    WAIT_FOR(ls_executor_workers(executor) == 2);
    ls_executor_close(executor);
}

static void keep_first(void *ctx, int level, const char *session, const char *text, size_t len)
{
    _Atomic(char *) *told = ctx;
    char *line = ls_malloc(len + 64);
    snprintf(line, len + 64, "%d %s %.*s", level, session, (int)len, text);
    char *none = NULL;
    if (!atomic_compare_exchange_strong(told, &none, line)) ls_free(line);
}

/* Once, by its kind, with the function that it is inside of; and the stepped clock goes on meanwhile, and stands still
 * when nothing runs. */
static void test_long_item_is_told_of_P40a(void **state)
{
    (void)state;
    _Atomic(char *) told = NULL;
    ls_log_tap(keep_first, &told);
    struct ls_executor *executor = open_executor(2, 0);
    struct ls_queue *queue = ls_queue_new(executor, NULL), *other = ls_queue_new(executor, NULL);
    struct gate gate;
    gate_init(&gate);
    struct record record = {0};
    struct probe probe = make_probe(&record, &gate, 0), quick = make_probe(&record, NULL, 1);
    ls_queue_name(queue, "12");
    probe.item.what = "a probe";
    ls_queue_post(queue, &probe.item, false);
    ls_queue_post(other, &quick.item, false);
    WAIT_FOR(atomic_load(&gate.inside) == 1);
    atomic_store(ls_queue_inside(queue), "gate.pass");
    int64_t begun = ls_stepped_ns();
    assert_true(begun > 0);
    WAIT_FOR(ls_stepped_ns() != begun);
    WAIT_FOR(atomic_load(&told) != NULL);
    assert_string_equal(atomic_load(&told), "0 12 a probe has been running for 5 s, and is in gate.pass");
    ls_free(atomic_exchange(&told, NULL));
    begun = ls_now_ns();
    WAIT_FOR(ls_stepped_ns() - begun > 7 * LS_STEP_NS); /* one more look */
    assert_null(atomic_load(&told));
    gate_open(&gate);
    assert_true(ls_queue_drain(queue, 30000));
    ls_queue_unref(queue);
    ls_queue_unref(other);
    WAIT_FOR(ls_now_ns() - ls_stepped_ns() > 5 * LS_STEP_NS); /* an idle server has nothing to wake up for */
    ls_executor_close(executor);
    ls_log_tap(NULL, NULL);
}

static void test_close_drops_what_waits_L7(void **state)
{
    (void)state;
    struct ls_executor *executor = open_executor(2, 0);
    struct ls_queue *queue = ls_queue_new(executor, NULL);
    struct gate gate;
    gate_init(&gate);
    struct record record = {0};
    struct probe probes[5];
    for (int i = 0; i < 5; i++) {
        probes[i] = make_probe(&record, i == 0 ? &gate : NULL, i);
        ls_queue_post(queue, &probes[i].item, false);
    }
    WAIT_FOR(atomic_load(&gate.inside) == 1);
    struct probe last = make_probe(&record, NULL, 99), late = make_probe(&record, NULL, 5);
    assert_int_equal(ls_queue_end(queue, &last.item), 0);
    assert_int_equal(atomic_load(&record.dropped), 4);
    assert_int_equal(atomic_load(&record.count), 0);
    assert_int_equal(ls_queue_post(queue, &late.item, true), LS_ECLOSED);
    assert_int_equal(atomic_load(&record.dropped), 5);
    gate_open(&gate);
    assert_true(ls_queue_drain(queue, 30000));
    assert_int_equal(atomic_load(&record.count), 2);
    assert_int_equal(record.order[0], 0);
    assert_int_equal(record.order[1], 99);
    assert_int_equal(ls_queue_end(queue, &late.item), LS_ECLOSED);
    ls_queue_unref(queue);
    ls_executor_close(executor);
}

static void set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static void test_call_waits_and_hears_of_the_end(void **state)
{
    (void)state;
    struct ls_executor *executor = open_executor(2, 0);
    struct ls_queue *queue = ls_queue_new(executor, NULL);
    bool done = false;
    assert_int_equal(ls_queue_call(queue, set_flag, &done, 0), 0);
    assert_true(done);
    struct record record = {0};
    struct probe last = make_probe(&record, NULL, 1);
    assert_int_equal(ls_queue_end(queue, &last.item), 0);
    done = false;
    assert_int_equal(ls_queue_call(queue, set_flag, &done, 0), LS_ECLOSED);
    assert_false(done);
    ls_queue_unref(queue);
    ls_executor_close(executor);
}

static void test_call_is_taken_back_when_its_turn_does_not_come(void **state)
{
    (void)state;
    struct ls_executor *executor = open_executor(2, 0);
    struct ls_queue *queue = ls_queue_new(executor, NULL);
    struct gate gate;
    gate_init(&gate);
    struct record record = {0};
    struct probe stuck = make_probe(&record, &gate, 1), behind = make_probe(&record, NULL, 2);
    ls_queue_post(queue, &stuck.item, false);
    WAIT_FOR(atomic_load(&gate.inside) == 1);
    bool done = false;
    assert_int_equal(ls_queue_call(queue, set_flag, &done, 1), LS_EBUSY); /* after waiting, or at once */
    assert_int_equal(ls_queue_call(queue, set_flag, &done, 100), LS_EBUSY);
    ls_queue_post(queue, &behind.item, false);
    gate_open(&gate);
    WAIT_FOR(atomic_load(&record.count) == 2);
    assert_int_equal(record.order[1], 2);
    assert_false(done);
    assert_int_equal(ls_queue_call(queue, set_flag, &done, 10000), 0);
    assert_true(done);
    ls_queue_unref(queue);
    ls_executor_close(executor);
}

static void test_executor_close_drops_waiting_queues(void **state)
{
    (void)state;
    struct ls_executor *executor = open_executor(1, 0);
    struct gate gate;
    gate_init(&gate);
    struct record first = {0}, second = {0};
    struct ls_queue *busy = ls_queue_new(executor, NULL), *waiting = ls_queue_new(executor, NULL);
    struct probe stuck = make_probe(&first, &gate, 1), other = make_probe(&second, NULL, 2),
                 late = make_probe(&second, NULL, 3);
    ls_queue_post(busy, &stuck.item, false);
    WAIT_FOR(atomic_load(&gate.inside) == 1);
    ls_queue_post(waiting, &other.item, false);
    pthread_t closer;
    pthread_create(&closer, NULL, (void *(*)(void *))(void (*)(void))ls_executor_close, executor);
    /* The closer has begun when posts are refused. */
    struct record seen = {0};
    enum { TRIES = 10000 }; /* a millisecond each */
    struct probe *tries = ls_array(TRIES, sizeof *tries);
    assert_non_null(tries);
    int count = 0;
    while (count < TRIES) {
        tries[count] = make_probe(&seen, NULL, count);
        if (ls_queue_post(waiting, &tries[count++].item, false) == LS_ECLOSED) break;
        struct timespec moment = {.tv_nsec = 1000000};
        nanosleep(&moment, NULL);
    }
    gate_open(&gate);
    pthread_join(closer, NULL);
    assert_int_equal(atomic_load(&first.count), 1);
    assert_int_equal(atomic_load(&second.dropped), 1);
    assert_int_equal(atomic_load(&seen.dropped), count);
    assert_int_equal(ls_queue_post(busy, &late.item, true), LS_ECLOSED);
    ls_queue_unref(waiting);
    ls_queue_unref(busy);
    ls_free(tries);
}

struct ring {
    pthread_mutex_t lock;
    int order[8];
    int count;
    atomic_int fired;
};

struct bell {
    struct ring *ring;
    int number;
};

static void ring_bell(void *ctx, int64_t handle)
{
    (void)handle;
    struct bell *bell = ctx;
    pthread_mutex_lock(&bell->ring->lock);
    bell->ring->order[bell->ring->count++] = bell->number;
    pthread_mutex_unlock(&bell->ring->lock);
    atomic_fetch_add(&bell->ring->fired, 1);
}

static void wait_at_gate(void *ctx, int64_t handle)
{
    (void)handle;
    gate_pass(ctx);
}

static void test_timers_fire_in_order_and_can_be_cleared_N4(void **state)
{
    (void)state;
    struct ls_executor *executor = open_executor(1, 0);
    struct ring ring = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct bell bells[6];
    static const int64_t due_ms[6] = {40, 20, 30, 20, 60000, 25};
    int64_t handles[6], now = ls_now_ns();
    /* The timers' thread waits until all are set and one is cleared, however long that takes. */
    struct gate gate;
    gate_init(&gate);
    assert_true(ls_timer_set(executor, now, wait_at_gate, &gate) > 0);
    WAIT_FOR(atomic_load(&gate.inside) == 1);
    for (int i = 0; i < 6; i++) {
        bells[i] = (struct bell){.ring = &ring, .number = i};
        handles[i] = ls_timer_set(executor, now + ls_ms(due_ms[i]), ring_bell, &bells[i]);
        assert_true(handles[i] > 0);
        for (int j = 0; j < i; j++)
            assert_int_not_equal(handles[i], handles[j]);
    }
    assert_true(ls_timer_clear(executor, handles[5]));
    assert_false(ls_timer_clear(executor, handles[5]));
    gate_open(&gate);
    WAIT_FOR(atomic_load(&ring.fired) == 4);
    assert_true(ls_now_ns() - now >= ls_ms(40));
    static const int wanted[4] = {1, 3, 2, 0};
    assert_memory_equal(ring.order, wanted, sizeof wanted);
    assert_false(ls_timer_clear(executor, handles[0]));
    assert_true(ls_timer_clear(executor, handles[4]));
    ls_executor_close(executor);
}

static void count_call(void *ctx)
{
    atomic_fetch_add((atomic_int *)ctx, 1);
}

static void test_one_alarm_is_pending_at_most(void **state)
{
    (void)state;
    struct ls_executor *executor = open_executor(1, 0);
    atomic_int calls = 0;
    struct ls_alarm alarm, far;
    struct gate gate; /* keeps the timers' thread until all are set */
    gate_init(&gate);
    ls_alarm_init(&alarm, executor, count_call, &calls);
    ls_alarm_init(&far, executor, count_call, &calls);
    assert_true(ls_timer_set(executor, ls_now_ns(), wait_at_gate, &gate) > 0);
    WAIT_FOR(atomic_load(&gate.inside) == 1);
    for (int i = 0; i < 3; i++)
        ls_alarm_set(&alarm, ls_now_ns());
    ls_alarm_set(&far, ls_now_ns() + ls_ms(1));
    ls_alarm_off(&far);
    gate_open(&gate);
    WAIT_FOR(atomic_load(&calls) == 1);
    ls_alarm_set(&alarm, ls_now_ns()); /* it has been called, so it can be set again */
    WAIT_FOR(atomic_load(&calls) == 2);
    ls_alarm_off(&alarm);
    ls_alarm_set(&alarm, ls_now_ns());
    struct ring ring = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct bell last = {.ring = &ring};
    assert_true(ls_timer_set(executor, ls_now_ns() + ls_ms(2), ring_bell, &last) >
                0); /* behind all that could still come */
    WAIT_FOR(atomic_load(&ring.fired) == 1);
    assert_int_equal(atomic_load(&calls), 2);
    ls_executor_close(executor);
    ls_alarm_release(&alarm);
    ls_alarm_release(&far);
}

static void test_many_timers_stay_sorted(void **state)
{
    (void)state;
    struct ls_executor *executor = open_executor(1, 0);
    struct ring ring = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct bell bell = {.ring = &ring, .number = 7};
    int64_t handles[500], now = ls_now_ns();
    uint32_t random = 12345;
    for (int i = 0; i < 500; i++) {
        random = random * 1103515245u + 12345u;
        handles[i] = ls_timer_set(executor, now + ls_ms(3600000) + random, ring_bell, &bell);
    }
    for (int i = 0; i < 500; i += 2)
        assert_true(ls_timer_clear(executor, handles[i]));
    for (int i = 0; i < 500; i++)
        assert_int_equal(ls_timer_clear(executor, handles[i]), i % 2 == 1);
    assert_int_equal(atomic_load(&ring.fired), 0);
    ls_executor_close(executor);
}

/* Several threads post to a few queues, on the spot and not; each queue counts without a lock, which is rule 1 under a
 * thread sanitizer. */
enum { STRESS_QUEUES = 5, STRESS_THREADS = 4, STRESS_ITEMS = 2000 };

struct stress {
    struct ls_queue *queue;
    long plain; /* owner thread only */
    int last[STRESS_THREADS];
    atomic_int out_of_order;
};

struct stress_item {
    struct ls_item item;
    struct stress *stress;
    int thread, number;
};

static void run_stress(struct ls_item *item, bool turn)
{
    (void)turn;
    struct stress_item *self = (struct stress_item *)item;
    self->stress->plain++;
    if (self->number != self->stress->last[self->thread] + 1) atomic_fetch_add(&self->stress->out_of_order, 1);
    self->stress->last[self->thread] = self->number;
    ls_free(self);
}

struct poster {
    struct stress *stress;
    int thread;
};

static void *post_many(void *ctx)
{
    struct poster *poster = ctx;
    for (int i = 0; i < STRESS_ITEMS; i++)
        for (int q = 0; q < STRESS_QUEUES; q++) {
            struct stress_item *item = ls_malloc(sizeof *item);
            *item = (struct stress_item){
                .item = {.run = run_stress}, .stress = &poster->stress[q], .thread = poster->thread, .number = i + 1};
            ls_queue_post(poster->stress[q].queue, &item->item, (i + q + poster->thread) % 3 != 0);
        }
    return NULL;
}

static void test_one_thread_at_a_time_in_order_P40_P41(void **state)
{
    (void)state;
    struct ls_executor *executor = open_executor(2, 4);
    struct stress stress[STRESS_QUEUES];
    memset(stress, 0, sizeof stress);
    for (int q = 0; q < STRESS_QUEUES; q++)
        stress[q].queue = ls_queue_new(executor, NULL);
    pthread_t threads[STRESS_THREADS];
    struct poster posters[STRESS_THREADS];
    for (int t = 0; t < STRESS_THREADS; t++) {
        posters[t] = (struct poster){.stress = stress, .thread = t};
        pthread_create(&threads[t], NULL, post_many, &posters[t]);
    }
    for (int t = 0; t < STRESS_THREADS; t++)
        pthread_join(threads[t], NULL);
    for (int q = 0; q < STRESS_QUEUES; q++) {
        assert_true(ls_queue_drain(stress[q].queue, 20000));
        assert_int_equal(stress[q].plain, STRESS_THREADS * STRESS_ITEMS);
        assert_int_equal(atomic_load(&stress[q].out_of_order), 0);
        ls_queue_unref(stress[q].queue);
    }
    ls_executor_close(executor);
}

static void test_opening_without_memory_fails_cleanly(void **state)
{
    (void)state;
    for (long n = 1; n < 20; n++) {
        LS_ERR(err);
        ls_alloc_fail_at(n);
        struct ls_executor *executor = ls_executor_open(2, 1, &err);
        ls_alloc_fail_at(0);
        if (executor != NULL) {
            assert_true(n > 1);
            ls_executor_close(executor);
            return;
        }
        assert_int_equal(err.code, LS_ENOMEM);
    }
    fail_msg("opening never succeeded");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items_run_in_order),
        cmocka_unit_test(test_eager_items_go_first_where_one_is_wanted_R17),
        cmocka_unit_test(test_idle_queue_runs_on_the_spot_P40),
        cmocka_unit_test(test_the_spot_is_bounded),
        cmocka_unit_test(test_pool_grows_while_stuck_P40a),
        cmocka_unit_test(test_long_item_is_told_of_P40a),
        cmocka_unit_test(test_close_drops_what_waits_L7),
        cmocka_unit_test(test_call_waits_and_hears_of_the_end),
        cmocka_unit_test(test_call_is_taken_back_when_its_turn_does_not_come),
        cmocka_unit_test(test_executor_close_drops_waiting_queues),
        cmocka_unit_test(test_timers_fire_in_order_and_can_be_cleared_N4),
        cmocka_unit_test(test_one_alarm_is_pending_at_most),
        cmocka_unit_test(test_many_timers_stay_sorted),
        cmocka_unit_test(test_one_thread_at_a_time_in_order_P40_P41),
        cmocka_unit_test(test_opening_without_memory_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
