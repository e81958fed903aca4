/* Value JSON: from values to text, and from a client's text to values. Not the encoding that Lua code calls
 * (lua_json.c): references stand for objects here (L128). Owner thread: the session's. Rules: T31–T37, TX10. */
#include <string.h>

#include "base/json.h"
#include "resolver/resolver_internal.h"
#include "vm/lua_json.h"

/* --- out --- */

/* Lists are long rows of these: each is put together from behind and added at once. Ids are positive. */
static void put_reference(struct ls_buf *out, int64_t id)
{
    static const char head[] = "{\"obj\":";
    char text[sizeof head + 20];
    char *at = text + sizeof text;
    *--at = '}';
    for (uint64_t rest = (uint64_t)id; at == text + sizeof text - 1 || rest; rest /= 10)
        *--at = (char)('0' + rest % 10);
    at -= sizeof head - 1;
    memcpy(at, head, sizeof head - 1);
    ls_buf_add(out, at, (size_t)(text + sizeof text - at));
}

/* A primitive, or a reference to an object that has its id. `ids` absolute place of the id table. `session` may stop
 * it; NULL: it is written whole.
 * @return false: stopped. [-0, +0, -] */
static bool put_element(lua_State *L, int at, int ids, struct ls_session *session, struct ls_buf *out)
{
    LS_LTOP(L);
    size_t len;
    bool fine = true;
    const char *text;
    switch (lua_type(L, at)) {
    case LUA_TNIL: ls_buf_str(out, "null"); break;
    case LUA_TBOOLEAN: ls_buf_str(out, lua_toboolean(L, at) ? "true" : "false"); break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, at))
            ls_json_int(out, lua_tointeger(L, at));
        else
            ls_json_double(out, lua_tonumber(L, at));
        break;
    case LUA_TSTRING:
        text = lua_tolstring(L, at, &len);
        fine = ls__json_text(session, out, text, len);
        break;
    default:
        lua_pushvalue(L, at);
        lua_rawget(L, ids);
        put_reference(out, lua_tointeger(L, -1));
        lua_pop(L, 1);
    }
    LS_LTOP_CHECK(L, 0);
    return fine;
}

/* `named`: what of the array's elements are objects has these ids, by place (R4); 0 = their own. `session` and result
 * as above. [-0, +0, -] */
static bool put_array(lua_State *L, int at, int ids, int named, int64_t count, struct ls_session *session,
                      struct ls_buf *out)
{
    LS_LTOP(L);
    ls_buf_char(out, '[');
    int top = lua_gettop(L);
    bool fine = true;
    size_t looked = out->len;
    for (lua_Integer i = 1; i <= count && fine; i++) {
        if (i > 1) ls_buf_char(out, ',');
        int type = lua_rawgeti(L, at, i);
        if (named && lua_rawgeti(L, named, i) == LUA_TNUMBER) {
            put_reference(out, lua_tointeger(L, -1));
        } else if (lua_settop(L, top + 1), type == LUA_TTABLE) {
            lua_rawget(L, ids);
            put_reference(out, lua_tointeger(L, -1));
        } else {
            fine = put_element(L, top + 1, ids, session, out);
        }
        lua_settop(L, top);
        if (session && fine && (i % LS_LOOK_EVERY == 0 || out->len - looked >= LS_LOOK_BYTES)) {
            looked = out->len;
            fine = !ls__stopped(session);
        }
    }
    ls_buf_char(out, ']');
    LS_LTOP_CHECK(L, 0);
    return fine;
}

/* What was seen last is written, not what a table has become since: text and comparison agree (T36). Only inside of a
 * bracket can it be stopped: who opens one can deal with that. */
