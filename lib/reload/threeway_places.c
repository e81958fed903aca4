/* The governed places of the three-way rule: what an execution gave there is recorded, and each place takes its value
 * (H49, H51, H56).
 *
 * Owner thread: the session's. Every change is either in a table that the snapshot covers, or in a variable whose old
 * value goes into the undo list first, so a raise anywhere in here can be rolled back. */
#include "reload/threeway.h"

#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "reload/reload_state.h"
#include "reload/threeway_text.h"

enum verdict { TAKE_NEW, KEEP_PRESENT, KEEP_UNLESS_HELD };

LS_RAISES int ls__record_part(lua_State *L, int record, const char *name)
{
    lua_pushstring(L, name);
    int type = ls__raw_get(L, record, -1);
    lua_remove(L, -2);
    return type;
}

LS_RAISES bool ls__old_local_push(lua_State *L, int locals, const char *name)
{
    int top = lua_gettop(L);
    if (ls__record_part(L, locals, name) == LUA_TTABLE) {
        lua_rawgeti(L, top + 1, 1);
        lua_rawgeti(L, top + 1, 2);
        lua_remove(L, top + 1);
        if (lua_getupvalue(L, top + 1, (int)lua_tointeger(L, top + 2))) return true;
    }
    lua_settop(L, top);
    lua_settop(L, top + 3);
    return false;
}

bool ls__variable_push(struct ls_threeway *w, int var)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    if (!w->ids[var] || w->ids[var] == LS_MANY) return false;
    lua_rawgeti(L, w->vars, var + 1);
    ls__triples_push(L, top + 1, 1);
    if (!lua_getupvalue(L, top + 2, (int)lua_tointeger(L, top + 3))) lua_pushnil(L);
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
    return true;
}

/* --- recording --- */

/* Push a new table and the table that carries its content. [-0, +2, -] */
static void push_carried(struct ls_threeway *w, lua_Integer index)
{
    lua_rawgeti(w->L, w->queue, index);
    ls__raw_get(w->L, w->owned, -1);
}

/* Tables whose content goes to another place are recorded field by field, under the table that carries it from now on;
 * everywhere else their identity is enough. [-0, +0, m] */
static LS_RAISES void record_tables(struct ls_threeway *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    for (lua_Integer i = 1; i <= ls__count(w, w->queue); i++) { /* both have an identity of their own from here on */
        push_carried(w, i);
        ls__set_add(L, w->known);
        ls__set_add(L, w->known);
    }
    lua_newtable(L);
    for (lua_Integer i = 1; i <= ls__count(w, w->queue); i++) {
        push_carried(w, i); /* tables new carrier */
        ls__value_record_fields(L, top + 2, w->known);
        lua_rawset(L, top + 1);
        lua_settop(L, top + 1);
    }
    lua_setfield(L, w->next, LS_RECORD_TABLES);
}

/* Replace the value on top, part of the old record, by a copy of it, or by an empty table. What an execution does not
 * assign keeps the record it had, since it cannot be told from what was assigned equally (H49). [-1, +1, m] */
static LS_RAISES void copy_part(lua_State *L)
{
    if (lua_type(L, -1) == LUA_TTABLE)
        ls__raw_copy(L, -1);
    else
        lua_newtable(L);
    lua_remove(L, -2);
}

/* Push the record of the value at `idx` for a place that held the value at `before`. A table that was there before was
 * not made by this execution, so its content says nothing about the file. [-0, +1, m] */
static LS_RAISES void push_place_record(struct ls_threeway *w, int idx, int before)
{
    if (lua_type(w->L, idx) == LUA_TTABLE && lua_rawequal(w->L, idx, before))
        ls__value_identity(w->L, idx);
    else
        ls__value_record(w->L, idx, w->known);
}

