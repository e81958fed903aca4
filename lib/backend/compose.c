/* From changes to messages: the end of a batch (protocol.md sections 6, 7, 13, 14; P51, P59 to P61, P72, P95, P101,
 * P103 to P107).
 *
 * The usual batch takes the short way: the tracker's change list is in the right order already and each change is
 * written straight into the queue of the one connection that watches. Whatever is owed besides (the answer to a watch,
 * view definitions, values held back while a variable was inactive, several lists because callbacks of Lua changed
 * more) takes the long way: everything is cut into atoms, one value or one property for one space, and sorting those
 * merges and orders them. Nothing here is proportional to unchanged variables.
 *
 * Owner thread: the session's. It sends nothing: ls_backend_flush does. */
#include <stdlib.h>
#include <string.h>

#include "backend/backend_internal.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"

static const char views_name[] = "viewdefs"; /* an atom with this very pointer stands for the view definitions */
static const char place_name[] = "";         /* an atom with such a name, for the object that holds the place (R8) */

#define LOOK_EVERY 256 /* updates between two looks at whether the batch is to end; each of them may be long */

/* What the list says besides the updates: new types, and variables that fell silent or speak again. */
static void note_properties(struct ls_backend *b, const struct ls_change *change)
{
    for (size_t i = 0; i < change->prop_count; i++) {
        const char *name = change->props[i];
        bool type = strcmp(name, "type") == 0;
        if (!type && strcmp(name, "inactive") != 0) continue;
        const char *value = ls_var_property(change->var, name);
        if (type) {
            if (value) ls__note_type(b, value);
        } else if (value) {
            (void)ls_idmap_put(b->inactive, ls_var_id(change->var), b, NULL);
        } else {
            ls_idmap_take(b->inactive, ls_var_id(change->var));
            b->release = true;
        }
    }
}

/* --- faults (P83, P99, P101, P103) --- */

static void note_fault(struct ls_backend *b, int64_t id)
{
    struct ls_var *var = ls_tracker_find(b->engine->tracker, id);
    if (!var) return;
    const struct ls_fault *fault = ls_var_fault(var);
    if (fault && fault->kind == LS_FAULT_NIL_PATH) /* null on the way reads as null (T51, T101) */
        fault = NULL;
    for (struct ls__space *space = b->spaces; space; space = space->next) {
        uint64_t hash;
        int told = ls__told(space, id, &hash);
        if (!ls__space_tally(space, var)) continue;
        if (!fault && told == LS__TOLD_READ) {
            ls__tell(space, id, LS__TOLD_NOT, 0);
            ls__due(b, space, id, false);
        } else if (fault && space->conn && (!told || hash != ls__fault_hash(fault))) {
            ls__due_error(b, space, id);
        }
    }
}

static void note_faults(struct ls_backend *b)
{
    int64_t ids[64];
    size_t count;
    while ((count = ls_tracker_fault_news(b->engine->tracker, ids, 64)) > 0)
        for (size_t i = 0; i < count; i++)
            note_fault(b, ids[i]);
}

/* Behind all updates, since any update for an id clears the page's mark (P101). */
static void send_faults(struct ls_backend *b)
{
    for (size_t i = 0; i < b->errors.count; i++) {
        struct ls__space *space = b->errors.items[i].space;
        int64_t id = b->errors.items[i].id;
        struct ls_var *var = ls_tracker_find(b->engine->tracker, id);
        const struct ls_fault *fault = var ? ls_var_fault(var) : NULL;
        if (!fault || !space->conn) continue;
        uint64_t hash = ls__fault_hash(fault), told_hash;
        if (ls__told(space, id, &told_hash) && told_hash == hash) continue;
        ls__send_error(space->conn, ls__space_id(space, var), fault);
        ls__tell(space, id, LS__TOLD_READ, hash);
    }
    for (size_t i = 0; i < b->refused.count; i++)
        if (b->refused.items[i].again) ls_outgoing_postpone(&b->refused.items[i].conn->out, b->refused.items[i].index);
}

/* --- writing one update --- */

