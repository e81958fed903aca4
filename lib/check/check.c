/* Checking a site: collects its files, compiles the Lua ones, looks their requires up, runs main.lua once, and hands
 * the views to check_views.c.
 *
 * Thread: the caller's. Refuses to open ports, to write, or to keep anything. Rules: C1; keys as L26, search as L28,
 * doubles as H80. */
#include "check/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "check/check_internal.h"
#include "console/inspect.h"
#include "files/fspath.h"
#include "syntax/syntax.h"
#include "viewdef/viewdef.h"
#include "vm/chunks.h"

void ls__check_report(struct checker *checker, const char *file, int line, const char *other_file, int other_line,
                      const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    checker->counts->findings++;
    checker->config->found(checker->config->ctx, &(struct ls_finding){file, line, text, other_file, other_line});
}

/* --- files --- */

struct folder {
    struct checker *checker;
    const char *name; /* below the root */
    bool views;
};

static bool known(const struct checker *checker, const char *key)
{
    for (size_t i = 0; i < checker->file_count; i++)
        if (!checker->files[i].view && !strcmp(checker->files[i].key, key)) return true;
    return false;
}

static int on_file(void *ctx, const char *rel, bool is_dir)
{
    struct folder *folder = ctx;
    struct checker *checker = folder->checker;
    if (is_dir || !ls_has_suffix(rel, folder->views ? ".html" : ".lua")) return 0;
    struct ls_buf path = LS_BUF_INIT;
    LS_ERR(why);
    int code = 0;
    ls_buf_printf(&path, "%s/%s/%s", checker->config->site->root, folder->name, rel);
    char *real = ls_buf_failed(&path) ? NULL : ls_path_real(path.data, &why);
    char *key = real ? ls_path_relative(checker->config->site->root, real) : NULL;
    /* A view is known by the name of the link, a Lua file by what the link leads to (H73, L26). */
    const char *base = ls_path_base(rel);
    char *view = folder->views ? ls_strndup(base, strlen(base) - strlen(".html")) : NULL;
    struct ls_bytes *text = key ? ls_file_read(NULL, real, 0, &why) : NULL;
    if (key && !text) {
        ls__check_report(checker, key, 0, NULL, 0, "The file cannot be read: %s", ls_err_text(&why));
    } else if (!key || (folder->views && !view)) {
        code = LS_ENOMEM;
    } else if (folder->views || !known(checker, key)) {
        if (LS_PUSH(checker->files, checker->file_count, checker->file_cap, (struct site_file){key, text, view}))
            key = view = NULL, text = NULL;
        else
            code = LS_ENOMEM;
    }
    ls_free(real);
    ls_free(key);
    ls_free(view);
    ls_bytes_unref(text);
    ls_buf_release(&path);
    return code;
}

static int collect(struct checker *checker, const char *name, bool views, struct ls_err *err)
{
    struct folder folder = {checker, name, views};
    struct ls_buf dir = LS_BUF_INIT;
    ls_path_join(&dir, checker->config->site->root, name);
    int code = ls_buf_failed(&dir) ? LS_ENOMEM : ls_tree_walk(NULL, false, dir.data, on_file, &folder, err);
    ls_buf_release(&dir);
    return code;
}

/* --- Lua --- */

static bool is_require(const struct ls_syntax_expr *expr)
{
    return expr->kind == LS_EXPR_NAME && !expr->variable && expr->string.len == 7 &&
           !memcmp(expr->string.text, "require", 7);
}

/* `require "x"`, `require('x')`: literal names only; others are the program's business. What does not compile is to be
 * mended first. */
static void check_requires(struct checker *checker, struct ls_session *session, const struct site_file *file)
{
    struct ls_syntax_error error = {0};
    struct ls_syntax *syntax = ls_syntax_parse(ls_bytes_data(file->text), ls_bytes_len(file->text), &error);
    if (!syntax && error.line == 0) checker->code = LS_ENOMEM;
    for (unsigned i = 0; syntax && i < syntax->mention_count; i++) {
        const struct ls_syntax_expr *call = syntax->mentions[i].call, *name = call ? call->list : NULL;
        if (!name || name->kind != LS_EXPR_STRING || !is_require(syntax->mentions[i].expr)) continue;
        char *copy = ls_strndup(name->string.text, name->string.len);
        if (!copy)
            checker->code = LS_ENOMEM;
        else if (!ls_session_can_require(session, copy))
            ls__check_report(checker, file->key, name->line, NULL, 0, "require(\"%s\") finds no file.", copy);
        ls_free(copy);
    }
    ls_syntax_free(syntax);
}

