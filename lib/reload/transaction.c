/* The reload transaction of one session (H39): a burst of changed files becomes one indivisible step.
 *
 * What would not concern the session is left out by its text hash before the VM is touched (H33, H35). Everything is
 * compiled before anything runs. Files run in the order of recorded requires (H37); what depended on a failure or on a
 * value that cannot be taken over runs after them (H63, H50). The mutation queue is processed once. Detection and
 * reporting are the caller's.
 *
 * Owner thread: the session's. Refuses to: read the clock for ordering, wait for anybody, touch variables or
 * connections (H55). */
#include "reload/reload.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "files/fspath.h"
#include "model/prototype.h"
#include "reload/reload_state.h"
#include "resolver/slots.h"

#define FIELDS_TOLD 8 /* by name, whose values a file has set aside, and restored */

/* One file of the burst, or one that follows from it. */
struct item {
    size_t result;         /* index in the report */
    const char *key;       /* borrowed from the result */
    const char *path;      /* borrowed; NULL for a file that follows */
    struct ls_bytes *text; /* owned use */
    uint64_t hash;
    int chunk;        /* stack index of the compiled chunk; 0 = not to be run */
    char *first_name; /* owned: to be loaded for the first time, by this name */
    bool named;       /* the name is one that code requires it by */
    bool done;
};

struct transaction {
    struct ls_session *session;
    struct ls_reload_report *report;
    struct item *items; /* owned; grows while dependents are found */
    size_t count, cap;
    struct ls_names value_changed; /* keys whose importers hold an old value (H50) */
    struct ls_names loaded;        /* keys loaded or reloaded by this transaction (H63) */
    struct ls_names tried;         /* keys of dependents that have been run again: each at most once */
};

/* --- reports --- */

void ls_reload_report_init(struct ls_reload_report *report)
{
    *report = (struct ls_reload_report){0};
}

void ls_reload_report_release(struct ls_reload_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        ls_free(report->results[i].key);
        ls_free(report->results[i].text);
        ls_free(report->results[i].traceback);
        ls_free(report->results[i].details);
        ls_free(report->results[i].losses);
    }
    ls_free(report->results);
    ls_reload_report_init(report);
}

/* @return the new result's index, SIZE_MAX without memory */
static size_t add_result(struct ls_reload_report *report, const char *key)
{
    char *copy = ls_strdup(key);
    if (copy && LS_PUSH(report->results, report->count, report->cap,
                        (struct ls_reload_result){.key = copy, .outcome = LS_RELOAD_SKIPPED}))
        return report->count - 1;
    ls_free(copy);
    return SIZE_MAX;
}

static struct ls_reload_result *result_of(struct transaction *work, size_t item)
{
    return &work->report->results[work->items[item].result];
}

static void skip_item(struct transaction *work, size_t item, const char *why)
{
    struct ls_reload_result *result = result_of(work, item);
    result->outcome = LS_RELOAD_SKIPPED;
    ls_free(result->text);
    result->text = ls_strdup(why);
    work->items[item].done = true;
}

/* --- leaving out (H33, H35, H36) --- */

bool ls_session_reload_wanted(const struct ls_session *session, const struct ls_reload_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct ls_reload_file *file = &files[i];
        const struct ls_module *module = ls__module_find(session, file->key);
        if (!file->text) continue;
        if (module && (module->hash != file->hash || !module->ok)) return true;
        if (!module && ls__failure_wanted(session, file->key, file->path)) return true;
        if (ls__module_before(session, file->old_key, file->key, file->path)) return true;
    }
    return false;
}

static bool differs(const struct ls_session *session, const struct ls_reload_file *file)
{
    if (!file->text) return false;
    for (size_t i = session->model->running_count; i-- > 0;) {
        const struct ls_running *running = &session->model->running[i];
        if (strcmp(running->key, file->key) == 0) return running->hash != file->hash;
    }
    if (ls__module_before(session, file->old_key, file->key, file->path)) return true;
    const struct ls_module *module = ls__module_find(session, file->key);
    return module && (module->hash != file->hash || !module->ok);
}

