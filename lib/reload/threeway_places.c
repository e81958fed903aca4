/* The governed places of the three-way rule: what an execution gave there is recorded, and each place takes its value
 * (H49, H51, H56).
 *
 * Owner thread: the session's. Every change is either in a table that the snapshot covers, or in a variable whose old
 * value goes into the undo list first, so a raise anywhere in here can be rolled back. */
#include <ctype.h>
#include <string.h>

#include <lauxlib.h>

#include "base/text.h"
#include "reload/threeway_text.h"
#include "reload/threeway_work.h"
#include "vm/vm_internal.h"

enum verdict { TAKE_NEW, KEEP_PRESENT, KEEP_UNLESS_HELD };

int ls__record_part(lua_State *L, int record, const char *name)
{
    if (lua_type(L, record) != LUA_TTABLE) {
        lua_pushnil(L);
        return LUA_TNIL;
    }
    lua_pushstring(L, name);
    return lua_rawget(L, record < 0 ? record - 1 : record);
}

bool ls__work_old_local(struct ls_work *w, int locals, const char *name)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    if (lua_type(L, locals) == LUA_TTABLE) {
        lua_pushstring(L, name);
        if (lua_rawget(L, locals) == LUA_TTABLE) {
            lua_rawgeti(L, top + 1, 1);
            lua_rawgeti(L, top + 1, 2);
            lua_remove(L, top + 1);
            if (lua_getupvalue(L, top + 1, (int)lua_tointeger(L, top + 2))) return true;
        }
    }
    lua_settop(L, top);
    lua_pushnil(L);
    lua_pushnil(L);
    lua_pushnil(L);
    return false;
}

/* --- recording --- */

/* Tables whose content goes to another place are recorded entry by entry, under the table that carries it from now on;
 * everywhere else their identity is enough. [-0, +0, m] */
static void record_tables(struct ls_work *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    for (lua_Integer i = 1; i <= w->queue_count; i++) { /* both have an identity of their own from here on */
        lua_rawgeti(L, w->queue, i);
        lua_pushvalue(L, -1);
        lua_rawget(L, w->owned);
        for (int both = 0; both < 2; both++) {
            lua_pushboolean(L, 1);
            lua_rawset(L, w->rule->known);
        }
    }
    lua_newtable(L);
    for (lua_Integer i = 1; i <= w->queue_count; i++) {
        lua_rawgeti(L, w->queue, i);
        lua_pushvalue(L, -1);
        lua_rawget(L, w->owned); /* tables new carrier */
        ls__value_record_fields(L, top + 2, w->rule->known);
        lua_rawset(L, top + 1);
        lua_settop(L, top + 1);
    }
    lua_setfield(L, w->next, LS_RECORD_TABLES);
}

/* Push a copy of the part of the old record, or an empty table. What an execution does not assign keeps the record it
 * had, since it cannot be told from what was assigned equally (H49). [-0, +1, m] */
static void push_part_copy(struct ls_work *w, int record, const char *name)
{
    lua_State *L = w->L;
    lua_newtable(L);
    int copy = lua_gettop(L);
    int type = name ? ls__record_part(L, record, name) : (lua_pushvalue(L, record), lua_type(L, record));
    if (type == LUA_TTABLE) {
        lua_pushnil(L);
        while (lua_next(L, copy + 1)) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, copy);
        }
    }
    lua_settop(L, copy);
}

/* Push the record of the value at `idx` for a place that held the value at `before`. A table that was there before was
 * not made by this execution, so its content says nothing about the file. [-0, +1, m] */
static void push_place_record(struct ls_work *w, int idx, int before)
{
    lua_State *L = w->L;
    if (lua_type(L, idx) == LUA_TTABLE && lua_rawequal(L, idx, before)) {
        lua_newtable(L); /* just a table as known: then only the identity is taken */
        int known = lua_gettop(L);
        lua_pushvalue(L, idx);
        lua_pushboolean(L, 1);
        lua_rawset(L, known);
        ls__value_record(L, idx, known);
        lua_remove(L, known);
        return;
    }
    ls__value_record(L, idx, w->rule->known);
}

