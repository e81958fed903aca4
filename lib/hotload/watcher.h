/* The watcher thread: the only caller of libinotifytools, whose state is one per process and not thread-safe. It waits,
 * forwards records, and sets or drops watches when asked; all timing and thinking is done by the settling thread. */
#ifndef LS_HOTLOAD_WATCHER_H
#define LS_HOTLOAD_WATCHER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/map.h"

struct ls__watcher;

/* One event as the kernel reported it; `name` is "" for the directory itself. */
struct ls__record {
    int wd;
    uint32_t mask;
    const char *name; /* borrowed during the call */
    uint64_t mark;    /* not 0: no event, but a mark that has come through the kernel's queue */
    bool broken;      /* the watcher has failed for good */
};

/** Set the library up; no thread yet: until ls__watcher_start, requests are carried out by the calling thread.
 * @return NULL and err: LS_EBUSY (one is open in this process), LS_ELIMIT (names fs.inotify.max_user_instances, H86),
 * LS_EIO */
struct ls__watcher *ls__watcher_open(void (*forward)(void *ctx, const struct ls__record *record), void *ctx,
                                     struct ls_err *err);
/** Start a thread that takes no signals: those are the program's business. @return 0; LS_EIO and err */
int ls__thread_start(pthread_t *thread, const char *name, void *(*fn)(void *ctx), void *ctx, struct ls_err *err);
/** From now on requests are carried out by its thread, and records come. @return 0; LS_EIO and err */
int ls__watcher_start(struct ls__watcher *watcher, struct ls_err *err);
/** Joins the thread, releases the kernel's resources (H95). NULL accepted. */
void ls__watcher_close(struct ls__watcher *watcher);
/** Watch the directory that is now at `path` if it still has this device and inode.
 * @return its number (> 0), or a negated errno: -ENOENT when it is not there any more, -ENOSPC at the limit */
int ls__watcher_add(struct ls__watcher *watcher, const char *path, dev_t dev, ino_t ino, uint32_t mask);
/** By the number of ls__watcher_add; an unknown one is nothing. */
void ls__watcher_remove(struct ls__watcher *watcher, int wd);
/** The numbers of all watches that the kernel has (each its own value), for a watch goes with its directory and the
 * record of it may be lost. @return owned, ls_idmap_free(…, NULL); NULL when they cannot be read, or without memory */
struct ls_idmap *ls__watcher_alive(const struct ls__watcher *watcher);
/** Send a mark through the kernel's queue: it is forwarded behind all records of what happened before the call. Any
 * thread, one at a time. */
void ls__watcher_mark(struct ls__watcher *watcher, uint64_t mark);
/** For the message of H86. */
long ls__watcher_limit(void);

#endif
