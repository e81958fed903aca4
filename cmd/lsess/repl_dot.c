/* The dot commands of `lsess repl` (cli.md C4): one table, each command a small function. */
#include "repl.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/json.h"
#include "files/fspath.h"

struct dot {
    const char *name, *operand, *help;
    bool (*run)(struct repl *repl, const char *operand); /* false = leave the shell */
};

static const struct dot dots[];

static bool dot_help(struct repl *repl, const char *operand)
{
    (void)repl;
    (void)operand;
    for (const struct dot *dot = dots; dot->name; dot++) {
        char left[32];
        snprintf(left, sizeof left, "%s %s", dot->name, dot->operand);
        printf("  %-18s %s\n", left, dot->help);
    }
    puts("Anything else is Lua, run in the session; values are shown without `return`, _ is the last one.");
    return true;
}

/* An expression of a dot command, which has no second line to go on with. */
static bool run_whole(struct repl *repl, const char *code, bool timed)
{
    enum input_result result = repl_input(repl, code, timed);
    if (result == INPUT_INCOMPLETE) puts("the expression is not complete");
    return result != INPUT_LOST;
}

/* One request whose failure is a line and nothing else. */
static bool ask(struct repl *repl, const char *cmd, const struct ls_buf *fields, struct json *answer, bool *lost)
{
    int status = client_call(&repl->client, cmd, ls_buf_text(fields), NULL, NULL, answer);
    if (status == STATUS_FAILED) client_failure(*answer);
    *lost = status == STATUS_NO_SERVER;
    return status == STATUS_DONE;
}

static bool dot_sessions(struct repl *repl, const char *operand)
{
    (void)operand;
    struct ls_buf fields = LS_BUF_INIT, name = LS_BUF_INIT, url = LS_BUF_INIT;
    struct json answer, session;
    bool lost;
    size_t at = 0;
    if (ask(repl, "sessions", &fields, &answer, &lost)) {
        struct json sessions = json_member(answer, "sessions");
        while (json_item(sessions, &at, &session)) {
            json_string(json_member(session, "session"), &name);
            long long tabs = json_int(json_member(session, "connections"), 0);
            printf("%c %4s  %lld tab%s  %s\n", strcmp(ls_buf_text(&name), repl->session) ? ' ' : '*',
                   ls_buf_text(&name), tabs, tabs == 1 ? " " : "s", json_shown(json_member(session, "url"), &url));
        }
    }
    ls_buf_release(&name);
    ls_buf_release(&url);
    return !lost;
}

static bool dot_use(struct repl *repl, const char *operand)
{
    return repl_use(repl, *operand != '\0' ? operand : NULL) != STATUS_NO_SERVER;
}

static bool dot_vars(struct repl *repl, const char *operand)
{
    struct ls_buf code = LS_BUF_INIT;
    ls_buf_printf(&code, "return session:getApp()%s%s", *operand && *operand != '[' ? "." : "", operand);
    bool stay = run_whole(repl, ls_buf_text(&code), false);
    ls_buf_release(&code);
    return stay;
}

static bool dot_modules(struct repl *repl, const char *operand)
{
    (void)operand;
    struct ls_buf fields = LS_BUF_INIT, text = LS_BUF_INIT;
    struct json answer, session, module;
    bool lost;
    size_t at = 0;
    ls_json_put_str(&fields, "session", repl->session);
    if (ask(repl, "state", &fields, &answer, &lost)) {
        struct json sessions = json_member(answer, "sessions");
        while (json_item(sessions, &at, &session)) {
            size_t inner = 0;
            if (strcmp(json_string(json_member(session, "session"), &text), repl->session) != 0) continue;
            struct json modules = json_member(session, "modules");
            while (json_item(modules, &inner, &module)) {
                bool ok = json_true(json_member(module, "ok"));
                printf("  %s%s\n", json_shown(json_member(module, "key"), &text), ok ? "" : "  (its last save failed)");
            }
        }
    }
    ls_buf_release(&fields);
    ls_buf_release(&text);
    return !lost;
}

static bool dot_reload(struct repl *repl, const char *operand)
{
    struct ls_buf fields = LS_BUF_INIT, key = LS_BUF_INIT, outcome = LS_BUF_INIT, text = LS_BUF_INIT,
                  session = LS_BUF_INIT;
    struct json answer, result, loss;
    bool lost;
    size_t at = 0, shown = 0;
    if (*operand != '\0') client_array(&fields, "files", &operand, 1);
    if (ask(repl, "reload", &fields, &answer, &lost)) {
        struct json results = json_member(answer, "results");
        /* Files are reloaded in all sessions; those of others are named only where something went wrong. */
        while (json_item(results, &at, &result)) {
            bool here = strcmp(json_shown(json_member(result, "session"), &session), repl->session) == 0;
            if (!here && strcmp(json_string(json_member(result, "outcome"), &outcome), "failed") != 0) continue;
            json_shown(json_member(result, "text"), &text);
            printf("  %s%s%s%s %s%s%s\n", here ? "" : "session ", here ? "" : ls_buf_text(&session), here ? "" : ": ",
                   json_shown(json_member(result, "key"), &key), json_shown(json_member(result, "outcome"), &outcome),
                   text.len ? ": " : "", ls_buf_text(&text));
            for (size_t inner = 0; json_item(json_member(result, "losses"), &inner, &loss);)
                printf("    %s\n", json_shown(loss, &text));
            shown++;
        }
        if (shown == 0) puts("nothing to reload in this session");
    }
    ls_buf_release(&fields);
    ls_buf_release(&key);
    ls_buf_release(&outcome);
    ls_buf_release(&text);
    ls_buf_release(&session);
    return !lost;
}

