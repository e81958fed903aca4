/* TLS in front of the HTTP server (C2: --cert and --key). The public port is listened on here; each connection gets a
 * thread that carries bytes between the browser's TLS and a plain connection to civetweb on a loopback port of its own.
 *
 * civetweb's own TLS is not used: release 1.15 looks up names that OpenSSL 3 no longer has and crashes with the first
 * request, and it reads and writes one TLS connection from two threads, which OpenSSL does not allow. Here one thread
 * does both. The library is loaded when a certificate is given and not before, since loading it would be most of the
 * program's start (Q1).
 *
 * Threads: ls-tls accepts; one thread a connection owns its TLS state. Refuses plain connections to the inner port:
 * only those that come from here are served. */
#include "http/http.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

enum { BUFFER = 16384, HANDSHAKE_MS = 10000, SPARE_CONNECTIONS = 64 };

/* Of OpenSSL's interface: what is asked of it, and the few numbers that go with it. Stable since 1.1. */
enum {
    FILETYPE_PEM = 1,
    ERROR_WANT_READ = 2,
    ERROR_WANT_WRITE = 3,
    CTRL_MODE = 33,
    CTRL_SET_MIN_PROTO_VERSION = 123,
    TLS1_2 = 0x0303,
    MODE_PARTIAL_WRITE = 1,
    MODE_MOVING_BUFFER = 2
};

#define FUNCTIONS(X)                                                                                                   \
    X(const void *, TLS_server_method, (void))                                                                         \
    X(void *, SSL_CTX_new, (const void *method))                                                                       \
    X(void, SSL_CTX_free, (void *context))                                                                             \
    X(long, SSL_CTX_ctrl, (void *context, int what, long number, void *pointer))                                       \
    X(int, SSL_CTX_use_certificate_chain_file, (void *context, const char *path))                                      \
    X(int, SSL_CTX_use_PrivateKey_file, (void *context, const char *path, int type))                                   \
    X(int, SSL_CTX_check_private_key, (const void *context))                                                           \
    X(void *, SSL_new, (void *context))                                                                                \
    X(void, SSL_free, (void *ssl))                                                                                     \
    X(int, SSL_set_fd, (void *ssl, int fd))                                                                            \
    X(int, SSL_accept, (void *ssl))                                                                                    \
    X(int, SSL_read, (void *ssl, void *buffer, int len))                                                               \
    X(int, SSL_write, (void *ssl, const void *buffer, int len))                                                        \
    X(int, SSL_get_error, (const void *ssl, int rc))                                                                   \
    X(int, SSL_shutdown, (void *ssl))                                                                                  \
    X(void, ERR_clear_error, (void))

struct openssl {
#define X(type, name, parameters) type(*name) parameters;
    FUNCTIONS(X)
#undef X
};

struct ls_tls {
    /* -- immutable after open */
    struct openssl lib;
    void *context;
    int fd, stop_fd, inner_port, max;
    pthread_t thread;
    bool started;
    /* -- atomic */
    atomic_uchar ours[65536]; /* local ports of the inner connections: enum ls_tls_origin of what they carry */
    /* -- protected by lock */
    pthread_mutex_t lock;
    pthread_cond_t gone;
    struct tunnel *tunnels;
    int count;
    bool stopping;
};

/* One connection; its thread owns it, the list is the lock's. */
struct tunnel {
    struct tunnel *next;
    struct ls_tls *tls;
    int outer, inner;
    void *ssl;
    char in[BUFFER], out[BUFFER]; /* from the browser, to the browser */
    size_t in_at, in_len, out_at, out_len;
    bool outer_over, inner_over;
    short outer_events, inner_events; /* what to wait for when nothing moves */
};

/* --- carrying bytes --- */

/* What OpenSSL waits for. @return false when the connection is over */
static bool note_want(struct tunnel *tunnel, int rc)
{
    int error = tunnel->tls->lib.SSL_get_error(tunnel->ssl, rc);
    if (error == ERROR_WANT_READ)
        tunnel->outer_events |= POLLIN;
    else if (error == ERROR_WANT_WRITE)
        tunnel->outer_events |= POLLOUT;
    else
        return false;
    return true;
}

