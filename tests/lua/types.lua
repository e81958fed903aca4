-- From a type name to an object (L122, L129, L130, T67, T72, T74), private fields (L128, L146).

local function class(label)
    local C = { label = label }
    C.__index = C
    function C.new(self, variable)
        return setmetatable({ variable = variable, class = self }, C)
    end
    return C
end

local function wrapper_of(name)
    local id = session:createVariable(1, { some = "object" }, { wrapper = name })
    local wrapper = session:getVariable(id):getWrapper()
    return wrapper and wrapper.label, wrapper, id
end

T.step("look-up order", function()
    session:createAppVariable({})
    ui.registerWrapper("Kind", class("wrapper"))
    local P = session:prototype("Kind", class("prototype"))
    ui.registerPresenter("Kind", class("presenter"))
    Kind = class("global")
    T.equal("L129 L122", (wrapper_of("Kind")), "wrapper")
    local P2 = session:prototype("Kind2", { label = "prototype" })
    function P2.new(self, variable) return session:create(self, { variable = variable }) end
    ui.registerPresenter("Kind2", class("presenter"))
    T.equal("L129", (wrapper_of("Kind2")), "prototype")
    ui.registerPresenter("Kind3", class("presenter"))
    Kind3 = class("global")
    T.equal("L129", (wrapper_of("Kind3")), "presenter")
    Kind4 = class("global")
    _G["Deep.Kind"] = class("exact")
    Deep = { Kind = class("split"), Other = class("split") }
    T.equal("L129", (wrapper_of("Kind4")), "global")
    T.equal("L129", (wrapper_of("Deep.Kind")), "exact")
    T.equal("L129", (wrapper_of("Deep.Other")), "split")
    session:prototype("Ns.Kind", { label = "dotted prototype" })
    T.equal("L129", (wrapper_of("Ns.Kind")), "dotted prototype")
    T.equal("L129", (wrapper_of("No.Such")), nil)
    NoNew = {}
    T.equal("L130", (wrapper_of("NoNew")), nil)
    ui.registerWrapper("Computes", { new = class("computes").new, computeValue = function() COMPUTED = true end })
    wrapper_of("Computes")
    T.equal("L122", COMPUTED, nil)
    T.ok("L122", P)
end)

T.step("presenters without new", function()
    ui.registerPresenter("Simple", { label = "simple", init = function(self) self.ready = true end })
    local label, wrapper = wrapper_of("Simple")
    T.equal("L130", label, "simple")
    T.equal("L130", wrapper.ready, true)
    T.equal("L130", rawget(wrapper, "label"), nil)
end)

T.step("what new is given", function()
    local label, wrapper, id = wrapper_of("Kind4")
    T.equal("L130", wrapper.class, Kind4)
    T.equal("T72", wrapper.variable:getId(), id)
    T.equal("T72", wrapper.variable.getProperty("wrapper"), "Kind4")
    T.ok("T72", label)
end)

T.step("private names and empty tables", function()
    T.equal("L146", ui.json_encode { _hidden = 1, shown = 2 }, '{"shown":2}')
    T.equal("L146", ui.json_encode { 1, 2, _private = 3 }, "[1,2]")
    T.equal("L128", ui.json_encode { empty = {} }, '{"empty":{}}')
    local id = session:createVariable(1, {})
    T.equal("L128", type(session:getVariable(id):getValue()), "table")
end)

T.step("ui.log", function()
    ui.log("from ui")
    T.equal("L123", select("#", ui.log(0, "with a level")), 0)
end)
