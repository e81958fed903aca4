/* Carrying a connection to the HTTP server's inner port, without a thread (N2): bytes as they come, with TLS taken off
 * and put on. The HTTP server asks ls_front_peer() who is at the outer end; nothing in the bytes says so.
 *
 * The inner connection is made when the first byte of a request is there: who says nothing costs a timer. Each way
 * holds what one read has given and the other end has not taken, and does not read on meanwhile; so a side that does
 * not read slows the other one down and nothing piles up. A side that sends no more is told to the other one, and what
 * comes back is still carried. What is not waited for is not watched: a connection that has been hung up would make
 * epoll return for ever.
 *
 * Threads: the loop's for all of it; ls_front_peer(): any. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "front/front_internal.h"

/* FIRST_MS: for the handshake, and for the first byte behind it; STUCK_MS: of a peer that takes nothing of what waits
 * for it; LINGER_MS: of one that does not end behind the end of an answer; STEPS: before others have their turn;
 * SETTLE_MS: for what is on its way when the front is closed */
enum { FIRST_MS = 10000, STUCK_MS = 60000, LINGER_MS = 500, STEPS = 16, SETTLE_MS = 500 };

enum relay_state { SHAKING, SILENT, CARRYING };

/* What the timer of one that is carried is for. */
enum relay_wait { NOTHING, STUCK, LINGER };

struct ls__relay {
    struct ls__watch outer, inner;       /* `outer` is first; fd -1 = none */
    uint32_t outer_events, inner_events; /* that are waited for; 0 = it is not watched */
    struct ls__timer timer;
    struct ls__note more;
    struct ls_front *front;
    struct ls__loop *loop;
    struct ssl_st *ssl;             /* NULL = none */
    struct ls_buf up, down;         /* to the HTTP server, and from it: read, and not taken yet */
    uint32_t read_wants, up_wants;  /* what reading the outer end, and writing to the inner one, waits for */
    uint32_t write_wants, in_wants; /* what writing to the outer end, and reading the inner one, waits for */
    enum relay_state state;
    bool outer_over, inner_over; /* they send no more */
    bool up_told;                /* the HTTP server knows of the one */
    bool broken;                 /* the outer end takes nothing and gives nothing */
    bool posted, dead;           /* `more` is on its way; it frees */
    bool discard;                /* the HTTP server takes no more: what comes is thrown away */
    bool moved;                  /* an end has taken something since the timer was set */
    enum relay_wait wait;
    int inner_port;
    /* -- immutable once it is in the table, protected by the front's lock */
    struct ls_relay_peer peer;
    int port; /* of our end of the inner connection, 0 = none */
    /* -- protected by the front's lock */
    bool down_told; /* the outer end knows that the HTTP server sends no more */
    struct ls__relay *prev, *next;
};

/* --- who it is --- */

static void name_end(const struct sockaddr_storage *end, char address[INET6_ADDRSTRLEN], int *port)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)end;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)end;
    bool six = end->ss_family == AF_INET6;
    inet_ntop(end->ss_family, six ? (const void *)&v6->sin6_addr : (const void *)&v4->sin_addr, address,
              INET6_ADDRSTRLEN);
    *port = ntohs(six ? v6->sin6_port : v4->sin_port);
}

static bool find_peer(int fd, struct ls_relay_peer *peer)
{
    struct sockaddr_storage from = {0}, to = {0};
    socklen_t from_len = sizeof from, to_len = sizeof to;
    struct ucred user;
    socklen_t user_len = sizeof user;
    if (getsockname(fd, (struct sockaddr *)&to, &to_len) < 0) return false;
    peer->family = to.ss_family;
    peer->uid = -1;
    if (to.ss_family == AF_UNIX) {
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &user, &user_len) == 0) peer->uid = (int64_t)user.uid;
        return true;
    }
    if (getpeername(fd, (struct sockaddr *)&from, &from_len) < 0) return false;
    name_end(&from, peer->address, &peer->port);
    name_end(&to, peer->self, &peer->self_port);
    return true;
}

