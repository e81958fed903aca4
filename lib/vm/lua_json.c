/* ui.json_encode and ui.json_decode, and the same for the rest of the room (L124 to L128).
 *
 * Writing looks at own fields only and runs no metamethod. Buffers that must survive a raise live in a userdata.
 * Owner thread: the session's. */
#include "vm/lua_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define MAX_LEVELS 128 /* L126 */
#define MAX_GAPS   100 /* L126: more gaps than this are allowed only in arrays that are at least a tenth full */

/* [-0, +0, -] __gc of a buffer */
static int release_buffer(lua_State *L)
{
    ls_buf_release(lua_touserdata(L, 1));
    return 0;
}

/* A buffer that is released when Lua has no more use for it. [-0, +1, m] */
static LS_RAISES struct ls_buf *push_buffer(lua_State *L)
{
    return ls__push_owner(L, sizeof(struct ls_buf), "lsess.buffer", release_buffer);
}

/* --- writing --- */

bool ls__json_text(struct ls_session *session, struct ls_buf *out, const char *text, size_t len)
{
    if (len <= LS_LOOK_BYTES || !ls_buf_reserve(out, len + 2)) {
        ls_json_string(out, text, len);
        return true;
    }
    ls_buf_char(out, '"');
    for (size_t at = 0, piece; at < len; at += piece) {
        if (session && ls__stopped(session)) return false;
        piece = len - at < LS_LOOK_BYTES ? len - at : LS_LOOK_BYTES;
        for (int back = 0; back < 3 && at + piece < len && ((unsigned char)text[at + piece] & 0xC0) == 0x80; back++)
            piece--; /* not in the middle of a character */
        ls_json_piece(out, text + at, piece);
    }
    ls_buf_char(out, '"');
    return true;
}

/* The tables being written, innermost first, to notice cycles. */
struct level {
    const void *table;
    const struct level *outer;
    unsigned depth;
};

struct writing {
    struct ls_buf *out;
    size_t limit;        /* bytes, 0 = none: the text lies outside of the session's heap and counts no less (L5) */
    lua_Integer values;  /* written so far, for looking at the clock now and then */
    size_t looked;       /* length of the text at the last look */
    const char *problem; /* static, once it has failed */
};

static bool write_value(lua_State *L, int index, struct writing *to, const struct level *outer);

static int compare_keys(const void *a, const void *b)
{
    const struct ls_key *left = a, *right = b;
    size_t len = left->len < right->len ? left->len : right->len;
    int order = len ? memcmp(left->text, right->text, len) : 0;
    return order ? order : (left->len > right->len) - (left->len < right->len);
}

struct census {
    lua_Integer numbers;  /* number keys */
    lua_Integer elements; /* positive integer keys */
    lua_Integer last;     /* the largest of them */
    lua_Integer publics;  /* string keys that do not start with _ */
};

/* [-0, +0, e] needs two free slots */
static LS_RAISES struct census count_keys(lua_State *L, int index)
{
    LS_LTOP(L);
    struct census census = {0};
    lua_Integer seen = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        ls__look(L, ++seen);
        if (lua_type(L, -2) == LUA_TNUMBER) {
            census.numbers++;
            if (lua_isinteger(L, -2) && lua_tointeger(L, -2) > 0) {
                census.elements++;
                if (lua_tointeger(L, -2) > census.last) census.last = lua_tointeger(L, -2);
            }
        } else if (lua_type(L, -2) == LUA_TSTRING && *lua_tostring(L, -2) != '_') {
            census.publics++;
        }
    }
    LS_LTOP_CHECK(L, 0);
    return census;
}

/* [-0, +0, e] */
static LS_RAISES bool write_array(lua_State *L, int index, struct writing *to, const struct census *census,
                                  const struct level *level)
{
    lua_Integer gaps = census->last - census->elements;
    if (gaps > MAX_GAPS && census->elements * 10 < census->last) {
        to->problem = "array with too many gaps";
        return false;
    }
    ls_buf_char(to->out, '[');
    for (lua_Integer i = 1; i <= census->last; i++) {
        lua_rawgeti(L, index, i);
        bool fine = write_value(L, lua_gettop(L), to, level);
        lua_pop(L, 1);
        if (!fine) return false;
    }
    ls_buf_char(to->out, ']');
    return true;
}

/* Short runs by the library, and merged so that a long sort can be stopped. `spare` has room for half of them.
 * [-0, +0, e] */
