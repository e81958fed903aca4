/* Rows that follow their elements (page.md R1 to R4) with a real VM: the path step `#ID`, keyed lists, rows that
 * outlive their place. */
#include "resolver_rig.h"

#define SITE                                                                                                                                                  \
    "function proto(name, t) t.type = name; t.__index = t; _G[name] = t; t.new = t.new or function(p, o) return setmetatable(o or {}, p) end; return t end\n" \
    "proto('Ship', {name = ''})\n"                                                                                                                            \
    "function Ship:remove() for i, s in ipairs(f.ships) do if s == self then table.remove(f.ships, i) return end end; removed = self.name end\n"              \
    "function Ship:call(v) self.name = v end\n"                                                                                                               \
    "proto('Fleet', {})\n"                                                                                                                                    \
    "f = Fleet:new(); a, b, c = Ship:new{name = 'Ada'}, Ship:new{name = 'Bix'}, Ship:new{name = 'Cid'}; f.ships = {a, b, c}\n"                                \
    "weak = setmetatable({}, {__mode = 'v'})\n"

/* The list is 10, its elements are the objects 3, 4, 5. */
static void open_ships(void)
{
    rig_do(SITE);
    assert_int_equal(rig_root("f"), 1);
    rig_create(10, 1, "ships");
    assert_string_equal(rig_json(10), "[{\"obj\":3},{\"obj\":4},{\"obj\":5}]");
}

static void settle(void)
{
    rig_detect();
    rig_changes();
}

static void write_ok(int64_t id, const char *json)
{
    struct ls_fault fault;
    if (rig_write(id, json, &fault)) fail_msg("%lld: %s", (long long)id, fault.text);
}

static void write_gone(int64_t id, const char *json)
{
    struct ls_fault fault = {.kind = LS_FAULT_NONE};
    assert_int_equal(rig_write(id, json, &fault), -1);
    assert_string_equal(ls_fault_code(fault.kind), "gone");
}

static void collect(void)
{
    ls_session_collect(rig->session);
    ls_session_collect(rig->session);
}

static void r2_a_row_follows_its_element(void **state)
{
    (void)state;
    open_ships();
    rig_create(11, 10, "#4");
    rig_create(12, 11, "name");
    rig_create(13, 10, "#4.name");
    rig_create(14, 10, "#4.remove()?access=action");
    rig_create(15, 10, "#4.call(_)?access=w");
    assert_string_equal(rig_json(11), "{\"obj\":4}");
    assert_string_equal(rig_type(11), "Ship");
    settle();
    rig_do(
        "table.insert(f.ships, 1, Ship:new{name = 'New'}); table.sort(f.ships, function(x, y) return x.name > y.name end)");
    assert_true(rig_detect());
    assert_string_equal(rig_changes(), "10m=v"); /* R5: a reordering is one update */
    assert_string_equal(rig_json(12), "\"Bix\"");
    write_ok(12, "\"Bo\"");
    assert_true(rig_is("b.name == 'Bo'"));
    write_ok(15, "\"Bob\"");
    assert_true(rig_is("b.name == 'Bob'"));
    rig_detect();
    assert_string_equal(rig_json(13), "\"Bob\"");
    write_ok(14, "null");
    assert_true(rig_is("#f.ships == 3"));
    rig_do("for _, s in ipairs(f.ships) do assert(s ~= b) end");
}

