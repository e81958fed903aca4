/* The pretty printer of the REPL (C4): `Contact {firstName = "Alice", …}`.
 *
 * Own fields only: array part first, then string keys in order, then the others as they come. Owner thread: the session's. */
#include "session/pretty.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define LEVELS 2        /* tables shown with content */
#define ELEMENTS_MAX 20 /* of one table; the rest is a count */
#define STRING_MAX 200  /* bytes of a string inside of a table */

struct printer {
    struct ls_session *session;
    struct ls_buf *out;
    size_t max;
    const void *path[LEVELS]; /* tables being shown, to mark cycles */
    int depth;
};

static void print_value(lua_State *L, struct printer *printer, int index);

static bool is_full(const struct printer *printer)
{
    return printer->max && printer->out->len >= printer->max;
}

static void print_quoted(struct ls_buf *out, const char *text, size_t len, size_t max)
{
    size_t shown = max && len > max ? max : len;
    ls_buf_char(out, '"');
    for (size_t i = 0; i < shown;) {
        size_t step = ls_utf8_step(text + i, len - i);
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            ls_buf_printf(out, "\\%c", c);
        else if (c == '\n')
            ls_buf_str(out, "\\n");
        else if (c == '\t')
            ls_buf_str(out, "\\t");
        else if (c == '\r')
            ls_buf_str(out, "\\r");
        else if (c < 32 || c == 127 || step == 0)
            ls_buf_printf(out, "\\%03d", c);
        else
            ls_buf_add(out, text + i, step);
        i += step ? step : 1;
    }
    ls_buf_char(out, '"');
    if (shown < len)
        ls_buf_printf(out, "… (%zu bytes)", len);
}

static bool is_identifier(const char *text, size_t len)
{
    if (len == 0 || (text[0] >= '0' && text[0] <= '9'))
        return false;
    for (size_t i = 0; i < len; i++)
        if (text[i] != '_' && !((text[i] | 32) >= 'a' && (text[i] | 32) <= 'z') && !(text[i] >= '0' && text[i] <= '9'))
            return false;
    return true;
}

