/* The views of a site under check: their grammar, their types, the paths of their ui-* attributes, their names.
 *
 * Thread: the caller's. A path is judged by its first step, against the view's own type: what lies further along
 * depends on values that only a user's actions may bring. A name that the type's own file mentions is taken for a field
 * that is set later. Rules: C1, F59–F70, F129, T11–T28, H80. */
#include "check/check_internal.h"

#include <string.h>

#include "base/alloc.h"
#include "console/inspect.h"
#include "files/fspath.h"
#include "syntax/tokens.h"
#include "tracker/path.h"
#include "viewdef/scan.h"

/* One view while it is scanned. */
struct view {
    struct checker *checker;
    const struct site_file *file;
    char *type;        /* owned; NULL = not known, so names are not judged */
    const char *owner; /* key of the file that declares the type, NULL */
    const struct site_file *owner_file;
    unsigned host; /* depth of the ui-view or ui-viewlist element we are inside of, 0 = none */
};

/* Types of the list objects: their members are fixed (T50). */
static const char *const list_members[] = {"items", "selectionIndex", "type", NULL};
static const char *const item_members[] = {"item", "index", "list", "type", "baseItem", "remove", NULL};

static bool is_member(const char *const *members, const char *name)
{
    for (; *members; members++)
        if (!strcmp(*members, name)) return true;
    return false;
}

static bool names_it(const struct site_file *file, const char *name)
{
    return ls_tokens_find(ls_bytes_data(file->text), ls_bytes_len(file->text), name, LS_TOKEN_NAME | LS_TOKEN_STRING);
}

/* Where the file first has the string, 0 = nowhere. */
static int string_line(const struct site_file *file, const char *string)
{
    return ls_tokens_find(ls_bytes_data(file->text), ls_bytes_len(file->text), string, LS_TOKEN_STRING);
}

static bool has_member(const struct view *view, const char *name)
{
    if (!strcmp(view->type, "lua.ViewList")) return is_member(list_members, name);
    if (!strcmp(view->type, "lua.ViewListItem")) return is_member(item_members, name);
    if (ls_session_type_has(view->checker->session, view->type, name)) return true;
    if (view->owner_file) return names_it(view->owner_file, name);
    for (size_t i = 0; i < view->checker->file_count; i++) {
        const struct site_file *file = &view->checker->files[i];
        if (!file->view && names_it(file, name)) return true;
    }
    return false;
}

/* Which attributes hold a path (F76, F143, F179). */
static bool holds_path(const char *name)
{
    static const char *const exact[] = {"ui-value", "ui-keypress", "ui-action",   "ui-code",
                                        "ui-html",  "ui-view",     "ui-viewlist", NULL};
    static const char *const prefixes[] = {"ui-attr-", "ui-class-", "ui-style-", "ui-event-", NULL};
    if (is_member(exact, name)) return true;
    if (ls_has_prefix(name, "ui-event-") && ls_has_suffix(name, "-value")) return false; /* a value to send (F115) */
    for (const char *const *prefix = prefixes; *prefix; prefix++)
        if (ls_has_prefix(name, *prefix) && name[strlen(*prefix)]) return true;
    return false;
}

/* The value of `key` in a query; false if it is not there. */
static bool query_value(const char *query, size_t len, const char *key, char *out, size_t room)
{
    size_t n = strlen(key);
    while (len) {
        size_t pair = 0;
        while (pair < len && query[pair] != '&')
            pair++;
        if (pair > n && !memcmp(query, key, n) && query[n] == '=' && pair - n - 1 < room) {
            memcpy(out, query + n + 1, pair - n - 1);
            out[pair - n - 1] = 0;
            return true;
        }
        size_t step = pair < len ? pair + 1 : pair;
        query += step;
        len -= step;
    }
    return false;
}

/* T28 and F69: which endings an access word allows. @return NULL, or what is wrong */
static const char *access_problem(const struct ls_path *path, const char *access)
{
    static const char *const words[] = {"r", "w", "rw", "action", NULL};
    if (!is_member(words, access)) return "is no access mode (r, w, rw, action)";
    if (!path->count) return NULL;
    enum ls_step_kind last = path->steps[path->count - 1].kind;
    if (last == LS_STEP_SETTER && (!strcmp(access, "r") || !strcmp(access, "rw")))
        return "does not go with a path that ends in (_)";
    if (last == LS_STEP_CALL && !strcmp(access, "w")) return "does not go with a path that ends in ()";
    return NULL;
}

static void check_member(struct view *view, int line, const char *attribute, const char *value,
                         const struct ls_path *path)
{
    const struct ls_step *first = path->count ? &path->steps[0] : NULL;
    if (!first || first->kind == LS_STEP_INDEX || path->climb || path->standard || !view->type ||
        has_member(view, first->name))
        return;
    int declared = view->owner_file ? string_line(view->owner_file, view->type) : 0;
    ls__check_report(view->checker, view->file->key, line, view->owner, declared,
                     "%s=\"%s\": type %s has no %s \"%s\".", attribute, value, view->type,
                     first->kind == LS_STEP_FIELD ? "field or method" : "method", first->name);
}

