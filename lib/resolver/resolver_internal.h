/* What the files of the resolver share. Owner thread: the session's.
 *
 * The window. Detection asks the same few tables over and over, so they are pushed once and stay at fixed places above
 * `base` while a pass (or one operation outside of a pass) runs. The places are those of the C function that runs now;
 * while Lua code runs, C functions called from it have places of their own, so the window counts as closed meanwhile
 * and whatever comes back in opens one for itself.
 *
 * What runs inside the window and outside of a protected call uses only functions of the API that neither allocate nor
 * call metamethods: rawget, rawgeti, rawequal, next, type tests, and rawseti into places that hold something already.
 * Everything else runs under ls__resolver_call. */
#ifndef LS_RESOLVER_RESOLVER_INTERNAL_H
#define LS_RESOLVER_RESOLVER_INTERNAL_H

#include "model/model_internal.h"
#include "resolver/slots.h"
#include "tracker/path.h"
#include "tracker/tracker.h"

/* What the resolver keeps by references (ls_resolver_state.refs). The first of them, LS_AT_…, also have their places in
 * the window, counted from base; LS_REF_… are asked for rarely. */
enum ls__place {
    LS_AT_VALUES = 1, /* slot → value seen last; a free slot holds the number of the next free one */
    LS_AT_KEYS,       /* key number → field name */
    LS_AT_TYPES,      /* slot → type string, which anchors ls_value.type; false = none, true = the slot is free */
    LS_AT_SNAPS,      /* slot → copy of the array seen last; false = none */
    LS_AT_IDS,        /* object → id, weak keys (T39) */
    LS_AT_OBJECTS,    /* id → object, weak values */
    LS_AT_NAMES,      /* field name → key number */
    LS_AT_TYPE_NAME,  /* "type" */
    LS_AT_INDEX_NAME, /* "__index" */
    LS_AT_CALL_NAME,  /* "__call" */
    LS_AT_HANDLER,    /* the traceback handler */
    LS_WINDOW_REFS = LS_AT_HANDLER,
    LS_AT_CACHE, /* what the first step of a path has just led to, see ls_resolver_state.cache_from */
    LS_AT_TEXT,  /* the two long strings compared last, see ls_resolver_state.texts_equal */
    LS_AT_OTHER_TEXT,
    LS_WINDOW_SIZE = LS_AT_OTHER_TEXT,
    LS_REF_LIST_META,  /* metatable of list wrappers */
    LS_REF_ITEM_META,  /* metatable of list items */
    LS_REF_ARRAY_META, /* marks the array of a list's items */
    LS_REF_MEMBERS,    /* element → its first place in the list of members_slot; weak keys once that is set */
    LS_REF_KEYED,      /* variable → how the elements of its list have ids by key, in keys.c */
    LS_REF_NAMED,      /* slot → ids by place of the elements of such a list; false = it holds none */
    LS_REF_ATTACHED,   /* object → what slots hold as long as it lives; weak keys */
    LS_REF_LOOSE,      /* slot → the way to its value there, of the slots that are loose */
    LS_REF_ENDED,      /* what detection does not call, in ended.c */
    LS_REF_COUNT,
};

/* The list wrapper's objects. */
enum ls__native { LS_NATIVE_NONE, LS_NATIVE_LIST, LS_NATIVE_ITEM, LS_NATIVE_ARRAY, LS_NATIVE_COUNT };

struct ls_resolver_state {
    struct ls_session *session;
    int refs[LS_REF_COUNT];
    const void *metas[LS_NATIVE_COUNT]; /* lua_topointer of their metatables, which the references keep */
    lua_State *L;                       /* thread of the open window */
    bool open;                          /* a window is open */
    int base;                           /* stack top below it */
    uint8_t did;      /* of the check that goes on: LS_CHECK_RAN = a protected call was made, LS_CHECK_LONG */
    bool texts_equal; /* are the strings at LS_AT_TEXT and LS_AT_OTHER_TEXT? */
    /* Many paths begin alike (`ships.0.name`, `ships.1.name`). While no Lua code runs and no slot changes, the table
     * that the first field leads to stays the same, so it is kept in LS_AT_CACHE. cache_from 0 = nothing is. */
    ls_slot cache_from;
    ls_op cache_op;
    uint32_t slot_count;  /* slots ever made */
    uint32_t free_slot;   /* head of the chain of free slots, 0 = none */
    uint32_t registered;  /* objects that got an id since the tables of ids were made */
    ls_slot members_slot; /* 0 = none: forgotten when what the slot holds changes */
    uint32_t named_count; /* in LS_REF_NAMED */
    uint32_t loose_count; /* in LS_REF_LOOSE */
    uint64_t collected;   /* the epoch at the last collection that a row asked for */
    uint32_t *key_uses;   /* key number - 1 → steps that use it; of a free key: the next free one */
    uint32_t key_count, key_cap, free_key;
    /* what detection does not call again (ended.c); owned */
    struct ls__ended *ended;
    uint32_t ended_count, ended_cap, ended_last;
    bool over;  /* the call that has failed just now has used up its time */
    bool asked; /* a path is followed because somebody writes through it: that is no detection */
};

