/* Where a variable's place lies: the object that all steps of its path but the last lead to (page.md R8). A page that
 * has begun an edit says which object it saw, so it is told whenever that is another one.
 *
 * Nothing is asked while nothing can have changed. One step below another variable the object is that variable's own,
 * looked at when such a value has moved. A longer path is followed once more after code has run, since it may lead
 * through objects that no variable shows; if it calls methods on the way, reading the value finds the object as well,
 * so none is called twice, and where nothing is read none is called.
 *
 * Kept beside the variables, by id: most have no such place, and detection of an unchanged one shall not see it.
 * Owner thread: the session's. */
#include <string.h>

#include "base/alloc.h"
#include "tracker/tracker_internal.h"

#define TOLD_MAX 16 /* objects that a place remembers; an edit of longer ago is refused */

struct ls__place {
    uint32_t at; /* 1 + place in the tracker's list, 0 = in none */
    bool known;
    uint8_t told_count;
    int64_t object; /* what holds the place, 0 = nothing */
    int64_t *told;  /* what held it before, oldest first; owned, NULL until there is one */
};

static struct ls__place *place_of(const struct ls_tracker *tracker, const struct ls_var *var)
{
    return var->placed ? ls_idmap_get(tracker->places, var->id) : NULL;
}

static struct ls__var_list *list_of(struct ls_tracker *tracker, uint8_t kind)
{
    return kind == LS__PLACE_BELOW ? &tracker->below : kind == LS__PLACE_ALONG ? &tracker->along : NULL;
}

/* --- which variables have one that can be exchanged --- */

static bool calls_on_the_way(const struct ls_path *path)
{
    for (uint32_t i = 0; i + 1 < path->count; i++)
        if (path->steps[i].kind == LS_STEP_CALL) return true;
    return false;
}

static bool is_row(const struct ls_path *path)
{
    return path && path->by_row && path->count == 1;
}

/* The object of a variable that holds its own value, the app object first of all, is exchanged by a new start only, and
 * all below it with it. A row is bound to its object (R2). */
static bool is_fixed(const struct ls_var *var)
{
    const struct ls_var *start = var->start;
    if (var->path->standard) return strcmp(var->path->standard, "@app") == 0;
    return !start || start->held || is_row(start->path);
}

static enum ls__place_kind kind_of(const struct ls_var *var)
{
    const struct ls_path *path = var->path;
    if (!path || !path->count || var->held || var->access == LS_ACCESS_R) return LS__PLACE_NONE;
    if (path->by_row && path->count <= 2) return LS__PLACE_NONE;
    if (path->count == 1) return is_fixed(var) ? LS__PLACE_NONE : LS__PLACE_BELOW;
    if (!calls_on_the_way(path)) return LS__PLACE_ALONG;
    return ls__is_readable(var) ? LS__PLACE_READ : LS__PLACE_NONE;
}

static void drop_place(struct ls_tracker *tracker, struct ls_var *var, struct ls__place *place)
{
    struct ls__var_list *list = list_of(tracker, var->placed);
    if (place->at) {
        struct ls_var *last = list->items[--list->count];
        list->items[place->at - 1] = last;
        place_of(tracker, last)->at = place->at;
    }
    ls_idmap_take(tracker->places, var->id);
    ls_budget_free(tracker->budget, place->told);
    ls_budget_free(tracker->budget, place);
    var->placed = LS__PLACE_NONE;
    var->pending_place = false;
}

void ls__place_forget(struct ls_tracker *tracker, struct ls_var *var)
{
    struct ls__place *place = place_of(tracker, var);
    if (place) drop_place(tracker, var, place);
}

/* Without memory the variable has no such place: its writes go where the path leads, as everybody else's. */
void ls__place_aim(struct ls_tracker *tracker, struct ls_var *var)
{
    enum ls__place_kind kind = var->wants_place ? kind_of(var) : LS__PLACE_NONE;
    ls__place_forget(tracker, var);
    if (!kind) return;
    struct ls__place *place = ls_budget_zalloc(tracker->budget, sizeof *place);
    if (!tracker->places) tracker->places = ls_idmap_new_in(tracker->budget);
    struct ls__var_list *list = list_of(tracker, (uint8_t)kind);
    if (!place || !tracker->places || !ls_idmap_put(tracker->places, var->id, place, NULL)) {
        ls_budget_free(tracker->budget, place);
        return;
    }
    var->placed = (uint8_t)kind;
    if (list && ls__list_add(list, var))
        place->at = (uint32_t)list->count;
    else if (list)
        drop_place(tracker, var, place);
}

void ls__places_free(struct ls_tracker *tracker)
{
    ls_idmap_free(tracker->places, NULL); /* each went with its variable */
    ls_budget_free(tracker->budget, tracker->below.items);
    ls_budget_free(tracker->budget, tracker->along.items);
}

/* --- following it --- */

static size_t find_told(const struct ls__place *place, int64_t object)
{
    size_t i = 0;
    while (i < place->told_count && place->told[i] != object)
        i++;
    return i;
}

