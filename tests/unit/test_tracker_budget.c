/* Unit tests of lib/tracker: what it keeps is what its budget counts, whatever happens and whatever allocation fails;
 * limits of memory and of properties.
 *
 * The recount: this program has an allocator of its own in the place of lib/base/alloc.c, which knows every live block.
 * The fake resolver takes none. */
#include "tracker_fake.h"

#define BLOCKS 16384

static void *blocks[BLOCKS];
static size_t block_count;
static long made, fail_at;

static bool must_fail(void)
{
    made++;
    return fail_at > 0 && made == fail_at;
}

static void *note(void *block)
{
    assert_true(block && block_count < BLOCKS);
    return blocks[block_count++] = block;
}

static void forget(const void *block)
{
    for (size_t i = block_count; block && i-- > 0;)
        if (blocks[i] == block) {
            blocks[i] = blocks[--block_count];
            return;
        }
    assert_null(block);
}

long ls_alloc_fail_at(long n)
{
    long before = made;
    made = 0;
    fail_at = n;
    return before;
}

void *ls_zalloc(size_t size)
{
    return must_fail() ? NULL : note(calloc(1, size ? size : 1));
}
void *ls_malloc(size_t size)
{
    return ls_zalloc(size);
}
void *ls_array(size_t count, size_t size)
{
    return ls_zalloc(count * size);
}

void *ls_realloc(void *block, size_t size)
{
    if (must_fail()) return NULL;
    forget(block);
    return note(realloc(block, size ? size : 1));
}

void ls_free(void *block)
{
    forget(block);
    free(block);
}

char *ls_strndup(const char *text, size_t len)
{
    char *copy = ls_zalloc(len + 1);
    if (copy) memcpy(copy, text, len);
    return copy;
}

char *ls_strdup(const char *text)
{
    return ls_strndup(text, strlen(text));
}

static size_t recount(void)
{
    size_t sum = 0;
    for (size_t i = 0; i < block_count; i++)
        sum += ls_budget_size(blocks[i]);
    return sum;
}

/* --- a tracker with a budget --- */

static struct ls_budget budget;
static struct fake *fake;
static struct fake_value *app, *numbers[8], *ships;
static unsigned seed;

static unsigned draw(unsigned below)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 16) % below;
}

static void open_tracker(size_t max_properties)
{
    ls_budget_init(&budget, 0);
    fake = fake_open_limited(&budget, max_properties);
    app = fake_object(fake, "");
    ships = fake_object(fake, "");
    fake_set(app, "ships", ships);
    for (int i = 0; i < 8; i++)
        numbers[i] = fake_int(fake, i * 1000003);
    fake_set(app, "a", numbers[0]);
    fake_set(ships, "b", numbers[1]);
    fake_root(fake, app);
}

static void close_tracker(void)
{
    assert_int_equal(ls_budget_get(&budget.kept), recount());
    fake_close(fake);
    assert_int_equal(ls_budget_get(&budget.kept), 0);
    assert_int_equal(block_count, 0);
}

static int set(int64_t id, const char *name, const char *value, size_t len, struct ls_fault *fault)
{
    struct ls_prop prop = {name, value, strlen(name), len};
    struct ls_var *var = ls_tracker_find(fake->tracker, id);
    return var ? ls_tracker_set_property(fake->tracker, var, &prop, fault) : 0;
}

static const char *const prop_names[] = {"wrapper", "note",  "type",   "path",     "access",
                                         "key:low", "keyed", "x:high", "priority", "create"};
static const char *const prop_values[] = {
    "Box", "", "high", "ships.b", "r", "a?p=1&q=2", "action", "ships?wrapper=Box&note=2", "rw", ".."};

