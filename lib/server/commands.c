/* The commands of the control socket (C3; the fields of each are in protocol/control_request.h). What a command does to
 * a session is an item of that session's queue (P26), and the connection's thread waits for it.
 *
 * Threads: the connection's, and the sessions' owner threads inside items. */
#include "server/control.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "files/fspath.h"
#include "tracker/tracker.h"

enum { LIST_WAIT_MS = 1000, RELOAD_WAIT_MS = 30000 };

/* --- answers --- */

static void begin_answer(struct ls_buf *line, struct ls_control *request)
{
    ls__control_begin(line, ls_control_id(request));
    ls_json_put_bool(line, "ok", true);
}

/* JSON text as it is; `otherwise` when there is none. */
static void add_json(struct ls_buf *line, const char *name, const struct ls_buf *json, const char *otherwise)
{
    ls_json_put_raw(line, name, json->len > 0 ? json->data : otherwise, json->len > 0 ? json->len : strlen(otherwise));
}

static const char *code_name(int code)
{
    switch (code) {
    case LS_ENOTFOUND: return "not-found";
    case LS_EINVAL: return "bad-request";
    case LS_ECLOSED: return "no-session";
    default: return ls_error_name(code);
    }
}

/* Have something done on a session's queue. One that hangs is told of as busy: nobody who could help it waits for ever.
 * @return 0, or a code and err (may be NULL) */
static int call_session(struct ls_hosted *session, void (*fn)(struct ls_hosted *session, void *arg), void *arg,
                        struct ls_err *err)
{
    int rc = ls_hosted_call(session, fn, arg, ls__server_patience(session->server));
    if (rc == LS_EBUSY)
        ls_fail(err, rc, "Session %s is busy with something else; the server's log says with what.", session->vended);
    else if (rc < 0)
        ls_fail(err, rc, "The session has ended.");
    return rc;
}

static void fail_with(struct control_client *client, struct ls_control *request, const struct ls_err *err)
{
    ls__control_fail(client, ls_control_id(request), code_name(err->code), ls_err_text(err));
}

/* --- which session --- */

/* The only one, else the one that was active last. @return a use, or NULL */
static struct ls_hosted *default_session(struct ls_server *server)
{
    struct ls_hosted **list, *chosen = NULL;
    size_t count = ls_manager_list(server->manager, &list);
    for (size_t i = 0; i < count; i++)
        if (!chosen || atomic_load(&list[i]->active_ns) > atomic_load(&chosen->active_ns)) chosen = list[i];
    if (chosen) ls_hosted_ref(chosen);
    ls_hosted_unref_all(list, count);
    return chosen;
}

/* By name, NULL = the default one. @return a use; NULL when an error has been answered */
static struct ls_hosted *find_session(struct control_client *client, struct ls_control *request, const char *name)
{
    struct ls_manager *manager = ls__control_server(client)->manager;
    LS_ERR(err);
    struct ls_hosted *session =
        name ? ls_manager_find_named(manager, name, &err) : default_session(ls__control_server(client));
    if (session)
        (void)ls_manager_join(manager, session);
    else
        ls__control_fail(client, ls_control_id(request), "no-session",
                         name ? ls_err_text(&err) : "There is no session.");
    return session;
}

/* The same, and `new` makes one. */
static struct ls_hosted *find_or_make(struct control_client *client, struct ls_control *request)
{
    struct ls_manager *manager = ls__control_server(client)->manager;
    const char *name = ls_control_text(request, "session", NULL);
    if (!name || strcmp(name, "new") != 0) return find_session(client, request, name);
    LS_ERR(err);
    struct ls_hosted *session = ls_manager_create(manager, &err);
    if (session)
        (void)ls_manager_join(manager, session);
    else
        fail_with(client, request, &err);
    return session;
}

