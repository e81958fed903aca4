/* The torture table of the reload transaction: one row an edit, with what the session must look like before and after it, how often the
 * chunk ran, and what the report says (hotload.md sections 7 to 12). Runs inside a real session on a site in a temporary folder. */
#include "session_reload.h"

/* One save. `text` NULL = the file of the step before is saved again unchanged. */
struct step {
    const char *before; /* Lua that the run does before the save, NULL = nothing */
    const char *text;
    enum ls_reload_outcome outcome;
    int runs;           /* how often the module's chunk runs on account of it */
    const char *check;  /* Lua that must return true afterwards */
};

struct row {
    const char *title;
    const char *first;  /* first version of lua/m.lua; its value is the global m */
    struct step steps[4];
};

#define OK LS_RELOAD_OK, 1
#define FAILED LS_RELOAD_FAILED, 1
#define BROKEN LS_RELOAD_FAILED, 0
#define SKIPPED LS_RELOAD_SKIPPED, 0

static const struct row rows[] = {
    /* --- H35: equal texts --- */
    {"H35 an unchanged save runs nothing", "return {a = 1}", {{"m.a = 2", NULL, SKIPPED, "return m.a == 2"}}},
    {"H35 H63 the text executed last clears a failure", "return {a = 1}",
     {{NULL, "error('x')", FAILED, "return m.a == 1"}, {NULL, "return {a = 1}", SKIPPED, "return m.a == 1"}}},
    {"H35 undo of a good edit is an edit", "return {a = 1}",
     {{NULL, "return {a = 2}", OK, "return m.a == 2"}, {NULL, "return {a = 1}", OK, "return m.a == 1"}}},

    /* --- H48: the module's table --- */
    {"H48 the module table stays the same table", "return {f = function() return 1 end}",
     {{"old = m", "return {f = function() return 2 end}", OK, "return m == old and require('m') == old and m.f() == 2"}}},
    {"H48 M.self and closures over M see the one table",
     "local M = {} M.self = M function M.get() return M end return M",
     {{"old = m", "local M = {} M.self = M function M.get() return M end function M.new() end return M", OK,
       "return m == old and m.self == old and m.get() == old and m.new"}}},
    {"H48 M.__index = M and instances made by the new code", "local M = {} M.__index = M function M.new() return setmetatable({}, M) end return M",
     {{"i = m.new()", "local M = {} M.__index = M function M.new() return setmetatable({}, M) end function M:hi() return 'hi' end return M", OK,
       "return i:hi() == 'hi' and m.new():hi() == 'hi' and getmetatable(m.new()) == m"}}},
    {"H48 nested plain tables refer to the old table", "local M = {} M.sub = {up = M, n = 1} return M",
     {{"old = m", "local M = {} M.sub = {up = M, n = 2} return M", OK, "return m.sub.up == old and m.sub.n == 2"}}},
    {"H48 a module that puts itself into package.loaded keeps its table and its data",
     "local M = {n = 0} package.loaded[...] = M function M.get() return M.n end return M",
     {{"m.n = 7 old = m", "local M = {n = 0} package.loaded[...] = M function M.get() return M.n + 1 end return M", OK,
       "return rawequal(require('m'), old) and rawequal(package.loaded['lua/m.lua'], old) and old.get() == 8"},
      {NULL, "local M = {n = 3} package.loaded[...] = M function M.get() return M.n end return M", OK, "return rawequal(require('m'), old) and old.get() == 3"},
      {NULL, "local M = {n = 4} package.loaded[...] = M error('x')", FAILED, "return rawequal(require('m'), old) and old.get() == 3"}}},
    {"H48 nil where it was nil stays true", "local x = 1", {{NULL, "local x = 2", OK, "return require('m') == true"}}},
    {"H48 the metatable is the new one's", "return setmetatable({}, {__index = function() return 1 end})",
     {{NULL, "return setmetatable({}, {__index = function() return 2 end})", OK, "return m.anything == 2"}}},
    {"H48 a global hand-made class keeps its table and its instances",
     "Boat = {type = 'Boat'} Boat.__index = Boat function Boat:go() return 1 end",
     {{"old = Boat b = setmetatable({}, Boat)", "Boat = {type = 'Boat'} Boat.__index = Boat function Boat:go() return 2 end", OK,
       "return Boat == old and b:go() == 2 and getmetatable(setmetatable({}, Boat)) == old"}}},
    {"H48 a local hand-made class keeps its instances",
     "local P = {} P.__index = P function P:x() return 1 end return {new = function() return setmetatable({}, P) end}",
     {{"i = m.new()", "local P = {} P.__index = P function P:x() return 2 end return {new = function() return setmetatable({}, P) end}", OK,
       "return i:x() == 2 and m.new():x() == 2 and getmetatable(i) == getmetatable(m.new())"}}},
    {"H48 a derived hand-made class follows its base",
     "A = {} A.__index = A function A:f() return 1 end B = setmetatable({}, A) B.__index = B",
     {{"b = setmetatable({}, B)", "A = {} A.__index = A function A:f() return 2 end B = setmetatable({}, A) B.__index = B", OK,
       "return b:f() == 2 and getmetatable(B) == A"}}},

    /* --- H49: the three-way rule for keys of the module table --- */
    {"H49 data of the run stays when the file says nothing new", "return {n = 0}",
     {{"m.n = 7", "return {n = 0} -- edited", OK, "return m.n == 7"}}},
    {"H49 an edited value wins over the run", "return {n = 0}", {{"m.n = 7", "return {n = 10}", OK, "return m.n == 10"}}},
    {"H49 S becomes N: the next save compares with the value of this one", "return {n = 0}",
     {{"m.n = 7", "return {n = 10}", OK, "return m.n == 10"}, {"m.n = 11", "return {n = 10} --", OK, "return m.n == 11"}}},
    {"H49 functions follow the file even if the run has replaced them", "return {f = function() return 1 end}",
     {{"m.f = function() return 'run' end", "return {f = function() return 2 end}", OK, "return m.f() == 2"}}},
    {"H49 a key added by others stays", "return {n = 0}", {{"m.extra = 5", "return {n = 1}", OK, "return m.extra == 5"}}},
    {"H49 a key that the run deleted stays deleted", "return {n = 0, k = 1}", {{"m.n = nil", "return {n = 0, k = 2}", OK, "return m.n == nil and m.k == 2"}}},
    {"H49 a removed key goes if the run has not changed it", "return {aa = 1, bb = 2}", {{NULL, "return {aa = 1}", OK, "return m.bb == nil"}}},
    {"H49 a removed key goes although the text still reads it", "local M = {limit = 5} function M.get() return M.limit == nil and 10 or M.limit end return M",
     {{NULL, "local M = {} function M.get() return M.limit == nil and 10 or M.limit end return M", OK, "return m.get() == 10"}}},
    {"H49 a key that the text gives under a guard stays", "local M = {} if not session.reloading then M.one, M['two'] = 1, 2 rawset(M, 'three', 3) end return M",
     {{NULL, "local M = {} if not session.reloading then M.one, M['two'] = 1, 2 rawset(M, 'three', 3) end return M --", OK,
       "return m.one == 1 and m.two == 2 and m.three == 3"}}},
    {"H49 a removed key stays if the run has changed it", "return {aa = 1, bb = 2}", {{"m.bb = 3", "return {aa = 1}", OK, "return m.bb == 3"}}},
    {"H49 a table equal to the file's gives way to the run's", "return {list = {}}",
     {{"list = m.list list[1] = 'x'", "return {list = {}} -- edited", OK, "return m.list == list and list[1] == 'x'"}}},
    {"H49 an edited table wins", "return {list = {}}", {{"m.list[1] = 'x'", "return {list = {'y'}}", OK, "return m.list[1] == 'y' and #m.list == 1"}}},
    {"H49 nested and cyclic tables are compared by content", "local t = {a = {b = {1}}} t.t = t return {t = t}",
     {{"t = m.t t.a.b[1] = 2", "local t = {a = {b = {1}}} t.t = t return {t = t} --", OK, "return m.t == t and m.t.a.b[1] == 2"}}},
    {"H49 a change deep inside is a change", "return {t = {a = {b = {1}}}}",
     {{"m.t.a.b[1] = 5", "return {t = {a = {b = {2}}}}", OK, "return m.t.a.b[1] == 2"}}},
    {"H49 a table that holds functions of the file follows the file", "return {t = {n = 1, f = function() return 1 end}}",
     {{"m.t.n = 5", "return {t = {n = 1, f = function() return 2 end}}", OK, "return m.t.n == 1 and m.t.f() == 2"}}},
    {"H49 a table of functions is merged key by key", "return {t = {f = function() return 1 end, g = function() end}}",
     {{"t = m.t t.added = 1", "return {t = {f = function() return 2 end}}", OK, "return m.t == t and t.f() == 2 and t.g == nil and t.added == 1"}}},
    {"H49 NaN is equal to NaN", "return {n = 0/0}", {{"m.n = 3", "return {n = 0/0} --", OK, "return m.n == 3"}}},
    {"H49 one table in several places gives way in all at once", "local t = {} shared = t return {t = t, get = function() return t end}",
     {{"old = m.t old.x = 1", "local t = {} shared = t return {t = t, get = function() return t end} --", OK,
       "return m.t == old and shared == old and m.get() == old"}}},
    {"H49 a table held elsewhere follows the file everywhere", "local t = {} holder.t = t return {t = t, get = function() return t end}",
     {{"m.t.x = 1", "local t = {} holder.t = t return {t = t, get = function() return t end} --", OK,
       "return holder.t == m.t and m.get() == m.t and m.t.x == nil"}}},
    {"H49 a coroutine holds what is on its stack",
     "local t = {} holder.co = coroutine.wrap(function(v) local kept = v coroutine.yield() return kept end) holder.co(t) return {t = t}",
     {{"m.t.x = 1", "local t = {} holder.co = coroutine.wrap(function(v) local kept = v coroutine.yield() return kept end) holder.co(t) return {t = t} --",
       OK, "return holder.co() == m.t and m.t.x == nil"}}},
    {"H49 a weak table holds nothing", "local t = {} holder.weak = setmetatable({t}, {__mode = 'v'}) return {t = t}",
     {{"old = m.t", "local t = {} holder.weak = setmetatable({t}, {__mode = 'v'}) return {t = t} --", OK, "return m.t == old"}}},

    /* --- H49: globals and statics --- */
    {"H49 a global keeps the run's value", "count = 0", {{"count = 7", "count = 0 -- edited", OK, "return count == 7"}}},
    {"H49 a global takes an edited value", "count = 0", {{"count = 7", "count = 10", OK, "return count == 10"}}},
    {"H53 a global that the file no longer sets stays", "gone = 1", {{NULL, "local x", OK, "return gone == 1"}}},
    {"L149 X.n = X.n or 0 keeps the count", "X = X or {} X.n = X.n or 0", {{"X.n = 4", "X = X or {} X.n = X.n or 0 --", OK, "return X.n == 4"}}},
    {"H49 a static keeps the run's value and takes an edited one", "Ship = session:prototype('Ship', {name = ''}) Ship.made = 0",
     {{"Ship.made = 3", "Ship = session:prototype('Ship', {name = ''}) Ship.made = 0 --", OK, "return Ship.made == 3"},
      {NULL, "Ship = session:prototype('Ship', {name = ''}) Ship.made = 100", OK, "return Ship.made == 100"}}},
    {"L82 a prototype stays the same table and its instances get new methods",
     "Ship = session:prototype('Ship', {name = ''}) function Ship:hi() return 1 end",
     {{"old = Ship s = Ship:new{}", "Ship = session:prototype('Ship', {name = ''}) function Ship:hi() return 2 end", OK,
       "return Ship == old and s:hi() == 2"}}},

    /* --- H56: file-level locals --- */
    {"H56 a local keeps the run's value", "local n = 0 return {inc = function() n = n + 1 return n end}",
     {{"for _ = 1, 7 do m.inc() end", "local n = 0 return {inc = function() n = n + 1 return n end} --", OK, "return m.inc() == 8"}}},
    {"H56 a local takes an edited value", "local n = 0 return {inc = function() n = n + 1 return n end}",
     {{"m.inc()", "local n = 10 return {inc = function() n = n + 1 return n end}", OK, "return m.inc() == 11"}}},
    {"H56 old callbacks and new code share the variable", "local n = 0 return {inc = function() n = n + 1 return n end}",
     {{"old = m.inc", "local n = 0 return {inc = function() n = n + 100 return n end}", OK, "return old() == 1 and m.inc() == 101 and old() == 102"}}},
    {"H56 also when the file's own edit wins", "local n = 0 return {inc = function() n = n + 1 return n end}",
     {{"old = m.inc old()", "local n = 50 return {inc = function() n = n + 1 return n end}", OK, "return old() == 51 and m.inc() == 52"}}},
    {"H56 function locals are always new, old functions keep the old ones",
     "local function h() return 1 end return {f = function() return h() end}",
     {{"old = m.f", "local function h() return 2 end return {f = function() return h() end}", OK, "return old() == 1 and m.f() == 2"}}},
    {"H56 a local declared without a value keeps what the run put there", "local v return {set = function(x) v = x end, get = function() return v end}",
     {{"m.set('kept')", "local v return {set = function(x) v = x end, get = function() return v end} --", OK, "return m.get() == 'kept'"}}},
    {"H56 a callback that the run has stored in a local stays",
     "local cb local other = false return {on = function(f) cb = f other = f end, fire = function() return cb() + other() end}",
     {{"m.on(function() return 4 end)",
       "local cb local other = false return {on = function(f) cb = f other = f end, fire = function() return cb() + other() + 1 end}", OK, "return m.fire() == 9"}}},
    {"H56 a callback of the run gives way to the file's own edit", "local cb return {on = function(f) cb = f end, get = function() return cb end}",
     {{"m.on(function() end)", "local cb = 3 return {on = function(f) cb = f end, get = function() return cb end}", OK, "return m.get() == 3"}}},
    {"H56 functions on one line are told apart by the names of their variables",
     "local M, x, y = {}, 0, 0 function M.ax() x = x + 1 return x end function M.ay() y = y + 1 return y end return M",
     {{"m.ax() m.ax() m.ay()", "local M, x, y = {}, 0, 0 function M.ax() x = x + 1 return x end function M.ay() y = y + 1 return y end return M --", OK,
       "return m.ax() == 3 and m.ay() == 2"}}},
    {"H56 a parameter of the same name is another variable",
     "local n = 5 return {get = function() return n end, mk = function(n) return function() n = n + 1 return n end end}",
     {{"k = m.mk(1)", "local n = 6 return {get = function() return n end, mk = function(n) return function() n = n + 1 return n end end}", OK,
       "return m.get() == 6 and k() == 2 and m.mk(10)() == 11"}}},
    {"H56 a name declared twice belongs to nobody: the file wins",
     "local n = 0 local function a() n = n + 1 return n end local n = 1 return {a = a, b = function() return n end}",
     {{"m.a() m.a()", "local n = 0 local function a() n = n + 1 return n end local n = 1 return {a = a, b = function() return n end} --", OK,
       "return m.a() == 1"}}},
    {"H56 a local in a block of the top level counts", "local M = {} do local n = 0 function M.inc() n = n + 1 return n end end return M",
     {{"m.inc()", "local M = {} do local n = 0 function M.inc() n = n + 1 return n end end return M --", OK, "return m.inc() == 2"}}},
    {"H56 a variable made by each turn of a loop is new", "local M = {} for i = 1, 2 do local n = 0 M[i] = function() n = n + 1 return n end end return M",
     {{"m[1]()", "local M = {} for i = 1, 2 do local n = 0 M[i] = function() n = n + 1 return n end end return M --", OK, "return m[1]() == 1"}}},
    {"H56 a new local starts with the file's value", "return {}", {{NULL, "local n = 3 return {get = function() return n end}", OK, "return m.get() == 3"}}},
    {"H56 locals of methods on prototypes", "local made = 0 Ship = session:prototype('Ship', {}) function Ship:up() made = made + 1 return made end",
     {{"Ship:up() Ship:up()", "local made = 0 Ship = session:prototype('Ship', {}) function Ship:up() made = made + 1 return made end --", OK,
       "return Ship:up() == 3"}}},
    {"H56 locals of functions in a plain global table", "local n = 0 Tool = Tool or {} function Tool.up() n = n + 1 return n end",
     {{"Tool.up()", "local n = 0 Tool = Tool or {} function Tool.up() n = n + 1 return n end --", OK, "return Tool.up() == 2"}}},
    {"H56 a local table of the run stays", "local items = {} return {add = function(x) items[#items + 1] = x return #items end}",
     {{"m.add(1)", "local items = {} return {add = function(x) items[#items + 1] = x return #items end} --", OK, "return m.add(2) == 2"}}},
    {"H56 state lives through ten edits", "local n = 0 return {inc = function() n = n + 1 return n end}",
     {{"m.inc()", "local n = 0 return {inc = function() n = n + 1 return n end} -- 1", OK, "return m.inc() == 2"},
      {NULL, "local n = 0 return {inc = function() n = n + 1 return n end} -- 2", OK, "return m.inc() == 3"},
      {NULL, "local n = 0 return {inc = function() n = n + 1 return n end} -- 3", OK, "return m.inc() == 4"}}},

    /* --- H51 to H53: what the file no longer says --- */
    {"H51 a removed function of the module goes", "return {fa = function() end, fb = function() end}",
     {{NULL, "return {fa = function() end}", OK, "return m.fb == nil and m.fa"}}},
    {"H51 a removed method of a prototype goes, the inherited one shows",
     "Base = session:prototype('Base', {}) function Base:hi() return 'base' end Ship = session:prototype('Ship', {}, Base) function Ship:hi() return 'ship' end",
     {{"s = Ship:new{}", "Base = session:prototype('Base', {}) Ship = session:prototype('Ship', {}, Base)", OK, "return Ship.hi == nil and s.hi == nil"}}},
    {"H51 a method under a guard stays", "Ship = session:prototype('Ship', {}) if not session.reloading then function Ship:once() return 1 end end",
     {{NULL, "Ship = session:prototype('Ship', {}) if not session.reloading then function Ship:once() return 1 end end --", OK,
       "return Ship.once and Ship:once() == 1"}}},
    {"H51 a definition for another owner keeps nothing",
     "Base = session:prototype('Base', {}) function Base:hi() return 'base' end Ship = session:prototype('Ship', {}, Base) function Ship:hi() return 'ship' end",
     {{"s = Ship:new{}", "Base = session:prototype('Base', {}) function Base:hi() return 'base' end Ship = session:prototype('Ship', {}, Base)", OK,
       "return rawget(Ship, 'hi') == nil and s:hi() == 'base'"}}},
    {"H51 nor one for another local", "local Base = session:prototype('Base', {}) function Base:hi() return 'base' end local S = session:prototype('Ship', {}, Base) function S:hi() return 'ship' end",
     {{NULL, "local Base = session:prototype('Base', {}) function Base.hi() return 'base' end local S = session:prototype('Ship', {}, Base)", OK,
       "return rawget(session:prototype('Ship'), 'hi') == nil"}}},
    {"H51 nor a call, a comment, a text or a field of an instance", "Ship = session:prototype('Ship', {}) function Ship:hi() return 1 end function Ship:go() return self:hi() end",
     {{NULL, "Ship = session:prototype('Ship', {}) -- function Ship:hi() end\n--[[ Ship.hi = 1 ]] function Ship:go() self.hi = 2 return self:hi(), 'hi', { hi = 1 }, Ship.hi == 3 end", OK,
       "return rawget(Ship, 'hi') == nil"}}},
    {"H51 each form of a definition under a guard keeps its method",
     "local S = session:prototype('Ship', { e = function() return 5 end }) if not session.reloading then function S:a() return 1 end S.b = function() return 2 end "
     "S['c'] = function() return 3 end rawset(S, 'd', function() return 4 end) end Ship = S",
     {{NULL, "local S = session:prototype('Ship', { e = function() return 5 end }) if not session.reloading then function S:a() return 1 end S.b = function() return 2 end "
             "S['c'] = function() return 3 end rawset(S, 'd', function() return 4 end) end Ship = S --", OK,
       "return Ship.a() + Ship.b() + Ship.c() + Ship.d() + Ship.e() == 15"}}},
    {"H51 a function of another table of the module goes", "local M = {} local N = {} function M.hi() end function N.hi() end M.n = N return M",
     {{NULL, "local M = {} M.n = nil return M", OK, "return m.hi == nil"}}},
    {"H51 a method that the run has replaced stays", "Ship = session:prototype('Ship', {}) function Ship:gone() return 1 end",
     {{"function Ship:gone() return 'run' end", "Ship = session:prototype('Ship', {})", OK, "return Ship:gone() == 'run'"}}},
    {"H51 a renamed method leaves no old name", "Ship = session:prototype('Ship', {}) function Ship:oldName() return 1 end",
     {{NULL, "Ship = session:prototype('Ship', {}) function Ship:newName() return 1 end", OK, "return Ship.oldName == nil and Ship.newName"}}},
    {"H52 a presenter that is no longer registered goes", "ui.registerPresenter('P1', {}) ui.registerPresenter('P2', {})",
     {{NULL, "ui.registerPresenter('P1', {})", OK, "return true"}}},
    {"H52 a prototype that is no longer declared stays", "Ship = session:prototype('Ship', {n = 1}) local x = 1",
     {{"s = Ship:new{}", "local x = 2", OK, "return session:prototype('Ship') == Ship and s.n == 1"}}},

    /* --- H54: prototypes and migration --- */
    {"L88 an added field shows in existing instances", "Ship = session:prototype('Ship', {name = ''})",
     {{"s = Ship:new{name = 'a'}", "Ship = session:prototype('Ship', {name = '', speed = 3})", OK, "return s.speed == 3 and s.name == 'a'"}}},
    {"L97 mutate runs once for each instance, then removed fields go",
     "Ship = session:prototype('Ship', {captain = ''})",
     {{"s = Ship:new{captain = 'Ann'}",
       "Ship = session:prototype('Ship', {master = EMPTY}) function Ship:mutate() R.mutated = (R.mutated or 0) + 1 self.master = rawget(self, 'captain') end",
       OK, "return s.master == 'Ann' and s.captain == nil and R.mutated == 1"}}},
    {"H43 mutate sees reloading true, later code false", "Ship = session:prototype('Ship', {n = 1})",
     {{"s = Ship:new{}", "Ship = session:prototype('Ship', {n = 1, k = 2}) function Ship:mutate() R.flag = session.reloading end", OK,
       "return R.flag == true and session.reloading == false"}}},
    {"H61 a failing mutate is no failure of the reload", "Ship = session:prototype('Ship', {n = 1})",
     {{"s = Ship:new{}", "Ship = session:prototype('Ship', {n = 1, k = 2}) function Ship:mutate() error('no') end", OK, "return s.k == 2"}}},

    /* --- H43, H46, H66: the flag and the guards --- */
    {"H43 the chunk sees the flag on reload only", "R.flag = session.reloading", {{"assert(R.flag == false)", "R.flag = session.reloading --", OK,
       "return R.flag == true and session.reloading == false"}}},
    {"H46 the flag is reset after a failure", "R.x = 1", {{NULL, "error('x')", FAILED, "return session.reloading == false"}}},
    {"L40 the chunk gets name and key again", "R.args = {...}", {{NULL, "R.args = {...} --", OK, "return R.args[1] == 'm' and R.args[2] == 'lua/m.lua'"}}},
    {"H67 keep outlives reloads", "kept = session:keep('k', {})", {{"kept.x = 1", "again = session:keep('k', {})", OK, "return again == kept and again.x == 1"}}},
    {"H68 dispose hooks run once before the next execution, with true", "session:onDispose(function(r) R.disposed = (R.disposed or 0) + 1 R.why = r end)",
     {{NULL, "session:onDispose(function(r) R.disposed = R.disposed + 10 end)", OK, "return R.disposed == 1 and R.why == true"},
      {NULL, "local x", OK, "return R.disposed == 11"}}},
    {"H62 a failing dispose hook does not stop the reload", "session:onDispose(function() error('hook') end) return {a = 1}",
     {{NULL, "return {a = 2}", OK, "return m.a == 2"}}},

    /* --- H58, H59: failures --- */
    {"H58 a syntax error touches nothing", "count = 0 return {a = 1}", {{"count = 3", "count = = 1", BROKEN, "return count == 3 and m.a == 1"}}},
    {"H59 globals are put back", "count = 0", {{"count = 3", "count = 9 other = 1 error('x')", FAILED, "return count == 3 and other == nil"}}},
    {"H59 the module table is put back", "return {a = 1}", {{NULL, "require('m').a = 5 require('m').b = 6 error('x')", FAILED, "return m.a == 1 and m.b == nil"}}},
    {"H59 prototypes, their fields and metatables are put back", "Ship = session:prototype('Ship', {n = 1}) function Ship:f() return 1 end",
     {{"s = Ship:new{}",
       "Ship = session:prototype('Ship', {k = 2}) function Ship:f() return 2 end Ship.g = 1 setmetatable(Ship, {}) session:prototype('Added', {}) error('x')",
       FAILED, "return s.n == 1 and s.k == nil and s:f() == 1 and Ship.g == nil and session:prototype('Ship') == Ship and getmetatable(Ship) == nil"}}},
    {"H59 a declaration of a failed chunk counts as new afterwards", "Ship = session:prototype('Ship', {n = 1})",
     {{"s = Ship:new{}", "session:prototype('Ship', {n = 1, k = 2}) error('x')", FAILED, "return s.k == nil"},
      {NULL, "session:prototype('Ship', {n = 1, k = 2})", OK, "return s.k == 2"}}},
    {"H59 the mutation queue is put back", "Ship = session:prototype('Ship', {n = 1}) function Ship:mutate() R.mutated = true end",
     {{"s = Ship:new{n = 5}", "session:prototype('Ship', {}) error('x')", FAILED, "return R.mutated == nil and s.n == 5"}}},
    {"H59 session and ui are put back", "local x", {{NULL, "session.extra = 1 ui.log = nil session.getApp = nil error('x')", FAILED,
       "return session.extra == nil and ui.log and session.getApp"}}},
    {"H59 package.loaded is put back", "return {}", {{"old = m", "package.loaded['m'] = 5 package.loaded['zz'] = 1 error('x')", FAILED,
       "return require('m') == old and package.loaded['zz'] == nil"}}},
    {"H59 keep values are put back", "session:keep('a', 1)", {{NULL, "session:keep('a', 2, true) session:keep('b', 1) error('x')", FAILED, "return true"},
      {NULL, "R.a = session:keep('a') R.b = session:keep('b', 'none')", OK, "return R.a == 1 and R.b == 'none'"}}},
    {"H59 the app object is put back", "if not session:getApp() then app = {} end", {{NULL, "error('x')", FAILED, "return session:getApp() == nil"}}},
    {"H59 timers of the failed chunk go", "local x", {{NULL, "R.h = session:setInterval(function() end, 1000) error('x')", FAILED, "return R.h ~= nil"}}},
    {"H68 hooks of a failed chunk are called with true and dropped", "local x",
     {{NULL, "session:onDispose(function(r) R.hook = r end) error('x')", FAILED, "return R.hook == true"},
      {"R.hook = nil", "local y", OK, "return R.hook == nil"}}},
    {"H63 the good version after a bad one is taken", "return {a = 1}",
     {{NULL, "return {a = ", BROKEN, "return m.a == 1"}, {NULL, "error({})", FAILED, "return m.a == 1"}, {NULL, "return {a = 2}", OK, "return m.a == 2"}}},
    {"H59 locals of the running version keep their values", "local n = 0 return {inc = function() n = n + 1 return n end}",
     {{"m.inc()", "local n = 5 return {inc = function() n = n + 1 return n end}, error('x')", FAILED, "return m.inc() == 2"}}},
    {"H41 an endless loop is a failure of that file", "return {a = 1}", {{NULL, "while true do end", FAILED, "return m.a == 1"}}},
};

