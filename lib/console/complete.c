/* Completion of names for the REPL (C4): globals, fields and methods, also of elements (`boats[1].na`), through
 * metatables whose __index is a table.
 *
 * Reads raw fields only, so no code of the site runs. Owner thread: the session's. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "console/console.h"
#include "console/pretty.h"

#define NAMES_MAX 500 /* completions given */
#define CHAIN_MAX 50  /* tables looked through by __index */

struct completion {
    const char *line;
    size_t len;
    struct ls_buf *out;
};

/* Length of the index that begins with the bracket at `at`: a whole number or a string without escapes; 0 = it is none.
 * */
static size_t index_len(const char *line, size_t at, size_t len)
{
    const char *close = at < len && line[at] == '[' ? memchr(line + at, ']', len - at) : NULL;
    size_t end = close ? (size_t)(close - line) : 0, first = at + 1;
    if (end <= first) return 0;
    bool number = end - first < 10,
         text = end - first >= 2 && (line[first] == '"' || line[first] == '\'') && line[end - 1] == line[first];
    for (size_t i = first; i < end; i++) {
        number = number && line[i] >= '0' && line[i] <= '9';
        text = text && line[i] != '\\' && (i == first || i == end - 1 || line[i] != line[first]);
    }
    return number || text ? end + 1 - at : 0;
}

/* Where the chain of names and indexes at the end of the line begins: `print(app.contacts[1]:ad` → `app.contacts[1]:ad`
 * */
static size_t chain_start(const char *line, size_t len)
{
    size_t at = len;
    while (at > 0) {
        char last = line[at - 1];
        size_t open = at - 1;
        if (ls_is_word(last) || last == '.' || last == ':') {
            at--;
            continue;
        }
        while (last == ']' && open > 0 && line[open] != '[')
            open--;
        if (index_len(line, open, len) != at - open) break;
        at = open;
    }
    return at;
}

/* Push the key of the index at `at`, of `size` bytes with its brackets. [-0, +1, m] */
static LS_RAISES void push_index(lua_State *L, const char *line, size_t at, size_t size)
{
    LS_LTOP(L);
    if (line[at + 1] == '"' || line[at + 1] == '\'')
        lua_pushlstring(L, line + at + 2, size - 4);
    else
        lua_pushinteger(L, strtoll(line + at + 1, NULL, 10));
    LS_LTOP_CHECK(L, 1);
}

LS_RAISES void ls__field_push(lua_State *L)
{
    int key = lua_gettop(L), value = key - 1;
    for (int hops = 0; hops < CHAIN_MAX; hops++) {
        if (lua_istable(L, value)) {
            lua_pushvalue(L, key);
            if (lua_rawget(L, value) != LUA_TNIL) {
                lua_replace(L, value);
                lua_settop(L, value);
                return;
            }
        }
        lua_settop(L, key);
        if (luaL_getmetafield(L, value, "__index") != LUA_TTABLE) break;
        lua_replace(L, value);
    }
    lua_settop(L, value - 1);
    lua_pushnil(L);
}

/* [-0, +0, m] add the matching keys of the table at `table` to the set at `found` */
static LS_RAISES void collect(lua_State *L, int table, int found, const char *prefix, size_t len, bool methods)
{
    LS_LTOP(L);
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || (methods && !lua_isfunction(L, -1))) continue;
        size_t key_len;
        const char *key = lua_tolstring(L, -2, &key_len);
        if (!ls__is_name(key, key_len) || key_len < len || memcmp(key, prefix, len) != 0) continue;
        lua_pushvalue(L, -2);
        lua_pushboolean(L, 1);
        lua_rawset(L, found);
    }
    LS_LTOP_CHECK(L, 0);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* [-0, +0, m] the keys of the set as a sorted JSON array */
static LS_RAISES void write_sorted(lua_State *L, int found, struct ls_buf *out)
{
    LS_LTOP(L);
    size_t count = 0, n = 0;
    for (lua_pushnil(L); lua_next(L, found); lua_pop(L, 1))
        count++;
    const char **names = lua_newuserdatauv(L, count * sizeof *names, 0);
    for (lua_pushnil(L); lua_next(L, found) && n < count; lua_pop(L, 1))
        names[n++] = lua_tostring(L, -2);
    qsort(names, n, sizeof *names, compare_names);
    ls_buf_char(out, '[');
    for (size_t i = 0; i < n && i < NAMES_MAX; i++)
        ls_json_put_str(out, NULL, names[i]);
    lua_pop(L, 1); /* the names, which the set keeps alive */
    ls_buf_char(out, ']');
    LS_LTOP_CHECK(L, 0);
}

/* [-1, +0, m] argument: struct completion */
static LS_RAISES int complete(lua_State *L)
{
    struct completion *want = lua_touserdata(L, 1);
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    lua_settop(L, 1);
    lua_newtable(L); /* 2: found */
    size_t at = chain_start(want->line, want->len);
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS); /* 3: where the next name is looked up */
    bool methods = false;
    bool named = true; /* a name may follow */
    for (size_t end = at;; end = at) {
        size_t size = index_len(want->line, at, want->len);
        while (!size && end < want->len && ls_is_word(want->line[end]))
            end++;
        if (end == want->len) break;
        if (size) {
            push_index(L, want->line, at, size);
            end = at + size;
        } else {
            lua_pushlstring(L, want->line + at, end - at);
        }
        ls__field_push(L);
        named = end < want->len && want->line[end] != '[';
        methods = named && want->line[end] == ':';
        at = named ? end + 1 : end;
    }
    if (!named) { /* behind an index nothing can be completed */
        lua_pushnil(L);
        lua_replace(L, 3);
    }
    const char *prefix = want->line + at;
    for (int hops = 0; hops < CHAIN_MAX; hops++) {
        if (lua_istable(L, 3)) collect(L, 3, 2, prefix, want->len - at, methods);
        if (luaL_getmetafield(L, 3, "__index") != LUA_TTABLE) break;
        lua_replace(L, 3);
        lua_settop(L, 3);
    }
    write_sorted(L, 2, want->out);
    return 0;
}

int ls_session_complete(struct ls_session *session, const char *line, size_t len, struct ls_buf *out,
                        struct ls_err *err)
{
    struct completion want = {.line = line, .len = len, .out = out};
    size_t before = out->len;
    int code = ls__lrun(session, complete, &want, 0, err);
    if (code != 0)
        ls_buf_cut(out, before);
    else if (ls_buf_failed(out))
        code = ls_fail(err, LS_ENOMEM, "Out of memory while completing.");
    return code;
}