/* Those that are named, or all. @return how many; *list owned, each counted; -1 when an error has been answered */
static ssize_t find_sessions(struct control_client *client, struct ls_control *request, const char *const *names,
                             size_t count, struct ls_hosted ***list)
{
    if (count == 0) return (ssize_t)ls_manager_list(ls__control_server(client)->manager, list);
    *list = ls_array(count, sizeof **list);
    for (size_t i = 0; *list && i < count; i++) {
        (*list)[i] = find_session(client, request, names[i]);
        if ((*list)[i]) continue;
        ls_hosted_unref_all(*list, i);
        return -1;
    }
    return *list ? (ssize_t)count : 0;
}

/* --- ping --- */

static void run_ping(struct control_client *client, struct ls_control *request)
{
    const struct ls_server *server = ls__control_server(client);
    struct ls_buf line = LS_BUF_INIT;
    begin_answer(&line, request);
    ls_json_put_str(&line, "version", LS_VERSION);
    ls_json_put_int(&line, "pid", getpid());
    char *real = server->site.root ? ls_path_real(server->site.root, NULL) : NULL;
    ls_json_put_str(&line, "dir", real ? real : server->site.root);
    ls_free(real);
    ls_json_put_str(&line, "url", server->start_url);
    ls_json_put_bool(&line, "watching", server->hotload);
    /* What the whole program holds: unlike resident memory, nothing of it is the C library's choice. */
    struct mallinfo2 memory = mallinfo2();
    ls_json_put_int(&line, "heap", (int64_t)(memory.uordblks + memory.hblkhd));
    ls__control_end(client, &line);
}

/* --- asking every session --- */

/* A session that is busy for long is listed with what is known without asking it. */
struct census {
    struct ls_gather gather; /* first */
    /** Writes what a session says of itself, JSON members. Owner thread. */
    void (*tell)(struct ls_hosted *session, struct ls_buf *members);
    size_t count;
    struct ls_buf rows[]; /* empty: it has not answered */
};

static void free_census(struct ls_gather *gather)
{
    struct census *census = (struct census *)gather;
    for (size_t i = 0; i < census->count; i++)
        ls_buf_release(&census->rows[i]);
    ls_free(census);
}

static void answer_census(struct ls_gather *gather, struct ls_hosted *session, size_t number)
{
    struct census *census = (struct census *)gather;
    struct ls_buf members = LS_BUF_INIT;
    census->tell(session, &members);
    pthread_mutex_lock(&gather->lock);
    if (!gather->closed && !ls_buf_failed(&members)) {
        census->rows[number] = members;
        members = (struct ls_buf)LS_BUF_INIT;
    }
    pthread_mutex_unlock(&gather->lock);
    ls_buf_release(&members);
}

/* Ask the sessions of a list and wait for them, up to a second for one that is busy. @return the answers,
 * ls_gather_unref(); NULL without memory */
static struct census *ask_sessions(struct ls_hosted **list, size_t count,
                                   void (*tell)(struct ls_hosted *session, struct ls_buf *members))
{
    struct census *census = ls_zalloc(sizeof *census + count * sizeof census->rows[0]);
    if (!census) return NULL;
    ls_gather_init(&census->gather, answer_census, NULL, free_census);
    census->tell = tell;
    census->count = count;
    for (size_t i = 0; i < count; i++)
        ls_gather_ask(&census->gather, list[i], i);
    ls_gather_wait(&census->gather, LIST_WAIT_MS);
    return census;
}

/* The members of a session's row, after `{"session":"1"`; the end of the object included. */
static void end_row(struct ls_buf *out, const struct ls_buf *row)
{
    if (row->len > 0)
        ls_json_put_raw(out, NULL, row->data, row->len);
    else
        ls_json_put_bool(out, "busy", true);
    ls_buf_char(out, '}');
}

/* --- sessions --- */

static void tell_size(struct ls_hosted *session, struct ls_buf *members)
{
    struct ls_session *lua = ls_backend_session(session->backend);
    const char *last_error = ls_session_last_error(lua);
    ls_json_put_int(members, "variables", (int64_t)ls_tracker_count(ls_backend_tracker(session->backend)));
    ls_json_put_int(members, "memory", (int64_t)ls_session_memory(lua));
    ls_json_put_int(members, "modules", (int64_t)ls_session_module_count(lua));
    ls_json_put_str(members, "last_error", last_error ? last_error : "");
}

