/* The parser of lib/syntax against Lua itself: what Lua accepts and refuses, and, read out of the byte code, lines,
 * names and order of the upvalues of every function. Texts: all Lua files of the tree, a list of corners, and programs
 * put together at random from a grammar and then broken at random places. */
#include <dirent.h>
#include <lauxlib.h>
#include <lua.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "base/buf.h"
#include "syntax/syntax.h"

static lua_State *L;

/* --- byte code of Lua 5.4 --- */

struct reader {
    const unsigned char *at;
};

static unsigned read_byte(struct reader *in)
{
    return *in->at++;
}

static size_t read_size(struct reader *in)
{
    size_t value = 0;
    unsigned byte;
    do {
        byte = read_byte(in);
        value = value << 7 | (byte & 0x7f);
    } while (!(byte & 0x80));
    return value;
}

static const char *read_string(struct reader *in, size_t *len)
{
    size_t size = read_size(in);
    *len = size ? size - 1 : 0;
    const char *text = (const char *)in->at;
    in->at += *len;
    return text;
}

/* Compare the function at `in` and those in it with the parser's, in order; false and *why (a line) at a difference. */
static bool same_function(struct reader *in, const struct ls_syntax *syntax, unsigned *number, char why[200])
{
    size_t len;
    bool same = true;
    if (*number >= syntax->function_count) return false;
    const struct ls_syntax_function *function = syntax->functions[(*number)++];
    read_string(in, &len); /* source */
    int first = (int)read_size(in), last = (int)read_size(in);
    if (first != function->first_line || last != function->last_line) {
        snprintf(why, 200, "lines %d-%d, Lua has %d-%d", function->first_line, function->last_line, first, last);
        return false;
    }
    in->at += 3; /* parameters, vararg, stack */
    in->at += 4 * read_size(in);
    for (size_t i = read_size(in); i > 0; i--) {
        switch (read_byte(in)) {
        case 0x03:
        case 0x13: in->at += 8; break;
        case 0x04:
        case 0x14: read_string(in, &len); break;
        default: break;
        }
    }
    size_t upvalues = read_size(in);
    in->at += 3 * upvalues;
    for (size_t i = read_size(in); i > 0 && same; i--)
        same = same_function(in, syntax, number, why);
    if (!same) return false;
    in->at += read_size(in); /* lines */
    for (size_t i = read_size(in); i > 0; i--) {
        read_size(in);
        read_size(in);
    }
    for (size_t i = read_size(in); i > 0; i--) { /* local variables */
        read_string(in, &len);
        read_size(in);
        read_size(in);
    }
    read_size(in); /* as many names as upvalues */
    if (upvalues != function->upvalue_count) {
        snprintf(why, 200, "line %d: %u upvalues, Lua has %zu", first, function->upvalue_count, upvalues);
        return false;
    }
    for (size_t i = 0; i < upvalues; i++) {
        const char *name = read_string(in, &len);
        const struct ls_syntax_string *ours = &function->upvalues[i].name;
        if (same && (len != ours->len || memcmp(name, ours->text, len) != 0)) {
            snprintf(why, 200, "line %d: upvalue %zu is %s, Lua has %.*s", first, i, ours->text, (int)len, name);
            same = false;
        }
    }
    return same;
}

static int add_code(lua_State *state, const void *bytes, size_t len, void *buf)
{
    (void)state;
    ls_buf_add(buf, bytes, len);
    return 0;
}