static LS_RAISES void sort_keys(lua_State *L, struct ls_key *keys, struct ls_key *spare, size_t count)
{
    size_t half = count / 2, right = half, to = 0;
    if (count <= LS_LOOK_EVERY) {
        qsort(keys, count, sizeof *keys, compare_keys);
        return;
    }
    sort_keys(L, keys, spare, half);
    sort_keys(L, keys + half, spare, count - half);
    memcpy(spare, keys, half * sizeof *keys);
    for (size_t left = 0; left < half; to++) {
        ls__look(L, (lua_Integer)to);
        keys[to] = right < count && compare_keys(&keys[right], &spare[left]) < 0 ? keys[right++] : spare[left++];
    }
}

LS_RAISES const struct ls_key *ls__sorted_keys(lua_State *L, int index, size_t *count)
{
    LS_LTOP(L);
    size_t room = (size_t)count_keys(L, index).publics;
    struct ls_key *keys = lua_newuserdatauv(L, (room + room / 2) * sizeof *keys, 0);
    lua_createtable(L, room < INT32_MAX ? (int)room : 0, 0); /* holds the keys while they are pointed to */
    int anchor = lua_gettop(L);
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || *lua_tostring(L, -2) == '_' || n == room) continue;
        keys[n].text = lua_tolstring(L, -2, &keys[n].len);
        lua_pushvalue(L, -2);
        lua_rawseti(L, anchor, (lua_Integer)++n);
        ls__look(L, (lua_Integer)n);
    }
    sort_keys(L, keys, keys + n, n);
    *count = n;
    LS_LTOP_CHECK(L, 2);
    return keys;
}

/* [-0, +0, e] */
static LS_RAISES bool write_object(lua_State *L, int index, struct writing *to, const struct level *level)
{
    LS_LTOP(L);
    size_t count;
    int top = lua_gettop(L);
    const struct ls_key *keys = ls__sorted_keys(L, index, &count);
    ls_buf_char(to->out, '{');
    bool fine = true;
    for (size_t i = 0; i < count && fine; i++) {
        ls_json_put_string(to->out, NULL, keys[i].text, keys[i].len);
        ls_buf_char(to->out, ':');
        lua_pushlstring(L, keys[i].text, keys[i].len);
        lua_rawget(L, index);
        fine = write_value(L, lua_gettop(L), to, level);
        lua_pop(L, 1);
    }
    ls_buf_char(to->out, '}');
    lua_settop(L, top);
    LS_LTOP_CHECK(L, 0);
    return fine;
}

/* [-0, +0, e] */
static LS_RAISES bool write_table(lua_State *L, int index, struct writing *to, const struct level *outer)
{
    struct level level = {lua_topointer(L, index), outer, outer ? outer->depth + 1 : 1};
    for (const struct level *up = outer; up; up = up->outer)
        if (up->table == level.table) {
            to->problem = "cyclic table";
            return false;
        }
    if (level.depth > MAX_LEVELS) {
        to->problem = "more than 128 levels of tables";
        return false;
    }
    luaL_checkstack(L, 8, "JSON");
    struct census census = count_keys(L, index);
    if (census.numbers > 0 && census.publics == 0) return write_array(L, index, to, &census, &level);
    return write_object(L, index, to, &level);
}

/* [-0, +0, e] */
static LS_RAISES bool write_value(lua_State *L, int index, struct writing *to, const struct level *outer)
{
    struct ls_buf *out = to->out;
    size_t len;
    if (out->len - to->looked >= LS_LOOK_BYTES) {
        to->looked = out->len;
        ls__budget_check(L);
    }
    ls__look(L, ++to->values); /* tables that share tables make a text that is longer by orders than they are */
    if (to->limit && out->len > to->limit) {
        to->problem = "the text is longer than a session's memory may be (--memory-limit)";
        return false;
    }
    ls_json_key(out, NULL);
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN: ls_buf_str(out, lua_toboolean(L, index) ? "true" : "false"); return true;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) {
            ls_json_int(out, lua_tointeger(L, index));
        } else if (!isfinite(lua_tonumber(L, index))) {
            to->problem = "number is not finite";
            return false;
        } else {
            ls_json_double(out, lua_tonumber(L, index));
        }
        return true;
    case LUA_TSTRING: {
        const char *text = lua_tolstring(L, index, &len);
        if (!ls__json_text(ls__session_of(L), out, text, len)) ls__budget_check(L);
        return true;
    }
    case LUA_TTABLE: return write_table(L, index, to, outer);
    default: ls_buf_str(out, "null"); return true;
    }
}

LS_RAISES bool ls__json_write(lua_State *L, int index, struct ls_buf *out, const char **problem)
{
    index = lua_absindex(L, index);
    struct writing to = {.out = out, .looked = out->len, .limit = ls_budget_get(&ls__session_of(L)->vm.budget->limit)};
    if (!write_value(L, index, &to, NULL)) {
        *problem = to.problem;
        return false;
    }
    if (ls_buf_failed(out)) {
        *problem = "out of memory while writing JSON";
        return false;
    }
    return true;
}