/* [-0, +0, m] */
static void record_changes(struct ls_work *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    push_part_copy(w, w->rule->record, LS_RECORD_GLOBALS);
    push_part_copy(w, w->rule->record, LS_RECORD_STATICS);
    lua_newtable(L); /* prototypes whose fields have been copied */
    lua_pushglobaltable(L);
    for (lua_Integer i = 0; i < w->change_count; i++) {
        ls__work_change(w, i); /* globals statics copied _G container key before now */
        int container = top + 5;
        if (lua_rawequal(L, container, top + 4)) {
            lua_pushvalue(L, top + 1);
        } else {
            lua_pushvalue(L, container);
            lua_rawget(L, top + 2);
            if (!ls__has_key(L, top + 3, container)) {
                push_part_copy(w, lua_gettop(L), NULL);
                lua_pushvalue(L, container);
                lua_pushvalue(L, -2);
                lua_rawset(L, top + 2);
                lua_pushvalue(L, container);
                lua_pushboolean(L, 1);
                lua_rawset(L, top + 3);
            }
        }
        int fields = lua_gettop(L);
        lua_pushvalue(L, container + 1);
        push_place_record(w, container + 3, container + 2);
        lua_rawset(L, fields);
        lua_settop(L, top + 4);
    }
    lua_settop(L, top + 2);
    lua_setfield(L, w->next, LS_RECORD_STATICS);
    lua_setfield(L, w->next, LS_RECORD_GLOBALS);
}

/* Push the value of a new variable. [-0, +1, -] */
static void push_variable(struct ls_work *w, int var)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    lua_rawgeti(L, w->vars, var + 1);
    lua_rawgeti(L, -1, 1);
    lua_rawgeti(L, -2, 2);
    if (!lua_getupvalue(L, -2, (int)lua_tointeger(L, -1))) lua_pushnil(L);
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
}

/* [-0, +0, m] */
static void record_locals(struct ls_work *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    lua_newtable(L);
    ls__record_part(L, w->rule->record, LS_RECORD_LOCALS);
    for (int var = 0; var < ls__scope_count(w->rule->scope); var++) {
        const char *name = ls__scope_name(w->rule->scope, var);
        if (!w->ids[var] || w->ids[var] == LS_WORK_MANY) {
            if (ls__scope_captured(w->rule->scope, var))
                ls_buf_printf(w->rule->notes, "local %s follows the file: %s\n", name,
                              w->ids[var] ? "it is made more than once" : "no function that uses it was found");
            continue;
        }
        lua_rawgeti(L, w->vars, var + 1);
        lua_createtable(L, 3, 0); /* locals old list entry */
        lua_rawgeti(L, top + 3, 1);
        lua_rawseti(L, top + 4, 1);
        lua_rawgeti(L, top + 3, 2);
        lua_rawseti(L, top + 4, 2);
        push_variable(w, var);
        int value = lua_gettop(L);
        ls__work_old_local(w, top + 2, name);
        push_place_record(w, value, lua_gettop(L));
        lua_rawseti(L, top + 4, 3);
        lua_settop(L, top + 4);
        lua_setfield(L, top + 1, name);
        lua_settop(L, top + 2);
    }
    lua_settop(L, top + 1);
    lua_setfield(L, w->next, LS_RECORD_LOCALS);
}

void ls__work_record(struct ls_work *w)
{
    record_tables(w);
    record_changes(w);
    if (w->rule->scope) record_locals(w);
}

/* --- deciding --- */

/* What becomes of a place: n, c and s are indexes of the new value, the present one and the record. [-0, +0, m] */
static enum verdict judge(struct ls_work *w, int n, int c, int s)
{
    lua_State *L = w->L;
    if (lua_type(L, n) == LUA_TFUNCTION) return TAKE_NEW;
    if (lua_rawequal(L, n, c)) return KEEP_PRESENT;
    bool displaced = lua_type(L, n) == LUA_TTABLE && lua_type(L, c) == LUA_TTABLE;
    if (!ls__value_equal(L, n, s, displaced ? w->candidates : 0)) return TAKE_NEW;
    return displaced ? KEEP_UNLESS_HELD : KEEP_PRESENT;
}

/* As `judge`, where the record may have nothing for the place. [-0, +0, m] */
static enum verdict judge_recorded(struct ls_work *w, int n, int c, int s)
{
    lua_State *L = w->L;
    if (!lua_isnil(L, s)) return judge(w, n, c, s);
    bool data = lua_type(L, n) != LUA_TFUNCTION && lua_type(L, c) != LUA_TFUNCTION && !lua_isnil(L, c);
    return w->rule->no_base && data ? KEEP_PRESENT : TAKE_NEW;
}

