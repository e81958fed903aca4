/* The control socket: where it lies, who may connect, lines in and lines out (C3, Q3). What a request does is for
 * whoever opens it to say.
 *
 * A Unix stream socket, 0600 in a 0700 folder of the user's; peers with another uid are refused. A socket file that
 * nobody listens on is replaced. Requests of one connection run one after the other; each connection has a thread,
 * since an evaluation may take as long as it likes.
 *
 * Threads: ls-control accepts; one thread a connection; events may be written by any thread and never wait for a
 * watcher. */
#include "server/control.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "base/thread.h"
#include "files/fspath.h"

enum { SEND_WAIT_MS = 1000, MAX_CLIENTS = 256 };

struct control {
    /* -- immutable after open */
    struct ls_server *server;
    control_run_fn run;
    char *path; /* owned */
    int fd;
    pthread_t thread;
    bool started;
    dev_t dev; /* of the socket file, so that only our own is removed */
    ino_t ino;
    /* -- atomic */
    atomic_int watchers;
    /* -- protected by lock */
    pthread_mutex_t lock;
    pthread_cond_t gone;
    struct control_client *clients;
    int client_count;
    bool stopping;
};

/* --- where it lies --- */

/* Why a folder is not this user's alone, or NULL. Whoever may write into what it lies in could put another in its
 * place. `shared`: that may be root's. */
static const char *find_fault(const char *parent, bool shared, const char *folder)
{
    struct stat info;
    if (stat(parent, &info) < 0 || (info.st_uid != geteuid() && !(shared && info.st_uid == 0)) ||
        ((info.st_mode & 022) != 0 && (info.st_mode & S_ISVTX) == 0))
        return "lies in a folder of another user, or which others may change";
    if (mkdir(folder, 0700) == 0) return NULL;
    if (errno != EEXIST || lstat(folder, &info) < 0) return strerror(errno);
    if (!S_ISDIR(info.st_mode)) return "is a link or no folder";
    if (info.st_uid != geteuid()) return "belongs to another user";
    return (info.st_mode & 0777) != 0700 ? "does not have the mode 0700, so others may have put something there" : NULL;
}

/* One place after the other (C3): whoever made a folder first may have done so to be talked to in place of the server.
 * Clients go the same way. */
static int find_folder(struct ls_buf *folder, struct ls_buf *refused, struct ls_err *err)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR"), *home = getenv("HOME");
    struct stat info;
    const struct passwd *user = home && stat(home, &info) == 0 && info.st_uid == geteuid() ? NULL : getpwuid(geteuid());
    const char *const parents[] = {runtime, "/tmp", user ? user->pw_dir : home};
    for (int i = 0; i < 3; i++) {
        if (!parents[i] || parents[i][0] != '/' || !ls_is_dir(parents[i])) continue;
        ls_buf_clear(folder);
        ls_buf_printf(folder, "%s/%slsess", parents[i], i == 2 ? "." : "");
        if (i == 1) ls_buf_printf(folder, "-%u", (unsigned)geteuid());
        const char *fault = find_fault(parents[i], i == 1, ls_buf_text(folder));
        if (!fault) return 0;
        ls_buf_printf(refused, "%s%s %s", refused->len > 0 ? ", " : "", ls_buf_text(folder), fault);
    }
    return ls_fail(err, LS_EACCESS, "There is no folder for the control socket, --socket names one: %s.",
                   ls_buf_text(refused));
}

int ls_control_default_path(const char *dir, struct ls_buf *path, struct ls_buf *refused, struct ls_err *err)
{
    struct ls_buf folder = LS_BUF_INIT, unsaid = LS_BUF_INIT;
    ls_buf_clear(path);
    int rc = find_folder(&folder, refused ? refused : &unsaid, err);
    char *real = rc == 0 && dir ? ls_path_real(dir, err) : NULL;
    if (rc == 0 && dir && !real) rc = LS_ENOTFOUND;
    if (rc == 0) {
        const char *name = real ? ls_path_base(real) : "demo";
        uint64_t hash = real ? ls_hash(real, strlen(real)) : 0;
        ls_buf_printf(path, "%s/%.40s-%06" PRIx64 ".sock", ls_buf_text(&folder), *name != '\0' ? name : "root",
                      hash & 0xffffff);
    }
    ls_free(real);
    ls_buf_release(&folder);
    ls_buf_release(&unsaid);
    return rc;
}

