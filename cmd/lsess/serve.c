/* lsess serve: serve a site until told to stop (C2). Start lines, terminal keys, signals; the server itself is
 * lib/server's.
 *
 * The signal handler only writes the signal's number to a pipe that is read here. (Blocking the signals and reading a
 * descriptor would hand the blocked mask down to every program that Lua code starts.) A second SIGINT leaves at once.
 * */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "files/fspath.h"
#include "json.h"
#include "settings.h"

struct serving {
    struct settings settings;
    struct ls_server *server;
    struct ls_server_ready ready;
    bool color;
    int signals; /* reading end of the pipe */
};

static const char *paint(const struct serving *serving, const char *sequence)
{
    return serving->color ? sequence : "";
}

#define GREEN "\033[32m"
#define RED   "\033[31m"
#define CYAN  "\033[36m"
#define BOLD  "\033[1m"
#define DIM   "\033[2m"
#define PLAIN "\033[0m"

/* --- start lines --- */

/* A folder below the current one is shown as ./name, one of the user's as ~/name. */
static void show_dir(struct ls_buf *out, const char *dir)
{
    char *here = ls_path_real(".", NULL);
    const char *home = getenv("HOME");
    ls_buf_clear(out);
    if (here && strcmp(here, dir) == 0)
        ls_buf_str(out, ".");
    else if (here && ls_path_below(here, dir) && here[1] != '\0')
        ls_buf_printf(out, ".%s", dir + strlen(here));
    else if (home && home[0] == '/' && home[1] != '\0' && ls_path_below(home, dir))
        ls_buf_printf(out, "~%s", dir + strlen(home));
    else
        ls_buf_str(out, dir);
    ls_free(here);
}

static void print_ready_json(const struct serving *serving)
{
    const struct ls_server_ready *ready = &serving->ready;
    struct ls_buf line = LS_BUF_INIT;
    ls_json_open(&line, NULL, '{');
    ls_json_put_str(&line, "event", "ready");
    ls_json_put_str(&line, "url", ready->url);
    if (ready->urls[0]) {
        ls_json_open(&line, "urls", '[');
        for (const char *const *url = ready->urls; *url; url++)
            ls_json_put_str(&line, NULL, *url);
        ls_buf_char(&line, ']');
    }
    if (ready->fingerprint) ls_json_put_str(&line, "fingerprint", ready->fingerprint);
    ls_json_put_str(&line, "dir", ready->dir);
    ls_json_put_str(&line, "socket", ready->socket_path);
    ls_json_put_int(&line, "pid", getpid());
    ls_json_put_bool(&line, "watching", ready->watching);
    ls_buf_str(&line, "}\n");
    fputs(ls_buf_text(&line), stderr);
    ls_buf_release(&line);
}

static void print_url(const struct serving *serving)
{
    fprintf(stderr, "  %s➜%s  Local:    %s%s%s\n", paint(serving, GREEN), paint(serving, PLAIN), paint(serving, CYAN),
            serving->ready.url, paint(serving, PLAIN));
}

