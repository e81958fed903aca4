-- Makes the dashboard and sets it going. A save keeps the figures and the clock.
local App = require("dashboard.app")

if not session:getApp() then
  local app = App:new()
  session:createAppVariable(app)
  app:start()
end
