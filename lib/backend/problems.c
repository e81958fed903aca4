/* What pages can see of the state of the site's files: failures of reloads and of view files (H78, H99), what gave way
 * to edits (H49), and which view files a session has withdrawn (L52a).
 *
 * Owner thread: the session's. Texts for pages hold keys and lines, never absolute paths (H100). */
#include <string.h>
#include <time.h>

#include "backend/backend_internal.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"
#include "files/fspath.h"
#include "protocol/save_result.h"

/* --- problems with view files --- */

static void free_problem(struct ls_backend *b, const struct ls__problem *problem)
{
    ls_budget_free(b->budget, problem->key);
    ls_budget_free(b->budget, problem->text);
}

static void free_loss(struct ls_backend *b, const struct ls__loss *loss)
{
    ls_budget_free(b->budget, loss->key);
    ls_budget_free(b->budget, loss->text);
}

void ls__problems_free(struct ls_backend *b)
{
    for (size_t i = 0; i < b->problems.count; i++)
        free_problem(b, &b->problems.items[i]);
    ls_budget_free(b->budget, b->problems.items);
    for (size_t i = 0; i < b->losses.count; i++)
        free_loss(b, &b->losses.items[i]);
    ls_budget_free(b->budget, b->losses.items);
}

static void drop_problem(struct ls_backend *b, size_t at)
{
    free_problem(b, &b->problems.items[at]);
    memmove(&b->problems.items[at], &b->problems.items[at + 1], (--b->problems.count - at) * sizeof *b->problems.items);
}

void ls__problem_set(struct ls_backend *b, const char *key, const char *text, uint64_t stamp)
{
    for (size_t i = 0; i < b->problems.count; i++)
        if (strcmp(b->problems.items[i].key, key) == 0) drop_problem(b, i--);
    if (!text) return;
    struct ls__problem problem = {ls_budget_strndup(b->budget, key, strlen(key)),
                                  ls_budget_strndup(b->budget, text, strlen(text)), stamp};
    if (!problem.key || !problem.text || !LS__PUSH_IN(b, b->problems, problem)) free_problem(b, &problem);
}

void ls__page_problem(struct ls_backend *b, const char *description)
{
    const char *colon = strstr(description, ": ");
    if (!colon || !b->config.viewdefs) return;
    char *key = ls_strndup(description, (size_t)(colon - description));
    uint64_t stamp = key ? ls_viewdefs_stamp(b->config.viewdefs, key) : 0;
    if (stamp) {
        ls__problem_set(b, key, colon + 2, stamp);
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
        if (lines->len) ls_buf_char(lines, '\n');
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

/* Excerpts are for those who may see the source; they are no property that the tracker, a listing or Lua code knows. */
static void set_detail(struct ls_backend *b, struct ls_var *app, const char *text, size_t len)
{
    if (len == b->detail.len && memcmp(ls_buf_text(&b->detail), text, len) == 0) return;
    ls_buf_clear(&b->detail);
    ls_buf_add(&b->detail, text, len);
    for (struct ls__space *space = b->spaces; app && space; space = space->next)
        if (ls__space_tally(space, app)) ls__owe(b, space, 1, LS_HIGH, ls__detail);
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
        if (app) ls_tracker_put_property(tracker, app, "reload-error", ls_buf_text(&lines), LS_HIGH);
        set_detail(b, app, ls_buf_text(&detail), lines.len ? detail.len : 0);
    }
    ls_buf_release(&lines);
    ls_buf_release(&detail);
}

/* --- what gave way to edits (H49) --- */

enum {
    LOSSES_KEPT = 16,
    LOSS_BYTES = 200, /* of a text and of a key */
    LOSSES_BYTES = 4096,
};

static void drop_loss(struct ls_backend *b, size_t at)
{
    free_loss(b, &b->losses.items[at]);
    memmove(&b->losses.items[at], &b->losses.items[at + 1], (--b->losses.count - at) * sizeof *b->losses.items);
}

static char *cut(struct ls_backend *b, const char *text, size_t len)
{
    return ls_budget_strndup(b->budget, text, len > LOSS_BYTES ? ls_utf8_cut(text, LOSS_BYTES) : len);
}

/* Without memory it is not told on the page; the log has it. */
static void add_loss(struct ls_backend *b, const char *key, const char *text, size_t len, int64_t time_ms)
{
    struct ls__loss loss = {cut(b, key, strlen(key)), cut(b, text, len), time_ms};
    if (b->losses.count == LOSSES_KEPT) drop_loss(b, 0);
    if (!loss.key || !loss.text || !LS__PUSH_IN(b, b->losses, loss)) free_loss(b, &loss);
}

/* Files that have run again have what they have lost this time. */
static void note_losses(struct ls_backend *b, const struct ls_reload_report *report)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t time_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (b->losses.count && b->losses.items[b->losses.count - 1].time_ms >= time_ms)
        time_ms = b->losses.items[b->losses.count - 1].time_ms + 1;
    for (size_t i = 0; i < report->count; i++) {
        const struct ls_reload_result *result = &report->results[i];
        if (result->outcome != LS_RELOAD_OK && result->outcome != LS_RELOAD_FIRST) continue;
        for (size_t k = b->losses.count; k-- > 0;)
            if (strncmp(b->losses.items[k].key, result->key, LOSS_BYTES) == 0) drop_loss(b, k);
        size_t len;
        for (const char *at = result->losses, *line; (line = ls_save_next_loss(&at, &len));)
            add_loss(b, result->key, line, len, time_ms);
    }
}

