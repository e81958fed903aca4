/* The control socket's connections and its commands (C3); what commands.c needs of control.c. */
#ifndef LS_SERVER_CONTROL_H
#define LS_SERVER_CONTROL_H

#include "protocol/control_request.h"
#include "server/server_internal.h"

/* One connection. */
struct control_client {
    struct control_client *next;
    struct control *control;
    /* -- atomic */
    atomic_bool watching; /* gets events (C3 `watch`) */
    /* -- protected by lock */
    pthread_mutex_t lock; /* lines are written whole */
    int fd;
    char *watch_id; /* owned; JSON text */
    bool dead;      /* it does not read, or has gone */
};

/** Begin the object of an answer or event, with its member `id`. `id` is JSON text. */
void ls__control_begin(struct ls_buf *line, const char *id);
/** End the object, write it as a line, and release it; a client that does not read for a second is given up. Any
 * thread. */
void ls__control_end(struct control_client *client, struct ls_buf *line);
/** An error answer. `id` is JSON text. Any thread. */
void ls__control_fail(struct control_client *client, const char *id, const char *code, const char *message);
/** The server that it has asked. */
struct ls_server *ls__control_server(struct control_client *client);

#endif
