/* Shared inside the hot loader's room. All of `struct ls_hotload` below the line "-- settling thread only" belongs to
 * that thread (to the opening one before it starts), so nothing there needs a lock. See hotload.c for the threads.
 *
 * The shape: a *directory* is a real one, known by device and inode, with one kernel watch (H11). A *route* is the way
 * a path resolves at present: the names it hops over, each of which makes it lead elsewhere when it changes (H14–H18).
 * A *node* is a place in one of the trees of H6 at which a directory hangs. An event says no more than "look at this
 * name of this directory again". What changes trees and directories only asks for a *rescan*: all routes and trees are
 * looked at again when the records at hand have been read, and what differs from what is known counts as changed. */
#ifndef LS_HOTLOAD_HOTLOAD_INTERNAL_H
#define LS_HOTLOAD_HOTLOAD_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/map.h"
#include "hotload/hotload.h"
#include "hotload/watcher.h"

enum {
    /* a directory without uses keeps its kernel watch for 1 s: one that was moved away and back, or deleted, needs no
     * work */
    LS__CLEAN_UP_NS = 1000000000,
};

/* How closely a directory is watched. */
enum ls__level {
    LS__SELF,    /* only its own end or move: it lies on the way to something */
    LS__NAMES,   /* its names: one of them is a link of a route, or something is missing here */
    LS__CONTENT, /* its files */
    LS__LEVELS
};

/* What tells one version of a file from another (H85, H87). */
struct ls__stamp {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime;
    mode_t type; /* S_IFMT bits */
    mode_t may;  /* permissions: not part of the comparison */
    /* of a link in a polled directory: hash of what it says; of a text that is `young`: of it; else, or if it cannot be
     * read, 0 */
    uint64_t hash;
    /* when it was looked at it was younger than a step of the clock: its next change can have the same time */
    bool young;
    nlink_t links; /* its names: not part of the comparison */
};

struct ls__node;

struct ls__dir {
    dev_t dev;
    ino_t ino;
    char *path;   /* owned: its real path when it was resolved last */
    int wd;       /* kernel watch, 0 = none */
    int placed;   /* level of that watch or of polling; -1 none */
    bool polled;  /* H86–H88; where changes are made elsewhere too, besides its watch */
    bool refused; /* it is polled for a reason that may pass: its watch is tried again */
    bool told;    /* and the log has been told */
    /* its inode is gone, or the kernel dropped the watch: a directory of that number is another one */
    bool dead;
    unsigned uses[LS__LEVELS]; /* H11 */
    int64_t unused_ns;         /* since when it is watched more closely than needed, or needlessly; 0 = it is not */
    struct ls__node *nodes;    /* tree places at which it hangs */
    struct ls_map *snapshot;   /* polled: name -> struct ls__stamp */
};

/* One directory on a route's way. */
struct ls__hop {
    struct ls__dir *dir;
    char *name; /* owned: the name looked up */
    enum ls__level level;
};

/* A key under which sessions have loaded what a path led to when they did. */
struct ls__known_as {
    char *key; /* owned */
    unsigned uses;
    bool left; /* a burst has told them what to know it as instead */
};

struct ls__route {
    char *path; /* owned: the request path */
    unsigned refs;
    unsigned uses;        /* uses by sessions among them */
    unsigned wanted;      /* of these, by such as have found nothing to load here (H36) */
    struct ls__hop *hops; /* owned array */
    size_t hop_count;
    char *real; /* owned: final target; NULL = leads nowhere (H18) */
    bool is_dir;
    bool refused;                  /* it leads outside of `within`, and so nowhere */
    struct ls__stamp stamp;        /* of the target, as last resolved */
    char *key;                     /* owned: tracking key of a target that is a file; NULL */
    struct ls__tree *tree;         /* in which this path is a symlink (H14); NULL = it is none */
    char *burst_key;               /* owned: the key under which sessions know what this path leads to (H17); NULL */
    struct ls__known_as *known_as; /* owned: beside that, for a session may have looked before or after a change */
    size_t known_count, known_cap;
    bool renamed; /* the burst that is being gathered tells them `key` */
};

/* What the last walk of a tree has found. */
struct ls__places {
    struct ls__node **nodes; /* owned */
    size_t node_count, node_cap;
    struct ls__route **links; /* one use each */
    size_t link_count, link_cap;
};

