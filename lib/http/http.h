/* One HTTP request: who sends it and what it may, its parts, its answer, files. Knows no session. Threads: civetweb's
 * workers, where nothing else is said. */
#ifndef LS_HTTP_HTTP_H
#define LS_HTTP_HTTP_H

#include <civetweb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/text.h"
#include "executor/executor.h"
#include "vm/vm.h"

struct ls_server;
struct ls_front;
struct ls_relay_peer;
struct ls_login;

/* Why a request is refused: of each kind the log tells one a minute. */
enum ls_refusal {
    LS_REFUSED_NOT,
    LS_REFUSED_HOST,
    LS_REFUSED_ORIGIN,
    LS_REFUSED_PART,    /* a part of another site's page */
    LS_REFUSED_UPGRADE, /* a WebSocket that has lost its Upgrade */
    LS_REFUSED_LIMIT,
    LS_REFUSED_LOGIN,
    LS_REFUSAL_KINDS
};

struct ls__refusals {
    atomic_llong told_ns; /* 0 = never */
    atomic_uint left_out; /* since then */
};

/* Addresses that have these bits in common; IPv4 as IPv6 has it. */
struct ls_net {
    unsigned char address[16];
    int bits;
};

/* What HTTP has to know of the server; civetweb's user data. */
struct ls_web {
    /* -- immutable while requests come */
    struct ls_server *server;   /* whose it is: for those above */
    const struct ls_site *site; /* borrowed */
    /* with --sandbox the site's root, as ls_path_within takes it: nothing of a site outside of it is read; NULL (L13)
     * */
    const char *within;
    /* owned; resolved at each request: it may come, go and be re-linked; NULL for a site inside the program */
    char *html_dir;
    char **static_roots;              /* owned; canonical, NULL-terminated (P19a) */
    bool client_builtin, watch;       /* as configured */
    const char *const *hosts;         /* borrowed; as configured, NULL-terminated */
    const char *const *allow_origins; /* borrowed; NULL-terminated, may be NULL */
    const char *const *embedders;     /* the same */
    int lua_property;                 /* as configured: -1, 0, 1 */
    struct ls_net *trusted;           /* owned; --trust-proxy */
    size_t trusted_count;
    bool trust_forwarded;
    const char *auth_header, *base_path; /* borrowed; as configured, NULL = none */
    const char *address;                 /* borrowed; numeric address that civetweb is bound to, NULL = none */
    int port;                            /* that browsers know */
    int http_port;                       /* civetweb's, of `address`: `port` where it is not 0 */
    int inner_port;                      /* civetweb's for what the front carries; 0 = none */
    struct ls_front *front;              /* borrowed; knows whom it carries */
    /* listens on loopback addresses alone; what that allows is ls_request_is_local's to say */
    bool loopback;
    struct ls_login *login;       /* owned; NULL without --auth */
    char token[LS_RANDOM_ID + 1]; /* of the start line; "" where the user of a connection can be told */
    int64_t body_ms;              /* the least time that a body is given */
    int workers;                  /* civetweb's threads, each of which a connection holds */
    /* -- atomic */
    atomic_ulong generation; /* bursts so far */
    atomic_int held;         /* workers that a connection holds */
    atomic_bool timed;       /* the alarms may be set */
    struct ls__refusals refusals[LS_REFUSAL_KINDS];
    /* -- protected by bodies_lock */
    pthread_mutex_t bodies_lock;
    struct ls_alarm bodies_late;
    struct ls__body *bodies; /* bodies of requests that are being read */
    struct ls_alarm heads_late;
    struct ls__served *served; /* requests whose head has been read */
};

/* --- handover.c: what civetweb's interface does not give --- */

enum { LS_TAKEN_FROM = 512 /* descriptors of what is taken begin here; civetweb's lie below */ };
enum { LS_HEAD_MAX = 16384 /* bytes of a request's head, and of what civetweb reads at once */ };

/** The descriptor of a connection that is open while this is called. @return -1 when it is not found. Any thread. */
int ls_http_descriptor(const struct mg_request_info *info);
/** Before civetweb is stopped: shut down what listens on its port, and the reading side of its connections, so that its
 * threads look up at once; an answer may be on its way out. */
