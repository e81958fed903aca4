/* LuaHotLoader: opening, closing, and the settling thread.
 *
 * Threads: the watcher thread (watcher.c) forwards records into one queue; whoever calls a function of hotload.h puts a
 * message into the same queue; the settling thread takes them out in order and owns everything else. It sleeps without
 * a time limit while nothing is pending and nothing is polled. Lock order: idle_lock, then lock; neither is held while
 * calling out. The settling thread may wait for the watcher thread (a watch to be set), never the reverse.
 *
 * Refuses to wait for a VM (H40), to know sessions but by number, and to decide which session reloads (H33–H35).
 * Rules: H2, H6, H24, H85, H87, H90, H94–H96, H101. */
#include "hotload/hotload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "files/fspath.h"
#include "hotload/hotload_internal.h"

enum {
    /* records: about what 16 overflows of the kernel's queue would hold; beyond, everything is looked at again */
    MAX_QUEUED = 262144,
    POLL_MS = 500,       /* H87: interval where events are missing */
    IDLE_WAIT_MS = 2000, /* a mark that takes longer was lost with others */
};

enum message_kind {
    MESSAGE_RECORD,
    MESSAGE_LOADED,
    MESSAGE_WANTED,
    MESSAGE_UNLOADED,
    MESSAGE_DIRECTORY,
    MESSAGE_ENDED,
    MESSAGE_MARK,
    MESSAGE_STATE
};

struct ls__message {
    struct ls__message *next;
    enum message_kind kind;
    struct ls__record record;
    int64_t session;
    char *text;   /* owned: name of a record, key, directory */
    char **paths; /* owned */
    size_t path_count;
    struct ls_buf *json; /* MESSAGE_STATE: the asker waits */
    bool *done;
};

static void free_message(struct ls__message *message)
{
    for (size_t i = 0; i < message->path_count; i++)
        ls_free(message->paths[i]);
    ls_free(message->paths);
    ls_free(message->text);
    ls_free(message);
}

/* Puts it at the end of the queue; the message is taken. */
static void post(struct ls_hotload *h, struct ls__message *message)
{
    pthread_mutex_lock(&h->lock);
    if (h->last)
        h->last->next = message;
    else
        h->first = message;
    h->last = message;
    h->queued++;
    ls__wake(h);
    pthread_mutex_unlock(&h->lock);
}

static void lose(struct ls_hotload *h)
{
    pthread_mutex_lock(&h->lock);
    h->lost = true;
    ls__wake(h);
    pthread_mutex_unlock(&h->lock);
}

static struct ls__message *new_message(enum message_kind kind, const char *text)
{
    struct ls__message *message = ls_zalloc(sizeof *message);
    if (!message) return NULL;
    message->kind = kind;
    if (!text || (message->text = ls_strdup(text))) return message;
    ls_free(message);
    return NULL;
}

void ls__record_push(struct ls_hotload *h, const struct ls__record *record)
{
    pthread_mutex_lock(&h->lock);
    bool full = h->queued >= MAX_QUEUED;
    pthread_mutex_unlock(&h->lock);
    struct ls__message *message =
        full && !record->mark ? NULL : new_message(record->mark ? MESSAGE_MARK : MESSAGE_RECORD, record->name);
    if (!message) {
        lose(h);
        return;
    }
    message->record = *record;
    post(h, message);
}

static void forward(void *ctx, const struct ls__record *record)
{
    ls__record_push(ctx, record);
}

/* --- the settling thread --- */

