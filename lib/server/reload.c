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
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "files/fspath.h"
#include "protocol/save_result.h"
#include "server/saves.h"

struct fanout {
    struct ls_gather gather; /* first */
    struct ls_server *server;
    struct ls_burst *burst; /* counted */
    bool command;           /* from `reload`: sessions that skip are told about as well */
    bool views_changed;
    struct ls_map *problems; /* owned: key of a view file that cannot be used any more → text; that can again → NULL */
    /* -- protected by the gather's lock */
    struct ls_buf results; /* JSON objects with commas between (C3) */
    struct saves saves;
};

static void free_fanout(struct ls_gather *gather)
{
    struct fanout *fanout = (struct fanout *)gather;
    ls_map_free(fanout->problems, ls_free);
    ls__saves_release(&fanout->saves);
    ls_buf_release(&fanout->results);
    ls_burst_unref(fanout->burst);
    ls_free(fanout);
}

/* --- collecting --- */

static void member(struct ls_buf *out, const char *name, const char *text)
{
    if (text) ls_json_put_str(out, name, text);
}

static void write_result(struct ls_buf *out, const struct ls_hosted *session, const struct ls_reload_result *result,
                         int64_t ns)
{
    member(out, "session", session->vended);
    ls_save_put_result(out, result);
    ls_json_key(out, "ms");
    ls_buf_printf(out, "%.3f", (double)ns / 1e6);
}

/* H97: one record a session at level 1, skipped files at level 2. */
static void log_result(const struct ls_hosted *session, const struct ls_reload_result *result, int64_t ns)
{
    if (result->outcome == LS_RELOAD_SKIPPED)
        ls_log_session(2, session->vended, "reload %s: skipped, %s", result->key, result->text ? result->text : "");
    if (result->outcome == LS_RELOAD_SKIPPED || result->outcome == LS_RELOAD_FAILED || !ls_log_on(1)) return;
    struct ls_buf told = LS_BUF_INIT;
    if (result->details) ls_buf_printf(&told, ", %s", result->details);
    ls_save_write_figures(&told, result, ", data: ");
    ls_log_session(1, session->vended, "reload %s: %s%s, %.1f ms", result->key, ls_save_outcome(result->outcome),
                   ls_buf_text(&told), (double)ns / 1e6);
    ls_buf_release(&told);
}

static void watch_result(struct ls_server *server, const struct ls_hosted *session,
                         const struct ls_reload_result *result, int64_t ns)
{
    if (!ls__control_watched(server->control)) return;
    struct ls_buf fields = LS_BUF_INIT;
    write_result(&fields, session, result, ns);
    ls_json_put_int(&fields, "time", time(NULL));
    member(&fields, "file", result->key);
    ls__control_event(server->control, "reload", ls_buf_text(&fields));
    ls_buf_clear(&fields);
    if (result->outcome == LS_RELOAD_FAILED) {
        member(&fields, "session", session->vended);
        member(&fields, "text", result->text);
        ls__control_event(server->control, "error", ls_buf_text(&fields));
    }
    ls_buf_release(&fields);
}

/* Of a file that nobody has named, that a session has not loaded it is no news (C1). */
static bool is_news(const struct fanout *fanout, const struct ls_reload_result *result)
{
    return !fanout->burst->whole || result->outcome != LS_RELOAD_SKIPPED || !result->text ||
           strcmp(result->text, "not loaded") != 0;
}

static void collect(struct fanout *fanout, struct ls_hosted *session, const struct ls_reload_report *report)
{
    pthread_mutex_lock(&fanout->gather.lock);
    for (size_t i = 0; fanout->command && !fanout->gather.closed && i < report->count; i++) {
        if (!is_news(fanout, &report->results[i])) continue;
        ls_json_open(&fanout->results, NULL, '{');
        write_result(&fanout->results, session, &report->results[i], report->ns);
        ls_buf_char(&fanout->results, '}');
    }
    ls__saves_add(&fanout->saves, report);
    pthread_mutex_unlock(&fanout->gather.lock);
    for (size_t i = 0; i < report->count; i++) {
        if (!is_news(fanout, &report->results[i])) continue;
        log_result(session, &report->results[i], report->ns);
        watch_result(fanout->server, session, &report->results[i], report->ns);
    }
}

static void tell(struct ls_gather *gather)
{
    struct fanout *fanout = (struct fanout *)gather;
    if (atomic_load(&fanout->server->phase) == PHASE_RUNNING)
        ls__saves_tell(fanout->server, fanout->burst, &fanout->saves);
}

/* --- running --- */

