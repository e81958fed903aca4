/* What http/handover.c expects of the civetweb that is installed (N1): a connection can be taken from it, whole, and
 * its worker is free at once. A failure here says that civetweb has changed. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "http/http.h"

enum { MANY = 100, WAIT_MS = 10000 };

/* One server with one worker. */
static struct {
    struct mg_context *civetweb;
    int port;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int taken[MANY], count; /* what ls_http_take() gave, in its order */
    struct ls_buf early[MANY];
} rig = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int answer(struct mg_connection *http, int status)
{
    mg_printf(http, "HTTP/1.1 %d Text\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", status);
    return status;
}

static int begin_request(struct mg_connection *http)
{
    const struct mg_request_info *info = mg_get_request_info(http);
    char body[1024];
    assert_null(ls_request_begin(info));
    if (info->content_length > 0) assert_int_equal(mg_read(http, body, sizeof body), info->content_length);
    bool scarce = strcmp(info->local_uri_raw, "/scarce") == 0; /* memory is */
    if (!scarce && strcmp(info->local_uri_raw, "/take") != 0) return answer(http, 200);
    pthread_mutex_lock(&rig.lock);
    (void)ls_alloc_fail_at(scarce);
    int fd = rig.taken[rig.count] = ls_http_take(http, &rig.early[rig.count]);
    (void)ls_alloc_fail_at(0);
    rig.count++;
    pthread_cond_signal(&rig.changed);
    pthread_mutex_unlock(&rig.lock);
    return fd < 0 ? answer(http, 503) : 101;
}

static int open_rig(void **state)
{
    (void)state;
    const char *options[] = {"listening_ports",       "127.0.0.1:0", "num_threads", "1", "enable_keep_alive", "yes",
                             "keep_alive_timeout_ms", "10000",       NULL};
    struct mg_callbacks callbacks = {.begin_request = begin_request, .init_connection = ls_http_connection_begins};
    static struct ls_web web;
    struct mg_init_data init = {.callbacks = &callbacks, .user_data = &web, .configuration_options = options};
    struct mg_error_data error = {0};
    struct mg_server_port bound[2] = {{0}};
    rig.count = 0;
    rig.civetweb = mg_start2(&init, &error);
    assert_non_null(rig.civetweb);
    assert_int_equal(mg_get_server_ports(rig.civetweb, 2, bound), 1);
    rig.port = bound[0].port;
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    ls_http_wake(rig.port);
    mg_stop(rig.civetweb);
    for (int i = 0; i < rig.count; i++) {
        if (rig.taken[i] >= 0) close(rig.taken[i]);
        ls_buf_release(&rig.early[i]);
    }
    return 0;
}

/* --- the client's side --- */

static int dial(void)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((uint16_t)rig.port)};
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&where, sizeof where), 0);
    return fd;
}

static void put(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Read on until `text` is what has come. */
static void expect(int fd, const char *text)
{
    char got[256] = "";
    size_t len = 0, want = strlen(text);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (len < want && poll(&wait, 1, WAIT_MS) > 0) {
        ssize_t n = recv(fd, got + len, want - len, 0);
        if (n <= 0) break;
        len += (size_t)n;
    }
    assert_string_equal(got, text);
}

#define OK_200 "HTTP/1.1 200 Text\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"
#define OK_503 "HTTP/1.1 503 Text\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"
#define PLAIN  "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"
#define TAKE   "GET /take HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\r\n"

/* The connection that was taken as number `number`. */
static int await_taken(int number)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_MS / 1000;
    pthread_mutex_lock(&rig.lock);
    while (rig.count <= number && pthread_cond_timedwait(&rig.changed, &rig.lock, &until) == 0)
        continue;
    assert_true(rig.count > number);
    int fd = rig.taken[number];
    pthread_mutex_unlock(&rig.lock);
    return fd;
}

static void expect_early(int number, const char *text)
{
    assert_true(await_taken(number) >= 0);
    assert_string_equal(ls_buf_text(&rig.early[number]), text);
}

static void both_ways(int client, int server)
{
    put(client, "up");
    expect(server, "up");
    put(server, "down");
    expect(client, "down");
}

/* --- tests --- */