/* An update for this variable goes to this space: what the page has marked by a failed write is cleared by it. */
static void note_update(struct ls_backend *b, struct ls__space *space, int64_t id)
{
    if (ls__told(space, id, NULL) != LS__TOLD_WRITE) return;
    for (size_t i = 0; i < b->refused.count; i++)
        if (b->refused.items[i].conn == space->conn && b->refused.items[i].id == id) {
            b->refused.items[i].again = true;
            return;
        }
    ls__tell(space, id, LS__TOLD_NOT, 0);
}

static bool add_property(struct ls_backend *b, const char *name, const char *value)
{
    if (LS__PUSH_IN(b, b->update_names, name) && LS__PUSH_IN(b, b->update_values, value ? value : "")) return true;
    b->update_names.count = b->update_values.count;
    return false;
}

static void write_update(struct ls_backend *b, struct ls_buf *out, struct ls_var *var, int64_t shown, bool value,
                         const struct ls_answer *answer)
{
    size_t len = 4;
    const char *json = NULL;
    if (value) json = ls_var_readable(var) ? ls_var_update_json(b->engine->tracker, var, &len) : "null"; /* P101 */
    ls_write_update(out, shown, json, len, b->update_names.items, b->update_values.items, b->update_names.count,
                    answer);
}

/* The same straight into the queue of the space's connection. `ok`: it says all that it should. */
static void send_update(struct ls_backend *b, struct ls__space *space, struct ls_var *var, bool value,
                        const struct ls_answer *answer, bool ok)
{
    struct ls_outgoing *out = &space->conn->out;
    int64_t shown = ls__space_id(space, var);
    write_update(b, ls_outgoing_begin(out), var, shown, value, answer);
    ls_outgoing_end(out, shown);
    out->lost |= !ok;
    note_update(b, space, ls_var_id(var));
}

/* What an update tells this space besides (R8). @return anything? */
static bool answer_with(struct ls_backend *b, struct ls__space *space, const struct ls_var *var, bool value, bool place,
                        struct ls_answer *answer)
{
    int64_t object;
    *answer = (struct ls_answer){.seq = value ? ls__seq_tell(space, ls_var_id(var)) : 0};
    if (place && ls_var_place(var, &object)) {
        answer->has_of = true;
        answer->of = ls__of_told(b, object);
    }
    return answer->seq || answer->has_of;
}

/* Is there no time left for this variable? Long values are written here, before anything is told of them. */
static bool is_cut(struct ls_backend *b, struct ls_var *var, bool value)
{
    size_t len;
    bool failed = value && ls_var_readable(var) && !ls_var_update_json(b->engine->tracker, var, &len);
    if (failed || ++b->written % LOOK_EVERY == 0) b->cut |= ls_tracker_stopped(b->engine->tracker);
    return b->cut;
}

/* --- the short way --- */

static void send_change(struct ls_backend *b, const struct ls_change *change)
{
    struct ls_var *var = change->var;
    int64_t id = ls_var_id(var);
    struct ls__space *owner = ls_var_owner(var);
    /* what is lost already is made anew as a whole */
    if (!ls_var_watchers(var) || (owner && (!owner->conn || owner->conn->out.lost))) return;
    if (is_cut(b, var, change->value)) return;
    bool ok = true;
    b->update_names.count = b->update_values.count = 0;
    for (size_t i = 0; i < change->prop_count; i++)
        ok &= add_property(b, change->props[i], ls_var_property(var, change->props[i]));
    struct ls_answer answer;
    if (owner) {
        answer_with(b, owner, var, change->value, change->place, &answer);
        send_update(b, owner, var, change->value, &answer, ok);
        return;
    }
    ls_buf_clear(&b->scratch);
    for (struct ls__space *space = b->spaces; space; space = space->next) {
        if (!space->conn || space->conn->out.lost || !ls__space_tally(space, var)) continue;
        if (answer_with(b, space, var, change->value, false, &answer)) {
            send_update(b, space, var, change->value, &answer, ok);
            continue;
        }
        if (!b->scratch.len) write_update(b, &b->scratch, var, id, change->value, NULL);
        space->conn->out.lost |= !ok || ls_buf_failed(&b->scratch);
        ls_outgoing_add(&space->conn->out, id, ls_buf_text(&b->scratch), b->scratch.len);
        note_update(b, space, id);
    }
}

/* --- the long way: cutting into atoms --- */

