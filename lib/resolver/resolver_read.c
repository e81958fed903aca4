/* Reading: following a path from a value and comparing what is there with what was seen last. This is the product's
 * speed: an unchanged field costs a few raw table reads and one raw comparison; nothing is allocated, no JSON is
 * written, and a protected call is made only for methods and for `__index` functions.
 * Owner thread: the session's. Rules: T7, T29, T47–T54, T62, T64, T82, Q1. */
#include <math.h>
#include <stdio.h>

#include "resolver/resolver_internal.h"

/* The check of an unchanged value is one piece of code, also where several operations have it in common. */
#define LS_HOT static inline __attribute__((always_inline))

/* The path up to a step, for messages: `ships.0`. */
static void head_of(const struct ls_path *path, uint32_t step, char *out, size_t size)
{
    /* Count the steps' dots in the text: the start, if there is one, belongs to the head. */
    size_t len = step ? path->text_len : 0;
    for (uint32_t after = path->count - step; len > 0 && after > 0;)
        after -= path->text[--len] == '.';
    snprintf(out, size, "%.*s", (int)(len < 200 ? len : 200), path->text);
}

int ls__nil_fault(const struct ls_path *path, uint32_t step, const char *deed, struct ls_fault *fault)
{
    char head[256];
    head_of(path, step, head, sizeof head);
    const struct ls_step *next = &path->steps[step];
    if (next->kind == LS_STEP_ROW)
        return ls_fault_set(fault, LS_FAULT_GONE, "the element '%.100s' is gone", next->name);
    if (next->kind == LS_STEP_INDEX)
        return ls_fault_set(fault, LS_FAULT_NIL_PATH, "nothing at '%s' to %s element %u of", head, deed, next->index);
    const char *suffix = next->kind == LS_STEP_CALL ? "()" : next->kind == LS_STEP_SETTER ? "(_)" : "";
    return ls_fault_set(fault, LS_FAULT_NIL_PATH, "nothing at '%s' to %s '%.200s%s' on", head, deed, next->name,
                        suffix);
}

/* --- one step --- */

/* Push the function that gives the fields which the table on top does not have. [-0, +(1|0), -] */
static bool push_index_function(struct ls_resolver_state *rs)
{
    lua_State *L = rs->L;
    int at = lua_gettop(L);
    lua_pushvalue(L, at);
    for (int hops = 0; hops < 100 && lua_getmetatable(L, -1); hops++) {
        lua_pushvalue(L, LS_AT(rs, LS_AT_INDEX_NAME));
        int type = lua_rawget(L, -2);
        lua_replace(L, at + 1);
        lua_settop(L, at + 1);
        if (type == LUA_TFUNCTION) return true;
        if (type != LUA_TTABLE) break;
    }
    lua_settop(L, at);
    return false;
}

/* Index the table on top where a function decides. [-0, +1|0, -] */
static int index_by_function(struct ls_resolver_state *rs, uint32_t key, struct ls_fault *fault)
{
    lua_State *L = rs->L;
    int at = lua_gettop(L);
    uint32_t ended = 0;
    lua_rawgeti(L, LS_AT(rs, LS_AT_KEYS), key);
    const char *name = lua_tostring(L, -1); /* anchored there */
    lua_pop(L, 1);
    if (rs->ended_count && push_index_function(rs)) {
        ended = ls__ended_find(rs, -1, name);
        lua_settop(L, at);
        if (ended && !rs->asked) return ls__ended_fault(rs, ended, fault);
    }
    lua_pushcfunction(L, ls__l_index);
    lua_pushvalue(L, at);
    lua_rawgeti(L, LS_AT(rs, LS_AT_KEYS), key);
    int rc = ls__resolver_call(rs, 2, 1, LS_FAULT_BAD_CALL, fault);
    if (rc == 0 && ended) ls__ended_returned(rs, ended);
    if (rc != 0 && rs->over && !rs->asked && push_index_function(rs)) {
        ls__ended_note(rs, -1, name, fault);
        lua_settop(L, at);
    }
    return rc;
}

