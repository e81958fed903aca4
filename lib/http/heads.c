/* Heads of requests that do not come (N4). A connection holds a worker of civetweb until its first head has been read,
 * which may take 10 seconds; so where few workers are left, one that says nothing, or not all of its head, is given
 * little time. Others are served meanwhile, and open pages need no worker.
 *
 * civetweb tells nothing of a connection before it has read a head; the kernel does: what has come, what is unread, and
 * whether anything has been answered.
 *
 * Threads: civetweb's workers; the timer's. */
#include "http/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <utlist.h>

#include "base/clock.h"

/* FEW: workers that are left; then a connection may be silent, or its head be on its way, for HEAD_MS. One from which
 * nothing has come for so long when a worker is free for it has had that time: all that it is given then is READ_MS,
 * for the worker to read what has come. */
enum { FEW = 4, HEAD_MS = 500, READ_MS = 60, LOOK_MS = 20 };

/* The request that this thread answers, or has answered last on its connection. */
static _Thread_local struct ls__served served;

/* By number: the port of a peer of whose head something is missing, and since when. The timer thread's. */
static struct {
    int port;
    int64_t since_ns;
} seen[LS_TAKEN_FROM];

static bool is_scarce(const struct ls_web *web)
{
    return web->workers - atomic_load(&web->held) <= FEW;
}

/* A port of civetweb's; of what the front carries a head may be half as well. */
static bool is_ours(const struct ls_web *web, int port)
{
    return port == web->http_port || port == web->inner_port;
}

/* Called with bodies_lock held. */
static bool is_served(const struct ls_web *web, const struct sockaddr_in *peer)
{
    struct in_addr address;
    for (const struct ls__served *one = web->served; one; one = one->next)
        if (one->info->remote_port == ntohs(peer->sin_port) &&
            inet_pton(AF_INET, one->info->remote_addr, &address) == 1 && address.s_addr == peer->sin_addr.s_addr)
            return true;
    return false;
}

/* Is the time of a connection over? Called with bodies_lock held. */
static bool is_late(const struct ls_web *web, int fd, const struct sockaddr_in *peer, int64_t now)
{
    int port = ntohs(peer->sin_port), silent_ms;
    enum ls__handover_state state = ls__handover_look(fd, &silent_ms);
    if (state == LS_HANDOVER_SILENT) return silent_ms >= HEAD_MS;
    if (state != LS_HANDOVER_UNANSWERED || is_served(web, peer)) {
        seen[fd].port = 0;
        return false;
    }
    if (seen[fd].port != port) {
        seen[fd].port = port;
        seen[fd].since_ns = now;
    }
    return now - seen[fd].since_ns >= ls_ms(silent_ms >= HEAD_MS ? READ_MS : HEAD_MS);
}

void ls_http_heads_look(void *ctx)
{
    struct ls_web *web = ctx;
    int64_t now = ls_now_ns();
    if (!is_scarce(web)) return; /* the next connection that finds few workers sets it again */
    pthread_mutex_lock(&web->bodies_lock);
    for (int fd = 0; fd < LS_TAKEN_FROM; fd++) {
        struct sockaddr_in peer, self;
        socklen_t peer_len = sizeof peer, self_len = sizeof self;
        if (getsockname(fd, (struct sockaddr *)&self, &self_len) == 0 && self.sin_family == AF_INET &&
            is_ours(web, ntohs(self.sin_port)) && getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 &&
            is_late(web, fd, &peer, now))
            shutdown(fd, SHUT_RD);
    }
    pthread_mutex_unlock(&web->bodies_lock);
    ls_alarm_set(&web->heads_late, now + ls_ms(LOOK_MS));
}

void ls__head_awaited(struct ls_web *web)
{
    if (is_scarce(web) && atomic_load(&web->timed)) ls_alarm_set(&web->heads_late, ls_now_ns() + ls_ms(LOOK_MS));
}

void ls__head_read(const struct mg_request_info *info)
{
    struct ls_web *web = info->user_data;
    if (!web) return;
    pthread_mutex_lock(&web->bodies_lock);
    if (!served.info) DL_PREPEND(web->served, &served);
    served.info = info;
    pthread_mutex_unlock(&web->bodies_lock);
}

void ls__head_forget(struct ls_web *web)
{
    if (!served.info) return;
    pthread_mutex_lock(&web->bodies_lock);
    DL_DELETE(web->served, &served);
    served.info = NULL;
    pthread_mutex_unlock(&web->bodies_lock);
}
