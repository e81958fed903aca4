/* Present failures of a session's files (H36, H63, H98 to H100): what the page shows until it is mended.
 *
 * Texts for pages hold key, line and message only; the excerpt goes into the detail, which the server sends to loopback
 * pages alone.
 * Owner thread: the session's. Touches no VM. */
#include "reload/reload_state.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/json.h"
#include "base/text.h"
#include "files/excerpt.h"
#include "files/fspath.h"

enum {
    EXCERPT_LINES = 2, /* before and after the line of the error */
    WIDEST_LINE = 400, /* bytes that are shown of a line */
};

static void release_failure(struct ls_failure *failure)
{
    ls_free(failure->key);
    ls_free(failure->name);
    ls_free(failure->message);
    ls_free(failure->excerpt);
    ls_names_release(&failure->paths);
    ls_names_release(&failure->needs);
}

/* Site code may put a path into its message (io.open does): what lies below the root is shown as it is named in the
 * site (H100). */
static void add_without_root(struct ls_buf *out, const char *text, size_t len, const char *root)
{
    size_t root_len = root ? strlen(root) : 0;
    const char *end = text + len;
    while (text < end) {
        const char *at = root_len > 1 ? memmem(text, (size_t)(end - text), root, root_len) : NULL;
        if (!at) {
            ls_buf_add(out, text, (size_t)(end - text));
            return;
        }
        ls_buf_add(out, text, (size_t)(at - text));
        text = at + root_len;
        if (text < end && *text == '/') text++;
    }
}

/* `key:12: text`: 12. The key may hold colons, so the first colon-number-colon counts. */
static int line_of(const char *message)
{
    for (const char *at = strchr(message, ':'); at; at = strchr(at + 1, ':')) {
        const char *digit = at + 1;
        while (isdigit((unsigned char)*digit))
            digit++;
        if (digit > at + 1 && *digit == ':' && digit - at < 9) return atoi(at + 1);
    }
    return 0;
}

char *ls__failure_message(const struct ls_session *session, const char *key, const char *text, int *line)
{
    struct ls_buf buf = LS_BUF_INIT;
    const char *end = strchr(text, '\n');
    add_without_root(&buf, text, end ? (size_t)(end - text) : strlen(text),
                     session->vm.site ? session->vm.site->root : NULL);
    *line = line_of(ls_buf_text(&buf));
    if (buf.len == 0) ls_buf_str(&buf, "error");
    /* Errors that are no strings, or raised with level 0, have no position: who reads a list of them has to know the
     * file at least. */
    if (*line == 0 && key && !ls_buf_failed(&buf) && strncmp(ls_buf_text(&buf), key, strlen(key)) != 0) {
        struct ls_buf named = LS_BUF_INIT;
        ls_buf_printf(&named, "%s: %s", key, ls_buf_text(&buf));
        ls_buf_release(&buf);
        buf = named;
    }
    return ls_buf_detach(&buf, NULL);
}

/* The mark below the line of the error. At the end of the file the place is behind what is there. */
static void add_caret(struct ls_buf *out, const char *line, size_t len, const char *message)
{
    size_t width = 1;
    while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t' || line[len - 1] == '\r'))
        len--;
    size_t column = ls_has_suffix(message, "near <eof>") ? len : ls_excerpt_column(line, len, message, &width);
    if (column > WIDEST_LINE) return;
    ls_buf_str(out, "\n     | ");
    ls_excerpt_caret(out, line, len, 0, column, width > WIDEST_LINE - column ? 1 : width);
}

/* The end of the file is an empty line mostly: nothing can be seen there, and the last thing written is what matters.
 * */
static int last_written_line(const char *text, size_t len)
{
    int number = 1;
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    for (const char *at = text; (at = memchr(at, '\n', (size_t)(text + len - at))); at++)
        number++;
    return number;
}

