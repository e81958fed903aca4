/* Which user a connection is from (Q3, P91a): what the kernel says, and the token of the start line where it says
 * nothing. What other users may is in tests/server/security.test.js, against the program. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "server/server_internal.h"
#include "server_site.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define NOBODY       65534

/* A connection: the client's end, the server's end, and what each is called. */
struct pair {
    int listening, client, server;
    char client_address[INET6_ADDRSTRLEN], server_address[INET6_ADDRSTRLEN];
    int client_port, server_port;
};

static void name_end(int fd, char *address, int *port)
{
    struct sockaddr_storage where;
    socklen_t len = sizeof where;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&where, &len), 0);
    struct sockaddr_in *v4 = (struct sockaddr_in *)&where;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&where;
    bool four = where.ss_family == AF_INET;
    assert_non_null(
        inet_ntop(where.ss_family, four ? (void *)&v4->sin_addr : (void *)&v6->sin6_addr, address, INET6_ADDRSTRLEN));
    *port = ntohs(four ? v4->sin_port : v6->sin6_port);
}

/* @return its length; 0 when this machine has no such address */
static socklen_t fill_address(struct sockaddr_storage *where, const char *address, int port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)where;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)where;
    memset(where, 0, sizeof *where);
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        return sizeof *v4;
    }
    assert_int_equal(inet_pton(AF_INET6, address, &v6->sin6_addr), 1);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)port);
    return sizeof *v6;
}

/* `from` is what the client calls the server. @return false when this machine has no such address */
static bool open_pair(struct pair *pair, const char *address, const char *from)
{
    struct sockaddr_storage where;
    socklen_t len = fill_address(&where, address, 0);
    pair->listening = socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (pair->listening < 0 || bind(pair->listening, (struct sockaddr *)&where, len) < 0) {
        close(pair->listening);
        return false;
    }
    assert_int_equal(listen(pair->listening, 1), 0);
    name_end(pair->listening, pair->server_address, &pair->server_port);
    len = fill_address(&where, from, pair->server_port);
    pair->client = socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(pair->client, (struct sockaddr *)&where, len), 0);
    pair->server = accept(pair->listening, NULL, NULL);
    name_end(pair->client, pair->client_address, &pair->client_port);
    return true;
}

static void close_pair(struct pair *pair)
{
    close(pair->server);
    close(pair->listening);
    if (pair->client >= 0) close(pair->client);
}

static int64_t uid_of(const struct pair *pair)
{
    return ls__peer_uid(pair->client_address, pair->client_port, pair->server_address, pair->server_port);
}

static void if_it_is_told(void (*check)(void))
{
    if (ls__peer_can_tell())
        check();
    else
        print_message("SKIPPED: this system does not tell\n");
}

static void check_own(void)
{
    static const char *const ends[][2] = {{"127.0.0.1", "127.0.0.1"},
                                          {"127.0.0.1", "::ffff:127.0.0.1"},
                                          {"127.1.2.3", "127.1.2.3"},
                                          {"::1", "::1"},
                                          {"::ffff:127.0.0.1", "127.0.0.1"}};
    for (size_t i = 0; i < COUNT(ends); i++) {
        struct pair pair;
        if (!open_pair(&pair, ends[i][0], ends[i][1])) {
            print_message("SKIPPED %s: this machine does not have it\n", ends[i][0]);
            continue;
        }
        if (uid_of(&pair) != geteuid()) fail_msg("a connection to %s from %s", ends[i][0], ends[i][1]);
        assert_true(ls__peer_is_user(pair.client_address, pair.client_port, pair.server_address, pair.server_port));
        /* Exactly this connection: no other port, no other address, and not the one that listens there. */
        assert_int_equal(ls__peer_uid(pair.client_address, pair.client_port ^ 1, pair.server_address, pair.server_port),
                         -1);
        assert_int_equal(ls__peer_uid("127.9.9.9", pair.client_port, pair.server_address, pair.server_port), -1);
        assert_int_equal(ls__peer_uid("", pair.client_port, pair.server_address, pair.server_port), -1);
        assert_int_equal(ls__peer_uid(pair.server_address, pair.server_port, pair.client_address, 1), -1);
        close_pair(&pair);
    }
}

static void Q3_the_kernel_tells_whose_a_connection_is(void **state)
{
    (void)state;
    if_it_is_told(check_own);
}

/* One that has said that it sends no more is still there; one that is closed is nobody's, though the kernel says uid 0
 * for it. */
