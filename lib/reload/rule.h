/* The three-way rule (H49): code follows the file, data follows the run, what the person edited wins, place by place.
 *
 * C is a place's present value, S what the execution before gave there (its record, record.h), N what this one gave.
 *
 *   1. What the chunk assigned in tables that live on (_G, prototypes, name spaces that it takes up again) is told by
 *      comparison with the snapshot: a list of changes. (rule.c, spaces.c)
 *   2. A walk over everything that it made finds the functions of the file and hashes the data; the functions tell the
 *      variables of the main block. The walk's record is S of the next time. Long lists are not read if all functions
 *      that the chunk has made are found elsewhere and step 3 says that nothing is edited in them: then the run's
 *      stay, and S is what it was. (rule.c, record.c)
 *   3. The two texts are compared: which places a person has edited (syntax/places.h). Their places are bound to the
 *      new tables that stand there; a table that stands at several places is as edited as the most edited one.
 *      (rule_places.c)
 *   4. Every place decides (rule_merge.c): value, changes, variables. Two tables make a *pair*: the new one gives
 *      its content to the present one, key by key, and everything that referred to the new one refers to the present
 *      one from then on. Unedited data below is left alone without a look at each key. Two functions make a
 *      *succession*: the new one stands there, and if its text is the old one's it keeps the old one's inner variables.
 *      What the text has lost is set aside (rule_aside.c).
 *   5. Variables of the main block are joined, so that old callbacks and new code share them; new tables that gave way
 *      are replaced where the chunk has put them; copies of functions in other modules get the successors, in what is
 *      large after the frames are out. (rule_follow.c)
 *   6. After the frames are out, holders of tables that gave way are looked for in the whole session, if any of these
 *      tables is still alive. (escape.c)
 *
 * Every raw write to what lived before goes into the undo log first, so a raise anywhere can be rolled back.
 * Functions marked LS_RAISES must run under the gate. Owner thread: the session's. */
#ifndef LS_RELOAD_RULE_H
#define LS_RELOAD_RULE_H

#include "resolver/reach.h"
#include "resolver/record.h"
#include "syntax/texts.h"

struct ls_run;
struct ls_proto;

/* What roots of paths are. */
enum { LS_ROOT_VALUE, LS_ROOT_LOCAL, LS_ROOT_GLOBAL, LS_ROOT_STATIC, LS_ROOT_REGISTERED };

/* Two tables: the one at this place in the list `present` takes what the one in the list `made` gives. */
struct ls_pair {
    uint64_t path;                /* of S */
    size_t parent;                /* the pair above; SIZE_MAX = none */
    const void *address;          /* of the present table */
    const struct ls_place *place; /* what the text calls it; NULL = nothing */
    enum ls_edit rest;            /* of what no text places are bound for */
    unsigned version;             /* what it is compared with */
    bool frozen;                  /* keys are neither added nor removed: only functions follow */
};

/* What the execution is compared with: the one before, or, for a place that has come back to the text, the last one
 * that gave it. */
struct ls_version {
    const void *record;               /* which of what was set aside; NULL = the execution before */
    struct ls_comparison *comparison; /* a use; NULL = of the rule, or nothing can be told */
    const struct ls_places *places;
    const struct ls_bytes *given;
};
enum { LS_VERSION_ABOVE = 0xffff }; /* that of the table above */

/* A new table stands at a place of the text. */
struct ls_binding {
    const struct ls_place *place;
    unsigned version;
    size_t next; /* 1 + index of a further place of the same table; 0 = none */
};

/* One application; ints are stack indexes where nothing else is said. The caller releases it, also after a raise. */
struct ls_rule {
    lua_State *L;
    struct ls_run *run;                /* the text; gets results */
    const char *source;                /* "@key" */
    struct ls_text *now_text;          /* borrowed */
    const struct ls_syntax *before;    /* NULL = unknown */
    struct ls_comparison *comparison;  /* a use; NULL = nothing is compared: nothing is edited */
    const struct ls_places *places;    /* its; NULL too */
    const struct ls_bytes *given;      /* S; NULL = nothing was recorded */
    const struct ls_idmap *new_things; /* addresses of tables and functions made since the chunk began; borrowed */
    bool first;                        /* a first load: nothing is to be decided */
    int snapshot;                      /* taken before the chunk ran: _G and the prototypes at least */
    int known;                         /* table of tables with an identity of their own */
    uint32_t protos;                   /* prototypes with greater ids are in the snapshot, or made by this execution */
    int old_value;                     /* the module's value before; nil at a first load */
    int old_holders;                   /* variable's name → {function, upvalue}: of the execution before; or nil */
    int aside;                         /* what was set aside of this file (rule_aside.c) */
    int record;                        /* of the execution before (struct ls_record), or nil */
    lua_Integer saves;                 /* executions of the file */

