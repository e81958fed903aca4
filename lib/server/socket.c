/* A WebSocket's record: its life, and the list of all that are open.
 *
 * Threads: any; the list has a lock. */
#include "server/internal.h"

#include <utlist.h>

#include "base/alloc.h"
#include "base/clock.h"

struct socket *socket_new(struct ls_server *server, struct session *session, int fd, struct ls_rights rights)
{
    struct socket *socket = ls_zalloc(sizeof *socket);
    if (socket == NULL)
        return NULL;
    socket->server = server;
    socket->session = session_ref(session);
    socket->fd = fd;
    socket->rights = rights;
    atomic_store(&socket->refs, 1);
    atomic_store(&socket->last_in_ns, ls_now_ns());
    atomic_store(&socket->last_out_ns, ls_now_ns());
    pthread_mutex_init(&socket->send_lock, NULL);
    pthread_mutex_init(&socket->flow_lock, NULL);
    pthread_cond_init(&socket->flow_free, NULL);
    return socket;
}

struct socket *socket_ref(struct socket *socket)
{
    atomic_fetch_add(&socket->refs, 1);
    return socket;
}

void socket_unref(struct socket *socket)
{
    if (atomic_fetch_sub(&socket->refs, 1) != 1)
        return;
    ls_buf_release(&socket->in);
    ls_buf_release(&socket->message);
    pthread_mutex_destroy(&socket->send_lock);
    pthread_mutex_destroy(&socket->flow_lock);
    pthread_cond_destroy(&socket->flow_free);
    session_unref(socket->session);
    ls_free(socket);
}

void socket_enlist(struct socket *socket)
{
    pthread_mutex_lock(&socket->server->sockets_lock);
    DL_PREPEND(socket->server->sockets, socket);
    pthread_mutex_unlock(&socket->server->sockets_lock);
}

void socket_delist(struct socket *socket)
{
    pthread_mutex_lock(&socket->server->sockets_lock);
    DL_DELETE(socket->server->sockets, socket);
    pthread_mutex_unlock(&socket->server->sockets_lock);
}

size_t socket_list(struct ls_server *server, const struct session *session, struct socket ***list)
{
    size_t count = 0, room = 1;
    pthread_mutex_lock(&server->sockets_lock);
    for (struct socket *socket = server->sockets; socket != NULL; socket = socket->next)
        room++;
    *list = ls_array(room, sizeof **list);
    for (struct socket *socket = server->sockets; socket != NULL; socket = socket->next)
        if (*list != NULL && (session == NULL || socket->session == session))
            (*list)[count++] = socket_ref(socket);
    pthread_mutex_unlock(&server->sockets_lock);
    return count;
}