static bool read_outer(struct tunnel *tunnel)
{
    if (tunnel->in_len > 0 || tunnel->outer_over) return false;
    tunnel->tls->lib.ERR_clear_error();
    int n = tunnel->tls->lib.SSL_read(tunnel->ssl, tunnel->in, BUFFER);
    if (n > 0) {
        tunnel->in_at = 0;
        tunnel->in_len = (size_t)n;
        return true;
    }
    if (note_want(tunnel, n)) return false;
    tunnel->outer_over = true;
    shutdown(tunnel->inner, SHUT_WR);
    return true;
}

static bool write_outer(struct tunnel *tunnel)
{
    if (tunnel->out_len == 0) return false;
    tunnel->tls->lib.ERR_clear_error();
    int n = tunnel->tls->lib.SSL_write(tunnel->ssl, tunnel->out + tunnel->out_at, (int)tunnel->out_len);
    if (n > 0) {
        tunnel->out_at += (size_t)n;
        tunnel->out_len -= (size_t)n;
        return true;
    }
    if (note_want(tunnel, n)) return false;
    tunnel->outer_over = tunnel->inner_over = true;
    tunnel->out_len = 0;
    return true;
}

static bool is_later(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

static bool read_inner(struct tunnel *tunnel)
{
    if (tunnel->out_len > 0 || tunnel->inner_over) return false;
    ssize_t n = recv(tunnel->inner, tunnel->out, BUFFER, MSG_DONTWAIT);
    if (n > 0) {
        tunnel->out_at = 0;
        tunnel->out_len = (size_t)n;
        return true;
    }
    if (n < 0 && is_later()) {
        tunnel->inner_events |= POLLIN;
        return false;
    }
    tunnel->inner_over = true;
    return true;
}

static bool write_inner(struct tunnel *tunnel)
{
    if (tunnel->in_len == 0) return false;
    ssize_t n = send(tunnel->inner, tunnel->in + tunnel->in_at, tunnel->in_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
        tunnel->in_at += (size_t)n;
        tunnel->in_len -= (size_t)n;
        return true;
    }
    if (n < 0 && is_later()) {
        tunnel->inner_events |= POLLOUT;
        return false;
    }
    tunnel->in_len = 0; /* nobody takes it any more; what comes back is still carried */
    tunnel->outer_over = true;
    return true;
}

static void wait_for_either(struct tunnel *tunnel, int timeout_ms)
{
    struct pollfd wait[2] = {{.fd = tunnel->outer_events != 0 ? tunnel->outer : -1, .events = tunnel->outer_events},
                             {.fd = tunnel->inner_events != 0 ? tunnel->inner : -1, .events = tunnel->inner_events}};
    while (poll(wait, 2, timeout_ms) < 0 && errno == EINTR)
        continue;
}

/* Each direction holds one buffer, so a side that does not read slows the other one down and nothing piles up here. */
static void carry(struct tunnel *tunnel)
{
    while (!tunnel->inner_over || tunnel->out_len > 0) {
        tunnel->outer_events = tunnel->inner_events = 0;
        bool moved = write_outer(tunnel);
        moved = read_inner(tunnel) || moved;
        moved = write_inner(tunnel) || moved;
        moved = read_outer(tunnel) || moved;
        if (!moved) wait_for_either(tunnel, -1);
    }
}

static bool shake_hands(struct tunnel *tunnel)
{
    int64_t until = ls_now_ns() + ls_ms(HANDSHAKE_MS);
    for (;;) {
        tunnel->outer_events = tunnel->inner_events = 0;
        tunnel->tls->lib.ERR_clear_error();
        int rc = tunnel->tls->lib.SSL_accept(tunnel->ssl);
        int64_t left = (until - ls_now_ns()) / 1000000;
        if (rc == 1) return true;
        if (!note_want(tunnel, rc) || left <= 0) return false;
        wait_for_either(tunnel, (int)left);
    }
}

/* --- a connection --- */

/* Asked of the browser's connection, and now: of the inner one it would be ourselves. */
static enum ls_tls_origin find_origin(int outer)
{
    struct sockaddr_in peer, self;
    socklen_t len = sizeof peer, size = sizeof self;
    char from[INET_ADDRSTRLEN], to[INET_ADDRSTRLEN];
    if (getpeername(outer, (struct sockaddr *)&peer, &len) < 0 || peer.sin_family != AF_INET ||
        ntohl(peer.sin_addr.s_addr) >> 24 != 127 || getsockname(outer, (struct sockaddr *)&self, &size) < 0)
        return LS_TLS_FROM_ELSEWHERE;
    inet_ntop(AF_INET, &peer.sin_addr, from, sizeof from);
    inet_ntop(AF_INET, &self.sin_addr, to, sizeof to);
    /* Still connected afterwards: so nobody else had this port meanwhile. */
    bool user = ls__peer_is_user(from, ntohs(peer.sin_port), to, ntohs(self.sin_port)) &&
                getpeername(outer, (struct sockaddr *)&peer, &len) == 0;
    return user ? LS_TLS_FROM_USER : LS_TLS_FROM_LOOPBACK;
}

/* The inner connection's own port is noted before civetweb can see it. */
static int connect_inner(struct ls_tls *tls, int outer, int *port)
{
    struct sockaddr_in self = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, where = self;
    socklen_t len = sizeof self;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    where.sin_port = htons((uint16_t)tls->inner_port);
    if (fd < 0 || bind(fd, (struct sockaddr *)&self, sizeof self) < 0 ||
        getsockname(fd, (struct sockaddr *)&self, &len) < 0) {
        if (fd >= 0) close(fd);
        return -1;
    }
    *port = ntohs(self.sin_port);
    atomic_store(&tls->ours[*port], find_origin(outer));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&where, sizeof where) == 0) return fd;
    atomic_store(&tls->ours[*port], LS_TLS_NOT_OURS);
    close(fd);
    return -1;
}

