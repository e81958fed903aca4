-- Classes and objects. Instances are data: a save must give them the new methods and leave them what they hold.

-- Copies what it inherits at the making, as Penlight's pl.class does.
local COPYING = [[
return function(base)
  local c = {}
  for k, v in pairs(base or {}) do c[k] = v end
  c.__index = c
  function c.new(...) local o = setmetatable({}, c) if o.init then o:init(...) end return o end
  return c
end
]]

-- Keeps methods in a dictionary of each class and hands them down to subclasses when they are set, as middleclass does.
local HANDING_DOWN = [[
local function define(class, name, f)
  class.dict[name] = f
  for sub in pairs(class.subclasses) do if rawget(sub.declared, name) == nil then define(sub, name, f) end end
end
local function make(name, super)
  local class = { name = name, super = super, dict = {}, declared = {}, subclasses = setmetatable({}, { __mode = "k" }) }
  class.dict.__index = class.dict
  if super then
    for k, v in pairs(super.dict) do if k ~= "__index" then class.dict[k] = v end end
    super.subclasses[class] = true
  end
  return setmetatable(class, {
    __index = class.dict,
    __newindex = function(c, k, f) c.declared[k] = f define(c, k, f) end,
    __call = function(c, ...) local o = setmetatable({}, c.dict) if o.init then o:init(...) end return o end,
  })
end
return make
]]

