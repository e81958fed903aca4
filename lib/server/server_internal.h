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
#include "sessions/sessions.h"
#include "viewdef/viewdef.h"
#include "vm/chunks.h"

struct socket;

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
    struct ls_manager *manager;
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
void ls__server_trim_later(void *server);
/** What the timer does that ls__server_trim_later() sets. */
void ls__server_trim(void *server);
#define SESSION_BUSY_TEXT "The session is busy with something else; the server's log says with what."
/** How long a thread of the HTTP server waits for the turn of its request in a session: longer than one piece of work
 * may take, and not for ever, so that a session that hangs does not take all of these threads (P40a). Milliseconds. */
int64_t ls__server_patience(const struct ls_server *server);

/* --- websocket.c --- */

/* A WebSocket of the front (front/front.h), as its session sees it. It lives as long as that has uses. */
struct socket {
    /* -- immutable from its beginning */
    struct ls_ws *ws;
    struct ls_server *server;
    struct ls_hosted *session; /* counted */
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
void ls__websocket_close(struct ls_server *server, const struct ls_hosted *session);
/** The backend's side of a session's sockets ends. Owner thread. */
void ls__websocket_disconnect_session(struct ls_hosted *session);
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
int ls__pages_session(struct ls_request *request, struct ls_hosted *session, const char *rest);
/** An id that is none of a session (P8, F219). */
int ls__pages_gone(struct ls_request *request);

/** /api/TYPE (P24, P25, P118). */
int ls__api_handle(struct ls_request *request, const char *type);
/** Answer with a JSON object that has the member `error`. @return the status */
int ls__api_fail(struct ls_request *request, int status, const char *message);
/** End the identities of a session that ends. Owner thread. */
void ls__api_release_session(struct ls_hosted *session);

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
/** Free what has been told about files. */
void ls__reload_release(struct ls_server *server);
/** A new session hears of the view files that cannot be used (H78). Owner thread. */
void ls__reload_tell_view_problems(struct ls_hosted *session);

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
