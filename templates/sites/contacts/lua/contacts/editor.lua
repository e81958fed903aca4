-- The form for a new or an existing contact. It edits a draft, its own fields, and
-- touches the contact only in `save`; so `cancel` has nothing to undo.
local Contact = require("contacts.contact")

local TEXTS = { "name", "role", "company", "email", "phone", "notes" }

local Editor = session:prototype("contacts.Editor", {
  contact = EMPTY, -- what is edited; none for a new contact
  name = "", role = "", company = "", email = "", phone = "", notes = "",
  tagText = "",
  introducedBy = 0,
  tried = false,   -- complaints appear after the first attempt to save, not while typing
  blocked = false, -- somebody tried to leave with changes unsaved
  choices = EMPTY, -- the options of the select
})

-- The first option of the select. Its type differs from the others', and the type
-- picks the view: contacts.Nobody.option.html.
local Nobody = session:prototype("contacts.Nobody")

function Editor:new(contact)
  local editor = session:create(self, { contact = contact })
  for _, field in ipairs(TEXTS) do editor[field] = contact and contact[field] end
  if contact then
    editor.tagText = table.concat(contact.tags, ", ")
    editor.introducedBy = contact.introducedBy
  end
  editor.choices = { session:create(Nobody) }
  for _, other in ipairs(session:getApp():sorted()) do
    if other ~= contact then table.insert(editor.choices, other) end
  end
  return editor
end

function Editor:title() return self.contact and "Edit contact" or "New contact" end

-- `introducer()?access=rw` reads without an argument and writes with one. A
-- select sends text, ids are numbers.
function Editor:introducer(...)
  if select("#", ...) > 0 then
    self.introducedBy = math.tointeger(tonumber((...))) or 0
  end
  return self.introducedBy
end

-- Validation: a getter for each complaint, nil when there is none.

function Editor:nameProblem()
  if self.tried and not self.name:find("%S") then return "Please enter a name." end
end

function Editor:emailProblem()
  if self.tried and self.email ~= "" and not self.email:find("^[^%s@]+@[^%s@]+%.[^%s@]+$") then
    return "That does not look like an e-mail address."
  end
end

function Editor:isChanged()
  local before = self.contact or Contact
  for _, field in ipairs(TEXTS) do
    if self[field] ~= before[field] then return true end
  end
  return self.introducedBy ~= before.introducedBy
    or self.tagText ~= table.concat(before.tags or {}, ", ")
end

function Editor:leavingProblem()
  if self.blocked and self:isChanged() then return "Save or cancel your changes first." end
end

-- Actions.

function Editor:save()
  self.tried = true
  if self:nameProblem() or self:emailProblem() then return end
  local contact = self.contact or Contact:new()
  for _, field in ipairs(TEXTS) do contact[field] = self[field] end
  contact.introducedBy = self.introducedBy
  contact.tags = {}
  for tag in self.tagText:gmatch("[^,]+") do
    tag = tag:match("^%s*(.-)%s*$")
    if tag ~= "" then table.insert(contact.tags, tag) end
  end
  session:getApp():saved(contact)
end

function Editor:cancel() session:getApp().editor = nil end

return Editor
