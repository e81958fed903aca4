/* Requests of the API (P24, P25, P116 to P119): a batch of one message whose errors and answers become the body of the
 * HTTP answer; what else is meant for the identity waits in its queue for a poll.
 *
 * Owner thread: the session's. Waiting polls are the server's: it may not block here. */
#include <string.h>

#include "backend/backend_internal.h"
#include "base/json.h"

/* {"error":DESCRIPTION} or {"result":DATA} from one message that was written for a page. */
static void answer_with(struct ls_buf *answer, const char *text, size_t len, const char *member, const char *field)
{
    const char *data, *value;
    size_t data_len, value_len;
    if (!ls_json_member(text, len, "data", &data, &data_len)) return;
    if (!field) {
        value = data;
        value_len = data_len;
    } else if (!ls_json_member(data, data_len, field, &value, &value_len)) {
        return;
    }
    ls_json_open(answer, NULL, '{');
    ls_json_put_raw(answer, member, value, value_len);
    ls_buf_char(answer, '}');
}

static bool is_of_type(const char *text, size_t len, const char *type)
{
    const char *value;
    size_t value_len, type_len = strlen(type);
    return ls_json_member(text, len, "type", &value, &value_len) && value_len == type_len + 2 &&
           memcmp(value + 1, type, type_len) == 0;
}

/* Sort what the message has produced: the answer goes into the body, the first error too if there is no answer; the
 * rest is for the queue. */
static void sort_messages(struct ls_outgoing *made, struct ls_outgoing *queue, struct ls_buf *answer)
{
    size_t taken = made->count;
    for (int pass = 0; pass < 2 && !answer->len; pass++)
        for (size_t i = 0; i < made->count && !answer->len; i++) {
            const char *text = made->text.data + made->messages[i].start;
            size_t len = made->messages[i].len;
            if (pass == 0 && (is_of_type(text, len, "get") || is_of_type(text, len, "getObjects")))
                answer_with(answer, text, len, "result", NULL);
            else if (pass == 1 && is_of_type(text, len, "error"))
                answer_with(answer, text, len, "error", "description");
            else
                continue;
            taken = i;
        }
    for (size_t i = 0; i < made->count; i++)
        if (i != taken)
            ls_outgoing_add(queue, made->messages[i].id, made->text.data + made->messages[i].start,
                            made->messages[i].len);
    queue->lost |= made->lost;
}

int ls_backend_api(struct ls_backend *b, struct ls_conn *conn, struct ls_batch *batch, struct ls_buf *answer)
{
    const struct ls_message *m = batch->count ? &batch->messages[0] : NULL;
    int status = m && m->type == LS_MSG_INVALID && m->fault && m->fault->kind == LS_FAULT_UNKNOWN_TYPE ? 500 : 200;
    struct ls_buf body = LS_BUF_INIT;
    ls__begin(b);
    ls__grace_frame(b, conn, batch);
    if (m && m->type == LS_MSG_POLL) {
        ls_json_open(&body, NULL, '{');
        ls_json_key(&body, "result");
        ls_backend_poll(conn, &body);
        ls_buf_char(&body, '}');
    } else {
        struct ls_outgoing queue = conn->out; /* what this message produces is looked at by itself */
        ls_outgoing_init(&conn->out, b->budget);
        ls__handle(b, conn, batch);
        sort_messages(&conn->out, &queue, &body);
        ls_outgoing_release(&conn->out);
        conn->out = queue;
        b->refused.count = 0; /* their places in the queue have changed */
    }
    ls_backend_after_batch(b, batch->user_event);
    if (ls_buf_failed(&body)) {
        status = 500;
        ls_buf_str(answer, "{\"error\":\"Out of memory while writing the answer.\"}");
    } else {
        ls_buf_str(answer, body.len ? body.data : "{}");
    }
    ls_buf_release(&body);
    ls_batch_free(batch);
    return status;
}

size_t ls_backend_poll(struct ls_conn *conn, struct ls_buf *answer)
{
    return ls_outgoing_drain(&conn->out, answer);
}

size_t ls_backend_waiting(const struct ls_conn *conn)
{
    return conn->out.count > 1 ? conn->out.text.len - conn->out.messages[0].len : 0;
}