struct ls__tree {
    char *path;              /* owned: <root>/lua … */
    bool views;              /* viewdefs/: files ending in .html count (H4) */
    struct ls__route *route; /* to its top, which need not exist (H8) */
    struct ls__places places;
};

struct ls__node {
    struct ls__tree *tree; /* NULL = of an earlier walk */
    char *path;            /* owned: request path, links unresolved */
    struct ls__dir *dir;
    struct ls__node *next; /* in dir->nodes */
};

/* Of pendingReloads: something has changed and waits for its quiet window. */
struct ls__pending {
    char *path;       /* owned: real path, or the request path of a route or view */
    int64_t first_ns; /* H28 counts from here */
    int64_t last_ns;  /* last event that (re)started the window */
    int64_t dirty_ns; /* last MODIFY or CREATE without CLOSE_WRITE (H21, H29); 0 = none */
    /* not before this time: an empty file may be about to be filled (H30), or somebody is writing it; 0 */
    int64_t hold_ns;
    int64_t empty_ns; /* found empty first at this time; 0 */
    bool waiting;     /* pending; else only dirty */
    bool absent;      /* was deleted or moved away */
    bool polled;      /* no CLOSE_WRITE will tell (H22) */
    bool open;        /* somebody was writing it when it was looked at last */
    bool told;        /* the log has been told, and no other file waits for it */
    bool handled;     /* it is in the burst that is being gathered */
    bool unasked;     /* no event has come: it is looked at because its directory was not watched before */
};

enum { LS__TREES = 3 };
extern const char *const ls__tree_names[LS__TREES]; /* below the root; viewdefs/ is the last */

struct ls__message;

struct ls_hotload {
    /* -- immutable after open */
    char *place;         /* owned: the site as it is named, in front of all request paths of its trees */
    const char *within;  /* NULL, or what lies outside is not looked at (L13); borrowed */
    int64_t debounce_ns; /* -1 = the two windows of H23 */
    bool poll_all;       /* also where events could come */
    int64_t poll_ns;     /* how often (H87) */
    void *ctx;
    void (*on_burst)(void *ctx, struct ls_burst *burst);
    struct ls__watcher *watcher; /* owned; NULL when everything is polled */
    pthread_t thread;
    int wake_fd;   /* owned: ends the settling thread's sleep */
    int mounts_fd; /* owned: the kernel's table of mounts; -1 = it cannot be read */
    /* -- protected by lock */
    pthread_mutex_t lock;
    bool asleep;         /* the settling thread waits in ls__sleep */
    pthread_cond_t done; /* an answer of the settling thread */
    struct ls__message *first, *last;
    size_t queued;
    bool lost; /* records were dropped: look at everything again */
    bool stop;
    uint64_t marks_seen; /* last mark that has passed through the queue */
    bool mark_idle;      /* nothing was pending when it did */
    /* -- protected by idle_lock */
    pthread_mutex_t idle_lock;
    uint64_t marks;
    /* -- settling thread only */
    char *root;                    /* owned: what `place` leads to */
    struct ls_map *dirs;           /* device and inode -> struct ls__dir */
    struct ls_idmap *wds;          /* kernel watch -> struct ls__dir */
    struct ls_map *routes;         /* request path -> struct ls__route */
    struct ls_map *pendingReloads; /* path -> struct ls__pending (section 5) */
    struct ls_map *known; /* real path of a Lua or view file -> struct ls__stamp handed over or found last (H85) */
    /* real path of a known file with a second name (hard link) -> itself: what is written by the other one gives no
     * event here, and so it is polled */
    struct ls_map *linked;
    /* path of a folder that could not be looked into -> itself: what is known of it stays, and it is tried again */
    struct ls_map *closed;
    struct ls_map *views;      /* request path of a view file -> real path that it led to when it was handed over */
    struct ls_map *unreadable; /* path -> itself: reported, until it can be read again (H32) */
    struct ls_idmap *sessions; /* number -> its uses */
    struct ls__tree trees[LS__TREES];
    bool opening;  /* what is there counts as known */
    bool rescan;   /* look at all routes and trees again */
    bool renew;    /* the same, and set all watches again: events were lost */
    size_t polled; /* directories that are polled */
    bool polling;  /* what ls__event_name is told of was found by a poll */
    size_t unused; /* directories waiting to be let go */
    int64_t poll_due_ns;
    int64_t mounts_ns;                     /* the table of mounts is not looked at before */
    int64_t lock_since_ns;                 /* a burst has been held back since (H84); 0 */
    struct ls__stamp stale_lock;           /* a git lock that outlived its 2 s: ignored until it changes */
    bool told_limit, told_fs, told_linked; /* once each (H86, H88) */
    bool starved; /* no file could be opened when one was to be read, and the log has been told */
};

