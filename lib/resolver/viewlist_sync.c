/* Bringing a list in line with its source (T78): items stay by position, or follow their elements where the list is
 * keyed (R3); item wrappers ("cards") follow their elements by identity and keep their state. Runs inside a protected
 * call; the constructor of each new card is protected by itself, so one that fails leaves the others.
 * Owner thread: the session's. Rules: T77, T79, T79a, TX21, TX22. */
#include "resolver/viewlist.h"

#include <string.h>

#include "base/clock.h"
#include "model/model_internal.h"

/* The stack while a list is synchronised. */
enum {
    AT_LIST = 1,
    AT_SOURCE,
    AT_ITEMS,
    AT_OLD_CARDS,
    AT_OLD_LIS,
    AT_CARDS, /* by new position */
    AT_LIS,
    AT_FREE,    /* element → lowest old position whose card, or item, waits for it */
    AT_NEXT,    /* old position → next one of an equal element */
    AT_TYPE,    /* item type name or nil */
    AT_PROBLEM, /* text of the first failed constructor, or nil */
    /* keyed: new position → old position of its item; negative: of an item that another element gets; 0: a new one is
     * due */
    AT_FROM,
    AT_ORDER, /* keyed: the items by new position */
    /* of a list whose elements are told apart by a key: by old and by new position, nil = told apart by their place */
    AT_OLD_KEYS,
    AT_KEYS,
    AT_TOP = AT_KEYS,
};

struct sync {
    struct ls_session *session;
    struct ls__list *list;
    uint32_t before, count;
    bool cards;      /* the list has an itemWrapper */
    bool keyed;      /* items follow their elements */
    const char *key; /* these are told apart by this field; NULL = by themselves */
    bool moved;
};

/* NaN and nil cannot be keys, and have no card to follow them. [-0, +0, -] */
static bool can_be_key(lua_State *L, int at)
{
    return !lua_isnil(L, at) && (lua_type(L, at) != LUA_TNUMBER || lua_tonumber(L, at) == lua_tonumber(L, at));
}

/* By what the element at an old, at a new position is told apart. [-0, +1, -] */
static void push_old(const struct sync *sync, lua_State *L, uint32_t position)
{
    if (sync->key) {
        lua_rawgeti(L, AT_OLD_KEYS, position);
        return;
    }
    lua_rawgeti(L, AT_ITEMS, position);
    lua_getiuservalue(L, -1, LS_ITEM_BASE);
    lua_remove(L, -2);
}

/* [-0, +1, -] */
static void push_new(const struct sync *sync, lua_State *L, uint32_t position)
{
    lua_rawgeti(L, sync->key ? AT_KEYS : AT_SOURCE, position);
}

/* [-0, +0, -] does the item at `position` stay there? */
static bool keeps(const struct sync *sync, lua_State *L, uint32_t position)
{
    if (position > sync->before || position > sync->count) return false;
    push_old(sync, L, position);
    push_new(sync, L, position);
    bool same = lua_rawequal(L, -1, -2) && !(sync->key && lua_isnil(L, -1));
    lua_pop(L, 2);
    return same;
}

/* Keys of the new elements. One that is no data, or that came before, tells nothing apart (R4). `of` absolute, a table
 * to fill. [-0, +0, m] */
