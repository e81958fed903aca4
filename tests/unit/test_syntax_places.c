/* Unit tests of lib/syntax/places.c (H49): pairs of texts, and what is said of their places. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "syntax/places.h"

/* Read a key at *at: `.name`, `["any"]`, `[1]`, `[1.5]`, `[true]`, `^` = the metatable. */
static bool read_key(const char **at, struct ls_place_key *key)
{
    const char *text = *at;
    char *end;
    if (*text == '^') {
        *key = (struct ls_place_key){.kind = LS_KEY_METATABLE};
        *at = text + 1;
    } else if (*text == '.') {
        size_t len = strcspn(text + 1, ".[^=/*");
        *key = (struct ls_place_key){.kind = LS_KEY_STRING, .string = {text + 1, (uint32_t)len}};
        *at = text + 1 + len;
    } else if (text[0] == '[' && text[1] == '"') {
        size_t len = strcspn(text + 2, "\"");
        *key = (struct ls_place_key){.kind = LS_KEY_STRING, .string = {text + 2, (uint32_t)len}};
        *at = text + len + 4;
    } else if (text[0] == '[' && (text[1] == 't' || text[1] == 'f')) {
        *key = (struct ls_place_key){.kind = LS_KEY_BOOLEAN, .boolean = text[1] == 't'};
        *at = strchr(text, ']') + 1;
    } else if (*text == '[') {
        *key = (struct ls_place_key){.kind = LS_KEY_INTEGER, .integer = strtoll(text + 1, &end, 10)};
        if (*end == '.') *key = (struct ls_place_key){.kind = LS_KEY_FLOAT, .number = strtod(text + 1, &end)};
        *at = end + 1;
    } else {
        return false;
    }
    return true;
}

/* `M.x=` edit, `M.x/=` within, `M.x*=` rest; M a variable, g:M a global, $ the value, made:M of a call. */
static enum ls_edit state_of(const struct ls_places *places, const char **at)
{
    static const char *const prefixes[] = {"", "g:", "$", "made:"};
    enum ls_place_kind kind = LS_PLACE_LOCAL;
    for (unsigned i = LS_PLACE_MADE; i > 0 && kind == LS_PLACE_LOCAL; i--)
        if (strncmp(*at, prefixes[i], strlen(prefixes[i])) == 0) kind = (enum ls_place_kind)i;
    *at += strlen(prefixes[kind]);
    size_t len = strcspn(*at, ".[^=/*");
    const struct ls_place *place = ls_places_root(places, kind, len ? *at : NULL, len), *child;
    struct ls_place_key key;
    enum ls_edit inherited = LS_EDIT_NONE;
    *at += len;
    while (read_key(at, &key)) {
        child = place ? ls_place_child(places, place, &key) : NULL;
        if (place && !child) inherited = place->rest;
        place = child;
    }
    char which = **at;
    *at += which == '=' ? 1 : 2;
    return !place ? inherited : which == '/' ? place->within : which == '*' ? place->rest : place->edit;
}

static struct ls_syntax *read_text(const char *text)
{
    struct ls_syntax_error error;
    struct ls_syntax *syntax = ls_syntax_parse(text, strlen(text), &error);
    if (!syntax) fail_msg("%s\nline %d: %s", text, error.line, error.message);
    return syntax;
}

struct pair {
    struct ls_syntax *before, *now;
    struct ls_places *places;
};

static struct pair compare(const char *before, const char *now)
{
    struct pair pair = {read_text(before), read_text(now), NULL};
    pair.places = ls_places_compare(pair.before, pair.now);
    assert_non_null(pair.places);
    return pair;
}

static void release(struct pair *pair)
{
    ls_places_free(pair->places);
    ls_syntax_free(pair->before);
    ls_syntax_free(pair->now);
}

/* Each place of the list is in the state that is told: N, U, ? or E. @return is any not */
static bool wrong(const char *before, const char *now, const char *states)
{
    struct pair pair = compare(before, now);
    bool any = false;
    for (const char *at = states; *at; at += strspn(at, " ")) {
        const char *start = at;
        enum ls_edit edit = state_of(pair.places, &at);
        if ("NU?E"[edit] != *at) {
            print_message("%s\n%s\n    %.*s%c, but it is %c\n", before, now, (int)(at - start), start, *at,
                          "NU?E"[edit]);
            any = true;
        }
        at++;
    }
    release(&pair);
    return any;
}

struct row {
    const char *before, *now, *states;
};

