/* lsess help: the list of commands, or the help of one. */
#include "command.h"

#include "base/text.h"

static const struct option options[] = {{0}};

static int run(const struct command *command, int argc, char **argv)
{
    struct arguments arguments;
    struct argument argument;
    const struct command *about = NULL;
    int step;
    arguments_init(&arguments, command, argc, argv);
    while ((step = arguments_next(&arguments, &argument)) > 0) {
        if (about) return usage_error(command, "one command at a time");
        about = find_command(argument.value);
        for (size_t i = 0; !about && commands[i]; i++)
            if (ls_text_near(argument.value, commands[i]->name))
                return usage_error(command, "there is no command \"%s\"; did you mean %s?", argument.value,
                                   commands[i]->name);
        if (!about) return usage_error(command, "there is no command \"%s\"", argument.value);
    }
    if (step < 0) return arguments.status;
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
