/* The change tracker of one session: variables, their paths, properties and priorities, change detection (tracker.md).
 *
 * It reaches values only through a small table of functions, the resolver (tracker/resolver.h), so it knows no Lua. A
 * value is named by a slot: a number that the resolver hands out and understands. Nothing here locks: all calls come
 * from the thread that runs the session's queue just now (T6). Calls into the resolver may run Lua code, and that code
 * may call back into the tracker (create, destroy, set properties); a `struct ls_var *` is therefore valid only until
 * the next call that can run Lua code, unless it is found again by its id. Destroying during a pass is put off to its
 * end (T93a). */
#ifndef LS_TRACKER_TRACKER_H
#define LS_TRACKER_TRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "tracker/fault.h"
#include "tracker/path.h"
#include "tracker/resolver.h"

struct ls_tracker;
struct ls_var;

enum ls_priority { LS_HIGH, LS_MEDIUM, LS_LOW };
enum ls_access { LS_ACCESS_RW, LS_ACCESS_R, LS_ACCESS_W, LS_ACCESS_ACTION };

/* A property as given: the name may carry a priority suffix (T22). Borrowed during the call. */
struct ls_prop {
    const char *name, *value;
    size_t name_len, value_len;
};

/** Length of a property name without its priority suffix (`:high`, `:med`, `:medium`, `:low` in any letter case, P87,
 * T22); *priority (may be NULL) is what the suffix says, medium if there is none. Thread: any. */
size_t ls_prop_base(const char *name, size_t len, enum ls_priority *priority);
/** Is NAME the property's name, suffix aside? Thread: any. */
bool ls_prop_is(const struct ls_prop *prop, const char *name);
/** May a property be named and valued so (T20)? Readers take both as C strings, so neither may hold U+0000. Thread:
 * any.
 * @return 0, or -1 and fault (BAD_MESSAGE) */
int ls_prop_check(const struct ls_prop *prop, struct ls_fault *fault);

struct ls_tracker_config {
    struct ls_resolver resolver; /* borrowed for the tracker's life */
    size_t max_variables;        /* 0 = no limit; creating one more is LS_FAULT_INTERNAL naming --max-variables (Q2) */
    /* of one variable; 0 = no limit; setting one more is LS_FAULT_INTERNAL naming --max-properties (Q2) */
    size_t max_properties;
    /* what the tracker keeps is counted there (L5); borrowed for its life, NULL = nowhere */
    struct ls_budget *budget;
    int diag_level; /* T97 */
};

/** @return owned, ls_tracker_free(); NULL and err: LS_ENOMEM */
struct ls_tracker *ls_tracker_new(const struct ls_tracker_config *config, struct ls_err *err);
/** Removes all variables (slots go back to the resolver) and frees. NULL accepted. */
void ls_tracker_free(struct ls_tracker *tracker);

/* --- creating, finding, destroying (sections 8, 20) --- */

struct ls_var_spec {
    /* 0 = assign: a root gets the next counter value (T8), any other the next negative id (T10) */
    int64_t id;
    int64_t parent;   /* 0 = a root */
    const char *path; /* explicit path (may have a query); NULL = the `path` property. Empty = none */
    size_t path_len;
    const struct ls_prop *props;
    size_t prop_count;
    bool has_value;   /* a root, or a child that holds its own value (T42) */
    ls_slot value;    /* taken by the tracker if the call succeeds */
    void *owner;      /* for the caller: the connection that made it; NULL for Lua's and server's */
    int64_t owner_id; /* the id under which that connection knows it */
    bool wants_place; /* tell in which object its place lies, where that can be exchanged (R8) */
};

/** T40–T44. On success *var is the new variable (borrowed); the read may have failed all the same (ls_var_fault).
 * @return 0, or -1 and `fault` (ID_IN_USE, BAD_PARENT, BAD_PATH, BAD_SETTER_CALL, BAD_ACCESS, INTERNAL): nothing has
 * changed (T41) */
int ls_tracker_create(struct ls_tracker *tracker, const struct ls_var_spec *spec, struct ls_var **var,
                      struct ls_fault *fault);