static void write_row(struct ls_buf *out, const struct ls_server *server, const struct ls_hosted *session,
                      const struct ls_buf *row)
{
    int64_t now = ls_now_ns();
    ls_json_open(out, NULL, '{');
    ls_json_put_str(out, "session", session->vended);
    ls_json_key(out, "url");
    ls_buf_printf(out, "\"%s%s\"", server->url, session->id);
    ls_json_put_string(out, "key", session->id, 8);
    ls_json_put_int(out, "age_ms", (now - session->created_ns) / 1000000);
    ls_json_put_int(out, "idle_ms", (now - (int64_t)atomic_load(&session->active_ns)) / 1000000);
    ls_json_put_int(out, "connections", atomic_load(&session->connections));
    end_row(out, row);
}

int ls_server_sessions_json(struct ls_server *server, struct ls_buf *out)
{
    struct ls_hosted **list;
    size_t count = ls_manager_list(server->manager, &list);
    struct census *census = ask_sessions(list, count, tell_size);
    if (census) {
        ls_buf_char(out, '[');
        for (size_t i = 0; i < count; i++)
            write_row(out, server, list[i], &census->rows[i]);
        ls_buf_char(out, ']');
    }
    int rc = census && !ls_buf_failed(out) ? 0 : LS_ENOMEM;
    if (census) ls_gather_unref(&census->gather);
    ls_hosted_unref_all(list, count);
    return rc;
}

static void run_sessions(struct control_client *client, struct ls_control *request)
{
    struct ls_buf line = LS_BUF_INIT;
    begin_answer(&line, request);
    ls_json_key(&line, "sessions");
    ls_server_sessions_json(ls__control_server(client), &line);
    ls__control_end(client, &line);
}

/* --- eval, complete, interrupt --- */

struct evaluation {
    struct control_client *client;
    struct ls_control *request;
    struct ls_eval eval;
    struct ls_err err;
    int rc;
    int64_t ns;
};

static void print_event(void *ctx, const char *text, size_t len)
{
    struct evaluation *evaluation = ctx;
    struct ls_buf line = LS_BUF_INIT;
    ls__control_begin(&line, ls_control_id(evaluation->request));
    ls_json_put_str(&line, "event", "print");
    ls_json_put_string(&line, "text", text, len);
    ls__control_end(evaluation->client, &line);
}

static void run_evaluation(struct ls_hosted *session, void *arg)
{
    struct evaluation *evaluation = arg;
    struct ls_capture capture = {.ctx = evaluation, .print = print_event};
    int64_t begun = ls_now_ns();
    session->capture = &capture;
    evaluation->rc = ls_backend_eval(session->backend, &evaluation->eval, &evaluation->err);
    session->capture = NULL;
    evaluation->ns = ls_now_ns() - begun;
}

static void run_eval(struct control_client *client, struct ls_control *request, struct ls_hosted *session)
{
    size_t len = 0;
    const char *code = ls_control_text(request, "code", &len), *name = ls_control_text(request, "name", NULL);
    struct evaluation evaluation = {.client = client, .request = request};
    int64_t max = ls_control_int(request, "max_output"), width = ls_control_int(request, "width");
    evaluation.eval = (struct ls_eval){.code = code,
                                       .len = len,
                                       .name = name ? name : "eval",
                                       .repl = ls_control_flag(request, "repl"),
                                       .max_output = max > 0 ? (size_t)max : 0,
                                       .width = width > 0 ? (size_t)width : 0};
    ls_hosted_touch(session);
    int rc = call_session(session, run_evaluation, &evaluation, &evaluation.err);
    if (rc < 0) evaluation.rc = rc;
    struct ls_buf line = LS_BUF_INIT;
    if (evaluation.rc < 0 && !(evaluation.eval.repl && evaluation.eval.incomplete)) {
        fail_with(client, request, &evaluation.err);
    } else {
        begin_answer(&line, request);
        ls_json_put_str(&line, "session", session->vended);
        ls_json_put_string(&line, "text", ls_buf_text(&evaluation.eval.text), evaluation.eval.text.len);
        add_json(&line, "json", &evaluation.eval.json, "null");
        ls_json_put_bool(&line, "incomplete", evaluation.eval.incomplete);
        ls_json_put_int(&line, "ns", evaluation.ns);
        ls__control_end(client, &line);
    }
    ls_buf_release(&evaluation.eval.text);
    ls_buf_release(&evaluation.eval.json);
    ls_err_release(&evaluation.err);
}

