/* Static files: what a path may reach, how it is described to browsers, conditional and partial answers (P19–P21, F10,
 * F11, Q3).
 *
 * A path is resolved with realpath and then judged: inside the site root, or inside a folder that static_roots lists
 * and a link directly below html/ points to; no component below the root begins with a dot; nothing of lua/, no
 * lsess.lua, regular files only. Whatever is not served is 404.
 *
 * Threads: civetweb's workers. Refuses to list directories and to run anything. */
#include "http/http.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"
#include "files/embed.h"
#include "files/fspath.h"

enum { STREAM_SIZE = 16384 }; /* on the stack of civetweb's threads, which is 100 KiB */

/* A file to be sent: bytes of the program, or an open descriptor. */
struct content {
    const struct ls_embed *embed;
    int fd;
    uint64_t len;
    int64_t mtime; /* seconds; 0 = none */
    char etag[64];
    const char *type;
    bool must_revalidate; /* Cache-Control: no-cache */
};

static const char *find_type(const char *path)
{
    static const char *const types[][2] = {
        {".html", "text/html; charset=utf-8"},
        {".htm", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".mjs", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".json", "application/json; charset=utf-8"},
        {".map", "application/json; charset=utf-8"},
        {".webmanifest", "application/manifest+json; charset=utf-8"},
        {".svg", "image/svg+xml; charset=utf-8"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".jpeg", "image/jpeg"},
        {".gif", "image/gif"},
        {".webp", "image/webp"},
        {".avif", "image/avif"},
        {".ico", "image/x-icon"},
        {".woff", "font/woff"},
        {".woff2", "font/woff2"},
        {".ttf", "font/ttf"},
        {".otf", "font/otf"},
        {".wasm", "application/wasm"},
        {".pdf", "application/pdf"},
        {".mp3", "audio/mpeg"},
        {".ogg", "audio/ogg"},
        {".wav", "audio/wav"},
        {".mp4", "video/mp4"},
        {".webm", "video/webm"},
        {".txt", "text/plain; charset=utf-8"},
        {".md", "text/markdown; charset=utf-8"},
        {".csv", "text/csv; charset=utf-8"},
        {".xml", "application/xml; charset=utf-8"},
        {".zip", "application/zip"},
    };
    const char *dot = strrchr(ls_path_base(path), '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++)
        if (strcasecmp(dot, types[i][0]) == 0) return types[i][1];
    return "application/octet-stream";
}

/* --- what a path may reach (P19a) --- */

static bool has_dot_component(const char *path)
{
    for (const char *at = path; *at != '\0'; at += strcspn(at, "/")) {
        at += strspn(at, "/");
        if (*at == '.') return true;
    }
    return false;
}

/* Does a link directly below html/ point to this folder? */
static bool is_linked(const struct ls_web *web, const char *path, const char *root)
{
    size_t first = strcspn(path + 1, "/");
    struct ls_buf link = LS_BUF_INIT;
    ls_buf_printf(&link, "%s/%.*s", web->html_dir, (int)first, path + 1);
    struct stat info;
    char *target =
        lstat(ls_buf_text(&link), &info) == 0 && S_ISLNK(info.st_mode) ? ls_path_real(ls_buf_text(&link), NULL) : NULL;
    bool linked = target && strcmp(target, root) == 0;
    ls_free(target);
    ls_buf_release(&link);
    return linked;
}

/* Does the file lie in the Lua directory, wherever that leads? */
static bool is_code(const struct ls_web *web, const char *real)
{
    char *lua = ls_path_real_lenient(web->within, web->site->lua_dir, NULL);
    bool code = ls_path_below(lua ? lua : web->site->lua_dir, real);
    ls_free(lua);
    return code;
}

/* `path` as requested, `real` as resolved. */
static bool may_serve(const struct ls_web *web, const char *path, const char *real)
{
    if (has_dot_component(path)) return false;
    const char *below = ls_path_rest(web->site->root, real);
    if (below) return !has_dot_component(below) && strcmp(below, "lsess.lua") != 0 && !is_code(web, real);
    for (char **allowed = web->static_roots; allowed && *allowed; allowed++)
        if (ls_path_below(*allowed, real) && is_linked(web, path, *allowed))
            return !has_dot_component(real + strlen(*allowed));
    return false;
}

/* @return the file or folder behind a path as requested, owned; NULL if there is none that may be served */
static char *find_served(const struct ls_web *web, const char *path)
{
    struct ls_buf full = LS_BUF_INIT;
    if (web->html_dir) ls_buf_printf(&full, "%s%s", web->html_dir, path);
    char *real = web->html_dir ? ls_path_within(web->within, ls_buf_text(&full), NULL) : NULL;
    ls_buf_release(&full);
    if (real && may_serve(web, path, real)) return real;
    ls_free(real);
    return NULL;
}

/* The built-in site is a folder inside the program. */
static const struct ls_embed *find_bundled(const struct ls_web *web, const char *path)
{
    struct ls_buf name = LS_BUF_INIT;
    if (web->site->bundle) ls_buf_printf(&name, "%s/html%s", web->site->bundle, path);
    const struct ls_embed *embed = ls_embed_find(ls_buf_text(&name));
    ls_buf_release(&name);
    return embed;
}

/* --- answers --- */

static bool etag_matches(const char *list, const char *etag)
{
    if (strncmp(etag, "W/", 2) == 0) etag += 2;
    size_t len = strlen(etag);
    for (const char *at = list; *at != '\0';) {
        at += strspn(at, " \t,");
        if (*at == '*') return true;
        if (strncmp(at, "W/", 2) == 0) at += 2;
        size_t step = strcspn(at, ",");
        if (step >= len && strncmp(at, etag, len) == 0) return true;
        at += step;
    }
    return false;
}

static int64_t parse_http_date(const char *text)
{
    struct tm parts = {0};
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    return end ? (int64_t)timegm(&parts) : -1;
}

bool ls_http_static_not_modified(const struct ls_request *request, const char *etag, int64_t mtime)
{
    const char *none_match = mg_get_header(request->http, "If-None-Match");
    if (none_match) return etag_matches(none_match, etag);
    const char *since = mg_get_header(request->http, "If-Modified-Since");
    int64_t time_then = since && mtime > 0 ? parse_http_date(since) : -1;
    return time_then >= 0 && mtime <= time_then;
}

/* A number of whatever size, digits alone. @return what follows it, NULL without any */
static const char *parse_position(const char *at, uint64_t *number)
{
    size_t digits = strspn(at, "0123456789");
    *number = strtoull(at, NULL, 10); /* one that is too large becomes the largest */
    return digits > 0 ? at + digits : NULL;
}

/* One byte range (P19). @return 0 none asked for (or one to be ignored), 1 in *from, *to, -1 not satisfiable */
static int parse_range(const struct ls_request *request, const struct content *content, uint64_t *from, uint64_t *to)
{
    const char *range = mg_get_header(request->http, "Range"), *if_range = mg_get_header(request->http, "If-Range"),
               *at = NULL;
    uint64_t first = 0, last = UINT64_MAX;
    if (!range || strncasecmp(range, "bytes=", 6) != 0 || (if_range && strcmp(if_range, content->etag) != 0)) return 0;
    bool suffix = range[6] == '-';
    if (suffix) {
        at = parse_position(range + 7, &last);
    } else if ((at = parse_position(range + 6, &first))) {
        at = *at != '-' ? NULL : at[1 + strspn(at + 1, " \t")] == '\0' ? at + 1 : parse_position(at + 1, &last);
    }
    if (!at || at[strspn(at, " \t")] != '\0' || (!suffix && last < first)) return 0;
    if (suffix ? last == 0 || content->len == 0 : first >= content->len) return -1;
    *from = !suffix ? first : last > content->len ? 0 : content->len - last;
    *to = suffix || last >= content->len ? content->len - 1 : last;
    return 1;
}

static void stream_file(const struct ls_request *request, int fd, uint64_t from, uint64_t len)
{
    char chunk[STREAM_SIZE];
    while (len > 0) {
        ssize_t n = pread(fd, chunk, len < sizeof chunk ? (size_t)len : sizeof chunk, (off_t)from);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0 || mg_write(request->http, chunk, (size_t)n) != (int)n) {
            /* what was announced does not come, so nothing can follow it */
            mg_disable_connection_keep_alive(request->http);
            return;
        }
        from += (uint64_t)n;
        len -= (uint64_t)n;
    }
}

