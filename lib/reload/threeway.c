/* The three-way rule (H48, H49, H51 to H53, H56): after a chunk has run, its governed places get their values.
 * Functions follow the file. Data follows the run, unless the file's own value for it was edited. Tables keep their
 * identity.
 *
 * The order matters and is this:
 *   1. see which globals and prototype fields the chunk assigned, by comparison with the snapshot;
 *   2. walk over what it made; the functions found tell the file's top-level variables;
 *   3. pair new tables with the old ones that keep their identity (module table, hand-made classes, tables of
 *   functions), and
 *      replace the new ones by the old in everything made;
 *   4. record what the execution gave (S of the next time);
 *   5. let every place decide; where a table of the run would displace an equal new one, ask who else holds the new
 *   one.
 *
 * Owner thread: the session's. Refuses to judge anything but governed places: contents of other tables belong to the
 * run (H60). */
#include <ctype.h>
#include <string.h>

#include <lauxlib.h>

#include "reload/threeway_work.h"
#include "vm/vm_internal.h"

enum { FRESH_BUDGET = 20000 }; /* entries of new content; beyond it the file's functions are taken as they are */
enum { MAX_UPVALUES = 255 };   /* Lua's own limit */

void ls__threeway_undo(lua_State *L, int undo)
{
    undo = lua_absindex(L, undo);
    for (lua_Integer i = (lua_Integer)lua_rawlen(L, undo) - 2; i >= 1; i -= 3) { /* latest first */
        lua_rawgeti(L, undo, i);
        lua_rawgeti(L, undo, i + 1);
        int upvalue = (int)lua_tointeger(L, -1);
        lua_pop(L, 1);
        lua_rawgeti(L, undo, i + 2);
        if (lua_type(L, -1) == LUA_TTABLE) { /* boxed, so that nil leaves no hole in the array */
            lua_rawgeti(L, -1, 1);
            lua_remove(L, -2);
        }
        if (!lua_setupvalue(L, -2, upvalue)) lua_pop(L, 1);
        lua_pop(L, 1);
    }
}

/* [-0, +0, -] */
bool ls__has_key(lua_State *L, int table, int idx)
{
    lua_pushvalue(L, idx);
    bool found = lua_rawget(L, table) != LUA_TNIL;
    lua_pop(L, 1);
    return found;
}

/* [-0, +0, m] table[value at `idx`] = true */
static void set_key(lua_State *L, int table, int idx)
{
    lua_pushvalue(L, idx);
    lua_pushboolean(L, 1);
    lua_rawset(L, table);
}

/* [-1, +0, m] */
static void append(lua_State *L, int array, lua_Integer *count)
{
    lua_rawseti(L, array, ++*count);
}

/* A table whose `__index` is itself (H48). [-0, +0, m] */
static bool is_class(lua_State *L, int idx)
{
    if (lua_type(L, idx) != LUA_TTABLE) return false;
    lua_pushliteral(L, "__index");
    lua_rawget(L, idx);
    bool self = lua_rawequal(L, -1, idx) != 0;
    lua_pop(L, 1);
    return self;
}

/* A plain name space: at least one function and nothing else (H49). [-0, +0, -] */
static bool is_functions(lua_State *L, int idx)
{
    if (lua_type(L, idx) != LUA_TTABLE) return false;
    if (lua_getmetatable(L, idx)) {
        lua_pop(L, 1);
        return false;
    }
    bool any = false;
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        bool function = lua_type(L, -1) == LUA_TFUNCTION;
        lua_pop(L, 1);
        if (!function) {
            lua_pop(L, 1);
            return false;
        }
        any = true;
    }
    return any;
}

/* --- 1: what the chunk assigned --- */

/* Fields that the server itself keeps on a prototype are no statics (L73, the default constructor of L75), nor are
 * declared ones (L82 to L89). [-0, +0, -] */
static bool is_ungoverned(lua_State *L, int declared, int key, int value)
{
    if (lua_type(L, key) == LUA_TSTRING) {
        const char *name = lua_tostring(L, key);
        if (strcmp(name, "type") == 0 || strcmp(name, "__index") == 0 ||
            (strcmp(name, "new") == 0 && lua_iscfunction(L, value)))
            return true;
    }
    return lua_type(L, declared) == LUA_TTABLE && ls__has_key(L, declared, key);
}