static LS_RAISES void read_keys(struct sync *sync, lua_State *L)
{
    LS_LTOP(L);
    lua_newtable(L);
    lua_pushstring(L, sync->key);
    int seen = AT_TOP + 1, name = AT_TOP + 2, element = AT_TOP + 3;
    for (uint32_t i = 1; i <= sync->count; i++) {
        ls__look(L, i);
        if (ls__is_primitive(lua_rawgeti(L, AT_SOURCE, i))) {
            lua_settop(L, name);
            continue;
        }
        ls__key_push(sync->session->resolver, L, element, name);
        bool fine = !lua_isnil(L, -1);
        lua_pushvalue(L, -1);
        fine = fine && lua_rawget(L, seen) == LUA_TNIL;
        lua_settop(L, element + 1);
        if (fine) {
            lua_pushvalue(L, -1);
            lua_pushboolean(L, 1);
            lua_rawset(L, seen);
            lua_rawseti(L, AT_KEYS, i);
        } else if (lua_isnil(L, AT_PROBLEM)) {
            ls__key_problem(L, i, element + 1, name);
            ls_fail(&sync->session->vm.raised, LS_ELUA, "%s", lua_tostring(L, -1));
            ls__report(sync->session, "list", &sync->session->vm.raised);
            lua_replace(L, AT_PROBLEM);
        }
        lua_settop(L, name);
    }
    lua_settop(L, AT_TOP);
    LS_LTOP_CHECK(L, 0);
}

/* Cards, or the items where the list is keyed, of the elements that do not stay where they are, lowest position first,
 * so that equal primitives keep their order. [-0, +0, m] */
static LS_RAISES void free_old(struct sync *sync, lua_State *L)
{
    LS_LTOP(L);
    int old = AT_TOP + 1;
    for (uint32_t i = sync->before; i >= 1; i--) {
        ls__look(L, i);
        push_old(sync, L, i);
        bool waits = sync->keyed || lua_rawgeti(L, AT_OLD_CARDS, i) != LUA_TNIL;
        if (waits && !keeps(sync, L, i) && can_be_key(L, old)) {
            lua_pushvalue(L, old);
            lua_rawget(L, AT_FREE);
            lua_rawseti(L, AT_NEXT, i);
            lua_pushvalue(L, old);
            lua_pushinteger(L, i);
            lua_rawset(L, AT_FREE);
        }
        lua_settop(L, AT_TOP);
    }
    LS_LTOP_CHECK(L, 0);
}

/* Old position of the card of the element on top, taken from those that wait; 0 = none. [-0, +0, m] */
static LS_RAISES lua_Integer take_card(lua_State *L)
{
    int element = lua_gettop(L);
    if (!can_be_key(L, element)) return 0;
    lua_pushvalue(L, element);
    lua_rawget(L, AT_FREE);
    lua_Integer at = lua_tointeger(L, -1);
    if (at) {
        lua_pushvalue(L, element);
        lua_rawgeti(L, AT_NEXT, at);
        lua_rawset(L, AT_FREE);
    }
    lua_settop(L, element);
    return at;
}

/* Keep what a card was made with current (T79): `li` is a plain table, and stays the same one. Table at `li`, element
 * at `element`. [-0, +0, m] */
static LS_RAISES void update_li(lua_State *L, int li, int element, uint32_t position)
{
    LS_LTOP(L);
    lua_pushliteral(L, "index");
    lua_pushinteger(L, (lua_Integer)position - 1);
    lua_rawset(L, li);
    lua_pushliteral(L, "item");
    lua_pushvalue(L, element);
    lua_rawset(L, li);
    lua_pushliteral(L, "baseItem");
    lua_pushvalue(L, element);
    lua_rawset(L, li);
    LS_LTOP_CHECK(L, 0);
}

/* Call a constructor with `li` (T79). @return 0 and the card pushed; else err, or fault where it is not called again
 * (R17). [-0, +(1|0), -] */