/* @return did Lua accept it */
static bool compare(const char *text, size_t len, const char *what)
{
    struct ls_syntax_error error = {0};
    struct ls_syntax *syntax = ls_syntax_parse(text, len, &error);
    const char *code = text;
    size_t code_len = len;
    if (len > 0 && *text == '#') {
        const char *end = memchr(text, '\n', len);
        code = end ? end : text + len;
        code_len = len - (size_t)(code - text);
    }
    bool accepted = luaL_loadbufferx(L, code, code_len, "=t", "t") == LUA_OK;
    if (accepted != (syntax != NULL))
        fail_msg("%s: Lua says %s, we say line %d: %s\n%.*s", what, accepted ? "yes" : lua_tostring(L, -1), error.line,
                 error.message, (int)(len < 2000 ? len : 2000), text);
    if (accepted) {
        struct ls_buf buf = LS_BUF_INIT;
        char why[200] = "number of functions";
        unsigned number = 0;
        lua_dump(L, add_code, &buf, 0);
        struct reader in = {(const unsigned char *)buf.data + 4 + 1 + 1 + 6 + 3 + 8 + 8 + 1};
        if (!same_function(&in, syntax, &number, why) || number != syntax->function_count)
            fail_msg("%s: %s\n%.*s", what, why, (int)(len < 2000 ? len : 2000), text);
        ls_buf_release(&buf);
    } else {
        int line = 0;
        sscanf(lua_tostring(L, -1), "t:%d:", &line);
        assert_true(error.line > 0 && *error.message);
        if (abs(line - error.line) > 1 && !strstr(error.message, "goto") && !strstr(error.message, "break"))
            fail_msg("%s: Lua says %s, we say line %d: %s\n%.*s", what, lua_tostring(L, -1), error.line, error.message,
                     (int)(len < 2000 ? len : 2000), text);
    }
    lua_settop(L, 0);
    ls_syntax_free(syntax);
    return accepted;
}

/* --- files --- */

static unsigned files;

static void compare_folder(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char name[1000];
        struct stat about;
        size_t len = strlen(entry->d_name);
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, "node_modules") == 0) continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (lstat(name, &about) != 0) continue;
        if (S_ISDIR(about.st_mode)) compare_folder(name);
        if (!S_ISREG(about.st_mode) || len < 4 || strcmp(entry->d_name + len - 4, ".lua") != 0) continue;
        FILE *file = fopen(name, "rb");
        char *text = malloc((size_t)about.st_size + 1);
        if (file && text) compare(text, fread(text, 1, (size_t)about.st_size, file), name);
        if (file) fclose(file);
        free(text);
        files++;
    }
    if (dir) closedir(dir);
}

static void every_lua_file_of_the_tree_reads_as_in_lua(void **state)
{
    (void)state;
    compare_folder("lua");
    compare_folder("templates");
    compare_folder("tests");
    assert_true(files > 20);
}

/* --- corners --- */

