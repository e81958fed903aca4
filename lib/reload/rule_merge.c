/* Step 4 of the three-way rule (rule.h): every place decides, tables pair by pair, so that neither depth nor number is
 * limited by a stack.
 *
 * Owner thread: the session's. Refuses to judge what belongs to nobody's place: what the run has put beside the file's
 * values stays. Rules: H48, H49, H51, R18. */
#include "reload/rule.h"

#include <string.h>

#include "base/array.h"
#include "model/prototype.h"
#include "model/snapshot.h"
#include "reload/reload_state.h"

enum { LOOK = 50000 };     /* keys of unedited data that are looked at to tell whether the run has changed it */
enum { PAIRED = 10000 };   /* new tables: with more, those within unedited data are not paired one by one */
enum { LOSSES_MOST = 20 }; /* lines of a file's report */

/* [-0, +0, e] */
static LS_RAISES void no_memory(lua_State *L)
{
    luaL_error(L, "out of memory while reloading");
}

static const struct ls_place_key metatable_key = {.kind = LS_KEY_METATABLE};

/* --- what is said --- */

/* A first load has no result. */
#define COUNT(rule, field) ((rule)->run->result ? (rule)->run->result->field++ : 0U)

/* [-0, +0, -] */
static void write_key(lua_State *L, int key, struct ls_buf *out)
{
    size_t len;
    if (lua_type(L, key) == LUA_TSTRING) {
        const char *text = lua_tolstring(L, key, &len);
        ls_buf_printf(out, "%s%.*s", out->len ? "." : "", (int)(len < 60 ? len : 60), text);
    } else if (lua_isinteger(L, key)) {
        ls_buf_printf(out, "[%lld]", (long long)lua_tointeger(L, key));
    } else {
        ls_buf_printf(out, "[%s]", lua_typename(L, lua_type(L, key)));
    }
}

/* A line about the place of that key below a pair (SIZE_MAX: a root), `before` and `after` around its name.
 * [-0, +0, -] */
static void say(struct ls_rule *rule, struct ls_buf *out, const char *before, const struct ls_place *place, int key,
                const char *after)
{
    struct ls_buf name = LS_BUF_INIT;
    if (place)
        ls_place_name(place, &name);
    else
        write_key(rule->L, key, &name);
    unsigned lines = 0;
    for (const char *at = ls_buf_text(out); (at = strchr(at, '\n')); at++)
        lines++;
    if (lines < LOSSES_MOST) ls_buf_printf(out, "%s\"%s\"%s\n", before, ls_buf_text(&name), after);
    ls_buf_release(&name);
}

/* --- comparison with S --- */

/* The hash of a new value. */
static uint64_t made_hash(struct ls_rule *rule, int idx)
{
    const struct ls_seen *seen = ls__walk_seen(&rule->walk, idx);
    if (lua_isfunction(rule->L, idx)) return ls__hash_identity(rule->L, idx);
    return seen ? seen->hash : ls__hash_value(&rule->scratch, idx, NULL, 0);
}

/* Has the text been edited at this place, so that the file's value counts? */
static bool is_edited(struct ls_rule *rule, const struct ls_bytes *record, enum ls_edit edit, uint64_t path, int n)
{
    uint64_t given;
    if (edit == LS_EDIT_NONE || edit == LS_EDIT_EDITED) return edit == LS_EDIT_EDITED;
    return ls__record_find(record, ls__record_canon(record, path), &given) && given != made_hash(rule, n);
}

/* What the version gave that a pair is compared with; SIZE_MAX: the execution before. */
static const struct ls_bytes *given_of(const struct ls_rule *rule, size_t pair)
{
    return pair == SIZE_MAX ? rule->given : rule->versions[rule->pairs[pair].version].given;
}

/* Is the present value at `c` still what the file gave? [-0, +0, m] */
static LS_RAISES bool is_given(struct ls_rule *rule, const struct ls_bytes *record, int c, uint64_t path, size_t pair)
{
    uint64_t given;
    size_t above = 0;
    if (!ls__record_find(record, path, &given)) return false;
    if (lua_type(rule->L, c) == LUA_TFUNCTION) return given == ls__hash_identity(rule->L, c);
    for (; pair != SIZE_MAX; pair = rule->pairs[pair].parent)
        if (!LS_PUSH(rule->above, above, rule->above_cap, rule->pairs[pair].address)) no_memory(rule->L);
    return given == ls__hash_value(&rule->scratch, c, rule->above, above);
}

/* --- pairs --- */

bool ls__rule_mapped(struct ls_rule *rule, int idx)
{
    if (lua_type(rule->L, idx) != LUA_TTABLE) return false;
    size_t at = (size_t)(uintptr_t)ls_idmap_get(rule->mapped, ls__address(rule->L, idx));
    if (at) lua_rawgeti(rule->L, rule->present, (lua_Integer)at);
    return at;
}

