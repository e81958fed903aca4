/* SessionManager: makes, finds, times out and destroys sessions, and keeps both directions of the id mapping (P27–P35).
 * It knows no backend: what a session consists of is made by `on_session_created` and taken apart by
 * `on_session_ended`.
 *
 * The maps are shared; the lock is held for look-ups only, never while Lua runs.
 *
 * Threads: any. */
#include "sessions/sessions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

enum { ROOM_WAIT_MS = 2000 };

struct ls_manager {
    /* -- immutable after open */
    struct ls_manager_config config;
    struct ls_alarm timeout; /* P32 */
    struct ls_alarm visits;  /* ends sessions that nobody joins */
    /* -- protected by lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;     /* a session has been taken apart, published, or has failed; or stopping */
    struct ls_map *by_id;       /* internal id → session, published ones only (P30 step 9); counted */
    struct ls_idmap *by_vended; /* vended number → session; counted by by_id */
    int64_t last_vended;        /* starts again with 0 when no session is left (P27) */
    int64_t last_number;        /* never used again: what the hot loader knows sessions by */
    size_t count;               /* published and being made */
    size_t alive;               /* not yet taken apart */
    struct ls_hosted *making;   /* those that ls_manager_making() has told of, until they are published or fail */
    bool stopping;
};

/* --- places --- */

bool ls_manager_join(struct ls_manager *manager, struct ls_hosted *session)
{
    pthread_mutex_lock(&manager->lock);
    session->joined = true;
    bool alive = !atomic_load(&session->ended);
    pthread_mutex_unlock(&manager->lock);
    return alive;
}

static struct ls_hosted *take_out(struct ls_manager *manager, struct ls_hosted *session);

/* Make room for one more session, if need be by taking the oldest unjoined one out of the maps. While others are being
 * made, one of those will be the oldest soon. Called with the lock held. @return the one taken out: the map's use */
static struct ls_hosted *make_room(struct ls_manager *manager)
{
    size_t max = manager->config.max_sessions;
    int64_t until = ls_now_ns() + ls_ms(ROOM_WAIT_MS);
    while (max > 0 && manager->count >= max && !manager->stopping) {
        for (struct ls_map_item *e = ls_map_first(manager->by_id); e; e = ls_map_next(e)) {
            struct ls_hosted *session = ls_map_value(e);
            if (!session->joined) return take_out(manager, session);
        }
        if (manager->count == ls_map_count(manager->by_id) ||
            !ls_cond_wait_until(&manager->changed, &manager->lock, until))
            break;
    }
    return NULL;
}

static int reserve_place(struct ls_manager *manager, struct ls_hosted *session, struct ls_hosted **evicted,
                         struct ls_err *err)
{
    int rc = 0;
    size_t max = manager->config.max_sessions;
    pthread_mutex_lock(&manager->lock);
    *evicted = make_room(manager);
    if (manager->stopping) {
        rc = ls_fail(err, LS_ECLOSED, "The server is stopping.");
    } else if (max > 0 && manager->count >= max) {
        rc = ls_fail(err, LS_ELIMIT, "The server has %zu sessions, the limit of --max-sessions.", max);
    } else {
        manager->count++;
        manager->alive++;
        session->vended_number = ++manager->last_vended;
        session->number = ++manager->last_number;
        snprintf(session->vended, sizeof session->vended, "%" PRId64, session->vended_number);
    }
    pthread_mutex_unlock(&manager->lock);
    return rc;
}

/* Called with the lock held. */
static void give_back_number(struct ls_manager *manager, const struct ls_hosted *session, bool failed)
{
    if (--manager->count == 0)
        manager->last_vended = 0;
    else if (failed && manager->last_vended == session->vended_number)
        manager->last_vended--;
}

void ls_manager_making(struct ls_manager *manager, struct ls_hosted *session)
{
    pthread_mutex_lock(&manager->lock);
    LL_PREPEND2(manager->making, session, making_next);
    pthread_mutex_unlock(&manager->lock);
}

