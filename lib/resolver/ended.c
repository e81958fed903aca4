/* Functions of the site that detection has had to end because their time was over: it does not call them again until a
 * file that was on the stack then has been run anew, or an action has called them and come back (R17). So a getter that
 * does not end costs one time limit, not one for each row and batch.
 *
 * What is remembered is a value and a name: of a method the function and no name; of a field that a function gives
 * (`__index`) that function and the field; of a wrapper its type and the name of the method. A closure counts as ended
 * too if one of the same text has been whose upvalues hold the same functions: rows that are made one by one have
 * methods of their own.
 *
 * Owner thread: the session's. Rules: R17. */
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/text.h"
#include "resolver/resolver_internal.h"

/* More of them at a time are hardly meant: the oldest is forgotten, and costs another time limit. */
enum { ENDED_MAX = 64 };

struct ls__ended {
    uint32_t id;           /* > 0; value and name are at 2 * id and 2 * id + 1 of LS_REF_ENDED */
    struct ls_names files; /* keys of those with functions on the stack */
    struct ls_fault fault; /* what variables show */
};

/* [-0, +0, -] */
static void forget(struct ls_resolver_state *rs, uint32_t at)
{
    lua_State *L = rs->session->vm.L;
    if (lua_checkstack(L, 2)) {
        ls__at_push(rs, L, LS_REF_ENDED);
        for (int part = 0; part < 2; part++) {
            lua_pushnil(L);
            lua_rawseti(L, -2, 2 * (lua_Integer)rs->ended[at].id + part);
        }
        lua_pop(L, 1);
    }
    ls_names_release(&rs->ended[at].files);
    memmove(&rs->ended[at], &rs->ended[at + 1], (--rs->ended_count - at) * sizeof *rs->ended);
}

/* Of two closures of one function the values are another, what they do is the same; not so of two closures of a
 * function that calls what it was given. [-0, +0, -] */
static bool same_upvalues(lua_State *L, int a, int b)
{
    for (int n = 1;; n++) {
        const char *name = lua_getupvalue(L, a, n);
        bool other = lua_getupvalue(L, b, n);
        bool same = name && other && (lua_rawequal(L, -1, -2) || !(lua_isfunction(L, -1) || lua_isfunction(L, -2)));
        lua_pop(L, (name != NULL) + other);
        if (!name || !other) return !name && !other;
        if (!same) return false;
    }
}

/* The writer of lua_dump. [-0, +0, -] */
static int hash_code(lua_State *L, const void *bytes, size_t len, void *hash)
{
    (void)L;
    *(uint64_t *)hash = *(uint64_t *)hash * 31 + ls_hash(bytes, len);
    return 0;
}

/* [-0, +0, -] */
static uint64_t hash_of(lua_State *L, int function)
{
    uint64_t hash = 0;
    lua_pushvalue(L, function);
    lua_dump(L, hash_code, &hash, 0);
    lua_pop(L, 1);
    return hash;
}

/* [-0, +0, -] */
static bool same_code(lua_State *L, int a, int b)
{
    lua_Debug one, other;
    if (lua_rawequal(L, a, b)) return true;
    if (!lua_isfunction(L, a) || !lua_isfunction(L, b) || lua_iscfunction(L, a) || lua_iscfunction(L, b)) return false;
    lua_pushvalue(L, a);
    lua_getinfo(L, ">S", &one);
    lua_pushvalue(L, b);
    lua_getinfo(L, ">S", &other);
    return one.linedefined == other.linedefined && one.lastlinedefined == other.lastlinedefined &&
           strcmp(one.source, other.source) == 0 && same_upvalues(L, a, b) && hash_of(L, a) == hash_of(L, b);
}

/* @return its place in rs->ended, ended_count if it is not there. [-0, +0, -] */
static uint32_t find(struct ls_resolver_state *rs, int value, const char *name)
{
    lua_State *L = rs->session->vm.L;
    uint32_t at = 0;
    if (!lua_checkstack(L, 8)) return rs->ended_count;
    value = lua_absindex(L, value);
    ls__at_push(rs, L, LS_REF_ENDED);
    for (int top = lua_gettop(L); at < rs->ended_count; at++) {
        lua_Integer place = 2 * (lua_Integer)rs->ended[at].id;
        lua_rawgeti(L, top, place);
        lua_rawgeti(L, top, place + 1);
        const char *its = lua_tostring(L, -1);
        bool found = (name && its ? strcmp(name, its) == 0 : !name && !its) && same_code(L, top + 1, value);
        lua_settop(L, top);
        if (found) break;
    }
    lua_pop(L, 1);
    return at;
}

