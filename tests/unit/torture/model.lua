-- The plain model of a session: what H48 to H56 and R18 say must become of each place when a file is saved.
--
-- A model runs the very texts that a session runs, in an environment of its own, so that it need not know what they mean; of which expression gives which place it is
-- told by the generator (text.lua). C is what stands, S what the execution before gave, N what this one gave.
local text = require("text")

local Model = {}
Model.__index = Model

local function is_data(v) return v ~= nil and type(v) ~= "function" end

-- Is there a value in it, so that it must be named when it goes? Of tables that hold functions only, or nothing, the rule does not say.
local function holds_data(v, seen)
  if type(v) ~= "table" then return type(v) ~= "function" and type(v) ~= "thread" and type(v) ~= "userdata" end
  if seen[v] then return false end
  seen[v] = true
  for _, x in next, v do if holds_data(x, seen) then return true end end
  return false
end

local inside = assert(io.open("tests/unit/torture/inside.lua")):read("a")

function Model.new()
  local env = { package = { loaded = {} }, math = math, string = string, table = table, debug = debug, coroutine = coroutine, io = io, type = type, next = next, pairs = pairs,
    ipairs = ipairs, tostring = tostring, rawget = rawget, rawset = rawset, rawequal = rawequal, select = select, setmetatable = setmetatable, getmetatable = getmetatable,
    pcall = pcall, error = error, assert = assert }
  env._G = env
  local self = setmetatable({ env = env, files = {}, protos = {}, keeps = {}, runs = 0 }, Model)
  function env.require(name) return env.package.loaded[name] end
  env.session = { reloading = false }
  function env.session.prototype(_, name, fields)
    local P = self.protos[name]
    if not P then
      P = { type = name, new = function() end }
      P.__index = P
      self.protos[name] = P
    end
    for k, v in pairs(fields) do if P[k] == nil then P[k] = v end end
    return P
  end
  function env.session.keep(_, name, default)
    if self.keeps[name] == nil then self.keeps[name] = default end
    return self.keeps[name]
  end
  assert(load(inside, "=inside", "t", env))()
  return self
end

function Model:eval(code)
  return pcall(assert(load(code, "=act", "t", self.env)))
end

-- --- values ---

-- A copy of what hangs together, in one memo; functions, threads and files are themselves. The copies of metatables stand beside.
local metas = setmetatable({}, { __mode = "k" })
local function copy(v, memo)
  if type(v) ~= "table" then return v end
  if memo[v] then return memo[v] end
  local new = {}
  memo[v] = new
  for k, x in next, v do new[k] = copy(x, memo) end
  local meta = getmetatable(v)
  if meta then metas[new] = copy(meta, memo) end
  return new
end
local function fields_of(t)
  local fields = {}
  for k, v in next, t or {} do fields[k] = v end
  return fields
end

-- Is the value what was recorded? Of the functions in tables only that they are there: they are no data.
local function same(v, s, seen) -- s is a record or a value
  if type(v) ~= "table" or type(s) ~= "table" then return rawequal(v, s) or v == s and type(v) ~= "table" and math.type(v) == math.type(s) end
  if seen[v] then return true end
  seen[v] = true
  for k, x in next, v do
    local y = rawget(s, k)
    if y == nil or not (type(x) == "function" and type(y) == "function" or same(x, y, seen)) then return false end
  end
  for k in next, s do if rawget(v, k) == nil then return false end end
  return same(getmetatable(v), metas[s] or getmetatable(s), seen)
end

-- A list of data, or an empty table.
local function is_list(t, seen)
  local n = 0
  for _ in next, t do n = n + 1 end
  if n ~= #t then return false end
  local function data(v)
    if type(v) == "function" then return false end
    if type(v) ~= "table" or seen[v] then return true end
    seen[v] = true
    for _, x in next, v do if not data(x) then return false end end
    return true
  end
  return data(t)
end

