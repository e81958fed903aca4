/* Fuzz target: paths, queries and properties as a page sends them. The input's lines are the properties of a new
 * variable, `name=value`; a line without `=` is its path. A path is refused or becomes steps that lie inside its text;
 * a variable is made or nothing has changed; both end without a trace. Built by run.sh: with libFuzzer, or with
 * replay.c over a folder of files. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tracker/tracker_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

enum { MAX_PROPS = 16 };

static void check_path(const char *full, size_t full_len)
{
    const char *query;
    size_t query_len, len = ls_path_split(full, full_len, &query, &query_len);
    CHECK(len + (query ? query_len + 1 : 0) == full_len && (!query || full[len] == '?'));
    struct ls_fault fault = {0};
    struct ls_path *path = ls_path_parse(full, len, NULL, &fault);
    if (!path) {
        CHECK(fault.kind == LS_FAULT_BAD_PATH || fault.kind == LS_FAULT_BAD_SETTER_CALL);
        CHECK(*fault.text);
        return;
    }
    CHECK(path->text_len == len && (len == 0 || memcmp(path->text, full, len) == 0) && path->text[len] == '\0');
    CHECK(path->count <= LS_PATH_MAX_STEPS && len <= LS_PATH_MAX_BYTES);
    bool calls = false;
    for (uint32_t i = 0; i < path->count; i++) {
        const struct ls_step *step = &path->steps[i];
        CHECK(step->name_len > 0 && strlen(step->name) == step->name_len && !memchr(step->name, '.', step->name_len));
        CHECK(step->kind != LS_STEP_INDEX ||
              (step->index <= 2147483646u && path->code[i] == LS_OP(LS_STEP_INDEX, step->index)));
        CHECK(step->kind != LS_STEP_SETTER || i + 1 == path->count);
        calls |= step->kind == LS_STEP_CALL;
    }
    CHECK(calls == path->calls && (!path->standard || (path->standard[0] == '@' && path->standard[1])));
    ls_free(path);
}

/* A resolver that knows no values: every path leads to null. What the tracker does with the texts is all that is looked
 * at. */
static int no_check(void *ctx, ls_slot from, const struct ls_path *path, struct ls_value *value, struct ls_fault *fault)
{
    (void)ctx, (void)from, (void)path, (void)value, (void)fault;
    return 0;
}

static int no_adopt(void *ctx, ls_slot slot, struct ls_value *value, struct ls_fault *fault)
{
    (void)ctx, (void)slot, (void)value, (void)fault;
    return 0;
}

static void no_drop(void *ctx, struct ls_value *value)
{
    (void)ctx;
    *value = (struct ls_value){0};
}

static int no_copy(void *ctx, ls_slot slot, ls_slot *copy, struct ls_fault *fault)
{
    (void)ctx, (void)slot, (void)fault;
    *copy = 0;
    return 0;
}

static void no_free_slot(void *ctx, ls_slot slot)
{
    (void)ctx, (void)slot;
}

static int no_decode(void *ctx, const char *json, size_t len, ls_slot *slot, struct ls_fault *fault)
{
    (void)ctx, (void)json, (void)len, (void)fault;
    *slot = 0;
    return 0;
}

static int no_store(void *ctx, ls_slot from, const struct ls_path *path, int64_t into, int access, ls_slot value,
                    struct ls_fault *fault)
{
    (void)ctx, (void)from, (void)path, (void)into, (void)access, (void)value, (void)fault;
    return 0;
}

static int no_wrap(void *ctx, const struct ls_wrap *want, struct ls_value *wrapper, struct ls_fault *fault)
{
    (void)ctx, (void)want, (void)wrapper, (void)fault;
    return 0;
}

static void no_unwrap(void *ctx, int64_t id, struct ls_value *wrapper)
{
    (void)ctx, (void)id;
    *wrapper = (struct ls_value){0};
}

static int no_make(void *ctx, const char *type, ls_slot *made, struct ls_fault *fault)
{
    (void)ctx, (void)type, (void)fault;
    *made = 0;
    return 0;
}

