/* The path parser: text to steps in one block of memory. It knows neither variables nor values, and never touches
 * properties; the query is only cut off here. Thread: any; holds no state. Rules: T11–T15, T19, R2. */
#include "tracker/path.h"

#include <string.h>

#define INDEX_MAX 2147483646u /* T12: 2^31-2 */

size_t ls_path_split(const char *full, size_t len, const char **query, size_t *query_len)
{
    const char *mark = len ? memchr(full, '?', len) : NULL;
    *query = mark ? mark + 1 : NULL;
    *query_len = mark ? (size_t)(full + len - mark - 1) : 0;
    return mark ? (size_t)(mark - full) : len;
}

/* Leading dots: each climb is two, and one more may follow as a separator. A separator is taken only where the dots
 * that are left can still be read, so `....x` climbs twice just as `......x` does. @return dots used, 0 when they are
 * no start */
static size_t read_climb(const char *text, size_t len, uint32_t *climb)
{
    size_t dots = 0, at = 0;
    while (dots < len && text[dots] == '.')
        dots++;
    *climb = 0;
    while (dots - at >= 2) {
        at += 2;
        ++*climb;
        if (dots - at >= 1 && dots - at != 2) at++;
    }
    return at;
}

/* A step that is all digits without a leading zero is an index; anything else that begins so is a field (T12).
 * @return 1 index, 0 field, -1 too large */
static int read_index(const char *text, size_t len, uint32_t *index)
{
    if (len == 0 || (text[0] == '0' && len > 1)) return 0;
    uint64_t number = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') return 0;
        if (number <= INDEX_MAX) number = number * 10 + (uint64_t)(text[i] - '0');
    }
    if (number > INDEX_MAX) return -1;
    *index = (uint32_t)number;
    return 1;
}

/* `#` and an integer names an element of the list by its id. A number that cannot be an id names none, like that of an
 * object that is gone.
 * @return is it such a step */
static bool read_row(const char *text, size_t len, int64_t *id)
{
    size_t at = len > 1 && text[1] == '-' ? 2 : 1;
    bool canonical = at == 1 && len > 1 && text[1] != '0';
    int64_t number = 0;
    if (len <= at || text[0] != '#') return false;
    for (; at < len; at++) {
        if (text[at] < '0' || text[at] > '9') return false;
        if (number > (INT64_MAX - (text[at] - '0')) / 10)
            canonical = false;
        else
            number = number * 10 + (text[at] - '0');
    }
    *id = canonical ? number : 0;
    return true;
}

static bool ends_with(const char *text, size_t len, const char *end, size_t end_len)
{
    return len >= end_len && memcmp(text + len - end_len, end, end_len) == 0;
}

static int read_step(struct ls_step *step, const char *text, size_t len, bool last, struct ls_fault *fault)
{
    int shown = len > 100 ? 100 : (int)len;
    step->name = text;
    step->name_len = len;
    int index = read_index(text, len, &step->index);
    if (index < 0) return ls_fault_set(fault, LS_FAULT_BAD_PATH, "the index %.*s is too large", shown, text);
    if (index) {
        step->kind = LS_STEP_INDEX;
    } else if (ends_with(text, len, "()", 2)) {
        step->kind = LS_STEP_CALL;
        step->name_len = len - 2;
    } else if (ends_with(text, len, "(_)", 3)) {
        step->kind = LS_STEP_SETTER;
        step->name_len = len - 3;
        if (!last)
            return ls_fault_set(fault, LS_FAULT_BAD_SETTER_CALL, "'%.*s' may only be the last step", shown, text);
    } else {
        step->kind = LS_STEP_FIELD;
    }
    if (step->name_len == 0) return ls_fault_set(fault, LS_FAULT_BAD_PATH, "a step of the path has no name");
    return 0;
}

/* The steps' names are cut out of `names`, a copy of the text in which each name gets its own NUL: a dot, or the
 * parenthesis behind the name, gives up its place. */
