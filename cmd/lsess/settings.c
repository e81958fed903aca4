/* Reading the settings of `lsess serve` (C2). Each setting is one line of the table: its flag, its kind and range,
 * where its value goes. Sources are read from the strongest to the weakest, and a setting that has a value is left
 * alone. */
#include "settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/text.h"
#include "files/fspath.h"
#include "http/http.h"
#include "vm/site_config.h"

enum kind { SWITCH, TRISTATE, INT, INT64, COUNT, DURATION, SIZE, TEXT, PATH, LIST, VERBOSE };

enum source { FROM_DEFAULT, FROM_FILE, FROM_ENVIRONMENT, FROM_FLAG };

/* name, letter, value in usage, kind, least, most, field, help */
#define SETTINGS(X)                                                                                                    \
    X("dir", 0, "DIR", TEXT, 0, 0, dir, "the site folder; the same as the operand")                                    \
    X("host", 0, "ADDR", LIST, 0, 0, hosts, "listen on this address, or unix:PATH (default 127.0.0.1; repeatable)")    \
    X("port", 0, "N", INT, 0, 65535, server.port, "port (default 8080; 0 = any free one)")                             \
    X("watch", 'w', NULL, SWITCH, 0, 0, server.watch, "hot reload: take up saved files")                               \
    X("open", 0, NULL, SWITCH, 0, 0, open, "open the browser")                                                         \
    X("socket", 0, "PATH", PATH, 0, 0, server.socket_path, "control socket (default: named after the site)")           \
    X("debounce", 0, "MS", INT64, 0, 60000, server.debounce_ms,                                                        \
      "quiet time before a save is taken up (default 5, 20 for several files)")                                        \
    X("poll", 0, "MS", INT64, 0, 3600000, server.poll_ms,                                                              \
      "look at watched folders this often, where events are missing")                                                  \
    X("session-timeout", 0, "DUR", DURATION, 0, 0, server.session_timeout_ms,                                          \
      "end sessions without pages after this time (default 24h; 0 = never)")                                           \
    X("heartbeat", 0, "DUR", DURATION, 0, 0, server.page_heartbeat_ms,                                                 \
      "an idle page asks this often whether the server is there (default 20s; 0 = never)")                             \
    X("memory-limit", 0, "SIZE", SIZE, 0, 0, server.memory_limit, "what a session keeps in memory (default 256M)")     \
    X("time-limit", 0, "DUR", DURATION, 0, 0, server.time_limit_ms, "time of one piece of work in Lua (default 5s)")   \
    X("workers", 0, "N", INT, 1, 1024, server.workers,                                                                 \
      "threads that run Lua (default: number of processors, at least 2)")                                              \
    X("max-frame", 0, "SIZE", SIZE, 0, 0, server.max_frame, "largest message of a page (default 64M)")                 \
    X("max-messages", 0, "N", COUNT, 0, 1000000000, server.max_messages,                                               \
      "messages in one frame of a page (default 10000)")                                                               \
    X("max-outbox", 0, "SIZE", SIZE, 0, 0, server.max_outbox,                                                          \
      "bytes that may wait for a page that does not read (default 16M)")                                               \
    X("ping", 0, "DUR", DURATION, 0, 0, server.ping_ms,                                                                \
      "a page that is silent for so long is pinged (default 20s; 0 = never)")                                          \
    X("http-workers", 0, "N", INT, 1, 1024, server.http_workers,                                                       \
      "threads that serve requests; no page holds one (default 32)")                                                   \
    X("loops", 0, "N", INT, 1, 64, server.loops, "threads that read what pages send (default 1)")                      \
    X("no-deflate", 0, NULL, SWITCH, 0, 0, server.no_deflate, "never compress messages of pages")                      \
    X("max-connections", 0, "N", INT, 1, 1000000, server.max_connections,                                              \
      "connected pages in all (default 10000, as far as the system allows so many files)")                             \
    X("max-session-connections", 0, "N", INT, 0, 10000, server.max_session_connections,                                \
      "connected pages of one session (default 32)")                                                                   \
    X("max-sessions", 0, "N", COUNT, 0, 1000000000, server.max_sessions, "sessions (default 10000)")                   \
    X("max-variables", 0, "N", COUNT, 0, 1000000000, server.max_variables,                                             \
      "variables of one session (default 100000)")                                                                     \
    X("max-properties", 0, "N", COUNT, 0, 1000000000, server.max_properties,                                           \
      "properties of one variable (default 256)")                                                                      \
    X("max-timers", 0, "N", COUNT, 0, 1000000000, server.max_timers, "pending timers of one session (default 10000)")  \
    X("allow-origin", 0, "ORIGIN", LIST, 0, 0, origins,                                                                \
      "accept pages of this origin too, and its host name (repeatable)")                                               \
    X("allow-frame", 0, "ORIGIN", LIST, 0, 0, embedders, "let pages of this origin show ours in a frame (repeatable)") \
    X("trust-proxy", 0, "ADDR", LIST, 0, 0, proxies,                                                                   \
      "believe what this proxy says of its clients: an address or a net (repeatable)")                                 \
    X("trust-forwarded", 0, NULL, SWITCH, 0, 0, server.trust_forwarded,                                                \
      "believe the header Forwarded of these proxies too")                                                             \
    X("auth-header", 0, "NAME", TEXT, 0, 0, server.auth_header, "header of these proxies that names the user")         \
    X("auth", 0, "FILE", PATH, 0, 0, server.auth_file, "ask for name and password, as in this file of htpasswd's")     \
    X("base-path", 0, "PATH", TEXT, 0, 0, server.base_path, "what addresses begin with behind a proxy, such as /tool") \
    X("allow-lua-property", 0, NULL, TRISTATE, 0, 0, server.lua_property,                                              \
      "let pages run Lua code by the property `lua` (default: only pages of the user who serves)")                     \
    X("sandbox", 0, NULL, SWITCH, 0, 0, server.sandbox,                                                                \
      "distrust the site: no io, os.execute and the like, no file outside of it")                                      \
    X("env", 0, "NAME", LIST, 0, 0, env,                                                                               \
      "with --sandbox, let Lua code read this variable of the environment (repeatable)")                               \
    X("client", 0, "WHICH", TEXT, 0, 0, client,                                                                        \
      "builtin: /main-*.js is always the built-in client; site (default): only where the file is missing")             \
    X("strict-port", 0, NULL, SWITCH, 0, 0, server.strict_port,                                                        \
      "fail when the port is taken, do not try the next ones")                                                         \
    X("keep-removed-methods", 0, NULL, SWITCH, 0, 0, server.keep_removed_methods,                                      \
      "a reload does not remove methods that are gone from the file")                                                  \
    X("https", 0, NULL, SWITCH, 0, 0, https, "serve https and wss; without --cert with a certificate made here")       \
    X("cert", 0, "FILE", PATH, 0, 0, server.cert, "certificate (PEM): serve https and wss")                            \
    X("key", 0, "FILE", PATH, 0, 0, server.key, "private key of the certificate (PEM)")                                \
    X("verbose", 'v', NULL, VERBOSE, 0, 4, verbosity,                                                                  \
      "say more: -v connections and reloads, -vv messages, -vvv variables, -vvvv payloads")                            \
    X("log-file", 0, "FILE", PATH, 0, 0, log_file, "append the log to a file")                                         \
    X("json-log", 0, NULL, SWITCH, 0, 0, json_log, "log, start line and reloads as JSON, one object a line")           \
    X("config", 0, "FILE", TEXT, 0, 0, config, "configuration (default: lsess.lua in the site folder)")

