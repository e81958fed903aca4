/* Id spaces, watch tallies and what is noted per connection (protocol.md sections 8, 11, 15).
 *
 * Each client counts its ids from 2, so an id means something only together with its space (P115). A variable carries
 * its space as owner and the client's id as owner id; the tracker's own id is the client's where that was free, else
 * another one, and only those that differ are in `remap`. A client's variable can be watched by its owner alone, so the
 * tracker's number of watchers is its tally; for variables that all know, each space keeps its own.
 *
 * Owner thread: the session's. It sends nothing. */
#include <string.h>
#include <utlist.h>

#include "backend/backend_internal.h"
#include "base/alloc.h"
#include "base/text.h"

struct ls__space *ls__space_new(struct ls_backend *b, unsigned number)
{
    struct ls__space *space = ls_budget_zalloc(b->budget, sizeof *space);
    if (!space) return NULL;
    LL_APPEND(b->spaces, space);
    space->number = number;
    space->remap = ls_idmap_new_in(b->budget);
    space->shared = ls_idmap_new_in(b->budget);
    space->told = ls_idmap_new_in(b->budget);
    space->held = ls_idmap_new_in(b->budget);
    space->sent = ls_map_new_in(b->budget);
    if (!space->remap || !space->shared || !space->told || !space->held || !space->sent) {
        ls__space_free(b, space);
        return NULL;
    }
    return space;
}

void ls__space_free(struct ls_backend *b, struct ls__space *space)
{
    LL_DELETE(b->spaces, space);
    for (size_t i = 0; i < b->dues.count; i++)
        if (b->dues.items[i].space == space) b->dues.items[i--] = b->dues.items[--b->dues.count];
    for (size_t i = 0; i < b->answers.count; i++)
        if (b->answers.items[i].space == space) b->answers.items[i--] = b->answers.items[--b->answers.count];
    ls_idmap_free(space->remap, NULL);
    ls_idmap_free(space->shared, NULL);
    ls_idmap_free(space->told, NULL);
    ls_idmap_free(space->held, ls__held_free);
    ls_idmap_free(space->seqs, NULL);
    ls_map_free(space->sent, NULL);
    ls_budget_free(b->budget, space->gone.items);
    ls_budget_free(b->budget, space);
}

struct ls_var *ls__space_find(struct ls_backend *b, struct ls__space *space, int64_t id)
{
    struct ls_tracker *tracker = b->engine->tracker;
    struct ls_var *var = ls_tracker_find(tracker, id);
    if (id <= 1) return var && !ls_var_owner(var) ? var : NULL;
    if (var && ls_var_owner(var) == space && ls_var_owner_id(var) == id) return var;
    if (ls_idmap_count(space->remap)) {
        int64_t internal = (intptr_t)ls_idmap_get(space->remap, id);
        if (internal) return ls_tracker_find(tracker, internal);
    }
    /* A further root made by Lua code has a positive id (T8) and belongs to nobody. */
    return var && !ls_var_owner(var) ? var : NULL;
}

int64_t ls__space_id(const struct ls__space *space, const struct ls_var *var)
{
    const void *owner = ls_var_owner(var);
    return owner == space ? ls_var_owner_id(var) : owner ? 0 : ls_var_id(var);
}

size_t ls__space_tally(const struct ls__space *space, const struct ls_var *var)
{
    const void *owner = ls_var_owner(var);
    if (owner) return owner == space ? ls_var_watchers(var) : 0;
    return (uintptr_t)ls_idmap_get(space->shared, ls_var_id(var));
}

int ls__space_watch(struct ls_backend *b, struct ls__space *space, struct ls_var *var, int delta)
{
    if (!ls_var_owner(var)) {
        int64_t id = ls_var_id(var);
        uintptr_t tally = (uintptr_t)ls_idmap_get(space->shared, id) + (uintptr_t)(intptr_t)delta;
        if (!tally)
            ls_idmap_take(space->shared, id);
        else if (!ls_idmap_put(space->shared, id, (void *)tally, NULL))
            return LS_ENOMEM;
    }
    ls_tracker_watch(b->engine->tracker, var, delta);
    return 0;
}

int64_t ls__space_assign(struct ls_backend *b, struct ls__space *space, int64_t id, bool again)
{
    if (!again && !ls_tracker_find(b->engine->tracker, id)) return id;
    while (ls_tracker_find(b->engine->tracker, b->next_internal))
        b->next_internal++;
    int64_t internal = b->next_internal++;
    return ls_idmap_put(space->remap, id, (void *)(intptr_t)internal, NULL) ? internal : 0;
}

void ls__space_forget(struct ls__space *space, const struct ls_var *var)
{
    int64_t id = ls_var_id(var);
    if (ls_var_owner(var) == space) {
        if (ls_idmap_count(space->remap)) ls_idmap_take(space->remap, ls_var_owner_id(var));
    } else if (ls_var_owner(var)) {
        return;
    } else {
        ls_idmap_take(space->shared, id);
    }
    ls__seq_move(space, id, 0);
    if (ls_idmap_count(space->told)) ls_idmap_take(space->told, id);
    if (ls_idmap_count(space->held)) ls__held_free(ls_idmap_take(space->held, id));
}

/* --- numbered writes (R8) --- */

/* What is kept is the number, with "owed" in the lowest bit. Only variables that were written have one. */
bool ls__seq_note(struct ls_backend *b, struct ls__space *space, int64_t id, int64_t seq)
{
    if (!space->seqs) space->seqs = ls_idmap_new_in(b->budget);
    return space->seqs && ls_idmap_put(space->seqs, id, (void *)((uintptr_t)seq << 1 | 1), NULL);
}

