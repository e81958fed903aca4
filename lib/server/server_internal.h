/* What the files of this room share. Not for other rooms. Thread roles and lock order stand at the top of server.c. */
#ifndef LS_SERVER_SERVER_INTERNAL_H
#define LS_SERVER_SERVER_INTERNAL_H

#include <civetweb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/map.h"
#include "executor/executor.h"
#include "front/front.h"
#include "hotload/hotload.h"
#include "http/http.h"
#include "server/server.h"
#include "viewdef/viewdef.h"
#include "vm/chunks.h"

struct session;
struct manager;
struct socket;
struct identity;

/* What /metrics tells and nobody else counts; atomic. */
struct figures {
    atomic_ullong detections, detection_ns, reloads, reload_ns;
};

/* --- the server --- */

struct ls_server {
    /* -- immutable after open */
    struct ls_server_config config;
    struct ls_web web; /* what HTTP has to know; civetweb's user data */
    struct ls_site site;
    struct listening *listening; /* one for each --host, the first one's address is the one that is told */
    size_t listening_count;
    struct ls_tls *tls;             /* owned; NULL without TLS */
    const char **certificate_names; /* whom one of our own making is for; owned, of `listening` */
    char *url;
    char *start_url;   /* with the token, where there is one */
    char **more_urls;  /* of the other ones of `listening`; owned, NULL-terminated */
    char *fingerprint; /* of a certificate of our own making; NULL = none */
    size_t lua_files;
    int http_queue, max_polls; /* connections that wait for a worker of civetweb; polls that wait (N4) */
    struct mg_context *civetweb;
    struct ls_executor *executor;
    struct manager *manager;
    struct ls_front *front;
    struct ls_alarm trim, unfold;
    struct ls_chunks *chunks;
    struct ls_viewdefs *viewdefs;
    struct ls_hotload *hotload; /* NULL without --watch, or when it could not start (H94) */
    struct control *control;
    /* -- atomic */
    atomic_int phase;         /* enum phase */
    atomic_int sockets_open;  /* WebSockets, from the handshake on */
    atomic_int polls_waiting; /* P118 */
    struct figures figures;
    atomic_llong failed_number; /* session whose main.lua failed last: its files stay watched (H36) */
    atomic_llong trimmed_ns;    /* when memory was given back to the system last, 0 = never */
    /* -- protected by start_lock */
    pthread_mutex_t start_lock;
    pthread_cond_t started;
    /* -- protected by sockets_lock */
    pthread_mutex_t sockets_lock;
    struct socket *sockets; /* all open ones */
    /* -- protected by reports_lock */
    pthread_mutex_t reports_lock;
    struct ls_map *failures;      /* key → text last reported, so that an identical one is told once (H98) */
    struct ls_map *view_problems; /* key → text in force (H78) */
};

enum phase { PHASE_OPENING, PHASE_RUNNING, PHASE_STOPPING };

/* --- addresses.c: what is listened on; main thread --- */

/** Look up each --host. @return 0, LS_EINVAL, LS_ENOMEM */
int ls__addresses_resolve(struct ls_server *server, struct ls_err *err);
/** How many descriptors a page may need. */
int ls__addresses_files(const struct ls_server *server);
/** Bind, listen, start civetweb; TLS is made ready. @return 0, LS_EEXISTS, LS_EBUSY, LS_EINVAL, LS_EIO, LS_ENOMEM */
int ls__addresses_open(struct ls_server *server, struct ls_err *err);
/** Let the front accept what civetweb does not. @return 0, LS_EIO, LS_ENOMEM */
int ls__addresses_accept(struct ls_server *server, struct ls_err *err);
/** The addresses that people are told. @return 0, LS_ENOMEM */
int ls__addresses_name(struct ls_server *server, struct ls_err *err);
/** Before civetweb is stopped: its threads look up. */
void ls__addresses_wake(struct ls_server *server);
/** When civetweb and the front have been stopped. */
void ls__addresses_release(struct ls_server *server);

/* --- phase.c: the server as its parts see it --- */

/** Requests that wait for the start look again. Main thread. */
void ls__server_set_phase(struct ls_server *server, enum phase phase);
/** Wait until the server is ready. @return false when it is stopping. Any thread. */
bool ls__server_await_start(struct ls_server *server);
/** A page, an API client or a session has gone: what they used lies in pieces between what others still use, and the C
 * library keeps it. The system gets it soon, once for all that go until then. Any thread. */
void ls__server_trim_later(struct ls_server *server);
/** What the timer does that ls__server_trim_later() sets. */
void ls__server_trim(void *server);

/* --- session_record.c: one browser session (P27–P33) --- */

/* Where the text goes that Lua prints while an administrator's evaluation runs (C4). */
struct eval_capture {
    void *ctx;
    void (*print)(void *ctx, const char *text, size_t len);
};

