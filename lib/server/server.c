/* The server: opening and stopping, in the orders of H94 and P35.
 *
 * Threads
 *   main          opens and stops; signals and the terminal are cmd's affair
 *   civetweb's    one master that accepts, and a pool (--http-workers): a thread a request, none of which a WebSocket
 *                 or a waiting poll holds (N1). Their stacks are 100 KiB, so they run no Lua and parse no messages:
 *                 they post and wait
 *   ls-loop       the front's (front/loop.c): wait for all WebSockets, read, parse, post, and run the idle queue of a
 *                 session that is quick on the spot; write on for sockets that were full (P69); ping; accept what
 *                 civetweb does not listen on (TLS, IPv6, Unix sockets, further addresses), and carry it there (N2)
 *   ls-worker     the executor's pool (P40a): run queues that were not run on the spot
 *   ls-timer      calls due timers, which post items; ends sessions that timed out
 *   ls-control    accepts on the control socket; one thread a client connection
 *   hot loader's  one that waits for inotify, one that settles bursts and hands them over
 *
 * Lock order, outermost first; none of them is held while Lua runs or while civetweb is called:
 *   start_lock
 *   manager->lock                     the SessionManager's maps
 *   reports_lock                      what has been told about files
 *   bodies_lock                       heads and bodies of requests that are being read
 *   sockets_lock                      the list of open WebSockets
 *   gather->lock                      answers of the sessions that have been asked
 *   session->lock                     which files may concern one session, and its VM
 *   socket->flow_lock                 what of a connection waits in its session's queue
 * The front's (a WebSocket's is held across a write that does not block), the executor's (alarms included), the hot
 * loader's and the template store's locks are inside those rooms and are taken last. */
#include "server/server_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "files/embed.h"
#include "files/fspath.h"

enum { SPARE_FILES = 2048 /* what is open but for pages: files, requests, polls that wait */ };
enum { HTTP_QUEUE = 256, MAX_POLLS = 1000 };
enum { MISSED_PINGS = 2 /* and a page is cut */ };
/* What has been taken is finished (P35, at most 2 s); what is told to end then has so long, also on a busy machine. */
enum { DRAIN_TOTAL_MS = 1500, END_MS = 800 };
enum { LARGE_BLOCK = 1 << 20 /* bytes, given back when freed: the C library would raise this to 32 MiB */ };

void ls_server_config_init(struct ls_server_config *config)
{
    *config = (struct ls_server_config){
        .port = 8080,
        .lua_property = -1,
        .debounce_ms = -1,
        .session_timeout_ms = 24 * 3600 * 1000,
        .page_heartbeat_ms = LS_PAGE_HEARTBEAT_MS,
        .time_limit_ms = 5000,
        .memory_limit = (uint64_t)256 << 20,
        .max_frame = (uint64_t)64 << 20,
        .max_outbox = (uint64_t)16 << 20,
        .max_connections = 10000,
        .http_workers = 32,
        .max_session_connections = 32,
        .max_sessions = 10000,
        .max_variables = 100000,
        .max_properties = 256,
        .max_timers = 10000,
        .max_messages = 10000,
        .ping_ms = 20000,
        .body_ms = 10000,
        .visit_ms = 60000,
        .identity_ms = 120000,
    };
}

/* --- the site --- */

static char *join(const char *dir, const char *name)
{
    struct ls_buf path = LS_BUF_INIT;
    ls_path_join(&path, dir, name);
    return ls_buf_detach(&path, NULL);
}

/* The Lua files of a site for the start line; a file that several links lead to is one file. */
struct lua_count {
    const char *dir;
    struct ls_map *seen; /* device and inode */
};

