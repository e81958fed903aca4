/* What a Lua value is to the tracker: its shape, type and object id, and whether a table that was seen before has
 * changed inside. Ids live in two weak tables, so identity is Lua's own and keeps nothing alive.
 * Owner thread: the session's. Rules: T31–T36, T38, T39, T39a, T92, T93, TX7, TX8, TX11, TX32. */
#include <math.h>
#include <string.h>

#include "resolver/resolver_internal.h"

int ls__not_finite(struct ls_fault *fault)
{
    ls_fault_set(fault, LS_FAULT_PATH_ERROR, "the value is, or holds, a number that is not finite (shown as null)");
    return LS_CHECK_FAULT;
}

/* --- registry --- */

int64_t ls__object_id(struct ls_session *session, lua_State *L, int index)
{
    index = lua_absindex(L, index);
    if (ls__is_primitive(lua_type(L, index))) return 0;
    ls__at_push(session->resolver, L, LS_AT_IDS);
    lua_pushvalue(L, index);
    lua_rawget(L, -2);
    int64_t id = lua_tointeger(L, -1);
    lua_pop(L, 2);
    return id;
}

/* The same for the value on top, whose type is not a primitive's, with the two tables at hand. [-0, +0, m] */
static LS_RAISES int64_t register_top(struct ls_session *session, lua_State *L, int objects, int ids)
{
    LS_LTOP(L);
    int at = lua_gettop(L);
    lua_pushvalue(L, at);
    lua_rawget(L, ids);
    int64_t id = lua_tointeger(L, -1);
    if (!id) {
        /* id → object first: if the second fails for want of memory the number is lost, but no object ever has
         * two ids in a Value JSON. */
        id = ls_tracker_next_id(session->model->tracker);
        session->resolver->registered++;
        lua_pushvalue(L, at);
        lua_rawseti(L, objects, id);
        lua_pushvalue(L, at);
        lua_pushinteger(L, id);
        lua_rawset(L, ids);
    }
    lua_settop(L, at);
    LS_LTOP_CHECK(L, 0);
    return id;
}

LS_RAISES int64_t ls__object_register(struct ls_session *session, lua_State *L, int index)
{
    index = lua_absindex(L, index);
    if (ls__is_primitive(lua_type(L, index))) return 0;
    luaL_checkstack(L, 6, NULL);
    int top = lua_gettop(L);
    ls__at_push(session->resolver, L, LS_AT_OBJECTS);
    ls__at_push(session->resolver, L, LS_AT_IDS);
    lua_pushvalue(L, index);
    int64_t id = register_top(session, L, top + 1, top + 2);
    lua_settop(L, top);
    return id;
}

size_t ls__object_variables(struct ls_session *session, lua_State *L, int index, int64_t *ids, size_t max)
{
    int64_t object = ls__object_id(session, L, index);
    return object && session->model->tracker ? ls_tracker_by_object(session->model->tracker, object, ids, max) : 0;
}

/* --- shape --- */

/* T32 for a table without type: number keys and no public string key. `at` absolute. @return -1: stopped before it was
 * known. [-0, +0, -] */
static int looks_like_array(struct ls_session *session, lua_State *L, int at)
{
    int numbers = 0;
    uint32_t walked = 0;
    lua_pushnil(L);
    while (lua_next(L, at)) {
        lua_pop(L, 1);
        int type = lua_type(L, -1);
        bool stopped = ++walked % LS_LOOK_EVERY == 0 && ls__stopped(session);
        if (stopped || (type == LUA_TSTRING && lua_tostring(L, -1)[0] != '_')) {
            lua_pop(L, 1);
            return stopped ? -1 : 0;
        }
        numbers |= type == LUA_TNUMBER;
    }
    return numbers;
}

/* The same where it may raise. [-0, +0, e] */
static LS_RAISES bool is_list(struct ls_session *session, lua_State *L, int at)
{
    int yes = looks_like_array(session, L, at);
    if (yes < 0) ls__budget_check(L);
    return yes > 0;
}

