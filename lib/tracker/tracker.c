/* The tracker's life, its ids, creating and destroying variables (tracker.md sections 2, 8, 20). Values are the
 * resolver's business.
 * Owner thread: the session's. Rules: T1, T8–T10, T15, T18, T40–T44, T74, T75, T93a, T106. */
#include "tracker/tracker.h"

#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "tracker/tracker_internal.h"

static void remove_tree(struct ls_tracker *tracker, struct ls_var *top, void (*gone)(void *ctx, struct ls_var *var),
                        void *ctx);
static void remove_doomed(struct ls_tracker *tracker);

struct ls_tracker *ls_tracker_new(const struct ls_tracker_config *config, struct ls_err *err)
{
    struct ls_tracker *tracker = ls_budget_zalloc(config->budget, sizeof *tracker);
    if (!tracker) goto fail;
    tracker->budget = config->budget;
    tracker->max_properties = config->max_properties;
    tracker->resolver = config->resolver;
    tracker->max_variables = config->max_variables;
    tracker->diag_level = config->diag_level;
    tracker->counter = 1;
    tracker->next_negative = -1;
    tracker->pass = 1;
    tracker->epoch = 1;
    tracker->batch = 1;
    tracker->remove_doomed = remove_doomed;
    tracker->by_id = ls_idmap_new_in(tracker->budget);
    tracker->by_object = ls_idmap_new_in(tracker->budget);
    tracker->paths = ls_map_new_in(tracker->budget);
    tracker->names = ls_map_new_in(tracker->budget);
    if (tracker->by_id && tracker->by_object && tracker->paths && tracker->names) return tracker;
fail:
    ls_tracker_free(tracker);
    ls_fail(err, LS_ENOMEM, "Out of memory while making a tracker.");
    return NULL;
}

void ls_tracker_free(struct ls_tracker *tracker)
{
    if (!tracker) return;
    tracker->busy++; /* destroy hooks of wrappers may ask for destroying; everything goes anyway */
    while (tracker->roots.count)
        remove_tree(tracker, tracker->roots.items[tracker->roots.count - 1], NULL, NULL);
    ls__vars_release(tracker);
    ls_idmap_free(tracker->by_id, NULL);
    ls_idmap_free(tracker->by_object, NULL);
    ls_map_free(tracker->paths, NULL);
    ls_map_free(tracker->names, NULL);
    ls__places_free(tracker);
    void *const blocks[] = {tracker->roots.items,   tracker->order.items,
                            tracker->pending.items, tracker->faulty.items,
                            tracker->news.items,    tracker->outside.items,
                            tracker->doomed,        tracker->changes,
                            tracker->change_names,  tracker};
    struct ls_budget *budget = tracker->budget;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        ls_budget_free(budget, blocks[i]);
}

int64_t ls_tracker_next_id(struct ls_tracker *tracker)
{
    return tracker->counter++;
}

int ls_tracker_name(struct ls_tracker *tracker, const char *name, int64_t id, struct ls_fault *fault)
{
    size_t len = strlen(name);
    if (len < 2 || name[0] != '@' || strpbrk(name, ".?"))
        return ls_fault_set(fault, LS_FAULT_BAD_PATH, "'%.100s' is no name for a standard variable: write @name", name);
    if (strcmp(name, "@app") == 0)
        return id == 1 ? 0 : ls_fault_set(fault, LS_FAULT_BAD_ACCESS, "'@app' is always variable 1");
    ls__epoch_move(tracker); /* paths that begin with the name lead elsewhere now */
    if (id == 0) {
        ls_map_take(tracker->names, name, len);
        return 0;
    }
    struct ls_var *var = ls_tracker_find(tracker, id);
    if (!var) return ls_fault_set(fault, LS_FAULT_NOT_FOUND, "there is no variable %lld", (long long)id);
    if (!ls_map_put(tracker->names, name, len, (void *)(intptr_t)id, NULL)) return ls__no_memory(tracker, fault);
    var->named = true;
    return 0;
}

