/* What the first execution of a text gave to its governed places (H49), kept once for all sessions of a server that
 * does not watch (H2).
 *
 * A record of its own for each session costs memory and time that only a watching server has a use for. Without one a
 * reload by command could not tell an edited value from one that the run has changed. A text gives the same data in
 * each session, so the first session that loads it records, and what can be written down of it (primitives, and plain
 * tables of them) is left here for the others. A place whose value differs from session to session by itself is judged
 * by that of the first.
 *
 * Functions need no record: one that was compiled from the file and stands in a place of the file has been put there by
 * it.
 *
 * Owner thread: the session's. */
#include "reload/reload_state.h"

#include <string.h>

#include "base/text.h"
#include "model/prototype.h"
#include "vm/chunks.h"

enum { LARGEST_BYTES = 65536 }; /* of one file: data files of any size are loaded as modules, too */
enum { RECORD_TABLE = 1, RECORD_META = 2, RECORD_CONTENT = 3 }; /* slots of a record (threeway_value.c) */

enum where { GLOBAL = 'g', STATIC = 'p', VALUE = 'v', LOCAL = 'l' };

/* --- writing --- */

struct keeping {
    struct ls_session *session;
    const char *key;
    struct ls_buf *out; /* owned by the caller, so that nothing is lost when something raises */
};

static void write_bytes(struct ls_buf *out, const char *text, size_t len)
{
    uint32_t size = (uint32_t)len;
    ls_buf_add(out, &size, sizeof size);
    ls_buf_add(out, text, len);
}

static bool write_value(struct ls_buf *out, lua_State *L, int idx);

/* A record of a plain table. [-0, +0, -] */
static bool write_table(struct ls_buf *out, lua_State *L, int idx)
{
    int top = lua_gettop(L);
    lua_rawgeti(L, idx, RECORD_META);
    lua_rawgeti(L, idx, RECORD_CONTENT);
    bool fine = !lua_toboolean(L, top + 1) && lua_type(L, top + 2) == LUA_TTABLE;
    ls_buf_char(out, '{');
    if (fine) {
        lua_pushnil(L);
        while (fine && lua_next(L, top + 2)) { /* key record */
            fine = lua_type(L, top + 3) != LUA_TTABLE && write_value(out, L, top + 3) && write_value(out, L, top + 4);
            lua_settop(L, top + 3);
        }
    }
    ls_buf_char(out, '}');
    lua_settop(L, top);
    return fine;
}

/* @return could it be written down? [-0, +0, -] */
static bool write_value(struct ls_buf *out, lua_State *L, int idx)
{
    if (!lua_checkstack(L, 8) || out->len > LARGEST_BYTES) return false;
    size_t len;
    switch (lua_type(L, idx)) {
    case LUA_TBOOLEAN: ls_buf_char(out, lua_toboolean(L, idx) ? 't' : 'f'); return true;
    case LUA_TNUMBER:
        if (lua_isinteger(L, idx)) {
            lua_Integer number = lua_tointeger(L, idx);
            ls_buf_char(out, 'i');
            ls_buf_add(out, &number, sizeof number);
        } else {
            lua_Number number = lua_tonumber(L, idx);
            ls_buf_char(out, 'n');
            ls_buf_add(out, &number, sizeof number);
        }
        return true;
    case LUA_TSTRING: {
        const char *text = lua_tolstring(L, idx, &len);
        ls_buf_char(out, 's');
        write_bytes(out, text, len);
        return true;
    }
    case LUA_TTABLE: return write_table(out, L, idx);
    default: return false;
    }
}

/* One place, if its value can be written down. The name is at `name`, the record at `value`. [-0, +0, -] */
static void write_place(struct ls_buf *out, lua_State *L, enum where where, const char *owner, int name, int value)
{
    size_t begin = out->len, len;
    if (lua_type(L, name) != LUA_TSTRING) return;
    const char *text = lua_tolstring(L, name, &len);
    ls_buf_char(out, (char)where);
    write_bytes(out, owner, strlen(owner));
    write_bytes(out, text, len);
    if (!write_value(out, L, value)) ls_buf_cut(out, begin);
}

/* All places of the table at `fields`; `slot` is where a place's record is when it is not the value itself. [-0, +0, -]
 * */
static void write_places(struct ls_buf *out, lua_State *L, enum where where, const char *owner, int fields, int slot)
{
    int top = lua_gettop(L);
    if (lua_type(L, fields) != LUA_TTABLE) return;
    lua_pushnil(L);
    while (lua_next(L, fields)) {
        if (slot && lua_type(L, top + 2) == LUA_TTABLE) lua_rawgeti(L, top + 2, slot);
        write_place(out, L, where, owner, top + 1, lua_gettop(L));
        lua_settop(L, top + 1);
    }
}

