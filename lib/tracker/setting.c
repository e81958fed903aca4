/* Setting properties: the effect of those that have one (tracker.md section 4).
 * Owner thread: the session's. Rules: T20–T28, TX35, TX36. */
#include <string.h>

#include "base/alloc.h"
#include "tracker/tracker_internal.h"

#define SELDOM __attribute__((cold)) /* compiled for size */

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
SELDOM static void begin_to_tell(struct ls_tracker *tracker, struct ls_var *var)
{
    ls_tracker_unreport(tracker, var, true);
    var->seen = 0;
    if (ls_var_property(var, "type")) ls__mark_type(tracker, var);
    if (ls_var_property(var, "fallbackNamespace"))
        ls__prop_record(var, "fallbackNamespace", strlen("fallbackNamespace"));
}

/* Path and access are judged together and taken over together (T23, T25); everything that can fail comes first. */
SELDOM static int set_place(struct ls_tracker *tracker, struct ls_var *var, const char *path_text, size_t path_len,
                            const char *access_text, struct ls_fault *fault)
{
    enum ls_access access = (enum ls_access)var->access;
    bool silent = !ls__is_readable(var);
    if (access_text && ls__access_read(access_text, &access, fault)) return -1;
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
SELDOM static void take_effect(struct ls_tracker *tracker, struct ls_var *var, const struct ls__prop_name *name)
{
    if (name->len == 8 && memcmp(name->name, "priority", 8) == 0) {
        var->priority = (uint8_t)ls__priority_read(ls_var_property(var, "priority"));
        tracker->order_dirty = true;
    } else if ((name->len == 7 && memcmp(name->name, "wrapper", 7) == 0) ||
               (name->len == 5 && memcmp(name->name, "keyed", 5) == 0) ||
               (name->len == 3 && memcmp(name->name, "key", 3) == 0)) {
        if (ls__settle(tracker, var, ls__outward(var), false)) ls__mark_value(tracker, var);
    } else if (name->len == 4 && memcmp(name->name, "type", 4) == 0) {
        var->auto_type = !ls_var_property(var, "type");
    }
}

struct query_job {
    struct ls_tracker *tracker;
    struct ls_var *var;
    struct ls_fault *fault;
    int changed;
};

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

SELDOM static int set_from_query(void *ctx, const struct ls_prop *prop)
{
    struct query_job *job = ctx;
    struct ls__prop_name name;
    ls__prop_split(prop->name, prop->name_len, &name);
    if (name.len == 4 && memcmp(name.name, "path", 4) == 0) return 0; /* a path inside a path's query names nothing */
    int changed;
    if (name.len == 6 && memcmp(name.name, "access", 6) == 0) {
        /* judged together with the path already */
        changed = ls__prop_put(job->var, &name, prop->value, prop->value_len, job->fault);
        if (changed > 0) ls__prop_record(job->var, name.name, name.len);
    } else {
        changed = set_plain(job->tracker, job->var, &name, prop->value, prop->value_len, job->fault);
    }
    if (changed < 0) return -1;
    job->changed |= changed;
    return 0;
}

SELDOM static int find_access(void *ctx, const struct ls_prop *prop)
{
    struct ls__prop_name name;
    ls__prop_split(prop->name, prop->name_len, &name);
    if (name.len == 6 && memcmp(name.name, "access", 6) == 0) {
        char **access = ctx;
        char *copy = ls_strndup(prop->value, prop->value_len);
        if (!copy) return -1;
        ls_free(*access);
        *access = copy;
    }
    return 0;
}

/* A path brings its query along, which is split off and becomes properties (T23, TX35). */
SELDOM static int set_path(struct ls_tracker *tracker, struct ls_var *var, const struct ls__prop_name *name,
                           const struct ls_prop *prop, struct ls_fault *fault)
{
    const char *query;
    size_t query_len, len = ls_path_split(prop->value, prop->value_len, &query, &query_len);
    char *access = NULL;
    struct query_job job = {tracker, var, fault, 0};
    int rc = ls__query_each(query, query_len, find_access, &access, fault);
    if (rc == 0) rc = set_place(tracker, var, prop->value, len, access, fault);
    if (rc == 0) {
        job.changed = ls__prop_put(var, name, prop->value, len, fault);
        if (job.changed > 0) ls__prop_record(var, "path", 4);
        rc = job.changed < 0 ? -1 : ls__query_each(query, query_len, set_from_query, &job, fault);
    }
    ls_free(access);
    return rc ? -1 : job.changed;
}

SELDOM static int set_access(struct ls_tracker *tracker, struct ls_var *var, const struct ls__prop_name *name,
                             const struct ls_prop *prop, struct ls_fault *fault)
{
    char word[16];
    if (prop->value_len >= sizeof word)
        return ls_fault_set(fault, LS_FAULT_BAD_ACCESS, "'%.*s' is no access mode (rw, r, w, action)",
                            prop->value_len < 100 ? (int)prop->value_len : 100, prop->value);
    if (prop->value_len) memcpy(word, prop->value, prop->value_len);
    word[prop->value_len] = '\0';
    enum ls_access access;
    if (ls__access_read(word, &access, fault)) return -1;
    const struct ls__prop *old = ls__prop_find(var, "access", 6);
    if (strcmp(old ? old->value : "", word) != 0 && set_place(tracker, var, NULL, 0, word, fault)) return -1;
    return set_plain(tracker, var, name, word, prop->value_len, fault);
}

int ls_tracker_set_property(struct ls_tracker *tracker, struct ls_var *var, const struct ls_prop *prop,
                            struct ls_fault *fault)
{
    struct ls__prop_name name;
    if (ls_prop_check(prop, fault) || ls_tracker_admit(tracker, var, prop, 1, 0, fault)) return -1;
    ls__prop_split(prop->name, prop->name_len, &name);
    tracker->busy++;
    int rc;
    if (name.len == 4 && memcmp(name.name, "path", 4) == 0)
        rc = set_path(tracker, var, &name, prop, fault);
    else if (name.len == 6 && memcmp(name.name, "access", 6) == 0)
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
