/* Unit tests of lib/syntax: extents, hashes, variables, functions. That it accepts what Lua accepts, and tells
 * lines and upvalues as Lua does, is proved against Lua in test_session_syntax.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "syntax/tokens.h"

static struct ls_syntax *read_text(const char *text)
{
    struct ls_syntax_error error = {.line = -1};
    struct ls_syntax *syntax = ls_syntax_parse(text, strlen(text), &error);
    if (!syntax) fail_msg("%s: line %d: %s", text, error.line, error.message);
    return syntax;
}

static void assert_extent(const struct ls_syntax *syntax, uint32_t start, uint32_t end, const char *text)
{
    if (end - start != strlen(text) || memcmp(syntax->text + start, text, end - start) != 0)
        fail_msg("\"%.*s\" is not \"%s\"", (int)(end - start), syntax->text + start, text);
}

static void statements_and_expressions_tell_where_they_stand(void **state)
{
    (void)state;
    struct ls_syntax *syntax =
        read_text("local a, b = 1 + x.y, { k = 'v' } -- c\n\nif a\nthen f() elseif b then g() else "
                  "h() end return (a)\n");
    const struct ls_syntax_stat *stat = syntax->functions[0]->body;
    assert_int_equal(stat->kind, LS_STAT_LOCAL);
    assert_extent(syntax, stat->list->start, stat->list->end, "1 + x.y");
    assert_extent(syntax, stat->list->right->start, stat->list->right->end, "x.y");
    assert_extent(syntax, stat->list->next->list->start, stat->list->next->list->end, "'v'");
    assert_extent(syntax, stat->list->next->list->key->start, stat->list->next->list->key->end, "k");
    assert_ptr_equal(stat->variables->value, stat->list);
    stat = stat->next;
    assert_int_equal(stat->kind, LS_STAT_IF);
    assert_int_equal(stat->line, 3);
    assert_extent(syntax, stat->orelse->start, stat->orelse->list->end, "elseif b");
    assert_int_equal(stat->orelse->orelse->kind, LS_STAT_DO);
    stat = stat->next;
    assert_extent(syntax, stat->start, stat->list->end, "return (a)");
    assert_null(stat->next);
    assert_int_equal(syntax->mention_count, 7); /* x.y a f b g h a */
    assert_true(syntax->mentions[2].call && !syntax->mentions[1].call);
    ls_syntax_free(syntax);
}

static bool same(const char *one, const char *other)
{
    struct ls_syntax *a = read_text(one), *b = read_text(other);
    bool equal = a->hash == b->hash;
    ls_syntax_free(a);
    ls_syntax_free(b);
    return equal;
}

