/* LuaBackend: the items of a session's queue (protocol.md sections 6 and 7). Each of them lets something happen and
 * ends with after_batch, the one place where changes are found, put into messages and sent.
 *
 * Owner thread: whoever runs the session's queue. It refuses to know sockets, threads and files; those above hand in an
 * outlet, a clock's alarm, texts.
 * Rules: P30, P33, P51 to P69, P111, H70 to H72. */
#include "backend/backend_internal.h"

#include <stdio.h>
#include <utlist.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#define LS_DEBOUNCE_MS    10 /* P62 */
/* an identity that never polls is treated as a page that does not read (P69) */
#define LS_POLL_MAX_BYTES ((size_t)16 * 1024 * 1024)
#define LS_FIRST_INTERNAL ((int64_t)1 << 40) /* far from what clients and the tracker's counter reach */

/* --- life --- */

struct ls_backend *ls_backend_open(const struct ls_backend_config *config, const struct ls_backend_host *host,
                                   struct ls_err *err)
{
    struct ls_backend *b = ls_zalloc(sizeof *b);
    if (!b) {
        ls_fail(err, LS_ENOMEM, "Out of memory while opening a session.");
        return NULL;
    }
    b->config = *config;
    b->host = *host;
    ls_budget_init(&b->own_budget, config->session.memory_limit);
    b->budget = b->config.session.budget = config->session.budget ? config->session.budget : &b->own_budget;
    b->detail.budget = b->budget;
    b->next_internal = LS_FIRST_INTERNAL;
    b->vended_id = ls_strdup(config->session.vended_id);
    b->config.session.vended_id = b->vended_id;
    b->inactive = ls_idmap_new_in(b->budget);
    if (!b->vended_id || !b->inactive)
        ls_fail(err, LS_ENOMEM, "Out of memory while opening a session.");
    else
        b->engine = ls__engine_open(b, err);
    if (!b->engine) {
        ls_backend_close(b);
        return NULL;
    }
    return b;
}

void ls_backend_close(struct ls_backend *b)
{
    if (!b) return;
    for (struct ls_conn *conn = b->conns; conn; conn = conn->next)
        ls_outgoing_clear(&conn->out);
    while (b->conns) {
        struct ls_conn *conn = b->conns;
        b->conns = conn->next;
        ls_outgoing_release(&conn->out);
        ls_buf_release(&conn->views);
        ls_budget_free(b->budget, conn);
    }
    if (b->engine) b->engine->muted = true; /* those above end the session as a whole (H93) */
    ls__engine_close(b->engine);
    while (b->spaces)
        ls__space_free(b, b->spaces);
    if (b->flush_armed && b->host.flush_at) b->host.flush_at(b->host.ctx, 0);
    if (b->grace_due_ns && b->host.grace_at) b->host.grace_at(b->host.ctx, 0);
    ls_idmap_free(b->inactive, NULL);
    ls_map_free(b->batch_types, NULL);
    ls__problems_free(b);
    ls_buf_release(&b->detail);
    while (b->names.count)
        ls_free(b->names.items[--b->names.count]);
    void *const lists[] = {b->dues.items,    b->answers.items, b->atoms.items,        b->errors.items,
                           b->refused.items, b->names.items,   b->update_names.items, b->update_values.items};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        ls_budget_free(b->budget, lists[i]);
    ls_buf_release(&b->scratch);
    ls_free(b->vended_id);
    ls_free(b);
}

struct ls_session *ls_backend_session(struct ls_backend *b)
{
    return b->engine->session;
}

struct ls_tracker *ls_backend_tracker(struct ls_backend *b)
{
    return b->engine->tracker;
}

/* --- connections --- */

struct ls_conn *ls_backend_connect(struct ls_backend *b, const struct ls_outlet *outlet)
{
    struct ls_conn *conn = ls_budget_zalloc(b->budget, sizeof *conn);
    struct ls__space *space = conn ? ls__space_new(b, b->numbers + 1) : NULL;
    if (!space) {
        ls_budget_free(b->budget, conn);
        return NULL;
    }
    conn->outlet = *outlet;
    conn->number = ++b->numbers;
    conn->space = space;
    space->conn = conn;
    ls_outgoing_init(&conn->out, b->budget);
    conn->views.budget = b->budget;
    LL_APPEND(b->conns, conn);
    b->conn_count++;
    ls__grace_connect(b, conn);
    return conn;
}

