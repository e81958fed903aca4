/* Fuzz target: small texts from pages, options and addresses: UTF-8, durations, sizes, numbers, file paths, HTML. The
 * limits that the functions promise hold for every text. Built by run.sh: with libFuzzer, or with replay.c over a
 * folder of files. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "files/fspath.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

static void check_numbers(const char *text)
{
    int64_t ms = -1, number = 0;
    uint64_t bytes = 0;
    if (ls_parse_duration(text, &ms)) CHECK(ms >= 0 && ms <= INT64_MAX / 1000000); /* to nanoseconds without overflow */
    if (ls_parse_size(text, &bytes)) CHECK(bytes <= INT64_MAX);
    if (ls_parse_int(text, -5, 70000, &number)) CHECK(number >= -5 && number <= 70000);
}

/* No component of a resolved path climbs, whether there is such a file or not. */
static void check_paths(const char *text)
{
    char *real = ls_path_real_lenient(NULL, text, NULL);
    CHECK(!real || real[0] == '/');
    for (const char *at = real; at && *at;) {
        size_t step = strcspn(at, "/");
        CHECK(!(step == 2 && at[0] == '.' && at[1] == '.'));
        at += step + (at[step] == '/');
    }
    ls_free(real);
    char *dir = ls_path_dir(text);
    CHECK(dir && *dir && strlen(dir) <= strlen(text) + 1);
    CHECK(ls_path_base(text) >= text && ls_path_base(text) <= text + strlen(text) && !strchr(ls_path_base(text), '/'));
    ls_free(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    CHECK(text);
    if (size) memcpy(text, data, size);
    text[size] = '\0';
    size_t at = 0, step;
    while (at < size && (step = ls_utf8_step(text + at, size - at)) > 0) {
        CHECK(step <= 4 && step <= size - at);
        at += step;
    }
    CHECK(ls_utf8_valid(text, size) == (at == size));
    check_numbers(text);
    check_paths(text);
    struct ls_buf html = LS_BUF_INIT;
    ls_html_escape(&html, text, size);
    CHECK(html.len >= size && !memchr(ls_buf_text(&html), '<', html.len) && !memchr(ls_buf_text(&html), '"', html.len));
    ls_buf_release(&html);
    CHECK(ls_hash(text, size) == ls_hash(text, size));
    ls_text_near(text, "--max-connections");
    free(text);
    return 0;
}