static void r2_no_object_is_reached_by_counting(void **state)
{
    (void)state;
    open_ships();
    rig_do("f.secret = {name = 'secret'}; f.others = {Ship:new{name = 'other'}}");
    rig_create(2, 1, "secret");
    rig_create(3, 1, "others");
    static const char *const paths[] = {"#6",
                                        "#7",
                                        "#2",
                                        "#1",
                                        "#99",
                                        "#0",
                                        "#-1",
                                        "#-4",
                                        "#04",
                                        "#9223372036854775807",
                                        "#9223372036854775808",
                                        "#18446744073709551620",
                                        "#99999999999999999999999999999999999999999999"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char path[100];
        int64_t id = 100 + 10 * (int64_t)i;
        rig_create(id, 10, paths[i]);
        assert_string_equal(rig_json(id), "null");
        assert_string_equal(rig_fault(id), "gone");
        snprintf(path, sizeof path, "%s.name", paths[i]);
        rig_create(id + 1, 10, path);
        write_gone(id + 1, "\"x\"");
        snprintf(path, sizeof path, "%s.remove()?access=action", paths[i]);
        rig_create(id + 2, 10, path);
        assert_string_equal(rig_fault(id + 2), "gone");
        write_gone(id + 2, "null");
        rig_create(id + 3, id, "name");
        write_gone(id + 3, "\"x\"");
    }
    assert_true(rig_is("f.secret.name == 'secret' and f.others[1].name == 'other' and f.type == 'Fleet'"));
    settle();
    assert_string_equal(rig_fault(100), "gone"); /* and it stays so */
    rig_create(90, 2, "#6.name");                /* below what is no list */
    assert_string_equal(rig_fault(90), "gone");
    rig_create(91, 1, "#3");
    assert_string_equal(rig_fault(91), "gone");
}

static void r2_grammar(void **state)
{
    (void)state;
    struct ls_fault fault;
    open_ships();
    static const struct {
        const char *path, *code;
    } rows[] = {
        {"ships.#4", "bad-path"},          {"#4.#5", "bad-path"},     {"..#4", "bad-path"},
        {"@app.#4", "bad-path"},           {"#4..name", "bad-path"},  {"#4.call(_)", "bad-access"},
        {"#4.x()?access=w", "bad-access"}, {"#4.a(_).b", "bad-path"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!rig_try(20, 10, rows[i].path, &fault)) fail_msg("%s", rows[i].path);
        assert_string_equal(ls_fault_code(fault.kind), rows[i].code);
    }
    rig_do("f.odd = {['#'] = 1, ['#x'] = 2, ['#4x'] = 3, ['-'] = 4}");
    rig_create(30, 1, "odd.#");
    rig_create(31, 1, "odd.#x");
    rig_create(32, 1, "odd.#4x");
    assert_string_equal(rig_json(30), "1");
    assert_string_equal(rig_json(31), "2");
    assert_string_equal(rig_json(32), "3");
    rig_create(33, 10, "#4?access=r&tone=low");
    assert_string_equal(ls_var_property(rig_var(33), "tone"), "low");
    assert_int_equal(rig_write(33, "1", &fault), -1);
    assert_string_equal(ls_fault_code(fault.kind), "bad-access");
}

/* The row variable itself is written like an element: another value takes its place in the list. */
static void r2_writing_the_element(void **state)
{
    (void)state;
    open_ships();
    rig_create(11, 10, "#4");
    rig_do("table.insert(f.ships, 1, c)");
    write_ok(11, "{\"obj\":3}");
    assert_true(rig_is("f.ships[1] == c and f.ships[2] == a and f.ships[3] == a and f.ships[4] == c"));
    write_gone(11, "{\"obj\":3}"); /* it is outside now, though alive */
    assert_true(rig_is("#f.ships == 4"));
}

static void r2_a_row_that_has_left_is_held_weakly(void **state)
{
    (void)state;
    open_ships();
    rig_do("b.crew = {b}; b.boat = {owner = b, list = {{up = b}, 1}}; weak.b = b; b = nil");
    rig_create(11, 10, "#4");
    rig_create(12, 11, "name");
    rig_create(13, 11, "boat");
    rig_create(14, 13, "list");
    rig_create(15, 11, "crew");
    rig_create(16, 15, "#4.name"); /* a row within a row */
    rig_create(17, 10, "#4.boat");
    rig_create(18, 13, "list?wrapper=lua.ViewList&keyed=true");
    rig_create(19, 18, "items");
    settle();
    collect();
    assert_true(rig_is("weak.b ~= nil"));
    rig_do("keep = table.remove(f.ships, 2); keep.name = 'Kim'");
    settle();
    collect();
    assert_string_equal(rig_json(12), "\"Kim\""); /* read and written as long as Lua holds it */
    rig_do("keep.name = 'Kit'; keep.boat.list[2] = 2");
    assert_true(rig_detect());
    assert_string_equal(rig_changes(), "12m=v; 14m=v; 16m=v"); /* each once, and nothing else */
    collect();
    write_ok(12, "\"Kai\"");
    assert_true(rig_is("keep.name == 'Kai'"));
    settle();
    assert_false(rig_detect());
    rig_do("keep = nil");
    settle();
    collect();
    assert_true(rig_is("weak.b == nil")); /* T5 does not keep it alive, nor do its subtree and its list inside */
    write_gone(12, "\"Lou\"");
    write_gone(17, "null");
    rig_detect();
    assert_string_equal(rig_json(11), "null");
    assert_string_equal(rig_fault(11), "gone");
    assert_string_equal(rig_json(12), "null");
    assert_string_equal(rig_json(14), "null");
}