static const struct row rows[] = {
    /* variables of the file */
    {"local a = 1", "local a = 1", "a=N"},
    {"local a = 1", "local a = 2", "a=E"},
    {"local a, b, c, d = 1, 2, 3, 57", "local a, b, c, d = true, false, nil, {}", "a=E b=E c=E d=E"},
    {"local a = 1", "local a = 1 local b = 2", "a=N b=E"},
    {"local a = 1 local b = 2", "local a = 1", "a=N b=E"},
    {"local a", "local a = 1", "a=E"},
    {"local a", "local a = nil", "a=N"},
    {"local a, b = 1, 2", "local a, b = 1, 3", "a=N b=E"},
    {"local a, b = f()", "local a, b = f()", "a=N b=N"},
    {"local a, b = f()", "local b, a = f()", "a=E b=E"},
    {"local a a = 1", "local a a = 2", "a=E"},
    {"local a = 1 function f() a = a + 1 end", "local a = 1 function f() a = a + 2 end", "a=N"},
    {"local a = 1", "local a <const> = 1", "a=N"},
    {"local a = 1 local a = 2", "local a = 1", "a=E"},
    {"local started = os.time()", "local started = os.time() print(1)", "started=N"},
    {"local a = math.random()", "local a = math.random(6)", "a=E"},
    {"local M = { s = setmetatable({ a = 1 }, { __len = f }) }",
     "local M = { s = setmetatable({ a = 1 }, { __len = g }) }", "M.s=N M.s^=N M.s^.__len=E M.s.a=N"},
    {"local M = { s = setmetatable({ a = 1 }, mt) }", "local M = { s = setmetatable({ a = 2 }, mt) }",
     "M.s=N M.s^=N M.s.a=E"},
    {"local M = { s = class:new({ a = 1 }) }", "local M = { s = class:make({ a = 1 }) }", "M.s=E"},
    {"local a = io.open('x')", "local a = io.open 'x'", "a=N"},
    {"if x then a = 1 end", "if y then a = 1 end", "g:a=E"},
    {"if x then a = 1 end", "if x then b() a = 1 end", "g:a=N"},
    {"if x then a = 1 else a = 2 end", "if x then a = 1 else a = 3 end", "g:a=E"},
    {"if x then elseif y then a = 1 end", "if z then elseif y then a = 1 end", "g:a=E"},
    {"for i = 1, 3 do a = i end", "for i = 1, 4 do a = i end", "g:a=E"},
    {"do local t = 5 a = t end", "do local t = 6 a = t end", "g:a=U"},
    {"local n = 0 do n = 1 end", "local n = 0 do n = 2 end", "n=E"},
    /* globals */
    {"a = 1", "a = 2", "g:a=E"},
    {"a = 1 b = 1", "a = 1 b = 2", "g:a=N g:b=E"},
    {"_G.a = 1", "a = 1", "g:a=N"},
    {"_G['a'] = 1", "_G.a = 2", "g:a=E"},
    {"rawset(_G, 'a', 1)", "rawset(_G, 'a', 2)", "g:a=E"},
    {"Store = Store or { items = {} }", "Store = Store or { items = {} } x = 1", "g:Store=N g:Store.items=N"},
    {"Store = Store or { n = 1 }", "Store = Store or { n = 2 }", "g:Store=N g:Store.n=E g:Store*=?"},
    {"Store = Store or {}", "Store = {}", "g:Store=E"},
    {"setmetatable(_G, { __index = error })", "setmetatable(_G, { __index = print })", "g:^.__index=E g:^=N"},
    /* tables with methods */
    {"local S = { items = {} } function S.add(x) S.items[#S.items + 1] = x end return S",
     "local S = { items = {} } function S.add(x) S.items[#S.items + 1] = x * 2 end return S",
     "S=N S.items=N S.items*=? S.add=E $=N $.items=N $.add=E"},
    {"local S = { items = {} } function S.add(x) S.items[#S.items + 1] = x end return S",
     "local S = { items = {} } local k = 5 function S.add(x) S.items[#S.items + 1] = x end return S",
     "S.items/=N S.items*=N k=E $.items/=N"},
    {"local M = { a = 1, b = 2 }", "local M = { b = 2, a = 3 }", "M=N M.a=E M.b=N M/=E"},
    {"local M = { a = 1 }", "local M = { a = 1, b = 2 }", "M=N M.a=N M.b=E"},
    {"local M = { a = 1, b = 2 }", "local M = { a = 1 }", "M.b=E M.a=N"},
    {"local M = { a = 1 }", "local M = {} M.a = 1", "M=N M.a=N"},
    {"local M = {} M.a = 1", "local M = {} M['a'] = 1", "M.a=N"},
    {"local M = {} M.a = 1 M.b = 2", "local M = {} M.b = 2 M.a = 1", "M.a=N M.b=N"},
    {"local M = {} M.a = 1", "local M = {} M.a = 1 M.a = 2", "M.a=E"},
    {"local M = { { x = 1 }, { x = 2 } }", "local M = { { x = 1 }, { x = 3 } }",
     "M[1].x=N M[2].x=E M[2]=N M/=E M[1]/=N"},
    {"local M = { 1, 2, 3 }", "local M = { 1, 2, 3, 4 }", "M=N M[3]=N M[4]=E M/=E"},
    {"local M = { [1] = 'a' }", "local M = { 'a' }", "M[1]=N"},
    {"local M = { [1.0] = 'a', [true] = 1, [2.5] = 1 }", "local M = { [1] = 'b', [true] = 2, [2.5] = 2 }",
     "M[1]=E M[true]=E M[2.5]=E"},
    {"local M = { [-1] = 'a' }", "local M = { [-1] = 'b' }", "M[-1]=E"},
    {"local M = { a = { b = { c = { d = 1 } } } }", "local M = { a = { b = { c = { d = 2 } } } }",
     "M.a.b.c.d=E M.a.b.c=N M.a=N"},
    {"local M = { a = { b = {} } } M.a.b.c = 1", "local M = { a = { b = {} } } M.a.b.c = 2", "M.a.b.c=E M.a.b=N"},
    {"local M = { f = function() return 1 end, n = 1 }", "local M = { f = function() return 2 end, n = 1 }",
     "M.f=E M.n=N"},
    {"local M = {} function M.f() end", "local M = {} M.f = function() end", "M.f=N"},
    {"local M = {} function M:f() end", "local M = {} function M.f(self) end", "M.f=N"},
    {"local M = {}", "local M = { 5 }", "M=N M[1]=E"},
    {"local M = {}", "local M = nil", "M=E"},
    {"local M = 5", "local M = {}", "M=E"},
    {"local M = f()", "local M = g()", "M=E M.x=E M.x.y=E"},
    {"local M = f()", "local M = f() local b = 1", "M=N M.x=N"},
    {"local M = f() M.a = 1", "local M = f() M.a = 2", "M=N M.a=E M.x=N"},
    {"return { a = 1, b = {} }", "return { a = 2, b = {} }", "$=N $.a=E $.b=N"},
    {"local M = {} return M", "local M = {} return M, 1", "$=N"},
    {"local M = { n = 1 } return M", "local M = { n = 2 } return M", "M.n=E $.n=E $=N"},
    {"local M = { n = 1 } return M", "local M = { n = 1 } return setmetatable(M, {})", "$.n=N M^=E"},
    {"local a = 1 return { a = a }", "local a = 2 return { a = a }", "$.a=U"},
    {"package.loaded[...] = { n = 1 }", "package.loaded[...] = { n = 2 }", "$.n=E"},
    {"return 1", "return 2", "$=E"},
    {"return 1", "", "$=E"},
    {"local M = {} M.n = 1 if debugging then return M end return M",
     "local M = {} M.n = 2 if debugging then return M end return M", "M.n=E $=N"},
    /* keys that are names of constants */
    {"local RED = 1 local M = { [RED] = 'red', x = 1 }", "local RED = 1 local M = { [RED] = 'rose', x = 1 }",
     "M=N M[1]=E M.x=N"},
    {"local RED = 1 local M = { [RED] = 'red' }", "local RED = 2 local M = { [RED] = 'red' }", "M=N M[1]=E M[2]=E"},
    {"local M = { RED = 1 } local t = {} t[M.RED] = 'red'", "local M = { RED = 1 } local t = {} t[M.RED] = 'rose'",
     "t=N"},
    {"local M = {} M.RED = 1 local t = {} t[M.RED] = 'red'", "local M = {} M.RED = 1 local t = {} t[M.RED] = 'rose'",
     "t=N t[1]=E"},
    {"local k = 1 if x then k = 2 end local M = { [k] = 'red' }",
     "local k = 1 if x then k = 2 end local M = { [k] = 'rose' }", "M=N M[1]=? M*=?"},
    /* metatables */
    {"local c = setmetatable({}, { __mode = 'k' })", "local c = setmetatable({}, { __mode = 'v' })",
     "c=N c^=N c^.__mode=E c.x=?"},
    {"local c = setmetatable({}, { __mode = 'k' })", "local c = setmetatable({}, { __mode = 'k' }) x = 1",
     "c^=N c^.__mode=N c.x=N"},
    {"local c = {}", "local c = setmetatable({}, { __mode = 'k' })", "c=N c^=E"},
    {"local c = { n = 1 } setmetatable(c, { __index = a })", "local c = { n = 1 } setmetatable(c, { __index = b })",
     "c=N c.n=N c^.__index=E"},
    {"local M = {} M.__index = M M.n = 1 return M", "local M = {} M.__index = M M.n = 2 return M",
     "M.__index=N M.__index.n=E M.n=E"},
    {"local B = { n = 1 } local D = setmetatable({}, { __index = B })",
     "local B = { n = 2 } local D = setmetatable({}, { __index = B })", "B.n=E D=N D^.__index.n=E D^.__index=N D.x=N"},
    {"local M = setmetatable({ n = 1 }, M0)", "local M = setmetatable({ n = 2 }, M0)", "M.n=E M=N M^=N"},
    {"local t = setmetatable({}, { __index = function() return 0 end })",
     "local t = setmetatable({}, { __index = function() return 1 end })", "t=N t^.__index=E"},
    {"local p = setmetatable({}, { __newindex = function() error() end, __index = { a = 1 } })",
     "local p = setmetatable({}, { __newindex = function() error() end, __index = { a = 2 } })",
     "p^.__index.a=E p^.__newindex=N"},
    /* classes */
    {"local Cart = class('Cart', { total = 0 }) function Cart:add(n) self.total = self.total + n end",
     "local Cart = class('Cart', { total = 1 }) function Cart:add(n) self.total = self.total + n end",
     "Cart=N Cart.total=E Cart.add=N Cart.x=? made:Cart.total=E"},
    {"local Cart = class('Cart', { total = 0 })", "local Cart = class('Basket', { total = 0 })",
     "Cart=E Cart.total=N Cart.x=E"},
    {"local Cart = class('Cart', { total = 0 })", "local Cart = class('Cart', { total = 0 }) x = 1",
     "Cart=N Cart.total=N Cart.x=N"},
    {"Ship = session:prototype('Ship', { name = 'a', size = 1 })",
     "Ship = session:prototype('Ship', { name = 'b', size = 1 })",
     "g:Ship.name=E g:Ship.size=N g:Ship=N made:Ship.name=E"},
    {"session:prototype('Ship', { name = 'a' })", "session:prototype('Ship', { name = 'b' })",
     "made:Ship.name=E made:Ship=N"},
    {"local B = {} local D = B:extend { n = 1 }", "local B = {} local D = B:extend { n = 2 }", "D.n=E D=N"},
    {"local B = { n = 1 } local D = B:extend {}", "local B = { n = 2 } local D = B:extend {}", "B.n=E D=U D.x=?"},
    {"local C = {} C.__index = C function C.new() return setmetatable({ n = 0 }, C) end local c = C.new()",
     "local C = {} C.__index = C function C.new() return setmetatable({ n = 1 }, C) end local c = C.new()",
     "C.new=E c=N c.n=N"},
    {"local C = {} C.__index = C local one = setmetatable({ items = {} }, C)",
     "local C = {} C.__index = C C.limit = 5 local one = setmetatable({ items = {} }, C)",
     "one=N one.items=N one/=N C.limit=E"},
    {"local M = {} for k, v in pairs(Base) do M[k] = v end", "local M = {} for k, v in pairs(Mixin) do M[k] = v end",
     "M=N M.x=?"},
    {"local A = {} function A:m() end local B = {} B.m = A.m",
     "local A = {} function A:m() return 1 end local B = {} B.m = A.m", "A.m=E B.m=N"},
    {"local t = setmetatable({ 1 }, { __index = function() return 0 end })",
     "local t = setmetatable({ 1 }, { __index = function() return 1 end })", "t/=N t^.__index=E t[1]=N"},
    {"local t = setmetatable({ 1 }, { __mode = 'k' })", "local t = setmetatable({ 1 }, { __mode = 'v' })",
     "t/=? t^/=E"},
    {"local t = setmetatable({ 1 }, { __mode = 'k' })", "local t = { 1 }", "t/=E"},
    {"local t = { 1, f = function() return 0 end }", "local t = { 1, f = function() return 1 end }", "t/=N t.f=E"},
    {"local t = { 1, f = function() return 0 end }", "local t = { 1 }", "t/=E"},
    {"local t = { a = { f = function() return 0 end } }", "local t = { a = { f = function() return 1 end } }", "t/=N"},
    /* closures and counters */
    {"local n = 0 local function next_id() n = n + 1 return n end",
     "local n = 0 local function next_id() n = n + 2 return n end", "n=N next_id=E"},
    {"local counter = make(1)", "local counter = make(2)", "counter=E"},
    {"local next_id = (function() local n = 0 return function() n = n + 1 return n end end)()",
     "local next_id = (function() local n = 5 return function() n = n + 1 return n end end)()", "next_id=E"},
    {"local fib = memoize(function(n) return n end)", "local fib = memoize(function(n) return n + 1 end)", "fib=E"},
    {"local L = 5 local f = memoize(function() return L end)", "local L = 6 local f = memoize(function() return L end)",
     "L=E f=N"},
    {"(function() A = 1 end)()", "(function() A = 2 end)()", "g:A=E"},
    /* data that uses other data */
    {"local D = 5 local limit = D * 2", "local D = 6 local limit = D * 2", "D=E limit=U"},
    {"local D = 5 local limit = D * 2 local x = limit", "local D = 6 local limit = D * 2 local x = limit",
     "D=E limit=U x=U"},
    {"local M = { D = 5 } M.limit = M.D * 2", "local M = { D = 6 } M.limit = M.D * 2", "M.D=E M.limit=U M=N"},
    {"local C = { a = 1, b = 2 } local x = C.b", "local C = { a = 3, b = 2 } local x = C.b", "C.a=E x=N"},
    {"local C = { a = 1 } local n = #C", "local C = { a = 2 } local n = #C", "n=U"},
    {"local function f() return 1 end local x = f()", "local function f() return 2 end local x = f()", "f=E x=N"},
    {"local D = 5 local t = { a = D, b = 1 }", "local D = 6 local t = { a = D, b = 1 }", "t=N t.a=U t.b=N"},
    {"local D = 5 local t = { { { a = D } } }", "local D = 6 local t = { { { a = D } } }", "t[1][1].a=U t=N t[1]/=U"},
    {"local F = 1 if F then x = 1 end", "local F = 2 if F then x = 1 end", "F=E g:x=U"},
    {"local D = 1 local M = {} function M.f() return D end", "local D = 2 local M = {} function M.f() return D end",
     "M.f=N M=N"},
    {"local a = b b = 1", "local a = b b = 2", "a=U g:b=E"},
    {"local N = 3 for i = 1, N do T[i] = i end", "local N = 4 for i = 1, N do T[i] = i end", "N=E g:T.x=?"},
    {"local cfg = { title = 'a' } local app = App.new(cfg)", "local cfg = { title = 'b' } local app = App.new(cfg)",
     "app=U app.items=?"},
    {"count = count or 0", "count = count or 0 x = 1", "g:count=N"},
    /* statements that do not say where */
    {"local M = { list = {} } table.insert(M.list, 1)", "local M = { list = {} } table.insert(M.list, 2)",
     "M.list=N M.list[1]=? M.list/=?"},
    {"local M = { list = {} } table.insert(M.list, 1)", "local M = { list = {} } table.insert(M.list, 1) M.x = 1",
     "M.list[1]=N M.list/=N"},
    {"local M = { n = 0 } M:init(1)", "local M = { n = 0 } M:init(2)", "M=N M.n=? M.x=?"},
    {"local M = { t = os.time() } M:init(1)", "local M = { t = os.time() } M:init(2)", "M.t=N"},
    {"local M = { a = { b = 1 } } register(M)", "local M = { a = { b = 1 } } enlist(M)", "M.a=N M.a.b=? M.a.x=?"},
    {"local t = {} for i = 1, 10 do t[i] = i end", "local t = {} for i = 1, 20 do t[i] = i end", "t=N t[1]=?"},
    {"local t = {} for i = 1, 10 do t[i] = i end", "local t = {} for i = 1, 10 do t[i] = i end x = 1", "t=N t[1]=N"},
    {"local A, B = {}, {} for _, t in ipairs { A, B } do t.x = 1 end",
     "local A, B = {}, {} for _, t in ipairs { A, B } do t.x = 2 end", "A.x=? B.x=?"},
    {"local M = { items = {} } local items = M.items items.a = 1",
     "local M = { items = {} } local items = M.items items.a = 2", "M.items.a=E items.a=E"},
    {"local M = { items = {} } local list = M.items table.insert(list, 1)",
     "local M = { items = {} } local list = M.items table.insert(list, 2)", "M.items[1]=?"},
    {"local M = { r = {} } function M.on(f) M.r[f] = true end M.on(print)",
     "local M = { r = {} } function M.on(f) M.r[f] = true end M.on(error)", "M.r.x=? M.r=N"},
    {"rawset(T, 'a', 1)", "rawset(T, 'a', 2)", "g:T.a=E"},
    {"local C = { n = 1 } local M = { a = 1, f = {} } for k, v in pairs(C) do M[k] = v end",
     "local C = { n = 2 } local M = { a = 1, f = {} } for k, v in pairs(C) do M[k] = v end",
     "C.n=E M=N M.n=? M.a=? M.f.x=? M/=?"},
    {"local C = { n = 1 } local M = { s = {} } for k, v in pairs(C) do M.s[k] = v end",
     "local C = { n = 1 } local M = { s = {} } for k, v in pairs(C) do M.s[k] = v end x = 1", "M/=N M.s.n=N"},
    {"local C = { n = 1 } local M = { s = {}, t = {} } for k, v in pairs(C) do M.s[k] = v end",
     "local C = { n = 2 } local M = { s = {}, t = {} } for k, v in pairs(C) do M.s[k] = v end",
     "M.s=N M.s.n=? M.t/=N M.t.x=N"},
    {"local C = 1 local L = {} table.insert(L, C)", "local C = 2 local L = {} table.insert(L, C)", "L[1]=? L=N"},
    {"local M = { r = {}, o = {} } local function route(k) M.r[k] = {} end route('a')",
     "local M = { r = {}, o = {} } local function route(k) M.r[k] = {} end route('b')", "M.r.a=? M.r=N M.o/=N M=N"},
    {"local M = { r = {}, o = {} } local function route(k) M.r[k] = {} end route('a')",
     "local M = { r = {}, o = {} } local function route(k) M.r[k] = {} end route('a') x = 1", "M.r.a=N M/=N"},
    {"local M = { r = {} } local function route(k) M.r[k] = {} end route('a') route('b')",
     "local M = { r = {} } local function route(k) M.r[k] = {} end route('a')", "M.r.b=?"},
    {"local r, o = {}, {} local M = {} function M.on(k) r[k] = 1 end M.on('a')",
     "local r, o = {}, {} local M = {} function M.on(k) r[k] = 1 end M.on('b')", "r.a=? r=N o/=N"},
    {"local r, o = {}, {} local M = {} function M:on(k) r[k] = 1 return self end M:on('a'):on('b')",
     "local r, o = {}, {} local M = {} function M:on(k) r[k] = 1 return self end M:on('a'):on('c')", "r.a=? r=N o/=N"},
    {"local r = {} local function on(k) r[k] = 1 end local M = { on = on } local also = M.on also('a')",
     "local r = {} local function on(k) r[k] = 1 end local M = { on = on } local also = M.on also('b')", "r.a=?"},
    {"local r = {} local M = { on = function(k) r[k] = 1 end } M.on('a')",
     "local r = {} local M = { on = function(k) r[k] = 1 end } M.on('b')", "r.a=?"},
    {"local r = {} local M = { on = function(k) r[k] = 1 end } M.on = print M.on('a')",
     "local r = {} local M = { on = function(k) r[k] = 1 end } M.on = print M.on('b')", "r/=N"},
    {"local r, o = {}, {} local function page(p) return function(t) r[p] = t end end page '/' { n = 1 }",
     "local r, o = {}, {} local function page(p) return function(t) r[p] = t end end page '/' { n = 2 }",
     "r.x=? r=N o/=N"},
    {"local r, o = {}, {} local function page(p) return function(t) r[p] = t end end function f() o.x = 1 end page(1)",
     "local r, o = {}, {} local function page(p) return function(t) r[p] = t end end function f() o.x = 1 end page(2)",
     "r/=N o/=N"},
    {"local r, o = {}, {} local function page(p) return function() r[p] = 1 end end function f() o[p] = 1 end page(1)()",
     "local r, o = {}, {} local function page(p) return function() r[p] = 1 end end function f() o[p] = 1 end page(2)()",
     "r.x=? o.x=N"},
    {"r = {} function route(k) table.insert(r, k) end route('a')",
     "r = {} function route(k) table.insert(r, k) end route('b')", "g:r[1]=? g:r=N"},
    {"local M = { n = 1, l = {} } register(M)", "local M = { n = 2, l = {} } register(M)", "M.n=E M.l/=N M.l.x=N M=N"},
    {"local f = {} for i = 1, 9 do f[i] = i end local M = { f = f, n = 1 } return M",
     "local f = {} for i = 1, 9 do f[i] = -i end local M = { f = f, n = 1 } return M",
     "M.f[1]=? $.f[1]=? $.f/=? M.f=N M.n=N"},
    /* function bodies */
    {"local M = {} function M.init() M.ready = false end", "local M = {} function M.init() M.ready = true end",
     "M.ready=? M.init=E"},
    {"local M = {} function M.init() M.ready = false end", "local M = {} function M.init() print() M.ready = false end",
     "M.ready=N M.init=E"},
    {"local M = {} function M:init() self.n = 1 end", "local M = {} function M:init() self.n = 2 end", "M.n=?"},
    {"local M = { n = 0 } function M:init() self.n = 1 end", "local M = { n = 0 } function M:init() self.n = 2 end",
     "M.n=N"},
    {"local M = { list = {} } function M.a() local l = M.list l[#l + 1] = 1 end",
     "local M = { list = {} } function M.a() local l = M.list l[#l + 1] = 2 end", "M.list[1]=?"},
    {"local M = {} function M.a() M.x = 1 end function M.b() M.x = 2 end",
     "local M = {} function M.b() M.x = 2 end function M.a() M.x = 1 end", "M.x=N"},
    {"local c = {} function f(k) c[k] = c[k] or load(k) return c[k] end",
     "local c = {} function f(k) c[k] = c[k] or read(k) return c[k] end", "c=N c.x=?"},
    /* another name for a root, which the same place names */
    {"local M = { a = 1, b = 1 } function M.f() M.a = 2 end return M",
     "local Shop = { a = 1, b = 2 } function Shop.f() Shop.a = 2 end return Shop",
     "Shop=N Shop.a=N Shop.b=E Shop.f=N $=N $.a=N $.b=E M=N"},
    {"local M = {} M.list = {} table.insert(M.list, 1) M.n = M.k * 2 return M",
     "local S = {} S.list = {} table.insert(S.list, 1) S.n = S.k * 2 return S", "S/=N S.list[1]=N $.n=N"},
    {"Store = { items = {} } function Store:add(x) self.items[1] = x end return Store",
     "Shop = { items = {} } function Shop:add(x) self.items[1] = x end return Shop", "g:Shop/=N g:Shop.items/=N $/=N"},
    {"Store = Store or { n = 1 } return Store", "Shop = Shop or { n = 1 } return Shop", "g:Shop/=N $/=N g:Store=N"},
    {"Store = Store or { n = 1 } return Store", "Shop = Shop or { n = 2 } return Shop", "g:Shop=N g:Shop.n=E"},
    {"local shared = { n = 0 } local M = { left = shared, right = shared } return M",
     "local common = { n = 0 } local M = { left = common, right = common } return M", "common/=N M/=N shared=N"},
    {"local a = { n = 0 } local M = {} M.a = a return M", "local b = { n = 0 } local S = {} S.a = b return S",
     "S/=N b/=N b.n=N"},
    {"local M = { M = 1 } return M", "local S = { M = 1 } return S", "S.M=N S/=N"},
    {"local M = { n = 1 } return M", "local M = { n = 1 } local S = { n = 1 } return S", "S=E"},
    {"local M = { n = 1 } local S = 5 return M", "local S = { n = 1 } return S", "S=E"},
    {"local M = { n = 1 } return M", "S = { n = 1 } return S", "g:S=E"},
    /* another name of what a call gives is as edited */
    {"local next = counter(1) return { next = next }", "local next = counter(5) return { next = next }",
     "next=E $.next=E"},
    {"local LIMIT = 1 local next = counter(LIMIT) return { next = next }",
     "local LIMIT = 5 local next = counter(LIMIT) return { next = next }", "next=U $.next=U"},
    /* renamed, enumerations, modules of other kinds */
    {"local old = 1", "local new = 1", "old=E new=E"},
    {"local M = { old = 1 }", "local M = { new = 1 }", "M.old=E M.new=E M=N"},
    {"local E = { RED = 1, BLUE = 2 }", "local E = { RED = 1, GREEN = 3, BLUE = 2 }", "E.RED=N E.GREEN=E E.BLUE=N"},
    {"local _ENV = {} n = 1", "local _ENV = {} n = 2", "_ENV.n=E _ENV=N"},
    {"local M = {} local _ENV = M n = 1", "local M = {} local _ENV = M n = 2", "M.n=E"},
    {"module.exports.x = 1", "module.exports.x = 2", "g:module.exports.x=E g:module=N"},
    {"local lib = require 'lib' lib.x = 1", "local lib = require 'lib' lib.x = 2", "lib=N lib.x=E"},
    {"local t = { f() }", "local t = { g() }", "t[1]=E t[2]=?"},
    {"local t = { [k] = 1 }", "local t = { [k] = 2 }", "t=N t.x=?"},
    {"local t = { ... }", "local t = { ..., 1 }", "t[1]=N t[2]=E"},
    {"local t = cond and { a = 1 } or { b = 1 }", "local t = cond and { a = 1 } or { b = 2 }", "t=N t.a=N t.b=E"},
    {"local words = { de = { hi = 'a', bye = 'b' } }", "local words = { de = { hi = 'c', bye = 'b' } }",
     "words.de.hi=E words.de.bye=N words=N"},
    {"local q = { first = 1, last = 0, items = {} }", "local q = { first = 1, last = 0, items = {}, max = 5 }",
     "q.first=N q.items=N q.max=E"},
    {"local s = [[a]]", "local s = 'a'", "s=N"},
    {"local s = 'a' .. 'b'", "local s = 'a'..'b' -- c", "s=N"},
};

