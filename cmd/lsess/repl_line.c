/* The line editor of `lsess repl`: libedit with history, reverse search, and completion computed in the session (cli.md
 * C4). */
#include "repl.h"

#include <dlfcn.h>
#include <errno.h>
#include <histedit.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"

/* libedit is loaded when somebody sits at a terminal: it brings three more libraries, without which every command, and
 * the server, starts in four fifths of the time. */
/* clang-format off */
#define FUNCTIONS(X)                                                                                                   \
    X(el_cursor) X(el_deletestr) X(el_end) X(el_get) X(el_gets) X(el_init) X(el_insertstr) X(el_line) X(el_resize)     \
    X(el_set) X(el_source) X(el_wset) X(history) X(history_end) X(history_init)

static struct {
#define X(name) __typeof__(name) *name;
    FUNCTIONS(X)
#undef X
} libedit;

/* @return false: it is not there, or lacks something; dlerror() says what */
static bool load_libedit(void)
{
    void *library = dlopen("libedit.so.2", RTLD_NOW); /* Debian's name; never closed */
    if (!library) library = dlopen("libedit.so.0", RTLD_NOW);
    if (!library) return false;
#define X(name) && (libedit.name = (__typeof__(name) *)dlsym(library, #name))
    return true FUNCTIONS(X);
#undef X
}
/* clang-format on */

/* libedit's callbacks get no context of ours but EL_CLIENTDATA; the prompt function only the EditLine. */
struct shell {
    struct repl *repl;
    struct ls_buf prompt;
    struct ls_buf chunk; /* lines of an input that is not complete yet */
    struct ls_buf history_file;
    bool lost; /* the server went away while a line was edited */
};

static char *show_prompt(EditLine *editor)
{
    struct shell *shell;
    libedit.el_get(editor, EL_CLIENTDATA, &shell);
    ls_buf_clear(&shell->prompt);
    ls_buf_printf(&shell->prompt, "lsess:%s%s ", shell->repl->session, shell->chunk.len > 0 ? ">>" : ">");
    return shell->prompt.data ? shell->prompt.data : (char *)"> ";
}

/* What of a candidate follows the letters typed already: candidates may be whole chains or last names. */
static const char *rest_of(const char *candidate, const char *typed, size_t len)
{
    const char *name = candidate + strlen(candidate);
    while (name > candidate && name[-1] != '.' && name[-1] != ':')
        name--;
    return strncmp(name, typed, len) ? NULL : name + len;
}

enum { MOST_LISTED = 200 };

/* In columns of the terminal's width, those that go on from the letters typed. */
static void list_candidates(struct json names, const char *typed, size_t typed_len, size_t count)
{
    struct ls_buf text = LS_BUF_INIT;
    struct winsize size = {0};
    struct json name;
    size_t at = 0, widest = 1, shown = 0;
    while (json_item(names, &at, &name))
        if (rest_of(json_shown(name, &text), typed, typed_len) && text.len > widest) widest = text.len;
    size_t width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80,
           columns = width / (widest + 2);
    if (columns == 0) columns = 1;
    at = 0;
    putchar('\n');
    while (shown < MOST_LISTED && json_item(names, &at, &name)) {
        if (!rest_of(json_shown(name, &text), typed, typed_len)) continue;
        bool last = ++shown % columns == 0 || shown == count;
        printf("%-*s%s", last ? 0 : (int)widest + 2, ls_buf_text(&text), last ? "\n" : "");
    }
    if (shown < count) printf("%s… and %zu more\n", shown % columns ? "\n" : "", count - shown);
    ls_buf_release(&text);
}

/* The candidates for what stands before the cursor as a JSON array, {NULL, 0} when there are none. Borrowed from `room`
 * or the client. */
static struct json find_candidates(struct shell *shell, const char *line, size_t len, struct ls_buf *room)
{
    struct repl *repl = shell->repl;
    struct ls_buf fields = LS_BUF_INIT, entry = LS_BUF_INIT;
    struct json answer, none = {NULL, 0};
    if (len > 0 && line[0] == '.' && shell->chunk.len == 0 && !memchr(line, ' ', len)) {
        repl_dot_names(room);
        return (struct json){ls_buf_text(room), room->len};
    }
    ls_json_put_str(&fields, "session", repl->session);
    ls_buf_add(&entry, ls_buf_text(&shell->chunk), shell->chunk.len);
    ls_buf_add(&entry, line, len);
    ls_json_put_string(&fields, "line", ls_buf_text(&entry), entry.len);
    ls_buf_release(&entry);
    int status = client_call(&repl->client, "complete", ls_buf_text(&fields), NULL, NULL, &answer);
    ls_buf_release(&fields);
    return status == STATUS_DONE ? json_member(answer, "completions") : none;
}

