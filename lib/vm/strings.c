/* The functions of the string library that may work long without executing an instruction: find, match, gmatch, gsub, rep. They do what the library's own do, by the matcher
 * that the time limit can end (L5, patterns.h).
 *
 * Owner thread: the session's. */
#include <string.h>

#include "vm/libs.h"
#include "vm/patterns.h"

/* --- find and match --- */

/* Where the search begins, as an offset: from the end if negative. */
static size_t start_offset(lua_Integer position, size_t len)
{
    if (position > 0)
        return (size_t)position - 1;
    if (position == 0 || position < -(lua_Integer)len)
        return 0;
    return len - (size_t)-position;
}

static bool has_specials(const char *pattern, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (pattern[i] != '\0' && strchr("^$*+?.([%-", pattern[i]))
            return true;
    return false;
}

/* [-0, +2, -] */
static LS_RAISES int push_range(lua_State *L, const char *text, const char *start, const char *end)
{
    lua_pushinteger(L, start - text + 1);
    lua_pushinteger(L, end - text);
    return 2;
}

/* [-0, +n, e] string.find or string.match */
static LS_RAISES int search(lua_State *L, bool find)
{
    size_t len, pattern_len;
    const char *text = luaL_checklstring(L, 1, &len), *pattern = luaL_checklstring(L, 2, &pattern_len);
    size_t from = start_offset(luaL_optinteger(L, 3, 1), len);
    if (from > len) {
        lua_pushnil(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || !has_specials(pattern, pattern_len))) {
        const char *found = memmem(text + from, len - from, pattern, pattern_len);
        if (found)
            return push_range(L, text, found, found + pattern_len);
        lua_pushnil(L);
        return 1;
    }
    struct ls_match m;
    ls__match_init(&m, L, text, len, pattern, pattern_len);
    bool anchored = *pattern == '^';
    for (const char *s = text + from;; s++) {
        const char *end = ls__match_at(&m, s, pattern + anchored);
        if (end)
            return find ? push_range(L, text, s, end) + ls__match_push_all(&m, NULL, NULL) : ls__match_push_all(&m, s, end);
        if (s == m.text_end || anchored)
            break;
    }
    lua_pushnil(L);
    return 1;
}

/* [-0, +n, e] string.find(text, pattern [, from [, plain]]) */
LS_RAISES int l_string_find(lua_State *L)
{
    return search(L, true);
}

/* [-0, +n, e] string.match(text, pattern [, from]) */
LS_RAISES int l_string_match(lua_State *L)
{
    return search(L, false);
}

/* --- gmatch --- */

/* The state of an iteration, in a userdata. Offsets, because the strings are held by upvalues. */
struct iteration {
    size_t next;    /* where to look for the next match */
    size_t last;    /* where the one before has ended */
    bool any;       /* has there been one? */
};

/* Upvalues: text, pattern, struct iteration. [-0, +n, e] */
static LS_RAISES int next_match(lua_State *L)
{
    size_t len, pattern_len;
    const char *text = lua_tolstring(L, lua_upvalueindex(1), &len), *pattern = lua_tolstring(L, lua_upvalueindex(2), &pattern_len);
    struct iteration *iteration = lua_touserdata(L, lua_upvalueindex(3));
    struct ls_match m;
    ls__match_init(&m, L, text, len, pattern, pattern_len);
    for (; iteration->next <= len; iteration->next++) {
        const char *s = text + iteration->next, *end = ls__match_at(&m, s, pattern);
        if (!end || (iteration->any && (size_t)(end - text) == iteration->last))
            continue; /* an empty match where the last one has ended does not count */
        iteration->next = iteration->last = (size_t)(end - text);
        iteration->any = true;
        return ls__match_push_all(&m, s, end);
    }
    return 0;
}

/* [-0, +1, e] string.gmatch(text, pattern [, from]) */
LS_RAISES int l_string_gmatch(lua_State *L)
{
    size_t len;
    luaL_checklstring(L, 1, &len);
    luaL_checkstring(L, 2);
    size_t from = start_offset(luaL_optinteger(L, 3, 1), len);
    lua_settop(L, 2);
    struct iteration *iteration = lua_newuserdatauv(L, sizeof *iteration, 0);
    *iteration = (struct iteration){.next = from > len ? len + 1 : from};
    lua_pushcclosure(L, next_match, 3);
    return 1;
}

