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

-- What lua-language-server reads: annotations that it knows, parameters by the names of the function and in their order,
-- and a line for people.
T.step("annotations", function()
    local known = {
        meta = true, class = true, field = true, param = true, ["return"] = true, overload = true, generic = true,
        deprecated = true, type = true,
    }
    local block, described = {}, 0
    local function check(line, parameters, names)
        local documented, at = false, 0
        for _, note in ipairs(block) do
            local tag, rest = note:match("^%-%-%-@(%a+)%s*(.*)")
            documented = documented or not tag
            if tag == "param" then
                at = at + 1
                local name, optional, kind = rest:match("^([%w_]+)(%??)%s+(%S+)")
                T.equal("definitions", name, parameters[at])
                T.ok("definitions", kind and (optional == "" or optional == "?"), line .. ": " .. note)
            elseif tag == "return" or tag == "type" then
                T.ok("definitions", rest:find("^[%a(]"), line .. ": " .. note)
            end
        end
        T.ok("definitions", documented, "no description: " .. names)
        T.equal("definitions", at, #parameters)
        described = described + 1
    end
    for line in io.lines("lua/meta/lsess.lua") do
        local name, list = line:match("^function ([%w_.:]+)%((.-)%) end$")
        local value = line:match("^([%w_]+) = ")
        if line:find("^%-%-%-") then
            local tag = line:match("^%-%-%-@(%a+)")
            T.ok("definitions", not tag or known[tag], line)
            T.ok("definitions", line:find("^%-%-%-[@%a`]"), line)
            block[#block + 1] = line
        elseif name or value then
            local parameters = {}
            for parameter in (list or ""):gmatch("[%w_]+") do
                parameters[#parameters + 1] = parameter
            end
            check(line, parameters, name or value)
            block = {}
        else
            T.ok("definitions", line == "" or line:find("^%-%- "), line)
            block = {}
        end
    end
    T.equal("definitions", described, 27 + 5 + 1 + 5)
end)
