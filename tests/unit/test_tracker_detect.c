/* Unit tests of lib/tracker: order of detection and of reports, passes, active flags, wrappers, faults and their news,
 * counters. */
#include "tracker_fake.h"

static struct fake *fake;
static struct fake_value *app;

static int setup(void **state)
{
    (void)state;
    fake = fake_open();
    app = fake_object(fake, "App");
    fake_root(fake, app);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_close(fake);
    return 0;
}

static void create(int64_t id, int64_t parent, const char *path, const char *props)
{
    struct ls_fault fault;
    if (fake_create(fake, id, parent, path, props, &fault)) fail_msg("%s", fault.text);
}

static bool batch(void)
{
    ls_tracker_begin_batch(fake->tracker);
    return ls_tracker_detect(fake->tracker);
}

static const char *order(void)
{
    static char text[256];
    size_t len = 0;
    fake->checked_count = 0;
    batch();
    text[0] = '\0';
    for (size_t i = 0; i < fake->checked_count; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%lld", i ? " " : "", (long long)fake->checked[i]);
    return text;
}

static struct fake_value *nest(void)
{
    struct fake_value *ships = fake_object(fake, "Fleet"), *ship = fake_object(fake, "Ship");
    fake_set(app, "ships", ships);
    fake_set(ships, "first", ship);
    fake_set(ship, "name", fake_text(fake, "Ada"));
    fake_set(app, "label", fake_text(fake, "north"));
    return ship;
}

/* T21, T23, T80, T81: lists by priority, parents pulled forward; T87 for the report. */
static void e2_order_of_checking_and_of_reporting(void **state)
{
    (void)state;
    struct fake_value *ship = nest();
    create(2, 1, "ships", "priority=low");
    create(3, 2, "first", NULL);
    create(4, 3, "name", "priority=high");
    create(5, 1, "label", NULL);
    fake_changes(fake);
    assert_string_equal(order(), "2 3 4 5"); /* 1 is a root: no path is walked */
    fake_set(ship, "name", fake_text(fake, "Bix"));
    struct fake_value *other = fake_object(fake, "Fleet"), *boat = fake_object(fake, "Ship");
    fake_set(other, "first", boat);
    fake_set(boat, "name", fake_text(fake, "Cid"));
    fake_set(app, "ships", other);
    fake_set(app, "label", fake_text(fake, "south"));
    assert_true(batch());
    assert_string_equal(fake_changes(fake), "4h=v; 3m=v; 5m=v; 2l=v");
}

/* T87: at most three entries a variable. */
static void e3_split_entries_of_one_variable(void **state)
{
    (void)state;
    fake_set(app, "x", fake_int(fake, 1));
    create(6, 1, "x", "priority=low");
    fake_set(app, "x", fake_int(fake, 2));
    fake_prop(fake, 6, "hint:high", "a", NULL);
    fake_prop(fake, 6, "tone", "b", NULL);
    fake_prop(fake, 6, "memo:low", "c", NULL);
    fake_prop(fake, 6, "also", "d", NULL);
    assert_true(batch());
    assert_string_equal(fake_changes(fake), "6h=hint(a); 6m=also(d),tone(b); 6l=v,memo(c)");
    assert_string_equal(fake_changes(fake), "");
}

/* T80, T81, T108: a variable that comes last in the tree is put at the end of an order that holds; it must be the order
 * that making it anew gives, whatever was created between two passes. */
static void t80_t108_created_variables_join_the_order(void **state)
{
    (void)state;
    static const char *const props[] = {NULL,       NULL,           NULL, NULL, "priority=low", "priority=high",
                                        "access=w", "access=action"};
    char joined[256];
    struct fake_value *plain = fake_object(fake, "");
    fake_set(app, "self", plain);
    fake_set(plain, "self", plain);
    uint32_t random = 1;
    int64_t top = 1;
    for (int round = 0; round < 300; round++) {
        if (round == 100 || round == 200) /* what is below an earlier root is not last any more */
            top = ls_var_id(fake_root(fake, app));
        for (int64_t id = 100; id < 118; id++) {
            random = random * 1664525u + 1013904223u;
            /* Mostly below the variable before, as a page does it. */
            int64_t parent = id == 100      ? (round % 3 ? top : 1)
                             : random >> 29 ? id - 1 - (random >> 27) % 2
                                            : 100 + (random >> 20) % (id - 100);
            if (!ls_tracker_find(fake->tracker, parent)) parent = 1;
            create(id, parent, "self", props[(random >> 12) % (round % 2 ? 8 : 4)]);
            if ((random >> 8) % 16 == 0) ls_var_set_active(fake->tracker, fake_var(fake, id), false);
            if ((random >> 4) % 4 == 0) batch();
        }
        snprintf(joined, sizeof joined, "%s", order());
        ls_var_set_active(fake->tracker, fake_var(fake, 1), false);
        ls_var_set_active(fake->tracker, fake_var(fake, 1), true); /* makes the order anew */
        assert_string_equal(joined, order());
        for (int64_t id = 100; id < 118; id++)
            ls_tracker_destroy(fake->tracker, id, NULL, NULL);
    }
}

/* T88. */
static void t88_tree_order_inside_a_class(void **state)
{
    (void)state;
    nest();
    create(9, 1, "ships", NULL);
    create(3, 9, "first", NULL);
    create(2, 3, "name", NULL);
    create(8, 1, "label", NULL);
    struct ls_var *root = fake_root(fake, fake_text(fake, "r"));
    fake_changes(fake);
    for (int i = 0; i < 5; i++) {
        static const int64_t ids[] = {8, 2, 3, 9, 1};
        fake_prop(fake, ids[i], "x", "1", NULL);
    }
    fake_prop(fake, ls_var_id(root), "x", "1", NULL);
    const struct ls_change *list;
    int count = ls_tracker_changes(fake->tracker, &list);
    static const int64_t expected[] = {1, 9, 3, 2, 8};
    size_t at = 0;
    for (int i = 0; i < count && at < 5; i++)
        if (list[i].prop_count) assert_int_equal(ls_var_id(list[i].var), expected[at++]);
    assert_int_equal(at, 5);
}

static void t14_t15_climbing_and_standard_variables(void **state)
{
    (void)state;
    struct fake_value *ship = nest();
    struct ls_fault fault;
    create(2, 1, "ships", NULL);
    create(3, 2, "first", NULL);
    create(4, 3, "..first.name", NULL);
    create(5, 3, "....label", NULL);
    create(6, 3, "......label", NULL);
    create(7, 3, "@app.label", NULL);
    create(8, 3, "@ship.name", NULL);
    assert_string_equal(fake_value_json(fake, 4), "\"Ada\"");
    assert_string_equal(fake_value_json(fake, 5), "\"north\"");
    assert_string_equal(fake_value_json(fake, 6), "\"north\"");
    assert_string_equal(fake_value_json(fake, 7), "\"north\"");
    assert_string_equal(fault_text(ls_var_fault(fake_var(fake, 8))->kind), "path-error");
    assert_int_equal(ls_tracker_name(fake->tracker, "@ship", 3, &fault), 0); /* T106 */
    assert_true(batch());
    assert_string_equal(fake_value_json(fake, 8), "\"Ada\"");
    /* one batch is enough although 8 is checked before what it starts at changes */
    create(9, 1, "@ship.name", "priority=high");
    struct fake_value *other = fake_object(fake, "Ship");
    fake_set(other, "name", fake_text(fake, "Eve"));
    fake_set(fake_get(app, "ships"), "first", other);
    assert_true(batch());
    assert_string_equal(fake_value_json(fake, 9), "\"Eve\"");
    assert_int_equal(ls_tracker_name(fake->tracker, "@app", 3, &fault), -1);
    assert_int_equal(ls_tracker_name(fake->tracker, "ship", 3, &fault), -1);
    assert_int_equal(ls_tracker_name(fake->tracker, "@none", 99, &fault), -1);
    assert_int_equal(ls_tracker_name(fake->tracker, "@ship", 0, &fault), 0);
    (void)ship;
}

static void t43_t82_unreported_values_are_reported(void **state)
{
    (void)state;
    fake_set(app, "a", fake_text(fake, "A"));
    create(2, 1, "a", NULL);
    create(3, 1, "none", NULL);
    create(4, 1, "none", NULL);
    assert_false(batch());
    ls_var_unreport(fake_var(fake, 2), false);
    ls_var_unreport(fake_var(fake, 3), false);
    ls_var_unreport(fake_var(fake, 4), true);
    assert_true(batch());
    assert_string_equal(fake_changes(fake), "2m=v; 4m=v");
    assert_int_equal(ls_var_change_count(fake_var(fake, 2)), 1); /* T96a */
    assert_false(batch());
}

static void t91_p75_what_is_watched_below_goes_on(void **state)
{
    (void)state;
    struct fake_value *ship = nest();
    create(2, 1, "ships", NULL);
    create(3, 2, "first", NULL);
    create(4, 3, "name", NULL);
    create(5, 3, "name", NULL);
    for (int64_t id = 2; id <= 4; id++)
        ls_tracker_watch(fake->tracker, fake_var(fake, id), 1);
    assert_string_equal(order(), "2 3 4 5");
    ls_tracker_watch(fake->tracker, fake_var(fake, 2), -1);
    assert_false(ls_var_active(fake_var(fake, 2)));
    assert_string_equal(order(), "2 3 4"); /* 5 is unwatched below an inactive one; 2 is on the way to 3 and 4 */
    ls_tracker_watch(fake->tracker, fake_var(fake, 4), -1);
    ls_tracker_watch(fake->tracker, fake_var(fake, 3), -1);
    assert_string_equal(order(), "");
    fake_set(ship, "name", fake_text(fake, "Later"));
    ls_tracker_watch(fake->tracker, fake_var(fake, 5), 1);
    assert_string_equal(order(), "2 3 5");
    assert_string_equal(fake_value_json(fake, 5), "\"Later\"");
    assert_string_equal(fake_value_json(fake, 4), "\"Ada\"");
    ls_tracker_watch(fake->tracker, fake_var(fake, 4), 1);
    assert_true(batch()); /* changes meanwhile show up in the first pass */
    assert_string_equal(fake_value_json(fake, 4), "\"Later\"");
    ls_tracker_destroy(fake->tracker, 3, NULL, NULL);
    assert_string_equal(order(), "");
}

static void t73_t84_wrappers_absorb_and_may_ask_for_a_repeat(void **state)
{
    (void)state;
    fake_set(app, "a", fake_text(fake, "A"));
    create(2, 1, "a?wrapper=Box", NULL);
    create(3, 2, "value", NULL);
    fake_changes(fake);
    assert_string_equal(ls_var_property(fake_var(fake, 2), "type"), "Box");
    fake->repeat_on_keep = true;
    fake_set(app, "a", fake_text(fake, "B"));
    fake->enters = 0;
    assert_true(batch());
    assert_int_equal(fake->keeps, 1);
    assert_int_equal(fake->enters, 2);
    assert_string_equal(fake_changes(fake), "3m=v");
    fake->enters = 0;
    assert_false(batch());
    assert_int_equal(fake->enters, 1);
    fake_set(app, "a", NULL);
    assert_true(batch());
    assert_int_equal(fake->unwraps, 1); /* T70 */
    assert_string_equal(fake_value_json(fake, 2), "null");
}

static struct fake_value *counting_method(struct fake *f, struct fake_value *self, struct fake_value *arg)
{
    (void)self, (void)arg;
    ls_tracker_request_repeat(f->tracker);
    assert_false(ls_tracker_detect(f->tracker)); /* not from inside one */
    return fake_int(f, (int)f->calls);
}

static void t84_at_most_four_passes_a_batch(void **state)
{
    (void)state;
    struct fake_value *method = fake_new(fake, FAKE_METHOD);
    method->call = counting_method;
    fake_set(app, "count", method);
    create(2, 1, "count()", "access=r");
    fake->enters = 0;
    assert_true(batch());
    assert_int_equal(fake->enters, 4);
    assert_string_equal(fake_changes(fake), "2m=v"); /* T85 */
    assert_false(ls_tracker_detect_again(fake->tracker));
    assert_int_equal(fake->enters, 4);
    assert_int_equal(ls_tracker_change_count(fake->tracker), 1); /* T96 */
}

/* T83: a property change does not make a pass return true. */
static void t96_the_global_count_moves_once_a_batch(void **state)
{
    (void)state;
    fake_set(app, "a", fake_int(fake, 1));
    create(2, 1, "a", NULL);
    batch();
    assert_int_equal(ls_tracker_change_count(fake->tracker), 0);
    fake_prop(fake, 2, "x", "1", NULL);
    assert_false(batch());
    ls_tracker_detect_again(fake->tracker);
    assert_int_equal(ls_tracker_change_count(fake->tracker), 1);
    fake_changes(fake);
    fake_set(app, "a", fake_int(fake, 2));
    batch();
    assert_int_equal(ls_tracker_change_count(fake->tracker), 2);
}

static void p83_p103_news_of_faults_come_once(void **state)
{
    (void)state;
    int64_t ids[4];
    fake_set(app, "a", fake_text(fake, "text"));
    create(2, 1, "a.b", NULL);
    create(3, 1, "none.x", NULL);
    assert_int_equal(ls_tracker_fault_news(fake->tracker, ids, 4), 2);
    assert_int_equal(ls_tracker_fault_news(fake->tracker, ids, 4), 0);
    batch();
    assert_int_equal(ls_tracker_fault_news(fake->tracker, ids, 4), 0); /* the same text */
    struct fake_value *object = fake_object(fake, "");
    fake_set(object, "b", fake_int(fake, 1));
    fake_set(app, "a", object);
    batch();
    assert_int_equal(ls_tracker_fault_news(fake->tracker, ids, 4), 1); /* it went */
    assert_int_equal(ids[0], 2);
    assert_null(ls_var_fault(fake_var(fake, 2)));
    /* a failed write is answered by itself */
    struct ls_fault fault;
    assert_int_equal(ls_tracker_write(fake->tracker, fake_var(fake, 2), "{\"obj\":99}", 10, &fault), -1);
    assert_int_equal(ls_tracker_fault_news(fake->tracker, ids, 4), 0);
    batch();
    assert_int_equal(ls_tracker_fault_news(fake->tracker, ids, 4), 0);
}

static void t100_a_variable_that_is_not_checked_loses_its_fault(void **state)
{
    (void)state;
    fake_set(app, "a", fake_text(fake, "text"));
    create(2, 1, "a.b", NULL);
    ls_var_set_active(fake->tracker, fake_var(fake, 2), false);
    batch();
    assert_null(ls_var_fault(fake_var(fake, 2)));
}

/* T101, T102: faults stay visible on the variable, and the pass goes on. */
static void t51_t54_nulls_and_errors(void **state)
{
    (void)state;
    struct fake_value *object = fake_object(fake, "");
    fake_set(object, "b", fake_int(fake, 1));
    fake_set(app, "a", object);
    create(2, 1, "a.b", NULL);
    fake_set(app, "a", fake_text(fake, "text"));
    assert_false(batch());
    assert_string_equal(fake_value_json(fake, 2), "1"); /* T54 */
    fake_set(app, "a", NULL);
    assert_true(batch());
    assert_string_equal(fake_value_json(fake, 2), "null"); /* T51 */
    assert_string_equal(fault_text(ls_var_fault(fake_var(fake, 2))->kind), "nil-path");
}

static struct fake_value *diag_method(struct fake *f, struct fake_value *self, struct fake_value *arg)
{
    (void)self, (void)arg;
    for (int i = 0; i < 120; i++)
        ls_tracker_diag(f->tracker, 1, "note", 4);
    ls_tracker_diag(f->tracker, 2, "too deep", 8);
    struct ls_fault fault;
    if (!ls_tracker_find(f->tracker, 50)) /* T45: another computation inside this one keeps the mark */
        fake_create(f, 50, 1, "other", NULL, &fault);
    assert_int_equal(ls_tracker_computing(f->tracker), 2);
    return fake_int(f, 1);
}

static void t45_t97_diagnostics_belong_to_the_computed_variable(void **state)
{
    (void)state;
    struct fake_value *method = fake_new(fake, FAKE_METHOD);
    method->call = diag_method;
    fake_set(app, "m", method);
    ls_tracker_set_diag_level(fake->tracker, 1);
    create(2, 1, "m()", "access=r");
    assert_int_equal(ls_var_diag_count(fake_var(fake, 2)), 100);
    assert_string_equal(ls_var_diag_at(fake_var(fake, 2), 99), "note");
    ls_tracker_set_diag_level(fake->tracker, 0);
    batch();
    assert_int_equal(ls_var_diag_count(fake_var(fake, 2)), 0);
    assert_int_equal(ls_tracker_computing(fake->tracker), 0);
    ls_tracker_diag(fake->tracker, 0, "x", 1);
}

static void t92_a_supplied_type_stays_on_primitives(void **state)
{
    (void)state;
    fake_set(app, "a", fake_int(fake, 1));
    create(2, 1, "a", "type=Mine");
    fake_set(app, "a", fake_int(fake, 2));
    batch();
    assert_string_equal(ls_var_property(fake_var(fake, 2), "type"), "Mine");
    fake_set(app, "a", fake_object(fake, "Theirs"));
    batch();
    assert_string_equal(ls_var_property(fake_var(fake, 2), "type"), "Theirs");
    fake_set(app, "a", fake_int(fake, 3));
    batch();
    assert_null(ls_var_property(fake_var(fake, 2), "type"));
}

static void tx32_a_shared_method_is_called_once_a_pass(void **state)
{
    (void)state;
    struct fake_value *method = fake_new(fake, FAKE_METHOD);
    method->call = diag_method;
    method->call = counting_method;
    fake_set(app, "count", method);
    struct fake_value *plain = fake_object(fake, "");
    fake_set(app, "o", plain);
    create(2, 1, "count()", "access=r");
    create(3, 1, "count()", "access=r");
    create(4, 1, "count()", "access=r");
    fake->calls = 0;
    fake->enters = 0;
    batch();
    assert_int_equal(fake->calls, fake->enters);
    assert_string_equal(fake_value_json(fake, 2), fake_value_json(fake, 4));
}

/* T11, T12, T13, T19: the grammar. */
static void t19_paths_are_shared_and_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum ls_fault_kind kind;
    } bad[] = {
        {"a..b", LS_FAULT_BAD_PATH},       {"a.", LS_FAULT_BAD_PATH},
        {".a", LS_FAULT_BAD_PATH},         {"()", LS_FAULT_BAD_PATH},
        {"2147483647", LS_FAULT_BAD_PATH}, {"99999999999999999999", LS_FAULT_BAD_PATH},
        {"@", LS_FAULT_BAD_PATH},          {"@.x", LS_FAULT_BAD_PATH},
        {"@x.", LS_FAULT_BAD_PATH},        {"a(_).b", LS_FAULT_BAD_SETTER_CALL},
    };
    struct ls_fault fault;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(ls_path_parse(bad[i].path, strlen(bad[i].path), NULL, &fault));
        assert_int_equal(fault.kind, bad[i].kind);
    }
    static const struct {
        const char *path;
        uint32_t climb, count;
        enum ls_step_kind first;
    } good[] = {
        {"007", 0, 1, LS_STEP_FIELD},  {"0", 0, 1, LS_STEP_INDEX},        {"2147483646", 0, 1, LS_STEP_INDEX},
        {"-1", 0, 1, LS_STEP_FIELD},   {"name()", 0, 1, LS_STEP_CALL},    {"set(_)", 0, 1, LS_STEP_SETTER},
        {"..", 1, 0, LS_STEP_FIELD},   {"...x", 1, 1, LS_STEP_FIELD},     {".....x", 2, 1, LS_STEP_FIELD},
        {"@app", 0, 0, LS_STEP_FIELD}, {"@app.0.x", 0, 2, LS_STEP_INDEX}, {"\xC3\xA4.b()", 0, 2, LS_STEP_FIELD},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct ls_path *path = ls_path_parse(good[i].path, strlen(good[i].path), NULL, &fault);
        assert_non_null(path);
        assert_int_equal(path->climb, good[i].climb);
        assert_int_equal(path->count, good[i].count);
        if (path->count) assert_int_equal(path->steps[0].kind, good[i].first);
        ls_free(path);
    }
}

