/* The list wrapper's objects as Lua and paths see them: full userdata, so that they take part in collection and have an
 * identity of their own. What they hold is brought up to date in viewlist_sync.c.
 * Owner thread: the session's. Rules: T49, T50, T58, T76, T79a, T79b, TX14. */
#include "resolver/viewlist.h"

#include <string.h>

enum ls__native ls__native_kind(const struct ls_resolver_state *rs, lua_State *L, int at)
{
    int type = lua_type(L, at);
    if (!rs || (type != LUA_TUSERDATA && type != LUA_TTABLE) || !lua_getmetatable(L, at)) return LS_NATIVE_NONE;
    const void *meta = lua_topointer(L, -1);
    enum ls__native kind = LS_NATIVE_COUNT - 1;
    while (kind != LS_NATIVE_NONE && meta != rs->metas[kind])
        kind--;
    lua_pop(L, 1);
    return kind;
}

const char *ls__native_type(struct ls_session *session, lua_State *L, int index)
{
    enum ls__native kind = ls__native_kind(session->resolver, L, index);
    return kind == LS_NATIVE_LIST ? LS_LIST_TYPE : kind == LS_NATIVE_ITEM ? LS_ITEM_TYPE : NULL;
}

/* --- fields --- */

bool ls__native_field(lua_State *L, enum ls__native kind, const char *name)
{
    int at = lua_gettop(L);
    if (kind == LS_NATIVE_LIST) {
        const struct ls__list *list = lua_touserdata(L, at);
        if (strcmp(name, "items") == 0)
            lua_getiuservalue(L, at, LS_LIST_ITEMS);
        else if (strcmp(name, "selectionIndex") == 0)
            lua_pushinteger(L, list->selection);
        else
            return false;
        return true;
    }
    if (kind != LS_NATIVE_ITEM) return false;
    const struct ls__item *item = lua_touserdata(L, at);
    if (strcmp(name, "item") == 0) {
        lua_getiuservalue(L, at, LS_ITEM_SHOWN);
    } else if (strcmp(name, "index") == 0) {
        lua_pushinteger(L, item->index);
    } else if (strcmp(name, "baseItem") == 0) {
        lua_getiuservalue(L, at, LS_ITEM_BASE);
    } else if (strcmp(name, "list") == 0) {
        lua_getiuservalue(L, at, LS_ITEM_LIST);
    } else if (strcmp(name, "type") == 0) {
        lua_getmetatable(L, at);
        lua_rawgeti(L, -1, LS_META_TYPE);
        lua_remove(L, -2);
    } else {
        return false;
    }
    return true;
}

bool ls__native_element(lua_State *L, enum ls__native kind, uint32_t index)
{
    int at = lua_gettop(L);
    if (kind != LS_NATIVE_LIST) return false;
    const struct ls__list *list = lua_touserdata(L, at);
    if (index >= list->count || lua_getiuservalue(L, at, LS_LIST_ITEMS) != LUA_TTABLE) return false;
    lua_rawgeti(L, -1, (lua_Integer)index + 1);
    lua_remove(L, -2);
    return true;
}

bool ls__native_method(lua_State *L, enum ls__native kind, const char *name)
{
    if (kind != LS_NATIVE_ITEM || strcmp(name, "remove") != 0) return false;
    lua_getmetatable(L, -1);
    lua_rawgeti(L, -1, LS_META_REMOVE);
    lua_remove(L, -2);
    return true;
}

bool ls__item_has_wrapper(lua_State *L, int at, const char *type)
{
    LS_LTOP(L);
    lua_getiuservalue(L, at, LS_ITEM_LIST);
    bool same = false;
    if (lua_type(L, -1) == LUA_TUSERDATA && lua_getiuservalue(L, -1, LS_LIST_TYPE_NAME) == LUA_TSTRING)
        same = strcmp(lua_tostring(L, -1), type) == 0;
    lua_settop(L, at);
    LS_LTOP_CHECK(L, 0);
    return same;
}

/* --- seen from Lua code --- */

/* [-2, +1, m] */
static LS_RAISES int l_native_index(lua_State *L)
{
    enum ls__native kind = ls__native_kind(ls__session_of(L)->resolver, L, 1);
    lua_settop(L, 2);
    if (lua_type(L, 2) == LUA_TSTRING) {
        const char *name = lua_tostring(L, 2);
        lua_pushvalue(L, 1);
        if (ls__native_field(L, kind, name) || ls__native_method(L, kind, name)) return 1;
    } else if (lua_isinteger(L, 2) && lua_tointeger(L, 2) >= 0 && lua_tointeger(L, 2) < UINT32_MAX) {
        lua_pushvalue(L, 1);
        if (ls__native_element(L, kind, (uint32_t)lua_tointeger(L, 2))) return 1;
    }
    lua_pushnil(L);
    return 1;
}

/* [-0, +0, v] */
static LS_RAISES int l_native_newindex(lua_State *L)
{
    return luaL_error(L, "a list and its items have no fields of their own to set");
}

/* Where the element stands in the source now: at its item's index unless Lua code has moved it since. [-0, +0, -] */
static lua_Integer find_element(lua_State *L, int source, int element, lua_Integer guess, lua_Integer count)
{
    for (lua_Integer i = 0; i <= count; i++) {
        lua_Integer at = i == 0 ? guess : i;
        lua_rawgeti(L, source, at);
        bool same = lua_rawequal(L, -1, element);
        lua_pop(L, 1);
        if (same) return at;
    }
    return 0;
}

