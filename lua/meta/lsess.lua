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

---The object of variable 1, or nil before there is one.
---@return table? app the object of variable 1, the very table
function session:getApp() end

---Make a variable below another; a table as parent is one that some variable shows.
---@param parent integer|table a variable id, 0 for a root, or a table that is some variable's value
---@param object table
---@param properties? table<string, any>
---@return integer? id nil if the parent does not exist
function session:createVariable(parent, object, properties) end

---Destroy a variable, or all that show an object, with everything below.
---@param target integer|table
function session:destroyVariable(target) end

---The variable with this id, the same object each time while it lives.
---@param id integer
---@return lsess.Variable?
function session:getVariable(id) end

---Variable 1.
---@return lsess.Variable?
function session:getAppVariable() end

---Call a function after each change of a variable: of its value, and of its properties.
---@param id integer
---@param callback fun(value: any, name: string) called for the value (name "value") and for each property
---@return integer? handle
function session:watchVariable(id, callback) end

---Call a function after each change of one property of a variable, or of its value.
---@param id integer
---@param name string a property, or "value"
---@param callback fun(value: any)
---@return integer? handle
function session:watchProperty(id, name, callback) end

---End a watch.
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

---Forget a prototype by its name; instances keep it, migrations reach them no more.
---@param name string
---@param children? boolean also every name that starts with `name.`
function session:removePrototype(name, children) end

---Take a module out of the session with what it has registered; it can be required again.
---@param key string tracking key, or a name by which it was required
function session:unloadModule(key) end

---Unload all modules of a directory.
---@param directory string
---@param recursive? boolean
function session:unloadDirectory(directory, recursive) end

---Call a function as soon as what runs now is over.
---@param callback fun() runs as an item of its own, behind those queued now
---@return integer handle
function session:setImmediate(callback) end

---Call a function once, after a time in milliseconds.
---@param callback fun()
---@param ms number
---@return integer handle
function session:setTimeout(callback, ms) end

---Call a function again and again, each time after a time in milliseconds.
---@param callback fun()
---@param ms number
---@return integer handle
function session:setInterval(callback, ms) end

---Cancel a timer of any kind.
---@param handle? integer
function session:clearImmediate(handle) end

---Cancel a timer of any kind.
---@param handle? integer
function session:clearTimeout(handle) end

---Cancel a timer of any kind.
---@param handle? integer
function session:clearInterval(handle) end

---Write a record to the log.
---@param level integer 0 is always written
---@param text string
---@overload fun(self: lsess.Session, text: string)
function session:log(level, text) end

---Count one version up.
---@deprecated
---@return integer
function session:newVersion() end

---The version counted so far.
---@deprecated
---@return integer
function session:getVersion() end

---Is the version of an object below the one counted so far?
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

---What concerns the page: types that views name, JSON, the log. Its functions are called with a dot.
---@class lsess.Ui
ui = {}

---Make a table known as a presenter type.
---@param name string
---@param presenter table
function ui.registerPresenter(name, presenter) end

---Make a table known as a wrapper type.
---@param name string
---@param wrapper table `new(class, variable)`; `sync` and `destroy` are optional
function ui.registerWrapper(name, wrapper) end

---Write a record to the log.
---@param level integer
---@param text string
---@overload fun(text: string)
function ui.log(level, text) end

---A JSON text of a value, or nil and what is wrong.
---@param value any
---@return string? json
---@return string? problem
function ui.json_encode(value) end

---The value of a JSON text, or nil and what is wrong.
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

---`load` under the name that older code calls it by.
---@deprecated
loadstring = load

---`table.unpack` under the name that older code calls it by.
---@deprecated
unpack = table.unpack
