/* Detection: reading variables, passes and their repetition, wrappers and types that follow a value (tracker.md
 * sections 9, 12, 15, 16, 18, 21). What a value is and whether it changed is the resolver's judgement. Owner thread:
 * the session's.
 * Rules: T3, T4, T14, T15, T45, T46, T51, T54, T66–T73, T80–T85, T91, T92, T94–T96, T100, T102. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "tracker/tracker_internal.h"

/* --- epochs --- */

static void count_epoch(struct ls_tracker *tracker)
{
    if (++tracker->epoch) return;
    tracker->epoch = 1; /* after four thousand million moves the numbers start over: no old one may seem to be of now */
    for (size_t i = 0; i < tracker->roots.count; i++)
        for (struct ls_var *root = tracker->roots.items[i], *var = root; var; var = ls__tree_next(var, root))
            var->seen = 0;
}

void ls__epoch_move(struct ls_tracker *tracker)
{
    tracker->moved = true;
    count_epoch(tracker);
}

static inline uint32_t epoch_now(struct ls_tracker *tracker)
{
    uint64_t ran = tracker->resolver.epoch ? *tracker->resolver.epoch : tracker->resolver_epoch + 1;
    if (ran != tracker->resolver_epoch) {
        tracker->resolver_epoch = ran;
        count_epoch(tracker);
    }
    return tracker->epoch;
}

uint32_t ls__epoch_now(struct ls_tracker *tracker)
{
    return epoch_now(tracker);
}

/* --- wrapper and type --- */

void ls__wrapper_drop(struct ls_tracker *tracker, struct ls_var *var)
{
    if (!var->wrapper_slot) return;
    var->wrapper_slot = 0;
    var->json.len = 0;
    tracker->resolver.ops->unwrap(tracker->resolver.ctx, var->id, &var->wrapper);
    var->wrapper = (struct ls_value){0};
    ls_budget_free(tracker->budget, var->wrapper_type);
    var->wrapper_type = NULL;
}

static void update_wrapper(struct ls_tracker *tracker, struct ls_var *var)
{
    const char *type = ls_var_property(var, "wrapper");
    var->due &= (uint8_t)~LS__DUE_WRAPPER;
    if (var->has_fault && var->fault->kind == LS_FAULT_WRAPPER) ls__fault_clear(tracker, var);
    if (!type || var->value.shape == LS_SHAPE_NULL) {
        ls__wrapper_drop(tracker, var);
        return;
    }
    if (var->wrapper_slot && strcmp(var->wrapper_type, type) != 0) ls__wrapper_drop(tracker, var);
    /* Copies: the constructor may set these very properties. */
    const char *item_type = ls_var_property(var, "itemWrapper");
    char *type_copy = ls_budget_strndup(tracker->budget, type, strlen(type)),
         *item_copy = item_type ? ls_strdup(item_type) : NULL;
    bool keyed = ls_var_property(var, "keyed");
    const char *key = keyed ? ls_var_property(var, "key") : NULL;
    char *key_copy = key ? ls_strdup(key) : NULL;
    struct ls_wrap want = {var->id, type_copy, item_copy, &var->value, keyed, key_copy};
    struct ls_fault fault = {.kind = LS_FAULT_NONE};
    int64_t computing = ls_tracker_set_computing(tracker, var->id);
    int rc = -1;
    if (type_copy && (item_copy || !item_type) && (key_copy || !key))
        rc = tracker->resolver.ops->wrap(tracker->resolver.ctx, &want, &var->wrapper, &fault);
    else
        ls_fault_set(&fault, LS_FAULT_INTERNAL, "out of memory while making a wrapper");
    ls_tracker_set_computing(tracker, computing);
    if (rc < 0 || fault.kind) ls__fault_put(tracker, var, &fault, false);
    if (rc < 0 && fault.kind == LS_FAULT_INTERNAL) var->due |= LS__DUE_WRAPPER;
    if (!var->wrapper_slot && var->wrapper.slot) {
        ls_budget_free(tracker->budget, var->wrapper_type);
        var->wrapper_type = type_copy;
        type_copy = NULL;
    }
    var->wrapper_slot = var->wrapper.slot;
    ls_budget_free(tracker->budget, type_copy);
    ls_free(item_copy);
    ls_free(key_copy);
}

/* Elements of a list that names a key get ids by it (R4): objects that a query has made anew are the old rows then.
 * @return did the ids change, where `changed` says whether the objects did */
