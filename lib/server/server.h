/* The server: sessions behind HTTP, WebSockets and a control socket (protocol.md sections 1 to 3, cli.md C2 and C3,
 * quality.md Q2 and Q3).
 *
 * Open it, tell people what ls_server_ready says, wait for whatever ends the program, stop it. It prints nothing by
 * itself: what people are to see goes to the log or to `on_report`. */
#ifndef LS_SERVER_SERVER_H
#define LS_SERVER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct ls_server;

/* What a save did, for the terminal (C2). Borrowed during the call. */
struct ls_save_report {
    const char *files;   /* names, the first few of many */
    const char *outcome; /* sessions touched, or why none was */
    double ms;           /* since the first event of the burst */
    /* to follow on the same line as it is: details, errors with excerpt and caret in lines of their own; "" = nothing
     * */
    const char *more;
    const char *losses; /* what the run had made and edits have replaced (H49), in lines of their own; "" = nothing */
    enum { LS_SAVE_TAKEN, LS_SAVE_IDLE, LS_SAVE_FAILED } kind;
};

struct ls_server_config {
    const char *dir;    /* the site; NULL = the built-in one named by `bundle` */
    const char *bundle; /* a name of files/embed.h such as templates/sites/contacts */
    /* As the user gave them: numeric, names that resolve, unix:PATH. NULL-terminated; NULL = 127.0.0.1 (N2) */
    const char *const *hosts;
    int port;                         /* 0 = any free one */
    bool strict_port;                 /* do not try the next 20 ports */
    const char *cert, *key;           /* PEM files; both or none: https and wss */
    const char *own_cert;             /* without them: where a certificate of our own making is kept; NULL = no https */
    const char *socket_path;          /* control socket; NULL = named after the site (C3) */
    const char *editor;               /* LSESS_EDITOR, NULL = none (C2) */
    const char *const *allow_origins; /* NULL-terminated; may be NULL (Q3) */
    const char *const *embedders;     /* NULL-terminated; may be NULL: whose pages may embed ours (Q3) */
    const char *const *static_roots;  /* NULL-terminated, absolute or below dir; may be NULL (P19a) */
    const char *const *trust_proxies; /* NULL-terminated; may be NULL: addresses and nets of proxies (N20) */
    bool trust_forwarded;             /* believe their header Forwarded */
    const char *auth_header;          /* their header with the user's name; NULL = none */
    const char *auth_file;            /* htpasswd's: whoever asks has to be in it; NULL = nobody has to (N22) */
    const char *base_path;            /* what our addresses begin with behind them; NULL = what they say (N21) */
    bool watch;                       /* hot reload (H1) */
    bool client_builtin;              /* F11: /main-*.js always answered with the built-in client */
    bool sandbox, keep_removed_methods;
    const char *const *env; /* what os.getenv answers with `sandbox`: names, NULL-terminated; may be NULL (L13) */
    int lua_property;       /* P91a: 1 for every page, 0 for none, -1 = for the user who serves */
    int diag_level;         /* P30.4 */
    int64_t debounce_ms;    /* -1 = 5 ms alone, 20 ms together (H23) */
    int64_t poll_ms;        /* 0 = only where events are missing (H87) */
    /* Limits of Q2; 0 = off, except max_connections. */
    int workers; /* 0 = number of processors, at least 2 (P40a) */
    int64_t session_timeout_ms, time_limit_ms;
    int64_t page_heartbeat_ms; /* a page that hears nothing for so long asks whether we are there (R53) */
    uint64_t memory_limit, max_frame, max_outbox;
    int max_connections, max_session_connections; /* the first is bounded by the number of files the system allows */
    size_t max_sessions, max_variables, max_properties, max_timers, max_messages;
    int http_workers;    /* threads for requests; no page holds one (N1) */
    int loops;           /* of the front; 0 = 1 */
    bool no_deflate;     /* messages are never compressed (N6) */
    int64_t ping_ms;     /* silence after which a page gets `[]` and a ping; 0 = never (S6, N11) */
    int64_t body_ms;     /* time for the body of a request, and more for what has come (P22a) */
    int64_t visit_ms;    /* a session that no page, API client or tool joins ends after this time */
    int64_t identity_ms; /* an API identity ends that long after its last request (P25) */
    /* on_report writes to where the log goes, so failures and losses of a reload are not logged as well
     * (H98) */
    bool reports_shown;
    void *report_ctx;
    /** A save was taken up. Any thread; must be short and must not call the server. May be NULL. */
    void (*on_report)(void *ctx, const struct ls_save_report *report);
};

/** Every field at its default (Q2, C2), port 8080. */
void ls_server_config_init(struct ls_server_config *config);

/* What the start lines tell (C2). Borrowed, valid until ls_server_stop. */
struct ls_server_ready {
    /* http://127.0.0.1:8080/; with ?t=TOKEN where the system does not tell which user a connection is from */
    const char *url;
    const char *const *urls; /* further ones, and unix:PATH; NULL-terminated */
    const char *fingerprint; /* SHA-256 of a certificate of our own making; NULL = none */
    const char *dir;         /* canonical site root; NULL for the built-in site */
    const char *socket_path; /* NULL if there is no control socket */
    int port;
    size_t lua_files, viewdefs;
    bool watching;
};

/** Bind, listen, load the site's templates, watch its files (H94), open the control socket. Connections are taken from
 * the kernel as soon as the port is bound; requests wait until everything is in place.
 * @param config  borrowed until ls_server_stop
 * @return owned, ls_server_stop(); NULL and err: LS_EEXISTS (every port tried is taken), LS_EBUSY (another server holds
 * the control socket), LS_ENOTFOUND (no such site), LS_EINVAL (host, certificate), LS_EIO, LS_ENOMEM
 * Thread: the program's main thread, once. Source: C2, P22a. */
struct ls_server *ls_server_open(const struct ls_server_config *config, struct ls_err *err);
/** Fill in what the start lines tell. */
void ls_server_ready(const struct ls_server *server, struct ls_server_ready *ready);
/** Stop in the order of P35, at most about 2 s for the queues, and free. NULL accepted.
 * @return false: a session is inside of a call that does not return (reading a FIFO, say). Nothing was freed, threads
 * go on; the process must end at once */
bool ls_server_stop(struct ls_server *server);

/** `lsess reload` without names (C1, SIGHUP, key r): all loaded files, in every session. Returns at once; what happened
 * goes to on_report. Thread: any. */
int ls_server_reload_all(struct ls_server *server, struct ls_err *err);
/** The table of `lsess sessions` as a JSON array (C1). Waits for each session's queue, up to a second for a busy one.
 * Thread: any. */
int ls_server_sessions_json(struct ls_server *server, struct ls_buf *out);

/** The path that the control socket of a site has when none is given (C3): a folder 0700 of the user's, the site's name
 * and a hash of its real path. The folder is `lsess` in XDG_RUNTIME_DIR, else /tmp/lsess-UID, else ~/.lsess: the first
 * of them that is nobody else's and was not made by anybody else. It is made.
 * @param dir  the site, need not be canonical; NULL = the built-in one
 * @param path  replaced
 * @param refused  folders passed over, each with the reason, are appended; may be NULL
 * @return 0, LS_EACCESS when no folder can be used, LS_ENOTFOUND
 * Thread: any, one at a time. */
int ls_control_default_path(const char *dir, struct ls_buf *path, struct ls_buf *refused, struct ls_err *err);

#endif
