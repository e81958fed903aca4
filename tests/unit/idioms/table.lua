-- What a row of the table of idioms is, and the cases that are made of it. Runs in a plain Lua beside the session, in
-- which `site` (see test_session_reload_idioms.c) opens sessions and saves files.
--
-- A file NN_*.lua returns a list of rows. A row:
--   [1]        title, begins with the rules it proves
--   text       the first version of the file; a line `local VERSION = 1`, which no function reads, is put before it
--   file       its key, "lua/m.lua" if absent; files: others, key → text. "lua/main.lua" is `M = require("m")`
--   act        what the run does before the save: Lua, or a list in which `true` is the timer that is due first
--   after      what the run does after each save, before it is looked at (likewise)
--   show       Lua expressions (one, or a list); what they give, joined by blanks, is compared
--   before     what it gives before the save, and after the edits that must not change it
--   sizes      names of the sizes, when not all that its text has something for (see below)
--   million    it is tried with 10^6 entries as well
--   kept       of the edit `unrelated`: see below; "+" if absent
--   unwatched  the session's server does not watch its files: nothing is kept to compare with
--   value_changes  the module's value is no table, and another one after a save (H50)
--
-- The edits, each tried in a session of its own. [1] → [2], [3] → [4] … are texts of the file and what the edit makes of
-- them; each must be there. `after` is what `show` must give then, `before` of the row if absent; false: not looked at.
--   unrelated  if absent: the number of VERSION
--   value      the value itself
--   rename     whole words [1] → [2] …; then the first text is saved again
--   removed    then the first text is saved again
--   more       a list of further edits, each with its `title`; with `undone` the first text is saved again
-- `act` of an edit: what the run does besides, before the save. `broken`: saves before it that fail, of which nothing
-- may be seen (H58); `%s` is the text that the edit makes.
-- The report: `kept`, `taken`, `aside`, `restored`, `gave` are a number, "+" (at least 1) or "any". If absent: `taken`
-- 0 where the edit is unrelated, "+" where it is the value, else "any"; `kept` "any"; `gave` 0; `aside` 0, but 1 with
-- `removed`; `restored`, of the first text's return, what was set aside. `says`: words of the lines at level 0.
-- After the first text has returned `show` must give `back`, `before` of the row if absent; false: not looked at.
-- `show` of an edit: instead of the row's, while its text is in force. `then_act`, `then_show`, `then_gives`: what the
-- run does after the save and looks at, to see the old state go on.
--
-- What is known to end otherwise stands in open.lua; with IDIOMS_OPEN in the environment it is told as well.
--
-- Sizes. `$N` in texts is a number of entries, `$(N + 1)` an expression of it. `@(value)@` puts the value below tables,
-- `@` alone is the way to it: with "10 deep" `S = @(0)@ S@ = 1` is `S = { d1 = { … 0 … } } S.d1.….d10 = 1`.
local table_of = {}

local SIZES = {
  { name = "small", n = 3, depth = 0 },
  { name = "10 deep", n = 3, depth = 10, needs = "@" },
  { name = "20 deep", n = 3, depth = 20, needs = "@" },
  { name = "10^4", n = 10000, depth = 0, needs = "$" },
  { name = "10^4, 10 deep", n = 10000, depth = 10, needs = "$@" },
  { name = "10^6", n = 1000000, depth = 0, needs = "asked" },
}
local MAIN = 'M = require("m")\n'

local function expand(text, size)
  if type(text) ~= "string" then return text end
  local open, close, way = "", "", ""
  for level = 1, size.depth do
    open, close, way = open .. "{ d" .. level .. " = ", close .. " }", way .. ".d" .. level
  end
  text = text:gsub("@%(", (open:gsub("%%", "%%%%"))):gsub("%)@", close):gsub("@", way)
  return (text:gsub("%$N", size.n):gsub("%$(%b())", function(expression)
    return tostring(assert(load("local N = ... return " .. expression))(size.n))
  end))
end

local function has_sign(row, sign)
  local all = row.text .. (type(row.show) == "table" and table.concat(row.show) or row.show) .. (row.before or "")
  local acts = type(row.act) == "table" and row.act or { row.act }
  for _, act in ipairs(acts) do all = all .. tostring(act) end
  for _, text in pairs(row.files or {}) do all = all .. text end
  return all:find(sign, 1, true)
end

local function is_for(row, size)
  if SLOW_BUILD and (size.n > 10000 or size.depth == 10) then return false end
  if row.sizes then
    for _, name in ipairs(row.sizes) do if name == size.name then return true end end
    return false
  end
  if not size.needs then return true end
  if size.needs == "asked" then return row.million and true end
  for sign in size.needs:gmatch(".") do if not has_sign(row, sign) then return false end end
  return true
end

