/* The table of functions the tracker gets, field names of paths, and the life of the resolver. How values are reached
 * is in resolver_read.c and resolver_write.c, what they are in objects.c.
 * Owner thread: the session's. Refuses to: know variables. Rules: T7, T39, T108, L4. */
#include "resolver/slots.h"

#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "model/model_internal.h"
#include "resolver/lua_resolver.h"
#include "resolver/resolver_internal.h"

/* --- values that variables remember --- */

static int op_copy(void *ctx, ls_slot slot, ls_slot *copy, struct ls_fault *fault)
{
    struct ls_resolver_state *rs = ctx;
    *copy = 0;
    int opened = slot ? ls__window_open(rs, fault) : 0;
    if (!slot || opened < 0) return opened;
    ls__value_push(rs, slot);
    int rc = ls__slot_keep(rs, copy, fault);
    ls__window_done(rs, opened);
    return rc;
}

static void op_free_slot(void *ctx, ls_slot slot)
{
    struct ls_resolver_state *rs = ctx;
    ls__slot_free(rs->session, slot);
}

static void op_drop(void *ctx, struct ls_value *value)
{
    op_free_slot(ctx, value->slot);
    *value = (struct ls_value){0};
}

static int op_adopt(void *ctx, ls_slot slot, struct ls_value *value, struct ls_fault *fault)
{
    int bits = ls__op_check(ctx, slot, NULL, value, fault);
    op_free_slot(ctx, slot);
    return bits;
}

/* --- field names (T108: kept once, however many paths use them) --- */

struct keying {
    struct ls_resolver_state *rs;
    struct ls_path *path;
};

/* [-0, +0, v] */
static LS_RAISES uint32_t new_key(struct ls_resolver_state *rs, lua_State *L)
{
    uint32_t key = rs->free_key;
    if (key) {
        rs->free_key = rs->key_uses[key - 1];
        rs->key_uses[key - 1] = 0;
        return key;
    }
    if (!LS_RESERVE_IN(rs->session->vm.budget, 0, rs->key_uses, rs->key_count + 1, rs->key_cap))
        ls__lno_memory(L, "keeping a name");
    rs->key_uses[rs->key_count] = 0;
    return ++rs->key_count;
}

/* [-1, +0, m] */
static LS_RAISES int l_prepare(lua_State *L)
{
    struct keying *job = lua_touserdata(L, 1);
    struct ls_resolver_state *rs = job->rs;
    lua_settop(L, 0);
    ls__at_push(rs, L, LS_AT_NAMES);
    ls__at_push(rs, L, LS_AT_KEYS);
    for (uint32_t i = 0; i < job->path->count; i++) {
        struct ls_step *step = &job->path->steps[i];
        if (step->kind == LS_STEP_INDEX || step->kind == LS_STEP_ROW) continue;
        lua_pushlstring(L, step->name, step->name_len);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, 1) == LUA_TNIL) {
            lua_pop(L, 1);
            /* A key is counted with the step before anything below can raise, so that forgetting finds it. */
            step->key = new_key(rs, L);
            rs->key_uses[step->key - 1]++;
            lua_pushvalue(L, -1);
            lua_rawseti(L, 2, step->key);
            lua_pushinteger(L, step->key);
            lua_rawset(L, 1);
        } else {
            step->key = (uint32_t)lua_tointeger(L, -1);
            rs->key_uses[step->key - 1]++;
            lua_pop(L, 2);
        }
        job->path->code[i] = LS_OP(step->kind, step->key);
    }
    return 0;
}

