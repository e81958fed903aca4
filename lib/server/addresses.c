/* What is listened on: each --host, the port, TLS, and who listens (N2, N5).
 *
 * The first --host is civetweb's, if it is an IPv4 address without TLS. Everything else the front accepts and carries
 * to another port of civetweb's, on loopback, which is for that alone: whoever is not carried gets nothing there.
 *
 * All is bound before anything is accepted; connections wait in the kernel meanwhile.
 *
 * Threads: main. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "files/fspath.h"
#include "front/front.h"
#include "server/server_internal.h"

enum { PORT_TRIES = 21, SPARE_RELAYS = 64 };

/* One --host. */
struct listening {
    const char *given;   /* borrowed */
    const char *path;    /* of a Unix socket, in `given`; NULL = an address */
    char *address;       /* owned; numeric; NULL of a Unix socket */
    const char *display; /* in URLs, borrowed from the above or static */
    bool six, any;       /* IPv6; every address of the machine */
    int fd;              /* until the front has it; -1 = civetweb's, or none */
};

static const char UNIX[] = "unix:";

/* --- names --- */

static int resolve(struct ls_server *server, struct listening *item, struct ls_err *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
    char text[INET6_ADDRSTRLEN + IF_NAMESIZE] = ""; /* a link-local one names its interface */
    bool loopback = false;
    int rc = getaddrinfo(item->given, NULL, &hints, &list);
    if (rc != 0)
        return ls_fail(err, LS_EINVAL, "The address '%s' of --host cannot be resolved: %s.", item->given,
                       gai_strerror(rc));
    item->six = true; /* unless it has an IPv4 address too */
    for (struct addrinfo *one = list; one && item->six; one = one->ai_next) {
        const struct in_addr *v4 = &((struct sockaddr_in *)one->ai_addr)->sin_addr;
        const struct in6_addr *v6 = &((struct sockaddr_in6 *)one->ai_addr)->sin6_addr;
        bool six = one->ai_family == AF_INET6;
        if (six ? text[0] != '\0' : one->ai_family != AF_INET) continue;
        getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST);
        loopback = six ? IN6_IS_ADDR_LOOPBACK(v6) : (ntohl(v4->s_addr) >> 24) == 127;
        item->six = six;
    }
    freeaddrinfo(list);
    server->web.loopback &= loopback;
    item->any = strcmp(text, item->six ? "::" : "0.0.0.0") == 0;
    item->address = ls_strdup(text);
    /* Every address of the machine: a browser here reaches it by loopback. */
    item->display = !item->any ? item->given : item->six ? "::1" : "127.0.0.1";
    return item->address ? 0 : ls_fail(err, LS_ENOMEM, "Out of memory while resolving --host.");
}

static bool covers(const struct listening *a, const struct listening *b)
{
    return a->address && b->address && a->six == b->six && (a->any || strcmp(a->address, b->address) == 0);
}

/* Two names of one address, or one besides all of the machine's: the port could be had only once. */
static void drop_covered(struct ls_server *server)
{
    for (size_t i = server->listening_count; i-- > 0;) {
        struct listening *list = server->listening;
        size_t by = 0;
        while (by < server->listening_count &&
               (by == i || !covers(&list[by], &list[i]) || (by > i && covers(&list[i], &list[by]))))
            by++;
        if (by == server->listening_count) continue;
        ls_free(list[i].address);
        memmove(list + i, list + i + 1, (--server->listening_count - i) * sizeof *list);
    }
}

