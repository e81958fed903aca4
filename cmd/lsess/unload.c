/* lsess unload: take modules or whole folders out of live sessions, and say what went and what still refers to it
 * (cli.md C5). With --list: what could go, which shell completion offers. */
#include "client.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/json.h"

enum { MOST_NAMES = 256 };

/* What was asked for. */
struct wish {
    struct words names, sessions;
    bool dry_run, json;
};

static const struct option options[] = {
    {.name = "session", .letter = 's', .value = "ID", .help = "only in this session (repeatable)"},
    {.name = "dry-run", .letter = 'n', .help = "say what would go, change nothing"},
    {.name = "list", .letter = 'l', .help = "print the keys of what is loaded, unload nothing"},
    JSON_OPTION,
    SOCKET_OPTION,
    {0},
};

static void print_names(const char *label, struct json names, struct ls_buf *text)
{
    size_t count = json_count(names);
    if (count == 0) return;
    json_join(names, text);
    printf("  %-16s %zu  %s\n", label, count, ls_buf_text(text));
}

static void print_number(const char *label, int64_t number)
{
    if (number != 0) printf("  %-16s %lld\n", label, (long long)number);
}

static void print_result(struct json result, bool dry)
{
    struct ls_buf text = LS_BUF_INIT, name = LS_BUF_INIT;
    static const struct {
        const char *label, *member;
    } lists[] = {{"modules", "modules"},
                 {"prototypes", "prototypes"},
                 {"presenter types", "presenters"},
                 {"wrappers", "wrappers"},
                 {"viewdefs", "viewdefs"}};
    json_shown(json_member(result, "session"), &text);
    json_shown(json_member(result, "name"), &name);
    printf("session %s: %s %s\n", ls_buf_text(&text), ls_buf_text(&name), dry ? "would go" : "is unloaded");
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        print_names(lists[i].label, json_member(result, lists[i].member), &text);
    print_number("timers", json_int(json_member(result, "timers"), 0));
    print_number("watches", json_int(json_member(result, "watches"), 0));
    int64_t freed = json_int(json_member(result, "heap_bytes"), 0);
    if (freed > 0) printf("  %-16s %lld bytes freed\n", "heap", (long long)freed);
    int64_t instances = json_int(json_member(result, "instances"), 0),
            variables = json_int(json_member(result, "variables"), 0);
    struct json importers = json_member(result, "importers");
    if (instances > 0 || variables > 0 || json_count(importers) > 0) {
        puts("  still refer to it:");
        print_number("  instances", instances);
        print_number("  variables", variables);
        print_names("  importers", importers, &text);
    }
    ls_buf_release(&text);
    ls_buf_release(&name);
}

static int unload(struct client *client, const struct wish *wish)
{
    struct ls_buf fields = LS_BUF_INIT;
    struct json answer, result;
    client_array(&fields, "names", wish->names.items, wish->names.count);
    if (wish->sessions.count > 0) client_array(&fields, "sessions", wish->sessions.items, wish->sessions.count);
    ls_json_put_bool(&fields, "dry_run", wish->dry_run);
    int status = client_call(client, "unload", ls_buf_text(&fields), NULL, NULL, &answer);
    ls_buf_release(&fields);
    if (status == STATUS_FAILED) return client_failure(answer);
    if (status != STATUS_DONE) return status;
    struct json results = json_member(answer, "results");
    if (wish->json) printf("%.*s\n", (int)results.len, results.text);
    size_t at = 0;
    while (!wish->json && json_item(results, &at, &result))
        print_result(result, wish->dry_run);
    if (json_count(results) > 0) return STATUS_DONE;
    return complain(STATUS_FAILED, "no loaded module matches %s%s; `lsess unload --list` names those that are loaded",
                    wish->names.items[0], wish->names.count > 1 ? " or the others" : "");
}

/* --- --list --- */

struct listing {
    char **keys; /* owned, each owned */
    size_t count, room;
    struct ls_buf json;
};

