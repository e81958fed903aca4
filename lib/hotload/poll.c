/* Polling (H86–H88): where the kernel reports nothing, directories are compared with how they looked last, and what
 * differs is told as if it were an event. Settling thread. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/alloc.h"
#include "files/fspath.h"
#include "hotload/hotload_internal.h"

/* Has an event told of this version of the file already? */
static bool is_known(struct ls_hotload *h, const struct ls__dir *dir, const char *name, const struct ls__stamp *stamp)
{
    struct ls_buf path = LS_BUF_INIT;
    if (dir->wd <= 0 || !S_ISREG(stamp->type)) return false;
    ls_path_join(&path, dir->path, name);
    const struct ls__stamp *known = ls_map_get(h->known, ls_buf_text(&path), path.len);
    ls_buf_release(&path);
    return known && ls__stamp_equal(known, stamp);
}

static void tell(struct ls_hotload *h, struct ls__dir *dir, uint32_t mask, const char *name,
                 const struct ls__stamp *stamp)
{
    if (!(mask & IN_DELETE) && is_known(h, dir, name, stamp)) return;
    ls__event_name(h, dir, mask | (S_ISDIR(stamp->type) ? IN_ISDIR : 0), name);
}

static void compare(struct ls_hotload *h, struct ls__dir *dir, const struct ls_map *before, const struct ls_map *now)
{
    struct ls_map_item *item;
    size_t len;
    for (item = before ? ls_map_first(before) : NULL; item; item = ls_map_next(item)) {
        const char *name = ls_map_key(item, &len);
        if (!ls_map_get(now, name, len)) tell(h, dir, IN_DELETE, name, ls_map_value(item));
    }
    for (item = ls_map_first(now); item; item = ls_map_next(item)) {
        const char *name = ls_map_key(item, &len);
        const struct ls__stamp *new = ls_map_value(item), *old = before ? ls_map_get(before, name, len) : NULL;
        if (!old)
            tell(h, dir, IN_MOVED_TO, name, new);
        else if (old->ino != new->ino || old->dev != new->dev || old->type != new->type) {
            if (S_ISDIR(old->type) != S_ISDIR(new->type)) tell(h, dir, IN_DELETE, name, old);
            tell(h, dir, IN_MOVED_TO, name, new);
        } else if (!S_ISDIR(new->type) && !ls__stamp_equal(old, new)) /* nobody writes to a link: it is another one */
            tell(h, dir, S_ISLNK(new->type) ? IN_MOVED_TO : IN_CLOSE_WRITE, name, new);
        else if (old->may != new->may)
            tell(h, dir, IN_ATTRIB, name, new);
    }
}

static void poll_dir(struct ls_hotload *h, struct ls__dir *dir)
{
    struct stat info;
    int failed = stat(dir->path, &info);
    if (failed && errno == EACCES) return;
    if (failed || info.st_dev != dir->dev || info.st_ino != dir->ino) {
        if (dir->wd > 0)
            h->rescan = true; /* its watch will tell of its end */
        else
            ls__dir_kill(h, dir);
        return;
    }
    if (dir->placed < LS__NAMES) return;
    struct ls_map *now = ls__names_read(h, dir), *before = dir->snapshot;
    if (!now) return;
    dir->snapshot = NULL; /* the comparison may take another one, when a use of the directory raises its level */
    compare(h, dir, before, now);
    if (!dir->snapshot && dir->polled) {
        dir->snapshot = now;
        now = NULL;
    }
    ls_map_free(now, ls_free);
    ls_map_free(before, ls_free);
}

/* A file with several names is known by how it looked last. */
static void poll_linked(struct ls_hotload *h)
{
    for (struct ls_map_item *item = ls_map_first(h->linked), *next; item; item = next) {
        const char *path = ls_map_key(item, NULL);
        struct ls__stamp stamp;
        struct stat info;
        next = ls_map_next(item);
        if (!ls__look(path, &info) || !S_ISREG(info.st_mode)) continue; /* its directory tells */
        ls__stamp_of(&stamp, &info);
        bool waits = ls_map_get(h->pendingReloads, path, strlen(path));
        ls__pend_found(h, path, &stamp, false);
        struct ls__pending *pending = waits ? NULL : ls_map_get(h->pendingReloads, path, strlen(path));
        if (pending) pending->polled = true;
        if (stamp.links == 1) ls_map_take(h->linked, path, strlen(path));
    }
}

static void poll_closed(struct ls_hotload *h)
{
    for (struct ls_map_item *item = ls_map_first(h->closed), *next; item; item = next) {
        size_t len;
        const char *path = ls_map_key(item, &len);
        next = ls_map_next(item);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        bool closed = fd < 0 || faccessat(fd, ".", X_OK, AT_EACCESS);
        closed = closed && (errno == EACCES || errno == EMFILE || errno == ENFILE); /* else it has gone */
        if (fd >= 0) close(fd);
        if (closed) continue;
        ls_map_take(h->closed, path, len);
        h->rescan = true;
    }
}

bool ls__polls(const struct ls_hotload *h)
{
    return h->polled || ls_map_count(h->linked) || ls_map_count(h->closed);
}

void ls__poll(struct ls_hotload *h)
{
    size_t count = 0, capacity = ls_map_count(h->dirs);
    struct ls__dir **dirs = ls_array(capacity ? capacity : 1, sizeof *dirs);
    if (!dirs) return;
    for (struct ls_map_item *item = ls_map_first(h->dirs); item && count < capacity; item = ls_map_next(item)) {
        struct ls__dir *dir = ls_map_value(item);
        if (!dir->polled || !ls__dir_count(dir)) continue;
        dirs[count++] = dir;
        dir->uses[LS__SELF]++; /* held while the pass changes the table */
    }
    h->polling = true;
    for (size_t i = 0; i < count; i++) {
        if (!dirs[i]->dead) poll_dir(h, dirs[i]);
        if (!dirs[i]->dead && dirs[i]->refused) ls__dir_retry(h, dirs[i]);
    }
    h->polling = false;
    for (size_t i = 0; i < count; i++)
        ls__dir_unuse(h, dirs[i], LS__SELF);
    ls_free(dirs);
    poll_linked(h);
    poll_closed(h);
}
