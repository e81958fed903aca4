/* Incoming frames to messages (protocol.md sections 4 and 17).
 *
 * cJSON builds the tree of a frame and judges whether it is JSON at all; beside it a reader of base/json.h walks the
 * very same text, member by member in lockstep, and supplies what cJSON cannot hold: 64-bit integers, NUL in strings,
 * exact key comparison, and the source text of values, which go to the tracker unread. Where the two disagree the frame
 * is not JSON for us.
 *
 * Everything of a batch lives in its arena: cJSON allocates there too, through hooks that are active only on the
 * parsing thread and only while it parses. So a frame costs a malloc or two and nothing is freed piece by piece.
 *
 * Thread: any; it keeps no state. It refuses to know variables or sessions: whether an id exists is the backend's
 * question. */
#include "protocol/message.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/map.h"
#include "base/text.h"
#include "protocol/arena.h"
#include "protocol/count.h"

/* --- cJSON's memory --- */

static _Thread_local struct ls__arena *parsing;

static void *tree_malloc(size_t size)
{
    return parsing ? ls__arena_take(parsing, size) : ls_malloc(size);
}

static void tree_free(void *block)
{
    if (!parsing) ls_free(block);
}

/* Before main, so that no other user of cJSON ever frees with one allocator what it got from another. */
__attribute__((constructor)) static void install_hooks(void)
{
    cJSON_Hooks hooks = {tree_malloc, tree_free};
    cJSON_InitHooks(&hooks);
}

/* --- fields --- */

/* One field as the text has it: the first token of its value, and the span. */
struct field {
    bool present;
    enum ls_json_token token;
    int64_t integer;  /* of LS_JSON_INT */
    const char *text; /* the value's text */
    size_t len;
    const cJSON *item; /* the same value in the tree */
};

/* The fields of P46, of one level (`data` or the message itself). */
struct fields {
    struct field id, var_id, parent, value, nowatch, wait, code, description;
    struct field properties, var_ids, obj_ids;
    struct field client, seq, of; /* R8 */
    struct ls_prop *props;        /* of `properties` */
    size_t prop_count;
    const char *props_problem; /* static text; NULL = they are well-formed */
};

struct raw {
    struct fields flat, data;
    bool has_data; /* `data` is an object or null (P45, section 17) */
    struct field type;
};

#define LS_MAX_FAULTS 1000

struct parse {
    struct ls__arena arena;
    struct ls_batch batch;
    struct ls_json_reader reader;
    struct ls_fault *last_faults[2]; /* of bad messages, of unknown types */
    size_t fault_count;
    size_t max_messages; /* 0 = no limit */
    bool no_memory, too_many;
    bool api; /* P118: `poll` exists there only */
};

/* The batch's shell is the head of its own memory, so `arena` leads back to it. */
static struct parse *parse_of(struct ls_batch *batch)
{
    return batch->arena;
}

static void *take(struct parse *p, size_t count, size_t size)
{
    void *piece = count > SIZE_MAX / size ? NULL : ls__arena_take(&p->arena, count * size);
    if (!piece) {
        p->no_memory = true;
        return NULL;
    }
    memset(piece, 0, count * size);
    return piece;
}

static size_t count_children(const cJSON *item)
{
    size_t count = 0;
    for (const cJSON *child = item->child; child; child = child->next)
        count++;
    return count;
}

/* The string that a raw span stands for: the span itself where it has no escapes. */
static bool take_string(struct parse *p, const char *raw, size_t raw_len, bool escaped, const char **text, size_t *len)
{
    *text = raw;
    *len = raw_len;
    if (!escaped) return true;
    struct ls_buf plain = LS_BUF_INIT;
    ls_json_unescape(&plain, raw, raw_len);
    char *copy = ls_buf_failed(&plain) ? NULL : take(p, plain.len + 1, 1);
    if (copy) {
        memcpy(copy, ls_buf_text(&plain), plain.len);
        *text = copy;
        *len = plain.len;
    }
    p->no_memory |= !copy;
    ls_buf_release(&plain);
    return copy;
}

/* --- the walk; each function is entered after the first token of what it reads and returns false when reader and tree
 * disagree --- */

/* Read the value of a member whose key has just been read, up to its end, and note where it is. */
static bool read_value(struct parse *p, enum ls_json_token token, const cJSON *item, struct field *field)
{
    field->present = true;
    field->token = token;
    field->integer = p->reader.integer;
    field->item = item;
    return ls_json_skip(&p->reader, token, &field->text, &field->len);
}

