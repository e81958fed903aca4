/* Cost of change detection (quality.md Q1), beside what the same table reads and calls cost in a bare C loop. Prints
 * one JSON row a line.
 *
 *     detect           all of it, up to a million variables
 *     detect COUNT     with so many variables, without the growth
 *     detect floor     the floor of one property alone, for the figures of others that hold many (so many: detect floor
 *     COUNT)
 *
 * Each round of detection is followed by a round of the floor, so that both meet the same caches and the same
 * neighbours on the machine. The collector rests meanwhile: it would run in one of the two by chance. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "vm/chunks.h"
#include "session/session.h"
#include "vm/vm_internal.h"
#include "resolver/slots.h"
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
    LS_ERR(err);
    rig->chunks = ls_chunks_new(&err);
    rig->site = (struct ls_site){.root = "/nonexistent", .lua_dir = "/nonexistent/lua"};
    struct ls_session_config config = {
        .vended_id = "1", .site = &rig->site, .chunks = rig->chunks, .time_limit_ms = 60000};
    rig->session = ls_session_open(&config, NULL, &err);
    if (!rig->session) die(ls_err_text(&err));
    struct ls_tracker_config tracker = {.resolver = ls_session_resolver(rig->session)};
    rig->tracker = ls_tracker_new(&tracker, &err);
    if (!rig->tracker) die(ls_err_text(&err));
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
    LS_ERR(err);
    lua_State *L = rig->session->vm.L;
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
    lua_pushcfunction(rig->session->vm.L, take_slot);
    run(rig, code, 1);
    lua_pushlightuserdata(rig->session->vm.L, &slot);
    if (ls__lcall(rig->session, 2, 0, NULL)) die("no slot");
    return slot;
}

static int64_t create(struct rig *rig, int64_t id, int64_t parent, const char *path, ls_slot slot)
{
    struct ls_var_spec spec = {.id = id,
                               .parent = parent,
                               .path = path,
                               .path_len = path ? strlen(path) : 0,
                               .has_value = slot != 0,
                               .value = slot};
    struct ls_var *var = NULL;
    struct ls_fault fault;
    if (ls_tracker_create(rig->tracker, &spec, &var, &fault)) die(fault.text);
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

/* --- rounds --- */

struct workload {
    struct rig rig;
    const char *name;
    int count; /* what a round's time is divided by */
    const char *
        /* code that runs before each round; code has run before most batches: without it nothing would be read */
        before;
    bool changes; /* it changes something, and the list of changes and its texts belong to the figure */
    void (*floor)(struct workload *work); /* one round. Stack: objs, seen, field or method */
    double target;                        /* ratio, 0 = none */
    const char *unit;                     /* NULL = ns */
};

static void detect_once(struct workload *work)
{
    struct ls_tracker *tracker = work->rig.tracker;
    const struct ls_change *list;
    ls_tracker_begin_batch(tracker);
    bool changed = ls_tracker_detect(tracker);
    if (changed != work->changes) die(changed ? "something has changed" : "nothing has changed");
    int changes = work->changes ? ls_tracker_changes(tracker, &list) : 0;
    for (int i = 0; i < changes; i++) {
        size_t len;
        ls_var_json(tracker, list[i].var, &len);
    }
}

/* The floor of a field: rawgeti, gettable, rawequal over the same tables. */
static void field_floor(struct workload *work)
{
    lua_State *L = work->rig.session->vm.L;
    for (int i = 1; i <= work->count; i++) {
        lua_rawgeti(L, 1, i);
        lua_pushvalue(L, 3);
        lua_gettable(L, -2);
        lua_rawgeti(L, 2, i);
        lua_rawequal(L, -1, -2);
        lua_settop(L, 3);
    }
}

/* The floor of a method: a bare protected call. */
static void method_floor(struct workload *work)
{
    lua_State *L = work->rig.session->vm.L;
    for (int i = 1; i <= work->count; i++) {
        lua_pushvalue(L, 3);
        lua_rawgeti(L, 1, i);
        if (lua_pcall(L, 1, 1, 0) != LUA_OK) die("the method fails");
        lua_settop(L, 3);
    }
}

