/* A WebSocket's record: its life, and the list of all that are open.
 *
 * Threads: any; the list has a lock. */
#include "server/server_internal.h"

#include <utlist.h>

#include "base/alloc.h"
#include "base/clock.h"

struct socket *ls__socket_new(struct ls_server *server, struct session *session, int fd, struct ls_rights rights)
{
    struct socket *socket = ls_zalloc(sizeof *socket);
    if (!socket) return NULL;
    socket->server = server;
    socket->session = ls__session_ref(session);
    socket->fd = fd;
    socket->rights = rights;
    atomic_store(&socket->refs, 1);
    atomic_store(&socket->last_in_ns, ls_now_ns());
    atomic_store(&socket->last_out_ns, ls_now_ns());
    pthread_mutex_init(&socket->send_lock, NULL);
    pthread_mutex_init(&socket->flow_lock, NULL);
    pthread_cond_init(&socket->flow_free, NULL);
    pthread_cond_init(&socket->without_writer, NULL);
    return socket;
}

struct socket *ls__socket_ref(struct socket *socket)
{
    atomic_fetch_add(&socket->refs, 1);
    return socket;
}

/* Of a buffer that counts: each connection may have so much to read into, and their number is limited (Q2). */
static size_t counted(const struct ls_buf *buf)
{
    return buf->cap > SOCKET_READ_SIZE + 1 ? buf->cap - (SOCKET_READ_SIZE + 1) : 0;
}

void ls__socket_drop_buffer(struct socket *socket, struct ls_buf *buf)
{
    ls_budget_unqueue(&socket->session->budget, counted(buf));
    ls_buf_release(buf);
}

bool ls__socket_reserve(struct socket *socket, struct ls_buf *buf, size_t more)
{
    struct ls_buf grown = {.data = buf->data, .len = buf->len, .cap = buf->len + more + 1};
    if (grown.cap <= buf->cap) return true;
    size_t bytes = counted(&grown) - counted(buf);
    if (!ls_budget_queue(&socket->session->budget, bytes)) return false;
    grown.data = ls_realloc(buf->data, grown.cap);
    if (!grown.data) {
        ls_budget_unqueue(&socket->session->budget, bytes);
        return false;
    }
    grown.data[grown.len] = '\0';
    *buf = grown;
    return true;
}

void ls__socket_unref(struct socket *socket)
{
    if (atomic_fetch_sub(&socket->refs, 1) != 1) return;
    ls__socket_drop_buffer(socket, &socket->in);
    ls__socket_drop_buffer(socket, &socket->message);
    pthread_mutex_destroy(&socket->send_lock);
    pthread_mutex_destroy(&socket->flow_lock);
    pthread_cond_destroy(&socket->flow_free);
    pthread_cond_destroy(&socket->without_writer);
    ls__session_unref(socket->session);
    ls_free(socket);
}

void ls__socket_enlist(struct socket *socket)
{
    pthread_mutex_lock(&socket->server->sockets_lock);
    DL_PREPEND(socket->server->sockets, socket);
    pthread_mutex_unlock(&socket->server->sockets_lock);
}

void ls__socket_delist(struct socket *socket)
{
    pthread_mutex_lock(&socket->server->sockets_lock);
    DL_DELETE(socket->server->sockets, socket);
    pthread_mutex_unlock(&socket->server->sockets_lock);
}

size_t ls__socket_list(struct ls_server *server, const struct session *session, struct socket ***list)
{
    size_t count = 0, room = 1;
    pthread_mutex_lock(&server->sockets_lock);
    for (struct socket *socket = server->sockets; socket; socket = socket->next)
        room++;
    *list = ls_array(room, sizeof **list);
    for (struct socket *socket = server->sockets; socket; socket = socket->next)
        if (*list && (!session || socket->session == session)) (*list)[count++] = ls__socket_ref(socket);
    pthread_mutex_unlock(&server->sockets_lock);
    return count;
}