static int set_address(struct sockaddr_un *address, const char *path, struct ls_err *err)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path)
        return ls_fail(
            err, LS_EINVAL,
            "The path of the control socket has %zu bytes, and %zu are possible; name a shorter one with --socket: %s",
            strlen(path), sizeof address->sun_path - 1, path);
    strcpy(address->sun_path, path);
    return 0;
}

/* Who listens there? @return a pid, 0 = nobody: the file is stale */
static pid_t find_listener(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct ucred peer = {0};
    socklen_t len = sizeof peer;
    if (fd < 0) return 0;
    bool live = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;
    if (live) getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
    close(fd);
    return live ? (peer.pid > 0 ? peer.pid : -1) : 0;
}

static int bind_socket(struct control *control, struct ls_err *err)
{
    struct sockaddr_un address;
    if (set_address(&address, control->path, err) < 0) return LS_EINVAL;
    control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (control->fd < 0) return ls_fail(err, LS_EIO, "The control socket cannot be made: %s.", strerror(errno));
    struct stat info;
    if (lstat(control->path, &info) == 0) {
        pid_t pid = S_ISSOCK(info.st_mode) ? find_listener(&address) : 0;
        if (pid != 0)
            return ls_fail(err, LS_EBUSY, "Another server (pid %d) serves this site; its control socket is %s.",
                           (int)pid, control->path);
        if (!S_ISSOCK(info.st_mode))
            return ls_fail(err, LS_EEXISTS, "%s is in the way of the control socket and is not a socket.",
                           control->path);
        unlink(control->path);
    }
    /* Nobody may connect between bind and chmod: the mode comes from the umask, which is this process's own and is set
     * before threads run Lua. */
    mode_t mask = umask(0177);
    int rc = bind(control->fd, (struct sockaddr *)&address, sizeof address);
    int code = errno;
    umask(mask);
    if (rc < 0 || listen(control->fd, 64) < 0)
        return ls_fail(err, LS_EIO, "The control socket %s cannot be opened: %s.", control->path,
                       strerror(rc < 0 ? code : errno));
    if (lstat(control->path, &info) == 0) {
        control->dev = info.st_dev;
        control->ino = info.st_ino;
    }
    return 0;
}

/* --- lines --- */

static bool send_all(struct control_client *client, const char *text, size_t len, int wait_ms)
{
    while (len > 0) {
        ssize_t n = send(client->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            text += n;
            len -= (size_t)n;
            continue;
        }
        struct pollfd wait = {.fd = client->fd, .events = POLLOUT};
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return false;
        if (poll(&wait, 1, wait_ms) <= 0) return false;
    }
    return true;
}

