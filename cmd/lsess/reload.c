/* lsess reload: take up changed files in every session, with or without --watch (cli.md C1, H2). */
#include "client.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "files/fspath.h"

enum { MOST_FILES = 1024 };

static const struct option options[] = {JSON_OPTION, SOCKET_OPTION, {0}};

/* After the outcome: the reason, or what has changed, and how many places kept data or lost it. */
static void print_what(FILE *out, struct json result)
{
    static const char *const names[] = {"kept", "taken", "set_aside", "restored", "gave_way"};
    static const char *const words[] = {"kept", "taken", "set aside", "restored", "gave way"};
    struct ls_buf text = LS_BUF_INIT;
    json_shown(json_member(result, "text"), &text);
    if (text.len == 0) json_shown(json_member(result, "details"), &text);
    const char *before = text.len > 0 ? ", data: " : ": data: ";
    if (text.len > 0) fprintf(out, ": %s", ls_buf_text(&text));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int64_t count = json_int(json_member(result, names[i]), 0);
        if (count == 0) continue;
        fprintf(out, "%s%" PRId64 " %s", before, count, words[i]);
        before = ", ";
    }
    putc('\n', out);
    ls_buf_release(&text);
}

static void print_losses(FILE *out, struct json result)
{
    struct ls_buf text = LS_BUF_INIT;
    struct json losses = json_member(result, "losses"), loss;
    for (size_t at = 0; json_item(losses, &at, &loss);)
        fprintf(out, "  %s\n", json_shown(loss, &text));
    ls_buf_release(&text);
}

/* @param quiet  the results have been printed as JSON
 * @return did any file fail */
static bool print_results(struct json results, bool quiet)
{
    struct ls_buf session = LS_BUF_INIT, key = LS_BUF_INIT, outcome = LS_BUF_INIT;
    struct json result;
    size_t at = 0;
    bool failed = false;
    while (json_item(results, &at, &result)) {
        json_shown(json_member(result, "session"), &session);
        json_shown(json_member(result, "key"), &key);
        json_shown(json_member(result, "outcome"), &outcome);
        bool bad = strcmp(ls_buf_text(&outcome), "failed") == 0;
        failed = failed || bad;
        if (quiet) continue;
        FILE *out = bad ? stderr : stdout;
        if (session.len > 0) fprintf(out, "session %s: ", ls_buf_text(&session));
        fprintf(out, "%s %s", ls_buf_text(&key), ls_buf_text(&outcome));
        print_what(out, result);
        print_losses(out, result);
    }
    ls_buf_release(&session);
    ls_buf_release(&key);
    ls_buf_release(&outcome);
    return failed;
}

/* A name is a path from where the person is, if they are inside of the site and the file is there; else the server
 * takes it from the site.
 * @return the name to send, owned */
static char *name_for_server(const char *file, const char *site)
{
    char here[PATH_MAX];
    struct ls_buf path = LS_BUF_INIT;
    if (*site == '\0' || !getcwd(here, sizeof here) || !ls_path_below(site, here)) return ls_strdup(file);
    ls_path_join(&path, here, file);
    if (!ls_is_file(ls_buf_text(&path))) {
        ls_buf_clear(&path);
        ls_buf_str(&path, file);
    }
    return ls_buf_detach(&path, NULL);
}

static int reload(struct client *client, const char *const *files, size_t count, bool json)
{
    struct ls_buf fields = LS_BUF_INIT, site = LS_BUF_INIT;
    struct json answer;
    const char *names[MOST_FILES];
    int status = STATUS_DONE;
    if (count > 0) {
        status = client_call(client, "ping", "", NULL, NULL, &answer);
        if (status == STATUS_DONE) json_string(json_member(answer, "dir"), &site);
        for (size_t i = 0; i < count; i++)
            names[i] = name_for_server(files[i], ls_buf_text(&site));
        client_array(&fields, "files", names, count);
        for (size_t i = 0; i < count; i++)
            ls_free((char *)names[i]);
    }
    if (status == STATUS_DONE) status = client_call(client, "reload", ls_buf_text(&fields), NULL, NULL, &answer);
    ls_buf_release(&fields);
    ls_buf_release(&site);
    if (status == STATUS_FAILED) return client_failure(answer);
    if (status != STATUS_DONE) return status;
    struct json results = json_member(answer, "results");
    if (json)
        printf("%.*s\n", (int)results.len, results.text);
    else if (json_count(results) == 0)
        puts("nothing to reload: no session has loaded any of it");
    return print_results(results, json) ? STATUS_FAILED : STATUS_DONE;
}

static int run(const struct command *command, int argc, char **argv)
{
    const char *socket = NULL, *files[MOST_FILES];
    bool json = false;
    struct words words = {.what = "file", .items = files, .most = MOST_FILES};
    const struct target targets[] = {
        {.name = "", .words = &words}, {.name = "json", .flag = &json}, {.name = "socket", .text = &socket}};
    int status = arguments_take(command, argc, argv, targets);
    if (status >= 0) return status;
    struct client client;
    status = client_open(&client, socket);
    if (status == STATUS_DONE) status = reload(&client, files, words.count, json);
    client_close(&client);
    return status;
}

const struct command command_reload = {
    .name = "reload",
    .operands = "[FILE...]",
    .summary = "Reload the named files, or all loaded ones, in every session",
    .options = options,
    .more = "A file is named by its path or its key (lua/main.lua). What has not changed is skipped, and said to be.",
    .run = run};
