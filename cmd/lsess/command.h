/* What the files of the command line share: the table of subcommands, their options, exit statuses, and talking to
 * people (cli.md). Printing, exit statuses, signals and the environment belong to this folder and nowhere else. */
#ifndef LSESS_COMMAND_H
#define LSESS_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"

enum status {
    STATUS_DONE = 0,
    STATUS_FAILED = 1, /* it ran and failed: Lua error, nothing to unload, no such session */
    STATUS_USAGE = 2,
    STATUS_NO_SERVER = 3, /* no server to talk to */
};

/* One option; `--name`, `--name=value`, `--name value`, `-l`, `-lvalue`, bundled switches `-abc`. */
struct option {
    const char *name;  /* long name without dashes */
    char letter;       /* short form, 0 = none */
    const char *value; /* what usage and manual call its value; NULL = a switch */
    const char *help;  /* one line */
    bool negatable;    /* a switch that --no-NAME turns off */
    bool hidden;       /* an alias: accepted, not shown */
};

struct command {
    const char *name;
    const char *operands;         /* as in usage: "[SESSION]"; "" = none */
    const char *summary;          /* one line for `lsess` and `lsess help` */
    const struct option *options; /* ends with one without name; -h/--help is everybody's */
    const char *more;             /* paragraph below the options in --help; NULL */
    /* argv[0] is the first argument; returns a status */
    int (*run)(const struct command *command, int argc, char **argv);
};

extern const struct command command_serve, command_repl, command_unload, command_sessions, command_reload,
    command_restart, command_new, command_check, command_version, command_help;

/** All subcommands in the order of the help, NULL at the end. */
extern const struct command *const commands[];
const struct command *find_command(const char *name); /* NULL if there is none */

/* --- reading arguments --- */

struct arguments {
    const struct command *command;
    int argc;
    char **argv;
    int at;             /* next word */
    const char *bundle; /* rest of a word of short options */
    bool ended;         /* `--` has been seen */
    int status;         /* what to return when the walk ended with -1 */
};

struct argument {
    const struct option *option; /* NULL = an operand */
    const char *value;           /* the option's value, or the operand */
    bool negated;                /* --no-NAME */
};

/** Start the walk; `argv` is borrowed. */
void arguments_init(struct arguments *arguments, const struct command *command, int argc, char **argv);
/** The next option or operand. @return 1; 0 = none left; -1 = help was printed or a usage error was: return
 * arguments->status */
int arguments_next(struct arguments *arguments, struct argument *argument);

/* Operands, or the values of an option that may be given more than once. Texts are borrowed from the arguments. */
struct words {
    const char *what; /* one of them, for people; where there may be none at all, NULL */
    const char **items;
    size_t most, count;
};

/* Where an option goes: one of these is set. */
struct target {
    const char *name; /* "" = the operands */
    bool *flag;
    const char **text;
    struct words *words;
};

/** Read all arguments; each option of the command has a target, and so have the operands. @return -1 = go on, else the
 * status to leave with: help was shown, or a usage error was */
int arguments_take(const struct command *command, int argc, char **argv, const struct target *targets);

/* --- talking --- */

/** `lsess serve: what is wrong` on standard error, and a hint at --help: the status of a usage error. */
int usage_error(const struct command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** One line on standard error: `lsess: …`. @return `status` */
int complain(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Text of others, as ls_text_show writes it. */
void show(FILE *out, const char *text, size_t len);
/** Usage, options and paragraph of one command. */
void print_help(const struct command *command, FILE *out);
/** Every command with its line. */
void print_commands(FILE *out);
/** Does a folder have one of these files or folders? `names`: NULL-terminated. */
bool has_any(const char *dir, const char *const *names);
/** May this stream get colour: it is a terminal and NO_COLOR is unset. */
bool use_color(FILE *stream);

#endif
