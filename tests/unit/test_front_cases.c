/* RFC 6455 case by case (N10), against a WebSocket that sends every message back: what is to be echoed, what is
 * to end the connection and with which code. Sections are those of the well-known suite for WebSockets, which
 * asks for the same (make autobahn). */
#include "front_peer.h"

enum { FIN = 0x80, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, ENDS = -2 };

static struct ls_front *front;
static int cases;

static int open_front(void **state)
{
    (void)state;
    front = open_front_as(&(struct ls_front_config){.max_frame = (uint64_t)16 << 20, .max_outbox = (uint64_t)64 << 20});
    return 0;
}

static int tell(void **state)
{
    (void)state;
    print_message("%d cases\n", cases);
    return 0;
}

/* A step of a case: something is sent, or expected. */
struct step {
    bool expect;
    int head; /* a frame's first byte; ENDS: the connection is closed with code `len`; 0 as the end of the list */
    const char *data;
    size_t len;
};

#define S(head, text)                                                                                                  \
    {                                                                                                                  \
        false, head, text, sizeof(text) - 1                                                                            \
    }
#define E(head, text)                                                                                                  \
    {                                                                                                                  \
        true, head, text, sizeof(text) - 1                                                                             \
    }
#define CLOSES(code)                                                                                                   \
    {                                                                                                                  \
        true, ENDS, NULL, code                                                                                         \
    }
#define STEPS_MAX 16
#define TEXT1     "Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!"

/* Run a case; the frames that are sent come in chops of so many bytes. A connection that nothing ends is closed by the
 * peer, which has to be answered. */
static void run(const struct step *steps, size_t chop)
{
    static struct peer peer;
    bool ended = false;
    cases++;
    peer_open(&peer, front);
    for (const struct step *step = steps; step->expect || step->head != 0 || step->data; step++) {
        if (!step->expect)
            peer_send(&peer, step->head, step->data, step->len, chop);
        else if (step->head == ENDS)
            peer_expect_close(&peer, (int)step->len);
        else
            peer_expect(&peer, step->head, step->data, step->len);
        ended = ended || (step->expect && step->head == ENDS);
    }
    if (!ended) {
        peer_send(&peer, FIN | CLOSE, "\x03\xe8", 2, 0);
        peer_expect_close(&peer, 1000);
        WAIT_FOR(atomic_load(&peer.overs) == 1);
        assert_true(atomic_load(&peer.ended_well));
    }
    peer_end(&peer);
}

static void run_all(const struct step (*list)[STEPS_MAX], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        run(list[i], 0);
        run(list[i], 1);
    }
}
#define RUN_ALL(list) run_all(list, sizeof list / sizeof *list)

/* --- 1: messages of every kind of length --- */

static void echo(int opcode, char *data, size_t len, size_t chop)
{
    struct step steps[] = {{false, FIN | opcode, data, len}, {true, FIN | opcode, data, len}, {0}};
    run(steps, chop);
}

static void test_lengths(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 125, 126, 127, 128, 16383, 16384, 16385, 65535, 65536};
    char *data = malloc(65536);
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        memset(data, '*', 65536);
        echo(TEXT, data, lens[i], 0);
        echo(TEXT, data, lens[i], 997);
        memset(data, 0xfe, 65536);
        echo(BINARY, data, lens[i], 0);
        echo(BINARY, data, lens[i], 997);
    }
    free(data);
}

/* --- 2: pings and pongs --- */