/* Nothing is written into an object that nobody could ever look at. */
static void r2_a_write_to_what_is_gone_collects_first(void **state)
{
    (void)state;
    open_ships();
    rig_create(11, 10, "#4");
    rig_create(12, 11, "name");
    rig_create(13, 11, "call(_)?access=action");
    settle();
    rig_do("b.self = b; called = 0; Ship.call = function() called = called + 1 end; table.remove(f.ships, 2); b = nil");
    ls_tracker_begin_batch(rig->tracker); /* no detection and no collection since */
    write_gone(12, "\"Zoe\"");
    write_gone(13, "\"Zoe\"");
    assert_true(rig_is("called == 0"));
}

static void r2_a_selection_that_has_moved_on_keeps_nothing_alive(void **state)
{
    (void)state;
    open_ships();
    rig_do("f.selected = b; b = nil");
    rig_create(11, 10, "#4.name");
    rig_create(12, 1, "selected");
    settle();
    rig_do("table.remove(f.ships, 2)");
    ls_tracker_begin_batch(rig->tracker);
    write_ok(11, "\"Bo\"");
    assert_true(rig_is("f.selected.name == 'Bo'"));
    rig_do("f.selected = a");
    write_gone(11, "\"Bob\"");
}

static void r2_an_element_that_comes_back(void **state)
{
    (void)state;
    open_ships();
    rig_create(11, 10, "#4");
    rig_create(12, 11, "boat");
    rig_do("b.boat = {b}; weak.b = b");
    settle();
    rig_do("table.remove(f.ships, 2)");
    settle();
    rig_do("f.ships[3] = b; b = nil");
    settle();
    collect();
    assert_string_equal(rig_json(11), "{\"obj\":4}");
    rig_do("f.ships[3].name = 'Back'; f.ships[3] = nil");
    settle();
    collect();
    assert_true(rig_is("weak.b == nil"));
}

static void R2_r4_lists_that_become_something_else(void **state)
{
    (void)state;
    static const char *const values[] = {
        "nil", "'text'", "42", "{}", "{3, 4, 'x'}", "function() end", "f", "Ship:new{name = 'One'}", "{a}", "{{b}}"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (i) {
            rig_teardown(NULL);
            rig_setup(NULL);
        }
        char code[200];
        open_ships();
        rig_create(11, 10, "#4");
        rig_create(12, 11, "name");
        settle();
        snprintf(code, sizeof code, "f.ships = %s", values[i]);
        rig_do(code);
        settle();
        assert_string_equal(rig_json(12), "\"Bix\"");
        write_ok(12, "\"Bo\""); /* Lua holds it */
        assert_true(rig_is("b.name == 'Bo'"));
        rig_do("if type(f.ships) ~= 'table' or type(f.ships[1]) ~= 'table' then b = nil end");
        if (rig_is("b == nil")) write_gone(12, "\"Bob\"");
        rig_do("f.ships = {a}; b = nil");
        ls_tracker_begin_batch(rig->tracker);
        write_gone(12, "\"Bob\"");
        settle();
        rig_create(13, 10, "#3.name");
        assert_string_equal(rig_json(13), "\"Ada\"");
    }
}

static void r4_an_element_in_two_lists_and_twice_in_one(void **state)
{
    (void)state;
    open_ships();
    rig_do("f.more = {b, c, b}");
    rig_create(20, 1, "more");
    rig_create(11, 10, "#4.name");
    rig_create(21, 20, "#4.name");
    rig_create(22, 20, "2.name");
    settle();
    rig_do("table.remove(f.ships, 2); b = nil");
    settle();
    write_ok(11, "\"Bo\"");
    assert_true(rig_is("f.more[1].name == 'Bo'"));
    rig_do("table.remove(f.more, 1)");
    settle();
    write_ok(21, "\"Bob\"");
    assert_true(rig_is("f.more[2].name == 'Bob'"));
    rig_do("f.more[2] = nil");
    settle();
    write_gone(21, "\"x\"");
    write_gone(11, "\"x\"");
}

