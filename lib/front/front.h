/* The front: connections that cost no thread. One loop (or some) waits for all of them; WebSockets are read, answered
 * and pinged here (RFC 6455), and what they say goes to those above by a table of hooks. Knows sockets, bytes and
 * frames; no session, and of HTTP only what a handshake needs.
 *
 * A WebSocket's life: ls_ws_new (nothing happens yet, hooks are not called), ls_ws_begin (it is read from now on),
 * `message` for each message, `over` once, when no more will come and nothing is sent any more, `gone` once, last, when
 * nobody has a use of it: what `owner` points to lives until then. */
#ifndef LS_FRONT_FRONT_H
#define LS_FRONT_FRONT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

struct ls_front;
struct ls_ws;

enum { LS_WS_CONTINUE = 0, LS_WS_TEXT = 1, LS_WS_BINARY = 2, LS_WS_CLOSE = 8, LS_WS_PING = 9, LS_WS_PONG = 10 };

/* --- the front --- */

struct ls_front_config {
    int loops;           /* 0 = 1 */
    uint64_t max_frame;  /* bytes of a message, whole or in pieces; 0 = no limit (P37) */
    uint64_t max_outbox; /* bytes that may wait behind the frame being sent; 0 = no limit (P69) */
    int64_t ping_ms;     /* a WebSocket that is silent for so long, one way or the other, is pinged; 0 = never (N11) */
    int missed_pings;    /* one that answers so many with nothing is cut when the next is due; 0 = never (S6) */
};

/** Start the loops. @return owned, ls_front_close(); NULL and err: LS_ENOMEM, LS_EIO. Any thread. */
struct ls_front *ls_front_open(const struct ls_front_config *config, struct ls_err *err);
/** Ends what is still open without a word (its hooks are called, here), joins the threads. Before the executor is
 * closed, since hooks post items. Uses of WebSockets that are left stay valid: what is sent goes nowhere. NULL
 * accepted. Not from a hook, nor while ls_ws_new or ls_ws_begin is going on. */
void ls_front_close(struct ls_front *front);
/** Threads that its loops have now. Any thread. */
int ls_front_threads(struct ls_front *front);

/* --- handshake --- */

/* The values of a request's header lines; NULL = there is none. Borrowed. */
struct ls_ws_request {
    const char *method, *connection, *upgrade, *key, *version, *extensions;
};

/** Look at a request for an upgrade (N10).
 * @param deflate  in: not 0 = messages may be compressed; out: 0 = they are not, else the window in bits of those that
 * are sent (9..15), and the answer says so (N6)
 * @param answer  emptied, then the whole text of the answer 101. Want of memory: ls_buf_failed
 * @return 101; 400: it asks for no upgrade, or is malformed; 426: it speaks another version (answer that, with
 * `Sec-WebSocket-Version: 13`). Any thread. */
int ls_ws_handshake(const struct ls_ws_request *request, int *deflate, struct ls_buf *answer);
/** Is it a Sec-WebSocket-Key? NULL is none. Any thread. */
bool ls_ws_is_key(const char *key);

/* --- WebSockets --- */

/* Why the front itself ends a WebSocket, for the log. */
enum ls_ws_trouble {
    LS_WS_MALFORMED, /* against RFC 6455, or not UTF-8 */
    LS_WS_TOO_LARGE, /* a message beyond max_frame */
    LS_WS_NO_MEMORY, /* for what waits to be sent, or to be read */
    LS_WS_NOT_READ,  /* more than max_outbox waits for it */
    LS_WS_SILENT     /* missed_pings */
};

/* What those above do. All on a thread of the loop, which has a stack of LS_STACK_BYTES and may run items; never two at
 * the same time for one WebSocket, but for those that say otherwise. `owner` is what ls_ws_new was given. */