int64_t ls_tracker_named(const struct ls_tracker *tracker, const char *name)
{
    if (strcmp(name, "@app") == 0) return ls_tracker_find(tracker, 1) ? 1 : 0;
    return (intptr_t)ls_map_get(tracker->names, name, strlen(name));
}

/* --- creating (T40) --- */

static int take_prop(struct ls_var *var, const struct ls_prop *prop, struct ls_fault *fault)
{
    struct ls__prop_name name;
    ls__prop_split(prop->name, prop->name_len, &name);
    if (ls__prop_put(var, &name, prop->value, prop->value_len, fault) < 0) return -1;
    return ls__props_check(var->tracker, ls_var_property_count(var), fault);
}

/* Merge what the creator gave: properties, then the query, which wins (T17); the path argument wins over the property
 * (T18). */
static int take_props(struct ls_var *var, const struct ls_var_spec *spec, struct ls_fault *fault)
{
    struct ls_prop path = {"path", spec->path, 4, spec->path ? spec->path_len : 0};
    bool argument = path.value_len;
    for (size_t i = 0; i < spec->prop_count; i++) {
        if (ls_prop_check(&spec->props[i], fault)) return -1;
        if (!ls_prop_is(&spec->props[i], "path")) {
            if (take_prop(var, &spec->props[i], fault)) return -1;
        } else if (!argument) {
            path = spec->props[i];
        }
    }
    const char *text;
    size_t text_len;
    path.value_len = ls_path_split(path.value, path.value_len, &text, &text_len);
    if (path.value_len) {
        var->path = ls__path_get(var->tracker, path.value, path.value_len, fault);
        if (!var->path || take_prop(var, &path, fault)) return -1;
    }
    struct ls__query query;
    int rc = ls__query_read(&query, text, text_len, fault);
    for (size_t i = 0; rc == 0 && i < query.count; i++) /* a path inside a path's query names nothing */
        if (!ls_prop_is(&query.props[i], "path")) rc = take_prop(var, &query.props[i], fault);
    ls__query_release(&query);
    return rc;
}

static int check_place(struct ls_tracker *tracker, const struct ls_var_spec *spec, struct ls_var **parent,
                       struct ls_fault *fault)
{
    *parent = NULL;
    if (spec->id && ls__find_any(tracker, spec->id))
        return ls_fault_set(fault, LS_FAULT_ID_IN_USE, "variable %lld exists already", (long long)spec->id);
    if (spec->parent) {
        *parent = spec->parent == spec->id ? NULL : ls_tracker_find(tracker, spec->parent);
        if (!*parent)
            return ls_fault_set(fault, LS_FAULT_BAD_PARENT, "there is no parent variable %lld",
                                (long long)spec->parent);
        if ((*parent)->depth >= LS__MAX_DEPTH)
            return ls_fault_set(fault, LS_FAULT_INTERNAL, "variables are nested deeper than %d levels", LS__MAX_DEPTH);
    }
    if (tracker->max_variables && tracker->count >= tracker->max_variables)
        return ls_fault_set(fault, LS_FAULT_INTERNAL,
                            "the session has %zu variables, the limit; --max-variables raises it",
                            tracker->max_variables);
    return 0;
}

