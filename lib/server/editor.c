/* Opening a file of the site in the person's editor, asked for by a page (C2, LSESS_EDITOR).
 *
 * The page names a tracking key and a line; nothing else of it reaches the command, and no shell runs: the template is
 * cut into words first, and the file and the line are put into words. Only with hot reload, and only for the user who
 * serves (ls_request_is_local).
 *
 * Threads: civetweb's workers. */
#include "server/server_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"
#include "files/fspath.h"

enum { MAX_WORDS = 32, MAX_BODY = 65536 };

/* A word of the template with {file} and {line} replaced. Owned. */
static char *fill_word(const char *word, size_t len, const char *file, const char *line, bool *has_file)
{
    struct ls_buf out = LS_BUF_INIT;
    for (size_t i = 0; i < len;) {
        if (len - i >= 6 && strncmp(word + i, "{file}", 6) == 0) {
            ls_buf_str(&out, file);
            *has_file = true;
            i += 6;
        } else if (len - i >= 6 && strncmp(word + i, "{line}", 6) == 0) {
            ls_buf_str(&out, line);
            i += 6;
        } else {
            ls_buf_char(&out, word[i++]);
        }
    }
    return ls_buf_detach(&out, NULL);
}

static size_t split_template(const char *template, const char *file, const char *line, char **words)
{
    size_t count = 0;
    bool has_file = false;
    for (const char *at = template + strspn(template, " \t"); *at != '\0' && count < MAX_WORDS - 2;) {
        size_t step = strcspn(at, " \t");
        words[count++] = fill_word(at, step, file, line, &has_file);
        at += step;
        at += strspn(at, " \t");
    }
    if (count > 0 && !has_file) words[count++] = ls_strdup(file);
    words[count] = NULL;
    return count;
}

/* Twice forked, so that the editor is nobody's zombie. Between fork and exec only async-signal-safe calls are made. */
static bool start_program(char **words)
{
    int problem[2];
    if (pipe2(problem, O_CLOEXEC) < 0) return false;
    pid_t child = fork();
    if (child == 0) {
        setsid();
        if (fork() == 0) {
            int null = open("/dev/null", O_RDWR);
            if (null >= 0) {
                dup2(null, 0);
                dup2(null, 1);
            }
            execvp(words[0], words);
            int code = errno;
            if (write(problem[1], &code, sizeof code) < 0) _exit(126);
        }
        _exit(0);
    }
    close(problem[1]);
    int code = child < 0 ? errno : 0;
    if (child > 0) {
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            continue;
        while (read(problem[0], &code, sizeof code) < 0 && errno == EINTR)
            continue;
    }
    close(problem[0]);
    if (code != 0) ls_log(0, "The editor '%s' of LSESS_EDITOR cannot be started: %s.", words[0], strerror(code));
    return code == 0;
}

/* The file that a key of this session names: below the site, or one that the session has loaded from elsewhere by a
 * link (L26). Owned. */
static char *find_file(struct ls_hosted *session, const char *key)
{
    const char *root = session->server->site.root;
    struct ls_buf path = LS_BUF_INIT;
    if (!root || key[0] == '/' || key[0] == '\0') return NULL;
    ls_path_join(&path, root, key);
    char *real = ls_path_within(session->server->web.within, ls_buf_text(&path), NULL);
    ls_buf_release(&path);
    struct ls_reload_file file = {.key = key};
    bool ok = real && ls_is_file(real) && (ls_path_rest(root, real) || ls_hosted_may_want(session, &file, 1));
    if (!ok) {
        ls_free(real);
        real = NULL;
    }
    return real;
}

static int open_file(struct ls_request *request, struct ls_hosted *session, const struct ls_buf *body)
{
    const char *value;
    size_t len;
    struct ls_buf key = LS_BUF_INIT;
    struct ls_json_reader reader;
    if (ls_json_member(ls_buf_text(body), body->len, "key", &value, &len) && len >= 2 && value[0] == '"')
        ls_json_unescape(&key, value + 1, len - 2);
    int64_t line = 1;
    if (ls_json_member(ls_buf_text(body), body->len, "line", &value, &len)) {
        ls_json_read(&reader, value, len);
        line = ls_json_next(&reader) == LS_JSON_INT && reader.integer > 0 && reader.integer < 100000000 ? reader.integer
                                                                                                        : 1;
    }
    char *file = key.len > 0 && strlen(key.data) == key.len ? find_file(session, key.data) : NULL;
    ls_buf_release(&key);
    if (!file) return ls_reply_text(request->http, 404, "There is no such file in the site.\n");
    char number[24], *words[MAX_WORDS];
    snprintf(number, sizeof number, "%lld", (long long)line);
    size_t count = split_template(request->web->server->config.editor, file, number, words);
    bool ok = count > 0 && start_program(words);
    for (size_t i = 0; i < count; i++)
        ls_free(words[i]);
    ls_free(file);
    if (!ok) return ls_reply_text(request->http, 500, "The editor could not be started.\n");
    struct ls_reply reply;
    ls_reply_init(&reply, 204, NULL);
    return ls_reply_send(&reply, request->http);
}

int ls__editor_open(struct ls_request *request)
{
    struct ls_server *server = request->web->server;
    char id[LS_RANDOM_ID + 1];
    if (strcmp(request->info->request_method, "POST") != 0) return ls_reply_not_allowed(request);
    if (!server->config.watch || !server->config.editor || !ls_request_is_local(&server->web, request->info))
        return ls_reply_text(
            request->http, 403,
            "Files are opened only with --watch, for a page of the user who serves, on this machine, that came by no proxy, and "
            "when LSESS_EDITOR names an editor.\n");
    int len = ls_request_param(request, "session", id, sizeof id);
    struct ls_hosted *session = len > 0 ? ls_manager_find(server->manager, id, (size_t)len) : NULL;
    if (!session) return ls_reply_text(request->http, 404, "There is no such session.\n");
    struct ls_buf body = LS_BUF_INIT;
    int status = ls_request_body(request, MAX_BODY, &body) < 0
                     ? ls_reply_text(request->http, 400, "The request cannot be read.\n")
                     : open_file(request, session, &body);
    ls_buf_release(&body);
    ls_hosted_unref(session);
    return status;
}