/* The floor of an array: each element beside the one seen last. */
static void compare_arrays(lua_State *L, int count)
{
    for (int k = 1; k <= count; k++) {
        lua_rawgeti(L, -2, k);
        lua_rawgeti(L, -2, k);
        lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
}

static void array_floor(struct workload *work)
{
    lua_State *L = work->rig.session->vm.L;
    for (int i = 1; i <= work->count; i++) {
        lua_rawgeti(L, 1, i);
        lua_pushvalue(L, 3);
        lua_gettable(L, -2);
        lua_rawgeti(L, 2, i);
        compare_arrays(L, 4);
        lua_settop(L, 3);
    }
}

/* The floor of a list that has changed: one look at each element, and the text of a reference to each item. */
static void list_floor(struct workload *work)
{
    lua_State *L = work->rig.session->vm.L;
    struct ls_buf text = LS_BUF_INIT;
    lua_getglobal(L, "list");
    lua_pushvalue(L, -1);
    int count = (int)lua_rawlen(L, -1);
    compare_arrays(L, count);
    for (int k = 1; k <= count; k++) {
        ls_buf_str(&text, k > 1 ? ",{\"obj\":" : "{\"obj\":");
        ls_json_int(&text, k + 1000);
        ls_buf_char(&text, '}');
    }
    ls_buf_release(&text);
    lua_settop(L, 3);
}

struct result {
    double value, floor; /* the least of each */
};

/* Rounds of both, and the row. The ratio is the median of the rounds' own. */
static struct result measure(struct workload *work)
{
    double values[ROUNDS], floors[ROUNDS], ratios[ROUNDS];
    lua_State *L = work->rig.session->vm.L;
    ls_tracker_begin_batch(work->rig.tracker);
    ls_tracker_detect(work->rig.tracker);
    for (int i = -1; i < ROUNDS; i++) { /* the first one warms up */
        const struct ls_change *list;
        run(&work->rig, work->before, 0);
        lua_gc(L, LUA_GCCOLLECT);
        lua_gc(L, LUA_GCSTOP);
        if (!work->changes) ls_tracker_changes(work->rig.tracker, &list);
        int64_t start = ls_now_ns();
        detect_once(work);
        int64_t middle = ls_now_ns();
        work->floor(work);
        int64_t end = ls_now_ns();
        lua_gc(L, LUA_GCRESTART);
        if (i < 0) continue;
        values[i] = (double)(middle - start) / work->count;
        floors[i] = (double)(end - middle) / work->count;
        ratios[i] = values[i] / floors[i];
    }
    double value = median(values), floor = median(floors);
    printf(
        "{\"name\":\"%s\",\"value\":%.2f,\"unit\":\"%s\",\"floor\":%.2f,\"ratio\":%.3f,\"min\":%.2f,\"max\":%.2f,\"runs\":%d",
        work->name, value, work->unit ? work->unit : "ns", floor, median(ratios), values[0], values[ROUNDS - 1],
        ROUNDS);
    if (work->target > 0) printf(",\"target\":\"<= %.1f x floor\",\"ratioLimit\":%.2f", work->target, work->target);
    printf("}\n");
    fflush(stdout);
    return (struct result){values[0], floors[0]};
}

/* --- workloads --- */

static void make_objects(struct rig *rig, int count, bool tags)
{
    char code[512];
    snprintf(code, sizeof code,
             "Row = {type = 'Row'}; Row.__index = Row; function Row:full() return self.name .. '!' end\n"
             "objs = setmetatable({}, {type = 'Rows'}); app = setmetatable({objs = objs}, {type = 'App'})\n"
             "for i = 1, %d do objs[i] = setmetatable({name = 'n' .. i, %s}, Row) end",
             count, tags ? "tags = {i, 2, true, 'd'}" : "crew = i");
    run(rig, code, 0);
}

/* The stack of the floors; what is there for the third place depends on them. */
static void open_workload(struct workload *work, int objects, const char *third)
{
    open_rig(&work->rig);
    make_objects(&work->rig, objects, work->floor == array_floor);
    char code[256];
    snprintf(code, sizeof code, "seen = {}; for i = 1, #objs do seen[i] = objs[i].%s end; return objs, seen, %s",
             work->floor == array_floor ? "tags" : "name", third);
    run(&work->rig, code, 3);
    if (!work->before) work->before = "";
}

/* Variables whose path leads from the app to the field: objs.17.name */
static struct result measure_paths(int count, const char *last, const char *third, struct workload work)
{
    work.count = count;
    open_workload(&work, count, third);
    create(&work.rig, 0, 0, NULL, slot_of(&work.rig, "return app"));
    char path[64];
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "objs.%d.%s", i, last);
        create(&work.rig, 2 + i, 1, path, 0);
    }
    struct result result = measure(&work);
    close_rig(&work.rig);
    return result;
}

