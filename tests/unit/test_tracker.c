/* Unit tests of lib/tracker: ids, properties, access, creating, writing, destroying, with a resolver that knows no Lua.
 * */
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

static struct fake_value *stored, *last_arg;
static bool got_arg;

static struct fake_value *load_method(struct fake *f, struct fake_value *self, struct fake_value *arg)
{
    (void)self;
    if (arg) {
        got_arg = true;
        last_arg = arg;
        stored = arg->kind == FAKE_NULL ? NULL : arg;
    }
    return stored ? stored : fake_new(f, FAKE_NULL);
}

static struct fake_value *failing_method(struct fake *f, struct fake_value *self, struct fake_value *arg)
{
    (void)f, (void)self, (void)arg;
    return NULL;
}

static struct fake_value *method(struct fake_value *(*call)(struct fake *, struct fake_value *, struct fake_value *))
{
    struct fake_value *value = fake_new(fake, FAKE_METHOD);
    value->call = call;
    return value;
}

/* --- ids --- */

static void t8_one_counter_serves_roots_and_objects(void **state)
{
    (void)state;
    assert_int_equal(ls_var_id(fake_var(fake, 1)), 1);
    assert_string_equal(fake_value_json(fake, 1), "{\"obj\":2}");
    struct ls_var *second = fake_root(fake, fake_object(fake, ""));
    assert_int_equal(ls_var_id(second), 3);
    assert_string_equal(fake_value_json(fake, 3), "{\"obj\":4}");
    assert_string_equal(ls_var_property(fake_var(fake, 1), "type"), "App");
    assert_false(ls_tracker_detect(fake->tracker));
    assert_string_equal(fake_changes(fake), ""); /* T44 */
}

static void t9_the_counter_skips_ids_in_use(void **state)
{
    (void)state;
    assert_int_equal(fake_create(fake, 3, 1, "a", NULL, NULL), 0);
    assert_int_equal(fake_create(fake, 4, 1, "b", NULL, NULL), 0);
    assert_int_equal(ls_var_id(fake_root(fake, NULL)), 5);
    assert_int_equal(fake_create(fake, 6, 1, "b", NULL, NULL), 0);
    assert_int_equal(ls_tracker_next_id(fake->tracker), 6); /* object ids may coincide with variable ids (T8) */
}

static void t10_lua_children_count_downwards_and_never_return(void **state)
{
    (void)state;
    assert_int_equal(fake_create(fake, 0, 1, "a", NULL, NULL), 0);
    assert_int_equal(fake_create(fake, 0, 1, "b", NULL, NULL), 0);
    assert_non_null(ls_tracker_find(fake->tracker, -2));
    ls_tracker_destroy(fake->tracker, -2, NULL, NULL);
    assert_int_equal(fake_create(fake, 0, 1, "b", NULL, NULL), 0);
    assert_null(ls_tracker_find(fake->tracker, -2));
    assert_non_null(ls_tracker_find(fake->tracker, -3));
    /* client ids may come back */
    assert_int_equal(fake_create(fake, 9, 1, "a", NULL, NULL), 0);
    ls_tracker_destroy(fake->tracker, 9, NULL, NULL);
    assert_int_equal(fake_create(fake, 9, 1, "a", NULL, NULL), 0);
}

/* --- the model --- */

static void t1_trackers_share_nothing(void **state)
{
    (void)state;
    struct fake *other = fake_open();
    struct ls_var *root = fake_root(other, fake_object(other, "Other"));
    assert_int_equal(ls_var_id(root), 1);
    assert_string_equal(fake_value_json(other, 1), "{\"obj\":2}"); /* its own counter and registry */
    assert_int_equal(fake_create(other, 5, 1, "a", NULL, NULL), 0);
    ls_tracker_set_diag_level(other->tracker, 2);
    fake_prop(other, 5, "tone", "x", NULL);
    ls_tracker_detect(other->tracker);
    assert_null(ls_tracker_find(fake->tracker, 5));
    assert_int_equal(ls_tracker_count(fake->tracker), 1);
    assert_int_equal(ls_tracker_diag_level(fake->tracker), 0);
    assert_int_equal(ls_tracker_change_count(other->tracker), 1);
    assert_int_equal(ls_tracker_change_count(fake->tracker), 0);
    assert_string_equal(fake_changes(fake), "");
    assert_string_equal(fake_changes(other), "5m=tone(x)");
    fake_close(other);
}

