/* Unit tests of lib/protocol: envelopes and message forms (P43 to P47), malformed input row by row (section 17),
 * writing (section 5), the outgoing queue (P58, P65, P97), and running out of memory. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "protocol/control_request.h"
#include "protocol/message.h"
#include "protocol/outgoing.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct ls_batch *parse(const char *text)
{
    struct ls_batch *batch = ls_batch_parse(NULL, NULL, text, strlen(text), 10000, NULL);
    assert_non_null(batch);
    return batch;
}

/* One line per message, so that a whole batch is compared with one text. */
static const char *show(const struct ls_batch *batch)
{
    static char text[4096];
    static const char *const names[] = {"invalid", "create", "update", "destroy",    "watch",
                                        "unwatch", "error",  "get",    "getObjects", "poll"};
    size_t at = (size_t)snprintf(text, sizeof text, "%s", batch->user_event ? "user:" : "");
    for (size_t i = 0; i < batch->count; i++) {
        const struct ls_message *m = &batch->messages[i];
        at +=
            (size_t)snprintf(text + at, sizeof text - at, "%s%s %lld", i ? "; " : "", names[m->type], (long long)m->id);
        if (m->type == LS_MSG_CREATE)
            at += (size_t)snprintf(text + at, sizeof text - at, " in %lld%s", (long long)m->parent,
                                   m->nowatch ? " nowatch" : "");
        if (m->has_value) at += (size_t)snprintf(text + at, sizeof text - at, " =%.*s", (int)m->value_len, m->value);
        for (size_t p = 0; m->type != LS_MSG_INVALID && p < m->prop_count; p++)
            at += (size_t)snprintf(text + at, sizeof text - at, " %.*s=%.*s", (int)m->props[p].name_len,
                                   m->props[p].name, (int)m->props[p].value_len, m->props[p].value);
        for (size_t n = 0; m->type != LS_MSG_INVALID && n < m->id_count; n++)
            at += (size_t)snprintf(text + at, sizeof text - at, " #%lld", (long long)m->ids[n]);
        if (m->type == LS_MSG_INVALID)
            at += (size_t)snprintf(text + at, sizeof text - at, " %s", ls_fault_code(m->fault->kind));
    }
    return text;
}

static void expect(const char *frame, const char *shown)
{
    struct ls_batch *batch = parse(frame);
    assert_string_equal(show(batch), shown);
    ls_batch_free(batch);
}

static void P43_P44_three_envelopes(void **state)
{
    (void)state;
    expect("{\"type\":\"watch\",\"data\":{\"varId\":1}}", "watch 1");
    expect("[{\"type\":\"watch\",\"data\":{\"varId\":1}},{\"type\":\"unwatch\",\"varId\":2}]", "watch 1; unwatch 2");
    expect("{\"userEvent\":true,\"messages\":[{\"type\":\"watch\",\"data\":{\"varId\":1}}]}", "user:watch 1");
    expect("{\"messages\":[{\"type\":\"watch\",\"varId\":1}]}", "watch 1");
    expect("{\"messages\":[],\"userEvent\":true}", "user:");
    expect("{\"userEvent\":false,\"messages\":[]}", "");
    expect("[]", "");
    expect(" \r\n\t{\"type\":\"watch\",\"varId\":1} \n", "watch 1");
    expect("{\"type\":\"watch\",\"varId\":1,\"userEvent\":true}", "watch 1"); /* no wrapper: no user event */
    expect("{\"type\":\"watch\",\"varId\":1,\"messages\":7}", "watch 1");
}

static void P45_P46_nested_and_flat_forms(void **state)
{
    (void)state;
    expect(
        "[{\"type\":\"update\",\"data\":{\"varId\":7,\"value\":\"x\"}},{\"type\":\"update\",\"id\":7,\"value\":\"x\"}]",
        "update 7 =\"x\"; update 7 =\"x\"");
    expect("{\"type\":\"update\",\"data\":{\"varId\":7},\"varId\":8,\"value\":1}", "update 7");
    expect("{\"type\":\"create\",\"id\":4,\"varId\":5,\"parentId\":1}", "create 4 in 1");
    expect("{\"type\":\"create\",\"varId\":5,\"parentId\":1}", "create 5 in 1");
    expect("{\"type\":\"destroy\",\"id\":4,\"varId\":5}", "destroy 5");
    expect("{\"type\":\"destroy\",\"id\":4}", "destroy 4");
    expect(
        "{\"type\":\"create\",\"data\":{\"id\":2,\"parentId\":1,\"nowatch\":true,\"unbound\":true,\"properties\":{\"path\":\"a.b\",\"x:high\":\"\"}}}",
        "create 2 in 1 nowatch path=a.b x:high=");
    expect("{\"type\":\"get\",\"varIds\":[1,-4,9007199254740993]}", "get 0 #1 #-4 #9007199254740993");
    expect("{\"type\":\"getObjects\",\"data\":{\"objIds\":[]}}", "getObjects 0");
}

