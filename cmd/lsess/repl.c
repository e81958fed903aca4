/* lsess repl: talk Lua to a live session (cli.md C4). This file: arguments, choosing the session, running an input. */
#include "repl.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"

/* A result of millions of characters helps nobody at a terminal; a program that reads the output gets more of it. */
enum { MOST_CHUNKS = 256, TERMINAL_OUTPUT = 8 << 10, PIPE_OUTPUT = 1 << 20 };

static const struct option options[] = {
    {.name = "execute",
     .letter = 'e',
     .value = "CODE",
     .help = "run CODE and print its values (repeatable), then leave"},
    JSON_OPTION,
    SOCKET_OPTION,
    {0},
};

static volatile sig_atomic_t interrupts;

static void on_interrupt(int number)
{
    (void)number;
    interrupts = 1;
}

/* Without SA_RESTART: the wait for an answer ends, and the interrupt goes to the session. */
static void catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

/* Has Ctrl-C been pressed since the last call? */
static bool is_interrupted(void)
{
    bool was = interrupts;
    interrupts = 0;
    return was;
}

/* The running input holds the first connection; the word to stop it goes through another one. */
static void interrupt_session(struct repl *repl)
{
    struct client other;
    struct ls_buf fields = LS_BUF_INIT;
    struct json answer;
    ls_json_put_str(&fields, "session", repl->session);
    if (client_again(&other, &repl->client) == STATUS_DONE)
        client_call(&other, "interrupt", ls_buf_text(&fields), NULL, NULL, &answer);
    client_close(&other);
    ls_buf_release(&fields);
}

/* A terminal is not spoken to by what the session has in it; elsewhere it is data. */
static void print_to(FILE *out, const char *text, size_t len, const char *indent)
{
    struct ls_buf shown = LS_BUF_INIT;
    if (isatty(fileno(out)))
        ls_text_show(&shown, text, len, indent);
    else
        ls_buf_add(&shown, text, len);
    fwrite(ls_buf_text(&shown), 1, shown.len, out);
    ls_buf_release(&shown);
}

static void print_text(const struct ls_buf *text)
{
    print_to(stdout, ls_buf_text(text), text->len, "");
}

static bool on_event(void *ctx, const char *event, struct json fields)
{
    struct repl *repl = ctx;
    if (*event == '\0') { /* the wait was ended by a signal */
        if (is_interrupted()) {
            if (repl->interactive) putchar('\n'); /* the terminal has shown ^C */
            fflush(stdout);
            if (repl->interrupts++) { /* inside a C function, such as os.execute, nothing is interrupted */
                complain(STATUS_FAILED, "session %s cannot be interrupted at this moment; it goes on without you",
                         repl->session);
                repl->abandoned = true;
                return false;
            }
            interrupt_session(repl);
        }
        return true;
    }
    if (strcmp(event, "print") != 0) return true;
    if (repl->json) {
        printf("%.*s\n", (int)fields.len, fields.text);
    } else {
        struct ls_buf text = LS_BUF_INIT;
        json_string(json_member(fields, "text"), &text);
        print_text(&text);
        ls_buf_release(&text);
    }
    fflush(stdout);
    return true;
}

enum status repl_lost_status(const struct repl *repl)
{
    return repl->abandoned ? STATUS_FAILED : STATUS_NO_SERVER;
}

