/* Prototypes saved, put back and removed (L43, H59, L104 to L106). A record of declared fields is made once and
 * replaced as a whole, so that a snapshot of it is a reference. Owner thread: the session's. */
#include "model/prototype.h"

#include <string.h>

#include "base/alloc.h"
#include "model/globals.h"
#include "model/module.h"
#include "model/snapshot.h"
#include "vm/vm_internal.h"

LS_RAISES void ls__proto_remove(struct ls_session *session, lua_State *L, uint32_t id)
{
    struct ls_proto *proto = ls__proto_at(session, id);
    if (!proto) return;
    ls__ref_push(session, L, proto->table);
    ls__proto_set_id(session, L, 0);
    lua_pushstring(L, proto->name);
    ls__proto_set_id(session, L, 0);
    ls__mutations_drop_proto(session, id);
    for (size_t i = 0; i < session->model->module_count; i++)
        ls_names_drop(&session->model->modules[i]->prototypes, proto->name);
    session->model->protos[id - 1] = NULL;
    ls__proto_free(session, proto);
}

/* [-0, +0, e] session:removePrototype(name [, children]) */
LS_RAISES int ls__l_session_removePrototype(lua_State *L)
{
    struct ls_session *session = ls__open_session_of(L);
    if (lua_type(L, 2) != LUA_TSTRING) ls__ltype(L, 2, "removePrototype", "string");
    size_t len;
    const char *name = lua_tolstring(L, 2, &len);
    bool children = lua_toboolean(L, 3);
    for (uint32_t id = 1; id <= session->model->proto_count; id++) {
        const struct ls_proto *proto = session->model->protos[id - 1];
        if (proto && (strcmp(proto->name, name) == 0 ||
                      (children && strncmp(proto->name, name, len) == 0 && proto->name[len] == '.')))
            ls__proto_remove(session, L, id);
    }
    return 0;
}

/* --- saving and putting back (L43, H59) --- */

enum { SAVED_TABLE = 1, SAVED_SNAPSHOT, SAVED_RECORD, SAVED_COPIES, SAVED_NAME };

LS_RAISES void ls__proto_save(struct ls_session *session, lua_State *L, uint32_t id, bool fields)
{
    luaL_checkstack(L, 8, NULL);
    lua_createtable(L, SAVED_NAME, 0);
    int saved = lua_gettop(L), table = saved + 1;
    /* Only now, and all of it before memory is taken again: a finalizer that runs then may remove the prototype. */
    const struct ls_proto *proto = ls__proto_at(session, id);
    if (!proto) return;
    ls__ref_push(session, L, proto->table);
    ls__ref_push(session, L, proto->record);
    if (ls__ref_push(session, L, proto->copies) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushboolean(L, 0);
    }
    lua_pushstring(L, proto->name);
    lua_rawseti(L, saved, SAVED_NAME);
    lua_rawseti(L, saved, SAVED_COPIES);
    lua_rawseti(L, saved, SAVED_RECORD);
    if (fields) {
        ls__snapshot_new(L);
        ls__snapshot_add(L, -1, table);
        lua_rawseti(L, saved, SAVED_SNAPSHOT);
    }
    lua_rawseti(L, saved, SAVED_TABLE);
}

int ls__proto_saved_record(lua_State *L, int saved)
{
    return lua_rawgeti(L, saved, SAVED_RECORD);
}

LS_RAISES void ls__proto_restore(struct ls_session *session, lua_State *L, uint32_t id)
{
    int saved = lua_gettop(L);
    luaL_checkstack(L, 8, NULL);
    if (lua_rawgeti(L, saved, SAVED_TABLE) != LUA_TTABLE) {
        lua_settop(L, saved - 1);
        return;
    }
    int table = saved + 1;
    if (lua_rawgeti(L, saved, SAVED_SNAPSHOT) == LUA_TTABLE) ls__snapshot_restore(L, -1);
    struct ls_proto *proto = ls__proto_at(session, id);
    if (!proto) {
        lua_rawgeti(L, saved, SAVED_NAME);
        const char *name = lua_tostring(L, -1);
        const struct ls_proto *usurper = ls__proto_find(session, name);
        if (usurper) ls__proto_remove(session, L, usurper->id);
        proto = ls__proto_add(session, L, name, id);
        ls__proto_set_id(session, L, id);
        lua_pushvalue(L, table);
        ls__proto_set_id(session, L, id);
        lua_pushvalue(L, table);
        proto->table = ls__ref_take(session, L);
        for (size_t i = 0; i < session->model->module_count; i++)
            if (ls_names_has(&session->model->modules[i]->prototypes, proto->name))
                ls_names_add(&proto->owners, session->model->modules[i]->key);
    }
    lua_rawgeti(L, saved, SAVED_RECORD);
    ls__proto_set_ref(session, L, &proto->record);
    lua_rawgeti(L, saved, SAVED_COPIES);
    ls__proto_set_ref(session, L, &proto->copies);
    lua_settop(L, saved - 1);
}