/* [-0, +0, m] */
static LS_RAISES void record_changes(struct ls_threeway *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L), globals = top + 1, statics = top + 2, copied = top + 3, container = top + 5;
    ls__record_part(L, w->record, LS_RECORD_GLOBALS);
    copy_part(L);
    ls__record_part(L, w->record, LS_RECORD_STATICS);
    copy_part(L);
    lua_newtable(L); /* prototypes whose fields have been copied */
    lua_pushglobaltable(L);
    for (lua_Integer i = 1; i <= ls__count(w, w->changes); i++) {
        ls__change_push(w, i); /* globals statics copied _G container key before now */
        int fields = top + 9;
        if (lua_rawequal(L, container, top + 4)) {
            lua_pushvalue(L, globals);
        } else {
            ls__raw_get(L, statics, container);
            if (!ls__has_key(L, copied, container)) {
                copy_part(L);
                ls__raw_set(L, statics, container, fields);
                lua_pushvalue(L, container);
                ls__set_add(L, copied);
            }
        }
        push_place_record(w, container + 3, container + 2);
        ls__raw_set(L, fields, container + 1, -1);
        lua_settop(L, top + 4);
    }
    lua_settop(L, statics);
    lua_setfield(L, w->next, LS_RECORD_STATICS);
    lua_setfield(L, w->next, LS_RECORD_GLOBALS);
}

/* [-0, +0, m] */
static LS_RAISES void record_locals(struct ls_threeway *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L), value = top + 3, list = top + 4;
    lua_newtable(L);
    ls__record_part(L, w->record, LS_RECORD_LOCALS);
    for (int var = 0; var < ls__scope_count(w->scope); var++) {
        const char *name = ls__scope_name(w->scope, var);
        if (!ls__variable_push(w, var)) {
            if (ls__scope_captured(w->scope, var))
                ls_buf_printf(&w->run->notes, "local %s follows the file: %s\n", name,
                              w->ids[var] ? "it is made more than once" : "no function that uses it was found");
            continue;
        }
        lua_rawgeti(L, w->vars, var + 1);
        ls__triples_push(L, list, 1); /* locals old value list function index nil */
        ls__old_local_push(L, top + 2, name);
        push_place_record(w, value, lua_gettop(L));
        ls__triple_new(L, list + 1, list + 2, lua_gettop(L));
        lua_setfield(L, top + 1, name);
        lua_settop(L, top + 2);
    }
    lua_settop(L, top + 1);
    lua_setfield(L, w->next, LS_RECORD_LOCALS);
}

LS_RAISES void ls__places_record(struct ls_threeway *w)
{
    record_tables(w);
    record_changes(w);
    if (w->scope) record_locals(w);
}

/* --- deciding --- */

/* What becomes of a place: n, c and s are indexes of the new value, the present one and the record. [-0, +0, m] */
static enum verdict judge(struct ls_threeway *w, int n, int c, int s)
{
    lua_State *L = w->L;
    if (lua_type(L, n) == LUA_TFUNCTION) return TAKE_NEW;
    if (lua_rawequal(L, n, c)) return KEEP_PRESENT;
    bool displaced = lua_type(L, n) == LUA_TTABLE && lua_type(L, c) == LUA_TTABLE;
    if (!ls__value_equal(L, n, s, displaced ? w->candidates : 0)) return TAKE_NEW;
    return displaced ? KEEP_UNLESS_HELD : KEEP_PRESENT;
}

/* As `judge`, where the record may have nothing for the place. [-0, +0, m] */
static enum verdict judge_recorded(struct ls_threeway *w, int n, int c, int s)
{
    lua_State *L = w->L;
    if (!lua_isnil(L, s)) return judge(w, n, c, s);
    bool data = lua_type(L, n) != LUA_TFUNCTION && lua_type(L, c) != LUA_TFUNCTION && !lua_isnil(L, c);
    return w->no_base && data ? KEEP_PRESENT : TAKE_NEW;
}

/* Give the variable behind upvalue `up` of the function at `f` the value at `n`; its present one goes into the undo
 * list. [-0, +0, m] */
static LS_RAISES void set_variable(struct ls_threeway *w, int f, int up, int n)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    lua_pushinteger(L, up);
    if (!lua_getupvalue(L, f, up)) lua_pushnil(L);
    ls__triples_add(L, w->undo, f, top + 1, top + 2);
    lua_pushvalue(L, n);
    lua_setupvalue(L, f, up);
    lua_settop(L, top);
}