static bool read_properties(struct parse *p, const cJSON *object, struct fields *out)
{
    size_t room = count_children(object);
    out->props = room ? take(p, room, sizeof *out->props) : NULL;
    out->prop_count = 0;
    out->props_problem = NULL;
    if (room && !out->props) return false;
    const cJSON *item = object->child;
    enum ls_json_token token;
    while ((token = ls_json_next(&p->reader)) == LS_JSON_KEY) {
        if (!item) return false;
        struct ls_prop *prop = &out->props[out->prop_count++];
        if (!take_string(p, p->reader.text, p->reader.len, p->reader.escaped, &prop->name, &prop->name_len))
            return false;
        const char *span;
        size_t span_len;
        token = ls_json_next(&p->reader);
        if (token != LS_JSON_STRING)
            out->props_problem = "property values must be strings";
        else if (!take_string(p, p->reader.text, p->reader.len, p->reader.escaped, &prop->value, &prop->value_len))
            return false;
        if (!ls_json_skip(&p->reader, token, &span, &span_len)) return false;
        item = item->next;
    }
    return token == LS_JSON_OBJECT_END && !item;
}

/* Which field is the key just read? NULL = none that we know. */
static struct field *find_field(struct parse *p, struct fields *fields)
{
    static const struct {
        const char *name;
        size_t len, offset;
    } known[] = {
#define LS_FIELD(name, member) {name, sizeof name - 1, offsetof(struct fields, member)}
        LS_FIELD("varId", var_id),
        LS_FIELD("value", value),
        LS_FIELD("id", id),
        LS_FIELD("parentId", parent),
        LS_FIELD("nowatch", nowatch),
        LS_FIELD("varIds", var_ids),
        LS_FIELD("objIds", obj_ids),
        LS_FIELD("wait", wait),
        LS_FIELD("code", code),
        LS_FIELD("description", description),
        LS_FIELD("properties", properties),
        LS_FIELD("client", client),
        LS_FIELD("seq", seq),
        LS_FIELD("of", of),
#undef LS_FIELD
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if ((p->reader.escaped || p->reader.len == known[i].len) && ls_json_equals(&p->reader, known[i].name))
            return (struct field *)(void *)((char *)fields + known[i].offset);
    return NULL;
}

static bool read_field(struct parse *p, const cJSON *item, struct fields *fields)
{
    struct field *field = find_field(p, fields);
    struct field unknown;
    enum ls_json_token token = ls_json_next(&p->reader);
    if (!field) return read_value(p, token, item, &unknown);
    if (field != &fields->properties || token != LS_JSON_OBJECT) return read_value(p, token, item, field);
    field->present = true;
    field->token = token;
    return read_properties(p, item, fields);
}

static bool read_messages(struct parse *p, const cJSON *array);

/* A message object, or the wrapper (P43) when `wrapper` is not NULL: that is set if a `messages` array was found. */
static bool read_object(struct parse *p, const cJSON *object, struct raw *raw, bool *wrapper)
{
    memset(raw, 0, sizeof *raw);
    const cJSON *item = object->child;
    enum ls_json_token token;
    while ((token = ls_json_next(&p->reader)) == LS_JSON_KEY) {
        if (!item) return false;
        bool ok;
        if (ls_json_equals(&p->reader, "type")) {
            ok = read_value(p, ls_json_next(&p->reader), item, &raw->type);
        } else if (ls_json_equals(&p->reader, "data")) {
            struct field other;
            token = ls_json_next(&p->reader);
            memset(&raw->data, 0, sizeof raw->data); /* the last of two counts */
            raw->has_data = token == LS_JSON_OBJECT || token == LS_JSON_NULL;
            if (token == LS_JSON_OBJECT) {
                const cJSON *inner = item->child;
                while ((token = ls_json_next(&p->reader)) == LS_JSON_KEY && inner && read_field(p, inner, &raw->data))
                    inner = inner->next;
                ok = token == LS_JSON_OBJECT_END && !inner;
            } else {
                ok = read_value(p, token, item, &other);
            }
        } else if (wrapper && ls_json_equals(&p->reader, "messages") && cJSON_IsArray(item)) {
            *wrapper = true;
            ok = ls_json_next(&p->reader) == LS_JSON_ARRAY && read_messages(p, item);
        } else if (wrapper && ls_json_equals(&p->reader, "userEvent")) {
            struct field flag;
            ok = read_value(p, ls_json_next(&p->reader), item, &flag);
            p->batch.user_event = flag.token == LS_JSON_TRUE;
        } else {
            ok = read_field(p, item, &raw->flat);
        }
        if (!ok) return false;
        item = item->next;
    }
    return token == LS_JSON_OBJECT_END && !item;
}

/* --- from fields to a message --- */

/* The sentence is SUBJECT followed by PROBLEM. Equal faults in a row are one, and after many different ones all further
 * share their kind's last: a fault is a hundred times as large as the few bytes that can cause it. */
static void refuse(struct parse *p, struct ls_message *m, enum ls_fault_kind kind, const char *subject,
                   const char *problem)
{
    struct ls_fault **last = &p->last_faults[kind == LS_FAULT_UNKNOWN_TYPE];
    char text[LS_FAULT_TEXT];
    m->type = LS_MSG_INVALID;
    snprintf(text, sizeof text, "%s%s", subject, problem);
    if (!*last || (p->fault_count < LS_MAX_FAULTS && strcmp((*last)->text, text) != 0)) {
        *last = take(p, 1, sizeof **last);
        p->fault_count++;
        if (*last) ls_fault_set(*last, kind, "%s", text);
    }
    m->fault = *last;
}

/* An integer in the 64-bit range (P47). False and refused when it is anything else. */
static bool get_integer(struct parse *p, struct ls_message *m, const struct field *field, const char *name,
                        int64_t *number)
{
    if (field->token == LS_JSON_INT) {
        *number = field->integer;
        return true;
    }
    refuse(p, m, LS_FAULT_BAD_MESSAGE, name, " must be an integer of 64 bits");
    return false;
}

/* `id` or `varId` (P46). 0 in m->id stands for "refused" or "absent". */
static void get_id(struct parse *p, struct ls_message *m, const struct fields *f, bool required)
{
    bool by_id = m->type == LS_MSG_CREATE ? f->id.present : !f->var_id.present;
    const struct field *field = by_id ? &f->id : &f->var_id;
    if (!field->present) {
        if (required) refuse(p, m, LS_FAULT_BAD_MESSAGE, m->type == LS_MSG_CREATE ? "id" : "varId", " is missing");
        return;
    }
    if (get_integer(p, m, field, by_id ? "id" : "varId", &m->id) && m->id == 0 && required)
        refuse(p, m, LS_FAULT_BAD_MESSAGE, by_id ? "id" : "varId", " must not be 0");
}

static void get_properties(struct parse *p, struct ls_message *m, const struct fields *f)
{
    if (!f->properties.present) return;
    if (f->properties.token != LS_JSON_OBJECT)
        refuse(p, m, LS_FAULT_BAD_MESSAGE, "properties", " must be an object");
    else if (f->props_problem)
        refuse(p, m, LS_FAULT_BAD_MESSAGE, f->props_problem, "");
    m->props = f->props;
    m->prop_count = f->prop_count;
}

static void get_value(struct ls_message *m, const struct fields *f)
{
    m->has_value = f->value.present;
    m->value = f->value.text;
    m->value_len = f->value.len;
}

static void get_create(struct parse *p, struct ls_message *m, const struct fields *f)
{
    if (f->parent.present) get_integer(p, m, &f->parent, "parentId", &m->parent);
    if (f->nowatch.present && !cJSON_IsBool(f->nowatch.item))
        refuse(p, m, LS_FAULT_BAD_MESSAGE, "nowatch", " must be true or false");
    m->nowatch = f->nowatch.token == LS_JSON_TRUE;
    get_properties(p, m, f);
    get_value(m, f);
}

/* --- what only our client says (R8): a fault in it is noted, since whoever does not speak for that client has it
 * ignored --- */

static bool is_hex(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!strchr("0123456789abcdef", text[i]) || !text[i]) return false;
    return true;
}