static void on_attribute(void *ctx, int line, unsigned level, const char *element, const char *name, const char *value)
{
    struct view *view = ctx;
    (void)element;
    /* an exemplar or placeholder: it belongs to the inner view (F145, F182) */
    if (view->host && level > view->host) return;
    if (!strcmp(name, "ui-view") || !strcmp(name, "ui-viewlist")) view->host = level;
    if (!holds_path(name) || !*value) return; /* an empty one is no binding (F63) */
    const char *query;
    size_t query_len, len = ls_path_split(value, strlen(value), &query, &query_len);
    struct ls_fault fault = {0};
    struct ls_path *path = ls_path_parse(value, len, NULL, &fault);
    char access[32];
    if (!path) {
        ls__check_report(view->checker, view->file->key, line, NULL, 0, "%s=\"%s\": %s", name, value, fault.text);
        return;
    }
    const char *problem =
        query && query_value(query, query_len, "access", access, sizeof access) ? access_problem(path, access) : NULL;
    if (problem)
        ls__check_report(view->checker, view->file->key, line, NULL, 0, "%s=\"%s\": access=%s %s.", name, value, access,
                         problem);
    check_member(view, line, name, value, path);
    ls_free(path);
}

static void on_end(void *ctx, unsigned level)
{
    struct view *view = ctx;
    if (level < view->host) view->host = 0;
}

static void on_problem(void *ctx, int line, const char *text)
{
    struct view *view = ctx;
    ls__check_report(view->checker, view->file->key, line, NULL, 0, "%s", text);
}

/* Is the word a string in some Lua file? Objects may carry `type = "Boat"` without any prototype (T93). */
static bool quoted_in_lua(const struct checker *checker, const char *word)
{
    for (size_t i = 0; i < checker->file_count; i++) {
        const struct site_file *file = &checker->files[i];
        if (!file->view && string_line(file, word)) return true;
    }
    return false;
}

static bool type_is_known(const struct checker *checker, const char *type)
{
    return !strcmp(type, "lua.ViewList") || !strcmp(type, "lua.ViewListItem") ||
           ls_session_type_exists(checker->session, type) || quoted_in_lua(checker, type);
}

/* Types and namespaces may both hold dots (F128): the longest known type wins. @return the place of the dot between
 * them, 0 if no type is known */
static size_t find_type(const struct checker *checker, const char *view)
{
    for (size_t at = strlen(view); at > 0; at--) {
        if (view[at] != '.') continue;
        char *type = ls_strndup(view, at);
        bool found = type && type_is_known(checker, type);
        ls_free(type);
        if (found) return at;
    }
    return 0;
}

static bool namespace_is_used(const struct checker *checker, const char *name)
{
    if (!strcmp(name, "DEFAULT") || !strcmp(name, "list-item") || quoted_in_lua(checker, name)) return true;
    for (size_t i = 0; i < checker->file_count; i++) {
        const struct site_file *file = &checker->files[i];
        const char *text = ls_bytes_data(file->text);
        size_t len = ls_bytes_len(file->text), n = strlen(name);
        for (const char *at = text; file->view && (at = memmem(at, (size_t)(text + len - at), "amespace=", 9)); at++) {
            const char *value = at + 9 + (at[9] == '"' || at[9] == '\'');
            if ((size_t)(text + len - value) > n && !memcmp(value, name, n) && strchr("\"'& >", value[n])) return true;
        }
    }
    return false;
}

/* The page's own index.html may name a namespace too; without reading it, an application host's view is reached by
 * DEFAULT anyway. */
static void check_name(struct checker *checker, const struct site_file *file, struct view *view)
{
    if (!strchr(file->view, '.')) {
        ls__check_report(checker, file->key, 0, NULL, 0, "A view file is named TYPE.NAMESPACE.html.");
        return;
    }
    if (!checker->session) return;
    size_t dot = find_type(checker, file->view);
    if (!dot) {
        const char *last = strrchr(file->view, '.');
        ls__check_report(checker, file->key, 0, NULL, 0,
                         "There is no type %.*s after main.lua has run, so nothing can show this view.",
                         (int)(last - file->view), file->view);
        return;
    }
    if (!namespace_is_used(checker, file->view + dot + 1))
        ls__check_report(checker, file->key, 0, NULL, 0,
                         "Nothing names the namespace \"%s\", so nothing can show this view.", file->view + dot + 1);
    view->type = ls_strndup(file->view, dot);
    if (!view->type) checker->code = LS_ENOMEM;
    /* A type that lives in fields alone (type = "Boat") has no member list to compare with. */
    else if (!ls_session_type_exists(checker->session, view->type) && !ls_has_prefix(view->type, "lua.ViewList")) {
        ls_free(view->type);
        view->type = NULL;
    }
}

static void find_owner(struct view *view)
{
    view->owner = view->type ? ls_session_type_module(view->checker->session, view->type) : NULL;
    for (size_t i = 0; view->owner && i < view->checker->file_count; i++) {
        const struct site_file *file = &view->checker->files[i];
        if (!file->view && !strcmp(file->key, view->owner)) view->owner_file = file;
    }
}

static void check_double(struct checker *checker, size_t index)
{
    const struct site_file *file = &checker->files[index];
    for (size_t i = 0; i < index; i++)
        if (checker->files[i].view && !strcmp(checker->files[i].view, file->view)) {
            ls__check_report(checker, file->key, 0, checker->files[i].key, 0,
                             "Two files have the key %s; the first in the order of their paths is used.", file->view);
            return;
        }
}

void ls__check_views(struct checker *checker)
{
    for (size_t i = 0; i < checker->file_count && !checker->code; i++) {
        const struct site_file *file = &checker->files[i];
        if (!file->view) continue;
        struct view view = {.checker = checker, .file = file};
        struct ls_viewdef_visitor visitor = {&view, on_attribute, on_problem, on_end};
        checker->counts->views++;
        check_double(checker, i);
        check_name(checker, file, &view);
        find_owner(&view);
        int code = ls_viewdef_scan(ls_bytes_data(file->text), ls_bytes_len(file->text), &visitor);
        if (code < 0) checker->code = code;
        ls_free(view.type);
    }
}
