-- What the runs and the looks of a story use. It runs in each session and in each model of one, so that both are asked in the same words.

HOLD = {} -- what somebody keeps a hold of: old functions, tables, instances

local serials, last = setmetatable({}, { __mode = "k" }), 0

-- A value in one word. Numbers from math.random and what has no content differ between a session and its model: they stand between @ signs.
local function word(v)
  local kind = math.type(v) or type(v)
  if kind == "string" then return string.format("%q", v) end
  if kind == "integer" and v > 10 ^ 12 then return "@n" .. v .. "@" end
  if kind == "thread" or kind == "userdata" then
    if not serials[v] then last = last + 1 serials[v] = last end
    return "@" .. kind .. serials[v] .. "@" .. (kind == "thread" and coroutine.status(v) or "")
  end
  return tostring(v)
end

-- A value as the functions of the site tell it: short, and without looking far.
function D(v)
  if type(v) == "table" then
    local n = 0
    for _ in next, v do n = n + 1 end
    return "{" .. n .. "}"
  end
  return type(v) == "function" and "fn" or word(v)
end

local function key_word(k)
  return type(k) == "string" and k:match("^[%a_][%w_]*$") or "[" .. word(k) .. "]"
end

local function sorted_keys(t)
  local keys = {}
  for k in next, t do keys[#keys + 1] = k end
  table.sort(keys, function(a, b)
    local ta, tb = type(a), type(b)
    if ta ~= tb then return ta < tb end
    if ta == "number" or ta == "string" then return a < b end
    return tostring(a) < tostring(b)
  end)
  return keys
end

-- What a large table of data holds, in one line, whatever the order.
local function sum(t)
  local n, s = 0, 0
  for k, v in next, t do
    if type(v) == "table" or type(v) == "function" then return nil end
    local text = "  " .. tostring(k) .. word(v)
    n = n + 1
    s = (s + #text * 65599 + text:byte(-1) + text:byte(-2) * 31 + text:byte(-3) * 1009) & 0xffffffff
  end
  return n > 100 and n .. " fields, sum " .. s or nil
end

local function add(lines, seen, path, v)
  local kind = type(v)
  if kind ~= "table" and kind ~= "function" then
    lines[#lines + 1] = path .. " = " .. word(v)
    return
  end
  if seen[v] then
    lines[#lines + 1] = path .. " = ^" .. seen[v]
    return
  end
  seen[v] = path
  if kind == "function" then
    if debug.getinfo(v, "S").what == "C" then
      lines[#lines + 1] = path .. " = C function"
    else
      local ok, said = pcall(v, "?")
      lines[#lines + 1] = path .. " = fn " .. (not ok and "fails" or type(said) == "string" and said or D(said))
    end
    return
  end
  local large = #lines > 0 and next(v) ~= nil and sum(v)
  lines[#lines + 1] = path .. " = " .. (large or "{}")
  if large then return end
  local proto = type(rawget(v, "type")) == "string" and rawget(v, "new") ~= nil
  for _, k in ipairs(sorted_keys(v)) do
    if not proto or type(k) == "string" and k:match("^[sm]_") then add(lines, seen, path .. "." .. key_word(k), v[k]) end
  end
  local meta = not proto and debug.getmetatable(v)
  if meta then add(lines, seen, path .. ".<meta>", meta) end
end

-- Everything that can be seen of the files: a place a line.
function DUMP(files, globals)
  local lines, seen = {}, {}
  for _, name in ipairs(files) do
    local peek = rawget(_G, "PEEK_" .. name)
    local found, order = {}, {}
    for i = 1, 255 do
      local what, value = debug.getupvalue(peek, i)
      if not what then break end
      if what ~= "_ENV" then
        order[#order + 1] = what
        found[what] = value
      end
    end
    table.sort(order)
    add(lines, seen, name, package.loaded[name])
    for _, what in ipairs(order) do add(lines, seen, name .. ":" .. what, found[what]) end
  end
  for _, name in ipairs(globals) do add(lines, seen, "_G." .. name, rawget(_G, name)) end
  for i = 1, #HOLD do add(lines, seen, "HOLD." .. i, HOLD[i]) end
  return table.concat(lines, "\n")
end

-- Variables of a file's top level.
local function variable(file, name)
  local peek = rawget(_G, "PEEK_" .. file)
  for i = 1, 255 do
    local what, value = debug.getupvalue(peek, i)
    if what == name then return peek, i, value end
    if not what then error("no variable " .. name) end
  end
end
function GETL(file, name) return (select(3, variable(file, name))) end
function SETL(file, name, value)
  local peek, i = variable(file, name)
  debug.setupvalue(peek, i, value)
end