static bool is_known(struct ls_rule *rule, int idx)
{
    return ls__has_key(rule->L, rule->known, idx);
}

/* The new table at `n` gives its content to the one at `c`. [-0, +0, m] */
static LS_RAISES void pair(struct ls_rule *rule, int n, int c, struct ls_pair made)
{
    lua_State *L = rule->L;
    if (ls_idmap_get(rule->mapped, ls__address(L, n))) return;
    void *taken = ls_idmap_get(rule->present_of, ls__address(L, c));
    made.address = lua_topointer(L, c);
    if (taken) { /* the run has put one table where the file makes two */
        if (!ls_idmap_put(rule->mapped, ls__address(L, n), taken, NULL)) no_memory(L);
        return;
    }
    if (!LS_PUSH(rule->pairs, rule->pair_count, rule->pair_cap, made)) no_memory(L);
    void *at = (void *)(uintptr_t)rule->pair_count;
    ls__array_add(L, rule->made, n);
    ls__array_add(L, rule->present, c);
    if (!ls_idmap_put(rule->mapped, ls__address(L, n), at, NULL) ||
        !ls_idmap_put(rule->present_of, ls__address(L, c), at, NULL))
        no_memory(L);
}

/* The function at `n` stands where the one at `c` stood.
 * @param version  of whose text that one is; negative: inner variables do not go on [-0, +0, m] */
static LS_RAISES void succeed(struct ls_rule *rule, int c, int n, int version)
{
    lua_State *L = rule->L;
    if (lua_rawequal(L, c, n) || lua_iscfunction(L, c) || ls__has_key(L, rule->successor, c)) return;
    ls__raw_set(L, rule->successor, c, n);
    lua_pushinteger(L, version);
    ls__triples_add(L, rule->successions, c, n, lua_gettop(L));
    lua_pop(L, 1);
}

/* --- one place --- */

/* Functions of C have no text: they are data. [-0, +0, -] */
static bool is_code(lua_State *L, int idx)
{
    return lua_isfunction(L, idx) && !lua_iscfunction(L, idx);
}

/* A value of the run has given way. [-0, +0, m] */
static LS_RAISES void lose_value(struct ls_rule *rule, const struct ls_bytes *given, int c, uint64_t path,
                                 size_t parent, const struct ls_spot *spot, int key)
{
    if (lua_isnil(rule->L, c) || lua_isfunction(rule->L, c) || is_given(rule, given, c, path, parent)) return;
    COUNT(rule, gave_way);
    say(rule, &rule->run->losses, "the run's value of ", spot->place, key, " gave way to your edit");
}

static void keep_value(struct ls_rule *rule, const struct ls_spot *spot, int key)
{
    COUNT(rule, kept);
    say(rule, &rule->run->notes, "kept the run's value of ", spot->place, key, "");
}

/* Push what a place is to have; see rule.h. [-0, +1, m]
 * @param c, n    its present and its new value
 * @param key     for what is said of it
 * @param parent  the pair that it belongs to; SIZE_MAX = none */
static LS_RAISES void decide(struct ls_rule *rule, int c, int n, uint64_t path, struct ls_spot spot, int key,
                             size_t parent)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    if (spot.version == LS_VERSION_ABOVE) spot.version = parent == SIZE_MAX ? 0 : rule->pairs[parent].version;
    const struct ls_bytes *given = rule->versions[spot.version].given;
    path = ls__record_canon(given, path);
    if (spot.aside) ls__aside_take(rule, spot.aside);
    bool restored = spot.aside && lua_isnil(L, c) && !lua_isnil(L, top + 1);
    if (restored) c = top + 1;
    int want = c, present = lua_type(L, c);
    bool code = is_code(L, n), code_before = is_code(L, c);
    bool had = ls__record_find(given, path, NULL);
    bool mapped = false, table = !lua_rawequal(L, n, c) && ls__rule_made(rule, n);
    if (table) mapped = ls__rule_mapped(rule, n);
    int carrier = lua_gettop(L); /* only if mapped */
    if (lua_rawequal(L, n, c)) {
        /* nothing to decide */
    } else if (code && code_before) {
        succeed(rule, c, n, spot.edit != LS_EDIT_EDITED ? (int)spot.version : -1);
        want = n;
    } else if (mapped && lua_rawequal(L, carrier, c)) {
        /* as it was */
    } else if (table && !mapped && present == LUA_TTABLE && !is_known(rule, c)) {
        pair(rule, n, c, (struct ls_pair){path, parent, NULL, spot.place, spot.rest, spot.version, false});
    } else if (is_edited(rule, given, spot.edit, path, n)) {
        want = mapped ? carrier : n;
        if (!code) COUNT(rule, taken); /* functions follow the file: nothing to count */
        lose_value(rule, given, c, path, parent, &spot, key);
    } else if (lua_isnil(L, c) ? !had || code : (code || code_before) && is_given(rule, given, c, path, parent)) {
        want = mapped ? carrier : n; /* new in the file, or a function of the file before stands there */
    } else if (rule->run->again && !table && present != LUA_TTABLE && is_given(rule, given, c, path, parent)) {
        want = n; /* made of what another module gives now; nothing of the run is lost */
    } else if (!restored) {
        keep_value(rule, &spot, key);
    }
    if (restored && want == c) COUNT(rule, restored);
    if (want == n && table && !mapped) ls__array_add(L, rule->taken, n);
    lua_pushvalue(L, want);
    lua_copy(L, -1, top + 1);
    lua_settop(L, top + 1);
}

