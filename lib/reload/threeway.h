/* The three-way rule (H48, H51, H56): what of a file's governed places follows the file, and what follows the run.
 *
 * A *record* is what an execution of the file gave at its governed places (S of H49); it lives in a Lua table that the
 * caller keeps. Everything marked LS_RAISES must run under the gate. Owner thread: the session's. */
#ifndef LS_RELOAD_THREEWAY_H
#define LS_RELOAD_THREEWAY_H

#include <stdbool.h>
#include <stddef.h>

#include "model/snapshot.h"

struct ls_run;

/* --- threeway_scope.c: which variable of the file's top level an upvalue means (pure) --- */

struct ls_scope;
/** Read the byte code of a main function (not stripped). @return owned, ls__scope_free(); NULL without memory or for an
 * unknown format: then no local is governed. */
struct ls_scope *ls__scope_parse(const void *code, size_t len);
void ls__scope_free(struct ls_scope *scope); /* NULL accepted */
/** Variables of the file's top level whose name is declared there once. */
int ls__scope_count(const struct ls_scope *scope);
const char *ls__scope_name(const struct ls_scope *scope, int var); /* borrowed */
/** Does any function of the text refer to it? */
bool ls__scope_captured(const struct ls_scope *scope, int var);
/** For a function of the file, told by its lines and its upvalues: the variable each upvalue means, -1 = none of the
 * top level.
 * @param names  of the upvalues, as the debug interface tells them
 * @param vars   room for `upvalues` of them. @return is there such a function */
bool ls__scope_variables(const struct ls_scope *scope, int first_line, int last_line, int upvalues,
                         const char *const names[], int vars[]);

/* --- threeway_value.c: S of a value, and comparison with it --- */

/* The slots of a table's record; META and CONTENT may be false. */
enum { LS_VALUE_TABLE = 1, LS_VALUE_META, LS_VALUE_CONTENT };

/** Push the record of a table of which the identity counts only; `idx` 0 = not even that is known. [-0, +1, m] */
LS_RAISES void ls__value_identity(lua_State *L, int idx);
/** Push the record of the value at `idx`: primitives and functions themselves; a table as its identity, metatable and a
 * structural copy of its content (depth 8, 10,000 fields, beyond that and for keys of `known` the identity only).
 * [-0, +1, m]
 * @param known  index of a table whose keys are compared by identity only */
LS_RAISES void ls__value_record(lua_State *L, int idx, int known);
/** Push the record of the table at `idx` field by field: its content is always there, each value as ls__value_record.
 * [-0, +1, m] */
LS_RAISES void ls__value_record_fields(lua_State *L, int idx, int known);
/** Does the value equal the recorded one (H49)? If `parts` is not 0, it is the index of a table, and each table below
 * the value that was compared by content becomes a key of it, with the value at `idx` as value. [-0, +0, m] */
LS_RAISES bool ls__value_equal(lua_State *L, int idx, int record, int parts);
/** Replace the value on top by the root of the group it belongs to in `parts`; false if it belongs to none. [-1, +1, -]
 * */
bool ls__value_group(lua_State *L, int parts);
/** Push the content table of a record, or nil if it is no table's or has only the identity. [-0, +1, -] */
void ls__value_content(lua_State *L, int record);

/* --- threeway_walk.c: what the new text has made, and who else holds it --- */

/* A set of addresses in a userdata on the stack, so that a raise leaks nothing. */
struct ls_address_set;
LS_RAISES struct ls_address_set *ls__address_set(lua_State *L); /* [-0, +1, m] */

/* The walk over fresh content: functions whose source is the file, and tables that are not `known`. */
struct ls_fresh {
    lua_State *L;
    const char *source;    /* "@key" */
    int known;             /* index of a table whose keys are not entered */
    int seen;              /* index of the address set */
    int tables, functions; /* indexes of arrays: what was found, in order */
    lua_Integer table_count, function_count;
    size_t budget; /* fields that may still be looked at */
};
/** Consider the value on top of the stack as a root. [-1, +0, m] */
LS_RAISES void ls__fresh_add(struct ls_fresh *walk);
/** Consider the functions in a table that outlives a run and belongs to it: those that a chunk has put there are of its
 * file. [-0, +0, m] */
LS_RAISES void ls__fresh_add_functions(struct ls_fresh *walk, int table);
/** The same for each global name space, as in `Tool = Tool or {}`. [-0, +0, m] */
LS_RAISES void ls__fresh_add_globals(struct ls_fresh *walk);
/** Follow everything found so far. [-0, +0, m] */
LS_RAISES void ls__fresh_run(struct ls_fresh *walk);

/** Which of the candidates can be reached from the registry (H49: "held anywhere else")? Looks at 100,000 fields at
 * most; beyond that all count as held. Weak tables hold nothing. [-0, +0, m]
 * @param candidates  index: table → root table that it belongs to
 * @param held        index: gets root table → true
 * @param skip        index: tables not to be entered are its keys */
