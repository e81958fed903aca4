-- A list with a selection: require("list"). Indices are 0-based, as paths and pages count.
--
--   local List = require("list")
--   local list = List:new()
--   list:addItem(contact)
--   list:selectItem(0)

local List = session:prototype("lsess.List", {
    selectionIndex = -1, -- -1 = nothing is selected
    disabled = false,
    items = EMPTY,       -- made in `new`: a table here would be shared
})

function List:new(inst)
    inst = session:create(self, inst)
    inst.items = inst.items or {}
    return inst
end

function List:count()
    return #self.items
end

-- At the end, or before the item that is at `index` now. Returns the index it got.
function List:addItem(item, index)
    local count = #self.items
    index = math.max(0, math.min(math.tointeger(index) or count, count))
    table.insert(self.items, index + 1, item)
    if index <= self.selectionIndex then
        self.selectionIndex = self.selectionIndex + 1
    end
    return index
end

-- Returns the removed item, or nil. The selection stays with its item; if that is the one, nothing is selected.
function List:removeItem(index)
    index = math.tointeger(index)
    if not index or index < 0 or index >= #self.items then
        return nil
    end
    local item = table.remove(self.items, index + 1)
    if index == self.selectionIndex then
        self.selectionIndex = -1
    elseif index < self.selectionIndex then
        self.selectionIndex = self.selectionIndex - 1
    end
    return item
end

-- Returns whether it is selected now; -1 selects nothing. A disabled list keeps its selection.
function List:selectItem(index)
    index = math.tointeger(index)
    if self.disabled or not index or index < -1 or index >= #self.items then
        return false
    end
    self.selectionIndex = index
    return true
end

function List:getSelected()
    if self.selectionIndex >= 0 then
        return self.items[self.selectionIndex + 1]
    end
end

-- Returns whether it moved.
function List:moveItem(from, to)
    from, to = math.tointeger(from), math.tointeger(to)
    local count = #self.items
    if not from or not to or from < 0 or to < 0 or from >= count or to >= count or from == to then
        return false
    end
    local selected = self:getSelected()
    table.insert(self.items, to + 1, table.remove(self.items, from + 1))
    if selected ~= nil then
        if self.selectionIndex == from then
            self.selectionIndex = to
        elseif from < self.selectionIndex and to >= self.selectionIndex then
            self.selectionIndex = self.selectionIndex - 1
        elseif from > self.selectionIndex and to <= self.selectionIndex then
            self.selectionIndex = self.selectionIndex + 1
        end
    end
    return true
end

function List:clear()
    for i = #self.items, 1, -1 do
        self.items[i] = nil
    end
    self.selectionIndex = -1
end

return List