/* Ordinary indexing of the value at `at` with "type", raw as far as that goes. [-0, +1, e] */
static LS_RAISES void index_type(struct ls_resolver_state *rs, lua_State *L, int at)
{
    LS_LTOP(L);
    ls__at_push(rs, L, LS_AT_INDEX_NAME);
    ls__at_push(rs, L, LS_AT_TYPE_NAME);
    int name = lua_gettop(L);
    if (!ls__raw_index(L, name - 1, at, name)) {
        rs->session->vm.epoch++; /* code of the site decides */
        lua_pushvalue(L, name);
        lua_gettable(L, at);
    }
    lua_replace(L, name - 1);
    lua_settop(L, name - 1);
    LS_LTOP_CHECK(L, 1);
}

/* Whatever is on top, become a type: strings and numbers count, as strings; nothing else does. [-1, +1, m] */
static LS_RAISES void as_type(lua_State *L)
{
    LS_LTOP(L);
    if (lua_type(L, -1) == LUA_TNUMBER)
        lua_tostring(L, -1);
    else if (lua_type(L, -1) != LUA_TSTRING) {
        lua_pop(L, 1);
        lua_pushnil(L);
    }
    LS_LTOP_CHECK(L, 0);
}

LS_RAISES void ls__type_push(struct ls_session *session, lua_State *L, int index)
{
    int at = lua_absindex(L, index);
    luaL_checkstack(L, 12, NULL);
    const char *native = ls__native_type(session, L, at);
    if (native || !lua_istable(L, at)) {
        lua_pushstring(L, native);
        return;
    }
    if (lua_getmetatable(L, at)) {
        index_type(session->resolver, L, lua_gettop(L));
        lua_remove(L, -2);
        if (!lua_isnil(L, -1)) {
            as_type(L);
            return;
        }
        lua_pop(L, 1);
    }
    index_type(session->resolver, L, at);
    as_type(L);
}

LS_RAISES bool ls__is_array(struct ls_session *session, lua_State *L, int index)
{
    int at = lua_absindex(L, index);
    if (!lua_istable(L, at)) return false;
    luaL_checkstack(L, 12, NULL);
    if (ls__native_kind(session->resolver, L, at) == LS_NATIVE_ARRAY) return true;
    ls__type_push(session, L, at);
    bool typed = !lua_isnil(L, -1);
    lua_pop(L, 1);
    return !typed && is_list(session, L, at);
}

/* --- commit: the protected half --- */

struct commit {
    struct ls_resolver_state *rs;
    struct ls_value *value; /* written only when nothing can fail any more */
    bool same_table;        /* the value is the table seen last */
    int64_t row;            /* the id under which a list shows the object, 0 = its own */
    int64_t prefix;         /* of an array seen before: so many elements at its beginning are the same */
    int bits;
};

/* [-0, +0, -] */
static bool not_finite(lua_State *L, int at)
{
    return lua_type(L, at) == LUA_TNUMBER && !isfinite(lua_tonumber(L, at));
}

/* Elements of the array at `at` against the copy at `snap`, which has `count`. [-0, +0, e] */
static LS_RAISES bool same_elements(lua_State *L, int at, int snap, int64_t count)
{
    if (ls__array_length(L, at) != count) return false;
    for (lua_Integer i = 1; i <= count; i++) {
        ls__look(L, i);
        lua_rawgeti(L, at, i);
        lua_rawgeti(L, snap, i);
        bool same = lua_rawequal(L, -1, -2) || (not_finite(L, -1) && not_finite(L, -2)) ||
                    /* NaN and infinities are null in JSON (T31) */
                    (lua_isnil(L, -1) && not_finite(L, -2)) || (lua_isnil(L, -2) && not_finite(L, -1));
        lua_pop(L, 2);
        if (!same) return false;
    }
    return true;
}

