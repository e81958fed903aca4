/* Outgoing messages (protocol.md sections 5 and 7), always in the nested form, and questions about property names
 * (P87).
 * Thread: any; nothing is kept. It refuses to decide what is sent: that is the backend's. */
#include "protocol/message.h"

#include <string.h>

#include "base/json.h"

#define LS_ADD(out, literal) ls_buf_add(out, literal, sizeof(literal) - 1)

const struct ls_prop *ls_message_prop(const struct ls_message *message, const char *name)
{
    for (size_t i = message->prop_count; i-- > 0;)
        if (ls_prop_is(&message->props[i], name)) return &message->props[i];
    return NULL;
}

void ls_write_update(struct ls_buf *out, int64_t id, const char *value_json, size_t value_len, const char *const *names,
                     const char *const *values, size_t count, const struct ls_answer *answer)
{
    LS_ADD(out, "{\"type\":\"update\",\"data\":{\"varId\":");
    ls_json_int(out, id);
    if (value_json) {
        LS_ADD(out, ",\"value\":");
        ls_buf_add(out, value_json, value_len);
    }
    for (size_t i = 0; i < count; i++) {
        if (i == 0)
            LS_ADD(out, ",\"properties\":{");
        else
            ls_buf_char(out, ',');
        ls_json_str(out, names[i]);
        ls_buf_char(out, ':');
        ls_json_str(out, values[i]);
    }
    if (count) ls_buf_char(out, '}');
    if (answer && answer->seq) {
        LS_ADD(out, ",\"seq\":");
        ls_json_int(out, answer->seq);
    }
    if (answer && answer->has_of) {
        LS_ADD(out, ",\"of\":");
        if (answer->of)
            ls_json_int(out, answer->of);
        else
            LS_ADD(out, "null");
    }
    LS_ADD(out, "}}");
}

void ls_write_destroy(struct ls_buf *out, int64_t id)
{
    LS_ADD(out, "{\"type\":\"destroy\",\"data\":{\"varId\":");
    ls_json_int(out, id);
    LS_ADD(out, "}}");
}

void ls_write_error(struct ls_buf *out, int64_t id, const char *code, const char *description)
{
    LS_ADD(out, "{\"type\":\"error\",\"data\":{");
    if (id) ls_json_put_int(out, "varId", id);
    ls_json_put_str(out, "code", code);
    ls_json_put_str(out, "description", description);
    LS_ADD(out, "}}");
}

void ls_write_answer(struct ls_buf *out, const char *type, const char *data, size_t len)
{
    ls_json_open(out, NULL, '{');
    ls_json_put_str(out, "type", type);
    ls_json_put_raw(out, "data", data, len);
    ls_buf_char(out, '}');
}
