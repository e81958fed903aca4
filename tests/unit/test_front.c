/* The parts of the front by themselves: the wheel of timers, heads of frames, the handshake, compressed messages, the
 * loop's notes and timers (N3, N6, N10, N11). */
#include "front_peer.h"

#include <sys/eventfd.h>

#include "front/front_internal.h"

/* --- the wheel --- */

struct alarm {
    struct ls__timer timer; /* first */
    int64_t due;
};

static void test_wheel_calls_in_time(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    static struct ls__wheel wheel;
    static struct alarm alarms[COUNT];
    int64_t now = 12345, called = 0;
    wheel.done = now;
    assert_true(ls__wheel_next(&wheel) == INT64_MAX);
    srand(7);
    for (int i = 0; i < COUNT; i++) {
        alarms[i].due = now + 1 + rand() % (i % 3 == 0 ? 3000 : 40);
        ls__wheel_put(&wheel, &alarms[i].timer, alarms[i].due);
    }
    for (int i = 0; i < COUNT; i += 5) { /* set anew, or cleared */
        alarms[i].due = now + 1 + rand() % 700;
        ls__wheel_put(&wheel, &alarms[i].timer, alarms[i].due);
        if (i % 2 == 0) called += ls__wheel_take(&wheel, &alarms[i].timer);
    }
    assert_false(ls__wheel_take(&wheel, &alarms[0].timer));
    while (called < COUNT) {
        int64_t next = ls__wheel_next(&wheel);
        assert_true(next > now && next <= now + LS_WHEEL_SLOTS);
        now = next + rand() % 3;
        for (struct ls__timer *timer; (timer = ls__wheel_due(&wheel, now)); called++) {
            struct alarm *alarm = (struct alarm *)timer;
            assert_true(alarm->due <= now && alarm->due >= next);
            assert_false(timer->set);
        }
    }
    assert_true(ls__wheel_next(&wheel) == INT64_MAX);
    assert_int_equal(wheel.count, 0);
}

static void test_wheel_after_a_long_sleep(void **state)
{
    (void)state;
    static struct ls__wheel wheel;
    struct ls__timer soon = {0}, late = {0}, past = {0};
    ls__wheel_put(&wheel, &soon, 3);
    ls__wheel_put(&wheel, &late, 5000);
    assert_ptr_equal(ls__wheel_due(&wheel, 4000), &soon);
    assert_null(ls__wheel_due(&wheel, 4000));
    ls__wheel_put(&wheel, &past, 17); /* is due with the next tick */
    assert_int_equal(ls__wheel_next(&wheel), 4001);
    assert_ptr_equal(ls__wheel_due(&wheel, 6000), &past);
    /* One that is due and has not been called may be cleared, or set anew. */
    assert_true(late.set);
    assert_true(ls__wheel_take(&wheel, &late));
    assert_null(ls__wheel_due(&wheel, 7000));
}

/* One that became due while the loop was held up, however long it had slept before. */
static void test_wheel_after_a_sleep_beyond_its_turn(void **state)
{
    (void)state;
    static struct ls__wheel wheel;
    struct ls__timer due = {0};
    ls__wheel_put(&wheel, &due, LS_WHEEL_SLOTS + 88);
    assert_ptr_equal(ls__wheel_due(&wheel, LS_WHEEL_SLOTS + 90), &due);
    ls__wheel_put(&wheel, &due, 10 * LS_WHEEL_SLOTS + 88);
    assert_ptr_equal(ls__wheel_due(&wheel, 10 * LS_WHEEL_SLOTS + 188), &due);
}

/* --- the loop --- */

struct probe {
    struct ls__watch watch;
    struct ls__note note;
    struct ls__timer timer;
    struct ls__loop *loop;
    atomic_int events, notes, timers;
    int64_t set_ns;
};

static void on_probe(struct ls__watch *watch, uint32_t events)
{
    struct probe *probe = (struct probe *)watch;
    eventfd_t value;
    assert_true(events & EPOLLIN);
    eventfd_read(watch->fd, &value);
    atomic_fetch_add(&probe->events, 1);
}

static void on_note(struct ls__note *note)
{
    struct probe *probe = (struct probe *)(void *)((char *)note - offsetof(struct probe, note));
    if (atomic_fetch_add(&probe->notes, 1) < 99) assert_true(ls__loop_post(probe->loop, note));
}

static void on_probe_timer(struct ls__timer *timer)
{
    struct probe *probe = (struct probe *)(void *)((char *)timer - offsetof(struct probe, timer));
    assert_true(ls_now_ns() - probe->set_ns >= ls_ms(150));
    atomic_fetch_add(&probe->timers, 1);
}

