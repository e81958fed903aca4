/* The client side of the control socket. Blocking, one connection, no threads; the REPL interrupts a running request
 * through a second connection. */
#include "client.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/json.h"
#include "files/fspath.h"
#include "server/server.h"

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    struct ucred peer = {.uid = geteuid()};
    socklen_t size = sizeof peer;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, sizeof address);
    /* Whoever else listens there wants to be taken for the server. */
    bool foreign = rc == 0 && (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != geteuid());
    if (fd >= 0 && (rc < 0 || foreign)) {
        int reason = foreign ? EACCES : errno;
        close(fd);
        errno = reason;
        return -1;
    }
    return fd;
}

/* The site that contains the current folder: the nearest ancestor after which a live socket is named. */
static int connect_here(struct ls_buf *path)
{
    char dir[PATH_MAX];
    if (!getcwd(dir, sizeof dir)) return -1;
    for (;;) {
        ls_buf_clear(path);
        if (ls_control_default_path(dir, path, NULL, NULL) == 0) {
            int fd = connect_to(ls_buf_text(path));
            if (fd >= 0) return fd;
        }
        char *slash = strrchr(dir, '/');
        if (!slash || dir[1] == '\0') return -1;
        slash[slash == dir] = 0;
    }
}

/* All sockets of this user's folder on which somebody listens. `first` gets the path and descriptor of one; `names`
 * lists them. */
static size_t connect_any(struct ls_buf *first, int *first_fd, struct ls_buf *names)
{
    struct ls_buf path = LS_BUF_INIT;
    size_t count = 0;
    *first_fd = -1;
    if (ls_control_default_path(NULL, &path, NULL, NULL) != 0) return 0;
    char *folder = ls_path_dir(ls_buf_text(&path));
    DIR *dir = folder ? opendir(folder) : NULL;
    struct dirent *item;
    while (dir && (item = readdir(dir))) {
        if (!ls_has_suffix(item->d_name, ".sock")) continue;
        ls_path_join(&path, folder, item->d_name);
        int fd = connect_to(ls_buf_text(&path));
        if (fd < 0) continue;
        ls_buf_printf(names, "\n--socket %s", ls_buf_text(&path));
        if (count++ == 0) {
            *first_fd = fd;
            ls_buf_clear(first);
            ls_buf_str(first, ls_buf_text(&path));
        } else {
            close(fd);
        }
    }
    if (dir) closedir(dir);
    ls_free(folder);
    ls_buf_release(&path);
    return count;
}

int client_open(struct client *client, const char *socket)
{
    *client = (struct client){.fd = -1};
    if (!socket) socket = getenv("LSESS_SOCKET");
    if (socket && *socket != '\0') {
        ls_buf_str(&client->path, socket);
        client->fd = connect_to(socket);
        if (client->fd >= 0) return STATUS_DONE;
        if (errno == EACCES)
            return complain(STATUS_NO_SERVER, "the server at %s is not yours; run this as the user who serves", socket);
        return complain(STATUS_NO_SERVER, "no server listens on %s: %s", socket, strerror(errno));
    }
    client->fd = connect_here(&client->path);
    if (client->fd >= 0) return STATUS_DONE;
    struct ls_buf names = LS_BUF_INIT;
    size_t count = connect_any(&client->path, &client->fd, &names);
    int status = STATUS_DONE;
    if (count == 0) {
        status = complain(STATUS_NO_SERVER, "no server is running; start one with `lsess serve`");
    } else if (count > 1) {
        close(client->fd);
        client->fd = -1;
        status = complain(STATUS_USAGE, "%zu servers are running; say which, or change into its site's folder:%s",
                          count, ls_buf_text(&names));
    }
    ls_buf_release(&names);
    return status;
}

int client_again(struct client *client, const struct client *other)
{
    *client = (struct client){.fd = connect_to(ls_buf_text(&other->path))};
    ls_buf_str(&client->path, ls_buf_text(&other->path));
    return client->fd < 0 ? STATUS_NO_SERVER : STATUS_DONE;
}