struct completion {
    const char *line;
    size_t len;
    struct ls_buf json;
};

static void run_completion(struct ls_hosted *session, void *arg)
{
    struct completion *completion = arg;
    ls_session_complete(ls_backend_session(session->backend), completion->line, completion->len, &completion->json,
                        NULL);
}

static void run_complete(struct control_client *client, struct ls_control *request, struct ls_hosted *session)
{
    struct completion completion = {.json = LS_BUF_INIT};
    completion.line = ls_control_text(request, "line", &completion.len);
    call_session(session, run_completion, &completion, NULL);
    struct ls_buf line = LS_BUF_INIT;
    begin_answer(&line, request);
    add_json(&line, "completions", &completion.json, "[]");
    ls__control_end(client, &line);
    ls_buf_release(&completion.json);
}

static void run_interrupt(struct control_client *client, struct ls_control *request, struct ls_hosted *session)
{
    struct ls_buf line = LS_BUF_INIT;
    ls_hosted_interrupt(session, false);
    begin_answer(&line, request);
    ls__control_end(client, &line);
}

/* --- unload --- */

struct unloading {
    const char *name;
    bool dry_run;
    int rc;
    struct ls_unload_report report;
    struct ls_err err;
};

static void run_unloading(struct ls_hosted *session, void *arg)
{
    struct unloading *unloading = arg;
    unloading->rc =
        ls_backend_unload(session->backend, unloading->name, unloading->dry_run, &unloading->report, &unloading->err);
}

static void write_unload(struct ls_buf *line, const struct ls_hosted *session, const struct unloading *unloading)
{
    const struct ls_unload_report *report = &unloading->report;
    ls_json_open(line, NULL, '{');
    ls_json_put_str(line, "session", session->vended);
    ls_json_put_str(line, "name", unloading->name);
    ls_json_put_int(line, "count", unloading->rc);
    add_json(line, "modules", &report->modules, "[]");
    add_json(line, "prototypes", &report->prototypes, "[]");
    add_json(line, "presenters", &report->presenters, "[]");
    add_json(line, "wrappers", &report->wrappers, "[]");
    add_json(line, "viewdefs", &report->viewdefs, "[]");
    ls_json_put_int(line, "timers", report->timers);
    ls_json_put_int(line, "watches", report->watches);
    ls_json_put_int(line, "instances", report->instances);
    ls_json_put_int(line, "variables", report->variables);
    add_json(line, "importers", &report->importers, "[]");
    ls_json_put_int(line, "heap_bytes", report->heap_bytes);
    ls_buf_char(line, '}');
}

