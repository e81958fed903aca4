/* The three-way rule (H48, H49, H51, H56): what of a file's governed places follows the file, and what follows the run.
 *
 * Inside the session room only. A *record* is what an execution of the file gave at its governed places (S of H49); it
 * lives in a Lua table that the caller keeps. Everything marked LS_RAISES must run under the gate. Owner thread: the
 * session's. */
#ifndef LS_RELOAD_THREEWAY_H
#define LS_RELOAD_THREEWAY_H

#include <stdbool.h>
#include <stddef.h>

#include <lua.h>

#include "base/buf.h"

#ifndef LS_RAISES
#define LS_RAISES
#endif

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
 * @param vars   room for `upvalues` entries. @return is there such a function */
bool ls__scope_variables(const struct ls_scope *scope, int first_line, int last_line, int upvalues,
                         const char *const names[], int vars[]);

/* --- threeway_value.c: S of a value, and comparison with it --- */

/** Push the record of the value at `idx`: primitives and functions themselves; a table as its identity, metatable and a
 * structural copy of its content (depth 8, 10,000 entries, beyond that and for keys of `known` the identity only).
 * [-0, +1, m]
 * @param known  index of a table whose keys are compared by identity only */
LS_RAISES void ls__value_record(lua_State *L, int idx, int known);
/** Push the record of the table at `idx` entry by entry: its content is always there, each entry as ls__value_record.
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

bool ls__has_key(lua_State *L, int table, int idx); /* is the value at `idx` a key of the table? [-0, +0, -] */

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
    size_t budget; /* entries that may still be looked at */
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

/** Which of the candidates can be reached from the registry (H49: "held anywhere else")? Looks at 100,000 entries at
 * most; beyond that all count as held. Weak tables hold nothing. [-0, +0, m]
 * @param candidates  index: table → root table that it belongs to
 * @param held        index: gets root table → true
 * @param skip        index: tables not to be entered are its keys */
LS_RAISES void ls__find_held(lua_State *L, int candidates, int held, int skip);

/* --- snapshot.c: raw copies of tables, to see what a chunk has changed and to put it back (H59) --- */

/** Push an empty snapshot. [-0, +1, m] */
LS_RAISES void ls__snapshot_new(lua_State *L);
/** Copy own fields and metatable of the table at `idx`, unless it is in the snapshot already. [-0, +0, m] */
LS_RAISES void ls__snapshot_add(lua_State *L, int snapshot, int idx);
/** Push the fields as they were, or nil if the table is not in the snapshot. [-0, +1, -] */
void ls__snapshot_fields(lua_State *L, int snapshot, int idx);
/** Put every table back as it was. Needs memory where fields have been removed: lift the limit before. [-0, +0, m] */
LS_RAISES void ls__snapshot_restore(lua_State *L, int snapshot);
/** What has changed since `inner` was taken counts as having been so before `outer` was: for a module that was loaded
 * completely while another one ran (H59). [-0, +0, m] */
LS_RAISES void ls__snapshot_amend(lua_State *L, int outer, int inner);

/* --- threeway.c, threeway_places.c --- */

/* Keys of a record of an execution (Lua table). */
#define LS_RECORD_GLOBALS "globals" /* name → S */
#define LS_RECORD_STATICS "statics" /* prototype → table of field → S */
#define LS_RECORD_TABLES  "tables"  /* table that is taken over → its record */
#define LS_RECORD_LOCALS  "locals"  /* variable name → {function, index of the upvalue, S} */

struct ls_threeway {
    lua_State *L;
    const char *source; /* "@key" */
    const char *text;   /* of the file: what it still says (H51) */
    size_t text_len;
    const struct ls_scope *scope; /* NULL = locals are not governed */
    bool keep_removed;            /* H51 is turned off */
    bool no_base;                 /* nothing is known of the execution before: data stays with the run */
    /* Stack indexes. */
    int record;   /* what the execution before left; nil = a first load */
    int snapshot; /* taken before the chunk ran: _G and the prototypes at least */
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
    int undo;      /* array that gets what ls__threeway_undo needs */
    /* Results. */
    unsigned methods_removed;
    struct ls_buf *removed; /* names of removed methods, comma-separated */
    struct ls_buf *notes;   /* lines for level 2 of the log */
    bool taken_over;        /* the module's value is still the old table (H48) */
};

/** Apply the rule to the value on top of the stack, which the execution gave (nil has become true already). Replaces it
 * by the value that the module has from now on, and pushes the new record. After a raise ls__snapshot_restore(snapshot)
 * and ls__threeway_undo(undo) put everything back. [-1, +2, m] */
LS_RAISES void ls__threeway(struct ls_threeway *rule);
/** Give variables of the old version the values they had. [-0, +0, -] */
void ls__threeway_undo(lua_State *L, int undo);

#endif