static void test_pings(void **state)
{
    (void)state;
    static const struct step list[][STEPS_MAX] = {
        {S(FIN | PING, ""), E(FIN | PONG, "")},
        {S(FIN | PING, "Hello, world!"), E(FIN | PONG, "Hello, world!")},
        {S(FIN | PING, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"), E(FIN | PONG, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff")},
        {S(FIN | PONG, "")},
        {S(FIN | PONG, "unsolicited")},
        {S(FIN | PONG, "unsolicited"), S(FIN | PING, "real"), E(FIN | PONG, "real")},
        {S(FIN | PING, "1"), S(FIN | PING, "2"), S(FIN | PING, "3"), S(FIN | PING, "4"), E(FIN | PONG, "1"),
         E(FIN | PONG, "2"), E(FIN | PONG, "3"), E(FIN | PONG, "4")},
    };
    RUN_ALL(list);
    char data[126];
    memset(data, 0xfe, sizeof data);
    struct step longest[] = {{false, FIN | PING, data, 125}, {true, FIN | PONG, data, 125}, {0}};
    struct step longer[] = {{false, FIN | PING, data, 126}, CLOSES(1002), {0}};
    struct step longer_pong[] = {{false, FIN | PONG, data, 126}, CLOSES(1002), {0}};
    for (size_t chop = 0; chop < 2; chop++) {
        run(longest, chop);
        run(longer, chop);
        run(longer_pong, chop);
    }
}

/* --- 3: reserved bits; 4: reserved opcodes --- */

static void test_reserved(void **state)
{
    (void)state;
    static const int opcodes[] = {0, TEXT, BINARY, CLOSE, PING, PONG};
    for (int bits = 1; bits <= 7; bits++)
        for (size_t i = 0; i < sizeof opcodes / sizeof *opcodes; i++) {
            struct step alone[] = {{false, FIN | bits << 4 | opcodes[i], "Hello", 5}, CLOSES(1002), {0}};
            struct step later[] = {S(FIN | TEXT, "before"),
                                   E(FIN | TEXT, "before"),
                                   {false, FIN | bits << 4 | opcodes[i], "", 0},
                                   CLOSES(1002),
                                   {0}};
            run(alone, 0);
            run(later, 1);
        }
    for (int opcode = 3; opcode <= 15; opcode += opcode == 7 ? 4 : 1) {
        struct step alone[] = {{false, FIN | opcode, "", 0}, CLOSES(1002), {0}};
        struct step later[] = {
            S(FIN | TEXT, "before"), E(FIN | TEXT, "before"), {false, FIN | opcode, "payload", 7}, CLOSES(1002), {0}};
        struct step inside[] = {S(TEXT, "begun"), {false, FIN | opcode, "payload", 7}, CLOSES(1002), {0}};
        run(alone, 0);
        run(later, 0);
        run(later, 1);
        run(inside, 0);
    }
}

/* --- 5: messages in pieces --- */

static void test_pieces(void **state)
{
    (void)state;
    static const struct step list[][STEPS_MAX] = {
        {S(PING, "fragment"), CLOSES(1002)},
        {S(PONG, "fragment"), CLOSES(1002)},
        {S(CLOSE, ""), CLOSES(1002)},
        {S(TEXT, "frag1"), S(FIN, "frag2"), E(FIN | TEXT, "frag1frag2")},
        {S(BINARY, "fr\xffg1"), S(FIN, "frag2"), E(FIN | BINARY, "fr\xffg1frag2")},
        {S(TEXT, "1"), S(0, "2"), S(0, "3"), S(0, "4"), S(FIN, "5"), E(FIN | TEXT, "12345")},
        {S(TEXT, "frag1"), S(FIN | PING, "ping"), E(FIN | PONG, "ping"), S(FIN, "frag2"), E(FIN | TEXT, "frag1frag2")},
        {S(TEXT, "frag1"), S(FIN | PONG, "pong"), S(FIN, "frag2"), E(FIN | TEXT, "frag1frag2")},
        {S(FIN, "nothing to continue"), CLOSES(1002)},
        {S(0, "nothing to continue"), CLOSES(1002)},
        {S(0, "nothing to continue"), S(FIN, "nor here"), CLOSES(1002)},
        {S(FIN, "no"), S(FIN | TEXT, "Hello"), CLOSES(1002)},
        {S(FIN | TEXT, "whole"), E(FIN | TEXT, "whole"), S(FIN, "more"), CLOSES(1002)},
        {S(TEXT, "begun"), S(FIN | TEXT, "another"), CLOSES(1002)},
        {S(TEXT, "begun"), S(TEXT, "another"), CLOSES(1002)},
        {S(TEXT, "begun"), S(FIN | BINARY, "another"), CLOSES(1002)},
        {S(TEXT, ""), S(0, ""), S(FIN, ""), E(FIN | TEXT, "")},
        {S(TEXT, ""), S(0, "middle"), S(FIN, ""), E(FIN | TEXT, "middle")},
        {S(TEXT, ""), S(FIN, "end"), E(FIN | TEXT, "end")},
        {S(TEXT, "f1"), S(0, "f2"), S(FIN | PING, "p1"), E(FIN | PONG, "p1"), S(0, "f3"), S(0, "f4"),
         S(FIN | PING, "p2"), E(FIN | PONG, "p2"), S(FIN, "f5"), E(FIN | TEXT, "f1f2f3f4f5")},
        {S(TEXT, "begun"), S(FIN | CLOSE, "\x03\xe8"), CLOSES(1000)},
    };
    RUN_ALL(list);
}

