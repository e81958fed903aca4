/* Reading arguments as the tools people know do (cli.md, top): long options with `=` or a blank, short options that
 * bundle, `--` ends options. One table a command serves parsing, --help, completions and the tests that compare the
 * manual with both. */
#include "command.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "files/fspath.h"

void arguments_init(struct arguments *arguments, const struct command *command, int argc, char **argv)
{
    *arguments = (struct arguments){.command = command, .argc = argc, .argv = argv};
}

static int stop(struct arguments *arguments, int status)
{
    arguments->status = status;
    return -1;
}

static int show_help(struct arguments *arguments)
{
    print_help(arguments->command, stdout);
    return stop(arguments, STATUS_DONE);
}

/* A wrong long option may be a near miss of a right one. */
static int unknown_long(struct arguments *arguments, const char *word, size_t len)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)len, word);
    for (const struct option *option = arguments->command->options; option->name; option++)
        if (!option->hidden && ls_text_near(name, option->name))
            return stop(arguments,
                        usage_error(arguments->command, "unknown option --%s; did you mean --%s?", name, option->name));
    return stop(arguments, usage_error(arguments->command, "unknown option --%s", name));
}

static int next_long(struct arguments *arguments, const char *word, struct argument *argument)
{
    size_t len = strcspn(word, "=");
    const char *value = word[len] != '\0' ? word + len + 1 : NULL;
    if (len == 4 && memcmp(word, "help", 4) == 0 && !value) return show_help(arguments);
    for (const struct option *option = arguments->command->options; option->name; option++) {
        bool plain = strlen(option->name) == len && memcmp(option->name, word, len) == 0;
        bool negated = option->negatable && len > 3 && memcmp(word, "no-", 3) == 0 && strlen(option->name) == len - 3 &&
                       memcmp(option->name, word + 3, len - 3) == 0;
        if (!plain && !negated) continue;
        if (!option->value && value)
            return stop(arguments, usage_error(arguments->command, "--%.*s takes no value", (int)len, word));
        if (option->value && !value) {
            if (arguments->at >= arguments->argc)
                return stop(arguments,
                            usage_error(arguments->command, "--%s wants a value: %s", option->name, option->value));
            value = arguments->argv[arguments->at++];
        }
        *argument = (struct argument){.option = option, .value = value, .negated = negated};
        return 1;
    }
    return unknown_long(arguments, word, len);
}

static int next_short(struct arguments *arguments, struct argument *argument)
{
    char letter = *arguments->bundle++;
    if (*arguments->bundle == '\0') arguments->bundle = NULL;
    if (letter == 'h') return show_help(arguments);
    for (const struct option *option = arguments->command->options; option->name; option++) {
        if (option->letter != letter) continue;
        const char *value = NULL;
        if (option->value) {
            value = arguments->bundle;
            arguments->bundle = NULL;
            if (!value && arguments->at >= arguments->argc)
                return stop(arguments, usage_error(arguments->command, "-%c wants a value: %s", letter, option->value));
            if (!value) value = arguments->argv[arguments->at++];
        }
        *argument = (struct argument){.option = option, .value = value};
        return 1;
    }
    return stop(arguments, usage_error(arguments->command, "unknown option -%c", letter));
}

int arguments_next(struct arguments *arguments, struct argument *argument)
{
    if (arguments->bundle) return next_short(arguments, argument);
    if (arguments->at >= arguments->argc) return 0;
    const char *word = arguments->argv[arguments->at++];
    if (!arguments->ended && word[0] == '-' && word[1] != '\0') {
        if (word[1] != '-') {
            arguments->bundle = word + 1;
            return next_short(arguments, argument);
        }
        if (word[2] != '\0') return next_long(arguments, word + 2, argument);
        arguments->ended = true;
        return arguments_next(arguments, argument);
    }
    *argument = (struct argument){.value = word};
    return 1;
}

static int take(const struct command *command, const struct target *target, const char *value)
{
    struct words *words = target->words;
    if (target->flag) *target->flag = true;
    if (target->text) *target->text = value;
    if (!words) return -1;
    if (!words->what) return usage_error(command, "it takes no argument: %s", value);
    if (words->count == words->most && words->most == 1) return usage_error(command, "one %s at a time", words->what);
    if (words->count == words->most)
        return usage_error(command, "a %s may be given at most %zu times", words->what, words->most);
    words->items[words->count++] = value;
    return -1;
}

int arguments_take(const struct command *command, int argc, char **argv, const struct target *targets)
{
    struct arguments arguments;
    struct argument argument;
    int step, status = -1;
    arguments_init(&arguments, command, argc, argv);
    while (status < 0 && (step = arguments_next(&arguments, &argument)) != 0) {
        if (step < 0) return arguments.status;
        const struct target *target = targets;
        while (strcmp(target->name, argument.option ? argument.option->name : "") != 0)
            target++;
        status = take(command, target, argument.value);
    }
    return status;
}

void show(FILE *out, const char *text, size_t len)
{
    struct ls_buf shown = LS_BUF_INIT;
    ls_text_show(&shown, text, len, LS_INDENT);
    fwrite(ls_buf_text(&shown), 1, shown.len, out);
    ls_buf_release(&shown);
}

static void vshow(FILE *out, const char *format, va_list args)
{
    struct ls_buf text = LS_BUF_INIT;
    ls_buf_vprintf(&text, format, args);
    show(out, ls_buf_text(&text), text.len);
    ls_buf_release(&text);
}

int usage_error(const struct command *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "lsess %s: ", command->name);
    vshow(stderr, format, args);
    fprintf(stderr, " (see `lsess %s --help`)\n", command->name);
    va_end(args);
    return STATUS_USAGE;
}

int complain(int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("lsess: ", stderr);
    vshow(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return status;
}

bool has_any(const char *dir, const char *const *names)
{
    struct ls_buf path = LS_BUF_INIT;
    bool found = false;
    for (; !found && *names; names++) {
        ls_path_join(&path, dir, *names);
        found = access(ls_buf_text(&path), F_OK) == 0;
    }
    ls_buf_release(&path);
    return found;
}

bool use_color(FILE *stream)
{
    const char *no_color = getenv("NO_COLOR");
    return isatty(fileno(stream)) && !(no_color && *no_color != '\0');
}

void print_help(const struct command *command, FILE *out)
{
    fprintf(out, "usage: lsess %s%s%s%s\n\n%s.\n", command->name, command->options->name ? " [options]" : "",
            *command->operands ? " " : "", command->operands, command->summary);
    fputs("\noptions:\n", out);
    for (const struct option *option = command->options; option->name; option++) {
        if (option->hidden) continue;
        char left[64];
        snprintf(left, sizeof left, "%s--%s%s%s%s", option->letter ? "" : "    ", option->negatable ? "[no-]" : "",
                 option->name, option->value ? " " : "", option->value ? option->value : "");
        if (option->letter != '\0')
            fprintf(out, "  -%c, %-30s %s\n", option->letter, left, option->help);
        else
            fprintf(out, "  %-34s %s\n", left, option->help);
    }
    fprintf(out, "  -h, %-30s %s\n", "--help", "show this and exit");
    if (command->more) fprintf(out, "\n%s\n", command->more);
}
