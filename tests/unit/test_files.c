/* Unit tests of lib/files: paths, walks through trees, what lies within a folder, embedded files. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "files/embed.h"
#include "files/excerpt.h"
#include "files/fspath.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void paths_by_component(void **state)
{
    (void)state;
    static const struct {
        const char *root, *path, *relative;
        bool below;
    } cases[] = {
        {"/srv/site", "/srv/site/lua/x.lua", "lua/x.lua", true},
        {"/srv/site", "/srv/site2/x.lua", "../site2/x.lua", false},
        {"/srv/site", "/srv/site", ".", true},
        {"/srv/site", "/srv/shared/ext.lua", "../shared/ext.lua", false},
        {"/srv/site", "/etc/x", "../../etc/x", false},
        {"/", "/etc/x", "etc/x", true},
        {"/srv/site/a", "/srv/site", "..", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *relative = ls_path_relative(cases[i].root, cases[i].path);
        assert_string_equal(relative, cases[i].relative);
        assert_int_equal(ls_path_below(cases[i].root, cases[i].path), cases[i].below);
        ls_free(relative);
    }
    struct ls_buf out = LS_BUF_INIT;
    ls_path_join(&out, "/a/", "b");
    assert_string_equal(out.data, "/a/b");
    ls_buf_release(&out);
    char *dir = ls_path_dir("/x");
    assert_string_equal(dir, "/");
    ls_free(dir);
}

/* L24, L26: a place is named tidily, and keys are relative to what it leads to at the time */
static void places_lead_where_their_links_do(void **state)
{
    (void)state;
    char base[] = "/tmp/lsess-files-XXXXXX", path[64], one[64], real[64];
    assert_non_null(mkdtemp(base));
    snprintf(path, sizeof path, "%s/r1", base);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s/r2", base);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(one, sizeof one, "%s/now", base);
    for (int i = 1; i <= 2; i++) {
        char target[] = {'r', (char)('0' + i), 0};
        (void)unlink(one);
        assert_int_equal(symlink(target, one), 0);
        snprintf(real, sizeof real, "%s/r%d/lua/x.lua", base, i);
        char *key = ls_path_key(one, real);
        assert_string_equal(key, "lua/x.lua");
        ls_free(key);
        assert_string_equal(ls_path_rest(one, real), "lua/x.lua");
        real[strlen(base) + 2] = (char)('0' + 3 - i);
        key = ls_path_key(one, real);
        assert_string_equal(key, i == 1 ? "../r2/lua/x.lua" : "../r1/lua/x.lua");
        ls_free(key);
        assert_null(ls_path_rest(one, real));
    }
    snprintf(path, sizeof path, "%s//./now/.", base);
    char *place = ls_path_place(path, NULL);
    assert_string_equal(place, one);
    ls_free(place);
    snprintf(path, sizeof path, "%s/now/../r1/", base);
    snprintf(real, sizeof real, "%s/r1", base);
    place = ls_path_place(path, NULL);
    assert_string_equal(place, real);
    ls_free(place);
    place = ls_path_place("/", NULL);
    assert_string_equal(place, "/");
    ls_free(place);
    assert_null(ls_path_place("/nowhere/at/all", NULL));
    (void)unlink(one);
    (void)rmdir(real);
    snprintf(real, sizeof real, "%s/r2", base);
    (void)rmdir(real);
    (void)rmdir(base);
}

static int collect(void *ctx, const char *rel, bool is_dir)
{
    ls_buf_printf(ctx, "%s%s ", rel, is_dir ? "/" : "");
    return 0;
}