#define LS_AT(rs, place) ((rs)->base + (place))
enum { LS_WINDOW_STEPS = 16 };

/* --- window.c --- */

/** Open a window where none is open. @return 1 (close it), -1 and fault: no stack space. [-0, +window, -] */
int ls__window_make(struct ls_resolver_state *rs, struct ls_fault *fault);
/** Open a window unless one is open. @return 1 opened (close it), 0 there is one, -1 and fault. [-0, +window, -] */
static inline int ls__window_open(struct ls_resolver_state *rs, struct ls_fault *fault)
{
    return rs->open ? 0 : ls__window_make(rs, fault);
}
/** Space for a path of so many steps in the window that is open or is about to be. @return false and fault. [-0, +0, -]
 */
bool ls__window_room(struct ls_resolver_state *rs, uint32_t steps, struct ls_fault *fault);
/** ls__window_open, to follow a path (NULL: none) there; a window has space for LS_WINDOW_STEPS. [-0, +window, -] */
static inline int ls__window_open_for(struct ls_resolver_state *rs, const struct ls_path *path, struct ls_fault *fault)
{
    if (path && path->count > LS_WINDOW_STEPS && !ls__window_room(rs, path->count, fault)) return -1;
    return ls__window_open(rs, fault);
}
/** Cut the stack back to the window, and take the window off if `opened` is 1. */
void ls__window_done(struct ls_resolver_state *rs, int opened);
/** After a call that has failed: what comes next in the same pass is not ended with it. */
void ls__resolver_relieve(struct ls_session *session);
/** Call the function below its arguments under protection, as code that may come back into the resolver.
 * @return 0 and results; -1 and fault (kind, text without traceback; the traceback goes to the log): all popped
 * [-(nargs+1), +(nresults|0), -] */
int ls__resolver_call(struct ls_resolver_state *rs, int nargs, int nresults, enum ls_fault_kind kind,
                      struct ls_fault *fault);
/** The same for functions of this room that change nothing that a path could lead to: what has been read stays read.
 * [-(nargs+1), +(nresults|0), -] */
int ls__resolver_run(struct ls_resolver_state *rs, int nargs, int nresults, enum ls_fault_kind kind,
                     struct ls_fault *fault);
/** The window is open again, at `base` of `L`, after a call of code that may have come back into the resolver.
 * [-0, +0, -] */
static inline void ls__window_back(struct ls_resolver_state *rs, lua_State *L, int base)
{
    rs->L = L;
    rs->base = base;
    rs->open = true;
    rs->cache_from = 0;
}
/** ls__resolver_run of a function of one argument, a light userdata, in a window that is opened for it if need be.
 * @return 0, -1 and fault. [-0, +0, -] */
int ls__resolver_job(struct ls_resolver_state *rs, lua_CFunction fn, void *job, struct ls_fault *fault);
/** Push what a reference keeps, also where no window is at hand: inside protected functions. [-0, +1, -] */
static inline void ls__at_push(struct ls_resolver_state *rs, lua_State *L, enum ls__place place)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, rs->refs[place]);
}
/** Put what a failed call into another file of this room said into a fault; reports it to the log under `where`. */
int ls__fault_from(struct ls_resolver_state *rs, enum ls_fault_kind kind, const char *where, const struct ls_err *err,
                   struct ls_fault *fault);

/* --- ended.c --- */

/** Has detection had to end what `value`, of that method or field (NULL = itself), is? For where ended_count is not 0.
 * @return what the others take, 0 = no. [-0, +0, -] */
uint32_t ls__ended_find(struct ls_resolver_state *rs, int value, const char *name);
/** What its variables show. @return -1 and fault */
int ls__ended_fault(struct ls_resolver_state *rs, uint32_t id, struct ls_fault *fault);
/** An action has called it, and it has come back: it is called again. [-0, +0, -] */
void ls__ended_returned(struct ls_resolver_state *rs, uint32_t id);
/** Its call has just failed because of rs->over: it is not called again, which is added to the fault. [-0, +0, -] */
void ls__ended_note(struct ls_resolver_state *rs, int value, const char *name, struct ls_fault *fault);
/** Frees what is remembered. */
void ls__ended_free(struct ls_resolver_state *rs);

/* --- slots.c --- */

