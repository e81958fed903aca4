/* Wrappers and create factories: which table makes them, calling it, keeping a wrapper in line with its value
 * (tracker.md sections 12, 13).
 * Owner thread: the session's. Rules: T66–T71, T74–T76, TX18, TX20, L129, L130. */
#include <string.h>

#include "model/model_internal.h"
#include "resolver/resolver_internal.h"

/* --- the list wrapper --- */

/* [-1, +1, m] item type name as light userdata */
static LS_RAISES int l_new_list(lua_State *L)
{
    const char *item_type = lua_touserdata(L, 1);
    ls__list_new(ls__session_of(L)->resolver, L, item_type);
    return 1;
}

/* The list is on top; bring it in line with the value. [-0, +0, -] */
static int sync_list(struct ls_resolver_state *rs, const struct ls_wrap *want, struct ls_fault *fault)
{
    lua_State *L = rs->L;
    int list = lua_gettop(L);
    lua_pushcfunction(L, ls__list_sync);
    lua_pushvalue(L, list);
    ls__value_push(rs, want->value->slot);
    lua_pushboolean(L, want->value->shape == LS_SHAPE_ARRAY);
    lua_pushboolean(L, want->keyed);
    lua_pushlightuserdata(L, (void *)want->key);
    if (ls__resolver_call(rs, 5, 2, LS_FAULT_WRAPPER, fault)) {
        fault->kind = LS_FAULT_INTERNAL; /* constructors are protected one by one: only memory can be short here */
        ls__list_unlock(L, list);
        return -1;
    }
    ls__resolver_relieve(rs->session); /* constructors too are computations of their own */
    rs->members_slot = 0;
    if (lua_toboolean(L, -2)) ls_tracker_request_repeat(rs->session->model->tracker);
    if (lua_type(L, -1) == LUA_TSTRING) ls_fault_set(fault, LS_FAULT_WRAPPER, "%s", lua_tostring(L, -1));
    lua_settop(L, list);
    return 0;
}

static int build_list(struct ls_resolver_state *rs, const struct ls_wrap *want, struct ls_fault *fault)
{
    lua_State *L = rs->L;
    lua_pushcfunction(L, l_new_list);
    lua_pushlightuserdata(L, (void *)want->item_type);
    if (ls__resolver_call(rs, 1, 1, LS_FAULT_WRAPPER, fault) || sync_list(rs, want, fault)) return -1;
    struct ls_var *var = ls_tracker_find(rs->session->model->tracker, want->id);
    if (var) ls_tracker_put_property(rs->session->model->tracker, var, "fallbackNamespace", "list-item", LS_HIGH);
    return 0;
}

/* --- wrappers written in Lua --- */

/* [-1, +1, m] variable id */
static LS_RAISES int l_variable_object(lua_State *L)
{
    ls__variable_object_push(ls__session_of(L), L, (int64_t)lua_tointeger(L, 1));
    return 1;
}

/* Find the type and call its constructor with the argument on top, which is popped. The object is pushed.
 * [-1, +(1|0), -] */
static int construct(struct ls_resolver_state *rs, const char *type, bool wrapper, const char *what,
                     struct ls_fault *fault)
{
    struct ls_session *session = rs->session;
    lua_State *L = rs->L;
    int base = rs->base, arg = lua_gettop(L);
    bool presenter = false;
    if (!ls__find_type(session, type, strlen(type), wrapper, &presenter)) {
        lua_settop(L, arg - 1);
        ls_fault_set(fault, LS_FAULT_WRAPPER, "there is no type '%.200s' for %s", type, what);
        return 1;
    }
    uint32_t ended = wrapper && rs->ended_count ? ls__ended_find(rs, -1, "new") : 0;
    if (ended) {
        lua_settop(L, arg - 1);
        return ls__ended_fault(rs, ended, fault);
    }
    lua_pushvalue(L, -1);
    lua_insert(L, arg);
    lua_insert(L, arg); /* the type twice below the argument: for the call, and for when that takes too long */
    LS_ERR(err);
    /* Goes through a function of another room (model/types.c), which may come back as any other code may. */
    rs->open = false;
    ls__rearm(session);
    int rc = ls__construct(session, presenter, false, &err);
    ls__window_back(rs, L, base);
    session->vm.epoch++;
    if (rc == 0) {
        lua_remove(L, arg);
        return 0;
    }
    bool over = session->vm.stop == LS_STOP_TIME && session->vm.deadline_ns != 0;
    ls__resolver_relieve(session);
    ls__fault_from(rs, LS_FAULT_WRAPPER, what, &err, fault);
    if (over && wrapper) ls__ended_note(rs, arg, "new", fault);
    lua_settop(L, arg - 1);
    return -1;
}

static int build_lua(struct ls_resolver_state *rs, const struct ls_wrap *want, struct ls_fault *fault)
{
    lua_State *L = rs->L;
    lua_pushcfunction(L, l_variable_object);
    lua_pushinteger(L, want->id);
    if (ls__resolver_call(rs, 1, 1, LS_FAULT_WRAPPER, fault)) return -1;
    return construct(rs, want->type, true, "wrapper", fault) ? -1 : 0;
}