struct ls_ws_hooks {
    /* It is watched from now on: before any other of these but `reserve` to `trouble`. May be NULL. Not called when it
     * is over before the loop has seen it. */
    void (*begins)(struct ls_ws *ws, void *owner);
    /* A whole message; a text's UTF-8 has been checked, a binary one's has not. `data` is borrowed until return.
     * @return false: no more is read. The hook has called ls_ws_close or ls_ws_cut; else it is closed with 1001 */
    bool (*message)(struct ls_ws *ws, void *owner, int opcode, const char *data, size_t len);
    /* There was no room for a message (`reserve` said so), nothing of which has happened. `pieces`: it comes in pieces,
     * so that the rest could not be told from others. NULL: as if it returned false.
     * @return false: as above, closed with 1009 */
    bool (*unkept)(struct ls_ws *ws, void *owner, bool pieces);
    /* Room for bytes that wait, to be sent or to be read (L5), and back. Any thread, more than one at a time, with the
     * WebSocket's lock held: no function of the front may be called. Both NULL: there is always room. `unreserve` may
     * still be called between `over` and `gone`. */
    bool (*reserve)(void *owner, size_t bytes);
    void (*unreserve)(void *owner, size_t bytes);
    /* The front ends it; `code` is the close code, 0 = it is cut. May be NULL. Any thread, with the lock held: no
     * function of the front may be called. */
    void (*trouble)(void *owner, enum ls_ws_trouble kind, int code, const char *reason);
    /* It is pinged: a moment for what a page wants to hear now and then. @return a text to send behind the ping, in one
     * write: one use; NULL = none. May be NULL. Beside any other. */
    struct ls_bytes *(*silent)(void *owner);
    /* No more messages come. `ended_well`: by a close frame of the peer with 1000, 1001 or without a code (P111). */
    void (*over)(struct ls_ws *ws, void *owner, bool ended_well);
    /* The last use has gone. Any thread. May be NULL. */
    void (*gone)(void *owner);
};

struct ls_ws_start {
    const char *answer; /* sent before anything else: the text of ls_ws_handshake; NULL = has been sent. Copied */
    size_t answer_len;
    const char *first; /* bytes that have been read behind the request's head already; may be NULL. Copied */
    size_t first_len;
    int deflate; /* as ls_ws_handshake said */
};

/** Make one of a connected stream socket.
 * @param fd  taken, also on failure; made non-blocking
 * @param hooks  borrowed for ever
 * @return one use, ls_ws_unref(), with the last of which `gone` is called; NULL and err: LS_ENOMEM, and it is not. Any
 * thread. */
struct ls_ws *ls_ws_new(struct ls_front *front, int fd, const struct ls_ws_start *start,
                        const struct ls_ws_hooks *hooks, void *owner, struct ls_err *err);
/** Send the answer and read from now on; hooks may be called before this returns. The loop takes a use of its own until
 * it is over. Once. @return 0; LS_EIO, LS_ECLOSED and err: it is cut, and `over` is not called. Any thread. */
int ls_ws_begin(struct ls_ws *ws, struct ls_err *err);
/** One use more. @return the WebSocket. Any thread. */
struct ls_ws *ls_ws_ref(struct ls_ws *ws);
/** One use less. NULL accepted. Any thread. */
void ls_ws_unref(struct ls_ws *ws);

/** Send a frame: at once what the socket takes, the rest when it takes more; never waits (P38). After ls_ws_close,
 * ls_ws_cut and `over` nothing happens. `payload` is borrowed; its uses are counted. Any thread. */
void ls_ws_send(struct ls_ws *ws, int opcode, struct ls_bytes *payload);
/** Send a close frame behind what waits; the peer has 2 s to answer. Messages that come before its answer are still
 * given to `message`. The first call counts. @param code  0 = none in the frame. Any thread. */
void ls_ws_close(struct ls_ws *ws, int code, const char *reason);
/** End it now, without a word. Any thread. */
void ls_ws_cut(struct ls_ws *ws);

/** Read no more until ls_ws_resume, not even what has been received already (P40b). Only from its own `message`. */
void ls_ws_pause(struct ls_ws *ws);
/** Go on reading. Nothing happens to one that is not paused. Any thread. */
void ls_ws_resume(struct ls_ws *ws);
/** May its hook run an item of a session that is known to be quick on this thread now, or is it to leave it to the
 * pool? The loop has 1 ms for all that it runs itself in one round (N3). Only from `begins` and `message`. */
bool ls_ws_may_run(const struct ls_ws *ws);

/* --- answers that are waited for (P118) --- */

struct ls_held;