static bool update_keys(struct ls_tracker *tracker, struct ls_var *var, bool changed)
{
    const struct ls_resolver *resolver = &tracker->resolver;
    bool wrapped = ls_var_property(var, "wrapper") || !ls_var_property(var, "keyed");
    const char *key = wrapped ? NULL : ls_var_property(var, "key");
    bool wanted = key, had = (var->due & LS__DUE_KEYS) != 0;
    if (var->has_fault && var->fault->kind == LS_FAULT_KEY && !wanted) ls__fault_clear(tracker, var);
    if ((!wanted && !had) || !resolver->ops->rekey) return changed;
    struct ls_fault fault = {.kind = LS_FAULT_NONE};
    char *copy = wanted ? ls_strdup(key) : NULL; /* looking into elements may run code that sets this very property */
    int rc = -1;
    if (!copy == !wanted) rc = resolver->ops->rekey(resolver->ctx, var->id, &var->value, copy, &fault);
    ls_free(copy);
    if (rc < 0 && fault.kind)
        fault.kind = LS_FAULT_KEY; /* too little memory, or time */
    else if (rc < 0)
        ls_fault_set(&fault, LS_FAULT_KEY, "there is no memory for the keys of the list");
    var->due = (uint8_t)((var->due & ~LS__DUE_KEYS) | (wanted ? LS__DUE_KEYS : 0));
    if (fault.kind && !(var->fault && strcmp(var->fault->text, fault.text) == 0)) {
        char text[sizeof fault.text + 40];
        int differs = snprintf(text, sizeof text, "variable %lld: ", (long long)var->id);
        int len = differs + snprintf(text + differs, sizeof text - (size_t)differs, "%s", fault.text);
        ls_log_folded(0, NULL, NULL, (size_t)differs, text, (size_t)len);
    }
    if (fault.kind)
        ls__fault_put(tracker, var, &fault, false);
    else if (var->has_fault && var->fault->kind == LS_FAULT_KEY)
        ls__fault_clear(tracker, var);
    return rc < 0 || var->value.shape != LS_SHAPE_ARRAY ? changed : rc > 0 || (changed && !(wanted && had));
}

/* `type` follows what is shown (T92): a change, to be told with the value. */
static void update_type(struct ls_tracker *tracker, struct ls_var *var)
{
    const struct ls_value *outward = var->wrapper_slot ? &var->wrapper : &var->value;
    const char *type = "";
    if (var->id == 1 && !var->auto_type) return; /* the app variable has the type that it was made with (T103) */
    if (outward->shape == LS_SHAPE_OBJECT) {
        if (outward->type && *outward->type)
            type = outward->type;
        else if (var->wrapper_slot && var->wrapper_type)
            type = var->wrapper_type;
        var->auto_type = true;
    } else if (outward->shape != LS_SHAPE_NULL && !var->auto_type) {
        return; /* supplied by the creator: stays */
    }
    struct ls__prop_name name = {"type", 4, false, LS_MEDIUM};
    if (ls__prop_put(var, &name, type, strlen(type), NULL) > 0) ls__mark_type(tracker, var);
}

static bool differs(struct ls__outward a, struct ls__outward b)
{
    return a.shape != b.shape || a.object != b.object;
}

/* References are equal when their ids are (T36); of arrays and primitives only `value_changed` knows. */
bool ls__settle(struct ls_tracker *tracker, struct ls_var *var, struct ls__outward before, bool value_changed)
{
    ls__index_object(tracker, var, false);
    if (var->first || var->named) ls__epoch_move(tracker); /* other paths start at what has become another value */
    var->base_json.len = 0;
    if (!var->wrapper_slot) var->json.len = 0;
    if (var->wrapper_slot || ls__prop_find(var, "wrapper", 7)) update_wrapper(tracker, var);
    value_changed = update_keys(tracker, var, value_changed);
    if (var->rows) ls__rows_follow(tracker, var);
    struct ls__outward now = ls__outward(var);
    bool changed = differs(before, now) || (value_changed && !var->wrapper_slot);
    if (changed) var->json.len = 0;
    update_type(tracker, var);
    return changed;
}

/* --- reading --- */

static void stamp(struct ls_var *var, uint64_t ticks)
{
    ticks >>= LS__TICK_SHIFT;
    var->ticks = ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX;
    if (var->ticks > var->max_ticks) var->max_ticks = var->ticks;
}

