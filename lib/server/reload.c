/* Bursts of changed files on their way to the sessions, and what people are told of them (H39, H73–H82, H97, H98; C1 reload, C2).
 *
 * A burst becomes one item for each session that it may concern; a thousand sessions that have not loaded the file cost a look-up each and no item. The
 * items share a `struct fanout`, which collects results; whoever finishes last tells: one line for the terminal (or the error with its excerpt), one
 * record for --json-log, events for those who watch.
 *
 * Threads: bursts arrive on the hot loader's settling thread; items run on the sessions' owner threads; reports come from whichever is last. */
#include "server/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fspath.h"
#include "base/json.h"
#include "base/log.h"

enum { NAMES_SHOWN = 3 };

/* One distinct failure of a burst, however many sessions had it. */
struct failure {
    struct failure *next;
    char *key, *text, *traceback; /* owned; traceback may be NULL */
    int line;
    unsigned sessions;
};

struct fanout {
    struct ls_server *server;
    struct ls_burst *burst;   /* counted */
    bool command;             /* from `reload`: sessions that skip are told about as well */
    bool views_changed;
    /* -- atomic */
    atomic_int refs;
    atomic_int pending;       /* items that have not ended, and one for whoever hands them out */
    /* -- protected by lock */
    pthread_mutex_t lock;
    pthread_cond_t over;      /* monotonic clock */
    bool done;
    struct ls_buf results;    /* JSON objects with commas between (C3) */
    struct failure *failures;
    unsigned sessions;        /* in which something ran */
    unsigned pages;           /* sessions with pages that views went to */
    unsigned skipped;
};

static void fanout_unref(struct fanout *fanout)
{
    if (atomic_fetch_sub(&fanout->refs, 1) != 1)
        return;
    while (fanout->failures != NULL) {
        struct failure *failure = fanout->failures;
        fanout->failures = failure->next;
        ls_free(failure->key);
        ls_free(failure->text);
        ls_free(failure->traceback);
        ls_free(failure);
    }
    ls_buf_release(&fanout->results);
    pthread_mutex_destroy(&fanout->lock);
    pthread_cond_destroy(&fanout->over);
    ls_burst_unref(fanout->burst);
    ls_free(fanout);
}

static struct fanout *fanout_new(struct ls_server *server, struct ls_burst *burst, bool command)
{
    struct fanout *fanout = ls_zalloc(sizeof *fanout);
    if (fanout == NULL)
        return NULL;
    fanout->server = server;
    fanout->burst = ls_burst_ref(burst);
    fanout->command = command;
    atomic_store(&fanout->refs, 1);
    atomic_store(&fanout->pending, 1);
    pthread_mutex_init(&fanout->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&fanout->over, &attr);
    pthread_condattr_destroy(&attr);
    return fanout;
}

/* --- collecting --- */

static const char *outcome_name(enum ls_reload_outcome outcome)
{
    static const char *const names[] = {[LS_RELOAD_OK] = "ok", [LS_RELOAD_SKIPPED] = "skipped", [LS_RELOAD_FAILED] = "failed", [LS_RELOAD_FIRST] = "first"};
    return names[outcome];
}

static void member(struct ls_buf *out, const char *name, const char *text)
{
    if (text == NULL)
        return;
    ls_buf_printf(out, ",\"%s\":", name);
    ls_json_str(out, text);
}

static void write_result(struct ls_buf *out, const struct session *session, const struct ls_reload_result *result, int64_t ns)
{
    ls_buf_str(out, "\"session\":");
    ls_json_str(out, session->vended);
    member(out, "key", result->key);
    member(out, "outcome", outcome_name(result->outcome));
    member(out, "text", result->text);
    member(out, "details", result->details);
    ls_buf_printf(out, ",\"ms\":%.3f", (double)ns / 1e6);
}