/* The type name before the brace: `type` of the metatable, else its __name, both raw (T93). [-0, +0, -] needs two slots */
static void print_type(lua_State *L, struct printer *printer, int index)
{
    if (!lua_getmetatable(L, index))
        return;
    for (int i = 0; i < 2; i++) {
        lua_pushstring(L, i == 0 ? "type" : "__name");
        if (lua_rawget(L, -2) == LUA_TSTRING) {
            ls_buf_str(printer->out, lua_tostring(L, -1));
            ls_buf_char(printer->out, ' ');
            lua_pop(L, 1);
            break;
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* The key on top: `name = `, `["odd key"] = `, `[1.5] = `. [-0, +0, m] */
static LS_RAISES void print_key(lua_State *L, struct printer *printer)
{
    size_t len;
    if (lua_type(L, -1) == LUA_TSTRING) {
        const char *text = lua_tolstring(L, -1, &len);
        if (is_identifier(text, len)) {
            ls_buf_add(printer->out, text, len);
        } else {
            ls_buf_char(printer->out, '[');
            print_quoted(printer->out, text, len, STRING_MAX);
            ls_buf_char(printer->out, ']');
        }
    } else {
        ls_buf_char(printer->out, '[');
        luaL_tolstring(L, -1, NULL);
        ls_buf_str(printer->out, lua_tostring(L, -1));
        lua_pop(L, 1);
        ls_buf_char(printer->out, ']');
    }
    ls_buf_str(printer->out, " = ");
}

/* [-0, +1, m] an array table of the keys outside of 1…border: strings in order, then the others */
static LS_RAISES void push_keys(lua_State *L, int index, lua_Integer border)
{
    lua_newtable(L);
    int keys = lua_gettop(L);
    lua_Integer count = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 && lua_tointeger(L, -2) <= border)
            continue;
        lua_pushvalue(L, -2);
        lua_rawseti(L, keys, ++count);
    }
    /* Insertion into order, strings before others; long tables are cut, so that only the first ones need to be right. */
    lua_Integer limit = count < 2000 ? count : 2000;
    for (lua_Integer i = 2; i <= limit; i++) {
        lua_rawgeti(L, keys, i);
        lua_Integer at = i;
        for (; at > 1; at--) {
            lua_rawgeti(L, keys, at - 1);
            bool mine = lua_type(L, -2) == LUA_TSTRING, theirs = lua_type(L, -1) == LUA_TSTRING;
            bool before = mine && (!theirs || strcmp(lua_tostring(L, -2), lua_tostring(L, -1)) < 0);
            if (!before) {
                lua_pop(L, 1);
                break;
            }
            lua_rawseti(L, keys, at);
        }
        lua_rawseti(L, keys, at);
    }
}

/* [-0, +0, e] */
static LS_RAISES void print_elements(lua_State *L, struct printer *printer, int index)
{
    lua_Integer border = (lua_Integer)lua_rawlen(L, index);
    push_keys(L, index, border);
    int keys = lua_gettop(L);
    lua_Integer others = (lua_Integer)lua_rawlen(L, keys), total = border + others;
    for (lua_Integer i = 1; i <= total; i++) {
        if (i > ELEMENTS_MAX || is_full(printer)) {
            ls_buf_printf(printer->out, ", … (%lld more)", (long long)(total - i + 1));
            break;
        }
        if (i > 1)
            ls_buf_str(printer->out, ", ");
        if (i <= border) {
            lua_rawgeti(L, index, i);
        } else {
            lua_rawgeti(L, keys, i - border);
            print_key(L, printer);
            lua_rawget(L, index);
        }
        print_value(L, printer, lua_gettop(L));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static LS_RAISES void print_table(lua_State *L, struct printer *printer, int index)
{
    luaL_checkstack(L, 10, NULL);
    const void *self = lua_topointer(L, index);
    for (int i = 0; i < printer->depth; i++)
        if (printer->path[i] == self) {
            print_type(L, printer, index);
            ls_buf_str(printer->out, "<cycle>");
            return;
        }
    if (luaL_getmetafield(L, index, "__tostring") != LUA_TNIL) {
        lua_pop(L, 1);
        luaL_tolstring(L, index, NULL);
        ls_buf_str(printer->out, lua_tostring(L, -1));
        lua_pop(L, 1);
        return;
    }
    print_type(L, printer, index);
    lua_pushnil(L);
    bool empty = lua_next(L, index) == 0;
    if (!empty)
        lua_pop(L, 2);
    if (empty || printer->depth == LEVELS) {
        ls_buf_str(printer->out, empty ? "{}" : "{…}");
        return;
    }
    ls_buf_char(printer->out, '{');
    printer->path[printer->depth++] = self;
    print_elements(L, printer, index);
    printer->depth--;
    ls_buf_char(printer->out, '}');
}

static LS_RAISES void print_value(lua_State *L, struct printer *printer, int index)
{
    size_t len;
    const char *text;
    switch (lua_type(L, index)) {
    case LUA_TTABLE:
        print_table(L, printer, index);
        return;
    case LUA_TSTRING:
        text = lua_tolstring(L, index, &len);
        if (printer->depth)
            print_quoted(printer->out, text, len, STRING_MAX);
        else
            ls_buf_add(printer->out, text, len); /* as the interpreter prints a result */
        return;
    default:
        text = luaL_tolstring(L, index, &len);
        ls_buf_add(printer->out, text, len);
        lua_pop(L, 1);
    }
}

LS_RAISES void ls__pretty(struct ls_session *session, lua_State *L, int index, struct ls_buf *out, size_t max)
{
    struct printer printer = {.session = session, .out = out, .max = max};
    luaL_checkstack(L, 6, NULL);
    print_value(L, &printer, lua_absindex(L, index));
}
