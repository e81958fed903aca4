/* Who asks: Host and Origin (Q3, P23), what for (P3), and whether it is the user who serves, at this machine (P91a,
 * H100, C2).
 *
 * Whatever is allowed because "only this user can reach us" asks ls_request_is_local() and nothing else, for each
 * request or connection by itself: that the server listens on loopback says little, since other users' programs, a
 * proxy in front of it, or a browser's page of another site, come from loopback too.
 * Refuses to believe any header that would give more, but the cookie with the token of the start line where the kernel
 * does not tell whose program it is; each one only takes away.
 *
 * Threads: any. */
#include "http/http.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "front/front.h"

/* --- names --- */

/* The host of `host[:port]`, brackets removed. @return its length; 0 for what has another form */
static size_t split_host(const char *text, const char **host)
{
    bool bracket = text[0] == '[';
    *host = text + bracket;
    size_t len = strcspn(*host, bracket ? "]" : ":/");
    const char *rest = *host + len;
    if (bracket && *rest++ != ']') return 0;
    if (*rest == ':') rest += 1 + strspn(rest + 1, "0123456789");
    return *rest == '\0' || *rest == '/' ? len : 0;
}

/* The host of an origin or an address with a scheme. */
static size_t split_origin(const char *origin, const char **host)
{
    const char *scheme = strstr(origin, "://");
    return split_host(scheme ? scheme + 3 : origin, host);
}

static bool same_name(const char *a, size_t a_len, const char *b)
{
    return strlen(b) == a_len && strncasecmp(a, b, a_len) == 0;
}

/* @return AF_INET, AF_INET6 and the address, or 0 */
static int read_address(const char *host, size_t len, unsigned char *address)
{
    char text[64];
    if (len == 0 || len >= sizeof text) return 0;
    memcpy(text, host, len);
    text[len] = '\0';
    return inet_pton(AF_INET, text, address) == 1 ? AF_INET : inet_pton(AF_INET6, text, address) == 1 ? AF_INET6 : 0;
}

/* A name that means this machine wherever it is looked up: what is only configured to mean it, here or in a DNS, does
 * not. */
static bool is_loopback(const char *host, size_t len)
{
    static const unsigned char one[16] = {[15] = 1};
    static const char below[] = ".localhost"; /* RFC 6761 */
    unsigned char address[16];
    int family = read_address(host, len, address);
    if (family == AF_INET) return address[0] == 127;
    if (family == AF_INET6) return memcmp(address, one, sizeof one) == 0;
    size_t tail = sizeof below - 1;
    return same_name(host, len, below + 1) || (len > tail && strncasecmp(host + len - tail, below, tail) == 0);
}

/* The host of a Host header, an origin or an address. */
static bool is_loopback_at(const char *text)
{
    const char *host;
    size_t len = split_origin(text, &host);
    return is_loopback(host, len);
}

/* --- Host and Origin (Q3, P23) --- */

/* A name that an attacker's DNS can point at this machine is not one of ours. */
static bool is_host_known(const struct ls_web *web, const char *header)
{
    const char *host;
    unsigned char address[16];
    size_t len = split_host(header, &host);
    if (len == 0) return false;
    if (read_address(host, len, address) != 0 || same_name(host, len, "localhost")) return true;
    for (const char *const *ours = web->hosts; ours && *ours; ours++)
        if (same_name(host, len, *ours)) return true;
    for (const char *const *allowed = web->allow_origins; allowed && *allowed; allowed++) {
        const char *name;
        size_t name_len = split_origin(*allowed, &name);
        if (name_len == len && strncasecmp(name, host, len) == 0) return true;
    }
    return false;
}

/* An origin, or that of an address. */
struct origin {
    const char *scheme, *host;
    size_t scheme_len, len;
    int port; /* the scheme's own where none is said; 0 = a scheme without */
};

static int default_port(const char *scheme, size_t len)
{
    return same_name(scheme, len, "https") ? 443 : same_name(scheme, len, "http") ? 80 : 0;
}

static int read_port(const char *host, int otherwise)
{
    const char *colon = host[0] == '[' ? strchr(host, ']') : host - 1;
    size_t len = colon ? strcspn(colon + 1, ":/") : 0;
    return colon && colon[1 + len] == ':' ? atoi(colon + 2 + len) : otherwise;
}

/* @param whole  it is no address: nothing follows */
static bool read_origin(const char *text, bool whole, struct origin *origin)
{
    const char *rest = strstr(text, "://");
    if (!rest || (whole && strchr(rest + 3, '/'))) return false;
    *origin = (struct origin){.scheme = text, .scheme_len = (size_t)(rest - text)};
    origin->port = read_port(rest + 3, default_port(text, origin->scheme_len));
    origin->len = split_host(rest + 3, &origin->host);
    return origin->len > 0;
}

