/* Reading a WebSocket: bytes to frames, frames to messages (N10, P36, P37, P40b). What comes is read into a
 * buffer of the thread and handled there; only what is not whole yet is kept, so that a page that says nothing
 * holds no buffer.
 *
 * Thread: who handles the WebSocket. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "front/front_internal.h"

enum { READS = 4 /* until it is the others' turn */ };

static bool fail(struct ls_ws *ws, enum ls_ws_trouble kind, int code, const char *reason)
{
    if (ws->hooks->trouble) ws->hooks->trouble(ws->owner, kind, code, reason);
    ls_ws_close(ws, code, reason);
    return false;
}

static bool fail_large(struct ls_ws *ws)
{
    return fail(ws, LS_WS_TOO_LARGE, 1009, "larger than --max-frame");
}

/* --- messages --- */

static bool give(struct ls_ws *ws, int opcode, const char *data, size_t len)
{
    ls__loop_enter(ws->loop);
    bool go_on = ws->hooks->message(ws, ws->owner, opcode, data, len);
    ls__loop_leave(ws->loop);
    if (!go_on) ls_ws_close(ws, 1001, "");
    return go_on;
}

/* There is no room for a message. The rest of one that comes whole goes nowhere. */
static bool refuse(struct ls_ws *ws)
{
    bool pieces = ws->frame.opcode == LS_WS_CONTINUE || !ws->frame.fin;
    ls__ws_drop(ws, &ws->message);
    ws->message_opcode = 0;
    ws->skipping = ws->frame.left > 0;
    if (ws->hooks->unkept && ws->hooks->unkept(ws, ws->owner, pieces) && !pieces) return true;
    ls_ws_close(ws, 1009, "there is no memory for a message");
    return false;
}

static bool give_expanded(struct ls_ws *ws, int opcode, const char *data, size_t len)
{
    struct ls_buf out = LS_BUF_INIT;
    ls__loop_enter(ws->loop); /* little may become much, and take long */
    int rc = ls__inflate(ws->deflater, data, len, ws->front->config.max_frame, &out, ls__ws_grow, ws);
    bool valid =
        rc == 0 && (opcode != LS_WS_TEXT || (ls__utf8_feed(&ws->utf8, out.data, out.len) && ws->utf8.need == 0));
    ls__loop_leave(ws->loop);
    bool go_on = false;
    if (rc == LS_ENOMEM)
        go_on = refuse(ws);
    else if (rc == LS_ELIMIT)
        fail_large(ws);
    else if (rc < 0)
        fail(ws, LS_WS_MALFORMED, 1007, "a message is not well compressed");
    else if (!valid)
        fail(ws, LS_WS_MALFORMED, 1007, "a message is not valid UTF-8");
    else
        go_on = give(ws, opcode, ls_buf_text(&out), out.len);
    ls__ws_drop(ws, &out);
    return go_on;
}

/* A whole message. */
static bool take_message(struct ls_ws *ws, const char *data, size_t len)
{
    int opcode = ws->message_opcode;
    ws->message_opcode = 0;
    if (ws->message_compressed) return give_expanded(ws, opcode, data, len);
    if (ws->utf8.need > 0) return fail(ws, LS_WS_MALFORMED, 1007, "a message is not valid UTF-8");
    return give(ws, opcode, data, len);
}

/* Room for what has come of a message, and, in steps that double, for what its frame announces: who only announces much
 * gets little. */
static bool grow_message(struct ls_ws *ws, size_t len)
{
    struct ls_buf *message = &ws->message;
    if (message->cap > message->len + len) return true;
    uint64_t more = len + ws->frame.left;
    if (more > len + message->len) more = len + message->len;
    return ls__ws_grow(ws, message, (size_t)more);
}

/* Bytes of a frame that belongs to a message, unmasked. */
static bool take_data(struct ls_ws *ws, const char *data, size_t len)
{
    bool whole = ws->frame.left == 0 && ws->frame.fin;
    struct ls_buf *message = &ws->message;
    if (ws->message_opcode == LS_WS_TEXT && !ws->message_compressed && !ls__utf8_feed(&ws->utf8, data, len))
        return fail(ws, LS_WS_MALFORMED, 1007, "a message is not valid UTF-8");
    if (whole && message->len == 0) return take_message(ws, data, len);
    if (!grow_message(ws, len)) return refuse(ws);
    ls_buf_add(message, data, len);
    if (!whole) return true;
    bool go_on = take_message(ws, ls_buf_text(message), message->len);
    ls__ws_drop(ws, message);
    return go_on;
}

/* --- control frames --- */

/* P111 asks whether the end was abnormal: 1000 and 1001 are not, and neither is a close frame without a code, which is
 * what `close()` of a page's script sends. */
static bool take_close(struct ls_ws *ws, const char *data, size_t len)
{
    int code = len >= 2 ? (unsigned char)data[0] << 8 | (unsigned char)data[1] : 0;
    struct ls__utf8 utf8 = {0};
    if (len == 1 || (len >= 2 && !ls__close_code_valid(code)))
        return fail(ws, LS_WS_MALFORMED, 1002, "bad close frame");
    if (len > 2 && (!ls__utf8_feed(&utf8, data + 2, len - 2) || utf8.need > 0))
        return fail(ws, LS_WS_MALFORMED, 1007, "the reason of a close frame is not valid UTF-8");
    ws->ended_well = code == 0 || code == 1000 || code == 1001;
    ls_ws_close(ws, code, "");
    return false;
}