struct session {
    struct ls_item end_item; /* first: the queue's last item, so that ending needs no memory */
    /* -- immutable once it has been created */
    struct manager *manager;
    struct ls_server *server;
    struct ls_queue *queue;
    char id[LS_RANDOM_ID + 1];
    char vended[24];
    int64_t vended_number, number;
    int64_t created_ns;
    /* -- atomic */
    atomic_int refs;
    atomic_int connections;  /* WebSockets, from the handshake on (Q2) */
    atomic_llong active_ns;  /* P29 */
    atomic_bool ended;       /* no longer in the maps */
    struct ls_budget budget; /* all that is kept for it (L5); frames and answers that wait outlive the backend */
    /* -- owner thread only (whoever runs the queue) */
    struct ls_backend *backend;                      /* NULL before it is made and after the end */
    struct session_timer *flush_timer, *grace_timer; /* NULL = not set */
    struct ls_idmap *timers;                         /* Lua timer handle → struct session_timer */
    struct socket *connected;                        /* WebSockets that the backend knows, each counted */
    struct identity *identities;                     /* P25, each counted */
    int tokens;                                      /* how many of them are for more than one request */
    struct eval_capture *capture;                    /* where print goes while an evaluation runs (C4) */
    /* -- protected by lock */
    pthread_mutex_t lock;
    struct ls_map *keys; /* files that a burst may concern this session with */
    /* its LuaSession while that may be told to stop; NULL when there is none, or it is being replaced */
    struct ls_session *interruptible;
    /* -- protected by the manager's lock */
    bool joined; /* by a page, an API client or a tool, at some time */
    struct session *making_next;
};

/** A record without backend. @return a use, or NULL and err: LS_ENOMEM, LS_EIO */
struct session *ls__session_new(struct ls_executor *executor, uint64_t memory_limit, struct ls_err *err);
/** One more use. @return the session */
struct session *ls__session_ref(struct session *session);
/** One use less; the last one frees it. NULL accepted. Any thread. */
void ls__session_unref(struct session *session);
/** Give back the uses of a list, and the list. */
void ls__session_unref_all(struct session **list, size_t count);
/** Something happens in the session: it does not expire (P29), and tools without a name mean it (C4). Any thread. */
void ls__session_touch(struct session *session);

/** A closure on the session's queue: `fn(session, arg)` runs when its turn comes and the session has its backend still;
 * `release(arg)` (may be NULL) follows, and is called also when the turn never comes. Any thread.
 * @param here  as in ls_queue_post
 * @param eager  of the item (executor.h)
 * @return 0; LS_ECLOSED or LS_ENOMEM when `arg` has been released already */
int ls__session_post(struct session *session, void (*fn)(struct session *session, void *arg), void *arg,
                     void (*release)(void *arg), bool here, const void *eager);
/** The same, and wait for it. Not from an item of the same session.
 * @param patience_ms  as in ls_queue_call
 * @return 0; LS_ECLOSED when it has not run because the session has ended; LS_EBUSY when its turn has not come */
int ls__session_call(struct session *session, void (*fn)(struct session *session, void *arg), void *arg,
                     int64_t patience_ms);

/* A timer: `run(session, number, arg)` is called once, on the session's queue, if the session has its backend then.
 */
struct session_timer;
typedef void (*session_timer_fn)(struct session *session, uint64_t number, void *arg);
/** @param due_ns  0 = behind the items queued now
 * @return owned, ls__session_timer_end(), also after it has run; NULL without memory, or when the server stops. Owner
 * thread. */
struct session_timer *ls__session_timer_set(struct session *session, int64_t due_ns, session_timer_fn run,
                                            uint64_t number, void *arg);
/** From now on it does not run (any more). NULL accepted. Owner thread. */
void ls__session_timer_end(struct session_timer *timer);

#define SESSION_BUSY_TEXT "The session is busy with something else; the server's log says with what."
/** How long a thread of the HTTP server waits for the turn of its request in a session: longer than one piece of work
 * may take, and not for ever, so that a session that hangs does not take all of these threads (P40a). Milliseconds. */
int64_t ls__session_patience(const struct ls_server *server);

/** Tell what runs in the session to stop, if Lua runs there at all; `for_good`: and all that is still to run there. Any
 * thread. */
void ls__session_interrupt(struct session *session, bool for_good);
/** Around the replacement of a session's VM, and at its end: which LuaSession may be interrupted. Owner thread. */
void ls__session_set_interruptible(struct session *session, struct ls_session *target);

/* One question to many sessions. Embedded in what holds the answers; each session answers in an item of its queue.
 * Counted: a session that is busy for long answers when nobody waits any more. */