/* Call a method of the wrapper at 1, if it has it. [-0, +0, e] */
static LS_RAISES int call_own(lua_State *L, const char *name)
{
    if (lua_getfield(L, 1, name) != LUA_TNIL) {
        lua_pushvalue(L, 1);
        lua_call(L, 1, 0);
    }
    return 0;
}

/* [-2, +0, e] wrapper, value: T68 */
static LS_RAISES int l_sync_wrapper(lua_State *L)
{
    lua_setfield(L, 1, "value");
    return call_own(L, "sync");
}

/* [-1, +0, e] wrapper: T70 */
static LS_RAISES int l_destroy_wrapper(lua_State *L)
{
    return call_own(L, "destroy");
}

static int keep_wrapper(struct ls_resolver_state *rs, const struct ls_wrap *want, const struct ls_value *wrapper,
                        struct ls_fault *fault)
{
    lua_State *L = rs->L;
    if (ls__value_push(rs, wrapper->slot) == LUA_TUSERDATA) return sync_list(rs, want, fault);
    if (!lua_getmetatable(L, -1)) lua_pushvalue(L, -1);
    lua_insert(L, -2); /* its type */
    int at = lua_gettop(L) - 1;
    uint32_t ended = rs->ended_count ? ls__ended_find(rs, at, "sync") : 0;
    if (ended) return ls__ended_fault(rs, ended, fault);
    lua_pushcfunction(L, l_sync_wrapper);
    lua_insert(L, -2);
    ls__value_push(rs, want->value->slot);
    int rc = ls__resolver_call(rs, 2, 0, LS_FAULT_WRAPPER, fault);
    if (rc != 0 && rs->over) ls__ended_note(rs, at, "sync", fault);
    return rc;
}

/* T67a: sites' client gives every item variable its list's itemWrapper as `wrapper`; the item has it already. */
static bool has_wrapper(struct ls_resolver_state *rs, const struct ls_wrap *want)
{
    ls__value_push(rs, want->value->slot);
    int at = lua_gettop(rs->L);
    bool has = ls__native_kind(rs, rs->L, at) == LS_NATIVE_ITEM && ls__item_has_wrapper(rs->L, at, want->type);
    lua_settop(rs->L, at - 1);
    return has;
}

int ls__op_wrap(void *ctx, const struct ls_wrap *want, struct ls_value *wrapper, struct ls_fault *fault)
{
    struct ls_resolver_state *rs = ctx;
    int opened = ls__window_open(rs, fault), rc = -1;
    if (opened < 0) return -1;
    if (wrapper->slot) {
        rc = keep_wrapper(rs, want, wrapper, fault);
    } else if (has_wrapper(rs, want)) {
        rc = 0;
    } else {
        rc = strcmp(want->type, LS_LIST_TYPE) == 0 ? build_list(rs, want, fault) : build_lua(rs, want, fault);
        if (rc == 0 && ls__commit(rs, 0, wrapper, fault) < 0) rc = -1;
    }
    ls__window_done(rs, opened);
    return rc;
}

void ls__op_unwrap(void *ctx, int64_t id, struct ls_value *wrapper)
{
    struct ls_resolver_state *rs = ctx;
    struct ls_fault fault;
    (void)id;
    ls_slot slot = wrapper->slot;
    if (!slot) return;
    *wrapper = (struct ls_value){0};
    int opened = ls__window_open(rs, &fault);
    if (opened >= 0) {
        lua_State *L = rs->L;
        if (ls__value_push(rs, slot) == LUA_TTABLE) {
            lua_pushcfunction(L, l_destroy_wrapper);
            lua_insert(L, -2);
            /* reported in the log; there is no variable to carry it */
            ls__resolver_call(rs, 1, 0, LS_FAULT_WRAPPER, &fault);
        } else if (ls__native_kind(rs, L, -1) == LS_NATIVE_LIST) {
            ls__list_release(L, lua_gettop(L));
        }
        ls__window_done(rs, opened);
    }
    ls__slot_free(rs->session, slot);
}

/* --- create factories (T74) --- */

int ls__op_make(void *ctx, const char *type, ls_slot *made, struct ls_fault *fault)
{
    struct ls_resolver_state *rs = ctx;
    *made = 0;
    if (strcmp(type, LS_ITEM_TYPE) == 0) return 0; /* a built-in factory that yields nothing */
    int opened = ls__window_open(rs, fault);
    if (opened < 0) return -1;
    lua_pushnil(rs->L); /* the value, nil for creates */
    int rc = construct(rs, type, false, "create", fault);
    if (rc == 0) {
        rc = ls__slot_keep(rs, made, fault);
    } else if (rc > 0) {
        fault->kind = LS_FAULT_NONE; /* nothing found: the value stays what the path gave */
        rc = 0;
    }
    ls__window_done(rs, opened);
    return rc;
}
