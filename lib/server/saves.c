/* What a burst came to, told once: a line for the terminal (with the errors' excerpts), a record for --json-log, the
 * log (H97, H98; C2).
 *
 * Thread: whoever ran the last session's item. server->failures is guarded by reports_lock. Refuses to print: the
 * program does (on_report). */
#include "server/saves.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "files/excerpt.h"
#include "files/fspath.h"
#include "server/server_internal.h"

enum {
    NAMES_SHOWN = 3,
    EXCERPTS_SHOWN = 3, /* errors with their source; of the others the message */
    MESSAGES_SHOWN = 10,
    DETAILS_SHOWN = 5,
    LOSSES_SHOWN = 5, /* of a save */
};

/* --- noting --- */

static void release_failure(struct save_failure *failure)
{
    ls_free(failure->key);
    ls_free(failure->text);
    ls_free(failure->traceback);
}

void ls__saves_release(struct saves *saves)
{
    for (size_t i = 0; i < saves->count; i++) {
        ls_free(saves->notes[i].key);
        ls_free(saves->notes[i].details);
        ls_save_losses_release(&saves->notes[i].losses);
    }
    ls_free(saves->notes);
    for (size_t i = 0; i < saves->failure_count; i++)
        release_failure(&saves->failures[i]);
    ls_free(saves->failures);
}

/* All sessions report the same files in much the same order, so the search begins where the last one ended. */
static struct save_note *note_of(struct saves *saves, const char *key, size_t hint)
{
    for (size_t i = 0; i < saves->count; i++) {
        struct save_note *note = &saves->notes[(hint + i) % saves->count];
        if (strcmp(note->key, key) == 0) return note;
    }
    char *copy = ls_strdup(key);
    if (copy && LS_PUSH(saves->notes, saves->count, saves->cap, (struct save_note){.key = copy}))
        return &saves->notes[saves->count - 1];
    ls_free(copy);
    return NULL;
}

static void add_failure(struct saves *saves, const char *key, const char *text, const char *traceback, int line)
{
    for (size_t i = 0; i < saves->failure_count; i++) {
        struct save_failure *failure = &saves->failures[i];
        if (strcmp(failure->key, key) == 0 && strcmp(failure->text, text) == 0) {
            failure->sessions++;
            return;
        }
    }
    struct save_failure failure = {.key = ls_strdup(key),
                                   .text = ls_strdup(text),
                                   .traceback = traceback ? ls_strdup(traceback) : NULL,
                                   .line = line,
                                   .sessions = 1};
    if (!failure.key || !failure.text || !LS_PUSH(saves->failures, saves->failure_count, saves->failure_cap, failure))
        release_failure(&failure);
}

void ls__saves_add(struct saves *saves, const struct ls_reload_report *report)
{
    bool ran = false, failed = false, unchanged = false;
    for (size_t i = 0; i < report->count; i++) {
        const struct ls_reload_result *result = &report->results[i];
        struct save_note *note = note_of(saves, result->key, i);
        bool same = result->outcome == LS_RELOAD_SKIPPED && result->text && strcmp(result->text, "unchanged") == 0;
        unchanged = unchanged || same;
        ran = ran || result->outcome != LS_RELOAD_SKIPPED;
        if (result->outcome == LS_RELOAD_FAILED) {
            failed = true;
            add_failure(saves, result->key, result->text ? result->text : "unknown error", result->traceback,
                        result->line);
        }
        if (!note) continue;
        note->failed += result->outcome == LS_RELOAD_FAILED;
        note->unchanged += same;
        note->ran += result->outcome == LS_RELOAD_OK || result->outcome == LS_RELOAD_FIRST;
        note->first = note->first || result->outcome == LS_RELOAD_FIRST;
        if (!note->details && result->details) note->details = ls_strdup(result->details);
        if (result->outcome != LS_RELOAD_OK) continue; /* what a failed one has counted was rolled back */
        ls_save_most(&note->most, result);
        ls_save_losses_add(&note->losses, result);
    }
    saves->sessions += ran;
    saves->failed_sessions += failed;
    saves->unchanged += !ran && unchanged;
}

void ls__saves_add_view_failure(struct saves *saves, const char *file, const char *text)
{
    struct save_note *note = note_of(saves, file, 0);
    if (note) note->failed++;
    add_failure(saves, file, text, NULL, 0);
}

/* --- what is in force --- */

