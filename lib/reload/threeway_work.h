/* What threeway.c and threeway_places.c share: one application of the rule. */
#ifndef LS_RELOAD_THREEWAY_WORK_H
#define LS_RELOAD_THREEWAY_WORK_H

#include "reload/threeway.h"

/* One application of the rule; the ints are stack indexes. */
struct ls_work {
    struct ls_threeway *rule;
    lua_State *L;
    int value;   /* what the execution gave */
    int next;    /* the new record */
    int changes; /* array, three slots a change: container, key, value before */
    lua_Integer change_count;
    int owned; /* new table → the table that is to carry its content: an old one, or itself */
    int queue; /* array of the keys of `owned`, in order */
    lua_Integer queue_count;
    int taken;             /* old tables that are in `owned` already */
    int tables, functions; /* arrays of the fresh walk */
    lua_Integer table_count, function_count;
    int vars;       /* array by variable: array of function, index of the upvalue, … */
    int candidates; /* groups of new tables that would give way to old ones */
    int conflicts;  /* array, three slots each: container or function, key or upvalue, new value */
    lua_Integer conflict_count;
    void **ids; /* by variable: identity of its upvalue; NULL = not found, LS_WORK_MANY = more than one */
    void **old; /* by variable: identity of the upvalue that the execution before kept; NULL = none */
};

#define LS_WORK_MANY ((void *)1)

/** Push the present value of a change with its container, key and value before: container key before now. [-0, +4, -]
 * */
void ls__work_change(struct ls_work *w, lua_Integer index);
/** Push the variable that the execution before kept under this name: function, index of the upvalue, value; three nils
 * if there is none.
 * @param locals  index of the part LS_RECORD_LOCALS or nil [-0, +3, -] */
LS_RAISES bool ls__work_old_local(struct ls_work *w, int locals, const char *name);
/** Step 4: fill w->next. [-0, +0, m] */
LS_RAISES void ls__work_record(struct ls_work *w);
/** Step 5. [-0, +0, m] */
LS_RAISES void ls__work_decide(struct ls_work *w);
/** Push table `name` of a record, or nil where there is none. [-0, +1, m] */
LS_RAISES int ls__record_part(lua_State *L, int record, const char *name);

#endif