bool ls_front_peer(struct ls_front *front, int port, struct ls_relay_peer *peer)
{
    if (port <= 0 || port > 65535) return false;
    pthread_mutex_lock(&front->lock);
    struct ls__relay *relay = front->by_port ? front->by_port[port] : NULL;
    struct sockaddr_storage where;
    socklen_t len = sizeof where;
    /* Still connected: so nobody else has its port meanwhile. */
    bool found = relay && getpeername(relay->outer.fd, (struct sockaddr *)&where, &len) == 0;
    if (found) *peer = relay->peer;
    pthread_mutex_unlock(&front->lock);
    return found;
}

/* --- beginning and ending --- */

int ls__relay_lift(int fd)
{
    int high = fd < LS_NUMBERS_FROM ? fcntl(fd, F_DUPFD_CLOEXEC, LS_NUMBERS_FROM) : -1;
    if (high < 0) return fd;
    close(fd);
    return high;
}

static void watch(struct ls__relay *relay, struct ls__watch *end, uint32_t *events, uint32_t wanted)
{
    if (*events == wanted || end->fd < 0) return;
    if (wanted == 0)
        ls__loop_unwatch(relay->loop, end);
    else if (*events != 0)
        ls__loop_rewatch(relay->loop, end, wanted);
    else if (ls__loop_watch(relay->loop, end, wanted, NULL) < 0)
        relay->broken = true;
    *events = wanted;
}

static void close_inner(struct ls__relay *relay)
{
    pthread_mutex_lock(&relay->front->lock);
    if (relay->port != 0) relay->front->by_port[relay->port] = NULL;
    relay->port = 0;
    pthread_mutex_unlock(&relay->front->lock);
    watch(relay, &relay->inner, &relay->inner_events, 0);
    if (relay->inner.fd >= 0) close(relay->inner.fd);
    relay->inner.fd = -1;
}

static void end(struct ls__relay *relay)
{
    close_inner(relay);
    watch(relay, &relay->outer, &relay->outer_events, 0);
    ls__loop_timer_clear(relay->loop, &relay->timer);
    ls__tls_end(relay->ssl);
    pthread_mutex_lock(&relay->front->lock);
    DL_DELETE(relay->front->relays, relay);
    relay->front->relay_count--;
    pthread_mutex_unlock(&relay->front->lock);
    close(relay->outer.fd);
    ls_buf_release(&relay->up);
    ls_buf_release(&relay->down);
    relay->dead = true;
    if (!relay->posted) ls_free(relay);
}

/* The port is in the table before the HTTP server can ask for it. connect() finds the port, and not bind(), which would
 * have none left for a minute after some ten thousand connections that their clients have ended. @return false: it
 * cannot be made */