/* What came of a check, beyond the value. FAULT_SAME spares writing the text of a null on the way in every pass; where
 * the text has gone meanwhile it is asked for again. */
static bool same_fault_stands(const struct ls_var *var)
{
    return var->fault && !var->fault_by_write &&
           (var->fault->kind == LS_FAULT_NIL_PATH || var->fault->kind == LS_FAULT_GONE);
}

/* What a page has asked for by an id that its list does not have is null, and an error (R2). */
__attribute__((noinline)) static int read_nothing(struct ls_tracker *tracker, struct ls_var *var,
                                                  struct ls_fault *fault)
{
    int bits = tracker->resolver.ops->check(tracker->resolver.ctx, 0, NULL, &var->value, fault);
    ls__row_never(var, fault);
    return bits < 0 ? bits : bits | LS_CHECK_FAULT;
}

/* Reading calls methods on the way to the object that holds the place, so that is asked with the value. A leader may
 * not have asked. */
__attribute__((noinline)) static int check_placed(struct ls_tracker *tracker, struct ls_var *var,
                                                  struct ls_fault *fault)
{
    int64_t object = 0;
    ls_slot from;
    ls_var_place(var, &object);
    if (ls__start(tracker, var, &from, fault)) return -1;
    int bits = tracker->resolver.ops->check_in(tracker->resolver.ctx, from, var->path, &var->value, &object, fault);
    ls__place_found(tracker, var, object);
    return bits;
}

static inline __attribute__((always_inline)) int check_at(struct ls_tracker *tracker, struct ls_var *var,
                                                          struct ls_fault *fault)
{
    const struct ls_resolver *resolver = &tracker->resolver;
    if (var->held) return resolver->ops->check(resolver->ctx, var->value.slot, NULL, &var->value, fault);
    if (var->timed && var->placed == LS__PLACE_READ) return check_placed(tracker, var, fault);
    const struct ls_var *leader = var->led ? var->leader : NULL;
    if (leader && tracker->in_pass && leader->pass == tracker->pass && leader->path == var->path && !leader->has_fault)
        return resolver->ops->check(resolver->ctx, leader->value.slot, NULL, &var->value, fault);
    ls_slot from;
    if (var->start)
        from = ls__nav(var->start);
    else if (var->row == LS__ROW_NEVER)
        return read_nothing(tracker, var, fault);
    else if (ls__start(tracker, var, &from, fault))
        return -1;
    return resolver->ops->check(resolver->ctx, from, var->path, &var->value, fault);
}

/* Read without what follows from it (section 9). `epoch` is that before reading: what runs on the way makes the value
 * one to be read again.
 * @return check bits, -1 = failed */
static int read_value(struct ls_tracker *tracker, struct ls_var *var, uint32_t epoch)
{
    struct ls_fault fault;
    if (var->has_diags && !var->held) ls__diags_clear(var);
    struct ls_var *reading = tracker->reading;
    int64_t computing = tracker->computing;
    if (!var->held) tracker->reading = var;
    int bits = check_at(tracker, var, &fault);
    if (bits == 0 && !var->has_fault) { /* nearly always */
        tracker->reading = reading;
        tracker->computing = computing;
        var->seen = epoch;
        return 0;
    }
    if (bits >= 0 && (bits & LS_CHECK_FAULT_SAME) && !same_fault_stands(var)) {
        int first = bits;
        var->value.nil_step = 0;
        bits = check_at(tracker, var, &fault);
        if (bits >= 0) bits |= first & (LS_CHECK_CHANGED | LS_CHECK_TYPE);
    }
    tracker->reading = reading;
    tracker->computing = computing;
    if (bits < 0 || (bits & LS_CHECK_FAULT)) {
        ls__fault_put(tracker, var, &fault, false);
    } else if (var->has_fault && !(bits & LS_CHECK_FAULT_SAME) && var->fault->kind != LS_FAULT_WRAPPER &&
               var->fault->kind != LS_FAULT_KEY) {
        /* what is wrong with a wrapper, or with keys, is settled with them, not by reading the value again */
        ls__fault_clear(tracker, var);
    }
    var->seen = bits < 0 || (bits & (LS_CHECK_FAULT | LS_CHECK_FAULT_SAME)) ? 0 : epoch;
    return bits;
}