static bool accepts_gzip(const struct ls_request *request)
{
    const char *accepted = mg_get_header(request->http, "Accept-Encoding");
    const char *gzip = accepted ? strstr(accepted, "gzip") : NULL;
    return gzip && strncmp(gzip, "gzip;q=0", 8) != 0;
}

static void describe(struct ls_reply *reply, const struct content *content)
{
    ls_reply_header(reply, "ETag", "%s", content->etag);
    ls_reply_header(reply, "Cache-Control", "%s", content->must_revalidate ? "no-cache" : "public, max-age=60");
    ls_reply_header(reply, "Accept-Ranges", "bytes");
    if (content->mtime > 0) {
        ls_buf_str(&reply->headers, "Last-Modified: ");
        ls__reply_date(&reply->headers, content->mtime);
        ls_buf_str(&reply->headers, "\r\n");
    }
    if (content->embed && content->embed->alone) ls_reply_header(reply, "Vary", "Accept-Encoding");
}

/* An embedded file is stored as browsers take it. */
static int send_embedded(struct ls_request *request, const struct content *content, struct ls_reply *reply)
{
    if (content->embed->alone && accepts_gzip(request)) {
        ls_reply_header(reply, "Content-Encoding", "gzip");
        reply->body = content->embed->stored;
        reply->len = content->embed->stored_len;
        return ls_reply_send(reply, request->http);
    }
    struct ls_bytes *bytes = ls_embed_read(content->embed);
    reply->body = ls_bytes_data(bytes);
    reply->len = ls_bytes_len(bytes);
    int status = ls_reply_send(reply, request->http);
    ls_bytes_unref(bytes);
    return status;
}

