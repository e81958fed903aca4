/* Questions about types and files for `lsess check`: raw look-ups below the gate, no site code, nothing changed.
 *
 * Owner thread: the session's. Rules: C1; names resolve as L129 and L28 say. */
#include "console/inspect.h"

#include <string.h>

#include "base/alloc.h"
#include "console/pretty.h"
#include "model/model_internal.h"
#include "model/module.h"
#include "model/prototype.h"

/* What one question carries through the gate. */
struct question {
    struct ls_session *session;
    const char *type, *name;
    bool answer;
};

/* Declared fields of the prototype and of those it inherits from: EMPTY ones read nil, but they are there. [-0, +0, m]
 * */
static bool chain_declares(struct ls_session *session, lua_State *L, const struct ls_proto *proto, const char *name)
{
    for (int depth = 0; proto && depth < 64; depth++) {
        if (ls__proto_declares(session, L, proto, name)) return true;
        ls__ref_push(session, L, proto->table);
        if (!lua_getmetatable(L, -1)) {
            lua_pop(L, 1);
            return false;
        }
        proto = ls__proto_of(session, L, -1);
        lua_pop(L, 2);
    }
    return false;
}

/* Some live instance has the field of its own. [-0, +0, m] */
static LS_RAISES bool instance_has(struct ls_session *session, lua_State *L, uint32_t id, const char *name)
{
    LS_LTOP(L);
    ls__instances_push(session, L, &id, 1);
    bool found = false;
    lua_Integer count = (lua_Integer)lua_rawlen(L, -1);
    for (lua_Integer i = 1; i <= count && !found; i++) {
        lua_rawgeti(L, -1, i);
        lua_pushstring(L, name);
        found = lua_istable(L, -2) && lua_rawget(L, -2) != LUA_TNIL;
        lua_pop(L, 2);
    }
    lua_pop(L, 1);
    LS_LTOP_CHECK(L, 0);
    return found;
}

/* [-1, +0, m] the question as light userdata */
static int answer_has(lua_State *L)
{
    struct question *question = lua_touserdata(L, 1);
    struct ls_session *session = question->session;
    const struct ls_proto *proto = ls__proto_find(session, question->type);
    if (proto) {
        uint32_t id = proto->id;
        question->answer =
            chain_declares(session, L, proto, question->name) || instance_has(session, L, id, question->name);
    }
    if (!question->answer && ls__find_type(session, question->type, strlen(question->type), true, NULL)) {
        lua_pushstring(L, question->name);
        ls__field_push(L);
        question->answer = !lua_isnil(L, -1);
    }
    return 0;
}

/* [-1, +0, m] */
static int answer_exists(lua_State *L)
{
    struct question *question = lua_touserdata(L, 1);
    question->answer = ls__find_type(question->session, question->type, strlen(question->type), true, NULL);
    return 0;
}

static bool ask(struct ls_session *session, lua_CFunction fn, const char *type, const char *name)
{
    struct question question = {.session = session, .type = type, .name = name};
    return ls__lrun(session, fn, &question, 0, NULL) == 0 && question.answer;
}

bool ls_session_type_exists(struct ls_session *session, const char *type)
{
    return ask(session, answer_exists, type, NULL);
}

bool ls_session_type_has(struct ls_session *session, const char *type, const char *name)
{
    return ask(session, answer_has, type, name);
}

const char *ls_session_type_module(struct ls_session *session, const char *type)
{
    for (size_t i = 0; i < session->model->module_count; i++) {
        const struct ls_module *module = session->model->modules[i];
        if (ls_names_has(&module->prototypes, type) || ls_names_has(&module->presenters, type) ||
            ls_names_has(&module->wrappers, type))
            return module->key;
    }
    return NULL;
}

bool ls_session_can_require(struct ls_session *session, const char *name)
{
    struct ls_buf file = LS_BUF_INIT;
    bool found = false;
    for (int form = 0; form < 2 && !found; form++) {
        struct ls_source source;
        struct ls_names tried = {0};
        ls_buf_clear(&file);
        for (const char *at = name; *at; at++)
            ls_buf_char(&file, *at == '.' ? '/' : *at);
        ls_buf_str(&file, form ? "/init.lua" : ".lua");
        found = !ls_buf_failed(&file) && ls__name_is_safe(file.data) &&
                ls__source_search(session, file.data, &source, &tried, NULL) == 0;
        if (found) ls__source_release(&source);
        ls_names_release(&tried);
    }
    ls_buf_release(&file);
    return found;
}

int ls_session_compile(struct ls_session *session, const char *key, const char *text, size_t len, struct ls_err *err)
{
    struct ls_buf name = LS_BUF_INIT;
    ls_buf_printf(&name, "@%s", key);
    int code = ls_buf_failed(&name) ? ls_fail(err, LS_ENOMEM, "Out of memory while compiling %s.", key)
                                    : ls__chunk_push(session, name.data, text, len, false, err);
    if (code == 0) lua_pop(session->vm.L, 1);
    ls_buf_release(&name);
    return code;
}
