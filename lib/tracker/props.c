/* Properties: names with priority suffixes, their store, and what may be set (tracker.md section 4).
 * Owner thread: the session's. Rules: T16, T17, T20–T28, TX4, TX5, TX35, TX36. */
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/text.h"
#include "tracker/tracker_internal.h"

enum ls_priority ls__priority_read(const char *text)
{
    if (text && strcasecmp(text, "high") == 0) return LS_HIGH;
    if (text && strcasecmp(text, "low") == 0) return LS_LOW;
    return LS_MEDIUM;
}

size_t ls_prop_base(const char *name, size_t len, enum ls_priority *priority)
{
    static const struct {
        const char *suffix;
        size_t len;
        enum ls_priority priority;
    } known[] = {{"high", 4, LS_HIGH}, {"med", 3, LS_MEDIUM}, {"medium", 6, LS_MEDIUM}, {"low", 3, LS_LOW}};
    if (priority) *priority = LS_MEDIUM;
    const char *colon = len ? memrchr(name, ':', len) : NULL;
    if (!colon || colon == name) return len;
    size_t base = (size_t)(colon - name);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (len - base - 1 == known[i].len && strncasecmp(colon + 1, known[i].suffix, known[i].len) == 0) {
            if (priority) *priority = known[i].priority;
            return base;
        }
    }
    return len;
}

bool ls_prop_is(const struct ls_prop *prop, const char *name)
{
    size_t len = strlen(name);
    return prop->name_len >= len && memcmp(prop->name, name, len) == 0 &&
           (prop->name_len == len || ls_prop_base(prop->name, prop->name_len, NULL) == len);
}

void ls__prop_split(const char *name, size_t len, struct ls__prop_name *out)
{
    enum ls_priority priority;
    size_t base = ls_prop_base(name, len, &priority);
    *out = (struct ls__prop_name){name, base, base < len, priority};
}

int ls_prop_check(const struct ls_prop *prop, struct ls_fault *fault)
{
    if (prop->name_len == 0) return ls_fault_set(fault, LS_FAULT_BAD_MESSAGE, "a property needs a name");
    if (memchr(prop->name, '\0', prop->name_len))
        return ls_fault_set(fault, LS_FAULT_BAD_MESSAGE, "the name of a property must not hold U+0000");
    if (prop->value_len && memchr(prop->value, '\0', prop->value_len))
        return ls_fault_set(fault, LS_FAULT_BAD_MESSAGE, "the value of the property '%.*s' must not hold U+0000",
                            prop->name_len < 100 ? (int)prop->name_len : 100, prop->name);
    return 0;
}

int ls__no_memory(const struct ls_tracker *tracker, struct ls_fault *fault)
{
    const struct ls_budget *budget = tracker->budget;
    return budget && budget->hit
               ? ls_fault_set(fault, LS_FAULT_INTERNAL, LS_MEMORY_LIMIT_TEXT, (unsigned long long)budget->stated)
               : ls_fault_set(fault, LS_FAULT_INTERNAL, "out of memory while keeping a variable");
}

/* --- the store --- */

static bool has_name(const struct ls__prop *prop, const char *name, size_t len)
{
    return prop->name_len == len && memcmp(prop->name, name, len) == 0;
}

/* The place in the table of the property of that name, or the free one where its search ends. The table is never more
 * than half full. */
static uint32_t *find_place(const struct ls_var *var, const char *name, size_t len)
{
    uint32_t mask = var->prop_cap * 2 - 1, at = (uint32_t)ls_hash(name, len) & mask;
    while (var->prop_table[at] && !has_name(&var->props[var->prop_table[at] - 1], name, len))
        at = (at + 1) & mask;
    return &var->prop_table[at];
}

struct ls__prop *ls__prop_find(const struct ls_var *var, const char *name, size_t len)
{
    if (var->prop_table) {
        uint32_t number = *find_place(var, name, len);
        return number ? &var->props[number - 1] : NULL;
    }
    for (uint32_t i = 0; i < var->prop_count; i++)
        if (has_name(&var->props[i], name, len)) return &var->props[i];
    return NULL;
}