static int publish(struct ls_manager *manager, struct ls_hosted *session)
{
    pthread_mutex_lock(&manager->lock);
    bool ok = !manager->stopping && ls_idmap_put(manager->by_vended, session->vended_number, session, NULL);
    if (ok && !ls_map_put(manager->by_id, session->id, LS_RANDOM_ID, session, NULL)) {
        ls_idmap_take(manager->by_vended, session->vended_number);
        ok = false;
    }
    if (ok) {
        ls_hosted_ref(session); /* the map's use */
        LL_DELETE2(manager->making, session, making_next);
    }
    pthread_cond_broadcast(&manager->changed);
    pthread_mutex_unlock(&manager->lock);
    return ok ? 0 : LS_ENOMEM;
}

/* --- destruction (P33) --- */

/* The queue's last item; nobody else can reach what the session consists of any more. */
static void end_session(struct ls_item *item, bool turn)
{
    (void)turn;
    struct ls_hosted *session = (struct ls_hosted *)item;
    struct ls_manager *manager = session->manager;
    manager->config.on_session_ended(manager->config.ctx, session);
    pthread_mutex_lock(&manager->lock);
    manager->alive--;
    pthread_cond_broadcast(&manager->changed);
    pthread_mutex_unlock(&manager->lock);
    ls_hosted_unref(session);
}

/* Nothing posts to a session twice to end it: whoever took it out of the maps does, or whoever could not put it in. */
static void begin_end(struct ls_hosted *session)
{
    ls_hosted_ref(session);
    session->end_item = (struct ls_item){.run = end_session};
    ls_queue_end(session->queue, &session->end_item);
}

/* Out of the maps. Called with the lock held. @return the map's use */
static struct ls_hosted *take_out(struct ls_manager *manager, struct ls_hosted *session)
{
    struct ls_hosted *taken = ls_map_take(manager->by_id, session->id, LS_RANDOM_ID);
    if (!taken) return NULL;
    ls_idmap_take(manager->by_vended, session->vended_number);
    give_back_number(manager, session, false);
    atomic_store(&session->ended, true);
    return taken;
}

static void destroy(struct ls_manager *manager, struct ls_hosted *session)
{
    pthread_mutex_lock(&manager->lock);
    struct ls_hosted *taken = take_out(manager, session);
    pthread_mutex_unlock(&manager->lock);
    if (!taken) return;
    ls_log_session(1, session->vended, "session ended");
    begin_end(session);
    ls_hosted_unref(taken);
}

void ls_manager_destroy_all(struct ls_manager *manager)
{
    struct ls_hosted **list;
    size_t count = ls_manager_list(manager, &list);
    for (size_t i = 0; i < count; i++)
        destroy(manager, list[i]);
    ls_hosted_unref_all(list, count);
}

/* --- creation (P30) --- */

static struct ls_hosted *creation_failed(struct ls_manager *manager, struct ls_hosted *session)
{
    pthread_mutex_lock(&manager->lock);
    LL_DELETE2(manager->making, session, making_next);
    give_back_number(manager, session, true);
    pthread_cond_broadcast(&manager->changed);
    pthread_mutex_unlock(&manager->lock);
    atomic_store(&session->ended, true);
    begin_end(session);
    ls_hosted_unref(session);
    return NULL;
}

static void arm_timeout(struct ls_manager *manager)
{
    int64_t timeout = manager->config.timeout_ms, interval = timeout / 4 < 3600000 ? timeout / 4 : 3600000;
    if (timeout > 0) ls_alarm_set(&manager->timeout, ls_now_ns() + ls_ms(interval > 0 ? interval : 1));
}

