/* The undo log of loads (undo.h). Owner thread: the session's. Refuses to: follow references; contents of other tables
 * than those that are noted are beyond roll-back (H60). Rules: L43, H59. */
#include "model/undo.h"

#include "model/model_internal.h"
#include "model/module.h"
#include "model/prototype.h"
#include "model/snapshot.h"
#include "tracker/tracker.h"

/* Slots of a step, and from the fourth on those of kinds that need more. */
enum { KIND = 1, KEY, OLD, RECORD, COPIES, NAME, FIELDS, OWNER = RECORD, VARIABLE = RECORD };

/* Kinds of steps; those from UNDO_PROTO to UNDO_MUTATION are taken back after first loads too (L43). */
enum {
    UNDO_RAW,       /* begins with a function or a table */
    UNDO_SNAPSHOT,  /* KEY: does it hold prototypes */
    UNDO_PROTO,     /* KEY: id; OLD: table, or nil: it is to be removed; RECORD to FIELDS, a snapshot of it */
    UNDO_PRESENTER, /* KEY: name; OLD: table, or nil; OWNER: key of the module that had registered it, or nil */
    UNDO_WRAPPER,   /* the same */
    UNDO_MUTATION,  /* KEY: number; OLD: a snapshot of its removed fields, or nil: it is to be dropped */
    UNDO_APP,       /* OLD: app object, or nil; VARIABLE: id, 0 = none */
    UNDO_NAME,      /* KEY: name of a standard variable; OLD: id, 0 = none */
    UNDO_MADE       /* KEY: id of a variable that is to be destroyed */
};

const char ls__undo_metatable_key;

/* What a roll-back or commit is about. */
struct frame {
    struct ls_session *session;
    lua_Integer mark;
    bool all;
};

/* Is a step to be noted? Then there is room on the stack to make it. [-0, +0, m] */
static LS_RAISES bool is_noting(const struct ls_session *session, lua_State *L)
{
    if (!session->model->undo_frames || session->model->undoing) return false;
    luaL_checkstack(L, 10, NULL);
    return true;
}

/* Push the log. [-0, +1, m] */
static LS_RAISES void push_log(struct ls_session *session, lua_State *L)
{
    LS_LTOP(L);
    if (session->model->ref_undo == LUA_NOREF) {
        lua_newtable(L);
        if (session->model->ref_undo == LUA_NOREF) /* a finalizer that runs meanwhile may note something too */
            session->model->ref_undo = ls__ref_take(session, L);
        else
            lua_pop(L, 1);
    }
    ls__ref_push(session, L, session->model->ref_undo);
    LS_LTOP_CHECK(L, 1);
}

/* [-1, +1, m] the step on top, which stays, goes into the log */
static LS_RAISES void append(struct ls_session *session, lua_State *L)
{
    push_log(session, L);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
}

/* [-n, +1, m] the values on top, kind and key first, become a step in the log, which stays on top */
static LS_RAISES void add_step(struct ls_session *session, lua_State *L, int n)
{
    int step = lua_gettop(L) - n + 1;
    lua_createtable(L, n, 0);
    lua_insert(L, step);
    for (; n > 0; n--)
        lua_rawseti(L, step, n);
    append(session, L);
}

/* The same, and the step is popped. [-n, +0, m] */
static LS_RAISES void note(struct ls_session *session, lua_State *L, int n)
{
    add_step(session, L, n);
    lua_pop(L, 1);
}

/* --- notes --- */

LS_RAISES void ls__undo_snapshot(struct ls_session *session, lua_State *L, bool prototypes)
{
    lua_pushinteger(L, UNDO_SNAPSHOT);
    lua_pushboolean(L, prototypes);
    lua_rotate(L, -3, 2);
    note(session, L, OLD);
}

