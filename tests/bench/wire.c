/* Benchmarks over real sockets (quality.md Q1): one figure a call, rows as JSON lines. tests/bench/run.mjs prepares
 * sites, starts servers and adds floors and targets.
 *
 *     wire start PROGRAM ARG…           exec until a connection is accepted, and until a first request is answered
 *                                       ({port} in an argument is replaced)
 *     wire roundtrip PORT VARIABLES     user event in → frame out, contact demo with that many variables
 *     wire echo PORT IN OUT [RUNS]      frames of these sizes against the bare echo server
 *     wire events PORT SESSIONS SECONDS one field and one action a session, as many events as it takes; echo-events:
 *     its floor
 *     wire save PORT FILE RUNS          close(2) of a written file until the update is readable
 *     wire burst PORT FOLDER FILES RUNS the same for many modules written in a row
 *     wire sessions PORT COUNT          GET / until answered, a second, on two connections' worth of threads
 *     wire list PORT RUNS ITEMS         lua.ViewList: append, remove the first, reverse
 *     wire show PORT COUNT              create messages until the last value
 *     wire fanout PORT FILE SESSIONS    one save, many sessions
 *     wire idle PORT COUNT              pages that watch their root and stay until standard input ends: the first
 *                                       row when their sessions are there (a line is waited for then), the next when
 *                                       all are; idle-echo: the same for echo_front, without sessions
 *     wire beside PORT RUNS             a session's round trips, alone and while another runs items of 100 ms
 */
#include "client.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>

static const char watch_app[] = "{\"userEvent\":true,\"messages\":[{\"type\":\"watch\",\"data\":{\"varId\":1}}]}";

static struct client open_page(int port, char id[64])
{
    char path[96];
    new_session(port, id);
    snprintf(path, sizeof path, "/ws/%s", id);
    struct client page = ws_open(port, path);
    ws_say(&page, watch_app);
    ws_until(&page, "\"varId\":1");
    return page;
}

static int free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || getsockname(fd, (struct sockaddr *)&address, &len))
        die("no free port");
    close(fd);
    return ntohs(address.sin_port);
}

/* vfork keeps the benchmark's own size out of the figure. */
static pid_t spawn_quiet(char **args)
{
    pid_t pid = vfork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        execv(args[0], args);
        _exit(127);
    }
    return pid;
}

static void bench_start(int argc, char **argv)
{
    static const char request[] = "GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    struct figures all = {0}, answered = {0};
    for (int run = 0; run < 30; run++) {
        int port = free_port();
        char *args[32], number[16], byte;
        snprintf(number, sizeof number, "%d", port);
        for (int i = 0; i < argc && i < 31; i++)
            args[i] = strcmp(argv[i], "{port}") ? argv[i] : number;
        args[argc] = NULL;
        int64_t from = now_ns();
        pid_t pid = spawn_quiet(args);
        int fd;
        while ((fd = try_connect(port)) < 0)
            if (now_ns() - from > 5000000000) die("%s does not accept connections", args[0]);
        if (run >= 5) figure(&all, (double)(now_ns() - from) / 1e6);
        if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0 || recv(fd, &byte, 1, 0) <= 0)
            die("%s does not answer", args[0]);
        if (run >= 5) figure(&answered, (double)(now_ns() - from) / 1e6);
        close(fd);
        kill(pid, SIGTERM);
        waitpid(pid, NULL, 0);
    }
    row("start", percentile(&all, 50), "ms", &all);
    row("start until a request is answered", percentile(&answered, 50), "ms", &answered);
}

/* The bench site's app has `rows` (objects with a `name`) and a text field `query` (see run.mjs). */
static void bench_roundtrip(int port, int variables)
{
    char id[64], text[256];
    struct client page = open_page(port, id);
    size_t room = (size_t)variables * 160 + 1024, len = 0;
    char *frame = malloc(room);
    len += (size_t)snprintf(
        frame, room,
        "{\"userEvent\":true,\"messages\":["
        "{\"type\":\"create\",\"data\":{\"id\":2,\"parentId\":1,\"properties\":{\"path\":\"query\"}}}");
    for (int i = 3; i < variables; i++)
        len += (size_t)snprintf(
            frame + len, room - len,
            ",{\"type\":\"create\",\"data\":{\"id\":%d,\"parentId\":1,\"properties\":{\"path\":\"bench.%d.name\",\"access\":\"r\"}}}",
            i, i - 3);
    len += (size_t)snprintf(
        frame + len, room - len,
        ",{\"type\":\"create\",\"data\":{\"id\":%d,\"parentId\":1,\"properties\":{\"path\":\"echo()\",\"access\":\"r\"}}}]}",
        variables);
    ws_send(&page, frame, len);
    snprintf(text, sizeof text, "\"varId\":%d", variables);
    ws_until(&page, text);
    struct figures all = {0};
    size_t out = 0;
    for (int run = 0; run < 3000; run++) {
        int n = snprintf(
            text, sizeof text,
            "{\"userEvent\":true,\"messages\":[{\"type\":\"update\",\"data\":{\"varId\":2,\"value\":\"value %08d\"}}]}",
            run);
        int64_t from = now_ns();
        ws_send(&page, text, (size_t)n);
        if (!ws_receive(&page, &out, 10000)) die("no answer to an event");
        if (run >= 200) figure(&all, (double)(now_ns() - from) / 1e3);
    }
    printf("{\"name\":\"frame sizes\",\"value\":%zu,\"unit\":\"bytes\",\"in\":%d,\"out\":%zu}\n", out,
           (int)strlen(text), out);
    row("user event round trip", percentile(&all, 50), "us", &all);
    free(frame);
    client_close(&page);
}

