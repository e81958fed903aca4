/* Listening on what the HTTP server cannot: IPv6, Unix sockets, TLS, further addresses (N2). What is accepted is
 * relay.c's.
 *
 * Where descriptors or room for connections are used up, accepting waits, and looks again ten times a second whether
 * something is free: connections wait in the kernel meanwhile.
 *
 * Threads: a loop's for accepting. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utlist.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "front/front_internal.h"

enum { BACKLOG = 1024, AT_ONCE = 32, AGAIN_MS = 100 };
#define TELL_NS ls_ms(60000)

struct ls__listener {
    struct ls__watch watch; /* first */
    struct ls__timer again;
    struct ls_front *front;
    struct ls__loop *loop;
    struct ls_relay_config config;
    char *path; /* of a Unix socket, owned; NULL = none */
    dev_t dev;
    ino_t ino;
    int64_t told_ns;           /* when the log last said that connections wait; 0 = never */
    struct ls__listener *next; /* protected by the front's lock */
};

/* --- sockets --- */

static socklen_t fill_address(struct sockaddr_storage *where, const char *address, int port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)where;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)where;
    size_t len = strcspn(address, "%"); /* behind it the interface of a link-local address */
    char bare[INET6_ADDRSTRLEN];
    memset(where, 0, sizeof *where);
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        return sizeof *v4;
    }
    snprintf(bare, sizeof bare, "%.*s", len < sizeof bare ? (int)len : 0, address);
    if (inet_pton(AF_INET6, bare, &v6->sin6_addr) != 1) return 0;
    if (address[len] == '%') v6->sin6_scope_id = if_nametoindex(address + len + 1);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)port);
    return sizeof *v6;
}

int ls_listen_tcp(const char *address, int *port)
{
    struct sockaddr_storage where;
    socklen_t len = fill_address(&where, address, *port);
    int one = 1, fd = socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (where.ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&where, len) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&where, &len) < 0) {
        int code = errno;
        close(fd);
        return -code;
    }
    *port = ntohs(where.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&where)->sin6_port
                                              : ((struct sockaddr_in *)&where)->sin_port);
    return fd;
}

/* @return 0: nothing is in the way */
static int clear_way(int fd, const struct sockaddr_un *where, struct ls_err *err)
{
    struct stat info;
    const char *path = where->sun_path;
    if (lstat(path, &info) < 0) return 0;
    if (!S_ISSOCK(info.st_mode))
        return ls_fail(err, LS_EEXISTS, "%s of --host is in the way: it is not a socket.", path);
    if (connect(fd, (const struct sockaddr *)where, sizeof *where) == 0 || errno == EAGAIN)
        return ls_fail(err, LS_EBUSY, "Another program listens on %s; give --host another path.", path);
    if (errno != ECONNREFUSED)
        return ls_fail(err, LS_EIO, "%s of --host is in the way, and who listens there cannot be asked: %s.", path,
                       strerror(errno));
    unlink(path);
    return 0;
}

int ls_listen_unix(const char *path, struct ls_err *err)
{
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    if (*path == '\0' || strlen(path) >= sizeof where.sun_path)
        return ls_fail(err, LS_EINVAL, "The path '%s' of --host unix: has to have 1 to %zu bytes.", path,
                       sizeof where.sun_path - 1);
    strcpy(where.sun_path, path);
    int asking = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc = asking < 0 || fd < 0 ? LS_EIO : 0;
    if (rc < 0) ls_fail(err, rc, "The socket %s cannot be made: %s.", path, strerror(errno));
    if (rc == 0) rc = clear_way(asking, &where, err);
    if (asking >= 0) close(asking);
    if (rc == 0) {
        mode_t mask = umask(0177); /* nobody may connect before a mode is set */
        bool bound = bind(fd, (struct sockaddr *)&where, sizeof where) == 0;
        rc = bound && listen(fd, BACKLOG) == 0 ? 0 : -errno;
        umask(mask);
        if (rc < 0 && bound) unlink(path);
        if (rc < 0) rc = ls_fail(err, LS_EIO, "The socket %s cannot be opened: %s.", path, strerror(-rc));
    }
    if (rc == 0) return fd;
    if (fd >= 0) close(fd);
    return rc;
}

/* --- accepting --- */

static void wait_for_room(struct ls__listener *listener, const char *why)
{
    int64_t now = ls_now_ns();
    if (listener->told_ns == 0 || now - listener->told_ns > TELL_NS) {
        ls_log(0, "Connections wait to be accepted: %s.", why);
        listener->told_ns = now;
    }
    ls__loop_rewatch(listener->loop, &listener->watch, 0);
    ls__loop_timer(listener->loop, &listener->again, AGAIN_MS);
}

static bool is_full(struct ls__listener *listener)
{
    struct ls_front *front = listener->front;
    pthread_mutex_lock(&front->lock);
    bool full = listener->config.max > 0 && front->relay_count >= listener->config.max;
    pthread_mutex_unlock(&front->lock);
    return full;
}

static void on_connections(struct ls__watch *watch, uint32_t events)
{
    (void)events;
    struct ls__listener *listener = (struct ls__listener *)watch;
    for (int i = 0; i < AT_ONCE; i++) {
        if (is_full(listener)) {
            wait_for_room(listener, "as many as may be are open (--max-connections)");
            return;
        }
        int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            wait_for_room(listener, strerror(errno));
            return;
        }
        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        if (fd >= 0) ls__relay_begin(listener->front, fd, &listener->config);
    }
}

static void on_again(struct ls__timer *timer)
{
    struct ls__listener *listener =
        (struct ls__listener *)(void *)((char *)timer - offsetof(struct ls__listener, again));
    ls__loop_rewatch(listener->loop, &listener->watch, EPOLLIN);
}

static bool make_table(struct ls_front *front)
{
    pthread_mutex_lock(&front->lock);
    if (!front->by_port) front->by_port = ls_zalloc(65536 * sizeof(struct ls__relay *));
    bool made = front->by_port;
    pthread_mutex_unlock(&front->lock);
    return made;
}

int ls_front_accept(struct ls_front *front, int fd, const struct ls_relay_config *config, struct ls_err *err)
{
    struct ls__listener *listener = make_table(front) ? ls_zalloc(sizeof *listener) : NULL;
    if (!listener) {
        close(fd);
        return ls_fail(err, LS_ENOMEM, "Out of memory while beginning to listen.");
    }
    *listener = (struct ls__listener){.watch = {.fd = fd, .fn = on_connections},
                                      .again = {.fn = on_again},
                                      .front = front,
                                      .loop = ls__front_loop(front),
                                      .config = *config};
    struct stat info;
    listener->path = config->unix_path && lstat(config->unix_path, &info) == 0 ? ls_strdup(config->unix_path) : NULL;
    if (listener->path) {
        listener->dev = info.st_dev;
        listener->ino = info.st_ino;
    }
    pthread_mutex_lock(&front->lock);
    LL_PREPEND(front->listeners, listener);
    pthread_mutex_unlock(&front->lock);
    return ls__loop_watch(listener->loop, &listener->watch, EPOLLIN, err); /* it is ended with the front */
}

void ls__listen_end_all(struct ls_front *front)
{
    while (front->listeners) {
        struct ls__listener *listener = front->listeners;
        LL_DELETE(front->listeners, listener);
        struct stat info; /* the file may be another's by now */
        if (listener->path && lstat(listener->path, &info) == 0 && info.st_ino == listener->ino &&
            info.st_dev == listener->dev)
            unlink(listener->path);
        close(listener->watch.fd);
        ls_free(listener->path);
        ls_free(listener);
    }
}
