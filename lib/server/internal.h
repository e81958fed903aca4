/* What the files of this room share. Not for other rooms. Thread roles and lock order stand at the top of server.c. */
#ifndef LS_SERVER_INTERNAL_H
#define LS_SERVER_INTERNAL_H

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
#include "hotload/hotload.h"
#include "server/server.h"
#include "viewdef/viewdef.h"
#include "vm/chunks.h"

#define LS_ID_LEN 32 /* hex digits of an internal session id (P27) */

struct session;
struct request;
struct socket;
struct identity;

/* --- the server --- */

struct ls_server {
    /* -- immutable after open */
    struct ls_server_config config;
    const char *within;         /* with --sandbox the site's root, as ls_path_within takes it: nothing of a site outside of it is read; NULL (L13) */
    struct ls_site site;
    char *html_dir;               /* resolved at each request: it may come, go and be re-linked; NULL for a site inside the program */
    char **static_roots;          /* canonical, NULL-terminated (P19a) */
    char *display_host;           /* in the URL: [::1], 127.0.0.1, localhost */
    char *address;                /* numeric address that is bound */
    char *url;
    char *start_url;              /* with the token, where there is one */
    char token[LS_ID_LEN + 1];    /* of the start line; "" where the user of a connection can be told */
    int port;
    bool loopback;                /* listens on loopback addresses alone; what that allows is request_is_local's to say */
    struct tls *tls;              /* NULL without --cert */
    int http_port;                /* civetweb's own: an inner one behind TLS, else `port` */
    size_t lua_files;
    struct mg_context *http;
    struct ls_executor *executor;
    struct ls_chunks *chunks;
    struct ls_viewdefs *viewdefs;
    struct ls_hotload *hotload;   /* NULL without --watch, or when it could not start (H94) */
    struct control *control;
    struct writer *writer;
    /* -- atomic */
    atomic_int phase;             /* enum phase */
    atomic_int sockets_open;      /* WebSockets that hold a thread (P22a) */
    atomic_int polls_waiting;     /* P118 */
    atomic_ulong generation;      /* bursts so far */
    atomic_llong limit_logged_ns; /* when a refused connection was last logged (P22a) */
    atomic_llong last_active;     /* number of the session that was active last, for tools */
    /* -- protected by gate_lock */
    pthread_mutex_t gate_lock;
    pthread_cond_t gate_open;
    /* -- protected by sessions_lock: the SessionManager */
    pthread_mutex_t sessions_lock;
    pthread_cond_t sessions_changed; /* one has been taken apart, published, or has failed */
    struct ls_map *by_id;          /* internal id → session, published ones only (P30 step 9); counted */
    struct ls_idmap *by_vended;    /* vended number → session; counted by by_id */
    int64_t last_vended;           /* starts again with 0 when no session is left (P27) */
    int64_t last_number;           /* never used again: what the hot loader knows sessions by */
    size_t session_count;          /* published and being made */
    struct session *unjoined_first, *unjoined_last; /* published ones that no page ever joined, oldest first */
    size_t sessions_alive;         /* not yet taken apart */
    int64_t failed_number;         /* session whose main.lua failed last: its files stay watched (H36) */
    /* -- protected by timers_lock */
    pthread_mutex_t timers_lock;
    int64_t timeout_timer, heartbeat_timer, bodies_timer, trim_timer;
    int64_t trimmed_ns;            /* when memory was given back to the system last, 0 = never */
    bool timers_off;
    /* -- protected by sockets_lock */
    pthread_mutex_t sockets_lock;
    struct socket *sockets;        /* all open ones */
    /* -- protected by bodies_lock */
    pthread_mutex_t bodies_lock;
    struct body *bodies;           /* bodies of requests that are being read */
    /* -- protected by reports_lock */
    pthread_mutex_t reports_lock;
    struct ls_map *failures;       /* key → text last reported, so that an identical one is told once (H98) */
    struct ls_map *view_problems;  /* key → text in force (H78) */
};

enum phase { PHASE_OPENING, PHASE_RUNNING, PHASE_STOPPING };

/* --- Session: one browser session (P27–P33) --- */