static void step(void)
{
    char long_text[3000], name[16];
    struct ls_fault fault;
    int64_t id = 2 + draw(12);
    struct ls_var *var = ls_tracker_find(fake->tracker, id);
    static const char *const paths[] = {"a",     "ships.b", "ships", "ships.none.x", "b", "..", "label?wrapper=Box&n=1",
                                        "@far.b"};
    switch (draw(12)) {
    case 0:
    case 1:
    case 2: {
        char text[64];
        struct ls_prop props[3] = {
            {"path", text, 4, 0}, {"note", "some text", 4, 9}, {"wrapper", "Box", 7, draw(2) * 3}};
        props[0].value_len = (size_t)snprintf(text, sizeof text, "%s", paths[draw(8)]);
        struct ls_var_spec spec = {
            .id = id, .parent = 1 + draw(12), .props = props, .prop_count = draw(4), .wants_place = draw(2)};
        ls_tracker_create(fake->tracker, &spec, NULL, &fault);
        break;
    }
    case 3: ls_tracker_destroy(fake->tracker, id, NULL, NULL); break;
    case 4:
        memset(long_text, 'x', sizeof long_text);
        set(id, "junk", long_text, draw(sizeof long_text), &fault);
        break;
    case 5: {
        unsigned value = draw(10);
        set(id, prop_names[draw(10)], prop_values[value], strlen(prop_values[value]), &fault);
        break;
    }
    case 6:
        for (int i = 0; i < 12; i++) {
            snprintf(name, sizeof name, "p%u", draw(40));
            set(id, name, "value", draw(2) * 5, &fault);
        }
        break;
    case 7: fake_set(draw(2) ? app : ships, draw(2) ? "a" : "b", numbers[draw(8)]); break;
    case 8:
        if (var) ls_tracker_write(fake->tracker, var, draw(2) ? "\"written\"" : "7", draw(2) ? 9 : 1, &fault);
        break;
    case 9:
        if (var) ls_tracker_watch(fake->tracker, var, draw(2) ? 1 : -1);
        ls_tracker_name(fake->tracker, "@far", draw(2) ? id : 0, &fault);
        break;
    case 10:
        if (var) {
            size_t len;
            int64_t before = ls_tracker_set_computing(fake->tracker, id);
            ls_tracker_diag(fake->tracker, 1, "looked at", 9);
            ls_tracker_set_computing(fake->tracker, before);
            ls_var_json(fake->tracker, var, &len);
            ls_var_base_json(fake->tracker, var, &len);
        }
        break;
    default: {
        const struct ls_change *list;
        int64_t ids[4];
        ls_tracker_begin_batch(fake->tracker);
        ls_tracker_detect(fake->tracker);
        ls_tracker_changes(fake->tracker, &list);
        ls_tracker_fault_news(fake->tracker, ids, 4);
    }
    }
}

/* L5: after each of many random steps the counter is what a recount says, and in the end it is 0; also where
 * allocations fail, and where the limit is reached. */
static void run_random(unsigned first, unsigned last, bool failing, bool limited)
{
    for (unsigned round = first; round < last; round++) {
        seed = round;
        open_tracker(round % 2 ? 20 : 0);
        for (unsigned i = 0; i < 150; i++) {
            if (failing) ls_alloc_fail_at(1 + (long)draw(12));
            if (limited) ls_budget_set(&budget.limit, draw(3) ? ls_budget_total(&budget) + draw(600) : 0);
            step();
            ls_alloc_fail_at(0);
            if (ls_budget_get(&budget.kept) != recount())
                fail_msg("round %u, step %u: counted %zu, kept %zu", round, i, ls_budget_get(&budget.kept), recount());
        }
        close_tracker();
    }
}

static void l5_what_is_counted_is_what_is_kept(void **state)
{
    (void)state;
    run_random(1, 60, false, false);
}

static void l5_it_is_so_when_allocations_fail(void **state)
{
    (void)state;
    run_random(60, 120, true, false);
}

static void l5_it_is_so_at_the_limit(void **state)
{
    (void)state;
    run_random(120, 180, false, true);
}

/* L5, Q2: a create and a property beyond the limit are refused with a sentence that names it, and leave nothing. */
static void l5_beyond_the_limit_nothing_is_done(void **state)
{
    (void)state;
    struct ls_fault fault;
    static char text[100000];
    open_tracker(0);
    memset(text, 'x', sizeof text);
    assert_int_equal(fake_create(fake, 2, 1, "a", "note=1", &fault), 0);
    assert_int_equal(fake_create(fake, 3, 1, "ships", "note=1", &fault), 0);
    ls_tracker_destroy(fake->tracker, 3, NULL, NULL); /* what variables lie in is kept for the next one */
    ls_budget_init(&budget, 0);
    ls_budget_set(&budget.kept, recount());
    budget.stated = ls_budget_get(&budget.kept) + 50000;
    ls_budget_set(&budget.limit, budget.stated);
    size_t kept = ls_budget_get(&budget.kept);
    struct ls_prop props[] = {{"path", "a", 4, 1}, {"junk", text, 4, sizeof text}};
    struct ls_var_spec spec = {.id = 3, .parent = 1, .props = props, .prop_count = 2};
    char expected[128];
    snprintf(expected, sizeof expected, LS_MEMORY_LIMIT_TEXT, (unsigned long long)budget.stated);
    assert_int_equal(ls_tracker_create(fake->tracker, &spec, NULL, &fault), -1);
    assert_string_equal(fault.text, expected);
    assert_int_equal(fault.kind, LS_FAULT_INTERNAL);
    assert_null(ls_tracker_find(fake->tracker, 3));
    assert_int_equal(set(2, "junk", text, sizeof text, &fault), -1);
    assert_string_equal(fault.text, expected);
    assert_null(ls_var_property(fake_var(fake, 2), "junk"));
    /* a query of which the second half does not fit: the first half is not set either */
    memcpy(text, "ships?one=1&two=", 16);
    assert_int_equal(set(2, "path", text, sizeof text, &fault), -1);
    assert_string_equal(fault.text, expected);
    assert_null(ls_var_property(fake_var(fake, 2), "one"));
    assert_string_equal(ls_var_property(fake_var(fake, 2), "path"), "a");
    assert_int_equal(ls_budget_get(&budget.kept), kept);
    assert_int_equal(set(2, "junk", text, 1000, &fault), 1);
    close_tracker();
}

