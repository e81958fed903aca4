/* The frames of WebSockets as they are on the wire (RFC 6455). Thread: any. */
#include "http/http.h"

#include <string.h>

size_t ls_http_ws_frame_head(unsigned char *head, int opcode, size_t len)
{
    head[0] = (unsigned char)(0x80 | opcode);
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

void ls_http_ws_unmask(char *data, size_t len, const unsigned char *mask)
{
    uint64_t wide;
    unsigned char twice[8];
    memcpy(twice, mask, 4);
    memcpy(twice + 4, mask, 4);
    memcpy(&wide, twice, 8);
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        uint64_t word;
        memcpy(&word, data + i, 8);
        word ^= wide;
        memcpy(data + i, &word, 8);
    }
    for (; i < len; i++)
        data[i] = (char)((unsigned char)data[i] ^ mask[i & 3]);
}

bool ls_http_ws_is_key(const char *key)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return key && strspn(key, digits) == 22 && strcmp(key + 22, "==") == 0;
}