/** A fresh slot holding `false` everywhere. [-0, +0, m] */
LS_RAISES ls_slot ls__slot_reserve(struct ls_resolver_state *rs, lua_State *L);

/** Pop the value on top into a new slot, *slot. @return 0, -1 and fault. Needs a window. [-1, +0, -] */
int ls__slot_keep(struct ls_resolver_state *rs, ls_slot *slot, struct ls_fault *fault);

/* --- raw.c --- */

/** Raw look-up along `__index` tables: table at `at`, name at `key` (absolute). @return false, nothing pushed: a
 * function or another value decides, so protected indexing is needed. [-0, +(1|0), -] */
bool ls__raw_index(lua_State *L, int index_name, int at, int key);
/** Ordinary indexing of the value at 1 with that at 2, for protected calls. [-2, +1, e] */
LS_RAISES int ls__l_index(lua_State *L);

/* --- resolver_read.c --- */

/** Follow steps `first` to `count` - 1 from the value on top, of type *type, which each step leaves below its result;
 * *type becomes the type of the last.
 * @return 0, 1 + the step before which a null stood (nil is on top), -1 and fault. [-0, +n, -] */
int ls__walk(struct ls_resolver_state *rs, const struct ls_path *path, uint32_t first, uint32_t count, int *type,
             struct ls_fault *fault);
/** Push the function that step `step` names on the value on top (T62). @return 0 or -1 and fault. [-0, +(1|0), -] */
int ls__find_method(struct ls_resolver_state *rs, const struct ls_step *step, struct ls_fault *fault);
/** Fault NIL_PATH whose text shows the path split at the null (T99). */
int ls__nil_fault(const struct ls_path *path, uint32_t step, const char *deed, struct ls_fault *fault);

/** `check` of struct ls_resolver_ops. */
int ls__op_check(void *ctx, ls_slot from, const struct ls_path *path, struct ls_value *value, struct ls_fault *fault);
/** `check_in` of struct ls_resolver_ops. */
int ls__op_check_in(void *ctx, ls_slot from, const struct ls_path *path, struct ls_value *value, int64_t *object,
                    struct ls_fault *fault);
/** `place` of struct ls_resolver_ops. */
int ls__op_place(void *ctx, ls_slot from, const struct ls_path *path, int64_t *object, struct ls_fault *fault);
/** `store` of struct ls_resolver_ops. */
int ls__op_store(void *ctx, ls_slot from, const struct ls_path *path, int64_t into, int access, ls_slot value,
                 struct ls_fault *fault);

/* --- members.c --- */

/** `element` of struct ls_resolver_ops. */
int ls__op_element(void *ctx, ls_slot list, int64_t object);
/** `loosen` of struct ls_resolver_ops. */
void ls__op_loosen(void *ctx, int64_t object, ls_slot slot);
/** `alive` of struct ls_resolver_ops. */
bool ls__op_alive(void *ctx, int64_t object, bool collect);
/** Cold half of ls__slot_look: `false` is on top, which a loose slot holds in its value's stead. Its value becomes the
 * slot's own again and takes the place of what is on top; nil does, where it has died. @return the type. [-1, +1, -] */
int ls__slot_tighten(struct ls_resolver_state *rs, lua_State *L, ls_slot slot);
/** The slot gets another value, or none. [-0, +0, -] */
void ls__slot_renew(struct ls_resolver_state *rs, lua_State *L, ls_slot slot);
/** The value of slot (not 0) has just been pushed from the table of values: if the slot is loose, look further. @return
 * its type. [-1, +1, -] */
static inline int ls__slot_look(struct ls_resolver_state *rs, lua_State *L, ls_slot slot, int type)
{
    return type == LUA_TBOOLEAN && rs->loose_count ? ls__slot_tighten(rs, L, slot) : type;
}
/** Push the value that a slot names; slot 0 is nil. Needs a window. @return its type. [-0, +1, -] */
static inline int ls__value_push(struct ls_resolver_state *rs, ls_slot slot)
{
    if (slot) return ls__slot_look(rs, rs->L, slot, lua_rawgeti(rs->L, LS_AT(rs, LS_AT_VALUES), slot));
    lua_pushnil(rs->L);
    return LUA_TNIL;
}

/* --- keys.c --- */

/** `rekey` of struct ls_resolver_ops. */
int ls__op_rekey(void *ctx, int64_t id, const struct ls_value *value, const char *key, struct ls_fault *fault);
/** Push what the field at `name` of the element at `element` holds, if it can be a key: a string, a boolean, a number.
 * Anything else, also where code of the site fails on the way, is nil. [-0, +1, m] */