static void print_start(const struct serving *serving, int64_t begun_ns)
{
    const struct ls_server_ready *ready = &serving->ready;
    struct ls_buf dir = LS_BUF_INIT;
    int port = serving->settings.server.port;
    if (port != 0 && port != ready->port) fprintf(stderr, "lsess: port %d is taken, using %d\n", port, ready->port);
    fprintf(stderr, "\n%slsess %s%s  ready in %" PRId64 " ms\n", paint(serving, BOLD), LS_VERSION,
            paint(serving, PLAIN), (ls_now_ns() - begun_ns + 999999) / 1000000);
    print_url(serving);
    for (const char *const *url = ready->urls; *url; url++) {
        fprintf(stderr, "  %s➜%s  Also:     %s", paint(serving, GREEN), paint(serving, PLAIN), paint(serving, CYAN));
        show(stderr, *url, strlen(*url));
        fprintf(stderr, "%s\n", paint(serving, PLAIN));
    }
    if (ready->fingerprint)
        fprintf(stderr, "  %s➜%s  SHA-256:  %s\n", paint(serving, GREEN), paint(serving, PLAIN), ready->fingerprint);
    if (ready->dir)
        show_dir(&dir, ready->dir);
    else
        ls_buf_str(&dir, "the built-in demo");
    fprintf(stderr, "  %s➜%s  Site:     ", paint(serving, GREEN), paint(serving, PLAIN));
    show(stderr, ls_buf_text(&dir), dir.len);
    fprintf(stderr, "  (%zu Lua file%s, %zu viewdef%s%s)\n", ready->lua_files, ready->lua_files == 1 ? "" : "s",
            ready->viewdefs, ready->viewdefs == 1 ? "" : "s", ready->watching ? ", watching" : "");
    fprintf(stderr, "  %s➜%s  Control:  ", paint(serving, GREEN), paint(serving, PLAIN));
    show(stderr, ready->socket_path, strlen(ready->socket_path));
    fputc('\n', stderr);
    if (isatty(STDIN_FILENO))
        fprintf(stderr, "  %spress h + enter for help%s\n", paint(serving, DIM), paint(serving, PLAIN));
    ls_buf_release(&dir);
}

/* --- saves --- */

/* A line of an excerpt: `  12 | text` or the caret's. */
static bool is_source(const char *line, size_t len)
{
    size_t at = 0;
    while (at < len && (line[at] == ' ' || (line[at] >= '0' && line[at] <= '9')))
        at++;
    return at > 2 && at < len && line[at] == '|';
}

/* Errors stand out, what surrounds them does not. */
static void paint_more(const struct serving *serving, struct ls_buf *out, const struct ls_save_report *report)
{
    const char *line = report->more;
    for (bool first = true; line && *line != '\0'; first = false) {
        size_t len = strcspn(line, "\n");
        bool source = is_source(line, len),
             caret = source && memchr(line, '^', len) && strncmp(line, "        |", 9) == 0;
        const char *color = caret ? RED
                            : source || first || report->kind != LS_SAVE_FAILED || ls_has_prefix(line, "    at ")
                                ? DIM
                                : BOLD;
        ls_buf_str(out, paint(serving, color));
        ls_text_show(out, line, len, NULL);
        ls_buf_str(out, paint(serving, PLAIN));
        line = line[len] == '\n' ? line + len + 1 : NULL;
        if (line) ls_buf_char(out, '\n');
    }
    ls_buf_char(out, '\n');
}

/* One line, and the error with its excerpt; written by one call so that threads do not mix. */
static void print_report(void *ctx, const struct ls_save_report *report)
{
    static const char *const colors[] = {[LS_SAVE_TAKEN] = GREEN, [LS_SAVE_IDLE] = DIM, [LS_SAVE_FAILED] = RED};
    const struct serving *serving = ctx;
    time_t now = time(NULL);
    struct tm parts;
    char clock[16];
    struct ls_buf out = LS_BUF_INIT;
    localtime_r(&now, &parts);
    strftime(clock, sizeof clock, "%H:%M:%S", &parts);
    ls_buf_printf(&out, "%s%s%s  ", paint(serving, DIM), clock, paint(serving, PLAIN));
    ls_text_show(&out, report->files, strlen(report->files), NULL);
    ls_buf_printf(&out, "  %s%s%s  %s%.1f ms%s", paint(serving, colors[report->kind]), report->outcome,
                  paint(serving, PLAIN), paint(serving, DIM), report->ms, paint(serving, PLAIN));
    paint_more(serving, &out, report);
    if (*report->losses) ls_buf_printf(&out, "%s%s%s", paint(serving, BOLD), report->losses, paint(serving, PLAIN));
    if (!ls_buf_failed(&out)) fwrite(out.data, 1, out.len, stderr);
    ls_buf_release(&out);
}

/* --- the browser --- */

/* The command is the user's BROWSER or what the desktop has; no shell runs it. Other users can see the arguments of a
 * program, so a token is not among them. */
