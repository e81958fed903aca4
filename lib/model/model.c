/* The model as a whole: what it is bound to, and its end. Owner thread: the session's. */
#include "model/model_internal.h"

#include <string.h>

#include "base/alloc.h"
#include "model/module.h"
#include "model/prototype.h"

void ls_session_bind(struct ls_session *session, struct ls_tracker *tracker, const struct ls_variable_store *store)
{
    session->model->tracker = tracker;
    session->model->store = store;
}

/* The references of the model, so that none is forgotten. @return how many */
static size_t all_refs(struct ls_model *model, int *refs[static 10])
{
    int *const all[] = {&model->ref_empty,      &model->ref_loaded,   &model->ref_proto_ids, &model->ref_instances,
                        &model->ref_presenters, &model->ref_wrappers, &model->ref_app,       &model->ref_variables,
                        &model->ref_replaced,   &model->ref_undo};
    memcpy(refs, all, sizeof all);
    return sizeof all / sizeof *all;
}

int ls__model_new(struct ls_session *session, struct ls_err *err)
{
    session->model = ls_zalloc(sizeof *session->model);
    if (!session->model) return ls_fail(err, LS_ENOMEM, "Out of memory while opening a session.");
    int *refs[10];
    for (size_t i = 0, count = all_refs(session->model, refs); i < count; i++)
        *refs[i] = LUA_NOREF;
    return 0;
}

void ls__model_close(struct ls_session *session)
{
    ls__timers_release(session);
    ls__modules_dispose_all(session);
    ls__timers_release(session); /* a dispose hook may have set one */
    session->vm.closing = true;
    ls__watches_release(session);
    ls__modules_release(session);
    ls__failures_release(session);
    ls__mutations_release(session);
    ls__aside_release(session);
    ls__protos_release(session);
    int *refs[10];
    for (size_t i = 0, count = all_refs(session->model, refs); i < count; i++)
        ls__ref_drop(session, refs[i]);
}

void ls__model_free(struct ls_session *session)
{
    ls_free(session->model);
    session->model = NULL;
}
