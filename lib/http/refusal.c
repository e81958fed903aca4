/* Refusals that somebody has to hear of who sets up a server or a proxy before it: the answer and the log say the same
 * sentence, the log once a kind and minute.
 *
 * Threads: any. */
#include "http/http.h"

#include <stdarg.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define REST_NS ls_ms(60000) /* between two lines of one kind */

void ls_refusal_tell(struct ls_web *web, enum ls_refusal kind, const char *text)
{
    struct ls__refusals *told = &web->refusals[kind];
    long long now = ls_now_ns(), before = atomic_load(&told->told_ns);
    if ((before != 0 && now - before < REST_NS) || !atomic_compare_exchange_strong(&told->told_ns, &before, now)) {
        atomic_fetch_add(&told->left_out, 1);
        return;
    }
    unsigned more = atomic_exchange(&told->left_out, 0);
    size_t len = strcspn(text, "\n");
    if (more > 0)
        ls_log(0, "%.*s (%u more refusals of this kind since the last one told)", (int)len, text, more);
    else
        ls_log(0, "%.*s", (int)len, text);
}

int ls_reply_refused(struct mg_connection *http, int status, enum ls_refusal kind, const char *format, ...)
{
    struct ls_buf text = LS_BUF_INIT;
    va_list args;
    va_start(args, format);
    ls_buf_vprintf(&text, format, args);
    va_end(args);
    ls_refusal_tell(mg_get_user_data(mg_get_context(http)), kind, ls_buf_text(&text));
    ls_reply_text(http, status, "%s", ls_buf_text(&text));
    ls_buf_release(&text);
    return status;
}
