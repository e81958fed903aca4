/* Fuzz target: the lsess.lua of a site that is not trusted. Whatever the file holds, reading it ends with items in
 * order or with a text that names the file; nothing is left behind. Built by run.sh: with libFuzzer, or with replay.c
 * over a folder of files. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/site_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

static void check_item(const struct ls_config_item *item, int lines)
{
    CHECK(item->key && item->line >= 0 && item->line <= lines);
    switch (item->kind) {
    case LS_CONFIG_BOOL: CHECK(!item->text && !item->list); break;
    case LS_CONFIG_NUMBER:
    case LS_CONFIG_STRING: CHECK(item->text && !item->list); break;
    case LS_CONFIG_LIST: CHECK(!item->text && item->list); break;
    }
}

static char dir[] = "/tmp/lsess-fuzz-XXXXXX";

static void remove_dir(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    if (system(command) != 0) perror(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[64];
    if (!*path) {
        CHECK(mkdtemp(dir) && snprintf(path, sizeof path, "%s/lsess.lua", dir) > 0);
        atexit(remove_dir);
    }
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
    int lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n' || data[i] == '\r'; /* Lua counts either */
    LS_ERR(err);
    struct ls_site_config *config = ls_site_config_read(dir, path, &err);
    if (!config) {
        CHECK(err.code < 0 && *ls_err_text(&err));
        return 0;
    }
    for (size_t i = 0; i < config->count; i++) {
        check_item(&config->items[i], lines);
        CHECK(i == 0 || strcmp(config->items[i - 1].key, config->items[i].key) <= 0);
    }
    ls_site_config_free(config);
    return 0;
}
