/* A certificate of our own making (N5): for https where nobody has given one. It signs itself, so a browser asks once,
 * and shows the fingerprint that the start line tells; that is why it is kept, and made anew only where it has to be.
 *
 * One PEM file, readable by its user alone, has the key and the certificate; it is replaced as a whole.
 *
 * Threads: any, one at a time. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/log.h"
#include "front/front_internal.h"
#include "front/openssl.h"

static bool is_address(const char *name)
{
    unsigned char address[16];
    return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

/* --- names --- */

struct names {
    char **items; /* owned, NULL-terminated */
    size_t count, cap;
};

static bool add_name(struct names *names, const char *name)
{
    size_t len = strcspn(name, "%"); /* the interface of a link-local address means something on one machine only */
    for (size_t i = 0; i < names->count; i++)
        if (strncmp(names->items[i], name, len) == 0 && names->items[i][len] == '\0') return true;
    char *copy = ls_strndup(name, len);
    if (!copy || !LS_RESERVE(names->items, names->count + 2, names->cap)) {
        ls_free(copy);
        return false;
    }
    names->items[names->count++] = copy;
    names->items[names->count] = NULL;
    return true;
}

/* The machine's name, and the addresses by which it can be reached from elsewhere. */
static bool add_machine(struct names *names, int family)
{
    struct ifaddrs *list = NULL;
    char text[INET6_ADDRSTRLEN], name[256] = "";
    bool ok = gethostname(name, sizeof name - 1) < 0 || name[0] == '\0' || add_name(names, name);
    if (getifaddrs(&list) < 0) return ok;
    for (struct ifaddrs *one = list; one && ok; one = one->ifa_next) {
        if (!one->ifa_addr || one->ifa_addr->sa_family != family) continue;
        const struct in_addr *v4 = &((struct sockaddr_in *)(void *)one->ifa_addr)->sin_addr;
        const struct in6_addr *v6 = &((struct sockaddr_in6 *)(void *)one->ifa_addr)->sin6_addr;
        if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(v6)) continue;
        ok = inet_ntop(family, family == AF_INET6 ? (const void *)v6 : (const void *)v4, text, sizeof text) &&
             add_name(names, text);
    }
    freeifaddrs(list);
    return ok;
}

static bool collect(struct names *names, const char *const *given)
{
    bool ok = add_name(names, "localhost") && add_name(names, "127.0.0.1") && add_name(names, "::1");
    for (; *given && ok; given++)
        ok = strcmp(*given, "0.0.0.0") == 0 ? add_machine(names, AF_INET)
             : strcmp(*given, "::") == 0    ? add_machine(names, AF_INET6)
                                            : add_name(names, *given);
    return ok;
}

/* --- is the one that is there good enough? --- */

static bool has_names(X509 *certificate, const char *const *names)
{
    const struct ls__openssl *lib = ls__openssl();
    for (; *names; names++)
        if ((is_address(*names) ? lib->X509_check_ip_asc(certificate, *names, 0)
                                : lib->X509_check_host(certificate, *names, 0, 0, NULL)) != 1)
            return false;
    return true;
}

/* @param damaged  out: it is not what write_file() makes */
static bool is_good(const char *path, const char *const *names, bool *damaged)
{
    const struct ls__openssl *lib = ls__openssl();
    int days = 0, seconds = 0;
    struct stat info;
    *damaged = false;
    if (stat(path, &info) < 0 || !S_ISREG(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 077) != 0)
        return false;
    BIO *file = lib->BIO_new_file(path, "r");
    if (!file) return false;
    /* With a password of its own, so that OpenSSL does not ask for one. */
    EVP_PKEY *key = lib->PEM_read_bio_PrivateKey(file, NULL, NULL, (char[]){""});
    X509 *certificate = key ? lib->PEM_read_bio_X509(file, NULL, NULL, NULL) : NULL;
    *damaged = !certificate || lib->X509_check_private_key(certificate, key) != 1;
    bool good = !*damaged && has_names(certificate, names) &&
                lib->ASN1_TIME_diff(&days, &seconds, NULL, lib->X509_get0_notAfter(certificate)) == 1 &&
                days >= LS_CERTIFICATE_SPARE_DAYS;
    if (certificate) lib->X509_free(certificate);
    if (key) lib->EVP_PKEY_free(key);
    lib->BIO_free(file);
    lib->ERR_clear_error();
    return good;
}

/* It may be somebody's own, so it goes on under another name, where the next one of its kind takes its place. */
static void set_aside(const char *path)
{
    struct ls_buf aside = LS_BUF_INIT;
    ls_buf_printf(&aside, "%s.damaged", path);
    const char *name = ls_buf_text(&aside);
    bool kept = !ls_buf_failed(&aside) && rename(path, name) == 0;
    if (kept)
        ls_log(0, "The certificate %s cannot be used; it is kept as %s, and a new one is made.", path, name);
    else
        ls_log(0, "The certificate %s cannot be used; a new one takes its place.", path);
    ls_buf_release(&aside);
}

/* --- making one --- */