static void check_closed(void)
{
    struct pair pair;
    assert_true(open_pair(&pair, "127.0.0.1", "127.0.0.1"));
    shutdown(pair.client, SHUT_WR);
    assert_int_equal(uid_of(&pair), geteuid());
    close(pair.client); /* the server's end is open: the kernel keeps the client's without an owner */
    pair.client = -1;
    assert_int_equal(uid_of(&pair), -1);
    assert_false(ls__peer_is_user(pair.client_address, pair.client_port, pair.server_address, pair.server_port));
    close_pair(&pair); /* and now it waits for what may still be under way (TIME_WAIT) */
    assert_int_equal(uid_of(&pair), -1);
}

static void Q3_a_closed_connection_is_nobodys(void **state)
{
    (void)state;
    if_it_is_told(check_closed);
}

/* Nor is it that of a socket that has taken the same port and is not connected yet: here one whose server takes no
 * more. */
static void check_connecting(void)
{
    struct sockaddr_storage where;
    struct pair pair = {.client = -1, .server = -1};
    int waiting[8], count = 0;
    socklen_t len = fill_address(&where, "127.0.0.1", 0);
    pair.listening = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(pair.listening, (struct sockaddr *)&where, len) + listen(pair.listening, 0), 0);
    name_end(pair.listening, pair.server_address, &pair.server_port);
    len = fill_address(&where, "127.0.0.1", pair.server_port);
    bool connected = true;
    while (connected && count < (int)COUNT(waiting)) {
        int fd = waiting[count++] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        (void)connect(fd, (struct sockaddr *)&where, len);
        connected = poll(&ready, 1, 500) == 1; /* at once, unless the kernel itself is held up */
    }
    assert_false(connected);
    name_end(waiting[count - 1], pair.client_address, &pair.client_port);
    assert_int_equal(uid_of(&pair), -1);
    while (count > 0)
        close(waiting[--count]);
    close(pair.listening);
}

static void Q3_a_connection_that_is_not_there_yet_is_nobodys(void **state)
{
    (void)state;
    if_it_is_told(check_connecting);
}

/* A program of another user, which connects and waits. */
static void check_other(void)
{
    int go[2], done[2];
    struct sockaddr_storage where;
    struct pair pair = {.client = -1};
    socklen_t len = fill_address(&where, "127.0.0.1", 0);
    assert_int_equal(pipe(go) + pipe(done), 0);
    pair.listening = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(pair.listening, (struct sockaddr *)&where, len) + listen(pair.listening, 1), 0);
    name_end(pair.listening, pair.server_address, &pair.server_port);
    pid_t child = fork();
    if (child == 0) {
        char byte = 0;
        len = fill_address(&where, "127.0.0.1", pair.server_port);
        int fd = setuid(NOBODY) == 0 ? socket(AF_INET, SOCK_STREAM, 0) : -1;
        close(go[1]);
        if (fd < 0 || connect(fd, (struct sockaddr *)&where, len) < 0 || write(done[1], "x", 1) != 1 ||
            read(go[0], &byte, 1) < 0)
            _exit(1);
        _exit(0);
    }
    char byte;
    close(done[1]);
    assert_int_equal(read(done[0], &byte, 1), 1);
    pair.server = accept(pair.listening, (struct sockaddr *)&where, &(socklen_t){sizeof where});
    strcpy(pair.client_address, "127.0.0.1");
    pair.client_port = ntohs(((struct sockaddr_in *)&where)->sin_port);
    assert_int_equal(uid_of(&pair), NOBODY);
    assert_false(ls__peer_is_user(pair.client_address, pair.client_port, pair.server_address, pair.server_port));
    close(go[0]);
    close(go[1]);
    close(done[0]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close_pair(&pair);
}

static void Q3_another_user_is_another_user(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("SKIPPED: only root can be another user\n");
        skip();
    }
    if_it_is_told(check_other);
}

/* --- where it cannot be told --- */

static void start_plain(struct fixture *fixture)
{
    struct ls_server_config config;
    prepare(fixture, &config);
    start(fixture, &config);
}

/* The answer to one request, as a text that is valid until the next. `more` are complete header lines. */
static const char *ask(const struct fixture *fixture, const char *method, const char *where, const char *more,
                       const char *body)
{
    static char text[16384];
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)fixture->ready.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    int asked = snprintf(
        text, sizeof text,
        "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nOrigin: http://127.0.0.1:%d\r\nAccept: text/html\r\nConnection: close\r\n"
        "Content-Length: %zu\r\n%s\r\n%s",
        method, where, fixture->ready.port, fixture->ready.port, strlen(body), more, body);
    assert_int_equal(send(fd, text, (size_t)asked, 0), asked);
    size_t len = 0;
    int64_t until = ls_now_ns() + ls_ms(30000);
    for (ssize_t n = 1; n > 0; len += (size_t)(n > 0 ? n : 0)) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int64_t left = (until - ls_now_ns()) / 1000000;
        if (left <= 0 || poll(&wait, 1, (int)left) <= 0) fail_msg("no answer to %s %s", method, where);
        n = recv(fd, text + len, sizeof text - len - 1, 0);
    }
    close(fd);
    text[len] = '\0';
    return text;
}

