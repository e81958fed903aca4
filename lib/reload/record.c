/* The walk over values and its record (record.h). It keeps a stack of its own, since chains of tables may be longer
 * than C's; on Lua's stack are the table and the key of each step, of the outer ones of many in a table there. */
#include "reload/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/text.h"

enum { DEPTHS = 64 };          /* deeper places are counted as if they were of this depth */
enum { ON_STACK = 2 * 10000 }; /* slots of Lua's stack that the walk takes before they go into a table */

struct ls__step {
    size_t seen;       /* of the table */
    uint64_t path;     /* 0 = not recorded */
    uint64_t sum;      /* of what is below so far */
    uint64_t key;      /* hash of the key whose value is being followed */
    lua_Integer count; /* keys so far */
    bool integers;     /* all of them were integers from 1 to the length */
    bool meta;         /* it is the metatable of the step above */
    size_t length;
};

struct ls__entry {
    uint64_t path, hash;
    unsigned depth;
};

/* --- hashes --- */

enum { TAG_FALSE = 1, TAG_TRUE, TAG_INTEGER, TAG_FLOAT, TAG_STRING, TAG_TABLE, TAG_FUNCTION, TAG_POINTER, TAG_CYCLE };
#define SALT_ROOT  UINT64_C(0x8f3a6c1d27b0e945)
#define SALT_META  UINT64_C(0x5b7e0c92a1d4f863)
#define SALT_ALIAS UINT64_C(0xc2b2ae3d27d4eb4f)

static inline uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = a * UINT64_C(0x9e3779b97f4a7c15) ^ (b + UINT64_C(0xd1b54a32d192ed03)) * UINT64_C(0x2545f4914f6cdd1d);
    x = (x ^ x >> 32) * UINT64_C(0xff51afd7ed558ccd);
    return x ^ x >> 29;
}

uint64_t ls__path_root(int kind, const char *name, size_t len)
{
    return mix(SALT_ROOT + (uint64_t)kind, ls_hash(name, len));
}

uint64_t ls__path_meta(uint64_t path)
{
    return path ? mix(path, SALT_META) : 0;
}

/* [-0, +0, -] */
uint64_t ls__hash_identity(lua_State *L, int idx)
{
    return mix(TAG_POINTER, (uint64_t)(uintptr_t)lua_topointer(L, idx));
}

/* Of anything but a table that is entered. Keys that are tables or functions are new with each execution, so all of a
 * kind count alike. [-0, +0, -] */
static uint64_t leaf_hash(lua_State *L, int idx, bool key)
{
    size_t len;
    uint64_t bits;
    lua_Number number;
    const char *text;
    switch (lua_type(L, idx)) {
    case LUA_TBOOLEAN: return lua_toboolean(L, idx) ? TAG_TRUE : TAG_FALSE;
    case LUA_TNUMBER:
        if (lua_isinteger(L, idx)) return mix(TAG_INTEGER, (uint64_t)lua_tointeger(L, idx));
        number = lua_tonumber(L, idx);
        memcpy(&bits, &number, sizeof bits);
        return mix(TAG_FLOAT, number == number ? bits : 1); /* NaN is NaN: a place that holds it was not edited */
    case LUA_TSTRING: text = lua_tolstring(L, idx, &len); return mix(TAG_STRING, ls_hash(text, len));
    case LUA_TFUNCTION: return TAG_FUNCTION;
    case LUA_TTABLE: return key ? TAG_TABLE : ls__hash_identity(L, idx);
    default: return key ? TAG_POINTER : ls__hash_identity(L, idx);
    }
}

uint64_t ls__path_child(lua_State *L, uint64_t path, int key)
{
    return path ? mix(path, leaf_hash(L, key, true)) : 0;
}

/* --- the record --- */

static int by_path(const void *a, const void *b)
{
    const struct ls__entry *x = a, *y = b;
    return x->path < y->path ? -1 : x->path > y->path;
}

/* Keep the entries nearest to the roots, as many as fit. */
static void drop_deep(struct ls_walk *walk)
{
    size_t count[DEPTHS + 1] = {0}, sum = 0, kept = 0;
    for (size_t i = 0; i < walk->entry_count; i++)
        count[walk->entries[i].depth]++;
    unsigned depth = 0;
    while (depth < DEPTHS && sum + count[depth + 1] <= LS_RECORD_MOST)
        sum += count[++depth];
    walk->deepest = depth ? depth : 1;
    for (size_t i = 0; i < walk->entry_count; i++)
        if (walk->entries[i].depth <= walk->deepest) walk->entries[kept++] = walk->entries[i];
    walk->entry_count = kept;
}

