/* Timers (lua-api.md section 18). Owner thread: the session's. */
#ifndef LS_MODEL_TIMERS_H
#define LS_MODEL_TIMERS_H

#include "vm/vm_internal.h"

struct ls_timer {
    uint64_t handle;     /* 1, 2, 3 … (L107) */
    int fn;              /* ref */
    int64_t interval_ns; /* 0 = runs once */
    int64_t due_ns;      /* monotonic */
    int64_t variable;    /* being computed when it was set (T97a, L114), 0 = none */
    uint64_t module;     /* serial of the module at whose load time it was set, 0 = none (L46) */
    uint32_t execution;  /* of that module (H57) */
};

/** Cancel the load-time timers of a module, all executions (execution 0) or one. @return how many */
unsigned ls__timers_drop_module(struct ls_session *session, uint64_t module, uint32_t execution);
/** How many of a module's load-time timers of earlier executions are pending; `intervals` counts intervals only (H57). */
unsigned ls__timers_of_module(const struct ls_session *session, uint64_t module, uint32_t before_execution, bool intervals);
/** Cancel all timers: the session ends. */
void ls__timers_release(struct ls_session *session);

#endif