static void cut_change(struct ls_backend *b, const struct ls_change *change, bool keep)
{
    struct ls_var *var = change->var;
    int64_t id = ls_var_id(var);
    if (!ls_var_watchers(var)) return;
    for (struct ls__space *space = b->spaces; space; space = space->next) {
        if (!ls__space_tally(space, var)) continue;
        if (change->value) ls__owe(b, space, id, change->priority, NULL);
        if (change->place) ls__owe(b, space, id, change->priority, place_name);
        for (size_t i = 0; i < change->prop_count; i++) {
            if (keep)
                ls__owe_named(b, space, id, change->priority, change->props[i]);
            else
                ls__owe(b, space, id, change->priority, change->props[i]);
        }
    }
}

static void cut_due(struct ls_backend *b, const struct ls__due *due)
{
    struct ls_var *var = ls_tracker_find(b->engine->tracker, due->id);
    if (!var || !ls__space_tally(due->space, var)) return;
    int64_t object;
    if (ls_var_readable(var) || !due->props) ls__owe(b, due->space, due->id, ls_var_priority(var), NULL);
    if (due->props && ls_var_place(var, &object)) ls__owe(b, due->space, due->id, ls_var_priority(var), place_name);
    for (size_t i = 0; due->props && i < ls_var_property_count(var); i++) {
        const char *name, *value;
        enum ls_priority priority;
        ls_var_property_at(var, i, &name, &value, &priority);
        ls__owe(b, due->space, due->id, priority, name);
    }
    if (due->props && due->id == 1 && b->detail.len) ls__owe(b, due->space, 1, LS_HIGH, ls__detail);
}

static enum ls_priority property_class(const struct ls_var *var, const char *name)
{
    if (!*name) /* the object that holds the place goes with the value */
        return ls_var_priority(var);
    for (size_t i = 0; i < ls_var_property_count(var); i++) {
        const char *other, *value;
        enum ls_priority priority;
        ls_var_property_at(var, i, &other, &value, &priority);
        if (strcmp(other, name) == 0) return priority;
    }
    return ls__is_detail(ls_var_id(var), name) ? LS_HIGH : LS_MEDIUM;
}

/* Is the value still the one that was sent last (P95)? */
static bool is_as_sent(struct ls_backend *b, struct ls_var *var, const struct ls__held *held)
{
    size_t len;
    const char *json = ls_var_json(b->engine->tracker, var, &len);
    return held->snapshot && ls_hash(json, len) == held->hash;
}

/* What was held back and may be said now. */
static void cut_held(struct ls_backend *b, struct ls__space *space)
{
    struct ls_idmap_item *item = space->conn ? ls_idmap_first(space->held) : NULL;
    while (item) {
        struct ls_idmap_item *next = ls_idmap_next(item);
        int64_t id = ls_idmap_id(item);
        struct ls__held *held = ls_idmap_value(item);
        struct ls_var *var = ls_tracker_find(b->engine->tracker, id);
        if (!var || !ls__is_inactive(b, var)) {
            ls_idmap_take(space->held, id);
            if (var && held->value && !is_as_sent(b, var, held)) ls__owe(b, space, id, ls_var_priority(var), NULL);
            for (size_t i = 0; var && i < held->count; i++)
                ls__owe_named(b, space, id, property_class(var, held->names[i]), held->names[i]);
            ls__held_free(held);
        }
        item = next;
    }
}

/* --- the long way: order --- */

/* Numbers the variables that occur, in tree order: only their ancestors' child lists are walked, with a stack of our
 * own (T88). */
struct walk {
    struct ls_tracker *tracker;
    struct ls_idmap *seen; /* id → order of what occurs; ancestors are in it too */
    LS__LIST(int64_t) stack;
    uint32_t next;
    bool failed;
};

static void walk_mark(struct walk *w, int64_t id)
{
    while (id && !ls_idmap_get(w->seen, id)) {
        struct ls_var *var = ls_tracker_find(w->tracker, id);
        int64_t parent = var ? ls_var_parent(var) : 0;
        if (!ls_idmap_put(w->seen, id, w, NULL)) {
            w->failed = true;
            return;
        }
        if (!parent) (void)LS__PUSH(w->stack, id);
        id = parent;
    }
}

static int descending(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return left < right ? 1 : left > right ? -1 : 0;
}

