/* TLS 1.2 and later on the connections that relay.c carries (N5): the certificate, and one connection's TLS. Which
 * version of HTTP is spoken behind it is agreed on here (ALPN): `http/1.1`, and nothing with who speaks none of it.
 *
 * Whether the certificate's files have changed is looked at when somebody connects, at most once a second: nothing runs
 * for it else. New ones that cannot be used (a key that does not go with its certificate yet, say) leave the old ones
 * in use, and are tried when they change again. A certificate of our own making is made anew before it ends.
 *
 * Sessions are taken up again by tickets, of which the server keeps nothing.
 *
 * Threads: the loops'; what they share has a lock. */
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "front/front_internal.h"
#include "front/openssl.h"

#define LOOK_NS ls_ms(1000)

/* What tells a file from the one before; all zero = there is none. */
struct look {
    struct timespec changed;
    off_t size;
    ino_t ino;
};

struct ls_tls {
    /* -- immutable after open */
    const char *cert, *key;
    const char *const *names; /* NULL = the certificate is the user's */
    /* -- protected by lock */
    pthread_mutex_t lock;
    SSL_CTX *context;
    struct look looks[2];
    int64_t looked_ns;
};

/* --- the certificate --- */

static int choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_len,
                           const unsigned char *offered, unsigned len, void *ctx)
{
    static const unsigned char ours[] = "http/1.1";
    (void)ssl;
    (void)ctx;
    for (unsigned at = 0; at < len; at += 1U + offered[at]) {
        if (offered[at] != sizeof ours - 1 || len - at <= offered[at] ||
            memcmp(offered + at + 1, ours, sizeof ours - 1) != 0)
            continue;
        *chosen = offered + at + 1;
        *chosen_len = offered[at];
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Else OpenSSL asks at the terminal, and the loop waits for who may not be there. */
static int no_password(char *text, int size, int writing, void *ctx)
{
    (void)text;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

static SSL_CTX *load(const struct ls_tls *tls, struct ls_err *err)
{
    const struct ls__openssl *lib = ls__openssl();
    SSL_CTX *context = lib->SSL_CTX_new(lib->TLS_server_method());
    if (!context) {
        ls_fail(err, LS_ENOMEM, "Out of memory while setting up TLS.");
        return NULL;
    }
    lib->SSL_CTX_set_default_passwd_cb(context, no_password);
    int rc = 0;
    if (lib->SSL_CTX_use_certificate_chain_file(context, tls->cert) != 1)
        rc = ls_fail(err, LS_EINVAL, "The certificate '%s' of --cert cannot be used; it is to be a PEM file.",
                     tls->cert);
    else if (lib->SSL_CTX_use_PrivateKey_file(context, tls->key, SSL_FILETYPE_PEM) != 1 ||
             lib->SSL_CTX_check_private_key(context) != 1)
        rc = ls_fail(
            err, LS_EINVAL,
            "The key '%s' of --key cannot be used; it is to be the PEM file of the certificate's key, without a password.",
            tls->key);
    lib->ERR_clear_error();
    if (rc < 0) {
        lib->SSL_CTX_free(context);
        return NULL;
    }
    lib->SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL);
    lib->SSL_CTX_ctrl(context, SSL_CTRL_MODE,
                      SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS,
                      NULL);
    lib->SSL_CTX_ctrl(context, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, NULL);
    lib->SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    lib->SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    return context;
}

static void look_at(const char *path, struct look *look)
{
    struct stat info;
    memset(look, 0, sizeof *look);
    if (stat(path, &info) < 0 || !S_ISREG(info.st_mode)) return;
    look->changed = info.st_mtim;
    look->size = info.st_size;
    look->ino = info.st_ino;
}

/* @return have the files changed since? */
static bool look_again(struct ls_tls *tls)
{
    struct look looks[2];
    look_at(tls->cert, &looks[0]);
    look_at(tls->key, &looks[1]);
    bool changed = memcmp(looks, tls->looks, sizeof looks) != 0;
    memcpy(tls->looks, looks, sizeof looks);
    return changed;
}

static bool ends_soon(SSL_CTX *context)
{
    const struct ls__openssl *lib = ls__openssl();
    int days = 0, seconds = 0;
    const X509 *certificate = lib->SSL_CTX_get0_certificate(context);
    return certificate && lib->ASN1_TIME_diff(&days, &seconds, NULL, lib->X509_get0_notAfter(certificate)) == 1 &&
           days < LS_CERTIFICATE_SPARE_DAYS;
}

/* Called with the lock held. */
static void renew(struct ls_tls *tls)
{
    int64_t now = ls_now_ns();
    LS_ERR(err);
    if (now - tls->looked_ns < LOOK_NS) return;
    tls->looked_ns = now;
    if (tls->names && ends_soon(tls->context) && ls__certificate_keep(tls->cert, tls->names, &err) < 0)
        ls_log(0, "%s", ls_err_text(&err));
    if (!look_again(tls)) return;
    bool there = tls->looks[0].ino != 0 && tls->looks[1].ino != 0; /* opening a pipe would hold up the loop */
    SSL_CTX *context = there ? load(tls, &err) : NULL;
    if (!there) ls_fail(&err, LS_EINVAL, "The certificate '%s' or its key is no file any more.", tls->cert);
    if (!context) {
        ls_log(0, "%s The one of before stays in use.", ls_err_text(&err));
        return;
    }
    ls__openssl()->SSL_CTX_free(tls->context); /* connections that use it keep it */
    tls->context = context;
    ls_log(1, "The certificate '%s' has been loaded again.", tls->cert);
}

struct ls_tls *ls_tls_open(const char *cert, const char *key, const char *const *names, struct ls_err *err)
{
    struct ls_tls *tls = ls_zalloc(sizeof *tls);
    if (!tls) {
        ls_fail(err, LS_ENOMEM, "Out of memory while setting up TLS.");
        return NULL;
    }
    pthread_mutex_init(&tls->lock, NULL);
    tls->cert = cert;
    tls->key = names ? cert : key;
    tls->names = names;
    tls->looked_ns = ls_now_ns();
    if (ls__openssl_load(err) == 0 && (!names || ls__certificate_keep(cert, names, err) == 0)) {
        look_again(tls);
        tls->context = load(tls, err);
    }
    if (tls->context) return tls;
    ls_tls_close(tls);
    return NULL;
}

void ls_tls_fingerprint(struct ls_tls *tls, struct ls_buf *out)
{
    const struct ls__openssl *lib = ls__openssl();
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    pthread_mutex_lock(&tls->lock);
    const X509 *certificate = lib->SSL_CTX_get0_certificate(tls->context);
    if (certificate) lib->X509_digest(certificate, lib->EVP_sha256(), digest, &len);
    pthread_mutex_unlock(&tls->lock);
    for (unsigned i = 0; i < len; i++)
        ls_buf_printf(out, "%s%02X", i > 0 ? ":" : "", digest[i]);
}

void ls_tls_close(struct ls_tls *tls)
{
    if (!tls) return;
    if (tls->context) ls__openssl()->SSL_CTX_free(tls->context);
    pthread_mutex_destroy(&tls->lock);
    ls_free(tls);
}

/* --- a connection --- */

SSL *ls__tls_begin(struct ls_tls *tls, int fd)
{
    const struct ls__openssl *lib = ls__openssl();
    pthread_mutex_lock(&tls->lock);
    renew(tls);
    SSL *ssl = lib->SSL_new(tls->context);
    pthread_mutex_unlock(&tls->lock);
    if (ssl && lib->SSL_set_fd(ssl, fd) == 1) return ssl;
    ls__tls_end(ssl);
    return NULL;
}

/* What a call that has done nothing waits for. */
static int judge(SSL *ssl, int rc, uint32_t *wants)
{
    const struct ls__openssl *lib = ls__openssl();
    int error = lib->SSL_get_error(ssl, rc);
    lib->ERR_clear_error();
    if (error == SSL_ERROR_ZERO_RETURN) return 0;
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return LS_TLS_BROKEN;
    *wants = error == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT;
    return LS_TLS_LATER;
}

int ls__tls_shake(SSL *ssl, uint32_t *wants)
{
    int rc = ls__openssl()->SSL_accept(ssl);
    if (rc == 1) return 1;
    rc = judge(ssl, rc, wants);
    return rc == LS_TLS_LATER ? rc : LS_TLS_BROKEN;
}

int ls__tls_read(SSL *ssl, char *data, size_t size, uint32_t *wants)
{
    int n = ls__openssl()->SSL_read(ssl, data, (int)size);
    return n > 0 ? n : judge(ssl, n, wants);
}

int ls__tls_write(SSL *ssl, const char *data, size_t len, uint32_t *wants)
{
    int n = ls__openssl()->SSL_write(ssl, data, (int)len);
    if (n > 0) return n;
    n = judge(ssl, n, wants);
    return n == LS_TLS_LATER ? n : LS_TLS_BROKEN;
}

void ls__tls_shut(SSL *ssl)
{
    ls__openssl()->SSL_shutdown(ssl);
    ls__openssl()->ERR_clear_error();
}

void ls__tls_end(SSL *ssl)
{
    if (ssl) ls__openssl()->SSL_free(ssl);
}
