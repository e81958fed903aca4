-- State in tables: locals, globals and fields of the module; lists, maps, nested stores, metatables. Case lua/03 of the
-- cases is the rows marked so.
return {
  { "H49 H56 a list in a local beside functions (lua/03)",
    text = [[
local items = @({})@
return {
  add = function(x) items@[#items@ + 1] = x end,
  show = function() return #items@ end,
}]],
    act = "for i = 1, $N do M.add(i) end", show = "M.show()", before = "$N", million = true,
    value = { "@({})@", '@({ "first" })@', after = "1", gave = 1, says = '$N run-time rows of "items' },
    rename = { "items", "entries", after = "0", aside = 1 },
    removed = { "local items = @({})@\n", "", "items@[#items@ + 1] = x", "", "#items@", "0", after = "0" },
  },
  { "H49 H56 a local singleton with methods (lua/03)",
    text = [[
local Store = @({ items = {}, title = "all" })@
function Store@:add(x) self.items[#self.items + 1] = x end
return {
  add = function(x) Store@:add(x) end,
  name = function(x) Store@.title = x end,
  show = function() return #Store@.items end,
  title = function() return Store@.title end,
}]],
    act = "for i = 1, $N do M.add(i) end", show = { "M.show()", "M.title()" }, before = "$N all", million = true,
    value = { '"all"', '"some"', after = "$N some", taken = 1 },
    -- What the run has changed stays under the name that the text has lost.
    rename = { "items", "entries", after = "0 all" },
    removed = { ', title = "all"', "", after = "$N nil" },
    more = {
      { title = "the list", "{}", '{ "first" }', after = "1 all", gave = 1, says = "$N run-time rows of \"Store" },
      { title = "the value that the run has changed", act = 'M.name("mine")', '"all"', '"some"', after = "$N some",
        gave = 1,
        says = "title" },
      { title = "the value that the run has changed to the same", act = 'M.name("some")', '"all"', '"some"',
        after = "$N some" },
      { title = "a field more", 'title = "all"', 'title = "all", colour = "red"', "return Store@.title end",
        "return Store@.title .. Store@.colour end", after = "$N allred" },
      { title = "a method more", "return {",
        "function Store@:count() return #self.items end\nreturn { count = function() return Store@:count() end,",
        show = "M.count()", after = "$N" },
      { title = "the variable's name", "Store", "Shop", after = "0 all", aside = 1, undone = true },
    },
  },
  { "H49 a global singleton with methods that is the module's value (lua/03)",
    text = [[
Store = @({ items = {} })@
function Store@:add(x) self.items[#self.items + 1] = x end
return Store]],
    act = "for i = 1, $N do Store@:add(i) end", show = "#Store@.items", before = "$N",
    value = { "items = {}", "items = { 1 }", after = "1", gave = 1 },
    -- The module's value is one table under either name (H48), so its data stays. Whether the name counts as set aside
    -- the rule does not say.
    rename = { "Store", "Shop", show = "#Shop@.items", after = "$N", aside = "any", restored = "any" },
    removed = { "{ items = {} }", "{}", after = "$N", aside = 0 },
  },
  { "H49 H53 a global singleton, nothing returned (lua/03)",
    text = [[
Store = @({ items = {} })@
function Store@:add(x) self.items[#self.items + 1] = x end]],
    act = "for i = 1, $N do Store@:add(i) end", show = "#Store@.items", before = "$N",
    value = { "items = {}", "items = { 1 }", after = "1", gave = 1, says = "$N run-time rows of \"Store" },
    rename = { "Store", "Shop", show = "#Shop@.items", after = "0" },
    removed = { "Store = @({ items = {} })@\nfunction Store@:add(x) self.items[#self.items + 1] = x end", "",
      after = "$N", aside = 0 },
  },
  { "H49 a singleton below the module's table (lua/03)",
    text = [[
local M = {}
M.store = @({ items = {} })@
function M.store@:add(x) self.items[#self.items + 1] = x end
return M]],
    act = "for i = 1, $N do M.store@:add(i) end", show = "#M.store@.items", before = "$N", million = true,
    value = { "items = {}", "items = { 1 }", after = "1", gave = 1 },
    rename = { "store", "shop", show = { "#M.shop@.items", "#M.store@.items" }, after = "0 $N" },
    removed = { "M.store = @({ items = {} })@\nfunction M.store@:add(x) self.items[#self.items + 1] = x end\n", "",
      after = "$N",
      aside = 0 },
    more = {
      { title = "another name for the module's table", "local M", "local Shop", "M.store", "Shop.store", "return M",
        "return Shop",
        after = "$N", aside = "any" },
      { title = "written as one constructor", "local M = {}\nM.store = @({ items = {} })@",
        "local M = { store = @({ items = {} })@ }",
        after = "$N" },
    },
  },
  { "H49 a table with defaults in a metatable (lua/03)",
    text = [[
local prefs = setmetatable({}, { __index = { colour = "red", size = 1 } })
return {
  add = function(x) prefs.colour = x end,
  show = function() return prefs.colour end,
  size = function() return prefs.size end,
}]],
    act = 'M.add("blue")', show = { "M.show()", "M.size()" }, before = "blue 1", kept = "any",
    value = { "size = 1", "size = 2", after = "blue 2", taken = 1 },
    rename = { "colour", "hue", after = "red 1", aside = 1 },
    removed = { ", size = 1", "", after = "blue nil" },
    more = { { title = "the default of what the run has set", '"red"', '"green"', after = "blue 1" } },
  },
  { "H49 a default by a function in a metatable",
    text = [[
local counts = setmetatable(@({})@, { __index = function() return 0 end })
return { hit = function(k) counts[k] = counts[k] + 1 end, get = function(k) return counts[k] end }]],
    act = "for i = 1, $N do M.hit(i) end M.hit(1)", show = { "M.get(1)", "M.get($N)", "M.get(-1)" }, before = "2 1 0",
    sizes = { "small", "10^4" }, kept = "any",
    value = { "return 0", "return 5", after = "2 1 5", taken = "any" },
    rename = { "counts", "hits", after = "0 0 0", aside = 1 },
    removed = { "local counts = setmetatable(@({})@, { __index = function() return 0 end })\n", "",
      "counts[k] = counts[k] + 1", "",
      "counts[k]", "-1", after = "-1 -1 -1" },
  },
  { "H49 a weak cache",
    text = [[
local cache = setmetatable({}, { __mode = "k" })
local function count() local n = 0 for _ in pairs(cache) do n = n + 1 end return n end
return {
  put = function(k, v) cache[k] = v end,
  show = function() return count() end,
  mode = function() return getmetatable(cache).__mode end,
}]],
    act = "KEYS = {} for i = 1, $N do KEYS[i] = { i } M.put(KEYS[i], i) end", show = { "M.show()", "M.mode()" },
    before = "$N k",
    kept = "any",
    value = { '"k"', '"kv"', after = "$N kv", taken = 1 },
    rename = { "cache", "seen", after = "0 k", aside = 1 },
    removed = { 'local cache = setmetatable({}, { __mode = "k" })\n', "", "cache[k] = v", "", "pairs(cache)",
      "pairs({})",
      "getmetatable(cache).__mode", '"none"', after = "0 none" },
    more = { { title = "an unrelated line, then keys die", "VERSION = 1", "VERSION = 2",
      then_act = "KEYS = { KEYS[1] } collectgarbage() collectgarbage()", then_gives = "1 k" } },
  },
  { "H49 nested stores in one local",
    text = [[
local state = @({
  users = { list = {}, byName = {} },
  view = { tab = "home", open = {} },
})@
return {
  add = function(x) local u = state@.users u.list[#u.list + 1] = x u.byName["n" .. x] = x end,
  tab = function(x) state@.view.tab = x end,
  open = function(x) state@.view.open[x] = true end,
  show = function()
    local n = 0
    for _ in pairs(state@.users.byName) do n = n + 1 end
    return #state@.users.list .. " " .. n .. " " .. state@.view.tab .. " " .. tostring(state@.view.open.menu)
  end,
}]],
    act = 'for i = 1, $N do M.add(i) end M.tab("list") M.open("menu")', show = "M.show()", before = "$N $N list true",
    value = { '"home"', '"start"', after = "$N $N start true", taken = 1, gave = 1, says = "tab" },
    rename = { "byName", "named", after = "$N 0 list true" },
    removed = { 'users = { list = {}, byName = {} },', "", after = "$N $N list true", aside = 0 },
    more = {
      { title = "a map more", 'tab = "home"', 'tab = "home", filter = {}', "state@.view.tab ..",
        "type(state@.view.filter) .. state@.view.tab ..",
        after = "$N $N tablelist true" },
      { title = "entries in the map that the run has filled", "byName = {}", "byName = { root = 0 }",
        after = "$N $(N + 1) list true" },
    },
  },
  { "H49 a map with entries in the text",
    text = [[
local M = {}
M.price = @({ apple = 1, pear = 2, plum = 3 })@
return M]],
    act = "M.price@.pear = 20 for i = 1, $N do M.price@['x' .. i] = i end",
    show = { "M.price@.apple", "M.price@.pear", "M.price@.plum", "M.price@.x$N" }, before = "1 20 3 $N", million = true,
    value = { "apple = 1", "apple = 10", after = "10 20 3 $N", taken = 1 },
    rename = { "plum", "prune", show = { "M.price@.plum, M.price@.prune" }, after = "nil 3", aside = 1 },
    removed = { ", plum = 3", "", after = "1 20 nil $N" },
    more = {
      { title = "the value that the run has changed", "pear = 2", "pear = 5", after = "1 5 3 $N", taken = 1, gave = 1,
        says = "pear" },
      { title = "a key that the run has changed is removed", "pear = 2, ", "", after = "1 20 3 $N", aside = 0,
        restored = 0, undone = true },
      { title = "a key that the run has removed", act = "M.price@.plum = nil", "VERSION = 1", "VERSION = 2",
        after = "1 20 nil $N" },
      { title = "a key that the run has removed is edited", act = "M.price@.plum = nil", "plum = 3", "plum = 4",
        after = "1 20 4 $N",
        gave = "any" },
      { title = "a key of the run's own comes in the text", "apple = 1", "apple = 1, x1 = 'file'", show = "M.price@.x1",
        after = "file", gave = 1 },
    },
  },
  { "H49 a list edited and grown at once",
    text = [[
local M = {}
M.todo = @({ "a", "b" })@
return M]],
    act = "for i = 1, $N do table.insert(M.todo@, 'r' .. i) end", show = { "#M.todo@", "M.todo@[1]", "M.todo@[3]" },
    before = "$(N + 2) a r1",
    value = { '"b"', '"b", "c"', after = "3 a c", taken = "+", gave = 1, says = '$N run-time rows of "M.todo' },
    rename = { "todo", "tasks", show = { "#M.tasks@", "#M.todo@" }, after = "2 $(N + 2)" },
    removed = { 'M.todo = @({ "a", "b" })@\n', "", after = "$(N + 2) a r1", aside = 0 },
    more = { { title = "white space, quotes, a comment", '{ "a", "b" }', "{\n  'a', -- first\n  'b',\n}",
      after = "$(N + 2) a r1", taken = 0 } },
  },
  { "H49 a list edited that the run has let alone",
    text = [[
local M = {}
M.words = @({ "a", "b" })@
function M.all() return table.concat(M.words@, ",") end
return M]],
    show = "M.all()", before = "a,b", kept = 0,
    value = { '"b"', '"x", "y"', after = "a,x,y", taken = "+" },
    rename = { "words", "terms", after = "a,b", aside = 1 },
    removed = { 'M.words = @({ "a", "b" })@\n', "", "table.concat(M.words@, \",\")", "tostring(M.words)",
      after = "nil" },
    more = { { title = "holders of the list see the edit", act = "HELD = M.words@", '"b"', '"x"',
      show = "table.concat(HELD, ',')",
      after = "a,x", taken = "+" } },
  },
  { "H49 a list of records",
    text = [[
local M = {}
M.rows = @({ { id = 1, name = "ann" }, { id = 2, name = "bob" } })@
return M]],
    act = "M.rows@[2].done = true for i = 3, $N do M.rows@[i] = { id = i } end",
    show = { "#M.rows@", "M.rows@[1].name", "M.rows@[2].done" },
    before = "$N ann true",
    -- A list of data is one value: what the run has done in another row goes with it, and is said.
    value = { '"ann"', '"eve"', after = "2 eve nil", gave = 1, says = "run-time row" },
    rename = { "rows", "lines", show = { "#M.lines@", "#M.rows@" }, after = "2 $N" },
    removed = { ', { id = 2, name = "bob" }', "", after = "1 ann error", aside = 0, gave = 1,
      show = { "#M.rows@", "M.rows@[1].name", "M.rows@[2] and 'there' or 'error'" },
      back = "2 ann nil", restored = 0 },
  },
  { "H49 a table with a list part and named fields",
    text = [[
local M = {}
M.menu = @({ "open", "save"; title = "File", width = 10 })@
return M]],
    act = "M.menu@[3] = 'quit' for i = 1, $N do M.menu@['k' .. i] = i end",
    show = { "#M.menu@", "M.menu@.title", "M.menu@.width" },
    before = "3 File 10",
    value = { '"File"', '"Edit"', after = "3 Edit 10", taken = 1 },
    rename = { "width", "w", show = { "M.menu@.w", "M.menu@.width" }, after = "10 nil", aside = 1 },
    removed = { ", width = 10", "", after = "3 File nil" },
  },
  { "H49 keys that are numbers, floats and booleans",
    text = [[
local M = {}
M.at = @({ [10] = "ten", [2.5] = "two and a half", [true] = "yes", [-1] = "minus" })@
return M]],
    act = "M.at@[10] = 'run' for i = 100, $(N + 100) do M.at@[i] = i end",
    show = { "M.at@[10]", "M.at@[2.5]", "M.at@[true]", "M.at@[-1]", "M.at@[100]" },
    before = "run two and a half yes minus 100",
    value = { '"yes"', '"no"', after = "run two and a half no minus 100", taken = 1 },
    rename = { "minus", "below", after = "run two and a half yes below 100" },
    removed = { '[2.5] = "two and a half", ', "", after = "run nil yes minus 100" },
    more = { { title = "the key itself", "[true]", "[false]", show = { "M.at@[true]", "M.at@[false]" },
      after = "nil yes", aside = 1, undone = true } },
  },
  { "H49 a queue with head and tail",
    text = [[
local queue = @({ head = 1, tail = 0 })@
return {
  push = function(x) local q = queue@ q.tail = q.tail + 1 q[q.tail] = x end,
  pop = function() local q = queue@ local x = q[q.head] q[q.head] = nil q.head = q.head + 1 return x end,
  size = function() return queue@.tail - queue@.head + 1 end,
  front = function() return queue@[queue@.head] end,
}]],
    act = "for i = 1, $N do M.push('j' .. i) end M.pop()", show = { "M.size()", "M.front()" }, before = "$(N - 1) j2",
    value = { "head = 1, tail = 0", "head = 1, tail = 0, limit = 5", after = "$(N - 1) j2", taken = "any" },
    rename = { "queue", "jobs", after = "0 nil", aside = 1 },
    removed = { "local queue = @({ head = 1, tail = 0 })@\n", "", "local q = queue@ q.tail = q.tail + 1 q[q.tail] = x",
      "",
      "local q = queue@ local x = q[q.head] q[q.head] = nil q.head = q.head + 1 return x", "",
        "queue@.tail - queue@.head + 1", "0",
      "queue@[queue@.head]", "nil", after = "0 nil" },
    more = { { title = "an unrelated line, then the queue goes on", "VERSION = 1", "VERSION = 2",
      then_act = "M.push('last') GOT = M.pop()",
      then_show = "GOT, M.size()", then_gives = "j2 $(N - 1)" } },
  },
  { "H49 undo stacks with closures in them",
    text = [[
local done, undone = @({})@, {}
local value = 0
local M = {}
function M.set(x)
  local old = value
  done@[#done@ + 1] = { back = function() value = old end, what = "set" }
  value = x
end
function M.undo()
  local step = table.remove(done@)
  step.back()
  undone[#undone + 1] = step
end
function M.show() return value .. " " .. #done@ .. " " .. #undone end
return M]],
    act = "for i = 1, $N do M.set(i) end M.undo()", show = "M.show()", before = "$(N - 1) $(N - 1) 1",
    value = { "value = 0", "value = -5", after = "-5 $(N - 1) 1", gave = 1, says = "value", taken = 1 },
    rename = { "undone", "redo", after = "$(N - 1) $(N - 1) 0", aside = 1 },
    removed = { ", undone = @({})@, {}", " = @({})@", "  undone[#undone + 1] = step\n", "", "#undone", "0",
      after = "$(N - 1) $(N - 1) 0" },
    more = { { title = "an unrelated line, then undo goes on", "VERSION = 1", "VERSION = 2", then_act = "M.undo()",
      then_gives = "$(N - 2) $(N - 2) 2" } },
  },
  { "H49 a string buffer",
    text = [[
local parts = @({})@
local M = {}
function M.put(s) parts@[#parts@ + 1] = s return M end
function M.text() return table.concat(parts@) end
return M]],
    act = "for i = 1, $N do M.put('x') end M.put('a').put('b')", show = { "#M.text()", "M.text():sub(-2)" },
    before = "$(N + 2) ab",
    value = { "@({})@", '@({ "> " })@', after = "2 > ", gave = 1, says = '$(N + 2) run-time rows of "parts' },
    rename = { "parts", "pieces", after = "0 ", aside = 1 },
    removed = { "local parts = @({})@\n", "", "parts@[#parts@ + 1] = s ", "", "table.concat(parts@)", '""',
      after = "0 " },
  },
  { "H49 a set by keys",
    text = [[
local chosen = @({})@
return {
  toggle = function(k) chosen@[k] = not chosen@[k] or nil end,
  count = function() local n = 0 for _ in pairs(chosen@) do n = n + 1 end return n end,
}]],
    act = "for i = 1, $N do M.toggle('k' .. i) end M.toggle('k1')", show = "M.count()", before = "$(N - 1)",
    kept = "any",
    -- A key comes into a map that the run has filled: nothing of the run's has to give way.
    value = { "@({})@", "@({ all = true })@", after = "$N", taken = "any" },
    rename = { "chosen", "picked", after = "0", aside = 1 },
    removed = { "local chosen = @({})@\n", "", "chosen@[k] = not chosen@[k] or nil", "", "pairs(chosen@)", "pairs({})",
      after = "0" },
  },
  { "H49 a cyclic graph",
    text = [[
local a = { name = "a" }
local b = { name = "b", peer = a }
a.peer = b
local M = { first = a }
function M.round() return a.peer.peer == a and M.first == a and b.peer == a end
return M]],
    act = "M.first.visits = 5 for i = 1, $N do M.first.peer['k' .. i] = M.first end HELD = M.first",
    show = { "M.round()", "M.first.name", "M.first.visits", "M.first.peer.name", "M.first.peer.k$N == M.first",
      "HELD == M.first" },
    before = "true a 5 b true true", kept = "any",
    value = { 'name = "b"', 'name = "z"', after = "true a 5 z true true", taken = 1 },
    rename = { "peer", "other", show = { "M.round()", "M.first.other.name", "M.first.visits", "HELD == M.first" },
      after = "true b 5 true",
      aside = "any", restored = "any" },
    removed = { "a.peer = b\n", "", "a.peer.peer == a and ", "", aside = "any", restored = "any",
      -- Whether a.peer is still what the file gave, when the run has changed what b holds, the rule does not say.
      after = false },
  },
  { "H49 one table under two names",
    text = [[
local shared = @({ n = 0, name = "one" })@
local M = { left = shared, right = shared }
function M.get() return shared end
return M]],
    act = "M.left@.n = 5", show = { "M.left == M.right and M.right == M.get()", "M.right@.n", "M.left@.name" },
    before = "true 5 one",
    value = { '"one"', '"two"', after = "true 5 two", taken = "+" },
    rename = { "shared", "common", after = "true 5 one", aside = "any", restored = "any" },
    removed = { ", right = shared", "", show = { "M.left == M.get()", "M.left@.n" }, after = "true 5", aside = "any",
      restored = "any" },
  },
  { "H49 H56 plain values in locals",
    text = [[
local count, name, open = 0, "none", false
local limit = 10
return {
  set = function(c, n, o) count, name, open = c, n, o end,
  show = function() return count .. " " .. tostring(name) .. " " .. tostring(open) .. " " .. limit end,
}]],
    act = 'M.set(7, "run", true)', show = "M.show()", before = "7 run true 10",
    value = { "limit = 10", "limit = 20", after = "7 run true 20", taken = 1 },
    rename = { "count", "number", after = "0 run true 10", aside = 1 },
    removed = { "local limit = 10\n", "", "limit end", "'gone' end", after = "7 run true gone" },
    more = {
      { title = "one of several in a statement", '0, "none", false', '0, "nobody", false', after = "7 nobody true 10",
        taken = 1, gave = 1, says = "name" },
      { title = "back and forth", "limit = 10", "limit = 20", after = "7 run true 20", undone = true, aside = 0,
        restored = 0 },
      { title = "what the run has made nil", act = "M.set(7, nil, nil)", "VERSION = 1", "VERSION = 2",
        after = "7 nil nil 10" },
      { title = "the line moves", "local limit = 10\n", "", "local count", "local limit = 10\nlocal count",
        after = "7 run true 10", taken = 0 },
      { title = "the statement is broken up", 'local count, name, open = 0, "none", false',
        'local count = 0\nlocal name = "none"\nlocal open = false',
        after = "7 run true 10", taken = 0 },
    },
  },
}
