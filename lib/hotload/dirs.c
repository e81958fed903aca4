/* The table of watched directories (H11): one kernel watch for each real directory, known by device and inode however
 * it is spelled, with a use count for each level of attention. Settling thread (the opening one before it starts).
 * Refuses to know why a directory is used.
 * Rules: H13 (a directory that has died is never mistaken for its successor with the same inode), H86, H88, H89.
 * */
#include <errno.h>
#include <string.h>
#include <sys/inotify.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "hotload/hotload_internal.h"

static const uint32_t level_mask[LS__LEVELS] = {
    [LS__SELF] = IN_DELETE_SELF | IN_MOVE_SELF,
    [LS__NAMES] = IN_DELETE_SELF | IN_MOVE_SELF | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO,
    [LS__CONTENT] = IN_DELETE_SELF | IN_MOVE_SELF | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY |
                    IN_CLOSE_WRITE | IN_ATTRIB | IN_EXCL_UNLINK,
};

struct dir_id {
    dev_t dev;
    ino_t ino;
};

static struct dir_id id_of(dev_t dev, ino_t ino)
{
    struct dir_id id;
    memset(&id, 0, sizeof id); /* bytes of padding are part of the map's key */
    id.dev = dev;
    id.ino = ino;
    return id;
}

unsigned ls__dir_count(const struct ls__dir *dir)
{
    return dir->uses[LS__SELF] + dir->uses[LS__NAMES] + dir->uses[LS__CONTENT];
}

static int level_needed(const struct ls__dir *dir)
{
    for (int level = LS__CONTENT; level >= LS__SELF; level--)
        if (dir->uses[level]) return level;
    return -1;
}

struct ls__dir *ls__dir_find(struct ls_hotload *h, const struct stat *info)
{
    struct dir_id id = id_of(info->st_dev, info->st_ino);
    return ls_map_get(h->dirs, (const char *)&id, sizeof id);
}

struct ls__dir *ls__dir_at(struct ls_hotload *h, const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode) ? ls__dir_find(h, &info) : NULL;
}

static void free_dir(struct ls__dir *dir)
{
    ls__snapshot_free(dir);
    ls_free(dir->path);
    ls_free(dir);
}

void ls__dir_kill(struct ls_hotload *h, struct ls__dir *dir)
{
    if (dir->dead) return;
    struct dir_id id = id_of(dir->dev, dir->ino);
    ls_map_take(h->dirs, (const char *)&id, sizeof id);
    if (dir->wd > 0) ls_idmap_take(h->wds, dir->wd);
    if (dir->polled) h->polled--;
    if (dir->unused_ns) h->unused--;
    dir->unused_ns = 0;
    dir->polled = false;
    dir->wd = 0;
    dir->placed = -1;
    dir->dead = true;
    if (ls__dir_count(dir))
        h->rescan = true;
    else
        free_dir(dir);
}

static void poll_also(struct ls_hotload *h, struct ls__dir *dir, int level)
{
    if (!dir->polled) h->polled++;
    dir->polled = true;
    dir->placed = level;
    if (!h->poll_due_ns) h->poll_due_ns = ls_now_ns() + h->poll_ns;
    ls__snapshot_take(h, dir);
}

static void tell_limit(struct ls_hotload *h, struct ls__dir *dir, int error)
{
    if (dir->told) return;
    dir->told = true;
    if (error == ENOSPC) {
        if (!h->told_limit)
            ls_log(
                0,
                "Hot reload: %s cannot be watched: the limit fs.inotify.max_user_watches is %ld, %zu are in use here; it is polled instead.",
                dir->path, ls__watcher_limit(), ls_idmap_count(h->wds));
        h->told_limit = true;
    } else
        ls_log(0, "Hot reload: %s cannot be watched (%s); it is polled instead.", dir->path, strerror(error));
}

/* Bring the kernel watch to the level needed. A raised level replaces the watch, for the library cannot change one;
 * what happened to the names in between is found by a rescan.
 * @return false when the directory is not there any more */
static bool place(struct ls_hotload *h, struct ls__dir *dir)
{
    int level = level_needed(dir), wd;
    const char *type = NULL;
    if (level < 0 || level == dir->placed) return true;
    /* what has happened to its names since the last look goes with that */
    if (dir->polled && dir->placed >= LS__NAMES) h->rescan = true;
    if (!h->watcher || (dir->polled && dir->wd <= 0)) {
        poll_also(h, dir, level);
        return true;
    }
    bool remote = ls__fs_is_remote(dir->path, &type);
    if (remote && !h->told_fs)
        ls_log(0, "Hot reload: %s is on %s, which does not report changes made elsewhere; it is polled as well.",
               dir->path, type);
    h->told_fs |= remote;
    if (dir->wd > 0) {
        ls_idmap_take(h->wds, dir->wd);
        ls__watcher_remove(h->watcher, dir->wd);
        h->rescan = true;
        dir->wd = 0;
        dir->placed = -1;
    }
    int forced = ls__hotload_seams.watch_error ? ls__hotload_seams.watch_error() : 0;
    wd = forced ? -forced : ls__watcher_add(h->watcher, dir->path, dir->dev, dir->ino, level_mask[level]);
    if (wd == -ENOENT || wd == -ENOTDIR || wd == -ELOOP) return false;
    bool watched = wd > 0 && ls_idmap_put(h->wds, wd, dir, NULL);
    if (watched)
        dir->wd = wd;
    else
        tell_limit(h, dir, wd < 0 ? -wd : ENOMEM);
    dir->refused = wd == -EMFILE || wd == -ENFILE || wd == -EACCES;
    dir->placed = level;
    if (remote || !watched) poll_also(h, dir, level);
    return true;
}

