/* Unit tests of what Lua code does with variables, in a real VM: the variable object that wrappers are given (T72), the
 * app variable, variables made and destroyed by Lua code, standard variables (T103 to T106). */
#include "resolver_rig.h"

static const char *property(int64_t id, const char *name)
{
    const char *value = ls_var_property(rig_var(id), name);
    return value ? value : "";
}

static void t72_the_variable_object_answers_while_the_variable_lives(void **state)
{
    (void)state;
    rig_do(
        "o = { type = 'O' }; app = { o = o }\n"
        "W = { new = function(class, v) V = v; FIRST = v.getWrapper(); INSIDE = v:getValue(); W1 = { type = 'W', of = v }; return W1 end }\n");
    assert_int_equal(rig_root("app"), 1);
    rig_create(2, 1, "o?wrapper=W&tone=dark");
    assert_true(rig_is("type(V) == 'table' and V._id == 2"));
    assert_true(rig_is("FIRST == nil and INSIDE == o"));
    assert_true(rig_is("V.getId() == 2 and V:getId() == 2 and V.getID() == 2 and V:getID() == 2"));
    assert_true(rig_is("V.getValue() == o and V:getValue() == o"));
    assert_true(rig_is("V.getProperty('tone') == 'dark' and V:getProperty('tone') == 'dark'"));
    assert_true(rig_is("V.getProperty('none') == nil and V:getProperty('none') == nil"));
    assert_true(rig_is("V.getWrapper() == W1 and V:getWrapper() == W1"));
    ls_tracker_destroy(rig->tracker, 2, NULL, NULL);
    assert_true(rig_is(
        "V.getValue() == nil and V:getProperty('tone') == nil and V.getWrapper() == nil and V:getId() == nil and V.getID() == nil"));
    /* Another variable under the same id is another one. */
    rig_create(2, 1, "o?tone=light");
    assert_true(rig_is("V.getProperty('tone') == nil and V:getId() == nil"));
}

static void t103_the_app_variable_is_made_once_and_replaced(void **state)
{
    (void)state;
    rig_do("A = session:prototype('A', { n = 1 }); a = A:new(); first = session:createAppVariable(a, { tone = 5 })");
    assert_true(rig_is("first == 1 and session:getApp() == a"));
    assert_string_equal(property(1, "type"), "A");
    assert_string_equal(property(1, "tone"), "5");
    rig_create(2, 1, "n");
    assert_string_equal(rig_json(2), "1");
    assert_false(rig_detect());
    rig_do("b = A:new({ n = 2 }); again = session:createAppVariable(b)");
    assert_true(rig_is("again == 1 and session:getApp() == b"));
    assert_int_equal(ls_tracker_count(rig->tracker), 2);
    assert_true(rig_detect());
    assert_string_equal(rig_json(2), "2");
}

static void t103_a_given_type_wins(void **state)
{
    (void)state;
    rig_do("session:createAppVariable({ 1, 2 }, { type = 'Given' })");
    assert_string_equal(property(1, "type"), "Given");
    rig_do("o = { type = 'Own' }; session:createAppVariable(o)"); /* replaced without one: its own */
    assert_string_equal(property(1, "type"), "Own");
    rig_do("session:createAppVariable(o, { type = 'Other' })");
    assert_string_equal(property(1, "type"), "Other");
    rig_do("session:createAppVariable(o)"); /* the same object again is no change (L64) */
    rig_do("o.type = 'Changed'");
    rig_detect();
    assert_string_equal(property(1, "type"), "Other");
    rig_do("session:createAppVariable({ type = 'Third' }, { ['type:high'] = 'Other' })");
    assert_string_equal(property(1, "type"), "Other");
    rig_do("session:createAppVariable({ type = 'Third' }, { type = '' })");
    assert_string_equal(property(1, "type"), "Third");
}

static void t103_a_given_type_wins_over_the_objects(void **state)
{
    (void)state;
    rig_do("session:createAppVariable({ type = 'Own' }, { type = 'Given' })");
    assert_string_equal(property(1, "type"), "Given");
    rig_do("session:getApp().type = 'Later'");
    rig_detect();
    assert_string_equal(property(1, "type"), "Given");
}

