-- The files of a story as what they are made of: expressions, items, the texts of them, and which expression gives each place (H49). The generator knows the givers
-- since it has put them there; nothing here reads Lua.
local text = {}

-- What stories leave out, since the rule does otherwise for the time being. TORTURE_WITHOUT= (nothing) leaves out nothing.
local left_out = os.getenv("TORTURE_WITHOUT") or ""
function text.without(what) return (" " .. left_out .. " "):find(" " .. what .. " ", 1, true) ~= nil end

--- Random numbers of a seed; the same on every machine.
function text.random(seed)
  local state = (seed * 2654435761 + 1013904223) & 0x7fffffff
  local r = {}
  function r.int(n)
    state = (state * 1103515245 + 12345) & 0x7fffffff
    return (state >> 8) % n + 1
  end
  function r.chance(percent) return r.int(100) <= percent end
  function r.pick(list) return list[r.int(#list)] end
  function r.seed() return r.int(1000000) end
  return r
end

-- --- expressions ---
-- {is="lit", v}  {is="code", code, refs, noise}  {is="tab", {key, E}…, list=}  {is="meta", tab, mt}  {is="fn", tag, refs, method}  {is="name", of=item, path}

local function lit(r)
  local n = r.int(10)
  if n <= 5 then return { is = "lit", v = r.int(900) } end
  if n <= 8 then return { is = "lit", v = "s" .. r.int(900) } end
  if n == 9 then return { is = "lit", v = r.int(900) + 0.5 } end
  return { is = "lit", v = r.chance(50) }
end
text.lit = lit

function text.word(v, quote)
  if type(v) == "string" then return (quote or '"') .. v .. (quote or '"') end
  return tostring(v)
end

local function key(k, quote)
  if type(k) == "string" and k:match("^[%a_][%w_]*$") then return k, "." .. k end
  local inside = "[" .. text.word(k, quote) .. "]"
  return inside, inside
end
text.key = key

-- How the path of a place names a key (as the looks in inside.lua do).
local function step(k) return "." .. (select(2, key(k)):gsub("^%.", "")) end
text.step = step

local function names(refs)
  local list = {}
  for _, item in ipairs(refs or {}) do list[#list + 1] = "D(" .. item.reach .. item.name .. ")" end
  return list
end

local function body(E)
  local said = { '"' .. E.tag .. '"' }
  for _, name in ipairs(names(E.refs)) do said[#said + 1] = name end
  local more = E.body and E.body() .. " " or ""
  return ("(%s) if %s == '?' then return %s end %sreturn 0 end"):format(E.method and "self, q" or "q", E.method and "self" or "q",
    table.concat(said, ' .. ":" .. '), more)
end

--- The text of an expression. style: {quote, trail}
local function render(E, style)
  if E.is == "lit" then return text.word(E.v, style.quote) end
  if E.is == "code" then return E.code() end
  if E.is == "name" then return E.of.reach .. E.of.name .. (E.more or "") end
  if E.is == "fn" then return "function" .. body(E) end
  if E.is == "meta" then return "setmetatable(" .. render(E.tab, style) .. ", " .. render(E.mt, style) .. ")" end
  local parts = {}
  for _, field in ipairs(E) do
    local value = render(field[2], style)
    parts[#parts + 1] = E.list and value or key(field[1], style.quote) .. " = " .. value
  end
  if #parts == 0 then return "{}" end
  return "{ " .. table.concat(parts, ", ") .. (style.trail and "," or "") .. " }"
end
text.render = render
local plain = {}

--- Write down which expression gives each place at `path` and below.
local function give(E, path, places)
  if E.is == "meta" then
    give(E.tab, path, places)
    give(E.mt, path .. ".<meta>", places)
  elseif E.is == "tab" then
    places[path] = { table = true }
    for i, field in ipairs(E) do give(field[2], path .. step(E.list and i or field[1]), places) end
  else
    local refs = {}
    if E.is == "code" then for _, item in ipairs(E.refs or {}) do refs[#refs + 1] = item.path() end end
    if E.is == "name" then refs[1] = E.of.path() end
    places[path] = { giver = render(E, plain), refs = refs, fn = E.is == "fn", noise = E.noise, own = E.own, alias = E.is == "name" }
  end
end
text.give = give

-- --- shapes: expressions that people keep state in ---

local function fn(ctx, method)
  local refs = {}
  for _, item in ipairs(ctx.items) do
    if item.where and #refs < 2 and ctx.r.chance(15) then refs[#refs + 1] = item end
  end
  return { is = "fn", tag = "t" .. ctx.r.int(100000), refs = refs, method = method }
end
text.fn = fn

local function list(r, rows)
  local E = { is = "tab", list = true }
  for i = 1, r.int(4) - 1 do
    E[i] = { i, rows and { is = "tab", { "id", { is = "lit", v = r.int(900) } }, { "name", lit(r) } } or lit(r) }
  end
  E.rows = rows
  return E
end

local keys = { "alpha", "beta", "gamma", "delta", "with space", 10, 12.5, "end_" }
local function map(ctx, depth, functions)
  local r, E, used = ctx.r, { is = "tab" }, {}
  for _ = 1, r.int(4) - (depth > 2 and 0 or 1) do
    local k = r.pick(keys)
    if not used[k] then
      used[k] = true
      local n = r.int(10)
      local value
      if functions and n <= 2 then value = fn(ctx)
      elseif depth < 4 and n <= 5 then value = map(ctx, depth + 1, functions)
      elseif n == 6 then value = list(r, r.chance(40))
      else value = lit(r) end
      E[#E + 1] = { k, value }
    end
  end
  return E
end

local function code(make, refs, noise) return { is = "code", code = make, refs = refs, noise = noise } end
local function constant(s) return function() return s end end

local shapes = {}
text.shapes = shapes
function shapes.prim(ctx) return lit(ctx.r) end
function shapes.map(ctx) return map(ctx, 1, false) end
function shapes.dispatch(ctx) return map(ctx, 1, true) end
function shapes.list(ctx) return list(ctx.r, false) end
function shapes.rows(ctx) return list(ctx.r, true) end
function shapes.noise() return code(constant("math.random(10 ^ 13 // 1 | 0, 10 ^ 14 // 1 | 0)"), nil, true) end
function shapes.thread() return code(constant("coroutine.create(function() coroutine.yield(1) end)"), nil, true) end
function shapes.handle() return code(constant('io.open("/dev/null")'), nil, true) end
function shapes.weak(ctx) -- what is collected is not the same at the same time in a session and in its model, so it holds no tables
  return { is = "meta", tab = { is = "tab", { "alpha", lit(ctx.r) }, { "beta", lit(ctx.r) } }, mt = { is = "tab", { "__mode", { is = "lit", v = ctx.r.pick({ "k", "v" }) } } } }
end
function shapes.default(ctx)
  return { is = "meta", tab = map(ctx, 4, false), mt = { is = "tab", { "__index", fn(ctx) } } }
end
function shapes.meta(ctx)
  return { is = "meta", tab = map(ctx, 3, true), mt = { is = "tab", { "__index", map(ctx, 3, true) } } }
end
-- A store with a method that adds to it.
function shapes.store(ctx)
  local tag = ctx.r.int(100000)
  return { is = "tab", { "items", list(ctx.r, false) }, { "count", { is = "lit", v = 0 } },
    { "add", { is = "fn", tag = "add" .. tag, method = true, body = function()
      return "self.items[#self.items + 1] = q self.count = self.count + 1" end } } }
end
function shapes.big(ctx)
  local E = { is = "tab" }
  for i = 1, ctx.r.chance(2) and 12000 or ctx.r.chance(20) and 400 or 20 do E[i] = { "w" .. i, { is = "lit", v = "text" .. i } } end
  return E
end
function shapes.counter(ctx)
  local start = ctx.r.int(50)
  return code(function()
    return ("(function() local n = %d return function(q) if q == '?' then return 'n' .. n end n = n + 1 return n end end)()"):format(start)
  end)
end
function shapes.varargs(ctx)
  local a, b = ctx.r.int(9), ctx.r.int(9)
  return code(function()
    return ("(function(...) local held = { ... } return function(q) if q == '?' then return 'v' .. table.concat(held, ',') end held[#held + 1] = 7 end end)(%d, %d)")
      :format(a, b)
  end)
end
function shapes.memo(ctx)
  local n = ctx.r.int(100000)
  return code(function()
    return ("(function(f) local seen = {} return function(q) if q == '?' then return D(seen) .. f(1) end seen[q] = seen[q] or f(q) return seen[q] end end)" ..
      "(function(x) return 'm%d' .. x end)"):format(n)
  end)
end
function shapes.derived(ctx)
  local from = {}
  for _, item in ipairs(ctx.items) do
    if item.kind == "constant" or item.shape == "prim" then from[#from + 1] = item end
  end
  if #from == 0 then return lit(ctx.r) end
  local item, unit = ctx.r.pick(from), ctx.r.int(9)
  ctx.needs[#ctx.needs + 1] = item.id
  return code(function() return ('tostring(%s%s) .. "u%d"'):format(item.reach, item.name, unit) end, { item })
end
function shapes.functions(ctx)
  local E = { is = "tab", list = true, functions = true }
  for i = 1, ctx.r.int(3) do E[i] = { i, fn(ctx) } end
  return E
end
-- A function of another file, copied (H49 5).
function shapes.copy(ctx)
  local from = {}
  for _, item in ipairs(ctx.others) do if item.kind == "fn" and item.where == "M" then from[#from + 1] = item end end
  if #from == 0 then return lit(ctx.r) end
  local item = ctx.r.pick(from)
  return { is = "code", copy = true, code = function() return ('require("%s").%s'):format(item.file, item.name) end }
end
function shapes.once(ctx, item) -- G = G or …
  local inner = ctx.r.chance(50) and lit(ctx.r) or map(ctx, 3, false)
  return { is = "code", own = true, code = function() return item.name .. " or " .. render(inner, plain) end }
end
function shapes.keep(ctx, item)
  local inner = map(ctx, 3, false)
  return { is = "code", code = function() return ('session:keep("%s%d", %s)'):format(item.file, item.id, render(inner, plain)) end }
end

-- --- edits of an expression ---

local edit
local function edit_table(E, ctx)
  local r = ctx.r
  local n = r.int(10)
  if n <= 2 and #E > 0 then
    table.remove(E, r.int(#E))
  elseif n <= 4 and #E < 12000 then
    if E.list then
      E[#E + 1] = { #E + 1, E.functions and fn(ctx) or E.rows and { is = "tab", { "id", { is = "lit", v = r.int(900) } }, { "name", lit(r) } } or lit(r) }
    else
      local k = r.pick(keys)
      for _, field in ipairs(E) do
        if field[1] == k then
          field[2] = edit(field[2], ctx)
          return E
        end
      end
      table.insert(E, r.int(#E + 1), { k, lit(r) })
    end
  elseif #E > 0 then
    local field = r.pick(E)
    field[2] = edit(field[2], ctx)
  else
    return E, false
  end
  return E
end

--- An expression with something in it edited; may be the same table. A second result of false: nothing can be.
function edit(E, ctx)
  local r = ctx.r
  if E.is == "tab" then return edit_table(E, ctx) end
  if E.is == "lit" then
    local other = lit(r)
    while other.v == E.v do other = lit(r) end
    return other
  end
  if E.is == "fn" then
    local other = fn(ctx, E.method)
    other.body = E.body
    return other
  end
  if E.is == "meta" then
    if r.chance(60) then E.tab = edit(E.tab, ctx) else E.mt = edit(E.mt, ctx) end
    return E
  end
  if E.noise then return lit(r) end
  return E, false
end
text.edit = edit

return text