static void bench_echo(int port, int in, int out, int runs)
{
    struct client page = ws_open(port, "/ws/echo");
    char *text = malloc((size_t)in + 32);
    memset(text, 'x', (size_t)in + 31);
    text[snprintf(text, 16, "%08d", out)] = ' ';
    struct figures all = {0};
    for (int run = 0; run < runs; run++) {
        int64_t from = now_ns();
        ws_send(&page, text, (size_t)in);
        if (!ws_receive(&page, NULL, 10000)) die("no echo");
        if (run >= runs / 15) figure(&all, (double)(now_ns() - from) / 1e3);
    }
    row("echo round trip", percentile(&all, 50), "us", &all);
    free(text);
    client_close(&page);
}

/* Many sockets, each with one event in flight; `pages` says whether they are sessions or echo sockets. */
static void bench_events(int port, int count, int seconds, bool echo)
{
    struct client *pages = calloc((size_t)count, sizeof *pages);
    struct pollfd *waits = calloc((size_t)count, sizeof *waits);
    char id[64], text[256];
    for (int i = 0; i < count; i++) {
        if (echo) {
            pages[i] = ws_open(port, "/ws/echo");
        } else {
            pages[i] = open_page(port, id);
            ws_say(
                &pages[i],
                "{\"userEvent\":true,\"messages\":[{\"type\":\"create\",\"data\":{\"id\":2,\"parentId\":1,\"properties\":{\"path\":\"count\",\"access\":\"r\"}}},"
                "{\"type\":\"create\",\"data\":{\"id\":3,\"parentId\":1,\"properties\":{\"path\":\"add()\",\"access\":\"action\"}}}]}");
            ws_until(&pages[i], "\"varId\":2");
        }
        waits[i] = (struct pollfd){.fd = pages[i].fd, .events = POLLIN};
    }
    const char *event =
        "{\"userEvent\":true,\"messages\":[{\"type\":\"update\",\"data\":{\"varId\":3,\"value\":null}}]}";
    int n = echo ? snprintf(text, sizeof text, "%08d%*s", 52, (int)strlen(event) - 8, "")
                 : snprintf(text, sizeof text, "%s", event);
    for (int i = 0; i < count; i++)
        ws_send(&pages[i], text, (size_t)n);
    int64_t from = now_ns(), until = from + (int64_t)seconds * 1000000000;
    long events = 0;
    while (now_ns() < until) {
        if (poll(waits, (nfds_t)count, 1000) <= 0) die("no events any more");
        for (int i = 0; i < count; i++) {
            if (!(waits[i].revents & POLLIN)) continue;
            if (!ws_receive(&pages[i], NULL, 1000)) die("no answer");
            events++;
            ws_send(&pages[i], text, (size_t)n);
        }
    }
    row(echo ? "echo events" : "events", (double)events / ((double)(now_ns() - from) / 1e9), "per second", NULL);
    for (int i = 0; i < count; i++)
        client_close(&pages[i]);
    free(pages);
    free(waits);
}

/* Write a file whose content is `head`, the number, `tail`. @return the time right after close(2) */
static int64_t write_module(const char *path, const char *tail, int number)
{
    char text[8192];
    int len =
        snprintf(text, sizeof text, "local M = {}\nfunction M.number() return %d end\n%s\nreturn M\n", number, tail);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, (size_t)len) != len) die("cannot write %s", path);
    close(fd);
    return now_ns();
}

