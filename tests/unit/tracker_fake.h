/* A resolver without Lua, for tests of the tracker: values are C structs, methods are C functions, and it counts the
 * slots that are out. */
#ifndef TESTS_TRACKER_FAKE_H
#define TESTS_TRACKER_FAKE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "tracker/tracker.h"

enum fake_kind { FAKE_NULL, FAKE_INT, FAKE_TEXT, FAKE_OBJECT, FAKE_METHOD };

struct fake;
struct fake_value {
    enum fake_kind kind;
    int number;
    char text[32]; /* FAKE_TEXT */
    int64_t id;    /* FAKE_OBJECT: given on first sight */
    char type[32]; /* FAKE_OBJECT: "" = none */
    struct {
        char name[16];
        struct fake_value *value;
    } fields[8];
    /* FAKE_METHOD: the result; *arg is what was passed, NULL for a call without; NULL result = the method fails */
    struct fake_value *(*call)(struct fake *fake, struct fake_value *self, struct fake_value *arg);
};

struct fake {
    struct ls_tracker *tracker;
    struct fake_value *slots[4096];
    size_t slot_top, slots_out;
    struct fake_value values[2048];
    size_t value_count;
    unsigned checks, calls, enters, wraps, keeps, unwraps;
    int64_t checked[256]; /* ids in the order in which they were checked */
    size_t checked_count;
    bool wrap_fails, repeat_on_keep;
    bool stopped; /* what the next look at it tells; it is over then */
};

static struct fake_value *fake_new(struct fake *fake, enum fake_kind kind)
{
    assert_true(fake->value_count < sizeof fake->values / sizeof *fake->values);
    struct fake_value *value = &fake->values[fake->value_count++];
    memset(value, 0, sizeof *value);
    value->kind = kind;
    return value;
}

static struct fake_value *fake_text(struct fake *fake, const char *text)
{
    struct fake_value *value = fake_new(fake, FAKE_TEXT);
    snprintf(value->text, sizeof value->text, "%s", text);
    return value;
}

static struct fake_value *fake_int(struct fake *fake, int number)
{
    struct fake_value *value = fake_new(fake, FAKE_INT);
    value->number = number;
    return value;
}

static struct fake_value *fake_object(struct fake *fake, const char *type)
{
    struct fake_value *value = fake_new(fake, FAKE_OBJECT);
    snprintf(value->type, sizeof value->type, "%s", type);
    return value;
}

static void fake_set(struct fake_value *object, const char *name, struct fake_value *value)
{
    for (size_t i = 0; i < 8; i++) {
        if (object->fields[i].name[0] && strcmp(object->fields[i].name, name) != 0) continue;
        snprintf(object->fields[i].name, sizeof object->fields[i].name, "%s", name);
        object->fields[i].value = value;
        return;
    }
    fail_msg("too many fields");
}

static struct fake_value *fake_get(struct fake_value *object, const char *name)
{
    for (size_t i = 0; i < 8; i++)
        if (strcmp(object->fields[i].name, name) == 0) return object->fields[i].value;
    return NULL;
}

static ls_slot fake_slot(struct fake *fake, struct fake_value *value)
{
    if (!value || value->kind == FAKE_NULL) return 0;
    for (size_t i = 1; i < sizeof fake->slots / sizeof *fake->slots; i++) {
        if (!fake->slots[i]) {
            fake->slots[i] = value;
            fake->slots_out++;
            return (ls_slot)i;
        }
    }
    fail_msg("out of slots");
    return 0;
}

static void fake_free_slot(void *ctx, ls_slot slot)
{
    struct fake *fake = ctx;
    if (!slot) return;
    assert_non_null(fake->slots[slot]);
    fake->slots[slot] = NULL;
    fake->slots_out--;
}

static void fake_drop(void *ctx, struct ls_value *value)
{
    fake_free_slot(ctx, value->slot);
    *value = (struct ls_value){0};
}

static int64_t fake_id(struct fake *fake, struct fake_value *value)
{
    if (!value->id) value->id = ls_tracker_next_id(fake->tracker);
    return value->id;
}

static bool fake_same(const struct fake_value *a, const struct fake_value *b)
{
    if (a == b) return true;
    return a && b && a->kind == b->kind &&
           ((a->kind == FAKE_INT && a->number == b->number) || (a->kind == FAKE_TEXT && strcmp(a->text, b->text) == 0));
}