static bool has_line(const char *lines, const char *text)
{
    size_t len = strlen(text);
    for (const char *at = lines; at; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
        if (strncmp(at, text, len) == 0 && (at[len] == '\n' || at[len] == '\0')) return true;
    return false;
}

/* H98: the errors of one file that are in force from now on. @return true when it had some, and now has none */
static bool settle_key(struct ls_server *server, struct saves *saves, const char *key)
{
    struct ls_buf texts = LS_BUF_INIT;
    void *old = NULL;
    for (size_t i = 0; i < saves->failure_count; i++)
        if (strcmp(saves->failures[i].key, key) == 0)
            ls_buf_printf(&texts, "%s%s", texts.len > 0 ? "\n" : "", saves->failures[i].text);
    bool failing = texts.len > 0;
    char *lines = ls_buf_detach(&texts, NULL);
    pthread_mutex_lock(&server->reports_lock);
    if (failing && lines)
        ls_map_put(server->failures, key, strlen(key), lines, &old);
    else
        old = ls_map_take(server->failures, key, strlen(key));
    pthread_mutex_unlock(&server->reports_lock);
    if (!failing) ls_free(lines);
    for (size_t i = 0; i < saves->failure_count; i++)
        if (strcmp(saves->failures[i].key, key) == 0)
            saves->failures[i].news = !old || !has_line(old, saves->failures[i].text);
    bool had = old;
    ls_free(old);
    return had && !failing;
}

/* @return were errors of these files in force that are not any more? Their keys are appended, as JSON. */
static bool settle(struct ls_server *server, const struct ls_burst *burst, struct saves *saves, struct ls_buf *cleared)
{
    for (size_t i = 0; i < burst->file_count; i++)
        note_of(saves, burst->files[i].key, i);
    for (size_t i = 0; i < burst->view_count; i++)
        note_of(saves, ls_path_base(burst->views[i].path), burst->file_count + i);
    for (size_t i = 0; i < saves->count; i++)
        if (settle_key(server, saves, saves->notes[i].key)) ls_json_put_str(cleared, NULL, saves->notes[i].key);
    return cleared->len > 0;
}

/* --- the line of a save --- */

static bool is_affected(const struct save_note *note)
{
    return note->ran > 0 || note->failed > 0;
}

/* Is a file of the burst there, or any of them (NULL)? */
static bool is_there(const struct ls_burst *burst, const char *key)
{
    for (size_t i = 0; i < burst->file_count; i++)
        if (burst->files[i].text && (!key || strcmp(burst->files[i].key, key) == 0)) return true;
    for (size_t i = 0; i < burst->view_count; i++)
        if (burst->views[i].text && (!key || strcmp(ls_path_base(burst->views[i].path), key) == 0)) return true;
    return false;
}

/* The files that something came of, else all that are there, else all: a file that was renamed is two. */
static void write_names(struct ls_buf *line, const struct ls_burst *burst, const struct saves *saves)
{
    size_t shown = 0, affected = 0;
    bool any = is_there(burst, NULL);
    for (size_t i = 0; i < saves->count; i++)
        affected += is_affected(&saves->notes[i]);
    for (size_t i = 0; i < saves->count; i++) {
        if (affected > 0 && !is_affected(&saves->notes[i]) && !ls_has_suffix(saves->notes[i].key, ".html")) continue;
        if (affected == 0 && any && !is_there(burst, saves->notes[i].key)) continue;
        if (shown < NAMES_SHOWN) ls_buf_printf(line, "%s%s", shown > 0 ? ", " : "", saves->notes[i].key);
        shown++;
    }
    if (shown > NAMES_SHOWN) ls_buf_printf(line, " and %zu more", shown - NAMES_SHOWN);
    if (shown == 0) ls_buf_str(line, burst->file_count > 0 ? burst->files[0].key : "nothing");
}

static const char *plural(unsigned count)
{
    return count == 1 ? "" : "s";
}

/* What it came to, in a few words. */
static void write_outcome(struct ls_buf *out, const struct ls_burst *burst, const struct saves *saves, bool cleared)
{
    if (saves->failed_sessions > 0 && saves->failed_sessions == saves->sessions)
        ls_buf_printf(out, "%u session%s failed", saves->sessions, plural(saves->sessions));
    else if (saves->sessions > 0)
        ls_buf_printf(out, "%u session%s", saves->sessions, plural(saves->sessions));
    else if (saves->failure_count > 0)
        ls_buf_str(out, "not taken up");
    else if (saves->views > 0 && saves->pages > 0)
        ls_buf_printf(out, "%u session%s", saves->pages, plural(saves->pages));
    else if (cleared)
        ls_buf_str(out, "error cleared");
    else if (!is_there(burst, NULL))
        ls_buf_str(out, burst->file_count > 0 ? "deleted, its code stays" : "deleted");
    else if (saves->views > 0)
        ls_buf_str(out, "no page is open");
    else if (saves->unchanged > 0 || burst->file_count == 0)
        ls_buf_str(out, "unchanged");
    else
        ls_buf_str(out, "no session has loaded it");
    if (saves->failed_sessions > 0 && saves->failed_sessions < saves->sessions)
        ls_buf_printf(out, ", %u failed", saves->failed_sessions);
}

static void show(struct ls_buf *out, const char *text)
{
    ls_text_show(out, text, strlen(text), LS_INDENT);
}

/* What became of a file, into the empty `out`: what an edit changed, and how many places kept data or lost it. */
static void write_note(struct ls_buf *out, const struct save_note *note)
{
    if (note->details) show(out, note->details);
    ls_save_write_figures(out, &note->most, note->details ? ", data: " : "data: ");
}

/* Behind the time, of several files in lines of their own. */
static void write_details(struct ls_buf *text, const struct saves *saves, bool cleared)
{
    struct ls_buf line = LS_BUF_INIT, first = LS_BUF_INIT;
    size_t named = 0, shown = 0;
    for (size_t i = 0; i < saves->count && named < 2; i++) {
        write_note(named > 0 ? &line : &first, &saves->notes[i]);
        named += named > 0 ? line.len > 0 : first.len > 0;
    }
    if (cleared && (saves->sessions > 0 || saves->pages > 0)) ls_buf_str(text, "  error cleared");
    if (named == 1 && saves->failure_count == 0) {
        ls_buf_printf(text, "%s%s", cleared ? ", " : "  ", ls_buf_text(&first));
        named = 0;
    }
    for (size_t i = 0; i < saves->count && named > 0; i++) {
        ls_buf_clear(&line);
        write_note(&line, &saves->notes[i]);
        if (line.len == 0 || shown++ >= DETAILS_SHOWN) continue;
        ls_buf_str(text, "\n  ");
        show(text, saves->notes[i].key);
        ls_buf_printf(text, ": %s", ls_buf_text(&line));
    }
    if (shown > DETAILS_SHOWN) ls_buf_printf(text, "\n  and %zu more", shown - DETAILS_SHOWN);
    ls_buf_release(&line);
    ls_buf_release(&first);
}

/* --- what was lost to edits (H49) --- */

/* `lua/store.lua: 3 run-time rows of "items" gave way to your edit, in 2 of 5 sessions` */
static void write_loss(struct ls_buf *out, const struct saves *saves, const char *key, const struct ls_save_loss *loss)
{
    ls_buf_printf(out, "%s: %s", key, loss->text);
    if (saves->sessions > 1 && loss->sessions == saves->sessions)
        ls_buf_printf(out, ", in all sessions");
    else if (saves->sessions > 1)
        ls_buf_printf(out, ", in %u of %u sessions", loss->sessions, saves->sessions);
}

/* On the terminal, and in the log where the terminal does not show it. */
static void tell_losses(struct ls_buf *out, const struct ls_server *server, const struct saves *saves)
{
    struct ls_buf line = LS_BUF_INIT;
    size_t told = 0, more = 0;
    bool shown = server->config.reports_shown && server->config.on_report;
    for (size_t i = 0; i < saves->count; i++) {
        const struct save_note *note = &saves->notes[i];
        more += note->losses.more;
        for (size_t k = 0; k < note->losses.count; k++) {
            if (told == LOSSES_SHOWN) {
                more++;
                continue;
            }
            told++;
            ls_buf_clear(&line);
            write_loss(&line, saves, note->key, &note->losses.items[k]);
            ls_buf_str(out, "  ");
            show(out, ls_buf_text(&line));
            ls_buf_char(out, '\n');
            if (!shown) ls_log(0, "reload %s", ls_buf_text(&line));
        }
    }
    if (more > 0) ls_buf_printf(out, "  and %zu losses more\n", more);
    if (more > 0 && !shown) ls_log(0, "reload: and %zu losses more", more);
    ls_buf_release(&line);
}

/* --- errors --- */

/* The text of a file as the burst has it, else from the disk. A use, or NULL. */
static struct ls_bytes *find_source(const struct ls_server *server, const struct ls_burst *burst, const char *key)
{
    for (size_t i = 0; i < burst->file_count; i++)
        if (strcmp(burst->files[i].key, key) == 0) return ls_bytes_ref(burst->files[i].text);
    struct ls_buf path = LS_BUF_INIT;
    if (server->site.root) ls_path_join(&path, server->site.root, key);
    struct ls_bytes *text = path.len > 0 ? ls_file_read(server->web.within, ls_buf_text(&path), 1 << 24, NULL) : NULL;
    ls_buf_release(&path);
    return text;
}

/* The message begins with key:line: where Lua knows it; that may be another file than the one that was saved. */
static void write_excerpt(struct ls_buf *out, const struct ls_server *server, const struct ls_burst *burst,
                          const struct save_failure *failure)
{
    char key[1024];
    const char *colon = strchr(failure->text, ':');
    int line = colon ? atoi(colon + 1) : 0;
    if (line > 0 && (size_t)(colon - failure->text) < sizeof key) {
        snprintf(key, sizeof key, "%.*s", (int)(colon - failure->text), failure->text);
    } else {
        snprintf(key, sizeof key, "%s", failure->key);
        line = failure->line;
    }
    struct ls_bytes *source = line > 0 ? find_source(server, burst, key) : NULL;
    if (source) ls_excerpt_write(out, ls_bytes_data(source), ls_bytes_len(source), line, failure->text);
    ls_bytes_unref(source);
}

/* A line of a traceback that says something: not the heading, and no function of the host. */
static bool is_call(const char *line)
{
    return *line == '\t' && strncmp(line, "\t[C]:", 5) != 0;
}

/* The calls that led there; the main chunk alone says nothing that the message does not. */
static void write_traceback(struct ls_buf *out, const char *traceback)
{
    size_t calls = 0;
    for (int pass = 0; pass < 2; pass++)
        for (const char *line = traceback; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
            calls += pass == 0 && is_call(line);
            if (pass == 1 && calls > 1 && is_call(line))
                ls_buf_printf(out, "\n    at %.*s", (int)strcspn(line + 1, "\n"), line + 1);
        }
}

/* @return how many of the failures have not been told before */
static size_t write_failures(struct ls_buf *out, const struct ls_server *server, const struct ls_burst *burst,
                             const struct saves *saves)
{
    size_t told = 0;
    for (size_t i = 0; i < saves->failure_count; i++) {
        const struct save_failure *failure = &saves->failures[i];
        if (!failure->news || told++ >= MESSAGES_SHOWN) continue;
        ls_buf_str(out, "\n  ");
        show(out, failure->text);
        if (told <= EXCERPTS_SHOWN) {
            write_excerpt(out, server, burst, failure);
            write_traceback(out, failure->traceback);
        }
    }
    if (told > MESSAGES_SHOWN) ls_buf_printf(out, "\n  and %zu errors more", told - MESSAGES_SHOWN);
    return told;
}

/* H98: where the terminal shows them already, the log does not repeat them. */
static void log_failures(const struct ls_server *server, const struct saves *saves)
{
    bool shown = server->config.reports_shown && server->config.on_report;
    for (size_t i = 0; i < saves->failure_count && !shown; i++) {
        const struct save_failure *failure = &saves->failures[i];
        if (failure->news)
            ls_log(0, "reload %s: %s%s%s", failure->key, failure->text, failure->traceback ? "\n" : "",
                   failure->traceback ? failure->traceback : "");
    }
}

/* H97: why nothing came of a file, once for all sessions. */
static void log_skipped(const struct ls_burst *burst, const struct saves *saves)
{
    for (size_t i = 0; i < burst->file_count && ls_log_on(2); i++)
        for (size_t n = 0; n < saves->count; n++)
            if (strcmp(saves->notes[n].key, burst->files[i].key) == 0 && !is_affected(&saves->notes[n]) &&
                saves->notes[n].unchanged == 0)
                ls_log(2, "reload %s: skipped, %s", burst->files[i].key,
                       !burst->files[i].text  ? "no longer there"
                       : saves->unchanged > 0 ? "unchanged or not loaded"
                                              : "not loaded");
}

/* --- the record --- */

static void write_results(struct ls_buf *json, const struct saves *saves)
{
    for (size_t i = 0; i < saves->count; i++) {
        const struct save_note *note = &saves->notes[i];
        if (!is_affected(note) && note->unchanged == 0) continue;
        ls_json_open(json, NULL, '{');
        ls_json_put_str(json, "key", note->key);
        ls_json_put_str(json, "outcome",
                        note->failed > 0 ? "failed"
                        : note->first    ? "first"
                        : note->ran > 0  ? "ok"
                                         : "skipped");
        if (note->details) ls_json_put_str(json, "details", note->details);
        if (note->ran > 0) ls_save_put_figures(json, &note->most);
        ls_save_put_losses(json, &note->losses);
        ls_buf_char(json, '}');
    }
}

static void json_record(const struct ls_burst *burst, const struct saves *saves, const char *cleared, double ms)
{
    if (!ls_log_is_json()) return;
    struct ls_buf json = LS_BUF_INIT;
    ls_json_open(&json, NULL, '{');
    ls_json_put_str(&json, "event", "reload");
    ls_json_open(&json, "files", '[');
    for (size_t i = 0; i < burst->file_count; i++)
        ls_json_put_str(&json, NULL, burst->files[i].key);
    for (size_t i = 0; i < burst->view_count; i++)
        ls_json_put_str(&json, NULL, ls_path_base(burst->views[i].path));
    ls_buf_char(&json, ']');
    ls_json_put_int(&json, "sessions", saves->sessions);
    ls_json_put_int(&json, "pages", saves->pages);
    ls_json_key(&json, "ms");
    ls_buf_printf(&json, "%.3f", ms);
    ls_json_open(&json, "results", '[');
    write_results(&json, saves);
    ls_buf_char(&json, ']');
    ls_json_open(&json, "cleared", '[');
    ls_buf_str(&json, cleared);
    ls_buf_char(&json, ']');
    ls_json_open(&json, "failures", '[');
    for (size_t i = 0; i < saves->failure_count; i++) {
        const struct save_failure *failure = &saves->failures[i];
        ls_json_open(&json, NULL, '{');
        ls_json_put_str(&json, "key", failure->key);
        ls_json_put_str(&json, "text", failure->text);
        if (failure->traceback) ls_json_put_str(&json, "traceback", failure->traceback);
        ls_json_put_int(&json, "line", failure->line);
        ls_json_put_int(&json, "sessions", failure->sessions);
        ls_buf_char(&json, '}');
    }
    ls_buf_str(&json, "]}");
    if (!ls_buf_failed(&json)) ls_log_event(json.data, json.len);
    ls_buf_release(&json);
}

/* --- telling --- */

void ls__saves_tell(struct ls_server *server, const struct ls_burst *burst, struct saves *saves)
{
    struct ls_buf names = LS_BUF_INIT, outcome = LS_BUF_INIT, more = LS_BUF_INIT, losses = LS_BUF_INIT,
                  keys = LS_BUF_INIT;
    bool cleared = settle(server, burst, saves, &keys);
    log_skipped(burst, saves);
    bool something = saves->sessions > 0 || saves->pages > 0 || saves->failure_count > 0 || cleared;
    double ms = burst->first_event_ns > 0 ? (double)(ls_now_ns() - burst->first_event_ns) / 1e6 : 0.0;
    if (something || !saves->quiet) {
        if (saves->command && !something) {
            ls_buf_str(&names, "reload");
            ls_buf_str(&outcome, "nothing has changed");
        } else {
            write_names(&names, burst, saves);
            write_outcome(&outcome, burst, saves, cleared);
        }
        write_details(&more, saves, cleared);
        tell_losses(&losses, server, saves);
        log_failures(server, saves);
        if (write_failures(&more, server, burst, saves) == 0 && saves->failure_count > 0) {
            ls_buf_str(&more, "  the same error: ");
            show(&more, saves->failures[0].text);
        }
        struct ls_save_report report = {.files = ls_buf_text(&names),
                                        .outcome = ls_buf_text(&outcome),
                                        .ms = ms,
                                        .more = ls_buf_text(&more),
                                        .losses = ls_buf_text(&losses),
                                        .kind = saves->failure_count > 0 ? LS_SAVE_FAILED
                                                : something              ? LS_SAVE_TAKEN
                                                                         : LS_SAVE_IDLE};
        if (server->config.on_report && !ls_buf_failed(&names) && !ls_buf_failed(&more))
            server->config.on_report(server->config.report_ctx, &report);
        json_record(burst, saves, ls_buf_text(&keys), ms);
    }
    ls_buf_release(&names);
    ls_buf_release(&outcome);
    ls_buf_release(&more);
    ls_buf_release(&losses);
    ls_buf_release(&keys);
}