int ls__addresses_resolve(struct ls_server *server, struct ls_err *err)
{
    static const char *const standard[] = {"127.0.0.1", NULL};
    const char *const *hosts = server->config.hosts && server->config.hosts[0] ? server->config.hosts : standard;
    size_t count = 0;
    while (hosts[count])
        count++;
    server->web.hosts = hosts;
    server->web.loopback = true;
    server->listening = ls_array(count, sizeof *server->listening);
    if (!server->listening) return ls_fail(err, LS_ENOMEM, "Out of memory while resolving --host.");
    for (; server->listening_count < count; server->listening_count++) {
        struct listening *item = &server->listening[server->listening_count];
        *item = (struct listening){.given = hosts[server->listening_count], .fd = -1};
        if (ls_has_prefix(item->given, UNIX))
            item->path = item->given + sizeof UNIX - 1;
        else if (resolve(server, item, err) < 0)
            return err->code;
    }
    drop_covered(server);
    return 0;
}

static bool has_tls(const struct ls_server *server)
{
    return server->config.cert || server->config.own_cert;
}

/* The one that civetweb listens on, or NULL. */
static struct listening *find_direct(const struct ls_server *server)
{
    struct listening *first = server->listening;
    return first->path || first->six || has_tls(server) ? NULL : first;
}

static bool has_carried(const struct ls_server *server)
{
    return server->listening_count > 1 || !find_direct(server);
}

int ls__addresses_files(const struct ls_server *server)
{
    return has_carried(server) ? 3 : 1; /* the page's, and both ends of the inner connection */
}

/* --- civetweb --- */

/* civetweb takes milliseconds to fail; whether a port is free is known sooner. @return 0, or errno */
static int probe_port(const char *address, int port)
{
    int fd = ls_listen_tcp(address, &port);
    if (fd < 0) return -fd;
    close(fd);
    return 0;
}

static int log_message(const struct mg_connection *http, const char *message)
{
    (void)http;
    ls_log(2, "http: %s", message);
    return 1;
}

/* @param address  NULL: only the inner port */
static bool start_http(struct ls_server *server, const char *address, int port, struct ls_err *err)
{
    char ports[80], threads[16], queue[16], idle[16], problem[256] = "";
    bool carried = has_carried(server);
    if (address) snprintf(ports, sizeof ports, "%s:%d%s", address, port, carried ? ",127.0.0.1:0" : "");
    server->web.workers = server->config.http_workers;
    snprintf(threads, sizeof threads, "%d", server->web.workers);
    snprintf(queue, sizeof queue, "%d", server->http_queue);
    snprintf(idle, sizeof idle, "%d", LS_IDLE_MS);
    const char *options[] = {
        "listening_ports",
        address ? ports : "127.0.0.1:0",
        "num_threads",
        threads,
        "connection_queue",
        queue,
        "listen_backlog",
        "1024",
        "enable_keep_alive",
        "yes",
        "keep_alive_timeout_ms",
        idle,
        "request_timeout_ms",
        "10000",
        "decode_url",
        "no",
        "enable_directory_listing",
        "no",
        "tcp_nodelay",
        "1",
        "enable_auth_domain_check",
        "no",
        "linger_timeout_ms",
        "1000",
        NULL,
    };
    struct mg_callbacks callbacks = {.begin_request = ls__http_begin_request,
                                     .init_connection = ls_http_connection_begins,
                                     .connection_close = ls_http_connection_ends,
                                     .http_error = ls_http_error,
                                     .log_message = log_message};
    struct mg_init_data init = {.callbacks = &callbacks, .user_data = &server->web, .configuration_options = options};
    struct mg_error_data error = {.text = problem, .text_buffer_size = sizeof problem};
    server->civetweb = mg_start2(&init, &error);
    if (!server->civetweb) {
        ls_fail(err, LS_EIO, "The HTTP server cannot start on %s:%d: %s", address ? address : "127.0.0.1", port,
                problem[0] != '\0' ? problem : "unknown reason");
        return false;
    }
    struct mg_server_port bound[2] = {{0}};
    int count = mg_get_server_ports(server->civetweb, 2, bound);
    server->web.address = address;
    if (address && count > 0) server->web.http_port = bound[0].port;
    if (carried && count > 0) server->web.inner_port = bound[count - 1].port;
    return true;
}

