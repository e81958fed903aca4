/* What pages can see of the state of the site's files: failures of reloads and of view files (H78, H99), and
 * which view files a session has withdrawn (L52a).
 *
 * Owner thread: the session's. Texts for pages hold keys and lines, never absolute paths (H100). */
#include <string.h>

#include "backend/backend_internal.h"
#include "base/alloc.h"
#include "base/json.h"
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
