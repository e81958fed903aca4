/* What a WebSocket of the front does over time and under load: flow control, what is not read, memory that is refused,
 * pings, the end of what does not end, and that nobody waits for a slow one (N3, N6, N10, N11, P37, P40b, P69). */
#include "front_peer.h"

static struct ls_front *open_front(uint64_t max_outbox, int64_t ping_ms, int missed_pings)
{
    return open_front_as(&(struct ls_front_config){
        .max_frame = (uint64_t)64 << 20, .max_outbox = max_outbox, .ping_ms = ping_ms, .missed_pings = missed_pings});
}

static void test_begins_with_what_came_behind_the_head(void **state)
{
    (void)state;
    struct ls_front *front = open_front(0, 0, 0);
    unsigned char *bytes;
    size_t len = peer_frame(0x81, "early", 5, &bytes);
    struct ls_ws_start start = {
        .answer = "HTTP/1.1 101 \r\n\r\n", .answer_len = 17, .first = (char *)bytes, .first_len = len - 2};
    static struct peer peer;
    peer = (struct peer){.fd = -1};
    peer_open_as(&peer, front, &start);
    peer_send_raw(&peer, bytes + len - 2, 2);
    while (peer.len < 17)
        assert_true(peer_more(&peer));
    assert_memory_equal(peer.in, start.answer, 17);
    memmove(peer.in, peer.in + 17, peer.len -= 17);
    peer_expect(&peer, 0x81, "early", 5);
    peer_end(&peer);
    assert_int_equal(atomic_load(&peer.begun), 1);
    assert_int_equal(atomic_load(&peer.unbegun), 0);
    free(bytes);
}

/* Also of a peer that sends nothing, or has gone already. */
static void test_tells_first_that_it_begins(void **state)
{
    (void)state;
    struct ls_front *front = open_front(0, 0, 0);
    static struct peer peer;
    peer_open(&peer, front);
    WAIT_FOR(atomic_load(&peer.begun) == 1);
    peer_send(&peer, 0x81, "a", 1, 0);
    peer_expect(&peer, 0x81, "a", 1);
    peer_end(&peer);
    static struct peer gone;
    static const struct ls_ws_start nothing;
    int fds[2];
    LS_ERR(err);
    gone = (struct peer){.fd = -1};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    close(fds[0]);
    gone.ws = ls_ws_new(front, fds[1], &nothing, &peer_hooks, &gone, &err);
    assert_non_null(gone.ws);
    assert_int_equal(ls_ws_begin(gone.ws, &err), 0);
    WAIT_FOR(atomic_load(&gone.overs) == 1);
    ls_ws_unref(gone.ws);
    assert_int_equal(atomic_load(&peer.begun) + atomic_load(&gone.begun), 2);
    assert_int_equal(atomic_load(&peer.unbegun) + atomic_load(&gone.unbegun), 0);
}

/* A session may send, close or cut before the front has begun to read. */
static void test_ends_before_it_begins(void **state)
{
    (void)state;
    static const struct ls_ws_start nothing;
    struct ls_front *front = open_front(0, 0, 0);
    for (int i = 0; i < 4; i++) {
        int fds[2];
        LS_ERR(err);
        static struct peer peer;
        peer = (struct peer){.fd = -1};
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        peer.fd = fds[0];
        peer.ws = ls_ws_new(front, fds[1], &nothing, &peer_hooks, &peer, &err);
        assert_non_null(peer.ws);
        if (i < 2)
            ls_ws_cut(peer.ws);
        else
            ls_ws_close(peer.ws, 1011, "");
        poll(NULL, 0, 50);
        if (i % 2 == 0) {
            assert_int_equal(ls_ws_begin(peer.ws, &err), 0);
            if (i < 2) WAIT_FOR(atomic_load(&peer.overs) == 1);
            peer_end(&peer);
            continue;
        }
        ls_ws_unref(peer.ws); /* nothing of it is left, its timer neither */
        assert_int_equal(atomic_load(&peer.gones), 1);
        assert_int_equal(atomic_load(&peer.overs), 0);
        close(peer.fd);
    }
    poll(NULL, 0, 2500); /* beyond the time of a close handshake */
}

/* What a thread has that is not one of the loop's: a stack of another size. */
static pthread_t closer;

static bool note_closer(struct ls_ws *ws, void *owner, int opcode, const char *data, size_t len)
{
    struct peer *peer = owner;
    (void)ws, (void)opcode, (void)data, (void)len;
    if (pthread_equal(pthread_self(), closer)) atomic_fetch_add(&peer->unkepts, 1);
    return true;
}