void ls__addresses_wake(struct ls_server *server)
{
    if (server->web.http_port != 0) ls_http_wake(server->web.http_port);
    if (server->web.inner_port != 0) ls_http_wake(server->web.inner_port);
}

/* --- ports --- */

static void close_item(struct listening *item)
{
    if (item->fd >= 0) close(item->fd);
    item->fd = -1;
}

static int refuse(const char *address, int port, int code, struct ls_err *err)
{
    return ls_fail(err, LS_EIO, "Cannot listen on %s:%d: %s.", address, port, strerror(code));
}

/* All of them on one port. @return 0, EADDRINUSE and which one's address has it, or -1 and err */
static int try_port(struct ls_server *server, int port, const char **taken, struct ls_err *err)
{
    struct listening *direct = find_direct(server);
    int rc = 0, bound = port;
    for (size_t i = 0; i < server->listening_count && rc == 0; i++) {
        struct listening *item = &server->listening[i];
        if (item == direct || item->path) continue;
        item->fd = ls_listen_tcp(item->address, &bound);
        if (item->fd >= 0) continue;
        *taken = item->address;
        rc = item->fd == -EADDRINUSE ? EADDRINUSE : refuse(item->address, bound, -item->fd, err);
        item->fd = -1;
    }
    if (rc == 0 && direct) *taken = direct->address;
    if (rc == 0 && direct && bound != 0) rc = probe_port(direct->address, bound);
    if (rc > 0 && rc != EADDRINUSE) rc = refuse(direct->address, bound, rc, err);
    LS_ERR(why);
    if (rc == 0 && !start_http(server, direct ? direct->address : NULL, bound, &why)) {
        /* Taken between the question and the answer? */
        bool late = direct && bound != 0 && probe_port(direct->address, bound) == EADDRINUSE;
        rc = late ? EADDRINUSE : ls_fail(err, why.code, "%s", ls_err_text(&why));
    }
    if (rc == 0)
        server->web.port = direct ? server->web.http_port : bound;
    else
        for (size_t i = 0; i < server->listening_count; i++)
            if (!server->listening[i].path) close_item(&server->listening[i]);
    return rc;
}

/* C2: the next free port, up to 20 further, unless the user wants this one. */
static int listen_on(struct ls_server *server, struct ls_err *err)
{
    const struct ls_server_config *config = &server->config;
    const char *taken = "";
    int tries = config->strict_port || (config->port == 0 && !has_carried(server)) ? 1 : PORT_TRIES, rc = EADDRINUSE;
    for (int i = 0, port = config->port; i < tries && port <= 65535 && rc == EADDRINUSE; i++, port += port != 0)
        rc = try_port(server, port, &taken, err);
    if (rc != EADDRINUSE) return rc;
    if (tries == 1) return ls_fail(err, LS_EEXISTS, "Port %d of %s is taken.", config->port, taken);
    return ls_fail(err, LS_EEXISTS, "Ports %d to %d of %s are all taken.", config->port, config->port + tries - 1,
                   taken);
}

/* --- TLS --- */

static int open_tls(struct ls_server *server, struct ls_err *err)
{
    const struct ls_server_config *config = &server->config;
    bool own = !config->cert;
    size_t count = 0;
    server->certificate_names = ls_array(2 * server->listening_count + 1, sizeof *server->certificate_names);
    if (!server->certificate_names) return ls_fail(err, LS_ENOMEM, "Out of memory while setting up TLS.");
    for (size_t i = 0; i < server->listening_count; i++) {
        if (server->listening[i].path) continue;
        server->certificate_names[count++] = server->listening[i].given;
        server->certificate_names[count++] = server->listening[i].address;
    }
    server->tls =
        ls_tls_open(own ? config->own_cert : config->cert, config->key, own ? server->certificate_names : NULL, err);
    if (!server->tls || !own) return server->tls ? 0 : err->code;
    struct ls_buf text = LS_BUF_INIT;
    ls_tls_fingerprint(server->tls, &text);
    server->fingerprint = ls_buf_detach(&text, NULL);
    return 0;
}

