/* Prototypes, presenter types and wrappers as they were before a first load changed them, so that a failed load can be
 * taken back (L43). A reload has its own snapshot (H59). Owner thread: the session's. */
#include "model/prototype.h"

#include "base/alloc.h"
#include "base/array.h"
#include "model/module.h"

/* The part of the journal that belongs to the innermost first load; @return false outside of one. */
static bool open_part(const struct ls_session *session, size_t *from)
{
    if (session->model->running_count == 0 || !session->model->running[session->model->running_count - 1].first_load)
        return false;
    *from = session->model->running[session->model->running_count - 1].journal;
    return true;
}

/* [-0, +0, e] room for one more */
static LS_RAISES void make_room(struct ls_session *session, lua_State *L)
{
    if (!LS_RESERVE(session->model->journal, session->model->journal_count + 1, session->model->journal_cap))
        ls__lno_memory(L, "loading a module");
}

LS_RAISES void ls__journal_note(struct ls_session *session, lua_State *L, uint32_t id, bool created)
{
    size_t from;
    if (!open_part(session, &from)) return;
    for (size_t i = from; i < session->model->journal_count; i++)
        if (session->model->journal[i].id == id) return;
    make_room(session, L);
    int saved = LUA_NOREF;
    if (!created) {
        ls__proto_save(session, L, id, true);
        saved = ls__ref_take(session, L);
    }
    session->model->journal[session->model->journal_count++] = (struct ls_journal){.id = id, .saved = saved};
}

/* --- presenter types and wrappers --- */

static struct ls_names *types_of(struct ls_module *module, bool wrapper)
{
    return wrapper ? &module->wrappers : &module->presenters;
}

LS_RAISES void ls__journal_note_type(struct ls_session *session, lua_State *L, bool wrapper)
{
    size_t from;
    if (!open_part(session, &from)) return;
    make_room(session, L);
    const char *owner = NULL, *name = lua_tostring(L, 1);
    for (size_t i = 0; i < session->model->module_count && !owner; i++)
        if (ls_names_has(types_of(session->model->modules[i], wrapper), name)) owner = session->model->modules[i]->key;
    ls__ref_push(session, L, wrapper ? session->model->ref_wrappers : session->model->ref_presenters);
    lua_pushvalue(L, 1);
    if (lua_rawget(L, -2) == LUA_TNIL) {
        lua_pop(L, 2); /* registered for the first time: taken back by the list of the module */
        return;
    }
    lua_pushstring(L, owner); /* nil without one */
    lua_createtable(L, 4, 0);
    lua_insert(L, -3); /* registry, saved, old table, owner */
    lua_rawseti(L, -3, 4);
    lua_rawseti(L, -2, 3);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 2);
    lua_pushboolean(L, wrapper);
    lua_rawseti(L, -2, 1);
    int saved = ls__ref_take(session, L);
    session->model->journal[session->model->journal_count++] = (struct ls_journal){.id = 0, .saved = saved};
    lua_pop(L, 1);
}

/* [-1, +0, m] put back what ls__journal_note_type has saved, which is on top */
static LS_RAISES void restore_type(struct ls_session *session, lua_State *L)
{
    LS_LTOP(L);
    int saved = lua_gettop(L);
    lua_rawgeti(L, saved, 1);
    bool wrapper = lua_toboolean(L, -1);
    ls__ref_push(session, L, wrapper ? session->model->ref_wrappers : session->model->ref_presenters);
    lua_rawgeti(L, saved, 2);
    const char *name = lua_tostring(L, -1);
    for (size_t i = 0; i < session->model->module_count; i++)
        ls_names_drop(types_of(session->model->modules[i], wrapper), name);
    lua_pushvalue(L, -1);
    lua_rawgeti(L, saved, 3);
    lua_rawset(L, saved + 2);
    if (lua_rawgeti(L, saved, 4) == LUA_TSTRING) {
        struct ls_module *owner = ls__module_find(session, lua_tostring(L, -1));
        if (owner && !ls_names_add(types_of(owner, wrapper), name)) ls__lno_memory(L, "registering '%s'", name);
    }
    lua_settop(L, saved - 1);
    LS_LTOP_CHECK(L, -1);
}

/* --- the end of a load --- */

/* [-0, +0, m] argument: where to stop */
static LS_RAISES int undo_all(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    size_t mark = *(size_t *)lua_touserdata(L, 1);
    while (session->model->journal_count > mark) {
        struct ls_journal *note = &session->model->journal[session->model->journal_count - 1];
        uint32_t id = note->id;
        if (note->saved == LUA_NOREF) {
            ls__proto_remove(session, L, id);
        } else {
            ls__ref_push(session, L, note->saved);
            if (id)
                ls__proto_restore(session, L, id);
            else
                restore_type(session, L);
            ls__ref_drop(session, &note->saved);
        }
        session->model->journal_count--;
    }
    return 0;
}

void ls__journal_undo(struct ls_session *session, size_t mark)
{
    LS_ERR(err);
    if (session->model->journal_count > mark && ls__lrun(session, undo_all, &mark, 0, &err) != 0) {
        ls__report(session, "taking back a failed load", &err);
        ls__journal_commit(session, mark);
    }
}

/* What a nested load did counts as "before" for the outer one: its note of the same prototype is made anew. [-0, +0, m]
 * */
static LS_RAISES int refresh_outer(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    size_t mark = *(size_t *)lua_touserdata(L, 1);
    for (size_t i = mark; i < session->model->journal_count; i++)
        for (size_t k = 0; k < mark; k++)
            if (session->model->journal[i].id && session->model->journal[k].id == session->model->journal[i].id &&
                session->model->journal[k].saved != LUA_NOREF) {
                ls__proto_save(session, L, session->model->journal[i].id, true);
                int fresh = ls__ref_take(session, L);
                ls__ref_drop(session, &session->model->journal[k].saved);
                session->model->journal[k].saved = fresh;
            }
    return 0;
}

void ls__journal_commit(struct ls_session *session, size_t mark)
{
    LS_ERR(err);
    if (mark > 0 && session->model->journal_count > mark && ls__lrun(session, refresh_outer, &mark, 0, &err) != 0)
        ls__report(session, "noting a load", &err);
    while (session->model->journal_count > mark)
        ls__ref_drop(session, &session->model->journal[--session->model->journal_count].saved);
}

void ls__journal_release(struct ls_session *session)
{
    ls__journal_commit(session, 0);
    ls_free(session->model->journal);
    session->model->journal = NULL;
}
