/* The tree of variables: memory, links, the order of detection and of reports. It knows no values. Walks go along the
 * links and never recurse, so depth costs nothing (TX34). Owner thread: the session's. Rules: T80 step 2, T81, T88,
 * T91, T93a, P75. */
#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "tracker/tracker_internal.h"

/* Variables a block: neighbours in creation are neighbours in memory, as detection visits them. Most sessions that wait
 * for a page have one variable, so blocks begin small. */
#define SLAB_FIRST 2
#define SLAB_MAX   128

struct slab {
    struct slab *next;
    size_t used, room;
    struct ls_var *vars; /* aligned to 64 inside the block */
};

static struct slab *new_slab(struct ls_tracker *tracker, size_t room)
{
    struct slab *slab = ls_budget_resize(tracker->budget, NULL, sizeof *slab + room * sizeof(struct ls_var) + 64, 0);
    if (!slab) return NULL;
    slab->room = room;
    uintptr_t at = (uintptr_t)(slab + 1);
    slab->vars = (struct ls_var *)((at + 63) & ~(uintptr_t)63);
    slab->used = 0;
    return slab;
}

void ls__vars_release(struct ls_tracker *tracker)
{
    for (struct slab *slab = tracker->slabs, *next; slab; slab = next) {
        next = slab->next;
        ls_budget_free(tracker->budget, slab);
    }
    tracker->slabs = NULL;
}

struct ls_var *ls__var_new(struct ls_tracker *tracker)
{
    struct ls_var *var = tracker->free_vars;
    if (var) {
        tracker->free_vars = var->next;
    } else {
        struct slab *slab = tracker->slabs;
        if (!slab || slab->used == slab->room) {
            slab = new_slab(tracker, !slab ? SLAB_FIRST : slab->room * 4 < SLAB_MAX ? slab->room * 4 : SLAB_MAX);
            if (!slab) return NULL;
            slab->next = tracker->slabs;
            tracker->slabs = slab;
        }
        var = &slab->vars[slab->used++];
    }
    static_assert(offsetof(struct ls_var, pass) == 64 && sizeof(struct ls_var) % 64 == 0,
                  "detection of an unchanged variable reads one line of cache");
    memset(var, 0, sizeof *var);
    var->tracker = tracker;
    return var;
}

void ls__diags_clear(struct ls_var *var)
{
    for (size_t i = 0; var->diags && i < var->diags->count; i++)
        ls_budget_free(var->tracker->budget, var->diags->text[i]);
    ls_budget_free(var->tracker->budget, var->diags);
    var->diags = NULL;
    var->has_diags = false;
}

void ls__var_free(struct ls_tracker *tracker, struct ls_var *var)
{
    ls__props_free(var);
    ls__diags_clear(var);
    void *const blocks[] = {var->fault, var->wrapper_type, var->json.data, var->base_json.data};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        ls_budget_free(tracker->budget, blocks[i]);
    ls__path_put(tracker, var->path);
    memset(var, 0, sizeof *var);
    var->next = tracker->free_vars;
    tracker->free_vars = var;
}

/* A list that holds little of what it has room for; what it holds stays. */
static void shrink_list(struct ls_budget *budget, void *items, size_t *room, size_t count, size_t size)
{
    void **at = items;
    if (*room < 1024 || count > *room / 4) return;
    void *less = count ? ls_budget_resize(budget, *at, count * size, 0) : NULL;
    if (!count) ls_budget_free(budget, *at);
    if (count && !less) return;
    *at = less;
    *room = count;
}

void ls_tracker_shrink(struct ls_tracker *tracker)
{
    if (tracker->busy || tracker->in_pass) return;
    tracker->free_vars = NULL;
    tracker->cursor_parent = tracker->cursor = NULL;
    if (tracker->order_dirty) tracker->order.count = 0; /* what it holds may be gone; it is made anew */
    for (void **link = &tracker->slabs; *link;) {
        struct slab *slab = *link;
        struct ls_var *before = tracker->free_vars;
        size_t free_count = 0;
        for (size_t i = 0; i < slab->used; i++) {
            struct ls_var *var = &slab->vars[i];
            if (var->tracker) continue;
            var->next = tracker->free_vars;
            tracker->free_vars = var;
            free_count++;
        }
        if (free_count == slab->used && slab->room == SLAB_MAX) {
            tracker->free_vars = before;
            *link = slab->next;
            ls_budget_free(tracker->budget, slab);
        } else {
            link = (void **)&slab->next;
        }
    }
    struct ls__var_list *const lists[] = {&tracker->roots,   &tracker->order,   &tracker->below,  &tracker->along,
                                          &tracker->outside, &tracker->pending, &tracker->faulty, &tracker->news};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        shrink_list(tracker->budget, &lists[i]->items, &lists[i]->cap, lists[i]->count, sizeof *lists[i]->items);
    shrink_list(tracker->budget, &tracker->doomed, &tracker->doomed_cap, tracker->doomed_count,
                sizeof *tracker->doomed);
    shrink_list(tracker->budget, &tracker->changes, &tracker->changes_cap, 0, sizeof *tracker->changes);
    shrink_list(tracker->budget, &tracker->change_names, &tracker->change_names_cap, 0, sizeof *tracker->change_names);
    ls_idmap_shrink(tracker->by_id);
    ls_idmap_shrink(tracker->by_object);
}

