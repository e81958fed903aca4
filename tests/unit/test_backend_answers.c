/* Unit tests of lib/backend: what only our client is told (R8): the mark, numbered writes and their answers, a tab that comes back. */
/* Messages are put together from macros, which clang-format takes for calls. */
/* clang-format off */
#include "backend_site.h"
#include "base/json.h"

#define TAB_A "00112233445566778899aabbccddeeff"
#define TAB_B "ffeeddccbbaa99887766554433221100"
#define CLIENT(tab) "{\"type\":\"watch\",\"data\":{\"varId\":1,\"client\":{\"v\":1,\"tab\":\"" tab "\",\"url\":\"/\"}}}"
#define WRITE(id, value, seq) "{\"type\":\"update\",\"data\":{\"varId\":" #id ",\"value\":" value ",\"seq\":" #seq "}}"
#define ANSWER(id, value, seq) WRITE(id, value, seq)
#define BARE(id, seq) "{\"type\":\"update\",\"data\":{\"varId\":" #id ",\"seq\":" #seq "}}"
#define NO_ID(code, text) "{\"type\":\"error\",\"data\":{\"code\":\"" code "\",\"description\":\"" text "\"}}"

static const char site[] =
    "app = { type = 'App', name = 'North', title = 'T', shown = 's', sent = '' }\n"
    "function app:clean(v) if v ~= nil then if v == 'bad' then error('no such title', 0) end self.title = v:match('^%s*(.-)%s*$') end return self.title end\n"
    "function app:act(v) if v == 'bad' then error('refused', 0) end end\n"
    "function app:poke() self.title = 'poked' end\n"
    "function app:read() if self.broken then error('broken', 0) end return self.shown end\n"
    "session:createAppVariable(app)\n";

/* Page `index` of our client, with: 2 name, 3 act(_), 4 poke(), 5 a setter that cleans and refuses, 6 a getter that may fail, 7 written only. */
static struct page *marked_page(int index, const char *watch)
{
    struct page *page = connect_page(index);
    receive(page, watch);
    receive(page, CALM(CREATE(2, 1, PATH("name")) "," CREATE(3, 1, PATH("act(_)") ",\"access\":\"action\"") ","
                           CREATE(4, 1, PATH("poke()") ",\"access\":\"action\"") "," CREATE(5, 1, PATH("clean()")) ","
                           CREATE(6, 1, PATH("read()") ",\"access\":\"r\"") "," CREATE(7, 1, PATH("sent") ",\"access\":\"w\"")));
    fire_flush();
    forget_frames(page);
    return page;
}

static struct page *our_page(void)
{
    serve(site);
    return marked_page(0, CLIENT(TAB_A));
}

/* --- the mark --- */

static void r8_the_mark_of_our_client(void **state)
{
    (void)state;
    static const struct { const char *client, *problem; } rows[] = {
        {"7", "client must be an object with v, tab and url"}, {"[]", "client must be an object with v, tab and url"},
        {"null", "client must be an object with v, tab and url"}, {"\"x\"", "client must be an object with v, tab and url"},
        {"{}", "client must be an object with v, tab and url"}, {"{\"tab\":\"" TAB_A "\",\"url\":\"/\"}", "client must be an object with v, tab and url"},
        {"{\"v\":0,\"tab\":\"" TAB_A "\",\"url\":\"/\"}", "client.v must be an integer from 1 on"},
        {"{\"v\":1.5,\"tab\":\"" TAB_A "\",\"url\":\"/\"}", "client.v must be an integer from 1 on"},
        {"{\"v\":\"1\",\"tab\":\"" TAB_A "\",\"url\":\"/\"}", "client.v must be an integer from 1 on"},
        {"{\"v\":1,\"tab\":\"" TAB_A "\"}", "client.url must be a text that begins with /"},
        {"{\"v\":1,\"tab\":\"" TAB_A "\",\"url\":7}", "client.url must be a text that begins with /"},
        {"{\"v\":1,\"tab\":\"" TAB_A "\",\"url\":\"\"}", "client.url must be a text that begins with /"},
        {"{\"v\":1,\"tab\":\"" TAB_A "\",\"url\":\"x/y\"}", "client.url must be a text that begins with /"},
        {"{\"v\":1,\"tab\":\"" TAB_A "\",\"url\":\"/a\\u0000b\"}", "client.url must be a text that begins with /"},
        {"{\"v\":1,\"url\":\"/\"}", "client.tab must be 32 hexadecimal digits in small letters"},
        {"{\"v\":1,\"tab\":7,\"url\":\"/\"}", "client.tab must be 32 hexadecimal digits in small letters"},
        {"{\"v\":1,\"tab\":\"\",\"url\":\"/\"}", "client.tab must be 32 hexadecimal digits in small letters"},
        {"{\"v\":1,\"tab\":\"" TAB_A "0\",\"url\":\"/\"}", "client.tab must be 32 hexadecimal digits in small letters"},
        {"{\"v\":1,\"tab\":\"00112233445566778899AABBCCDDEEFF\",\"url\":\"/\"}", "client.tab must be 32 hexadecimal digits in small letters"},
        {"{\"v\":1,\"tab\":\"0011223344556677889\\u0000bccddeeff\",\"url\":\"/\"}", "client.tab must be 32 hexadecimal digits in small letters"},
    };
    serve(site);
    struct page *page = connect_page(0);
    char frame[512], answer[512];
    for (size_t i = 0; i < COUNT(rows); i++) {
        snprintf(frame, sizeof frame, "{\"type\":\"watch\",\"varId\":1,\"client\":%s}", rows[i].client);
        snprintf(answer, sizeof answer, "{\"type\":\"error\",\"data\":{\"varId\":1,\"code\":\"bad-message\",\"description\":\"%s\"}}", rows[i].problem);
        say(page, frame, answer);
    }
    say(page, "{\"type\":\"create\",\"id\":2,\"parentId\":1,\"properties\":{\"path\":\"name\"}}", VALUE(2, "\"North\""));
    say(page, WRITE(2, "\"A\"", 1), ""); /* none of them has marked the connection */
    /* Of a version of later days, what is known counts. */
    say(page, "{\"type\":\"watch\",\"varId\":1,\"client\":{\"v\":9,\"tab\":\"" TAB_A "\",\"url\":\"/a?b#c\",\"more\":{\"v\":0}}}",
        BOTH(1, "{\"obj\":2}", "\"type\":\"App\""));
    say(page, WRITE(2, "\"B\"", 2), ANSWER(2, "\"B\"", 2));
    say(page, "{\"type\":\"watch\",\"varId\":2,\"client\":7}", "{\"type\":\"update\",\"data\":{\"varId\":2,\"value\":\"B\",\"properties\":{\"path\":\"name\"},\"seq\":2}}"); /* asked of variable 1 alone */
}

static void r8_the_mark_holds_without_an_app_object(void **state)
{
    (void)state;
    serve("");
    struct page *page = connect_page(0);
    say(page, CLIENT(TAB_A), ERROR(1, "not-found", "no variable 1"));
    run_lua("app = { type = 'App', name = 'x' } session:createAppVariable(app)");
    forget_frames(page);
    say(page, CREATE(2, 1, PATH("name")), VALUE(2, "\"x\""));
    say(page, WRITE(2, "\"y\"", 1), ANSWER(2, "\"y\"", 1));
}

