-- The page: a clock that takes samples, four charts of the machine, and a signal.
local Chart = require("dashboard.chart")
local Signal = require("dashboard.signal")
local System = require("dashboard.system")

local App = session:prototype("dashboard.App", {
  running = true,
  interval = "1000", -- milliseconds between samples: what the select holds
  ticks = 0,
  started = 0,
  host = "",
  charts = EMPTY,    -- the four below, in the order of the page
  processor = EMPTY,
  memory = EMPTY,
  load = EMPTY,
  heap = EMPTY,
  signal = EMPTY,
})

function App:new(app)
  app = session:create(self, app)
  app.started, app.host = os.time(), System.host()
  app.signal = Signal:new()
  app.processor = Chart:new({ title = "Processor", hue = 205, ceiling = 100 })
  app.memory = Chart:new({ title = "Memory", hue = 160 })
  app.load = Chart:new({ title = "Load", hue = 30 })
  app.heap = Chart:new({ title = "Lua heap", hue = 335 })
  app.charts = { app.processor, app.memory, app.load, app.heap }
  app:sample()
  return app
end

-- One timer, made anew when its pace changes. Its function only calls methods, so it
-- runs the new code after a save. The signal moves at four times the pace.
function App:start()
  session:clearInterval(self._timer)
  local pace = math.max(tonumber(self.interval) or 1000, 200) // 4
  self._timer = session:setInterval(function() self:tick() end, pace)
end

function App:tick()
  if not self.running then return end
  self.ticks = self.ticks + 1
  self.signal:step()
  if self.ticks % 4 == 0 then self:sample() end
end

-- Where the machine tells nothing, a figure is made up, and the note says so.
local function madeUp(top, speed)
  return top * (0.5 + 0.4 * math.sin(os.time() / speed)), "made up"
end

function App:sample()
  self:sampleProcessor()

  local used, note = System.memory()
  if used then
    self.memory.ceiling, note = note, ("of %.1f GiB"):format(note)
  else
    used, note = madeUp(8, 11)
  end
  self.memory:add(used, ("%.1f GiB"):format(used), note)

  local load
  load, note = System.load(), "in the last minute"
  if not load then load, note = madeUp(2, 5) end
  self.load:add(load, ("%.2f"):format(load), note)

  local heap = collectgarbage("count")
  self.heap:add(heap, ("%.0f KiB"):format(heap), "of this session")
end

-- The counters only grow; what the processor did lately is their difference.
function App:sampleProcessor()
  local work, all = System.processor()
  local share, note
  if not work then
    share, note = madeUp(100, 7)
  elseif self._all and all > self._all then
    share, note = (work - self._work) / (all - self._all) * 100, "of all cores"
  end
  self._work, self._all = work, all
  if share then self.processor:add(share, ("%.0f %%"):format(share), note) end
end

-- What the page shows beside the charts. Getters run after every tick, so they are small.

function App:state() return self.running and "live" or "paused" end

function App:pauseText() return self.running and "Pause" or "Go on" end

function App:number() return session._sessionID end

function App:since() return os.date("%H:%M:%S", self.started) end

function App:age()
  local seconds = os.time() - self.started
  return ("%d:%02d:%02d"):format(seconds // 3600, seconds // 60 % 60, seconds % 60)
end

-- `pace()?access=rw`: called without an argument to read, with one to write.
function App:pace(...)
  if select("#", ...) > 0 then
    self.interval = tostring((...))
    self:start()
  end
  return self.interval
end

-- Action.

function App:toggle() self.running = not self.running end

return App