static bool is_same_origin(const struct origin *a, const struct origin *b)
{
    return a->port == b->port && a->scheme_len == b->scheme_len &&
           strncasecmp(a->scheme, b->scheme, a->scheme_len) == 0 && a->len == b->len &&
           strncasecmp(a->host, b->host, a->len) == 0;
}

/* Is the origin, or that of the address, one of the list? */
static bool is_in_list(const char *const *list, const char *address, bool whole)
{
    struct origin given, allowed;
    if (!list || !read_origin(address, whole, &given)) return false;
    for (; *list; list++)
        if (read_origin(*list, true, &allowed) && is_same_origin(&given, &allowed)) return true;
    return false;
}

/* Is it the one that browsers know us by? */
static bool is_origin_known(const struct ls_web *web, const char *text, const struct ls_sender *sender)
{
    struct origin origin;
    const char *scheme = sender->secure ? "https" : "http", *host;
    size_t len = split_host(sender->host, &host);
    if (read_origin(text, true, &origin) && len > 0 && same_name(origin.scheme, origin.scheme_len, scheme) &&
        origin.len == len && strncasecmp(origin.host, host, len) == 0 &&
        origin.port == read_port(sender->host, sender->secure ? 443 : 80))
        return true;
    return is_in_list(web->allow_origins, text, true);
}

static const char *find_header(const struct mg_request_info *info, const char *name)
{
    for (int i = 0; i < info->num_headers; i++)
        if (strcasecmp(info->http_headers[i].name, name) == 0) return info->http_headers[i].value;
    return NULL;
}

bool ls__request_is_listed(const struct ls_web *web, const struct mg_request_info *info)
{
    if (!web->allow_origins || !web->allow_origins[0]) return false;
    const char *origin = find_header(info, "Origin"), *referer = !origin ? find_header(info, "Referer") : NULL;
    return (origin && is_in_list(web->allow_origins, origin, true)) ||
           (referer && is_in_list(web->allow_origins, referer, false));
}

/* A document for a person to look at, or what a page embeds that may embed ours. Where the outer page keeps its
 * address to itself, the browser still holds it to frame-ancestors. */
static bool is_document(const struct ls_web *web, const struct mg_request_info *info, const char *dest)
{
    if (strcmp(dest, "document") == 0) return true;
    const char *site = find_header(info, "Sec-Fetch-Site"), *referer = find_header(info, "Referer");
    const char *const *embedders = web->embedders;
    return (strcmp(dest, "iframe") == 0 || strcmp(dest, "frame") == 0) &&
           (!site || strcmp(site, "same-origin") == 0 ||
            (embedders && *embedders && (!referer || is_in_list(embedders, referer, false))));
}

/* Browsers say what a request is for. Where they do not (older ones, http from another machine), only those that go
 * somewhere ask for HTML; programs ask for anything, and for no page. */
bool ls_request_is_navigation(const struct ls_web *web, const struct mg_request_info *info)
{
    const char *dest = find_header(info, "Sec-Fetch-Dest"), *accept = find_header(info, "Accept"),
               *purpose = find_header(info, "Sec-Purpose");
    if (purpose && strstr(purpose, "prefetch")) return false;
    if (dest) return is_document(web, info, dest);
    if (accept && strcasestr(accept, "text/html")) return true;
    return (!accept || strcmp(accept, "*/*") == 0) && !find_header(info, "Referer");
}

/* A picture, a script, an embedded page, something fetched: a part of another site's page (Q3). */
static bool is_foreign_part(const struct ls_web *web, const struct mg_request_info *info)
{
    const char *site = find_header(info, "Sec-Fetch-Site"), *dest = find_header(info, "Sec-Fetch-Dest");
    return site && strcmp(site, "cross-site") == 0 && !(dest && is_document(web, info, dest)) &&
           !ls__request_is_listed(web, info);
}

static bool has_proxy_header(const struct mg_request_info *info);

/* Which option helps, when it is not a proxy's word that is missing. */
static void add_proxy_hint(const struct mg_request_info *info, const struct ls_sender *sender, struct ls_buf *text)
{
    if (!sender->trusted && has_proxy_header(info))
        ls_buf_printf(text, ", or, if %s is a proxy of yours, with --trust-proxy %s", sender->address, sender->address);
    ls_buf_char(text, '\n');
}