static void P47_ids_and_values_are_exact(void **state)
{
    (void)state;
    expect("{\"type\":\"watch\",\"varId\":9223372036854775807}", "watch 9223372036854775807");
    expect("{\"type\":\"watch\",\"varId\":-9223372036854775808}", "watch -9223372036854775808");
    expect("{\"type\":\"update\",\"varId\":2,\"value\":9007199254740993}", "update 2 =9007199254740993");
    expect("{\"type\":\"update\",\"varId\":2,\"value\":null}", "update 2 =null");
    expect("{\"type\":\"update\",\"varId\":2}", "update 2");
    expect("{\"type\":\"update\",\"varId\":2,\"value\":\"a\\u0000b\"}", "update 2 =\"a\\u0000b\"");
    expect("{\"type\":\"update\",\"varId\":2,\"value\":[{\"obj\":3},[1,{\"a\":null}]]}",
           "update 2 =[{\"obj\":3},[1,{\"a\":null}]]");
}

static void property_texts_are_unescaped(void **state)
{
    (void)state;
    struct ls_batch *batch =
        parse("{\"type\":\"update\",\"varId\":2,\"properties\":{\"l\\u0061bel\":\"a\\u0000\\n\\\"\\ud83d\\ude00\"}}");
    const struct ls_prop *prop = ls_message_prop(&batch->messages[0], "label");
    assert_non_null(prop);
    assert_int_equal(prop->value_len, 8);
    assert_memory_equal(prop->value, "a\0\n\"\xf0\x9f\x98\x80", 8);
    ls_batch_free(batch);
}

/* JSON.stringify writes half a character as an escape of its own: that must not cost the frame. It reads as U+FFFD. */
static void half_characters_do_not_break_a_frame(void **state)
{
    (void)state;
    expect("{\"type\":\"update\",\"varId\":2,\"properties\":{\"a\":\"a\\ud83d\"}}", "update 2 a=a\xef\xbf\xbd");
    expect("{\"type\":\"update\",\"varId\":2,\"properties\":{\"a\":\"\\\\ud83d \\udE00\\ud83d\\ude00\"}}",
           "update 2 a=\\ud83d \xef\xbf\xbd\xf0\x9f\x98\x80");
    expect("{\"type\":\"update\",\"varId\":2,\"value\":\"\\ud83d\"}",
           "update 2 =\"\\ud83d\""); /* who reads the value sees to it */
}