static int send_content(struct ls_request *request, const struct content *content)
{
    struct ls_reply reply;
    uint64_t from = 0, to = content->len > 0 ? content->len - 1 : 0;
    if (ls_http_static_not_modified(request, content->etag, content->mtime)) {
        ls_reply_init(&reply, 304, NULL);
        describe(&reply, content);
        return ls_reply_send(&reply, request->http);
    }
    int range = !content->embed && !request->head ? parse_range(request, content, &from, &to) : 0;
    ls_reply_init(&reply, range < 0 ? 416 : range > 0 ? 206 : 200, content->type);
    if (range < 0) {
        ls_reply_header(&reply, "Content-Range", "bytes */%" PRIu64, content->len);
        return ls_reply_send(&reply, request->http);
    }
    describe(&reply, content);
    if (content->embed) return send_embedded(request, content, &reply);
    if (range > 0)
        ls_reply_header(&reply, "Content-Range", "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, from, to, content->len);
    reply.len = content->len == 0 ? 0 : to - from + 1;
    reply.fd = content->fd;
    reply.from = (off_t)from;
    int status = ls_reply_send(&reply, request->http);
    if (!request->head) stream_file(request, content->fd, (uint64_t)reply.from, reply.len);
    return status;
}

static int serve_embedded(struct ls_request *request, const struct ls_embed *embed, const char *type)
{
    struct content content = {.embed = embed, .fd = -1, .len = embed->len, .type = type, .must_revalidate = true};
    snprintf(content.etag, sizeof content.etag, "\"%016" PRIx64 "\"",
             ls_hash(embed->stored, embed->stored_len) + embed->offset);
    return send_content(request, &content);
}

/* A name such as main-1a2b3c.js is made new with its content. */
static bool is_hashed_name(const char *path)
{
    const char *base = ls_path_base(path), *dash = strrchr(base, '-'), *dot = strchr(dash ? dash : base, '.');
    return dash && dot && dot - dash > 8;
}

static int serve_file(struct ls_request *request, const char *real)
{
    struct stat info;
    LS_ERR(why);
    int fd = ls_file_open(request->web->within, real, &info, &why);
    if (fd < 0) return ls_reply_text(request->http, 404, "Not found.\n");
    struct content content = {
        .fd = fd, .len = (uint64_t)info.st_size, .mtime = (int64_t)info.st_mtime, .type = find_type(request->path)};
    content.must_revalidate = request->web->watch || ls_has_suffix(real, ".html") || !is_hashed_name(real);
    snprintf(content.etag, sizeof content.etag, "\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 "\"", (uint64_t)info.st_ino,
             (uint64_t)info.st_size, (uint64_t)info.st_mtim.tv_sec * 1000000000u + (uint64_t)info.st_mtim.tv_nsec);
    int status = send_content(request, &content);
    close(fd);
    return status;
}

/* --- the built-in client (F11) --- */

static const struct ls_embed *find_client_module(const char *path)
{
    char name[256];
    if (strncmp(path, "/lsess-client/", 14) != 0 || strchr(path + 14, '/') || !ls_has_suffix(path, ".js")) return NULL;
    snprintf(name, sizeof name, "templates/client/%s", path + 14);
    return ls_embed_find(name);
}

static bool is_pattern(const char *path, const char *prefix)
{
    return ls_has_prefix(path, prefix) && ls_has_suffix(path, ".js") && !strchr(path + 1, '/');
}

/* @return a status, or 0 when the path is none of the client's */
static int serve_client(struct ls_request *request)
{
    const char *path = request->path;
    if (strcmp(path, "/lsess-client/generation") == 0)
        return ls_reply_text(request->http, 200, "%lu\n", atomic_load(&request->web->generation));
    const struct ls_embed *embed = find_client_module(path);
    if (!embed && (strcmp(path, "/main.js") == 0 || is_pattern(path, "/main-")))
        embed = ls_embed_find("templates/client/main.js");
    if (embed) return serve_embedded(request, embed, "text/javascript; charset=utf-8");
    if (is_pattern(path, "/worker-")) {
        struct ls_reply reply;
        ls_reply_init(&reply, 200, "text/javascript; charset=utf-8");
        ls_reply_header(&reply, "Cache-Control", "no-cache");
        return ls_reply_send(&reply, request->http);
    }
    return 0;
}

static bool is_client_module(struct ls_web *web, const char *path)
{
    if (strcmp(path, "/main.js") != 0 && !is_pattern(path, "/main-")) return false;
    char *real = web->client_builtin ? NULL : find_served(web, path);
    bool own = real && ls_is_file(real);
    ls_free(real);
    return !own;
}

bool ls_http_static_is_client(struct ls_web *web, const char *page)
{
    const char *src = strstr(page, LS_CLIENT_ENTRY);
    size_t len = src ? strcspn(src + 6, "\"?#") : 0;
    char path[64];
    snprintf(path, sizeof path, "%.*s", len < sizeof path ? (int)len : 0, src ? src + 6 : "");
    return is_client_module(web, path);
}

/* The browser would find the first module's imports only once it has that; named in the page they come side by side
 * (Q1). */
void ls_http_static_preloads(const char *page, const char *base, struct ls_buf *out)
{
    size_t count;
    if (strstr(page, "modulepreload")) return;
    const struct ls_embed *embed = ls_embed_all(&count);
    for (size_t i = 0; i < count; i++)
        if (ls_has_prefix(embed[i].name, "templates/client/") && ls_has_suffix(embed[i].name, ".js") &&
            !ls_has_suffix(embed[i].name, "/main.js"))
            ls_buf_printf(out, "<link rel=\"modulepreload\" href=\"%slsess-client/%s\">", base,
                          embed[i].name + strlen("templates/client/"));
}

/* --- the path --- */

/* A folder is answered by its index.html, under the address with the slash (P19). */
static int serve_directory(struct ls_request *request)
{
    struct ls_buf index = LS_BUF_INIT;
    bool slash = ls_has_suffix(request->path, "/");
    ls_buf_printf(&index, "%s%sindex.html", request->path, slash ? "" : "/");
    char *real = find_served(request->web, ls_buf_text(&index));
    int status = 0;
    if (real && ls_is_file(real) && slash) {
        request->path = ls_buf_text(&index); /* its extension tells the type */
        status = serve_file(request, real);
    } else if (real && ls_is_file(real)) {
        /* Relative to the address itself, so that what needs escaping in it stays as the browser wrote it. */
        ls_buf_clear(&index);
        ls_buf_printf(&index, "%s/", strrchr(request->info->local_uri_raw, '/') + 1);
        status = ls__reply_moved(request, ls_buf_text(&index));
    }
    ls_free(real);
    ls_buf_release(&index);
    return status;
}

static int serve_site_file(struct ls_request *request)
{
    char *real = find_served(request->web, request->path);
    int status = 0;
    if (real && ls_is_dir(real))
        status = serve_directory(request);
    else if (real && !ls_has_suffix(request->path, "/") && ls_is_file(real))
        status =
            ls_has_suffix(request->path, "/index.html") ? ls__reply_moved(request, "./") : serve_file(request, real);
    ls_free(real);
    return status;
}

static int serve_bundle_file(struct ls_request *request)
{
    const struct ls_embed *embed = has_dot_component(request->path) ? NULL : find_bundled(request->web, request->path);
    return embed ? serve_embedded(request, embed, find_type(request->path)) : 0;
}

int ls_http_static_serve(struct ls_request *request)
{
    if (!request->get) return ls_reply_not_allowed(request);
    if (strcmp(request->path, "/index.html") == 0) /* P20 */
        return ls__reply_moved(request, "./");
    int status = 0;
    if (request->web->client_builtin) status = serve_client(request);
    if (status == 0) status = serve_site_file(request);
    if (status == 0) status = serve_bundle_file(request);
    if (status == 0) status = serve_client(request);
    return status != 0 ? status : ls_reply_text(request->http, 404, "Not found.\n");
}

struct ls_bytes *ls_http_static_index(struct ls_web *web)
{
    char *real = find_served(web, "/index.html");
    struct ls_bytes *bytes = real ? ls_file_read(web->within, real, 0, NULL) : NULL;
    ls_free(real);
    if (bytes) return bytes;
    const struct ls_embed *page = find_bundled(web, "/index.html");
    if (!page) page = ls_embed_find("templates/pages/index.html");
    return page ? ls_embed_read(page) : NULL;
}