/* Steps 3 and 4: nothing has been entered yet when this fails (T41). */
static struct ls_var *enter_var(struct ls_tracker *tracker, const struct ls_var_spec *spec, struct ls_var *parent,
                                struct ls_fault *fault)
{
    struct ls_var *var = ls__var_new(tracker);
    if (!var) {
        ls__no_memory(tracker, fault);
        return NULL;
    }
    enum ls_access access = LS_ACCESS_RW;
    int64_t id = spec->id;
    const struct ls__prop *word;
    if (take_props(var, spec, fault)) goto fail;
    word = ls__prop_find(var, "access", 6);
    if ((word && ls__access_read(word->value, strlen(word->value), &access, fault)) ||
        ls__access_check(var->path, access, fault) || (parent && ls__climb_check(var->path, parent, fault)))
        goto fail;
    if (parent && spec->has_value && var->path) {
        ls_fault_set(fault, LS_FAULT_BAD_PATH, "a variable has a value of its own or a path, not both");
        goto fail;
    }
    var->access = (uint8_t)access;
    var->priority = (uint8_t)ls__priority_read(ls_var_property(var, "priority"));
    var->active = true;
    var->held = !parent || spec->has_value;
    var->owner = spec->owner;
    var->owner_id = spec->owner_id;
    if (!id) id = parent ? tracker->next_negative : tracker->counter;
    while (!spec->id && ls__find_any(tracker, id))
        id += parent ? -1 : 1;
    var->id = id;
    if (!ls_idmap_put(tracker->by_id, id, var, NULL)) {
        ls__no_memory(tracker, fault);
        goto fail;
    }
    if (ls__tree_link(tracker, var, parent)) {
        ls_idmap_take(tracker->by_id, id);
        ls__no_memory(tracker, fault);
        goto fail;
    }
    if (!spec->id && parent)
        tracker->next_negative = id - 1;
    else if (!spec->id)
        tracker->counter = id + 1;
    tracker->count++;
    ls__var_aim(var);
    var->wants_place = spec->wants_place;
    ls__place_aim(tracker, var);
    if (!parent) ls__epoch_move(tracker); /* `@app` may have come into being */
    return var;
fail:
    ls__var_free(tracker, var);
    return NULL;
}

/* T74, T75: make an object where the path leads to none, and leave it there. */
static void run_create(struct ls_tracker *tracker, struct ls_var *var, const char *type)
{
    const struct ls_resolver *resolver = &tracker->resolver;
    struct ls_fault fault = {.kind = LS_FAULT_NONE};
    ls_slot made = 0, from;
    char *name = ls_strdup(type); /* the property may be set anew by what runs now */
    if (!name) return;
    if (var->value.slot) goto named; /* the place has its object already */
    if (resolver->ops->make(resolver->ctx, name, &made, &fault) || !made) {
        if (fault.kind) ls__fault_put(tracker, var, &fault, false);
        ls_free(name);
        return;
    }
    if (!var->held && var->path && var->path->count && (var->access == LS_ACCESS_RW || var->access == LS_ACCESS_W)) {
        enum ls_step_kind last = var->path->steps[var->path->count - 1].kind;
        if ((last == LS_STEP_FIELD || last == LS_STEP_INDEX) && ls__start(tracker, var, &from, &fault) == 0 &&
            resolver->ops->store(resolver->ctx, from, var->path, 0, var->access, made, &fault))
            ls__fault_put(tracker, var, &fault, false);
    }
    if (resolver->ops->adopt(resolver->ctx, made, &var->value, &fault) < 0) ls__fault_put(tracker, var, &fault, false);
named:;
    struct ls__prop_name prop = {"type", 4, false, LS_MEDIUM};
    if (ls__prop_put(var, &prop, name, strlen(name), NULL) > 0) {
        var->auto_type = true;
        ls__mark_type(tracker, var);
    }
    ls_free(name);
}

/* Steps 5 to 9: from here on failures stay with the variable as its error (T41). */
static void first_value(struct ls_tracker *tracker, struct ls_var *var, const struct ls_var_spec *spec)
{
    const struct ls_resolver *resolver = &tracker->resolver;
    struct ls_fault fault;
    enum ls_step_kind last =
        var->path && var->path->count ? var->path->steps[var->path->count - 1].kind : LS_STEP_FIELD;
    var->auto_type = !ls_var_property(var, "type");
    if (var->held) {
        int rc = spec->has_value ? resolver->ops->adopt(resolver->ctx, spec->value, &var->value, &fault) : 0;
        if (rc < 0 || (rc & LS_CHECK_FAULT)) ls__fault_put(tracker, var, &fault, false);
    } else if (var->access != LS_ACCESS_ACTION && last != LS_STEP_SETTER) {
        ls__read(tracker, var);
    } else if (var->row == LS__ROW_NEVER) {
        ls__row_never(var, &fault);
        ls__fault_put(tracker, var, &fault, false);
    }
    const struct ls__prop *create = ls__prop_find(var, "create", 6);
    if (create && create->value[0]) run_create(tracker, var, create->value);
    ls__settle(tracker, var, ls__outward(var), true);
    ls__place_find(tracker, var);
    if (!var->parent)
        var->pending_type = false; /* a root reports nothing before it is watched, and then everything (T44, P72) */
}

