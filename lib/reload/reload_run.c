/* One file of a transaction: dispose hooks, ledger, chunk, three-way rule, or roll-back (H39.4, H48 to H59, H68).
 *
 * Owner thread: the session's. Refuses to end anything of an earlier execution: its timers and watches run on (H57). */
#include "reload/reload_state.h"

#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/text.h"
#include "model/model_internal.h"
#include "model/prototype.h"
#include "reload/threeway_text.h"

/* What a module had registered before the chunk ran. The chunk starts with empty lists, so that what it registers again
 * shows (L49). */
struct lists {
    struct ls_names prototypes, presenters, wrappers, requires, missing;
    int keep; /* ref as it was, not owned */
};

void ls__reload_detail(struct ls_reload_result *result, const char *format, ...)
{
    struct ls_buf buf = LS_BUF_INIT;
    if (result->details) ls_buf_printf(&buf, "%s, ", result->details);
    va_list args;
    va_start(args, format);
    ls_buf_vprintf(&buf, format, args);
    va_end(args);
    char *text = ls_buf_detach(&buf, NULL);
    if (!text) return; /* a report without a detail is better than none */
    ls_free(result->details);
    result->details = text;
}

void ls__reload_fail(struct ls_session *session, struct ls_reload_result *result, const struct ls_err *err)
{
    const char *end = strchr(ls_err_text(err), '\n');
    result->outcome = LS_RELOAD_FAILED;
    ls_free(result->text);
    ls_free(result->traceback);
    result->text = ls__failure_message(session, result->key, ls_err_text(err), &result->line);
    result->traceback = end && end[1] ? ls_strdup(end + 1) : NULL;
}

static void take_lists(struct ls_module *module, struct lists *lists)
{
    *lists = (struct lists){module->prototypes, module->presenters, module->wrappers,
                            module->requires,   module->missing,    module->keep};
    struct ls_names *const sets[] = {&module->prototypes, &module->presenters, &module->wrappers, &module->requires,
                                     &module->missing};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        *sets[i] = (struct ls_names){0};
}

static void release_lists(struct lists *lists)
{
    struct ls_names *const sets[] = {&lists->prototypes, &lists->presenters, &lists->wrappers, &lists->requires,
                                     &lists->missing};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        ls_names_release(sets[i]);
}

static void swap_names(struct ls_names *a, struct ls_names *b)
{
    struct ls_names kept = *a;
    *a = *b;
    *b = kept;
}

/* After a failure the module has what it had (H59); the lists hold what the failed text has registered and required. */
static void restore_lists(struct ls_session *session, struct ls_module *module, struct lists *lists)
{
    swap_names(&module->prototypes, &lists->prototypes);
    swap_names(&module->presenters, &lists->presenters);
    swap_names(&module->wrappers, &lists->wrappers);
    swap_names(&module->requires, &lists->requires);
    swap_names(&module->missing, &lists->missing);
    if (lists->keep == LUA_NOREF) ls__ref_drop(session, &module->keep);
}

/* Is the name in the text as a string, as it is where a prototype is declared or a module required? */
static bool is_quoted(const struct ls_apply *apply, const char *name)
{
    struct ls_buf quoted = LS_BUF_INIT;
    ls_buf_printf(&quoted, "\"%s\"", name);
    bool found = memmem(apply->text, apply->len, ls_buf_text(&quoted), quoted.len);
    ls_buf_clear(&quoted);
    ls_buf_printf(&quoted, "'%s'", name);
    found = found || memmem(apply->text, apply->len, ls_buf_text(&quoted), quoted.len) || ls_buf_failed(&quoted);
    ls_buf_release(&quoted);
    return found;
}

/* Prototypes that the text no longer declares stay the module's, since instances may live; that is said once. One that
 * another module declares is that one's from now on (H52). */