bool ls__list_add(struct ls__var_list *list, struct ls_var *var)
{
    return LS_PUSH_IN(var->tracker->budget, 0, list->items, list->count, list->cap, var);
}

static int link_root(struct ls_tracker *tracker, struct ls_var *var)
{
    if (!ls__list_add(&tracker->roots, var)) return -1;
    struct ls__var_list *roots = &tracker->roots;
    for (size_t i = roots->count - 1; i > 0 && roots->items[i - 1]->id > var->id; i--) {
        roots->items[i] = roots->items[i - 1];
        roots->items[i - 1] = var;
    }
    return 0;
}

static void unlink_root(struct ls_tracker *tracker, const struct ls_var *var)
{
    struct ls__var_list *roots = &tracker->roots;
    size_t low = 0, high = roots->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (roots->items[mid]->id < var->id)
            low = mid + 1;
        else
            high = mid;
    }
    memmove(roots->items + low, roots->items + low + 1, (roots->count - low - 1) * sizeof *roots->items);
    roots->count--;
}

/* A page that shows a long list creates its variables from the top down, frame after frame. Such a one comes last in
 * the tree; if none of a later class waits behind it, it comes last in the order too, and the order need not be made
 * anew of all that came before (T80, T81, T108).
 * @return does the order hold, with it? */
static bool extend_order(struct ls_tracker *tracker, struct ls_var *var)
{
    if (tracker->order_dirty || tracker->in_pass || !var->parent || !var->active || (var->path && var->path->calls))
        return false;
    const struct ls_var *last = var;
    for (; last->parent; last = last->parent)
        if (last->next || !last->parent->active) return false;
    if (last != tracker->roots.items[tracker->roots.count - 1]) return false;
    if (ls__is_readable(var)) {
        if (tracker->order_priorities >> var->priority > 1 || !ls__list_add(&tracker->order, var)) return false;
        tracker->order_priorities |= 1u << var->priority;
        var->mark = tracker->generation;
    }
    var->included = tracker->generation;
    return true;
}

int ls__tree_link(struct ls_tracker *tracker, struct ls_var *var, struct ls_var *parent)
{
    var->sequence = ++tracker->sequence;
    var->parent = parent;
    tracker->cursor_parent = NULL;
    if (!parent) {
        tracker->order_dirty = true;
        return link_root(tracker, var);
    }
    var->depth = (uint16_t)(parent->depth + 1);
    var->prev = parent->last;
    if (parent->last)
        parent->last->next = var;
    else
        parent->first = var;
    parent->last = var;
    parent->child_count++;
    tracker->order_dirty = !extend_order(tracker, var);
    return 0;
}

void ls__tree_unlink(struct ls_tracker *tracker, struct ls_var *var)
{
    struct ls_var *parent = var->parent;
    tracker->order_dirty = true;
    tracker->cursor_parent = NULL;
    if (!parent) {
        unlink_root(tracker, var);
        return;
    }
    if (var->prev)
        var->prev->next = var->next;
    else
        parent->first = var->next;
    if (var->next)
        var->next->prev = var->prev;
    else
        parent->last = var->prev;
    parent->child_count--;
}

struct ls_var *ls__tree_next(const struct ls_var *var, const struct ls_var *top)
{
    if (var->first) return var->first;
    while (var != top) {
        if (var->next) return var->next;
        var = var->parent;
    }
    return NULL;
}

void ls__tree_watched(struct ls_var *var, int delta)
{
    for (struct ls_var *up = var->parent; up; up = up->parent)
        up->watched_below = (uint32_t)((int64_t)up->watched_below + delta);
}

/* --- order of reports (T88) --- */

