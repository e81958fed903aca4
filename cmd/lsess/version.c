/* lsess version: its own and those of what it is built on. */
#include "command.h"

static const struct option options[] = {{.name = "json", .help = "as a JSON object"}, {0}};

static int run(const struct command *command, int argc, char **argv)
{
    bool json = false;
    struct words none = {0};
    const struct target targets[] = {{.name = "", .words = &none}, {.name = "json", .flag = &json}};
    int status = arguments_take(command, argc, argv, targets);
    if (status >= 0) return status;
    if (json)
        printf("{\"version\":\"%s\",\"lua\":\"5.4\"}\n", LS_VERSION);
    else
        printf("lsess %s (Lua 5.4)\n", LS_VERSION);
    return STATUS_DONE;
}

const struct command command_version = {
    .name = "version", .operands = "", .summary = "Show the version", .options = options, .run = run};
