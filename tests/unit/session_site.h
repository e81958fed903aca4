/* A site in a temporary folder with a session on it, a tracker, a store and timers run by hand: what a backend gives a
 * session. */
#ifndef TESTS_UNIT_SESSION_SITE_H
#define TESTS_UNIT_SESSION_SITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "files/fspath.h"
#include "base/log.h"
#include "vm/chunks.h"
#include "session/session.h"
#include "tracker/tracker.h"

struct due {
    uint64_t handle;
    int64_t due_ns;
    uint64_t order;
};

struct place {
    char root[128];
    struct ls_site site;
    struct ls_chunks *chunks;
    struct ls_session *session;
    struct ls_tracker *tracker;
    struct ls_session_config config;
    struct ls_variable_store store;
    struct due timers[256];
    size_t timer_count;
    uint64_t order;
    struct ls_buf log;      /* all records, one a line */
    struct ls_buf printed;  /* host.print */
    struct ls_buf unloaded; /* keys told by module_unloaded, comma-separated */
    struct ls_buf wanted;   /* keys told by module_wanted */
    struct ls_buf loaded;   /* keys told by module_loaded */
};

static inline int place_timer_set(void *ctx, uint64_t handle, int64_t due_ns)
{
    struct place *place = ctx;
    assert_true(place->timer_count < 256);
    place->timers[place->timer_count++] = (struct due){handle, due_ns, ++place->order};
    return 0;
}

static inline void place_timer_clear(void *ctx, uint64_t handle)
{
    struct place *place = ctx;
    for (size_t i = 0; i < place->timer_count; i++)
        if (place->timers[i].handle == handle) place->timers[i--] = place->timers[--place->timer_count];
}

/* Run the timer that is due first; @return false when none is pending. Time is not waited for: being late is always
 * allowed (L110). */
static inline bool place_run_timer(struct place *place)
{
    size_t first = 0;
    if (!place->timer_count) return false;
    for (size_t i = 1; i < place->timer_count; i++) {
        const struct due *a = &place->timers[i], *b = &place->timers[first];
        if (a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->order < b->order)) first = i;
    }
    uint64_t handle = place->timers[first].handle;
    place->timers[first] = place->timers[--place->timer_count];
    ls_session_run_timer(place->session, handle);
    ls_session_settle(place->session);
    return true;
}

static inline void place_told(struct ls_buf *buf, const char *text)
{
    ls_buf_str(buf, text);
    ls_buf_char(buf, ',');
}

static inline void place_loaded(void *ctx, const char *key, const char *const *paths, size_t count)
{
    (void)paths;
    (void)count;
    place_told(&((struct place *)ctx)->loaded, key);
}

static inline void place_wanted(void *ctx, const char *key, const char *const *paths, size_t count)
{
    (void)paths;
    (void)count;
    place_told(&((struct place *)ctx)->wanted, key);
}

static inline void place_unloaded(void *ctx, const char *key)
{
    place_told(&((struct place *)ctx)->unloaded, key);
}

static inline void place_print(void *ctx, const char *text, size_t len)
{
    ls_buf_add(&((struct place *)ctx)->printed, text, len);
}

static inline void place_log(void *ctx, int level, const char *session, const char *text, size_t len)
{
    struct place *place = ctx;
    ls_buf_printf(&place->log, "%d %s ", level, session ? session : "-");
    ls_buf_add(&place->log, text, len);
    ls_buf_char(&place->log, '\n');
}

static inline int64_t place_create(void *ctx, const struct ls_var_spec *spec, struct ls_fault *fault)
{
    struct place *place = ctx;
    struct ls_var *var;
    return ls_tracker_create(place->tracker, spec, &var, fault) == 0 ? ls_var_id(var) : 0;
}

static inline void place_gone(void *ctx, struct ls_var *var)
{
    struct place *place = ctx;
    ls_session_variable_gone(place->session, ls_var_id(var));
}

static inline void place_destroy(void *ctx, int64_t id)
{
    struct place *place = ctx;
    ls_tracker_destroy(place->tracker, id, place_gone, place);
}

