-- ui.json_encode and ui.json_decode (L124 to L127), the ui table (L120).

local encode, decode = ui.json_encode, ui.json_decode

T.step("encoding", function()
    local names = {}
    for name in pairs(ui) do
        names[#names + 1] = name
    end
    table.sort(names)
    T.equal("L120", table.concat(names, " "), "json_decode json_encode log registerPresenter registerWrapper")
    for _, case in ipairs {
        { nil, "null" }, { true, "true" }, { 5, "5" }, { 5.0, "5" }, { 0.5, "0.5" }, { "a\0b", '"a\\u0000b"' },
        { "\xff", '"\u{FFFD}"' }, { print, "null" }, { {}, "{}" }, { { 1, 2 }, "[1,2]" }, { { [0] = 1 }, "[]" },
        { { 1, nil, 3 }, "[1,null,3]" }, { { b = 1, a = 2, _c = 3 }, '{"a":2,"b":1}' }, { { 1, x = 2 }, '{"x":2}' },
        { { 1, _x = 2 }, "[1]" }, { { [true] = 1 }, "{}" }, { math.mininteger, "-9223372036854775808" },
    } do
        T.equal("L124 L125", (encode(case[1])), case[2])
    end
    local cycle = {}
    cycle.self = cycle
    local deep = {}
    for _ = 1, 200 do
        deep = { deep }
    end
    for _, bad in ipairs { 0 / 0, 1 / 0, { 0 / 0 }, cycle, deep, { [1000000] = 1 } } do
        local text, message = encode(bad)
        T.equal("L126", text, nil)
        T.equal("L126", type(message), "string")
    end
    local shared = { 1 }
    T.equal("L126", encode({ a = shared, b = shared }), '{"a":[1],"b":[1]}')
    T.equal("L125", encode(setmetatable({ a = 1 }, { __index = { b = 2 }, __pairs = error })), '{"a":1}')
    local holes = { [100] = 1 }
    T.equal("L126", select(2, encode(holes):gsub("null", "")), 99)
end)

T.step("decoding", function()
    T.equal("L127", decode("[1,null,3]")[3], 3)
    T.equal("L136", math.type(decode("5.0")), "integer")
    T.equal("L136", math.type(decode("5.5")), "float")
    T.equal("L127", decode('{"a":1,"a":2}').a, 2)
    T.equal("L127", decode('"\\u00e4\\ud83d\\ude00"'), "ä😀")
    local value, message = decode("null")
    T.equal("L127", value, nil)
    T.equal("L127", message, nil)
    for _, bad in ipairs { "", " ", "1 2", "[1,]", "{", "nul", "'a'", ("["):rep(1100) .. ("]"):rep(1100), '{"a"}' } do
        local got, why = decode(bad)
        T.equal("L127", got, nil)
        T.equal("L127", type(why), "string")
    end
    T.ok("L127", decode(("["):rep(900) .. ("]"):rep(900)))
    T.raises("L127", "bad argument #1 to 'json_decode' (string expected", decode, 5)
    T.equal("L127", encode(decode('{"b":[1,{"c":null}],"a":"x"}')), '{"a":"x","b":[1,{}]}')
end)

T.step("gaps are counted exactly", function()
    local function tenth(elements, last)
        local list = { [last] = true }
        for i = 1, elements - 1 do
            list[i] = true
        end
        return list
    end
    -- 904 of 1005 are less than nine tenths, 905 of 1005 are more
    T.equal("L126", select(2, encode(tenth(101, 1005)):gsub("null", "")), 904)
    T.equal("L126", encode(tenth(100, 1005)), nil)
    T.equal("L126", select(2, encode(tenth(100, 1000)):gsub("null", "")), 900)
    T.equal("L126", select(2, encode(tenth(1, 101)):gsub("null", "")), 100)
    T.equal("L126", encode(tenth(1, 102)), nil)
    T.equal("L126", encode({ [math.maxinteger] = 1 }), nil)
    local deep = {}
    for _ = 1, 127 do
        deep = { deep }
    end
    T.equal("L126", type(encode(deep)), "string")
    T.equal("L126", encode({ deep }), nil)
    T.equal("L126", select("#", encode(1)), 1)
    T.raises("L127", "to 'json_decode' (string expected, got no value", decode)
end)