static void what_says_the_same_has_the_same_hash(void **state)
{
    (void)state;
    static const char *const equal[][2] = {
        {"x=1", "-- c\nx  =\n\t1 --[[ d ]]"},
        {"x = 'a'", "x = \"\\97\""},
        {"x = 'a\\nb'", "x = [[\na\nb]]"},
        {"x = 16", "x = 0x10"},
        {"x = 1.5", "x = 15e-1"},
        {"x = { 1, 2 }", "x = { 1; 2, }"},
        {"x = { a = 1 }", "x = { ['a'] = 1 }"},
        {"f 'x'", "f('x')"},
        {"f { 1 }", "f({ 1 })"},
        {"a() b()", "a(); ;b();"},
        {"x = t.a", "x = t['a']"},
        {"return 1", "return 1;"},
        {"return", "return;"},
        {"#!/bin/lua\nx = 1", "x = 1"},
        {"\xef\xbb\xbfx = 1", "x = 1"},
        {"function f(a, ...) return a end", "function f(a,...)return a;end"},
    };
    static const char *const different[][2] = {
        {"x = 1", "x = 1.0"},
        {"x = 1", "x = '1'"},
        {"x = a", "x = b"},
        {"x = a", "y = a"},
        {"local x = a", "x = a"},
        {"x = a + b", "x = a - b"},
        {"x = (a)", "x = a"},
        {"x = (a + b) * c", "x = a + b * c"},
        {"x = -a", "x = not a"},
        {"a.b()", "a:b()"},
        {"f(a, b)", "f(a) b()"},
        {"x, y = 1", "x = y, 1"},
        {"x = { 1 }", "x = { { 1 } }"},
        {"x = { [1] = 2 }", "x = { 2 }"},
        {"x = {}", "x = { nil }"},
        {"if a then b() end", "while a do b() end"},
        {"if a then b() end", "if a then else b() end"},
        {"if a then elseif b then else c() end", "if a then else c() end"},
        {"do a() end b()", "do a() b() end"},
        {"for i = 1, 2 do end", "for i = 1, 2, 3 do end"},
        {"for i, j in a do end", "for i in a do end"},
        {"local x <const> = a", "local x = a"},
        {"function f(a) end", "function f(a, ...) end"},
        {"goto a ::a::", "::a:: goto a"},
        {"repeat a() until b", "while b do a() end"},
        {"return a", "return a, b"},
        {"x = ...", "x = nil"},
        {"x = true", "x = false"},
    };
    for (unsigned i = 0; i < sizeof equal / sizeof *equal; i++)
        if (!same(equal[i][0], equal[i][1])) fail_msg("%s\nis not\n%s", equal[i][0], equal[i][1]);
    for (unsigned i = 0; i < sizeof different / sizeof *different; i++)
        if (same(different[i][0], different[i][1])) fail_msg("%s\nis\n%s", different[i][0], different[i][1]);
}

static const struct ls_syntax_variable *variable(const struct ls_syntax *syntax, const char *name)
{
    return ls_syntax_variable(syntax, name, strlen(name));
}

static void variables_of_the_main_block_are_told(void **state)
{
    (void)state;
    struct ls_syntax *syntax = read_text("local a, b <const>, c <const> = 1, f(), 5\nlocal twice local twice\n"
                                         "do local inner = a end\nfor i = 1, 2 do end\n"
                                         "local function f() return a, b, c, g end\nlocal g, h = f()\na = 2");
    assert_int_equal(syntax->variable_count, 8);
    assert_true(variable(syntax, "a")->assigned);
    assert_true(variable(syntax, "b")->constant && !variable(syntax, "b")->folded);
    assert_true(variable(syntax, "c")->constant && variable(syntax, "c")->folded);
    assert_null(variable(syntax, "twice"));
    assert_null(variable(syntax, "inner"));
    assert_null(variable(syntax, "i"));
    assert_int_equal(variable(syntax, "f")->value->kind, LS_EXPR_FUNCTION);
    assert_int_equal(variable(syntax, "h")->value->kind, LS_EXPR_CALL);
    assert_int_equal(variable(syntax, "h")->main, 7);
    const struct ls_syntax_function *f = syntax->functions[1];
    assert_int_equal(f->upvalue_count, 3); /* `c` is folded, and `g` is a global there */
    assert_int_equal(f->upvalues[0].main, 0);
    assert_int_equal(f->upvalues[1].main, 1);
    assert_int_equal(f->upvalues[2].main, -1);
    assert_null(f->upvalues[2].variable);
    ls_syntax_free(syntax);
}

static void upvalues_tell_one_variable_from_another_of_its_name(void **state)
{
    (void)state;
    struct ls_syntax *syntax = read_text("local a = 1\n"
                                         "function f() return a end\n"
                                         "do local a = 2\n"
                                         "function g() return a end end\n"
                                         "function h(a) return function() return a end end\n");
    assert_int_equal(syntax->functions[1]->upvalues[0].main, 0);
    assert_int_equal(syntax->functions[2]->upvalues[0].main, -1);
    assert_int_equal(syntax->functions[4]->upvalues[0].main, -1);
    assert_ptr_equal(syntax->functions[4]->upvalues[0].variable, syntax->functions[3]->parameters);
    ls_syntax_free(syntax);
}

