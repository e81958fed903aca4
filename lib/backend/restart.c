/* A clean start of one session under its open connections (H69): a new VM beside the old one, and when its main.lua has
 * run, the variables of the pages are made again in it. Pages keep their ids, so they need to be told only what
 * differs.
 *
 * Objects have their numbers by chance: one of the new VM is none that a page has seen, whatever its number. So a row
 * (R2) is made again bound to nothing, and what a page still sends for it is answered with `gone`; its list is first
 * told to be empty, so that the page makes its rows anew.
 *
 * Owner thread: the session's. If the new main.lua fails nothing of the old engine has been touched. */
#include <string.h>

#include "backend/backend_internal.h"
#include "base/alloc.h"
#include "base/log.h"

/* A client's variable as it was in the old VM. */
struct record {
    struct ls__space *space;
    int64_t client_id, internal;
    int64_t parent; /* internal */
    bool wants_place;
    unsigned watchers;
    char *json;            /* outward value that the page shows; owned */
    struct ls_prop *props; /* owned, with their texts: all the properties the page may know */
    size_t prop_count;
    bool made;
};

struct records {
    struct ls_backend *b;
    LS__LIST(struct record) list;
    bool failed;
};

static void free_records(struct records *all)
{
    for (size_t i = 0; i < all->list.count; i++) {
        struct record *record = &all->list.items[i];
        for (size_t p = 0; p < record->prop_count; p++) {
            ls_free((char *)record->props[p].name);
            ls_free((char *)record->props[p].value);
        }
        ls_free(record->props);
        ls_free(record->json);
    }
    ls_free(all->list.items);
}

/* The priority goes into the suffix, so that it is made again as well (T22). */
static bool copy_property(struct ls_prop *prop, const char *name, const char *value, enum ls_priority priority)
{
    struct ls_buf full = LS_BUF_INIT;
    ls_buf_str(&full, name);
    ls_buf_str(&full, priority == LS_HIGH ? ":high" : priority == LS_LOW ? ":low" : ":medium");
    prop->name_len = full.len;
    prop->name = ls_buf_detach(&full, NULL);
    ls_buf_release(&full);
    prop->value_len = strlen(value);
    prop->value = ls_strndup(value, prop->value_len);
    return prop->name && prop->value;
}

/* The path of a row becomes one that names no element of any list. */
static void unbind(struct ls_prop *prop)
{
    char *path = (char *)prop->value; /* the record's own */
    if (ls_prop_is(prop, "path") && path[0] == '#' && path[1]) path[1] = '0';
}

static void note_variable(void *ctx, struct ls_var *var, unsigned depth)
{
    struct records *all = ctx;
    (void)depth;
    if (!ls_var_owner(var) || all->failed) return;
    size_t len, count = ls_var_property_count(var);
    const char *json = ls_var_json(all->b->engine->tracker, var, &len);
    struct record note = {.space = ls_var_owner(var),
                          .client_id = ls_var_owner_id(var),
                          .internal = ls_var_id(var),
                          .parent = ls_var_parent(var),
                          .watchers = ls_var_watchers(var),
                          .wants_place = ls_var_wants_place(var)};
    if (!LS__PUSH(all->list, note)) {
        all->failed = true;
        return;
    }
    struct record *record = &all->list.items[all->list.count - 1];
    record->json = ls_strndup(json, len);
    record->props = ls_array(count ? count : 1, sizeof *record->props);
    all->failed = !record->json || !record->props;
    for (size_t i = 0; i < count && !all->failed; i++) {
        const char *name, *value;
        enum ls_priority priority;
        ls_var_property_at(var, i, &name, &value, &priority);
        all->failed = !copy_property(&record->props[record->prop_count], name, value, priority);
        if (!all->failed) unbind(&record->props[record->prop_count]);
        record->prop_count++;
    }
}

static bool is_reference(const char *json)
{
    return json[0] == '{';
}

/* Make one variable again. `type` follows the value (T92), so only where a creator has given it, beside a plain value,
 * is it given again. */
