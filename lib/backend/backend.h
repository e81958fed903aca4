/* LuaBackend: one session's engine: LuaSession, tracker, watch tallies, connections with their id spaces, the handler
 * that applies messages, and the batcher that turns changes into frames (protocol.md sections 6 to 16). It knows
 * neither sockets nor threads: frames leave through an outlet, time is asked of a host.
 *
 * Owner thread: whoever runs the session's queue just now; every function is one item of that queue or part of one. */
#ifndef LS_BACKEND_BACKEND_H
#define LS_BACKEND_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "reload/reload.h"
#include "session/session.h"
#include "viewdef/viewdef.h"

struct ls_backend;
struct ls_conn; /* one connection: a WebSocket, or an API identity (P25) */

/* What the other end of a connection may do besides using the site; decided above, for each connection by itself. */
struct ls_rights {
    char user[64]; /* whom a proxy or a login has found (N20); "" = nobody */
    bool lua;      /* run code by the property `lua` of variable 1 (P91a) */
    bool source;   /* see lines of the source: property `reload-detail` of variable 1 (H100) */
};

/* Where a connection's frames go. Called on the owner thread; must not block (P69) and must not enter the backend;
 * ls_backend_waiting may be asked. */
struct ls_outlet {
    void *ctx;
    /** The frame is borrowed: ref it to keep it. NULL for an API identity: its messages wait for ls_backend_poll (P25,
     * P118). */
    void (*send)(void *ctx, struct ls_bytes *frame);
    /** With send NULL: messages are waiting (P118: a poll that waits may be answered). May be NULL. */
    void (*ready)(void *ctx);
    struct ls_rights rights;
};

struct ls_backend_config {
    struct ls_session_config session;
    struct ls_viewdefs *viewdefs;         /* shared; borrowed */
    size_t max_variables, max_properties; /* Q2 */
    /* bytes of answers made for a connection before they are sent (Q2); 0 = no limit */
    uint64_t max_outbox;
};

/* What the backend asks of those above. Owner thread. */
struct ls_backend_host {
    void *ctx;
    struct ls_session_host session; /* passed on to the LuaSession, ctx included */
    /** Post an item that calls ls_backend_flush at `due_ns`; 0 = cancel (P62–P64). */
    void (*flush_at)(void *ctx, int64_t due_ns);
    /** Post an item that calls ls_backend_grace at `due_ns` (P114). */
    void (*grace_at)(void *ctx, int64_t due_ns);
    /** A batch's detection has taken so long. May be NULL. */
    void (*detected)(void *ctx, int64_t ns);
};

/** P30 steps 3 to 8: VM, tracker, batcher, main.lua. If main.lua raises: NULL, nothing is left (P4). */
struct ls_backend *ls_backend_open(const struct ls_backend_config *config, const struct ls_backend_host *host,
                                   struct ls_err *err);
/** P33: batcher emptied, VM closed, tracker freed; connections become dead (free them with ls_backend_disconnect as
 * usual, before this). */
void ls_backend_close(struct ls_backend *backend);
/** The session of the present VM; a restart makes another one (H69). Borrowed. */
struct ls_session *ls_backend_session(struct ls_backend *backend);
/** The tracker of the present VM, likewise. Borrowed. */
struct ls_tracker *ls_backend_tracker(struct ls_backend *backend);

/** A new connection; numbers count 1, 2, 3 per session (P12). Outlet copied. @return borrowed, until
 * ls_backend_disconnect; NULL without memory */
struct ls_conn *ls_backend_connect(struct ls_backend *backend, const struct ls_outlet *outlet);
/** P111; an abnormal end (not 1000/1001) keeps watches and variables for the grace period (P114). */
void ls_backend_disconnect(struct ls_backend *backend, struct ls_conn *conn, bool abnormal);
/** Connections and API identities; what waits for the grace period is not among them. */
size_t ls_backend_connection_count(const struct ls_backend *backend);

struct ls_batch;
/** One incoming frame, parsed already (P51): handle, detect, queue, flush. Takes the batch. */
void ls_backend_frame(struct ls_backend *backend, struct ls_conn *conn, struct ls_batch *batch);
/** One API request (P24, P25, P116–P119): as a frame, and the JSON answer is appended. Takes the batch. @return HTTP
 * status */
int ls_backend_api(struct ls_backend *backend, struct ls_conn *conn, struct ls_batch *batch, struct ls_buf *answer);
/** Messages waiting for an API identity: its poll queue (P118): the JSON array is appended and the queue emptied.
 * @return how many */
size_t ls_backend_poll(struct ls_conn *conn, struct ls_buf *answer);
/** Of an API identity: bytes of the messages that wait behind the first one (P69, P118). */
size_t ls_backend_waiting(const struct ls_conn *conn);

/** AfterBatch: settle the mutation queue, detect, run watch callbacks, deliver viewdefs, queue updates (P51, P54, P59).
 * `user_event` or `at_once` flushes now, else the 10 ms timer is armed. */
void ls_backend_after_batch(struct ls_backend *backend, bool at_once);
/** The debounce timer fired (P62). */
void ls_backend_flush(struct ls_backend *backend);
/** The time of `grace_at` has come: connections that are still silent adopt, and what has waited too long is taken down
 * (P114). */
void ls_backend_grace(struct ls_backend *backend);
/** A Lua timer is due (L108): run it, then after_batch if there is a connection (P54). */
void ls_backend_timer(struct ls_backend *backend, uint64_t handle);
/** A burst: reload transaction, views, detection, one frame at once (H39, H70–H75). Sets `reload-error` (H99) and
 * `reload-losses`. */
void ls_backend_reload(struct ls_backend *backend, const struct ls_reload_file *files, size_t count,
                       struct ls_reload_report *report);
/** Does somebody perhaps hold tables that a reload has replaced (ls_session_reload_unsettled)? */
bool ls_backend_unsettled(const struct ls_backend *backend);
/** Give them the present ones, then detection. An item of its own: it takes as long as a full collection. */
void ls_backend_settle(struct ls_backend *backend);
/** View files have changed and there is no Lua part: deliver what is due (H74, H77). */
void ls_backend_views_changed(struct ls_backend *backend);
/** Problems with view files for `reload-error` (H78): text per key, NULL text clears. */
void ls_backend_view_problem(struct ls_backend *backend, const char *key, const char *text);
/** Evaluate for an administrator, then after_batch at once (C4, L141). */
int ls_backend_eval(struct ls_backend *backend, struct ls_eval *eval, struct ls_err *err);
/** Unload a module by key or name, or a directory (L52, L53, C5), detect and send at once. `dry_run`: only report. The
 * report is filled, its view files too (L52a). @return how many modules, 0 = nothing matched; negative and err */
int ls_backend_unload(struct ls_backend *backend, const char *name, bool dry_run, struct ls_unload_report *report,
                      struct ls_err *err);
/** H69: new VM under the same connections. On failure everything is as before. */
int ls_backend_restart(struct ls_backend *backend, struct ls_err *err);
/** /SESSION/variables.json (P12–P16): detection with diagnostic level `diag` (-1 = as it is), then the JSON array.
 * *changes = X-Change-Count.
 * @return 0, LS_ENOMEM, or LS_ELIMIT when it would be larger than max_outbox */
int ls_backend_listing(struct ls_backend *backend, int diag, struct ls_buf *out, uint64_t *changes);

#endif