static void test_closing_the_front_handles_no_message(void **state)
{
    (void)state;
    struct ls_ws_hooks hooks = peer_hooks;
    hooks.message = note_closer;
    closer = pthread_self();
    for (int i = 0; i < 200; i++) {
        int fds[2];
        LS_ERR(err);
        static struct peer peer;
        peer = (struct peer){.fd = -1};
        struct ls_front *front = open_front(0, 0, 0);
        unsigned char *bytes;
        size_t len = peer_frame(0x81, "early", 5, &bytes);
        struct ls_ws_start start = {.first = (char *)bytes, .first_len = len};
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        peer.fd = fds[0];
        peer.ws = ls_ws_new(front, fds[1], &start, &hooks, &peer, &err);
        assert_non_null(peer.ws);
        assert_int_equal(ls_ws_begin(peer.ws, &err), 0);
        close_front(state);
        free(bytes);
        peer_end(&peer);
        assert_int_equal(atomic_load(&peer.unkepts), 0);
    }
}

/* P40b: what was received before the pause is not looked at either. */
static void test_pause(void **state)
{
    (void)state;
    struct ls_front *front = open_front(0, 0, 0);
    static struct peer peer;
    peer_open(&peer, front);
    peer.pause = true;
    for (int i = 0; i < 150; i++)
        peer_send(&peer, 0x81, "step", 4, 0);
    shutdown(peer.fd, SHUT_WR);
    for (int i = 0; i < 150; i++) {
        peer_expect(&peer, 0x81, "step", 4);
        assert_int_equal(atomic_load(&peer.messages), i + 1);
        assert_int_equal(atomic_load(&peer.overs), 0);
        ls_ws_resume(peer.ws);
    }
    peer_end(&peer);
}

/* One that is paused and cut ends all the same. */
static void test_cut_while_paused(void **state)
{
    (void)state;
    struct ls_front *front = open_front(0, 0, 0);
    static struct peer peer;
    peer_open(&peer, front);
    peer.pause = true;
    peer_send(&peer, 0x81, "stop", 4, 0);
    peer_send(&peer, 0x81, "never", 5, 0);
    WAIT_FOR(atomic_load(&peer.messages) == 1);
    ls_ws_cut(peer.ws);
    ls_ws_cut(peer.ws);
    WAIT_FOR(atomic_load(&peer.overs) == 1);
    assert_false(atomic_load(&peer.ended_well));
    ls_ws_send(peer.ws, LS_WS_TEXT, NULL);
    ls_ws_close(peer.ws, 1000, "");
    ls_ws_resume(peer.ws);
    peer_end(&peer);
}

/* P69: a page that does not read is cut when too much waits; a large frame by itself is sent all the same. */
static void test_not_read(void **state)
{
    (void)state;
    struct ls_front *front = open_front(1 << 20, 0, 0);
    static struct peer peer;
    peer_open(&peer, front);
    size_t len = (size_t)8 << 20;
    char *data = calloc(1, len);
    struct ls_bytes *large = ls_bytes_new(data, len), *small = ls_bytes_new(data, 1000);
    ls_ws_send(peer.ws, LS_WS_BINARY, large);
    ls_ws_send(peer.ws, LS_WS_BINARY, small);
    peer_expect(&peer, 0x82, data, len);
    peer_expect(&peer, 0x82, data, 1000);
    assert_true(atomic_load(&peer.reserved_most) >= (long long)len);
    WAIT_FOR(atomic_load(&peer.reserved) == 0);
    ls_ws_send(peer.ws, LS_WS_BINARY, large);
    int sent = 0;
    for (; atomic_load(&peer.troubles) == 0 && sent < 5000; sent++)
        ls_ws_send(peer.ws, LS_WS_BINARY, small);
    assert_true(sent > 900 && sent < 1100);
    assert_int_equal(atomic_load(&peer.kind), LS_WS_NOT_READ);
    WAIT_FOR(atomic_load(&peer.overs) == 1);
    ls_bytes_unref(large);
    ls_bytes_unref(small);
    peer_end(&peer);
    free(data);
}

/* Pings from one that reads no pongs cost what they take, and end. */
static void test_pings_not_read(void **state)
{
    (void)state;
    struct ls_front *front = open_front(1 << 16, 0, 0);
    static struct peer peer;
    peer_open(&peer, front);
    for (int i = 0; i < 1000000 && peer_send(&peer, 0x89, "", 0, 0); i++)
        continue;
    WAIT_FOR(atomic_load(&peer.overs) == 1);
    assert_int_equal(atomic_load(&peer.kind), LS_WS_NOT_READ);
    assert_true(atomic_load(&peer.reserved_most) < 1 << 20);
    peer_end(&peer);
}

