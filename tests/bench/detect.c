/* Cost of change detection when nothing has changed (quality.md Q1), beside what the same table reads and calls cost in a bare C loop.
 * Prints one JSON row a line: name, value and floor in ns a variable, ratio.
 *
 *     detect           all of it, up to a million variables
 *     detect COUNT     with so many variables, without the growth
 *     detect floor     the floor of one property alone, for the figures of others that hold many */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "session/chunks.h"
#include "session/internal.h"
#include "session/resolver.h"
#include "tracker/tracker.h"

#define ROUNDS 15

struct rig {
    struct ls_chunks *chunks;
    struct ls_site site;
    struct ls_session *session;
    struct ls_tracker *tracker;
};

static void die(const char *text)
{
    fprintf(stderr, "detect: %s\n", text);
    exit(1);
}

static void open_rig(struct rig *rig)
{
    struct ls_err err;
    rig->chunks = ls_chunks_new(&err);
    rig->site = (struct ls_site){.root = "/nonexistent", .lua_dir = "/nonexistent/lua"};
    struct ls_session_config config = {.vended_id = "1", .site = &rig->site, .chunks = rig->chunks, .time_limit_ms = 60000};
    rig->session = ls_session_open(&config, NULL, &err);
    if (!rig->session)
        die(err.text);
    struct ls_tracker_config tracker = {.resolver = ls_session_resolver(rig->session)};
    rig->tracker = ls_tracker_new(&tracker, &err);
    if (!rig->tracker)
        die(err.text);
    ls_session_bind(rig->session, rig->tracker, NULL);
}

static void close_rig(struct rig *rig)
{
    ls_tracker_free(rig->tracker);
    ls_session_close(rig->session);
    ls_chunks_free(rig->chunks);
}

static void run(struct rig *rig, const char *code, int nresults)
{
    struct ls_err err;
    lua_State *L = rig->session->L;
    if (luaL_loadstring(L, code) != LUA_OK || ls__lcall(rig->session, 0, nresults, &err))
        die("the workload does not run");
}

/* [-0, +0, m] */
static LS_RAISES int take_slot(lua_State *L)
{
    ls_slot *slot = lua_touserdata(L, 2);
    lua_settop(L, 1);
    *slot = ls__slot_take(ls__session_of(L), L);
    return 0;
}

static ls_slot slot_of(struct rig *rig, const char *code)
{
    ls_slot slot = 0;
    lua_pushcfunction(rig->session->L, take_slot);
    run(rig, code, 1);
    lua_pushlightuserdata(rig->session->L, &slot);
    if (ls__lcall(rig->session, 2, 0, NULL))
        die("no slot");
    return slot;
}

static int64_t create(struct rig *rig, int64_t id, int64_t parent, const char *path, ls_slot slot)
{
    struct ls_var_spec spec = {.id = id, .parent = parent, .path = path, .path_len = path ? strlen(path) : 0, .has_value = slot != 0, .value = slot};
    struct ls_var *var = NULL;
    struct ls_fault fault;
    if (ls_tracker_create(rig->tracker, &spec, &var, &fault))
        die(fault.text);
    ls_tracker_watch(rig->tracker, var, 1);
    return ls_var_id(var);
}

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *figures)
{
    qsort(figures, ROUNDS, sizeof *figures, by_number);
    return figures[ROUNDS / 2];
}

/* Code has run before each round, as it has before most batches: without it nothing would be read at all. */
static double detect_ns(struct rig *rig, int count)
{
    double figures[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        run(rig, "", 0);
        int64_t start = ls_now_ns();
        ls_tracker_begin_batch(rig->tracker);
        if (ls_tracker_detect(rig->tracker) && i > 0)
            die("something has changed");
        figures[i] = (double)(ls_now_ns() - start) / count;
    }
    return median(figures);
}

/* The floor of a field: rawgeti, gettable, rawequal over the same tables. Globals: objs, seen (values seen last). */
static double field_floor(struct rig *rig, int count, const char *field)
{
    lua_State *L = rig->session->L;
    double figures[ROUNDS];
    run(rig, "seen = {}; for i = 1, #objs do seen[i] = objs[i].name end", 0);
    lua_getglobal(L, "objs");
    lua_getglobal(L, "seen");
    lua_pushstring(L, field);
    int equal = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t start = ls_now_ns();
        for (int i = 1; i <= count; i++) {
            lua_rawgeti(L, 1, i);
            lua_pushvalue(L, 3);
            lua_gettable(L, -2);
            lua_rawgeti(L, 2, i);
            equal += lua_rawequal(L, -1, -2);
            lua_settop(L, 3);
        }
        figures[round] = (double)(ls_now_ns() - start) / count;
    }
    if (equal != count * ROUNDS)
        die("the floor differs");
    lua_settop(L, 0);
    return median(figures);
}

/* The floor of a method: a bare protected call. */
static double method_floor(struct rig *rig, int count)
{
    lua_State *L = rig->session->L;
    double figures[ROUNDS];
    lua_getglobal(L, "objs");
    lua_rawgeti(L, 1, 1);
    lua_getfield(L, 2, "full");
    lua_replace(L, 2);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t start = ls_now_ns();
        for (int i = 1; i <= count; i++) {
            lua_pushvalue(L, 2);
            lua_rawgeti(L, 1, i);
            if (lua_pcall(L, 1, 1, 0) != LUA_OK)
                die("the method fails");
            lua_settop(L, 2);
        }
        figures[round] = (double)(ls_now_ns() - start) / count;
    }
    lua_settop(L, 0);
    return median(figures);
}

