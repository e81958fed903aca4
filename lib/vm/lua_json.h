/* Lua values to JSON and back, as code calls it (L124 to L128); not the Value JSON of variables. Owner thread: the
 * session's. */
#ifndef LS_VM_LUA_JSON_H
#define LS_VM_LUA_JSON_H

#include "vm/vm_internal.h"

/** Append the JSON of the value at `index` (L124–L126). @return false and a static *problem: cycle, depth, holes, NaN,
 * length. Raises when the entry's time is over. [-0, +0, e] */
LS_RAISES bool ls__json_write(lua_State *L, int index, struct ls_buf *out, const char **problem);

#define LS_LOOK_BYTES 65536 /* of texts, between two looks at the stop flag */
/** Append a string, a long one with looks at the stop flag of `session`; NULL: without. @return false: stopped in its
 * middle. [-0, +0, -] */
bool ls__json_text(struct ls_session *session, struct ls_buf *out, const char *text, size_t len);

struct ls_key {
    const char *text; /* borrowed: valid while what ls__sorted_keys has pushed stays on the stack */
    size_t len;
};
/** The string keys of the table at `index` (absolute) that do not start with _, in byte order. [-0, +2, e] */
LS_RAISES const struct ls_key *ls__sorted_keys(lua_State *L, int index, size_t *count);

/* Functions that Lua code calls (L124 to L128). */
LS_RAISES int ls__l_ui_json_encode(lua_State *L);
LS_RAISES int ls__l_ui_json_decode(lua_State *L);

#endif
