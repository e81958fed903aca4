/* A server that sends each WebSocket message back, over lib/front alone: what `make autobahn` examines, and the floor
 * of the benchmarks beside echo.c.
 *
 *     echo_front PORT [deflate]
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front/front.h"

static struct ls_front *front;
static bool deflate;

static bool on_message(struct ls_ws *ws, void *owner, int opcode, const char *data, size_t len)
{
    (void)owner;
    struct ls_bytes *bytes = ls_bytes_new(data, len);
    if (!bytes) return false;
    ls_ws_send(ws, opcode, bytes);
    ls_bytes_unref(bytes);
    return true;
}

static void on_over(struct ls_ws *ws, void *owner, bool ended_well)
{
    (void)owner;
    (void)ended_well;
    ls_ws_unref(ws);
}

/* The value of a header line, copied; NULL without one. */
static char *header(const char *head, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, len) != 0 || line[2 + len] != ':') continue;
        const char *value = line + 3 + len + strspn(line + 3 + len, " \t");
        return strndup(value, strcspn(value, "\r"));
    }
    return NULL;
}

static void serve(int fd)
{
    static const struct ls_ws_hooks hooks = {.message = on_message, .over = on_over};
    char head[8192], *end = NULL;
    size_t len = 0;
    while (!end && len < sizeof head - 1) {
        ssize_t n = recv(fd, head + len, sizeof head - 1 - len, 0);
        if (n <= 0) break;
        len += (size_t)n;
        head[len] = 0;
        end = strstr(head, "\r\n\r\n");
    }
    if (!end) {
        close(fd);
        return;
    }
    end[2] = 0;
    struct ls_ws_request request = {"GET",
                                    header(head, "Connection"),
                                    header(head, "Upgrade"),
                                    header(head, "Sec-WebSocket-Key"),
                                    header(head, "Sec-WebSocket-Version"),
                                    header(head, "Sec-WebSocket-Extensions")};
    struct ls_buf answer = LS_BUF_INIT;
    int bits = deflate ? 1 : 0;
    if (ls_ws_handshake(&request, &bits, &answer) == 101) {
        struct ls_ws_start start = {answer.data, answer.len, end + 4, (size_t)(head + len - end - 4), bits};
        struct ls_ws *ws = ls_ws_new(front, fd, &start, &hooks, NULL, NULL);
        if (ws && ls_ws_begin(ws, NULL) < 0) ls_ws_unref(ws);
    } else {
        close(fd);
    }
    ls_buf_release(&answer);
    free((void *)request.connection);
    free((void *)request.upgrade);
    free((void *)request.key);
    free((void *)request.version);
    free((void *)request.extensions);
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    deflate = argc > 2 && strcmp(argv[2], "deflate") == 0;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    struct ls_front_config config = {.max_frame = 64 << 20, .max_outbox = 64 << 20};
    LS_ERR(err);
    front = ls_front_open(&config, &err);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (!front || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) {
        perror(ls_err_text(&err));
        return 1;
    }
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        serve(fd);
    }
}