/* Section 17, in the order of its table. */
static void section_17_malformed_input(void **state)
{
    (void)state;
    static const struct {
        const char *frame, *shown;
    } rows[] = {
        {"", ""},
        {" \n", ""},
        {"hello", "invalid 0 bad-message"},
        {"12", "invalid 0 bad-message"},
        {"\"x\"", "invalid 0 bad-message"},
        {"null", "invalid 0 bad-message"},
        {"{\"type\":\"watch\",\"varId\":1", "invalid 0 bad-message"},
        {"{\"type\":\"watch\",\"varId\":1} x", "invalid 0 bad-message"},
        {"[{\"type\":\"watch\",\"varId\":1}] []", "invalid 0 bad-message"},
        {"[{\"type\":\"watch\",\"varId\":1},]", "invalid 0 bad-message"},
        {"[{\"type\":\"watch\",\"varId\":01}]", "invalid 0 bad-message"},
        {"[1,{\"type\":\"watch\",\"varId\":1},null,[]]",
         "invalid 0 bad-message; watch 1; invalid 0 bad-message; invalid 0 bad-message"},
        {"{\"messages\":[7,{\"type\":\"watch\",\"varId\":1}],\"userEvent\":true}",
         "user:invalid 0 bad-message; watch 1"},
        {"{}", "invalid 0 unknown-type"},
        {"{\"varId\":1}", "invalid 0 unknown-type"},
        {"{\"type\":7,\"varId\":1}", "invalid 0 bad-message"},
        {"{\"type\":null}", "invalid 0 bad-message"},
        {"{\"type\":\"watch\"}", "invalid 0 bad-message"},
        {"{\"type\":\"watch\",\"varId\":0}", "invalid 0 bad-message"},
        {"{\"type\":\"watch\",\"varId\":1.5}", "invalid 0 bad-message"},
        {"{\"type\":\"watch\",\"varId\":\"1\"}", "invalid 0 bad-message"},
        {"{\"type\":\"watch\",\"varId\":9223372036854775808}", "invalid 0 bad-message"},
        {"{\"type\":\"watch\",\"varId\":null}", "invalid 0 bad-message"},
        {"{\"type\":\"create\",\"id\":0,\"parentId\":1}", "invalid 0 bad-message"},
        {"{\"type\":\"create\",\"id\":3,\"parentId\":\"1\"}", "invalid 3 bad-message"},
        {"{\"type\":\"create\",\"id\":3,\"parentId\":1,\"nowatch\":1}", "invalid 3 bad-message"},
        {"{\"type\":\"update\",\"varId\":3,\"properties\":[]}", "invalid 3 bad-message"},
        {"{\"type\":\"update\",\"varId\":3,\"properties\":{\"a\":1},\"value\":2}", "invalid 3 =2 bad-message"},
        {"{\"type\":\"update\",\"varId\":3,\"properties\":{\"a\":null}}", "invalid 3 bad-message"},
        {"{\"type\":\"watch\",\"data\":null,\"varId\":3}", "invalid 0 bad-message"},
        {"{\"type\":\"watch\",\"data\":{\"varId\":3},\"data\":null}", "invalid 0 bad-message"},
        {"{\"type\":\"watch\",\"data\":5,\"varId\":3}", "watch 3"},
        {"{\"type\":\"watch\",\"varId\":3,\"colour\":{\"deep\":[1]}}", "watch 3"},
        {"{\"type\":\"watch\",\"varId\":3,\"varId\":4}", "watch 4"},
        {"{\"type\":\"watch\",\"type\":\"unwatch\",\"varId\":3}", "unwatch 3"},
        {"{\"type\":\"watch\",\"data\":{\"varId\":3},\"data\":{\"varId\":4}}", "watch 4"},
        {"{\"type\":\"watch\",\"varid\":3}", "invalid 0 bad-message"}, /* names are case-sensitive */
        {"{\"Type\":\"watch\",\"varId\":3}", "invalid 0 unknown-type"},
        {"{\"messages\":[{\"type\":\"watch\",\"varId\":1}],\"messages\":[{\"type\":\"watch\",\"varId\":2}]}",
         "watch 2"},
        {"{\"type\":\"dance\",\"varId\":3}", "invalid 0 unknown-type"},
        {"{\"type\":\"poll\",\"wait\":\"1s\"}", "invalid 0 unknown-type"}, /* P118 */
        {"{\"type\":\"get\",\"varIds\":[1,\"2\"]}", "invalid 0 bad-message"},
        {"{\"type\":\"get\"}", "invalid 0 bad-message"},
        {"{\"type\":\"error\",\"varId\":1,\"code\":\"bad-viewdef\",\"description\":\"A.B: x\"}", "error 1"},
        {"{\"type\":\"error\"}", "error 0"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        expect(rows[i].frame, rows[i].shown);
}

static void section_17_nul_bytes(void **state)
{
    (void)state;
    static const char frame[] = "{\"type\":\"watch\",\"varId\":1}\0{\"type\":\"watch\",\"varId\":2}";
    struct ls_batch *batch = ls_batch_parse(NULL, NULL, frame, sizeof frame - 1, 10000, NULL);
    assert_string_equal(show(batch), "invalid 0 bad-message");
    ls_batch_free(batch);
    batch = ls_batch_parse(NULL, NULL, "\0", 1, 10000, NULL);
    assert_string_equal(show(batch), "invalid 0 bad-message");
    ls_batch_free(batch);
    expect("{\"type\\u0000x\":\"watch\",\"varId\":1}", "invalid 0 unknown-type");
}

static void section_17_deep_nesting(void **state)
{
    (void)state;
    for (int depth = 990; depth <= 100000; depth = depth < 1010 ? depth + 1 : depth * 3) {
        char *frame = malloc((size_t)depth * 2 + 100);
        size_t at = (size_t)sprintf(frame, "{\"type\":\"update\",\"varId\":2,\"value\":");
        memset(frame + at, '[', (size_t)depth);
        memset(frame + at + depth, ']', (size_t)depth);
        strcpy(frame + at + 2 * depth, "}");
        struct ls_batch *batch = parse(frame);
        assert_int_equal(batch->count, 1);
        assert_int_equal(batch->messages[0].type, depth < 995    ? LS_MSG_UPDATE
                                                  : depth > 1001 ? LS_MSG_INVALID
                                                                 : batch->messages[0].type);
        ls_batch_free(batch);
        free(frame);
    }
}

/* A frame of `count` copies of one element, with commas between. */
static char *repeat(const char *head, const char *element, size_t count, const char *tail)
{
    size_t len = strlen(element), at = strlen(head);
    char *frame = malloc(at + count * (len + 1) + strlen(tail) + 1);
    memcpy(frame, head, at);
    for (size_t i = 0; i < count; i++) {
        if (i) frame[at++] = ',';
        memcpy(frame + at, element, len);
        at += len;
    }
    strcpy(frame + at, tail);
    return frame;
}

/* A frame may be large, but what is made of it must stay in proportion (P120). */
static void P120_many_tiny_elements(void **state)
{
    (void)state;
    size_t count = 300000;
    char *frame = repeat("[", "{}", count, "]");
    struct ls_batch *batch = ls_batch_parse(NULL, NULL, frame, strlen(frame), 0, NULL);
    assert_non_null(batch);
    assert_int_equal(batch->count, count);
    assert_ptr_equal(batch->messages[1].fault, batch->messages[count - 1].fault);
    ls_batch_free(batch);
    free(frame);
    frame = malloc(20 * count);
    size_t at = 0;
    for (size_t i = 0; i < count; i++)
        at += (size_t)sprintf(frame + at, "%c{\"type\":\"%d\"}", i ? ',' : '[', (int)(i % 10));
    frame[at++] = ']';
    batch = ls_batch_parse(NULL, NULL, frame, at, 0, NULL);
    assert_non_null(batch);
    assert_string_equal(batch->messages[7].fault->text, "unknown message type: 7");
    assert_int_equal(batch->messages[count - 1].fault->kind, LS_FAULT_UNKNOWN_TYPE);
    ls_batch_free(batch);
    free(frame);
}

/* Q2, --max-messages: refused by count, with one error and no part of it done, in every envelope. */
static void Q2_too_many_messages_or_values(void **state)
{
    (void)state;
    static const struct {
        const char *head, *element;
        size_t count;
        const char *tail, *excess;
    } rows[] = {
        {"[", "{}", 10000, "]", NULL},
        {"[", "{}", 10001, "]", "10000 messages"},
        {" [ ", "0", 10001, " ] ", "10000 messages"},
        {"[", "\"[,\\\"[,\"", 10000, "]", NULL}, /* what stands in a string is no element */
        {"[", "{\"type\":\"unwatch\",\"varId\":1}", 10001, "]", "10000 messages"},
        {"{\"messages\":[", "{\"type\":\"unwatch\",\"varId\":1}", 10000, "]}", NULL},
        {"{\"userEvent\":true,\"messages\":[", "{\"type\":\"unwatch\",\"varId\":1}", 10001, "]}", "10000 messages"},
        {"{\"m\\u0065ssages\":[", "{}", 10001, "]}", "10000 messages"},
        {"{\"type\":\"get\",\"varIds\":[", "1", 20000, "]}", NULL},
        {"{\"type\":\"update\",\"varId\":2,\"value\":[", "1", 900000, "]}", NULL},
        {"{\"type\":\"update\",\"varId\":2,\"value\":[", "1", 2000000, "]}", "1000000 values"},
        {"{\"type\":\"update\",\"varId\":2,\"value\":[", "{}", 2000000, "]}", "1000000 values"},
        {"{\"type\":\"create\",\"id\":2,\"properties\":{", "\"a\":\"\"", 2000000, "}}", "1000000 values"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *frame = repeat(rows[i].head, rows[i].element, rows[i].count, rows[i].tail), text[200];
        struct ls_batch *batch = ls_batch_parse(NULL, NULL, frame, strlen(frame), 10000, NULL);
        assert_non_null(batch);
        const struct ls_fault *fault = batch->messages[0].fault;
        if (rows[i].excess) {
            snprintf(text, sizeof text,
                     "the frame has more than %s, the limit of --max-messages; nothing of it has been done",
                     rows[i].excess);
            assert_int_equal(batch->count, 1);
            assert_false(batch->user_event);
            assert_string_equal(ls_fault_code(fault->kind), "too-large");
            assert_string_equal(fault->text, text);
        } else {
            assert_true(batch->count > 1 || batch->messages[0].type != LS_MSG_INVALID);
        }
        ls_batch_free(batch);
        free(frame);
    }
    char *body = repeat("{\"varIds\":[", "1", 2000000, "]}");
    bool bad_json = true;
    struct ls_batch *batch = ls_batch_parse(NULL, "get", body, strlen(body), 10000, &bad_json);
    assert_false(bad_json);
    assert_int_equal(batch->messages[0].fault->kind, LS_FAULT_TOO_LARGE);
    ls_batch_free(batch);
    free(body);
}

/* P116, P117: each id counts once, where it stands first. */
static void P116_ids_count_once(void **state)
{
    (void)state;
    expect("{\"type\":\"get\",\"varIds\":[3,1,3,2,1,9223372036854775807,-5,9223372036854775807,-5,0,0]}",
           "get 0 #3 #1 #2 #9223372036854775807 #-5 #0");
    expect("{\"type\":\"getObjects\",\"objIds\":[7,7,7]}", "getObjects 0 #7");
    char *frame = repeat("{\"type\":\"get\",\"varIds\":[", "1", 900000, "]}");
    expect(frame, "get 0 #1");
    free(frame);
}

static void P24_api_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *type, *body, *shown;
        bool bad_json;
    } rows[] = {
        {"watch", "{\"varId\":1}", "user:watch 1", false},
        {"watch", "{\"type\":\"destroy\",\"data\":{\"varId\":1}}", "user:watch 1", false},
        {"watch", "{\"type\":5,\"varId\":1}", "user:watch 1", false},
        {"watch", "[{\"varId\":1}]", "user:invalid 0 bad-message", false},
        {"watch", "{\"messages\":[]}", "user:invalid 0 bad-message", false},
        {"watch", "nonsense", "user:invalid 0 bad-message", true},
        {"watch", "", "user:invalid 0 bad-message", true},
        {"", "{\"type\":\"watch\",\"varId\":1}", "user:invalid 0 unknown-type", false},
        {"dance", "{}", "user:invalid 0 unknown-type", false},
        {"poll", "{}", "user:poll 0", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool bad_json;
        struct ls_batch *batch =
            ls_batch_parse(NULL, rows[i].type, rows[i].body, strlen(rows[i].body), 10000, &bad_json);
        assert_string_equal(show(batch), rows[i].shown);
        assert_int_equal(bad_json, rows[i].bad_json);
        ls_batch_free(batch);
    }
}

static void P118_poll_waits(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int64_t wait;
    } rows[] = {
        {"{}", -1},
        {"{\"wait\":\"250ms\"}", 250},
        {"{\"wait\":\"5s\"}", 5000},
        {"{\"wait\":\"2h\"}", LS_POLL_MAX_MS},
        {"{\"wait\":null}", -1},
    };
    bool bad_json;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ls_batch *batch = ls_batch_parse(NULL, "poll", rows[i].body, strlen(rows[i].body), 10000, &bad_json);
        assert_int_equal(batch->messages[0].type, LS_MSG_POLL);
        assert_int_equal(batch->messages[0].wait_ms, rows[i].wait);
        ls_batch_free(batch);
    }
    struct ls_batch *batch = ls_batch_parse(NULL, "poll", "{\"wait\":\"soon\"}", 15, 10000, &bad_json);
    assert_string_equal(show(batch), "user:invalid 0 bad-message");
    ls_batch_free(batch);
}