static int count_lua(void *ctx, const char *rel, bool is_dir)
{
    struct lua_count *count = ctx;
    char *path = !is_dir && ls_has_suffix(rel, ".lua") ? join(count->dir, rel) : NULL;
    struct stat info;
    if (path && stat(path, &info) == 0 && S_ISREG(info.st_mode)) {
        uint64_t key[2] = {info.st_dev, info.st_ino};
        (void)ls_map_put(count->seen, (const char *)key, sizeof key, count, NULL);
    }
    ls_free(path);
    return 0;
}

static size_t count_lua_files(const char *within, const char *lua, const char *apps)
{
    const char *const dirs[] = {lua, apps};
    struct lua_count count = {.seen = ls_map_new()};
    for (size_t i = 0; i < 2 && count.seen; i++) {
        count.dir = dirs[i];
        if (dirs[i]) ls_tree_walk(within, true, dirs[i], count_lua, &count, NULL);
    }
    size_t files = count.seen ? ls_map_count(count.seen) : 0;
    ls_map_free(count.seen, NULL);
    return files;
}

static bool is_site(const char *root)
{
    static const char *const names[] = {"html", "lua", "viewdefs", "apps"};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++) {
        char *path = join(root, names[i]);
        found = path && access(path, F_OK) == 0;
        ls_free(path);
    }
    return found;
}

static int open_site_dir(struct ls_server *server, struct ls_err *err)
{
    const char *dir = server->config.dir;
    struct ls_site *site = &server->site;
    site->root = server->config.sandbox ? ls_path_real(dir, NULL) : ls_path_place(dir, NULL);
    if (!site->root) return ls_fail(err, LS_ENOTFOUND, "The folder '%s' does not exist.", dir);
    if (!ls_is_dir(site->root))
        return ls_fail(err, LS_EINVAL,
                       "'%s' is not a folder; a site is a folder with html/, lua/, viewdefs/ or apps/ in it.", dir);
    if (!is_site(site->root))
        return ls_fail(err, LS_ENOTFOUND, "'%s' is not a site: it has no html/, lua/, viewdefs/ or apps/.", dir);
    server->web.within = server->config.sandbox ? site->root : NULL;
    char *lua = join(site->root, "lua"), *html = join(site->root, "html"), *apps = join(site->root, "apps");
    site->lua_dir = lua;
    server->web.html_dir = html;
    server->lua_files = count_lua_files(server->web.within, lua, apps);
    ls_free(apps);
    return site->lua_dir && html ? 0 : ls_fail(err, LS_ENOMEM, "Out of memory while opening the site.");
}

static int open_bundle(struct ls_server *server, struct ls_err *err)
{
    const char *bundle = server->config.bundle;
    size_t count, len = strlen(bundle);
    const struct ls_embed *files = ls_embed_all(&count);
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(files[i].name, bundle, len) != 0 || files[i].name[len] != '/') continue;
        any = true;
        server->lua_files += ls_has_suffix(files[i].name, ".lua");
    }
    server->site.bundle = ls_strdup(bundle);
    return any && server->site.bundle ? 0
                                      : ls_fail(err, LS_ENOTFOUND, "This program has no built-in site '%s'.", bundle);
}

static int open_static_roots(struct ls_server *server, struct ls_err *err)
{
    const char *const *given = server->config.static_roots;
    size_t count = 0, kept = 0;
    while (given && given[count])
        count++;
    server->web.static_roots = ls_array(count + 1, sizeof *server->web.static_roots);
    if (!server->web.static_roots) return ls_fail(err, LS_ENOMEM, "Out of memory while opening the site.");
    for (size_t i = 0; i < count; i++) {
        char *path = join(server->site.root ? server->site.root : ".", given[i]);
        char *real = path ? ls_path_real(path, NULL) : NULL;
        if (real)
            server->web.static_roots[kept++] = real;
        else
            ls_log(0, "The folder '%s' of static_roots does not exist.", given[i]);
        ls_free(path);
    }
    return 0;
}