static bool extend(X509 *certificate, X509V3_CTX *context, int what, const char *text)
{
    const struct ls__openssl *lib = ls__openssl();
    X509_EXTENSION *extension = lib->X509V3_EXT_conf_nid(NULL, context, what, text);
    bool added = extension && lib->X509_add_ext(certificate, extension, -1) == 1;
    if (extension) lib->X509_EXTENSION_free(extension);
    return added;
}

static bool fill(X509 *certificate, EVP_PKEY *key, const char *const *names)
{
    const struct ls__openssl *lib = ls__openssl();
    struct ls_buf list = LS_BUF_INIT;
    uint64_t serial = 0;
    for (const char *const *name = names; *name; name++)
        ls_buf_printf(&list, "%s%s:%s", name != names ? "," : "", is_address(*name) ? "IP" : "DNS", *name);
    X509V3_CTX context;
    lib->X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_NAME *subject = lib->X509_get_subject_name(certificate);
    static const unsigned char who[] = "lsess on this machine";
    bool ok = !ls_buf_failed(&list) && lib->RAND_bytes((unsigned char *)&serial, sizeof serial) == 1 &&
              lib->X509_set_version(certificate, X509_VERSION_3) == 1 &&
              lib->ASN1_INTEGER_set_uint64(lib->X509_get_serialNumber(certificate), serial >> 1 | 1) == 1 &&
              lib->X509_gmtime_adj(lib->X509_getm_notBefore(certificate), -3600) &&
              lib->X509_gmtime_adj(lib->X509_getm_notAfter(certificate), LS_CERTIFICATE_DAYS * 24L * 3600) &&
              lib->X509_set_pubkey(certificate, key) == 1 &&
              lib->X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, who, -1, -1, 0) == 1 &&
              lib->X509_set_issuer_name(certificate, subject) == 1 &&
              extend(certificate, &context, NID_basic_constraints, "critical,CA:FALSE") &&
              extend(certificate, &context, NID_key_usage, "critical,digitalSignature") &&
              extend(certificate, &context, NID_ext_key_usage, "serverAuth") &&
              extend(certificate, &context, NID_subject_alt_name, ls_buf_text(&list)) &&
              lib->X509_sign(certificate, key, lib->EVP_sha256()) > 0;
    ls_buf_release(&list);
    return ok;
}

/* Each folder above the file, for its user alone where it is not there yet. */
static void make_folders(const char *path)
{
    char *copy = ls_strdup(path);
    for (char *at = copy ? strchr(copy + 1, '/') : NULL; at; at = strchr(at + 1, '/')) {
        *at = '\0';
        mkdir(copy, 0700);
        *at = '/';
    }
    ls_free(copy);
}

/* @return 0, or errno */
static int write_file(const char *path, EVP_PKEY *key, X509 *certificate)
{
    const struct ls__openssl *lib = ls__openssl();
    struct ls_buf next = LS_BUF_INIT;
    ls_buf_printf(&next, "%s.%ld", path, (long)getpid());
    const char *name = ls_buf_text(&next);
    make_folders(path);
    unlink(name);
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), rc = fd < 0 ? errno : 0;
    FILE *stream = fd >= 0 ? fdopen(fd, "w") : NULL;
    BIO *file = stream ? lib->BIO_new_fp(stream, BIO_NOCLOSE) : NULL;
    if (rc == 0 && (!file || lib->PEM_write_bio_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) != 1 ||
                    lib->PEM_write_bio_X509(file, certificate) != 1))
        rc = errno != 0 ? errno : EIO;
    if (file) lib->BIO_free(file);
    if (stream && fclose(stream) != 0 && rc == 0) rc = errno;
    if (!stream && fd >= 0) close(fd);
    if (rc == 0 && rename(name, path) < 0) rc = errno;
    if (rc != 0 && fd >= 0) unlink(name);
    ls_buf_release(&next);
    return rc;
}

int ls__certificate_keep(const char *path, const char *const *names, struct ls_err *err)
{
    const struct ls__openssl *lib = ls__openssl();
    struct names all = {NULL, 0, 0};
    bool collected = collect(&all, names);
    const char *const *list = (const char *const *)all.items;
    bool damaged = false, good = collected && is_good(path, list, &damaged);
    EVP_PKEY *key = collected && !good ? lib->EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256") : NULL;
    X509 *certificate = key ? lib->X509_new() : NULL;
    int rc = good || (certificate && fill(certificate, key, list)) ? 0 : ENOMEM;
    if (rc == 0 && damaged) set_aside(path);
    if (rc == 0 && !good) rc = write_file(path, key, certificate);
    for (size_t i = 0; i < all.count; i++)
        ls_free(all.items[i]);
    ls_free(all.items);
    if (certificate) lib->X509_free(certificate);
    if (key) lib->EVP_PKEY_free(key);
    lib->ERR_clear_error();
    return rc == 0 ? 0
                   : ls_fail(err, LS_EIO, "A certificate for --https cannot be kept in %s: %s.", path, strerror(rc));
}