/* On the loop's thread. */
struct ls_held_hooks {
    /* The time is over, or the peer sends no more and may be gone: whoever holds it answers now, unless it has. Must
     * not wait; may be called again until it is answered. */
    void (*over)(struct ls_held *held, void *owner);
    /* The last one: the connection has ended, or the front is being closed. May be NULL. */
    void (*gone)(void *owner);
};

/** Hold the connection of a request until its answer is there; `over` may be called before this returns.
 * @param fd  taken, also on failure; made non-blocking
 * @param ms  the longest that it waits
 * @param hooks  borrowed for ever
 * @return the caller's until ls_held_answer(), which must be called; NULL and err: LS_ENOMEM, LS_ECLOSED, LS_EIO, and
 * no hook is called. Any thread. */
struct ls_held *ls_held_new(struct ls_front *front, int fd, int64_t ms, const struct ls_held_hooks *hooks, void *owner,
                            struct ls_err *err);
/** Send the whole answer, head and all, as the peer takes it, and end the connection. Once; after it `held` is the
 * front's. @param text  taken. Any thread. */
void ls_held_answer(struct ls_held *held, struct ls_buf *text);

/* --- connections that are carried to the HTTP server (N2) --- */

struct ls_tls;

/** Bind and listen. @param address  numeric, of either family; an IPv6 one takes no IPv4 connections, and a link-local
 * one names its interface (`fe80::1%eth0`)
 * @param port  0 = any free one; out: the one that is bound
 * @return the descriptor, owned, close(); or -errno. Any thread. */
int ls_listen_tcp(const char *address, int *port);
/** Make a socket in the file system, for this user alone (0600). One that nobody listens on any more is replaced.
 * @return the descriptor, owned, close(); LS_EBUSY: somebody listens there; LS_EEXISTS:
 * something else is there; LS_EINVAL, LS_EIO; and err. Main thread, before others run: it sets the umask. */
int ls_listen_unix(const char *path, struct ls_err *err);

struct ls_relay_config {
    struct ls_tls *tls;    /* borrowed; NULL = as it comes */
    const char *unix_path; /* copied: the file of a Unix socket, which goes at the end; NULL = none */
    int inner_port;        /* of 127.0.0.1, where they are carried to */
    int max;               /* at once, of all of the front's; further ones wait to be accepted; 0 = no limit */
};

/** Accept connections from now on, and carry their bytes until ls_front_close(). @param fd  listens; taken, also on
 * failure. @return 0, or LS_ENOMEM, LS_EIO and err. Any thread. */
int ls_front_accept(struct ls_front *front, int fd, const struct ls_relay_config *config, struct ls_err *err);

/* Who is at the outer end of a connection that is carried. */
struct ls_relay_peer {
    int family; /* AF_INET, AF_INET6, AF_UNIX */
    bool tls;
    char address[INET6_ADDRSTRLEN], self[INET6_ADDRSTRLEN]; /* numeric: the peer's, and ours; AF_UNIX: "" */
    int port, self_port;
    int64_t uid; /* AF_UNIX: of the program that connected; else -1 */
};

/** Of the connection to the inner port whose other end has this port. @return false: there is none; it comes from
 * elsewhere, or has ended. Any thread. */
bool ls_front_peer(struct ls_front *front, int port, struct ls_relay_peer *peer);

/** Load OpenSSL, the certificate and its key, and load them again when their files change (N5). The program ignores
 * SIGPIPE.
 * @param cert, key  PEM files; borrowed
 * @param names  not NULL: `cert` is a certificate of our own making (`key` is not used) for localhost and these names
 * and addresses, where `0.0.0.0` and `::` stand for those of the machine: made where there is none, or it lacks one of
 * them, or it ends soon. NULL-terminated, borrowed
 * @return owned, ls_tls_close(); NULL and err: LS_EINVAL, LS_ENOMEM, LS_EIO. Main thread. */
struct ls_tls *ls_tls_open(const char *cert, const char *key, const char *const *names, struct ls_err *err);
/** The SHA-256 of the certificate, in pairs of hexadecimal digits with colons. Any thread. */
void ls_tls_fingerprint(struct ls_tls *tls, struct ls_buf *out);
/** After the front, which uses it. NULL accepted. */
void ls_tls_close(struct ls_tls *tls);

#endif
