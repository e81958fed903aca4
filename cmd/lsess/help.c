/* lsess help: the list of commands, or the help of one. */
#include "command.h"

#include "base/text.h"

static const struct option options[] = {{0}};

static int run(const struct command *command, int argc, char **argv)
{
    const char *name = NULL;
    struct words words = {.what = "command", .items = &name, .most = 1};
    const struct target targets[] = {{.name = "", .words = &words}};
    int status = arguments_take(command, argc, argv, targets);
    if (status >= 0) return status;
    const struct command *about = name ? find_command(name) : NULL;
    for (size_t i = 0; name && !about && commands[i]; i++)
        if (ls_text_near(name, commands[i]->name))
            return usage_error(command, "there is no command \"%s\"; did you mean %s?", name, commands[i]->name);
    if (name && !about) return usage_error(command, "there is no command \"%s\"", name);
    if (about)
        print_help(about, stdout);
    else
        print_commands(stdout);
    return STATUS_DONE;
}

const struct command command_help = {.name = "help",
                                     .operands = "[COMMAND]",
                                     .summary = "Show all commands, or the help of one",
                                     .options = options,
                                     .run = run};
