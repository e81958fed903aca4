/* os.execute and io.popen of sites. They do what the library's own do, in a server (L5, L13, C2, P40a):
 *   - the time in which a command is waited for does not count against the time limit;
 *   - a command has the signals of a fresh process, and SIGINT goes on ending the server, which system() would make the
 *   whole process ignore;
 *   - starting one touches no stream but its own. The library's popen flushes all streams of the process, and so waits
 *   for each session that is reading just now.
 *
 * Owner thread: the session's. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "vm/libs.h"

/* What io.popen gives: a file handle of the io library, so that all functions of files take it. It is the cookie of its
 * own stream as well. */
struct pipe_handle {
    luaL_Stream stream; /* first: the io library sees nothing else */
    struct ls_session *session;
    int fd; /* our end; -1 once closed */
    pid_t pid;
};

static void count_wait(struct ls_session *session, int64_t start_ns)
{
    session->vm.waited_ns += ls_now_ns() - start_ns;
}

/* Start `sh -c command`; `fd`, if it is not -1, becomes the child's descriptor `as`. @return 0 or an errno */
static int spawn_shell(const char *command, int fd, int as, pid_t *pid)
{
    static const int reset[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE};
    char shell[] = "sh", option[] = "-c";
    char *copy = ls_strdup(command), *argv[] = {shell, option, copy, NULL};
    posix_spawnattr_t attr;
    posix_spawn_file_actions_t actions;
    sigset_t signals;
    int code = copy ? posix_spawnattr_init(&attr) : ENOMEM;
    if (code != 0) goto out;
    code = posix_spawn_file_actions_init(&actions);
    if (code != 0) goto out_attr;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attr, &signals);
    for (size_t i = 0; i < sizeof reset / sizeof *reset; i++)
        sigaddset(&signals, reset[i]);
    posix_spawnattr_setsigdefault(&attr, &signals);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (fd >= 0) code = posix_spawn_file_actions_adddup2(&actions, fd, as);
    if (code == 0) code = posix_spawn(pid, "/bin/sh", &actions, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
out_attr:
    posix_spawnattr_destroy(&attr);
out:
    ls_free(copy);
    return code;
}

/* The results of the end of a command, as os.execute and close give them. [-0, +3, m] */
static LS_RAISES int push_end(lua_State *L, pid_t pid)
{
    int status = 0;
    pid_t ended;
    int64_t start = ls_now_ns();
    do
        ended = waitpid(pid, &status, 0);
    while (ended < 0 && errno == EINTR);
    count_wait(ls__session_of(L), start);
    if (ended > 0) errno = 0; /* else luaL_execresult takes it for the reason */
    return luaL_execresult(L, ended < 0 ? -1 : status);
}

/* [-0, +(1|3), e] os.execute([command]) */
LS_RAISES int ls__l_os_execute(lua_State *L)
{
    const char *command = luaL_optstring(L, 1, NULL);
    pid_t pid;
    if (!command) {
        lua_pushboolean(L, access("/bin/sh", X_OK) == 0);
        return 1;
    }
    errno = spawn_shell(command, -1, -1, &pid);
    return errno != 0 ? luaL_fileresult(L, 0, NULL) : push_end(L, pid);
}

/* --- io.popen --- */

static ssize_t read_pipe(void *cookie, char *bytes, size_t len)
{
    struct pipe_handle *handle = cookie;
    int64_t start = ls_now_ns();
    ssize_t got;
    do
        got = read(handle->fd, bytes, len);
    while (got < 0 && errno == EINTR);
    count_wait(handle->session, start);
    return got;
}

static ssize_t write_pipe(void *cookie, const char *bytes, size_t len)
{
    struct pipe_handle *handle = cookie;
    int64_t start = ls_now_ns();
    size_t written = 0;
    while (written < len) {
        ssize_t wrote = write(handle->fd, bytes + written, len - written);
        if (wrote < 0 && errno != EINTR) break;
        written += wrote > 0 ? (size_t)wrote : 0;
    }
    count_wait(handle->session, start);
    return (ssize_t)written; /* less than all of it is an error of the stream */
}

static int seek_pipe(void *cookie, off64_t *offset, int whence)
{
    (void)cookie;
    (void)offset;
    (void)whence;
    errno = ESPIPE;
    return -1;
}

static int close_pipe_end(void *cookie)
{
    struct pipe_handle *handle = cookie;
    int code = close(handle->fd);
    handle->fd = -1;
    return code;
}

/* Has the command ended, after at most `ms`? */
static bool ends_within(pid_t pid, int ms)
{
    static const struct timespec nap = {.tv_nsec = 2000000};
    for (; ms > 0; ms -= 2) {
        if (waitpid(pid, NULL, WNOHANG) != 0) return true;
        nanosleep(&nap, NULL);
    }
    return false;
}

/* A session that ends waits for nobody for ever (L7): a command that has been left open gets the time to write what it
 * was given, then it is ended. */
static void end_command(pid_t pid)
{
    static const struct {
        int signal, wait_ms;
    } steps[] = {{0, 500}, {SIGTERM, 500}, {SIGKILL, 5000}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        kill(pid, steps[i].signal);
        if (ends_within(pid, steps[i].wait_ms)) return;
    }
}

/* Also when the handle is collected, or the session closed. [-0, +3|0, m] */
static LS_RAISES int close_pipe(lua_State *L)
{
    struct pipe_handle *handle = luaL_checkudata(L, 1, LUA_FILEHANDLE);
    fclose(handle->stream.f);
    handle->stream.f = NULL;
    if (!handle->session->vm.closing) return push_end(L, handle->pid);
    end_command(handle->pid);
    return 0;
}

/* Fill the handle. @return 0 or an errno, nothing left running */
static int open_pipe(struct pipe_handle *handle, const char *command, const char *mode)
{
    bool reads = *mode == 'r';
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return errno;
    handle->fd = ends[reads ? 0 : 1];
    int theirs = ends[reads ? 1 : 0];
    int code = spawn_shell(command, theirs, reads ? STDOUT_FILENO : STDIN_FILENO, &handle->pid);
    close(theirs);
    if (code != 0) {
        close(handle->fd);
        return code;
    }
    handle->stream.f = fopencookie(
        handle, mode,
        (cookie_io_functions_t){.read = read_pipe, .write = write_pipe, .seek = seek_pipe, .close = close_pipe_end});
    if (handle->stream.f) return 0;
    close(handle->fd);
    while (waitpid(handle->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return ENOMEM;
}

/* [-0, +(1|3), e] io.popen(command [, mode]) */
LS_RAISES int ls__l_io_popen(lua_State *L)
{
    const char *command = luaL_checkstring(L, 1), *mode = luaL_optstring(L, 2, "r");
    luaL_argcheck(L, (*mode == 'r' || *mode == 'w') && mode[1] == '\0', 2, "invalid mode");
    struct pipe_handle *handle = lua_newuserdatauv(L, sizeof *handle, 0);
    /* without closef the io library takes it for closed */
    *handle = (struct pipe_handle){.session = ls__session_of(L), .fd = -1};
    luaL_setmetatable(L, LUA_FILEHANDLE);
    errno = open_pipe(handle, command, mode);
    if (errno != 0) return luaL_fileresult(L, 0, command);
    handle->stream.closef = close_pipe;
    return 1;
}