/* Called with fanout->lock held. */
static void note_failure(struct fanout *fanout, const struct ls_reload_result *result)
{
    const char *text = result->text != NULL ? result->text : "unknown error";
    for (struct failure *failure = fanout->failures; failure != NULL; failure = failure->next)
        if (strcmp(failure->key, result->key) == 0 && strcmp(failure->text, text) == 0) {
            failure->sessions++;
            return;
        }
    struct failure *failure = ls_zalloc(sizeof *failure);
    if (failure == NULL)
        return;
    failure->key = ls_strdup(result->key);
    failure->text = ls_strdup(text);
    failure->traceback = result->traceback != NULL ? ls_strdup(result->traceback) : NULL;
    failure->line = result->line;
    failure->sessions = 1;
    failure->next = fanout->failures;
    fanout->failures = failure;
    if (failure->key == NULL || failure->text == NULL) {
        fanout->failures = failure->next;
        ls_free(failure->key);
        ls_free(failure->text);
        ls_free(failure->traceback);
        ls_free(failure);
    }
}

/* H97: one record a session at level 1, skipped files at level 2. */
static void log_result(const struct session *session, const struct ls_reload_result *result, int64_t ns)
{
    if (result->outcome == LS_RELOAD_SKIPPED)
        ls_log_session(2, session->vended, "reload %s: skipped, %s", result->key, result->text != NULL ? result->text : "");
    else if (result->outcome != LS_RELOAD_FAILED)
        ls_log_session(1, session->vended, "reload %s: %s%s%s, %.1f ms", result->key, outcome_name(result->outcome), result->details != NULL ? ", " : "",
                       result->details != NULL ? result->details : "", (double)ns / 1e6);
}

static void watch_result(struct ls_server *server, const struct session *session, const struct ls_reload_result *result, int64_t ns)
{
    if (!control_watched(server->control))
        return;
    struct ls_buf fields = LS_BUF_INIT;
    write_result(&fields, session, result, ns);
    ls_buf_printf(&fields, ",\"time\":%lld", (long long)time(NULL));
    member(&fields, "file", result->key);
    control_event(server->control, "reload", ls_buf_text(&fields));
    ls_buf_clear(&fields);
    if (result->outcome == LS_RELOAD_FAILED) {
        ls_buf_str(&fields, "\"session\":");
        ls_json_str(&fields, session->vended);
        member(&fields, "text", result->text);
        control_event(server->control, "error", ls_buf_text(&fields));
    }
    ls_buf_release(&fields);
}

static void collect(struct fanout *fanout, struct session *session, const struct ls_reload_report *report)
{
    bool ran = false;
    pthread_mutex_lock(&fanout->lock);
    for (size_t i = 0; i < report->count; i++) {
        const struct ls_reload_result *result = &report->results[i];
        if (fanout->command || control_watched(fanout->server->control)) {
            if (fanout->results.len > 0)
                ls_buf_char(&fanout->results, ',');
            ls_buf_char(&fanout->results, '{');
            write_result(&fanout->results, session, result, report->ns);
            ls_buf_char(&fanout->results, '}');
        }
        if (result->outcome == LS_RELOAD_FAILED)
            note_failure(fanout, result);
        ran = ran || result->outcome != LS_RELOAD_SKIPPED;
        fanout->skipped += result->outcome == LS_RELOAD_SKIPPED;
    }
    fanout->sessions += ran;
    pthread_mutex_unlock(&fanout->lock);
    for (size_t i = 0; i < report->count; i++) {
        log_result(session, &report->results[i], report->ns);
        watch_result(fanout->server, session, &report->results[i], report->ns);
    }
}

/* --- telling --- */

static void add_name(struct ls_buf *line, size_t *shown, const char *name)
{
    if (*shown < NAMES_SHOWN)
        ls_buf_printf(line, "%s%s", *shown > 0 ? ", " : "", name);
    ++*shown;
}

static void write_names(struct ls_buf *line, const struct ls_burst *burst)
{
    size_t shown = 0;
    for (size_t i = 0; i < burst->file_count; i++)
        add_name(line, &shown, burst->files[i].key);
    for (size_t i = 0; i < burst->view_count; i++)
        add_name(line, &shown, ls_path_base(burst->views[i].path));
    if (shown > NAMES_SHOWN)
        ls_buf_printf(line, " and %zu more", shown - NAMES_SHOWN);
}

