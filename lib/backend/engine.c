/* One VM with its tracker: made, bound together, taken down (P30 steps 3 to 8, P33). The backend hands itself in
 * between the session and those above, because what the session tells them must be sorted out while a restart has two
 * of them (H69).
 *
 * Owner thread: the session's. It sends nothing. */
#include "backend/backend_internal.h"
#include "base/alloc.h"

/* A timer's handle as the host sees it: the engine's generation above, the session's own handle below. */
#define LS_HANDLE_BITS 48
#define LS_HANDLE_MASK (((uint64_t)1 << LS_HANDLE_BITS) - 1)

static uint64_t outer_handle(const struct ls__engine *engine, uint64_t handle)
{
    return (uint64_t)engine->generation << LS_HANDLE_BITS | (handle & LS_HANDLE_MASK);
}

/* Those above, to whom the engine's session speaks. */
static const struct ls_session_host *above(const struct ls__engine *engine)
{
    return &engine->backend->host.session;
}

static int timer_set(void *ctx, uint64_t handle, int64_t due_ns)
{
    struct ls__engine *engine = ctx;
    const struct ls_session_host *host = above(engine);
    return host->timer_set ? host->timer_set(host->ctx, outer_handle(engine, handle), due_ns) : 0;
}

static void timer_clear(void *ctx, uint64_t handle)
{
    struct ls__engine *engine = ctx;
    const struct ls_session_host *host = above(engine);
    if (host->timer_clear) host->timer_clear(host->ctx, outer_handle(engine, handle));
}

static void module_loaded(void *ctx, const char *key, const char *const *paths, size_t count)
{
    struct ls__engine *engine = ctx;
    const struct ls_session_host *host = above(engine);
    engine->backend->force_views = true;
    if (host->module_loaded && !engine->muted) host->module_loaded(host->ctx, key, paths, count);
}

static void module_wanted(void *ctx, const char *key, const char *const *paths, size_t count)
{
    struct ls__engine *engine = ctx;
    const struct ls_session_host *host = above(engine);
    if (host->module_wanted && !engine->muted) host->module_wanted(host->ctx, key, paths, count);
}

static void module_unloaded(void *ctx, const char *key)
{
    struct ls__engine *engine = ctx;
    const struct ls_session_host *host = above(engine);
    engine->backend->force_views = true;
    if (host->module_unloaded && !engine->muted) host->module_unloaded(host->ctx, key);
}

static void directory_unloaded(void *ctx, const char *dir)
{
    struct ls__engine *engine = ctx;
    const struct ls_session_host *host = above(engine);
    if (host->directory_unloaded && !engine->muted) host->directory_unloaded(host->ctx, dir);
}

static void print_text(void *ctx, const char *text, size_t len)
{
    const struct ls_session_host *host = above(ctx);
    if (host->print) host->print(host->ctx, text, len);
}

static void module_begins(void *ctx, const char *key, const char *const *paths, size_t count)
{
    const struct ls_session_host *host = above(ctx);
    if (host->module_begins) host->module_begins(host->ctx, key, paths, count);
}

static bool save_ends(void *ctx, struct ls_stack_files *files, int64_t waited_ns)
{
    const struct ls_session_host *host = above(ctx);
    return host->save_ends && host->save_ends(host->ctx, files, waited_ns);
}

/* --- VariableStore: variables that Lua code makes belong to nobody, so all connections share them (P115) --- */

static int64_t store_create(void *ctx, const struct ls_var_spec *spec, struct ls_fault *fault)
{
    struct ls__engine *engine = ctx;
    struct ls_var_spec own = *spec;
    struct ls_var *var;
    own.owner = NULL;
    own.owner_id = 0;
    if (ls_tracker_create(engine->tracker, &own, &var, fault) != 0) return 0;
    int64_t id = ls_var_id(var);
    ls__note_created(engine->backend, var);
    return id;
}

static void store_destroy(void *ctx, int64_t id)
{
    struct ls__engine *engine = ctx;
    ls__remove_variable(engine->backend, engine, id, NULL);
}

struct ls__engine *ls__engine_open(struct ls_backend *b, struct ls_err *err)
{
    struct ls__engine *engine = ls_zalloc(sizeof *engine);
    if (!engine) {
        ls_fail(err, LS_ENOMEM, "Out of memory while opening a session.");
        return NULL;
    }
    engine->backend = b;
    engine->generation = ++b->generations;
    engine->store = (struct ls_variable_store){engine, store_create, store_destroy};
    const struct ls_session_host host = {engine,          timer_set,          timer_clear, module_loaded, module_wanted,
                                         module_unloaded, directory_unloaded, print_text,  module_begins, save_ends};
    engine->session = ls_session_open(&b->config.session, &host, err);
    if (engine->session) {
        const struct ls_tracker_config config = {
            .resolver = ls_session_resolver(engine->session),
            .max_variables = b->config.max_variables,
            .max_properties = b->config.max_properties,
            .budget = b->budget,
            .diag_level = b->config.session.diag_level,
        };
        engine->tracker = ls_tracker_new(&config, err);
    }
    if (!engine->tracker) {
        ls__engine_close(engine);
        return NULL;
    }
    ls_session_bind(engine->session, engine->tracker, &engine->store);
    if (ls_session_run_main(engine->session, err) < 0) {
        engine->muted = true;
        ls__engine_close(engine);
        return NULL;
    }
    return engine;
}

void ls__engine_close(struct ls__engine *engine)
{
    if (!engine) return;
    ls_tracker_free(engine->tracker);
    engine->tracker = NULL;
    if (engine->session) ls_session_bind(engine->session, NULL, NULL);
    ls_session_close(engine->session);
    ls_free(engine);
}

bool ls__engine_timer(struct ls_backend *b, uint64_t handle)
{
    if (handle >> LS_HANDLE_BITS != b->engine->generation) return false;
    ls__begin(b);
    ls_session_run_timer(b->engine->session, handle & LS_HANDLE_MASK);
    return true;
}
