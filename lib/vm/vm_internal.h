/* What the files of this room, and of those from model/ to session/, share: struct ls_session, the conventions of the
 * Lua boundary, the gate.
 *
 * Two kinds of function touch the VM (style of this room):
 *   raising   take `lua_State *L` and are marked LS_RAISES: they may leave by a Lua error. They run only below the
 *   gate, hold no C resource
 *             across a call that may raise, and say their stack effect as [-o, +p, e].
 *   safe      take `struct ls_session *` and return a code with `struct ls_err *err`. They never raise and leave the
 *   stack as they
 *             found it, but for what their effect says.
 * A safe function reaches a raising one only through ls__lcall or ls__lrun.
 *
 * `session->vm.L` is the Lua thread that runs now: the main one, or the coroutine whose code called us (L19). C
 * functions called from Lua that call out of this room (store, tracker, host) bracket the call with ls__swap_thread, so
 * that whatever comes back in works on the right stack. */
#ifndef LS_VM_VM_INTERNAL_H
#define LS_VM_VM_INTERNAL_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/array.h"
#include "vm/vm.h"

/* Marks a function that may leave by a Lua error. Empty: it is there to be read and searched for. */
#define LS_RAISES

/* Stack balance, asserted in debug builds on every return path: LS_LTOP(L); … LS_LTOP_CHECK(L, +1); */
#ifdef LS_DEBUG
#define LS_LTOP(L)              const int ls_ltop_ = lua_gettop(L)
#define LS_LTOP_CHECK(L, delta) assert(lua_gettop(L) == ls_ltop_ + (delta))
#else
#define LS_LTOP(L)              ((void)0)
#define LS_LTOP_CHECK(L, delta) ((void)0)
#endif

struct ls_embed;
struct ls_model;
struct ls_resolver_state;
struct ls_reload_state;

/* Why the running entry is being ended (L5); every further instruction raises again until the outermost entry is over.
 * */
enum ls_stop { LS_STOP_NONE, LS_STOP_TIME, LS_STOP_INTERRUPT, LS_STOP_SAVE };
enum { LS_INTERRUPT_NONE, LS_INTERRUPT_ENTRY, LS_INTERRUPT_ALL };

#define LS_MADE_TABLE    ((void *)1)
#define LS_MADE_FUNCTION ((void *)2)

struct ls_vm {
    /* -- immutable after open -- */
    struct ls_session_config config; /* vended_id points to `id` */
    char *id;                        /* owned */
    struct ls_session_host host;
    const struct ls_site *site; /* borrowed (config.site) */
    struct ls_chunks *chunks;   /* borrowed */
    lua_State *main;

    /* -- any thread -- */
    atomic_int interrupted; /* by ls_session_interrupt, ls_session_halt */
    /* which function of the libraries runs (calls.c); borrowed (config.inside), or the own one */
    _Atomic(const char *) *inside, own_inside;

    /* -- owner thread only -- */
    lua_State *L; /* the thread that runs now, see above */

    /* Entries (gate.c). */
    unsigned depth;    /* nested entries; 0 = no Lua runs */
    enum ls_stop stop; /* set by the hook, cleared when the outermost entry ends */
    /* of the present entry, by a clock that stands still while commands are waited for; 0 = not asked the clock yet */
    int64_t deadline_ns;
    /* for commands and their pipes, since the session began: does not count against the time limit (L5) */
    int64_t waited_ns;
    int64_t waited_before; /* waited_ns when the present entry began */
    int64_t saves_ns;      /* when the running stack was last held against saves that wait (R17) */
    char saved[128];       /* LS_STOP_SAVE: what people call the file */
    /* keys of files with functions on the running stack when an entry was last over its time */
    struct ls_names over_in;
    unsigned grace;  /* looks at the clock that message handlers have left after the stop */
    bool graced;     /* such a handler runs */
    bool memory_hit; /* the allocator has refused because of the limit */
    unsigned holds;  /* who holds the collector now (ls__collector_hold) */
    /* Addresses of the tables and functions that Lua makes, to LS_MADE_TABLE or LS_MADE_FUNCTION; NULL = nobody asks.
     * Whoever sets it owns it */
    struct ls_idmap *made;
    size_t made_functions; /* how many functions are there */
    bool made_lost;        /* one could not be noted there */
    uint64_t epoch;        /* moves behind every call into Lua: values may have changed (ls_resolver.epoch) */
    /* of functions that may leave by a Lua error: what a longjmp passes over owns nothing (base/err.h) */
    struct ls_err raised;
    struct ls_buf trace;  /* traceback of the error caught last */
    const void *trace_of; /* identity of an error that require raises again: its traceback is already in `trace` */
    struct ls_buf error;  /* last error of site code, for ls_session_last_error */

