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

#include <math.h>
#include <string.h>

#include "base/text.h"
#include "model/prototype.h"
#include "vm/chunks.h"

enum { LARGEST_BYTES = 65536 }; /* of one file: data files of any size are loaded as modules, too */

/* --- writing: a Lua text that gives a table of places, each kind under its LS_RECORD_… name --- */

#define VALUE "value" /* fields of the module's value */

struct keeping {
    struct ls_session *session;
    const char *key;
    struct ls_buf *out; /* owned by the caller, so that nothing is lost when something raises */
};

static void write_string(struct ls_buf *out, const char *text, size_t len)
{
    ls_buf_char(out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < ' ' || c > '~' || c == '"' || c == '\\')
            ls_buf_printf(out, "\\%03u", c);
        else
            ls_buf_char(out, (char)c);
    }
    ls_buf_char(out, '"');
}

static bool write_value(struct ls_buf *out, lua_State *L, int idx);

/* A record of a plain table. [-0, +0, -] */
static bool write_table(struct ls_buf *out, lua_State *L, int idx)
{
    int top = lua_gettop(L);
    lua_rawgeti(L, idx, LS_VALUE_META);
    bool fine = !lua_toboolean(L, top + 1) && lua_rawgeti(L, idx, LS_VALUE_CONTENT) == LUA_TTABLE;
    ls_buf_str(out, "{false,false,{");
    if (fine)
        for (lua_pushnil(L); fine && lua_next(L, top + 2); lua_settop(L, top + 3)) { /* key record */
            ls_buf_char(out, '[');
            fine = lua_type(L, top + 3) != LUA_TTABLE && write_value(out, L, top + 3);
            ls_buf_str(out, "]=");
            fine = fine && write_value(out, L, top + 4);
            ls_buf_char(out, ',');
        }
    ls_buf_str(out, "}}");
    lua_settop(L, top);
    return fine;
}

/* @return could it be written down? [-0, +0, -] */
static bool write_value(struct ls_buf *out, lua_State *L, int idx)
{
    if (!lua_checkstack(L, 8) || out->len > LARGEST_BYTES) return false;
    size_t len;
    const char *text;
    lua_Number number;
    switch (lua_type(L, idx)) {
    case LUA_TBOOLEAN: ls_buf_str(out, lua_toboolean(L, idx) ? "true" : "false"); return true;
    case LUA_TNUMBER:
        number = lua_tonumber(L, idx);
        if (lua_isinteger(L, idx)) /* the smallest one has no literal: as hexadecimal it wraps round to itself */
            ls_buf_printf(out, "0x%llx", (unsigned long long)lua_tointeger(L, idx));
        else if (isnan(number))
            ls_buf_str(out, "0/0");
        else if (isinf(number))
            ls_buf_str(out, number > 0 ? "1e999" : "-1e999");
        else
            ls_buf_printf(out, "%a", number);
        return true;
    case LUA_TSTRING:
        text = lua_tolstring(L, idx, &len);
        write_string(out, text, len);
        return true;
    case LUA_TTABLE: return write_table(out, L, idx);
    default: return false;
    }
}

/* Those places of the table at `fields` whose value can be written down; `slot` is where a place's record is when it is
 * not the value itself. [-0, +0, -] */
static void write_places(struct ls_buf *out, lua_State *L, const char *name, int fields, int slot)
{
    int top = lua_gettop(L);
    ls_buf_char(out, '[');
    write_string(out, name, strlen(name));
    ls_buf_str(out, "]={");
    if (lua_type(L, fields) == LUA_TTABLE)
        for (lua_pushnil(L); lua_next(L, fields); lua_settop(L, top + 1)) {
            size_t begun = out->len, len;
            if (lua_type(L, top + 1) != LUA_TSTRING) continue;
            if (slot && lua_type(L, top + 2) == LUA_TTABLE) lua_rawgeti(L, top + 2, slot);
            const char *text = lua_tolstring(L, top + 1, &len);
            ls_buf_char(out, '[');
            write_string(out, text, len);
            ls_buf_str(out, "]=");
            if (write_value(out, L, lua_gettop(L)))
                ls_buf_char(out, ',');
            else
                ls_buf_cut(out, begun);
        }
    ls_buf_str(out, "},");
}

