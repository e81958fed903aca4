/* Connections that are carried to another port without a thread (N2): their bytes both ways, who is at the outer end,
 * and how each side ends. TLS is in tests/server/listening.test.js, against the program. */
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "base/log.h"
#include "front/front_internal.h"
#include "front_peer.h"

enum { MANY = 200, LARGE = 4 << 20 };

struct rig {
    struct ls_front *front;
    int inner, inner_port; /* listens: in place of the HTTP server */
    int port;              /* that is listened on outside */
};

static void start(struct rig *rig, const char *address, int max)
{
    LS_ERR(err);
    *rig = (struct rig){.front = ls_front_open(&(struct ls_front_config){.loops = 2}, &err)};
    rig->inner = ls_listen_tcp("127.0.0.1", &rig->inner_port);
    assert_true(rig->inner >= 0);
    struct ls_relay_config config = {.inner_port = rig->inner_port, .max = max};
    int fd = ls_listen_tcp(address, &rig->port);
    assert_true(fd >= 0);
    assert_int_equal(ls_front_accept(rig->front, fd, &config, &err), 0);
}

static void stop(struct rig *rig)
{
    close(rig->inner);
    ls_front_close(rig->front);
}

static int connect_to(const char *address, int port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = in6addr_loopback};
    bool six = strcmp(address, "::1") == 0;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, six ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4, six ? sizeof v6 : sizeof v4),
                     0);
    return fd;
}

/* The inner end of a connection. @param port  of the other end of that, which the front is asked about */
static int take(struct rig *rig, int *port)
{
    struct pollfd wait = {.fd = rig->inner, .events = POLLIN};
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    assert_int_equal(poll(&wait, 1, DEADLINE_MS), 1);
    int fd = accept4(rig->inner, (struct sockaddr *)&from, &len, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    *port = ntohs(from.sin_port);
    return fd;
}

static void send_all(int fd, const char *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, data + done, len - done, MSG_NOSIGNAL);
        assert_true(n > 0);
        done += (size_t)n;
    }
}

/* @return bytes until the end, at most `size` */
static size_t read_to(int fd, char *data, size_t size)
{
    size_t len = 0;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (len < size) {
        assert_int_equal(poll(&wait, 1, DEADLINE_MS), 1);
        ssize_t n = recv(fd, data + len, size - len, 0);
        if (n <= 0) break;
        len += (size_t)n;
    }
    return len;
}

static bool has_ended(int fd)
{
    char byte;
    return read_to(fd, &byte, 1) == 0;
}

static void N2_bytes_go_both_ways_and_the_peer_is_known(void **state)
{
    (void)state;
    static const char *const addresses[] = {"127.0.0.1", "::1"};
    for (int i = 0; i < 2; i++) {
        struct rig rig;
        char text[64];
        int port;
        struct ls_relay_peer peer;
        start(&rig, addresses[i], 0);
        int outer = connect_to(addresses[i], rig.port);
        send_all(outer, "question", 8);
        int inner = take(&rig, &port);
        assert_int_equal(read_to(inner, text, 8), 8);
        assert_memory_equal(text, "question", 8);
        assert_true(ls_front_peer(rig.front, port, &peer));
        assert_string_equal(peer.address, addresses[i]);
        assert_string_equal(peer.self, addresses[i]);
        assert_int_equal(peer.self_port, rig.port);
        assert_int_equal(peer.uid, -1);
        assert_false(peer.tls);
        send_all(inner, "answer", 6);
        assert_int_equal(read_to(outer, text, 6), 6);
        /* what has not come this way is nobody */
        int other = connect_to("127.0.0.1", rig.inner_port), other_port;
        close(take(&rig, &other_port));
        close(other);
        assert_false(ls_front_peer(rig.front, other_port, &peer));
        assert_false(ls_front_peer(rig.front, 0, &peer) || ls_front_peer(rig.front, 65536, &peer));
        close(inner);
        assert_true(has_ended(outer));
        close(outer);
        WAIT_FOR(!ls_front_peer(rig.front, port, &peer));
        stop(&rig);
    }
}

struct flood {
    int fd;
    char *data;
};

static void *send_flood(void *ctx)
{
    struct flood *flood = ctx;
    send_all(flood->fd, flood->data, LARGE);
    shutdown(flood->fd, SHUT_WR);
    return NULL;
}