/* `{v, tab, url}`. Of a version that is unknown, what is known counts. The place is judged and not kept: nothing asks
 * for it yet (R20). */
static void get_client(struct ls_message *m, const struct field *field)
{
    struct ls_json_reader reader;
    const char *span;
    size_t len;
    if (!field->present) return;
    m->mark_problem = "client must be an object with v, tab and url";
    if (field->token != LS_JSON_OBJECT || !ls_json_member(field->text, field->len, "v", &span, &len)) return;
    ls_json_read(&reader, span, len);
    if (ls_json_next(&reader) != LS_JSON_INT || reader.integer < 1) {
        m->mark_problem = "client.v must be an integer from 1 on";
        return;
    }
    bool found = ls_json_member(field->text, field->len, "url", &span, &len);
    if (!found || len < 3 || span[0] != '"' || span[1] != '/' || memmem(span, len, "\\u0000", 6)) {
        m->mark_problem = "client.url must be a text that begins with /";
        return;
    }
    if (!ls_json_member(field->text, field->len, "tab", &span, &len) || len != LS_TAB_DIGITS + 2 || span[0] != '"' ||
        !is_hex(span + 1, LS_TAB_DIGITS)) {
        m->mark_problem = "client.tab must be 32 hexadecimal digits in small letters";
        return;
    }
    m->tab = span + 1;
    m->mark_problem = NULL;
}