/* --- numbered writes --- */

static void r8_each_numbered_write_is_answered(void **state)
{
    (void)state;
    struct page *page = our_page();
    static const struct { const char *write, *answer; } rows[] = {
        {WRITE(2, "\"A\"", 1), ANSWER(2, "\"A\"", 1)},                                   /* taken as it is */
        {WRITE(2, "\"A\"", 2), ANSWER(2, "\"A\"", 2)},                                   /* changes nothing */
        {WRITE(5, "\" b \"", 1), ANSWER(5, "\"b\"", 1)},                                 /* cleaned */
        {WRITE(5, "\" b \"", 2), ANSWER(5, "\"b\"", 2)},                                 /* cleaned to what it was */
        {WRITE(5, "\"bad\"", 3), "[" ANSWER(5, "\"b\"", 3) "," ERROR(5, "lua-error", "no such title") "]"},
        {WRITE(5, "\"bad\"", 4), "[" ANSWER(5, "\"b\"", 4) "," ERROR(5, "lua-error", "no such title") "]"},
        {WRITE(5, "\"b\"", 5), ANSWER(5, "\"b\"", 5)},                                   /* clears the mark */
        {WRITE(3, "\"x\"", 1), BARE(3, 1)},                                              /* shows nothing */
        {WRITE(3, "\"bad\"", 2), "[" BARE(3, 2) "," ERROR(3, "lua-error", "refused") "]"},
        {WRITE(3, "\"x\"", 3), BARE(3, 3)},                                              /* clears the mark */
        {WRITE(4, "null", 1), "[" ANSWER(5, "\"poked\"", 5) "," BARE(4, 1) "]"},          /* what it changes carries numbers of its own */
        {WRITE(7, "\"w\"", 1), BARE(7, 1)},
        {WRITE(6, "\"no\"", 1), "[" ANSWER(6, "\"s\"", 1) "," ERROR(6, "bad-access", "variable 6 cannot be written: its access is r") "]"},
        {WRITE(99, "1", 1), ERROR(99, "not-found", "no variable 99")},
        {VALUE(2, "\"B\""), ""},                                                         /* without a number: as ever */
        {VALUE(5, "\" B \""), ANSWER(5, "\"B\"", 5)},                                    /* but what is sent knows the last one */
        {PROPS(2, "\"hint\":\"h\""), PROPS(2, "\"hint\":\"h\"")},
        {"{\"type\":\"update\",\"data\":{\"varId\":2,\"properties\":{\"hint\":\"i\"},\"seq\":3}}",
         "[" PROPS(2, "\"hint\":\"i\"") "," ANSWER(2, "\"B\"", 3) "]"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        say(page, rows[i].write, rows[i].answer);
    }
}

static void r8_absurd_numbers_are_refused(void **state)
{
    (void)state;
    struct page *page = our_page();
    static const struct { const char *field, *problem; } rows[] = {
        {"\"seq\":0", "seq must be an integer from 1 to 9007199254740991"}, {"\"seq\":-1", "seq must be an integer from 1 to 9007199254740991"},
        {"\"seq\":1.5", "seq must be an integer from 1 to 9007199254740991"}, {"\"seq\":9007199254740992", "seq must be an integer from 1 to 9007199254740991"},
        {"\"seq\":1e300", "seq must be an integer from 1 to 9007199254740991"}, {"\"seq\":\"1\"", "seq must be an integer from 1 to 9007199254740991"},
        {"\"seq\":null", "seq must be an integer from 1 to 9007199254740991"}, {"\"seq\":[1]", "seq must be an integer from 1 to 9007199254740991"},
        {"\"of\":0", "of must be the id of an object, or null"}, {"\"of\":-1", "of must be the id of an object, or null"},
        {"\"of\":1.5", "of must be the id of an object, or null"}, {"\"of\":\"1\"", "of must be the id of an object, or null"},
        {"\"of\":{\"obj\":1}", "of must be the id of an object, or null"}, {"\"of\":1e30", "of must be the id of an object, or null"},
    };
    char frame[512], answer[512];
    for (size_t i = 0; i < COUNT(rows); i++) {
        snprintf(frame, sizeof frame, "{\"type\":\"update\",\"varId\":2,\"value\":\"X\",%s}", rows[i].field);
        snprintf(answer, sizeof answer, "[" VALUE(2, "\"North\"") ",{\"type\":\"error\",\"data\":{\"varId\":2,\"code\":\"bad-message\",\"description\":\"%s\"}}]", rows[i].problem);
        say(page, frame, answer);
    }
    run_lua("assert(app.name == 'North')");
    /* A write that is refused for another part of its message is over as well. */
    receive(page, "{\"type\":\"update\",\"varId\":2,\"value\":\"X\",\"seq\":1,\"properties\":7}");
    fire_flush();
    expect_frames(page, "[" ANSWER(2, "\"North\"", 1) "," ERROR(2, "bad-message", "properties must be an object") "]\n");
    receive(page, "{\"type\":\"update\",\"varId\":2,\"value\":\"X\",\"seq\":2,\"of\":0}");
    fire_flush();
    expect_frames(page, "[" ANSWER(2, "\"North\"", 2) "," ERROR(2, "bad-message", "of must be the id of an object, or null") "]\n");
    say(page, WRITE(2, "\"Y\"", 9007199254740991), ANSWER(2, "\"Y\"", 9007199254740991));
}

static void r8_several_writes_in_one_batch(void **state)
{
    (void)state;
    struct page *page = our_page();
    /* The last number counts; one refused before is still reported, one refused last keeps its mark. */
    say(page, CALM(WRITE(5, "\"bad\"", 1) "," WRITE(5, "\" c \"", 2)),
        "[" ANSWER(5, "\"T\"", 1) "," ERROR(5, "lua-error", "no such title") "," ANSWER(5, "\"c\"", 2) "]");
    say(page, CALM(WRITE(5, "\" d \"", 3) "," WRITE(5, "\"bad\"", 4)),
        "[" ANSWER(5, "\" d \"", 4) "," ANSWER(5, "\"d\"", 4) "," ERROR(5, "lua-error", "no such title") "]");
    say(page, CALM(WRITE(2, "\"e\"", 1) "," WRITE(2, "\"f\"", 2)), ANSWER(2, "\"f\"", 2));
    say(page, CALM(WRITE(2, "\"g\"", 3) "," DESTROY(2)), DESTROY(2));
    /* A new life counts anew. */
    say(page, CREATE(2, 1, PATH("name")), VALUE(2, "\"g\""));
    say(page, CALM(WRITE(2, "\"h\"", 8) "," DESTROY(2) "," CREATE(2, 1, PATH("name"))), "[" DESTROY(2) "," VALUE(2, "\"h\"") "]");
}

static void r8_inactive_variables_answer(void **state)
{
    (void)state;
    struct page *page = our_page();
    say(page, PROPS(2, "\"inactive\":\"yes\""), "");
    say(page, WRITE(2, "\"X\"", 1), ANSWER(2, "\"North\"", 1));
    run_lua("app.name = 'East'");
    expect_frames(page, "");
    say(page, WRITE(2, "\"X\"", 2), ANSWER(2, "\"East\"", 2));
    run_lua("app.name = 'North'");
    forget_frames(page);
    /* P95 asks what was sent last: that was the answer. */
    receive(page, PROPS(2, "\"inactive\":\"\""));
    fire_flush();
    assert_non_null(strstr(ls_buf_text(&page->frames), "\"value\":\"North\""));
    run_lua("assert(app.name == 'North')");
}

static void r8_a_failing_getter_keeps_its_mark(void **state)
{
    (void)state;
    struct page *page = our_page();
    run_lua("app.broken = true");
    expect_frames(page, ERROR(6, "lua-error", "broken") "\n");
    say(page, WRITE(6, "1", 1), "[" ANSWER(6, "\"s\"", 1) "," ERROR(6, "bad-access", "variable 6 cannot be written: its access is r") "]");
    forget_frames(page);
    run_lua("app.broken = false");
    forget_frames(page);
    run_lua("app.broken = true");
    forget_frames(page);
    receive(page, PROPS(6, "\"inactive\":\"yes\""));
    fire_flush();
    forget_frames(page);
    say(page, WRITE(6, "1", 2), "[" ANSWER(6, "\"s\"", 2) "," ERROR(6, "lua-error", "broken") "]");
}

static void r8_two_tabs_side_by_side(void **state)
{
    (void)state;
    struct page *ours = our_page(), *other = connect_page(1);
    receive(other, CALM(WATCH(1) "," CREATE(2, 1, PATH("name")) "," CREATE(3, 1, PATH("act(_)") ",\"access\":\"action\"")));
    fire_flush();
    forget_frames(other);
    forget_frames(ours);
    receive(ours, USER(WRITE(2, "\"A\"", 1)));
    expect_frames(ours, ANSWER(2, "\"A\"", 1) "\n");
    expect_frames(other, VALUE(2, "\"A\"") "\n");
    /* Fields that only our client knows mean nothing from another, whatever they hold. */
    receive(other, USER("{\"type\":\"update\",\"varId\":2,\"value\":\"B\",\"seq\":-5,\"of\":\"x\"}"));
    expect_frames(other, "");
    expect_frames(ours, ANSWER(2, "\"B\"", 1) "\n");
    receive(other, USER(WRITE(3, "1", 1)));
    expect_frames(other, "");
    receive(other, USER("{\"type\":\"update\",\"varId\":2,\"value\":\"C\",\"seq\":1,\"properties\":7}"));
    expect_frames(other, ERROR(2, "bad-message", "properties must be an object") "\n");
}

static void r8_a_variable_that_all_share(void **state)
{
    (void)state;
    struct page *ours = our_page(), *other = connect_page(1);
    receive(other, WATCH(1));
    fire_flush();
    forget_frames(other);
    say(ours, WRITE(1, "5", 4), "[" ANSWER(1, "{\"obj\":2}", 4) "," ERROR(1, "bad-access", "variable 1 has no path to write through") "]");
    run_lua("session:createAppVariable({ type = 'Next' })");
    assert_non_null(strstr(ls_buf_text(&ours->frames), "{\"varId\":1,\"value\":{\"obj\":3},\"properties\":{\"type\":\"Next\"},\"seq\":4}"));
    expect_frames(other, BOTH(1, "{\"obj\":3}", "\"type\":\"Next\"") "\n");
}

static void r8_numbers_survive_a_restart(void **state)
{
    (void)state;
    struct page *page = our_page();
    receive(page, USER(WRITE(2, "\"A\"", 7)));
    forget_frames(page);
    assert_int_equal(ls_backend_restart(t.backend, &t.err), 0);
    assert_non_null(strstr(ls_buf_text(&page->frames), ANSWER(2, "\"North\"", 7)));
    forget_frames(page);
    receive(page, USER(WRITE(2, "\"North\"", 8)));
    expect_frames(page, ANSWER(2, "\"North\"", 8) "\n");
}

/* --- the object that was meant --- */

#define OF(id, of) "{\"type\":\"update\",\"data\":{\"varId\":" #id ",\"of\":" #of "}}"
#define SHOWN(id, value, of) "{\"type\":\"update\",\"data\":{\"varId\":" #id ",\"value\":" value ",\"of\":" #of "}}"
#define ALL(id, value, seq, of) "{\"type\":\"update\",\"data\":{\"varId\":" #id ",\"value\":" value ",\"seq\":" #seq ",\"of\":" #of "}}"
#define MEANT(id, value, seq, of) ALL(id, value, seq, of)
#define GONE(id) ERROR(id, "gone", "the object that this was meant for is gone")

/* Objects get their ids in the order in which they are shown: the app is 2, a is 3, b is 4. */
static const char selection[] =
    "a = { type = 'Doc', name = 'a', home = { town = 'A' } } b = { type = 'Doc', name = 'b', home = { town = 'B' } }\n"
    "app = { type = 'App', docs = { a, b }, selected = a, calls = 0 }\n"
    "for _, doc in ipairs(app.docs) do\n"
    "    function doc:remove() self.removed = (self.removed or 0) + 1 end\n"
    "    function doc:title(v) if v ~= nil then self.name = v:upper() end return self.name end\n"
    "end\n"
    "function app:current() self.calls = self.calls + 1 return self.selected end\n"
    "session:createAppVariable(app)\n";

static struct page *selecting_page(void)
{
    serve(selection);
    struct page *page = connect_page(0);
    receive(page, CLIENT(TAB_A));
    receive(page, CREATE(20, 1, PATH("docs")));
    fire_flush();
    forget_frames(page);
    return page;
}

static void r8_of_tells_the_object_that_holds_a_place(void **state)
{
    (void)state;
    struct page *page = selecting_page();
    /* A single view with what is below it; paths that lead through it; what is written only. */
    say(page, CALM(CREATE(2, 1, PATH("selected")) "," CREATE(3, 2, PATH("name")) "," CREATE(4, 2, PATH("remove()") ",\"access\":\"action\"") ","
                       CREATE(5, 1, PATH("selected.name")) "," CREATE(6, 1, PATH("selected.remove()") ",\"access\":\"action\"") ","
                       CREATE(7, 1, PATH("selected.name") ",\"access\":\"w\"") "," CREATE(8, 2, PATH("title()")) "," CREATE(9, 2, PATH("..selected.name"))),
        "[" BOTH(2, "{\"obj\":3}", "\"type\":\"Doc\"") "," SHOWN(3, "\"a\"", 3) "," OF(4, 3) "," SHOWN(8, "\"a\"", 3) "," SHOWN(9, "\"a\"", 3) ","
            SHOWN(5, "\"a\"", 3) "," OF(6, 3) "," OF(7, 3) "]");
    /* Read only, or in an object that stays: nothing to tell. */
    say(page, CALM(CREATE(10, 2, PATH("name") ",\"access\":\"r\"") "," CREATE(11, 1, PATH("selected.name") ",\"access\":\"r\"") ","
                       CREATE(12, 2, PATH("@app.calls"))),
        "[" VALUE(10, "\"a\"") "," VALUE(12, "0") "," VALUE(11, "\"a\"") "]");
    receive(page, CALM(DESTROY(10) "," DESTROY(11) "," DESTROY(12)));
    fire_flush();
    forget_frames(page);
    run_lua("app.selected = b");
    expect_frames(page, "[" VALUE(2, "{\"obj\":4}") "," SHOWN(3, "\"b\"", 4) "," OF(4, 4) "," SHOWN(8, "\"b\"", 4) "," SHOWN(9, "\"b\"", 4) ","
                            SHOWN(5, "\"b\"", 4) "," OF(6, 4) "," OF(7, 4) "]\n");
    run_lua("a.name, app.selected = 'b', a"); /* the same text, but another one's */
    expect_frames(page, "[" VALUE(2, "{\"obj\":3}") "," OF(3, 3) "," OF(4, 3) "," OF(8, 3) "," OF(9, 3) "," OF(5, 3) "," OF(6, 3) "," OF(7, 3) "]\n");
    run_lua("app.selected = nil");
    assert_non_null(strstr(ls_buf_text(&page->frames), SHOWN(3, "null", null)));
    assert_non_null(strstr(ls_buf_text(&page->frames), OF(6, null)));
    forget_frames(page);
    run_lua("app.other = 1");
    expect_frames(page, "");
}

static void r8_of_where_methods_lead(void **state)
{
    (void)state;
    struct page *page = selecting_page();
    /* Found while the value is read: not one call more than without. Where nothing is read, nothing is called. */
    say(page, CALM(CREATE(2, 1, PATH("current().name")) "," CREATE(3, 1, PATH("current().remove()") ",\"access\":\"action\"")), SHOWN(2, "\"a\"", 3));
    run_lua("before = app.calls");
    run_lua("assert(app.calls == before + 1, app.calls - before)");
    run_lua("app.selected = b");
    expect_frames(page, SHOWN(2, "\"b\"", 4) "\n");
    receive(page, USER(MEANT(2, "\"x\"", 1, 3)));
    expect_frames(page, ANSWER(2, "\"b\"", 1) "\n");
    run_lua("assert(a.name == 'x' and b.name == 'b')");
    /* Two that share a call: the one that is only shown knows of no place. */
    say(page, CALM(CREATE(4, 1, PATH("current().name") ",\"access\":\"r\"") "," CREATE(5, 1, PATH("current().name"))), "[" VALUE(4, "\"b\"") "," SHOWN(5, "\"b\"", 4) "]");
    run_lua("app.selected = a");
    expect_frames(page, "[" "{\"type\":\"update\",\"data\":{\"varId\":2,\"value\":\"x\",\"seq\":1,\"of\":3}}" "," VALUE(4, "\"x\"") "," SHOWN(5, "\"x\"", 3) "]\n");
}

static void r8_a_write_reaches_the_object_it_was_meant_for(void **state)
{
    (void)state;
    struct page *page = selecting_page();
    receive(page, CALM(CREATE(2, 1, PATH("selected")) "," CREATE(3, 2, PATH("name")) "," CREATE(4, 2, PATH("remove()") ",\"access\":\"action\"") ","
                           CREATE(5, 1, PATH("selected.home.town")) "," CREATE(6, 1, PATH("selected.remove()") ",\"access\":\"action\"") ","
                           CREATE(7, 1, PATH("selected.name") ",\"access\":\"w\"") "," CREATE(8, 2, PATH("title()"))));
    run_lua("app.selected = b");
    forget_frames(page);
    static const struct { const char *write, *answer, *check; } rows[] = {
        {MEANT(3, "\"x\"", 1, 3), ANSWER(3, "\"b\"", 1), "assert(a.name == 'x' and b.name == 'b')"},
        {MEANT(3, "\"y\"", 2, 4), "[" VALUE(8, "\"y\"") "," ANSWER(3, "\"y\"", 2) "]", "assert(a.name == 'x' and b.name == 'y')"},
        {MEANT(4, "null", 1, 3), BARE(4, 1), "assert(a.removed == 1 and not b.removed)"},
        {MEANT(6, "null", 1, 3), BARE(6, 1), "assert(a.removed == 2 and not b.removed)"},
        {MEANT(6, "null", 2, 4), BARE(6, 2), "assert(a.removed == 2 and b.removed == 1)"},
        {MEANT(7, "\"w\"", 1, 3), BARE(7, 1), "assert(a.name == 'w' and b.name == 'y')"},
        {MEANT(8, "\"t\"", 1, 3), ANSWER(8, "\"y\"", 1), "assert(a.name == 'T' and b.name == 'y')"},
        /* Not told for this variable, though it is for others; a guess; another variable's value; nothing, where there is something. */
        {MEANT(5, "\"z\"", 1, 3), "[" ANSWER(5, "\"B\"", 1) "," GONE(5) "]", "assert(a.home.town == 'A' and b.home.town == 'B' and not a.town)"},
        {MEANT(3, "\"z\"", 3, 2), "[" ANSWER(3, "\"y\"", 3) "," GONE(3) "]", "assert(a.name == 'T' and b.name == 'y' and not app.name)"},
        {MEANT(3, "\"z\"", 4, 9007199254740991), "[" ANSWER(3, "\"y\"", 4) "," GONE(3) "]", "assert(b.name == 'y')"},
        {MEANT(3, "\"z\"", 5, null), "[" ANSWER(3, "\"y\"", 5) "," GONE(3) "]", "assert(b.name == 'y')"},
        {MEANT(6, "null", 3, 99), "[" BARE(6, 3) "," GONE(6) "]", "assert(a.removed == 2 and b.removed == 1)"},
        {MEANT(2, "null", 1, 2), "[" ANSWER(2, "{\"obj\":4}", 1) "," GONE(2) "]", "assert(app.selected == b)"}, /* has no such place */
        /* It goes by itself, without a number too. */
        {"{\"type\":\"update\",\"data\":{\"varId\":3,\"value\":\"q\",\"of\":3}}", ANSWER(3, "\"y\"", 5), "assert(a.name == 'q' and b.name == 'y')"},
        {WRITE(3, "\"n\"", 6), "[" "{\"type\":\"update\",\"data\":{\"varId\":8,\"value\":\"n\",\"seq\":1}}," ANSWER(3, "\"n\"", 6) "]", "assert(b.name == 'n')"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        say(page, rows[i].write, rows[i].answer);
        run_lua(rows[i].check);
        forget_frames(page);
    }
}

/* One batch of `count` writes of variable 3 for each of two objects. */
static void written_at_once(struct page *page, int count, int first, int second)
{
    struct ls_buf many = LS_BUF_INIT;
    for (int i = 0; i < 2 * count; i++)
        ls_buf_printf(&many, "%s{\"type\":\"update\",\"varId\":3,\"value\":\"z\",\"seq\":%d,\"of\":%d}", i ? "," : "[", i + 4, i < count ? first : second);
    ls_buf_char(&many, ']');
    receive(page, ls_buf_text(&many));
    ls_buf_release(&many);
    fire_flush();
}

static size_t count_text(const char *text, const char *what)
{
    size_t count = 0;
    while ((text = strstr(text, what)) != NULL)
        text++, count++;
    return count;
}

static void r8_a_write_to_an_object_that_is_gone(void **state)
{
    (void)state;
    struct page *page = selecting_page();
    run_lua("c = { type = 'Doc', name = 'c', home = { town = 'C' } } weak = setmetatable({ c }, { __mode = 'v' }) app.selected, c = c, nil");
    receive(page, CALM(CREATE(2, 1, PATH("selected")) "," CREATE(3, 2, PATH("name")) "," CREATE(4, 1, PATH("selected.name")) "," CREATE(5, 2, PATH("home"))));
    fire_flush();
    assert_non_null(strstr(ls_buf_text(&page->frames), SHOWN(3, "\"c\"", 5)));
    run_lua("seen = {} setmetatable(app.selected, { __newindex = function() seen.written = true end }) app.selected.name = nil app.selected = b");
    forget_frames(page);
    say(page, MEANT(3, "\"z\"", 1, 5), "[" ANSWER(3, "\"b\"", 1) "," GONE(3) "]");
    say(page, MEANT(4, "\"z\"", 1, 5), "[" ANSWER(4, "\"b\"", 1) "," GONE(4) "]");
    run_lua("assert(not seen.written and not weak[1] and b.name == 'b')");
    /* Exchanged in the same batch, by what stands before the edit. */
    receive(page, CALM(PROPS(1, "\"lua\":\"app.selected = { type = 'Doc', name = 'd' }\"") "," MEANT(3, "\"y\"", 2, 4)));
    fire_flush();
    run_lua("assert(b.name == 'y' and app.selected.name == 'd')");
    fire_flush();
    forget_frames(page);
    receive(page, CALM(PROPS(1, "\"lua\":\"gone, kept = app.selected.name, app.selected app.selected = b\"") "," MEANT(3, "\"x\"", 3, 8)));
    fire_flush();
    run_lua("assert(gone == 'd' and b.name == 'y' and kept.name == 'x')");
    forget_frames(page);
    /* A page cannot make the session collect without end; what lives is written for all that (R1). */
    run_lua("cycles = 0 local meta = {} function meta.__gc() cycles = cycles + 1 setmetatable({}, meta) end setmetatable({}, meta)\n"
            "written = 0 setmetatable(kept, { __newindex = function(_, _, v) written = written + 1 end }) kept.name = nil");
    written_at_once(page, 20, 5, 8);
    assert_int_equal(count_text(ls_buf_text(&page->frames), "\"code\":\"gone\""), 20);
    run_lua("assert(b.name == 'y' and written == 20 and cycles > 1 and cycles < 12, cycles)");
}

static void r8_a_place_remembers_a_few_objects(void **state)
{
    (void)state;
    struct page *page = selecting_page();
    run_lua("many = {} for i = 1, 30 do many[i] = { type = 'Doc', name = 'n' .. i } end");
    receive(page, CALM(CREATE(2, 1, PATH("selected")) "," CREATE(3, 2, PATH("name"))));
    for (int i = 0; i < 30; i++) {
        char code[64];
        snprintf(code, sizeof code, "app.selected = many[%d]", i + 1);
        run_lua(code);
    }
    forget_frames(page);
    receive(page, USER(MEANT(3, "\"old\"", 1, 20)));
    expect_frames(page, ANSWER(3, "\"n30\"", 1) "\n");
    run_lua("local n = 0 for i = 1, 30 do if many[i].name == 'old' then n = n + 1 end end assert(n == 1 and many[16].name == 'old')");
    receive(page, USER(MEANT(3, "\"older\"", 2, 3)));
    assert_non_null(strstr(ls_buf_text(&page->frames), GONE(3)));
    run_lua("assert(a.name == 'a' and many[30].name == 'n30')");
}

static void r8_of_while_a_variable_is_inactive_or_unwatched(void **state)
{
    (void)state;
    struct page *page = selecting_page();
    receive(page, CALM(CREATE(2, 1, PATH("selected")) "," CREATE(3, 2, PATH("name")) "," CREATE(4, 2, PATH("remove()") ",\"access\":\"action\"")));
    receive(page, CALM(PROPS(3, "\"inactive\":\"1\"") "," PROPS(4, "\"inactive\":\"1\"")));
    fire_flush();
    forget_frames(page);
    run_lua("b.name, app.selected = 'a', b");
    expect_frames(page, VALUE(2, "{\"obj\":4}") "\n");
    say(page, CALM(PROPS(3, "\"inactive\":\"\"") "," PROPS(4, "\"inactive\":\"\"")),
        "[{\"type\":\"update\",\"data\":{\"varId\":3,\"properties\":{\"inactive\":\"\"},\"of\":4}},"
        "{\"type\":\"update\",\"data\":{\"varId\":4,\"properties\":{\"inactive\":\"\"},\"of\":4}}]");
    say(page, CALM(UNWATCH(3) "," UNWATCH(4)), "");
    run_lua("app.selected = a");
    expect_frames(page, VALUE(2, "{\"obj\":3}") "\n");
    say(page, CALM(WATCH(3) "," WATCH(4)),
        "[{\"type\":\"update\",\"data\":{\"varId\":3,\"value\":\"a\",\"properties\":{\"path\":\"name\"},\"of\":3}},"
        "{\"type\":\"update\",\"data\":{\"varId\":4,\"properties\":{\"access\":\"action\",\"path\":\"remove()\"},\"of\":3}}]");
}

static void r8_of_follows_path_and_access(void **state)
{
    (void)state;
    struct page *page = selecting_page();
    receive(page, CALM(CREATE(2, 1, PATH("selected")) "," CREATE(3, 2, PATH("name"))));
    run_lua("app.selected = b");
    forget_frames(page);
    say(page, PROPS(3, "\"path\":\"home.town\""), "{\"type\":\"update\",\"data\":{\"varId\":3,\"value\":\"B\",\"properties\":{\"path\":\"home.town\"},\"of\":5}}");
    say(page, MEANT(3, "\"z\"", 1, 3), "[" ANSWER(3, "\"B\"", 1) "," GONE(3) "]"); /* told for another place */
    say(page, PROPS(3, "\"access\":\"r\""), PROPS(3, "\"access\":\"r\""));
    run_lua("app.selected = a");
    expect_frames(page, "[" VALUE(2, "{\"obj\":3}") "," ANSWER(3, "\"A\"", 1) "]\n");
}

static void r8_of_of_another_machine_means_nothing(void **state)
{
    (void)state;
    struct page *page = selecting_page();
    receive(page, CALM(CREATE(2, 1, PATH("selected")) "," CREATE(3, 2, PATH("name"))));
    forget_frames(page);
    assert_int_equal(ls_backend_restart(t.backend, &t.err), 0);
    /* The new objects have the numbers of the old ones; what was meant for the old is not theirs. */
    assert_non_null(strstr(ls_buf_text(&page->frames), OF(3, 1099511627779)));
    forget_frames(page);
    say(page, MEANT(3, "\"z\"", 1, 3), "[" ANSWER(3, "\"a\"", 1) "," GONE(3) "]");
    run_lua("assert(a.name == 'a')");
    say(page, MEANT(3, "\"y\"", 2, 1099511627779), ANSWER(3, "\"y\"", 2));
    run_lua("assert(a.name == 'y')");
}

static void r1_rows_of_another_machine_mean_nothing(void **state)
{
    (void)state;
    serve("order = order or { 'a', 'b' }\n"
          "app = { type = 'App', rows = {} } for i, name in ipairs(order) do app.rows[i] = { type = 'Doc', name = name } end\n"
          "session:createAppVariable(app)\n");
    struct page *page = connect_page(0);
    receive(page, CLIENT(TAB_A));
    receive(page, CALM(CREATE(2, 1, PATH("rows")) "," CREATE(3, 1, PATH("name"))));
    fire_flush();
    receive(page, CALM(CREATE(4, 2, PATH("#3")) "," CREATE(5, 4, PATH("name")) "," CREATE(6, 2, PATH("#4.name"))));
    fire_flush();
    assert_non_null(strstr(ls_buf_text(&page->frames), VALUE(2, "[{\"obj\":3},{\"obj\":4}]")));
    /* What stands first now, and has the number, is another record. */
    site_file("lua/main.lua", "app = { type = 'App', rows = { { type = 'Doc', name = 'b' }, { type = 'Doc', name = 'a' } } } session:createAppVariable(app)\n");
    forget_frames(page);
    assert_int_equal(ls_backend_restart(t.backend, &t.err), 0);
    fire_flush();
    const char *none = strstr(ls_buf_text(&page->frames), VALUE(2, "[]")), *list = strstr(ls_buf_text(&page->frames), VALUE(2, "[{\"obj\":3},{\"obj\":4}]"));
    assert_non_null(none);
    assert_true(list > none);
    assert_null(strstr(ls_buf_text(&page->frames), "#0"));
    forget_frames(page);
    say(page, WRITE(5, "\"meant for a\"", 1),
        "[" ANSWER(5, "null", 1) "," ERROR(5, "gone", "variable 5 follows no element of its list") "]");
    forget_frames(page);
    receive(page, USER(WRITE(6, "\"meant for b\"", 1)));
    assert_non_null(strstr(ls_buf_text(&page->frames), ERROR(6, "gone", "variable 6 follows no element of its list")));
    run_lua("assert(app.rows[1].name == 'b' and app.rows[2].name == 'a')");
    forget_frames(page);
    receive(page, CALM("{\"type\":\"destroy\",\"data\":{\"varId\":4}}," CREATE(7, 2, PATH("#3")) "," CREATE(8, 7, PATH("name"))));
    fire_flush();
    assert_non_null(strstr(ls_buf_text(&page->frames), VALUE(8, "\"b\"")));
    receive(page, USER(WRITE(8, "\"B\"", 1)));
    run_lua("assert(app.rows[1].name == 'B')");
}

static void r8_of_is_for_our_client_alone(void **state)
{
    (void)state;
    struct page *page = selecting_page(), *other = connect_page(1);
    receive(page, CALM(CREATE(2, 1, PATH("selected")) "," CREATE(3, 2, PATH("name"))));
    say(other, CALM(CREATE(2, 1, PATH("selected")) "," CREATE(3, 2, PATH("name")) "," CREATE(4, 1, PATH("selected.remove()") ",\"access\":\"action\"")),
        "[" BOTH(2, "{\"obj\":3}", "\"type\":\"Doc\"") "," VALUE(3, "\"a\"") "]");
    forget_frames(page);
    run_lua("app.selected = b");
    expect_frames(other, "[" VALUE(2, "{\"obj\":4}") "," VALUE(3, "\"b\"") "]\n");
    receive(other, USER(MEANT(3, "\"z\"", 1, 3)));
    expect_frames(other, "");
    run_lua("assert(a.name == 'a' and b.name == 'z')");
}

static void r8_of_with_lists_wrappers_and_presenters(void **state)
{
    (void)state;
    serve("a = { type = 'Doc', name = 'a', tags = { 't', 'u' } } b = { type = 'Doc', name = 'b', tags = { 'v' } }\n"
          "app = { type = 'App', docs = { a, b }, selected = a }\n"
          "Card = session:prototype('Card', { text = '' })\n"
          "function Card:new(var) return session:create(Card, { item = var:getValue(), text = var:getValue().name }) end\n"
          "session:createAppVariable(app)\n");
    struct page *page = connect_page(0);
    receive(page, CLIENT(TAB_A));
    receive(page, CREATE(20, 1, PATH("docs")));
    fire_flush();
    forget_frames(page);
    /* By position: the element. Below a wrapper: the wrapper. In an array: the array. */
    receive(page, CALM(CREATE(2, 1, PATH("docs")) "," CREATE(3, 2, PATH("0")) "," CREATE(4, 3, PATH("name")) ","
                           CREATE(5, 1, PATH("selected") ",\"wrapper\":\"Card\"") "," CREATE(6, 5, PATH("text")) "," CREATE(7, 5, PATH("item.name")) ","
                           CREATE(8, 1, PATH("selected")) "," CREATE(9, 8, PATH("tags")) "," CREATE(10, 9, PATH("0")) "," CREATE(11, 1, PATH("selected.tags.0"))));
    fire_flush();
    static const char *const first[] = {SHOWN(4, "\"a\"", 3), SHOWN(6, "\"a\"", 6), SHOWN(7, "\"a\"", 3), SHOWN(10, "\"t\"", 7), SHOWN(11, "\"t\"", 7)};
    for (size_t i = 0; i < COUNT(first); i++)
        assert_non_null(strstr(ls_buf_text(&page->frames), first[i]));
    forget_frames(page);
    run_lua("table.insert(app.docs, 1, table.remove(app.docs))");
    assert_non_null(strstr(ls_buf_text(&page->frames), SHOWN(4, "\"b\"", 4)));
    receive(page, USER(MEANT(4, "\"z\"", 1, 3)));
    run_lua("assert(a.name == 'z' and b.name == 'b')");
    forget_frames(page);
    run_lua("app.selected = b");
    static const char *const second[] = {SHOWN(10, "\"v\"", 8), SHOWN(11, "\"v\"", 8)};
    for (size_t i = 0; i < COUNT(second); i++)
        assert_non_null(strstr(ls_buf_text(&page->frames), second[i]));
    receive(page, USER(MEANT(11, "\"w\"", 1, 7)));
    run_lua("assert(a.tags[1] == 'w' and b.tags[1] == 'v')");
}

static void r8_of_and_rows_that_follow_their_elements(void **state)
{
    (void)state;
    struct page *page = selecting_page();
    /* A row is bound to its object; what that object points to can be exchanged all the same. */
    say(page, CALM(CREATE(2, 20, PATH("#3")) "," CREATE(3, 2, PATH("name")) "," CREATE(4, 20, PATH("#3.name")) "," CREATE(5, 2, PATH("home.town")) ","
                       CREATE(6, 20, PATH("#3.home.town")) "," CREATE(7, 20, PATH("#3.home")) "," CREATE(8, 7, PATH("town"))),
        "[" BOTH(2, "{\"obj\":3}", "\"type\":\"Doc\"") "," VALUE(3, "\"a\"") "," SHOWN(5, "\"A\"", 5) "," VALUE(4, "\"a\"") "," SHOWN(6, "\"A\"", 5) ","
            VALUE(7, "{\"obj\":5}") "," SHOWN(8, "\"A\"", 5) "]");
    run_lua("table.remove(app.docs, 1) a.home = { town = 'Q' }");
    forget_frames(page);
    receive(page, USER(MEANT(6, "\"R\"", 1, 6)));
    run_lua("assert(a.home.town == 'R')");
    forget_frames(page);
    run_lua("a.home = { town = 'T' }"); /* the one before is held by nobody */
    forget_frames(page);
    receive(page, USER(MEANT(8, "\"S\"", 1, 6)));
    assert_non_null(strstr(ls_buf_text(&page->frames), GONE(8)));
    run_lua("assert(a.home.town == 'T')");
}

/* --- a page far away --- */

/* Frames of the page travel as slowly as the test likes, in order; what it is sent waits in its record until it is looked at. */
enum { VIEW = 2, BELOW, ALONG, KEY, MARK, CLEANED, PLAIN, FIELDS };

struct far {
    struct page *page;
    struct ls_buf up;                /* frames on their way, each ends with NUL */
    size_t sent, seen;               /* bytes of both ways that have arrived */
    char shown[FIELDS][128];         /* JSON text */
    int64_t seq[FIELDS], of[FIELDS]; /* of the last write; as told last, -1 = never */
    char key[FIELDS][16];            /* an edit that has begun: the key of the object it is meant for, "" = none */
    int64_t meant[FIELDS];
    uint32_t random;
    unsigned gone;
};

static unsigned draw(struct far *far, unsigned below)
{
    far->random = far->random * 1664525u + 1013904223u;
    return (far->random >> 8) % below;
}

static void take_far_update(struct far *far, const char *data, size_t len)
{
    const char *text;
    size_t size;
    if (!ls_json_member(data, len, "varId", &text, &size))
        return;
    long id = strtol(text, NULL, 10);
    if (id < VIEW || id >= FIELDS)
        return;
    if (ls_json_member(data, len, "of", &text, &size))
        far->of[id] = *text == 'n' ? 0 : strtoll(text, NULL, 10);
    int64_t seq = ls_json_member(data, len, "seq", &text, &size) ? strtoll(text, NULL, 10) : 0;
    if (seq >= far->seq[id] && ls_json_member(data, len, "value", &text, &size))
        snprintf(far->shown[id], sizeof far->shown[id], "%.*s", (int)size, text);
}

/* One frame arrives at the page. */
static bool arrive_down(struct far *far)
{
    const char *line = ls_buf_text(&far->page->frames) + far->seen, *end = strchr(line, '\n');
    if (!end)
        return false;
    far->seen = (size_t)(end + 1 - ls_buf_text(&far->page->frames));
    struct ls_batch *batch = ls_batch_parse(NULL, NULL, line, (size_t)(end - line), 10000, NULL); /* a client may speak so, too: only where messages begin is asked here */
    size_t count = batch->count;
    ls_batch_free(batch);
    struct ls_json_reader reader;
    const char *message, *data;
    size_t len, data_len;
    ls_json_read(&reader, line, (size_t)(end - line));
    enum ls_json_token token = ls_json_next(&reader);
    if (token == LS_JSON_ARRAY)
        token = ls_json_next(&reader);
    for (size_t i = 0; i < count; i++, token = ls_json_next(&reader)) {
        assert_true(ls_json_skip(&reader, token, &message, &len));
        if (ls_json_member(message, len, "data", &data, &data_len) && strstr(message, "{\"type\":\"update\"") == message)
            take_far_update(far, data, data_len);
        far->gone += strncmp(message, "{\"type\":\"error\"", 15) == 0 && memmem(message, len, "\"gone\"", 6) != NULL;
    }
    return true;
}

static bool arrive_up(struct far *far)
{
    if (far->sent == far->up.len)
        return false;
    const char *frame = ls_buf_text(&far->up) + far->sent;
    far->sent += strlen(frame) + 1;
    receive(far->page, frame);
    return true;
}

static void far_write(struct far *far, int id, const char *value)
{
    char of[32] = "";
    if (far->meant[id] >= 0)
        snprintf(of, sizeof of, ",\"of\":%lld", (long long)far->meant[id]);
    if (far->meant[id] == 0)
        strcpy(of, ",\"of\":null");
    ls_buf_printf(&far->up, "{\"userEvent\":%s,\"messages\":[{\"type\":\"update\",\"data\":{\"varId\":%d,\"value\":%s,\"seq\":%lld%s}}]}",
                  draw(far, 2) ? "true" : "false", id, value, (long long)++far->seq[id], of);
    ls_buf_char(&far->up, '\0');
    snprintf(far->shown[id], sizeof far->shown[id], "%s", value); /* as one who types sees it */
}

/* Begin an edit, or commit the one that has begun: what is typed says for which object. */
static void far_edit(struct far *far, int id)
{
    char value[64];
    if (!*far->key[id]) {
        if (far->of[id] > 0 && far->shown[KEY][0] == '"')
            snprintf(far->key[id], sizeof far->key[id], "%.*s", (int)strlen(far->shown[KEY]) - 2, far->shown[KEY] + 1);
        far->meant[id] = far->of[id];
        return;
    }
    snprintf(value, sizeof value, "\"%s:%lld%s\"", far->key[id], (long long)far->seq[id] + 1, draw(far, 3) ? "" : " ");
    far_write(far, id, value);
    *far->key[id] = '\0';
}

static void far_step(struct far *far, struct page *near)
{
    static const char *const typed[] = {"\"a\"", "\" a \"", "\"bad\"", "\"\"", "\"b\"", "null", "7"};
    static const char *const programs[] = {
        "app.selected = docs[math.random(#docs)]", "app.selected = docs[math.random(#docs)]", "app.selected = nil", "app.name = 'p' .. math.random(3)",
        "app.text = 'q' .. math.random(3)", "local d = docs[math.random(#docs)] d.text = d.key .. ':p'",
        "local i = math.random(#docs) docs[i] = Doc(nextkey()) collectgarbage()", "app.locked = not app.locked",
    };
    char frame[128];
    far->meant[CLEANED] = far->meant[PLAIN] = -1;
    switch (draw(far, 12)) {
    case 0: case 1: far_write(far, CLEANED, typed[draw(far, COUNT(typed))]); break;
    case 2: far_write(far, PLAIN, typed[draw(far, COUNT(typed))]); break;
    case 3: far_edit(far, BELOW); break;
    case 4: far_edit(far, ALONG); break;
    case 5: far_edit(far, MARK); break;
    case 6: run_lua(programs[draw(far, COUNT(programs))]); break;
    case 7:
        snprintf(frame, sizeof frame, "{\"type\":\"update\",\"data\":{\"varId\":%d,\"value\":%s}}", (int)draw(far, 2) + 2, typed[draw(far, COUNT(typed))]);
        receive(near, frame);
        break;
    case 8: case 9: arrive_up(far); break;
    case 10: fire_flush(); break;
    default: arrive_down(far); break;
    }
    forget_frames(near);
}

static void r8_page_and_program_agree_when_it_is_quiet(void **state)
{
    (void)state;
    serve("keys = 0 function nextkey() keys = keys + 1 return 'k' .. keys end\n"
          "function Doc(key)\n"
          "    local doc = { type = 'Doc', key = key, text = key .. ':0' }\n"
          "    local function check(self, v) if v:match('^(k%d+):') ~= self.key then wrong = self.key .. ' got ' .. v end taken = (taken or 0) + 1 end\n"
          "    function doc:title(v) if v ~= nil then check(self, v) self.text = v:match('^%s*(.-)%s*$') end return self.text end\n"
          "    function doc:mark(v) check(self, v) end\n"
          "    return doc\n"
          "end\n"
          "docs = { Doc(nextkey()), Doc(nextkey()), Doc(nextkey()) }\n"
          "app = { type = 'App', selected = docs[1], name = 'n', text = 't' }\n"
          "function app:clean(v)\n"
          "    if v ~= nil then if v == 'bad' or self.locked then error('refused', 0) end self.text = tostring(v):match('^%s*(.-)%s*$') end return self.text\n"
          "end\n"
          "math.randomseed(7) session:createAppVariable(app)\n");
    struct far far = {.page = connect_page(0), .up = LS_BUF_INIT, .random = 20261129};
    struct page *near = connect_page(1);
    for (int i = 0; i < FIELDS; i++)
        far.of[i] = far.meant[i] = -1;
    receive(near, CALM(WATCH(1) "," CREATE(2, 1, PATH("clean()")) "," CREATE(3, 1, PATH("name"))));
    receive(far.page, CLIENT(TAB_A));
    receive(far.page, CALM(CREATE(2, 1, PATH("selected")) "," CREATE(3, 2, PATH("title()")) "," CREATE(4, 1, PATH("selected.title()")) ","
                               CREATE(5, 2, PATH("key") ",\"access\":\"r\"") "," CREATE(6, 2, PATH("mark(_)") ",\"access\":\"action\"") ","
                               CREATE(7, 1, PATH("clean()")) "," CREATE(8, 1, PATH("name"))));
    for (int step = 1; step <= 10000; step++) {
        far_step(&far, near);
        if (step % 100 != 0)
            continue;
        while (arrive_up(&far))
            continue;
        run_lua("app.quiet = true"); /* flushes */
        while (arrive_down(&far))
            continue;
        run_lua("assert(not wrong, wrong)");
        ls_buf_clear(&far.page->frames);
        far.seen = 0;
        ls_buf_clear(&far.up);
        far.sent = 0;
        static const int read[] = {BELOW, ALONG, KEY, CLEANED, PLAIN};
        for (size_t i = 0; i < COUNT(read); i++) {
            char ask[64], answer[256];
            snprintf(ask, sizeof ask, "{\"type\":\"get\",\"varIds\":[%d]}", read[i]);
            receive(far.page, ask);
            fire_flush();
            snprintf(answer, sizeof answer, "\"value\":%s,\"properties\"", far.shown[read[i]]);
            if (!strstr(ls_buf_text(&far.page->frames), answer))
                fail_msg("step %d, variable %d: the page shows %s, the session says %s", step, read[i], far.shown[read[i]], ls_buf_text(&far.page->frames));
            ls_buf_clear(&far.page->frames);
        }
    }
    run_lua("assert(taken > 100, taken)");
    assert_true(far.gone > 10);
    ls_buf_release(&far.up);
}

/* --- tabs --- */

static void R8_P114_a_tab_that_comes_back_ends_its_predecessor(void **state)
{
    (void)state;
    struct page *old = our_page();
    size_t before = ls_tracker_count(ls_backend_tracker(t.backend));
    struct page *page = marked_page(1, CLIENT(TAB_A));
    assert_int_equal(ls_tracker_count(ls_backend_tracker(t.backend)), before);
    expect_frames(old, NO_ID("replaced", "another connection shows this tab now; begin anew with a token of its own") "\n");
    static const char *const said[] = {WRITE(2, "\"X\"", 1), VALUE(2, "\"X\""), CREATE(2, 1, PATH("name")), DESTROY(2), WATCH(2), UNWATCH(2), WATCH(1),
                                       "{\"type\":\"get\",\"varIds\":[1]}", "{\"type\":\"update\",\"varId\":1,\"properties\":{\"lua\":\"app.name = 'X'\"}}"};
    for (size_t i = 0; i < COUNT(said); i++) {
        receive(old, said[i]);
        fire_flush();
        assert_non_null(strstr(ls_buf_text(&old->frames), "\"code\":\"replaced\""));
        assert_int_equal(old->count, 1);
        forget_frames(old);
    }
    run_lua("assert(app.name == 'North')");
    expect_frames(page, "");
    assert_int_equal(ls_tracker_count(ls_backend_tracker(t.backend)), before);
    /* It may live all the same: a duplicated tab. Under a token of its own it begins anew, and both go on. */
    say(old, CLIENT(TAB_B), BOTH(1, "{\"obj\":2}", "\"type\":\"App\""));
    say(old, CREATE(12, 1, PATH("name")), VALUE(12, "\"North\""));
    expect_frames(page, "");
    receive(old, USER(WRITE(12, "\"N\"", 1)));
    expect_frames(old, ANSWER(12, "\"N\"", 1) "\n");
    expect_frames(page, VALUE(2, "\"N\"") "\n");
    /* The same connection may say its name again. */
    receive(page, CLIENT(TAB_A));
    fire_flush();
    assert_null(strstr(ls_buf_text(&page->frames), "replaced"));
    forget_frames(page);
    say(page, WRITE(2, "\"M\"", 1), ANSWER(2, "\"M\"", 1));
}

static void R8_P114_a_lost_marked_connection_leaves_nothing(void **state)
{
    (void)state;
    our_page();
    leave(0, true);
    assert_int_equal(ls_tracker_count(ls_backend_tracker(t.backend)), 1);
    assert_int_equal(t.grace_due, 0);
}

int main(void)
{
#define LS_TEST(name) cmocka_unit_test_setup_teardown(name, site_set_up, site_tear_down)
    const struct CMUnitTest tests[] = {
        LS_TEST(r8_the_mark_of_our_client), LS_TEST(r8_the_mark_holds_without_an_app_object), LS_TEST(r8_each_numbered_write_is_answered),
        LS_TEST(r8_absurd_numbers_are_refused), LS_TEST(r8_several_writes_in_one_batch), LS_TEST(r8_inactive_variables_answer),
        LS_TEST(r8_a_failing_getter_keeps_its_mark), LS_TEST(r8_two_tabs_side_by_side), LS_TEST(r8_a_variable_that_all_share),
        LS_TEST(r8_numbers_survive_a_restart), LS_TEST(r1_rows_of_another_machine_mean_nothing), LS_TEST(r8_of_tells_the_object_that_holds_a_place), LS_TEST(r8_of_where_methods_lead),
        LS_TEST(r8_a_write_reaches_the_object_it_was_meant_for), LS_TEST(r8_a_write_to_an_object_that_is_gone),
        LS_TEST(r8_a_place_remembers_a_few_objects), LS_TEST(r8_of_while_a_variable_is_inactive_or_unwatched), LS_TEST(r8_of_follows_path_and_access),
        LS_TEST(r8_of_of_another_machine_means_nothing), LS_TEST(r8_of_is_for_our_client_alone), LS_TEST(r8_of_with_lists_wrappers_and_presenters),
        LS_TEST(r8_of_and_rows_that_follow_their_elements), LS_TEST(r8_page_and_program_agree_when_it_is_quiet),
        LS_TEST(R8_P114_a_tab_that_comes_back_ends_its_predecessor),
        LS_TEST(R8_P114_a_lost_marked_connection_leaves_nothing),
    };
#undef LS_TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