void ls__dir_retry(struct ls_hotload *h, struct ls__dir *dir)
{
    struct ls_map *kept = dir->snapshot;
    dir->snapshot = NULL;
    if (dir->polled) h->polled--;
    dir->polled = false;
    dir->placed = -1;
    bool there = place(h, dir);
    if (dir->refused) {
        ls__snapshot_free(dir);
        dir->snapshot = kept;
        return;
    }
    ls_map_free(kept, ls_free);
    h->rescan = true; /* what happened between that look and its watch */
    dir->told = false;
    if (!there) ls__dir_kill(h, dir);
}

void ls__dirs_renew(struct ls_hotload *h)
{
    struct stat info;
    struct ls_idmap *alive = h->watcher ? ls__watcher_alive(h->watcher) : NULL;
    for (struct ls_map_item *item = ls_map_first(h->dirs), *next; item; item = next) {
        struct ls__dir *dir = ls_map_value(item);
        next = ls_map_next(item);
        bool there = stat(dir->path, &info) ? errno == EACCES : info.st_dev == dir->dev && info.st_ino == dir->ino;
        if (there && dir->wd > 0 && !(alive && ls_idmap_get(alive, dir->wd) && ls_idmap_get(h->wds, dir->wd)))
            dir->placed = -1;
        if (!there || !place(h, dir)) ls__dir_kill(h, dir);
    }
    ls_idmap_free(alive, NULL);
}

static struct ls__dir *new_dir(struct ls_hotload *h, const char *path, const struct stat *info)
{
    struct dir_id id = id_of(info->st_dev, info->st_ino);
    struct ls__dir *dir = ls_zalloc(sizeof *dir);
    if (!dir) return NULL;
    dir->dev = info->st_dev;
    dir->ino = info->st_ino;
    dir->placed = -1;
    dir->path = ls_strdup(path);
    if (dir->path && ls_map_put(h->dirs, (const char *)&id, sizeof id, dir, NULL)) return dir;
    free_dir(dir);
    return NULL;
}

struct ls__dir *ls__dir_use(struct ls_hotload *h, const char *path, const struct stat *info, enum ls__level level,
                            bool *fresh)
{
    struct ls__dir *dir = ls__dir_find(h, info);
    if (!dir) dir = new_dir(h, path, info);
    if (!dir) return NULL;
    if (strcmp(dir->path, path)) {
        /* it was renamed: the table knows it by its number, messages by its present path */
        char *copy = ls_strdup(path);
        if (copy) {
            ls_free(dir->path);
            dir->path = copy;
        }
    }
    int before = dir->placed;
    dir->uses[level]++;
    if (dir->unused_ns && dir->placed <= (int)level) {
        dir->unused_ns = 0;
        h->unused--;
    }
    if (dir->placed >= (int)level) return dir;
    if (!place(h, dir)) {
        dir->uses[level]--;
        ls__dir_kill(h, dir);
        return NULL;
    }
    if (fresh && dir->placed > before) *fresh = true;
    return dir;
}

void ls__dir_unuse(struct ls_hotload *h, struct ls__dir *dir, enum ls__level level)
{
    dir->uses[level]--;
    if (dir->dead) {
        if (!ls__dir_count(dir)) free_dir(dir);
    } else if (level_needed(dir) <= LS__SELF && dir->placed > level_needed(dir) && !dir->unused_ns) {
        dir->unused_ns = ls_now_ns();
        h->unused++;
    }
}

void ls__dirs_clean_up(struct ls_hotload *h, int64_t now)
{
    struct ls_map_item *item = ls_map_first(h->dirs), *next;
    for (; item; item = next) {
        struct ls__dir *dir = ls_map_value(item);
        next = ls_map_next(item);
        if (!dir->unused_ns || now - dir->unused_ns < LS__CLEAN_UP_NS) continue;
        if (ls__dir_count(dir)) {
            dir->unused_ns = 0;
            h->unused--;
            if (level_needed(dir) == LS__SELF) place(h, dir);
            continue;
        }
        int wd = dir->wd;
        ls__dir_kill(h, dir);
        if (wd > 0) ls__watcher_remove(h->watcher, wd);
    }
}

void ls__dirs_poll_all(struct ls_hotload *h)
{
    for (struct ls_map_item *item = ls_map_first(h->dirs); item; item = ls_map_next(item)) {
        struct ls__dir *dir = ls_map_value(item);
        if (dir->wd > 0) ls_idmap_take(h->wds, dir->wd);
        dir->wd = 0;
        if (level_needed(dir) >= 0) poll_also(h, dir, level_needed(dir));
    }
}

static void drop_dir(void *value)
{
    free_dir(value);
}

void ls__dirs_free(struct ls_hotload *h)
{
    ls_map_free(h->dirs, drop_dir);
    ls_idmap_free(h->wds, NULL);
    h->dirs = NULL;
    h->wds = NULL;
}