/* Let *value hold `now`. */
static int fake_take(struct fake *fake, struct ls_value *value, struct fake_value *now)
{
    struct fake_value *old = value->slot ? fake->slots[value->slot] : NULL;
    if (now && now->kind == FAKE_NULL) now = NULL;
    int bits = fake_same(old, now) ? 0 : LS_CHECK_CHANGED;
    const char *type = now && now->kind == FAKE_OBJECT && now->type[0] ? now->type : NULL;
    if (!bits && now && now->kind == FAKE_OBJECT && strcmp(value->type ? value->type : "", type ? type : "") != 0)
        bits |= LS_CHECK_TYPE;
    if (!bits) return 0;
    uint16_t nil_step = value->nil_step;
    fake_drop(fake, value);
    value->nil_step = nil_step;
    if (!now) return bits;
    value->slot = fake_slot(fake, now);
    value->shape = now->kind == FAKE_OBJECT || now->kind == FAKE_METHOD ? LS_SHAPE_OBJECT : LS_SHAPE_PLAIN;
    if (value->shape == LS_SHAPE_OBJECT) {
        value->object = fake_id(fake, now);
        value->type = type;
        /* types are compared as text, so a copy stands for what was seen */
        if (type) value->type = fake_text(fake, type)->text;
    }
    return bits;
}

/* @return 0, 1 + step before which a null stood, -1 */
static int fake_walk(struct fake *fake, struct fake_value **at, const struct ls_path *path, uint32_t count,
                     struct ls_fault *fault)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct ls_step *step = &path->steps[i];
        if (!*at) return (int)i + 1;
        if ((*at)->kind != FAKE_OBJECT) return ls_fault_set(fault, LS_FAULT_PATH_ERROR, "no step '%s'", step->name);
        struct fake_value *self = *at;
        *at = fake_get(self, step->name);
        if (step->kind == LS_STEP_CALL) {
            if (!*at || (*at)->kind != FAKE_METHOD)
                return ls_fault_set(fault, LS_FAULT_BAD_CALL_MISSING, "no method '%s'", step->name);
            fake->calls++;
            *at = (*at)->call(fake, self, NULL);
            if (!*at) return ls_fault_set(fault, LS_FAULT_BAD_CALL, "method '%s' failed", step->name);
        }
        if (*at && (*at)->kind == FAKE_NULL) *at = NULL;
    }
    return 0;
}

static int fake_check(void *ctx, ls_slot from, const struct ls_path *path, struct ls_value *value,
                      struct ls_fault *fault)
{
    struct fake *fake = ctx;
    struct fake_value *at = from ? fake->slots[from] : NULL;
    fake->checks++;
    if (fake->checked_count < 256 && path) fake->checked[fake->checked_count++] = ls_tracker_computing(fake->tracker);
    int nil = path ? fake_walk(fake, &at, path, path->count, fault) : 0;
    if (nil < 0) return -1;
    int bits = fake_take(fake, value, nil ? NULL : at);
    if (nil) {
        if (value->nil_step == nil) {
            bits |= LS_CHECK_FAULT_SAME;
        } else {
            ls_fault_set(fault, LS_FAULT_NIL_PATH, "nothing before step %d", nil);
            bits |= LS_CHECK_FAULT;
        }
    }
    value->nil_step = (uint16_t)nil;
    return bits;
}

static int fake_adopt(void *ctx, ls_slot slot, struct ls_value *value, struct ls_fault *fault)
{
    struct fake *fake = ctx;
    (void)fault;
    int bits = fake_take(fake, value, slot ? fake->slots[slot] : NULL);
    fake_free_slot(fake, slot);
    return bits;
}

static int fake_copy(void *ctx, ls_slot slot, ls_slot *copy, struct ls_fault *fault)
{
    struct fake *fake = ctx;
    (void)fault;
    *copy = slot ? fake_slot(fake, fake->slots[slot]) : 0;
    return 0;
}

/* Understands integers, strings without escapes, null. */
static int fake_decode(void *ctx, const char *json, size_t len, ls_slot *slot, struct ls_fault *fault)
{
    struct fake *fake = ctx;
    struct ls_json_reader reader;
    char text[32];
    ls_json_read(&reader, json, len);
    switch (ls_json_next(&reader)) {
    case LS_JSON_NULL: *slot = 0; return 0;
    case LS_JSON_INT: *slot = fake_slot(fake, fake_int(fake, (int)reader.integer)); return 0;
    case LS_JSON_STRING:
        snprintf(text, sizeof text, "%.*s", (int)reader.len, reader.text);
        *slot = fake_slot(fake, fake_text(fake, text));
        return 0;
    default: return ls_fault_set(fault, LS_FAULT_BAD_REFERENCE, "there is no such object");
    }
}

