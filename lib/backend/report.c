/* What pages are told about the site's files: failures of reloads and of view files (H78, H99, H100), and which view files a session has withdrawn
 * (L52a). Also unloading, because what it takes away includes views (C5).
 *
 * Owner thread: the session's. Texts for pages hold keys and lines, never absolute paths (H100). */
#include <stdio.h>
#include <string.h>

#include "backend/internal.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"
#include "files/fspath.h"

/* --- problems with view files --- */

static void free_problem(struct ls_backend *b, const struct ls__problem *problem)
{
    ls_budget_free(b->budget, problem->key);
    ls_budget_free(b->budget, problem->text);
}

void ls__problems_free(struct ls_backend *b)
{
    for (size_t i = 0; i < b->problems.count; i++)
        free_problem(b, &b->problems.items[i]);
    ls_budget_free(b->budget, b->problems.items);
}

static void drop_problem(struct ls_backend *b, size_t at)
{
    free_problem(b, &b->problems.items[at]);
    memmove(&b->problems.items[at], &b->problems.items[at + 1], (--b->problems.count - at) * sizeof *b->problems.items);
}

/* NULL text clears. Of one key there is one problem at a time. */
static void set_problem(struct ls_backend *b, const char *key, size_t key_len, const char *text, uint64_t stamp)
{
    for (size_t i = 0; i < b->problems.count; i++)
        if (strlen(b->problems.items[i].key) == key_len && memcmp(b->problems.items[i].key, key, key_len) == 0)
            drop_problem(b, i--);
    if (!text)
        return;
    struct ls__problem problem = {ls_budget_strndup(b->budget, key, key_len), ls_budget_strndup(b->budget, text, strlen(text)), stamp};
    struct ls__problem *slot = problem.key && problem.text ? LS__PUSH_IN(b->budget, b->problems) : NULL;
    if (slot)
        *slot = problem;
    else
        free_problem(b, &problem);
}

void ls__page_problem(struct ls_backend *b, const char *description)
{
    const char *colon = strstr(description, ": ");
    if (!colon || !b->config.viewdefs)
        return;
    char *key = ls_strndup(description, (size_t)(colon - description));
    uint64_t stamp = key ? ls_viewdefs_stamp(b->config.viewdefs, key) : 0;
    if (stamp) {
        set_problem(b, key, strlen(key), colon + 2, stamp);
        ls__set_reload_error(b);
    }
    ls_free(key);
}

void ls__drop_old_problems(struct ls_backend *b)
{
    for (size_t i = 0; i < b->problems.count; i++) {
        const struct ls__problem *problem = &b->problems.items[i];
        if (problem->stamp && ls_viewdefs_stamp(b->config.viewdefs, problem->key) != problem->stamp)
            drop_problem(b, i--);
    }
}

/* --- properties of variable 1 (H99, H100) --- */

static void add_problems(struct ls_backend *b, struct ls_buf *lines, struct ls_buf *detail)
{
    for (size_t i = 0; i < b->problems.count; i++) {
        const struct ls__problem *problem = &b->problems.items[i];
        if (lines->len)
            ls_buf_char(lines, '\n');
        ls_buf_printf(lines, "%s.html: %s", problem->key, problem->text);
        if (detail->len)
            ls_buf_cut(detail, detail->len - 1);
        else
            ls_buf_char(detail, '[');
        ls_json_open(detail, NULL, '{');
        ls_json_put_str(detail, "key", problem->key);
        ls_json_put_int(detail, "line", 0);
        ls_json_put_str(detail, "message", problem->text);
        ls_json_put_str(detail, "excerpt", "");
        ls_buf_str(detail, "}]");
    }
}

const char ls__detail[] = "reload-detail";

/* Excerpts are for those who may see the source; they are no property that the tracker, a listing or Lua code knows. */
static void set_detail(struct ls_backend *b, struct ls_var *app, const char *text, size_t len)
{
    if (len == b->detail.len && memcmp(ls_buf_text(&b->detail), text, len) == 0)
        return;
    ls_buf_clear(&b->detail);
    ls_buf_add(&b->detail, text, len);
    for (struct ls__space *space = b->spaces; app && space; space = space->next)
        if (ls__space_tally(space, app))
            ls__owe(b, space, 1, LS_HIGH, ls__detail);
}

void ls__set_reload_error(struct ls_backend *b)
{
    struct ls_tracker *tracker = b->engine->tracker;
    struct ls_var *app = ls_tracker_find(tracker, 1);
    struct ls_buf lines = LS_BUF_INIT, detail = LS_BUF_INIT;
    ls_session_failures(b->engine->session, &lines, &detail);
    while (lines.len && lines.data[lines.len - 1] == '\n')
        ls_buf_cut(&lines, lines.len - 1);
    add_problems(b, &lines, &detail);
    if (!ls_buf_failed(&lines) && !ls_buf_failed(&detail)) {
        if (app)
            ls_tracker_put_property(tracker, app, "reload-error", ls_buf_text(&lines), LS_HIGH);
        set_detail(b, app, ls_buf_text(&detail), lines.len ? detail.len : 0);
    }
    ls_buf_release(&lines);
    ls_buf_release(&detail);
}

/* --- reload --- */

