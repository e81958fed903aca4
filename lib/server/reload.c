/* Bursts of changed files on their way to the sessions, and what those who watch are told of them (H39, H73–H82, H97;
 * C1 reload).
 *
 * A burst becomes one item for each session that it may concern; a thousand sessions that have not loaded the file cost
 * a look-up each and no item. The items share a `struct fanout`, which collects results; whoever finishes last tells
 * (saves.c). Those who watch get an event for each file and session.
 *
 * Threads: bursts arrive on the hot loader's settling thread; items run on the sessions' owner threads; reports come
 * from whichever is last. */
#include "server/server_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "files/fspath.h"
#include "server/saves.h"

struct view_problem {
    char *key, *text; /* owned; text NULL = cleared */
};

struct fanout {
    struct gather gather; /* first */
    struct ls_server *server;
    struct ls_burst *burst; /* counted */
    bool command;           /* from `reload`: sessions that skip are told about as well */
    bool views_changed;
    struct view_problem *problems; /* owned: view files that cannot be used any more, or can again (H78) */
    size_t problem_count, problem_cap;
    /* -- protected by the gather's lock */
    struct ls_buf results; /* JSON objects with commas between (C3) */
    struct saves saves;
};

static void release_problem(struct view_problem *problem)
{
    ls_free(problem->key);
    ls_free(problem->text);
}

static void free_fanout(struct gather *gather)
{
    struct fanout *fanout = (struct fanout *)gather;
    for (size_t i = 0; i < fanout->problem_count; i++)
        release_problem(&fanout->problems[i]);
    ls_free(fanout->problems);
    saves_release(&fanout->saves);
    ls_buf_release(&fanout->results);
    ls_burst_unref(fanout->burst);
    ls_free(fanout);
}

/* --- collecting --- */

static void member(struct ls_buf *out, const char *name, const char *text)
{
    if (text) ls_json_put_str(out, name, text);
}

static void write_result(struct ls_buf *out, const struct session *session, const struct ls_reload_result *result,
                         int64_t ns)
{
    member(out, "session", session->vended);
    member(out, "key", result->key);
    member(out, "outcome", saves_outcome(result->outcome));
    member(out, "text", result->text);
    member(out, "details", result->details);
    ls_json_key(out, "ms");
    ls_buf_printf(out, "%.3f", (double)ns / 1e6);
}

/* H97: one record a session at level 1, skipped files at level 2. */
static void log_result(const struct session *session, const struct ls_reload_result *result, int64_t ns)
{
    if (result->outcome == LS_RELOAD_SKIPPED)
        ls_log_session(2, session->vended, "reload %s: skipped, %s", result->key, result->text ? result->text : "");
    else if (result->outcome != LS_RELOAD_FAILED)
        ls_log_session(1, session->vended, "reload %s: %s%s%s, %.1f ms", result->key, saves_outcome(result->outcome),
                       result->details ? ", " : "", result->details ? result->details : "", (double)ns / 1e6);
}

static void watch_result(struct ls_server *server, const struct session *session, const struct ls_reload_result *result,
                         int64_t ns)
{
    if (!control_watched(server->control)) return;
    struct ls_buf fields = LS_BUF_INIT;
    write_result(&fields, session, result, ns);
    ls_json_put_int(&fields, "time", time(NULL));
    member(&fields, "file", result->key);
    control_event(server->control, "reload", ls_buf_text(&fields));
    ls_buf_clear(&fields);
    if (result->outcome == LS_RELOAD_FAILED) {
        member(&fields, "session", session->vended);
        member(&fields, "text", result->text);
        control_event(server->control, "error", ls_buf_text(&fields));
    }
    ls_buf_release(&fields);
}

/* Of a file that nobody has named, that a session has not loaded it is no news (C1). */
static bool is_news(const struct fanout *fanout, const struct ls_reload_result *result)
{
    return !fanout->burst->whole || result->outcome != LS_RELOAD_SKIPPED || !result->text ||
           strcmp(result->text, "not loaded") != 0;
}

static void collect(struct fanout *fanout, struct session *session, const struct ls_reload_report *report)
{
    pthread_mutex_lock(&fanout->gather.lock);
    for (size_t i = 0; fanout->command && !fanout->gather.closed && i < report->count; i++) {
        if (!is_news(fanout, &report->results[i])) continue;
        ls_json_open(&fanout->results, NULL, '{');
        write_result(&fanout->results, session, &report->results[i], report->ns);
        ls_buf_char(&fanout->results, '}');
    }
    saves_add(&fanout->saves, report);
    pthread_mutex_unlock(&fanout->gather.lock);
    for (size_t i = 0; i < report->count; i++) {
        if (!is_news(fanout, &report->results[i])) continue;
        log_result(session, &report->results[i], report->ns);
        watch_result(fanout->server, session, &report->results[i], report->ns);
    }
}