static void run_unload(struct control_client *client, struct ls_control *request)
{
    const char *const *names, *const *sessions;
    struct ls_hosted **list;
    size_t name_count = ls_control_list(request, "names", &names);
    size_t session_count = ls_control_list(request, "sessions", &sessions);
    ssize_t count = find_sessions(client, request, sessions, session_count, &list);
    if (count < 0) return;
    struct ls_buf line = LS_BUF_INIT;
    LS_ERR(problem);
    size_t written = 0;
    begin_answer(&line, request);
    ls_json_open(&line, "results", '[');
    for (ssize_t i = 0; i < count; i++)
        for (size_t n = 0; n < name_count; n++) {
            struct unloading unloading = {.name = names[n], .dry_run = ls_control_flag(request, "dry_run")};
            ls_unload_report_init(&unloading.report);
            int rc = call_session(list[i], run_unloading, &unloading, &unloading.err);
            if (rc == 0) rc = unloading.rc;
            if (rc > 0) {
                written++;
                write_unload(&line, list[i], &unloading);
            } else if (rc < 0 && rc != LS_ENOTFOUND && rc != LS_ECLOSED) {
                ls_err_move(&problem, &unloading.err);
            }
            ls_unload_report_release(&unloading.report);
            ls_err_release(&unloading.err);
        }
    ls_buf_char(&line, ']');
    if (written == 0 && problem.code != 0) {
        fail_with(client, request, &problem);
        ls_buf_release(&line);
    } else {
        ls__control_end(client, &line);
    }
    ls_hosted_unref_all(list, (size_t)count);
}

/* --- reload, restart, state --- */

static void run_reload_command(struct control_client *client, struct ls_control *request)
{
    struct ls_server *server = ls__control_server(client);
    const char *const *files;
    size_t count = ls_control_list(request, "files", &files);
    LS_ERR(err);
    struct ls_burst *burst = ls__reload_burst_of(server, files, count, &err);
    if (!burst) {
        fail_with(client, request, &err);
        return;
    }
    struct ls_buf line = LS_BUF_INIT, results = LS_BUF_INIT;
    int rc = ls__reload_command(server, burst, &results, RELOAD_WAIT_MS);
    ls_burst_unref(burst);
    if (rc < 0) {
        ls__control_fail(client, ls_control_id(request), ls_error_name(rc),
                         "A session is busy; the files are reloaded there when it is done.");
    } else {
        begin_answer(&line, request);
        add_json(&line, "results", &results, "[]");
        ls__control_end(client, &line);
    }
    ls_buf_release(&results);
}

struct restarting {
    struct ls_err err;
    int rc;
};

/* The VM is replaced inside: nobody may interrupt the one that goes. */
static void run_restarting(struct ls_hosted *session, void *arg)
{
    struct restarting *restarting = arg;
    ls_hosted_set_interruptible(session, NULL);
    restarting->rc = ls_backend_restart(session->backend, &restarting->err);
    ls_hosted_set_interruptible(session, ls_backend_session(session->backend));
}

static void run_restart(struct control_client *client, struct ls_control *request, struct ls_hosted *session)
{
    struct restarting restarting = {.rc = 0};
    int rc = call_session(session, run_restarting, &restarting, &restarting.err);
    if (rc < 0) restarting.rc = rc;
    if (restarting.rc < 0) {
        fail_with(client, request, &restarting.err);
    } else {
        struct ls_buf line = LS_BUF_INIT;
        begin_answer(&line, request);
        ls_json_put_str(&line, "session", session->vended);
        ls__control_end(client, &line);
    }
    ls_err_release(&restarting.err);
}

static void tell_state(struct ls_hosted *session, struct ls_buf *members)
{
    struct ls_session *lua = ls_backend_session(session->backend);
    struct ls_buf modules = LS_BUF_INIT, lines = LS_BUF_INIT, failures = LS_BUF_INIT;
    ls_session_modules_json(lua, &modules);
    ls_session_failures(lua, &lines, &failures);
    add_json(members, "modules", &modules, "[]");
    add_json(members, "failures", &failures, "[]");
    ls_buf_release(&modules);
    ls_buf_release(&lines);
    ls_buf_release(&failures);
}