static bool in_snapshot(struct ls_threeway *w, int container)
{
    ls__snapshot_fields(w->L, w->snapshot, container);
    bool in = !lua_isnil(w->L, -1);
    lua_pop(w->L, 1);
    return in;
}

/* A field of the table at `table`: key, record, present and new value at these indexes. It has the new value if
 * `assigned`, else the present one. A table of the run that the file has made an equal one for is a conflict, see
 * settle_conflicts. [-0, +0, m] */
static LS_RAISES void decide_field(struct ls_threeway *w, int table, int key, int s, int c, int n, bool assigned)
{
    enum verdict verdict = judge_recorded(w, n, c, s);
    if ((verdict == TAKE_NEW) != assigned && !lua_rawequal(w->L, n, c))
        ls__raw_set(w->L, table, key, verdict == TAKE_NEW ? n : c);
    if (verdict == KEEP_UNLESS_HELD) ls__triples_add(w->L, w->conflicts, table, key, n);
}

/* A global or a static that the chunk has assigned. [-0, +0, m] */
static LS_RAISES void decide_changes(struct ls_threeway *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L), container = top + 4;
    ls__record_part(L, w->record, LS_RECORD_GLOBALS);
    ls__record_part(L, w->record, LS_RECORD_STATICS);
    lua_pushglobaltable(L);
    for (lua_Integer i = 1; i <= ls__count(w, w->changes); i++) {
        ls__change_push(w, i); /* globals statics _G container key before now */
        bool global = lua_rawequal(L, container, top + 3) != 0;
        if (global)
            lua_pushvalue(L, top + 1);
        else
            ls__raw_get(L, top + 2, container);
        ls__raw_get(L, -1, container + 1);       /* … fields s */
        if (global || in_snapshot(w, container)) /* a prototype of this very run has no present values */
            decide_field(w, container, container + 1, lua_gettop(L), container + 2, container + 3, true);
        lua_settop(L, top + 3);
    }
    lua_settop(L, top);
}

struct owner {
    struct ls_threeway *w;
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
    const struct ls_threeway *rule = owner->w;
    const char *made;
    size_t made_len;
    if (!lua_checkstack(owner->w->L, 6)) return true;
    if (kind == LS_OWNER_RETURNED) return lua_rawequal(owner->w->L, owner->o, rule->old_value);
    if (kind == LS_OWNER_NAMED) return is_called(owner, text, len);
    if (len == 4 && memcmp(text, "self", 4) == 0) return false;
    if (ls__text_names(rule->run->text, rule->run->len, text, len, &made, &made_len) && made)
        return is_called(owner, made, made_len);
    return is_global(owner, text, len) != 0;
}

/* Does the text still define the function `key` for the table at `o`? Other keys than names cannot be asked for. */
static bool is_defined(struct ls_threeway *w, int key, int o, int n)
{
    if (lua_type(w->L, key) != LUA_TSTRING) return false;
    size_t len;
    const char *name = lua_tolstring(w->L, key, &len);
    struct owner owner = {w, o, n};
    return ls__text_defines(w->run->text, w->run->len, name, len, is_owners, &owner);
}

/* Might the text still give something to the field at `key`? Reading it does not count: who has removed `M.limit = 5`
 * means the default of `M.limit or 10`. A name in a string may be a key, and one before a comma the first of several
 * that are assigned. */
static bool may_be_assigned(struct ls_threeway *w, int key)
{
    if (lua_type(w->L, key) != LUA_TSTRING) return false;
    size_t len;
    const char *name = lua_tolstring(w->L, key, &len), *text = w->run->text, *end = text + w->run->len;
    while ((text = ls_find_word(text, (size_t)(end - text), name, len))) {
        if (text > w->run->text && (text[-1] == '"' || text[-1] == '\'')) return true;
        text += len;
        const char *next = text;
        while (next < end && (isspace((unsigned char)*next) || *next == ']'))
            next++;
        if (next < end && (*next == ',' || (*next == '=' && (next + 1 == end || next[1] != '=')))) return true;
    }
    return false;
}

