/* The end of a connection (P111, P112), and what may come after it: a space whose connection was lost waits for a
 * while, and the next connection of the session may take it over with all its variables and watches (P114).
 *
 * Owner thread: the session's. */
#include <string.h>

#include "backend/backend_internal.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#define LS_GRACE_MS  60000 /* longer than the last retry of sites' client: 1 + 2 + 4 + 8 + 16 s */
/* by so much the heap has grown when the end of a page is worth a collection */
#define LS_GARBAGE   ((size_t)256 << 10)
#define LS_DECIDE_MS 1000 /* a fresh page watches variable 1 well before */

/* --- taking down --- */

struct tops {
    struct ls_backend *b;
    struct ls__space *space;
    LS__LIST(int64_t) ids;
    bool failed;
};

/* The topmost variables of the space: their descendants go with them. */
static void note_top(void *ctx, struct ls_var *var, unsigned depth)
{
    struct tops *tops = ctx;
    (void)depth;
    if (ls_var_owner(var) != tops->space) return;
    int64_t parent = ls_var_parent(var);
    struct ls_var *above = parent ? ls_tracker_find(tops->b->engine->tracker, parent) : NULL;
    if (above && ls_var_owner(above) == tops->space) return;
    tops->failed |= !LS__PUSH(tops->ids, ls_var_id(var));
}

static void destroy_variables(struct ls_backend *b, struct ls__space *space)
{
    struct tops tops = {.b = b, .space = space};
    do { /* without memory for the whole list: in several goes */
        tops.failed = false;
        tops.ids.count = 0;
        ls_tracker_each(b->engine->tracker, note_top, &tops);
        for (size_t i = 0; i < tops.ids.count; i++)
            ls__remove_variable(b, b->engine, tops.ids.items[i], NULL);
    } while (tops.failed && tops.ids.count);
    ls_free(tops.ids.items);
}

void ls__collect(struct ls_backend *b, size_t grown)
{
    if (ls_budget_get(&b->budget->heap) <= b->collected + grown) return;
    ls_session_shrink(b->engine->session);
    b->collected = ls_budget_get(&b->budget->heap);
}

void ls__space_end(struct ls_backend *b, struct ls__space *space)
{
    space->conn = NULL; /* no notices to it */
    struct ls_idmap_item *item = ls_idmap_first(space->shared);
    while (item) {
        struct ls_idmap_item *next = ls_idmap_next(item);
        int64_t id = ls_idmap_id(item);
        uintptr_t tally = (uintptr_t)ls_idmap_take(space->shared, id);
        struct ls_var *var = ls_tracker_find(b->engine->tracker, id);
        if (var && tally) ls_tracker_watch(b->engine->tracker, var, -(int)tally);
        item = next;
    }
    destroy_variables(b, space);
    ls__space_free(b, space);
    ls_tracker_shrink(b->engine->tracker);
    /* What only the page held, and a session in which nothing happens would keep. Collections while the page was there
     * (ls__handle) found it in use: what the heap was after them says nothing. */
    b->collected = b->settled;
    ls__collect(b, LS_GARBAGE);
    b->settled = b->collected;
}

/* --- one tab, one connection (R8) --- */

/* A proxy may drop a page's connection so that here it looks alive. The page comes back with the same token and makes
 * its variables anew (F215), so those of before end at once. But tokens are copied when a tab is duplicated: the older
 * one may live. It is told and can begin anew under a token of its own; until then nothing it says has an effect. */
static int replace(struct ls_backend *b, struct ls_conn *old)
{
    struct ls__space *fresh = ls__space_new(b, old->number);
    struct ls_fault fault;
    if (!fresh) return LS_ENOMEM;
    ls_log_session(1, b->vended_id, "Connection %u is replaced: another one shows its tab.", old->number);
    ls__space_end(b, old->space);
    old->space = fresh;
    fresh->conn = old;
    old->replaced = true;
    ls_fault_set(&fault, LS_FAULT_REPLACED,
                 "another connection shows this tab now; begin anew with a token of its own");
    ls__send_error(old, 0, &fault);
    return 0;
}

int ls__tab_begins(struct ls_backend *b, struct ls_conn *conn, const char *tab)
{
    for (struct ls_conn *old = b->conns; old; old = old->next)
        if (old != conn && old->marked && !old->replaced && memcmp(old->tab, tab, sizeof old->tab) == 0 &&
            replace(b, old) != 0)
            return LS_ENOMEM;
    memcpy(conn->tab, tab, sizeof conn->tab);
    conn->marked = true;
    conn->replaced = false;
    return 0;
}

/* --- waiting --- */

static struct ls__space *only_waiting(struct ls_backend *b)
{
    struct ls__space *found = NULL;
    for (struct ls__space *space = b->spaces; space; space = space->next) {
        if (space->conn) continue;
        if (found) return NULL;
        found = space;
    }
    return found;
}

/* Ask the host for one call at the earliest of all moments that matter. */
static void arm(struct ls_backend *b)
{
    int64_t due = 0;
    for (struct ls__space *space = b->spaces; space; space = space->next)
        if (!space->conn && (!due || space->expires_ns < due)) due = space->expires_ns;
    for (struct ls_conn *conn = b->conns; conn; conn = conn->next)
        if (conn->decide_ns && (!due || conn->decide_ns < due)) due = conn->decide_ns;
    if (due == b->grace_due_ns) return;
    b->grace_due_ns = due;
    if (b->host.grace_at) b->host.grace_at(b->host.ctx, due);
}

void ls__grace_wait(struct ls_backend *b, struct ls__space *space)
{
    space->conn = NULL;
    space->expires_ns = ls_now_ns() + ls_ms(LS_GRACE_MS);
    arm(b);
}

void ls__grace_connect(struct ls_backend *b, struct ls_conn *conn)
{
    conn->decide_ns = only_waiting(b) ? ls_now_ns() + ls_ms(LS_DECIDE_MS) : 0;
    arm(b);
}

/* The connection goes on where the lost one stopped: it gets what its page has missed. */
static void adopt(struct ls_backend *b, struct ls_conn *conn, struct ls__space *space)
{
    ls_log_session(1, b->vended_id, "Connection %u goes on for connection %u.", conn->number, space->number);
    ls__space_free(b, conn->space);
    conn->space = space;
    space->conn = conn;
    space->number = conn->number;
    space->expires_ns = 0;
    for (size_t i = 0; i < space->gone.count; i++)
        ls__send_destroy(conn, space->gone.items[i]);
    space->gone.count = 0;
    b->release = true;
}

static void decide(struct ls_backend *b, struct ls_conn *conn, bool fresh)
{
    struct ls__space *space = only_waiting(b);
    conn->decide_ns = 0;
    if (!fresh && space) adopt(b, conn, space);
    arm(b);
}

void ls__grace_frame(struct ls_backend *b, struct ls_conn *conn, const struct ls_batch *batch)
{
    if (conn->decide_ns && batch->count)
        decide(b, conn, batch->messages[0].type == LS_MSG_WATCH && batch->messages[0].id == 1);
}

bool ls__grace_due(struct ls_backend *b)
{
    int64_t now = ls_now_ns();
    bool adopted = false;
    b->grace_due_ns = 0;
    for (struct ls_conn *conn = b->conns; conn; conn = conn->next)
        if (conn->decide_ns && conn->decide_ns <= now) {
            decide(b, conn, false);
            adopted = true;
        }
    struct ls__space *space = b->spaces;
    while (space) {
        struct ls__space *next = space->next;
        if (!space->conn && space->expires_ns <= now) ls__space_end(b, space);
        space = next;
    }
    arm(b);
    return adopted;
}