/* --- gsub --- */

/* A replacement text: %0 to %9 stand for captures, %% for itself. The buffer is on top. */
static LS_RAISES void add_text(struct ls_match *m, luaL_Buffer *out, const char *start, const char *end)
{
    size_t len;
    const char *text = lua_tolstring(m->L, 3, &len), *text_end = text + len;
    for (const char *percent; (percent = memchr(text, '%', (size_t)(text_end - text))) != NULL; text = percent + 2) {
        luaL_addlstring(out, text, (size_t)(percent - text));
        char what = percent[1];
        if (what == '%') {
            luaL_addchar(out, '%');
        } else if (what == '0') {
            luaL_addlstring(out, start, (size_t)(end - start));
        } else if (what >= '1' && what <= '9') {
            ls__match_push(m, what - '1', start, end);
            luaL_tolstring(m->L, -1, NULL); /* a position is a number */
            lua_remove(m->L, -2);
            luaL_addvalue(out);
        } else {
            luaL_error(m->L, "invalid use of '%%' in replacement string");
        }
    }
    luaL_addlstring(out, text, (size_t)(text_end - text));
}

/* @return is it something else than the match itself? */
static LS_RAISES bool add_replacement(struct ls_match *m, luaL_Buffer *out, const char *start, const char *end, int type)
{
    lua_State *L = m->L;
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, ls__match_push_all(m, start, end), 1);
    } else if (type == LUA_TTABLE) {
        ls__match_push(m, 0, start, end);
        lua_gettable(L, 3);
    } else {
        add_text(m, out, start, end);
        return true;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(out, start, (size_t)(end - start));
        return false;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(out);
    return true;
}

/* [-0, +2, e] string.gsub(text, pattern, replacement [, most]) */
LS_RAISES int l_string_gsub(lua_State *L)
{
    size_t len, pattern_len;
    const char *text = luaL_checklstring(L, 1, &len), *pattern = luaL_checklstring(L, 2, &pattern_len);
    int type = lua_type(L, 3);
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)len + 1), count = 0;
    luaL_argexpected(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE, 3, "string/function/table");
    bool anchored = *pattern == '^', changed = false;
    struct ls_match m;
    luaL_Buffer out;
    ls__match_init(&m, L, text, len, pattern, pattern_len);
    luaL_buffinit(L, &out);
    const char *s = text, *last = NULL;
    while (count < most) {
        const char *end = ls__match_at(&m, s, pattern + anchored);
        if (end && end != last) {
            count++;
            changed = add_replacement(&m, &out, s, end, type) || changed;
            s = last = end;
        } else if (s < m.text_end) {
            luaL_addchar(&out, *s++);
        } else {
            break;
        }
        if (anchored)
            break;
    }
    if (changed) {
        luaL_addlstring(&out, s, (size_t)(m.text_end - s));
        luaL_pushresult(&out);
    } else {
        lua_pushvalue(L, 1);
    }
    lua_pushinteger(L, count);
    return 2;
}

/* --- rep --- */

/* The library's own counts `n` down also where there is nothing to repeat, which the count hook cannot stop (L5). [-3, +1, e] */
LS_RAISES int l_string_rep(lua_State *L)
{
    size_t len, separator_len;
    const char *text = luaL_checklstring(L, 1, &len);
    lua_Integer n = luaL_checkinteger(L, 2);
    const char *separator = luaL_optlstring(L, 3, "", &separator_len);
    size_t step = len + separator_len;
    if (n <= 0 || step == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (step < len || step > (size_t)LUA_MAXINTEGER / (size_t)n)
        return luaL_error(L, "resulting string too large");
    luaL_Buffer buffer;
    size_t total = step * (size_t)n - separator_len;
    char *out = luaL_buffinitsize(L, &buffer, total);
    for (; n > 1; n--) {
        memcpy(out, text, len);
        memcpy(out + len, separator, separator_len);
        out += step;
    }
    memcpy(out, text, len);
    luaL_pushresultsize(&buffer, total);
    return 1;
}
