/* The registry of prototypes: an array by id; one Lua table maps names and prototype tables to ids (LuaSession card:
 * prototypeRegistry).
 * Owner thread: the session's. Rules L73, L81. */
#include "model/prototype.h"

#include <string.h>

#include "base/alloc.h"
#include "base/array.h"

struct ls_proto *ls__proto_at(struct ls_session *session, uint32_t id)
{
    return id >= 1 && id <= session->model->proto_count ? session->model->protos[id - 1] : NULL;
}

struct ls_proto *ls__proto_find(struct ls_session *session, const char *name)
{
    for (uint32_t i = 0; i < session->model->proto_count; i++)
        if (session->model->protos[i] && strcmp(session->model->protos[i]->name, name) == 0)
            return session->model->protos[i];
    return NULL;
}

struct ls_proto *ls__proto_of(struct ls_session *session, lua_State *L, int index)
{
    index = lua_absindex(L, index);
    ls__ref_push(session, L, session->model->ref_proto_ids);
    lua_pushvalue(L, index);
    lua_rawget(L, -2);
    lua_Integer id = lua_tointeger(L, -1);
    lua_pop(L, 2);
    return ls__proto_at(session, (uint32_t)id);
}

LS_RAISES void ls__proto_set_id(struct ls_session *session, lua_State *L, uint32_t id)
{
    LS_LTOP(L);
    ls__ref_push(session, L, session->model->ref_proto_ids);
    lua_insert(L, -2);
    if (id)
        lua_pushinteger(L, id);
    else
        lua_pushnil(L);
    lua_rawset(L, -3);
    lua_pop(L, 1);
    LS_LTOP_CHECK(L, -1);
}

void ls__proto_free(struct ls_session *session, struct ls_proto *proto)
{
    if (!proto) return;
    ls__ref_drop(session, &proto->table);
    ls__ref_drop(session, &proto->record);
    ls__ref_drop(session, &proto->copies);
    ls_names_release(&proto->owners);
    ls_names_release(&proto->defaults_warned);
    ls_budget_free(session->vm.budget, proto->name);
    ls_budget_free(session->vm.budget, proto);
}

LS_RAISES struct ls_proto *ls__proto_add(struct ls_session *session, lua_State *L, const char *name, uint32_t id)
{
    struct ls_proto *proto = id || LS_RESERVE_IN(session->vm.budget, 0, session->model->protos,
                                                 session->model->proto_count + 1, session->model->proto_cap)
                                 ? ls_budget_zalloc(session->vm.budget, sizeof *proto)
                                 : NULL;
    char *copy = proto ? ls_budget_strndup(session->vm.budget, name, strlen(name)) : NULL;
    if (!copy) {
        ls_budget_free(session->vm.budget, proto);
        ls__lno_memory(L, "adding a prototype");
        return NULL;
    }
    proto->name = copy;
    proto->id = id ? id : ++session->model->proto_count;
    proto->table = proto->record = proto->copies = LUA_NOREF;
    session->model->protos[proto->id - 1] = proto;
    return proto;
}

bool ls__proto_declares(struct ls_session *session, lua_State *L, const struct ls_proto *proto, const char *name)
{
    ls__ref_push(session, L, proto->record);
    if (!lua_istable(L, -1)) {
        lua_pop(L, 1);
        return false;
    }
    lua_pushstring(L, name);
    bool declared = lua_rawget(L, -2) != LUA_TNIL;
    lua_pop(L, 2);
    return declared;
}

void ls__protos_release(struct ls_session *session)
{
    for (uint32_t i = 0; i < session->model->proto_count; i++)
        ls__proto_free(session, session->model->protos[i]);
    ls_budget_free(session->vm.budget, session->model->protos);
    session->model->protos = NULL;
    session->model->proto_count = session->model->proto_cap = 0;
}