/* An id may come before detection has seen it, or after the list was changed in the same batch. */
static void r2_now_or_in_the_value_last_sent(void **state)
{
    (void)state;
    open_ships();
    settle();
    rig_do("f.ships = {a, c, d}; d = Ship:new{name = 'Dan'}; f.ships[3] = d");
    ls_tracker_begin_batch(rig->tracker);
    rig_create(11, 10, "#4.name"); /* last sent */
    assert_string_equal(rig_json(11), "\"Bix\"");
    rig_create(12, 1, "ships.2");
    assert_string_equal(rig_json(12), "{\"obj\":6}");
    rig_create(13, 10, "#6.name"); /* now */
    assert_string_equal(rig_json(13), "\"Dan\"");
}

static void r2_elements_beside_what_is_no_object(void **state)
{
    (void)state;
    open_ships();
    rig_do("f.ships = {a, 0/0, 3, 'x', true, 1/0, b}");
    settle();
    rig_create(11, 10, "#3.name");
    rig_create(12, 10, "#4.name");
    assert_string_equal(rig_json(11), "\"Ada\"");
    assert_string_equal(rig_json(12), "\"Bix\"");
    write_ok(12, "\"Bo\"");
    assert_true(rig_is("b.name == 'Bo'"));
}

static void r2_the_path_may_be_set_later(void **state)
{
    (void)state;
    struct ls_fault fault;
    open_ships();
    rig_create(11, 10, "#4");
    rig_create(12, 11, "name");
    static const struct {
        const char *path, *name;
    } rows[] = {{"#5", "\"Cid\""}, {"0", "\"Ada\""}, {"#3", "\"Ada\""}, {"#9", "null"}, {"#4", "\"Bix\""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ls_prop prop = {"path", rows[i].path, 4, strlen(rows[i].path)};
        assert_int_equal(ls_tracker_set_property(rig->tracker, rig_var(11), &prop, &fault), 1);
        rig_detect();
        assert_string_equal(rig_json(12), rows[i].name);
    }
    ls_tracker_destroy(rig->tracker, 11, NULL, NULL);
    rig_do("f.ships = {}");
    settle();
}

#define WRAPPED "ships?wrapper=lua.ViewList&keyed=true"

static void open_keyed(const char *query)
{
    char path[100];
    rig_do(SITE);
    rig_root("f");
    snprintf(path, sizeof path, "%s%s", WRAPPED, query);
    rig_create(10, 1, path);
    rig_create(20, 10, "items");
}

static void r3_items_follow_their_elements(void **state)
{
    (void)state;
    open_keyed("");
    assert_string_equal(rig_json(20), "[{\"obj\":7},{\"obj\":8},{\"obj\":9}]");
    rig_create(21, 20, "#8");
    rig_create(22, 21, "item");
    rig_create(23, 22, "name");
    rig_create(24, 21, "index");
    rig_create(25, 21, "remove()?access=action");
    rig_create(26, 10, "#8.item.name");
    settle();
    rig_do("f.ships = {c, b, a}");
    assert_true(rig_detect());
    assert_string_equal(rig_changes(), "20m=v");
    assert_string_equal(rig_json(20), "[{\"obj\":9},{\"obj\":8},{\"obj\":7}]");
    rig_do("table.remove(f.ships, 1)");
    assert_true(rig_detect());
    assert_string_equal(rig_changes(), "20m=v; 24m=v");
    assert_string_equal(rig_json(20), "[{\"obj\":8},{\"obj\":7}]");
    rig_do("table.insert(f.ships, 2, Ship:new{name = 'Dan'})");
    assert_true(rig_detect());
    assert_string_equal(rig_json(20), "[{\"obj\":8},{\"obj\":11},{\"obj\":7}]");
    write_ok(23, "\"Bo\"");
    rig_detect();
    assert_string_equal(rig_json(26), "\"Bo\"");
    write_ok(25, "null");
    rig_detect();
    assert_string_equal(rig_json(20), "[{\"obj\":11},{\"obj\":7}]");
    collect();
    write_ok(23, "\"Bob\""); /* alive in Lua, and so is its item */
    assert_true(rig_is("b.name == 'Bob'"));
    write_ok(26, "\"Bea\"");
    assert_true(rig_is("b.name == 'Bea'"));
    write_ok(25, "null");
    assert_true(rig_is("#f.ships == 2"));
    rig_do("b = nil; removed = nil");
    settle();
    write_gone(23, "\"x\"");
    write_gone(26, "\"x\"");
    write_gone(25, "null");
    assert_true(rig_is("#f.ships == 2"));
}

static void r3_without_keyed_items_stay_by_position(void **state)
{
    (void)state;
    rig_do(SITE);
    rig_root("f");
    rig_create(10, 1, "ships?wrapper=lua.ViewList");
    rig_create(20, 10, "items");
    rig_create(21, 20, "0.item");
    settle();
    rig_do("table.remove(f.ships, 1)");
    rig_detect();
    assert_string_equal(rig_changes(), "20m=v; 21m=v");
    assert_string_equal(rig_json(20), "[{\"obj\":7},{\"obj\":8}]");
}

static void R3_T79_cards_go_with_their_items(void **state)
{
    (void)state;
    rig_do(
        "made = 0; Card = {type = 'Card', new = function(p, li) made = made + 1; return setmetatable({n = made, li = li}, p) end,"
        " title = function(self) return self.li.index .. ':' .. self.li.baseItem.name .. ':' .. self.n end}; Card.__index = Card");
    open_keyed("&itemWrapper=Card");
    rig_create(21, 20, "#7.item");
    rig_create(22, 21, "title()?access=r");
    assert_string_equal(rig_json(20), "[{\"obj\":7},{\"obj\":8},{\"obj\":9}]");
    assert_string_equal(rig_json(22), "\"0:Ada:1\"");
    settle();
    rig_do("f.ships = {c, Ship:new{name = 'Dan'}, a}");
    rig_detect();
    assert_string_equal(rig_json(22), "\"2:Ada:1\"");
    assert_true(rig_is("made == 4"));
    assert_string_equal(rig_changes(), "20m=v; 22m=v"); /* the title tells the index */
    rig_do("f.ships[3] = nil; weak.a = a; a = nil");
    settle();
    collect();
    assert_true(rig_is("weak.a == nil")); /* a card leads back to its element */
}

static void r3_primitives_holes_and_equals(void **state)
{
    (void)state;
    rig_do("h = {list = {'x', 'y', 'x', 1, true}}");
    rig_root("h");
    rig_create(10, 1, "list?wrapper=lua.ViewList&keyed=true");
    rig_create(20, 10, "items");
    rig_create(21, 20, "2.item");
    assert_string_equal(rig_json(20), "[{\"obj\":4},{\"obj\":5},{\"obj\":6},{\"obj\":7},{\"obj\":8}]");
    rig_do("h.list = {'y', 'x', 'x', true, 1}");
    rig_detect();
    assert_string_equal(rig_json(20), "[{\"obj\":5},{\"obj\":4},{\"obj\":6},{\"obj\":8},{\"obj\":7}]");
    rig_do("h.list[2] = 'z'"); /* in its place, with its item */
    rig_detect();
    assert_string_equal(rig_json(20), "[{\"obj\":5},{\"obj\":4},{\"obj\":6},{\"obj\":8},{\"obj\":7}]");
    rig_do("h.list[2] = 0/0; h.list[3] = {}");
    rig_detect();
    assert_string_equal(rig_json(20), "[{\"obj\":5},{\"obj\":4},{\"obj\":10},{\"obj\":8},{\"obj\":7}]");
    rig_do("h.list = {}");
    rig_detect();
    assert_string_equal(rig_json(20), "[]");
    rig_do("h.list = nil");
    rig_detect();
    assert_string_equal(rig_json(20), "null");
}

#define QUERY                                                                                                                                     \
    "rows = {{id = 7, name = 'Ada'}, {id = 'b', name = 'Bix'}, {id = true, name = 'Cid'}}\n"                                                      \
    "function query() local r = {}; for i, row in ipairs(rows) do r[i] = setmetatable({id = row.id, name = row.name}, Row) end; q.list = r end\n" \
    "Row = {type = 'Row'}; Row.__index = Row; q = {}; query()\n"

static void r4_rows_of_a_query_go_by_key(void **state)
{
    (void)state;
    rig_do(QUERY);
    rig_root("q");
    rig_create(10, 1, "list?keyed=true&key=id");
    assert_string_equal(rig_json(10), "[{\"obj\":6},{\"obj\":7},{\"obj\":8}]"); /* 3, 4, 5 are the objects themselves */
    rig_create(11, 10, "#7");
    rig_create(12, 11, "name");
    rig_create(13, 10, "#7.name");
    rig_create(14, 10, "#4.name");
    assert_string_equal(rig_fault(14), "gone"); /* that id was told by nobody */
    assert_string_equal(rig_json(11), "{\"obj\":7}");
    assert_string_equal(rig_type(11), "Row");
    settle();
    rig_do("query()");
    assert_false(rig_detect()); /* all objects are new ones, and nothing is to be told */
    assert_string_equal(rig_changes(), "");
    rig_do("rows[1], rows[2] = rows[2], rows[1]; rows[1].name = 'Bea'; query()");
    assert_true(rig_detect());
    assert_string_equal(rig_changes(), "10m=v; 12m=v; 13m=v");
    assert_string_equal(rig_json(10), "[{\"obj\":7},{\"obj\":6},{\"obj\":8}]");
    assert_string_equal(rig_json(12), "\"Bea\"");
    rig_do("query()");
    ls_tracker_begin_batch(rig->tracker);
    write_ok(12, "\"Bo\""); /* to the object that has the key now */
    write_ok(13, "\"Bob\"");
    assert_true(rig_is("q.list[1].name == 'Bob'"));
    rig_do("x = table.remove(q.list, 1)");
    settle();
    write_ok(12, "\"Zoe\"");
    assert_true(rig_is("x.name == 'Zoe'"));
    rig_do("x = nil");
    write_gone(12, "\"Zoe\"");
    rig_do("query()"); /* the key is back */
    settle();
    assert_string_equal(rig_json(10), "[{\"obj\":7},{\"obj\":6},{\"obj\":8}]");
    write_ok(12, "\"Zoe\"");
    assert_true(rig_is("q.list[1].name == 'Zoe'"));
    rig_do("q.list[1].id = 7.0; q.list[2].id = 'b'"); /* keys change inside */
    assert_true(rig_detect());
    assert_string_equal(rig_json(10), "[{\"obj\":6},{\"obj\":7},{\"obj\":8}]");
    assert_string_equal(rig_json(12), "\"Ada\"");
}

static void r4_without_keyed_a_key_means_nothing(void **state)
{
    (void)state;
    rig_do(QUERY);
    rig_root("q");
    rig_create(10, 1, "list?key=id"); /* sites' own client */
    assert_string_equal(rig_json(10), "[{\"obj\":3},{\"obj\":4},{\"obj\":5}]");
    struct ls_prop keyed = {"keyed", "true", 5, 4};
    struct ls_fault fault;
    assert_int_equal(ls_tracker_set_property(rig->tracker, rig_var(10), &keyed, &fault), 1);
    assert_string_equal(rig_json(10), "[{\"obj\":6},{\"obj\":7},{\"obj\":8}]");
    keyed.value_len = 0;
    assert_int_equal(ls_tracker_set_property(rig->tracker, rig_var(10), &keyed, &fault), 1);
    assert_string_equal(rig_json(10), "[{\"obj\":3},{\"obj\":4},{\"obj\":5}]");
}

static void r4_keys_that_tell_nothing_apart_fall_back_to_the_place(void **state)
{
    (void)state;
    static const char *const keys[] = {"{7, 7, 'x'}", "{1, {}, 2}",  "{1, print, 2}",
                                       "{1, nil, 2}", "{1, 0/0, 2}", "{1, 1.0, 2}"};
    rig_do(
        "fails = setmetatable({}, {__index = function(t, k) if k == 'id' then error('no') end end}); fails.n = 2\n"
        "function fill(k) q.list = {{n = 1, id = k[1]}, {n = 2, id = k[2]}, {n = 3, id = k[3]}} end; q = {}; fill {1, 2, 3}");
    rig_root("q");
    rig_create(10, 1, "list?keyed=true&key=id");
    rig_create(11, 10, "1.n"); /* what a page does with it */
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char code[200];
        rig_do("fill {1, 2, 3}");
        settle();
        assert_string_equal(rig_fault(10), "");
        snprintf(code, sizeof code, "fill(%s)", keys[i]);
        rig_do(code);
        settle();
        assert_string_equal(rig_fault(10), "key");
        assert_non_null(strstr(rig_fault_text(10), "element 1"));
        char json[200];
        snprintf(json, sizeof json, "%s", rig_json(10));
        rig_do(code);
        assert_false(rig_detect()); /* told once, and the same place has the same id */
        assert_string_equal(rig_json(10), json);
        long long first, second, third;
        assert_int_equal(sscanf(json, "[{\"obj\":%lld},{\"obj\":%lld},{\"obj\":%lld}]", &first, &second, &third), 3);
        assert_true(first != second && second != third && first != third);
        rig_create(12, 10, (snprintf(code, sizeof code, "#%lld.n", second), code));
        assert_string_equal(rig_json(12), "2");
        ls_tracker_destroy(rig->tracker, 12, NULL, NULL);
    }
    rig_do("q.list = {fails, 'text', {id = 5}}");
    settle();
    assert_string_equal(rig_fault(10), "key");
    rig_do("q.list = {}");
    settle();
    assert_string_equal(rig_fault(10), "");
    rig_do("q.list = {{id = 1}}; query = nil");
    settle();
    rig_do("q.list = 'text'");
    settle();
    assert_string_equal(rig_json(10), "\"text\"");
    rig_do("q.list = nil");
    settle();
    assert_string_equal(rig_json(10), "null");
}