/* A proxy that is trusted answers for the names that it passes on. What names our own port has not come by one: a
 * browser of its machine has gone there itself, maybe for a page that can write a proxy's headers but never Host. */
static bool is_passed_on(const struct ls_web *web, const struct ls_sender *sender, const char *host)
{
    return sender->proxied && host && read_port(host, 80) != web->port && read_port(host, 443) != web->port;
}

enum ls_refusal ls_http_origin_refusal(const struct ls_web *web, const struct mg_request_info *info,
                                       const struct ls_sender *sender, bool needs_origin_match, struct ls_buf *text)
{
    const char *host = find_header(info, "Host"), *origin = find_header(info, "Origin");
    /* Health checks of HTTP/1.0, which no browser speaks, do without a Host. */
    bool no_host = !host && strcmp(info->http_version, "1.0") == 0 &&
                   (strcmp(info->request_method, "HEAD") == 0 || strcmp(info->request_method, "OPTIONS") == 0);
    if (!no_host && (!host || (!is_host_known(web, host) && !is_passed_on(web, sender, host)))) {
        ls_buf_printf(
            text,
            "The host name '%.200s' is not served here (Host); start with --host or --allow-origin, such as --allow-origin %s://%.200s",
            host ? host : "", sender->secure ? "https" : "http", host ? host : "NAME");
        add_proxy_hint(info, sender, text);
        return LS_REFUSED_HOST;
    }
    if (needs_origin_match && origin && !is_origin_known(web, origin, sender)) {
        ls_buf_printf(text, "Pages of %.200s are refused (Origin); start with --allow-origin %.200s", origin, origin);
        add_proxy_hint(info, sender, text);
        return LS_REFUSED_ORIGIN;
    }
    if (!is_foreign_part(web, info)) return LS_REFUSED_NOT;
    ls_buf_str(
        text,
        "Pages of other sites may not use this as a part of themselves; start with --allow-origin to let a site's pages, with --allow-frame to let them frame it.\n");
    return LS_REFUSED_PART;
}

/* --- the user who serves, at this machine --- */

/* What a proxy adds. Names of its own that it may add besides come with one of these. */
static bool is_of_proxy(const char *name)
{
    static const char prefix[] = "X-Forwarded";
    return strncasecmp(name, prefix, sizeof prefix - 1) == 0 || strcasecmp(name, "Forwarded") == 0 ||
           strcasecmp(name, "Via") == 0 || strcasecmp(name, "X-Real-IP") == 0;
}

static bool has_proxy_header(const struct mg_request_info *info)
{
    for (int i = 0; i < info->num_headers; i++)
        if (is_of_proxy(info->http_headers[i].name)) return true;
    return false;
}

/* Who is at the other end of a proxy that is trusted is never here, whatever it says. */
static bool is_peer_local(const struct ls_web *web, const struct mg_request_info *info)
{
    char address[INET6_ADDRSTRLEN];
    ls_http_peer_address(web, info, address);
    return is_loopback(address, strlen(address)) && !ls_http_peer_trusted(web, info);
}

/* Browsers send no Origin with a GET of a page's own server; there Sec-Fetch-Site says the same, and Referer, where it
 * is, whose page it was. */
static bool is_own_get(const struct mg_request_info *info)
{
    const char *site = find_header(info, "Sec-Fetch-Site"), *referer = find_header(info, "Referer");
    bool get = strcmp(info->request_method, "GET") == 0 || strcmp(info->request_method, "HEAD") == 0;
    return get && !find_header(info, "Upgrade") && site &&
           (strcmp(site, "same-origin") == 0 || strcmp(site, "none") == 0) && (!referer || is_loopback_at(referer));
}

/* The first of the origins given that is of another machine, or NULL. */
static const char *foreign_origin(const struct ls_web *web)
{
    for (const char *const *allowed = web->allow_origins; allowed && *allowed; allowed++)
        if (!is_loopback_at(*allowed)) return *allowed;
    return NULL;
}

static bool is_token(const struct ls_web *web, const char *given, int len)
{
    unsigned differs = len != LS_RANDOM_ID;
    /* all of it, however early it is wrong: time is not to tell how much was right */
    for (int i = 0; i < LS_RANDOM_ID && len == LS_RANDOM_ID; i++)
        differs |= (unsigned char)(given[i] ^ web->token[i]);
    return differs == 0;
}

/* A cookie goes to all ports of a host, so its name has the port. */
static void name_cookie(const struct ls_web *web, char name[32])
{
    snprintf(name, 32, "lsess-token-%d", web->port);
}