/* `key:line: message` → its line and message; the file stays what it is if the text names none. */
static void report_error(struct checker *checker, const char *fallback, const struct ls_err *err)
{
    char text[LS_ERR_TEXT];
    snprintf(text, sizeof text, "%s", ls_err_text(err));
    text[strcspn(text, "\n")] = 0; /* the traceback is for those who run the site */
    size_t len = strlen(text);
    if (len && text[len - 1] == ':') text[len - 1] = '.'; /* a list followed */
    for (char *colon = strchr(text, ':'); colon; colon = strchr(colon + 1, ':')) {
        char *digits_end;
        long line = strtol(colon + 1, &digits_end, 10);
        if (digits_end == colon + 1 || *digits_end != ':' || line <= 0) continue;
        *colon = 0;
        ls__check_report(checker, text, (int)line, NULL, 0, "%s", digits_end + 1 + strspn(digits_end + 1, " "));
        return;
    }
    ls__check_report(checker, fallback, 0, NULL, 0, "%s", text);
}

static int check_lua(struct checker *checker, const struct ls_session_config *config, struct ls_err *err)
{
    struct ls_session *session = ls_session_open(config, NULL, err);
    if (!session) return LS_ENOMEM;
    for (size_t i = 0; i < checker->file_count && !checker->code; i++) {
        const struct site_file *file = &checker->files[i];
        LS_ERR(why);
        if (file->view) continue;
        checker->counts->lua_files++;
        if (ls_session_compile(session, file->key, ls_bytes_data(file->text), ls_bytes_len(file->text), &why))
            report_error(checker, file->key, &why);
        check_requires(checker, session, file);
    }
    ls_session_close(session);
    return checker->code;
}

/* --- the whole --- */

static int check_running(struct checker *checker, struct ls_backend_config *config)
{
    LS_ERR(why);
    struct ls_backend_host host = {0};
    struct ls_backend *backend = ls_backend_open(config, &host, &why);
    if (backend)
        checker->session = ls_backend_session(backend);
    else if (why.code == LS_ENOMEM)
        return LS_ENOMEM;
    /* what does not compile has been told */
    else if (why.code != LS_ESYNTAX)
        report_error(checker, "lua/main.lua", &why);
    ls__check_views(checker);
    checker->session = NULL;
    ls_backend_close(backend);
    return checker->code;
}

int ls_check_site(const struct ls_check_config *config, struct ls_check_counts *counts, struct ls_err *err)
{
    *counts = (struct ls_check_counts){0};
    struct checker checker = {.config = config, .counts = counts};
    struct ls_backend_config backend = {.session = {.vended_id = "1",
                                                    .site = config->site,
                                                    .memory_limit = config->memory_limit,
                                                    .time_limit_ms = config->time_limit_ms,
                                                    .max_timers = 10000}};
    struct ls_buf dir = LS_BUF_INIT;
    int code = collect(&checker, "lua", false, err);
    if (!code) code = collect(&checker, "apps", false, err);
    if (!code) code = collect(&checker, "viewdefs", true, err);
    if (!code) {
        ls_path_join(&dir, config->site->root, "viewdefs");
        backend.session.chunks = ls_chunks_new(err);
        backend.viewdefs = ls_buf_failed(&dir) ? NULL : ls_viewdefs_open(NULL, dir.data, NULL, err);
        if (!backend.session.chunks || !backend.viewdefs) code = LS_ENOMEM;
    }
    if (!code) code = check_lua(&checker, &backend.session, err);
    if (!code) code = check_running(&checker, &backend);
    ls_viewdefs_close(backend.viewdefs);
    ls_chunks_free(backend.session.chunks);
    ls_buf_release(&dir);
    for (size_t i = 0; i < checker.file_count; i++) {
        ls_free(checker.files[i].key);
        ls_free(checker.files[i].view);
        ls_bytes_unref(checker.files[i].text);
    }
    ls_free(checker.files);
    if (code == LS_ENOMEM) ls_fail(err, LS_ENOMEM, "Out of memory while checking the site.");
    return code;
}