/* A variable per object, as lists have them, and one of its field below: both kinds count. */
static void measure_children(int count, struct workload work)
{
    work.count = count;
    open_workload(&work, count, "'name'");
    create(&work.rig, 0, 0, NULL, slot_of(&work.rig, "return app"));
    char path[64];
    for (int i = 0; i < count / 2; i++) {
        snprintf(path, sizeof path, "objs.%d", i);
        create(&work.rig, 2 + 2 * i, 1, path, 0);
        create(&work.rig, 3 + 2 * i, 2 + 2 * i, "name", 0);
    }
    measure(&work);
    close_rig(&work.rig);
}

/* One object holding all fields' variables: the shape of a form. */
static void measure_one_object(int count, struct workload work)
{
    work.count = count;
    open_workload(&work, count, "'name'");
    create(&work.rig, 0, 0, NULL, slot_of(&work.rig, "return objs[1]"));
    for (int i = 0; i < count; i++)
        create(&work.rig, 2 + i, 1, i % 2 ? "name" : "crew", 0);
    measure(&work);
    close_rig(&work.rig);
}

/* One of many changes: the list of changes and its text, which must not know the others. */
static void measure_change_list(int count)
{
    struct workload work = {.floor = field_floor};
    double figures[ROUNDS];
    open_workload(&work, count, "'name'");
    create(&work.rig, 0, 0, NULL, slot_of(&work.rig, "return app"));
    char path[64];
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "objs.%d.name", i);
        create(&work.rig, 2 + i, 1, path, 0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        const struct ls_change *list;
        run(&work.rig, "n = (n or 0) + 1; objs[77].name = 'changed' .. n", 0);
        ls_tracker_begin_batch(work.rig.tracker);
        ls_tracker_detect(work.rig.tracker);
        int64_t start = ls_now_ns();
        if (ls_tracker_changes(work.rig.tracker, &list) != 1) die("not one change");
        size_t len;
        ls_var_json(work.rig.tracker, list[0].var, &len);
        figures[i] = (double)(ls_now_ns() - start) / 1000;
    }
    double value = median(figures);
    printf(
        "{\"name\":\"one of %d has changed: list and text\",\"value\":%.2f,\"unit\":\"us\",\"min\":%.2f,\"max\":%.2f,\"runs\":%d}\n",
        count, value, figures[0], figures[ROUNDS - 1], ROUNDS);
    close_rig(&work.rig);
}

/* A lua.ViewList, its items, and every tenth item's element: detection, list of changes and texts, without a socket. */
static void measure_list(int items, const char *deed, const char *code)
{
    char name[96], setup[256];
    struct workload work = {
        .name = name, .count = 1000 /* ns to us */, .before = code, .changes = true, .floor = list_floor, .unit = "us"};
    snprintf(name, sizeof name, "detect list of %d: %s", items, deed);
    snprintf(setup, sizeof setup,
             "list = {}; for i = 1, %d do list[i] = setmetatable({name = 'item ' .. i}, Row) end; app.list = list",
             items);
    open_workload(&work, 1, "'name'");
    run(&work.rig, setup, 0);
    create(&work.rig, 0, 0, NULL, slot_of(&work.rig, "return app"));
    create(&work.rig, 2, 1, "list?wrapper=lua.ViewList&access=r", 0);
    create(&work.rig, 3, 2, "items?access=r", 0);
    for (int i = 0; i < items / 10; i++) {
        char path[32];
        snprintf(path, sizeof path, "%d.item", i);
        create(&work.rig, 4 + i, 3, path, 0);
    }
    measure(&work);
    close_rig(&work.rig);
}

