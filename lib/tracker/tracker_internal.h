/* What the files of this room share: the tracker's and the variables' bodies. Owner thread: the session's. */
#ifndef LS_TRACKER_TRACKER_INTERNAL_H
#define LS_TRACKER_TRACKER_INTERNAL_H

#include <string.h>

#include "base/map.h"
#include "tracker/tracker.h"

#define LS__MAX_DEPTH      1000 /* TX34 */
#define LS__MAX_PASSES     4    /* T84 */
#define LS__MAX_DIAGS      100  /* T97 */
#define LS__MAX_DIAG_BYTES 1000
#define LS__PROPS_PLAIN    8 /* so many properties are found as fast by looking at each */
#define LS__TICK_SHIFT     3 /* 32 bits of time stamps are then more than 10 s, in steps of a few nanoseconds */

/* A variable whose path begins with `#ID` (R2). INSIDE: its object is an element of the list that the parent shows.
 * OUTSIDE: it was one, and what the variable and its subtree remember must not keep it alive. */
enum ls__row { LS__ROW_NOT, LS__ROW_NEVER, LS__ROW_INSIDE, LS__ROW_OUTSIDE };

/* WRAPPER: it could not be brought in line for want of memory. KEYS: the elements of the list have ids by key, which
 * may change inside (R4). */
enum { LS__DUE_WRAPPER = 1, LS__DUE_KEYS = 2 };

struct ls__prop {
    char *name; /* owned; the value follows the name's NUL in the same block */
    char *value;
    uint32_t name_len;
    uint8_t priority; /* enum ls_priority */
    bool changed;     /* waits for the change list (T87) */
};

/* What is done to know the object that holds a variable's place (R8): it is the value of the variable above; the path
 * is followed; it is found by reading the variable. */
enum ls__place_kind { LS__PLACE_NONE, LS__PLACE_BELOW, LS__PLACE_ALONG, LS__PLACE_READ };

/* A fault as it is kept: texts are mostly short, so the embedding struct ls_fault would waste 2 KB a variable. */
struct ls__fault_box {
    enum ls_fault_kind kind;
    uint64_t hash; /* of kind and text, never 0 */
    size_t size;   /* bytes of text with its NUL */
    char text[];
};

/* A text that is kept: as short as a buffer can be. */
struct ls__text {
    char *data; /* owned */
    uint32_t len, cap;
};

struct ls__diags {
    size_t count;
    char *text[LS__MAX_DIAGS]; /* owned */
};

/* Detection of an unchanged variable reads the first 64 bytes only. */
struct ls_var {
    _Alignas(64) struct ls_path *path; /* shared; NULL = none */
    /* where the path starts: the parent, or higher (T14); NULL for roots and `@name` (T15) */
    struct ls_var *start;
    struct ls_value value;
    ls_slot wrapper_slot; /* copy of wrapper.slot, so that children find the navigation value here */
    /* tracker->epoch when it was read without fault last: unchanged while they are equal. 0 = read again */
    uint32_t seen;
    bool held;                 /* root or value-holding child (T42): reads as its stored value */
    bool unreported;           /* T43, P82 */
    bool timed;                /* reading it runs Lua code: its time is taken in every pass (T94) */
    bool has_fault, has_diags; /* the cold part holds one */
    bool led;                  /* `leader` is set */
    uint8_t due;               /* LS__DUE_…: what each check does beyond reading */
    uint8_t priority;          /* enum ls_priority, of the value (T23) */
    uint32_t ticks, max_ticks; /* in units of LS__TICK_SHIFT. -- 64 bytes end here -- */

