/* Unit tests of lib/base: buffers, maps, JSON text, UTF-8, durations and sizes, and running out of memory. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/alloc.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "base/text.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void buffers_grow_and_stay_c_strings(void **state)
{
    (void)state;
    struct ls_buf buf = LS_BUF_INIT;
    assert_string_equal(ls_buf_text(&buf), "");
    for (int i = 0; i < 1000; i++)
        ls_buf_printf(&buf, "%d,", i);
    assert_int_equal(buf.len, strlen(buf.data));
    assert_int_equal(buf.len, 10 * 2 + 90 * 3 + 900 * 4);
    ls_buf_shift(&buf, 2);
    assert_int_equal(buf.data[0], '1');
    ls_buf_cut(&buf, 1);
    assert_string_equal(buf.data, "1");
    size_t len;
    char *text = ls_buf_detach(&buf, &len);
    assert_string_equal(text, "1");
    assert_int_equal(len, 1);
    assert_null(buf.data);
    ls_free(text);
}

static void arrays_grow_and_a_refused_push_changes_nothing(void **state)
{
    (void)state;
    struct pair {
        uint32_t at;
        const char *name;
    } *pairs = NULL;
    uint32_t count = 0, cap = 0;
    for (unsigned i = 0; i < 1000; i++)
        assert_true(LS_PUSH(pairs, count, cap, (struct pair){i, "x"}));
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(pairs[i].at, i);
    assert_true(count == 1000 && cap >= 1000 && cap < 2000);
    assert_false(LS_RESERVE(pairs, (size_t)UINT32_MAX + 1, cap)); /* more than the count can say */
    assert_true(cap >= 1000 && pairs[999].at == 999);
    ls_free(pairs);

    struct ls_budget budget;
    ls_budget_init(&budget, 256);
    int64_t *numbers = NULL;
    size_t held = 0, room = 0;
    while (held < 1000 && LS_PUSH_IN(&budget, 0, numbers, held, room, 7)) {
    }
    assert_true(budget.hit && held == room && held >= 8 && held < 32);
    assert_true(LS_PUSH_IN(&budget, 1024, numbers, held, room, 8));
    assert_int_equal(numbers[held - 1], 8);
    ls_alloc_fail_at(1);
    assert_false(LS_RESERVE_IN(&budget, SIZE_MAX / 2, numbers, room + 1, room));
    ls_alloc_fail_at(0);
    assert_false(LS_RESERVE(numbers, SIZE_MAX / 8 + 1, room));
    assert_int_equal(numbers[held - 1], 8);
    ls_budget_free(&budget, numbers);
    assert_int_equal(ls_budget_total(&budget), 0);
}

static void a_failed_allocation_sticks(void **state)
{
    (void)state;
    struct ls_buf buf = LS_BUF_INIT;
    ls_alloc_fail_at(1);
    ls_buf_str(&buf, "lost");
    ls_alloc_fail_at(0);
    ls_buf_str(&buf, "ignored");
    assert_true(ls_buf_failed(&buf));
    assert_string_equal(ls_buf_text(&buf), "");
    assert_null(ls_buf_detach(&buf, NULL));
    assert_null(ls_array(SIZE_MAX / 2, 4));
}

