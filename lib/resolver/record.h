/* What an execution of a file gave: a walk over the values, and the record that is kept of them until the next
 * execution (S of the three-way rule).
 *
 * A place has a *path*: the hash of its root and of the keys that lead to it. A record maps paths to hashes of values,
 * so it needs no copies of them, and sessions that got the same values share one. The hash of a table is that of
 * everything below it; functions all count alike in it, since they follow the file. Beyond LS_RECORD_MOST places only
 * those nearest to the roots have a path of their own.
 *
 * What is large and not edited need not be read to be recorded: the record before says of it what stands there still.
 *
 * Owner thread: the session's. Nothing in here calls a metamethod or changes a table of the site. Rule: H49. */
#ifndef LS_RESOLVER_RECORD_H
#define LS_RESOLVER_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/map.h"
#include "vm/vm_internal.h"

enum { LS_RECORD_MOST = 20000 };
enum { LS_RECORD_DEPTHS = 64 }; /* deeper places are counted as if they were of this depth */

/** The path of a root: its kind is any number. */
uint64_t ls__path_root(int kind, const char *name, size_t len);
/** The path of the value under the key at `key` in a table of that path. Raw; needs no memory. [-0, +0, -] */
uint64_t ls__path_child(lua_State *L, uint64_t path, int key);
/** The path of the metatable of a table of that path. */
uint64_t ls__path_meta(uint64_t path);

/** What the record has at that path; `record` may be NULL. @return is there something; *hash (may be NULL) is its
 * value's hash, of a function that of the function itself */
bool ls__record_find(const struct ls_bytes *record, uint64_t path, uint64_t *hash);
/** The path under which the table that was met at that path was recorded: it may have been met before. */
uint64_t ls__record_canon(const struct ls_bytes *record, uint64_t path);

/* A table that the walk has met. */
struct ls_seen {
    uint64_t hash;  /* of all that is below; while it is `open` unknown */
    uint64_t path;  /* where it was met first; 0 = nowhere that is recorded */
    bool open;      /* the walk is below it */
    bool code;      /* a function is somewhere below, metatables aside */
    bool behaviour; /* below is a metatable of the walk's own tables that has functions */
    bool nested;    /* it holds tables */
    bool sequence;  /* its keys are 1 to n */
};

struct ls_walk {
    lua_State *L;
    const char *source; /* "@key"; functions compiled from it are gathered; NULL = none are */
    int known;          /* stack index of a table: its keys have an identity of their own and are not entered */
    int functions;      /* stack index of the array of functions found */
    lua_Integer function_count;
    bool records;  /* paths are recorded */
    size_t budget; /* keys that are looked at; 0 = all. Hashes are wrong when it is used up */
    size_t left;   /* of it, while a value is followed */
    /* Long lists among the tables that `made` has (struct ls_vm) count as what the record `before` has at their paths;
     * whether nothing in them is the file's to give is for the caller to find out. Borrowed; NULL = all is read */
    const struct ls_bytes *before;
    const struct ls_idmap *made;
    size_t met;         /* functions among the gathered ones that `made` has */
    bool failed;        /* memory was short: hashes and the record are not to be used */
    lua_Integer looked; /* steps: every some thousand of them the limits of time are looked at (L5) */
    /* owned */
    struct ls_idmap *addresses; /* of tables: 1 + index in `seen`; of functions: itself */
    struct ls_seen *seen;
    size_t seen_count, seen_cap;
    const void **unread; /* addresses of such lists */
    size_t unread_count, unread_cap;
    struct ls__step *steps;
    size_t depth, steps_cap;
    struct ls__entry *entries;
    size_t entry_count, entry_cap;
    unsigned deepest;                      /* what is below it is not recorded */
    size_t kept;                           /* entries down to there */
    size_t at_depth[LS_RECORD_DEPTHS + 1]; /* entries that were made at each depth */
};
/** Begin. The walk is to be released, also after a raise. @return false without memory [-0, +0, -] */
bool ls__walk_init(struct ls_walk *walk, lua_State *L, const char *source, int known, int functions, bool records);
/** Free what it owns. */
void ls__walk_release(struct ls_walk *walk);
/** Follow the value at `idx`, which stands at that path (0 = at none). Functions of the file are appended to the array,
 * their upvalues are not entered. Raises as the count hook does when the entry's time is over (L5).
 * @return its hash [-0, +0, e] */
LS_RAISES uint64_t ls__walk_value(struct ls_walk *walk, int idx, uint64_t path);
/** Follow the functions in the table at `table`, which outlives a run, and in so many levels of tables below; with any,
 * not all keys are looked at. [-0, +0, m] */
LS_RAISES void ls__walk_functions(struct ls_walk *walk, int table, int levels);
/** The same for each table in a global that is not known, as in `Tool = Tool or {}`. [-0, +0, m] */
LS_RAISES void ls__walk_globals(struct ls_walk *walk);
/** Was the function at `idx` compiled from that source ("@key")? [-0, +0, -] */
bool ls__is_of_source(lua_State *L, int idx, const char *source);
/** Are the keys of the table at `table` 1 to n, and is none of its values a function? [-0, +0, e] */
LS_RAISES bool ls__is_list(lua_State *L, int table);
/** What was seen of the table at `idx`; NULL if it was not met. [-0, +0, -] */
const struct ls_seen *ls__walk_seen(const struct ls_walk *walk, int idx);
/** Hash a value by itself, as the walk of the execution that recorded it did.
 * @param above  array of the addresses of the tables above it @return the hash [-0, +0, m] */
LS_RAISES uint64_t ls__hash_value(struct ls_walk *scratch, int idx, const void *const *above, size_t above_count);
/** The hash that a record has for a function, or for a table that is known: it stands for itself.
 * [-0, +0, -] */
uint64_t ls__hash_identity(lua_State *L, int idx);
/** The record of all that was walked; owned use. NULL without memory. */
struct ls_bytes *ls__walk_record(struct ls_walk *walk);

#endif
