/* lsess restart: a clean start for sessions: same id and URL, new VM, pages resynchronised (cli.md C1, H69). */
#include "client.h"

#include <string.h>

#include "base/json.h"

enum { MOST_SESSIONS = 256 };

static const struct option options[] = {JSON_OPTION, SOCKET_OPTION, {0}};

static int restart(struct client *client, const char *session, bool json)
{
    struct ls_buf fields = LS_BUF_INIT;
    struct json answer;
    ls_json_put_str(&fields, "session", session);
    int status = client_call(client, "restart", ls_buf_text(&fields), NULL, NULL, &answer);
    ls_buf_release(&fields);
    if (status == STATUS_NO_SERVER) return status;
    if (json) printf("%.*s\n", (int)answer.len, answer.text);
    if (status == STATUS_FAILED) return json ? STATUS_FAILED : client_failure(answer);
    if (!json) printf("session %s has started anew\n", session);
    return STATUS_DONE;
}

static int run(const struct command *command, int argc, char **argv)
{
    const char *socket = NULL, *sessions[MOST_SESSIONS];
    bool json = false;
    struct words words = {.what = "session", .items = sessions, .most = MOST_SESSIONS};
    const struct target targets[] = {
        {.name = "", .words = &words}, {.name = "json", .flag = &json}, {.name = "socket", .text = &socket}};
    int status = arguments_take(command, argc, argv, targets);
    if (status >= 0) return status;
    if (words.count == 0) return usage_error(command, "name a session; `lsess sessions` lists them");
    struct client client;
    status = client_open(&client, socket);
    bool connected = status == STATUS_DONE;
    for (size_t i = 0; connected && i < words.count && status != STATUS_NO_SERVER; i++) {
        int one = restart(&client, sessions[i], json);
        if (one != STATUS_DONE) status = one;
    }
    client_close(&client);
    return status;
}

const struct command command_restart = {
    .name = "restart",
    .operands = "SESSION...",
    .summary = "Give a session a clean start: same URL, new VM, pages follow",
    .options = options,
    .more = "If the new main.lua fails, the session goes on as it was and the command says why.",
    .run = run};