LS_RAISES void ls__key_push(struct ls_resolver_state *rs, lua_State *L, int element, int name);
/** Push what is wrong with the key at `key` of element `place` (1-based): it came before, or is nil since it is no
 * data. [-0, +1, m] */
LS_RAISES void ls__key_problem(lua_State *L, lua_Integer place, int key, int name);
/** Push the ids by place of a slot's list, if its elements have ids by key. [-0, +(1|0), -] */
bool ls__keyed_push(struct ls_resolver_state *rs, lua_State *L, ls_slot slot);
/** The slot is given up. [-0, +0, -] */
void ls__keyed_drop(struct ls_resolver_state *rs, lua_State *L, ls_slot slot);

/* --- objects.c --- */

/** Has a value of that type no id (T39a)? */
static inline bool ls__is_primitive(int type)
{
    return type == LUA_TNIL || type == LUA_TBOOLEAN || type == LUA_TNUMBER || type == LUA_TSTRING;
}

/** Let *value hold the value on top of the stack, which is popped: shape, type, id, snapshot. `row`: the id under which
 * a list shows it, 0 = its own.
 * @return check bits, -1 and fault [-1, +0, -] */
int ls__commit(struct ls_resolver_state *rs, int64_t row, struct ls_value *value, struct ls_fault *fault);
/** The value on top is the very table seen last: has it changed inside? Leaves rubbish. @return as ls__commit.
 * [-0, +n, -] */
int ls__recheck(struct ls_resolver_state *rs, struct ls_value *value, struct ls_fault *fault);
/** The fault of a value that is or holds NaN or an infinity (T31). @return LS_CHECK_FAULT */
int ls__not_finite(struct ls_fault *fault);

/* --- value.c --- */

/** `json` of struct ls_resolver_ops. */
int ls__op_json(void *ctx, const struct ls_value *value, struct ls_buf *out);
/** `decode` of struct ls_resolver_ops. */
int ls__op_decode(void *ctx, const char *json, size_t len, ls_slot *slot, struct ls_fault *fault);

/* --- wrapper.c --- */

/** `wrap` of struct ls_resolver_ops. */
int ls__op_wrap(void *ctx, const struct ls_wrap *want, struct ls_value *wrapper, struct ls_fault *fault);
/** `unwrap` of struct ls_resolver_ops. */
void ls__op_unwrap(void *ctx, int64_t id, struct ls_value *wrapper);
/** `make` of struct ls_resolver_ops. */
int ls__op_make(void *ctx, const char *type, ls_slot *made, struct ls_fault *fault);

/* --- viewlist.c, viewlist_sync.c --- */

#define LS_LIST_TYPE "lua.ViewList"
#define LS_ITEM_TYPE "lua.ViewListItem"

/** What native object the value at `at` is; none where `rs` is NULL, since finalizers may run when the resolver has
 * gone. [-0, +0, -] */
enum ls__native ls__native_kind(const struct ls_resolver_state *rs, lua_State *L, int at);
/** Push a field of the native object on top (T50); `key` is the step's name. @return false: no such field.
 * [-0, +(1|0), -] */
bool ls__native_field(lua_State *L, enum ls__native kind, const char *name);
/** Push element `index` (0-based) of a list's items. @return false outside. [-0, +(1|0), -] */
bool ls__native_element(lua_State *L, enum ls__native kind, uint32_t index);
/** Push a method of the native object on top (T79b). [-0, +(1|0), -] */
bool ls__native_method(lua_State *L, enum ls__native kind, const char *name);
/** Make the metatables; called once, protected. [-0, +0, m] */
LS_RAISES void ls__native_open(struct ls_resolver_state *rs, lua_State *L);
/** A new list for a variable, pushed; `item_type` NULL = none. [-0, +1, m] */
LS_RAISES void ls__list_new(struct ls_resolver_state *rs, lua_State *L, const char *item_type);
/** Bring the list at index 1 in line with the source at index 2, of which index 3 says whether it is an array (T78),
 * index 4 whether items follow their elements (R3), index 5 by which of their fields, as light userdata (R4): no Lua
 * code of the site runs but item constructors, each protected. Pushes true if anything moved, and the text of the first
 * constructor's failure or nil. [-0, +2, m] */
LS_RAISES int ls__list_sync(lua_State *L);
/** The variable of the list at `at` lets go of it: if it is keyed, so does the list of its elements. [-0, +0, -] */
void ls__list_release(lua_State *L, int at);
/** After ls__list_sync has failed for the list at `at`: it may be tried again. [-0, +0, -] */
void ls__list_unlock(lua_State *L, int at);
/** Does `type` equal the itemWrapper of the list of the item at `at` (T67a)? [-0, +0, -] */
bool ls__item_has_wrapper(lua_State *L, int at, const char *type);

#endif
