-- State between modules: registries, package.loaded, environments, plugins; values of modules that are no tables.
local REGISTRY = [[
local M = { byName = {}, order = {} }
function M.register(name, what)
  if not M.byName[name] then M.order[#M.order + 1] = name end
  M.byName[name] = what
  return what
end
return M
]]

return {
  { "H48 H49 a module that puts itself into package.loaded, returned too (lua/03)",
    text = [[
local M = {} package.loaded[...] = M
M.items = @({})@
M.limit = 5
return M]],
    act = "for i = 1, $N do M.items@[i] = i end", show = { "#M.items@", "M.limit", 'rawequal(package.loaded["m"], M)' },
    before = "$N 5 true", million = true,
    value = { "limit = 5", "limit = 6", after = "$N 6 true", taken = 1 },
    rename = { "items", "entries", show = { "#M.entries@", "#M.items@" }, after = "0 $N" },
    removed = { "M.limit = 5\n", "", after = "$N nil true" },
  },
  { "H48 H49 a module that puts itself into package.loaded and returns nothing",
    text = [[
local M = {}
package.loaded[...] = M
M.items = @({})@
M.limit = 5
function M.count() return #M.items@ end]],
    act = "for i = 1, $N do M.items@[i] = i end", show = { "M.count()", "M.limit", 'rawequal(require("m"), M)' },
    before = "$N 5 true",
    value = { "limit = 5", "limit = 6", after = "$N 6 true", taken = 1 },
    rename = { "items", "entries", after = "0 5 true" },
    removed = { "M.limit = 5\n", "", after = "$N nil true" },
  },
  { "H49 a registry in another module",
    text = [[
local registry = require("registry")
local M = registry.register("m", { items = @({})@, size = 1 })
function M.add(x) M.items@[#M.items@ + 1] = x end
return M]],
    files = { ["lua/registry.lua"] = REGISTRY },
    act = "for i = 1, $N do M.add(i) end", show = { "#M.items@", "M.size", 'require("registry").byName.m == M',
      '#require("registry").order' }, before = "$N 1 true 1",
    value = { "size = 1", "size = 2", after = "$N 2 true 1" },
    rename = { "items", "entries", show = { "#M.entries@", 'require("registry").byName.m == M' }, after = "0 true" },
    removed = { ", size = 1", "", after = "$N nil true 1", aside = "any", restored = "any" },
  },
  { "H49 the registry itself edited",
    file = "lua/registry.lua",
    text = "local unused = 1\n" .. REGISTRY,
    files = { ["lua/m.lua"] = 'local M = require("registry").register("m", { n = 0 })\nreturn M\n' },
    act = "for i = 1, $N do require('registry').register('r' .. i, { i }) end M.n = 4",
    show = { '#require("registry").order', 'require("registry").byName.m == M', "M.n" }, before = "$(N + 1) true 4",
    unrelated = { "unused = 1", "unused = 2" },
    value = { "order = {}", "order = {}, closed = false", after = "$(N + 1) true 4", taken = "any" },
    rename = { "order", "names", show = { '#require("registry").names', 'require("registry").byName.m == M' },
      after = "0 true" },
    removed = { ", order = {}", "", "if not M.byName[name] then M.order[#M.order + 1] = name end", "",
      after = "$(N + 1) true 4", aside = 0 },
  },
  { "H49 plugins that register themselves",
    text = [[
local host = require("host")
local plugin = { name = "spell", options = { lang = "en", depth = 1 }, state = @({ hits = 0 })@ }
function plugin.run() plugin.state@.hits = plugin.state@.hits + 1 return plugin.options.lang end
host.plugins[plugin.name] = plugin]],
    files = { ["lua/host.lua"] = "local M = { plugins = {} }\nfunction M.run() local out for _, p in pairs(M.plugins) do out = p.run() end return out end\nreturn M\n",
      ["lua/main.lua"] = 'require("m")\nM = require("host")\n' },
    act = "for i = 1, $N do M.run() end HELD = M.plugins.spell", show = { "M.plugins.spell.state@.hits",
      "M.plugins.spell.options.lang", "M.plugins.spell == HELD" },
    before = "$N en true",
    value = { '"en"', '"de"', after = "$N de true", taken = 1 },
    rename = { "state", "memory", show = { "M.plugins.spell.memory@.hits", "M.plugins.spell == HELD" },
      after = "0 true" },
    removed = { ", depth = 1", "", after = "$N en true" },
    more = { { title = "an unrelated line, then the host runs it", "VERSION = 1", "VERSION = 2", then_act = "M.run()",
      then_gives = "$(N + 1) en true" } },
  },
  { "H49 a module that another keeps in a table of its own",
    text = [[
local M = { n = 0, parts = @({})@ }
function M.up() M.n = M.n + 1 return M.n end
return M]],
    files = { ["lua/other.lua"] = 'local m = require("m")\nreturn { held = { m, byName = { m = m } }, f = function() return m end }\n',
      ["lua/main.lua"] = 'M = require("m")\nO = require("other")\n' },
    act = "for i = 1, $N do M.up() M.parts@[i] = i end", show = { "M.n", "#M.parts@", "O.held[1] == M",
      "O.held.byName.m == M", "O.f() == M" }, before = "$N $N true true true",
    value = { "n = 0", "n = 50", after = "50 $N true true true", taken = 1, gave = 1, says = "n" },
    rename = { "parts", "pieces", show = { "M.n", "#M.pieces@", "O.f() == M" }, after = "$N 0 true" },
    removed = { "n = 0, ", "", after = "$N $N true true true", aside = 0 },
  },
  { "H49 a strict table of globals",
    text = [[
rawset(_G, "Config", @({ size = 1, name = "a", list = {} })@)
function Config@.add(x) Config@.list[#Config@.list + 1] = x end
return Config]],
    files = { ["lua/strict.lua"] = [[
setmetatable(_G, {
  __newindex = function(_, k) error("undeclared " .. tostring(k), 2) end,
  __index = function(_, k) error("undeclared " .. tostring(k), 2) end,
})
return true
]], ["lua/main.lua"] = 'require("strict")\nrawset(_G, "M", require("m"))\n' },
    act = "for i = 1, $N do Config@.add(i) end Config@.size = 7", show = { "#Config@.list", "Config@.size",
      "Config@.name", "M == Config" }, before = "$N 7 a true",
    value = { '"a"', '"b"', after = "$N 7 b true", taken = "any" },
    rename = { "list", "rows", show = { "#Config@.rows", "Config@.size" }, after = "0 7", aside = "any",
      restored = "any" },
    removed = { ', name = "a"', "", after = "$N 7 nil true", aside = "any", restored = "any" },
    more = { { title = "the value that the run has changed", "size = 1", "size = 2", after = "$N 2 a true",
      gave = "any" } },
  },
  { "H49 a file with an environment of its own",
    text = [[
local _ENV = setmetatable({}, { __index = _G })
items = @({})@
size = 1
function add(x) items@[#items@ + 1] = x end
function count() return #items@ end
return _ENV]],
    act = "for i = 1, $N do M.add(i) end M.size = 5", show = { "M.count()", "#M.items@", "M.size",
      "rawget(_G, 'items')" }, before = "$N $N 5 nil",
    value = { "size = 1", "size = 2", after = "$N $N 2 nil", taken = "any", gave = 1 },
    rename = { "items", "rows", show = { "M.count()", "M.size" }, after = "0 5", aside = "any", restored = "any" },
    removed = { "size = 1\n", "", after = "$N $N 5 nil", aside = 0 },
    more = { { title = "a function's text", "return #items@ end", "return -#items@ end", after = "$(-N) $N 5 nil" } },
  },
  { "H49 a metatable on the table of globals",
    text = [[
local fallback = { colour = "red", depth = 1 }
setmetatable(_G, { __index = fallback })
return { set = function(k, v) fallback[k] = v end, get = function(k) return fallback[k] end }]],
    act = "M.set('mine', 5) for i = 1, $N do M.set('k' .. i, i) end",
    show = { "colour", "mine", "M.get('k$N')", "depth" }, before = "red 5 $N 1", kept = "any",
    value = { '"red"', '"blue"', after = "blue 5 $N 1", taken = 1 },
    rename = { "fallback", "defaults", show = { "colour", "depth" }, after = "red 1", aside = "any", restored = "any",
      back = false },
    removed = { ", depth = 1", "", after = "red 5 $N nil" },
    -- The name may also be kept by the metatable of _G, of which the rule says nothing: it is no governed place.
  },
  { "H50 H56 a module that is a function",
    text = [[
local n = @(0)@
local step = 1
return function(x) n@ = n@ + step * (x or 0) return n@ end]],
    value_changes = true,
    act = "for i = 1, $N do require('m')(1) end HELD = require('m')", show = "require('m')()", before = "$N",
    value = { "step = 1", "step = 10", after = "$N", taken = 1, then_act = "", then_show = "require('m')(1)",
      then_gives = "$(N + 10)" },
    rename = { "n", "count", after = "0", aside = 1 },
    removed = { "local step = 1\n", "", "step * (x or 0)", "(x or 0)", after = "$N" },
    more = {
      { title = "the function's text", "return n@ end", "return -n@ end", after = "$(-N)", taken = 0,
        then_act = "HELD(1)", then_gives = "$(-N - 1)" },
      { title = "the value that the run has changed", "local n = @(0)@", "local n = @(7)@", after = "7", gave = 1 },
    },
  },
  { "H50 a module that is a text",
    text = 'return "one"',
    act = "", show = "require('m')", before = "one", kept = "any", value_changes = true,
    value = { '"one"', '"two"', after = "two", taken = "any" },
    rename = { "one", "three", after = "three", aside = "any", restored = "any" },
    removed = { 'return "one"', "", after = false, aside = "any", restored = "any" },
  },
  { "H50 H53 a module that returns nothing",
    text = [[
Hits = Hits or 0
Limit = 5
function Hit() Hits = Hits + 1 end]],
    act = "for i = 1, $N do Hit() end", show = { "Hits", "Limit", "M" }, before = "$N 5 true", kept = "any",
    value = { "Limit = 5", "Limit = 6", after = "$N 6 true", taken = 1 },
    rename = { "Hits", "Count", show = { "Hits", "Count", "Limit" }, after = "$N 0 5" },
    -- A global that the file no longer sets stays.
    removed = { "Limit = 5\n", "", after = "$N 5 true", aside = 0 },
    more = { { title = "the default behind or", "Hits or 0", "Hits or 100", after = "$N 5 true" } },
  },
  { "H49 work under the guard of a first load",
    text = [[
local M = {}
if not session.reloading then
  M.items = @({})@
  M.started = 1
end
function M.count() return #M.items@ end
return M]],
    act = "for i = 1, $N do M.items@[i] = i end M.started = 5", show = { "M.count()", "M.started" }, before = "$N 5",
    kept = "any",
    -- The guard keeps the edit from being executed; what the run has stays.
    value = { "M.started = 1", "M.started = 2", after = "$N 5", taken = 0 },
    rename = { "started", "begun", after = "$N 5" },
    removed = { "  M.started = 1\n", "", after = "$N 5", aside = 0 },
  },
  { "H49 a table made again only if it is not there",
    text = [[
local M = package.loaded[...]
if type(M) ~= "table" then M = {} end
M.items = M.items or @({})@
M.limit = 3
function M.count() return #M.items@ end
return M]],
    -- The chunk writes into the table that the run has: what stood there before it ran is the present value.
    act = "for i = 1, $N do M.items@[i] = i end M.limit = 50", show = { "M.count()", "M.limit" }, before = "$N 50",
    kept = "any",
    value = { "limit = 3", "limit = 4", after = "$N 4", taken = "any", gave = 1, says = "limit" },
    rename = { "items", "rows", show = { "M.count()", "#M.items@" }, after = "0 $N", aside = "any", restored = "any" },
    removed = { "M.limit = 3\n", "", after = "$N 50", aside = 0 },
  },
  { "H49 settings filled up from defaults by a loop",
    text = [[
local defaults = { colour = "red", size = 1 }
local M = { settings = {} }
for k, v in pairs(defaults) do M.settings[k] = v end
function M.set(k, v) M.settings[k] = v end
return M]],
    act = "M.set('colour', 'blue') for i = 1, $N do M.set('k' .. i, i) end",
    show = { "M.settings.colour", "M.settings.size", "M.settings.k$N" }, before = "blue 1 $N",
    -- The loop uses data that was edited, but of colour the file says what it said before: that is no edit of it.
    value = { "size = 1", "size = 2", after = "blue 2 $N", taken = "+" },
    rename = { "size", "width", show = { "M.settings.colour", "M.settings.width" }, after = "blue 1", aside = "any",
      restored = "any" },
    removed = { ", size = 1", "", show = { "M.settings.colour", "M.settings.k$N" }, after = "blue $N", aside = "any",
      restored = "any" },
    more = { { title = "the default of what the run has set", '"red"', '"green"', after = "green 1 $N", gave = 1,
      says = "colour" } },
  },
  { "H49 entries put in by calls at the top",
    text = [[
local M = { routes = {}, count = 0 }
local function route(path, name) M.routes[path] = { name = name, hits = 0 } M.count = M.count + 1 end
route("/", "home")
route("/about", "about")
function M.hit(path) local r = M.routes[path] r.hits = r.hits + 1 end
return M]],
    act = "for i = 1, $N do M.hit('/') end M.routes['/run'] = { name = 'run', hits = 9 }",
    show = { "M.routes['/'].name", "M.routes['/'].hits", "M.routes['/about'].name", "M.routes['/run'].hits" },
    before = "home $N about 9",
    -- The calls differ, so what they give is compared: where the file gives the same as before, the run's stays.
    value = { '"about")', '"info")', after = "home $N info 9", taken = "+" },
    rename = { "routes", "paths", show = { "M.paths['/'].hits", "M.routes['/'].hits" }, after = "0 $N", aside = "any",
      restored = "any" },
    removed = { 'route("/about", "about")\n', "", show = { "M.routes['/'].hits", "M.routes['/about']",
      "M.routes['/run'].hits" }, after = "$N nil 9",
      aside = "any", restored = "any" },
    more = { { title = "one more call", 'route("/", "home")', 'route("/", "home")\nroute("/new", "new")',
      show = { "M.routes['/'].hits", "M.routes['/new'].name", "M.routes['/run'].hits" },
      after = "$N new 9" } },
  },
  { "H49 a list filled by calls at the top",
    text = [[
local M = { list = {} }
table.insert(M.list, "a")
table.insert(M.list, "b")
return M]],
    act = "for i = 1, $N do table.insert(M.list, 'r' .. i) end", show = { "#M.list", "M.list[2]" },
    before = "$(N + 2) b",
    value = { '"b"', '"z"', after = "2 z", taken = "+", gave = 1, says = "$N run-time rows of \"M.list" },
    rename = { "list", "rows", show = { "#M.rows", "#M.list" }, after = "2 $(N + 2)", aside = "any", restored = "any" },
    removed = { 'table.insert(M.list, "b")\n', "", after = "1 nil", aside = 0, gave = 1, back = "2 b", restored = 0 },
  },
  { "H49 a local that calls of the module's functions fill",
    text = [[
local items = @({})@
local M = {}
function M.register(name, v) items@[name] = { v = v, hits = 0 } end
function M:entry(name, v) items@[name] = { v = v, hits = 0 } return self end
M.register("a", 1)
M.register("b", 2)
M:entry("c", 3)
function M.hit(name) items@[name].hits = items@[name].hits + 1 end
function M.look(name) local item = items@[name] return item and item.v .. "/" .. item.hits end
return M]],
    act = "for i = 1, $N do M.hit('a') end M.register('run', 9)",
    show = { "M.look('a')", "M.look('b')", "M.look('c')", "M.look('run')" }, before = "1/$N 2/0 3/0 9/0",
    value = { '"b", 2', '"b", 5', after = "1/$N 5/0 3/0 9/0" },
    rename = { "items", "things", after = "1/0 2/0 3/0 nil", aside = 1 },
    removed = { 'M.register("b", 2)\n', "", after = "1/$N nil 3/0 9/0", aside = "any", restored = "any" },
    more = {
      { title = "a method's argument", '"c", 3', '"c", 5', after = "1/$N 2/0 5/0 9/0", taken = "+" },
      { title = "calls of calls", 'M:entry("c", 3)', 'M:entry("c", 5):entry("d", 6)', after = "1/$N 2/0 5/0 9/0",
        taken = "+", then_act = "", then_show = "M.look('d')", then_gives = "6/0" },
    },
  },
  { "H49 a language of calls that return functions and objects",
    text = [[
local pages = @({})@
local Page = {}
Page.__index = Page
function Page:named(name) self.name = name return self end
local function page(path)
  return function(fields)
    fields.hits = 0
    pages@[path] = setmetatable(fields, Page)
  end
end
local function plain(path) pages@[path] = setmetatable({ hits = 0 }, Page) return pages@[path] end
page "/" { name = "home" }
page "/about" { name = "about" }
plain("/help"):named("help")
return {
  hit = function(path) pages@[path].hits = pages@[path].hits + 1 end,
  add = function(path) page(path) { name = path } end,
  look = function(path) local p = pages@[path] return p and p.name .. "/" .. p.hits end,
}]],
    act = "for i = 1, $N do M.hit('/') end M.add('/run')",
    show = { "M.look('/')", "M.look('/about')", "M.look('/help')", "M.look('/run')" },
    before = "home/$N about/0 help/0 /run/0",
    value = { '"about" }', '"info" }', after = "home/$N info/0 help/0 /run/0" },
    rename = { "pages", "sites", after = "home/0 about/0 help/0 nil", aside = 1 },
    removed = { 'page "/about" { name = "about" }\n', "", after = "home/$N nil help/0 /run/0", aside = "any",
      restored = "any" },
    more = {
      { title = "a call of what a call returns", '"help")', '"hints")', after = "home/$N about/0 hints/0 /run/0",
        taken = "+" },
      { title = "one more page", 'plain("/help")', 'page "/new" { name = "new" }\nplain("/help")',
        after = "home/$N about/0 help/0 /run/0", then_act = "", then_show = "M.look('/new')", then_gives = "new/0" },
    },
  },
}