/* L5: no room for a message that comes whole: the next one is read; for one in pieces: it ends. */
static void test_no_room(void **state)
{
    (void)state;
    struct ls_front *front = open_front(0, 0, 0);
    static struct peer peer;
    size_t len = (size_t)4 << 20;
    char *data = calloc(1, len);
    memset(data, 'x', len);
    peer_open(&peer, front);
    atomic_store(&peer.room, 1 << 20);
    peer_send(&peer, 0x81, data, len, 0);
    WAIT_FOR(atomic_load(&peer.unkepts) == 1);
    peer_send(&peer, 0x81, "next", 4, 0);
    peer_expect(&peer, 0x81, "next", 4);
    assert_int_equal(atomic_load(&peer.messages), 1);
    for (int i = 0; i < 64; i++)
        if (!peer_send(&peer, i == 0 ? 0x01 : 0x00, data, len / 64, 0)) break;
    peer_expect_close(&peer, 1009);
    assert_int_equal(atomic_load(&peer.unkepts), 2);
    peer_end(&peer);
    free(data);
}

/* P37: who announces much and sends little is given little. */
static void test_announces_much(void **state)
{
    (void)state;
    struct ls_front *front = open_front(0, 0, 0);
    static struct peer peer;
    peer_open(&peer, front);
    char *data = calloc(1, 100000);
    peer_send_raw(&peer, "\x82\xff\x00\x00\x00\x00\x04\x00\x00\x00mask", 14);
    peer_send_raw(&peer, data, 100000);
    WAIT_FOR(atomic_load(&peer.reserved) >= 80000);
    assert_true(atomic_load(&peer.reserved_most) < 400000);
    peer_end(&peer);
    free(data);
}

static void test_pings(void **state)
{
    (void)state;
    struct ls_front *front = open_front(0, 200, 0);
    static struct peer peer;
    peer_open(&peer, front);
    for (int i = 0; i < 3; i++) {
        int64_t since = ls_now_ns();
        peer_expect(&peer, 0x89, "", 0);
        assert_true(i == 0 || ls_now_ns() - since > ls_ms(90));
        peer_send(&peer, 0x8a, "", 0, 0);
    }
    WAIT_FOR(atomic_load(&peer.silents) >= 3);
    /* One that only sends, or is only sent to, is pinged, too: some proxies look at one way alone. */
    int64_t until = ls_now_ns() + ls_ms(DEADLINE_MS);
    while (atomic_load(&peer.silents) < 5 && ls_now_ns() < until) {
        peer_send(&peer, 0x8a, "", 0, 0);
        poll(NULL, 0, 20);
    }
    assert_true(atomic_load(&peer.silents) >= 5);
    peer_end(&peer);
}

static void test_pings_bring_a_text_along(void **state)
{
    (void)state;
    static const struct ls_ws_start nothing;
    struct ls_front *front = open_front(0, 200, 0);
    static struct peer peer;
    peer = (struct peer){.fd = -1, .behind_ping = "[]"};
    peer_open_as(&peer, front, &nothing);
    for (int i = 0; i < 2; i++) {
        peer_expect(&peer, 0x89, "", 0);
        assert_true(peer.len > 0); /* both came in one write */
        peer_expect(&peer, 0x81, "[]", 2);
    }
    peer_end(&peer);
}

static void test_silent_peer_is_cut(void **state)
{
    (void)state;
    struct ls_front *front = open_front(0, 400, 3);
    static struct peer peer, live;
    peer_open(&peer, front);
    peer_open(&live, front);
    int64_t begun = ls_now_ns();
    while (atomic_load(&peer.overs) == 0 && ls_now_ns() - begun < ls_ms(DEADLINE_MS)) {
        peer_send(&live, 0x8a, "", 0, 0);
        poll(NULL, 0, 20);
    }
    assert_true(ls_now_ns() - begun >= ls_ms(1600));
    assert_int_equal(atomic_load(&peer.kind), LS_WS_SILENT);
    assert_int_equal(atomic_load(&peer.silents), 3);
    assert_int_equal(atomic_load(&live.overs), 0);
    peer_end(&peer);
    peer_end(&live);
}

