/* The torture of hot reload (H39 to H68, R18): random sites made of the ways in which Lua people keep state, random
 * runs and random saves, in 1, 10 and 200 sessions, against a plain model of the three-way rule.
 *
 * Here is only what drives the sessions. What is generated, what must come of it and how a story that fails is made
 * short is Lua, in tests/unit/torture/, run in a Lua state that has nothing to do with the sessions.
 *
 *   TORTURE_SAVES     how many saves of a file
 *   TORTURE_SEED      of the first story; a failure names its own
 *   TORTURE_STORY=1   that one story only, as long as it is, each step told
 *   TORTURE_FAILURES  how many stories may fail before the run ends
 *   TORTURE_SHORTEN   seconds for making a story short
 *   TORTURE_WITHOUT   what stories leave out (text.lua) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "files/fspath.h"
#include "reload_result.h"
#include "session/session.h"
#include "vm/chunks.h"

enum { SESSIONS = 200, FILES = 8 };

static struct {
    char root[64];
    struct ls_site paths;
    struct ls_chunks *chunks;
    struct ls_session *sessions[SESSIONS];
    int count;
    struct ls_buf log; /* what the sessions have said since the last look */
} site;

static void heard(void *ctx, int level, const char *session, const char *text, size_t len)
{
    (void)ctx;
    if (site.log.len > 20000) return;
    ls_buf_printf(&site.log, "%d %s ", level, session ? session : "-");
    ls_buf_add(&site.log, text, len);
    ls_buf_char(&site.log, '\n');
}

/* drive.write(key, text) */
static int drive_write(lua_State *L)
{
    size_t len;
    const char *key = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &len);
    char path[128];
    snprintf(path, sizeof path, "%s/%s", site.root, key);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    return 0;
}

static void shut(void)
{
    while (site.count)
        ls_session_close(site.sessions[--site.count]);
    if (site.chunks) ls_chunks_free(site.chunks);
    site.chunks = NULL;
    ls_buf_clear(&site.log);
}

/* drive.open(count): makes so many sessions on what has been written. nil and the error's text if main.lua fails. */
static int drive_open(lua_State *L)
{
    int count = (int)luaL_checkinteger(L, 1);
    LS_ERR(err);
    shut();
    site.chunks = ls_chunks_new(NULL);
    for (int i = 0; i < count; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i + 1);
        struct ls_session_config config = {.vended_id = id,
                                           .site = &site.paths,
                                           .chunks = site.chunks,
                                           .memory_limit = 256 << 20,
                                           .max_timers = 1000,
                                           .hot = true};
        struct ls_session *session = ls_session_open(&config, NULL, &err);
        if (!session) fail_msg("%s", ls_err_text(&err));
        site.sessions[site.count++] = session;
        if (ls_session_run_main(session, &err) == 0) continue;
        lua_pushnil(L);
        lua_pushstring(L, ls_err_text(&err));
        ls_err_release(&err);
        return 2;
    }
    lua_pushboolean(L, true);
    return 1;
}

/* drive.eval(session, code) → its first result as JSON, or nil and the error's text */
static int drive_eval(lua_State *L)
{
    struct ls_session *session = site.sessions[luaL_checkinteger(L, 1) - 1];
    size_t len;
    const char *code = luaL_checklstring(L, 2, &len);
    struct ls_eval eval = {.code = code, .len = len, .name = "act"};
    LS_ERR(err);
    int rc = ls_session_eval(session, &eval, &err);
    ls_session_settle(session);
    if (rc != 0) lua_pushnil(L);
    lua_pushstring(L, rc == 0 ? ls_buf_text(&eval.json) : ls_err_text(&err));
    ls_buf_release(&eval.text);
    ls_buf_release(&eval.json);
    return rc == 0 ? 1 : 2;
}

/* drive.save(session, key…): one burst. → a table of results by key, nanoseconds */
static int drive_save(lua_State *L)
{
    struct ls_session *session = site.sessions[luaL_checkinteger(L, 1) - 1];
    struct ls_reload_file files[FILES] = {{0}};
    char paths[FILES][128];
    size_t count = (size_t)lua_gettop(L) - 1;
    assert_true(count <= FILES);
    for (size_t i = 0; i < count; i++) {
        const char *key = luaL_checkstring(L, (int)i + 2);
        snprintf(paths[i], sizeof paths[i], "%s/%s", site.root, key);
        struct ls_bytes *text = ls_file_read(NULL, paths[i], 0, NULL);
        files[i] = (struct ls_reload_file){
            .key = key, .path = paths[i], .text = text, .hash = ls_hash(ls_bytes_data(text), ls_bytes_len(text))};
    }
    struct ls_reload_report report;
    LS_ERR(err);
    ls_reload_report_init(&report);
    int64_t start = ls_now_ns();
    if (ls_session_reload(session, files, count, &report, &err) != 0) fail_msg("%s", ls_err_text(&err));
    ls_session_settle(session);
    int64_t took = ls_now_ns() - start;
    if (ls_session_reload_unsettled(session)) ls_session_reload_settle(session);
    lua_newtable(L);
    for (size_t i = 0; i < report.count; i++) {
        reload_result_push(L, &report.results[i]);
        lua_setfield(L, -2, report.results[i].key);
    }
    ls_reload_report_release(&report);
    for (size_t i = 0; i < count; i++)
        ls_bytes_unref(files[i].text);
    lua_pushinteger(L, took);
    return 2;
}

/* drive.log() → what the sessions have said since the last call */
static int drive_log(lua_State *L)
{
    lua_pushstring(L, ls_buf_text(&site.log));
    ls_buf_clear(&site.log);
    return 1;
}

/* drive.close() */
static int drive_close(lua_State *L)
{
    (void)L;
    shut();
    return 0;
}

/* drive.clock() → seconds */
static int drive_clock(lua_State *L)
{
    lua_pushnumber(L, (double)ls_now_ns() / 1e9);
    return 1;
}

static int trace(lua_State *L)
{
    luaL_traceback(L, L, lua_tostring(L, 1), 1);
    return 1;
}

static void h49_r18_random_saves(void **state)
{
    (void)state;
    static const luaL_Reg functions[] = {{"write", drive_write}, {"open", drive_open}, {"eval", drive_eval},
                                         {"save", drive_save},   {"log", drive_log},   {"close", drive_close},
                                         {"clock", drive_clock}, {NULL, NULL}};
    strcpy(site.root, "/tmp/lsess-torture-XXXXXX");
    assert_non_null(mkdtemp(site.root));
    char lua_dir[80];
    snprintf(lua_dir, sizeof lua_dir, "%s/lua", site.root);
    assert_int_equal(mkdir(lua_dir, 0700), 0);
    site.paths = (struct ls_site){.root = site.root, .lua_dir = lua_dir};
    ls_log_tap(heard, NULL);

    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    luaL_newlib(L, functions);
    lua_setglobal(L, "drive");
    lua_pushcfunction(L, trace);
    int rc = luaL_loadfile(L, "tests/unit/torture/torture.lua");
    if (rc == LUA_OK) rc = lua_pcall(L, 0, 0, 1);
    char *failed = rc == LUA_OK ? NULL : strdup(luaL_tolstring(L, -1, NULL));
    lua_close(L);
    shut();
    ls_log_tap(NULL, NULL);
    ls_buf_release(&site.log);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", site.root);
    assert_int_equal(system(command), 0);
    if (failed) print_error("%s\n", failed);
    free(failed);
    assert_int_equal(rc, LUA_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(h49_r18_random_saves)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
