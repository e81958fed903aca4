-- Prototypes, instances, mutation (L59 to L62, L72 to L106, the first table of section 27).

local function count(t)
    local n = 0
    for _ in pairs(t) do
        n = n + 1
    end
    return n
end

-- Declare in a load, so that the queue is processed at its end (L95).
local serial = 0
local function load_text(text)
    serial = serial + 1
    T.write("lua/load" .. serial .. ".lua", text)
    return require("load" .. serial)
end

T.step("the session table", function()
    T.equal("L62", session.reloading, false)
    T.equal("L62", session._sessionID, "7")
    session.reloading = true
    T.equal("L62", session.reloading, true)
    session.reloading = false
    session.mine = 5
    T.equal("L59", session.mine, 5)
    session.mine = nil
    T.raises("L61", "bad argument #1 to 'prototype' (string expected, got no value)", function() session:prototype() end)
    T.raises("L61", "bad argument #2 to 'prototype' (string expected, got nil)", function() session.prototype(session, nil) end)
    T.raises("L61", "bad argument #2 to 'prototype' (table or nil expected, got number)", function() session:prototype("X", 1) end)
    T.raises("L61", "bad argument #1 to 'create'", function() session:create() end)
    T.raises("L61", "to 'prototype' (string expected", function() return session:prototype(nil) end)
    T.equal("L60", session.prototype({}, "OnOther").type, "OnOther")
    T.equal("L119", session:getVersion(), 0)
    T.equal("L119", session:needsMutation({}), false)
    T.equal("L119", session:newVersion(), 1)
    T.equal("L119", session:needsMutation({}), true)
    T.equal("L119", session:needsMutation({ _mutationVersion = 1 }), false)
end)

T.step("first declaration", function()
    local init = { name = "", n = 0, gone = EMPTY, type = "x", __index = 5, [1] = "one" }
    local P = session:prototype("First.Nested", init)
    T.equal("L73", P, init)
    T.equal("L73", P.type, "First.Nested")
    T.equal("L73", P.__index, P)
    T.equal("L76", rawget(P, "gone"), nil)
    T.equal("L77", P[1], "one")
    T.equal("L72", _G["First"], nil)
    T.equal("L81", session:prototype("First.Nested"), P)
    T.equal("L81", session:prototype("Blank").type, "Blank")
    local instance = P:new { n = 3 }
    T.equal("L75", instance.n, 3)
    T.equal("L75", instance.name, "")
    T.equal("L90", getmetatable(instance), P)
    T.equal("L90", count(instance), 1)
    T.equal("L75", getmetatable(P.new(nil, {})), P)
end)

T.step("bases", function()
    local A = session:prototype("BaseA", { a = 1 })
    local D = session:prototype("DerivedA", { d = 1 }, A)
    T.equal("L74", getmetatable(D), A)
    T.equal("L75", rawget(D, "new"), nil)
    T.equal("L75", getmetatable(D:new()), D)
    T.equal("L75", D:new().a, 1)
    local bare = session:prototype("OnBare", {}, {})
    T.equal("L75", type(rawget(bare, "new")), "function")
    local Object = session:prototype("Object", { isObject = true })
    T.equal("L74", getmetatable(Object), nil)
    T.equal("L74", getmetatable(session:prototype("AfterObject", {})), Object)
    T.equal("L74", getmetatable(A), nil)
    local B = session:prototype("BaseB", { b = 2 })
    session:prototype("DerivedA", { d = 1 }, B)
    T.equal("L87", getmetatable(D), B)
    session:prototype("DerivedA", { d = 1 })
    T.equal("L87", getmetatable(D), B)
    session:removePrototype("Object")
    T.equal("L106", getmetatable(session:prototype("AfterObject")), Object)
    T.equal("L106", getmetatable(session:prototype("NoObject", {})), nil)
end)