/* --- 6: UTF-8 --- */

/* A text whole, in two frames cut at each place, and in chops of a byte. */
static void run_text(const char *text, size_t len, bool valid)
{
    struct step whole[] = {{false, FIN | TEXT, text, len}, {true, FIN | TEXT, text, len}, {0}};
    if (!valid) whole[1] = (struct step)CLOSES(1007);
    run(whole, 0);
    run(whole, 1);
    for (size_t at = 1; at < len; at++) {
        struct step cut[] = {{false, TEXT, text, at}, {false, FIN, text + at, len - at}, whole[1], {0}};
        run(cut, 0);
    }
}

static const char *const valid_texts[] = {"Hello",
                                          TEXT1,
                                          "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
                                          "\x7f",
                                          "\xc2\x80",
                                          "\xdf\xbf",
                                          "\xe0\xa0\x80",
                                          "\xef\xbf\xbf",
                                          "\xf0\x90\x80\x80",
                                          "\xed\x9f\xbf",
                                          "\xee\x80\x80",
                                          "\xef\xbf\xbd",
                                          "\xf4\x8f\xbf\xbf",
                                          "\xef\xbf\xbe",
                                          "\xf0\x9f\xbf\xbe",
                                          "\xf4\x8f\xbf\xbe",
                                          "\xef\xb7\x90",
                                          "12345678\xc3\xa4",
                                          "1234567\xe2\x82\xac"
                                          "12345678901\xf0\x9f\x98\x80"};
static const char *const invalid_texts[] = {"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"
                                            "edited",
                                            "\xf8\x88\x80\x80\x80",
                                            "\xfc\x84\x80\x80\x80\x80",
                                            "\xf7\xbf\xbf\xbf",
                                            "\xfb\xbf\xbf\xbf\xbf",
                                            "\xfd\xbf\xbf\xbf\xbf\xbf",
                                            "\xf4\x90\x80\x80",
                                            "\x80",
                                            "\xbf",
                                            "\x80\xbf",
                                            "\x80\xbf\x80\xbf\x80\xbf",
                                            "\xc0 ",
                                            "\xe0 \xe1 ",
                                            "\xc3",
                                            "\xe2\x82",
                                            "\xf0\x9f\x98",
                                            "\xdf",
                                            "\xef\xbf",
                                            "\xf4\x8f\xbf",
                                            "\xfe",
                                            "\xff",
                                            "\xfe\xfe\xff\xff",
                                            "\xc0\xaf",
                                            "\xe0\x80\xaf",
                                            "\xf0\x80\x80\xaf",
                                            "\xc1\xbf",
                                            "\xe0\x9f\xbf",
                                            "\xf0\x8f\xbf\xbf",
                                            "\xc0\x80",
                                            "\xe0\x80\x80",
                                            "\xed\xa0\x80",
                                            "\xed\xad\xbf",
                                            "\xed\xae\x80",
                                            "\xed\xaf\xbf",
                                            "\xed\xb0\x80",
                                            "\xed\xbe\x80",
                                            "\xed\xbf\xbf",
                                            "\xed\xa0\x80\xed\xb0\x80",
                                            "\xed\xaf\xbf\xed\xbf\xbf",
                                            "12345678901234567890\xff",
                                            "\xc3\xa4\xc3("};