/* The text of a file as the burst has it, else from the disk. A use, or NULL. */
static struct ls_bytes *find_source(const struct fanout *fanout, const char *key)
{
    const struct ls_burst *burst = fanout->burst;
    for (size_t i = 0; i < burst->file_count; i++)
        if (strcmp(burst->files[i].key, key) == 0)
            return ls_bytes_ref(burst->files[i].text);
    const char *root = fanout->server->site.root;
    struct ls_buf path = LS_BUF_INIT;
    if (root != NULL)
        ls_path_join(&path, root, key);
    struct ls_bytes *text = root != NULL ? ls_file_read(ls_buf_text(&path), 1 << 24, NULL) : NULL;
    ls_buf_release(&path);
    return text;
}

/* Where on the line the caret goes: under the word that the message quotes, else under the first character. *width columns. */
static size_t find_column(const char *line, size_t len, const char *message, size_t *width)
{
    *width = 1;
    for (const char *open = strchr(message, '\''); open != NULL; open = strchr(open, '\'')) {
        size_t word = strcspn(open + 1, "'\n");
        if (open[1 + word] != '\'')
            break;
        const char *at = word > 0 ? memmem(line, len, open + 1, word) : NULL;
        if (at != NULL) {
            *width = word;
            return (size_t)(at - line);
        }
        open += word + 2;
    }
    return strspn(line, " \t");
}

static void write_line(struct ls_buf *out, int number, const char *line, size_t len)
{
    ls_buf_printf(out, "\n  %5d | ", number);
    ls_buf_add(out, line, len > 160 ? 160 : len);
}

/* C2: two lines of source and a caret line. */
static void write_excerpt(struct ls_buf *out, struct ls_bytes *source, int number, const char *message)
{
    const char *line = ls_bytes_data(source), *end = line + ls_bytes_len(source), *before = NULL;
    for (int at = 1; at < number && line < end; at++) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        before = line;
        line = stop != NULL ? stop + 1 : end;
    }
    if (number < 1 || line > end)
        return;
    const char *stop = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
    size_t len = (size_t)((stop != NULL ? stop : end) - line), width;
    if (before != NULL)
        write_line(out, number - 1, before, (size_t)(line - before - 1));
    write_line(out, number, line, len);
    size_t column = find_column(line, len, message, &width);
    ls_buf_str(out, "\n        | ");
    for (size_t i = 0; i < column && i < 160; i++)
        ls_buf_char(out, line[i] == '\t' ? '\t' : ' ');
    for (size_t i = 0; i < width && column + i < 160; i++)
        ls_buf_char(out, i == 0 ? '^' : '~');
}

/* The message begins with key:line: where Lua knows it; that may be another file than the one that was saved. */
static void write_failure(struct ls_buf *out, const struct fanout *fanout, const struct failure *failure)
{
    size_t first = strcspn(failure->text, "\n");
    ls_buf_printf(out, "\n  %.*s", (int)first, failure->text);
    char key[1024];
    const char *colon = strchr(failure->text, ':');
    int line = colon != NULL ? atoi(colon + 1) : 0;
    if (line > 0 && (size_t)(colon - failure->text) < sizeof key) {
        snprintf(key, sizeof key, "%.*s", (int)(colon - failure->text), failure->text);
    } else {
        snprintf(key, sizeof key, "%s", failure->key);
        line = failure->line;
    }
    struct ls_bytes *source = line > 0 ? find_source(fanout, key) : NULL;
    if (source != NULL)
        write_excerpt(out, source, line, failure->text);
    ls_bytes_unref(source);
}

/* H98: an identical failure is told once until it has cleared. @return is it news? */
static bool is_news(struct ls_server *server, const char *key, const char *text)
{
    void *old = NULL;
    char *copy = text != NULL ? ls_strdup(text) : NULL;
    pthread_mutex_lock(&server->reports_lock);
    if (copy != NULL)
        ls_map_put(server->failures, key, strlen(key), copy, &old);
    else
        old = ls_map_take(server->failures, key, strlen(key));
    pthread_mutex_unlock(&server->reports_lock);
    bool news = text != NULL ? old == NULL || strcmp(old, text) != 0 : old != NULL;
    ls_free(old);
    return news;
}