int ls__op_json(void *ctx, const struct ls_value *value, struct ls_buf *out)
{
    struct ls_resolver_state *rs = ctx;
    if (value->shape == LS_SHAPE_NULL) {
        ls_buf_str(out, "null");
    } else if (value->shape == LS_SHAPE_OBJECT) {
        put_reference(out, value->object);
    } else {
        int opened = ls__window_open(rs, NULL);
        if (opened < 0) return LS_ENOMEM;
        lua_State *L = rs->L;
        /* a loose slot gets its copy back as well */
        ls__value_push(rs, value->slot);
        if (value->shape == LS_SHAPE_ARRAY && lua_rawgeti(L, LS_AT(rs, LS_AT_SNAPS), value->slot) != LUA_TTABLE) {
            ls_buf_str(out, "null"); /* it has died with the object that it belonged to */
            ls__window_done(rs, opened);
            return ls_buf_failed(out) ? LS_ENOMEM : 0;
        }
        int at = lua_gettop(L);
        struct ls_session *session = opened ? NULL : rs->session;
        bool fine = value->shape == LS_SHAPE_ARRAY
                        ? put_array(L, at, LS_AT(rs, LS_AT_IDS), ls__keyed_push(rs, L, value->slot) ? at + 1 : 0,
                                    value->object, session, out)
                        : put_element(L, at, LS_AT(rs, LS_AT_IDS), session, out);
        ls__window_done(rs, opened);
        if (!fine) return LS_EINTERRUPTED;
    }
    return ls_buf_failed(out) ? LS_ENOMEM : 0;
}

LS_RAISES void ls__value_json(struct ls_session *session, lua_State *L, int index, struct ls_buf *out)
{
    LS_LTOP(L);
    int at = lua_absindex(L, index);
    luaL_checkstack(L, 8, NULL);
    bool array = ls__is_array(session, L, at);
    if (!array) ls__object_register(session, L, at);
    lua_Integer count = array ? ls__array_length(L, at) : 0;
    for (lua_Integer i = 1; i <= count; i++) {
        ls__look(L, i);
        lua_rawgeti(L, at, i);
        ls__object_register(session, L, -1);
        lua_pop(L, 1);
    }
    ls__at_push(session->resolver, L, LS_AT_IDS);
    if (!(array ? put_array(L, at, lua_gettop(L), 0, count, session, out)
                : put_element(L, at, lua_gettop(L), session, out)))
        ls__budget_check(L);
    lua_pop(L, 1);
    LS_LTOP_CHECK(L, 0);
}

/* --- in --- */

struct decoding {
    struct ls_resolver_state *rs;
    struct ls_json_reader reader;
    struct ls_buf text; /* escapes resolved; released by the caller, whatever is raised */
    ls_slot slot;
    enum ls_fault_kind kind; /* what is wrong, if anything */
    const char *problem;
    int64_t reference;
    uint32_t items[LS_JSON_DEPTH + 1]; /* elements of each open array */
};

/* [-0, +1, m] the string that was read last */
static LS_RAISES void push_text(struct decoding *job, lua_State *L)
{
    struct ls_json_reader *reader = &job->reader;
    if (!reader->escaped) {
        lua_pushlstring(L, reader->text, reader->len);
        return;
    }
    ls_buf_clear(&job->text);
    ls_json_unescape(&job->text, reader->text, reader->len);
    if (ls_buf_failed(&job->text)) luaL_error(L, "out of memory while reading a value");
    lua_pushlstring(L, ls_buf_text(&job->text), job->text.len);
}

/* The object on top, if it is {"obj":n} and nothing else, becomes the object n (T37). @return false: n is unknown.
 * [-1, +1, -] */
static bool resolve(struct decoding *job, lua_State *L)
{
    int at = lua_gettop(L);
    lua_pushnil(L);
    if (!lua_next(L, at)) return true;
    bool reference =
        lua_type(L, at + 1) == LUA_TSTRING && strcmp(lua_tostring(L, at + 1), "obj") == 0 && lua_isinteger(L, at + 2);
    int64_t id = reference ? lua_tointeger(L, at + 2) : 0;
    lua_settop(L, at + 1);
    if (lua_next(L, at)) reference = false;
    lua_settop(L, at);
    if (!reference) return true;
    bool known = ls__object_push(job->rs->session, L, id);
    lua_replace(L, at);
    job->reference = id;
    return known;
}

