/* Who sends a request and by which address, behind proxies that are trusted and others (N20, N21). What follows from it
 * is in tests/server/proxied.test.js, against the program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "http/http.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct said {
    const char *peer, *headers; /* `Name: value|Name: value` */
    const char *address, *host, *prefix, *user;
    bool secure, trusted, proxied;
    bool forwarded; /* --trust-forwarded */
};

#define HOST "Host: 127.0.0.1:8080|"

static const struct said table[] = {
    /* nobody who is trusted: the connection alone counts */
    {.peer = "192.0.2.7", .headers = "Host: a.example", .address = "192.0.2.7", .host = "a.example"},
    {.peer = "192.0.2.7",
     .headers = HOST "X-Forwarded-For: 127.0.0.1|X-Forwarded-Proto: https|X-Forwarded-Host: evil.example|"
                     "X-Forwarded-Prefix: /evil|Forwarded: for=127.0.0.1|Remote-User: root",
     .address = "192.0.2.7",
     .host = "127.0.0.1:8080",
     .forwarded = true},
    {.peer = "", .headers = HOST "X-Forwarded-For: 10.0.0.1", .address = "", .host = "127.0.0.1:8080"},
    /* a proxy that says nothing */
    {.peer = "10.1.2.3", .headers = HOST, .address = "10.1.2.3", .host = "127.0.0.1:8080", .trusted = true},
    /* one that says all */
    {.peer = "10.1.2.3",
     .headers = HOST "X-Forwarded-For: 203.0.113.7|x-forwarded-proto: HTTPS|X-Forwarded-Host: tool.example|"
                     "X-Forwarded-Prefix: /tool/|Remote-User: ada",
     .address = "203.0.113.7",
     .host = "tool.example",
     .prefix = "/tool",
     .user = "ada",
     .secure = true,
     .trusted = true,
     .proxied = true},
    {.peer = "2001:db8::5",
     .headers = HOST "X-Forwarded-For: [2001:db9::7]:4711|X-Forwarded-Host: [2001:db9::1]|X-Forwarded-Port: 8443",
     .address = "2001:db9::7",
     .host = "[2001:db9::1]:8443",
     .trusted = true,
     .proxied = true},
    {.peer = "::ffff:10.1.2.3",
     .headers = HOST "X-Forwarded-For: 203.0.113.7:80|X-Forwarded-Host: tool.example:81|X-Forwarded-Port: 82",
     .address = "203.0.113.7",
     .host = "tool.example:81",
     .trusted = true,
     .proxied = true},
    /* several: the rightmost address that is not trusted, and what was said of that one */
    {.peer = "10.1.2.3",
     .headers = HOST "X-Forwarded-For: 127.0.0.1, 203.0.113.7, 10.9.9.9|X-Forwarded-Proto: http, https, http|"
                     "X-Forwarded-Host: evil.example, tool.example, inner",
     .address = "203.0.113.7",
     .host = "tool.example",
     .secure = true,
     .trusted = true,
     .proxied = true},
    {.peer = "10.1.2.3",
     .headers = HOST "X-Forwarded-For: 127.0.0.1|X-Forwarded-For: 203.0.113.7|X-Forwarded-For: 10.9.9.9",
     .address = "203.0.113.7",
     .host = "127.0.0.1:8080",
     .trusted = true,
     .proxied = true},
    {.peer = "10.1.2.3",
     .headers = HOST "X-Forwarded-For: 10.0.0.1, 10.0.0.2",
     .address = "10.0.0.1",
     .host = "127.0.0.1:8080",
     .trusted = true,
     .proxied = true},
    /* what is not well formed is not believed */
    {.peer = "10.1.2.3",
     .headers = HOST "X-Forwarded-For: 127.0.0.1, unknown|X-Forwarded-Host: evil.example/x|X-Forwarded-Proto: ",
     .address = "10.1.2.3",
     .host = "127.0.0.1:8080",
     .trusted = true,
     .proxied = true},
    {.peer = "10.1.2.3",
     .headers = HOST "X-Forwarded-For: ,,|X-Forwarded-Prefix: //evil.example|X-Forwarded-Host: ",
     .address = "10.1.2.3",
     .host = "127.0.0.1:8080",
     .trusted = true,
     .proxied = true},
    {.peer = "10.1.2.3",
     .headers = HOST "X-Forwarded-Prefix: /a;b|Remote-User: ada|Remote-User: root",
     .address = "10.1.2.3",
     .host = "127.0.0.1:8080",
     .trusted = true,
     .proxied = true},
    /* Forwarded, only when it is asked for, and then instead of the others */
    {.peer = "10.1.2.3",
     .headers = HOST "Forwarded: for=127.0.0.1;host=evil.example|X-Forwarded-For: 203.0.113.7",
     .address = "203.0.113.7",
     .host = "127.0.0.1:8080",
     .trusted = true,
     .proxied = true},
    {.peer = "10.1.2.3",
     .headers = HOST "Forwarded: for=127.0.0.1, For=\"[2001:db9::7]:99\"; Proto=https;host=\"tool.example:44\", "
                     "for=10.0.0.9;proto=http|X-Forwarded-For: 203.0.113.7",
     .address = "2001:db9::7",
     .host = "tool.example:44",
     .secure = true,
     .trusted = true,
     .proxied = true,
     .forwarded = true},
    {.peer = "10.1.2.3",
     .headers = HOST "Forwarded: for=127.0.0.1, for=\"203.0.113.7;proto=https",
     .address = "10.1.2.3",
     .host = "127.0.0.1:8080",
     .secure = true,
     .trusted = true,
     .proxied = true,
     .forwarded = true},
};

