/* Reading a site's `lsess.lua` (cli.md C2): it runs in a bare environment and returns a table. What its keys mean is
 * for the caller.
 * Thread: any; the state exists during the call only. */
#ifndef LS_VM_SITE_CONFIG_H
#define LS_VM_SITE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum ls_config_kind { LS_CONFIG_BOOL, LS_CONFIG_NUMBER, LS_CONFIG_STRING, LS_CONFIG_LIST };

struct ls_config_item {
    char *key;
    int line; /* where the file sets it; 0 = not found */
    enum ls_config_kind kind;
    bool flag;
    char *text;  /* a string, or a number as it is written in decimal */
    char **list; /* strings, NULL-terminated */
};

struct ls_site_config {
    struct ls_config_item *items; /* sorted by key */
    size_t count;
};

/** Run the file and take its table apart. No io, os, require, load or pcall is there; it has 1 s and 64 MiB. The time
 * cannot end one call of a C function; what might work for ever in one is not there with `within`.
 * @param within  as ls_file_read's: a site that is not trusted
 * @return owned, ls_site_config_free(); NULL and err: LS_ENOTFOUND (no such file), LS_EACCESS, LS_ESYNTAX, LS_ELUA
 * (texts begin with file:line:), LS_EINVAL (it does not return a table, or a value has a type that no option has),
 * LS_ELIMIT, LS_ENOMEM. Source: C2. */
struct ls_site_config *ls_site_config_read(const char *within, const char *path, struct ls_err *err);
void ls_site_config_free(struct ls_site_config *config); /* NULL accepted */

#endif
