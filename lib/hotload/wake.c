/* What the settling thread sleeps on: its queue, by an event descriptor, and the kernel's table of mounts. Of a file
 * system that is mounted over a folder, or goes lazily, inotify says nothing; the table wakes whoever polls it with
 * every change, and all is looked at again (H13).
 *
 * Refuses to read the table: what lies where is asked of the paths. Settling thread, but for ls__wake. Rule: H13. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "hotload/hotload_internal.h"

enum { MOUNTS_MS = 50 }; /* programs that mount a lot do not make everything be looked at more often than so */

int ls__wake_open(struct ls_hotload *h, struct ls_err *err)
{
    h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    h->mounts_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    return h->wake_fd >= 0 ? 0 : ls_fail(err, LS_EIO, "Hot reload cannot make a descriptor: %s.", strerror(errno));
}

void ls__wake_close(struct ls_hotload *h)
{
    if (h->wake_fd >= 0) close(h->wake_fd);
    if (h->mounts_fd >= 0) close(h->mounts_fd);
    h->wake_fd = h->mounts_fd = -1;
}

void ls__wake(struct ls_hotload *h)
{
    const uint64_t one = 1;
    if (!h->asleep) return;
    h->asleep = false;
    while (write(h->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

static void note_mounts(struct ls_hotload *h, const struct pollfd *mounts)
{
    if (!mounts->revents) return;
    h->rescan = true;
    h->mounts_ns = ls_now_ns() + ls_ms(MOUNTS_MS);
}

void ls__sleep(struct ls_hotload *h, int64_t due)
{
    uint64_t count;
    h->asleep = true;
    pthread_mutex_unlock(&h->lock);
    int64_t now = ls_now_ns();
    bool early = now < h->mounts_ns;
    struct pollfd of[] = {{.fd = h->wake_fd, .events = POLLIN}, {.fd = early ? -1 : h->mounts_fd, .events = POLLPRI}};
    if (early && h->mounts_ns < due) due = h->mounts_ns;
    int64_t left = due > now ? due - now : 0;
    struct timespec limit = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    if (ppoll(of, 2, due == INT64_MAX ? NULL : &limit, NULL) > 0) {
        note_mounts(h, &of[1]);
        while (of[0].revents && read(h->wake_fd, &count, sizeof count) < 0 && errno == EINTR)
            continue;
    }
    pthread_mutex_lock(&h->lock);
    h->asleep = false;
}

void ls__mounts_look(struct ls_hotload *h)
{
    struct pollfd mounts = {.fd = h->mounts_fd, .events = POLLPRI};
    if (poll(&mounts, 1, 0) > 0) note_mounts(h, &mounts);
}