/* N10: the peer has 2 s to answer a close frame; `over` is told when it is cut. */
static void test_close_is_not_answered(void **state)
{
    (void)state;
    struct ls_front *front = open_front(0, 0, 0);
    static struct peer peer;
    peer_open(&peer, front);
    int64_t begun = ls_now_ns();
    ls_ws_close(peer.ws, 1001, "going");
    ls_ws_close(peer.ws, 1000, "again");
    peer_expect(&peer, 0x88, "\x03\xe9going", 7);
    peer_send(&peer, 0x81, "still", 5, 0); /* is still given to the hook, whose answer goes nowhere */
    WAIT_FOR(atomic_load(&peer.messages) == 1);
    WAIT_FOR(atomic_load(&peer.overs) == 1);
    assert_true(ls_now_ns() - begun >= ls_ms(2000));
    assert_false(atomic_load(&peer.ended_well));
    size_t took = 0;
    assert_int_equal(peer_next(&peer, &took).head, -1);
    peer_end(&peer);
}

/* One that breaks the rules and then neither reads nor ends is rid of as well. */
static void test_refused_and_stays(void **state)
{
    (void)state;
    struct ls_front *front = open_front(0, 0, 0);
    static struct peer peer;
    peer_open(&peer, front);
    char *data = calloc(1, 65536);
    peer_send(&peer, 0xff, "", 0, 0);
    WAIT_FOR(atomic_load(&peer.overs) == 1); /* at once */
    assert_int_equal(atomic_load(&peer.code), 1002);
    while (peer_send_raw(&peer, data, 65536))
        continue;
    peer_end(&peer);
    free(data);
}

static void test_front_closes_first(void **state)
{
    (void)state;
    struct ls_front *front = open_front(0, 1000, 0);
    static struct peer peers[20];
    for (int i = 0; i < 20; i++)
        peer_open(&peers[i], front);
    peers[3].pause = true;
    peer_send(&peers[3], 0x81, "a", 1, 0);
    ls_ws_close(peers[4].ws, 1001, "");
    WAIT_FOR(atomic_load(&peers[3].messages) == 1);
    close_front(state);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(atomic_load(&peers[i].overs), 1);
        assert_int_equal(atomic_load(&peers[i].gones), 0);
        ls_ws_send(peers[i].ws, LS_WS_TEXT, NULL);
        ls_ws_resume(peers[i].ws);
        ls_ws_close(peers[i].ws, 1000, "");
        peer_end(&peers[i]);
    }
}

/* N3: what one message takes holds up that WebSocket and no other, however often, and some at the same time. */
static void test_slow_ones_hold_up_nobody(void **state)
{
    (void)state;
    struct ls_front *front = open_front(0, 0, 0);
    static struct peer slow[3], quick;
    for (int i = 0; i < 3; i++)
        peer_open(&slow[i], front);
    peer_open(&quick, front);
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < 3; i++) {
            atomic_store(&slow[i].hold, true);
            peer_send(&slow[i], 0x81, "slow", 4, 0);
        }
        for (int i = 0; i < 100; i++) { /* some while the slow ones begin, the others while all of them go on */
            if (i == 50)
                for (int k = 0; k < 3; k++)
                    WAIT_FOR(atomic_load(&slow[k].held) == round);
            peer_send(&quick, 0x81, "quick", 5, 0);
            peer_expect(&quick, 0x81, "quick", 5);
        }
        for (int i = 0; i < 3; i++) {
            assert_int_equal(atomic_load(&slow[i].messages), round - 1);
            atomic_store(&slow[i].hold, false);
            peer_expect(&slow[i], 0x81, "slow", 4);
        }
        assert_true(ls_front_threads(front) <= 4);
    }
    for (int i = 0; i < 3; i++)
        peer_end(&slow[i]);
    peer_end(&quick);
}

static void *send_many(void *ctx)
{
    struct peer *peer = ctx;
    struct ls_bytes *bytes = ls_bytes_new("from a thread", 13);
    for (int i = 0; i < 2000; i++)
        ls_ws_send(peer->ws, LS_WS_TEXT, bytes);
    ls_bytes_unref(bytes);
    return NULL;
}

/* P38: frames of many threads are never interleaved, with a reader that is slower than they. */
static void test_threads_send(void **state)
{
    (void)state;
    struct ls_front *front = open_front(0, 0, 0);
    static struct peer peer;
    pthread_t threads[4];
    peer_open(&peer, front);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, &peer), 0);
    for (int i = 0; i < 8000; i++)
        peer_expect(&peer, 0x81, "from a thread", 13);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    peer_end(&peer);
}