static void errors_are_cut_between_characters(void **state)
{
    (void)state;
    LS_ERR(err);
    char text[2 * LS_ERR_TEXT];
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    text[sizeof text - 2] = 0;
    assert_int_equal(ls_fail(&err, LS_EIO, "%s", text), LS_EIO);
    assert_true(ls_utf8_valid(ls_err_text(&err), strlen(ls_err_text(&err))));
    assert_int_equal(ls_fail_text(&err, LS_ELUA, "a\0b\nc\0", 6), LS_ELUA); /* it does not end at a NUL */
    assert_string_equal(ls_err_text(&err), "a\xef\xbf\xbd"
                                           "b\nc\xef\xbf\xbd");
    char zeros[LS_ERR_TEXT] = "";
    ls_fail_text(&err, LS_ELUA, zeros, sizeof zeros);
    assert_true(strlen(ls_err_text(&err)) < LS_ERR_TEXT && strlen(ls_err_text(&err)) > LS_ERR_TEXT - 8);
    assert_string_equal(ls_err_text(&err) + strlen(ls_err_text(&err)) - 3, "\xe2\x80\xa6");
    assert_int_equal(ls_fail_text(&err, LS_ELUA, text, strlen(text)), LS_ELUA);
    assert_true(ls_utf8_valid(ls_err_text(&err), strlen(ls_err_text(&err))));
    assert_string_equal(ls_error_name(LS_ENOTFOUND), "not-found");
    assert_int_equal(ls_fail(NULL, LS_EIO, "nobody listens"), LS_EIO);
}

