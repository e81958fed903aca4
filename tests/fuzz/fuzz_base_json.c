/* Fuzz target: the JSON reader. Any text is refused with a reason, or is a sequence of tokens that lie inside it;
 * written out again it is read as the same sequence; ls_json_skip and ls_json_member agree with reading token by token.
 * Built by run.sh: with libFuzzer, or with replay.c. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

static void write_string(struct ls_buf *out, const struct ls_json_reader *reader)
{
    struct ls_buf plain = LS_BUF_INIT;
    ls_json_unescape(&plain, reader->text, reader->len);
    ls_json_string(out, ls_buf_text(&plain), plain.len);
    ls_buf_release(&plain);
}

/* An integer just below the range is the double -2^63, whose own text has an exponent and is read as the exact integer
 * that it is. */
static void write_double(struct ls_buf *out, double number)
{
    if (number == -9223372036854775808.0)
        ls_json_int(out, INT64_MIN);
    else
        CHECK(ls_json_double(out, number));
}

/* Reads all of `text` and writes it in the shortest form. @return the token that ended it */
static enum ls_json_token rewrite(const char *text, size_t len, struct ls_buf *out)
{
    struct ls_json_reader reader;
    bool comma = false;
    ls_json_read(&reader, text, len);
    for (;;) {
        enum ls_json_token token = ls_json_next(&reader);
        CHECK(reader.at >= text && reader.at <= text + len && reader.depth <= LS_JSON_DEPTH);
        if (token == LS_JSON_ERROR || token == LS_JSON_END) {
            CHECK(token == LS_JSON_END || (reader.problem && *reader.problem));
            CHECK(ls_json_next(&reader) == token);
            return token;
        }
        bool closes = token == LS_JSON_ARRAY_END || token == LS_JSON_OBJECT_END;
        if (comma && !closes) ls_buf_char(out, ',');
        comma = token != LS_JSON_KEY && token != LS_JSON_ARRAY && token != LS_JSON_OBJECT;
        switch (token) {
        case LS_JSON_NULL: ls_buf_str(out, "null"); break;
        case LS_JSON_TRUE: ls_buf_str(out, "true"); break;
        case LS_JSON_FALSE: ls_buf_str(out, "false"); break;
        case LS_JSON_INT: ls_json_int(out, reader.integer); break;
        case LS_JSON_DOUBLE: write_double(out, reader.number); break;
        case LS_JSON_ARRAY: ls_buf_char(out, '['); break;
        case LS_JSON_ARRAY_END: ls_buf_char(out, ']'); break;
        case LS_JSON_OBJECT: ls_buf_char(out, '{'); break;
        case LS_JSON_OBJECT_END: ls_buf_char(out, '}'); break;
        case LS_JSON_KEY:
        case LS_JSON_STRING:
            CHECK(reader.text > text && reader.text + reader.len < text + len);
            write_string(out, &reader);
            if (token == LS_JSON_KEY) ls_buf_char(out, ':');
            break;
        default: abort();
        }
    }
}

static void check_spans(const char *text, size_t len, bool well_formed)
{
    struct ls_json_reader reader;
    const char *span, *value;
    size_t span_len, value_len;
    ls_json_read(&reader, text, len);
    bool whole = ls_json_skip(&reader, ls_json_next(&reader), &span, &span_len) && ls_json_next(&reader) == LS_JSON_END;
    CHECK(whole == well_formed);
    if (whole) CHECK(span >= text && span + span_len <= text + len && span_len > 0);
    if (ls_json_member(text, len, "id", &value, &value_len)) {
        struct ls_buf out = LS_BUF_INIT;
        CHECK(value > text && value + value_len < text + len);
        CHECK(rewrite(value, value_len, &out) == LS_JSON_END);
        ls_buf_release(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ls_buf once = LS_BUF_INIT, twice = LS_BUF_INIT;
    char *text = malloc(size ? size : 1); /* exactly as long as the input, so that one byte too far is seen */
    CHECK(text);
    if (size) memcpy(text, data, size);
    enum ls_json_token end = rewrite(text, size, &once);
    check_spans(text, size, end == LS_JSON_END);
    if (end == LS_JSON_END) {
        CHECK(ls_utf8_valid(ls_buf_text(&once), once.len));
        CHECK(rewrite(ls_buf_text(&once), once.len, &twice) == LS_JSON_END);
        CHECK(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
    }
    ls_buf_release(&once);
    ls_buf_release(&twice);
    free(text);
    return 0;
}
