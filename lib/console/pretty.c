/* The pretty printer of the REPL (C4): `Contact {firstName = "Alice", …}`.
 *
 * Own fields only: array part first, then string keys in order, then the others as they come. A value is written in one
 * line, with a mark at each brace and comma; the layout then breaks the tables that are too wide for the terminal. So
 * no __tostring runs twice. Owner thread: the session's. */
#include "console/pretty.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "resolver/slots.h"

#define LEVELS       2                                         /* tables shown with content */
#define ELEMENTS_MAX 20                                        /* of one table; the rest is a count */
#define STRING_MAX   200                                       /* bytes of a string inside of a table */
#define MARKS_MAX    ((ELEMENTS_MAX + 2) * (ELEMENTS_MAX + 2)) /* braces and commas of a table of tables */
#define INDENT       2

/* Where in the output a table opens, goes on to its next element, or closes. */
struct mark {
    size_t at;
    char kind; /* '{' ',' '}' */
};

struct printer {
    struct ls_buf *out;
    size_t max;
    size_t mark_count;
    struct mark marks[MARKS_MAX];
    const void *path[LEVELS]; /* tables being shown, to mark cycles */
    int depth;
};

static void print_value(lua_State *L, struct printer *printer, int index);

static bool is_full(const struct printer *printer)
{
    return printer->max && printer->out->len >= printer->max;
}

static void add_mark(struct printer *printer, char kind)
{
    assert(printer->mark_count < MARKS_MAX);
    printer->marks[printer->mark_count++] = (struct mark){printer->out->len, kind};
}

static void print_quoted(struct ls_buf *out, const char *text, size_t len)
{
    size_t shown = len > STRING_MAX ? STRING_MAX : len;
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
    if (shown < len) ls_buf_printf(out, "… (%zu bytes)", len);
}

bool ls__is_name(const char *text, size_t len)
{
    bool name = len > 0 && !(text[0] >= '0' && text[0] <= '9');
    for (size_t i = 0; i < len && name; i++)
        name = ls_is_word(text[i]);
    return name;
}

/* The type name before the brace: `type` of the metatable, else its __name, both raw (T93). [-0, +0, -] needs two slots
 * */