static bool ends_with(const char *text, const char *end)
{
    return strlen(text) >= strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

static void long_errors_lie_on_the_heap_and_short_ones_inside(void **state)
{
    (void)state;
    LS_ERR(err);
    LS_ERR(other);
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_true(sizeof err <= 256);
    ls_fail(&err, LS_EIO, "%.*s", (int)sizeof err.brief - 1, text);
    assert_true(!err.longer && strlen(ls_err_text(&err)) == sizeof err.brief - 1);
    ls_fail(&err, LS_EIO, "%s", text);
    assert_string_equal(ls_err_text(&err), text);
    ls_fail(&err, LS_ELUA, "%s, and so on", ls_err_text(&err)); /* of its own text */
    assert_true(err.longer && ends_with(ls_err_text(&err), "xx, and so on"));
    ls_err_move(&other, &err);
    assert_true(other.code == LS_ELUA && ends_with(ls_err_text(&other), "and so on") && err.code == 0 &&
                !*ls_err_text(&err));
    ls_alloc_fail_at(1);
    ls_fail_text(&other, LS_ENOMEM, text, sizeof text - 1);
    ls_alloc_fail_at(0);
    assert_true(other.code == LS_ENOMEM && !other.longer && ends_with(ls_err_text(&other), "xx\xe2\x80\xa6"));
    ls_fail(&other, LS_EIO, "short");
    assert_string_equal(ls_err_text(&other), "short");
}

static void maps_keep_insertion_order(void **state)
{
    (void)state;
    struct ls_map *map = ls_map_new();
    char key[16];
    int values[300];
    for (int i = 0; i < 300; i++) {
        int len = snprintf(key, sizeof key, "k%d", i);
        assert_true(ls_map_put(map, key, (size_t)len, &values[i], NULL));
    }
    void *old;
    assert_true(ls_map_put(map, "k7", 2, &values[0], &old));
    assert_ptr_equal(old, &values[7]);
    assert_ptr_equal(ls_map_take(map, "k8", 2), &values[8]);
    assert_null(ls_map_get(map, "k8", 2));
    assert_int_equal(ls_map_count(map), 299);
    int seen = 0;
    for (struct ls_map_item *e = ls_map_first(map); e; e = ls_map_next(e), seen++)
        if (seen == 8) assert_string_equal(ls_map_key(e, NULL), "k9");
    assert_int_equal(seen, 299);
    assert_true(ls_map_put(map, "with\0nul", 8, &values[1], NULL));
    assert_null(ls_map_get(map, "with", 4));
    ls_map_free(map, NULL);

    struct ls_idmap *ids = ls_idmap_new();
    for (int64_t i = -50; i < 50; i++)
        assert_true(ls_idmap_put(ids, i * INT64_C(1000000007), &values[i + 50], NULL));
    assert_ptr_equal(ls_idmap_get(ids, -50 * INT64_C(1000000007)), &values[0]);
    assert_ptr_equal(ls_idmap_take(ids, 0), &values[50]);
    assert_int_equal(ls_idmap_count(ids), 99);
    ls_idmap_free(ids, NULL);
}

/* Ids in use, against a plain table of them: what was put and not taken is there, in order of insertion, whatever came
 * and went between. */
/* Room of many entries that were taken is given back when asked for, and nothing else changes. */
static void idmaps_shrink(void **state)
{
    (void)state;
    static char values[100];
    struct ls_idmap *map = ls_idmap_new();
    for (int64_t id = 0; id < 100000; id++)
        assert_true(ls_idmap_put(map, id, &values[id % 100], NULL));
    for (int64_t id = 0; id < 100000; id++)
        if (id % 1000) assert_non_null(ls_idmap_take(map, id));
    ls_idmap_shrink(map);
    assert_int_equal(ls_idmap_count(map), 100);
    for (int64_t id = 0; id < 100000; id++)
        assert_ptr_equal(ls_idmap_get(map, id), id % 1000 ? NULL : &values[id % 100]);
    int64_t last = -1;
    for (struct ls_idmap_item *e = ls_idmap_first(map); e; e = ls_idmap_next(e)) {
        assert_true(ls_idmap_id(e) > last);
        last = ls_idmap_id(e);
    }
    ls_idmap_shrink(map);
    ls_idmap_free(map, NULL);
}

/* No text of others speaks to a terminal or passes for a line of ours. */
static void texts_are_shown_without_what_a_terminal_obeys(void **state)
{
    (void)state;
    static const struct {
        const char *text, *lines, *line;
    } rows[] = {
        {"", "", ""},
        {"plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80\t\xc2\xa0",
         "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80\t\xc2\xa0", NULL},
        {"\x1b[31m\x07\r\x7f", "\\x1b[31m\\x07\\x0d\\x7f", NULL},
        {"a\nb\n\nc\n", "a\n> b\n> \n> c\n", "a\\x0ab\\x0a\\x0ac\\x0a"},
        {"\xc2\x80\xc2\x9b\xc2\x9f", "\\u{80}\\u{9b}\\u{9f}", NULL},
        {"\xd8\x9c\xd8\x9d", "\\u{61c}\xd8\x9d", NULL},
        {"\xe2\x80\x8d\xe2\x80\x8e\xe2\x80\x8f\xe2\x80\x90", "\xe2\x80\x8d\\u{200e}\\u{200f}\xe2\x80\x90", NULL},
        {"\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa\xe2\x80\xae\xe2\x80\xaf",
         "\xe2\x80\xa7\\u{2028}\\u{2029}\\u{202a}\\u{202e}\xe2\x80\xaf", NULL},
        {"\xe2\x81\xa5\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xaa", "\xe2\x81\xa5\\u{2066}\\u{2069}\xe2\x81\xaa", NULL},
        {"\xff\xc2", "\\xff\\xc2", NULL},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ls_buf out = LS_BUF_INIT;
        ls_text_show(&out, rows[i].text, strlen(rows[i].text), "> ");
        assert_string_equal(ls_buf_text(&out), rows[i].lines);
        ls_buf_clear(&out);
        ls_text_show(&out, rows[i].text, strlen(rows[i].text), NULL);
        assert_string_equal(ls_buf_text(&out), rows[i].line ? rows[i].line : rows[i].lines);
        ls_buf_release(&out);
    }
}

static void maps_of_ids_keep_what_they_are_given(void **state)
{
    (void)state;
    enum { IDS = 3000, STEPS = 60000 };
    static uintptr_t held[IDS];
    static const int64_t bases[] = {-IDS / 2, INT64_C(1) << 40, INT64_MIN, INT64_MAX - IDS};
    for (size_t round = 0; round < sizeof bases / sizeof *bases; round++) {
        struct ls_idmap *map = ls_idmap_new();
        memset(held, 0, sizeof held);
        assert_null(ls_idmap_first(map));
        assert_null(ls_idmap_take(map, 1));
        size_t count = 0;
        uint64_t random = 88172645463325252u + round;
        for (uintptr_t step = 1; step <= STEPS; step++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            size_t i = random % IDS;
            /* Grows and shrinks in turns, to nothing at the end. */
            if ((random >> 32) % 8 < (step / 10000 % 2 ? 2u : 6u) && step < STEPS - 10000) {
                void *old;
                assert_true(ls_idmap_put(map, bases[round] + (int64_t)i, (void *)step, &old));
                assert_int_equal((uintptr_t)old, held[i]);
                count += !held[i];
                held[i] = step;
            } else {
                assert_int_equal((uintptr_t)ls_idmap_take(map, bases[round] + (int64_t)i), held[i]);
                count -= held[i] != 0;
                held[i] = 0;
            }
            assert_int_equal(ls_idmap_count(map), count);
        }
        for (size_t i = 0; i < IDS; i++)
            assert_int_equal((uintptr_t)ls_idmap_get(map, bases[round] + (int64_t)i), held[i]);
        size_t seen = 0;
        for (struct ls_idmap_item *e = ls_idmap_first(map), *next; e; e = next, seen++) {
            next = ls_idmap_next(e);
            int64_t id = ls_idmap_id(e);
            assert_int_equal((uintptr_t)ls_idmap_value(e), held[id - bases[round]]);
            assert_int_equal((uintptr_t)ls_idmap_take(map, id), held[id - bases[round]]);
        }
        assert_int_equal(seen, count);
        assert_null(ls_idmap_first(map));
        ls_idmap_free(map, NULL);
    }
}

static void maps_of_ids_are_walked_in_order_of_insertion(void **state)
{
    (void)state;
    struct ls_idmap *map = ls_idmap_new();
    for (intptr_t i = 0; i < 1000; i++)
        assert_true(ls_idmap_put(map, i * 7919 % 1000, (void *)(i + 1), NULL));
    for (int64_t i = 0; i < 1000; i += 3)
        assert_non_null(ls_idmap_take(map, i * 7919 % 1000));
    assert_true(ls_idmap_put(map, 4 * 7919 % 1000, (void *)5, NULL)); /* replaced: keeps its place */
    for (intptr_t i = 1000; i < 3000; i++)
        assert_true(ls_idmap_put(map, i, (void *)(i + 1), NULL));
    intptr_t before = 0;
    size_t seen = 0;
    for (struct ls_idmap_item *e = ls_idmap_first(map); e; e = ls_idmap_next(e), seen++) {
        intptr_t now = (intptr_t)ls_idmap_value(e);
        assert_true(now > before);
        before = now;
    }
    assert_int_equal(seen, ls_idmap_count(map));
    ls_idmap_free(map, NULL);
}

static void maps_survive_failing_allocations(void **state)
{
    (void)state;
    for (long n = 1; n < 60; n++) {
        struct ls_map *map = ls_map_new();
        int value, stored = 0;
        ls_alloc_fail_at(n);
        for (int i = 0; i < 20; i++) {
            char key = (char)('a' + i);
            stored += ls_map_put(map, &key, 1, &value, NULL);
        }
        ls_alloc_fail_at(0);
        assert_int_equal(ls_map_count(map), stored);
        assert_true(stored >= 19);
        ls_map_free(map, NULL);
        struct ls_idmap *ids = ls_idmap_new();
        bool kept[40];
        ls_alloc_fail_at(n);
        for (int i = 0; i < 40; i++)
            kept[i] = ls_idmap_put(ids, i, &value, NULL);
        ls_alloc_fail_at(0);
        stored = 0;
        for (int i = 0; i < 40; i++) {
            assert_ptr_equal(ls_idmap_get(ids, i), kept[i] ? &value : NULL);
            stored += kept[i];
        }
        assert_int_equal(ls_idmap_count(ids), stored);
        assert_true(stored >= 39);
        ls_idmap_free(ids, NULL);
    }
}

static void t31_numbers_are_written_exactly(void **state)
{
    (void)state;
    static const struct {
        double number;
        const char *text;
    } cases[] = {
        {5.0, "5"},
        {-0.5, "-0.5"},
        {0.1, "0.1"},
        {1e300, "1e+300"},
        {9007199254740992.0, "9007199254740992"},
        {1.0 / 3, "0.3333333333333333"},
        {5e-324, "4.94065645841247e-324"},
        {-0.0, "0"},
    };
    struct ls_buf buf = LS_BUF_INIT;
    for (size_t i = 0; i < COUNT(cases); i++) {
        ls_buf_clear(&buf);
        assert_true(ls_json_double(&buf, cases[i].number));
        assert_string_equal(buf.data, cases[i].text);
        assert_true(strtod(buf.data, NULL) == cases[i].number);
    }
    ls_buf_clear(&buf);
    assert_false(ls_json_double(&buf, NAN));
    assert_string_equal(buf.data, "null");
    ls_buf_clear(&buf);
    ls_json_int(&buf, INT64_MIN);
    assert_string_equal(buf.data, "-9223372036854775808");
    ls_buf_release(&buf);
}

static void t31_strings_are_escaped_and_repaired(void **state)
{
    (void)state;
    struct ls_buf buf = LS_BUF_INIT;
    ls_json_string(&buf, "a\"\\\n\x01\0z\xff\xc3\xa9\xed\xa0\x80", 13);
    assert_string_equal(buf.data,
                        "\"a\\\"\\\\\\n\\u0001\\u0000z\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    ls_buf_release(&buf);
}

static void members_and_elements_put_their_own_commas(void **state)
{
    (void)state;
    struct ls_buf out = LS_BUF_INIT;
    ls_json_open(&out, NULL, '{');
    ls_json_put_int(&out, "id", -7);
    ls_json_put_str(&out, "a \"name\"", "x,");
    ls_json_put_str(&out, "none", NULL);
    ls_json_open(&out, "list", '[');
    ls_json_put_bool(&out, NULL, true);
    ls_json_open(&out, NULL, '[');
    ls_buf_char(&out, ']');
    ls_json_put_string(&out, NULL, "{\0[", 3);
    ls_json_put_raw(&out, NULL, "{}", 2);
    ls_buf_char(&out, ']');
    ls_json_key(&out, "ms");
    ls_buf_printf(&out, "%.1f", 0.5);
    ls_buf_str(&out, "}\n");
    ls_json_open(&out, NULL, '{'); /* the next line */
    ls_buf_char(&out, '}');
    assert_string_equal(
        ls_buf_text(&out),
        "{\"id\":-7,\"a \\\"name\\\"\":\"x,\",\"none\":null,\"list\":[true,[],\"{\\u0000[\",{}],\"ms\":0.5}\n{}");
    ls_buf_release(&out);
}

static enum ls_json_token last_token(const char *text)
{
    struct ls_json_reader reader;
    ls_json_read(&reader, text, strlen(text));
    enum ls_json_token token;
    do
        token = ls_json_next(&reader);
    while (token != LS_JSON_ERROR && token != LS_JSON_END);
    assert_int_equal(ls_json_next(&reader), token); /* it stays there */
    return token;
}

static void the_reader_accepts_json_and_nothing_else(void **state)
{
    (void)state;
    static const char *const good[] = {"null",
                                       " [ ] ",
                                       "{\"a\":[1,-2.5e3,\"x\\u00e9\",true,{}]}",
                                       "0",
                                       "\"\"",
                                       "[[],[[]]]",
                                       "1e400000000000000000000"};
    static const char *const bad[] = {
        "",   " ",   "nul",        "[1,]",     "{,}",     "{\"a\"}",     "{\"a\":}", "[1 2]", "01",
        "1.", "-",   "+1",         "\"\x01\"", "\"\\x\"", "\"\\u12g4\"", "\"abc",    "[1}",   "{\"a\":1]",
        "[",  "1 1", "{\"a\":1,}", "{1:2}",    "tru e",   "\"\\",        "[1],"};
    for (size_t i = 0; i + 1 < COUNT(good); i++)
        assert_int_equal(last_token(good[i]), LS_JSON_END);
    assert_int_equal(last_token(good[COUNT(good) - 1]), LS_JSON_ERROR); /* no number of ours */
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(last_token(bad[i]), LS_JSON_ERROR);
}

static void t37_integral_numbers_are_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum ls_json_token token;
        int64_t integer;
    } cases[] = {
        {"5", LS_JSON_INT, 5},
        {"5.0", LS_JSON_INT, 5},
        {"-0", LS_JSON_INT, 0},
        {"1e3", LS_JSON_INT, 1000},
        {"1.5", LS_JSON_DOUBLE, 0},
        {"9223372036854775807", LS_JSON_INT, INT64_MAX},
        {"-9223372036854775808", LS_JSON_INT, INT64_MIN},
        {"9223372036854775808", LS_JSON_DOUBLE, 0},
        {"9007199254740993", LS_JSON_INT, INT64_C(9007199254740993)},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct ls_json_reader reader;
        ls_json_read(&reader, cases[i].text, strlen(cases[i].text));
        assert_int_equal(ls_json_next(&reader), cases[i].token);
        if (cases[i].token == LS_JSON_INT) assert_true(reader.integer == cases[i].integer);
    }
}

