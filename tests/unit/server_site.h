/* A server as a library on a small site in a temporary folder, for tests/unit/test_server*.c. */
#ifndef TESTS_UNIT_SERVER_SITE_H
#define TESTS_UNIT_SERVER_SITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/server.h"

struct fixture {
    char dir[64], socket_path[96];
    struct ls_server *server;
    struct ls_server_ready ready;
};

static inline void write_file(const char *dir, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static inline void prepare(struct fixture *fixture, struct ls_server_config *config)
{
    char path[128];
    strcpy(fixture->dir, "/tmp/lsess-unit-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    snprintf(path, sizeof path, "%s/lua", fixture->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(fixture->dir, "lua/main.lua", "session:createAppVariable({ type = 'App', name = 'North' })\n");
    snprintf(fixture->socket_path, sizeof fixture->socket_path, "%s/control.sock", fixture->dir);
    ls_server_config_init(config);
    config->dir = fixture->dir;
    config->port = 0;
    config->socket_path = fixture->socket_path;
}

static inline void start(struct fixture *fixture, const struct ls_server_config *config)
{
    LS_ERR(err);
    fixture->server = ls_server_open(config, &err);
    if (fixture->server == NULL) fail_msg("%s", ls_err_text(&err));
    ls_server_ready(fixture->server, &fixture->ready);
}

static inline void finish(struct fixture *fixture)
{
    char path[128];
    ls_server_stop(fixture->server);
    snprintf(path, sizeof path, "%s/lua/main.lua", fixture->dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/lua", fixture->dir);
    rmdir(path);
    assert_int_equal(rmdir(fixture->dir), 0); /* the control socket has been removed */
}

#endif