static void measure_lists(int items)
{
    measure_list(items, "one appended", "list[#list + 1] = setmetatable({name = 'new'}, Row)");
    measure_list(items, "first removed", "table.remove(list, 1)");
    measure_list(items, "reversed",
                 "local n = #list for i = 1, n // 2 do list[i], list[n + 1 - i] = list[n + 1 - i], list[i] end");
}

static void print_floor(int count)
{
    struct workload work = {.count = count, .floor = field_floor};
    double floors[ROUNDS];
    open_workload(&work, count, "'name'");
    for (int i = 0; i < ROUNDS; i++) {
        int64_t start = ls_now_ns();
        field_floor(&work);
        floors[i] = (double)(ls_now_ns() - start) / count;
    }
    printf("{\"name\":\"floor of a property\",\"value\":%.2f,\"unit\":\"ns\"}\n", median(floors));
    close_rig(&work.rig);
}

/* The three kinds of paths at one size. The targets are those of 100,000 variables (Q1): few strings of few methods all
 * stay in the processor's caches, and a call that costs next to nothing is no measure. */
struct sizes {
    struct result property, method, array;
};

static struct sizes measure_size(int count)
{
    char name[64];
    struct sizes sizes;
    struct workload work = {.name = name, .floor = field_floor, .target = count >= 100000 ? 2 : 0};
    snprintf(name, sizeof name, "unchanged property, %d variables", count);
    sizes.property = measure_paths(count, "name", "'name'", work);
    snprintf(name, sizeof name, "unchanged method, %d variables", count);
    work.floor = method_floor;
    work.target = count >= 100000 ? 1.5 : 0;
    sizes.method = measure_paths(count, "full()?access=r", "Row.full", work);
    snprintf(name, sizeof name, "unchanged array of 4, %d variables", count);
    work.floor = array_floor;
    work.target = 0;
    sizes.array = measure_paths(count, "tags", "'tags'", work);
    return sizes;
}

/* Time a variable at a million beside that at a thousand; the floor grows as well, since memory is slower than caches.
 * */
static void print_growth(const char *kind, struct result small, struct result large, bool judged)
{
    double value = large.value / small.value, floor = large.floor / small.floor;
    printf(
        "{\"name\":\"growth from 1,000 to 1,000,000: %s\",\"value\":%.3f,\"unit\":\"times\",\"floor\":%.3f,\"ratio\":%.3f,\"runs\":1",
        kind, value, floor, value / floor);
    if (judged) printf(",\"target\":\"<= 2 times\",\"limit\":2");
    printf("}\n");
}

static void measure_growth(void)
{
    struct sizes small = measure_size(1000), large = small;
    for (int count = 10000; count <= 1000000; count *= 10)
        large = measure_size(count);
    print_growth("property", small.property, large.property, true);
    print_growth("method", small.method, large.method, false);
    print_growth("array", small.array, large.array, true);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "floor") == 0) {
        print_floor(argc > 2 ? atoi(argv[2]) : 100000);
        return 0;
    }
    int count = argc > 1 ? atoi(argv[1]) : 100000;
    char name[64];
    struct workload work = {.name = name, .floor = field_floor, .target = 2};
    if (argc > 1)
        measure_size(count);
    else
        measure_growth();
    snprintf(name, sizeof name, "unchanged object and its property, %d", count);
    measure_children(count, work);
    snprintf(name, sizeof name, "unchanged field of one object, %d", count);
    measure_one_object(count, work);
    snprintf(name, sizeof name, "one of %d has changed: detect", count);
    work.before = "n = (n or 0) + 1; objs[77].name = 'changed' .. n";
    work.changes = true;
    measure_paths(count, "name", "'name'", work);
    measure_change_list(count);
    measure_lists(2000);
    measure_lists(10000);
    return 0;
}