/* [-0, +0, m] */
static void collect_changes(struct ls_work *w, int container, int declared)
{
    lua_State *L = w->L;
    ls__snapshot_fields(L, w->rule->snapshot, container);
    int before = lua_gettop(L);
    bool fresh = lua_isnil(L, before);
    lua_pushnil(L);
    while (lua_next(L, container)) { /* before key value */
        int key = before + 1;
        bool same = false;
        if (!fresh) {
            lua_pushvalue(L, key);
            lua_rawget(L, before);
        } else {
            lua_pushnil(L);
        }
        same = lua_rawequal(L, -1, -2) != 0; /* before key value was */
        if (!same && !(declared && is_ungoverned(L, declared, key, key + 1))) {
            lua_pushvalue(L, container);
            lua_rawseti(L, w->changes, w->change_count * 3 + 1);
            lua_pushvalue(L, key);
            lua_rawseti(L, w->changes, w->change_count * 3 + 2);
            lua_rawseti(L, w->changes, w->change_count * 3 + 3);
            w->change_count++;
            lua_pop(L, 1);
        } else {
            lua_pop(L, 2);
        }
    }
    lua_pop(L, 1);
}

static void collect_all_changes(struct ls_work *w)
{
    lua_State *L = w->L;
    lua_pushglobaltable(L);
    collect_changes(w, lua_gettop(L), 0);
    lua_pop(L, 1);
    lua_pushnil(L);
    while (lua_next(L, w->rule->prototypes)) { /* prototype declared */
        collect_changes(w, lua_absindex(L, -2), lua_gettop(L));
        lua_pop(L, 1);
    }
}

void ls__work_change(struct ls_work *w, lua_Integer index)
{
    lua_State *L = w->L;
    for (int i = 1; i <= 3; i++)
        lua_rawgeti(L, w->changes, index * 3 + i);
    lua_pushvalue(L, -2);
    lua_rawget(L, -4);
}

/* --- 2: what the chunk made --- */

static void walk_fresh(struct ls_work *w)
{
    lua_State *L = w->L;
    struct ls_fresh walk = {.L = L,
                            .source = w->rule->source,
                            .known = w->rule->known,
                            .budget = FRESH_BUDGET,
                            .tables = w->tables,
                            .functions = w->functions};
    ls__address_set(L);
    walk.seen = lua_gettop(L);
    lua_pushvalue(L, w->value);
    ls__fresh_add(&walk);
    for (lua_Integer i = 0; i < w->change_count; i++) {
        ls__work_change(w, i);
        lua_replace(L, -4);
        lua_pop(L, 2);
        ls__fresh_add(&walk);
    }
    lua_Integer roots = (lua_Integer)lua_rawlen(L, w->rule->roots);
    for (lua_Integer i = 1; i <= roots; i++) {
        lua_rawgeti(L, w->rule->roots, i);
        ls__fresh_add(&walk);
    }
    if (lua_type(L, w->rule->app) == LUA_TTABLE) ls__fresh_add_functions(&walk, w->rule->app);
    ls__fresh_add_globals(&walk);
    ls__fresh_run(&walk);
    w->table_count = walk.table_count;
    w->function_count = walk.function_count;
    lua_pop(L, 1);
}

/* Note that upvalue `upvalue` of the function on top is the variable `var`. [-0, +0, m] */
static void note_variable(struct ls_work *w, int var, int upvalue)
{
    lua_State *L = w->L;
    void *id = lua_upvalueid(L, -1, upvalue);
    if (id == w->old[var]) return; /* a function of an earlier version, met in a table that outlives versions */
    if (!w->ids[var])
        w->ids[var] = id;
    else if (w->ids[var] != id)
        w->ids[var] = LS_WORK_MANY; /* made anew by each turn of a loop: nobody's (H56) */
    if (lua_rawgeti(L, w->vars, var + 1) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawseti(L, w->vars, var + 1);
    }
    lua_Integer count = (lua_Integer)lua_rawlen(L, -1);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, count + 1);
    lua_pushinteger(L, upvalue);
    lua_rawseti(L, -2, count + 2);
    lua_pop(L, 1);
}