static const char *const corners[] = {
    "",
    "#!shebang",
    "#!x\nreturn 1",
    "\xef\xbb\xbf",
    ";;;",
    "return",
    "return;",
    "return 1,2;",
    "return 1;;",
    "return return",
    "local x <const> = 5; function f() return x end",
    "local x <const> = -5 function f() return x end",
    "local x <const> = not nil; function f() return x end",
    "local x <const> = 2*3+1 function f() return x end",
    "local x <const> = 1/0 function f() return x end",
    "local x <const> = 0/1 function f() return x end",
    "local x <const> = 1//0 function f() return x end",
    "local x <const> = 1%0 function f() return x end",
    "local x <const> = 2^53|0 function f() return x end",
    "local x <const> = 1.5|0 function f() return x end",
    "local x <const> = 'a'..'b' function f() return x end",
    "local x <const> = 'a' function f() return x end",
    "local x <const> = ('a') function f() return x end",
    "local x <const> = {} function f() return x end",
    "local x <const> = 1 and 2 function f() return x end",
    "local x <const> = nil and 2 function f() return x end",
    "local x <const> = nil or 2 function f() return x end",
    "local x <const> = 1 or 2 function f() return x end",
    "local x <const> = false or (true and 'x') function f() return x end",
    "local x <const> = not (1 and 2) function f() return x end",
    "local x <const> = not (a and true) function f() return x end",
    "local x <const> = #'a' function f() return x end",
    "local x <const> = ~5 function f() return x end",
    "local x <const> = ~5.5 function f() return x end",
    "local x <const> = -0.0 function f() return x end",
    "local x <const> = 1 < 2 function f() return x end",
    "local x <const>, y <const> = 1, 2 function f() return x, y end",
    "local x <const>, y <const> = 1 function f() return x, y end",
    "local x <const> function f() return x end",
    "local x <const> = 5 local y <const> = x + 1 function f() return y, x end",
    "local x <const> = 5 x = 6",
    "local x <close> = nil x = 6",
    "local x <const> = f() function g() x = 1 end",
    "local x <const> = {} x.y = 1",
    "local x <const> = {} function x.y() end",
    "local x <const> = {} function x() end",
    "local x <close>, y <close> = 1, 2",
    "local x <foo> = 1",
    "local x <const = 1",
    "local x <const> = '10' + 1 function f() return x end",
    "local x <const> = 5.0 // 0.3 function f() return x end",
    "local x <const> = -7 // 2 function f() return x end",
    "local x <const> = -7 % 0.0 function f() return x end",
    "local x <const> = 1e308 * 10 - 1e308 * 10 function f() return x end",
    "local x <const> = 1 << 64 function f() return x end",
    "local x <const> = 1 == 1 function f() return x end",
    "local x <const> = 1 and f() function g() return x end",
    "local x <const> = (1 and 2) + 1 function g() return x end",
    "local x <const> = \"a\" and nil function g() return x end",
    "goto a; ::a::",
    "goto a",
    "::a:: ::a::",
    "::a:: do ::a:: end",
    "do ::a:: end ::a::",
    "do goto a end ::a::",
    "goto a; local x; ::a::",
    "goto a; local x; ::a:: f()",
    "do goto a; local x; ::a:: end",
    "repeat goto c; local x; ::c:: until x",
    "repeat goto c; local x; ::c:: until true",
    "while 1 do if x then goto c end local y ::c:: end",
    "do ::a:: function f() goto a end end",
    "::a:: ; ::b:: ; goto a goto b",
    "goto a; local x ::a:: ; ::b:: ;",
    "goto a; local x ::a:: ::b:: f()",
    "do goto a end local x ::a::",
    "do goto a end local x ::a:: f()",
    "::a:: function f() ::a:: end",
    "goto b ::a:: local x ::b:: ::c::",
    "break",
    "while 1 do break end",
    "while 1 do function f() break end end",
    "repeat break until 1",
    "for i=1,2 do break; end",
    "if x then break end",
    "do break end",
    "for i=1,2 do if x then break else break end end",
    "x = 0x",
    "x = 0x.p1",
    "x = 0x1p4",
    "x = 0x.8p-2",
    "x = 1e",
    "x = 1e+5",
    "x = 3..2",
    "x = 3 ..2",
    "x = .5",
    "x = 5.",
    "x = 0xffffffffffffffffff",
    "x = 9223372036854775808",
    "x = 3x",
    "x = 0xep1",
    "x = 1e5e5",
    "x = 08",
    "x = 1..2",
    "x=1.2.3",
    "x = 0x5.5.5",
    "x = 1_000",
    "x = 0xA.8p",
    "x = 1E-2",
    "x = 'a\\z  \n  b'",
    "x = '\\x4'",
    "x = '\\x41'",
    "x = '\\u{7FFFFFFF}'",
    "x = '\\u{80000000}'",
    "x = '\\u{}'",
    "x = '\\u41'",
    "x = '\\300'",
    "x = '\\255'",
    "x = '\\q'",
    "x = 'a\nb'",
    "x = 'a\\\nb'",
    "x = 'a",
    "x = \"a'",
    "x = '\\",
    "x = '\\u{41",
    "x = '\\12",
    "x = 'a\\\r\nb' .. 'c'",
    "x = '\\'",
    "x = '\\x",
    "x = '\\u{",
    "x = '\\z",
    "x = '\\u{12 }'",
    "x = [[a]]",
    "x = [==[a]]]==]",
    "x = [=[a",
    "x = [=a",
    "x = [[\r\na\r\nb\n\rc]]",
    "--[[x",
    "--[==[x]]]==] y = 1",
    "--[=x\ny=1",
    "--[[\n\n]] function f() end",
    "x = [[\n\n]] function f() end",
    "x = a[[[b]]]",
    "x = a[ [[b]]]",
    "--",
    "--[",
    "-",
    "x = - -1",
    "x = --1\n2",
    "x = [",
    "[[a]]",
    "x = [[]]",
    "x=[[]",
    "x = ]]",
    "f\"x\"",
    "f'x'.y = 1",
    "f{}:g[[x]].y = 1",
    "f\n(x)",
    "f",
    "f.x",
    "f = ",
    "a, b = 1",
    "a, f() = 1",
    "f(), a = 1",
    "(a) = 1",
    "(a).b = 1",
    "(f())",
    "(f)()",
    "a.b.c:d().e = 1",
    "a:b = 1",
    "a:b",
    "'x':rep(1)",
    "('x'):rep(1)",
    "x = {}.y",
    "x = ({}).y",
    "x = function() end.y",
    "x.1 = 2",
    "x.end = 1",
    "a.b:c:d()",
    "a.b:c().d()",
    "f{x=1;y=2,}",
    "f{,}",
    "f{;}",
    "f{1,,2}",
    "f{[1]=2, 3, x = 4; 5}",
    "f{[1] 2}",
    "f{x=}",
    "f{x",
    "f{x==1}",
    "f{x=1 y=2}",
    "f{...}",
    "function f() return ... end",
    "function f(...) return ... end",
    "function f(a, ...) end",
    "function f(..., a) end",
    "function f(a,) end",
    "function f(a b) end",
    "function f(a.b) end",
    "function f() end end",
    "function f.g.h:i(a) return self end",
    "function f:g:h() end",
    "function f:g.h() end",
    "function () end",
    "local function f.g() end",
    "local function f() return f end",
    "local f = function() return f end",
    "function f(self) function g:h() return self end end",
    "x = a and b or c and not d == e",
    "x = 2^-3^2",
    "x = -2^2",
    "x = not not a",
    "x = a .. b .. c",
    "x = ~a ~ b ~= c",
    "x = a < b < c",
    "x = a = b",
    "x = a ~ = b",
    "x = a // b",
    "x = #a + #b",
    "x = a b",
    "x = (a",
    "x = a)",
    "x = 1 +",
    "x = @",
    "x = $",
    "x = a ! b",
    "x = a != b",
    "x += 1",
    "x = a ? b : c",
    "x = \x01",
    "x = \xff",
    "\xc3\xa4 = 1",
    "x = !a",
    "x=`a`",
    "x=\\",
    "a.\xc3 = 1",
    "if a then elseif b then else end",
    "if a then else elseif b then end",
    "if a end",
    "if a then",
    "while a do",
    "while a end",
    "for i = 1 do end",
    "for i = 1,2,3,4 do end",
    "for i in a, b, c, d do end",
    "for a.b = 1,2 do end",
    "for i, j = 1, 2 do end",
    "for i in do end",
    "repeat until",
    "repeat local x until x",
    "repeat local x function f() return x end until x == f",
    "for i=1,2 do function f() return i end end",
    "for k, v in pairs(t) do function f() return v, k end end",
    "do end end",
    "do",
    "end",
    "until x",
    "else",
    "local",
    "local 1",
    "local x,",
    "local x y",
    "local x = ",
    "local x, y = 1, 2, 3",
    "local x = x function f() return x end",
    "local x local x function f() return x end",
    "local function x() return x, y end",
    "local x do local x function f() return x end end function g() return x end",
    "local _ENV = {} x = 1 function f() return x, _ENV end",
    "function f(_ENV) return x end",
    "function f() local _ENV <const> = {} return function() return x end end",
    "local _ENV <const> = nil; x = 1",
    "local a; function f() return function() return a, b end, b, a end",
    "local a, b, c function f() c = 1 return function() return b, a, c end end",
    "x = function() return y end, function() return z end",
    "local t = { f = function() end,\n\n g = function()\n end }",
    "local f = function\n(a)\n return a\nend",
    "local function\nf\n(a)\n\nend",
    "function\nf.g\n()\nend",
    "f(function()\n\nend, function() end)",
    "return function() end",
    "local x <const> = 3 return function() local x = x return function() return x end end",
    "local function a() local function b() return a, b end return b end",
    "a = 1 b = 2 c = 3",
    "a = b\n(c)()",
    "local a = {}\n;(a)()",
    "return f(x)(y){z}'w'",
    "x = y.z[1][a.b].c(d.e)[f]",
    "\n\n\n=",
    "\n\nx = = 1",
    "f(\n\n",
    "f(\n\nx",
    "x = {\n\n",
    "for",
    "function",
    "function f",
    "function f(",
    "function f()",
    "goto",
    "goto 1",
    "::",
    "::a",
    "::a:",
    "a:",
    "a::b::",
    "a.b.c",
    "..",
    "...",
    "x = ...",
    "a...b",
    "a....b",
    "x=a...b",
    "local x <close>",
    "local x <close> = f()",
    "local <const> x = 1",
};