/* Q2: as many properties as the limit allows, and not one more; a removed one makes room, what the server sets needs
 * none. */
static void q2_properties_of_one_variable_have_a_limit(void **state)
{
    (void)state;
    struct ls_fault fault;
    char name[16];
    open_tracker(256);
    assert_int_equal(fake_create(fake, 2, 1, "a", NULL, &fault), 0);
    for (int i = 1; i < 256; i++) {
        snprintf(name, sizeof name, "p%d", i);
        assert_int_equal(set(2, name, "v", 1, &fault), 1);
    }
    assert_int_equal(ls_var_property_count(fake_var(fake, 2)), 256);
    assert_int_equal(set(2, "more", "v", 1, &fault), -1);
    assert_string_equal(fault.text,
                        "the variable would have more than 256 properties, the limit; --max-properties raises it");
    assert_int_equal(set(2, "path", "ships?more=1", 12, &fault), -1);
    assert_string_equal(ls_var_property(fake_var(fake, 2), "path"), "a");
    assert_int_equal(set(2, "p7", "w", 1, &fault), 1);
    struct ls_prop both[] = {{"p8", "", 2, 0}, {"more", "v", 4, 1}};
    assert_int_equal(ls_tracker_admit(fake->tracker, fake_var(fake, 2), both, 2, 0, &fault), 0);
    assert_int_equal(set(2, "p8", "", 0, &fault), 1);
    assert_int_equal(set(2, "more", "v", 1, &fault), 1);
    assert_int_equal(ls_tracker_put_property(fake->tracker, fake_var(fake, 2), "type", "Ship", LS_MEDIUM), 1);
    struct ls_prop many[300];
    static char names[300][8];
    for (int i = 0; i < 300; i++)
        many[i] = (struct ls_prop){names[i], "v", (size_t)snprintf(names[i], sizeof names[i], "q%d", i), 1};
    struct ls_var_spec spec = {.id = 3, .parent = 1, .path = "a", .path_len = 1, .props = many, .prop_count = 300};
    assert_int_equal(ls_tracker_create(fake->tracker, &spec, NULL, &fault), -1);
    assert_null(ls_tracker_find(fake->tracker, 3));
    spec.prop_count = 255;
    assert_int_equal(ls_tracker_create(fake->tracker, &spec, NULL, &fault), 0);
    close_tracker();
}

/* T20, T90: few and many properties are found, listed in order of setting, removed and set again alike. */
static void t20_many_properties_are_a_table(void **state)
{
    (void)state;
    struct ls_fault fault;
    bool has[200] = {false};
    char name[32];
    open_tracker(0);
    assert_int_equal(fake_create(fake, 2, 1, "a", NULL, &fault), 0);
    seed = 7;
    for (int i = 0; i < 4000; i++) {
        unsigned n = draw(200);
        bool on = draw(2);
        snprintf(name, sizeof name, "%s%u", n % 3 ? "p" : "a-longer-name-", n);
        assert_int_equal(set(2, name, "value", on ? 5 : 0, &fault), on != has[n]);
        has[n] = on;
        if (i % 50 == 0) {
            const struct ls_change *list;
            ls_tracker_changes(fake->tracker, &list);
        }
        size_t count = 1;
        for (unsigned k = 0; k < 200 && i % 20 == 0; k++) {
            snprintf(name, sizeof name, "%s%u", k % 3 ? "p" : "a-longer-name-", k);
            assert_int_equal(ls_var_property(fake_var(fake, 2), name) != NULL, has[k]);
            count += has[k];
        }
        if (i % 20) continue;
        assert_int_equal(ls_var_property_count(fake_var(fake, 2)), count);
        for (size_t at = 0; at < count; at++) {
            const char *found, *value;
            enum ls_priority priority;
            ls_var_property_at(fake_var(fake, 2), at, &found, &value, &priority);
            assert_string_equal(ls_var_property(fake_var(fake, 2), found), value);
        }
    }
    close_tracker();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(l5_what_is_counted_is_what_is_kept),
        cmocka_unit_test(l5_it_is_so_when_allocations_fail),
        cmocka_unit_test(l5_it_is_so_at_the_limit),
        cmocka_unit_test(l5_beyond_the_limit_nothing_is_done),
        cmocka_unit_test(q2_properties_of_one_variable_have_a_limit),
        cmocka_unit_test(t20_many_properties_are_a_table),
    };
    return cmocka_run_group_tests_name("tracker budget", tests, NULL, NULL);
}