/* Remember that a place has kept a table of the run although the file made an equal one. The new value is at `n`, the
 * container (or the function that holds a variable) at `holder`, the key (or the number of the upvalue) at `key`.
 * [-0, +0, m] */
static void add_conflict(struct ls_work *w, int holder, int key, int n)
{
    lua_State *L = w->L;
    const int values[3] = {holder, key, n};
    for (int i = 0; i < 3; i++) {
        lua_pushvalue(L, values[i]);
        lua_rawseti(L, w->conflicts, w->conflict_count * 3 + i + 1);
    }
    w->conflict_count++;
}

/* [-0, +0, m] */
static void set_field(lua_State *L, int table, int key, int value)
{
    lua_pushvalue(L, key);
    lua_pushvalue(L, value);
    lua_rawset(L, table);
}

/* Give the variable behind upvalue `up` of the function at `f` the value at `n`; its present one goes into the undo
 * list. [-0, +0, m] */
static void set_variable(struct ls_work *w, int f, int up, int n)
{
    lua_State *L = w->L;
    lua_Integer at = (lua_Integer)lua_rawlen(L, w->rule->undo);
    lua_createtable(L, 1, 0);
    if (!lua_getupvalue(L, f, up)) lua_pushnil(L);
    lua_rawseti(L, -2, 1);
    lua_pushvalue(L, f);
    lua_pushinteger(L, up);
    lua_rotate(L, -3, -1); /* function index box */
    lua_rawseti(L, w->rule->undo, at + 3);
    lua_rawseti(L, w->rule->undo, at + 2);
    lua_rawseti(L, w->rule->undo, at + 1);
    lua_pushvalue(L, n);
    if (!lua_setupvalue(L, f, up)) lua_pop(L, 1);
}

static bool in_snapshot(struct ls_work *w, int container)
{
    ls__snapshot_fields(w->L, w->rule->snapshot, container);
    bool in = !lua_isnil(w->L, -1);
    lua_pop(w->L, 1);
    return in;
}

/* A global or a static that the chunk has assigned. [-0, +0, m] */
static void decide_changes(struct ls_work *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    ls__record_part(L, w->rule->record, LS_RECORD_GLOBALS);
    ls__record_part(L, w->rule->record, LS_RECORD_STATICS);
    lua_pushglobaltable(L);
    for (lua_Integer i = 0; i < w->change_count; i++) {
        ls__work_change(w, i); /* globals statics _G container key before now */
        int container = top + 4;
        bool global = lua_rawequal(L, container, top + 3) != 0;
        if (global) {
            lua_pushvalue(L, top + 1);
        } else {
            lua_pushvalue(L, container);
            if (lua_type(L, top + 2) == LUA_TTABLE)
                lua_rawget(L, top + 2);
            else
                lua_pushnil(L);
        }
        bool fresh = !global && !in_snapshot(w, container); /* a prototype of this very run has no present values */
        if (!fresh) {
            if (lua_type(L, -1) == LUA_TTABLE) {
                lua_pushvalue(L, container + 1);
                lua_rawget(L, -2); /* … fields s */
            } else {
                lua_pushnil(L);
            }
            int s = lua_gettop(L);
            enum verdict verdict = judge_recorded(w, container + 3, container + 2, s);
            if (verdict != TAKE_NEW) set_field(L, container, container + 1, container + 2);
            if (verdict == KEEP_UNLESS_HELD) add_conflict(w, container, container + 1, container + 3);
        }
        lua_settop(L, top + 3);
    }
    lua_settop(L, top);
}

struct owner {
    struct ls_work *w;
    int o, n; /* the table, and the new one that it takes the place of, 0 = none */
};

/* The value of the field of that name, by raw reads and without memory: a C resource is held meanwhile. [-0, +1, -] */
static void push_named(lua_State *L, int table, const char *name, size_t len)
{
    table = lua_absindex(L, table);
    lua_pushnil(L);
    while (lua_istable(L, table) && lua_next(L, table)) {
        size_t key_len = 0;
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &key_len) : NULL;
        if (key && key_len == len && memcmp(key, name, len) == 0) {
            lua_remove(L, -2);
            return;
        }
        lua_pop(L, 1);
    }
    if (!lua_istable(L, table)) return; /* the nil is there */
    lua_pushnil(L);
}