static void write_state(struct ls_hotload *h, struct ls_buf *out)
{
    ls_buf_str(out, "{\"directories\":[");
    for (struct ls_map_item *e = ls_map_first(h->dirs); e; e = ls_map_next(e)) {
        const struct ls__dir *dir = ls_map_value(e);
        unsigned uses = dir->uses[LS__NAMES] + dir->uses[LS__CONTENT];
        if (!uses) continue;
        ls_json_open(out, NULL, '{');
        ls_json_put_str(out, "path", dir->path);
        ls_json_put_int(out, "uses", uses);
        ls_json_put_bool(out, "polled", dir->polled);
        ls_buf_char(out, '}');
    }
    ls_buf_str(out, "],\"pendingReloads\":[");
    for (struct ls_map_item *e = ls_map_first(h->pendingReloads); e; e = ls_map_next(e))
        ls_json_put_str(out, NULL, ls_map_key(e, NULL));
    ls_buf_str(out, "],\"symlinkTargets\":[");
    for (struct ls_map_item *e = ls_map_first(h->routes); e; e = ls_map_next(e)) {
        const struct ls__route *route = ls_map_value(e);
        if (!route->tree) continue;
        ls_json_open(out, NULL, '{');
        ls_json_put_str(out, "path", route->path);
        ls_json_put_str(out, "target", route->real);
        ls_buf_char(out, '}');
    }
    ls_buf_str(out, "]}");
}

static void answer(struct ls_hotload *h, const struct ls__message *message)
{
    if (message->kind == MESSAGE_STATE)
        write_state(h, message->json);
    else {
        /* Where nothing is reported, what has happened so far is found by looking. */
        if (ls__polls(h)) ls__poll(h);
        ls__mounts_look(h);
        ls__look_again(h);
    }
    pthread_mutex_lock(&h->lock);
    if (message->kind == MESSAGE_MARK) {
        h->marks_seen = message->record.mark;
        h->mark_idle = ls_map_count(h->pendingReloads) == 0;
    } else
        *message->done = true;
    pthread_cond_broadcast(&h->done);
    pthread_mutex_unlock(&h->lock);
}

static void handle(struct ls_hotload *h, struct ls__message *message)
{
    switch (message->kind) {
    case MESSAGE_RECORD:
        message->record.name = message->text;
        ls__event(h, &message->record);
        break;
    case MESSAGE_LOADED:
    case MESSAGE_WANTED:
        ls__uses_loaded(h, message->session, message->text, message->paths, message->path_count,
                        message->kind == MESSAGE_WANTED);
        break;
    case MESSAGE_UNLOADED: ls__uses_unloaded(h, message->session, message->text); break;
    case MESSAGE_DIRECTORY: ls__uses_directory(h, message->session, message->text); break;
    case MESSAGE_ENDED: ls__uses_ended(h, message->session); break;
    case MESSAGE_MARK:
    case MESSAGE_STATE: answer(h, message); break;
    }
}

/* What the clock asks for. @return when it asks next; INT64_MAX = never */
static int64_t tick(struct ls_hotload *h)
{
    int64_t now = ls_now_ns(), due;
    if (ls__polls(h) && now >= h->poll_due_ns) {
        ls__poll(h);
        ls__look_again(h);
        h->poll_due_ns = ls_now_ns() + h->poll_ns;
    }
    if (ls__pending_due(h, now) <= now || h->lock_since_ns) ls__pending_settle(h, ls_now_ns());
    if (h->unused) {
        ls__dirs_clean_up(h, now);
        ls__look_again(h);
    }
    due = ls__pending_due(h, ls_now_ns());
    if (ls__polls(h) && h->poll_due_ns < due) due = h->poll_due_ns;
    if (h->unused && now + LS__CLEAN_UP_NS < due) due = now + LS__CLEAN_UP_NS;
    return due;
}

