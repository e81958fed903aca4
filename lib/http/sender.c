/* Who sends a request, and by which address (N20, N21): what the connection says itself, or what a trusted proxy says.
 * Everything that depends on it asks here: checks of Host and Origin, cookies, redirects, limits an address.
 *
 * Lists that several proxies have added to are read from the right, where the nearest one writes: what stands left of
 * the first address that is not trusted may be anybody's invention.
 *
 * Refuses to believe a header of a connection whose own peer is not in --trust-proxy, and `Forwarded` without
 * --trust-forwarded, since proxies that do not write it pass on what clients have written.
 *
 * Threads: any. */
#include "http/http.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/text.h"
#include "front/front.h"

enum { MAX_HOPS = 32 };

struct word {
    const char *at; /* NULL = none */
    size_t len;
};

/* --- addresses and nets --- */

/* IPv4 as IPv6 has it, so that one comparison does. */
bool ls_http_address_read(const char *text, unsigned char address[16])
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (inet_pton(AF_INET6, text, address) == 1) return true;
    memcpy(address, mapped, sizeof mapped);
    return inet_pton(AF_INET, text, address + sizeof mapped) == 1;
}

bool ls_http_net_read(const char *text, struct ls_net *net)
{
    char address[INET6_ADDRSTRLEN];
    size_t len = strcspn(text, "/");
    int most = memchr(text, ':', len) ? 128 : 32;
    int64_t bits = most;
    if (len >= sizeof address) return false;
    memcpy(address, text, len);
    address[len] = '\0';
    if (!ls_http_address_read(address, net->address) ||
        (text[len] == '/' && !ls_parse_int(text + len + 1, 0, most, &bits)))
        return false;
    net->bits = (int)bits + (128 - most);
    return true;
}

static bool is_inside(const struct ls_net *net, const unsigned char address[16])
{
    size_t whole = (size_t)net->bits / 8;
    int rest = net->bits % 8;
    return memcmp(net->address, address, whole) == 0 &&
           (rest == 0 || ((net->address[whole] ^ address[whole]) >> (8 - rest)) == 0);
}

bool ls_http_address_trusted(const struct ls_web *web, const char *text)
{
    unsigned char address[16];
    if (web->trusted_count == 0 || !ls_http_address_read(text, address)) return false;
    for (size_t i = 0; i < web->trusted_count; i++)
        if (is_inside(&web->trusted[i], address)) return true;
    return false;
}

int ls_http_sender_open(struct ls_web *web, const char *const *proxies, struct ls_err *err)
{
    size_t count = 0;
    while (proxies && proxies[count])
        count++;
    web->trusted = ls_array(count + 1, sizeof *web->trusted);
    if (!web->trusted) return ls_fail(err, LS_ENOMEM, "Out of memory while opening the server.");
    for (; web->trusted_count < count; web->trusted_count++)
        if (!ls_http_net_read(proxies[web->trusted_count], &web->trusted[web->trusted_count]))
            return ls_fail(err, LS_EINVAL, "'%s' of --trust-proxy is no address and no net such as 10.0.0.0/8.",
                           proxies[web->trusted_count]);
    return 0;
}

/* --- lists in headers --- */

static size_t skip_word(const char *at, bool quotes)
{
    bool inside = false;
    size_t len = 0;
    for (; at[len] != '\0' && (inside || at[len] != ','); len++)
        inside ^= quotes && at[len] == '"';
    return len;
}

static struct word trim(const char *at, size_t len)
{
    while (len > 0 && (*at == ' ' || *at == '\t'))
        at++, len--;
    while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t'))
        len--;
    return (struct word){at, len};
}

/* The item of a list, which may stand in several headers, by its place from the left; counts them all. */
static size_t find_item(const struct mg_request_info *info, const char *name, size_t place, struct word *item)
{
    size_t count = 0;
    for (int i = 0; i < info->num_headers; i++) {
        if (strcasecmp(info->http_headers[i].name, name) != 0) continue;
        for (const char *at = info->http_headers[i].value;; at++) {
            size_t len = skip_word(at, strcasecmp(name, "Forwarded") == 0);
            if (count++ == place) *item = trim(at, len);
            at += len;
            if (*at == '\0') break;
        }
    }
    return count;
}

/* The item by its place from the right: of a shorter list the first one. */
static struct word item_of(const struct mg_request_info *info, const char *name, size_t from_right)
{
    struct word item = {NULL, 0};
    size_t count = find_item(info, name, SIZE_MAX, &item);
    if (count > 0) find_item(info, name, from_right < count ? count - 1 - from_right : 0, &item);
    return item;
}