/* A finished value is on top: put it where it belongs. Stack above `bottom`: for each open container its table, and in
 * an object the key that waits. [-(1|2), +0, m] */
static LS_RAISES void place(struct decoding *job, lua_State *L, unsigned depth)
{
    if (lua_type(L, -2) == LUA_TSTRING)
        lua_rawset(L, -3);
    else
        lua_rawseti(L, -2, (lua_Integer)++job->items[depth]);
}

/* [-0, +(1|0), m] @return was it a scalar */
static LS_RAISES bool push_scalar(struct decoding *job, lua_State *L, enum ls_json_token token)
{
    switch (token) {
    case LS_JSON_NULL: lua_pushnil(L); return true;
    case LS_JSON_TRUE: lua_pushboolean(L, 1); return true;
    case LS_JSON_FALSE: lua_pushboolean(L, 0); return true;
    case LS_JSON_INT: lua_pushinteger(L, job->reader.integer); return true;
    case LS_JSON_DOUBLE: lua_pushnumber(L, job->reader.number); return true;
    case LS_JSON_STRING: push_text(job, L); return true;
    default: return false;
    }
}

/* [-1, +0, e] job; an explicit stack, so that deep values cost no C stack (TX34) */
static LS_RAISES int l_decode(lua_State *L)
{
    struct decoding *job = lua_touserdata(L, 1);
    unsigned depth = 0;
    const char *looked = job->reader.at;
    for (lua_Integer step = 1;; step++) {
        if (step % LS_LOOK_EVERY == 0 || job->reader.at - looked >= LS_LOOK_BYTES) {
            looked = job->reader.at;
            ls__budget_check(L);
        }
        enum ls_json_token token = ls_json_next(&job->reader);
        luaL_checkstack(L, 8, NULL);
        if (token == LS_JSON_KEY) {
            push_text(job, L);
            continue;
        }
        if (token == LS_JSON_ARRAY || token == LS_JSON_OBJECT) {
            lua_newtable(L);
            job->items[++depth] = 0;
            continue;
        }
        if (token == LS_JSON_ARRAY_END || token == LS_JSON_OBJECT_END) {
            depth--;
            if (token == LS_JSON_OBJECT_END && !resolve(job, L)) {
                job->kind = LS_FAULT_BAD_REFERENCE;
                return 0;
            }
        } else if (!push_scalar(job, L, token)) {
            job->kind = LS_FAULT_BAD_MESSAGE;
            job->problem = token == LS_JSON_ERROR ? job->reader.problem : "no value";
            return 0;
        }
        if (depth == 0) break;
        place(job, L, depth);
    }
    if (ls_json_next(&job->reader) != LS_JSON_END) {
        job->kind = LS_FAULT_BAD_MESSAGE;
        job->problem = "something follows the value";
        return 0;
    }
    job->slot = ls__slot_take(job->rs->session, L);
    return 0;
}

int ls__op_decode(void *ctx, const char *json, size_t len, ls_slot *slot, struct ls_fault *fault)
{
    struct ls_resolver_state *rs = ctx;
    struct decoding job;
    memset(&job, 0, offsetof(struct decoding, items));
    job.rs = rs;
    *slot = 0;
    ls_json_read(&job.reader, json, len);
    int rc = ls__resolver_job(rs, l_decode, &job, fault);
    ls_buf_release(&job.text);
    if (rc) return -1;
    if (job.kind == LS_FAULT_BAD_REFERENCE)
        return ls_fault_set(fault, job.kind, "there is no object %lld", (long long)job.reference);
    if (job.kind) return ls_fault_set(fault, job.kind, "the value is not JSON: %s", job.problem);
    *slot = job.slot;
    return 0;
}