static void places_of_pairs_of_texts(void **state)
{
    (void)state;
    assert_true(sizeof rows / sizeof *rows >= 80);
    bool any = false;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        any |= wrong(rows[i].before, rows[i].now, rows[i].states);
    assert_false(any);
}

/* No place is in a state above `most`. */
static void check_all(const struct ls_places *places, const struct ls_place *place, enum ls_edit most, const char *text)
{
    for (; place; place = place->next) {
        if (place->edit > most || place->rest > most || place->within > most) {
            struct ls_buf name = LS_BUF_INIT;
            ls_place_name(place, &name);
            fail_msg("%s\n---- %s is %c%c%c", text, ls_buf_text(&name), "NU?E"[place->edit], "NU?E"[place->rest],
                     "NU?E"[place->within]);
        }
        check_all(places, place->first, most, text);
    }
}

static void check_nothing(const char *before, const char *now)
{
    struct pair pair = compare(before, now);
    assert_true(pair.before->hash == pair.now->hash);
    for (unsigned kind = LS_PLACE_LOCAL; kind <= LS_PLACE_MADE; kind++)
        check_all(pair.places, ls_places_first(pair.places, (enum ls_place_kind)kind), LS_EDIT_NONE, now);
    release(&pair);
}

static void a_text_compared_with_itself_has_no_edit(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        check_nothing(rows[i].before, rows[i].before);
        check_nothing(rows[i].now, rows[i].now);
    }
}

