/* Wrappers, create factories and the list wrapper with a real VM (tracker.md sections 12 to 14, worked example E4). */
#include "resolver_rig.h"

#define FLEET                                                                                                                                                 \
    "function proto(name, t) t.type = name; t.__index = t; _G[name] = t; t.new = t.new or function(p, o) return setmetatable(o or {}, p) end; return t end\n" \
    "made = 0; proto('Ship', {name = '', crew = 0})\n"                                                                                                        \
    "proto('ShipCard', {open = false, new = function(p, li) made = made + 1; LI = LI or li; return setmetatable({ship = li.baseItem, li = li}, p) end})\n"    \
    "function ShipCard:title() return self.li.index .. ':' .. self.ship.name end\n"                                                                           \
    "proto('Fleet', {label = 'north'})\n"                                                                                                                     \
    "f = Fleet:new(); a = Ship:new({name='Ada'}); b = Ship:new({name='Bix'}); f.ships = {a, b}\n"                                                             \
    "function swap() f.ships[1], f.ships[2] = f.ships[2], f.ships[1] end\n"

static void open_list(void)
{
    rig_do(FLEET);
    assert_int_equal(rig_root("f"), 1);
    rig_create(7, 1, "ships?wrapper=lua.ViewList&itemWrapper=ShipCard");
    rig_create(8, 7, "items");
    rig_create(9, 8, "0");
    rig_create(10, 9, "item");
    rig_create(11, 10, "title()?access=r");
    for (int64_t id = 7; id <= 11; id++)
        ls_var_unreport(rig_var(id), false);
}

/* T4, T76, T78, T79a. */
static void e4_a_list_with_item_wrappers(void **state)
{
    (void)state;
    open_list();
    assert_string_equal(rig_base(7), "[{\"obj\":3},{\"obj\":4}]");
    assert_string_equal(rig_json(8), "[{\"obj\":6},{\"obj\":7}]");
    assert_string_equal(rig_json(9), "{\"obj\":6}");
    assert_string_equal(rig_json(11), "\"0:Ada\"");
    assert_true(rig_detect());
    assert_string_equal(rig_changes(),
                        "7h=fallbackNamespace(list-item); 7m=v,type(lua.ViewList); 8m=v; 9m=v,type(lua.ViewListItem); "
                        "10m=v,type(ShipCard); 11m=v");
    char card[32];
    snprintf(card, sizeof card, "%s", rig_json(10));
    assert_false(rig_detect());
    rig_do("swap()");
    assert_true(rig_detect());
    assert_string_equal(rig_changes(), "10m=v; 11m=v"); /* 7 absorbed (T73), 8 and 9 unchanged */
    assert_string_equal(rig_json(11), "\"0:Bix\"");
    assert_string_not_equal(rig_json(10), card);
    assert_true(rig_is("made == 2"));
    rig_do("f.ships[3] = Ship:new({name='Cid'})");
    assert_true(rig_detect());
    assert_string_equal(rig_changes(), "8m=v");
    assert_true(rig_is("made == 3"));
}

static void t79_cards_follow_their_elements_and_keep_state(void **state)
{
    (void)state;
    open_list();
    rig_create(12, 8, "1.item");
    rig_detect();
    rig_changes();
    rig_do("cards = {}; f.ships[3] = Ship:new({name = 'Cid'})");
    rig_detect();
    rig_create(13, 7, "2.item.title()?access=r"); /* T50: an index on the list is the item */
    assert_string_equal(rig_json(13), "\"2:Cid\"");
    char second[32];
    snprintf(second, sizeof second, "%s", rig_json(12));
    rig_do("table.remove(f.ships, 1)"); /* TX22: nobody is made anew, only indexes move */
    assert_true(rig_detect());
    assert_true(rig_is("made == 3"));
    assert_string_equal(rig_json(10), second);
    assert_string_equal(rig_json(11), "\"0:Bix\"");
    assert_string_equal(rig_fault(13),
                        "bad-index"); /* T49: an item beyond the end is an error, which keeps the value */
    rig_do("table.insert(f.ships, a)");
    rig_detect();
    assert_true(rig_is("made == 4")); /* it was gone in between, so its card was dropped */
}