uint32_t ls__ended_find(struct ls_resolver_state *rs, int value, const char *name)
{
    uint32_t at = find(rs, value, name);
    return at < rs->ended_count ? rs->ended[at].id : 0;
}

int ls__ended_fault(struct ls_resolver_state *rs, uint32_t id, struct ls_fault *fault)
{
    for (uint32_t i = 0; i < rs->ended_count; i++)
        if (rs->ended[i].id == id) *fault = rs->ended[i].fault;
    return -1;
}

void ls__ended_returned(struct ls_resolver_state *rs, uint32_t id)
{
    for (uint32_t i = 0; i < rs->ended_count; i++)
        if (rs->ended[i].id == id) {
            forget(rs, i);
            return;
        }
}

/* What l_note is to remember. */
struct note {
    struct ls_resolver_state *rs;
    const char *name;
    struct ls_names files;
};

/* The file of the function itself: by a tail call it may have left the stack. [-0, +0, m] */
static LS_RAISES void note_file(lua_State *L, int value, struct note *note)
{
    lua_Debug ar;
    lua_pushvalue(L, value);
    if (note->name && lua_istable(L, -1)) {
        lua_pushstring(L, note->name);
        lua_rawget(L, -2);
    }
    if (!lua_isfunction(L, -1)) return;
    lua_getinfo(L, ">S", &ar);
    if (ar.source[0] == '@') (void)ls_names_add(&note->files, ar.source + 1);
}

/* [-2, +0, m] the note, value */
static LS_RAISES int l_note(lua_State *L)
{
    struct note *note = lua_touserdata(L, 1);
    lua_Integer place = 2 * ((lua_Integer)note->rs->ended_last + 1);
    note_file(L, 2, note);
    ls__at_push(note->rs, L, LS_REF_ENDED);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, place);
    lua_pushstring(L, note->name);
    lua_rawseti(L, -2, place + 1);
    return 0;
}

void ls__ended_note(struct ls_resolver_state *rs, int value, const char *name, struct ls_fault *fault)
{
    lua_State *L = rs->session->vm.L;
    if (!lua_checkstack(L, 8) || find(rs, value, name) < rs->ended_count) return;
    if (rs->ended_count == ENDED_MAX) forget(rs, 0);
    struct note note = {.rs = rs, .name = name};
    value = lua_absindex(L, value);
    lua_pushcfunction(L, l_note);
    lua_pushlightuserdata(L, &note);
    lua_pushvalue(L, value);
    int status = lua_pcall(L, 2, 0, 0);
    if (status != LUA_OK) lua_pop(L, 1);
    bool noted = status == LUA_OK && ls_names_copy(&note.files, &rs->session->vm.over_in) &&
                 LS_RESERVE(rs->ended, rs->ended_count + 1, rs->ended_cap);
    if (!noted) {
        ls_names_release(&note.files);
        return;
    }
    struct ls__ended *ended = &rs->ended[rs->ended_count++];
    *ended = (struct ls__ended){.id = ++rs->ended_last, .files = note.files};
    ls_fault_set(&ended->fault, fault->kind, "%.*s; it is not called again until its file is saved", LS_FAULT_TEXT - 80,
                 fault->text);
    *fault = ended->fault;
}

void ls__resolver_saved(struct ls_session *session, const char *key)
{
    struct ls_resolver_state *rs = session->resolver;
    for (uint32_t i = rs->ended_count; i-- > 0;)
        if (ls_names_has(&rs->ended[i].files, key)) forget(rs, i);
}

void ls__ended_free(struct ls_resolver_state *rs)
{
    for (uint32_t i = 0; i < rs->ended_count; i++)
        ls_names_release(&rs->ended[i].files);
    ls_free(rs->ended);
}
