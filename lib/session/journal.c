/* Prototypes as they were before a first load changed them, so that a failed load can be taken back (L43). A reload has its own snapshot
 * (H59). Owner thread: the session's. */
#include "session/prototype.h"

#include "base/alloc.h"

/* The part of the journal that belongs to the innermost first load; @return false outside of one. */
static bool open_part(const struct ls_session *session, size_t *from)
{
    if (session->frame_count == 0 || !session->frames[session->frame_count - 1].first_load)
        return false;
    *from = session->frames[session->frame_count - 1].journal;
    return true;
}

LS_RAISES void ls__journal_note(struct ls_session *session, lua_State *L, uint32_t id, bool created)
{
    size_t from;
    if (!open_part(session, &from))
        return;
    for (size_t i = from; i < session->journal_count; i++)
        if (session->journal[i].id == id)
            return;
    if (session->journal_count == session->journal_cap) {
        size_t cap = session->journal_cap ? session->journal_cap * 2 : 8;
        struct ls_journal *journal = ls_rearray(session->journal, cap, sizeof *journal);
        if (!journal)
            luaL_error(L, "not enough memory to load a module");
        session->journal = journal;
        session->journal_cap = cap;
    }
    int saved = LUA_NOREF;
    if (!created) {
        ls__proto_save(session, L, id);
        saved = ls__ref_take(session, L);
    }
    session->journal[session->journal_count++] = (struct ls_journal){.id = id, .saved = saved};
}

/* [-0, +0, m] argument: where to stop */
static LS_RAISES int undo_all(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    size_t mark = *(size_t *)lua_touserdata(L, 1);
    while (session->journal_count > mark) {
        struct ls_journal *entry = &session->journal[session->journal_count - 1];
        uint32_t id = entry->id;
        if (entry->saved == LUA_NOREF) {
            ls__proto_remove(session, L, id);
        } else {
            ls__ref_push(session, L, entry->saved);
            ls__proto_restore(session, L, id);
            ls__ref_drop(session, &entry->saved);
        }
        session->journal_count--;
    }
    return 0;
}

void ls__journal_undo(struct ls_session *session, size_t mark)
{
    struct ls_err err;
    if (session->journal_count > mark && ls__lrun(session, undo_all, &mark, 0, &err) != 0) {
        ls__report(session, "taking back a failed load", &err);
        ls__journal_commit(session, mark);
    }
}

/* What a nested load did counts as "before" for the outer one: its note of the same prototype is made anew. [-0, +0, m] */
static LS_RAISES int refresh_outer(lua_State *L)
{
    struct ls_session *session = ls__session_of(L);
    size_t mark = *(size_t *)lua_touserdata(L, 1);
    for (size_t i = mark; i < session->journal_count; i++)
        for (size_t k = 0; k < mark; k++)
            if (session->journal[k].id == session->journal[i].id && session->journal[k].saved != LUA_NOREF) {
                ls__proto_save(session, L, session->journal[i].id);
                int fresh = ls__ref_take(session, L);
                ls__ref_drop(session, &session->journal[k].saved);
                session->journal[k].saved = fresh;
            }
    return 0;
}

void ls__journal_commit(struct ls_session *session, size_t mark)
{
    struct ls_err err;
    if (mark > 0 && session->journal_count > mark && ls__lrun(session, refresh_outer, &mark, 0, &err) != 0)
        ls__report(session, "noting a load", &err);
    while (session->journal_count > mark)
        ls__ref_drop(session, &session->journal[--session->journal_count].saved);
}