static void t104_variables_below_ids_and_objects(void **state)
{
    (void)state;
    rig_do(
        "app = { type = 'App' }; session:createAppVariable(app); item = { type = 'Item', n = 7 }\n"
        "byId = session:createVariable(1, item, { kind = 'k', size = 1.5, on = true })\n"
        "byObject = session:createVariable(item, {}); root = session:createVariable(0, { n = 8 }); none = session:createVariable(4711, {})");
    assert_true(rig_is("byId == -1 and byObject == -2 and root > 1 and none == nil"));
    assert_int_equal(ls_var_parent(ls_tracker_find(rig->tracker, -1)), 1);
    assert_int_equal(ls_var_parent(ls_tracker_find(rig->tracker, -2)), -1);
    assert_string_equal(property(-1, "type"), "Item");
    assert_string_equal(property(-1, "kind"), "k");
    assert_string_equal(property(-1, "size"), "1.5");
    assert_string_equal(property(-1, "on"), "true");
    rig_create(50, -1, "n"); /* it holds the object, and children read it (T42) */
    assert_string_equal(rig_json(50), "7");
    rig_do("item.n = 9");
    assert_true(rig_detect());
    assert_string_equal(rig_json(50), "9");
    assert_int_equal(rig_write(50, "10", NULL), 0);
    assert_true(rig_is("item.n == 10"));
}

static void t105_destroying_by_id_and_by_object(void **state)
{
    (void)state;
    rig_do("app = { type = 'App' }; session:createAppVariable(app); one, two = {}, {}\n"
           "a = session:createVariable(1, one); below = session:createVariable(one, {})\n"
           "b, c = session:createVariable(1, two), session:createVariable(1, two)");
    assert_int_equal(ls_tracker_count(rig->tracker), 5);
    rig_do("session:destroyVariable(a)");
    assert_null(ls_tracker_find(rig->tracker, -1));
    assert_null(ls_tracker_find(rig->tracker, -2)); /* its subtree */
    assert_int_equal(ls_tracker_count(rig->tracker), 3);
    rig_do("session:destroyVariable(two)"); /* all that were made for it */
    assert_int_equal(ls_tracker_count(rig->tracker), 1);
    rig_do("session:destroyVariable(-1); session:destroyVariable({})"); /* unknown: nothing */
    assert_int_equal(ls_tracker_count(rig->tracker), 1);
}

static void t106_t15_standard_variables_by_id_and_by_object(void **state)
{
    (void)state;
    rig_do(
        "app = { type = 'App', title = 'top' }; session:createAppVariable(app); user = { name = 'Ann' }; session:createVariable(1, user)");
    rig_create(5, 1, "@user.name");
    rig_create(6, 5, "@app.title");
    assert_string_equal(rig_json(5), "null");
    assert_string_equal(rig_json(6), "\"top\"");
    rig_do("session:registerStandardVariable('@user', user)");
    assert_true(rig_detect());
    assert_string_equal(rig_json(5), "\"Ann\"");
    rig_do("other = session:createVariable(1, { name = 'Bob' }); session:registerStandardVariable('@user', other)");
    assert_true(rig_detect());
    assert_string_equal(rig_json(5), "\"Bob\"");
    rig_do("session:destroyVariable(other)");
    rig_detect();
    assert_string_equal(ls_fault_kind_text(ls_var_fault(ls_tracker_find(rig->tracker, 5))->kind), "path-error");
    assert_false(rig_is("pcall(session.registerStandardVariable, session, '@app', other)"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(t72_the_variable_object_answers_while_the_variable_lives),
        T(t103_the_app_variable_is_made_once_and_replaced),
        T(t103_a_given_type_wins),
        T(t103_a_given_type_wins_over_the_objects),
        T(t104_variables_below_ids_and_objects),
        T(t105_destroying_by_id_and_by_object),
        T(t106_t15_standard_variables_by_id_and_by_object),
    };
    return cmocka_run_group_tests_name("session resolver: variables", tests, NULL, NULL);
}
