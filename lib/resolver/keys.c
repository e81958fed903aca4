/* Lists whose elements are told apart by a key (page.md R4): a query that makes all objects anew gives the rows that
 * were there, as long as it names a field that says which is which. The ids in the list's value then belong to the
 * list's variable and to the key; each leads to the object that has the key now, by what the registry holds for the id,
 * which is weak like any other.
 *
 * What is kept of one variable: `ids` key → id, `places` place → id for elements without a key of their own, `list`
 * place → id as it is now.
 * Owner thread: the session's. */
#include <math.h>

#include "resolver/resolver_internal.h"

/* Keys that have left their list are remembered, so that they may come back; not for ever. */
#define FORGET_ABOVE 1000

enum { KEYED_IDS = 1, KEYED_PLACES, KEYED_LIST, KEYED_COUNT };

LS_RAISES void ls__key_push(struct ls_resolver_state *rs, lua_State *L, int element, int name)
{
    LS_LTOP(L);
    int top = lua_gettop(L);
    ls__at_push(rs, L, LS_AT_INDEX_NAME);
    if (!lua_istable(L, element) || !ls__raw_index(L, top + 1, element, name)) {
        rs->session->vm.epoch++; /* code of the site decides */
        lua_pushcfunction(L, ls__l_index);
        lua_pushvalue(L, element);
        lua_pushvalue(L, name);
        if (lua_pcall(L, 2, 1, 0) != LUA_OK) {
            lua_pop(L, 1);
            lua_pushnil(L);
        }
    }
    int type = lua_type(L, -1);
    if (type == LUA_TNUMBER ? isnan(lua_tonumber(L, -1)) : type != LUA_TSTRING && type != LUA_TBOOLEAN) lua_pushnil(L);
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
    LS_LTOP_CHECK(L, 1);
}

LS_RAISES void ls__key_problem(lua_State *L, lua_Integer place, int key, int name)
{
    const char *field = lua_tostring(L, name);
    if (lua_isnil(L, key)) {
        lua_pushfstring(L, "element %I of the list has no '%s' that could be its key: a string, a number or a boolean",
                        (LUAI_UACINT)place - 1, field);
        return;
    }
    luaL_tolstring(L, key, NULL);
    lua_pushfstring(L, "element %I of the list has the same '%s' as one before it: %s", (LUAI_UACINT)place - 1, field,
                    lua_tostring(L, -1));
    lua_remove(L, -2);
}

struct rekeying {
    struct ls_resolver_state *rs;
    int64_t id; /* of the variable */
    const struct ls_value *value;
    const char *key; /* NULL = elements go by themselves again */
    struct ls_fault *fault;
    bool changed;
};

/* The stack while a list is gone through. */
enum {
    AT_JOB = 1,
    AT_NAME,
    AT_ARRAY,
    AT_IDS,
    AT_PLACES,
    AT_BEFORE,
    AT_NOW,
    AT_USED,
    AT_OBJECTS,
    AT_PROBLEM,
    AT_TOP = AT_PROBLEM,
    AT_ELEMENT,
    AT_KEY
};

/* The id under what is on top in the table at `of`, a new one if it has none; the top is popped. [-1, +0, m] */
static LS_RAISES int64_t id_of(struct rekeying *job, lua_State *L, int of)
{
    int top = lua_gettop(L);
    lua_pushvalue(L, top);
    lua_rawget(L, of);
    int64_t id = lua_tointeger(L, -1);
    if (!id) {
        id = ls_tracker_next_id(job->rs->session->model->tracker);
        job->rs->registered++;
        lua_pushvalue(L, top);
        lua_pushinteger(L, id);
        lua_rawset(L, of);
    }
    lua_settop(L, top - 1);
    return id;
}

/* [-n, +0, m] the element is at AT_ELEMENT */
static LS_RAISES void name_element(struct rekeying *job, lua_State *L, lua_Integer place)
{
    ls__key_push(job->rs, L, AT_ELEMENT, AT_NAME);
    bool fine = !lua_isnil(L, AT_KEY);
    if (fine) {
        lua_pushvalue(L, AT_KEY);
        fine = lua_rawget(L, AT_USED) == LUA_TNIL;
        lua_settop(L, AT_KEY);
    }
    int64_t id;
    if (fine) {
        lua_pushvalue(L, AT_KEY);
        lua_pushboolean(L, 1);
        lua_rawset(L, AT_USED);
        id = id_of(job, L, AT_IDS);
    } else {
        if (lua_isnil(L, AT_PROBLEM)) {
            ls__key_problem(L, place, AT_KEY, AT_NAME);
            lua_replace(L, AT_PROBLEM);
        }
        lua_settop(L, AT_ELEMENT);
        lua_pushinteger(L, place);
        id = id_of(job, L, AT_PLACES);
    }
    lua_pushvalue(L, AT_ELEMENT);
    lua_rawseti(L, AT_OBJECTS, id);
    lua_pushinteger(L, id);
    lua_rawseti(L, AT_NOW, place);
}

/* Only what the list has now. [-0, +0, e] */
static LS_RAISES void forget_keys(lua_State *L, lua_Integer count)
{
    lua_createtable(L, 0, (int)count);
    int kept = lua_gettop(L);
    lua_Integer step = 0;
    for (lua_pushnil(L); lua_next(L, AT_USED);) {
        ls__look(L, ++step);
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -3);
        lua_rawget(L, AT_IDS);
        lua_rawset(L, kept);
        lua_pop(L, 1);
    }
    lua_replace(L, AT_IDS);
}

/* [-0, +1, m] a part of what is kept at `keyed`, or a new table, on top */
static LS_RAISES void push_part(lua_State *L, int keyed, int part)
{
    if (!lua_istable(L, keyed)) {
        lua_newtable(L);
    } else if (lua_rawgeti(L, keyed, part) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
    }
}

