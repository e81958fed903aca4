/* What civetweb's interface does not give: the descriptor of a connection, and a way to take the connection from it
 * (N1).
 *
 * civetweb lends a worker to a connection for as long as this lives. A connection that is to live on without one is
 * taken: its descriptor is duplicated, the number that civetweb knows is made to refer to a socket that leads nowhere,
 * and the connection may not be kept, so that the worker closes that number and goes on to its next client.
 *
 * Descriptors are found by their two ends. What is taken gets high numbers, so civetweb's stay low, and few have to be
 * looked at. How many bytes civetweb has read behind the head that it parsed it does not tell; but the kernel counts
 * what has come and what is unread, and the length of each request on the connection is known here.
 *
 * All of this holds for civetweb 1.15, and tests/unit/test_http_handover.c fails where it does not.
 *
 * Threads: civetweb's workers; ls_http_descriptor(), ls_http_wake(): any. */
#include "http/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SPARE = 1024 /* civetweb and the rest hold fewer; accept() gives the lowest number that is free */ };
enum { ESTABLISHED = 1 /* TCP_ESTABLISHED, of a header that excludes the one with all of tcp_info */ };

static atomic_int highest = LS_TAKEN_FROM; /* number that was ever given to what was taken */
static atomic_int likely;                  /* number of the descriptor that was found last, by any thread */

/* --- the descriptor --- */

static bool is_descriptor_of(int fd, const struct mg_request_info *info, const struct in_addr *address)
{
    struct sockaddr_in peer, self;
    socklen_t peer_len = sizeof peer, self_len = sizeof self;
    return getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 && peer.sin_family == AF_INET &&
           ntohs(peer.sin_port) == info->remote_port && peer.sin_addr.s_addr == address->s_addr &&
           getsockname(fd, (struct sockaddr *)&self, &self_len) == 0 && ntohs(self.sin_port) == info->server_port;
}

int ls_http_descriptor(const struct mg_request_info *info)
{
    struct in_addr address;
    if (inet_pton(AF_INET, info->remote_addr, &address) != 1) return -1;
    int fd = atomic_load(&likely), last = atomic_load(&highest) + SPARE;
    if (is_descriptor_of(fd, info, &address)) return fd;
    for (fd = 0; fd <= last && !is_descriptor_of(fd, info, &address); fd++)
        continue;
    if (fd > last) return -1;
    atomic_store(&likely, fd);
    return fd;
}

bool ls_http_more_comes(const struct mg_request_info *info, int ms)
{
    char byte;
    struct pollfd wait = {.fd = ls_http_descriptor(info), .events = POLLIN};
    return wait.fd >= 0 && poll(&wait, 1, ms) > 0 && recv(wait.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* civetweb's threads look at the stop flag every two seconds. */
void ls_http_wake(int port)
{
    for (int fd = 0; fd <= atomic_load(&highest) + SPARE; fd++) {
        int listening = 0;
        struct sockaddr_in self;
        socklen_t len = sizeof self, size = sizeof listening;
        if (getsockname(fd, (struct sockaddr *)&self, &len) == 0 && self.sin_family == AF_INET &&
            ntohs(self.sin_port) == port && getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0)
            shutdown(fd, listening != 0 ? SHUT_RDWR : SHUT_RD);
    }
}

/* --- what has been read of a connection --- */

/* Of the connection that this thread serves: bytes of the requests before the present one; of its head, and with its
 * body; and whether a length was not known. */
static _Thread_local struct {
    uint64_t before, head, whole;
    const char *behind; /* the head's end in civetweb's buffer */
    bool unknown;
} taken;

void ls__handover_connection(void)
{
    memset(&taken, 0, sizeof taken);
}

void ls__handover_request(const struct mg_request_info *info, const char *start, bool chunked)
{
    const struct mg_header *last = info->num_headers > 0 ? &info->http_headers[info->num_headers - 1] : NULL;
    taken.before += taken.whole;
    taken.behind = last ? last->value + strlen(last->value) + strlen("\r\n\r\n") : NULL;
    taken.head = taken.behind ? (uint64_t)(taken.behind - start) : 0;
    taken.whole = taken.head + (info->content_length > 0 ? (uint64_t)info->content_length : 0);
    taken.unknown |= !taken.behind || chunked;
}

/* What civetweb has taken from the kernel since the connection began. */
static bool count_read(int fd, uint64_t *count)
{
    struct tcp_info before, after = {0};
    int unread = 0, end = 0;
    do { /* until nothing comes meanwhile */
        before = after;
        socklen_t len = sizeof after;
        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &after, &len) < 0 || ioctl(fd, SIOCINQ, &unread) < 0 ||
            len < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof after.tcpi_bytes_received)
            return false;
        end = after.tcpi_state != ESTABLISHED; /* which counts as a byte */
    } while (after.tcpi_bytes_received != before.tcpi_bytes_received);
    *count = after.tcpi_bytes_received - (uint64_t)unread - (uint64_t)end;
    return true;
}

enum ls__handover_state ls__handover_look(int fd, int *silent_ms)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    int unread = 0;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || ioctl(fd, SIOCINQ, &unread) < 0 ||
        len < offsetof(struct tcp_info, tcpi_bytes_sent) + sizeof info.tcpi_bytes_sent ||
        info.tcpi_state != ESTABLISHED)
        return LS_HANDOVER_OTHER;
    *silent_ms = (int)info.tcpi_last_data_recv;
    if (info.tcpi_bytes_received == 0) return LS_HANDOVER_SILENT;
    return unread == 0 && info.tcpi_bytes_sent == 0 ? LS_HANDOVER_UNANSWERED : LS_HANDOVER_OTHER;
}

/* --- taking --- */

/* What civetweb's number refers to afterwards: reading from it gives an error, and what is done to it before it is
 * closed harms nobody. */
static int open_nowhere(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int duplicate(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, LS_TAKEN_FROM);
    if (copy < 0 && errno == EINVAL) copy = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* no number is so high */
    int before = atomic_load(&highest);
    while (copy > before && !atomic_compare_exchange_weak(&highest, &before, copy))
        continue;
    return copy;
}

int ls_http_take(struct mg_connection *http, struct ls_buf *early)
{
    const struct mg_request_info *info = mg_get_request_info(http);
    int fd = ls_http_descriptor(info), nowhere = fd < 0 ? -1 : open_nowhere(), copy = nowhere < 0 ? -1 : duplicate(fd),
        rc = copy < 0 ? -errno : copy;
    uint64_t count;
    if (fd < 0) return -ENOENT;
    if (copy >= 0 && dup3(nowhere, fd, O_CLOEXEC) < 0) {
        rc = -errno;
        close(copy);
        copy = -1;
    }
    if (nowhere >= 0) close(nowhere);
    if (copy < 0) return rc;
    mg_disable_connection_keep_alive(http);
    if (!early || taken.unknown || !count_read(copy, &count)) return copy;
    uint64_t behind = count - taken.before - taken.head; /* a number beyond the buffer would be a wrong one */
    if (taken.head + behind <= LS_HEAD_MAX) ls_buf_add(early, taken.behind, (size_t)behind);
    if (!ls_buf_failed(early)) return copy;
    close(copy); /* what comes next would be taken for the beginning */
    return -ENOMEM;
}