static const struct setting {
    const char *name;
    enum kind kind;
    int64_t least, most;
    size_t offset; /* in struct settings */
} table[] = {
#define X(name_, letter_, value_, kind_, least_, most_, field_, help_)                                                 \
    {.name = name_, .kind = kind_, .least = least_, .most = most_, .offset = offsetof(struct settings, field_)},
    SETTINGS(X)
#undef X
};

enum { SETTING_COUNT = sizeof table / sizeof *table };

const struct option settings_options[] = {
#define X(name_, letter_, value_, kind_, least_, most_, field_, help_)                                                 \
    {.name = name_, .letter = letter_, .value = value_, .help = help_, .negatable = kind_ == TRISTATE},
    SETTINGS(X)
#undef X
        {.name = "hotload", .help = "the same as --watch", .hidden = true},
    {0},
};

static void *field(struct settings *settings, const struct setting *setting)
{
    return (char *)settings + setting->offset;
}

static int find_setting(const char *name)
{
    for (int i = 0; i < SETTING_COUNT; i++)
        if (strcmp(table[i].name, name) == 0) return i;
    return -1;
}

static bool add_to_list(struct text_list *list, const char *text)
{
    if (!LS_RESERVE(list->items, list->count + 2, list->cap)) return false;
    list->items[list->count++] = text;
    list->items[list->count] = NULL;
    return true;
}