/* [-0, +1, m] a step that puts the prototype back as it is now; where there is none, one that removes it */
static LS_RAISES void push_proto(struct ls_session *session, lua_State *L, uint32_t id)
{
    LS_LTOP(L);
    luaL_checkstack(L, 8, NULL);
    lua_createtable(L, FIELDS, 0);
    int step = lua_gettop(L);
    lua_pushinteger(L, UNDO_PROTO);
    lua_rawseti(L, step, KIND);
    lua_pushinteger(L, id);
    lua_rawseti(L, step, KEY);
    ls__snapshot_new(L);
    /* Only now, and all of it before memory is taken again: a finalizer that runs then may remove the prototype. */
    const struct ls_proto *proto = ls__proto_at(session, id);
    if (proto) {
        ls__ref_push(session, L, proto->table);
        ls__ref_push(session, L, proto->record);
        ls__ref_push(session, L, proto->copies);
        lua_pushstring(L, proto->name);
        lua_rawseti(L, step, NAME);
        lua_rawseti(L, step, COPIES);
        lua_rawseti(L, step, RECORD);
        ls__snapshot_add(L, step + 1, -1);
        lua_rawseti(L, step, OLD);
    }
    lua_rawseti(L, step, FIELDS);
    LS_LTOP_CHECK(L, 1);
}

LS_RAISES void ls__undo_proto(struct ls_session *session, lua_State *L, uint32_t id)
{
    if (!is_noting(session, L)) return;
    push_proto(session, L, id);
    append(session, L);
    lua_pop(L, 1);
}

LS_RAISES void ls__undo_making(struct ls_session *session, lua_State *L, bool variable)
{
    if (!is_noting(session, L)) {
        lua_pushnil(L);
        return;
    }
    lua_pushinteger(L, variable ? UNDO_MADE : UNDO_PROTO);
    lua_pushinteger(L, 0); /* no id is 0: nothing is taken back */
    add_step(session, L, KEY);
}

void ls__undo_made(lua_State *L, int64_t id)
{
    if (lua_istable(L, -1)) {
        lua_pushinteger(L, id);
        lua_rawseti(L, -2, KEY); /* a field that exists: nothing is allocated */
    }
    lua_pop(L, 1);
}

static struct ls_names *types_of(struct ls_module *module, bool wrapper)
{
    return &module->lists[wrapper ? LS_WRAPPERS : LS_PRESENTERS];
}

static int registry_of(const struct ls_session *session, bool wrapper)
{
    return wrapper ? session->model->ref_wrappers : session->model->ref_presenters;
}

LS_RAISES void ls__undo_type(struct ls_session *session, lua_State *L, int name, bool wrapper)
{
    if (!is_noting(session, L)) return;
    lua_pushinteger(L, wrapper ? UNDO_WRAPPER : UNDO_PRESENTER);
    lua_pushvalue(L, name);
    ls__ref_push(session, L, registry_of(session, wrapper));
    ls__raw_get(L, -1, name);
    lua_remove(L, -2);
    const char *owner = NULL;
    for (size_t i = 0; i < session->model->module_count && !owner; i++)
        if (ls_names_has(types_of(session->model->modules[i], wrapper), lua_tostring(L, name)))
            owner = session->model->modules[i]->key;
    lua_pushstring(L, owner); /* nil without one */
    note(session, L, OWNER);
}

LS_RAISES void ls__undo_mutation(struct ls_session *session, lua_State *L, uint64_t number, int removed)
{
    if (!is_noting(session, L)) return;
    lua_pushinteger(L, UNDO_MUTATION);
    lua_pushinteger(L, (lua_Integer)number);
    if (removed) {
        ls__snapshot_new(L);
        ls__snapshot_add(L, -1, removed);
    }
    note(session, L, removed ? OLD : KEY);
}

LS_RAISES void ls__undo_app(struct ls_session *session, lua_State *L)
{
    if (!is_noting(session, L)) return;
    lua_pushinteger(L, UNDO_APP);
    lua_pushinteger(L, 0); /* there is one app */
    ls__ref_push(session, L, session->model->ref_app);
    lua_pushinteger(L, session->model->app_variable_id);
    note(session, L, VARIABLE);
}

LS_RAISES void ls__undo_name(struct ls_session *session, lua_State *L, const char *name)
{
    if (!is_noting(session, L)) return;
    lua_pushinteger(L, UNDO_NAME);
    lua_pushstring(L, name);
    lua_pushinteger(L, ls_tracker_named(session->model->tracker, name));
    note(session, L, OLD);
}