local function upvalues(f)
  local i = 0
  return function()
    i = i + 1
    local name, value = debug.getupvalue(f, i)
    if name then return i, name, value end
  end
end

-- --- what the texts say of a place ---

local NONE, UNKNOWN, USES, EDITED = 0, 1, 2, 3

local Rule = {} -- one execution of a file
Rule.__index = Rule

function Rule:old_giver(path, since) return (since or self.old).places[path] or self.file.lost[path] end

-- The edit of the place itself since a version, which is the last one that gave it.
function Rule:edit(path, since)
  since = since or not self.old.places[path] and self.file.lost_version[path] or self.old
  local old, new = self:old_giver(path, since), self.new.places[path]
  if not old and not new then return self:rest(path, since) end
  if not old or not new then return EDITED end
  if old.table and new.table then return NONE end
  if old.table or new.table or old.giver ~= new.giver then return EDITED end
  for _, ref in ipairs(new.refs) do
    if not new.fn and not new.alias and self:data_edited(ref, since) then return USES end
  end
  return NONE
end

-- The edit of a place that no text gives: what the place above leaves to it.
function Rule:rest(path, since)
  local above = path:match("^(.*)%.%[[^%[]*%]$") or path:match("^(.*)%.[^%.]*$")
  if not above or above == "L" or above == "G" or above == "P" then return NONE end
  local old, new = self:old_giver(above, since), self.new.places[above]
  if not old and not new then return self:rest(above, since) end
  if not old or not new or old.giver ~= new.giver then return EDITED end
  return since.open[above] == self.new.open[above] and NONE or UNKNOWN
end

