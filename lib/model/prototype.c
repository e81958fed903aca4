/* Prototypes: declaring, re-declaring, removing (LuaSession card: prototype). Rules L72 to L89, L104 to L106.
 *
 * Owner thread: the session's. Refuses to: call mutate (mutation.c), call `session` methods that a site has replaced
 * (L59). */
#include "model/prototype.h"

#include <string.h>

#include "base/log.h"
#include "model/globals.h"
#include "model/module.h"
#include "model/undo.h"
#include "vm/vm_internal.h"

/* --- copies and comparison of table defaults (L78, L83): no metamethod runs --- */

#define MAX_DEPTH  8
#define MAX_FIELDS 10000

struct walk {
    const void *path[MAX_DEPTH]; /* tables being copied, to notice cycles */
    int depth;
    int fields;
};

/* [-0, +0, -] */
static bool has_metatable(lua_State *L, int index)
{
    if (!lua_getmetatable(L, index)) return false;
    lua_pop(L, 1);
    return true;
}

/* [-0, +(1|0), m] @return false, nothing pushed, beyond the limits */
static LS_RAISES bool copy_table(lua_State *L, int index, struct walk *walk)
{
    if (walk->depth == MAX_DEPTH || has_metatable(L, index)) return false;
    const void *self = lua_topointer(L, index);
    for (int i = 0; i < walk->depth; i++)
        if (walk->path[i] == self) return false;
    luaL_checkstack(L, 6, NULL);
    walk->path[walk->depth++] = self;
    lua_newtable(L);
    int copy = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, index);) {
        if (++walk->fields > MAX_FIELDS || (lua_istable(L, -1) && !copy_table(L, copy + 2, walk))) {
            lua_settop(L, copy - 1);
            return false;
        }
        lua_pushvalue(L, copy + 1); /* key, value [, copied value], key: the one below is what the copy gets */
        lua_pushvalue(L, -2);
        lua_rawset(L, copy);
        lua_settop(L, copy + 1);
    }
    walk->depth--;
    return true;
}

LS_RAISES void ls__copy_structure(lua_State *L, int index)
{
    struct walk walk = {.depth = 0};
    if (!copy_table(L, lua_absindex(L, index), &walk)) lua_pushnil(L);
}

/* [-0, +0, -] */
static bool is_nan(lua_State *L, int index)
{
    lua_Number number = lua_tonumber(L, index);
    return lua_type(L, index) == LUA_TNUMBER && number != number;
}

static LS_RAISES bool same_structure(lua_State *L, int left, int right, int depth);

/* [-0, +0, m] */
static LS_RAISES bool same_value(lua_State *L, int left, int right, int depth)
{
    if (lua_rawequal(L, left, right) || (is_nan(L, left) && is_nan(L, right))) return true;
    return lua_istable(L, left) && lua_istable(L, right) && same_structure(L, left, right, depth);
}

/* The left one is a copy made above, so it is finite and without cycles. [-0, +0, e] */
static LS_RAISES bool same_structure(lua_State *L, int left, int right, int depth)
{
    if (depth == MAX_DEPTH || has_metatable(L, right)) return false;
    luaL_checkstack(L, 6, NULL);
    int top = lua_gettop(L);
    lua_Integer count = 0;
    for (lua_pushnil(L); lua_next(L, left); lua_settop(L, top + 1), count++) {
        lua_pushvalue(L, top + 1);
        lua_rawget(L, right);
        if (!same_value(L, top + 2, top + 3, depth + 1)) {
            lua_settop(L, top);
            return false;
        }
    }
    for (lua_pushnil(L); lua_next(L, right); lua_pop(L, 1))
        if (--count < 0) {
            lua_settop(L, top);
            return false;
        }
    return true;
}

LS_RAISES bool ls__declared_equal(lua_State *L, int old_index, int copy_index, int new_index)
{
    if (lua_rawequal(L, old_index, new_index) || (is_nan(L, old_index) && is_nan(L, new_index))) return true;
    if (!copy_index || !lua_istable(L, copy_index) || !lua_istable(L, new_index)) return false;
    return same_structure(L, copy_index, new_index, 0);
}

/* --- declarations --- */

/* Stack of ls__l_session_prototype: arguments, then what is worked out. */
enum { SELF = 1, NAME, INIT, BASE, PROTO, RECORD, COPIES, OLD_RECORD, OLD_COPIES, REMOVED };

/* --- ownership (L48, L50) --- */

/* A file that declares the prototype as well. One that is just being executed again has no list yet: it may have handed
 * it over (H52). */
