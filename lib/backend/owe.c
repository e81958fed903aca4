/* What is due to connections: errors at once, the rest when the batch ends (compose.c makes updates of it).
 *
 * Owner thread: the session's. It sends nothing. */
#include <stdio.h>
#include <string.h>

#include "backend/backend_internal.h"
#include "base/alloc.h"
#include "base/text.h"

const char ls__detail[] = "reload-detail";

void ls__begin(struct ls_backend *b)
{
    if (b->in_batch) return;
    b->in_batch = true;
    ls_tracker_begin_batch(b->engine->tracker);
}

void ls__send_error(struct ls_conn *conn, int64_t id, const struct ls_fault *fault)
{
    uint64_t hash = ls_hash(fault->text, strlen(fault->text)) ^ (uint64_t)id << 8 ^ (uint64_t)fault->kind;
    ls_write_error(ls_outgoing_begin(&conn->out), id, ls_fault_code(fault->kind), fault->text);
    ls_outgoing_end_equal(&conn->out, id, (int64_t)(hash | 1));
}

void ls__send_destroy(struct ls_conn *conn, int64_t id)
{
    ls_write_destroy(ls_outgoing_begin(&conn->out), id);
    ls_outgoing_end(&conn->out, id);
}

void ls__due(struct ls_backend *b, struct ls__space *space, int64_t id, bool props)
{
    if (!LS__PUSH_IN(b, b->dues, (struct ls__due){space, id, props}) && space->conn) space->conn->out.lost = true;
}

void ls__due_error(struct ls_backend *b, struct ls__space *space, int64_t id)
{
    (void)LS__PUSH_IN(b, b->errors, (struct ls__due){space, id, false});
}

bool ls__is_detail(int64_t id, const char *name)
{
    return id == 1 && name && strcmp(name, ls__detail) == 0;
}

void ls__lose_all(struct ls_backend *b)
{
    for (struct ls_conn *conn = b->conns; conn; conn = conn->next)
        conn->out.lost = true;
}

void ls__owe(struct ls_backend *b, struct ls__space *space, int64_t id, enum ls_priority class_, const char *name)
{
    if (ls__is_detail(id, name) && space->conn && !space->conn->outlet.rights.source) return;
    if (!LS__PUSH_IN(b, b->atoms, (struct ls__atom){.class_ = (uint8_t)class_, .id = id, .space = space, .name = name}))
        ls__lose_all(b);
}

const char *ls__keep_name(struct ls_backend *b, const char *name)
{
    char *copy = ls_strdup(name);
    if (copy && LS__PUSH_IN(b, b->names, copy)) return copy;
    ls_free(copy);
    ls__lose_all(b);
    return NULL;
}

void ls__owe_named(struct ls_backend *b, struct ls__space *space, int64_t id, enum ls_priority class_, const char *name)
{
    const char *kept = ls__keep_name(b, name);
    if (kept) ls__owe(b, space, id, class_, kept);
}