/* Push the module's value, nil if it has none. [-0, +1, m] */
static LS_RAISES void push_value(struct ls_session *session, lua_State *L, const char *key)
{
    ls__ref_push(session, L, session->model->ref_loaded);
    lua_getfield(L, -1, key);
    lua_remove(L, -2);
}

/* [-1, +0, m] */
static LS_RAISES int l_keep(lua_State *L)
{
    const struct keeping *keeping = lua_touserdata(L, 1);
    struct ls_session *session = keeping->session;
    struct ls_buf *out = keeping->out;
    lua_settop(L, 0);
    luaL_checkstack(L, 20, "reload");
    ls__ref_push(session, L, session->reload->records);
    if (lua_getfield(L, 1, keeping->key) != LUA_TTABLE) return 0;
    lua_getfield(L, 2, LS_RECORD_GLOBALS);
    write_places(out, L, GLOBAL, "", 3, 0);
    lua_getfield(L, 2, LS_RECORD_LOCALS);
    write_places(out, L, LOCAL, "", 4, 3);
    lua_getfield(L, 2, LS_RECORD_STATICS);
    for (uint32_t i = 0; i < session->model->proto_count && lua_type(L, 5) == LUA_TTABLE; i++) {
        const struct ls_proto *proto = session->model->protos[i];
        if (!proto) continue;
        ls__ref_push(session, L, proto->table);
        lua_rawget(L, 5);
        write_places(out, L, STATIC, proto->name, 6, 0);
        lua_settop(L, 5);
    }
    lua_getfield(L, 2, LS_RECORD_TABLES);
    push_value(session, L, keeping->key);
    if (lua_type(L, 6) == LUA_TTABLE && lua_type(L, 7) == LUA_TTABLE) {
        lua_rawget(L, 6);
        if (lua_type(L, 7) == LUA_TTABLE) {
            lua_rawgeti(L, 7, RECORD_CONTENT);
            write_places(out, L, VALUE, "", 8, 0);
        }
    }
    return 0;
}

void ls__given_keep(struct ls_session *session, const char *key, uint64_t hash)
{
    struct ls_buf out = LS_BUF_INIT;
    LS_ERR(err);
    struct keeping keeping = {session, key, &out};
    if (ls__lrun(session, l_keep, &keeping, 0, &err) == 0 && !ls_buf_failed(&out)) {
        struct ls_bytes *given = ls_bytes_new(ls_buf_text(&out), out.len);
        if (given) ls__chunks_give(session->vm.chunks, key, hash, given);
        ls_bytes_unref(given);
    }
    ls_buf_release(&out);
}

bool ls__given_wanted(const struct ls_session *session, const char *key, const char *text, size_t len, uint64_t *hash)
{
    if (session->vm.config.hot || !session->vm.chunks) return false;
    *hash = session->vm.hashed == text ? session->vm.hash : ls_hash(text, len);
    struct ls_bytes *given = ls__chunks_given(session->vm.chunks, key, *hash);
    ls_bytes_unref(given);
    return !given;
}

/* --- reading: what is here was written above, by this process --- */

struct reading {
    const char *at, *end;
};

static const char *read_bytes(struct reading *in, size_t *len)
{
    uint32_t size;
    memcpy(&size, in->at, sizeof size);
    const char *text = in->at + sizeof size;
    in->at = text + size;
    *len = size;
    return text;
}

/* Push a value, or the record of a table. [-0, +1, m] */
static LS_RAISES void read_value(struct reading *in, lua_State *L)
{
    lua_Integer integer;
    lua_Number number;
    size_t len;
    const char *text;
    luaL_checkstack(L, 8, "reload");
    char type = *in->at++;
    switch (type) {
    case 'i':
        memcpy(&integer, in->at, sizeof integer);
        in->at += sizeof integer;
        lua_pushinteger(L, integer);
        return;
    case 'n':
        memcpy(&number, in->at, sizeof number);
        in->at += sizeof number;
        lua_pushnumber(L, number);
        return;
    case 's':
        text = read_bytes(in, &len);
        lua_pushlstring(L, text, len);
        return;
    case '{':
        lua_createtable(L, 3, 0);
        for (int slot = RECORD_TABLE; slot <= RECORD_META; slot++) {
            lua_pushboolean(L, 0);
            lua_rawseti(L, -2, slot);
        }
        lua_newtable(L);
        while (*in->at != '}') {
            read_value(in, L);
            read_value(in, L);
            lua_rawset(L, -3);
        }
        in->at++;
        lua_rawseti(L, -2, RECORD_CONTENT);
        return;
    default: lua_pushboolean(L, type == 't');
    }
}

/* Push table[key], made if it is not there; both are on the stack. [-1, +1, m] */
static LS_RAISES void push_part(lua_State *L, int table)
{
    lua_pushvalue(L, -1);
    if (lua_rawget(L, table) == LUA_TTABLE) {
        lua_remove(L, -2);
        return;
    }
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_rawset(L, table);
    lua_remove(L, -2);
}