void ls_http_wake(int port);
/** Does the peer send on, now or within `ms`? Any thread. */
bool ls_http_more_comes(const struct mg_request_info *info, int ms);
/** Another connection begins on this thread. */
void ls__handover_connection(void);
enum ls__handover_state { LS_HANDOVER_OTHER, LS_HANDOVER_SILENT, LS_HANDOVER_UNANSWERED };
/** Has nothing ever come, or has all that came been read and nothing answered?
 * @param silent_ms  since when nothing has come. Any thread. */
enum ls__handover_state ls__handover_look(int fd, int *silent_ms);
/** Count the request that this thread begins to answer.
 * @param start  of the buffer that its head is in */
void ls__handover_request(const struct mg_request_info *info, const char *start, bool chunked);
/** Take the connection of the request that this thread answers: from now on it is not civetweb's, to which nothing is
 * to be written any more; begin_request returns the status that the answer has. The request's body has been read.
 * @param early  what the peer has sent behind this request, as far as civetweb has read it, is appended; may be NULL
 * @return the descriptor, non-blocking, owned, close(); or -errno, and civetweb has the connection still: EMFILE,
 * ENFILE, ENOENT (not found); or -ENOMEM: `early` has failed, so the connection has been closed, and what civetweb
 * writes goes nowhere */
int ls_http_take(struct mg_connection *http, struct ls_buf *early);

/* --- body.c --- */

enum { LS_LINGER_MS = 500 };
/* What an answer names as the time that an idle connection is kept open, and that it is kept open (N4): the difference
 * is for the way of the answer. A connection holds a worker, so it ends with its answer where over half of them are
 * held. */
enum { LS_KEEP_ALIVE_S = 1, LS_IDLE_MS = 1500 };

/* The body of a request while it is read. */
struct ls__body {
    struct ls__body *prev, *next;       /* protected by bodies_lock */
    const struct mg_request_info *info; /* immutable */
    int64_t since_ns;
    atomic_size_t received;
    bool late; /* its time is over; protected by bodies_lock */
};

/** Say that nothing more comes, and throw away for at most `ms` what the peer still sends: closing on unread bytes
 * would reset the connection under the last answer. Stack: 16 KiB. */
void ls_http_linger(int fd, int64_t ms);
/** Around the reading of a body, which is given a limited time (P22a); `body` is the caller's and stays in place until
 * the end. civetweb's workers. */
void ls__body_begin(struct ls_web *web, struct ls__body *body, const struct mg_request_info *info);
/** @return false when its time was over */
bool ls__body_end(struct ls_web *web, struct ls__body *body);
/** What the timer does that looks for bodies whose time is over. */
void ls_http_bodies_look(void *web);

/* --- heads.c --- */

/* A request whose head has been read; of a thread. Protected by bodies_lock. */
struct ls__served {
    struct ls__served *prev, *next;
    const struct mg_request_info *info; /* NULL = in no list */
};

/** A connection begins on this thread, whose first head is given little time where few workers are left. */
void ls__head_awaited(struct ls_web *web);
/** It has come. */
void ls__head_read(const struct mg_request_info *info);
/** The connection ends. */
void ls__head_forget(struct ls_web *web);
/** What the timer does that looks for heads whose time is over. */
void ls_http_heads_look(void *web);

/* --- a request and its answer --- */

enum { LS_PREFIX = 256 };

/* Who sends a request, and by which address, as far as the connection or a proxy that is trusted says (N20). */
struct ls_sender {
    char address[INET6_ADDRSTRLEN]; /* numeric; of whoever is behind the proxies; "" = not known */
    char host[272];                 /* host[:port] by which browsers know us; "" = none is said */
    char prefix[LS_PREFIX];         /* what the path of each of our addresses begins with, "" or /tool */
    char user[sizeof((struct ls_rights *)NULL)->user]; /* whom the proxy has found (--auth-header), "" = nobody */
    bool trusted;                                      /* the connection's own peer is a proxy that is trusted */
    bool proxied;                                      /* and says that it asks for somebody else */
    bool told;                                         /* and for whom: the address has been read */
    bool secure;                                       /* browsers come by https */
};

/* One request, decoded. */
struct ls_request {
    struct ls_web *web;
    struct mg_connection *http;
    const struct mg_request_info *info;
    const char *path; /* decoded, canonical, begins with '/'; without the prefix */
    struct ls_sender sender;
    bool head; /* HEAD */
    bool get;  /* GET or HEAD */
};