int ls_tracker_create(struct ls_tracker *tracker, const struct ls_var_spec *spec, struct ls_var **out,
                      struct ls_fault *fault)
{
    struct ls_fault scratch;
    struct ls_var *parent;
    if (!fault) fault = &scratch;
    if (check_place(tracker, spec, &parent, fault)) return -1;
    tracker->busy++; /* binding a row may read its list */
    struct ls_var *var = enter_var(tracker, spec, parent, fault);
    if (!var) {
        ls__busy_end(tracker);
        return -1;
    }
    int64_t id = var->id;
    first_value(tracker, var, spec);
    ls__busy_end(tracker);
    if (out) *out = ls_tracker_find(tracker, id);
    return 0;
}

/* --- destroying (T93a) --- */

static void remove_one(struct ls_tracker *tracker, struct ls_var *var, void (*gone)(void *ctx, struct ls_var *var),
                       void *ctx)
{
    if (gone) gone(ctx, var);
    ls__wrapper_drop(tracker, var);
    ls__row_forget(tracker, var);
    if (var->due & LS__DUE_KEYS) tracker->resolver.ops->rekey(tracker->resolver.ctx, var->id, &var->value, NULL, NULL);
    if (var->watchers) ls__tree_watched(var, -1);
    ls__tree_unlink(tracker, var);
    ls__pending_forget(tracker, var);
    ls__index_object(tracker, var, true);
    ls__place_forget(tracker, var);
    tracker->resolver.ops->drop(tracker->resolver.ctx, &var->value);
    if (var->named || !var->parent) ls__epoch_move(tracker);
    ls_idmap_take(tracker->by_id, var->id);
    tracker->count--;
    ls__var_free(tracker, var);
}

/* Children before parents. A wrapper's destroy hook may run Lua code, which may even create variables below: the walk
 * looks anew for the deepest last child each time. */
static void remove_tree(struct ls_tracker *tracker, struct ls_var *top, void (*gone)(void *ctx, struct ls_var *var),
                        void *ctx)
{
    for (struct ls_var *var = top, *up; var; var = up) {
        while (var->last)
            var = var->last;
        up = var == top ? NULL : var->parent;
        remove_one(tracker, var, gone, ctx);
    }
}

static bool put_off(struct ls_tracker *tracker, int64_t id, void (*gone)(void *ctx, struct ls_var *var), void *ctx)
{
    return LS_PUSH_IN(tracker->budget, LS_BUDGET_SPARE, tracker->doomed, tracker->doomed_count, tracker->doomed_cap,
                      (struct ls__doomed){id, gone, ctx});
}

/* The counter stays above 0 while the doomed go: their destroy hooks may doom others, which this loop then reaches. */
static void remove_doomed(struct ls_tracker *tracker)
{
    while (tracker->doomed_count) {
        struct ls__doomed next = tracker->doomed[0];
        tracker->doomed_count--;
        memmove(tracker->doomed, tracker->doomed + 1, tracker->doomed_count * sizeof next);
        struct ls_var *var = ls__find_any(tracker, next.id);
        if (var && var->dying) remove_tree(tracker, var, next.gone, next.ctx);
    }
}

void ls_tracker_destroy(struct ls_tracker *tracker, int64_t id, void (*gone)(void *ctx, struct ls_var *var), void *ctx)
{
    struct ls_var *top = ls_tracker_find(tracker, id);
    /* Without memory to remember it the variable stays: the caller may ask again, nothing is half gone. */
    if (!top || !put_off(tracker, id, gone, ctx)) return;
    for (struct ls_var *var = top; var; var = ls__tree_next(var, top))
        var->dying = true;
    tracker->busy++;
    ls__busy_end(tracker);
}