static void add_entry(struct ls_walk *walk, uint64_t path, uint64_t hash, unsigned at)
{
    if (!LS_PUSH(walk->entries, walk->entry_count, walk->entry_cap, (struct ls__entry){path, hash, at}))
        walk->failed = true;
    else if (walk->entry_count > 4 * (size_t)LS_RECORD_MOST && walk->deepest != 1)
        drop_deep(walk);
}

static inline void note(struct ls_walk *walk, uint64_t path, uint64_t hash, size_t depth)
{
    unsigned at = depth < DEPTHS ? (unsigned)depth + 1 : DEPTHS;
    if (walk->records && path && (!walk->deepest || at <= walk->deepest)) add_entry(walk, path, hash, at);
}

struct ls_bytes *ls__walk_record(struct ls_walk *walk)
{
    if (walk->failed) return NULL;
    if (walk->entry_count > LS_RECORD_MOST) drop_deep(walk);
    size_t count = 0;
    if (walk->entry_count) qsort(walk->entries, walk->entry_count, sizeof *walk->entries, by_path);
    uint64_t *pairs = ls_array(walk->entry_count + 1, 2 * sizeof *pairs);
    if (!pairs) return NULL;
    for (size_t i = 0; i < walk->entry_count; i++)
        if (!count || pairs[2 * count - 2] != walk->entries[i].path) {
            pairs[2 * count] = walk->entries[i].path;
            pairs[2 * count++ + 1] = walk->entries[i].hash;
        }
    struct ls_bytes *record = ls_bytes_new(pairs, count * 2 * sizeof *pairs);
    ls_free(pairs);
    return record;
}

static int compare_path(const void *key, const void *pair)
{
    uint64_t path = *(const uint64_t *)key, other;
    memcpy(&other, pair, sizeof other);
    return path < other ? -1 : path > other;
}

bool ls__record_find(const struct ls_bytes *record, uint64_t path, uint64_t *hash)
{
    const size_t pair = 2 * sizeof path;
    size_t count = ls_bytes_len(record) / pair;
    const char *found = path && count ? bsearch(&path, ls_bytes_data(record), count, pair, compare_path) : NULL;
    if (found && hash) memcpy(hash, found + sizeof path, sizeof *hash);
    return found;
}

uint64_t ls__record_canon(const struct ls_bytes *record, uint64_t path)
{
    uint64_t canon;
    return ls__record_find(record, mix(path, SALT_ALIAS), &canon) ? canon : path;
}

/* --- the walk --- */

bool ls__walk_init(struct ls_walk *walk, lua_State *L, const char *source, int known, int functions, bool records)
{
    *walk = (struct ls_walk){.L = L,
                             .source = source,
                             .known = known,
                             .functions = functions,
                             .records = records,
                             .addresses = ls_idmap_new()};
    return walk->addresses;
}

void ls__walk_release(struct ls_walk *walk)
{
    ls_idmap_free(walk->addresses, NULL);
    ls_free(walk->seen);
    ls_free(walk->steps);
    ls_free(walk->entries);
    *walk = (struct ls_walk){0};
}

/* [-0, +0, -] */
static int64_t address(lua_State *L, int idx)
{
    return (int64_t)(intptr_t)lua_topointer(L, idx);
}

const struct ls_seen *ls__walk_seen(const struct ls_walk *walk, int idx)
{
    void *at = lua_type(walk->L, idx) == LUA_TTABLE ? ls_idmap_get(walk->addresses, address(walk->L, idx)) : NULL;
    return at ? &walk->seen[(uintptr_t)at - 1] : NULL;
}

static bool is_known(const struct ls_walk *walk, int idx)
{
    if (!walk->known) return false;
    lua_pushvalue(walk->L, idx);
    bool known = lua_rawget(walk->L, walk->known) != LUA_TNIL;
    lua_pop(walk->L, 1);
    return known;
}