static void t2_what_a_new_variable_is(void **state)
{
    (void)state;
    assert_int_equal(fake_create(fake, 5, 1, NULL, NULL, NULL), 0);
    assert_int_equal(fake_create(fake, 3, 1, "none", "b:low=2;a=1", NULL), 0);
    struct ls_var *var = fake_var(fake, 3);
    const char *name, *value;
    enum ls_priority priority;
    assert_int_equal(ls_var_id(var), 3);
    assert_int_equal(ls_var_parent(var), 1);
    assert_int_equal(ls_var_parent(fake_var(fake, 1)), 0);
    assert_int_equal(ls_var_child(fake_var(fake, 1), 0), 5);
    assert_int_equal(ls_var_child(fake_var(fake, 1), 1), 3);
    assert_int_equal(ls_var_child_count(var), 0);
    assert_true(ls_var_active(var));
    assert_int_equal(ls_var_priority(var), LS_MEDIUM);
    assert_int_equal(ls_var_property_count(var), 3);
    ls_var_property_at(var, 0, &name, &value, &priority);
    assert_string_equal(name, "b");
    assert_string_equal(value, "2");
    assert_int_equal(priority, LS_LOW);
    assert_true(ls_var_has_path(var));
    assert_int_equal(ls_var_value(var), 0);
    assert_int_equal(ls_var_wrapper(var), 0);
    assert_string_equal(fake_value_json(fake, 3), "null");
    assert_null(ls_var_fault(var));
    assert_int_equal(ls_var_change_count(var), 0);
    assert_int_equal(ls_var_diag_count(var), 0);
    assert_int_equal(ls_var_compute_ns(fake_var(fake, 1)), 0);
}

/* T46: a root reads as what is stored in it. */
static void t3_roots_store_and_children_compute(void **state)
{
    (void)state;
    struct fake_value *one = fake_object(fake, ""), *two = fake_object(fake, "");
    fake_set(one, "x", fake_int(fake, 1));
    fake_set(two, "x", fake_int(fake, 2));
    fake_set(app, "o", one);
    assert_int_equal(fake_create(fake, 2, 1, "o", NULL, NULL), 0);
    assert_int_equal(fake_create(fake, 3, 2, "x", NULL, NULL), 0);
    assert_string_equal(fake_value_json(fake, 3), "1");
    fake_set(app, "o", two); /* the parent leads elsewhere: so does the child */
    ls_tracker_detect(fake->tracker);
    assert_string_equal(fake_value_json(fake, 3), "2");
    struct fake_value *next = fake_object(fake, "");
    fake_set(next, "o", one);
    assert_int_equal(ls_tracker_set_value(fake->tracker, fake_var(fake, 1), fake_slot(fake, next), NULL), 0);
    ls_tracker_detect(fake->tracker);
    assert_string_equal(fake_value_json(fake, 3), "1");
}

/* --- properties --- */

static void t16_t17_a_query_becomes_properties_and_wins(void **state)
{
    (void)state;
    fake_set(app, "a", fake_text(fake, "x"));
    assert_int_equal(fake_create(fake, 2, 1, "a?tone=b%20c%2&bare&=none&&hint:high=q=r", "tone=old;kept=yes", NULL), 0);
    struct ls_var *var = fake_var(fake, 2);
    assert_string_equal(ls_var_property(var, "path"), "a");
    assert_string_equal(ls_var_property(var, "tone"), "b c%2");
    assert_string_equal(ls_var_property(var, "bare"), "true");
    assert_string_equal(ls_var_property(var, "hint"), "q=r");
    assert_string_equal(ls_var_property(var, "kept"), "yes");
    assert_int_equal(ls_var_property_count(var), 5);
    assert_string_equal(fake_changes(fake), ""); /* T26 */
}

static void t17_a_query_alone_has_no_steps(void **state)
{
    (void)state;
    assert_int_equal(fake_create(fake, 2, 1, "?wrapper=Box", NULL, NULL), 0);
    assert_false(ls_var_has_path(fake_var(fake, 2)));
    assert_string_equal(ls_var_property(fake_var(fake, 2), "wrapper"), "Box");
    assert_string_equal(ls_var_base_json(fake->tracker, fake_var(fake, 2), NULL), "{\"obj\":2}");
}

static void t18_the_path_argument_wins_unless_empty(void **state)
{
    (void)state;
    fake_set(app, "a", fake_text(fake, "A"));
    fake_set(app, "b", fake_text(fake, "B"));
    assert_int_equal(fake_create(fake, 2, 1, "a", "path=b", NULL), 0);
    assert_int_equal(fake_create(fake, 3, 1, "", "path=b", NULL), 0);
    assert_string_equal(fake_value_json(fake, 2), "\"A\"");
    assert_string_equal(ls_var_property(fake_var(fake, 2), "path"), "a");
    assert_string_equal(fake_value_json(fake, 3), "\"B\"");
}

/* Names end with a NUL inside the tracker: a path that holds one would lead to a shorter name than the page has sent.
 * */
static void t12_t15_a_nul_byte_is_in_no_path(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
    } paths[] = {{"a\0b", 3}, {"\0", 1}, {"a.b\0()", 6}, {"@name\0x", 7}, {"@\0", 2}, {"..\0", 3}};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct ls_fault fault = {0};
        assert_null(ls_path_parse(paths[i].text, paths[i].len, NULL, &fault));
        assert_int_equal(fault.kind, LS_FAULT_BAD_PATH);
    }
}