/* Is the present value at `idx` the table that the file gave at that path, and that stands elsewhere too and is dealt
 * with there? It may have taken an edit there already. [-0, +0, -] */
static bool is_shared(const struct ls_rule *rule, int idx, uint64_t path, size_t pair)
{
    size_t at =
        lua_istable(rule->L, idx) ? (size_t)(uintptr_t)ls_idmap_get(rule->present_of, ls__address(rule->L, idx)) : 0;
    return at && rule->pairs[at - 1].path == ls__record_canon(given_of(rule, pair), path);
}

/* The text has lost the function there. [-0, +0, m] */
static LS_RAISES void lose_function(struct ls_rule *rule, int container, int key)
{
    lua_State *L = rule->L;
    struct ls_buf *removed = &rule->run->removed;
    rule->run->methods_removed++;
    if (removed->len) ls_buf_str(removed, ", ");
    ls_buf_str(removed, lua_type(L, key) == LUA_TSTRING ? lua_tostring(L, key) : "?");
    lua_pushnil(L);
    ls__rule_put(rule, container, key, lua_gettop(L));
    lua_pop(L, 1);
}

/* The text has lost the place whose present value is at `c`.
 * @param version  what tells so, and of what the file gave [-0, +0, m] */
static LS_RAISES void lose_place(struct ls_rule *rule, int container, int key, int c, uint64_t path,
                                 const struct ls_place *place, unsigned version, size_t parent)
{
    lua_State *L = rule->L;
    const struct ls_bytes *record = rule->versions[version].given;
    bool function = lua_type(L, c) == LUA_TFUNCTION;
    bool given = is_given(rule, record, c, path, parent) || is_shared(rule, c, path, parent);
    if (function && given) {
        if (!rule->run->session->vm.config.keep_removed_methods) lose_function(rule, container, key);
        return;
    }
    lua_pushnil(L);
    int nil = lua_gettop(L);
    if (place) ls__aside_put(rule, place, version, given ? c : nil);
    if (given) {
        COUNT(rule, set_aside);
        ls__rule_put(rule, container, key, nil);
    } else if (!function && ls__record_find(record, path, NULL)) {
        keep_value(rule, &(struct ls_spot){.place = place}, key);
    }
    lua_settop(L, nil - 1);
}

/* --- a pair --- */

/* How many elements of the list at `c`, which is not what the file gave, had it not given? Hashes of elements are
 * recorded unless there were too many. 0 = the list only holds tables that have taken edits elsewhere. [-0, +0, m] */
static LS_RAISES unsigned run_time_elements(struct ls_rule *rule, int c, uint64_t path, size_t pair)
{
    lua_State *L = rule->L;
    unsigned found = 0;
    lua_Integer recorded_count = 0;
    bool shared = false;
    int top = lua_gettop(L);
    lua_newtable(L); /* hash → how often the file gave it */
    for (lua_Integer i = 1;; i++) {
        uint64_t hash;
        lua_pushinteger(L, i);
        bool recorded = ls__record_find(given_of(rule, pair), ls__path_child(L, path, top + 2), &hash);
        lua_settop(L, top + 1);
        if (!recorded) break;
        recorded_count = i;
        lua_Integer times = lua_rawgeti(L, top + 1, (lua_Integer)hash) ? lua_tointeger(L, -1) : 0;
        lua_pushinteger(L, times + 1);
        lua_rawseti(L, top + 1, (lua_Integer)hash);
        lua_settop(L, top + 1);
    }
    for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, c); i++) {
        lua_rawgeti(L, c, i);
        lua_pushinteger(L, i);
        if (is_shared(rule, top + 2, ls__path_child(L, path, top + 3), pair)) {
            shared = true;
            lua_settop(L, top + 1);
            continue;
        }
        uint64_t hash = ls__hash_value(&rule->scratch, top + 2, &rule->pairs[pair].address, 1);
        lua_rawgeti(L, top + 1, (lua_Integer)hash);
        lua_Integer times = lua_tointeger(L, -1);
        lua_settop(L, top + 1);
        found += times <= 0;
        lua_pushinteger(L, times - 1);
        lua_rawseti(L, top + 1, (lua_Integer)hash);
    }
    lua_settop(L, top);
    if (shared && !found && recorded_count == (lua_Integer)lua_rawlen(L, c)) return 0;
    return found ? found : 1;
}

