/* Who is the user who serves, at this machine (Q3, P91a, H100): the one decision, over everything a request can say.
 * What follows from it is in tests/server/origin.test.js, against the program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/http.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const loopback[] = {"http://localhost:3000", "https://127.1.2.3", "http://[::1]:9", NULL};
static const char *const foreign[] = {"http://localhost:3000", "https://tool.example", NULL};

struct asked {
    bool expected;
    const char *peer, *method, *headers; /* `Name: value|Name: value` */
    const char *version;                 /* NULL = 1.1 */
    const char *const *origins;
    int lua_property;
    bool everywhere;                                     /* the server listens on other addresses too */
    enum { OURS_UID, ROOT_UID, OTHER_UID, NO_UID } user; /* whose program it is */
};

#define HOST       "Host: 127.0.0.1:8080"
#define ORIGIN     "Origin: http://127.0.0.1:8080"
#define OURS       HOST "|" ORIGIN
#define PAGE(text) .peer = "127.0.0.1", .method = "POST", .headers = (text)

static const struct asked table[] = {
    {.expected = true, PAGE(OURS)},
    {.expected = true, PAGE("host: LOCALHOST|oRIGIN: HTTP://LocalHost:8080")},
    {.expected = true, PAGE("Host: app.localhost:8080|Origin: https://app.localhost:8080")},
    {.expected = true, PAGE("Host: [::1]:8080|Origin: http://[::1]:8080")},
    {.expected = true, .peer = "127.8.9.10", .method = "POST", .headers = OURS},
    {.expected = true, PAGE(OURS "|X-Forward: no|Forwarder: no|Viable: yes|Cookie: via=x-forwarded-for")},
    /* whose program it is */
    {.expected = true, PAGE(OURS), .user = ROOT_UID, .lua_property = -1},
    {.expected = false, PAGE(OURS), .user = OTHER_UID, .lua_property = -1},
    {.expected = false, PAGE(OURS), .user = OTHER_UID, .lua_property = 1},
    {.expected = false, PAGE(OURS), .user = NO_UID, .lua_property = -1},
    {.expected = false,
     .peer = "127.0.0.1",
     .method = "GET",
     .headers = HOST "|Sec-Fetch-Site: same-origin",
     .user = OTHER_UID,
     .lua_property = -1},
    /* what is missing */
    {.expected = false, PAGE(HOST)},
    {.expected = false, PAGE(ORIGIN)},
    {.expected = false, PAGE("")},
    /* what is not this machine */
    {.expected = false, .peer = "192.0.2.7", .method = "POST", .headers = OURS},
    {.expected = false, .peer = "128.0.0.1", .method = "POST", .headers = OURS},
    {.expected = false, .peer = "", .method = "POST", .headers = OURS},
    {.expected = false, PAGE("Host: tool.example|" ORIGIN)},
    {.expected = false, PAGE(HOST "|Origin: https://tool.example")},
    {.expected = false, PAGE(HOST "|Origin: null")},
    {.expected = false, PAGE(HOST "|Origin: ")},
    {.expected = false, PAGE(HOST "|Origin: file://")},
    {.expected = false, PAGE(HOST "|Origin: http://localhost.evil.example")},
    {.expected = false, PAGE(HOST "|Origin: http://127.0.0.1.evil.example")},
    {.expected = false, PAGE(HOST "|Origin: http://evillocalhost")},
    {.expected = false, PAGE(HOST "|Origin: http://localhost@evil.example")},
    {.expected = false, PAGE(HOST "|Origin: http://0.0.0.0:8080")},
    {.expected = false, PAGE("Host: 0.0.0.0:8080|" ORIGIN)},
    {.expected = false, PAGE("Host: 192.0.2.1:8080|Origin: http://192.0.2.1:8080")},
    {.expected = false, PAGE("Host: 2130706433|" ORIGIN)},
    {.expected = false, PAGE(OURS "|Origin: https://tool.example")},
    {.expected = false, PAGE(OURS "|Host: tool.example")},
    {.expected = false, PAGE(OURS), .lua_property = 0, .everywhere = true},
    /* what a proxy leaves */
    {.expected = false, PAGE(OURS "|Forwarded: for=192.0.2.7")},
    {.expected = false, PAGE(OURS "|forwarded: ")},
    {.expected = false, PAGE(OURS "|x-forwarded-for: 127.0.0.1")},
    {.expected = false, PAGE(OURS "|X-Forwarded-Host: localhost")},
    {.expected = false, PAGE(OURS "|X-Forwarded-Proto: http")},
    {.expected = false, PAGE(OURS "|X-Forwarded-Anything: 1")},
    {.expected = false, PAGE(OURS "|Via: 1.1 proxy")},
    {.expected = false, PAGE(OURS "|X-REAL-IP: 127.0.0.1")},
    {.expected = false, PAGE(OURS), .version = "1.0"},
    /* origins that are let in */
    {.expected = true, PAGE(OURS), .origins = loopback, .lua_property = -1},
    {.expected = true, PAGE(HOST "|Origin: http://localhost:3000"), .origins = loopback, .lua_property = -1},
    {.expected = false, PAGE(OURS), .origins = foreign, .lua_property = -1},
    {.expected = false, PAGE(OURS), .origins = foreign, .lua_property = 0},
    {.expected = true, PAGE(OURS), .origins = foreign, .lua_property = 1},
    {.expected = false, PAGE(HOST "|Origin: https://tool.example"), .origins = foreign, .lua_property = 1},
    /* reading without Origin */
    {.expected = true,
     .peer = "127.0.0.1",
     .method = "GET",
     .headers = HOST "|Sec-Fetch-Site: same-origin|Referer: http://127.0.0.1:8080/x",
     .lua_property = -1},
    {.expected = true,
     .peer = "127.0.0.1",
     .method = "HEAD",
     .headers = HOST "|Sec-Fetch-Site: none",
     .lua_property = -1},
    {.expected = false, .peer = "127.0.0.1", .method = "GET", .headers = HOST, .lua_property = -1},
    {.expected = false,
     .peer = "127.0.0.1",
     .method = "GET",
     .headers = HOST "|Sec-Fetch-Site: same-site",
     .lua_property = -1},
    {.expected = false,
     .peer = "127.0.0.1",
     .method = "GET",
     .headers = HOST "|Sec-Fetch-Site: cross-site",
     .lua_property = -1},
    {.expected = false,
     .peer = "127.0.0.1",
     .method = "GET",
     .headers = HOST "|Sec-Fetch-Site: same-origin|Referer: https://tool.example/x",
     .lua_property = -1},
    {.expected = false,
     .peer = "127.0.0.1",
     .method = "GET",
     .headers = HOST "|Sec-Fetch-Site: same-origin|Via: 1.1 proxy",
     .lua_property = -1},
    {.expected = false,
     .peer = "127.0.0.1",
     .method = "GET",
     .headers = HOST "|Sec-Fetch-Site: same-origin|Upgrade: websocket",
     .lua_property = -1},
    {.expected = false,
     .peer = "127.0.0.1",
     .method = "POST",
     .headers = HOST "|Sec-Fetch-Site: same-origin",
     .lua_property = -1},
};