static const char *other_owner(const struct ls_session *session, const struct ls_proto *proto,
                               const struct ls_module *module)
{
    for (uint32_t i = 0; i < proto->owners.count; i++) {
        const struct ls_module *owner = ls__module_find(session, proto->owners.items[i]);
        if (owner && owner != module && ls_names_has(&owner->prototypes, proto->name)) return owner->key;
    }
    return NULL;
}

/* [-0, +0, v] */
static LS_RAISES void note_owner(struct ls_session *session, lua_State *L, struct ls_proto *proto)
{
    struct ls_module *module = ls__module_current(session);
    if (!module) return;
    if (!ls_names_add(&module->prototypes, proto->name) || !ls_names_add(&proto->owners, module->key))
        ls__lno_memory(L, "declaring prototype '%s'", proto->name);
    const char *other = proto->owners_warned ? NULL : other_owner(session, proto, module);
    if (other) {
        proto->owners_warned = true;
        ls_log_session(0, session->vm.id, "warning: prototype '%s' is declared by both %s and %s", proto->name, other,
                       module->key);
    }
}

/* --- declared fields --- */

/* Does the key at -2 with the value at -1 make a declared field (L77)? [-0, +0, -] */
static bool is_declared(lua_State *L)
{
    if (lua_type(L, -2) != LUA_TSTRING || lua_isfunction(L, -1)) return false;
    const char *key = lua_tostring(L, -2);
    return strcmp(key, "type") != 0 && strcmp(key, "__index") != 0 && strcmp(key, "new") != 0;
}

/* [-0, +0, -] is it EMPTY */
static LS_RAISES bool is_empty_marker(struct ls_session *session, lua_State *L, int index)
{
    LS_LTOP(L);
    index = lua_absindex(L, index);
    ls__ref_push(session, L, session->model->ref_empty);
    bool empty = lua_rawequal(L, -1, index);
    lua_pop(L, 1);
    LS_LTOP_CHECK(L, 0);
    return empty;
}

/* [-0, +0, m] COPIES[key at -2] = structural copy of the value at -1, made a table on first need */
static LS_RAISES void note_copy(lua_State *L)
{
    ls__copy_structure(L, -1);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return;
    }
    if (lua_isnil(L, COPIES)) {
        lua_newtable(L);
        lua_replace(L, COPIES);
    }
    lua_pushvalue(L, -3);
    lua_insert(L, -2);
    lua_rawset(L, COPIES);
}

/* [-0, +0, m] RECORD = declared fields of INIT, COPIES = structural copies of its table defaults */
static LS_RAISES void make_record(struct ls_session *session, lua_State *L)
{
    if (lua_isnil(L, INIT)) return;
    for (lua_pushnil(L); lua_next(L, INIT); lua_pop(L, 1)) {
        if (!is_declared(L)) continue;
        if (lua_istable(L, -1) && !is_empty_marker(session, L, -1)) note_copy(L);
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, RECORD);
    }
}

/* [-0, +0, m] references of the record and copies at their places on the stack */
static LS_RAISES void keep_record(struct ls_session *session, lua_State *L, struct ls_proto *proto)
{
    LS_LTOP(L);
    lua_pushvalue(L, RECORD);
    ls__ref_set(session, L, &proto->record);
    lua_pushvalue(L, COPIES);
    ls__ref_set(session, L, &proto->copies);
    LS_LTOP_CHECK(L, 0);
}

/* --- first declaration (L73 to L77) --- */

/* new(self, inst) where nothing else is found (L75); upvalue: the prototype. [-0, +1, e] */
static LS_RAISES int l_default_new(lua_State *L)
{
    lua_settop(L, 2);
    if (!lua_istable(L, 1)) {
        lua_pushvalue(L, lua_upvalueindex(1));
        lua_replace(L, 1);
    }
    lua_pushcfunction(L, ls__l_session_create);
    lua_pushnil(L);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_call(L, 3, 1);
    return 1;
}

/* [-0, +0, m] fields that are EMPTY are declared but absent (L76) */
static LS_RAISES void take_off_empty(struct ls_session *session, lua_State *L)
{
    LS_LTOP(L);
    for (lua_pushnil(L); lua_next(L, PROTO); lua_pop(L, 1)) {
        if (!is_empty_marker(session, L, -1)) continue;
        lua_pushvalue(L, -2);
        lua_pushnil(L);
        lua_rawset(L, PROTO);
    }
    LS_LTOP_CHECK(L, 0);
}

