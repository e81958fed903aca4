-- Timers (L107 to L116). Between steps the driver runs every timer that is pending, up to fifty runs, in the order in which they are due.

LOG = {}

local function note(text)
    return function(...)
        LOG[#LOG + 1] = text
        T.equal("L108", select("#", ...), 0)
    end
end

T.step("setting", function()
    local first = session:setImmediate(note("i1"))
    T.equal("L107", first, 1)
    for i = 2, 20 do
        T.equal("L107", session:setImmediate(note("i" .. i)), i)
    end
    T.equal("L107", session:setTimeout(note("t"), 0.9), 21)
    T.equal("L107", session:setTimeout(note("negative"), -5), 22)
    T.equal("L108", #LOG, 0)
    T.raises("L107", "bad argument #1 to 'setTimeout' (function expected", function() session:setTimeout("x", 1) end)
    T.raises("L107", "bad argument #2 to 'setTimeout' (number expected", function() session:setTimeout(print, "1") end)
    T.raises("L107", "to 'setImmediate'", function() session:setImmediate() end)
    T.raises("L107", "to 'setInterval'", function() session:setInterval(print) end)
end)

T.step("order, and clearing", function()
    local want = {}
    for i = 1, 20 do
        want[i] = "i" .. i
    end
    want[21], want[22] = "t", "negative"
    T.equal("L109 L110", table.concat(LOG, " "), table.concat(want, " "))
    LOG = {}
    local a = session:setTimeout(note("cleared"), 0)
    local b = session:setImmediate(note("cleared"))
    local c = session:setInterval(note("cleared"), 1)
    session:clearInterval(a)
    session:clearTimeout(b)
    session:clearImmediate(c)
    for _, handle in ipairs { a, 12345, -1, 0, 1.5 } do
        session:clearTimeout(handle)
    end
    session:clearTimeout(nil)
    session:clearInterval()
    T.raises("L112", "clearTimeout", function() session:clearTimeout("x") end)
    local killer = session:setTimeout(note("killed"), 2)
    session:setImmediate(function() session:clearTimeout(killer) end)
end)

T.step("intervals", function()
    T.equal("L112", #LOG, 0)
    local runs = 0
    local handle
    handle = session:setInterval(function()
        runs = runs + 1
        LOG[runs] = "run"
        if runs == 3 then
            error("an interval goes on after an error")
        elseif runs == 5 then
            session:clearInterval(handle)
            session:clearInterval(handle)
        end
    end, 0)
end)

T.step("after five runs", function()
    T.equal("L111 L113", #LOG, 5)
    LOG = {}
    session:setTimeout(function()
        note("outer")()
        session:setImmediate(note("inner"))
        LOG[#LOG + 1] = "outer end"
    end, 0)
end)

T.step("nested, and the limit", function()
    T.equal("L108 L109", table.concat(LOG, " "), "outer outer end inner")
    local message
    for _ = 1, 200 do
        local fine, text = pcall(session.setTimeout, session, function() end, 60000)
        message = message or (not fine and text)
    end
    T.ok("L116", message and message:find("--max-timers", 1, true), message)
end)