int ls__tree_compare(const struct ls_var *a, const struct ls_var *b)
{
    const struct ls_var *x = a, *y = b;
    while (x->depth > y->depth)
        x = x->parent;
    while (y->depth > x->depth)
        y = y->parent;
    if (x == y) /* one is above the other: parents first (P60) */
        return (a->depth > b->depth) - (a->depth < b->depth);
    while (x->parent != y->parent) {
        x = x->parent;
        y = y->parent;
    }
    if (!x->parent) return (x->id > y->id) - (x->id < y->id);
    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

/* --- order of detection (T80 step 2, 3) --- */

/* Walk one root's tree into `all`, and note which priorities occur. Below an inactive variable only what is watched,
 * and what leads there, goes on (P75). */
static int collect(struct ls_tracker *tracker, struct ls_var *root, struct ls__var_list *all, unsigned *priorities)
{
    const struct ls_var *quiet = NULL; /* the topmost inactive variable above */
    for (struct ls_var *var = root; var;) {
        bool watched = var->watchers || var->watched_below;
        bool skip = quiet ? !watched : !var->active && !var->watched_below;
        if (!skip) {
            var->included = tracker->generation;
            if (ls__is_readable(var)) {
                if (!ls__list_add(all, var)) return -1;
                *priorities |= 1u << var->priority;
            }
            if (!quiet && !var->active) quiet = var;
        }
        if (!skip && var->first) {
            var = var->first;
            continue;
        }
        while (var != root && !var->next) {
            var = var->parent;
            if (var == quiet) quiet = NULL;
        }
        if (var == quiet) quiet = NULL;
        var = var == root ? NULL : var->next;
    }
    return 0;
}

/* Place a variable behind those of its ancestors that are to be checked (T81). */
static void place(struct ls_tracker *tracker, struct ls_var *var)
{
    struct ls_var *chain[LS__MAX_DEPTH + 1];
    size_t count = 0;
    for (struct ls_var *up = var; up && up->mark != tracker->generation; up = up->parent) {
        up->mark = tracker->generation;
        chain[count++] = up;
    }
    while (count-- > 0) {
        struct ls_var *next = chain[count];
        if (ls__is_readable(next) && next->included == tracker->generation)
            tracker->order.items[tracker->order.count++] = next;
    }
}

struct lead {
    const struct ls_var *start;
    const struct ls_path *path;
    struct ls_var *var;
};

/* Variables that call the same methods from the same start share one call a pass: the first in order leads (TX32). */
static int find_leaders(struct ls_tracker *tracker)
{
    size_t shared = 0, size = 16;
    for (size_t i = 0; i < tracker->order.count; i++) {
        struct ls_var *var = tracker->order.items[i];
        var->leader = NULL;
        var->led = false;
        shared += var->path && var->path->calls && var->path->uses > 1;
    }
    if (shared < 2) return 0;
    while (size < shared * 2)
        size *= 2;
    struct lead *leads = ls_budget_zalloc(tracker->budget, size * sizeof *leads);
    if (!leads) return -1;
    for (size_t i = 0; i < tracker->order.count; i++) {
        struct ls_var *var = tracker->order.items[i];
        if (!var->path || !var->path->calls || var->path->uses < 2 || !var->start || var->held) continue;
        size_t at =
            (((uintptr_t)var->start >> 6) * 0x9E3779B97F4A7C15u ^ ((uintptr_t)var->path >> 4) * 0xC2B2AE3D27D4EB4Fu) &
            (size - 1);
        while (leads[at].var && (leads[at].start != var->start || leads[at].path != var->path))
            at = (at + 1) & (size - 1);
        var->leader = leads[at].var;
        var->led = leads[at].var;
        if (!var->led) leads[at] = (struct lead){var->start, var->path, var};
    }
    ls_budget_free(tracker->budget, leads);
    return 0;
}

/* Walking the trees is all where one priority occurs: parents come before their children there (T81). Else the list is
 * cut up by priority. */
static int place_all(struct ls_tracker *tracker, struct ls__var_list *all, unsigned priorities)
{
    if ((priorities & (priorities - 1)) == 0) {
        for (size_t i = 0; i < all->count; i++)
            all->items[i]->mark = tracker->generation;
        struct ls__var_list spare = tracker->order;
        tracker->order = *all;
        *all = spare;
        return 0;
    }
    if (!LS_RESERVE_IN(tracker->budget, 0, tracker->order.items, all->count, tracker->order.cap)) return -1;
    tracker->order.count = 0;
    for (uint8_t priority = LS_HIGH; priority <= LS_LOW; priority++)
        for (size_t i = 0; i < all->count; i++)
            if (all->items[i]->priority == priority) place(tracker, all->items[i]);
    return 0;
}

int ls__tree_order(struct ls_tracker *tracker)
{
    if (!tracker->order_dirty) return 0;
    struct ls__var_list all = {NULL, 0, 0};
    unsigned priorities = 0;
    int rc = -1;
    tracker->generation++;
    for (size_t i = 0; i < tracker->roots.count; i++)
        if (collect(tracker, tracker->roots.items[i], &all, &priorities)) goto out;
    if (place_all(tracker, &all, priorities) || find_leaders(tracker)) goto out;
    tracker->order_dirty = false;
    tracker->order_priorities = priorities;
    rc = 0;
out:
    ls_budget_free(tracker->budget, all.items);
    if (rc) tracker->order.count = 0; /* nothing stale may be walked; the next pass tries again */
    return rc;
}

void ls_tracker_each(struct ls_tracker *tracker, void (*fn)(void *ctx, struct ls_var *var, unsigned depth), void *ctx)
{
    /* Level by level: one queue would need memory that may be missing, and the tree is shallow. */
    bool more = true;
    for (unsigned depth = 0; more; depth++) {
        more = false;
        for (size_t i = 0; i < tracker->roots.count; i++) {
            struct ls_var *root = tracker->roots.items[i];
            for (struct ls_var *var = root; var;) {
                if (var->depth == depth) {
                    fn(ctx, var, depth);
                    more |= var->first != NULL;
                    /* Nothing below is of this level. */
                    while (var != root && !var->next)
                        var = var->parent;
                    var = var == root ? NULL : var->next;
                } else {
                    var = ls__tree_next(var, root);
                }
            }
        }
    }
}
