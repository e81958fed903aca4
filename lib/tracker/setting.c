/* Setting properties: the effect of those that have one (tracker.md section 4).
 * Owner thread: the session's. Rules: T20–T28, TX35, TX36. */
#include <string.h>

#include "base/alloc.h"
#include "tracker/tracker_internal.h"

void ls__var_aim(struct ls_var *var)
{
    struct ls_var *start = var->parent;
    if (var->path && var->path->standard) start = NULL;
    for (uint32_t i = 0; var->path && start && i < var->path->climb; i++)
        start = start->parent;
    var->start = start;
    ls__row_bind(var->tracker, var);
    var->timed = var->path && var->path->calls;
}

void ls__prop_record(struct ls_var *var, const char *name, size_t len)
{
    struct ls__prop *prop = ls__prop_find(var, name, len);
    if (!prop) return;
    if (!prop->changed) var->tracker->pending_props++;
    prop->changed = true;
    ls__mark_pending(var->tracker, var);
}

/* Watchers of a variable that was not to be read have been told nothing of it: now they are, with the properties that
 * the server set in silence. */
static void begin_to_tell(struct ls_tracker *tracker, struct ls_var *var)
{
    ls_var_unreport(var, true);
    var->seen = 0;
    if (ls_var_property(var, "type")) ls__mark_type(tracker, var);
    if (ls_var_property(var, "fallbackNamespace"))
        ls__prop_record(var, "fallbackNamespace", strlen("fallbackNamespace"));
}

/* Path and access are judged together and taken over together (T23, T25); everything that can fail comes first. */
static int set_place(struct ls_tracker *tracker, struct ls_var *var, const char *path_text, size_t path_len,
                     enum ls_access access, struct ls_fault *fault)
{
    bool silent = !ls__is_readable(var);
    struct ls_path *path = var->path;
    if (path_text && path_len) {
        path = ls__path_get(tracker, path_text, path_len, fault);
        if (!path) return -1;
    } else if (path_text) {
        path = NULL;
    }
    if (ls__access_check(path, access, fault) || (var->parent && ls__climb_check(path, var->parent, fault))) {
        if (path != var->path) ls__path_put(tracker, path);
        return -1;
    }
    if (path_text && path != var->path) {
        ls__path_put(tracker, var->path);
        var->path = path;
        var->value.nil_step = 0;
        ls__epoch_move(tracker);
        if (path && var->parent) var->held = false;
        ls__fault_clear(tracker, var);
    } else if (path_text && path) {
        path->uses--; /* the same path again: the variable holds its use already */
    }
    ls__var_aim(var);
    var->access = (uint8_t)access;
    ls__place_aim(tracker, var);
    ls__place_find(tracker, var);
    tracker->order_dirty = true;
    if (silent && ls__is_readable(var)) begin_to_tell(tracker, var);
    return 0;
}

/* What was given is a span that need not end in a NUL (a page's frame); what is stored does. */
static void take_effect(struct ls_tracker *tracker, struct ls_var *var, const struct ls__prop_name *name)
{
    if (ls__is_named(name, "priority")) {
        var->priority = (uint8_t)ls__priority_read(ls_var_property(var, "priority"));
        tracker->order_dirty = true;
    } else if (ls__is_named(name, "wrapper") || ls__is_named(name, "keyed") || ls__is_named(name, "key")) {
        if (ls__settle(tracker, var, ls__outward(var), false)) ls__mark_value(tracker, var);
    } else if (ls__is_named(name, "type")) {
        var->auto_type = !ls_var_property(var, "type");
    }
}

static int set_plain(struct ls_tracker *tracker, struct ls_var *var, const struct ls__prop_name *name,
                     const char *value, size_t len, struct ls_fault *fault)
{
    int changed = ls__prop_put(var, name, value, len, fault);
    if (changed > 0) {
        ls__prop_record(var, name->name, name->len);
        take_effect(tracker, var, name);
    }
    return changed;
}

/* A path brings its query along, which is split off and becomes properties (T23, TX35). */
static int set_path(struct ls_tracker *tracker, struct ls_var *var, const struct ls__prop_name *name,
                    const struct ls_prop *prop, struct ls_fault *fault)
{
    struct ls__query query;
    const struct ls_prop *given = NULL;
    enum ls_access access = (enum ls_access)var->access;
    const char *text;
    size_t text_len, len = ls_path_split(prop->value, prop->value_len, &text, &text_len);
    int changed = -1;
    if (ls__query_read(&query, text, text_len, fault)) goto out;
    for (size_t i = 0; i < query.count; i++)
        if (ls_prop_is(&query.props[i], "access")) given = &query.props[i];
    if (given && ls__access_read(given->value, given->value_len, &access, fault)) goto out;
    if (set_place(tracker, var, prop->value, len, access, fault)) goto out;
    changed = set_plain(tracker, var, name, prop->value, len, fault);
    for (size_t i = 0; changed >= 0 && i < query.count; i++) {
        struct ls__prop_name other;
        ls__prop_split(query.props[i].name, query.props[i].name_len, &other);
        if (ls__is_named(&other, "path")) continue; /* inside a path's query it names nothing */
        int more = set_plain(tracker, var, &other, query.props[i].value, query.props[i].value_len, fault);
        changed = more < 0 ? -1 : changed | more;
    }
out:
    ls__query_release(&query);
    return changed;
}

static int set_access(struct ls_tracker *tracker, struct ls_var *var, const struct ls__prop_name *name,
                      const struct ls_prop *prop, struct ls_fault *fault)
{
    enum ls_access access;
    if (ls__access_read(prop->value, prop->value_len, &access, fault)) return -1;
    if (access != (enum ls_access)var->access && set_place(tracker, var, NULL, 0, access, fault)) return -1;
    return set_plain(tracker, var, name, prop->value, prop->value_len, fault);
}

int ls_tracker_set_property(struct ls_tracker *tracker, struct ls_var *var, const struct ls_prop *prop,
                            struct ls_fault *fault)
{
    struct ls__prop_name name;
    if (ls_prop_check(prop, fault) || ls_tracker_admit(tracker, var, prop, 1, 0, fault)) return -1;
    ls__prop_split(prop->name, prop->name_len, &name);
    tracker->busy++;
    int rc;
    if (ls__is_named(&name, "path"))
        rc = set_path(tracker, var, &name, prop, fault);
    else if (ls__is_named(&name, "access"))
        rc = set_access(tracker, var, &name, prop, fault);
    else
        rc = set_plain(tracker, var, &name, prop->value, prop->value_len, fault);
    ls__busy_end(tracker);
    return rc;
}

int ls_tracker_put_property(struct ls_tracker *tracker, struct ls_var *var, const char *name, const char *value,
                            enum ls_priority priority)
{
    struct ls__prop_name split = {name, strlen(name), true, priority};
    struct ls_fault fault;
    tracker->busy++;
    int rc = ls__is_readable(var) ? set_plain(tracker, var, &split, value, strlen(value), &fault)
                                  : ls__prop_put(var, &split, value, strlen(value), NULL);
    ls__busy_end(tracker);
    return rc;
}