static void nesting_has_a_limit(void **state)
{
    (void)state;
    char text[2 * LS_JSON_DEPTH + 4];
    memset(text, '[', LS_JSON_DEPTH);
    memset(text + LS_JSON_DEPTH, ']', LS_JSON_DEPTH);
    text[2 * LS_JSON_DEPTH] = 0;
    assert_int_equal(last_token(text), LS_JSON_END);
    memset(text, '[', LS_JSON_DEPTH + 1);
    assert_int_equal(last_token(text), LS_JSON_ERROR);
}

static void members_and_escapes(void **state)
{
    (void)state;
    const char *text = "{\"a\":1,\"b\":{\"a\":2},\"a\":[3 , {\"x\":\"]\"}],\"\\u0063\":\"\\ud83d\\ude00\\ud800!\"}";
    const char *value;
    size_t len;
    assert_true(ls_json_member(text, strlen(text), "a", &value, &len)); /* the last one counts (P section 17) */
    assert_int_equal(len, strlen("[3 , {\"x\":\"]\"}]"));
    assert_memory_equal(value, "[3 , {\"x\":\"]\"}]", len);
    assert_true(ls_json_member(text, strlen(text), "c", &value, &len));
    struct ls_buf plain = LS_BUF_INIT;
    ls_json_unescape(&plain, value + 1, len - 2);
    assert_string_equal(plain.data, "\xf0\x9f\x98\x80\xef\xbf\xbd!");
    ls_buf_release(&plain);
    assert_false(ls_json_member(text, strlen(text), "x", &value, &len));
    assert_false(ls_json_member("[1]", 3, "x", &value, &len));
    ls_alloc_fail_at(1); /* names are found, and numbers inside of something read, without memory */
    text =
        "{\"\\u0063\\u0063\":1,\"x\":1.0000000000000000000000000000000000000000000000000000000000000000000000000000e1}";
    assert_true(ls_json_member(text, strlen(text), "cc", &value, &len));
    assert_true(ls_json_member(text, strlen(text), "x", &value, &len));
    assert_false(ls_json_member(text, strlen(text), "c", &value, &len));
    assert_int_equal(ls_alloc_fail_at(0), 0);
}