static void trees_are_walked_in_order_and_links_end(void **state)
{
    (void)state;
    char dir[] = "/tmp/lsess-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *before = getcwd(NULL, 0);
    assert_non_null(before);
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(mkdir("b", 0700) | mkdir("a", 0700) | mkdir(".git", 0700) | mkdir("node_modules", 0700) |
                         mkdir("b/z", 0700),
                     0);
    assert_int_equal(symlink("..", "b/up"), 0);
    assert_int_equal(symlink("b/z", "c"), 0);
    const char *files[] = {"m.lua", "a/1", "b/z/2", ".git/x", "node_modules/y"};
    for (size_t i = 0; i < COUNT(files); i++) {
        FILE *file = fopen(files[i], "w");
        assert_non_null(file);
        fputs(files[i], file);
        fclose(file);
    }
    struct ls_buf seen = LS_BUF_INIT;
    assert_int_equal(ls_tree_walk(NULL, false, dir, collect, &seen, NULL), 0);
    assert_string_equal(ls_buf_text(&seen), "a/ b/ c/ m.lua a/1 c/2 ");
    ls_buf_clear(&seen);
    assert_int_equal(ls_tree_walk(NULL, false, "/nowhere/at/all", collect, &seen, NULL), 0);
    assert_string_equal(ls_buf_text(&seen), "");
    ls_buf_release(&seen);

    LS_ERR(err);
    struct ls_bytes *bytes = ls_file_read(NULL, "a/1", 0, &err);
    assert_string_equal(ls_bytes_data(bytes), "a/1");
    ls_bytes_unref(bytes);
    assert_null(ls_file_read(NULL, "a/none", 0, &err));
    assert_int_equal(err.code, LS_ENOTFOUND);
    assert_null(ls_file_read(NULL, "a/1", 2, &err));
    assert_int_equal(err.code, LS_ELIMIT);
    char *real = ls_path_real_lenient(NULL, "b/up/new/./file", NULL);
    char *expect = ls_path_real(dir, NULL);
    assert_true(ls_path_below(expect, real) && ls_has_suffix(real, "/new/file"));
    ls_free(real);
    ls_free(expect);
    assert_int_equal(chdir(before), 0);
    free(before);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

/* L13: of what lies outside of the folder nothing is told, not even whether it exists; links inside lead where they
 * lead. */
static void paths_stay_within_a_folder(void **state)
{
    (void)state;
    char made[] = "/tmp/lsess-within-XXXXXX", command[1024];
    assert_non_null(mkdtemp(made));
    char *before = getcwd(NULL, 0);
    assert_non_null(before);
    assert_int_equal(chdir(made), 0);
    snprintf(
        command, sizeof command,
        "mkdir -p site/a site2 && echo x >site/a/f && echo y >site2/f && mkfifo site/pipe && ln -s %s/site/a site/whole && ln -s a/f site/l && "
        "ln -s ../site2/f site/out && ln -s ../site2/none site/none && ln -s .. site/up && ln -s ../site/a site/back && ln -s loop site/loop && ln -s site alias",
        made);
    assert_int_equal(system(command), 0);
    char *root = ls_path_real("site", NULL);
    static const struct {
        const char *path, *rel;
        int code;
    } cases[] = {
        {"site/a/f", "a/f", 0},
        {"site//./a/../a/f", "a/f", 0},
        {"site/l", "a/f", 0},
        {"site/whole/f", "a/f", 0},
        {"site/back/f", "a/f", 0},
        {"site", ".", 0},
        {"site/", ".", 0},
        {"site/up/site/l", "a/f", 0},
        {"site2/../site/l", NULL, LS_EACCESS},
        {"alias/l", NULL, LS_EACCESS},
        {"site/out", NULL, LS_EACCESS},
        {"site/none", NULL, LS_EACCESS},
        {"site2/f", NULL, LS_EACCESS},
        {"site2/none", NULL, LS_EACCESS},
        {"nowhere", NULL, LS_EACCESS},
        {".", NULL, LS_EACCESS},
        {"", NULL, LS_EACCESS},
        {"/", NULL, LS_EACCESS},
        {"site/up", NULL, LS_EACCESS},
        {"site/up/site2", NULL, LS_EACCESS},
        {"site/..", NULL, LS_EACCESS},
        {"/nowhere/at/all", NULL, LS_EACCESS},
        {"site/b", NULL, LS_ENOTFOUND},
        {"site/b/../../site2/f", NULL, LS_ENOTFOUND},
        {"site/a/f/g", NULL, LS_ENOTFOUND},
        {"site/loop", NULL, LS_EIO},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        LS_ERR(err);
        char *real = ls_path_within(root, cases[i].path, &err), *rel = real ? ls_path_relative(root, real) : NULL;
        if (err.code != cases[i].code || (rel == NULL) != (cases[i].rel == NULL) ||
            (rel && strcmp(rel, cases[i].rel) != 0))
            fail_msg("%s: %s, %s", cases[i].path, rel ? rel : "refused", ls_err_text(&err));
        if (err.code == LS_EACCESS) assert_non_null(strstr(ls_err_text(&err), "--sandbox"));
        ls_free(rel);
        ls_free(real);
        struct ls_bytes *text = ls_file_read(root, cases[i].path, 0, &err);
        assert_true((text != NULL) == (cases[i].rel != NULL && strcmp(cases[i].rel, "a/f") == 0));
        ls_bytes_unref(text);
    }
    LS_ERR(err);
    assert_null(ls_file_read(root, "site/pipe", 0, &err));
    assert_int_equal(err.code, LS_EIO);
    char *real = ls_path_real_lenient(root, "site/back/new/../newer", NULL);
    assert_true(ls_has_suffix(real, "/site/a/newer"));
    ls_free(real);
    assert_null(ls_path_real_lenient(root, "site/new/../../site2", NULL));
    struct ls_buf seen = LS_BUF_INIT;
    assert_int_equal(ls_tree_walk(root, false, root, collect, &seen, NULL), 0);
    assert_string_equal(ls_buf_text(&seen), "a/ l pipe a/f "); /* `back` and `whole` are `a` again */
    ls_buf_release(&seen);
    ls_free(root);
    assert_int_equal(chdir(before), 0);
    free(before);
    snprintf(command, sizeof command, "rm -rf %s", made);
    assert_int_equal(system(command), 0);
}

static void embedded_files_come_back_whole(void **state)
{
    (void)state;
    size_t count;
    const struct ls_embed *all = ls_embed_all(&count);
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(ls_embed_find(all[i].name), &all[i]);
        if (i) assert_true(strcmp(all[i - 1].name, all[i].name) < 0);
        struct ls_bytes *bytes = ls_embed_read(&all[i]);
        assert_int_equal(ls_bytes_len(bytes), all[i].len);
        /* Tests run where the sources are. */
        FILE *file = fopen(all[i].name, "rb");
        assert_non_null(file);
        for (size_t at = 0; at < all[i].len; at++)
            assert_int_equal(getc(file), ((const unsigned char *)ls_bytes_data(bytes))[at]);
        assert_int_equal(getc(file), EOF);
        fclose(file);
        ls_bytes_unref(bytes);
    }
    assert_null(ls_embed_find("templates/none"));
}

