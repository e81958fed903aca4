/* Rows: variables whose path begins with `#ID`, so that they follow an element of a list and not its position (page.md
 * R1, R2). Which objects are elements, and whether one lives, is the resolver's knowledge; here is which variables hang
 * on them.
 *
 * A page reaches by such a path only what its list has shown: the id is checked once, when the path is set. From then
 * on the variable reads and writes the object, in the list or out of it; out of it what the variable and its subtree
 * remember is let go of at the end of each detection, so that a row on some page never is what keeps an object alive.
 * Owner thread: the session's. */
#include "tracker/tracker_internal.h"

/* Each collection is a pause for the session. A page that goes on writing to what is shown no more has what lived at
 * the last of them taken for alive until its next message. */
#define MAX_COLLECTIONS 8

static int is_element(struct ls_tracker *tracker, const struct ls_var *var)
{
    const struct ls_resolver *resolver = &tracker->resolver;
    if (!resolver->ops->element || !var->path->steps[0].row) return 0;
    return resolver->ops->element(resolver->ctx, ls__nav(var->parent), var->path->steps[0].row);
}

bool ls__is_settled(const struct ls_tracker *tracker)
{
    return tracker->resolver.epoch && *tracker->resolver.epoch == tracker->settled;
}

void ls__read_above(struct ls_tracker *tracker, const struct ls_var *var)
{
    struct ls_var *chain[LS__MAX_DEPTH + 1];
    size_t count = 0;
    for (struct ls_var *up = var->parent; up; up = up->parent)
        chain[count++] = up;
    tracker->busy++;
    while (count-- > 0)
        if (ls__is_readable(chain[count])) ls__check_now(tracker, chain[count]);
    ls__busy_end(tracker);
}

static void set_state(struct ls_tracker *tracker, struct ls_var *var, enum ls__row row)
{
    if (row == LS__ROW_OUTSIDE && !ls__list_enter(&tracker->outside, var, &var->outside_at))
        return; /* without memory it stays a row like any other, and is held */
    if (row != LS__ROW_OUTSIDE) ls__list_leave(&tracker->outside, var, offsetof(struct ls_var, outside_at));
    tracker->never = tracker->never + (row == LS__ROW_NEVER) - (var->row == LS__ROW_NEVER);
    var->row = (uint8_t)row;
    var->start = row == LS__ROW_NEVER ? NULL : var->parent;
}

void ls__row_forget(struct ls_tracker *tracker, struct ls_var *var)
{
    if (!var->row) return;
    set_state(tracker, var, LS__ROW_NOT);
    var->parent->rows--;
}

void ls__row_bind(struct ls_tracker *tracker, struct ls_var *var)
{
    bool by_row = var->path && var->path->by_row && var->parent && !var->held;
    if (!by_row) {
        ls__row_forget(tracker, var);
        return;
    }
    var->parent->rows += var->row == LS__ROW_NOT;
    set_state(tracker, var, LS__ROW_NEVER); /* reading the list looks at its rows */
    int element = is_element(tracker, var);
    if (element == 0 && !ls__is_settled(tracker)) {
        ls__read_above(tracker, var);
        element = is_element(tracker, var);
    }
    set_state(tracker, var, element > 0 ? LS__ROW_INSIDE : LS__ROW_NEVER);
}

bool ls_var_has_rows(const struct ls_var *var)
{
    return var->rows > 0;
}

void ls__rows_follow(struct ls_tracker *tracker, struct ls_var *list)
{
    uint32_t left = list->rows;
    bool grew = (list->value.flags & LS_VALUE_GREW) && !list->wrapper_slot && !(list->due & LS__DUE_KEYS);
    if (grew && !tracker->outside.count && !tracker->never) return; /* all rows are where they belong */
    for (struct ls_var *var = list->first; var && left; var = var->next) {
        if (!var->row) continue;
        left--;
        int element = is_element(tracker, var);
        if (element < 0) return;
        if (element)
            set_state(tracker, var, LS__ROW_INSIDE);
        else if (var->row == LS__ROW_INSIDE)
            set_state(tracker, var, LS__ROW_OUTSIDE);
    }
}