static void tell(struct gather *gather)
{
    struct fanout *fanout = (struct fanout *)gather;
    if (atomic_load(&fanout->server->phase) == PHASE_RUNNING) saves_tell(fanout->server, fanout->burst, &fanout->saves);
}

/* --- running --- */

/* Lua, views and their problems of one burst are one item, and so one frame (H72, H75). */
static void run_reload(struct gather *gather, struct session *session, size_t number)
{
    (void)number;
    struct fanout *fanout = (struct fanout *)gather;
    const struct ls_burst *burst = fanout->burst;
    size_t pages = ls_backend_connection_count(session->backend);
    bool needed = fanout->command ||
                  ls_session_reload_wanted(ls_backend_session(session->backend), burst->files, burst->file_count);
    for (size_t i = 0; i < fanout->problem_count; i++)
        ls_backend_view_problem(session->backend, fanout->problems[i].key, fanout->problems[i].text);
    if (burst->file_count > 0 && needed) {
        struct ls_reload_report report;
        ls_reload_report_init(&report);
        ls_backend_reload(session->backend, burst->files, burst->file_count, &report);
        collect(fanout, session, &report);
        ls_reload_report_release(&report);
    } else if (fanout->views_changed || fanout->problem_count > 0) {
        ls_backend_views_changed(session->backend);
    }
    pthread_mutex_lock(&fanout->gather.lock);
    fanout->saves.pages += fanout->views_changed && pages > 0;
    fanout->saves.unchanged +=
        burst->file_count > 0 && !needed && host_may_want(session, burst->files, burst->file_count);
    pthread_mutex_unlock(&fanout->gather.lock);
}

/* --- view files --- */

static void drop_problem(void *arg)
{
    release_problem(arg);
    ls_free(arg);
}

static void run_problem(struct session *session, void *arg)
{
    struct view_problem *problem = arg;
    ls_backend_view_problem(session->backend, problem->key, problem->text);
    ls_backend_after_batch(session->backend, true);
}

static void post_problem(struct session *session, const char *key, const char *text)
{
    struct view_problem *problem = ls_zalloc(sizeof *problem);
    if (!problem) return;
    problem->key = ls_strdup(key);
    problem->text = ls_strdup(text);
    if (problem->key && problem->text)
        session_post(session, run_problem, problem, drop_problem, false);
    else
        drop_problem(problem);
}

/* H78: the failure of a view file is in force until a good text comes. @return has it come, gone, or become another
 * one? */
static bool set_problem(struct ls_server *server, const char *key, const char *text)
{
    void *old = NULL;
    char *copy = text ? ls_strdup(text) : NULL;
    pthread_mutex_lock(&server->reports_lock);
    if (copy)
        ls_map_put(server->view_problems, key, strlen(key), copy, &old);
    else
        old = ls_map_take(server->view_problems, key, strlen(key));
    pthread_mutex_unlock(&server->reports_lock);
    bool changed = text != NULL ? old == NULL || strcmp(old, text) != 0 : old != NULL;
    ls_free(old);
    return changed;
}

/* For the sessions that are there; those to come ask the server. */
static void add_problem(struct fanout *fanout, const char *key, const char *text)
{
    struct view_problem problem = {ls_strdup(key), text ? ls_strdup(text) : NULL};
    if (!problem.key || (text && !problem.text) ||
        !LS_PUSH(fanout->problems, fanout->problem_count, fanout->problem_cap, problem))
        release_problem(&problem);
}

void reload_apply_view_problems(struct session *session)
{
    struct ls_server *server = session->server;
    pthread_mutex_lock(&server->reports_lock);
    size_t count = ls_map_count(server->view_problems);
    char **texts = count > 0 ? ls_array(2 * count, sizeof *texts) : NULL;
    size_t at = 0;
    for (struct ls_map_entry *e = texts ? ls_map_first(server->view_problems) : NULL; e; e = ls_map_next(e)) {
        texts[at++] = ls_strdup(ls_map_key(e, NULL));
        texts[at++] = ls_strdup(ls_map_value(e));
    }
    pthread_mutex_unlock(&server->reports_lock);
    for (size_t i = 0; i < at; i += 2) {
        if (texts[i] && texts[i + 1]) post_problem(session, texts[i], texts[i + 1]);
        ls_free(texts[i]);
        ls_free(texts[i + 1]);
    }
    ls_free(texts);
}

static void take_view(struct fanout *fanout, const struct ls_view_file *view)
{
    struct ls_server *server = fanout->server;
    const char *base = ls_path_base(view->path);
    char key[256];
    LS_ERR(err);
    snprintf(key, sizeof key, "%.*s", (int)(strlen(base) - (ls_has_suffix(base, ".html") ? 5 : 0)), base);
    int rc = ls_viewdefs_put(server->viewdefs, view->path, view->text, &err);
    fanout->views_changed = fanout->views_changed || rc > 0;
    fanout->saves.views += rc > 0;
    if (set_problem(server, key, rc < 0 ? ls_err_text(&err) : NULL))
        add_problem(fanout, key, rc < 0 ? ls_err_text(&err) : NULL);
    if (rc < 0) {
        struct ls_buf text = LS_BUF_INIT;
        ls_buf_printf(&text, "%s: %s", base, ls_err_text(&err));
        saves_add_view_failure(&fanout->saves, base, ls_buf_text(&text));
        ls_buf_release(&text);
    }
}

