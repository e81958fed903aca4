-- Two waves added up: something that moves on any machine, shaped by three sliders.
local Chart = require("dashboard.chart")

local Signal = session:prototype("dashboard.Signal", {
  time = 0,
  pitch = 4,     -- what the sliders hold; a slider sends text, see `number`
  overtone = 5,
  noise = 1,
  chart = EMPTY,
})

function Signal:new(signal)
  signal = session:create(self, signal)
  signal.chart = Chart:new({ title = "Signal", hue = 265, capacity = 120, ceiling = 2, floor = -2 })
  for _ = 1, signal.chart.capacity - 1 do table.insert(signal.chart.samples, signal:next()) end
  signal:step()
  return signal
end

local function number(value) return tonumber(value) or 0 end

function Signal:next()
  self.time = self.time + 0.05 * number(self.pitch)
  return math.sin(self.time) + math.sin(self.time * number(self.overtone) / 2) * 0.6
    + (math.random() - 0.5) * 0.2 * number(self.noise)
end

function Signal:step()
  local value = self:next()
  self.chart:add(value, ("%+.2f"):format(value))
end

return Signal
