/* Reloads, changed view files, and unloading, because what it takes away includes views (H75, H78, H99, C5).
 *
 * Owner thread: the session's. */
#include <stdio.h>
#include <string.h>

#include "backend/backend_internal.h"
#include "base/json.h"
#include "base/log.h"
#include "files/fspath.h"

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

void ls_backend_reload(struct ls_backend *b, const struct ls_reload_file *files, size_t count,
                       struct ls_reload_report *report)
{
    LS_ERR(err);
    ls__begin(b);
    if (ls_session_reload(b->engine->session, files, count, report, &err) < 0)
        ls_log_session(0, b->vended_id, "reload: %s", ls_err_text(&err));
    ls__drop_old_problems(b);
    ls__set_reload_error(b);
    ls__set_reload_losses(b, report);
    tell_failures(b, report);
    ls_backend_after_batch(b, true);
}

bool ls_backend_unsettled(const struct ls_backend *b)
{
    return ls_session_reload_unsettled(b->engine->session);
}

void ls_backend_settle(struct ls_backend *b)
{
    if (!ls_backend_unsettled(b)) return;
    ls__begin(b);
    ls_session_reload_settle(b->engine->session);
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
    ls__problem_set(b, key, text, 0);
    ls__set_reload_error(b);
    snprintf(file, sizeof file, "%s.html", key);
    if (text) tell_pages(b, "bad-viewdef", file, text);
}

/* --- unload (C5) --- */

struct went {
    struct ls_backend *b;
    const char *before, *gone; /* JSON arrays: modules loaded before, modules that went */
    size_t before_len, gone_len;
    struct ls_buf *keys;
};

/* Count the strings of an array that lie below an app's folder. Elements are strings, or objects with a member `key`.
 * */
static size_t count_below(const char *json, size_t len, const char *app, size_t app_len)
{
    struct ls_json_reader reader;
    size_t count = 0;
    ls_json_read(&reader, json, len);
    if (ls_json_next(&reader) != LS_JSON_ARRAY) return 0;
    enum ls_json_token token;
    while ((token = ls_json_next(&reader)) != LS_JSON_ARRAY_END && token != LS_JSON_ERROR && token != LS_JSON_END) {
        const char *text, *key;
        size_t text_len, key_len;
        if (!ls_json_skip(&reader, token, &text, &text_len)) return count;
        if (token == LS_JSON_OBJECT) {
            if (!ls_json_member(text, text_len, "key", &key, &key_len)) continue;
            text = key;
            text_len = key_len;
        }
        count +=
            text_len > app_len + 2 && text[0] == '"' && memcmp(text + 1, app, app_len) == 0 && text[1 + app_len] == '/';
    }
    return count;
}

static void note_view(void *ctx, const char *key, const char *real_path)
{
    struct went *went = ctx;
    const char *rel;
    size_t len = ls__app_of(went->b, real_path, &rel);
    if (!len) return;
    size_t before = count_below(went->before, went->before_len, rel, len);
    if (!before || before != count_below(went->gone, went->gone_len, rel, len)) return;
    ls_json_put_str(went->keys, NULL, key);
}

int ls_backend_unload(struct ls_backend *b, const char *name, bool dry_run, struct ls_unload_report *report,
                      struct ls_err *err)
{
    struct ls_buf before = LS_BUF_INIT;
    ls__begin(b);
    int rc = ls_session_modules_json(b->engine->session, &before);
    if (rc >= 0)
        rc = ls_session_unload(b->engine->session, name, dry_run, report, err);
    else
        ls_fail(err, rc, "Out of memory while listing modules.");
    if (rc > 0 && b->config.viewdefs) {
        struct went went = {b,          ls_buf_text(&before), ls_buf_text(&report->modules),
                            before.len, report->modules.len,  &report->viewdefs};
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
