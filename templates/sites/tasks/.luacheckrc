-- What luacheck has to know about a lsess site: Lua 5.4 and four more globals.
std = "lua54"
globals = { "session" }                 -- sites may add fields to it
read_globals = { "ui", "EMPTY", "diag" }
exclude_files = { ".lsess" }
max_line_length = 100
self = false                            -- methods that do not need their self