/* --- disk.c --- */
/** Take the stamp of a file or directory from its stat. */
void ls__stamp_of(struct ls__stamp *stamp, const struct stat *info);
/** Does this errno say that no file can be opened for want of descriptors? Then err says what to do. */
bool ls__is_starved(int error, struct ls_err *err);
/** A folder cannot be looked into for this errno: said once, and tried again with each ls__poll. */
void ls__note_closed(struct ls_hotload *h, const char *path, int error);
/** The hash of a text, for a stamp that is young; 0 = it cannot be read. `within` as ls_file_open's. */
uint64_t ls__hash_text(const char *within, const char *path);
/** Is it the same file with the same content, as far as stamps tell? */
bool ls__stamp_equal(const struct ls__stamp *a, const struct ls__stamp *b);
/** What is at `path` itself, be it a link? A placeholder (ls_is_placeholder) is nothing yet.
 * @return false with an errno, EACCES: it cannot be told */
bool ls__look(const char *path, struct stat *info);
/** Has somebody opened this file for writing and not closed it yet (H29)? A read lease is refused while that is so. Of
 * files of other users, and where there are no leases, nothing is known: false. @param fd  open for reading only */
bool ls__has_writer(int fd);
/** H20: locks, back-ups and temporary files of editors. */
bool ls__name_ignored(const char *name);
/** The names in a directory and their stamps, with hashes of texts that are young, or were so in its snapshot.
 * @return owned, ls_map_free(…, ls_free); NULL when it cannot be read, or without memory */
struct ls_map *ls__names_read(struct ls_hotload *h, const struct ls__dir *dir);
/** What is in the directory now, for ls__poll to compare with (H87); of one that is watched for itself alone nothing.
 * */
void ls__snapshot_take(struct ls_hotload *h, struct ls__dir *dir);
/** The directory is polled no more. */
void ls__snapshot_free(struct ls__dir *dir);
/** Is `path` on a file system that does not report changes made elsewhere (H88)? *name: what it is called, static. */
bool ls__fs_is_remote(const char *path, const char **name);
/* --- dirs.c --- */
/** Count one use of the directory at `path`, whose stat `info` is. *fresh (may be NULL) is set when its watch has been
 * set or raised just now, so that the caller looks again at what it found before. @return NULL when it has gone, or
 * without memory */
struct ls__dir *ls__dir_use(struct ls_hotload *h, const char *path, const struct stat *info, enum ls__level level,
                            bool *fresh);
/** One use less; a directory without any is let go after a while. */
void ls__dir_unuse(struct ls_hotload *h, struct ls__dir *dir, enum ls__level level);
/** The record of a directory, by device and inode (H11). NULL = it is not watched. */
struct ls__dir *ls__dir_find(struct ls_hotload *h, const struct stat *info);
/** The one that is at `path` now (H11). NULL = none, or it is not watched. */
struct ls__dir *ls__dir_at(struct ls_hotload *h, const char *path);
/** Try to watch a directory again that was `refused`; polled meanwhile, it has been looked at just now. */
void ls__dir_retry(struct ls_hotload *h, struct ls__dir *dir);
/** It is gone (H13): taken out of the tables, and freed with its last use; a rescan lets the uses go. */
void ls__dir_kill(struct ls_hotload *h, struct ls__dir *dir);
/** Events were lost: a directory may have been removed and made again with the same number, and its watch went with the
 * first one (H85). Watches that the kernel does not have any more are set anew, or all if it does not tell; what is not
 * at its path any more is taken out. */
void ls__dirs_renew(struct ls_hotload *h);
/** Let directories go whose last use went a while ago, and quieten those that need no more than a guard. By now a
 * directory that was deleted has said so, and the kernel is not asked to drop a watch that it has dropped itself. */