static void run_row(void **state)
{
    const struct row *row = *state;
    struct site site;
    site_open(&site);
    site_write(&site, "lua/main.lua", "R = {n = 0} holder = {} m = require('m')");
    site_write_counted(&site, "lua/m.lua", row->first);
    site_start(&site);
    const char *text = row->first;
    for (size_t i = 0; i < 4 && row->steps[i].check; i++) {
        const struct step *step = &row->steps[i];
        if (step->before)
            site_eval(&site, step->before);
        if (step->text)
            text = step->text;
        int before = site_number(&site, "return R.n");
        site_write_counted(&site, "lua/m.lua", text);
        struct ls_reload_report report;
        site_reload(&site, &report, "lua/m.lua", NULL);
        if (report.count < 1 || report.results[0].outcome != step->outcome)
            fail_msg("step %zu: outcome %d, expected %d: %s", i, report.count ? (int)report.results[0].outcome : -1, (int)step->outcome,
                     report.count && report.results[0].text ? report.results[0].text : "");
        assert_int_equal(site_number(&site, "return R.n") - before, step->runs);
        site_check(&site, step->check);
        assert_int_equal(ls_session_failures(site.session, NULL, NULL), step->outcome == LS_RELOAD_FAILED);
        ls_reload_report_release(&report);
    }
    site_close(&site);
}

int main(void)
{
    size_t count = sizeof rows / sizeof *rows;
    struct CMUnitTest *tests = calloc(count, sizeof *tests);
    for (size_t i = 0; tests && i < count; i++)
        tests[i] = (struct CMUnitTest){rows[i].title, run_row, NULL, NULL, (void *)&rows[i]};
    int failed = _cmocka_run_group_tests("reload: torture table", tests, count, NULL, NULL);
    free(tests);
    return failed;
}