/* N6: compressed both ways, beyond 1 KiB; small ones are not. */
static void test_compressed(void **state)
{
    (void)state;
    struct ls_front *front = open_front(0, 0, 0);
    struct ls_ws_start start = {.deflate = 15};
    static struct peer peer;
    peer = (struct peer){.fd = -1};
    size_t took = 0;
    char text[4000];
    memset(text, 'z', sizeof text);
    peer_open_as(&peer, front, &start);
    peer_send(&peer, 0x81, text, sizeof text, 0);
    struct frame frame = peer_next(&peer, &took);
    assert_int_equal(frame.head, 0xc1);
    assert_true(frame.len < 100);
    char small[100];
    size_t len = frame.len;
    memcpy(small, frame.data, len);
    /* The same back, whole and in pieces: only the first frame of a message is marked. */
    peer_send(&peer, 0xc1, small, len, 0);
    frame = peer_next(&peer, &took);
    assert_true(frame.head == 0xc1 && frame.len == len && memcmp(frame.data, small, len) == 0);
    peer_send(&peer, 0x41, small, 3, 0);
    peer_send(&peer, 0x89, "p", 1, 0);
    peer_send(&peer, 0x80, small + 3, len - 3, 0);
    frame = peer_next(&peer, &took);
    assert_true(frame.head == 0x8a && frame.len == 1);
    frame = peer_next(&peer, &took);
    assert_true(frame.head == 0xc1 && frame.len == len && memcmp(frame.data, small, len) == 0);
    peer_send(&peer, 0x81, text, 1024, 0);
    frame = peer_next(&peer, &took);
    assert_true(frame.head == 0x81 && frame.len == 1024);
    peer_send(&peer, 0xc1, "\xff\xff\xff", 3, 0);
    memmove(peer.in, peer.in + took, peer.len -= took);
    peer_expect_close(&peer, 1007);
    peer_end(&peer);
}

/* N3 N6: what a small message grows to takes its time, and holds up no other WebSocket. */
static void test_expanding_holds_up_nobody(void **state)
{
    (void)state;
    struct ls_front *front = open_front(0, 0, 0);
    struct ls_ws_start start = {.deflate = 15};
    static struct peer slow, quick;
    static char text[40000], small[1000];
    slow = (struct peer){.fd = -1};
    size_t took = 0;
    memset(text, 'z', sizeof text);
    peer_open_as(&slow, front, &start);
    peer_open(&quick, front);
    peer_send(&slow, 0x81, text, sizeof text, 0);
    struct frame frame = peer_next(&slow, &took);
    size_t len = frame.len;
    assert_true(frame.head == 0xc1 && len < sizeof small);
    memcpy(small, frame.data, len);
    atomic_store(&slow.hold_room, true);
    peer_send(&slow, 0xc1, small, len, 0);
    WAIT_FOR(atomic_load(&slow.held) > 0);
    peer_send(&quick, 0x81, "quick", 5, 0);
    peer_expect(&quick, 0x81, "quick", 5);
    assert_int_equal(atomic_load(&slow.messages), 1);
    atomic_store(&slow.hold_room, false);
    frame = peer_next(&slow, &took);
    assert_true(frame.head == 0xc1 && frame.len == len && memcmp(frame.data, small, len) == 0);
    peer_end(&slow);
    peer_end(&quick);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_begins_with_what_came_behind_the_head, close_front),
        cmocka_unit_test_teardown(test_tells_first_that_it_begins, close_front),
        cmocka_unit_test_teardown(test_ends_before_it_begins, close_front),
        cmocka_unit_test_teardown(test_closing_the_front_handles_no_message, close_front),
        cmocka_unit_test_teardown(test_pause, close_front),
        cmocka_unit_test_teardown(test_cut_while_paused, close_front),
        cmocka_unit_test_teardown(test_not_read, close_front),
        cmocka_unit_test_teardown(test_pings_not_read, close_front),
        cmocka_unit_test_teardown(test_no_room, close_front),
        cmocka_unit_test_teardown(test_announces_much, close_front),
        cmocka_unit_test_teardown(test_pings, close_front),
        cmocka_unit_test_teardown(test_pings_bring_a_text_along, close_front),
        cmocka_unit_test_teardown(test_silent_peer_is_cut, close_front),
        cmocka_unit_test_teardown(test_close_is_not_answered, close_front),
        cmocka_unit_test_teardown(test_refused_and_stays, close_front),
        cmocka_unit_test_teardown(test_front_closes_first, close_front),
        cmocka_unit_test_teardown(test_slow_ones_hold_up_nobody, close_front),
        cmocka_unit_test_teardown(test_threads_send, close_front),
        cmocka_unit_test_teardown(test_compressed, close_front),
        cmocka_unit_test_teardown(test_expanding_holds_up_nobody, close_front),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