/* The function on top, gathered if it is the file's. It stays. [-0, +0, m] */
static LS_RAISES void meet_function(struct ls_walk *walk)
{
    lua_State *L = walk->L;
    if (!walk->source || lua_iscfunction(L, -1) || ls_idmap_get(walk->addresses, address(L, -1))) return;
    lua_Debug info;
    lua_pushvalue(L, -1);
    lua_getinfo(L, ">S", &info);
    if (info.source != walk->source && strcmp(info.source, walk->source) != 0) return;
    if (!ls_idmap_put(walk->addresses, address(L, -1), walk, NULL)) walk->failed = true;
    lua_pushvalue(L, -1);
    lua_rawseti(L, walk->functions, ++walk->function_count);
}

/* Begin with the table on top, which stays there with the first key above it. [-0, +1, m] */
static LS_RAISES void enter(struct ls_walk *walk, uint64_t path, bool meta)
{
    lua_State *L = walk->L;
    luaL_checkstack(L, 8, "reload");
    if (!LS_RESERVE(walk->seen, walk->seen_count + 1, walk->seen_cap) ||
        !LS_RESERVE(walk->steps, walk->depth + 1, walk->steps_cap) ||
        !ls_idmap_put(walk->addresses, address(L, -1), (void *)(uintptr_t)(walk->seen_count + 1), NULL))
        luaL_error(L, "out of memory while reloading");
    walk->seen[walk->seen_count] = (struct ls_seen){.path = path, .open = true};
    walk->steps[walk->depth++] = (struct ls__step){
        .seen = walk->seen_count++, .path = path, .integers = true, .meta = meta, .length = lua_rawlen(L, -1)};
    lua_pushnil(L);
}

/* The value on top stands under a key of the step at hand: its hash, or false if it has been entered. [-(0|1), +0, m]
 * */
static LS_RAISES bool follow(struct ls_walk *walk, uint64_t path, bool meta, uint64_t *hash)
{
    lua_State *L = walk->L;
    struct ls__step *step = walk->depth ? &walk->steps[walk->depth - 1] : NULL;
    int type = lua_type(L, -1);
    if (type == LUA_TFUNCTION) {
        meet_function(walk);
        if (step) walk->seen[step->seen].code = true;
        note(walk, path, ls__hash_identity(L, -1), walk->depth);
        *hash = TAG_FUNCTION;
        return true;
    }
    void *at = type == LUA_TTABLE ? ls_idmap_get(walk->addresses, address(L, -1)) : NULL;
    if (type != LUA_TTABLE || (!at && is_known(walk, lua_gettop(L)))) {
        *hash = leaf_hash(L, -1, false);
        note(walk, path, *hash, walk->depth);
        return true;
    }
    if (!at) {
        enter(walk, path, meta);
        return false;
    }
    const struct ls_seen *seen = &walk->seen[(uintptr_t)at - 1];
    if (step && !meta && seen->code) walk->seen[step->seen].code = true;
    if (step && !meta) walk->seen[step->seen].nested = true;
    if (step && seen->behaviour) walk->seen[step->seen].behaviour = true;
    *hash = seen->open ? TAG_CYCLE : seen->hash;
    note(walk, path, *hash, walk->depth);
    if (seen->path && seen->path != path) note(walk, path ? mix(path, SALT_ALIAS) : 0, seen->path, walk->depth);
    return true;
}

/* All keys of the innermost step have been seen; its table is on top. [-1, +0, -] */
static void leave(struct ls_walk *walk, uint64_t *hash)
{
    struct ls__step *step = &walk->steps[--walk->depth];
    struct ls_seen *seen = &walk->seen[step->seen];
    seen->open = false;
    seen->hash = *hash = mix(TAG_TABLE, step->sum);
    seen->sequence = step->integers && (size_t)step->count == step->length;
    note(walk, step->path, *hash, walk->depth);
    if (!walk->depth) return;
    struct ls_seen *above = &walk->seen[walk->steps[walk->depth - 1].seen];
    above->nested = above->nested || !step->meta;
    if (step->meta)
        above->behaviour = above->behaviour || seen->code || seen->behaviour;
    else
        above->code = above->code || seen->code;
    above->behaviour = above->behaviour || seen->behaviour;
}

/* The steps are more than Lua's stack is to hold: what lies from `base` to below the innermost table goes into a table
 * that stands there instead. [-n, +1, m] */