static bool is_on_stack(const struct ls_stack_files *stack, const char *key)
{
    bool found = false;
    for (size_t i = 0; key && i < stack->count && !found; i++)
        found = strcmp(stack->keys[i], key) == 0;
    return found;
}

bool ls_session_reload_ends(struct ls_stack_files *stack, const struct ls_reload_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((is_on_stack(stack, files[i].key) || is_on_stack(stack, files[i].old_key)) &&
            differs(stack->session, &files[i])) {
            snprintf(stack->saved, sizeof stack->saved, "%s", files[i].key);
            return true;
        }
    return false;
}

static size_t add_item(struct transaction *work, const char *key, const char *path, struct ls_bytes *text,
                       uint64_t hash)
{
    size_t result = LS_RESERVE(work->items, work->count + 1, work->cap) ? add_result(work->report, key) : SIZE_MAX;
    if (result == SIZE_MAX) return SIZE_MAX;
    work->items[work->count] = (struct item){.result = result,
                                             .key = work->report->results[result].key,
                                             .path = path,
                                             .text = ls_bytes_ref(text),
                                             .hash = hash};
    return work->count++;
}

/* H39 step 1 for one file. */
static void classify(struct transaction *work, size_t at, const struct ls_reload_file *file)
{
    struct ls_session *session = work->session;
    struct item *item = &work->items[at];
    if (!file->text) {
        skip_item(work, at, "no longer there");
        return;
    }
    const struct ls_module *before = ls__module_before(session, file->old_key, file->key, file->path);
    if (before) ls__resolver_saved(session, before->key); /* its functions are another file's from now on (R17) */
    item->first_name = ls__module_relink(session, file->old_key, file->key, file->path);
    item->named = item->first_name;
    struct ls_module *module = ls__module_find(session, file->key);
    const struct ls_failure *failure =
        module || item->first_name ? NULL : ls__failure_wanted(session, file->key, file->path);
    if (failure) {
        item->first_name = ls_strdup(failure->name);
        item->named = failure->named;
    }
    if (module && module->hash == file->hash) {
        /* the text executed last is back: nothing runs, and an error of the file is over (H63) */
        if (!module->ok) ls__module_ran(session, module->key, module->hash, NULL);
        ls__failure_clear(session, module->key);
        skip_item(work, at, "unchanged");
    } else if (!module && !item->first_name) {
        skip_item(work, at, "not loaded");
    }
}

/* --- compiling (H39 step 2) --- */

static void fail_item(struct transaction *work, size_t at, const struct ls_err *err)
{
    struct ls_session *session = work->session;
    struct item *item = &work->items[at];
    item->done = true;
    ls__reload_fail(session, result_of(work, at), err);
    if (ls__module_find(session, item->key)) ls__module_ran(session, item->key, item->hash, err);
    struct ls_names paths = {0}, needs = {0};
    bool asked = false;
    if (item->first_name && item->path) ls_names_add(&paths, item->path); /* first: there it is read again */
    for (size_t i = session->model->failure_count; item->first_name && i-- > 0;) {
        const struct ls_failure *old = &session->model->failures[i];
        if (!ls__failure_is_of(old, item->key, item->path)) continue;
        ls_names_copy(&paths, &old->paths); /* where it is looked for, and by whom, stays known */
        ls_names_copy(&needs, &old->needs);
        asked |= old->asked;
        if (!old->key) /* a file has come to the place that was searched in vain */
            ls__failure_drop(session, i);
    }
    struct ls_failure *failure =
        ls__failure_set(session, item->key, item->first_name, err, ls_bytes_data(item->text), ls_bytes_len(item->text));
    if (failure) {
        failure->named = item->named;
        failure->asked = asked;
        failure->paths = paths;
        failure->needs = needs;
    } else {
        ls_names_release(&paths);
        ls_names_release(&needs);
    }
}

