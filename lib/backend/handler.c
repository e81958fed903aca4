/* The handler: applies messages to a backend, one after the other (protocol.md sections 6, 8 to 13, 16).
 *
 * Each message is judged before anything is touched; one that fails is answered with its own error and the next one
 * goes on (P52). Calls into the tracker may run Lua code that destroys what we hold, so a variable is looked up again
 * by its id after each of them.
 *
 * Owner thread: the session's. It sends no updates of its own but the restoring one of P89: those are composed at the
 * end of the batch. */
#include <stdio.h>
#include <string.h>

#include "backend/backend_internal.h"
#include "base/json.h"
#include "base/log.h"

/* --- answers --- */

/* Answer with an error: kind, text as for printf. */
#define refuse(conn, id, kind, ...)                                                                                    \
    do {                                                                                                               \
        struct ls_fault refused_;                                                                                      \
        ls_fault_set(&refused_, kind, __VA_ARGS__);                                                                    \
        ls__send_error(conn, id, &refused_);                                                                           \
    } while (0)

static void refuse_unknown(struct ls_conn *conn, int64_t id)
{
    refuse(conn, id, LS_FAULT_NOT_FOUND, "no variable %lld", (long long)id);
}

/* --- watching (section 8) --- */

/* One more watch of a variable that exists: all that it is goes to the page at the end of the batch (P71, P72). */
static void begin_watch(struct ls_backend *b, struct ls_conn *conn, int64_t shown, struct ls_var *var)
{
    struct ls__space *space = conn->space;
    bool begins = ls__space_tally(space, var) == 0;
    int64_t id = ls_var_id(var);
    if (ls__space_watch(b, space, var, +1) != 0) {
        refuse(conn, shown, LS_FAULT_INTERNAL, "out of memory while adding a watch");
        return;
    }
    space->used = true;
    if (id == 1 && begins) /* the page starts over: it has nothing (P105, P112) */
        ls_viewdefs_sent_clear(space->sent);
    if (id == 1) space->views_due = true;
    int64_t object;
    if (ls_var_readable(var) || ls_var_place(var, &object)) ls__due(b, space, id, true);
    if (!ls_var_readable(var)) return;
    const struct ls_fault *fault = ls_var_fault(var);
    if (fault && fault->kind != LS_FAULT_NIL_PATH) { /* the new watcher has to hear of it as well (P99) */
        ls__tell(space, id, LS__TOLD_NOT, 0);
        ls__due_error(b, space, id);
    }
}

void ls__app_arrives(struct ls_backend *b)
{
    struct ls_var *app = ls_tracker_find(b->engine->tracker, 1);
    if (!app) return;
    b->app_awaited = false;
    for (struct ls__space *space = b->spaces; space; space = space->next) {
        if (space->awaits_app && space->conn) {
            space->awaits_app = false;
            begin_watch(b, space->conn, 1, app);
        }
        b->app_awaited |= space->awaits_app; /* of a connection that is lost: until another one goes on for it */
    }
    ls__set_reload_error(b);
}

static void handle_watch(struct ls_backend *b, struct ls_conn *conn, const struct ls_message *m)
{
    if (m->mark_problem) {
        refuse(conn, m->id, LS_FAULT_BAD_MESSAGE, "%s", m->mark_problem);
        return;
    }
    if (m->tab && ls__tab_begins(b, conn, m->tab) != 0) {
        refuse(conn, m->id, LS_FAULT_INTERNAL, "out of memory while taking the tab over");
        return;
    }
    struct ls_var *var = ls__space_find(b, conn->space, m->id);
    if (var) {
        begin_watch(b, conn, m->id, var);
        return;
    }
    refuse_unknown(conn, m->id);
    /* Every page begins by watching variable 1, once: where there is none yet, the watch waits for it. */
    if (m->id == 1) conn->space->used = conn->space->awaits_app = b->app_awaited = true;
}

static void handle_unwatch(struct ls_backend *b, struct ls_conn *conn, const struct ls_message *m)
{
    struct ls_var *var = ls__space_find(b, conn->space, m->id);
    if (var && ls__space_tally(conn->space, var) > 0)
        ls__space_watch(b, conn->space, var, -1); /* going down needs no memory */
    else if (m->id == 1)
        conn->space->awaits_app = false;
}