local function replace(text, from, to, words)
  local pattern = from:gsub("%p", "%%%0")
  if words then pattern = "%f[%w_]" .. pattern .. "%f[^%w_]" end
  local changed, count = text:gsub(pattern, (to:gsub("%%", "%%%%")))
  if count == 0 then error("the edit finds nothing to change: " .. from, 0) end
  return changed
end

local function edited(text, edit, words)
  for i = 1, #edit, 2 do text = replace(text, edit[i], edit[i + 1], words) end
  return text
end

local function run(acts)
  if type(acts) ~= "table" then acts = { acts } end
  for _, act in ipairs(acts) do
    if act == true then
      if not site.tick() then error("no timer is due", 0) end
    else
      site.run(act)
    end
  end
end

local function shown(show)
  if type(show) ~= "table" then show = { show } end
  local code = "local function join(...) local t = table.pack(...) for i = 1, t.n do t[i] = tostring(t[i]) end " ..
    'return table.concat(t, " ") end return join(' .. table.concat(show, ", ") .. ")"
  local ok, value = pcall(site.run, code)
  return ok and value or "error: " .. value:match("[^\n]*")
end

local function expect_count(found, name, have, want)
  if want == "any" or have == want or want == "+" and have > 0 then return end
  found[#found + 1] = ("%s is %s, not %s"):format(name, have, want)
end

local COUNTS = { "kept", "taken", "aside", "restored", "gave" }
-- Their names in a result (tests/unit/reload_result.h).
local FIELDS = { kept = "kept", taken = "taken", aside = "set_aside", restored = "restored", gave = "gave_way" }

-- A text or a list of texts with the signs of sizes put in.
local function all_at(acts, at)
  if type(acts) ~= "table" then return at(acts) end
  local out = {}
  for i, act in ipairs(acts) do out[i] = at(act) end
  return out
end

-- One save and what must be true after it. `want`: the counts, `show`, `gives`, `says`.
local function step(case, found, text, want)
  local results = site.save({ [case.key] = text })
  local result = results[case.key]
  if not result or result.outcome ~= "ok" then
    found[#found + 1] = "the save: " .. (result and (result.outcome .. " " .. (result.text or "")) or "no result")
    return false
  end
  run(case.after)
  if want.gives then
    local have = shown(want.show)
    if have ~= want.gives then found[#found + 1] = ("shows '%s', not '%s'"):format(have, want.gives) end
  end
  if not case.value_changes and not site.run("return IDIOM_VALUE == require(IDIOM_NAME)"):find("true") then
    found[#found + 1] = "the module has another value"
  end
  for _, name in ipairs(COUNTS) do expect_count(found, name, result[FIELDS[name]], want[name]) end
  if want.gave == 0 and want.aside == 0 and result.losses then
    found[#found + 1] = "says '" .. result.losses:match("[^\n]*") .. "'"
  end
  if want.says and not (result.losses or ""):find(want.says, 1, true) then
    found[#found + 1] = ("says '%s', not '%s'"):format((result.losses or ""):match("[^\n]*"), want.says)
  end
  if want.then_act then
    run(want.then_act)
    local have = shown(want.then_show or want.show)
    if have ~= want.then_gives then
      found[#found + 1] = ("then shows '%s', not '%s'"):format(have, want.then_gives)
    end
  end
  return true
end

local DEFAULTS = {
  unrelated = { taken = 0, kept = "+", aside = 0, gave = 0, restored = 0 },
  value = { taken = "+", kept = "any", aside = 0, gave = 0, restored = 0 },
  rename = { taken = "any", kept = "any", aside = 0, gave = 0, restored = 0 },
  removed = { taken = "any", kept = "any", aside = 1, gave = 0, restored = 0 },
  more = { taken = "any", kept = "any", aside = 0, gave = 0, restored = 0 },
}

local function wants(row, kind, edit, at)
  local want = {}
  for _, name in ipairs(COUNTS) do
    want[name] = edit[name]
    if want[name] == nil and kind == "unrelated" then want[name] = row[name] end
    if want[name] == nil then want[name] = DEFAULTS[kind][name] end
  end
  want.show = all_at(edit.show or row.show, at)
  want.gives, want.says = at(edit.after), at(edit.says)
  if want.gives == nil then want.gives = at(row.before) end
  want.then_act, want.then_gives = all_at(edit.then_act, at), at(edit.then_gives)
  want.then_show = all_at(edit.then_show, at)
  return want
end

-- What the first text's return must give, after `want` was seen.
local function wants_back(row, edit, want, at)
  local gives = edit.back
  if gives == nil then gives = row.before end
  return { show = all_at(row.show, at), gives = at(gives), kept = "any", taken = "any", aside = "any", gave = 0,
    restored = edit.restored or want.aside }
end

-- @return what was wrong, a list of texts
local function play_case(row, size, kind, edit)
  local found = {}
  local function at(text) return expand(text, size) end
  local first = "local VERSION = 1\n" .. row.text .. "\n"
  local second = edited(first, edit, kind == "rename")
  local case = { key = row.file or "lua/m.lua", after = all_at(row.after or "", at), value_changes = row.value_changes }
  local files = { ["lua/main.lua"] = MAIN }
  for key, text in pairs(row.files or {}) do files[key] = at(text) end
  files[case.key] = at(first)
  site.open(files, not row.unwatched)
  site.run(([[rawset(_G, "IDIOM_NAME", %q) rawset(_G, "IDIOM_VALUE", require(IDIOM_NAME))]]):format(
    case.key:match("lua/(.*)%.lua")))
  run(all_at(row.act or "", at))
  local want = wants(row, kind, edit, at)
  local back = wants_back(row, edit, want, at)
  local have = shown(back.show)
  if row.before and have ~= at(row.before) then
    return { ("shows '%s' before the save, not '%s'"):format(have, at(row.before)) }
  end
  local undone = kind == "rename" or kind == "removed" or edit.undone
  run(at(edit.act or ""))
  for _, form in ipairs(edit.broken or {}) do
    local result = site.save({ [case.key] = (form:gsub("%%s", function() return at(second) end)) })[case.key]
    if not result or result.outcome ~= "failed" then found[#found + 1] = "a broken text did not fail: " .. form end
    local now = shown(back.show)
    if now ~= have then found[#found + 1] = ("shows '%s' after '%s'"):format(now, form) end
  end
  if step(case, found, at(second), want) and undone then
    local count = #found
    step(case, found, at(first), back)
    for i = count + 1, #found do found[i] = "the first text again: " .. found[i] end
  end
  return found
end

local function load_rows()
  local rows = {}
  local list = assert(io.popen("ls tests/unit/idioms/[0-9]*.lua"))
  for path in list:lines() do
    for _, row in ipairs(assert(loadfile(path))()) do
      row.path = path
      rows[#rows + 1] = row
    end
  end
  list:close()
  return rows
end

-- The edits of a row: pairs of kind and edit. A million entries take the time of all else, so there two must do.
local function edits_of(row, size)
  local edits = { { "unrelated", row.unrelated or { "VERSION = 1", "VERSION = 2" } } }
  if size.n > 10000 then return { edits[1], { "value", row.value } } end
  for _, kind in ipairs({ "value", "rename", "removed" }) do
    edits[#edits + 1] = { kind, row[kind] or error(row[1] .. ": no edit `" .. kind .. "`", 0) }
  end
  for _, edit in ipairs(row.more or {}) do edits[#edits + 1] = { "more", edit } end
  return edits
end

function table_of.titles()
  local titles, seen = {}, {}
  for i, row in ipairs(load_rows()) do
    if seen[row[1]] then error("two rows have the title " .. row[1], 0) end
    titles[i], seen[row[1]] = row[1], true
  end
  return titles
end

-- Edits of the row that are known to end otherwise: names as keys, `true` as values.
local function open_edits(row)
  local open = {}
  for _, entry in ipairs(dofile("tests/unit/idioms/open.lua")) do
    for i = 2, entry[1] == row[1] and #entry or 0 do open[entry[i]] = true end
  end
  return open
end

-- Plays one case and appends what is wrong. @return how much that is
local function tell_case(row, size, kind, edit, wrong)
  local ok, found = pcall(play_case, row, size, kind, edit)
  if not ok then found = { found } end
  for _, text in ipairs(found) do wrong[#wrong + 1] = ("%s, %s: %s"):format(size.name, edit.title or kind, text) end
  return #found
end

-- All cases of the row. @return nil, or what was wrong
function table_of.play(title)
  local row
  for _, one in ipairs(load_rows()) do if one[1] == title then row = one end end
  local wrong, known, open, faults, cases = {}, {}, open_edits(row), {}, 0
  for _, size in ipairs(SIZES) do
    for _, edit in ipairs(is_for(row, size) and edits_of(row, size) or {}) do
      local name = edit[2].title or edit[1]
      cases = cases + 1
      faults[name] = (faults[name] or 0) + tell_case(row, size, edit[1], edit[2], open[name] and known or wrong)
    end
  end
  site.close()
  for name in pairs(open) do
    if faults[name] == 0 then wrong[#wrong + 1] = name .. ": is right; take it out of tests/unit/idioms/open.lua" end
    if not faults[name] then wrong[#wrong + 1] = name .. ": is in open.lua and no edit of this row" end
  end
  if os.getenv("IDIOMS_OPEN") then table.move(known, 1, #known, #wrong + 1, wrong) end
  if cases == 0 then wrong[#wrong + 1] = "no case" end
  if #wrong > 0 then return row.path .. ": " .. row[1] .. "\n  " .. table.concat(wrong, "\n  ") end
end

return table_of
