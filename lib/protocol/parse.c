/* Incoming frames to messages (protocol.md sections 4 and 17), read with the reader of base/json.h: ids keep their 64
 * bits, strings their NUL, and values go to the tracker as spans of the text, unread.
 *
 * A frame is read twice. The first time nothing is kept: is all of it JSON, and how much is in it? What is refused then
 * costs no memory. The second time it is known to be JSON, and the reader wants no memory, so all is as it was.
 *
 * Everything of a batch lives in its arena: a frame costs a malloc or two and nothing is freed piece by piece.
 *
 * Thread: any; it keeps no state. It refuses to know variables or sessions: whether an id exists is the backend's
 * question. */
#include "protocol/message.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "base/text.h"
#include "protocol/arena.h"

/* One field as the text has it. */
struct field {
    enum ls_json_token token; /* with which its value begins; LS_JSON_ERROR while the field is absent */
    int64_t integer;          /* of LS_JSON_INT */
    const char *text;         /* the value's text */
    size_t len;
};

/* The fields of P43 to P46, of one level: `data`, or the message itself. */
struct fields {
    struct field type, data, messages, user_event;
    struct field id, var_id, parent, value, nowatch, wait, code, description;
    struct field properties, var_ids, obj_ids;
    struct field client, seq, of; /* R8 */
};

enum { MAX_FAULTS = 1000, VALUES_EACH = 100, LEAST_VALUES = 1000000 };

struct parse {
    struct ls__arena *arena;
    struct ls_batch *batch;
    struct ls_json_reader reader;
    struct ls_fault *last_faults[2]; /* of bad messages, of unknown types */
    size_t fault_count;
    const char *type; /* overrides what the message says (P24); NULL on WebSockets */
};

/* --- the first reading --- */

/* Is the text JSON, and how many messages has it? Stops where there is too much: that is what `excess` says then. */
static bool survey(const char *text, size_t len, size_t max_messages, size_t *messages, char *excess, size_t size)
{
    size_t max_values = max_messages > LEAST_VALUES / VALUES_EACH ? max_messages * VALUES_EACH : LEAST_VALUES;
    size_t values = 0, count = 0;
    unsigned list = 0; /* the depth inside the array of messages, 0 = outside */
    bool named = false;
    struct ls_json_reader reader;
    enum ls_json_token token;
    *messages = 1;
    ls_json_read(&reader, text, len);
    while ((token = ls_json_next(&reader)) > LS_JSON_END) {
        if (token == LS_JSON_KEY) {
            named = reader.depth == 1 && ls_json_equals(&reader, "messages");
            continue;
        }
        if (token == LS_JSON_ARRAY_END || token == LS_JSON_OBJECT_END) {
            if (reader.depth < list) list = 0;
            continue;
        }
        values++;
        count += list && reader.depth - (token == LS_JSON_ARRAY || token == LS_JSON_OBJECT) == list;
        if (count > *messages) *messages = count;
        if (token == LS_JSON_ARRAY && (reader.depth == 1 || (reader.depth == 2 && named))) {
            list = reader.depth;
            count = 0;
        }
        named = false;
        if (max_messages && (count > max_messages || values > max_values)) {
            snprintf(excess, size, "the frame has more than %zu %s", count > max_messages ? max_messages : max_values,
                     count > max_messages ? "messages" : "values");
            return false;
        }
    }
    return token == LS_JSON_END;
}

/* --- the second: each function is entered after the first token of what it reads --- */

static void *take(struct parse *p, size_t count, size_t size)
{
    return ls__arena_take(p->arena, count, size);
}

/* Elements, or members, of what the reader has just entered. */
static size_t count_inside(const struct ls_json_reader *reader)
{
    struct ls_json_reader ahead = *reader;
    size_t count = 0;
    while (ls_json_skip(&ahead, ls_json_next(&ahead), NULL, NULL))
        count++;
    return count;
}