/* [-0, +0, e] L74, L75 */
static LS_RAISES void set_base(struct ls_session *session, lua_State *L, const char *name)
{
    LS_LTOP(L);
    if (!lua_isnil(L, BASE)) {
        lua_pushvalue(L, BASE);
        ls__set_metatable(L, PROTO);
    } else if (strcmp(name, "Object") != 0) {
        const struct ls_proto *object = ls__proto_find(session, "Object");
        if (object) {
            ls__ref_push(session, L, object->table);
            ls__set_metatable(L, PROTO);
        }
    }
    if (lua_getfield(L, PROTO, "new") == LUA_TNIL) {
        lua_pushliteral(L, "new");
        lua_pushvalue(L, PROTO);
        lua_pushcclosure(L, l_default_new, 1);
        lua_rawset(L, PROTO);
    }
    lua_pop(L, 1);
    LS_LTOP_CHECK(L, 0);
}

/* [-0, +1, e] the name is not known yet (L73 to L79) */
static LS_RAISES int declare_first(struct ls_session *session, lua_State *L, const char *name)
{
    make_record(session, L);
    if (lua_isnil(L, INIT))
        lua_newtable(L);
    else
        lua_pushvalue(L, INIT);
    lua_replace(L, PROTO);
    take_off_empty(session, L);
    lua_pushliteral(L, "type");
    lua_pushvalue(L, NAME);
    lua_rawset(L, PROTO);
    lua_pushliteral(L, "__index");
    lua_pushvalue(L, PROTO);
    lua_rawset(L, PROTO);
    set_base(session, L, name);
    ls__undo_making(session, L, false);
    struct ls_proto *proto = ls__proto_add(session, L, name, 0);
    ls__undo_made(L, proto->id);
    lua_pushvalue(L, PROTO);
    proto->table = ls__ref_take(session, L);
    keep_record(session, L, proto);
    lua_pushvalue(L, NAME);
    ls__proto_set_id(session, L, proto->id);
    lua_pushvalue(L, PROTO);
    ls__proto_set_id(session, L, proto->id);
    note_owner(session, L, proto);
    lua_pushvalue(L, PROTO);
    return 1;
}

/* --- re-declaration (L82 to L88) --- */

/* [-0, +0, m] functions of the new init are assigned always (L86) */
static LS_RAISES void assign_functions(lua_State *L)
{
    LS_LTOP(L);
    for (lua_pushnil(L); lua_next(L, INIT); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || !lua_isfunction(L, -1)) continue;
        const char *key = lua_tostring(L, -2);
        if (strcmp(key, "type") == 0 || strcmp(key, "__index") == 0) continue;
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, PROTO);
    }
    LS_LTOP_CHECK(L, 0);
}

/* The key is at -2, its new declaration at -1: did the declaration stay the same (L83)? Then record and copy keep what
 * they had, so that the living table of a default stays the declared one. [-0, +0, m] */
static LS_RAISES bool keeps_declaration(lua_State *L)
{
    LS_LTOP(L);
    int key = lua_gettop(L) - 1, value = key + 1;
    lua_pushvalue(L, key);
    bool same = lua_rawget(L, OLD_RECORD) != LUA_TNIL;
    int copy = 0;
    if (lua_istable(L, OLD_COPIES)) {
        lua_pushvalue(L, key);
        lua_rawget(L, OLD_COPIES);
        copy = value + 2;
    }
    same = same && ls__declared_equal(L, value + 1, copy, value);
    if (same) {
        lua_pushvalue(L, key);
        lua_pushvalue(L, value + 1);
        lua_rawset(L, RECORD); /* an existing key: allowed while the table is walked */
        if (copy && !lua_isnil(L, copy) && lua_istable(L, COPIES)) {
            lua_pushvalue(L, key);
            lua_pushvalue(L, copy);
            lua_rawset(L, COPIES);
        }
    }
    lua_settop(L, value);
    LS_LTOP_CHECK(L, 0);
    return same;
}

/* [-0, +0, m] L84: assign what is declared anew or differently. @return was there any */
static LS_RAISES bool assign_changed(struct ls_session *session, lua_State *L)
{
    LS_LTOP(L);
    bool changed = false;
    for (lua_pushnil(L); lua_next(L, RECORD); lua_pop(L, 1)) {
        if (keeps_declaration(L)) continue;
        changed = true;
        lua_pushvalue(L, -2);
        if (is_empty_marker(session, L, -2))
            lua_pushnil(L);
        else
            lua_pushvalue(L, -2);
        lua_rawset(L, PROTO);
    }
    LS_LTOP_CHECK(L, 0);
    return changed;
}

