-- Runs once for each browser session, and again whenever you save it.

-- The fields of the app and their defaults. Its view is viewdefs/App.DEFAULT.html.
local App = session:prototype("App", {
  name = "",
  count = 0,
})

-- A getter: the view shows it as `greeting()`.
function App:greeting()
  return self.name == "" and "Hello!" or "Hello, " .. self.name .. "!"
end

-- Actions: the buttons call them.

function App:add() self.count = self.count + 1 end

function App:reset() self.count = 0 end

-- Only the first time: a save keeps the app and what is in it.
if not session:getApp() then
  session:createAppVariable(App:new())
end
