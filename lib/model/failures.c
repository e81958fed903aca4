/* Present failures of a session's files (H36, H63, H98 to H100): what the page shows until it is mended.
 *
 * Texts for pages hold key, line and message only; the excerpt goes into the detail, which the server sends to loopback
 * pages alone.
 * Owner thread: the session's. Touches no VM. */
#include "model/module.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/json.h"
#include "base/text.h"
#include "files/excerpt.h"
#include "files/fspath.h"

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

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

struct ls_failure *ls__failure_set(struct ls_session *session, const char *key, const char *name,
                                   const struct ls_err *cause, const char *text, size_t len)
{
    struct ls_model *model = session->model;
    struct ls_failure made = {.key = key ? ls_strdup(key) : NULL,
                              .name = name ? ls_strdup(name) : NULL,
                              .hash = text ? ls_hash(text, len) : 0};
    made.message = ls__failure_message(session, key, ls_err_text(cause), &made.line);
    struct ls_buf excerpt = LS_BUF_INIT;
    ls_buf_str(&excerpt, "");
    if (made.message) ls_excerpt_around(&excerpt, text, len, made.line, made.message);
    made.excerpt = ls_buf_detach(&excerpt, NULL);
    size_t at = 0;
    while (at < model->failure_count &&
           !(same(model->failures[at].key, key) && (key || same(model->failures[at].name, name))))
        at++;
    if (!made.message || !made.excerpt || (key && !made.key) || (name && !made.name) ||
        !LS_RESERVE(model->failures, at + 1, model->failure_cap)) {
        release_failure(&made);
        return NULL;
    }
    if (at < model->failure_count)
        release_failure(&model->failures[at]);
    else
        model->failure_count++;
    model->failures[at] = made;
    return &model->failures[at];
}

void ls__failure_needs(struct ls_failure *failure, const struct ls_names *lists)
{
    ls_names_copy(&failure->needs, &lists[LS_REQUIRES]);
    ls_names_copy(&failure->needs, &lists[LS_MISSING]);
}

void ls__failure_drop(struct ls_session *session, size_t index)
{
    struct ls_model *model = session->model;
    release_failure(&model->failures[index]);
    model->failure_count--;
    memmove(&model->failures[index], &model->failures[index + 1],
            (model->failure_count - index) * sizeof *model->failures);
}

void ls__failure_clear(struct ls_session *session, const char *key)
{
    struct ls_model *model = session->model;
    for (size_t i = model->failure_count; i-- > 0;)
        if (same(model->failures[i].key, key)) ls__failure_drop(session, i);
}

bool ls__failure_is_of(const struct ls_failure *failure, const char *key, const char *path)
{
    return failure->name && (same(failure->key, key) || (path && ls_names_has(&failure->paths, path)));
}

struct ls_failure *ls__failure_wanted(const struct ls_session *session, const char *key, const char *path)
{
    struct ls_model *model = session->model;
    for (size_t i = 0; i < model->failure_count; i++) {
        struct ls_failure *failure = &model->failures[i];
        if (ls__failure_is_of(failure, key, path)) return failure;
    }
    return NULL;
}

void ls__failure_first(struct ls_session *session, const char *name, bool named, const char *key,
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

void ls__failure_over(struct ls_session *session, const char *key, const char *name)
{
    struct ls_model *model = session->model;
    for (size_t i = model->failure_count; i-- > 0;) {
        const struct ls_failure *failure = &model->failures[i];
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
    const struct ls_model *model = session->model;
    for (size_t i = 0; i < session->model->module_count; i++)
        if (is_meant(failure, &session->model->modules[i]->missing) ||
            is_meant(failure, &session->model->modules[i]->requires))
            return true;
    for (size_t i = 0; i < model->failure_count; i++)
        if (&model->failures[i] != failure && is_meant(failure, &model->failures[i].needs)) return true;
    return false;
}

void ls__failures_unasked(struct ls_session *session)
{
    struct ls_model *model = session->model;
    for (size_t i = 0; i < model->failure_count;) {
        if (!model->failures[i].asked || is_asked(session, &model->failures[i])) {
            i++;
            continue;
        }
        ls__failure_drop(session, i);
        i = 0; /* what only this one asked for goes with it */
    }
}

void ls__failures_release(struct ls_session *session)
{
    struct ls_model *model = session->model;
    while (model->failure_count)
        ls__failure_drop(session, model->failure_count - 1);
    ls_free(model->failures);
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
    struct ls_model *model = session->model;
    size_t shown = 0;
    for (size_t i = model->failure_count; i-- > 0;)
        if (!is_present(session, &model->failures[i])) ls__failure_drop(session, i);
    for (size_t i = 0; i < model->failure_count; i++) {
        if (!model->failures[i].key)
            continue; /* a search in vain: whoever needed the file has failed itself, or could do without it */
        if (lines) {
            if (shown) ls_buf_char(lines, '\n');
            ls_buf_str(lines, model->failures[i].message);
        }
        if (detail_json) {
            if (!shown) ls_buf_char(detail_json, '[');
            add_detail(detail_json, &model->failures[i]);
        }
        shown++;
    }
    if (shown && detail_json) ls_buf_char(detail_json, ']');
    if ((lines && ls_buf_failed(lines)) || (detail_json && ls_buf_failed(detail_json))) return LS_ENOMEM;
    return (int)shown;
}