static uintptr_t seq_of(const struct ls__space *space, int64_t id)
{
    return space->seqs ? (uintptr_t)ls_idmap_get(space->seqs, id) : 0;
}

int64_t ls__seq_tell(struct ls__space *space, int64_t id)
{
    uintptr_t seq = seq_of(space, id);
    if (seq & 1) ls_idmap_put(space->seqs, id, (void *)(seq & ~(uintptr_t)1), NULL); /* replaces: takes no memory */
    return (int64_t)(seq >> 1);
}

bool ls__seq_owed(const struct ls__space *space, int64_t id)
{
    return seq_of(space, id) & 1;
}

void ls__seq_move(struct ls__space *space, int64_t from, int64_t to)
{
    void *seq = space->seqs ? ls_idmap_take(space->seqs, from) : NULL;
    if (seq && to) (void)ls_idmap_put(space->seqs, to, seq, NULL); /* one was taken, so there is room */
}

#define OF_BITS   40     /* of an object id: no VM lives to see more */
#define OF_RANGES 0x1000 /* a page counts in doubles */

static int64_t range_of(const struct ls_backend *b)
{
    return (int64_t)((b->engine->generation - 1) % OF_RANGES) << OF_BITS;
}

int64_t ls__of_told(const struct ls_backend *b, int64_t object)
{
    return object ? object + range_of(b) : 0;
}

int64_t ls__of_meant(const struct ls_backend *b, int64_t of)
{
    int64_t object = of - range_of(b);
    return !of ? 0 : object > 0 && object >> OF_BITS == 0 ? object : -1;
}

/* --- errors that the client knows --- */

/* The kind is kept in the two lowest bits of the hash. */
int ls__told(const struct ls__space *space, int64_t id, uint64_t *hash)
{
    uintptr_t told = ls_idmap_count(space->told) ? (uintptr_t)ls_idmap_get(space->told, id) : 0;
    if (hash) *hash = told & ~(uintptr_t)3;
    return (int)(told & 3);
}

void ls__tell(struct ls__space *space, int64_t id, int kind, uint64_t hash)
{
    if (kind == LS__TOLD_NOT)
        ls_idmap_take(space->told, id);
    else /* without memory an error may be told twice: the lesser evil */
        (void)ls_idmap_put(space->told, id, (void *)((uintptr_t)(hash & ~(uint64_t)3) | (uintptr_t)kind), NULL);
}

uint64_t ls__fault_hash(const struct ls_fault *fault)
{
    return (ls_hash(fault->text, strlen(fault->text)) ^ (uint64_t)fault->kind << 8) & ~(uint64_t)3;
}

/* --- what was not sent --- */

void ls__held_free(void *pointer)
{
    struct ls__held *held = pointer;
    if (!held) return;
    for (size_t i = 0; i < held->count; i++)
        ls_budget_free(held->budget, held->names[i]);
    ls_budget_free(held->budget, held->names);
    ls_budget_free(held->budget, held);
}

static struct ls__held *find_held(struct ls_backend *b, struct ls__space *space, int64_t id)
{
    struct ls__held *held = ls_idmap_get(space->held, id);
    if (held) return held;
    held = ls_budget_zalloc(b->budget, sizeof *held);
    if (!held) return NULL;
    held->budget = b->budget;
    if (ls_idmap_put(space->held, id, held, NULL)) return held;
    ls__held_free(held);
    return NULL;
}

void ls__hold(struct ls_backend *b, struct ls__space *space, int64_t id, const char *name)
{
    struct ls__held *held = find_held(b, space, id);
    if (!held) return;
    if (!name) {
        held->value = true;
        return;
    }
    for (size_t i = 0; i < held->count; i++)
        if (strcmp(held->names[i], name) == 0) return;
    if (LS_RESERVE_IN(b->budget, 0, held->names, held->count + 1, held->cap) &&
        (held->names[held->count] = ls_budget_strndup(b->budget, name, strlen(name))))
        held->count++;
}

void ls__held_shown(struct ls__space *space, int64_t id, const char *json, size_t len)
{
    struct ls__held *held = json && ls_idmap_count(space->held) ? ls_idmap_get(space->held, id) : NULL;
    if (held && held->snapshot) held->hash = ls_hash(json, len);
}

/* The tree is as deep as the tracker allows, so this recursion is bounded (TX34). */
void ls__hold_snapshot(struct ls_backend *b, int64_t id)
{
    struct ls_tracker *tracker = b->engine->tracker;
    struct ls_var *var = ls_tracker_find(tracker, id);
    if (!var) return;
    for (struct ls__space *space = b->spaces; space; space = space->next) {
        if (!space->conn || !ls__space_tally(space, var) || !ls_var_readable(var) || ls_idmap_get(space->held, id))
            continue;
        struct ls__held *held = find_held(b, space, id);
        if (held) {
            size_t len;
            const char *json = ls_var_json(tracker, var, &len);
            held->hash = ls_hash(json, len);
            held->snapshot = true;
        }
    }
    for (size_t i = 0; i < ls_var_child_count(var); i++)
        ls__hold_snapshot(b, ls_var_child(var, i));
}

bool ls__is_inactive(struct ls_backend *b, const struct ls_var *var)
{
    while (var) {
        if (ls_var_property(var, "inactive")) return true;
        int64_t parent = ls_var_parent(var);
        var = parent ? ls_tracker_find(b->engine->tracker, parent) : NULL;
    }
    return false;
}