/* [-1, +0, m] */
static LS_RAISES int l_keep(lua_State *L)
{
    const struct keeping *keeping = lua_touserdata(L, 1);
    struct ls_session *session = keeping->session;
    struct ls_buf *out = keeping->out;
    enum { RECORD = 1, PART, PLACES };
    lua_settop(L, 0);
    luaL_checkstack(L, 20, "reload");
    if (ls__push_field(session, L, session->reload->records, keeping->key) != LUA_TTABLE) return 0;
    ls_buf_str(out, "return {");
    ls__record_part(L, RECORD, LS_RECORD_GLOBALS);
    write_places(out, L, LS_RECORD_GLOBALS, PART, 0);
    lua_settop(L, RECORD);
    ls__record_part(L, RECORD, LS_RECORD_LOCALS);
    write_places(out, L, LS_RECORD_LOCALS, PART, 3);
    lua_settop(L, RECORD);
    ls__record_part(L, RECORD, LS_RECORD_TABLES);
    ls__push_field(session, L, session->model->ref_loaded, keeping->key);
    ls__raw_get(L, PART, PLACES);
    ls__value_content(L, PLACES + 1);
    write_places(out, L, VALUE, PLACES + 2, 0);
    lua_settop(L, RECORD);
    ls__record_part(L, RECORD, LS_RECORD_STATICS);
    ls_buf_str(out, LS_RECORD_STATICS "={");
    for (uint32_t i = 0; i < session->model->proto_count && lua_type(L, PART) == LUA_TTABLE; i++) {
        const struct ls_proto *proto = session->model->protos[i];
        if (!proto) continue;
        ls__ref_push(session, L, proto->table);
        if (ls__raw_get(L, PART, PLACES) == LUA_TTABLE) write_places(out, L, proto->name, PLACES + 1, 0);
        lua_settop(L, PART);
    }
    ls_buf_str(out, "}}");
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

/* --- reading --- */

/* Push table[key] of the key on top, made if it is not there. [-1, +1, m] */
static LS_RAISES void push_part(lua_State *L, int table)
{
    int key = lua_gettop(L);
    if (ls__raw_get(L, table, key) != LUA_TTABLE) {
        lua_settop(L, key);
        lua_newtable(L);
        ls__raw_set(L, table, key, key + 1);
    }
    lua_remove(L, key);
}

/* Push the table of a prototype's statics in the base. [-0, +1, m] */
static LS_RAISES void push_statics(struct ls_session *session, lua_State *L, int base, const struct ls_proto *proto)
{
    lua_pushliteral(L, LS_RECORD_STATICS);
    push_part(L, base);
    ls__ref_push(session, L, proto->table);
    push_part(L, lua_gettop(L) - 1);
    lua_remove(L, -2);
}

/* What the table at `from` holds goes into the one on top, which is popped; either may be none. [-1, +0, m] */
static LS_RAISES void merge(lua_State *L, int from)
{
    int into = lua_gettop(L);
    if (lua_type(L, into) == LUA_TTABLE && lua_type(L, from) == LUA_TTABLE)
        for (lua_pushnil(L); lua_next(L, from); lua_pop(L, 1))
            ls__raw_set(L, into, into + 1, into + 2);
    lua_settop(L, into - 1);
}

/* The data that the text gave when it was first executed, whoever executed it. `content` is that of the module's value,
 * or holds none. [-0, +0, m] */
static LS_RAISES void add_data(struct ls_session *session, lua_State *L, int base, const struct ls_bytes *given,
                               int content)
{
    int top = lua_gettop(L), data = top + 1, part = top + 2, key = top + 3, value = top + 4;
    if (luaL_loadbufferx(L, ls_bytes_data(given), ls_bytes_len(given), "=given", "t") != LUA_OK) lua_error(L);
    lua_call(L, 0, 1);
    lua_getfield(L, data, LS_RECORD_GLOBALS);
    lua_pushliteral(L, LS_RECORD_GLOBALS);
    push_part(L, base);
    merge(L, part);
    lua_settop(L, data);
    lua_getfield(L, data, VALUE);
    lua_pushvalue(L, content);
    merge(L, part);
    lua_settop(L, data);
    lua_getfield(L, data, LS_RECORD_LOCALS);
    for (lua_pushnil(L); lua_next(L, part); lua_settop(L, key)) {
        ls__record_part(L, base, LS_RECORD_LOCALS);
        if (ls__raw_get(L, value + 1, key) != LUA_TTABLE) continue; /* the variable was not found */
        lua_pushvalue(L, value);
        lua_rawseti(L, -2, 3);
    }
    lua_settop(L, data);
    lua_getfield(L, data, LS_RECORD_STATICS);
    for (lua_pushnil(L); lua_next(L, part); lua_settop(L, key)) {
        const struct ls_proto *proto = ls__proto_find(session, lua_tostring(L, key));
        if (!proto) continue;
        push_statics(session, L, base, proto);
        merge(L, value);
    }
    lua_settop(L, top);
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
        if (own) ls__raw_set(L, places, top + 1, top + 2);
        lua_settop(L, top + 1);
    }
}

LS_RAISES void ls__given_push(struct ls_session *session, lua_State *L, int base, const struct ls_module *module)
{
    int top = lua_gettop(L), value = top + 1, tables = top + 2, record = top + 3, content = top + 4;
    luaL_checkstack(L, 20, "reload");
    ls__push_field(session, L, session->model->ref_loaded, module->key);
    lua_newtable(L);
    ls__value_identity(L, 0);
    lua_newtable(L); /* value tables record content */
    if (lua_type(L, value) == LUA_TTABLE) {
        lua_pushvalue(L, content);
        lua_rawseti(L, record, LS_VALUE_CONTENT);
        ls__raw_set(L, tables, value, record);
        lua_pushvalue(L, tables);
        lua_setfield(L, base, LS_RECORD_TABLES);
        add_functions(L, value, content, module->key);
    }
    for (uint32_t i = 0; i < module->prototypes.count; i++) {
        const struct ls_proto *proto = ls__proto_find(session, module->prototypes.items[i]);
        if (!proto) continue;
        ls__ref_push(session, L, proto->table);
        push_statics(session, L, base, proto);
        add_functions(L, content + 1, content + 2, module->key);
        lua_settop(L, content);
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
