-- The app object, variables, watching (L63 to L71, T103 to T106).

T.step("the app variable", function()
    T.equal("L65", session:getApp(), nil)
    T.equal("L69", session:getAppVariable(), nil)
    T.raises("L66", "createAppVariable", function() session:createVariable(0, {}) end)
    App = session:prototype("App", { title = "" })
    app = App:new { title = "one" }
    T.equal("L63", session:createAppVariable(app, { color = 5, [1] = "ignored", flag = true }), 1)
    T.equal("L65", session:getApp(), app)
    local v = session:getVariable(1)
    T.equal("L63", v:getProperty("color"), "5")
    T.equal("L63", v:getProperty("flag"), "true")
    T.equal("L63", v:getProperty("type"), "App")
    T.equal("L69", v, session:getAppVariable())
    T.equal("L69", v:getId(), 1)
    T.equal("T72", v.getID(), 1)
    T.equal("L69", v:getValue(), app)
    T.equal("T72", v.getProperty("color"), "5")
    T.equal("L69", v:getProperty("none"), nil)
    T.equal("L69", session:getVariable(99), nil)
    T.raises("L61", "getVariable", function() session:getVariable("x") end)
    T.raises("L63", "createAppVariable", function() session:createAppVariable(5) end)
    T.equal("L64", session:createAppVariable(app), 1)
    local other = App:new { title = "two" }
    T.equal("L64", session:createAppVariable(other), 1)
    T.equal("L64", session:getApp(), other)
    T.equal("L64", v:getValue(), other)
    app = other
end)

T.step("children", function()
    local item = { name = "x" }
    local id = session:createVariable(1, item, { kind = "k" })
    T.equal("T10", id, -1)
    T.equal("L66", session:getVariable(id):getValue(), item)
    T.equal("L66", session:createVariable(app, {}), -2)
    T.equal("L66", session:createVariable(item, {}), -3)
    T.equal("L66", session:createVariable(555, {}), nil)
    T.ok("T8", session:createVariable(0, {}) > 1)
    T.raises("L66", "no variable's value", function() session:createVariable({}, {}) end)
    T.raises("L66", "bad argument #1 to 'createVariable'", function() session:createVariable("1", {}) end)
    T.raises("L66", "bad argument #2 to 'createVariable'", function() session:createVariable(1, 5) end)
    local v = session:getVariable(-3)
    session:destroyVariable(id)
    T.equal("L67", session:getVariable(-1), nil)
    T.equal("L67", session:getVariable(-3), nil)
    T.equal("L69", v:getValue(), nil)
    T.equal("L69", v:getId(), nil)
    v:update(5)
    session:destroyVariable(12345)
    session:destroyVariable({})
    T.raises("L67", "app variable", function() session:destroyVariable(1) end)
    T.raises("L67", "app variable", function() session:destroyVariable(app) end)
    T.raises("L67", "destroyVariable", function() session:destroyVariable("x") end)
    local twice = {}
    session:createVariable(1, twice)
    session:createVariable(1, twice)
    session:destroyVariable(twice)
    T.equal("T105", session:getVariable(-5), nil)
    session:registerStandardVariable("@here", app)
    session:registerStandardVariable("@here", 1)
    T.raises("T106", "no variable's value", function() session:registerStandardVariable("@x", {}) end)
end)

LOG = {}

T.step("watching", function()
    held = { n = 1 }
    id = session:createVariable(1, held)
    T.equal("L70", session:watchProperty(1, "color", function(value) LOG[#LOG + 1] = "color=" .. tostring(value) end), 1)
    session:watchVariable(id, function(value, name)
        LOG[#LOG + 1] = "any " .. name
        T.equal("L70", value, name == "value" and held or "v")
    end)
    session:watchProperty(id, "value", function(value)
        LOG[#LOG + 1] = "value"
        T.equal("L70", value, held)
        error("does not stop the others")
    end)
    stop = session:watchProperty(1, "color", function() LOG[#LOG + 1] = "stopped" end)
    session:unwatch(stop)
    session:unwatch(stop)
    session:unwatch(nil)
    T.equal("L70", session:watchProperty(4711, "x", print), nil)
    T.raises("L61", "watchProperty", function() session:watchProperty(1, "x") end)
    session:getVariable(1):updateProperties { color = "red" }
    held = { n = 2 }
    session:getVariable(id):update(held, { prop = "v" })
end)

T.step("what was called", function()
    table.sort(LOG)
    T.equal("L70 L71", table.concat(LOG, ", "), "any prop, any value, color=red, value")
    LOG = {}
    session:getVariable(1):updateProperties { color = "" }
    session:watchProperty(1, "late", function()
        LOG[#LOG + 1] = "late"
        session:watchProperty(1, "late", function() LOG[#LOG + 1] = "registered inside" end)
    end)
    session:getVariable(1):updateProperties { late = "1" }
end)

T.step("removed, and registered inside", function()
    table.sort(LOG)
    T.equal("L70 L71", table.concat(LOG, ", "), "color=nil, late")
    LOG = {}
    session:destroyVariable(id)
end)

T.step("nil is a value where nothing is there", function()
    local id = session:createVariable(1, { n = 1 })
    local v = session:getVariable(id)
    T.equal("L69", select("#", v:getProperty("none")), 1)
    T.equal("L69", select("#", v:getWrapper()), 1)
    T.equal("L66", select("#", session:createVariable(99999, {})), 1)
    T.equal("L70", select("#", session:watchVariable(99999, print)), 1)
    T.equal("L69", select("#", session:getVariable(99999)), 1)
    session:destroyVariable(id)
    T.equal("L69", select("#", v:getId()) + select("#", v:getValue()) + select("#", v:getProperty("x")) + select("#", v:getWrapper()), 4)
    T.equal("L69", tostring(v:getId()), "nil")
end)
