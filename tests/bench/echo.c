/* The floor of the benchmarks over sockets: a bare civetweb server that answers each WebSocket frame at once. The first
 * eight characters of a frame say how long the answer is to be. A GET is redirected, as a server with sessions does it.
 *
 *     echo PORT THREADS
 */
#include <civetweb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char answer[1 << 20];

static int on_data(struct mg_connection *conn, int bits, char *data, size_t len, void *ctx)
{
    (void)ctx;
    char digits[9] = {0};
    if ((bits & 15) != MG_WEBSOCKET_OPCODE_TEXT) return 1;
    memcpy(digits, data, len < 8 ? len : 8);
    size_t size = (size_t)atol(digits);
    mg_websocket_write(conn, MG_WEBSOCKET_OPCODE_TEXT, answer, size < sizeof answer ? size : sizeof answer);
    return 1;
}

/* What a page's first request costs without a session behind it. */
static int redirect(struct mg_connection *conn, void *ctx)
{
    (void)ctx;
    mg_printf(conn, "HTTP/1.1 302 Found\r\nLocation: /0123456789abcdef0123456789abcdef\r\nContent-Length: 0\r\n\r\n");
    return 302;
}

int main(int argc, char **argv)
{
    if (argc != 3) return 2;
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    memset(answer, 'x', sizeof answer);
    const char *options[] = {"listening_ports",   argv[1], "num_threads",          argv[2],   "tcp_nodelay", "1",
                             "enable_keep_alive", "yes",   "websocket_timeout_ms", "3600000", NULL};
    struct mg_callbacks callbacks = {0};
    struct mg_context *server = mg_start(&callbacks, NULL, options);
    if (!server) return 1;
    mg_set_websocket_handler(server, "/ws/echo", NULL, NULL, on_data, NULL, NULL);
    mg_set_request_handler(server, "/", redirect, NULL);
    int signal_number;
    sigwait(&stop, &signal_number);
    mg_stop(server);
    return 0;
}