static void *settle_main(void *arg)
{
    struct ls_hotload *h = arg;
    prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL); /* ns: the default of 50 µs would be added to every window */
    pthread_mutex_lock(&h->lock);
    while (!h->stop) {
        struct ls__message *message = h->first, *next;
        bool lost = h->lost;
        h->first = h->last = NULL;
        h->queued = 0;
        h->lost = false;
        pthread_mutex_unlock(&h->lock);
        /* First, for what was lost came before a mark that is among the messages. */
        if (lost) ls__event(h, &(struct ls__record){.wd = -1, .mask = IN_Q_OVERFLOW, .name = ""});
        for (; message; message = next) {
            next = message->next;
            handle(h, message);
            free_message(message);
        }
        ls__look_again(h);
        int64_t due = tick(h);
        pthread_mutex_lock(&h->lock);
        if (!h->first && !h->lost && !h->stop) ls__sleep(h, due);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* --- open and close --- */

static bool make_maps(struct ls_hotload *h)
{
    h->dirs = ls_map_new();
    h->wds = ls_idmap_new();
    h->routes = ls_map_new();
    h->pendingReloads = ls_map_new();
    h->known = ls_map_new();
    h->linked = ls_map_new();
    h->closed = ls_map_new();
    h->views = ls_map_new();
    h->unreadable = ls_map_new();
    h->sessions = ls_idmap_new();
    return h->dirs && h->wds && h->routes && h->pendingReloads && h->known && h->linked && h->closed && h->views &&
           h->unreadable && h->sessions;
}

/* Everything but the settling thread, which is gone or was never started. */
static void free_hotload(struct ls_hotload *h)
{
    ls__watcher_close(h->watcher);
    for (struct ls__message *message = h->first, *next; message; message = next) {
        next = message->next;
        free_message(message);
    }
    if (h->sessions) ls__uses_free(h);
    if (h->routes) ls__trees_close(h);
    if (h->pendingReloads) ls__pending_free(h);
    ls__dirs_free(h);
    ls_map_free(h->routes, NULL);
    ls_map_free(h->known, ls_free);
    ls_map_free(h->linked, NULL);
    ls_map_free(h->closed, NULL);
    ls_map_free(h->views, ls_free);
    ls_map_free(h->unreadable, NULL);
    pthread_cond_destroy(&h->done);
    ls__wake_close(h);
    pthread_mutex_destroy(&h->idle_lock);
    pthread_mutex_destroy(&h->lock);
    ls_free(h->root);
    ls_free(h->place);
    ls_free(h);
}

static int start_threads(struct ls_hotload *h, struct ls_err *err)
{
    if (h->watcher && ls__watcher_start(h->watcher, err)) return LS_EIO;
    return ls__thread_start(&h->thread, "ls-settle", settle_main, h, err);
}

/* @return 0, also without a watcher: then everything is polled (H86, H87) */
static int start_watching(struct ls_hotload *h, struct ls_err *err)
{
    LS_ERR(why);
    if (h->poll_all) return 0;
    h->watcher = ls__watcher_open(forward, h, &why);
    if (h->watcher) return 0;
    if (why.code == LS_EBUSY || why.code == LS_ENOMEM) return ls_fail(err, why.code, "%s", ls_err_text(&why));
    ls_log(0, "Hot reload: %s Files are polled every %d ms instead.", ls_err_text(&why), POLL_MS);
    return 0;
}

struct ls_hotload *ls_hotload_open(const struct ls_hotload_config *config, struct ls_err *err)
{
    struct ls_hotload *h = ls_zalloc(sizeof *h);
    if (!h) {
        ls_fail(err, LS_ENOMEM, "Out of memory while starting hot reload.");
        return NULL;
    }
    pthread_mutex_init(&h->lock, NULL);
    pthread_mutex_init(&h->idle_lock, NULL);
    h->wake_fd = h->mounts_fd = -1;
    pthread_cond_init(&h->done, NULL);
    h->place = ls_strdup(config->root);
    h->root = ls_path_real_lenient(NULL, config->root, NULL);
    h->within = config->within;
    h->debounce_ns = config->debounce_ms < 0 ? -1 : ls_ms(config->debounce_ms);
    h->poll_all = config->poll_ms > 0;
    int usual = ls__hotload_seams.poll_ms ? ls__hotload_seams.poll_ms : POLL_MS;
    h->poll_ns = ls_ms(h->poll_all ? config->poll_ms : usual);
    h->ctx = config->ctx;
    h->on_burst = config->on_burst;
    int result =
        h->place && h->root && make_maps(h) ? 0 : ls_fail(err, LS_ENOMEM, "Out of memory while starting hot reload.");
    if (!result) result = ls__wake_open(h, err);
    if (!result) result = start_watching(h, err);
    if (!result) result = ls__trees_open(h, err);
    if (!result) result = start_threads(h, err);
    if (!result) return h;
    free_hotload(h);
    return NULL;
}

void ls_hotload_close(struct ls_hotload *h)
{
    if (!h) return;
    pthread_mutex_lock(&h->lock);
    h->stop = true;
    ls__wake(h);
    pthread_mutex_unlock(&h->lock);
    /* The settling thread first: it may be waiting for the watcher, never the other way round. */
    pthread_join(h->thread, NULL);
    free_hotload(h);
}

/* --- what sessions say --- */

static void post_use(struct ls_hotload *h, enum message_kind kind, int64_t session, const char *text,
                     const char *const *paths, size_t count)
{
    if (!h) return;
    struct ls__message *message = new_message(kind, text);
    if (message && count) message->paths = ls_array(count, sizeof *message->paths);
    for (size_t i = 0; message && message->paths && i < count; i++) {
        char *copy = ls_strdup(paths[i]);
        if (copy) message->paths[message->path_count++] = copy;
    }
    if (!message || message->path_count != count) {
        ls_log(0, "Hot reload: out of memory; changes of %s may go unnoticed in session %lld.",
               text ? text : "its files", (long long)session);
        if (message) free_message(message);
        return;
    }
    message->session = session;
    post(h, message);
}

void ls_hotload_loaded(struct ls_hotload *h, int64_t session, const char *key, const char *const *paths, size_t count)
{
    post_use(h, MESSAGE_LOADED, session, key, paths, count);
}

void ls_hotload_wanted(struct ls_hotload *h, int64_t session, const char *key, const char *const *paths, size_t count)
{
    post_use(h, MESSAGE_WANTED, session, key, paths, count);
}

void ls_hotload_unloaded(struct ls_hotload *h, int64_t session, const char *key)
{
    post_use(h, MESSAGE_UNLOADED, session, key, NULL, 0);
}

void ls_hotload_directory_unloaded(struct ls_hotload *h, int64_t session, const char *dir)
{
    post_use(h, MESSAGE_DIRECTORY, session, dir, NULL, 0);
}

void ls_hotload_session_ended(struct ls_hotload *h, int64_t session)
{
    post_use(h, MESSAGE_ENDED, session, NULL, NULL, 0);
}

/* --- questions --- */

int ls_hotload_state_json(struct ls_hotload *h, struct ls_buf *out)
{
    bool done = false;
    if (pthread_equal(pthread_self(), h->thread))
        write_state(h, out); /* asked from within on_burst */
    else {
        struct ls__message *message = new_message(MESSAGE_STATE, NULL);
        if (!message) return LS_ENOMEM;
        message->json = out;
        message->done = &done;
        post(h, message);
        pthread_mutex_lock(&h->lock);
        while (!done)
            pthread_cond_wait(&h->done, &h->lock);
        pthread_mutex_unlock(&h->lock);
    }
    return ls_buf_failed(out) ? LS_ENOMEM : 0;
}

/* Is nothing pending once a mark has passed all records of what happened before? Without a watcher it goes straight to
 * the settling thread. */
static bool pass_mark(struct ls_hotload *h)
{
    uint64_t mark = ++h->marks;
    int64_t until = ls_now_ns() + ls_ms(IDLE_WAIT_MS);
    if (h->watcher)
        ls__watcher_mark(h->watcher, mark);
    else
        ls__record_push(h, &(struct ls__record){.mark = mark, .name = ""});
    pthread_mutex_lock(&h->lock);
    while (h->marks_seen != mark && ls_cond_wait_until(&h->done, &h->lock, until))
        continue;
    bool idle = h->marks_seen == mark && h->mark_idle;
    pthread_mutex_unlock(&h->lock);
    return idle;
}

bool ls_hotload_idle(struct ls_hotload *h)
{
    pthread_mutex_lock(&h->idle_lock);
    bool idle = pass_mark(h);
    pthread_mutex_unlock(&h->idle_lock);
    return idle;
}