T.step("the table of re-declarations", function()
    local function case(a, b, before)
        serial = serial + 1
        local name = "Case" .. serial
        MUTATED = 0
        CASE_A, CASE_B = a, b
        local P = session:prototype(name, a)
        function P.mutate() MUTATED = MUTATED + 1 end
        local i = P:new { own = "mine" }
        if before then
            before(P, i)
        end
        load_text("session:prototype('" .. name .. "', CASE_B)")
        return P, i, MUTATED
    end
    local P, i, ran = case({ n = "" }, { n = "" })
    T.equal("L83", ran, 0)
    P, i, ran = case({ n = "" }, { n = "", m = 0 })
    T.equal("L84 L88", ran, 1)
    T.equal("L89", i.m, 0)
    P, i, ran = case({ n = "", own = 1 }, { n = "" })
    T.equal("L85", rawget(P, "own"), nil)
    T.equal("L97", rawget(i, "own"), nil)
    T.equal("L97", ran, 1)
    P, i, ran = case({ own = "" }, { own = EMPTY })
    T.equal("L84", rawget(P, "own"), nil)
    T.equal("L84", i.own, "mine")
    T.equal("L88", ran, 1)
    local list = {}
    P, i, ran = case({ l = list }, { l = {} }, function(proto) table.insert(proto.l, "kept") end)
    T.equal("L84", P.l, list)
    T.equal("L84", P.l[1], "kept")
    T.equal("L83", ran, 0)
    P, i, ran = case({ l = { 1 } }, { l = { 1, 2 } })
    T.equal("L84", #P.l, 2)
    T.equal("L88", ran, 1)
    P, i, ran = case({ f = function() return 1 end }, { f = function() return 2 end })
    T.equal("L86", i.f(), 2)
    T.equal("L83", ran, 0)
    P, i, ran = case({ n = 0 }, { n = 0, m = 1 }, function(proto) proto.n = 5 end)
    T.equal("L84", i.n, 5)
    T.equal("L84", i.m, 1)
    T.equal("L88", ran, 1)
    P, i, ran = case({ n = "" }, nil)
    T.equal("L81", ran, 0)
    P, i, ran = case({ n = 1 }, { n = 1.0 })
    T.equal("L83", ran, 0)
    P, i, ran = case({ n = 0 / 0 }, { n = 0 / 0 })
    T.equal("L83", ran, 0)
    P, i, ran = case({ n = EMPTY }, { n = EMPTY })
    T.equal("L83", ran, 0)
    P, i, ran = case({ t = { a = { b = { 1 } } } }, { t = { a = { b = { 1 } } } })
    T.equal("L78", ran, 0)
    P, i, ran = case({ t = setmetatable({}, {}) }, { t = setmetatable({}, {}) })
    T.equal("L78", ran, 1)
    P, i, ran = case({ d = 1 }, {}, function(proto) proto.d = "static" end)
    T.equal("L85", P.d, "static")
    P, i, ran = case({ n = 1, new = function() return "old" end }, { n = 1, new = function() return "new" end },
        function() end)
    T.equal("L86", P.new(), "new")
end)

T.step("instances are tracked once and weakly", function()
    local P, Q = session:prototype("TrackP", { a = 1 }), session:prototype("TrackQ", { a = 1 })
    ORDER = {}
    function P:mutate() table.insert(ORDER, self.id) end
    function Q:mutate() table.insert(ORDER, "q" .. self.id) end
    local first, second, third = P:new { id = 1 }, P:new { id = 2 }, P:new { id = 3 }
    session:create(P, first)
    session:create(P, first)
    session:create(Q, second)
    local plain = setmetatable({ id = 9 }, P)
    for _ = 1, 50 do
        P:new { id = "garbage" }
    end
    collectgarbage()
    load_text("session:prototype('TrackP', { a = 2 }) session:prototype('TrackQ', { a = 2 })")
    T.equal("L91 L92 L93 L94", table.concat(ORDER, " "), "1 3 q2")
    T.equal("L92", getmetatable(session:create({}, plain)).type, nil)
    T.ok("L93", third)
    local Base = session:prototype("TrackBase", { a = 1 })
    local Derived = session:prototype("TrackDerived", {}, Base)
    ORDER = {}
    function Base:mutate() table.insert(ORDER, self.type) end
    local d, b = Derived:new(), Base:new()
    load_text("session:prototype('TrackBase', { a = 2 }) session:prototype('TrackDerived', { x = 1 })")
    T.equal("L97 L98", table.concat(ORDER, " "), "TrackDerived TrackBase")
    T.ok("L97", d.a == 2 and b.a == 2)
end)

T.step("the migration of section 27", function()
    local Ship = session:prototype("Ship", { name = "", captain = "" })
    local s = Ship:new { captain = "Ann" }
    load_text([[
        local Ship = session:prototype("Ship", { name = "", master = EMPTY })
        function Ship:mutate()
            SEEN_PLAIN, SEEN_DEFAULT = self.captain, Ship.captain
            self.master = self.master or rawget(self, "captain")
        end
    ]])
    T.equal("L99", SEEN_PLAIN, "Ann")
    T.equal("L85", SEEN_DEFAULT, "")
    T.equal("L97", s.master, "Ann")
    T.equal("L97", rawget(s, "captain"), nil)
    T.equal("L85", s.captain, nil)
end)

T.step("a failing mutate keeps its data", function()
    local P = session:prototype("Retry", { a = 1, b = 2 })
    local good, bad = P:new { a = 10, good = true }, P:new { a = 20 }
    local calls = 0
    function P:mutate()
        calls = calls + 1
        if not self.good then
            error("not yet")
        end
    end
    T.write("lua/retry.lua", "session:prototype('Retry', { b = 2 })")
    require("retry")
    T.equal("L100", calls, 2)
    T.equal("L100", rawget(good, "a"), nil)
    T.equal("L100", rawget(bad, "a"), 20)
    bad.good = true
    load_text("return 1")
    T.equal("L100", calls, 2)
    session:unloadModule("nothing")
    load_text("session:prototype('Retry', { b = 2 })")
    T.equal("L100", calls, 3)
    T.equal("L100", rawget(bad, "a"), nil)
    T.equal("L102", P.a, nil)
end)

T.step("order, merging, entries made while processing", function()
    LOG = {}
    local names = { "Queue1", "Queue2", "Queue3" }
    for _, name in ipairs(names) do
        local P = session:prototype(name, { v = 0, w = 0 })
        function P:mutate() table.insert(LOG, self.type) end
        _G["keep" .. name] = P:new { w = 1 }
    end
    load_text([[
        session:prototype("Queue2", { v = 1, w = 0 })
        session:prototype("Queue1", { v = 1, w = 0 })
        session:prototype("Queue2", { v = 2 })
        session:prototype("Queue2", { v = 3, w = 0 })
    ]])
    T.equal("L96 L88", table.concat(LOG, " "), "Queue2 Queue1")
    T.equal("L99", rawget(keepQueue2, "w"), 1)
    LOG = {}
    function session:prototypeLater() session:prototype("Queue3", { v = 5, w = 0 }) end
    load_text([[
        local Queue1 = session:prototype("Queue1", { v = 9, w = 0 })
        function Queue1:mutate() session:prototypeLater() end
    ]])
    T.equal("L101", table.concat(LOG, " "), "Queue3")
    local Loop = session:prototype("Loop", { v = 0 })
    local made, keep = 0, {}
    function Loop:mutate()
        made = made + 1
        session:prototype("Loop", { v = made })
        keep[made] = Loop:new()
    end
    keep[0] = Loop:new()
    load_text("session:prototype('Loop', { v = -1 })")
    T.ok("L101", made >= 999 and made <= 1001, made)
    Loop.mutate = nil
end)

T.step("removing", function()
    local P = session:prototype("Rem", { a = 1 })
    local child, other = session:prototype("Rem.Child", {}), session:prototype("Remote", {})
    local i = P:new { a = 5 }
    session:removePrototype("Rem")
    T.equal("L104", session:prototype("Rem.Child"), child)
    T.equal("L105", i.a, 5)
    T.equal("L105", getmetatable(i), P)
    local fresh = session:prototype("Rem", { a = 2 })
    T.ok("L105", fresh ~= P)
    session:removePrototype("Rem", true)
    T.ok("L104", session:prototype("Rem.Child") ~= child)
    T.equal("L104", session:prototype("Remote"), other)
    session:removePrototype("unknown", true)
    T.raises("L61", "removePrototype", function() session:removePrototype() end)
end)

-- Fields move between a prototype and its base: what instances hold must move along.
T.step("a field that moves to the base, or that a derived prototype has too", function()
    local Base = session:prototype("MoveBase", { kept = 1, both = 0 })
    local Derived = session:prototype("MoveDerived", { up = "", both = 0 }, Base)
    local base = Base:new { both = 5 }
    local derived = Derived:new { up = "mine", both = 7, kept = 2 }
    T.write("lua/moves.lua", [[
        local Base = session:prototype("MoveBase", { kept = 1, up = "" })
        session:prototype("MoveDerived", { both = 0 }, Base)
    ]])
    require("moves")
    T.equal("L99", rawget(derived, "up"), "mine")
    T.equal("L99", rawget(derived, "both"), 7)
    T.equal("L97", rawget(base, "both"), nil)
    T.equal("L85", rawget(Base, "both"), nil)
    T.write("lua/moves2.lua", [[
        local Base = session:prototype("MoveBase", { kept = 1 })
        session:prototype("MoveDerived", {}, Base)
    ]])
    require("moves2")
    T.equal("L97", rawget(derived, "up"), nil)
    T.equal("L97", rawget(derived, "both"), nil)
    T.equal("L97", rawget(derived, "kept"), 2)
end)