/* May a request with these header lines run code in a session? */
static bool may_run(const struct fixture *fixture, const char *id, const char *more)
{
    char where[128];
    snprintf(where, sizeof where, "/api/update?session=%s", id);
    const char *answer = ask(fixture, "POST", where, more, "{\"varId\":1,\"properties\":{\"lua\":\"x = 1\"}}");
    assert_non_null(strstr(answer, "HTTP/1.1 200"));
    bool allowed = strstr(answer, "\r\n\r\n{}") != NULL;
    assert_true(allowed || strstr(answer, "--allow-lua-property") != NULL);
    return allowed;
}

static void Q3_P91a_the_token_of_the_start_line(void **state)
{
    (void)state;
    struct fixture fixture;
    char id[LS_RANDOM_ID + 1], token[LS_RANDOM_ID + 1], where[128], cookie[256];
    ls__peer_seams = (struct ls__peer_seams){.tells_nothing = true};
    start_plain(&fixture);
    const char *t = strstr(fixture.ready.url, "/?t=");
    assert_non_null(t);
    assert_int_equal(strlen(t + 4), LS_RANDOM_ID);
    strcpy(token, t + 4);

    /* Pages work without it, and neither no token nor a wrong one is answered in another way. */
    const char *answer = ask(&fixture, "GET", "/", "", "");
    assert_non_null(strstr(answer, "HTTP/1.1 302"));
    assert_null(strstr(answer, "lsess-token"));
    memcpy(id, strstr(answer, "Location: ./") + 12, LS_RANDOM_ID);
    id[LS_RANDOM_ID] = '\0';
    const char *const wrong[] = {"", "0", "00000000000000000000000000000000", "000000000000000000000000000000000",
                                 "%00"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        snprintf(where, sizeof where, "/?t=%s", wrong[i]);
        answer = ask(&fixture, "GET", where, "", "");
        assert_non_null(strstr(answer, "HTTP/1.1 302"));
        assert_null(strstr(answer, "lsess-token"));
        snprintf(cookie, sizeof cookie, "Cookie: lsess-token-%d=%s\r\n", fixture.ready.port, wrong[i]);
        assert_false(may_run(&fixture, id, cookie));
    }
    assert_false(may_run(&fixture, id, ""));

    /* The right one goes into a cookie that scripts do not see and other sites' pages do not send, and out of the
     * address. */
    snprintf(where, sizeof where, "/?t=%s", token);
    answer = ask(&fixture, "GET", where, "", "");
    assert_non_null(strstr(answer, "HTTP/1.1 302"));
    snprintf(cookie, sizeof cookie, "Set-Cookie: lsess-token-%d=%s; Path=/; HttpOnly; SameSite=Strict\r\n",
             fixture.ready.port, token);
    assert_non_null(strstr(answer, cookie));
    assert_null(strstr(strstr(answer, "Location: "), "t="));
    snprintf(cookie, sizeof cookie, "Cookie: ui-session=%s; lsess-token-%d=%s\r\n", id, fixture.ready.port, token);
    assert_true(may_run(&fixture, id, cookie));
    snprintf(cookie, sizeof cookie, "Cookie: lsess-token-%d=%s\r\nX-Forwarded-For: 192.0.2.7\r\n", fixture.ready.port,
             token);
    assert_false(may_run(&fixture, id, cookie)); /* a proxy, whatever it sends */
    snprintf(cookie, sizeof cookie, "Cookie: lsess-token-%d=%s\r\n", fixture.ready.port + 1, token);
    assert_false(may_run(&fixture, id, cookie)); /* another server's */
    ls__peer_seams = (struct ls__peer_seams){0};
    finish(&fixture);
}

static void Q3_no_token_where_the_user_is_told(void **state)
{
    (void)state;
    struct fixture fixture;
    start_plain(&fixture);
    assert_null(strchr(fixture.ready.url, '?'));
    const char *answer = ask(&fixture, "GET", "/?t=00000000000000000000000000000000", "", "");
    assert_non_null(strstr(answer, "HTTP/1.1 302"));
    assert_null(strstr(answer, "lsess-token"));
    finish(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(Q3_the_kernel_tells_whose_a_connection_is),
        cmocka_unit_test(Q3_a_closed_connection_is_nobodys),
        cmocka_unit_test(Q3_a_connection_that_is_not_there_yet_is_nobodys),
        cmocka_unit_test(Q3_another_user_is_another_user),
        cmocka_unit_test(Q3_P91a_the_token_of_the_start_line),
        cmocka_unit_test(Q3_no_token_where_the_user_is_told),
    };
    return cmocka_run_group_tests_name("server-peer", tests, NULL, NULL);
}