/* Which field is the key just read? NULL = none that we know. */
static struct field *find_field(const struct ls_json_reader *reader, struct fields *fields)
{
    static const struct {
        const char *name;
        size_t len, offset;
    } known[] = {
#define LS_FIELD(name, member) {name, sizeof name - 1, offsetof(struct fields, member)}
        LS_FIELD("type", type),
        LS_FIELD("data", data),
        LS_FIELD("varId", var_id),
        LS_FIELD("value", value),
        LS_FIELD("id", id),
        LS_FIELD("parentId", parent),
        LS_FIELD("properties", properties),
        LS_FIELD("nowatch", nowatch),
        LS_FIELD("seq", seq),
        LS_FIELD("of", of),
        LS_FIELD("userEvent", user_event),
        LS_FIELD("messages", messages),
        LS_FIELD("varIds", var_ids),
        LS_FIELD("objIds", obj_ids),
        LS_FIELD("wait", wait),
        LS_FIELD("code", code),
        LS_FIELD("description", description),
        LS_FIELD("client", client),
#undef LS_FIELD
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if ((reader->escaped || reader->len == known[i].len) && ls_json_equals(reader, known[i].name))
            return (struct field *)(void *)((char *)fields + known[i].offset);
    return NULL;
}

static void read_messages(struct parse *p);

/* The members of an object; the last of two of one name counts.
 * @param data   gets what is in its `data`; NULL = this is it
 * @param frame  a `messages` array may be among them (P43), and its elements become the batch */
static void read_fields(struct parse *p, struct fields *out, struct fields *data, bool frame)
{
    while (ls_json_next(&p->reader) == LS_JSON_KEY) {
        struct field *field = find_field(&p->reader, out), other;
        if (!field) field = &other;
        field->token = ls_json_next(&p->reader);
        field->integer = p->reader.integer;
        bool inner = data && field == &out->data;
        if (inner) *data = (struct fields){0};
        if (inner && field->token == LS_JSON_OBJECT) {
            read_fields(p, data, NULL, false);
        } else if (frame && field == &out->messages && field->token == LS_JSON_ARRAY) {
            read_messages(p);
        } else {
            ls_json_skip(&p->reader, field->token, &field->text, &field->len);
        }
    }
}

/* A string as a C string; "" if it is none. */
static const char *take_text(struct parse *p, const struct field *field)
{
    const char *text = NULL;
    if (field->token == LS_JSON_STRING) text = ls__arena_string(p->arena, field->text + 1, field->len - 2, NULL);
    return text ? text : "";
}

/* The key or string just read: the span itself where it has no escapes. */
static const char *take_string(struct parse *p, const struct ls_json_reader *reader, size_t *len)
{
    *len = reader->len;
    return reader->escaped ? ls__arena_string(p->arena, reader->text, reader->len, len) : reader->text;
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
    if (!*last || (p->fault_count < MAX_FAULTS && strcmp((*last)->text, text) != 0)) {
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
static void get_id(struct parse *p, struct ls_message *m, const struct fields *f)
{
    bool by_id = m->type == LS_MSG_CREATE ? f->id.token : !f->var_id.token;
    const struct field *field = by_id ? &f->id : &f->var_id;
    if (!field->token) {
        refuse(p, m, LS_FAULT_BAD_MESSAGE, m->type == LS_MSG_CREATE ? "id" : "varId", " is missing");
        return;
    }
    if (get_integer(p, m, field, by_id ? "id" : "varId", &m->id) && m->id == 0)
        refuse(p, m, LS_FAULT_BAD_MESSAGE, by_id ? "id" : "varId", " must not be 0");
}

static void get_properties(struct parse *p, struct ls_message *m, const struct field *field)
{
    if (!field->token) return;
    if (field->token != LS_JSON_OBJECT) {
        refuse(p, m, LS_FAULT_BAD_MESSAGE, "properties", " must be an object");
        return;
    }
    struct ls_json_reader reader;
    ls_json_read(&reader, field->text, field->len);
    ls_json_next(&reader);
    m->props = take(p, count_inside(&reader), sizeof *m->props);
    while (m->props && ls_json_next(&reader) == LS_JSON_KEY) {
        struct ls_prop *prop = &m->props[m->prop_count++];
        prop->name = take_string(p, &reader, &prop->name_len);
        if (ls_json_next(&reader) != LS_JSON_STRING) {
            refuse(p, m, LS_FAULT_BAD_MESSAGE, "property values must be strings", "");
            return;
        }
        prop->value = take_string(p, &reader, &prop->value_len);
    }
}

static void get_value(struct ls_message *m, const struct fields *f)
{
    m->has_value = f->value.token;
    m->value = f->value.text;
    m->value_len = f->value.len;
}

static void get_create(struct parse *p, struct ls_message *m, const struct fields *f)
{
    if (f->parent.token) get_integer(p, m, &f->parent, "parentId", &m->parent);
    m->nowatch = f->nowatch.token == LS_JSON_TRUE;
    if (f->nowatch.token && !m->nowatch && f->nowatch.token != LS_JSON_FALSE)
        refuse(p, m, LS_FAULT_BAD_MESSAGE, "nowatch", " must be true or false");
    get_properties(p, m, &f->properties);
    get_value(m, f);
}

/* --- what only our client says (R8): a fault in it is noted, since whoever does not speak for that client has it
 * ignored --- */

/* `{v, tab, url}`. Of a version that is unknown, what is known counts. The place is judged and not kept: nothing asks
 * for it yet (R20). */
static void get_client(struct ls_message *m, const struct field *field)
{
    struct ls_json_reader reader;
    const char *span;
    size_t len;
    if (!field->token) return;
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
        strspn(span + 1, "0123456789abcdef") < LS_TAB_DIGITS) {
        m->mark_problem = "client.tab must be 32 hexadecimal digits in small letters";
        return;
    }
    m->tab = span + 1;
    m->mark_problem = NULL;
}

static void get_numbers(struct ls_message *m, const struct fields *f)
{
    bool of_null = f->of.token == LS_JSON_NULL;
    m->has_of = f->of.token;
    m->of = of_null ? 0 : f->of.integer;
    if (f->of.token && !of_null && (f->of.token != LS_JSON_INT || m->of < 1))
        m->mark_problem = "of must be the id of an object, or null";
    m->seq = f->seq.token ? f->seq.integer : 0;
    if (f->seq.token && (f->seq.token != LS_JSON_INT || m->seq < 1 || m->seq > LS_SEQ_MAX)) {
        m->mark_problem = "seq must be an integer from 1 to 9007199254740991";
        m->seq = 0;
    }
}

static void get_id_list(struct parse *p, struct ls_message *m, const struct field *field, const char *name)
{
    enum ls_json_token token = LS_JSON_END;
    if (field->token == LS_JSON_ARRAY) {
        struct ls_json_reader reader;
        struct ls_idmap *seen = ls_idmap_new();
        ls_json_read(&reader, field->text, field->len);
        ls_json_next(&reader);
        m->ids = take(p, count_inside(&reader), sizeof *m->ids);
        while ((token = ls_json_next(&reader)) == LS_JSON_INT && !p->arena->full) {
            void *before = NULL;
            p->arena->full |= !seen || !ls_idmap_put(seen, reader.integer, p, &before);
            if (!before && m->ids) m->ids[m->id_count++] = reader.integer;
        }
        ls_idmap_free(seen, NULL);
    }
    if (token != LS_JSON_ARRAY_END) refuse(p, m, LS_FAULT_BAD_MESSAGE, name, " must be an array of integers");
}

static void get_wait(struct parse *p, struct ls_message *m, const struct field *field)
{
    if (!field->token || field->token == LS_JSON_NULL) return;
    if (!ls_parse_duration(take_text(p, field), &m->wait_ms))
        refuse(p, m, LS_FAULT_BAD_MESSAGE, "wait", " must be a text such as \"5s\", with ms, s, m or h");
    else if (m->wait_ms > LS_POLL_MAX_MS)
        m->wait_ms = LS_POLL_MAX_MS;
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
        get_id(p, m, f);
        if (m->type == LS_MSG_CREATE) get_create(p, m, f);
        break;
    case LS_MSG_UPDATE:
        get_id(p, m, f);
        if (m->type == LS_MSG_UPDATE) {
            get_numbers(m, f);
            get_properties(p, m, &f->properties);
            get_value(m, f);
        }
        break;
    case LS_MSG_WATCH:
        get_id(p, m, f);
        if (m->id == 1) get_client(m, &f->client);
        break;
    case LS_MSG_DESTROY:
    case LS_MSG_UNWATCH: get_id(p, m, f); break;
    case LS_MSG_ERROR: /* accepted whatever it says (P102) */
        m->id = f->var_id.token == LS_JSON_INT ? f->var_id.integer : f->id.token == LS_JSON_INT ? f->id.integer : 0;
        m->code = take_text(p, &f->code);
        m->description = take_text(p, &f->description);
        break;
    case LS_MSG_GET: get_id_list(p, m, &f->var_ids, "varIds"); break;
    case LS_MSG_GET_OBJECTS: get_id_list(p, m, &f->obj_ids, "objIds"); break;
    case LS_MSG_POLL: get_wait(p, m, &f->wait); break;
    case LS_MSG_INVALID: break;
    }
}

static void fill_message(struct parse *p, struct ls_message *m, const struct fields *flat, const struct fields *data)
{
    *m = (struct ls_message){.wait_ms = -1};
    if (!p->type && flat->type.token && flat->type.token != LS_JSON_STRING) {
        refuse(p, m, LS_FAULT_BAD_MESSAGE, "type", " must be a string");
        return;
    }
    const char *name = p->type ? p->type : take_text(p, &flat->type);
    bool nested = flat->data.token == LS_JSON_OBJECT || flat->data.token == LS_JSON_NULL;
    m->type = type_of(name, p->type);
    if (m->type == LS_MSG_INVALID)
        refuse(p, m, LS_FAULT_UNKNOWN_TYPE, *name ? "unknown message type: " : "the message has no type", name);
    else
        get_fields(p, m, nested ? data : flat);
}

/* The elements of an array of messages; the batch's list is begun anew, as the last of two `messages` counts. */
static void read_messages(struct parse *p)
{
    enum ls_json_token token;
    p->batch->count = 0;
    while ((token = ls_json_next(&p->reader)) != LS_JSON_ARRAY_END) {
        struct ls_message *m = &p->batch->messages[p->batch->count++];
        if (token == LS_JSON_OBJECT) {
            struct fields flat = {0}, data = {0};
            read_fields(p, &flat, &data, false);
            fill_message(p, m, &flat, &data);
        } else {
            *m = (struct ls_message){.wait_ms = -1};
            ls_json_skip(&p->reader, token, NULL, NULL);
            refuse(p, m, LS_FAULT_BAD_MESSAGE, "a message must be an object", "");
        }
    }
}

/* @return false: it is neither an object nor, where that is allowed, an array */
static bool read_frame(struct parse *p, const char *text, size_t len)
{
    ls_json_read(&p->reader, text, len);
    enum ls_json_token token = ls_json_next(&p->reader);
    if (token == LS_JSON_ARRAY && !p->type) {
        read_messages(p);
        return true;
    }
    if (token != LS_JSON_OBJECT) return false;
    struct fields flat = {0}, data = {0};
    read_fields(p, &flat, &data, !p->type);
    if (!p->type && flat.messages.token == LS_JSON_ARRAY) {
        p->batch->user_event = flat.user_event.token == LS_JSON_TRUE;
    } else {
        p->batch->count = 1;
        fill_message(p, &p->batch->messages[0], &flat, &data);
    }
    return true;
}

struct ls_batch *ls_batch_parse(struct ls_budget *budget, const char *type, const char *text, size_t len,
                                size_t max_messages, bool *bad_json)
{
    char excess[80] = "";
    size_t messages;
    size_t blanks = 0;
    while (blanks < len && memchr(" \t\r\n", text[blanks], 4))
        blanks++;
    bool blank = !type && blanks == len;
    bool fine = !blank && survey(text, len, max_messages, &messages, excess, sizeof excess);
    if (bad_json) *bad_json = !fine && !*excess;
    if (!fine) { /* nothing of it is kept */
        len = 0;
        messages = 1;
    }
    size_t each = sizeof(struct ls_message) + 128; /* and a few properties */
    struct ls__arena *arena = ls__arena_new(sizeof(struct ls_batch) + len + messages * each + 256, budget);
    if (!arena) return NULL;
    struct parse p = {.arena = arena, .type = type};
    char *copy = take(&p, len + 1, 1);
    p.batch = take(&p, 1, sizeof *p.batch);
    if (p.batch) p.batch->messages = take(&p, messages, sizeof(struct ls_message));
    if (len && copy) memcpy(copy, text, len);
    if (p.batch && !arena->full) {
        p.batch->arena = arena;
        if (!blank && !(fine && read_frame(&p, copy, len))) {
            struct ls_message *m = &p.batch->messages[0];
            p.batch->count = 1;
            m->wait_ms = -1;
            if (*excess)
                refuse(&p, m, LS_FAULT_TOO_LARGE, excess, ", the limit of --max-messages; nothing of it has been done");
            else
                refuse(&p, m, LS_FAULT_BAD_MESSAGE, "the frame is not a JSON object or array of messages", "");
        }
        p.batch->user_event |= type != NULL; /* P25 */
    }
    if (!arena->full) return p.batch;
    ls__arena_free(arena);
    return NULL;
}

size_t ls_batch_bytes(const struct ls_batch *batch)
{
    return batch->arena->total;
}

void ls_batch_free(struct ls_batch *batch)
{
    if (batch) ls__arena_free(batch->arena);
}