static void note_undeclared(struct ls_session *session, struct ls_module *module, const struct lists *lists,
                            const struct ls_apply *apply, struct ls_reload_result *result)
{
    struct ls_names *told = &session->reload->undeclared;
    for (uint32_t i = 0; i < lists->prototypes.count; i++) {
        const char *name = lists->prototypes.items[i];
        struct ls_proto *proto = ls__proto_find(session, name);
        if (proto && !ls_names_has(&module->prototypes, name) && proto->owners.count > 1 && !is_quoted(apply, name)) {
            ls_names_drop(&proto->owners, module->key);
            continue;
        }
        struct ls_buf entry = LS_BUF_INIT;
        ls_buf_printf(&entry, "%s %s", module->key, name);
        if (ls_names_has(&module->prototypes, name)) {
            ls_names_drop(told, ls_buf_text(&entry));
        } else if (proto) {
            ls_names_add(&module->prototypes, name);
            /* `session:prototype(name)` gives back a registered one and leaves no trace in the list (L81): look for the
             * name. */
            if (!ls_find_word(apply->text, apply->len, name, strlen(name)) &&
                !ls_names_has(told, ls_buf_text(&entry)) && ls_names_add(told, ls_buf_text(&entry)))
                ls__reload_detail(result, "%s is no longer declared", name);
        }
        ls_buf_release(&entry);
    }
}

/* Load-time work without a guard piles up with every save (H57). */
static void warn_piling(struct ls_session *session, const struct ls_module *module, struct ls_reload_result *result)
{
    uint32_t now = module->execution;
    unsigned intervals = ls__timers_of_module(session, module->serial, now, true);
    unsigned watches = ls__watches_of_module(session, module->serial, now);
    bool more_intervals = intervals && ls__timers_of_module(session, module->serial, now + 1, true) > intervals;
    bool more_watches = watches && ls__watches_of_module(session, module->serial, now + 1) > watches;
    if (!more_intervals && !more_watches) return;
    const char *what = more_intervals && more_watches ? "intervals and watches"
                       : more_intervals               ? "an interval"
                                                      : "a watch";
    ls_log_session(0, session->vm.id,
                   "warning: %s makes %s at each reload while those of before go on; guard it with "
                   "'if not session.reloading then', or end it with session:onDispose",
                   module->key, what);
    ls__reload_detail(result, "%s made again", what);
}

static void log_notes(struct ls_session *session, const char *key, const struct ls_buf *notes)
{
    const char *line = ls_buf_text(notes);
    for (const char *end; (end = strchr(line, '\n')); line = end + 1)
        ls_log_session(2, session->vm.id, "reload %s: %.*s", key, (int)(end - line), line);
}

static void add_details(struct ls_reload_result *result, const struct ls_apply *apply)
{
    result->methods_removed = apply->methods_removed;
    result->fields_added = apply->fields_added;
    result->fields_removed = apply->fields_removed;
    if (apply->fields.len) ls__reload_detail(result, "%s", apply->fields.data);
    if (apply->methods_removed)
        ls__reload_detail(result, "%u method%s removed (%s)", apply->methods_removed,
                          apply->methods_removed == 1 ? "" : "s", apply->removed.data);
}

/* The chunk with its two arguments is on top. @return 0, the module has its value and the record is made; or a code and
 * nothing of it. [-3, +0, -] */
static int run_chunk(struct ls_session *session, struct ls_module *module, struct ls_apply *apply, struct ls_err *err)
{
    lua_State *L = session->vm.L;
    uint64_t serial = module->serial;
    int code = ls__lcall(session, 2, 1, err);
    if (code != 0) return code;
    module = ls__module_find(session, apply->key);
    if (!module || module->serial != serial) {
        lua_pop(L, 1);
        return 0; /* it has unloaded itself; it ran on, and nothing of it is kept (L57) */
    }
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
    }
    code = ls__load_apply(apply, err);
    if (code == 0) lua_pop(L, 1);
    return code;
}

/* A module that was asked for in vain under a guard is asked for still (H36). */
static void keep_guarded(struct ls_session *session, struct ls_module *module, const struct lists *lists,
                         const struct ls_apply *apply)
{
    for (uint32_t i = 0; i < lists->missing.count; i++)
        if (is_quoted(apply, lists->missing.items[i]) && !ls__module_named(session, lists->missing.items[i]))
            ls_names_add(&module->missing, lists->missing.items[i]);
}

