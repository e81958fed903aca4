/* Writing through a path: follow all steps but the last, then act with the last. Owner thread: the session's.
 * Rules: T7, T30, T57, T58, T60, T63, T64, L131–L133. */
#include "resolver/resolver_internal.h"

/* [-3, +0, e] ordinary assignment, `__newindex` honoured */
static LS_RAISES int l_assign(lua_State *L)
{
    lua_settable(L, 1);
    return 0;
}

/* [-3, +0, m] table, key, value; metamethods do not take part (T57) */
static LS_RAISES int l_assign_raw(lua_State *L)
{
    lua_rawset(L, 1);
    return 0;
}

static int call_last(struct ls_resolver_state *rs, const struct ls_step *step, int access, ls_slot value,
                     struct ls_fault *fault)
{
    if (ls__find_method(rs, step, fault)) return -1;
    uint32_t ended = rs->ended_count ? ls__ended_find(rs, -1, NULL) : 0;
    lua_pushvalue(rs->L, -2);
    bool with_value = step->kind == LS_STEP_SETTER || access != LS_ACCESS_ACTION;
    if (with_value) ls__value_push(rs, value); /* null is an argument too (T63) */
    int rc = ls__resolver_call(rs, with_value ? 2 : 1, 0, LS_FAULT_BAD_CALL, fault);
    if (rc == 0 && ended) ls__ended_returned(rs, ended);
    return rc;
}

/* Assign to the value at `target`, with the key on top. [-1, +0, -] */
static int assign(struct ls_resolver_state *rs, lua_CFunction how, int target, ls_slot value, struct ls_fault *fault)
{
    lua_State *L = rs->L;
    lua_pushcfunction(L, how);
    lua_insert(L, -2);
    lua_pushvalue(L, target);
    lua_insert(L, -2);
    ls__value_push(rs, value);
    return ls__resolver_call(rs, 3, 0, LS_FAULT_BAD_CALL, fault);
}

static int assign_last(struct ls_resolver_state *rs, const struct ls_step *step, ls_slot value, struct ls_fault *fault)
{
    lua_State *L = rs->L;
    int target = lua_gettop(L);
    if (!lua_istable(L, target))
        return ls_fault_set(fault, LS_FAULT_PATH_ERROR, "a %s cannot be written to", luaL_typename(L, target));
    if (step->kind == LS_STEP_INDEX) {
        lua_pushinteger(L, (lua_Integer)step->index + 1);
        return assign(rs, l_assign_raw, target, value, fault);
    }
    lua_rawgeti(L, LS_AT(rs, LS_AT_KEYS), step->key);
    return assign(rs, l_assign, target, value, fault);
}

/* Path `#ID` alone: another value takes the element's place in the list on top. */
static int replace_element(struct ls_resolver_state *rs, const struct ls_path *path, ls_slot value,
                           struct ls_fault *fault)
{
    lua_State *L = rs->L;
    int list = lua_gettop(L);
    lua_rawgeti(L, LS_AT(rs, LS_AT_OBJECTS), path->steps[0].row);
    lua_Integer count = lua_istable(L, list) && !lua_isnil(L, -1) ? ls__array_length(L, list) : 0, at = 1;
    for (; at <= count; at++, lua_settop(L, list + 1))
        if (lua_rawgeti(L, list, at), lua_rawequal(L, -1, list + 1)) break;
    if (at > count) return ls__nil_fault(path, 0, "set", fault);
    lua_pushinteger(L, at);
    return assign(rs, l_assign_raw, list, value, fault);
}

int ls__op_store(void *ctx, ls_slot from, const struct ls_path *path, int64_t into, int access, ls_slot value,
                 struct ls_fault *fault)
{
    struct ls_resolver_state *rs = ctx;
    const struct ls_step *last = &path->steps[path->count - 1];
    int opened = ls__window_open_for(rs, path, fault), rc = -1;
    if (opened < 0) return -1;
    bool asked = rs->asked;
    rs->asked = true;
    uint32_t first = path->by_row && path->count > 1;
    if (into || first)
        lua_rawgeti(rs->L, LS_AT(rs, LS_AT_OBJECTS), into ? into : path->steps[0].row);
    else
        ls__value_push(rs, from);
    int type = lua_type(rs->L, -1), at = 0;
    if (into && type == LUA_TNIL)
        at = ls_fault_set(fault, LS_FAULT_GONE, "the object that this was meant for is gone");
    else if (!into)
        at = first && type == LUA_TNIL ? 1 : ls__walk(rs, path, first, path->count - 1, &type, fault);
    if (at == 0 && lua_isnil(rs->L, -1)) at = (int)path->count;
    if (at > 0)
        ls__nil_fault(path, (uint32_t)at - 1, at == (int)path->count ? "set" : "read", fault);
    else if (at == 0 && (last->kind == LS_STEP_CALL || last->kind == LS_STEP_SETTER))
        rc = call_last(rs, last, access, value, fault);
    else if (at == 0 && ls__native_kind(rs, rs->L, -1) != LS_NATIVE_NONE)
        ls_fault_set(fault, LS_FAULT_PATH_ERROR, "a list and its items cannot be written");
    else if (at == 0 && last->kind == LS_STEP_ROW)
        rc = replace_element(rs, path, value, fault);
    else if (at == 0)
        rc = assign_last(rs, last, value, fault);
    rs->asked = asked;
    ls__window_done(rs, opened);
    return rc;
}
