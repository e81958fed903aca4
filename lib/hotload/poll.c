/* Polling (H86–H88): where the kernel reports nothing, directories are compared with how they looked last, and what differs is told as if it
 * were an event. Settling thread. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/vfs.h>

#include "base/alloc.h"
#include "files/fspath.h"
#include "hotload/internal.h"

/* Numbers from statfs(2); the kernel's header names only some of them. */
static const struct {
    unsigned long type;
    const char *name;
} remote_types[] = {
    {0x6969, "NFS"},          {0x517B, "SMB"},     {0xFF534D42, "CIFS"}, {0xFE534D42, "SMB"},       {0x01021997, "9p"},         {0x65735546, "FUSE"},
    {0x786f4256, "vboxsf"},   {0x00c36400, "Ceph"}, {0x5346414F, "AFS"},  {0x6B414653, "AFS"},       {0x73757245, "Coda"},       {0xbacbacbc, "vmhgfs"},
    {0x7c7c6673, "prl_fs"},   {0x564c, "NCP"},     {0x6a656a63, "a virtual machine's shared folder"},
};

bool ls__fs_is_remote(const char *path, const char **name)
{
    struct statfs info;
    if (ls__hotload_seams.remote_fs) return (*name = ls__hotload_seams.remote_fs(path)) != NULL;
    if (statfs(path, &info)) return false;
    for (size_t i = 0; i < sizeof remote_types / sizeof *remote_types; i++)
        if ((unsigned long)(uint32_t)info.f_type == remote_types[i].type) {
            *name = remote_types[i].name;
            return true;
        }
    return false;
}

void ls__snapshot_free(struct ls__dir *dir)
{
    ls_map_free(dir->snapshot, ls_free);
    dir->snapshot = NULL;
}

static struct ls_map *read_entries(const struct ls__dir *dir)
{
    struct ls_map *entries = ls_map_new();
    DIR *stream = entries ? opendir(dir->path) : NULL;
    const struct dirent *entry;
    if (!stream) {
        ls_map_free(entries, NULL);
        return NULL;
    }
    while ((entry = readdir(stream))) {
        struct stat info;
        struct ls__stamp *stamp;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (fstatat(dirfd(stream), entry->d_name, &info, AT_SYMLINK_NOFOLLOW)) continue;
        if (!(stamp = ls_malloc(sizeof *stamp))) break;
        ls__stamp_of(stamp, &info);
        if (!ls_map_put(entries, entry->d_name, strlen(entry->d_name), stamp, NULL)) ls_free(stamp);
    }
    closedir(stream);
    return entries;
}

void ls__snapshot_take(struct ls__dir *dir)
{
    ls__snapshot_free(dir);
    if (dir->placed >= LS__NAMES) dir->snapshot = read_entries(dir);
}

static void tell(struct ls_hotload *h, struct ls__dir *dir, uint32_t mask, const char *name, const struct ls__stamp *stamp)
{
    ls__event_name(h, dir, mask | (S_ISDIR(stamp->type) ? IN_ISDIR : 0), name);
}

static void compare(struct ls_hotload *h, struct ls__dir *dir, const struct ls_map *before, const struct ls_map *now)
{
    struct ls_map_entry *entry;
    size_t len;
    for (entry = before ? ls_map_first(before) : NULL; entry; entry = ls_map_next(entry)) {
        const char *name = ls_map_key(entry, &len);
        if (!ls_map_get(now, name, len)) tell(h, dir, IN_DELETE, name, ls_map_value(entry));
    }
    for (entry = ls_map_first(now); entry; entry = ls_map_next(entry)) {
        const char *name = ls_map_key(entry, &len);
        const struct ls__stamp *new = ls_map_value(entry), *old = before ? ls_map_get(before, name, len) : NULL;
        if (!old) tell(h, dir, IN_MOVED_TO, name, new);
        else if (old->ino != new->ino || old->dev != new->dev || old->type != new->type) {
            if (S_ISDIR(old->type) != S_ISDIR(new->type)) tell(h, dir, IN_DELETE, name, old);
            tell(h, dir, IN_MOVED_TO, name, new);
        } else if (!S_ISDIR(new->type) && !ls__stamp_equal(old, new)) tell(h, dir, IN_CLOSE_WRITE, name, new);
    }
}

static void poll_dir(struct ls_hotload *h, struct ls__dir *dir)
{
    struct stat info;
    if (stat(dir->path, &info) || info.st_dev != dir->dev || info.st_ino != dir->ino) {
        ls__dir_kill(h, dir);
        ls__dir_gone(h, dir);
        return;
    }
    if (dir->placed < LS__NAMES) return;
    struct ls_map *now = read_entries(dir), *before = dir->snapshot;
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

void ls__poll(struct ls_hotload *h)
{
    size_t count = 0, capacity = ls_map_count(h->dirs);
    struct ls__dir **dirs = ls_array(capacity ? capacity : 1, sizeof *dirs);
    if (!dirs) return;
    for (struct ls_map_entry *entry = ls_map_first(h->dirs); entry && count < capacity; entry = ls_map_next(entry)) {
        struct ls__dir *dir = ls_map_value(entry);
        if (!dir->polled || !ls__dir_count(dir)) continue;
        dirs[count++] = dir;
        dir->uses[LS__SELF]++; /* held while the pass changes the table */
    }
    for (size_t i = 0; i < count; i++)
        if (!dirs[i]->dead) poll_dir(h, dirs[i]);
    for (size_t i = 0; i < count; i++) ls__dir_unuse(h, dirs[i], LS__SELF);
    ls_free(dirs);
}