/* Columns of the terminal; 0 = the output goes elsewhere, where a value is a line. */
static int terminal_width(void)
{
    struct winsize size = {0};
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static int evaluate(struct repl *repl, const char *code, struct json *answer)
{
    struct ls_buf fields = LS_BUF_INIT;
    repl->interrupts = 0;
    ls_json_put_str(&fields, "session", repl->session);
    ls_json_put_bool(&fields, "repl", true);
    ls_json_put_str(&fields, "name", "repl");
    ls_json_put_int(&fields, "max_output", isatty(STDOUT_FILENO) ? TERMINAL_OUTPUT : PIPE_OUTPUT);
    ls_json_put_int(&fields, "width", repl->json ? 0 : terminal_width());
    ls_json_put_str(&fields, "code", code);
    int status = client_call(&repl->client, "eval", ls_buf_text(&fields), on_event, repl, answer);
    ls_buf_release(&fields);
    return status;
}

static void print_error(struct json answer)
{
    struct ls_buf text = LS_BUF_INIT;
    const char *red = use_color(stderr) ? "\033[31m" : "", *plain = *red != '\0' ? "\033[0m" : "";
    json_string(json_member(json_member(answer, "error"), "message"), &text);
    const char *message = ls_buf_text(&text), *end = message + text.len, *trace = NULL, *found = message;
    while ((found = strstr(found, "\nstack traceback:\n")))
        trace = found++; /* the last is Lua's own */
    size_t first = strcspn(message, "\n");
    fputs(red, stderr);
    print_to(stderr, message, first, "");
    fputs(plain, stderr);
    print_to(stderr, message + first, (size_t)((trace ? trace : end) - message) - first, LS_INDENT);
    if (trace) print_to(stderr, trace, (size_t)(end - trace), "");
    fputc('\n', stderr);
    ls_buf_release(&text);
}

enum input_result repl_input(struct repl *repl, const char *code, bool timed)
{
    struct json answer;
    int status = evaluate(repl, code, &answer);
    if (status == STATUS_NO_SERVER || repl->abandoned) return INPUT_LOST;
    if (status == STATUS_DONE && json_true(json_member(answer, "incomplete")) && repl->interactive)
        return INPUT_INCOMPLETE;
    if (repl->json) {
        printf("%.*s\n", (int)answer.len, answer.text);
        return status == STATUS_DONE ? INPUT_DONE : INPUT_FAILED;
    }
    if (status != STATUS_DONE) {
        fflush(stdout);
        print_error(answer);
        return INPUT_FAILED;
    }
    struct ls_buf text = LS_BUF_INIT;
    struct json value = json_member(answer, "json");
    json_string(json_member(answer, "text"), &text);
    /* A value that is the empty string is a line, no value is none. */
    bool empty_string = value.len == 2 && value.text[0] == '"';
    if (text.len > 0 || empty_string) {
        print_text(&text);
        putchar('\n');
    }
    if (timed) printf("%.3f ms\n", (double)json_int(json_member(answer, "ns"), 0) / 1e6);
    fflush(stdout);
    bool incomplete = json_true(json_member(answer, "incomplete"));
    if (incomplete) fprintf(stderr, "the chunk is not complete\n");
    ls_buf_release(&text);
    return incomplete ? INPUT_FAILED : INPUT_DONE;
}

bool repl_value(struct repl *repl, const char *code, struct ls_buf *json)
{
    struct json answer;
    int status = evaluate(repl, code, &answer);
    if (status == STATUS_NO_SERVER || repl->abandoned) return false;
    if (status != STATUS_DONE) { /* the code is ours: a traceback of it tells nobody anything */
        struct ls_buf text = LS_BUF_INIT;
        json_shown(json_member(json_member(answer, "error"), "message"), &text);
        fprintf(stderr, "%.*s\n", (int)strcspn(ls_buf_text(&text), "\n"), ls_buf_text(&text));
        ls_buf_release(&text);
        return false;
    }
    struct json value = json_member(answer, "json");
    ls_buf_clear(json);
    /* The answer may carry the value as JSON, or as a text that holds JSON. */
    if (value.len > 0 && value.text[0] == '"')
        json_string(value, json);
    else
        ls_buf_add(json, value.text, value.len);
    return !ls_buf_failed(json);
}

static void keep_session(struct repl *repl, const char *session)
{
    snprintf(repl->session, sizeof repl->session, "%s", session);
}

/* Any name the server understands becomes the vended id, by asking it to evaluate nothing there. */
static int resolve_session(struct repl *repl, const char *session)
{
    struct ls_buf fields = LS_BUF_INIT, name = LS_BUF_INIT;
    struct json answer;
    ls_json_put_str(&fields, "session", session);
    ls_json_put_str(&fields, "code", "");
    int status = client_call(&repl->client, "eval", ls_buf_text(&fields), NULL, NULL, &answer);
    if (status == STATUS_FAILED) client_failure(answer);
    if (status == STATUS_DONE) {
        json_string(json_member(answer, "session"), &name);
        keep_session(repl, name.len > 0 ? name.data : session);
    }
    ls_buf_release(&fields);
    ls_buf_release(&name);
    return status;
}

int repl_use(struct repl *repl, const char *session)
{
    if (session) return resolve_session(repl, session);
    struct json answer, item, best = {NULL, 0};
    int status = client_call(&repl->client, "sessions", "", NULL, NULL, &answer);
    if (status == STATUS_FAILED) return client_failure(answer);
    if (status != STATUS_DONE) return status;
    struct json sessions = json_member(answer, "sessions");
    size_t at = 0;
    int64_t least = INT64_MAX;
    while (json_item(sessions, &at, &item)) {
        int64_t idle = json_int(json_member(item, "idle_ms"), INT64_MAX - 1);
        if (idle < least) {
            least = idle;
            best = item;
        }
    }
    if (!best.text) return complain(STATUS_FAILED, "no session is live; open the site's page, or use `lsess repl new`");
    struct ls_buf name = LS_BUF_INIT;
    keep_session(repl, json_string(json_member(best, "session"), &name));
    if (json_count(sessions) > 1)
        fprintf(stderr, "session %s, the one active last of %zu (`lsess repl ID` for another)\n", repl->session,
                json_count(sessions));
    ls_buf_release(&name);
    return STATUS_DONE;
}

static void learn_site(struct repl *repl)
{
    struct json answer;
    if (client_call(&repl->client, "ping", "", NULL, NULL, &answer) == STATUS_DONE)
        json_string(json_member(answer, "dir"), &repl->dir);
}

/* Standard input that is no terminal: all of it is one chunk. */
static int run_input(struct repl *repl)
{
    struct ls_buf code = LS_BUF_INIT;
    for (;;) {
        if (!ls_buf_reserve(&code, 65536)) return complain(STATUS_FAILED, "out of memory while reading the input");
        ssize_t n = read(STDIN_FILENO, code.data + code.len, code.cap - code.len - 1);
        if (n < 0 && errno == EINTR) { /* half a chunk must not run */
            ls_buf_release(&code);
            return complain(STATUS_FAILED, "interrupted");
        }
        if (n <= 0) break;
        code.len += (size_t)n;
        code.data[code.len] = 0;
    }
    if (code.len > 0 && memchr(code.data, '\0', code.len)) {
        ls_buf_release(&code);
        return complain(STATUS_FAILED, "the standard input holds a zero byte, so it is no Lua text; nothing was run");
    }
    enum input_result result = repl_input(repl, ls_buf_text(&code), false);
    ls_buf_release(&code);
    return result == INPUT_DONE ? STATUS_DONE : result == INPUT_LOST ? repl_lost_status(repl) : STATUS_FAILED;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct repl repl = {0};
    const char *socket = NULL, *session = NULL, *items[MOST_CHUNKS];
    struct words words = {.what = "session", .items = &session, .most = 1},
                 chunks = {.what = "-e", .items = items, .most = MOST_CHUNKS};
    const struct target targets[] = {{.name = "", .words = &words},
                                     {.name = "execute", .words = &chunks},
                                     {.name = "json", .flag = &repl.json},
                                     {.name = "socket", .text = &socket}};
    int status = arguments_take(command, argc, argv, targets);
    if (status >= 0) return status;
    status = client_open(&repl.client, socket);
    if (status == STATUS_DONE) status = repl_use(&repl, session);
    if (status == STATUS_DONE) {
        catch_interrupts();
        repl.interactive = chunks.count == 0 && isatty(STDIN_FILENO);
        if (repl.interactive) {
            learn_site(&repl);
            status = repl_interact(&repl);
        } else if (chunks.count > 0) {
            for (size_t i = 0; i < chunks.count && status == STATUS_DONE; i++) {
                enum input_result result = repl_input(&repl, items[i], false);
                status = result == INPUT_DONE   ? STATUS_DONE
                         : result == INPUT_LOST ? (int)repl_lost_status(&repl)
                                                : STATUS_FAILED;
            }
        } else {
            status = run_input(&repl);
        }
    }
    client_close(&repl.client);
    ls_buf_release(&repl.dir);
    return status;
}

const struct command command_repl = {
    .name = "repl",
    .operands = "[SESSION]",
    .summary = "Talk Lua to a live session",
    .options = options,
    .more =
        "SESSION is an id as in `lsess sessions` (1), a unique prefix of the id in a session's URL, or `new` for one\n"
        "without a page. Default: the only one, or the one active last. In the shell, .help lists the dot commands.",
    .run = run};