static bool connect_inner(struct ls__relay *relay)
{
    struct sockaddr_in self, where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof self;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    where.sin_port = htons((uint16_t)relay->inner_port);
    if (fd < 0) return false;
    relay->inner.fd = fd = ls__relay_lift(fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    pthread_mutex_lock(&relay->front->lock);
    bool made = (connect(fd, (struct sockaddr *)&where, sizeof where) == 0 || errno == EINPROGRESS) &&
                getsockname(fd, (struct sockaddr *)&self, &len) == 0;
    if (made) {
        relay->port = ntohs(self.sin_port);
        relay->front->by_port[relay->port] = relay;
    }
    pthread_mutex_unlock(&relay->front->lock);
    return made;
}

/* --- the two ends --- */

static bool is_later(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

static int read_outer(struct ls__relay *relay, char *data, size_t size)
{
    relay->read_wants = 0;
    if (relay->ssl) return ls__tls_read(relay->ssl, data, size, &relay->read_wants);
    ssize_t n = recv(relay->outer.fd, data, size, MSG_DONTWAIT);
    if (n >= 0) return (int)n;
    if (!is_later()) return LS_TLS_BROKEN;
    relay->read_wants = EPOLLIN;
    return LS_TLS_LATER;
}

static int write_outer(struct ls__relay *relay, const char *data, size_t len)
{
    relay->write_wants = 0;
    if (relay->ssl) return ls__tls_write(relay->ssl, data, len, &relay->write_wants);
    ssize_t n = send(relay->outer.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) return (int)n;
    if (!is_later()) return LS_TLS_BROKEN;
    relay->write_wants = EPOLLOUT;
    return LS_TLS_LATER;
}

static int write_inner(struct ls__relay *relay, const char *data, size_t len)
{
    relay->up_wants = 0;
    ssize_t n = send(relay->inner.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) return (int)n;
    if (!is_later()) return LS_TLS_BROKEN;
    relay->up_wants = EPOLLOUT;
    return LS_TLS_LATER;
}

/* Give bytes to `write`; what it does not take is kept in `rest`, of which they may be part. @return false: it is
 * broken */
static bool give(struct ls__relay *relay, struct ls_buf *rest, const char *data, size_t len,
                 int (*write)(struct ls__relay *, const char *, size_t))
{
    bool kept = rest->len > 0;
    size_t done = 0;
    int n = 0;
    while (done < len && (n = write(relay, data + done, len - done)) > 0)
        done += (size_t)n;
    if (n == LS_TLS_BROKEN) return false;
    if (!kept && done < len) ls_buf_add(rest, data + done, len - done);
    if (kept && done < len)
        ls_buf_shift(rest, done);
    else if (kept)
        ls_buf_release(rest);
    return !ls_buf_failed(rest);
}

/* What the HTTP server does not take any more goes nowhere; what it says is still carried. */
static void give_up(struct ls__relay *relay, struct ls_buf *rest, const char *data, size_t len)
{
    if (!relay->discard && !give(relay, rest, data, len, write_inner)) relay->discard = true;
    if (relay->discard) ls_buf_release(rest);
}

/* From the outer end to the inner one. @return may there be more at once? */
static bool carry_up(struct ls__relay *relay)
{
    size_t before = relay->up.len;
    if (before > 0) give_up(relay, &relay->up, relay->up.data, before);
    bool moved = relay->up.len < before;
    relay->moved |= moved;
    if (relay->up.len > 0) return moved;
    relay->up_wants = 0;
    if (relay->outer_over) {
        if (relay->up_told) return moved;
        relay->up_told = true;
        shutdown(relay->inner.fd, SHUT_WR);
        return true;
    }
    char *data = ls__loop_scratch();
    int n = read_outer(relay, data, LS_READ_SIZE);
    if (n == LS_TLS_LATER) return false;
    if (n == LS_TLS_BROKEN) relay->broken = true;
    relay->outer_over |= n <= 0;
    if (n > 0) give_up(relay, &relay->up, data, (size_t)n);
    relay->moved |= n > 0 && !relay->discard;
    relay->read_wants = EPOLLIN; /* of TLS a whole record has been taken, and nothing beyond it read */
    return n == 0 || n == LS_READ_SIZE;
}

/* From the inner end to the outer one. @return may there be more at once? */
static bool carry_down(struct ls__relay *relay)
{
    size_t before = relay->down.len;
    if (before > 0 && !give(relay, &relay->down, relay->down.data, before, write_outer)) {
        relay->broken = true;
        return false;
    }
    relay->moved |= relay->down.len < before;
    if (relay->down.len > 0) return relay->down.len < before;
    relay->write_wants = relay->in_wants = 0;
    if (relay->inner_over) return before > 0;
    char *data = ls__loop_scratch();
    ssize_t n = recv(relay->inner.fd, data, LS_READ_SIZE, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && !is_later())) {
        relay->inner_over = true;
        return true;
    }
    relay->in_wants = EPOLLIN;
    if (n > 0 && !give(relay, &relay->down, data, (size_t)n, write_outer)) relay->broken = true;
    return n == LS_READ_SIZE;
}

/* --- steps --- */

static void on_timer(struct ls__timer *timer)
{
    end((struct ls__relay *)(void *)((char *)timer - offsetof(struct ls__relay, timer)));
}

/* The HTTP server sends no more, and all of it has been taken. */
static void tell_outer(struct ls__relay *relay)
{
    if (relay->ssl) ls__tls_shut(relay->ssl);
    shutdown(relay->outer.fd, SHUT_WR);
    pthread_mutex_lock(&relay->front->lock);
    relay->down_told = true;
    pthread_mutex_unlock(&relay->front->lock);
}

/* Nobody else ends a connection of which one end takes nothing; and where all has been said, closing on bytes that are
 * unread would reset the connection under the answer, so the peer has some time to end it. */
static void time_ends(struct ls__relay *relay)
{
    enum relay_wait wait = relay->down.len > 0 || (relay->down_told && relay->up.len > 0) ? STUCK
                           : relay->down_told                                             ? LINGER
                                                                                          : NOTHING;
    if (wait == NOTHING && relay->wait != NOTHING)
        ls__loop_timer_clear(relay->loop, &relay->timer);
    else if (wait != NOTHING && (wait != relay->wait || relay->moved))
        ls__loop_timer(relay->loop, &relay->timer, wait == STUCK ? STUCK_MS : LINGER_MS);
    relay->wait = wait;
    relay->moved = false;
}

/* @param up, down  what may be done at once */
static void carry(struct ls__relay *relay, bool up, bool down)
{
    for (int i = 0; i < STEPS && (up || down) && !relay->broken; i++) {
        if (down) down = carry_down(relay);
        if (up && !relay->broken) up = carry_up(relay);
    }
    if (relay->broken) {
        end(relay);
        return;
    }
    bool said = relay->inner_over && relay->down.len == 0;
    if (said && !relay->down_told) tell_outer(relay);
    if (said && relay->outer_over && relay->up.len == 0) {
        end(relay);
        return;
    }
    if ((up || down) && !relay->posted) relay->posted = ls__loop_post(relay->loop, &relay->more);
    watch(relay, &relay->outer, &relay->outer_events,
          (relay->up.len == 0 && !relay->outer_over ? relay->read_wants : 0) | relay->write_wants);
    watch(relay, &relay->inner, &relay->inner_events, (relay->down.len == 0 ? relay->in_wants : 0) | relay->up_wants);
    time_ends(relay);
    if (relay->broken) end(relay);
}

/* The first byte of a request is waited for. */
static void hear(struct ls__relay *relay)
{
    char *data = ls__loop_scratch();
    int n = read_outer(relay, data, LS_READ_SIZE);
    if (n == LS_TLS_LATER) {
        watch(relay, &relay->outer, &relay->outer_events, relay->read_wants);
        if (relay->broken) end(relay);
        return;
    }
    if (n > 0) ls_buf_add(&relay->up, data, (size_t)n);
    if (n <= 0 || ls_buf_failed(&relay->up) || !connect_inner(relay)) {
        end(relay);
        return;
    }
    ls__loop_timer_clear(relay->loop, &relay->timer);
    relay->state = CARRYING;
    carry(relay, true, true);
}

static void shake(struct ls__relay *relay)
{
    uint32_t wants = 0;
    int rc = ls__tls_shake(relay->ssl, &wants);
    if (rc == LS_TLS_LATER) {
        watch(relay, &relay->outer, &relay->outer_events, wants);
    } else if (rc == 1) {
        relay->state = SILENT;
        ls__loop_timer(relay->loop, &relay->timer, FIRST_MS);
        hear(relay);
        return;
    }
    if (rc == LS_TLS_BROKEN || relay->broken) end(relay);
}

/* A signature takes long, and hundreds may begin at once: others have their turn between them (N3). */
static void shake_later(struct ls__relay *relay)
{
    watch(relay, &relay->outer, &relay->outer_events, 0);
    if (!relay->posted) relay->posted = ls__loop_post_long(relay->loop, &relay->more);
}

static void step(struct ls__relay *relay, bool up, bool down)
{
    switch (relay->state) {
    case SHAKING: shake_later(relay); break;
    case SILENT: hear(relay); break;
    case CARRYING: carry(relay, up, down); break;
    }
}

static void on_outer(struct ls__watch *watch, uint32_t events)
{
    (void)events;
    struct ls__relay *relay = (struct ls__relay *)watch;
    step(relay, true, relay->down.len > 0);
}

static void on_inner(struct ls__watch *watch, uint32_t events)
{
    (void)events;
    struct ls__relay *relay = (struct ls__relay *)(void *)((char *)watch - offsetof(struct ls__relay, inner));
    step(relay, relay->up.len > 0, true);
}

/* Steps that others were let before. Where the front is being closed there is no loop any more. */
static void on_more(struct ls__note *note)
{
    struct ls__relay *relay = (struct ls__relay *)(void *)((char *)note - offsetof(struct ls__relay, more));
    relay->posted = false;
    if (relay->dead) {
        ls_free(relay);
        return;
    }
    pthread_mutex_lock(&relay->front->lock);
    bool closing = relay->front->closing;
    pthread_mutex_unlock(&relay->front->lock);
    if (closing) return;
    if (relay->state == SHAKING)
        shake(relay);
    else
        step(relay, true, true);
}

/* What has been accepted is the loop's from here on, which may be another one. */
static void on_begin(struct ls__note *note)
{
    struct ls__relay *relay = (struct ls__relay *)(void *)((char *)note - offsetof(struct ls__relay, more));
    relay->more.fn = on_more;
    ls__loop_timer(relay->loop, &relay->timer, FIRST_MS);
    if (relay->state != SHAKING) {
        on_more(note);
        return;
    }
    relay->posted = false;
    shake_later(relay);
}

void ls__relay_begin(struct ls_front *front, int fd, const struct ls_relay_config *config)
{
    int one = 1;
    struct ls__relay *relay = ls_zalloc(sizeof *relay);
    fd = ls__relay_lift(fd);
    if (relay) {
        *relay = (struct ls__relay){.outer = {.fd = fd, .fn = on_outer},
                                    .inner = {.fd = -1, .fn = on_inner},
                                    .timer = {.fn = on_timer},
                                    .more = {.fn = on_begin},
                                    .front = front,
                                    .loop = ls__front_loop(front),
                                    .state = config->tls ? SHAKING : SILENT,
                                    .posted = true,
                                    .inner_port = config->inner_port,
                                    .peer.tls = config->tls};
        if (config->tls) relay->ssl = ls__tls_begin(config->tls, fd);
    }
    if (!relay || (config->tls && !relay->ssl) || !find_peer(fd, &relay->peer)) {
        if (relay) ls__tls_end(relay->ssl);
        close(fd);
        ls_free(relay);
        return;
    }
    if (relay->peer.family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    pthread_mutex_lock(&front->lock);
    DL_PREPEND(front->relays, relay);
    front->relay_count++;
    pthread_mutex_unlock(&front->lock);
    if (!ls__loop_post(relay->loop, &relay->more)) relay->posted = false; /* it is ended with the front */
}

void ls__relay_settle(struct ls_front *front)
{
    for (int64_t until = ls_now_ns() + ls_ms(SETTLE_MS); ls_now_ns() < until;) {
        bool carried = false;
        pthread_mutex_lock(&front->lock);
        for (struct ls__relay *relay = front->relays; relay && !carried; relay = relay->next)
            carried = relay->port != 0 && !relay->down_told;
        pthread_mutex_unlock(&front->lock);
        if (!carried) return;
        usleep(2000);
    }
}

void ls__relay_end_all(struct ls_front *front)
{
    while (front->relays)
        end(front->relays);
}