static void utf8_is_judged_strictly(void **state)
{
    (void)state;
    static const char *const good[] = {
        "", "plain ascii text", "\xc3\xa9", "\xe2\x82\xac", "\xf4\x8f\xbf\xbf", "12345678\xc3\xa9"};
    static const char *const bad[] = {
        "\x80", "\xc0\xaf",    "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80",
        "\xf8", "12345678\xff"};
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(ls_utf8_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(ls_utf8_valid(bad[i], strlen(bad[i])));
}

static void characters_are_walked_cut_and_written_whole(void **state)
{
    (void)state;
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"; /* one of each length */
    static const size_t kept[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};
    static const uint32_t codes[] = {'a', 0xe9, 0x20ac, 0x1f600};
    struct ls_buf out = LS_BUF_INIT;
    for (size_t i = 0; i < COUNT(kept); i++)
        assert_int_equal(ls_utf8_cut(text, i), kept[i]);
    for (size_t at = 0, i = 0; at < sizeof text - 1; i++) {
        size_t step = ls_utf8_next(text + at, sizeof text - 1 - at);
        assert_int_equal(ls_utf8_code(text + at, step), codes[i]);
        ls_utf8_add(&out, codes[i]);
        at += step;
    }
    assert_string_equal(ls_buf_text(&out), text);
    ls_buf_release(&out);
    assert_int_equal(ls_utf8_next("\x80", 1), 1);
    assert_int_equal(ls_utf8_cut("\x80\x80\x80\x80\x80", 5), 5); /* no character, so nothing is whole or not */
}

static void p14_durations_as_text(void **state)
{
    (void)state;
    static const struct {
        int64_t ns;
        const char *text;
    } cases[] = {{870, "870ns"}, {12400, "12.4us"}, {3070000, "3.07ms"}, {1250000000, "1.250s"}, {0, "0ns"}};
    struct ls_buf buf = LS_BUF_INIT;
    for (size_t i = 0; i < COUNT(cases); i++) {
        ls_buf_clear(&buf);
        ls_format_duration(&buf, cases[i].ns);
        assert_string_equal(buf.data, cases[i].text);
    }
    ls_buf_release(&buf);
}

static void c2_numbers_with_units(void **state)
{
    (void)state;
    int64_t ms, number;
    uint64_t bytes;
    assert_true(ls_parse_duration("24h", &ms) && ms == 86400000);
    assert_true(ls_parse_duration("250ms", &ms) && ms == 250);
    assert_true(ls_parse_duration("0", &ms) && ms == 0);
    static const char *const no_duration[] = {"5", "", "s", "-1s", "1.5s", "5 s", "99999999999999h", "1d"};
    for (size_t i = 0; i < COUNT(no_duration); i++)
        assert_false(ls_parse_duration(no_duration[i], &ms));
    assert_true(ls_parse_size("256M", &bytes) && bytes == 256u << 20);
    assert_true(ls_parse_size("17", &bytes) && bytes == 17);
    static const char *const no_size[] = {"", "M", "1MB", "-1", "99999999999G"};
    for (size_t i = 0; i < COUNT(no_size); i++)
        assert_false(ls_parse_size(no_size[i], &bytes));
    assert_true(ls_parse_int("-3", -5, 5, &number) && number == -3);
    assert_false(ls_parse_int("6", -5, 5, &number));
    assert_false(ls_parse_int("3x", -5, 5, &number));
}

/* A condition that was set up by default, as any is, and a time that the monotonic clock tells. */
static void a_timed_wait_ends_by_the_monotonic_clock(void **state)
{
    (void)state;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    int64_t until = ls_now_ns() + ls_ms(20);
    pthread_mutex_lock(&lock);
    while (ls_cond_wait_until(&never, &lock, until)) {
    }
    assert_true(ls_now_ns() >= until);
    assert_false(ls_cond_wait_until(&never, &lock, 0));
    pthread_mutex_unlock(&lock);
}

static void ticks_follow_the_clock(void **state)
{
    (void)state;
    uint64_t ticks = ls_ticks();
    int64_t from = ls_now_ns();
    while (ls_now_ns() - from < 2000000) {
    }
    int64_t measured = ls_ticks_ns(ls_ticks() - ticks);
    assert_true(measured > 1500000); /* an upper bound would depend on the scheduler */
}

static void near_words(void **state)
{
    (void)state;
    assert_true(ls_text_near("serv", "serve"));
    assert_true(ls_text_near("relaod", "reload"));
    assert_true(ls_text_near("sess", "sessions"));
    assert_true(ls_text_near("prot", "port"));
    assert_false(ls_text_near("pots", "port")); /* two mistakes in a short word are too many */
    assert_false(ls_text_near("banana", "serve"));
    assert_false(ls_text_near("", "serve"));
}

static void keep_record(void *ctx, int level, const char *session, const char *text, size_t len)
{
    ls_buf_printf(ctx, "%d %s %.*s\n", level, session ? session : "-", (int)len, text);
}

static void fold(const char *session, const char *scope, size_t differs, const char *text)
{
    ls_log_folded(0, session, scope, differs, text, strlen(text));
}

/* Counts are told at an end, so that the test waits for no second; one that stands still for longer than that begins
 * again. */
static void L145_equal_records_are_folded_by_scope_and_by_their_end(void **state)
{
    (void)state;
    for (;;) {
        int64_t begun = ls_now_ns();
        struct ls_buf told = LS_BUF_INIT;
        ls_log_tap(keep_record, &told);
        for (int i = 0; i < 3; i++) {
            fold("1", "1", 0, "boom\n\ttrace");
            fold("2", "2", 0, "boom\n\ttrace");
            fold(NULL, NULL, 2, i ? "8 rows" : "7 rows");
            for (char other[] = "a"; i == 0 && *other <= 'z'; ++*other)
                fold("1", "1", 0, other);
        }
        ls_log_unfold("1");
        ls_log_unfold("1");
        fold("1", "1", 0, "boom\n\ttrace");
        ls_log_unfold("1");
        ls_log_fold_timer(NULL, NULL);
        ls_log_tap(NULL, NULL);
        bool late = ls_now_ns() - begun >= ls_ms(1000);
        if (!late) {
            assert_non_null(strstr(told.data, "0 1 boom\n\ttrace\n0 2 boom\n\ttrace\n0 - 7 rows\n0 1 a\n0 1 b\n"));
            assert_non_null(strstr(
                told.data,
                "0 1 z\n0 1 boom (2 more times)\n0 1 boom\n\ttrace\n0 2 boom (2 more times)\n0 - rows (2 more times)\n"));
        }
        ls_buf_release(&told);
        if (!late) return;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(L145_equal_records_are_folded_by_scope_and_by_their_end),
        cmocka_unit_test(idmaps_shrink),
        cmocka_unit_test(texts_are_shown_without_what_a_terminal_obeys),
        cmocka_unit_test(members_and_elements_put_their_own_commas),
        cmocka_unit_test(characters_are_walked_cut_and_written_whole),
        cmocka_unit_test(arrays_grow_and_a_refused_push_changes_nothing),
        cmocka_unit_test(buffers_grow_and_stay_c_strings),
        cmocka_unit_test(a_failed_allocation_sticks),
        cmocka_unit_test(long_errors_lie_on_the_heap_and_short_ones_inside),
        cmocka_unit_test(errors_are_cut_between_characters),
        cmocka_unit_test(maps_keep_insertion_order),
        cmocka_unit_test(maps_of_ids_keep_what_they_are_given),
        cmocka_unit_test(maps_of_ids_are_walked_in_order_of_insertion),
        cmocka_unit_test(maps_survive_failing_allocations),
        cmocka_unit_test(t31_numbers_are_written_exactly),
        cmocka_unit_test(t31_strings_are_escaped_and_repaired),
        cmocka_unit_test(the_reader_accepts_json_and_nothing_else),
        cmocka_unit_test(t37_integral_numbers_are_integers),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(members_and_escapes),
        cmocka_unit_test(utf8_is_judged_strictly),
        cmocka_unit_test(p14_durations_as_text),
        cmocka_unit_test(c2_numbers_with_units),
        cmocka_unit_test(ticks_follow_the_clock),
        cmocka_unit_test(a_timed_wait_ends_by_the_monotonic_clock),
        cmocka_unit_test(near_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