static int open_views(struct ls_server *server, struct ls_err *err)
{
    char *views = server->site.root ? join(server->site.root, "viewdefs") : NULL;
    server->viewdefs = ls_viewdefs_open(server->web.within, views, server->site.bundle, err);
    ls_free(views);
    return server->viewdefs ? 0 : LS_EIO;
}

static void open_watcher(struct ls_server *server)
{
    if (!server->config.watch || !server->site.root) return;
    LS_ERR(err);
    struct ls_hotload_config config = {.root = server->site.root,
                                       .within = server->web.within,
                                       .debounce_ms = server->config.debounce_ms,
                                       .poll_ms = server->config.poll_ms,
                                       .ctx = server,
                                       .on_burst = ls__reload_on_burst};
    server->hotload = ls_hotload_open(&config, &err);
    if (!server->hotload) /* H94: not a reason to stop */
        ls_log(0, "Hot reload cannot start, files are not watched: %s", ls_err_text(&err));
}

/* --- sessions: what one consists of (seq-session-create-backend) --- */

struct creation {
    struct ls_hosted *session;
    struct ls_err err;
};

static void detected(void *ctx, int64_t ns)
{
    struct ls_hosted *session = ctx;
    struct figures *figures = &session->server->figures;
    atomic_fetch_add_explicit(&figures->detections, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&figures->detection_ns, (unsigned long long)ns, memory_order_relaxed);
}

/* P30 steps 3 to 8, on the session's queue: LuaSession, LuaBackend with its tracker, the adapter between them,
 * main.lua; in this order (ls_backend_open). */
static void open_backend(void *ctx)
{
    struct creation *creation = ctx;
    struct ls_hosted *session = creation->session;
    const struct ls_server *server = session->server;
    const struct ls_server_config *config = &server->config;
    struct ls_backend_config backend = {
        .session = {.vended_id = session->vended,
                    .site = &server->site,
                    .chunks = server->chunks,
                    .memory_limit = config->memory_limit,
                    .budget = &session->budget,
                    .inside = ls_queue_inside(session->queue),
                    .saves = ls_queue_eager(session->queue),
                    .time_limit_ms = config->time_limit_ms,
                    .max_timers = config->max_timers,
                    .sandbox = config->sandbox,
                    .env = config->env,
                    .hot = server->hotload,
                    .keep_removed_methods = config->keep_removed_methods,
                    .diag_level = config->diag_level},
        .viewdefs = server->viewdefs,
        .max_variables = config->max_variables,
        .max_outbox = config->max_outbox,
        .max_properties = config->max_properties,
    };
    struct ls_backend_host host;
    ls_hosted_fill(session, &host);
    host.detected = detected;
    session->backend = ls_backend_open(&backend, &host, &creation->err);
    if (!session->backend) return;
    ls_hosted_set_interruptible(session, ls_backend_session(session->backend));
    ls__reload_tell_view_problems(session);
}

/* The files of the session that failed last stay watched until another creation has been tried: saving one of them is
 * what repairs it (H36). */
static void note_creation(struct ls_server *server, int64_t failed)
{
    int64_t before = atomic_exchange(&server->failed_number, failed);
    if (before != 0 && server->hotload) ls_hotload_session_ended(server->hotload, before);
}

static int on_session_created(void *ctx, struct ls_hosted *session, struct ls_err *err)
{
    struct ls_server *server = ctx;
    struct creation creation = {.session = session};
    session->server = server;
    session->hotload = server->hotload;
    ls_manager_making(server->manager, session);
    int rc = ls_queue_call(session->queue, open_backend, &creation, ls__server_patience(server));
    if (rc == LS_EBUSY)
        ls_fail(&creation.err, LS_EBUSY, "All worker threads are busy with other sessions, see the log.");
    else if (rc < 0)
        ls_fail(&creation.err, LS_ECLOSED, "The server is stopping.");
    if (!session->backend) {
        /* else main.lua has failed, which has been reported (L34) */
        if (creation.err.code == LS_ENOMEM || creation.err.code == LS_ECLOSED || creation.err.code == LS_EBUSY)
            ls_log_session(0, session->vended, "main.lua: %s", ls_err_text(&creation.err));
        note_creation(server, session->number);
        int code = creation.err.code;
        ls_err_move(err, &creation.err);
        return code;
    }
    ls_hosted_touch(session);
    note_creation(server, 0);
    return 0;
}

