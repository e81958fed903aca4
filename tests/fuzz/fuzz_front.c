/* Fuzz target: what a client may send on a WebSocket. Each input is sent twice, to one that echoes: at once, and in
 * chops; the first byte says how long these are and whether messages may be compressed. Both are answered alike, with
 * frames that are whole, none behind a close frame, and the connection ends when the client's end does. Built by
 * run.sh: with libFuzzer, or with replay.c. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front/front.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

enum { ROOM = 1 << 20, MAX_FRAME = 100000 };

static bool on_message(struct ls_ws *ws, void *owner, int opcode, const char *data, size_t len)
{
    (void)owner;
    CHECK(len <= MAX_FRAME && (opcode == LS_WS_TEXT || opcode == LS_WS_BINARY));
    struct ls_bytes *bytes = ls_bytes_new(data, len < 1000 ? len : 1000);
    ls_ws_send(ws, opcode, bytes);
    ls_bytes_unref(bytes);
    return true;
}

static void on_over(struct ls_ws *ws, void *owner, bool ended_well)
{
    (void)owner;
    (void)ended_well;
    ls_ws_unref(ws);
}

/* @return how many bytes have come back */
static size_t exchange(struct ls_front *front, const uint8_t *data, size_t size, size_t chop, int deflate, uint8_t *out)
{
    static const struct ls_ws_hooks hooks = {.message = on_message, .over = on_over};
    struct ls_ws_start start = {.deflate = deflate};
    int fds[2], large = ROOM;
    size_t len = 0;
    ssize_t n;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &large, sizeof large);
    struct ls_ws *ws = ls_ws_new(front, fds[1], &start, &hooks, NULL, NULL);
    CHECK(ws && ls_ws_begin(ws, NULL) == 0);
    for (size_t at = 0; at < size; at += chop)
        if (send(fds[0], data + at, size - at < chop ? size - at : chop, MSG_NOSIGNAL) < 0) break;
    shutdown(fds[0], SHUT_WR);
    while ((n = recv(fds[0], out + len, ROOM - len, 0)) > 0 || (n < 0 && errno == EINTR)) /* the fuzzer's alarm */
        len += n > 0 ? (size_t)n : 0;
    CHECK(n == 0 && len < ROOM);
    close(fds[0]);
    return len;
}

/* All are whole frames, and a close frame is the last one. */
static void check_frames(const uint8_t *out, size_t len)
{
    bool closed = false;
    for (size_t at = 0; at < len;) {
        CHECK(!closed && len - at >= 2 && (out[at] & 0xb0) == 0x80 && (out[at + 1] & 0x80) == 0);
        size_t payload = out[at + 1], head = 2;
        CHECK(payload <= 126);
        if (payload == 126) {
            payload = (size_t)out[at + 2] << 8 | out[at + 3];
            head = 4;
        }
        CHECK(len - at >= head + payload);
        closed = (out[at] & 15) == LS_WS_CLOSE;
        CHECK((out[at] & 15) < LS_WS_CLOSE || payload <= 125);
        at += head + payload;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ls_front *front;
    static uint8_t whole[ROOM], chopped[ROOM];
    if (!front) front = ls_front_open(&(struct ls_front_config){.max_frame = MAX_FRAME}, NULL);
    CHECK(front);
    if (size < 2 || size > 4096) return 0;
    size_t chop = (data[0] & 15) + 1;
    int deflate = data[0] & 16 ? 15 : 0;
    size_t len = exchange(front, data + 1, size - 1, size, deflate, whole);
    check_frames(whole, len);
    CHECK(exchange(front, data + 1, size - 1, chop, deflate, chopped) == len && memcmp(whole, chopped, len) == 0);
    return 0;
}
