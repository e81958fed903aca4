/* Matching of Lua patterns for the string library of sites (strings.c): what the reference manual says in its section 6.4.1, with a look at the clock from time to time.
 * The library's own matcher backtracks in C, where the count hook does not reach, so that a pattern such as ".-.-.-.-x" would hold a session for hours (L5).
 *
 * Owner thread: the session's. Holds no resource: it may leave by a Lua error anywhere. */
#include "vm/patterns.h"

#include <ctype.h>
#include <string.h>

#define STEPS_PER_LOOK 50000 /* comparisons between two looks at the clock, well below a millisecond */
#define DEPTH_MAX 200        /* nested parts of one match, as the library has it */

enum { CAPTURE_OPEN = -1, CAPTURE_POSITION = -2 };

LS_RAISES void ls__match_init(struct ls_match *m, lua_State *L, const char *text, size_t len, const char *pattern, size_t pattern_len)
{
    LS_LTOP(L);
    m->L = L;
    m->text = text;
    m->text_end = text + len;
    m->pattern_end = pattern + pattern_len;
    m->steps = STEPS_PER_LOOK;
    LS_LTOP_CHECK(L, 0);
}

static inline LS_RAISES void count_step(struct ls_match *m)
{
    if (--m->steps == 0) {
        m->steps = STEPS_PER_LOOK;
        ls__budget_check(m->L);
    }
}

/* --- one item of a pattern: a character, a class, a set --- */

static LS_RAISES const char *item_end(const struct ls_match *m, const char *p)
{
    if (*p == '%') {
        if (p + 1 == m->pattern_end)
            luaL_error(m->L, "malformed pattern (ends with '%%')");
        return p + 2;
    }
    if (*p++ != '[')
        return p;
    p += *p == '^';
    do { /* a bracket that comes first belongs to the set */
        if (p == m->pattern_end)
            luaL_error(m->L, "malformed pattern (missing ']')");
        if (*p++ == '%' && p < m->pattern_end)
            p++;
    } while (*p != ']');
    return p + 1;
}

/* `letter` is what follows the % */
static bool in_class(unsigned char c, unsigned char letter)
{
    int in;
    switch (tolower(letter)) {
    case 'a': in = isalpha(c); break;
    case 'c': in = iscntrl(c); break;
    case 'd': in = isdigit(c); break;
    case 'g': in = isgraph(c); break;
    case 'l': in = islower(c); break;
    case 'p': in = ispunct(c); break;
    case 's': in = isspace(c); break;
    case 'u': in = isupper(c); break;
    case 'w': in = isalnum(c); break;
    case 'x': in = isxdigit(c); break;
    case 'z': in = c == 0; break; /* older sites have it */
    default: return letter == c;
    }
    return (in != 0) != (isupper(letter) != 0);
}

/* `set` points at the [ and `end` at the ] */
static bool in_set(unsigned char c, const char *set, const char *end)
{
    bool negated = set[1] == '^';
    for (const char *p = set + 1 + negated; p < end; p++) {
        bool in;
        if (*p == '%') {
            in = in_class(c, (unsigned char)*++p);
        } else if (p[1] == '-' && p + 2 < end) {
            in = (unsigned char)p[0] <= c && c <= (unsigned char)p[2];
            p += 2;
        } else {
            in = (unsigned char)*p == c;
        }
        if (in)
            return !negated;
    }
    return negated;
}

static inline bool matches_item(const struct ls_match *m, const char *s, const char *p, const char *end)
{
    if (s == m->text_end)
        return false;
    unsigned char c = (unsigned char)*s;
    switch (*p) {
    case '.': return true;
    case '%': return in_class(c, (unsigned char)p[1]);
    case '[': return in_set(c, p, end - 1);
    default: return (unsigned char)*p == c;
    }
}

/* --- parts of a pattern; each gives the end of the match, or NULL --- */

static LS_RAISES const char *match_rest(struct ls_match *m, const char *s, const char *p);

/* `*` and `+`: as many as there are, then fewer */
static LS_RAISES const char *expand_most(struct ls_match *m, const char *s, const char *p, const char *end)
{
    const char *last = s;
    for (; matches_item(m, last, p, end); last++)
        count_step(m);
    for (; last >= s; last--) {
        const char *found = match_rest(m, last, end + 1);
        if (found)
            return found;
        if (last == s)
            break;
    }
    return NULL;
}

/* `-`: none, then more */
static LS_RAISES const char *expand_least(struct ls_match *m, const char *s, const char *p, const char *end)
{
    for (;; s++) {
        const char *found = match_rest(m, s, end + 1);
        if (found || !matches_item(m, s, p, end))
            return found;
    }
}

static LS_RAISES const char *open_capture(struct ls_match *m, const char *s, const char *p, ptrdiff_t len)
{
    if (m->captures == LS_CAPTURES_MAX)
        luaL_error(m->L, "too many captures");
    m->capture[m->captures].start = s;
    m->capture[m->captures++].len = len;
    const char *found = match_rest(m, s, p);
    if (!found)
        m->captures--;
    return found;
}

static LS_RAISES const char *close_capture(struct ls_match *m, const char *s, const char *p)
{
    int at = m->captures;
    while (at > 0 && m->capture[at - 1].len != CAPTURE_OPEN)
        at--;
    if (at == 0)
        luaL_error(m->L, "invalid pattern capture");
    m->capture[at - 1].len = s - m->capture[at - 1].start;
    const char *found = match_rest(m, s, p);
    if (!found)
        m->capture[at - 1].len = CAPTURE_OPEN;
    return found;
}