/** Borrowed until it is destroyed. NULL = there is none, or it is about to go. */
struct ls_var *ls_tracker_find(const struct ls_tracker *tracker, int64_t id);
/** Remove a variable with its subtree, deepest first; `gone` (may be NULL) is told before each one goes (T93a). While a
 * pass runs it is put off. */
void ls_tracker_destroy(struct ls_tracker *tracker, int64_t id, void (*gone)(void *ctx, struct ls_var *var), void *ctx);
/** Give back the memory of many variables that are gone. The list of the last ls_tracker_changes is no more. Nothing
 * happens while Lua code runs. */
void ls_tracker_shrink(struct ls_tracker *tracker);
/** The next counter value (T8), for object ids. Variable ids are another name space and may coincide; only ids assigned
 * to roots skip those in use (T9). */
int64_t ls_tracker_next_id(struct ls_tracker *tracker);
/** Standard variables `@name` (T15, T106). id 0 removes. `@app` is always variable 1. */
int ls_tracker_name(struct ls_tracker *tracker, const char *name, int64_t id, struct ls_fault *fault);
/** The id that a standard variable stands for, 0 = none. */
int64_t ls_tracker_named(const struct ls_tracker *tracker, const char *name);
/** Variables that exist now. */
size_t ls_tracker_count(const struct ls_tracker *tracker);
/** Variables whose own value is the object with that id (T104, T105): the first `max` ids in order of creation. Looked
 * up, not searched.
 * @return how many were put into `ids` */
size_t ls_tracker_by_object(const struct ls_tracker *tracker, int64_t object, int64_t *ids, size_t max);

/** Bracket many calls that follow each other (creates of one frame, texts of one answer): what the resolver sets up for
 * each of them is then set up once. Only the speed differs. Brackets may be nested. @return what ls_tracker_leave
 * wants; below 0 without memory, which needs no care */
int ls_tracker_enter(struct ls_tracker *tracker);
/** Close the bracket; `opened` is what ls_tracker_enter returned. */
void ls_tracker_leave(struct ls_tracker *tracker, int opened);
/** Inside a bracket: is what goes on to end, its time being over (L5)? Tells the log. */
bool ls_tracker_stopped(struct ls_tracker *tracker);

/* --- reading and writing (sections 4, 9, 10) --- */

/** Write a JSON value through the path (T55–T61): actions run, setters are called. `json` borrowed.
 * @return 0, or -1 and `fault`, which is also kept on the variable */
int ls_tracker_write(struct ls_tracker *tracker, struct ls_var *var, const char *json, size_t len,
                     struct ls_fault *fault);
/** The same, but the last step is taken on the object of that id whatever the path leads to now (R8): the one that
 * holds the place, or one that held it and lives. 0 = the writer has seen none. After a write to another object the
 * variable shows what it showed.
 * @return as ls_tracker_write; GONE where the object is none of these */
int ls_tracker_write_to(struct ls_tracker *tracker, struct ls_var *var, int64_t object, const char *json, size_t len,
                        struct ls_fault *fault);
/** The same for a value that the resolver holds already (L69). The slot stays the caller's. */
int ls_tracker_write_slot(struct ls_tracker *tracker, struct ls_var *var, ls_slot value, struct ls_fault *fault);
/** T20–T25, T87. An unchanged value and priority records nothing. @return 1 changed, 0 not, -1 and `fault` */
int ls_tracker_set_property(struct ls_tracker *tracker, struct ls_var *var, const struct ls_prop *prop,
                            struct ls_fault *fault);
/** May the properties be set, and `more` bytes besides be kept? Nothing is changed; what is asked for is the worst
 * case.
 * @return 0, or -1 and fault (INTERNAL): a limit is reached, and none of them is to be set */
int ls_tracker_admit(const struct ls_tracker *tracker, const struct ls_var *var, const struct ls_prop *props,
                     size_t count, size_t more, struct ls_fault *fault);
/** A property set by the server itself, with a given priority, recorded as changed when it differs. */
int ls_tracker_put_property(struct ls_tracker *tracker, struct ls_var *var, const char *name, const char *value,
                            enum ls_priority priority);
