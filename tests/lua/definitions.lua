-- lua/meta and the registration tables name the same functions (L120, the table of section 10).

local function declared(object)
    local names = {}
    for line in io.lines("lua/meta/lsess.lua") do
        local name = line:match("^function " .. object .. "[.:]([%w_]+)%(")
        if name then
            names[name] = true
        end
    end
    return names
end

local function compare(what, left, right)
    for name in pairs(left) do
        T.ok("definitions", right[name] ~= nil, what .. name)
    end
end

T.step("session and ui", function()
    local functions = {}
    for name, value in pairs(session) do
        if type(value) == "function" then
            functions[name] = value
        end
    end
    compare("not defined in lua/meta: session:", functions, declared("session"))
    compare("not registered: session:", declared("session"), functions)
    compare("not defined in lua/meta: ui.", ui, declared("ui"))
    compare("not registered: ui.", declared("ui"), ui)
    local check = dofile("lua/meta/luacheck.lua")
    compare("not in luacheck.lua: session:", functions, check.globals.session.fields)
    functions.reloading, functions._sessionID = true, true
    compare("not registered: session.", check.globals.session.fields, functions)
    compare("luacheck.lua lacks ui.", ui, check.read_globals.ui.fields)
    compare("not registered: ui.", check.read_globals.ui.fields, ui)
end)

T.step("globals", function()
    local text = io.open("lua/meta/lsess.lua"):read("a")
    for _, name in ipairs { "session", "ui", "EMPTY", "loadstring", "unpack" } do
        T.ok("L8", text:find("\n" .. name .. " = ", 1, true), name)
    end
    T.ok("L8", text:find("\nfunction diag(", 1, true))
end)