void ls__dirs_clean_up(struct ls_hotload *h, int64_t now);
/** The watcher has failed: everything is polled from now on. */
void ls__dirs_poll_all(struct ls_hotload *h);
/** Frees all records at the hot loader's end, whatever still uses them. */
void ls__dirs_free(struct ls_hotload *h);
/** Its uses of all levels. */
unsigned ls__dir_count(const struct ls__dir *dir);
/* --- routes.c --- */
/** The route of a request path, resolved when it is new. @return one more use, ls__route_unref(); NULL without memory
 * */
struct ls__route *ls__route_ref(struct ls_hotload *h, const char *path);
/** One use less; the last one frees it. NULL accepted. */
void ls__route_unref(struct ls_hotload *h, struct ls__route *route);
/** Resolve anew. @return does it lead somewhere else, or to something else of the same name? */
bool ls__route_resolve(struct ls_hotload *h, struct ls__route *route);
/** Does what this route leads to matter as a file? */
bool ls__route_counts(const struct ls__route *route);
/** Does its way look `name` up in this directory? */
bool ls__route_looks_at(const struct ls__route *route, const struct ls__dir *dir, const char *name);
/** Say of a link in a tree that it is left out, if it leads outside of the site and must not. */
void ls__route_tell_refused(const struct ls__route *route);
/** Look at what the site's own path leads to: keys are relative to that (L26). Before routes are resolved. */
void ls__root_look(struct ls_hotload *h);
/* --- trees.c --- */
/** Walk the trees of H6 and set their watches; what is there counts as known. @return 0; LS_ENOMEM and err: close them
 * all the same */
int ls__trees_open(struct ls_hotload *h, struct ls_err *err);
/** Gives back what ls__trees_open has taken. */
void ls__trees_close(struct ls_hotload *h);
/** Walk a tree as its route leads at present. What is found is handed to ls__pend_found, links and folders get their
 * watches before they are looked at (H9). */
void ls__tree_walk(struct ls_hotload *h, struct ls__tree *tree);
/** Is a view file at this request path? A second way to a folder that has its place elsewhere leads to none. */
bool ls__view_there(struct ls_hotload *h, const char *path);
/* --- events.c --- */
/** One record of the watcher (H21): what happened to a directory or a name in it, that events were lost, or that the
 * watcher has failed. */
void ls__event(struct ls_hotload *h, const struct ls__record *record);
/** Something happened to `name` in `dir`. */
void ls__event_name(struct ls_hotload *h, struct ls__dir *dir, uint32_t mask, const char *name);
/** The rescan that was asked for, if one was. */
void ls__look_again(struct ls_hotload *h);
/* --- poll.c --- */
/** Is anything polled? */
bool ls__polls(const struct ls_hotload *h);
/** One pass over all polled directories and files: what differs is treated like an event. */
void ls__poll(struct ls_hotload *h);
/* --- pending.c --- */
/** (Re)start the quiet window of a path (H23). @return borrowed; NULL without memory */
struct ls__pending *ls__pend(struct ls_hotload *h, const char *path);
/** Look at a path that may have changed before anybody watched it: no person waits for an answer. */
void ls__pend_unasked(struct ls_hotload *h, const char *path);
/** A writer is at work; a running window starts again (H21). */
void ls__pend_dirty(struct ls_hotload *h, const char *path);
/** It is not there any more: that is told only if it stays so. */
void ls__pend_absent(struct ls_hotload *h, const char *path);
/** A file was found: it counts as changed if it is `fresh`, or not as it was known, and does not wait already. While
 * opening it is taken note of. */