static bool dot_unload(struct repl *repl, const char *operand)
{
    struct ls_buf fields = LS_BUF_INIT, text = LS_BUF_INIT;
    struct json answer, result;
    const char *session = repl->session;
    bool lost;
    size_t at = 0;
    if (*operand == '\0') {
        puts("usage: .unload NAME");
        return true;
    }
    client_array(&fields, "names", &operand, 1);
    client_array(&fields, "sessions", &session, 1);
    if (ask(repl, "unload", &fields, &answer, &lost)) {
        struct json results = json_member(answer, "results");
        if (json_count(results) == 0) printf("no loaded module matches %s\n", operand);
        while (json_item(results, &at, &result)) {
            static const char *const lists[] = {"modules",  "prototypes", "presenters",
                                                "wrappers", "viewdefs",   "importers"};
            for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
                json_join(json_member(result, lists[i]), &text);
                if (text.len > 0) printf("  %-10s  %s\n", lists[i], text.data);
            }
        }
    }
    ls_buf_release(&fields);
    ls_buf_release(&text);
    return !lost;
}

static void print_lines(const char *path, int64_t first, int64_t last)
{
    LS_ERR(err);
    struct ls_bytes *bytes = ls_file_read(NULL, path, 0, &err);
    if (!bytes) {
        printf("%s\n", ls_err_text(&err));
        return;
    }
    const char *at = ls_bytes_data(bytes);
    for (int64_t line = 1; *at != '\0' && line <= last; line++) {
        size_t len = strcspn(at, "\n");
        if (line >= first) {
            printf("%5lld  ", (long long)line);
            show(stdout, at, len);
            putchar('\n');
        }
        at += len + (at[len] == '\n');
    }
    ls_bytes_unref(bytes);
}

/* Where a function comes from, or the first method of a table, and its lines as they are on the disk now. */
static bool dot_source(struct repl *repl, const char *operand)
{
    struct ls_buf code = LS_BUF_INIT, json = LS_BUF_INIT, source = LS_BUF_INIT, path = LS_BUF_INIT;
    if (*operand == '\0') {
        puts("usage: .source NAME");
        return true;
    }
    ls_buf_printf(
        &code,
        "local f = %s\nif type(f) == 'table' then local t = f; f = rawget(t, 'new')\n"
        "for _, v in pairs(t) do if type(f) ~= 'function' then f = v end end end\n"
        "if type(f) ~= 'function' then error('no function', 0) end\n"
        "local i = debug.getinfo(f, 'S')\nreturn { source = i.source, first = i.linedefined, last = i.lastlinedefined }",
        operand);
    if (repl_value(repl, ls_buf_text(&code), &json)) {
        struct json place = {ls_buf_text(&json), json.len};
        json_string(json_member(place, "source"), &source);
        int64_t first = json_int(json_member(place, "first"), 0), last = json_int(json_member(place, "last"), 0);
        if (source.len > 0 && source.data[0] == '@') {
            show(stdout, source.data + 1, source.len - 1);
            printf(":%lld\n", (long long)first);
            ls_path_join(&path, ls_buf_text(&repl->dir), source.data + 1);
            print_lines(ls_buf_text(&path), first, last);
        } else {
            printf("%s is not defined in a file (%s)\n", operand, json_shown(json_member(place, "source"), &source));
        }
    }
    ls_buf_release(&code);
    ls_buf_release(&json);
    ls_buf_release(&source);
    ls_buf_release(&path);
    return true;
}

static bool dot_time(struct repl *repl, const char *operand)
{
    return run_whole(repl, operand, true);
}

static bool dot_quit(struct repl *repl, const char *operand)
{
    (void)repl;
    (void)operand;
    return false;
}

static const struct dot dots[] = {
    {".help", "", "this list", dot_help},
    {".sessions", "", "live sessions; * marks the one in use", dot_sessions},
    {".use", "ID", "go on in another session", dot_use},
    {".vars", "[PATH]", "the app object, or what a path below it holds", dot_vars},
    {".modules", "", "what this session has loaded", dot_modules},
    {".reload", "[FILE]", "take up changed files", dot_reload},
    {".unload", "NAME", "unload a module or folder from this session", dot_unload},
    {".source", "NAME", "where a function is defined, and its lines", dot_source},
    {".time", "EXPR", "run it and say how long it took", dot_time},
    {".quit", "", "leave (also Ctrl-D)", dot_quit},
    {NULL, NULL, NULL, NULL},
};

void repl_dot_names(struct ls_buf *out)
{
    ls_json_open(out, NULL, '[');
    for (const struct dot *dot = dots; dot->name; dot++)
        ls_json_put_str(out, NULL, dot->name);
    ls_buf_char(out, ']');
}

bool repl_dot(struct repl *repl, const char *line)
{
    size_t name = strcspn(line, " \t\n"), from = name + strspn(line + name, " \t");
    char *operand = ls_strndup(line + from, strcspn(line + from, "\n"));
    if (!operand) return true;
    for (size_t len = strlen(operand); len > 0 && strchr(" \t\r", operand[len - 1]);)
        operand[--len] = 0;
    bool stay = true, known = false;
    for (const struct dot *dot = dots; dot->name && !known; dot++) {
        if (strlen(dot->name) != name || strncmp(dot->name, line, name) != 0) continue;
        known = true;
        stay = dot->run(repl, operand);
    }
    if (!known) printf("there is no command %.*s; .help lists them\n", (int)name, line);
    ls_free(operand);
    return stay;
}
