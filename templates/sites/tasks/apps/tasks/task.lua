-- One task. The view binds `done` and `title` directly: ticking and typing need no code.
local Task = session:prototype("Tasks.Task", {
  title = "",
  done = false,
  owner = EMPTY, -- the Tasks it is in
})

function Task:remove() self.owner:remove(self) end

-- Moves the task by one place among all of them.
function Task:move(step)
  local tasks = self.owner.tasks
  for i, other in ipairs(tasks) do
    if other == self then
      local j = i + step
      if tasks[j] then tasks[i], tasks[j] = tasks[j], tasks[i] end
      return
    end
  end
end

function Task:up() self:move(-1) end

function Task:down() self:move(1) end

function Task:deleteLabel() return "Delete " .. self.title end

return Task