static void walk_number(struct walk *w)
{
    if (w->stack.count) qsort(w->stack.items, w->stack.count, sizeof *w->stack.items, descending);
    while (w->stack.count && !w->failed) {
        int64_t id = w->stack.items[--w->stack.count];
        struct ls_var *var = ls_tracker_find(w->tracker, id);
        ls_idmap_put(w->seen, id, (void *)(uintptr_t)++w->next, NULL); /* in the map already: cannot fail */
        size_t first = w->stack.count;
        for (size_t i = 0; var && i < ls_var_child_count(var); i++) {
            int64_t child = ls_var_child(var, i);
            if (!ls_idmap_get(w->seen, child)) continue;
            if (!LS__PUSH(w->stack, child)) {
                w->failed = true;
                return;
            }
        }
        for (size_t a = first, z = w->stack.count; a + 1 < z; a++) { /* last in, first out */
            int64_t swap = w->stack.items[a];
            w->stack.items[a] = w->stack.items[--z];
            w->stack.items[z] = swap;
        }
    }
}

/* Without memory the order is that of ids, which is nearly the same and better than nothing. */
static void order_atoms(struct ls_backend *b)
{
    bool several = false;
    for (size_t i = 1; i < b->atoms.count; i++)
        several |= b->atoms.items[i].id != b->atoms.items[0].id;
    if (!several) return;
    struct walk w = {.tracker = b->engine->tracker, .seen = ls_idmap_new()};
    for (size_t i = 0; w.seen && i < b->atoms.count; i++)
        walk_mark(&w, b->atoms.items[i].id);
    if (w.seen && !w.failed) walk_number(&w);
    if (w.seen && !w.failed)
        for (size_t i = 0; i < b->atoms.count; i++)
            b->atoms.items[i].order = (uint32_t)(uintptr_t)ls_idmap_get(w.seen, b->atoms.items[i].id);
    ls_idmap_free(w.seen, NULL);
    ls_free(w.stack.items);
}

static int compare_atoms(const void *left, const void *right)
{
    const struct ls__atom *a = left, *b = right;
    if (a->class_ != b->class_) return a->class_ < b->class_ ? -1 : 1;
    if (a->order != b->order) return a->order < b->order ? -1 : 1;
    if (a->id != b->id) return a->id < b->id ? -1 : 1;
    if (a->space != b->space) return a->space->number < b->space->number ? -1 : 1;
    if (!a->name || !b->name) return (a->name != NULL) - (b->name != NULL);
    return strcmp(a->name, b->name);
}

/* Write the update that begins at atom `at`. @return the first atom behind it; `at` itself when the batch is cut */
static size_t send_atoms(struct ls_backend *b, size_t at)
{
    const struct ls__atom *first = &b->atoms.items[at];
    struct ls_var *var = ls_tracker_find(b->engine->tracker, first->id);
    bool value = false, place = false, ok = true;
    size_t next = at;
    b->update_names.count = b->update_values.count = 0;
    for (; next < b->atoms.count; next++) {
        const struct ls__atom *atom = &b->atoms.items[next];
        if (atom->class_ != first->class_ || atom->id != first->id || atom->space != first->space) break;
        if (!var || (next > at && compare_atoms(atom, atom - 1) == 0)) continue;
        if (atom->name == views_name)
            ok &= add_property(b, atom->name, ls_buf_text(&atom->space->conn->views));
        else if (ls__is_detail(atom->id, atom->name))
            ok &= add_property(b, atom->name, ls_buf_text(&b->detail));
        else if (atom->name && !*atom->name)
            place = true;
        else if (atom->name)
            ok &= add_property(b, atom->name, ls_var_property(var, atom->name));
        else
            value = true;
    }
    if (!var || !first->space->conn || first->space->conn->out.lost) return next;
    /* variable 1 is the one with view definitions, which count as delivered */
    if (first->id != 1 && is_cut(b, var, value)) return at;
    struct ls_answer answer;
    if (!answer_with(b, first->space, var, value, place, &answer) && !value && !b->update_names.count) return next;
    send_update(b, first->space, var, value, &answer, ok);
    return next;
}

/* Variables that must be silent keep what they would have said (P95), and so do those whose connection is lost (P114).
 * */
