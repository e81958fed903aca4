/* lsess unload: take modules or whole folders out of live sessions, and say what went and what still refers to it (cli.md C5). */
#include "client.h"

#include <string.h>

#include "base/json.h"

enum { MOST_NAMES = 256 };

static const struct option options[] = {
    {.name = "session", .letter = 's', .value = "ID", .help = "only in this session (repeatable)"},
    {.name = "dry-run", .letter = 'n', .help = "say what would go, change nothing"},
    JSON_OPTION,
    SOCKET_OPTION,
    {0},
};

static void print_names(const char *label, struct json names, struct ls_buf *text)
{
    size_t count = json_count(names);
    if (!count) return;
    json_join(names, text);
    printf("  %-16s %zu  %s\n", label, count, ls_buf_text(text));
}

static void print_number(const char *label, int64_t number)
{
    if (number) printf("  %-16s %lld\n", label, (long long)number);
}

static void print_result(struct json result, bool dry)
{
    struct ls_buf text = LS_BUF_INIT, name = LS_BUF_INIT;
    static const struct { const char *label, *member; } lists[] = {{"modules", "modules"}, {"prototypes", "prototypes"},
        {"presenter types", "presenters"}, {"wrappers", "wrappers"}, {"viewdefs", "viewdefs"}};
    json_string(json_member(result, "session"), &text);
    json_string(json_member(result, "name"), &name);
    printf("session %s: %s %s\n", ls_buf_text(&text), ls_buf_text(&name), dry ? "would go" : "is unloaded");
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) print_names(lists[i].label, json_member(result, lists[i].member), &text);
    print_number("timers", json_int(json_member(result, "timers"), 0));
    print_number("watches", json_int(json_member(result, "watches"), 0));
    int64_t freed = json_int(json_member(result, "heap_bytes"), 0);
    if (freed > 0) printf("  %-16s %lld bytes freed\n", "heap", (long long)freed);
    int64_t instances = json_int(json_member(result, "instances"), 0), variables = json_int(json_member(result, "variables"), 0);
    struct json importers = json_member(result, "importers");
    if (instances || variables || json_count(importers)) {
        puts("  still refer to it:");
        print_number("  instances", instances);
        print_number("  variables", variables);
        print_names("  importers", importers, &text);
    }
    ls_buf_release(&text);
    ls_buf_release(&name);
}

static int unload(struct client *client, const char *const *names, size_t name_count, const char *const *sessions, size_t session_count, bool dry, bool json)
{
    struct ls_buf fields = LS_BUF_INIT;
    struct json answer, result;
    ls_buf_str(&fields, "\"names\":");
    client_array(&fields, names, name_count);
    if (session_count) {
        ls_buf_str(&fields, ",\"sessions\":");
        client_array(&fields, sessions, session_count);
    }
    ls_buf_printf(&fields, ",\"dry_run\":%s", dry ? "true" : "false");
    int status = client_call(client, "unload", ls_buf_text(&fields), NULL, NULL, &answer);
    ls_buf_release(&fields);
    if (status == STATUS_FAILED) return client_failure(answer);
    if (status != STATUS_DONE) return status;
    struct json results = json_member(answer, "results");
    if (json) printf("%.*s\n", (int)results.len, results.text);
    size_t at = 0;
    while (!json && json_item(results, &at, &result)) print_result(result, dry);
    if (json_count(results)) return STATUS_DONE;
    return complain(STATUS_FAILED, "no loaded module matches %s%s", names[0], name_count > 1 ? " or the others" : "");
}

static int run(const struct command *command, int argc, char **argv)
{
    struct arguments arguments;
    struct argument argument;
    const char *socket = NULL, *names[MOST_NAMES], *sessions[MOST_NAMES];
    size_t name_count = 0, session_count = 0;
    bool json = false, dry = false;
    int step;
    arguments_init(&arguments, command, argc, argv);
    while ((step = arguments_next(&arguments, &argument)) > 0) {
        if (!argument.option) {
            if (name_count == MOST_NAMES) return usage_error(command, "at most %d names", MOST_NAMES);
            names[name_count++] = argument.value;
        } else if (!strcmp(argument.option->name, "socket")) {
            socket = argument.value;
        } else if (!strcmp(argument.option->name, "session")) {
            if (session_count == MOST_NAMES) return usage_error(command, "at most %d sessions", MOST_NAMES);
            sessions[session_count++] = argument.value;
        } else if (!strcmp(argument.option->name, "json")) {
            json = true;
        } else {
            dry = true;
        }
    }
    if (step < 0) return arguments.status;
    if (!name_count) return usage_error(command, "name a module or a folder, such as apps/myapp");
    struct client client;
    int status = client_open(&client, socket);
    if (status == STATUS_DONE) status = unload(&client, names, name_count, sessions, session_count, dry, json);
    client_close(&client);
    return status;
}

const struct command command_unload = {
    .name = "unload", .operands = "MODULE-OR-DIR...", .summary = "Unload modules from live sessions", .options = options,
    .more = "An argument that is a loaded module's key (apps/myapp/app.lua) or required name unloads that module;\n"
            "one that is a folder (apps/myapp) unloads every module below it. Default: in all sessions.",
    .run = run};
