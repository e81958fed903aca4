/* The messages of a batch are stopped in their middle, at moments that differ each time: what is missing comes with the
 * next batch (L5). */
#include "backend_site.h"

#include <signal.h>
#include <sys/time.h>

#include "base/json.h"
#include "session/session.h"
#include "tracker/tracker.h"

enum { FIRST = 10, LAST = 700 };

static volatile sig_atomic_t armed;

static void on_alarm(int number)
{
    (void)number;
    if (armed) ls_session_interrupt(ls_backend_session(t.backend));
}

static void interrupt_in(int64_t us)
{
    struct itimerval when = {.it_value = {.tv_sec = us / 1000000, .tv_usec = us % 1000000}};
    signal(SIGALRM, on_alarm);
    armed = us > 0;
    setitimer(ITIMER_REAL, &when, NULL);
}

/* --- what the page shows --- */

static char *shown[LAST + 1];
static int64_t answered; /* the last number of a write that has been answered */

static int64_t number_of(const char *text, size_t len, const char *name)
{
    const char *span;
    size_t span_len;
    return ls_json_member(text, len, name, &span, &span_len) ? atoll(span) : 0;
}

static void take_message(const char *text, size_t len)
{
    const char *data, *value;
    size_t data_len, value_len;
    if (!ls_json_member(text, len, "data", &data, &data_len)) return;
    int64_t id = number_of(data, data_len, "varId"), seq = number_of(data, data_len, "seq");
    if (seq) answered = seq;
    if (id < 1 || id > LAST || !ls_json_member(data, data_len, "value", &value, &value_len)) return;
    free(shown[id]);
    shown[id] = strndup(value, value_len);
}

static void take_frames(struct page *page)
{
    struct ls_json_reader reader;
    const char *text;
    size_t len;
    fire_flush();
    for (char *line = page->frames.data, *end; line && (end = strchr(line, '\n')); line = end + 1) {
        ls_json_read(&reader, line, (size_t)(end - line));
        enum ls_json_token token = ls_json_next(&reader);
        if (token == LS_JSON_OBJECT) {
            take_message(line, (size_t)(end - line));
            continue;
        }
        while ((token = ls_json_next(&reader)) != LS_JSON_ARRAY_END && token != LS_JSON_ERROR && token != LS_JSON_END)
            if (ls_json_skip(&reader, token, &text, &len)) take_message(text, len);
    }
    forget_frames(page);
}

static void assert_right(int64_t id)
{
    struct ls_tracker *tracker = ls_backend_tracker(t.backend);
    const char *json = ls_var_json(tracker, ls_tracker_find(tracker, id), NULL);
    if (!shown[id] || strcmp(shown[id], json) != 0)
        fail_msg("variable %lld is %.100s, the page shows %.100s", (long long)id, json,
                 shown[id] ? shown[id] : "nothing");
}

static const char site[] = "app = { type = 'App', name = 'n', title = 't', count = 0, a = {}, s = '' }\n"
                           "for i = 1, 20000 do app.a[i] = i end\n"
                           "function app:act()\n"
                           "  self.count = self.count + 1 self.name = 'n' .. self.count self.a[1] = self.count\n"
                           "  self.s = string.rep('\\n', 300000) .. self.count\n"
                           "end\n"
                           "session:createAppVariable(app)\n";

/* Events that are stopped later and later; behind each, a batch in peace. */
static void sweep(struct page *page)
{
    char frame[256];
    int cuts = 0;
    for (int64_t seq = 1, us = 20; us < 4000000 && (cuts < 3 || us < 20000); seq++, us += us / 8 + 1) {
        snprintf(frame, sizeof frame,
                 USER(VALUE(5, "null") ",{\"type\":\"update\",\"data\":{\"varId\":4,\"value\":\"%lld\",\"seq\":%lld}}"),
                 (long long)seq, (long long)seq);
        interrupt_in(us);
        receive(page, frame);
        interrupt_in(0);
        take_frames(page);
        cuts += strstr(ls_session_last_error(ls_backend_session(t.backend)), "interrupted") != NULL;
        run_lua("error_before = nil");
        take_frames(page);
        assert_int_equal(answered, seq);
        for (int64_t id = 2; id <= 4; id++)
            assert_right(id);
        for (int64_t id = FIRST; id <= LAST; id++)
            assert_right(id);
    }
    assert_true(cuts > 0);
}

static struct page *open_page(const char *more)
{
    struct page *page = connect_page(0);
    receive(
        page,
        "{\"type\":\"watch\",\"data\":{\"varId\":1,\"client\":{\"v\":1,\"tab\":\"00112233445566778899aabbccddeeff\",\"url\":\"/\"}}}");
    receive(page,
            CALM(CREATE(2, 1, PATH("a") ",\"access\":\"r\"") "," CREATE(3, 1, PATH("s") ",\"access\":\"r\"") "," CREATE(
                4, 1, PATH("title")) "," CREATE(5, 1, PATH("act()") ",\"access\":\"action\"")));
    for (int id = FIRST; id <= LAST; id++) {
        char frame[128];
        snprintf(frame, sizeof frame,
                 "{\"type\":\"create\",\"data\":{\"id\":%d,\"parentId\":1,\"properties\":{\"path\":\"name\"}}}", id);
        receive(page, frame);
    }
    if (more) receive(page, more);
    take_frames(page);
    return page;
}

static void l5_what_a_batch_has_left_comes_with_the_next(void **state)
{
    (void)state;
    serve(site);
    sweep(open_page(NULL));
}

static void l5_and_where_messages_are_put_in_order_first(void **state)
{
    (void)state;
    serve(site);
    sweep(open_page(CREATE(6, 1, PATH("count") ",\"inactive\":\"true\"")));
}

static void l5_an_answer_is_whole_or_an_error(void **state)
{
    (void)state;
    serve(site);
    struct page *page = open_page(
        "{\"type\":\"create\",\"data\":{\"id\":7,\"parentId\":1,\"nowatch\":true,\"properties\":{\"path\":\"s\"}}}");
    receive(page, DESTROY(3));
    int errors = 0, answers = 0;
    for (int64_t us = 20; us < 4000000 && (!errors || !answers); us += us / 6) {
        run_lua("app:act()"); /* texts are made anew */
        take_frames(page);
        interrupt_in(us);
        receive(page, "{\"type\":\"get\",\"data\":{\"varIds\":[7]}}");
        interrupt_in(0);
        fire_flush();
        bool error = strstr(page->frames.data, "--time-limit") != NULL;
        errors += error;
        answers += !error && page->frames.len > 300000;
        assert_true(error || strstr(page->frames.data, "\"value\":null") == NULL);
        forget_frames(page);
    }
    assert_true(errors > 0 && answers > 0);
}

static int tear_down(void **state)
{
    for (size_t i = 0; i <= LAST; i++) {
        free(shown[i]);
        shown[i] = NULL;
    }
    return site_tear_down(state);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, site_set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(l5_what_a_batch_has_left_comes_with_the_next),
        T(l5_and_where_messages_are_put_in_order_first),
        T(l5_an_answer_is_whole_or_an_error),
    };
    return cmocka_run_group_tests_name("L5: messages that are stopped in their middle", tests, NULL, NULL);
}
