-- The app: a list of tasks, a filter, and the field for a new one.
local Task = require("tasks.task")

local Tasks = session:prototype("Tasks", {
  draft = "",     -- what is typed into the field
  filter = "all", -- or "open", "done": the values of the radio buttons
  tasks = EMPTY,  -- a list of its own for each instance, set in `new`
})

-- `tasks.tasks` may hold titles.
function Tasks:new(tasks)
  tasks = session:create(self, tasks)
  local titles = tasks.tasks or {}
  tasks.tasks = {}
  for _, title in ipairs(titles) do tasks:append(title) end
  return tasks
end

function Tasks:append(title)
  table.insert(self.tasks, Task:new({ title = title, owner = self }))
end

-- What the page shows.

function Tasks:shown()
  local list = {}
  for _, task in ipairs(self.tasks) do
    if self.filter == "all" or task.done == (self.filter == "done") then
      table.insert(list, task)
    end
  end
  return list
end

function Tasks:doneCount()
  local count = 0
  for _, task in ipairs(self.tasks) do
    if task.done then count = count + 1 end
  end
  return count
end

function Tasks:share() -- of the tasks that are done, for the progress bar
  return #self.tasks == 0 and 0 or self:doneCount() / #self.tasks
end

function Tasks:summary()
  local open = #self.tasks - self:doneCount()
  if #self.tasks == 0 then return "Nothing to do" end
  if open == 0 then return "All done" end
  return open .. (open == 1 and " task left" or " tasks left")
end

function Tasks:emptyText()
  if #self:shown() > 0 then return nil end
  if #self.tasks == 0 then return "Add your first task above." end
  return self.filter == "done" and "Nothing is done yet." or "Everything is done. Well done!"
end

-- Actions.

function Tasks:add()
  local title = self.draft:match("^%s*(.-)%s*$")
  if title ~= "" then self:append(title) end
  self.draft = ""
end

function Tasks:forgetDraft() self.draft = "" end

function Tasks:remove(task)
  for i, other in ipairs(self.tasks) do
    if other == task then return table.remove(self.tasks, i) end
  end
end

function Tasks:toTop(task)
  table.insert(self.tasks, 1, self:remove(task))
end

function Tasks:clearDone()
  for i = #self.tasks, 1, -1 do
    if self.tasks[i].done then table.remove(self.tasks, i) end
  end
end

return Tasks