    /* --- the rule's own --- */
    const struct ls_syntax *now; /* NULL until a function needs it, or there is none */
    int bound_tables;            /* array: the tables of bindings, while they are made */
    int value;                   /* what the execution gave */
    int holders;                 /* of this execution */
    int spaces;                  /* name spaces that live on: table → path */
    int changes;                 /* triples: container, key, value before */
    int functions;               /* array: of the walk */
    int vars;                    /* by variable: triples of function, index of its upvalue, nil */
    int made, present;           /* arrays: the tables of pairs */
    int successor;               /* old function → new one */
    int joined;                  /* array of old functions, see `joins` */
    int taken;                   /* array: new tables that stand where none stood */
    int successions;             /* triples: old function, new one, nil */
    int records;                 /* array: of versions but the first */
    int deferred;                /* triples: number of a pair, key, value: keys that are new tables themselves */
    /* owned */
    void **ids; /* by variable: identity of its upvalue */
    struct ls_walk walk, scratch;
    struct ls_pair *pairs;
    size_t pair_count, pair_cap, pairs_done;
    struct ls_idmap *mapped; /* address of a new table → 1 + its pair */
    struct ls_idmap *present_of;
    struct ls_idmap *bound; /* address of a new table → 1 + its first binding */
    struct ls_binding *bindings;
    size_t binding_count, binding_cap;
    struct ls_idmap *looked; /* addresses of tables, see rule_follow.c */
    struct ls_reach reach;   /* what refers to functions of the version before */
    struct ls_idmap *joins; /* identity of a new inner variable → 1 + place in `joined` << 8 | index of the upvalue */
    struct ls_version *versions; /* the first one is the execution before */
    size_t version_count, version_cap;
    const void **above; /* scratch: addresses */
    size_t above_cap;
};

#define LS_MANY ((void *)1) /* a variable made anew by each turn of a loop: nobody's (H56) */

/** Apply the rule to the value on top of the stack, which the execution gave (nil has become true already). Replaces it
 * by the value that the module has from now on, and pushes the new holders. [-1, +2, m] */
LS_RAISES void ls__rule_apply(struct ls_rule *rule);
/** Free what it owns. */
void ls__rule_release(struct ls_rule *rule);

/* --- small things of all its files --- */

/** ls__put in the rule's session. [-0, +0, m] */
LS_RAISES void ls__rule_put(struct ls_rule *rule, int container, int key, int value);
/** The same for a metatable; nil takes it away. [-0, +0, m] */
LS_RAISES void ls__rule_put_meta(struct ls_rule *rule, int container, int value);
/** Was the table or function at `idx` made since the chunk began? Not known at a first load: yes. [-0, +0, -] */
static inline bool ls__rule_is_new(const struct ls_rule *rule, int idx)
{
    return !rule->new_things || ls_idmap_get(rule->new_things, ls__address(rule->L, idx));
}
/** Is the value at `idx` a table that the chunk has made, or was made for it, and that the walk has met? What was there
 * before has an identity that is not the file's to give to another. [-0, +0, -] */
bool ls__rule_made(const struct ls_rule *rule, int idx);
/** Push the variable that the execution before kept under this name: function, number of the upvalue, value. @return
 * false, and nothing is pushed: it has none [-0, +(3|0), m] */
LS_RAISES bool ls__rule_old_variable(struct ls_rule *rule, const char *name);
/** What the text says of the function at `idx`; NULL: nothing. [-0, +0, -] */
const struct ls_syntax_function *ls__rule_function(lua_State *L, int idx, const struct ls_syntax *syntax);
/** Push the function and the upvalue of variable `var` of the main block in the new text. @return false and nothing: it
 * was not found, or more than once [-0, +(2|0), -] */
bool ls__rule_new_variable(struct ls_rule *rule, unsigned var);
/** The prototype behind the place `at` of the session's array, if the rule is about it: then its table is pushed.
 * [-0, +(1|0), -] */
const struct ls_proto *ls__rule_proto(const struct ls_rule *rule, uint32_t at);

/* --- rule_places.c --- */

/* What the texts say of a place. */
struct ls_spot {
    enum ls_edit edit, rest;
    const struct ls_place *place; /* NULL: none of its own */
    unsigned version;             /* what it is compared with */
    uint64_t aside;               /* it has come back: the key of what was set aside of it; 0 = it has not */
    bool exact;                   /* its version has that place; else only one above it tells */
};