    /* What runs on a thread of its own because hooks are off on the one that called it (protected.c). */
    lua_State *aside;    /* NULL = nothing, or what has no stack below it */
    lua_State *aside_of; /* the thread that the stack goes on with */
    int aside_skip;      /* levels of that one that are not shown */

    /* Chunks (chunks.c). */
    /* the text that was compiled last, for comparison only: its hash need not be computed again */
    const char *hashed;
    uint64_t hash;

    /* Memory (vm.c). */
    struct ls_heap *heap;     /* owned: where the first small objects lie; NULL = nowhere */
    struct ls_budget *budget; /* what is kept, and how much may be; borrowed, or: */
    struct ls_budget own_budget;

    /* Registry references (lua_ref.c). */
    unsigned refs;       /* counted references alive */
    int ref_session_key; /* the string "session" */
    int ref_session;     /* the session table */
    int ref_ui;          /* the ui table */
    int ref_memory_text; /* what is said when the memory limit was reached (L5); LUA_NOREF without a limit */

    /* Warnings (finalizers.c). */
    struct ls_buf warning; /* the pieces of one that is not complete yet */
    bool warnings_off;

    /* Evaluation (eval.c). */
    bool echo; /* copy printed text to host.print */
    bool closing;
};

/* A session: what each of the Lua rooms keeps for it. The rooms above this one make their part when the session is
 * opened (session/session.c). */
struct ls_session {
    struct ls_vm vm;
    struct ls_model *model;             /* owned by model/model.c */
    struct ls_resolver_state *resolver; /* owned by resolver/resolver.c */
    struct ls_reload_state *reload;     /* owned by reload/transaction.c */
};

/** The session a Lua thread belongs to. [-0, +0, -] */
static inline struct ls_session *ls__session_of(lua_State *L)
{
    return *(struct ls_session **)lua_getextraspace(L);
}

/** As ls__session_of, for functions that Lua code calls and that need more than the VM: once the session is being
 * closed only finalizers run, and what such functions work with is gone (L7). [-0, +0, e] */
static inline LS_RAISES struct ls_session *ls__open_session_of(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    if (session->vm.closing) luaL_error(L, "the session has ended");
    return session;
}

/** An error has left whatever function of the libraries ran (calls.c). */
static inline void ls__left_calls(struct ls_session *session)
{
    atomic_store_explicit(session->vm.inside, NULL, memory_order_relaxed);
}

/** Make `L` the running thread; put back what it returns. [-0, +0, -] */
static inline lua_State *ls__swap_thread(struct ls_session *session, lua_State *L)
{
    lua_State *before = session->vm.L;
    session->vm.L = L;
    return before;
}

/* --- gate.c --- */

/** The one way from C into Lua (L4): calls the function below its `nargs` arguments on session->vm.L, with traceback
 * handler and budget. The outermost call of a nest arms time limit and interrupt, and puts the global `session` back
 * (L6).
 * @return 0 with `nresults` results pushed; else the function and its arguments are gone, nothing is pushed, and `err`
 * has a text that begins with key:line: where Lua knew it, traceback in further lines: LS_ELUA, LS_ELIMIT,
 * LS_EINTERRUPTED, LS_ENOMEM [-(nargs+1), +(nresults|0), -] */
int ls__lcall(struct ls_session *session, int nargs, int nresults, struct ls_err *err);
/** As ls__lcall, with a time limit of its own inside an open entry: exceeding it ends this call only (H41).
 * [-(nargs+1), +(nresults|0), -] */