/* %b: `p` points at the two characters */
static LS_RAISES const char *match_balanced(struct ls_match *m, const char *s, const char *p)
{
    if (p >= m->pattern_end - 1)
        luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
    if (s == m->text_end || *s != p[0])
        return NULL;
    size_t nested = 1;
    while (++s < m->text_end) {
        count_step(m);
        if (*s == p[1]) {
            if (--nested == 0)
                return s + 1;
        } else if (*s == p[0]) {
            nested++;
        }
    }
    return NULL;
}

/* %f: `p` points behind it; *next gets the end of the set */
static LS_RAISES bool at_frontier(const struct ls_match *m, const char *s, const char *p, const char **next)
{
    if (*p != '[')
        luaL_error(m->L, "missing '[' after '%%f' in pattern");
    *next = item_end(m, p);
    unsigned char before = s == m->text ? '\0' : (unsigned char)s[-1], here = s == m->text_end ? '\0' : (unsigned char)*s;
    return !in_set(before, p, *next - 1) && in_set(here, p, *next - 1);
}

/* %1 to %9 */
static LS_RAISES const char *match_again(const struct ls_match *m, const char *s, char digit)
{
    int at = digit - '1';
    if (at < 0 || at >= m->captures || m->capture[at].len == CAPTURE_OPEN)
        luaL_error(m->L, "invalid capture index %%%d", at + 1);
    ptrdiff_t len = m->capture[at].len;
    if (len == CAPTURE_POSITION || m->text_end - s < len || memcmp(m->capture[at].start, s, (size_t)len) != 0)
        return NULL;
    return s + len;
}

/* %b, %f and %1 to %9 where `p` points at the %: @return false if it is none of them; else *s is moved, or NULL, and *p behind it */
static LS_RAISES bool match_special(struct ls_match *m, const char **s, const char **p)
{
    char letter = (*p)[1];
    if (letter == 'b') {
        *s = match_balanced(m, *s, *p + 2);
        *p += 4;
    } else if (letter == 'f') {
        if (!at_frontier(m, *s, *p + 2, p))
            *s = NULL;
    } else if (isdigit((unsigned char)letter)) {
        *s = match_again(m, *s, letter);
        *p += 2;
    } else {
        return false;
    }
    return true;
}

/* Matches one part after the other; only what has alternatives recurses. */
static LS_RAISES const char *match_parts(struct ls_match *m, const char *s, const char *p)
{
    while (p != m->pattern_end) {
        count_step(m);
        if (*p == '(')
            return p[1] == ')' ? open_capture(m, s, p + 2, CAPTURE_POSITION) : open_capture(m, s, p + 1, CAPTURE_OPEN);
        if (*p == ')')
            return close_capture(m, s, p + 1);
        if (*p == '$' && p + 1 == m->pattern_end)
            return s == m->text_end ? s : NULL;
        if (*p == '%' && match_special(m, &s, &p)) {
            if (!s)
                return NULL;
            continue;
        }
        const char *end = item_end(m, p), *found;
        switch (*end) {
        case '*':
            return expand_most(m, s, p, end);
        case '+':
            return matches_item(m, s, p, end) ? expand_most(m, s + 1, p, end) : NULL;
        case '-':
            return expand_least(m, s, p, end);
        case '?':
            if (matches_item(m, s, p, end) && (found = match_rest(m, s + 1, end + 1)) != NULL)
                return found;
            p = end + 1;
            break;
        default:
            if (!matches_item(m, s, p, end))
                return NULL;
            s++;
            p = end;
        }
    }
    return s;
}

static LS_RAISES const char *match_rest(struct ls_match *m, const char *s, const char *p)
{
    if (m->depth-- == 0)
        luaL_error(m->L, "pattern too complex");
    const char *found = match_parts(m, s, p);
    m->depth++;
    return found;
}

LS_RAISES const char *ls__match_at(struct ls_match *m, const char *s, const char *pattern)
{
    m->captures = 0;
    m->depth = DEPTH_MAX;
    return match_rest(m, s, pattern);
}

/* --- captures --- */

LS_RAISES void ls__match_push(const struct ls_match *m, int at, const char *start, const char *end)
{
    if (at >= m->captures) {
        if (at != 0)
            luaL_error(m->L, "invalid capture index %%%d", at + 1);
        lua_pushlstring(m->L, start, (size_t)(end - start)); /* without captures the whole match counts as the first */
        return;
    }
    ptrdiff_t len = m->capture[at].len;
    if (len == CAPTURE_OPEN)
        luaL_error(m->L, "unfinished capture");
    if (len == CAPTURE_POSITION)
        lua_pushinteger(m->L, m->capture[at].start - m->text + 1);
    else
        lua_pushlstring(m->L, m->capture[at].start, (size_t)len);
}

LS_RAISES int ls__match_push_all(const struct ls_match *m, const char *start, const char *end)
{
    int count = m->captures == 0 && start ? 1 : m->captures;
    luaL_checkstack(m->L, count, "too many captures");
    for (int i = 0; i < count; i++)
        ls__match_push(m, i, start, end);
    return count;
}
