/* What the files of `lsess repl` share: the shell's state, inputs, dot commands, the line editor (cli.md C4). */
#ifndef LSESS_REPL_H
#define LSESS_REPL_H

#include "client.h"

struct repl {
    struct client client;
    char session[64]; /* vended id in use */
    bool json;        /* --json: answers as they come */
    bool interactive;
    struct ls_buf dir; /* the site's folder, for .source */
    int interrupts;    /* Ctrl-C during the running input */
    bool abandoned;    /* it could not be stopped, and is not waited for any more: the connection is of no use */
};

enum input_result { INPUT_DONE, INPUT_INCOMPLETE, INPUT_FAILED, INPUT_LOST };

/** Run one input on the session's queue, print what it printed and what it returned. `timed` adds how long it took. */
enum input_result repl_input(struct repl *repl, const char *code, bool timed);
/** The exit status after INPUT_LOST. */
enum status repl_lost_status(const struct repl *repl);
/** Evaluate for the shell's own use: the first value as JSON replaces `json`. Errors are printed. */
bool repl_value(struct repl *repl, const char *code, struct ls_buf *json);
/** Choose a session: NULL = the only one or the most recently active one, which is said; "new" makes a headless one.
 * @return a status */
int repl_use(struct repl *repl, const char *session);

/** A line that begins with a dot. @return false = leave the shell */
bool repl_dot(struct repl *repl, const char *line);
/** Append the names of all dot commands as a JSON array of strings, for completion. */
void repl_dot_names(struct ls_buf *out);

/** The interactive loop. @return a status */
int repl_interact(struct repl *repl);

#endif