/* --- ways in --- */

/* View files go to the store first; then each session that the burst may concern is asked. @return with the asking not
 * ended yet; NULL without memory */
static struct fanout *hand_out(struct ls_server *server, struct ls_burst *burst, bool command)
{
    struct fanout *fanout = ls_zalloc(sizeof *fanout);
    if (!fanout) return NULL;
    gather_init(&fanout->gather, run_reload, tell, free_fanout);
    fanout->server = server;
    fanout->burst = ls_burst_ref(burst);
    fanout->command = command;
    saves_init(&fanout->saves);
    fanout->saves.command = command;
    fanout->saves.quiet = burst->unasked;
    for (size_t i = 0; i < burst->view_count; i++)
        take_view(fanout, &burst->views[i]);
    struct session **list;
    size_t count = manager_list(server->manager, &list);
    for (size_t i = 0; i < count; i++)
        if (fanout->views_changed || fanout->problem_count > 0 ||
            host_may_want(list[i], burst->files, burst->file_count))
            gather_ask(&fanout->gather, list[i], i);
    session_unref_all(list, count);
    /* Raised when the work has been handed out: a start page that waits for it asks for a session right away (H36). */
    atomic_fetch_add(&server->web.generation, 1);
    return fanout;
}

void reload_on_burst(void *ctx, struct ls_burst *burst)
{
    struct ls_server *server = ctx;
    struct fanout *fanout = atomic_load(&server->phase) != PHASE_STOPPING ? hand_out(server, burst, false) : NULL;
    if (fanout) gather_end(&fanout->gather);
}

int reload_command(struct ls_server *server, struct ls_burst *burst, struct ls_buf *json, int64_t wait_ms)
{
    struct fanout *fanout = hand_out(server, burst, true);
    if (!fanout) return LS_ENOMEM;
    bool complete = gather_wait(&fanout->gather, wait_ms);
    if (json) ls_buf_printf(json, "[%s]", ls_buf_text(&fanout->results));
    gather_unref(&fanout->gather);
    return complete || wait_ms == 0 ? 0 : LS_EBUSY;
}

/* Every file that some session has asked for: modules need not lie in the site's own folders (C1). @return an error
 * code or 0 */
static int collect_keys(struct ls_server *server, struct ls_map *keys)
{
    struct session **list;
    size_t count = manager_list(server->manager, &list);
    bool complete = true;
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(&list[i]->lock);
        for (struct ls_map_entry *e = ls_map_first(list[i]->keys); e; e = ls_map_next(e)) {
            size_t len;
            const char *key = ls_map_key(e, &len);
            complete = complete && (ls_map_get(keys, key, len) || ls_map_put(keys, key, len, keys, NULL));
        }
        pthread_mutex_unlock(&list[i]->lock);
    }
    session_unref_all(list, count);
    return complete ? 0 : LS_ENOMEM;
}

struct ls_burst *reload_burst_of(struct ls_server *server, const char *const *names, size_t count, struct ls_err *err)
{
    if (!server->site.root) {
        ls_fail(err, LS_ENOTFOUND, "The built-in site has no files to reload.");
        return NULL;
    }
    if (count > 0) return ls_burst_of_files(server->web.within, server->site.root, names, count, err);
    struct ls_map *keys = ls_map_new();
    int rc = keys ? collect_keys(server, keys) : LS_ENOMEM;
    const char **all = rc == 0 ? ls_array(ls_map_count(keys) + 1, sizeof *all) : NULL;
    size_t at = 0;
    for (struct ls_map_entry *e = all ? ls_map_first(keys) : NULL; e; e = ls_map_next(e))
        all[at++] = ls_map_key(e, NULL);
    struct ls_burst *burst = all ? ls_burst_of_site(server->web.within, server->site.root, all, at, err) : NULL;
    if (!all) ls_fail(err, LS_ENOMEM, "Out of memory while reading the files to reload.");
    ls_free(all);
    ls_map_free(keys, NULL);
    return burst;
}

int ls_server_reload_all(struct ls_server *server, struct ls_err *err)
{
    struct ls_burst *burst = reload_burst_of(server, NULL, 0, err);
    if (!burst) return err && err->code < 0 ? err->code : LS_EIO;
    int rc = reload_command(server, burst, NULL, 0);
    ls_burst_unref(burst);
    return rc;
}

void reload_release(struct ls_server *server)
{
    if (server->failures) ls_map_free(server->failures, ls_free);
    if (server->view_problems) ls_map_free(server->view_problems, ls_free);
}