/** Replace the value of a variable without path (T56, T103). The slot is taken. Old and new outward JSON are compared,
 * a change is recorded. */
int ls_tracker_set_value(struct ls_tracker *tracker, struct ls_var *var, ls_slot value, struct ls_fault *fault);

/** The property `type` follows the value from its next change on, although one was given before (T103). */
void ls_tracker_free_type(struct ls_var *var);

/* --- watching and detection (sections 15–17, 19) --- */

/** Add `delta` to the number of watchers: 0→1 sets the variable active, 1→0 inactive (T91, P71, P74); descendants that
 * are watched go on being detected (P75). */
void ls_tracker_watch(struct ls_tracker *tracker, struct ls_var *var, int delta);
/** Up to four passes (T80–T85); errors of this batch's writes stay (T80.1). @return did any value change */
bool ls_tracker_detect(struct ls_tracker *tracker);
/** One more pass for what watch callbacks changed (L71), counted against the same four. */
bool ls_tracker_detect_again(struct ls_tracker *tracker);
/** Ask for a repeat pass (T84). For the resolver. */
void ls_tracker_request_repeat(struct ls_tracker *tracker);
/** The last reported value counts as nothing: the next detection reports it if it is not null — or null too, if
 * `null_too` (T43, P82). */
void ls_var_unreport(struct ls_var *var, bool null_too);

/* An element of the change list: a variable in one priority class. Borrowed until the next call of ls_tracker_changes.
 * */
struct ls_change {
    struct ls_var *var;
    enum ls_priority priority;
    bool value;               /* the value is part of it */
    bool place;               /* another object holds its place: ls_var_place */
    const char *const *props; /* base names, sorted; look the present value up ("" = removed) */
    size_t prop_count;
};

/** Build and clear the list of pending changes: high, medium, low; inside a class tree order (T87–T90). *list is
 * borrowed.
 * @return number of elements, or LS_ENOMEM */
int ls_tracker_changes(struct ls_tracker *tracker, const struct ls_change **list);
/** Variables whose fault appeared, changed its text or went since the last call (P83, P99, P101): at most `max`
 * ids. The fault of a write is no news, since its writer has been answered; nor is its going.
 * @return how many; call until 0 */
size_t ls_tracker_fault_news(struct ls_tracker *tracker, int64_t *ids, size_t max);
/** Start of a batch: errors of writes of earlier batches may go with the next detection, repeat requests are cleared
 * (T84). */
void ls_tracker_begin_batch(struct ls_tracker *tracker);
/** Global change count (T96). */
uint64_t ls_tracker_change_count(const struct ls_tracker *tracker);
/** Messages of diag() up to this level are kept, 0 = none (T97). */
int ls_tracker_diag_level(const struct ls_tracker *tracker);
/** Set that level, from the next diag() on. */
void ls_tracker_set_diag_level(struct ls_tracker *tracker, int level);
/** The variable being computed (T45, T97a), 0 = none. */
int64_t ls_tracker_computing(const struct ls_tracker *tracker);
/** From now on it is this one, 0 = none. @return the one before, to be put back */
int64_t ls_tracker_set_computing(struct ls_tracker *tracker, int64_t id);
/** Before deferred code runs in a variable's name (T97a); an unknown id does nothing. */
void ls_tracker_clear_diags(struct ls_tracker *tracker, int64_t id);
/** Lua's diag() (T97). */
void ls_tracker_diag(struct ls_tracker *tracker, int level, const char *text, size_t len);

/* --- one variable --- */

/** Its id in the tracker; a connection may know it by another (ls_var_owner_id). */
int64_t ls_var_id(const struct ls_var *var);
/** A number that no other variable of the tracker has or ever had: ids may be used again (T10). */
uint64_t ls_var_serial(const struct ls_var *var);
/** Id of the parent, 0 = a root. */
int64_t ls_var_parent(const struct ls_var *var);
/** The `owner` of its struct ls_var_spec, NULL = made by Lua or the server. Borrowed. */
void *ls_var_owner(const struct ls_var *var);
/** The id by which the owner knows it. */
int64_t ls_var_owner_id(const struct ls_var *var);
/** How many children it has. */
size_t ls_var_child_count(const struct ls_var *var);
/** Id of a child, counted from 0 in order of creation; 0 = there are not so many. */
int64_t ls_var_child(const struct ls_var *var, size_t index);
/** Outward Value JSON (T4): written once for all watchers and kept until it changes. Borrowed until the next call that
 * can change it. "null" for null. */
