-- One person. A model: it knows its data and what follows from it, nothing about the page.

-- The table declares the fields and their defaults. Instances start empty and
-- read the defaults through the prototype; what you assign becomes their own.
-- Add a field here and save: every living contact has it at once.
local Contact = session:prototype("contacts.Contact", {
  id = 0,
  name = "",
  role = "",
  company = "",
  email = "",
  phone = "",
  notes = "",
  favourite = false,
  introducedBy = 0, -- the id of another contact, 0 for nobody
  tags = EMPTY,     -- declared, but without a default: see `mutate`
})

function Contact:new(contact)
  contact = session:create(self, contact)
  contact:mutate()
  return contact
end

-- After a save that changed the declaration above, lsess calls `mutate` once on
-- each living contact, so that it can catch up. Lists belong to the instance: a
-- table among the defaults would be shared by all contacts.
function Contact:mutate()
  self.tags = self.tags or {}
end

-- Getters. A template calls them by path (`initials()`), and lsess does so again
-- after every event; they must only look, never change anything.

function Contact:initials()
  local letter = "(" .. utf8.charpattern .. ")"
  local first, last = self.name:match("^%s*" .. letter), self.name:match(".*%S%s+" .. letter)
  return ((first or "?") .. (last or "")):upper()
end

function Contact:hue() -- a colour for the avatar, always the same for the same name
  local sum = 0
  for i = 1, #self.name do sum = (sum * 31 + self.name:byte(i)) % 360 end
  return sum
end

function Contact:work()
  local dot = self.role ~= "" and self.company ~= "" and " · " or ""
  return self.role .. dot .. self.company
end

function Contact:mailLink() return "mailto:" .. self.email end

function Contact:phoneLink() return "tel:" .. self.phone:gsub("[^%d+]", "") end

-- Every word of the query has to occur somewhere.
function Contact:matches(query)
  local tags = table.concat(self.tags, " ")
  local text = table.concat({ self.name, self:work(), self.email, tags }, " "):lower()
  for word in query:lower():gmatch("%S+") do
    if not text:find(word, 1, true) then return false end
  end
  return true
end

function Contact:introducer() return session:getApp():find(self.introducedBy) end

function Contact:introduced() return session:getApp():introducedBy(self) end

-- Actions: what `ui-action` in a template calls. They change objects and return
-- nothing; lsess finds out what changed and sends just that.

function Contact:select() session:getApp():select(self) end

function Contact:edit() session:getApp():edit(self) end

function Contact:remove() session:getApp():remove(self) end

return Contact