static void get_numbers(struct ls_message *m, const struct fields *f)
{
    bool of_null = f->of.token == LS_JSON_NULL;
    m->has_of = f->of.present;
    m->of = of_null ? 0 : f->of.integer;
    if (f->of.present && !of_null && (f->of.token != LS_JSON_INT || m->of < 1))
        m->mark_problem = "of must be the id of an object, or null";
    m->seq = f->seq.present ? f->seq.integer : 0;
    if (f->seq.present && (f->seq.token != LS_JSON_INT || m->seq < 1 || m->seq > LS_SEQ_MAX)) {
        m->mark_problem = "seq must be an integer from 1 to 9007199254740991";
        m->seq = 0;
    }
}

static void get_id_list(struct parse *p, struct ls_message *m, const struct field *field, const char *name)
{
    if (!field->present || !cJSON_IsArray(field->item)) {
        refuse(p, m, LS_FAULT_BAD_MESSAGE, name, " must be an array of integers");
        return;
    }
    size_t count = count_children(field->item);
    m->ids = count ? take(p, count, sizeof *m->ids) : NULL;
    if (!m->ids) return;
    struct ls_json_reader reader;
    struct ls_idmap *seen = ls_idmap_new();
    ls_json_read(&reader, field->text, field->len);
    enum ls_json_token token = ls_json_next(&reader);
    while ((token = ls_json_next(&reader)) == LS_JSON_INT && m->id_count < count && !p->no_memory) {
        void *before = NULL;
        p->no_memory = !seen || !ls_idmap_put(seen, reader.integer, p, &before);
        if (!before) m->ids[m->id_count++] = reader.integer;
    }
    ls_idmap_free(seen, NULL);
    if (token != LS_JSON_ARRAY_END) refuse(p, m, LS_FAULT_BAD_MESSAGE, name, " must be an array of integers");
}

static const char *get_text(const struct field *field)
{
    return field->present && cJSON_IsString(field->item) ? field->item->valuestring : "";
}

static void get_wait(struct parse *p, struct ls_message *m, const struct field *field)
{
    m->wait_ms = -1;
    if (!field->present || cJSON_IsNull(field->item)) return;
    if (!cJSON_IsString(field->item) || !ls_parse_duration(field->item->valuestring, &m->wait_ms)) {
        refuse(p, m, LS_FAULT_BAD_MESSAGE, "wait", " must be a text such as \"5s\", with ms, s, m or h");
        return;
    }
    if (m->wait_ms > LS_POLL_MAX_MS) m->wait_ms = LS_POLL_MAX_MS;
}

static enum ls_message_type type_of(const char *name, bool api)
{
    static const struct {
        const char *name;
        enum ls_message_type type;
    } types[] = {
        {"update", LS_MSG_UPDATE}, {"create", LS_MSG_CREATE},          {"destroy", LS_MSG_DESTROY},
        {"watch", LS_MSG_WATCH},   {"unwatch", LS_MSG_UNWATCH},        {"error", LS_MSG_ERROR},
        {"get", LS_MSG_GET},       {"getObjects", LS_MSG_GET_OBJECTS}, {"poll", LS_MSG_POLL},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(name, types[i].name) == 0)
            return types[i].type == LS_MSG_POLL && !api ? LS_MSG_INVALID : types[i].type;
    return LS_MSG_INVALID;
}