/* Is the prototype declared by that name the owner? Who has no name may be. [-0, +0, -] */
static bool is_called(const struct owner *owner, const char *name, size_t len)
{
    lua_State *L = owner->w->L;
    size_t type_len = 0;
    push_named(L, owner->o, "type", 4);
    const char *type = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &type_len) : NULL;
    bool called = !type || (type_len == len && memcmp(type, name, len) == 0);
    lua_pop(L, 1);
    return called;
}

/* Names with dots from the globals on. @return 1 the owner, 0 another table, -1 nothing that can be told [-0, +0, -] */
static int is_global(const struct owner *owner, const char *name, size_t len)
{
    lua_State *L = owner->w->L;
    int top = lua_gettop(L), result = -1;
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    for (size_t at = 0; at < len;) {
        const char *dot = memchr(name + at, '.', len - at);
        size_t end = dot ? (size_t)(dot - name) : len;
        push_named(L, top + 1, name + at, end - at);
        lua_replace(L, top + 1);
        at = end + 1;
    }
    if (lua_istable(L, top + 1))
        result = lua_rawequal(L, top + 1, owner->o) || (owner->n && lua_rawequal(L, top + 1, owner->n));
    lua_settop(L, top);
    return result;
}

/* Whose definition is it? Where it cannot be told, it may be the owner's. [-0, +0, -] */
static bool is_owners(void *ctx, enum ls_owner_kind kind, const char *text, size_t len)
{
    const struct owner *owner = ctx;
    const struct ls_threeway *rule = owner->w->rule;
    const char *made;
    size_t made_len;
    if (!lua_checkstack(owner->w->L, 6)) return true;
    if (kind == LS_OWNER_RETURNED) return lua_rawequal(owner->w->L, owner->o, rule->old_value);
    if (kind == LS_OWNER_NAMED) return is_called(owner, text, len);
    if (len == 4 && memcmp(text, "self", 4) == 0) return false;
    if (ls__text_names(rule->text, rule->text_len, text, len, &made, &made_len) && made)
        return is_called(owner, made, made_len);
    return is_global(owner, text, len) != 0;
}

/* Does the text still define the function `key` for the table at `o`? Other keys than names cannot be asked for. */
static bool is_defined(struct ls_work *w, int key, int o, int n)
{
    if (lua_type(w->L, key) != LUA_TSTRING) return false;
    size_t len;
    const char *name = lua_tolstring(w->L, key, &len);
    struct owner owner = {w, o, n};
    return ls__text_defines(w->rule->text, w->rule->text_len, name, len, is_owners, &owner);
}

/* Might the text still give something to the field at `key`? Reading it does not count: who has removed `M.limit = 5`
 * means the default of `M.limit or 10`. A name in a string may be a key, and one before a comma the first of several
 * that are assigned. */
static bool may_be_assigned(struct ls_work *w, int key)
{
    if (lua_type(w->L, key) != LUA_TSTRING) return false;
    size_t len;
    const char *name = lua_tolstring(w->L, key, &len), *text = w->rule->text, *end = text + w->rule->text_len;
    while ((text = ls_find_word(text, (size_t)(end - text), name, len))) {
        if (text > w->rule->text && (text[-1] == '"' || text[-1] == '\'')) return true;
        text += len;
        const char *next = text;
        while (next < end && (isspace((unsigned char)*next) || *next == ']'))
            next++;
        if (next < end && (*next == ',' || (*next == '=' && (next + 1 == end || next[1] != '=')))) return true;
    }
    return false;
}

static void note_removed(struct ls_work *w, int key)
{
    w->rule->methods_removed++;
    if (w->rule->removed->len) ls_buf_str(w->rule->removed, ", ");
    if (lua_type(w->L, key) == LUA_TSTRING)
        ls_buf_str(w->rule->removed, lua_tostring(w->L, key));
    else
        ls_buf_str(w->rule->removed, "?");
}

/* Own fields of the table at `o` that the execution before gave and this one did not (H51; for data of module tables
 * H49). What is still defined may be under a guard, so it stays. [-0, +0, m] */