struct gather {
    /* -- immutable after init */
    /* owner thread; the backend is there */
    void (*answer)(struct gather *gather, struct session *session, size_t number);
    /* all have answered or never will: on the thread of the last one; may be NULL */
    void (*over)(struct gather *gather);
    void (*release)(struct gather *gather); /* frees it */
    const void *eager;                      /* of its items (executor.h) */
    /* -- atomic */
    atomic_int refs;
    atomic_int pending; /* questions that have not ended, and one for whoever asks */
    /* -- protected by lock */
    pthread_mutex_t lock; /* the answers' too */
    pthread_cond_t ended;
    bool complete; /* `over` has been called */
    bool closed;   /* the answers are being read without the lock: nothing may be added */
};

/** @return by the argument: with one use, which ls__gather_end(), or ls__gather_wait() and ls__gather_unref(), give
 * back */
void ls__gather_init(struct gather *gather, void (*answer)(struct gather *, struct session *, size_t),
                     void (*over)(struct gather *), void (*release)(struct gather *));
/** Ask one session; `number` tells it from others. Without memory it is not asked. Never waits. */
void ls__gather_ask(struct gather *gather, struct session *session, size_t number);
/** All have been asked, and nobody waits for them. */
void ls__gather_end(struct gather *gather);
/** All have been asked: wait for them, at most `wait_ms`; then nothing is added to the answers. @return false when some
 * have not ended */
bool ls__gather_wait(struct gather *gather, int64_t wait_ms);
/** One use less; the last one calls `release`. */
void ls__gather_unref(struct gather *gather);
/* --- manager.c: the SessionManager --- */

struct manager_config {
    struct ls_executor *executor;
    uint64_t memory_limit; /* bytes a session; 0 = none */
    size_t max_sessions;   /* 0 = any number */
    int64_t timeout_ms;    /* 0 = never (P32) */
    int64_t visit_ms;      /* a session ends that nobody has joined so long after it began */
    void *ctx;             /* of the callbacks */
    /** Make what the session consists of (P30 steps 3 to 8), before anybody can find it. On the thread that asked for
     * the session.
     * @return 0; an error and err: the session ends, as any does */
    int (*on_session_created)(void *ctx, struct session *session, struct ls_err *err);
    /** Take it apart, as far as it was made (P33): the last item of its queue, on the owner thread. */
    void (*on_session_ended)(void *ctx, struct session *session);
};

/** @return owned, ls__manager_close(); NULL and err: LS_ENOMEM */
struct manager *ls__manager_open(const struct manager_config *config, struct ls_err *err);
/** From now on no session is made, and none times out. */
void ls__manager_stop(struct manager *manager);
/** Wait until each session that was ever made has been taken apart. */
void ls__manager_wait(struct manager *manager);
/** After ls__manager_wait(), when the executor is closed. NULL accepted. */
void ls__manager_close(struct manager *manager);
/** P30. With --max-sessions reached the oldest session that no page ever joined ends (Q2). @return a use of the
 * session, or NULL: LS_ELIMIT (--max-sessions), LS_ECLOSED, what main.lua raised */
struct session *ls__manager_create(struct manager *manager, struct ls_err *err);
/** A page, an API client or a tool joins: from now on the session does not make room for others (Q2). @return false
 * when it has ended. Any thread. */
bool ls__manager_join(struct manager *manager, struct session *session);
/** By internal id. @return a use, or NULL */
struct session *ls__manager_find(struct manager *manager, const char *id, size_t len);
/** By vended id, or by a unique prefix of the internal id (C4). @return a use, or NULL and err */
struct session *ls__manager_find_named(struct manager *manager, const char *name, struct ls_err *err);
/** Called by on_session_created() before any file is read: ls__manager_list_all() has the session from now on. */
void ls__manager_making(struct manager *manager, struct session *session);
/** All live sessions in order of their making; each counted. @return how many; *list is owned,
 * ls__session_unref_all() */
size_t ls__manager_list(struct manager *manager, struct session ***list);
/** The same, and those that are being made: what a save is told to, since they may have read the old text. */
size_t ls__manager_list_all(struct manager *manager, struct session ***list);
/** P33, of all that are there. Does not wait. */
void ls__manager_destroy_all(struct manager *manager);

/* --- host.c: what a backend asks of the server --- */

/** The callbacks of a session's backend. */
void ls__host_fill(struct session *session, struct ls_backend_host *host);
/** Cancel all timers of a session that ends. Owner thread. */
void ls__host_cancel_timers(struct session *session);
/** May a burst with these files concern the session? Any thread. */
bool ls__host_may_want(struct session *session, const struct ls_reload_file *files, size_t count);

/* --- websocket.c --- */