/* H99: an error without a variable, to every page. */
static void tell_pages(struct ls_backend *b, const char *code, const char *file, const char *message)
{
    struct ls_buf text = LS_BUF_INIT;
    ls_buf_printf(&text, "reload %s: %s", file, message);
    for (struct ls_conn *conn = b->conns; conn; conn = conn->next) {
        ls_write_error(ls_outgoing_begin(&conn->out), 0, code, ls_buf_text(&text));
        ls_outgoing_end(&conn->out, 0);
    }
    ls_buf_release(&text);
}

static void tell_failures(struct ls_backend *b, const struct ls_reload_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct ls_reload_result *result = &report->results[i];
        if (result->outcome == LS_RELOAD_FAILED)
            tell_pages(b, "lua-error", result->key, result->text ? result->text : "failed");
    }
}

void ls_backend_reload(struct ls_backend *b, const struct ls_reload_file *files, size_t count, struct ls_reload_report *report)
{
    struct ls_err err;
    ls__begin(b);
    if (ls_session_reload(b->engine->session, files, count, report, &err) < 0)
        ls_log_session(0, b->vended_id, "reload: %s", err.text);
    ls__drop_old_problems(b);
    ls__set_reload_error(b);
    tell_failures(b, report);
    ls_backend_after_batch(b, true);
}

void ls_backend_views_changed(struct ls_backend *b)
{
    ls__begin(b);
    ls__drop_old_problems(b);
    ls__set_reload_error(b);
    ls_backend_after_batch(b, true);
}

void ls_backend_view_problem(struct ls_backend *b, const char *key, const char *text)
{
    char file[LS_PATH_MAX_BYTES];
    ls__begin(b);
    set_problem(b, key, strlen(key), text, 0);
    ls__set_reload_error(b);
    snprintf(file, sizeof file, "%s.html", key);
    if (text)
        tell_pages(b, "bad-viewdef", file, text);
}

/* --- views of apps (L52a) --- */

/* Length of "apps/NAME" at the start of a path below the root, 0 if the file belongs to no app. */
static size_t app_of(const struct ls_backend *b, const char *real_path, const char **rel)
{
    const struct ls_site *site = b->config.session.site;
    if (!real_path || !site || !site->root || !ls_path_below(site->root, real_path))
        return 0;
    const char *path = real_path + strlen(site->root);
    path += *path == '/';
    const char *end = ls_has_prefix(path, "apps/") ? strchr(path + 5, '/') : NULL;
    *rel = path;
    return end ? (size_t)(end - path) : 0;
}

bool ls__view_withheld(void *ctx, const char *real_path)
{
    struct ls_backend *b = ctx;
    const char *rel;
    char app[LS_PATH_MAX_BYTES];
    size_t len = app_of(b, real_path, &rel);
    if (!len || len >= sizeof app)
        return false;
    memcpy(app, rel, len);
    app[len] = '\0';
    return ls_session_app_withdrawn(b->engine->session, app);
}

/* --- unload (C5) --- */

struct went {
    struct ls_backend *b;
    const char *before, *gone; /* JSON arrays: modules loaded before, modules that went */
    size_t before_len, gone_len;
    struct ls_buf *keys;
};

/* Count the strings of an array that lie below an app's folder. Elements are strings, or objects with a member `key`. */
static size_t count_below(const char *json, size_t len, const char *app, size_t app_len)
{
    struct ls_json_reader reader;
    size_t count = 0;
    ls_json_read(&reader, json, len);
    if (ls_json_next(&reader) != LS_JSON_ARRAY)
        return 0;
    enum ls_json_token token;
    while ((token = ls_json_next(&reader)) != LS_JSON_ARRAY_END && token != LS_JSON_ERROR && token != LS_JSON_END) {
        const char *text, *key;
        size_t text_len, key_len;
        if (!ls_json_skip(&reader, token, &text, &text_len))
            return count;
        if (token == LS_JSON_OBJECT) {
            if (!ls_json_member(text, text_len, "key", &key, &key_len))
                continue;
            text = key;
            text_len = key_len;
        }
        count += text_len > app_len + 2 && text[0] == '"' && memcmp(text + 1, app, app_len) == 0 && text[1 + app_len] == '/';
    }
    return count;
}

static void note_view(void *ctx, const char *key, const char *real_path)
{
    struct went *went = ctx;
    const char *rel;
    size_t len = app_of(went->b, real_path, &rel);
    if (!len)
        return;
    size_t before = count_below(went->before, went->before_len, rel, len);
    if (!before || before != count_below(went->gone, went->gone_len, rel, len))
        return;
    ls_json_put_str(went->keys, NULL, key);
}

int ls_backend_unload(struct ls_backend *b, const char *name, bool dry_run, struct ls_unload_report *report, struct ls_err *err)
{
    struct ls_buf before = LS_BUF_INIT;
    ls__begin(b);
    int rc = ls_session_modules_json(b->engine->session, &before);
    if (rc >= 0)
        rc = ls_session_unload(b->engine->session, name, dry_run, report, err);
    else
        ls_fail(err, rc, "no memory for the list of modules");
    if (rc > 0 && b->config.viewdefs) {
        struct went went = {b, ls_buf_text(&before), ls_buf_text(&report->modules), before.len, report->modules.len, &report->viewdefs};
        ls_buf_clear(&report->viewdefs);
        ls_buf_char(&report->viewdefs, '[');
        ls_viewdefs_each(b->config.viewdefs, note_view, &went);
        ls_buf_char(&report->viewdefs, ']');
    }
    ls_buf_release(&before);
    ls__set_reload_error(b);
    ls_backend_after_batch(b, true);
    return rc;
}