static void each_and_children_go_in_order(void **state)
{
    (void)state;
    nest();
    create(5, 1, "label", NULL);
    create(3, 1, "ships", NULL);
    create(4, 5, "x", NULL);
    assert_int_equal(ls_var_child(fake_var(fake, 1), 0), 5);
    assert_int_equal(ls_var_child(fake_var(fake, 1), 1), 3);
    assert_int_equal(ls_var_child(fake_var(fake, 1), 0), 5);
    assert_int_equal(ls_var_parent(fake_var(fake, 4)), 5);
}

/* L5: a pass looks every thousand variables whether it is to end; the next batch finds what it has left. */
static void l5_a_pass_that_is_stopped_is_caught_up_with(void **state)
{
    (void)state;
    const struct ls_change *list;
    fake_set(app, "a", fake_int(fake, 1));
    for (int64_t id = 2; id < 2002; id++)
        create(id, 1, "a", NULL);
    batch();
    ls_tracker_changes(fake->tracker, &list);
    fake_set(app, "a", fake_int(fake, 2));
    fake->stopped = true;
    fake->checks = 0;
    assert_true(batch());
    assert_int_equal(fake->checks, 1024);
    assert_false(ls_tracker_detect_again(fake->tracker));
    assert_int_equal(fake->checks, 1024);
    assert_int_equal(ls_tracker_changes(fake->tracker, &list), 1023); /* variable 1 is one of those checked */
    assert_true(batch());
    assert_int_equal(ls_tracker_changes(fake->tracker, &list), 2000 - 1023);
}

