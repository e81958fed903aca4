/* The table of idioms: ways in which people keep state in a Lua file, each with edits and what a save must keep, take
 * and report (H48 to H56, R18). The rows are tests/unit/idioms/NN_*.lua, one test a row; tests/unit/idioms/table.lua
 * says what a row is and makes its cases of it. Here is what a case is played with: a session that keeps records as if
 * its site were watched, and saves that reach it without a server. */
#include "reload_result.h"
#include "session_site.h"

#include <lauxlib.h>
#include <lualib.h>

#include "base/text.h"

/* The place that the functions below work on. */
static struct place *place_at(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

/* What went wrong last; errors are put here before anything raises, so that nothing is held then. */
static char said[4096];

static bool is_right(int rc, const struct ls_err *err)
{
    if (rc != 0) snprintf(said, sizeof said, "%s", ls_err_text(err));
    return rc == 0;
}

static bool start(struct place *place)
{
    LS_ERR(err);
    int rc = place_open(place, &err);
    return is_right(rc == 0 ? ls_session_run_main(place->session, &err) : rc, &err);
}

/* open({ ["lua/m.lua"] = text, … }, watched): a new session on a site that has these files; main.lua has run. */
static int l_open(lua_State *L)
{
    struct place *place = place_at(L);
    place_shut(place);
    ls_buf_clear(&place->log);
    place->config.hot = lua_toboolean(L, 2);
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1))
        place_write(place, lua_tostring(L, -2), lua_tostring(L, -1));
    return start(place) ? 0 : luaL_error(L, "%s", said);
}

static int l_close(lua_State *L)
{
    place_shut(place_at(L));
    return 0;
}

static bool run(struct place *place, struct ls_eval *eval)
{
    LS_ERR(err);
    bool right = is_right(ls_session_eval(place->session, eval, &err), &err);
    ls_session_settle(place->session);
    ls_buf_release(&eval->text);
    return right;
}

/* run(code): the first result as JSON, texts without their quotes. */
static int l_run(lua_State *L)
{
    struct ls_eval eval = {.code = luaL_checklstring(L, 1, &eval.len), .name = "run"};
    if (!run(place_at(L), &eval)) {
        ls_buf_release(&eval.json);
        return luaL_error(L, "%s", said);
    }
    const char *json = ls_buf_text(&eval.json);
    size_t len = strlen(json), quoted = len >= 2 && json[0] == '"';
    lua_pushlstring(L, json + quoted, len - 2 * quoted);
    ls_buf_release(&eval.json);
    return 1;
}

/* tick(): the timer that is due first runs. @return was there one */
static int l_tick(lua_State *L)
{
    lua_pushboolean(L, place_run_timer(place_at(L)));
    return 1;
}

static bool reload(struct place *place, struct ls_reload_file *files, size_t count, struct ls_reload_report *report)
{
    LS_ERR(err);
    bool right = is_right(ls_session_reload(place->session, files, count, report, &err), &err);
    ls_session_settle(place->session);
    if (ls_session_reload_unsettled(place->session)) ls_session_reload_settle(place->session);
    return right;
}

#define MAX_FILES 8

/* save{ ["lua/m.lua"] = text, … }: the files are written and saved in one burst. @return for each its result */
static int l_save(lua_State *L)
{
    struct place *place = place_at(L);
    struct ls_reload_file files[MAX_FILES] = {{0}};
    char paths[MAX_FILES][256];
    size_t count = 0;
    for (lua_pushnil(L); lua_next(L, 1) && count < MAX_FILES; lua_pop(L, 1), count++) {
        size_t len;
        const char *key = lua_tostring(L, -2), *text = lua_tolstring(L, -1, &len);
        place_write(place, key, text);
        snprintf(paths[count], sizeof paths[count], "%s/%s", place->root, key);
        files[count] = (struct ls_reload_file){
            .key = key, .path = paths[count], .text = ls_bytes_new(text, len), .hash = ls_hash(text, len)};
    }
    struct ls_reload_report report;
    ls_reload_report_init(&report);
    bool right = reload(place, files, count, &report);
    for (size_t i = 0; i < count; i++)
        ls_bytes_unref(files[i].text);
    lua_newtable(L);
    for (size_t i = 0; i < report.count; i++) {
        reload_result_push(L, &report.results[i]);
        lua_setfield(L, -2, report.results[i].key);
    }
    ls_reload_report_release(&report);
    return right ? 1 : luaL_error(L, "%s", said);
}

/* What the rows are for: all of the sizes, or those that a program under a sanitizer can be asked for. */
static bool is_slow_build(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    return getenv("LSESS_SLOW_BUILD") != NULL;
#endif
}

static lua_State *table_open(struct place *place)
{
    static const luaL_Reg functions[] = {{"open", l_open}, {"close", l_close}, {"run", l_run},
                                         {"tick", l_tick}, {"save", l_save},   {NULL, NULL}};
    lua_State *L = luaL_newstate();
    assert_non_null(L);
    luaL_openlibs(L);
    lua_newtable(L);
    lua_pushlightuserdata(L, place);
    luaL_setfuncs(L, functions, 1);
    lua_setglobal(L, "site");
    lua_pushboolean(L, is_slow_build());
    lua_setglobal(L, "SLOW_BUILD");
    if (luaL_dofile(L, "tests/unit/idioms/table.lua") != LUA_OK) fail_msg("%s", lua_tostring(L, -1));
    return L; /* with what table.lua returns, the functions `titles` and `play`, on its stack */
}

/* The titles of all rows, in the order of the files. @return their number */
static size_t list_rows(char titles[][96], size_t max)
{
    lua_State *L = table_open(NULL);
    lua_getfield(L, -1, "titles");
    if (lua_pcall(L, 0, 1, 0) != LUA_OK) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        exit(1);
    }
    size_t count = lua_rawlen(L, -1);
    assert_true(count <= max);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        snprintf(titles[i], sizeof titles[i], "%s", lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    lua_close(L);
    return count;
}

/* All cases of one row; what differs is told together. */
static void play_row(void **state)
{
    struct place place;
    place_make(&place);
    place.config.time_limit_ms = 0;
    place.config.memory_limit = 0;
    lua_State *L = table_open(&place);
    lua_getfield(L, -1, "play");
    lua_pushstring(L, *state);
    bool right = lua_pcall(L, 1, 1, 0) == LUA_OK && lua_isnil(L, -1);
    if (!right) fprintf(stderr, "%s\n", lua_tostring(L, -1)); /* fail_msg cuts what is long */
    lua_close(L);
    place_remove(&place);
    if (!right) fail();
}

#define MAX_ROWS 200

int main(void)
{
    static char titles[MAX_ROWS][96];
    struct CMUnitTest tests[MAX_ROWS] = {{0}};
    size_t count = list_rows(titles, MAX_ROWS), chosen = 0;
    const char *only = getenv("IDIOM"); /* rows whose title has this text */
    for (size_t i = 0; i < count; i++)
        if (!only || strstr(titles[i], only))
            tests[chosen++] = (struct CMUnitTest){.name = titles[i], .test_func = play_row, .initial_state = titles[i]};
    return _cmocka_run_group_tests("idioms", tests, chosen, NULL, NULL);
}