/* --- create (section 9) --- */

/* What can be said against a create before the tracker is asked (P78 to P80). */
static bool is_creatable(struct ls_backend *b, struct ls_conn *conn, const struct ls_message *m, struct ls_var **parent)
{
    struct ls_fault fault;
    const struct ls_var *var = m->id > 0 ? ls__space_find(b, conn->space, m->id) : NULL;
    const struct ls_prop *path = ls_message_prop(m, "path");
    *parent = m->parent && m->parent != m->id ? ls__space_find(b, conn->space, m->parent) : NULL;
    if (m->id < 0)
        ls_fault_set(&fault, LS_FAULT_BAD_MESSAGE, "id %lld: ids below 1 belong to the server", (long long)m->id);
    else if (m->id == 1 || (var && (ls_var_owner(var) || ls__space_tally(conn->space, var))))
        ls_fault_set(&fault, LS_FAULT_ID_IN_USE, "variable %lld exists already", (long long)m->id);
    else if (m->parent == m->id)
        ls_fault_set(&fault, LS_FAULT_BAD_PARENT, "variable %lld cannot be its own parent", (long long)m->id);
    else if (!*parent)
        ls_fault_set(&fault, LS_FAULT_BAD_PARENT,
                     m->parent ? "no variable %lld to be the parent" : "parentId is missing (%lld)",
                     (long long)m->parent);
    else if (!path || !path->value_len)
        ls_fault_set(&fault, LS_FAULT_BAD_PATH, "variable %lld needs the property path", (long long)m->id);
    else
        return true;
    ls__send_error(conn, m->id, &fault);
    return false;
}

/* A property that would be cut is refused and left out; the others, *kept of them, come to stand together. Without its
 * path there is no variable.
 * @return may it be made */
static bool sort_out_properties(struct ls_conn *conn, const struct ls_message *m, size_t *kept)
{
    *kept = 0;
    for (size_t i = 0; i < m->prop_count; i++) {
        struct ls_fault fault;
        if (!m->props[i].name_len || ls_prop_check(&m->props[i], &fault) == 0) {
            m->props[(*kept)++] = m->props[i];
            continue;
        }
        ls__send_error(conn, m->id, &fault);
        if (ls_prop_is(&m->props[i], "path")) return false;
    }
    return true;
}

static void handle_create(struct ls_backend *b, struct ls_conn *conn, const struct ls_message *m)
{
    struct ls_var *parent, *var;
    struct ls_fault fault;
    size_t prop_count;
    struct ls_tracker *tracker = b->engine->tracker;
    if (!is_creatable(b, conn, m, &parent) || !sort_out_properties(conn, m, &prop_count)) return;
    struct ls_var_spec spec = {
        .id = ls__space_assign(b, conn->space, m->id, ls_outgoing_has_ended(&conn->out, m->id)),
        .parent = ls_var_id(parent),
        .props = m->props,
        .prop_count = prop_count,
        .owner = conn->space,
        .owner_id = m->id,
        .wants_place = conn->marked,
    };
    if (!spec.id) {
        refuse(conn, m->id, LS_FAULT_INTERNAL, "out of memory while creating a variable");
        return;
    }
    if (ls_tracker_create(tracker, &spec, &var, &fault) != 0) {
        if (spec.id != m->id) ls_idmap_take(conn->space->remap, m->id);
        ls__send_error(conn, m->id, &fault);
        return;
    }
    ls__note_created(b, var);
    conn->space->used = true;
    if (m->nowatch) return;
    ls__space_watch(b, conn->space, var, +1);             /* an own variable: no memory needed */
    if (ls_var_readable(var)) ls_var_unreport(var, true); /* the answer is its value, null included (P82) */
}

/* --- update (sections 10, 11) --- */

