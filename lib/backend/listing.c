/* /SESSION/variables.json (P12 to P16): a picture of all variables, taken inside the session's queue.
 *
 * Owner thread: the session's. Ids of different connections overlap, so here they are made unique. */
#include <string.h>

#include "backend/backend_internal.h"
#include "base/json.h"
#include "base/text.h"

#define LS_CONN_STEP INT64_C(1000000000) /* P12: variables of further connections appear under number × 10^9 + id */

struct listing {
    struct ls_backend *b;
    struct ls_buf *out;
    const struct ls__space *plain; /* the space whose ids appear as they are */
    bool any;
};

/* The id under which the listing shows a variable. A client's id that coincides with a root of Lua's own (T8) has to
 * give way. */
static int64_t listed_id(const struct listing *l, const struct ls_var *var)
{
    const struct ls__space *space = ls_var_owner(var);
    if (!space) return ls_var_id(var);
    int64_t id = ls_var_owner_id(var);
    if (space == l->plain) {
        struct ls_var *same = ls_tracker_find(l->b->engine->tracker, id);
        if (!same || same == var || ls_var_owner(same)) return id;
    }
    return (int64_t)space->number * LS_CONN_STEP + id;
}

static void add_text(struct listing *l, const char *name, const char *text)
{
    if (text && *text) ls_json_put_str(l->out, name, text);
}

static void add_json(struct listing *l, const char *name, const char *json, size_t len)
{
    if (len != 4 || memcmp(json, "null", 4) != 0) ls_json_put_raw(l->out, name, json, len);
}

static void add_duration(struct listing *l, const char *name, int64_t ns)
{
    struct ls_buf text = LS_BUF_INIT;
    if (ns <= 0) return;
    ls_format_duration(&text, ns);
    ls_json_put_str(l->out, name, ls_buf_text(&text));
    ls_buf_release(&text);
}

static void add_properties(struct listing *l, const struct ls_var *var)
{
    size_t count = ls_var_property_count(var);
    if (!count) return;
    ls_json_open(l->out, "properties", '{');
    for (size_t i = 0; i < count; i++) {
        const char *name, *value;
        enum ls_priority priority;
        ls_var_property_at(var, i, &name, &value, &priority);
        ls_json_put_str(l->out, name, value);
    }
    ls_buf_char(l->out, '}');
}

static void add_children(struct listing *l, const struct ls_var *var)
{
    size_t count = ls_var_child_count(var);
    if (!count) return;
    ls_json_open(l->out, "childIds", '[');
    for (size_t i = 0; i < count; i++) {
        const struct ls_var *child = ls_tracker_find(l->b->engine->tracker, ls_var_child(var, i));
        ls_json_put_int(l->out, NULL, listed_id(l, child));
    }
    ls_buf_char(l->out, ']');
}

/* Text form of T98. */
static void add_fault(struct listing *l, const struct ls_var *var)
{
    const struct ls_fault *fault = ls_var_fault(var);
    struct ls_buf text = LS_BUF_INIT;
    if (!fault) return;
    ls_buf_printf(&text, "%s error: %s", ls_fault_kind_text(fault->kind), fault->text);
    add_text(l, "error", ls_buf_text(&text));
    ls_buf_release(&text);
}

static void add_diags(struct listing *l, const struct ls_var *var)
{
    size_t count = ls_var_diag_count(var);
    if (!count) return;
    ls_json_open(l->out, "diags", '[');
    for (size_t i = 0; i < count; i++)
        ls_json_put_str(l->out, NULL, ls_var_diag_at(var, i));
    ls_buf_char(l->out, ']');
}

static bool is_full(const struct listing *l)
{
    return l->b->config.max_outbox && l->out->len > l->b->config.max_outbox;
}

static void add_variable(void *ctx, struct ls_var *var, unsigned depth)
{
    struct listing *l = ctx;
    struct ls_tracker *tracker = l->b->engine->tracker;
    struct ls_var *parent = ls_tracker_find(tracker, ls_var_parent(var));
    const struct ls__space *space = ls_var_owner(var);
    size_t len;
    if (is_full(l)) return;
    if (l->any) ls_buf_str(l->out, ",\n"); /* a variable a line */
    l->any = true;
    ls_json_open(l->out, NULL, '{');
    ls_json_put_int(l->out, "id", listed_id(l, var));
    ls_json_put_int(l->out, "parentId", parent ? listed_id(l, parent) : 0);
    add_text(l, "type", ls_var_property(var, "type"));
    add_text(l, "goType", ls_session_native_type(l->b->engine->session, var));
    add_text(l, "path", ls_var_property(var, "path"));
    const char *json = ls_var_json(tracker, var, &len);
    add_json(l, "value", json, len);
    json = ls_var_base_json(tracker, var, &len);
    add_json(l, "baseValue", json, len);
    add_properties(l, var);
    add_children(l, var);
    add_fault(l, var);
    add_duration(l, "computeTime", ls_var_compute_ns(var));
    add_duration(l, "maxComputeTime", ls_var_max_compute_ns(var));
    ls_json_put_bool(l->out, "active", ls_var_active(var));
    add_text(l, "access", ls_var_property(var, "access"));
    add_diags(l, var);
    ls_json_put_int(l->out, "changeCount", (int64_t)ls_var_change_count(var));
    ls_json_put_int(l->out, "depth", depth);
    const char *element = ls_var_property(var, "elementId");
    ls_json_put_str(l->out, "elementId", element ? element : "");
    if (space) {
        ls_json_put_int(l->out, "conn", space->number);
        ls_json_put_int(l->out, "clientId", ls_var_owner_id(var));
    }
    ls_buf_char(l->out, '}');
}

int ls_backend_listing(struct ls_backend *b, int diag, struct ls_buf *out, uint64_t *changes)
{
    struct ls_tracker *tracker = b->engine->tracker;
    int before = ls_tracker_diag_level(tracker);
    if (diag >= 0) ls_tracker_set_diag_level(tracker, diag);
    /* no batch of its own to the tracker: what the last one's writes came to is to be seen here (TX24, T101) */
    b->in_batch = true;
    if (b->conn_count) {
        ls_backend_after_batch(b, false); /* what the recomputation finds is sent as usual */
    } else {
        ls_tracker_detect(tracker); /* it stays pending for the next connection (P54) */
        b->in_batch = false;
    }
    ls_tracker_set_diag_level(tracker, before);
    *changes = ls_tracker_change_count(tracker);
    /* the list begins with the lowest number */
    struct listing listing = {.b = b, .out = out, .plain = b->conns ? b->conns->space : NULL};
    ls_buf_char(out, '[');
    ls_tracker_each(tracker, add_variable, &listing);
    ls_buf_str(out, "]\n");
    return is_full(&listing) ? LS_ELIMIT : ls_buf_failed(out) ? LS_ENOMEM : 0;
}