/* [-0, +1|0, -] the field is not among the table's own; the nil of that look-up is on top */
static int inherited(struct ls_resolver_state *rs, uint32_t key, struct ls_fault *fault)
{
    lua_State *L = rs->L;
    int at = lua_gettop(L) - 1; /* the table; the nil above it becomes the answer */
    if (!lua_getmetatable(L, at)) return 0;
    lua_pushvalue(L, LS_AT(rs, LS_AT_INDEX_NAME));
    int type = lua_rawget(L, -2);
    if (type == LUA_TNIL) {
        if (lua_topointer(L, -2) == rs->metas[LS_NATIVE_ARRAY])
            return ls_fault_set(fault, LS_FAULT_PATH_ERROR, "a list's items are reached by index only");
        lua_pop(L, 2);
        return 0;
    }
    if (type == LUA_TTABLE) {
        lua_rawgeti(L, LS_AT(rs, LS_AT_KEYS), key);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, -3) != LUA_TNIL ||
            ls__raw_index(L, LS_AT(rs, LS_AT_INDEX_NAME), lua_absindex(L, -3), lua_absindex(L, -2))) {
            lua_replace(L, at + 1);
            lua_settop(L, at + 1);
            return 0;
        }
    }
    lua_settop(L, at);
    return index_by_function(rs, key, fault);
}

/* [-0, +0, -] the value without that step is on top */
static int no_step(lua_State *L, const struct ls_step *step, struct ls_fault *fault)
{
    const char *type = luaL_typename(L, -1);
    if (step->kind == LS_STEP_INDEX)
        return ls_fault_set(fault, LS_FAULT_PATH_ERROR, "a %s has no element %u", type, step->index);
    return ls_fault_set(fault, LS_FAULT_PATH_ERROR, "a %s has no %s '%.200s'", type,
                        step->kind == LS_STEP_FIELD ? "field" : "method", step->name);
}

/* Steps on values that are no plain tables: the list wrapper's objects, and all that has no steps (T49, T50, T52). */
static int native_step(struct ls_resolver_state *rs, const struct ls_step *step, struct ls_fault *fault)
{
    lua_State *L = rs->L;
    enum ls__native kind = ls__native_kind(rs, L, -1);
    if (kind == LS_NATIVE_NONE) return no_step(L, step, fault);
    if (step->kind == LS_STEP_INDEX) {
        if (ls__native_element(L, kind, step->index)) return 0;
        return ls_fault_set(fault, kind == LS_NATIVE_ITEM ? LS_FAULT_PATH_ERROR : LS_FAULT_BAD_INDEX,
                            "the list has no item %u", step->index);
    }
    if (ls__native_field(L, kind, step->name)) return 0;
    return ls_fault_set(fault, LS_FAULT_PATH_ERROR, "a %s has no field '%.200s'",
                        kind == LS_NATIVE_LIST   ? LS_LIST_TYPE
                        : kind == LS_NATIVE_ITEM ? LS_ITEM_TYPE
                                                 : "list's items",
                        step->name);
}

int ls__find_method(struct ls_resolver_state *rs, const struct ls_step *step, struct ls_fault *fault)
{
    lua_State *L = rs->L;
    int type = lua_type(L, -1);
    enum ls__native native = type == LUA_TUSERDATA ? ls__native_kind(rs, L, -1) : LS_NATIVE_NONE;
    if (type == LUA_TTABLE) {
        lua_rawgeti(L, LS_AT(rs, LS_AT_KEYS), step->key);
        if (lua_rawget(L, -2) == LUA_TNIL && inherited(rs, step->key, fault)) return -1;
    } else if (native == LS_NATIVE_NONE) {
        return no_step(L, step, fault);
    } else if (!ls__native_method(L, native, step->name)) {
        lua_pushnil(L);
    }
    type = lua_type(L, -1);
    if (type == LUA_TFUNCTION) return 0;
    if (type == LUA_TNIL)
        return ls_fault_set(fault, LS_FAULT_BAD_CALL_MISSING, "there is no method '%.200s'", step->name);
    /* Callable tables count as functions (T64). */
    if (lua_getmetatable(L, -1)) {
        lua_pushvalue(L, LS_AT(rs, LS_AT_CALL_NAME));
        bool callable = lua_rawget(L, -2) != LUA_TNIL;
        lua_pop(L, 2);
        if (callable) return 0;
    }
    return ls_fault_set(fault, LS_FAULT_BAD_CALL, "'%.200s' is a %s, not a method", step->name, luaL_typename(L, -1));
}