/* Property `lua` of variable 1 (P91a): run, never stored. */
static void run_lua_property(struct ls_backend *b, struct ls_conn *conn, const struct ls_prop *prop)
{
    LS_ERR(err);
    struct ls_fault fault;
    if (!prop->value_len) return;
    if (ls_prop_check(prop, &fault) < 0) {
        ls__send_error(conn, 1, &fault);
        return;
    }
    if (!conn->outlet.rights.lua) {
        refuse(conn, 1, LS_FAULT_UNAUTHORIZED,
               "the property lua of variable 1 is not allowed here; --allow-lua-property switches it on");
        return;
    }
    if (ls_session_run_lua_property(b->engine->session, prop->value, prop->value_len, &err) < 0) {
        const char *text = ls_err_text(&err);
        /* the traceback is for the log (L133) */
        refuse(conn, 1, LS_FAULT_LUA_ERROR, "%.*s", (int)strcspn(text, "\n"), text);
    }
}

/* Never stored on variable 1: `lua` is run (P91a), `viewdefs` is how the server delivers (P104, P110). */
static bool is_server_property(const struct ls_prop *prop)
{
    return ls_prop_is(prop, "lua") || ls_prop_is(prop, "viewdefs");
}

static void refuse_property(struct ls_conn *conn, int64_t shown, int64_t id, const struct ls_fault *fault)
{
    ls__send_error(conn, shown, fault);
    ls__tell(conn->space, id, LS__TOLD_WRITE, ls__fault_hash(fault));
}

/* High before medium before low (P86). A property that cannot be set does not keep the others from being set. */
static void set_properties(struct ls_backend *b, struct ls_conn *conn, const struct ls_message *m, int64_t id)
{
    struct ls_tracker *tracker = b->engine->tracker;
    struct ls_fault fault;
    for (int class_ = LS_HIGH; class_ <= LS_LOW; class_++) {
        for (size_t i = 0; i < m->prop_count; i++) {
            const struct ls_prop *prop = &m->props[i];
            enum ls_priority suffix;
            ls_prop_base(prop->name, prop->name_len, &suffix);
            if ((int)suffix != class_ || (id == 1 && is_server_property(prop))) continue;
            struct ls_var *var = ls_tracker_find(tracker, id); /* a wrapper's code may have destroyed it */
            if (!var) return;
            if (ls_prop_is(prop, "inactive") && prop->value_len && !ls__is_inactive(b, var)) ls__hold_snapshot(b, id);
            if (ls_tracker_set_property(tracker, var, prop, &fault) < 0) refuse_property(conn, m->id, id, &fault);
        }
    }
}

/* A numbered write has been handled, whatever came of it: its answer is the next update of the value, or one of its own
 * at the end of the batch (R8). */
static void note_write(struct ls_backend *b, struct ls_conn *conn, const struct ls_message *m, int64_t id)
{
    if (!m->seq || !conn->marked) return;
    if (!ls__seq_note(b, conn->space, id, m->seq) ||
        !LS__PUSH_IN(b, b->answers, (struct ls__due){conn->space, id, false}))
        conn->out.lost = true;
}

/* A refused value: the page gets what holds, then the error that keeps its mark (P89). */
static void refuse_value(struct ls_backend *b, struct ls_conn *conn, int64_t shown, int64_t id,
                         const struct ls_fault *fault)
{
    struct ls_var *var = ls_tracker_find(b->engine->tracker, id);
    struct ls_answer answer = {.seq = ls__seq_tell(conn->space, id)};
    if (var && (ls_var_readable(var) || answer.seq)) {
        size_t len = 0;
        const char *json = ls_var_readable(var) ? ls_var_json(b->engine->tracker, var, &len) : NULL;
        ls_write_update(ls_outgoing_begin(&conn->out), shown, json, len, NULL, NULL, 0, &answer);
        ls_outgoing_end(&conn->out, shown);
    }
    ls__send_error(conn, shown, fault);
    if (!var) return;
    ls__tell(conn->space, id, LS__TOLD_WRITE, ls__fault_hash(fault));
    (void)LS__PUSH_IN(b, b->refused, (struct ls__refused){conn, id, conn->out.count - 1, false});
}