void ls__pend_found(struct ls_hotload *h, const char *real, const struct ls__stamp *stamp, bool fresh);
/** Remember how a file looked when it was handed over or found (H85); copied. */
void ls__know(struct ls_hotload *h, const char *real, const struct ls__stamp *stamp);
/** Remember what the request path of a view file leads to; copied. NULL = it is gone. */
void ls__view_know(struct ls_hotload *h, const char *path, const char *real);
/** Frees all that is pending at the hot loader's end; nothing is handed over. */
void ls__pending_free(struct ls_hotload *h);
/** Does the path lead to something? What lies outside of `within` is not asked. */
bool ls__is_there(const struct ls_hotload *h, const char *path);
/** It is dealt with. */
void ls__pending_drop(struct ls_hotload *h, struct ls__pending *pending);
/* --- settle.c --- */
/** When ls__pending_settle has something to do; INT64_MAX = not before the next event. */
int64_t ls__pending_due(struct ls_hotload *h, int64_t now);
/** Hand the burst over if it is due (H24, H27). */
void ls__pending_settle(struct ls_hotload *h, int64_t now);
/* --- burst.c --- */
enum ls__read {
    LS__READ_OK,
    LS__READ_GONE,
    LS__READ_UNSTABLE, /* it has changed while it was read */
    LS__READ_OPEN,     /* somebody is writing it (ls__has_writer) */
    LS__READ_STARVED,  /* no file can be opened just now */
    LS__READ_FAILED
};
/** Read a file of which nobody is writing a part (H29): open, look, read, look again, look at the path again. `within`
 * as ls_file_open's. *text is owned on LS__READ_OK, else NULL; err is filled on LS__READ_FAILED and
 * LS__READ_STARVED only. */
enum ls__read ls__read_stable(const char *within, const char *path, struct ls_bytes **text, struct ls__stamp *stamp,
                              struct ls_err *err);
/** All copied; the text gets one more use. `old_key` NULL unless a link leads elsewhere now (H17). False without
 * memory. */
bool ls__burst_add_lua(struct ls_burst *burst, const char *key, const char *old_key, const char *path,
                       struct ls_bytes *text);
/** Take a Lua file out again. */
void ls__burst_remove(struct ls_burst *burst, size_t index);
/** Copied; the text (NULL = gone) gets one more use. False without memory. */
bool ls__burst_add_view(struct ls_burst *burst, const char *path, struct ls_bytes *text);
/** An empty burst. @return use count 1, ls_burst_unref(); NULL without memory */
struct ls_burst *ls__burst_new(void);
/** Sort files by key and views by path: one order, whatever the events' was (H37). */
void ls__burst_sort(struct ls_burst *burst);
/* --- wake.c --- */
/** Make the descriptors. @return 0; LS_EIO and err: close them all the same */
int ls__wake_open(struct ls_hotload *h, struct ls_err *err);
/** Gives back what ls__wake_open has taken. */
void ls__wake_close(struct ls_hotload *h);
/** There is something for the settling thread. Any thread, with the lock held. */
void ls__wake(struct ls_hotload *h);
/** Wait for ls__wake, for a change of the table of mounts, which asks for a rescan, or until `due` (INT64_MAX: without
 * end). With the lock held, which is given up meanwhile. */
void ls__sleep(struct ls_hotload *h, int64_t due);
/** Ask for a rescan if the table of mounts has changed since it was asked last. */
void ls__mounts_look(struct ls_hotload *h);
/* --- uses.c --- */
/** As ls_hotload_loaded and, with `wanted`, ls_hotload_wanted; this and what follows runs on the settling thread. */
void ls__uses_loaded(struct ls_hotload *h, int64_t session, const char *key, char *const *paths, size_t count,
                     bool wanted);
/** As ls_hotload_unloaded. */
void ls__uses_unloaded(struct ls_hotload *h, int64_t session, const char *key);
/** As ls_hotload_directory_unloaded: the directory of a key is what precedes its last '/'. */
void ls__uses_directory(struct ls_hotload *h, int64_t session, const char *dir);
/** As ls_hotload_session_ended. */
void ls__uses_ended(struct ls_hotload *h, int64_t session);
/** Frees all uses at the hot loader's end. */
void ls__uses_free(struct ls_hotload *h);
/* --- hotload.c --- */
/** A record for the settling thread; copied. Those that are too many are dropped, and everything is looked at again
 * (H85). Watcher thread, and tests. */
void ls__record_push(struct ls_hotload *h, const struct ls__record *record);

/* Replaceable by tests: what the kernel says. */
struct ls__hotload_seams {
    /* a name = that file system reports no changes; NULL = ask the kernel */
    const char *(*remote_fs)(const char *path);
    int (*watch_error)(void); /* an errno to fail with; NULL = none */
    bool no_leases;           /* nothing is known of writers */
    int poll_ms;              /* how often is polled where that is needed; 0 = as usual */
};
extern struct ls__hotload_seams ls__hotload_seams;

#endif