static int null_json(void *ctx, const struct ls_value *value, struct ls_buf *out)
{
    (void)ctx, (void)value;
    ls_buf_str(out, "null");
    return 0;
}

static const struct ls_resolver_ops ops = {
    .check = no_check,
    .adopt = no_adopt,
    .drop = no_drop,
    .copy = no_copy,
    .free_slot = no_free_slot,
    .decode = no_decode,
    .store = no_store,
    .wrap = no_wrap,
    .unwrap = no_unwrap,
    .make = no_make,
    .json = null_json,
};

static void see_var(void *ctx, struct ls_var *var, unsigned depth)
{
    size_t *seen = ctx;
    ++*seen;
    CHECK(depth <= 2);
    for (size_t i = 0; i < ls_var_property_count(var); i++) {
        const char *name, *value;
        enum ls_priority priority;
        ls_var_property_at(var, i, &name, &value, &priority);
        CHECK(*name && value && priority <= LS_LOW);
    }
}

static void check_tracker(const struct ls_prop *props, size_t count)
{
    const struct ls_tracker_config config = {.resolver = {.ops = &ops}};
    struct ls_tracker *tracker = ls_tracker_new(&config, NULL);
    struct ls_var *root = NULL, *var = NULL;
    struct ls_fault fault = {0};
    CHECK(tracker && ls_tracker_create(tracker, &(struct ls_var_spec){.id = 1, .has_value = true}, &root, &fault) == 0);
    int rc = ls_tracker_create(
        tracker, &(struct ls_var_spec){.id = 2, .parent = 1, .props = props, .prop_count = count}, &var, &fault);
    CHECK(ls_tracker_count(tracker) == (rc == 0 ? 2 : 1) && (rc == 0) == (ls_tracker_find(tracker, 2) != NULL));
    CHECK(rc == 0 || (fault.kind != LS_FAULT_NONE && *ls_fault_code(fault.kind)));
    if (rc != 0) CHECK(ls_tracker_create(tracker, &(struct ls_var_spec){.id = 2, .parent = 1}, &var, &fault) == 0);
    ls_tracker_watch(tracker, var, 1);
    for (size_t i = 0; i < count; i++)
        ls_tracker_set_property(tracker, var, &props[count - 1 - i], &fault);
    ls_tracker_begin_batch(tracker);
    ls_tracker_detect(tracker);
    const struct ls_change *changes;
    int found = ls_tracker_changes(tracker, &changes);
    CHECK(found >= 0);
    for (int i = 0; i < found; i++)
        for (size_t k = 1; k < changes[i].prop_count; k++)
            CHECK(strcmp(changes[i].props[k - 1], changes[i].props[k]) < 0);
    size_t seen = 0;
    ls_tracker_each(tracker, see_var, &seen);
    CHECK(seen == ls_tracker_count(tracker));
    ls_tracker_destroy(tracker, 1, NULL, NULL);
    CHECK(ls_tracker_count(tracker) == 0);
    ls_tracker_free(tracker);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* The tracker takes names and values that end with a NUL, as the message parser hands them out. */
    struct ls_prop props[MAX_PROPS];
    char *copy = malloc(size + 1);
    size_t count = 0;
    CHECK(copy);
    if (size) memcpy(copy, data, size);
    copy[size] = '\0';
    for (char *at = copy, *end = copy + size; count < MAX_PROPS && at <= end;) {
        char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end) line_end = end;
        *line_end = '\0';
        char *equals = memchr(at, '=', (size_t)(line_end - at)), *mark = memchr(at, '?', (size_t)(line_end - at));
        if (equals && !(mark && mark < equals)) {
            *equals = '\0';
            props[count++] = (struct ls_prop){at, equals + 1, (size_t)(equals - at), (size_t)(line_end - equals - 1)};
        } else {
            props[count++] = (struct ls_prop){"path", at, 4, (size_t)(line_end - at)};
            check_path(at, (size_t)(line_end - at));
        }
        at = line_end + 1;
    }
    check_tracker(props, count);
    free(copy);
    return 0;
}
