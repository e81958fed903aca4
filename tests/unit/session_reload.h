/* A site in a temporary folder with one session on it, for the tests of the reload transaction. */
#ifndef TESTS_UNIT_SESSION_RELOAD_H
#define TESTS_UNIT_SESSION_RELOAD_H

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

#include "base/alloc.h"
#include "files/fspath.h"
#include "base/text.h"
#include "vm/chunks.h"
#include "reload/reload.h"
#include "session/session.h"

struct site {
    char root[64];
    struct ls_site paths;
    struct ls_chunks *chunks;
    struct ls_session *session;
    struct ls_session_config config;
};

/* Makes the folder; the session is made by site_start, so that a test can change `config`. */
static inline void site_open(struct site *site)
{
    memset(site, 0, sizeof *site);
    strcpy(site->root, "/tmp/lsess-test-XXXXXX");
    assert_non_null(mkdtemp(site->root));
    char *real = ls_path_real(site->root, NULL);
    assert_non_null(real);
    snprintf(site->root, sizeof site->root, "%s", real);
    ls_free(real);
    site->paths.root = site->root;
    site->paths.lua_dir = ls_malloc(sizeof site->root + 8);
    assert_non_null(site->paths.lua_dir);
    sprintf(site->paths.lua_dir, "%s/lua", site->root);
    assert_int_equal(mkdir(site->paths.lua_dir, 0700), 0);
    site->chunks = ls_chunks_new(NULL);
    assert_non_null(site->chunks);
    site->config = (struct ls_session_config){.vended_id = "1",
                                              .site = &site->paths,
                                              .chunks = site->chunks,
                                              .time_limit_ms = 2000,
                                              .memory_limit = 64 << 20,
                                              .max_timers = 1000,
                                              .hot = true};
}

static inline void site_close(struct site *site)
{
    ls_session_close(site->session);
    ls_chunks_free(site->chunks);
    ls_free(site->paths.lua_dir);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", site->root);
    assert_int_equal(system(command), 0);
}

static inline void site_write(const struct site *site, const char *key, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", site->root, key);
    for (char *slash = path + strlen(site->root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* As site_write; the chunk counts its runs in R.n, in a table whose content no roll-back touches (H60). */
static inline void site_write_counted(const struct site *site, const char *key, const char *text)
{
    char counted[4096];
    snprintf(counted, sizeof counted, "R.n = R.n + 1 %s", text);
    site_write(site, key, counted);
}

static inline void site_start(struct site *site)
{
    LS_ERR(err);
    site->session = ls_session_open(&site->config, NULL, &err);
    if (!site->session || ls_session_run_main(site->session, &err) != 0) fail_msg("%s", ls_err_text(&err));
}

/* Runs Lua; the JSON of its first result goes into `json`, which may be NULL. */
static inline void site_eval_json(const struct site *site, const char *code, char *json, size_t size)
{
    LS_ERR(err);
    struct ls_eval eval = {.code = code, .len = strlen(code), .name = "test"};
    if (ls_session_eval(site->session, &eval, &err) != 0) fail_msg("%s: %s", code, ls_err_text(&err));
    if (json) snprintf(json, size, "%s", ls_buf_text(&eval.json));
    ls_buf_release(&eval.text);
    ls_buf_release(&eval.json);
}

static inline void site_eval(const struct site *site, const char *code)
{
    site_eval_json(site, code, NULL, 0);
}

static inline int site_number(const struct site *site, const char *code)
{
    char json[64];
    site_eval_json(site, code, json, sizeof json);
    return atoi(json);
}

static inline void site_check(const struct site *site, const char *code)
{
    char wrapped[2048], json[64];
    snprintf(wrapped, sizeof wrapped, "return (function() %s end)() and true or false", code);
    site_eval_json(site, wrapped, json, sizeof json);
    if (strcmp(json, "true") != 0) fail_msg("not true: %s", code);
}

/* One burst: the named files (keys below lua/ are their own request paths), NULL at the end. */
static inline void site_reload(struct site *site, struct ls_reload_report *report, ...)
{
    struct ls_reload_file files[8] = {{0}};
    char paths[8][256];
    size_t count = 0;
    va_list keys;
    va_start(keys, report);
    for (const char *key; (key = va_arg(keys, const char *)) != NULL; count++) {
        assert_true(count < 8);
        snprintf(paths[count], sizeof paths[count], "%s/%s", site->root, key);
        struct ls_bytes *text = ls_file_read(NULL, paths[count], 0, NULL);
        files[count] = (struct ls_reload_file){.key = key,
                                               .path = paths[count],
                                               .text = text,
                                               .hash = text ? ls_hash(ls_bytes_data(text), ls_bytes_len(text)) : 0};
    }
    va_end(keys);
    LS_ERR(err);
    ls_reload_report_init(report);
    if (ls_session_reload(site->session, files, count, report, &err) != 0) fail_msg("%s", ls_err_text(&err));
    ls_session_reload_settle(site->session);
    for (size_t i = 0; i < count; i++)
        ls_bytes_unref(files[i].text);
}

/* The link, which led to `old_key`, leads to `key` now. */
static inline void site_reload_link(struct site *site, struct ls_reload_report *report, const char *key,
                                    const char *old_key, const char *link)
{
    char path[256], target[256];
    snprintf(path, sizeof path, "%s/%s", site->root, link);
    snprintf(target, sizeof target, "%s/%s", site->root, key);
    struct ls_bytes *text = ls_file_read(NULL, target, 0, NULL);
    assert_non_null(text);
    struct ls_reload_file file = {.key = key,
                                  .old_key = old_key,
                                  .path = path,
                                  .text = text,
                                  .hash = ls_hash(ls_bytes_data(text), ls_bytes_len(text))};
    LS_ERR(err);
    assert_true(ls_session_reload_wanted(site->session, &file, 1));
    ls_reload_report_init(report);
    assert_int_equal(ls_session_reload(site->session, &file, 1, report, &err), 0);
    ls_bytes_unref(text);
}

static inline void site_point(const struct site *site, const char *link, const char *target)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", site->root, link);
    unlink(path);
    assert_int_equal(symlink(target, path), 0);
}

static inline const struct ls_reload_result *site_result(const struct ls_reload_report *report, const char *key)
{
    for (size_t i = 0; i < report->count; i++)
        if (strcmp(report->results[i].key, key) == 0) return &report->results[i];
    fail_msg("no result for %s", key);
    return NULL;
}

#endif
