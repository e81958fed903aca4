/* LuaHotLoader: watches the site's files and everything its sessions have loaded, settles what changed into bursts, and
 * hands each burst over once (hotload.md). It never waits for a VM; it knows sessions only by number.
 *
 * Threads: one watcher thread is the only caller of libinotifytools (it waits and forwards), one settling thread does
 * the timing and reading. Functions here may be called from any thread. */
#ifndef LS_HOTLOAD_HOTLOAD_H
#define LS_HOTLOAD_HOTLOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "reload/reload.h"

struct ls_hotload;

/* A view file of a burst (H73–H81). In a burst those that are gone come first. */
struct ls_view_file {
    const char *path;      /* absolute request path below viewdefs/ */
    struct ls_bytes *text; /* NULL = gone */
};

/* What happened together (H27); immutable, shared by all sessions. */
struct ls_burst {
    struct ls_reload_file *files;
    size_t file_count, file_cap;
    struct ls_view_file *views;
    size_t view_count, view_cap;
    int64_t first_event_ns; /* monotonic time of the first event */
    /* all files of a site, and nobody has named them: what no session has loaded is not worth a word */
    bool whole;
    /* no event, only a second look at files that were loaded from where nothing was watched yet (H7) */
    bool unasked;
    atomic_uint refs; /* internal */
};
/** One more use. NULL accepted. @return the burst */
struct ls_burst *ls_burst_ref(struct ls_burst *burst);
/** One use less; the last one frees it. NULL accepted. Any thread. */
void ls_burst_unref(struct ls_burst *burst);

struct ls_hotload_config {
    const char *root; /* as ls_path_place; its links are followed as they are re-pointed */
    /* what lies outside is neither walked, watched nor read: ls_path_within's; NULL or `root`, borrowed until close
     * (L13) */
    const char *within;
    int64_t debounce_ms; /* -1 = 5 ms alone, 20 ms together (H23) */
    int64_t poll_ms;     /* 0 = only where events are missing (H87) */
    void *ctx;
    /** A settled burst; called on the settling thread, must not block. The burst is borrowed: ref to keep. */
    void (*on_burst)(void *ctx, struct ls_burst *burst);
};

/** Watches are in place on return (H94). @return NULL and err: the server goes on without hot reload */
struct ls_hotload *ls_hotload_open(const struct ls_hotload_config *config, struct ls_err *err);
/** Ends within 1 s (H95). */
void ls_hotload_close(struct ls_hotload *hotload);

/* Uses by sessions; `session` is the caller's number for it (H36, H90–H93). Paths absolute, links unresolved. */
/** The session has loaded `key` by way of these paths: they are watched from now on (H7). */
void ls_hotload_loaded(struct ls_hotload *hotload, int64_t session, const char *key, const char *const *paths,
                       size_t count);
/** The first load has failed: the paths are where it looked, and a change of one is worth another try (H36). */
void ls_hotload_wanted(struct ls_hotload *hotload, int64_t session, const char *key, const char *const *paths,
                       size_t count);
/** The session follows `key` no longer (H90). */
void ls_hotload_unloaded(struct ls_hotload *hotload, int64_t session, const char *key);
/** The session follows no key in `dir` any more, a key's directory or an absolute path (H91). */
void ls_hotload_directory_unloaded(struct ls_hotload *hotload, int64_t session, const char *dir);
/** The session follows nothing any more (H93). */
void ls_hotload_session_ended(struct ls_hotload *hotload, int64_t session);

/** `lsess reload`: files as one burst (C1, H2). Sessions leave out what they have not loaded (H33) or what is unchanged
 * (H35). Needs no hot loader. Reads files, and waits up to 0.5 s for one that is being written. Thread: any.
 * @param within  as ls_path_within's
 * @param root  as ls_path_place
 * @param all  all files of lua/, apps/ and viewdefs/, and those of `names` that exist; else exactly `names`
 * @param names  keys, absolute paths, or names below the root, lua/ or viewdefs/
 * @return use count 1, ls_burst_unref(); NULL and err (LS_ENOTFOUND names the file) */
struct ls_burst *ls_burst_of(const char *within, const char *root, bool all, const char *const *names, size_t count,
                             struct ls_err *err);
/** H101; waits for the settling thread unless called on it:
 * {"directories":[{"path","uses","polled"}],"pendingReloads":[…],"symlinkTargets":[{"path","target"}]} appended. */
int ls_hotload_state_json(struct ls_hotload *hotload, struct ls_buf *out);
/** For tests: everything pending has been handed over and no event is unread. */
bool ls_hotload_idle(struct ls_hotload *hotload);

#endif