static void note_removed(struct ls_threeway *w, int key)
{
    struct ls_buf *removed = &w->run->removed;
    w->run->methods_removed++;
    if (removed->len) ls_buf_str(removed, ", ");
    ls_buf_str(removed, lua_type(w->L, key) == LUA_TSTRING ? lua_tostring(w->L, key) : "?");
}

/* Own fields of the table at `o` that the execution before gave and this one did not (H51; for data of module tables
 * H49). What is still defined may be under a guard, so it stays. [-0, +0, m] */
static LS_RAISES void remove_gone(struct ls_threeway *w, int o, int n, int content, bool data)
{
    lua_State *L = w->L;
    int key = lua_gettop(L) + 1, s = key + 1, c = key + 2;
    if (lua_type(L, content) != LUA_TTABLE) return;
    for (lua_pushnil(L); lua_next(L, content); lua_settop(L, key)) {
        bool function = lua_type(L, s) == LUA_TFUNCTION;
        bool gone = ls__raw_get(L, o, key) != LUA_TNIL &&
                    (function ? !w->run->session->vm.config.keep_removed_methods : data) &&
                    !(n && ls__has_key(L, n, key));
        if (!gone || (function ? is_defined(w, key, o, n) : may_be_assigned(w, key)) || !ls__value_equal(L, c, s, 0))
            continue;
        if (function) note_removed(w, key);
        lua_pushnil(L);
        ls__raw_set(L, o, key, c + 1);
    }
}

/* The table at `o` takes the content of the new table at `n`; `content` is what the file gave it before, or nil.
 * [-0, +0, m] */
static LS_RAISES void take_over(struct ls_threeway *w, int n, int o, int content)
{
    lua_State *L = w->L;
    int key = lua_gettop(L) + 1;
    ls__snapshot_add(L, w->snapshot, o);
    for (lua_pushnil(L); lua_next(L, n); lua_settop(L, key)) { /* key new */
        ls__raw_get(L, o, key);
        ls__raw_get(L, content, key); /* key new present s */
        decide_field(w, o, key, key + 3, key + 2, key + 1, false);
    }
    remove_gone(w, o, n, content, true);
    if (!lua_getmetatable(L, n)) lua_pushnil(L);
    ls__set_metatable(L, o);
}

static LS_RAISES void decide_tables(struct ls_threeway *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    ls__record_part(L, w->record, LS_RECORD_TABLES);
    for (lua_Integer i = 1; i <= ls__count(w, w->queue); i++) {
        push_carried(w, i); /* tables new old */
        if (!lua_rawequal(L, -1, -2)) {
            ls__raw_get(L, top + 1, top + 3);
            ls__value_content(L, top + 4); /* tables new old record content */
            take_over(w, top + 2, top + 3, top + 5);
        }
        lua_settop(L, top + 1);
    }
    lua_settop(L, top);
}

/* Methods that left prototypes which the new text declares (H51). [-0, +0, m] */
static void decide_prototypes(struct ls_threeway *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    if (ls__record_part(L, w->record, LS_RECORD_STATICS) == LUA_TTABLE)
        for (lua_pushnil(L); lua_next(L, top + 1); lua_settop(L, top + 2)) /* statics prototype fields */
            if (ls__has_key(L, w->redeclared, top + 2) && ls__has_key(L, w->prototypes, top + 2))
                remove_gone(w, top + 2, 0, top + 3, false);
    lua_settop(L, top);
}

/* Is the variable one that the file defines as a function? A callback that the run has put into a data variable is data
 * of the run. Where nothing was recorded, a function of the file counts as its definition. */
static bool is_function_local(struct ls_threeway *w, int c, int n, int s)
{
    lua_State *L = w->L;
    if (lua_type(L, n) == LUA_TFUNCTION || lua_type(L, s) == LUA_TFUNCTION) return true;
    if (!w->no_base || !lua_isnil(L, s) || lua_type(L, c) != LUA_TFUNCTION) return false;
    lua_Debug ar;
    lua_pushvalue(L, c);
    lua_getinfo(L, ">S", &ar);
    return strcmp(ar.source, w->source) == 0;
}

