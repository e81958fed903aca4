-- The site: it shows one app, which lives in apps/tasks/ and is linked in here.
-- lua/tasks.lua leads to apps/tasks/app.lua, lua/tasks/ to apps/tasks/.
local Tasks = require("tasks")

if not session:getApp() then
  session:createAppVariable(Tasks:new({
    tasks = {
      "Tick this off",
      "Type here to rename",
      "Open a second window",
      "Edit apps/tasks/app.lua",
    },
  }))
end
