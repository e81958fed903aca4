/* The front as a whole: its loops, and the list of WebSockets that are open. Threads: any; the list has a lock, under
 * which nothing is called. */
#include "base/alloc.h"
#include "front/front_internal.h"

struct ls_front *ls_front_open(const struct ls_front_config *config, struct ls_err *err)
{
    struct ls_front *front = ls_zalloc(sizeof *front);
    int count = config->loops > 0 ? config->loops : 1;
    if (front) {
        pthread_mutex_init(&front->lock, NULL);
        front->config = *config;
        front->deflater = ls__deflater_new();
        front->loops = ls_array((size_t)count, sizeof *front->loops);
    }
    if (!front || !front->deflater || !front->loops) {
        ls_fail(err, LS_ENOMEM, "Out of memory while starting the front.");
        ls_front_close(front);
        return NULL;
    }
    for (; front->loop_count < count; front->loop_count++) {
        front->loops[front->loop_count] = ls__loop_new(err);
        if (front->loops[front->loop_count]) continue;
        ls_front_close(front);
        return NULL;
    }
    return front;
}

/* No thread of a loop is left that might handle one of them. */
static void end_all(struct ls_front *front)
{
    for (;;) {
        pthread_mutex_lock(&front->lock);
        struct ls_ws *ws = front->open;
        if (ws) ls_ws_ref(ws);
        pthread_mutex_unlock(&front->lock);
        if (!ws) return;
        ls__ws_finish(ws); /* which takes it out of the list */
        ls__ws_bury(ws);
        ls_ws_unref(ws);
    }
}

void ls_front_close(struct ls_front *front)
{
    if (!front) return;
    ls__relay_settle(front);
    pthread_mutex_lock(&front->lock);
    front->closing = true;
    pthread_mutex_unlock(&front->lock);
    for (int i = 0; i < front->loop_count; i++)
        ls__loop_stop(front->loops[i]);
    end_all(front);
    ls__held_end_all(front);
    ls__listen_end_all(front);
    ls__relay_end_all(front);
    for (int i = 0; i < front->loop_count; i++)
        ls__loop_free(front->loops[i]);
    ls_free(front->loops);
    ls_free(front->by_port);
    ls__deflater_unref(front->deflater);
    pthread_mutex_destroy(&front->lock);
    ls_free(front);
}

int ls_front_threads(struct ls_front *front)
{
    int count = 0;
    for (int i = 0; i < front->loop_count; i++)
        count += ls__loop_threads(front->loops[i]);
    return count;
}
