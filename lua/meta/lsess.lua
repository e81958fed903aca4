---@meta
-- What lsess gives to Lua code, for editors that know LuaCATS (lua-language-server: add this folder to `workspace.library`).
-- This file describes; it is never run.

---A named class. Fields given to `session:prototype` are defaults that instances read through it.
---@class lsess.Prototype
---@field type string
---@field __index table
---@field new fun(self: table, instance?: table): table

---A variable as Lua code sees it. Every method works with `.` and with `:`; after the variable's end getters return nil and setters do nothing.
---@class lsess.Variable
---@field _id integer
---@field getId fun(self?: lsess.Variable): integer?
---@field getID fun(self?: lsess.Variable): integer?
---@field getValue fun(self?: lsess.Variable): any the live value, not a copy
---@field getWrapper fun(self?: lsess.Variable): table?
---@field getProperty fun(self: lsess.Variable, name: string): string?
---@field update fun(self: lsess.Variable, value: any, properties?: table<string, any>)
---@field updateProperties fun(self: lsess.Variable, properties: table<string, any>)

---The session this code runs in. Sites may add fields and replace methods.
---@class lsess.Session
---@field reloading boolean true while a file that was loaded before runs again
---@field _sessionID string the vended id
session = {}

---Make variable 1, what the page shows, or replace its value.
---@param object table
---@param properties? table<string, any>
---@return integer id always 1
function session:createAppVariable(object, properties) end

---@return table? app the object of variable 1, the very table
function session:getApp() end

---@param parent integer|table a variable id, 0 for a root, or a table that is some variable's value
---@param object table
---@param properties? table<string, any>
---@return integer? id nil if the parent does not exist
function session:createVariable(parent, object, properties) end

---Destroy a variable, or all that show an object, with everything below.
---@param target integer|table
function session:destroyVariable(target) end

---@param id integer
---@return lsess.Variable?
function session:getVariable(id) end

---@return lsess.Variable?
function session:getAppVariable() end

---@param id integer
---@param callback fun(value: any, name: string) called for the value (name "value") and for each property
---@return integer? handle
function session:watchVariable(id, callback) end

---@param id integer
---@param name string a property, or "value"
---@param callback fun(value: any)
---@return integer? handle
function session:watchProperty(id, name, callback) end

---@param handle? integer
function session:unwatch(handle) end

---Declare a prototype, or change it: the table that was registered first stays the prototype.
---@param name string
---@param init? table default fields; EMPTY declares one without a value
---@param base? table
---@return lsess.Prototype
function session:prototype(name, init, base) end

---Make `instance` an instance of `prototype` and keep track of it for migrations.
---@generic T: table
---@param prototype table
---@param instance? T
---@return T
function session:create(prototype, instance) end

---@param name string
---@param children? boolean also every name that starts with `name.`
function session:removePrototype(name, children) end

---@param key string tracking key, or a name by which it was required
function session:unloadModule(key) end

---@param directory string
---@param recursive? boolean
function session:unloadDirectory(directory, recursive) end

---@param callback fun() runs as an item of its own, behind those queued now
---@return integer handle
function session:setImmediate(callback) end

---@param callback fun()
---@param ms number
---@return integer handle
function session:setTimeout(callback, ms) end

---@param callback fun()
---@param ms number
---@return integer handle
function session:setInterval(callback, ms) end

---@param handle? integer
function session:clearImmediate(handle) end

---@param handle? integer
function session:clearTimeout(handle) end

---@param handle? integer
function session:clearInterval(handle) end

---@param level integer 0 is always written
---@param text string
---@overload fun(self: lsess.Session, text: string)
function session:log(level, text) end

---@deprecated
---@return integer
function session:newVersion() end

---@deprecated
---@return integer
function session:getVersion() end

---@deprecated
---@param object any
---@return boolean
function session:needsMutation(object) end

---Let paths start with `@name`.
---@param name string begins with "@"
---@param target? integer|table nil removes the name
function session:registerStandardVariable(name, target) end

---A value that outlives reloads of the module. At load time only.
---@generic T
---@param name string
---@param default? T stored by the first call
---@param anew? boolean store `default` again
---@return T
function session:keep(name, default, anew) end

---Called before the module's next execution (true), and before unloading or the session's end (false). At load time only.
---@param callback fun(reload: boolean)
function session:onDispose(callback) end

---@class lsess.Ui
ui = {}

---@param name string
---@param presenter table
function ui.registerPresenter(name, presenter) end

---@param name string
---@param wrapper table `new(class, variable)`; `sync` and `destroy` are optional
function ui.registerWrapper(name, wrapper) end

---@param level integer
---@param text string
---@overload fun(text: string)
function ui.log(level, text) end

---@param value any
---@return string? json
---@return string? problem
function ui.json_encode(value) end

---@param text string
---@return any value
---@return string? problem
function ui.json_decode(text) end

---Marks a field in the `init` of a prototype as declared, without a value.
---@type table
EMPTY = {}

---Add a line to the diagnostics of the variable being computed, if the level is on.
---@param level integer
---@param message string
function diag(level, message) end

---@deprecated
loadstring = load

---@deprecated
unpack = table.unpack
