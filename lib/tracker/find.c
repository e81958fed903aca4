/* Variables found by id and by object, where their paths start, and the end of a call under which nothing may be
 * destroyed.
 * Owner thread: the session's. Rules: T15, T93a, T104, T105. */
#include "tracker/tracker_internal.h"

#include <string.h>

struct ls_var *ls__find_any(const struct ls_tracker *tracker, int64_t id)
{
    return ls_idmap_get(tracker->by_id, id);
}

struct ls_var *ls_tracker_find(const struct ls_tracker *tracker, int64_t id)
{
    struct ls_var *var = ls__find_any(tracker, id);
    return var && !var->dying ? var : NULL;
}

size_t ls_tracker_count(const struct ls_tracker *tracker)
{
    return tracker->count;
}

/* Variables that show the same object are chained; the map knows the one that came last. */
void ls__index_object(struct ls_tracker *tracker, struct ls_var *var, bool gone)
{
    int64_t object = !gone && var->value.shape == LS_SHAPE_OBJECT ? var->value.object : 0;
    if (object == var->indexed) return;
    if (var->indexed) {
        if (var->object_next) var->object_next->object_prev = var->object_prev;
        if (var->object_prev)
            var->object_prev->object_next = var->object_next;
        else if (var->object_next)
            ls_idmap_put(tracker->by_object, var->indexed, var->object_next, NULL); /* replaces: takes no memory */
        else
            ls_idmap_take(tracker->by_object, var->indexed);
    }
    var->object_prev = var->object_next = NULL;
    var->indexed = 0;
    if (object) {
        struct ls_var *first = ls_idmap_get(tracker->by_object, object);
        if (!ls_idmap_put(tracker->by_object, object, var, NULL))
            return; /* not found by its object until it is seen anew */
        var->object_next = first;
        if (first) first->object_prev = var;
        var->indexed = object;
    }
}

size_t ls_tracker_by_object(const struct ls_tracker *tracker, int64_t object, int64_t *ids, size_t max)
{
    size_t count = 0;
    uint64_t after = 0;
    while (count < max) {
        const struct ls_var *next = NULL;
        for (const struct ls_var *var = ls_idmap_get(tracker->by_object, object); var; var = var->object_next)
            if (!var->dying && var->sequence > after && (!next || var->sequence < next->sequence)) next = var;
        if (!next) break;
        after = next->sequence;
        ids[count++] = next->id;
    }
    return count;
}

bool ls_tracker_stopped(struct ls_tracker *tracker)
{
    const struct ls_resolver *resolver = &tracker->resolver;
    return resolver->ops->stopped && resolver->ops->stopped(resolver->ctx);
}

/* --- where paths start --- */

int ls__row_never(const struct ls_var *var, struct ls_fault *fault)
{
    return ls_fault_set(fault, LS_FAULT_GONE, "the list has no element '%.100s'", var->path->steps[0].name);
}

const struct ls_var *ls__start_at(const struct ls_tracker *tracker, const struct ls_var *var)
{
    if (!var->path || !var->path->standard) return var->start;
    const char *name = var->path->standard;
    int64_t id = strcmp(name, "@app") == 0 ? 1 : (intptr_t)ls_map_get(tracker->names, name, strlen(name));
    return id ? ls_tracker_find(tracker, id) : NULL;
}

int ls__start(struct ls_tracker *tracker, const struct ls_var *var, ls_slot *from, struct ls_fault *fault)
{
    if (var->row == LS__ROW_NEVER) return ls__row_never(var, fault);
    const struct ls_var *start = ls__start_at(tracker, var);
    if (!start && var->path && var->path->standard)
        return ls_fault_set(fault, LS_FAULT_PATH_ERROR, "there is no standard variable '%.100s'", var->path->standard);
    if (!start) return ls_fault_set(fault, LS_FAULT_NOT_FOUND, "the parent variable is gone");
    *from = ls__nav(start);
    return 0;
}

/* --- destroying waits (T93a) --- */

void ls__busy_end(struct ls_tracker *tracker)
{
    if (tracker->busy == 1 && tracker->doomed_count) tracker->remove_doomed(tracker);
    tracker->busy--;
}
