/* Reporting errors of site code: each ends in the log at level 0, equal ones at most once a second with a count (L144, L145). A timer of the host tells the
 * count when the second is over, so that it does not wait for the next error.
 *
 * Owner thread: the session's. Refuses to: decide what an error means for the caller. */
#include "vm/vm_internal.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#define RECENT 16 /* different errors remembered; the oldest makes room */

struct recent_error {
    uint64_t hash;
    int64_t logged_ns; /* it, or how often it came since */
    unsigned withheld; /* since then */
    char *text;        /* owned: first line, for the count of those withheld */
};

struct ls_recent {
    struct recent_error slots[RECENT];
    unsigned next;
    uint64_t timer; /* handle of the host's timer that tells what is withheld; 0 = none is set */
};

#define REST_NS ls_ms(1000) /* between two records about one error */

static void log_withheld(struct ls_session *session, struct recent_error *error)
{
    if (error->withheld)
        ls_log_session(0, session->id, "%s (%u more times)", error->text, error->withheld);
    error->withheld = 0;
}

/* What was withheld more than a second ago is told now, whatever the present error is. */
static void flush_withheld(struct ls_session *session, int64_t now, bool all)
{
    struct ls_recent *recent = session->recent;
    for (unsigned i = 0; i < RECENT; i++)
        if (all || now - recent->slots[i].logged_ns >= REST_NS)
            log_withheld(session, &recent->slots[i]);
}

/* The host is asked to come back when the first count may be told. It keeps the timer beside those of the site, of whose number and limit it is no part;
 * where the host cannot, the next error or the end of the session tells the count. */
static void set_timer(struct ls_session *session)
{
    struct ls_recent *recent = session->recent;
    int64_t due_ns = INT64_MAX;
    if (recent->timer || session->closing || !session->host.timer_set)
        return;
    for (unsigned i = 0; i < RECENT; i++)
        if (recent->slots[i].withheld && recent->slots[i].logged_ns + REST_NS < due_ns)
            due_ns = recent->slots[i].logged_ns + REST_NS;
    if (due_ns == INT64_MAX || session->host.timer_set(session->host.ctx, session->timer_handle + 1, due_ns) != 0)
        return;
    recent->timer = ++session->timer_handle;
}

bool ls__report_due(struct ls_session *session, uint64_t handle)
{
    struct ls_recent *recent = session->recent;
    if (!recent || !handle || recent->timer != handle)
        return false;
    int64_t now = ls_now_ns();
    recent->timer = 0;
    for (unsigned i = 0; i < RECENT; i++) {
        struct recent_error *error = &recent->slots[i];
        if (error->withheld && now - error->logged_ns >= REST_NS) {
            log_withheld(session, error);
            error->logged_ns = now; /* this was its record for the coming second */
        }
    }
    set_timer(session);
    return true;
}

/* @return the slot of an error logged less than a second ago, or NULL */
static struct recent_error *find_recent(struct ls_recent *recent, uint64_t hash, int64_t now)
{
    for (unsigned i = 0; i < RECENT; i++) {
        struct recent_error *error = &recent->slots[i];
        if (error->text && error->hash == hash && now - error->logged_ns < REST_NS)
            return error;
    }
    return NULL;
}

static void remember(struct ls_session *session, uint64_t hash, int64_t now, const struct ls_buf *text)
{
    struct recent_error *error = &session->recent->slots[session->recent->next++ % RECENT];
    log_withheld(session, error);
    ls_free(error->text);
    *error = (struct recent_error){.hash = hash, .logged_ns = now, .text = ls_strndup(ls_buf_text(text), strcspn(ls_buf_text(text), "\n"))};
}

void ls__report(struct ls_session *session, const char *where, const struct ls_err *err)
{
    struct ls_buf text = LS_BUF_INIT;
    ls_buf_printf(&text, "%s: %s", where, ls_err_text(err));
    ls_buf_clear(&session->error);
    ls_buf_str(&session->error, ls_err_text(err));
    if (!session->recent)
        session->recent = ls_zalloc(sizeof *session->recent);
    if (!session->recent || ls_buf_failed(&text)) {
        ls_log_session(0, session->id, "%s: %s", where, ls_err_text(err));
        ls_buf_release(&text);
        return;
    }
    int64_t now = ls_now_ns();
    uint64_t hash = ls_hash(ls_buf_text(&text), text.len);
    flush_withheld(session, now, false);
    struct recent_error *same = find_recent(session->recent, hash, now);
    if (same) {
        same->withheld++;
        set_timer(session);
    } else {
        ls_log_text(0, session->id, ls_buf_text(&text), text.len);
        remember(session, hash, now, &text);
    }
    ls_buf_release(&text);
}

void ls__report_release(struct ls_session *session)
{
    if (!session->recent)
        return;
    if (session->recent->timer && session->host.timer_clear)
        session->host.timer_clear(session->host.ctx, session->recent->timer);
    flush_withheld(session, 0, true);
    for (unsigned i = 0; i < RECENT; i++)
        ls_free(session->recent->slots[i].text);
    ls_free(session->recent);
    session->recent = NULL;
}