static inline void place_make(struct place *place)
{
    memset(place, 0, sizeof *place);
    char made[] = "/tmp/lsess-lua-XXXXXX";
    assert_non_null(mkdtemp(made));
    char *real = ls_path_real(made, NULL);
    assert_non_null(real);
    snprintf(place->root, sizeof place->root, "%s", real);
    ls_free(real);
    place->site.root = place->root;
    place->site.lua_dir = malloc(sizeof place->root + 8);
    sprintf(place->site.lua_dir, "%s/lua", place->root);
    assert_int_equal(mkdir(place->site.lua_dir, 0700), 0);
    place->chunks = ls_chunks_new(NULL);
    place->config = (struct ls_session_config){.vended_id = "7",
                                               .site = &place->site,
                                               .chunks = place->chunks,
                                               .max_timers = 100,
                                               .time_limit_ms = 5000,
                                               .memory_limit = 64 << 20,
                                               .hot = true};
    ls_log_tap(place_log, place);
}

static inline void place_write(const struct place *place, const char *key, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", place->root, key);
    for (char *slash = path + strlen(place->root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static inline int place_open(struct place *place, struct ls_err *err)
{
    struct ls_session_host host = {.ctx = place,
                                   .timer_set = place_timer_set,
                                   .timer_clear = place_timer_clear,
                                   .module_loaded = place_loaded,
                                   .module_wanted = place_wanted,
                                   .module_unloaded = place_unloaded,
                                   .print = place_print};
    place->session = ls_session_open(&place->config, &host, err);
    if (!place->session) return err ? err->code : -1;
    struct ls_tracker_config config = {.resolver = ls_session_resolver(place->session)};
    place->tracker = ls_tracker_new(&config, err);
    if (!place->tracker) return LS_ENOMEM;
    place->store = (struct ls_variable_store){.ctx = place, .create = place_create, .destroy = place_destroy};
    ls_session_bind(place->session, place->tracker, &place->store);
    return 0;
}

static inline void place_shut(struct place *place)
{
    if (place->session) ls_session_bind(place->session, place->tracker, &place->store);
    ls_tracker_free(place->tracker);
    if (place->session) ls_session_bind(place->session, NULL, NULL);
    ls_session_close(place->session);
    place->tracker = NULL;
    place->session = NULL;
    place->timer_count = 0;
}

static inline void place_remove(struct place *place)
{
    place_shut(place);
    ls_log_tap(NULL, NULL);
    ls_chunks_free(place->chunks);
    free(place->site.lua_dir);
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", place->root);
    assert_int_equal(system(command), 0);
    struct ls_buf *const bufs[] = {&place->log, &place->printed, &place->unloaded, &place->wanted, &place->loaded};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        ls_buf_release(bufs[i]);
}

static inline int place_eval(struct place *place, const char *code, bool repl, struct ls_eval *eval, struct ls_err *err)
{
    *eval = (struct ls_eval){.code = code, .len = strlen(code), .name = "test", .repl = repl};
    return ls_session_eval(place->session, eval, err);
}

/* Run code that must succeed. */
static inline void place_do(struct place *place, const char *code)
{
    struct ls_eval eval;
    LS_ERR(err);
    if (place_eval(place, code, false, &eval, &err) != 0) fail_msg("%s: %s", code, ls_err_text(&err));
    ls_buf_release(&eval.text);
    ls_buf_release(&eval.json);
}

/* The value of an expression as the REPL prints it, or the error's text. Valid until the next call. */
static inline const char *place_show(struct place *place, const char *code)
{
    static char shown[8192];
    struct ls_eval eval;
    LS_ERR(err);
    int rc = place_eval(place, code, true, &eval, &err);
    snprintf(shown, sizeof shown, "%s", rc == 0 ? ls_buf_text(&eval.text) : ls_err_text(&err));
    ls_buf_release(&eval.text);
    ls_buf_release(&eval.json);
    return shown;
}

#endif
