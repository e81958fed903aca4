/* Which user's program is at the other end of a connection from this machine (Q3): a loopback address is every user's,
 * and whoever serves wants to be one of them alone.
 *
 * The kernel knows who made each socket. It is asked for the one at the other end, by both addresses and ports, through
 * sock_diag. It may say 0, as if it were root's, for a socket that its program has closed: that one has no inode any
 * more, and what has none is nobody's. A program that has only said that it sends no more still holds its socket. One
 * that is about to connect from the same port is another one's.
 *
 * A question costs some ten microseconds: one for each WebSocket, and one for each other request that wants a power;
 * never for a message.
 *
 * Threads: any, after ls__peer_can_tell(). */
#include "http/http.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OVERFLOW_UID = 65534 }; /* what a uid that has no name in this user namespace is shown as */

struct end {
    int family;
    unsigned char address[16];
    int port;
};

struct owner {
    unsigned uid, state, inode;
};

struct ls__peer_seams ls__peer_seams;
static atomic_bool can_tell;

static bool read_end(struct end *end, const char *address, int port)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    *end = (struct end){.family = AF_INET, .port = port};
    if (inet_pton(AF_INET, address, end->address) == 1) return true;
    end->family = AF_INET6;
    if (inet_pton(AF_INET6, address, end->address) != 1) return false;
    if (memcmp(end->address, mapped, sizeof mapped) == 0) { /* an IPv4 connection, whatever the socket was made for */
        end->family = AF_INET;
        memmove(end->address, end->address + sizeof mapped, 4);
    }
    return true;
}

static bool ask_kernel(const struct end *peer, const struct end *self, struct owner *owner)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 body;
    } question = {
        .head = {.nlmsg_len = sizeof question, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST},
        .body = {.sdiag_family = (unsigned char)peer->family,
                 .sdiag_protocol = IPPROTO_TCP,
                 .idiag_states = ~0U,
                 .id = {.idiag_sport = htons((uint16_t)peer->port),
                        .idiag_dport = htons((uint16_t)self->port),
                        .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}}};
    struct {
        struct nlmsghdr head;
        struct inet_diag_msg body;
        char more[1024];
    } answer = {.head = {0}};
    memcpy(question.body.id.idiag_src, peer->address, sizeof peer->address);
    memcpy(question.body.id.idiag_dst, self->address, sizeof self->address);
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0) return false;
    /* The kernel has answered when send() returns. */
    ssize_t n = send(fd, &question, sizeof question, 0) == sizeof question
                    ? recv(fd, &answer, sizeof answer, MSG_DONTWAIT)
                    : -1;
    close(fd);
    *owner = (struct owner){answer.body.idiag_uid, answer.body.idiag_state, answer.body.idiag_inode};
    /* Where there is no such connection the answer is a socket that listens on that port, if one does. */
    return n >= (ssize_t)(sizeof answer.head + sizeof answer.body) && answer.head.nlmsg_type == SOCK_DIAG_BY_FAMILY &&
           answer.body.id.idiag_sport == question.body.id.idiag_sport &&
           answer.body.id.idiag_dport == question.body.id.idiag_dport;
}

static bool is_connected(const struct owner *owner)
{
    return owner->inode != 0 &&
           (owner->state == TCP_ESTABLISHED || owner->state == TCP_FIN_WAIT1 || owner->state == TCP_FIN_WAIT2);
}

/* In a user namespace that has names for some users only, all others look alike: as one of them nobody can be told from
 * the rest. */
static bool is_anybody(void)
{
    FILE *map = geteuid() == OVERFLOW_UID ? fopen("/proc/self/uid_map", "re") : NULL;
    unsigned count = 0;
    bool all = map && fscanf(map, " 0 0 %u", &count) == 1 && count == UINT32_MAX;
    if (map) fclose(map);
    return geteuid() == OVERFLOW_UID && !all;
}

/* A connection of our own, whose user is known. */
static bool try_own(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, there;
    socklen_t len = sizeof here, size = sizeof there;
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct owner owner = {0};
    bool ok = listening >= 0 && fd >= 0 && bind(listening, (struct sockaddr *)&here, sizeof here) == 0 &&
              listen(listening, 1) == 0 && getsockname(listening, (struct sockaddr *)&here, &len) == 0 &&
              connect(fd, (struct sockaddr *)&here, sizeof here) == 0 &&
              getsockname(fd, (struct sockaddr *)&there, &size) == 0;
    if (ok) {
        struct end peer, self;
        read_end(&peer, "127.0.0.1", ntohs(there.sin_port));
        read_end(&self, "127.0.0.1", ntohs(here.sin_port));
        ok = ask_kernel(&peer, &self, &owner) && is_connected(&owner) && owner.uid == geteuid();
    }
    if (listening >= 0) close(listening);
    if (fd >= 0) close(fd);
    return ok;
}

bool ls__peer_can_tell(void)
{
    bool tells = !ls__peer_seams.tells_nothing && !is_anybody() && try_own();
    atomic_store(&can_tell, tells);
    return tells;
}

int64_t ls__peer_uid(const char *peer, int peer_port, const char *self, int self_port)
{
    if (ls__peer_seams.uid) return ls__peer_seams.uid();
    struct end from, to;
    struct owner owner;
    bool ok = atomic_load(&can_tell) && read_end(&from, peer, peer_port) && read_end(&to, self, self_port) &&
              ask_kernel(&from, &to, &owner) && is_connected(&owner);
    return ok ? (int64_t)owner.uid : -1;
}

bool ls__peer_is_user(const char *peer, int peer_port, const char *self, int self_port)
{
    int64_t uid = ls__peer_uid(peer, peer_port, self, self_port);
    return uid == 0 || uid == (int64_t)geteuid();
}
