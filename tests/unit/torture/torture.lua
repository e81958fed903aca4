-- Stories: a random site, then random runs and random saves of it, each in as many sessions as the story has, and after each step a look at everything. A story is a
-- list of steps that need nothing of each other: what is not there is left out. So one that fails is made short by dropping steps.
package.path = "tests/unit/torture/?.lua"
local text, items, Model = require("text"), require("items"), require("model")

local FILES = { "a", "b", "main" } -- in the order in which a burst runs them
local function key(name) return "lua/" .. name .. ".lua" end
local inside = assert(io.open("tests/unit/torture/inside.lua")):read("a")
local told = os.getenv("TORTURE_STORY") ~= nil

local totals = { saves = 0, transactions = 0, stories = 0, ns = 0 }

-- --- what a story is at ---

local Story = {}
Story.__index = Story

function Story.new(sessions)
  local story = setmetatable({ files = {}, sessions = sessions, models = {}, step = 0 }, Story)
  for _, name in ipairs(FILES) do story.files[name] = { name = name, items = {}, gone = {}, style = {}, saved = 0 } end
  return story
end

function Story:find(name, id)
  for i, item in ipairs(self.files[name].items) do if item.id == id then return item, i end end
end

function Story:context(name, seed)
  local others = {}
  if name ~= "a" then for _, item in ipairs(self.files.a.items) do others[#others + 1] = item end end
  if name == "main" then for _, item in ipairs(self.files.b.items) do others[#others + 1] = item end end
  return { r = text.random(seed), items = self.files[name].items, others = others }
end

local function needed(file, id)
  for _, item in ipairs(file.items) do for _, need in ipairs(item.needs) do if need == id then return true end end end
  return false
end

-- Copies of functions of this item in other files: these would not load without it.
local function copied(story, name, item)
  for _, file in pairs(story.files) do
    if file.name ~= name then
      for _, other in ipairs(file.items) do
        if other.E and other.E.copy and other.E.code():find("%." .. item.name .. "$") then return true end
      end
    end
  end
  return false
end

-- --- differences ---

local function lines_of(dump)
  local list = {}
  for line in dump:gmatch("[^\n]+") do list[#list + 1] = line end
  return list
end

-- Is the line what the model says? What stands between @ signs is only the same as before, or not.
local function matches(want, got, tokens)
  if want == got then return true end
  local w, g = {}, {}
  local bare, other = want:gsub("@[^@]+@", function(t) w[#w + 1] = t return "@" end), got:gsub("@[^@]+@", function(t) g[#g + 1] = t return "@" end)
  if bare ~= other then return false end
  for i = 1, #w do
    if tokens[w[i]] == nil then tokens[w[i]] = g[i] end
    if tokens[w[i]] ~= g[i] then return false end
  end
  return true
end

local function difference(want, got, tokens)
  if matches(want, got, tokens) then return nil end
  local w, g, found = lines_of(want), lines_of(got), {}
  local index = {}
  for _, line in ipairs(g) do index[line:match("^(.-) = ")] = line end
  for _, line in ipairs(w) do
    local path = line:match("^(.-) = ")
    local have = index[path]
    if not have or not matches(line, have, tokens) then found[#found + 1] = ("  must be %s\n  but is  %s"):format(line, have or "not there") end
    index[path] = nil
  end
  for _, line in ipairs(g) do
    if index[line:match("^(.-) = ")] then found[#found + 1] = "  must not be there: " .. line end
  end
  if #found == 0 then return nil end
  return table.concat(found, "\n", 1, math.min(#found, 12))
end

local function fail(...) error({ torture = string.format(...) }, 0) end

local function json_text(s) return (s:gsub('^"(.*)"$', "%1"):gsub("\\(.)", function(c) return c == "n" and "\n" or c == "t" and "\t" or c end)) end

--- Compare everything in a session with its model.
function Story:look(s, after)
  local globals = {}
  for g in pairs(self.globals) do globals[#globals + 1] = g end
  table.sort(globals)
  local quoted = {}
  for i, g in ipairs(globals) do quoted[i] = '"' .. g .. '"' end
  local code = ('return DUMP({ "a", "b", "main" }, { %s })'):format(table.concat(quoted, ", "))
  local got, why = drive.eval(s, code)
  if not got then fail("session %d, after %s: the look fails: %s", s, after, why) end
  local ok, want = self.models[s]:eval(code)
  if not ok then fail("model %d, after %s: the look fails: %s", s, after, want) end
  local wrong = difference(want, json_text(got), self.models[s].tokens)
  if wrong then fail("session %d of %d, after %s:\n%s", s, self.sessions, after, wrong) end
end

-- --- steps ---

local steps = {}

function steps.add(story, step)
  local file = story.files[step.file]
  local item = items.new(step.file, step.kind, step.id, step.seed, story:context(step.file, step.seed))
  -- What writes into tables that are not the file's own stands at the end (see steps.save, "raises").
  local at = item.last and #file.items + 1 or math.min(#file.items, step.at or #file.items) + 1
  for i, other in ipairs(file.items) do
    if other.last and i < at and not item.last then at = i end
    for _, need in ipairs(item.needs) do if other.id == need and at <= i then at = i + 1 end end
  end
  table.insert(file.items, at, item)
end

function steps.edit(story, step)
  local item = story:find(step.file, step.id)
  if item then item.edit(story:context(step.file, step.seed)) end
end

function steps.rename(story, step)
  local item = story:find(step.file, step.id)
  if item and not item.no_rename and item.kind ~= "plugin" and not copied(story, step.file, item) and item.shape ~= "once" and item.shape ~= "keep" then
    item.name = "v" .. step.to
  end
end

function steps.remove(story, step)
  local item, i = story:find(step.file, step.id)
  local file = story.files[step.file]
  if not item or item.no_remove or needed(file, step.id) or copied(story, step.file, item) then return end
  -- What is new each time is never what it was, so nothing says whether the run has changed it.
  if item.E and item.E.noise and item.where ~= "L" then return end
  table.remove(file.items, i)
  file.gone[step.id] = { item = item, at = i, saved = file.saved }
end

function steps.back(story, step)
  local file = story.files[step.file]
  local gone = file.gone[step.id]
  if not gone or file.saved - gone.saved > 12 then return end -- R18: 20 saves
  for _, need in ipairs(gone.item.needs) do if not story:find(step.file, need) then return end end
  file.gone[step.id] = nil
  local at = math.min(gone.at, #file.items + 1)
  for i, other in ipairs(file.items) do
    if other.last and i < at and not gone.item.last then at = i end
    for _, need in ipairs(gone.item.needs) do if other.id == need and at <= i then at = i + 1 end end
  end
  table.insert(file.items, gone.item.last and #file.items + 1 or at, gone.item)
end

function steps.style(story, step)
  local r = text.random(step.seed)
  story.files[step.file].style = { quote = r.pick({ '"', "'" }), trail = r.chance(50), gaps = r.chance(50), indent = r.pick({ "", "  ", "\t" }),
    head = r.chance(70) and "version " .. r.int(1000) or nil }
end

-- How the file gives its value.
function steps.form(story, step) story.files[step.file].loaded = true end

-- What a run may do to a place of some shape: code, or nil.
local acts = {}
local function value(r) return text.word(text.lit(r).v) end
function acts.prim(r, _, set)
  if not set then return end
  local n = r.int(10)
  return n == 1 and set("nil") or n == 2 and set("{ run = " .. value(r) .. " }") or n == 3 and set("function(q) return 'run" .. r.int(99) .. "' end") or set(value(r))
end
-- To take away what stands as `G = G or …` asks for it to be made again.
function acts.value(r, _, set) return set(value(r)) end
function acts.fn(r, get, set)
  local n = r.int(4)
  return n == 1 and set("nil") or n == 2 and set(value(r)) or n == 3 and set("function(q) return 'run" .. r.int(99) .. "' end") or "HOLD[#HOLD + 1] = " .. get
end
function acts.list(r, get)
  return r.pick({ "table.insert(%s, V)", "table.insert(%s, V)", "table.insert(%s, 1, V)", "table.remove(%s)", "table.remove(%s, 1)", "if %s[1] ~= nil then %s[1] = V end",
    "for i = #%s, 1, -1 do %s[i] = nil end", "HOLD[#HOLD + 1] = %s" }):gsub("%%s", function() return get end):gsub("V", function() return value(r) end)
end
function acts.rows(r, get)
  return (r.pick({ "table.insert(%s, { id = N, name = V })", "table.insert(%s, { id = N, name = V })", "%s[1].name = V", "%s[#%s].id = N", "table.remove(%s, 1)" })
    :gsub("%%s", function() return get end):gsub("[NV]", function(c) return c == "N" and tostring(r.int(99)) or value(r) end))
end
function acts.map(r, get, set)
  if r.chance(12) and set then return set("{ run" .. r.int(9) .. " = " .. value(r) .. " }") end
  return acts.bare(r, get)
end
function acts.bare(r, get)
  return (r.pick({ "%s.runN = V", "%s.runN = V", "%s.runN = { V, V }", "%s.runN = nil", "%s.runN = function(q) return 'rN' end", "%s[N + 100] = V", "HOLD[#HOLD + 1] = %s",
    "for k, v in pairs(%s) do if type(v) ~= 'table' and type(v) ~= 'function' and k == 'beta' then %s[k] = V end end", "%s.alpha = nil" })
    :gsub("%%s", function() return get end):gsub("[NV]", function(c) return c == "N" and tostring(r.int(5)) or value(r) end))
end
function acts.functions(r, get)
  return r.pick({ "table.insert(%s, function(q) return 'run' end)", "HOLD[#HOLD + 1] = %s[1]", "table.remove(%s)" }):gsub("%%s", function() return get end)
end
function acts.thread(_, get) return "coroutine.resume(" .. get .. ")" end
function acts.subclass(r, get) return ("HOLD[#HOLD + 1] = setmetatable({ n = %s }, %s)"):format(value(r), get) end
function acts.weak(r, get) return get .. ".run" .. r.int(5) .. " = " .. value(r) end
function acts.call(_, get) return get .. "(1)" end
function acts.memo(r, get) return get .. "(" .. r.int(9) .. ")" end
function acts.store(r, get) return ("%s.add(%s, %s)"):format(get, get, value(r)) end
function acts.object(_, get) return "HOLD[#HOLD + 1] = " .. get end
function acts.class(r, get) return ("HOLD[#HOLD + 1] = %s.new(%d)"):format(get, r.int(99)) end
function acts.copy(_, get) return "HOLD[#HOLD + 1] = " .. get end

function steps.act(story, step)
  local item = story:find(step.file, step.id)
  if not story.loaded or not item or step.session > story.sessions then return end
  local choices, r = {}, text.random(step.seed)
  item.targets(function(get, shape, set) choices[#choices + 1] = { get, shape, set } end)
  if #choices == 0 then return end
  local choice = r.pick(choices)
  -- A file that copies a function must find one.
  if choice[2] == "fn" and copied(story, step.file, item) then choice[2] = "object" end
  local code = acts[choice[2]](r, choice[1], choice[3])
  if not code then return end
  code = "pcall(function() " .. code .. " end)"
  step.code = code
  local s = step.session
  local ok, why = drive.eval(s, code)
  if not ok then fail("session %d: %s: %s", s, code, why) end
  ok, why = story.models[s]:eval(code)
  if not ok then fail("model %d: %s: %s", s, code, why) end
end

-- The first load, in each session.
function steps.load(story, step)
  if story.loaded then return end
  local versions = {}
  for _, name in ipairs(FILES) do
    versions[name] = items.version(story.files[name])
    drive.write(key(name), versions[name].text)
    for g in pairs(versions[name].globals) do story.globals[g] = true end
  end
  step.texts = { a = versions.a.text, b = versions.b.text, main = versions.main.text }
  local ok, why = drive.open(story.sessions)
  if not ok then fail("main.lua: %s", why) end
  for s = 1, story.sessions do
    local model = Model.new()
    model.tokens = {}
    story.models[s] = model
    ok, why = drive.eval(s, inside)
    if not ok then fail("inside.lua: %s", why) end
    for _, name in ipairs(FILES) do
      ok, why = model:run(name, versions[name], key(name))
      if not ok then fail("model: %s", why) end
    end
  end
  story.loaded = true
  for _, name in ipairs(FILES) do story.files[name].ran = versions[name].text end
  for s = 1, story.sessions do story:look(s, "the first load") end
end

-- A text that does not run, and what its failure must say.
local function broken(story, name, how, seed)
  local file, r = story.files[name], text.random(seed)
  local lines, count = {}, 0
  for line in items.version(file).text:gmatch("([^\n]*)\n") do lines[#lines + 1] = line end
  -- The last statements may write into tables of others, which is beyond roll-back (H60).
  local before = #lines - 1
  for _, item in ipairs(file.items) do if item.last then count = count + #item.lines(file.style) + (file.style.gaps and 1 or 0) end end
  before = math.max(2, before - count)
  local at = r.int(before - 1) + 1
  local wrong = ({ syntax = r.pick({ "local = 5", "x = = 1", "end", "function (", '"open' }), raises = r.pick({ 'error("boom")', "local no = nil + 1", "error({})", "nothing.here = 1" }),
    requires = 'require("not_there")' })[how]
  table.insert(lines, at, wrong)
  return table.concat(lines, "\n") .. "\n"
end

local function expect(s, name, result, outcome)
  if not result then fail("session %d: the save of %s has no result", s, key(name)) end
  if result.outcome ~= outcome then fail("session %d: the save of %s is %s (%s), and must be %s", s, key(name), result.outcome, result.text or "", outcome) end
end

-- What the report says of data (H49 6, R18).
local function told_right(s, name, result, rule)
  local function agree(what, count, path)
    if path and count == 0 then fail("session %d: the save of %s says nothing of what is %s: %s", s, key(name), what, path) end
    if not path and count > 0 then fail("session %d: the save of %s says that %d are %s, and none is: %s", s, key(name), count, what, result.losses or result.details or "") end
  end
  if not rule.vague then agree("given way", result.gave_way, rule.gave_way) end
  if rule.set_aside or not rule.vague_aside then agree("set aside", result.set_aside, rule.set_aside) end
  if rule.restored or not rule.vague_restored then agree("restored", result.restored, rule.restored) end
end

function Story:take(s, names, versions)
  local keys = {}
  for i, name in ipairs(names) do keys[i] = key(name) end
  local results, took = drive.save(s, table.unpack(keys))
  totals.ns, totals.transactions = totals.ns + took, totals.transactions + 1
  for _, name in ipairs(names) do
    local version = versions[name]
    if version.broken then
      expect(s, name, results[key(name)], "failed")
    elseif version.same then
      expect(s, name, results[key(name)], "skipped")
    else
      expect(s, name, results[key(name)], "ok")
      local rule, why = self.models[s]:run(name, version, key(name))
      if not rule then fail("model %d: %s: %s", s, key(name), why) end
      told_right(s, name, results[key(name)], rule)
    end
  end
  self:look(s, "the save of " .. table.concat(keys, ", "))
end

function steps.save(story, step)
  if not story.loaded then return end
  local names, versions = {}, {}
  step.texts = {}
  for _, name in ipairs(FILES) do
    local what = step.files[name]
    if what then
      local file = story.files[name]
      local version = items.version(file)
      if what ~= "good" then
        version.broken = true
        version.text = broken(story, name, what, step.seed)
      else
        version.same = version.text == file.ran
        file.ran = version.text
        file.saved = file.saved + 1
        for g in pairs(version.globals) do story.globals[g] = true end
      end
      names[#names + 1], versions[name], step.texts[name] = name, version, version.text
      drive.write(key(name), version.text)
      totals.saves = totals.saves + 1
    end
  end
  for s = 1, story.sessions do story:take(s, names, versions) end
end

local function describe(i, step)
  local list = {}
  for _, k in ipairs({ "file", "kind", "id", "to", "session", "code" }) do if step[k] then list[#list + 1] = k .. " " .. tostring(step[k]) end end
  local line = ("%d. %s %s"):format(i, step.op, table.concat(list, ", "))
  for _, name in ipairs(FILES) do
    if step.texts and step.texts[name] and (#step.texts[name] < 3000 or told) then
      line = line .. ("\n--- %s%s\n%s---"):format(key(name), step.files and step.files[name] ~= "good" and " (" .. step.files[name] .. ")" or "", step.texts[name])
    end
  end
  return line
end

-- --- playing ---

function Story:play(list)
  self.globals = {}
  for i, step in ipairs(list) do
    self.step = i
    steps[step.op](self, step)
    if told then print(describe(i, step)) end
  end
end

-- → nil, or what is wrong and at which step.
local function replay(list, sessions)
  local story = Story.new(sessions)
  local ok, why = xpcall(story.play, function(e) return type(e) == "table" and e or { torture = debug.traceback(tostring(e)), internal = true } end, story, list)
  if ok then return nil end
  return why.torture, story.step
end

-- A story of so many steps, made and played in one; → nil, or the steps until it failed and why.
local function invent(seed, sessions, length)
  local r = text.random(seed)
  local story, list, last_id = Story.new(sessions), {}, 0
  story.globals = {}
  local function id() last_id = last_id + 1 return last_id end
  local function play(step)
    list[#list + 1] = step
    story.step = #list
    steps[step.op](story, step)
    if told then print(describe(#list, step)) end
  end
  local function add(name)
    local kind = items.kind(r, name, story.files[name].items)
    if kind then play({ op = "add", file = name, kind = kind, id = id(), seed = r.seed(), at = r.int(20) - 1 }) end
  end
  local function some(name)
    local file = story.files[name]
    return #file.items > 0 and r.pick(file.items).id or nil
  end
  local function edit(name)
    local n, one = r.int(100), some(name)
    if n <= 15 or not one then
      if #story.files[name].items < 14 then add(name) end
    elseif n <= 65 then play({ op = "edit", file = name, id = one, seed = r.seed() })
    elseif n <= 72 then play({ op = "rename", file = name, id = one, to = id() })
    elseif n <= 82 then play({ op = "remove", file = name, id = one })
    elseif n <= 92 then
      local gone = {}
      for i in pairs(story.files[name].gone) do gone[#gone + 1] = i end
      table.sort(gone)
      if #gone > 0 and not text.without("back") then play({ op = "back", file = name, id = r.pick(gone) }) end
    else play({ op = "style", file = name, seed = r.seed() }) end
  end
  local function save()
    local files, count = {}, r.chance(80) and 1 or 2
    for _ = 1, count do
      local name = r.pick(FILES)
      for _ = 1, r.int(3) do edit(name) end
      files[name] = r.chance(15) and r.pick({ "syntax", "raises", "requires" }) or "good"
    end
    play({ op = "save", files = files, seed = r.seed() })
  end
  local ok, why = xpcall(function()
    for _, name in ipairs({ "a", "b" }) do if r.chance(25) then play({ op = "form", file = name }) end end
    for _, name in ipairs(FILES) do for _ = 1, r.int(7) + (name == "main" and 0 or 2) do add(name) end end
    play({ op = "load" })
    for _ = 1, length do
      for _ = 1, r.int(5) do
        local name = r.pick(FILES)
        local one = some(name)
        if one then play({ op = "act", session = r.int(sessions), file = name, id = one, seed = r.seed() }) end
      end
      save()
    end
  end, function(e) return type(e) == "table" and e or { torture = debug.traceback(tostring(e)) } end)
  totals.stories = totals.stories + 1
  if ok then return nil end
  return list, why.torture
end

-- What of a failure is about: steps are dropped only while it stays the same one.
local function about(why) return (why:match("must be (.-) but") or why:match("[^\n]*")):gsub("%d+", "N"):sub(1, 60) end

-- Drop steps while the story fails.
local function shorten(list, sessions, why)
  local deadline = drive.clock() + tonumber(os.getenv("TORTURE_SHORTEN") or 20)
  local kind = about(why)
  local function try(shorter, count)
    local failed, at = replay(shorter, count)
    if failed and about(failed) == kind then return failed, at end
  end
  if sessions > 1 then
    for s = 1, sessions do
      local one = {}
      for _, step in ipairs(list) do
        if step.op ~= "act" then one[#one + 1] = step
        elseif step.session == s then one[#one + 1] = { op = "act", session = 1, file = step.file, id = step.id, seed = step.seed } end
      end
      local failed = try(one, 1)
      if failed then list, sessions, why = one, 1, failed break end
      if drive.clock() > deadline then break end
    end
  end
  local size = #list // 2
  while size >= 1 and drive.clock() < deadline do
    local i, dropped = 1, false
    while i <= #list and drive.clock() < deadline do
      local shorter = table.move(list, 1, i - 1, 1, {})
      table.move(list, i + size, #list, i, shorter)
      local failed, at = try(shorter, sessions)
      if failed then
        list, why, dropped = table.move(shorter, 1, at, 1, {}), failed, true
      else
        i = i + size
      end
    end
    if size > 1 then size = size // 2 elseif not dropped then break end
  end
  replay(list, sessions)
  return list, sessions, why
end

local function tell(seed, list, sessions, why)
  local lines = { ("TORTURE_SEED=%d TORTURE_STORY=1: the shortest story found, in %d session%s:"):format(seed, sessions, sessions == 1 and "" or "s") }
  for i, step in ipairs(list) do
    step.texts = step.texts or {}
    lines[#lines + 1] = describe(i, step)
  end
  lines[#lines + 1] = why
  return table.concat(lines, "\n")
end

-- --- all ---

io.stdout:setvbuf("line")
local saves = tonumber(os.getenv("TORTURE_SAVES") or 1000)
local seed = tonumber(os.getenv("TORTURE_SEED") or 7)
local most = tonumber(os.getenv("TORTURE_FAILURES") or 1)
local began, said, failures = drive.clock(), drive.clock(), {}
local function progress()
  local took = drive.clock() - began
  print(("# %d saves, %d transactions (%.2f ms each) in %d stories, %.0f s, %.0f saves/s, last seed %d"):format(totals.saves, totals.transactions,
    totals.ns / 1e6 / math.max(1, totals.transactions), totals.stories, took, totals.saves / math.max(took, 0.001), seed))
end

repeat
  -- 200 sessions once in 200 stories, 10 sessions once in 16, and a long story once in 16.
  local sessions = seed % 200 == 7 and 200 or seed % 16 == 11 and 10 or 1
  local length = sessions == 200 and 5 or seed % 16 == 5 and 60 or 15
  local list, why = invent(seed, sessions, length)
  if list then
    local all = #list
    if not told then list, sessions, why = shorten(list, sessions, why) end
    failures[#failures + 1] = tell(seed, list, sessions, why) .. ("\n(%d steps of %d)"):format(#list, all)
    print(failures[#failures])
  end
  if drive.clock() - said > 30 then
    progress()
    said = drive.clock()
  end
  seed = seed + 1
until told or totals.saves >= saves or #failures >= most
drive.close()
progress()
if #failures > 0 then error(#failures .. " stories fail", 0) end
