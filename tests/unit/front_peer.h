/* The other end of a WebSocket of lib/front: a socket pair without handshake, frames as bytes, what the hooks are told.
 * Included by one test file each; everything is static. */
#ifndef LS_TEST_FRONT_PEER_H
#define LS_TEST_FRONT_PEER_H

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "front/front.h"

#define UNUSED      __attribute__((unused))
#define DEADLINE_MS 20000

/* Wait for a condition; fails the test when the deadline passes. What takes long is looked at each millisecond, so that
 * who waits takes no processor from whom it waits for. */
#define WAIT_FOR(condition)                                                                                            \
    do {                                                                                                               \
        int64_t until_ = ls_now_ns() + ls_ms(DEADLINE_MS);                                                             \
        for (int looks_ = 0; !(condition); looks_++) {                                                                 \
            if (ls_now_ns() > until_) fail_msg("never came true: %s", #condition);                                     \
            if (looks_ < 100)                                                                                          \
                sched_yield();                                                                                         \
            else                                                                                                       \
                poll(NULL, 0, 1);                                                                                      \
        }                                                                                                              \
    } while (0)

/* The front of the running test. The teardown closes it, so that no hook of a test that has failed comes into the next
 * one; what hooks write to is static, since they may be called until then. */
static UNUSED struct ls_front *peer_front;

static UNUSED struct ls_front *open_front_as(const struct ls_front_config *config)
{
    LS_ERR(err);
    peer_front = ls_front_open(config, &err);
    assert_non_null(peer_front);
    return peer_front;
}

static UNUSED int close_front(void **state)
{
    (void)state;
    ls_front_close(peer_front);
    peer_front = NULL;
    return 0;
}

struct peer {
    int fd;
    struct ls_ws *ws;
    char *in; /* received */
    size_t len, cap;
    /* what the hooks see */
    atomic_int begun, messages, overs, gones, silents, unkepts, troubles;
    atomic_int unbegun;    /* messages and ends without or before `begins` */
    atomic_int kind, code; /* of the last trouble */
    atomic_bool ended_well;
    atomic_llong room, reserved, reserved_most; /* bytes; room 0 = no limit */
    const char *behind_ping;                    /* NULL = nothing */
    bool pause;                                 /* pause after each message */
    atomic_bool hold;                           /* a message takes as long as this is set */
    atomic_bool hold_room;                      /* so does room for bytes */
    atomic_int held;                            /* what has begun to take so long */
};

static UNUSED void peer_hold(struct peer *peer, atomic_bool *hold)
{
    if (!atomic_load(hold)) return;
    atomic_fetch_add(&peer->held, 1);
    for (int ms = 0; atomic_load(hold) && ms < DEADLINE_MS; ms++)
        poll(NULL, 0, 1);
}

static UNUSED void peer_begins(struct ls_ws *ws, void *owner)
{
    (void)ws;
    struct peer *peer = owner;
    atomic_fetch_add(&peer->begun, 1);
}

static UNUSED bool peer_message(struct ls_ws *ws, void *owner, int opcode, const char *data, size_t len)
{
    struct peer *peer = owner;
    struct ls_bytes *bytes = ls_bytes_new(data, len);
    assert_non_null(bytes);
    atomic_fetch_add(&peer->unbegun, atomic_load(&peer->begun) != 1);
    peer_hold(peer, &peer->hold);
    if (peer->pause) ls_ws_pause(ws);
    atomic_fetch_add(&peer->messages, 1);
    ls_ws_send(ws, opcode, bytes);
    ls_bytes_unref(bytes);
    return true;
}

static UNUSED bool peer_reserve(void *owner, size_t bytes)
{
    struct peer *peer = owner;
    peer_hold(peer, &peer->hold_room);
    long long now = atomic_fetch_add(&peer->reserved, (long long)bytes) + (long long)bytes;
    if (atomic_load(&peer->room) > 0 && now > atomic_load(&peer->room)) {
        atomic_fetch_sub(&peer->reserved, (long long)bytes);
        return false;
    }
    if (now > atomic_load(&peer->reserved_most)) atomic_store(&peer->reserved_most, now);
    return true;
}

static UNUSED void peer_unreserve(void *owner, size_t bytes)
{
    struct peer *peer = owner;
    assert_true(atomic_fetch_sub(&peer->reserved, (long long)bytes) >= (long long)bytes);
}

static UNUSED bool peer_unkept(struct ls_ws *ws, void *owner, bool pieces)
{
    (void)ws;
    (void)pieces;
    struct peer *peer = owner;
    atomic_fetch_add(&peer->unkepts, 1);
    return true;
}

static UNUSED void peer_trouble(void *owner, enum ls_ws_trouble kind, int code, const char *reason)
{
    struct peer *peer = owner;
    assert_true(strlen(reason) > 0);
    atomic_store(&peer->kind, kind);
    atomic_store(&peer->code, code);
    atomic_fetch_add(&peer->troubles, 1);
}

static UNUSED struct ls_bytes *peer_silent(void *owner)
{
    struct peer *peer = owner;
    atomic_fetch_add(&peer->silents, 1);
    return peer->behind_ping ? ls_bytes_new(peer->behind_ping, strlen(peer->behind_ping)) : NULL;
}

static UNUSED void peer_over(struct ls_ws *ws, void *owner, bool ended_well)
{
    (void)ws;
    struct peer *peer = owner;
    atomic_store(&peer->ended_well, ended_well);
    atomic_fetch_add(&peer->unbegun, atomic_load(&peer->begun) != 1);
    atomic_fetch_add(&peer->overs, 1);
}

static UNUSED void peer_gone(void *owner)
{
    struct peer *peer = owner;
    atomic_fetch_add(&peer->gones, 1);
}

static const struct ls_ws_hooks peer_hooks = {.begins = peer_begins,
                                              .message = peer_message,
                                              .unkept = peer_unkept,
                                              .reserve = peer_reserve,
                                              .unreserve = peer_unreserve,
                                              .trouble = peer_trouble,
                                              .silent = peer_silent,
                                              .over = peer_over,
                                              .gone = peer_gone};

static UNUSED void peer_open_as(struct peer *peer, struct ls_front *front, const struct ls_ws_start *start)
{
    int fds[2];
    LS_ERR(err);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    struct timeval limit = {.tv_sec = DEADLINE_MS / 1000};
    setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    peer->fd = fds[0];
    peer->ws = ls_ws_new(front, fds[1], start, &peer_hooks, peer, &err);
    assert_non_null(peer->ws);
    assert_int_equal(ls_ws_begin(peer->ws, &err), 0);
}

static UNUSED void peer_open(struct peer *peer, struct ls_front *front)
{
    static const struct ls_ws_start nothing;
    *peer = (struct peer){.fd = -1};
    peer_open_as(peer, front, &nothing);
}

/* Close our end, and see that the record goes and that nothing stays reserved. */
static UNUSED void peer_end(struct peer *peer)
{
    if (peer->fd >= 0) close(peer->fd);
    peer->fd = -1;
    WAIT_FOR(atomic_load(&peer->overs) == 1);
    ls_ws_unref(peer->ws);
    WAIT_FOR(atomic_load(&peer->gones) == 1);
    assert_int_equal(atomic_load(&peer->reserved), 0);
    free(peer->in);
}

/* @return false: the other end has closed */
static UNUSED bool peer_send_raw(struct peer *peer, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = send(peer->fd, at, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* A masked frame, as bytes. `head`: fin, reserved bits and opcode. @return its length; *bytes is to be freed */
static UNUSED size_t peer_frame(int head, const void *data, size_t len, unsigned char **bytes)
{
    static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    unsigned char *out = malloc(len + 14);
    assert_non_null(out);
    size_t at = 0;
    out[at++] = (unsigned char)head;
    int width = len < 126 ? 0 : len < 65536 ? 2 : 8;
    out[at++] = (unsigned char)(0x80 | (width == 0 ? len : width == 2 ? 126 : 127));
    for (int i = width; i-- > 0;)
        out[at++] = (unsigned char)(len >> (8 * i));
    memcpy(out + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < len; i++)
        out[at++] = (unsigned char)(((const unsigned char *)data)[i] ^ mask[i & 3]);
    *bytes = out;
    return at;
}

/* Send a frame in chops of so many bytes; 0 = at once. */
static UNUSED bool peer_send(struct peer *peer, int head, const void *data, size_t len, size_t chop)
{
    unsigned char *bytes;
    size_t total = peer_frame(head, data, len, &bytes);
    bool sent = true;
    for (size_t at = 0; at < total && sent;) {
        size_t n = chop > 0 && total - at > chop ? chop : total - at;
        sent = peer_send_raw(peer, bytes + at, n);
        at += n;
        if (chop > 0) sched_yield();
    }
    free(bytes);
    return sent;
}

static UNUSED bool peer_more(struct peer *peer)
{
    if (peer->cap - peer->len < 65536) {
        peer->cap = peer->cap * 2 + 131072;
        peer->in = realloc(peer->in, peer->cap);
        assert_non_null(peer->in);
    }
    ssize_t n;
    do {
        n = recv(peer->fd, peer->in + peer->len, peer->cap - peer->len, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) fail_msg("nothing comes");
    if (n > 0) peer->len += (size_t)n;
    return n > 0;
}

struct frame {
    int head; /* -1 = the end */
    size_t len;
    char *data; /* borrowed until the next one */
};

static UNUSED bool peer_need(struct peer *peer, size_t bytes)
{
    while (peer->len < bytes)
        if (!peer_more(peer)) return false;
    return true;
}

/* The next frame; `took` bytes at the front are dropped first. */
static UNUSED struct frame peer_next(struct peer *peer, size_t *took)
{
    if (*took > 0) memmove(peer->in, peer->in + *took, peer->len - *took);
    peer->len -= *took;
    *took = 0;
    struct frame frame = {.head = -1};
    if (!peer_need(peer, 2)) return frame;
    size_t at = 2, width = (unsigned char)peer->in[1] == 126 ? 2 : (unsigned char)peer->in[1] == 127 ? 8 : 0;
    assert_true((peer->in[1] & 0x80) == 0);
    assert_true(peer_need(peer, at + width));
    frame.len = width == 0 ? (size_t)peer->in[1] : 0;
    for (; width > 0; width--)
        frame.len = frame.len << 8 | (unsigned char)peer->in[at++];
    assert_true(peer_need(peer, at + frame.len));
    frame.head = (unsigned char)peer->in[0];
    frame.data = peer->in + at;
    *took = at + frame.len;
    return frame;
}

/* One frame is expected. */
static UNUSED void peer_expect(struct peer *peer, int head, const void *data, size_t len)
{
    size_t took = 0;
    struct frame frame = peer_next(peer, &took);
    assert_int_equal(frame.head, head);
    assert_int_equal(frame.len, len);
    if (len > 0) assert_memory_equal(frame.data, data, len);
    memmove(peer->in, peer->in + took, peer->len - took);
    peer->len -= took;
}

/* A close frame is expected, of this code (0 = none), then the end. Ours answers it. */
static UNUSED void peer_expect_close(struct peer *peer, int code)
{
    size_t took = 0;
    struct frame frame = peer_next(peer, &took);
    assert_int_equal(frame.head, 0x88);
    if (code == 0) assert_int_equal(frame.len, 0);
    if (code != 0) assert_true(frame.len >= 2);
    if (code != 0) assert_int_equal((unsigned char)frame.data[0] << 8 | (unsigned char)frame.data[1], code);
    peer_send(peer, 0x88, frame.data, frame.len >= 2 ? 2 : 0, 0);
    shutdown(peer->fd, SHUT_WR);
    assert_int_equal(peer_next(peer, &took).head, -1);
}

#endif