struct session {
    struct ls_item end_item;        /* first: the queue's last item, so that ending needs no memory */
    /* -- immutable after new */
    struct ls_server *server;
    struct ls_queue *queue;
    char id[LS_ID_LEN + 1];
    char vended[24];
    int64_t vended_number, number;
    int64_t created_ns;
    int64_t created_unix;
    /* -- atomic */
    atomic_int refs;
    atomic_int connections;         /* WebSockets, from the handshake on (Q2) */
    atomic_llong active_ns;         /* P29 */
    atomic_bool ended;              /* no longer in the maps */
    struct ls_budget budget;        /* all that is kept for it (L5); frames and answers that wait outlive the backend */
    /* -- owner thread only (whoever runs the queue) */
    struct ls_backend *backend;     /* NULL before it is made and after the end */
    int64_t flush_timer, grace_timer;
    struct socket *connected;       /* WebSockets that the backend knows, each counted */
    struct identity *identities;    /* P25, each counted */
    int tokens;                     /* how many of them are for more than one request */
    struct eval_capture *capture;   /* where print goes while an evaluation runs (C4) */
    /* -- protected by lock */
    pthread_mutex_t lock;
    struct ls_idmap *timers;        /* Lua timer handle → struct lua_timer */
    struct ls_map *keys;            /* files that a burst may concern this session with */
    struct ls_session *interruptible; /* its LuaSession while that may be told to stop; NULL when there is none, or it is being replaced */
    /* -- protected by the server's sessions_lock */
    bool unjoined;                  /* in the server's list of those that no page ever joined */
    struct session *unjoined_prev, *unjoined_next;
};

/** One more use. @return the session */
struct session *session_ref(struct session *session);
void session_unref(struct session *session); /* one use less; the last one frees it. NULL accepted. Any thread */
/** Something happens in the session: it does not expire (P29), and tools without a name mean it (C4). Any thread. */
void session_touch(struct session *session);

/* manager.c */
/** Make the tables. @return 0; LS_ENOMEM and err */
int manager_open(struct ls_server *server, struct ls_err *err);
/** Wait until the last session has ended on its queue, then free the tables. */
void manager_close(struct ls_server *server);
/** P30. With --max-sessions reached the oldest session that no page ever joined ends (Q2). @return a use of the session, or NULL: LS_ELIMIT
 * (--max-sessions), LS_ECLOSED, what main.lua raised */
struct session *manager_create(struct ls_server *server, struct ls_err *err);
/** LS_ID_LEN random hex digits. @return 0, LS_EIO */
int manager_draw_id(char *id, struct ls_err *err);
/** A page, an API client or a tool joins: from now on the session does not make room for others (Q2). @return false when it has ended. Any thread. */
bool manager_join(struct session *session);
/** By internal id. @return a use, or NULL */
struct session *manager_find(struct ls_server *server, const char *id, size_t len);
/** By vended id, or by a unique prefix of the internal id (C4). @return a use, or NULL and err */
struct session *manager_find_named(struct ls_server *server, const char *name, struct ls_err *err);
/** All live sessions in order of their making; each counted. @return how many; *list is owned (ls_free) */
size_t manager_list(struct ls_server *server, struct session ***list);
/** P33; harmless when it is ended already. */
void manager_destroy(struct ls_server *server, struct session *session);
void manager_destroy_all(struct ls_server *server); /* manager_destroy for all that are alive */
/** Have sessions that are idle for too long ended, by a look every min(1 h, timeout / 4) (P32). Armed already: nothing. */
void manager_arm_timeout(struct ls_server *server);
/** A page, an API client or a session has gone: what they used lies in pieces between what others still use, and the C library keeps it. The system gets
 * it soon, once for all that go until then. Thread: any. */
void manager_trim_later(struct ls_server *server);

/** Tell what runs in the session to stop, if Lua runs there at all. Any thread. */
void session_interrupt(struct session *session);
/** Around the replacement of a session's VM, and at its end: which LuaSession may be interrupted. Owner thread. */
void session_set_interruptible(struct session *session, struct ls_session *target);

/* host.c: what a backend asks of the server */
/** Fill the table of calls for the backend of this session. */
void host_fill(struct session *session, struct ls_backend_host *host);
void host_release(struct session *session); /* frees the tables of timers and files, with the session's last use */
/** Cancel all timers of a session that ends. Owner thread. */
void host_cancel_timers(struct session *session);
/** May a burst with these files concern the session? Any thread. */
bool host_may_want(struct session *session, const struct ls_reload_file *files, size_t count);

/* A small item: run `fn(session, arg)` on the session's queue; `dropped` (may be NULL) when its turn never comes. The session is counted. */
int session_post(struct session *session, void (*fn)(struct session *session, void *arg), void (*dropped)(void *arg), void *arg, bool here);
/** Post and wait. @return 0, LS_ECLOSED when the session has ended */
int session_call(struct session *session, void (*fn)(void *ctx), void *ctx);

