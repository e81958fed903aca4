/* lsess: finds the subcommand and runs it. The table below is the command line; each has a file of its own.
 * To add one: its file with a `struct command`, a line here, a page man/lsess-NAME.1, and its name in completion/
 * (tests/checks/docs.sh compares them all). */
#include "command.h"

#include <locale.h>
#include <signal.h>
#include <string.h>

#include "base/text.h"

const struct command *const commands[] = {
    &command_serve,
    &command_repl,
    &command_unload,
    &command_sessions,
    &command_reload,
    &command_restart,
    &command_new,
    &command_check,
    &command_version,
    &command_help,
    NULL,
};

const struct command *find_command(const char *name)
{
    for (size_t i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
    return NULL;
}

void print_commands(FILE *out)
{
    fputs("usage: lsess COMMAND [options]\n\n", out);
    for (size_t i = 0; commands[i]; i++)
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n`lsess COMMAND --help` and `man lsess-COMMAND` tell more; `lsess serve` shows the demo.\n", out);
}

int main(int argc, char **argv)
{
    /* Characters as people type them; numbers stay as programs write them. */
    setlocale(LC_CTYPE, "");
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        print_commands(stderr);
        return STATUS_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0) name = "help";
    if (strcmp(name, "-V") == 0 || strcmp(name, "--version") == 0) name = "version";
    const struct command *command = find_command(name);
    if (command) return command->run(command, argc - 2, argv + 2);
    if (*name == '-')
        return complain(STATUS_USAGE, "unknown option %s; options follow the command (`lsess help` lists the commands)",
                        name);
    for (size_t i = 0; commands[i]; i++)
        if (ls_text_near(name, commands[i]->name))
            return complain(STATUS_USAGE, "there is no command \"%s\"; did you mean `lsess %s`?", name,
                            commands[i]->name);
    return complain(STATUS_USAGE, "there is no command \"%s\"; `lsess help` lists them", name);
}