static void get_fields(struct parse *p, struct ls_message *m, const struct fields *f)
{
    switch (m->type) {
    case LS_MSG_CREATE:
        get_id(p, m, f, true);
        if (m->type == LS_MSG_CREATE) get_create(p, m, f);
        break;
    case LS_MSG_UPDATE:
        get_id(p, m, f, true);
        if (m->type == LS_MSG_UPDATE) {
            get_numbers(m, f);
            get_properties(p, m, f);
            get_value(m, f);
        }
        break;
    case LS_MSG_WATCH:
        get_id(p, m, f, true);
        if (m->id == 1) get_client(m, &f->client);
        break;
    case LS_MSG_DESTROY:
    case LS_MSG_UNWATCH: get_id(p, m, f, true); break;
    case LS_MSG_ERROR: /* accepted whatever it says (P102) */
        m->id = f->var_id.present && f->var_id.token == LS_JSON_INT ? f->var_id.integer
                : f->id.present && f->id.token == LS_JSON_INT       ? f->id.integer
                                                                    : 0;
        m->code = get_text(&f->code);
        m->description = get_text(&f->description);
        break;
    case LS_MSG_GET: get_id_list(p, m, &f->var_ids, "varIds"); break;
    case LS_MSG_GET_OBJECTS: get_id_list(p, m, &f->obj_ids, "objIds"); break;
    case LS_MSG_POLL: get_wait(p, m, &f->wait); break;
    case LS_MSG_INVALID: break;
    }
}

/* @param type  overrides what the message says (P24); NULL on WebSockets */
static void fill_message(struct parse *p, struct ls_message *m, const struct raw *raw, const char *type)
{
    m->wait_ms = -1;
    if (!type && raw->type.present && !cJSON_IsString(raw->type.item)) {
        refuse(p, m, LS_FAULT_BAD_MESSAGE, "type", " must be a string");
        return;
    }
    const char *name = type ? type : get_text(&raw->type);
    m->type = type_of(name, p->api);
    if (m->type == LS_MSG_INVALID)
        refuse(p, m, LS_FAULT_UNKNOWN_TYPE, *name ? "unknown message type: " : "the message has no type", name);
    else
        get_fields(p, m, raw->has_data ? &raw->data : &raw->flat);
}

/* The elements of an array of messages; the batch's list is begun anew, as the last of two `messages` counts. */
static bool read_messages(struct parse *p, const cJSON *array)
{
    size_t room = count_children(array);
    p->too_many = p->max_messages && room > p->max_messages; /* whose name for `messages` the count has not known */
    p->batch.count = 0;
    p->batch.messages = room && !p->too_many ? take(p, room, sizeof *p->batch.messages) : NULL;
    if (room && !p->batch.messages) return false;
    struct raw raw;
    const cJSON *item = array->child;
    enum ls_json_token token;
    while ((token = ls_json_next(&p->reader)) != LS_JSON_ARRAY_END) {
        if (!item || token == LS_JSON_ERROR || token == LS_JSON_END) return false;
        struct ls_message *m = &p->batch.messages[p->batch.count++];
        if (token == LS_JSON_OBJECT) {
            if (!read_object(p, item, &raw, NULL)) return false;
            fill_message(p, m, &raw, NULL);
        } else {
            struct field other;
            if (!read_value(p, token, item, &other)) return false;
            refuse(p, m, LS_FAULT_BAD_MESSAGE, "a message must be an object", "");
        }
        item = item->next;
    }
    return !item;
}

static bool read_frame(struct parse *p, const cJSON *root, const char *text, size_t len, const char *type)
{
    struct raw raw;
    bool wrapper = false;
    ls_json_read(&p->reader, text, len);
    enum ls_json_token token = ls_json_next(&p->reader);
    if (token == LS_JSON_ARRAY && !type) {
        if (!read_messages(p, root)) return false;
    } else if (token == LS_JSON_OBJECT) {
        if (!read_object(p, root, &raw, type ? NULL : &wrapper)) return false;
        if (!wrapper) {
            p->batch.user_event = false;
            p->batch.messages = take(p, 1, sizeof *p->batch.messages);
            p->batch.count = p->batch.messages != NULL;
            if (p->batch.messages) fill_message(p, &p->batch.messages[0], &raw, type);
        }
    } else {
        return false;
    }
    return ls_json_next(&p->reader) == LS_JSON_END;
}

/* --- the frame as a whole --- */