static void hold_silent(struct ls_backend *b)
{
    size_t kept = 0;
    int64_t asked = 0;
    bool silent = false;
    for (size_t i = 0; i < b->atoms.count; i++) {
        struct ls__atom *atom = &b->atoms.items[i];
        if (atom->name == views_name) {
            b->atoms.items[kept++] = *atom;
            continue;
        }
        if (ls_idmap_count(b->inactive) && atom->id != asked) {
            struct ls_var *var = ls_tracker_find(b->engine->tracker, atom->id);
            silent = var && ls__is_inactive(b, var);
            asked = atom->id;
        }
        if (silent || !atom->space->conn)
            ls__hold(b, atom->space, atom->id, atom->name);
        else
            b->atoms.items[kept++] = *atom;
    }
    b->atoms.count = kept;
}

/* --- view definitions (section 14) --- */

/* @return is anything to be delivered to this connection */
static bool gather_views(struct ls_backend *b, struct ls_conn *conn)
{
    struct ls__space *space = conn->space;
    ls_buf_clear(&conn->views);
    if (!b->config.viewdefs || !ls_idmap_get(space->shared, 1)) return false;
    uint64_t generation = ls_viewdefs_generation(b->config.viewdefs);
    if (!space->views_due && space->views_generation == generation) return false;
    int count = ls_viewdefs_due(b->config.viewdefs, space->sent, b->list_types, b->list_type_count, ls__view_withheld,
                                b, &conn->views);
    if (count < 0) {
        conn->out.lost = true;
        return false;
    }
    space->views_due = false;
    space->views_generation = generation;
    return count > 0;
}

static bool cut_views(struct ls_backend *b)
{
    bool any = false;
    if (b->force_views)
        for (struct ls__space *space = b->spaces; space; space = space->next)
            space->views_due = true;
    b->force_views = false;
    for (struct ls_conn *conn = b->conns; conn; conn = conn->next)
        if (gather_views(b, conn)) {
            ls__owe(b, conn->space, 1, LS_HIGH, views_name);
            any = true;
        }
    return any;
}

/* --- the end of a batch --- */

/* What watch callbacks are told of one change. */
struct told {
    int64_t id;
    const char *name; /* of the property; "value" */
};

/* Callbacks of Lua code see the changes after detection; what they change joins the batch (L70, L71, T84). */
static void run_callbacks(struct ls_backend *b)
{
    struct ls_session *session = b->engine->session;
    const struct ls_change *list;
    for (int round = 0;; round++) {
        int count = ls_tracker_changes(b->engine->tracker, &list);
        if (count < 0) ls__lose_all(b);
        LS__LIST(struct told) told = {NULL, 0, 0};
        for (int i = 0; i < count; i++) {
            note_properties(b, &list[i]);
            cut_change(b, &list[i], true);
            for (size_t p = 0; p < list[i].prop_count + list[i].value; p++) {
                const char *name = p < list[i].prop_count ? ls__keep_name(b, list[i].props[p]) : NULL;
                (void)LS__PUSH(told, (struct told){ls_var_id(list[i].var), name ? name : "value"});
            }
        }
        bool ran = false;
        for (size_t i = 0; i < told.count && round < 4; i++)
            ran |= ls_session_notify(session, told.items[i].id, told.items[i].name);
        ls_free(told.items);
        if (!ran) return;
        ls_tracker_detect_again(b->engine->tracker);
    }
}

/* What is left from atom `at` on is told later. */
static void hold_atoms(struct ls_backend *b, size_t at)
{
    for (; at < b->atoms.count; at++)
        ls__hold(b, b->atoms.items[at].space, b->atoms.items[at].id, b->atoms.items[at].name);
}

static void send_long(struct ls_backend *b, const struct ls_change *list, int count)
{
    for (int i = 0; i < count; i++)
        cut_change(b, &list[i], false);
    for (size_t i = 0; i < b->dues.count; i++)
        cut_due(b, &b->dues.items[i]);
    if (b->release)
        for (struct ls__space *space = b->spaces; space; space = space->next)
            cut_held(b, space);
    hold_silent(b);
    order_atoms(b);
    if (b->atoms.count) qsort(b->atoms.items, b->atoms.count, sizeof *b->atoms.items, compare_atoms);
    size_t at = 0;
    while (at < b->atoms.count && !b->cut)
        at = send_atoms(b, at);
    hold_atoms(b, at);
}