static void on_session_ended(void *ctx, struct ls_hosted *session)
{
    struct ls_server *server = ctx;
    ls__websocket_disconnect_session(session);
    ls__api_release_session(session);
    ls_hosted_set_interruptible(session, NULL);
    ls_backend_close(session->backend);
    session->backend = NULL;
    ls_hosted_cancel_timers(session);
    ls__websocket_close(server, session);
    if (server->hotload && atomic_load(&server->failed_number) != session->number)
        ls_hotload_session_ended(server->hotload, session->number);
    ls__server_trim_later(server);
}

/* --- opening --- */

static void unfold(void *ctx)
{
    (void)ctx;
    ls_log_unfold(NULL);
}

static void unfold_at(void *ctx, int64_t due_ns)
{
    ls_alarm_set(ctx, due_ns);
}

static int open_parts(struct ls_server *server, struct ls_err *err)
{
    const struct ls_server_config *config = &server->config;
    server->executor = ls_executor_open(config->workers, 64, err);
    if (!server->executor) return LS_EIO;
    ls_alarm_init(&server->web.bodies_late, server->executor, ls_http_bodies_look, &server->web);
    ls_alarm_init(&server->web.heads_late, server->executor, ls_http_heads_look, &server->web);
    atomic_store(&server->web.timed, true);
    ls_alarm_init(&server->trim, server->executor, ls__server_trim, server);
    ls_alarm_init(&server->unfold, server->executor, unfold, NULL);
    ls_log_fold_timer(unfold_at, &server->unfold);
    struct ls_manager_config sessions = {.executor = server->executor,
                                         .memory_limit = config->memory_limit,
                                         .max_sessions = config->max_sessions,
                                         .timeout_ms = config->session_timeout_ms,
                                         .visit_ms = config->visit_ms,
                                         .root = server->site.root,
                                         .ctx = server,
                                         .on_session_created = on_session_created,
                                         .on_session_ended = on_session_ended,
                                         .on_grace_over = ls__server_trim_later};
    server->manager = ls_manager_open(&sessions, err);
    struct ls_front_config front = {.loops = config->loops,
                                    .max_frame = config->max_frame,
                                    .max_outbox = config->max_outbox,
                                    .ping_ms = config->ping_ms,
                                    .missed_pings = MISSED_PINGS};
    server->front = server->manager ? ls_front_open(&front, err) : NULL;
    server->chunks = server->front ? ls_chunks_new(err) : NULL;
    if (!server->chunks || open_static_roots(server, err) < 0 || open_views(server, err) < 0) return LS_EIO;
    if (ls__addresses_accept(server, err) < 0 || ls__addresses_name(server, err) < 0) return LS_EIO;
    open_watcher(server);
    server->control = ls__control_open(server, config->socket_path, ls__command_run, err);
    return server->control ? 0 : LS_EIO;
}

/* A page is a descriptor, and the system bounds their number (N4). Where it allows few, half of them are for pages, and
 * requests and polls get their part: civetweb, which would try on and on to take a connection for which there is no
 * descriptor, is never to come to that. */
