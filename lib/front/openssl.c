/* Loading OpenSSL. It stays loaded. Threads: any after ls__openssl_load(). */
#include "front/openssl.h"

#include <dlfcn.h>
#include <stdbool.h>

static struct ls__openssl library;
static void *handle; /* of dlopen(); for ever */

#define TEXT_OF(number)  #number
#define LIBRARY(version) "libssl.so." TEXT_OF(version)

int ls__openssl_load(struct ls_err *err)
{
    static const char name[] = LIBRARY(OPENSSL_SHLIB_VERSION);
    if (library.SSL_new) return 0;
    if (!handle) handle = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
    if (!handle) return ls_fail(err, LS_EINVAL, "TLS needs OpenSSL (%s), which this system does not have.", name);
    struct ls__openssl found = {0};
    bool complete = true;
#define X(name)                                                                                                        \
    *(void **)&found.name = dlsym(handle, #name);                                                                      \
    complete = complete && found.name;
    LS_OPENSSL(X)
#undef X
    if (!complete) return ls_fail(err, LS_EINVAL, "The OpenSSL of this system (%s) is too old for TLS.", name);
    library = found;
    return 0;
}

const struct ls__openssl *ls__openssl(void)
{
    return &library;
}