void ls_backend_disconnect(struct ls_backend *b, struct ls_conn *conn, bool abnormal)
{
    if (!conn) return;
    LL_DELETE(b->conns, conn);
    b->conn_count--;
    ls__begin(b);
    if (abnormal && conn->space->used && !conn->marked) /* our client makes its variables anew (F215) */
        ls__grace_wait(b, conn->space);
    else
        ls__space_end(b, conn->space);
    ls_outgoing_release(&conn->out);
    ls_buf_release(&conn->views);
    ls_budget_free(b->budget, conn);
    ls_backend_after_batch(b, false);
}

size_t ls_backend_connection_count(const struct ls_backend *b)
{
    return b->conn_count;
}

/* --- the end of a batch --- */

/* P62 to P64: whatever waits is covered by the timer. */
static void arm_flush(struct ls_backend *b)
{
    if (b->flush_armed || !b->host.flush_at) return;
    for (const struct ls_conn *conn = b->conns; conn; conn = conn->next)
        if (ls_outgoing_any(&conn->out) || conn->out.lost) {
            b->flush_armed = true;
            b->host.flush_at(b->host.ctx, ls_now_ns() + ls_ms(LS_DEBOUNCE_MS));
            return;
        }
}

void ls_backend_after_batch(struct ls_backend *b, bool at_once)
{
    ls__begin(b);
    ls_session_settle(b->engine->session);
    if (b->app_awaited) ls__app_arrives(b);
    if (b->conn_count) {
        ls__compose(b);
        if (at_once)
            ls_backend_flush(b);
        else
            arm_flush(b);
    } else {
        ls__compose_nothing(b);
    }
    b->in_batch = false;
}

/* Messages could not be kept: the page is told that it no longer shows what holds. */
static void say_lost(struct ls_backend *b, struct ls_conn *conn)
{
    ls_log_session(0, b->vended_id, "Messages to connection %u were lost: there was no room for them.", conn->number);
    ls_outgoing_clear(&conn->out);
    conn->out.lost = false;
    ls_viewdefs_sent_clear(conn->space->sent);
    conn->space->views_due = true;
    char text[160];
    if (ls_budget_fits(b->budget, LS_BUDGET_SPARE, 0))
        snprintf(text, sizeof text, "messages to this page were lost for want of memory; reload it");
    else
        snprintf(text, sizeof text, "messages to this page were lost: " LS_MEMORY_LIMIT_TEXT "; reload it",
                 (unsigned long long)b->budget->stated);
    ls_write_error(ls_outgoing_begin(&conn->out), 0, "internal", text);
    ls_outgoing_end(&conn->out, 0);
}

void ls_backend_flush(struct ls_backend *b)
{
    if (b->flush_armed) {
        b->flush_armed = false;
        if (b->host.flush_at) b->host.flush_at(b->host.ctx, 0);
    }
    for (struct ls_conn *conn = b->conns; conn; conn = conn->next) {
        if (!conn->outlet.send) {
            if (conn->out.lost || conn->out.text.len > LS_POLL_MAX_BYTES) say_lost(b, conn);
            if (ls_outgoing_any(&conn->out) && conn->outlet.ready) conn->outlet.ready(conn->outlet.ctx);
            continue;
        }
        if (conn->out.lost) say_lost(b, conn);
        struct ls_bytes *frame = ls_outgoing_take(&conn->out);
        if (frame) {
            conn->outlet.send(conn->outlet.ctx, frame);
            ls_bytes_unref(frame);
        } else if (conn->out.lost) {
            say_lost(b, conn);
            arm_flush(b);
        }
    }
}

/* --- items --- */

void ls_backend_frame(struct ls_backend *b, struct ls_conn *conn, struct ls_batch *batch)
{
    bool at_once = batch->user_event;
    ls__begin(b);
    ls__grace_frame(b, conn, batch);
    ls__handle(b, conn, batch);
    ls_backend_after_batch(b, at_once);
    ls_batch_free(batch);
}

int ls_backend_eval(struct ls_backend *b, struct ls_eval *eval, struct ls_err *err)
{
    ls__begin(b);
    int rc = ls_session_eval(b->engine->session, eval, err);
    ls_backend_after_batch(b, true);
    return rc;
}

void ls_backend_timer(struct ls_backend *b, uint64_t handle)
{
    if (ls__engine_timer(b, handle)) ls_backend_after_batch(b, false);
}

void ls_backend_grace(struct ls_backend *b)
{
    if (ls__grace_due(b)) ls_backend_after_batch(b, true);
}