/* Push the table of the places of one kind: that of the module's value is at `content`, 0 = it is no table. @return is
 * there one [-0, +1, m] */
static LS_RAISES bool push_places(struct ls_session *session, lua_State *L, int base, enum where where,
                                  const char *owner, int content)
{
    const struct ls_proto *proto = where == STATIC ? ls__proto_find(session, owner) : NULL;
    if ((where == VALUE && !content) || (where == STATIC && !proto)) {
        lua_pushnil(L);
        return false;
    }
    if (where == VALUE) {
        lua_pushvalue(L, content);
        return true;
    }
    lua_pushstring(L, where == GLOBAL ? LS_RECORD_GLOBALS : where == LOCAL ? LS_RECORD_LOCALS : LS_RECORD_STATICS);
    push_part(L, base);
    if (proto) {
        ls__ref_push(session, L, proto->table);
        push_part(L, lua_gettop(L) - 1);
        lua_remove(L, -2);
    }
    return true;
}

/* The data that the text gave when it was first executed, whoever executed it. [-0, +0, m] */
static LS_RAISES void add_data(struct ls_session *session, lua_State *L, int base, const struct ls_bytes *given,
                               int content)
{
    struct reading in = {ls_bytes_data(given), ls_bytes_data(given) + ls_bytes_len(given)};
    int top = lua_gettop(L);
    while (in.at < in.end) {
        size_t owner_len, len;
        enum where where = (enum where) * in.at++;
        const char *owner = read_bytes(&in, &owner_len);
        owner = lua_pushlstring(L, owner, owner_len);
        const char *name = read_bytes(&in, &len);
        lua_pushlstring(L, name, len);
        read_value(&in, L); /* owner name value */
        if (push_places(session, L, base, where, owner, content)) {
            int places = top + 4;
            lua_pushvalue(L, top + 2);
            if (where != LOCAL) {
                lua_pushvalue(L, top + 3);
                lua_rawset(L, places);
            } else if (lua_rawget(L, places) == LUA_TTABLE) { /* the variable was found */
                lua_pushvalue(L, top + 3);
                lua_rawseti(L, -2, 3);
            }
        }
        lua_settop(L, top);
    }
}

/* Functions of the file in the table at `table` go into the table of its places at `places`. [-0, +0, m] */
static LS_RAISES void add_functions(lua_State *L, int table, int places, const char *key)
{
    lua_Debug info;
    int top = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, table)) {
        bool own = lua_type(L, top + 2) == LUA_TFUNCTION && !lua_iscfunction(L, top + 2);
        if (own) {
            lua_pushvalue(L, top + 2);
            lua_getinfo(L, ">S", &info);
            own = *info.source == '@' && strcmp(info.source + 1, key) == 0;
        }
        if (own) {
            lua_pushvalue(L, top + 1);
            lua_pushvalue(L, top + 2);
            lua_rawset(L, places);
        }
        lua_settop(L, top + 1);
    }
}

LS_RAISES void ls__given_push(struct ls_session *session, lua_State *L, int base, const struct ls_module *module)
{
    int top = lua_gettop(L), content = 0;
    luaL_checkstack(L, 20, "reload");
    push_value(session, L, module->key);
    if (lua_type(L, top + 1) == LUA_TTABLE) {
        lua_newtable(L); /* value tables */
        lua_pushvalue(L, top + 1);
        lua_createtable(L, 3, 0);
        for (int slot = RECORD_TABLE; slot <= RECORD_META; slot++) {
            lua_pushboolean(L, 0);
            lua_rawseti(L, -2, slot);
        }
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawseti(L, -3, RECORD_CONTENT); /* value tables value record content */
        content = top + 3;
        lua_insert(L, content);
        lua_rawset(L, top + 2);
        lua_pushvalue(L, top + 2);
        lua_setfield(L, base, LS_RECORD_TABLES); /* value tables content */
        add_functions(L, top + 1, content, module->key);
    }
    for (uint32_t i = 0; i < module->prototypes.count; i++) {
        const struct ls_proto *proto = ls__proto_find(session, module->prototypes.items[i]);
        if (!proto) continue;
        int before = lua_gettop(L);
        ls__ref_push(session, L, proto->table);
        push_places(session, L, base, STATIC, proto->name, 0);
        add_functions(L, before + 1, before + 2, module->key);
        lua_settop(L, before);
    }
    struct ls_bytes *given =
        session->vm.chunks ? ls__chunks_given(session->vm.chunks, module->key, module->hash) : NULL;
    ls_bytes_unref(session->reload->given); /* of a reading that raised */
    session->reload->given = given;
    if (given) add_data(session, L, base, given, content);
    session->reload->given = NULL;
    ls_bytes_unref(given);
    lua_settop(L, top);
}