/* Bytes of a control frame. */
static bool take_control(struct ls_ws *ws, const char *data, size_t len)
{
    memcpy(ws->control + ws->control_len, data, len);
    ws->control_len = (uint8_t)(ws->control_len + len);
    if (ws->frame.left > 0) return true;
    len = ws->control_len;
    ws->control_len = 0;
    if (ws->frame.opcode == LS_WS_CLOSE) return take_close(ws, ws->control, len);
    if (ws->frame.opcode != LS_WS_PING) return true;
    struct ls_bytes *payload = ls_bytes_new(ws->control, len);
    if (payload) ls_ws_send(ws, LS_WS_PONG, payload);
    ls_bytes_unref(payload);
    return true;
}

/* --- frames --- */

/* The head of a frame has come. */
static bool begin_frame(struct ls_ws *ws)
{
    const struct ls__frame *frame = &ws->frame;
    uint64_t max = ws->front->config.max_frame;
    if (frame->opcode >= LS_WS_CLOSE) return true;
    if ((frame->opcode == LS_WS_CONTINUE) != (ws->message_opcode != 0))
        return fail(ws, LS_WS_MALFORMED, 1002, "a frame is out of order");
    if (frame->left > SIZE_MAX / 4 || (max > 0 && (frame->left > max || ws->message.len > max - frame->left)))
        return fail_large(ws);
    if (frame->opcode == LS_WS_CONTINUE) return true;
    ws->message_opcode = frame->opcode;
    ws->message_compressed = frame->compressed;
    ws->utf8 = (struct ls__utf8){0};
    return true;
}

/* Keep what has not been looked at. */
static bool keep_rest(struct ls_ws *ws, const char *data, size_t len)
{
    ls_buf_add(&ws->rest, data, len);
    return !ls_buf_failed(&ws->rest) || fail(ws, LS_WS_NO_MEMORY, 1011, "out of memory");
}

/* Handle what has come, in place. @return false when no more is looked at */
static bool take_bytes(struct ls_ws *ws, char *data, size_t len)
{
    while (len > 0) {
        if (atomic_load(&ws->paused)) return keep_rest(ws, data, len);
        if (!ws->in_frame) {
            int rc = ls__frame_head(&ws->frame, &data, &len, ws->deflate != 0);
            if (rc == 0) return true;
            if (rc < 0) return fail(ws, LS_WS_MALFORMED, 1002, "a frame is malformed");
            if (!begin_frame(ws)) return false;
            ws->in_frame = true;
            if (len == 0 && ws->frame.left > 0) return true;
        }
        size_t n = len < ws->frame.left ? len : (size_t)ws->frame.left;
        ls__frame_unmask(&ws->frame, data, n);
        ws->in_frame = ws->frame.left > 0;
        bool go_on = true;
        if (ws->skipping)
            ws->skipping = ws->in_frame;
        else
            go_on = ws->frame.opcode >= LS_WS_CLOSE ? take_control(ws, data, n) : take_data(ws, data, n);
        if (!go_on) return false;
        data += n;
        len -= n;
    }
    return true;
}

/* --- the socket --- */

/* No more is looked at: what the peer still sends is thrown away until it ends, too, because closing on unread bytes
 * would reset the connection under the close frame. The time for that is limited by ls_ws_close. */
static void begin_discard(struct ls_ws *ws)
{
    ws->discard = true;
    ls__ws_drop(ws, &ws->message);
    ls_buf_release(&ws->rest);
    ls__ws_over(ws);
    ls__ws_shut(ws);
}

/* What was kept while it was paused, or came with the handshake. */
static void take_rest(struct ls_ws *ws)
{
    struct ls_buf rest = ws->rest;
    ls_buf_init(&ws->rest);
    if (!take_bytes(ws, rest.data, rest.len)) begin_discard(ws);
    ls_buf_release(&rest);
}

static bool is_cut(struct ls_ws *ws)
{
    pthread_mutex_lock(&ws->send_lock);
    bool cut = ws->cut;
    pthread_mutex_unlock(&ws->send_lock);
    return cut;
}

void ls__ws_read(struct ls_ws *ws)
{
    char *scratch = ls__loop_scratch();
    for (int i = 0; i < READS; i++) {
        if (!ws->discard && atomic_load(&ws->paused)) {
            if (is_cut(ws)) ls__ws_finish(ws);
            return;
        }
        if (ws->rest.len > 0) {
            take_rest(ws);
            continue;
        }
        ssize_t n = recv(ws->fd, scratch, LS_READ_SIZE, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        if (n <= 0) {
            ls__ws_finish(ws);
            return;
        }
        atomic_store_explicit(&ws->last_in_ns, ls__loop_now(ws->loop), memory_order_relaxed);
        if (!ws->discard && !take_bytes(ws, scratch, (size_t)n)) begin_discard(ws);
        /* Less than was asked for: it was all, and the next bytes are a new event. */
        if (n < LS_READ_SIZE && !ws->hung_up && ws->rest.len == 0) return;
    }
    pthread_mutex_lock(&ws->send_lock);
    ls__ws_kick_locked(ws);
    pthread_mutex_unlock(&ws->send_lock);
}