/* Texts of `headers` are cut in place. */
static void fill_request(struct mg_request_info *info, const char *peer, char *headers)
{
    *info = (struct mg_request_info){.request_method = "GET", .http_version = "1.1"};
    strcpy(info->remote_addr, peer);
    for (char *rest, *line = strtok_r(headers, "|", &rest); line != NULL; line = strtok_r(NULL, "|", &rest)) {
        char *colon = strchr(line, ':');
        *colon = '\0';
        info->http_headers[info->num_headers++] = (struct mg_header){line, colon + 1 + (colon[1] == ' ')};
    }
}

static void N20_who_sends_a_request(void **state)
{
    (void)state;
    static const char *const proxies[] = {"10.0.0.0/8", "2001:db8::/32", NULL};
    for (size_t i = 0; i < COUNT(table); i++) {
        const struct said *said = &table[i];
        struct ls_web web = {.auth_header = "Remote-User", .trust_forwarded = said->forwarded};
        struct mg_request_info info;
        struct ls_sender sender;
        char headers[512];
        LS_ERR(err);
        assert_int_equal(ls_http_sender_open(&web, proxies, &err), 0);
        strcpy(headers, said->headers);
        fill_request(&info, said->peer, headers);
        ls_sender_read(&web, &info, &sender);
        if (strcmp(sender.address, said->address) != 0 || strcmp(sender.host, said->host) != 0)
            fail_msg("%s with %s: %s, %s", said->peer, said->headers, sender.address, sender.host);
        assert_string_equal(sender.prefix, said->prefix != NULL ? said->prefix : "");
        assert_string_equal(sender.user, said->user != NULL ? said->user : "");
        assert_int_equal(sender.secure, said->secure);
        assert_int_equal(sender.trusted, said->trusted);
        assert_int_equal(sender.proxied, said->proxied);
        ls_free(web.trusted);
    }
}

static void N20_addresses_and_nets(void **state)
{
    (void)state;
    struct ls_net net;
    static const char *const good[] = {"127.0.0.1", "0.0.0.0/0", "10.0.0.0/8", "192.0.2.128/25", "::1", "fd00::/8"};
    static const char *const bad[] = {"",         "/8",      "10.0.0.0/33", "10.0.0.0/",
                                      "10.0.0/8", "::1/129", "host",        "1.2.3.4/-1"};
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(ls_http_net_read(good[i], &net));
    for (size_t i = 0; i < COUNT(bad); i++)
        if (ls_http_net_read(bad[i], &net)) fail_msg("'%s' is taken", bad[i]);
    static const char *const proxies[] = {"192.0.2.128/25", NULL};
    struct ls_web web = {0};
    LS_ERR(err);
    assert_int_equal(ls_http_sender_open(&web, proxies, &err), 0);
    struct mg_request_info inside = {.remote_addr = "192.0.2.200"}, outside = {.remote_addr = "192.0.2.127"};
    assert_true(ls_http_peer_trusted(&web, &inside));
    assert_false(ls_http_peer_trusted(&web, &outside));
    ls_free(web.trusted);
}

static void N21_prefixes(void **state)
{
    (void)state;
    static const char *const good[] = {"/tool", "/a/b/", "/", "/a.b-c_d~e", "/%20"};
    static const char *const bad[] = {"",      "tool", "//tool", "/a//b",      "/a/../b",
                                      "/.git", "/a b", "/a;b",   "/a\r\nX: y", "/a?b"};
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(ls_http_prefix_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < COUNT(bad); i++)
        if (ls_http_prefix_valid(bad[i], strlen(bad[i]))) fail_msg("'%s' is taken", bad[i]);
    const struct ls_sender sender = {.prefix = "/tool"}, none = {.prefix = ""};
    assert_string_equal(ls_sender_below(&sender, "/tool/x"), "/x");
    assert_string_equal(ls_sender_below(&sender, "/tool"), "");
    assert_string_equal(ls_sender_below(&sender, "/toolbox"), "/toolbox");
    assert_string_equal(ls_sender_below(&sender, "/x"), "/x");
    assert_string_equal(ls_sender_below(&none, "/x"), "/x");
}

/* RFC 4231; keys are filled up with zeros in any case. */
static void N22_hmac(void **state)
{
    (void)state;
    static const unsigned char first[LS_HMAC] = {11, 11, 11, 11, 11, 11, 11, 11, 11, 11,
                                                 11, 11, 11, 11, 11, 11, 11, 11, 11, 11},
                               second[LS_HMAC] = "Jefe";
    static const unsigned char expected[2][4] = {{0xb0, 0x34, 0x4c, 0x61}, {0x5b, 0xdc, 0xc1, 0x46}};
    static const unsigned char ends[2][4] = {{0x2e, 0x32, 0xcf, 0xf7}, {0x64, 0xec, 0x38, 0x43}};
    unsigned char digest[LS_HMAC];
    char text[1000];
    ls__hmac(first, "Hi There", 8, digest);
    assert_memory_equal(digest, expected[0], 4);
    assert_memory_equal(digest + 28, ends[0], 4);
    ls__hmac(second, "what do ya want for nothing?", 28, digest);
    assert_memory_equal(digest, expected[1], 4);
    assert_memory_equal(digest + 28, ends[1], 4);
    memset(text, 'x', sizeof text);
    for (size_t len = 0; len <= sizeof text; len++) { /* over each border of blocks; each differs from the one before */
        unsigned char before[LS_HMAC];
        memcpy(before, digest, sizeof before);
        ls__hmac(second, text, len, digest);
        assert_memory_not_equal(digest, before, sizeof digest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(N20_who_sends_a_request),
        cmocka_unit_test(N20_addresses_and_nets),
        cmocka_unit_test(N21_prefixes),
        cmocka_unit_test(N22_hmac),
    };
    return cmocka_run_group_tests_name("http-sender", tests, NULL, NULL);
}