static void tell_problems(struct ls_hosted *session, const struct ls_map *problems)
{
    for (struct ls_map_item *e = ls_map_first(problems); e; e = ls_map_next(e))
        ls_backend_view_problem(session->backend, ls_map_key(e, NULL), ls_map_value(e));
}

/* Tables that the reload has replaced may be held by somebody: that is looked after when the frames are out (H49). */
static void settle(struct ls_hosted *session, void *arg)
{
    (void)arg;
    ls_backend_settle(session->backend);
}

/* Lua, views and their problems of one burst are one item, and so one frame (H72, H75). */
static void run_reload(struct ls_gather *gather, struct ls_hosted *session, size_t number)
{
    (void)number;
    struct fanout *fanout = (struct fanout *)gather;
    const struct ls_burst *burst = fanout->burst;
    size_t pages = ls_backend_connection_count(session->backend);
    bool needed = fanout->command ||
                  ls_session_reload_wanted(ls_backend_session(session->backend), burst->files, burst->file_count);
    tell_problems(session, fanout->problems);
    if (burst->file_count > 0 && needed) {
        struct ls_reload_report report;
        ls_reload_report_init(&report);
        ls_backend_reload(session->backend, burst->files, burst->file_count, &report);
        collect(fanout, session, &report);
        atomic_fetch_add(&fanout->server->figures.reloads, 1);
        atomic_fetch_add(&fanout->server->figures.reload_ns, (unsigned long long)report.ns);
        ls_reload_report_release(&report);
        if (ls_backend_unsettled(session->backend)) (void)ls_hosted_post(session, settle, NULL, NULL, false, false);
    } else if (fanout->views_changed || ls_map_count(fanout->problems) > 0) {
        ls_backend_views_changed(session->backend);
    }
    pthread_mutex_lock(&fanout->gather.lock);
    fanout->saves.pages += fanout->views_changed && pages > 0;
    fanout->saves.unchanged +=
        burst->file_count > 0 && !needed && ls_hosted_may_want(session, burst->files, burst->file_count);
    pthread_mutex_unlock(&fanout->gather.lock);
}

/* --- view files --- */

/* `text` is copied; *old gets the text that was there, owned. @return false without memory: the map is as it was */
static bool put_text(struct ls_map *map, const char *key, const char *text, char **old)
{
    void *before = NULL;
    char *copy = text ? ls_strdup(text) : NULL;
    bool put = (copy || !text) && ls_map_put(map, key, strlen(key), copy, &before);
    if (!put) ls_free(copy);
    *old = before;
    return put;
}

/* The failure of a view file is in force until a good text comes (H78). @param text  NULL = it can be used.
 * @return has a failure come, gone, or become another one? */
static bool set_problem(struct ls_server *server, const char *key, const char *text)
{
    char *old = NULL;
    pthread_mutex_lock(&server->reports_lock);
    if (!text || !put_text(server->view_problems, key, text, &old))
        old = ls_map_take(server->view_problems, key, strlen(key));
    pthread_mutex_unlock(&server->reports_lock);
    bool changed = text && old ? strcmp(old, text) != 0 : text || old;
    ls_free(old);
    return changed;
}

void ls__reload_tell_view_problems(struct ls_hosted *session)
{
    struct ls_server *server = session->server;
    struct ls_map *problems = ls_map_new();
    char *none;
    if (!problems) return;
    pthread_mutex_lock(&server->reports_lock);
    for (struct ls_map_item *e = ls_map_first(server->view_problems); e; e = ls_map_next(e))
        (void)put_text(problems, ls_map_key(e, NULL), ls_map_value(e), &none);
    pthread_mutex_unlock(&server->reports_lock);
    tell_problems(session, problems);
    if (ls_map_count(problems) > 0) ls_backend_after_batch(session->backend, true);
    ls_map_free(problems, ls_free);
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
    const char *problem = rc < 0 ? ls_err_text(&err) : NULL;
    char *old = NULL;
    if (set_problem(server, key, problem)) (void)put_text(fanout->problems, key, problem, &old);
    ls_free(old);
    if (problem) {
        struct ls_buf text = LS_BUF_INIT;
        ls_buf_printf(&text, "%s: %s", base, problem);
        ls__saves_add_view_failure(&fanout->saves, base, ls_buf_text(&text));
        ls_buf_release(&text);
    }
}

/* --- ways in --- */

/* View files go to the store first; then each session that the burst may concern is asked. @return with the asking not
 * ended yet; NULL without memory */
