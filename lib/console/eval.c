/* Code that comes from outside of the site's files: the `lua` property, and evaluations for an administrator
 * (LuaSession card: ExecuteInSession). Rules L139, L141, L142, C4.
 *
 * Owner thread: the session's. Such code has no current module and is not tracked. Refuses to: decide who may run code
 * (L140). */
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "console/console.h"
#include "console/pretty.h"
#include "files/fspath.h"
#include "model/module.h"
#include "model/prototype.h"
#include "vm/lua_json.h"
#include "vm/printing.h"

/* --- the lua property (L139) --- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int run_inline(struct ls_session *session, const char *text, size_t len, struct ls_err *err)
{
    ls__enter(session);
    int code = ls__chunk_push(session, "=inline", text, len, false, err);
    if (code == 0) code = ls__lcall(session, 0, 0, err);
    ls_session_settle(session);
    ls__leave(session);
    return code;
}

int ls_session_run_lua_property(struct ls_session *session, const char *text, size_t len, struct ls_err *err)
{
    LS_ERR(own);
    if (!err) err = &own;
    const char *start = text, *end = text + len;
    while (start < end && is_blank(*start))
        start++;
    while (end > start && is_blank(end[-1]))
        end--;
    size_t trimmed = (size_t)(end - start);
    if (trimmed == 0) return 0;
    int code;
    bool is_file = trimmed > 4 && memcmp(end - 4, ".lua", 4) == 0 && !memchr(start, '\n', trimmed) &&
                   !memchr(start, '\0', trimmed);
    if (is_file) {
        char *name = ls_strndup(start, trimmed);
        if (!name)
            code = ls_fail(err, LS_ENOMEM, "Out of memory while running the lua property.");
        else if (!ls__name_is_safe(name))
            code = ls_fail(err, LS_EINVAL, "file name '%s' must be relative, without empty, '.' or '..' parts", name);
        else
            code = ls_session_require_file(session, name, err);
        ls_free(name);
    } else {
        code = run_inline(session, text, len, err);
    }
    if (code != 0) ls__report(session, "lua property", err);
    return code;
}

/* --- evaluation (L141, C4) --- */

/* Does the message say that the text ended too early? As the stand-alone interpreter decides. */
static bool is_incomplete(const char *message)
{
    size_t len = strcspn(message, "\n");
    return len >= 5 && memcmp(message + len - 5, "<eof>", 5) == 0;
}

/* Push the function for the code: as an expression if it is one (C4), else as it stands. @return as ls__chunk_push */
static int compile(struct ls_session *session, struct ls_eval *eval, struct ls_err *err)
{
    struct ls_buf name = LS_BUF_INIT, expression = LS_BUF_INIT;
    ls_buf_printf(&name, "=%s", eval->name ? eval->name : "eval");
    int code = LS_ESYNTAX;
    if (eval->repl) {
        LS_ERR(ignored);
        ls_buf_str(&expression, "return ");
        ls_buf_add(&expression, eval->code, eval->len);
        if (!ls_buf_failed(&expression))
            code = ls__chunk_push(session, ls_buf_text(&name), expression.data, expression.len, false, &ignored);
    }
    if (code != 0 && !ls_buf_failed(&name))
        code = ls__chunk_push(session, name.data, eval->code, eval->len, false, err);
    ls_buf_release(&expression);
    ls_buf_release(&name);
    return code;
}

/* [-n, +0, e] arguments: struct ls_eval, then the values. Fills eval->text and json, sets `_` (C4). */
static LS_RAISES int show_values(lua_State *L)
{
    struct ls_eval *eval = lua_touserdata(L, 1);
    int count = lua_gettop(L);
    const char *problem = NULL;
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    for (int i = 2; eval->repl && i <= count; i++) {
        if (i > 2) ls_buf_char(&eval->text, '\t');
        ls__pretty(L, i, &eval->text, eval->max_output, eval->width);
    }
    if (count >= 2 && !ls__json_write(L, 2, &eval->json, &problem)) {
        ls_buf_clear(&eval->json);
        ls_buf_str(&eval->json, "null");
    }
    if (eval->repl && count >= 2) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
        lua_pushliteral(L, "_");
        lua_pushvalue(L, 2);
        lua_rawset(L, -3);
    }
    return 0;
}

static void cut_output(struct ls_eval *eval)
{
    if (!eval->max_output || eval->text.len <= eval->max_output) return;
    size_t keep = ls_utf8_cut(eval->text.data, eval->max_output);
    size_t left = eval->text.len - keep;
    ls_buf_cut(&eval->text, keep);
    ls_buf_printf(&eval->text, "… (%zu bytes more)", left);
}

static int run_compiled(struct ls_session *session, struct ls_eval *eval, struct ls_err *err)
{
    lua_State *L = session->vm.L;
    int base = lua_gettop(L) - 1;
    int code = ls__lcall(session, 0, LUA_MULTRET, err);
    if (code != 0) return code;
    if (!lua_checkstack(L, 4)) {
        lua_settop(L, base);
        return ls_fail(err, LS_ELUA, "too many results");
    }
    lua_pushcfunction(L, show_values);
    lua_insert(L, base + 1);
    lua_pushlightuserdata(L, eval);
    lua_insert(L, base + 2);
    return ls__lcall(session, lua_gettop(L) - base - 1, 0, err);
}

int ls_session_eval(struct ls_session *session, struct ls_eval *eval, struct ls_err *err)
{
    LS_ERR(own);
    if (!err) err = &own;
    eval->incomplete = false;
    ls_buf_clear(&eval->text);
    ls_buf_clear(&eval->json);
    ls__enter(session);
    session->vm.echo = true;
    int code = compile(session, eval, err);
    if (code == LS_ESYNTAX) eval->incomplete = is_incomplete(ls_err_text(err));
    if (code == 0) code = run_compiled(session, eval, err);
    ls_session_settle(session);
    ls__output_flush(session);
    session->vm.echo = false;
    ls__leave(session);
    if (eval->json.len == 0) ls_buf_str(&eval->json, "null");
    cut_output(eval);
    if (code == 0 && (ls_buf_failed(&eval->text) || ls_buf_failed(&eval->json)))
        code = ls_fail(err, LS_ENOMEM, "Out of memory while writing the result.");
    return code;
}