static void write_losses(const struct ls_backend *b, struct ls_buf *json)
{
    ls_buf_clear(json);
    ls_json_open(json, NULL, '[');
    for (size_t i = 0; i < b->losses.count; i++) {
        ls_json_open(json, NULL, '{');
        ls_json_put_str(json, "key", b->losses.items[i].key);
        ls_json_put_str(json, "text", b->losses.items[i].text);
        ls_json_put_int(json, "time", b->losses.items[i].time_ms);
        ls_buf_char(json, '}');
    }
    ls_buf_char(json, ']');
}

void ls__set_reload_losses(struct ls_backend *b, const struct ls_reload_report *report)
{
    struct ls_buf json = LS_BUF_INIT;
    struct ls_var *app = ls_tracker_find(b->engine->tracker, 1);
    if (report)
        note_losses(b, report);
    else
        while (b->losses.count > 0)
            drop_loss(b, b->losses.count - 1);
    if (b->losses.count == 0 && !b->losses_told) return; /* nobody knows the property */
    if (b->losses.count > 0) write_losses(b, &json);
    while (json.len > LOSSES_BYTES && b->losses.count > 1) {
        drop_loss(b, 0);
        write_losses(b, &json);
    }
    if (app && !ls_buf_failed(&json)) {
        b->losses_told = true;
        ls_tracker_put_property(b->engine->tracker, app, "reload-losses", ls_buf_text(&json), LS_HIGH);
    }
    ls_buf_release(&json);
}

/* --- views of apps (L52a) --- */

size_t ls__app_of(const struct ls_backend *b, const char *real_path, const char **rel)
{
    const struct ls_site *site = b->config.session.site;
    const char *path = real_path && site && site->root ? ls_path_rest(site->root, real_path) : NULL;
    if (!path) return 0;
    const char *end = ls_has_prefix(path, "apps/") ? strchr(path + 5, '/') : NULL;
    *rel = path;
    return end ? (size_t)(end - path) : 0;
}

bool ls__view_withheld(void *ctx, const char *real_path)
{
    struct ls_backend *b = ctx;
    const char *rel;
    char app[LS_PATH_MAX_BYTES];
    size_t len = ls__app_of(b, real_path, &rel);
    if (!len || len >= sizeof app) return false;
    memcpy(app, rel, len);
    app[len] = '\0';
    return ls_session_app_withdrawn(b->engine->session, app);
}