/* [-0, +0, m] REMOVED = fields declared before and not now, with their old defaults (L85). @return is there any */
static LS_RAISES bool collect_removed(lua_State *L)
{
    LS_LTOP(L);
    bool any = false;
    for (lua_pushnil(L); lua_next(L, OLD_RECORD); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        bool gone = lua_rawget(L, RECORD) == LUA_TNIL;
        lua_pop(L, 1);
        if (!gone) continue;
        any = true;
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, REMOVED);
    }
    LS_LTOP_CHECK(L, 0);
    return any;
}

/* [-0, +0, m] L87. @return did the base change */
static LS_RAISES bool change_base(lua_State *L)
{
    if (lua_isnil(L, BASE)) return false;
    bool same = lua_getmetatable(L, PROTO) && lua_rawequal(L, -1, BASE);
    lua_settop(L, REMOVED);
    if (same) return false;
    lua_pushvalue(L, BASE);
    ls__set_metatable(L, PROTO);
    return true;
}

/* [-0, +1, e] L81 to L88 */
static LS_RAISES int declare_again(struct ls_session *session, lua_State *L, struct ls_proto *proto)
{
    ls__ref_push(session, L, proto->table);
    lua_replace(L, PROTO);
    if (lua_isnil(L, INIT) && lua_isnil(L, BASE)) {
        lua_pushvalue(L, PROTO);
        return 1; /* a look-up */
    }
    uint32_t id = proto->id;
    ls__undo_proto(session, L, id);
    proto = ls__proto_at(session, id);
    if (!proto) return declare_first(session, L, lua_tostring(L, NAME)); /* a finalizer has removed it */
    note_owner(session, L, proto);
    bool changed = change_base(L);
    if (!lua_isnil(L, INIT) && !lua_rawequal(L, INIT, PROTO)) {
        ls__ref_push(session, L, proto->record);
        lua_replace(L, OLD_RECORD);
        ls__ref_push(session, L, proto->copies);
        lua_replace(L, OLD_COPIES);
        make_record(session, L);
        assign_functions(L);
        bool fields = assign_changed(session, L);
        fields = collect_removed(L) || fields;
        if (fields) keep_record(session, L, proto);
        changed = changed || fields;
    }
    if (changed) {
        lua_pushvalue(L, REMOVED);
        ls__mutation_queue(session, L, id);
    }
    lua_pushvalue(L, PROTO);
    return 1;
}

/* [-0, +0, v] */
static LS_RAISES void check_table_or_nil(lua_State *L, int arg)
{
    if (!lua_isnoneornil(L, arg) && !lua_istable(L, arg)) ls__ltype(L, arg, "prototype", "table or nil");
}

/* [-0, +1, e] session:prototype(name [, init [, base]]) */
LS_RAISES int ls__l_session_prototype(lua_State *L)
{
    struct ls_session *session = ls__open_session_of(L);
    if (lua_type(L, NAME) != LUA_TSTRING) ls__ltype(L, NAME, "prototype", "string");
    const char *name = ls__name_arg(L, NAME);
    if (!name) return ls__larg(L, NAME, "prototype", "name contains a zero byte");
    check_table_or_nil(L, INIT);
    check_table_or_nil(L, BASE);
    lua_settop(L, BASE);
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    lua_pushnil(L);  /* PROTO */
    lua_newtable(L); /* RECORD */
    lua_pushnil(L);  /* COPIES */
    lua_pushnil(L);  /* OLD_RECORD */
    lua_pushnil(L);  /* OLD_COPIES */
    lua_newtable(L); /* REMOVED */
    struct ls_proto *proto = ls__proto_find(session, name);
    return proto ? declare_again(session, L, proto) : declare_first(session, L, name);
}

/* --- removing (L104 to L106) --- */

LS_RAISES void ls__proto_remove(struct ls_session *session, lua_State *L, uint32_t id)
{
    struct ls_proto *proto = ls__proto_at(session, id);
    if (!proto) return;
    ls__undo_proto(session, L, id);
    proto = ls__proto_at(session, id); /* a finalizer may have been first */
    if (!proto) return;
    if (ls__ref_push(session, L, proto->table) == LUA_TNIL)
        lua_pop(L, 1); /* its making was never finished */
    else
        ls__proto_set_id(session, L, 0);
    lua_pushstring(L, proto->name);
    ls__proto_set_id(session, L, 0);
    for (size_t i = 0; i < session->model->module_count; i++)
        ls_names_drop(&session->model->modules[i]->prototypes, proto->name);
    session->model->protos[id - 1] = NULL;
    ls__proto_free(session, proto);
    ls__mutations_sweep(session);
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
