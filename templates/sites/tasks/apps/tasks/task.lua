-- One task. The view binds `done` and `title` directly: ticking and typing need no code.
local Task = session:prototype("Tasks.Task", {
  title = "",
  done = false,
  owner = EMPTY, -- the Tasks it is in
})

function Task:remove() self.owner:remove(self) end

function Task:toTop() self.owner:toTop(self) end

-- Every row has the same controls; a screen reader needs to hear whose they are.

function Task:doneLabel() return "Done: " .. self.title end

function Task:topLabel() return "Move to the top: " .. self.title end

function Task:deleteLabel() return "Delete: " .. self.title end

return Task