static void comments_white_space_quotes_and_separators_are_no_edit(void **state)
{
    (void)state;
    check_nothing(
        "local M = { a = 'x', b = { 1, 2 } }\nM.list = {}\nfunction M.f(a) return a end\nreturn M",
        "-- about M\nlocal M = {\n    a = \"x\";\n    ['b'] = { 1; 2, },\n};\nM[\"list\"] = {--[[ none ]]}\n\n"
        "function M . f ( a )\n    return a;\nend\nreturn M;");
}

static void the_order_of_unrelated_statements_is_no_edit(void **state)
{
    (void)state;
    const char *states = "a=N b=N M=N M.x=N M.y=N M.list[1]=N M/=N g:G=N";
    assert_false(
        wrong("local a = 1 local b = { 2 } local M = { list = {} } M.x = a M.y = b table.insert(M.list, 1) G = 5 "
              "function M.p() M.q = 1 M.list[2] = 1 end function M.r() M.q = 2 end",
              "G = 5 local b = { 2 } local a = 1 local M = { list = {} } M.y = b table.insert(M.list, 1) "
              "function M.r() M.q = 2 end function M.p() M.q = 1 M.list[2] = 1 end M.x = a",
              states));
}

static void without_a_text_before_nothing_is_edited(void **state)
{
    (void)state;
    struct ls_syntax *now = read_text("local M = { a = 1 } M.b = M.a function M.f() M.c = 1 end return M");
    struct ls_places *places = ls_places_compare(NULL, now);
    assert_non_null(places);
    const struct ls_place *place = ls_places_root(places, LS_PLACE_LOCAL, "M", 1);
    assert_true(place && place->now && !place->before && place->table && place->given_now && !place->given_before);
    assert_ptr_equal(ls_places_root(places, LS_PLACE_VALUE, NULL, 0), place);
    check_all(places, ls_places_first(places, LS_PLACE_LOCAL), LS_EDIT_NONE, "");
    ls_places_free(places);
    ls_syntax_free(now);
}

