/* What a session costs inside the process: time to open one and run the contact demo's main.lua, and resident memory of
 * a thousand of them, beside a bare VM with its libraries (quality.md Q1, rows "new session" and "memory per session").
 * Prints one JSON object a line. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "vm/chunks.h"
#include "session/session.h"
#include "tracker/tracker.h"

#define SESSIONS 1000

struct one {
    struct ls_session *session;
    struct ls_tracker *tracker;
    struct ls_variable_store store;
};

static struct one all[SESSIONS];

static long resident_bytes(void)
{
    long pages = 0, size = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &size, &pages) != 2) abort();
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static int64_t create(void *ctx, const struct ls_var_spec *spec, struct ls_fault *fault)
{
    struct one *one = ctx;
    struct ls_var *var;
    return ls_tracker_create(one->tracker, spec, &var, fault) == 0 ? ls_var_id(var) : 0;
}

static void open_one(struct one *one, const struct ls_site *site, struct ls_chunks *chunks)
{
    struct ls_session_config config = {.vended_id = "1",
                                       .site = site,
                                       .chunks = chunks,
                                       .memory_limit = 256 << 20,
                                       .time_limit_ms = 5000,
                                       .max_timers = 10000};
    LS_ERR(err);
    one->session = ls_session_open(&config, NULL, &err);
    struct ls_tracker_config tracker = {.resolver = ls_session_resolver(one->session), .max_variables = 100000};
    one->tracker = ls_tracker_new(&tracker, &err);
    one->store = (struct ls_variable_store){.ctx = one, .create = create};
    ls_session_bind(one->session, one->tracker, &one->store);
    if (ls_session_run_main(one->session, &err) != 0) {
        fprintf(stderr, "%s\n", ls_err_text(&err));
        exit(1);
    }
}

static void close_one(struct one *one)
{
    ls_tracker_free(one->tracker);
    ls_session_bind(one->session, NULL, NULL);
    ls_session_close(one->session);
}

int main(void)
{
    char bundle[] = "templates/sites/contacts";
    const struct ls_site site = {.bundle = bundle};
    struct ls_chunks *chunks = ls_chunks_new(NULL);
    open_one(&all[0], &site, chunks);
    close_one(&all[0]);

    static lua_State *bare[SESSIONS];
    long before = resident_bytes();
    int64_t start = ls_now_ns();
    for (int i = 0; i < SESSIONS; i++) {
        bare[i] = luaL_newstate();
        luaL_openlibs(bare[i]);
    }
    double bare_us = (double)(ls_now_ns() - start) / 1e3 / SESSIONS;
    double bare_kib = (double)(resident_bytes() - before) / 1024 / SESSIONS;

    before = resident_bytes();
    start = ls_now_ns();
    for (int i = 0; i < SESSIONS; i++)
        open_one(&all[i], &site, chunks);
    double us = (double)(ls_now_ns() - start) / 1e3 / SESSIONS;
    double kib = (double)(resident_bytes() - before) / 1024 / SESSIONS;
    double heap_kib = (double)ls_session_memory(all[0].session) / 1024;
    printf("{\"name\":\"open a session\",\"value\":%.1f,\"unit\":\"us\",\"floor\":%.1f,\"ratio\":%.2f}\n", us, bare_us,
           us / bare_us);
    printf("{\"name\":\"session, resident\",\"value\":%.1f,\"unit\":\"KiB\",\"floor\":%.1f,\"ratio\":%.2f}\n", kib,
           bare_kib, kib / bare_kib);
    printf("{\"name\":\"session, Lua heap\",\"value\":%.1f,\"unit\":\"KiB\"}\n", heap_kib);
    for (int i = 0; i < SESSIONS; i++) {
        close_one(&all[i]);
        lua_close(bare[i]);
    }
    ls_chunks_free(chunks);
    return 0;
}