struct ls_hosted *ls_manager_create(struct ls_manager *manager, struct ls_err *err)
{
    struct ls_hosted *session = ls__hosted_new(&manager->config, err), *evicted;
    if (!session) return NULL;
    session->manager = manager;
    int rc = reserve_place(manager, session, &evicted, err);
    if (evicted) {
        ls_log_session(1, evicted->vended,
                       "session ended: no page ever joined it, and it makes room for another (--max-sessions)");
        begin_end(evicted);
        ls_hosted_unref(evicted);
    }
    if (rc < 0) {
        ls_hosted_unref(session);
        return NULL;
    }
    ls_queue_name(session->queue, session->vended);
    if (manager->config.on_session_created(manager->config.ctx, session, err) < 0)
        return creation_failed(manager, session);
    if (publish(manager, session) < 0) {
        ls_fail(err, LS_ECLOSED, "The session cannot be published.");
        return creation_failed(manager, session);
    }
    arm_timeout(manager);
    ls_alarm_set(&manager->visits, ls_now_ns() + ls_ms(manager->config.visit_ms));
    ls_log_session(1, session->vended, "session created");
    return session;
}

/* --- look-ups --- */

struct ls_hosted *ls_manager_find(struct ls_manager *manager, const char *id, size_t len)
{
    if (len != LS_RANDOM_ID) return NULL;
    pthread_mutex_lock(&manager->lock);
    struct ls_hosted *session = ls_map_get(manager->by_id, id, len);
    if (session) ls_hosted_ref(session);
    pthread_mutex_unlock(&manager->lock);
    return session;
}

/* Called with the lock held. *count tells how many fit. */
static struct ls_hosted *find_prefix(struct ls_manager *manager, const char *name, int *count)
{
    struct ls_hosted *found = NULL;
    *count = 0;
    for (struct ls_map_item *e = ls_map_first(manager->by_id); e; e = ls_map_next(e))
        if (strncmp(ls_map_key(e, NULL), name, strlen(name)) == 0) {
            found = ls_map_value(e);
            ++*count;
        }
    return found;
}

struct ls_hosted *ls_manager_find_named(struct ls_manager *manager, const char *name, struct ls_err *err)
{
    char *end = NULL;
    long long number = strtoll(name, &end, 10);
    int count = 0;
    pthread_mutex_lock(&manager->lock);
    struct ls_hosted *session = *name != '\0' && *end == '\0' ? ls_idmap_get(manager->by_vended, number) : NULL;
    if (!session && *name != '\0') {
        session = find_prefix(manager, name, &count);
        if (count > 1) session = NULL;
    }
    if (session) ls_hosted_ref(session);
    pthread_mutex_unlock(&manager->lock);
    if (!session && count > 1)
        ls_fail(err, LS_EINVAL, "%d sessions have ids that begin with '%s'.", count, name);
    else if (!session)
        ls_fail(err, LS_ENOTFOUND, "There is no session '%s'; `lsess sessions` lists them.", name);
    return session;
}

static size_t list_sessions(struct ls_manager *manager, bool making, struct ls_hosted ***list)
{
    struct ls_hosted *first, *session;
    size_t count = 0, room;
    pthread_mutex_lock(&manager->lock);
    first = making ? manager->making : NULL;
    LL_COUNT2(first, session, room, making_next);
    *list = ls_array(ls_map_count(manager->by_id) + room + 1, sizeof **list);
    if (*list)
        for (struct ls_map_item *e = ls_map_first(manager->by_id); e; e = ls_map_next(e))
            (*list)[count++] = ls_hosted_ref(ls_map_value(e));
    for (session = first; *list && session; session = session->making_next)
        (*list)[count++] = ls_hosted_ref(session);
    pthread_mutex_unlock(&manager->lock);
    return count;
}

size_t ls_manager_list(struct ls_manager *manager, struct ls_hosted ***list)
{
    return list_sessions(manager, false, list);
}

size_t ls_manager_list_all(struct ls_manager *manager, struct ls_hosted ***list)
{
    return list_sessions(manager, true, list);
}

/* --- timeout (P32) --- */