/* The first read of a new variable: timed like any other (T94), the rest of creation follows by itself. */
void ls__read(struct ls_tracker *tracker, struct ls_var *var)
{
    uint64_t start = ls_ticks();
    read_value(tracker, var, epoch_now(tracker));
    stamp(var, ls_ticks() - start);
}

/* Rare half of checking one variable: something is new (T82). @return did it report a value change */
static bool take_change(struct ls_tracker *tracker, struct ls_var *var, int bits, struct ls__outward before)
{
    bool report = false;
    if ((bits & (LS_CHECK_CHANGED | LS_CHECK_MOVED)) || (var->due & LS__DUE_WRAPPER)) {
        report = ls__settle(tracker, var, before, (bits & LS_CHECK_CHANGED) != 0);
    } else if (bits & LS_CHECK_TYPE) {
        update_type(tracker, var);
    } else if (var->due && update_keys(tracker, var, false)) { /* the objects are the same, their keys are not */
        ls__epoch_move(tracker);
        var->json.len = 0;
        ls__rows_follow(tracker, var);
        report = true;
    }
    if (var->unreported) {
        report |= ls__outward(var).shape != LS_SHAPE_NULL || var->unreported_null;
        var->unreported = var->unreported_null = false;
    }
    if (report) {
        ls__mark_value(tracker, var);
        var->change_count++;
    }
    return report;
}

/* Taking the time costs as much as half of reading a plain field. So what runs Lua code is timed in every pass, and the
 * plain rest in groups of neighbours by turns, each in one of four passes: its time hardly varies (T94). *ticks is the
 * stamp at which the variable before ended, 0 = none was taken. */
#define TIME_GROUP 8
/* variables of a pass between two looks at whether it is to end; those that take long are looked behind one by one */
#define LOOK_EVERY 1024
#define TIME_TURNS 4

/* What is left of a pass that takes too long is read in the next batch: it counts as not seen. */
static void look_up(struct ls_tracker *tracker)
{
    tracker->cut |= tracker->in_pass && ls_tracker_stopped(tracker);
}

static bool check_var(struct ls_tracker *tracker, struct ls_var *var, bool group, uint64_t *ticks)
{
    bool changed = false;
    struct ls__outward before = ls__outward(var);
    /* A value read since code ran last need not be read again: what a page has just created, and all of it while
     * nothing runs (TX32). */
    uint32_t epoch = epoch_now(tracker);
    if (var->seen == epoch && !var->timed && !var->has_fault && !(var->due & LS__DUE_WRAPPER)) {
        *ticks = 0;
        return var->unreported && take_change(tracker, var, 0, before);
    }
    bool timed = (group || var->timed) && !var->held;
    uint64_t start = timed ? (*ticks ? *ticks : ls_ticks()) : 0;
    int bits = read_value(tracker, var, epoch);
    *ticks = 0;
    if (timed) {
        *ticks = ls_ticks();
        stamp(var, *ticks - start);
    }
    if (bits < 0) {
        look_up(tracker); /* what has failed may have been ended with all the rest (R17) */
        return false;
    }
    if (bits & LS_CHECK_RAN) var->timed = true;
    if (bits & LS_CHECK_LONG) {
        look_up(tracker);
        if (tracker->cut) var->seen = 0;
    }
    if (var->timed) var->pass = tracker->pass;
    if ((bits & (LS_CHECK_CHANGED | LS_CHECK_TYPE | LS_CHECK_MOVED)) || var->unreported || var->due) {
        changed = take_change(tracker, var, bits, before);
        if (var->has_fault) look_up(tracker);
        *ticks = 0; /* wrappers and texts are not the next variable's walk */
    }
    return changed;
}

void ls__check_now(struct ls_tracker *tracker, struct ls_var *var)
{
    struct ls__outward before = ls__outward(var);
    uint32_t epoch = epoch_now(tracker);
    if (var->seen == epoch && !var->has_fault) return;
    int bits = read_value(tracker, var, epoch);
    if (bits > 0 || (bits == 0 && var->due)) take_change(tracker, var, bits, before);
}

/* --- passes --- */

int ls_tracker_enter(struct ls_tracker *tracker)
{
    const struct ls_resolver *resolver = &tracker->resolver;
    return resolver->ops->enter ? resolver->ops->enter(resolver->ctx) : 0;
}

