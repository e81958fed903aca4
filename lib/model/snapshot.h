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
/** Push a copy of the table's own fields. [-0, +1, m] */
LS_RAISES void ls__raw_copy(lua_State *L, int table);

/** Push an empty snapshot. [-0, +1, m] */
LS_RAISES void ls__snapshot_new(lua_State *L);
/** Copy own fields and metatable of the table at `idx`, unless it is in the snapshot already. [-0, +0, m] */
LS_RAISES void ls__snapshot_add(lua_State *L, int snapshot, int idx);
/** Push the fields as they were, or nil if the table is not in the snapshot. [-0, +1, -] */
void ls__snapshot_fields(lua_State *L, int snapshot, int idx);
/** Put every table back as it was. Needs memory where fields have been removed: lift the limit before. [-0, +0, m] */
LS_RAISES void ls__snapshot_restore(lua_State *L, int snapshot);
/** What has changed since `inner` was taken counts as having been so before `outer` was: for a module that was loaded
 * completely while another one ran. [-0, +0, m] */
LS_RAISES void ls__snapshot_amend(lua_State *L, int outer, int inner);

#endif