static void row(const char *name, int count, double value, double floor, double target)
{
    printf("{\"name\":\"%s, %d variables\",\"value\":%.2f,\"unit\":\"ns\",\"floor\":%.2f,\"ratio\":%.3f,\"target\":\"<= %.1f x floor\",\"ratioLimit\":%.2f}\n",
           name, count, value, floor, value / floor, target, target);
    fflush(stdout);
}

static void make_objects(struct rig *rig, int count)
{
    char code[512];
    snprintf(code, sizeof code,
             "Row = {type = 'Row'}; Row.__index = Row; function Row:full() return self.name .. '!' end\n"
             "objs = setmetatable({}, {type = 'Rows'}); app = setmetatable({objs = objs}, {type = 'App'})\n"
             "for i = 1, %d do objs[i] = setmetatable({name = 'n' .. i, crew = i}, Row) end", count);
    run(rig, code, 0);
}

/* Variables whose path leads from the app to the field: objs.17.name */
static void measure_paths(int count, const char *last, const char *props, const char *name, double target, bool method)
{
    struct rig rig;
    open_rig(&rig);
    make_objects(&rig, count);
    create(&rig, 0, 0, NULL, slot_of(&rig, "return app"));
    char path[64];
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "objs.%d.%s%s", i, last, props);
        create(&rig, 2 + i, 1, path, 0);
    }
    double value = detect_ns(&rig, count);
    row(name, count, value, method ? method_floor(&rig, count) : field_floor(&rig, count, "name"), target);
    close_rig(&rig);
}

/* A variable per object, as lists have them, and one of its field below: both kinds count. */
static void measure_children(int count, const char *path, const char *name, double target, bool method)
{
    struct rig rig;
    open_rig(&rig);
    make_objects(&rig, count);
    create(&rig, 0, 0, NULL, slot_of(&rig, "return app"));
    char code[64];
    for (int i = 0; i < count; i++) {
        snprintf(code, sizeof code, "objs.%d", i);
        create(&rig, 2 + 2 * i, 1, code, 0);
        create(&rig, 3 + 2 * i, 2 + 2 * i, path, 0);
    }
    double value = detect_ns(&rig, 2 * count);
    row(name, 2 * count, value, method ? method_floor(&rig, count) : field_floor(&rig, count, "name"), target);
    close_rig(&rig);
}

/* One object holding all fields' variables: the shape of a form. */
static void measure_one_object(int count)
{
    struct rig rig;
    open_rig(&rig);
    make_objects(&rig, count);
    create(&rig, 0, 0, NULL, slot_of(&rig, "return objs[1]"));
    for (int i = 0; i < count; i++)
        create(&rig, 2 + i, 1, i % 2 ? "name" : "crew", 0);
    double value = detect_ns(&rig, count);
    row("unchanged field of one object", count, value, field_floor(&rig, count, "name"), 2);
    close_rig(&rig);
}

/* One of many changes: what building the list of changes costs must not know the others. */
static void measure_one_change(int count)
{
    struct rig rig;
    double figures[ROUNDS], list_ns[ROUNDS];
    open_rig(&rig);
    make_objects(&rig, count);
    create(&rig, 0, 0, NULL, slot_of(&rig, "return app"));
    char path[64];
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "objs.%d.name", i);
        create(&rig, 2 + i, 1, path, 0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        const struct ls_change *list;
        run(&rig, "n = (n or 0) + 1; objs[77].name = 'changed' .. n", 0);
        int64_t start = ls_now_ns();
        ls_tracker_begin_batch(rig.tracker);
        ls_tracker_detect(rig.tracker);
        int64_t mid = ls_now_ns();
        if (ls_tracker_changes(rig.tracker, &list) != 1)
            die("not one change");
        size_t len;
        ls_var_json(rig.tracker, list[0].var, &len);
        figures[i] = (double)(mid - start) / count;
        list_ns[i] = (double)(ls_now_ns() - mid);
    }
    row("one change: detect", count, median(figures), field_floor(&rig, count, "name"), 2);
    printf("{\"name\":\"one change: list and text, %d variables\",\"value\":%.0f,\"unit\":\"ns\"}\n", count,
           median(list_ns));
    close_rig(&rig);
}

static void print_floor(int count)
{
    struct rig rig;
    open_rig(&rig);
    make_objects(&rig, count);
    printf("{\"name\":\"floor of a property\",\"value\":%.2f,\"unit\":\"ns\"}\n", field_floor(&rig, count, "name"));
    close_rig(&rig);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "floor") == 0) {
        print_floor(100000);
        return 0;
    }
    int count = argc > 1 ? atoi(argv[1]) : 100000;
    measure_paths(count, "name", "", "unchanged property", 2, false);
    measure_children(count / 2, "name", "unchanged object and its property", 2, false);
    measure_one_object(count);
    measure_paths(count, "full()", "?access=r", "unchanged method", 1.5, true);
    measure_one_change(count);
    for (int n = 1000; n <= 1000000 && argc < 2; n *= 10)
        measure_paths(n, "name", "", "growth", 2, false);
    return 0;
}
