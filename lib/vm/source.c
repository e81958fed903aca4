/* From a name to a file, its tracking key and its text (lua-api.md section 5; LuaSession card: resolveTrackingKey).
 *
 * Owner thread: the session's. Refuses to: run anything, read names from Lua code that leave the site by `..` (L29). */
#include "vm/source.h"

#include <string.h>

#include "base/alloc.h"
#include "files/embed.h"
#include "files/fspath.h"
#include "vm/chunks.h"

/* Keys of built-in modules start with this, so that a site's own lua/presenter.lua is another module. */
#define BUILTIN_KEYS  "lsess/"
#define BUILTIN_FILES "lua"

void ls__source_release(struct ls_source *source)
{
    ls_free(source->key);
    ls_free(source->path);
    ls_bytes_unref(source->text);
    *source = (struct ls_source){0};
}

bool ls__name_is_safe(const char *name)
{
    if (!*name) return false;
    for (const char *part = name;;) {
        size_t len = strcspn(part, "/");
        if (len == 0 || (len == 1 && part[0] == '.') || (len == 2 && part[0] == '.' && part[1] == '.')) return false;
        if (!part[len]) return true;
        part += len + 1;
    }
}

const char *ls__within(const struct ls_session *session)
{
    const char *root = session->vm.site->root;
    /* nothing lies below it: the built-in site has no files */
    return !session->vm.config.sandbox ? NULL : root ? root : "/dev/null";
}

const char *ls__shown_path(const struct ls_session *session, const char *path)
{
    const char *root = session->vm.site->root;
    if (!root || !ls_path_below(root, path)) return path;
    const char *shown = path + strlen(root);
    return shown + strspn(shown, "/");
}

/* A text that pages may see names no absolute path (H100). */
static int cannot_read(struct ls_session *session, const char *path, const struct ls_err *why, struct ls_err *err)
{
    const char *shown = ls__shown_path(session, path), *problem = ls_err_text(why);
    if (why->code == LS_EACCESS)
        return ls_fail(err, LS_EACCESS, "'%s' leads outside of the site, which is turned off by --sandbox", shown);
    if (ls_has_prefix(problem, path)) problem += strlen(path) + strspn(problem + strlen(path), ": ");
    return ls_fail(err, LS_EIO, "'%s' cannot be read: %s", shown, problem);
}

/* @return 1 found, 0 there is no such file, or a code */
static int take_file(struct ls_session *session, const char *path, struct ls_source *source, struct ls_err *err)
{
    LS_ERR(why);
    const char *within = ls__within(session);
    char *real = ls_path_within(within, path, &why);
    int code = real ? 1 : why.code == LS_ENOTFOUND ? 0 : cannot_read(session, path, &why, err);
    if (real && ls_is_dir(real)) code = 0;
    if (code > 0) {
        source->text = ls_file_read(within, path, 0, &why);
        const char *root = session->vm.site->root;
        source->key = !source->text ? NULL : root ? ls_path_key(root, real) : ls_strdup(real);
        source->path = source->key ? ls_strdup(path) : NULL;
        if (!source->text && why.code == LS_ENOTFOUND)
            code = 0;
        else if (!source->text)
            code = cannot_read(session, path, &why, err);
        else if (!source->path)
            code = ls_fail(err, LS_ENOMEM, "out of memory while searching a file");
        if (code < 0) ls__source_release(source);
    }
    ls_free(real);
    return code;
}

/* A file compiled into the program: `folder` and `below` lead to it, its key begins with `key`. @return as take_file */
static int take_embedded(struct ls_session *session, const char *folder, const char *below, const char *file,
                         const char *key, struct ls_source *source, struct ls_err *err)
{
    struct ls_buf name = LS_BUF_INIT;
    ls_buf_printf(&name, "%s/%s%s", folder, below, file);
    const struct ls_embed *embed = ls_buf_failed(&name) ? NULL : ls_embed_find(name.data);
    int code = 0;
    if (embed) {
        ls_buf_clear(&name);
        ls_buf_printf(&name, "%s%s", key, file);
        source->key = ls_buf_detach(&name, NULL);
        source->text = ls__chunks_embedded(session->vm.chunks, embed);
        code = source->key && source->text ? 1 : ls_fail(err, LS_ENOMEM, "out of memory while unpacking '%s'", file);
        if (code < 0) ls__source_release(source);
    }
    ls_buf_release(&name);
    return code;
}

/* @return as take_file; the path is added to `tried` */
static int try_directory(struct ls_session *session, const char *dir, const char *file, struct ls_source *source,
                         struct ls_names *tried, struct ls_err *err)
{
    if (!dir) return 0;
    struct ls_buf path = LS_BUF_INIT;
    ls_path_join(&path, dir, file);
    int code;
    if (ls_buf_failed(&path) || !ls_names_add(tried, path.data))
        code = ls_fail(err, LS_ENOMEM, "out of memory while searching a file");
    else
        code = take_file(session, path.data, source, err);
    ls_buf_release(&path);
    return code;
}

int ls__source_search(struct ls_session *session, const char *file, struct ls_source *source, struct ls_names *tried,
                      struct ls_err *err)
{
    *source = (struct ls_source){0};
    const struct ls_site *site = session->vm.site;
    int code = try_directory(session, site->lua_dir, file, source, tried, err);
    if (code == 0) code = try_directory(session, site->root, file, source, tried, err);
    if (code == 0 && site->bundle && file[0] != '/')
        code = take_embedded(session, site->bundle, "lua/", file, "lua/", source, err);
    if (code == 0 && site->bundle && file[0] != '/')
        code = take_embedded(session, site->bundle, "", file, "", source, err);
    if (code == 0 && ls__name_is_safe(file) && !strchr(file, '/'))
        code = take_embedded(session, BUILTIN_FILES, "", file, BUILTIN_KEYS, source, err);
    if (code == 0) return ls_fail(err, LS_ENOTFOUND, "no file '%s'", file);
    return code < 0 ? code : 0;
}

int ls__source_direct(struct ls_session *session, const char *path, struct ls_source *source, struct ls_err *err)
{
    *source = (struct ls_source){0};
    struct ls_names tried = {0};
    const struct ls_site *site = session->vm.site;
    int code = try_directory(session, path[0] == '/' ? "/" : site->root, path, source, &tried, err);
    if (code == 0 && site->bundle && path[0] != '/')
        code = take_embedded(session, site->bundle, "", path, "", source, err);
    ls_names_release(&tried);
    if (code == 0) return ls_fail(err, LS_ENOTFOUND, "no file '%s'", path);
    return code < 0 ? code : 0;
}