/* One variable of the file: the old version's at f, up, c; the list of the new functions that use the new one; n and s.
 * Data is shared by joining, so that callbacks of the old version and the new code see one variable. [-0, +0, m] */
static LS_RAISES void decide_local(struct ls_threeway *w, int list, int f, int up, int c, int n, int s)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    if (is_function_local(w, c, n, s)) return;
    enum verdict verdict = lua_isnil(L, n) ? KEEP_PRESENT : judge_recorded(w, n, c, s);
    if (verdict == TAKE_NEW) set_variable(w, f, up, n);
    for (lua_Integer i = 1; i <= ls__count(w, list); i++) {
        ls__triples_push(L, list, i);
        int index = (int)lua_tointeger(L, top + 2);
        /* Whoever still has the new variable because no walk found it sees the run's value at least. */
        lua_pushvalue(L, c);
        if (verdict != TAKE_NEW) lua_setupvalue(L, top + 1, index);
        lua_upvaluejoin(L, top + 1, index, f, up);
        lua_settop(L, top);
    }
    lua_pushinteger(L, up);
    if (verdict == KEEP_UNLESS_HELD) ls__triples_add(L, w->conflicts, f, top + 1, n);
    lua_settop(L, top);
}

static LS_RAISES void decide_locals(struct ls_threeway *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L), f = top + 4;
    ls__record_part(L, w->record, LS_RECORD_LOCALS);
    for (int var = 0; var < ls__scope_count(w->scope); var++) {
        const char *name = ls__scope_name(w->scope, var);
        if (!ls__variable_push(w, var)) continue;
        lua_rawgeti(L, w->vars, var + 1);
        if (ls__old_local_push(L, top + 1, name)) { /* locals n list f up c */
            ls__record_part(L, top + 1, name);
            lua_rawgeti(L, -1, 3); /* … record s */
            decide_local(w, top + 3, f, (int)lua_tointeger(L, f + 1), f + 2, top + 2, f + 4);
        }
        lua_settop(L, top + 1);
    }
    lua_settop(L, top);
}

/* A new table that something else than governed places holds wins everywhere: the page must never show one table while
 * the code changes another (H49). [-0, +0, m] */
static LS_RAISES void settle_conflicts(struct ls_threeway *w)
{
    lua_State *L = w->L;
    int top = lua_gettop(L), holder = top + 2, key = top + 3, new = top + 4;
    if (ls__count(w, w->conflicts) == 0) return;
    lua_newtable(L);
    ls__find_held(L, w->candidates, top + 1, w->skip);
    for (lua_Integer i = 1; i <= ls__count(w, w->conflicts); i++) {
        ls__triples_push(L, w->conflicts, i);
        lua_pushvalue(L, new); /* held holder key new new */
        if (ls__value_group(L, w->candidates) && ls__has_key(L, top + 1, new + 1)) {
            const char *name;
            if (lua_type(L, holder) == LUA_TTABLE) {
                ls__raw_set(L, holder, key, new);
                name = lua_type(L, key) == LUA_TSTRING ? lua_tostring(L, key) : NULL;
            } else {
                set_variable(w, holder, (int)lua_tointeger(L, key), new);
                name = lua_getupvalue(L, holder, (int)lua_tointeger(L, key));
            }
            ls_buf_printf(&w->run->notes, "%s follows the file: its new table is held elsewhere\n", name ? name : "?");
        }
        lua_settop(L, top + 1);
    }
    lua_settop(L, top);
}

LS_RAISES void ls__places_decide(struct ls_threeway *w)
{
    decide_tables(w);
    decide_changes(w);
    decide_prototypes(w);
    if (w->scope) decide_locals(w);
    /* From here on nothing but the places themselves refers to what they have given up; the search must not meet it in
     * our lists. */
    const int ours[] = {w->next,   w->changes,   w->owned, w->queue,    w->taken,
                        w->tables, w->functions, w->vars,  w->conflicts};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        lua_pushvalue(w->L, ours[i]);
        ls__set_add(w->L, w->skip);
    }
    settle_conflicts(w);
}