static void finish(struct ls_session *session, struct ls_reload_run *run, struct lists *lists,
                   const struct ls_apply *apply)
{
    struct ls_module *module = ls__module_find(session, run->key);
    if (!module) {
        ls__reload_detail(run->result, "it unloaded itself");
        return;
    }
    note_undeclared(session, module, lists, apply, run->result);
    keep_guarded(session, module, lists, apply);
    warn_piling(session, module, run->result);
    add_details(run->result, apply);
    log_notes(session, run->key, &apply->notes);
    for (uint32_t i = 0; i < module->prototypes.count; i++) {
        const struct ls_proto *proto = ls__proto_find(session, module->prototypes.items[i]);
        if (proto && !ls_names_has(&lists->prototypes, module->prototypes.items[i]))
            continue; /* a new one has no failed instances */
        if (proto) ls__mutations_wake(session, proto->id);
    }
    run->value_changed = apply->value_changed;
    ls__module_ran(session, run->key, run->hash, NULL);
    ls__failure_clear(session, run->key);
    module = ls__module_find(session, run->key);
    if (module && session->vm.host.module_loaded)
        session->vm.host.module_loaded(session->vm.host.ctx, run->key, (const char *const *)module->paths.items,
                                       module->paths.count);
}

static void roll_back(struct ls_session *session, struct ls_reload_run *run, struct lists *lists, uint64_t serial)
{
    struct ls_module *module = ls__module_find(session, run->key);
    if (module && module->serial == serial) {
        ls__timers_drop_module(session, serial, module->execution);
        ls__watches_drop_module(session, serial, module->execution);
        /* Hooks that the failed chunk registered have seen its start and must see its end (H68). */
        unsigned failed = ls__module_dispose(session, run->key, true);
        if (failed) ls__reload_detail(run->result, "%u dispose hooks failed", failed);
    }
    ls__load_roll_back(session);
    module = ls__module_find(session, run->key);
    if (module && module->serial == serial) restore_lists(session, module, lists);
}

/* What the failed text required counts for trying it again (H63), and only as long as it is the last word. */
static void fail(struct ls_session *session, struct ls_reload_run *run, const struct lists *lists,
                 const struct ls_err *err)
{
    ls__reload_fail(session, run->result, err);
    ls__module_ran(session, run->key, run->hash, err);
    struct ls_failure *failure =
        ls__failure_set(session, run->key, NULL, err, ls_bytes_data(run->text), ls_bytes_len(run->text));
    if (!failure) return;
    failure->hash = run->hash;
    ls_names_copy(&failure->needs, &lists->requires);
    for (uint32_t i = 0; i < lists->missing.count; i++)
        ls_names_add(&failure->needs, lists->missing.items[i]);
}

/* The hooks of the running version are called before the new one starts, and count as called even if it then fails. */
static void dispose(struct ls_session *session, struct ls_reload_run *run)
{
    const struct ls_module *module = ls__module_find(session, run->key);
    if (!module || module->dispose == LUA_NOREF) return;
    unsigned failed = ls__module_dispose(session, run->key, true);
    ls__reload_detail(run->result, failed ? "dispose hooks called, %u failed" : "dispose hooks called", failed);
}

bool ls__reload_run(struct ls_session *session, struct ls_reload_run *run)
{
    lua_State *L = session->vm.L;
    LS_ERR(err);
    struct lists lists = {0};
    struct ls_apply apply = {
        .session = session, .key = run->key, .text = ls_bytes_data(run->text), .len = ls_bytes_len(run->text)};
    dispose(session, run);
    struct ls_module *module = ls__module_find(session, run->key);
    if (!module || !lua_checkstack(L, 8)) {
        lua_pop(L, 1);
        run->result->outcome = LS_RELOAD_SKIPPED;
        run->result->text = ls_strdup("unloaded");
        return false;
    }
    int code = ls__load_push(session, run->key, -1, apply.text, apply.len, true, &err);
    if (code != 0) {
        lua_pop(L, 1);
        fail(session, run, &lists, &err);
        return false;
    }
    lua_pushstring(L, module->name);
    lua_pushstring(L, module->key);
    uint64_t serial = module->serial;
    take_lists(module, &lists);
    apply.old_prototypes = &lists.prototypes;
    apply.old_presenters = &lists.presenters;
    apply.old_wrappers = &lists.wrappers;
    code = ls__module_enter(session, module, false, &err);
    if (code == 0) {
        code = run_chunk(session, module, &apply, &err);
        ls__module_leave(session, code == 0);
    } else {
        lua_pop(L, 3);
    }
    if (code == 0) {
        finish(session, run, &lists, &apply);
        run->result->outcome = LS_RELOAD_OK;
    } else {
        roll_back(session, run, &lists, serial);
        fail(session, run, &lists, &err);
    }
    ls__load_pop(session);
    release_lists(&lists);
    ls_buf_release(&apply.removed);
    ls_buf_release(&apply.notes);
    ls_buf_release(&apply.fields);
    return code == 0;
}