static struct fanout *hand_out(struct ls_server *server, struct ls_burst *burst, bool command)
{
    struct fanout *fanout = ls_zalloc(sizeof *fanout);
    struct ls_map *problems = fanout ? ls_map_new() : NULL;
    if (!problems) {
        ls_free(fanout);
        return NULL;
    }
    ls_gather_init(&fanout->gather, run_reload, tell, free_fanout);
    fanout->server = server;
    fanout->gather.eager = fanout->burst = ls_burst_ref(burst);
    fanout->command = command;
    fanout->problems = problems;
    fanout->saves.command = command;
    fanout->saves.quiet = burst->unasked;
    for (size_t i = 0; i < burst->view_count; i++)
        take_view(fanout, &burst->views[i]);
    struct ls_hosted **list;
    size_t count = ls_manager_list_all(server->manager, &list);
    for (size_t i = 0; i < count; i++)
        if (fanout->views_changed || ls_map_count(fanout->problems) > 0 ||
            ls_hosted_may_want(list[i], burst->files, burst->file_count))
            ls_gather_ask(&fanout->gather, list[i], i);
    ls_hosted_unref_all(list, count);
    /* Raised when the work has been handed out: a start page that waits for it asks for a session right away (H36). */
    atomic_fetch_add(&server->web.generation, 1);
    return fanout;
}

void ls__reload_on_burst(void *ctx, struct ls_burst *burst)
{
    struct ls_server *server = ctx;
    struct fanout *fanout = atomic_load(&server->phase) != PHASE_STOPPING ? hand_out(server, burst, false) : NULL;
    if (fanout) ls_gather_end(&fanout->gather);
}

int ls__reload_command(struct ls_server *server, struct ls_burst *burst, struct ls_buf *json, int64_t wait_ms)
{
    struct fanout *fanout = hand_out(server, burst, true);
    if (!fanout) return LS_ENOMEM;
    bool complete = ls_gather_wait(&fanout->gather, wait_ms);
    if (json) ls_buf_printf(json, "[%s]", ls_buf_text(&fanout->results));
    ls_gather_unref(&fanout->gather);
    return complete || wait_ms == 0 ? 0 : LS_EBUSY;
}

/* Every file that some session has asked for: modules need not lie in the site's own folders (C1). @return an error
 * code or 0 */
static int collect_keys(struct ls_server *server, struct ls_map *keys)
{
    struct ls_hosted **list;
    size_t count = ls_manager_list_all(server->manager, &list);
    bool complete = true;
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(&list[i]->lock);
        for (struct ls_map_item *e = ls_map_first(list[i]->keys); e; e = ls_map_next(e)) {
            size_t len;
            const char *key = ls_map_key(e, &len);
            complete = complete && (ls_map_get(keys, key, len) || ls_map_put(keys, key, len, keys, NULL));
        }
        pthread_mutex_unlock(&list[i]->lock);
    }
    ls_hosted_unref_all(list, count);
    return complete ? 0 : LS_ENOMEM;
}

struct ls_burst *ls__reload_burst_of(struct ls_server *server, const char *const *names, size_t count,
                                     struct ls_err *err)
{
    if (!server->site.root) {
        ls_fail(err, LS_ENOTFOUND, "The built-in site has no files to reload.");
        return NULL;
    }
    if (count > 0) return ls_burst_of(server->web.within, server->site.root, false, names, count, err);
    struct ls_map *keys = ls_map_new();
    int rc = keys ? collect_keys(server, keys) : LS_ENOMEM;
    const char **all = rc == 0 ? ls_array(ls_map_count(keys) + 1, sizeof *all) : NULL;
    size_t at = 0;
    for (struct ls_map_item *e = all ? ls_map_first(keys) : NULL; e; e = ls_map_next(e))
        all[at++] = ls_map_key(e, NULL);
    struct ls_burst *burst = all ? ls_burst_of(server->web.within, server->site.root, true, all, at, err) : NULL;
    if (!all) ls_fail(err, LS_ENOMEM, "Out of memory while reading the files to reload.");
    ls_free(all);
    ls_map_free(keys, NULL);
    return burst;
}

int ls_server_reload_all(struct ls_server *server, struct ls_err *err)
{
    struct ls_burst *burst = ls__reload_burst_of(server, NULL, 0, err);
    if (!burst) return err && err->code < 0 ? err->code : LS_EIO;
    int rc = ls__reload_command(server, burst, NULL, 0);
    ls_burst_unref(burst);
    return rc;
}

void ls__reload_release(struct ls_server *server)
{
    if (server->failures) ls_map_free(server->failures, ls_free);
    if (server->view_problems) ls_map_free(server->view_problems, ls_free);
}
