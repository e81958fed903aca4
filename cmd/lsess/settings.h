/* The settings of `lsess serve` (cli.md C2): one table for the flags, the environment and lsess.lua. */
#ifndef LSESS_SETTINGS_H
#define LSESS_SETTINGS_H

#include <stdbool.h>

#include "command.h"
#include "server/server.h"

/* A growing list of texts, NULL-terminated. */
struct text_list {
    const char **items; /* owned; the texts are borrowed from argv, environment or the file */
    size_t count, cap;
};

struct settings {
    struct ls_server_config server;
    const char *dir;    /* NULL = not given */
    const char *config; /* --config */
    const char *log_file, *client;
    bool open, json_log, https;
    int verbosity;
    struct text_list hosts, origins, embedders, proxies, static_roots, env;
    bool distrusted;             /* the file is the site's, and the site is in the sandbox */
    struct ls_buf ignored;       /* keys that it must not set, for one line when the log is open */
    struct ls_site_config *file; /* owned; texts of lsess.lua */
    char **kept;                 /* owned texts made while reading */
    size_t kept_count, kept_cap;
};

extern const struct option settings_options[];

/** Flags, then the environment, then lsess.lua, then defaults (C2). Errors have been printed.
 * @return 1 go on, or -1 with *status: help was shown, a usage error, a bad lsess.lua */
int settings_read(struct settings *settings, const struct command *command, int argc, char **argv, int *status);
/** Frees what settings_read has made. */
void settings_release(struct settings *settings);

#endif