static void watch_number(struct client *page)
{
    ws_say(
        page,
        "{\"userEvent\":true,\"messages\":[{\"type\":\"create\",\"data\":{\"id\":2,\"parentId\":1,\"properties\":{\"path\":\"number()\",\"access\":\"r\"}}}]}");
    ws_until(page, "\"varId\":2");
}

static void bench_save(int port, const char *file, int runs)
{
    char id[64], want[64];
    struct client page = open_page(port, id);
    watch_number(&page);
    struct figures all = {0};
    for (int run = 0; run < runs; run++) {
        int64_t from = write_module(file, "", 1000 + run);
        snprintf(want, sizeof want, "\"value\":%d", 1000 + run);
        ws_until(&page, want);
        if (run >= 3) figure(&all, (double)(now_ns() - from) / 1e6);
        poll(NULL, 0, 20); /* a pause as between saves of a person, well beyond the quiet window */
    }
    row("save to socket", percentile(&all, 50), "ms", &all);
    client_close(&page);
}

static void bench_burst(int port, const char *folder, int files, int runs)
{
    char id[64], want[64], path[512];
    struct client page = open_page(port, id);
    watch_number(&page);
    struct figures all = {0};
    for (int run = 0; run < runs; run++) {
        int64_t from = 0;
        for (int i = 1; i <= files; i++) {
            snprintf(path, sizeof path, "%s/m%02d.lua", folder, i);
            from = write_module(path, "", 100 + run);
        }
        snprintf(want, sizeof want, "\"value\":%d", files * (100 + run));
        ws_until(&page, want);
        if (run >= 2) figure(&all, (double)(now_ns() - from) / 1e6);
        poll(NULL, 0, 60);
    }
    row("burst of 30 modules", percentile(&all, 50), "ms", &all);
    client_close(&page);
}

struct maker {
    int port, count;
};

static void *make_sessions(void *arg)
{
    struct maker *maker = arg;
    char request[128], head[4096];
    int len = snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", maker->port);
    struct client client = client_open(maker->port);
    for (int i = 0; i < maker->count; i++) {
        send_all(&client, request, (size_t)len);
        size_t got = 0;
        for (;;) {
            ssize_t n = recv(client.fd, head + got, sizeof head - got - 1, 0);
            if (n <= 0) { /* the server ended the keep-alive: a new connection, the same request */
                client_close(&client);
                client = client_open(maker->port);
                send_all(&client, request, (size_t)len);
                got = 0;
                continue;
            }
            got += (size_t)n;
            head[got] = 0;
            char *end = strstr(head, "\r\n\r\n");
            if (!end) continue;
            char *size = strcasestr(head, "Content-Length:");
            if (got >= (size_t)(end + 4 - head) + (size_t)(size ? atoi(size + 15) : 0)) break;
        }
        if (strncmp(head, "HTTP/1.1 302", 12)) die("GET / answered %.40s", head);
    }
    client_close(&client);
    return NULL;
}