const char *ls_var_json(struct ls_tracker *tracker, struct ls_var *var, size_t *len);
/** The same for an update. NULL if it cannot be written for want of memory: the variable has an error then, and the
 * update goes without value (T89). NULL also where ls_tracker_stopped: it is to be asked for again in the next batch.
 * */
const char *ls_var_update_json(struct ls_tracker *tracker, struct ls_var *var, size_t *len);
/** Value JSON ignoring a wrapper (P12 baseValue). */
const char *ls_var_base_json(struct ls_tracker *tracker, struct ls_var *var, size_t *len);
/** The slot of its value, 0 = none. Borrowed. */
ls_slot ls_var_value(const struct ls_var *var);
/** The slot of its wrapper, likewise. */
ls_slot ls_var_wrapper(const struct ls_var *var);
/** NULL if the property is not set. Borrowed until the property changes. */
const char *ls_var_property(const struct ls_var *var, const char *name);
/** Properties that are set. */
size_t ls_var_property_count(const struct ls_var *var);
/** In the order in which they were first set, counted from 0; "" beyond the last. Borrowed until a property changes. */
void ls_var_property_at(const struct ls_var *var, size_t index, const char **name, const char **value,
                        enum ls_priority *priority);
/** The priority of its value (T23). */
enum ls_priority ls_var_priority(const struct ls_var *var);
/** Is its access `rw` or `r`? */
bool ls_var_readable(const struct ls_var *var);
/** False: it holds its own value (T42, T46). */
bool ls_var_has_path(const struct ls_var *var);
/** R8: is it known in which object the place of the variable lies, as far as that can be exchanged? *object = its id, 0
 * = there is none. */
bool ls_var_place(const struct ls_var *var, int64_t *object);
/** Has it been created with `wants_place` (R8)? */
bool ls_var_wants_place(const struct ls_var *var);
/** R2: are there variables right below it whose path begins with `#ID`? */
bool ls_var_has_rows(const struct ls_var *var);
/** Is it active itself (T91)? What is above it may not be. */
bool ls_var_active(const struct ls_var *var);
/** From the next pass on (T91). Watching does this by itself. */
void ls_var_set_active(struct ls_tracker *tracker, struct ls_var *var, bool active);
/** Sum of the watches of all connections (P70). */
unsigned ls_var_watchers(const struct ls_var *var);
const struct ls_fault *ls_var_fault(const struct ls_var *var); /* NULL = none. Borrowed until this thread asks again */
/** For what has failed in the variable's name outside of reading it (T97a). Copied; stays through this batch's
 * detection like the fault of a write, and like that one is no news. NULL clears. */
void ls_var_set_fault(struct ls_tracker *tracker, struct ls_var *var, const struct ls_fault *fault);
/** Time of the last walk of its own path (T94), 0 = none. */
int64_t ls_var_compute_ns(const struct ls_var *var);
/** The longest one so far. */
int64_t ls_var_max_compute_ns(const struct ls_var *var);
/** Changes of its value so far (T96a). */
uint64_t ls_var_change_count(const struct ls_var *var);
/** Messages of its last computation (T97). */
size_t ls_var_diag_count(const struct ls_var *var);
/** Counted from 0; "" beyond the last. Borrowed until it is read again. */
const char *ls_var_diag_at(const struct ls_var *var, size_t index);

/** Visit all variables breadth first from the roots in ascending order, leftovers last (P13). `fn` must not run Lua
 * code. */
void ls_tracker_each(struct ls_tracker *tracker, void (*fn)(void *ctx, struct ls_var *var, unsigned depth), void *ctx);

#endif