static int hex4(const char *text)
{
    int code = 0;
    for (int i = 0; i < 4; i++) {
        char c = text[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        code = code * 16 + digit;
    }
    return code;
}

/* Browsers write half a character (text cut inside an emoji) as an escape of its own, which cJSON takes for broken
 * JSON. It stands for U+FFFD; that escape is as long, so the text is put right where it is. @return was anything
 * changed */
static bool mend_surrogates(char *text, size_t len)
{
    bool changed = false;
    for (size_t i = 0; i + 1 < len; i++) {
        if (text[i] != '\\') continue;
        if (text[i + 1] != 'u' || i + 6 > len) {
            i++;
            continue;
        }
        int code = hex4(text + i + 2);
        if (code >= 0xd800 && code <= 0xdbff && i + 12 <= len && text[i + 6] == '\\' && text[i + 7] == 'u') {
            int low = hex4(text + i + 8);
            if (low >= 0xdc00 && low <= 0xdfff) {
                i += 11;
                continue;
            }
        }
        if (code >= 0xd800 && code <= 0xdfff) {
            memcpy(text + i + 2, "fffd", 4);
            changed = true;
        }
        i += 5;
    }
    return changed;
}

static cJSON *parse_tree(struct parse *p, char *text, size_t len)
{
    const char *end = NULL;
    parsing = &p->arena;
    cJSON *root = cJSON_ParseWithLengthOpts(text, len + 1, &end, true);
    if (!root && mend_surrogates(text, len)) root = cJSON_ParseWithLengthOpts(text, len + 1, &end, true);
    parsing = NULL;
    return root;
}

static bool is_blank(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!strchr(" \t\r\n", text[i]) || !text[i]) return false;
    return true;
}

/* @param excess  NULL, or what there is too much of */
static void refuse_frame(struct parse *p, const char *excess)
{
    p->batch.user_event = false;
    p->batch.messages = take(p, 1, sizeof *p->batch.messages);
    p->batch.count = p->batch.messages != NULL;
    if (p->batch.messages) {
        p->batch.messages->wait_ms = -1;
        if (excess)
            refuse(p, p->batch.messages, LS_FAULT_TOO_LARGE, excess,
                   ", the limit of --max-messages; nothing of it has been done");
        else
            refuse(p, p->batch.messages, LS_FAULT_BAD_MESSAGE, "the frame is not a JSON object or array of messages",
                   "");
    }
}

struct ls_batch *ls_batch_parse_in(struct ls_budget *budget, const char *type, const char *text, size_t len,
                                   size_t max_messages, bool *bad_json)
{
    struct ls__arena arena;
    char excess[80] = "";
    if (max_messages && ls__frame_exceeds(text, len, max_messages, excess, sizeof excess))
        len = 0;                                   /* nothing of it is kept */
    size_t extra = len < 16384 ? len * 8 : 131072; /* the tree of a usual frame fits beside its text */
    if (len > SIZE_MAX / 2 || ls__arena_init(&arena, sizeof(struct parse) + 64 + len + 1 + 2048 + extra, budget) != 0)
        return NULL;
    struct parse *p = ls__arena_take(&arena, sizeof *p);
    memset(p, 0, sizeof *p);
    char *copy = ls__arena_take(&arena, len + 1);
    p->arena = arena;
    p->batch.arena = p;
    p->api = type;
    p->max_messages = max_messages;
    if (len) memcpy(copy, text, len);
    copy[len] = '\0';
    bool blank = is_blank(copy, len);
    const cJSON *root = blank ? NULL : parse_tree(p, copy, len);
    p->no_memory |= p->arena.full;
    if (bad_json) *bad_json = !root && !*excess;
    if (*excess) {
        refuse_frame(p, excess);
    } else if (blank && !type) {
        p->batch.count = 0;
    } else if (!root || !read_frame(p, root, copy, len, type)) {
        /* Body of an API call that is JSON, but no object: that is a bad message, not bad JSON. */
        if (bad_json && root) *bad_json = cJSON_IsObject(root);
        if (p->too_many) ls__frame_excess(max_messages, "messages", excess, sizeof excess);
        refuse_frame(p, *excess ? excess : NULL);
    }
    if (p->no_memory) {
        ls_batch_free(&p->batch);
        return NULL;
    }
    p->batch.user_event |= type != NULL; /* P25 */
    return &p->batch;
}

struct ls_batch *ls_batch_parse(const char *text, size_t len, size_t max_messages)
{
    return ls_batch_parse_in(NULL, NULL, text, len, max_messages, NULL);
}

struct ls_batch *ls_batch_parse_api(const char *type, const char *text, size_t len, size_t max_messages, bool *bad_json)
{
    return ls_batch_parse_in(NULL, type, text, len, max_messages, bad_json);
}

size_t ls_batch_bytes(struct ls_batch *batch)
{
    return parse_of(batch)->arena.total;
}

void ls_batch_free(struct ls_batch *batch)
{
    if (!batch) return;
    struct ls__arena arena = parse_of(batch)->arena; /* copied out: the struct lies inside the arena itself */
    ls__arena_release(&arena);
}