LS_RAISES void ls__find_held(lua_State *L, int candidates, int held, int skip);

/* --- threeway.c, threeway_places.c --- */

/* Keys of a record of an execution (Lua table). */
#define LS_RECORD_GLOBALS "globals" /* name → S */
#define LS_RECORD_STATICS "statics" /* prototype → table of field → S */
#define LS_RECORD_TABLES  "tables"  /* table that is taken over → its record */
#define LS_RECORD_LOCALS  "locals"  /* variable name → {function, index of the upvalue, S} */

/* One application of the rule; the ints are stack indexes where nothing else is said. */
struct ls_threeway {
    lua_State *L;
    struct ls_run *run;           /* the text; gets results */
    const char *source;           /* "@key" */
    const struct ls_scope *scope; /* NULL = locals are not governed */
    bool no_base;                 /* nothing is known of the execution before: data stays with the run */
    int record;                   /* what the execution before left; nil = a first load */
    int snapshot;                 /* taken before the chunk ran: _G and the prototypes at least */
    /* table whose keys have an identity of their own: prototypes, module values, app, libraries … */
    int known;
    /* prototype → table whose keys are its declared fields, or true: fields of these are governed */
    int prototypes;
    int redeclared; /* prototype → true: the new text declares it (H51) */
    /* array of further values that the chunk has made: callbacks of timers and watches, presenters … */
    int roots;
    int app;       /* the app object or nil */
    int old_value; /* the module's value before; nil at a first load */
    int skip;      /* the search for holders enters none of its keys */
    int undo;      /* triples for ls__threeway_undo needs: function, index of the upvalue, value before */

    /* --- the rule's own --- */
    int value;      /* what the execution gave */
    int next;       /* the new record */
    int changes;    /* triples: container, key, value before */
    int owned;      /* new table → the table that is to carry its content: an old one, or itself */
    int queue;      /* array of the keys of `owned`, in order */
    int taken;      /* old tables that are in `owned` already */
    int tables;     /* array of the fresh walk */
    int functions;  /* the same */
    int vars;       /* by variable: triples of function, index of its upvalue */
    int candidates; /* groups of new tables that would give way to old ones */
    int conflicts;  /* triples: container or function, key or upvalue, new value */
    void **ids;     /* by variable: identity of its upvalue; NULL = not found, LS_MANY = more than one */
    void **old;     /* by variable: identity of the upvalue that the execution before kept; NULL = none */
};

#define LS_MANY ((void *)1)

/** Apply the rule to the value on top of the stack, which the execution gave (nil has become true already). Replaces it
 * by the value that the module has from now on, and pushes the new record. After a raise ls__snapshot_restore(snapshot)
 * and ls__threeway_undo(undo) put everything back. [-1, +2, m] */
LS_RAISES void ls__threeway(struct ls_threeway *rule);
/** Give variables of the old version the values they had. [-0, +0, -] */
void ls__threeway_undo(lua_State *L, int undo);

/** Push an array of the three values at these indexes. [-0, +1, m] */
LS_RAISES void ls__triple_new(lua_State *L, int a, int b, int c);
/** Append such an array to a list. [-0, +0, m] */
LS_RAISES void ls__triples_add(lua_State *L, int list, int a, int b, int c);
/** Push the three values of an element. [-0, +3, -] */
void ls__triples_push(lua_State *L, int list, lua_Integer index);
/** How many elements an array has. [-0, +0, -] */
static inline lua_Integer ls__count(const struct ls_threeway *rule, int array)
{
    return (lua_Integer)lua_rawlen(rule->L, array);
}
/** Push a change as it is now: container, key, value before, present value. [-0, +4, -] */
void ls__change_push(struct ls_threeway *rule, lua_Integer index);
/** Push the present value of a new variable. @return false, and nothing pushed: it was not found, or more than once
 * [-0, +(1|0), -] */
bool ls__variable_push(struct ls_threeway *rule, int var);
/** Push the variable that the execution before kept under this name: function, index of the upvalue, value; three nils
 * if there is none.
 * @param locals  index of the part LS_RECORD_LOCALS or nil [-0, +3, m] */
LS_RAISES bool ls__old_local_push(lua_State *L, int locals, const char *name);
/** Step 4: fill `next`. [-0, +0, m] */
LS_RAISES void ls__places_record(struct ls_threeway *rule);
/** Step 5. [-0, +0, m] */
LS_RAISES void ls__places_decide(struct ls_threeway *rule);
/** Push table `name` of a record, or nil where there is none. @return its type [-0, +1, m] */
LS_RAISES int ls__record_part(lua_State *L, int record, const char *name);

#endif