static void check_timeouts(void *ctx)
{
    struct ls_manager *manager = ctx;
    int64_t limit = ls_now_ns() - ls_ms(manager->config.timeout_ms);
    struct ls_hosted **list;
    size_t count = ls_manager_list(manager, &list);
    for (size_t i = 0; i < count; i++)
        /* A session with an open connection does not expire (P29). */
        if (atomic_load(&list[i]->connections) == 0 && atomic_load(&list[i]->active_ns) < limit)
            destroy(manager, list[i]);
    ls_hosted_unref_all(list, count);
    if (count > 0) arm_timeout(manager);
}

/* --- visits: a health check, a link preview, a program that asks for `/` and never comes back --- */

/* Take out of the maps what nobody has joined in time. @return a chain of them, by making_next: the maps' uses; *next
 * is when the next one is due, INT64_MAX = none */
static struct ls_hosted *take_unjoined(struct ls_manager *manager, int64_t *next)
{
    struct ls_hosted *taken = NULL;
    int64_t now = ls_now_ns();
    *next = INT64_MAX;
    pthread_mutex_lock(&manager->lock);
    for (struct ls_map_item *e = ls_map_first(manager->by_id), *after; e; e = after) {
        struct ls_hosted *session = ls_map_value(e);
        int64_t due = atomic_load(&session->active_ns) + ls_ms(manager->config.visit_ms);
        after = ls_map_next(e);
        if (session->joined) continue;
        if (due <= now && take_out(manager, session))
            LL_PREPEND2(taken, session, making_next);
        else if (due < *next)
            *next = due;
    }
    pthread_mutex_unlock(&manager->lock);
    return taken;
}

static void end_visits(void *ctx)
{
    struct ls_manager *manager = ctx;
    int64_t next;
    struct ls_hosted *session = take_unjoined(manager, &next), *after;
    for (; session; session = after) {
        after = session->making_next;
        ls_log_session(1, session->vended, "session ended: no page has joined it");
        begin_end(session);
        ls_hosted_unref(session);
    }
    if (next != INT64_MAX) ls_alarm_set(&manager->visits, next);
}

/* --- opening and closing --- */

struct ls_manager *ls_manager_open(const struct ls_manager_config *config, struct ls_err *err)
{
    struct ls_manager *manager = ls_zalloc(sizeof *manager);
    if (manager) {
        manager->config = *config;
        ls_alarm_init(&manager->timeout, config->executor, check_timeouts, manager);
        ls_alarm_init(&manager->visits, config->executor, end_visits, manager);
        pthread_mutex_init(&manager->lock, NULL);
        pthread_cond_init(&manager->changed, NULL);
        manager->by_id = ls_map_new();
        manager->by_vended = ls_idmap_new();
        if (manager->by_id && manager->by_vended) return manager;
    }
    ls_fail(err, LS_ENOMEM, "Out of memory while opening the server.");
    ls_manager_close(manager);
    return NULL;
}

void ls_manager_stop(struct ls_manager *manager)
{
    ls_alarm_off(&manager->timeout);
    ls_alarm_off(&manager->visits);
    pthread_mutex_lock(&manager->lock);
    manager->stopping = true;
    pthread_cond_broadcast(&manager->changed);
    pthread_mutex_unlock(&manager->lock);
}

void ls_manager_wait(struct ls_manager *manager)
{
    pthread_mutex_lock(&manager->lock);
    while (manager->alive > 0)
        pthread_cond_wait(&manager->changed, &manager->lock);
    pthread_mutex_unlock(&manager->lock);
}

void ls_manager_close(struct ls_manager *manager)
{
    if (!manager) return;
    ls_map_free(manager->by_id, NULL);
    ls_idmap_free(manager->by_vended, NULL);
    pthread_cond_destroy(&manager->changed);
    pthread_mutex_destroy(&manager->lock);
    ls_alarm_release(&manager->timeout);
    ls_alarm_release(&manager->visits);
    ls_free(manager);
}