/* The method of the value on top has failed: is it not to be called again (R17)? It is looked for once more, so that
 * calls that do not fail need not keep it. [-0, +0, -] */
static void note_over(struct ls_resolver_state *rs, const struct ls_step *step, struct ls_fault *fault)
{
    struct ls_fault none;
    if (!rs->over || rs->asked) return;
    int top = lua_gettop(rs->L);
    if (ls__find_method(rs, step, &none) == 0) ls__ended_note(rs, -1, NULL, fault);
    lua_settop(rs->L, top);
}

static int step_call(struct ls_resolver_state *rs, const struct ls_step *step, struct ls_fault *fault)
{
    lua_State *L = rs->L;
    if (ls__find_method(rs, step, fault)) return -1;
    uint32_t ended = rs->ended_count ? ls__ended_find(rs, -1, NULL) : 0;
    if (ended && !rs->asked) return ls__ended_fault(rs, ended, fault);
    lua_pushvalue(L, -2);
    int rc = ls__resolver_call(rs, 1, 1, LS_FAULT_BAD_CALL, fault);
    if (rc != 0)
        note_over(rs, step, fault);
    else if (ended)
        ls__ended_returned(rs, ended);
    return rc;
}

/* The table on top has no such element of its own: the items of a list say so, everything else has a null there (T48,
 * T49). */
static int no_element(struct ls_resolver_state *rs, uint32_t index, struct ls_fault *fault)
{
    lua_State *L = rs->L;
    if (!lua_getmetatable(L, -2)) return 0;
    if (lua_topointer(L, -1) == rs->metas[LS_NATIVE_ARRAY])
        return ls_fault_set(fault, LS_FAULT_BAD_INDEX, "the list has no item %u", index);
    lua_pop(L, 1);
    return 0;
}

int ls__walk(struct ls_resolver_state *rs, const struct ls_path *path, uint32_t first, uint32_t count, int *type,
             struct ls_fault *fault)
{
    lua_State *L = rs->L;
    int keys = LS_AT(rs, LS_AT_KEYS);
    for (uint32_t i = first; i < count; i++) {
        ls_op op = path->code[i];
        uint32_t arg = (uint32_t)op;
        enum ls_step_kind kind = (enum ls_step_kind)(op >> 32);
        if (*type == LUA_TNIL) return (int)i + 1;
        if (kind == LS_STEP_CALL || kind == LS_STEP_SETTER) {
            if (step_call(rs, &path->steps[i], fault)) return -1;
        } else if (*type != LUA_TTABLE) {
            if (native_step(rs, &path->steps[i], fault)) return -1;
        } else if (kind == LS_STEP_INDEX) {
            *type = lua_rawgeti(L, -1, (lua_Integer)arg + 1);
            if (*type == LUA_TNIL && no_element(rs, arg, fault)) return -1;
            continue;
        } else {
            lua_rawgeti(L, keys, arg);
            *type = lua_rawget(L, -2);
            if (*type != LUA_TNIL) continue;
            if (inherited(rs, arg, fault)) return -1;
        }
        *type = lua_type(L, -1);
    }
    return 0;
}

/* Push where the path starts and take its first step, if that is what the path before has just done. @return steps
 * taken, with the type */
LS_HOT uint32_t begin(struct ls_resolver_state *rs, ls_slot from, const struct ls_path *path, int *type)
{
    lua_State *L = rs->L;
    if (path && path->by_row) {
        *type = lua_rawgeti(L, LS_AT(rs, LS_AT_OBJECTS), path->steps[0].row);
        return 1;
    }
    bool long_enough = path && path->count > 1 && (path->code[0] >> 32) == LS_STEP_FIELD;
    if (long_enough && rs->cache_from == from && from && rs->cache_op == path->code[0]) {
        lua_pushvalue(L, LS_AT(rs, LS_AT_CACHE));
        *type = LUA_TTABLE;
        return 1;
    }
    *type = ls__value_push(rs, from);
    if (!long_enough || *type != LUA_TTABLE) return 0;
    lua_rawgeti(L, LS_AT(rs, LS_AT_KEYS), (uint32_t)path->code[0]);
    if (lua_rawget(L, -2) != LUA_TTABLE) {
        lua_pop(L, 1);
        return 0; /* whatever it is, the walk finds out */
    }
    lua_copy(L, -1, LS_AT(rs, LS_AT_CACHE));
    rs->cache_from = from;
    rs->cache_op = path->code[0];
    return 1;
}