static void add_key(struct listing *listing, const char *key)
{
    char *copy = ls_strdup(key);
    if (!copy || !LS_PUSH(listing->keys, listing->count, listing->room, copy)) ls_free(copy);
}

static void add_session(struct listing *listing, struct json session)
{
    struct ls_buf key = LS_BUF_INIT;
    struct json modules = json_member(session, "modules"), module;
    struct json name = json_member(session, "session");
    size_t at = 0;
    ls_json_open(&listing->json, NULL, '{');
    ls_json_put_raw(&listing->json, "session", name.text, name.len);
    ls_json_open(&listing->json, "modules", '[');
    while (json_item(modules, &at, &module)) {
        add_key(listing, json_string(json_member(module, "key"), &key));
        ls_json_put_str(&listing->json, NULL, ls_buf_text(&key));
    }
    ls_buf_str(&listing->json, "]}");
    ls_buf_release(&key);
}

/* One session, NULL = all. */
static int ask_loaded(struct client *client, const char *session, struct listing *listing)
{
    struct ls_buf fields = LS_BUF_INIT;
    struct json answer, item;
    size_t at = 0;
    if (session) ls_json_put_str(&fields, "session", session);
    int status = client_call(client, "state", ls_buf_text(&fields), NULL, NULL, &answer);
    ls_buf_release(&fields);
    if (status == STATUS_FAILED) return client_failure(answer);
    while (status == STATUS_DONE && json_item(json_member(answer, "sessions"), &at, &item))
        add_session(listing, item);
    return status;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_loaded(struct client *client, const struct wish *wish)
{
    struct listing listing = {0};
    int status = wish->sessions.count > 0 ? STATUS_DONE : ask_loaded(client, NULL, &listing);
    for (size_t i = 0; i < wish->sessions.count && status == STATUS_DONE; i++)
        status = ask_loaded(client, wish->sessions.items[i], &listing);
    if (status == STATUS_DONE && wish->json) printf("[%s]\n", ls_buf_text(&listing.json));
    if (listing.count > 0) qsort(listing.keys, listing.count, sizeof *listing.keys, compare_keys);
    for (size_t i = 0; i < listing.count; i++) {
        bool again = i + 1 < listing.count && strcmp(listing.keys[i], listing.keys[i + 1]) == 0;
        if (status == STATUS_DONE && !wish->json && !again) puts(listing.keys[i]);
    }
    for (size_t i = 0; i < listing.count; i++)
        ls_free(listing.keys[i]);
    ls_free(listing.keys);
    ls_buf_release(&listing.json);
    return status;
}

static int run(const struct command *command, int argc, char **argv)
{
    const char *socket = NULL, *names[MOST_NAMES], *sessions[MOST_NAMES];
    bool list = false;
    struct wish wish = {.names = {.what = "name", .items = names, .most = MOST_NAMES},
                        .sessions = {.what = "session", .items = sessions, .most = MOST_NAMES}};
    const struct target targets[] = {
        {.name = "", .words = &wish.names},         {.name = "session", .words = &wish.sessions},
        {.name = "dry-run", .flag = &wish.dry_run}, {.name = "list", .flag = &list},
        {.name = "json", .flag = &wish.json},       {.name = "socket", .text = &socket}};
    int status = arguments_take(command, argc, argv, targets);
    if (status >= 0) return status;
    if (list && wish.names.count > 0) return usage_error(command, "--list takes no names");
    if (!list && wish.names.count == 0) return usage_error(command, "name a module or a folder, such as apps/myapp");
    struct client client;
    status = client_open(&client, socket);
    if (status == STATUS_DONE) status = list ? list_loaded(&client, &wish) : unload(&client, &wish);
    client_close(&client);
    return status;
}

const struct command command_unload = {
    .name = "unload",
    .operands = "MODULE-OR-DIR...",
    .summary = "Unload modules from live sessions",
    .options = options,
    .more = "An argument that is a loaded module's key (apps/myapp/app.lua) or required name unloads that module;\n"
            "one that is a folder (apps/myapp) unloads every module below it. Default: in all sessions.",
    .run = run};
