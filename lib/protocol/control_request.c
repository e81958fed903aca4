/* Requests of the control socket: one JSON object, looked into by name (C3). Members are read with the span reader of
 * base/json.h and not with cJSON, because an id is echoed as it was written and code may hold NUL.
 * Thread: any; a request belongs to whoever parsed it. Refuses to know what commands mean. */
#include "protocol/control_request.h"

#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"

/* Texts handed out live as long as the request. */
struct kept {
    struct kept *next;
    void *block;
};

struct ls_control {
    char *text; /* owned copy of the line */
    size_t len;
    char *id; /* owned */
    const char *cmd;
    struct kept *kept;
};

static void *keep(struct ls_control *request, void *block)
{
    struct kept *kept = block ? ls_malloc(sizeof *kept) : NULL;
    if (!kept) {
        ls_free(block);
        return NULL;
    }
    *kept = (struct kept){request->kept, block};
    request->kept = kept;
    return block;
}

static bool is_whole_object(const char *text, size_t len)
{
    struct ls_json_reader reader;
    const char *span;
    size_t span_len;
    ls_json_read(&reader, text, len);
    enum ls_json_token first = ls_json_next(&reader);
    return first == LS_JSON_OBJECT && ls_json_skip(&reader, first, &span, &span_len) &&
           ls_json_next(&reader) == LS_JSON_END;
}

/* Who does not ask for the length reads a C string. It must not end at a NUL inside, where it might name something
 * else: U+FFFD stands there then. */
static char *unescaped(const char *raw, size_t len, size_t *text_len)
{
    struct ls_buf out = LS_BUF_INIT;
    ls_buf_reserve(&out, len + 1);
    ls_json_unescape(&out, raw, len);
    if (!text_len && !ls_buf_failed(&out) && memchr(ls_buf_text(&out), '\0', out.len)) {
        struct ls_buf whole = LS_BUF_INIT;
        for (size_t i = 0; i < out.len; i++)
            ls_buf_add(&whole, out.data[i] ? out.data + i : "\xef\xbf\xbd", out.data[i] ? 1 : 3);
        ls_buf_release(&out);
        out = whole;
    }
    return ls_buf_detach(&out, text_len);
}

struct ls_control *ls_control_parse(const char *text, size_t len, struct ls_err *err)
{
    struct ls_control *request = ls_zalloc(sizeof *request);
    if (request) request->text = ls_strndup(text, len);
    if (!request || !request->text) {
        ls_free(request);
        ls_fail(err, LS_ENOMEM, "Not enough memory for a control request.");
        return NULL;
    }
    request->len = len;
    if (!is_whole_object(text, len)) {
        ls_control_free(request);
        ls_fail(err, LS_EINVAL, "A control request is one JSON object on one line.");
        return NULL;
    }
    const char *id;
    size_t id_len;
    if (ls_json_member(request->text, len, "id", &id, &id_len) && *id != '{' && *id != '[')
        request->id = ls_strndup(id, id_len);
    request->cmd = ls_control_text(request, "cmd", NULL);
    return request;
}

void ls_control_free(struct ls_control *request)
{
    if (!request) return;
    while (request->kept) {
        struct kept *kept = request->kept;
        request->kept = kept->next;
        ls_free(kept->block);
        ls_free(kept);
    }
    ls_free(request->text);
    ls_free(request->id);
    ls_free(request);
}

const char *ls_control_id(const struct ls_control *request)
{
    return request && request->id ? request->id : "null";
}

const char *ls_control_cmd(const struct ls_control *request)
{
    return request->cmd ? request->cmd : "";
}

const char *ls_control_text(struct ls_control *request, const char *name, size_t *len)
{
    const char *value;
    size_t value_len, text_len = 0;
    if (!ls_json_member(request->text, request->len, name, &value, &value_len) || value_len < 2 || *value != '"')
        return NULL;
    char *text = keep(request, unescaped(value + 1, value_len - 2, len ? &text_len : NULL));
    if (len) *len = text_len;
    return text;
}

bool ls_control_flag(struct ls_control *request, const char *name)
{
    const char *value;
    size_t len;
    return ls_json_member(request->text, request->len, name, &value, &len) && len == 4 && memcmp(value, "true", 4) == 0;
}

int64_t ls_control_int(struct ls_control *request, const char *name, int64_t otherwise)
{
    const char *value;
    size_t len;
    struct ls_json_reader reader;
    if (!ls_json_member(request->text, request->len, name, &value, &len)) return otherwise;
    ls_json_read(&reader, value, len);
    return ls_json_next(&reader) == LS_JSON_INT ? reader.integer : otherwise;
}

size_t ls_control_list(struct ls_control *request, const char *name, const char *const **names)
{
    const char *value;
    size_t len, count = 0, room = 0;
    const char **list = NULL;
    struct ls_json_reader reader;
    *names = NULL;
    if (!ls_json_member(request->text, request->len, name, &value, &len) || *value != '[') return 0;
    for (size_t i = 0; i < len; i++)
        room += value[i] == '"';
    list = keep(request, ls_array(room / 2 + 1, sizeof *list));
    if (!list) return 0;
    ls_json_read(&reader, value, len);
    ls_json_next(&reader);
    for (enum ls_json_token token;
         (token = ls_json_next(&reader)) != LS_JSON_ARRAY_END && token != LS_JSON_ERROR && token != LS_JSON_END;) {
        if (token == LS_JSON_STRING && count < room / 2) {
            char *text = keep(request, unescaped(reader.text, reader.len, NULL));
            if (text) list[count++] = text;
        } else if (token == LS_JSON_OBJECT || token == LS_JSON_ARRAY) {
            const char *span;
            size_t span_len;
            if (!ls_json_skip(&reader, token, &span, &span_len)) break;
        }
    }
    *names = list;
    return count;
}
