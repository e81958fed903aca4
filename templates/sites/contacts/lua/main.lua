-- main.lua runs once for every browser session, in a Lua VM of its own. It runs
-- again whenever you save it: the objects stay alive and get the new code.
local App = require("contacts.app")
local sample = require("contacts.sample")

-- The app object is the root of the page: every path in the app's view starts
-- there. The guard makes running this file a second time harmless.
if not session:getApp() then
  session:createAppVariable(App:new({ contacts = sample() }))
end

-- session.reloading is true only while a save makes this file run again.
if session.reloading then
  session:log(1, "contacts: new code, the same " .. #session:getApp().contacts .. " people")
end