static void send_short(struct ls_backend *b, const struct ls_change *list, int count)
{
    for (int i = 0; i < count; i++) {
        if (!b->cut) send_change(b, &list[i]);
        if (b->cut) cut_change(b, &list[i], false);
    }
    hold_atoms(b, 0);
}

/* Numbered writes that no update of this batch has answered: they changed nothing, met an inactive variable, or one
 * that shows nothing (R8). */
static void send_answers(struct ls_backend *b)
{
    struct ls_tracker *tracker = b->engine->tracker;
    for (size_t i = 0; i < b->answers.count; i++) {
        struct ls__space *space = b->answers.items[i].space;
        int64_t id = b->answers.items[i].id, shown;
        struct ls_var *var =
            space->conn && !space->conn->out.lost && ls__seq_owed(space, id) ? ls_tracker_find(tracker, id) : NULL;
        if (!var) continue;
        if (b->cut || is_cut(b, var, true)) {
            ls__hold(b, space, id, NULL);
            continue;
        }
        struct ls_answer answer = {.seq = ls__seq_tell(space, id)};
        size_t len = 0;
        const char *json = ls_var_readable(var) ? ls_var_update_json(tracker, var, &len) : NULL;
        shown = ls__space_id(space, var);
        ls_write_update(ls_outgoing_begin(&space->conn->out), shown, json, len, NULL, NULL, 0, &answer);
        ls_outgoing_end(&space->conn->out, shown);
        ls__held_shown(space, id, json, len);
        note_update(b, space, id);
        /* the update has cleared its mark, but it cannot be read still */
        if (ls__told(space, id, NULL) == LS__TOLD_READ) {
            ls__tell(space, id, LS__TOLD_NOT, 0);
            ls__due_error(b, space, id);
        }
    }
}

static bool any_waiting_space(const struct ls_backend *b)
{
    for (const struct ls__space *space = b->spaces; space; space = space->next)
        if (!space->conn) return true;
    return false;
}

/* A list that one large batch has made long does not stay so. */
static void shrink(struct ls_budget *budget, void *items, size_t *room)
{
    if (*room < 4096) return;
    ls_budget_free(budget, *(void **)items);
    *(void **)items = NULL;
    *room = 0;
}

static void end_batch(struct ls_backend *b)
{
    b->atoms.count = b->dues.count = b->answers.count = 0;
    b->errors.count = b->refused.count = 0;
    while (b->names.count)
        ls_free(b->names.items[--b->names.count]);
    shrink(b->budget, &b->atoms.items, &b->atoms.room);
    shrink(b->budget, &b->dues.items, &b->dues.room);
    shrink(b->budget, &b->errors.items, &b->errors.room);
    shrink(b->budget, &b->answers.items, &b->answers.room);
    shrink(b->budget, &b->names.items, &b->names.room);
    if (b->scratch.cap > 65536) ls_buf_release(&b->scratch);
    if (b->batch_types) {
        ls_map_free(b->batch_types, NULL);
        b->batch_types = NULL;
    }
}

void ls__compose_nothing(struct ls_backend *b)
{
    hold_atoms(b, 0);
    end_batch(b);
}

void ls__compose(struct ls_backend *b)
{
    struct ls_tracker *tracker = b->engine->tracker;
    const struct ls_change *list = NULL;
    int count = 0;
    int64_t begun = ls_now_ns();
    ls_tracker_detect(tracker);
    if (b->host.detected) b->host.detected(b->host.ctx, ls_now_ns() - begun);
    if (ls_session_has_watchers(b->engine->session)) {
        run_callbacks(b);
    } else {
        count = ls_tracker_changes(tracker, &list);
        for (int i = 0; i < count; i++)
            if (list[i].prop_count) note_properties(b, &list[i]);
    }
    if (count < 0) {
        ls__lose_all(b);
        count = 0;
    }
    note_faults(b);
    bool views = cut_views(b);
    int opened = ls_tracker_enter(tracker); /* only texts are made from here on */
    if (views || b->atoms.count || b->dues.count || b->release || ls_idmap_count(b->inactive) || any_waiting_space(b))
        send_long(b, list, count);
    else
        send_short(b, list, count);
    send_answers(b);
    ls_tracker_leave(tracker, opened);
    send_faults(b);
    b->release = b->cut;
    b->cut = false;
    end_batch(b);
}