/* A WebSocket of the front (front/front.h), as its session sees it. It lives as long as that has uses. */
struct socket {
    /* -- immutable from its beginning */
    struct ls_ws *ws;
    struct ls_server *server;
    struct session *session; /* counted */
    struct ls_rights rights;
    /* -- owner thread of the session's queue only */
    struct ls_conn *conn;
    struct socket *session_next;
    bool ended_well; /* the page has said goodbye (P111); set before its end is posted */
    /* -- protected by flow_lock: messages handed to the session's queue and not yet handled (P40b) */
    pthread_mutex_t flow_lock;
    size_t waiting_frames, waiting_bytes;
    bool paused;
    /* -- protected by server->sockets_lock */
    struct socket *prev, *next;
    bool listed, over;
};

/** A request below /ws/: it is answered, or its connection becomes a WebSocket. @return the status */
int ls__websocket_begin(struct ls_request *request);
/** Send a close frame (1001) to every socket of a session (P33), or of the server with NULL. Any thread. */
void ls__websocket_close(struct ls_server *server, const struct session *session);
/** The backend's side of a session's sockets ends. Owner thread. */
void ls__websocket_disconnect_session(struct session *session);
/** Wait until no WebSocket is left, at most `ms`; then cut what is left. */
void ls__websocket_wait_all(struct ls_server *server, int64_t ms);
/** What pages use that are told nothing else (templates/client/connection.js). */
#define LS_PAGE_HEARTBEAT_MS 20000

/* http.c */

/** civetweb's begin_request: answers every request. @return the status */
int ls__http_begin_request(struct mg_connection *http);

/* pages.c, web_api.c, editor.c: each answers a request and returns the status */

/** `GET /` (P3–P6). */
int ls__pages_root(struct ls_request *request);
/** /SESSION and what is below it (P8–P16). @param rest  of the path, behind the id */
int ls__pages_session(struct ls_request *request, struct session *session, const char *rest);
/** An id that is none of a session (P8, F219). */
int ls__pages_gone(struct ls_request *request);

/** /api/TYPE (P24, P25, P118). */
int ls__api_handle(struct ls_request *request, const char *type);
/** Answer with a JSON object that has the member `error`. @return the status */
int ls__api_fail(struct ls_request *request, int status, const char *message);
/** End the identities of a session that ends. Owner thread. */
void ls__api_release_session(struct session *session);

/** /metrics: figures in Prometheus's text form, for this machine and proxies that are trusted (N23). */
int ls__metrics_send(struct ls_request *request);

/** /api/open: show a file in the editor (C2, LSESS_EDITOR). */
int ls__editor_open(struct ls_request *request);

/* --- reload.c --- */

/** The hot loader's callback: hand the burst to the sessions that it may concern. Its settling thread; never waits.
 * `ctx` is the server. */
void ls__reload_on_burst(void *ctx, struct ls_burst *burst);
/** The named files as a burst; without names all of the site's folders and all that sessions have loaded from elsewhere
 * (C1).
 * @return a use, or NULL and err */
struct ls_burst *ls__reload_burst_of(struct ls_server *server, const char *const *names, size_t count,
                                     struct ls_err *err);
/** The reload command: have the burst run in every session, those that skip it included, wait for them (not longer than
 * `wait_ms`), and append the JSON array of results (C3). */
int ls__reload_command(struct ls_server *server, struct ls_burst *burst, struct ls_buf *json, int64_t wait_ms);
/** `save_ends` of struct ls_session_host; `ctx` is the session. The saves that wait go first then. */
bool ls__reload_ends(void *ctx, struct ls_stack_files *files, int64_t waited_ns);
/** Free what has been told about files. */
void ls__reload_release(struct ls_server *server);
/** A new session hears of the view files that cannot be used (H78). Owner thread. */
void ls__reload_tell_view_problems(struct session *session);

/* --- control.c, commands.c --- */

struct control_client;
struct ls_control;
/* Runs a request and writes its answer. The client's thread. */
typedef void (*control_run_fn)(struct control_client *client, struct ls_control *request);
/** The commands of C3. */
void ls__command_run(struct control_client *client, struct ls_control *request);
/** Bind the socket and begin to serve it.
 * @param path  NULL = ls_control_default_path
 * @return owned, ls__control_close(); NULL and err: LS_EBUSY (another server has it), LS_EEXISTS, LS_EINVAL,
 * LS_EACCESS, LS_EIO, LS_ENOMEM */
struct control *ls__control_open(struct ls_server *server, const char *path, control_run_fn run, struct ls_err *err);
/** Ends all its threads. NULL accepted. */
void ls__control_close(struct control *control);
/** Remove the socket, for a process that ends with the rest in place. NULL accepted. */
void ls__control_forget(const struct control *control);
/** Borrowed; NULL without a socket. */
const char *ls__control_path(const struct control *control);
/** Is anybody watching (C3 `watch`)? */
bool ls__control_watched(struct control *control);
/** An event for those who watch: `fields` are JSON members. Never blocks. Any thread. */
void ls__control_event(struct control *control, const char *event, const char *fields);

#endif
