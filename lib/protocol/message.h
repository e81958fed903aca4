/* Messages of the wire protocol (protocol.md sections 4, 5, 7): parsing incoming frames, writing outgoing messages.
 * Values are kept as spans of the frame's own text, unread.
 * Thread: any; a batch belongs to whoever parsed it and is handed over whole. */
#ifndef LS_PROTOCOL_MESSAGE_H
#define LS_PROTOCOL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "tracker/fault.h"
#include "tracker/tracker.h"

enum ls_message_type {
    LS_MSG_INVALID, /* could not be understood: `fault` says why, it is answered with an error and nothing else */
    LS_MSG_CREATE,
    LS_MSG_UPDATE,
    LS_MSG_DESTROY,
    LS_MSG_WATCH,
    LS_MSG_UNWATCH,
    LS_MSG_ERROR,
    LS_MSG_GET,
    LS_MSG_GET_OBJECTS,
    LS_MSG_POLL,
};

#define LS_POLL_MAX_MS 60000                     /* P118 */
#define LS_TAB_DIGITS  32                        /* R8 */
#define LS_SEQ_MAX     INT64_C(9007199254740991) /* 2^53 - 1: a page counts in doubles */

struct ls_message {
    enum ls_message_type type;
    int64_t id;     /* variable id (`id` or `varId`, P46), 0 = absent */
    int64_t parent; /* create */
    bool has_value, nowatch;
    const char *value; /* span of the frame's text (P47: absent and null differ) */
    size_t value_len;
    struct ls_prop *props; /* in message order */
    size_t prop_count;
    int64_t *ids; /* get, getObjects */
    size_t id_count;
    /* What only our client says (R8); other connections have it ignored. */
    const char *tab;                /* watch: LS_TAB_DIGITS of the tab's token, not terminated; NULL = no `client` */
    int64_t seq;                    /* update: number of the write, 0 = none */
    bool has_of;                    /* update: the object is named that the write was meant for */
    int64_t of;                     /* its id, 0 = there was none */
    const char *mark_problem;       /* static text: what is wrong with these fields; NULL = nothing */
    int64_t wait_ms;                /* poll; -1 = absent, at most LS_POLL_MAX_MS */
    const char *code, *description; /* error from a client */
    struct ls_fault *fault;         /* LS_MSG_INVALID */
};

struct ls_batch {
    bool user_event;
    struct ls_message *messages;
    size_t count;
    struct ls__arena *arena; /* internal: the batch, all that it points to, and the frame's copy live there */
};

/** Parse one frame; `text` is copied, so the batch owns all it points to. Never fails for bad input: what cannot be
 * understood becomes LS_MSG_INVALID messages (P43–P47, section 17). Ids of one message are told once each.
 * @param budget  counts what the batch takes as waiting, until it is freed; NULL = nobody does
 * @param type  NULL, or that of the one message whose fields the text is: the address of an API call names it (P24)
 * @param max_messages  a frame of more, or of more than a hundred values (objects, arrays, what stands in them) for
 * each of them, a million at least, is refused before anything of it is kept; 0 = no limit
 * @param bad_json  may be NULL; is the text no JSON?
 * @return owned, ls_batch_free(); NULL without memory, or at the budget's limit */
struct ls_batch *ls_batch_parse(struct ls_budget *budget, const char *type, const char *text, size_t len,
                                size_t max_messages, bool *bad_json);
/** Bytes that the batch takes. */
size_t ls_batch_bytes(const struct ls_batch *batch);
/** Frees the batch with all that it owns. NULL accepted. */
void ls_batch_free(struct ls_batch *batch);

/** Did the client say `"properties":{"NAME…":…}`? The last one of that name, or NULL. */
const struct ls_prop *ls_message_prop(const struct ls_message *message, const char *name);

/* Writing; each appends one message in nested form. */
/* What an update tells our client besides (R8). All zero = nothing. */
struct ls_answer {
    int64_t seq; /* number of the last write that has been handled, 0 = left out */
    bool has_of; /* the place of the variable has come to lie in another object: */
    int64_t of;  /* its id, 0 = null */
};
/** @param value_json  NULL = no value. `names`/`values`: properties, "" = removed. `answer`: NULL = nothing */
void ls_write_update(struct ls_buf *out, int64_t id, const char *value_json, size_t value_len, const char *const *names,
                     const char *const *values, size_t count, const struct ls_answer *answer);
/** The notice that a variable has gone (P96). */
void ls_write_destroy(struct ls_buf *out, int64_t id);
/** id 0 is left out (P98). */
void ls_write_error(struct ls_buf *out, int64_t id, const char *code, const char *description);
/** The answers to `get` and `getObjects` (P116, P117): TYPE is "get" or "getObjects", DATA the text of the data object.
 * */
void ls_write_answer(struct ls_buf *out, const char *type, const char *data, size_t len);

#endif