static void t20_t22_t24_suffixes_and_equal_sets(void **state)
{
    (void)state;
    assert_int_equal(fake_create(fake, 2, 1, "a", "label:high=x;a:zzz=1;p:q:LOW=2", NULL), 0);
    struct ls_var *var = fake_var(fake, 2);
    assert_string_equal(ls_var_property(var, "label"), "x");
    assert_string_equal(ls_var_property(var, "a:zzz"), "1");
    assert_string_equal(ls_var_property(var, "p:q"), "2");
    assert_int_equal(fake_prop(fake, 2, "label", "x", NULL), 0);
    assert_int_equal(fake_prop(fake, 2, "label:HIGH", "x", NULL), 0);
    assert_string_equal(fake_changes(fake), "");
    assert_int_equal(fake_prop(fake, 2, "label", "y", NULL), 1); /* keeps its priority */
    assert_string_equal(fake_changes(fake), "2h=label(y)");
    assert_int_equal(fake_prop(fake, 2, "label:med", "y", NULL), 1);
    assert_string_equal(fake_changes(fake), "2m=label(y)");
    assert_int_equal(fake_prop(fake, 2, "label:low", "z", NULL), 1);
    assert_int_equal(fake_prop(fake, 2, "label", "", NULL), 1); /* T20, T90 */
    assert_string_equal(fake_changes(fake), "2l=label()");
    assert_null(ls_var_property(var, "label"));
    assert_int_equal(fake_prop(fake, 2, "label", "", NULL), 0);
    assert_int_equal(fake_prop(fake, 2, "label", "n", NULL), 1); /* the priority went with it */
    assert_string_equal(fake_changes(fake), "2m=label(n)");
}

static void t23_path_priority_and_wrapper_take_effect(void **state)
{
    (void)state;
    fake_set(app, "a", fake_text(fake, "A"));
    fake_set(app, "b", fake_text(fake, "B"));
    assert_int_equal(fake_create(fake, 2, 1, "a", NULL, NULL), 0);
    assert_int_equal(fake_prop(fake, 2, "path", "b?tone=dark", NULL), 1);
    assert_string_equal(ls_var_property(fake_var(fake, 2), "path"), "b");
    assert_string_equal(ls_var_property(fake_var(fake, 2), "tone"), "dark");
    assert_int_equal(fake_prop(fake, 2, "priority", "HIGH", NULL), 1);
    assert_int_equal(ls_var_priority(fake_var(fake, 2)), LS_HIGH);
    assert_true(ls_tracker_detect(fake->tracker));
    assert_string_equal(fake_changes(fake), "2h=v; 2m=path(b),priority(HIGH),tone(dark)");
    assert_int_equal(fake_prop(fake, 2, "wrapper", "Box", NULL), 1);
    assert_string_equal(fake_changes(fake), "2h=v,type(Box); 2m=wrapper(Box)"); /* TX36 */
    assert_int_equal(fake_prop(fake, 2, "wrapper", "", NULL), 1);
    assert_int_equal(fake->unwraps, 1); /* T70 */
    assert_string_equal(fake_value_json(fake, 2), "\"B\"");
}

static void t20_names_and_values_are_never_cut(void **state)
{
    (void)state;
    static const struct ls_prop cut[] = {{"to\0ne", "x", 5, 1},
                                         {"tone", "a\0b", 4, 3},
                                         {"\0", "x", 1, 1},
                                         {"", "x", 0, 1},
                                         {"path", "a\0b", 4, 3},
                                         {"path", "b?tone=a%00", 4, 11},
                                         {"path", "b?to%00ne=a", 4, 11},
                                         {"access", "r\0w", 6, 3},
                                         {"priority", "low\0", 8, 4}};
    assert_int_equal(fake_create(fake, 2, 1, "a", NULL, NULL), 0);
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        struct ls_fault fault = {0};
        assert_int_equal(ls_tracker_set_property(fake->tracker, fake_var(fake, 2), &cut[i], &fault), -1);
        assert_int_equal(fault.kind, LS_FAULT_BAD_MESSAGE);
        struct ls_prop props[] = {{"path", "a", 4, 1}, cut[i]};
        struct ls_var_spec spec = {.id = 3, .parent = 1, .props = props, .prop_count = 2};
        fault = (struct ls_fault){0};
        assert_int_equal(ls_tracker_create(fake->tracker, &spec, NULL, &fault), -1);
        assert_int_equal(fault.kind, LS_FAULT_BAD_MESSAGE);
        assert_null(ls_tracker_find(fake->tracker, 3));
    }
    assert_int_equal(ls_var_property_count(fake_var(fake, 2)), 1);
    assert_string_equal(fake_changes(fake), "");
}

