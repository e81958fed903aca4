-- The page as a whole: all contacts, the search, and what the right side shows.
local Editor = require("contacts.editor")
require("contacts.row") -- named by a template only, so nobody else requires it
require("contacts.tag")

local App = session:prototype("contacts.App", {
  query = "",
  selected = EMPTY, -- the contact in the detail view
  editor = EMPTY,   -- the form, while it is open
  removed = EMPTY,  -- the contact deleted last, while it can be brought back
  contacts = EMPTY, -- a list of its own for each app: see `new`
  nextId = 1,
})

function App:new(app)
  app = session:create(self, app)
  local contacts = app.contacts or {}
  app.contacts = {}
  for _, contact in ipairs(contacts) do app:add(contact) end
  app.selected = app:sorted()[1]
  return app
end

-- What the page shows.

function App:sorted()
  local list = table.move(self.contacts, 1, #self.contacts, 1, {})
  table.sort(list, function(a, b) return a.name:lower() < b.name:lower() end)
  return list
end

-- A getter may return a new table each time: lists are compared by their elements.
function App:visible()
  local list = {}
  for _, contact in ipairs(self:sorted()) do
    if contact:matches(self.query) then table.insert(list, contact) end
  end
  return list
end

function App:summary()
  local found, all = #self:visible(), #self.contacts
  if found < all then return found .. " of " .. all end
  return all == 1 and "1 person" or all .. " people"
end

function App:noMatch()
  if #self:visible() == 0 then
    return self.query == "" and "No contacts yet." or "Nobody matches “" .. self.query .. "”."
  end
end

-- The right side shows the form, or else the selected contact. The view has a place
-- for each; an object is shown by the view of its type, `nil` is shown by nothing.
function App:shown()
  if not self.editor then return self.selected end
end

function App:removedText()
  return self.removed and self.removed.name .. " was deleted."
end

-- Looking things up.

function App:find(id)
  for _, contact in ipairs(self.contacts) do
    if contact.id == id then return contact end
  end
end

function App:introducedBy(introducer)
  local list = {}
  for _, contact in ipairs(self:sorted()) do
    if contact.introducedBy == introducer.id then table.insert(list, contact) end
  end
  return list
end

-- Actions.

function App:select(contact)
  if self.editor and self.editor:isChanged() then
    self.editor.blocked = true
  else
    self.editor, self.selected = nil, contact
  end
end

function App:selectFirst()
  local first = self:visible()[1]
  if first then self:select(first) end
end

function App:clearQuery() self.query = "" end

function App:create() self:edit(nil) end

function App:edit(contact)
  if self.editor and self.editor:isChanged() then
    self.editor.blocked = true
  else
    self.editor = Editor:new(contact)
  end
end

function App:add(contact)
  if contact.id == 0 then contact.id = self.nextId end
  self.nextId = math.max(self.nextId, contact.id + 1)
  table.insert(self.contacts, contact)
end

function App:saved(contact)
  if not self:find(contact.id) then self:add(contact) end
  self.editor, self.selected = nil, contact
end

-- Delete at once and offer to take it back, instead of asking first.
function App:remove(contact)
  for i, other in ipairs(self.contacts) do
    if other == contact then table.remove(self.contacts, i) end
  end
  self.selected, self.removed = self:visible()[1], contact
  session:clearTimeout(self._undoTimer)
  self._undoTimer = session:setTimeout(function() self.removed = nil end, 8000)
end

function App:undo()
  if not self.removed then return end
  self:add(self.removed)
  self.selected, self.removed = self.removed, nil
end

return App
