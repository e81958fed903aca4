/* What never becomes a request of ours: what civetweb cannot read, and what it drops; and how many of its workers
 * connections hold (N4).
 *
 * Threads: civetweb's workers. */
#include "http/http.h"

#include <string.h>

enum { MORE_MS = 50 };

void ls_http_end_early(struct mg_connection *http)
{
    int fd = ls_http_descriptor(mg_get_request_info(http));
    if (fd >= 0) ls_http_linger(fd, LS_LINGER_MS);
}

/* civetweb calls all of these bad requests. What comes on where it has given up did not fit into its buffer; and where
 * it has parsed the first line and no header, that line's method is one that it does not know. */
int ls_http_error(struct mg_connection *http, int status, const char *message)
{
    const struct mg_request_info *info = mg_get_request_info(http);
    bool parsed = strcmp(message, "Bad request") == 0 && info->http_version && info->num_headers == 0;
    const char *method = parsed && strncmp(info->http_version, "1.", 2) == 0 ? info->request_method : NULL;
    ls_request_end();
    if (status < 500 && !method && ls_http_more_comes(info, MORE_MS))
        ls_reply_text(
            http, 431,
            "The header of the request is larger than 16 KiB. Its largest part may be cookies of this host's name, which servers on all its ports add to.\n");
    else if (method && strcmp(method, "TRACE") == 0)
        ls_reply_allow(http, 405, ls_request_methods("/"));
    else if (method)
        ls_reply_text(http, 501, "There is no method '%.20s' here.\n", method);
    else
        ls_reply_text(http, status < 500 ? 400 : status, "The request is not well formed, or did not come in time.\n");
    ls_http_end_early(http);
    return 0;
}

int ls_http_connection_begins(const struct mg_connection *http, void **data)
{
    struct ls_web *web = mg_get_user_data(mg_get_context(http));
    (void)data;
    atomic_fetch_add(&web->held, 1);
    ls__handover_connection();
    ls__head_awaited(web);
    return 0;
}

/* civetweb looks at paths only: a request for `*` or for an address of another host does not come to us. */
void ls_http_connection_ends(const struct mg_connection *const_http)
{
    struct mg_connection *http = (struct mg_connection *)const_http;
    struct ls_web *web = mg_get_user_data(mg_get_context(http));
    const struct mg_request_info *info = mg_get_request_info(http);
    bool path = !info->request_method || !info->request_uri || info->local_uri;
    bool all = !path && strcmp(info->request_uri, "*") == 0,
         options = all && strcmp(info->request_method, "OPTIONS") == 0;
    ls_request_end();
    if (options)
        ls_reply_allow(http, 204, ls_request_methods("/"));
    else if (all || (!path && strstr(info->request_uri, "://")))
        ls_reply_text(http, 400, "The address is not one of this server.\n");
    atomic_fetch_sub(&web->held, 1);
    ls__head_forget(web);
}