static void a_closure_is_found_by_lines_and_upvalues(void **state)
{
    (void)state;
    struct ls_syntax *syntax = read_text("local a, b\n"
                                         "f(function() return a end, function() return b end)\n"
                                         "f(function() return a end, function() return a end)\n"
                                         "f(function() return a end, function() return a + 1 end)\n"
                                         "do f(function() return a end) local a f(function() return a end) end\n");
    const char *const a[] = {"a"}, *const b[] = {"b"};
    assert_ptr_equal(ls_syntax_function(syntax, 2, 2, 1, a), syntax->functions[1]);
    assert_ptr_equal(ls_syntax_function(syntax, 2, 2, 1, b), syntax->functions[2]);
    assert_null(ls_syntax_function(syntax, 2, 2, 0, NULL));
    assert_null(ls_syntax_function(syntax, 2, 3, 1, a));
    assert_true(ls_syntax_function(syntax, 3, 3, 1, a)->hash != 0);
    assert_true(ls_syntax_function(syntax, 4, 4, 1, a)->hash == 0); /* they mean the same variable, and differ */
    assert_null(ls_syntax_function(syntax, 5, 5, 1, a));            /* one means another variable */
    const char *const env[] = {"_ENV"};
    assert_ptr_equal(ls_syntax_function(syntax, 0, 0, 1, env), syntax->functions[0]);
    ls_syntax_free(syntax);
}

static void a_text_that_is_refused_says_where_and_why(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int line;
        const char *message;
    } rows[] = {
        {"x = 1\ny = = 2", 2, "unexpected symbol near '='"},
        {"x = 'a", 1, "unfinished string near <eof>"},
        {"if a then\nb()\n", 3, "'end' expected (to close 'if' at line 1) near <eof>"},
        {"x = [[", 1, "unfinished long string (starting at line 1) near '<eof>'"},
        {"local a <const> = 1\na = 2", 2, "attempt to assign to const variable 'a'"},
        {"goto x", 1, "no visible label 'x' for goto at line 1"},
        {"f", 1, "syntax error near <eof>"},
        {"local 1", 1, "<name> expected near '1'"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ls_syntax_error error;
        assert_null(ls_syntax_parse(rows[i].text, strlen(rows[i].text), &error));
        assert_int_equal(error.line, rows[i].line);
        assert_string_equal(error.message, rows[i].message);
    }
    assert_null(ls_syntax_parse("=", 1, NULL));
    ls_syntax_free(NULL);
}

static void want_of_memory_is_told_and_leaves_nothing(void **state)
{
    (void)state;
    static const char text[] =
        "local a = { b = 1, 'x\\n' } goto l ::l:: function f(c) return a, c, function() return c "
        "end end return f";
    struct ls_syntax *syntax = NULL;
    for (long n = 1; !syntax; n++) {
        struct ls_syntax_error error = {.line = -1};
        ls_alloc_fail_at(n);
        syntax = ls_syntax_parse(text, sizeof text - 1, &error);
        ls_alloc_fail_at(0);
        assert_true(syntax ? n > 5 : error.line == 0);
        if (!syntax) assert_string_equal(error.message, "not enough memory");
    }
    ls_syntax_free(syntax);
}

static void a_text_is_told_by_tokens_up_to_where_it_breaks(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", ""},
        {"# first\nlocal a-- x\n.b == 'x\\65'", "2=local 2N:a 3. 3N:b 3=== 3S:xA "},
        {"a[0x10] 1.5 --[[ b\n]] c", "1N:a 1[ 1I16 1] 1=1.5 2N:c "},
        {"a = [[\nx\n]] ) end b", "1N:a 1= 1S:x\n 3) 3=end 3N:b "},
        {"a 'open", "1N:a "},
        {"'open", ""},
        {"a --[[ open", "1N:a "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ls_buf out = LS_BUF_INIT;
        struct ls_token token;
        struct ls_tokens *tokens = ls_tokens_open(cases[i].text, strlen(cases[i].text));
        while (ls_tokens_next(tokens, &token)) {
            ls_buf_printf(&out, "%d", token.line);
            if (token.kind == LS_TOKEN_INTEGER)
                ls_buf_printf(&out, "I%d ", (int)token.integer);
            else if (token.kind != LS_TOKEN_OTHER)
                ls_buf_printf(&out, "%c:%.*s ", token.kind == LS_TOKEN_NAME ? 'N' : 'S', (int)token.string.len,
                              token.string.text);
            else if (token.symbol)
                ls_buf_printf(&out, "%c ", token.symbol);
            else
                ls_buf_printf(&out, "=%.*s ", (int)(token.end - token.start), cases[i].text + token.start);
        }
        assert_false(ls_tokens_next(tokens, &token));
        ls_tokens_close(tokens);
        assert_string_equal(ls_buf_text(&out), cases[i].want);
        ls_buf_release(&out);
    }
}

