-- Figures of the machine, from the /proc of Linux. Each function returns nil where
-- there is none: on other systems, and under `lsess serve --sandbox`.
local System = {}

local function read(path)
  local ok, text = pcall(function()
    local file <close> = assert(io.open(path))
    return file:read("a")
  end)
  return ok and text or nil
end

function System.load() -- the average number of busy processes in the last minute
  local text = read("/proc/loadavg")
  return text and tonumber(text:match("^%S+"))
end

function System.memory() -- used and present, in GiB
  local text = read("/proc/meminfo")
  if not text then return nil end
  local total = tonumber(text:match("MemTotal:%s*(%d+)"))
  local free = tonumber(text:match("MemAvailable:%s*(%d+)"))
  if total and free then return (total - free) / 1048576, total / 1048576 end
end

function System.processor() -- two counters that only grow: time at work, and all time
  local text = read("/proc/stat")
  if not text then return nil end
  local all, idle, column = 0, 0, 0
  for ticks in text:match("^cpu([^\n]*)"):gmatch("%d+") do
    column = column + 1
    all = all + tonumber(ticks)
    if column == 4 or column == 5 then idle = idle + tonumber(ticks) end -- idle, iowait
    if column == 8 then break end -- what follows is counted in the first ones already
  end
  return all - idle, all
end

function System.host()
  local text = read("/proc/sys/kernel/hostname")
  return text and text:match("%S+") or "this machine"
end

return System
