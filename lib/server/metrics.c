/* GET /metrics: what the server does, for those who watch it (N23). Nothing waits for a session: each figure is an
 * atomic counter or is read under a lock that is held for look-ups only.
 *
 * Threads: civetweb's workers. */
#include "server/server_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void put(struct ls_buf *out, const char *name, const char *type, const char *help, double value)
{
    ls_buf_printf(out, "# HELP lsess_%s %s\n# TYPE lsess_%s %s\nlsess_%s %.9g\n", name, help, name, type, name, value);
}

static void gauge(struct ls_buf *out, const char *name, const char *help, double value)
{
    put(out, name, "gauge", help, value);
}

static void counter(struct ls_buf *out, const char *name, const char *help, double value)
{
    put(out, name, "counter", help, value);
}

static double seconds(unsigned long long ns)
{
    return (double)ns / 1e9;
}

/* @return bytes of memory that the process has, 0 = not known */
static double resident(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%*u %llu", &pages) != 1) pages = 0;
    if (file) fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void put_sessions(struct ls_server *server, struct ls_buf *out)
{
    struct ls_hosted **list;
    size_t count = ls_manager_list(server->manager, &list), memory = 0, busy = 0;
    int64_t longest = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t running = ls_queue_running_ns(list[i]->queue);
        memory += ls_budget_total(&list[i]->budget);
        busy += running > 0;
        longest = running > longest ? running : longest;
    }
    ls_hosted_unref_all(list, count);
    gauge(out, "sessions", "Sessions that are there.", (double)count);
    gauge(out, "sessions_busy", "Sessions in which something runs just now.", (double)busy);
    gauge(out, "sessions_longest_run_seconds", "How long the longest of these has been running.",
          seconds((unsigned long long)longest));
    gauge(out, "sessions_memory_bytes", "What all sessions keep together, as --memory-limit counts.", (double)memory);
}

static void put_figures(struct ls_server *server, struct ls_buf *out)
{
    struct ls_executor_waits waits;
    struct figures *figures = &server->figures;
    ls_executor_waits(server->executor, &waits);
    put_sessions(server, out);
    gauge(out, "connections", "Pages that are connected.", atomic_load(&server->sockets_open));
    gauge(out, "http_connections", "Connections that hold a thread of the HTTP server.",
          atomic_load(&server->web.held));
    gauge(out, "workers", "Threads that run Lua.", ls_executor_workers(server->executor));
    counter(out, "queue_waits_total", "How often a session has waited for one of them.", (double)waits.count);
    counter(out, "queue_wait_seconds_total", "How long together.", seconds(waits.ns));
    counter(out, "detections_total", "Batches after which changes were looked for.",
            (double)atomic_load(&figures->detections));
    counter(out, "detection_seconds_total", "How long that took together.",
            seconds(atomic_load(&figures->detection_ns)));
    counter(out, "saves_total", "Bursts of saved files.", (double)atomic_load(&server->web.generation));
    counter(out, "reloads_total", "Sessions that have taken up a burst.", (double)atomic_load(&figures->reloads));
    counter(out, "reload_seconds_total", "How long that took together, without detection.",
            seconds(atomic_load(&figures->reload_ns)));
    gauge(out, "memory_resident_bytes", "Memory of the process.", resident());
}

int ls__metrics_send(struct ls_request *request)
{
    if (!request->get) return ls_reply_not_allowed(request);
    if (!ls_request_is_near(request))
        return ls_reply_text(request->http, 403, "Figures are for this machine and for --trust-proxy alone.\n");
    struct ls_buf text = LS_BUF_INIT;
    put_figures(request->web->server, &text);
    struct ls_reply reply;
    ls_reply_init(&reply, 200, "text/plain; version=0.0.4; charset=utf-8");
    ls_reply_header(&reply, "Cache-Control", "no-store");
    reply.body = ls_buf_text(&text);
    reply.len = text.len;
    int status = ls_reply_send(&reply, request->http);
    ls_buf_release(&text);
    return status;
}