static void write_line(struct control_client *client, const struct ls_buf *line, int wait_ms)
{
    pthread_mutex_lock(&client->lock);
    if (!client->dead && (ls_buf_failed(line) || !send_all(client, line->data, line->len, wait_ms) ||
                          !send_all(client, "\n", 1, wait_ms))) {
        client->dead = true;
        shutdown(client->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&client->lock);
}

void ls__control_begin(struct ls_buf *line, const char *id)
{
    ls_json_open(line, NULL, '{');
    ls_json_put_raw(line, "id", id, strlen(id));
}

void ls__control_end(struct control_client *client, struct ls_buf *line)
{
    ls_buf_char(line, '}');
    write_line(client, line, SEND_WAIT_MS);
    ls_buf_release(line);
}

void ls__control_fail(struct control_client *client, const char *id, const char *code, const char *message)
{
    struct ls_buf line = LS_BUF_INIT;
    ls__control_begin(&line, id);
    ls_json_put_bool(&line, "ok", false);
    ls_json_open(&line, "error", '{');
    ls_json_put_str(&line, "code", code);
    ls_json_put_str(&line, "message", message);
    ls_buf_char(&line, '}');
    ls__control_end(client, &line);
}

struct ls_server *ls__control_server(struct control_client *client)
{
    return client->control->server;
}

bool ls__control_watched(struct control *control)
{
    return control && atomic_load(&control->watchers) > 0;
}

void ls__control_event(struct control *control, const char *event, const char *fields)
{
    if (!ls__control_watched(control)) return;
    pthread_mutex_lock(&control->lock);
    for (struct control_client *client = control->clients; client; client = client->next) {
        if (!atomic_load(&client->watching)) continue;
        struct ls_buf line = LS_BUF_INIT;
        ls__control_begin(&line, client->watch_id);
        ls_json_put_str(&line, "event", event);
        if (*fields != '\0') ls_json_put_raw(&line, NULL, fields, strlen(fields));
        ls_buf_char(&line, '}');
        write_line(client, &line, 0);
        ls_buf_release(&line);
    }
    pthread_mutex_unlock(&control->lock);
}

/* --- the log, for those who watch (C3) --- */

/* The log is the process's own and may be writing a record when a server closes, so what the tap finds here is looked
 * up under a lock and not handed to it. */
static pthread_mutex_t tapped_lock = PTHREAD_MUTEX_INITIALIZER;
static struct control *tapped; /* protected by tapped_lock: the server opened last */

static void on_log(void *ctx, int level, const char *session, const char *text, size_t len)
{
    (void)ctx;
    pthread_mutex_lock(&tapped_lock);
    if (ls__control_watched(tapped)) {
        struct ls_buf fields = LS_BUF_INIT;
        ls_json_put_int(&fields, "level", level < 0 ? 0 : level);
        ls_json_put_string(&fields, "text", text, len);
        if (session) ls_json_put_str(&fields, "session", session);
        if (!ls_buf_failed(&fields)) ls__control_event(tapped, "log", ls_buf_text(&fields));
        ls_buf_release(&fields);
    }
    pthread_mutex_unlock(&tapped_lock);
}

static void tap_log(struct control *control, bool on)
{
    pthread_mutex_lock(&tapped_lock);
    if (on)
        tapped = control;
    else if (tapped == control)
        tapped = NULL;
    pthread_mutex_unlock(&tapped_lock);
    if (on) ls_log_tap(on_log, NULL);
}

/* --- a connection --- */

static void take_line(struct control_client *client, const char *text, size_t len)
{
    LS_ERR(err);
    struct ls_control *request = ls_control_parse(text, len, &err);
    if (!request)
        ls__control_fail(client, "null", err.code == LS_EINVAL ? "bad-request" : "internal", ls_err_text(&err));
    else if (strcmp(ls_control_cmd(request), "watch") == 0) {
        struct ls_buf line = LS_BUF_INIT;
        ls__control_begin(&line, ls_control_id(request));
        ls_json_put_bool(&line, "ok", true);
        ls__control_end(client, &line);
        pthread_mutex_lock(&client->control->lock);
        ls_free(client->watch_id);
        client->watch_id = ls_strdup(ls_control_id(request));
        if (client->watch_id && !atomic_exchange(&client->watching, true))
            atomic_fetch_add(&client->control->watchers, 1);
        pthread_mutex_unlock(&client->control->lock);
    } else {
        client->control->run(client, request);
    }
    ls_control_free(request);
}

/* Handle the whole lines of what has been read. `skipping`: the rest of a line that was too long (C3: the connection
 * lives on). */
static void take_lines(struct control_client *client, struct ls_buf *in, bool *skipping)
{
    size_t at = 0;
    for (char *end; at < in->len && (end = memchr(in->data + at, '\n', in->len - at));) {
        size_t len = (size_t)(end - in->data) - at;
        if (!*skipping && strspn(in->data + at, " \t\r") < len) take_line(client, in->data + at, len);
        *skipping = false;
        at += len + 1;
    }
    ls_buf_shift(in, at);
    if (in->len <= LS_CONTROL_MAX_LINE) return;
    if (!*skipping) ls__control_fail(client, "null", "too-long", "A control request is at most 1 MiB long.");
    *skipping = true;
    ls_buf_clear(in);
}

static void *serve_client(void *ctx)
{
    struct control_client *client = ctx;
    struct control *control = client->control;
    struct ls_buf in = LS_BUF_INIT;
    bool skipping = false;
    char chunk[16384];
    ssize_t n;
    while ((n = recv(client->fd, chunk, sizeof chunk, 0)) > 0 || (n < 0 && errno == EINTR)) {
        if (n > 0) ls_buf_add(&in, chunk, (size_t)n);
        if (ls_buf_failed(&in)) break;
        take_lines(client, &in, &skipping);
    }
    ls_buf_release(&in);
    pthread_mutex_lock(&control->lock);
    LL_DELETE(control->clients, client);
    if (atomic_load(&client->watching)) atomic_fetch_sub(&control->watchers, 1);
    control->client_count--;
    close(client->fd);
    pthread_mutex_destroy(&client->lock);
    ls_free(client->watch_id);
    ls_free(client);
    pthread_cond_broadcast(&control->gone);
    pthread_mutex_unlock(&control->lock);
    return NULL;
}

static void take_client(struct control *control, int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    /* Q3: the file's mode keeps others out already; this holds where the socket was put into an open folder. */
    bool ours = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.uid == getuid();
    struct control_client *client = ours ? ls_zalloc(sizeof *client) : NULL;
    if (!client) {
        close(fd);
        return;
    }
    client->control = control;
    client->fd = fd;
    pthread_mutex_init(&client->lock, NULL);
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_mutex_lock(&control->lock);
    bool started = !control->stopping && control->client_count < MAX_CLIENTS;
    started = started && pthread_create(&thread, &attr, serve_client, client) == 0;
    if (started) { /* it takes itself out under the lock */
        LL_PREPEND(control->clients, client);
        control->client_count++;
    }
    pthread_mutex_unlock(&control->lock);
    pthread_attr_destroy(&attr);
    if (!started) {
        close(fd);
        pthread_mutex_destroy(&client->lock);
        ls_free(client);
    }
}

static bool is_stopping(struct control *control)
{
    pthread_mutex_lock(&control->lock);
    bool stopping = control->stopping;
    pthread_mutex_unlock(&control->lock);
    return stopping;
}

/* Until the socket is shut down. Without a descriptor left accept says so at once, and again: whoever wants to connect
 * waits, and so does this thread. */
static void *accept_clients(void *ctx)
{
    static const struct timespec nap = {.tv_nsec = 50000000};
    struct control *control = ctx;
    for (;;) {
        int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            take_client(control, fd);
        else if (errno == EINVAL || is_stopping(control))
            return NULL;
        else
            nanosleep(&nap, NULL);
    }
}

/* --- opening and closing --- */

struct control *ls__control_open(struct ls_server *server, const char *path, control_run_fn run, struct ls_err *err)
{
    struct control *control = ls_zalloc(sizeof *control);
    struct ls_buf place = LS_BUF_INIT, refused = LS_BUF_INIT;
    if (!control) {
        ls_fail(err, LS_ENOMEM, "Out of memory while opening the control socket.");
        return NULL;
    }
    control->server = server;
    control->run = run;
    control->fd = -1;
    pthread_mutex_init(&control->lock, NULL);
    pthread_cond_init(&control->gone, NULL);
    int rc = 0;
    if (path)
        ls_buf_str(&place, path);
    else
        rc = ls_control_default_path(server->site.root, &place, &refused, err);
    if (rc == 0 && refused.len > 0)
        ls_log(0, "The control socket is %s, because %s.", ls_buf_text(&place), ls_buf_text(&refused));
    control->path = rc == 0 ? ls_buf_detach(&place, NULL) : NULL;
    ls_buf_release(&place);
    ls_buf_release(&refused);
    if (!control->path || bind_socket(control, err) < 0) {
        ls__control_close(control);
        return NULL;
    }
    int code = ls_thread_start(&control->thread, "ls-control", 0, accept_clients, control);
    if (code != 0) {
        ls_fail(err, LS_EIO, "The thread of the control socket cannot be started: %s.", strerror(code));
        ls__control_close(control);
        return NULL;
    }
    control->started = true;
    tap_log(control, true);
    return control;
}

void ls__control_forget(const struct control *control)
{
    struct stat info;
    if (control && control->ino != 0 && lstat(control->path, &info) == 0 && info.st_ino == control->ino &&
        info.st_dev == control->dev)
        unlink(control->path);
}

void ls__control_close(struct control *control)
{
    if (!control) return;
    tap_log(control, false);
    pthread_mutex_lock(&control->lock);
    control->stopping = true;
    for (struct control_client *client = control->clients; client; client = client->next)
        shutdown(client->fd, SHUT_RDWR);
    pthread_mutex_unlock(&control->lock);
    if (control->started && shutdown(control->fd, SHUT_RDWR) == 0) pthread_join(control->thread, NULL);
    pthread_mutex_lock(&control->lock);
    while (control->clients)
        pthread_cond_wait(&control->gone, &control->lock);
    pthread_mutex_unlock(&control->lock);
    ls__control_forget(control);
    if (control->fd >= 0) close(control->fd);
    pthread_mutex_destroy(&control->lock);
    pthread_cond_destroy(&control->gone);
    ls_free(control->path);
    ls_free(control);
}

const char *ls__control_path(const struct control *control)
{
    return control ? control->path : NULL;
}
