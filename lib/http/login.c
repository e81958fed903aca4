/* Basic authentication against a file of htpasswd's (N22). A password is hashed once: from then on a signed cookie
 * counts, since bcrypt a request would be slow and WebKit sends no password with a WebSocket. The cookie's key is drawn
 * at the start, and a user's hash is part of what is signed: a new password, or none, ends what the old one has opened.
 *
 * Hashes are made on the thread of the request, few at once, so that guesses take no more than those of the machine.
 * Refuses to guess along: after some failures an address waits.
 *
 * Threads: civetweb's workers. */
#include "http/http.h"

#include <crypt.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "files/fspath.h"

enum { AT_ONCE = 2, MOST_WAITING = 8, FAILURES = 5, WINDOW_S = 60, PLACES = 1024, PROBES = 8 };
enum { COOKIE_S = 24 * 3600, MAX_PAIR = 384, USER = sizeof((struct ls_rights *)NULL)->user };

#define REST_NS ls_ms(60000) /* between two lines that the file cannot be read */

struct user {
    char *name, *hash; /* owned */
};

/* Of an address, or of the 64 bits that say whose an IPv6 address is. */
struct failures {
    unsigned char net[16];
    int64_t since_ns; /* of the first one; 0 = the place is free */
    int count;        /* those that are being looked at among them */
    int trying;       /* how many these are */
};

struct ls_login {
    /* -- immutable after open */
    char *file; /* owned */
    unsigned char key[LS_HMAC];
    void *library;
    char *(*crypt)(const char *password, const char *setting, struct crypt_data *data);
    /* -- protected by lock */
    pthread_mutex_t lock;
    pthread_cond_t free;
    struct user *users; /* owned */
    size_t count, cap;
    struct timespec changed; /* of the file */
    ino_t inode;
    off_t size;
    int64_t told_ns; /* when the log last said that it cannot be read; 0 = it could be */
    int hashing, waiting;
    struct failures failures[PLACES];
};

/* Goes with the answer to the request that this thread serves, and with no other one. */
static _Thread_local char cookie_line[768];

/* --- the file --- */

static void free_users(struct user *users, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ls_free(users[i].name);
        ls_free(users[i].hash);
    }
    ls_free(users);
}

