-- What every suite in this folder may use. A suite adds steps; the driver (tests/unit/test_session_lua.c) runs them one by one in a real
-- session, and after each step the timers that are due, change detection and watch callbacks.

T = { steps = {}, failures = {}, checks = 0 }

local function fail(rule, text)
    local at = debug.getinfo(3, "Sl")
    table.insert(T.failures, string.format("%s:%d: %s: %s", at.short_src, at.currentline, rule, text))
end

local function show(value)
    return type(value) == "string" and string.format("%q", value) or tostring(value)
end

function T.step(name, fn)
    table.insert(T.steps, { name = name, fn = fn })
end

function T.equal(rule, got, want)
    T.checks = T.checks + 1
    if got ~= want and not (got ~= got and want ~= want) then
        fail(rule, "got " .. show(got) .. ", want " .. show(want))
    end
end

function T.ok(rule, condition, text)
    T.checks = T.checks + 1
    if not condition then
        fail(rule, text or "does not hold")
    end
end

-- The call must raise, and the message contain the plain text.
function T.raises(rule, text, fn, ...)
    T.checks = T.checks + 1
    local fine, message = pcall(fn, ...)
    if fine then
        fail(rule, "no error, wanted one with " .. show(text))
    elseif not tostring(message):find(text, 1, true) then
        fail(rule, "error " .. show(message) .. " does not contain " .. show(text))
    end
    return message
end

-- A file of the site; directories are made.
function T.write(path, text)
    os.execute("mkdir -p '" .. T.site .. "/" .. (path:match("^(.*)/") or "") .. "'")
    local file <close> = assert(io.open(T.site .. "/" .. path, "w"))
    file:write(text)
end

function T.link(target, path)
    assert(os.execute("ln -sfn '" .. target .. "' '" .. T.site .. "/" .. path .. "'"))
end

function T.run(i)
    T.steps[i].fn()
end
