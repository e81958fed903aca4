/* Reading view files for `lsess check`: attributes with their lines, and what is wrong (C1, F129). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "viewdef/scan.h"

static void on_attribute(void *ctx, int line, unsigned level, const char *element, const char *name, const char *value)
{
    ls_buf_printf(ctx, "%d:%u %s %s=%s\n", line, level, element, name, value);
}

static void on_problem(void *ctx, int line, const char *text)
{
    ls_buf_printf(ctx, "%d! %s\n", line, text);
}

static int scan(const char *text, struct ls_buf *out)
{
    struct ls_viewdef_visitor visitor = {.ctx = out, .attribute = on_attribute, .problem = on_problem};
    ls_buf_clear(out);
    return ls_viewdef_scan(text, strlen(text), &visitor);
}

static void c1_attributes_are_told_with_their_lines(void **state)
{
    (void)state;
    struct ls_buf out = LS_BUF_INIT;
    const char *text =
        "<!-- a note -->\n<template>\n  <h1 class=x UI-Value='title'></h1>\n  <ul>\n    <li ui-view=items?a=1&amp;b=2>\n    <li\n      ui-action=\"go('x')\" hidden>\n"
        "  </ul><input ui-value=\"q\">\n  <script>if (a < b) document.write('<b ui-value=\"no\">')</script>\n  <sl-icon ui-attr-name=\"n\" />\n</template>\n";
    assert_int_equal(scan(text, &out), 0);
    assert_string_equal(
        ls_buf_text(&out),
        "3:2 h1 ui-value=title\n5:3 li ui-view=items?a=1&b=2\n7:4 li ui-action=go('x')\n8:2 input ui-value=q\n10:2 sl-icon ui-attr-name=n\n");
    ls_buf_release(&out);
}

static void f129_one_template_and_nothing_beside_it(void **state)
{
    (void)state;
    static const struct {
        const char *text, *problem;
    } cases[] = {
        {"", "1! There is no <template> element; a view file holds exactly one.\n"},
        {"<template></template>\n<template></template>",
         "2! There is a second <template> element; a view file holds exactly one.\n"},
        {"<div></div>\n<template></template>", "1! <div> stands outside of the <template> element.\n"},
        {"<template></template>\nhello", "2! Text stands outside of the <template> element.\n"},
        {"<template>\n<div>\n</template>", "2! <div> is never closed.\n"},
        {"<template>\n<p>a<p>b</template>", ""},
        {"<template></b></template>", "1! </b> closes nothing.\n"},
        {"<template><b class=\"x></b></template>",
         "1! The value of attribute class has no closing quote.\n1! The tag <b> is not finished.\n1! <b> is never closed.\n1! <template> is never closed.\n"},
        {"<template>\n<!-- x</template>", "2! The comment is never closed.\n1! <template> is never closed.\n"},
        {"<template>\n<style>b {}</template>", "2! <style> is never closed.\n1! <template> is never closed.\n"},
        {"<template>\xff</template>", "1! The file is not valid UTF-8.\n"},
        {"<template><template></template></template>", ""},
    };
    struct ls_buf out = LS_BUF_INIT;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int problems = scan(cases[i].text, &out);
        assert_string_equal(ls_buf_text(&out), cases[i].problem);
        int lines = 0;
        for (const char *at = cases[i].problem; *at; at++)
            lines += *at == '\n';
        assert_int_equal(problems, lines);
    }
    ls_buf_release(&out);
}

static void any_bytes_are_survived_and_memory_may_end(void **state)
{
    (void)state;
    const char *text = "<template><a ui-value=\"x\"><b ui-view='y'></b></a><script></script></template>";
    struct ls_buf out = LS_BUF_INIT;
    struct ls_viewdef_visitor visitor = {.ctx = &out};
    for (size_t cut = 0; cut <= strlen(text); cut++)
        assert_true(ls_viewdef_scan(text, cut, &visitor) >= 0);
    int result = LS_ENOMEM;
    for (long n = 1; result == LS_ENOMEM && n < 100; n++) {
        ls_alloc_fail_at(n);
        result = ls_viewdef_scan(text, strlen(text), &visitor);
        ls_alloc_fail_at(0);
        assert_true(result == LS_ENOMEM || result == 0);
    }
    assert_int_equal(result, 0);
    ls_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c1_attributes_are_told_with_their_lines),
        cmocka_unit_test(f129_one_template_and_nothing_beside_it),
        cmocka_unit_test(any_bytes_are_survived_and_memory_may_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