static void write_value(struct ls_backend *b, struct ls_conn *conn, const struct ls_message *m, int64_t id)
{
    struct ls_tracker *tracker = b->engine->tracker;
    struct ls_fault fault;
    struct ls_var *var = ls_tracker_find(tracker, id);
    if (!var) return;
    if (id == 1 || !ls_var_has_path(var)) { /* P91 */
        ls_fault_set(&fault, LS_FAULT_BAD_ACCESS, "variable %lld has no path to write through", (long long)m->id);
        refuse_value(b, conn, m->id, id, &fault);
        return;
    }
    int rc = m->has_of && conn->marked
                 ? ls_tracker_write_to(tracker, var, ls__of_meant(b, m->of), m->value, m->value_len, &fault)
                 : ls_tracker_write(tracker, var, m->value, m->value_len, &fault);
    if (rc != 0) {
        refuse_value(b, conn, m->id, id, &fault);
        return;
    }
    if (ls__told(conn->space, id, NULL)) { /* let the page clear its mark even if nothing else is to be sent (P101) */
        ls__tell(conn->space, id, LS__TOLD_NOT, 0);
        if (!ls__seq_owed(conn->space, id)) ls__due(b, conn->space, id, false);
        for (size_t i = 0; i < b->refused.count; i++)
            if (b->refused.items[i].conn == conn && b->refused.items[i].id == id)
                b->refused.items[i--] = b->refused.items[--b->refused.count];
    }
    var = ls_tracker_find(tracker, id);
    if (!var || ls_var_owner(var)) return;
    /* a shared variable: the others follow (P56) */
    for (struct ls__space *space = b->spaces; space; space = space->next)
        if (space != conn->space && ls__space_tally(space, var)) ls__due(b, space, id, false);
}

static void handle_update(struct ls_backend *b, struct ls_conn *conn, const struct ls_message *m)
{
    struct ls_var *var = ls__space_find(b, conn->space, m->id);
    if (!var) {
        refuse_unknown(conn, m->id);
        return;
    }
    int64_t id = ls_var_id(var);
    note_write(b, conn, m, id);
    if (conn->marked && m->mark_problem) {
        struct ls_fault fault;
        ls_fault_set(&fault, LS_FAULT_BAD_MESSAGE, "%s", m->mark_problem);
        refuse_value(b, conn, m->id, id, &fault);
        return;
    }
    struct ls_fault full;
    /* all of it or nothing */
    if (ls_tracker_admit(b->engine->tracker, var, m->props, m->prop_count, m->value_len, &full) != 0) {
        if (m->has_value)
            refuse_value(b, conn, m->id, id, &full);
        else
            refuse_property(conn, m->id, id, &full);
        return;
    }
    bool ignored = m->has_value && ls__is_inactive(b, var) && !ls_message_prop(m, "inactive"); /* P93, P94 */
    set_properties(b, conn, m, id);
    const struct ls_prop *lua = id == 1 ? ls_message_prop(m, "lua") : NULL;
    if (lua) run_lua_property(b, conn, lua);
    if (m->has_value && !ignored) write_value(b, conn, m, id);
}

/* --- destroy (section 12) --- */

static void handle_destroy(struct ls_backend *b, struct ls_conn *conn, const struct ls_message *m)
{
    struct ls_var *var = ls__space_find(b, conn->space, m->id);
    if (!var) return;
    if (ls_var_id(var) == 1)
        refuse(conn, 1, LS_FAULT_BAD_ACCESS, "variable 1 cannot be destroyed");
    else
        ls__remove_variable(b, b->engine, ls_var_id(var), conn);
}

/* --- get, getObjects (section 16) --- */

/* What answers one message: the errors about single ids, then the answer. */
struct answer {
    struct ls_backend *b;
    struct ls_conn *conn;
    size_t first, start; /* its place in the queue, and in the text */
    struct ls_buf data;
};

static void begin_answer(struct answer *answer, struct ls_backend *b, struct ls_conn *conn, const char *member)
{
    *answer = (struct answer){.b = b,
                              .conn = conn,
                              .first = conn->out.count,
                              .start = conn->out.text.len,
                              .data = {.budget = b->budget, .extra = LS_BUDGET_SPARE}};
    ls_json_open(&answer->data, NULL, '{');
    ls_json_open(&answer->data, member, '[');
}

static size_t answer_size(const struct answer *answer)
{
    return answer->conn->out.text.len - answer->start + answer->data.len;
}