/* The lines around the error with their numbers, as compilers show them. Without a text the line is 0. */
static char *cut_excerpt(const char *text, size_t len, int line, const char *message)
{
    struct ls_buf buf = LS_BUF_INIT;
    const char *end = text + len;
    if (line > 0 && ls_has_suffix(message, "near <eof>")) line = last_written_line(text, len);
    for (int number = 1; text && text < end && number <= line + EXCERPT_LINES; number++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t line_len = (size_t)((stop ? stop : end) - text);
        if (number >= line - EXCERPT_LINES && line > 0) {
            ls_buf_printf(&buf, "%s%4d | %.*s", buf.len ? "\n" : "", number,
                          (int)(line_len > WIDEST_LINE ? WIDEST_LINE : line_len), text);
            if (number == line) add_caret(&buf, text, line_len, message);
        }
        text = stop ? stop + 1 : end;
    }
    if (!buf.data) ls_buf_str(&buf, "");
    return ls_buf_detach(&buf, NULL);
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

struct ls_failure *ls__failure_set(struct ls_session *session, const char *key, const char *name,
                                   const struct ls_err *cause, const char *text, size_t len)
{
    struct ls_reload_state *state = session->reload;
    struct ls_failure made = {.key = key ? ls_strdup(key) : NULL,
                              .name = name ? ls_strdup(name) : NULL,
                              .hash = text ? ls_hash(text, len) : 0};
    made.message = ls__failure_message(session, key, ls_err_text(cause), &made.line);
    made.excerpt = made.message ? cut_excerpt(text, len, text ? made.line : 0, made.message) : NULL;
    size_t at = 0;
    while (at < state->failure_count &&
           !(same(state->failures[at].key, key) && (key || same(state->failures[at].name, name))))
        at++;
    if (!made.message || !made.excerpt || (key && !made.key) || (name && !made.name) ||
        !LS_RESERVE(state->failures, at + 1, state->failure_cap)) {
        release_failure(&made);
        return NULL;
    }
    if (at < state->failure_count)
        release_failure(&state->failures[at]);
    else
        state->failure_count++;
    state->failures[at] = made;
    return &state->failures[at];
}

void ls__failure_needs(struct ls_failure *failure, const struct ls_names *lists)
{
    ls_names_copy(&failure->needs, &lists[LS_REQUIRES]);
    ls_names_copy(&failure->needs, &lists[LS_MISSING]);
}

void ls__failure_drop(struct ls_session *session, size_t index)
{
    struct ls_reload_state *state = session->reload;
    release_failure(&state->failures[index]);
    state->failure_count--;
    memmove(&state->failures[index], &state->failures[index + 1],
            (state->failure_count - index) * sizeof *state->failures);
}

void ls__failure_clear(struct ls_session *session, const char *key)
{
    struct ls_reload_state *state = session->reload;
    for (size_t i = state->failure_count; i-- > 0;)
        if (same(state->failures[i].key, key)) ls__failure_drop(session, i);
}

bool ls__failure_is_of(const struct ls_failure *failure, const char *key, const char *path)
{
    return failure->name && (same(failure->key, key) || (path && ls_names_has(&failure->paths, path)));
}

struct ls_failure *ls__failure_wanted(const struct ls_session *session, const char *key, const char *path)
{
    struct ls_reload_state *state = session->reload;
    for (size_t i = 0; i < state->failure_count; i++) {
        struct ls_failure *failure = &state->failures[i];
        if (ls__failure_is_of(failure, key, path)) return failure;
    }
    return NULL;
}

void ls__reload_wanted(struct ls_session *session, const char *name, bool named, const char *key,
                       const struct ls_names *paths, struct ls_bytes *text, const char *message)
{
    LS_ERR(cause);
    ls_fail_text(&cause, LS_ELUA, message, strlen(message));
    const struct ls_module *module = key ? ls__module_find(session, key) : NULL;
    struct ls_failure *failure =
        ls__failure_set(session, key, name, &cause, text ? ls_bytes_data(text) : NULL, ls_bytes_len(text));
    if (!failure) return;
    failure->named = named;
    failure->asked = ls__module_current(session);
    if (module) ls__failure_needs(failure, module->lists);
    ls_names_copy(&failure->paths, paths);
}

void ls__reload_unwanted(struct ls_session *session, const char *key, const char *name)
{
    struct ls_reload_state *state = session->reload;
    for (size_t i = state->failure_count; i-- > 0;) {
        const struct ls_failure *failure = &state->failures[i];
        if (failure->name && (same(failure->key, key) || (!failure->key && name && same(failure->name, name))))
            ls__failure_drop(session, i);
    }
}

static bool is_meant(const struct ls_failure *failure, const struct ls_names *needs)
{
    return ls_names_has(needs, failure->name) || (failure->key && ls_names_has(needs, failure->key));
}

/* Does a text ask for it that runs, or whose failure is in force? */
static bool is_asked(const struct ls_session *session, const struct ls_failure *failure)
{
    const struct ls_reload_state *state = session->reload;
    for (size_t i = 0; i < session->model->module_count; i++)
        if (is_meant(failure, &session->model->modules[i]->missing) ||
            is_meant(failure, &session->model->modules[i]->requires))
            return true;
    for (size_t i = 0; i < state->failure_count; i++)
        if (&state->failures[i] != failure && is_meant(failure, &state->failures[i].needs)) return true;
    return false;
}

void ls__failures_unasked(struct ls_session *session)
{
    struct ls_reload_state *state = session->reload;
    for (size_t i = 0; i < state->failure_count;) {
        if (!state->failures[i].asked || is_asked(session, &state->failures[i])) {
            i++;
            continue;
        }
        ls__failure_drop(session, i);
        i = 0; /* what only this one asked for goes with it */
    }
}

void ls__failures_release(struct ls_session *session)
{
    struct ls_reload_state *state = session->reload;
    while (state->failure_count)
        ls__failure_drop(session, state->failure_count - 1);
    ls_free(state->failures);
}

/* A module that has been unloaded takes its failure with it (H90). */
static bool is_present(const struct ls_session *session, const struct ls_failure *failure)
{
    if (failure->name)
        return failure->key ? !ls__module_find(session, failure->key) : !ls__module_named(session, failure->name);
    return ls__module_find(session, failure->key);
}

static void add_detail(struct ls_buf *out, const struct ls_failure *failure)
{
    ls_json_open(out, NULL, '{');
    ls_json_put_str(out, "key", failure->key ? failure->key : failure->name);
    ls_json_put_int(out, "line", failure->line);
    ls_json_put_str(out, "message", failure->message);
    ls_json_put_str(out, "excerpt", failure->excerpt);
    ls_buf_char(out, '}');
}

int ls_session_failures(struct ls_session *session, struct ls_buf *lines, struct ls_buf *detail_json)
{
    struct ls_reload_state *state = session->reload;
    size_t shown = 0;
    for (size_t i = state->failure_count; i-- > 0;)
        if (!is_present(session, &state->failures[i])) ls__failure_drop(session, i);
    for (size_t i = 0; i < state->failure_count; i++) {
        if (!state->failures[i].key)
            continue; /* a search in vain: whoever needed the file has failed itself, or could do without it */
        if (lines) {
            if (shown) ls_buf_char(lines, '\n');
            ls_buf_str(lines, state->failures[i].message);
        }
        if (detail_json) {
            if (!shown) ls_buf_char(detail_json, '[');
            add_detail(detail_json, &state->failures[i]);
        }
        shown++;
    }
    if (shown && detail_json) ls_buf_char(detail_json, ']');
    if ((lines && ls_buf_failed(lines)) || (detail_json && ls_buf_failed(detail_json))) return LS_ENOMEM;
    return (int)shown;
}
