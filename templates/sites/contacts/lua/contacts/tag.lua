-- A tag as a chip. Tags are plain strings, and a string has no view; this item
-- presenter gives each of them one, and an action.
local Tag = session:prototype("contacts.Tag", { text = "" })

function Tag:new(item)
  return session:create(self, { text = item.baseItem })
end

function Tag:search() session:getApp().query = self.text end

return Tag