    uint32_t pass; /* of a variable whose path calls: the pass in which it was read without error last */
    bool named;    /* a standard variable (T106) */
    bool unreported_null;
    bool wants_place; /* its page is told where its place lies (R8) */
    uint8_t placed;   /* enum ls__place_kind */
    struct ls_tracker *tracker;
    int64_t id;
    struct ls_var *parent;                     /* NULL for roots */
    struct ls_var *first, *last, *prev, *next; /* children; siblings in order of creation */
    uint64_t sequence;                         /* order of creation */
    /* shares parent and path and is checked earlier: its result serves (TX32). Valid while the order is */
    struct ls_var *leader;
    uint32_t child_count;
    uint32_t watchers;
    uint32_t watched_below;  /* watched variables among the descendants (P75) */
    uint32_t mark, included; /* generation of the order in which it was placed, collected */
    uint16_t depth;
    uint8_t access; /* enum ls_access */
    uint8_t row;    /* enum ls__row: what a path `#ID` has been bound to */
    bool dying : 1; /* destroyed, but a computation runs (T93a) */
    bool pending_value : 1, pending_type : 1, pending_place : 1;
    bool auto_type : 1; /* `type` was set by the tracker (T92) */
    bool active : 1;
    bool fault_by_write : 1;
    uint32_t pending_at, fault_at, news_at, outside_at; /* 1 + place in the tracker's lists, 0 = not in it */
    uint32_t rows;                                      /* children whose path begins with `#ID` */
    uint64_t fault_batch;                               /* the batch whose write set the fault (T80.1) */
    uint64_t told; /* hash of the read fault that ls_tracker_fault_news has told last, 0 = none */
    struct ls__fault_box *fault;
    struct ls__diags *diags;
    int64_t indexed;                          /* object id under which by_object has it, 0 = not there */
    struct ls_var *object_prev, *object_next; /* the others that show this object */
    struct ls_value wrapper;                  /* slot 0 = none */
    char *wrapper_type;                       /* owned: the type name the wrapper was built for */
    struct ls__prop *props;                   /* owned; in order of setting */
    /* owned; of more than LS__PROPS_PLAIN: twice as long as there is room, 1 + number in `props` or 0. NULL: they are
     * searched one by one */
    uint32_t *prop_table;
    uint32_t prop_count, prop_cap;
    uint32_t prop_removed;           /* of them, those that are empty */
    struct ls__text json, base_json; /* texts kept for all watchers; empty = not written yet */
    uint64_t change_count;
    void *owner;
    int64_t owner_id;
};

struct ls__var_list {
    struct ls_var **items;
    size_t count, cap;
};

struct ls__doomed {
    int64_t id;
    void (*gone)(void *ctx, struct ls_var *var);
    void *ctx;
};

struct ls_tracker {
    struct ls_resolver resolver;
    size_t max_variables, max_properties;
    struct ls_budget *budget; /* NULL = nothing is counted */
    int diag_level;
    struct ls_idmap *by_id;
    struct ls_idmap *by_object; /* object id → one of the variables that show it */
    struct ls_map *paths;       /* text → struct ls_path */
    struct ls_map *names;       /* standard variables: name → id */
    struct ls__var_list roots;  /* ascending ids */
    int64_t counter;            /* T8: the next value */
    int64_t next_negative;      /* T10 */
    uint64_t sequence;
    size_t count;

    /* memory of variables */
    void *slabs;              /* chain of blocks */
    struct ls_var *free_vars; /* chained by `next` */

    /* order of detection */
    struct ls__var_list order;
    bool order_dirty;
    unsigned order_priorities; /* bit by enum ls_priority: which of them occur in the order */
    uint32_t generation;

    /* detection */
    /* moves when values may have changed: by the resolver's account, or by what happened here. Never 0 */
    uint32_t epoch;
    uint64_t resolver_epoch;          /* the resolver's, as far as `epoch` has taken account of it */
    struct ls_idmap *places;          /* id → where a variable's place lies (R8); NULL until one asks */
    struct ls__var_list below, along; /* the variables of these kinds of place */
    bool moved;            /* `epoch` has moved by what happened here: other paths may start at other values */
    uint32_t placed_epoch; /* when the paths of `along` were followed last */
    uint32_t pass;
    int passes; /* of this batch */
    bool repeat;
    bool in_pass;
    bool cut;     /* the last pass has been stopped before its end (L5) */
    bool counted; /* this batch has moved change_count (T96) */
    uint64_t batch;
    uint64_t change_count;
    /* the variable being read; it lives at least until `busy` is over. NULL: see `computing` */
    struct ls_var *reading;
    int64_t computing; /* the variable in whose name other code runs, 0 = none */
    unsigned busy;     /* calls that may run Lua code under way: destroying waits (T93a) */
    struct ls__doomed *doomed;
    size_t doomed_count, doomed_cap;
    void (*remove_doomed)(struct ls_tracker *tracker); /* tracker.c */