/* request.c */

/** Look at the head of a request that this thread begins to answer. @return what is wrong with it, a line; or NULL */
const char *ls_request_begin(const struct mg_request_info *info);
/** No other request is to follow the one that this thread answers on its connection. */
void ls_request_end(void);
/** May none? Either the request or its answer says so, or not all of its body has been read (P22a). */
bool ls__request_is_last(void);
/** The methods that an address takes, for `Allow`. */
const char *ls_request_methods(const char *path);
/** Has its body not been read, or not all of it? */
bool ls_request_body_left(void);
/** Is the token in a header's list, in whatever case? `list` may be NULL. */
bool ls_http_header_has(const char *list, const char *token);
/** @param plus  a plus sign stands for a blank. @return length, -1 for a bad escape, a NUL, or no room */
int ls_http_percent_decode(const char *from, size_t len, char *out, size_t cap, bool plus);
enum { LS_PARAM_MISSING = -1, LS_PARAM_MALFORMED = -2 }; /* MALFORMED: a bad escape, a NUL, or no room */
/** Query parameter, percent-decoded. @return length, or one of these */
int ls_request_param(const struct ls_request *request, const char *name, char *out, size_t cap);
/** Value of a cookie. @return length, -1 when it is absent or there is no room */
int ls__request_cookie(const struct mg_request_info *info, const char *name, char *out, size_t cap);
/** The session's cookie: the one whose name carries our port (P9), else the plain one. @return length, -1 when both are
 * absent */
int ls_request_cookie_session(const struct ls_request *request, char *out, size_t cap);
/** The whole body, at most `max` bytes. @return 0, LS_ELIMIT, LS_EIO (also when it did not come in time, P22a),
 * LS_ENOMEM */
int ls_request_body(const struct ls_request *request, uint64_t max, struct ls_buf *body);

/** The canonical form of a decoded path (P2): no empty, `.` or `..` components; a slash at the end stays. `out` has
 * room for one byte more than `path`, and a NUL. */
void ls_request_canonical(const char *path, char *out);

/* outside.c */

/** Before civetweb closes the connection of a request that may still be on its way. */
void ls_http_end_early(struct mg_connection *http);
/** civetweb's http_error: what it could not take for a request. @return 0: it has been answered */
int ls_http_error(struct mg_connection *http, int status, const char *message);
/** civetweb's init_connection: one more worker is held. @return 0 */
int ls_http_connection_begins(const struct mg_connection *http, void **data);
/** First in civetweb's connection_close: one less; and an answer to what civetweb would drop without one. */
void ls_http_connection_ends(const struct mg_connection *http);

/* reply.c */

/* The mark (R54): no proxy's own answer has this header. */
#define LS_MARK      "X-Lsess"
#define LS_MARK_GONE "gone"

struct ls_reply {
    int status;
    const char *type;      /* Content-Type, NULL = none */
    struct ls_buf headers; /* complete lines */
    const void *body;      /* borrowed; NULL = it is the file's, or the caller writes it behind the head */
    size_t len;
    int fd; /* a file, borrowed, whose first bytes go with the head; -1 = none */
    off_t from;
};

