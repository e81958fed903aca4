/* OpenSSL as this room uses it: checked against its headers, loaded when TLS is asked for and not before, since loading
 * it would be most of the program's start (Q1). `ls__openssl()->SSL_new` is SSL_new. */
#ifndef LS_FRONT_OPENSSL_H
#define LS_FRONT_OPENSSL_H

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/err.h"

#define LS_OPENSSL(X)                                                                                                  \
    X(TLS_server_method)                                                                                               \
    X(SSL_CTX_new)                                                                                                     \
    X(SSL_CTX_free)                                                                                                    \
    X(SSL_CTX_ctrl)                                                                                                    \
    X(SSL_CTX_set_options)                                                                                             \
    X(SSL_CTX_set_alpn_select_cb)                                                                                      \
    X(SSL_CTX_set_default_passwd_cb)                                                                                   \
    X(SSL_CTX_use_certificate_chain_file)                                                                              \
    X(SSL_CTX_use_PrivateKey_file)                                                                                     \
    X(SSL_CTX_check_private_key)                                                                                       \
    X(SSL_CTX_get0_certificate)                                                                                        \
    X(SSL_new)                                                                                                         \
    X(SSL_free)                                                                                                        \
    X(SSL_set_fd)                                                                                                      \
    X(SSL_accept)                                                                                                      \
    X(SSL_read)                                                                                                        \
    X(SSL_write)                                                                                                       \
    X(SSL_shutdown)                                                                                                    \
    X(SSL_get_error)                                                                                                   \
    X(ERR_clear_error)                                                                                                 \
    X(ASN1_TIME_diff)                                                                                                  \
    X(ASN1_INTEGER_set_uint64)                                                                                         \
    X(BIO_new_file)                                                                                                    \
    X(BIO_new_fp)                                                                                                      \
    X(BIO_free)                                                                                                        \
    X(EVP_PKEY_Q_keygen)                                                                                               \
    X(EVP_PKEY_free)                                                                                                   \
    X(EVP_sha256)                                                                                                      \
    X(PEM_read_bio_PrivateKey)                                                                                         \
    X(PEM_read_bio_X509)                                                                                               \
    X(PEM_write_bio_X509)                                                                                              \
    X(PEM_write_bio_PrivateKey)                                                                                        \
    X(RAND_bytes)                                                                                                      \
    X(X509V3_EXT_conf_nid)                                                                                             \
    X(X509V3_set_ctx)                                                                                                  \
    X(X509_EXTENSION_free)                                                                                             \
    X(X509_NAME_add_entry_by_txt)                                                                                      \
    X(X509_add_ext)                                                                                                    \
    X(X509_check_host)                                                                                                 \
    X(X509_check_ip_asc)                                                                                               \
    X(X509_check_private_key)                                                                                          \
    X(X509_digest)                                                                                                     \
    X(X509_free)                                                                                                       \
    X(X509_get0_notAfter)                                                                                              \
    X(X509_get_serialNumber)                                                                                           \
    X(X509_get_subject_name)                                                                                           \
    X(X509_getm_notAfter)                                                                                              \
    X(X509_getm_notBefore)                                                                                             \
    X(X509_gmtime_adj)                                                                                                 \
    X(X509_new)                                                                                                        \
    X(X509_set_issuer_name)                                                                                            \
    X(X509_set_pubkey)                                                                                                 \
    X(X509_set_version)                                                                                                \
    X(X509_sign)

struct ls__openssl {
#define X(name) __typeof__(name) *name;
    LS_OPENSSL(X)
#undef X
};

/** Load it, once. @return 0, or LS_EINVAL and err: this system does not have it. Main thread */
int ls__openssl_load(struct ls_err *err);
/** What ls__openssl_load() has loaded. Any thread. */
const struct ls__openssl *ls__openssl(void);

#endif
