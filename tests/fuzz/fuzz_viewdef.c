/* Fuzz target: what the server makes of a view file. The input's first line is the file's path below viewdefs/, the
 * rest its text. A text is either refused or becomes a member of a JSON object that gives it back unchanged; the
 * checker must come to an end with lines inside the text. Built by run.sh: with libFuzzer, or with replay.c over a
 * folder of files. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "viewdef/scan.h"
#include "viewdef/viewdef.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

static int lines;

static void see_attribute(void *ctx, int line, unsigned level, const char *element, const char *name, const char *value)
{
    (void)ctx;
    CHECK(line >= 1 && line <= lines && level <= 100000 && element && strncmp(name, "ui-", 3) == 0 && value);
}

static void see_problem(void *ctx, int line, const char *text)
{
    (void)ctx;
    CHECK(line >= 0 && line <= lines && *text);
}

static void check_store(const char *path, const char *text, size_t len)
{
    struct ls_viewdefs *views = ls_viewdefs_open(NULL, "/nonexistent/viewdefs", NULL, NULL);
    struct ls_map *sent = ls_map_new();
    struct ls_bytes *bytes = ls_bytes_new(text, len);
    struct ls_buf json = LS_BUF_INIT, back = LS_BUF_INIT;
    CHECK(views && sent && bytes);
    LS_ERR(err);
    int rc = ls_viewdefs_put(views, path, bytes, &err);
    int due = ls_viewdefs_due(views, sent, NULL, 0, NULL, NULL, &json);
    CHECK(due == (rc > 0) && (rc <= 0 || ls_utf8_valid(text, len)));
    if (due) {
        struct ls_json_reader reader;
        ls_json_read(&reader, json.data, json.len);
        CHECK(ls_json_next(&reader) == LS_JSON_OBJECT && ls_json_next(&reader) == LS_JSON_KEY &&
              ls_json_next(&reader) == LS_JSON_STRING);
        ls_json_unescape(&back, reader.text, reader.len);
        CHECK(back.len == len && memcmp(ls_buf_text(&back), text, len) == 0);
        CHECK(ls_json_next(&reader) == LS_JSON_OBJECT_END && ls_json_next(&reader) == LS_JSON_END);
    }
    ls_viewdefs_pick_up(views, path, NULL); /* any text as a type (P108) */
    ls_buf_release(&json);
    ls_buf_release(&back);
    ls_bytes_unref(bytes);
    ls_map_free(sent, NULL);
    ls_viewdefs_close(views);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct ls_viewdef_visitor visitor = {.attribute = see_attribute, .problem = see_problem};
    const char *input = (const char *)data, *end = size ? memchr(input, '\n', size) : NULL;
    char path[256];
    size_t name_len = end ? (size_t)(end - input) : 0;
    snprintf(path, sizeof path, "/nonexistent/viewdefs/%.*s", (int)(name_len < 200 ? name_len : 200), end ? input : "");
    const char *text = end ? end + 1 : input;
    size_t len = end ? size - name_len - 1 : size;
    lines = 1;
    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    CHECK(ls_viewdef_scan(text, len, &visitor) >= 0);
    check_store(path, text, len);
    return 0;
}
