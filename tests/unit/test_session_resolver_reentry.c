/* Lua code that runs inside a path, a write or a wrapper and comes back into the tracker (T7, T45, T93a, TX27). */
#include "resolver_rig.h"

/* [-1, +1, e] make(path): a variable below 1; drop(id): destroy; put(id, name, value): set a property */
static int l_make(lua_State *L)
{
    struct ls_var_spec spec = {.parent = 1, .path = luaL_checkstring(L, 1)};
    spec.path_len = strlen(spec.path);
    struct ls_fault fault;
    lua_State *before = ls__swap_thread(rig->session, L);
    int64_t id = rig_store_create(rig, &spec, &fault);
    ls__swap_thread(rig->session, before);
    lua_pushinteger(L, id);
    return 1;
}

static int l_drop(lua_State *L)
{
    lua_State *before = ls__swap_thread(rig->session, L);
    rig_store_destroy(rig, luaL_checkinteger(L, 1));
    ls__swap_thread(rig->session, before);
    return 0;
}

static int l_put(lua_State *L)
{
    struct ls_var *var = ls_tracker_find(rig->tracker, luaL_checkinteger(L, 1));
    const char *name = luaL_checkstring(L, 2), *value = luaL_checkstring(L, 3);
    struct ls_prop prop = {name, value, strlen(name), strlen(value)};
    struct ls_fault fault;
    lua_State *before = ls__swap_thread(rig->session, L);
    int rc = var ? ls_tracker_set_property(rig->tracker, var, &prop, &fault) : -1;
    ls__swap_thread(rig->session, before);
    lua_pushinteger(L, rc);
    return 1;
}

static int setup(void **state)
{
    rig_setup(state);
    lua_register(rig->session->vm.L, "make", l_make);
    lua_register(rig->session->vm.L, "drop", l_drop);
    lua_register(rig->session->vm.L, "put", l_put);
    return 0;
}

static void t45_a_method_creates_variables_also_from_a_coroutine(void **state)
{
    (void)state;
    rig_do(
        "h = {n = 5, get = function(self) if not made then made = make('n'); made2 = coroutine.wrap(function() return make('n') end)() end; return made end}");
    rig_root("h");
    rig_create(2, 1, "get()?access=r");
    assert_string_equal(rig_json(2), "-1");
    assert_string_equal(rig_json(-1), "5");
    assert_string_equal(rig_json(-2), "5");
    rig_do("h.n = 6");
    assert_true(rig_detect());
    assert_string_equal(rig_changes(), "-1m=v; -2m=v");
}

static void tx27_a_method_destroys_its_own_variable_and_others(void **state)
{
    (void)state;
    rig_do("h = {n = 1, get = function(self) if self.kill then drop(3); drop(2) end; return self.n end}");
    rig_root("h");
    rig_create(2, 1, "get()?access=r");
    rig_create(3, 1, "n");
    rig_create(4, 2, "?x=1");
    rig_do("h.kill = true; h.n = 2");
    rig_detect();
    assert_null(ls_tracker_find(rig->tracker, 2));
    assert_null(ls_tracker_find(rig->tracker, 3));
    assert_null(ls_tracker_find(rig->tracker, 4));
    assert_int_equal(ls_tracker_count(rig->tracker), 1);
}

static void an_action_moves_its_own_variable(void **state)
{
    (void)state;
    rig_do(
        "h = {a = 1, b = 2, go = function(self, v) put(2, 'path', 'other(_)'); self.got = v end, other = function(self, v) self.other_got = v end}");
    rig_root("h");
    rig_create(2, 1, "go(_)?access=action");
    assert_int_equal(rig_write(2, "[7]", NULL), 0);
    assert_true(rig_is("h.got[1] == 7"));
    assert_string_equal(ls_var_property(rig_var(2), "path"), "other(_)");
    assert_int_equal(rig_write(2, "8", NULL), 0);
    assert_true(rig_is("h.other_got == 8"));
}

static void a_constructor_meddles_with_its_variable(void **state)
{
    (void)state;
    rig_do(
        "W = {new = function(class, v) put(2, 'wrapper', 'Other'); drop(2); return {} end}; Other = {new = function() return {} end}; h = {n = 1}");
    rig_root("h");
    struct ls_fault fault;
    rig_try(2, 1, "n?wrapper=W", &fault);
    assert_null(ls_tracker_find(rig->tracker, 2));
    assert_int_equal(lua_gettop(rig->session->vm.L), 0);
}

static void a_list_meddles_with_itself_while_it_is_made(void **state)
{
    (void)state;
    rig_do(
        "h = {list = {{}, {}, {}}}; Card = {new = function(class, li) put(2, 'wrapper', 'lua.ViewList'); table.remove(h.list); return {x = 1} end}");
    rig_root("h");
    rig_create(2, 1, "list?wrapper=lua.ViewList&itemWrapper=Card");
    for (int i = 0; i < 4; i++)
        rig_detect();
    rig_create(3, 2, "items");
    assert_int_equal(lua_gettop(rig->session->vm.L), 0);
    assert_true(rig_is("#h.list == 1")); /* each of the first two constructors has taken one away */
    assert_non_null(strstr(rig_json(3), "[{\"obj\":"));
    assert_null(strchr(rig_json(3), ','));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(t45_a_method_creates_variables_also_from_a_coroutine),
        T(tx27_a_method_destroys_its_own_variable_and_others),
        T(an_action_moves_its_own_variable),
        T(a_constructor_meddles_with_its_variable),
        T(a_list_meddles_with_itself_while_it_is_made),
    };
    return cmocka_run_group_tests_name("session resolver reentry", tests, NULL, NULL);
}
