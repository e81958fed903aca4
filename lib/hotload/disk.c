/* What the file system says just now: of a file, of the names in a directory, of the kind of file system (H20, H85,
 * H87, H88). Thread: any, but for the snapshot of a directory, which is the settling thread's. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "files/fspath.h"
#include "hotload/hotload_internal.h"

struct ls__hotload_seams ls__hotload_seams;

enum {
    TICK_MS = 20,      /* file systems stamp with a clock that ticks every 1 to 10 ms */
    SECONDS_MS = 2000, /* or with whole seconds, FAT with even ones; then there are no nanoseconds */
    AHEAD_MS = 60000,  /* the clock of another machine may be ahead; a time that lies beyond was set by somebody */
};

/* Can a change that is still to come have the same time? */
static bool is_young(const struct timespec *mtime)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t age = (int64_t)(now.tv_sec - mtime->tv_sec) * 1000000000 + now.tv_nsec - mtime->tv_nsec;
    return age > -ls_ms(AHEAD_MS) && age < ls_ms(mtime->tv_nsec ? TICK_MS : SECONDS_MS);
}

void ls__stamp_of(struct ls__stamp *stamp, const struct stat *info)
{
    *stamp = (struct ls__stamp){.dev = info->st_dev,
                                .ino = info->st_ino,
                                .size = info->st_size,
                                .mtime = info->st_mtim,
                                .type = info->st_mode & S_IFMT,
                                .may = info->st_mode & ~(mode_t)S_IFMT,
                                .young = is_young(&info->st_mtim),
                                .links = info->st_nlink};
}

bool ls__stamp_equal(const struct ls__stamp *a, const struct ls__stamp *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mtime.tv_sec == b->mtime.tv_sec &&
           a->mtime.tv_nsec == b->mtime.tv_nsec && a->type == b->type && (!a->hash || !b->hash || a->hash == b->hash);
}

uint64_t ls__hash_text(const char *within, const char *path)
{
    struct ls_bytes *text = ls_file_read(within, path, 0, NULL);
    uint64_t hash = text ? ls_hash(ls_bytes_data(text), ls_bytes_len(text)) : 0;
    ls_bytes_unref(text);
    return hash;
}

bool ls__is_starved(int error, struct ls_err *err)
{
    struct rlimit limit = {0};
    if (error != EMFILE && error != ENFILE) return false;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (error == EMFILE)
        ls_fail(
            err, LS_ELIMIT,
            "Hot reload: no file can be opened, for this process has as many open as it may, which are %llu (ulimit -n). It is tried again; more room is needed if this lasts.",
            (unsigned long long)limit.rlim_cur);
    else
        ls_fail(
            err, LS_ELIMIT,
            "Hot reload: no file can be opened, for all programs together have as many open as they may (fs.file-max). It is tried again; more room is needed if this lasts.");
    return true;
}

void ls__note_closed(struct ls_hotload *h, const char *path, int error)
{
    LS_ERR(err);
    if (ls_map_get(h->closed, path, strlen(path))) return;
    ls_map_put(h->closed, path, strlen(path), h->closed, NULL);
    if (!ls__is_starved(error, &err))
        ls_log(
            0,
            "Hot reload: %s cannot be looked into (%s). What is known of it stays; it is tried again, and chmod u+rx opens it.",
            path, strerror(error));
    else if (!h->starved) {
        ls_log(0, "%s", ls_err_text(&err));
        h->starved = true;
    }
}

bool ls__look(const char *path, struct stat *info)
{
    if (lstat(path, info)) return false;
    errno = ENOENT;
    return !ls_is_placeholder(info);
}

bool ls__has_writer(int fd)
{
    if (ls__hotload_seams.no_leases) return false;
    /* Who opens it for writing while the lease is held waits for its release, which is a moment later, and a signal
     * tells the holder: one that is ignored by default, where SIGIO would end the process. */
    if (fcntl(fd, F_SETSIG, SIGURG) || fcntl(fd, F_SETLEASE, F_RDLCK)) return errno == EAGAIN;
    fcntl(fd, F_SETLEASE, F_UNLCK);
    return false;
}