static void open_browser(const struct serving *serving)
{
    char url[512];
    snprintf(url, sizeof url, "%.*s", (int)strcspn(serving->ready.url, "?"), serving->ready.url);
    const char *const candidates[] = {getenv("BROWSER"), "xdg-open", "open", NULL};
    pid_t child = fork();
    if (child == 0) {
        if (fork() != 0) _exit(0);
        setsid();
        for (size_t i = 0; i < 3; i++)
            if (candidates[i] && candidates[i][0] != '\0') execlp(candidates[i], candidates[i], url, (char *)NULL);
        static const char text[] = "lsess: no browser could be started; BROWSER names one\n";
        if (write(STDERR_FILENO, text, sizeof text - 1) < 0) _exit(1);
        _exit(1);
    }
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* --- keys --- */

static void print_sessions(struct serving *serving)
{
    struct ls_buf rows = LS_BUF_INIT, text = LS_BUF_INIT;
    struct json row;
    size_t at = 0, count = 0;
    if (ls_server_sessions_json(serving->server, &rows) == 0) {
        struct json array = {ls_buf_text(&rows), rows.len};
        while (json_item(array, &at, &row)) {
            count++;
            int64_t pages = json_int(json_member(row, "connections"), 0),
                    variables = json_int(json_member(row, "variables"), 0);
            fprintf(stderr, "  %-4s", json_shown(json_member(row, "session"), &text));
            fprintf(stderr, " %s  %" PRId64 " page%s, %" PRId64 " variable%s, %" PRId64 " KiB\n",
                    json_shown(json_member(row, "url"), &text), pages, pages == 1 ? "" : "s", variables,
                    variables == 1 ? "" : "s", json_int(json_member(row, "memory"), 0) / 1024);
        }
    }
    if (count == 0) fputs("  no sessions\n", stderr);
    ls_buf_release(&rows);
    ls_buf_release(&text);
}

static void reload_all(struct serving *serving)
{
    LS_ERR(err);
    if (ls_server_reload_all(serving->server, &err) < 0)
        complain(STATUS_FAILED, "%s", ls_err_text(&err)[0] != '\0' ? ls_err_text(&err) : "the reload failed");
}

/* @return false to quit */
static bool take_key(struct serving *serving, char key)
{
    switch (key) {
    case 'h':
        fputs(
            "  h  this help\n  r  reload all files\n  u  show the address\n  o  open the browser\n  s  list sessions\n  q  quit\n",
            stderr);
        return true;
    case 'r': reload_all(serving); return true;
    case 'u': print_url(serving); return true;
    case 'o': open_browser(serving); return true;
    case 's': print_sessions(serving); return true;
    case 'q': return false;
    default: return true;
    }
}

/* @return 1 go on, 0 quit, -1 standard input is over */
static int take_keys(struct serving *serving)
{
    char text[256];
    ssize_t n = read(STDIN_FILENO, text, sizeof text);
    if (n <= 0) return n < 0 && errno == EINTR ? 1 : -1;
    for (ssize_t i = 0; i < n; i++)
        if (text[i] != '\n' && (i == 0 || text[i - 1] == '\n') && (i + 1 == n || text[i + 1] == '\n') &&
            !take_key(serving, text[i]))
            return 0;
    return 1;
}

/* --- until the end --- */

static void wait_for_end(struct serving *serving)
{
    struct pollfd wait[2] = {{.fd = serving->signals, .events = POLLIN},
                             {.fd = isatty(STDIN_FILENO) ? STDIN_FILENO : -1, .events = POLLIN}};
    for (;;) {
        if (poll(wait, 2, -1) < 0 && errno != EINTR) return;
        unsigned char signal_number;
        if ((wait[0].revents & POLLIN) != 0 && read(serving->signals, &signal_number, 1) == 1) {
            if (signal_number == SIGINT && isatty(STDIN_FILENO) && isatty(STDERR_FILENO))
                fputc('\n', stderr); /* the terminal has shown ^C; the shell's prompt is not to stand behind it */
            if (signal_number != SIGHUP) return;
            reload_all(serving);
        }
        if (wait[1].revents != 0) {
            int rc = take_keys(serving);
            if (rc == 0) return;
            if (rc < 0) wait[1].fd = -1;
        }
    }
}

/* While the server stops, a second SIGINT leaves at once; the socket file it leaves behind is stale and will be
 * replaced. */
static void *watch_second(void *ctx)
{
    struct serving *serving = ctx;
    unsigned char signal_number;
    while (read(serving->signals, &signal_number, 1) == 1)
        if (signal_number != SIGHUP) _exit(128 + signal_number);
    return NULL;
}

static int signal_pipe; /* writing end; set before the handler is */

static void on_signal(int signal_number)
{
    int before = errno;
    unsigned char byte = (unsigned char)signal_number;
    if (write(signal_pipe, &byte, 1) < 0) byte = 0; /* the pipe is full of signals already */
    errno = before;
}

/* @return the reading end, -1 without one */
static int catch_signals(void)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return -1;
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    signal_pipe = ends[1];
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaction(numbers[i], &action, NULL);
    return ends[0];
}