static void placeholders_are_no_files(void **state)
{
    (void)state;
    LS_ERR(err);
    char path[] = "/tmp/lsess-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    struct ls_bytes *empty = ls_file_read(NULL, path, 0, &err);
    assert_non_null(empty);
    ls_bytes_unref(empty);
    assert_int_equal(fchmod(fd, 0), 0);
    assert_null(ls_file_read(NULL, path, 0, &err));
    assert_int_equal(err.code, LS_ENOTFOUND);
    assert_int_equal(write(fd, "x", 1), 1); /* a file with content that may be read by nobody is one */
    struct ls_bytes *text = ls_file_read(NULL, path, 0, &err);
    assert_true(text || err.code == LS_EIO);
    ls_bytes_unref(text);
    close(fd);
    unlink(path);
}

/* The line is marked below the part that is meant: ^ its begin, ~ the rest. */
static void h98_the_place_in_a_line_is_told_by_the_text(void **state)
{
    (void)state;
    static const struct {
        const char *text; /* the second line is what the message is about */
        const char *message, *mark;
    } cases[] = {
        {"\nlocal b = (a b)", "x.lua:2: ')' expected near 'b'", "             ^"},
        {"\nf('a' 'a')", "x.lua:2: ')' expected near ''a''", "      ^~~"},
        {"\nx = 'open", "x.lua:2: unfinished string near ''open'", "    ^~~~~"},
        {"\nx = 3x", "x.lua:2: malformed number near '3x'", "    ^~"},
        {"if x\nreturn y", "x.lua:2: 'then' expected near 'return'", "^~~~~~"},
        {"\nprint('name', name, o.name.x)", "x.lua:2: attempt to index a nil value (field 'name')",
         "                      ^~~~"},
        {"\nprint(o.name, name.x)", "x.lua:2: attempt to index a nil value (global 'name')", "              ^~~~"},
        {"\nrun(o.run) o:run()", "x.lua:2: attempt to call a nil value (method 'run')", "      ^~~"},
        {"\nx = o['a b'].c", "x.lua:2: attempt to index a nil value (field 'a b')", "      ^~~~~"},
        {"local s = [[\nend ]] .. fend + tend.x .. --[[ bend ]] bend.x",
         "x.lua:2: attempt to index a nil value (global 'bend')", "                                        ^~~~"},
        {"\nfor i = {}, 2 do end", "x.lua:2: 'for' initial value must be a number", "^~~"},
        {"\nlocal x = string.rep()", "x.lua:2: bad argument #1 to 'string.rep' (string expected)",
         "          ^~~~~~~~~~"},
        {"\n  f()", "x.lua:2: what is 'nowhere'", "  ^"},
        {"\n  f('", "x.lua:2: cannot read 'f", "  ^"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct ls_buf mark = LS_BUF_INIT;
        ls_excerpt_write(&mark, cases[i].text, strlen(cases[i].text), 2, cases[i].message);
        const char *bar = strrchr(ls_buf_text(&mark), '|');
        if (!bar || strcmp(bar + 2, cases[i].mark) != 0) fail_msg("%s%s\n", cases[i].message, ls_buf_text(&mark));
        ls_buf_release(&mark);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_by_component),
        cmocka_unit_test(places_lead_where_their_links_do),
        cmocka_unit_test(trees_are_walked_in_order_and_links_end),
        cmocka_unit_test(paths_stay_within_a_folder),
        cmocka_unit_test(placeholders_are_no_files),
        cmocka_unit_test(embedded_files_come_back_whole),
        cmocka_unit_test(h98_the_place_in_a_line_is_told_by_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