int ls__lcall_own(struct ls_session *session, int nargs, int nresults, struct ls_err *err);
/** Run a raising C function under the gate, `data` as its light userdata argument. [-0, +nresults|0, -] */
int ls__lrun(struct ls_session *session, lua_CFunction fn, void *data, int nresults, struct ls_err *err);
/** Open an entry around many calls, so that they share one budget and one look at the global `session`; must be paired.
 * Detection uses it. */
void ls__enter(struct ls_session *session);
/** The counterpart of ls__enter: after the outermost entry a limit that was reached (L5) counts no more. */
void ls__leave(struct ls_session *session);
/** A fresh time budget inside an open entry, unless the limit has been hit already. */
static inline void ls__rearm(struct ls_session *session)
{
    session->vm.deadline_ns = 0;
}
/** Turn a status and the error value on top of session->vm.L into `err` as ls__lcall does. Pops the value. [-1, +0, -]
 * */
int ls__lfail(struct ls_session *session, int status, struct ls_err *err);
/** The message handler: notes the traceback in session->vm.trace and returns the error value unchanged. [-1, +1, m] */
int ls__traceback(lua_State *L);
/** Raise an argument error that names position and function, also when Lua does not know the name (L61). Never returns.
 * */
LS_RAISES int ls__larg(lua_State *L, int arg, const char *function, const char *problem);
LS_RAISES int ls__ltype(lua_State *L, int arg, const char *function, const char *expected);
/** Raise "out of memory while " with what was being done, and the limit if that was reached. [-0, +0, v] */
LS_RAISES int ls__lno_memory(lua_State *L, const char *doing, ...) __attribute__((format(printf, 2, 3)));
/** The string at `arg` as a name; NULL if it holds U+0000, which no name does. [-0, +0, -] */
const char *ls__name_arg(lua_State *L, int arg);
/** Is there a number at `arg`, no string, of integral value? [-0, +0, -] */
static inline bool ls__integer_arg(lua_State *L, int arg, lua_Integer *value)
{
    int integral = 0;
    *value = lua_type(L, arg) == LUA_TNUMBER ? lua_tointegerx(L, arg, &integral) : 0;
    return integral;
}

/* --- lua_ref.c --- */

/** Pop the value and keep it in the registry. [-1, +0, m] */
LS_RAISES int ls__ref_take(struct ls_session *session, lua_State *L);
/** Push what a reference holds; LUA_NOREF and LUA_REFNIL push nil. [-0, +1, -] */
int ls__ref_push(struct ls_session *session, lua_State *L, int ref);
/** Keep the value on top in a reference in the place of what it holds; false and nil are LUA_NOREF. [-1, +0, m] */
LS_RAISES void ls__ref_set(struct ls_session *session, lua_State *L, int *ref);
/** Give a reference back and set it to LUA_NOREF. [-0, +0, -] */
void ls__ref_drop(struct ls_session *session, int *ref);
/** Push a table with weak keys: that of the registry under `key`, made at its first use; NULL = a new one.
 * [-0, +1, m] */
LS_RAISES void ls__weak_table(lua_State *L, const char *key);
/** Push a userdata of `size` zero bytes for what must survive an error: `release` is its finalizer. `type` names it in
 * the registry. [-0, +1, m] */
LS_RAISES void *ls__push_owner(lua_State *L, size_t size, const char *type, lua_CFunction release);

/* --- vm.c --- */

/** A session with an empty Lua state, whose collector runs and whose limits hold. @return owned, ls__vm_free(); NULL
 * and err */
struct ls_session *ls__vm_new(const struct ls_session_config *config, const struct ls_session_host *host,
                              struct ls_err *err);
/** Close the state: what rooms above keep in the registry has been released. Finalizers of the site run. */
void ls__vm_close(struct ls_session *session);
/** Free the session; its state is closed, or could not be made. */
void ls__vm_free(struct ls_session *session);
/** Let the collector, and so finalizers, wait until ls__collector_go. Unlike Lua's own stop and restart this makes no
 * collection begin before its time. Nests. @return for ls__collector_go: false = it does not run anyway [-0, +0, -] */
