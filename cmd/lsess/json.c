/* Looking things up in JSON answers. A thin layer over the reader of base/, which does the parsing. */
#include "json.h"

#include "base/json.h"
#include "base/text.h"

struct json json_member(struct json object, const char *name)
{
    struct json value = {NULL, 0};
    if (object.text) ls_json_member(object.text, object.len, name, &value.text, &value.len);
    return value;
}

const char *json_string(struct json value, struct ls_buf *out)
{
    ls_buf_clear(out);
    if (value.len >= 2 && value.text[0] == '"') ls_json_unescape(out, value.text + 1, value.len - 2);
    return ls_buf_text(out);
}

const char *json_shown(struct json value, struct ls_buf *out)
{
    struct ls_buf raw = LS_BUF_INIT;
    json_string(value, &raw);
    ls_buf_clear(out);
    ls_text_show(out, ls_buf_text(&raw), raw.len, LS_INDENT);
    ls_buf_release(&raw);
    return ls_buf_text(out);
}

int64_t json_int(struct json value, int64_t otherwise)
{
    struct ls_json_reader reader;
    if (!value.text) return otherwise;
    ls_json_read(&reader, value.text, value.len);
    switch (ls_json_next(&reader)) {
    case LS_JSON_INT: return reader.integer;
    case LS_JSON_DOUBLE: return (int64_t)reader.number;
    default: return otherwise;
    }
}

bool json_true(struct json value)
{
    return value.len == 4 && value.text[0] == 't';
}

bool json_item(struct json array, size_t *at, struct json *item)
{
    /* Each step reads on from where the last item ended; the first skips the bracket. */
    if (!array.text || array.len < 2 || array.text[0] != '[') return false;
    size_t from = *at > 0 ? *at : 1;
    while (from < array.len && (array.text[from] == ',' || array.text[from] == ' ' || array.text[from] == '\n'))
        from++;
    if (from >= array.len || array.text[from] == ']') return false;
    struct ls_json_reader reader;
    ls_json_read(&reader, array.text + from, array.len - from);
    if (!ls_json_skip(&reader, ls_json_next(&reader), &item->text, &item->len)) return false;
    *at = (size_t)(item->text + item->len - array.text);
    return true;
}

size_t json_count(struct json array)
{
    size_t count = 0, at = 0;
    struct json item;
    while (json_item(array, &at, &item))
        count++;
    return count;
}

void json_join(struct json array, struct ls_buf *out)
{
    struct ls_buf text = LS_BUF_INIT;
    struct json item;
    size_t at = 0;
    ls_buf_clear(out);
    while (json_item(array, &at, &item)) {
        if (out->len > 0) ls_buf_str(out, ", ");
        ls_buf_str(out, json_shown(item, &text));
    }
    ls_buf_release(&text);
}
