/* Each walk over values of Lua has a limit: of depth, of entries, of a chain. What it does one below, at, and one above
 * it (H49, L78, L126, L127, T53, C4). A state that checks its callers (tests/apicheck.sh) shows here whether a walk
 * leaves the stack as it should where it gives up. */
#include "session_reload.h"
#include "session_site.h"

/* nest(n): n tables inside each other; wide(n): n entries; chain(n): a table that n tables of `__index` lead to. */
static const char builders[] =
    "function nest(n) local t = {} for _ = 2, n do t = {t} end return t end "
    "function wide(n) local t = {} for i = 1, n do t[i] = i end return t end "
    "function names(n) local t = {} for i = 1, n do t['n' .. i] = i end return t end "
    "function chain(n) local t = {last = 'found'} for _ = 1, n do t = setmetatable({}, {__index = t}) end return t end ";

static const char *fill(char *out, size_t size, const char *code, int number)
{
    size_t len = 0;
    out[0] = 0;
    for (; *code; code++)
        len += (size_t)(*code == '@' ? snprintf(out + len, size - len, "%d", number)
                                     : snprintf(out + len, size - len, "%c", *code));
    assert_true(len < size);
    return out;
}

/* --- walks of an evaluation --- */

struct walk {
    const char *title;
    const char *code; /* Lua with @ for the number: an expression for the REPL */
    int limit;
    const char *within; /* what is shown up to the limit: the end of it, where the whole would be long */
    const char *beyond; /* what is shown above */
};

static const struct walk walks[] = {
    {"L126 levels of a table in JSON", "(select(2, ui.json_encode(nest(@)))) or 'text'", 128, "text",
     "more than 128 levels of tables"},
    {"L126 gaps of an array in JSON", "(select(2, ui.json_encode({[@] = 1}))) or 'text'", 101, "text",
     "array with too many gaps"},
    {"L127 levels of JSON text", "(select(2, ui.json_decode(('['):rep(@) .. (']'):rep(@)))) or 'text'", 1000, "text",
     "nested too deeply"},
    {"C4 levels of a table shown", "nest(@)", 3, "}", "{{{…}}}"},
    {"C4 elements of a table shown", "wide(@)", 20, "}", "… (1 more)}"},
    {"C4 fields of a table shown", "names(@)", 20, "}", "… (1 more)}"},
    {"C4 bytes of a string shown in a table", "{('x'):rep(@)}", 200, "x\"}", "(201 bytes)}"},
    {"C4 keys put into order", "tostring(#ui.json_encode(names(@)) > 10)", 2000, "true", "true"},
    {"T53 a chain of __index, which Lua follows", "chain(@).last", 2000, "found",
     "'__index' chain too long; possible loop"},
    {"L78 levels of a default", "same(nest, @)", 8, "true", "false"},
    {"L78 entries of a default", "same(wide, @)", 10000, "true", "false"},
    {"L78 entries of a default, two down", "same(function(n) return {{}, {names(n - 2)}} end, @)", 9999, "true",
     "false"},
};

/* Does the first line of what is shown end so? A traceback may follow it. */
static bool ends(const char *shown, const char *part)
{
    size_t len = strstr(shown, "\nstack traceback") ? strcspn(shown, "\n") : strlen(shown), end = strlen(part);
    return len >= end && memcmp(shown + len - end, part, end) == 0;
}

static void limits_of_walks(void **state)
{
    (void)state;
    struct place place;
    LS_ERR(err);
    place_make(&place);
    if (place_open(&place, &err) != 0) fail_msg("%s", ls_err_text(&err));
    place_do(&place, builders);
    /* Is a table default the declared one still after it has been declared again? */
    place_do(
        &place,
        "function same(build, n) local P = session:prototype('P' .. tostring(build) .. n, {data = build(n)}) local data = P.data "
        "session:prototype(P.type, {data = build(n)}) return rawequal(P.data, data) end");
    for (size_t i = 0; i < sizeof walks / sizeof *walks; i++)
        for (int off = -1; off <= 1; off++) {
            char code[256];
            fill(code, sizeof code, walks[i].code, walks[i].limit + off);
            const char *shown = place_show(&place, code);
            if (!ends(shown, off > 0 ? walks[i].beyond : walks[i].within) ||
                (off <= 0 && ends(shown, walks[i].beyond) && walks[i].beyond != walks[i].within))
                fail_msg("%s: %s", code, shown);
            assert_string_equal(place_show(&place, "1 + 1"), "2");
        }
    place_remove(&place);
}

/* --- what an execution of a file gave --- */

struct record {
    const char *title;
    const char *module; /* Lua with @ for the number; `m.data` is the table in question afterwards */
    int limit;
};

static const struct record records[] = {
    {"H49 levels below a field", "return {data = nest(@)}", 8},
    {"H49 levels below a field, beside others", "return {a = nest(20), data = nest(@), b = wide(20000), c = {nest(9)}}",
     8},
    {"H49 entries of a field", "return {data = wide(@)}", 10000},
    {"H49 entries two below a field", "return {data = {1, {2, wide(@)}}}", 9996},
    {"H49 rows of a field", "local t = wide(@) for i = 1, 2000 do t[i] = {1, 2, 3, 4} end return {data = t}", 2000},
    {"H49 levels of a local", "local data = nest(@) return {get = function() return data end}", 8},
    {"H49 entries of a local", "local data = {wide(@)} return {get = function() return data end}", 9999},
    {"H49 levels of a global", "DATA = nest(@) return {get = function() return DATA end}", 8},
    {"H49 entries of a static",
     "local P = session:prototype('P', {}) P.data = {x = wide(@)} return {get = function() return P.data end}", 9999},
};

/* However deep and large, the run's data stays when the text of its place is the same (H49). */
static void data_of_any_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof records / sizeof *records; i++)
        for (int off = -1; off <= 1; off++) {
            struct site site;
            char text[512], main[1024];
            site_open(&site);
            site.config.time_limit_ms = 5000;
            snprintf(main, sizeof main, "%s m = require('m') function get() return m.get and m.get() or m.data end",
                     builders);
            site_write(&site, "lua/main.lua", main);
            fill(text, sizeof text, records[i].module, records[i].limit + off);
            site_write(&site, "lua/m.lua", text);
            site_start(&site);
            for (int save = 0; save < 2; save++) {
                struct ls_reload_report report;
                site_eval(&site, "get().run = 'kept' m.run = 'kept'");
                strcat(text, " --");
                site_write(&site, "lua/m.lua", text);
                site_reload(&site, &report, "lua/m.lua", NULL);
                assert_int_equal(site_result(&report, "lua/m.lua")->outcome, LS_RELOAD_OK);
                ls_reload_report_release(&report);
                char json[64];
                site_eval_json(&site, "return get().run == 'kept'", json, sizeof json);
                if (strcmp(json, "true") != 0) fail_msg("%s, %d: %s", records[i].title, records[i].limit + off, json);
                site_check(&site, "return m.run == 'kept'");
            }
            site_close(&site);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_of_walks),
        cmocka_unit_test(data_of_any_size),
    };
    return cmocka_run_group_tests_name("limits of walks over values", tests, NULL, NULL);
}
