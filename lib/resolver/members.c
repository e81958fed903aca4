/* Elements of lists as the tracker's rows ask for them (page.md R2): is an object one, and does it live?
 *
 * A row that has left its list must not keep its object alive, nor may what its subtree remembers, which mostly leads
 * back to the object. So the values of these slots move into a table that is attached to the object itself, as its
 * value in a table with weak keys: they live as long as the object does for other reasons. The slot holds `false`
 * meanwhile and is called loose; whoever looks at it gets the value back into the slot, or nil when the object has
 * died. What belongs to an item of a list is attached to its element: nothing but the list and its rows knows the item.
 * Owner thread: the session's. Rules: R1. */
#include "resolver/viewlist.h"

/* --- elements --- */

/* Push what holds the elements of the list in a slot: the copy of an array seen last, or the items of a list wrapper.
 * Anything else has none. [-0, +(1|0), m] */
static LS_RAISES bool push_list(struct ls_resolver_state *rs, lua_State *L, ls_slot slot)
{
    ls__slot_push(rs->session, L, slot);
    if (lua_type(L, -1) == LUA_TUSERDATA) {
        return ls__native_kind(rs, L, -1) == LS_NATIVE_LIST && lua_getiuservalue(L, -1, LS_LIST_ITEMS) == LUA_TTABLE;
    }
    ls__at_push(rs, L, LS_AT_SNAPS);
    return lua_rawgeti(L, -1, slot) == LUA_TTABLE;
}

/* Each object of a list, or each id where these go by key, with its first place. [-2, +0, e] state, slot */
static LS_RAISES int l_find_members(lua_State *L)
{
    struct ls_resolver_state *rs = lua_touserdata(L, 1);
    ls_slot slot = (ls_slot)lua_tointeger(L, 2);
    bool named = ls__keyed_push(rs, L, slot), list = named || push_list(rs, L, slot);
    int at = lua_gettop(L);
    lua_Integer count = list ? ls__array_length(L, at) : 0;
    lua_createtable(L, 0, count < 1000000 ? (int)count : 0);
    ls__at_push(rs, L, LS_AT_IDS);
    lua_getmetatable(L, -1); /* its keys are weak as well */
    lua_setmetatable(L, at + 1);
    for (lua_Integer i = count; i >= 1; i--) {
        ls__look(L, i);
        lua_settop(L, at + 1);
        int type = lua_rawgeti(L, at, i);
        if (named ? type != LUA_TNUMBER : ls__is_primitive(type)) continue;
        lua_pushinteger(L, i);
        lua_rawset(L, at + 1);
    }
    lua_settop(L, at + 1);
    lua_rawseti(L, LUA_REGISTRYINDEX, rs->refs[LS_REF_MEMBERS]);
    rs->members_slot = slot;
    return 0;
}

int ls__op_element(void *ctx, ls_slot list, int64_t object)
{
    struct ls_resolver_state *rs = ctx;
    struct ls_fault fault;
    int opened = list ? ls__window_open(rs, &fault) : 0, element = 0;
    if (opened < 0) return -1;
    if (!list) return 0;
    lua_State *L = rs->L;
    if (rs->members_slot != list) {
        lua_pushcfunction(L, l_find_members);
        lua_pushlightuserdata(L, rs);
        lua_pushinteger(L, list);
        element = ls__resolver_run(rs, 2, 0, LS_FAULT_INTERNAL, &fault);
    }
    if (element == 0 && lua_rawgeti(L, LS_AT(rs, LS_AT_OBJECTS), object) != LUA_TNIL) {
        if (ls__keyed_push(rs, L, list)) lua_pushinteger(L, object);
        ls__at_push(rs, L, LS_REF_MEMBERS);
        lua_insert(L, -2);
        element = lua_rawget(L, -2) != LUA_TNIL;
    }
    ls__window_done(rs, opened);
    return element;
}

/* --- loose slots --- */

/* The table attached to the object at `object` or, for an item, to its element; with the object itself in it.
 * [-0, +1, m] */
static LS_RAISES void push_attached(struct ls_resolver_state *rs, lua_State *L, int object)
{
    lua_pushvalue(L, object);
    if (ls__native_kind(rs, L, -1) == LS_NATIVE_ITEM) {
        if (ls__is_primitive(lua_getiuservalue(L, -1, LS_ITEM_BASE)))
            lua_pop(L, 1);
        else
            lua_replace(L, -2);
    }
    int key = lua_gettop(L);
    ls__at_push(rs, L, LS_REF_ATTACHED);
    lua_pushvalue(L, key);
    if (lua_rawget(L, -2) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_createtable(L, 1, 0); /* the way to it: a weak one, at 0 */
        ls__at_push(rs, L, LS_AT_OBJECTS);
        lua_getmetatable(L, -1);
        lua_setmetatable(L, -3);
        lua_pop(L, 1);
        lua_pushvalue(L, -2);
        lua_rawseti(L, -2, 1);
        lua_rawseti(L, -2, 0);
        lua_pushvalue(L, key);
        lua_pushvalue(L, -2);
        lua_rawset(L, -4);
    }
    lua_replace(L, key);
    lua_settop(L, key);
    lua_pushvalue(L, object);
    lua_pushboolean(L, 1);
    lua_rawset(L, key);
}

struct loosening {
    struct ls_resolver_state *rs;
    int64_t object;
    ls_slot slot;
};