/* [-0, +(1|2), e] ui.json_encode(value) */
LS_RAISES int ls__l_ui_json_encode(lua_State *L)
{
    lua_settop(L, 1);
    struct ls_buf *out = push_buffer(L);
    const char *problem = NULL;
    if (ls__json_write(L, 1, out, &problem)) {
        lua_pushlstring(L, ls_buf_text(out), out->len);
        ls_buf_release(out);
        return 1;
    }
    ls_buf_release(out);
    lua_pushnil(L);
    lua_pushstring(L, problem);
    return 2;
}

/* --- reading --- */

struct reading {
    struct ls_json_reader reader;
    lua_Integer values;     /* read so far, as in writing */
    struct ls_buf *scratch; /* owned by a userdata on the stack */
};

static bool read_value(lua_State *L, struct reading *in, enum ls_json_token token);

/* [-0, +1, m] the string or key just read */
static LS_RAISES bool push_string(lua_State *L, struct reading *in)
{
    if (!in->reader.escaped) {
        lua_pushlstring(L, in->reader.text, in->reader.len);
        return true;
    }
    ls_buf_clear(in->scratch);
    ls_json_unescape(in->scratch, in->reader.text, in->reader.len);
    if (ls_buf_failed(in->scratch)) return false;
    lua_pushlstring(L, ls_buf_text(in->scratch), in->scratch->len);
    return true;
}

/* [-0, +1, e] what was pushed before a failure is left to the caller, as by read_value */
static LS_RAISES bool read_array(lua_State *L, struct reading *in)
{
    lua_newtable(L);
    enum ls_json_token token;
    for (lua_Integer i = 1; (token = ls_json_next(&in->reader)) != LS_JSON_ARRAY_END; i++) {
        if (!read_value(L, in, token)) return false;
        lua_rawseti(L, -2, i);
    }
    return true;
}

/* [-0, +1, e] as read_array */
static LS_RAISES bool read_object(lua_State *L, struct reading *in)
{
    lua_newtable(L);
    while (ls_json_next(&in->reader) == LS_JSON_KEY) {
        if (!push_string(L, in) || !read_value(L, in, ls_json_next(&in->reader))) return false;
        lua_rawset(L, -3);
    }
    return !in->reader.problem;
}

/* Pushes one value; on failure leaves the stack to the caller, who cuts it. [-0, +1, e] */
static LS_RAISES bool read_value(lua_State *L, struct reading *in, enum ls_json_token token)
{
    luaL_checkstack(L, 4, "JSON");
    ls__look(L, ++in->values);
    switch (token) {
    case LS_JSON_NULL: lua_pushnil(L); return true;
    case LS_JSON_TRUE:
    case LS_JSON_FALSE: lua_pushboolean(L, token == LS_JSON_TRUE); return true;
    case LS_JSON_INT: lua_pushinteger(L, in->reader.integer); return true;
    case LS_JSON_DOUBLE: lua_pushnumber(L, in->reader.number); return true;
    case LS_JSON_STRING: return push_string(L, in);
    case LS_JSON_ARRAY: return read_array(L, in);
    case LS_JSON_OBJECT: return read_object(L, in);
    default: return false;
    }
}

/* Push the value of a JSON text (L127). @return false and *problem (static), nothing pushed. Raises as above.
 * [-0, +(1|0), e] */
static LS_RAISES bool push_json(lua_State *L, const char *text, size_t len, const char **problem)
{
    int top = lua_gettop(L);
    struct reading in = {.scratch = push_buffer(L)};
    ls_json_read(&in.reader, text, len);
    bool fine = read_value(L, &in, ls_json_next(&in.reader)) && ls_json_next(&in.reader) == LS_JSON_END;
    bool memory = ls_buf_failed(in.scratch);
    ls_buf_release(in.scratch);
    if (!fine) {
        lua_settop(L, top);
        *problem = memory              ? "out of memory while reading JSON"
                   : in.reader.problem ? in.reader.problem
                                       : "text is empty or has something behind the value";
        return false;
    }
    lua_remove(L, top + 1);
    return true;
}

/* [-0, +2, e] ui.json_decode(text) */
LS_RAISES int ls__l_ui_json_decode(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TSTRING) ls__ltype(L, 1, "json_decode", "string");
    size_t len;
    const char *text = lua_tolstring(L, 1, &len), *problem = NULL;
    if (push_json(L, text, len, &problem)) {
        lua_pushnil(L);
        return 2;
    }
    lua_pushnil(L);
    lua_pushstring(L, problem);
    return 2;
}