/* Each end sends all it has and says so, and each gets all of it, however slowly it reads. */
static void N2_a_side_that_is_slow_holds_up_the_other_and_loses_nothing(void **state)
{
    (void)state;
    struct rig rig;
    int port;
    pthread_t threads[2];
    char *sent = ls_malloc(LARGE), *got = ls_malloc(LARGE + 1);
    for (size_t i = 0; i < LARGE; i++)
        sent[i] = (char)(i * 7 + i / 251);
    start(&rig, "::1", 0);
    int ends[2] = {connect_to("::1", rig.port), -1};
    send_all(ends[0], "x", 1);
    ends[1] = take(&rig, &port);
    assert_int_equal(read_to(ends[1], got, 1), 1);
    struct flood floods[2] = {{ends[0], sent}, {ends[1], sent}};
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, send_flood, &floods[i]);
    usleep(50000); /* nobody reads: what waits is bounded by the sockets' own buffers and a read of each way */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(read_to(ends[i], got, LARGE + 1), LARGE);
        assert_memory_equal(got, sent, LARGE);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        close(ends[i]);
    }
    stop(&rig);
    ls_free(sent);
    ls_free(got);
}

static void N2_who_sends_no_more_is_answered_still(void **state)
{
    (void)state;
    struct rig rig;
    char text[16];
    int port;
    start(&rig, "127.0.0.1", 0);
    int outer = connect_to("127.0.0.1", rig.port);
    send_all(outer, "all", 3);
    shutdown(outer, SHUT_WR);
    int inner = take(&rig, &port);
    assert_int_equal(read_to(inner, text, sizeof text), 3);
    send_all(inner, "answer", 6);
    close(inner);
    assert_int_equal(read_to(outer, text, sizeof text), 6);
    close(outer);
    stop(&rig);
}

static void N2_a_reset_of_either_end_is_one_of_the_other(void **state)
{
    (void)state;
    struct rig rig;
    char text[16];
    struct ls_relay_peer peer;
    struct linger now = {.l_onoff = 1};
    start(&rig, "127.0.0.1", 0);
    for (int i = 0; i < 2; i++) {
        int port, outer = connect_to("127.0.0.1", rig.port);
        send_all(outer, "x", 1);
        int inner = take(&rig, &port), first = i == 0 ? outer : inner, second = i == 0 ? inner : outer;
        assert_int_equal(read_to(inner, text, 1), 1);
        setsockopt(first, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(first);
        assert_true(has_ended(second));
        WAIT_FOR(!ls_front_peer(rig.front, port, &peer));
        close(second);
    }
    stop(&rig);
}

static void N2_nobody_listens_inside(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, "127.0.0.1", 0);
    close(rig.inner);
    int outer = connect_to("127.0.0.1", rig.port);
    send_all(outer, "x", 1);
    assert_true(has_ended(outer));
    close(outer);
    rig.inner = -1;
    stop(&rig);
}

static int count_relays(struct rig *rig)
{
    pthread_mutex_lock(&rig->front->lock);
    int count = rig->front->relay_count;
    pthread_mutex_unlock(&rig->front->lock);
    return count;
}

/* @param ctx  atomic_int: how often it was said that connections wait */
static void count_told(void *ctx, int level, const char *session, const char *text, size_t len)
{
    (void)level, (void)session;
    if (memmem(text, len, "Connections wait", 16)) atomic_fetch_add((atomic_int *)ctx, 1);
}

/* Those that say nothing cost no inner connection; those beyond the limit wait, and have their turn. It is said once,
 * not at each look. */
static void N4_no_more_than_may_be_are_carried(void **state)
{
    (void)state;
    struct rig rig;
    int fds[MANY], port;
    atomic_int told = 0;
    ls_log_tap(count_told, &told);
    start(&rig, "127.0.0.1", MANY / 2);
    for (int i = 0; i < MANY; i++)
        fds[i] = connect_to("127.0.0.1", rig.port);
    WAIT_FOR(count_relays(&rig) == MANY / 2);
    struct pollfd wait = {.fd = rig.inner, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, 350), 0);
    assert_int_equal(count_relays(&rig), MANY / 2);
    send_all(fds[MANY - 1], "x", 1);
    for (int i = 0; i < MANY / 2; i++)
        close(fds[i]);
    int inner = take(&rig, &port);
    close(inner);
    assert_true(has_ended(fds[MANY - 1]));
    for (int i = MANY / 2; i < MANY; i++)
        close(fds[i]);
    WAIT_FOR(count_relays(&rig) == 0);
    stop(&rig);
    ls_log_tap(NULL, NULL);
    assert_int_equal(told, 1);
}