/* What may fail for want of memory comes first; then the slot is loose at once. [-1, +0, m] */
static LS_RAISES int l_loosen(lua_State *L)
{
    enum { OBJECT = 2, WAYS, VALUES, SNAPS, ATTACHED };
    struct loosening *job = lua_touserdata(L, 1);
    struct ls_resolver_state *rs = job->rs;
    ls__object_push(rs->session, L, job->object);
    ls__at_push(rs, L, LS_REF_LOOSE);
    lua_rawgeti(L, WAYS, job->slot);
    bool loose = lua_toboolean(L, -1);
    lua_pop(L, 1);
    if (loose) return 0;
    ls__at_push(rs, L, LS_AT_VALUES);
    ls__at_push(rs, L, LS_AT_SNAPS);
    if (lua_isnil(L, OBJECT)) { /* dead already: the way leads nowhere */
        lua_newtable(L);
        lua_newtable(L);
    } else {
        push_attached(rs, L, OBJECT);
        lua_rawgeti(L, VALUES, job->slot);
        lua_rawseti(L, ATTACHED, job->slot);
        lua_rawgeti(L, SNAPS, job->slot);
        lua_rawseti(L, ATTACHED, -(lua_Integer)job->slot);
        lua_rawgeti(L, ATTACHED, 0);
    }
    lua_rawseti(L, WAYS, job->slot);
    rs->loose_count++;
    lua_pushboolean(L, 0);
    lua_pushvalue(L, -1);
    lua_rawseti(L, VALUES, job->slot);
    lua_rawseti(L, SNAPS, job->slot);
    return 0;
}

void ls__op_loosen(void *ctx, int64_t object, ls_slot slot)
{
    struct ls_resolver_state *rs = ctx;
    struct loosening job = {rs, object, slot};
    struct ls_fault fault;
    /* without memory the slot goes on holding, and the next detection tries again */
    if (slot) ls__resolver_job(rs, l_loosen, &job, &fault);
}

/* Push the way to a loose slot's value, and what it leads to: the table, or nil. @return is the slot loose? else
 * nothing is pushed. [-0, +(2|0), -] */
static bool push_way(struct ls_resolver_state *rs, lua_State *L, ls_slot slot)
{
    ls__at_push(rs, L, LS_REF_LOOSE);
    if (lua_rawgeti(L, -1, slot) == LUA_TTABLE) {
        lua_remove(L, -2);
        lua_rawgeti(L, -1, 1);
        return true;
    }
    lua_pop(L, 2);
    return false;
}

/* Every place of a slot holds something already, and taking out allocates nothing. The table attached to the object is
 * at `at`. [-0, +0, -] */
static void forget_loose(struct ls_resolver_state *rs, lua_State *L, ls_slot slot, int at)
{
    for (lua_Integer key = slot; lua_istable(L, at); key = -key) {
        lua_pushnil(L);
        lua_rawseti(L, at, key);
        if (key < 0) break;
    }
    ls__at_push(rs, L, LS_REF_LOOSE);
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, slot);
    lua_pop(L, 1);
    rs->loose_count--;
}

int ls__slot_tighten(struct ls_resolver_state *rs, lua_State *L, ls_slot slot)
{
    static const enum ls__place places[] = {LS_AT_SNAPS, LS_AT_VALUES};
    int top = lua_gettop(L), attached = top + 2;
    if (!push_way(rs, L, slot)) return LUA_TBOOLEAN;
    if (lua_isnil(L, attached)) {
        lua_replace(L, top);
        lua_settop(L, top);
        return LUA_TNIL;
    }
    for (int i = 0; i < 2; i++) {
        ls__at_push(rs, L, places[i]);
        lua_rawgeti(L, attached, i == 0 ? -(lua_Integer)slot : (lua_Integer)slot);
        lua_pushvalue(L, -1);
        lua_rawseti(L, -3, slot);
    }
    lua_replace(L, top);
    forget_loose(rs, L, slot, attached);
    lua_settop(L, top);
    return lua_type(L, top);
}

void ls__slot_renew(struct ls_resolver_state *rs, lua_State *L, ls_slot slot)
{
    if (rs->members_slot == slot) rs->members_slot = 0;
    if (!rs->loose_count || !push_way(rs, L, slot)) return;
    forget_loose(rs, L, slot, lua_gettop(L));
    lua_pop(L, 2);
}

/* --- alive? --- */

/* [-0, +0, -] */
static LS_RAISES int l_collect(lua_State *L)
{
    lua_gc(L, LUA_GCCOLLECT);
    return 0;
}

bool ls__op_alive(void *ctx, int64_t object, bool collect)
{
    struct ls_resolver_state *rs = ctx;
    struct ls_fault fault;
    int opened = ls__window_open(rs, &fault);
    if (opened < 0) return false;
    lua_State *L = rs->L;
    if (collect && rs->collected != rs->session->vm.epoch + 1) {
        lua_pushnil(L);
        lua_replace(L, LS_AT(rs, LS_AT_CACHE));
        lua_pushcfunction(L, l_collect);
        ls__resolver_call(rs, 0, 0, LS_FAULT_INTERNAL, &fault); /* finalizers of the site run */
        rs->collected = rs->session->vm.epoch + 1;
    }
    bool alive = lua_rawgeti(L, LS_AT(rs, LS_AT_OBJECTS), object) != LUA_TNIL;
    ls__window_done(rs, opened);
    return alive;
}
