/* Counting a frame (Q2). The tree of a frame is forty times as large as the shortest text that can make it, and each
 * message more than that again, so what is too much has to be known before the tree is built. Only brackets, commas and
 * strings are looked at: whether it is JSON is the parser's question.
 *
 * Thread: any; it keeps nothing. */
#include "protocol/count.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { VALUES_EACH = 100, LEAST_VALUES = 1000000 };

void ls__frame_excess(size_t limit, const char *what, char *excess, size_t size)
{
    snprintf(excess, size, "the frame has more than %zu %s", limit, what);
}

/* The quote that ends a string, or `end`. */
static const char *end_of_string(const char *at, const char *end)
{
    while ((at = memchr(at, '"', (size_t)(end - at))) != NULL) {
        const char *slash = at;
        while (slash[-1] == '\\') /* ends at the opening quote at the latest */
            slash--;
        if (((at - slash) & 1) == 0) return at;
        at++;
    }
    return end;
}

bool ls__frame_exceeds(const char *text, size_t len, size_t max_messages, char *excess, size_t size)
{
    const char *end = text + len, *name = text, *name_end = text;
    size_t max_values = max_messages > LEAST_VALUES / VALUES_EACH ? max_messages * VALUES_EACH : LEAST_VALUES;
    size_t values = 1, messages = 1, depth = 0, list = 0; /* list: depth inside the array of messages, 0 = outside */
    if (len / 2 < max_messages)                           /* an element takes two bytes */
        return false;
    for (const char *at = text; at < end; at++) {
        switch (*at) {
        case '"':
            name = at + 1;
            at = name_end = end_of_string(name, end);
            break;
        case '[':
        case '{':
            values++;
            depth++;
            if (*at == '[' &&
                (depth == 1 || (depth == 2 && name_end - name == 8 && memcmp(name, "messages", 8) == 0))) {
                list = depth;
                messages = 1;
            }
            break;
        case ']':
        case '}':
            list = depth == list ? 0 : list;
            depth -= depth > 0;
            break;
        case ',':
            values++;
            messages += list != 0 && depth == list;
            break;
        default: continue;
        }
        if (messages > max_messages || values > max_values) {
            ls__frame_excess(messages > max_messages ? max_messages : max_values,
                             messages > max_messages ? "messages" : "values", excess, size);
            return true;
        }
    }
    return false;
}
