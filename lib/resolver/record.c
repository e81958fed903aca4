/* The walk over values and its record (record.h). It keeps a stack of its own, since chains of tables may be longer
 * than C's; on Lua's stack are the table and the key of each step, of the outer ones of many in a table there. */
#include "resolver/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/text.h"

enum { ON_STACK = 2 * 10000 }; /* slots of Lua's stack that the walk takes before they go into a table */
enum { REGISTRY = 2000 };      /* keys of another file's tables that are looked at for functions of this one */
enum { LONG = 256 };           /* elements of a list that is gone through by number */
enum { AT_ONCE = 64 };         /* elements on Lua's stack before they are taken off it */

struct ls__step {
    size_t seen;   /* of the table */
    uint64_t path; /* 0 = not recorded */
    uint64_t sum;  /* of what is below so far */
    uint64_t key;  /* hash of the key whose value is being followed */
    size_t count;  /* keys so far */
    size_t length; /* of the table as a list */
    size_t listed; /* elements that have been gone through by number; keys follow when it is the length */
    bool integers; /* all of them were integers from 1 to the length */
    bool meta;     /* it is the metatable of the step above */
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

/* What uses it mixes it. */
static inline uint64_t integer_hash(lua_Integer value)
{
    return (uint64_t)value * UINT64_C(0xda942042e4dd58b5) + TAG_INTEGER;
}

/* Of anything of that type but a table that is entered. Keys that are tables or functions are new with each execution,
 * so all of a kind count alike. [-0, +0, -] */
static uint64_t leaf_hash(lua_State *L, int idx, int type, bool key)
{
    size_t len;
    uint64_t bits;
    lua_Number number;
    const char *text;
    switch (type) {
    case LUA_TBOOLEAN: return lua_toboolean(L, idx) ? TAG_TRUE : TAG_FALSE;
    case LUA_TNUMBER:
        if (lua_isinteger(L, idx)) return integer_hash(lua_tointeger(L, idx));
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
    return path ? mix(path, leaf_hash(L, key, lua_type(L, key), true)) : 0;
}

/* --- the record --- */

/* Only the entries nearest to the roots are kept. */
static void drop_deep(struct ls_walk *walk)
{
    size_t kept = 0;
    for (size_t i = 0; i < walk->entry_count; i++)
        if (walk->entries[i].depth <= walk->deepest) walk->entries[kept++] = walk->entries[i];
    walk->entry_count = kept;
}

static void drop_deepest(struct ls_walk *walk)
{
    walk->kept -= walk->at_depth[walk->deepest--];
}

static void add_entry(struct ls_walk *walk, uint64_t path, uint64_t hash, unsigned at)
{
    if (!LS_PUSH(walk->entries, walk->entry_count, walk->entry_cap, (struct ls__entry){path, hash, at})) {
        walk->failed = true;
        return;
    }
    walk->at_depth[at]++;
    walk->kept++;
    while (walk->kept > LS_RECORD_MOST && walk->deepest > 1)
        drop_deepest(walk);
    if (walk->entry_count > 2 * walk->kept + LS_RECORD_MOST) drop_deep(walk);
}

static inline unsigned level(size_t depth)
{
    return depth < LS_RECORD_DEPTHS ? (unsigned)depth + 1 : LS_RECORD_DEPTHS;
}

/* Are values below that many tables recorded? */
static inline bool is_recorded(const struct ls_walk *walk, size_t depth)
{
    return walk->records && level(depth) <= walk->deepest;
}

/* A list of that length stands below that many tables: more elements than are recorded need not be tried. */
static void expect(struct ls_walk *walk, size_t length, size_t depth)
{
    while (length > LS_RECORD_MOST && walk->deepest > level(depth))
        drop_deepest(walk);
}

static inline void note(struct ls_walk *walk, uint64_t path, uint64_t hash, size_t depth)
{
    if (path && is_recorded(walk, depth)) add_entry(walk, path, hash, level(depth));
}

/* Write the entries as pairs of path and hash, in order of their paths. Paths are hashes, so each is put near to where
 * it belongs, and few have to be moved. @param places  as many zeroes, and one more */
static void sort_entries(const struct ls_walk *walk, uint64_t *pairs, uint32_t *places)
{
    size_t count = walk->entry_count;
#define PLACE(path) ((uint32_t)(((path) >> 32) * count >> 32))
    for (size_t i = 0; i < count; i++)
        places[PLACE(walk->entries[i].path) + 1]++;
    for (size_t i = 1; i <= count; i++)
        places[i] += places[i - 1];
    for (size_t i = 0; i < count; i++) {
        const struct ls__entry *entry = &walk->entries[i];
        size_t at = places[PLACE(entry->path)]++;
        pairs[2 * at] = entry->path;
        pairs[2 * at + 1] = entry->hash;
    }
#undef PLACE
    for (size_t i = 1; i < count; i++) {
        uint64_t path = pairs[2 * i], hash = pairs[2 * i + 1];
        size_t at = i;
        for (; at && pairs[2 * at - 2] > path; at--)
            memcpy(&pairs[2 * at], &pairs[2 * at - 2], 2 * sizeof *pairs);
        pairs[2 * at] = path;
        pairs[2 * at + 1] = hash;
    }
}

struct ls_bytes *ls__walk_record(struct ls_walk *walk)
{
    if (walk->failed) return NULL;
    drop_deep(walk);
    size_t count = 0;
    uint64_t *pairs = ls_array(walk->entry_count + 1, 2 * sizeof *pairs);
    uint32_t *places = ls_zalloc((walk->entry_count + 1) * sizeof *places);
    struct ls_bytes *record = NULL;
    if (pairs && places) {
        sort_entries(walk, pairs, places);
        for (size_t i = 0; i < walk->entry_count; i++)
            if (!count || pairs[2 * count - 2] != pairs[2 * i])
                memmove(&pairs[2 * count++], &pairs[2 * i], 2 * sizeof *pairs);
        record = ls_bytes_new(pairs, count * 2 * sizeof *pairs);
    }
    ls_free(pairs);
    ls_free(places);
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
                             .deepest = LS_RECORD_DEPTHS,
                             .addresses = ls_idmap_new()};
    return walk->addresses;
}

void ls__walk_release(struct ls_walk *walk)
{
    ls_idmap_free(walk->addresses, NULL);
    ls_free(walk->seen);
    ls_free(walk->unread);
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

bool ls__is_of_source(lua_State *L, int idx, const char *source)
{
    lua_Debug info;
    if (!lua_isfunction(L, idx) || lua_iscfunction(L, idx)) return false;
    lua_pushvalue(L, idx);
    lua_getinfo(L, ">S", &info);
    return info.source == source || strcmp(info.source, source) == 0;
}

/* The function on top, gathered if it is the file's. It stays. [-0, +0, m] */
static LS_RAISES void meet_function(struct ls_walk *walk)
{
    lua_State *L = walk->L;
    if (!walk->source || ls_idmap_get(walk->addresses, address(L, -1))) return;
    if (!ls__is_of_source(L, lua_gettop(L), walk->source)) return;
    if (!ls_idmap_put(walk->addresses, address(L, -1), walk, NULL)) walk->failed = true;
    if (walk->made) walk->met += ls_idmap_get(walk->made, address(L, -1)) == LS_MADE_FUNCTION;
    lua_pushvalue(L, -1);
    lua_rawseti(L, walk->functions, ++walk->function_count);
}

/* [-2, +(0|1), e] arguments: a table and a key; result: the next key */
static LS_RAISES int l_next(lua_State *L)
{
    if (!lua_next(L, 1)) return 0;
    lua_pop(L, 1);
    return 1;
}

/* Is every element of the list of that length, on top, in the table's array part? Then they can be gone through by
 * number, which is twice as fast, and the key after the last one is the first of the others. Lua refuses to go on from
 * a key that is not there unless its place is in the array part, and all places before it are there too.
 * @param alone  are there no other keys? [-0, +0, m] */
static LS_RAISES bool is_array(lua_State *L, size_t length, bool *alone)
{
    int top = lua_gettop(L);
    bool absent = lua_rawgeti(L, top, (lua_Integer)length + 1) == LUA_TNIL;
    lua_pushcfunction(L, l_next);
    lua_pushvalue(L, top);
    lua_pushinteger(L, (lua_Integer)length + 1);
    bool array = absent && lua_pcall(L, 2, 1, 0) == LUA_OK;
    *alone = lua_isnil(L, -1);
    lua_settop(L, top);
    return array;
}

LS_RAISES bool ls__is_list(lua_State *L, int table)
{
    size_t len = lua_rawlen(L, table), keys = 0;
    int top = lua_gettop(L);
    bool alone;
    lua_pushvalue(L, table);
    if (len >= LONG && is_array(L, len, &alone)) {
        for (; alone && keys < len; lua_settop(L, top + 1)) {
            int type = lua_rawgeti(L, top + 1, (lua_Integer)keys + 1);
            alone = type != LUA_TNIL && type != LUA_TFUNCTION;
            ls__look(L, (lua_Integer)++keys);
        }
        lua_settop(L, top);
        return alone;
    }
    for (lua_pushnil(L); lua_next(L, top + 1); lua_settop(L, top + 2)) {
        lua_Integer key = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
        if (key >= 1 && (size_t)key <= len && !lua_isfunction(L, -1) && ++keys) continue;
        lua_settop(L, top);
        return false;
    }
    lua_settop(L, top);
    return keys == len;
}

/* The table on top was met. [-0, +0, m] */
static LS_RAISES void add_seen(struct ls_walk *walk, struct ls_seen seen)
{
    if (!LS_PUSH(walk->seen, walk->seen_count, walk->seen_cap, seen) ||
        !ls_idmap_put(walk->addresses, address(walk->L, -1), (void *)(uintptr_t)walk->seen_count, NULL))
        luaL_error(walk->L, "out of memory while reloading");
}

/* Is the table on top a long list that need not be read? Then it is what the record before has there. [-0, +0, m] */
static LS_RAISES bool is_unread(struct ls_walk *walk, uint64_t path, uint64_t *hash)
{
    lua_State *L = walk->L;
    size_t length = lua_rawlen(L, -1);
    bool alone;
    if (length <= LS_RECORD_MOST || !ls_idmap_get(walk->made, address(L, -1)) ||
        !ls__record_find(walk->before, path, hash) || !is_array(L, length, &alone) || !alone)
        return false;
    if (lua_getmetatable(L, -1)) {
        lua_pop(L, 1);
        return false;
    }
    add_seen(walk, (struct ls_seen){.hash = *hash, .path = path, .sequence = true});
    if (!LS_PUSH(walk->unread, walk->unread_count, walk->unread_cap, lua_topointer(L, -1)))
        luaL_error(L, "out of memory while reloading");
    expect(walk, length, walk->depth);
    note(walk, path, *hash, walk->depth);
    return true;
}

/* Begin with the table on top, which stays there with the first key above it. [-0, +1, m] */
static LS_RAISES void enter(struct ls_walk *walk, uint64_t path, bool meta)
{
    lua_State *L = walk->L;
    luaL_checkstack(L, AT_ONCE + 8, "reload");
    add_seen(walk, (struct ls_seen){.path = path, .open = true});
    if (!LS_RESERVE(walk->steps, walk->depth + 1, walk->steps_cap)) luaL_error(L, "out of memory while reloading");
    size_t length = lua_rawlen(L, -1);
    bool alone, array = length >= LONG && !walk->budget && is_array(L, length, &alone);
    if (array) expect(walk, length, walk->depth);
    walk->steps[walk->depth++] = (struct ls__step){.seen = walk->seen_count - 1,
                                                   .path = path,
                                                   .integers = true,
                                                   .meta = meta,
                                                   .length = length,
                                                   .listed = array ? 0 : length};
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
        *hash = leaf_hash(L, -1, type, false);
        note(walk, path, *hash, walk->depth);
        return true;
    }
    if (!at && walk->before && is_unread(walk, path, hash)) {
        if (step && !meta) walk->seen[step->seen].nested = true;
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
    seen->sequence = step->integers && step->count == step->length;
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

/* A value of the innermost step is known by its hash. */
static inline void account(struct ls__step *step, uint64_t key, uint64_t hash)
{
    step->sum += mix(key, hash);
}

/* The value on top, of that type, stands under the key of that hash. @return was it entered? Else it is accounted for,
 * and stays. [-0, +(0|1), m] */
static LS_RAISES inline bool meet(struct ls_walk *walk, int type, uint64_t key)
{
    lua_State *L = walk->L;
    struct ls__step *step = &walk->steps[walk->depth - 1];
    uint64_t path = step->path && is_recorded(walk, walk->depth) ? mix(step->path, key) : 0, hash;
    step->count++;
    if (type < LUA_TTABLE) { /* most of large data */
        bool integer = type == LUA_TNUMBER && lua_isinteger(L, -1);
        hash = integer ? integer_hash(lua_tointeger(L, -1)) : leaf_hash(L, -1, type, false);
        if (path) note(walk, path, hash, walk->depth);
    } else {
        step->key = key;
        if (!follow(walk, path, false, &hash)) return true;
        step = &walk->steps[walk->depth - 1];
    }
    account(step, key, hash);
    return false;
}

/* Go through the elements of the innermost list from where it was left; the table is below the last key. @return was
 * one entered? Then its table and nil are above its key. [-0, +(0|2), m] */
static LS_RAISES bool walk_list(struct ls_walk *walk)
{
    lua_State *L = walk->L;
    struct ls__step *step = &walk->steps[walk->depth - 1];
    int table = lua_gettop(L) - 1;
    const bool recorded = step->path && is_recorded(walk, walk->depth);
    lua_settop(L, table);
    for (int held = 0; step->listed < step->length; held++) {
        if (held == AT_ONCE) {
            lua_settop(L, table);
            held = 0;
        }
        lua_Integer i = (lua_Integer)++step->listed;
        int type = lua_rawgeti(L, table, i);
        ls__look(L, ++walk->looked);
        if (type == LUA_TNUMBER && !recorded && lua_isinteger(L, -1)) {
            account(step, integer_hash(i), integer_hash(lua_tointeger(L, -1))); /* most of long lists */
            step->count++;
            continue;
        }
        if (type == LUA_TNIL) continue;
        if (type < LUA_TTABLE) {
            meet(walk, type, integer_hash(i));
            continue;
        }
        lua_settop(L, table);
        lua_pushinteger(L, i);
        lua_rawgeti(L, table, i);
        if (meet(walk, type, integer_hash(i))) return true;
        lua_settop(L, table);
        held = 0;
    }
    lua_settop(L, table);
    lua_pushinteger(L, (lua_Integer)step->length);
    return false;
}

/* Go through the other keys of the innermost table, which is below the last key. @return was a value entered? Then its
 * table and nil are above its key; else its own table is on top. [-(0|1), +(0|2), m] */
static LS_RAISES bool walk_keys(struct ls_walk *walk)
{
    lua_State *L = walk->L;
    struct ls__step *step = &walk->steps[walk->depth - 1];
    int table = lua_gettop(L) - 1;
    while (lua_next(L, table)) { /* table key value */
        if (walk->left && !--walk->left) {
            walk->depth = 0;
            return true;
        }
        ls__look(L, ++walk->looked);
        bool integer = lua_isinteger(L, table + 1);
        lua_Integer number = integer ? lua_tointeger(L, table + 1) : 0;
        step->integers = step->integers && number >= 1 && (size_t)number <= step->length;
        uint64_t key = integer ? integer_hash(number) : leaf_hash(L, table + 1, lua_type(L, table + 1), true);
        if (meet(walk, lua_type(L, table + 2), key)) return true;
        lua_settop(L, table + 1);
    }
    return false;
}

/* [-0, +0, m] */
static LS_RAISES uint64_t walk_from(struct ls_walk *walk, int idx, uint64_t path)
{
    lua_State *L = walk->L;
    uint64_t hash = 0;
    int top = lua_gettop(L), shelves = 0;
    walk->left = walk->budget;
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
            account(&walk->steps[walk->depth - 1], SALT_META, hash);
        }
        step = &walk->steps[walk->depth - 1];
        entered = (step->listed < step->length && walk_list(walk)) || walk_keys(walk);
        if (entered) continue;
        leave(walk, &hash); /* table */
        lua_pop(L, 1);
        if (shelves && lua_gettop(L) == top + 1) {
            unshelve(L, top + 1);
            shelves--;
        }
        if (walk->depth) account(&walk->steps[walk->depth - 1], walk->steps[walk->depth - 1].key, hash);
    }
    bool spent = lua_gettop(L) > top;
    lua_settop(L, top);
    return spent ? 0 : hash;
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

/* [-0, +0, m] */
static LS_RAISES void walk_levels(struct ls_walk *walk, int table, int levels, size_t *left)
{
    lua_State *L = walk->L;
    int top = lua_gettop(L);
    luaL_checkstack(L, 8, "reload");
    for (lua_pushnil(L); *left && lua_next(L, table); lua_settop(L, top + 1)) {
        --*left;
        if (lua_isfunction(L, top + 2))
            ls__walk_value(walk, top + 2, 0);
        else if (levels && lua_istable(L, top + 2) && !is_known(walk, top + 2))
            walk_levels(walk, top + 2, levels - 1, left);
    }
    lua_settop(L, top);
}

LS_RAISES void ls__walk_functions(struct ls_walk *walk, int table, int levels)
{
    size_t left = levels ? REGISTRY : SIZE_MAX;
    walk_levels(walk, table, levels, &left);
}

LS_RAISES void ls__walk_globals(struct ls_walk *walk)
{
    lua_State *L = walk->L;
    int top = lua_gettop(L);
    lua_pushglobaltable(L);
    for (lua_pushnil(L); lua_next(L, top + 1); lua_settop(L, top + 2))
        if (lua_istable(L, top + 3) && !is_known(walk, top + 3)) ls__walk_functions(walk, top + 3, 0);
    lua_settop(L, top);
}