/* --- one value --- */

/* As browsers send it: scheme://host[:port]. One with a path would never equal any, and would be obeyed in silence; and
 * it stands in a header as it is. */
static bool is_origin(const char *text)
{
    const char *host = strstr(text, "://");
    return host && host > text && host[3] != '\0' && !strpbrk(host + 3, "/?#*") &&
           strpbrk(text, ";,'\" \t\r\n") == NULL;
}

static const char *add_item(const struct setting *setting, struct text_list *list, const char *text)
{
    if (strcmp(setting->name, "env") == 0) {
        if (*text == '\0' || strchr(text, '=')) return "the name of a variable of the environment";
    } else if (strcmp(setting->name, "trust-proxy") == 0) {
        struct ls_net net;
        if (!ls_http_net_read(text, &net)) return "an address, or a net such as 10.0.0.0/8";
    } else if (strcmp(setting->name, "host") == 0) {
        if (*text == '\0') return "an address, a name, or unix:PATH";
    } else if (!is_origin(text)) {
        return "an origin such as https://example.org, without a path";
    }
    return add_to_list(list, text) ? NULL : "less memory";
}

static const char *whole_number(const struct setting *setting, const char *text, int64_t *number)
{
    static char wanted[96];
    if (ls_parse_int(text, setting->least, setting->most, number)) return NULL;
    snprintf(wanted, sizeof wanted, "a whole number from %" PRId64 " to %" PRId64, setting->least, setting->most);
    return wanted;
}

/* @return NULL, or what was wanted */
static const char *set_text(struct settings *settings, const struct setting *setting, const char *text)
{
    void *at = field(settings, setting);
    int64_t number = 0;
    const char *wanted = NULL;
    switch (setting->kind) {
    case INT:
    case VERBOSE:
    case INT64:
    case COUNT:
        wanted = whole_number(setting, text, &number);
        if (wanted) return wanted;
        if (setting->kind == INT64)
            *(int64_t *)at = number;
        else if (setting->kind == COUNT)
            *(size_t *)at = (size_t)number;
        else
            *(int *)at = (int)number;
        return NULL;
    case DURATION: return ls_parse_duration(text, at) ? NULL : "a number with ms, s, m or h, or 0";
    case SIZE: return ls_parse_size(text, at) ? NULL : "a number of bytes, or one with K, M or G";
    case TEXT:
    case PATH: *(const char **)at = text; return *text != '\0' ? NULL : "a text that is not empty";
    case LIST: return add_item(setting, at, text);
    case SWITCH:
    case TRISTATE: {
        bool on = strcmp(text, "1") == 0 || strcmp(text, "true") == 0;
        if (!on && strcmp(text, "0") != 0 && strcmp(text, "false") != 0) return "1, true, 0 or false";
        if (setting->kind == SWITCH)
            *(bool *)at = on;
        else
            *(int *)at = on;
        return NULL;
    }
    }
    return NULL;
}

/* --- flags --- */

static int take_operand(struct settings *settings, const struct command *command, const char *value)
{
    if (settings->dir) return usage_error(command, "one site folder, not two: %s and %s", settings->dir, value);
    settings->dir = value;
    return 0;
}

static int take_flag(struct settings *settings, const struct command *command, const struct argument *argument,
                     enum source *from)
{
    bool alias = strcmp(argument->option->name, "hotload") == 0;
    int at = find_setting(alias ? "watch" : argument->option->name);
    const struct setting *setting = &table[at];
    void *place = field(settings, setting);
    const char *wanted = NULL;
    if (setting->kind == SWITCH)
        *(bool *)place = true;
    else if (setting->kind == TRISTATE)
        *(int *)place = !argument->negated;
    else if (setting->kind == VERBOSE)
        *(int *)place += *(int *)place < setting->most;
    else if (strcmp(setting->name, "dir") == 0)
        return from[at] = FROM_FLAG, take_operand(settings, command, argument->value);
    else
        wanted = set_text(settings, setting, argument->value);
    from[at] = FROM_FLAG;
    return !wanted ? 0 : usage_error(command, "--%s wants %s, not '%s'", setting->name, wanted, argument->value);
}