/* `for` of `for=192.0.2.1;proto=https`, without quotes. */
static struct word parameter(struct word item, const char *name)
{
    size_t name_len = strlen(name);
    for (size_t at = 0; at < item.len;) {
        size_t len = 0;
        while (at + len < item.len && item.at[at + len] != ';')
            len++;
        struct word pair = trim(item.at + at, len);
        if (pair.len > name_len && strncasecmp(pair.at, name, name_len) == 0 && pair.at[name_len] == '=') {
            struct word value = trim(pair.at + name_len + 1, pair.len - name_len - 1);
            bool quoted = value.len >= 2 && value.at[0] == '"' && value.at[value.len - 1] == '"';
            return quoted ? (struct word){value.at + 1, value.len - 2} : value;
        }
        at += len + 1;
    }
    return (struct word){NULL, 0};
}

/* --- what they say --- */

/* `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80` */
static bool read_hop(struct word item, char address[INET6_ADDRSTRLEN])
{
    unsigned char bytes[16];
    bool bracket = item.len > 0 && item.at[0] == '[';
    const char *end = memchr(item.at, bracket ? ']' : ':', item.len);
    if (!bracket && end && memchr(end + 1, ':', item.len - (size_t)(end + 1 - item.at))) end = NULL; /* IPv6 */
    if (bracket && !end) return false;
    size_t len = (end ? (size_t)(end - item.at) : item.len) - bracket;
    if (len >= INET6_ADDRSTRLEN) return false;
    memcpy(address, item.at + bracket, len);
    address[len] = '\0';
    return ls_http_address_read(address, bytes);
}

static bool is_host(struct word host)
{
    for (size_t i = 0; i < host.len; i++)
        if (!ls_is_word(host.at[i]) && !strchr(".-:[]", host.at[i])) return false;
    return host.len > 0;
}

bool ls_http_prefix_valid(const char *text, size_t len)
{
    if (len == 0 || len >= LS_PREFIX || text[0] != '/' || memmem(text, len, "//", 2) || memmem(text, len, "/.", 2))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!ls_is_word(text[i]) && !strchr("/-.~%!$&'()*+=:@", text[i])) return false;
    return true;
}

static void set_prefix(struct ls_sender *sender, const char *text, size_t len)
{
    if (!ls_http_prefix_valid(text, len)) return;
    if (text[len - 1] == '/') len--;
    memcpy(sender->prefix, text, len);
    sender->prefix[len] = '\0';
}

static void set_host(struct ls_sender *sender, struct word host, struct word port)
{
    if (!host.at || !is_host(host) || host.len >= sizeof sender->host - 8) return;
    snprintf(sender->host, sizeof sender->host, "%.*s", (int)host.len, host.at);
    const char *colon = strrchr(sender->host, ':');
    bool has_port = colon && !strchr(colon, ']') && (sender->host[0] == '[' || strchr(sender->host, ':') == colon);
    if (!has_port && port.len > 0 && port.len <= 5 && strspn(port.at, "0123456789") >= port.len)
        snprintf(sender->host + host.len, sizeof sender->host - host.len, ":%.*s", (int)port.len, port.at);
}

static void set_scheme(struct ls_sender *sender, struct word proto)
{
    if (proto.at && proto.len > 0)
        sender->secure = (proto.len == 5 && strncasecmp(proto.at, "https", 5) == 0) ||
                         (proto.len == 3 && strncasecmp(proto.at, "wss", 3) == 0);
}

/* From the nearest proxy on, until an address is not one of a proxy that is trusted: that is the peer's. @return how
 * many were, the place from the right of what was said about it */
static size_t skip_trusted(const struct ls_web *web, const struct mg_request_info *info, const char *name,
                           struct ls_sender *sender)
{
    struct word first = {NULL, 0};
    size_t count = find_item(info, name, 0, &first), hop = 0;
    bool forwarded = strcasecmp(name, "Forwarded") == 0;
    for (; hop < count && hop < MAX_HOPS; hop++) {
        char address[INET6_ADDRSTRLEN];
        struct word item = item_of(info, name, hop);
        if (forwarded) item = parameter(item, "for");
        sender->told = item.at && read_hop(item, address);
        if (!sender->told) break;
        strcpy(sender->address, address);
        if (!ls_http_address_trusted(web, address)) break;
    }
    return hop;
}

