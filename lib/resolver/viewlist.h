/* Bodies of the list wrapper's objects. Owner thread: the session's. */
#ifndef LS_RESOLVER_VIEWLIST_H
#define LS_RESOLVER_VIEWLIST_H

#include "resolver/resolver_internal.h"

struct ls__list {
    uint32_t count;    /* items */
    int32_t selection; /* -1 = none */
    bool syncing;
    bool keyed; /* items follow their elements, and outlive their place (R3) */
};

/* User values of a list. Cards are what `itemWrapper` made, `lis` the tables they were made with; both by position,
 * 1-based; so are the keys of the elements, in lists that have them (R4): nil where an element has none of its own. */
enum {
    LS_LIST_ITEMS = 1,
    LS_LIST_SOURCE,
    LS_LIST_TYPE_NAME,
    LS_LIST_CARDS,
    LS_LIST_LIS,
    LS_LIST_KEYS,
    LS_LIST_VALUES = LS_LIST_KEYS
};

struct ls__item {
    uint32_t index; /* 0-based */
};

enum { LS_ITEM_SHOWN = 1, LS_ITEM_BASE, LS_ITEM_LIST, LS_ITEM_VALUES = LS_ITEM_LIST };

/* Places in the metatables, so that paths reach them without making strings. */
enum { LS_META_TYPE = 1, LS_META_REMOVE };

/** Take all items and cards off the list at `at`, an absolute index. [-0, +0, m] */
LS_RAISES void ls__list_reset(struct ls_resolver_state *rs, lua_State *L, int at);
/** A new item of the list at `list`, pushed. [-0, +1, m] */
LS_RAISES void ls__item_new(struct ls_resolver_state *rs, lua_State *L, int list);

#endif
