/* One file of a transaction: dispose hooks, ledger, chunk, three-way rule, or roll-back (H39.4, H48 to H59, H68).
 *
 * Owner thread: the session's. Refuses to end anything of an earlier execution: its timers and watches run on (H57). */
#include "reload/reload_state.h"

#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"
#include "model/prototype.h"

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

/* The chunk starts with empty lists, so that what it registers again shows (L49). */
static void swap_lists(struct ls_module *module, struct ls_run *run)
{
    for (int list = 0; list < LS_MODULE_LISTS; list++) {
        struct ls_names kept = run->old[list];
        run->old[list] = module->lists[list];
        module->lists[list] = kept;
    }
}

/* Prototypes that the text no longer declares stay the module's, since instances may live; that is said once. One that
 * another module declares is that one's from now on (H52). */
static void note_undeclared(struct ls_run *run, struct ls_module *module)
{
    struct ls_names *told = &run->session->reload->undeclared;
    for (uint32_t i = 0; i < run->old[LS_PROTOTYPES].count; i++) {
        const char *name = run->old[LS_PROTOTYPES].items[i];
        struct ls_proto *proto = ls__proto_find(run->session, name);
        bool declared = ls_names_has(&module->prototypes, name);
        if (proto && !declared && proto->owners.count > 1 && !ls__run_names(run, name)) {
            ls_names_drop(&proto->owners, module->key);
            continue;
        }
        struct ls_buf note = LS_BUF_INIT;
        ls_buf_printf(&note, "%s %s", module->key, name);
        if (declared) {
            ls_names_drop(told, ls_buf_text(&note));
        } else if (proto) {
            ls_names_add(&module->prototypes, name);
            if (!ls__run_names(run, name) && !ls_names_has(told, ls_buf_text(&note)) &&
                ls_names_add(told, ls_buf_text(&note)))
                ls__reload_detail(run->result, "%s is no longer declared", name);
        }
        ls_buf_release(&note);
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

static void log_notes(const struct ls_run *run)
{
    const char *line = ls_buf_text(&run->notes);
    for (const char *end; (end = strchr(line, '\n')); line = end + 1)
        ls_log_session(1, run->session->vm.id, "reload %s: %.*s", run->key, (int)(end - line), line);
}

/* The chunk with its two arguments is on top. @return 0, the module has its value and the record is made; or a code and
 * nothing of it. [-3, +0, -] */
static int run_chunk(struct ls_run *run, uint64_t serial, struct ls_err *err)
{
    struct ls_session *session = run->session;
    lua_State *L = session->vm.L;
    session->vm.made = run->made = ls_idmap_new();
    session->vm.made_lost = !run->made;
    session->vm.made_functions = 0;
    int code = ls__lcall(session, 2, 1, err);
    session->vm.made = NULL;
    run->made_functions = session->vm.made_functions;
    if (code != 0) return code;
    if (session->vm.made_lost) {
        lua_pop(L, 1);
        return ls_fail(err, LS_ENOMEM, "out of memory while reloading %s", run->key);
    }
    const struct ls_module *module = ls__module_find(session, run->key);
    if (!module || module->serial != serial) {
        lua_pop(L, 1);
        return 0; /* it has unloaded itself; it ran on, and nothing of it is kept (L57) */
    }
    code = ls__run_apply(run, err);
    if (code == 0) lua_pop(L, 1);
    return code;
}

static void finish(struct ls_run *run)
{
    struct ls_session *session = run->session;
    struct ls_module *module = ls__module_find(session, run->key);
    run->result->outcome = LS_RELOAD_OK;
    if (!module) {
        ls__reload_detail(run->result, "it unloaded itself");
        return;
    }
    note_undeclared(run, module);
    /* A module that was asked for in vain under a guard is asked for still (H36). */
    for (uint32_t i = 0; i < run->old[LS_MISSING].count; i++) {
        const char *name = run->old[LS_MISSING].items[i];
        if (ls__run_names(run, name) && !ls__module_named(session, name)) ls_names_add(&module->missing, name);
    }
    warn_piling(session, module, run->result);
    if (run->fields.len) ls__reload_detail(run->result, "%s", run->fields.data);
    if (run->methods_removed)
        ls__reload_detail(run->result, "%u method%s removed (%s)", run->methods_removed,
                          run->methods_removed == 1 ? "" : "s", run->removed.data);
    log_notes(run);
    if (run->losses.len) run->result->losses = ls_buf_detach(&run->losses, NULL);
    for (uint32_t i = 0; i < module->prototypes.count; i++) {
        const struct ls_proto *proto = ls__proto_find(session, module->prototypes.items[i]);
        /* a new one has no failed instances */
        if (proto && ls_names_has(&run->old[LS_PROTOTYPES], proto->name)) ls__mutations_wake(session, proto->id);
    }
    ls__module_ran(session, run->key, run->hash, NULL);
    ls__failure_clear(session, run->key);
    module = ls__module_find(session, run->key);
    if (module && session->vm.host.module_loaded)
        session->vm.host.module_loaded(session->vm.host.ctx, run->key, (const char *const *)module->paths.items,
                                       module->paths.count);
}

/* What the failed text required counts for trying it again (H63), and only as long as it is the last word. */
static void fail(struct ls_run *run, const struct ls_err *err)
{
    ls__reload_fail(run->session, run->result, err);
    ls__module_ran(run->session, run->key, run->hash, err);
    struct ls_failure *failure = ls__failure_set(run->session, run->key, NULL, err, run->text, run->len);
    if (failure) ls__failure_needs(failure, run->old);
}

/* After a failure the module has what it had (H59).
 * @param keep  its reference before the chunk ran */
static void roll_back(struct ls_run *run, uint64_t serial, int keep)
{
    struct ls_session *session = run->session;
    struct ls_module *module = ls__module_find(session, run->key);
    if (module && module->serial == serial) {
        ls__timers_drop_module(session, serial, module->execution);
        ls__watches_drop_module(session, serial, module->execution);
        /* Hooks that the failed chunk registered have seen its start and must see its end (H68). */
        unsigned failed = ls__module_dispose(session, run->key, true);
        if (failed) ls__reload_detail(run->result, "%u dispose hooks failed", failed);
    }
    ls__load_end(session, false);
    module = ls__module_find(session, run->key);
    if (!module || module->serial != serial) return;
    swap_lists(module, run);
    if (keep == LUA_NOREF) ls__ref_drop(session, &module->keep);
}

/* The hooks of the running version are called before the new one starts, and count as called even if it then fails. */
static void dispose(const struct ls_run *run)
{
    const struct ls_module *module = ls__module_find(run->session, run->key);
    if (!module || module->dispose == LUA_NOREF) return;
    unsigned failed = ls__module_dispose(run->session, run->key, true);
    ls__reload_detail(run->result, failed ? "dispose hooks called, %u failed" : "dispose hooks called", failed);
}

bool ls__reload_run(struct ls_run *run)
{
    struct ls_session *session = run->session;
    lua_State *L = session->vm.L;
    LS_ERR(err);
    dispose(run);
    struct ls_module *module = ls__module_find(session, run->key);
    if (!module || !lua_checkstack(L, 8)) {
        lua_pop(L, 1);
        run->result->outcome = LS_RELOAD_SKIPPED;
        run->result->text = ls_strdup("unloaded");
        return false;
    }
    int code = ls__load_push(session, run->key, run->text, run->len, false, &err);
    if (code != 0) {
        lua_pop(L, 1);
        fail(run, &err);
        return false;
    }
    lua_pushstring(L, module->name);
    lua_pushstring(L, module->key);
    uint64_t serial = module->serial;
    int keep = module->keep;
    swap_lists(module, run);
    code = ls__module_enter(session, module, run->hash, false, &err);
    if (code == 0) {
        code = run_chunk(run, serial, &err);
        ls__module_leave(session);
    } else {
        lua_pop(L, 3);
    }
    if (code == 0) {
        ls__load_end(session, true);
        finish(run);
    } else {
        roll_back(run, serial, keep);
        fail(run, &err);
    }
    return code == 0;
}