/* An answer that is not made further: what stands of it goes, and an error takes its place. @return false */
static bool drop_answer(struct answer *answer, enum ls_fault_kind kind, const char *text)
{
    ls_buf_release(&answer->data);
    ls_outgoing_cut(&answer->conn->out, answer->first);
    refuse(answer->conn, 0, kind, "%s", text);
    return false;
}

/* Does it stay within the limit, with those that wait? */
static bool answer_fits(struct answer *answer, size_t more)
{
    uint64_t max = answer->b->config.max_outbox;
    char text[192];
    if (!max || answer->conn->out.answers + answer_size(answer) + more <= max) return true;
    snprintf(
        text, sizeof text,
        "the answer is too-large: with those that wait it would be more than %llu bytes, the limit of --max-outbox; ask for less at once",
        (unsigned long long)max);
    return drop_answer(answer, LS_FAULT_TOO_LARGE, text);
}

/* The value that has just been asked for may be one that was stopped: then it is null. */
static bool answer_goes_on(struct answer *answer, size_t step, size_t len)
{
    if ((len > sizeof "null" - 1 && step % 256 != 0) || !ls_tracker_stopped(answer->b->engine->tracker)) return true;
    return drop_answer(answer, LS_FAULT_INTERNAL,
                       "the answer was interrupted, or took longer than --time-limit; ask for less at once");
}

static void end_answer(struct answer *answer, const char *type)
{
    struct ls_conn *conn = answer->conn;
    ls_buf_str(&answer->data, "]}");
    conn->out.answers += answer_size(answer);
    ls_write_answer(ls_outgoing_begin(&conn->out), type, ls_buf_text(&answer->data), answer->data.len);
    ls_outgoing_end(&conn->out, 0);
    conn->out.lost |= ls_buf_failed(&answer->data);
    ls_buf_release(&answer->data);
}

static bool add_variables(struct answer *answer, struct ls_backend *b, struct ls_conn *conn, const struct ls_message *m)
{
    struct ls_buf *data = &answer->data;
    for (size_t i = 0; i < m->id_count; i++) {
        struct ls_var *var = ls__space_find(b, conn->space, m->ids[i]);
        size_t len = 0;
        const char *json = var ? ls_var_json(b->engine->tracker, var, &len) : NULL;
        if (!answer_goes_on(answer, i, len) || !answer_fits(answer, len)) return false;
        if (!var) {
            refuse_unknown(conn, m->ids[i]);
            continue;
        }
        ls_json_open(data, NULL, '{');
        ls_json_put_int(data, "id", m->ids[i]);
        ls_json_put_raw(data, "value", json, len);
        ls_json_open(data, "properties", '{');
        for (size_t p = 0; p < ls_var_property_count(var); p++) {
            const char *name, *value;
            enum ls_priority priority;
            ls_var_property_at(var, p, &name, &value, &priority);
            ls_json_put_str(data, name, value);
        }
        ls_buf_str(data, "}}");
    }
    return answer_fits(answer, 0);
}

static void handle_get(struct ls_backend *b, struct ls_conn *conn, const struct ls_message *m)
{
    struct answer answer;
    begin_answer(&answer, b, conn, "variables");
    int opened = ls_tracker_enter(b->engine->tracker);
    bool whole = add_variables(&answer, b, conn, m);
    ls_tracker_leave(b->engine->tracker, opened);
    if (whole) end_answer(&answer, "get");
}

static void handle_get_objects(struct ls_backend *b, struct ls_conn *conn, const struct ls_message *m)
{
    struct answer answer;
    begin_answer(&answer, b, conn, "objects");
    for (size_t i = 0; i < m->id_count; i++) {
        LS_ERR(err);
        size_t before = answer.data.len;
        ls_json_open(&answer.data, NULL, '{');
        ls_json_put_int(&answer.data, "obj", m->ids[i]);
        ls_json_key(&answer.data, "value");
        if (ls_session_object_json(b->engine->session, m->ids[i], &answer.data, &err) == 0) {
            ls_buf_char(&answer.data, '}');
        } else {
            ls_buf_cut(&answer.data, before);
            if (err.code == LS_ENOTFOUND)
                refuse(conn, 0, LS_FAULT_NOT_FOUND, "no object %lld", (long long)m->ids[i]);
            else
                refuse(conn, 0, err.code == LS_ELUA ? LS_FAULT_LUA_ERROR : LS_FAULT_INTERNAL, "%s", ls_err_text(&err));
        }
        if (!answer_fits(&answer, 0)) return;
    }
    end_answer(&answer, "getObjects");
}