static void read_forwarded(const struct ls_web *web, const struct mg_request_info *info, struct ls_sender *sender)
{
    struct word item = item_of(info, "Forwarded", skip_trusted(web, info, "Forwarded", sender));
    set_scheme(sender, parameter(item, "proto"));
    set_host(sender, parameter(item, "host"), (struct word){NULL, 0});
}

static void read_x_forwarded(const struct ls_web *web, const struct mg_request_info *info, struct ls_sender *sender)
{
    size_t hop = skip_trusted(web, info, "X-Forwarded-For", sender);
    set_scheme(sender, item_of(info, "X-Forwarded-Proto", hop));
    set_host(sender, item_of(info, "X-Forwarded-Host", hop), item_of(info, "X-Forwarded-Port", hop));
}

static bool has_any(const struct mg_request_info *info, const char *prefix)
{
    for (int i = 0; i < info->num_headers; i++)
        if (strncasecmp(info->http_headers[i].name, prefix, strlen(prefix)) == 0) return true;
    return false;
}

static void read_user(const struct ls_web *web, const struct mg_request_info *info, struct ls_sender *sender)
{
    struct word name = {NULL, 0};
    if (!web->auth_header || find_item(info, web->auth_header, 0, &name) != 1) return;
    if (name.len > 0 && name.len < sizeof sender->user) memcpy(sender->user, name.at, name.len);
}

/* --- all --- */

bool ls_http_peer(const struct ls_web *web, const struct mg_request_info *info, struct ls_relay_peer *peer)
{
    *peer = (struct ls_relay_peer){.family = AF_INET, .uid = -1};
    /* What is carried comes from this one address; the same port of 127.0.0.2 is anybody's to take. */
    if (web->inner_port != 0 && info->server_port == web->inner_port)
        return strcmp(info->remote_addr, "127.0.0.1") == 0 && ls_front_peer(web->front, info->remote_port, peer);
    snprintf(peer->address, sizeof peer->address, "%.45s", info->remote_addr);
    snprintf(peer->self, sizeof peer->self, "%s", web->address ? web->address : "");
    peer->port = info->remote_port;
    peer->self_port = web->http_port;
    return true;
}

static void name_peer(const struct ls_relay_peer *peer, char address[INET6_ADDRSTRLEN])
{
    snprintf(address, INET6_ADDRSTRLEN, "%s", peer->family == AF_UNIX ? "127.0.0.1" : peer->address);
}

void ls_http_peer_address(const struct ls_web *web, const struct mg_request_info *info, char address[INET6_ADDRSTRLEN])
{
    struct ls_relay_peer peer;
    ls_http_peer(web, info, &peer);
    name_peer(&peer, address);
}

bool ls_http_peer_trusted(const struct ls_web *web, const struct mg_request_info *info)
{
    char address[INET6_ADDRSTRLEN];
    ls_http_peer_address(web, info, address);
    return ls_http_address_trusted(web, address);
}

void ls_sender_read(const struct ls_web *web, const struct mg_request_info *info, struct ls_sender *sender)
{
    struct word host = {NULL, 0}, prefix;
    struct ls_relay_peer peer;
    ls_http_peer(web, info, &peer);
    *sender = (struct ls_sender){.secure = peer.tls};
    name_peer(&peer, sender->address);
    if (find_item(info, "Host", 0, &host) > 0) set_host(sender, host, (struct word){NULL, 0});
    if (web->base_path) set_prefix(sender, web->base_path, strlen(web->base_path));
    sender->trusted = ls_http_address_trusted(web, sender->address);
    if (!sender->trusted) return;
    bool forwarded = web->trust_forwarded && has_any(info, "Forwarded");
    sender->proxied = forwarded || has_any(info, "X-Forwarded-");
    if (forwarded)
        read_forwarded(web, info, sender);
    else
        read_x_forwarded(web, info, sender);
    prefix = item_of(info, "X-Forwarded-Prefix", 0);
    if (prefix.at) set_prefix(sender, prefix.at, prefix.len);
    read_user(web, info, sender);
}

const char *ls_sender_below(const struct ls_sender *sender, const char *path)
{
    size_t len = strlen(sender->prefix);
    return len > 0 && strncmp(path, sender->prefix, len) == 0 && (path[len] == '/' || path[len] == '\0') ? path + len
                                                                                                         : path;
}