static void compile(struct transaction *work, size_t at)
{
    struct ls_session *session = work->session;
    struct item *item = &work->items[at];
    LS_ERR(err);
    const char *text = ls_bytes_data(item->text);
    size_t len = ls_bytes_len(item->text);
    int code;
    if (!item->first_name && ls_text_blank(text, len)) /* as of a view: hardly what somebody wanted (H78) */
        code = ls_fail(&err, LS_EINVAL, "%s: the file is empty; the code of before stays", item->key);
    else if (lua_checkstack(session->vm.L, 16))
        code = ls__module_push_chunk(session, item->key, text, len, &err);
    else
        code = ls_fail(&err, LS_ELUA, "stack overflow: too many files at once");
    if (code != 0) {
        fail_item(work, at, &err);
        return;
    }
    if (item->first_name)
        lua_pop(session->vm.L, 1); /* the loader takes it out of the shared cache again */
    else
        item->chunk = lua_gettop(session->vm.L);
}

/* --- running --- */

/* A chunk that ran, with whatever result, has to be followed by detection (H70). */
static void run_item(struct transaction *work, size_t at)
{
    struct ls_session *session = work->session;
    struct item *item = &work->items[at];
    const struct ls_module *module = ls__module_find(session, item->key);
    item->done = true;
    if (!module) {
        skip_item(work, at, "unloaded");
        return;
    }
    if (module->ok && module->hash == item->hash && !ls_names_has(&work->tried, item->key)) {
        /* another file of the burst required it, and so ran this text already (H35) */
        skip_item(work, at, "unchanged");
        return;
    }
    struct ls_run run = {.session = session,
                         .key = item->key,
                         .text = ls_bytes_data(item->text),
                         .len = ls_bytes_len(item->text),
                         .hash = item->hash,
                         .again = ls_names_has(&work->tried, item->key),
                         .result = result_of(work, at)};
    lua_pushvalue(session->vm.L, item->chunk);
    work->report->ran = true;
    if (ls__reload_run(&run)) {
        ls_names_add(&work->loaded, item->key);
        if (run.value_changed) ls_names_add(&work->value_changed, item->key);
    }
    ls__run_release(&run);
}

static void run_first(struct transaction *work, size_t at)
{
    struct ls_session *session = work->session;
    struct item *item = &work->items[at];
    LS_ERR(err);
    item->done = true;
    if (ls__module_find(session, item->key)) {
        skip_item(work, at, "unchanged");
        return;
    }
    work->report->ran = true;
    char *path = item->path ? ls_strdup(item->path) : NULL;
    if (ls__load_first(session, item->key, path, item->text, item->first_name, item->named, &err) == 0) {
        result_of(work, at)->outcome = LS_RELOAD_FIRST;
        ls__failure_over(session, item->key, item->first_name);
        ls_names_add(&work->loaded, item->key);
    } else {
        fail_item(work, at, &err);
    }
    ls_free(path);
}

/* The reload items in the order of H37; chunks of equal standing stay as they came. First loads follow: they may need
 * what has been reloaded, and what needs them requires them itself. */
static int run_in_order(struct transaction *work, struct ls_err *err)
{
    size_t count = 0, initial = work->count;
    const char **keys = ls_array(initial + 1, sizeof *keys);
    size_t *places = ls_array(initial + 1, sizeof *places), *order = ls_array(initial + 1, sizeof *order);
    int code = keys && places && order ? 0 : ls_fail(err, LS_ENOMEM, "Out of memory while reloading.");
    for (size_t i = 0; code == 0 && i < initial; i++)
        if (!work->items[i].done && !work->items[i].first_name) {
            keys[count] = work->items[i].key;
            places[count++] = i;
        }
    if (code == 0 && !ls__modules_order(work->session, keys, count, order))
        code = ls_fail(err, LS_ENOMEM, "Out of memory while reloading.");
    for (size_t i = 0; code == 0 && i < count; i++)
        run_item(work, places[order[i]]);
    for (size_t i = 0; code == 0 && i < initial; i++)
        if (!work->items[i].done) run_first(work, i);
    ls_free(keys);
    ls_free(places);
    ls_free(order);
    return code;
}

/* --- what follows from it (H50, H63) --- */

/* The text of a file as it is now, if this session has run it: anything newer is for the burst that its own save makes
 * (H29).
 * @param key  where it is looked for when no path is known; NULL = nowhere. @return owned; NULL */