static void fill_table(struct ls_var *var)
{
    if (!var->prop_table) return;
    memset(var->prop_table, 0, (size_t)var->prop_cap * 2 * sizeof *var->prop_table);
    for (uint32_t i = 0; i < var->prop_count; i++)
        *find_place(var, var->props[i].name, var->props[i].name_len) = i + 1;
}

/* For one more; there is room for a power of two. Without memory for a table they are searched one by one. */
static bool make_room(struct ls_var *var)
{
    struct ls_budget *budget = var->tracker->budget;
    uint32_t cap = var->prop_cap;
    if (!LS_RESERVE_IN(budget, 0, var->props, (size_t)var->prop_count + 1, var->prop_cap)) return false;
    if (var->prop_cap == cap || var->prop_cap <= LS__PROPS_PLAIN) return true;
    ls_budget_free(budget, var->prop_table);
    var->prop_table = ls_budget_zalloc(budget, (size_t)var->prop_cap * 2 * sizeof *var->prop_table);
    fill_table(var);
    return true;
}

static char *make_pair(const struct ls_var *var, const char *name, size_t name_len, const char *value, size_t len,
                       char **value_at)
{
    char *block = ls_budget_resize(var->tracker->budget, NULL, name_len + len + 2, 0);
    if (!block) return NULL;
    memcpy(block, name, name_len);
    block[name_len] = '\0';
    *value_at = block + name_len + 1;
    if (len) memcpy(*value_at, value, len);
    (*value_at)[len] = '\0';
    return block;
}

static int add_prop(struct ls_var *var, const struct ls__prop_name *name, const char *value, size_t len)
{
    if (name->len > UINT32_MAX || !make_room(var)) return -1;
    struct ls__prop prop = {.name_len = (uint32_t)name->len, .priority = (uint8_t)name->priority};
    prop.name = make_pair(var, name->name, name->len, value, len, &prop.value);
    if (!prop.name) return -1;
    var->props[var->prop_count++] = prop;
    if (var->prop_table) *find_place(var, name->name, name->len) = var->prop_count;
    return 1;
}

/* A removed property stays as an empty value while its removal waits for the change list (T90); readers see none. */
int ls__prop_put(struct ls_var *var, const struct ls__prop_name *name, const char *value, size_t len,
                 struct ls_fault *fault)
{
    const struct ls_tracker *tracker = var->tracker;
    struct ls__prop *prop = ls__prop_find(var, name->name, name->len);
    if (!prop || prop->value[0] == '\0') {
        if (len == 0) return 0;
        if (!prop) return add_prop(var, name, value, len) < 0 ? ls__no_memory(tracker, fault) : 1;
        prop->priority = (uint8_t)name->priority; /* T20: the removal took the old priority with it */
    } else if (strlen(prop->value) == len && memcmp(prop->value, value, len) == 0) {
        if (!name->has_priority || prop->priority == name->priority) return 0;
        prop->priority = (uint8_t)name->priority;
        return 1;
    }
    char *value_at, *block = make_pair(var, name->name, name->len, value, len, &value_at);
    if (!block) return ls__no_memory(tracker, fault);
    if (name->has_priority) prop->priority = (uint8_t)name->priority;
    var->prop_removed += (len == 0) - (prop->value[0] == '\0');
    ls_budget_free(tracker->budget, prop->name);
    prop->name = block;
    prop->value = value_at;
    return 1;
}

void ls__props_free(struct ls_var *var)
{
    for (uint32_t i = 0; i < var->prop_count; i++)
        ls_budget_free(var->tracker->budget, var->props[i].name);
    ls_budget_free(var->tracker->budget, var->props);
    ls_budget_free(var->tracker->budget, var->prop_table);
    var->props = NULL;
    var->prop_table = NULL;
    var->prop_count = var->prop_cap = var->prop_removed = 0;
}