static void r4_keys_are_not_remembered_for_ever(void **state)
{
    (void)state;
    rig_do(
        "q = {list = {}}; n = 0; function more() q.list = {}; for i = 1, 100 do n = n + 1; q.list[i] = {id = n} end end; more()");
    rig_root("q");
    rig_create(10, 1, "list?keyed=true&key=id");
    for (int i = 0; i < 400; i++) {
        rig_do("more()");
        rig_detect();
    }
    collect();
    lua_State *L = rig->session->vm.L;
    long before = lua_gc(L, LUA_GCCOUNT);
    for (int i = 0; i < 400; i++) {
        rig_do("more()");
        rig_detect();
    }
    collect();
    assert_true(lua_gc(L, LUA_GCCOUNT) < before + 200);
}

static void R3_r4_items_go_by_key(void **state)
{
    (void)state;
    rig_do(
        "made = 0; Card = {type = 'Card', new = function(p, li) made = made + 1; return setmetatable({n = made, li = li}, p) end,"
        " title = function(self) return self.li.index .. ':' .. self.li.baseItem.name .. ':' .. self.n end}; Card.__index = Card");
    rig_do(QUERY);
    rig_root("q");
    rig_create(10, 1, "list?wrapper=lua.ViewList&itemWrapper=Card&keyed=true&key=id");
    rig_create(20, 10, "items");
    char items[100], path[40];
    long long first, second, third;
    snprintf(items, sizeof items, "%s", rig_json(20));
    assert_int_equal(sscanf(items, "[{\"obj\":%lld},{\"obj\":%lld},{\"obj\":%lld}]", &first, &second, &third), 3);
    rig_create(21, 20, (snprintf(path, sizeof path, "#%lld", second), path));
    rig_create(22, 21, "item");
    rig_create(23, 22, "title()?access=r");
    rig_create(24, 21, "baseItem.name");
    settle();
    rig_do("query()");
    settle();
    assert_string_equal(rig_json(20), items);
    assert_true(rig_is("made == 3"));
    assert_false(rig_detect());
    rig_do("rows[1], rows[2] = rows[2], rows[1]; rows[1].name = 'Bea'; query()");
    assert_true(rig_detect());
    assert_string_equal(rig_changes(), "20m=v; 23m=v; 24m=v");
    assert_string_equal(rig_json(23), "\"0:Bea:2\"");
    write_ok(24, "\"Bo\"");
    assert_true(rig_is("q.list[1].name == 'Bo' and made == 3"));
    rig_do("rows = {rows[1], rows[1], {name = 'none'}}; query()"); /* equal keys, and none */
    settle();
    assert_string_equal(rig_fault(10), "wrapper");
    assert_string_equal(rig_json(23), "\"0:Bea:2\"");
    snprintf(items, sizeof items, "%s", rig_json(20));
    rig_do("query()");
    assert_false(rig_detect());
    assert_string_equal(rig_json(20), items);
}

