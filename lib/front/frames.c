/* The frames of WebSockets as they are on the wire (RFC 6455, sections 5 and 8.1). Thread: any. Refuses to read
 * or write sockets. */
#include <string.h>

#include "front/front_internal.h"

/* What can be said of the first two bytes. */
static bool is_head_valid(const unsigned char *head, bool deflate)
{
    int opcode = head[0] & 0x0f, len = head[1] & 0x7f;
    bool fin = (head[0] & 0x80) != 0, compressed = (head[0] & 0x40) != 0, masked = (head[1] & 0x80) != 0;
    if ((head[0] & 0x30) != 0 || !masked || (opcode & 7) > 2) return false;
    if (opcode >= 8) return fin && !compressed && len <= 125;
    return !compressed || (deflate && opcode != 0);
}

int ls__frame_head(struct ls__frame *frame, char **data, size_t *len, bool deflate)
{
    unsigned char *head = frame->head;
    for (size_t need = 2;;) {
        while (frame->have<need && * len> 0) {
            head[frame->have++] = (unsigned char)*(*data)++;
            --*len;
        }
        if (frame->have < need) return 0;
        size_t width = (head[1] & 0x7f) == 126 ? 2 : (head[1] & 0x7f) == 127 ? 8 : 0;
        if (need == 2) {
            if (!is_head_valid(head, deflate)) return -1;
            need = 2 + width + 4;
            continue;
        }
        frame->left = width == 0 ? head[1] & 0x7f : 0;
        for (size_t i = 0; i < width; i++)
            frame->left = frame->left << 8 | head[2 + i];
        if (frame->left >> 63) return -1;
        frame->fin = (head[0] & 0x80) != 0;
        frame->compressed = (head[0] & 0x40) != 0;
        frame->opcode = head[0] & 0x0f;
        memcpy(frame->mask, head + 2 + width, 4);
        frame->have = 0;
        return 1;
    }
}

void ls__frame_unmask(struct ls__frame *frame, char *data, size_t len)
{
    uint64_t wide;
    unsigned char twice[8];
    memcpy(twice, frame->mask, 4);
    memcpy(twice + 4, frame->mask, 4);
    memcpy(&wide, twice, 8);
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        uint64_t word;
        memcpy(&word, data + i, 8);
        word ^= wide;
        memcpy(data + i, &word, 8);
    }
    for (; i < len; i++)
        data[i] = (char)((unsigned char)data[i] ^ frame->mask[i & 3]);
    memcpy(frame->mask, twice + (len & 3), 4);
    frame->left -= len;
}

size_t ls__frame_write(unsigned char *head, int opcode, bool compressed, size_t len)
{
    head[0] = (unsigned char)(0x80 | (compressed ? 0x40 : 0) | opcode);
    if (len < 126) {
        head[1] = (unsigned char)len;
        return 2;
    }
    int width = len <= 0xffff ? 2 : 8;
    head[1] = width == 2 ? 126 : 127;
    for (int i = 0; i < width; i++)
        head[2 + i] = (unsigned char)((uint64_t)len >> (8 * (width - 1 - i)));
    return (size_t)(2 + width);
}

/* Section 7.4, and what has been registered since: 1004 to 1006 and 1015 are for programs among themselves. */
bool ls__close_code_valid(int code)
{
    return (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) || (code >= 3000 && code <= 4999);
}

/* --- UTF-8 --- */

/* A byte that begins a character. @return false if none begins with it */
static bool begin_character(struct ls__utf8 *state, unsigned char byte)
{
    if (byte < 0xc2 || byte > 0xf4) return false;
    state->need = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    state->low = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
    state->high = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    return true;
}

bool ls__utf8_feed(struct ls__utf8 *state, const char *data, size_t len)
{
    struct ls__utf8 at = *state;
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)data[i];
        if (at.need > 0) {
            if (byte < at.low || byte > at.high) return false;
            at = (struct ls__utf8){.need = (uint8_t)(at.need - 1), .low = 0x80, .high = 0xbf};
        } else if (byte >= 0x80) {
            if (!begin_character(&at, byte)) return false;
        } else {
            uint64_t word;
            while (i + 9 <= len && (memcpy(&word, data + i + 1, 8), (word & UINT64_C(0x8080808080808080)) == 0))
                i += 8;
        }
    }
    *state = at;
    return true;
}