static void t27_what_cannot_be_read_is_silent_and_its_children_are_not(void **state)
{
    (void)state;
    struct fake_value *o = fake_object(fake, "O");
    fake_set(app, "o", o);
    fake_set(o, "x", fake_text(fake, "X"));
    assert_int_equal(fake_create(fake, 2, 1, "o", "access=w", NULL), 0);
    assert_int_equal(fake_create(fake, 3, 2, "x", NULL, NULL), 0);
    ls_var_unreport(fake_var(fake, 3), true);
    assert_true(ls_tracker_detect(fake->tracker));
    assert_string_equal(fake_changes(fake), "3m=v");
    assert_string_equal(fake_value_json(fake, 3), "\"X\"");
    assert_string_equal(ls_var_property(fake_var(fake, 2), "type"), "O"); /* known, and told to nobody */
    fake_set(o, "x", fake_text(fake, "Y"));
    assert_true(ls_tracker_detect(fake->tracker));
    assert_string_equal(fake_changes(fake), "3m=v");
    assert_int_equal(ls_tracker_write(fake->tracker, fake_var(fake, 2), "null", 4, NULL),
                     0); /* its type goes, in silence too */
    ls_tracker_detect(fake->tracker);
    assert_string_equal(fake_changes(fake), "3m=v");
    assert_int_equal(fake_prop(fake, 2, "wrapper", "Box", NULL), 1);
    assert_int_equal(ls_tracker_write(fake->tracker, fake_var(fake, 2), "7", 1, NULL), 0);
    assert_int_equal(
        ls_tracker_put_property(fake->tracker, fake_var(fake, 2), "fallbackNamespace", "list-item", LS_HIGH), 1);
    ls_tracker_detect(fake->tracker);
    assert_string_equal(fake_changes(fake), "2m=wrapper(Box)"); /* the echo of what was set (P88) */
    /* Whoever may read it from now on is told what there is. */
    assert_int_equal(fake_prop(fake, 2, "access", "r", NULL), 1);
    assert_true(ls_tracker_detect(fake->tracker));
    assert_string_equal(fake_changes(fake), "2h=fallbackNamespace(list-item); 2m=v,access(r),type(Box)");
    assert_int_equal(fake_prop(fake, 2, "access", "rw", NULL), 1);
    assert_false(ls_tracker_detect(fake->tracker)); /* it was told */
    assert_string_equal(fake_changes(fake), "2m=access(rw)");
}

static void t25_invalid_path_or_access_changes_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        enum ls_fault_kind kind;
    } cases[] = {
        {"path", "a..b", LS_FAULT_BAD_PATH},
        {"path", "set(_).x", LS_FAULT_BAD_SETTER_CALL},
        {"path", "set(_)", LS_FAULT_BAD_ACCESS},
        {"path", "..a", LS_FAULT_BAD_PATH},
        {"access", "read", LS_FAULT_BAD_ACCESS},
        {"access", "RW", LS_FAULT_BAD_ACCESS},
        {"access", "averylongwordhere", LS_FAULT_BAD_ACCESS},
        {"path", "a?access=x", LS_FAULT_BAD_ACCESS},
        {"path", "get()?access=w", LS_FAULT_BAD_ACCESS},
    };
    fake_set(app, "a", fake_text(fake, "A"));
    assert_int_equal(fake_create(fake, 2, 1, "a", "access=r", NULL), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ls_fault fault;
        assert_int_equal(fake_prop(fake, 2, cases[i].name, cases[i].value, &fault), -1);
        assert_string_equal(fault_text(fault.kind), fault_text(cases[i].kind));
        assert_string_equal(ls_var_property(fake_var(fake, 2), "path"), "a");
        assert_string_equal(ls_var_property(fake_var(fake, 2), "access"), "r");
        assert_string_equal(fake_changes(fake), "");
    }
}

/* --- access and creating --- */

/* T27, T28. */
static void t28_last_step_and_access_mode(void **state)
{
    (void)state;
    static const char *const modes[] = {"rw", "r", "w", "action"};
    static const struct {
        const char *path;
        bool allowed[4];
    } cases[] = {
        {"f", {true, true, true, true}},
        {"0", {true, true, true, true}},
        {"m()", {true, true, false, true}},
        {"m(_)", {false, false, true, true}},
    };
    fake_set(app, "m", method(load_method));
    for (size_t i = 0; i < 4; i++) {
        for (size_t mode = 0; mode < 4; mode++) {
            char props[32];
            struct ls_fault fault = {.kind = LS_FAULT_NONE};
            snprintf(props, sizeof props, "access=%s", modes[mode]);
            int rc = fake_create(fake, 20, 1, cases[i].path, props, &fault);
            assert_int_equal(rc, cases[i].allowed[mode] ? 0 : -1);
            if (rc) assert_string_equal(fault_text(fault.kind), "bad-access");
            ls_tracker_destroy(fake->tracker, 20, NULL, NULL);
        }
    }
    assert_int_equal(fake_create(fake, 20, 1, "f", "access=readwrite", NULL), -1);
}