static void test_utf8(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof valid_texts / sizeof *valid_texts; i++)
        run_text(valid_texts[i], strlen(valid_texts[i]), true);
    for (size_t i = 0; i < sizeof invalid_texts / sizeof *invalid_texts; i++)
        run_text(invalid_texts[i], strlen(invalid_texts[i]), false);
    static const struct step early[][STEPS_MAX] = {
        {S(TEXT, "\xce\xba\xf4\x90"), CLOSES(1007)}, /* before the rest comes */
        {S(TEXT, "ok"), S(0, "\xff"), CLOSES(1007)},
        {S(FIN | BINARY, "\xff\xc0"), E(FIN | BINARY, "\xff\xc0")},
        {S(FIN | TEXT, "a\0b"), E(FIN | TEXT, "a\0b")},
    };
    RUN_ALL(early);
    /* Before the frame is whole. */
    static struct peer peer;
    unsigned char *bytes;
    size_t len = peer_frame(FIN | TEXT, "\xce\xba\xf4\x90\x80\x80 and more", 15, &bytes);
    peer_open(&peer, front);
    peer_send_raw(&peer, bytes, len - 11);
    peer_expect_close(&peer, 1007);
    peer_end(&peer);
    free(bytes);
}

/* --- 7: closing --- */

static void test_closing(void **state)
{
    (void)state;
    static const struct step list[][STEPS_MAX] = {
        {S(FIN | TEXT, "last"), S(FIN | CLOSE, "\x03\xe8"), E(FIN | TEXT, "last"), CLOSES(1000)},
        {S(FIN | CLOSE, ""), CLOSES(0)},
        {S(FIN | CLOSE, "\x03"), CLOSES(1002)},
        {S(FIN | CLOSE, "\x03\xe8Hello"), CLOSES(1000)},
        {S(FIN | CLOSE, "\x03\xe8\xce\xba\xe1\xbd\xb9\xed\xa0\x80"), CLOSES(1007)},
        {S(FIN | CLOSE, "\x03\xe8\xce"), CLOSES(1007)},
        {S(FIN | CLOSE, "\x03\xe8"), S(FIN | CLOSE, "\x03\xe9"), CLOSES(1000)},
        {S(FIN | CLOSE, "\x03\xe8"), S(FIN | PING, "late"), CLOSES(1000)},
        {S(FIN | CLOSE, "\x03\xe8"), S(FIN | TEXT, "late"), CLOSES(1000)},
        {S(TEXT, "begun"), S(FIN | CLOSE, "\x03\xe8"), S(FIN, "late"), CLOSES(1000)},
    };
    RUN_ALL(list);
    static const int good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010,
                               1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999},
                     bad[] = {0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535};
    for (size_t i = 0; i < sizeof good / sizeof *good + sizeof bad / sizeof *bad; i++) {
        bool valid = i < sizeof good / sizeof *good;
        int code = valid ? good[i] : bad[i - sizeof good / sizeof *good];
        char data[126] = {(char)(code >> 8), (char)code};
        memset(data + 2, '*', 124);
        struct step close[] = {{false, FIN | CLOSE, data, 2}, CLOSES((size_t)(valid ? code : 1002)), {0}};
        struct step reason[] = {{false, FIN | CLOSE, data, 125}, CLOSES((size_t)(valid ? code : 1002)), {0}};
        struct step longer[] = {{false, FIN | CLOSE, data, 126}, CLOSES(1002), {0}};
        run(close, 0);
        run(reason, 0);
        run(longer, 0);
    }
}