LS_RAISES void ls__undo_field(struct ls_session *session, lua_State *L, int table, int key)
{
    if (!is_noting(session, L)) return;
    table = lua_absindex(L, table);
    key = lua_absindex(L, key);
    lua_pushvalue(L, table);
    lua_pushvalue(L, key);
    if (lua_touserdata(L, key) != LS_UNDO_METATABLE)
        ls__raw_get(L, table, key);
    else if (!lua_getmetatable(L, table))
        lua_pushnil(L);
    note(session, L, OLD);
}

LS_RAISES void ls__undo_upvalue(struct ls_session *session, lua_State *L, int function, int upvalue)
{
    if (!is_noting(session, L)) return;
    function = lua_absindex(L, function);
    lua_pushvalue(L, function);
    lua_pushinteger(L, upvalue);
    if (!lua_getupvalue(L, function, upvalue)) lua_pushnil(L);
    note(session, L, OLD);
}

/* Push a table: id of a prototype that was declared again since the mark → its record of declared fields before.
 * [-0, +1, m] */
static LS_RAISES void push_records(struct ls_session *session, lua_State *L, size_t mark)
{
    LS_LTOP(L);
    luaL_checkstack(L, 6, NULL);
    lua_newtable(L);
    push_log(session, L);
    int records = lua_gettop(L) - 1, log = records + 1;
    for (lua_Integer i = (lua_Integer)lua_rawlen(L, log); i > (lua_Integer)mark; i--, lua_settop(L, log)) {
        if (lua_rawgeti(L, log, i) != LUA_TTABLE) continue;
        lua_rawgeti(L, log + 1, KIND);
        if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) != UNDO_PROTO) continue;
        lua_rawgeti(L, log + 1, KEY);
        if (lua_rawgeti(L, log + 1, RECORD) != LUA_TTABLE) continue;
        lua_rawset(L, records); /* the first step comes last, and is the one that stays */
    }
    lua_settop(L, records);
    LS_LTOP_CHECK(L, 1);
}

/* [-0, +0, -] how many keys of the table at `a` the one at `b` has not */
static unsigned count_missing(lua_State *L, int a, int b)
{
    unsigned count = 0;
    for (lua_pushnil(L); lua_next(L, a); lua_pop(L, 1))
        count += !ls__has_key(L, b, lua_gettop(L) - 1);
    return count;
}

static void write_fields(struct ls_buf *out, const char *name, unsigned added, unsigned removed)
{
    ls_buf_printf(out, "%s%s", out->len ? ", " : "", name);
    if (added) ls_buf_printf(out, " +%u", added);
    if (removed) ls_buf_printf(out, " -%u", removed);
    ls_buf_str(out, !added && !removed ? ": defaults changed" : added + removed == 1 ? " field" : " fields");
}

LS_RAISES void ls__undo_fields(struct ls_session *session, lua_State *L, size_t mark, struct ls_buf *out)
{
    int top = lua_gettop(L);
    push_records(session, L, mark);
    for (uint32_t id = 1; id <= session->model->proto_count; id++) {
        const struct ls_proto *proto = ls__proto_at(session, id);
        if (proto && lua_rawgeti(L, top + 1, id) == LUA_TTABLE &&
            ls__ref_push(session, L, proto->record) == LUA_TTABLE && !lua_rawequal(L, top + 2, top + 3))
            write_fields(out, proto->name, count_missing(L, top + 3, top + 2), count_missing(L, top + 2, top + 3));
        lua_settop(L, top + 1);
    }
    lua_settop(L, top);
}

/* --- taking steps back --- */

/* Stack of l_roll_back and l_commit; those below take off what they push, or not. */
enum { LOG = 1, STEP, STEP_KIND, STEP_KEY, STEP_OLD };

/* [-0, +n, m] */
static LS_RAISES void undo_raw(struct ls_session *session, lua_State *L)
{
    (void)session;
    if (lua_isfunction(L, STEP_KIND))
        lua_setupvalue(L, STEP_KIND, (int)lua_tointeger(L, STEP_KEY));
    else if (lua_touserdata(L, STEP_KEY) == LS_UNDO_METATABLE)
        ls__set_metatable(L, STEP_KIND);
    else
        ls__raw_set(L, STEP_KIND, STEP_KEY, STEP_OLD);
}