static void remove_gone(struct ls_work *w, int o, int n, int content, bool data)
{
    lua_State *L = w->L;
    if (lua_type(L, content) != LUA_TTABLE) return;
    lua_pushnil(L);
    while (lua_next(L, content)) { /* key s */
        int key = lua_gettop(L) - 1, s = key + 1;
        bool function = lua_type(L, s) == LUA_TFUNCTION;
        lua_pushvalue(L, key);
        lua_rawget(L, o); /* key s c */
        bool gone = !lua_isnil(L, s + 1) && (function ? !w->rule->keep_removed : data);
        if (gone && n) gone = !ls__has_key(L, n, key);
        if (gone && !(function ? is_defined(w, key, o, n) : may_be_assigned(w, key)) &&
            ls__value_equal(L, s + 1, s, 0)) {
            if (function) note_removed(w, key);
            lua_pushvalue(L, key);
            lua_pushnil(L);
            lua_rawset(L, o);
        }
        lua_settop(L, key);
    }
}

/* The table at `o` takes the content of the new table at `n`; `content` is what the file gave it before, or nil.
 * [-0, +0, m] */
static void take_over(struct ls_work *w, int n, int o, int content)
{
    lua_State *L = w->L;
    ls__snapshot_add(L, w->rule->snapshot, o);
    lua_pushnil(L);
    while (lua_next(L, n)) { /* key new */
        int key = lua_gettop(L) - 1;
        lua_pushvalue(L, key);
        lua_rawget(L, o); /* key new c */
        if (lua_type(L, content) == LUA_TTABLE) {
            lua_pushvalue(L, key);
            lua_rawget(L, content);
        } else {
            lua_pushnil(L);
        } /* key new c s */
        enum verdict verdict = judge_recorded(w, key + 1, key + 2, key + 3);
        if (verdict == TAKE_NEW && !lua_rawequal(L, key + 1, key + 2)) set_field(L, o, key, key + 1);
        if (verdict == KEEP_UNLESS_HELD) add_conflict(w, o, key, key + 1);
        lua_settop(L, key);
    }
    remove_gone(w, o, n, content, true);
    if (!lua_getmetatable(L, n)) lua_pushnil(L);
    ls__set_metatable(L, o);
}

static void decide_tables(struct ls_work *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    ls__record_part(L, w->rule->record, LS_RECORD_TABLES);
    for (lua_Integer i = 1; i <= w->queue_count; i++) {
        lua_rawgeti(L, w->queue, i);
        lua_pushvalue(L, -1);
        lua_rawget(L, w->owned); /* tables new old */
        if (!lua_rawequal(L, -1, -2)) {
            if (lua_type(L, top + 1) == LUA_TTABLE) {
                lua_pushvalue(L, top + 3);
                lua_rawget(L, top + 1);
            } else {
                lua_pushnil(L);
            }
            ls__value_content(L, top + 4); /* tables new old record content */
            take_over(w, top + 2, top + 3, top + 5);
        }
        lua_settop(L, top + 1);
    }
    lua_settop(L, top);
}

/* Methods that left prototypes which the new text declares (H51). [-0, +0, m] */
static void decide_prototypes(struct ls_work *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    if (ls__record_part(L, w->rule->record, LS_RECORD_STATICS) == LUA_TTABLE) {
        lua_pushnil(L);
        while (lua_next(L, top + 1)) { /* statics prototype fields */
            if (ls__has_key(L, w->rule->redeclared, top + 2) && ls__has_key(L, w->rule->prototypes, top + 2))
                remove_gone(w, top + 2, 0, top + 3, false);
            lua_settop(L, top + 2);
        }
    }
    lua_settop(L, top);
}

/* Is the variable one that the file defines as a function? A callback that the run has put into a data variable is data
 * of the run. Where nothing was recorded, a function of the file counts as its definition. */
static bool is_function_local(struct ls_work *w, int c, int n, int s)
{
    lua_State *L = w->L;
    if (lua_type(L, n) == LUA_TFUNCTION || lua_type(L, s) == LUA_TFUNCTION) return true;
    if (!w->rule->no_base || !lua_isnil(L, s) || lua_type(L, c) != LUA_TFUNCTION) return false;
    lua_Debug ar;
    lua_pushvalue(L, c);
    lua_getinfo(L, ">S", &ar);
    return strcmp(ar.source, w->rule->source) == 0;
}

