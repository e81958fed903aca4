/* Completion of names for the REPL (C4): globals, local variables of the entry, fields and methods, also of elements
 * (`boats[1].na`), through metatables whose __index is a table. Inside of strings and comments there is nothing to
 * complete, nor of what only running tells (`f(x):na`).
 *
 * Reads raw fields only, so no code of the site runs. Owner thread: the session's. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/json.h"
#include "base/text.h"
#include "console/console.h"
#include "console/pretty.h"
#include "syntax/tokens.h"

#define NAMES_MAX 500 /* completions given */
#define CHAIN_MAX 50  /* tables looked through by __index */

/* What stands before the cursor: a chain of names and constant keys, and the beginning of a further name. */
struct completion {
    struct ls_tokens *reader; /* owned: the tokens' strings are its */
    struct ls_token *tokens;  /* owned */
    size_t count, cap;
    const struct ls_token *
        *keys; /* owned: of the chain, the last first; the last one is the name that it begins with */
    size_t key_count, key_cap;
    const char *prefix; /* borrowed */
    size_t prefix_len;
    bool methods;           /* behind a colon */
    struct ls_names locals; /* owned: of the text, in scope before the chain */
    struct ls_buf *out;
};

static void release(struct completion *want)
{
    ls_tokens_close(want->reader);
    ls_free(want->tokens);
    ls_free(want->keys);
    ls_names_release(&want->locals);
}

static char symbol_before(const struct completion *want, size_t at)
{
    return at > 0 ? want->tokens[at - 1].symbol : '\0';
}

/* Take the last token as the beginning of a name, if it is one. @return false: nothing can follow here, as in a string
 * or comment, or behind a value */
static bool take_prefix(struct completion *want, const char *text, size_t len)
{
    const struct ls_token *last = want->count ? &want->tokens[want->count - 1] : NULL;
    size_t end = last ? last->end : 0;
    want->prefix = "";
    if (end < len) return ls_text_blank(text + end, len - end);
    if (!last || (last->symbol && !strchr(")]}", last->symbol))) return true;
    if (last->symbol || last->kind == LS_TOKEN_STRING || (text[last->start] >= '0' && text[last->start] <= '9'))
        return false;
    if (!ls_is_word(text[last->start])) return true; /* an operator; keywords begin names */
    want->prefix = text + last->start;
    want->prefix_len = len - last->start;
    want->count--;
    return true;
}

/* Take the chain before the prefix, and what is in scope there. @return 0; LS_ENOTFOUND: what it begins with is not
 * known without running something; LS_ENOMEM */
static int take_chain(struct completion *want, const char *text)
{
    size_t at = want->count;
    char link = symbol_before(want, at);
    want->methods = link == ':';
    if (link == '.' || link == ':') at--;
    while (link == '.' || link == ':' || link == '[') {
        const struct ls_token *key = at > 0 ? &want->tokens[at - 1] : NULL;
        if (key && key->kind == LS_TOKEN_NAME) {
            at--;
            link = symbol_before(want, at);
            if (link == ':') return LS_ENOTFOUND;
            if (link == '.')
                at--;
            else
                link = '\0';
        } else if (at >= 3 && key->symbol == ']' && key[-1].kind & (LS_TOKEN_STRING | LS_TOKEN_INTEGER) &&
                   key[-2].symbol == '[') {
            key--;
            at -= 3;
            link = '[';
        } else {
            return LS_ENOTFOUND;
        }
        if (!LS_PUSH(want->keys, want->key_count, want->key_cap, key)) return LS_ENOMEM;
    }
    size_t before = at < want->count ? want->tokens[at].start : (size_t)(want->prefix - text);
    ls_syntax_scope(text, before, &want->locals);
    if (want->key_count == 0) return 0;
    return ls_names_has(&want->locals, want->keys[want->key_count - 1]->string.text) ? LS_ENOTFOUND : 0;
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
    lua_newtable(L);                                     /* 2: found */
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS); /* 3: what the prefix is looked up in */
    for (size_t i = want->key_count; i > 0; i--) {
        const struct ls_token *key = want->keys[i - 1];
        if (key->kind == LS_TOKEN_INTEGER)
            lua_pushinteger(L, key->integer);
        else
            lua_pushlstring(L, key->string.text, key->string.len);
        ls__field_push(L);
    }
    for (uint32_t i = 0; i < want->locals.count && want->key_count == 0; i++) {
        if (strncmp(want->locals.items[i], want->prefix, want->prefix_len) != 0) continue;
        lua_pushboolean(L, 1);
        lua_setfield(L, 2, want->locals.items[i]);
    }
    for (int hops = 0; hops < CHAIN_MAX; hops++) {
        if (lua_istable(L, 3)) collect(L, 3, 2, want->prefix, want->prefix_len, want->methods);
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
    struct completion want = {.reader = ls_tokens_open(line, len), .out = out};
    size_t before = out->len;
    struct ls_token token;
    int code = want.reader ? 0 : LS_ENOMEM;
    while (code == 0 && ls_tokens_next(want.reader, &token))
        if (!LS_PUSH(want.tokens, want.count, want.cap, token)) code = LS_ENOMEM;
    if (code == 0) code = take_prefix(&want, line, len) ? take_chain(&want, line) : LS_ENOTFOUND;
    if (code == 0)
        code = ls__lrun(session, complete, &want, 0, err);
    else if (code == LS_ENOTFOUND)
        code = (ls_buf_str(out, "[]"), 0);
    else
        ls_fail(err, code, "Out of memory while completing.");
    release(&want);
    if (code != 0)
        ls_buf_cut(out, before);
    else if (ls_buf_failed(out))
        code = ls_fail(err, LS_ENOMEM, "Out of memory while completing.");
    return code;
}
