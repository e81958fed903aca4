/* The server as a library: what needs settings that no flag reaches, such as a short heartbeat (S6), and failures to
 * open. The rules that people and browsers meet are in tests/server, against the program. */
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
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "server_site.h"

#define DEADLINE_NS ls_ms(30000)

static int connect_to(int port)
{
    struct sockaddr_in where = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&where, sizeof where), 0);
    return fd;
}

/* Read until `wanted` is in the text or the connection ends. @return was it there? */
static bool read_until(int fd, char *text, size_t size, size_t *len, const char *wanted)
{
    int64_t until = ls_now_ns() + DEADLINE_NS;
    while (memmem(text, *len, wanted, strlen(wanted)) == NULL) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int64_t left = (until - ls_now_ns()) / 1000000;
        if (left <= 0 || poll(&wait, 1, (int)left) <= 0) fail_msg("'%s' did not come in time", wanted);
        ssize_t n = recv(fd, text + *len, size - *len - 1, 0);
        if (n <= 0) return false;
        *len += (size_t)n;
        text[*len] = '\0';
    }
    return true;
}

static const unsigned char pong[] = {0x8a, 0x80, 1, 2, 3, 4};

/* A session's id from the redirect of GET /. */
static void make_session(int port, char *id)
{
    char text[2048];
    size_t len = 0;
    int fd = connect_to(port);
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_int_equal(send(fd, request, sizeof request - 1, 0), sizeof request - 1);
    assert_true(read_until(fd, text, sizeof text, &len, "\r\n\r\n"));
    char *location = strstr(text, "Location: /");
    assert_non_null(location);
    memcpy(id, location + 11, 32);
    id[32] = '\0';
    close(fd);
}

static int open_page(int port, const char *id)
{
    char text[2048];
    size_t len = 0;
    int fd = connect_to(port);
    int n = snprintf(
        text, sizeof text,
        "GET /ws/%s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        id);
    assert_int_equal(send(fd, text, (size_t)n, 0), n);
    while (memmem(text, len, "\r\n\r\n", 4) == NULL) { /* byte by byte: what comes behind it is the test's */
        assert_true(len + 1 < sizeof text);
        assert_int_equal(recv(fd, text + len, 1, 0), 1);
        text[++len] = '\0';
    }
    assert_non_null(strstr(text, " 101 "));
    return fd;
}

static void test_silence_is_broken_by_a_heartbeat_S6(void **state)
{
    (void)state;
    struct fixture fixture;
    struct ls_server_config config;
    char id[33], text[1024];
    size_t len = 0;
    prepare(&fixture, &config);
    config.ping_ms = 100;
    start(&fixture, &config);
    make_session(fixture.ready.port, id);
    int64_t begun = ls_now_ns();
    int fd = open_page(fixture.ready.port, id);
    assert_true(read_until(fd, text, sizeof text, &len, "\x81\x02[]"));
    assert_true(ls_now_ns() - begun >= ls_ms(60));
    assert_true(read_until(fd, text, sizeof text, &len, "\x89")); /* a ping goes with it */
    close(fd);
    finish(&fixture);
}

static void test_a_peer_that_misses_two_pings_is_dropped_S6(void **state)
{
    (void)state;
    struct fixture fixture;
    struct ls_server_config config;
    char id[33], text[4096];
    size_t len = 0;
    prepare(&fixture, &config);
    config.ping_ms = 60;
    start(&fixture, &config);
    make_session(fixture.ready.port, id);
    int fd = open_page(fixture.ready.port, id);
    assert_false(read_until(fd, text, sizeof text, &len, "never sent"));
    int pings = 0;
    for (size_t i = 0; i < len; i++)
        pings += (unsigned char)text[i] == 0x89;
    assert_int_equal(pings, 2);
    close(fd);
    finish(&fixture);
}

static void test_a_peer_that_answers_pings_stays_S6(void **state)
{
    (void)state;
    struct fixture fixture;
    struct ls_server_config config;
    char id[33], text[8192];
    prepare(&fixture, &config);
    config.ping_ms = 60;
    start(&fixture, &config);
    make_session(fixture.ready.port, id);
    /* Whoever is held up for the time of two pings, the test or the reader, is to blame for a connection that is
     * dropped: once again, then. */
    int round = 0;
    for (int tries = 0; round < 8 && tries < 10; tries++) {
        int fd = open_page(fixture.ready.port, id);
        for (round = 0; round < 8; round++) {
            size_t len = 0;
            if (!read_until(fd, text, sizeof text, &len, "\x89") ||
                send(fd, pong, sizeof pong, MSG_NOSIGNAL) != sizeof pong)
                break;
        }
        close(fd);
    }
    assert_int_equal(round, 8);
    finish(&fixture);
}

/* read_until() of a page that answers pings all the time. */
static bool read_talking(int fd, char *text, size_t size, size_t *len, const char *wanted)
{
    int64_t until = ls_now_ns() + DEADLINE_NS;
    while (memmem(text, *len, wanted, strlen(wanted)) == NULL) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (ls_now_ns() > until) fail_msg("'%s' did not come in time", wanted);
        ssize_t n = poll(&wait, 1, 20) > 0 ? recv(fd, text + *len, size - *len - 1, 0) : 0;
        if ((n <= 0 && wait.revents != 0) || send(fd, pong, sizeof pong, MSG_NOSIGNAL) != sizeof pong) return false;
        *len += (size_t)n;
        text[*len] = '\0';
    }
    return true;
}