/* --- all of them --- */

/* P102: accepted, logged, not answered. A rejected view definition is shown like a failed reload (H78). */
static void handle_error(struct ls_backend *b, const struct ls_message *m)
{
    struct ls_buf text = LS_BUF_INIT;
    ls_buf_printf(&text, "page: error on variable %lld: ", (long long)m->id);
    size_t differs = text.len; /* a hundred rows may say the same */
    ls_buf_printf(&text, "%s: %s", m->code, m->description);
    if (!ls_buf_failed(&text)) ls_log_folded(1, b->vended_id, b->vended_id, differs, text.data, text.len);
    ls_buf_release(&text);
    if (strcmp(m->code, "bad-viewdef") == 0) ls__page_problem(b, m->description);
}

/* The page of a connection that was replaced may still show what is no more: whatever it does reaches nothing (R8). */
static bool refuse_replaced(struct ls_conn *conn, const struct ls_message *m)
{
    if (!conn->replaced || m->tab || m->type == LS_MSG_ERROR || m->type == LS_MSG_INVALID) return false;
    refuse(conn, m->id, LS_FAULT_REPLACED, "another connection shows this tab now");
    return true;
}

/* A message that makes no sense is answered with its error. A write that the page has numbered is over by that, too. */
static void handle_invalid(struct ls_backend *b, struct ls_conn *conn, const struct ls_message *m)
{
    struct ls_var *var = m->seq && conn->marked ? ls__space_find(b, conn->space, m->id) : NULL;
    if (!var) {
        ls__send_error(conn, m->id, m->fault);
        return;
    }
    note_write(b, conn, m, ls_var_id(var));
    refuse_value(b, conn, m->id, ls_var_id(var), m->fault);
}

static const char *const type_names[] = {"bad message", "create", "update", "destroy",    "watch",
                                         "unwatch",     "error",  "get",    "getObjects", "poll"};

void ls__handle(struct ls_backend *b, struct ls_conn *conn, struct ls_batch *batch)
{
    struct ls_tracker *tracker = b->engine->tracker;
    int opened = 0; /* a page that shows a list creates thousands of variables in a row: they share one bracket */
    size_t room = ls_batch_bytes(batch) + LS_BUDGET_SPARE;
    /* Once halted, the session ends with the server: what follows would be refused message by message. */
    for (size_t i = 0; i < batch->count && !ls_session_halted(b->engine->session); i++) {
        const struct ls_message *m = &batch->messages[i];
        bool full = !ls_budget_fits(b->budget, room, 0);
        if (m->type != LS_MSG_CREATE || full) {
            ls_tracker_leave(tracker, opened);
            opened = 0;
        }
        if (full)
            /* what nothing uses any more goes before a message fails; not again until as much may have gathered */
            ls__collect(b, ls_budget_get(&b->budget->limit) / 16);
        if (m->type == LS_MSG_CREATE && opened <= 0) opened = ls_tracker_enter(tracker);
        if (ls_log_on(2))
            ls_log_session(2, b->vended_id, "connection %u: %s %lld", conn->number, type_names[m->type],
                           (long long)m->id);
        if (refuse_replaced(conn, m)) continue;
        switch (m->type) {
        case LS_MSG_CREATE: handle_create(b, conn, m); break;
        case LS_MSG_UPDATE: handle_update(b, conn, m); break;
        case LS_MSG_DESTROY: handle_destroy(b, conn, m); break;
        case LS_MSG_WATCH: handle_watch(b, conn, m); break;
        case LS_MSG_UNWATCH: handle_unwatch(b, conn, m); break;
        case LS_MSG_ERROR: handle_error(b, m); break;
        case LS_MSG_GET: handle_get(b, conn, m); break;
        case LS_MSG_GET_OBJECTS: handle_get_objects(b, conn, m); break;
        case LS_MSG_POLL: break; /* answered by ls_backend_api */
        case LS_MSG_INVALID: handle_invalid(b, conn, m); break;
        }
    }
    ls_tracker_leave(tracker, opened);
}
