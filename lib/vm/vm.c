/* The Lua state of a session, from opening to closing (LuaSession card: State), and its allocator, which counts.
 *
 * Owner thread: the session's. Refuses to: know what globals it has (libs.c and the rooms above), or the host's
 * threads. Rules: L1, L4, L5, P27. */
#include "vm/vm_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"
#include "vm/libs.h"

/* --- memory --- */

/* The first small objects of a session lie in one block. They need no heads there, for Lua says of what size a thing is
 * that it frees, and are taken and given back in a few instructions. What finds no room is the C library's, so that a
 * session that was large once does not stay large. Sizes are counted in words of eight bytes. */
#define SMALL      16 /* words of the largest */
#define HEAP_WORDS (4 << 10)

struct given {
    struct given *next;
};

struct ls_heap {
    size_t used;                    /* words that were taken once */
    uint64_t any;                   /* bit n: the list of n words is not empty */
    struct given *given[SMALL + 1]; /* lists of what was given back, by words */
    uint64_t words[HEAP_WORDS];
};

static size_t words(size_t size)
{
    return (size + 7) / 8;
}

static bool is_inside(const struct ls_heap *heap, const void *block)
{
    return heap && (uintptr_t)block - (uintptr_t)heap->words < sizeof heap->words;
}

static void give_back(struct ls_heap *heap, void *block, size_t n)
{
    struct given *first = block;
    first->next = heap->given[n];
    heap->given[n] = first;
    heap->any |= (uint64_t)1 << n;
}

/* A block of n words: one that was given back, of that size rather than a larger one, or a fresh one; NULL = there is
 * none. */
static void *take(struct ls_heap *heap, size_t n)
{
    size_t from = n;
    if (!heap->given[n]) {
        if (HEAP_WORDS - heap->used >= n) return &heap->words[(heap->used += n) - n];
        uint64_t larger = heap->any >> n;
        if (!larger) return NULL;
        from = n + (size_t)__builtin_ctzll(larger);
    }
    struct given *block = heap->given[from];
    heap->given[from] = block->next;
    if (!block->next) heap->any &= ~((uint64_t)1 << from);
    if (from > n) give_back(heap, (uint64_t *)block + n, from - n);
    return block;
}

static void *resize(struct ls_heap *heap, void *block, size_t had, size_t size)
{
    bool inside = is_inside(heap, block), small = heap && words(size) <= SMALL;
    if (!inside && (block || !small)) return ls_realloc(block, size);
    if (inside && words(had) == words(size)) return block;
    if (small && ls_alloc_fails()) return NULL;
    void *moved = small ? take(heap, words(size)) : NULL;
    if (!moved && !(moved = ls_malloc(size))) return NULL;
    if (!block) return moved;
    memcpy(moved, block, had < size ? had : size);
    give_back(heap, block, words(had));
    return moved;
}

/* What was there before has been freed. */
static void note_made(struct ls_session *session, const void *object, void *kind)
{
    void *before;
    if (!ls_idmap_put(session->vm.made, (int64_t)(intptr_t)object, kind, &before)) session->vm.made_lost = true;
    session->vm.made_functions += kind == LS_MADE_FUNCTION;
    session->vm.made_functions -= before == LS_MADE_FUNCTION;
}

/* Lua frees what it can, and tries again. Then it has forgotten that its collector is held, so that is stopped. */
static void *refuse(struct ls_session *session)
{
    if (session->vm.holds) lua_gc(session->vm.main, LUA_GCSTOP);
    return NULL;
}

static void *allocate(void *ud, void *block, size_t old_size, size_t size)
{
    struct ls_session *session = ud;
    atomic_size_t *heap = &session->vm.budget->heap;
    size_t had = block ? old_size : 0; /* without a block old_size is a kind of object */
    if (size == 0) {
        ls_budget_set(heap, ls_budget_get(heap) - had);
        if (is_inside(session->vm.heap, block))
            give_back(session->vm.heap, block, words(had));
        else
            free(block);
        return NULL;
    }
    if (size > had && !ls_budget_fits(session->vm.budget, size - had, 0)) {
        session->vm.memory_hit = true;
        return refuse(session);
    }
    void *moved = resize(session->vm.heap, block, had, size);
    if (!moved) return size <= had ? block : refuse(session); /* Lua counts on shrinking to succeed */
    ls_budget_set(heap, ls_budget_get(heap) + size - had);
    if (session->vm.made && !block && (old_size == LUA_TTABLE || old_size == LUA_TFUNCTION))
        note_made(session, moved, old_size == LUA_TFUNCTION ? LS_MADE_FUNCTION : LS_MADE_TABLE);
    return moved;
}

uint64_t ls_session_memory(const struct ls_session *session)
{
    return ls_budget_total(session->vm.budget);
}