/* --- websocket.c, outbox.c --- */

struct out_frame {
    struct out_frame *next;
    struct ls_bytes *bytes; /* counted; payload */
    unsigned char head[10];
    size_t head_len, done;  /* bytes written of head and payload together */
};

struct socket {
    /* -- immutable after the handshake */
    struct ls_server *server;
    struct session *session;      /* counted */
    struct ls_rights rights;
    /* -- atomic */
    atomic_int refs;
    atomic_llong last_in_ns, last_out_ns;
    atomic_int pings_unanswered;
    atomic_bool busy;             /* the reader handles what it has read: a page's pong may lie unread meanwhile */
    /* -- owner thread of the session's queue only */
    struct ls_conn *conn;
    struct socket *session_next;
    /* -- reader thread only */
    struct ls_buf in, message;    /* bytes not parsed yet; a fragmented message so far */
    int message_opcode;           /* 0 = no message begun */
    /* -- protected by send_lock */
    pthread_mutex_t send_lock;
    int fd;                       /* civetweb's, found at the handshake; -1 when the connection is over */
    struct out_frame *out_head, *out_tail;
    size_t out_bytes;             /* of frames that have not been begun */
    bool close_sent, cut, with_writer;
    int64_t close_timer;          /* cuts a connection whose peer does not answer the close frame; holds a use */
    /* -- protected by flow_lock: frames handed to the session's queue and not yet handled (P40b) */
    pthread_mutex_t flow_lock;
    pthread_cond_t flow_free;
    size_t waiting_frames, waiting_bytes;
    bool reader_waits;
    /* -- protected by server->sockets_lock */
    struct socket *prev, *next;
};

/** Give civetweb the handlers of WebSockets below /ws, before it serves. */
void websocket_install(struct ls_server *server);
/** A request below /ws/. @return 0 when it is a well-formed upgrade that civetweb is to go on with; else it has been answered */
int websocket_begin(struct request *request);
/** civetweb closes a connection, of whatever kind. */
void websocket_abandon(const struct mg_connection *http);
void websocket_close_all(struct ls_server *server, int code); /* close every socket of the server. Any thread */
/** The backend's side of a session's sockets ends. Owner thread. */
void websocket_disconnect_session(struct session *session);
/** Wait until no WebSocket is left, at most `ms`; then cut what is left. */
void websocket_wait_all(struct ls_server *server, int64_t ms);
/** Begin to watch for silence (S6), if there is a heartbeat. */
void websocket_arm_heartbeat(struct ls_server *server);
/** Close every socket of a session (P33). Any thread. */
void websocket_close_session(struct session *session, int code);
void socket_unref(struct socket *socket); /* one use less; the last one frees it. Any thread */
/** One more use. @return the socket */
struct socket *socket_ref(struct socket *socket);

enum { WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };
/** Write or queue one frame; never blocks for long (P69). Drops the connection when its outbox is full. Any thread. */
void outbox_send(struct socket *socket, int opcode, struct ls_bytes *payload);
/** A close frame with a code; later frames are not sent. */
void outbox_close(struct socket *socket, int code, const char *reason);
/** End the connection now; the reader notices. */
void outbox_cut(struct socket *socket);
/** The connection is over: what waits is dropped, and the timer of its close too. The caller has a use. Reader thread. */
void outbox_release(struct socket *socket);
/** The thread that writes what sockets could not take at once. @return owned, writer_close(); NULL and err: LS_ENOMEM, LS_EIO */
struct writer *writer_open(struct ls_server *server, struct ls_err *err);
void writer_close(struct writer *writer); /* joins the thread; what waits is not written. NULL accepted */

/* --- tls.c --- */

/** Load OpenSSL, the certificate and its key. @return owned, tls_close(); NULL and err: LS_EINVAL, LS_ENOMEM */
struct tls *tls_open(const char *cert, const char *key, int max, struct ls_err *err);
/** Bind and begin to accept; connections go on to `inner_port` of loopback. @return the port, or -errno */
int tls_listen(struct tls *tls, const char *address, int port, int inner_port);
/** Does a connection to the inner port that has this port at its other end come from here? Any thread. */
bool tls_is_ours(struct tls *tls, int port);
/** Does it, and is a loopback address at the other end of the TLS connection that it carries? Any thread. */
bool tls_is_from_loopback(struct tls *tls, int port);
/** Is it, and did peer_is_user() say so when the connection was taken? Any thread. */
bool tls_is_from_user(struct tls *tls, int port);
/** Cuts what is open and waits for its threads. NULL accepted. */
void tls_close(struct tls *tls);

