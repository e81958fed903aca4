-- The items that files are made of: a statement or some that belong together, one way of keeping state each.
--
-- An item has: id, kind, file, name; where it stands (L: variable of the top level, M: field of the module's table, G: global; nil: nothing looks at it); reach, what
-- its name is written with; path(), the path of its place. Its functions: lines(style) its text, give(version) its places, edit(ctx) changes something, or returns
-- false, and targets(add), which tells what a run may do to it: add(get, shape, set).
local text = require("text")
local render, give = text.render, text.give

local items = {}

local function place(item)
  local style = { L = "", M = "M.", G = "" }
  item.reach = style[item.where or "L"]
  function item.path() return (item.where or "L") .. "." .. item.name end
end

-- How a run reads and writes the place of an item.
local function access(item, name)
  name = name or item.name
  if item.where == "L" then
    return ('GETL("%s", "%s")'):format(item.file, name), function(v) return ('SETL("%s", "%s", %s)'):format(item.file, name, v) end
  end
  local get = item.where == "M" and ('require("%s").%s'):format(item.file, name) or name
  return get, function(v) return get .. " = " .. v end
end

local function assigned(item, name, what)
  return (item.where == "L" and "local " or "") .. item.reach .. name .. " = " .. what
end

-- What a run may do below an expression.
local function targets_of(E, get, set, add, shape)
  if E.is == "meta" then
    local shaped = "bare"
    for _, field in ipairs(E.mt) do if field[1] == "__mode" then shaped = "weak" end end
    return targets_of(E.tab, get, set, add, shaped)
  end
  if E.is == "lit" then return add(get, "prim", set) end
  if E.is == "fn" then return add(get, "fn", set) end
  if E.is ~= "tab" then return end
  add(get, E.list and (E.functions and "functions" or E.rows and "rows" or "list") or shape or "map", set)
  if E.list or shape == "weak" then return end
  for i, field in ipairs(E) do
    if i > 8 then break end
    local inner = get .. select(2, text.key(field[1]))
    targets_of(field[2], inner, function(v) return inner .. " = " .. v end, add)
  end
end

local kinds = {}
items.kinds = kinds

local shape_names = { "prim", "prim", "map", "map", "dispatch", "dispatch", "list", "list", "rows", "noise", "thread", "handle", "weak", "default", "meta", "store", "store",
  "big", "functions", "counter", "varargs", "memo", "derived", "derived", "copy", "once", "keep" }

function kinds.val(item, ctx)
  place(item)
  item.shape = ctx.r.pick(shape_names)
  if item.shape == "once" then
    item.where = "G"
    if text.without("globals") then item.where, item.shape = "L", "prim" end
    place(item)
  end
  if item.shape == "keep" and item.where == "G" then item.shape = "map" end
  item.E = text.shapes[item.shape](ctx, item)
  function item.lines(style) return { assigned(item, item.name, render(item.E, style)) } end
  function item.give(version) give(item.E, item.path(), version.places) end
  function item.edit(c)
    local E, done = text.edit(item.E, c)
    item.E = E
    return done ~= false
  end
  function item.targets(add)
    local get, set = access(item)
    if item.shape == "store" then add(get, "store", set) end
    if item.shape == "counter" or item.shape == "varargs" then add(get, "call", set) end
    if item.shape == "memo" then add(get, "memo", set) end
    if item.shape == "thread" then add(get, "thread", set) end
    if item.shape == "keep" then add(get, "bare", set) end
    if item.shape == "once" then add(get, "value", set) end
    if item.E.is == "code" and not ({ copy = 1, keep = 1, once = 1 })[item.shape] then add(get, "prim", set) end
    if item.shape == "copy" then add(get, "copy", set) end
    targets_of(item.E, get, set, add)
  end
end

-- A function; where the form differs its text does not.
function kinds.fn(item, ctx)
  place(item)
  item.E = text.fn(ctx)
  item.form = ctx.r.int(2)
  function item.lines(style)
    local said = render(item.E, style)
    if item.form == 1 then return { assigned(item, item.name, said) } end
    return { (item.where == "L" and "local " or "") .. said:gsub("^function", "function " .. item.reach .. item.name) }
  end
  function item.give(version) give(item.E, item.path(), version.places) end
  function item.edit(c) item.E = text.edit(item.E, c) end
  function item.targets(add)
    local get, set = access(item)
    add(get, "fn", set)
  end
end

-- A number that nothing but top-level code reads.
function kinds.constant(item, ctx)
  item.where = nil
  place(item)
  item.E = { is = "lit", v = ctx.r.int(90) }
  function item.lines(style) return { "local " .. item.name .. " = " .. render(item.E, style) } end
  function item.give(version) give(item.E, item.path(), version.places) end
  function item.edit(c) item.E = { is = "lit", v = item.E.v + c.r.int(9) } end
  function item.targets() end
end

-- A class through __index, and an object made at load.
function kinds.class(item, ctx)
  item.where = "L"
  place(item)
  local object, home = "o_" .. item.id, item.file == "main" and "G" or "M"
  local reach = home == "M" and "M." or ""
  item.data = { is = "tab", { "label", text.lit(ctx.r) } }
  item.new = { is = "fn", tag = "new" .. ctx.r.int(100000), body = function()
    return ("if true then return setmetatable({ n = q or 1, items = {} }, %s) end"):format(item.name)
  end }
  item.method = text.fn(ctx, true)
  item.start = ctx.r.int(90)
  function item.lines(style)
    local n = item.name
    return { ("local %s = %s"):format(n, render(item.data, style)), ("%s.__index = %s"):format(n, n),
      (render(item.new, style):gsub("^function", "function " .. n .. ".new")), (render(item.method, style):gsub("^function", "function " .. n .. ".tell")),
      ("%s%s = %s.new(%d)"):format(reach, object, n, item.start) }
  end
  function item.give(version)
    local p = version.places
    give(item.data, item.path(), p)
    p[item.path() .. ".__index"] = { giver = item.name, refs = {}, alias = true }
    give(item.new, item.path() .. ".new", p)
    give(item.method, item.path() .. ".tell", p)
    p[home .. "." .. object] = { giver = ("%s.new(%d)"):format(item.name, item.start), refs = { item.path() } }
    if home == "G" then version.globals[object] = true end
  end
  function item.edit(c)
    if c.r.chance(70) then item.method = text.edit(item.method, c) else item.data = text.edit(item.data, c) end
  end
  item.no_rename = true -- its objects would make the new variable the old table, with the places of both names
  function item.targets(add)
    local class = access(item)
    local get = home == "M" and ('require("%s").%s'):format(item.file, object) or object
    add(class, "class")
    add(get, "object")
    add(get .. ".n", "prim", function(v) return get .. ".n = " .. v end)
    add(get .. ".items", "list", function(v) return get .. ".items = " .. v end)
  end
end

-- A prototype with fields beside the declared ones.
function kinds.proto(item, ctx)
  item.where = "G"
  place(item)
  item.E = { is = "tab", { "s_a", text.lit(ctx.r) }, { "s_b", ctx.r.chance(50) and text.lit(ctx.r) or text.shapes.list(ctx) }, { "m_c", text.fn(ctx, true) } }
  function item.lines(style)
    local lines = { ('%s = session:prototype("%s", { v = 1 })'):format(item.name, item.name) }
    for _, field in ipairs(item.E) do lines[#lines + 1] = item.name .. "." .. field[1] .. " = " .. render(field[2], style) end
    return lines
  end
  function item.give(version)
    for _, field in ipairs(item.E) do give(field[2], "P." .. item.name .. "." .. field[1], version.places) end
    version.protos[item.name] = true
    version.globals[item.name] = true
    version.places[item.path()] = { giver = item.name, refs = {}, alias = true }
  end
  function item.edit(c)
    local field = c.r.pick(item.E)
    field[2] = text.edit(field[2], c)
  end
  function item.targets(add)
    for _, field in ipairs(item.E) do
      local get = item.name .. "." .. field[1]
      targets_of(field[2], get, function(v) return get .. " = " .. v end, add)
    end
  end
  item.no_rename = true -- H52: what is no longer declared stays
  item.no_remove = true
end

-- Two tables that know each other.
function kinds.ring(item, ctx)
  item.where = "L"
  place(item)
  item.E = { is = "tab", { "n", text.lit(ctx.r) }, { "held", text.shapes.list(ctx) } }
  item.other = { is = "tab", { "n", text.lit(ctx.r) } }
  function item.lines(style)
    local a, b = item.name, item.name .. "x"
    return { ("local %s, %s = %s, %s"):format(a, b, render(item.E, style), render(item.other, style)), ("%s.peer, %s.peer = %s, %s"):format(a, b, b, a) }
  end
  function item.give(version)
    local a, b = item.path(), item.path() .. "x"
    give(item.E, a, version.places)
    give(item.other, b, version.places)
    version.places[a .. ".peer"] = { giver = item.name .. "x", refs = { b }, alias = true }
    version.places[b .. ".peer"] = { giver = item.name, refs = { a }, alias = true }
  end
  function item.edit(c)
    if c.r.chance(50) then item.E = text.edit(item.E, c) else item.other = text.edit(item.other, c) end
    return #item.E > 0
  end
  function item.targets(add)
    local a, b = access(item), access(item, item.name .. "x")
    for _, get in ipairs({ a .. ".n", b .. ".n", a .. ".peer.n" }) do add(get, "prim", function(v) return get .. " = " .. v end) end
    add(a .. ".held", "list", function(v) return a .. ".held = " .. v end)
    add(a, "bare")
  end
  item.captured = function() return { item.name, item.name .. "x" } end
end

-- A look-up table made by a loop.
function kinds.loop(item, ctx)
  place(item)
  item.n, item.by = ctx.r.int(6), ctx.r.int(50)
  function item.lines()
    local target = item.reach .. item.name
    return { assigned(item, item.name, "{}"), ("for i = 1, %d do %s[i] = i * %d end"):format(item.n, target, item.by) }
  end
  function item.give(version)
    version.places[item.path()] = { table = true }
    version.open[item.path()] = item.lines()[2]
  end
  function item.edit(c) if c.r.chance(50) then item.by = item.by + c.r.int(9) else item.n = item.n + 1 end end
  function item.targets(add)
    local get, set = access(item)
    add(get, "list", set)
  end
end

-- A list filled by calls.
function kinds.insert(item, ctx)
  place(item)
  item.first, item.second = text.lit(ctx.r), text.lit(ctx.r)
  function item.lines(style)
    local target = item.reach .. item.name
    return { assigned(item, item.name, "{}"), ("table.insert(%s, %s)"):format(target, render(item.first, style)),
      ("table.insert(%s, %s)"):format(target, render(item.second, style)) }
  end
  function item.give(version)
    version.places[item.path()] = { table = true }
    version.open[item.path()] = table.concat(item.lines({}), "\n", 2)
  end
  function item.edit(c) item.second = text.edit(item.second, c) end
  item.targets = function(add)
    local get, set = access(item)
    add(get, "list", set)
  end
end

-- A name space that files share: N = N or {}.
function kinds.space(item, ctx)
  item.where = "G"
  place(item)
  item.E = { is = "tab", { "a", text.lit(ctx.r) }, { "b", text.shapes.map(ctx) }, { "f", text.fn(ctx) } }
  function item.lines(style)
    local lines = { ("%s = %s or {}"):format(item.name, item.name) }
    for _, field in ipairs(item.E) do lines[#lines + 1] = item.name .. "." .. field[1] .. " = " .. render(field[2], style) end
    return lines
  end
  function item.give(version)
    version.places[item.path()] = { giver = item.name .. " or {}", refs = {} }
    for _, field in ipairs(item.E) do give(field[2], item.path() .. "." .. field[1], version.places) end
    version.spaces[item.name] = true
  end
  function item.edit(c)
    local field = c.r.pick(item.E)
    field[2] = text.edit(field[2], c)
  end
  function item.targets(add)
    for _, field in ipairs(item.E) do
      local get = item.name .. "." .. field[1]
      targets_of(field[2], get, function(v) return get .. " = " .. v end, add)
    end
    add(item.name, "bare")
  end
  item.last = true -- a chunk that raises after it has written into a table that is not its own (H60)
end

-- A proxy for a table that a variable holds.
function kinds.proxy(item, ctx)
  item.where = "L"
  place(item)
  local front, home = "p_" .. item.id, item.file == "main" and "G" or "M"
  item.E = text.shapes.map(ctx)
  item.tag = ctx.r.int(100000)
  local function proxy()
    return ("setmetatable({}, { __index = %s, __newindex = function(q, k, v) if q == '?' then return 'p%d' end %s[k] = v end })"):format(item.name, item.tag, item.name)
  end
  local function left() return (home == "M" and "M." or "") .. front end
  function item.lines(style) return { ("local %s = %s"):format(item.name, render(item.E, style)), left() .. " = " .. proxy() } end
  function item.give(version)
    local path = home .. "." .. front
    give(item.E, item.path(), version.places)
    version.places[path] = { table = true }
    version.places[path .. ".<meta>"] = { table = true }
    version.places[path .. ".<meta>.__index"] = { giver = item.name, refs = { item.path() }, alias = true }
    version.places[path .. ".<meta>.__newindex"] = { giver = proxy(), refs = {}, fn = true }
    if home == "G" then version.globals[front] = true end
  end
  function item.edit(c)
    if c.r.chance(30) then item.tag = c.r.int(100000) else item.E = text.edit(item.E, c) end
  end
  item.no_rename = true -- as a class
  function item.targets(add)
    local get = home == "M" and ('require("%s").%s'):format(item.file, front) or front
    targets_of(item.E, get, nil, function(g, shape, set) if set then add(g, shape, set) end end)
    add(get, "bare")
  end
end

-- A variable that is filled when it is wanted first.
function kinds.lazy(item, ctx)
  item.where = "L"
  place(item)
  local home = item.file == "main" and "G" or "M"
  local getter = "get_" .. item.id
  item.tag = ctx.r.int(100000)
  function item.lines()
    local n = item.name
    return { "local " .. n, ("function %s%s(q) if q == '?' then return 'l%d' .. D(%s) end %s = %s or { n = 0 } %s.n = %s.n + 1 end"):format(home == "M" and "M." or "", getter,
      item.tag, n, n, n, n, n) }
  end
  function item.give(version)
    version.places[item.path()] = { giver = "nil", refs = {} }
    version.places[home .. "." .. getter] = { giver = item.lines()[2], refs = {}, fn = true }
    if home == "G" then version.globals[getter] = true end
  end
  function item.edit(c) item.tag = c.r.int(100000) end
  function item.targets(add)
    add(home == "M" and ('require("%s").%s'):format(item.file, getter) or getter, "call")
  end
end

-- Two at once.
function kinds.pair(item, ctx)
  place(item)
  item.E, item.other = text.lit(ctx.r), ctx.r.chance(50) and text.shapes.list(ctx) or text.lit(ctx.r)
  local function second() return item.name .. "x" end
  function item.lines(style)
    local reach = item.reach
    return { ("%s%s%s, %s%s = %s, %s"):format(item.where == "L" and "local " or "", reach, item.name, reach, second(), render(item.E, style), render(item.other, style)) }
  end
  function item.give(version)
    give(item.E, item.path(), version.places)
    give(item.other, item.path() .. "x", version.places)
    if item.where == "G" then version.globals[second()] = true end
  end
  function item.edit(c) if c.r.chance(50) then item.E = text.edit(item.E, c) else item.other = text.edit(item.other, c) end end
  function item.targets(add)
    local get, set = access(item)
    targets_of(item.E, get, set, add)
    get, set = access(item, second())
    targets_of(item.other, get, set, add)
  end
  item.captured = function() return { item.name, second() } end
end

-- The module's own metatable, and the module in itself.
function kinds.module(item, ctx)
  item.where = nil
  place(item)
  item.E = { is = "tab", { "__call", text.fn(ctx) } }
  function item.lines(style) return { "setmetatable(M, " .. render(item.E, style) .. ")", "M.__index = M" } end
  function item.give(version)
    give(item.E, "M.<meta>", version.places)
    version.places["M.__index"] = { giver = "M", refs = {}, alias = "M" }
  end
  function item.edit(c) item.E[1][2] = text.edit(item.E[1][2], c) end
  function item.targets() end
end

-- A class whose methods are copied from another's when it is made.
function kinds.subclass(item, ctx)
  local from = {}
  for _, other in ipairs(ctx.items) do if other.kind == "class" then from[#from + 1] = other end end
  item.where = "L"
  place(item)
  local base = #from > 0 and ctx.r.pick(from)
  if base then item.needs[#item.needs + 1] = base.id end
  item.own = text.fn(ctx, true)
  local function loop() return ("for k, v in pairs(%s) do if type(v) == 'function' then %s[k] = v end end"):format(base and base.name or "{}", item.name) end
  function item.lines(style)
    local n = item.name
    return { "local " .. n .. " = {}", loop(), n .. ".__index = " .. n, (render(item.own, style):gsub("^function", "function " .. n .. ".own")) }
  end
  function item.give(version)
    version.places[item.path()] = { table = true }
    version.places[item.path() .. ".__index"] = { giver = item.name, refs = {}, alias = true }
    give(item.own, item.path() .. ".own", version.places)
    version.open[item.path()] = loop()
  end
  function item.edit(c) item.own = text.edit(item.own, c) end
  function item.targets(add) add((access(item)), "subclass") end
  item.no_rename = true -- as a class
  item.no_remove = true -- nothing says whether a table that was set aside gets the new copies
end

-- Globals that look at who sets them.
function kinds.strict(item, ctx)
  item.where = nil
  place(item)
  item.tag = ctx.r.int(1000)
  function item.lines() return { ("setmetatable(_G, { __newindex = function(t, k, v) rawset(t, k, v) end, tag = %d })"):format(item.tag) } end
  function item.give() end
  function item.edit(c) item.tag = c.r.int(1000) end
  function item.targets() end
end

-- A file that puts itself into the registry of another.
function kinds.plugin(item)
  item.where = nil
  place(item)
  function item.lines() return { ('require("a").plugs.%s = M'):format(item.name) } end
  function item.give() end
  function item.edit() return false end
  function item.targets() end
  item.last = true
end

local chances = { "val", "val", "val", "val", "val", "val", "val", "val", "val", "fn", "fn", "constant", "class", "class", "proto", "ring", "loop", "insert", "space", "proxy",
  "lazy", "pair", "module", "plugin", "subclass", "strict" }

--- An item by the words of a story: ctx has r, items of the file, others.
function items.new(file, kind, id, seed, ctx)
  local r = text.random(seed)
  local item = { id = id, kind = kind, file = file, name = (kind == "proto" and "P" or "v") .. id, needs = {} }
  if text.without("globals") then
    item.where = file ~= "main" and r.chance(70) and "M" or "L"
  else
    item.where = file == "main" and r.pick({ "L", "G" }) or r.pick({ "L", "M", "M", "G" })
  end
  kinds[kind](item, { r = r, items = ctx.items, others = ctx.others, needs = item.needs })
  return item
end

--- A kind for a new item of the file, or nil.
function items.kind(r, file, present)
  local kind = r.pick(chances)
  if text.without(kind) then return nil end
  if kind == "plugin" and file ~= "b" or kind == "module" and file == "main" or kind == "strict" and file ~= "main" then return nil end
  if kind == "module" or kind == "plugin" or kind == "strict" then for _, item in ipairs(present) do if item.kind == kind then return nil end end end
  return kind
end

--- The text of a file, and what it gives.
function items.version(file)
  local version = { places = {}, open = {}, globals = {}, protos = {}, spaces = {}, order = {} }
  local lines, captured = {}, {}
  if file.style.head then lines[1] = "-- " .. file.style.head end
  if file.name == "main" then
    lines[#lines + 1] = 'require("a")\nrequire("b")'
  else
    lines[#lines + 1] = file.name == "a" and "local M = { plugs = {} }" or "local M = {}"
    captured[1] = "M"
    version.places["M"] = { table = true }
    if file.name == "a" then version.places["M.plugs"] = { table = true } end
  end
  for _, item in ipairs(file.items) do
    item.give(version)
    if item.where == "G" then version.globals[item.name] = true end
    if item.where == "L" then
      for _, name in ipairs(item.captured and item.captured() or { item.name }) do captured[#captured + 1] = name end
    end
    for _, line in ipairs(item.lines(file.style)) do lines[#lines + 1] = (file.style.indent or "") .. line end
    if file.style.gaps then lines[#lines + 1] = "" end
  end
  lines[#lines + 1] = ("function PEEK_%s() return %s end"):format(file.name, table.concat(captured, ", "))
  version.places["G.PEEK_" .. file.name] = { giver = lines[#lines], refs = {}, fn = true }
  version.globals["PEEK_" .. file.name] = true
  if file.name ~= "main" then lines[#lines + 1] = file.loaded and "package.loaded[...] = M" or "return M" end
  version.text = table.concat(lines, "\n") .. "\n"
  version.captured = captured
  return version
end

return items