static void t78_equal_primitives_keep_their_order_and_indexes(void **state)
{
    (void)state;
    rig_do(
        "made = 0; Card = {type = 'Card', new = function(p, li) made = made + 1; return setmetatable({n = made, li = li}, p) end}; Card.__index = Card\n"
        "h = {list = {'x', 'y', 'x'}}");
    rig_root("h");
    rig_create(2, 1, "list?wrapper=lua.ViewList&itemWrapper=Card");
    rig_create(3, 2, "0.item.n");
    rig_create(4, 2, "1.item.n");
    rig_create(5, 2, "2.item.n");
    rig_create(6, 2, "2.item.li.index");
    rig_do("h.list[1], h.list[2], h.list[3] = 'y', 'x', 'x'");
    rig_detect();
    assert_string_equal(rig_json(3), "2");
    assert_string_equal(rig_json(4), "1");
    assert_string_equal(rig_json(5), "3");
    assert_string_equal(rig_json(6), "2");
    assert_true(rig_is("made == 3"));
}

static void t50_t79b_fields_and_methods_of_native_objects(void **state)
{
    (void)state;
    struct ls_fault fault;
    rig_do(FLEET);
    rig_root("f");
    rig_create(2, 1, "ships?wrapper=lua.ViewList");
    static const struct {
        const char *path, *json, *fault;
    } rows[] = {
        {"selectionIndex", "-1", ""},
        {"0.index", "0", ""},
        {"1.index", "1", ""},
        {"0.type", "\"lua.ViewListItem\"", ""},
        {"0.baseItem.name", "\"Ada\"", ""},
        {"1.item.name", "\"Bix\"", ""},
        {"9", "null", "bad-index"},
        {"nope", "null", "path-error"},
        {"items.x", "null", "path-error"},
        {"items.9", "null", "bad-index"},
        {"0.nope", "null", "path-error"},
        {"0.list.selectionIndex", "-1", ""},
        {"0.0", "null", "path-error"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rig_create(20 + (int64_t)i, 2, rows[i].path);
        assert_string_equal(rig_json(20 + (int64_t)i), rows[i].json);
        assert_string_equal(rig_fault(20 + (int64_t)i), rows[i].fault);
    }
    rig_create(3, 2, "0.list");
    assert_string_equal(rig_json(3), rig_json(2));
    assert_string_equal(rig_type(3), "lua.ViewList");
    assert_int_equal(rig_write(21, "5", &fault), -1); /* T58 */
    assert_int_equal(rig_write(20, "5", &fault), -1);
    rig_create(4, 2, "0.remove()?access=action");
    assert_int_equal(rig_write(4, "null", &fault), 0);
    assert_true(rig_is("#f.ships == 1 and f.ships[1] == b"));
    rig_detect();
    assert_string_equal(rig_json(24), "\"Bix\"");
    rig_create(5, 2, "0.jump()?access=action");
    assert_int_equal(rig_write(5, "null", &fault), -1);
    assert_string_equal(ls_fault_code(fault.kind), "path-failure");
}

static void t77_what_is_no_list(void **state)
{
    (void)state;
    rig_do("h = {list = {}}");
    rig_root("h");
    rig_create(2, 1, "list?wrapper=lua.ViewList");
    rig_create(3, 2, "items");
    assert_string_equal(rig_json(3), "[]");
    assert_string_equal(rig_fault(2), ""); /* an empty table is no array and no error (TX21) */
    rig_do("h.list = 'text'");
    rig_detect();
    assert_string_equal(rig_fault(2), "wrapper");
    rig_do("h.list = {1}");
    rig_detect();
    assert_string_equal(rig_fault(2), "");
    assert_string_equal(rig_json(3), "[{\"obj\":5}]");
    rig_do("h.list = nil"); /* T66: null drops the wrapper */
    rig_detect();
    assert_string_equal(rig_json(2), "null");
    assert_int_equal(ls_var_wrapper(rig_var(2)), 0);
}

static void t67a_an_item_does_not_wear_its_card_twice(void **state)
{
    (void)state;
    open_list();
    rig_create(20, 8, "0?wrapper=ShipCard");
    assert_string_equal(rig_json(20), rig_json(9));
    assert_string_equal(rig_fault(20), "");
    assert_true(rig_is("made == 2"));
}

/* The list and its tables are the server's: their C code trusts what is in them (L12). */
static void l12_what_items_hold_is_not_handed_out(void **state)
{
    (void)state;
    open_list();
    rig_detect();
    rig_do("for _, held in ipairs {LI.list, LI.list[0]} do assert(type(held) == 'userdata') "
           "for at = 1, 9 do assert(debug.getuservalue(held, at) == nil) end end");
}

static void t79_a_failing_constructor_shows_the_element(void **state)
{
    (void)state;
    rig_do(
        FLEET
        "function ShipCard.new(p, li) if li.baseItem == a then error('no card') end; return setmetatable({ship = li.baseItem, li = li}, p) end");
    rig_root("f");
    rig_create(2, 1, "ships?wrapper=lua.ViewList&itemWrapper=ShipCard");
    assert_string_equal(rig_fault(2), "wrapper");
    assert_non_null(strstr(rig_fault_text(2), "no card"));
    rig_create(3, 2, "0.item");
    rig_create(4, 2, "1.item");
    assert_string_equal(rig_type(3), "Ship");
    assert_string_equal(rig_type(4), "ShipCard");
}

/* --- wrappers written in Lua --- */

/* T66, T68 to T71, T73. */
static void t66_t71_the_life_of_a_lua_wrapper(void **state)
{
    (void)state;
    rig_do(
        "log = {}; Box = {type = 'Box'}; Box.__index = Box\n"
        "function Box.new(class, v) log[#log + 1] = 'new ' .. tostring(v.getValue and 'object'); return setmetatable({}, class) end\n"
        "function Box:sync() log[#log + 1] = 'sync ' .. self.value end\n"
        "function Box:destroy() log[#log + 1] = 'destroy' end\n"
        "Other = {new = function(class, v) return setmetatable({}, {__index = class}) end}\n"
        "h = {v = 'a'}");
    rig_root("h");
    rig_create(2, 1, "v?wrapper=Box");
    rig_create(3, 2, "value");
    char first[32];
    snprintf(first, sizeof first, "%s", rig_json(2));
    assert_string_equal(rig_type(2), "Box");
    assert_string_equal(rig_base(2), "\"a\"");
    rig_changes();
    rig_do("h.v = 'b'");
    assert_true(rig_detect());                  /* the child changes */
    assert_string_equal(rig_changes(), "3m=v"); /* T73: absorbed */
    assert_string_equal(rig_json(2), first);
    assert_string_equal(rig_json(3), "\"b\"");
    struct ls_prop prop = {"wrapper", "Other", 7, 5};
    assert_int_equal(ls_tracker_set_property(rig->tracker, rig_var(2), &prop, NULL), 1);
    assert_true(rig_is("log[2] == 'sync b' and log[3] == 'destroy' and #log == 3"));
    assert_string_equal(rig_type(2), "Other"); /* T92: the wrapper's type name */
    rig_do("h.v = nil");
    rig_detect();
    assert_string_equal(rig_json(2), "null");
    assert_string_equal(rig_type(2), "");
}

static void t67_a_wrapper_that_cannot_be_made_is_an_error(void **state)
{
    (void)state;
    static const char *const types[] = {"Missing", "NoNew", "Fails", "Nothing", "Number"};
    rig_do(
        "NoNew = {}; Fails = {new = function() error('boom') end}; Nothing = {new = function() end}; Number = {new = function() return 5 end}\n"
        "Dotted = {Name = {new = function() return {x = 1} end}}; h = {v = 1}");
    rig_root("h");
    for (size_t i = 0; i < 5; i++) {
        char path[64];
        snprintf(path, sizeof path, "v?wrapper=%s", types[i]);
        rig_create(10 + (int64_t)i, 1, path);
        assert_string_equal(rig_fault(10 + (int64_t)i), "wrapper");
        assert_string_equal(rig_json(10 + (int64_t)i), "1");
    }
    assert_false(rig_detect());
    assert_string_equal(rig_fault(10), "wrapper"); /* reading the same value again does not mend the wrapper */
    rig_do("Missing = {new = function() return {} end}; h.v = 2");
    rig_detect();
    assert_string_equal(rig_fault(10), "");
    rig_create(20, 1, "v?wrapper=Dotted.Name"); /* T67.6 */
    assert_string_equal(rig_fault(20), "");
    assert_string_equal(rig_type(20), "Dotted.Name");
}

static void t74_t75_create_stores_what_it_makes(void **state)
{
    (void)state;
    rig_do(
        "Made = {type = 'Made', new = function(class, v) return setmetatable({}, class) end}; Made.__index = Made; Bad = {new = function() error('x') end}\n"
        "h = {there = {x = 1}}");
    rig_root("h");
    rig_create(2, 1, "fresh?create=Made");
    assert_true(rig_is("getmetatable(h.fresh) == Made"));
    assert_string_equal(rig_type(2), "Made");
    char json[32];
    snprintf(json, sizeof json, "%s", rig_json(2));
    rig_detect();
    assert_string_equal(rig_json(2), json);
    rig_create(3, 1, "there?create=Made");
    assert_true(rig_is("h.there.x == 1"));
    rig_create(4, 1, "bad?create=Bad");
    assert_string_equal(rig_json(4), "null");
    assert_string_equal(rig_fault(4), "wrapper");
    rig_create(5, 1, "none?create=lua.ViewListItem");
    rig_create(6, 1, "none?create=Unknown");
    assert_string_equal(rig_json(5), "null");
    assert_string_equal(rig_fault(6), "");
}

static void lists_inside_lists_and_thousands_of_items(void **state)
{
    (void)state;
    rig_do("h = {list = {}}; for i = 1, 2000 do h.list[i] = {n = i} end");
    rig_root("h");
    rig_create(2, 1, "list?wrapper=lua.ViewList");
    rig_create(3, 2, "items");
    rig_create(4, 2, "1999.item.n");
    rig_create(5, 3, "?wrapper=lua.ViewList"); /* a native array as source (T77) */
    rig_create(6, 5, "7.item.item.n");
    assert_string_equal(rig_json(4), "2000");
    assert_string_equal(rig_json(6), "8");
    rig_do("table.remove(h.list, 1)");
    assert_true(rig_detect());
    assert_string_equal(rig_json(6), "9");
    rig_do("for i = #h.list, 1, -1 do h.list[i] = nil end; h.list[1] = {n = 'last'}");
    rig_detect();
    assert_string_equal(rig_fault(4), "bad-index");
    ls_session_collect(rig->session);
    rig_do("h.list[2] = {n = 'new'}");
    rig_detect();
}

/* Site code reaches the table of items by a path and by the list that a card was made with. */
static void q2_items_that_code_has_replaced_are_made_anew(void **state)
{
    (void)state;
    static const char *const harm[] = {"1", "'x'", "{}", "nil", "io.stdout", "list", "print"};
    open_list();
    rig_detect();
    rig_do(
        "local new = ShipCard.new ShipCard.new = function(p, li) list = li.list return new(p, li) end f.ships[3] = Ship:new({name = 'Cid'})");
    rig_detect();
    for (size_t i = 0; i < sizeof harm / sizeof *harm; i++) {
        char code[128];
        snprintf(code, sizeof code, "list.items[%zu] = %s swap()", i % 3 + 1, harm[i]);
        rig_do(code);
        rig_detect();
        assert_string_equal(rig_json(11), i % 2 ? "\"0:Ada\"" : "\"0:Bix\"");
        assert_true(rig_is("#list.items == 3 and list.items[3].item:title() == '2:Cid'"));
    }
}

/* {[1] = …, [2] = …, [4] = …} has each of these numbers as its length; the largest would take for ever. */
static void q2_a_list_with_holes_ends(void **state)
{
    (void)state;
    open_list();
    rig_create(12, 1, "ships");
    rig_do(
        "local far = {} for i = 62, 0, -1 do far[1 << i] = i == 0 and a or b end assert(#far > 1 << 40) f.ships = far");
    rig_detect();
    assert_string_equal(rig_json(12), "[{\"obj\":3},{\"obj\":4}]");
    assert_string_equal(rig_json(11), "\"0:Ada\"");
    rig_do("swap()");
    rig_detect();
    assert_string_equal(rig_json(12), "[{\"obj\":4},{\"obj\":3}]");
    rig_do("f.ships[3] = a");
    rig_detect();
    assert_string_equal(rig_json(11), "\"0:Bix\"");
}

/* L7: the resolver has gone by then; the session's end, in the teardown, is the test. */
static void l7_finalizers_find_lists_without_fields(void **state)
{
    (void)state;
    open_list();
    rig_detect();
    rig_do(
        "local list = LI.list local item = list[0] local remove = item.remove assert(item.index == 0 and list.items)\n"
        "LEFT = setmetatable({}, {__gc = function()\n"
        "  assert(item.index == nil and item[0] == nil and list.items == nil and list[0] == nil)\n"
        "  assert(not pcall(remove, item))\n"
        "end})");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(e4_a_list_with_item_wrappers),
        T(t79_cards_follow_their_elements_and_keep_state),
        T(t78_equal_primitives_keep_their_order_and_indexes),
        T(t50_t79b_fields_and_methods_of_native_objects),
        T(t77_what_is_no_list),
        T(t67a_an_item_does_not_wear_its_card_twice),
        T(l12_what_items_hold_is_not_handed_out),
        T(t79_a_failing_constructor_shows_the_element),
        T(t66_t71_the_life_of_a_lua_wrapper),
        T(t67_a_wrapper_that_cannot_be_made_is_an_error),
        T(t74_t75_create_stores_what_it_makes),
        T(lists_inside_lists_and_thousands_of_items),
        T(q2_items_that_code_has_replaced_are_made_anew),
        T(q2_a_list_with_holes_ends),
        T(l7_finalizers_find_lists_without_fields),
    };
    return cmocka_run_group_tests_name("session resolver lists", tests, NULL, NULL);
}
