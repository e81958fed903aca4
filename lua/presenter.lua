-- Standard presenter types: require("presenter").
--
--   local presenter = require("presenter")
--   local Clock = presenter.defineType("Clock")
--   Clock:defineProperty("time", function(self) return os.date("%X") end)
--   function Clock:init() self.ticks = 0 end
--
-- A defined type is registered with ui.registerPresenter, so that properties such as `wrapper=Clock` find it.

local M = {}

local Presenter = {}
Presenter.__index = Presenter

-- Called for each new object; types replace it.
function Presenter:init() end

function Presenter:getType()
    return self.type
end

-- Own public fields, as ui.json_encode shows them: no functions, no names that start with "_".
function Presenter:toData()
    local data = {}
    for key, value in next, self do
        local hidden = type(key) == "string" and key:sub(1, 1) == "_"
        if not hidden and type(value) ~= "function" then
            data[key] = value
        end
    end
    return data
end

function Presenter.defineMethod(class, name, fn)
    assert(type(name) == "string", "method name must be a string")
    assert(type(fn) == "function", "method must be a function")
    class[name] = fn
    return class
end

-- A property is a method that views name as `time()`, and `time(_)` where they write; the number of arguments tells the two apart.
function Presenter.defineProperty(class, name, get, set)
    assert(type(name) == "string", "property name must be a string")
    class[name] = function(self, ...)
        if select("#", ...) == 0 then
            return get and get(self)
        end
        if not set then
            error("property '" .. name .. "' of " .. tostring(class.type) .. " cannot be written", 2)
        end
        return set(self, (...))
    end
    return class
end

-- `new(class, item)`: the item of a list, or the variable of a wrapper; nil otherwise.
function Presenter.new(class, item)
    local object = setmetatable({}, class)
    if item ~= nil then
        object.viewListItem = item
    end
    object:init()
    return object
end

function M.defineType(name)
    assert(type(name) == "string", "type name must be a string")
    local class = setmetatable({ type = name }, Presenter)
    class.__index = class
    ui.registerPresenter(name, class)
    return class
end

M.Presenter = Presenter

return M
