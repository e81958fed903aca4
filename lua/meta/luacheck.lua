-- The globals of lsess for luacheck. In a site's .luacheckrc:
--
--   stds.lsess = dofile("path/to/lua/meta/luacheck.lua")
--   std = "lua54+lsess"

local methods = {}
for name in ([[
    createAppVariable getApp createVariable destroyVariable getVariable getAppVariable watchVariable watchProperty unwatch
    prototype create removePrototype unloadModule unloadDirectory setImmediate setTimeout setInterval clearImmediate clearTimeout
    clearInterval log newVersion getVersion needsMutation registerStandardVariable keep onDispose reloading _sessionID
]]):gmatch("%S+") do
    methods[name] = {}
end

return {
    globals = {
        session = { fields = methods, other_fields = true },
    },
    read_globals = {
        ui = { fields = { registerPresenter = {}, registerWrapper = {}, log = {}, json_encode = {}, json_decode = {} } },
        EMPTY = {},
        diag = {},
        loadstring = {},
        unpack = {},
    },
}