/* Everything that rows do, with room for failure on the way: what cannot be done now is done, or refused, but nothing
 * breaks. */
static void live_with_rows(void)
{
    static const char *const paths[] = {"#4", "#4.name", "#3.boat", "#5.call(_)?access=action", "#9"};
    lua_State *L = rig->session->vm.L;
    for (int64_t i = 0; i < 5; i++)
        rig_try(11 + i, 10, paths[i], NULL);
    rig_try(20, 1, "ships?wrapper=lua.ViewList&keyed=true", NULL);
    rig_try(21, 20, "items", NULL);
    rig_try(22, 1, "ships?keyed=true&key=name", NULL);
    rig_try(23, 11, "boat", NULL);
    static const char *const steps[] = {"table.remove(f.ships, 2)",
                                        "table.insert(f.ships, 1, b)",
                                        "f.ships = {c, a}",
                                        "b.boat = {b}",
                                        "f.ships = {b}",
                                        "f.ships = nil"};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (luaL_loadstring(L, steps[i]) == LUA_OK) ls__lcall(rig->session, 0, 0, NULL);
        lua_settop(L, 0);
        ls_tracker_begin_batch(rig->tracker);
        for (int64_t id = 11; id <= 14; id++)
            if (ls_tracker_find(rig->tracker, id)) ls_tracker_write(rig->tracker, rig_var(id), "\"x\"", 3, NULL);
        ls_tracker_detect(rig->tracker);
        const struct ls_change *list;
        int count = ls_tracker_changes(rig->tracker, &list);
        for (int k = 0; k < count; k++)
            ls_var_update_json(rig->tracker, list[k].var, (size_t[1]){0});
    }
}

