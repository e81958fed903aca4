/* `lsess.lua`: a Lua state of its own with a bare environment, a clock and a memory limit (C2). The table is taken
 * apart inside a protected call, into a struct that a C variable outside of it owns, so that an error on the way loses
 * nothing.
 *
 * Owning thread: the caller's. Refuses to give the file anything that reaches outside of it, and to judge keys. */
#include "vm/site_config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "files/fspath.h"
#include "syntax/tokens.h"

enum {
    MEMORY_LIMIT = 64 << 20,
    TIME_LIMIT_MS = 1000,
    HOOK_STEP = 100,
    LARGE = 64 << 10,
    FILE_LIMIT = 1 << 20,
    KEPT_LIMIT = 64 << 10,
    KEPT_EACH = 16,
    LONGEST_NAME = 64
};

#define TOO_LONG "it took longer than a second" /* TIME_LIMIT_MS */

struct reading {
    const char *path, *text;
    size_t len;
    size_t used; /* bytes of the state's heap */
    size_t kept; /* bytes of what has been copied out of it */
    int64_t until_ns;
    bool distrusted, out_of_time;
    struct ls_site_config *config; /* filled as far as the reading has come */
};

static void *allocate(void *ctx, void *block, size_t old, size_t size)
{
    struct reading *reading = ctx;
    size_t before = block ? old : 0;
    if (size == 0) {
        reading->used -= before;
        ls_free(block);
        return NULL;
    }
    if (reading->used - before + size > MEMORY_LIMIT) return NULL;
    /* An instruction that makes a large string takes long, and HOOK_STEP of them longer than the limit. */
    if (size > before && size >= LARGE && ls_now_ns() >= reading->until_ns) {
        reading->out_of_time = true;
        return NULL;
    }
    void *moved = ls_realloc(block, size);
    if (moved) reading->used = reading->used - before + size;
    return moved;
}

/* There is no pcall in the environment, so one error ends the run. [-0, +0, v] */
static void check_time(lua_State *L, lua_Debug *unused)
{
    struct reading *reading;
    (void)unused;
    lua_getallocf(L, (void **)&reading);
    if (ls_now_ns() < reading->until_ns) return;
    reading->out_of_time = true;
    luaL_where(L, 0); /* a hook has no level of its own */
    lua_pushliteral(L, TOO_LONG);
    lua_concat(L, 2);
    lua_error(L);
}

/* [-0, +1, e] The file of a distrusted site gets none of the functions that may work for ever without executing an
 * instruction, where the hook cannot end them. */
static void push_environment(lua_State *L, bool distrusted)
{
    static const char *const never[] = {"dump", "find", "match", "gmatch", "gsub", "rep", "insert", "remove", "move"};
    size_t without = distrusted ? sizeof never / sizeof *never : 1;
    static const char *const names[] = {"assert", "error",    "ipairs",   "next", "pairs",
                                        "select", "tonumber", "tostring", "type", "_VERSION"};
    luaL_requiref(L, LUA_GNAME, luaopen_base, 0);
    lua_createtable(L, 0, 16); /* base env */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        lua_getfield(L, -2, names[i]);
        lua_setfield(L, -2, names[i]);
    }
    static const struct {
        const char *name;
        lua_CFunction open;
    } libraries[] = {{LUA_MATHLIBNAME, luaopen_math},
                     {LUA_STRLIBNAME, luaopen_string},
                     {LUA_TABLIBNAME, luaopen_table},
                     {LUA_UTF8LIBNAME, luaopen_utf8}};
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        luaL_requiref(L, libraries[i].name, libraries[i].open, 0);
        for (size_t k = 0; k < without; k++) {
            lua_pushnil(L);
            lua_setfield(L, -2, never[k]);
        }
        lua_setfield(L, -2, libraries[i].name);
    }
    lua_remove(L, -2); /* env */
}

/* The line that sets a key: where its name, or a string of it in brackets, stands before `=`. 0 when it is computed, or
 * longer than the name of an option. */