static int construct(struct sync *sync, lua_State *L, int li, struct ls_fault *fault, struct ls_err *err)
{
    struct ls_session *session = sync->session;
    struct ls_resolver_state *rs = session->resolver;
    bool presenter = false;
    size_t len;
    const char *name = lua_tolstring(L, AT_TYPE, &len);
    if (!ls__find_type(session, name, len, false, &presenter))
        return ls_fail(err, LS_ENOTFOUND, "there is no type '%s' for list items", name);
    int class = lua_gettop(L);
    uint32_t ended = rs->ended_count ? ls__ended_find(rs, class, "new") : 0;
    if (ended) return ls__ended_fault(rs, ended, fault);
    lua_pushcfunction(L, ls__l_index);
    lua_pushvalue(L, class);
    lua_pushliteral(L, "new");
    int rc = ls__lcall(session, 2, 1, err);
    if (rc) return rc;
    if (presenter && lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushvalue(L, li);
        return ls__construct(session, true, true, err);
    }
    if (lua_isnil(L, -1)) return ls_fail(err, LS_ENOTFOUND, "the type '%s' has no function 'new'", name);
    lua_insert(L, class); /* [.., new, class] */
    lua_pushvalue(L, li);
    rc = ls__lcall(session, 2, 1, err);
    if (rc == 0 && lua_isnil(L, -1)) rc = ls_fail(err, LS_ENOTFOUND, "'new' of the type '%s' returned nothing", name);
    return rc;
}

/* A constructor has failed: what a page is told, in `fault` if that is empty. One that has used up its time is not
 * called again; what others before it have used does not count. [-0, +0, -] */
static void note_failed(struct sync *sync, lua_State *L, int64_t begun, const struct ls_err *err,
                        struct ls_fault *fault)
{
    struct ls_session *session = sync->session;
    bool presenter;
    size_t len;
    if (fault->kind) return;
    ls__report(session, "list item", err);
    ls_fault_set(fault, LS_FAULT_WRAPPER, "%.*s", (int)strcspn(ls_err_text(err), "\n"), ls_err_text(err));
    int64_t most = ls_ms(session->vm.config.time_limit_ms);
    if (session->vm.stop != LS_STOP_TIME || ls_now_ns() - begun < most - most / 10) return;
    const char *name = lua_tolstring(L, AT_TYPE, &len);
    if (ls__find_type(session, name, len, false, &presenter)) ls__ended_note(session->resolver, -1, "new", fault);
}

/* A new card for the element at `element`: at AT_CARDS and AT_LIS, unless its constructor fails. [-0, +0, m] */
static LS_RAISES void make_card(struct sync *sync, lua_State *L, int element, uint32_t position)
{
    LS_LTOP(L);
    struct ls_err *err = &sync->session->vm.raised;
    lua_createtable(L, 0, 4);
    int li = lua_gettop(L);
    update_li(L, li, element, position);
    lua_pushvalue(L, AT_LIST);
    lua_setfield(L, li, "list");
    struct ls_fault fault = {.kind = LS_FAULT_NONE};
    int64_t begun = ls_now_ns();
    if (construct(sync, L, li, &fault, err) == 0) {
        lua_rawseti(L, AT_CARDS, position);
        lua_settop(L, li);
        lua_rawseti(L, AT_LIS, position);
    } else {
        note_failed(sync, L, begun, err, &fault);
        if (lua_isnil(L, AT_PROBLEM)) {
            lua_settop(L, element);
            lua_pushstring(L, fault.text);
            lua_replace(L, AT_PROBLEM);
        }
    }
    lua_settop(L, element);
    LS_LTOP_CHECK(L, 0);
}

/* [-0, +0, -] */
static lua_Integer from_at(lua_State *L, uint32_t position)
{
    lua_rawgeti(L, AT_FROM, position);
    lua_Integer from = lua_tointeger(L, -1);
    lua_pop(L, 1);
    return from;
}

/* Strings and numbers in a list have no identity, nor have elements without a key: where one takes the place of
 * another, it takes its item too. `taken` absolute. [-0, +0, m] */
static LS_RAISES void match_by_position(struct sync *sync, lua_State *L, int taken)
{
    LS_LTOP(L);
    for (uint32_t i = 1; i <= sync->count && i <= sync->before; i++) {
        ls__look(L, i);
        if (from_at(L, i)) continue;
        lua_rawgeti(L, taken, i);
        push_new(sync, L, i);
        push_old(sync, L, i);
        int new = lua_type(L, taken + 2), old = lua_type(L, taken + 3);
        bool alike = sync->key ? new == LUA_TNIL &&old == LUA_TNIL : ls__is_primitive(new) && ls__is_primitive(old);
        if (!lua_toboolean(L, taken + 1) && alike) {
            lua_pushinteger(L, -(lua_Integer)i);
            lua_rawseti(L, AT_FROM, i);
        }
        lua_settop(L, taken);
    }
    LS_LTOP_CHECK(L, 0);
}

