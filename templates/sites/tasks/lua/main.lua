-- The site: it shows one app, which lives in apps/tasks/ and is linked in here.
-- lua/tasks.lua leads to apps/tasks/app.lua, lua/tasks/ to apps/tasks/.
local Tasks = require("tasks")

if not session:getApp() then
  session:createAppVariable(Tasks:new({
    tasks = {
      "Open this page in a second window",
      "Change apps/tasks/app.lua, save, watch",
      "Type here without saving anything",
      "Tick this off",
    },
  }))
end