static void N2_a_unix_socket_tells_whose_program_it_is(void **state)
{
    (void)state;
    LS_ERR(err);
    struct rig rig;
    struct stat info;
    struct ls_relay_peer peer;
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    char dir[] = "/tmp/lsess-relay-XXXXXX";
    int port;
    assert_non_null(mkdtemp(dir));
    snprintf(where.sun_path, sizeof where.sun_path, "%s/socket", dir);
    start(&rig, "127.0.0.1", 0);
    int fd = ls_listen_unix(where.sun_path, &err);
    assert_true(fd >= 0);
    assert_int_equal(lstat(where.sun_path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(ls_listen_unix(where.sun_path, &err), LS_EBUSY);
    struct ls_relay_config config = {.inner_port = rig.inner_port, .unix_path = where.sun_path};
    assert_int_equal(ls_front_accept(rig.front, fd, &config, &err), 0);
    int outer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(outer, (struct sockaddr *)&where, sizeof where), 0);
    send_all(outer, "x", 1);
    close(take(&rig, &port));
    assert_true(has_ended(outer));
    close(outer);
    outer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(outer, (struct sockaddr *)&where, sizeof where), 0);
    send_all(outer, "x", 1);
    int inner = take(&rig, &port);
    assert_true(ls_front_peer(rig.front, port, &peer));
    assert_int_equal(peer.family, AF_UNIX);
    assert_int_equal(peer.uid, geteuid());
    close(inner);
    close(outer);
    stop(&rig);
    assert_int_equal(lstat(where.sun_path, &info), -1);
    rmdir(dir);
}

static int64_t cpu_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return ls_ms((int64_t)used.tv_sec * 1000) + used.tv_nsec;
}

/* An end with more to read than the other one takes is not asked again and again. */
static void N2_a_side_that_does_not_read_costs_nothing(void **state)
{
    (void)state;
    static const char some[65536];
    struct rig rig;
    int port;
    start(&rig, "::1", 0);
    for (int floods = 0; floods < 2; floods++) {
        int ends[2] = {connect_to("::1", rig.port), -1};
        char byte;
        send_all(ends[0], "x", 1);
        ends[1] = take(&rig, &port);
        assert_int_equal(read_to(ends[1], &byte, 1), 1);
        struct pollfd room = {.fd = ends[floods], .events = POLLOUT};
        while (poll(&room, 1, 500) > 0)
            assert_true(send(ends[floods], some, sizeof some, MSG_DONTWAIT | MSG_NOSIGNAL) > 0);
        int64_t before = cpu_ns();
        usleep(500000); /* what is measured */
        assert_in_range(cpu_ns() - before, 0, ls_ms(100));
        close(ends[0]);
        close(ends[1]);
    }
    stop(&rig);
}

/* The front is closed while connections come, say nothing, say much and end. */
static void N2_closing_ends_all_of_them(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        struct rig rig;
        int fds[20];
        start(&rig, "127.0.0.1", 0);
        for (int i = 0; i < 20; i++) {
            fds[i] = connect_to("127.0.0.1", rig.port);
            if (i % 2 == 0) send_all(fds[i], "x", 1);
        }
        stop(&rig);
        for (int i = 0; i < 20; i++) {
            assert_true(has_ended(fds[i]));
            close(fds[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(N2_bytes_go_both_ways_and_the_peer_is_known),
        cmocka_unit_test(N2_a_side_that_is_slow_holds_up_the_other_and_loses_nothing),
        cmocka_unit_test(N2_a_side_that_does_not_read_costs_nothing),
        cmocka_unit_test(N2_who_sends_no_more_is_answered_still),
        cmocka_unit_test(N2_a_reset_of_either_end_is_one_of_the_other),
        cmocka_unit_test(N2_nobody_listens_inside),
        cmocka_unit_test(N4_no_more_than_may_be_are_carried),
        cmocka_unit_test(N2_a_unix_socket_tells_whose_program_it_is),
        cmocka_unit_test(N2_closing_ends_all_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