/* What the text calls the table of that pair, or the nearest above it that it names. */
static const struct ls_place *place_above(const struct ls_rule *rule, size_t at)
{
    while (at != SIZE_MAX && !rule->pairs[at].place)
        at = rule->pairs[at].parent;
    return at != SIZE_MAX ? rule->pairs[at].place : NULL;
}

/* An edited list of data is one value. [-0, +0, m] */
static LS_RAISES void take_list(struct ls_rule *rule, int n, int c, uint64_t path, size_t pair, int key)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    lua_Integer len = (lua_Integer)lua_rawlen(L, n), old = (lua_Integer)lua_rawlen(L, c);
    COUNT(rule, taken);
    bool same = ls__hash_value(&rule->scratch, c, NULL, 0) == made_hash(rule, n);
    bool given = same || is_given(rule, given_of(rule, pair), c, path, rule->pairs[pair].parent);
    unsigned lost = given ? 0 : run_time_elements(rule, c, path, pair);
    if (lost) {
        char before[64];
        snprintf(before, sizeof before, "%u run-time row%s of ", lost, lost == 1 ? "" : "s");
        COUNT(rule, gave_way);
        say(rule, &rule->run->losses, before, place_above(rule, pair), key, " gave way to your edit");
    }
    for (lua_Integer i = 1; i <= (len > old ? len : old); i++) {
        lua_pushinteger(L, i);
        lua_rawgeti(L, n, i);
        lua_rawgeti(L, c, i);
        if (!lua_rawequal(L, -1, -2)) ls__rule_put(rule, c, top + 1, top + 2);
        lua_settop(L, top);
    }
    ls__array_add(L, rule->taken, c); /* elements that stand elsewhere too may give way there, now or later */
}

/* [-0, +0, m] */
static LS_RAISES void merge_metatables(struct ls_rule *rule, int n, int c, size_t at)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    if (!lua_getmetatable(L, n)) lua_pushnil(L);
    if (!lua_getmetatable(L, c)) lua_pushnil(L);
    if (!lua_rawequal(L, top + 1, top + 2)) {
        struct ls_spot spot = ls__spot_of(rule, n, &metatable_key, rule->pairs[at].rest);
        lua_pushliteral(L, "metatable");
        decide(rule, top + 2, top + 1, ls__path_meta(rule->pairs[at].path), spot, top + 3, at);
        if (!lua_rawequal(L, -1, top + 2)) ls__rule_put_meta(rule, c, top + 4);
    }
    lua_settop(L, top);
}

/* The value under the key at top + 1 of the new table; its own is at top + 2. [-0, +0, m] */
static LS_RAISES void merge_key(struct ls_rule *rule, int n, int c, size_t at, int key, int value)
{
    lua_State *L = rule->L;
    const struct ls_pair own = rule->pairs[at];
    struct ls_place_key name;
    int top = lua_gettop(L);
    bool named = ls__place_key(L, key, &name);
    ls__raw_get(L, c, key); /* present */
    struct ls_spot spot = ls__spot_of(rule, n, named ? &name : NULL, own.rest);
    int type = lua_type(L, value);
    if (own.frozen && (type != lua_type(L, top + 1) || (type != LUA_TTABLE && type != LUA_TFUNCTION))) {
        lua_settop(L, top);
        return;
    }
    size_t before = rule->pair_count;
    decide(rule, top + 1, value, ls__path_child(L, own.path, key), spot, key, at);
    if (own.frozen && rule->pair_count > before) rule->pairs[before].frozen = true;
    if (!lua_rawequal(L, -1, top + 1)) ls__rule_put(rule, c, key, top + 2);
    lua_settop(L, top);
}

/* Nothing is known of the text before but its functions: those at `c` that the new text does not give go, unless they
 * are given at `n`, which may be the same table. [-0, +0, m] */
static LS_RAISES void lose_functions(struct ls_rule *rule, int n, int c)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L), field = 0;
    struct ls_place_key name;
    bool lives_on = lua_rawequal(L, n, c);
    ls__snapshot_record(L, rule->snapshot, c);
    for (lua_pushnil(L); lua_next(L, c); lua_settop(L, top + 2)) {
        if (!ls__is_of_source(L, top + 3, rule->source) || rule->run->session->vm.config.keep_removed_methods) continue;
        bool given = !lives_on && ls__has_key(L, n, top + 2);
        if (lives_on) {
            ls__snapshot_was(L, top + 1, top + 2, &field); /* what the chunk has assigned differs from it */
            given = !lua_rawequal(L, top + 3, top + 4);
        }
        struct ls_spot spot = ls__spot_of(rule, n, ls__place_key(L, top + 2, &name) ? &name : NULL, LS_EDIT_NONE);
        if (!given && !(spot.place && spot.place->now)) lose_function(rule, c, top + 2);
    }
    lua_settop(L, top);
}