static void test_loop(void **state)
{
    (void)state;
    LS_ERR(err);
    struct ls__loop *loop = ls__loop_new(&err);
    assert_non_null(loop);
    assert_int_equal(ls__loop_threads(loop), 2);
    static struct probe probe; /* the loop of a test that has failed goes on */
    probe = (struct probe){.watch = {.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .fn = on_probe},
                           .note = {.fn = on_note},
                           .timer = {.fn = on_probe_timer},
                           .loop = loop};
    assert_int_equal(ls__loop_watch(loop, &probe.watch, EPOLLIN, &err), 0);
    assert_int_equal(ls__loop_watch(loop, &probe.watch, EPOLLIN, &err), LS_EIO); /* twice */
    eventfd_write(probe.watch.fd, 1);
    WAIT_FOR(atomic_load(&probe.events) == 1);
    ls__loop_rewatch(loop, &probe.watch, 0);
    eventfd_write(probe.watch.fd, 1);
    assert_true(ls__loop_post(loop, &probe.note));
    WAIT_FOR(atomic_load(&probe.notes) == 100);
    assert_int_equal(atomic_load(&probe.events), 1);
    ls__loop_rewatch(loop, &probe.watch, EPOLLIN);
    WAIT_FOR(atomic_load(&probe.events) == 2);
    probe.set_ns = ls_now_ns();
    ls__loop_timer(loop, &probe.timer, 5000);
    ls__loop_timer(loop, &probe.timer, 150); /* sooner: the loop, which waits, has to hear of it */
    WAIT_FOR(atomic_load(&probe.timers) == 1);
    assert_false(ls__loop_timer_clear(loop, &probe.timer));
    ls__loop_timer(loop, &probe.timer, 5000);
    assert_true(ls__loop_timer_clear(loop, &probe.timer));
    ls__loop_unwatch(loop, &probe.watch);
    atomic_store(&probe.notes, 99);
    ls__loop_post(loop, &probe.note); /* is done by the stop, if not before */
    ls__loop_stop(loop);
    assert_int_equal(atomic_load(&probe.notes), 100);
    assert_false(ls__loop_post(loop, &probe.note));
    ls__loop_free(loop);
    close(probe.watch.fd);
}

/* --- long notes --- */

enum { LONGS = 40, LEFT = 5 };

static struct {
    struct ls__note note; /* first; posted by each long one */
    struct ls__note longs[LONGS + LEFT];
    struct ls__loop *loop;
    atomic_int notes, done, wrong;
} turns;

static void on_short(struct ls__note *note)
{
    (void)note;
    atomic_fetch_add(&turns.notes, 1);
}

static void on_long(struct ls__note *note)
{
    int nth = atomic_load(&turns.done);
    bool in_order = note == &turns.longs[nth], had_turn = atomic_load(&turns.notes) == nth;
    if (nth < LONGS && (!in_order || !had_turn)) atomic_fetch_add(&turns.wrong, 1);
    for (int64_t until = ls_now_ns() + ls_ms(1) + 100000; ls_now_ns() < until;)
        ;
    if (nth < LONGS) ls__loop_post(turns.loop, &turns.note);
    atomic_fetch_add(&turns.done, 1);
}

static void test_loop_long_notes_let_others_have_their_turn(void **state)
{
    (void)state;
    LS_ERR(err);
    turns.loop = ls__loop_new(&err);
    assert_non_null(turns.loop);
    turns.note.fn = on_short;
    for (int i = 0; i < LONGS + LEFT; i++)
        turns.longs[i].fn = on_long;
    for (int i = 0; i < LONGS; i++)
        assert_true(ls__loop_post_long(turns.loop, &turns.longs[i]));
    WAIT_FOR(atomic_load(&turns.notes) == LONGS);
    assert_int_equal(atomic_load(&turns.wrong), 0);
    for (int i = LONGS; i < LONGS + LEFT; i++)
        assert_true(ls__loop_post_long(turns.loop, &turns.longs[i]));
    ls__loop_stop(turns.loop); /* does what is left */
    assert_int_equal(atomic_load(&turns.done), LONGS + LEFT);
    assert_false(ls__loop_post_long(turns.loop, &turns.longs[0]));
    ls__loop_free(turns.loop);
}

/* --- frames --- */

