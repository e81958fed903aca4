/* A link of some request path leads to another file now (H17). Owner thread: the session's.
 * Refuses to run anything: the transaction runs the new text, as a reload or as a first load. */
#include "model/module.h"

#include <string.h>

#include "base/alloc.h"
#include "files/fspath.h"
#include "model/prototype.h"

/* Is `path` where a module of this name is looked for? (L36: `fleet.ship` in …/fleet/ship.lua or …/fleet/ship/init.lua)
 * */
static bool names_path(const char *name, const char *path)
{
    struct ls_buf tail = LS_BUF_INIT;
    ls_buf_char(&tail, '/');
    for (const char *at = name; *at; at++)
        ls_buf_char(&tail, *at == '.' ? '/' : *at);
    size_t stem = tail.len;
    ls_buf_str(&tail, ".lua");
    bool found = ls_has_suffix(path, ls_buf_text(&tail));
    ls_buf_cut(&tail, stem);
    ls_buf_str(&tail, "/init.lua");
    found = found || ls_has_suffix(path, ls_buf_text(&tail));
    ls_buf_cut(&tail, stem);
    found = found || ls_has_suffix(path, ls_buf_text(&tail)); /* names of the host are file names already */
    bool failed = ls_buf_failed(&tail);
    ls_buf_release(&tail);
    return found && !failed;
}

struct move {
    const char *from, *to; /* keys of package.loaded */
    bool take;             /* `from` goes */
};

/* [-1, +0, m] package.loaded[to] = package.loaded[from] */
static LS_RAISES int l_move(lua_State *L)
{
    const struct move *move = lua_touserdata(L, 1);
    struct ls_session *session = ls__session_of(L);
    ls__ref_push(session, L, session->model->ref_loaded);
    lua_getfield(L, -1, move->from);
    lua_setfield(L, -2, move->to);
    if (!move->take) return 0;
    lua_pushnil(L);
    lua_setfield(L, -2, move->from);
    return 0;
}

static bool move_key(struct ls_session *session, const char *from, const char *to, bool take)
{
    struct move move = {from, to, take};
    LS_ERR(err);
    if (ls__lrun(session, l_move, &move, 0, &err) == 0) return true;
    ls__report(session, "re-pointed link", &err);
    return false;
}

static void replace_name(struct ls_names *names, const char *old, const char *new)
{
    if (ls_names_has(names, old) && ls_names_add(names, new)) ls_names_drop(names, old);
}

/* The module keeps its record and its registrations and changes its key. */
static void change_key(struct ls_session *session, struct ls_module *module, const char *key)
{
    char *new_key = ls_strdup(key);
    if (!new_key || !move_key(session, module->key, key, true)) {
        ls_free(new_key);
        return;
    }
    for (size_t i = 0; i < session->model->module_count; i++)
        replace_name(&session->model->modules[i]->requires, module->key, key);
    for (uint32_t i = 0; i < session->model->proto_count; i++)
        if (session->model->protos[i]) replace_name(&session->model->protos[i]->owners, module->key, key);
    ls__failure_clear(session, module->key);
    ls_free(module->key);
    module->key = new_key;
    module->hash = 0; /* what was executed was another file's text */
}

/* Names that were looked for at `path` lead to `to` now, or to nothing yet. @return one of them, owned */
static char *give_names(struct ls_session *session, struct ls_module *from, struct ls_module *to, const char *path)
{
    char *first = NULL;
    for (uint32_t i = from->names.count; i-- > 0;) {
        if (!names_path(from->names.items[i], path)) continue;
        char *name = ls_strdup(from->names.items[i]);
        if (!name) break;
        ls_names_drop(&from->names, name);
        if (to) {
            ls_names_add(&to->names, name);
            move_key(session, to->key, name, false);
        } else {
            move_key(session, "\1 no such module", name, false); /* nil: the next require finds the new file */
        }
        ls_free(first);
        first = name;
    }
    ls_names_drop(&from->paths, path);
    if (to) ls_names_add(&to->paths, path);
    return first;
}

struct ls_module *ls__module_before(const struct ls_session *session, const char *old_key, const char *key,
                                    const char *path)
{
    for (size_t i = 0; old_key && i < session->model->module_count; i++) {
        struct ls_module *module = session->model->modules[i];
        if ((*old_key && strcmp(module->key, old_key)) || strcmp(module->key, key) == 0) continue;
        if (ls_names_has(&module->paths, path)) return module;
    }
    return NULL;
}

char *ls__module_relink(struct ls_session *session, const char *old_key, const char *key, const char *path)
{
    struct ls_module *old = ls__module_before(session, old_key, key, path);
    if (!old) return NULL;
    struct ls_module *target = ls__module_find(session, key);
    if (!target && old->paths.count == 1) {
        change_key(session, old, key);
        return NULL;
    }
    char *name = give_names(session, old, target, path);
    if (!target) return name ? name : ls_strdup(key);
    ls_free(name);
    return NULL;
}