static int read_flags(struct settings *settings, const struct command *command, int argc, char **argv,
                      enum source *from)
{
    struct arguments arguments;
    struct argument argument;
    int step, status = 0;
    arguments_init(&arguments, command, argc, argv);
    while (status == 0 && (step = arguments_next(&arguments, &argument)) != 0) {
        if (step < 0) return arguments.status == STATUS_DONE ? -1 : arguments.status;
        if (argument.option)
            status = take_flag(settings, command, &argument, from);
        else if ((status = take_operand(settings, command, argument.value)) == 0)
            from[find_setting("dir")] = FROM_FLAG;
    }
    return status;
}

/* --- environment --- */

/* LSESS_ and the name in capitals. */
static const char *environment_value(const char *name, char *variable, size_t size)
{
    snprintf(variable, size, "LSESS_%s", name);
    for (char *at = variable; *at != '\0'; at++)
        *at = *at == '-' ? '_' : *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
    return getenv(variable);
}

static char *keep(struct settings *settings, char *text)
{
    if (text && LS_PUSH(settings->kept, settings->kept_count, settings->kept_cap, text)) return text;
    ls_free(text);
    return NULL;
}

/* The items of a list in one variable are separated by blanks or commas. */
static const char *split_items(struct settings *settings, const struct setting *setting, const char *text)
{
    const char *wanted = NULL;
    while (!wanted && *(text += strspn(text, " ,")) != '\0') {
        size_t len = strcspn(text, " ,");
        char *one = keep(settings, ls_strndup(text, len));
        wanted = one ? set_text(settings, setting, one) : "less memory";
        text += len;
    }
    return wanted;
}

static int read_environment(struct settings *settings, const struct command *command, enum source *from)
{
    char variable[64];
    for (int i = 0; i < SETTING_COUNT; i++) {
        const char *text = environment_value(table[i].name, variable, sizeof variable);
        if (from[i] != FROM_DEFAULT || !text || *text == '\0') continue;
        from[i] = FROM_ENVIRONMENT;
        const char *wanted =
            table[i].kind == LIST ? split_items(settings, &table[i], text) : set_text(settings, &table[i], text);
        if (wanted) return usage_error(command, "%s wants %s, not '%s'", variable, wanted, text);
    }
    return 0;
}

/* --- lsess.lua --- */

/* `max_frame` for `max-frame`. */
static const char *key_of(const struct setting *setting, char *key, size_t size)
{
    snprintf(key, size, "%s", setting->name);
    for (char *at = key; (at = strchr(at, '-'));)
        *at = '_';
    return key;
}

/* The setting of a key, -1 = none. Where the site and the file itself are is not for the file to say. */
static int find_key(const char *key)
{
    char own[64];
    for (int i = 0; i < SETTING_COUNT; i++)
        if (strcmp(key_of(&table[i], own, sizeof own), key) == 0)
            return strcmp(key, "dir") == 0 || strcmp(key, "config") == 0 ? -1 : i;
    return -1;
}

static int unknown_key(const char *file, const struct ls_config_item *item)
{
    char key[64];
    for (int i = 0; i < SETTING_COUNT; i++)
        if (ls_text_near(item->key, key_of(&table[i], key, sizeof key)) && find_key(key) >= 0)
            return complain(STATUS_FAILED, "%s:%d: there is no setting '%s'; did you mean '%s'?", file, item->line,
                            item->key, key);
    return complain(STATUS_FAILED, "%s:%d: there is no setting '%s'", file, item->line, item->key);
}

/* Which kinds of Lua values a setting takes; durations and sizes may be a plain number too. */
static const char *wanted_type(const struct setting *setting, enum ls_config_kind kind)
{
    switch (setting->kind) {
    case SWITCH:
    case TRISTATE: return kind == LS_CONFIG_BOOL ? NULL : "true or false";
    case INT:
    case INT64:
    case COUNT:
    case VERBOSE: return kind == LS_CONFIG_NUMBER ? NULL : "a number";
    case DURATION:
    case SIZE:
        return kind == LS_CONFIG_NUMBER || kind == LS_CONFIG_STRING ? NULL
                                                                    : "a string such as \"5s\" or \"64M\", or a number";
    case TEXT:
    case PATH: return kind == LS_CONFIG_STRING ? NULL : "a string";
    case LIST: return kind == LS_CONFIG_LIST || kind == LS_CONFIG_STRING ? NULL : "a list of strings";
    }
    return NULL;
}

/* A path in the file is relative to the file's folder. */
static const char *path_beside(struct settings *settings, const char *file, const char *path)
{
    struct ls_buf out = LS_BUF_INIT;
    char *dir = ls_path_dir(file);
    ls_path_join(&out, dir, path);
    ls_free(dir);
    char *kept = keep(settings, ls_buf_detach(&out, NULL));
    return kept ? kept : path;
}