static struct ls_bytes *read_text(struct ls_session *session, const struct ls_names *paths, const char *key,
                                  uint64_t hash)
{
    LS_ERR(err);
    struct ls_source source = {0};
    struct ls_bytes *text = NULL;
    if (paths->count)
        text = ls_file_read(ls__within(session), paths->items[0], 0, &err);
    else if (key && ls__source_direct(session, key, &source, &err) == 0)
        text = ls_bytes_ref(source.text);
    ls__source_release(&source);
    if (text && ls_hash(ls_bytes_data(text), ls_bytes_len(text)) == hash) return text;
    ls_bytes_unref(text);
    return NULL;
}

static bool needs_any(const struct ls_session *session, const struct ls_names *needs, const struct ls_names *keys)
{
    for (uint32_t i = 0; i < keys->count; i++) {
        if (ls_names_has(needs, keys->items[i])) return true;
        const struct ls_module *module = ls__module_find(session, keys->items[i]);
        for (uint32_t j = 0; module && j < module->names.count; j++)
            if (ls_names_has(needs, module->names.items[j])) return true;
    }
    return false;
}

static bool is_pending(const struct transaction *work, const char *key)
{
    for (size_t i = 0; i < work->count; i++)
        if (!work->items[i].done && strcmp(work->items[i].key, key) == 0) return true;
    return false;
}

/* Run a module again whose text has not changed. @return could it be */
static bool run_again(struct transaction *work, const char *key, uint64_t hash)
{
    struct ls_session *session = work->session;
    const struct ls_module *module = ls__module_find(session, key);
    struct ls_bytes *text = module ? read_text(session, &module->paths, key, hash) : NULL;
    size_t at = text && ls_names_add(&work->tried, key) ? add_item(work, key, NULL, text, hash) : SIZE_MAX;
    ls_bytes_unref(text);
    if (at == SIZE_MAX) return false;
    compile(work, at);
    if (!work->items[at].done) run_item(work, at);
    return true;
}

/* @return of the last execution of a loaded module; NULL = there is none */
static const struct ls_failure *failure_of(const struct ls_session *session, const char *key)
{
    for (size_t i = 0; i < session->model->failure_count; i++)
        if (!session->model->failures[i].name && strcmp(session->model->failures[i].key, key) == 0)
            return &session->model->failures[i];
    return NULL;
}

/* A loaded module whose last execution failed, or that holds an old value. @return was one run */
static bool follow_module(struct transaction *work)
{
    struct ls_session *session = work->session;
    for (size_t i = 0; i < session->model->module_count; i++) {
        const struct ls_module *module = session->model->modules[i];
        if (ls_names_has(&work->tried, module->key) || is_pending(work, module->key)) continue;
        bool stale = needs_any(session, &module->requires, &work->value_changed);
        const struct ls_failure *failure = module->ok || !module->loaded ? NULL : failure_of(session, module->key);
        bool mend = failure && (needs_any(session, &module->requires, &work->loaded) ||
                                needs_any(session, &module->missing, &work->loaded) ||
                                needs_any(session, &failure->needs, &work->loaded));
        if (!stale && !mend) continue;
        uint64_t hash = mend ? failure->hash : module->hash;
        char *key = ls_strdup(module->key);
        bool ran = key && run_again(work, key, hash);
        if (key && !ran) {
            ls_names_add(&work->tried, key);
            if (stale && work->count) ls__reload_detail(result_of(work, 0), "%s still holds the old value", key);
        }
        ls_free(key);
        return true;
    }
    return false;
}