static void bench_sessions(int port, int count)
{
    enum { THREADS = 2 };
    pthread_t threads[THREADS];
    struct maker makers[THREADS];
    int64_t from = now_ns();
    for (int i = 0; i < THREADS; i++) {
        makers[i] = (struct maker){port, count / THREADS};
        pthread_create(&threads[i], NULL, make_sessions, &makers[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    row("new sessions", (double)count / ((double)(now_ns() - from) / 1e9), "per second", NULL);
}

static void trigger(struct client *page, int id)
{
    char text[128];
    int n = snprintf(text, sizeof text,
                     "{\"userEvent\":true,\"messages\":[{\"type\":\"update\",\"data\":{\"varId\":%d,\"value\":null}}]}",
                     id);
    ws_send(page, text, (size_t)n);
}

/* One action after the other, each until the frame with the items is there. */
static void measure_action(struct client *page, int id, const char *name, int items, int runs)
{
    struct figures all = {0};
    char text[96];
    size_t out = 0;
    for (int run = 0; run < runs + 5; run++) {
        int64_t from = now_ns();
        trigger(page, id);
        do {
            const char *frame = ws_receive(page, &out, 10000);
            if (!frame) die("no answer to an action");
            if (strstr(frame, "\"varId\":3") || strstr(frame, "\"varId\":7")) break;
        } while (true);
        if (run >= 5) figure(&all, (double)(now_ns() - from) / 1e6);
    }
    printf("{\"name\":\"frame sizes\",\"value\":%zu,\"unit\":\"bytes\",\"in\":75,\"out\":%zu}\n", out, out);
    snprintf(text, sizeof text, "list of %d: %s", items, name);
    row(text, percentile(&all, 50), "ms", &all);
    free(all.at);
}

static void bench_list(int port, int runs, int items)
{
    char id[64];
    struct client page = open_page(port, id);
    ws_say(
        &page,
        "{\"userEvent\":true,\"messages\":[{\"type\":\"create\",\"data\":{\"id\":2,\"parentId\":1,\"properties\":{\"path\":\"list?wrapper=lua.ViewList\",\"access\":\"r\"}}},"
        "{\"type\":\"create\",\"data\":{\"id\":3,\"parentId\":2,\"properties\":{\"path\":\"items\",\"access\":\"r\"}}},"
        "{\"type\":\"create\",\"data\":{\"id\":4,\"parentId\":1,\"properties\":{\"path\":\"append()\",\"access\":\"action\"}}},"
        "{\"type\":\"create\",\"data\":{\"id\":5,\"parentId\":1,\"properties\":{\"path\":\"dropFirst()\",\"access\":\"action\"}}},"
        "{\"type\":\"create\",\"data\":{\"id\":6,\"parentId\":1,\"properties\":{\"path\":\"reverse()\",\"access\":\"action\"}}},"
        "{\"type\":\"create\",\"data\":{\"id\":7,\"parentId\":3,\"properties\":{\"path\":\"0.item\",\"access\":\"r\"}}}]}");
    ws_until(&page, "\"varId\":3");
    measure_action(&page, 4, "one appended", items, runs);
    measure_action(&page, 5, "first removed", items, runs);
    measure_action(&page, 6, "reversed", items, runs); /* items stay, what they show changes (T79) */
    client_close(&page);
}

static void bench_show(int port, int objects)
{
    enum { BATCH = 2000 };
    char id[64], want[64];
    struct client page = open_page(port, id);
    char *frame = malloc(BATCH * 160 + 256);
    size_t in = 0, out = 0;
    int64_t from = now_ns();
    int next = 2, frames = 0, total = objects * 2;
    for (int made = 0; made < total;) {
        size_t len = (size_t)sprintf(frame, "{\"userEvent\":true,\"messages\":[");
        for (int i = 0; i < BATCH && made < total; i += 2, made += 2, next += 2)
            len += (size_t)sprintf(
                frame + len,
                "%s{\"type\":\"create\",\"data\":{\"id\":%d,\"parentId\":1,\"properties\":{\"path\":\"many.%d\"}}},"
                "{\"type\":\"create\",\"data\":{\"id\":%d,\"parentId\":%d,\"properties\":{\"path\":\"name\"}}}",
                i ? "," : "", next, made / 2, next + 1, next);
        len += (size_t)sprintf(frame + len, "]}");
        ws_send(&page, frame, len);
        in += len;
        frames++;
    }
    snprintf(want, sizeof want, "\"varId\":%d,", next - 1);
    for (bool last = false; !last;) {
        size_t got;
        const char *text = ws_receive(&page, &got, 10000);
        if (!text) die("the last value does not come");
        out += got;
        last = strstr(text, want) != NULL;
    }
    double ms = (double)(now_ns() - from) / 1e6;
    printf("{\"name\":\"frame sizes\",\"value\":%d,\"unit\":\"frames\",\"in\":%zu,\"out\":%zu}\n", frames,
           in / (size_t)frames, out / (size_t)frames);
    row("show 50,000 variables", ms, "ms", NULL);
    free(frame);
    client_close(&page);
}

/* All sessions keep a socket; the time ends when the last one has its frame. */
static void bench_fanout(int port, const char *file, int count, int runs)
{
    struct client *pages = calloc((size_t)count, sizeof *pages);
    char id[64], want[64];
    for (int i = 0; i < count; i++) {
        pages[i] = open_page(port, id);
        watch_number(&pages[i]);
    }
    struct figures all = {0};
    for (int run = 0; run < runs; run++) {
        int64_t from = write_module(file, "", 5000 + run);
        snprintf(want, sizeof want, "\"value\":%d", 5000 + run);
        for (int i = 0; i < count; i++)
            ws_until(&pages[i], want);
        figure(&all, (double)(now_ns() - from) / 1e6);
        poll(NULL, 0, 50);
    }
    row("fan-out", percentile(&all, 50), "ms", &all);
    for (int i = 0; i < count; i++)
        client_close(&pages[i]);
    free(pages);
}

static void await_line(void)
{
    char line[16];
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) exit(0);
}

static void bench_idle(int port, int count, bool echo)
{
    struct rlimit files;
    char(*ids)[64] = calloc((size_t)count, sizeof *ids), path[96];
    struct client *pages = calloc((size_t)count, sizeof *pages);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int64_t begun = now_ns();
    for (int i = 0; i < count && !echo; i++)
        new_session(port, ids[i]);
    double sessions = (double)(now_ns() - begun) / 1e9;
    row("sessions made", sessions, "s", NULL);
    await_line();
    begun = now_ns();
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "/ws/%s", ids[i]);
        pages[i] = ws_open(port, path);
        ws_say(&pages[i], watch_app);
        ws_until(&pages[i], echo ? "varId" : "\"varId\":1");
        free(pages[i].bytes); /* nothing more is read */
        pages[i] = (struct client){.fd = pages[i].fd};
    }
    row("pages opened", sessions + (double)(now_ns() - begun) / 1e9, "s", NULL);
    await_line();
}