static void t29_creating_never_calls_a_setter_or_an_action(void **state)
{
    (void)state;
    fake_set(app, "m", method(load_method));
    got_arg = false;
    fake->calls = 0;
    assert_int_equal(fake_create(fake, 2, 1, "m(_)", "access=w", NULL), 0);
    assert_int_equal(fake_create(fake, 3, 1, "m()", "access=action", NULL), 0);
    ls_tracker_detect(fake->tracker);
    assert_int_equal(fake->calls, 0);
    assert_string_equal(fake_value_json(fake, 2), "null");
}

static void t40_t41_a_failed_create_leaves_no_trace(void **state)
{
    (void)state;
    static const struct {
        int64_t id, parent;
        const char *path, *props;
        enum ls_fault_kind kind;
    } cases[] = {
        {1, 1, "a", NULL, LS_FAULT_ID_IN_USE},
        {7, 99, "a", NULL, LS_FAULT_BAD_PARENT},
        {7, 7, "a", NULL, LS_FAULT_BAD_PARENT},
        {7, 1, "a.", NULL, LS_FAULT_BAD_PATH},
        {7, 1, "x(_).y", "access=w", LS_FAULT_BAD_SETTER_CALL},
        {7, 1, "a", "access=q", LS_FAULT_BAD_ACCESS},
        {7, 1, "..a", NULL, LS_FAULT_BAD_PATH},
        {7, 1, "@", NULL, LS_FAULT_BAD_PATH},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ls_fault fault;
        assert_int_equal(fake_create(fake, cases[i].id, cases[i].parent, cases[i].path, cases[i].props, &fault), -1);
        assert_string_equal(fault_text(fault.kind), fault_text(cases[i].kind));
        assert_int_equal(ls_tracker_count(fake->tracker), 1);
        assert_int_equal(ls_var_child_count(fake_var(fake, 1)), 0);
    }
    assert_int_equal(ls_tracker_next_id(fake->tracker), 3);
}

static void t41_a_failing_method_leaves_the_variable_with_its_error(void **state)
{
    (void)state;
    fake_set(app, "bad", method(failing_method));
    assert_int_equal(fake_create(fake, 2, 1, "bad()", "access=r", NULL), 0);
    const struct ls_fault *fault = ls_var_fault(fake_var(fake, 2));
    assert_non_null(fault);
    assert_string_equal(ls_fault_code(fault->kind), "lua-error");
    assert_string_equal(fault->text, "method 'bad' failed");
}

static void t42_a_child_may_hold_its_own_value(void **state)
{
    (void)state;
    struct fake_value *own = fake_object(fake, "Own");
    fake_set(own, "x", fake_int(fake, 5));
    struct ls_var_spec spec = {.parent = 1, .has_value = true, .value = fake_slot(fake, own)};
    struct ls_var *var;
    assert_int_equal(ls_tracker_create(fake->tracker, &spec, &var, NULL), 0);
    assert_int_equal(ls_var_id(var), -1);
    assert_int_equal(fake_create(fake, 2, -1, "x", NULL, NULL), 0);
    assert_string_equal(fake_value_json(fake, 2), "5");
    spec.path = "x";
    spec.path_len = 1;
    struct ls_fault fault;
    assert_int_equal(ls_tracker_create(fake->tracker, &spec, NULL, &fault), -1);
    assert_int_equal(ls_tracker_count(fake->tracker), 3);
    spec.value = 0;
    ls_tracker_destroy(fake->tracker, -1, NULL, NULL);
    fake_free_slot(fake, 0);
}

static void t74_t75_create_makes_an_object_where_there_is_none(void **state)
{
    (void)state;
    struct fake_value *there = fake_object(fake, "There");
    fake_set(app, "there", there);
    assert_int_equal(fake_create(fake, 2, 1, "fresh?create=Made", NULL, NULL), 0);
    assert_non_null(fake_get(app, "fresh"));
    assert_string_equal(fake_get(app, "fresh")->type, "Made");
    assert_string_equal(ls_var_property(fake_var(fake, 2), "type"), "Made");
    ls_tracker_detect(fake->tracker);
    assert_string_equal(fake_changes(fake), "2m=v,type(Made)");
    assert_int_equal(fake_create(fake, 3, 1, "there?create=Made", NULL, NULL), 0);
    assert_ptr_equal(fake_get(app, "there"), there);
    assert_int_equal(fake_create(fake, 4, 1, "none?create=Unknown", NULL, NULL), 0);
    assert_string_equal(fake_value_json(fake, 4), "null");
    assert_null(ls_var_property(fake_var(fake, 4), "type"));
}