static void print_type(lua_State *L, struct printer *printer, int index)
{
    if (!lua_getmetatable(L, index)) return;
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
    LS_LTOP(L);
    size_t len;
    if (lua_type(L, -1) == LUA_TSTRING) {
        const char *text = lua_tolstring(L, -1, &len);
        if (ls__is_name(text, len)) {
            ls_buf_add(printer->out, text, len);
        } else {
            ls_buf_char(printer->out, '[');
            print_quoted(printer->out, text, len);
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
    LS_LTOP_CHECK(L, 0);
}

/* [-0, +1, e] an array table of the keys outside of 1…border: strings in order, then the others */
static LS_RAISES void push_keys(lua_State *L, int index, lua_Integer border)
{
    LS_LTOP(L);
    lua_newtable(L);
    int keys = lua_gettop(L);
    lua_Integer count = 0, seen = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        ls__look(L, ++seen);
        if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 && lua_tointeger(L, -2) <= border) continue;
        lua_pushvalue(L, -2);
        lua_rawseti(L, keys, ++count);
    }
    /* Insertion into order, strings before others; long tables are cut, so that only the first ones need to be right.
     * */
    lua_Integer limit = count < 2000 ? count : 2000;
    for (lua_Integer i = 2; i <= limit; i++) {
        ls__budget_check(L);
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
    LS_LTOP_CHECK(L, 1);
}

/* [-0, +0, e] */
static LS_RAISES void print_elements(lua_State *L, struct printer *printer, int index)
{
    LS_LTOP(L);
    lua_Integer border = ls__array_length(L, index);
    push_keys(L, index, border);
    int keys = lua_gettop(L);
    lua_Integer others = (lua_Integer)lua_rawlen(L, keys), total = border + others;
    for (lua_Integer i = 1; i <= total; i++) {
        if (i > 1) {
            add_mark(printer, ',');
            ls_buf_str(printer->out, ", ");
        }
        if (i > ELEMENTS_MAX || is_full(printer)) {
            ls_buf_printf(printer->out, "… (%lld more)", (long long)(total - i + 1));
            break;
        }
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
    LS_LTOP_CHECK(L, 0);
}

/* [-0, +0, e] */
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
    if (!empty) lua_pop(L, 2);
    if (empty || printer->depth == LEVELS) {
        ls_buf_str(printer->out, empty ? "{}" : "{…}");
        return;
    }
    add_mark(printer, '{');
    ls_buf_char(printer->out, '{');
    printer->path[printer->depth++] = self;
    print_elements(L, printer, index);
    printer->depth--;
    add_mark(printer, '}');
    ls_buf_char(printer->out, '}');
}

/* [-0, +0, e] */
static LS_RAISES void print_value(lua_State *L, struct printer *printer, int index)
{
    size_t len;
    const char *text;
    switch (lua_type(L, index)) {
    case LUA_TTABLE: print_table(L, printer, index); return;
    case LUA_TSTRING:
        text = lua_tolstring(L, index, &len);
        if (printer->depth)
            print_quoted(printer->out, text, len);
        else
            ls_buf_add(printer->out, text, len); /* as the interpreter prints a result */
        return;
    default:
        text = luaL_tolstring(L, index, &len);
        ls_buf_add(printer->out, text, len);
        lua_pop(L, 1);
    }
}

/* --- layout --- */

struct layout {
    const struct mark *marks;
    size_t next;      /* mark */
    const char *text; /* the value in one line; marks count from here */
    size_t width;
    struct ls_buf out; /* owned */
};

/* Characters, as far as a terminal shows one for each. */
static size_t count_columns(const char *text, size_t len)
{
    size_t columns = 0;
    for (size_t i = 0; i < len; i += ls_utf8_next(text + i, len - i))
        columns++;
    return columns;
}

static size_t current_column(const struct ls_buf *out)
{
    const char *newline = out->len > 0 ? memrchr(out->data, '\n', out->len) : NULL;
    size_t from = newline ? (size_t)(newline - out->data) + 1 : 0;
    return out->len > 0 ? count_columns(out->data + from, out->len - from) : 0;
}

static void start_line(struct layout *layout, size_t indent)
{
    ls_buf_char(&layout->out, '\n');
    for (size_t i = 0; i < indent; i++)
        ls_buf_char(&layout->out, ' ');
}

/* The table whose opening mark is the next one; a comma may follow it. Depth is bounded by LEVELS. @return the byte
 * after it */
static size_t lay_out_table(struct layout *layout, size_t indent)
{
    size_t from = layout->marks[layout->next].at, last = layout->next;
    for (int depth = 1; depth > 0;) {
        last++;
        depth += layout->marks[last].kind == '{' ? 1 : layout->marks[last].kind == '}' ? -1 : 0;
    }
    size_t end = layout->marks[last].at + 1;
    if (current_column(&layout->out) + count_columns(layout->text + from, end - from) < layout->width) {
        ls_buf_add(&layout->out, layout->text + from, end - from);
        layout->next = last + 1;
        return end;
    }
    ls_buf_char(&layout->out, '{');
    start_line(layout, indent + INDENT);
    from++;
    layout->next++;
    for (;;) {
        const struct mark *mark = &layout->marks[layout->next];
        ls_buf_add(&layout->out, layout->text + from, mark->at - from);
        if (mark->kind == '{') {
            from = lay_out_table(layout, indent + INDENT);
            continue;
        }
        layout->next++;
        if (mark->kind == '}') break;
        ls_buf_char(&layout->out, ',');
        start_line(layout, indent + INDENT);
        from = mark->at + strlen(", ");
    }
    start_line(layout, indent);
    ls_buf_char(&layout->out, '}');
    return end;
}

/* What has been written since `begun` gets as many lines as it needs; without memory for that it stays as it is. */
static void lay_out(const struct printer *printer, size_t begun, size_t width)
{
    struct layout layout = {.marks = printer->marks, .text = printer->out->data, .width = width};
    size_t from = printer->marks[0].at;
    ls_buf_add(&layout.out, layout.text + begun, from - begun);
    from = lay_out_table(&layout, 0);
    ls_buf_add(&layout.out, layout.text + from, printer->out->len - from);
    if (!ls_buf_failed(&layout.out)) {
        ls_buf_cut(printer->out, begun);
        ls_buf_add(printer->out, layout.out.data, layout.out.len);
    }
    ls_buf_release(&layout.out);
}

LS_RAISES void ls__pretty(lua_State *L, int index, struct ls_buf *out, size_t max, size_t width)
{
    LS_LTOP(L);
    struct printer printer;
    size_t begun = out->len;
    printer.out = out;
    printer.max = max;
    printer.depth = 0;
    printer.mark_count = 0;
    luaL_checkstack(L, 6, NULL);
    print_value(L, &printer, lua_absindex(L, index));
    if (width > 0 && printer.mark_count > 0 && !ls_buf_failed(out)) lay_out(&printer, begun, width);
    LS_LTOP_CHECK(L, 0);
}