static int64_t answer_time(struct client *page)
{
    int64_t begun = now_ns();
    trigger(page, 3);
    ws_until(page, "\"varId\":2");
    return now_ns() - begun;
}

static struct client open_counter(int port, const char *action)
{
    char id[64], text[512];
    struct client page = open_page(port, id);
    snprintf(
        text, sizeof text,
        "{\"userEvent\":true,\"messages\":[{\"type\":\"create\",\"data\":{\"id\":2,\"parentId\":1,\"properties\":{\"path\":\"count\",\"access\":\"r\"}}},"
        "{\"type\":\"create\",\"data\":{\"id\":3,\"parentId\":1,\"properties\":{\"path\":\"%s\",\"access\":\"action\"}}}]}",
        action);
    ws_say(&page, text);
    ws_until(&page, "\"varId\":2");
    return page;
}

static atomic_bool going;

static void *keep_busy(void *arg)
{
    struct client *page = arg;
    char *frame = "{\"userEvent\":true,\"messages\":[{\"type\":\"update\",\"data\":{\"varId\":3,\"value\":null}}]}";
    char answer[4096];
    ws_say(page, frame); /* one is always waiting behind the one that runs */
    while (atomic_load(&going)) {
        ws_say(page, frame);
        if (recv(page->fd, answer, sizeof answer, 0) <= 0) die("the busy session has gone");
    }
    return NULL;
}

static void bench_beside(int port, int runs)
{
    struct client quick = open_counter(port, "add()"), slow = open_counter(port, "dwell()");
    pthread_t thread;
    struct timespec pause = {.tv_nsec = 2000000};
    for (int busy = 0; busy < 2; busy++) {
        struct figures taken = {0};
        atomic_store(&going, true);
        if (busy) pthread_create(&thread, NULL, keep_busy, &slow);
        for (int i = 0; i < runs; i++) {
            figure(&taken, (double)answer_time(&quick) / 1000);
            nanosleep(&pause, NULL);
        }
        qsort(taken.at, taken.count, sizeof *taken.at, by_size);
        row(busy ? "p99 beside items of 100 ms" : "p99 alone", taken.at[taken.count * 99 / 100], "us", NULL);
        free(taken.at);
    }
    atomic_store(&going, false);
    pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    const char *what = argc > 2 ? argv[1] : "";
    int port = argc > 2 ? atoi(argv[2]) : 0;
#define ARG(n) (argc > (n) ? atoi(argv[n]) : 0)
    if (!strcmp(what, "start"))
        bench_start(argc - 2, argv + 2);
    else if (!strcmp(what, "roundtrip"))
        bench_roundtrip(port, ARG(3));
    else if (!strcmp(what, "echo"))
        bench_echo(port, ARG(3), ARG(4), argc > 5 ? ARG(5) : 3000);
    else if (!strcmp(what, "events"))
        bench_events(port, ARG(3), ARG(4), false);
    else if (!strcmp(what, "echo-events"))
        bench_events(port, ARG(3), ARG(4), true);
    else if (!strcmp(what, "save") && argc > 4)
        bench_save(port, argv[3], ARG(4));
    else if (!strcmp(what, "burst") && argc > 5)
        bench_burst(port, argv[3], ARG(4), ARG(5));
    else if (!strcmp(what, "sessions"))
        bench_sessions(port, ARG(3));
    else if (!strcmp(what, "list"))
        bench_list(port, ARG(3), ARG(4));
    else if (!strcmp(what, "show"))
        bench_show(port, ARG(3));
    else if (!strcmp(what, "fanout") && argc > 5)
        bench_fanout(port, argv[3], ARG(4), ARG(5));
    else if (!strcmp(what, "idle"))
        bench_idle(port, ARG(3), false);
    else if (!strcmp(what, "idle-echo"))
        bench_idle(port, ARG(3), true);
    else if (!strcmp(what, "beside"))
        bench_beside(port, ARG(3));
    else
        die("usage: wire start|roundtrip|echo|events|echo-events|save|burst|sessions|list|show|fanout|idle|beside …");
    return 0;
}
