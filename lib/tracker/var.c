/* Questions about one variable. Nothing here runs Lua code. Owner thread: the session's. Rules: T2, T4, T89, T94, T97,
 * P12. */
#include <string.h>

#include "base/clock.h"
#include "tracker/tracker_internal.h"

int64_t ls_var_id(const struct ls_var *var)
{
    return var->id;
}

uint64_t ls_var_serial(const struct ls_var *var)
{
    return var->sequence;
}

int64_t ls_var_parent(const struct ls_var *var)
{
    return var->parent ? var->parent->id : 0;
}

void *ls_var_owner(const struct ls_var *var)
{
    return var->owner;
}

int64_t ls_var_owner_id(const struct ls_var *var)
{
    return var->owner_id;
}

size_t ls_var_child_count(const struct ls_var *var)
{
    return var->child_count;
}

/* Callers count upwards; the cursor makes each step one link. */
int64_t ls_var_child(const struct ls_var *var, size_t index)
{
    struct ls_tracker *tracker = var->tracker;
    if (index >= var->child_count) return 0;
    if (tracker->cursor_parent != var || tracker->cursor_index > index) {
        tracker->cursor_parent = var;
        tracker->cursor = var->first;
        tracker->cursor_index = 0;
    }
    for (; tracker->cursor_index < index; tracker->cursor_index++)
        tracker->cursor = tracker->cursor->next;
    return tracker->cursor->id;
}

static const char null_text[] = "null";

#define SHORT_TEXT 24 /* most texts are so long at most: a number, {"obj":1234}; what an allocator gives at least */

/* @return NULL without memory */
static const char *try_text(struct ls_tracker *tracker, const struct ls_value *value, struct ls__text *text,
                            size_t *len)
{
    *len = sizeof null_text - 1;
    if (value->shape == LS_SHAPE_NULL) return null_text;
    if (text->len == 0) {
        struct ls_buf buf = {.data = text->data, .cap = text->cap, .budget = tracker->budget};
        if (!buf.data) {
            buf.data = ls_budget_resize(tracker->budget, NULL, SHORT_TEXT, 0);
            buf.failed = !buf.data;
            buf.cap = buf.data ? SHORT_TEXT : 0;
        }
        bool fine = tracker->resolver.ops->json(tracker->resolver.ctx, value, &buf) == 0 && !ls_buf_failed(&buf) &&
                    buf.cap <= UINT32_MAX;
        if (buf.cap > UINT32_MAX) ls_buf_release(&buf);
        *text = (struct ls__text){buf.data, fine ? (uint32_t)buf.len : 0, (uint32_t)buf.cap};
        if (!fine) return NULL;
    }
    *len = text->len;
    return text->data;
}

static const char *text_of(struct ls_tracker *tracker, const struct ls_value *value, struct ls__text *kept, size_t *len)
{
    size_t size;
    const char *text = try_text(tracker, value, kept, &size);
    if (len) *len = text ? size : sizeof null_text - 1;
    return text ? text : null_text;
}

const char *ls_var_update_json(struct ls_tracker *tracker, struct ls_var *var, size_t *len)
{
    struct ls_fault fault;
    const char *text = try_text(tracker, var->wrapper_slot ? &var->wrapper : &var->value, &var->json, len);
    if (!text && !ls_tracker_stopped(tracker)) {
        if (tracker->budget && tracker->budget->hit)
            ls__no_memory(tracker, &fault);
        else
            ls_fault_set(&fault, LS_FAULT_INTERNAL, "there is no memory for the text of the value");
        ls__fault_put(tracker, var, &fault, false);
    }
    return text;
}

const char *ls_var_json(struct ls_tracker *tracker, struct ls_var *var, size_t *len)
{
    return text_of(tracker, var->wrapper_slot ? &var->wrapper : &var->value, &var->json, len);
}

const char *ls_var_base_json(struct ls_tracker *tracker, struct ls_var *var, size_t *len)
{
    if (!var->wrapper_slot) return ls_var_json(tracker, var, len);
    return text_of(tracker, &var->value, &var->base_json, len);
}

ls_slot ls_var_value(const struct ls_var *var)
{
    return var->value.slot;
}

ls_slot ls_var_wrapper(const struct ls_var *var)
{
    return var->wrapper_slot;
}

const char *ls_var_property(const struct ls_var *var, const char *name)
{
    const struct ls__prop *prop = ls__prop_find(var, name, strlen(name));
    return prop && prop->value[0] ? prop->value : NULL;
}

size_t ls_var_property_count(const struct ls_var *var)
{
    return var->prop_count - var->prop_removed;
}

void ls_var_property_at(const struct ls_var *var, size_t index, const char **name, const char **value,
                        enum ls_priority *priority)
{
    for (uint32_t i = var->prop_removed ? 0 : (uint32_t)index; i < var->prop_count; i++) {
        const struct ls__prop *prop = &var->props[i];
        if (prop->value[0] == '\0' || (var->prop_removed && index-- > 0)) continue;
        *name = prop->name;
        *value = prop->value;
        *priority = (enum ls_priority)prop->priority;
        return;
    }
    *name = *value = "";
    *priority = LS_MEDIUM;
}

enum ls_priority ls_var_priority(const struct ls_var *var)
{
    return (enum ls_priority)var->priority;
}

bool ls_var_readable(const struct ls_var *var)
{
    return ls__is_readable(var);
}

bool ls_var_has_path(const struct ls_var *var)
{
    return var->path;
}

bool ls_var_active(const struct ls_var *var)
{
    return var->active;
}

unsigned ls_var_watchers(const struct ls_var *var)
{
    return var->watchers;
}

int64_t ls_var_compute_ns(const struct ls_var *var)
{
    return ls_ticks_ns((uint64_t)var->ticks << LS__TICK_SHIFT);
}

int64_t ls_var_max_compute_ns(const struct ls_var *var)
{
    return ls_ticks_ns((uint64_t)var->max_ticks << LS__TICK_SHIFT);
}

uint64_t ls_var_change_count(const struct ls_var *var)
{
    return var->change_count;
}

size_t ls_var_diag_count(const struct ls_var *var)
{
    return var->diags ? var->diags->count : 0;
}

const char *ls_var_diag_at(const struct ls_var *var, size_t index)
{
    return var->diags && index < var->diags->count ? var->diags->text[index] : "";
}