/* Asked last, since it costs most. */
static bool is_users(const struct ls_web *web, const struct mg_request_info *info)
{
    struct ls_relay_peer peer, still;
    if (!ls_http_peer(web, info, &peer)) return false;
    if (peer.family == AF_UNIX) return peer.uid == 0 || peer.uid == (int64_t)geteuid();
    if (web->token[0] != '\0') {
        char name[32], given[LS_RANDOM_ID + 1] = "";
        name_cookie(web, name);
        return is_token(web, given, ls__request_cookie(info, name, given, sizeof given));
    }
    /* Carried still afterwards: so nobody else had this port meanwhile. */
    return ls__peer_is_user(peer.address, peer.port, peer.self, peer.self_port) && ls_http_peer(web, info, &still);
}

void ls_http_origin_grant(const struct ls_request *request, struct ls_buf *headers)
{
    const struct ls_web *web = request->web;
    char name[32], given[LS_RANDOM_ID + 1] = "";
    name_cookie(web, name);
    if (web->token[0] != '\0' && is_token(web, given, ls_request_param(request, "t", given, sizeof given)))
        ls_buf_printf(headers, "Set-Cookie: %s=%s; Path=%s/; HttpOnly; SameSite=Strict%s\r\n", name, web->token,
                      request->sender.prefix, request->sender.secure ? "; Secure" : "");
}

bool ls_request_is_local(const struct ls_web *web, const struct mg_request_info *info)
{
    bool host = false, origin = false;
    if (!web->loopback || (foreign_origin(web) && web->lua_property <= 0) || !is_peer_local(web, info)) return false;
    /* No browser speaks an older HTTP, and the proxy that adds no header of its own by default does. Headers beyond
     * civetweb's array are not seen. */
    if (!info->http_version || strcmp(info->http_version, "1.1") != 0 || info->num_headers >= MG_MAX_HEADERS)
        return false;
    for (int i = 0; i < info->num_headers; i++) { /* each one counts: two of a name are two opinions */
        const char *name = info->http_headers[i].name, *value = info->http_headers[i].value;
        bool is_host = strcasecmp(name, "Host") == 0, is_origin = strcasecmp(name, "Origin") == 0;
        if (is_of_proxy(name) || (is_host && !is_loopback_at(value)) || (is_origin && !is_loopback_at(value)))
            return false;
        host |= is_host;
        origin |= is_origin;
    }
    return host && (origin || is_own_get(info)) && is_users(web, info);
}

/* A proxy that does not say for whom it asks may ask for anybody. */
bool ls_request_is_near(const struct ls_request *request)
{
    const struct ls_sender *sender = &request->sender;
    return (sender->told || !has_proxy_header(request->info)) &&
           (is_loopback(sender->address, strlen(sender->address)) ||
            ls_http_address_trusted(request->web, sender->address));
}

struct ls_rights ls_request_rights(const struct ls_request *request)
{
    bool local = ls_request_is_local(request->web, request->info);
    int lua = request->web->lua_property;
    struct ls_rights rights = {.lua = lua > 0 || (lua < 0 && local), .source = local};
    memcpy(rights.user, request->sender.user, sizeof rights.user);
    return rights;
}

int ls_http_origin_open(struct ls_web *web, struct ls_err *err)
{
    bool powers = web->loopback && (!foreign_origin(web) || web->lua_property > 0);
    return powers && !ls__peer_can_tell() ? ls_random_id(web->token, err) : 0;
}

static bool trusts_loopback(const struct ls_web *web)
{
    return ls_http_address_trusted(web, "127.0.0.1") || ls_http_address_trusted(web, "::1");
}

void ls_http_origin_announce(const struct ls_web *web)
{
    const char *origin = foreign_origin(web);
    if (web->token[0] != '\0')
        ls_log(
            0,
            "This system does not tell which user a connection is from, so the property lua, source excerpts and opening the editor are for browsers that "
            "open the address with ?t= which is printed here.");
    if (web->loopback && web->lua_property <= 0 && trusts_loopback(web))
        ls_log(
            0,
            "Connections from this machine may be a proxy's (--trust-proxy), so %ssource excerpts in errors and opening the editor are off for them%s.",
            web->lua_property < 0 ? "the property lua, " : "",
            web->lua_property < 0 ? " (--allow-lua-property turns the property on)" : "");
    if (!origin || !web->loopback || web->lua_property > 0) return;
    ls_log(
        0,
        "Pages of %s may use this web, so %ssource excerpts in errors and opening the editor are off for every page%s.",
        origin, web->lua_property < 0 ? "the property lua, " : "",
        web->lua_property < 0 ? " (--allow-lua-property turns them on)" : "");
}