    /* rows (R2) */
    struct ls__var_list outside; /* variables in state LS__ROW_OUTSIDE */
    size_t never;                /* variables in state LS__ROW_NEVER */
    /* the resolver's epoch when detection was over: until it moves, what a list is known to hold is what it holds */
    uint64_t settled;
    uint64_t collect_batch; /* the batch for which `collections` counts */
    unsigned collections;

    /* pending */
    struct ls__var_list pending, faulty, news;
    size_t pending_props; /* changed properties since the last list, for T96 */
    struct ls_change *changes;
    size_t changes_cap;
    const char **change_names;
    size_t change_names_cap;

    /* accessors' scratch */
    const struct ls_var *cursor_parent; /* ls_var_child in sequence is O(1) */
    struct ls_var *cursor;
    size_t cursor_index;
};

/** Is its value read and told (T27)? */
static inline bool ls__is_readable(const struct ls_var *var)
{
    return var->access == LS_ACCESS_RW || var->access == LS_ACCESS_R;
}
/** The slot at which paths of children start (T4). Borrowed, 0 = null. */
static inline ls_slot ls__nav(const struct ls_var *var)
{
    return var->wrapper_slot ? var->wrapper_slot : var->value.slot;
}
/* The outward value as far as comparing needs it (T82): two are equal when kind and object are, and the value did not
 * change. */
struct ls__outward {
    uint8_t shape;
    int64_t object;
};
/** What is shown of the variable: of the wrapper if there is one, else of the value (T4). */
static inline struct ls__outward ls__outward(const struct ls_var *var)
{
    const struct ls_value *value = var->wrapper_slot ? &var->wrapper : &var->value;
    return (struct ls__outward){value->shape, value->object};
}

/* tree.c */
/** A record out of the tracker's blocks, all zero but for its tracker. NULL without memory, or at the session's limit.
 * */
struct ls_var *ls__var_new(struct ls_tracker *tracker);
/** What the record owns is freed; the record itself is used again. */
void ls__var_free(struct ls_tracker *tracker, struct ls_var *var);
/** The memory of all records, when none is in use any more. */
void ls__vars_release(struct ls_tracker *tracker);
/** Put a new variable behind its parent's other children, or among the roots (parent NULL). @return 0; -1 without
 * memory, nothing has changed */
int ls__tree_link(struct ls_tracker *tracker, struct ls_var *var, struct ls_var *parent);
/** Take a variable out of its parent's children or the roots. Its own children stay below it. */
void ls__tree_unlink(struct ls_tracker *tracker, struct ls_var *var);
/** The next one in preorder inside the subtree of `top`, NULL at its end. */
struct ls_var *ls__tree_next(const struct ls_var *var, const struct ls_var *top);
/** The number of watchers of `var` has become or ceased to be 0 (delta 1, -1): those above count what is watched below
 * them (P75). */
void ls__tree_watched(struct ls_var *var, int delta);
/** Bring the order of checking up to date (T80 step 2, T81). It holds until the tree, an active flag, an access mode or
 * a priority changes: an ordinary pass is one walk over an array. @return 0; -1 without memory: nothing is checked, and
 * the next call tries again */
int ls__tree_order(struct ls_tracker *tracker);
/** Tree order (T88): parents first, siblings as created, roots by id. As for qsort. */
int ls__tree_compare(const struct ls_var *a, const struct ls_var *b);
/** Append to the list. False without memory. */
bool ls__list_add(struct ls__var_list *list, struct ls_var *var);
/** What code reported while the variable was computed is forgotten. */
void ls__diags_clear(struct ls_var *var);

/* find.c */
/** The variable of that id, also one that is to go when the pass is over. NULL = none. */
struct ls_var *ls__find_any(const struct ls_tracker *tracker, int64_t id);
/** The end of a call during which nothing was destroyed (`busy`): if it was the outermost, what is doomed goes. */
void ls__busy_end(struct ls_tracker *tracker);
/** Bring the index by object in line with the variable's value (T104); `gone`: take it out. */
void ls__index_object(struct ls_tracker *tracker, struct ls_var *var, bool gone);
/** The variable at which the path starts, NULL if there is none. */
const struct ls_var *ls__start_at(const struct ls_tracker *tracker, const struct ls_var *var);
/** Where the path starts: 0 and *from, or -1 and fault (T15). */
int ls__start(struct ls_tracker *tracker, const struct ls_var *var, ls_slot *from, struct ls_fault *fault);
/** The fault of a row whose key no element can have. @return -1 */
int ls__row_never(const struct ls_var *var, struct ls_fault *fault);