/* Texts of `headers` are cut in place. */
static void fill_request(struct mg_request_info *info, const struct asked *asked, char *headers)
{
    *info = (struct mg_request_info){.request_method = asked->method,
                                     .http_version = asked->version != NULL ? asked->version : "1.1"};
    strcpy(info->remote_addr, asked->peer);
    for (char *rest, *line = strtok_r(headers, "|", &rest); line != NULL; line = strtok_r(NULL, "|", &rest)) {
        char *colon = strchr(line, ':');
        *colon = '\0';
        info->http_headers[info->num_headers++] = (struct mg_header){line, colon + 1 + (colon[1] == ' ')};
    }
}

static int64_t peers_uid;

static int64_t give_uid(void)
{
    return peers_uid;
}

static const char *const hosts[] = {"127.0.0.1", NULL};

static void Q3_P91a_who_is_the_user_at_this_machine(void **state)
{
    (void)state;
    ls__peer_seams.uid = give_uid;
    for (size_t i = 0; i < COUNT(table); i++) {
        const struct asked *asked = &table[i];
        struct ls_web web = {.loopback = !asked->everywhere,
                             .hosts = hosts,
                             .allow_origins = asked->origins,
                             .lua_property = asked->lua_property};
        struct mg_request_info info;
        char headers[256];
        strcpy(headers, asked->headers);
        fill_request(&info, asked, headers);
        peers_uid = (int64_t[]){geteuid(), 0, geteuid() + 1, -1}[asked->user];
        bool local = ls_request_is_local(&web, &info);
        if (local != asked->expected)
            fail_msg("%s from %s with %s: %s", asked->method, asked->peer, asked->headers,
                     local ? "let in" : "refused");
        struct ls_rights rights = ls_request_rights(&(struct ls_request){.web = &web, .info = &info});
        assert_int_equal(rights.source, local);
        assert_int_equal(rights.lua, asked->lua_property > 0 || (asked->lua_property < 0 && local));
    }
}

/* A header that civetweb has no room for may be the proxy's. */
static void Q3_more_headers_than_can_be_seen(void **state)
{
    (void)state;
    struct ls_web web = {.loopback = true, .hosts = hosts};
    const struct asked ours = {.expected = true, PAGE(OURS)};
    char headers[256];
    struct mg_request_info info;
    strcpy(headers, ours.headers);
    fill_request(&info, &ours, headers);
    peers_uid = geteuid();
    while (info.num_headers < MG_MAX_HEADERS - 1)
        info.http_headers[info.num_headers++] = (struct mg_header){"X-Any", "1"};
    assert_true(ls_request_is_local(&web, &info));
    info.http_headers[info.num_headers++] = (struct mg_header){"X-Any", "1"};
    assert_false(ls_request_is_local(&web, &info));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(Q3_P91a_who_is_the_user_at_this_machine),
        cmocka_unit_test(Q3_more_headers_than_can_be_seen),
    };
    return cmocka_run_group_tests_name("http-origin", tests, NULL, NULL);
}