-- Each path at or below one that a version gives; made once a version.
local function under(version, path)
  if not version.under then
    version.under = {}
    for p in pairs(version.places) do
      local above = p
      while above do
        local list = version.under[above] or {}
        list[#list + 1] = p
        version.under[above] = list
        above = above:match("^(.*)%.%[[^%[]*%]$") or above:match("^(.*)%.[^%.]*$")
      end
    end
  end
  return version.under[path] or {}
end

local function is_below(p, path) return p == path or p:sub(1, #path + 1) == path .. "." end
local function below(path, places)
  local list = {}
  for p in pairs(places) do if is_below(p, path) then list[#list + 1] = p end end
  return list
end

function Rule:data_edited(path, since)
  local asked = self.asked[since] or {}
  self.asked[since] = asked
  if asked[path] == nil then
    asked[path] = false -- of a ring
    for _, version in ipairs({ since, self.new }) do
      for _, p in ipairs(under(version, path)) do
        local giver = version.places[p]
        if not giver.fn and not giver.alias and self:edit(p, since) >= USES then asked[path] = true end
      end
    end
  end
  return asked[path]
end

-- The strongest edit at and below a place.
function Rule:within(path)
  local strongest = self:edit(path)
  for _, p in ipairs(under(self.old, path)) do strongest = math.max(strongest, self:edit(p)) end
  for _, p in ipairs(under(self.new, path)) do strongest = math.max(strongest, self:edit(p)) end
  for p in pairs(self.file.lost) do if is_below(p, path) then strongest = math.max(strongest, self:edit(p)) end end
  if self.old.open[path] ~= self.new.open[path] then strongest = math.max(strongest, UNKNOWN) end
  return strongest
end

-- --- the rule ---

-- The run's data at a place gives way to the file's.
function Rule:gave(path, C, S, N)
  local giver = self.new.places[path] or self:old_giver(path)
  if giver and giver.noise then self.vague = true end
  local before = self:old_giver(path)
  if before and before.noise then self.vague = true end
  if is_data(C) and not same(C, S, {}) and not same(C, N, {}) then self.gave_way = path end
end

-- What its inner variables hold goes on.
function Rule:join(N, C, seen)
  if seen[N] or debug.getinfo(N, "S").what == "C" or debug.getinfo(C, "S").what == "C" then return end
  seen[N] = true
  if string.dump(N, true) ~= string.dump(C, true) then return end
  for i, name, value in upvalues(N) do
    local id = debug.upvalueid(N, i) -- a variable of the top level may be the one of before by now
    if name ~= "_ENV" and not self.cells[id] and not self.old_cells[id] and not self.old_cells[debug.upvalueid(C, i)] then
      local _, before = debug.getupvalue(C, i)
      if type(value) == "function" and type(before) == "function" then
        self:join(value, before, seen) -- code follows the file, inside of others as well
      else
        debug.upvaluejoin(N, i, C, i)
      end
    end
  end
end

function Rule:merge(path, C, S, N)
  local e = self:edit(path)
  if type(N) == "function" then
    if type(C) == "function" then
      self:join(N, C, {})
      if C ~= N then self.successors[C] = N end
      return N
    end
    if C == nil then return N end
    if e >= USES then
      self:gave(path, C, S, N)
      return N
    end
    return (same(C, S, {}) and N or C)
  end
  -- A function that the file gave goes with its text; one that the run has put there is the run's, as data is.
  if type(C) == "function" and rawequal(C, S) then return N end
  if type(C) == "table" and type(N) == "table" then
    -- A table that a variable holds is merged as that one; if the variable is new, as what it has become by another way.
    local name = self.named[N]
    if name and name ~= path and self.known[name] then return C end
    if C ~= N then self:merge_tables(name or path, C, type(S) == "table" and S or {}, N) end
    return C
  end
  if e >= USES or e == UNKNOWN and not same(N, S, {}) then
    self:gave(path, C, S, N)
    return N
  end
  return C
end

function Rule:merge_tables(path, C, S, N)
  if self.merged[N] then return end
  self.merged[N] = C
  if is_list(C, {}) and is_list(N, {}) and not getmetatable(N) then
    local within = self:within(path)
    if within >= USES or within == UNKNOWN and not same(N, S, {}) then
      self:gave(path, C, S, N)
      for k in next, C do C[k] = nil end
      for i, v in ipairs(N) do C[i] = v end
    end
    return
  end
  local keys = {}
  for k in next, C do keys[k] = true end
  for k in next, N do keys[k] = true end
  for k in next, keys do self:merge_key(path .. text.step(k), k, C, S, N) end
  -- A metatable is one key more.
  local C_meta, N_meta = { meta = getmetatable(C) }, { meta = getmetatable(N) }
  if C_meta.meta or N_meta.meta then
    self:merge_key(path .. ".<meta>", "meta", C_meta, { meta = metas[S] }, N_meta)
    setmetatable(C, C_meta.meta)
  end
end

function Rule:merge_key(path, k, C, S, N)
  local c, s, n = rawget(C, k), rawget(S, k), rawget(N, k)
  c, s = self:come_back(path, c, s, n)
  if c ~= nil and n ~= nil then
    rawset(C, k, self:merge(path, c, s, n))
  elseif n ~= nil then
    local e = self:edit(path)
    if s == nil or type(n) == "function" or e >= USES or e == UNKNOWN and not same(n, s, {}) then rawset(C, k, n) end
  else
    self:lose(path, k, C, c, s)
  end
end

-- R18: the text gives a place again whose value was set aside, or was kept when the text lost it.
function Rule:come_back(path, c, s, n)
  local file = self.file
  if not self.new.places[path] or not file.lost_S[path] then return c, s end
  self.returned[path] = true
  if c == nil and file.aside[path] ~= nil then
    c = file.aside[path]
    if self:within(path) > NONE then -- it comes back to give way, or a part of it
      self.vague, self.vague_restored = true, true
    elseif holds_data(c, {}) and (type(n) ~= "function" or not same(c, file.lost_S[path].v, {})) then
      self.restored = path -- unless a function of the file takes its place
    else
      self.vague_restored = true
    end
  end
  return c, file.lost_S[path].v
end

function Rule:put_aside(path, c)
  if type(c) == "thread" or type(c) == "userdata" then
    self.vague_aside = true
    return
  end
  self.file.aside[path] = c
  local giver = self:old_giver(path)
  if giver and giver.alias or self.file.lost[path] then self.vague_aside = true return end
  if holds_data(c, {}) then self.set_aside = path else self.vague_aside = true end
end

-- A key of C that N has not.
function Rule:lose(path, k, C, c, s)
  if s == nil then return end
  local old, new = self:old_giver(path), self.new.places[path]
  local above = path:match("^(.*)%.%[[^%[]*%]$") or path:match("^(.*)%.[^%.]*$")
  local only_open = not old and not new and self.old.open[above] ~= self.new.open[above]
  if not (old and not new) and not only_open then return end
  local stood = same(c, s, {}) or old and old.alias == "M" and c == self.file.value -- the line gave the module, whatever is in it
  if old and not (stood and type(c) == "function") then self.losing[path] = { v = s } end
  if stood then
    rawset(C, k, nil)
    if is_data(c) and old then
      self:put_aside(path, c)
    end
  end
end

-- --- an execution ---

-- What a file's places hold now: variables of its top level by name, and its cells.
local function look(env, name)
  local peek = rawget(env, "PEEK_" .. name)
  local found = { peek = peek, values = {}, index = {}, cells = {} }
  if not peek then return found end
  for i, what, value in upvalues(peek) do
    if what ~= "_ENV" then
      found.values[what] = value
      found.index[what] = i
      found.cells[debug.upvalueid(peek, i)] = what
    end
  end
  return found
end

-- Everything that can be reached, once; visit(value) gives what is to stand there instead.
local plain = { ["nil"] = true, number = true, string = true, boolean = true, thread = true, userdata = true }
function Model:walk(visit, more)
  local seen, waiting = {}, { self.protos, more }
  local function wait(v)
    local to = visit(v)
    if not seen[to] then
      seen[to] = true
      waiting[#waiting + 1] = to
    end
    return to
  end
  local env = self.env
  for k, v in pairs(env) do
    if not plain[type(v)] and not Model.libraries[k] then env[k] = wait(v) end
  end
  while #waiting > 0 do
    local v = table.remove(waiting)
    if type(v) == "table" then
      for k, x in next, v do
        if not plain[type(x)] then
          local to = wait(x)
          if to ~= x then rawset(v, k, to) end
        end
      end
      local meta = getmetatable(v)
      if meta then
        local to = wait(meta)
        if to ~= meta then setmetatable(v, to) end
      end
    else
      for i, name, x in upvalues(v) do
        if name == "" then break end -- C
        if not plain[type(x)] and name ~= "_ENV" then
          local to = wait(x)
          if to ~= x then debug.setupvalue(v, i, to) end
        end
      end
    end
  end
end
Model.libraries = { _G = true, session = true, require = true, math = true, string = true, table = true, debug = true, coroutine = true, io = true }

-- The functions that the present execution of a file has made.
function Model:fresh(name, value)
  local source, list = "=" .. name .. "#" .. self.runs, {}
  self:walk(function(v)
    if type(v) == "function" and debug.getinfo(v, "S").source == source then list[#list + 1] = v end
    return v
  end, { value })
  return list
end

local root_values

--- Run the text of a version and apply the rule. → { gave_way, set_aside, restored, vague } or nil and an error: the text raised
function Model:run(name, version, key)
  local env, file = self.env, self.files[name]
  self.runs = self.runs + 1
  -- All in one line: a function whose text is the same is told by its code (Rule:join), and that has lines in it.
  local text_of = version.text:gsub("^%-%-[^\n]*", ""):gsub("\n", " ")
  local chunk = assert(load(text_of, "=" .. name .. "#" .. self.runs, "t", env))
  local before = look(env, name)
  local globals, spaces, statics = {}, {}, {}
  for g in pairs(version.globals) do globals[g] = rawget(env, g) end
  for g in pairs(version.spaces) do spaces[g] = fields_of(rawget(env, g)) end
  for p in pairs(version.protos) do statics[p] = fields_of(self.protos[p]) end
  env.session.reloading = file ~= nil
  local ok, value = pcall(chunk, name, key)
  env.session.reloading = false
  if not ok then return nil, value end
  local loaded = env.package.loaded
  if value == nil then value = (loaded[name] ~= nil and (not file or loaded[name] ~= file.value)) and loaded[name] or file and file.value or true end
  local now = look(env, name)
  local given = { version = version, value = value, now = now, name = name }
  local S = root_values(self, given)
  if not file then
    self.files[name] = { version = version, value = value, S = S, lost = {}, lost_version = {}, lost_S = {}, aside = {} }
    loaded[name], loaded[key] = value, value
    return {}
  end
  local rule = setmetatable({ model = self, file = file, old = file.version, new = version, cells = now.cells, old_cells = before.cells, merged = {}, asked = {},
    successors = {}, returned = {}, losing = {}, named = {}, known = {}, fresh = self:fresh(name, value) }, Rule)
  rule:apply(given, before, globals, spaces, statics)
  file.value = type(file.value) == "table" and type(value) == "table" and file.value or value
  loaded[name], loaded[key] = file.value, file.value
  rule:replace(name)
  rule:remember(S)
  file.version = version
  return rule
end

-- S: copies of what the execution gave, by the path of the root.
function root_values(model, given)
  local S, memo = {}, {}
  for what in pairs(given.now.index) do S["L." .. what] = copy(given.now.values[what], memo) end
  S["M"] = copy(given.value, memo)
  for g in pairs(given.version.globals) do S["G." .. g] = copy(rawget(model.env, g), memo) end
  for p in pairs(given.version.protos) do
    for k, v in pairs(model.protos[p]) do
      if type(k) == "string" and k:match("^[sm]_") then S["P." .. p .. "." .. k] = copy(v, memo) end
    end
  end
  for g in pairs(given.version.spaces) do
    for k, v in pairs(model.env[g]) do
      local path = "G." .. g .. text.step(k)
      if given.version.places[path] then S[path] = copy(v, memo) end
    end
  end
  return S
end

function Rule:apply(given, before, globals, spaces, statics)
  local env, file, now, S = self.model.env, self.file, given.now, self.file.S
  local result, work = {}, {}
  self.known.M = true
  for what, N in pairs(now.values) do if type(N) == "table" then self.named[N] = what == "M" and "M" or "L." .. what end end
  for what in pairs(now.index) do
    local path, N = "L." .. what, now.values[what]
    local C, s = before.values[what], S[path]
    local known = before.index[what] ~= nil
    if not known then
      local c, old = self:come_back(path, nil, nil, N)
      if c ~= nil then known, C, s = true, c, old end
    end
    self.known[path] = known
    result[what] = N
    if what == "M" then -- the module's table; see below
      if type(file.value) == "table" then result[what] = file.value end
    elseif known then
      work[#work + 1] = function() result[what] = self:merge(path, C, s, N) end
    end
  end
  for _, f in ipairs(work) do f() end
  if type(file.value) == "table" and type(given.value) == "table" and file.value ~= given.value then self:merge_tables("M", file.value, S["M"], given.value) end
  for what, i in pairs(now.index) do
    local v = result[what]
    if before.index[what] and not (type(v) == "function" and v == now.values[what]) then self:adopt(now.peek, i, before.peek, before.index[what]) end
    debug.setupvalue(now.peek, i, v)
  end
  for what, i in pairs(before.index) do
    if not now.index[what] then
      local path = "L." .. what
      local _, c = debug.getupvalue(before.peek, i)
      self.losing[path] = { v = S[path] }
      if is_data(c) then
        self:put_aside(path, c)
      end
    end
  end
  for g in pairs(self.new.globals) do
    local path = "G." .. g
    local C, s, N = globals[g], S[path], rawget(env, g)
    if not self.new.protos[g] then
      C, s = self:come_back(path, C, s, N)
      local had = self:old_giver(path) ~= nil or C ~= nil
      local giver = self.new.places[path]
      if giver and giver.own and self:edit(path) == NONE then
        had = false -- `G = G or x`: the file has looked at the run's value itself
      end
      if had and C == nil and s ~= nil then
        -- The run took it away.
        local e = self:edit(path)
        if not (type(N) == "function" or e >= USES) then rawset(env, g, nil) end
      elseif had then
        rawset(env, g, self:merge(path, C, s, N))
      end
    end
  end
  for g in pairs(self.old.globals) do
    local path = "G." .. g
    if not self.new.globals[g] and self.old.places[path] then self.losing[path] = { v = S[path] } end
  end
  self:apply_fields(spaces, "G.", function(g) return env[g] end)
  self:apply_fields(statics, "P.", function(p) return self.model.protos[p] end)
end

-- Tables that the chunk has written into: what it gave is what the text gives; before is a copy of their fields from before it ran.
function Rule:apply_fields(tables, prefix, live)
  for name, fields in pairs(tables) do
    local target = live(name)
    local paths = {}
    for p in pairs(self.new.places) do
      local k = p:match("^" .. prefix .. name .. "%.([%w_]+)$")
      if k then paths[k] = true end
    end
    for k in pairs(paths) do
      local path = prefix .. name .. "." .. k
      local c, s, n = rawget(fields, k), self.file.S[path], rawget(target, k)
      c, s = self:come_back(path, c, s, n)
      if c ~= nil then
        rawset(target, k, self:merge(path, c, s, n))
      elseif s ~= nil and type(n) ~= "function" and self:edit(path) < USES then
        rawset(target, k, nil)
      end
    end
  end
end

-- The new functions refer to the old variable.
function Rule:adopt(new, i, old, j)
  local id = debug.upvalueid(new, i)
  for _, f in ipairs(self.fresh) do
    for k in upvalues(f) do if debug.upvalueid(f, k) == id then debug.upvaluejoin(f, k, old, j) end end
  end
end

-- H49 4 and 5: one table, one identity; copies of functions in the places of other files follow.
function Rule:replace(name)
  local merged, successors = self.merged, self.successors
  self.model:walk(function(v) return merged[v] or v end)
  if not next(successors) then return end
  local seen = {}
  local function go(t)
    if type(t) ~= "table" or seen[t] then return end
    seen[t] = true
    for k, v in next, t do
      if successors[v] then rawset(t, k, successors[v]) else go(v) end
    end
    go(getmetatable(t))
  end
  for _, v in pairs(self.file.aside) do go(v) end
  for other, file in pairs(self.model.files) do
    if other ~= name then
      go(file.value)
      go(file.S)
      local now = look(self.model.env, other)
      for what, v in pairs(now.values) do
        if successors[v] then debug.setupvalue(now.peek, now.index[what], successors[v]) else go(v) end
      end
      for g in pairs(file.version.globals) do
        local v = rawget(self.model.env, g)
        if successors[v] then rawset(self.model.env, g, successors[v]) else go(v) end
      end
    end
  end
end

-- What the next execution is compared with.
function Rule:remember(S)
  local file = self.file
  for path in pairs(self.returned) do
    for _, p in ipairs(below(path, file.lost)) do file.lost[p], file.lost_version[p] = nil, nil end
    file.lost_S[path], file.aside[path] = nil, nil
  end
  for path, s in pairs(self.losing) do
    for _, p in ipairs(under(self.old, path)) do file.lost[p], file.lost_version[p] = self.old.places[p], self.old end
    for _, p in ipairs(below(path, file.S)) do file.lost_S[p] = { v = file.S[p] } end
    file.lost_S[path] = s
  end
  file.S = S
end

return Model