/* Which item goes where (R3): one look at each old and each new element. Items still show what they showed before.
 * [-0, +0, m] */
static LS_RAISES void match_items(struct sync *sync, lua_State *L)
{
    LS_LTOP(L);
    lua_newtable(L);
    int taken = lua_gettop(L); /* old position → its item goes on */
    for (uint32_t i = 1; i <= sync->count; i++) {
        ls__look(L, i);
        lua_Integer from = i;
        if (!keeps(sync, L, i)) {
            push_new(sync, L, i);
            from = take_card(L);
        }
        if (from) {
            lua_pushboolean(L, 1);
            lua_rawseti(L, taken, from);
        }
        lua_pushinteger(L, from);
        lua_rawseti(L, AT_FROM, i);
        lua_settop(L, taken);
    }
    match_by_position(sync, L, taken);
    lua_pop(L, 1);
    LS_LTOP_CHECK(L, 0);
}

/* Put the items in their new order: first beside the old ones, where memory may be short, then in their stead.
 * [-0, +0, m] */
static LS_RAISES void order_items(struct sync *sync, lua_State *L)
{
    LS_LTOP(L);
    for (uint32_t i = 1; i <= sync->count; i++) {
        ls__look(L, i);
        lua_Integer from = from_at(L, i);
        if (from)
            lua_rawgeti(L, AT_ITEMS, from > 0 ? from : -from);
        else
            ls__item_new(sync->session->resolver, L, AT_LIST);
        lua_rawseti(L, AT_ORDER, i);
    }
    for (uint32_t i = sync->before + 1; i <= sync->count; i++) {
        lua_rawgeti(L, AT_ORDER, i);
        lua_rawseti(L, AT_ITEMS, i);
    }
    LS_LTOP_CHECK(L, 0);
}

/* Find or make the card of the element at `position` of the source. Items still show what they showed before.
 * [-0, +0, m] */
static LS_RAISES void find_card(struct sync *sync, lua_State *L, uint32_t position)
{
    LS_LTOP(L);
    lua_Integer from = position;
    if (sync->keyed || !keeps(sync, L, position)) {
        lua_rawgeti(L, AT_SOURCE, position);
        from = !sync->keyed ? take_card(L) : from_at(L, position) > 0 ? from_at(L, position) : 0;
        if (!from && !lua_isnil(L, -1)) make_card(sync, L, lua_gettop(L), position);
    }
    if (from) {
        lua_rawgeti(L, AT_OLD_CARDS, from);
        lua_rawseti(L, AT_CARDS, position);
        lua_rawgeti(L, AT_OLD_LIS, from);
        lua_rawseti(L, AT_LIS, position);
    }
    lua_settop(L, AT_TOP);
    LS_LTOP_CHECK(L, 0);
}

/* The item at `position` shows its card, or the element. Nothing here allocates. @return was it another element?
 * [-0, +0, -] */
static bool show(struct sync *sync, lua_State *L, uint32_t position)
{
    LS_LTOP(L);
    enum { ITEM = AT_TOP + 1, BEFORE, ELEMENT };
    lua_rawgeti(L, AT_ITEMS, position);
    lua_getiuservalue(L, ITEM, LS_ITEM_BASE);
    lua_rawgeti(L, AT_SOURCE, position);
    bool fresh = sync->keyed ? from_at(L, position) == 0 : position > sync->before;
    bool other = fresh || !lua_rawequal(L, BEFORE, ELEMENT) ||
                 ((struct ls__item *)lua_touserdata(L, ITEM))->index != position - 1;
    if (other) {
        ((struct ls__item *)lua_touserdata(L, ITEM))->index = position - 1;
        if (!sync->cards || lua_rawgeti(L, AT_CARDS, position) == LUA_TNIL) lua_pushvalue(L, ELEMENT);
        lua_setiuservalue(L, ITEM, LS_ITEM_SHOWN);
        lua_pushvalue(L, ELEMENT);
        lua_setiuservalue(L, ITEM, LS_ITEM_BASE);
    }
    lua_settop(L, AT_TOP);
    LS_LTOP_CHECK(L, 0);
    return other;
}

