/* lsess version: its own and those of what it is built on. */
#include "command.h"

static const struct option options[] = {{.name = "json", .help = "as a JSON object"}, {0}};

static int run(const struct command *command, int argc, char **argv)
{
    struct arguments arguments;
    struct argument argument;
    bool json = false;
    int step;
    arguments_init(&arguments, command, argc, argv);
    while ((step = arguments_next(&arguments, &argument)) > 0) {
        if (!argument.option) return usage_error(command, "it takes no argument: %s", argument.value);
        json = true;
    }
    if (step < 0) return arguments.status;
    if (json)
        printf("{\"version\":\"%s\",\"lua\":\"5.4\"}\n", LS_VERSION);
    else
        printf("lsess %s (Lua 5.4)\n", LS_VERSION);
    return STATUS_DONE;
}

const struct command command_version = {
    .name = "version", .operands = "", .summary = "Show the version", .options = options, .run = run};