/* props.c */
/** The record of a property by base name, also of one that was removed and waits for its report. NULL = none. */
struct ls__prop *ls__prop_find(const struct ls_var *var, const char *name, size_t len);
/* What a set of properties comes to: base name, priority given or not. */
struct ls__prop_name {
    const char *name;
    size_t len;
    bool has_priority;
    enum ls_priority priority;
};
/** Is NAME the base name? */
static inline bool ls__is_named(const struct ls__prop_name *name, const char *literal)
{
    return name->len == strlen(literal) && memcmp(name->name, literal, name->len) == 0;
}
/** Cut the priority suffix off (T22). The name is borrowed from the one given. */
void ls__prop_split(const char *name, size_t len, struct ls__prop_name *out);
/** Store without recording. @return 1 changed, 0 same, -1 and fault (may be NULL): no memory */
int ls__prop_put(struct ls_var *var, const struct ls__prop_name *name, const char *value, size_t len,
                 struct ls_fault *fault);
/** Frees all properties with their table and texts. */
void ls__props_free(struct ls_var *var);
/** May a variable have so many? @return 0, or -1 and fault */
int ls__props_check(const struct ls_tracker *tracker, size_t count, struct ls_fault *fault);
/** The removed ones that wait for no report go. */
void ls__props_prune(struct ls_var *var);
/** INTERNAL: the session's limit is reached, or there is no memory. @return -1 */
int ls__no_memory(const struct ls_tracker *tracker, struct ls_fault *fault);
/* The pairs of a query. */
struct ls__query {
    struct ls_prop *props; /* owned; names and values end with a NUL */
    size_t count, cap;
    char *text; /* owned: what they point to */
};
/** Read a query (T16); one without text has no pairs. ls__query_release() is due also after a failure: the pairs before
 * the wrong one are there then. @return 0, or -1 and fault (may be NULL) */
int ls__query_read(struct ls__query *query, const char *text, size_t len, struct ls_fault *fault);
/** Frees its pairs. */
void ls__query_release(struct ls__query *query);
/** The word of an access mode (T27), none is `rw`. @return 0; -1 and fault (BAD_ACCESS) */
int ls__access_read(const char *text, size_t len, enum ls_access *access, struct ls_fault *fault);
/** The word of a value priority (T23): `high` or `low` in any case, anything else is medium. */
enum ls_priority ls__priority_read(const char *text);
/** Do path and access go together (T28)? @return 0; -1 and fault (BAD_ACCESS) */
int ls__access_check(const struct ls_path *path, enum ls_access access, struct ls_fault *fault);
/** Does the path stay below the root if it starts at this parent (T14)? @return 0; -1 and fault (BAD_PATH) */
int ls__climb_check(const struct ls_path *path, const struct ls_var *parent, struct ls_fault *fault);
/** The parsed path of that text, shared by all variables that have it (T19). @return one more use, ls__path_put(); NULL
 * and fault */
struct ls_path *ls__path_get(struct ls_tracker *tracker, const char *text, size_t len, struct ls_fault *fault);
/** One use less; the last one frees it. NULL accepted. */
void ls__path_put(struct ls_tracker *tracker, struct ls_path *path);

/* setting.c */
/** The property counts as changed and waits for the change list (T24). */
void ls__prop_record(struct ls_var *var, const char *name, size_t len);
/** Fix the variable at whose navigation value the path starts, so that detection need not climb. */
void ls__var_aim(struct ls_var *var);

/* detect.c */
/** Compute the value by path (T45, T51) or leave it where it is held; a failure becomes the variable's fault. May run
 * Lua code. */
void ls__read(struct ls_tracker *tracker, struct ls_var *var);
/** What paths start from has changed here: everything is read again. */
void ls__epoch_move(struct ls_tracker *tracker);
/** A number that moves when code has run or what paths start from has changed: what was read under it is still true. */
uint32_t ls__epoch_now(struct ls_tracker *tracker);
/** After the value changed: wrapper (T66), type (T92), texts. @return did the outward JSON change */
bool ls__settle(struct ls_tracker *tracker, struct ls_var *var, struct ls__outward before, bool value_changed);
/** The wrapper goes, with its `destroy` (T70); nothing happens without one. May run Lua code. */
void ls__wrapper_drop(struct ls_tracker *tracker, struct ls_var *var);