static int find_line(const struct reading *reading, const char *key)
{
    size_t len = strlen(key);
    struct ls_token token;
    int line = 0; /* of the key that ends here */
    struct ls_tokens *tokens = len <= LONGEST_NAME ? ls_tokens_open(reading->text, reading->len) : NULL;
    bool found = false;
    while (tokens && !found && ls_tokens_next(tokens, &token)) {
        found = line > 0 && token.symbol == '=';
        if (found || token.symbol == ']') continue;
        bool is = token.kind & (LS_TOKEN_NAME | LS_TOKEN_STRING) && token.string.len == len &&
                  memcmp(token.string.text, key, len) == 0;
        line = is ? token.line : 0;
    }
    ls_tokens_close(tokens);
    return found ? line : 0;
}

static void release_item(struct ls_config_item *item)
{
    ls_free(item->key);
    ls_free(item->text);
    for (char **text = item->list; text && *text; text++)
        ls_free(*text);
    ls_free(item->list);
}

void ls_site_config_free(struct ls_site_config *config)
{
    if (!config) return;
    for (size_t i = 0; i < config->count; i++)
        release_item(&config->items[i]);
    ls_free(config->items);
    ls_free(config);
}

/* [-0, +0, v] */
static void out_of_memory(lua_State *L)
{
    luaL_error(L, "out of memory while reading the options");
}

/* A copy of the text at the top of the stack, into *to. A table can name one large text many times, and no hook runs
 * here. [-0, +0, v] */
static void keep(lua_State *L, struct reading *reading, char **to)
{
    const char *text = lua_tostring(L, -1);
    reading->kept += strlen(text) + KEPT_EACH;
    if (reading->kept > KEPT_LIMIT) luaL_error(L, "%s: its table is larger than 64 KiB", reading->path);
    check_time(L, NULL);
    *to = ls_strdup(text);
    if (!*to) out_of_memory(L);
}

/* The list at the top of the stack. [-0, +0, v] */
static void take_list(lua_State *L, struct reading *reading, struct ls_config_item *item)
{
    lua_Integer count = (lua_Integer)lua_rawlen(L, -1);
    item->kind = LS_CONFIG_LIST;
    item->list = ls_array((size_t)count + 1, sizeof *item->list);
    if (!item->list) {
        out_of_memory(L);
        return;
    }
    for (lua_Integer i = 1; i <= count; i++) {
        if (lua_rawgeti(L, -1, i) != LUA_TSTRING)
            luaL_error(L, "%s:%d: %s is a list of strings", reading->path, item->line, item->key);
        keep(L, reading, &item->list[i - 1]);
        lua_pop(L, 1);
    }
}

/* One key and its value, at -2 and -1. [-0, +0, v] */
static void take_item(lua_State *L, struct reading *reading, struct ls_config_item *item)
{
    if (lua_type(L, -2) != LUA_TSTRING) luaL_error(L, "%s: the table has a key that is not a name", reading->path);
    lua_pushvalue(L, -2);
    keep(L, reading, &item->key);
    lua_pop(L, 1);
    item->line = find_line(reading, item->key);
    switch (lua_type(L, -1)) {
    case LUA_TBOOLEAN:
        item->kind = LS_CONFIG_BOOL;
        item->flag = lua_toboolean(L, -1) != 0;
        return;
    case LUA_TNUMBER:
    case LUA_TSTRING:
        item->kind = lua_type(L, -1) == LUA_TNUMBER ? LS_CONFIG_NUMBER : LS_CONFIG_STRING;
        lua_pushvalue(L, -1); /* tostring must not change the table's own value */
        keep(L, reading, &item->text);
        lua_pop(L, 1);
        return;
    case LUA_TTABLE: take_list(L, reading, item); return;
    default: luaL_error(L, "%s:%d: %s cannot be a %s", reading->path, item->line, item->key, luaL_typename(L, -1));
    }
}