static int read_steps(struct ls_path *path, char *names, size_t len, struct ls_fault *fault)
{
    size_t at = 0;
    while (at <= len) {
        char *dot = memchr(names + at, '.', len - at);
        size_t step_len = dot ? (size_t)(dot - names) - at : len - at;
        if (path->count == LS_PATH_MAX_STEPS)
            return ls_fault_set(fault, LS_FAULT_BAD_PATH, "the path has more than %d steps", LS_PATH_MAX_STEPS);
        if (step_len == 0) return ls_fault_set(fault, LS_FAULT_BAD_PATH, "the path has an empty step");
        struct ls_step *step = &path->steps[path->count++];
        int64_t row;
        if (read_step(step, names + at, step_len, !dot, fault)) return -1;
        if (read_row(step->name, step_len, &row)) {
            if (path->count > 1 || path->standard || path->climb)
                return ls_fault_set(fault, LS_FAULT_BAD_PATH,
                                    "'%.*s' may only be the first step, below the list's variable",
                                    step_len > 100 ? 100 : (int)step_len, names + at);
            step->kind = LS_STEP_ROW;
            step->row = row;
            path->by_row = true;
        }
        path->calls |= step->kind == LS_STEP_CALL;
        path->code[path->count - 1] = LS_OP(step->kind, step->kind == LS_STEP_INDEX ? step->index : 0);
        names[at + step->name_len] = '\0';
        at += step_len + 1;
    }
    return 0;
}

/* One block: the path, its code, its steps, the text as given, the names, the standard name. */
static struct ls_path *allot(const char *text, size_t len, struct ls_budget *budget)
{
    size_t steps = 1;
    for (size_t i = 0; i < len; i++)
        steps += text[i] == '.';
    if (steps > LS_PATH_MAX_STEPS) steps = LS_PATH_MAX_STEPS;
    struct ls_path *path =
        ls_budget_zalloc(budget, sizeof *path + steps * (sizeof(ls_op) + sizeof(struct ls_step)) + 3 * (len + 1));
    if (!path) return NULL;
    path->steps = (struct ls_step *)(path->code + steps);
    char *copy = (char *)(path->steps + steps);
    if (len) memcpy(copy, text, len);
    path->text = copy;
    path->text_len = len;
    return path;
}

struct ls_path *ls_path_parse(const char *text, size_t len, struct ls_budget *budget, struct ls_fault *fault)
{
    if (len > LS_PATH_MAX_BYTES) {
        ls_fault_set(fault, LS_FAULT_BAD_PATH, "the path is longer than %d bytes", LS_PATH_MAX_BYTES);
        return NULL;
    }
    /* Names end with a NUL, so none may hold one: a step, or a standard name, would be taken for a shorter one. */
    if (len && memchr(text, '\0', len)) {
        ls_fault_set(fault, LS_FAULT_BAD_PATH, "the path holds a NUL byte");
        return NULL;
    }
    struct ls_path *path = allot(text, len, budget);
    if (!path) {
        ls_fault_set(fault, LS_FAULT_INTERNAL, "out of memory while reading a path");
        return NULL;
    }
    char *names = (char *)path->text + len + 1;
    memcpy(names, path->text, len + 1);
    size_t at = read_climb(text, len, &path->climb);
    if (at == 0 && len && text[0] == '@') {
        char *dot = memchr(names, '.', len);
        size_t name_len = dot ? (size_t)(dot - names) : len;
        char *standard = names + len + 1;
        memcpy(standard, names, name_len);
        path->standard = standard;
        at = name_len + (dot != NULL);
        if (name_len == 1 || (dot && at == len)) {
            ls_fault_set(fault, LS_FAULT_BAD_PATH, name_len == 1 ? "'@' needs a name" : "the path has an empty step");
            ls_budget_free(budget, path);
            return NULL;
        }
    }
    if (at < len && read_steps(path, names + at, len - at, fault)) {
        ls_budget_free(budget, path);
        return NULL;
    }
    return path;
}
