/* The server as a whole, as its parts see it: whether it is open, and memory that goes back to the system when somebody
 * has gone.
 *
 * Threads: any. */
#include "server/server_internal.h"

#include <malloc.h>

#include "base/clock.h"

enum { UNLIMITED_PATIENCE_MS = 60000 };
enum { TRIM_DELAY_MS = 500, TRIM_PERIOD_MS = 10000 };

void ls__server_set_phase(struct ls_server *server, enum phase phase)
{
    pthread_mutex_lock(&server->start_lock);
    atomic_store(&server->phase, phase);
    pthread_cond_broadcast(&server->started);
    pthread_mutex_unlock(&server->start_lock);
}

bool ls__server_await_start(struct ls_server *server)
{
    if (atomic_load(&server->phase) == PHASE_RUNNING) return true;
    pthread_mutex_lock(&server->start_lock);
    while (atomic_load(&server->phase) == PHASE_OPENING)
        pthread_cond_wait(&server->started, &server->start_lock);
    pthread_mutex_unlock(&server->start_lock);
    return atomic_load(&server->phase) == PHASE_RUNNING;
}

int64_t ls__server_patience(const struct ls_server *server)
{
    int64_t limit = server->config.time_limit_ms, least = LS_SLOW_NS / 1000000;
    return limit <= 0 ? UNLIMITED_PATIENCE_MS : limit + 1000 > least ? limit + 1000 : least;
}

void ls__server_trim(void *ctx)
{
    struct ls_server *server = ctx;
    atomic_store(&server->trimmed_ns, ls_now_ns());
    malloc_trim(0);
}

void ls__server_trim_later(void *ctx)
{
    struct ls_server *server = ctx;
    int64_t soon = ls_now_ns() + ls_ms(TRIM_DELAY_MS), before = atomic_load(&server->trimmed_ns),
            next = before + ls_ms(TRIM_PERIOD_MS);
    ls_alarm_set(&server->trim, before > 0 && next > soon ? next : soon);
}