static unsigned char complete(EditLine *editor, int key)
{
    (void)key;
    struct shell *shell;
    libedit.el_get(editor, EL_CLIENTDATA, &shell);
    const LineInfo *line = libedit.el_line(editor);
    size_t len = (size_t)(line->cursor - line->buffer), typed = 0, at = 0, count = 0;
    while (typed < len && ls_is_word(line->cursor[-1 - (ptrdiff_t)typed]))
        typed++;
    const char *letters = line->cursor - typed;
    struct ls_buf room = LS_BUF_INIT, name = LS_BUF_INIT, common = LS_BUF_INIT;
    struct json names = find_candidates(shell, line->buffer, len, &room), item;
    unsigned char result = CC_ERROR;
    while (json_item(names, &at, &item)) {
        const char *rest = rest_of(json_string(item, &name), letters, typed);
        if (!rest) continue;
        if (count++ == 0) {
            ls_buf_str(&common, rest);
        } else {
            size_t same = 0;
            while (same < common.len && common.data[same] == rest[same])
                same++;
            ls_buf_cut(&common, same);
        }
    }
    if (common.len > 0) {
        libedit.el_insertstr(editor, common.data);
        result = CC_REFRESH;
    } else if (count > 1) {
        list_candidates(names, letters, typed, count);
        result = CC_REDISPLAY;
    }
    ls_buf_release(&room);
    ls_buf_release(&name);
    ls_buf_release(&common);
    return result;
}

/* $XDG_STATE_HOME/lsess/history, or ~/.local/state/lsess/history. */
static void find_history(struct ls_buf *path)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && *state != '\0')
        ls_buf_printf(path, "%s/lsess", state);
    else if (home && *home != '\0')
        ls_buf_printf(path, "%s/.local/state/lsess", home);
    else
        return;
    for (char *slash = strchr(path->data + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path->data, 0700);
        *slash = '/';
    }
    mkdir(path->data, 0700);
    ls_buf_str(path, "/history");
}

/* libedit's own handlers (EL_SIGNAL) see only the first signal of a line, and after a change of size it paints the
 * prompt a second time. */
static volatile sig_atomic_t resized, continued;

static void on_terminal_signal(int number)
{
    if (number == SIGWINCH)
        resized = 1;
    else
        continued = 1;
}

static void catch_terminal_signals(void)
{
    struct sigaction action = {.sa_handler = on_terminal_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGWINCH, &action, NULL);
    sigaction(SIGCONT, &action, NULL);
}

static void redraw(EditLine *editor)
{
    if (continued != 0) libedit.el_set(editor, EL_PREP_TERM, 1); /* the shell has had the terminal in the meantime */
    if (resized != 0) libedit.el_resize(editor);
    if (resized != 0 || continued != 0) {
        fputs("\r\033[J", stdout);
        fflush(stdout);
        libedit.el_set(editor, EL_REFRESH);
    }
    resized = continued = 0;
}

/* Between inputs the server says nothing: what can be read there is its end. */
static bool server_gone(const struct client *client)
{
    char byte;
    return recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* The next character typed. Waits for the server's end as well, so that a shell without a server does not pretend to be
 * one.
 * @return 1; 0 = end of the input; -1 = error, as libedit wants it */
static int read_character(EditLine *editor, wchar_t *out)
{
    struct shell *shell;
    mbstate_t state = {0};
    libedit.el_get(editor, EL_CLIENTDATA, &shell);
    for (;;) {
        struct pollfd wait[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                 {.fd = shell->repl->client.fd, .events = POLLIN}};
        if (poll(wait, 2, -1) < 0) {
            if (errno != EINTR) return -1;
            redraw(editor);
            continue;
        }
        if (wait[1].revents && server_gone(&shell->repl->client)) {
            shell->lost = true;
            return 0;
        }
        if (!wait[0].revents) continue;
        char byte;
        ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n <= 0) return (int)n;
        size_t done = mbrtowc(out, &byte, 1, &state);
        if (done == (size_t)-2) continue; /* the first bytes of a longer character */
        if (done != (size_t)-1) return 1;
        state = (mbstate_t){0}; /* not a character: it is left out */
    }
}

/* One line, or the last of an input of several. @return false = leave */
static bool take_line(struct shell *shell, const char *text, int *status)
{
    size_t len = strlen(text);
    if (shell->chunk.len == 0 && text[strspn(text, " \t")] == '.')
        return repl_dot(shell->repl, text + strspn(text, " \t"));
    if (shell->chunk.len == 0 && text[strspn(text, " \t\n")] == '\0') return true;
    ls_buf_add(&shell->chunk, text, len);
    enum input_result result = repl_input(shell->repl, ls_buf_text(&shell->chunk), false);
    if (result == INPUT_INCOMPLETE) return true;
    ls_buf_clear(&shell->chunk);
    if (result == INPUT_LOST) *status = repl_lost_status(shell->repl);
    return result != INPUT_LOST;
}