void ls_tracker_leave(struct ls_tracker *tracker, int opened)
{
    if (opened > 0 && tracker->resolver.ops->leave) tracker->resolver.ops->leave(tracker->resolver.ctx);
}

static bool run_pass(struct ls_tracker *tracker)
{
    bool changed = false;
    if (ls__tree_order(tracker)) {
        ls_log(0, "Out of memory while putting %zu variables in order: changes are found with the next batch.",
               tracker->count);
        return false;
    }
    int opened = ls_tracker_enter(tracker);
    if (opened < 0) {
        ls_log(0, "Out of memory while looking for changes: they are found with the next batch.");
        return false;
    }
    tracker->in_pass = true;
    tracker->cut = false;
    tracker->pass++;
    struct ls_var **items = tracker->order.items;
    size_t count = tracker->order.count;
    uint64_t ticks = 0;
    for (size_t i = 0; i < count && !tracker->cut; i++) {
        if (i % LOOK_EVERY == LOOK_EVERY - 1) look_up(tracker);
        /* Variables and paths are scattered over memory: ask for them ahead of time. */
        if (i + 16 < count) __builtin_prefetch(items[i + 16]);
        if (i + 8 < count && items[i + 8]->path) {
            __builtin_prefetch(items[i + 8]->path);
            __builtin_prefetch((const char *)items[i + 8]->path + 64);
        }
        changed |= check_var(tracker, items[i], (i / TIME_GROUP + tracker->pass) % TIME_TURNS == 0, &ticks);
    }
    ls__fault_sweep(tracker);
    tracker->in_pass = false;
    ls_tracker_leave(tracker, opened);
    return changed;
}

static bool run_passes(struct ls_tracker *tracker)
{
    bool changed = false;
    if (tracker->busy || tracker->passes >= LS__MAX_PASSES) return false;
    tracker->busy++;
    do {
        tracker->repeat = false;
        changed |= run_pass(tracker);
        tracker->passes++;
        if (tracker->cut) tracker->passes = LS__MAX_PASSES;
    } while (tracker->repeat && tracker->passes < LS__MAX_PASSES);
    uint64_t settled = tracker->resolver.epoch && !tracker->cut ? *tracker->resolver.epoch : 0;
    ls__places_follow(tracker);
    ls__rows_let_go(tracker);
    tracker->settled = settled;
    if (tracker->repeat)
        ls_log(1, "Values still change after %d passes of detection: the rest follows with the next batch.",
               LS__MAX_PASSES);
    if ((changed || tracker->pending_props) && !tracker->counted) {
        tracker->counted = true;
        tracker->change_count++;
    }
    ls__busy_end(tracker);
    return changed;
}

bool ls_tracker_detect(struct ls_tracker *tracker)
{
    if (tracker->busy)
        return false; /* from inside a computation: the pass that is under way, or the next one, will do */
    tracker->passes = 0;
    tracker->counted = false;
    tracker->repeat = false;
    return run_passes(tracker);
}

bool ls_tracker_detect_again(struct ls_tracker *tracker)
{
    return run_passes(tracker);
}

void ls_tracker_request_repeat(struct ls_tracker *tracker)
{
    tracker->repeat = true;
}

void ls_tracker_begin_batch(struct ls_tracker *tracker)
{
    tracker->batch++;
    tracker->passes = 0;
    tracker->counted = false;
    tracker->repeat = false;
}

void ls_var_unreport(struct ls_var *var, bool null_too)
{
    var->unreported = true;
    var->unreported_null |= null_too;
}

/* --- watching (T91, P71, P74, P75) --- */

void ls_var_set_active(struct ls_tracker *tracker, struct ls_var *var, bool active)
{
    if (var->active == active) return;
    var->active = active;
    tracker->order_dirty = true;
}

void ls_tracker_watch(struct ls_tracker *tracker, struct ls_var *var, int delta)
{
    uint32_t before = var->watchers;
    int64_t after = (int64_t)before + delta;
    var->watchers = after > 0 ? (uint32_t)after : 0;
    if ((before == 0) == (var->watchers == 0)) return;
    ls__tree_watched(var, var->watchers ? 1 : -1);
    ls_var_set_active(tracker, var, var->watchers != 0);
    /* Whether watched or not decides below an inactive ancestor, even where the flag itself did not move. */
    for (const struct ls_var *up = var->parent; up && !tracker->order_dirty; up = up->parent)
        tracker->order_dirty |= !up->active;
}