static void find_old_variables(struct ls_work *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    ls__record_part(L, w->rule->record, LS_RECORD_LOCALS);
    for (int var = 0; var < ls__scope_count(w->rule->scope); var++) {
        if (ls__work_old_local(w, top + 1, ls__scope_name(w->rule->scope, var)))
            w->old[var] = lua_upvalueid(L, top + 2, (int)lua_tointeger(L, top + 3));
        lua_settop(L, top + 1);
    }
    lua_settop(L, top);
}

static void find_variables(struct ls_work *w)
{
    lua_State *L = w->L;
    int vars[MAX_UPVALUES];
    const char *names[MAX_UPVALUES];
    find_old_variables(w);
    for (lua_Integer i = 1; i <= w->function_count; i++) {
        lua_rawgeti(L, w->functions, i);
        lua_Debug ar;
        lua_pushvalue(L, -1);
        lua_getinfo(L, ">Su", &ar);
        for (int j = 0; j < ar.nups; j++) {
            names[j] = lua_getupvalue(L, -1, j + 1); /* lives as long as the function */
            lua_pop(L, 1);
        }
        if (ls__scope_variables(w->rule->scope, ar.linedefined, ar.lastlinedefined, ar.nups, names, vars))
            for (int j = 0; j < ar.nups; j++)
                if (vars[j] >= 0) note_variable(w, vars[j], j + 1);
        lua_pop(L, 1);
    }
}

/* --- 3: tables that keep their identity --- */

/* The new table at `n` has content that goes to the table at `o`, if that is one that may take it; else it stays its
 * own. [-0, +0, m] */
static void offer(struct ls_work *w, int n, int o)
{
    lua_State *L = w->L;
    if (lua_type(L, n) != LUA_TTABLE || ls__has_key(L, w->rule->known, n) || ls__has_key(L, w->owned, n)) return;
    bool suits =
        lua_type(L, o) == LUA_TTABLE && !ls__has_key(L, w->rule->prototypes, o) && !ls__has_key(L, w->taken, o);
    if (suits) set_key(L, w->taken, o);
    lua_pushvalue(L, n);
    lua_pushvalue(L, suits ? o : n);
    lua_rawset(L, w->owned);
    lua_pushvalue(L, n);
    append(L, w->queue, &w->queue_count);
}

/* Classes and name spaces in a table that is taken over are taken over as well (H49). [-0, +0, m] */
static void offer_nested(struct ls_work *w, int n, int o)
{
    lua_State *L = w->L;
    bool paired = !lua_rawequal(L, n, o);
    lua_pushnil(L);
    while (lua_next(L, n)) { /* key value */
        int value = lua_gettop(L);
        bool class = is_class(L, value);
        if (class || is_functions(L, value)) {
            if (paired) {
                lua_pushvalue(L, value - 1);
                lua_rawget(L, o);
            } else {
                lua_pushnil(L);
            }
            if (class && !is_class(L, value + 1)) {
                lua_pushnil(L);
                lua_replace(L, value + 1);
            }
            offer(w, value, value + 1);
        }
        lua_settop(L, value - 1);
    }
}

/* A local that holds a hand-made class keeps its instances as a global one does: one rule for all places (H49).
 * [-0, +0, m] */
static void offer_locals(struct ls_work *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    ls__record_part(L, w->rule->record, LS_RECORD_LOCALS);
    for (int var = 0; var < ls__scope_count(w->rule->scope); var++) {
        if (!w->ids[var] || w->ids[var] == LS_WORK_MANY) continue;
        lua_rawgeti(L, w->vars, var + 1);
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        lua_getupvalue(L, -2, (int)lua_tointeger(L, -1)); /* locals list function index new */
        int new = lua_gettop(L);
        if (is_class(L, new)) {
            ls__work_old_local(w, top + 1, ls__scope_name(w->rule->scope, var)); /* … new function index old */
            offer(w, new, is_class(L, new + 3) ? new + 3 : new + 1);
        }
        lua_settop(L, top + 1);
    }
    lua_settop(L, top);
}

