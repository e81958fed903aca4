/* What a burst of changed files came to in all sessions together, and how people are told (H97, H98; C2).
 *
 * Results are noted by key, however many sessions had them: a thousand sessions that ran a file are one line. Nothing
 * here locks; the burst's collector (reload.c) does. */
#ifndef LS_SERVER_SAVES_H
#define LS_SERVER_SAVES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "hotload/hotload.h"
#include "protocol/save_result.h"
#include "reload/reload.h"

struct ls_server;

/* One file. */
struct save_note {
    char *key;    /* owned: tracking key, or base name of a view file */
    unsigned ran; /* sessions in which it ran */
    unsigned failed;
    unsigned unchanged;           /* sessions that run this text already */
    bool first;                   /* a first load that had failed before has succeeded (H36) */
    char *details;                /* owned: of the session that was first to tell; NULL */
    struct ls_reload_result most; /* its figures: each of the session that has most */
    struct ls_save_losses losses;
};

/* One distinct failure, however many sessions had it. */
struct save_failure {
    char *key, *text, *traceback; /* owned; traceback may be NULL */
    int line;
    unsigned sessions;
    bool news; /* not told before */
};

/* Empty when all zero. */
struct saves {
    struct save_note *notes;
    size_t count, cap;
    struct save_failure *failures;
    size_t failure_count, failure_cap;
    unsigned sessions; /* in which something ran or failed */
    unsigned failed_sessions;
    unsigned unchanged; /* sessions that have such a file and found nothing new */
    unsigned pages;     /* sessions with pages that view files went to */
    size_t views;       /* view files with a new text */
    bool command;       /* somebody asked for it: files that nobody needs are not named */
    bool quiet;         /* no save, only a second look: told only if it came to something */
};

/** Frees the notes. */
void ls__saves_release(struct saves *saves);
/** Note what one session reported. Without memory the note is left out. */
void ls__saves_add(struct saves *saves, const struct ls_reload_report *report);
/** A view file that cannot be used (H78). @param file  its base name */
void ls__saves_add_view_failure(struct saves *saves, const char *file, const char *text);
/** Tell the terminal and the log, once. Any thread, once the last session has reported. */
void ls__saves_tell(struct ls_server *server, const struct ls_burst *burst, struct saves *saves);

#endif