static void *run_tunnel(void *ctx)
{
    struct tunnel *tunnel = ctx;
    struct ls_tls *tls = tunnel->tls;
    int port = 0;
    tunnel->ssl = tls->lib.SSL_new(tls->context);
    if (tunnel->ssl && tls->lib.SSL_set_fd(tunnel->ssl, tunnel->outer) == 1 && shake_hands(tunnel)) {
        int inner = connect_inner(tls, tunnel->outer, &port);
        pthread_mutex_lock(&tls->lock);
        tunnel->inner = inner;
        pthread_mutex_unlock(&tls->lock);
        if (inner >= 0) {
            carry(tunnel);
            tls->lib.SSL_shutdown(tunnel->ssl);
            if (!tunnel->outer_over) ls_http_linger(tunnel->outer, LS_LINGER_MS);
        }
    }
    if (tunnel->ssl) tls->lib.SSL_free(tunnel->ssl);
    pthread_mutex_lock(&tls->lock);
    LL_DELETE(tls->tunnels, tunnel);
    if (tunnel->inner >= 0) {
        atomic_store(&tls->ours[port], LS_TLS_NOT_OURS);
        close(tunnel->inner);
    }
    close(tunnel->outer);
    ls_free(tunnel);
    tls->count--;
    pthread_cond_broadcast(&tls->gone);
    pthread_mutex_unlock(&tls->lock);
    return NULL;
}

static void accept_tunnel(struct ls_tls *tls)
{
    int fd = accept4(tls->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), one = 1;
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct tunnel *tunnel = ls_zalloc(sizeof *tunnel);
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_mutex_lock(&tls->lock);
    bool started = tunnel && !tls->stopping && tls->count < tls->max;
    if (started) {
        *tunnel = (struct tunnel){.tls = tls, .outer = fd, .inner = -1};
        started = pthread_create(&thread, &attr, run_tunnel, tunnel) == 0;
        if (started) { /* it takes itself out under the lock */
            LL_PREPEND(tls->tunnels, tunnel);
            tls->count++;
        }
    }
    pthread_mutex_unlock(&tls->lock);
    pthread_attr_destroy(&attr);
    if (!started) {
        close(fd);
        ls_free(tunnel);
    }
}

static void *accept_tunnels(void *ctx)
{
    struct ls_tls *tls = ctx;
    struct pollfd wait[2] = {{.fd = tls->fd, .events = POLLIN}, {.fd = tls->stop_fd, .events = POLLIN}};
    while (poll(wait, 2, -1) >= 0 || errno == EINTR) {
        if (wait[1].revents != 0) break;
        if (wait[0].revents != 0) accept_tunnel(tls);
    }
    return NULL;
}

/* --- opening and closing --- */

static int load_library(struct openssl *lib, struct ls_err *err)
{
    static const char *const names[] = {"libssl.so.3", "libssl.so.1.1", "libssl.so"};
    void *handle = NULL;
    for (size_t i = 0; !handle && i < sizeof names / sizeof *names; i++)
        handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!handle) return ls_fail(err, LS_EINVAL, "--cert needs OpenSSL's libssl, which this system does not have.");
    bool complete = true;
