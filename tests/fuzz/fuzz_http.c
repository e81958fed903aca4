/* Fuzz target: the headers from which is read who sends a request and by which address. The input's first line is the
 * address of the connection's peer, the others are headers, `Name: value`. What comes out of it can be written into
 * addresses, cookies and the log; a peer who is not trusted changes nothing; nobody who comes by a proxy is the user
 * who serves. Built by run.sh: with libFuzzer, or with replay.c over a folder of files. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

static int64_t give_uid(void)
{
    return 0;
}

/* Headers of `text`, which is cut in place. */
static void read_headers(struct mg_request_info *info, char *text)
{
    for (char *rest, *line = strtok_r(text, "\n", &rest); line && info->num_headers < MG_MAX_HEADERS;
         line = strtok_r(NULL, "\n", &rest)) {
        char *colon = strchr(line, ':');
        if (!colon) continue;
        *colon = '\0';
        info->http_headers[info->num_headers++] = (struct mg_header){line, colon + 1 + strspn(colon + 1, " ")};
    }
}

static void check_sender(const struct ls_web *web, const struct mg_request_info *info, const struct ls_sender *sender)
{
    unsigned char address[16];
    CHECK(memchr(sender->address, '\0', sizeof sender->address) && memchr(sender->host, '\0', sizeof sender->host));
    CHECK(memchr(sender->user, '\0', sizeof sender->user));
    CHECK(*sender->prefix == '\0' || ls_http_prefix_valid(sender->prefix, strlen(sender->prefix)));
    CHECK(*sender->prefix == '\0' || sender->prefix[strlen(sender->prefix) - 1] != '/');
    for (const char *at = sender->host; *at != '\0'; at++)
        CHECK(ls_is_word(*at) || strchr(".-:[]", *at));
    if (sender->trusted) {
        CHECK(ls_http_address_read(sender->address, address));
        CHECK(!ls_request_is_local(web, info));
    } else {
        CHECK(strcmp(sender->address, info->remote_addr) == 0);
        CHECK(!sender->proxied && !sender->secure && *sender->user == '\0' && *sender->prefix == '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const proxies[] = {"10.0.0.0/8", "127.0.0.2", "2001:db8::/33", NULL};
    static const char *const origins[] = {"https://tool.example", "http://localhost:3000", NULL};
    static const char *const hosts[] = {"127.0.0.1", NULL};
    struct ls_web web = {.loopback = true,
                         .hosts = hosts,
                         .port = 8080,
                         .auth_header = "Remote-User",
                         .allow_origins = origins,
                         .lua_property = 1};
    struct mg_request_info info = {.request_method = "GET", .http_version = "1.1"};
    struct ls_sender sender;
    char *text = ls_strndup((const char *)data, size), *end = text ? strchr(text, '\n') : NULL;
    LS_ERR(err);
    if (!end || end - text >= (int)sizeof info.remote_addr - 3 || ls_http_sender_open(&web, proxies, &err) < 0) {
        ls_free(text);
        return 0;
    }
    *end = '\0';
    strcpy(info.remote_addr, text);
    ls__peer_seams.uid = give_uid;
    read_headers(&info, end + 1);
    for (int forwarded = 0; forwarded < 2; forwarded++) {
        struct ls_buf why = LS_BUF_INIT;
        web.trust_forwarded = forwarded;
        ls_sender_read(&web, &info, &sender);
        check_sender(&web, &info, &sender);
        enum ls_refusal refusal = ls_http_origin_refusal(&web, &info, &sender, true, &why);
        CHECK((refusal == LS_REFUSED_NOT) == (why.len == 0));
        ls_buf_release(&why);
    }
    ls_free(web.trusted);
    ls_free(text);
    return 0;
}