/* [-0, +0, e] of the table on top */
static size_t count_keys(lua_State *L)
{
    size_t count = 0;
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1))
        count++;
    return count;
}

/* The whole reading. [-1, +0, e] */
static int l_read(lua_State *L)
{
    struct reading *reading = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_pushfstring(L, "@%s", reading->path);                                                /* name */
    if (luaL_loadbufferx(L, reading->text, reading->len, lua_tostring(L, 1), "t") != LUA_OK) /* name chunk */
        return lua_error(L);
    push_environment(L, reading->distrusted); /* name chunk env */
    size_t names = count_keys(L);
    lua_pushvalue(L, -1);
    lua_replace(L, 1);        /* env chunk env */
    lua_setupvalue(L, -2, 1); /* env chunk */
    lua_call(L, 0, 1);        /* env table */
    if (lua_isnil(L, -1)) {   /* an empty file sets nothing */
        lua_pop(L, 1);
        if (count_keys(L) == names) return 0;
        return luaL_error(L, "%s: it sets globals, which nobody reads; it must return a table", reading->path);
    }
    if (!lua_istable(L, -1))
        return luaL_error(L, "%s: it must return a table, not a %s", reading->path, luaL_typename(L, -1));
    size_t count = count_keys(L);
    reading->config->items = ls_array(count + 1, sizeof *reading->config->items);
    if (!reading->config->items) out_of_memory(L);
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1))
        take_item(L, reading, &reading->config->items[reading->config->count++]);
    return 0;
}

static int compare_items(const void *a, const void *b)
{
    return strcmp(((const struct ls_config_item *)a)->key, ((const struct ls_config_item *)b)->key);
}

/* [-0, +0, -] the error of a run that has ended with `rc` is on top */
static int fail_reading(lua_State *L, int rc, const struct reading *reading, struct ls_err *err)
{
    const char *text = reading->out_of_time && rc == LUA_ERRMEM ? TOO_LONG
                       : lua_type(L, -1) == LUA_TSTRING         ? lua_tostring(L, -1)
                                                                : "an error that is not a text";
    int code = reading->out_of_time || rc == LUA_ERRMEM ? LS_ELIMIT : rc == LUA_ERRSYNTAX ? LS_ESYNTAX : LS_ELUA;
    bool named = strstr(text, reading->path);
    return ls_fail(err, code, "%s%s%s", named ? "" : reading->path, named ? "" : ": ", text);
}

struct ls_site_config *ls_site_config_read(const char *within, const char *path, struct ls_err *err)
{
    struct ls_bytes *bytes = ls_file_read(within, path, FILE_LIMIT, err);
    if (!bytes) return NULL;
    struct reading reading = {.path = path,
                              .distrusted = within,
                              .text = ls_bytes_data(bytes),
                              .len = ls_bytes_len(bytes),
                              .until_ns = ls_now_ns() + ls_ms(TIME_LIMIT_MS)};
    reading.config = ls_zalloc(sizeof *reading.config);
    lua_State *L = reading.config ? lua_newstate(allocate, &reading) : NULL;
    int rc = LUA_ERRMEM;
    if (!L) {
        ls_fail(err, LS_ENOMEM, "Out of memory while reading %s.", path);
    } else {
        lua_sethook(L, check_time, LUA_MASKCOUNT, HOOK_STEP);
        lua_pushcfunction(L, l_read);
        lua_pushlightuserdata(L, &reading); /* lives longer than the state */
        rc = lua_pcall(L, 1, 0, 0);
        if (rc != LUA_OK) fail_reading(L, rc, &reading, err);
        lua_close(L);
    }
    ls_bytes_unref(bytes);
    if (rc != LUA_OK) {
        ls_site_config_free(reading.config);
        return NULL;
    }
    if (reading.config->count > 1)
        qsort(reading.config->items, reading.config->count, sizeof *reading.config->items, compare_items);
    return reading.config;
}