/** An answer without body; ls_reply_send() ends it. */
void ls_reply_init(struct ls_reply *reply, int status, const char *type);
/** One more header line. */
void ls_reply_header(struct ls_reply *reply, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/** Write it (without body for HEAD) and release. Of a file `from` and `len` say afterwards what is left to be written
 * behind it; nothing is, if the connection is broken. @return the status */
int ls_reply_send(struct ls_reply *reply, struct mg_connection *http);
/** The header of an answer 200 that comes when the request's thread has gone on, and that ends the connection: appended
 * to `lines`; releases. */
void ls_reply_hold(struct ls_reply *reply, struct mg_connection *http, struct ls_buf *lines);
/** The whole of that answer is appended. Any thread. */
void ls_reply_later(struct ls_buf *out, int status, const struct ls_buf *lines, const char *body, size_t len);
/** A short plain text. @return the status */
int ls_reply_text(struct mg_connection *http, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/** The sentence in the log, once a kind and minute. Any thread. */
void ls_refusal_tell(struct ls_web *web, enum ls_refusal kind, const char *text);
/** The sentence as an answer, and in the log, once a kind and minute. @return the status. Thread: any. */
int ls_reply_refused(struct mg_connection *http, int status, enum ls_refusal kind, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/** 404: the session that the address names is gone, with the mark by which a page tells that from what a proxy says.
 * @return the status */
int ls_reply_gone(struct mg_connection *http);
/** An answer that tells the methods that are allowed and nothing else. @return the status */
int ls_reply_allow(struct mg_connection *http, int status, const char *methods);
/** 405, with the methods that the address takes. @return the status */
int ls_reply_not_allowed(const struct ls_request *request);
/** Moved for good, to this address, written as addresses are. @return the status */
int ls__reply_moved(const struct ls_request *request, const char *to);
/** The same, to a decoded path below this server, with the query as it came. */
int ls_reply_redirect(const struct ls_request *request, const char *path);
/** Add a date as HTTP writes it. */
void ls__reply_date(struct ls_buf *out, int64_t seconds);

/* peer.c */

/** Can it be told here which user a connection of this machine comes from? Tries with a connection of its own. At the
 * start. */
bool ls__peer_can_tell(void);
/** The user who made the socket at the other end of a connection; addresses are numeric. @return the uid; -1 when the
 * socket is closed or cannot be found. Any thread. */
int64_t ls__peer_uid(const char *peer, int peer_port, const char *self, int self_port);
/** Is that the user who serves, or root? Any thread. */
bool ls__peer_is_user(const char *peer, int peer_port, const char *self, int self_port);
/* Replaceable by tests: a kernel that tells nothing, and what ls__peer_uid() says. */
struct ls__peer_seams {
    bool tells_nothing;
    int64_t (*uid)(void); /* NULL = ask the kernel */
};
extern struct ls__peer_seams ls__peer_seams;

/* sender.c */

/** Read the list of --trust-proxy, NULL-terminated, may be NULL. At the start. @return 0, LS_EINVAL, LS_ENOMEM */
int ls_http_sender_open(struct ls_web *web, const char *const *proxies, struct ls_err *err);
/** Who is at the other end of a connection: of one that the front carries, of whoever it carries. @return false: it is
 * to the inner port, and the front does not know it (any more). Any thread. */
bool ls_http_peer(const struct ls_web *web, const struct mg_request_info *info, struct ls_relay_peer *peer);
/** The address of a connection's own peer, numeric; of a Unix socket's this machine's; "" = not known. Any thread. */
void ls_http_peer_address(const struct ls_web *web, const struct mg_request_info *info, char address[INET6_ADDRSTRLEN]);
/** Is that a proxy that is trusted (--trust-proxy)? Any thread. */
bool ls_http_peer_trusted(const struct ls_web *web, const struct mg_request_info *info);
/** Is this one of --trust-proxy? Any thread. */
bool ls_http_address_trusted(const struct ls_web *web, const char *address);
/** Once a request. Any thread. */
void ls_sender_read(const struct ls_web *web, const struct mg_request_info *info, struct ls_sender *sender);
/** A path without the public prefix, where it has it: a proxy strips it or does not. @return a part of `path`, "" for
 * the prefix alone */
const char *ls_sender_below(const struct ls_sender *sender, const char *path);
/** Addresses as --trust-proxy takes them: one, or a net such as 10.0.0.0/8. @return false for anything else */
bool ls_http_net_read(const char *text, struct ls_net *net);
/** May public addresses begin with this path (N21)? */
bool ls_http_prefix_valid(const char *text, size_t len);

/** A numeric address, IPv4 as IPv6 has it. @return false for anything else */
bool ls_http_address_read(const char *text, unsigned char address[16]);

/* hmac.c */

enum { LS_HMAC = 32 };
/** HMAC with SHA-256. `text` may not be `digest`. Any thread. */
void ls__hmac(const unsigned char key[LS_HMAC], const void *text, size_t len, unsigned char digest[LS_HMAC]);

/* login.c */

/** Read a file of htpasswd's (N22). At the start. @return owned, ls_login_close(); NULL and err: LS_EIO, LS_EINVAL
 * (also for a kind of hash that is not taken), LS_ENOMEM */
struct ls_login *ls_login_open(const char *file, struct ls_err *err);
/** NULL accepted. */
void ls_login_close(struct ls_login *login);
/** Is the sender somebody of the file, by a cookie of an earlier login or by name and password? @return 0: yes, the
 * sender has the name, and the answer will have a cookie where that is new; or nobody has to be. Else the status of the
 * refusal that has been sent. May wait for hashes of others, and for its own. */
int ls_login_check(struct ls_request *request);
/** The request has been answered, or will be by others. */
void ls_login_forget(void);
/** Add the header line of a new login to the answer. */
void ls__login_header(struct ls_buf *out);

/* origin.c */

/** Host and Origin (Q3, P23). @return whether it is refused and why; then `text` gets a line that names the option to
 * use. Any thread. */
enum ls_refusal ls_http_origin_refusal(const struct ls_web *web, const struct mg_request_info *info,
                                       const struct ls_sender *sender, bool needs_origin_match, struct ls_buf *text);
/** Does somebody go to this address, so that it may begin a session (P3)? Any thread. */
bool ls_request_is_navigation(const struct ls_web *web, const struct mg_request_info *info);
/** Does the request come from a page of an --allow-origin, as its Origin or else its Referer says? Any thread. */
bool ls__request_is_listed(const struct ls_web *web, const struct mg_request_info *info);
/** Is the sender the user who serves, at this machine, as far as can be told: may it do what is allowed only because
 * nobody else can reach the server (P91a, H100, the editor of C2, figures about the server)? The server listens on
 * loopback, the peer is there, Host and Origin are loopback names, no proxy has left a header, no --allow-origin names
 * another machine (but with --allow-lua-property), and the peer's program is the user's or root's; where that cannot be
 * told, the token of the start line has come in its cookie. A GET or HEAD without Origin passes with
 * `Sec-Fetch-Site: same-origin` or `none`. The one place that decides this. Any thread. */
bool ls_request_is_local(const struct ls_web *web, const struct mg_request_info *info);
/** Is whoever has sent it at this machine or at an address of --trust-proxy, and no proxy between that is not trusted?
 * Any thread. */
bool ls_request_is_near(const struct ls_request *request);
/** What a connection that begins with this request may do. Any thread. */
struct ls_rights ls_request_rights(const struct ls_request *request);
/** Find out whether the user of a connection can be told, and draw a token where not. At the start, before anything is
 * listened to. */
int ls_http_origin_open(struct ls_web *web, struct ls_err *err);
/** Log in one line each what an --allow-origin turns off, and that a token is needed. At the start. */
void ls_http_origin_announce(const struct ls_web *web);
/** The request has the token of the start line as parameter `t`: add the header line that puts it into the cookie. */
void ls_http_origin_grant(const struct ls_request *request, struct ls_buf *headers);

/* static.c */

/** A file of the site or of the program (P19–P21, F10, F11). */
int ls_http_static_serve(struct ls_request *request);
/** Has the sender this version already: If-None-Match, else If-Modified-Since? `mtime` 0 = not known. */
bool ls_http_static_not_modified(const struct ls_request *request, const char *etag, int64_t mtime);
/** The site's index.html, or the built-in page. @return a use */
struct ls_bytes *ls_http_static_index(struct ls_web *web);
/* How a page names the module that begins the built-in client, or a client of the site's. */
#define LS_CLIENT_ENTRY " src=\"/main"
/** Does the page begin the built-in client? */
bool ls_http_static_is_client(struct ls_web *web, const char *page);
/** Add links to what the built-in client's first module imports, where the page has none. @param base  what their
 * addresses begin with */
void ls_http_static_preloads(const char *page, const char *base, struct ls_buf *out);

/* page.c */

/** A built-in page with `{{name}}` replaced by escaped texts. @param pairs  name, text, …, NULL
 * @return a use, or NULL */
struct ls_bytes *ls_http_page_fill(const char *name, const char *const *pairs);
/** From a path of this server to its root as a relative address, so that it is right under every prefix that a proxy
 * has taken off (N21): `./`, `../`, … @param base  appended */
void ls_http_page_base(const char *path, struct ls_buf *base);
/** Add a part of a page; with `base` the built-in client's addresses in it begin with that. */
void ls_http_page_add(struct ls_buf *out, const char *part, size_t len, const char *base);
/** Where an element is added to the head of a page: behind <head>, else behind the doctype and <html>, else first. */
size_t ls_http_page_head(const char *page, size_t len);

#endif