static void words_are_found_as_tokens(void **state)
{
    (void)state;
    static const char text[] = "-- Ship 'Ship'\nlocal s = [[a Ship]] Ships()\nShip = p(\"Ship\") 'Sh\\105p2'";
    assert_int_equal(ls_tokens_find(text, sizeof text - 1, "Ship", LS_TOKEN_NAME | LS_TOKEN_STRING), 3);
    assert_int_equal(ls_tokens_find(text, sizeof text - 1, "Ship", LS_TOKEN_STRING), 3);
    assert_int_equal(ls_tokens_find(text, sizeof text - 1, "s", LS_TOKEN_STRING), 0);
    assert_int_equal(ls_tokens_find(text, sizeof text - 1, "a Ship", LS_TOKEN_STRING), 2);
    assert_int_equal(ls_tokens_find(text, sizeof text - 1, "Ships", LS_TOKEN_STRING), 0);
    assert_int_equal(ls_tokens_find(text, sizeof text - 1, "Ships", LS_TOKEN_NAME), 2);
    assert_int_equal(ls_tokens_find(text, sizeof text - 1, "local", LS_TOKEN_NAME), 0);
    assert_int_equal(ls_tokens_find(NULL, 0, "x", LS_TOKEN_NAME), 0);
}

static void a_text_tells_what_is_in_scope_behind_it(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want; /* NULL = it does not tell */
    } cases[] = {
        {"", ""},
        {"local a, b = 1", "a b "},
        {"local a = ", ""},
        {"local a local function f(x, y) print(x, ", "a f x y "},
        {"local a do local b end x = f(", "a "},
        {"for i, v in pairs(t) do v.x = ", "i v "},
        {"function M:m(x) return ", "self x "},
        {"repeat local r until ", "r "},
        {"local a = f(function(b) g{ x = ", "b "},
        {"local a x x = ", NULL},
        {"local a = 'x", NULL},
        {"local a -- x", NULL},
        {"local a --[[ x", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ls_names names = {0};
        struct ls_buf out = LS_BUF_INIT;
        bool told = ls_syntax_scope(cases[i].text, strlen(cases[i].text), &names);
        for (uint32_t k = 0; k < names.count; k++)
            ls_buf_printf(&out, "%s ", names.items[k]);
        if (told != (cases[i].want != NULL) || (told && strcmp(ls_buf_text(&out), cases[i].want) != 0))
            fail_msg("%s: %d %s", cases[i].text, told, ls_buf_text(&out));
        assert_true(told || names.count == 0);
        ls_names_release(&names);
        ls_buf_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statements_and_expressions_tell_where_they_stand),
        cmocka_unit_test(what_says_the_same_has_the_same_hash),
        cmocka_unit_test(variables_of_the_main_block_are_told),
        cmocka_unit_test(upvalues_tell_one_variable_from_another_of_its_name),
        cmocka_unit_test(a_closure_is_found_by_lines_and_upvalues),
        cmocka_unit_test(a_text_that_is_refused_says_where_and_why),
        cmocka_unit_test(want_of_memory_is_told_and_leaves_nothing),
        cmocka_unit_test(a_text_is_told_by_tokens_up_to_where_it_breaks),
        cmocka_unit_test(words_are_found_as_tokens),
        cmocka_unit_test(a_text_tells_what_is_in_scope_behind_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
