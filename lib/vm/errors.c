/* Reporting errors of site code: each ends in the log at level 0, equal ones at most once a second with a count (L144,
 * L145).
 *
 * Owner thread: the session's. Refuses to: decide what an error means for the caller. */
#include "vm/vm_internal.h"

#include <string.h>

#include "base/log.h"

void ls__report(struct ls_session *session, const char *where, const struct ls_err *err)
{
    struct ls_buf text = LS_BUF_INIT;
    ls_buf_printf(&text, "%s: %s", where, ls_err_text(err));
    ls_buf_clear(&session->vm.error);
    ls_buf_str(&session->vm.error, ls_err_text(err));
    /* where it fails, each visit makes a session */
    const char *scope = strcmp(where, "main.lua") == 0 ? NULL : session->vm.id;
    if (ls_buf_failed(&text))
        ls_log_session(0, session->vm.id, "%s: %s", where, ls_err_text(err));
    else
        ls_log_folded(0, session->vm.id, scope, 0, ls_buf_text(&text), text.len);
    ls_buf_release(&text);
}