static bool make_again(struct ls_backend *b, const struct record *record)
{
    struct ls_tracker *tracker = b->engine->tracker;
    struct ls_prop *props = ls_array(record->prop_count + 1, sizeof *props);
    struct ls_fault fault;
    struct ls_var *var;
    size_t count = 0;
    if (!props) return false;
    for (size_t i = 0; i < record->prop_count; i++)
        if (!ls_prop_is(&record->props[i], "type") || !is_reference(record->json)) props[count++] = record->props[i];
    struct ls_var_spec spec = {.id = record->internal,
                               .parent = record->parent,
                               .props = props,
                               .prop_count = count,
                               .owner = record->space,
                               .owner_id = record->client_id,
                               .wants_place = record->wants_place};
    bool made = ls_tracker_create(tracker, &spec, &var, &fault) == 0;
    ls_free(props);
    if (!made) return false;
    ls__note_created(b, var);
    if (record->watchers) ls_tracker_watch(tracker, var, (int)record->watchers);
    return true;
}

static const char *old_property(const struct record *record, const char *name)
{
    for (size_t i = 0; i < record->prop_count; i++)
        if (ls_prop_is(&record->props[i], name)) return record->props[i].value;
    return NULL;
}

/* @return has the page been told that the list is empty, so that its rows go? */
static bool take_rows_off(const struct record *record, const struct ls_var *var)
{
    struct ls_conn *conn = record->space->conn;
    if (!ls_var_has_rows(var) || record->json[0] != '[' || !conn) return false;
    ls_write_update(ls_outgoing_begin(&conn->out), record->client_id, "[]", 2, NULL, NULL, 0, NULL);
    ls_outgoing_end(&conn->out, record->client_id);
    return true;
}

/* What the new variable has and the page does not show. */
static void owe_difference(struct ls_backend *b, const struct record *record)
{
    struct ls_tracker *tracker = b->engine->tracker;
    struct ls_var *var = ls_tracker_find(tracker, record->internal);
    int64_t object;
    size_t len;
    if (!var || !record->watchers) return;
    const struct ls_fault *fault = ls_var_fault(var);
    if (fault && fault->kind == LS_FAULT_GONE) { /* a row, which its list takes off the page */
        ls__tell(record->space, record->internal, LS__TOLD_READ, ls__fault_hash(fault));
        return;
    }
    const char *json = ls_var_json(tracker, var, &len);
    bool differs = take_rows_off(record, var) || strlen(record->json) != len || memcmp(record->json, json, len) != 0;
    if (ls_var_readable(var) && differs) ls__owe(b, record->space, record->internal, ls_var_priority(var), NULL);
    if (ls_var_place(var, &object)) ls__owe(b, record->space, record->internal, ls_var_priority(var), "");
    for (size_t i = 0; i < ls_var_property_count(var); i++) {
        const char *name, *value;
        enum ls_priority priority;
        ls_var_property_at(var, i, &name, &value, &priority);
        const char *old = old_property(record, name);
        if (!old || strcmp(old, value) != 0) ls__owe_named(b, record->space, record->internal, priority, name);
    }
    for (size_t i = 0; i < record->prop_count; i++) {
        const struct ls_prop *prop = &record->props[i];
        char *name = ls_strndup(prop->name, ls_prop_base(prop->name, prop->name_len, NULL));
        if (name && !ls_var_property(var, name))
            ls__owe_named(b, record->space, record->internal, ls_var_priority(var), name); /* gone: "" */
        ls_free(name);
    }
}

/* Properties that the page was told of and the new variable has not: they are empty now. */
static void owe_gone(struct ls_backend *b, struct ls__space *space, const struct ls_var *old, const struct ls_var *var)
{
    for (size_t i = 0; old && i < ls_var_property_count(old); i++) {
        const char *name, *value;
        enum ls_priority priority;
        ls_var_property_at(old, i, &name, &value, &priority);
        if (*value && !ls_var_property(var, name)) ls__owe_named(b, space, ls_var_id(var), priority, name);
    }
}