/* While Lua runs, the page's pongs may lie unread: it must not be dropped for that. */
static void test_a_peer_whose_session_computes_stays_S6(void **state)
{
    (void)state;
    struct fixture fixture;
    struct ls_server_config config;
    char id[33], text[8192];
    size_t len = 0;
    prepare(&fixture, &config);
    write_file(
        fixture.dir, "lua/main.lua",
        "session:createAppVariable({ type = 'App', name = 'North', wait = function() os.execute('sleep 1') end })\n");
    config.ping_ms = 60;
    start(&fixture, &config);
    make_session(fixture.ready.port, id);
    int fd = open_page(fixture.ready.port, id);
    /* The loop runs what comes on an idle session itself, and reads nothing meanwhile; of one that was slow it lets
     * others run it. */
    static const char first[] = "{\"userEvent\":true,\"messages\":[{\"type\":\"get\",\"varIds\":[]}]}";
    unsigned char head[sizeof first + 6] = {0x81, 0x80 | (sizeof first - 1)};
    memcpy(head + 6, first, sizeof first - 1);
    assert_int_equal(send(fd, head, sizeof first + 5, 0), sizeof first + 5);
    assert_true(read_talking(fd, text, sizeof text, &len, "\"variables\""));
    len = 0;
    static const char message[] =
        "{\"userEvent\":true,\"messages\":[{\"type\":\"create\",\"id\":2,\"parentId\":1,\"properties\":{\"path\":\"wait()\",\"access\":\"action\"}},"
        "{\"type\":\"update\",\"id\":2,\"value\":null},{\"type\":\"get\",\"varIds\":[1]}]}";
    unsigned char frame[sizeof message + 8] = {0x81, 0x80 | 126, (sizeof message - 1) >> 8,
                                               (sizeof message - 1) & 255}; /* a mask of zeros */
    memcpy(frame + 8, message, sizeof message - 1);
    assert_int_equal(send(fd, frame, sizeof message + 7, 0), sizeof message + 7);
    assert_true(read_talking(fd, text, sizeof text, &len, "\"variables\""));
    close(fd);
    finish(&fixture);
}

/* The answer to a request, head and body. */
static void ask(int port, const char *method, const char *where, const char *body, char *text, size_t size)
{
    size_t len = 0;
    int fd = connect_to(port);
    int n =
        snprintf(text, size, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                 method, where, strlen(body), body);
    assert_int_equal(send(fd, text, (size_t)n, 0), n);
    while (read_until(fd, text, size, &len, "never sent"))
        continue;
    close(fd);
}

static void test_P25_an_api_client_ends_some_time_after_its_last_request(void **state)
{
    (void)state;
    struct fixture fixture;
    struct ls_server_config config;
    char id[33], where[96], listing[64], text[4096];
    prepare(&fixture, &config);
    config.identity_ms = 150;
    start(&fixture, &config);
    make_session(fixture.ready.port, id);
    snprintf(where, sizeof where, "/api/create?client=tool&session=%s", id);
    snprintf(listing, sizeof listing, "/%s/variables.json", id);
    int64_t begun = ls_now_ns();
    ask(fixture.ready.port, "POST", where, "{\"id\":2,\"parentId\":1,\"properties\":{\"path\":\"name\"}}", text,
        sizeof text);
    assert_non_null(strstr(text, " 200 "));
    do {
        ask(fixture.ready.port, "GET", listing, "", text, sizeof text);
        assert_true(ls_now_ns() - begun < DEADLINE_NS);
    } while (strstr(text, "\"clientId\":2") != NULL);
    assert_true(ls_now_ns() - begun >= ls_ms(100));
    assert_non_null(strstr(text, "\"id\":1"));
    finish(&fixture);
}