void client_close(struct client *client)
{
    if (client->fd >= 0) close(client->fd);
    ls_buf_release(&client->path);
    ls_buf_release(&client->in);
    ls_buf_release(&client->line);
    client->fd = -1;
}

/* Send `{"id":N,"cmd":CMD,FIELDS}` without waiting. `fields`: members as JSON text, "" = none. @return the id, or -1
 * when the server has gone */
static int64_t send_request(struct client *client, const char *cmd, const char *fields)
{
    struct ls_buf text = LS_BUF_INIT;
    int64_t id = ++client->last_id;
    ls_json_open(&text, NULL, '{');
    ls_json_put_int(&text, "id", id);
    ls_json_put_str(&text, "cmd", cmd);
    if (*fields != '\0') ls_json_put_raw(&text, NULL, fields, strlen(fields));
    ls_buf_str(&text, "}\n");
    size_t done = 0;
    while (!ls_buf_failed(&text) && done < text.len) {
        ssize_t n = send(client->fd, text.data + done, text.len - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        done += (size_t)n;
    }
    bool sent = !ls_buf_failed(&text) && done == text.len;
    ls_buf_release(&text);
    return sent ? id : -1;
}

int client_line(struct client *client, int timeout_ms, struct json *line)
{
    for (;;) {
        char *end = client->in.len > 0 ? memchr(client->in.data, '\n', client->in.len) : NULL;
        if (end) {
            size_t len = (size_t)(end - client->in.data);
            ls_buf_clear(&client->line);
            ls_buf_add(&client->line, client->in.data, len);
            ls_buf_shift(&client->in, len + 1);
            *line = (struct json){ls_buf_text(&client->line), len};
            return 1;
        }
        struct pollfd wait = {.fd = client->fd, .events = POLLIN};
        int ready = poll(&wait, 1, timeout_ms);
        if (ready == 0 || (ready < 0 && errno == EINTR)) return 0;
        if (ready < 0 || !ls_buf_reserve(&client->in, 65536)) return -1;
        ssize_t n = recv(client->fd, client->in.data + client->in.len, client->in.cap - client->in.len - 1, 0);
        if (n < 0 && errno == EINTR) return 0;
        if (n <= 0) return -1;
        client->in.len += (size_t)n;
        client->in.data[client->in.len] = 0;
    }
}

int client_call(struct client *client, const char *cmd, const char *fields, client_event_fn on_event, void *ctx,
                struct json *answer)
{
    int64_t id = send_request(client, cmd, fields);
    if (id < 0) return client_lost(client);
    struct ls_buf name = LS_BUF_INIT;
    int status = -1;
    while (status < 0) {
        int got = client_line(client, -1, answer);
        if (got < 0) {
            status = client_lost(client);
        } else if (got == 0) {
            if (on_event && !on_event(ctx, "", *answer)) status = STATUS_FAILED;
        } else if (json_int(json_member(*answer, "id"), -1) == id) {
            struct json event = json_member(*answer, "event");
            if (!event.text)
                status = json_true(json_member(*answer, "ok")) ? STATUS_DONE : STATUS_FAILED;
            else if (on_event && !on_event(ctx, json_string(event, &name), *answer))
                status = STATUS_FAILED;
        }
    }
    ls_buf_release(&name);
    return status;
}

int client_failure(struct json answer)
{
    struct ls_buf text = LS_BUF_INIT;
    complain(STATUS_FAILED, "%s", json_string(json_member(json_member(answer, "error"), "message"), &text));
    ls_buf_release(&text);
    return STATUS_FAILED;
}

int client_lost(const struct client *client)
{
    return complain(STATUS_NO_SERVER, "the server at %s has gone away", ls_buf_text(&client->path));
}

void client_array(struct ls_buf *out, const char *name, const char *const *words, size_t count)
{
    ls_json_open(out, name, '[');
    for (size_t i = 0; i < count; i++)
        ls_json_put_str(out, NULL, words[i]);
    ls_buf_char(out, ']');
}