/* [-0, +n, m] */
static LS_RAISES void undo_snapshot(struct ls_session *session, lua_State *L)
{
    (void)session;
    ls__snapshot_restore(L, STEP_OLD);
}

/* [-0, +0, m] Register it again under its id and name, for the modules that have it in their lists. */
static LS_RAISES struct ls_proto *register_again(struct ls_session *session, lua_State *L, uint32_t id)
{
    lua_rawgeti(L, STEP, NAME);
    struct ls_proto *proto = ls__proto_add(session, L, lua_tostring(L, -1), id);
    ls__proto_set_id(session, L, id);
    lua_pushvalue(L, STEP_OLD);
    ls__proto_set_id(session, L, id);
    lua_pushvalue(L, STEP_OLD);
    proto->table = ls__ref_take(session, L);
    for (size_t i = 0; i < session->model->module_count; i++)
        if (ls_names_has(&session->model->modules[i]->prototypes, proto->name))
            ls_names_add(&proto->owners, session->model->modules[i]->key);
    return proto;
}

/* [-0, +n, m] */
static LS_RAISES void undo_proto(struct ls_session *session, lua_State *L)
{
    uint32_t id = (uint32_t)lua_tointeger(L, STEP_KEY);
    if (lua_isnil(L, STEP_OLD)) {
        ls__proto_remove(session, L, id);
        return;
    }
    lua_rawgeti(L, STEP, FIELDS);
    ls__snapshot_restore(L, -1);
    struct ls_proto *proto = ls__proto_at(session, id);
    if (!proto) {
        lua_rawgeti(L, STEP, NAME);
        if (ls__proto_find(session, lua_tostring(L, -1))) return; /* declared anew by a load that has succeeded */
        proto = register_again(session, L, id);
    }
    lua_rawgeti(L, STEP, RECORD);
    ls__ref_set(session, L, &proto->record);
    lua_rawgeti(L, STEP, COPIES);
    ls__ref_set(session, L, &proto->copies);
}

/* [-0, +n, m] */
static LS_RAISES void undo_type(struct ls_session *session, lua_State *L)
{
    bool wrapper = lua_tointeger(L, STEP_KIND) == UNDO_WRAPPER;
    const char *name = lua_tostring(L, STEP_KEY);
    for (size_t i = 0; i < session->model->module_count; i++)
        ls_names_drop(types_of(session->model->modules[i], wrapper), name);
    ls__ref_push(session, L, registry_of(session, wrapper));
    ls__raw_set(L, -1, STEP_KEY, STEP_OLD);
    if (lua_rawgeti(L, STEP, OWNER) != LUA_TSTRING) return;
    struct ls_module *owner = ls__module_find(session, lua_tostring(L, -1));
    if (owner && !ls_names_add(types_of(owner, wrapper), name)) ls__lno_memory(L, "registering '%s'", name);
}

/* [-0, +n, m] */
static LS_RAISES void undo_mutation(struct ls_session *session, lua_State *L)
{
    if (lua_istable(L, STEP_OLD))
        ls__snapshot_restore(L, STEP_OLD);
    else
        ls__mutation_drop(session, (uint64_t)lua_tointeger(L, STEP_KEY));
}

LS_RAISES void ls__app_replace(struct ls_session *session, lua_State *L)
{
    struct ls_model *model = session->model;
    struct ls_fault fault;
    struct ls_var *var = ls_tracker_find(model->tracker, model->app_variable_id);
    lua_pushvalue(L, -1);
    if (var)
        ls_tracker_set_value(model->tracker, var, model->slots->take(session, L), &fault);
    else
        lua_pop(L, 1);
    ls__ref_set(session, L, &model->ref_app);
}

/* [-0, +n, m] the app object and what its variable shows */
static LS_RAISES void undo_app(struct ls_session *session, lua_State *L)
{
    struct ls_model *model = session->model;
    lua_rawgeti(L, STEP, VARIABLE);
    model->app_variable_id = lua_tointeger(L, -1);
    ls__ref_push(session, L, model->ref_app);
    if (lua_rawequal(L, -1, STEP_OLD)) return;
    lua_pushvalue(L, STEP_OLD);
    ls__app_replace(session, L);
}