/** Bind places to new tables (step 3). [-0, +0, m] */
LS_RAISES void ls__rule_bind(struct ls_rule *rule);
/** The first place of the new table at that address, NULL = none. */
const struct ls_binding *ls__binding_at(const struct ls_rule *rule, const void *table);
/** Of the one at that index. [-0, +0, -] */
static inline const struct ls_binding *ls__binding_first(const struct ls_rule *rule, int table)
{
    return ls__binding_at(rule, lua_topointer(rule->L, table));
}
/** The next one of the same table, NULL = there is no more. [-0, +0, -] */
const struct ls_binding *ls__binding_next(const struct ls_rule *rule, const struct ls_binding *binding);
/** Of a variable, a global or (name NULL) the value of the file. */
LS_RAISES struct ls_spot ls__spot_of_root(struct ls_rule *rule, enum ls_place_kind kind, const char *name);
/** Of a key of the new table at `table`; NULL = one that no text can name. `rest` counts where no place is bound. */
LS_RAISES struct ls_spot ls__spot_of(struct ls_rule *rule, int table, const struct ls_place_key *key,
                                     enum ls_edit rest);
/** @return can a text name the key at `idx`? Then *key is that, borrowed from the stack. [-0, +0, -] */
bool ls__place_key(lua_State *L, int idx, struct ls_place_key *key);
/** Push it; nil for a metatable. [-0, +1, m] */
LS_RAISES void ls__place_key_push(lua_State *L, const struct ls_place_key *key);
/** The more edited of two. */
static inline enum ls_edit ls__stronger(enum ls_edit a, enum ls_edit b)
{
    return a > b ? a : b;
}

/* --- spaces.c --- */

/** Put the tables of name spaces that the text gives into a snapshot. [-0, +0, m] */
LS_RAISES void ls__spaces_protect(struct ls_session *session, lua_State *L, int snapshot,
                                  const struct ls_places *places);
/** Note which of them live on: `spaces`. [-0, +0, m] */
LS_RAISES void ls__rule_spaces(struct ls_rule *rule);
/** Walk over what the text gives in tables that live on, so that it is recorded. [-0, +0, m] */
LS_RAISES void ls__rule_walk_given(struct ls_rule *rule);

/* --- rule_merge.c --- */

/** Step 4. [-0, +0, m] */
LS_RAISES void ls__rule_decide(struct ls_rule *rule);
/** The path of a key of _G, a prototype or the module's own table. [-0, +0, m] */
LS_RAISES uint64_t ls__rule_path(struct ls_rule *rule, int container, int key);
/** The table that has taken the place of the one at `idx`. @return is there one: then it is pushed [-0, +(1|0), -] */
bool ls__rule_mapped(struct ls_rule *rule, int idx);

/* --- rule_follow.c --- */

/** Step 5, without variables. [-0, +0, m] */
LS_RAISES void ls__rule_follow(struct ls_rule *rule);

/** Other files have given the successors of copies that followed: put them into these files' records. To be called
 * when nothing can raise any more. */
void ls__rule_follow_records(struct ls_rule *rule);

/** Follow the copies that saves have left, after the frames are out. [-1, +0, e] argument: a walk, zeroed but for its
 * session and kind */
LS_RAISES int ls__reach_l_copies(lua_State *L);

/* --- escape.c --- */

/** Note the tables that gave way for ls_session_reload_settle, if one may have escaped. [-0, +0, m] */
LS_RAISES void ls__rule_note_escapes(struct ls_rule *rule);

/* --- rule_aside.c --- */

/** The place is gone from the text; `value` may be nil: then only the version is remembered that gave it, as the value
 * stays where it is.
 * @param version  whose place it is [-0, +0, m] */
LS_RAISES void ls__aside_put(struct ls_rule *rule, const struct ls_place *place, unsigned version, int value);
/** What the texts say of a place of that version, or, if it has come back to the text, of the last version that gave
 * it. [-0, +0, m] */
LS_RAISES struct ls_spot ls__aside_spot(struct ls_rule *rule, const struct ls_place *place, unsigned version);
/** Push what was set aside under that key, nil if nothing was, and forget it. [-0, +1, m] */
LS_RAISES void ls__aside_take(struct ls_rule *rule, uint64_t key);
/** Forget what is older than 20 executions. [-0, +0, m] */
LS_RAISES void ls__aside_age(struct ls_rule *rule);

#endif
