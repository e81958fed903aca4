/* A site in a temporary folder, a backend that serves it, and connections that record what they are sent: for the tests
 * of lib/backend. Time is the tests' own: timers are only noted, and the test calls what they would have called. */
#ifndef TESTS_UNIT_BACKEND_SITE_H
#define TESTS_UNIT_BACKEND_SITE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/backend.h"
#include "files/fspath.h"
#include "base/log.h"
#include "base/text.h"
#include "protocol/message.h"
#include "vm/chunks.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct page {
    struct ls_conn *conn;
    struct ls_buf frames; /* one a line */
    unsigned count;
};

static struct {
    char root[64], lua_dir[80], views_dir[80];
    struct ls_site site;
    struct ls_chunks *chunks;
    struct ls_viewdefs *views;
    struct ls_backend *backend;
    struct ls_budget budget;
    struct ls_backend_config config;
    struct ls_rights rights;      /* of pages that connect */
    int64_t flush_due, grace_due; /* armed timers, 0 = none */
    uint64_t timer;               /* Lua timer set last */
    struct page pages[8];
    struct ls_err err;
} t;

static inline void site_file(const char *rel, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", t.root, rel);
    for (char *slash = strchr(path + strlen(t.root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static inline void record_frame(void *ctx, struct ls_bytes *frame)
{
    struct page *page = ctx;
    ls_buf_add(&page->frames, ls_bytes_data(frame), ls_bytes_len(frame));
    ls_buf_char(&page->frames, '\n');
    page->count++;
}

static inline void note_flush(void *ctx, int64_t due_ns)
{
    (void)ctx;
    t.flush_due = due_ns;
}
static inline void note_grace(void *ctx, int64_t due_ns)
{
    (void)ctx;
    t.grace_due = due_ns;
}
static inline int note_timer(void *ctx, uint64_t handle, int64_t due_ns)
{
    (void)ctx;
    (void)due_ns;
    t.timer = handle;
    return 0;
}

/* Make the folder; files follow with site_file. */
static inline int site_set_up(void **state)
{
    (void)state;
    memset(&t, 0, sizeof t);
    strcpy(t.root, "/tmp/lsess-backend-XXXXXX");
    if (!mkdtemp(t.root)) return -1;
    snprintf(t.lua_dir, sizeof t.lua_dir, "%s/lua", t.root);
    snprintf(t.views_dir, sizeof t.views_dir, "%s/viewdefs", t.root);
    mkdir(t.lua_dir, 0755);
    mkdir(t.views_dir, 0755);
    t.site = (struct ls_site){t.root, t.lua_dir, NULL};
    t.config = (struct ls_backend_config){.session = {.vended_id = "1",
                                                      .site = &t.site,
                                                      .memory_limit = 64 << 20,
                                                      .time_limit_ms = 5000,
                                                      .max_timers = 100},
                                          .max_variables = 200000};
    ls_budget_init(&t.budget, 64 << 20);
    t.config.session.budget = &t.budget;
    t.rights = (struct ls_rights){.lua = true};
    t.chunks = ls_chunks_new(&t.err);
    return t.chunks ? 0 : -1;
}

static inline int site_tear_down(void **state)
{
    (void)state;
    char command[128];
    for (size_t i = 0; i < COUNT(t.pages); i++) {
        if (t.pages[i].conn) ls_backend_disconnect(t.backend, t.pages[i].conn, false);
        ls_buf_release(&t.pages[i].frames);
    }
    ls_backend_close(t.backend);
    ls_err_release(&t.err);
    assert_int_equal(ls_budget_total(&t.budget), 0); /* L5: after the end of a session nothing counts */
    ls_viewdefs_close(t.views);
    ls_chunks_free(t.chunks);
    snprintf(command, sizeof command, "rm -rf '%s'", t.root);
    return system(command);
}

static inline void open_views(void)
{
    t.views = ls_viewdefs_open(NULL, t.views_dir, NULL, &t.err);
    assert_non_null(t.views);
    t.config.viewdefs = t.views;
}

static inline struct ls_backend *open_backend(void)
{
    const struct ls_backend_host host = {
        .session = {.timer_set = note_timer}, .flush_at = note_flush, .grace_at = note_grace};
    if (!t.views) open_views();
    t.config.session.chunks = t.chunks;
    return ls_backend_open(&t.config, &host, &t.err);
}

/* A site whose main.lua is `main`. */
static inline void serve(const char *main)
{
    site_file("lua/main.lua", main);
    t.backend = open_backend();
    if (!t.backend) fail_msg("main.lua: %s", ls_err_text(&t.err));
}

static inline struct page *connect_page(int index)
{
    struct page *page = &t.pages[index];
    const struct ls_outlet outlet = {.ctx = page, .send = record_frame, .rights = t.rights};
    page->conn = ls_backend_connect(t.backend, &outlet);
    assert_non_null(page->conn);
    return page;
}

static inline void leave(int index, bool abnormal)
{
    ls_backend_disconnect(t.backend, t.pages[index].conn, abnormal);
    t.pages[index].conn = NULL;
}

/* A frame comes in; the debounce timer has not fired yet. */
static inline void receive(struct page *page, const char *frame)
{
    struct ls_batch *batch = ls_batch_parse(&t.budget, NULL, frame, strlen(frame), 0, NULL);
    assert_non_null(batch);
    ls_backend_frame(t.backend, page->conn, batch);
}

static inline void fire_flush(void)
{
    if (t.flush_due) ls_backend_flush(t.backend);
}

/* All frames since the last look are exactly these lines. */
static inline void expect_frames(struct page *page, const char *frames)
{
    assert_string_equal(ls_buf_text(&page->frames), frames);
    ls_buf_clear(&page->frames);
    page->count = 0;
}

static inline void forget_frames(struct page *page)
{
    ls_buf_clear(&page->frames);
    page->count = 0;
}

/* A frame comes in, and after the debounce exactly this is sent ("" = nothing). */
static inline void say(struct page *page, const char *frame, const char *answer)
{
    char line[65536];
    receive(page, frame);
    fire_flush();
    snprintf(line, sizeof line, *answer ? "%s\n" : "%s", answer);
    expect_frames(page, line);
}

/* Run Lua in the session; what it changes is sent at once. */
static inline void run_lua(const char *code)
{
    struct ls_eval eval = {.code = code, .len = strlen(code), .name = "test", .text = LS_BUF_INIT, .json = LS_BUF_INIT};
    int rc = ls_backend_eval(t.backend, &eval, &t.err);
    ls_buf_release(&eval.text);
    ls_buf_release(&eval.json);
    if (rc != 0) fail_msg("%s", ls_err_text(&t.err));
}

static const char harbor[] =
    "app = { type = 'Harbor', name = 'North', boats = { { type = 'Boat', name = 'Gull' } } }\n"
    "function app:rename(v) self.name = v end\n"
    "function app:launch() self.boats[#self.boats + 1] = { type = 'Boat', name = 'Tern' } end\n"
    "function app:boom() error('kaputt') end\n"
    "session:createAppVariable(app)\n";

#define CREATE(id, parent, props)                                                                                      \
    "{\"type\":\"create\",\"data\":{\"id\":" #id ",\"parentId\":" #parent ",\"properties\":{" props "}}}"
#define PATH(text)       "\"path\":\"" text "\""
#define WATCH(id)        "{\"type\":\"watch\",\"data\":{\"varId\":" #id "}}"
#define UNWATCH(id)      "{\"type\":\"unwatch\",\"data\":{\"varId\":" #id "}}"
#define DESTROY(id)      "{\"type\":\"destroy\",\"data\":{\"varId\":" #id "}}"
#define VALUE(id, value) "{\"type\":\"update\",\"data\":{\"varId\":" #id ",\"value\":" value "}}"
#define PROPS(id, props) "{\"type\":\"update\",\"data\":{\"varId\":" #id ",\"properties\":{" props "}}}"
#define BOTH(id, value, props)                                                                                         \
    "{\"type\":\"update\",\"data\":{\"varId\":" #id ",\"value\":" value ",\"properties\":{" props "}}}"
#define ERROR(id, code, text)                                                                                          \
    "{\"type\":\"error\",\"data\":{\"varId\":" #id ",\"code\":\"" code "\",\"description\":\"" text "\"}}"
#define USER(messages) "{\"userEvent\":true,\"messages\":[" messages "]}"
#define CALM(messages) "{\"userEvent\":false,\"messages\":[" messages "]}"

#endif