bool ls__name_ignored(const char *name)
{
    size_t len = strlen(name);
    return name[0] == '.' || name[0] == '#' || (len && name[len - 1] == '~') || strstr(name, "___jb_");
}

/* Numbers from statfs(2); the kernel's header names only some of them. */
static const struct {
    unsigned long type;
    const char *name;
} remote_types[] = {
    {0x6969, "NFS"},        {0x517B, "SMB"},      {0xFF534D42, "CIFS"},
    {0xFE534D42, "SMB"},    {0x01021997, "9p"},   {0x65735546, "FUSE"},
    {0x786f4256, "vboxsf"}, {0x00c36400, "Ceph"}, {0x5346414F, "AFS"},
    {0x6B414653, "AFS"},    {0x73757245, "Coda"}, {0xbacbacbc, "vmhgfs"},
    {0x7c7c6673, "prl_fs"}, {0x564c, "NCP"},      {0x6a656a63, "a virtual machine's shared folder"},
};

bool ls__fs_is_remote(const char *path, const char **name)
{
    struct statfs info;
    if (ls__hotload_seams.remote_fs) return (*name = ls__hotload_seams.remote_fs(path));
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

/* What a link says: one that was made again can look like the one before in all else. */
static uint64_t hash_link(int dir, const char *name)
{
    char target[PATH_MAX];
    ssize_t len = readlinkat(dir, name, target, sizeof target);
    return len > 0 ? ls_hash(target, (size_t)len) : 0;
}

/* Of a file that takes part by its name, or because a link leads to it. */
static uint64_t hash_file(struct ls_hotload *h, const struct ls__dir *dir, const char *name)
{
    struct ls_buf path = LS_BUF_INIT;
    ls_path_join(&path, dir->path, name);
    bool counts = !ls_buf_failed(&path) && (ls_has_suffix(name, ".lua") || ls_has_suffix(name, ".html") ||
                                            ls_map_get(h->known, ls_buf_text(&path), path.len));
    uint64_t hash = counts ? ls__hash_text(h->within, ls_buf_text(&path)) : 0;
    ls_buf_release(&path);
    return hash;
}

struct ls_map *ls__names_read(struct ls_hotload *h, const struct ls__dir *dir)
{
    struct ls_map *names = ls_map_new();
    DIR *stream = names ? opendir(dir->path) : NULL;
    const struct dirent *found;
    if (!stream) {
        ls_map_free(names, NULL);
        return NULL;
    }
    while ((found = readdir(stream))) {
        struct stat info;
        struct ls__stamp *stamp;
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0) continue;
        if (fstatat(dirfd(stream), found->d_name, &info, AT_SYMLINK_NOFOLLOW)) continue;
        if (!(stamp = ls_malloc(sizeof *stamp))) break;
        ls__stamp_of(stamp, &info);
        const struct ls__stamp *before =
            dir->snapshot ? ls_map_get(dir->snapshot, found->d_name, strlen(found->d_name)) : NULL;
        if (S_ISLNK(info.st_mode))
            stamp->hash = hash_link(dirfd(stream), found->d_name);
        else if (S_ISREG(info.st_mode) && (stamp->young || (before && before->young)))
            stamp->hash = hash_file(h, dir, found->d_name);
        if (!ls_map_put(names, found->d_name, strlen(found->d_name), stamp, NULL)) ls_free(stamp);
    }
    closedir(stream);
    return names;
}

void ls__snapshot_take(struct ls_hotload *h, struct ls__dir *dir)
{
    ls__snapshot_free(dir);
    if (dir->placed >= LS__NAMES) dir->snapshot = ls__names_read(h, dir);
}