return {
  { "H48 H49 a class through __index that is the module",
    text = [[
local Cart = {}
Cart.__index = Cart
Cart.tax = 2
function Cart.new() return setmetatable({ rows = {} }, Cart) end
function Cart:add(x) self.rows[#self.rows + 1] = x end
function Cart:total() return #self.rows * Cart.tax end
return Cart]],
    act = "CART = M.new() for i = 1, $N do CART:add(i) end", show = { "CART:total()", "getmetatable(CART) == M",
      "getmetatable(M.new()) == M" },
    before = "$(2 * N) true true", kept = 0,
    value = { "Cart.tax = 2", "Cart.tax = 3", after = "$(3 * N) true true", taken = 1 },
    rename = { "tax", "rate", after = "$(2 * N) true true", aside = 1 },
    removed = { "Cart.tax = 2\n", "", " * Cart.tax", "", after = "$N true true" },
    more = {
      { title = "a method's text", "#self.rows * Cart.tax", "-#self.rows", after = "$(-N) true true", taken = 0 },
      { title = "a method's name", "Cart:add", "Cart:put", show = { "CART.add", "type(CART.put)" },
        after = "nil function", undone = true },
      { title = "a method less", "function Cart:total() return #self.rows * Cart.tax end\n", "", show = "CART.total",
        after = "nil", undone = true },
    },
  },
  { "H49 a class that counts its instances",
    text = [[
local M = { made = 0 }
M.__index = M
function M.new(name)
  M.made = M.made + 1
  return setmetatable({ name = name or "?", id = M.made }, M)
end
return M]],
    act = "LAST = M.new('a') for i = 2, $N do LAST = M.new() end", show = { "M.made", "LAST.id", "M.new == LAST.new" },
    before = "$N $N true",
    value = { "made = 0", "made = 100", after = "100 $N true", taken = 1, gave = 1, says = "made" },
    rename = { "made", "count", show = { "M.count", "M.made", "LAST.id" }, after = "0 $N $N" },
    removed = { "M.made = M.made + 1\n", "", "id = M.made", "id = 1", "{ made = 0 }", "{}", after = "$N $N true",
      aside = 0 },
    more = { { title = "an unrelated line, then one more is made", "VERSION = 1", "VERSION = 2",
      then_act = "LAST = M.new()",
      then_gives = "$(N + 1) $(N + 1) true" } },
  },
  { "H49 an instance of a class of this file made by a function (lua/03)",
    text = [[
local function class() local c = {} c.__index = c return c end
local Cart = class()
function Cart:add(x) self[#self + 1] = x end
local one = setmetatable({}, Cart)
return {
  add = function(x) one:add(x) end,
  show = function() return #one end,
  same = function() return getmetatable(one) == Cart end,
}]],
    act = "for i = 1, $N do M.add(i) end", show = { "M.show()", "M.same()" }, before = "$N true",
    value = { "setmetatable({}, Cart)", 'setmetatable({ "first" }, Cart)', after = "1 true", gave = 1,
      says = '$N run-time rows of "one"' },
    rename = { "one", "two", after = "0 true", aside = 1 },
    removed = { "local one = setmetatable({}, Cart)\n", "", "one:add(x)", "", "#one", "0", "getmetatable(one) == Cart",
      "Cart ~= nil",
      after = "0 true" },
    more = {
      { title = "a method's text", "self[#self + 1] = x", "table.insert(self, x)", then_act = "M.add(0)",
        after = "$N true", then_gives = "$(N + 1) true" },
      -- The class is code; what the report says of its name the rule does not say.
      { title = "the class's name", "Cart", "Basket", after = "$N true", aside = "any" },
    },
  },
  { "H49 objects made at load",
    text = [[
local Item = {}
Item.__index = Item
function Item.new(name) return setmetatable({ name = name, done = false, tags = {} }, Item) end
function Item:finish() self.done = true end
local M = {}
M.first = Item.new("a")
M.second = Item.new("b")
function M.class() return Item end
return M]],
    act = "M.first:finish() for i = 1, $N do M.first.tags[i] = i end HELD = M.first",
    show = { "M.first.name", "M.first.done", "#M.first.tags", "M.second.name", "HELD == M.first",
      "getmetatable(HELD) == M.class()" },
    before = "a true $N b true true", million = true,
    value = { '"b"', '"z"', after = "a true $N z true true", taken = "+" },
    rename = { "second", "other", show = { "M.first.done", "M.second", "M.other.name" }, after = "true nil b",
      aside = 1 },
    removed = { 'M.second = Item.new("b")\n', "", show = { "M.first.done", "#M.first.tags", "M.second" },
      after = "true $N nil" },
    more = {
      { title = "a method's text", "self.done = true", "self.done = 'yes'", after = "a true $N b true true",
        then_act = "HELD:finish()", then_show = "HELD.done",
        then_gives = "yes" },
      -- What the maker is given is what the person edited. Whether that edits fields too of which the file says what it
      -- said before, the rule leaves open; if so, it is said.
      { title = "the object that the run has changed", '"a"', '"x"', show = { "M.first.name", "HELD == M.first" },
        after = "x true", gave = "any" },
      { title = "what the maker gives", "tags = {}", "tags = {}, size = 1",
        show = { "M.first.done", "#M.first.tags", "M.first.size", "M.second.size" },
        after = "true $N 1 1" },
    },
  },
  { "H49 a list of objects made at load",
    text = [[
local Item = {}
Item.__index = Item
function Item.new(name) return setmetatable({ name = name }, Item) end
function Item:title() return "<" .. self.name .. ">" end
local M = { list = @({ Item.new("a"), Item.new("b") })@ }
function M.new(name) return Item.new(name) end
return M]],
    act = "M.list@[1].done = true for i = 1, $N do table.insert(M.list@, M.new('r' .. i)) end",
    show = { "#M.list@", "M.list@[1]:title()", "M.list@[1].done", "M.list@[#M.list@]:title()" },
    before = "$(N + 2) <a> true <r$N>",
    -- The first two have changed or gone with the run's.
    value = { '"b"', '"z"', after = "2 <a> nil <z>", gave = 1, says = "run-time row" },
    rename = { "list", "items", show = { "#M.items@", "#M.list@" }, after = "2 $(N + 2)" },
    removed = { 'list = @({ Item.new("a"), Item.new("b") })@', "", after = "$(N + 2) <a> true <r$N>", aside = 0 },
    more = { { title = "a method's text", '"<" .. self.name .. ">"', '"[" .. self.name .. "]"',
      after = "$(N + 2) [a] true [r$N]" } },
  },
  { "H49 methods copied at the making, a base class in another file (lua/04)",
    file = "lua/base.lua",
    text = 'local Base = require("class")()\nBase.sound = "loud"\nfunction Base:speak() return "old" end\nreturn Base',
    files = { ["lua/class.lua"] = COPYING,
      ["lua/sub.lua"] = 'local Sub = require("class")(require("base"))\nSub.made = 0\nreturn Sub\n',
      ["lua/main.lua"] = 'M = require("sub")\n' },
    act = "OBJ = M.new() M.made = 4 OBJ.hp = 3", show = { "OBJ:speak()", 'require("sub").new():speak()', "OBJ.hp",
      "M.made" }, before = "old old 3 4", kept = 0,
    value = { '"old"', '"new"', after = "new new 3 4", taken = 0 },
    -- A method of another name was never copied; the rule follows places, and this place has no successor.
    rename = { "speak", "talk", show = { 'require("base").talk()', 'require("base").speak', "OBJ.hp" },
      after = "old nil 3" },
    removed = { 'function Base:speak() return "old" end\n', "", show = { 'require("base").speak', "OBJ.hp" },
      after = "nil 3", aside = 0 },
    -- Data that was copied is a value of its own there.
    more = { { title = "data that was copied", '"loud"', '"low"', show = { 'require("base").sound', "M.sound" },
      after = "low loud", taken = 1 } },
  },
  { "H49 methods handed down in dictionaries of classes",
    file = "lua/base.lua",
    text = 'local Base = require("class")("Base")\nfunction Base:init() self.hp = 10 end\nfunction Base:speak() return "old" end\nreturn Base',
    files = { ["lua/class.lua"] = HANDING_DOWN,
      ["lua/sub.lua"] = 'local Sub = require("class")("Sub", require("base"))\nfunction Sub:run() return "run" end\nreturn Sub\n',
      ["lua/main.lua"] = 'M = require("sub")\n' },
    act = "OBJ = M() OBJ.hp = 3 for i = 1, $N do OBJ[i] = M() end",
    show = { "OBJ:speak()", "OBJ[$N]:speak()", "OBJ:run()", "OBJ.hp", "M().hp" }, before = "old old run 3 10",
    kept = "any", value = { '"old"', '"new"', after = "new new run 3 10", taken = "any" },
    rename = { "speak", "talk", show = { 'require("base")():talk()', "OBJ.hp" }, after = "old 3" },
    removed = { 'function Base:speak() return "old" end\n', "", show = { "OBJ:run()", "OBJ.hp" }, after = "run 3",
      aside = 0 },
    more = { { title = "the constructor", "self.hp = 10", "self.hp = 20", after = "old old run 3 20" } },
  },
  { "H49 mixins from another file",
    file = "lua/serial.lua",
    text = 'local Serial = {}\nSerial.form = "json"\nfunction Serial:dump() return "old" .. self.n end\nreturn Serial',
    files = { ["lua/doc.lua"] = [[
local Doc = {}
Doc.__index = Doc
for k, v in pairs(require("serial")) do Doc[k] = v end
function Doc.new(n) return setmetatable({ n = n }, Doc) end
return Doc
]], ["lua/main.lua"] = 'M = require("doc")\n' },
    act = "OBJ = M.new(7)", show = { "OBJ:dump()", "M.new(1):dump()", "OBJ.form" }, before = "old7 old1 json", kept = 0,
    value = { '"old"', '"new"', after = "new7 new1 json", taken = 0 },
    rename = { "dump", "write", show = { 'require("serial").dump', "OBJ.n" }, after = "nil 7" },
    removed = { 'Serial.form = "json"\n', "", after = "old7 old1 json" },
  },
  { "H49 mixins in the same file",
    text = [[
local Counts = { step = 1 }
function Counts:bump() self.n = (self.n or 0) + self.step return self.n end
local M = { title = "one" }
for k, v in pairs(Counts) do M[k] = v end
return M]],
    act = "for i = 1, $N do M:bump() end", show = { "M.n", "M.title", "M.step" }, before = "$N one 1", kept = "any",
    value = { "step = 1", "step = 5", after = "$N one 5", then_act = "M:bump()", then_gives = "$(N + 5) one 5" },
    rename = { "title", "name", show = { "M.n", "M.title", "M.name" }, after = "$N nil one", aside = 1 },
    removed = { ' title = "one" ', "", after = "$N nil 1" },
    more = { { title = "a method's text", "+ self.step", "+ self.step * 10", then_act = "M:bump()", after = "$N one 1",
      then_gives = "$(N + 10) one 1" } },
  },
  { "H49 prototypes by cloning",
    text = [[
local base = { hp = 10, name = "base" }
function base:hit(n) self.hp = self.hp - n end
local function clone(of, with) return setmetatable(with or {}, { __index = of }) end
local M = { base = base, enemy = clone(base), boss = clone(base, { name = "boss" }) }
return M]],
    act = "M.enemy:hit(3) M.boss.rage = true", show = { "M.enemy.hp", "M.boss.hp", "M.boss.name", "M.boss.rage",
      "M.enemy.name" }, before = "7 10 boss true base",
    kept = "any",
    value = { "hp = 10", "hp = 20", after = "7 20 boss true base", taken = 1 },
    rename = { "boss", "chief", show = { "M.boss.rage", "M.chief.hp", "M.enemy.hp" }, after = "true 10 7", aside = 0,
      restored = "any" },
    removed = { ", enemy = clone(base)", "", after = "7 10 boss true base", aside = 0 },
    more = {
      { title = "a field of the clone", '"boss"', '"lord"', after = "7 10 lord true base", taken = "+" },
      { title = "a method's text", "self.hp - n", "self.hp - n * 2", then_act = "M.enemy:hit(1)",
        after = "7 10 boss true base", then_gives = "5 10 boss true base" },
    },
  },
  { "H49 a hierarchy over two files, the base edited",
    file = "lua/animal.lua",
    text = [[
local Animal = { legs = 4, born = 0 }
Animal.__index = Animal
function Animal.new(class, name) Animal.born = Animal.born + 1 return setmetatable({ name = name }, class) end
function Animal:describe() return self.name .. self.legs end
return Animal]],
    files = { ["lua/dog.lua"] = [[
local Animal = require("animal")
local Dog = setmetatable({}, { __index = Animal })
Dog.__index = Dog
function Dog:bark() return self:describe() .. "!" end
return Dog
]], ["lua/main.lua"] = 'M = require("dog")\n' },
    act = "REX = M:new('rex') for i = 1, $N do M:new('x') end", show = { "REX:bark()", 'require("animal").born',
      "REX.legs" }, before = "rex4! $(N + 1) 4",
    value = { "legs = 4", "legs = 3", after = "rex3! $(N + 1) 3", taken = 1 },
    rename = { "legs", "feet", show = { "REX:bark()", "REX.legs", "REX.feet" }, after = "rex4! nil 4", aside = 1 },
    removed = { "legs = 4, ", "", ".. self.legs", "", after = "rex! $(N + 1) nil" },
    more = { { title = "a method's text", "self.name .. self.legs", "'<' .. self.name .. '>'",
      after = "<rex>! $(N + 1) 4" } },
  },
  { "H49 a hierarchy over two files, the derived one edited",
    file = "lua/dog.lua",
    text = [[
local Animal = require("animal")
local Dog = setmetatable({ tricks = @({})@, kind = "dog" }, { __index = Animal })
Dog.__index = Dog
function Dog:bark() return self:describe() .. "!" end
return Dog]],
    files = { ["lua/animal.lua"] = [[
local Animal = {}
Animal.__index = Animal
function Animal.new(class, name) return setmetatable({ name = name }, class) end
function Animal:describe() return self.name end
return Animal
]], ["lua/main.lua"] = 'M = require("dog")\n' },
    act = "REX = M:new('rex') for i = 1, $N do M.tricks@[i] = i end",
    show = { "REX:bark()", "#M.tricks@", "REX.kind", "getmetatable(REX) == M" }, before = "rex! $N dog true",
    value = { 'kind = "dog"', 'kind = "hound"', after = "rex! $N hound true", taken = 1 },
    rename = { "tricks", "skills", show = { "#M.skills@", "#M.tricks@", "REX:bark()" }, after = "0 $N rex!" },
    removed = { ', kind = "dog"', "", after = "rex! $N nil true" },
    more = { { title = "a method's text", '"!"', '"?"', after = "rex? $N dog true" } },
  },
  { "H49 a singleton with or",
    text = [[
Store = Store or @({ items = {} })@
function Store@.add(x) Store@.items[#Store@.items + 1] = x end
return Store]],
    act = "for i = 1, $N do Store@.add(i) end", show = { "#Store@.items", "M == Store" }, before = "$N true",
    kept = "any",
    -- `or` never comes to the constructor again: the file itself says that what is there stays.
    value = { "items = {}", 'items = {}, title = "x"', after = "$N true", taken = "any" },
    rename = { "Store", "Shop", show = { "#Shop@.items" }, after = "$N", aside = "any", restored = "any" },
    removed = { "function Store@.add(x) Store@.items[#Store@.items + 1] = x end\n", "", after = "$N true", aside = 0 },
  },
  { "H49 H56 a singleton made when it is first asked for",
    text = [[
local M = {}
M.__index = M
local instance
function M.get()
  instance = instance or setmetatable({ items = {} }, M)
  return instance
end
function M:add(x) self.items[#self.items + 1] = x end
return M]],
    act = "for i = 1, $N do M.get():add(i) end HELD = M.get()", show = { "#M.get().items", "M.get() == HELD",
      "getmetatable(M.get()) == M" }, before = "$N true true",
    value = { "local instance\n", "local instance = false\n", after = "0 false true", gave = 1, says = "instance" },
    rename = { "instance", "only", after = "0 false true", aside = 1 },
    removed = { "local instance\n", "", "instance = instance or setmetatable({ items = {} }, M)\n", "",
      "return instance", "return setmetatable({ items = {} }, M)",
      after = "0 false true" },
    more = { { title = "a method's text", "self.items[#self.items + 1] = x", "table.insert(self.items, x)",
      after = "$N true true", then_act = "M.get():add(0)",
      then_gives = "$(N + 1) true true" } },
  },
  { "H49 a chain of methods",
    text = [[
local Query = {}
Query.__index = Query
function Query.new() return setmetatable({ parts = {} }, Query) end
function Query:where(x) self.parts[#self.parts + 1] = x return self end
function Query:text() return table.concat(self.parts, "&") end
local M = {}
M.query = Query.new():where("a"):where("b")
return M]],
    act = 'M.query:where("run")', show = "M.query:text()", before = "a&b&run",
    value = { '"b"', '"z"', after = "a&z", gave = "+", says = "query" },
    rename = { "query", "search", show = { "M.search:text()", "M.query:text()" }, after = "a&b a&b&run" },
    removed = { 'M.query = Query.new():where("a"):where("b")\n', "", after = "a&b&run", aside = 0 },
    more = { { title = "a method's text", '"&"', '"+"', after = "a+b+run" } },
  },
  { "H49 a read-only view of a table",
    text = [[
local function readonly(t) return setmetatable({}, { __index = t, __newindex = function() error("read only", 2) end }) end
local M = { config = readonly({ size = 1, name = "a" }) }
return M]],
    act = "rawset(getmetatable(M.config).__index, 'extra', 5)", show = { "M.config.size", "M.config.name",
      "M.config.extra", "pcall(function() M.config.size = 9 end)" },
    before = "1 a 5 false run:1: read only", kept = "any", sizes = { "small" },
    value = { "size = 1", "size = 2", after = "2 a 5 false run:1: read only" },
    rename = { "size", "width", show = { "M.config.size", "M.config.width", "M.config.extra" }, after = "nil 1 5",
      aside = "any", restored = "any" },
    removed = { ', name = "a"', "", show = { "M.config.size", "M.config.name", "M.config.extra" }, after = "1 nil 5",
      aside = "any", restored = "any" },
  },
  { "H49 properties by functions in a metatable",
    text = [[
local values = @({ width = 3 })@
local M = setmetatable({}, {
  __index = function(_, k) if k == "area" then return values@.width * 10 end return values@[k] end,
  __newindex = function(_, k, v) values@[k] = v end,
})
return M]],
    act = "M.width = 7 for i = 1, $N do M['p' .. i] = i end", show = { "M.width", "M.area", "M.p$N" },
    before = "7 70 $N",
    value = { "width = 3", "width = 4", after = "4 40 $N", taken = 1, gave = 1, says = "width" },
    rename = { "values", "fields", show = { "M.width", "M.area" }, after = "3 30", aside = 1 },
    removed = { "{ width = 3 }", "{}", after = "7 70 $N", aside = 0 },
    more = { { title = "the getter's text", "* 10", "* 100", after = "7 700 $N" } },
  },
  { "H49 fields of a prototype of the session",
    text = [[
local Fleet = session:prototype("Fleet", { speed = 5 })
Fleet.ships = @({})@
function Fleet:launch(x) table.insert(Fleet.ships@, x) end
function Fleet:count() return #Fleet.ships@ end
return { class = Fleet }]],
    act = "F = session:create(M.class) for i = 1, $N do F:launch(i) end F.speed = 9",
    show = { "F:count()", "F.speed", "session:create(M.class).speed" }, before = "$N 9 5",
    value = { "speed = 5", "speed = 6", after = "$N 9 6", taken = "any" },
    rename = { "ships", "boats", after = "0 9 5", aside = "any", restored = "any" },
    removed = { "Fleet.ships = @({})@\n", "", "table.insert(Fleet.ships@, x)", "", "#Fleet.ships@", "-1",
      after = "-1 9 5", aside = 0 },
    more = { { title = "the list", "Fleet.ships = @({})@", "Fleet.ships = @({ 0 })@", after = "1 9 5", gave = 1,
      says = "$N run-time rows of \"Fleet.ships" } },
  },
}
