/* Instances (LuaSession card: create, instanceRegistry), and the values of fields that are no longer declared. Rules
 * L90 to L94, L97, R18.
 *
 * One table with weak keys for the whole session: instance → prototype id in the upper bits, number of its first create
 * in the lower ones. So an instance is tracked once, moving it to another prototype is one write, dead ones vanish by
 * themselves, and visiting sorts by one number. Owner thread: the session's. */
#include "model/prototype.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "model/globals.h"
#include "model/module.h"
#include "vm/vm_internal.h"

#define EXECUTIONS_KEPT 20 /* of a file, for what it has set aside */

#define SEQ_MASK (((lua_Integer)1 << LS_INSTANCE_SEQ_BITS) - 1)

/* [-0, +1, e] create(self, proto [, inst]) */
LS_RAISES int ls__l_session_create(lua_State *L)
{
    struct ls_session *session = ls__open_session_of(L);
    if (!lua_istable(L, 2)) ls__ltype(L, 2, "create", "table");
    if (lua_isnoneornil(L, 3)) {
        lua_settop(L, 2);
        lua_newtable(L);
    } else if (!lua_istable(L, 3)) {
        ls__ltype(L, 3, "create", "table or nil");
    }
    lua_settop(L, 3);
    lua_pushvalue(L, 2);
    ls__set_metatable(L, 3);
    const struct ls_proto *proto = ls__proto_of(session, L, 2);
    if (!proto) return 1; /* the metatable is all that an unregistered prototype gives (L92) */
    ls__ref_push(session, L, session->model->ref_instances);
    lua_pushvalue(L, 3);
    lua_Integer old = lua_rawget(L, 4) == LUA_TNUMBER ? lua_tointeger(L, -1) : 0;
    lua_Integer packed = (lua_Integer)proto->id << LS_INSTANCE_SEQ_BITS |
                         (old ? old & SEQ_MASK : (lua_Integer)++session->model->instance_seq);
    if (packed != old) {
        lua_pushvalue(L, 3);
        lua_pushinteger(L, packed);
        lua_rawset(L, 4);
    }
    lua_settop(L, 3);
    return 1;
}

static bool is_wanted(lua_Integer packed, const uint32_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (packed >> LS_INSTANCE_SEQ_BITS == (lua_Integer)ids[i]) return true;
    return false;
}

static int compare_sequence(const void *a, const void *b)
{
    lua_Integer left = *(const lua_Integer *)a, right = *(const lua_Integer *)b;
    return (left > right) - (left < right);
}