static void remember(struct ls_tracker *tracker, struct ls__place *place, int64_t object)
{
    if (!place->told) place->told = ls_budget_zalloc(tracker->budget, TOLD_MAX * sizeof *place->told);
    if (!place->told) return;
    size_t at = find_told(place, object);
    if (at == place->told_count && at == TOLD_MAX) at = 0;
    if (at < place->told_count) {
        place->told_count--;
        memmove(place->told + at, place->told + at + 1, (place->told_count - at) * sizeof *place->told);
    }
    place->told[place->told_count++] = object;
}

void ls__place_found(struct ls_tracker *tracker, struct ls_var *var, int64_t object)
{
    struct ls__place *place = place_of(tracker, var);
    if (!place || (place->known && place->object == object)) return;
    if (place->known && place->object && !var->pending_place) /* what nobody has heard of need not be kept */
        remember(tracker, place, place->object);
    place->known = true;
    place->object = object;
    var->pending_place = true;
    ls__mark_pending(tracker, var);
}

/* The object is what another variable shows; only arrays have no id there. */
static bool look_below(struct ls_tracker *tracker, const struct ls_var *var, int64_t *object)
{
    const struct ls_var *start = ls__start_at(tracker, var);
    const struct ls_value *nav = !start ? NULL : start->wrapper_slot ? &start->wrapper : &start->value;
    if (nav && nav->shape == LS_SHAPE_ARRAY) return false;
    *object = nav && nav->shape == LS_SHAPE_OBJECT ? nav->object : 0;
    return true;
}

void ls__place_find(struct ls_tracker *tracker, struct ls_var *var)
{
    const struct ls_resolver *resolver = &tracker->resolver;
    struct ls_fault fault;
    int64_t object = 0;
    ls_slot from;
    if (var->placed != LS__PLACE_BELOW && var->placed != LS__PLACE_ALONG) return;
    if (var->placed == LS__PLACE_ALONG || !look_below(tracker, var, &object)) {
        struct ls_path *path = var->path;
        path->uses++; /* code that runs on the way may set another path; this one is being walked */
        int rc = ls__start(tracker, var, &from, &fault)
                     ? 0
                     : resolver->ops->place(resolver->ctx, from, path, &object, &fault);
        bool same = var->path == path;
        ls__path_put(tracker, path);
        if (rc || !same)
            return; /* what cannot be followed now is told by reading it; the object stays the one before */
    }
    ls__place_found(tracker, var, object);
}

static void follow(struct ls_tracker *tracker, struct ls__var_list *list)
{
    for (size_t i = 0; i < list->count; i++) /* code that runs on the way may add to it */
        ls__place_find(tracker, list->items[i]);
}

void ls__places_follow(struct ls_tracker *tracker)
{
    uint32_t epoch = ls__epoch_now(tracker);
    bool below = tracker->moved && tracker->below.count, along = tracker->placed_epoch != epoch && tracker->along.count;
    tracker->moved = false;
    tracker->placed_epoch = epoch;
    if (!below && !along) return;
    int opened = ls_tracker_enter(tracker);
    if (below) follow(tracker, &tracker->below);
    if (along) follow(tracker, &tracker->along);
    ls_tracker_leave(tracker, opened);
}

/* --- questions --- */

bool ls_var_place(const struct ls_var *var, int64_t *object)
{
    const struct ls__place *place = place_of(var->tracker, var);
    if (!place || !place->known) return false;
    *object = place->object;
    return true;
}

bool ls_var_wants_place(const struct ls_var *var)
{
    return var->wants_place;
}

static bool holds_now(const struct ls_var *var, int64_t object)
{
    int64_t now = 0;
    ls_var_place(var, &now);
    return object == now;
}

static bool lives(const struct ls_tracker *tracker, int64_t object, bool collect)
{
    const struct ls_resolver *resolver = &tracker->resolver;
    return resolver->ops->alive && resolver->ops->alive(resolver->ctx, object, collect);
}

/* What ran in this batch may have exchanged it. */
static struct ls_var *look_again(struct ls_tracker *tracker, struct ls_var *var)
{
    int64_t id = var->id;
    tracker->busy++;
    ls__read_above(tracker, var);
    if (var->placed == LS__PLACE_READ)
        ls__check_now(tracker, var);
    else
        ls__place_find(tracker, var);
    ls__busy_end(tracker);
    return ls_tracker_find(tracker, id);
}

int ls__place_reach(struct ls_tracker *tracker, int64_t id, int64_t object, bool *present, struct ls_fault *fault)
{
    struct ls_var *var = ls_tracker_find(tracker, id);
    if (!ls__is_settled(tracker)) var = look_again(tracker, var);
    const struct ls__place *place = var ? place_of(tracker, var) : NULL;
    *present = var && holds_now(var, object);
    if (*present) return 0;
    if (!object || !place || find_told(place, object) == place->told_count || !lives(tracker, object, false)) goto gone;
    ls__let_go(tracker);
    var = ls_tracker_find(tracker, id);
    *present = var && holds_now(var, object);
    if (*present) return 0;
    if (var && lives(tracker, object, ls__may_collect(tracker)))
        return ls_tracker_find(tracker, id)
                   ? 0
                   : ls_fault_set(fault, LS_FAULT_GONE, "variable %lld is gone", (long long)id);
gone:
    return ls_fault_set(fault, LS_FAULT_GONE, "the object that this was meant for is gone");
}
