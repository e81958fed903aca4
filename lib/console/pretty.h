/* Values as people read them in the REPL (C4), and fields as code would find them, without running any. Owner thread:
 * the session's. */
#ifndef LS_CONSOLE_PRETTY_H
#define LS_CONSOLE_PRETTY_H

#include "vm/vm_internal.h"

/** Append the value at `index`: tables two levels deep with type names, cycles marked, long ones cut with a count. Runs
 * __tostring and __name only. `max` bytes of output, 0 = no limit. Tables that do not fit into a line of `width`
 * columns have a line for each element, 0 = all is one line. [-0, +0, e] */
LS_RAISES void ls__pretty(lua_State *L, int index, struct ls_buf *out, size_t max, size_t width);

/** May the text stand for a field behind a dot: letters, digits and _, no digit first? */
bool ls__is_name(const char *text, size_t len);
/** Replace the value and the key above it by what the field gives by raw look-ups, through metatables whose __index is
 * a table, 50 at most; nil if there is none. [-2, +1, m] */
LS_RAISES void ls__field_push(lua_State *L);

#endif
