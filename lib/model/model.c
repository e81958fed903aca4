/* The model as a whole: what it is bound to, and its end. Owner thread: the session's. */
#include "model/model.h"

#include "model/module.h"
#include "model/prototype.h"
#include "model/timers.h"
#include "model/watches.h"

void ls_session_bind(struct ls_session *session, struct ls_tracker *tracker, const struct ls_variable_store *store)
{
    session->tracker = tracker;
    session->store = store;
}

void ls__model_close(struct ls_session *session)
{
    ls__timers_release(session);
    ls__modules_dispose_all(session);
    ls__timers_release(session); /* a dispose hook may have set one */
    session->closing = true;
    ls__watches_release(session);
    ls__modules_release(session);
    ls__journal_release(session);
    ls__mutations_release(session);
    ls__protos_release(session);
    ls__ref_drop(session, &session->ref_app);
}