/* A health check, a link preview: nothing of them joins the session that it got. */
static void test_N20_a_session_that_nobody_joins_ends_soon(void **state)
{
    (void)state;
    struct fixture fixture;
    struct ls_server_config config;
    char visited[33], joined[33], where[64], text[4096];
    prepare(&fixture, &config);
    config.visit_ms = 300;
    start(&fixture, &config);
    int64_t begun = ls_now_ns();
    make_session(fixture.ready.port, joined);
    int fd = open_page(fixture.ready.port, joined);
    close(fd);
    make_session(fixture.ready.port, visited);
    snprintf(where, sizeof where, "/%s", visited);
    do {
        ask(fixture.ready.port, "GET", where, "", text, sizeof text);
        assert_true(ls_now_ns() - begun < DEADLINE_NS);
    } while (strstr(text, " 404 ") == NULL);
    assert_true(ls_now_ns() - begun >= ls_ms(300));
    assert_non_null(strstr(text, "\r\nX-Lsess: gone\r\n"));
    snprintf(where, sizeof where, "/%s", joined);
    ask(fixture.ready.port, "GET", where, "", text, sizeof text);
    assert_non_null(strstr(text, " 200 "));
    finish(&fixture);
}

/* A request whose body comes byte by byte. @return milliseconds until the connection ended */
static int64_t trickle(int port, const char *head, int every_ms, char *text, size_t size)
{
    int fd = connect_to(port);
    int64_t since = ls_now_ns();
    size_t len = 0;
    assert_int_equal(send(fd, head, strlen(head), 0), (ssize_t)strlen(head));
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (ls_now_ns() - since > DEADLINE_NS) fail_msg("the connection did not end in time");
        if (poll(&wait, 1, every_ms) == 0) {
            send(fd, "1\r\n", 1 + 2 * (strstr(head, "chunked") != NULL), MSG_NOSIGNAL);
            continue;
        }
        ssize_t n = recv(fd, text + len, size - len - 1, 0);
        if (n <= 0) break;
        len += (size_t)n;
    }
    text[len] = '\0';
    close(fd);
    return (ls_now_ns() - since) / 1000000;
}

/* 128 KiB in 600 ms: twice the time, but more than the rate that is asked for. @return was it answered? */
static bool is_taken_slowly(int port, const char *id)
{
    char head[256], text[4096] = "", part[4096];
    size_t len = 0;
    int fd = connect_to(port);
    memset(part, ' ', sizeof part);
    snprintf(
        head, sizeof head,
        "POST /api/get?session=%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 131086\r\n\r\n",
        id);
    assert_int_equal(send(fd, head, strlen(head), 0), (ssize_t)strlen(head));
    bool sent = true;
    for (int i = 0; i < 32 && sent; i++) {
        sent = send(fd, part, sizeof part, MSG_NOSIGNAL) == sizeof part;
        poll(NULL, 0, 20);
    }
    bool taken = sent && send(fd, "{\"varIds\":[1]}", 14, MSG_NOSIGNAL) == 14 &&
                 read_until(fd, text, sizeof text, &len, "\r\n\r\n") && strstr(text, "HTTP/1.1 200 ") != NULL;
    close(fd);
    return taken;
}