static bool failed_in(const struct fanout *fanout, const char *key)
{
    const struct failure *failure = fanout->failures;
    while (failure != NULL && strcmp(failure->key, key) != 0)
        failure = failure->next;
    return failure != NULL;
}

static void write_summary(struct ls_buf *line, const struct fanout *fanout)
{
    write_names(line, fanout->burst);
    if (fanout->burst->file_count > 0 && (fanout->sessions > 0 || fanout->pages == 0))
        ls_buf_printf(line, "  %u session%s", fanout->sessions, fanout->sessions == 1 ? "" : "s");
    else
        ls_buf_printf(line, "  %u session%s shown", fanout->pages, fanout->pages == 1 ? "" : "s");
    if (fanout->burst->first_event_ns > 0)
        ls_buf_printf(line, "  %.1f ms", (double)(ls_now_ns() - fanout->burst->first_event_ns) / 1e6);
}

static void log_failure(const struct ls_server *server, const struct failure *failure)
{
    if (!server->config.reports_shown || server->config.on_report == NULL)
        ls_log(0, "reload %s: %s%s%s", failure->key, failure->text, failure->traceback != NULL ? "\n" : "",
               failure->traceback != NULL ? failure->traceback : "");
    else if (failure->traceback != NULL)
        ls_log(1, "%s", failure->traceback);
}

static void json_record(const struct fanout *fanout)
{
    if (!ls_log_is_json())
        return;
    struct ls_buf json = LS_BUF_INIT;
    const struct ls_burst *burst = fanout->burst;
    ls_buf_str(&json, "{\"event\":\"reload\",\"files\":[");
    size_t count = 0;
    for (size_t i = 0; i < burst->file_count; i++, count++) {
        ls_buf_str(&json, count > 0 ? "," : "");
        ls_json_str(&json, burst->files[i].key);
    }
    for (size_t i = 0; i < burst->view_count; i++, count++) {
        ls_buf_str(&json, count > 0 ? "," : "");
        ls_json_str(&json, ls_path_base(burst->views[i].path));
    }
    ls_buf_printf(&json, "],\"sessions\":%u,\"ms\":%.3f,\"failures\":[", fanout->sessions,
                  burst->first_event_ns > 0 ? (double)(ls_now_ns() - burst->first_event_ns) / 1e6 : 0.0);
    for (const struct failure *failure = fanout->failures; failure != NULL; failure = failure->next) {
        ls_buf_str(&json, "{\"key\":");
        ls_json_str(&json, failure->key);
        member(&json, "text", failure->text);
        member(&json, "traceback", failure->traceback);
        ls_buf_printf(&json, ",\"line\":%d,\"sessions\":%u}%s", failure->line, failure->sessions, failure->next != NULL ? "," : "");
    }
    ls_buf_str(&json, "]}");
    if (!ls_buf_failed(&json))
        ls_log_event(json.data, json.len);
    ls_buf_release(&json);
}

static void tell(struct fanout *fanout)
{
    struct ls_server *server = fanout->server;
    struct ls_buf text = LS_BUF_INIT;
    bool failed = fanout->failures != NULL, news = false;
    write_summary(&text, fanout);
    for (size_t i = 0; i < fanout->burst->file_count; i++)
        if (fanout->sessions > 0 && !failed_in(fanout, fanout->burst->files[i].key))
            is_news(server, fanout->burst->files[i].key, NULL);
    for (struct failure *failure = fanout->failures; failure != NULL; failure = failure->next) {
        if (!is_news(server, failure->key, failure->text))
            continue;
        news = true;
        log_failure(server, failure);
        write_failure(&text, fanout, failure);
    }
    if (failed && !news)
        ls_buf_str(&text, "  the error is still there");
    struct ls_save_report report = {.text = ls_buf_text(&text), .failed = failed};
    if (server->config.on_report != NULL && !ls_buf_failed(&text))
        server->config.on_report(server->config.report_ctx, &report);
    json_record(fanout);
    ls_buf_release(&text);
}

/* One item has ended; the last one tells. */
static void finish(struct fanout *fanout)
{
    if (atomic_fetch_sub(&fanout->pending, 1) == 1) {
        if (atomic_load(&fanout->server->phase) == PHASE_RUNNING)
            tell(fanout);
        pthread_mutex_lock(&fanout->lock);
        fanout->done = true;
        pthread_cond_broadcast(&fanout->over);
        pthread_mutex_unlock(&fanout->lock);
    }
    fanout_unref(fanout);
}

