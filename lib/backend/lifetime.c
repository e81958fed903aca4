/* Variables come and go: their types (P106, F132), and who is told that one is no more (section 12).
 *
 * Owner thread: the session's. */
#include <string.h>

#include "backend/backend_internal.h"
#include "base/log.h"

/* --- they come --- */

static void note_list_type(struct ls_backend *b, const char *type)
{
    static const char *const known[] = {"lua.ViewList", "lua.ViewListItem"};
    for (size_t i = 0; i < 2; i++) {
        if (strcmp(type, known[i]) != 0) continue;
        for (size_t k = 0; k < b->list_type_count; k++)
            if (b->list_types[k] == known[i]) return;
        b->list_types[b->list_type_count++] = known[i];
        for (struct ls__space *space = b->spaces; space; space = space->next)
            space->views_due = true;
    }
}

void ls__note_type(struct ls_backend *b, const char *type)
{
    size_t len = strlen(type);
    if (!len) return;
    if (strncmp(type, "lua.", 4) == 0) note_list_type(b, type);
    if (b->config.session.hot || !b->config.viewdefs)
        return; /* with hot reload the watcher has told us already (P109) */
    if (!b->batch_types) b->batch_types = ls_map_new_in(b->budget);
    if (!b->batch_types || ls_map_get(b->batch_types, type, len) || !ls_map_put(b->batch_types, type, len, b, NULL))
        return;
    LS_ERR(err);
    if (ls_viewdefs_pick_up(b->config.viewdefs, type, &err) < 0)
        ls_log_session(0, b->vended_id, "view definitions of %s: %s", type, ls_err_text(&err));
}

void ls__note_created(struct ls_backend *b, struct ls_var *var)
{
    const char *type = ls_var_property(var, "type");
    if (type) ls__note_type(b, type);
    if (ls_var_property(var, "inactive")) (void)ls_idmap_put(b->inactive, ls_var_id(var), b, NULL);
}

/* --- they go --- */

/* Told by the tracker before each variable goes, children before parents. */
static void variable_gone(void *ctx, struct ls_var *var)
{
    struct ls__engine *engine = ctx;
    struct ls_backend *b = engine->backend;
    int64_t id = ls_var_id(var);
    ls_session_variable_gone(engine->session, id);
    if (engine != b->engine) return;
    for (struct ls__space *space = b->spaces; space; space = space->next) {
        int64_t shown = ls__space_id(space, var);
        bool told = shown && (ls_var_owner(var) == space || ls__space_tally(space, var) ||
                              (space->conn && space->conn == b->destroyer));
        if (told && space->conn) {
            ls__send_destroy(space->conn, shown);
            ls_outgoing_ended(&space->conn->out, shown);
        } else if (told) {
            (void)LS__PUSH_IN(b, space->gone, shown);
        }
        ls__space_forget(space, var);
    }
    ls_idmap_take(b->inactive, id);
}

void ls__remove_variable(struct ls_backend *b, struct ls__engine *engine, int64_t id, struct ls_conn *requester)
{
    b->destroyer = requester;
    ls_tracker_destroy(engine->tracker, id, variable_gone, engine);
    b->destroyer = NULL;
}
