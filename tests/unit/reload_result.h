/* What a save came to for one file, as a Lua table, for tests whose rows or models are Lua. */
#ifndef TESTS_UNIT_RELOAD_RESULT_H
#define TESTS_UNIT_RELOAD_RESULT_H

#include <lua.h>

#include "reload/reload.h"

/** Push a table with all fields of the result under their names; `outcome` is a word. [-0, +1, m] */
static inline void reload_result_push(lua_State *L, const struct ls_reload_result *result)
{
    static const char *const outcomes[] = {"ok", "skipped", "failed", "first"};
    const struct {
        const char *name, *value;
    } texts[] = {{"outcome", outcomes[result->outcome]}, {"key", result->key},         {"text", result->text},
                 {"traceback", result->traceback},       {"details", result->details}, {"losses", result->losses}};
    const struct {
        const char *name;
        lua_Integer value;
    } counts[] = {{"line", result->line},           {"kept", result->kept},         {"taken", result->taken},
                  {"set_aside", result->set_aside}, {"restored", result->restored}, {"gave_way", result->gave_way}};
    lua_newtable(L);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        lua_pushstring(L, texts[i].value);
        lua_setfield(L, -2, texts[i].name);
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        lua_pushinteger(L, counts[i].value);
        lua_setfield(L, -2, counts[i].name);
    }
}

#endif