/* Push element `i` of the array at 1, registered if it is an object. @return is it no NaN or infinity? [-0, +1, e] */
static LS_RAISES bool take_element(struct ls_resolver_state *rs, lua_State *L, lua_Integer i, int objects, int ids)
{
    ls__look(L, i);
    int type = lua_rawgeti(L, 1, i);
    if (!ls__is_primitive(type)) register_top(rs->session, L, objects, ids);
    return type != LUA_TNUMBER || isfinite(lua_tonumber(L, -1));
}

/* Push a copy of the array at 1 with its objects registered. [-0, +1, e] */
static LS_RAISES void copy_array(struct commit *job, lua_State *L, int64_t count, bool *finite)
{
    LS_LTOP(L);
    struct ls_resolver_state *rs = job->rs;
    lua_createtable(L, count < 1000000 ? (int)count : 0, 0);
    int copy = lua_gettop(L);
    ls__at_push(rs, L, LS_AT_OBJECTS);
    ls__at_push(rs, L, LS_AT_IDS);
    *finite = true;
    for (lua_Integer i = 1; i <= count; i++) {
        *finite &= take_element(rs, L, i, copy + 1, copy + 2);
        lua_rawseti(L, copy, i);
    }
    lua_settop(L, copy);
    LS_LTOP_CHECK(L, 1);
}

/* [-0, +0, -] */
static void set_at(struct ls_resolver_state *rs, lua_State *L, enum ls__place place, ls_slot slot, int value)
{
    LS_LTOP(L);
    ls__at_push(rs, L, place);
    lua_pushvalue(L, value);
    lua_rawseti(L, -2, slot); /* the place holds something already: nothing is allocated */
    lua_pop(L, 1);
    LS_LTOP_CHECK(L, 0);
}

/* Everything that can fail has been done; `type` and `snap` are stack places or 0. [-0, +1, -] */
static void put(struct commit *job, lua_State *L, ls_slot slot, int type, int snap, const struct ls_value *now)
{
    LS_LTOP(L);
    struct ls_resolver_state *rs = job->rs;
    lua_pushboolean(L, 0);
    int none = lua_gettop(L);
    ls__slot_renew(rs, L, slot);
    set_at(rs, L, LS_AT_VALUES, slot, 1);
    set_at(rs, L, LS_AT_TYPES, slot, type ? type : none);
    set_at(rs, L, LS_AT_SNAPS, slot, snap ? snap : none);
    *job->value = *now;
    job->value->slot = slot;
    LS_LTOP_CHECK(L, 1);
}

