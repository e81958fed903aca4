/* lsess sessions: the live sessions of a server as a table, once or refreshed each second (cli.md C1, C6). */
#include "client.h"

#include <string.h>
#include <unistd.h>

static const struct option options[] = {
    {.name = "watch", .letter = 'w', .help = "refresh each second until Ctrl-C"},
    JSON_OPTION,
    SOCKET_OPTION,
    {0},
};

static void print_age(char *out, size_t room, int64_t ms)
{
    long long s = ms / 1000;
    if (s < 60)
        snprintf(out, room, "%llds", s);
    else if (s < 3600)
        snprintf(out, room, "%lldm%02llds", s / 60, s % 60);
    else
        snprintf(out, room, "%lldh%02lldm", s / 3600, s / 60 % 60);
}

static void print_size(char *out, size_t room, int64_t bytes)
{
    if (bytes < 10 << 20)
        snprintf(out, room, "%lldK", (long long)(bytes + 512) >> 10);
    else
        snprintf(out, room, "%lldM", (long long)(bytes + (512 << 10)) >> 20);
}

/* The longest address, so that the column after it is straight. */
static int url_width(struct json sessions)
{
    struct ls_buf url = LS_BUF_INIT;
    struct json session;
    size_t at = 0, width = 3;
    while (json_item(sessions, &at, &session)) {
        json_shown(json_member(session, "url"), &url);
        if (url.len > width) width = url.len;
    }
    ls_buf_release(&url);
    return (int)width;
}

static void print_row(struct json session, int width, bool color)
{
    struct ls_buf name = LS_BUF_INIT, url = LS_BUF_INIT, error = LS_BUF_INIT;
    char age[32], size[32];
    print_age(age, sizeof age, json_int(json_member(session, "age_ms"), 0));
    print_size(size, sizeof size, json_int(json_member(session, "memory"), 0));
    json_shown(json_member(session, "last_error"), &error);
    if (error.len > 0) ls_buf_cut(&error, strcspn(error.data, "\n"));
    printf("%7s %8s %5lld ", json_shown(json_member(session, "session"), &name), age,
           (long long)json_int(json_member(session, "connections"), 0));
    /* One that computes for long did not answer: what only it knows stays open. */
    if (json_true(json_member(session, "busy")))
        printf("%9s %8s %7s", "busy", "-", "-");
    else
        printf("%9lld %8s %7lld", (long long)json_int(json_member(session, "variables"), 0), size,
               (long long)json_int(json_member(session, "modules"), 0));
    json_shown(json_member(session, "url"), &url);
    if (error.len > 0)
        printf("  %-*s  %s%s%s\n", width, ls_buf_text(&url), color ? "\033[31m" : "", error.data,
               color ? "\033[0m" : "");
    else
        printf("  %s\n", ls_buf_text(&url));
    ls_buf_release(&name);
    ls_buf_release(&url);
    ls_buf_release(&error);
}

static void print_table(struct json sessions)
{
    struct json session;
    size_t at = 0;
    bool color = use_color(stdout);
    int width = url_width(sessions);
    if (json_count(sessions) == 0) {
        puts("no session is live; open the site's page to make one");
        return;
    }
    printf("%7s %8s %5s %9s %8s %7s  %-*s  %s\n", "SESSION", "AGE", "TABS", "VARIABLES", "MEMORY", "MODULES", width,
           "URL", "LAST ERROR");
    while (json_item(sessions, &at, &session))
        print_row(session, width, color);
}

static int run(const struct command *command, int argc, char **argv)
{
    const char *socket = NULL;
    bool json = false, watch = false;
    struct words none = {0};
    const struct target targets[] = {{.name = "", .words = &none},
                                     {.name = "json", .flag = &json},
                                     {.name = "watch", .flag = &watch},
                                     {.name = "socket", .text = &socket}};
    int status = arguments_take(command, argc, argv, targets);
    if (status >= 0) return status;
    struct client client;
    status = client_open(&client, socket);
    while (status == STATUS_DONE) {
        struct json answer, line;
        status = client_call(&client, "sessions", "", NULL, NULL, &answer);
        if (status == STATUS_FAILED) client_failure(answer);
        if (status != STATUS_DONE) break;
        struct json sessions = json_member(answer, "sessions");
        if (watch && !json && isatty(STDOUT_FILENO)) fputs("\033[H\033[2J", stdout);
        if (json)
            printf("%.*s\n", (int)sessions.len, sessions.text);
        else
            print_table(sessions);
        fflush(stdout);
        if (!watch) break;
        /* The wait ends early only when the server goes. */
        if (client_line(&client, 1000, &line) < 0) status = client_lost(&client);
    }
    client_close(&client);
    return status;
}

const struct command command_sessions = {.name = "sessions",
                                         .operands = "",
                                         .summary = "List live sessions: age, tabs, variables, memory, last error",
                                         .options = options,
                                         .run = run};
