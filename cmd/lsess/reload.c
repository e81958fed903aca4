/* lsess reload: take up changed files in every session, with or without --watch (cli.md C1, H2). */
#include "client.h"

#include <string.h>

enum { MOST_FILES = 1024 };

static const struct option options[] = {JSON_OPTION, SOCKET_OPTION, {0}};

/* @return did any file fail */
static bool print_results(struct json results)
{
    struct ls_buf session = LS_BUF_INIT, key = LS_BUF_INIT, outcome = LS_BUF_INIT, text = LS_BUF_INIT;
    struct json result;
    size_t at = 0;
    bool failed = false;
    while (json_item(results, &at, &result)) {
        json_string(json_member(result, "session"), &session);
        json_string(json_member(result, "key"), &key);
        json_string(json_member(result, "outcome"), &outcome);
        json_string(json_member(result, "text"), &text);
        if (!text.len) json_string(json_member(result, "details"), &text);
        bool bad = !strcmp(ls_buf_text(&outcome), "failed");
        failed = failed || bad;
        if (session.len) fprintf(bad ? stderr : stdout, "session %s: ", ls_buf_text(&session));
        fprintf(bad ? stderr : stdout, "%s %s%s%s\n", ls_buf_text(&key), ls_buf_text(&outcome), text.len ? ": " : "", ls_buf_text(&text));
    }
    ls_buf_release(&session);
    ls_buf_release(&key);
    ls_buf_release(&outcome);
    ls_buf_release(&text);
    return failed;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct arguments arguments;
    struct argument argument;
    const char *socket = NULL, *files[MOST_FILES];
    size_t count = 0;
    bool json = false;
    int step;
    arguments_init(&arguments, command, argc, argv);
    while ((step = arguments_next(&arguments, &argument)) > 0) {
        if (!argument.option) {
            if (count == MOST_FILES) return usage_error(command, "at most %d files; none means all", MOST_FILES);
            files[count++] = argument.value;
        } else if (!strcmp(argument.option->name, "socket")) {
            socket = argument.value;
        } else {
            json = true;
        }
    }
    if (step < 0) return arguments.status;
    struct client client;
    int status = client_open(&client, socket);
    if (status == STATUS_DONE) {
        struct ls_buf fields = LS_BUF_INIT;
        struct json answer;
        if (count) {
            ls_buf_str(&fields, "\"files\":");
            client_array(&fields, files, count);
        }
        status = client_call(&client, "reload", ls_buf_text(&fields), NULL, NULL, &answer);
        ls_buf_release(&fields);
        if (status == STATUS_FAILED) {
            client_failure(answer);
        } else if (status == STATUS_DONE) {
            struct json results = json_member(answer, "results");
            if (json) printf("%.*s\n", (int)results.len, results.text);
            else if (!json_count(results)) puts("nothing to reload: no session has loaded a file that changed");
            else if (print_results(results)) status = STATUS_FAILED;
        }
    }
    client_close(&client);
    return status;
}

const struct command command_reload = {
    .name = "reload", .operands = "[FILE...]", .summary = "Reload the named files, or all loaded ones, in every session", .options = options,
    .more = "A file is named by its path or its key (lua/main.lua). What has not changed is skipped, and said to be.", .run = run};