static bool same_type(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* [-0, +(0|2), e] the array is at 1 */
static LS_RAISES void commit_array(struct commit *job, lua_State *L)
{
    struct ls_resolver_state *rs = job->rs;
    const struct ls_value *old = job->value;
    int64_t count = ls__array_length(L, 1);
    bool finite = true;
    if (old->slot && old->shape == LS_SHAPE_ARRAY) {
        ls__at_push(rs, L, LS_AT_SNAPS);
        lua_rawgeti(L, -1, old->slot);
        bool same = lua_istable(L, -1) && same_elements(L, 1, lua_gettop(L), old->object);
        lua_pop(L, 2);
        if (same && job->same_table) return;
        job->bits |= same ? 0 : LS_CHECK_CHANGED;
    } else {
        job->bits |= LS_CHECK_CHANGED;
    }
    struct ls_value now = {.shape = LS_SHAPE_ARRAY, .object = count, .nil_step = old->nil_step};
    copy_array(job, L, count, &finite);
    now.flags = finite ? 0 : LS_VALUE_NOT_FINITE;
    int snap = lua_gettop(L);
    ls_slot slot = old->slot ? old->slot : ls__slot_reserve(rs, L);
    put(job, L, slot, 0, snap, &now);
}

/* [-0, +0, -] */
static bool equal_at(lua_State *L, int left, lua_Integer i, int right, lua_Integer k)
{
    LS_LTOP(L);
    lua_rawgeti(L, left, i);
    lua_rawgeti(L, right, k);
    bool equal = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    LS_LTOP_CHECK(L, 0);
    return equal;
}

/* An array of finite elements that was seen before has changed inside: bring its copy in line. Only what stands between
 * an equal beginning and an equal end can be new, and only new elements need a look at the registry. What may fail for
 * want of memory comes first and touches nothing that counts: ids, then places behind the copy's end. While the rest is
 * written there is no copy: where that is stopped, it is made anew as a whole. [-2, +0, e] value, job */
static LS_RAISES int l_update_array(lua_State *L)
{
    enum { ARRAY = 1, SNAP, OBJECTS, IDS };
    struct commit *job = lua_touserdata(L, 2);
    struct ls_resolver_state *rs = job->rs;
    struct ls_value *value = job->value;
    lua_Integer count = ls__array_length(L, ARRAY), old = value->object, least = count < old ? count : old;
    lua_Integer prefix = job->prefix < least ? job->prefix : least, suffix = 0;
    bool finite = true;
    luaL_checkstack(L, 24, NULL);
    lua_settop(L, 1);
    ls__at_push(rs, L, LS_AT_SNAPS);
    lua_rawgeti(L, -1, value->slot);
    lua_replace(L, SNAP);
    ls__at_push(rs, L, LS_AT_OBJECTS);
    ls__at_push(rs, L, LS_AT_IDS);
    while (prefix < least && equal_at(L, ARRAY, prefix + 1, SNAP, prefix + 1))
        ls__look(L, ++prefix);
    if (prefix == count && count == old) return 0;
    while (suffix < least - prefix && equal_at(L, ARRAY, count - suffix, SNAP, old - suffix))
        ls__look(L, ++suffix);
    for (lua_Integer i = prefix + 1; i <= count - suffix; i++) {
        finite &= take_element(rs, L, i, OBJECTS, IDS);
        lua_settop(L, IDS);
    }
    if (!finite) { /* which is null in JSON, like a hole: comparing is not so simple any more */
        lua_settop(L, 1);
        commit_array(job, L);
        return 0;
    }
    for (lua_Integer i = old + 1; i <= count; i++) {
        ls__look(L, i);
        lua_rawgeti(L, ARRAY, i);
        lua_rawseti(L, SNAP, i);
    }
    lua_pushboolean(L, 0);
    set_at(rs, L, LS_AT_SNAPS, value->slot, IDS + 1);
    for (lua_Integer i = prefix + 1; i <= (count == old ? count - suffix : least); i++) {
        ls__look(L, i);
        lua_rawgeti(L, ARRAY, i);
        lua_rawseti(L, SNAP, i);
    }
    for (lua_Integer i = old; i > count; i--) {
        ls__look(L, i);
        lua_pushnil(L);
        lua_rawseti(L, SNAP, i);
    }
    set_at(rs, L, LS_AT_SNAPS, value->slot, SNAP);
    value->object = count;
    value->flags = prefix + suffix == old ? LS_VALUE_GREW : 0;
    job->bits = LS_CHECK_CHANGED;
    rs->members_slot = 0;
    return 0;
}

/* Type string or nil on top. [-0, +1, e] */
static LS_RAISES void commit_object(struct commit *job, lua_State *L)
{
    LS_LTOP(L);
    const struct ls_value *old = job->value;
    size_t len = 0;
    const char *name = lua_tolstring(L, -1, &len);
    /* a text with U+0000 names no type: cut there it would name another */
    int type = name && strlen(name) == len ? lua_gettop(L) : 0;
    struct ls_value now = {.shape = LS_SHAPE_OBJECT, .nil_step = old->nil_step, .type = type ? name : NULL};
    now.object = job->row ? job->row : ls__object_register(job->rs->session, L, 1);
    if (job->row && old->shape == LS_SHAPE_OBJECT && old->object == now.object && !job->same_table)
        job->bits |= LS_CHECK_MOVED;
    if (old->shape != LS_SHAPE_OBJECT || old->object != now.object) job->bits |= LS_CHECK_CHANGED;
    if (!same_type(old->shape == LS_SHAPE_OBJECT ? old->type : NULL, now.type)) job->bits |= LS_CHECK_TYPE;
    ls_slot slot = old->slot ? old->slot : ls__slot_reserve(job->rs, L);
    put(job, L, slot, type, 0, &now);
    LS_LTOP_CHECK(L, 1);
}

/* [-2, +0, e] value, job */
static LS_RAISES int l_commit(lua_State *L)
{
    struct commit *job = lua_touserdata(L, 2);
    struct ls_resolver_state *rs = job->rs;
    lua_settop(L, 1);
    luaL_checkstack(L, 24, NULL);
    if (ls__is_primitive(lua_type(L, 1))) {
        struct ls_value now = {.shape = LS_SHAPE_PLAIN, .nil_step = job->value->nil_step};
        job->bits |= LS_CHECK_CHANGED;
        ls_slot slot = job->value->slot ? job->value->slot : ls__slot_reserve(rs, L);
        put(job, L, slot, 0, 0, &now);
        return 0;
    }
    if (ls__native_kind(rs, L, 1) == LS_NATIVE_ARRAY) {
        commit_array(job, L);
        return 0;
    }
    ls__type_push(rs->session, L, 1);
    if (lua_isnil(L, -1) && lua_istable(L, 1) && is_list(rs->session, L, 1))
        commit_array(job, L);
    else
        commit_object(job, L);
    return 0;
}

/* --- the safe half --- */

static int become_null(struct ls_resolver_state *rs, struct ls_value *value, bool finite, struct ls_fault *fault)
{
    int bits = value->shape != LS_SHAPE_NULL ? LS_CHECK_CHANGED : 0;
    lua_pop(rs->L, 1);
    ls__slot_free(rs->session, value->slot);
    *value = (struct ls_value){.nil_step = value->nil_step, .flags = finite ? 0 : LS_VALUE_NOT_FINITE};
    return finite ? bits : bits | ls__not_finite(fault);
}

static int run_job(struct commit *job, lua_CFunction fn, struct ls_fault *fault)
{
    lua_State *L = job->rs->L;
    lua_pushcfunction(L, fn);
    lua_insert(L, -2);
    lua_pushlightuserdata(L, job);
    if (ls__resolver_run(job->rs, 2, 0, LS_FAULT_BAD_CALL, fault)) return -1;
    if (job->value->flags & LS_VALUE_NOT_FINITE) return job->bits | ls__not_finite(fault);
    return job->bits;
}

static int run_commit(struct ls_resolver_state *rs, struct ls_value *value, bool same_table, int64_t row,
                      struct ls_fault *fault)
{
    struct commit job = {.rs = rs, .value = value, .same_table = same_table, .row = row};
    return run_job(&job, l_commit, fault);
}

int ls__commit(struct ls_resolver_state *rs, int64_t row, struct ls_value *value, struct ls_fault *fault)
{
    lua_State *L = rs->L;
    if (lua_isnil(L, -1)) return become_null(rs, value, true, fault);
    if (not_finite(L, -1)) return become_null(rs, value, false, fault);
    return run_commit(rs, value, false, row, fault);
}

/* --- a table seen before --- */

enum sequence { SEQUENCE_SAME, SEQUENCE_CHANGED, SEQUENCE_NONE };

/* One walk over table and copy together: an unchanged sequence is found in order, without a second look at each key; so
 * are the elements before the first change. What follows is looked at only for names, which would make it an object
 * (T32). Leaves rubbish. [-0, +n, -] */
static enum sequence compare_sequence(struct ls_resolver_state *rs, const struct ls_value *value, int at,
                                      int64_t *prefix)
{
    lua_State *L = rs->L;
    int64_t seen = 0;
    uint32_t walked = 0;
    bool same = true, numbers = false;
    int snap = lua_gettop(L) + 1, key = snap + 1;
    if (lua_rawgeti(L, LS_AT(rs, LS_AT_SNAPS), value->slot) != LUA_TTABLE) return SEQUENCE_NONE;
    lua_pushnil(L);
    while (lua_next(L, at)) {
        if (++walked % LS_LOOK_EVERY == 0 && ls__stopped(rs->session)) {
            numbers = same = true;
            seen = value->object;
            break; /* the pass ends, and looks again next time */
        }
        if (lua_isinteger(L, key)) {
            numbers = true;
            if (same) {
                lua_rawgeti(L, snap, seen + 1);
                same = lua_rawequal(L, -1, -2) && lua_tointeger(L, key) == seen + 1 && seen < value->object;
                seen += same;
            }
        } else {
            int type = lua_type(L, key);
            if (type == LUA_TSTRING && lua_tostring(L, key)[0] != '_') return SEQUENCE_NONE;
            numbers |= type == LUA_TNUMBER;
        }
        lua_settop(L, key);
    }
    *prefix = seen;
    if (walked >= LS_LOOK_EVERY) rs->did |= LS_CHECK_LONG;
    if (!numbers) return SEQUENCE_NONE;
    return same && seen == value->object ? SEQUENCE_SAME : SEQUENCE_CHANGED;
}

/* Is what is on top the type that was seen? [-0, +0, -] */
static bool is_type_seen(lua_State *L, const struct ls_value *value)
{
    return lua_isnil(L, -1) ? !value->type
                            : lua_type(L, -1) == LUA_TSTRING && same_type(lua_tostring(L, -1), value->type);
}

/* The type of the table at `at` as far as raw reads tell: false also where they do not. Leaves rubbish. [-0, +n, -] */
static bool same_type_raw(struct ls_resolver_state *rs, const struct ls_value *value, int at)
{
    lua_State *L = rs->L;
    int index_name = LS_AT(rs, LS_AT_INDEX_NAME), name = LS_AT(rs, LS_AT_TYPE_NAME);
    if (lua_getmetatable(L, at)) {
        int meta = lua_gettop(L);
        lua_pushvalue(L, name);
        int type = lua_rawget(L, meta);
        if (type == LUA_TSTRING) /* the usual case: a prototype with its own name */
            return lua_tostring(L, -1) == value->type || same_type(lua_tostring(L, -1), value->type);
        if (type != LUA_TNIL || !ls__raw_index(L, index_name, meta, name)) return false;
        if (!lua_isnil(L, -1)) return is_type_seen(L, value);
    }
    return ls__raw_index(L, index_name, at, name) && is_type_seen(L, value);
}

int ls__recheck(struct ls_resolver_state *rs, struct ls_value *value, struct ls_fault *fault)
{
    lua_State *L = rs->L;
    int at = lua_gettop(L);
    bool same = false;
    if (value->shape == LS_SHAPE_OBJECT) {
        int list = 1;
        if (same_type_raw(rs, value, at)) list = value->type ? 0 : looks_like_array(rs->session, L, at);
        if (list < 0) rs->did |= LS_CHECK_LONG;
        if (list <= 0) return 0;
    } else if (!(value->flags & LS_VALUE_NOT_FINITE)) {
        struct commit job = {.rs = rs, .value = value, .same_table = true};
        /* a list's own items; any other metatable may have brought a type */
        bool plain = !lua_getmetatable(L, at) || lua_topointer(L, -1) == rs->metas[LS_NATIVE_ARRAY];
        lua_settop(L, at);
        enum sequence sequence = plain ? compare_sequence(rs, value, at, &job.prefix) : SEQUENCE_NONE;
        lua_settop(L, at);
        if (sequence == SEQUENCE_CHANGED) return run_job(&job, l_update_array, fault);
        same = sequence == SEQUENCE_SAME;
    }
    lua_settop(L, at);
    return same ? 0 : run_commit(rs, value, true, value->shape == LS_SHAPE_OBJECT ? value->object : 0, fault);
}