/* --- all --- */

int ls__addresses_open(struct ls_server *server, struct ls_err *err)
{
    bool addresses = false;
    int rc = has_tls(server) ? open_tls(server, err) : 0;
    for (size_t i = 0; i < server->listening_count && rc == 0; i++) {
        struct listening *item = &server->listening[i];
        addresses |= !item->path;
        if (!item->path) continue;
        item->fd = ls_listen_unix(item->path, err);
        rc = item->fd < 0 ? item->fd : 0;
        if (rc < 0) item->fd = -1;
    }
    if (rc < 0) return rc;
    return addresses ? listen_on(server, err) : start_http(server, NULL, 0, err) ? 0 : LS_EIO;
}

int ls__addresses_accept(struct ls_server *server, struct ls_err *err)
{
    server->web.front = server->front;
    for (size_t i = 0; i < server->listening_count; i++) {
        struct listening *item = &server->listening[i];
        int fd = item->fd;
        struct ls_relay_config config = {.tls = item->path ? NULL : server->tls,
                                         .unix_path = item->path,
                                         .inner_port = server->web.inner_port,
                                         .max = server->config.max_connections + SPARE_RELAYS};
        if (fd < 0) continue;
        item->fd = -1;
        if (ls_front_accept(server->front, fd, &config, err) < 0) return err->code;
    }
    return 0;
}

static void print_url(const struct ls_server *server, const struct listening *item, struct ls_buf *url)
{
    const char *path = server->config.base_path ? server->config.base_path : "";
    bool bracket = item->display && strchr(item->display, ':');
    ls_buf_clear(url);
    ls_buf_printf(url, "%s://%s%s%s", server->tls && !item->path ? "https" : "http", bracket ? "[" : "",
                  item->display ? item->display : "localhost", bracket ? "]" : "");
    if (!item->path) ls_buf_printf(url, ":%d", server->web.port);
    ls_buf_printf(url, "%.*s/", (int)strlen(path) - (*path != '\0' && ls_has_suffix(path, "/")), path);
}

/* The first address is the one that is told, if there is one at all. */
int ls__addresses_name(struct ls_server *server, struct ls_err *err)
{
    struct ls_buf url = LS_BUF_INIT;
    size_t first = 0, more = 0;
    while (first + 1 < server->listening_count && server->listening[first].path)
        first++;
    if (server->listening[first].path) first = 0;
    server->more_urls = ls_array(server->listening_count + 1, sizeof *server->more_urls);
    bool ok = server->more_urls;
    for (size_t i = 0; i < server->listening_count && ok; i++) {
        const struct listening *item = &server->listening[i];
        if (i == first && !item->path) continue;
        print_url(server, item, &url);
        server->more_urls[more] = ls_strdup(item->path ? item->given : ls_buf_text(&url));
        ok = server->more_urls[more++];
    }
    print_url(server, &server->listening[first], &url);
    server->url = ls_strdup(ls_buf_text(&url));
    if (server->web.token[0] != '\0') ls_buf_printf(&url, "?t=%s", server->web.token);
    server->start_url = ls_buf_detach(&url, NULL);
    ok = ok && server->url && server->start_url;
    return ok ? 0 : ls_fail(err, LS_ENOMEM, "Out of memory while opening the server.");
}

void ls__addresses_release(struct ls_server *server)
{
    for (size_t i = 0; i < server->listening_count; i++) {
        struct listening *item = &server->listening[i];
        if (item->fd >= 0 && item->path) unlink(item->path); /* it was never the front's */
        close_item(item);
        ls_free(item->address);
    }
    ls_free(server->listening);
    ls_tls_close(server->tls);
    ls_free(server->certificate_names);
    for (char **url = server->more_urls; url && *url; url++)
        ls_free(*url);
    ls_free(server->more_urls);
    ls_free(server->fingerprint);
    ls_free(server->url);
    ls_free(server->start_url);
}