/* H101: what one needs when nothing happens on save. */
static void run_state(struct control_client *client, struct ls_control *request)
{
    struct ls_server *server = ls__control_server(client);
    struct ls_hosted **list;
    const char *name = ls_control_text(request, "session", NULL);
    ssize_t count = find_sessions(client, request, &name, name ? 1 : 0, &list);
    if (count < 0) return;
    struct census *census = ask_sessions(list, (size_t)count, tell_state);
    struct ls_buf line = LS_BUF_INIT, hotload = LS_BUF_INIT;
    begin_answer(&line, request);
    ls_json_open(&line, "sessions", '[');
    for (ssize_t i = 0; census && i < count; i++) {
        ls_json_open(&line, NULL, '{');
        ls_json_put_str(&line, "session", list[i]->vended);
        end_row(&line, &census->rows[i]);
    }
    if (census) ls_gather_unref(&census->gather);
    ls_buf_char(&line, ']');
    if (server->hotload) ls_hotload_state_json(server->hotload, &hotload);
    add_json(&line, "hotload", &hotload, "null");
    ls__control_end(client, &line);
    ls_buf_release(&hotload);
    ls_hosted_unref_all(list, (size_t)count);
}

/* --- the table --- */

typedef void (*run_fn)(struct control_client *client, struct ls_control *request);
typedef void (*run_in_fn)(struct control_client *client, struct ls_control *request, struct ls_hosted *session);

static const struct {
    const char *name;
    run_fn run;
    run_in_fn run_in;                    /* instead: in one session */
    const char *needs_text, *needs_list; /* a member of this name and kind */
} commands[] = {
    {"ping", run_ping, NULL, NULL, NULL},
    {"sessions", run_sessions, NULL, NULL, NULL},
    {"eval", NULL, run_eval, "code", NULL},
    {"complete", NULL, run_complete, "line", NULL},
    {"interrupt", NULL, run_interrupt, NULL, NULL},
    {"unload", run_unload, NULL, NULL, "names"},
    {"restart", NULL, run_restart, "session", NULL},
    {"reload", run_reload_command, NULL, NULL, NULL},
    {"state", run_state, NULL, NULL, NULL},
};

enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void run_in_session(struct control_client *client, struct ls_control *request, run_in_fn run)
{
    struct ls_hosted *session = run == run_eval
                                    ? find_or_make(client, request)
                                    : find_session(client, request, ls_control_text(request, "session", NULL));
    if (session) run(client, request, session);
    ls_hosted_unref(session);
}

/* What a request may not leave to chance: a session that is named wrongly is not the default one, and not all. */
static bool find_wrong_member(struct ls_control *request, const char *text, const char *list, const char **name,
                              bool *is_list)
{
    const struct {
        const char *name;
        bool list, needed;
    } members[] = {{text, false, true}, {list, true, true}, {"session", false, false}, {"sessions", true, false}};
    const char *const *items;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        *name = members[i].name;
        *is_list = members[i].list;
        if (!*name) continue;
        if (ls_control_is_odd(request, *name, *is_list)) return true;
        if (!members[i].needed) continue;
        if (*is_list ? ls_control_list(request, *name, &items) == 0 : !ls_control_text(request, *name, NULL))
            return true;
    }
    return false;
}

void ls__command_run(struct control_client *client, struct ls_control *request)
{
    const char *name = ls_control_cmd(request), *code = *name != '\0' ? "unknown-command" : "bad-request";
    struct ls_buf text = LS_BUF_INIT;
    size_t at = 0;
    while (at < COMMAND_COUNT && strcmp(name, commands[at].name) != 0)
        at++;
    const char *member;
    bool list;
    if (!ls__server_await_start(ls__control_server(client))) {
        code = "busy";
        ls_buf_str(&text, "The server is stopping.");
    } else if (at == COMMAND_COUNT) {
        ls_buf_printf(&text, "There is no command '%.100s'.", name);
    } else if (find_wrong_member(request, commands[at].needs_text, commands[at].needs_list, &member, &list)) {
        code = "bad-request";
        ls_buf_printf(&text, "For the command '%s' the member '%s' must be %s.", name, member,
                      list ? "a list of texts" : "a text");
    } else if (commands[at].run) {
        commands[at].run(client, request);
    } else {
        run_in_session(client, request, commands[at].run_in);
    }
    if (text.len > 0) ls__control_fail(client, ls_control_id(request), code, ls_buf_text(&text));
    ls_buf_release(&text);
}