/* The usual steps: fields and elements that tables have of their own. @return the first step that is left to the walk,
 * with the value that it is to be taken on, and its type, on top */
static inline uint32_t stride(struct ls_resolver_state *rs, const struct ls_path *path, uint32_t step, int *type)
{
    lua_State *L = rs->L;
    for (; step < path->count && *type == LUA_TTABLE; step++) {
        ls_op op = path->code[step];
        int next;
        if (op >> 32 == LS_STEP_INDEX) {
            next = lua_rawgeti(L, -1, (lua_Integer)(uint32_t)op + 1);
        } else if (op >> 32 == LS_STEP_FIELD) {
            lua_rawgeti(L, LS_AT(rs, LS_AT_KEYS), (uint32_t)op);
            next = lua_rawget(L, -2);
        } else {
            break;
        }
        if (next == LUA_TNIL) { /* a metatable may know more */
            lua_pop(L, 1);
            break;
        }
        *type = next;
    }
    return step;
}

/* --- comparing --- */

#define LONG_TEXT 4096 /* bytes that are compared faster than anything about them is remembered */
#define MUCH_TEXT 65536

/* Two strings on top that are not one object: the new one, and the one seen last. When a place gets another string, of
 * equal text, all its variables meet the same two; the new one takes the old one's place, so that next time they are
 * told by their address. [-0, +0, -] */
__attribute__((noinline)) static bool same_text(struct ls_resolver_state *rs, ls_slot slot)
{
    lua_State *L = rs->L;
    size_t len = lua_rawlen(L, -1);
    if (len < LONG_TEXT || len != lua_rawlen(L, -2)) return lua_rawequal(L, -1, -2);
    int now = LS_AT(rs, LS_AT_TEXT), seen = LS_AT(rs, LS_AT_OTHER_TEXT);
    if (lua_topointer(L, -2) != lua_topointer(L, now) || lua_topointer(L, -1) != lua_topointer(L, seen)) {
        lua_copy(L, -2, now); /* where they are held, so that no other string can get their address */
        lua_copy(L, -1, seen);
        rs->texts_equal = lua_rawequal(L, now, seen);
        if (len >= MUCH_TEXT) rs->did |= LS_CHECK_LONG;
    }
    if (rs->texts_equal) {
        lua_pushvalue(L, now);
        lua_rawseti(L, LS_AT(rs, LS_AT_VALUES), slot);
    }
    return rs->texts_equal;
}

/* The value on top, of that type, to which the path has led, against what was seen last. Leaves rubbish on the stack.
 * */
LS_HOT int compare(struct ls_resolver_state *rs, int type, const struct ls_path *path, struct ls_value *value,
                   struct ls_fault *fault)
{
    lua_State *L = rs->L;
    if (value->slot) {
        int seen = ls__value_push(rs, value->slot);
        bool same = type == LUA_TSTRING ? lua_topointer(L, -1) == lua_topointer(L, -2) ||
                                              (seen == LUA_TSTRING && same_text(rs, value->slot))
                                        : lua_rawequal(L, -1, -2) && seen != LUA_TNIL;
        if (same) return type == LUA_TTABLE ? ls__recheck(rs, value, fault) : 0;
        lua_pop(L, 1);
    } else if (type == LUA_TNIL) {
        if (!value->flags) return 0;
    } else if (type == LUA_TNUMBER && (value->flags & LS_VALUE_NOT_FINITE) && !isfinite(lua_tonumber(L, -1))) {
        return ls__not_finite(fault); /* NaN equals NaN (T36) */
    }
    return ls__commit(rs, path && path->by_row && path->count == 1 ? path->steps[0].row : 0, value, fault);
}

