/* Watches of Lua code on variables (lua-api.md section 12). Owner thread: the session's. */
#ifndef LS_MODEL_WATCHES_H
#define LS_MODEL_WATCHES_H

#include "vm/vm_internal.h"

struct ls_watch {
    uint64_t handle;    /* 0 = ended while callbacks run, taken off afterwards */
    int64_t id;         /* variable */
    int name;           /* ref: property name; LUA_NOREF = every change (watchVariable) */
    int fn;             /* ref */
    uint64_t module;    /* serial of the module at whose load time it was made, 0 = none */
    uint32_t execution; /* of that module (H57) */
};

/** End one watch; an unknown handle is nothing. */
void ls__watch_end(struct ls_session *session, uint64_t handle);
/** End the watches that a module has made at load time, in that execution or (0) in any. @return how many */
unsigned ls__watches_drop_module(struct ls_session *session, uint64_t module, uint32_t execution);
/** How many watches a module's executions before that one have made and not ended (H57). */
unsigned ls__watches_of_module(const struct ls_session *session, uint64_t module, uint32_t before_execution);
/** End all: the session ends. */
void ls__watches_release(struct ls_session *session);

#endif