/* A Unix socket's as well. */
static const char *host_beside(struct settings *settings, const struct setting *setting, const char *file,
                               const char *text)
{
    if (strcmp(setting->name, "host") != 0 || !ls_has_prefix(text, "unix:")) return text;
    struct ls_buf out = LS_BUF_INIT;
    ls_buf_printf(&out, "unix:%s", path_beside(settings, file, text + 5));
    char *kept = keep(settings, ls_buf_detach(&out, NULL));
    return kept ? kept : text;
}

static const char *set_item(struct settings *settings, const struct setting *setting, const struct ls_config_item *item,
                            const char *file)
{
    const char *wanted = wanted_type(setting, item->kind);
    if (wanted) return wanted;
    if (item->kind == LS_CONFIG_BOOL) return set_text(settings, setting, item->flag ? "1" : "0");
    if (setting->kind == PATH) return set_text(settings, setting, path_beside(settings, file, item->text));
    if (item->kind != LS_CONFIG_LIST)
        return set_text(settings, setting, host_beside(settings, setting, file, item->text));
    for (char **element = item->list; !wanted && *element; element++)
        wanted = set_text(settings, setting, host_beside(settings, setting, file, *element));
    return wanted;
}

/* A value that a flag or the environment overrides counts for nothing, but is judged like the others: a mistake should
 * not wait for the day the flag goes. */
static const char *judge_item(const struct setting *setting, const struct ls_config_item *item, const char *file)
{
    struct settings scratch = {0};
    const char *wanted = set_item(&scratch, setting, item, file);
    settings_release(&scratch);
    return wanted;
}

/* May a site that is not trusted set this (L13)? What is not listed reaches outside of the site (as JSON the log
 * does so: its texts are not made harmless for a terminal), or takes of the machine what its owner has not given. */
static bool is_harmless(const char *key)
{
    static const char *const keys[] = {"port",   "strict_port",          "watch",  "debounce", "poll", "sandbox",
                                       "client", "keep_removed_methods", "verbose"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(key, keys[i]) == 0) return true;
    return false;
}

static int take_item(struct settings *settings, const struct ls_config_item *item, const char *file, enum source *from)
{
    if (settings->distrusted && !is_harmless(item->key)) {
        ls_buf_printf(&settings->ignored, "%s%s", settings->ignored.len > 0 ? ", " : "", item->key);
        return 0;
    }
    if (strcmp(item->key, "static_roots") == 0) {
        if (item->kind != LS_CONFIG_LIST)
            return complain(STATUS_FAILED, "%s:%d: 'static_roots' is a list of folders", file, item->line);
        for (char **element = item->list; *element; element++)
            add_to_list(&settings->static_roots, *element);
        return 0;
    }
    int at = find_key(item->key);
    if (at < 0) return unknown_key(file, item);
    bool overridden = from[at] != FROM_DEFAULT;
    const char *wanted = overridden ? judge_item(&table[at], item, file) : set_item(settings, &table[at], item, file);
    if (!overridden) from[at] = FROM_FILE;
    return !wanted ? 0 : complain(STATUS_FAILED, "%s:%d: '%s' wants %s", file, item->line, item->key, wanted);
}

/* Does the site's own file switch the sandbox on? Keys come in order of their names, and this one counts for all. */
static bool asks_for_sandbox(const struct ls_site_config *file)
{
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->items[i].key, "sandbox") == 0) return file->items[i].flag;
    return false;
}

/* A link of the site is the site's too, wherever it leads. */
static bool is_below(const char *root, const char *file, const char *real)
{
    char *folder = ls_path_dir(file), *named = folder ? ls_path_real(folder, NULL) : NULL;
    bool below = ls_path_below(root, real) || (named && ls_path_below(root, named));
    ls_free(folder);
    ls_free(named);
    return below;
}