void ls__props_prune(struct ls_var *var)
{
    uint32_t kept = 0, removed = var->prop_removed;
    for (uint32_t i = 0; removed && i < var->prop_count; i++) {
        struct ls__prop *prop = &var->props[i];
        if (prop->value[0] == '\0' && !prop->changed) {
            ls_budget_free(var->tracker->budget, prop->name);
            var->prop_removed--;
        } else {
            var->props[kept++] = *prop;
        }
    }
    if (var->prop_removed == removed) return;
    var->prop_count = kept;
    fill_table(var);
}

/* --- what may be set --- */

int ls__props_check(const struct ls_tracker *tracker, size_t count, struct ls_fault *fault)
{
    if (!tracker->max_properties || count <= tracker->max_properties) return 0;
    return ls_fault_set(fault, LS_FAULT_INTERNAL,
                        "the variable would have more than %zu properties, the limit; --max-properties raises it",
                        tracker->max_properties);
}

/* What setting the property adds at most: names that the variable would have, and bytes. One given twice counts twice:
 * who is so near to the limit is refused. */
static void admit_one(const struct ls_var *var, const struct ls_prop *prop, size_t *names, size_t *bytes)
{
    size_t len = ls_prop_base(prop->name, prop->name_len, NULL);
    const struct ls__prop *old = ls__prop_find(var, prop->name, len);
    *names += (prop->value_len != 0) - (size_t)(old && old->value[0]);
    *bytes += len + prop->value_len + 2 * sizeof(struct ls__prop) + 4 * LS_BLOCK_HEAD;
}

int ls_tracker_admit(const struct ls_tracker *tracker, const struct ls_var *var, const struct ls_prop *props,
                     size_t count, size_t more, struct ls_fault *fault)
{
    struct ls_budget *budget = tracker->budget;
    size_t names = var->prop_count - var->prop_removed, bytes = more;
    for (size_t i = 0; i < count; i++) {
        struct ls__query query;
        const char *text;
        size_t len;
        admit_one(var, &props[i], &names, &bytes);
        if (!ls_prop_is(&props[i], "path")) continue;
        ls_path_split(props[i].value, props[i].value_len, &text, &len);
        (void)ls__query_read(&query, text, len, NULL); /* setting it says what is wrong with it */
        for (size_t k = 0; k < query.count; k++)
            admit_one(var, &query.props[k], &names, &bytes);
        ls__query_release(&query);
    }
    if (ls__props_check(tracker, names, fault)) return -1;
    if (!budget) return 0;
    budget->hit = !ls_budget_fits(budget, bytes, 0);
    return budget->hit ? ls__no_memory(tracker, fault) : 0;
}

/* --- queries (T16) --- */

/* @return behind the NUL that ends what was written */
static char *decode_percent(char *to, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int high = text[i] == '%' && len - i > 2 ? ls_hex_digit(text[i + 1]) : -1;
        int low = high >= 0 ? ls_hex_digit(text[i + 2]) : -1;
        *to++ = low >= 0 ? (char)(high * 16 + low) : text[i];
        if (low >= 0) i += 2;
    }
    *to++ = '\0';
    return to;
}

int ls__query_read(struct ls__query *query, const char *text, size_t len, struct ls_fault *fault)
{
    *query = (struct ls__query){0};
    if (!text) return 0;
    char *to = query->text = ls_malloc(4 * (len + 1)); /* `a` becomes `a`, `true` and two NULs */
    for (const char *at = text, *end = text + len; to && at < end;) {
        const char *amp = memchr(at, '&', (size_t)(end - at)), *stop = amp ? amp : end;
        const char *equals = memchr(at, '=', (size_t)(stop - at));
        char *value = decode_percent(to, at, (size_t)((equals ? equals : stop) - at));
        char *after =
            equals ? decode_percent(value, equals + 1, (size_t)(stop - equals - 1)) : stpcpy(value, "true") + 1;
        struct ls_prop prop = {to, value, (size_t)(value - to) - 1, (size_t)(after - value) - 1};
        at = stop + 1;
        if (!prop.name_len) continue;
        if (ls_prop_check(&prop, fault)) return -1;
        to = LS_PUSH(query->props, query->count, query->cap, prop) ? after : NULL;
    }
    return to ? 0 : ls_fault_set(fault, LS_FAULT_INTERNAL, "out of memory while reading the query of a path");
}

