/* The client side of the control socket (cli.md C3): finding the server, one request at a time, its events. */
#ifndef LSESS_CLIENT_H
#define LSESS_CLIENT_H

#include <stdint.h>

#include "base/buf.h"
#include "command.h"
#include "json.h"

/* Every command that talks to a server has this option; put it into its table. */
#define SOCKET_OPTION                                                                                                  \
    {                                                                                                                  \
        .name = "socket", .value = "PATH", .help = "control socket of the server to talk to"                           \
    }
#define JSON_OPTION                                                                                                    \
    {                                                                                                                  \
        .name = "json", .help = "print JSON"                                                                           \
    }

struct client {
    int fd;
    struct ls_buf path; /* of the socket */
    struct ls_buf in;   /* received, not yet consumed */
    struct ls_buf line; /* the answer last returned */
    int64_t last_id;
};

/** Connect: `socket` (may be NULL), else LSESS_SOCKET, else the site that contains the current folder, else the only
 * server running.
 * @return STATUS_DONE, or a status after one line on standard error (STATUS_NO_SERVER; STATUS_USAGE when several run)
 * */
int client_open(struct client *client, const char *socket);
/** Closes the connection and frees what it held; twice does no harm. */
void client_close(struct client *client);
/** A second connection to the same server. */
int client_again(struct client *client, const struct client *other);

/* Called for each event of a request. @return false = stop listening */
typedef bool (*client_event_fn)(void *ctx, const char *event, struct json fields);

/** The next line, within `timeout_ms` (-1 = for ever). @return 1; 0 = time is over or a signal came; -1 = the server
 * has gone */
int client_line(struct client *client, int timeout_ms, struct json *line);
/** Send and wait for the answer; events in between go to `on_event` (may be NULL).
 * @return STATUS_DONE with *answer (borrowed until the next call); STATUS_FAILED with *answer the error object's
 * parent; STATUS_NO_SERVER when the server has gone (one line is printed) */
int client_call(struct client *client, const char *cmd, const char *fields, client_event_fn on_event, void *ctx,
                struct json *answer);
/** Print the message of a failed answer as one line. @return STATUS_FAILED */
int client_failure(struct json answer);
/** The server is no longer there: one line. @return STATUS_NO_SERVER */
int client_lost(const struct client *client);
/** A member that lists operands: `"name":["a","b"]`. */
void client_array(struct ls_buf *out, const char *name, const char *const *words, size_t count);

#endif