static void bound_connections(struct ls_server *server)
{
    struct rlimit files;
    int *most = &server->config.max_connections, each = ls__addresses_files(server);
    rlim_t wanted = (rlim_t)*most * (rlim_t)each + SPARE_FILES;
    server->http_queue = HTTP_QUEUE;
    server->max_polls = MAX_POLLS;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0) return;
    if (files.rlim_cur < wanted) {
        files.rlim_cur = files.rlim_max < wanted ? files.rlim_max : wanted;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur >= wanted) return;
    int room = (int)files.rlim_cur - SPARE_FILES, half = (int)files.rlim_cur / 2, before = *most;
    *most = (room > half ? room : half) / each;
    if (room < half) {
        int part = half / 8 > 4 ? half / 8 : 4, *workers = &server->config.http_workers;
        if (*workers > part) *workers = part;
        if (server->http_queue > part) server->http_queue = part;
        if (server->max_polls > part) server->max_polls = part;
    }
    ls_log(0, "At most %d pages can be connected, not %d: the system lets this process have %d files open (ulimit -n).",
           *most, before, (int)files.rlim_cur);
}

/* Whose folder it is decides what code runs, and as root nothing keeps it from anything. */
static void warn_of_owner(const struct ls_server *server)
{
    const char *const dirs[] = {server->site.root, server->site.lua_dir};
    struct stat info;
    for (size_t i = 0; i < 2 && geteuid() == 0; i++) {
        if (!dirs[i] || stat(dirs[i], &info) < 0 || info.st_uid == 0) continue;
        const struct passwd *user = getpwuid(info.st_uid);
        ls_log(
            0, "%s belongs to the user %s (uid %u) and is served as root: the code that %s writes there runs as root.",
            dirs[i], user ? user->pw_name : "without name", (unsigned)info.st_uid, user ? user->pw_name : "this user");
        return;
    }
}

struct ls_server *ls_server_open(const struct ls_server_config *config, struct ls_err *err)
{
    struct ls_server *server = ls_zalloc(sizeof *server);
    if (!server) {
        ls_fail(err, LS_ENOMEM, "Out of memory while opening the server.");
        return NULL;
    }
    server->config = *config;
    server->web = (struct ls_web){.server = server,
                                  .site = &server->site,
                                  .client_builtin = config->client_builtin,
                                  .watch = config->watch,
                                  .allow_origins = config->allow_origins,
                                  .embedders = config->embedders,
                                  .lua_property = config->lua_property,
                                  .trust_forwarded = config->trust_forwarded,
                                  .auth_header = config->auth_header,
                                  .base_path = config->base_path,
                                  .body_ms = config->body_ms};
    pthread_mutex_init(&server->start_lock, NULL);
    pthread_cond_init(&server->started, NULL);
    pthread_mutex_init(&server->sockets_lock, NULL);
    pthread_mutex_init(&server->web.bodies_lock, NULL);
    pthread_mutex_init(&server->reports_lock, NULL);
    server->failures = ls_map_new();
    server->view_problems = ls_map_new();
    int rc = config->dir ? open_site_dir(server, err) : open_bundle(server, err);
    mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
    if (rc == 0) rc = ls__addresses_resolve(server, err);
    if (rc == 0) bound_connections(server);
    if (rc == 0) rc = ls_http_sender_open(&server->web, config->trust_proxies, err);
    if (rc == 0) rc = ls_http_origin_open(&server->web, err);
    if (rc == 0 && config->auth_file) rc = (server->web.login = ls_login_open(config->auth_file, err)) ? 0 : LS_EINVAL;
    /* Listening comes first: the kernel takes connections while the rest is made ready, and their requests wait
     * until the server is ready. */
    if (rc == 0) rc = ls__addresses_open(server, err);
    if (rc == 0) rc = open_parts(server, err);
    if (rc < 0) {
        ls_server_stop(server);
        return NULL;
    }
    ls_http_origin_announce(&server->web);
    warn_of_owner(server);
    ls__server_set_phase(server, PHASE_RUNNING);
    return server;
}

