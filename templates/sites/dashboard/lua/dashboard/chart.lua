-- A row of samples and the curve through them, as the text of an SVG path.
-- The view binds that text: `<path ui-attr-d="line">`.
local WIDTH, HEIGHT = 600, 160 -- the viewBox of the view

local Chart = session:prototype("dashboard.Chart", {
  title = "",
  text = "–",      -- the newest figure, as people read it
  note = "",
  hue = 200,
  capacity = 60,   -- samples kept
  ceiling = 0,     -- the value at the top; 0 fits it to the samples
  floor = 0,       -- the value at the bottom
  line = "",       -- path of the curve
  area = "",       -- path of the surface below it
  samples = EMPTY, -- a list of its own for each chart, set in `new`
})

function Chart:new(chart)
  chart = session:create(self, chart)
  chart.samples = chart.samples or {}
  return chart
end

function Chart:add(value, text, note)
  table.insert(self.samples, value)
  while #self.samples > self.capacity do table.remove(self.samples, 1) end
  self.text, self.note = text, note or self.note
  self:draw()
end

-- Drawn once for each sample and kept in fields. As getters the paths would be
-- made again after every event of the page.
function Chart:draw()
  local samples, points = self.samples, {}
  local top = self.ceiling
  if top == 0 then top = 1.2 * math.max(self.floor + 0.1, table.unpack(samples)) end
  local step = WIDTH / math.max(#samples - 1, 1)
  for i, value in ipairs(samples) do
    local y = HEIGHT * (1 - (value - self.floor) / (top - self.floor))
    points[i] = ("%.1f,%.1f"):format((i - 1) * step, math.min(math.max(y, 2), HEIGHT - 2))
  end
  if #points == 1 then points[2] = WIDTH .. "," .. points[1]:match(",(.*)") end
  self.line = "M" .. table.concat(points, "L")
  self.area = self.line .. ("L%d,%dL0,%dZ"):format(WIDTH, HEIGHT, HEIGHT)
end

function Chart:label() return self.title .. ": " .. self.text end

return Chart
