/* Fuzz target: requests of the control socket. A line is refused with a sentence, or every member that a command may
 * ask for can be asked for, whatever its type; texts end with a NUL and lists with as many texts as were counted. Built
 * by run.sh: with libFuzzer, or with replay.c. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "protocol/control_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

static void ask(struct ls_control *request)
{
    static const char *const names[] = {"session", "code", "name",    "line",       "names", "sessions",
                                        "files",   "repl", "dry_run", "max_output", "cmd",   "id"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *const *list;
        size_t len = 0, bytes = 0;
        const char *text = ls_control_text(request, names[i], &len);
        CHECK(!text || text[len] == '\0');
        size_t count = ls_control_list(request, names[i], &list);
        CHECK(count == 0 || list);
        for (size_t k = 0; k < count; k++)
            bytes += strlen(list[k]);
        CHECK(!(text && count) && bytes < SIZE_MAX);
        if (ls_control_flag(request, names[i])) CHECK(!text && !count && ls_control_int(request, names[i]) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    LS_ERR(err);
    char *line = malloc(size ? size : 1);
    CHECK(line);
    if (size) memcpy(line, data, size);
    struct ls_control *request = ls_control_parse(line, size, &err);
    free(line); /* it has been copied */
    if (!request) {
        CHECK(err.code == LS_EINVAL && *ls_err_text(&err));
        return 0;
    }
    struct ls_json_reader reader;
    const char *span;
    size_t len;
    ls_json_read(&reader, ls_control_id(request), strlen(ls_control_id(request)));
    CHECK(ls_json_skip(&reader, ls_json_next(&reader), &span, &len) && ls_json_next(&reader) == LS_JSON_END);
    CHECK(ls_control_cmd(request));
    ask(request);
    ls_control_free(request);
    return 0;
}