/* The text gives nil there. [-0, +0, m] */
static LS_RAISES void erase(struct ls_rule *rule, int container, int key, int c, uint64_t path, struct ls_spot spot,
                            size_t at)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    lua_pushnil(L);
    decide(rule, c, top + 1, path, spot, key, at);
    if (!lua_rawequal(L, top + 2, c)) ls__rule_put(rule, container, key, top + 2);
    lua_settop(L, top);
}

/* Places that the text has lost in the table at `c`, which is that of the pair `at`, or lives on: then `n` is it, too,
 * and what this execution has not assigned is as in the snapshot. [-0, +0, m] */
static LS_RAISES void lose_places(struct ls_rule *rule, int n, int c, size_t at)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    for (const struct ls_binding *b = ls__binding_first(rule, n); b; b = ls__binding_next(rule, b))
        for (const struct ls_place *child = b->place->first; child; child = child->next, lua_settop(L, top)) {
            bool erased = at != SIZE_MAX && child->nothing && child->edit == LS_EDIT_EDITED;
            if (!child->before || (child->now && !erased) || child->key.kind == LS_KEY_METATABLE) continue;
            ls__place_key_push(L, &child->key);
            if (ls__raw_get(L, c, top + 1) == LUA_TNIL || (at != SIZE_MAX && ls__has_key(L, n, top + 1))) continue;
            if (at == SIZE_MAX) {
                int in_order = 0;
                ls__snapshot_record(L, rule->snapshot, c);
                ls__snapshot_was(L, top + 3, top + 1, &in_order);
                if (!lua_rawequal(L, top + 2, top + 4)) continue;
            }
            uint64_t path =
                at == SIZE_MAX ? ls__rule_path(rule, c, top + 1) : ls__path_child(L, rule->pairs[at].path, top + 1);
            if (erased)
                erase(rule, c, top + 1, top + 2, path, ls__spot_of(rule, n, &child->key, LS_EDIT_NONE), at);
            else
                lose_place(rule, c, top + 1, top + 2, path, child, b->version, at);
        }
}

/* [-0, +0, m] */
static LS_RAISES void lose_keys(struct ls_rule *rule, int n, int c, size_t at, bool same)
{
    lua_State *L = rule->L;
    const uint64_t path = rule->pairs[at].path;
    const struct ls_binding *first = ls__binding_first(rule, n);
    enum ls_edit rest = first ? LS_EDIT_NONE : rule->pairs[at].rest;
    int top = lua_gettop(L);
    for (const struct ls_binding *b = first; b; b = ls__binding_next(rule, b))
        rest = ls__stronger(rest, b->place->rest);
    lose_places(rule, n, c, at);
    if (!rule->given) {
        lose_functions(rule, n, c);
        return;
    }
    if (same || rest < LS_EDIT_UNKNOWN) return;
    for (lua_pushnil(L); lua_next(L, c); lua_settop(L, top + 1)) { /* key present */
        struct ls_place_key name;
        uint64_t child = ls__path_child(L, path, top + 1);
        if (ls__has_key(L, n, top + 1) || !ls__record_find(given_of(rule, at), child, NULL)) continue;
        struct ls_spot spot = ls__spot_of(rule, n, ls__place_key(L, top + 1, &name) ? &name : NULL, rest);
        if (spot.version == LS_VERSION_ABOVE) spot.version = rule->pairs[at].version;
        if (spot.place && (spot.place->now || spot.place->before)) continue; /* it is given, or was told above */
        lose_place(rule, c, top + 1, top + 2, child, spot.place, spot.version, at);
    }
    lua_settop(L, top);
}

/* Has the run changed the data at `c`, which stays? Where it is too much to look at, it is said to have. [-0, +0, m] */
static LS_RAISES void note_kept(struct ls_rule *rule, int c, uint64_t made, const struct ls_place *place)
{
    rule->scratch.budget = LOOK;
    bool changed = lua_rawlen(rule->L, c) > LOOK || ls__hash_value(&rule->scratch, c, NULL, 0) != made;
    rule->scratch.budget = 0;
    lua_pushliteral(rule->L, "?");
    if (changed) keep_value(rule, &(struct ls_spot){.place = place}, lua_gettop(rule->L));
    lua_pop(rule->L, 1);
}

/* Is something edited at the metatable of the new table at `n`? */
static bool edits_metatable(struct ls_rule *rule, int n)
{
    for (const struct ls_binding *b = ls__binding_first(rule, n); b; b = ls__binding_next(rule, b)) {
        const struct ls_place *meta = ls_place_child(rule->versions[b->version].places, b->place, &metatable_key);
        if (meta && meta->within != LS_EDIT_NONE) return true;
    }
    return false;
}