/* A first load that failed because of what is there now. @return was one run */
static bool follow_failure(struct transaction *work)
{
    struct ls_session *session = work->session;
    for (size_t i = 0; i < session->model->failure_count; i++) {
        const struct ls_failure *failure = &session->model->failures[i];
        if (!failure->name || !failure->key || ls_names_has(&work->tried, failure->key) ||
            is_pending(work, failure->key) || !needs_any(session, &failure->needs, &work->loaded))
            continue;
        struct ls_bytes *text = read_text(session, &failure->paths, NULL, failure->hash);
        bool fresh = ls_names_add(&work->tried, failure->key);
        size_t at = text && fresh ? add_item(work, failure->key, NULL, text, failure->hash) : SIZE_MAX;
        ls_bytes_unref(text);
        if (at != SIZE_MAX) {
            work->items[at].first_name = ls_strdup(failure->name);
            work->items[at].named = failure->named;
            if (work->items[at].first_name) run_first(work, at);
        }
        return true;
    }
    return false;
}

/* --- the transaction --- */

static void release(struct transaction *work)
{
    for (size_t i = 0; i < work->count; i++) {
        ls_bytes_unref(work->items[i].text);
        ls_free(work->items[i].first_name);
    }
    ls_free(work->items);
    ls_names_release(&work->value_changed);
    ls_names_release(&work->loaded);
    ls_names_release(&work->tried);
}

/* What ran although a file that it requires could not: it has met that one's old version (H64). */
static void note_old_versions(struct transaction *work)
{
    const struct ls_reload_report *report = work->report;
    for (size_t i = 0; i < report->count; i++) {
        const struct ls_module *module =
            report->results[i].outcome == LS_RELOAD_OK ? ls__module_find(work->session, report->results[i].key) : NULL;
        for (size_t j = 0; module && j < report->count; j++) {
            const char *key = report->results[j].key;
            if (report->results[j].outcome == LS_RELOAD_FAILED && ls_names_has(&module->requires, key) &&
                ls__module_find(work->session, key))
                ls__reload_detail(&report->results[i], "with the old version of %s", key);
        }
    }
}

/* The result of the module of that serial; of no module, or of one that is not among them, the first file that ran. */
static struct ls_reload_result *result_by_serial(const struct ls_session *session, uint64_t serial)
{
    const struct ls_reload_report *report = session->reload->report;
    struct ls_reload_result *first = NULL;
    for (size_t i = 0; report && i < report->count; i++) {
        if (report->results[i].outcome == LS_RELOAD_SKIPPED) continue;
        const struct ls_module *module = ls__module_find(session, report->results[i].key);
        if (module && module->serial == serial) return &report->results[i];
        if (!first) first = &report->results[i];
    }
    return first;
}

/* `set_aside` of struct ls_load_hooks. */
static void note_aside(struct ls_session *session, uint64_t serial, const char *field, unsigned instances,
                       bool restored)
{
    const char *what = restored ? "restored" : "set aside", *plural = instances == 1 ? "" : "s";
    struct ls_reload_result *result = result_by_serial(session, serial);
    if (!result) {
        ls_log_session(1, session->vm.id, "values of \"%s\" %s in %u instance%s", field, what, instances, plural);
        return;
    }
    unsigned *count = restored ? &result->restored : &result->set_aside;
    if (++*count <= FIELDS_TOLD)
        ls__reload_detail(result, "values of \"%s\" %s in %u instance%s", field, what, instances, plural);
    else if (*count == FIELDS_TOLD + 1)
        ls__reload_detail(result, "values of more fields %s", what);
}

/* H39 steps 3 to 6. */
static int run_all(struct transaction *work, struct ls_err *err)
{
    struct ls_session *session = work->session;
    session->reload->running = true;
    session->reload->report = work->report;
    ls__set_reloading(session, true);
    int code = run_in_order(work, err);
    while (code == 0 && (follow_module(work) || follow_failure(work)))
        ;
    for (uint32_t i = 0; i < work->loaded.count; i++)
        ls__resolver_saved(session, work->loaded.items[i]);
    note_old_versions(work);
    if (work->report->ran) {
        uint64_t before = session->model->migrated;
        ls__mutations_run(session);
        for (size_t i = 0; i < work->report->count && session->model->migrated != before; i++)
            if (work->report->results[i].outcome != LS_RELOAD_SKIPPED) {
                ls__reload_detail(&work->report->results[i], "%u instance%s migrated",
                                  (unsigned)(session->model->migrated - before),
                                  session->model->migrated - before == 1 ? "" : "s");
                break;
            }
    }
    ls__set_reloading(session, false);
    session->reload->running = false;
    session->reload->report = NULL;
    return code;
}