/* --- descriptor.c: what civetweb's interface does not give --- */

enum { LINGER_MS = 500 };

/* The body of a request while it is read. */
struct body {
    struct body *prev, *next;           /* protected by bodies_lock */
    const struct mg_request_info *info; /* immutable */
    int64_t since_ns;
    atomic_size_t received;
    bool late;                          /* its time is over; protected by bodies_lock */
};

/** The descriptor of a connection that this thread serves, or that is kept open. @return -1 when it is not found */
int descriptor_find(const struct mg_request_info *info);
/** Say that nothing more comes, and throw away for at most `ms` what the peer still sends: closing on unread bytes would reset the connection under the last
 * answer. Stack: 16 KiB. */
void descriptor_linger(int fd, int64_t ms);
/** Around the reading of a body, which is given a limited time (P22a); `body` is the caller's and stays in place until the end. civetweb's workers. */
void body_begin(struct ls_server *server, struct body *body, const struct mg_request_info *info);
/** @return false when its time was over */
bool body_end(struct ls_server *server, struct body *body);

/* --- HTTP --- */

struct reply {
    int status;
    const char *type;        /* Content-Type, NULL = none */
    struct ls_buf headers;   /* complete lines */
    const void *body;
    size_t len;
};
/** A reply without body; reply_send() releases it. */
void reply_init(struct reply *reply, int status, const char *type);
/** Add a header line. */
void reply_header(struct reply *reply, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
/** Write it (without body for HEAD) and release. @return the status */
int reply_send(struct reply *reply, struct mg_connection *http);
/** A short plain text. */
int reply_text(struct mg_connection *http, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/** Head only, for a body that is streamed. */
int reply_head(struct reply *reply, struct mg_connection *http, uint64_t len);

/* One request, decoded. */
struct request {
    struct ls_server *server;
    struct mg_connection *http;
    const struct mg_request_info *info;
    const char *path;      /* decoded, canonical, begins with '/' */
    size_t path_len;
    bool head;             /* HEAD */
    bool get;              /* GET or HEAD */
};

/** civetweb's begin_request: route the request (P1) and answer it. @return the status; 0: a WebSocket that civetweb goes on with */
int http_begin_request(struct mg_connection *http);
/** What civetweb could not take for a request. @return 0: it has been answered */
int http_error(struct mg_connection *http, int status, const char *message);
/** Is the token in a header's list, in whatever case? `list` may be NULL. */
bool header_has(const char *list, const char *token);
enum { PARAM_MISSING = -1, PARAM_MALFORMED = -2 }; /* MALFORMED: a bad escape, a NUL, or no room */
/** Query parameter, percent-decoded. @return length, or one of these */
int request_param(const struct request *request, const char *name, char *out, size_t cap);
/** Value of a cookie. @return length, -1 when it is absent or there is no room */
int request_cookie(const struct mg_request_info *info, const char *name, char *out, size_t cap);
/** The session's cookie: the one whose name carries our port (P9), else the plain one. @return length, -1 when both are absent */
int request_cookie_session(const struct request *request, char *out, size_t cap);
/** The whole body, at most `max` bytes. @return 0, LS_ELIMIT, LS_EIO (also when it did not come in time, P22a), LS_ENOMEM */
int request_body(const struct request *request, uint64_t max, struct ls_buf *body);
/** Wait until the server is open. @return false when it is stopping */
bool server_gate(struct ls_server *server);

/* peer.c */

/** Can it be told here which user a connection of this machine comes from? Tries with a connection of its own, and decides how peer_uid() asks. At the start. */
bool peer_can_tell(void);
/** The user who made the socket at the other end of a connection; addresses are numeric. @return the uid; -1 when the socket is closed or cannot be found.
 * Any thread. */
int64_t peer_uid(const char *peer, int peer_port, const char *self, int self_port);
/** Is that the user who serves, or root? Any thread. */
bool peer_is_user(const char *peer, int peer_port, const char *self, int self_port);
/* Replaceable by tests: ways that are not there, and what peer_uid() says. */
struct ls__peer_seams {
    bool no_diag, no_proc;
    int64_t (*uid)(void); /* NULL = ask the kernel */
};
extern struct ls__peer_seams ls__peer_seams;

/* origin.c */

/** Host and Origin (Q3, P23). @return NULL if acceptable, else a line that says which option allows it; borrowed from `text`. Any thread. */
const char *origin_refusal(const struct ls_server *server, const struct mg_request_info *info, bool needs_origin_match, struct ls_buf *text);
/** Does somebody go to this address, so that it may begin a session (P3)? Any thread. */
bool request_is_navigation(const struct ls_server *server, const struct mg_request_info *info);
/** Does the request come from a page of an --allow-origin, as its Origin or else its Referer says? Any thread. */
bool request_is_listed(const struct ls_server *server, const struct mg_request_info *info);
/** Is the sender the user who serves, at this machine, as far as can be told: may it do what is allowed only because nobody else can reach the server (P91a,
 * H100, the editor of C2, figures about the server)? The server listens on loopback, the peer is there, Host and Origin are loopback names, no proxy has left
 * a header, no --allow-origin names another machine (but with --allow-lua-property), and the peer's program is the user's or root's; where that cannot be told,
 * the token of the start line has come in its cookie. A GET or HEAD without Origin passes with `Sec-Fetch-Site: same-origin` or `none`. The one place that
 * decides this. Any thread. */
bool request_is_local(const struct ls_server *server, const struct mg_request_info *info);
/** What a connection that begins with this request may do. Any thread. */
struct ls_rights request_rights(const struct ls_server *server, const struct mg_request_info *info);
/** Find out whether the user of a connection can be told, and draw a token where not. At the start, before anything is listened to. */
int origin_open(struct ls_server *server, struct ls_err *err);
/** Log in one line each what an --allow-origin turns off, and that a token is needed. At the start. */
void origin_announce(const struct ls_server *server);
/** The request has the token of the start line as parameter `t`: the reply puts it into the cookie. */
void origin_grant(const struct request *request, struct reply *reply);

int static_serve(struct request *request);           /* P19–P21, F10, F11 */
bool static_path_ok(struct ls_server *server, const char *path, char **real); /* P19a */
/** If-None-Match / If-Modified-Since. */
bool static_not_modified(const struct request *request, const char *etag, int64_t mtime);
const char *static_mime(const char *path); /* Content-Type by extension (P19). Static */
struct ls_bytes *static_index(struct ls_server *server); /* the site's index.html, or the built-in page */
void static_preloads(struct ls_server *server, const char *page, struct ls_buf *out); /* adds links to what the page's entry module imports */

int pages_root(struct request *request);                      /* P3–P6 */
int pages_session(struct request *request, struct session *session, const char *rest); /* P8–P16 */
int pages_gone(struct request *request);                      /* P8, F219 */
int api_handle(struct request *request, const char *type);    /* P24, P25, P118 */
void api_release_session(struct session *session); /* the session's API identities end with it (P25). Owner thread */
int editor_open(struct request *request);                     /* C2, LSESS_EDITOR */

/* --- reload.c --- */

/** The hot loader has a burst (H27): take up its views and hand it to all sessions. `ctx`: the server. Does not wait for them. */
void reload_on_burst(void *ctx, struct ls_burst *burst);
/** The named files as a burst; without names all of the site's folders and all that sessions have loaded from elsewhere (C1).
 * @return a use, or NULL and err */
struct ls_burst *reload_burst_of(struct ls_server *server, const char *const *names, size_t count, struct ls_err *err);
/** The reload command: have the burst run in every session, those that skip it included, wait for them (not longer than `wait_ms`), and append the JSON array
 * of results (C3). */
int reload_command(struct ls_server *server, struct ls_burst *burst, struct ls_buf *json, int64_t wait_ms);
void reload_release(struct ls_server *server); /* frees what has been told of failures and views */
/** A new session hears of the view files that cannot be used (H78). */
void reload_apply_view_problems(struct session *session);

/* --- control.c, commands.c --- */

/** Listen at `path`, or (NULL) at the default place (C3), and start the thread. @return owned, control_close(); NULL and err */
struct control *control_open(struct ls_server *server, const char *path, struct ls_err *err);
void control_close(struct control *control); /* stop listening, end all clients, remove the socket. NULL accepted */
/** Remove the socket, for a process that ends with the rest in place. NULL accepted. */
void control_forget(const struct control *control);
const char *control_path(const struct control *control); /* where it listens. Borrowed; NULL for NULL */
/** Is anybody watching (C3 `watch`)? */
bool control_watched(struct control *control);
/** An event for those who watch: `fields` are JSON members. Never blocks. Any thread. */
void control_event(struct control *control, const char *event, const char *fields);

#endif
