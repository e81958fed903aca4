/* Queue and frame of one connection. Messages are never moved once written; the rare ones that go out behind later ones
 * instead (P89) are written once more, and the first of the two is marked and left out when the frame is taken.
 * Owner thread: that of the session. It refuses to know timers or sockets: when to flush, and where to, is the
 * backend's. Rules: P58, P65, P97, P118. */
#include "protocol/outgoing.h"

#include "base/array.h"

void ls_outgoing_init(struct ls_outgoing *out, struct ls_budget *budget)
{
    *out = (struct ls_outgoing){.text = {.budget = budget, .extra = LS_BUDGET_SPARE}};
}

void ls_outgoing_release(struct ls_outgoing *out)
{
    ls_buf_release(&out->text);
    ls_budget_free(out->text.budget, out->messages);
    ls_idmap_free(out->ended, NULL);
    ls_idmap_free(out->equal, NULL);
    ls_outgoing_init(out, out->text.budget);
}

void ls_outgoing_clear(struct ls_outgoing *out)
{
    /* One page of a list with megabytes of text must not cost that memory for the connection's life. */
    if (out->text.cap > (size_t)1 << 20) ls_buf_release(&out->text);
    ls_buf_clear(&out->text);
    out->count = out->dropped = out->answers = 0;
    ls_idmap_free(out->ended, NULL);
    ls_idmap_free(out->equal, NULL);
    out->ended = out->equal = NULL;
}

struct ls_buf *ls_outgoing_begin(struct ls_outgoing *out)
{
    if (!LS_RESERVE_IN(out->text.budget, out->text.extra, out->messages, out->count + 1, out->room)) out->lost = true;
    ls_buf_char(&out->text, out->count ? ',' : '[');
    if (out->count < out->room) out->messages[out->count] = (struct ls_outgoing_message){.start = out->text.len};
    return &out->text;
}

void ls_outgoing_end(struct ls_outgoing *out, int64_t id)
{
    if (ls_buf_failed(&out->text) || out->count == out->room) {
        out->lost = true;
        return;
    }
    struct ls_outgoing_message *message = &out->messages[out->count++];
    message->len = out->text.len - message->start;
    message->id = id;
}

void ls_outgoing_end_equal(struct ls_outgoing *out, int64_t id, int64_t key)
{
    ls_outgoing_end(out, id);
    if (!out->equal) out->equal = ls_idmap_new_in(out->text.budget);
    if (out->lost || !out->equal) return;
    size_t place = out->count - 1;
    void *before = ls_idmap_get(out->equal, key);
    size_t earlier = (size_t)((uintptr_t)before / LS_EQUAL_MAX) - 1, many = (size_t)((uintptr_t)before % LS_EQUAL_MAX);
    bool waits = before && earlier < place && out->messages[earlier].key == key && !out->messages[earlier].dropped;
    bool enough = waits && many == LS_EQUAL_MAX - 1;
    out->messages[place].key = key;
    (void)ls_idmap_put(out->equal, key, (void *)((uintptr_t)out->count * LS_EQUAL_MAX + (waits ? many + !enough : 0)),
                       NULL);
    if (!enough) return;
    if (earlier + 1 == place) {
        ls_outgoing_cut(out, place); /* a flood of them takes the room of one */
        (void)ls_idmap_put(out->equal, key, before, NULL);
    } else {
        out->messages[earlier].dropped = true;
        out->dropped++;
    }
}

void ls_outgoing_add(struct ls_outgoing *out, int64_t id, const char *text, size_t len)
{
    ls_buf_add(ls_outgoing_begin(out), text, len);
    ls_outgoing_end(out, id);
}

void ls_outgoing_cut(struct ls_outgoing *out, size_t index)
{
    if (index >= out->count) return;
    ls_buf_cut(&out->text, out->messages[index].start - 1); /* the comma or the bracket before it */
    out->count = index;
}

void ls_outgoing_ended(struct ls_outgoing *out, int64_t id)
{
    if (!out->ended) out->ended = ls_idmap_new_in(out->text.budget);
    if (!out->ended || !ls_idmap_put(out->ended, id, out, NULL)) out->lost = true;
}

bool ls_outgoing_has_ended(const struct ls_outgoing *out, int64_t id)
{
    return out->ended && ls_idmap_get(out->ended, id);
}

void ls_outgoing_postpone(struct ls_outgoing *out, size_t index)
{
    struct ls_outgoing_message message = out->messages[index];
    if (message.dropped || index + 1 == out->count) return;
    struct ls_buf *text = ls_outgoing_begin(out);
    if (ls_buf_reserve(text, message.len)) /* before the source is looked at: the text may move */
        ls_buf_add(text, text->data + message.start, message.len);
    out->messages[index].dropped = true;
    out->dropped++;
    if (message.key)
        ls_outgoing_end_equal(out, message.id, message.key);
    else
        ls_outgoing_end(out, message.id);
}

/* The messages that count, with commas between. */
static void write_messages(const struct ls_outgoing *out, struct ls_buf *to)
{
    bool first = true;
    for (size_t i = 0; i < out->count; i++) {
        if (out->messages[i].dropped) continue;
        if (!first) ls_buf_char(to, ',');
        ls_buf_add(to, out->text.data + out->messages[i].start, out->messages[i].len);
        first = false;
    }
}

struct ls_bytes *ls_outgoing_take(struct ls_outgoing *out)
{
    struct ls_bytes *frame = NULL;
    size_t count = out->count - out->dropped;
    if (out->lost || ls_buf_failed(&out->text)) {
        out->lost = true;
    } else if (count > 0 && out->dropped == 0) {
        if (count > 1) ls_buf_char(&out->text, ']');
        if (!ls_buf_failed(&out->text))
            frame = count == 1 ? ls_bytes_new(out->text.data + 1, out->text.len - 1)
                               : ls_bytes_new(out->text.data, out->text.len);
    } else if (count > 0) {
        struct ls_buf text = LS_BUF_INIT;
        if (count > 1) ls_buf_char(&text, '[');
        write_messages(out, &text);
        if (count > 1) ls_buf_char(&text, ']');
        if (!ls_buf_failed(&text)) frame = ls_bytes_new(text.data, text.len);
        ls_buf_release(&text);
    }
    out->lost |= count > 0 && !frame;
    ls_outgoing_clear(out);
    return frame;
}

size_t ls_outgoing_drain(struct ls_outgoing *out, struct ls_buf *to)
{
    size_t count = out->count - out->dropped;
    ls_buf_char(to, '[');
    if (count) write_messages(out, to);
    ls_buf_char(to, ']');
    ls_outgoing_clear(out);
    return count;
}