/* What the card at `position` was made with follows it there. Memory is taken only where site code has removed fields
 * of it. [-0, +0, m] */
static LS_RAISES void follow(lua_State *L, uint32_t position)
{
    LS_LTOP(L);
    if (lua_rawgeti(L, AT_LIS, position) == LUA_TTABLE) {
        lua_rawgeti(L, AT_SOURCE, position);
        update_li(L, AT_TOP + 1, AT_TOP + 2, position);
    }
    lua_settop(L, AT_TOP);
    LS_LTOP_CHECK(L, 0);
}

/* [-n, +13, m] the places from AT_SOURCE on */
static LS_RAISES void push_parts(struct sync *sync, lua_State *L)
{
    lua_settop(L, AT_SOURCE);
    lua_getiuservalue(L, AT_LIST, LS_LIST_ITEMS);
    lua_getiuservalue(L, AT_LIST, LS_LIST_CARDS);
    lua_getiuservalue(L, AT_LIST, LS_LIST_LIS);
    int hint = sync->count < 100000 ? (int)sync->count : 0;
    sync->cards = lua_getiuservalue(L, AT_LIST, LS_LIST_TYPE_NAME) != LUA_TNIL;
    lua_pop(L, 1);
    lua_createtable(L, sync->cards ? hint : 0, 0);
    lua_createtable(L, sync->cards ? hint : 0, 0);
    lua_newtable(L);
    lua_newtable(L);
    lua_getiuservalue(L, AT_LIST, LS_LIST_TYPE_NAME);
    lua_pushnil(L);
    lua_createtable(L, sync->keyed ? hint : 0, 0);
    lua_createtable(L, sync->keyed ? hint : 0, 0);
    if (lua_getiuservalue(L, AT_LIST, LS_LIST_KEYS) == LUA_TNIL) lua_newtable(L), lua_replace(L, AT_OLD_KEYS);
    lua_createtable(L, sync->key ? hint : 0, 0);
}

/* Whatever may fail for want of memory or be stopped, and all site code, comes before the first item shows anything
 * else: a list that could not be brought in line is as it was, and the next try starts from there. What follows from
 * there on takes a tenth of it all. [-n, +13, e] */
static LS_RAISES void sync_items(struct sync *sync, lua_State *L)
{
    struct ls__list *list = sync->list;
    push_parts(sync, L);
    if (sync->key) read_keys(sync, L);
    if (sync->keyed || sync->cards) free_old(sync, L);
    if (sync->keyed) match_items(sync, L);
    for (uint32_t i = 1; sync->cards && i <= sync->count; i++) {
        ls__look(L, i);
        find_card(sync, L, i);
    }
    if (sync->keyed) order_items(sync, L);
    for (uint32_t i = sync->before + 1; !sync->keyed && i <= sync->count; i++) {
        ls__look(L, i);
        ls__item_new(sync->session->resolver, L, AT_LIST);
        lua_rawseti(L, AT_ITEMS, i);
    }
    list->count = sync->count;
    lua_pushvalue(L, AT_CARDS);
    lua_setiuservalue(L, AT_LIST, LS_LIST_CARDS);
    lua_pushvalue(L, AT_LIS);
    lua_setiuservalue(L, AT_LIST, LS_LIST_LIS);
    if (sync->key)
        lua_pushvalue(L, AT_KEYS);
    else
        lua_pushnil(L);
    lua_setiuservalue(L, AT_LIST, LS_LIST_KEYS);
    lua_pushvalue(L, AT_SOURCE);
    lua_setiuservalue(L, AT_LIST, LS_LIST_SOURCE);
    for (uint32_t i = 1; sync->keyed && i <= sync->count; i++) {
        lua_rawgeti(L, AT_ORDER, i);
        lua_rawseti(L, AT_ITEMS, i);
    }
    uint32_t first = 0;
    for (uint32_t i = 1; i <= sync->count; i++)
        if (show(sync, L, i) && !first) first = i;
    for (uint32_t i = sync->before; i > sync->count; i--) {
        lua_pushnil(L);
        lua_rawseti(L, AT_ITEMS, i);
    }
    sync->moved = first != 0;
    for (uint32_t i = first; sync->cards && i && i <= sync->count; i++)
        follow(L, i);
}

