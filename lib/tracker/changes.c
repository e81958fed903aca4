/* What waits to be reported: pending changes and their list, faults and their news (tracker.md sections 17, 21, 23).
 * Owner thread: the session's. Rules: T80 step 1, T85–T90, T96–T101, P49a, P83, P101, P103. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/log.h"
#include "base/text.h"
#include "tracker/tracker_internal.h"

/* --- lists in which a variable knows its place: entering and leaving cost the same however long they are --- */

bool ls__list_enter(struct ls__var_list *list, struct ls_var *var, uint32_t *at)
{
    if (*at) return true;
    if (!ls__list_add(list, var)) return false;
    *at = (uint32_t)list->count;
    return true;
}

void ls__list_leave(struct ls__var_list *list, struct ls_var *var, size_t place)
{
    uint32_t *at = (uint32_t *)((char *)var + place);
    if (!*at) return;
    struct ls_var *last = list->items[--list->count];
    list->items[*at - 1] = last;
    *(uint32_t *)((char *)last + place) = *at;
    *at = 0;
}

/* --- pending changes --- */

void ls__mark_pending(struct ls_tracker *tracker, struct ls_var *var)
{
    if (!ls__list_enter(&tracker->pending, var, &var->pending_at))
        ls_log(0, "Out of memory while noting a change of variable %lld, which is reported late.", (long long)var->id);
}

void ls__mark_value(struct ls_tracker *tracker, struct ls_var *var)
{
    /* Paths that start at a standard variable may have been read before it: they get another pass (T15, T84). */
    if (var->named && tracker->in_pass) tracker->repeat = true;
    if (!ls__is_readable(var)) return;
    var->pending_value = true;
    ls__mark_pending(tracker, var);
}

void ls__mark_type(struct ls_tracker *tracker, struct ls_var *var)
{
    if (!ls__is_readable(var)) return;
    var->pending_type = true;
    ls__mark_pending(tracker, var);
}

void ls__pending_forget(struct ls_tracker *tracker, struct ls_var *var)
{
    for (uint32_t i = 0; i < var->prop_count; i++)
        tracker->pending_props -= var->props[i].changed;
    ls__list_leave(&tracker->pending, var, offsetof(struct ls_var, pending_at));
    ls__list_leave(&tracker->faulty, var, offsetof(struct ls_var, fault_at));
    ls__list_leave(&tracker->news, var, offsetof(struct ls_var, news_at));
}

static int by_tree(const void *a, const void *b)
{
    return ls__tree_compare(*(struct ls_var *const *)a, *(struct ls_var *const *)b);
}

