/* Matching of Lua patterns that the time limit can end (patterns.c). Owner thread: the session's. */
#ifndef LS_VM_PATTERNS_H
#define LS_VM_PATTERNS_H

#include "vm/vm_internal.h"

#define LS_CAPTURES_MAX 32 /* as the library has it */

/* One text and one pattern. Both are borrowed: whoever matches keeps the strings on the stack. */
struct ls_match {
    lua_State *L;
    const char *text, *text_end, *pattern_end;
    unsigned steps; /* until the next look at the clock */
    int depth;      /* nested parts that are still allowed */
    int captures;
    struct {
        const char *start;
        ptrdiff_t len; /* or that it is open, or stands for a position */
    } capture[LS_CAPTURES_MAX];
};

/** Prepare. [-0, +0, -] */
LS_RAISES void ls__match_init(struct ls_match *m, lua_State *L, const char *text, size_t len, const char *pattern, size_t pattern_len);
/** Match the pattern, without its anchor, exactly at `s`. @return the end of the match, or NULL. [-0, +0, e] */
LS_RAISES const char *ls__match_at(struct ls_match *m, const char *s, const char *pattern);
/** Push capture number `at`, from 0, of the match from `start` to `end`. [-0, +1, e] */
LS_RAISES void ls__match_push(const struct ls_match *m, int at, const char *start, const char *end);
/** Push all captures, or the whole match where there is none and `start` is given. @return how many. [-0, +n, e] */
LS_RAISES int ls__match_push_all(const struct ls_match *m, const char *start, const char *end);

#endif
