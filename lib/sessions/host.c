/* What a backend asks of its host: Lua timers, the debounce and grace timers, the hot loader's records, printed text
 * (lib/README.md: one way in, the session's queue). Each due timer becomes an item; nothing here runs Lua.
 *
 * Threads: the callbacks run on the session's owner thread, the firing of timers on the timer thread. */
#include "sessions/sessions.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "files/fspath.h"

/* --- Lua timers (L108–L116) --- */

/* of the session's budget; the timer, and its place in the map */
enum { TIMER_BYTES = 96 + LS_TIMER_BYTES };

static void clear_lua_timer(void *ctx, uint64_t handle)
{
    struct ls_hosted *session = ctx;
    struct ls_hosted_timer *timer = ls_idmap_take(session->timers, (int64_t)handle);
    if (!timer) return;
    ls_hosted_timer_end(timer);
    ls_budget_unqueue(&session->budget, TIMER_BYTES);
}

static void run_lua_timer(struct ls_hosted *session, uint64_t handle, void *arg)
{
    (void)arg;
    clear_lua_timer(session, handle);
    ls_backend_timer(session->backend, handle);
}

static int set_lua_timer(void *ctx, uint64_t handle, int64_t due_ns)
{
    struct ls_hosted *session = ctx;
    session->budget.hit = !ls_budget_queue(&session->budget, TIMER_BYTES);
    if (session->budget.hit) return LS_ENOMEM;
    struct ls_hosted_timer *timer = ls_hosted_timer_set(session, due_ns, run_lua_timer, handle, NULL);
    if (timer && ls_idmap_put(session->timers, (int64_t)handle, timer, NULL)) return 0;
    ls_hosted_timer_end(timer);
    ls_budget_unqueue(&session->budget, TIMER_BYTES);
    return LS_ENOMEM;
}

/* --- debounce and grace (P62, P114) --- */

static void set_timer(struct ls_hosted *session, struct ls_hosted_timer **timer, int64_t due_ns, ls_hosted_timer_fn run)
{
    ls_hosted_timer_end(*timer);
    *timer = due_ns != 0 ? ls_hosted_timer_set(session, due_ns, run, 0, NULL) : NULL;
    if (due_ns != 0 && !*timer) ls_log_session(0, session->vended, "Out of memory while setting a timer.");
}

static void run_flush(struct ls_hosted *session, uint64_t number, void *arg)
{
    (void)number;
    (void)arg;
    set_timer(session, &session->flush_timer, 0, NULL);
    ls_backend_flush(session->backend);
}

static void run_grace(struct ls_hosted *session, uint64_t number, void *arg)
{
    (void)number;
    (void)arg;
    set_timer(session, &session->grace_timer, 0, NULL);
    ls_backend_grace(session->backend);
    session->config->on_grace_over(session->config->ctx);
}

static void flush_at(void *ctx, int64_t due_ns)
{
    struct ls_hosted *session = ctx;
    set_timer(session, &session->flush_timer, due_ns, run_flush);
}

static void grace_at(void *ctx, int64_t due_ns)
{
    struct ls_hosted *session = ctx;
    set_timer(session, &session->grace_timer, due_ns, run_grace);
}

/* --- files (H7, H36, H90, H91) --- */

static void remember_key(struct ls_hosted *session, const char *key)
{
    ls_map_put(session->keys, key, strlen(key), session, NULL);
}

/* A burst names files by key; one that was asked for under another path, or does not exist yet, is recognised by that
 * path below the root as well. */
static void remember_files(void *ctx, const char *key, const char *const *paths, size_t count)
{
    struct ls_hosted *session = ctx;
    const char *root = session->config->root;
    pthread_mutex_lock(&session->lock);
    remember_key(session, key);
    for (size_t i = 0; root && i < count; i++) {
        char *relative = ls_path_relative(root, paths[i]);
        if (relative) remember_key(session, relative);
        ls_free(relative);
    }
    pthread_mutex_unlock(&session->lock);
}

static void module_loaded(void *ctx, const char *key, const char *const *paths, size_t count)
{
    struct ls_hosted *session = ctx;
    remember_files(session, key, paths, count);
    if (session->hotload) ls_hotload_loaded(session->hotload, session->number, key, paths, count);
}

static void module_wanted(void *ctx, const char *key, const char *const *paths, size_t count)
{
    struct ls_hosted *session = ctx;
    remember_files(session, key, paths, count);
    if (session->hotload) ls_hotload_wanted(session->hotload, session->number, key, paths, count);
}

static void module_unloaded(void *ctx, const char *key)
{
    struct ls_hosted *session = ctx;
    pthread_mutex_lock(&session->lock);
    ls_map_take(session->keys, key, strlen(key));
    pthread_mutex_unlock(&session->lock);
    if (session->hotload) ls_hotload_unloaded(session->hotload, session->number, key);
}

static void directory_unloaded(void *ctx, const char *dir)
{
    struct ls_hosted *session = ctx;
    if (session->hotload) ls_hotload_directory_unloaded(session->hotload, session->number, dir);
}

static bool has_key(const struct ls_hosted *session, const char *key)
{
    return key && ls_map_get(session->keys, key, strlen(key));
}

bool ls_hosted_may_want(struct ls_hosted *session, const struct ls_reload_file *files, size_t count)
{
    const char *root = session->config->root;
    bool wanted = false;
    pthread_mutex_lock(&session->lock);
    for (size_t i = 0; i < count && !wanted; i++) {
        char *relative = root && files[i].path ? ls_path_relative(root, files[i].path) : NULL;
        wanted = has_key(session, files[i].key) || has_key(session, files[i].old_key) || has_key(session, relative);
        ls_free(relative);
    }
    pthread_mutex_unlock(&session->lock);
    return wanted;
}

static void print_text(void *ctx, const char *text, size_t len)
{
    struct ls_hosted *session = ctx;
    if (session->capture) session->capture->print(session->capture->ctx, text, len);
}

/* What runs, and hides its own fix: a save of it goes first (R17). */
#define LONG_RUN_NS ls_ms(250)

static bool ends(const void *eager, void *ctx)
{
    const struct ls_burst *burst = eager;
    return ls_session_reload_ends(ctx, burst->files, burst->file_count);
}

static bool save_ends(void *ctx, struct ls_stack_files *files, int64_t waited_ns)
{
    struct ls_hosted *session = ctx;
    return ls_queue_running_ns(session->queue) - waited_ns > LONG_RUN_NS &&
           ls_queue_advance(session->queue, ends, files);
}

void ls_hosted_fill(struct ls_hosted *session, struct ls_backend_host *host)
{
    *host = (struct ls_backend_host){
        .ctx = session,
        .session = {.ctx = session,
                    .timer_set = set_lua_timer,
                    .timer_clear = clear_lua_timer,
                    .module_loaded = module_loaded,
                    .module_wanted = module_wanted,
                    .module_unloaded = module_unloaded,
                    .directory_unloaded = directory_unloaded,
                    .print = print_text,
                    .module_begins = remember_files,
                    .save_ends = save_ends},
        .flush_at = flush_at,
        .grace_at = grace_at,
    };
}

void ls_hosted_cancel_timers(struct ls_hosted *session)
{
    flush_at(session, 0);
    grace_at(session, 0);
    struct ls_idmap_item *first;
    while ((first = ls_idmap_first(session->timers)))
        clear_lua_timer(session, (uint64_t)ls_idmap_id(first));
}