static void q2_limits_on_count_and_depth_are_named(void **state)
{
    (void)state;
    struct ls_fault fault;
    struct fake *small = fake_open();
    ls_tracker_free(small->tracker);
    struct ls_tracker_config config = {.resolver = {&fake_ops, small}, .max_variables = 2};
    small->tracker = ls_tracker_new(&config, NULL);
    struct ls_var_spec root = {.has_value = true};
    assert_int_equal(ls_tracker_create(small->tracker, &root, NULL, NULL), 0);
    assert_int_equal(ls_tracker_create(small->tracker, &root, NULL, NULL), 0);
    assert_int_equal(ls_tracker_create(small->tracker, &root, NULL, &fault), -1);
    assert_non_null(strstr(fault.text, "--max-variables"));
    fake_close(small);
    /* TX34: deep trees end in an error and need no C stack */
    int64_t id = 1;
    while (fake_create(fake, id + 1, id, "?x=1", NULL, &fault) == 0)
        id++;
    assert_int_equal(id, 1001);
    assert_string_equal(fault_text(fault.kind), "internal");
    ls_tracker_detect(fake->tracker);
    ls_tracker_destroy(fake->tracker, 2, NULL, NULL);
    assert_int_equal(ls_tracker_count(fake->tracker), 1);
}

/* --- writing --- */

static int write_json(int64_t id, const char *json, struct ls_fault *fault)
{
    return ls_tracker_write(fake->tracker, fake_var(fake, id), json, strlen(json), fault);
}

static void t57_t61_a_write_goes_through_and_is_not_echoed(void **state)
{
    (void)state;
    fake_set(app, "a", fake_text(fake, "north"));
    assert_int_equal(fake_create(fake, 2, 1, "a", NULL, NULL), 0);
    assert_int_equal(write_json(2, "\"south\"", NULL), 0);
    assert_string_equal(fake_get(app, "a")->text, "south");
    assert_string_equal(fake_value_json(fake, 2), "\"south\"");
    assert_false(ls_tracker_detect(fake->tracker));
    assert_string_equal(fake_changes(fake), "");
    fake_set(app, "a", fake_text(fake, "SOUTH"));
    assert_true(ls_tracker_detect(fake->tracker));
    assert_string_equal(fake_changes(fake), "2m=v");
    assert_int_equal(write_json(2, "null", NULL), 0); /* T60 */
    assert_null(fake_get(app, "a"));
}

static void t57_calls_get_their_argument_by_mode(void **state)
{
    (void)state;
    static const struct {
        const char *path, *access, *json;
        bool argument;
    } cases[] = {
        {"m(_)", "w", "9", true},
        {"m(_)", "action", "null", true},
        {"m()", "rw", "null", true},
        {"m()", "action", "9", false},
    };
    stored = NULL;
    fake_set(app, "m", method(load_method));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char props[32];
        snprintf(props, sizeof props, "access=%s", cases[i].access);
        assert_int_equal(fake_create(fake, 20, 1, cases[i].path, props, NULL), 0);
        got_arg = false;
        assert_int_equal(write_json(20, cases[i].json, NULL), 0);
        assert_int_equal(got_arg, cases[i].argument);
        ls_tracker_destroy(fake->tracker, 20, NULL, NULL);
    }
}

static void t30_t55_t58_a_refused_write_leaves_the_cache(void **state)
{
    (void)state;
    struct ls_fault fault;
    fake_set(app, "a", fake_text(fake, "A"));
    assert_int_equal(fake_create(fake, 2, 1, "a", "access=r", NULL), 0);
    assert_int_equal(write_json(2, "{\"obj\":99}", &fault), -1);
    assert_string_equal(fault_text(fault.kind), "bad-access");
    assert_int_equal(fake_create(fake, 3, 1, "captain.name", NULL, NULL), 0);
    assert_string_equal(fault_text(ls_var_fault(fake_var(fake, 3))->kind), "nil-path");
    assert_int_equal(write_json(3, "\"x\"", &fault), -1);
    assert_string_equal(fault_text(fault.kind), "nil-path");
    assert_string_equal(ls_fault_code(fault.kind), "path-failure");
    assert_string_equal(fake_value_json(fake, 3), "null");
    assert_int_equal(fake_create(fake, 4, 1, "a", NULL, NULL), 0);
    assert_int_equal(write_json(4, "{\"obj\":99}", &fault), -1);
    assert_string_equal(ls_fault_code(fault.kind), "not-found");
    assert_string_equal(fake_value_json(fake, 4), "\"A\"");
    /* TX24: the error of this batch's write survives its detection and goes with the next batch's */
    ls_tracker_detect(fake->tracker);
    assert_string_equal(fault_text(ls_var_fault(fake_var(fake, 4))->kind), "bad-reference");
    ls_tracker_begin_batch(fake->tracker);
    ls_tracker_detect(fake->tracker);
    assert_null(ls_var_fault(fake_var(fake, 4)));
}

/* T46, T56. */
static void t56_a_stored_value_is_replaced(void **state)
{
    (void)state;
    assert_int_equal(
        ls_tracker_set_value(fake->tracker, fake_var(fake, 1), fake_slot(fake, fake_text(fake, "new")), NULL), 0);
    assert_string_equal(fake_changes(fake), "1m=v,type()");
    assert_int_equal(fake_create(fake, 2, 1, "x", NULL, NULL), 0);
    struct ls_fault fault;
    assert_int_equal(ls_tracker_set_value(fake->tracker, fake_var(fake, 2), fake_slot(fake, app), &fault), -1);
}