static void test_frame_heads(void **state)
{
    (void)state;
    static const uint64_t lens[] = {0, 1, 125, 126, 65535, 65536, (uint64_t)1 << 32, INT64_MAX};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        unsigned char head[14];
        size_t len = ls__frame_write(head, LS_WS_BINARY, i % 2 == 1, (size_t)lens[i]);
        head[1] |= 0x80;
        memcpy(head + len, "mask", 4);
        len += 4;
        for (size_t cut = 0; cut <= len; cut++) {
            struct ls__frame frame = {0};
            char *at = (char *)head;
            size_t left = cut;
            int rc = ls__frame_head(&frame, &at, &left, true);
            assert_int_equal(left, 0);
            if (rc == 0) {
                left = len - cut;
                rc = ls__frame_head(&frame, &at, &left, true);
            }
            assert_int_equal(rc, 1);
            assert_true(frame.fin && frame.left == lens[i] && frame.opcode == LS_WS_BINARY);
            assert_int_equal(frame.compressed, i % 2 == 1);
            assert_memory_equal(frame.mask, "mask", 4);
        }
        struct ls__frame frame = {0};
        char *at = (char *)head;
        assert_int_equal(ls__frame_head(&frame, &at, &len, false), i % 2 == 1 ? -1 : 1);
    }
}

static void test_frame_mask(void **state)
{
    (void)state;
    char text[64], masked[64];
    for (int i = 0; i < 64; i++) {
        text[i] = (char)(i * 7);
        masked[i] = (char)(text[i] ^ "mAsK"[i & 3]);
    }
    for (size_t a = 0; a <= 64; a++)
        for (size_t b = a; b <= 64; b += 3) {
            struct ls__frame frame = {.left = 64, .mask = {'m', 'A', 's', 'K'}};
            char out[64];
            memcpy(out, masked, 64);
            ls__frame_unmask(&frame, out, a);
            ls__frame_unmask(&frame, out + a, b - a);
            ls__frame_unmask(&frame, out + b, 64 - b);
            assert_memory_equal(out, text, 64);
            assert_int_equal(frame.left, 0);
        }
}

/* --- the handshake --- */

static const struct ls_ws_request upgrade = {.method = "GET",
                                             .connection = "keep-alive, Upgrade",
                                             .upgrade = "WebSocket",
                                             .key = "dGhlIHNhbXBsZSBub25jZQ==",
                                             .version = "13"};

