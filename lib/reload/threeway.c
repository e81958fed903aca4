/* The three-way rule: after a chunk has run, its governed places get their values. Functions follow the file. Data
 * follows the run, unless the file's own value for it was edited. Tables keep their identity.
 *
 * The order matters and is this:
 *   1. see which globals and prototype fields the chunk assigned, by comparison with the snapshot;
 *   2. walk over what it made; the functions found tell the file's top-level variables;
 *   3. pair new tables with the old ones that keep their identity (module table, hand-made classes, tables of
 *      functions), and replace the new ones by the old in everything made;
 *   4. record what the execution gave (S of the next time);
 *   5. let every place decide; where a table of the run would displace an equal new one, ask who else holds the new
 *      one.
 *
 * Owner thread: the session's. Refuses to judge anything but governed places: contents of other tables belong to the
 * run (H60). Rules: H48, H49, H51 to H53, H56. */
#include "reload/threeway.h"

#include <string.h>

#include "reload/reload_state.h"

enum { FRESH_BUDGET = 20000 }; /* fields of new content; beyond it the file's functions are taken as they are */
enum { MAX_UPVALUES = 255 };   /* Lua's own limit */

LS_RAISES void ls__triple_new(lua_State *L, int a, int b, int c)
{
    const int values[] = {a, b, c};
    lua_createtable(L, 3, 0);
    for (int i = 0; i < 3; i++) {
        lua_pushvalue(L, values[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

LS_RAISES void ls__triples_add(lua_State *L, int list, int a, int b, int c)
{
    ls__triple_new(L, a, b, c);
    lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1);
}

void ls__triples_push(lua_State *L, int list, lua_Integer index)
{
    lua_rawgeti(L, list, index);
    for (int i = 1; i <= 3; i++)
        lua_rawgeti(L, -i, i);
    lua_remove(L, -4);
}

void ls__threeway_undo(lua_State *L, int undo)
{
    int top = lua_gettop(L);
    for (lua_Integer i = (lua_Integer)lua_rawlen(L, undo); i >= 1; i--) { /* latest first */
        ls__triples_push(L, undo, i);
        lua_setupvalue(L, top + 1, (int)lua_tointeger(L, top + 2));
        lua_settop(L, top);
    }
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
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        any = lua_type(L, -1) == LUA_TFUNCTION;
        if (any) continue;
        lua_pop(L, 2);
        break;
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

/* @param declared  index of a prototype's declared fields; 0 = the container is no prototype [-0, +0, m] */
static LS_RAISES void collect_changes(struct ls_threeway *w, int container, int declared)
{
    lua_State *L = w->L;
    ls__snapshot_fields(L, w->snapshot, container);
    int before = lua_gettop(L), key = before + 1, value = before + 2;
    for (lua_pushnil(L); lua_next(L, container); lua_settop(L, key)) {
        ls__raw_get(L, before, key); /* before key value was */
        if (!lua_rawequal(L, value, value + 1) && !(declared && is_ungoverned(L, declared, key, value)))
            ls__triples_add(L, w->changes, container, key, value + 1);
    }
    lua_pop(L, 1);
}

static LS_RAISES void collect_all_changes(struct ls_threeway *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    lua_pushglobaltable(L);
    collect_changes(w, top + 1, 0);
    lua_settop(L, top);
    for (lua_pushnil(L); lua_next(L, w->prototypes); lua_settop(L, top + 1)) /* prototype declared */
        collect_changes(w, top + 1, top + 2);
}

void ls__change_push(struct ls_threeway *w, lua_Integer index)
{
    ls__triples_push(w->L, w->changes, index);
    ls__raw_get(w->L, -3, -2);
}

/* --- 2: what the chunk made --- */

static LS_RAISES void walk_fresh(struct ls_threeway *w)
{
    lua_State *L = w->L;
    struct ls_fresh walk = {.L = L,
                            .source = w->source,
                            .known = w->known,
                            .budget = FRESH_BUDGET,
                            .tables = w->tables,
                            .functions = w->functions};
    ls__address_set(L);
    walk.seen = lua_gettop(L);
    lua_pushvalue(L, w->value);
    ls__fresh_add(&walk);
    for (lua_Integer i = 1, count = (lua_Integer)lua_rawlen(L, w->changes); i <= count; i++) {
        ls__change_push(w, i);
        ls__fresh_add(&walk);
        lua_settop(L, walk.seen);
    }
    for (lua_Integer i = 1, count = (lua_Integer)lua_rawlen(L, w->roots); i <= count; i++) {
        lua_rawgeti(L, w->roots, i);
        ls__fresh_add(&walk);
    }
    if (lua_type(L, w->app) == LUA_TTABLE) ls__fresh_add_functions(&walk, w->app);
    ls__fresh_add_globals(&walk);
    ls__fresh_run(&walk);
    lua_pop(L, 1);
}

/* Note that upvalue `upvalue` of the function on top is the variable `var`. [-0, +0, m] */
static LS_RAISES void note_variable(struct ls_threeway *w, int var, int upvalue)
{
    lua_State *L = w->L;
    int function = lua_gettop(L);
    void *id = lua_upvalueid(L, function, upvalue);
    if (id == w->old[var]) return; /* a function of an earlier version, met in a table that outlives versions */
    if (!w->ids[var])
        w->ids[var] = id;
    else if (w->ids[var] != id)
        w->ids[var] = LS_MANY; /* made anew by each turn of a loop: nobody's (H56) */
    if (lua_rawgeti(L, w->vars, var + 1) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawseti(L, w->vars, var + 1);
    }
    lua_pushinteger(L, upvalue);
    lua_pushnil(L); /* function list upvalue nil */
    ls__triples_add(L, function + 1, function, function + 2, function + 3);
    lua_settop(L, function);
}

static LS_RAISES void find_old_variables(struct ls_threeway *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    ls__record_part(L, w->record, LS_RECORD_LOCALS);
    for (int var = 0; var < ls__scope_count(w->scope); var++) {
        if (ls__old_local_push(L, top + 1, ls__scope_name(w->scope, var)))
            w->old[var] = lua_upvalueid(L, top + 2, (int)lua_tointeger(L, top + 3));
        lua_settop(L, top + 1);
    }
    lua_settop(L, top);
}

static LS_RAISES void find_variables(struct ls_threeway *w)
{
    lua_State *L = w->L;
    int vars[MAX_UPVALUES];
    const char *names[MAX_UPVALUES];
    find_old_variables(w);
    for (lua_Integer i = 1; i <= ls__count(w, w->functions); i++) {
        lua_rawgeti(L, w->functions, i);
        lua_Debug ar;
        lua_pushvalue(L, -1);
        lua_getinfo(L, ">Su", &ar);
        for (int j = 0; j < ar.nups; j++) {
            names[j] = lua_getupvalue(L, -1, j + 1); /* lives as long as the function */
            lua_pop(L, 1);
        }
        if (ls__scope_variables(w->scope, ar.linedefined, ar.lastlinedefined, ar.nups, names, vars))
            for (int j = 0; j < ar.nups; j++)
                if (vars[j] >= 0) note_variable(w, vars[j], j + 1);
        lua_pop(L, 1);
    }
}

/* --- 3: tables that keep their identity --- */

/* The new table at `n` has content that goes to the table at `o`, if that is one that may take it; else it stays its
 * own. [-0, +0, m] */
static LS_RAISES void offer(struct ls_threeway *w, int n, int o)
{
    lua_State *L = w->L;
    if (lua_type(L, n) != LUA_TTABLE || ls__has_key(L, w->known, n) || ls__has_key(L, w->owned, n)) return;
    bool suits = lua_type(L, o) == LUA_TTABLE && !ls__has_key(L, w->prototypes, o) && !ls__has_key(L, w->taken, o);
    if (suits) {
        lua_pushvalue(L, o);
        ls__set_add(L, w->taken);
    }
    ls__raw_set(L, w->owned, n, suits ? o : n);
    lua_pushvalue(L, n);
    lua_rawseti(L, w->queue, ls__count(w, w->queue) + 1);
}

/* Classes and name spaces in a table that is taken over are taken over as well (H49). [-0, +0, m] */
static LS_RAISES void offer_nested(struct ls_threeway *w, int n, int o)
{
    lua_State *L = w->L;
    int key = lua_gettop(L) + 1, value = key + 1, old = key + 2;
    bool paired = !lua_rawequal(L, n, o);
    for (lua_pushnil(L); lua_next(L, n); lua_settop(L, key)) {
        bool class = is_class(L, value);
        if (!class && !is_functions(L, value)) continue;
        if (paired)
            ls__raw_get(L, o, key);
        else
            lua_pushnil(L);
        if (class && !is_class(L, old)) {
            lua_pushnil(L);
            lua_replace(L, old);
        }
        offer(w, value, old);
    }
}

/* A local that holds a hand-made class keeps its instances as a global one does: one rule for all places (H49).
 * [-0, +0, m] */
static LS_RAISES void offer_locals(struct ls_threeway *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L), new = top + 2, old = top + 5;
    ls__record_part(L, w->record, LS_RECORD_LOCALS);
    for (int var = 0; var < ls__scope_count(w->scope); var++) {
        if (!ls__variable_push(w, var)) continue; /* locals new */
        if (is_class(L, new)) {
            ls__old_local_push(L, top + 1, ls__scope_name(w->scope, var)); /* locals new function index old */
            offer(w, new, is_class(L, old) ? old : top + 3);               /* a function is no class */
        }
        lua_settop(L, top + 1);
    }
    lua_settop(L, top);
}

static LS_RAISES void offer_all(struct ls_threeway *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    offer(w, w->value, w->old_value);
    for (lua_Integer i = 1; i <= ls__count(w, w->changes); i++) {
        ls__change_push(w, i); /* container key before now */
        lua_pushnil(L);
        if (is_class(L, top + 4)) offer(w, top + 4, is_class(L, top + 3) ? top + 3 : top + 5);
        lua_settop(L, top);
    }
    if (w->scope) offer_locals(w);
    for (lua_Integer i = 1; i <= ls__count(w, w->queue); i++) {
        lua_rawgeti(L, w->queue, i);
        ls__raw_get(L, w->owned, top + 1);
        offer_nested(w, top + 1, top + 2);
        lua_settop(L, top);
    }
}

/* Replace the value on top by the table that carries its content, if another one does. [-1, +1, -] */
static bool substitute(struct ls_threeway *w)
{
    lua_State *L = w->L;
    if (lua_type(L, -1) != LUA_TTABLE) return false;
    if (ls__raw_get(L, w->owned, -1) == LUA_TNIL || lua_rawequal(L, -1, -2)) {
        lua_pop(L, 1);
        return false;
    }
    lua_remove(L, -2);
    return true;
}

static LS_RAISES void substitute_table(struct ls_threeway *w, int table)
{
    lua_State *L = w->L;
    if (lua_getmetatable(L, table)) {
        if (substitute(w))
            ls__set_metatable(L, table);
        else
            lua_pop(L, 1);
    }
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) /* key value */
        if (substitute(w)) ls__raw_set(L, table, -2, -1);
}

/* [-0, +0, m] */
static LS_RAISES void substitute_all(struct ls_threeway *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    for (lua_Integer i = 1; i <= ls__count(w, w->tables); i++) {
        lua_rawgeti(L, w->tables, i);
        substitute_table(w, top + 1);
        lua_settop(L, top);
    }
    for (lua_Integer i = 1; i <= ls__count(w, w->functions); i++) {
        lua_rawgeti(L, w->functions, i);
        for (int up = 1; lua_getupvalue(L, top + 1, up); up++)
            if (!substitute(w) || !lua_setupvalue(L, top + 1, up)) lua_pop(L, 1);
        lua_settop(L, top);
    }
    for (lua_Integer i = 1; i <= ls__count(w, w->changes); i++) {
        ls__change_push(w, i); /* container key before now */
        if (substitute(w)) ls__raw_set(L, top + 1, top + 2, top + 4);
        lua_settop(L, top);
    }
    if (lua_type(L, w->app) == LUA_TTABLE) substitute_table(w, w->app);
    lua_pushvalue(L, w->value);
    w->run->taken_over = substitute(w);
    lua_replace(L, w->value);
}

/* --- the whole --- */

LS_RAISES void ls__threeway(struct ls_threeway *w)
{
    lua_State *L = w->L;
    luaL_checkstack(L, 40, "reload");
    w->value = lua_gettop(L);
    int *const own[] = {&w->next,   &w->changes,   &w->owned, &w->queue,      &w->taken,
                        &w->tables, &w->functions, &w->vars,  &w->candidates, &w->conflicts};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        lua_newtable(L);
        *own[i] = lua_gettop(L);
    }
    if (w->scope) {
        size_t count = (size_t)ls__scope_count(w->scope) + 1;
        w->ids = lua_newuserdatauv(L, 2 * count * sizeof *w->ids, 0);
        memset(w->ids, 0, 2 * count * sizeof *w->ids);
        w->old = w->ids + count;
    }
    collect_all_changes(w);
    walk_fresh(w);
    if (w->scope) find_variables(w);
    offer_all(w);
    substitute_all(w);
    ls__places_record(w);
    if (lua_type(L, w->record) == LUA_TTABLE || w->no_base) ls__places_decide(w);
    lua_settop(L, w->next);
}
