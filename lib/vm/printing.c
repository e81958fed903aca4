/* What becomes a record of the log: print, session:log, ui.log, diag, what Lua code writes to standard output (L20 to
 * L23, L117, L118, C4), and errors of site code, at level 0, equal ones at most once a second with a count (L144,
 * L145).
 *
 * Owner thread: the session's. Refuses to: write to standard output, which belongs to protocol data; decide what an
 * error means for the caller. */
#include "vm/printing.h"

#include <string.h>

#include "base/log.h"

void ls__print_raw(struct ls_session *session, const char *bytes, size_t len)
{
    if (session->vm.echo && session->vm.host.print) session->vm.host.print(session->vm.host.ctx, bytes, len);
    if (len > 0 && bytes[len - 1] == '\n') len--; /* a record brings its own */
    ls_log_text(-1, session->vm.id, bytes, len);
}

LS_RAISES int ls__l_print(lua_State *L)
{
    int count = lua_gettop(L);
    luaL_Buffer text;
    luaL_buffinit(L, &text);
    for (int i = 1; i <= count; i++) {
        if (i > 1) luaL_addchar(&text, '\t');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&text);
    }
    luaL_addchar(&text, '\n');
    luaL_pushresult(&text);
    size_t len;
    const char *line = lua_tolstring(L, -1, &len);
    ls__print_raw(ls__session_of(L), line, len);
    return 0;
}

/* [-0, +0, e] ([level,] text) from argument `first` on (L117) */
static LS_RAISES int log_record(lua_State *L, int first)
{
    lua_Integer level = 0;
    int text_arg = first;
    if (lua_gettop(L) > first) {
        int is_integer;
        level = lua_tointegerx(L, first, &is_integer);
        if (!is_integer) ls__ltype(L, first, "log", "integer");
        text_arg = first + 1;
    }
    if (!lua_isstring(L, text_arg)) ls__ltype(L, text_arg, "log", "string");
    size_t len;
    const char *text = lua_tolstring(L, text_arg, &len);
    lua_pushliteral(L, "[lua] ");
    lua_pushlstring(L, text, len);
    lua_concat(L, 2);
    text = lua_tolstring(L, -1, &len);
    int clamped = level < 0 ? 0 : level > LS_LEVEL_MAX ? LS_LEVEL_MAX : (int)level;
    ls_log_text(clamped, ls__session_of(L)->vm.id, text, len);
    return 0;
}

/* [-0, +0, e] session:log([level,] text) */
LS_RAISES int ls__l_session_log(lua_State *L)
{
    return log_record(L, 2);
}

/* [-0, +0, e] ui.log([level,] text) */
LS_RAISES int ls__l_ui_log(lua_State *L)
{
    return log_record(L, 1);
}

void ls__report(struct ls_session *session, const char *where, const struct ls_err *err)
{
    struct ls_buf text = LS_BUF_INIT;
    ls_buf_printf(&text, "%s: %s", where, ls_err_text(err));
    ls_buf_clear(&session->vm.error);
    ls_buf_str(&session->vm.error, ls_err_text(err));
    /* where it fails, each visit makes a session */
    const char *scope = strcmp(where, "main.lua") == 0 ? NULL : session->vm.id;
    if (ls_buf_failed(&text))
        ls_log_session(0, session->vm.id, "%s: %s", where, ls_err_text(err));
    else
        ls_log_folded(0, session->vm.id, scope, 0, ls_buf_text(&text), text.len);
    ls_buf_release(&text);
}