/* Ctrl-C while a line is edited: the line goes, and with it the lines of an input not complete yet. */
static unsigned char cancel(EditLine *editor, int key)
{
    (void)key;
    struct shell *shell;
    libedit.el_get(editor, EL_CLIENTDATA, &shell);
    const LineInfo *line = libedit.el_line(editor);
    libedit.el_cursor(editor, (int)(line->lastchar - line->cursor));
    libedit.el_deletestr(editor, (int)(line->lastchar - line->buffer));
    ls_buf_clear(&shell->chunk);
    fputs("^C\n", stdout);
    fflush(stdout);
    return CC_REDISPLAY;
}

/* Ctrl-Z while a line is edited: the terminal is the shell's until somebody says `fg`. */
static unsigned char stop(EditLine *editor, int key)
{
    (void)key;
    libedit.el_set(editor, EL_PREP_TERM, 0);
    raise(SIGTSTP);
    redraw(editor);
    return CC_NORM;
}

static void set_up(EditLine *editor, History *past, struct shell *shell)
{
    HistEvent event;
    find_history(&shell->history_file);
    libedit.history(past, &event, H_SETSIZE, 2000);
    libedit.history(past, &event, H_SETUNIQUE, 1);
    if (shell->history_file.len > 0) libedit.history(past, &event, H_LOAD, shell->history_file.data);
    libedit.el_set(editor, EL_CLIENTDATA, shell);
    libedit.el_set(editor, EL_PROMPT, show_prompt);
    libedit.el_set(editor, EL_HIST, libedit.history, past);
    libedit.el_set(editor, EL_EDITOR, "emacs");
    libedit.el_set(editor, EL_GETCFN, read_character);
    /* In wide characters, which the editor borrows: of narrow texts it would make copies that it never frees. */
    libedit.el_wset(editor, EL_ADDFN, L"lsess-complete", L"complete the name", complete);
    libedit.el_wset(editor, EL_ADDFN, L"lsess-cancel", L"give the line up", cancel);
    libedit.el_wset(editor, EL_ADDFN, L"lsess-stop", L"stop until continued", stop);
    libedit.el_set(editor, EL_BIND, "^I", "lsess-complete", NULL);
    libedit.el_set(editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
    /* While a line is edited Ctrl-C is a key like others; while an input runs it is a signal. */
    libedit.el_set(editor, EL_SETTY, "-d", "-isig", NULL);
    libedit.el_set(editor, EL_BIND, "^C", "lsess-cancel", NULL);
    libedit.el_set(editor, EL_BIND, "^Z", "lsess-stop", NULL);
    libedit.el_source(editor, NULL); /* the user's own ~/.editrc */
}

int repl_interact(struct repl *repl)
{
    struct shell shell = {.repl = repl};
    int status = STATUS_DONE, count;
    HistEvent event;
    const char *line;
    if (!load_libedit()) return complain(STATUS_FAILED, "the line editor cannot be loaded: %s", dlerror());
    EditLine *editor = libedit.el_init("lsess", stdin, stdout, stderr);
    History *past = libedit.history_init();
    if (!editor || !past) return complain(STATUS_FAILED, "the line editor cannot be started: %s", strerror(errno));
    set_up(editor, past, &shell);
    catch_terminal_signals();
    printf("lsess %s, session %s; .help lists commands, Ctrl-D leaves\n", LS_VERSION, repl->session);
    while ((line = libedit.el_gets(editor, &count)) && count > 0) {
        if (line[strspn(line, " \t\n")] != '\0') {
            char *entered = ls_strndup(line, strcspn(line, "\n"));
            if (entered) libedit.history(past, &event, H_ENTER, entered);
            ls_free(entered);
            /* At once: a terminal that is closed must not take the history along. */
            if (shell.history_file.len > 0) libedit.history(past, &event, H_SAVE, shell.history_file.data);
        }
        if (!take_line(&shell, line, &status)) break;
    }
    if (!line || count <= 0) putchar('\n');
    libedit.history_end(past);
    libedit.el_end(editor);
    fflush(stdout);
    if (shell.lost) status = client_lost(&repl->client);
    ls_buf_release(&shell.prompt);
    ls_buf_release(&shell.chunk);
    ls_buf_release(&shell.history_file);
    return status;
}