/* --- reports --- */

static void t89_a_value_that_cannot_be_written_is_left_out(void **state)
{
    (void)state;
    size_t len;
    fake_set(app, "a", fake_text(fake, "A"));
    assert_int_equal(fake_create(fake, 2, 1, "a", NULL, NULL), 0);
    fake_set(app, "a", fake_text(fake, "B"));
    ls_tracker_detect(fake->tracker);
    ls_alloc_fail_at(1);
    const char *text = ls_var_update_json(fake->tracker, fake_var(fake, 2), &len);
    ls_alloc_fail_at(0);
    assert_null(text);
    assert_string_equal(fault_text(ls_var_fault(fake_var(fake, 2))->kind), "internal");
    /* the value at the time of the list, not at that of the change */
    fake_set(app, "a", fake_text(fake, "C"));
    ls_tracker_detect(fake->tracker);
    assert_null(ls_var_fault(fake_var(fake, 2)));
    assert_string_equal(fake_changes(fake), "2m=v");
    text = ls_var_update_json(fake->tracker, fake_var(fake, 2), &len);
    assert_int_equal(len, 3);
    assert_memory_equal(text, "\"C\"", len);
}

static void t98_t99_kinds_have_a_text_and_a_code(void **state)
{
    (void)state;
    static const struct {
        enum ls_fault_kind kind;
        const char *text, *code;
    } kinds[] = {
        {LS_FAULT_PATH_ERROR, "path-error", "path-failure"},
        {LS_FAULT_NIL_PATH, "nil-path", "path-failure"},
        {LS_FAULT_NOT_FOUND, "not-found", "not-found"},
        {LS_FAULT_BAD_PARENT, "bad-parent", "bad-parent"},
        {LS_FAULT_BAD_INDEX, "bad-index", "path-failure"},
        {LS_FAULT_BAD_SETTER_CALL, "bad-setter-call", "bad-path"},
        {LS_FAULT_BAD_ACCESS, "bad-access", "bad-access"},
        {LS_FAULT_BAD_REFERENCE, "bad-reference", "not-found"},
        {LS_FAULT_BAD_CALL_MISSING, "bad-call", "path-failure"},
        {LS_FAULT_BAD_CALL, "bad-call", "lua-error"},
        {LS_FAULT_DEFERRED_CODE, "deferred-code", "lua-error"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        assert_string_equal(ls_fault_kind_text(kinds[i].kind), kinds[i].text);
        assert_string_equal(ls_fault_code(kinds[i].kind), kinds[i].code);
    }
    /* One error a variable: the next one takes its place. */
    struct ls_fault first, second;
    ls_fault_set(&first, LS_FAULT_PATH_ERROR, "one");
    ls_fault_set(&second, LS_FAULT_DEFERRED_CODE, "two");
    ls_var_set_fault(fake->tracker, fake_var(fake, 1), &first);
    assert_string_equal(ls_var_fault(fake_var(fake, 1))->text, "one");
    ls_var_set_fault(fake->tracker, fake_var(fake, 1), &second);
    assert_string_equal(ls_var_fault(fake_var(fake, 1))->text, "two");
    ls_var_set_fault(fake->tracker, fake_var(fake, 1), NULL);
    assert_null(ls_var_fault(fake_var(fake, 1)));
}

/* --- destroying --- */

static int64_t gone_ids[16];
static size_t gone_count;

static void note_gone(void *ctx, struct ls_var *var)
{
    (void)ctx;
    gone_ids[gone_count++] = ls_var_id(var);
}

static void t93a_subtrees_go_deepest_first(void **state)
{
    (void)state;
    fake_set(app, "a", app);
    assert_int_equal(fake_create(fake, 2, 1, "a", NULL, NULL), 0);
    assert_int_equal(fake_create(fake, 3, 2, "a", NULL, NULL), 0);
    assert_int_equal(fake_create(fake, 4, 2, "a?wrapper=Box", NULL, NULL), 0);
    assert_int_equal(fake_create(fake, 5, 3, "a", NULL, NULL), 0);
    ls_tracker_watch(fake->tracker, fake_var(fake, 5), 1);
    gone_count = 0;
    ls_tracker_destroy(fake->tracker, 2, note_gone, NULL);
    assert_int_equal(gone_count, 4);
    assert_int_equal(gone_ids[3], 2);
    assert_int_equal(fake->unwraps, 1);
    assert_int_equal(ls_var_child_count(fake_var(fake, 1)), 0);
    assert_string_equal(fake_changes(fake), "");
    ls_tracker_destroy(fake->tracker, 2, note_gone, NULL); /* unknown: nothing */
    assert_int_equal(gone_count, 4);
}

static struct fake_value *destroying_method(struct fake *f, struct fake_value *self, struct fake_value *arg)
{
    (void)self, (void)arg;
    ls_tracker_destroy(f->tracker, 3, note_gone, NULL);
    ls_tracker_destroy(f->tracker, 2, note_gone, NULL); /* itself, and its child is gone with it */
    assert_null(ls_tracker_find(f->tracker, 3));
    return fake_int(f, 1);
}

static void tx27_destroying_from_inside_a_computation_waits(void **state)
{
    (void)state;
    assert_int_equal(fake_create(fake, 2, 1, "kill()", "access=r", NULL), 0);
    assert_int_equal(fake_create(fake, 3, 2, "x", NULL, NULL), 0);
    fake_set(app, "kill", method(destroying_method));
    gone_count = 0;
    ls_tracker_detect(fake->tracker);
    assert_int_equal(gone_count, 2);
    assert_int_equal(gone_ids[0], 3);
    assert_int_equal(ls_tracker_count(fake->tracker), 1);
}

static void t104_variables_are_found_by_the_object_they_show(void **state)
{
    (void)state;
    int64_t ids[4];
    fake_set(app, "self", app);
    assert_int_equal(fake_create(fake, 2, 1, "self", NULL, NULL), 0);
    assert_int_equal(fake_create(fake, 3, 1, "self", NULL, NULL), 0);
    assert_int_equal(ls_tracker_by_object(fake->tracker, 2, ids, 4), 3);
    assert_int_equal(ids[0], 1);
    assert_int_equal(ids[2], 3);
    ls_tracker_destroy(fake->tracker, 2, NULL, NULL);
    assert_int_equal(ls_tracker_by_object(fake->tracker, 2, ids, 4), 2);
    fake_set(app, "self", NULL);
    ls_tracker_detect(fake->tracker);
    assert_int_equal(ls_tracker_by_object(fake->tracker, 2, ids, 4), 1);
    assert_int_equal(ls_tracker_by_object(fake->tracker, 77, ids, 4), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(t8_one_counter_serves_roots_and_objects, setup, teardown),
        cmocka_unit_test_setup_teardown(t9_the_counter_skips_ids_in_use, setup, teardown),
        cmocka_unit_test_setup_teardown(t10_lua_children_count_downwards_and_never_return, setup, teardown),
        cmocka_unit_test_setup_teardown(t1_trackers_share_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(t2_what_a_new_variable_is, setup, teardown),
        cmocka_unit_test_setup_teardown(t3_roots_store_and_children_compute, setup, teardown),
        cmocka_unit_test_setup_teardown(t89_a_value_that_cannot_be_written_is_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(t98_t99_kinds_have_a_text_and_a_code, setup, teardown),
        cmocka_unit_test_setup_teardown(t16_t17_a_query_becomes_properties_and_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(t17_a_query_alone_has_no_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(t18_the_path_argument_wins_unless_empty, setup, teardown),
        cmocka_unit_test(t12_t15_a_nul_byte_is_in_no_path),
        cmocka_unit_test_setup_teardown(t20_t22_t24_suffixes_and_equal_sets, setup, teardown),
        cmocka_unit_test_setup_teardown(t23_path_priority_and_wrapper_take_effect, setup, teardown),
        cmocka_unit_test_setup_teardown(t20_names_and_values_are_never_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(t27_what_cannot_be_read_is_silent_and_its_children_are_not, setup, teardown),
        cmocka_unit_test_setup_teardown(t25_invalid_path_or_access_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(t28_last_step_and_access_mode, setup, teardown),
        cmocka_unit_test_setup_teardown(t29_creating_never_calls_a_setter_or_an_action, setup, teardown),
        cmocka_unit_test_setup_teardown(t40_t41_a_failed_create_leaves_no_trace, setup, teardown),
        cmocka_unit_test_setup_teardown(t41_a_failing_method_leaves_the_variable_with_its_error, setup, teardown),
        cmocka_unit_test_setup_teardown(t42_a_child_may_hold_its_own_value, setup, teardown),
        cmocka_unit_test_setup_teardown(t74_t75_create_makes_an_object_where_there_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(q2_limits_on_count_and_depth_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(t57_t61_a_write_goes_through_and_is_not_echoed, setup, teardown),
        cmocka_unit_test_setup_teardown(t57_calls_get_their_argument_by_mode, setup, teardown),
        cmocka_unit_test_setup_teardown(t30_t55_t58_a_refused_write_leaves_the_cache, setup, teardown),
        cmocka_unit_test_setup_teardown(t56_a_stored_value_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(t93a_subtrees_go_deepest_first, setup, teardown),
        cmocka_unit_test_setup_teardown(tx27_destroying_from_inside_a_computation_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(t104_variables_are_found_by_the_object_they_show, setup, teardown),
    };
    return cmocka_run_group_tests_name("tracker", tests, NULL, NULL);
}
