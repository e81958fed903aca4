/* A small HTTP and WebSocket client for the benchmarks: blocking, one connection a struct, no allocation on the hot
 * path, so that what is measured is the server. Included by one file each; everything is static. */
#ifndef LS_BENCH_CLIENT_H
#define LS_BENCH_CLIENT_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BENCH_UNUSED __attribute__((unused))

struct client {
    int fd;
    char *bytes; /* received, not yet consumed */
    size_t len, cap;
};

static BENCH_UNUSED int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static BENCH_UNUSED __attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static BENCH_UNUSED int try_connect(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        close(fd);
        return -1;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static BENCH_UNUSED struct client client_open(int port)
{
    struct client client = {.fd = try_connect(port)};
    if (client.fd < 0) die("connect to port %d: %s", port, strerror(errno));
    return client;
}

static BENCH_UNUSED void client_close(struct client *client)
{
    close(client->fd);
    free(client->bytes);
    *client = (struct client){.fd = -1};
}

static BENCH_UNUSED void send_all(struct client *client, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len) {
        ssize_t n = send(client->fd, at, len, MSG_NOSIGNAL);
        if (n <= 0) die("send: %s", strerror(errno));
        at += n;
        len -= (size_t)n;
    }
}

static BENCH_UNUSED bool receive_more(struct client *client, int timeout_ms)
{
    struct pollfd wait = {.fd = client->fd, .events = POLLIN};
    if (poll(&wait, 1, timeout_ms) <= 0) return false;
    if (client->cap - client->len < 65536) {
        client->cap = client->cap ? client->cap * 2 : 262144;
        client->bytes = realloc(client->bytes, client->cap);
        if (!client->bytes) die("out of memory");
    }
    ssize_t n = recv(client->fd, client->bytes + client->len, client->cap - client->len - 1, 0);
    if (n <= 0) return false;
    client->len += (size_t)n;
    client->bytes[client->len] = 0;
    return true;
}

static BENCH_UNUSED void consume(struct client *client, size_t count)
{
    memmove(client->bytes, client->bytes + count, client->len - count);
    client->len -= count;
}

/* One request on a connection of its own; `value` gets the value of header `name` if that is not NULL. @return status
 * */
static BENCH_UNUSED int http_get(int port, const char *path, const char *name, char *value, size_t room)
{
    struct client client = client_open(port);
    char request[1024];
    int len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n",
                       path, port);
    send_all(&client, request, (size_t)len);
    while (receive_more(&client, 10000)) {
    }
    int status = 0;
    if (client.len) sscanf(client.bytes, "HTTP/1.1 %d", &status);
    if (name && client.len) {
        *value = 0;
        char *at = strcasestr(client.bytes, name);
        if (at) sscanf(at + strlen(name), ": %255[^\r\n]", value);
        (void)room;
    }
    client_close(&client);
    return status;
}

/* A new session: its id, 32 hex digits. */
static BENCH_UNUSED void new_session(int port, char id[64])
{
    char location[256];
    int status = http_get(port, "/", "Location", location, sizeof location);
    if (status != 302 || strlen(location) < 33) die("GET / answered %d", status);
    snprintf(id, 64, "%s", location + strlen(location) - 32);
}