/* A file that --config names elsewhere is not the site's, and is trusted. */
static int read_file(struct settings *settings, enum source *from)
{
    struct ls_buf path = LS_BUF_INIT;
    LS_ERR(err);
    char *root = settings->server.dir ? ls_path_real(settings->server.dir, NULL) : NULL;
    if (settings->config)
        ls_buf_str(&path, settings->config);
    else if (settings->server.dir)
        ls_path_join(&path, root && settings->server.sandbox ? root : settings->server.dir, "lsess.lua");
    char *real = root && settings->config ? ls_path_real(settings->config, NULL) : NULL;
    bool of_site = root && (!settings->config || (real && is_below(root, settings->config, real)));
    bool within = of_site && settings->server.sandbox;
    int status = 0;
    struct stat info;
    /* A link that leads nowhere is a file that cannot be read, not one that is absent. */
    if (path.len > 0 && (settings->config || lstat(ls_buf_text(&path), &info) == 0)) {
        settings->file = ls_site_config_read(within ? root : NULL, within && real ? real : ls_buf_text(&path), &err);
        if (!settings->file)
            status = complain(STATUS_FAILED, "%s", ls_err_text(&err));
        else
            settings->distrusted =
                within ||
                (of_site && (from[find_setting("sandbox")] == FROM_DEFAULT && asks_for_sandbox(settings->file)));
        for (size_t i = 0; status == 0 && i < settings->file->count; i++)
            status = take_item(settings, &settings->file->items[i], ls_buf_text(&path), from);
    }
    ls_free(root);
    ls_free(real);
    ls_buf_release(&path);
    return status;
}

/* --- all --- */

/* Below the state folder of the user (XDG). */
static const char *own_certificate(struct settings *settings)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    struct ls_buf path = LS_BUF_INIT;
    if (state && state[0] == '/')
        ls_path_join(&path, state, "lsess/https.pem");
    else if (home && home[0] == '/')
        ls_path_join(&path, home, ".local/state/lsess/https.pem");
    return path.len > 0 ? keep(settings, ls_buf_detach(&path, NULL)) : NULL;
}

static int check_together(struct settings *settings, const struct command *command)
{
    struct ls_server_config *server = &settings->server;
    if ((!server->cert) != (!server->key)) return usage_error(command, "--cert and --key go together");
    if (settings->client && strcmp(settings->client, "builtin") != 0 && strcmp(settings->client, "site") != 0)
        return usage_error(command, "--client wants builtin or site, not '%s'", settings->client);
    if (server->base_path && !ls_http_prefix_valid(server->base_path, strlen(server->base_path)))
        return usage_error(command, "--base-path wants a path such as /tool, not '%s'", server->base_path);
    if ((server->trust_forwarded || server->auth_header) && !settings->proxies.items)
        return usage_error(command, "--%s goes with --trust-proxy: it is the proxy that is believed",
                           server->auth_header ? "auth-header" : "trust-forwarded");
    if (settings->https && !server->cert && !(server->own_cert = own_certificate(settings)))
        return complain(STATUS_FAILED, "--https wants a folder for its certificate: set XDG_STATE_HOME or HOME");
    server->hosts = settings->hosts.items;
    server->trust_proxies = settings->proxies.items;
    server->client_builtin = settings->client && strcmp(settings->client, "builtin") == 0;
    server->allow_origins = settings->origins.items;
    server->embedders = settings->embedders.items;
    server->static_roots = settings->static_roots.items;
    server->env = settings->env.items;
    server->diag_level = settings->verbosity;
    server->editor = getenv("LSESS_EDITOR");
    if (server->editor && *server->editor == '\0') server->editor = NULL;
    return 0;
}

int settings_read(struct settings *settings, const struct command *command, int argc, char **argv, int *status)
{
    enum source from[SETTING_COUNT] = {FROM_DEFAULT};
    *settings = (struct settings){0};
    ls_server_config_init(&settings->server);
    *status = read_flags(settings, command, argc, argv, from);
    if (*status == 0) *status = read_environment(settings, command, from);
    if (*status == 0) {
        static const char *const marks[] = {"lua/main.lua", "html/index.html", "viewdefs", "apps", "lsess.lua", NULL};
        settings->server.dir = settings->dir ? settings->dir : has_any(".", marks) ? "." : NULL;
        settings->server.bundle = !settings->server.dir ? "templates/sites/contacts" : NULL;
        *status = read_file(settings, from);
    }
    if (*status == 0) *status = check_together(settings, command);
    if (*status == 0) return 1;
    *status = *status < 0 ? STATUS_DONE : *status;
    return -1;
}

void settings_release(struct settings *settings)
{
    ls_free(settings->hosts.items);
    ls_free(settings->origins.items);
    ls_free(settings->embedders.items);
    ls_free(settings->proxies.items);
    ls_free(settings->static_roots.items);
    ls_free(settings->env.items);
    ls_buf_release(&settings->ignored);
    for (size_t i = 0; i < settings->kept_count; i++)
        ls_free(settings->kept[i]);
    ls_free(settings->kept);
    ls_site_config_free(settings->file);
}