static void corners_read_as_in_lua(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof corners / sizeof *corners; i++)
        if (strncmp(corners[i], "\xef\xbb\xbf", 3) != 0) compare(corners[i], strlen(corners[i]), corners[i]);
    compare("x = 'a\0b' function f() end", 26, "NUL in a string");
    compare("x = 1 \0 y = 2", 13, "NUL between tokens");
    compare("x = 1 -- \0\ny = 2", 16, "NUL in a comment");
    compare("x = [[\0]]", 9, "NUL in a long string");
    compare("x = '\\\0'", 8, "an escaped NUL");
    compare("x = 'a\\\0", 8, "an escaped NUL at the end");
}

static void deep_texts_end_as_in_lua(void **state)
{
    (void)state;
    static const char *const pieces[][3] = {{"x = ", "(", ""},
                                            {"x = ", "{", ""},
                                            {"x = ", "- ", "1"},
                                            {"x = ", "a..", "b"},
                                            {"x = a", "+b", ""},
                                            {"x = a", ".b", ""},
                                            {"x = a", "[1]", ""},
                                            {"x = a", "()", ""},
                                            {"", "do ", ""},
                                            {"", "function f() ", ""},
                                            {"x = ", "function() return ", ""},
                                            {"", "::a", ""},
                                            {"", "if a then ", ""},
                                            {"if a then ", "elseif b then ", "end"},
                                            {"a", ",a", "=1"},
                                            {"x = a", "^b", ""},
                                            {"x = ", "not ", "a"},
                                            {"x = ", "a[", ""},
                                            {"f(", "f(", ""},
                                            {"local a = a", ",a", ""},
                                            {"return a", ",a", ""},
                                            {"x = {", "1,", "}"},
                                            {"", ";", ""},
                                            {"", "while a do ", ""}};
    for (unsigned i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        for (unsigned count = 150; count < 230; count++) {
            struct ls_buf text = LS_BUF_INIT;
            struct ls_syntax_error error;
            ls_buf_str(&text, pieces[i][0]);
            for (unsigned k = 0; k < count; k++) {
                ls_buf_str(&text, pieces[i][1]);
                if (strcmp(pieces[i][1], "::a") == 0) ls_buf_printf(&text, "%u::", k);
            }
            ls_buf_str(&text, pieces[i][2]);
            compare(text.data, text.len, pieces[i][1]);
            for (unsigned k = 0; k < 100000; k++)
                ls_buf_str(&text, pieces[i][1]);
            ls_syntax_free(count == 150 ? ls_syntax_parse(text.data, text.len, &error) : NULL);
            ls_buf_release(&text);
        }
    }
}