/* item:remove() takes the element out of the source table (T79b). [-1, +0, e] */
static LS_RAISES int l_item_remove(lua_State *L)
{
    if (ls__native_kind(ls__session_of(L)->resolver, L, 1) != LS_NATIVE_ITEM)
        return ls__ltype(L, 1, "remove", LS_ITEM_TYPE);
    const struct ls__item *item = lua_touserdata(L, 1);
    lua_settop(L, 1);
    lua_getiuservalue(L, 1, LS_ITEM_BASE);
    if (lua_getiuservalue(L, 1, LS_ITEM_LIST) != LUA_TUSERDATA || lua_getiuservalue(L, 3, LS_LIST_SOURCE) != LUA_TTABLE)
        return 0;
    /* [item, element, list, source] */
    lua_Integer count = ls__array_length(L, 4);
    lua_Integer at = find_element(L, 4, 2, (lua_Integer)item->index + 1, count);
    if (at == 0 || at > count) return 0; /* removed already */
    for (; at < count; at++) {
        lua_rawgeti(L, 4, at + 1);
        lua_rawseti(L, 4, at);
    }
    lua_pushnil(L);
    lua_rawseti(L, 4, count);
    return 0;
}

/* --- making --- */

/* The metatable on top is that of all objects of the kind. [-1, +0, m] */
static LS_RAISES void keep_meta(struct ls_resolver_state *rs, lua_State *L, enum ls__native kind)
{
    rs->metas[kind] = lua_topointer(L, -1);
    rs->refs[LS_REF_LIST_META + kind - LS_NATIVE_LIST] = ls__ref_take(rs->session, L);
}

/* [-0, +0, m] */
static LS_RAISES void make_meta(struct ls_resolver_state *rs, lua_State *L, enum ls__native kind, const char *type)
{
    LS_LTOP(L);
    lua_createtable(L, 2, 4);
    lua_pushcfunction(L, l_native_index);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, l_native_newindex);
    lua_setfield(L, -2, "__newindex");
    lua_pushstring(L, type);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__name");
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__metatable");
    lua_rawseti(L, -2, LS_META_TYPE);
    lua_pushcfunction(L, l_item_remove);
    lua_rawseti(L, -2, LS_META_REMOVE);
    keep_meta(rs, L, kind);
    LS_LTOP_CHECK(L, 0);
}

LS_RAISES void ls__native_open(struct ls_resolver_state *rs, lua_State *L)
{
    LS_LTOP(L);
    make_meta(rs, L, LS_NATIVE_LIST, LS_LIST_TYPE);
    make_meta(rs, L, LS_NATIVE_ITEM, LS_ITEM_TYPE);
    lua_newtable(L);
    keep_meta(rs, L, LS_NATIVE_ARRAY);
    LS_LTOP_CHECK(L, 0);
}

LS_RAISES void ls__list_reset(struct ls_resolver_state *rs, lua_State *L, int at)
{
    LS_LTOP(L);
    ((struct ls__list *)lua_touserdata(L, at))->count = 0;
    lua_newtable(L);
    ls__at_push(rs, L, LS_REF_ARRAY_META);
    lua_setmetatable(L, -2);
    lua_setiuservalue(L, at, LS_LIST_ITEMS);
    lua_newtable(L);
    lua_setiuservalue(L, at, LS_LIST_CARDS);
    lua_newtable(L);
    lua_setiuservalue(L, at, LS_LIST_LIS);
    LS_LTOP_CHECK(L, 0);
}

LS_RAISES void ls__list_new(struct ls_resolver_state *rs, lua_State *L, const char *item_type)
{
    LS_LTOP(L);
    struct ls__list *list = lua_newuserdatauv(L, sizeof *list, LS_LIST_VALUES);
    int at = lua_gettop(L);
    *list = (struct ls__list){.selection = -1};
    ls__list_reset(rs, L, at);
    if (item_type) {
        lua_pushstring(L, item_type);
        lua_setiuservalue(L, at, LS_LIST_TYPE_NAME);
    }
    ls__at_push(rs, L, LS_REF_LIST_META);
    lua_setmetatable(L, at);
    LS_LTOP_CHECK(L, 1);
}

/* Rows that have left their list live as long as their elements and know the list; it must not be what keeps the other
 * elements alive. */
void ls__list_release(lua_State *L, int at)
{
    LS_LTOP(L);
    struct ls__list *list = lua_touserdata(L, at);
    for (int value = LS_LIST_ITEMS; list->keyed && value <= LS_LIST_VALUES; value++) {
        lua_pushnil(L);
        lua_setiuservalue(L, at, value);
    }
    list->count = list->keyed ? 0 : list->count;
    LS_LTOP_CHECK(L, 0);
}

LS_RAISES void ls__item_new(struct ls_resolver_state *rs, lua_State *L, int list)
{
    LS_LTOP(L);
    struct ls__item *item = lua_newuserdatauv(L, sizeof *item, LS_ITEM_VALUES);
    *item = (struct ls__item){.index = 0};
    lua_pushvalue(L, list);
    lua_setiuservalue(L, -2, LS_ITEM_LIST);
    ls__at_push(rs, L, LS_REF_ITEM_META);
    lua_setmetatable(L, -2);
    LS_LTOP_CHECK(L, 1);
}