/** What variables below start at, and lists hold, may be out of date: read the variable as a pass does. */
void ls__check_now(struct ls_tracker *tracker, struct ls_var *var);

/* rows.c */
/** A variable's path is new, or it goes (`gone`): bind it to the element that its first step names. */
void ls__row_bind(struct ls_tracker *tracker, struct ls_var *var);
/** The variable goes or gets another path: it is a row no more. */
void ls__row_forget(struct ls_tracker *tracker, struct ls_var *var);
/** The variable's value is another one: which rows below are elements now? */
void ls__rows_follow(struct ls_tracker *tracker, struct ls_var *list);
/** A pass is over: what was remembered below rows outside of their lists holds nothing alive. */
void ls__rows_let_go(struct ls_tracker *tracker);
/** May the variable be written: is each row that leads to it in its list, or alive all the same? May run Lua code and
 * destroy variables.
 * @return 0; -1 and fault (GONE) */
int ls__row_reach(struct ls_tracker *tracker, int64_t id, struct ls_fault *fault);
/** Has no code run since detection was over? */
bool ls__is_settled(const struct ls_tracker *tracker);
/** Read the variables above, from the top down. May run Lua code, which may destroy the variable itself at the end. */
void ls__read_above(struct ls_tracker *tracker, const struct ls_var *var);
/** No variable may be what holds an object that is shown no more: those that still show an older state read the new
 * one. May run Lua code and destroy variables. */
void ls__let_go(struct ls_tracker *tracker);
/** Is one more collection allowed in this batch? It is counted. */
bool ls__may_collect(struct ls_tracker *tracker);

/* place.c */
/** Path or access are new: is there a place that can be exchanged, and what is to be done to know it? */
void ls__place_aim(struct ls_tracker *tracker, struct ls_var *var);
/** Nothing more is to be known about the variable's place. */
void ls__place_forget(struct ls_tracker *tracker, struct ls_var *var);
/** Frees the table of places at the tracker's end, when no variable is left. */
void ls__places_free(struct ls_tracker *tracker);
/** Look where the place lies now, unless reading the variable tells. May run Lua code. */
void ls__place_find(struct ls_tracker *tracker, struct ls_var *var);
/** The place lies in that object, 0 = in none. */
void ls__place_found(struct ls_tracker *tracker, struct ls_var *var, int64_t object);
/** The passes of a batch are over: whose place may have moved? May run Lua code. */
void ls__places_follow(struct ls_tracker *tracker);
/** May a write of the variable go to that object? *present: it is the one that holds the place now, or there is none
 * and none is meant. May run Lua code and destroy variables. @return 0; -1 and fault (GONE) */
int ls__place_reach(struct ls_tracker *tracker, int64_t id, int64_t object, bool *present, struct ls_fault *fault);

/* changes.c */
/** Take it out of the list; `place` is the offset of the field of struct ls_var that says where it stands there. */
void ls__list_leave(struct ls__var_list *list, struct ls_var *var, size_t place);
/** Append unless the list has it; *at = its place counted from 1, 0 = not in the list. False without memory. */
bool ls__list_enter(struct ls__var_list *list, struct ls_var *var, uint32_t *at);
/** Its outward value has changed and is in the next change list; of one that cannot be read neither value nor type are
 * told (T27, P82). */
void ls__mark_value(struct ls_tracker *tracker, struct ls_var *var);
/** Detection has changed the type: it is reported together with the value (P49a). */
void ls__mark_type(struct ls_tracker *tracker, struct ls_var *var);
/** The variable has something for the next change list. */
void ls__mark_pending(struct ls_tracker *tracker, struct ls_var *var);
/** The variable goes: no list of changes, faults or news has it any more. */
void ls__pending_forget(struct ls_tracker *tracker, struct ls_var *var);
/** Set the variable's fault (T98); copied. One that a write of this batch has set gives way to another write only. */
void ls__fault_put(struct ls_tracker *tracker, struct ls_var *var, const struct ls_fault *fault, bool by_write);
/** Its last outcome was a success (T100); during a pass the fault of this batch's write stays. */
void ls__fault_clear(struct ls_tracker *tracker, struct ls_var *var);
/** The end of a pass: faults go of variables that it did not check (T80.1, T100). */
void ls__fault_sweep(struct ls_tracker *tracker);

#endif
