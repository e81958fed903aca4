/* The batcher's queue of one connection (protocol.md section 7): messages are written one behind the other straight
 * into the text of the frame that will carry them, so a flush copies once and joins nothing (P65).
 * Owner thread: that of the session. */
#ifndef LS_PROTOCOL_OUTGOING_H
#define LS_PROTOCOL_OUTGOING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/map.h"

/* equal errors that one frame tells: each failed message has its own (P103), a flood of them fills nothing */
#define LS_EQUAL_MAX 32

struct ls_outgoing_message {
    size_t start, len; /* span in the text */
    int64_t id;        /* the variable as the client knows it, 0 = none */
    int64_t key;       /* of ls_outgoing_end_equal, 0 = none */
    bool dropped;      /* not to be sent any more */
};

struct ls_outgoing {
    struct ls_buf text;                   /* '[' and the messages with commas between */
    struct ls_outgoing_message *messages; /* owned */
    size_t count, room;
    size_t dropped;         /* messages marked so */
    size_t answers;         /* bytes of those that answer a question, as their writer counts them */
    struct ls_idmap *ended; /* ids whose destroy notice is queued; NULL until one is (P97) */
    /* key → LS_EQUAL_MAX times 1 + the last one's place in `messages`, and how many are before it */
    struct ls_idmap *equal;
    bool lost; /* without memory: messages are missing */
};

/** What it holds is counted in the budget (NULL: nowhere), and may go beyond the limit by LS_BUDGET_SPARE. */
void ls_outgoing_init(struct ls_outgoing *out, struct ls_budget *budget);
/** What it holds is freed; it is empty and can be used again. */
void ls_outgoing_release(struct ls_outgoing *out);
/** Empties, keeps memory. */
void ls_outgoing_clear(struct ls_outgoing *out);
/** Begin a message: write it into the buffer returned (nothing else may be done to it), then call ls_outgoing_end. */
struct ls_buf *ls_outgoing_begin(struct ls_outgoing *out);
/** @param id  the variable it is about, 0 = none */
void ls_outgoing_end(struct ls_outgoing *out, int64_t id);
/** A whole message that has been written elsewhere; copied. */
void ls_outgoing_add(struct ls_outgoing *out, int64_t id, const char *text, size_t len);
/** The same for a message that says what earlier ones of the same `key` say: of those that wait the first LS_EQUAL_MAX
 * - 1 and the last are sent. Without memory all are. @param key  not 0 */
void ls_outgoing_end_equal(struct ls_outgoing *out, int64_t id, int64_t key);
/** Take back the messages from the one at `index` on, which the caller has written last: none of them is a notice, none
 * has been postponed since. */
void ls_outgoing_cut(struct ls_outgoing *out, size_t index);
/** The destroy notice of `id` has just been queued. */
void ls_outgoing_ended(struct ls_outgoing *out, int64_t id);
/** Does the queue hold the destroy notice of `id`? Who creates it again then begins a new life, and nothing about the
 * old one may follow the notice (P97). */
bool ls_outgoing_has_ended(const struct ls_outgoing *out, int64_t id);
/** Send the message at `index` again, behind all others, instead of where it stands. */
void ls_outgoing_postpone(struct ls_outgoing *out, size_t index);
/** The frame: a bare object for one message, an array for several (P65); the queue is empty afterwards.
 * @return use count 1; NULL if there is nothing to send, or without memory (then `lost` is set and the queue emptied)
 * */
struct ls_bytes *ls_outgoing_take(struct ls_outgoing *out);
/** The messages as a JSON array, `[]` if none, appended to `to`; the queue is empty afterwards (P118). @return how many
 * */
size_t ls_outgoing_drain(struct ls_outgoing *out, struct ls_buf *to);
/** Is there anything to send? */
static inline bool ls_outgoing_any(const struct ls_outgoing *out)
{
    return out->count > out->dropped;
}

#endif
