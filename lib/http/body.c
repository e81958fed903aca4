/* The body of a request: a time limit for it, and an end that does not read it on (P22a).
 *
 * civetweb limits the time of a request's head, but not that of its body, which it reads on even after an early answer.
 * So an answer that leaves a body unread ends the connection: what the peer has sent by then is thrown away for a
 * moment, because closing on unread bytes resets the connection under the answer. And one timer looks at the bodies
 * that are being read and shuts the reading side of those that are late.
 *
 * Threads: civetweb's workers; the timer's. */
#include "http/http.h"

#include <poll.h>
#include <sys/socket.h>
#include <utlist.h>

#include "base/clock.h"

enum { BODY_RATE = 65536 /* bytes a second */ };

void ls_http_linger(int fd, int64_t ms)
{
    char nothing[16384];
    int64_t until = ls_now_ns() + ls_ms(ms), left;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    shutdown(fd, SHUT_WR);
    while ((left = (until - ls_now_ns()) / 1000000) > 0 && poll(&wait, 1, (int)left) > 0 &&
           recv(fd, nothing, sizeof nothing, MSG_DONTWAIT) > 0)
        continue;
}

/* --- the time of a body --- */

/* So long, and as much longer as what has come would take at a low rate: a slow line is no reason to end, a trickle is.
 * */
static int64_t due_of(const struct ls_web *web, struct ls__body *body)
{
    return body->since_ns + ls_ms(web->body_ms + (int64_t)(atomic_load(&body->received) * 1000 / BODY_RATE));
}

/* A body in the list is still being read, so its connection's descriptor is open and no other's. */
void ls_http_bodies_look(void *ctx)
{
    struct ls_web *web = ctx;
    int64_t now = ls_now_ns(), next = INT64_MAX;
    pthread_mutex_lock(&web->bodies_lock);
    for (struct ls__body *body = web->bodies; body; body = body->next) {
        int64_t due = due_of(web, body);
        if (due <= now && !body->late) {
            int fd = ls_http_descriptor(body->info);
            body->late = true;
            if (fd >= 0) shutdown(fd, SHUT_RD);
        } else if (due < next && !body->late) {
            next = due;
        }
    }
    pthread_mutex_unlock(&web->bodies_lock);
    /* One that begins before then sets no alarm of its own. */
    int64_t least = now + ls_ms(web->body_ms);
    if (next != INT64_MAX) ls_alarm_set(&web->bodies_late, next < least ? next : least);
}

void ls__body_begin(struct ls_web *web, struct ls__body *body, const struct mg_request_info *info)
{
    *body = (struct ls__body){.info = info, .since_ns = ls_now_ns()};
    pthread_mutex_lock(&web->bodies_lock);
    DL_PREPEND(web->bodies, body);
    pthread_mutex_unlock(&web->bodies_lock);
    ls_alarm_set(&web->bodies_late, due_of(web, body));
}

bool ls__body_end(struct ls_web *web, struct ls__body *body)
{
    pthread_mutex_lock(&web->bodies_lock);
    DL_DELETE(web->bodies, body);
    pthread_mutex_unlock(&web->bodies_lock);
    return !body->late;
}
