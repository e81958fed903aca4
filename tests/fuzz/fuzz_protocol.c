/* Fuzz target: the message parser. Any frame becomes a batch; what it points to must lie inside, values must be JSON,
 * and parsing twice must give the same. The first byte chooses between WebSocket and API. Built by run.sh: with
 * libFuzzer, or with replay.c over a folder of files. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "protocol/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

static void check_message(const struct ls_message *m, bool api)
{
    CHECK(m->type != LS_MSG_INVALID || (m->fault && m->fault->kind != LS_FAULT_NONE && *ls_fault_code(m->fault->kind)));
    CHECK(m->type != LS_MSG_POLL || api);
    CHECK(m->wait_ms >= -1 && m->wait_ms <= LS_POLL_MAX_MS);
    if (m->type == LS_MSG_INVALID) return;
    if (m->has_value) {
        struct ls_json_reader reader;
        const char *text;
        size_t len;
        ls_json_read(&reader, m->value, m->value_len);
        CHECK(ls_json_skip(&reader, ls_json_next(&reader), &text, &len) && ls_json_next(&reader) == LS_JSON_END);
        CHECK(text == m->value && len == m->value_len);
    }
    size_t bytes = 0;
    for (size_t i = 0; i < m->prop_count; i++) {
        for (size_t k = 0; k < m->props[i].name_len; k++)
            bytes += (unsigned char)m->props[i].name[k];
        for (size_t k = 0; k < m->props[i].value_len; k++)
            bytes += (unsigned char)m->props[i].value[k];
        CHECK(ls_prop_base(m->props[i].name, m->props[i].name_len, NULL) <= m->props[i].name_len);
    }
    for (size_t i = 0; i < m->id_count; i++)
        bytes += m->ids[i] != 0;
    CHECK(bytes < SIZE_MAX); /* the sums make the sanitizer look at every byte */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool api = size && data[0] == '@', bad_json = false;
    const char *text = (const char *)data + api;
    size -= api;
    struct ls_batch *first = ls_batch_parse(NULL, api ? "update" : NULL, text, size, 10000, &bad_json);
    struct ls_batch *second = ls_batch_parse(NULL, api ? "update" : NULL, text, size, 10000, &bad_json);
    CHECK(first && second && first->count == second->count && first->user_event == second->user_event);
    CHECK(!api || first->count == 1);
    for (size_t i = 0; i < first->count; i++) {
        check_message(&first->messages[i], api);
        CHECK(first->messages[i].type == second->messages[i].type && first->messages[i].id == second->messages[i].id);
    }
    ls_batch_free(first);
    ls_batch_free(second);
    return 0;
}