/* --- running --- */

static void run_reload(struct session *session, void *arg)
{
    struct fanout *fanout = arg;
    const struct ls_burst *burst = fanout->burst;
    if (session->backend != NULL) {
        size_t pages = ls_backend_connection_count(session->backend);
        bool lua = burst->file_count > 0 &&
                   (fanout->command || ls_session_reload_wanted(ls_backend_session(session->backend), burst->files, burst->file_count));
        if (lua) {
            struct ls_reload_report report;
            ls_reload_report_init(&report);
            ls_backend_reload(session->backend, burst->files, burst->file_count, &report);
            collect(fanout, session, &report);
            ls_reload_report_release(&report);
        } else if (fanout->views_changed) {
            ls_backend_views_changed(session->backend);
        }
        if (fanout->views_changed && pages > 0) {
            pthread_mutex_lock(&fanout->lock);
            fanout->pages++;
            pthread_mutex_unlock(&fanout->lock);
        }
    }
    finish(fanout);
}

static void drop_reload(void *arg)
{
    finish(arg);
}

static void hand_out(struct ls_server *server, struct fanout *fanout)
{
    const struct ls_burst *burst = fanout->burst;
    struct session **list;
    size_t count = manager_list(server, &list);
    for (size_t i = 0; i < count; i++) {
        if (fanout->views_changed || host_may_want(list[i], burst->files, burst->file_count)) {
            atomic_fetch_add(&fanout->refs, 1);
            atomic_fetch_add(&fanout->pending, 1);
            session_post(list[i], run_reload, drop_reload, fanout, false);
        }
        session_unref(list[i]);
    }
    ls_free(list);
}

/* --- view files --- */

struct view_problem {
    char *key, *text; /* owned; text NULL = cleared */
};

static void drop_problem(void *arg)
{
    struct view_problem *problem = arg;
    ls_free(problem->key);
    ls_free(problem->text);
    ls_free(problem);
}

static void run_problem(struct session *session, void *arg)
{
    struct view_problem *problem = arg;
    if (session->backend != NULL) {
        ls_backend_view_problem(session->backend, problem->key, problem->text);
        ls_backend_after_batch(session->backend, true);
    }
    drop_problem(problem);
}

static void post_problem(struct session *session, const char *key, const char *text)
{
    struct view_problem *problem = ls_zalloc(sizeof *problem);
    if (problem == NULL)
        return;
    problem->key = ls_strdup(key);
    problem->text = text != NULL ? ls_strdup(text) : NULL;
    if (problem->key != NULL)
        session_post(session, run_problem, drop_problem, problem, false);
    else
        drop_problem(problem);
}

/* H78: the failure of a view file is in force until a good text comes. */
static void set_problem(struct ls_server *server, const char *key, const char *text)
{
    void *old = NULL;
    char *copy = text != NULL ? ls_strdup(text) : NULL;
    pthread_mutex_lock(&server->reports_lock);
    if (copy != NULL)
        ls_map_put(server->view_problems, key, strlen(key), copy, &old);
    else
        old = ls_map_take(server->view_problems, key, strlen(key));
    pthread_mutex_unlock(&server->reports_lock);
    bool changed = text != NULL ? old == NULL || strcmp(old, text) != 0 : old != NULL;
    ls_free(old);
    if (!changed)
        return;
    struct session **list;
    size_t count = manager_list(server, &list);
    for (size_t i = 0; i < count; i++) {
        post_problem(list[i], key, text);
        session_unref(list[i]);
    }
    ls_free(list);
    if (text == NULL)
        return;
    struct ls_save_report report = {.text = text, .failed = true};
    if (server->config.on_report != NULL)
        server->config.on_report(server->config.report_ctx, &report);
    if (server->config.on_report == NULL || !server->config.reports_shown)
        ls_log(0, "%s", text);
}

