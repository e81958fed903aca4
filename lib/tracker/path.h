/* Paths into objects (tracker.md section 3, page.md R2): parsed once, shared between variables with equal text.
 * Owner thread: the session's. */
#ifndef LS_TRACKER_PATH_H
#define LS_TRACKER_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "tracker/fault.h"

enum ls_step_kind { LS_STEP_FIELD, LS_STEP_INDEX, LS_STEP_CALL, LS_STEP_SETTER, LS_STEP_ROW };

struct ls_step {
    enum ls_step_kind kind;
    const char *name; /* field, call and setter: without the parentheses; NUL-terminated, owned by the path */
    size_t name_len;
    union {
        uint32_t index; /* LS_STEP_INDEX: 0-based */
        /* steps with a name, for the resolver's use: its handle of the name (kept once per distinct name), 0 = not
         * asked yet */
        uint32_t key;
        int64_t row; /* LS_STEP_ROW: the element's id; 0 = a number that is no id of any object */
    };
};

#define LS_PATH_MAX_BYTES 4096 /* T19 */
#define LS_PATH_MAX_STEPS 256

/* What following one step needs, in 8 bytes: kind << 32 | index, or the key of the name. */
typedef uint64_t ls_op;
#define LS_OP(kind, arg) ((ls_op)(kind) << 32 | (arg))

struct ls_path {
    uint32_t count; /* steps */
    uint32_t uses;  /* variables that share it */
    uint32_t climb; /* leading `..`: how many variables above the parent to start (T14) */
    bool calls;     /* some step is a call: reading runs Lua code (T65) */
    bool by_row;    /* the first step is `#ID`: it starts at an element of the list (R2) */
    struct ls_step *steps;
    const char *standard; /* leading `@name`, with the @; NULL if none (T15) */
    const char *text;     /* the path without query, as given */
    size_t text_len;
    ls_op code[]; /* one a step; the resolver puts its keys in */
};

/** Parse `text` without query (T11–T15, T19, R2) into one block, counted in `budget` (may be NULL); uses = 0. @return
 * owned (ls_budget_free), or NULL and fault (BAD_PATH, BAD_SETTER_CALL, INTERNAL) */
struct ls_path *ls_path_parse(const char *text, size_t len, struct ls_budget *budget, struct ls_fault *fault);
/** Bytes of `full` before the first `?`; *query and *query_len get what follows it, NULL if there is none (T16). */
size_t ls_path_split(const char *full, size_t len, const char **query, size_t *query_len);

#endif
