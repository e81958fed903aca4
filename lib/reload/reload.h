/* The reload transaction of one session (hotload.md sections 7 to 12): a burst of changed files becomes one indivisible
 * step.
 * Owner thread: the session's. */
#ifndef LS_RELOAD_RELOAD_H
#define LS_RELOAD_RELOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "vm/vm.h"

/* One Lua file of a burst; immutable, shared by all sessions. */
struct ls_reload_file {
    const char *key; /* tracking key (L26) */
    /* a link was re-pointed: the key under which it was known before (H17), "" = whichever; else NULL */
    const char *old_key;
    const char *path;      /* absolute path that was asked for */
    struct ls_bytes *text; /* the content; NULL = the file is gone (H31) */
    uint64_t hash;         /* ls_hash of the text */
};

enum ls_reload_outcome {
    LS_RELOAD_OK,      /* ran; session carries the new code */
    LS_RELOAD_SKIPPED, /* not loaded here, unchanged, unloaded meanwhile; `text` says why (H33, H35) */
    LS_RELOAD_FAILED,  /* did not compile or raised: rolled back (H58, H59) */
    LS_RELOAD_FIRST,   /* a first load that had failed before was tried again (H36) */
};

struct ls_reload_result {
    char *key; /* owned */
    enum ls_reload_outcome outcome;
    char *text;      /* owned: error text with key:line:, or reason of a skip; NULL */
    char *traceback; /* owned; NULL */
    int line;        /* of the error, 0 = unknown */
    char *details;   /* owned: `Ship +1 -1 fields, 2 methods removed (a, b)`; NULL */
    /* What became of the data at the file's places (H49, R18). */
    unsigned kept;      /* the run's value stays although the file gives another */
    unsigned taken;     /* it took the value that was edited */
    unsigned set_aside; /* its place is gone from the file; the value waits for its return */
    unsigned restored;  /* its place has come back, and the value with it */
    unsigned gave_way;  /* what the run had put there was lost to the edit: named in `losses` */
    char *losses;       /* owned: lines `3 run-time rows of "items" gave way to your edit`; NULL */
};

struct ls_reload_report {
    struct ls_reload_result *results; /* owned */
    size_t count, cap;
    bool ran;   /* at least one chunk ran: detection must follow (H70) */
    int64_t ns; /* duration of the transaction without detection */
};
/** An empty report; needs no memory. */
void ls_reload_report_init(struct ls_reload_report *report);
/** Frees the results; the report is empty and can be used again. */
void ls_reload_report_release(struct ls_reload_report *report);

/** Would anything of the burst concern this session? Asks records only, touches no VM (H33, H35, H36). */
bool ls_session_reload_wanted(const struct ls_session *session, const struct ls_reload_file *files, size_t count);
/** Has one of the files functions on the running stack, and another text than what the session runs as it: what it is
 * loading just now, or has loaded last (R17)? Its key is put into stack->saved. Asks records only, also in the middle
 * of Lua code. */
bool ls_session_reload_ends(struct ls_stack_files *stack, const struct ls_reload_file *files, size_t count);
/** H39 steps 1 to 6. Never fails as a whole: each file has its result. */
int ls_session_reload(struct ls_session *session, const struct ls_reload_file *files, size_t count,
                      struct ls_reload_report *report, struct ls_err *err);

/** Has a reload replaced tables or functions that somebody else may still hold, or left much garbage? Then
 * ls_session_reload_settle is to run, when what the reload has changed is out. */
bool ls_session_reload_unsettled(const struct ls_session *session);
/** Give those who hold such a one what took its place (H49), and collect. Takes as long as a full collection. */
void ls_session_reload_settle(struct ls_session *session);

#endif