static bool is_taken(const char *hash)
{
    static const char *const kinds[] = {"$2a$", "$2b$", "$2y$", "$5$", "$6$"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (ls_has_prefix(hash, kinds[i])) return true;
    return false;
}

/* One line, cut in place. @return false and err: it cannot be used */
static bool read_line(struct ls_login *login, char *line, int number, struct user **users, size_t *count, size_t *cap,
                      struct ls_err *err)
{
    line[strcspn(line, "\r\n")] = '\0';
    if (line[0] == '\0' || line[0] == '#') return true;
    char *colon = strchr(line, ':');
    if (!colon || colon == line || colon - line >= USER)
        return ls_fail(err, LS_EINVAL, "%s:%d: a line is NAME:HASH, with a name of at most %d bytes.", login->file,
                       number, USER - 1) == 0;
    *colon = '\0';
    char *hash = colon + 1;
    hash[strcspn(hash, ":")] = '\0';
    if (!is_taken(hash))
        return ls_fail(err, LS_EINVAL,
                       "%s:%d: the hash of '%s' is %s, and only bcrypt and SHA-crypt are taken; make one with "
                       "`htpasswd -B` or `mkpasswd -m sha-512`.",
                       login->file, number, line,
                       ls_has_prefix(hash, "$apr1$") ? "Apache's MD5 ($apr1$)" : "of another kind") == 0;
    struct user user = {ls_strdup(line), ls_strdup(hash)};
    if (user.name && user.hash && LS_PUSH(*users, *count, *cap, user)) return true;
    ls_free(user.name);
    ls_free(user.hash);
    return ls_fail(err, LS_ENOMEM, "Out of memory while reading %s.", login->file) == 0;
}

/* Called with the lock held, or at the start. @return 0; an error and err: what was read before stays */
static int read_file(struct ls_login *login, struct ls_err *err)
{
    struct user *users = NULL;
    size_t count = 0, cap = 0;
    char line[512];
    struct stat info;
    FILE *file = fopen(login->file, "re");
    if (!file) return ls_fail(err, LS_EIO, "The file %s of --auth cannot be read: %s.", login->file, strerror(errno));
    bool ok = fstat(fileno(file), &info) == 0;
    for (int number = 1; ok && fgets(line, sizeof line, file); number++)
        ok = read_line(login, line, number, &users, &count, &cap, err);
    fclose(file);
    if (ok && count == 0) ls_fail(err, LS_EINVAL, "The file %s of --auth names no user.", login->file);
    login->changed = info.st_mtim;
    login->inode = info.st_ino;
    login->size = info.st_size;
    if (!ok || count == 0) {
        free_users(users, count);
        return err->code;
    }
    free_users(login->users, login->count);
    login->told_ns = 0;
    login->users = users;
    login->count = count;
    login->cap = cap;
    return 0;
}

/* Called with the lock held. */
static void look_for_change(struct ls_login *login)
{
    struct stat info;
    int64_t now = ls_now_ns();
    if (stat(login->file, &info) < 0) return; /* between a removal and the new one, say */
    if (info.st_ino == login->inode && info.st_size == login->size && info.st_mtim.tv_sec == login->changed.tv_sec &&
        info.st_mtim.tv_nsec == login->changed.tv_nsec)
        return;
    LS_ERR(err);
    if (!S_ISREG(info.st_mode)) /* opening a pipe would hold up everybody */
        ls_fail(&err, LS_EIO, "The file %s of --auth is no file any more.", login->file);
    else if (read_file(login, &err) == 0)
        return;
    /* What cannot be read is tried with each request. */
    if (err.code == LS_EIO && login->told_ns != 0 && now - login->told_ns < REST_NS) return;
    if (err.code == LS_EIO) login->told_ns = now;
    ls_log(0, "%s What it said before still counts.", ls_err_text(&err));
}

/* The hash of a user, into a buffer. @return false: there is no such user, and it is another one's */
static bool find_hash(struct ls_login *login, const char *name, char *hash, size_t size)
{
    const char *found = NULL, *any = "";
    pthread_mutex_lock(&login->lock);
    look_for_change(login);
    for (size_t i = 0; i < login->count; i++) {
        any = login->users[i].hash;
        if (strcmp(login->users[i].name, name) == 0) found = any;
    }
    snprintf(hash, size, "%s", found ? found : any);
    pthread_mutex_unlock(&login->lock);
    return found;
}

/* All of it, however early it differs: time is not to tell how much was right. */
static bool is_same(const char *a, const char *b)
{
    size_t len = strlen(a);
    unsigned differs = len != strlen(b);
    for (size_t i = 0; i < len && len == strlen(b); i++)
        differs |= (unsigned char)(a[i] ^ b[i]);
    return differs == 0;
}

/* --- the cookie: EXPIRY.NAME.SIGNATURE, the latter two as hexadecimal digits --- */

static void put_hex(struct ls_buf *out, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ls_buf_printf(out, "%02x", ((const unsigned char *)bytes)[i]);
}

static void put_cookie(struct ls_login *login, struct ls_buf *out, int64_t until, const char *name, const char *hash)
{
    unsigned char digest[LS_HMAC];
    ls_buf_printf(out, "%lld.", (long long)until);
    put_hex(out, name, strlen(name));
    struct ls_buf text = LS_BUF_INIT;
    ls_buf_printf(&text, "%s\n%s", ls_buf_text(out), hash);
    ls__hmac(login->key, text.data, text.len, digest);
    ls_buf_release(&text);
    ls_buf_char(out, '.');
    put_hex(out, digest, sizeof digest);
}

static void name_cookie(const struct ls_request *request, char name[32])
{
    snprintf(name, 32, "lsess-login-%d", request->web->port);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* @return has it been made here, for a user of now, and not too long ago; then the name is there */
static bool check_cookie(struct ls_request *request, char user[USER])
{
    struct ls_login *login = request->web->login;
    char name[32], given[512], hash[256];
    name_cookie(request, name);
    if (ls__request_cookie(request->info, name, given, sizeof given) < 0) return false;
    char *dot = strchr(given, '.'), *end = dot ? strchr(dot + 1, '.') : NULL;
    int64_t until;
    if (!end || end - dot - 1 >= 2 * USER || (end - dot - 1) % 2 != 0) return false;
    *dot = '\0';
    if (!ls_parse_int(given, 0, INT64_MAX, &until) || until < (int64_t)time(NULL)) return false;
    *dot = '.';
    size_t len = 0;
    for (const char *at = dot + 1; at < end; at += 2) {
        int high = hex_digit(at[0]), low = hex_digit(at[1]);
        if (high < 0 || low < 0) return false;
        user[len++] = (char)(high * 16 + low);
    }
    user[len] = '\0';
    struct ls_buf wanted = LS_BUF_INIT;
    bool known = find_hash(login, user, hash, sizeof hash);
    put_cookie(login, &wanted, until, user, hash);
    bool ok = known && !ls_buf_failed(&wanted) && is_same(given, ls_buf_text(&wanted));
    ls_buf_release(&wanted);
    return ok;
}

static void give_cookie(struct ls_request *request, const char *user, const char *hash)
{
    struct ls_buf value = LS_BUF_INIT;
    char name[32];
    name_cookie(request, name);
    put_cookie(request->web->login, &value, (int64_t)time(NULL) + COOKIE_S, user, hash);
    snprintf(cookie_line, sizeof cookie_line, "Set-Cookie: %s=%.300s; Path=%s/; HttpOnly; SameSite=Lax%s\r\n", name,
             ls_buf_text(&value), request->sender.prefix, request->sender.secure ? "; Secure" : "");
    ls_buf_release(&value);
}

void ls__login_header(struct ls_buf *out)
{
    ls_buf_str(out, cookie_line);
}

void ls_login_forget(void)
{
    cookie_line[0] = '\0';
}

/* --- failures (5 a minute an address) --- */

/* Called with the lock held. */
static struct failures *find_failures(struct ls_login *login, const char *address)
{
    unsigned char net[16] = {0};
    if (ls_http_address_read(address, net) && (net[0] != 0 || net[1] != 0)) memset(net + 8, 0, 8);
    uint64_t hash = ls_hash((const char *)net, sizeof net);
    int64_t now = ls_now_ns();
    struct failures *oldest = NULL;
    for (size_t i = 0; i < PROBES; i++) {
        struct failures *at = &login->failures[(hash + i) % PLACES];
        if (at->since_ns != 0 && now - at->since_ns > ls_ms(WINDOW_S * 1000)) *at = (struct failures){.since_ns = 0};
        if (at->since_ns != 0 && memcmp(at->net, net, sizeof net) == 0) return at;
        if (!oldest || at->since_ns < oldest->since_ns) oldest = at;
    }
    *oldest = (struct failures){.since_ns = now};
    memcpy(oldest->net, net, sizeof net);
    return oldest;
}

static int seconds_left(const struct failures *failures)
{
    int left = WINDOW_S - (int)((ls_now_ns() - failures->since_ns) / ls_ms(1000));
    return left > 0 ? left : 1;
}

/* A try counts as a failure until it has been none; so one too many waits for those that are being looked at.
 * @return 0; after how many seconds the next one may be; -1: too many hashes are being made */
static int begin_try(struct ls_login *login, const char *address)
{
    int rc = 0;
    pthread_mutex_lock(&login->lock);
    struct failures *failures = find_failures(login, address);
    if (failures->count - failures->trying >= FAILURES) {
        rc = seconds_left(failures);
    } else if (login->waiting >= MOST_WAITING) {
        rc = -1;
    } else {
        login->waiting++;
        while (login->hashing >= AT_ONCE || (failures->count >= FAILURES && failures->trying > 0)) {
            pthread_cond_wait(&login->free, &login->lock);
            failures = find_failures(login, address);
        }
        login->waiting--;
        if (failures->count >= FAILURES) rc = seconds_left(failures);
    }
    if (rc == 0) {
        failures->count++;
        failures->trying++;
        login->hashing++;
    }
    pthread_mutex_unlock(&login->lock);
    return rc;
}

static void end_try(struct ls_login *login, const char *address, bool ok)
{
    pthread_mutex_lock(&login->lock);
    login->hashing--;
    struct failures *failures = find_failures(login, address);
    if (failures->trying > 0) failures->trying--; /* none: its place has been given away */
    if (ok) failures->count = failures->trying;
    if (failures->count == 0) failures->since_ns = 0;
    pthread_cond_broadcast(&login->free);
    pthread_mutex_unlock(&login->lock);
}

/* --- one request --- */

static int refuse(const struct ls_request *request, int status, int retry_s, const char *text)
{
    struct ls_reply reply;
    ls_reply_init(&reply, status, "text/plain; charset=utf-8");
    if (status == 401) ls_reply_header(&reply, "WWW-Authenticate", "Basic realm=\"lsess\", charset=\"UTF-8\"");
    if (retry_s > 0) ls_reply_header(&reply, "Retry-After", "%d", retry_s);
    ls_reply_header(&reply, "Cache-Control", "no-store");
    reply.body = text;
    reply.len = strlen(text);
    return ls_reply_send(&reply, request->http);
}

static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* `Basic BASE64` → `NAME\0PASSWORD`. @return the password, or NULL */
static char *read_pair(const char *header, char pair[MAX_PAIR])
{
    size_t len = 0;
    uint32_t bits = 0;
    if (strncasecmp(header, "Basic ", 6) != 0 || strlen(header) >= MAX_PAIR) return NULL;
    const char *at = header + 6 + strspn(header + 6, " ");
    int digit;
    for (int count = 0; (digit = base64_digit(*at)) >= 0; at++) {
        bits = bits << 6 | (uint32_t)digit;
        if (++count % 4 != 1) pair[len++] = (char)(bits >> (6 - 2 * ((count - 1) % 4)));
    }
    at += strspn(at, "= ");
    pair[len] = '\0';
    char *colon = strchr(pair, ':');
    if (*at != '\0' || !colon || strlen(pair) != len || colon - pair >= USER) return NULL;
    *colon = '\0';
    return colon + 1;
}

static bool is_right(struct ls_login *login, const char *name, const char *password, char hash[256])
{
    bool known = find_hash(login, name, hash, 256); /* if not: it takes as long */
    struct crypt_data *data = ls_zalloc(sizeof *data);
    const char *made = data ? login->crypt(password, hash, data) : NULL;
    bool ok = made && made[0] != '*' && is_same(made, hash) && known;
    ls_free(data);
    return ok;
}

int ls_login_check(struct ls_request *request)
{
    struct ls_login *login = request->web->login;
    const char *header = mg_get_header(request->http, "Authorization"), *address = request->sender.address;
    char pair[MAX_PAIR], hash[256], text[128];
    if (!login || check_cookie(request, request->sender.user)) return 0;
    request->sender.user[0] = '\0';
    if (!header) return refuse(request, 401, 0, "Name and password are asked for here (--auth).\n");
    int wait = begin_try(login, address);
    if (wait < 0) return refuse(request, 503, 1, "Too many logins are being looked at just now.\n");
    if (wait > 0) {
        snprintf(text, sizeof text, "Too many logins from %s have failed; try again in %d s.\n", address, wait);
        ls_refusal_tell(request->web, LS_REFUSED_LOGIN, text);
        return refuse(request, 429, wait, text);
    }
    char *password = read_pair(header, pair);
    bool ok = password && is_right(login, pair, password, hash);
    end_try(login, address, ok);
    if (ok) {
        strcpy(request->sender.user, pair);
        give_cookie(request, pair, hash);
    }
    explicit_bzero(pair, sizeof pair);
    if (ok) return 0;
    snprintf(text, sizeof text, "A login from %s has failed: the name or the password is wrong.\n", address);
    ls_refusal_tell(request->web, LS_REFUSED_LOGIN, text);
    return refuse(request, 401, 0, text);
}

/* --- opening and closing --- */

struct ls_login *ls_login_open(const char *file, struct ls_err *err)
{
    struct ls_login *login = ls_zalloc(sizeof *login);
    if (!login) {
        ls_fail(err, LS_ENOMEM, "Out of memory while reading %s.", file);
        return NULL;
    }
    pthread_mutex_init(&login->lock, NULL);
    pthread_cond_init(&login->free, NULL);
    login->file = ls_path_place(file, NULL); /* wherever the process goes later */
    if (!login->file) login->file = ls_strdup(file);
    login->library = dlopen("libcrypt.so.1", RTLD_NOW | RTLD_LOCAL);
    void *function = login->library ? dlsym(login->library, "crypt_r") : NULL;
    memcpy(&login->crypt, &function, sizeof function);
    if (!login->file)
        ls_fail(err, LS_ENOMEM, "Out of memory while reading %s.", file);
    else if (!function)
        ls_fail(err, LS_EINVAL, "--auth needs the library libcrypt: %s.", dlerror());
    else if (getrandom(login->key, sizeof login->key, 0) != sizeof login->key)
        ls_fail(err, LS_EIO, "There are no random numbers: %s.", strerror(errno));
    else if (read_file(login, err) == 0)
        return login;
    ls_login_close(login);
    return NULL;
}

void ls_login_close(struct ls_login *login)
{
    if (!login) return;
    free_users(login->users, login->count);
    if (login->library) dlclose(login->library);
    explicit_bzero(login->key, sizeof login->key);
    pthread_mutex_destroy(&login->lock);
    pthread_cond_destroy(&login->free);
    ls_free(login->file);
    ls_free(login);
}