/* [-0, +0, m] */
static LS_RAISES void merge_pair(struct ls_rule *rule, size_t at)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L), n = top + 1, c = top + 2;
    struct ls_pair *own = &rule->pairs[at];
    lua_rawgeti(L, rule->made, (lua_Integer)at + 1);
    lua_rawgeti(L, rule->present, (lua_Integer)at + 1);
    const struct ls_seen *seen = ls__walk_seen(&rule->walk, n);
    uint64_t given;
    bool same = ls__record_find(given_of(rule, at), own->path, &given) && given == seen->hash;
    enum ls_edit within = ls__binding_first(rule, n) ? LS_EDIT_NONE : own->rest;
    for (const struct ls_binding *b = ls__binding_first(rule, n); b; b = ls__binding_next(rule, b))
        within = ls__stronger(within, b->place->within);
    bool frozen = own->frozen, edited = !frozen && (within == LS_EDIT_EDITED || (within != LS_EDIT_NONE && !same));
    bool quiet = rule->given && !edited && !seen->code && (same || frozen);
    bool list = !quiet && !frozen && !seen->code && seen->sequence && (lua_rawlen(L, n) || lua_rawlen(L, c)) &&
                ls__is_list(L, c);
    if (quiet || (rule->given && !edited && list)) {
        if (!frozen) note_kept(rule, c, seen->hash, place_above(rule, at));
        if (!seen->behaviour && !edits_metatable(rule, n) && (!seen->nested || rule->walk.seen_count > PAIRED)) {
            lua_settop(L, top);
            return;
        }
        rule->pairs[at].frozen = true; /* whoever refers to tables below gets ours, and their functions follow */
    }
    merge_metatables(rule, n, c, at);
    if (list && edited) {
        lua_pushliteral(L, "?");
        take_list(rule, n, c, rule->pairs[at].path, at, top + 3);
        lua_settop(L, top);
        return;
    }
    if (list) rule->pairs[at].frozen = true;
    for (lua_pushnil(L); lua_next(L, n); lua_settop(L, c + 1)) { /* key value */
        if (ls__rule_made(rule, c + 1)) {
            lua_pushinteger(L, (lua_Integer)at + 1);
            ls__triples_add(L, rule->deferred, c + 3, c + 1, c + 2);
        } else {
            merge_key(rule, n, c, at, c + 1, c + 2);
        }
    }
    if (!rule->pairs[at].frozen) lose_keys(rule, n, c, at, same);
    lua_settop(L, top);
}

/* A key that is a new table itself: the present one's place of it, if it has been paired. [-0, +0, m] */
static LS_RAISES void merge_deferred(struct ls_rule *rule, lua_Integer index)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L), key = top + 2, value = top + 3;
    ls__triples_push(L, rule->deferred, index); /* pair key value */
    size_t at = (size_t)lua_tointeger(L, top + 1) - 1;
    lua_rawgeti(L, rule->made, (lua_Integer)at + 1);
    lua_rawgeti(L, rule->present, (lua_Integer)at + 1);
    if (ls__rule_mapped(rule, key)) {
        lua_replace(L, key);
    } else if (rule->given && ls__spot_of(rule, top + 4, NULL, rule->pairs[at].rest).edit == LS_EDIT_NONE) {
        lua_settop(L, top); /* a new thing of a place that was not edited: the run has its own */
        return;
    } else {
        ls__array_add(L, rule->taken, key);
    }
    merge_key(rule, top + 4, top + 5, at, key, value);
    lua_settop(L, top);
}

/* --- functions that succeed each other --- */

/* The inner variable behind upvalue `up` of the new function is that of the old one from now on. [-0, +0, m] */
static LS_RAISES void join(struct ls_rule *rule, int c, int n, int up)
{
    lua_State *L = rule->L;
    int64_t id = (int64_t)(intptr_t)lua_upvalueid(L, n, up);
    if (ls_idmap_get(rule->joins, id)) return;
    ls__array_add(L, rule->joined, c);
    uintptr_t at = (uintptr_t)lua_rawlen(L, rule->joined) << 8 | (uintptr_t)up;
    if (!ls_idmap_put(rule->joins, id, (void *)at, NULL)) no_memory(L);
}

