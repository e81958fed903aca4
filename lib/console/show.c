/* Values of a session as tools and debug pages ask for them (P117, P12). Owner thread: the session's. */
#include <string.h>

#include "base/json.h"
#include "console/console.h"
#include "resolver/slots.h"
#include "tracker/tracker.h"
#include "vm/lua_json.h"
#include "vm/vm_internal.h"

struct showing {
    int64_t id;
    const struct ls_var *var;
    struct ls_buf *out;
    bool found;
    char *type; /* room of TYPE_MAX bytes */
};

#define TYPE_MAX 128

/* An object's own public fields in order of their names: no functions, nothing that starts with _ (P117). [-0, +0, e]
 * */
static LS_RAISES void write_fields(struct ls_session *session, lua_State *L, int index, struct ls_buf *out)
{
    LS_LTOP(L);
    size_t count = 0;
    int top = lua_gettop(L);
    const struct ls_key *keys = lua_istable(L, index) ? ls__sorted_keys(L, index, &count) : NULL;
    ls_buf_char(out, '{');
    for (size_t i = 0; i < count; i++, lua_pop(L, 1)) {
        ls__look(L, (lua_Integer)i);
        lua_pushlstring(L, keys[i].text, keys[i].len);
        if (lua_rawget(L, index) == LUA_TFUNCTION) continue;
        ls_json_key(out, NULL);
        ls_json_string(out, keys[i].text, keys[i].len);
        ls_buf_char(out, ':');
        ls__value_json(session, L, lua_gettop(L), out);
    }
    ls_buf_char(out, '}');
    lua_settop(L, top);
    LS_LTOP_CHECK(L, 0);
}

/* [-1, +0, e] argument: struct showing */
static LS_RAISES int write_object(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    struct showing *show = lua_touserdata(L, 1);
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    show->found = ls__object_push(session, L, show->id);
    if (!show->found) return 0;
    if (lua_istable(L, 2) && ls__is_array(session, L, 2))
        ls__value_json(session, L, 2, show->out);
    else
        write_fields(session, L, 2, show->out);
    return 0;
}

int ls_session_object_json(struct ls_session *session, int64_t object_id, struct ls_buf *out, struct ls_err *err)
{
    struct showing show = {.id = object_id, .out = out};
    size_t before = out->len;
    int code = ls__lrun(session, write_object, &show, 0, err);
    if (code == 0 && !show.found) code = ls_fail(err, LS_ENOTFOUND, "no object %lld", (long long)object_id);
    if (code == 0 && ls_buf_failed(out)) code = ls_fail(err, LS_ENOMEM, "Out of memory while writing an object.");
    if (code != 0) ls_buf_cut(out, before);
    return code;
}

/* [-1, +0, e] argument: struct showing */
static LS_RAISES int name_type(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    struct showing *show = lua_touserdata(L, 1);
    ls__slot_push(session, L, ls_var_value(show->var));
    const char *name = luaL_typename(L, 2);
    if (lua_istable(L, 2) || lua_isuserdata(L, 2)) {
        ls__type_push(session, L, 2);
        if (lua_type(L, -1) == LUA_TSTRING) name = lua_tostring(L, -1);
    }
    snprintf(show->type, TYPE_MAX, "%s", name);
    return 0;
}

const char *ls_session_native_type(struct ls_session *session, const struct ls_var *var)
{
    static _Thread_local char type[TYPE_MAX];
    struct showing show = {.var = var, .type = type};
    LS_ERR(err);
    type[0] = '\0';
    if (ls__lrun(session, name_type, &show, 0, &err) != 0) ls__report(session, "listing", &err);
    return type;
}