bool ls__collector_hold(struct ls_session *session);
/** What was made meanwhile counts now: finalizers may run, as in a call into Lua. [-0, +0, -] */
void ls__collector_go(struct ls_session *session, bool held);

/* --- limits.c --- */

/** (Re)install the count hook on a Lua thread. [-0, +0, -] */
void ls__hook_set(lua_State *L);
LS_RAISES void ls__hook(lua_State *L, lua_Debug *ar);
/** The hook of a thread on which an error is being raised from a hook: Lua calls message handlers, and what a dead
 * coroutine has to close, with hooks turned off. The next instruction raises again, or puts the thread's own hook back
 * when the entry is another one by then. */
LS_RAISES void ls__hook_stopped(lua_State *L, lua_Debug *ar);
/** Mark the thread so, before the error. [-0, +0, -] */
static inline void ls__hook_stop(lua_State *L)
{
    lua_sethook(L, ls__hook_stopped, LUA_MASKCOUNT, 1);
}
/** Is it marked? [-0, +0, -] */
static inline bool ls__hook_has_stopped(lua_State *L)
{
    return lua_gethook(L) == ls__hook_stopped;
}
/** Is the present entry over its time, or to be stopped (L5)? For C code that may work long and cannot raise: it ends
 * soon, in order. */
bool ls__stopped(struct ls_session *session);
/** What is said of it then. */
void ls__stop_text(const struct ls_session *session, struct ls_err *err);
/** For C code that may work long without executing Lua: raises as the count hook would if the entry's time is over
 * (L5). [-0, +0, e] */
LS_RAISES void ls__budget_check(lua_State *L);
#define LS_LOOK_EVERY 4096 /* steps of a loop between two looks: less than a few milliseconds of anything */
/** The same at each LS_LOOK_EVERY-th step of a loop. [-0, +0, e] */
LS_RAISES static inline void ls__look(lua_State *L, lua_Integer step)
{
    if (step % LS_LOOK_EVERY == 0) ls__budget_check(L);
}
#define LS_GRACE      5     /* looks at the clock that the message handlers of a stopped entry get together */
#define LS_HOOK_COUNT 10000 /* instructions between two looks at the clock */

/* --- chunks.c --- */

/** Push the compiled text as a function. `name` is the chunk name (`@key`, L30); a BOM and a # line are skipped (L31),
 * binary chunks refused (L16). With chunks cached under the name and content; `cache` false for code that comes once.
 * @return 0; LS_ESYNTAX with `key:line:` text; LS_ENOMEM/LS_ELIMIT. [-0, +(1|0), -] */
int ls__chunk_push(struct ls_session *session, const char *name, const char *text, size_t len, bool cache,
                   struct ls_err *err);

/** The text of an embedded file, unpacked once per process. `chunks` may be NULL: then it is unpacked each time.
 * @return a use, or NULL without memory */
struct ls_bytes *ls__chunks_embedded(struct ls_chunks *chunks, const struct ls_embed *embed);

/** The texts that all sessions share; borrowed. */
struct ls_texts *ls__chunks_texts(struct ls_chunks *chunks);
/** What an execution of a file gave is the same in most sessions: the bytes that the last one left if they are equal,
 * else these.
 * @param record  taken; NULL passes @return a use */
struct ls_bytes *ls__chunks_share(struct ls_chunks *chunks, const char *key, struct ls_bytes *record);

/* --- finalizers.c --- */

/** lua_setmetatable for metatables that may be a site's: a `__gc` in them is bounded and its errors are reported. Pops
 * the metatable or nil. [-1, +0, m] */
LS_RAISES void ls__set_metatable(lua_State *L, int index);
/** The warning function of the state; `ud` is the session. Warnings are on until warn("@off"). */
void ls__warn(void *ud, const char *text, int to_be_continued);

/* --- printing.c --- */

/** Log an error of site code at level 0 (L145): equal texts at most once a second, with a count. `where` names the row
 * of L144. */
void ls__report(struct ls_session *session, const char *where, const struct ls_err *err);

#endif