static void a_place_tells_which_text_gives_it_and_what(void **state)
{
    (void)state;
    struct pair pair = compare("local M = { lost = 1, both = 2 } function M.gone() end local v = {}",
                               "local M = { both = 2, new = 3 } function M.f() end");
    const struct ls_place *M = ls_places_root(pair.places, LS_PLACE_LOCAL, "M", 1), *child;
    struct ls_buf lost = LS_BUF_INIT;
    for (child = M->first; child; child = child->next)
        if (child->before && !child->now) {
            ls_place_name(child, &lost);
            ls_buf_char(&lost, child->function ? '!' : ' ');
        }
    assert_string_equal(lost.data, "M.gone!M.lost ");
    ls_buf_release(&lost);
    const struct ls_place *v = ls_places_root(pair.places, LS_PLACE_LOCAL, "v", 1);
    assert_true(v->before && !v->now && v->given_before && !v->given_now);
    release(&pair);
    /* Wherever it stands, the same giver has the same hash. */
    struct pair back = compare("x = 1", "x = 1\n\nlocal v = { }"), other = compare("x = 1", "local v = { 1 }");
    pair = compare("local v = {}", "x = 1");
    v = ls_places_root(back.places, LS_PLACE_LOCAL, "v", 1);
    uint64_t old = ls_places_root(pair.places, LS_PLACE_LOCAL, "v", 1)->given_before;
    assert_true(old == v->given_now);
    assert_true(old != ls_places_root(other.places, LS_PLACE_LOCAL, "v", 1)->given_now);
    release(&pair);
    release(&back);
    release(&other);
}

