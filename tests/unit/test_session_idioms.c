/* Look-alikes of sites in use (tests/fixtures/sites): what they are written with must keep working (L148 to L150, L59).
 * */
#include "session_site.h"

static void l149_the_idioms_of_sites(void **state)
{
    (void)state;
    struct place place;
    LS_ERR(err);
    place_make(&place);
    char command[512];
    snprintf(command, sizeof command, "cp -a tests/fixtures/sites/idioms/. '%s'", place.root);
    assert_int_equal(system(command), 0);
    assert_int_equal(place_open(&place, &err), 0);
    if (ls_session_run_main(place.session, &err) != 0) fail_msg("%s", ls_err_text(&err));
    assert_string_equal(place_show(&place, "table.concat(CALLS, ' ')"), "Object MyForm MyForm.Entry Notes Notes.Note");
    assert_string_equal(place_show(&place, "session:getApp() == myForm, getmetatable(MyForm) == Object, STARTS"),
                        "true\ttrue\t1");
    assert_string_equal(place_show(&place, "tostring(myForm), myForm:tostring()"), "<MyForm>\t<MyForm>");
    assert_string_equal(place_show(&place, "myForm:add('x'), myForm:add('y'), myForm.count, myForm.entries[2].id"),
                        "nil\tnil\t2\t2");
    assert_string_equal(place_show(&place, "myForm.entries[1].type"), "MyForm.Entry");
    assert_string_equal(place_show(&place, "myForm:evaluate('1 + myForm.count')"), "3");
    assert_string_equal(place_show(&place, "myForm:evaluate('x x'):find('expected') ~= nil"), "true");
    place_do(
        &place,
        "local path = os.tmpname() myForm.title = 'saved' myForm:save(path) myForm.title = '' myForm:restore(path) os.remove(path)");
    assert_string_equal(place_show(&place, "myForm.title"), "saved");
    snprintf(command, sizeof command, "table.concat(myForm:files('%s'), ' ')", place.root);
    assert_string_equal(place_show(&place, command), "apps lua");
    assert_string_equal(
        place_show(&place, "notes.part, Notes == session:prototype('Notes'), getmetatable(Notes) == Object"),
        "part of notes\ttrue\ttrue");
    assert_string_equal(
        place_show(&place, "package.loaded['apps/notes/app.lua'] == Notes, package.loaded['apps/notes/part.lua']"),
        "true\tpart of notes");
    assert_string_equal(place_show(&place, "OBJECTS_MADE"), "4");
    /* The default constructor uses the server's own create and prototype, also where a site has replaced them. */
    place_do(&place, "session.create = error Plain = session:prototype('Plain', {}, {}) made = Plain:new()");
    assert_string_equal(place_show(&place, "getmetatable(made) == Plain"), "true");
    /* Names that sites delete through _G, and constants of hosts that they override. */
    place_do(&place, "_G['MyForm'] = nil session:removePrototype('MyForm', true)");
    assert_string_equal(place_show(&place, "MyForm, myForm.title, session:prototype('MyForm.Entry').text"),
                        "nil\tsaved\tnil");
    place_remove(&place);
}

static void l27_a_bundled_site(void **state)
{
    (void)state;
    struct place place;
    LS_ERR(err);
    place_make(&place);
    char bundle[] = "templates/sites/contacts";
    struct ls_site bundled = {.bundle = bundle};
    place.config.site = &bundled;
    assert_int_equal(place_open(&place, &err), 0);
    if (ls_session_run_main(place.session, &err) != 0) fail_msg("%s", ls_err_text(&err));
    assert_true(ls_session_is_loaded(place.session, "lua/main.lua"));
    assert_true(ls_session_is_loaded(place.session, "lua/contacts/app.lua"));
    assert_string_equal(place_show(&place, "type(session:getApp()), type(require('list'))"), "table\ttable");
    assert_true(ls_session_is_loaded(place.session, "lsess/list.lua"));
    assert_non_null(strstr(place_show(&place, "require('Makefile')"), "not found"));
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(l149_the_idioms_of_sites),
        cmocka_unit_test(l27_a_bundled_site),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