/* Watches of variables that all know go over by id: variable 1, and what main.lua has made under the same id. */
static void carry_watches(struct ls_backend *b, struct ls__space *space, const struct ls_tracker *before)
{
    struct ls_idmap_item *item = ls_idmap_first(space->shared);
    while (item) {
        struct ls_idmap_item *next = ls_idmap_next(item);
        int64_t id = ls_idmap_id(item);
        struct ls_var *var = ls_tracker_find(b->engine->tracker, id);
        if (var && !ls_var_owner(var)) {
            ls_tracker_watch(b->engine->tracker, var, (int)(uintptr_t)ls_idmap_value(item));
            if (space->conn) ls__due(b, space, id, true);
            owe_gone(b, space, ls_tracker_find(before, id), var);
        } else {
            ls_idmap_take(space->shared, id);
            ls__seq_move(space, id, 0);
            if (space->conn) ls__send_destroy(space->conn, id);
            if (id == 1) /* the page stays, and the next app object is for it as well */
                space->awaits_app = b->app_awaited = true;
        }
        item = next;
    }
    ls_viewdefs_sent_clear(space->sent);
    space->views_due = true;
}

static void forget_map(struct ls_idmap *map, void (*drop)(void *value))
{
    struct ls_idmap_item *item = ls_idmap_first(map);
    while (item) {
        struct ls_idmap_item *next = ls_idmap_next(item);
        void *value = ls_idmap_take(map, ls_idmap_id(item));
        if (drop) drop(value);
        item = next;
    }
}

/* The new VM's own variables may have taken an internal id: then another one is found, and `parent` of the others
 * follows. */
static void renumber(struct ls_backend *b, struct records *all, struct record *record)
{
    if (!ls_tracker_find(b->engine->tracker, record->internal)) return;
    int64_t before = record->internal, fresh = ls__space_assign(b, record->space, record->client_id, true);
    if (!fresh) return;
    record->internal = fresh;
    ls__seq_move(record->space, before, fresh);
    for (size_t i = 0; i < all->list.count; i++)
        if (!all->list.items[i].made && all->list.items[i].parent == before)
            all->list.items[i].parent = record->internal;
}

static void carry_variables(struct ls_backend *b, struct records *all)
{
    const struct ls_change *ignored;
    for (size_t i = 0; i < all->list.count; i++) {
        struct record *record = &all->list.items[i];
        renumber(b, all, record);
        record->made = make_again(b, record);
        if (!record->made) {
            ls_idmap_take(record->space->remap, record->client_id);
            ls__seq_move(record->space, record->internal, 0);
            if (record->space->conn) ls__send_destroy(record->space->conn, record->client_id);
        }
    }
    ls_session_settle(b->engine->session);
    ls_tracker_detect(b->engine->tracker);
    /* measured against the new VM's start; the pages need the difference to the old one */
    ls_tracker_changes(b->engine->tracker, &ignored);
    for (size_t i = 0; i < all->list.count; i++)
        if (all->list.items[i].made) owe_difference(b, &all->list.items[i]);
}

int ls_backend_restart(struct ls_backend *b, struct ls_err *err)
{
    struct records all = {.b = b};
    struct ls__engine *old = b->engine;
    LS_ERR(problem);
    ls_tracker_each(old->tracker, note_variable, &all);
    if (all.failed) ls_fail(&problem, LS_ENOMEM, "Out of memory while restarting session %s.", b->vended_id);
    size_t limit = ls_budget_get(&b->budget->limit); /* for each of the two VMs while there are two */
    if (limit) ls_budget_set(&b->budget->limit, limit + ls_budget_total(b->budget));
    struct ls__engine *fresh = all.failed ? NULL : ls__engine_open(b, &problem);
    if (!fresh) {
        ls_budget_set(&b->budget->limit, limit);
        free_records(&all);
        int code = problem.code;
        ls_err_move(err, &problem);
        return code;
    }
    b->engine = fresh;
    b->in_batch = false;
    ls__begin(b);
    forget_map(b->inactive, NULL);
    b->list_type_count = 0;
    for (struct ls__space *space = b->spaces; space; space = space->next) {
        forget_map(space->told, NULL);
        forget_map(space->held, ls__held_free);
        carry_watches(b, space, old->tracker);
    }
    carry_variables(b, &all);
    free_records(&all);
    old->muted = true;
    ls__engine_close(old);
    ls_budget_set(&b->budget->limit, limit);
    ls__set_reload_error(b);
    ls__set_reload_losses(b, NULL);
    ls_log_session(1, b->vended_id, "Restarted.");
    ls_backend_after_batch(b, true);
    return 0;
}
