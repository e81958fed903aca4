/* Writing: access, the way through the path, and the cache that follows a write that succeeded (tracker.md section 10).
 * Owner thread: the session's. Rules: T30, T42, T55–T61, T100, T103, TX16, TX36. */
#include <string.h>

#include "tracker/tracker_internal.h"

/* Bring value, wrapper and type in line with what was written. A write is no change by itself (T61); but where a
 * wrapper stands between, what the clients see may have become another thing than what was written (TX36). */
static int take_value(struct ls_tracker *tracker, struct ls_var *var, ls_slot slot, bool report, struct ls_fault *fault)
{
    const struct ls_resolver *resolver = &tracker->resolver;
    struct ls__outward before = ls__outward(var);
    bool wrapped = var->wrapper_slot != 0;
    int bits = resolver->ops->adopt(resolver->ctx, slot, &var->value, fault);
    if (bits < 0) return -1;
    var->value.nil_step = 0;
    if (bits & (LS_CHECK_CHANGED | LS_CHECK_TYPE | LS_CHECK_MOVED)) {
        bool differs = ls__settle(tracker, var, before, (bits & LS_CHECK_CHANGED) != 0);
        if (differs && (report || wrapped || var->wrapper_slot)) {
            ls__mark_value(tracker, var);
            if (report) var->change_count++;
        }
    }
    return bits;
}

void ls_tracker_free_type(struct ls_var *var)
{
    var->auto_type = true;
}

int ls_tracker_set_value(struct ls_tracker *tracker, struct ls_var *var, ls_slot value, struct ls_fault *fault)
{
    struct ls_fault scratch;
    if (!fault) fault = &scratch;
    if (!var->held) {
        tracker->resolver.ops->free_slot(tracker->resolver.ctx, value);
        return ls_fault_set(fault, LS_FAULT_BAD_ACCESS, "variable %lld has no value of its own", (long long)var->id);
    }
    tracker->busy++;
    fault->kind = LS_FAULT_NONE;
    int bits = take_value(tracker, var, value, true, fault);
    if (bits < 0 || (bits & LS_CHECK_FAULT))
        ls__fault_put(tracker, var, fault, false);
    else if (!fault->kind)
        ls__fault_clear(tracker, var);
    ls__busy_end(tracker);
    return bits < 0 ? -1 : 0;
}

/* Which object is written to, where the writer has named it (R8). */
struct target {
    int64_t object; /* 0 = the one that the path leads to */
    bool present;   /* that is the same */
};

static int write_through(struct ls_tracker *tracker, struct ls_var *var, ls_slot value, const struct target *target,
                         struct ls_fault *fault)
{
    const struct ls_resolver *resolver = &tracker->resolver;
    ls_slot from = 0, copy = 0;
    if (!var->path || var->path->count == 0)
        return ls_fault_set(fault, LS_FAULT_BAD_ACCESS, "variable %lld has no path to write to", (long long)var->id);
    if (!target->object && ls__start(tracker, var, &from, fault)) return -1;
    const struct ls_path *path = var->path;
    enum ls_access access = (enum ls_access)var->access;
    int64_t computing = ls_tracker_set_computing(tracker, var->id);
    int rc = resolver->ops->store(resolver->ctx, from, path, target->object, access, value, fault);
    ls_tracker_set_computing(tracker, computing);
    if (rc) return -1;
    /* An action without placeholder ignores its value (T57), so there is nothing to keep. The code that ran may have
     * given the variable another path: then what was written says nothing about it. Nor does what went to another
     * object. */
    if (!target->present || var->path != path ||
        (access == LS_ACCESS_ACTION && path->steps[path->count - 1].kind == LS_STEP_CALL))
        return 0;
    if (resolver->ops->copy(resolver->ctx, value, &copy, fault) || take_value(tracker, var, copy, false, fault) < 0)
        return -1;
    return 0;
}

static int write_slot(struct ls_tracker *tracker, struct ls_var *var, ls_slot value, const struct target *target,
                      struct ls_fault *fault)
{
    struct ls_fault scratch;
    int rc;
    int64_t id = var->id;
    if (!fault) fault = &scratch;
    /* T30: access is judged before anything else */
    int gone = var->access == LS_ACCESS_R ? 0 : ls__row_reach(tracker, id, fault);
    var = ls_tracker_find(tracker, id);
    if (!var) /* what ran to find out has destroyed it */
        return ls_fault_set(fault, LS_FAULT_GONE, "variable %lld is gone", (long long)id);
    tracker->busy++;
    if (gone) {
        rc = -1;
    } else if (var->access == LS_ACCESS_R) {
        rc = ls_fault_set(fault, LS_FAULT_BAD_ACCESS, "variable %lld cannot be written: its access is r",
                          (long long)var->id);
    } else if (var->held) {
        ls_slot copy = 0;
        rc = tracker->resolver.ops->copy(tracker->resolver.ctx, value, &copy, fault);
        if (rc == 0 && take_value(tracker, var, copy, true, fault) < 0) rc = -1;
    } else {
        struct ls_path *path = var->path;
        if (path) path->uses++; /* code that runs on the way may set another path; this one is being walked */
        rc = write_through(tracker, var, value, target, fault);
        ls__path_put(tracker, path);
    }
    if (rc)
        ls__fault_put(tracker, var, fault, true);
    else
        ls__fault_clear(tracker, var);
    ls__busy_end(tracker);
    return rc;
}

int ls_tracker_write_slot(struct ls_tracker *tracker, struct ls_var *var, ls_slot value, struct ls_fault *fault)
{
    return write_slot(tracker, var, value, &(struct target){.present = true}, fault);
}

static int write_json(struct ls_tracker *tracker, struct ls_var *var, const char *json, size_t len,
                      const struct target *target, struct ls_fault *fault)
{
    const struct ls_resolver *resolver = &tracker->resolver;
    struct ls_fault scratch;
    ls_slot slot = 0;
    if (!fault) fault = &scratch;
    int opened = ls_tracker_enter(tracker), rc = -1; /* the steps of a write share one bracket: each event is one */
    /* T30: access is judged before anything else, so a read-only variable says so whatever the value is. */
    if (var->access != LS_ACCESS_R && resolver->ops->decode(resolver->ctx, json, len, &slot, fault)) {
        ls__fault_put(tracker, var, fault, true);
    } else {
        rc = write_slot(tracker, var, slot, target, fault);
        resolver->ops->free_slot(resolver->ctx, slot);
    }
    ls_tracker_leave(tracker, opened);
    return rc;
}

int ls_tracker_write(struct ls_tracker *tracker, struct ls_var *var, const char *json, size_t len,
                     struct ls_fault *fault)
{
    return write_json(tracker, var, json, len, &(struct target){.present = true}, fault);
}

int ls_tracker_write_to(struct ls_tracker *tracker, struct ls_var *var, int64_t object, const char *json, size_t len,
                        struct ls_fault *fault)
{
    struct target target = {.object = object};
    struct ls_fault scratch;
    int64_t id = var->id;
    if (!fault) fault = &scratch;
    if (var->access != LS_ACCESS_R && ls__place_reach(tracker, id, object, &target.present, fault)) {
        var = ls_tracker_find(tracker, id);
        if (var) ls__fault_put(tracker, var, fault, true);
        return -1;
    }
    return write_json(tracker, var, json, len, &target, fault);
}