void ls_server_ready(const struct ls_server *server, struct ls_server_ready *ready)
{
    *ready = (struct ls_server_ready){.url = server->start_url,
                                      .dir = server->site.root,
                                      .socket_path = ls__control_path(server->control),
                                      .urls = (const char *const *)server->more_urls,
                                      .fingerprint = server->fingerprint,
                                      .port = server->web.port,
                                      .lua_files = server->lua_files,
                                      .viewdefs = ls_viewdefs_count(server->viewdefs),
                                      .watching = server->hotload};
}

/* --- stopping (P35, C2) --- */

/* What the sessions have taken is done, or told to end. @param halt  nothing is begun in them any more */
static void drain_sessions(struct ls_server *server, int64_t until, bool halt)
{
    struct ls_hosted **list;
    size_t count = ls_manager_list(server->manager, &list);
    for (size_t i = 0; i < count; i++) {
        int64_t left = (until - ls_now_ns()) / 1000000;
        if (!ls_queue_drain(list[i]->queue, left > 0 ? left : 0))
            ls_log_session(1, list[i]->vended, "The session was still busy when the server stopped.");
    }
    for (size_t i = 0; i < count; i++)
        if (halt || !ls_queue_drain(list[i]->queue, 0)) ls_hosted_interrupt(list[i], true);
    ls_hosted_unref_all(list, count);
}

static void free_server(struct ls_server *server)
{
    ls__reload_release(server);
    ls_manager_close(server->manager);
    ls_alarm_release(&server->web.bodies_late);
    ls_alarm_release(&server->web.heads_late);
    ls_alarm_release(&server->trim);
    ls_log_fold_timer(NULL, NULL);
    ls_alarm_release(&server->unfold);
    ls_chunks_free(server->chunks);
    ls_viewdefs_close(server->viewdefs);
    for (char **root = server->web.static_roots; root && *root; root++)
        ls_free(*root);
    ls_free(server->web.static_roots);
    ls_free(server->web.trusted);
    ls_login_close(server->web.login);
    ls_free(server->site.root);
    ls_free(server->site.lua_dir);
    ls_free(server->site.bundle);
    ls_free(server->web.html_dir);
    ls__addresses_release(server);
    pthread_mutex_destroy(&server->start_lock);
    pthread_cond_destroy(&server->started);
    pthread_mutex_destroy(&server->sockets_lock);
    pthread_mutex_destroy(&server->web.bodies_lock);
    pthread_mutex_destroy(&server->reports_lock);
    ls_free(server);
}

bool ls_server_stop(struct ls_server *server)
{
    if (!server) return true;
    ls__server_set_phase(server, PHASE_STOPPING); /* new requests are answered 503 */
    ls_alarm_off(&server->web.bodies_late);
    ls_alarm_off(&server->web.heads_late);
    ls_alarm_off(&server->trim);
    ls_alarm_off(&server->unfold);
    if (server->manager) {
        ls_manager_stop(server->manager);
        ls__websocket_close(server, NULL);
        int64_t until = ls_now_ns() + ls_ms(DRAIN_TOTAL_MS);
        drain_sessions(server, until, false);
        ls__websocket_wait_all(server, 200);
        drain_sessions(server, until, true); /* pages had sent more meanwhile */
        ls_manager_destroy_all(server->manager);
        if (!ls_executor_settle(server->executor, until + ls_ms(END_MS), ls_ms(DRAIN_TOTAL_MS))) {
            ls_log(
                0,
                "The server ends without a session that is inside of a call which does not return (a FIFO, a device, a command, a library function).");
            ls__control_forget(server->control);
            return false;
        }
    }
    if (server->civetweb) {
        ls__addresses_wake(server);
        mg_stop(server->civetweb);
    }
    ls__control_close(server->control);
    if (server->manager) ls_manager_wait(server->manager);
    /* Bursts have been ignored since the phase changed (H95); sessions that ended just now still told the hot loader
     * so. */
    if (server->hotload) ls_hotload_close(server->hotload);
    ls_front_close(server->front); /* posts the ends of what is still open */
    ls_executor_close(server->executor);
    free_server(server);
    return true;
}