/* A file that makes its data anew leaves that behind, since the run's stays. The next save would pay for it before its
 * frame. Little is left to Lua, and so is what is small beside the heap that would have to be marked. */
#define GARBAGE_BYTES  ((size_t)4 << 20)
#define GARBAGE_OF_ALL 4 /* a quarter */

/* @param before  bytes of the heap when the transaction began */
static void note_garbage(struct ls_session *session, size_t before)
{
    size_t now = ls_budget_get(&session->vm.budget->heap), grown = now > before ? now - before : 0;
    if (grown >= GARBAGE_BYTES && grown >= before / GARBAGE_OF_ALL && lua_gc(session->vm.L, LUA_GCISRUNNING) == 1)
        session->reload->garbage = true;
}

int ls_session_reload(struct ls_session *session, const struct ls_reload_file *files, size_t count,
                      struct ls_reload_report *report, struct ls_err *err)
{
    int64_t start = ls_now_ns();
    size_t heap = ls_budget_get(&session->vm.budget->heap);
    struct transaction work = {.session = session, .report = report};
    int code = 0, top = lua_gettop(session->vm.L);
    bool any = false;
    for (size_t i = 0; i < count && code == 0; i++) {
        size_t at = add_item(&work, files[i].key, files[i].path, files[i].text, files[i].hash);
        if (at == SIZE_MAX)
            code = ls_fail(err, LS_ENOMEM, "Out of memory while reloading.");
        else
            classify(&work, at, &files[i]);
    }
    for (size_t i = 0; i < work.count && code == 0; i++) {
        if (!work.items[i].done) compile(&work, i);
        any = any || !work.items[i].done;
    }
    if (any && code == 0) code = run_all(&work, err);
    for (size_t i = 0; i < session->model->module_count && !session->vm.config.hot; i++)
        ls__ref_drop(session, &session->model->modules[i]->record); /* not watched, nothing is kept (holders.c) */
    ls__failures_unasked(session);
    lua_settop(session->vm.L, top);
    release(&work);
    note_garbage(session, heap);
    report->ns = ls_now_ns() - start;
    return code;
}

/* --- the state between transactions --- */

/* [-1, +0, m] */
static LS_RAISES int l_new(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    struct ls_reload_state *state = session->reload;
    lua_settop(L, 0);
    lua_newtable(L);
    lua_pushglobaltable(L);
    lua_pushnil(L);
    while (lua_next(L, 2)) { /* libraries _G name value */
        if (lua_type(L, -1) == LUA_TTABLE) {
            lua_pushboolean(L, 1);
            lua_rawset(L, 1);
        } else {
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 1);
    state->libraries = ls__ref_take(session, L);
    return 0;
}

static const struct ls_load_hooks load_hooks = {
    .begin = ls__load_begin,
    .done = ls__load_done,
    .ended = ls__load_end,
    .set_aside = note_aside,
};

int ls__reload_new(struct ls_session *session, struct ls_err *err)
{
    session->model->loads = &load_hooks;
    session->reload = ls_zalloc(sizeof *session->reload);
    if (!session->reload) return ls_fail(err, LS_ENOMEM, "Out of memory while making a session.");
    session->reload->libraries = session->reload->displaced = session->reload->copies = LUA_NOREF;
    if (!session->vm.chunks && !(session->reload->texts = ls_texts_new()))
        return ls_fail(err, LS_ENOMEM, "Out of memory while making a session.");
    return ls__lrun(session, l_new, NULL, 0, err);
}

void ls__reload_free(struct ls_session *session)
{
    struct ls_reload_state *state = session->reload;
    if (!state) return;
    while (state->load_count)
        ls__load_end(session, true);
    ls_names_release(&state->undeclared);
    ls__ref_drop(session, &state->libraries);
    ls__ref_drop(session, &state->displaced);
    ls__ref_drop(session, &state->copies);
    ls_texts_free(state->texts);
    ls_free(state->loads);
    ls_free(state);
    session->reload = NULL;
}
