/* Answers that are waited for without a thread (P118). */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "front/front_internal.h"

enum { WAIT_MS = 20000 };

/* The descriptor of a peer that sends faster than is read. */
static atomic_int endless = -1;

ssize_t recv(int fd, void *data, size_t len, int flags)
{
    if (fd != atomic_load(&endless)) return recvfrom(fd, data, len, flags, NULL, NULL);
    memset(data, 'x', len);
    return (ssize_t)len;
}

/* One that waits: at its end it answers what `told` says, unless it has been answered. */
struct waiter {
    struct ls_held *held;
    pthread_mutex_t lock;
    bool answered;
    int fd; /* the front's */
    atomic_int over, gone;
};

static void say(struct waiter *waiter, const char *text, size_t len)
{
    struct ls_buf answer = LS_BUF_INIT;
    ls_buf_add(&answer, text, len);
    ls_held_answer(waiter->held, &answer);
}

static void on_over(struct ls_held *held, void *owner)
{
    struct waiter *waiter = owner;
    atomic_fetch_add(&waiter->over, 1);
    pthread_mutex_lock(&waiter->lock);
    assert_ptr_equal(held, waiter->held);
    if (!waiter->answered) say(waiter, "late", 4);
    waiter->answered = true;
    pthread_mutex_unlock(&waiter->lock);
}

static void on_gone(void *owner)
{
    struct waiter *waiter = owner;
    atomic_fetch_add(&waiter->gone, 1);
}

static const struct ls_held_hooks hooks = {.over = on_over, .gone = on_gone};

/* Of the running test. The teardown closes it, so that no hook of a test that has failed comes into the next one; what
 * hooks write to is static, since they may be called until then. */
static struct ls_front *front;

static int open_front(void **state)
{
    (void)state;
    LS_ERR(err);
    front = ls_front_open(&(struct ls_front_config){.loops = 1}, &err);
    return front ? 0 : -1;
}

static int close_front(void **state)
{
    (void)state;
    atomic_store(&endless, -1);
    ls_front_close(front);
    front = NULL;
    return 0;
}

/* @return the peer's end */
static int hold(struct waiter *waiter, int64_t ms)
{
    int pair[2];
    LS_ERR(err);
    *waiter = (struct waiter){.lock = PTHREAD_MUTEX_INITIALIZER};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pthread_mutex_lock(&waiter->lock);
    waiter->fd = pair[0];
    waiter->held = ls_held_new(front, pair[0], ms, &hooks, waiter, &err);
    pthread_mutex_unlock(&waiter->lock);
    assert_non_null(waiter->held);
    return pair[1];
}

static void answer(struct waiter *waiter, const char *text, size_t len)
{
    pthread_mutex_lock(&waiter->lock);
    assert_false(waiter->answered);
    say(waiter, text, len);
    waiter->answered = true;
    pthread_mutex_unlock(&waiter->lock);
}

/* All that comes until the end. @return bytes */
static size_t read_all(int fd, char *text, size_t size)
{
    size_t len = 0;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    for (;;) {
        assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
        ssize_t n = recv(fd, text + len, size - len, 0);
        if (n <= 0) return len;
        len += (size_t)n;
    }
}

static void await_gone(struct waiter *waiter)
{
    int64_t until = ls_now_ns() + ls_ms(WAIT_MS);
    while (atomic_load(&waiter->gone) == 0 && ls_now_ns() < until)
        poll(NULL, 0, 1);
    assert_int_equal(atomic_load(&waiter->gone), 1);
}

static void p118_it_is_answered_by_anybody_and_ended(void **state)
{
    (void)state;
    static struct waiter waiter;
    char text[64];
    int peer = hold(&waiter, WAIT_MS);
    answer(&waiter, "at once", 7);
    assert_int_equal(read_all(peer, text, sizeof text), 7);
    assert_memory_equal(text, "at once", 7);
    close(peer);
    await_gone(&waiter);
    assert_int_equal(atomic_load(&waiter.over), 0);
    peer = hold(&waiter, WAIT_MS);
    answer(&waiter, "at once", 7);
    await_gone(&waiter); /* also of a peer that does not end */
    close(peer);
}

static void p118_its_time_ends(void **state)
{
    (void)state;
    static struct waiter waiter;
    char text[64];
    int64_t since = ls_now_ns();
    int peer = hold(&waiter, 150);
    assert_int_equal(read_all(peer, text, sizeof text), 4);
    assert_true(ls_now_ns() - since >= ls_ms(150));
    assert_memory_equal(text, "late", 4);
    close(peer);
    await_gone(&waiter);
}

static void p118_a_peer_that_sends_no_more_is_told(void **state)
{
    (void)state;
    static struct waiter waiter;
    char text[64];
    int peer = hold(&waiter, WAIT_MS);
    assert_int_equal(send(peer, "more", 4, 0), 4); /* which nobody reads */
    shutdown(peer, SHUT_WR);
    assert_int_equal(read_all(peer, text, sizeof text), 4);
    close(peer);
    await_gone(&waiter);
    peer = hold(&waiter, WAIT_MS);
    close(peer);
    await_gone(&waiter);
}

static void p118_much_is_sent_as_the_peer_takes_it(void **state)
{
    (void)state;
    static char sent[3000000], got[sizeof sent + 1];
    static struct waiter waiter;
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (char)('a' + i % 23);
    int peer = hold(&waiter, WAIT_MS);
    answer(&waiter, sent, sizeof sent);
    assert_int_equal(read_all(peer, got, sizeof got), sizeof sent);
    assert_memory_equal(got, sent, sizeof sent);
    close(peer);
    await_gone(&waiter);
}

static void p118_a_peer_that_sends_without_end_delays_nobody(void **state)
{
    (void)state;
    static struct waiter sends, other;
    char text[64];
    int peer = hold(&sends, WAIT_MS), next = hold(&other, WAIT_MS);
    atomic_store(&endless, sends.fd);
    assert_int_equal(send(peer, "more", 4, 0), 4);
    answer(&sends, "first", 5);
    struct pollfd wait = {.fd = peer, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
    poll(NULL, 0, 20); /* it is being read from by now */
    answer(&other, "second", 6);
    assert_int_equal(read_all(next, text, sizeof text), 6);
    close(next);
    await_gone(&sends);
    atomic_store(&endless, -1);
    await_gone(&other);
    close(peer);
}

static void p118_the_front_ends_what_it_holds(void **state)
{
    (void)state;
    static char much[3000000];
    static struct waiter waiting, writing;
    int peers[] = {hold(&waiting, WAIT_MS), hold(&writing, WAIT_MS)};
    answer(&writing, much, sizeof much);
    close_front(state);
    assert_int_equal(atomic_load(&waiting.gone), 1);
    assert_int_equal(atomic_load(&writing.gone), 1);
    close(peers[0]);
    close(peers[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(p118_it_is_answered_by_anybody_and_ended, open_front, close_front),
        cmocka_unit_test_setup_teardown(p118_its_time_ends, open_front, close_front),
        cmocka_unit_test_setup_teardown(p118_a_peer_that_sends_no_more_is_told, open_front, close_front),
        cmocka_unit_test_setup_teardown(p118_much_is_sent_as_the_peer_takes_it, open_front, close_front),
        cmocka_unit_test_setup_teardown(p118_a_peer_that_sends_without_end_delays_nobody, open_front, close_front),
        cmocka_unit_test_setup_teardown(p118_the_front_ends_what_it_holds, open_front, close_front),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
