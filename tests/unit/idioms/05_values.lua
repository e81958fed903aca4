-- Values that the file gives: constants and what is derived of them, tables made by loops, large texts, values that
-- differ at each run. Case lua/01 of the cases, data that is deep or large, is the rows marked so.

-- A table of `count` words for each language, one a line.
local function translations(count)
  local out = {}
  for _, language in ipairs({ "en", "de", "fr", "es" }) do
    out[#out + 1] = "  " .. language .. " = {"
    for i = 1, count / 4 do out[#out + 1] = ('    word%d = "%s %d",'):format(i, language, i) end
    out[#out + 1] = "  },"
  end
  return table.concat(out, "\n")
end

return {
  { "H49 H56 a constant",
    text = [[
local LIMIT <const> = 10
local RATE = 3
return { show = function() return LIMIT * RATE end }]],
    show = "M.show()", before = "30", kept = 0,
    value = { "RATE = 3", "RATE = 4", after = "40", taken = 1 },
    rename = { "RATE", "SPEED", after = "30", aside = 1 },
    removed = { "local RATE = 3\n", "", " * RATE", "", after = "10" },
    -- A constant that the compiler puts in its place is code.
    more = { { title = "a constant of the compiler", "<const> = 10", "<const> = 20", after = "60", taken = "any" } },
  },
  { "H49 H56 values derived of others",
    text = [[
local DEFAULT = 10
local limit = DEFAULT * 2
local M = { half = DEFAULT / 2, name = "n" .. DEFAULT, free = 1 }
function M.set(x) limit = x end
function M.limit() return limit end
return M]],
    act = "M.free = 9", show = { "M.limit()", "M.half", "M.name", "M.free" }, before = "20 5.0 n10 9",
    -- DEFAULT itself is read by no function.
    value = { "DEFAULT = 10", "DEFAULT = 20", after = "40 10.0 n20 9", taken = 3 },
    rename = { "limit", "bound", show = { "M.bound()", "M.half" }, after = "20 5.0", aside = 1 },
    removed = { ", free = 1", "", after = "20 5.0 n10 9", aside = 0 },
    more = {
      { title = "what is derived has been changed by the run", act = "M.set(33)", "DEFAULT = 10", "DEFAULT = 20",
        after = "40 10.0 n20 9", gave = 1, says = "limit", taken = 3 },
      { title = "an unrelated line, the run has changed what is derived", act = "M.set(33)", "VERSION = 1",
        "VERSION = 2", after = "33 5.0 n10 9", taken = 0, kept = 2 },
      { title = "the factor", "DEFAULT * 2", "DEFAULT * 3", after = "30 5.0 n10 9", taken = 1 },
      { title = "the source written otherwise", "DEFAULT = 10", "DEFAULT = 0xA", after = "20 5.0 n10 9", taken = 0 },
    },
  },
  { "H49 constants as fields",
    text = [[
local M = {}
M.RED = 1
M.GREEN = 2
M.NAMES = { [M.RED] = "red", [M.GREEN] = "green" }
return M]],
    act = "PICKED = M.GREEN M.NAMES[9] = 'run'", show = { "PICKED", "M.RED", "M.GREEN", "M.NAMES[2]", "M.NAMES[9]" },
    before = "2 1 2 green run", kept = "any",
    value = { "M.RED = 1", "M.RED = 5", show = { "M.RED", "M.NAMES[5]", "M.NAMES[9]" }, after = "5 red run",
      taken = "any", aside = "any" },
    rename = { "RED", "CRIMSON", show = { "M.RED", "M.CRIMSON", "M.NAMES[1]" }, after = "nil 1 red", aside = "+",
      restored = "any" },
    removed = { ', [M.GREEN] = "green"', "", after = "2 1 2 nil run" },
  },
  { "H49 an enumeration made by a loop",
    text = [[
local E = {}
for i, name in ipairs({ "RED", "GREEN", "BLUE" }) do E[name] = i E[i] = name end
function E.is(x) return E[x] ~= nil end
return E]],
    act = "PICKED = M.GREEN", show = { "M.GREEN", "M[2]", "M.is('BLUE')", "PICKED" }, before = "2 GREEN true 2",
    kept = 0,
    value = { '"GREEN", "BLUE"', '"WHITE", "GREEN", "BLUE"', after = "3 WHITE true 2", taken = "+" },
    rename = { "GREEN", "LIME", show = { "M.GREEN", "M.LIME", "M[2]" }, after = "nil 2 LIME", aside = "any",
      restored = "any" },
    removed = { ', "BLUE"', "", show = { "M.BLUE", "M[3]", "M.GREEN" }, after = "nil nil 2", aside = "any",
      restored = "any" },
  },
  { "H49 a table made by a loop",
    text = [[
local square = {}
for i = 1, $N do square[i] = i * i end
return { get = function(i) return square[i] end, set = function(i, x) square[i] = x end, size = function() return #square end }]],
    act = "M.set(2, 0)", show = { "M.get(2)", "M.get(3)", "M.size()" }, before = "0 9 $N", million = true,
    value = { "i * i", "i * i + 1", after = "5 10 $N", taken = "+", gave = 1, says = "square" },
    rename = { "square", "power", after = "4 9 $N", aside = 1 },
    removed = { "local square = {}\nfor i = 1, $N do square[i] = i * i end\n", "", "return square[i]", "return nil",
      " square[i] = x", "", "#square", "0",
      after = "nil nil 0" },
    more = { { title = "the number of rows", "for i = 1, $N", "for i = 1, $N + 1", after = "4 9 $(N + 1)", gave = 1 } },
  },
  { "H49 a table that two loops make",
    text = [[
local grid = @({})@
for y = 1, 3 do
  grid@[y] = {}
  for x = 1, 3 do grid@[y][x] = y * x end
end
return { at = function(x, y) return grid@[y][x] end, put = function(x, y, v) grid@[y][x] = v end }]],
    act = "M.put(2, 2, 'X')", show = { "M.at(2, 2)", "M.at(3, 3)" }, before = "X 9",
    value = { "y * x", "y + x", after = "4 6", taken = "+", gave = 1 },
    rename = { "grid", "field", after = "4 9", aside = 1 },
    removed = { "local grid = @({})@\nfor y = 1, 3 do\n  grid@[y] = {}\n  for x = 1, 3 do grid@[y][x] = y * x end\nend\n", "", "return grid@[y][x]",
      "return nil", " grid@[y][x] = v", "", after = "nil nil" },
  },
  { "H49 translations of 12,000 words",
    text = "local T = {\n" .. translations(12000) .. [[

}
return {
  say = function(l, k) return T[l] and T[l][k] end,
  learn = function(l, k, v) T[l] = T[l] or {} T[l][k] = v end,
}]],
    act = "M.learn('de', 'word7', 'run') M.learn('it', 'word1', 'uno')",
    show = { "M.say('de', 'word7')", "M.say('it', 'word1')", "M.say('es', 'word3000')", "M.say('en', 'word7')" },
    before = "run uno es 3000 en 7",
    value = { '"es 3000"', '"otra"', after = "run uno otra en 7", taken = 1 },
    rename = { "word3000", "last", show = { "M.say('es', 'word3000')", "M.say('es', 'last')", "M.say('de', 'word7')" },
      after = "nil es 3000 run", aside = 4 },
    removed = { '    word3000 = "es 3000",\n', "", after = "run uno nil en 7" },
    more = {
      { title = "the word that the run has changed", '"de 7"', '"sieben"', after = "sieben uno es 3000 en 7", taken = 1,
        gave = 1, says = "word7" },
      { title = "a language more, which the run has begun already", "local T = {\n",
        'local T = { it = { word2 = "due" },\n', after = "run uno es 3000 en 7", taken = "any" },
    },
  },
  { "H49 a value from the clock (lua/03)",
    text = [[
local started = os.clock()
First = First or started
return { same = function() return started == First end }]],
    show = "M.same()", before = "true",
    unrelated = { "VERSION = 1", "VERSION = 2", kept = "any" },
    value = { "os.clock()", "os.clock() + 5", after = "false", taken = "+" },
    rename = { "started", "begun", after = "false", aside = 1 },
    removed = { "local started = os.clock()\n", "", "First or started", "First", "started == First", "'none'",
      after = "none" },
  },
  { "H49 random ids and counters of the process",
    text = [[
Serial = (Serial or 0) + 1
local M = { id = math.random(1 << 40), token = tostring({}), key = "k" .. Serial, at = os.time() .. "/" .. os.clock(), tries = 3 }
function M.all() return M.id .. M.token .. M.key .. M.at end
return M]],
    act = "WAS = M.all()", show = { "M.all() == WAS", "M.tries" }, before = "true 3",
    value = { "tries = 3", "tries = 4", after = "true 4", taken = 1 },
    rename = { "key", "label", after = "true 3", aside = 1, show = { "M.key == nil and M.label ~= nil", "M.tries" } },
    removed = { ", tries = 3", "", after = "true nil" },
  },
  { "H49 H56 a handle of a file",
    text = [[
local log = io.tmpfile()
local lines = 0
return {
  put = function(s) log:write(s) lines = lines + 1 end,
  show = function() return log:seek("end") .. " " .. lines end,
}]],
    act = "for i = 1, $N do M.put('x') end", show = "M.show()", before = "$N $N",
    value = { "lines = 0", "lines = 5", after = "$N 5", taken = 1, gave = 1 },
    -- A handle is not set aside: the file under the new name is a new one.
    rename = { "log", "out", after = "0 $N", aside = 0, back = "0 $N" },
    removed = { "local lines = 0\n", "", " lines = lines + 1", "", '.. " " .. lines', "", after = "$N" },
    more = { { title = "an unrelated line, then it is written on", "VERSION = 1", "VERSION = 2",
      then_act = "M.put('yy')", then_gives = "$(N + 2) $(N + 1)" } },
  },
  { "H49 feature flags",
    text = [[
local M = {}
M.flags = @({ beta = false, dark = true, limit = 5, label = "x" })@
function M.on(k) return M.flags@[k] end
return M]],
    act = "M.flags@.beta = true M.flags@.limit = false", show = { "M.on('beta')", "M.on('dark')", "M.on('limit')",
      "M.on('label')" }, before = "true true false x",
    value = { "dark = true", "dark = false", after = "true false false x", taken = 1 },
    rename = { "label", "title", show = { "M.on('beta')", "M.on('label')", "M.on('title')" }, after = "true nil x",
      aside = 1 },
    removed = { ', label = "x"', "", after = "true true false nil" },
    more = {
      { title = "the flag that the run has set", "beta = false", "beta = 'maybe'", after = "maybe true false x",
        taken = 1, gave = 1, says = "beta" },
      { title = "the flag to what the run has made it", "beta = false", "beta = true", after = "true true false x",
        gave = 0 },
      { title = "a flag removed that the run has set, and put back", "beta = false, ", "", after = "true true false x",
        aside = 0, restored = 0, undone = true },
      { title = "a value becomes a table", 'label = "x"', "label = {}", show = "type(M.on('label'))", after = "table",
        taken = "+" },
      { title = "what the run has made a table becomes a value", act = "M.flags@.limit = { 1, 2 }", "limit = 5",
        "limit = 6", after = "true true 6 x", gave = 1, says = "limit" },
    },
  },
  { "H49 a table that the run has put in place of the file's",
    text = [[
local M = { list = { "a" }, map = { x = 1 }, hook = false }
return M]],
    act = "M.list = { 'run', 'run' } M.map = { y = 2 } M.hook = function() return 'run' end",
    show = { "#M.list", "M.map.y", "type(M.hook)" }, before = "2 2 function",
    value = { '"a"', '"b", "c", "d"', after = "3 2 function", taken = "+", gave = 1, says = "2 run-time rows of \"M.list" },
    -- The hook is a function, but the run's: it was given where the file says that there is none.
    rename = { "map", "plan", show = { "M.map.y", "M.plan.x", "#M.list" }, after = "2 1 2" },
    removed = { ", map = { x = 1 }", "", after = "2 2 function", aside = 0 },
    more = {
      { title = "an unrelated line: what the run has left out stays out", "VERSION = 1", "VERSION = 2",
        show = { "M.map.x", "M.map.y" }, after = "nil 2" },
      { title = "a map with one key more", "x = 1", "x = 1, z = 3", show = { "M.map.x", "M.map.y", "M.map.z" },
        after = "nil 2 3" },
      { title = "the hook becomes the file's", "hook = false", "hook = function() return 'file' end", show = "M.hook()",
        after = "file" },
    },
  },
  { "H49 a file that is broken in between",
    text = [[
local items = @({})@
return { add = function(x) items@[#items@ + 1] = x end, show = function() return #items@ end }]],
    act = { "for i = 1, $N do M.add(i) end" }, show = "M.show()", before = "$N",
    unrelated = { "VERSION = 1", "VERSION = 2", broken = { "error('x')\n%s", "local = \n%s", "%s\nerror('late')" } },
    value = { "@({})@", "@({ 0 })@", after = "1", gave = 1, broken = { "require('nowhere')\n%s" } },
    rename = { "items", "rows", after = "0", aside = 1, broken = { "%s end" } },
    removed = { "local items = @({})@\n", "", "items@[#items@ + 1] = x", "", "#items@", "0", after = "0",
      broken = { "return nil + 1 --%s" } },
  },
  { "H49 data 10 and more levels deep (lua/01)",
    text = [[
local t = { a = { b = { c = { d = { e = { f = { g = { h = { i = { 1 }, n = 1, w = "x" } } } } } } } } }
CONF = { a = { b = { c = { d = { e = { f = { g = { h = { i = { j = { k = { l = 1 } } } } } } } } } } } }
return { t = t, get = function() return t.a.b.c.d.e.f.g.h end }]],
    act = "local h = M.get() h.n = 7 h.new = {} CONF.a.b.c.d.e.f.g.h.i.j.k.l = 5 for i = 2, $N do h.i[i] = i end",
    show = { "#M.get().i", "M.get().n", "M.get().new ~= nil", "M.get().w", "CONF.a.b.c.d.e.f.g.h.i.j.k.l" },
    before = "$N 7 true x 5",
    value = { 'w = "x"', 'w = "y"', after = "$N 7 true y 5", taken = 1 },
    rename = { "w", "word", show = { "M.get().n", "M.get().word", "M.get().w" }, after = "7 x nil", aside = 1 },
    removed = { ', w = "x"', "", after = "$N 7 true nil 5" },
    more = { { title = "the deepest value", "l = 1", "l = 2", after = "$N 7 true x 2", taken = 1, gave = 1,
      says = "l" } },
  },
  { "H49 a list linked 60 and 20,000 long (lua/01)",
    text = [[
local head
for i = 1, $(math.min(N, 1000) * 20) do head = { next = head, i = i } end
local M = { head = head, title = "list" }
function M.count() local n, at = 0, M.head while at do n, at = n + 1, at.next end return n end
return M]],
    sizes = { "small", "10^4" },
    act = "M.head.next.mark = true M.head = { next = M.head }", show = { "M.count()", "M.head.next.next.mark",
      "M.title" }, before = "$(math.min(N, 1000) * 20 + 1) true list",
    value = { '"list"', '"chain"', after = "$(math.min(N, 1000) * 20 + 1) true chain", taken = 1 },
    rename = { "title", "name", show = { "M.count()", "M.name", "M.title" },
      after = "$(math.min(N, 1000) * 20 + 1) list nil", aside = 1 },
    removed = { ', title = "list"', "", after = "$(math.min(N, 1000) * 20 + 1) true nil" },
  },
  { "H49 many entries, flat, in a field, two down (lua/01)",
    text = [[
local flat, field, down = {}, {}, {}
for i = 1, $N do flat[i] = i field[i] = i down[i] = { i, i, i, i } end
local M = { field = field, x = { rows = down }, title = "t" }
function M.flat() return flat end
return M]],
    act = "M.flat()[2] = 'run' table.insert(M.field, 'run') M.x.rows[3][4] = 'run'",
    show = { "M.flat()[2]", "#M.field", "M.x.rows[3][4]", "M.title" }, before = "run $(N + 1) run t",
    value = { '"t"', '"u"', after = "run $(N + 1) run u", taken = 1 },
    rename = { "title", "name", show = { "M.flat()[2]", "#M.field", "M.x.rows[3][4]", "M.name" },
      after = "run $(N + 1) run t", aside = 1 },
    removed = { ', title = "t"', "", after = "run $(N + 1) run nil" },
    more = { { title = "the loop", "field[i] = i ", "field[i] = -i ", show = { "#M.field", "M.field[1]", "M.title" },
      after = "$N -1 t", gave = 1 } },
  },
  { "H49 a module beside a session of 100,000 entries",
    text = [[
local Store = { items = {}, title = "all" }
function Store:add(x) self.items[#self.items + 1] = x end
return { add = function(x) Store:add(x) end, show = function() return #Store.items .. Store.title end, items = function() return Store.items end }]],
    act = "BALLAST = {} for i = 1, 100000 do BALLAST[i] = { i } end for i = 1, $N do M.add(i) end HELD = M.items()",
    show = { "M.show()", "HELD == M.items()" }, before = "$Nall true",
    sizes = { "10^4" },
    value = { '"all"', '"some"', after = "$Nsome true", taken = 1 },
    rename = { "title", "name", after = "$Nall true", aside = 1 },
    removed = { ', title = "all"', "", ".. Store.title", "", after = "$N true" },
  },
  { "H49 H53 places to which the file gives nil",
    text = [[
current = nil
Ship = session:prototype("Ship", { hp = 1 })
Ship.chosen = nil
Space = Space or {}
Space.last = nil
local M = { debug = true, hook = nil }
M.picked = nil
function M.pick(x) current, Ship.chosen, Space.last, M.hook, M.picked = x, x, x, x, x end
return M]],
    act = "for i = 1, $N do M.pick(i) end",
    show = { "current", "Ship.chosen", "Space.last", "M.hook", "M.picked", "M.debug" }, before = "$N $N $N $N $N true",
    value = { "debug = true", "debug = nil", after = "$N $N $N $N $N nil" },
    rename = { "picked", "marked", show = { "current", "M.picked", "M.marked" }, after = "$N $N nil", aside = "any",
      restored = "any" },
    removed = { "debug = true, ", "", after = "$N $N $N $N $N nil" },
    more = {
      { title = "what the file gave first", "M.picked = nil", "M.picked = 'first'", after = "$N $N $N $N first true",
        gave = 1, says = "M.picked" },
      { title = "nil for what the run has changed", act = "M.debug = 'run'", "debug = true", "debug = nil",
        after = "$N $N $N $N $N nil", gave = 1, says = "debug" },
      { title = "a global that the file gives", "current = nil", "current = 'first'",
        after = "first $N $N $N $N true", gave = 1, says = "current" },
      { title = "a prototype's field", "Ship.chosen = nil", "Ship.chosen = 'first'",
        after = "$N first $N $N $N true", gave = 1, says = "chosen" },
    },
  },
}
