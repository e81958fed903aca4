/* SessionManager: makes, finds, times out and destroys sessions, and keeps both directions of the id mapping (P27–P35).
 *
 * The maps are shared; sessions_lock is held for look-ups only, never while Lua runs. A session is counted: the map has one use, whoever found it
 * another, and each item in its queue one more, so that a session destroyed while its queue runs finishes the item and then goes.
 *
 * Threads: any. */
#include "server/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

enum { ROOM_WAIT_S = 2 };

/* --- life of the struct --- */

struct session *session_ref(struct session *session)
{
    atomic_fetch_add(&session->refs, 1);
    return session;
}

void session_unref(struct session *session)
{
    if (session == NULL || atomic_fetch_sub(&session->refs, 1) != 1)
        return;
    host_release(session);
    ls_queue_unref(session->queue);
    pthread_mutex_destroy(&session->lock);
    ls_free(session);
}

void session_touch(struct session *session)
{
    atomic_store(&session->active_ns, ls_now_ns());
    atomic_store(&session->server->last_active, session->number);
}

/* 16 bytes of the kernel's random source (P27). Look-ups go by hash, so their time tells nothing about how much of a guess was right. */
int manager_draw_id(char *id, struct ls_err *err)
{
    unsigned char bytes[LS_ID_LEN / 2];
    size_t got = 0;
    while (got < sizeof bytes) {
        ssize_t n = getrandom(bytes + got, sizeof bytes - got, 0);
        if (n < 0 && errno != EINTR)
            return ls_fail(err, LS_EIO, "No random bytes for an id: %s.", strerror(errno));
        got += n > 0 ? (size_t)n : 0;
    }
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

static struct session *session_new(struct ls_server *server, struct ls_err *err)
{
    struct session *session = ls_zalloc(sizeof *session);
    if (session == NULL) {
        ls_fail(err, LS_ENOMEM, "Not enough memory for a session.");
        return NULL;
    }
    session->server = server;
    atomic_store(&session->refs, 1);
    pthread_mutex_init(&session->lock, NULL);
    ls_budget_init(&session->budget, server->config.memory_limit);
    session->created_ns = ls_now_ns();
    session->created_unix = (int64_t)time(NULL);
    session->timers = ls_idmap_new();
    session->keys = ls_map_new();
    session->queue = ls_queue_new(server->executor, err);
    if (session->timers == NULL || session->keys == NULL)
        ls_fail(err, LS_ENOMEM, "Not enough memory for a session.");
    if (session->queue == NULL || session->timers == NULL || session->keys == NULL || manager_draw_id(session->id, err) < 0) {
        session_unref(session);
        return NULL;
    }
    return session;
}

/* --- items --- */

struct job {
    struct ls_item item; /* first */
    struct session *session;
    void (*fn)(struct session *session, void *arg);
    void (*dropped)(void *arg);
    void *arg;
};

static void run_job(struct ls_item *item)
{
    struct job *job = (struct job *)item;
    struct session *session = job->session;
    job->fn(session, job->arg);
    ls_free(job);
    session_unref(session);
}

static void drop_job(struct ls_item *item)
{
    struct job *job = (struct job *)item;
    struct session *session = job->session;
    if (job->dropped != NULL)
        job->dropped(job->arg);
    ls_free(job);
    session_unref(session);
}

int session_post(struct session *session, void (*fn)(struct session *session, void *arg), void (*dropped)(void *arg), void *arg, bool here)
{
    struct job *job = ls_malloc(sizeof *job);
    if (job == NULL) {
        if (dropped != NULL)
            dropped(arg);
        return LS_ENOMEM;
    }
    *job = (struct job){.item = {.run = run_job, .drop = drop_job, .what = "a reload, or a page that came or went"}, .session = session_ref(session), .fn = fn, .dropped = dropped, .arg = arg};
    return ls_queue_post(session->queue, &job->item, here);
}

int session_call(struct session *session, void (*fn)(void *ctx), void *ctx)
{
    return ls_queue_call(session->queue, fn, ctx);
}

/* The lock keeps the VM alive while another thread flags it; the flag itself is what ls_session_interrupt allows from any thread. */
void session_interrupt(struct session *session)
{
    pthread_mutex_lock(&session->lock);
    if (session->interruptible != NULL)
        ls_session_interrupt(session->interruptible);
    pthread_mutex_unlock(&session->lock);
}

void session_set_interruptible(struct session *session, struct ls_session *target)
{
    pthread_mutex_lock(&session->lock);
    session->interruptible = target;
    pthread_mutex_unlock(&session->lock);
}

/* --- creation (P30) --- */

struct creation {
    struct session *session;
    struct ls_err *err;
};

/* Steps 3 to 8, on the session's queue. */
static void open_backend(void *ctx)
{
    struct creation *creation = ctx;
    struct session *session = creation->session;
    const struct ls_server *server = session->server;
    const struct ls_server_config *config = &server->config;
    struct ls_backend_config backend = {
        .session = {.vended_id = session->vended,
                    .site = &server->site,
                    .chunks = server->chunks,
                    .memory_limit = config->memory_limit,
                    .budget = &session->budget,
                    .inside = ls_queue_inside(session->queue),
                    .time_limit_ms = config->time_limit_ms,
                    .max_timers = config->max_timers,
                    .sandbox = config->sandbox,
                    .env = config->env,
                    .hot = server->hotload != NULL,
                    .keep_removed_methods = config->keep_removed_methods,
                    .diag_level = config->diag_level},
        .viewdefs = server->viewdefs,
        .max_variables = config->max_variables,
        .max_outbox = config->max_outbox,
        .max_properties = config->max_properties,
    };
    struct ls_backend_host host;
    host_fill(session, &host);
    session->backend = ls_backend_open(&backend, &host, creation->err);
    if (session->backend != NULL)
        session_set_interruptible(session, ls_backend_session(session->backend));
}

/* --- those that no page and no tool ever joined (Q2); called with the lock held --- */

static void list_unjoined(struct ls_server *server, struct session *session)
{
    session->unjoined = true;
    session->unjoined_prev = server->unjoined_last;
    if (server->unjoined_last != NULL)
        server->unjoined_last->unjoined_next = session;
    else
        server->unjoined_first = session;
    server->unjoined_last = session;
}

static void unlist_unjoined(struct ls_server *server, struct session *session)
{
    if (!session->unjoined)
        return;
    struct session *prev = session->unjoined_prev, *next = session->unjoined_next;
    session->unjoined = false;
    *(prev != NULL ? &prev->unjoined_next : &server->unjoined_first) = next;
    *(next != NULL ? &next->unjoined_prev : &server->unjoined_last) = prev;
}

bool manager_join(struct session *session)
{
    pthread_mutex_lock(&session->server->sessions_lock);
    unlist_unjoined(session->server, session);
    bool alive = !atomic_load(&session->ended);
    pthread_mutex_unlock(&session->server->sessions_lock);
    return alive;
}

static struct session *take_out(struct ls_server *server, struct session *session);

/* Make room for one more session, if need be by taking the oldest unjoined one out of the maps. While others are being made, one of those will be the
 * oldest soon. @return the one taken out: the map's use */
static struct session *make_room(struct ls_server *server)
{
    size_t max = server->config.max_sessions;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ROOM_WAIT_S;
    while (max > 0 && server->session_count >= max && atomic_load(&server->phase) == PHASE_RUNNING) {
        if (server->unjoined_first != NULL)
            return take_out(server, server->unjoined_first);
        if (server->session_count == ls_map_count(server->by_id) ||
            pthread_cond_clockwait(&server->sessions_changed, &server->sessions_lock, CLOCK_MONOTONIC, &until) != 0)
            break;
    }
    return NULL;
}

static int reserve_place(struct ls_server *server, struct session *session, struct session **evicted, struct ls_err *err)
{
    int rc = 0;
    size_t max = server->config.max_sessions;
    pthread_mutex_lock(&server->sessions_lock);
    *evicted = make_room(server);
    if (atomic_load(&server->phase) != PHASE_RUNNING) {
        rc = ls_fail(err, LS_ECLOSED, "The server is stopping.");
    } else if (max > 0 && server->session_count >= max) {
        rc = ls_fail(err, LS_ELIMIT, "The server has %zu sessions, the limit of --max-sessions.", max);
    } else {
        server->session_count++;
        server->sessions_alive++;
        session->vended_number = ++server->last_vended;
        session->number = ++server->last_number;
        snprintf(session->vended, sizeof session->vended, "%" PRId64, session->vended_number);
    }
    pthread_mutex_unlock(&server->sessions_lock);
    return rc;
}

/* Called with the lock held. */
static void give_back_number(struct ls_server *server, const struct session *session, bool failed)
{
    if (--server->session_count == 0)
        server->last_vended = 0;
    else if (failed && server->last_vended == session->vended_number)
        server->last_vended--;
}

enum { TRIM_DELAY_MS = 500, TRIM_PERIOD_MS = 10000 };

static void trim_memory(void *ctx, int64_t handle)
{
    (void)handle;
    struct ls_server *server = ctx;
    pthread_mutex_lock(&server->timers_lock);
    server->trim_timer = 0;
    server->trimmed_ns = ls_now_ns();
    pthread_mutex_unlock(&server->timers_lock);
    malloc_trim(0);
}

void manager_trim_later(struct ls_server *server)
{
    pthread_mutex_lock(&server->timers_lock);
    int64_t soon = ls_now_ns() + ls_ms(TRIM_DELAY_MS), next = server->trimmed_ns + ls_ms(TRIM_PERIOD_MS);
    if (server->trim_timer == 0 && !server->timers_off)
        server->trim_timer = ls_timer_set(server->executor, server->trimmed_ns > 0 && next > soon ? next : soon, trim_memory, server);
    if (server->trim_timer < 0)
        server->trim_timer = 0;
    pthread_mutex_unlock(&server->timers_lock);
}

/* Taken apart, or never put together: nothing of the session runs any more. */
static void count_gone(struct ls_server *server)
{
    pthread_mutex_lock(&server->sessions_lock);
    server->sessions_alive--;
    pthread_cond_broadcast(&server->sessions_changed);
    manager_trim_later(server);
    pthread_mutex_unlock(&server->sessions_lock);
}

static int publish(struct ls_server *server, struct session *session)
{
    pthread_mutex_lock(&server->sessions_lock);
    bool ok = atomic_load(&server->phase) == PHASE_RUNNING && ls_idmap_put(server->by_vended, session->vended_number, session, NULL);
    if (ok && !ls_map_put(server->by_id, session->id, LS_ID_LEN, session, NULL)) {
        ls_idmap_take(server->by_vended, session->vended_number);
        ok = false;
    }
    if (ok)
        list_unjoined(server, session_ref(session));
    pthread_cond_broadcast(&server->sessions_changed);
    pthread_mutex_unlock(&server->sessions_lock);
    return ok ? 0 : LS_ENOMEM;
}

/* The files of the session that failed last stay watched until another creation has been tried: saving one of them is what repairs it (H36). */
static void forget_failed(struct ls_server *server, int64_t now_failed)
{
    pthread_mutex_lock(&server->sessions_lock);
    int64_t before = server->failed_number;
    server->failed_number = now_failed;
    pthread_mutex_unlock(&server->sessions_lock);
    if (before != 0 && server->hotload != NULL)
        ls_hotload_session_ended(server->hotload, before);
}

static void begin_end(struct session *session);

static struct session *creation_failed(struct ls_server *server, struct session *session)
{
    pthread_mutex_lock(&server->sessions_lock);
    give_back_number(server, session, true);
    pthread_cond_broadcast(&server->sessions_changed);
    pthread_mutex_unlock(&server->sessions_lock);
    atomic_store(&session->ended, true);
    begin_end(session);
    session_unref(session);
    return NULL;
}

struct session *manager_create(struct ls_server *server, struct ls_err *err)
{
    struct session *session = session_new(server, err);
    if (session == NULL)
        return NULL;
    struct session *evicted;
    int rc = reserve_place(server, session, &evicted, err);
    if (evicted != NULL) {
        ls_log_session(1, evicted->vended, "session ended: no page ever joined it, and it makes room for another (--max-sessions)");
        begin_end(evicted);
        session_unref(evicted);
    }
    if (rc < 0) {
        session_unref(session);
        return NULL;
    }
    struct ls_err why = {0};
    struct creation creation = {.session = session, .err = &why};
    ls_queue_name(session->queue, session->vended);
    if (session_call(session, open_backend, &creation) < 0)
        ls_fail(&why, LS_ECLOSED, "The server is stopping.");
    if (session->backend == NULL) {
        ls_log_session(0, session->vended, "main.lua: %s", why.text); /* L34 */
        ls_fail_text(err, why.code, why.text, strlen(why.text));
        forget_failed(server, session->number);
        return creation_failed(server, session);
    }
    session_touch(session);
    reload_apply_view_problems(session);
    forget_failed(server, 0);
    if (publish(server, session) < 0) {
        ls_fail(err, LS_ECLOSED, "The session cannot be published.");
        return creation_failed(server, session);
    }
    manager_arm_timeout(server);
    ls_log_session(1, session->vended, "session created");
    return session;
}

/* --- look-ups --- */

struct session *manager_find(struct ls_server *server, const char *id, size_t len)
{
    if (len != LS_ID_LEN)
        return NULL;
    pthread_mutex_lock(&server->sessions_lock);
    struct session *session = ls_map_get(server->by_id, id, len);
    if (session != NULL)
        session_ref(session);
    pthread_mutex_unlock(&server->sessions_lock);
    return session;
}

/* Called with the lock held. *count tells how many fit. */
static struct session *find_prefix(struct ls_server *server, const char *name, int *count)
{
    struct session *found = NULL;
    *count = 0;
    for (struct ls_map_entry *e = ls_map_first(server->by_id); e != NULL; e = ls_map_next(e))
        if (strncmp(ls_map_key(e, NULL), name, strlen(name)) == 0) {
            found = ls_map_value(e);
            ++*count;
        }
    return found;
}

struct session *manager_find_named(struct ls_server *server, const char *name, struct ls_err *err)
{
    char *end = NULL;
    long long number = strtoll(name, &end, 10);
    int count = 0;
    pthread_mutex_lock(&server->sessions_lock);
    struct session *session = *name != '\0' && *end == '\0' ? ls_idmap_get(server->by_vended, number) : NULL;
    if (session == NULL && *name != '\0') {
        session = find_prefix(server, name, &count);
        if (count > 1)
            session = NULL;
    }
    if (session != NULL)
        session_ref(session);
    pthread_mutex_unlock(&server->sessions_lock);
    if (session == NULL && count > 1)
        ls_fail(err, LS_EINVAL, "%d sessions have ids that begin with '%s'.", count, name);
    else if (session == NULL)
        ls_fail(err, LS_ENOTFOUND, "There is no session '%s'.", name);
    return session;
}

size_t manager_list(struct ls_server *server, struct session ***list)
{
    size_t count = 0;
    pthread_mutex_lock(&server->sessions_lock);
    *list = ls_array(ls_map_count(server->by_id) + 1, sizeof **list);
    if (*list != NULL)
        for (struct ls_map_entry *e = ls_map_first(server->by_id); e != NULL; e = ls_map_next(e))
            (*list)[count++] = session_ref(ls_map_value(e));
    pthread_mutex_unlock(&server->sessions_lock);
    return count;
}

/* --- destruction (P33) --- */

/* The queue's last item: the batcher, the timers, the VM and the tracker go; nobody else can reach them any more. */
static void end_session(struct ls_item *item)
{
    struct session *session = (struct session *)item;
    struct ls_server *server = session->server;
    websocket_disconnect_session(session);
    api_release_session(session);
    session_set_interruptible(session, NULL);
    ls_backend_close(session->backend);
    session->backend = NULL;
    host_cancel_timers(session);
    websocket_close_session(session, 1001);
    pthread_mutex_lock(&server->sessions_lock);
    bool kept = server->failed_number == session->number;
    pthread_mutex_unlock(&server->sessions_lock);
    if (server->hotload != NULL && !kept)
        ls_hotload_session_ended(server->hotload, session->number);
    count_gone(server);
    session_unref(session);
}

/* Nothing posts to a session twice to end it: whoever took it out of the maps does, or whoever could not put it in. */
static void begin_end(struct session *session)
{
    session_ref(session);
    session->end_item = (struct ls_item){.run = end_session, .drop = end_session};
    ls_queue_end(session->queue, &session->end_item);
}

/* Out of the maps. Called with the lock held. @return the map's use */
static struct session *take_out(struct ls_server *server, struct session *session)
{
    struct session *taken = ls_map_take(server->by_id, session->id, LS_ID_LEN);
    if (taken == NULL)
        return NULL;
    ls_idmap_take(server->by_vended, session->vended_number);
    unlist_unjoined(server, session);
    give_back_number(server, session, false);
    atomic_store(&session->ended, true);
    return taken;
}

void manager_destroy(struct ls_server *server, struct session *session)
{
    pthread_mutex_lock(&server->sessions_lock);
    struct session *taken = take_out(server, session);
    pthread_mutex_unlock(&server->sessions_lock);
    if (taken == NULL)
        return;
    ls_log_session(1, session->vended, "session ended");
    begin_end(session);
    session_unref(taken);
}

void manager_destroy_all(struct ls_server *server)
{
    struct session **list;
    size_t count = manager_list(server, &list);
    for (size_t i = 0; i < count; i++) {
        manager_destroy(server, list[i]);
        session_unref(list[i]);
    }
    ls_free(list);
}

/* --- timeout (P32) --- */

static void check_timeouts(void *ctx, int64_t handle)
{
    (void)handle;
    struct ls_server *server = ctx;
    int64_t limit = ls_now_ns() - ls_ms(server->config.session_timeout_ms);
    pthread_mutex_lock(&server->timers_lock);
    server->timeout_timer = 0;
    pthread_mutex_unlock(&server->timers_lock);
    struct session **list;
    size_t count = manager_list(server, &list);
    for (size_t i = 0; i < count; i++) {
        /* A session with an open connection does not expire (P29). */
        if (atomic_load(&list[i]->connections) == 0 && atomic_load(&list[i]->active_ns) < limit)
            manager_destroy(server, list[i]);
        session_unref(list[i]);
    }
    ls_free(list);
    if (count > 0)
        manager_arm_timeout(server);
}

void manager_arm_timeout(struct ls_server *server)
{
    int64_t timeout = server->config.session_timeout_ms;
    if (timeout <= 0)
        return;
    int64_t interval = timeout / 4 < 3600000 ? timeout / 4 : 3600000;
    pthread_mutex_lock(&server->timers_lock);
    if (server->timeout_timer == 0 && !server->timers_off)
        server->timeout_timer = ls_timer_set(server->executor, ls_now_ns() + ls_ms(interval > 0 ? interval : 1), check_timeouts, server);
    pthread_mutex_unlock(&server->timers_lock);
}

int manager_open(struct ls_server *server, struct ls_err *err)
{
    pthread_mutex_init(&server->sessions_lock, NULL);
    pthread_cond_init(&server->sessions_changed, NULL);
    server->by_id = ls_map_new();
    server->by_vended = ls_idmap_new();
    return server->by_id != NULL && server->by_vended != NULL ? 0 : ls_fail(err, LS_ENOMEM, "Not enough memory for the sessions.");
}

/* Sessions end on their own queues; the tables can go when the last one has. */
void manager_close(struct ls_server *server)
{
    pthread_mutex_lock(&server->sessions_lock);
    while (server->sessions_alive > 0)
        pthread_cond_wait(&server->sessions_changed, &server->sessions_lock);
    pthread_mutex_unlock(&server->sessions_lock);
    if (server->by_id != NULL)
        ls_map_free(server->by_id, NULL);
    if (server->by_vended != NULL)
        ls_idmap_free(server->by_vended, NULL);
    pthread_cond_destroy(&server->sessions_changed);
    pthread_mutex_destroy(&server->sessions_lock);
}