/* Detection marks variables in the order in which it reads them, which mostly is the tree's already. */
static bool in_order(const struct ls__var_list *list)
{
    for (size_t i = 1; i < list->count; i++)
        if (ls__tree_compare(list->items[i - 1], list->items[i]) > 0) return false;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Space for the worst case first, so that the list is built without a way to fail in its middle: nothing pending is
 * lost for want of memory. */
static int reserve(struct ls_tracker *tracker)
{
    size_t changes = tracker->pending.count * 3, names = 0;
    for (size_t i = 0; i < tracker->pending.count; i++)
        names += tracker->pending.items[i]->prop_count + 1;
    bool fits = LS_RESERVE_IN(tracker->budget, 0, tracker->changes, changes, tracker->changes_cap) &&
                LS_RESERVE_IN(tracker->budget, 0, tracker->change_names, names, tracker->change_names_cap);
    return fits ? 0 : LS_ENOMEM;
}

/* The class in which a changed property stands: its own, but `type` that detection set goes with the value (T87, P49a).
 * */
static bool stands_in(const struct ls_var *var, const struct ls__prop *prop, enum ls_priority priority)
{
    if (var->pending_type && strcmp(prop->name, "type") == 0) return var->priority == priority;
    return prop->changed && prop->priority == priority;
}

static void add_change(struct ls_tracker *tracker, struct ls_var *var, enum ls_priority priority, size_t *changes,
                       size_t *names)
{
    struct ls_change change = {.var = var, .priority = priority};
    const char **first = tracker->change_names + *names;
    change.value = var->priority == priority && (var->pending_value || var->pending_type);
    change.place = var->priority == priority && var->pending_place;
    for (uint32_t i = 0; i < var->prop_count; i++)
        if (stands_in(var, &var->props[i], priority)) first[change.prop_count++] = var->props[i].name;
    if (!change.value && !change.place && !change.prop_count) return;
    if (change.prop_count > 1) qsort(first, change.prop_count, sizeof *first, by_name);
    change.props = first;
    *names += change.prop_count;
    tracker->changes[(*changes)++] = change;
}

int ls_tracker_changes(struct ls_tracker *tracker, const struct ls_change **list)
{
    size_t changes = 0, names = 0;
    struct ls__var_list *pending = &tracker->pending;
    *list = tracker->changes;
    for (size_t i = 0; i < pending->count; i++)
        if (pending->items[i]->prop_removed && !pending->items[i]->pending_type)
            ls__props_prune(pending->items[i]); /* kept for its report only: the list before borrowed its name */
    if (reserve(tracker)) return LS_ENOMEM;
    if (!in_order(pending)) qsort(pending->items, pending->count, sizeof *pending->items, by_tree);
    for (int priority = LS_HIGH; priority <= LS_LOW; priority++)
        for (size_t i = 0; i < pending->count; i++)
            add_change(tracker, pending->items[i], (enum ls_priority)priority, &changes, &names);
    for (size_t i = 0; i < pending->count; i++) {
        struct ls_var *var = pending->items[i];
        var->pending_at = 0;
        var->pending_value = var->pending_type = var->pending_place = false;
        for (uint32_t p = 0; p < var->prop_count; p++)
            var->props[p].changed = false;
    }
    pending->count = 0;
    tracker->pending_props = 0;
    *list = tracker->changes;
    return (int)changes;
}

/* --- faults --- */

static struct ls__fault_box *box_fault(struct ls_tracker *tracker, const struct ls_fault *fault)
{
    size_t size = strlen(fault->text) + 1;
    struct ls__fault_box *box = ls_budget_resize(tracker->budget, NULL, sizeof *box + size, LS_BUDGET_SPARE);
    if (!box) return NULL;
    box->kind = fault->kind;
    box->size = size;
    memcpy(box->text, fault->text, size);
    box->hash = (ls_hash(box->text, box->size) ^ (uint64_t)fault->kind * 0x9E3779B97F4A7C15u) | 1;
    return box;
}

static void list_news(struct ls_tracker *tracker, struct ls_var *var)
{
    ls__list_enter(&tracker->news, var, &var->news_at); /* without memory the news waits for the next one */
}

static bool same_text(const struct ls__fault_box *box, const struct ls_fault *fault)
{
    return box && box->kind == fault->kind && strcmp(box->text, fault->text) == 0;
}

/* Faults of this batch's writes stay until the next batch, whatever its detection reads (T80.1, TX24). */
static bool write_fault_holds(const struct ls_tracker *tracker, const struct ls_var *var)
{
    return var->fault && var->fault_by_write && var->fault_batch == tracker->batch;
}

void ls__fault_put(struct ls_tracker *tracker, struct ls_var *var, const struct ls_fault *fault, bool by_write)
{
    if (!by_write && write_fault_holds(tracker, var)) return;
    if (!by_write && same_text(var->fault, fault) && !var->fault_by_write) return;
    struct ls__fault_box *box = box_fault(tracker, fault);
    if (!box) return; /* the error before stays; memory that short is reported elsewhere */
    if (!ls__list_enter(&tracker->faulty, var, &var->fault_at)) {
        ls_budget_free(tracker->budget, box);
        return;
    }
    ls_budget_free(tracker->budget, var->fault);
    var->fault = box;
    var->has_fault = true;
    var->fault_by_write = by_write;
    var->fault_batch = tracker->batch;
    if (!by_write) list_news(tracker, var);
}

static void drop_fault(struct ls_tracker *tracker, struct ls_var *var)
{
    ls_budget_free(tracker->budget, var->fault);
    var->fault = NULL;
    var->has_fault = false;
    var->fault_by_write = false;
    var->value.nil_step = 0;
    if (var->told) list_news(tracker, var);
}

void ls__fault_clear(struct ls_tracker *tracker, struct ls_var *var)
{
    if (!var->has_fault || (tracker->in_pass && write_fault_holds(tracker, var))) return;
    drop_fault(tracker, var);
}

void ls__fault_sweep(struct ls_tracker *tracker)
{
    struct ls__var_list *faulty = &tracker->faulty;
    for (size_t i = faulty->count; i-- > 0;) {
        struct ls_var *var = faulty->items[i];
        bool readable = ls__is_readable(var);
        bool checked = readable && var->mark == tracker->generation && var->included == tracker->generation;
        if (var->has_fault && !checked && !write_fault_holds(tracker, var) && var->fault_batch != tracker->batch)
            drop_fault(tracker, var);
        if (!var->has_fault) ls__list_leave(faulty, var, offsetof(struct ls_var, fault_at));
    }
}

size_t ls_tracker_fault_news(struct ls_tracker *tracker, int64_t *ids, size_t max)
{
    struct ls__var_list *news = &tracker->news;
    size_t told = 0;
    while (news->count && told < max) {
        struct ls_var *var = news->items[0];
        ls__list_leave(news, var, offsetof(struct ls_var, news_at));
        if (var->has_fault && var->fault_by_write) continue; /* answered with the write itself (P103) */
        uint64_t hash = var->fault ? var->fault->hash : 0;
        if (hash == var->told) continue;
        var->told = hash;
        ids[told++] = var->id;
    }
    return told;
}

const struct ls_fault *ls_var_fault(const struct ls_var *var)
{
    if (!var->fault) return NULL;
    static _Thread_local struct ls_fault view_of_thread; /* kilobytes that a session need not have for itself */
    struct ls_fault *view = &view_of_thread;
    view->kind = var->fault->kind;
    memcpy(view->text, var->fault->text, var->fault->size);
    return view;
}

void ls_var_set_fault(struct ls_tracker *tracker, struct ls_var *var, const struct ls_fault *fault)
{
    if (fault && fault->kind) /* like a write's: this batch's detection must not wipe it before anybody saw it (TX24) */
        ls__fault_put(tracker, var, fault, true);
    else if (var->has_fault)
        drop_fault(tracker, var);
}

/* --- counters and diagnostics --- */

uint64_t ls_tracker_change_count(const struct ls_tracker *tracker)
{
    return tracker->change_count;
}

int ls_tracker_diag_level(const struct ls_tracker *tracker)
{
    return tracker->diag_level;
}

void ls_tracker_set_diag_level(struct ls_tracker *tracker, int level)
{
    tracker->diag_level = level;
}

int64_t ls_tracker_computing(const struct ls_tracker *tracker)
{
    return tracker->reading ? tracker->reading->id : tracker->computing;
}

int64_t ls_tracker_set_computing(struct ls_tracker *tracker, int64_t id)
{
    int64_t before = ls_tracker_computing(tracker);
    tracker->reading = NULL;
    tracker->computing = id;
    return before;
}

void ls_tracker_diag(struct ls_tracker *tracker, int level, const char *text, size_t len)
{
    int64_t id = ls_tracker_computing(tracker);
    struct ls_var *var = id ? ls__find_any(tracker, id) : NULL;
    if (!var || tracker->diag_level <= 0 || tracker->diag_level < level) return;
    if (!var->diags) var->diags = ls_budget_zalloc(tracker->budget, sizeof *var->diags);
    if (!var->diags || var->diags->count == LS__MAX_DIAGS) return;
    var->has_diags = true;
    if (len > LS__MAX_DIAG_BYTES) len = ls_utf8_cut(text, LS__MAX_DIAG_BYTES);
    char *copy = ls_budget_strndup(tracker->budget, text, len);
    if (copy) var->diags->text[var->diags->count++] = copy;
}

void ls_tracker_clear_diags(struct ls_tracker *tracker, int64_t id)
{
    struct ls_var *var = ls__find_any(tracker, id);
    if (var) ls__diags_clear(var);
}