static void test_P22a_a_body_has_a_limited_time_and_more_for_what_has_come(void **state)
{
    (void)state;
    static const char *const lengths[] = {"Content-Length: 100000", "Content-Length: 2", "Transfer-Encoding: chunked"};
    struct fixture fixture;
    struct ls_server_config config;
    char id[33], head[256], text[4096];
    prepare(&fixture, &config);
    config.body_ms = 300;
    start(&fixture, &config);
    make_session(fixture.ready.port, id);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        snprintf(head, sizeof head, "POST /api/get?session=%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n", id,
                 lengths[i]);
        int64_t ms = trickle(fixture.ready.port, head, i == 1 ? 9000 : 20, text, sizeof text);
        assert_true(ms >= 290 && ms < 9000);
        assert_non_null(strstr(text, "HTTP/1.1 400 "));
        assert_non_null(strstr(text, "Connection: close\r\n"));
        assert_null(strstr(strstr(text, "HTTP/1.1") + 1, "HTTP/1.1"));
    }
    int tries = 1; /* a test that is held up sends too slowly */
    while (!is_taken_slowly(fixture.ready.port, id))
        assert_true(++tries <= 10);
    finish(&fixture);
}

/* What is looked at late itself, since much of it has come, is no reason to look late at others. */
static void test_P22a_a_large_body_gives_no_time_to_others(void **state)
{
    (void)state;
    static const char part[65536];
    struct fixture fixture;
    struct ls_server_config config;
    char id[33], head[256], text[4096];
    prepare(&fixture, &config);
    config.body_ms = 300;
    start(&fixture, &config);
    make_session(fixture.ready.port, id);
    snprintf(head, sizeof head, "POST /api/get?session=%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n",
             id, 64 * sizeof part + 1);
    int fd = connect_to(fixture.ready.port);
    assert_int_equal(send(fd, head, strlen(head), 0), (ssize_t)strlen(head));
    for (int i = 0; i < 64; i++)
        assert_int_equal(send(fd, part, sizeof part, MSG_NOSIGNAL), (ssize_t)sizeof part);
    poll(NULL, 0, 600); /* it has been looked at: 4 MiB are good for a minute */
    snprintf(head, sizeof head,
             "POST /api/get?session=%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n", id);
    assert_in_range(trickle(fixture.ready.port, head, 200, text, sizeof text), 290, 9000);
    close(fd);
    finish(&fixture);
}

static void test_the_second_server_of_a_site_is_refused_C3(void **state)
{
    (void)state;
    struct fixture fixture;
    struct ls_server_config config;
    LS_ERR(err);
    prepare(&fixture, &config);
    start(&fixture, &config);
    assert_null(ls_server_open(&config, &err));
    assert_int_equal(err.code, LS_EBUSY);
    char pid[24];
    snprintf(pid, sizeof pid, "pid %d", (int)getpid());
    assert_non_null(strstr(ls_err_text(&err), pid));
    char id[33];
    make_session(fixture.ready.port, id); /* the first one has lost nothing */
    finish(&fixture);
}

static void test_opening_and_stopping_again_and_again_leaves_nothing(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        struct fixture fixture;
        struct ls_server_config config;
        char id[33];
        prepare(&fixture, &config);
        config.watch = round % 2 == 0;
        start(&fixture, &config);
        assert_int_equal(fixture.ready.watching, config.watch);
        make_session(fixture.ready.port, id);
        finish(&fixture);
    }
}

static void test_a_folder_that_is_no_site_is_refused_C2(void **state)
{
    (void)state;
    struct ls_server_config config;
    LS_ERR(err);
    ls_server_config_init(&config);
    config.dir = "/nonexistent/site";
    assert_null(ls_server_open(&config, &err));
    assert_int_equal(err.code, LS_ENOTFOUND);
    config.dir = NULL;
    config.bundle = "templates/sites/nonexistent";
    assert_null(ls_server_open(&config, &err));
    assert_int_equal(err.code, LS_ENOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silence_is_broken_by_a_heartbeat_S6),
        cmocka_unit_test(test_a_peer_that_misses_two_pings_is_dropped_S6),
        cmocka_unit_test(test_a_peer_that_answers_pings_stays_S6),
        cmocka_unit_test(test_a_peer_whose_session_computes_stays_S6),
        cmocka_unit_test(test_P25_an_api_client_ends_some_time_after_its_last_request),
        cmocka_unit_test(test_N20_a_session_that_nobody_joins_ends_soon),
        cmocka_unit_test(test_P22a_a_body_has_a_limited_time_and_more_for_what_has_come),
        cmocka_unit_test(test_P22a_a_large_body_gives_no_time_to_others),
        cmocka_unit_test(test_the_second_server_of_a_site_is_refused_C3),
        cmocka_unit_test(test_opening_and_stopping_again_and_again_leaves_nothing),
        cmocka_unit_test(test_a_folder_that_is_no_site_is_refused_C2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