static void data_below_is_part_of_what_gives_a_place(void **state)
{
    (void)state;
    struct pair pair =
        compare("local M = {} M.n = 1 function M.f() return 1 end", "local M = {} M.n = 1 function M.f() end");
    const struct ls_place *M = ls_places_root(pair.places, LS_PLACE_LOCAL, "M", 1);
    assert_true(M->given_before == M->given_now);
    release(&pair);
    pair = compare("local M = {} M.n = 1", "local M = {} M.n = 2");
    M = ls_places_root(pair.places, LS_PLACE_LOCAL, "M", 1);
    assert_true(M->given_before != M->given_now);
    release(&pair);
}

static void names_are_written_as_in_the_text(void **state)
{
    (void)state;
    static const char *const places[][2] = {
        {"items", "items"},
        {"M.store.items", "M.store.items"},
        {"M[\"a b\"][1]", "M[\"a b\"][1]"},
        {"g:G.x", "G.x"},
        {"$.x.y", "x.y"},
        {"M^.__index", "getmetatable(M).__index"},
        {"$[1]", "[1]"},
        {"M[true]", "M[true]"},
        {"made:Ship.n", "Ship.n"},
        {"M[2.5]", "M[2.5]"},
    };
    struct pair pair = compare("", "local items = 1 local M = setmetatable({ store = { items = {} }, ['a b'] = { 1 }, "
                                   "[true] = 1, [2.5] = 1 }, { __index = {} }) G = { x = 1 } S('Ship', { n = 1 }) "
                                   "return { 1, x = { y = 1 } }");
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        const char *at = places[i][0];
        enum ls_place_kind kind = *at == 'g'                 ? LS_PLACE_GLOBAL
                                  : *at == '$'               ? LS_PLACE_VALUE
                                  : !strncmp(at, "made:", 5) ? LS_PLACE_MADE
                                                             : LS_PLACE_LOCAL;
        at += *at == '$' ? 1 : kind == LS_PLACE_GLOBAL ? 2 : kind == LS_PLACE_MADE ? 5 : 0;
        size_t len = strcspn(at, ".[^");
        const struct ls_place *place = ls_places_root(pair.places, kind, at, len);
        struct ls_place_key key;
        for (at += len; place && *at && read_key(&at, &key);)
            place = ls_place_child(pair.places, place, &key);
        struct ls_buf name = LS_BUF_INIT;
        assert_non_null(place);
        ls_place_name(place, &name);
        assert_string_equal(name.data, places[i][1]);
        ls_buf_release(&name);
    }
    release(&pair);
}