#define X(type, name, parameters)                                                                                      \
    *(void **)&lib->name = dlsym(handle, #name);                                                                       \
    complete = complete && lib->name;
    FUNCTIONS(X)
#undef X
    return complete ? 0 : ls_fail(err, LS_EINVAL, "The libssl of this system is too old for --cert.");
}

struct ls_tls *ls_tls_open(const char *cert, const char *key, int max, struct ls_err *err)
{
    struct ls_tls *tls = ls_zalloc(sizeof *tls);
    if (!tls) {
        ls_fail(err, LS_ENOMEM, "Out of memory while setting up TLS.");
        return NULL;
    }
    pthread_mutex_init(&tls->lock, NULL);
    pthread_cond_init(&tls->gone, NULL);
    tls->fd = -1;
    tls->stop_fd = eventfd(0, EFD_CLOEXEC);
    tls->max = max + SPARE_CONNECTIONS;
    int rc = load_library(&tls->lib, err);
    if (rc == 0 && !(tls->context = tls->lib.SSL_CTX_new(tls->lib.TLS_server_method())))
        rc = ls_fail(err, LS_ENOMEM, "Out of memory while setting up TLS.");
    if (rc == 0 && tls->lib.SSL_CTX_use_certificate_chain_file(tls->context, cert) != 1)
        rc = ls_fail(err, LS_EINVAL, "The certificate '%s' of --cert cannot be used; it is to be a PEM file.", cert);
    if (rc == 0 && (tls->lib.SSL_CTX_use_PrivateKey_file(tls->context, key, FILETYPE_PEM) != 1 ||
                    tls->lib.SSL_CTX_check_private_key(tls->context) != 1))
        rc = ls_fail(err, LS_EINVAL,
                     "The key '%s' of --key cannot be used; it is to be the PEM file of the certificate's key.", key);
    if (rc < 0) {
        ls_tls_close(tls);
        return NULL;
    }
    tls->lib.SSL_CTX_ctrl(tls->context, CTRL_SET_MIN_PROTO_VERSION, TLS1_2, NULL);
    tls->lib.SSL_CTX_ctrl(tls->context, CTRL_MODE, MODE_PARTIAL_WRITE | MODE_MOVING_BUFFER, NULL);
    return tls;
}

int ls_tls_listen(struct ls_tls *tls, const char *address, int port, int inner_port)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t len = sizeof where;
    int one = 1;
    inet_pton(AF_INET, address, &where.sin_addr);
    tls->inner_port = inner_port;
    tls->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (tls->fd < 0) return -errno;
    setsockopt(tls->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(tls->fd, (struct sockaddr *)&where, sizeof where) < 0 || listen(tls->fd, 1024) < 0 ||
        getsockname(tls->fd, (struct sockaddr *)&where, &len) < 0) {
        int code = errno;
        close(tls->fd);
        tls->fd = -1;
        return -code;
    }
    int code = pthread_create(&tls->thread, NULL, accept_tunnels, tls);
    if (code != 0) return -code;
    tls->started = true;
    pthread_setname_np(tls->thread, "ls-tls");
    return ntohs(where.sin_port);
}

enum ls_tls_origin ls_tls_origin_of(struct ls_tls *tls, int port)
{
    return port > 0 && port < 65536 ? (enum ls_tls_origin)atomic_load(&tls->ours[port]) : LS_TLS_NOT_OURS;
}

void ls_tls_close(struct ls_tls *tls)
{
    if (!tls) return;
    uint64_t one = 1;
    if (tls->started && write(tls->stop_fd, &one, sizeof one) == sizeof one) pthread_join(tls->thread, NULL);
    pthread_mutex_lock(&tls->lock);
    tls->stopping = true;
    for (struct tunnel *tunnel = tls->tunnels; tunnel; tunnel = tunnel->next) {
        shutdown(tunnel->outer, SHUT_RDWR);
        if (tunnel->inner >= 0) shutdown(tunnel->inner, SHUT_RDWR);
    }
    while (tls->tunnels)
        pthread_cond_wait(&tls->gone, &tls->lock);
    pthread_mutex_unlock(&tls->lock);
    if (tls->context) tls->lib.SSL_CTX_free(tls->context);
    if (tls->fd >= 0) close(tls->fd);
    close(tls->stop_fd);
    pthread_mutex_destroy(&tls->lock);
    pthread_cond_destroy(&tls->gone);
    ls_free(tls);
}