/* By kind; variables and names have gone before. [-0, +n, m] */
static LS_RAISES void (*const undo[])(struct ls_session *session, lua_State *L) = {
    undo_raw, undo_snapshot, undo_proto, undo_type, undo_type, undo_mutation, undo_app};

/* Push kind and key of the step on top. @return the kind [-0, +2, -] */
static int push_step(lua_State *L)
{
    int kind = lua_rawgeti(L, -1, KIND) == LUA_TNUMBER ? (int)lua_tointeger(L, -1) : UNDO_RAW;
    lua_rawgeti(L, -2, KEY);
    return kind;
}

/* [-1, +0, m] argument: struct frame */
static LS_RAISES int l_roll_back(lua_State *L)
{
    const struct frame *frame = lua_touserdata(L, 1);
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    lua_settop(L, 0);
    push_log(frame->session, L);
    for (lua_Integer i = (lua_Integer)lua_rawlen(L, LOG); i > frame->mark; i--, lua_settop(L, LOG)) {
        if (lua_rawgeti(L, LOG, i) != LUA_TTABLE) continue;
        int kind = push_step(L);
        lua_rawgeti(L, STEP, OLD);
        bool taken = kind <= UNDO_APP && (frame->all || (kind >= UNDO_PROTO && kind <= UNDO_MUTATION));
        if (taken) undo[kind](frame->session, L);
        if (!taken && kind != UNDO_SNAPSHOT) continue; /* the frame around it has an older one */
        lua_pushboolean(L, 0);
        lua_rawseti(L, LOG, i);
    }
    return 0;
}

/* Variables that were made go, and standard variables stand for what they stood for. Code that is told of their end may
 * load files, in frames of their own: the step is taken off the log first. [-0, +0, -] */
static void undo_variables(const struct frame *frame)
{
    struct ls_model *model = frame->session->model;
    lua_State *L = frame->session->vm.L;
    int top = lua_gettop(L);
    if (!lua_checkstack(L, 8)) return;
    ls__ref_push(frame->session, L, model->ref_undo);
    for (lua_Integer i = (lua_Integer)lua_rawlen(L, top + LOG); i > frame->mark; i--, lua_settop(L, top + LOG)) {
        if (lua_rawgeti(L, top + LOG, i) != LUA_TTABLE) continue;
        int kind = push_step(L);
        lua_rawgeti(L, top + STEP, kind == UNDO_APP ? VARIABLE : OLD);
        int64_t id = 0;
        struct ls_fault fault;
        if (kind == UNDO_APP && lua_tointeger(L, top + STEP_OLD) == 0) {
            id = model->app_variable_id;
            model->app_variable_id = 0;
            ls__ref_drop(frame->session, &model->ref_app);
        } else if (kind == UNDO_MADE && frame->all) {
            id = lua_tointeger(L, top + STEP_KEY);
        } else if (kind == UNDO_NAME && frame->all) {
            ls_tracker_name(model->tracker, lua_tostring(L, top + STEP_KEY), lua_tointeger(L, top + STEP_OLD), &fault);
        } else {
            continue;
        }
        lua_pushboolean(L, 0);
        lua_rawseti(L, top + LOG, i);
        if (id) model->store->destroy(model->store->ctx, id);
    }
    lua_settop(L, top);
}

/* --- the end of a frame --- */

/* The log goes with the outermost frame. */
static void end_frame(struct ls_session *session, lua_Integer mark)
{
    lua_State *L = session->vm.L;
    if (--session->model->undo_frames == 0) {
        ls__ref_drop(session, &session->model->ref_undo);
        ls__mutations_sweep(session);
    } else if (session->model->ref_undo != LUA_NOREF && lua_checkstack(L, 2)) {
        ls__ref_push(session, L, session->model->ref_undo);
        for (lua_Integer i = (lua_Integer)lua_rawlen(L, -1); i > mark; i--) {
            lua_pushnil(L);
            lua_rawseti(L, -2, i);
        }
        lua_pop(L, 1);
    }
}

size_t ls__undo_begin(struct ls_session *session)
{
    lua_State *L = session->vm.L;
    session->model->undo_frames++;
    ls__ref_push(session, L, session->model->ref_undo);
    size_t mark = lua_rawlen(L, -1);
    lua_pop(L, 1);
    return mark;
}

