/* What a backend asks of the server: Lua timers, the debounce and grace timers, the hot loader's records, printed text
 * (lib/README.md: one way in, the session's queue). Each due timer becomes an item; nothing here runs Lua.
 *
 * Threads: the callbacks run on the session's owner thread, the firing of timers on the timer thread. */
#include "server/server_internal.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "files/fspath.h"

struct lua_timer {
    struct ls_item item;     /* first */
    struct session *session; /* counted */
    uint64_t handle;         /* the session's name for it */
    int64_t set;             /* the executor's; owner thread only */
    atomic_int refs;         /* one of session->timers, one of the executor and then of the queue */
};

/* --- Lua timers (L108–L116) --- */

#define TIMER_BYTES (sizeof(struct lua_timer) + LS_TIMER_BYTES) /* of the session's budget */

static void unref_timer(struct lua_timer *timer)
{
    if (atomic_fetch_sub(&timer->refs, 1) != 1) return;
    ls_budget_unqueue(&timer->session->budget, TIMER_BYTES);
    session_unref(timer->session);
    ls_free(timer);
}

/* One that has been cleared is in the map no longer. */
static void run_lua_timer(struct ls_item *item, bool turn)
{
    struct lua_timer *timer = (struct lua_timer *)item;
    struct session *session = timer->session;
    if (turn && ls_idmap_get(session->timers, (int64_t)timer->handle) == timer) {
        ls_idmap_take(session->timers, (int64_t)timer->handle);
        unref_timer(timer);
        if (session->backend) ls_backend_timer(session->backend, timer->handle);
    }
    unref_timer(timer);
}

static void fire_lua_timer(void *ctx, int64_t handle)
{
    (void)handle;
    struct lua_timer *timer = ctx;
    ls_queue_post(timer->session->queue, &timer->item, false);
}

static void clear_lua_timer(void *ctx, uint64_t handle)
{
    struct session *session = ctx;
    struct lua_timer *timer = ls_idmap_take(session->timers, (int64_t)handle);
    if (!timer) return;
    if (timer->set > 0 && ls_timer_clear(session->server->executor, timer->set)) unref_timer(timer);
    unref_timer(timer);
}

static int set_lua_timer(void *ctx, uint64_t handle, int64_t due_ns)
{
    struct session *session = ctx;
    session->budget.hit = !ls_budget_queue(&session->budget, TIMER_BYTES);
    if (session->budget.hit) return LS_ENOMEM;
    struct lua_timer *timer = ls_malloc(sizeof *timer);
    if (!timer || !ls_idmap_put(session->timers, (int64_t)handle, timer, NULL)) {
        ls_budget_unqueue(&session->budget, TIMER_BYTES);
        ls_free(timer);
        return LS_ENOMEM;
    }
    *timer = (struct lua_timer){.item = {.run = run_lua_timer, .what = "a timer"},
                                .session = session_ref(session),
                                .handle = handle,
                                .refs = 2};
    if (due_ns == 0) { /* behind the items queued now; this thread runs the queue, so it only enqueues */
        ls_queue_post(session->queue, &timer->item, false);
        return 0;
    }
    timer->set = ls_timer_set(session->server->executor, due_ns, fire_lua_timer, timer);
    if (timer->set > 0) return 0;
    int code = (int)timer->set;
    unref_timer(timer);
    clear_lua_timer(session, handle);
    return code;
}

/* --- debounce and grace (P62, P114) --- */

static void run_flush(struct session *session, void *arg)
{
    (void)arg;
    ls_backend_flush(session->backend);
}

static void run_grace(struct session *session, void *arg)
{
    (void)arg;
    ls_backend_grace(session->backend);
    server_trim_later(session->server);
}

static void fire_flush(void *ctx, int64_t handle)
{
    (void)handle;
    session_post(ctx, run_flush, NULL, NULL, false);
    session_unref(ctx);
}

static void fire_grace(void *ctx, int64_t handle)
{
    (void)handle;
    session_post(ctx, run_grace, NULL, NULL, false);
    session_unref(ctx);
}

/* A pending timer holds a use of the session; one that cannot be cleared any more gives its use back itself. */
static void set_timer(struct session *session, int64_t *timer, int64_t due_ns, void (*fire)(void *, int64_t))
{
    struct ls_executor *executor = session->server->executor;
    if (*timer > 0 && ls_timer_clear(executor, *timer)) session_unref(session);
    *timer = 0;
    if (due_ns == 0) return;
    session_ref(session);
    *timer = ls_timer_set(executor, due_ns, fire, session);
    if (*timer < 0) {
        ls_log_session(0, session->vended, "A timer cannot be set: %s.", ls_error_name((int)*timer));
        session_unref(session);
        *timer = 0;
    }
}

static void flush_at(void *ctx, int64_t due_ns)
{
    struct session *session = ctx;
    set_timer(session, &session->flush_timer, due_ns, fire_flush);
}

static void grace_at(void *ctx, int64_t due_ns)
{
    struct session *session = ctx;
    set_timer(session, &session->grace_timer, due_ns, fire_grace);
}

/* --- files (H7, H36, H90, H91) --- */

static void remember_key(struct session *session, const char *key)
{
    ls_map_put(session->keys, key, strlen(key), session, NULL);
}

/* A burst names files by key; one that was asked for under another path, or does not exist yet, is recognised by that
 * path below the root as well. */
static void remember_files(struct session *session, const char *key, const char *const *paths, size_t count)
{
    const char *root = session->server->site.root;
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
    struct session *session = ctx;
    remember_files(session, key, paths, count);
    if (session->server->hotload) ls_hotload_loaded(session->server->hotload, session->number, key, paths, count);
}

static void module_wanted(void *ctx, const char *key, const char *const *paths, size_t count)
{
    struct session *session = ctx;
    remember_files(session, key, paths, count);
    if (session->server->hotload) ls_hotload_wanted(session->server->hotload, session->number, key, paths, count);
}

static void module_unloaded(void *ctx, const char *key)
{
    struct session *session = ctx;
    pthread_mutex_lock(&session->lock);
    ls_map_take(session->keys, key, strlen(key));
    pthread_mutex_unlock(&session->lock);
    if (session->server->hotload) ls_hotload_unloaded(session->server->hotload, session->number, key);
}

static void directory_unloaded(void *ctx, const char *dir)
{
    struct session *session = ctx;
    if (session->server->hotload) ls_hotload_directory_unloaded(session->server->hotload, session->number, dir);
}

static bool has_key(const struct session *session, const char *key)
{
    return key && ls_map_get(session->keys, key, strlen(key));
}

bool host_may_want(struct session *session, const struct ls_reload_file *files, size_t count)
{
    const char *root = session->server->site.root;
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
    struct session *session = ctx;
    if (session->capture) session->capture->print(session->capture->ctx, text, len);
}

void host_fill(struct session *session, struct ls_backend_host *host)
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
                    .print = print_text},
        .flush_at = flush_at,
        .grace_at = grace_at,
    };
}

void host_cancel_timers(struct session *session)
{
    flush_at(session, 0);
    grace_at(session, 0);
    struct ls_idmap_entry *first;
    while ((first = ls_idmap_first(session->timers)))
        clear_lua_timer(session, (uint64_t)ls_idmap_id(first));
}
