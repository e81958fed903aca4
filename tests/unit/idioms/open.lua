-- What the rule does not do yet: titles of rows, each with the edits that end otherwise than their row says, in one size
-- at least. Who mends one takes it out of here: a case that is right and stands here makes its row fail.
return {
  -- The first text comes back. What the run had under the name that was lost must be there again: it was set aside, or
  -- stayed because the run had changed it; the same giver as before is no edit (R18).
  -- No function but that of the coroutine, which went on, has the variable in between.
  { "H49 H56 a coroutine that goes on", "removed" },
  -- The key is no constant.
  { "H49 constants as fields", "removed" },
  -- The save itself.
  -- What gave way is called "?".
  -- host.plugins[plugin.name] = plugin: the other module gets the new table.
  { "H49 plugins that register themselves",
    "unrelated", "value", "rename", "removed", "an unrelated line, then the host runs it" },
  -- setmetatable(_G, { __index = fallback }) keeps the new fallback.
  { "H49 a metatable on the table of globals", "unrelated", "value", "removed" },
  -- A declared field that the run has let alone gives way.
  { "H49 a prototype and its instances", "value" },
  { "H49 a deep field of a prototype's declaration (lua/01)", "value" },
  -- A call that registers the table is removed: the table's data gives way.
  { "H49 a presenter with state", "removed" },
  -- As above: a declared field.
  { "H49 the app object made by the file", "value" },
  -- session:createAppVariable(M) puts the new table there.
  { "H49 an app object that is the module's table", "unrelated", "value", "rename", "removed" },
}