/* Every n-th allocation fails in turn: the tracker stays whole, and slots are given back (teardown counts them). */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    nest();
    bool done = false;
    for (long n = 1; !done; n++) {
        struct ls_fault fault;
        const struct ls_change *list;
        int64_t ids[4];
        ls_alloc_fail_at(n);
        fake_create(fake, 2, 1, "ships?note=1&wrapper=Box", "a=b", &fault);
        fake_create(fake, 3, 1, "ships.none.x", NULL, &fault);
        fake_create(fake, 4, 1, "label", NULL, &fault);
        if (ls_tracker_find(fake->tracker, 4)) fake_prop(fake, 4, "path", "label?q=1", &fault);
        batch();
        ls_tracker_changes(fake->tracker, &list);
        ls_tracker_fault_news(fake->tracker, ids, 4);
        done = ls_alloc_fail_at(0) < n;
        for (int64_t id = 2; done && id <= 4; id++)
            assert_non_null(ls_tracker_find(fake->tracker, id));
        for (int64_t id = 2; id <= 4; id++)
            ls_tracker_destroy(fake->tracker, id, NULL, NULL);
        assert_int_equal(ls_tracker_count(fake->tracker), 1);
    }
    create(4, 1, "label", NULL);
    assert_string_equal(fake_value_json(fake, 4), "\"north\"");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(e2_order_of_checking_and_of_reporting),
        T(e3_split_entries_of_one_variable),
        T(t80_t108_created_variables_join_the_order),
        T(t88_tree_order_inside_a_class),
        T(t14_t15_climbing_and_standard_variables),
        T(t43_t82_unreported_values_are_reported),
        T(t91_p75_what_is_watched_below_goes_on),
        T(t73_t84_wrappers_absorb_and_may_ask_for_a_repeat),
        T(t84_at_most_four_passes_a_batch),
        T(t96_the_global_count_moves_once_a_batch),
        T(p83_p103_news_of_faults_come_once),
        T(t100_a_variable_that_is_not_checked_loses_its_fault),
        T(t51_t54_nulls_and_errors),
        T(t45_t97_diagnostics_belong_to_the_computed_variable),
        T(t92_a_supplied_type_stays_on_primitives),
        T(tx32_a_shared_method_is_called_once_a_pass),
        T(t19_paths_are_shared_and_bounded),
        T(each_and_children_go_in_order),
        T(l5_a_pass_that_is_stopped_is_caught_up_with),
        T(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("tracker detection", tests, NULL, NULL);
}