/* One variable of the file: the old version's at f, up, c; the list of the new functions that use the new one; n and s.
 * Data is shared by joining, so that callbacks of the old version and the new code see one variable. [-0, +0, m] */
static void decide_local(struct ls_work *w, int list, int f, int up, int c, int n, int s)
{
    lua_State *L = w->L;
    if (is_function_local(w, c, n, s)) return;
    enum verdict verdict = lua_isnil(L, n) ? KEEP_PRESENT : judge_recorded(w, n, c, s);
    if (verdict == TAKE_NEW) set_variable(w, f, up, n);
    lua_Integer count = (lua_Integer)lua_rawlen(L, list);
    for (lua_Integer i = 1; i < count; i += 2) {
        lua_rawgeti(L, list, i);
        lua_rawgeti(L, list, i + 1);
        int index = (int)lua_tointeger(L, -1);
        lua_pop(L, 1);
        /* Whoever still has the new variable because no walk found it sees the run's value at least. */
        if (verdict != TAKE_NEW) {
            lua_pushvalue(L, c);
            if (!lua_setupvalue(L, -2, index)) lua_pop(L, 1);
        }
        lua_upvaluejoin(L, -1, index, f, up);
        lua_pop(L, 1);
    }
    if (verdict == KEEP_UNLESS_HELD) {
        lua_pushinteger(L, up);
        add_conflict(w, f, lua_gettop(L), n);
        lua_pop(L, 1);
    }
}

static void decide_locals(struct ls_work *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    ls__record_part(L, w->rule->record, LS_RECORD_LOCALS);
    for (int var = 0; var < ls__scope_count(w->rule->scope); var++) {
        if (!w->ids[var] || w->ids[var] == LS_WORK_MANY) continue;
        const char *name = ls__scope_name(w->rule->scope, var);
        lua_rawgeti(L, w->vars, var + 1);
        if (ls__work_old_local(w, top + 1, name)) { /* locals list f up c */
            push_variable(w, var);
            lua_getfield(L, top + 1, name);
            lua_rawgeti(L, -1, 3); /* … n entry s */
            decide_local(w, top + 2, top + 3, (int)lua_tointeger(L, top + 4), top + 5, top + 6, top + 8);
        }
        lua_settop(L, top + 1);
    }
    lua_settop(L, top);
}

/* A new table that something else than governed places holds wins everywhere: the page must never show one table while
 * the code changes another (H49). [-0, +0, m] */
static void settle_conflicts(struct ls_work *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    if (w->conflict_count == 0) return;
    lua_newtable(L);
    ls__find_held(L, w->candidates, top + 1, w->rule->skip);
    for (lua_Integer i = 0; i < w->conflict_count; i++) {
        for (int j = 1; j <= 3; j++)
            lua_rawgeti(L, w->conflicts, i * 3 + j);
        lua_pushvalue(L, -1); /* held holder key new new */
        if (ls__value_group(L, w->candidates) && ls__has_key(L, top + 1, lua_gettop(L))) {
            bool field = lua_type(L, top + 2) == LUA_TTABLE;
            if (field)
                set_field(L, top + 2, top + 3, top + 4);
            else
                set_variable(w, top + 2, (int)lua_tointeger(L, top + 3), top + 4);
            const char *name = field && lua_type(L, top + 3) == LUA_TSTRING ? lua_tostring(L, top + 3)
                               : field                                      ? "?"
                                       : lua_getupvalue(L, top + 2, (int)lua_tointeger(L, top + 3));
            ls_buf_printf(w->rule->notes, "%s follows the file: its new table is held elsewhere\n", name ? name : "?");
        }
        lua_settop(L, top + 1);
    }
    lua_settop(L, top);
}

void ls__work_decide(struct ls_work *w)
{
    decide_tables(w);
    decide_changes(w);
    decide_prototypes(w);
    if (w->rule->scope) decide_locals(w);
    /* From here on nothing but the places themselves refers to what they have given up; the search must not meet it in
     * our lists. */
    lua_State *L = w->L;
    const int ours[] = {w->next,   w->changes,   w->owned, w->queue,    w->taken,
                        w->tables, w->functions, w->vars,  w->conflicts};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        lua_pushvalue(L, ours[i]);
        lua_pushboolean(L, 1);
        lua_rawset(L, w->rule->skip);
    }
    settle_conflicts(w);
}
