/* Requests of the control socket: one JSON object, looked into by name (C3).
 * Thread: any; a request belongs to whoever parsed it. Refuses to know what commands mean. */
#include "protocol/control_request.h"

#include <string.h>

#include "base/json.h"
#include "protocol/arena.h"

struct ls_control {
    struct ls__arena *arena; /* this, the line, and all texts handed out live there */
    const char *text;
    size_t len;
    const char *id;
    const char *cmd;
};

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

static const char *copy_of(struct ls__arena *arena, const char *text, size_t len)
{
    char *copy = ls__arena_take(arena, len + 1, 1);
    return copy && len ? memcpy(copy, text, len) : copy;
}

struct ls_control *ls_control_parse(const char *text, size_t len, struct ls_err *err)
{
    if (!is_whole_object(text, len)) {
        ls_fail(err, LS_EINVAL, "A control request is one JSON object on one line.");
        return NULL;
    }
    struct ls__arena *arena = ls__arena_new(2 * len + 256, NULL); /* the line, and its texts once */
    struct ls_control *request = arena ? ls__arena_take(arena, 1, sizeof *request) : NULL;
    const char *id;
    size_t id_len;
    if (request) {
        *request = (struct ls_control){.arena = arena, .text = copy_of(arena, text, len), .len = len, .id = "null"};
        if (ls_json_member(text, len, "id", &id, &id_len) && *id != '{' && *id != '[')
            request->id = copy_of(arena, id, id_len);
        if (request->text) request->cmd = ls_control_text(request, "cmd", NULL);
        if (!arena->full) return request;
    }
    ls__arena_free(arena);
    ls_fail(err, LS_ENOMEM, "Out of memory while reading a control request.");
    return NULL;
}

void ls_control_free(struct ls_control *request)
{
    if (request) ls__arena_free(request->arena);
}

const char *ls_control_id(const struct ls_control *request)
{
    return request ? request->id : "null";
}

const char *ls_control_cmd(const struct ls_control *request)
{
    return request->cmd ? request->cmd : "";
}

const char *ls_control_text(struct ls_control *request, const char *name, size_t *len)
{
    const char *value;
    size_t value_len;
    if (!ls_json_member(request->text, request->len, name, &value, &value_len) || *value != '"') return NULL;
    return ls__arena_string(request->arena, value + 1, value_len - 2, len);
}

bool ls_control_flag(struct ls_control *request, const char *name)
{
    const char *value;
    size_t len;
    return ls_json_member(request->text, request->len, name, &value, &len) && len == 4 && memcmp(value, "true", 4) == 0;
}

int64_t ls_control_int(struct ls_control *request, const char *name)
{
    const char *value;
    size_t len;
    struct ls_json_reader reader;
    if (!ls_json_member(request->text, request->len, name, &value, &len)) return 0;
    ls_json_read(&reader, value, len);
    return ls_json_next(&reader) == LS_JSON_INT ? reader.integer : 0;
}

size_t ls_control_list(struct ls_control *request, const char *name, const char *const **names)
{
    const char *value;
    size_t len, count = 0, room = 0;
    struct ls_json_reader reader;
    *names = NULL;
    if (!ls_json_member(request->text, request->len, name, &value, &len) || *value != '[') return 0;
    for (size_t i = 0; i < len; i++)
        room += value[i] == '"';
    const char **list = ls__arena_take(request->arena, room / 2 + 1, sizeof *list);
    if (!list) return 0;
    ls_json_read(&reader, value, len);
    ls_json_next(&reader);
    for (enum ls_json_token token = ls_json_next(&reader); token != LS_JSON_ARRAY_END; token = ls_json_next(&reader)) {
        if (token == LS_JSON_STRING) list[count] = ls__arena_string(request->arena, reader.text, reader.len, NULL);
        count += token == LS_JSON_STRING && list[count];
        ls_json_skip(&reader, token, NULL, NULL);
    }
    *names = list;
    return count;
}

bool ls_control_is_odd(const struct ls_control *request, const char *name, bool list)
{
    const char *value;
    size_t len;
    struct ls_json_reader reader;
    if (!ls_json_member(request->text, request->len, name, &value, &len)) return false;
    ls_json_read(&reader, value, len);
    enum ls_json_token token = ls_json_next(&reader);
    if (!list || token != LS_JSON_ARRAY) return token != LS_JSON_NULL && (list || token != LS_JSON_STRING);
    while ((token = ls_json_next(&reader)) == LS_JSON_STRING)
        continue;
    return token != LS_JSON_ARRAY_END;
}