void ls__query_release(struct ls__query *query)
{
    ls_free(query->text);
    ls_free(query->props);
}

/* --- paths and access --- */

int ls__access_read(const char *text, size_t len, enum ls_access *access, struct ls_fault *fault)
{
    static const char *const words[] = {
        [LS_ACCESS_RW] = "rw", [LS_ACCESS_R] = "r", [LS_ACCESS_W] = "w", [LS_ACCESS_ACTION] = "action"};
    for (size_t i = 0; len && i < sizeof words / sizeof *words; i++) {
        if (strlen(words[i]) != len || memcmp(text, words[i], len) != 0) continue;
        *access = (enum ls_access)i;
        return 0;
    }
    *access = LS_ACCESS_RW;
    if (!len) return 0;
    return ls_fault_set(fault, LS_FAULT_BAD_ACCESS, "'%.*s' is no access mode (rw, r, w, action)",
                        len < 100 ? (int)len : 100, text);
}

int ls__access_check(const struct ls_path *path, enum ls_access access, struct ls_fault *fault)
{
    enum ls_step_kind last = path && path->count ? path->steps[path->count - 1].kind : LS_STEP_FIELD;
    if (last == LS_STEP_CALL && access == LS_ACCESS_W)
        return ls_fault_set(fault, LS_FAULT_BAD_ACCESS,
                            "'%.100s' cannot be written: a call without placeholder needs access rw, r or action",
                            path->text);
    if (last == LS_STEP_SETTER && access != LS_ACCESS_W && access != LS_ACCESS_ACTION)
        return ls_fault_set(fault, LS_FAULT_BAD_ACCESS,
                            "'%.100s' cannot be read: a call with placeholder needs access w or action", path->text);
    return 0;
}

int ls__climb_check(const struct ls_path *path, const struct ls_var *parent, struct ls_fault *fault)
{
    uint32_t levels = path ? path->climb : 0;
    while (levels && parent) {
        parent = parent->parent;
        levels--;
    }
    if (path && path->climb && !parent)
        return ls_fault_set(fault, LS_FAULT_BAD_PATH, "'%.100s' climbs above the root", path->text);
    return 0;
}

struct ls_path *ls__path_get(struct ls_tracker *tracker, const char *text, size_t len, struct ls_fault *fault)
{
    struct ls_path *path = ls_map_get(tracker->paths, text, len);
    if (path) {
        path->uses++;
        return path;
    }
    path = ls_path_parse(text, len, tracker->budget, fault);
    if (!path && fault->kind == LS_FAULT_INTERNAL) ls__no_memory(tracker, fault); /* or the session's limit */
    if (!path) return NULL;
    const struct ls_resolver *resolver = &tracker->resolver;
    if (resolver->ops->prepare && resolver->ops->prepare(resolver->ctx, path, fault)) {
        ls_budget_free(tracker->budget, path);
        return NULL;
    }
    if (!ls_map_put(tracker->paths, text, len, path, NULL)) {
        if (resolver->ops->forget) resolver->ops->forget(resolver->ctx, path);
        ls_budget_free(tracker->budget, path);
        ls__no_memory(tracker, fault);
        return NULL;
    }
    path->uses = 1;
    return path;
}

void ls__path_put(struct ls_tracker *tracker, struct ls_path *path)
{
    if (!path || --path->uses) return;
    ls_map_take(tracker->paths, path->text, path->text_len);
    if (tracker->resolver.ops->forget) tracker->resolver.ops->forget(tracker->resolver.ctx, path);
    ls_budget_free(tracker->budget, path);
}