static BENCH_UNUSED struct client ws_open(int port, const char *path)
{
    struct client client = client_open(port);
    char request[1024];
    int len = snprintf(request, sizeof request,
                       "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                       path, port);
    send_all(&client, request, (size_t)len);
    char *end = NULL;
    while (!end) {
        if (!receive_more(&client, 10000)) die("no answer to the handshake of %s", path);
        end = strstr(client.bytes, "\r\n\r\n");
    }
    if (strncmp(client.bytes, "HTTP/1.1 101", 12)) die("handshake of %s refused: %.60s", path, client.bytes);
    consume(&client, (size_t)(end + 4 - client.bytes));
    return client;
}

static BENCH_UNUSED void ws_send(struct client *client, const char *text, size_t len)
{
    char small[65536], *frame = len + 14 <= sizeof small ? small : malloc(len + 14);
    size_t head = 2;
    frame[0] = (char)0x81;
    if (len < 126) {
        frame[1] = (char)(0x80 | len);
    } else if (len < 65536) {
        frame[1] = (char)(0x80 | 126);
        frame[2] = (char)(len >> 8);
        frame[3] = (char)len;
        head = 4;
    } else {
        frame[1] = (char)(0x80 | 127);
        for (int i = 0; i < 8; i++)
            frame[2 + i] = (char)((uint64_t)len >> (56 - 8 * i));
        head = 10;
    }
    memset(frame + head, 0, 4); /* a mask of zeros leaves the text as it is */
    memcpy(frame + head + 4, text, len);
    send_all(client, frame, head + 4 + len);
    if (frame != small) free(frame);
}

static BENCH_UNUSED void ws_say(struct client *client, const char *text)
{
    ws_send(client, text, strlen(text));
}

/* The next text frame: borrowed until the next call, NUL-terminated. NULL after `timeout_ms`. */
static BENCH_UNUSED const char *ws_receive(struct client *client, size_t *text_len, int timeout_ms)
{
    static char *text;
    static size_t room;
    for (;;) {
        const unsigned char *b = (const unsigned char *)client->bytes;
        size_t head = 2, len = 0;
        bool whole = client->len >= 2;
        if (whole) {
            len = b[1] & 127;
            if (len == 126) {
                head = 4;
                whole = client->len >= 4;
                if (whole) len = (size_t)b[2] << 8 | b[3];
            } else if (len == 127) {
                head = 10;
                whole = client->len >= 10;
                len = 0;
                for (int i = 0; whole && i < 8; i++)
                    len = len << 8 | b[2 + i];
            }
            whole = whole && client->len >= head + len;
        }
        if (!whole) {
            if (!receive_more(client, timeout_ms)) return NULL;
            continue;
        }
        int opcode = b[0] & 15;
        if (len + 1 > room) {
            room = len * 2 + 65536;
            free(text);
            text = malloc(room);
            if (!text) die("out of memory");
        }
        memcpy(text, client->bytes + head, len);
        text[len] = 0;
        consume(client, head + len);
        if (opcode == 8) die("the server closed the connection: %s", len > 2 ? text + 2 : "");
        if (opcode != 1) continue;
        if (text_len) *text_len = len;
        return text;
    }
}

/* Frames until one contains `part`; dies after ten seconds. */
static BENCH_UNUSED const char *ws_until(struct client *client, const char *part)
{
    for (;;) {
        const char *text = ws_receive(client, NULL, 10000);
        if (!text) die("waited 10 s in vain for %s", part);
        if (strstr(text, part)) return text;
    }
}

/* --- figures --- */

struct figures {
    double *at;
    size_t count, cap;
};

static BENCH_UNUSED void figure(struct figures *figures, double value)
{
    if (figures->count == figures->cap) {
        figures->cap = figures->cap ? figures->cap * 2 : 256;
        figures->at = realloc(figures->at, figures->cap * sizeof(double));
        if (!figures->at) die("out of memory");
    }
    figures->at[figures->count++] = value;
}

static BENCH_UNUSED int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Percentile of what was collected; sorts. */
static BENCH_UNUSED double percentile(struct figures *figures, double percent)
{
    if (!figures->count) die("no figure was collected");
    qsort(figures->at, figures->count, sizeof(double), by_size);
    size_t index = (size_t)((double)(figures->count - 1) * percent / 100.0 + 0.5);
    return figures->at[index];
}

/* One row of the table as a JSON line. */
static BENCH_UNUSED void row(const char *name, double value, const char *unit, struct figures *all)
{
    printf("{\"name\":\"%s\",\"value\":%.6g,\"unit\":\"%s\"", name, value, unit);
    if (all)
        printf(",\"min\":%.6g,\"max\":%.6g,\"p95\":%.6g,\"runs\":%zu", percentile(all, 0), percentile(all, 100),
               percentile(all, 95), all->count);
    printf("}\n");
    fflush(stdout);
}

#endif