static int shake(const struct ls_ws_request *request, int *deflate, const char *has)
{
    struct ls_buf answer = LS_BUF_INIT;
    int status = ls_ws_handshake(request, deflate, &answer);
    if (status == 101) {
        assert_non_null(strstr(ls_buf_text(&answer), "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert_true(answer.len > 4 && strcmp(answer.data + answer.len - 4, "\r\n\r\n") == 0);
        if (has) assert_non_null(strstr(answer.data, has));
        if (!has) assert_null(strstr(answer.data, "Extensions"));
    } else {
        assert_int_equal(answer.len, 0);
    }
    ls_buf_release(&answer);
    return status;
}

static void test_handshake(void **state)
{
    (void)state;
    int deflate = 0;
    assert_int_equal(shake(&upgrade, &deflate, NULL), 101);
    struct ls_ws_request request;
#define REFUSES(status, field, value)                                                                                  \
    request = upgrade;                                                                                                 \
    request.field = value;                                                                                             \
    assert_int_equal(shake(&request, &deflate, NULL), status)
    REFUSES(400, method, "POST");
    REFUSES(400, method, NULL);
    REFUSES(400, connection, NULL);
    REFUSES(400, connection, "keep-alive");
    REFUSES(400, connection, "upgraded");
    REFUSES(400, upgrade, "websockets");
    REFUSES(400, upgrade, "h2c");
    REFUSES(400, upgrade, NULL);
    REFUSES(400, key, NULL);
    REFUSES(400, key, "");
    REFUSES(400, key, "dGhlIHNhbXBsZSBub25jZQ=");
    REFUSES(400, key, "dGhlIHNhbXBsZSBub25jZQ===");
    REFUSES(400, key, "dGhlIHNhbXBsZSBub25jZ\x80==");
    REFUSES(426, version, NULL);
    REFUSES(426, version, "8");
    REFUSES(426, version, "130");
    REFUSES(101, connection, " upgrade\t,close");
    REFUSES(101, upgrade, "h2c , websocket");
}

static void test_handshake_offers(void **state)
{
    (void)state;
    static const struct {
        const char *offer;
        int bits;
    } offers[] = {
        {NULL, 0},
        {"permessage-deflate", 15},
        {"Permessage-Deflate; client_max_window_bits", 15},
        {"permessage-deflate; client_max_window_bits=12; server_no_context_takeover", 15},
        {"permessage-deflate;server_max_window_bits=10", 10},
        {"permessage-deflate; server_max_window_bits=\"9\"", 9},
        {"permessage-deflate; server_max_window_bits=8", 0},
        {"permessage-deflate; server_max_window_bits=8, permessage-deflate", 15},
        {"permessage-deflate; server_max_window_bits", 0},
        {"permessage-deflate; server_max_window_bits=16", 0},
        {"permessage-deflate; server_max_window_bits=09", 0},
        {"permessage-deflate; client_max_window_bits=0", 0},
        {"permessage-deflate; server_no_context_takeover=1", 0},
        {"permessage-deflate; server_no_context_takeover; server_no_context_takeover", 0},
        {"permessage-deflate; unheard_of", 0},
        {"x-webkit-deflate-frame", 0},
        {"permessage-bzip2 , , permessage-deflate", 15},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof offers / sizeof *offers; i++) {
        struct ls_ws_request request = upgrade;
        int deflate = 1, never = 0;
        char bits[32];
        snprintf(bits, sizeof bits, "max_window_bits=%d\r\n", offers[i].bits);
        request.extensions = offers[i].offer;
        const char *has = offers[i].bits == 0 ? NULL : offers[i].bits < 15 ? bits : "permessage-deflate; server_no_c";
        assert_int_equal(shake(&request, &deflate, has), 101);
        assert_int_equal(deflate, offers[i].bits);
        assert_int_equal(shake(&request, &never, NULL), 101);
        assert_int_equal(never, 0);
    }
}

/* --- compressed messages --- */

static bool grow(void *ctx, struct ls_buf *out, size_t more)
{
    size_t *room = ctx;
    return out->len + more <= *room && ls_buf_reserve(out, more);
}

static void test_deflate(void **state)
{
    (void)state;
    struct ls__deflater *deflater = ls__deflater_new();
    size_t len = 300000, room = 1 << 20;
    char *text = malloc(len);
    for (size_t i = 0; i < len; i++)
        text[i] = "{\"id\":12,\"v\":\"x\"}"[i % 17];
    for (int bits = 9; bits <= 15; bits += 3)
        for (size_t n = 1; n <= len; n = n * 3 + 1) {
            struct ls_bytes *small = ls__deflate(deflater, bits, text, n);
            if (n < 100 && !small) continue;
            assert_non_null(small);
            assert_true(ls_bytes_len(small) < n);
            struct ls_buf out = LS_BUF_INIT;
            assert_int_equal(ls__inflate(deflater, ls_bytes_data(small), ls_bytes_len(small), n, &out, grow, &room), 0);
            assert_int_equal(out.len, n);
            assert_memory_equal(out.data, text, n);
            ls_buf_release(&out);
            assert_int_equal(ls__inflate(deflater, ls_bytes_data(small), ls_bytes_len(small), n - 1, &out, grow, &room),
                             n == 1 ? 0 : LS_ELIMIT);
            ls_buf_release(&out);
            ls_bytes_unref(small);
        }
    /* A bomb: 300,000 bytes into room for less. */
    struct ls_bytes *bomb = ls__deflate(deflater, 15, text, len);
    struct ls_buf out = LS_BUF_INIT;
    room = 40000;
    assert_int_equal(ls__inflate(deflater, ls_bytes_data(bomb), ls_bytes_len(bomb), 0, &out, grow, &room), LS_ENOMEM);
    assert_true(out.cap <= 80000);
    ls_buf_release(&out);
    room = 1 << 20;
    assert_int_equal(ls__inflate(deflater, "\xff\xff\xff", 3, 0, &out, grow, &room), LS_EINVAL);
    ls_buf_release(&out);
    /* After what went wrong the stream that is kept serves again. */
    assert_int_equal(ls__inflate(deflater, ls_bytes_data(bomb), ls_bytes_len(bomb), 0, &out, grow, &room), 0);
    assert_int_equal(out.len, len);
    ls_buf_release(&out);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)rand();
    assert_null(ls__deflate(deflater, 15, text, 5000)); /* it would not be smaller */
    ls_bytes_unref(bomb);
    ls__deflater_unref(deflater);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wheel_calls_in_time),
        cmocka_unit_test(test_wheel_after_a_long_sleep),
        cmocka_unit_test(test_wheel_after_a_sleep_beyond_its_turn),
        cmocka_unit_test(test_loop),
        cmocka_unit_test(test_loop_long_notes_let_others_have_their_turn),
        cmocka_unit_test(test_frame_heads),
        cmocka_unit_test(test_frame_mask),
        cmocka_unit_test(test_handshake),
        cmocka_unit_test(test_handshake_offers),
        cmocka_unit_test(test_deflate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