static int fake_store(void *ctx, ls_slot from, const struct ls_path *path, int64_t into, int access, ls_slot value,
                      struct ls_fault *fault)
{
    (void)into;
    struct fake *fake = ctx;
    struct fake_value *at = from ? fake->slots[from] : NULL, *arg = value ? fake->slots[value] : NULL;
    const struct ls_step *last = &path->steps[path->count - 1];
    int nil = fake_walk(fake, &at, path, path->count - 1, fault);
    if (nil < 0) return -1;
    if (nil || !at) return ls_fault_set(fault, LS_FAULT_NIL_PATH, "nothing to set '%s' on", last->name);
    if (last->kind == LS_STEP_CALL || last->kind == LS_STEP_SETTER) {
        struct fake_value *method = fake_get(at, last->name), none = {.kind = FAKE_NULL};
        if (!method || method->kind != FAKE_METHOD)
            return ls_fault_set(fault, LS_FAULT_BAD_CALL_MISSING, "no method '%s'", last->name);
        fake->calls++;
        bool with = last->kind == LS_STEP_SETTER || access != LS_ACCESS_ACTION;
        if (!method->call(fake, at, with ? (arg ? arg : &none) : NULL))
            return ls_fault_set(fault, LS_FAULT_BAD_CALL, "method '%s' failed", last->name);
        return 0;
    }
    fake_set(at, last->name, arg);
    return 0;
}

/* A wrapper is an object of the wrapper's type name, with the value as field `value`. */
static int fake_wrap(void *ctx, const struct ls_wrap *want, struct ls_value *wrapper, struct ls_fault *fault)
{
    struct fake *fake = ctx;
    if (wrapper->slot) {
        fake->keeps++;
        fake_set(fake->slots[wrapper->slot], "value", fake->slots[want->value->slot]);
        if (fake->repeat_on_keep) ls_tracker_request_repeat(fake->tracker);
        return 0;
    }
    if (fake->wrap_fails) return ls_fault_set(fault, LS_FAULT_WRAPPER, "no type '%s'", want->type);
    struct fake_value *object = fake_object(fake, strcmp(want->type, "Untyped") == 0 ? "" : want->type);
    fake_set(object, "value", fake->slots[want->value->slot]);
    fake->wraps++;
    fake_take(fake, wrapper, object);
    return 0;
}

static void fake_unwrap(void *ctx, int64_t id, struct ls_value *wrapper)
{
    struct fake *fake = ctx;
    (void)id;
    fake->unwraps++;
    fake_drop(fake, wrapper);
}

static int fake_make(void *ctx, const char *type, ls_slot *made, struct ls_fault *fault)
{
    struct fake *fake = ctx;
    (void)fault;
    *made = strcmp(type, "Unknown") == 0 ? 0 : fake_slot(fake, fake_object(fake, type));
    return 0;
}

static int fake_json(void *ctx, const struct ls_value *value, struct ls_buf *out)
{
    struct fake *fake = ctx;
    struct fake_value *held = value->slot ? fake->slots[value->slot] : NULL;
    if (value->shape == LS_SHAPE_OBJECT)
        ls_buf_printf(out, "{\"obj\":%lld}", (long long)value->object);
    else if (held && held->kind == FAKE_INT)
        ls_json_int(out, held->number);
    else if (held)
        ls_json_str(out, held->text);
    return ls_buf_failed(out) ? LS_ENOMEM : 0;
}

/* The object is the last one on the way that has an id. */
static int fake_place(void *ctx, ls_slot from, const struct ls_path *path, int64_t *object, struct ls_fault *fault)
{
    struct fake *fake = ctx;
    struct fake_value *at = from ? fake->slots[from] : NULL;
    int nil = fake_walk(fake, &at, path, path->count - 1, fault);
    *object = nil == 0 && at && at->kind == FAKE_OBJECT ? fake_id(fake, at) : 0;
    return nil < 0 ? -1 : 0;
}

static int fake_check_in(void *ctx, ls_slot from, const struct ls_path *path, struct ls_value *value, int64_t *object,
                         struct ls_fault *fault)
{
    return fake_place(ctx, from, path, object, fault) ? -1 : fake_check(ctx, from, path, value, fault);
}

static int fake_enter(void *ctx)
{
    ((struct fake *)ctx)->enters++;
    return 0;
}

static bool fake_stopped(void *ctx)
{
    struct fake *fake = ctx;
    bool stopped = fake->stopped;
    fake->stopped = false;
    return stopped;
}

