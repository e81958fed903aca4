/* The opening handshake of a WebSocket (RFC 6455, section 4.2; RFC 7692, section 7.1), as values of header lines
 * and the text of an answer. Thread: any. Refuses to know sessions, origins or sockets. */
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "front/front_internal.h"

/* --- the answer to a key: SHA-1 of some bytes that fit two of its blocks, in base 64 --- */

static uint32_t rotate(uint32_t word, int bits)
{
    return word << bits | word >> (32 - bits);
}

static void hash_block(uint32_t hash[5], const unsigned char *block)
{
    uint32_t w[80], a = hash[0], b = hash[1], c = hash[2], d = hash[3], e = hash[4];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 |
               block[4 * i + 3];
    for (int i = 16; i < 80; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t mix = i < 20   ? ((b & c) | (~b & d)) + 0x5a827999
                       : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1
                       : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
                                : (b ^ c ^ d) + 0xca62c1d6;
        uint32_t next = rotate(a, 5) + mix + e + w[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    hash[0] += a;
    hash[1] += b;
    hash[2] += c;
    hash[3] += d;
    hash[4] += e;
}

/* @param text  of 28 characters and NUL */
static void accept_key(const char *key, char *text)
{
    static const char id[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    enum { LEN = 24 + 36 };
    unsigned char blocks[128] = {0}, bytes[21] = {0};
    uint32_t hash[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    memcpy(blocks, key, 24);
    memcpy(blocks + 24, id, 36);
    blocks[LEN] = 0x80;
    blocks[126] = LEN * 8 >> 8;
    blocks[127] = (LEN * 8) & 0xff;
    hash_block(hash, blocks);
    hash_block(hash, blocks + 64);
    for (int i = 0; i < 20; i++)
        bytes[i] = (unsigned char)(hash[i / 4] >> (24 - 8 * (i % 4)));
    for (int i = 0; i < 7; i++) {
        const unsigned char *three = bytes + (ptrdiff_t)3 * i;
        uint32_t bits = (uint32_t)three[0] << 16 | (uint32_t)three[1] << 8 | three[2];
        for (int k = 0; k < 4; k++)
            text[4 * i + k] = digits[bits >> (18 - 6 * k) & 63];
    }
    text[27] = '=';
    text[28] = '\0';
}

/* --- header lines --- */

bool ls_ws_is_key(const char *key)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return key && strspn(key, digits) == 22 && strcmp(key + 22, "==") == 0;
}

/* Cut the next element off a list, white space around it left out. @return false at the end */
static bool next_of(const char **list, int separator, const char **item, size_t *len)
{
    if (!*list) return false;
    const char *end = strchr(*list, separator);
    *item = *list + strspn(*list, " \t");
    *len = (size_t)((end ? end : *list + strlen(*list)) - *list);
    *len = *len > (size_t)(*item - *list) ? *len - (size_t)(*item - *list) : 0;
    while (*len > 0 && ((*item)[*len - 1] == ' ' || (*item)[*len - 1] == '\t'))
        --*len;
    *list = end ? end + 1 : NULL;
    return true;
}

static bool is_word(const char *item, size_t len, const char *word)
{
    return len == strlen(word) && strncasecmp(item, word, len) == 0;
}

static bool has_word(const char *list, const char *word)
{
    const char *item;
    size_t len;
    while (next_of(&list, ',', &item, &len))
        if (is_word(item, len, word)) return true;
    return false;
}

/* --- compression --- */

/* The number of a parameter `name=8`, with quotes or without. @return 8..15, or 0 */
static int window_bits(const char *text, size_t len)
{
    if (len >= 2 && text[0] == '"' && text[len - 1] == '"') {
        text++;
        len -= 2;
    }
    if (len == 1 && (text[0] == '8' || text[0] == '9')) return text[0] - '0';
    return len == 2 && text[0] == '1' && text[1] >= '0' && text[1] <= '5' ? 10 + text[1] - '0' : 0;
}

/* One parameter of an offer; each may be there once. `seen` has a bit for each. @return false: it cannot be met */
static bool take_parameter(const char *item, size_t len, int *bits, unsigned *seen)
{
    static const char *const names[] = {"server_no_context_takeover", "client_no_context_takeover",
                                        "server_max_window_bits", "client_max_window_bits"};
    const char *equals = memchr(item, '=', len);
    size_t name_len = equals ? (size_t)(equals - item) : len;
    unsigned which = 0;
    while (which < 4 && !is_word(item, name_len, names[which]))
        which++;
    if (which == 4 || *seen & 1U << which) return false;
    *seen |= 1U << which;
    if (which < 2) return !equals;
    if (!equals) return which == 3;
    int wanted = window_bits(equals + 1, len - name_len - 1);
    if (which == 3) return wanted != 0;
    *bits = wanted;
    return wanted > 8; /* zlib has no raw stream of 8 */
}

/* The first offer of `permessage-deflate` that can be met. @param bits  of the window of what is sent
 * @return false: there is none */
static bool choose_offer(const char *extensions, int *bits, bool *bits_asked)
{
    const char *offer, *item;
    size_t len, item_len;
    while (next_of(&extensions, ',', &offer, &len)) {
        char text[256];
        if (len >= sizeof text) continue;
        memcpy(text, offer, len);
        text[len] = '\0';
        const char *at = text;
        unsigned seen = 0;
        *bits = 15;
        bool met = next_of(&at, ';', &item, &item_len) && is_word(item, item_len, "permessage-deflate");
        while (met && next_of(&at, ';', &item, &item_len))
            met = take_parameter(item, item_len, bits, &seen);
        *bits_asked = (seen & 4) != 0;
        if (met) return true;
    }
    return false;
}

int ls_ws_handshake(const struct ls_ws_request *request, int *deflate, struct ls_buf *answer)
{
    ls_buf_clear(answer);
    if (!request->method || strcmp(request->method, "GET") != 0 || !has_word(request->connection, "upgrade") ||
        !has_word(request->upgrade, "websocket") || !ls_ws_is_key(request->key))
        return 400;
    if (!request->version || strcmp(request->version, "13") != 0) return 426;
    char accepted[29];
    accept_key(request->key, accepted);
    ls_buf_printf(answer,
                  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Accept: %s\r\n",
                  accepted);
    int bits = 0;
    bool bits_asked = false;
    if (*deflate == 0 || !choose_offer(request->extensions, &bits, &bits_asked)) bits = 0;
    *deflate = bits;
    if (bits != 0)
        ls_buf_str(answer, "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
                           "client_no_context_takeover");
    if (bits != 0 && bits_asked) ls_buf_printf(answer, "; server_max_window_bits=%d", bits);
    if (bits != 0) ls_buf_str(answer, "\r\n");
    ls_buf_str(answer, "\r\n");
    return 101;
}
