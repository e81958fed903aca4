-- State in functions: variables that closures hold, coroutines, timers, listeners, tables of functions.
return {
  { "H49 a counter in a closure",
    text = [[
local function counter(step)
  local n = 0
  return {
    next = function() n = n + step return n end,
    peek = function() return n end,
  }
end
local M = { ids = counter(1), tens = counter(10) }
function M.new() return counter(1) end
return M]],
    act = "for i = 1, $N do M.ids.next() end M.tens.next() HELD = M.ids.next",
    show = { "M.ids.peek()", "M.tens.peek()", "M.new().peek()" }, before = "$N 10 0",
    kept = "any",
    -- What stands in a function's body is how the next one begins; the counter that is there goes on.
    value = { "local n = 0", "local n = 100", after = "$N 10 100", taken = "any" },
    -- Whether a table of functions is set aside (R18: data only) the rule does not say.
    rename = { "tens", "decades", show = { "M.ids.peek()", "M.decades.peek()" }, after = "$N 0", aside = "any",
      restored = "any", back = false },
    removed = { ", tens = counter(10)", "", show = "M.ids.peek()", after = "$N", aside = "any", restored = "any",
      back = false },
    more = {
      { title = "an unrelated line, then both versions count on", "VERSION = 1", "VERSION = 2",
        then_act = "HELD() M.ids.next()",
        then_gives = "$(N + 2) 10 0" },
      -- The variable is shared: it must be one for the function that the edit has left alone and the one that is new.
      { title = "one of two functions that share a variable", "peek = function() return n end",
        "peek = function() return n * 2 end", after = "$(2 * N) 20 0",
        then_act = "M.ids.next()", then_gives = "$(2 * N + 2) 20 0" },
      -- What the person edited wins, also where it is an argument that a closure holds.
      { title = "an argument that the closure holds", "ids = counter(1)", "ids = counter(5)",
        show = "type(M.ids.peek())", after = "number",
        then_act = "WAS = M.ids.peek() M.ids.next()", then_show = "M.ids.peek() - WAS", then_gives = "5" },
    },
  },
  { "H49 H56 a variable shared by two functions",
    text = [[
local n = 0
return {
  add = function(x) n = n + x return n end,
  get = function() return n end,
}]],
    act = "for i = 1, $N do M.add(1) end HELD = M.add", show = "M.get()", before = "$N",
    value = { "local n = 0", "local n = 10", after = "10", taken = 1, gave = 1, says = "n",
      then_act = "HELD(1) M.add(1)", then_gives = "12" },
    rename = { "n", "count", after = "0", aside = 1 },
    removed = { "local n = 0\n", "", "n = n + x return n", "", "return n", "return 'none'", after = "none" },
    more = {
      { title = "one of the functions", "return n end,\n}", "return n * 2 end,\n}", after = "$(2 * N)",
        then_act = "HELD(1) M.add(1)", then_gives = "$(2 * N + 4)" },
      { title = "an unrelated line, then both versions add", "VERSION = 1", "VERSION = 2",
        then_act = "HELD(1) M.add(1)", then_gives = "$(N + 2)" },
      { title = "the value to what the run has made of it", act = "M.add(10 - M.get())", "local n = 0", "local n = 10",
        after = "10", gave = 0 },
    },
  },
  { "H49 a variable of a block that two functions share",
    text = [[
local M = {}
do
  local n = 0
  function M.add() n = n + 1 end
  function M.get() return n end
end
return M]],
    act = "for i = 1, $N do M.add() end HELD = M.add", show = "M.get()", before = "$N", kept = "any",
    -- Variables of blocks are no governed places: those of functions whose text is unchanged go on, the number in the
    -- text is where new ones begin.
    value = { "local n = 0", "local n = 10", after = "$N", taken = "any" },
    -- Neither are they set aside, when each function that has one is new.
    rename = { "n", "count", after = "0", back = "0" },
    removed = { "  local n = 0\n", "", "n = n + 1", "", "return n", "return 'none'", after = "none", aside = 0,
      back = "0" },
    more = {
      { title = "one of the functions", "return n end", "return n * 10 end", after = "$(10 * N)",
        then_act = "M.add() HELD()", then_gives = "$(10 * N + 20)" },
      { title = "an unrelated line, then both versions add", "VERSION = 1", "VERSION = 2", then_act = "HELD() M.add()",
        then_gives = "$(N + 2)" },
    },
  },
  { "H49 H56 a memo of results",
    text = [[
local memo = @({})@
local calls = 0
local function slow(n) calls = calls + 1 return n * 2 end
return {
  fast = function(n)
    local v = memo@[n]
    if not v then v = slow(n) memo@[n] = v end
    return v
  end,
  calls = function() return calls end,
}]],
    act = "for i = 1, $N do M.fast(i) end", show = { "M.fast(1)", "M.calls()" }, before = "2 $N", million = true,
    value = { "calls = 0", "calls = 100", after = "2 100", taken = 1, gave = 1, says = "calls" },
    rename = { "memo", "known", after = "2 $(N + 1)", aside = 1, back = "2 $(N + 1)" },
    removed = { "local memo = @({})@\n", "",
      "    local v = memo@[n]\n    if not v then v = slow(n) memo@[n] = v end\n    return v", "    return slow(n)",
      after = "2 $(N + 1)", back = "2 $(N + 1)" },
    more = { { title = "the function that is remembered", "n * 2", "n * 3", after = "2 $N",
      then_show = "M.fast($(N + 1))", then_act = "", then_gives = "$(3 * N + 3)" } },
  },
  { "H49 H56 a function that remembers, made by another",
    text = [[
local calls = 0
local function slow(n) calls = calls + 1 return n * 2 end
local function memoize(f)
  local known = {}
  return function(n)
    if not known[n] then known[n] = f(n) end
    return known[n]
  end
end
return { fast = memoize(slow), calls = function() return calls end }]],
    act = "for i = 1, $N do M.fast(i) end", show = { "M.fast(1)", "M.calls()" }, before = "2 $N",
    value = { "calls = 0", "calls = 100", after = "2 100", taken = 1, gave = 1 },
    rename = { "calls", "times", show = { "M.fast(1)", "M.times()" }, after = "2 0", aside = 1 },
    removed = { ", calls = function() return calls end", "", show = "M.fast(1)", after = "2", aside = 0 },
    more = {
      -- The function that the closure holds is code of this file, so it follows; what was remembered stays.
      { title = "the function that is remembered", "n * 2", "n * 3", after = "2 $N", then_act = "",
        then_show = "M.fast($(N + 1))", then_gives = "$(3 * N + 3)" },
      { title = "an unrelated line, then it remembers on", "VERSION = 1", "VERSION = 2", then_act = "M.fast($(N + 1))",
        then_gives = "2 $(N + 1)" },
    },
  },
  { "H49 arrays of functions with variables of their own",
    text = [[
local M = { steps = {} }
for i = 1, 3 do
  local n = 0
  M.steps[i] = function(x) n = n + (x or 0) * i return n end
end
return M]],
    act = "for i = 1, $N do M.steps[2](1) end M.steps[3](1)", show = { "M.steps[1]()", "M.steps[2]()", "M.steps[3]()",
      "#M.steps" }, before = "0 $(2 * N) 3 3", kept = "any",
    value = { "for i = 1, 3 do", "for i = 1, 4 do", show = "#M.steps", after = "4", taken = "any" },
    rename = { "steps", "parts", show = { "M.parts[2]()", "#M.parts" }, after = "0 3", aside = "any", restored = "any",
      back = false },
    removed = { "  M.steps[i] = function(x) n = n + (x or 0) * i return n end\n", "", show = "type(M.steps[2])",
      after = false, aside = "any", restored = "any",
      back = false },
    more = { { title = "the functions' text", "(x or 0) * i", "(x or 0) * -i", show = "#M.steps", after = "3",
      then_act = "A = M.steps[2](0) B = M.steps[2](1)", then_show = "B - A",
      then_gives = "-2" } },
  },
  { "H49 closures over varargs",
    text = [[
local function bind(f, ...)
  local args = table.pack(...)
  local calls = 0
  return function(...) calls = calls + 1 return f(calls, table.unpack(args, 1, args.n)) end
end
local function say(n, a, b) return a .. b .. n end
return { hello = bind(say, "a", "b"), bye = bind(say, "c", "d") }]],
    act = "for i = 1, $N do M.hello() end", show = { "M.hello():sub(1, 2)", "M.bye():sub(1, 2)" }, before = "ab cd",
    kept = "any",
    -- The edited argument wins over the variables of the predecessor.
    value = { '"c"', '"z"', after = "ab zd", taken = "any" },
    rename = { "bye", "ciao", show = { "M.ciao()", "M.bye" }, after = "cd1 nil" },
    removed = { ', bye = bind(say, "c", "d")', "", show = "M.bye", after = "nil", aside = 0 },
    more = {
      { title = "an unrelated line, then it counts on", "VERSION = 1", "VERSION = 2", then_act = "",
        then_show = "M.hello()", then_gives = "ab$(N + 3)" },
      { title = "the function that is bound", "a .. b .. n", "b .. a .. n", after = "ba dc" },
    },
  },
  { "H49 H56 local functions that call each other",
    text = [[
local depth, calls = 0, 0
local even
local function odd(n) calls = calls + 1 if n == 0 then return false end return even(n - 1) end
function even(n) calls = calls + 1 if n == 0 then return true end return odd(n - 1) end
local function sum(n) if n == 0 then return 0 end depth = math.max(depth, n) return n + sum(n - 1) end
return { even = function(n) return even(n) end, sum = function(n) return sum(n) end, calls = function() return calls .. " " .. depth end }]],
    act = "M.even(9) M.sum(5)", show = "M.calls()", before = "10 5",
    value = { "depth, calls = 0, 0", "depth, calls = 1, 0", after = "10 1", taken = 1, gave = 1, says = "depth" },
    rename = { "depth", "deepest", after = "10 0", aside = 1 },
    removed = { "depth, calls = 0, 0", "calls = 0", "depth = math.max(depth, n) ", "", '.. " " .. depth', "",
      after = "10" },
    more = { { title = "the text of one", "return true end return odd", "return 'yes' end return odd",
      show = "M.even(4)", after = "yes", taken = 0 } },
  },
  { "H49 H56 a coroutine that goes on",
    text = [[
local built = @({})@
local work = coroutine.create(function()
  for i = 1, math.huge do built@[i] = i coroutine.yield(i) end
end)
return {
  step = function() return select(2, coroutine.resume(work)) end,
  made = function() return #built@ end,
}]],
    act = "for i = 1, $N do M.step() end", show = "M.made()", before = "$N",
    value = { "built@[i] = i ", "built@[i] = -i ", after = "$N", taken = "any", gave = "any" },
    -- Coroutines are not set aside.
    rename = { "built", "done", after = "0", aside = 1, gave = "any" },
    removed = { "  made = function() return #built@ end,\n", "  made = function() return 'none' end,\n", after = "none",
      aside = 0 },
    more = {
      { title = "an unrelated line, then it goes on", "VERSION = 1", "VERSION = 2", then_act = "GOT = M.step()",
        then_show = "GOT, M.made()", then_gives = "$(N + 1) $(N + 1)" },
      { title = "the coroutine's text, then it begins again", "coroutine.yield(i) end", "coroutine.yield(-i) end",
        after = "$N", gave = "any", then_act = "",
        then_show = "M.step()", then_gives = "-1" },
    },
  },
  { "H49 an iterator made by coroutine.wrap",
    text = [[
local M = {}
M.next = coroutine.wrap(function() for i = 1, math.huge do coroutine.yield(i) end end)
return M]],
    act = "for i = 1, $N do SEEN = M.next() end", show = "SEEN", before = "$N", kept = "any",
    -- A function of C has no text of its own: what says whether it is edited is what gives it.
    unrelated = { "VERSION = 1", "VERSION = 2", then_act = "SEEN = M.next()", then_gives = "$(N + 1)" },
    value = { "yield(i)", "yield(-i)", taken = "any", then_act = "SEEN = M.next()", then_gives = "-1" },
    rename = { "next", "after", show = "M.after()", after = "1" },
    removed = { "M.next = coroutine.wrap(function() for i = 1, math.huge do coroutine.yield(i) end end)\n", "",
      show = "M.next", after = "nil", aside = "any", restored = "any" },
  },
  { "H49 H56 H57 a timer that holds a closure",
    text = [[
local ticks = 0
local step = 1
local seen = {}
local function tick() ticks = ticks + step seen[#seen + 1] = ticks end
if not session.reloading then session:setInterval(function() tick() end, 1) end
return { show = function() return ticks .. " " .. #seen end, step = function() return step end }]],
    act = { true, true, true }, show = "M.show()", before = "3 3",
    unrelated = { "VERSION = 1", "VERSION = 2", then_act = { true }, then_gives = "4 4" },
    -- `step` is read by the old closure as well: the variable is joined, also where it takes the edited value.
    value = { "step = 1", "step = 10", after = "3 3", taken = 1, then_act = { true }, then_gives = "13 4" },
    rename = { "ticks", "beats", after = "0 3", aside = 1 },
    removed = { "local seen = {}\n", "", " seen[#seen + 1] = ticks", "", '.. " " .. #seen', "", after = "3" },
    more = { { title = "the value that the run has changed", "ticks = 0", "ticks = 50", after = "50 3", gave = 1,
      says = "ticks", then_act = { true }, then_gives = "51 4" } },
  },
  { "H49 an event emitter with listeners of other files",
    text = [[
local M = { listeners = @({})@, sent = 0 }
function M.on(name, f)
  local list = M.listeners@[name] or {}
  M.listeners@[name] = list
  list[#list + 1] = f
end
function M.emit(name, x)
  M.sent = M.sent + 1
  for _, f in ipairs(M.listeners@[name] or {}) do f(x) end
end
return M]],
    act = "HEARD = 0 for i = 1, $N do M.on('go', function(x) HEARD = HEARD + x end) end M.emit('go', 1)",
    show = { "#M.listeners@.go", "HEARD", "M.sent" }, before = "$N $N 1",
    value = { "sent = 0", "sent = 10", after = "$N $N 10", taken = 1, gave = 1, says = "sent" },
    rename = { "sent", "count", show = { "#M.listeners@.go", "M.count", "M.sent" }, after = "$N 0 1" },
    removed = { ", sent = 0", "", "  M.sent = M.sent + 1\n", "", after = "$N $N 1", aside = 0 },
    more = {
      { title = "an unrelated line, then it emits", "VERSION = 1", "VERSION = 2", then_act = "M.emit('go', 1)",
        then_gives = "$N $(2 * N) 2" },
      { title = "a function's text", "f(x)", "f(x * 2)", after = "$N $N 1", then_act = "M.emit('go', 1)",
        then_gives = "$N $(3 * N) 2" },
    },
  },
  { "H49 a dispatch table to which the run adds",
    text = [[
local handlers = {
  add = function(a, b) return a + b end,
  sub = function(a, b) return a - b end,
}
local used = @({})@
local M = {}
function M.handle(name, f) handlers[name] = f end
function M.call(name, a, b) used@[name] = (used@[name] or 0) + 1 return handlers[name](a, b) end
function M.has(name) return handlers[name] ~= nil end
function M.used(name) return used@[name] end
return M]],
    act = "M.handle('mul', function(a, b) return a * b end) for i = 1, $N do M.call('add', 1, 2) M.call('mul', 3, i) end",
    show = { "M.used('add')", "M.used('mul')", "M.has('mul')", "M.has('sub')" }, before = "$N $N true true",
    kept = "any",
    value = { "a + b", "a + b + 100", after = "$N $N true true", taken = 0, then_act = "",
      then_show = { "M.call('add', 1, 2)" }, then_gives = "103" },
    rename = { "used", "calls", show = { "M.calls('add')", "M.has('mul')", "M.has('sub')" }, after = "nil true true",
      aside = 1 },
    removed = { "  sub = function(a, b) return a - b end,\n", "", after = "$N $N true false", aside = 0 },
    more = {
      { title = "a function of the file that the run has replaced",
        act = "M.handle('add', function() return 'run' end)", "VERSION = 1", "VERSION = 2",
        after = "$N $N true true", then_act = "", then_show = "M.call('add', 1, 2)", then_gives = "3" },
      { title = "a function of the file that the run has taken away", act = "M.handle('sub', nil)", "VERSION = 1",
        "VERSION = 2", after = "$N $N true true" },
    },
  },
  { "H49 functions of the file that another module has copied",
    file = "lua/util.lua",
    text = [[
local M = { clicks = 0 }
function M.onClick() M.clicks = M.clicks + 1 return "old" end
function M.double(x) return x * 2 end
return M]],
    files = { ["lua/page.lua"] = [[
local util = require("util")
local double = util.double
local handlers = { click = util.onClick, list = { util.double } }
return { click = function() return handlers.click() end, double = function(x) return double(x) end, first = function(x) return handlers.list[1](x) end }
]], ["lua/main.lua"] = 'M = require("page")\n' },
    act = "for i = 1, $N do M.click() end", show = { "M.click()", "M.double(4)", "M.first(4)",
      "require('util').clicks >= $N" }, before = "old 8 8 true",
    value = { "x * 2", "x * 3", after = "old 12 12 true", taken = 0 },
    rename = { "onClick", "clicked", show = { "require('util').clicked()", "require('util').onClick", "M.double(4)" },
      after = "old nil 8" },
    removed = { "function M.double(x) return x * 2 end\n", "", show = { "require('util').double",
      "require('util').clicks >= $N" }, after = "nil true", aside = 0 },
    more = { { title = "the other function", '"old"', '"new"', after = "new 8 8 true" } },
  },
  { "H49 H56 a state machine",
    text = [[
local state = "idle"
local log = @({})@
local moves = { idle = { go = "running" }, running = { stop = "idle", pause = "paused" }, paused = { go = "running" } }
return {
  fire = function(name)
    local to = moves[state][name]
    if to then log@[#log@ + 1] = state .. ">" .. to state = to end
    return state
  end,
  show = function() return state .. " " .. #log@ end,
  can = function(name) return moves[state][name] end,
}]],
    act = "M.fire('go') for i = 2, $N do M.fire(i % 2 == 0 and 'pause' or 'go') end",
    show = { "M.show()", "M.can('pause')" },
    sizes = { "small", "10 deep", "20 deep" }, before = "running 3 paused",
    value = { 'pause = "paused"', 'pause = "idle"', after = "running 3 idle", taken = 1 },
    rename = { "pause", "halt", show = { "M.show()", "M.can('halt')", "M.can('pause')" },
      after = "running 3 paused nil", aside = 1 },
    removed = { ', pause = "paused"', "", after = "running 3 nil" },
    more = { { title = "the first state", '"idle"\n', '"paused"\n', after = "paused 3 nil", gave = 1,
      says = "state" } },
  },
  { "H49 H56 several values of one call",
    text = [[
local function range(a, b) return a, b end
local low, high = range(1, 9)
local first, second = 5, 6
return {
  set = function(l, f) low, first = l, f end,
  show = function() return low .. " " .. high .. " " .. first .. " " .. second end,
}]],
    act = "M.set(100, 200)", show = "M.show()", before = "100 9 200 6",
    value = { "5, 6", "5, 7", after = "100 9 200 7", taken = 1 },
    rename = { "high", "top", after = "100 9 200 6", aside = 1 },
    removed = { "first, second = 5, 6", "first = 5", '.. " " .. second', "", after = "100 9 200" },
    more = {
      -- One call gives both. Whether `low` is edited as well, of which the file says what it said before, is left open.
      { title = "the call", "range(1, 9)", "range(1, 8)", show = "M.show():match(' .*')", after = " 8 200 6",
        gave = "any", taken = "+" },
      { title = "the called function", "return a, b end", "return a, b * 2 end", after = "100 9 200 6", taken = 0 },
    },
  },
  { "H49 a closure that is returned under a variable's name",
    text = [[
local function counter(step)
  local n = 0
  return function() n = n + step return n end
end
local next = counter(1)
local other = counter(1)
return { next = next, other = other }]],
    act = "for i = 1, $N do LAST = M.next() end", show = { "LAST", "type(M.next)" }, before = "$N function",
    kept = "any",
    unrelated = { "VERSION = 1", "VERSION = 2", then_act = "LAST = M.next()", then_gives = "$(N + 1) function" },
    -- The edited argument wins, as where the field is given by the call itself.
    value = { "next = counter(1)", "next = counter(5)", after = "$N function", taken = "any",
      then_act = "WAS = M.next()", then_show = "M.next() - WAS", then_gives = "5" },
    rename = { "other", "another", show = { "LAST", "M.another()" }, after = "$N 1", aside = "any" },
    removed = { "local other = counter(1)\n", "", "other = other", "", after = "$N function", aside = "any",
      restored = "any" },
    more = { { title = "the other one's argument", "other = counter(1)", "other = counter(5)",
      after = "$N function", then_act = "LAST = M.next()", then_show = { "LAST", "M.other()" },
      then_gives = "$(N + 1) 5" } },
  },
}