static void P87_property_suffixes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t base;
        enum ls_priority priority;
    } rows[] = {
        {"label", 5, LS_MEDIUM},
        {"label:high", 5, LS_HIGH},
        {"label:HIGH", 5, LS_HIGH},
        {"label:med", 5, LS_MEDIUM},
        {"label:Medium", 5, LS_MEDIUM},
        {"label:low", 5, LS_LOW},
        {"a:b:low", 3, LS_LOW},
        {"a:zzz", 5, LS_MEDIUM},
        {"a:", 2, LS_MEDIUM},
        {":low", 4, LS_MEDIUM},
        {"", 0, LS_MEDIUM},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        enum ls_priority priority;
        assert_int_equal(ls_prop_base(rows[i].name, strlen(rows[i].name), &priority), rows[i].base);
        assert_int_equal(priority, rows[i].priority);
    }
    const struct ls_prop prop = {"path:high", "x", 9, 1};
    assert_true(ls_prop_is(&prop, "path"));
    assert_false(ls_prop_is(&prop, "pat"));
    assert_false(ls_prop_is(&prop, "path:high:"));
}

static void section_5_written_messages(void **state)
{
    (void)state;
    struct ls_buf out = LS_BUF_INIT;
    const char *names[] = {"label", "namespace"}, *values[] = {"", "COMPACT"}, *quoted[] = {"a\"\n\x01"};
    static const struct {
        int kind;
        const char *text;
    } rows[] = {
        {0, "{\"type\":\"update\",\"data\":{\"varId\":3,\"value\":\"Rusty Anchor\"}}"},
        {1, "{\"type\":\"update\",\"data\":{\"varId\":3,\"properties\":{\"label\":\"\",\"namespace\":\"COMPACT\"}}}"},
        {2,
         "{\"type\":\"update\",\"data\":{\"varId\":-3,\"value\":null,\"properties\":{\"label\":\"a\\\"\\n\\u0001\"}}}"},
        {3, "{\"type\":\"destroy\",\"data\":{\"varId\":12}}"},
        {4,
         "{\"type\":\"error\",\"data\":{\"varId\":12,\"code\":\"path-failure\",\"description\":\"nothing at 'skipper' to set 'name' on\"}}"},
        {5, "{\"type\":\"error\",\"data\":{\"code\":\"bad-message\",\"description\":\"x\"}}"},
        {6, "{\"type\":\"get\",\"data\":{\"variables\":[]}}"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ls_buf_clear(&out);
        switch (rows[i].kind) {
        case 0: ls_write_update(&out, 3, "\"Rusty Anchor\"", 14, NULL, NULL, 0, NULL); break;
        case 1: ls_write_update(&out, 3, NULL, 0, names, values, 2, NULL); break;
        case 2: ls_write_update(&out, -3, "null", 4, names, quoted, 1, NULL); break;
        case 3: ls_write_destroy(&out, 12); break;
        case 4: ls_write_error(&out, 12, "path-failure", "nothing at 'skipper' to set 'name' on"); break;
        case 5: ls_write_error(&out, 0, "bad-message", "x"); break;
        case 6: ls_write_answer(&out, "get", "{\"variables\":[]}", 16); break;
        }
        assert_string_equal(ls_buf_text(&out), rows[i].text);
    }
    ls_buf_release(&out);
}

/* --- the outgoing queue --- */

static void add(struct ls_outgoing *out, int64_t id, const char *text)
{
    ls_outgoing_add(out, id, text, strlen(text));
}

static void expect_frame(struct ls_outgoing *out, const char *text)
{
    struct ls_bytes *frame = ls_outgoing_take(out);
    if (!text)
        assert_null(frame);
    else
        assert_string_equal(ls_bytes_data(frame), text);
    ls_bytes_unref(frame);
    assert_false(ls_outgoing_any(out));
}

static void P65_one_message_bare_several_in_an_array(void **state)
{
    (void)state;
    struct ls_outgoing out;
    ls_outgoing_init(&out, NULL);
    expect_frame(&out, NULL);
    add(&out, 2, "{\"a\":1}");
    assert_true(ls_outgoing_any(&out));
    expect_frame(&out, "{\"a\":1}");
    add(&out, 2, "{}");
    add(&out, 0, "{\"b\":2}");
    expect_frame(&out, "[{},{\"b\":2}]");
    for (int i = 0; i < 1000; i++)
        add(&out, i, "{}");
    struct ls_bytes *frame = ls_outgoing_take(&out);
    assert_int_equal(ls_bytes_len(frame), 1000 * 3 + 1);
    ls_bytes_unref(frame);
    ls_outgoing_release(&out);
}

static void P97_the_queue_knows_whose_destroy_notice_it_holds(void **state)
{
    (void)state;
    struct ls_outgoing out;
    ls_outgoing_init(&out, NULL);
    add(&out, 2, "{\"update\":2}");
    add(&out, 3, "{\"update\":3}");
    add(&out, 2, "{\"destroy\":2}");
    ls_outgoing_ended(&out, 2);
    assert_true(ls_outgoing_has_ended(&out, 2));
    assert_false(ls_outgoing_has_ended(&out, 3));
    add(&out, 2, "{\"new\":2}");
    expect_frame(&out, "[{\"update\":2},{\"update\":3},{\"destroy\":2},{\"new\":2}]");
    assert_false(ls_outgoing_has_ended(&out, 2)); /* the page has been told */
    assert_false(out.lost);
    ls_outgoing_release(&out);
}

static void add_equal(struct ls_outgoing *out, const char *text, int64_t key)
{
    ls_buf_str(ls_outgoing_begin(out), text);
    ls_outgoing_end_equal(out, 0, key);
}

/* Each failed write has its error (P103); of ten thousand equal ones that wait the first few and the last are sent. */
static void P103_a_flood_of_equal_errors_is_a_few(void **state)
{
    (void)state;
    struct ls_outgoing out;
    ls_outgoing_init(&out, NULL);
    for (int i = 0; i < 10000; i++)
        add_equal(&out, "1", 1);
    assert_int_equal(out.count, LS_EQUAL_MAX);
    assert_true(out.text.cap < 1000);
    for (int i = 0; i < 10000; i++) { /* by turns */
        add_equal(&out, "2", 3);
        add_equal(&out, "1", 1);
    }
    struct ls_buf text = LS_BUF_INIT;
    assert_int_equal(ls_outgoing_drain(&out, &text), 2 * LS_EQUAL_MAX);
    assert_string_equal(text.data + text.len - 5, ",2,1]");
    add_equal(&out, "3", 1); /* those have been sent */
    size_t first = out.count;
    for (int i = 0; i < 100; i++)
        add_equal(&out, "4", 5);
    ls_outgoing_cut(&out, first);
    ls_outgoing_add(&out, 0, "5", 1);
    add_equal(&out, "4", 5); /* nothing that was taken back counts */
    ls_outgoing_postpone(&out, 0);
    ls_outgoing_postpone(&out, 3); /* stands behind all others already */
    ls_buf_clear(&text);
    ls_outgoing_drain(&out, &text);
    assert_string_equal(text.data, "[5,4,3]");
    ls_buf_release(&text);
    ls_outgoing_release(&out);
}

static void messages_can_be_postponed_and_drained(void **state)
{
    (void)state;
    struct ls_outgoing out;
    struct ls_buf text = LS_BUF_INIT;
    ls_outgoing_init(&out, NULL);
    add(&out, 2, "{\"error\":2}");
    add(&out, 2, "{\"update\":2}");
    ls_outgoing_postpone(&out, 0);
    assert_int_equal(ls_outgoing_drain(&out, &text), 2);
    assert_string_equal(ls_buf_text(&text), "[{\"update\":2},{\"error\":2}]");
    ls_buf_clear(&text);
    assert_int_equal(ls_outgoing_drain(&out, &text), 0);
    assert_string_equal(ls_buf_text(&text), "[]");
    ls_buf_release(&text);
    ls_outgoing_release(&out);
}

/* --- memory --- */

static void parsing_survives_every_failed_allocation(void **state)
{
    (void)state;
    struct ls_buf frame = LS_BUF_INIT;
    ls_buf_str(&frame, "{\"userEvent\":true,\"messages\":[{\"type\":\"dance\"}");
    for (int i = 2; i < 400; i++)
        ls_buf_printf(
            &frame, ",{\"type\":\"create\",\"data\":{\"id\":%d,\"parentId\":1,\"properties\":{\"path\":\"a\\n\"}}}", i);
    ls_buf_str(&frame, "]}");
    bool done = false;
    int failures = 0;
    for (long n = 1; !done; n++) {
        ls_alloc_fail_at(n);
        struct ls_batch *batch = ls_batch_parse(NULL, NULL, frame.data, frame.len, 10000, NULL);
        done = ls_alloc_fail_at(0) < n;
        if (!done)
            failures += batch == NULL;
        else
            assert_int_equal(batch->count, 399);
        ls_batch_free(batch);
    }
    assert_true(failures > 0);
    ls_buf_release(&frame);
}

/* What is counted first and what is kept afterwards must be the same, whichever allocation fails: names and numbers
 * that are written at length are where reading JSON might want memory. */
static void counts_do_not_depend_on_memory(void **state)
{
    (void)state;
    char zeros[101];
    memset(zeros, '0', sizeof zeros - 1);
    zeros[sizeof zeros - 1] = 0;
    struct ls_buf frame = LS_BUF_INIT;
    ls_buf_str(&frame, "{\"\\u006dessages\":[");
    for (int i = 0; i < 100; i++)
        ls_buf_printf(&frame, "{\"type\":\"get\",\"\\u0076arIds\":[1.%s,2.%s,3,4,5,6]},1.%s,", zeros, zeros, zeros);
    ls_buf_printf(&frame, "{\"type\":\"update\",\"varId\":1,\"properties\":{\"a\":\"\",\"b\":1.%s}}]}", zeros);
    bool done = false;
    for (long n = 1; !done; n++) {
        ls_alloc_fail_at(n);
        struct ls_batch *batch = ls_batch_parse(NULL, NULL, frame.data, frame.len, 10000, NULL);
        done = ls_alloc_fail_at(0) < n;
        assert_true(done || !batch);
        if (done) assert_int_equal(batch->count, 201);
        if (done) assert_int_equal(batch->messages[198].id_count, 6);
        ls_batch_free(batch);
    }
    ls_buf_release(&frame);
    done = false;
    for (long n = 1; !done; n++) {
        char line[300];
        const char *const *names;
        snprintf(line, sizeof line, "{\"cmd\":\"x\",\"list\":[\"a\",1.%s,\"b\"]}", zeros);
        ls_alloc_fail_at(n);
        struct ls_control *request = ls_control_parse(line, strlen(line), NULL);
        size_t count = request ? ls_control_list(request, "list", &names) : 0;
        done = ls_alloc_fail_at(0) < n;
        assert_int_equal(count, done ? 2 : 0);
        ls_control_free(request);
    }
}

static void the_queue_says_when_messages_are_lost(void **state)
{
    (void)state;
    bool done = false;
    for (long n = 1; !done; n++) {
        struct ls_outgoing out;
        ls_outgoing_init(&out, NULL);
        ls_alloc_fail_at(n);
        for (int i = 0; i < 40; i++)
            add(&out, i, "{\"type\":\"update\"}");
        ls_outgoing_ended(&out, 3);
        struct ls_bytes *frame = ls_outgoing_take(&out);
        done = ls_alloc_fail_at(0) < n;
        assert_true(done ? frame && !out.lost : !frame && out.lost);
        ls_bytes_unref(frame);
        ls_outgoing_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(P43_P44_three_envelopes),
        cmocka_unit_test(P45_P46_nested_and_flat_forms),
        cmocka_unit_test(P47_ids_and_values_are_exact),
        cmocka_unit_test(property_texts_are_unescaped),
        cmocka_unit_test(half_characters_do_not_break_a_frame),
        cmocka_unit_test(section_17_malformed_input),
        cmocka_unit_test(section_17_nul_bytes),
        cmocka_unit_test(section_17_deep_nesting),
        cmocka_unit_test(P120_many_tiny_elements),
        cmocka_unit_test(Q2_too_many_messages_or_values),
        cmocka_unit_test(P116_ids_count_once),
        cmocka_unit_test(P24_api_bodies),
        cmocka_unit_test(P118_poll_waits),
        cmocka_unit_test(P87_property_suffixes),
        cmocka_unit_test(section_5_written_messages),
        cmocka_unit_test(P65_one_message_bare_several_in_an_array),
        cmocka_unit_test(P97_the_queue_knows_whose_destroy_notice_it_holds),
        cmocka_unit_test(P103_a_flood_of_equal_errors_is_a_few),
        cmocka_unit_test(messages_can_be_postponed_and_drained),
        cmocka_unit_test(parsing_survives_every_failed_allocation),
        cmocka_unit_test(counts_do_not_depend_on_memory),
        cmocka_unit_test(the_queue_says_when_messages_are_lost),
    };
    return cmocka_run_group_tests_name("protocol", tests, NULL, NULL);
}