/* --- 5.1 of the text: what a client must not send --- */

static void run_raw(const char *bytes, size_t len, int code)
{
    static struct peer peer;
    cases++;
    peer_open(&peer, front);
    peer_send_raw(&peer, bytes, len);
    peer_expect_close(&peer, code);
    peer_end(&peer);
}

static void test_raw(void **state)
{
    (void)state;
    run_raw("\x81\x05Hello", 7, 1002); /* no mask */
    run_raw("\x89\x00", 2, 1002);
    run_raw("\x81\x7e\x00\x05Hello", 9, 1002);
    run_raw("\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00mask", 14, 1002); /* bit 63 */
    run_raw("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xffmask", 14, 1009);
    run_raw("\x82\xff\x00\x00\x00\x00\x01\x00\x00\x01mask", 14, 1009); /* a byte beyond the limit */
    run_raw("\x89\xfe\x00\x7emask", 8, 1002);                          /* a ping of 126 */
    run_raw("\x88\xff", 2, 1002);
}

/* --- 9: large messages --- */

static void test_large(void **state)
{
    (void)state;
    size_t len = (size_t)4 << 20;
    char *data = malloc(len);
    for (size_t i = 0; i < len; i++)
        data[i] = (char)('a' + i % 23);
    for (size_t size = 1 << 18; size <= len; size *= 4) {
        echo(TEXT, data, size, 0);
        echo(BINARY, data, size, 65521);
    }
    /* In pieces, of which so many make it too large. */
    for (size_t piece = 4096; piece <= 65536; piece *= 4) {
        static struct peer peer;
        cases++;
        peer_open(&peer, front);
        for (size_t at = 0; at < 1 << 20; at += piece)
            peer_send(&peer, (at == 0 ? TEXT : 0) | (at + piece >= 1 << 20 ? FIN : 0), data + at, piece, 0);
        peer_expect(&peer, FIN | TEXT, data, 1 << 20);
        bool sent = true;
        for (size_t at = 0; at <= (size_t)16 << 20 && sent; at += 65536)
            sent = peer_send(&peer, at == 0 ? BINARY : 0, data, 65536, 0);
        peer_expect_close(&peer, 1009);
        assert_int_equal(atomic_load(&peer.kind), LS_WS_TOO_LARGE);
        peer_end(&peer);
    }
    free(data);
}

/* Many small messages one behind the other, and many connections at once. */
static void test_many(void **state)
{
    (void)state;
    static struct peer peers[64];
    for (int i = 0; i < 64; i++)
        peer_open(&peers[i], front);
    for (int k = 0; k < 200; k++)
        for (int i = 0; i < 64; i++)
            peer_send(&peers[i], FIN | TEXT, TEXT1, (size_t)(k * i) % 5, 0);
    for (int i = 0; i < 64; i++) {
        for (int k = 0; k < 200; k++)
            peer_expect(&peers[i], FIN | TEXT, TEXT1, (size_t)(k * i) % 5);
        peer_end(&peers[i]);
    }
    cases += 64;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lengths, open_front, close_front),
        cmocka_unit_test_setup_teardown(test_pings, open_front, close_front),
        cmocka_unit_test_setup_teardown(test_reserved, open_front, close_front),
        cmocka_unit_test_setup_teardown(test_pieces, open_front, close_front),
        cmocka_unit_test_setup_teardown(test_utf8, open_front, close_front),
        cmocka_unit_test_setup_teardown(test_closing, open_front, close_front),
        cmocka_unit_test_setup_teardown(test_raw, open_front, close_front),
        cmocka_unit_test_setup_teardown(test_large, open_front, close_front),
        cmocka_unit_test_setup_teardown(test_many, open_front, close_front),
    };
    return cmocka_run_group_tests(tests, NULL, tell);
}
