/* Finalizers of site code under the session's limits, and warnings (L5, L145). Owner thread: the session's. */
#ifndef LS_VM_FINALIZERS_H
#define LS_VM_FINALIZERS_H

#include "vm/vm_internal.h"

/** lua_setmetatable for metatables that may be a site's: a `__gc` in them is bounded and its errors are reported. Pops the metatable or nil.
 * [-1, +0, m] */
LS_RAISES void ls__set_metatable(lua_State *L, int index);
/** setmetatable of sites. [-2, +1, e] */
LS_RAISES int l_setmetatable(lua_State *L);
/** debug.setmetatable of sites. [-0, +1, e] */
LS_RAISES int l_debug_setmetatable(lua_State *L);
/** The warning function of the state; `ud` is the session. Warnings are on until warn("@off"). */
void ls__warn(void *ud, const char *text, int to_be_continued);

#endif