static void want_of_memory_is_told_and_leaves_nothing(void **state)
{
    (void)state;
    struct ls_syntax *before = read_text("local D = 1 local M = { a = { D } } M.x = M.a M[y] = 1 if M then z = 1 end");
    struct ls_syntax *now = read_text("local D = 2 local M = { a = { D } } M.x = M.a M[y] = 2 if M then z = 1 end");
    struct ls_places *places = NULL;
    for (long n = 1; !places; n++) {
        ls_alloc_fail_at(n);
        places = ls_places_compare(before, now);
        ls_alloc_fail_at(0);
        assert_true(!places || n > 3);
    }
    ls_places_free(places);
    ls_syntax_free(before);
    ls_syntax_free(now);
}

static double seconds(void)
{
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (double)at.tv_sec + 1e-9 * (double)at.tv_nsec;
}

/* How long comparing takes, as part of the time for reading one of the texts; the least of some rounds. */
static double share_of(unsigned fields, bool edited, struct ls_buf *text)
{
    double least = 1e9, reading = 1e9;
    ls_buf_clear(text);
    ls_buf_str(text, "local N = 1 local words = {\n");
    for (unsigned i = 0; i < fields; i++)
        ls_buf_printf(text, "word_%u = \"text %u\",\n", i, i);
    ls_buf_str(text, "} return words");
    struct ls_syntax *before = read_text(text->data), *now = NULL;
    text->data[10] = '2'; /* N, which the words do not name */
    if (edited) memcpy(strstr(text->data, "text 5"), "tExt", 4);
    for (unsigned round = 0; round < 5; round++) {
        ls_syntax_free(now);
        double start = seconds();
        now = read_text(text->data);
        double middle = seconds();
        struct ls_places *places = ls_places_compare(before, now);
        double end = seconds();
        assert_int_equal(ls_places_root(places, LS_PLACE_VALUE, NULL, 0)->within,
                         edited ? LS_EDIT_EDITED : LS_EDIT_NONE);
        ls_places_free(places);
        if (middle - start < reading) reading = middle - start;
        if (end - middle < least) least = end - middle;
    }
    ls_syntax_free(before);
    ls_syntax_free(now);
    print_message("%u fields, %s: read in %.2f ms, compared in %.3f ms\n", fields, edited ? "one edited" : "unedited",
                  reading * 1e3, least * 1e3);
    return least / reading;
}

static void large_constructors_cost_little(void **state)
{
    (void)state;
    struct ls_buf text = LS_BUF_INIT;
    assert_true(share_of(12000, true, &text) < 5);
    assert_true(share_of(100000, true, &text) < 5);
    assert_true(share_of(100000, false, &text) < 0.05); /* hashes only */
    ls_buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_of_pairs_of_texts),
        cmocka_unit_test(a_text_compared_with_itself_has_no_edit),
        cmocka_unit_test(comments_white_space_quotes_and_separators_are_no_edit),
        cmocka_unit_test(the_order_of_unrelated_statements_is_no_edit),
        cmocka_unit_test(without_a_text_before_nothing_is_edited),
        cmocka_unit_test(a_place_tells_which_text_gives_it_and_what),
        cmocka_unit_test(data_below_is_part_of_what_gives_a_place),
        cmocka_unit_test(names_are_written_as_in_the_text),
        cmocka_unit_test(want_of_memory_is_told_and_leaves_nothing),
        cmocka_unit_test(large_constructors_cost_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