/* The table of items is one that site code can reach, and write: then all of them are made anew. [-0, +0, m] */
static LS_RAISES void check_items(struct sync *sync, lua_State *L)
{
    LS_LTOP(L);
    bool whole = true;
    int top = lua_gettop(L), items = top + 1, meta = top + 2;
    lua_getiuservalue(L, AT_LIST, LS_LIST_ITEMS);
    ls__at_push(sync->session->resolver, L, LS_REF_ITEM_META);
    for (uint32_t i = 1; i <= sync->before && whole; i++) {
        ls__look(L, i);
        whole = lua_rawgeti(L, items, i) == LUA_TUSERDATA && lua_getmetatable(L, -1) && lua_rawequal(L, -1, meta);
        lua_settop(L, meta);
    }
    lua_settop(L, top);
    if (whole) return;
    ls__list_reset(sync->session->resolver, L, AT_LIST);
    sync->before = 0;
    LS_LTOP_CHECK(L, 0);
}

LS_RAISES int ls__list_sync(lua_State *L)
{
    struct sync sync = {.session = ls__session_of(L),
                        .list = lua_touserdata(L, AT_LIST),
                        .keyed = lua_toboolean(L, 4),
                        .key = lua_touserdata(L, 5)};
    luaL_checkstack(L, 40, NULL);
    /* A constructor that sets properties of the very variable would come back here in the middle. */
    if (sync.list->syncing) {
        lua_pushboolean(L, 0);
        lua_pushnil(L);
        return 2;
    }
    bool array = lua_toboolean(L, 3);
    lua_Integer count = array ? ls__array_length(L, AT_SOURCE) : 0;
    if (count > INT32_MAX) return luaL_error(L, "the list is too long");
    sync.count = (uint32_t)count;
    sync.before = sync.list->count;
    check_items(&sync, L);
    bool empty = !array && lua_istable(L, AT_SOURCE);
    if (empty) {
        ls__type_push(sync.session, L, AT_SOURCE);
        empty = lua_isnil(L, -1);
        lua_pushnil(L);
        empty = empty && !lua_next(L, AT_SOURCE);
    }
    sync.list->syncing = true;
    sync.list->keyed = sync.keyed;
    sync_items(&sync, L);
    sync.list->syncing = false;
    lua_pushboolean(L, sync.moved);
    if (!array && !empty)
        lua_pushliteral(L, "the value of a list must be an array");
    else
        lua_pushvalue(L, AT_PROBLEM);
    return 2;
}

/* Items behind the list's end are those of the try that failed. */
void ls__list_unlock(lua_State *L, int at)
{
    LS_LTOP(L);
    struct ls__list *list = lua_touserdata(L, at);
    list->syncing = false;
    lua_getiuservalue(L, at, LS_LIST_ITEMS);
    for (lua_Unsigned i = lua_rawlen(L, -1); i > list->count; i--) {
        lua_pushnil(L);
        lua_rawseti(L, -2, (lua_Integer)i);
    }
    lua_pop(L, 1);
    LS_LTOP_CHECK(L, 0);
}