static const struct ls_resolver_ops fake_ops = {
    .enter = fake_enter,
    .stopped = fake_stopped,
    .check = fake_check,
    .check_in = fake_check_in,
    .place = fake_place,
    .adopt = fake_adopt,
    .drop = fake_drop,
    .copy = fake_copy,
    .free_slot = fake_free_slot,
    .decode = fake_decode,
    .store = fake_store,
    .wrap = fake_wrap,
    .unwrap = fake_unwrap,
    .make = fake_make,
    .json = fake_json,
};

/* --- a tracker with an app object in variable 1 --- */

#define FAKE_UNUSED __attribute__((unused)) /* not every test needs every helper */

static struct fake *fake_open_limited(struct ls_budget *budget, size_t max_properties)
{
    struct fake *fake = calloc(1, sizeof *fake);
    assert_non_null(fake);
    struct ls_tracker_config config = {.resolver = {&fake_ops, fake},
                                       .budget = budget,
                                       .max_properties = max_properties,
                                       .diag_level = budget != NULL};
    fake->tracker = ls_tracker_new(&config, NULL);
    assert_non_null(fake->tracker);
    return fake;
}

FAKE_UNUSED static struct fake *fake_open(void)
{
    return fake_open_limited(NULL, 0);
}

static void fake_close(struct fake *fake)
{
    ls_tracker_free(fake->tracker);
    assert_int_equal(fake->slots_out, 0);
    free(fake);
}

static struct ls_var *fake_root(struct fake *fake, struct fake_value *value)
{
    struct ls_var_spec spec = {.has_value = true, .value = fake_slot(fake, value)};
    struct ls_var *var = NULL;
    assert_int_equal(ls_tracker_create(fake->tracker, &spec, &var, NULL), 0);
    return var;
}

/* Properties as `name=value;name=value`. */
static int fake_create(struct fake *fake, int64_t id, int64_t parent, const char *path, const char *props,
                       struct ls_fault *fault)
{
    char copy[256];
    struct ls_prop list[8];
    size_t count = 0;
    snprintf(copy, sizeof copy, "%s", props ? props : "");
    for (char *save, *pair = strtok_r(copy, ";", &save); pair; pair = strtok_r(NULL, ";", &save)) {
        char *equals = strchr(pair, '=');
        list[count++] = (struct ls_prop){pair, equals + 1, (size_t)(equals - pair), strlen(equals + 1)};
    }
    struct ls_var_spec spec = {.id = id,
                               .parent = parent,
                               .path = path,
                               .path_len = path ? strlen(path) : 0,
                               .props = list,
                               .prop_count = count};
    return ls_tracker_create(fake->tracker, &spec, NULL, fault);
}

static struct ls_var *fake_var(struct fake *fake, int64_t id)
{
    struct ls_var *var = ls_tracker_find(fake->tracker, id);
    assert_non_null(var);
    return var;
}

FAKE_UNUSED static const char *fake_value_json(struct fake *fake, int64_t id)
{
    return ls_var_json(fake->tracker, fake_var(fake, id), NULL);
}

FAKE_UNUSED static int fake_prop(struct fake *fake, int64_t id, const char *name, const char *value,
                                 struct ls_fault *fault)
{
    char text[256]; /* as they lie in a page's frame: no NUL behind them */
    size_t name_len = strlen(name), len = strlen(value);
    snprintf(text, sizeof text, "%s\":\"%s\"}", name, value);
    struct ls_prop prop = {text, text + name_len + 3, name_len, len};
    return ls_tracker_set_property(fake->tracker, fake_var(fake, id), &prop, fault);
}

/* The change list as text: `4h=v; 5m=v,type(Ship); 2l=note()`. */
FAKE_UNUSED static const char *fake_changes(struct fake *fake)
{
    static char text[2048];
    size_t len = 0;
    const struct ls_change *list;
    int count = ls_tracker_changes(fake->tracker, &list);
    text[0] = '\0';
    for (int i = 0; i < count; i++) {
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%lld%c=%s", i ? "; " : "",
                                (long long)ls_var_id(list[i].var), "hml"[list[i].priority], list[i].value ? "v" : "");
        for (size_t p = 0; p < list[i].prop_count; p++) {
            const char *value = ls_var_property(list[i].var, list[i].props[p]);
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%s(%s)", p || list[i].value ? "," : "",
                                    list[i].props[p], value ? value : "");
        }
    }
    return text;
}

FAKE_UNUSED static const char *fault_text(enum ls_fault_kind kind)
{
    return ls_fault_kind_text(kind);
}

#endif