static void R2_r4_every_allocation_may_fail(void **state)
{
    (void)state;
    bool done = false;
    for (long n = 1; !done; n += n < 200 ? 1 : 7) {
        open_ships();
        ls_alloc_fail_at(n);
        live_with_rows();
        done = ls_alloc_fail_at(0) < n;
        /* what is settled without need is right again */
        rig_do("f.ships = {c, b, a}; b.name = 'Bix'; b.boat = nil");
        settle();
        settle();
        if (ls_tracker_find(rig->tracker, 10))
            assert_string_equal(rig_json(10), "[{\"obj\":5},{\"obj\":4},{\"obj\":3}]");
        if (ls_tracker_find(rig->tracker, 11) && strcmp(rig_fault(11), "gone") != 0)
            assert_string_equal(rig_json(11), "{\"obj\":4}");
        rig_teardown(NULL);
        rig_setup(NULL);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(r2_a_row_follows_its_element),
        T(r2_no_object_is_reached_by_counting),
        T(r2_grammar),
        T(r2_writing_the_element),
        T(r2_a_row_that_has_left_is_held_weakly),
        T(r2_a_write_to_what_is_gone_collects_first),
        T(r2_a_selection_that_has_moved_on_keeps_nothing_alive),
        T(r2_an_element_that_comes_back),
        T(R2_r4_lists_that_become_something_else),
        T(r4_an_element_in_two_lists_and_twice_in_one),
        T(r2_now_or_in_the_value_last_sent),
        T(r2_the_path_may_be_set_later),
        T(r2_elements_beside_what_is_no_object),
        T(r3_items_follow_their_elements),
        T(r3_without_keyed_items_stay_by_position),
        T(R3_T79_cards_go_with_their_items),
        T(r3_primitives_holes_and_equals),
        T(r4_rows_of_a_query_go_by_key),
        T(r4_without_keyed_a_key_means_nothing),
        T(r4_keys_that_tell_nothing_apart_fall_back_to_the_place),
        T(r4_keys_are_not_remembered_for_ever),
        T(R3_r4_items_go_by_key),
        T(R2_r4_every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("session rows", tests, NULL, NULL);
}