void ls_session_collect(struct ls_session *session)
{
    ls__enter(session);
    lua_gc(session->vm.L, LUA_GCCOLLECT);
    ls__leave(session);
}

/* What Lua may allocate while its collector is held, in KiB; the bytes are counted by a long. */
#define HELD_KB (1 << 20)

bool ls__collector_hold(struct ls_session *session)
{
    bool runs = lua_gc(session->vm.L, LUA_GCISRUNNING) == 1;
    if (runs) lua_gc(session->vm.L, LUA_GCSTEP, -HELD_KB);
    session->vm.holds += runs;
    return runs;
}

void ls__collector_go(struct ls_session *session, bool held)
{
    if (!held) return;
    session->vm.holds--;
    ls__enter(session); /* finalizers may run here */
    if (lua_gc(session->vm.L, LUA_GCISRUNNING) == 1)
        lua_gc(session->vm.L, LUA_GCSTEP, HELD_KB);
    else if (!session->vm.holds) /* an allocation was refused meanwhile */
        lua_gc(session->vm.L, LUA_GCRESTART);
    ls__leave(session);
}

/* --- opening and closing --- */

/* [-0, +0, -] */
static int on_panic(lua_State *L)
{
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "no message";
    ls_log_session(0, ls__session_of(L)->vm.id, "Lua error outside of any protected call: %s", text);
    return 0; /* Lua aborts: a promise inside the program was broken */
}

enum { VM_REFS = 4 };

/* The references of the VM, so that none is forgotten. */
static void all_refs(struct ls_vm *vm, int *refs[static VM_REFS])
{
    refs[0] = &vm->ref_session_key;
    refs[1] = &vm->ref_session;
    refs[2] = &vm->ref_ui;
    refs[3] = &vm->ref_memory_text;
}

struct ls_session *ls__vm_new(const struct ls_session_config *config, const struct ls_session_host *host,
                              struct ls_err *err)
{
    struct ls_session *session = ls_zalloc(sizeof *session);
    if (!session) {
        ls_fail(err, LS_ENOMEM, "Out of memory while opening a session.");
        return NULL;
    }
    session->vm.config = *config;
    ls_budget_init(&session->vm.own_budget, config->memory_limit);
    session->vm.budget = config->budget ? config->budget : &session->vm.own_budget;
    session->vm.trace.budget = session->vm.error.budget = session->vm.warning.budget = session->vm.budget;
    /* they are to say that the limit was reached */
    session->vm.trace.extra = session->vm.error.extra = session->vm.warning.extra = LS_BUDGET_SPARE;
    if (host) session->vm.host = *host;
    session->vm.site = config->site;
    session->vm.inside = config->inside ? config->inside : &session->vm.own_inside;
    session->vm.chunks = config->chunks;
    int *refs[VM_REFS];
    all_refs(&session->vm, refs);
    for (size_t i = 0; i < VM_REFS; i++)
        *refs[i] = LUA_NOREF;
    session->vm.id = ls_strdup(config->vended_id ? config->vended_id : "");
    session->vm.config.vended_id = session->vm.id;
#ifndef LS_DEBUG                                            /* sanitizers are to see each object by itself */
    session->vm.heap = ls_malloc(sizeof *session->vm.heap); /* without it all goes to the C library */
    if (session->vm.heap) memset(session->vm.heap, 0, offsetof(struct ls_heap, words));
#endif
    session->vm.main = session->vm.L = session->vm.id ? lua_newstate(allocate, session) : NULL;
    if (!session->vm.main) {
        ls_fail(err, LS_ENOMEM, "Out of memory while opening the Lua state of a session.");
        ls__vm_free(session);
        return NULL;
    }
    *(struct ls_session **)lua_getextraspace(session->vm.main) = session;
    lua_atpanic(session->vm.main, on_panic);
    lua_setwarnf(session->vm.main, ls__warn, session);
    ls__hook_set(session->vm.main);
    return session;
}

void ls__vm_close(struct ls_session *session)
{
    int *refs[VM_REFS];
    all_refs(&session->vm, refs);
    for (size_t i = 0; i < VM_REFS; i++)
        ls__ref_drop(session, refs[i]);
    assert(session->vm.refs == 0);
    ls__enter(session);
    lua_close(session->vm.main);
    session->vm.main = session->vm.L = NULL;
    session->vm.depth = 0;
}

void ls__vm_free(struct ls_session *session)
{
    if (session->vm.id) ls_log_unfold(session->vm.id);
    ls_buf_release(&session->vm.trace);
    ls_names_release(&session->vm.over_in);
    ls_err_release(&session->vm.raised);
    ls_buf_release(&session->vm.warning);
    ls_buf_release(&session->vm.error);
    ls_free(session->vm.heap);
    ls_free(session->vm.id);
    ls_free(session);
}

const char *ls_session_last_error(const struct ls_session *session)
{
    return ls_buf_text(&session->vm.error);
}
