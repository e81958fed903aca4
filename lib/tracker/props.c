/* Properties: names with priority suffixes, their store, and the effect of those that have one (tracker.md section 4).
 * Owner thread: the session's. Rules: T16, T17, T20–T28, TX4, TX5, TX35, TX36. */
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/text.h"
#include "tracker/tracker_internal.h"

#define SELDOM __attribute__((cold)) /* compiled for size */

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

SELDOM int ls__no_memory(const struct ls_tracker *tracker, struct ls_fault *fault)
{
    const struct ls_budget *budget = tracker->budget;
    return budget && budget->hit
               ? ls_fault_set(fault, LS_FAULT_INTERNAL, LS_MEMORY_LIMIT_TEXT, (unsigned long long)budget->stated)
               : ls_fault_set(fault, LS_FAULT_INTERNAL, "out of memory");
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

SELDOM static void fill_table(struct ls_var *var)
{
    if (!var->prop_table) return;
    memset(var->prop_table, 0, (size_t)var->prop_cap * 2 * sizeof *var->prop_table);
    for (uint32_t i = 0; i < var->prop_count; i++)
        *find_place(var, var->props[i].name, var->props[i].name_len) = i + 1;
}

/* Room for twice as many; a power of two. */
SELDOM static bool make_room(struct ls_var *var)
{
    struct ls_budget *budget = var->tracker->budget;
    uint32_t cap = var->prop_cap ? var->prop_cap * 2 : 2;
    if (cap > UINT32_MAX / 4) return false;
    uint32_t *table = cap > LS__PROPS_PLAIN ? ls_budget_zalloc(budget, (size_t)cap * 2 * sizeof *table) : NULL;
    struct ls__prop *props =
        cap > LS__PROPS_PLAIN && !table ? NULL : ls_budget_resize(budget, var->props, cap * sizeof *props, 0);
    if (!props) {
        ls_budget_free(budget, table);
        return false;
    }
    ls_budget_free(budget, var->prop_table);
    var->props = props;
    var->prop_table = table;
    var->prop_cap = cap;
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
    if (name->len > UINT32_MAX || (var->prop_count == var->prop_cap && !make_room(var))) return -1;
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

SELDOM void ls__props_prune(struct ls_var *var)
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

SELDOM int ls__props_check(const struct ls_tracker *tracker, size_t count, struct ls_fault *fault)
{
    if (!tracker->max_properties || count <= tracker->max_properties) return 0;
    return ls_fault_set(fault, LS_FAULT_INTERNAL,
                        "the variable would have more than %zu properties, the limit; --max-properties raises it",
                        tracker->max_properties);
}

struct admission {
    const struct ls_var *var;
    size_t names; /* that it would have. One given twice counts twice: who is so near to the limit is refused */
    size_t bytes;
};

SELDOM static int admit_one(void *ctx, const struct ls_prop *prop)
{
    struct admission *admission = ctx;
    size_t len = ls_prop_base(prop->name, prop->name_len, NULL);
    const struct ls__prop *old = ls__prop_find(admission->var, prop->name, len);
    admission->names += (prop->value_len != 0) - (size_t)(old && old->value[0]);
    admission->bytes += len + prop->value_len + 2 * sizeof(struct ls__prop) + 4 * LS_BLOCK_HEAD;
    return 0;
}

SELDOM int ls_tracker_admit(const struct ls_tracker *tracker, const struct ls_var *var, const struct ls_prop *props,
                            size_t count, size_t more, struct ls_fault *fault)
{
    struct admission admission = {var, var->prop_count - var->prop_removed, more};
    struct ls_budget *budget = tracker->budget;
    for (size_t i = 0; i < count; i++) {
        admit_one(&admission, &props[i]);
        const char *query;
        size_t query_len;
        if (ls_prop_is(&props[i], "path") &&
            ls_path_split(props[i].value, props[i].value_len, &query, &query_len) < props[i].value_len)
            ls__query_each(query, query_len, admit_one, &admission, NULL);
    }
    if (ls__props_check(tracker, admission.names, fault)) return -1;
    if (!budget) return 0;
    budget->hit = !ls_budget_fits(budget, admission.bytes, 0);
    return budget->hit ? ls__no_memory(tracker, fault) : 0;
}

/* --- queries (T16) --- */

SELDOM static void decode_percent(struct ls_buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int high = text[i] == '%' && len - i > 2 ? ls_hex_digit(text[i + 1]) : -1;
        int low = high >= 0 ? ls_hex_digit(text[i + 2]) : -1;
        if (low >= 0) {
            ls_buf_char(out, (char)(high * 16 + low));
            i += 2;
        } else {
            ls_buf_char(out, text[i]);
        }
    }
}

SELDOM int ls__query_each(const char *query, size_t len, int (*fn)(void *ctx, const struct ls_prop *prop), void *ctx,
                          struct ls_fault *fault)
{
    struct ls_buf key = LS_BUF_INIT, value = LS_BUF_INIT;
    int rc = 0;
    for (size_t at = 0; query && at < len && rc == 0;) {
        const char *amp = memchr(query + at, '&', len - at);
        size_t end = amp ? (size_t)(amp - query) : len;
        const char *equals = memchr(query + at, '=', end - at);
        size_t key_end = equals ? (size_t)(equals - query) : end;
        ls_buf_clear(&key);
        ls_buf_clear(&value);
        decode_percent(&key, query + at, key_end - at);
        if (equals)
            decode_percent(&value, equals + 1, end - key_end - 1);
        else
            ls_buf_str(&value, "true");
        struct ls_prop prop = {ls_buf_text(&key), ls_buf_text(&value), key.len, value.len};
        if (ls_buf_failed(&key) || ls_buf_failed(&value))
            rc = ls_fault_set(fault, LS_FAULT_INTERNAL, "out of memory");
        else if (key.len)
            rc = ls_prop_check(&prop, fault) ? -1 : fn(ctx, &prop);
        at = end + 1;
    }
    ls_buf_release(&key);
    ls_buf_release(&value);
    return rc;
}

/* --- paths and access --- */

int ls__access_read(const char *text, enum ls_access *access, struct ls_fault *fault)
{
    static const char *const words[] = {
        [LS_ACCESS_RW] = "rw", [LS_ACCESS_R] = "r", [LS_ACCESS_W] = "w", [LS_ACCESS_ACTION] = "action"};
    *access = LS_ACCESS_RW;
    if (!text || !*text) return 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i]) == 0) {
            *access = (enum ls_access)i;
            return 0;
        }
    }
    return ls_fault_set(fault, LS_FAULT_BAD_ACCESS, "'%.100s' is no access mode (rw, r, w, action)", text);
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