void ls__undo_roll_back(struct ls_session *session, size_t mark, bool all)
{
    struct frame frame = {session, (lua_Integer)mark, all};
    bool held = false;
    if (session->model->ref_undo != LUA_NOREF) {
        LS_ERR(err);
        /* A chunk that failed because memory is at its limit must still be undone: giving back needs a little for
         * itself. */
        size_t limit = ls_budget_get(&session->vm.budget->limit);
        ls_budget_set(&session->vm.budget->limit, 0);
        undo_variables(&frame);
        /* Finalizers wait: what they remove or declare is not to change under the hands of the roll-back. */
        held = ls__collector_hold(session);
        session->model->undoing = true;
        if (ls__lrun(session, l_roll_back, &frame, 0, &err) != 0) ls__report(session, "roll-back of a load", &err);
        session->model->undoing = false;
        ls_budget_set(&session->vm.budget->limit, limit);
    }
    end_frame(session, all ? frame.mark : LUA_MAXINTEGER);
    ls__collector_go(session, held);
}

/* Stack of l_commit: the keys of the steps that have succeeded; a step of the frames around it, and one of those. */
enum { KEYS = LOG + 1, OUTER, OUTER_KIND, OUTER_KEY, INNER, INNER_KIND, INNER_KEY };

/* What the inner step has done counts as having been so before the outer one, which is at place `at`. [-0, +n, m] */
static LS_RAISES void settle(const struct frame *frame, lua_State *L, int outer, int inner, lua_Integer at)
{
    uint32_t id = inner == UNDO_PROTO ? (uint32_t)lua_tointeger(L, INNER_KEY) : 0;
    const struct ls_proto *proto = ls__proto_at(frame->session, id);
    if (outer == UNDO_SNAPSHOT) {
        lua_rawgeti(L, OUTER, OLD);
        bool made = lua_rawgeti(L, INNER, OLD) == LUA_TNIL;
        if (inner == UNDO_SNAPSHOT) {
            ls__snapshot_amend(L, -2, -1);
        } else if (proto && made && lua_toboolean(L, OUTER_KEY)) {
            ls__ref_push(frame->session, L, proto->table);
            ls__snapshot_add(L, -3, -1);
        }
    } else if (lua_rawequal(L, OUTER_KIND, INNER_KIND) && lua_rawequal(L, OUTER_KEY, INNER_KEY)) {
        if (id)
            push_proto(frame->session, L, id);
        else
            lua_pushboolean(L, 0);
        lua_rawseti(L, LOG, at);
    }
}

/* [-1, +0, m] argument: struct frame */
static LS_RAISES int l_commit(lua_State *L)
{
    const struct frame *frame = lua_touserdata(L, 1);
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    lua_settop(L, 0);
    push_log(frame->session, L);
    lua_newtable(L);
    lua_Integer count = (lua_Integer)lua_rawlen(L, LOG);
    for (lua_Integer i = frame->mark + 1; i <= count; i++, lua_settop(L, KEYS))
        if (lua_rawgeti(L, LOG, i) == LUA_TTABLE) {
            push_step(L);
            ls__set_add(L, KEYS);
        }
    for (lua_Integer at = frame->mark; at > 0; at--, lua_settop(L, KEYS)) {
        if (lua_rawgeti(L, LOG, at) != LUA_TTABLE) continue;
        int outer = push_step(L);
        if (outer != UNDO_SNAPSHOT && !ls__has_key(L, KEYS, OUTER_KEY)) continue;
        for (lua_Integer i = frame->mark + 1; i <= count; i++, lua_settop(L, OUTER_KEY))
            if (lua_rawgeti(L, LOG, i) == LUA_TTABLE) settle(frame, L, outer, push_step(L), at);
    }
    return 0;
}

void ls__undo_commit(struct ls_session *session, size_t mark)
{
    LS_ERR(err);
    struct frame frame = {session, (lua_Integer)mark, true};
    if (mark && ls__lrun(session, l_commit, &frame, 0, &err) != 0) ls__report(session, "noting a load", &err);
    end_frame(session, frame.mark);
}