void reload_apply_view_problems(struct session *session)
{
    struct ls_server *server = session->server;
    pthread_mutex_lock(&server->reports_lock);
    size_t count = ls_map_count(server->view_problems);
    char **texts = count > 0 ? ls_array(2 * count, sizeof *texts) : NULL;
    size_t at = 0;
    for (struct ls_map_entry *e = texts != NULL ? ls_map_first(server->view_problems) : NULL; e != NULL; e = ls_map_next(e)) {
        texts[at++] = ls_strdup(ls_map_key(e, NULL));
        texts[at++] = ls_strdup(ls_map_value(e));
    }
    pthread_mutex_unlock(&server->reports_lock);
    for (size_t i = 0; i < at; i += 2) {
        if (texts[i] != NULL && texts[i + 1] != NULL)
            post_problem(session, texts[i], texts[i + 1]);
        ls_free(texts[i]);
        ls_free(texts[i + 1]);
    }
    ls_free(texts);
}

/* @return has anything changed for readers? */
static bool take_views(struct ls_server *server, const struct ls_burst *burst)
{
    bool changed = false;
    for (size_t i = 0; i < burst->view_count; i++) {
        const char *base = ls_path_base(burst->views[i].path);
        char key[256];
        snprintf(key, sizeof key, "%.*s", (int)(strlen(base) - (ls_has_suffix(base, ".html") ? 5 : 0)), base);
        struct ls_err err = {0};
        int rc = ls_viewdefs_put(server->viewdefs, burst->views[i].path, burst->views[i].text, &err);
        changed = changed || rc > 0;
        set_problem(server, key, rc < 0 ? err.text : NULL);
    }
    return changed;
}

/* --- ways in --- */

void reload_on_burst(void *ctx, struct ls_burst *burst)
{
    struct ls_server *server = ctx;
    if (atomic_load(&server->phase) == PHASE_STOPPING)
        return;
    struct fanout *fanout = fanout_new(server, burst, false);
    if (fanout == NULL)
        return;
    fanout->views_changed = take_views(server, burst);
    hand_out(server, fanout);
    /* Raised when the work has been handed out: a start page that waits for it asks for a session right away (H36). */
    atomic_fetch_add(&server->generation, 1);
    if (burst->file_count == 0 && !fanout->views_changed)
        fanout_unref(fanout); /* equal texts, or refused ones, which have been told about */
    else
        finish(fanout);
}

int reload_command(struct ls_server *server, struct ls_burst *burst, struct ls_buf *json, int64_t wait_ms)
{
    struct fanout *fanout = fanout_new(server, burst, true);
    if (fanout == NULL)
        return LS_ENOMEM;
    fanout->views_changed = take_views(server, burst);
    hand_out(server, fanout);
    atomic_fetch_add(&server->generation, 1);
    atomic_fetch_add(&fanout->refs, 1);
    finish(fanout);
    int64_t until = ls_now_ns() + ls_ms(wait_ms);
    struct timespec at = {.tv_sec = (time_t)(until / 1000000000), .tv_nsec = (long)(until % 1000000000)};
    pthread_mutex_lock(&fanout->lock);
    int rc = 0;
    while (!fanout->done && rc == 0 && wait_ms > 0)
        rc = pthread_cond_timedwait(&fanout->over, &fanout->lock, &at);
    if (json != NULL)
        ls_buf_printf(json, "[%s]", ls_buf_text(&fanout->results));
    pthread_mutex_unlock(&fanout->lock);
    fanout_unref(fanout);
    return rc == 0 ? 0 : LS_EBUSY;
}

int ls_server_reload_all(struct ls_server *server, struct ls_err *err)
{
    if (server->site.root == NULL)
        return ls_fail(err, LS_ENOTFOUND, "The built-in site has no files to reload.");
    struct ls_burst *burst = ls_burst_of_files(server->site.root, NULL, 0, err);
    if (burst == NULL)
        return err != NULL && err->code < 0 ? err->code : LS_EIO;
    int rc = reload_command(server, burst, NULL, 0);
    ls_burst_unref(burst);
    return rc;
}

void reload_release(struct ls_server *server)
{
    if (server->failures != NULL)
        ls_map_free(server->failures, ls_free);
    if (server->view_problems != NULL)
        ls_map_free(server->view_problems, ls_free);
}
