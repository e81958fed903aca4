/* What a session reports of one file of a save, in words and as JSON: for the terminal, the log, the control socket and
 * pages (H49, H97, R18). Thread: any. */
#ifndef LS_PROTOCOL_SAVE_RESULT_H
#define LS_PROTOCOL_SAVE_RESULT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "reload/reload.h"

/** "ok", "skipped", "failed", "first". */
const char *ls_save_outcome(enum ls_reload_outcome outcome);
/** The figures of what became of data: the greater of each goes into `most`. */
void ls_save_most(struct ls_reload_result *most, const struct ls_reload_result *result);
/** Append `3 kept, 1 taken, 1 set aside`, without what is 0; nothing when all is.
 * @param before  comes in front of it */
void ls_save_write_figures(struct ls_buf *out, const struct ls_reload_result *result, const char *before);
/** Append a member for each figure. */
void ls_save_put_figures(struct ls_buf *json, const struct ls_reload_result *result);
/** Append key, outcome, text and details as members and, of a file that has run, figures and losses. */
void ls_save_put_result(struct ls_buf *json, const struct ls_reload_result *result);
/** The next line of `losses` that is not empty.
 * @param at  where to look, NULL = nowhere; moved behind the line
 * @return its beginning, and its length in *len; NULL = there is none */
const char *ls_save_next_loss(const char **at, size_t *len);

/* What several sessions have lost of one file; empty when all zero. */
struct ls_save_losses {
    struct ls_save_loss {
        char *text;        /* owned */
        unsigned sessions; /* that have lost just this */
    } * items;
    size_t count, cap;
    unsigned more; /* different ones that were not kept: there are as many as sessions have something else */
};

/** Add what one session has lost. What there is no room or memory for is counted. */
void ls_save_losses_add(struct ls_save_losses *losses, const struct ls_reload_result *result);
/** Append an array `losses` of objects with `text` and `sessions`, if there are any. */
void ls_save_put_losses(struct ls_buf *json, const struct ls_save_losses *losses);
/** Free what it holds. */
void ls_save_losses_release(struct ls_save_losses *losses);

#endif