LS_RAISES void ls__instances_push(struct ls_session *session, lua_State *L, const uint32_t *ids, size_t count)
{
    LS_LTOP(L);
    luaL_checkstack(L, 8, NULL);
    ls__ref_push(session, L, session->model->ref_instances);
    int all = lua_gettop(L);
    lua_newtable(L); /* sequence → instance, sparse */
    int sparse = all + 1;
    size_t found = 0;
    for (lua_pushnil(L); lua_next(L, all); lua_pop(L, 1)) {
        lua_Integer packed = lua_tointeger(L, -1);
        if (!is_wanted(packed, ids, count)) continue;
        lua_pushvalue(L, -2);
        lua_rawseti(L, sparse, packed & SEQ_MASK);
        found++;
    }
    lua_Integer *order = lua_newuserdatauv(L, found * sizeof *order, 0);
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, sparse); lua_pop(L, 1))
        order[n++] = lua_tointeger(L, -2);
    qsort(order, n, sizeof *order, compare_sequence);
    lua_createtable(L, n < INT32_MAX ? (int)n : 0, 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, sparse, order[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_replace(L, all);
    lua_settop(L, all);
    LS_LTOP_CHECK(L, 1);
}

size_t ls__instances_count(struct ls_session *session, uint32_t id)
{
    lua_State *L = session->vm.L;
    if (!lua_checkstack(L, 4)) return 0;
    size_t count = 0;
    ls__ref_push(session, L, session->model->ref_instances);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        count += is_wanted(lua_tointeger(L, -1), &id, 1);
    lua_pop(L, 1);
    return count;
}

bool ls__instance_declares(struct ls_session *session, lua_State *L, int index, uint32_t id, const char *field)
{
    LS_LTOP(L);
    int top = lua_gettop(L);
    bool found = false;
    lua_pushvalue(L, index);
    for (int hops = 0; hops < 100 && !found && lua_getmetatable(L, top + 1); hops++) {
        lua_replace(L, top + 1);
        const struct ls_proto *proto = ls__proto_of(session, L, top + 1);
        found = proto && (!id || proto->id == id) && ls__proto_declares(session, L, proto, field);
    }
    lua_settop(L, top);
    LS_LTOP_CHECK(L, 0);
    return found;
}

/* --- values set aside --- */

static const struct ls_module *module_of(const struct ls_session *session, uint64_t serial)
{
    for (size_t i = 0; i < session->model->module_count; i++)
        if (session->model->modules[i]->serial == serial) return session->model->modules[i];
    return NULL;
}

static void drop_aside(struct ls_session *session, size_t at)
{
    struct ls_model *model = session->model;
    ls__ref_drop(session, &model->aside[at].values);
    ls_budget_free(session->vm.budget, model->aside[at].field);
    model->aside[at] = model->aside[--model->aside_count];
}

/* Instances come one after the other with the same fields in the same order, so the search goes on where it ended.
 * [-0, +0, m] */
static LS_RAISES struct ls_aside *aside_of(struct ls_session *session, lua_State *L, const struct ls_mutation *mutation,
                                           const char *field)
{
    struct ls_model *model = session->model;
    for (size_t i = 0; i < model->aside_count; i++) {
        size_t at = (model->aside_hint + i) % model->aside_count;
        if (model->aside[at].id != mutation->id || strcmp(model->aside[at].field, field) != 0) continue;
        model->aside_hint = at + 1;
        return &model->aside[at];
    }
    ls__weak_table(L, NULL);
    struct ls_aside aside = {.id = mutation->id, .serial = mutation->serial, .values = ls__ref_take(session, L)};
    const struct ls_module *module = module_of(session, mutation->serial);
    aside.execution = module ? module->execution : 0;
    aside.field = ls_budget_strndup(session->vm.budget, field, strlen(field));
    if (!aside.field || !LS_PUSH(model->aside, model->aside_count, model->aside_cap, aside)) {
        ls__ref_drop(session, &aside.values);
        ls_budget_free(session->vm.budget, aside.field);
        ls__lno_memory(L, "setting the values of '%s' aside", field);
    }
    return &model->aside[model->aside_count - 1];
}

static bool is_data(int type)
{
    return type == LUA_TBOOLEAN || type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TTABLE;
}

LS_RAISES void ls__aside_keep(struct ls_session *session, lua_State *L, const struct ls_mutation *mutation,
                              int instance, const char *field)
{
    LS_LTOP(L);
    int top = lua_gettop(L);
    instance = lua_absindex(L, instance);
    lua_pushstring(L, field);
    if (is_data(lua_rawget(L, instance))) {
        struct ls_aside *aside = aside_of(session, L, mutation, field);
        ls__ref_push(session, L, aside->values);
        aside->fresh++;
        lua_pushvalue(L, instance);
        lua_pushvalue(L, top + 1);
        lua_rawset(L, -3);
    }
    lua_settop(L, top);
    LS_LTOP_CHECK(L, 0);
}

/* [-0, +0, m] @return in how many instances of the table at the top of the stack */
static LS_RAISES unsigned restore_values(struct ls_session *session, lua_State *L, const struct ls_aside *aside)
{
    LS_LTOP(L);
    unsigned count = 0;
    const char *field = aside->field;
    uint32_t id = aside->id;
    int values = lua_gettop(L), instance = values + 1;
    for (lua_pushnil(L); lua_next(L, values); lua_settop(L, instance)) {
        lua_pushstring(L, field);
        if (lua_rawget(L, instance) != LUA_TNIL || !ls__instance_declares(session, L, instance, id, field)) continue;
        lua_pushstring(L, field);
        lua_pushvalue(L, instance + 1);
        lua_rawset(L, instance);
        count++;
    }
    LS_LTOP_CHECK(L, 0);
    return count;
}

LS_RAISES void ls__aside_restore(struct ls_session *session, lua_State *L, const struct ls_mutation *mutation)
{
    LS_LTOP(L);
    struct ls_model *model = session->model;
    luaL_checkstack(L, 12, NULL);
    for (size_t i = model->aside_count; i-- > 0;) {
        const struct ls_aside *aside = &model->aside[i];
        const struct ls_proto *proto = aside->id == mutation->id ? ls__proto_at(session, aside->id) : NULL;
        if (!proto || !ls__proto_declares(session, L, proto, aside->field)) continue;
        ls__ref_push(session, L, aside->values);
        unsigned count = restore_values(session, L, aside);
        lua_pop(L, 1);
        if (count > 0) model->loads->set_aside(session, mutation->serial, aside->field, count, true);
        drop_aside(session, i);
    }
    LS_LTOP_CHECK(L, 0);
}

void ls__aside_tell(struct ls_session *session)
{
    for (size_t i = 0; i < session->model->aside_count; i++) {
        struct ls_aside *aside = &session->model->aside[i];
        if (aside->fresh) session->model->loads->set_aside(session, aside->serial, aside->field, aside->fresh, false);
        aside->fresh = 0;
    }
}

void ls__aside_sweep(struct ls_session *session)
{
    for (size_t i = session->model->aside_count; i-- > 0;) {
        const struct ls_aside *aside = &session->model->aside[i];
        const struct ls_module *module = module_of(session, aside->serial);
        bool old = aside->serial && (!module || module->execution - aside->execution > EXECUTIONS_KEPT);
        if (old || !ls__proto_at(session, aside->id)) drop_aside(session, i);
    }
}

void ls__aside_release(struct ls_session *session)
{
    while (session->model->aside_count)
        drop_aside(session, session->model->aside_count - 1);
    ls_free(session->model->aside);
    session->model->aside = NULL;
    session->model->aside_cap = 0;
}