static LS_RAISES void shelve(lua_State *L, int base)
{
    int count = lua_gettop(L) - 1 - base;
    luaL_checkstack(L, 4, "reload");
    lua_createtable(L, count, 1);
    for (int i = 0; i < count; i++) {
        lua_pushvalue(L, base + i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushinteger(L, count); /* there are nils among them */
    lua_rawseti(L, -2, 0);
    lua_replace(L, base);
    lua_copy(L, -2, base + 1);
    lua_copy(L, -1, base + 2);
    lua_settop(L, base + 2);
}

/* Only the table of `shelve` is left: what it holds comes back. [-1, +n, m] */
static LS_RAISES void unshelve(lua_State *L, int base)
{
    lua_rawgeti(L, base, 0);
    int count = (int)lua_tointeger(L, -1);
    luaL_checkstack(L, count, "reload");
    lua_pop(L, 1);
    for (int i = 2; i <= count; i++)
        lua_rawgeti(L, base, i);
    lua_rawgeti(L, base, 1);
    lua_replace(L, base);
}

/* [-0, +0, m] */
static LS_RAISES uint64_t walk_from(struct ls_walk *walk, int idx, uint64_t path)
{
    lua_State *L = walk->L;
    uint64_t hash = 0;
    size_t left = walk->budget;
    int top = lua_gettop(L), shelves = 0;
    luaL_checkstack(L, 8, "reload");
    lua_pushvalue(L, idx);
    if (follow(walk, path, false, &hash)) {
        lua_pop(L, 1);
        return hash;
    }
    /* A table's metatable is followed before its first key. */
    for (bool entered = true; walk->depth;) {
        struct ls__step *step = &walk->steps[walk->depth - 1];
        if (entered && lua_gettop(L) - top > ON_STACK) {
            shelve(L, top + 1);
            shelves++;
        }
        if (entered && lua_getmetatable(L, -2)) { /* table nil meta */
            step->key = SALT_META;
            entered = !follow(walk, ls__path_meta(step->path), true, &hash);
            if (entered) continue;
            lua_pop(L, 1);
            walk->steps[walk->depth - 1].sum += mix(SALT_META, hash);
        }
        entered = false;
        step = &walk->steps[walk->depth - 1];
        if (!lua_next(L, -2)) { /* table */
            leave(walk, &hash);
            lua_pop(L, 1);
            if (shelves && lua_gettop(L) == top + 1) {
                unshelve(L, top + 1);
                shelves--;
            }
            if (walk->depth) walk->steps[walk->depth - 1].sum += mix(walk->steps[walk->depth - 1].key, hash);
            continue;
        }
        if (left && !--left) {
            walk->depth = 0;
            lua_settop(L, top);
            return 0;
        }
        step->count++; /* table key value */
        step->key = leaf_hash(L, -2, true);
        if (step->integers) {
            lua_Integer key = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
            step->integers = key >= 1 && (size_t)key <= step->length;
        }
        uint64_t below = step->path ? mix(step->path, step->key) : 0;
        if (lua_type(L, -1) < LUA_TTABLE) { /* most of large data */
            hash = leaf_hash(L, -1, false);
            note(walk, below, hash, walk->depth);
        } else {
            entered = !follow(walk, below, false, &hash);
            if (entered) continue;
        }
        lua_pop(L, 1);
        step->sum += mix(step->key, hash);
    }
    return hash;
}

LS_RAISES uint64_t ls__walk_value(struct ls_walk *walk, int idx, uint64_t path)
{
    return walk_from(walk, lua_absindex(walk->L, idx), path);
}

LS_RAISES uint64_t ls__hash_value(struct ls_walk *scratch, int idx, const void *const *above, size_t above_count)
{
    ls_idmap_free(scratch->addresses, NULL);
    scratch->addresses = ls_idmap_new();
    scratch->seen_count = scratch->depth = 0;
    if (!scratch->addresses ||
        !LS_PUSH(scratch->seen, scratch->seen_count, scratch->seen_cap, (struct ls_seen){.open = true}))
        luaL_error(scratch->L, "out of memory while reloading");
    for (size_t i = 0; i < above_count; i++) /* they are open */
        if (!ls_idmap_put(scratch->addresses, (int64_t)(intptr_t)above[i], (void *)(uintptr_t)1, NULL))
            luaL_error(scratch->L, "out of memory while reloading");
    return walk_from(scratch, lua_absindex(scratch->L, idx), 0);
}
