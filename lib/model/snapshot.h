/* Raw work on Lua tables, and snapshots: copies, one level deep, of tables that a chunk may change, to see what it has
 * changed and to put it back. Nothing in here calls a metamethod. Owner thread: the session's. */
#ifndef LS_MODEL_SNAPSHOT_H
#define LS_MODEL_SNAPSHOT_H

#include "vm/vm_internal.h"

/** Push table[value at `key`], nil where `table` holds no table. @return its type [-0, +1, -] */
int ls__raw_get(lua_State *L, int table, int key);
/** Push the field of that name of the table behind a reference, raw: a module's value, or its record. @return its type
 * [-0, +1, m] */
LS_RAISES int ls__push_field(struct ls_session *session, lua_State *L, int ref, const char *name);
/** table[value at `key`] = value at `value`. [-0, +0, m] */
LS_RAISES void ls__raw_set(lua_State *L, int table, int key, int value);
/** Is the value at `key` a key of the table? [-0, +0, -] */
bool ls__has_key(lua_State *L, int table, int key);
/** table[value on top] = true; the value is popped. [-1, +0, m] */
LS_RAISES void ls__set_add(lua_State *L, int table);
/** Append an array of the values at these indexes to a list. [-0, +0, m] */
LS_RAISES void ls__triples_add(lua_State *L, int list, int a, int b, int c);
/** Push the three values of an element. [-0, +3, -] */
void ls__triples_push(lua_State *L, int list, lua_Integer index);
/** Append the value at `idx` to an array. [-0, +0, m] */
LS_RAISES void ls__array_add(lua_State *L, int list, int idx);
/** Push a copy of the table's own fields. [-0, +1, m] */
LS_RAISES void ls__raw_copy(lua_State *L, int table);

/** Push an empty snapshot. [-0, +1, m] */
LS_RAISES void ls__snapshot_new(lua_State *L);
/** Copy own fields and metatable of the table at `idx`, unless it is in the snapshot already. [-0, +0, m] */
LS_RAISES void ls__snapshot_add(lua_State *L, int snapshot, int idx);
/** Push the record of the table at `idx`, nil where it has none. @return has it one [-0, +1, -] */
bool ls__snapshot_record(lua_State *L, int snapshot, int idx);
/** Has the table at `table` the fields of its record? May say no where they only stand in another order; no where there
 * is no record. [-0, +0, -] */
bool ls__snapshot_same(lua_State *L, int record, int table);
/** Push the value that the table had under the key; `record` and `key` are absolute.
 * @param at  0 at first; keys that are asked for in the order of a traversal are found at once. Others replace the
 *            record on the stack by a table of its fields [-0, +1, m] */
LS_RAISES void ls__snapshot_was(lua_State *L, int record, int key, int *at);
/** Put every table back as it was. Needs memory where fields have been removed: lift the limit before. [-0, +0, m] */
LS_RAISES void ls__snapshot_restore(lua_State *L, int snapshot);
/** What has changed since `inner` was taken counts as having been so before `outer` was: for a module that was loaded
 * completely while another one ran. [-0, +0, m] */
LS_RAISES void ls__snapshot_amend(lua_State *L, int outer, int inner);

#endif
