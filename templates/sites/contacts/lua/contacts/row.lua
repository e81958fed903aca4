-- A contact as a line of the list on the left. A presenter: it holds what only
-- this place needs, so that the contact itself stays free of it.
-- The list asks for one per element: `...wrapper=lua.ViewList&itemWrapper=contacts.Row`.
local Row = session:prototype("contacts.Row", { contact = EMPTY })

-- `item` describes the place in the list: item.baseItem is the element, item.index
-- its position from 0. A row follows its contact when the list is sorted anew.
function Row:new(item)
  return session:create(self, { contact = item.baseItem })
end

function Row:isSelected() return session:getApp().selected == self.contact end

function Row:select() session:getApp():select(self.contact) end

return Row