/* --- programs at random --- */

static uint64_t seed;

static unsigned pick(unsigned count)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(seed >> 33) % count;
}

static void expr(struct ls_buf *out, int depth);
static void stats(struct ls_buf *out, int depth);

static void words(struct ls_buf *out, const char *const *list, unsigned count)
{
    ls_buf_str(out, list[pick(count)]);
    if (pick(30) == 0) ls_buf_char(out, '\n');
}
#define WORD(out, ...)                                                                                                 \
    words(out, (const char *const[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *))

static void variable(struct ls_buf *out)
{
    WORD(out, "a", "b", "c", "d", "e", "f", "_ENV", "self", "k");
}

static void function(struct ls_buf *out, int depth)
{
    WORD(out, "(", "(a", "(b, c", "(...", "(a, ...", "(_ENV", "(self");
    ls_buf_str(out, ") ");
    stats(out, depth - 1);
    ls_buf_str(out, " end ");
}

static void expr(struct ls_buf *out, int depth)
{
    if (depth <= 0) {
        WORD(out, "nil", "true", "false", "1", "0x10", "2.5", "'s'", "[[l]]", "{}", "a", "b", "c", "-3", "not nil");
        return;
    }
    switch (pick(10)) {
    case 0: ls_buf_str(out, "function"), function(out, depth); break;
    case 1:
        ls_buf_str(out, "{ x = "), expr(out, depth - 1), ls_buf_str(out, ", "), expr(out, depth - 2),
            ls_buf_str(out, "}");
        break;
    case 2: ls_buf_str(out, "("), expr(out, depth - 1), ls_buf_str(out, ")"); break;
    case 3: variable(out), ls_buf_str(out, "("), expr(out, depth - 1), ls_buf_str(out, ")"); break;
    case 4: variable(out), ls_buf_str(out, "["), expr(out, depth - 1), ls_buf_str(out, "]"); break;
    case 5: WORD(out, "- ", "not ", "~", "#"), expr(out, depth - 1); break;
    case 6: variable(out); break;
    default: {
        expr(out, depth - 1);
        WORD(out, " + ", " - ", " * ", " // ", " % ", " & ", " and ", " or ", " and ", " or ", " .. ", " == ", " << ",
             " ~ ", " ^ ", " / ");
        expr(out, depth - 2);
    }
    }
    ls_buf_char(out, ' ');
}

static void statement(struct ls_buf *out, int depth)
{
    switch (pick(depth > 0 ? 16 : 6)) {
    case 0:
        ls_buf_str(out, "local "), variable(out), WORD(out, "", "<const>", "<const>", "<close>", ", a", ", b <const>"),
            ls_buf_str(out, " = "), expr(out, 2);
        break;
    case 1: ls_buf_str(out, "local "), variable(out), ls_buf_str(out, " <const> = "), expr(out, 2); break;
    case 2: WORD(out, "a", "b.x", "c[1]", "d", "e, f", "k.y.z"), ls_buf_str(out, " = "), expr(out, 3); break;
    case 3: variable(out), ls_buf_str(out, ":m("), expr(out, 3), ls_buf_str(out, ")"); break;
    case 4: WORD(out, "goto l1", "goto l2", "::l1::", "::l2::", "break", ";"); break;
    case 5: ls_buf_str(out, "f("), expr(out, 3), ls_buf_str(out, ")"); break;
    case 6: ls_buf_str(out, "do "), stats(out, depth - 1), ls_buf_str(out, " end"); break;
    case 7:
        ls_buf_str(out, "while "), expr(out, 2), ls_buf_str(out, " do "), stats(out, depth - 1),
            ls_buf_str(out, " end");
        break;
    case 8: ls_buf_str(out, "repeat "), stats(out, depth - 1), ls_buf_str(out, " until "), expr(out, 2); break;
    case 9:
        ls_buf_str(out, "if "), expr(out, 2), ls_buf_str(out, " then "), stats(out, depth - 1),
            ls_buf_str(out, " else "), stats(out, depth - 1), ls_buf_str(out, " end");
        break;
    case 10:
        ls_buf_str(out, "for a = 1, "), expr(out, 1), ls_buf_str(out, " do "), stats(out, depth - 1),
            ls_buf_str(out, " end");
        break;
    case 11:
        ls_buf_str(out, "for b, c in "), expr(out, 2), ls_buf_str(out, " do "), stats(out, depth - 1),
            ls_buf_str(out, " end");
        break;
    case 12: ls_buf_str(out, "local function "), variable(out), function(out, depth); break;
    case 13: ls_buf_str(out, "function "), WORD(out, "a", "b.c", "d.e:f", "self", "k:m"), function(out, depth); break;
    default: ls_buf_str(out, "local "), variable(out), ls_buf_str(out, " = function"), function(out, depth);
    }
    ls_buf_str(out, pick(8) ? " " : "\n");
}

static void stats(struct ls_buf *out, int depth)
{
    for (unsigned i = pick(5); i > 0; i--)
        statement(out, depth);
    if (pick(6) == 0) ls_buf_str(out, "return "), expr(out, 2);
}

static void random_programs_read_as_in_lua(void **state)
{
    (void)state;
    unsigned accepted = 0;
    const char *rounds = getenv("ROUNDS");
    const unsigned most = rounds ? (unsigned)atoi(rounds) : 20000;
    seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : 1;
    for (unsigned round = 0; round < most; round++) {
        struct ls_buf text = LS_BUF_INIT;
        char what[60];
        snprintf(what, sizeof what, "SEED=%llu", (unsigned long long)seed);
        stats(&text, 4);
        if (!text.data) ls_buf_str(&text, " ");
        accepted += compare(text.data, text.len, what);
        for (unsigned i = 0; i < 4; i++) { /* break it: a byte less, another one, cut */
            size_t at = pick((unsigned)text.len);
            if (pick(2))
                text.data[at] = "()[]{}=.:;,'\"-\\\n x0~<>e"[pick(23)];
            else if (pick(2))
                memmove(text.data + at, text.data + at + 1, text.len - at), text.len--;
            else
                text.len = at;
            text.data[text.len] = '\0';
            if (text.len == 0) break;
            compare(text.data, text.len, what);
        }
        ls_buf_release(&text);
    }
    assert_in_range(accepted, most / 10, most);
}

/* --- time --- */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void a_large_text_reads_as_fast_as_in_lua(void **state)
{
    (void)state;
    struct ls_buf text = LS_BUF_INIT;
    double ours = 1e9, theirs = 1e9;
    ls_buf_str(&text, "return {\n");
    for (unsigned i = 0; i < 100000; i++)
        ls_buf_printf(&text, "    word_%u = \"a text of %u\",\n", i, i * 7);
    ls_buf_str(&text, "}\n");
    for (unsigned round = 0; round < 5; round++) {
        double start = seconds();
        struct ls_syntax *syntax = ls_syntax_parse(text.data, text.len, NULL);
        double took = seconds() - start;
        assert_non_null(syntax);
        ls_syntax_free(syntax);
        if (took < ours) ours = took;
        lua_State *fresh = luaL_newstate();
        start = seconds();
        luaL_loadbufferx(fresh, text.data, text.len, "=t", "t");
        took = seconds() - start;
        lua_close(fresh);
        if (took < theirs) theirs = took;
    }
    print_message("%zu bytes: %.1f ms, Lua %.1f ms\n", text.len, ours * 1e3, theirs * 1e3);
#ifndef LS_DEBUG /* sanitizers slow down ours only */
    assert_true(ours < theirs);
#endif
    ls_buf_release(&text);
}

static int open_lua(void **state)
{
    (void)state;
    L = luaL_newstate();
    return L ? 0 : -1;
}

static int close_lua(void **state)
{
    (void)state;
    lua_close(L);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(corners_read_as_in_lua),
        cmocka_unit_test(every_lua_file_of_the_tree_reads_as_in_lua),
        cmocka_unit_test(deep_texts_end_as_in_lua),
        cmocka_unit_test(random_programs_read_as_in_lua),
        cmocka_unit_test(a_large_text_reads_as_fast_as_in_lua),
    };
    return cmocka_run_group_tests(tests, open_lua, close_lua);
}
