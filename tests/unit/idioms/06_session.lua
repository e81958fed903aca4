-- State at the session: kept values, prototypes and their instances, presenters and wrappers, the app object, watches.
return {
  { "H49 H67 values that the session keeps",
    text = [[
local items = session:keep("items", @({})@)
local options = session:keep("options", { size = 1 })
return {
  add = function(x) items@[#items@ + 1] = x end,
  show = function() return #items@ .. " " .. options.size .. " " .. tostring(session.reloading) end,
  same = function(t) return items == t end,
  items = function() return items end,
}]],
    act = "for i = 1, $N do M.add(i) end HELD = M.items()", show = { "M.show()", "M.same(HELD)" },
    before = "$N 1 false true", kept = "any",
    -- What is kept is the session's: the default was for the first call only.
    value = { "size = 1", "size = 2", after = "$N 1 false true", taken = "any" },
    rename = { "options", "settings", show = "M.same(HELD)", after = "true", aside = "any", restored = "any" },
    removed = { 'local options = session:keep("options", { size = 1 })\n', "", 'options.size .. " " .. ', "",
      show = "M.same(HELD)", after = "true", aside = "any",
      restored = "any" },
    more = { { title = "an unrelated line, then it is added to", "VERSION = 1", "VERSION = 2", then_act = "M.add(0)",
      then_gives = "$(N + 1) 1 false true" } },
  },
  { "H49 a session whose site is not watched",
    unwatched = true,
    text = [[
local Store = @({ items = {}, title = "all" })@
limit = 5
function Store@:add(x) self.items[#self.items + 1] = x end
return {
  add = function(x) Store@:add(x) end,
  show = function() return #Store@.items .. " " .. tostring(Store@.title) .. " " .. limit end,
}]],
    act = "for i = 1, $N do M.add(i) end limit = 7", show = "M.show()", before = "$N all 7", kept = "any",
    -- What a person has edited cannot be told: functions follow the file, data the run.
    value = { '"all"', '"some"', after = "$N all 7", taken = 0 },
    rename = { "items", "entries", after = "0 all 7" },
    removed = { ', title = "all"', "", after = "$N all 7", aside = 0 },
    more = {
      { title = "a function's text", "#Store@.items", "-#Store@.items", after = "$(-N) all 7", taken = 0,
        then_act = "M.add(0)", then_gives = "$(-N - 1) all 7" },
      { title = "a field more", 'title = "all"', 'title = "all", colour = "red"', "tostring(Store@.title)",
        "Store@.title .. Store@.colour", after = "$N allred 7" },
    },
  },
  { "H49 a prototype and its instances",
    text = [[
local Ship = session:prototype("Ship", { name = "none", speed = 5, cargo = EMPTY })
function Ship:new(name)
  local o = session:create(Ship)
  o.name, o.cargo = name, {}
  return o
end
function Ship:load(x) self.cargo[#self.cargo + 1] = x end
function Ship:label() return self.name .. self.speed end
return Ship]],
    act = "S = M:new('rex') for i = 1, $N do S:load(i) end S.speed = 9 T = M:new('tom')",
    show = { "#S.cargo", "S:label()", "T:label()", "getmetatable(S) == M" }, before = "$N rex9 tom5 true",
    kept = "any",
    value = { "speed = 5", "speed = 6", after = "$N rex9 tom6 true", taken = "any" },
    -- What a declaration loses is set aside for each instance: how the report counts it the rule does not say.
    rename = { "speed", "pace", show = { "#S.cargo", "S:label()", "T:label()" }, after = "$N rex5 tom5", aside = "any",
      restored = "any" },
    removed = { ", speed = 5", "", ".. self.speed", "", show = { "#S.cargo", "S:label()", "rawget(S, 'speed')" },
      after = "$N rex nil", aside = "any", restored = "any" },
    more = { { title = "a method's text", "self.name .. self.speed", "'<' .. self.name .. '>'",
      after = "$N <rex> <tom> true", taken = "any" } },
  },
  { "H49 a deep field of a prototype's declaration (lua/01)",
    text = [[
local tree = { a = { b = { c = { d = { e = { f = { g = { h = { i = { j = { 1 }, n = 1 } } } } } } } } } }
return session:prototype("Deep", { tree = tree, size = 1 })]],
    act = "local i = M.tree.a.b.c.d.e.f.g.h.i i.n = 7 for k = 1, $N do i[k] = k end",
    show = { "M.tree.a.b.c.d.e.f.g.h.i.n", "#M.tree.a.b.c.d.e.f.g.h.i", "M.size" }, before = "7 $N 1", kept = "any",
    value = { "size = 1", "size = 2", after = "7 $N 2", taken = "any" },
    rename = { "size", "width", show = { "M.tree.a.b.c.d.e.f.g.h.i.n", "M.width", "M.size" }, after = "7 1 nil",
      aside = "any", restored = "any" },
    removed = { ", size = 1", "", after = "7 $N nil", aside = "any", restored = "any" },
  },
  { "H49 R18 a singleton that is an instance of a prototype of the same file",
    text = [[
local Cart = session:prototype("Cart", { total = 0 })
function Cart:add(x) self.total = self.total + x self.rows = self.rows or {} self.rows[#self.rows + 1] = x end
function Cart:size() return #(self.rows or {}) end
local one = session:create(Cart)
return { add = function(x) one:add(x) end, show = function() return one:size() .. " " .. one.total end, one = function() return one end }]],
    act = "for i = 1, $N do M.add(1) end HELD = M.one()", show = { "M.show()", "M.one() == HELD" },
    before = "$N $N true",
    value = { "total = 0", "total = 7", after = "$N $N true", taken = "any" },
    rename = { "one", "two", show = "M.show()", after = "0 0", aside = "any", restored = "any" },
    removed = { "function Cart:size() return #(self.rows or {}) end\n", "", 'one:size() .. " " .. ', "",
      show = "M.show()", after = "$N", aside = 0 },
    more = { { title = "a method's text", "self.total + x", "self.total + x * 10", after = "$N $N true",
      then_act = "M.add(1)", then_gives = "$(N + 1) $(N + 10) true" } },
  },
  { "H49 tables of a prototype's file that are no fields of its declaration",
    text = [[
local Log = session:prototype("Log", {})
Log.levels = { "info", "warn" }
Log.lines = @({})@
Log.max = 100
function Log:put(s) table.insert(Log.lines@, s) return self end
return { class = Log }]],
    act = "LOG = session:create(M.class) for i = 1, $N do LOG:put('x' .. i) end M.class.max = 5",
    show = { "#M.class.lines@", "#LOG.levels", "LOG.max" }, before = "$N 2 5",
    value = { '"warn"', '"warn", "error"', after = "$N 3 5", taken = "any" },
    rename = { "lines", "rows", show = { "#M.class.rows@", "LOG.max" }, after = "0 5", aside = 0, restored = "any" },
    removed = { "Log.max = 100\n", "", after = "$N 2 5", aside = 0, restored = "any" },
    more = { { title = "the value that the run has changed", "Log.max = 100", "Log.max = 200", after = "$N 2 200",
      gave = 1, says = "max" } },
  },
  { "H49 a presenter with state",
    text = [[
local Panel = { opened = 0, titles = @({})@ }
function Panel.new(class) class.opened = class.opened + 1 return setmetatable({}, { __index = class }) end
function Panel.put(x) Panel.titles@[#Panel.titles@ + 1] = x end
ui.registerPresenter("Panel", Panel)
return { panel = function() return Panel end }]],
    act = "P = M.panel() P:new() for i = 1, $N do P.put(i) end", show = { "M.panel().opened", "#M.panel().titles@",
      "M.panel() == P" }, before = "1 $N true",
    value = { "opened = 0", "opened = 50", after = "50 $N true", taken = 1, gave = 1, says = "opened" },
    rename = { "titles", "names", show = { "M.panel().opened", "#M.panel().names@", "M.panel() == P" },
      after = "1 0 true" },
    removed = { 'ui.registerPresenter("Panel", Panel)\n', "", after = "1 $N true", aside = 0 },
  },
  { "H49 a wrapper with a cache",
    text = [[
local cache = @({})@
local Wrapper = { made = 0 }
function Wrapper.new(class, variable) Wrapper.made = Wrapper.made + 1 return { computeValue = function() return "wrapped" end } end
function Wrapper.remember(k, v) cache@[k] = v return cache@[k] end
ui.registerWrapper("Cached", Wrapper)
return { wrapper = function() return Wrapper end, get = function(k) return cache@[k] end }]],
    act = "for i = 1, $N do M.wrapper().remember('k' .. i, i) M.wrapper():new() end",
    show = { "M.get('k$N')", "M.wrapper().made" }, before = "$N $N",
    value = { "made = 0", "made = 9", after = "$N 9", taken = 1, gave = 1, says = "made" },
    rename = { "cache", "memory", after = "nil $N", aside = 1 },
    removed = { 'ui.registerWrapper("Cached", Wrapper)\n', "", after = "$N $N", aside = 0 },
  },
  { "H49 the app object made by the file",
    text = [[
local App = session:prototype("App", { title = "one" })
App.count = 0
function App:add(x) self.items[#self.items + 1] = x end
if not session:getApp() then
  local app = session:create(App)
  app.items = {}
  session:createAppVariable(app)
end
return App]],
    act = "for i = 1, $N do session:getApp():add(i) end APP = session:getApp() M.count = 3",
    show = { "#session:getApp().items", "session:getApp() == APP", "APP.title", "APP.count" },
    before = "$N true one 3",
    value = { '"one"', '"two"', after = "$N true two 3", taken = "any" },
    rename = { "count", "number", show = { "#session:getApp().items", "APP.count", "APP.number" }, after = "$N 3 0",
      aside = 0, restored = "any" },
    removed = { "App.count = 0\n", "", after = "$N true one 3", aside = 0, restored = "any" },
  },
  { "H49 an app object that is the module's table",
    text = [[
local M = { items = @({})@, title = "one" }
function M.add(x) M.items@[#M.items@ + 1] = x end
session:createAppVariable(M)
return M]],
    act = "for i = 1, $N do M.add(i) end", show = { "#M.items@", "session:getApp() == M", "M.title" },
    before = "$N true one",
    value = { '"one"', '"two"', after = "$N true two", taken = 1 },
    rename = { "items", "rows", show = { "#M.rows@", "session:getApp() == M" }, after = "0 true" },
    removed = { ', title = "one"', "", after = "$N true nil" },
  },
  { "H49 H57 locals that timers of the first load read",
    text = [[
local log = @({})@
local prefix = "v"
local App = session:prototype("Watched", { n = 0 })
if not session:getApp() then
  session:createAppVariable(session:create(App))
  session:setImmediate(function() log@[#log@ + 1] = prefix end)
  session:setTimeout(function() log@[#log@ + 1] = prefix end, 1)
end
return { show = function() return table.concat(log@, ",") end, prefix = function() return prefix end }]],
    act = { true }, show = "M.show()", before = "v",
    unrelated = { "VERSION = 1", "VERSION = 2", then_act = { true }, then_gives = "v,v" },
    value = { 'prefix = "v"', 'prefix = "w"', after = "v", taken = 1, then_act = { true }, then_gives = "v,w" },
    rename = { "log", "record", after = "", aside = 1 },
    -- The closure of the old version still holds the old variable, and runs with what it has (H57).
    removed = { 'local prefix = "v"\n', "", "= prefix", "= 'none'", ", prefix = function() return prefix end", "",
      after = "v", aside = 1 },
  },
}
