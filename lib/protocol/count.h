/* How much a frame has in it, counted before anything of it is kept. Inside the protocol room only; thread: any. */
#ifndef LS_PROTOCOL_COUNT_H
#define LS_PROTOCOL_COUNT_H

#include <stdbool.h>
#include <stddef.h>

/** Has the frame more than `max_messages` messages, or more than a hundred values (objects, arrays, what stands in
 * them) for each of those, a million at least? A text that is not JSON may be judged either way.
 * @param max_messages  not 0
 * @param excess  set when it has: what there is too much of, as ls__frame_excess says it */
bool ls__frame_exceeds(const char *text, size_t len, size_t max_messages, char *excess, size_t size);
/** `the frame has more than 10000 messages`. @param what  plural */
void ls__frame_excess(size_t limit, const char *what, char *excess, size_t size);

#endif