/* What a null on the way comes to (T51): its text is written only when it is another one than at the last check. */
static int note_null(const struct ls_path *path, int at, struct ls_value *value, struct ls_fault *fault)
{
    if (value->nil_step == at) return LS_CHECK_FAULT_SAME;
    value->nil_step = (uint16_t)at;
    ls__nil_fault(path, (uint32_t)at - 1, "read", fault);
    return LS_CHECK_FAULT;
}

/* What was followed is compared, whether or not the way ended early. @return check bits */
LS_HOT int conclude(struct ls_resolver_state *rs, const struct ls_path *path, int at, int type, struct ls_value *value,
                    struct ls_fault *fault)
{
    int ran = rs->did & LS_CHECK_RAN; /* what runs while comparing is none of the path's */
    int bits = at < 0 ? -1 : compare(rs, type, path, value, fault);
    if (at == 0)
        value->nil_step = 0;
    else if (bits >= 0)
        bits |= note_null(path, at, value, fault);
    return bits < 0 ? bits : bits | ran | (rs->did & LS_CHECK_LONG);
}

int ls__op_check(void *ctx, ls_slot from, const struct ls_path *path, struct ls_value *value, struct ls_fault *fault)
{
    struct ls_resolver_state *rs = ctx;
    int opened = ls__window_open_for(rs, path, fault), type, at = 0;
    if (opened < 0) return -1;
    rs->did = 0;
    uint32_t step = begin(rs, from, path, &type);
    if (path && path->by_row && type == LUA_TNIL) {
        at = 1;
    } else if (path) {
        step = stride(rs, path, step, &type);
        if (step < path->count) at = ls__walk(rs, path, step, path->count, &type, fault);
    }
    int bits = conclude(rs, path, at, type, value, fault);
    ls__window_done(rs, opened);
    return bits;
}

/* --- where a place lies (R8) --- */

/* [-1, +0, m] object; its id is returned in the integer at 2 */
static LS_RAISES int l_identify(lua_State *L)
{
    int64_t *object = lua_touserdata(L, 2);
    *object = ls__object_register(ls__session_of(L), L, 1);
    return 0;
}

/* The id of the value on top, which gets one if it has none. [-0, +0, -] */
static int identify(struct ls_resolver_state *rs, int64_t *object, struct ls_fault *fault)
{
    lua_State *L = rs->L;
    *object = ls__object_id(rs->session, L, -1);
    if (*object || !(lua_istable(L, -1) || lua_isuserdata(L, -1))) return 0;
    lua_pushcfunction(L, l_identify);
    lua_pushvalue(L, -2);
    lua_pushlightuserdata(L, object);
    return ls__resolver_run(rs, 2, 0, LS_FAULT_INTERNAL, fault);
}

int ls__op_check_in(void *ctx, ls_slot from, const struct ls_path *path, struct ls_value *value, int64_t *object,
                    struct ls_fault *fault)
{
    struct ls_resolver_state *rs = ctx;
    int opened = ls__window_open_for(rs, path, fault), type;
    if (opened < 0) return -1;
    rs->did = 0;
    uint32_t step = begin(rs, from, path, &type);
    int at = path->by_row && type == LUA_TNIL ? 1 : ls__walk(rs, path, step, path->count - 1, &type, fault);
    if (at > 0)
        *object = 0;
    else if (at == 0)
        at = identify(rs, object, fault);
    if (at == 0) at = ls__walk(rs, path, path->count - 1, path->count, &type, fault);
    int bits = conclude(rs, path, at, type, value, fault);
    ls__window_done(rs, opened);
    return bits;
}

int ls__op_place(void *ctx, ls_slot from, const struct ls_path *path, int64_t *object, struct ls_fault *fault)
{
    struct ls_resolver_state *rs = ctx;
    int opened = ls__window_open_for(rs, path, fault), type;
    if (opened < 0) return -1;
    uint32_t step = begin(rs, from, path, &type);
    int at = ls__walk(rs, path, step, path->count - 1, &type, fault);
    *object = 0;
    if (at == 0) at = identify(rs, object, fault);
    ls__window_done(rs, opened);
    return at < 0 ? -1 : 0;
}