/* Keys that have ever been seen, so far. [-0, +0, e] */
static LS_RAISES lua_Integer count_of(lua_State *L, int table)
{
    lua_Integer count = 0;
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1))
        ls__look(L, ++count);
    return count;
}

/* [-0, +0, m] keep what the variable has now, when all of it is there */
static LS_RAISES void keep_keyed(struct rekeying *job, lua_State *L)
{
    struct ls_resolver_state *rs = job->rs;
    lua_createtable(L, KEYED_COUNT, 0);
    int keyed = lua_gettop(L);
    lua_pushvalue(L, AT_IDS);
    lua_rawseti(L, keyed, KEYED_IDS);
    lua_pushvalue(L, AT_PLACES);
    lua_rawseti(L, keyed, KEYED_PLACES);
    lua_pushvalue(L, AT_NOW);
    lua_rawseti(L, keyed, KEYED_LIST);
    ls__at_push(rs, L, LS_REF_KEYED);
    lua_pushvalue(L, keyed);
    lua_rawseti(L, -2, job->id);
    ls__at_push(rs, L, LS_REF_NAMED);
    bool fresh = lua_rawgeti(L, -1, job->value->slot) != LUA_TTABLE;
    lua_pop(L, 1);
    lua_pushvalue(L, AT_NOW);
    lua_rawseti(L, -2, job->value->slot);
    rs->named_count += fresh;
}

/* [-1, +0, e] job */
static LS_RAISES int l_rekey(lua_State *L)
{
    struct rekeying *job = lua_touserdata(L, AT_JOB);
    struct ls_resolver_state *rs = job->rs;
    luaL_checkstack(L, 40, NULL);
    if (!job->key || job->value->shape != LS_SHAPE_ARRAY) {
        if (!job->key) {
            ls__at_push(rs, L, LS_REF_KEYED);
            lua_pushnil(L);
            lua_rawseti(L, -2, job->id);
        }
        job->changed = !job->key;
        ls__keyed_drop(rs, L, job->value->slot);
        return 0;
    }
    ls__slot_push(rs->session, L, job->value->slot); /* a loose one gets its copy back */
    lua_pop(L, 1);
    lua_pushstring(L, job->key);
    ls__at_push(rs, L, LS_AT_SNAPS);
    lua_rawgeti(L, -1, job->value->slot);
    lua_remove(L, -2);
    ls__at_push(rs, L, LS_REF_KEYED);
    lua_rawgeti(L, -1, job->id);
    lua_remove(L, -2);
    int keyed = lua_gettop(L);
    bool first = !lua_istable(L, keyed);
    push_part(L, keyed, KEYED_IDS);
    push_part(L, keyed, KEYED_PLACES);
    push_part(L, keyed, KEYED_LIST);
    lua_remove(L, keyed);
    lua_Integer count = lua_istable(L, AT_ARRAY) ? ls__array_length(L, AT_ARRAY) : 0,
                before = (lua_Integer)lua_rawlen(L, AT_BEFORE);
    lua_createtable(L, count < 1000000 ? (int)count : 0, 0);
    lua_newtable(L);
    ls__at_push(rs, L, LS_AT_OBJECTS);
    lua_pushnil(L);
    job->changed = first || count != before;
    for (lua_Integer i = 1; i <= count; i++) {
        ls__look(L, i);
        if (ls__is_primitive(lua_rawgeti(L, AT_ARRAY, i))) {
            lua_pushboolean(L, 0);
            lua_rawseti(L, AT_NOW, i);
        } else {
            name_element(job, L, i);
        }
        lua_settop(L, AT_TOP);
        lua_rawgeti(L, AT_BEFORE, i);
        lua_rawgeti(L, AT_NOW, i);
        job->changed |= !lua_rawequal(L, -1, -2);
        lua_settop(L, AT_TOP);
    }
    if (job->changed && count_of(L, AT_IDS) > 2 * count + FORGET_ABOVE) forget_keys(L, count);
    keep_keyed(job, L);
    rs->members_slot = rs->members_slot == job->value->slot ? 0 : rs->members_slot;
    if (!lua_isnil(L, AT_PROBLEM)) ls_fault_set(job->fault, LS_FAULT_KEY, "%s", lua_tostring(L, AT_PROBLEM));
    return 0;
}

int ls__op_rekey(void *ctx, int64_t id, const struct ls_value *value, const char *key, struct ls_fault *fault)
{
    struct ls_resolver_state *rs = ctx;
    struct rekeying job = {rs, id, value, key, fault, false};
    return ls__resolver_job(rs, l_rekey, &job, fault) ? -1 : job.changed;
}

bool ls__keyed_push(struct ls_resolver_state *rs, lua_State *L, ls_slot slot)
{
    if (!rs->named_count) return false;
    ls__at_push(rs, L, LS_REF_NAMED);
    if (lua_rawgeti(L, -1, slot) == LUA_TTABLE) {
        lua_remove(L, -2);
        return true;
    }
    lua_pop(L, 2);
    return false;
}

void ls__keyed_drop(struct ls_resolver_state *rs, lua_State *L, ls_slot slot)
{
    if (!rs->named_count || !slot) return;
    ls__at_push(rs, L, LS_REF_NAMED);
    if (lua_rawgeti(L, -1, slot) == LUA_TTABLE) {
        lua_pushboolean(L, 0);
        lua_rawseti(L, -3, slot);
        rs->named_count--;
        rs->members_slot = rs->members_slot == slot ? 0 : rs->members_slot;
    }
    lua_pop(L, 2);
}