/* Inner variables of a function whose text is as it was go on; functions in them follow the file. [-0, +0, m] */
static LS_RAISES void succeed_inner(struct ls_rule *rule, lua_Integer index)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L), c = top + 1, n = top + 2;
    ls__triples_push(L, rule->successions, index);
    int version = (int)lua_tointeger(L, top + 3);
    const struct ls_record *record = version > 0 ? rule->versions[version].record : NULL;
    const struct ls_syntax *text = version ? NULL : rule->before;
    if (record && record->text) text = ls_text_syntax(record->text);
    const struct ls_syntax_function *old = ls__rule_function(L, c, text);
    const struct ls_syntax_function *new = old ? ls__rule_function(L, n, rule->now) : NULL;
    if (!new || old->hash != new->hash || !old->hash || old->upvalue_count != new->upvalue_count) {
        lua_settop(L, top);
        return;
    }
    for (int up = 1; up <= (int)new->upvalue_count; up++) {
        if (!new->upvalues[up - 1].variable || !old->upvalues[up - 1].variable || new->upvalues[up - 1].main >= 0 ||
            old->upvalues[up - 1].main >= 0)
            continue;
        lua_getupvalue(L, c, up);
        lua_getupvalue(L, n, up);
        int was = n + 2, is = n + 3;
        if (lua_isfunction(L, is) && lua_isfunction(L, was)) {
            succeed(rule, was, is, version);
        } else {
            bool tables =
                lua_istable(L, is) && lua_istable(L, was) && !lua_rawequal(L, is, was) && !is_known(rule, was);
            if (tables && ls__rule_made(rule, is))
                pair(rule, is, was, (struct ls_pair){.parent = SIZE_MAX, .rest = LS_EDIT_NONE});
            join(rule, c, n, up);
        }
        lua_settop(L, n + 1);
    }
    lua_settop(L, top);
}

/* --- the roots --- */

static bool in_snapshot(struct ls_rule *rule, int container)
{
    bool in = ls__snapshot_record(rule->L, rule->snapshot, container);
    lua_pop(rule->L, 1);
    return in;
}

LS_RAISES uint64_t ls__rule_path(struct ls_rule *rule, int container, int key)
{
    lua_State *L = rule->L;
    size_t len = 0;
    int top = lua_gettop(L);
    uint64_t path;
    lua_pushglobaltable(L);
    if (lua_rawequal(L, top + 1, container)) {
        const char *name = lua_type(L, key) == LUA_TSTRING ? lua_tolstring(L, key, &len) : NULL;
        path = name ? ls__path_root(LS_ROOT_GLOBAL, name, len) : 0;
    } else if (ls__raw_get(L, rule->spaces, container) != LUA_TNIL) {
        path = ls__path_child(L, (uint64_t)lua_tointeger(L, -1), key);
    } else {
        const struct ls_proto *proto = ls__proto_of(rule->run->session, L, container);
        const char *name = proto ? proto->name : ""; /* it is the module's own table */
        path = ls__path_child(L, ls__path_root(proto ? LS_ROOT_STATIC : LS_ROOT_VALUE, name, strlen(name)), key);
    }
    lua_settop(L, top);
    return path;
}

/* What the chunk has assigned in a table that lives on. [-0, +0, m] */
static LS_RAISES void decide_change(struct ls_rule *rule, lua_Integer index)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L), container = top + 1, key = top + 2, c = top + 3, n = top + 4;
    ls__triples_push(L, rule->changes, index);
    ls__raw_get(L, container, key);
    struct ls_place_key name;
    lua_pushglobaltable(L);
    bool global = lua_rawequal(L, -1, container);
    lua_pop(L, 1);
    enum ls_edit none = rule->given ? LS_EDIT_UNKNOWN : LS_EDIT_NONE;
    struct ls_spot spot = global && lua_type(L, key) == LUA_TSTRING
                              ? ls__spot_of_root(rule, LS_PLACE_GLOBAL, lua_tostring(L, key))
                              : ls__spot_of(rule, container, ls__place_key(L, key, &name) ? &name : NULL, none);
    bool own = spot.place && spot.place->own;   /* the file has made it of the run's value */
    if (own || !in_snapshot(rule, container)) { /* a prototype of this very run has no present values */
        if (ls__walk_seen(&rule->walk, n)) ls__array_add(L, rule->taken, n);
        lua_settop(L, top);
        return;
    }
    decide(rule, c, n, ls__rule_path(rule, container, key), spot, key, SIZE_MAX);
    if (!lua_rawequal(L, -1, n)) ls__rule_put(rule, container, key, n + 1);
    lua_settop(L, top);
}

/* Places that the text has lost in tables that live on: those of prototypes, and of the module's table if the chunk
 * took it up again (H51). [-0, +0, m] */
static LS_RAISES void decide_lost(struct ls_rule *rule, int container)
{
    if (!in_snapshot(rule, container)) return;
    if (!rule->before) lose_functions(rule, container, container);
    lose_places(rule, container, container, SIZE_MAX);
}

/* A variable of the main block (H56). The variable of the run is joined unless the file's function takes its place.
 * [-0, +0, m] */