static void the_only_worker_is_free_again(void **state)
{
    (void)state;
    int clients[MANY];
    for (int i = 0; i < MANY; i++) {
        clients[i] = dial();
        put(clients[i], TAKE);
        int fd = await_taken(i);
        assert_true(fd >= 512);
        assert_int_equal(rig.early[i].len, 0);
    }
    int other = dial();
    for (int i = 0; i < 3; i++) {
        put(other, PLAIN);
        expect(other, OK_200);
    }
    close(other);
    for (int i = 0; i < MANY; i++) {
        both_ways(clients[i], rig.taken[i]);
        close(clients[i]);
        expect(rig.taken[i], ""); /* the end, and nothing else */
    }
}

static void what_came_with_the_head_is_not_lost(void **state)
{
    (void)state;
    int client = dial();
    put(client, TAKE "first");
    expect_early(0, "first");
    both_ways(client, rig.taken[0]);
    close(client);
}

/* Without memory for it the connection ends: what follows is not to be taken for the beginning. */
static void what_came_with_the_head_ends_it_without_memory(void **state)
{
    (void)state;
    int client = dial(), next = dial();
    char byte;
    put(client, "GET /scarce HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\r\nearly");
    assert_int_equal(await_taken(0), -ENOMEM);
    struct pollfd wait = {.fd = client, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
    assert_true(recv(client, &byte, 1, 0) <= 0);
    put(next, PLAIN);
    expect(next, OK_200);
    close(client);
    close(next);
}

static void nor_behind_other_requests(void **state)
{
    (void)state;
    int client = dial();
    put(client, PLAIN);
    expect(client, OK_200);
    put(client, PLAIN PLAIN TAKE "first");
    expect(client, OK_200 OK_200);
    expect_early(0, "first");
    both_ways(client, rig.taken[0]);
    close(client);

    client = dial();
    put(client, "POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" TAKE "second");
    expect(client, OK_200);
    expect_early(1, "second");
    both_ways(client, rig.taken[1]);
    close(client);

    client = dial(); /* how long the body was in the end is not known; nothing is made up */
    put(client, "POST /take HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    expect_early(2, "");
    both_ways(client, rig.taken[2]);
    close(client);
}

static void of_much_the_rest_is_in_the_socket(void **state)
{
    (void)state;
    static char sent[100000], got[sizeof sent];
    int client = dial();
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (char)('a' + i % 23);
    put(client, TAKE);
    assert_int_equal(send(client, sent, sizeof sent, 0), sizeof sent);
    int fd = await_taken(0);
    assert_true(fd >= 0);
    size_t len = rig.early[0].len;
    assert_true(len <= LS_HEAD_MAX);
    if (len > 0) memcpy(got, rig.early[0].data, len);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (len < sizeof got && poll(&wait, 1, WAIT_MS) > 0) {
        ssize_t n = recv(fd, got + len, sizeof got - len, 0);
        assert_true(n > 0);
        len += (size_t)n;
    }
    assert_memory_equal(got, sent, sizeof sent);
    close(client);
}

static void of_one_that_sends_no_more_too(void **state)
{
    (void)state;
    int client = dial();
    put(client, TAKE "last");
    shutdown(client, SHUT_WR);
    expect_early(0, "last");
    put(rig.taken[0], "down");
    expect(client, "down");
    close(client);
}

static void without_descriptors_it_stays_where_it_is(void **state)
{
    (void)state;
    struct rlimit before, few;
    int client = dial(), fillers[1024], count = 0;
    put(client, PLAIN);
    expect(client, OK_200);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){.rlim_cur = 600, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    while (count < 1024 && (fillers[count] = dup(0)) >= 0)
        count++;
    put(client, TAKE);
    assert_true(await_taken(0) == -EMFILE);
    expect(client, OK_503);
    while (count > 0)
        close(fillers[--count]);
    close(client);
    client = dial();
    put(client, TAKE "now");
    expect_early(1, "now");
    both_ways(client, rig.taken[1]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    close(client);
}

static void where_no_number_is_high_a_low_one_does(void **state)
{
    (void)state;
    struct rlimit before, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){.rlim_cur = 256, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int client = dial();
    put(client, TAKE "first");
    expect_early(0, "first");
    assert_true(rig.taken[0] < 256);
    both_ways(client, rig.taken[0]);
    close(client);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_only_worker_is_free_again, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(what_came_with_the_head_is_not_lost, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(what_came_with_the_head_ends_it_without_memory, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(nor_behind_other_requests, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(of_much_the_rest_is_in_the_socket, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(of_one_that_sends_no_more_too, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(without_descriptors_it_stays_where_it_is, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(where_no_number_is_high_a_low_one_does, open_rig, close_rig),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