static int serve(struct serving *serving, int64_t begun_ns)
{
    struct settings *settings = &serving->settings;
    struct ls_log_config log = {.verbosity = settings->verbosity,
                                .json = settings->json_log,
                                .color = !settings->log_file && use_color(stderr),
                                .file = settings->log_file};
    LS_ERR(err);
    if (ls_log_open(&log, &err) < 0) return complain(STATUS_FAILED, "%s", ls_err_text(&err));
    serving->color = use_color(stderr);
    if (settings->ignored.len > 0)
        ls_log(0, "Not taken from the site's lsess.lua, which --sandbox lets set nothing that reaches outside: %s.",
               ls_buf_text(&settings->ignored));
    if (!settings->json_log) {
        settings->server.on_report = print_report;
        settings->server.report_ctx = serving;
        settings->server.reports_shown = !settings->log_file;
    }
    serving->server = ls_server_open(&settings->server, &err);
    if (!serving->server) return complain(STATUS_FAILED, "%s", ls_err_text(&err));
    ls_server_ready(serving->server, &serving->ready);
    if (settings->json_log)
        print_ready_json(serving);
    else
        print_start(serving, begun_ns);
    if (settings->open) open_browser(serving);
    wait_for_end(serving);
    pthread_t second;
    if (pthread_create(&second, NULL, watch_second, serving) == 0) pthread_detach(second);
    /* with threads that cannot be ended there is nothing to free, and exit() might wait for their streams */
    if (!ls_server_stop(serving->server)) _exit(STATUS_DONE);
    return STATUS_DONE;
}

static int run(const struct command *command, int argc, char **argv)
{
    int64_t begun_ns = ls_now_ns();
    struct serving serving = {0};
    int status;
    /* Until the settings are read nobody reads the pipe: a Ctrl-C has to end a lsess.lua that is stuck inside of a C
     * function. */
    if (settings_read(&serving.settings, command, argc, argv, &status) > 0) {
        serving.signals = catch_signals();
        status = serving.signals < 0 ? complain(STATUS_FAILED, "no pipe for signals: %s", strerror(errno))
                                     : serve(&serving, begun_ns);
    }
    ls_log_close();
    settings_release(&serving.settings);
    return status;
}

const struct command command_serve = {
    .name = "serve",
    .operands = "[DIR]",
    .summary = "Serve the site in DIR",
    .options = settings_options,
    .more =
        "Without DIR: the current folder when it looks like a site, else the built-in demo. Settings come from flags, then LSESS_NAME in the\n"
        "environment, then lsess.lua in the site folder. SIZE is a number of bytes, or with K, M, G; DUR a number with ms, s, m, h, or 0.\n"
        "A limit of 0 is none, except for --max-connections.",
    .run = run,
};
