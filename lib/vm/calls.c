/* Calls of library functions that may take long without executing an instruction, where the count hook does not see
 * them (L5, P40a). The functions are the libraries' own. Around each call it is written down which one runs, for other
 * threads; one that comes back late is told of in the log, with its place, and ends its entry if the time is over.
 *
 * A call costs some loads and stores: whether it was long is seen from the stepped clock (base/clock.h).
 * Owner thread: the session's. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "vm/libs.h"

#define LATE_NS ls_ms(1000) /* the stepped clock knows too badly when a shorter call began: its end begins the limit */

/* FILE stands for the methods of files. */
/* clang-format off */
#define CALLS(X) \
    X(string, find) X(string, match) X(string, gmatch) X(string, gsub) X(string, rep) \
    X(table, concat) X(table, insert) X(table, remove) X(table, move) X(table, sort) \
    X(os, execute) X(file, read) X(file, write) X(file, close)
/* clang-format on */

#define NUMBER(library, name) AT_##library##_##name,
enum { CALLS(NUMBER) CALL_COUNT, GMATCH_UPVALUES = 3 };

static _Atomic(lua_CFunction) originals[CALL_COUNT]; /* the same for all sessions, written by each */

/* A call has returned that had begun at `begun_ns`, when commands had been waited for `waited_ns`. [-0, +0, e] */
static LS_RAISES void look_back(struct ls_session *session, lua_State *L, const char *name, int64_t begun_ns,
                                int64_t waited_ns)
{
    int64_t took_ns = ls_now_ns() - begun_ns;
    luaL_checkstack(L, LUA_MINSTACK, NULL); /* above the results */
    if (took_ns >= LS_SLOW_NS) {
        luaL_where(L, 1); /* "key:line: ", or nothing */
        ls_log_session(0, session->vm.id, "%s%s has returned after %.1f s", lua_tostring(L, -1), name,
                       (double)took_ns / 1e9);
        lua_pop(L, 1);
    }
    if (session->vm.deadline_ns == 0 && took_ns >= LATE_NS)
        session->vm.deadline_ns = begun_ns + LS_STEP_NS - waited_ns + ls_ms(session->vm.config.time_limit_ms);
    ls__budget_check(L);
}

/* [-n, +m, e] */
static inline LS_RAISES int watch(lua_State *L, lua_CFunction function, const char *name)
{
    struct ls_session *session = ls__session_of(L);
    const char *outer = atomic_load_explicit(session->vm.inside, memory_order_relaxed);
    int64_t begun_ns = ls_stepped_ns(), waited_ns = session->vm.waited_ns;
    atomic_store_explicit(session->vm.inside, name, memory_order_relaxed);
    int results = function(L);
    atomic_store_explicit(session->vm.inside, outer, memory_order_relaxed);
    if (ls_stepped_ns() != begun_ns) look_back(session, L, name, begun_ns, waited_ns);
    return results;
}

#define DEFINE(library, name)                                                                                          \
    static LS_RAISES int w_##library##_##name(lua_State *L)                                                            \
    {                                                                                                                  \
        return watch(L, atomic_load_explicit(&originals[AT_##library##_##name], memory_order_relaxed),                 \
                     #library "." #name);                                                                              \
    }
CALLS(DEFINE)

/* What string.gmatch gives, with the function behind the upvalues of that function. [-0, +n, e] */
static LS_RAISES int next_match(lua_State *L)
{
    return watch(L, lua_tocfunction(L, lua_upvalueindex(GMATCH_UPVALUES + 1)), "string.gmatch");
}

/* [-n, +1, e] */
static LS_RAISES int l_gmatch(lua_State *L)
{
    atomic_load_explicit(&originals[AT_string_gmatch], memory_order_relaxed)(L);
    int at = lua_gettop(L), count = 0;
    while (count <= GMATCH_UPVALUES && lua_getupvalue(L, at, count + 1))
        count++;
    if (count == GMATCH_UPVALUES) {
        lua_pushcfunction(L, lua_tocfunction(L, at));
        lua_pushcclosure(L, next_match, GMATCH_UPVALUES + 1);
        return 1;
    }
    lua_settop(L, at); /* the library of another Lua */
    return 1;
}

LS_RAISES void ls__open_calls(lua_State *L)
{
    LS_LTOP(L);
#define ROW(library, name) {#library, #name, w_##library##_##name},
    static const struct {
        const char *library, *name;
        lua_CFunction function;
    } calls[] = {CALLS(ROW)};
    for (size_t i = 0; i < CALL_COUNT; i++) {
        if (strcmp(calls[i].library, "file") == 0) {
            luaL_getmetatable(L, LUA_FILEHANDLE);
            lua_getfield(L, -1, "__index");
            lua_remove(L, -2);
        } else {
            lua_getglobal(L, calls[i].library);
        }
        lua_getfield(L, -1, calls[i].name);
        atomic_store_explicit(&originals[i], lua_tocfunction(L, -1), memory_order_relaxed);
        lua_pushcfunction(L, i == AT_string_gmatch ? l_gmatch : calls[i].function);
        lua_setfield(L, -3, calls[i].name);
        lua_pop(L, 2);
    }
    LS_LTOP_CHECK(L, 0);
}