/* Rows outside of their lists within this subtree hang on objects of their own. */
static const struct ls_var *next_below(const struct ls_var *var, const struct ls_var *top)
{
    if (var->first && (var == top || var->row != LS__ROW_OUTSIDE)) return var->first;
    while (var != top) {
        if (var->next) return var->next;
        var = var->parent;
    }
    return NULL;
}

static void let_go(struct ls_tracker *tracker, const struct ls_var *row)
{
    const struct ls_resolver *resolver = &tracker->resolver;
    for (const struct ls_var *var = row; var; var = next_below(var, row)) {
        if (var != row && var->row == LS__ROW_OUTSIDE) continue;
        if (var->value.shape == LS_SHAPE_ARRAY || var->value.shape == LS_SHAPE_OBJECT)
            resolver->ops->loosen(resolver->ctx, row->path->steps[0].row, var->value.slot);
        if (var->wrapper_slot) resolver->ops->loosen(resolver->ctx, row->path->steps[0].row, var->wrapper_slot);
    }
}

void ls__rows_let_go(struct ls_tracker *tracker)
{
    if (!tracker->outside.count || !tracker->resolver.ops->loosen) return;
    int opened = ls_tracker_enter(tracker);
    for (size_t i = 0; i < tracker->outside.count; i++)
        let_go(tracker, tracker->outside.items[i]);
    ls_tracker_leave(tracker, opened);
}

void ls__let_go(struct ls_tracker *tracker)
{
    if (!ls__is_settled(tracker)) ls_tracker_detect(tracker);
    ls__rows_let_go(tracker);
}

bool ls__may_collect(struct ls_tracker *tracker)
{
    if (tracker->collect_batch != tracker->batch) {
        tracker->collect_batch = tracker->batch;
        tracker->collections = 0;
    }
    return tracker->collections < MAX_COLLECTIONS && ++tracker->collections;
}

/* The way down to a variable: NOT without any row, else the state of the row that says most against it. */
static enum ls__row way_to(const struct ls_var *var)
{
    enum ls__row way = LS__ROW_NOT;
    for (; var; var = var->parent) {
        if (var->row == LS__ROW_NEVER) return LS__ROW_NEVER;
        if (var->row > way) way = (enum ls__row)var->row;
    }
    return way;
}

/* @return 0 if all rows on the way live, -1 and fault */
static int all_alive(struct ls_tracker *tracker, const struct ls_var *var, bool collect, struct ls_fault *fault)
{
    const struct ls_resolver *resolver = &tracker->resolver;
    for (; var; var = var->parent) {
        if (var->row != LS__ROW_OUTSIDE) continue;
        if (!resolver->ops->alive(resolver->ctx, var->path->steps[0].row, collect))
            return ls_fault_set(fault, LS_FAULT_GONE, "the element '%.100s' is gone", var->path->steps[0].name);
        collect = false;
    }
    return 0;
}

int ls__row_reach(struct ls_tracker *tracker, int64_t id, struct ls_fault *fault)
{
    struct ls_var *var = ls_tracker_find(tracker, id);
    enum ls__row way = way_to(var);
    if (way == LS__ROW_NOT) return 0;
    if (!ls__is_settled(tracker)) { /* what ran in this batch may have changed the lists */
        ls__read_above(tracker, var);
        var = ls_tracker_find(tracker, id);
        way = way_to(var);
    }
    if (!var || way == LS__ROW_NEVER)
        return ls_fault_set(fault, LS_FAULT_GONE, "variable %lld follows no element of its list", (long long)id);
    if (way == LS__ROW_INSIDE) return 0;
    ls__let_go(tracker);
    var = ls_tracker_find(tracker, id);
    if (!var) return ls_fault_set(fault, LS_FAULT_GONE, "variable %lld is gone", (long long)id);
    if (way_to(var) == LS__ROW_INSIDE) return 0;
    return all_alive(tracker, var, ls__may_collect(tracker), fault);
}