/* Names go by setting them nil, which allocates nothing. */
static void op_forget(void *ctx, struct ls_path *path)
{
    struct ls_resolver_state *rs = ctx;
    lua_State *L = rs->session->vm.L;
    if (!lua_checkstack(L, 8)) return;
    ls__at_push(rs, L, LS_AT_NAMES);
    ls__at_push(rs, L, LS_AT_KEYS);
    for (uint32_t i = 0; i < path->count; i++) {
        if (path->steps[i].kind == LS_STEP_INDEX || path->steps[i].kind == LS_STEP_ROW) continue;
        uint32_t key = path->steps[i].key;
        path->steps[i].key = 0;
        if (!key || --rs->key_uses[key - 1]) continue;
        rs->key_uses[key - 1] = rs->free_key;
        rs->free_key = key;
        if (lua_rawgeti(L, -1, key) == LUA_TSTRING) {
            lua_pushvalue(L, -1);
            if (lua_rawget(L, -4) != LUA_TNIL) {
                lua_pushvalue(L, -2);
                lua_pushnil(L);
                lua_rawset(L, -6);
            }
            lua_pushboolean(L, 0);
            lua_rawseti(L, -4, key);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 2);
}

static int op_prepare(void *ctx, struct ls_path *path, struct ls_fault *fault)
{
    struct ls_resolver_state *rs = ctx;
    struct keying job = {rs, path};
    int rc = ls__resolver_job(rs, l_prepare, &job, fault);
    if (rc) op_forget(rs, path);
    return rc;
}

/* --- the table --- */

static int op_enter(void *ctx)
{
    struct ls_fault fault;
    return ls__window_open(ctx, &fault);
}

static void op_leave(void *ctx)
{
    ls__window_done(ctx, 1);
}

static bool op_stopped(void *ctx)
{
    struct ls_session *session = ((struct ls_resolver_state *)ctx)->session;
    LS_ERR(err);
    if (!ls__stopped(session)) return false;
    ls__stop_text(session, &err);
    ls__report(session, "change detection", &err);
    return true;
}

static const struct ls_resolver_ops ops = {
    .enter = op_enter,
    .leave = op_leave,
    .stopped = op_stopped,
    .prepare = op_prepare,
    .forget = op_forget,
    .check = ls__op_check,
    .adopt = op_adopt,
    .check_in = ls__op_check_in,
    .place = ls__op_place,
    .drop = op_drop,
    .copy = op_copy,
    .free_slot = op_free_slot,
    .decode = ls__op_decode,
    .store = ls__op_store,
    .wrap = ls__op_wrap,
    .unwrap = ls__op_unwrap,
    .make = ls__op_make,
    .rekey = ls__op_rekey,
    .element = ls__op_element,
    .loosen = ls__op_loosen,
    .alive = ls__op_alive,
    .json = ls__op_json,
};

struct ls_resolver ls_session_resolver(struct ls_session *session)
{
    return (struct ls_resolver){&ops, session->resolver, &session->vm.epoch};
}

/* --- life --- */

/* [-1, +0, m] what is on top is kept at `place` */
static LS_RAISES void keep(struct ls_resolver_state *rs, lua_State *L, enum ls__place place)
{
    rs->refs[place] = ls__ref_take(rs->session, L);
}

/* [-1, +0, m] */
static LS_RAISES int l_open(lua_State *L)
{
    struct ls_resolver_state *rs = lua_touserdata(L, 1);
    static const enum ls__place plain[] = {LS_AT_VALUES,   LS_AT_KEYS,   LS_AT_TYPES,  LS_AT_SNAPS,  LS_AT_NAMES,
                                           LS_REF_MEMBERS, LS_REF_KEYED, LS_REF_NAMED, LS_REF_LOOSE, LS_REF_ENDED};
    static const enum ls__place weak[] = {LS_AT_IDS, LS_REF_ATTACHED, LS_AT_OBJECTS};
    static const struct {
        enum ls__place place;
        const char *text;
    } names[] = {{LS_AT_TYPE_NAME, "type"}, {LS_AT_INDEX_NAME, "__index"}, {LS_AT_CALL_NAME, "__call"}};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        lua_newtable(L);
        keep(rs, L, plain[i]);
    }
    for (size_t i = 0; i < sizeof weak / sizeof *weak; i++) {
        lua_newtable(L);
        lua_createtable(L, 0, 1);
        lua_pushstring(L, weak[i] == LS_AT_OBJECTS ? "v" : "k");
        lua_setfield(L, -2, "__mode");
        lua_setmetatable(L, -2);
        keep(rs, L, weak[i]);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        lua_pushstring(L, names[i].text);
        keep(rs, L, names[i].place);
    }
    lua_pushcfunction(L, ls__traceback);
    keep(rs, L, LS_AT_HANDLER);
    ls__native_open(rs, L);
    return 0;
}

static const struct ls_slot_hooks slot_hooks = {
    .push = ls__slot_push,
    .take = ls__slot_take,
    .free = ls__slot_free,
    .variables = ls__object_variables,
};

int ls__resolver_new(struct ls_session *session, struct ls_err *err)
{
    session->model->slots = &slot_hooks;
    struct ls_resolver_state *rs = ls_zalloc(sizeof *rs);
    if (!rs) return ls_fail(err, LS_ENOMEM, "Out of memory while opening a session.");
    rs->session = session;
    for (int place = 0; place < LS_REF_COUNT; place++)
        rs->refs[place] = LUA_NOREF;
    session->resolver = rs;
    return ls__lrun(session, l_open, rs, 0, err);
}

void ls__resolver_free(struct ls_session *session)
{
    struct ls_resolver_state *rs = session->resolver;
    if (!rs) return;
    for (int place = 0; place < LS_REF_COUNT; place++)
        ls__ref_drop(session, &rs->refs[place]);
    ls_budget_free(rs->session->vm.budget, rs->key_uses);
    ls__ended_free(rs);
    ls_free(rs);
    session->resolver = NULL;
}
