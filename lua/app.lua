-- An application that shows one page at a time and remembers the way: require("app").
--
--   local App = require("app")
--   local app = App:new { title = "Shop" }
--   app:navigate("/cart", cart)

local App = session:prototype("lsess.App", {
    url = "",
    historyIndex = 0, -- 1-based place in `history`, 0 = nothing has been shown yet
    history = EMPTY,  -- pages, made in `new`: a table here would be shared
})

function App:new(inst)
    inst = session:create(self, inst)
    inst.history = inst.history or {}
    inst._urls = inst._urls or {}
    return inst
end

function App:currentPage()
    return self.history[self.historyIndex]
end

-- Shows a page; what lay ahead in the history is gone.
function App:navigate(url, page)
    for i = #self.history, self.historyIndex + 1, -1 do
        self.history[i], self._urls[i] = nil, nil
    end
    self.historyIndex = self.historyIndex + 1
    self.history[self.historyIndex] = page
    self._urls[self.historyIndex] = url
    self.url = url
end

-- Go to a place of the history. Returns whether it moved.
function App:go(index)
    index = math.tointeger(index)
    if not index or index == self.historyIndex or index < 1 or index > #self.history then
        return false
    end
    self.historyIndex = index
    self.url = self._urls[index] or ""
    return true
end

function App:back()
    return self:go(self.historyIndex - 1)
end

function App:forward()
    return self:go(self.historyIndex + 1)
end

-- Another page at the same place of the history.
function App:replaceCurrentPage(url, page)
    if self.historyIndex == 0 then
        return self:navigate(url, page)
    end
    self.history[self.historyIndex] = page
    self._urls[self.historyIndex] = url
    self.url = url
end

return App