static LS_RAISES void decide_variable(struct ls_rule *rule, unsigned var)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L), f = top + 4, c = top + 6;
    const struct ls_syntax_variable *variable = rule->now->variables[var];
    if (!ls__rule_new_variable(rule, var)) return; /* function upvalue */
    lua_getupvalue(L, top + 1, (int)lua_tointeger(L, top + 2));
    int n = top + 3;
    struct ls_spot spot = ls__spot_of_root(rule, LS_PLACE_LOCAL, variable->name.text);
    uint64_t path = ls__path_root(LS_ROOT_LOCAL, variable->name.text, variable->name.len);
    bool old = ls__rule_old_variable(rule, variable->name.text); /* … old function upvalue value */
    if (!old) lua_settop(L, c);
    lua_pushlstring(L, variable->name.text, variable->name.len);
    decide(rule, c, n, path, spot, c + 1, SIZE_MAX); /* … name wanted */
    int want = c + 2;
    if (!old) {
        if (!lua_rawequal(L, want, n)) ls__rule_put(rule, top + 1, top + 2, want);
    } else if (!(lua_isfunction(L, n) && lua_rawequal(L, want, n))) {
        if (!lua_rawequal(L, want, c)) ls__rule_put(rule, f, f + 1, want);
        lua_rawgeti(L, rule->vars, (lua_Integer)var + 1);
        for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, want + 1); i++) {
            ls__triples_push(L, want + 1, i);
            int index = (int)lua_tointeger(L, want + 3);
            lua_pushvalue(L, want); /* whoever has the new variable unseen has the value at least */
            lua_setupvalue(L, want + 2, index);
            lua_upvaluejoin(L, want + 2, index, f, (int)lua_tointeger(L, f + 1));
            lua_settop(L, want + 1);
        }
    }
    lua_settop(L, top);
}

/* Variables that the text has lost are set aside (R18). Globals stay (H53): their return is no edit. [-0, +0, m] */
static LS_RAISES void decide_lost_roots(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    if (!rule->places) return;
    lua_pushnil(L);
    for (const struct ls_place *place = ls_places_first(rule->places, LS_PLACE_GLOBAL); place; place = place->next)
        if (place->before && !place->now) ls__aside_put(rule, place, 0, top + 1);
    lua_settop(L, top);
    for (const struct ls_place *place = ls_places_first(rule->places, LS_PLACE_LOCAL); place; place = place->next) {
        if (!place->before || place->now || !ls__rule_old_variable(rule, place->key.string.text)) continue;
        int type = lua_type(L, top + 3);
        if (type != LUA_TNIL && type < LUA_TFUNCTION) {
            ls__aside_put(rule, place, 0, top + 3);
            COUNT(rule, set_aside);
        }
        lua_settop(L, top);
    }
}

/* Does the new text declare a prototype of that name (H51)? */
static bool is_redeclared(const struct ls_run *run, const char *name)
{
    const struct ls_module *module = ls__module_find(run->session, run->key);
    return (module && ls_names_has(&module->prototypes, name)) ||
           (ls_names_has(&run->old[LS_PROTOTYPES], name) && ls__run_names(run, name));
}

LS_RAISES void ls__rule_decide(struct ls_rule *rule)
{
    lua_State *L = rule->L;
    int top = lua_gettop(L);
    if (!lua_rawequal(L, rule->value, rule->old_value)) {
        bool tables = ls__rule_made(rule, rule->value) && lua_istable(L, rule->old_value) &&
                      !ls__proto_of(rule->run->session, L, rule->old_value);
        struct ls_spot spot = ls__spot_of_root(rule, LS_PLACE_VALUE, NULL);
        if (tables)
            pair(rule, rule->value, rule->old_value,
                 (struct ls_pair){.path = ls__path_root(LS_ROOT_VALUE, "", 0),
                                  .parent = SIZE_MAX,
                                  .rest = spot.rest,
                                  .place = spot.place});
        else if (lua_isfunction(L, rule->value) && lua_isfunction(L, rule->old_value))
            succeed(rule, rule->old_value, rule->value, spot.edit != LS_EDIT_EDITED ? 0 : -1);
    } else if (lua_istable(L, rule->value)) {
        decide_lost(rule, rule->value);
    }
    for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, rule->changes); i++)
        decide_change(rule, i);
    for (uint32_t i = 0; i < rule->run->session->model->proto_count; i++, lua_settop(L, top)) {
        const struct ls_proto *proto = ls__rule_proto(rule, i);
        if (proto && is_redeclared(rule->run, proto->name)) decide_lost(rule, top + 1);
    }
    for (unsigned var = 0; rule->now && var < rule->now->variable_count; var++)
        decide_variable(rule, var);
    decide_lost_roots(rule);
    lua_Integer deferred = 0, successions = 0;
    do {
        while (rule->pairs_done < rule->pair_count)
            merge_pair(rule, rule->pairs_done++);
        while (successions < (lua_Integer)lua_rawlen(L, rule->successions))
            succeed_inner(rule, ++successions);
        if (rule->pairs_done == rule->pair_count)
            while (deferred < (lua_Integer)lua_rawlen(L, rule->deferred))
                merge_deferred(rule, ++deferred);
    } while (rule->pairs_done < rule->pair_count || successions < (lua_Integer)lua_rawlen(L, rule->successions));
    lua_settop(L, top);
}
