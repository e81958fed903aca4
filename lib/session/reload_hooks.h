/* What the loader tells the reload transaction: without these calls there would be nothing to compare the next version of a file with
 * (H49), no retry of what failed (H36), and a roll-back would take away what a nested first load has done (H59).
 *
 * The loader calls them around the protected call of a first load, in the order begin, then done or failed. Safe functions; what they push
 * they pop. Owner thread: the session's. */
#ifndef LS_SESSION_RELOAD_HOOKS_H
#define LS_SESSION_RELOAD_HOOKS_H

#include "session/internal.h"

/** A chunk is about to run as a first load; it lies on the stack at `chunk` as a function. @return 0 or a code: then nothing has begun */
int ls__reload_load_begin(struct ls_session *session, const char *key, int chunk, const char *text, size_t len, struct ls_err *err);
/** The innermost load has succeeded; its value (nil is true already) is on top of session->L and stays there. [-0, +0, -] */
void ls__reload_load_done(struct ls_session *session, const char *key, const char *text, size_t len);
/** The innermost load has failed, also when it began and never ran. */
void ls__reload_load_failed(struct ls_session *session);
/** A first load of `name` is given up (H36): remember it, so that a change of its file tries it again. Before the module's record goes.
 * @param named    code requires it by this name, so the retry adds it
 * @param key      NULL = no file was found
 * @param paths    request paths, absolute
 * @param text     content, NULL if there is none
 * @param message  the error */
void ls__reload_wanted(struct ls_session *session, const char *name, bool named, const char *key, const struct ls_names *paths,
                       struct ls_bytes *text, const char *message);
/** It has been loaded after all: forget that it was wanted. `name` may be NULL. */
void ls__reload_unwanted(struct ls_session *session, const char *key, const char *name);
/** A standard variable is about to be named, or its name taken away: what it stood for is put back if the running chunk fails (H59). */
void ls__reload_naming(struct ls_session *session, const char *name);
/** Load a text as the first load of its file: what was to happen when it failed, or when a link leads to it now (H36, H17). Defined in
 * loader.c, called by the transaction, so the mutation queue is left to it.
 * @param path  NULL for files of the bundle */
int ls__load_first(struct ls_session *session, const char *key, const char *path, struct ls_bytes *text, const char *name, bool named,
                   struct ls_err *err);

#endif