static void offer_all(struct ls_work *w)
{
    lua_State *L = w->L;
    offer(w, w->value, w->rule->old_value);
    for (lua_Integer i = 0; i < w->change_count; i++) {
        ls__work_change(w, i); /* container key before now */
        int now = lua_gettop(L);
        if (is_class(L, now)) {
            if (!is_class(L, now - 1))
                lua_pushnil(L);
            else
                lua_pushvalue(L, now - 1);
            offer(w, now, now + 1);
        }
        lua_settop(L, now - 4);
    }
    if (w->rule->scope) offer_locals(w);
    for (lua_Integer i = 1; i <= w->queue_count; i++) {
        int top = lua_gettop(L);
        lua_rawgeti(L, w->queue, i);
        lua_pushvalue(L, -1);
        lua_rawget(L, w->owned);
        offer_nested(w, top + 1, top + 2);
        lua_settop(L, top);
    }
}

/* Replace the value on top by the table that carries its content, if it is one that another one carries. [-1, +1, -] */
static bool substitute(struct ls_work *w)
{
    lua_State *L = w->L;
    if (lua_type(L, -1) != LUA_TTABLE) return false;
    lua_pushvalue(L, -1);
    if (lua_rawget(L, w->owned) == LUA_TNIL || lua_rawequal(L, -1, -2)) {
        lua_pop(L, 1);
        return false;
    }
    lua_remove(L, -2);
    return true;
}

static void substitute_table(struct ls_work *w, int table)
{
    lua_State *L = w->L;
    if (lua_getmetatable(L, table)) {
        if (substitute(w))
            ls__set_metatable(L, table);
        else
            lua_pop(L, 1);
    }
    lua_pushnil(L);
    while (lua_next(L, table)) { /* key value */
        if (substitute(w)) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, table);
        } else {
            lua_pop(L, 1);
        }
    }
}

/* [-0, +0, m] */
static void substitute_all(struct ls_work *w)
{
    lua_State *L = w->L;
    for (lua_Integer i = 1; i <= w->table_count; i++) {
        lua_rawgeti(L, w->tables, i);
        substitute_table(w, lua_gettop(L));
        lua_pop(L, 1);
    }
    for (lua_Integer i = 1; i <= w->function_count; i++) {
        lua_rawgeti(L, w->functions, i);
        for (int up = 1; lua_getupvalue(L, -1, up); up++)
            if (!substitute(w) || !lua_setupvalue(L, -2, up)) lua_pop(L, 1);
        lua_pop(L, 1);
    }
    for (lua_Integer i = 0; i < w->change_count; i++) {
        ls__work_change(w, i); /* container key before now */
        if (substitute(w)) {
            lua_remove(L, -2);
            lua_rawset(L, -3);
            lua_pop(L, 1);
        } else {
            lua_pop(L, 4);
        }
    }
    if (lua_type(L, w->rule->app) == LUA_TTABLE) substitute_table(w, w->rule->app);
    lua_pushvalue(L, w->value);
    w->rule->taken_over = substitute(w);
    lua_replace(L, w->value);
}

/* --- the whole --- */

/* [-0, +1, m] @return its place */
static int push_table(lua_State *L)
{
    lua_newtable(L);
    return lua_gettop(L);
}

void ls__threeway(struct ls_threeway *rule)
{
    lua_State *L = rule->L;
    luaL_checkstack(L, 40, "reload");
    struct ls_work w = {.rule = rule, .L = L, .value = lua_gettop(L)};
    w.next = push_table(L);
    w.changes = push_table(L);
    w.owned = push_table(L);
    w.queue = push_table(L);
    w.taken = push_table(L);
    w.tables = push_table(L);
    w.functions = push_table(L);
    w.vars = push_table(L);
    w.candidates = push_table(L);
    w.conflicts = push_table(L);
    if (rule->scope) {
        size_t count = (size_t)ls__scope_count(rule->scope) + 1;
        w.ids = lua_newuserdatauv(L, 2 * count * sizeof *w.ids, 0);
        memset(w.ids, 0, 2 * count * sizeof *w.ids);
        w.old = w.ids + count;
    }
    collect_all_changes(&w);
    walk_fresh(&w);
    if (rule->scope) find_variables(&w);
    offer_all(&w);
    substitute_all(&w);
    ls__work_record(&w);
    if (lua_type(L, rule->record) == LUA_TTABLE || rule->no_base) ls__work_decide(&w);
    lua_settop(L, w.next);
}
